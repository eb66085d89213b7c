"""How much each figure of a chip moves the time of a run: the table for people and the list for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

SMALL = 0.005
"""Elasticities of a smaller magnitude are only counted in the table."""

LEFT_OUT = (
    "left out: dies, core counts, capacities, fractal geometry, line, sector, repeat, block and bank sizes, numbers "
    "of flags and repeats"
)


@dataclass(frozen=True)
class Elasticity:
    """What varying one figure, or several together, did to a run of *base_us* microseconds.

    *values* are the figures by their key in the chip, in *unit*. They were multiplied by about 1 + *change[0]* and
    1 + *change[1]*, which gave times of *time_us* microseconds; the first change is 0 where a figure of 1 has nothing
    below it. *elasticity* is d ln(time) / d ln(figure), None where *reason* says why the figure was not varied.
    """

    figure: str
    values: dict[str, int | float]
    unit: str
    standing: str
    source: str
    base_us: float
    change: tuple[float, float] | None = None
    time_us: tuple[float, float] | None = None
    elasticity: float | None = None
    reason: str | None = None


def to_json(rows: Sequence[Elasticity]) -> str:
    """All *rows* as a JSON list."""
    return json.dumps([asdict(row) for row in rows], indent=2, allow_nan=False) + "\n"


def table(title: str, rows: Sequence[Elasticity]) -> Iterator[str]:
    """The lines of the table: *title*, the figures that matter, and what became of the others."""
    yield title
    varied = [row for row in rows if row.elasticity is not None]
    shown = [row for row in varied if abs(row.elasticity or 0.0) >= SMALL]
    heads = ("elasticity", "figure", "value", "varied by", "standing", "source")
    cells = [heads, *(_cells(row) for row in shown)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    yield ""
    for first, *others in cells:
        parts = [first.rjust(widths[0]), *(cell.ljust(width) for cell, width in zip(others, widths[1:], strict=True))]
        yield "  ".join(parts).rstrip()
    yield ""
    yield f"below {SMALL:g}: {len(varied) - len(shown)} figures (--json lists them)"
    for row in varied:
        if row.figure in row.values and len(row.values) > 1:
            yield f"varied together: {', '.join(row.values)}"
    for reason in dict.fromkeys(row.reason for row in rows if row.reason is not None):
        yield f"{reason}: {', '.join(row.figure for row in rows if row.reason == reason)}"
    yield LEFT_OUT


def _cells(row: Elasticity) -> tuple[str, ...]:
    return f"{row.elasticity:+.3f}", row.figure, _value(row), _change(row), row.standing, row.source


def _value(row: Elasticity) -> str:
    """The figures of *row*; for data types whose costs differ, only how many there are."""
    by_section: dict[str, list[str]] = {}
    for key, value in row.values.items():
        by_section.setdefault(key.rpartition(".")[0], []).append(f"{value:g}")
    different = dict.fromkeys("/".join(values) for values in by_section.values())
    return f"{next(iter(different))} {row.unit}" if len(different) == 1 else f"{len(by_section)} data types"


def _change(row: Elasticity) -> str:
    below, above = row.change or (0.0, 0.0)
    return f"{'+-' if below else '+'}{100 * above:.3g} %"
