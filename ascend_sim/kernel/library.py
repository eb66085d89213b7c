"""Small things that every kernel needs, built from single instructions."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from ascend_sim.isa.operands import LocalTensor
from ascend_sim.kernel import vector

Item = TypeVar("Item")
_COLUMNS = 64
"""Columns that one repeat of an fp32 row holds."""


def tiles(extent: int, size: int) -> list[tuple[int, int]]:
    """(begin, length) of the tiles of *size* that cover *extent*; the last one may be shorter."""
    return [(begin, min(size, extent - begin)) for begin in range(0, extent, size)]


def deal_by_cost(items: Sequence[Item], cost: Callable[[Item], int], hands: int) -> list[list[Item]]:
    """Deal *items* to *hands* cores: the dearest first, each to the core with the least cost so far."""
    loads = [(0, hand) for hand in range(hands)]
    dealt: list[list[Item]] = [[] for _ in range(hands)]
    for item in sorted(items, key=cost, reverse=True):
        load, hand = heapq.heappop(loads)
        dealt[hand].append(item)
        heapq.heappush(loads, (load + cost(item), hand))
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
    """dst (rows,) = the largest of each row of x (rows, 64 x 2^i); *scratch* holds half of x."""
    vector.whole_reduce_max(dst, _folded(vector.max, x, scratch))


def row_sum(dst: LocalTensor, x: LocalTensor, scratch: LocalTensor) -> None:
    """dst (rows,) = the sum of each row of x (rows, 64 x 2^i); *scratch* holds half of x."""
    vector.whole_reduce_sum(dst, _folded(vector.add, x, scratch))


def _folded(combine: Callable[..., None], x: LocalTensor, scratch: LocalTensor) -> LocalTensor:
    """Combine the halves of the columns until one repeat a row is left."""
    width = x.columns
    while width > _COLUMNS:
        width //= 2
        half = scratch[: x.rows, :width]
        combine(half, x[:, :width], x[:, width : 2 * width])
        x = half
    return x


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
