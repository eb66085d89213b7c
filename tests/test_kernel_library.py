"""Row reductions: right for any rows and columns, how many instructions they take, and what they refuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from program_runs import chip, computed

from ascend_sim import kernel as asc
from ascend_sim.errors import KernelError
from ascend_sim.isa.vector import VectorInstruction
from ascend_sim.kernel import Pipe, Program, Space, build, fp32

B2 = chip("ascend910b2")


class Parameters(asc.Parameters):
    """x (rows, columns) in a tile of *pitch* columns, reduced with *scratch* elements of scratch memory."""

    rows: int
    columns: int
    pitch: int
    scratch: int


def tensors(gm: asc.GlobalMemory, p: Parameters) -> None:
    """x, and one number a row."""
    gm.input("x", (p.rows, p.columns), fp32)
    gm.output("largest", (p.rows,), fp32)
    gm.output("total", (p.rows,), fp32)


@asc.kernel(cores="vector", parameters=Parameters, tensors=tensors, flops=lambda p: 2 * p.rows * p.columns)
def reductions(core: asc.Core, gm: asc.GlobalMemory, p: Parameters) -> None:
    """The largest and the sum of each row, on one core."""
    x = core.tensor("x", Space.UB, (p.rows, p.pitch), fp32)[:, : p.columns]
    scratch = core.tensor("scratch", Space.UB, p.scratch, fp32)
    largest, total = (core.tensor(name, Space.UB, p.rows, fp32) for name in ("largest", "total"))
    asc.data_copy(x, gm.x)
    asc.set_flag(Pipe.MTE2, Pipe.V, 0)
    asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
    asc.row_max(largest, x, scratch)
    asc.row_sum(total, x, scratch)
    asc.set_flag(Pipe.V, Pipe.MTE3, 0)
    asc.wait_flag(Pipe.V, Pipe.MTE3, 0)
    asc.data_copy(gm.largest, largest)
    asc.data_copy(gm.total, total)


def traced(rows: int, columns: int, pitch: int | None = None, scratch: int | None = None) -> Program:
    """The kernel on rows without gaps, with the least scratch memory, unless these are given."""
    if scratch is None:
        scratch = rows * columns // 4 if columns >= 64 else max(8, rows * columns * 3 // 4)
    parameters = Parameters(rows=rows, columns=columns, pitch=pitch or columns, scratch=scratch)
    return build(reductions, parameters, B2, 1)


@pytest.mark.parametrize("columns", [8, 16, 32, 64, 128, 256, 512, 1024, 2048])
@pytest.mark.parametrize("rows", [1, 7, 8, 13])
def test_rows_are_reduced(rows: int, columns: int) -> None:
    """Of integers, whose sums are exact in any order, both results are exact, also for odd numbers of rows."""
    x = np.random.default_rng(rows + columns).integers(-1000, 1000, (rows, columns)).astype(np.float32)

    outputs = computed(traced(rows, columns), B2, {"x": x})

    assert np.array_equal(outputs["largest"], x.max(axis=1))
    assert np.array_equal(outputs["total"], x.sum(axis=1))


def test_infinities_weigh_nothing() -> None:
    """A row of -inf but for one element, as masked scores are, has that element as its largest."""
    x = np.full((8, 128), -np.inf, np.float32)
    x[np.arange(8), np.arange(8) * 17] = np.arange(8)

    assert np.array_equal(computed(traced(8, 128), B2, {"x": x})["largest"], np.arange(8))


def repeats(program: Program) -> Counter[str]:
    """Repeats of each vector operation."""
    counted: Counter[str] = Counter()
    for stream in program.streams:
        for _, one in stream:
            if isinstance(one, VectorInstruction):
                counted[one.name] += one.repeats(B2)
    return counted


def test_work_of_a_reduction() -> None:
    """64 rows of 256: all 256 repeats are reduced by blocks, an eighth of them remains, and so on.

    Of the maximum (64, 32) remain, halved to 16 and to 8 columns in a repeat a row each, and (64, 8) are 8 repeats of
    blocks. Of the sum (64, 32) are 32 repeats of blocks, and (64, 4) and (64, 2) are 4 and 2 repeats of pairs.
    """
    assert repeats(traced(64, 256)) == {
        "block_reduce_max": 256 + 8, "max": 64 + 64, "block_reduce_sum": 256 + 32, "pair_reduce_sum": 4 + 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("build_it", "message"),
    [
        (lambda: traced(8, 96), r"'x' has 96 columns, but rows are reduced by blocks of 8 and halves; pad to 8 x 2\^i"),
        (lambda: traced(8, 4, pitch=8), r"'x' has 4 columns, but rows are reduced by blocks of 8"),
        (lambda: traced(8, 64, pitch=128), r"'x' has gaps between its rows.*128 elements apart.*copy the window"),
        (
            lambda: traced(16, 256, scratch=256),
            r"scratch 'scratch' holds 1024 B, the reduction needs 2048 B; make it a quarter",
        ),
    ],
)
def test_what_cannot_be_reduced_is_refused(build_it: Callable[[], Program], message: str) -> None:
    """Columns that are no power of two, gaps between rows and too little scratch memory are refused."""
    with pytest.raises(KernelError, match=message):
        build_it()
