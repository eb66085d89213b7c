"""The pipeline timeline: what each pipe of a cube core and its vector cores did in a span of time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ascend_sim.isa.words import CoreKind, Pipe
from ascend_sim.observe.timeline import MOVE, PIPES, RUN, CoreTimeline, Timelines, metric_name
from ascend_sim.report.result import RunResult
from ascend_sim.report.trace import Window

_LANES = {
    CoreKind.AIC: (Pipe.MTE2, Pipe.MTE1, Pipe.M, Pipe.FIX),
    CoreKind.AIV: (Pipe.MTE2, Pipe.V, Pipe.MTE3),
}
_LONG_US = 60.0
"""A run that is longer is shown in part unless the caller says what to show."""

_COLOURS = mpl.colormaps["tab10"].colors  # type: ignore[attr-defined]  # a ListedColormap
_UNNAMED = "inline"
"""Instructions outside of stages; grey."""


def default_window(result: RunResult) -> Window:
    """The whole of a short run, and a span from the middle of a long one."""
    if result.time_us <= _LONG_US:
        return Window(0.0, result.time_us)
    middle = result.time_us / 2
    return Window(middle - _LONG_US / 2, middle + _LONG_US / 2)


def timeline_figure(timelines: Timelines, result: RunResult, window: Window | None = None) -> Figure:
    """Draw the first group of cores of a run: one lane for each pipe, coloured by the stage that it works for.

    A bar lasts while an instruction holds its pipe; flags and barriers are left blank. To the right of each lane
    stands the share of the window for which the pipe worked.
    """
    shown = window or default_window(result)
    cores = _first_group(timelines)
    stages = _stages(cores)
    colours = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(stages) if name != _UNNAMED}
    colours[_UNNAMED] = (0.6, 0.6, 0.6)
    lanes = [(core, pipe) for core in cores for pipe in _LANES[core.kind]]
    figure = Figure(figsize=(12, 1.7 + 0.42 * len(lanes)), layout="constrained")
    axes = figure.subplots()
    per_us = timelines.chip.cycles_per_second / 1e6
    for row, (core, pipe) in enumerate(lanes):
        _draw_lane(axes, row, core, pipe, shown, per_us, colours)
    _label(axes, lanes, shown)
    handles = [Patch(color=colours[name], label=name) for name in stages]
    figure.legend(handles=handles, loc="outside lower center", ncols=max(len(handles), 1), title="stage", frameon=False)
    axes.set_title(
        f"{result.program} on {result.chip}: {result.time_us:,.1f} us, {result.tflops:.4g} TFLOPS, "
        f"{100 * result.flops_utilization:.1f} % of the peak\n{result.bound_by}",
        loc="left",
        fontsize=11,
    )
    return figure


def write_timeline(path: Path, timelines: Timelines, result: RunResult, window: Window | None = None) -> None:
    """Draw the timeline into the image file *path*."""
    timeline_figure(timelines, result, window).savefig(path, dpi=150)


def _first_group(timelines: Timelines) -> list[CoreTimeline]:
    cores = [timelines.core(number) for number in range(len(timelines))]
    first = cores[0].schedule.stream.core
    return [
        core
        for core in cores
        if (core.schedule.stream.core.die, core.schedule.stream.core.group) == (first.die, first.group)
    ]


def _stages(cores: Sequence[CoreTimeline]) -> list[str]:
    """Names of the stages in order of first use, instructions outside of stages last."""
    names = dict.fromkeys(call.template.name for core in cores for call in core.schedule.stream.calls)
    return sorted(names, key=lambda name: name == _UNNAMED)


def _stage_of_each(core: CoreTimeline, names: Sequence[str]) -> NDArray[np.int64]:
    calls = core.schedule.stream.calls
    numbers = {name: number for number, name in enumerate(names)}
    return np.repeat(
        np.array([numbers[call.template.name] for call in calls], dtype=np.int64),
        np.array([len(call.template.instructions) for call in calls], dtype=np.int64),
    )


def _draw_lane(
    axes: Axes, row: int, core: CoreTimeline, pipe: Pipe, shown: Window, per_us: float, colours: dict[str, object]
) -> None:
    names = list(colours)
    stages = _stage_of_each(core, names)
    begin, end = shown.begin * per_us, shown.end * per_us
    works = (core.pipes == PIPES.index(pipe)) & ((core.kinds == RUN) | (core.kinds == MOVE))
    works &= (core.starts < end) & (core.frees > begin)
    starts, frees = np.maximum(core.starts, begin) / per_us, np.minimum(core.frees, end) / per_us
    for number, name in enumerate(names):
        chosen = works & (stages == number)
        bars = np.column_stack([starts[chosen], (frees - starts)[chosen]])
        axes.broken_barh(bars, (row - 0.38, 0.76), facecolors=colours[name], linewidth=0)
    busy = float((frees - starts)[works].sum()) / (shown.end - shown.begin)
    axes.text(1.01, row, f"{100 * busy:.0f} %", transform=axes.get_yaxis_transform(), va="center", fontsize=9)


def _label(axes: Axes, lanes: Sequence[tuple[CoreTimeline, Pipe]], shown: Window) -> None:
    names = []
    for row, (core, pipe) in enumerate(lanes):
        label = metric_name(core.kind, pipe).replace("_", " ")
        names.append(f"{label} {core.schedule.stream.core.sub}" if core.kind is CoreKind.AIV else label)
        if row and lanes[row - 1][0] is not core:
            axes.axhline(row - 0.5, color="0.4", linewidth=0.8)
    axes.set_yticks(range(len(lanes)), names)
    axes.set_ylim(len(lanes) - 0.5, -0.5)
    axes.set_xlim(shown.begin, shown.end)
    axes.set_xlabel("time since launch in us")
    axes.grid(axis="x", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
