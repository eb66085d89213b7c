"""The table of expected errors that every result quotes, from the measurements nearest to each kind of kernel.

A row of role check was never fitted on, so its error is its leave-one-out error. On a row of role calibration some
figures of the chip files were fitted, so its error is in-sample; its leave-one-out error is known once the figures were
fitted without it and the row was simulated with them. That value is kept by the row's name in the table itself, under
`leave_one_out`, and survives when the table is written again. `python -m ascend_sim.validation.expected` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from ascend_sim.config import load_run
from ascend_sim.errors import ArgumentError
from ascend_sim.examples import run_of
from ascend_sim.kernel.build import Cores
from ascend_sim.kernel.load import load_program
from ascend_sim.report.expected import KINDS, ExpectedError, ExpectedErrors, read_expected_errors, shipped_path
from ascend_sim.report.files import write_text
from ascend_sim.validation.data import KernelRun, Movement, Role, Row, VectorOperation, bundled_tables, read_table
from ascend_sim.validation.run import Comparison, compare

_TIMES = ("time_us", "cycles", "tflops")
"""Metrics that tell the time of a kernel, the best first."""
_DIGITS = 4


def nearest_rows(rows: Sequence[Row]) -> list[Row]:
    """Those of *rows* that tell how far off a kernel may be, each measured kernel once.

    They are the times of kernels, or the TFLOPS where no time is given, and the single moves and operations of vector
    cores, which stand for the kernels of vector cores alone: of these none was measured.
    """
    best: dict[tuple[str, str, tuple[str, ...]], Row] = {}
    single = []
    for row in rows:
        found = row.experiment
        if row.role is Role.UNREPRODUCIBLE:
            continue
        if isinstance(found, KernelRun) and found.metric in _TIMES:
            key = row.group, found.config, found.overrides
            if key not in best or _rank(row) < _rank(best[key]):
                best[key] = row
        elif isinstance(found, VectorOperation) or (isinstance(found, Movement) and "ub" in found.path.split("_")):
            single.append(row)
    return [*best.values(), *single]


def expected_errors(comparisons: Sequence[Comparison], leave_one_out: Mapping[str, float]) -> ExpectedErrors:
    """The table from the *comparisons* of `nearest_rows`; others among them are left out.

    *leave_one_out* maps the names of rows of role calibration to what the simulator says, in the row's unit, with
    figures that were fitted without the row. Raise an ArgumentError if there is no row of some kind.
    """
    wanted = {id(row) for row in nearest_rows([one.row for one in comparisons])}
    of_kind: dict[Cores, list[Comparison]] = {cores: [] for cores in KINDS}
    for one in comparisons:
        if id(one.row) in wanted:
            of_kind[_cores(one.row)].append(one)
    for cores, found in of_kind.items():
        if not found:
            raise ArgumentError(f"there is no row of {KINDS[cores]}; add one to the tables, or compare all of them")
    kinds = {cores: _of_kind(KINDS[cores], found, leave_one_out) for cores, found in of_kind.items()}
    return ExpectedErrors(leave_one_out=dict(leave_one_out), kinds=kinds)


def to_json(table: ExpectedErrors) -> str:
    """The text of the file."""
    return json.dumps(table.model_dump(), indent=2, allow_nan=False) + "\n"


def _rank(row: Row) -> int:
    assert isinstance(row.experiment, KernelRun)
    return _TIMES.index(row.experiment.metric)


def _cores(row: Row) -> Cores:
    """The cores of the kernel that was measured; vector cores for a single instruction."""
    if not isinstance(row.experiment, KernelRun):
        return "vector"
    return load_program(load_run(run_of(row.experiment.config)[0]).program_file()).kernel.cores


def _of_kind(kind: str, comparisons: Sequence[Comparison], leave_one_out: Mapping[str, float]) -> ExpectedError:
    errors, left_out = [], []
    for one in comparisons:
        assert one.simulated is not None, "nearest_rows leaves out what cannot be simulated"
        errors.append(_error(one.row, one.simulated))
        if one.row.role is Role.CHECK:
            left_out.append(errors[-1])
        elif one.row.name in leave_one_out:
            left_out.append(_error(one.row, leave_one_out[one.row.name]))
    every = len(left_out) == len(errors)
    rows = [one.row for one in comparisons]
    named = dict.fromkeys(row.group if isinstance(row.experiment, KernelRun) else row.suite for row in rows)
    return ExpectedError(
        kind=kind,
        rows=len(errors),
        mape=_mean([abs(error) for error in errors]),
        max=_most(errors),
        bias=_mean(errors),
        leave_one_out_mape=_mean([abs(error) for error in left_out]) if every else None,
        leave_one_out_max=_most(left_out) if every else None,
        measured=list(named),
    )


def _error(row: Row, simulated: float) -> float:
    """The relative error of the time; a rate that is too high is a time that is too short."""
    rate = isinstance(row.experiment, KernelRun) and row.experiment.metric == "tflops"
    return row.measured / simulated - 1 if rate else simulated / row.measured - 1


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), _DIGITS)


def _most(values: Sequence[float]) -> float:
    return round(max(map(abs, values)), _DIGITS)


def write_table(advance: Callable[[int], None] = lambda total: None) -> None:
    """Simulate the nearest rows of the bundled tables and write the shipped table, keeping its leave-one-out values.

    Raise what `compare` raises, and an ArgumentError if the file cannot be written.
    """
    path = shipped_path()
    kept = read_expected_errors(path).leave_one_out if path.exists() else {}
    rows = nearest_rows([row for table in bundled_tables() for row in read_table(table)])
    write_text(path, to_json(expected_errors(compare(rows, advance=advance), kept)))


if __name__ == "__main__":
    write_table()
