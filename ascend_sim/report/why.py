"""Why a run takes its time, on one screen: what the end waited for, and for each pipe what it does and waits for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import isclose
from typing import Any, TypeVar

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ascend_sim.errors import ArgumentError
from ascend_sim.isa.words import CoreKind, Pipe
from ascend_sim.observe.critical_path import CriticalPath, critical_path
from ascend_sim.observe.stalls import (
    BUSY,
    DONE,
    LAUNCH,
    Category,
    Kind,
    PipeStalls,
    Stalls,
    core_stalls,
    kind_stalls,
)
from ascend_sim.observe.timeline import Recording, metric_name
from ascend_sim.report.result import RunResult
from ascend_sim.report.stages import display_name
from ascend_sim.report.summary import duration, print_content
from ascend_sim.report.trace import process_name
from ascend_sim.report.whatif import WhatIf

SCHEMA = "ascend-sim/why/1"
STEPS = 8
"""Parts of the critical path that are printed one by one."""
WAITS, SMALL = 3, 0.01
"""Waits of a pipe that are printed, and the share of the time below which none is."""

_PATH = "critical path"
_LEGEND = "idle: not launched yet, or nothing left to do"
_NUMBER = 7
"""Width of a column of numbers."""
Key = TypeVar("Key")
_NAMES = {CoreKind.AIC: "cube", CoreKind.AIV: "vector"}


@dataclass(frozen=True)
class Why:
    """What is known of where the time of a run went.

    *path* is the critical path of the whole kernel. *cores* has a part for each kind of core, or the one that was asked
    for, with what it is called. *what_if* is None if nobody asked what the run would gain.
    """

    result: RunResult
    path: CriticalPath
    cores: tuple[tuple[str, Stalls], ...]
    what_if: Sequence[WhatIf] | None = None


def explain(result: RunResult, recording: Recording, core: str | None = None, kind: str | None = None) -> Why:
    """Explain a run: the *core* of that name, the cores of one *kind* ("aic", "aiv"), or the cores of each kind.

    Raise an ArgumentError for a core or a kind that there is not, or that had no work.
    """
    if core is not None and kind is not None:
        raise ArgumentError(f"--core {core}: is of one kind already; drop --kind {kind}, or --core")
    if core is not None:
        cores: list[tuple[str, Stalls]] = [_one_core(recording, core)]
    else:
        cores = list(_kinds(recording, kind))
    return Why(result, critical_path(recording), tuple(cores))


def with_gains(why: Why, gains: Sequence[WhatIf], run: str) -> Why:
    """*why* with what the run would gain; raise an ArgumentError if *run* was not the same when simulated for that."""
    before = why.result.time_us
    for one in gains:
        if not isclose(one.base_us, before, rel_tol=1e-9):
            raise ArgumentError(
                f"{run}: takes {one.base_us:.5g} us if it is simulated again, not {before:.5g} us: the program has "
                f"been changed since; run it again with --out, or leave --what-if out"
            )
    return replace(why, what_if=gains)


def _kinds(recording: Recording, kind: str | None) -> Iterator[tuple[str, Stalls]]:
    known = {one.value: one for one in CoreKind}
    if kind is not None and kind not in known:
        raise ArgumentError(f"--kind {kind}: there is no such kind of core; write aic (cube) or aiv (vector)")
    for one in CoreKind if kind is None else [known[kind]]:
        stalls = kind_stalls(recording, one)
        if stalls is not None:
            plural = "s" if stalls.cores > 1 else ""
            yield f"{stalls.cores} {_NAMES[one]} core{plural}", stalls
        elif kind is not None:
            other = next(other for other in CoreKind if other is not one)
            raise ArgumentError(f"--kind {kind}: no {_NAMES[one]} core had work in this run; write {other.value}")


def _one_core(recording: Recording, name: str) -> tuple[str, Stalls]:
    """The core called *name* ("die0.core0.cubecore0", or without its die as in traces), or the one it is just like."""
    for core in recording.cores:
        for member in core.members:
            if name in (str(member), process_name(member, recording.chip)):
                return str(member), core_stalls(recording, core.number)
    first: dict[CoreKind, str] = {}
    for core in recording.cores:
        first.setdefault(core.kind, str(core.id))
    raise ArgumentError(f"--core {name}: there is no such core in this run; write {' or '.join(first.values())}, or so")


def print_why(why: Why, console: Console, *, stages: bool = False) -> None:
    """Print *why* to *console*, with *stages* also the stages of each pipe."""
    print_content(view(why, console.width, stages=stages), console)


def view(why: Why, width: int = 80, *, stages: bool = False) -> RenderableType:
    """Headline, critical path, a row for each pipe (and, with *stages*, for each stage of it), what would help.

    Lists of waits are cut into lines at their commas, so that all fits *width*.
    """
    names = _Widths(why, width, stages)
    parts: list[RenderableType] = [_headline(why), Text(), _path(why, names)]
    for title, stalls in why.cores:
        parts += [Text(), _pipes(title, stalls, names, stages)]
        between = _between(stalls, width)
        if between:
            parts.append(between)
    parts += [Text(), Text(_LEGEND, style="dim")]
    if why.what_if is not None:
        parts += [Text(), _gains(why, why.what_if, names)]
    return Group(*parts)


class _Widths:
    """How wide the first column of all tables is, and what room the last one has."""

    def __init__(self, why: Why, width: int, stages: bool) -> None:
        names = [title for title, _ in why.cores]
        names += [metric_name(one.kind, pipe) for _, one in why.cores for pipe in one.pipes]
        if stages:
            parts = [part for _, one in why.cores for part in one.pipes.values()]
            names += [_indented(stage) for part in parts for stage in part.by_stage]
        self.first = max(map(len, [_PATH, *names]))
        self.last = max(width - self.first - 2 - 3 * (_NUMBER + 2), 24)


def _indented(stage: str) -> str:
    return f"  {display_name(stage)}"


def _headline(why: Why) -> RenderableType:
    result = why.result
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("time", f"{duration(result.time_us)}  ({result.cycles:,} cycles)")
    table.add_row("rate", f"{100 * result.flops_utilization:.1f} % of {result.peak_tflops:.1f} TFLOPS")
    table.add_row("bound by", result.bound_by)
    for name, line in _in_words(why):
        table.add_row(name, line)
    return Group(Text(f"{result.program} on {result.chip}", style="bold"), table)


def _in_words(why: Why) -> Iterator[tuple[str, str]]:
    """What the pipe does that has most of the critical path."""
    shown = {metric_name(one.kind, pipe): (one, pipe) for _, one in why.cores for pipe in one.pipes}
    name = next((name for name, _ in why.path.ranking if name in shown), None)
    if name is None:
        return
    stalls, pipe = shown[name]
    one = stalls.pipes[pipe]
    busy, waits, launch, end = (
        _percent(stalls, cycles)
        for cycles in (
            one.cycles.get(BUSY, 0), sum(one.waits.values()), one.cycles.get(LAUNCH, 0), one.cycles.get(DONE, 0)
        )
    )  # fmt: skip
    yield name, f"busy {busy}, waiting {waits}, not launched yet {launch}, done {end}"
    if one.waits:
        wait, cycles = next(iter(one.waits.items()))
        pairs = list(stalls.between) if wait.kind is Kind.CORE else []
        stages = f" ({_pair(*pairs[0])})" if pairs else ""
        yield "", f"longest wait: {wait}, {_percent(stalls, cycles)}{stages}"


def _pair(waits: str, sets: str) -> str:
    return f"{display_name(waits)} waits for {display_name(sets)}"


def _path(why: Why, widths: _Widths) -> Table:
    """The parts of the critical path, as many as have room; the others in one."""
    table = _table(_PATH, widths, "share", "us", "stage")
    per_cycle = why.result.time_us / why.result.cycles if why.result.cycles else 0.0
    ranking = why.path.stage_ranking
    shown = ranking if len(ranking) <= STEPS + 1 else ranking[:STEPS]
    rows = [(name, display_name(stage) if stage else "", cycles) for name, stage, cycles in shown]
    if len(shown) < len(ranking):
        rows.append((f"{len(ranking) - len(shown)} others", "", sum(part[2] for part in ranking[len(shown) :])))
    for name, stage, cycles in rows:
        table.add_row(name, f"{100 * cycles / why.path.total:.1f} %", _us(cycles * per_cycle, why), stage)
    return table


def _pipes(title: str, stalls: Stalls, widths: _Widths, stages: bool) -> Table:
    """A row for each pipe, the scalar unit last, and below it those of its stages that matter."""
    table = _table(title, widths, "busy", "waits", "idle", "longest waits")
    for pipe in sorted(stalls.pipes, key=lambda pipe: pipe is Pipe.S):
        one = stalls.pipes[pipe]
        idle = one.cycles.get(LAUNCH, 0) + one.cycles.get(DONE, 0)
        _add_pipe(table, metric_name(stalls.kind, pipe), stalls, one.cycles, _percent(stalls, idle), widths)
        for stage, cycles in _by_size(one) if stages else ():
            if stalls.share(sum(cycles.values())) >= SMALL:
                _add_pipe(table, _indented(stage), stalls, cycles, "", widths)
    return table


def _by_size(one: PipeStalls) -> list[tuple[str, dict[Category, int]]]:
    return sorted(one.by_stage.items(), key=lambda part: (-sum(part[1].values()), part[0]))


def _add_pipe(
    table: Table, name: str, stalls: Stalls, cycles: Mapping[Category, int], idle: str, widths: _Widths
) -> None:
    waits = {category: count for category, count in cycles.items() if category.is_wait}
    texts = [f"{category} {_percent(stalls, count)}" for category, count in _largest(stalls, waits)]
    busy = _percent(stalls, cycles.get(BUSY, 0))
    table.add_row(name, busy, _percent(stalls, sum(waits.values())), idle, _wrapped(texts, widths.last))


def _between(stalls: Stalls, width: int) -> Text | None:
    """Which stages of the cores wait for which of other cores, those that matter."""
    parts = [f"{_pair(*pair)} {_percent(stalls, cycles)}" for pair, cycles in _largest(stalls, stalls.between)]
    title = "flags from other cores: "
    return Text(title + _wrapped(parts, width - len(title)).replace("\n", "\n" + " " * len(title))) if parts else None


def _gains(why: Why, rows: Sequence[WhatIf], widths: _Widths) -> Table:
    """What the run would take if what bounds it took no time; see `ascend_sim.whatif` for what that means."""
    table = _table("if instant", widths, "us", "change", "then bound by, share of the critical path")
    for row in rows:
        change = "" if row.time_us is None else f"{100 * (row.time_us / row.base_us - 1):+.1f} %"
        time = "" if row.time_us is None else _us(row.time_us, why)
        then = (row.bound_by or row.reason or "").removesuffix(" of the critical path")
        table.add_row(row.resource, time, change, then)
    return table


def _largest(stalls: Stalls, cycles: Mapping[Key, int]) -> list[tuple[Key, int]]:
    """The first WAITS of *cycles* that are worth a word."""
    return [part for part in cycles.items() if stalls.share(part[1]) >= SMALL][:WAITS]


def _wrapped(parts: Sequence[str], width: int) -> str:
    """*parts* with commas between them, in lines of at most *width* that end at commas."""
    lines = [""]
    for number, part in enumerate(parts):
        part += "," if number < len(parts) - 1 else ""
        if lines[-1] and len(lines[-1]) + 1 + len(part) > width:
            lines.append(part)
        else:
            lines[-1] = f"{lines[-1]} {part}".lstrip()
    return "\n".join(lines)


def _table(title: str, widths: _Widths, *columns: str) -> Table:
    """A table without lines: names on the left, numbers to the right of them, words at the end."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", show_edge=False)
    table.add_column(title, no_wrap=True, min_width=widths.first, header_style="bold")
    for column in columns[:-1]:
        table.add_column(column, justify="right", no_wrap=True, min_width=_NUMBER)
    table.add_column(columns[-1], overflow="fold")
    return table


