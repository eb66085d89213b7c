"""Small things that every kernel needs, built from single instructions."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import TypeVar

from ascend_sim.isa.operands import LocalTensor, round_up
from ascend_sim.isa.source import refusal
from ascend_sim.kernel import vector
from ascend_sim.numerics import DType, fp16

Item = TypeVar("Item")
_COLUMNS = 64
"""Columns that one repeat of an fp32 row holds."""
_BLOCK = 8
"""Columns that one block of an fp32 row holds."""
_SCRATCH = f"a quarter of what is reduced, or three quarters for less than {_COLUMNS} columns"
_REPEAT_BYTES = 256
_BLOCK_BYTES = 32


def tiles(extent: int, size: int) -> list[tuple[int, int]]:
    """(begin, length) of the tiles of *size* that cover *extent*; the last one may be shorter."""
    return [(begin, min(size, extent - begin)) for begin in range(0, extent, size)]


def deal_by_cost(items: Sequence[Item], cost: Callable[[Item], int], hands: int) -> list[list[Item]]:
    """Deal *items* to *hands* cores: the dearest first, each to the core with the least cost so far."""
    loads = [(0, hand) for hand in range(hands)]
    dealt: list[list[Item]] = [[] for _ in range(hands)]
    costs = [cost(item) for item in items]
    for number in sorted(range(len(items)), key=costs.__getitem__, reverse=True):
        load, hand = loads[0]
        dealt[hand].append(items[number])
        heapq.heapreplace(loads, (load + costs[number], hand))
    return dealt


def padded_columns(columns: int) -> int:
    """The smallest 64 x 2^i that is not below *columns*: a row of that many numbers can be folded in halves."""
    return _COLUMNS << max(0, math.ceil(math.log2(columns / _COLUMNS)))


def staggered_columns(columns: int, dtype: DType) -> int:
    """The columns of a tile for rows of *columns* that begin an odd number of blocks apart.

    Blocks of eight such rows lie in different bank groups of UB, so that a repeat reaches them without a conflict.
    """
    block = _BLOCK_BYTES // dtype.bytes
    return (math.ceil(columns / block) | 1) * block


def fill_columns_from(first: int, x: LocalTensor, value: float) -> None:
    """Fill the columns of *x* (rows, whole blocks) from *first* on with *value*."""
    for begin, length in tiles(x.columns, _REPEAT_BYTES // x.dtype.bytes):
        if begin + length > first:
            vector.duplicate(x[:, begin : begin + length], value, mask=(max(first - begin, 0), length))


def fill_above_diagonal(first: int, x: LocalTensor, value: float) -> None:
    """Fill row i of *x* (rows, whole blocks) from column *first* + i on with *value*; *first* may be negative.

    The part of a repeat that the diagonal passes through is filled row by row, what lies right of it in one piece.
    """
    for begin, length in tiles(x.columns, _REPEAT_BYTES // x.dtype.bytes):
        columns = x[:, begin : begin + length]
        whole = min(max(begin - first + 1, 0), x.rows)  # rows whose columns begin right of the diagonal
        if whole:
            vector.duplicate(columns[:whole, :], value)
        for row in range(whole, min(x.rows, begin + length - first)):
            vector.duplicate(columns[row : row + 1, :], value, mask=(first + row - begin, length))


def folded_columns(columns: int, dtype: DType) -> int:
    """Columns that `fold_max` and `fold_sum` leave of *columns*: an eighth in fp32, half in fp16."""
    return columns // (2 if dtype == fp16 else _BLOCK)


def fold_max(dst: LocalTensor, x: LocalTensor) -> None:
    """dst (rows, folded columns) = x (rows, columns), reduced by the first and dearest step of `row_max`.

    So tiles that are walked in step share the further steps. In fp32 blocks of 8 become one element each, and nothing
    has gaps; in fp16 the two halves of each row are compared.
    """
    if x.dtype == fp16:
        _halve(vector.max, dst, x)
    else:
        vector.block_reduce_max(dst, x)


def fold_sum(dst: LocalTensor, x: LocalTensor) -> None:
    """dst (rows, folded columns) = x (rows, columns), reduced by the first and dearest step of `row_sum`.

    In fp32 blocks of 8 are added up; in fp16 the two halves of each row are added, element by element.
    """
    if x.dtype == fp16:
        _halve(vector.add, dst, x)
    else:
        vector.block_reduce_sum(dst, x)


def row_max(dst: LocalTensor, x: LocalTensor, scratch: LocalTensor) -> None:
    """dst (rows,) = the largest of each row of x.

    In fp32, x is (rows, 8 x 2^i) without gaps. Columns are reduced by blocks of 8 as long as each row keeps whole
    blocks, and else halved. *scratch* holds a quarter of x; three quarters if x has less than 64 columns.

    In fp16, x is (rows, 16 x 2^i), and is overwritten. Columns are halved until a block of 16 is left, which is
    reduced: the instructions that reduce blocks take 7 cycles a repeat in fp16. *scratch* holds 16 columns.
    """
    in_step(steps_of_row_max(dst, x, scratch))


def steps_of_row_max(dst: LocalTensor, x: LocalTensor, scratch: LocalTensor) -> Iterator[None]:
    """The steps of `row_max`, to be taken `in_step` with others."""
    if x.dtype == fp16:
        yield from _steps_of_max_in_halves(dst, x, scratch)
        return
    used, run = 0, _as_run(x)
    while x.columns > _BLOCK:
        by_blocks = x.columns >= _COLUMNS
        columns = x.columns // (_BLOCK if by_blocks else 2)
        y = _part(scratch, used, (x.rows, columns))
        if by_blocks:
            vector.block_reduce_max(y, x)
        else:
            vector.max(y, x[:, :columns], x[:, columns:])
        x, run, used = y, _as_run(y), used + y.tile_bytes
        yield
    vector.block_reduce_max(dst, run)


def _steps_of_max_in_halves(dst: LocalTensor, x: LocalTensor, scratch: LocalTensor) -> Iterator[None]:
    block = _BLOCK_BYTES // x.dtype.bytes
    _expect_halves(x, block)
    while x.columns > block:
        half = x.columns // 2
        y = x[:, :half] if half > block else _part(scratch, 0, (x.rows, half))
        _halve(vector.max, y, x)
        x = y
        yield
    vector.block_reduce_max(dst, _as_run(x))


def row_sum(dst: LocalTensor, x: LocalTensor, scratch: LocalTensor) -> None:
    """dst (rows,) = the sum of each row of x, without gaps.

    In fp32, x is (rows, 8 x 2^i) and *scratch* holds a quarter of it. Columns are added by blocks of 8 as long as
    there are blocks, and then by pairs.

    In fp16, x is (rows, 16 x 2^i), and is overwritten; *scratch* is not used. Neighbours are added up pairwise, each
    sum rounded to fp16.
    """
    in_step(steps_of_row_sum(dst, x, scratch))


def steps_of_row_sum(dst: LocalTensor, x: LocalTensor, scratch: LocalTensor, scale: float = 1.0) -> Iterator[None]:
    """The steps of `row_sum`, to be taken `in_step` with others.

    With *scale* (fp16 only), what is left is multiplied with it when there are 16 columns: a mean over all of them
    may be in range where their sum is not.
    """
    used, columns, run, half = 0, x.columns, _as_run(x), x.dtype == fp16
    if scale != 1.0 and not half:
        raise refusal(f"'{x.buffer.name}' is {x.dtype}, and only fp16 is scaled; use muls on the sums")
    while columns > 1:
        if scale != 1.0 and columns == _BLOCK_BYTES // fp16.bytes:
            vector.muls(run, run, scale)
            yield
        by_blocks = columns >= _BLOCK and not half
        reduce, size = (vector.block_reduce_sum, _BLOCK) if by_blocks else (vector.pair_reduce_sum, 2)
        columns //= size
        if columns == 1:
            reduce(dst, run)
            return
        y = _run_of(x, x.rows * columns) if half else _part(scratch, used, (x.rows * columns,))
        reduce(y, run)
        run, used = y, round_up(used + y.tile_bytes, _BLOCK * x.dtype.bytes)
        yield


def in_step(*chains: Iterator[None]) -> None:
    """Take a step of each of the *chains* in turn until all have ended.

    A step holds what need not wait for each other. An instruction that needs the result of one before it waits until
    the vector unit has finished all before it; steps of several chains then wait together, once.
    """
    for _ in zip_longest(*chains):
        pass


def _halve(combine: Callable[..., None], dst: LocalTensor, x: LocalTensor) -> None:
    """dst (rows, columns / 2) = the left half of x combined with the right one.

    Halves of whole repeats are taken a row a repeat; narrower ones a block of eight rows a repeat.
    """
    half = x.columns // 2
    left, right = x[:, :half], x[:, half:]
    if half % (_REPEAT_BYTES // x.dtype.bytes) == 0:
        combine(dst, left, right)
        return
    for begin, block in tiles(half, _BLOCK_BYTES // x.dtype.bytes):
        columns = slice(begin, begin + block)
        combine(dst[:, columns], left[:, columns], right[:, columns], blocks=True)


def _expect_halves(x: LocalTensor, block: int) -> None:
    """Raise a KernelError unless x has block x 2^i columns."""
    blocks, rest = divmod(x.columns, block)
    if rest or not blocks or blocks & (blocks - 1):
        raise refusal(
            f"'{x.buffer.name}' has {x.columns} columns, but rows are reduced by blocks of {block} and halves; pad "
            f"to {block} x 2^i columns, as padded_columns says"
        )


def _as_run(x: LocalTensor) -> LocalTensor:
    """The elements of x (rows, 8 x 2^i) as one vector."""
    _expect_halves(x, _BLOCK_BYTES // x.dtype.bytes)
    if not x.contiguous:
        raise refusal(
            f"'{x.buffer.name}' has gaps between its rows (they begin {x.pitch} elements apart), which reductions "
            f"cannot step over; copy the window to a tile of its own first"
        )
    return _run_of(x, x.elements)


def _run_of(x: LocalTensor, elements: int) -> LocalTensor:
    """The first *elements* of x, which has no gaps, as one vector."""
    return x.buffer.tile(elements, x.dtype, start=x.address - x.buffer.offset)


def _part(scratch: LocalTensor, used: int, shape: tuple[int, ...]) -> LocalTensor:
    """A tensor of *shape* in the memory of *scratch*, behind the *used* bytes of it."""
    have, need = scratch.elements * scratch.dtype.bytes, used + math.prod(shape) * scratch.dtype.bytes
    if need > have:
        raise refusal(
            f"scratch '{scratch.buffer.name}' holds {have} B, the reduction needs {need} B; make it "
            f"{'16 columns of what is reduced' if scratch.dtype == fp16 else _SCRATCH}"
        )
    return scratch.buffer.tile(shape, scratch.dtype, start=scratch.address - scratch.buffer.offset + used)


def by_rows(combine: Callable[..., None], x: LocalTensor, column: LocalTensor, scratch: LocalTensor) -> None:
    """x (rows, columns) = x combined with the element of *column* (rows,) that belongs to each row.

    *combine* is `mul`, `sub`, ...; *scratch* (rows, 32 B) takes the elements spread over a block each.
    """
    blocks = scratch[: x.rows, :]
    vector.brcb(blocks, column)
    combine(x, x, blocks)


def spread(x: LocalTensor, column: LocalTensor, scratch: LocalTensor) -> None:
    """x (rows, 8 x 2^i) = the element of *column* (rows,) of each row, in every column (4-byte formats)."""
    blocks = scratch[: x.rows, :]
    vector.brcb(blocks, column)
    width = blocks.columns
    vector.copy(x[:, :width], blocks)
    while width < x.columns:
        vector.copy(x[:, width : 2 * width], x[:, :width])
        width *= 2


__all__ = [
    "by_rows",
    "deal_by_cost",
    "fill_above_diagonal",
    "fill_columns_from",
    "fold_max",
    "fold_sum",
    "folded_columns",
    "in_step",
    "padded_columns",
    "row_max",
    "row_sum",
    "spread",
    "staggered_columns",
    "steps_of_row_max",
    "steps_of_row_sum",
    "tiles",
]
