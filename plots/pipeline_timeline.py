"""Draw the pipeline timeline of a run: `python plots/pipeline_timeline.py amla_small --out timeline.png`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ascend_sim.config import load_run
from ascend_sim.errors import AscendSimError
from ascend_sim.report.timeline import default_window, write_timeline
from ascend_sim.report.trace import Window
from ascend_sim.simulate import simulate


def draw(
    config: Annotated[str, typer.Argument(help="A bundled run or the path of a run file.")],
    out: Annotated[Path, typer.Option("--out", help="The image to write.")] = Path("pipeline_timeline.png"),
    overrides: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the run.")] = [],  # noqa: B006
    begin: Annotated[float | None, typer.Option("--begin", help="First microsecond to show.")] = None,
    end: Annotated[float | None, typer.Option("--end", help="Last microsecond to show.")] = None,
) -> None:
    """Time a run and draw what the pipes of its first group of cores did."""
    try:
        outcome = simulate(load_run(config, overrides), data=False)
    except AscendSimError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from None
    shown = default_window(outcome.result)
    window = Window(shown.begin if begin is None else begin, shown.end if end is None else end)
    write_timeline(out, outcome.timelines, outcome.result, window)
    typer.echo(f"written: {out}")


if __name__ == "__main__":
    typer.run(draw)
