"""Fits of the matrix and the vector unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ascend_sim.calibration.curve import Shape, as_vectors, fit_curve, weighted_mean
from ascend_sim.calibration.laws import Figures, fractals, vector_key
from ascend_sim.calibration.moves import UnfitError, nearest, rounded, whole
from ascend_sim.validation.data import MatrixOperation, Row, VectorOperation


def fit_issue(figures: Figures, rows: Sequence[Row]) -> Mapping[str, float]:
    """cube.issue_cycles: what back to back MMADs take beside the cycles of their fractals."""
    busy, cycles = as_vectors([(_busy(figures, row), row.measured) for row in rows])
    way_out = "check m, n, k and that the rows are of fp16"
    return {"cube.issue_cycles": whole(weighted_mean(cycles - busy, cycles), "cube.issue_cycles", way_out)}


def fit_isolated(figures: Figures, rows: Sequence[Row]) -> Mapping[str, float]:
    """cube.latency_cycles and cube.min_latency_cycles: max(minimum, latency + fractals) of isolated MMADs."""
    busy, cycles = as_vectors([(_busy(figures, row), row.measured) for row in rows])
    if len(set(busy)) < 2:
        raise UnfitError(
            f"{busy[0]:g} fractals is the only size, and the latency and the least of it are two figures; measure "
            f"another size"
        )
    found = fit_curve(busy, cycles, Shape(flat=True, slope=1.0), rounded)
    assert found is not None, "a line of slope 1 always rises"
    way_out = "check m, n, k and that the rows are of fp16"
    return {
        "cube.latency_cycles": whole(found.head, "cube.latency_cycles", way_out),
        "cube.min_latency_cycles": nearest(found.minimum),
    }


def fit_vector(figures: Figures, rows: Sequence[Row]) -> Mapping[str, float]:
    """The cycles of the first and of each further repeat, as measured; the mean of several measurements."""
    [key] = {vector_key(figures.chip, one.op, one.dtype) for one in map(_operation, rows)}
    op, dtype = key.split(".")[2:]
    if dtype not in figures.chip.vector.ops.get(op, {}):
        raise UnfitError(
            f"{figures.chip.name} has no row for it, and such a loop does not see its latency_cycles; write a row with "
            f"all three figures into a chip file that extends {figures.chip.name}, and calibrate that"
        )
    first, further = (
        [row.measured for row in rows if _operation(row).further is wanted] for wanted in (False, True)
    )
    if not first or not further:
        raise UnfitError("the cycles of one repeat and of each further one are two figures; measure both")
    cycles = nearest(sum(first) / len(first))
    if cycles < 1:
        raise UnfitError(f"one repeat takes {sum(first) / len(first):g} cycles, less than one; check cycles_one_repeat")
    return {f"{key}.first_cycles": cycles, f"{key}.further_cycles": rounded(sum(further) / len(further))}


def _busy(figures: Figures, row: Row) -> int:
    assert isinstance(row.experiment, MatrixOperation)
    return fractals(figures, row.experiment)


def _operation(row: Row) -> VectorOperation:
    assert isinstance(row.experiment, VectorOperation)
    return row.experiment