def _us(microseconds: float, why: Why) -> str:
    """A part of the time of the run, with as many digits as the whole deserves."""
    whole = why.result.time_us
    return f"{microseconds:,.{1 if whole >= 100 else 2 if whole >= 10 else 3}f}"


def _percent(stalls: Stalls, cycles: int) -> str:
    return f"{100 * stalls.share(cycles):.1f} %"


def to_json(why: Why) -> dict[str, Any]:
    """Everything as plain data: cycles are sums over the cores of a part, microseconds their average."""
    result = why.result
    path = [
        {"pipe": name, "stage": stage or None, "share": share, "cycles": cycles, "us": share * result.time_us}
        for name, stage, cycles in why.path.stage_ranking
        for share in [cycles / why.path.total]
    ]
    return {
        "schema": SCHEMA,
        "program": result.program,
        "chip": result.chip,
        "cycles": result.cycles,
        "time_us": result.time_us,
        "flops_utilization": result.flops_utilization,
        "bound_by": result.bound_by,
        "critical_path": path,
        "cores": [_part_json(title, stalls, result.time_us) for title, stalls in why.cores],
        "what_if": None if why.what_if is None else [asdict(one) | {"speedup": one.speedup} for one in why.what_if],
    }


def _part_json(title: str, stalls: Stalls, time_us: float) -> dict[str, Any]:
    def counted(cycles: int) -> dict[str, float]:
        return {"share": stalls.share(cycles), "cycles": cycles, "us": stalls.share(cycles) * time_us}

    def listed(cycles: Mapping[Category, int]) -> list[dict[str, Any]]:
        return [
            {"kind": one.kind.value, "other": one.name_of_other, "text": str(one), **counted(count)}
            for one, count in cycles.items()
        ]

    return {
        "name": title,
        "kind": stalls.kind.value,
        "cores": stalls.cores,
        "pipes": [
            {
                "pipe": metric_name(stalls.kind, pipe),
                "parts": listed(one.cycles),
                "stages": [{"stage": stage, "parts": listed(cycles)} for stage, cycles in _by_size(one)],
            }
            for pipe, one in stalls.pipes.items()
        ],
        "between": [
            {"waits": waits, "sets": sets, **counted(cycles)} for (waits, sets), cycles in stalls.between.items()
        ],
    }
