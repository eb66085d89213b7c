"""C = A B on the cube cores, double buffered at every level."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Annotated, Literal, TypeVar

from pydantic import Field, model_validator

from ascend_sim import kernel as asc
from ascend_sim.kernel import AIC, Pipe, Space

Extent = Annotated[int, Field(ge=1)]
Layout = Literal["row", "column"]
Matrix = TypeVar("Matrix", asc.GlobalTensor, asc.LocalTensor)
Span = tuple[int, int]  # (begin, length) of rows, columns or depth
Tile = tuple[Span, Span]  # rows and columns of C
FORMATS = {"fp16": asc.fp16, "bf16": asc.bf16, "fp32": asc.fp32, "int8": asc.int8}
OUTPUTS = {"fp32": asc.fp32, "fp16": asc.fp16, "bf16": asc.bf16, "int32": asc.int32}

FIRST_PART_STORED = 0  # a cross-core flag


class Problem(asc.Parameters):
    """C (m, n) = A (m, k) B (k, n). C is row-major; in layout "column" A and B are stored transposed."""

    m: Extent
    n: Extent
    k: Extent
    dtype: Literal["fp16", "bf16", "fp32", "int8"] = "fp16"
    output: Literal["fp32", "fp16", "bf16", "int32"] = "fp32"
    a_layout: Layout = "row"
    b_layout: Layout = "row"


class Tiling(asc.Parameters):
    """A base tile of C is m x n; one GM -> L1 move carries l1_k, one MMAD takes l0_k of the common dimension."""

    m: Extent = 128
    n: Extent = 256
    l1_k: Extent = 256
    l0_k: Extent = 64
    l1_buffers: Extent = 2
    l0_buffers: Extent = 2
    l0c_buffers: Extent = 1
    unit_flag: bool = False


class Swizzle(asc.Parameters):
    """Tiles of C in bands of *offset* rows of tiles (direction 0) or columns of tiles (1), as CATLASS does it."""

    offset: Extent
    direction: Literal[0, 1]


class Schedule(asc.Parameters):
    """Which core computes what.

    With a *grid* of [rows, columns] of cores, each core has a contiguous part of C. Without, the tiles of C are dealt
    out in turn, row by row or in the order of the *swizzle*, to teams of *split_k* cores. The cores of a team share
    the common dimension of their tile and must lie on one die, since cross-core flags do not leave it.
    """

    grid: Annotated[list[Extent], Field(min_length=2, max_length=2)] | None = None
    swizzle: Swizzle | None = None
    split_k: Extent = 1

    @model_validator(mode="after")
    def _one_way_to_deal(self) -> Schedule:
        if self.grid is not None and (self.swizzle is not None or self.split_k > 1):
            other = "a swizzle" if self.swizzle is not None else f"split_k = {self.split_k}"
            raise ValueError(f"a grid says which core has which tiles, so {other} has no effect; drop one of the two")
        return self


class Parameters(asc.Parameters):
    problem: Problem
    tiling: Tiling = Tiling()
    schedule: Schedule = Schedule()

    @model_validator(mode="after")
    def _parts_can_be_added(self) -> Parameters:
        split_k, output, steps = self.schedule.split_k, self.problem.output, self.steps_of_k
        if split_k > 1 and output not in ("fp32", "int32"):
            raise ValueError(
                f"schedule.split_k = {split_k} adds to C in global memory, which can be done in fp32 and int32, not in "
                f"{output}; write problem.output: fp32, or split_k: 1"
            )
        if split_k > steps:
            raise ValueError(
                f"schedule.split_k = {split_k} is above {steps}, the moves of tiling.l1_k = {self.tiling.l1_k} that "
                f"problem.k = {self.problem.k} takes; write split_k: {steps} at most, or a smaller l1_k"
            )
        return self

    @property
    def steps_of_k(self) -> int:
        """Moves from GM to L1 that the common dimension takes."""
        return math.ceil(self.problem.k / self.tiling.l1_k)

    @property
    def tile_of_c(self) -> tuple[int, int]:
        """Rows and columns of a tile of C."""
        return min(self.tiling.m, self.problem.m), min(self.tiling.n, self.problem.n)

    def part_of_k(self, part: int) -> Span:
        """Part number *part* of *split_k* of the common dimension, in whole moves to L1."""
        begin, end = (self.steps_of_k * i // self.schedule.split_k * self.tiling.l1_k for i in (part, part + 1))
        return begin, min(end, self.problem.k) - begin


def flops(p: Parameters) -> int:
    """Two operations for each multiply-add."""
    return 2 * p.problem.m * p.problem.n * p.problem.k


def tensors(gm: asc.GlobalMemory, p: Parameters) -> None:
    problem, dtype = p.problem, FORMATS[p.problem.dtype]
    gm.input("a", stored(problem.m, problem.k, problem.a_layout), dtype)
    gm.input("b", stored(problem.k, problem.n, problem.b_layout), dtype)
    gm.output("c", (problem.m, problem.n), OUTPUTS[problem.output])


def stored(rows: int, columns: int, layout: Layout) -> tuple[int, int]:
    """The shape in which a matrix of *rows* x *columns* is stored."""
    return (rows, columns) if layout == "row" else (columns, rows)


def block(matrix: Matrix, rows: Span, columns: Span, layout: Layout = "row") -> Matrix:
    """*rows* x *columns* of a matrix, which is stored transposed if its layout is "column"."""
    r, c = (slice(begin, begin + length) for begin, length in (rows, columns))
    return matrix[r, c] if layout == "row" else matrix[c, r]


def shares_of_c(p: Parameters, cores: int) -> list[list[Tile]]:
    """The tiles of C that each core of a grid, or each team of cores, computes; the first has the most."""
    problem, schedule = p.problem, p.schedule
    needed = math.prod(schedule.grid) if schedule.grid else schedule.split_k
    if needed > cores:
        asked = f"grid = {schedule.grid}" if schedule.grid else f"split_k = {needed}"
        raise ValueError(f"schedule.{asked} takes {needed} cores, but {cores} run; write a smaller one")
    if schedule.grid:
        row_parts = parts(problem.m, schedule.grid[0], p.tile_of_c[0])
        column_parts = parts(problem.n, schedule.grid[1], p.tile_of_c[1])
        return [list(product(rows, columns)) for rows, columns in product(row_parts, column_parts)]
    tiles, teams = list(in_order(p)), cores // schedule.split_k
    return [tiles[team::teams] for team in range(teams)]


def parts(extent: int, count: int, tile: int) -> list[list[Span]]:
    """The tiles of each of *count* contiguous parts of *extent*; fewer if *extent* does not suffice for all."""
    spans = asc.tiles(extent, math.ceil(extent / count))
    return [[(begin + within, size) for within, size in asc.tiles(length, tile)] for begin, length in spans]


def in_order(p: Parameters) -> Iterator[Tile]:
    """The tiles of C in the order in which they are dealt out."""
    (m_tile, n_tile), swizzle = p.tile_of_c, p.schedule.swizzle
    rows, columns = asc.tiles(p.problem.m, m_tile), asc.tiles(p.problem.n, n_tile)
    if swizzle is None:
        yield from product(rows, columns)
        return
    across, along = (rows, columns) if swizzle.direction == 0 else (columns, rows)
    for number, band in enumerate(asc.tiles(len(across), swizzle.offset)):
        for one in along[:: -1 if number % 2 else 1]:  # every other band is walked backwards
            for other in across[band[0] : band[0] + band[1]]:
                yield (other, one) if swizzle.direction == 0 else (one, other)


@asc.kernel(cores="cube", parameters=Parameters, tensors=tensors, flops=flops)
def gemm(core: asc.Core, gm: asc.GlobalMemory, p: Parameters) -> None:
    """C = A B on the cube cores; each has a part of C, or the tiles of C are dealt out in turn."""
    problem, tiling, split_k = p.problem, p.tiling, p.schedule.split_k
    dtype, a_layout, b_layout = FORMATS[problem.dtype], problem.a_layout, problem.b_layout
    accumulator = asc.int32 if dtype is asc.int8 else asc.fp32
    m_tile, n_tile = p.tile_of_c
    l1_k = min(tiling.l1_k, problem.k)
    l0_k = min(tiling.l0_k, l1_k)

    a_part, b_part = stored(m_tile, l1_k, a_layout), stored(l1_k, n_tile, b_layout)
    a_l1 = core.ring("a_l1", (Space.L1, a_part, dtype), buffers=tiling.l1_buffers, fill=Pipe.MTE2, drain=Pipe.MTE1)
    b_l1 = core.ring("b_l1", (Space.L1, b_part, dtype), buffers=tiling.l1_buffers, fill=Pipe.MTE2, drain=Pipe.MTE1)
    l0 = core.ring(
        "l0", (Space.L0A, (m_tile, l0_k), dtype), (Space.L0B, (l0_k, n_tile), dtype),
        buffers=tiling.l0_buffers, fill=Pipe.MTE1, drain=Pipe.M,
    )
    l0c = core.ring(
        "l0c", (Space.L0C, (m_tile, n_tile), accumulator),
        buffers=tiling.l0c_buffers, fill=Pipe.M, drain=Pipe.FIX, unit_flag=tiling.unit_flag,
    )

    @core.stage(AIC)
    def meet() -> None:
        """All cores wait here until what each has stored so far can be seen by the others."""
        asc.cross_core_set_flag(FIRST_PART_STORED, Pipe.FIX, mode=0)
        asc.cross_core_wait_flag(FIRST_PART_STORED, mode=0)

    @core.stage(AIC)
    def tile_of_c(a: asc.GlobalTensor, b: asc.GlobalTensor, c: asc.GlobalTensor, part: int, depth: int) -> None:
        """One tile of C: the row panel of A times the column panel of B, over one *part* of the common dimension."""
        m, n = c.shape
        rows, columns = (0, m), (0, n)
        with l0c.fill() as accumulate:
            for k1 in asc.tiles(depth, l1_k):
                moved = (0, k1[1])
                with a_l1.fill() as a_tile:
                    asc.data_copy(block(a_tile, rows, moved, a_layout), block(a, rows, k1, a_layout))
                with b_l1.fill() as b_tile:
                    asc.data_copy(block(b_tile, moved, columns, b_layout), block(b, k1, columns, b_layout))
                with a_l1.take() as a_tile, b_l1.take() as b_tile:
                    for k0 in asc.tiles(k1[1], l0_k):
                        k_begin, k = k1[0] + k0[0], k0[1]
                        with l0.fill() as (left, right):
                            a_k0, b_k0 = block(a_tile, rows, k0, a_layout), block(b_tile, k0, columns, b_layout)
                            asc.load_data(left[:m, :k], a_k0, transpose=a_layout == "column")
                            asc.load_data(right[:k, :n], b_k0, transpose=b_layout == "column")
                        with l0.take() as (left, right):
                            asc.mmad(
                                accumulate[:m, :n], left[:m, :k], right[:k, :n],
                                init=k_begin == 0, last=k_begin + k == depth,
                            )
        # The first part of the tile is stored, the others are added to it.
        if part > 0:
            meet()
        with l0c.take() as result:
            asc.fixpipe(c, result[:m, :n], atomic_add=part > 0)
        if part == 0 and split_k > 1:
            meet()

    team, part = divmod(core.index, split_k)
    if core.count > core.die_blocks and core.die_blocks % split_k:
        raise ValueError(
            f"schedule.split_k = {split_k} does not divide the {core.die_blocks} cores of a die, and no flag reaches "
            f"from die to die; write a divisor, or launch.blocks: {core.die_blocks}"
        )
    shares, k = shares_of_c(p, core.count), p.part_of_k(part)
    mine = shares[team] if team < len(shares) else []
    for rows, columns in mine:
        a, b = block(gm.a, rows, k, a_layout), block(gm.b, k, columns, b_layout)
        tile_of_c(a, b, block(gm.c, rows, columns), part, k[1])
    if split_k > 1:
        for _ in range(len(shares[0]) - len(mine)):
            meet()  # the first team has the most tiles, and all must come as often
