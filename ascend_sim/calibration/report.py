"""The outcome of a calibration as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from ascend_sim.calibration.fit import Calibration, Fitted

HEADS = ("figure", "before", "after", "standing", "rows", "range", "median", "largest", "leave-one-out")
WORDS = (0, 3, 5)
"""Columns of words, which go to the left."""


def lines(calibration: Calibration) -> Iterator[str]:
    """The lines to print: the figures, the errors of rows that were not fitted, and what there is to say."""
    yield from _table(HEADS, [_cells(figure) for figure in calibration.figures])
    checks = [
        (name, "", "", "", str(len(errors)), "", _share(errors), f"{max(errors):.1%}", "")
        for name, errors in calibration.checks.items()
    ]
    if checks:
        yield ""
        heads = ("not fitted", *HEADS[1:])
        yield from _table([head if n in (0, 4, 6, 7) else "" for n, head in enumerate(heads)], checks)
    yield ""
    yield from calibration.remarks
    rows = {id(row) for figure in calibration.figures for row in figure.evidence.rows}
    checked = sum(map(len, calibration.checks.values()))
    fitted = f"{_counted(len(calibration.figures), 'figure')} fitted to {_counted(len(rows), 'row')}"
    yield f"{fitted}; {checked} only compared, {calibration.unreproducible} unreproducible"


def _cells(figure: Fitted) -> tuple[str, ...]:
    evidence = figure.evidence
    first = figure.key, f"{figure.before:g}", f"{figure.after:g}", figure.standing
    if figure.standing == "derived":
        return (*first, "", figure.remark, "", "", "")
    worst = f"{max(evidence.errors):.1%}" if evidence.errors else ""
    errors = _share(evidence.errors), worst, _share(evidence.left_out)
    return (*first, str(len(evidence.rows)), evidence.span or evidence.devices, *errors)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _share(errors: Sequence[float]) -> str:
    return f"{median(errors):.1%}" if errors else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """*rows* below *heads*, in columns; columns without anything are left out."""
    cells = [heads, *rows]
    columns = [n for n in range(len(heads)) if any(row[n] for row in cells)]
    widths = {n: max(len(row[n]) for row in cells) for n in columns}
    for row in cells:
        parts = [row[n].ljust(widths[n]) if n in WORDS else row[n].rjust(widths[n]) for n in columns]
        yield "  ".join(parts).rstrip()
