"""Draw AMLA's Preload Pipeline: the cube and the vector stream of one group of cores, with preload and without.

    python plots/amla_preload.py [--set KEY=VALUE ...] [--out FILE]
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ascend_sim.kernel import AIC, Pipe
from ascend_sim.observe.timeline import CoreTimeline
from ascend_sim.opened import OpenedRun, open_run
from ascend_sim.report.lanes import Doing, pipe_lane, spans_of
from ascend_sim.report.stages import INLINE, display_name, numbered_stages, stage_names
from ascend_sim.report.style import look, tint, write_figure

PROBLEM = ("problem.batch=24", "problem.kv_tokens=4096")
"""Eight tasks for each cube core of one die: short enough to see them all."""
TITLES = {
    1: "preload 1: one C1 is issued ahead, and the cube works while the vector cores are busy with V1",
    0: "preload 0: the cube waits for V1 in every task",
}


def group_of(opened: OpenedRun) -> list[CoreTimeline]:
    """The first cube core and its first vector core."""
    first, *others = opened.recording.cores
    return [first, next(core for core in others if core.id.group == first.id.group and core.kind is not AIC)]


def draw_stream(axes: Axes, row: int, core: CoreTimeline, per_us: float, looks: dict[str, int]) -> float:
    """Draw what the main pipe of *core* did, a box for each call of a stage; return its share of the time."""
    lane = pipe_lane(core, Pipe.M if core.kind is AIC else Pipe.V)
    spans, numbered = spans_of(lane), numbered_stages(core)
    for begin, end, call in zip(spans.begins / per_us, spans.ends / per_us, spans.calls.tolist(), strict=True):
        name = core.calls[call].name
        if name == INLINE:
            continue
        colour, hatch = look(looks[name])
        axes.broken_barh(
            [(begin, end - begin)], (row - 0.36, 0.72), facecolor=colour, edgecolor=tint(colour, 0.5), hatch=hatch,
            linewidth=0.6,
        )  # fmt: skip
        if name in numbered:
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
            label = f"{display_name(name)}\n{core.turns[call]}"
            axes.text((begin + end) / 2, row, label, ha="center", va="center", fontsize=6.5, bbox=box, linespacing=0.95)
    first, last = int(lane.begins.min()), int(lane.ends.max())
    return lane.cycles(Doing.WORK) / (last - first)


def preload_figure(runs: dict[int, OpenedRun]) -> Figure:
    """A panel for each of *runs*, by how many tasks are issued ahead, on one scale of time."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    panels = figure.subplots(len(runs), 1, sharex=True)
    some = group_of(next(iter(runs.values())))
    looks = {name: number for number, name in enumerate(stage_names(some)) if name != INLINE}
    ends = []
    for axes, (ahead, opened) in zip(np.atleast_1d(panels), runs.items(), strict=True):
        per_us = opened.recording.chip.cycles_per_second / 1e6
        cube, vector = group_of(opened)
        shares = [draw_stream(axes, row, core, per_us, looks) for row, core in enumerate((cube, vector))]
        ends.append(max(int(core.ends.max()) for core in (cube, vector)) / per_us)
        names = [f"{name}\n{share:.0%} busy" for name, share in zip(("cube", "vector 0"), shares, strict=True)]
        axes.set_yticks((0, 1), names, fontsize=9)
        axes.set(ylim=(1.55, -0.55))
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_title(f"{TITLES[ahead]}: {ends[-1]:.0f} us for eight tasks", loc="left", fontsize=10)
    axes.set(xlim=(0, 1.01 * max(ends)), xlabel="time since the launch in us (the first core of a 910C)")
    handles = [
        Patch(facecolor=colour, hatch=hatch, edgecolor=tint(colour, 0.5), label=display_name(name))
        for name, (colour, hatch) in ((name, look(number)) for name, number in looks.items())
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9)
    return figure


def draw(
    out: Annotated[Path, typer.Option("--out", help="The image to write.")] = Path("amla_preload.png"),
    overrides: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change both runs.")] = [],  # noqa: B006
) -> None:
    """Simulate AMLA with preload 1 and 0, print both times and draw them."""
    runs = {}
    for ahead in TITLES:
        runs[ahead] = open_run("amla_decode", [*PROBLEM, f"schedule.preload={ahead}", *overrides])
        result = runs[ahead].result
        typer.echo(f"preload {ahead}: {result.time_us:.1f} us, cube busy {result.pipes['aic_cube_ratio']:.1%}")
    write_figure(out, preload_figure(runs))
    typer.echo(f"written: {out}")


if __name__ == "__main__":
    typer.run(draw)
