"""What is wrong with measurements before anything is fitted to them, and where they contradict each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ascend_sim.calibration.laws import KIB, Figures, path_of, vector_key
from ascend_sim.config import Chip
from ascend_sim.errors import ArgumentError, Diagnostic
from ascend_sim.validation.data import Experiment, KernelRun, MatrixOperation, Movement, Role, Row, VectorOperation

FEWEST, MOST = 1e-3, 1e7
"""Cycles that one instruction, or one more repeat of it, can take; others are in another unit, or of a whole run."""
TOLERANCE = 0.1
"""By how much measurements of the same may differ, and the cycles of a law from those measured, without a warning."""
HALF, SINGLE = 2, 4
"""Bytes of an element of the matrix operations of the tables: fp16 times fp16 gives fp32."""


def expect_usable(chip: Chip, rows: Sequence[Row]) -> None:
    """Raise an ArgumentError for rows that *chip* could not run as a loop, or that cannot be the cycles of it.

    What is wrong with many rows of a table is said once, where it is first.
    """
    found: dict[tuple[str | None, str], list[tuple[Row, str]]] = {}
    for row in rows:
        if row.role is not Role.UNREPRODUCIBLE:
            for limit, message in _beyond(chip, row):
                found.setdefault((row.place.file, limit), []).append((row, message))
    faults = []
    for same in found.values():
        place, message = same[0][0].place, same[0][1]
        if len(same) > 1:
            message += f" [in {len(same)} rows, the last in line {same[-1][0].place.line}]"
        faults.append(Diagnostic(message, place.file, place.line))
    if faults:
        raise ArgumentError(faults)


def contradictions(figures: Figures, rows: Sequence[Row]) -> Iterator[str]:
    """A text for each measurement that *rows* repeat with cycles that differ by more than TOLERANCE."""
    groups: dict[object, list[Row]] = {}
    for row in rows:
        groups.setdefault(_measurement(figures, row.experiment), []).append(row)
    for group in groups.values():
        cycles = [row.measured for row in group]
        apart = max(cycles) / min(cycles) - 1
        if apart > TOLERANCE:
            yield f"measurements of the same differ by {apart:.0%} ({places(group)})".replace("%", " %")


def places(rows: Sequence[Row]) -> str:
    """The lines of *rows*, such as "lines 2, 5 of a.csv and line 7 of b.csv"."""
    files: dict[str, dict[int, None]] = {}
    for row in rows:
        files.setdefault(row.place.file or "", {})[row.place.line or 0] = None
    return " and ".join(
        f"line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines))} of {Path(file).name}"
        for file, lines in files.items()
    )


def _beyond(chip: Chip, row: Row) -> Iterator[tuple[str, str]]:
    """Which limits a loop of the experiment of *row* would break on *chip*, and what to say about each."""
    if not FEWEST <= row.measured <= MOST:
        way_out = f"write {FEWEST:g} to {MOST:g} cycles"
        yield "cycles", f"{row.measured:g} cycles cannot be those of one instruction; {way_out}"
    experiment = row.experiment
    if isinstance(experiment, Movement):
        most = chip.dies.value * chip.cores.aic_per_die.value
        if experiment.cores > most:
            way_out = "of each pair of vector cores one moves, so count pairs"
            yield "cores", f"cores: {experiment.cores:g} is outside 1..{most}, the cube cores of {chip.name}; {way_out}"
        names = [name.partition("_")[0] for name in experiment.path.split("_to_")]
        for name in dict.fromkeys(names):
            times = names.count(name)
            if name != "gm" and times * experiment.kib * KIB > _size(chip, name):
                taken = f"{experiment.kib:g} KiB{', from and to,' if times > 1 else ''}"
                holds = f"{_size(chip, name) / KIB:g} KiB of {name.upper()} of {chip.name}"
                yield experiment.path, f"kib: {taken} are more than the {holds}; write what one instruction moves"
    elif isinstance(experiment, MatrixOperation):
        m, n, k = experiment.m, experiment.n, experiment.k
        for name, bytes_taken in (("l0a", m * k * HALF), ("l0b", k * n * HALF), ("l0c", m * n * SINGLE)):
            if bytes_taken > _size(chip, name):
                taken = f"the tile of {m:g} x {n:g} x {k:g} takes {bytes_taken:g} bytes of {name.upper()}"
                holds = f"{chip.name} has {_size(chip, name)}"
                yield name, f"m, n, k: {taken}, and {holds}; write the tile of one mmad"


def _size(chip: Chip, name: str) -> int:
    """The bytes of the buffer *name*, such as "l0a"."""
    return int(getattr(chip.buffers, f"{name}_bytes").value)


def _measurement(figures: Figures, experiment: Experiment) -> object:
    """What the law tells apart: not the device, nor layouts and formats of equal cost."""
    if isinstance(experiment, Movement):
        return path_of(experiment), experiment.kib, experiment.cores, experiment.data
    if isinstance(experiment, MatrixOperation):
        return experiment.m, experiment.n, experiment.k, experiment.isolated
    assert isinstance(experiment, VectorOperation), "whole kernels were refused"
    return vector_key(figures.chip, experiment.op, experiment.dtype), experiment.further


def device(row: Row) -> str:
    """The chip that a row of one instruction was measured on, as the tables name it."""
    assert not isinstance(row.experiment, KernelRun), "whole kernels were refused"
    return row.experiment.chip.removeprefix("ascend")
