"""The page of a run: report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ascend_sim.commands.shared import Overrides, counter, expect_suffix, progress, refuse_program, short


def report(
    run: Annotated[
        str, typer.Argument(help="A folder that `run --out` has written, a run file or a bundled run.", metavar="RUN")
    ],
    overrides: Overrides = [],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE.html", help="The page; report.html beside the run.")
    ] = None,
    what_if: Annotated[
        bool, typer.Option("--what-if/--no-what-if", help="Simulate it also without what bounds it, or not.")
    ] = False,
) -> None:
    """Write one page with all about a run: timelines, waits, roofline, memory, numbers, configuration."""
    from ascend_sim.opened import open_run
    from ascend_sim.report.files import write_text
    from ascend_sim.report.html import run_page
    from ascend_sim.report.sections import sections_of

    if out is not None:
        expect_suffix(out, ".html")
    refuse_program(run)
    with progress() as observers:
        opened = open_run(run, overrides, observers)
    gains = []
    if what_if:
        from ascend_sim.whatif import what_if as simulate_changes

        with counter("what if") as advance:
            gains = simulate_changes(run, overrides, advance=advance)
    path = out or (Path(run) if Path(run).is_dir() else Path()) / "report.html"
    write_text(path, run_page(opened, sections_of(opened, gains)))
    typer.echo(f"written: {short(path)}")
