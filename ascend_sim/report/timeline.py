"""The pipeline timeline: what each pipe of a cube core and its vector cores did in a span of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
_SPAN_US = 100.0
"""Of a run that is longer so much is shown, from its middle, unless the caller says what to show."""

Colour = tuple[float, float, float, float]
_COLOURS: list[Colour] = [mpl.colormaps["tab10"](number) for number in range(10)]
_SHOWN = {"inline": "outside of stages"}
"""What the legend calls the instructions that the tracer found in no stage."""


def default_window(result: RunResult) -> Window:
    """The whole of a short run, and a span from the middle of a long one."""
    span = min(_SPAN_US, result.time_us)
    begin = (result.time_us - span) / 2
    return Window(begin, begin + span)


def timeline_figure(timelines: Timelines, result: RunResult, window: Window | None = None) -> Figure:
    """Draw the first group of cores of a run: one lane for each pipe, coloured by the stage that it works for.

    A bar lasts while an instruction holds its pipe; flags and barriers are left blank. To the right of each lane
    stands the share of the window for which the pipe worked.
    """
    shown = window or default_window(result)
    cores = _first_group(timelines)
    stages = _stages(cores)
    colours = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(stages)}
    lanes = [(core, pipe) for core in cores for pipe in _LANES[core.kind]]
    figure = Figure(figsize=(12, 1.7 + 0.42 * len(lanes)), layout="constrained")
    axes = figure.subplots()
    per_us = timelines.chip.cycles_per_second / 1e6
    drawn: set[str] = set()
    for row, (core, pipe) in enumerate(lanes):
        drawn |= _draw_lane(axes, row, core, pipe, shown, per_us, colours)
    _label(axes, lanes, shown)
    handles = [Patch(color=colours[name], label=_SHOWN.get(name, name)) for name in stages if name in drawn]
    figure.legend(handles=handles, loc="outside lower center", ncols=max(len(handles), 1), frameon=False)
    axes.set_title(
        f"{result.program} on {result.chip}: {result.time_us:,.1f} us, {result.tflops:.4g} TFLOPS, "
        f"{100 * result.flops_utilization:.1f} % of the peak\nbound by {result.bound_by}",
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
    return sorted(names, key=lambda name: name in _SHOWN)


def _stage_of_each(core: CoreTimeline, names: Sequence[str]) -> NDArray[np.int64]:
    calls = core.schedule.stream.calls
    numbers = {name: number for number, name in enumerate(names)}
    return np.repeat(
        np.array([numbers[call.template.name] for call in calls], dtype=np.int64),
        np.array([len(call.template.instructions) for call in calls], dtype=np.int64),
    )


def _draw_lane(
    axes: Axes, row: int, core: CoreTimeline, pipe: Pipe, shown: Window, per_us: float, colours: Mapping[str, Colour]
) -> set[str]:
    """Draw one lane; return the names of the stages that have a bar in it."""
    names = list(colours)
    stages = _stage_of_each(core, names)
    begin, end = shown.begin * per_us, shown.end * per_us
    works = (core.pipes == PIPES.index(pipe)) & ((core.kinds == RUN) | (core.kinds == MOVE))
    works &= (core.starts < end) & (core.frees > begin)
    starts, frees = np.maximum(core.starts, begin) / per_us, np.minimum(core.frees, end) / per_us
    for number, name in enumerate(names):
        chosen = works & (stages == number)
        bars = list(zip(starts[chosen].tolist(), (frees - starts)[chosen].tolist(), strict=True))
        axes.broken_barh(bars, (row - 0.38, 0.76), facecolors=colours[name], linewidth=0)
    busy = float((frees - starts)[works].sum()) / (shown.end - shown.begin)
    axes.text(1.01, row, f"{100 * busy:.0f} %", transform=axes.get_yaxis_transform(), va="center", fontsize=9)
    return {names[number] for number in np.unique(stages[works]).tolist()}


def _label(axes: Axes, lanes: Sequence[tuple[CoreTimeline, Pipe]], shown: Window) -> None:
    names = []
    for row, (core, pipe) in enumerate(lanes):
        label = metric_name(core.kind, pipe).replace("_", " ")
        names.append(f"{label} {core.schedule.stream.core.sub}" if core.kind is CoreKind.AIV else label)
        if row and lanes[row - 1][0] is not core:
            axes.axhline(row - 0.5, color="0.4", linewidth=0.8)
    axes.text(1.01, -0.75, "busy", transform=axes.get_yaxis_transform(), va="center", fontsize=9)
    axes.set_yticks(range(len(lanes)), names)
    axes.set_ylim(len(lanes) - 0.5, -0.5)
    axes.set_xlim(shown.begin, shown.end)
    axes.set_xlabel("time since launch in us")
    axes.grid(axis="x", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
