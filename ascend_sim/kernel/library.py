"""Small things that every kernel needs, built from single instructions."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from ascend_sim.isa.operands import LocalTensor, round_up
from ascend_sim.isa.source import refusal
from ascend_sim.kernel import vector

Item = TypeVar("Item")
_COLUMNS = 64
"""Columns that one repeat of an fp32 row holds."""
_BLOCK = 8
"""Columns that one block of an fp32 row holds."""


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
    """The smallest 64 x 2^i that is not below *columns*: a row of that many fp32 can be folded in halves."""
    return _COLUMNS << max(0, math.ceil(math.log2(columns / _COLUMNS)))


def fill_columns_from(first: int, x: LocalTensor, value: float) -> None:
    """Fill the columns of *x* (rows, a multiple of 64) from *first* on with *value*."""
    for begin, length in tiles(x.columns, _COLUMNS):
        if begin + length > first:
            vector.duplicate(x[:, begin : begin + length], value, mask=(max(first - begin, 0), length))


def row_max(dst: LocalTensor, x: LocalTensor, scratch: LocalTensor) -> None:
    """dst (rows,) = the largest of each row of x (rows, 8 x 2^i), fp32 without gaps.

    Columns are reduced by blocks of 8 as long as each row keeps whole blocks, and else halved. *scratch* holds a
    quarter of x; three quarters if x has less than 64 columns.
    """
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
    vector.block_reduce_max(dst, run)


def row_sum(dst: LocalTensor, x: LocalTensor, scratch: LocalTensor) -> None:
    """dst (rows,) = the sum of each row of x (rows, 8 x 2^i), fp32 without gaps; *scratch* holds a quarter of x.

    Columns are added by blocks of 8 as long as there are blocks, and then by pairs.
    """
    used, columns, run = 0, x.columns, _as_run(x)
    while columns > 1:
        reduce, size = (vector.block_reduce_sum, _BLOCK) if columns >= _BLOCK else (vector.pair_reduce_sum, 2)
        columns //= size
        y = dst if columns == 1 else _part(scratch, used, (x.rows * columns,))
        reduce(y, run)
        run, used = y, round_up(used + y.tile_bytes, _BLOCK * x.dtype.bytes)


def _as_run(x: LocalTensor) -> LocalTensor:
    """The elements of x (rows, 8 x 2^i) as one vector."""
    blocks, rest = divmod(x.columns, _BLOCK)
    if rest or not blocks or blocks & (blocks - 1):
        raise refusal(
            f"'{x.buffer.name}' has {x.columns} columns, but rows are reduced by blocks of {_BLOCK} and halves; pad "
            f"to {_BLOCK} x 2^i columns, as padded_columns says"
        )
    if not x.contiguous:
        raise refusal(
            f"'{x.buffer.name}' has gaps between its rows (they begin {x.pitch} elements apart), which reductions "
            f"cannot step over; copy the window to a tile of its own first"
        )
    return x.buffer.tile(x.elements, x.dtype, start=x.address - x.buffer.offset)


def _part(scratch: LocalTensor, used: int, shape: tuple[int, ...]) -> LocalTensor:
    """A tensor of *shape* in the memory of *scratch*, behind the *used* bytes of it."""
    have, need = scratch.elements * scratch.dtype.bytes, used + math.prod(shape) * scratch.dtype.bytes
    if need > have:
        raise refusal(
            f"scratch '{scratch.buffer.name}' holds {have} B, the reduction needs {need} B; make it a quarter of what "
            f"is reduced, or three quarters for less than {_COLUMNS} columns"
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


__all__ = ["by_rows", "deal_by_cost", "fill_columns_from", "padded_columns", "row_max", "row_sum", "spread", "tiles"]
