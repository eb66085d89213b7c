"""Commands about how right the simulator is, and which figures matter: sensitivity, validate, calibrate."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ascend_sim.commands.shared import Overrides, counter, refuse_program, short


def sensitivity(
    config: Annotated[str, typer.Argument(help="A bundled run (see `list configs`) or the path of a run file.")],
    overrides: Overrides = [],
    step: Annotated[float, typer.Option("--step", metavar="PERCENT", help="By how much each figure is varied.")] = 10.0,
    jobs: Annotated[int | None, typer.Option("--jobs", help="Processes; as many as cores by default.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print a list of all figures instead of the table.")] = False,
) -> None:
    """Print by how much each figure of the chip moves the time of a run."""
    from ascend_sim.report.sensitivity import table, to_json
    from ascend_sim.sensitivity import sensitivity as vary

    refuse_program(config)
    with counter("varying") as advance:
        jobs = (os.cpu_count() or 1) if jobs is None else jobs
        found = vary(config, overrides, step=step / 100, jobs=jobs, advance=advance)
    if json:
        typer.echo(to_json(found.rows), nl=False)
        return
    title = f"{found.program} on {found.chip}: {found.time_us:.5g} us, elasticity = d ln(time) / d ln(figure)"
    for line in table(title, found.rows):
        typer.echo(line)


def validate(
    suites: Annotated[
        list[str],
        typer.Option("--suite", metavar="NAME", help="movement, vector, matrix, kernels or quick; all by default."),
    ] = [],
    data: Annotated[
        list[Path], typer.Option("--data", help="A CSV file of measurements instead of the bundled ones; repeatable.")
    ] = [],
    chip: Annotated[str | None, typer.Option("--chip", help="The chip for all rows, instead of their own.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for validation.json and validation.png.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print validation.json instead of the tables.")] = False,
    rows: Annotated[bool, typer.Option("--rows", help="Print every row, also of single instructions.")] = False,
) -> None:
    """Simulate what others measured on silicon, and print how far off the simulator is."""
    from ascend_sim.report.files import make_folder, write_text
    from ascend_sim.validation.data import bundled_tables, read_tables
    from ascend_sim.validation.figure import write_figure
    from ascend_sim.validation.report import lines, validation_json
    from ascend_sim.validation.run import chosen, compare

    selected = chosen(read_tables(data or bundled_tables()), suites)
    if out is not None:
        make_folder(out)
    with counter("validating") as advance:
        comparisons = compare(selected, chip, advance)
    if json:
        typer.echo(validation_json(comparisons), nl=False)
    else:
        for line in lines(comparisons, every_row=rows):
            typer.echo(line)
    if out is not None:
        write_text(out / "validation.json", validation_json(comparisons))
        write_figure(out / "validation.png", comparisons)
        if not json:
            typer.echo(f"written: {out / 'validation.json'}, {out / 'validation.png'}")


def calibrate(
    chip: Annotated[str, typer.Argument(help="A bundled chip or the path of a chip file.")],
    data: Annotated[list[Path], typer.Option("--data", help="A CSV file of moves, vector or matrix operations.")],
    out: Annotated[Path | None, typer.Option("--out", help="The chip file; CHIP-calibrated.yaml by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Fit figures of a chip to measurements, and write them as a chip file that extends it."""
    from ascend_sim.calibration import chip_file
    from ascend_sim.calibration.fit import calibrate as fit
    from ascend_sim.calibration.report import lines
    from ascend_sim.report.files import write_text
    from ascend_sim.validation.data import read_tables

    before = chip_file.load(chip)
    path = chip_file.target(chip, out, force)
    found = fit(before, read_tables(data))
    write_text(path, chip_file.chip_text(found, chip, path, data))
    for line in lines(found):
        typer.echo(line)
    typer.echo(f"written: {short(path)}")
