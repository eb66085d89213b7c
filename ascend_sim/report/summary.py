"""The summary of a run for people: a screenful, legible at 80 columns with and without colours."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ascend_sim.isa.words import CoreKind
from ascend_sim.observe.statistics import CoreStatistics
from ascend_sim.report.result import RunResult

_BAR = 30
_KINDS = {CoreKind.AIC: "cube", CoreKind.AIV: "vector"}


def print_summary(result: RunResult, statistics: Sequence[CoreStatistics], console: Console) -> None:
    """Print the summary of *result* to *console*."""
    print_content(summary(result, statistics, ascii_only=console.options.ascii_only), console)


def print_content(content: RenderableType, console: Console) -> None:
    """Print *content* to *console*; into a file or pipe, without blanks at the ends of lines."""
    if console.is_terminal:
        console.print(content)
        return
    with console.capture() as capture:
        console.print(content)
    for line in capture.get().splitlines():
        console.out(line.rstrip(), highlight=False)


def summary(result: RunResult, statistics: Sequence[CoreStatistics], ascii_only: bool = False) -> RenderableType:
    """Title, time, rate, utilisation, pipes, memory, bound, dependence, numerics, warnings as a rich renderable."""
    filled, empty = ("#", ".") if ascii_only else ("█", "░")

    def bar(share: float, style: str) -> Text:
        cells = min(round(share * _BAR), _BAR)
        return Text.assemble((filled * cells, style), (empty * (_BAR - cells), "dim"), f" {100 * share:5.1f} %")

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True, min_width=12)
    table.add_column(overflow="fold")
    table.add_row("time", f"{duration(result.time_us)}  ({result.cycles:,} cycles)")
    table.add_row("time error", _expected_error(result))
    table.add_row("rate", f"{result.tflops:.4g} TFLOPS of {result.peak_tflops:.1f}")
    table.add_row("utilization", bar(result.flops_utilization, "green"))
    for kind in CoreKind:
        if any(one.kind is kind and one.worked for one in statistics):
            names = [name for name in result.pipes if name.startswith(kind.value) and "_stall_" not in name]
            table.add_row("")
            for name in names:
                table.add_row(name.removesuffix("_ratio"), bar(result.pipes[name], "cyan"))
    table.add_row("")
    memory = result.memory
    table.add_row("HBM", f"{_bytes(memory['hbm_read_bytes'])} read, {_bytes(memory['hbm_write_bytes'])} written")
    table.add_row(
        "L2",
        f"{_bytes(memory['l2_read_bytes'])} read, {_bytes(memory['l2_write_bytes'])} written, "
        f"{100 * memory['l2_hit_ratio']:.1f} % hits",
    )
    table.add_row("bound by", result.bound_by)
    if result.depends_on:
        table.add_row("depends on", _dependence(result))
    table.add_row("numbers", _numerics(result))
    for warning in result.warnings:
        table.add_row(Text("warning", style="bold yellow"), warning)
    title = Text.assemble((f"{result.program} on {result.chip}", "bold"), f"  {_cores(statistics)}")
    return Group(title, table)


def _cores(statistics: Sequence[CoreStatistics]) -> str:
    counts = {
        kind: sum(len(one.members) for one in statistics if one.kind is kind and one.worked) for kind in CoreKind
    }
    parts = [f"{count} {_KINDS[kind]}" for kind, count in counts.items() if count]
    cores = "core" if sum(counts.values()) == 1 else "cores"
    return f"{' and '.join(parts)} {cores}" if parts else "no core had work"


def duration(microseconds: float) -> str:
    """*microseconds* for people: long times in ms."""
    return f"{microseconds / 1e3:.4g} ms" if microseconds >= 1e4 else f"{microseconds:.5g} us"


def _bytes(size: float) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size:.0f} B"


def _expected_error(result: RunResult) -> str:
    """The expected error of the time from rows on which nothing was fitted, where they are known; then the note."""
    expected = result.expected_error
    note = "" if expected["note"] is None else f"; {expected['note']}"
    mean, most = expected["leave_one_out_mape"], expected["leave_one_out_max"]
    if mean is None:
        return f"not known, no such kernel was measured; {expected['kind']}: +-{100 * expected['mape']:.0f} %{note}"
    rows = f"{expected['kind']}, {expected['rows']} measured"
    return f"+-{100 * mean:.0f} % expected ({rows}; at most {100 * most:.0f} %){note}"


def _dependence(result: RunResult) -> Table:
    """One line for each figure: by how many percent the time changes if it grows by 1 %, its key, its standing."""
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for one in result.depends_on:
        table.add_row(f"{one['elasticity']:+.2f}", one["figure"], one["standing"])
    return table


def _numerics(result: RunResult) -> Text:
    numerics = result.numerics
    if numerics is None:
        return Text("not computed" if not result.config["data"]["enabled"] else "computed, not checked", "dim")
    error, tolerance = numerics["relative_error"], numerics["tolerance"]
    if error is None:
        return Text(f"NaN or infinite values; compared with {numerics['reference']}", "bold red")
    good = float(error) <= float(tolerance or 0.0)
    sign = "within" if good else "above"
    text = f"relative error {float(error):.2e}, {sign} {tolerance:g}, against {numerics['reference']}"
    return Text(text, "green" if good else "bold red")
