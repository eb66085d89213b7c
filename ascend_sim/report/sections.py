"""The parts of the page of a run: what it looked like, why it took so long, and what it moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ascend_sim.errors import ArgumentError
from ascend_sim.isa.words import Pipe, Space
from ascend_sim.observe.roofline import place
from ascend_sim.observe.stalls import BUSY, DONE, LAUNCH, Stalls
from ascend_sim.observe.timeline import metric_name
from ascend_sim.report.compare import shortened
from ascend_sim.report.cores import shown_cores
from ascend_sim.report.html import NARROW, Picture, Run, Section, Table, picture
from ascend_sim.report.overview import overview_figure
from ascend_sim.report.result import RunResult
from ascend_sim.report.roofline import lines as roofline_lines
from ascend_sim.report.roofline import roofline_figure
from ascend_sim.report.stages import display_name, tasks_of
from ascend_sim.report.timeline import timeline_figure
from ascend_sim.report.views import View, default_view, named_view
from ascend_sim.report.whatif import WhatIf
from ascend_sim.report.why import Why, explain

_CAPTIONS = {
    "all": "The whole run on the first group of cores.",
    "head": "The head: the pipeline fills.",
    "steady": "The steady state: tasks in the middle of the run.",
    "tail": "The tail: the pipeline drains.",
}
_SMALL = 0.005
"""Waits below this share of the time are left out."""
_SHORT = 0.001
"""Parts of the critical path below this share of it are added up."""
_BEGIN_US = 100.0
"""Of longer runs the begin is drawn as well."""


def sections_of(run: Run, what_if: Sequence[WhatIf] = ()) -> list[Section]:
    """All sections of the page of *run*; with *what_if*, what it would gain."""
    why = explain(run.result, run.recording)
    return [_timelines(run), _why(why, what_if), *result_sections(run)]


def _timelines(run: Run) -> Section:
    cores = shown_cores(run.recording, None)
    tasks = tasks_of([core.timeline for core in cores])
    cycles, per_us = run.recording.cycles, run.recording.chip.cycles_per_second / 1e6
    first = default_view(tasks, cycles, per_us) if cores and cycles else ""
    names = ["steady", "head", "tail"] if first == "steady" else [first] if first else []
    figures: list[Picture] = []
    for name in names:
        figure = timeline_figure(run.recording, run.result, cores, named_view(name, tasks, cycles))
        figures.append(picture(figure, _CAPTIONS[name]))
    if first:
        figure = overview_figure(run.recording, run.result, named_view("all", tasks, cycles))
        figures.append(picture(figure, "All cores: how busy their main pipe was over the run."))
    return Section("Timelines", [] if first else ["No core had work."], figures)


def aligned_timelines(runs: Sequence[Run]) -> list[Picture]:
    """The first group of cores of each of *runs* on one scale of time: whole, and their begin if they are long."""
    longest = max(run.result.time_us for run in runs)
    names = shortened([run.name for run in runs])
    figures = []
    for until in [min(longest, _BEGIN_US), longest][longest <= _BEGIN_US :]:
        for name, run in zip(names, runs, strict=True):
            cores = shown_cores(run.recording, None)
            window = View("", 0, max(round(until * run.recording.chip.cycles_per_second / 1e6), 1))
            if cores:
                time = run.result.time_us
                part = f"the whole run of {time:,.1f} us" if time <= until else f"the first {until:,.1f} us"
                caption = f"{name}: {part}; busy is the share of the {until:,.1f} us that are drawn."
                figures.append(picture(timeline_figure(run.recording, run.result, cores, window), caption))
    return figures


def _why(why: Why, what_if: Sequence[WhatIf]) -> Section:
    per_cycle = why.result.time_us / why.result.cycles if why.result.cycles else 0.0
    ranking = [(name, display_name(stage) if stage else "", cycles) for name, stage, cycles in why.path.stage_ranking]
    shown = [part for part in ranking if part[2] >= _SHORT * why.path.total]
    if len(shown) < len(ranking):
        rest = ranking[len(shown) :]
        shown.append((f"{len(rest)} other{'s' * (len(rest) > 1)}", "", sum(part[2] for part in rest)))
    path = [
        (name, stage, f"{100 * cycles / why.path.total:.1f} %", f"{cycles * per_cycle:,.1f}")
        for name, stage, cycles in shown
    ]
    title = "Critical path: the chain that the end of the kernel had to wait for"
    tables = [Table(path, ["pipe", "stage", "share", "us"], [1], title)]
    for name, stalls in why.cores:
        rows = [_pipe(stalls, pipe) for pipe in sorted(stalls.pipes, key=lambda one: one is Pipe.S)]
        head = ["pipe", "busy", "waits", "idle", "waits for, share of the kernel's time"]
        tables.append(Table(rows, head, [4], f"Where the time of the pipes went: {name}"))
    if what_if:
        gains = [_gain(one) for one in what_if]
        head = ["resource", "us", "change", "then bound by"]
        tables.append(Table(gains, head, [3], "What if it took no time"))
    return Section("Why it takes so long", [], (), tables)


def _pipe(stalls: Stalls, pipe: Pipe) -> tuple[str, ...]:
    one = stalls.pipes[pipe]

    def share(cycles: int) -> str:
        return f"{100 * stalls.share(cycles):.1f} %"

    large = [(str(name), cycles) for name, cycles in one.waits.items() if stalls.share(cycles) >= _SMALL]
    waits = [f"{name} {share(cycles)}".replace(" ", "\u00a0") for name, cycles in large]
    idle = one.cycles.get(LAUNCH, 0) + one.cycles.get(DONE, 0)
    return (
        metric_name(stalls.kind, pipe), share(one.cycles.get(BUSY, 0)), share(sum(one.waits.values())), share(idle),
        ", ".join(waits),
    )  # fmt: skip


def _gain(row: WhatIf) -> tuple[str, ...]:
    if row.time_us is None:
        return row.resource, "-", "-", row.reason or ""
    return row.resource, f"{row.time_us:,.1f}", f"{100 * (row.time_us / row.base_us - 1):+.1f} %", row.bound_by or ""


def result_sections(run: Run) -> Iterator[Section]:
    """What follows from the result and the sums of the recording: pipes, roofline, memory, numbers, dependence."""
    result = run.result
    shares = [(name.removesuffix("_ratio"), f"{100 * share:.1f} %") for name, share in result.pipes.items()]
    about = (
        "As the vendor's profiler counts: share of the kernel's time, averaged over the cores that had work, in which "
        "a pipe has a move or an instruction, waits for shared bandwidth among it; for the cube the cycles in which "
        "fractals come out. A stall is the scalar unit before full queues."
    )
    yield Section("Pipes", [about], (), [Table(shares, ["pipe", "share"])])
    yield _roofline(run)
    yield _memory(run)
    yield Section("Numbers", [_numerics(result)])
    if result.depends_on:
        rows = [(one["figure"], f"{one['elasticity']:+.2f}", one["unit"], one["standing"]) for one in result.depends_on]
        note = "By how many percent the time changes if a figure of the chip grows by 1 %, to first order."
        yield Section("Depends on", [note], (), [Table(rows, ["figure", "elasticity", "unit", "standing"], [2, 3])])


def _roofline(run: Run) -> Section:
    here = place(run.result.program, run.result.to_dict(), run.recording.chip)
    try:
        figures = [picture(roofline_figure([here]), "The kernel below the roofs of its chip.", NARROW)]
    except ArgumentError:
        why = "The kernel does no operations that count, or moves no bytes: it has no intensity."
        return Section("Roofline", [why])
    *_, nearest = roofline_lines(here)
    return Section("Roofline", [f"{nearest[0].upper()}{nearest[1:]}."], figures)


def _memory(run: Run) -> Section:
    memory, seconds = run.result.memory, run.result.time_us / 1e6
    buses = [
        ("HBM read", memory["hbm_read_bytes"]),
        ("HBM written", memory["hbm_write_bytes"]),
        ("L2 read", memory["l2_read_bytes"]),
        ("L2 written", memory["l2_write_bytes"]),
    ]
    paths: dict[tuple[Space, Space], int] = {}
    for core in run.recording.cores:
        for path, size in core.moved.items():
            paths[path] = paths.get(path, 0) + size * len(core.members)

    def traffic(rows: Sequence[tuple[str, float]]) -> list[tuple[str, str, str]]:
        return [(name, f"{size / 1e6:,.2f}", f"{size / seconds / 1e9:,.1f}") for name, size in rows if size]

    named = [(f"{source.value} to {target.value}", size) for (source, target), size in paths.items()]
    head = ["", "MB", "GB/s on average"]
    return Section(
        "Memory",
        [f"{100 * memory['l2_hit_ratio']:.1f} % of the bytes that L2 was asked for were there."] if named else [],
        (),
        [Table(traffic(buses), head, title="Buses"), Table(traffic(named), head, title="Data paths, all cores")],
    )


def _numerics(result: RunResult) -> str:
    found = result.numerics
    if found is None:
        return "No numbers were computed, or there was no reference to compare them with."
    error = "NaN or infinite" if found["relative_error"] is None else f"{float(found['relative_error']):.3e}"
    return f"Relative error {error} against {found['reference']}; the tolerance is {found['tolerance']}."
