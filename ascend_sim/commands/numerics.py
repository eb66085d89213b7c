"""Comparing attention algorithms in accuracy: numerics."""

from __future__ import annotations

from pathlib import Path
from shutil import get_terminal_size
from typing import Annotated

import typer

from ascend_sim.commands.shared import counter, refuse_program, short


def numerics(
    study: Annotated[
        str, typer.Argument(help="A bundled study (see `list studies`) or the path of a study file.", metavar="STUDY")
    ],
    overrides: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the study file, as shape.rows=64.")
    ] = [],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for study.json, errors.csv and figures.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print study.json instead of the tables.")] = False,
) -> None:
    """Compare attention algorithms in accuracy, in the number formats of the chip."""
    from ascend_sim.report.files import make_folder, write_files
    from ascend_sim.study.config import load_study
    from ascend_sim.study.figures import figures
    from ascend_sim.study.report import errors_csv, lines, study_json
    from ascend_sim.study.run import measure
    from ascend_sim.study.summary import summarise

    refuse_program(study)
    loaded = load_study(study, overrides)
    if out is not None:
        make_folder(out)
    with counter("computing") as advance:
        measured = measure(loaded, advance)
    results = summarise(loaded, measured)
    if json:
        typer.echo(study_json(loaded, measured), nl=False)
    else:
        for line in lines(results, get_terminal_size().columns):
            typer.echo(line)
    if out is not None:
        files: dict[Path, list[str] | bytes] = {
            out / "study.json": [study_json(loaded, measured)],
            out / "errors.csv": [errors_csv(measured)],
        }
        files |= {out / name: content for name, content in figures(results)}
        write_files(files)
        if not json:
            typer.echo("")
            typer.echo(f"written: {', '.join(short(path) for path in files)}")
