"""Draw the inside of one C1 and of one C2 of AMLA: how MTE2, MTE1, the cube and FIXP overlap under hierarchical tiling.

    python plots/amla_inside.py [--out FOLDER]
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ascend_sim.kernel import AIC, Pipe
from ascend_sim.opened import OpenedRun, open_run
from ascend_sim.report.cores import shown_cores
from ascend_sim.report.lanes import pipe_lane, spans_of
from ascend_sim.report.style import write_figure
from ascend_sim.report.timeline import timeline_figure
from ascend_sim.report.views import View

PROBLEM = ("problem.batch=24", "problem.kv_tokens=4096")
TASK = 4
"""One in the middle, where the pipeline is full."""
MARGIN = 0.02


def window_of(opened: OpenedRun, stage: str) -> View:
    """The time for which the cube of the first core works on task TASK of *stage*."""
    core = next(core for core in opened.recording.cores if core.kind is AIC)
    spans = spans_of(pipe_lane(core, Pipe.M))
    wanted = [
        position
        for position, call in enumerate(spans.calls.tolist())
        if core.calls[call].name == stage and core.turns[call] == TASK
    ]
    begin, end = int(spans.begins[wanted].min()), int(np.max(spans.ends[wanted]))
    margin = round(MARGIN * (end - begin))
    return View("", begin - margin, end + margin)


def draw(
    out: Annotated[Path, typer.Option("--out", help="The folder for amla_c1.png and amla_c2.png.")] = Path(),
) -> None:
    """Simulate AMLA and draw one call of C1 and one of C2 on the first cube core."""
    opened = open_run("amla_decode", PROBLEM)
    cores = shown_cores(opened.recording, "core0.cubecore0")
    for stage in ("c1", "c2"):
        command = f"python plots/amla_inside.py --out {out}"
        figure = timeline_figure(opened.recording, opened.result, cores, window_of(opened, stage), command=command)
        path = out / f"amla_{stage}.png"
        write_figure(path, figure)
        typer.echo(f"written: {path}")


if __name__ == "__main__":
    typer.run(draw)
