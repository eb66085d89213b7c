"""Softmax of every row of a matrix on the vector cores, many short rows or a few long ones at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from ascend_sim import kernel as asc
from ascend_sim.kernel import AIV, Pipe, Space, fp32

LANES = 64
"""Elements of fp32 in a repeat: the columns that one reduction covers."""

Extent = Annotated[int, Field(ge=1)]
Combine = Callable[[asc.LocalTensor, asc.LocalTensor, asc.LocalTensor], None]


class Problem(asc.Parameters):
    """y (rows, columns) = softmax of each row of x."""

    rows: Extent
    columns: Annotated[int, Field(ge=1, le=4096)]


class Tiling(asc.Parameters):
    """A tile is as many whole rows as fit *elements* (at least one)."""

    elements: Extent = 8192
    buffers: Extent = 2


class Parameters(asc.Parameters):
    problem: Problem
    tiling: Tiling = Tiling()


def flops(p: Parameters) -> int:
    """Five operations an element: maximum, difference, exponential, sum, quotient."""
    return 5 * p.problem.rows * p.problem.columns


def tensors(gm: asc.GlobalMemory, p: Parameters) -> None:
    gm.input("x", (p.problem.rows, p.problem.columns), fp32)
    gm.output("y", (p.problem.rows, p.problem.columns), fp32)


@asc.kernel(cores="vector", parameters=Parameters, tensors=tensors, flops=flops)
def softmax(core: asc.Core, gm: asc.GlobalMemory, p: Parameters) -> None:
    """y = softmax of each row of x, in fp32 on the vector cores; blocks of rows are dealt out in turn."""
    rows, columns = p.problem.rows, p.problem.columns
    width = math.ceil(columns / LANES) * LANES
    # A tile takes no more rows than every core can have, so that a short matrix still reaches all cores.
    step = max(1, min(p.tiling.elements // width, math.ceil(rows / core.count)))

    part, buffers = (Space.UB, (step, width), fp32), p.tiling.buffers
    tile_in = core.ring("in", part, buffers=buffers, fill=Pipe.MTE2, drain=Pipe.V)
    tile_out = core.ring("out", part, buffers=buffers, fill=Pipe.V, drain=Pipe.MTE3)
    folded = core.tensor("folded", Space.UB, (step, max(LANES, width // 2)), fp32)
    # brcb fills eight rows at a time, so what it reads and writes is padded to eight.
    padded_step = math.ceil(step / 8) * 8
    statistic = core.tensor("statistic", Space.UB, padded_step, fp32)
    blocks = core.tensor("blocks", Space.UB, (padded_step, 8), fp32)

    def fold(combine: Combine, x: asc.LocalTensor) -> asc.LocalTensor:
        """Combine the right half of the columns with the left half until one repeat a row is left."""
        chunks, source = x.columns // LANES, x
        while chunks > 1:
            half, odd = divmod(chunks, 2)
            target = folded[: x.rows, : half * LANES]
            combine(target, source[:, : half * LANES], source[:, half * LANES : 2 * half * LANES])
            if odd:
                left_over = source[:, 2 * half * LANES : chunks * LANES]
                combine(target[:, :LANES], target[:, :LANES], left_over)
            chunks, source = half, target
        return source

    def along_rows(count: int) -> asc.LocalTensor:
        """The statistic of each of *count* rows, as a block a row to be applied to the whole row."""
        asc.brcb(blocks, statistic)
        return blocks[:count, :]

    @core.stage(AIV)
    def softmax_of(x: asc.GlobalTensor, y: asc.GlobalTensor) -> None:
        """Softmax of the rows of one tile."""
        with tile_in.fill() as tile:
            asc.data_copy(tile[: x.rows, :columns], x)
        with tile_in.take() as tile, tile_out.fill() as result:
            scores, weights = tile[: x.rows, :], result[: x.rows, :]
            if columns < width:
                # What lies beyond the last column weighs nothing.
                asc.duplicate(scores[:, width - LANES :], -math.inf, mask=(columns % LANES, LANES))
            asc.whole_reduce_max(statistic[: x.rows], fold(asc.max, scores))
            asc.sub(scores, scores, along_rows(x.rows))
            asc.exp(weights, scores)
            asc.whole_reduce_sum(statistic[: x.rows], fold(asc.add, weights))
            asc.div(weights, weights, along_rows(x.rows))
        with tile_out.take() as result:
            asc.data_copy(y, result[: x.rows, :columns])

    for begin in core.share(range(0, rows, step)):
        block = slice(begin, min(begin + step, rows))
        softmax_of(gm.x[block, :], gm.y[block, :])
