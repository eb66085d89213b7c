"""The table of an exploration as CSV, with the columns of the vendor's tuner, or as Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ascend_sim.errors import ArgumentError, Diagnostic
from ascend_sim.explore.keys import found
from ascend_sim.explore.point import METRICS, Value
from ascend_sim.explore.space import overrides_of
from ascend_sim.explore.table import ExplorationInfo, Row, Table
from ascend_sim.report.files import write_files

HOST_TIME = "host_seconds"
"""The one column that is not the same each time."""

_SHAPE = ("m", "n", "k")
_LARGEST = 1 << 63
"""Whole numbers of Parquet have 64 bits."""


def export(info: ExplorationInfo, table: Table, path: Path) -> None:
    """Write the table to *path*, as Parquet if its name ends in .parquet, else as CSV.

    Raise an ArgumentError if the name has another ending, the file cannot be written, or Parquet needs a package.
    """
    if path.suffix == ".csv":
        write_files({path: [csv_text(info, table)]})
    elif path.suffix == ".parquet":
        write_files({path: _parquet(info, table)})
    else:
        message = "is written as CSV or Parquet; end its name with .csv or .parquet"
        raise ArgumentError(Diagnostic(message, str(path)))


def csv_text(info: ExplorationInfo, table: Table) -> str:
    """The text of points.csv. What is not known of a point is empty; lists and mappings are JSON."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns(info))
    for row in table.rows:
        writer.writerow([_cell(value) for value in _values(info, row)])
    return text.getvalue()


def columns(info: ExplorationInfo) -> list[str]:
    """The names of the columns.

    The first five and m, n, k are those of the vendor's tuner; the latter are there if the run has a problem of them.
    """
    head = ["case_id", "task_duration(us)", "device_id", "operation", "description", *_shape(info)]
    return [*head, "status", "eligible", *METRICS, "bound_cycles", *info.space, "category", "reason", HOST_TIME]


def _values(info: ExplorationInfo, row: Row) -> Iterator[Any]:
    evaluation = row.evaluation
    yield row.number
    yield evaluation.metrics.get("time_us")
    yield 0
    yield Path(info.program_file).stem
    yield " ".join(overrides_of(row.assignment))
    for key in _shape(info):
        yield _of_point(info, row, f"problem.{key}")
    yield row.status
    yield row.eligible
    for name in METRICS:
        yield evaluation.metrics.get(name)
    yield evaluation.bound_cycles
    for name in info.space:
        yield row.assignment[name]
    yield evaluation.category or None
    yield evaluation.reason or None
    yield evaluation.seconds


def _shape(info: ExplorationInfo) -> list[str]:
    """Which of m, n and k the problem of the run has."""
    problem = info.config["run"]["sections"].get("problem", {})
    return [key for key in _SHAPE if key in problem]


def _of_point(info: ExplorationInfo, row: Row, name: str) -> Value:
    """The value of a key of the problem at a point: its own, or that of the base run."""
    section, _, key = name.partition(".")
    own = row.assignment.get(name)
    if own is None and isinstance(whole := row.assignment.get(section), dict):
        own = whole.get(key)
    value: Value = found(info.config["run"]["sections"], name)
    return value if own is None else own


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _parquet(info: ExplorationInfo, table: Table) -> bytes:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        message = "Parquet needs the package pyarrow: pip install pyarrow, or write a .csv"
        raise ArgumentError(message) from None
    rows = [list(_values(info, row)) for row in table.rows]
    content = {name: _column([row[number] for row in rows]) for number, name in enumerate(columns(info))}
    target = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(content), target)
    return target.getvalue()


def _column(values: list[Any]) -> list[Any]:
    """Values of one type: whole numbers, numbers, truth values or texts, which are JSON where types are mixed."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int} and all(value is None or -_LARGEST <= value < _LARGEST for value in values):
        return values
    if kinds == {int, float}:
        return [value if value is None else float(value) for value in values]
    if len(kinds) <= 1 and not kinds & {list, dict, int}:
        return values
    return [value if value is None else _cell(value) for value in values]
