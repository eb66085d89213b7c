"""Row reductions: right for any rows and columns, how many instructions they take, and what they refuse."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from program_runs import chip, computed

from ascend_sim import kernel as asc
from ascend_sim.errors import KernelError
from ascend_sim.isa.sync import PipeBarrier
from ascend_sim.isa.vector import VectorInstruction
from ascend_sim.kernel import Pipe, Program, Space, build, fp16, fp32

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


# --- Rows of fp16, and what is shared ---


class HalfParameters(asc.Parameters):
    """x (rows, columns) in a tile of *pitch* columns; the sum is multiplied with *scale*."""

    rows: int
    columns: int
    pitch: int
    scale: float


def half_tensors(gm: asc.GlobalMemory, p: HalfParameters) -> None:
    """x, and one number a row."""
    gm.input("x", (p.rows, p.columns), fp16)
    gm.output("largest", (p.rows,), fp16)
    gm.output("total", (p.rows,), fp16)


@asc.kernel(cores="vector", parameters=HalfParameters, tensors=half_tensors, flops=lambda p: 2 * p.rows * p.columns)
def half_reductions(core: asc.Core, gm: asc.GlobalMemory, p: HalfParameters) -> None:
    """The largest and the sum of each row, in step."""
    staggered = core.tensor("staggered", Space.UB, (p.rows, p.pitch), fp16)[:, : p.columns]
    x = core.tensor("x", Space.UB, (p.rows, p.columns), fp16)
    scratch = core.tensor("scratch", Space.UB, p.rows * 16, fp16)
    largest, total = (core.tensor(name, Space.UB, p.rows, fp16) for name in ("largest", "total"))
    asc.data_copy(staggered, gm.x)
    asc.data_copy(x, gm.x)
    asc.set_flag(Pipe.MTE2, Pipe.V, 0)
    asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
    asc.in_step(asc.steps_of_row_max(largest, staggered, scratch), asc.steps_of_row_sum(total, x, scratch, p.scale))
    asc.set_flag(Pipe.V, Pipe.MTE3, 0)
    asc.wait_flag(Pipe.V, Pipe.MTE3, 0)
    asc.data_copy(gm.largest, largest)
    asc.data_copy(gm.total, total)


def halves(rows: int, columns: int, *, pitch: int | None = None, scale: float = 1.0) -> Program:
    """The kernel on fp16 rows, staggered unless a pitch is given."""
    pitch = pitch or asc.staggered_columns(columns, fp16)
    return build(half_reductions, HalfParameters(rows=rows, columns=columns, pitch=pitch, scale=scale), B2, 1)


@pytest.mark.parametrize("columns", [16, 32, 64, 128, 256, 512])
@pytest.mark.parametrize("rows", [1, 7, 8, 13])
def test_fp16_rows_are_reduced(rows: int, columns: int) -> None:
    """Of small integers, whose sums fp16 holds, both results are exact, also for odd numbers of rows."""
    pitch = columns if columns == 16 else None  # a single block is reduced as it lies
    x = np.random.default_rng(rows + columns).integers(-4, 5, (rows, columns)).astype(np.float16)

    outputs = computed(halves(rows, columns, pitch=pitch), B2, {"x": x})

    assert np.array_equal(outputs["largest"], x.max(axis=1))
    assert np.array_equal(outputs["total"], x.sum(axis=1))


def test_fp16_sums_are_rounded_pair_by_pair() -> None:
    """Neighbours are added, and every sum is rounded to fp16: bits of the same tree in NumPy."""
    x = np.random.default_rng(2).normal(0.0, 1.0, (16, 128)).astype(np.float16)
    total = x
    while total.shape[1] > 1:
        total = total[:, ::2] + total[:, 1::2]

    assert np.array_equal(computed(halves(16, 128), B2, {"x": x})["total"], total[:, 0])


def test_a_mean_is_in_range_where_the_sum_is_not() -> None:
    """128 numbers of 5000 add up to 640,000, beyond fp16; scaled when 16 sums are left, they do not overflow."""
    x = np.full((8, 128), 5000.0, np.float16)

    assert np.all(np.isinf(computed(halves(8, 128), B2, {"x": x})["total"]))
    assert np.all(computed(halves(8, 128, scale=1 / 128), B2, {"x": x})["total"] == 5000.0)


def test_staggered_rows_have_no_bank_conflicts() -> None:
    """An odd number of blocks from row to row: no repeat waits for a bank, as all do if rows are 8 blocks apart."""
    assert [asc.staggered_columns(columns, fp16) for columns in (16, 64, 100, 128)] == [16, 80, 112, 144]
    assert asc.staggered_columns(64, fp32) == 72

    def stalls(program: Program) -> int:
        return sum(
            sum(one.bank_stalls(B2))
            for stream in program.streams
            for _, one in stream
            if isinstance(one, VectorInstruction) and one.name == "max"
        )

    assert stalls(halves(64, 128)) == 0
    assert stalls(halves(64, 128, pitch=128)) > 0


def test_chains_in_step_wait_together() -> None:
    """The seven sums of 128 columns wait six times for each other, and the four steps of the maximum add no wait.

    The last barrier ends the kernel.
    """
    program = halves(64, 128)

    assert sum(isinstance(one, PipeBarrier) for stream in program.streams for _, one in stream) == 6 + 1


class MaskParameters(asc.Parameters):
    """Ones (rows, columns) of fp32 or fp16, of which what lies above the diagonal from *first* on is hidden."""

    rows: int
    columns: int
    first: int
    half: bool


def mask_tensors(gm: asc.GlobalMemory, p: MaskParameters) -> None:
    """What is left."""
    gm.output("y", (p.rows, p.columns), fp16 if p.half else fp32)


@asc.kernel(cores="vector", parameters=MaskParameters, tensors=mask_tensors, flops=lambda p: 0)
def hidden(core: asc.Core, gm: asc.GlobalMemory, p: MaskParameters) -> None:
    """Ones with -inf above the diagonal."""
    x = core.tensor("x", Space.UB, (p.rows, p.columns), fp16 if p.half else fp32)
    asc.duplicate(x, 1.0)
    asc.fill_above_diagonal(p.first, x, -math.inf)
    asc.set_flag(Pipe.V, Pipe.MTE3, 0)
    asc.wait_flag(Pipe.V, Pipe.MTE3, 0)
    asc.data_copy(gm.y, x)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("first", [-40, -1, 0, 1, 37, 64, 130, 191, 192, 300])
def test_what_lies_above_the_diagonal_is_filled(first: int, half: bool) -> None:
    """Row i keeps its first first + i columns, and none or all of them beyond the edges."""
    rows, columns = 45, 192
    program = build(hidden, MaskParameters(rows=rows, columns=columns, first=first, half=half), B2, 1)
    kept = np.arange(columns) < (first + np.arange(rows))[:, None]

    assert np.array_equal(computed(program, B2, {})["y"], np.where(kept, 1.0, -np.inf))


@pytest.mark.parametrize(
    ("build_it", "message"),
    [
        (
            lambda: halves(8, 96),
            r"'staggered' has 96 columns, but rows are reduced by blocks of 16 and halves; pad to 16",
        ),
        (lambda: halves(8, 8), r"'staggered' has 8 columns, but rows are reduced by blocks of 16"),
    ],
)
def test_fp16_rows_that_cannot_be_reduced_are_refused(build_it: Callable[[], Program], message: str) -> None:
    """Columns that are not 16 x 2^i are refused with what to pad them to."""
    with pytest.raises(KernelError, match=message):
        build_it()


def test_only_fp16_sums_are_scaled() -> None:
    """A scale of fp32 rows would be applied to some numbers of columns and not to others, so it is refused."""

    @asc.kernel(cores="vector", parameters=HalfParameters, tensors=lambda gm, p: None, flops=lambda p: 0)
    def kernel(core: asc.Core, gm: asc.GlobalMemory, p: HalfParameters) -> None:
        total, x = core.tensor("total", Space.UB, 8, fp32), core.tensor("x", Space.UB, (8, 64), fp32)
        asc.in_step(asc.steps_of_row_sum(total, x, x, p.scale))

    with pytest.raises(KernelError, match="'x' is fp32, and only fp16 is scaled; use muls on the sums"):
        build(kernel, HalfParameters(rows=8, columns=64, pitch=64, scale=0.5), B2, 1)
