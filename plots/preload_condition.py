"""When one C1 ahead is enough: AMLA's time per task against the times of its stages, over the width of the cache.

    python plots/preload_condition.py [--set KEY=VALUE ...] [--out FILE]

A narrower latent_dim makes C1 and C2 shorter and leaves V1 as it is. The stages are timed in runs without preload, on
one cube core and its vector cores; from these times the period with preload is predicted, and then measured. Prints a
Markdown table and draws both, with the two streams on either side of the condition.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ascend_sim.kernel import AIC, Pipe
from ascend_sim.observe.timeline import CoreTimeline
from ascend_sim.opened import open_run
from ascend_sim.report.lanes import Doing, pipe_lane
from ascend_sim.report.style import NEUTRAL, PALETTE, look, tint, write_figure

WIDTHS = (64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512)
"""Values of latent_dim; that of the model is 512."""
AHEAD = (0, 1, 2)
HOLDS, FAILS = 512, 128
"""The widths whose streams are drawn."""
ONE_CORE = ("problem.batch=1", "problem.kv_tokens=8192", "launch.blocks=1")
"""Sixteen tasks that nobody disturbs."""
CUBE_STAGES, VECTOR_STAGES = ("c1", "c2"), ("v1", "rescale")
NAMES = {"c1": "C1", "c2": "C2", "v1": "V1", "rescale": "R (rescaling)"}
MARKS = {0: ("o", PALETTE[3], "full"), 1: ("s", "black", "full"), 2: ("D", PALETTE[5], "none")}


@dataclass(frozen=True)
class Streams:
    """One run: for each task when each stage has its main pipe, the cube or the vector unit, in cycles."""

    begins: dict[str, list[int]]
    ends: dict[str, list[int]]

    @cached_property
    def steady(self) -> range:
        """The tasks in the middle, where the pipeline is full."""
        count = len(self.begins["c1"])
        return range(count // 3, 2 * count // 3)

    @property
    def period(self) -> float:
        """Cycles from a task to the next."""
        begins = self.begins["c1"]
        return (begins[self.steady.stop] - begins[self.steady.start]) / len(self.steady)

    def duration(self, stage: str) -> float:
        """Cycles that *stage* has its pipe, for one task."""
        return float(np.median([self.ends[stage][task] - self.begins[stage][task] for task in self.steady]))


@dataclass(frozen=True)
class Stages:
    """Cycles of the stages of a task, and of all *hand_overs* between them: C1 to V1, V1 to C2, C2 to the next C1."""

    c1: float
    v1: float
    c2: float
    rescale: float
    hand_overs: float

    @property
    def cube(self) -> float:
        """What a task takes of the cube core."""
        return self.c1 + self.c2

    @property
    def vector(self) -> float:
        """What a task takes of a vector core."""
        return self.v1 + self.rescale

    def chain(self, ahead: int) -> float:
        """What a task takes of the chain C1, V1, C2, which comes round once in *ahead* + 1 tasks."""
        return (self.cube + self.v1 + self.hand_overs) / (ahead + 1)

    def period(self, ahead: int) -> float:
        """The predicted period: whichever of cube, vector cores and chain takes longest."""
        return max(self.cube, self.vector, self.chain(ahead))


def streams_of(latent_dim: int, ahead: int, overrides: tuple[str, ...] = ()) -> Streams:
    """Simulate AMLA with *latent_dim* and *ahead* C1 issued ahead."""
    part = (latent_dim + 64) // 2  # columns of Q and K in an L1 tile, cut into even steps through L0
    depth = 16 * math.ceil(part / math.ceil(part / 128) / 16)
    sizes = (f"problem.latent_dim={latent_dim}", f"tiling.c1_l0_depth={depth}", f"schedule.preload={ahead}")
    cores = list(open_run("amla_decode", [*ONE_CORE, *sizes, *overrides]).recording.cores)
    spans = {stage: list(spans_of(cores[0], Pipe.M, stage)) for stage in CUBE_STAGES}
    spans |= {stage: list(spans_of(cores[1], Pipe.V, stage)) for stage in VECTOR_STAGES}
    # The first task has nothing to rescale
    spans["rescale"] = spans["rescale"][:1] + spans["rescale"]
    return Streams(
        {stage: [begin for begin, _ in own] for stage, own in spans.items()},
        {stage: [end for _, end in own] for stage, own in spans.items()},
    )


def spans_of(core: CoreTimeline, pipe: Pipe, stage: str) -> Iterator[tuple[int, int]]:
    """For each call of *stage* on *core*: when *pipe* begins its first instruction, and is done with the last."""
    assert (core.kind is AIC) == (pipe is Pipe.M)
    work = pipe_lane(core, pipe).doing(Doing.WORK)
    for call, facts in enumerate(core.calls):
        if facts.name == stage:
            first, behind = np.searchsorted(work.calls, (call, call + 1))
            yield int(work.begins[first]), int(work.ends[behind - 1])


def stages_of(streams: Streams) -> Stages:
    """The times of the stages in a run without preload, where nothing overlaps and each period is their sum."""
    c1, v1, c2, rescale = (streams.duration(stage) for stage in ("c1", "v1", "c2", "rescale"))
    return Stages(c1, v1, c2, rescale, streams.period - c1 - v1 - c2)


def curves(axes: Axes, stages: dict[int, Stages], periods: dict[tuple[int, int], float]) -> None:
    """The measured periods over latent_dim, on the lines that the times of the stages predict."""
    widths = list(stages)
    edge = crossing(stages)
    axes.axvspan(widths[0] - 16, edge, color=tint(PALETTE[1], 0.18), linewidth=0)
    lines = (
        ([one.chain(0) for one in stages.values()], NEUTRAL, "--", "no preload: $T_{C1}+T_{V1}+T_{C2}$ + hand-overs"),
        ([one.cube for one in stages.values()], PALETTE[0], "-", "cube core: $T_{C1}+T_{C2}$"),
        ([one.vector for one in stages.values()], PALETTE[1], "-", "vector core: $T_{V1}+T_R$"),
        ([one.chain(1) for one in stages.values()], NEUTRAL, ":", "half of the dashed line: the chain, one C1 ahead"),
    )
    for values, colour, line, label in lines:
        axes.plot(widths, [value / 1e3 for value in values], color=colour, linestyle=line, linewidth=1.8, label=label)
    for ahead, (marker, colour, fill) in MARKS.items():
        axes.plot(
            widths, [periods[width, ahead] / 1e3 for width in widths], linestyle="none", marker=marker, color=colour,
            fillstyle=fill, markersize=9 if fill == "none" else 5.5, label=f"simulated, preload {ahead}",
        )  # fmt: skip
    axes.axvline(edge, color="0.3", linewidth=0.8)
    gain, most = max((periods[width, 1] / periods[width, 2] - 1, width) for width in widths)
    axes.annotate(
        f"here preload 2 gains up to {100 * gain:.1f} %", (most, periods[most, 1] / 1e3), xytext=(0, 34),
        textcoords="offset points", ha="center", fontsize=9, arrowprops={"arrowstyle": "->", "shrinkB": 5},
    )  # fmt: skip
    top = 1.09 * max(periods.values()) / 1e3
    axes.text(edge - 5, 0.99 * top, "the condition fails:\nthe cube waits for V1", ha="right", va="top", fontsize=9)
    holds = "$T_{V1}$ + hand-overs $\\leq$ $T_{C1}+T_{C2}$:\ncube-bound"
    axes.text(edge + 5, 0.99 * top, holds, ha="left", va="top", fontsize=9)
    axes.set(xlim=(widths[0] - 16, widths[-1] + 16), ylim=(0, top))
    axes.set_xticks(widths)
    axes.set(xlabel="latent_dim (512 in the model); rope_dim 64", ylabel="thousand cycles per task")
    axes.legend(loc="lower right", ncols=2, frameon=False, fontsize=8.5)
    axes.spines[["top", "right"]].set_visible(False)
    title = "AMLA on one cube core and its vector cores, 256 query rows, tasks of 512 keys, ascend910c"
    axes.set_title(title, loc="left", fontsize=10)


def crossing(stages: dict[int, Stages]) -> float:
    """The latent_dim, between those measured, from which T_V1 + hand-overs <= T_C1 + T_C2 on."""
    widths = list(stages)
    spare = [one.cube - one.v1 - one.hand_overs for one in stages.values()]
    return float(np.interp(0.0, spare, widths))


def draw_streams(axes: Axes, streams: Streams, title: str) -> None:
    """The cube and the vector stream for a few tasks, and for one of them the window in which its V1 may run."""
    task = streams.steady.start + 1
    origin, end = streams.begins["c1"][task], streams.begins["c1"][task + 3]
    for number, stage in enumerate((*CUBE_STAGES, *VECTOR_STAGES)):
        colour, hatch = look(number)
        row = 0 if stage in CUBE_STAGES else 1
        for which, (begin, behind) in enumerate(zip(streams.begins[stage], streams.ends[stage], strict=True)):
            left, right = (max(min(edge, end), origin) - origin for edge in (begin, behind))
            if left == right:
                continue
            axes.broken_barh(
                [(left / 1e3, (right - left) / 1e3)], (row - 0.32, 0.64), facecolor=colour,
                edgecolor=tint(colour, 0.5), hatch=hatch, linewidth=0.6,
            )  # fmt: skip
            if right - left > 0.06 * (end - origin):
                axes.text(
                    (left + right) / 2e3, row, f"{stage.upper()}\n{which}", ha="center", va="center", fontsize=7,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0}, linespacing=0.95,
                )  # fmt: skip
    window = [(streams.ends["c1"][one] - origin) / 1e3 for one in (task, task + 1)]
    axes.annotate("", (window[0], 0.5), (window[1], 0.5), arrowprops={"arrowstyle": "<->", "shrinkA": 0, "shrinkB": 0})
    axes.text(sum(window) / 2, 0.47, f"window of V1 {task}", ha="center", va="bottom", fontsize=7.5, color="black")
    for edge in window:
        axes.plot((edge, edge), (-0.4, 1.4), color="black", linewidth=0.9, linestyle=":")
    axes.set_yticks((0, 1), ("cube", "vector"), fontsize=9)
    axes.set(xlim=(0, (end - origin) / 1e3), ylim=(1.5, -0.5), xlabel="thousand cycles")
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize=9.5)


def condition_figure(
    stages: dict[int, Stages], periods: dict[tuple[int, int], float], shown: dict[int, Streams]
) -> Figure:
    """The periods over latent_dim above, the streams of two runs below."""
    figure = Figure(figsize=(11, 7.4), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(2.1, 1))
    curves(figure.add_subplot(grid[0, :]), stages, periods)
    for place, (width, streams) in enumerate(shown.items()):
        holds = stages[width].v1 + stages[width].hand_overs <= stages[width].cube
        says = "V1 fits, the cube never waits" if holds else "V1 does not fit, the cube waits"
        draw_streams(figure.add_subplot(grid[1, place]), streams, f"latent_dim {width}, preload 1: {says}")
    patches = []
    for number, stage in enumerate((*CUBE_STAGES, *VECTOR_STAGES)):
        colour, hatch = look(number)
        patches.append(Patch(facecolor=colour, hatch=hatch, edgecolor=tint(colour, 0.5), label=NAMES[stage]))
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), frameon=False, fontsize=9)
    return figure


def draw(
    out: Annotated[Path, typer.Option("--out", help="The image to write.")] = Path("preload_condition.png"),
    overrides: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change every run.")] = [],  # noqa: B006
) -> None:
    """Time the stages and the tasks of AMLA for each width and preload, print the table and draw it."""
    measured = "preload 0 | preload 1 | predicted | preload 2 | predicted"
    typer.echo(f"| latent_dim | T_C1 | T_V1 | T_C2 | T_R | hand-overs | {measured} |\n" + "|---:" * 11 + "|")
    stages: dict[int, Stages] = {}
    periods: dict[tuple[int, int], float] = {}
    shown: dict[int, Streams] = {}
    for width in WIDTHS:
        for ahead in AHEAD:
            streams = streams_of(width, ahead, tuple(overrides))
            periods[width, ahead] = streams.period
            if ahead == 0:
                one = stages[width] = stages_of(streams)
            elif ahead == 1 and width in (HOLDS, FAILS):
                shown[width] = streams
        cells = [one.c1, one.v1, one.c2, one.rescale, one.hand_overs, periods[width, 0]]
        cells += [cell for ahead in AHEAD[1:] for cell in (periods[width, ahead], one.period(ahead))]
        typer.echo(f"| {width} | " + " | ".join(f"{cell:,.0f}" for cell in cells) + " |")
    typer.echo(f"one C1 ahead is enough from latent_dim {crossing(stages):.0f} on")
    write_figure(out, condition_figure(stages, periods, {width: shown[width] for width in (HOLDS, FAILS)}))
    typer.echo(f"written: {out}")


if __name__ == "__main__":
    typer.run(draw)
