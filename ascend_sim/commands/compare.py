"""Commands about several runs: compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ascend_sim.commands.shared import expect_suffix, progress, refuse_program, short
from ascend_sim.errors import ArgumentError


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(help="Folders that `run --out` has written, run files or bundled runs.", metavar="RUN RUN ..."),
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE.html", help="Write a page with aligned timelines.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Put runs side by side: what was changed, and what came of it."""
    from json import dumps

    from ascend_sim.opened import open_run
    from ascend_sim.report.compare import compared, differences, lines, to_json

    if len(runs) < 2:
        raise ArgumentError(f"{runs[0]}: there is nothing to compare one run with; name two runs or more")
    if out is not None:
        expect_suffix(out, ".html")
    opened = []
    for one in runs:
        refuse_program(one)
        with progress() as observers:
            opened.append(open_run(one, observers=observers))
    results = [one.result for one in opened]
    rows, changed = compared(results), differences(results)
    if json:
        typer.echo(dumps(to_json(runs, rows, changed), indent=2, allow_nan=False))
    else:
        for line in lines(runs, rows, changed):
            typer.echo(line)
    if out is not None:
        from ascend_sim.report.files import write_text
        from ascend_sim.report.html import comparison_page
        from ascend_sim.report.sections import aligned_timelines

        write_text(out, comparison_page(opened, rows, changed, aligned_timelines(opened)))
        if not json:
            typer.echo(f"written: {short(out)}")
