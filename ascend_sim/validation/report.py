"""The outcome of a validation as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence, Set
from typing import Any

from ascend_sim.validation.csv_file import counted
from ascend_sim.validation.data import Role, Row, bundled_tables
from ascend_sim.validation.run import INSTRUCTION_SUITES, Comparison
from ascend_sim.validation.summary import summarise

SCHEMA = "ascend-sim/validation/1"
WORST = 10
"""Rows of instructions that are printed unless all are asked for."""


def validation_json(comparisons: Sequence[Comparison]) -> str:
    """The text of validation.json: every row and every summary."""
    content = {
        "schema": SCHEMA,
        "rows": [_row(one) for one in comparisons],
        "summary": [one.to_json() for one in summarise(comparisons)],
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def lines(comparisons: Sequence[Comparison], every_row: bool = False) -> Iterator[str]:
    """The lines to print: rows, summary, what is unreproducible.

    Rows of instructions are summed up by path or operation, and the worst are shown, unless *every_row* is true.
    """
    done = [one for one in comparisons if one.simulated is not None]
    small = [] if every_row else [one for one in done if one.row.suite in INSTRUCTION_SUITES]
    rest = [one for one in done if one not in small]
    sections = [_groups(small), _worst(small), _rows("row", rest), _summaries(done), _unreproducible(comparisons)]
    for number, section in enumerate([section for section in sections if section]):
        yield from ([""] if number else []) + section
    left_out = len(comparisons) - len(done)
    yield from ("", f"{counted(len(comparisons), 'row')}: {len(done)} simulated, {left_out} unreproducible")


def _groups(comparisons: Sequence[Comparison]) -> list[str]:
    """One line for each path or operation."""
    table = []
    for key in dict.fromkeys((one.row.suite, one.row.group) for one in comparisons):
        errors = [abs(_error(one)) for one in comparisons if (one.row.suite, one.row.group) == key]
        mean, worst = sum(errors) / len(errors), max(errors)
        table.append([*key, str(len(errors)), f"{mean:.1%}", f"{worst:.1%}"])
    return _table(["suite", "path or operation", "rows", "mean error", "largest"], table, left=2)


def _worst(comparisons: Sequence[Comparison]) -> list[str]:
    worst = [one for one in sorted(comparisons, key=lambda one: -abs(_error(one)))[:WORST] if _error(one)]
    return _rows("the worst of these" if len(worst) == 1 else f"the {len(worst)} worst of these", worst)


def _rows(title: str, comparisons: Sequence[Comparison]) -> list[str]:
    legends = {str(path) for path in bundled_tables()}
    table = [
        [
            one.row.name, _value(one.row.measured), _value(one.simulated or 0.0), one.row.unit, f"{_error(one):+.1%}",
            one.row.role.value, _source(one.row, legends),
        ]
        for one in comparisons
    ]  # fmt: skip
    return _table([title, "measured", "simulated", "unit", "error", "role", "source"], table, left=1)


def _source(row: Row, legends: Set[str]) -> str:
    """Who measured the *row*; in the tables *legends* a source may begin with a short name and a colon."""
    return row.source.split(":")[0] if row.place.file in legends else row.source


def _summaries(comparisons: Sequence[Comparison]) -> list[str]:
    table = [
        [
            one.suite, one.role, one.unit, str(one.n), f"{one.median:.1%}", f"{one.mean:.1%}", f"{one.p90:.1%}",
            f"{one.max:.1%}", "-" if one.rank is None else f"{one.rank:.3f}",
        ]
        for one in summarise(comparisons)
    ]  # fmt: skip
    return _table(["suite", "role", "unit", "rows", "median", "mean", "p90", "largest", "rank"], table, left=3)


def _unreproducible(comparisons: Sequence[Comparison]) -> list[str]:
    """One line for each path, operation or kernel and reason."""
    rows = [one.row for one in comparisons if one.row.role is Role.UNREPRODUCIBLE]
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row.suite, row.group, row.note), []).append(row)
    table = [[suite, group, str(len(own)), note] for (suite, group, note), own in found.items()]
    return _table(["suite", "unreproducible", "rows", "because"], table, left=2)


def _table(header: list[str], table: Sequence[list[str]], left: int) -> list[str]:
    """*table* below *header*, in columns; the first *left* and those of words go to the left."""
    if not table:
        return []
    widths = [max(len(row[column]) for row in (header, *table)) for column in range(len(header))]
    words = {*range(left), *(i for i, name in enumerate(header) if name in ("unit", "role", "source", "because"))}
    return [
        "  ".join(cell.ljust(width) if i in words else cell.rjust(width) for i, (cell, width) in cells).rstrip()
        for cells in (enumerate(zip(row, widths, strict=True)) for row in (header, *table))
    ]


def _error(comparison: Comparison) -> float:
    return comparison.error or 0.0


def _value(value: float) -> str:
    return f"{value:.4g}" if value < 1000 else f"{value:.0f}"


def _row(comparison: Comparison) -> dict[str, Any]:
    row = comparison.row
    return {
        "suite": row.suite, "name": row.name, "measured": row.measured, "simulated": comparison.simulated,
        "error": comparison.error, "unit": row.unit, "role": row.role.value, "source": row.source, "note": row.note,
    }  # fmt: skip
