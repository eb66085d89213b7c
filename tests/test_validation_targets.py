"""How close the simulator must be to silicon: each published measurement within its tolerance."""

from __future__ import annotations

import statistics
from collections import defaultdict

import pytest

from ascend_sim.config import load_chip
from ascend_sim.validation.data import Role
from ascend_sim.validation.run import Comparison

GEMM_PIPES = ("cube", "mte1", "mte2", "fixpipe")


def simulated(comparisons: list[Comparison], name: str) -> float:
    """What the simulator says about the row *name*."""
    (found,) = [one.simulated for one in comparisons if one.row.name == name]
    assert found is not None
    return found


def error(comparisons: list[Comparison], name: str) -> float:
    """The relative error of the row *name*."""
    (found,) = [one.error for one in comparisons if one.row.name == name]
    assert found is not None
    return found


def quotient_error(comparisons: list[Comparison], first: str, second: str) -> float:
    """The relative error of the quotient of two rows."""
    return (1 + error(comparisons, first)) / (1 + error(comparisons, second)) - 1


def test_moves(instruction_comparisons: list[Comparison]) -> None:
    """Of each path, the median error is at most 5 % and the 90th percentile at most 15 %."""
    errors: defaultdict[str, list[float]] = defaultdict(list)
    for one in instruction_comparisons:
        if one.row.suite == "movement" and one.error is not None:
            errors[one.row.group].append(abs(one.error))

    assert len(errors) == 11
    assert max(statistics.median(found) for found in errors.values()) <= 0.05
    assert max(statistics.quantiles(found, n=10, method="inclusive")[-1] for found in errors.values()) <= 0.15


def test_vector_operations(instruction_comparisons: list[Comparison]) -> None:
    """Of the supported operations at least 95 % of the rows are within 5 %, and most of the table is supported."""
    rows = [one for one in instruction_comparisons if one.row.suite == "vector"]
    errors = [abs(one.error) for one in rows if one.error is not None]

    assert len(errors) >= 0.94 * len(rows)
    assert sum(found <= 0.05 for found in errors) >= 0.95 * len(errors)


def test_matrix_operations(instruction_comparisons: list[Comparison]) -> None:
    """An MMAD is within 5 %, back to back and isolated."""
    errors = [abs(one.error or 0.0) for one in instruction_comparisons if one.row.suite == "matrix"]

    assert len(errors) == 10
    assert max(errors) <= 0.05


@pytest.mark.parametrize(("name", "time", "points"), [("gemm-6144", 0.05, 0.05), ("gemm-1536", 0.12, 0.08)])
def test_gemm_on_24_cores(kernel_comparisons: list[Comparison], name: str, time: float, points: float) -> None:
    """The time of a GEMM is within its tolerance, and so is the share of it for which each pipe is busy."""
    assert abs(error(kernel_comparisons, f"{name} time_us")) <= time
    for pipe in GEMM_PIPES:
        row = f"{name} pipes.aic_{pipe}_ratio"
        (measured,) = [one.row.measured for one in kernel_comparisons if one.row.name == row]
        assert simulated(kernel_comparisons, row) == pytest.approx(measured, abs=points), pipe


@pytest.mark.parametrize(
    ("first", "second", "quotient"),
    [("catlass-a1", "catlass-a2", 0.08), ("bp0047-base64-4c", "bp0047-base64-20c", 0.05)],
)
def test_two_schedules_of_one_matmul(
    kernel_comparisons: list[Comparison], first: str, second: str, quotient: float
) -> None:
    """Each time is within 15 %, and which is faster and by how much is closer than that."""
    names = [f"{first} time_us", f"{second} time_us"]

    assert max(abs(error(kernel_comparisons, name)) for name in names) <= 0.15
    assert abs(quotient_error(kernel_comparisons, *names)) <= quotient


@pytest.mark.parametrize("keys", [1024, 2048, 4096, 8192])
def test_flash_attention_on_one_core(kernel_comparisons: list[Comparison], keys: int) -> None:
    """One block of queries on one core is within 10 %, whatever the keys."""
    assert abs(error(kernel_comparisons, f"fa-128x{keys} time_us")) <= 0.10


@pytest.mark.parametrize("row", ["fa-2048x8192 time_us", "fa-4096 time_us", "fa-16384 time_us"])
def test_flash_attention_on_many_cores(kernel_comparisons: list[Comparison], row: str) -> None:
    """On 16 and 24 cores the time is predicted within 15 %."""
    assert abs(error(kernel_comparisons, row)) <= 0.15


def test_amla_reaches_its_headline(kernel_comparisons: list[Comparison]) -> None:
    """AMLA reaches 85 to 89 % of the peak (86.8 % on silicon), and no figure was fitted on it."""
    (row,) = [one for one in kernel_comparisons if one.row.group == "amla-headline"]
    peak = load_chip("ascend910c").peak_flops("bf16") / 1e12

    assert row.row.role is Role.CHECK
    assert row.simulated is not None
    assert 0.85 <= row.simulated / peak <= 0.89


def test_one_kernel_was_calibrated_on(kernel_comparisons: list[Comparison]) -> None:
    """Whole kernels are predictions: only the skew of mixed kernels was taken from one, the difference of two rows."""
    fitted = [one.row.name for one in kernel_comparisons if one.row.role is not Role.CHECK]

    assert fitted == ["fa-512x8192 time_us"]
