"""Why a run takes its time: why."""

from __future__ import annotations

from typing import Annotated

import typer

from ascend_sim.commands.shared import Overrides, counter, progress, refuse_program


def why(
    run: Annotated[
        str, typer.Argument(help="A folder that `run --out` has written, a run file or a bundled run.", metavar="RUN")
    ],
    overrides: Overrides = [],
    core: Annotated[str | None, typer.Option("--core", help="One core, such as die0.core0.cubecore0.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="aic or aiv; both by default.")] = None,
    stages: Annotated[bool, typer.Option("--stages", help="Also each stage of each pipe.")] = False,
    what_if: Annotated[
        bool, typer.Option("--what-if/--no-what-if", help="Simulate it also without what bounds it, or not.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say what a run waited for: its critical path by stage, and for each pipe what it does and waits for."""
    from json import dumps

    from rich.console import Console

    from ascend_sim.opened import open_run
    from ascend_sim.report.why import explain, print_why, to_json, with_gains

    refuse_program(run)
    with progress() as observers:
        opened = open_run(run, overrides, observers)
    found = explain(opened.result, opened.recording, core, kind)
    if what_if:
        from ascend_sim.whatif import what_if as simulate_changes

        with counter("what if") as advance:
            found = with_gains(found, simulate_changes(run, overrides, advance=advance), run)
    if json:
        typer.echo(dumps(to_json(found), indent=2, allow_nan=False))
    else:
        print_why(found, Console(highlight=False), stages=stages)
