"""FlashAttention (arXiv 2307.08691): the softmax is computed while the keys pass by, so that S and P stay small.

A block of query rows meets the keys of its head tile by tile. A tile goes through four stages, which hand it on through
FIFOs in global memory:

    [QK]  S_j = Q K_j^T                                  cube core      -> FIFO s
    [P]   m_j = max(m_{j-1}, rowmax S_j)                 vector cores
          P_j = exp(scale (S_j - m_j))                   vector cores   -> FIFO p
    [PV]  T_j = P_j V_j                                  cube core      -> FIFO t
    [GU]  O = O decay_j + T_j                            vector cores, where O stays; O / l in the end

with decay_j = exp(scale (m_{j-1} - m_j)), m_0 = -inf and l_j = l_{j-1} decay_j + rowsum P_j.

As in pto-isa's flash_atten, QK and P run some tiles ahead of PV and GU, so that each kind of core has work while the
other has not finished.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from ascend_sim import kernel as asc
from ascend_sim.kernel import AIC, AIV, GlobalTensor, LocalTensor, Pipe, RoundMode, Space, fp32

Extent = Annotated[int, Field(ge=1)]
Pairs = Annotated[int, Field(ge=16, multiple_of=16)]
FORMATS = {"fp16": asc.fp16, "bf16": asc.bf16}

# Cross-core flags: a slot of a FIFO holds a new tile, or slots of it may be overwritten
S_READY, P_READY, T_READY, S_FREE, P_FREE, T_FREE = range(6)


class Problem(asc.Parameters):
    """q and out hold *query_tokens* rows for each head, request by request; k and v *kv_tokens* for each KV head.

    Query heads share KV heads in groups of heads / kv_heads.
    """

    batch: Extent = 1
    heads: Extent = 1
    kv_heads: Extent = 1
    query_tokens: Extent
    kv_tokens: Extent
    head_dim: Pairs = 128
    dtype: Literal["fp16", "bf16"] = "fp16"

    @model_validator(mode="after")
    def _groups_of_heads(self) -> Problem:
        if self.heads % self.kv_heads:
            raise ValueError(
                f"kv_heads = {self.kv_heads} does not divide heads = {self.heads}, so the heads cannot share them "
                f"evenly; write a divisor of {self.heads}"
            )
        return self

    @property
    def softmax_scale(self) -> float:
        return 1.0 / math.sqrt(self.head_dim)


class Tiling(asc.Parameters):
    """Sizes in elements, and how many buffers there are of each.

    A tile is *rows* of Q against *keys*. The cube core takes *sub_keys* of it at a time to L1, *sub_columns* of V and
    *l0_depth* of the common dimension to L0; a vector core has *ub_buffers* times *vector_rows* of it in UB.
    """

    rows: Pairs = 128
    keys: Pairs = 256
    sub_keys: Pairs = 128
    sub_columns: Pairs = 128
    l0_depth: Pairs = 128
    vector_rows: Annotated[int, Field(ge=8, multiple_of=8)] = 32
    l1_buffers: Extent = 2
    l0_buffers: Extent = 2
    l0c_buffers: Extent = 2
    ub_buffers: Extent = 2


class Schedule(asc.Parameters):
    """QK and P run *preload* tiles ahead of PV and GU; *sync_period* slots of a FIFO are given back at a time."""

    preload: Annotated[int, Field(ge=0)] = 4
    fifo: Annotated[int, Field(ge=1, le=15)] = 8
    sync_period: Extent = 4

    @model_validator(mode="after")
    def _enough_slots(self) -> Schedule:
        need = self.preload + self.sync_period
        if self.fifo < need:
            raise ValueError(
                f"fifo = {self.fifo} slots are too few: {self.preload} (preload) hold tiles in flight while "
                f"{self.sync_period} (sync_period) are given back together, and without {need} the stages wait for "
                f"each other for ever; raise fifo (to 15 at most), or lower preload or sync_period"
            )
        return self

    def waits(self, number: int) -> bool:
        """Whether tile *number* is the first to need slots that must have been given back."""
        return number >= self.fifo and (number - self.fifo) % self.sync_period == 0


class Parameters(asc.Parameters):
    problem: Problem
    tiling: Tiling = Tiling()
    schedule: Schedule = Schedule()

    @model_validator(mode="after")
    def _products_fit(self) -> Parameters:
        need = math.ceil(self.problem.head_dim / self.tiling.sub_columns)
        if self.tiling.l0c_buffers < need:
            raise ValueError(
                f"l0c_buffers = {self.tiling.l0c_buffers} is too few: head_dim = {self.problem.head_dim} in tiles of "
                f"{self.tiling.sub_columns} sub_columns needs {need} at a time; raise it, or take larger sub_columns"
            )
        return self


class Turn(NamedTuple):
    """What the stages of a tile must know of it: its *slot* in the FIFOs, and its place among the keys of its block.

    It *waits* until slots were given back before it goes into a FIFO, and *frees* slots once it is out of it.
    """

    slot: int
    first: bool
    last: bool
    waits: bool
    frees: bool


class Part(NamedTuple):
    """Some *rows* of a tile: *here* among those of a vector core, *there* among those of the tile."""

    rows: int
    here: slice
    there: slice


class Tile(NamedTuple):
    """Rows of q and out, rows of k and v, and the turn on its core."""

    queries: slice
    keys: slice
    turn: Turn


def flops(p: Parameters) -> int:
    """Q K^T and P V, two operations a multiply-add."""
    problem = p.problem
    return 4 * problem.batch * problem.heads * problem.query_tokens * problem.kv_tokens * problem.head_dim


def tensors(gm: asc.GlobalMemory, p: Parameters) -> None:
    problem, dtype = p.problem, FORMATS[p.problem.dtype]
    rows = problem.batch * problem.heads * problem.query_tokens
    tokens = problem.batch * problem.kv_heads * problem.kv_tokens
    gm.input("q", (rows, problem.head_dim), dtype)
    gm.input("k", (tokens, problem.head_dim), dtype)
    gm.input("v", (tokens, problem.head_dim), dtype)
    gm.output("out", (rows, problem.head_dim), dtype)
    slot_rows = gm.blocks * p.schedule.fifo * p.tiling.rows
    gm.workspace("s", (slot_rows, p.tiling.keys), fp32)
    gm.workspace("p", (slot_rows, p.tiling.keys), dtype)
    gm.workspace("t", (slot_rows, problem.head_dim), fp32)


def row_blocks(p: Parameters) -> list[tuple[slice, int]]:
    """The blocks of query rows of all heads and requests, each with the first token of its keys."""
    problem, blocks = p.problem, []
    for head in range(problem.batch * problem.heads):
        kv_head = head // (problem.heads // problem.kv_heads)
        for begin, rows in asc.tiles(problem.query_tokens, p.tiling.rows):
            first = head * problem.query_tokens + begin
            blocks.append((slice(first, first + rows), kv_head * problem.kv_tokens))
    return blocks


def tiles_of(blocks: Sequence[tuple[slice, int]], p: Parameters) -> list[Tile]:
    """The tiles of one core in order: the stream runs on across blocks, heads and requests."""
    spans = asc.tiles(p.problem.kv_tokens, p.tiling.keys)
    schedule, count = p.schedule, len(blocks) * len(spans)
    tiles: list[Tile] = []
    for queries, token in blocks:
        for begin, keys in spans:
            number = len(tiles)
            # Slots are given back together, after the last tile in them, if there is a tile that waits for them.
            waiting = number + 1 - schedule.sync_period + schedule.fifo
            frees = schedule.waits(waiting) and waiting < count
            last = begin + keys == p.problem.kv_tokens
            turn = Turn(number % schedule.fifo, begin == 0, last, schedule.waits(number), frees)
            tiles.append(Tile(queries, slice(token + begin, token + begin + keys), turn))
    return tiles


class CubeCore:
    """[QK] and [PV]: Q stays in L1 for its block, sub-tiles of K, P and V pass through; everything is ping-pong."""

    queries: LocalTensor  # the rows of Q of the block at hand

    def __init__(self, core: asc.Core, p: Parameters) -> None:
        t, head_dim, dtype = p.tiling, p.problem.head_dim, FORMATS[p.problem.dtype]
        columns = max(t.sub_keys, t.sub_columns)
        q, k = (Space.L1, (t.rows, head_dim), dtype), (Space.L1, (t.sub_keys, head_dim), dtype)
        probabilities, v = (Space.L1, (t.rows, t.sub_keys), dtype), (Space.L1, (t.sub_keys, head_dim), dtype)
        l0a, l0b = (Space.L0A, (t.rows, t.l0_depth), dtype), (Space.L0B, (t.l0_depth, columns), dtype)
        self.tiling = t
        self.q = core.ring("q", q, fill=Pipe.MTE2, drain=Pipe.MTE1)
        self.k = core.ring("k", k, buffers=t.l1_buffers, fill=Pipe.MTE2, drain=Pipe.MTE1)
        self.p_and_v = core.ring("p_and_v", probabilities, v, buffers=t.l1_buffers, fill=Pipe.MTE2, drain=Pipe.MTE1)
        self.l0 = core.ring("l0", l0a, l0b, buffers=t.l0_buffers, fill=Pipe.MTE1, drain=Pipe.M)
        self.l0c = core.ring(
            "l0c", (Space.L0C, (t.rows, columns), fp32), buffers=t.l0c_buffers, fill=Pipe.M, drain=Pipe.FIX
        )

    def begin_block(self, q: GlobalTensor) -> None:
        """Load the rows of Q of a block; they stay in L1 until its last tile."""
        with self.q.fill() as buffer:
            asc.data_copy(buffer[: q.rows, :], q)
        self.queries = self.q.deque()[: q.rows, :]

    def end_block(self) -> None:
        """Give the rows of Q back."""
        self.q.free()

    def qk(self, k: GlobalTensor, s: GlobalTensor, turn: Turn) -> None:
        """[QK] S = Q K^T."""
        q = self.queries
        if turn.waits:
            asc.cross_core_wait_flag(S_FREE)
        for n0, n in asc.tiles(k.rows, self.tiling.sub_keys):
            with self.k.fill() as buffer:
                asc.data_copy(buffer[:n, :], k[n0 : n0 + n, :])
            with self.k.take() as buffer, self.l0c.fill() as sums:
                self.multiply(sums[: q.rows, :n], q, buffer[:n, :], transpose=True)
            with self.l0c.take() as sums:
                asc.fixpipe(s[:, n0 : n0 + n], sums[: q.rows, :n])
        asc.cross_core_set_flag(S_READY, Pipe.FIX)

    def pv(self, p: GlobalTensor, v: GlobalTensor, t: GlobalTensor, turn: Turn) -> None:
        """[PV] T = P V, summed over the sub-tiles of keys."""
        columns = asc.tiles(v.columns, self.tiling.sub_columns)
        products = [self.l0c.alloc()[: p.rows, :n] for _, n in columns]
        for k0, k in asc.tiles(v.rows, self.tiling.sub_keys):
            with self.p_and_v.fill() as (left, right):
                asc.data_copy(right[:k, :], v[k0 : k0 + k, :])
                if k0 == 0:
                    asc.cross_core_wait_flag(P_READY)
                asc.data_copy(left[: p.rows, :k], p[:, k0 : k0 + k])
            with self.p_and_v.take() as (left, right):
                for (n0, n), product in zip(columns, products, strict=True):
                    self.multiply(product, left[: p.rows, :k], right[:k, n0 : n0 + n], add=k0 > 0)
        if turn.frees:
            asc.cross_core_set_flag(P_FREE, Pipe.MTE2)
        if turn.waits:
            asc.cross_core_wait_flag(T_FREE)
        for (n0, n), product in zip(columns, products, strict=True):
            self.l0c.enque()
            with self.l0c.take():
                asc.fixpipe(t[:, n0 : n0 + n], product)
        asc.cross_core_set_flag(T_READY, Pipe.FIX)

    def multiply(
        self, product: LocalTensor, left: LocalTensor, right: LocalTensor, *, transpose: bool = False, add: bool = False
    ) -> None:
        """The product left x right (right^T with *transpose*), *l0_depth* of the common dimension at a time."""
        m, n = product.shape
        for k0, k in asc.tiles(left.columns, self.tiling.l0_depth):
            with self.l0.fill() as (l0a, l0b):
                asc.load_data(l0a[:m, :k], left[:, k0 : k0 + k])
                part = right[:, k0 : k0 + k] if transpose else right[k0 : k0 + k, :]
                asc.load_data(l0b[:k, :n], part, transpose=transpose)
            with self.l0.take() as (l0a, l0b):
                asc.mmad(product, l0a[:m, :k], l0b[:k, :n], init=not add and k0 == 0)


class VectorCore:
    """[P] and [GU] for its share of the rows; O and the statistics of the rows stay in UB.

    An instruction that needs the result of the one before it leaves the vector unit idle until that is visible. So
    the sub-tiles in UB are walked in step, operation by operation, with the statistics of their rows in between.
    """

    def __init__(self, core: asc.Core, p: Parameters) -> None:
        step, rows, slots = p.tiling.vector_rows, math.ceil(p.tiling.rows / core.subs), p.schedule.fifo
        columns, head_dim, buffers = asc.padded_columns(p.tiling.keys), p.problem.head_dim, p.tiling.ub_buffers
        self.sub, self.subs, self.rows, self.step, self.buffers = core.sub, core.subs, rows, step, buffers
        self.scale, self.dtype = p.problem.softmax_scale, FORMATS[p.problem.dtype]
        widest = max(columns, head_dim)
        s, t, result = ((Space.UB, size) for size in (4 * step * columns, 4 * step * head_dim, 2 * step * widest))
        self.s = core.ring("s", s, buffers=buffers, fill=Pipe.MTE2, drain=Pipe.V)
        self.t = core.ring("t", t, buffers=buffers, fill=Pipe.MTE2, drain=Pipe.V)
        self.result = core.ring("result", result, buffers=buffers, fill=Pipe.V, drain=Pipe.MTE3)
        self.o = core.tensor("o", Space.UB, (rows, head_dim), fp32)
        # Rows reduced to an eighth by blocks, and what it takes to reduce them further
        self.eighth = core.tensor("eighth", Space.UB, (rows, columns // 8), fp32)
        self.scratch = core.tensor("scratch", Space.UB, (rows, 3 * columns // 32), fp32)
        self.blocks = core.tensor("blocks", Space.UB, (rows, 8), fp32)
        self.m, self.l, self.new_m, self.new_sum = (
            core.tensor(name, Space.UB, rows, fp32) for name in ("row_max", "row_sum", "new_max", "new_sum")
        )
        # What P leaves for GU, some tiles later: decay_j, and l of the last tile
        self.decay = core.tensor("decay", Space.UB, slots * rows, fp32)
        self.divisor = core.tensor("divisor", Space.UB, slots * rows, fp32)

    def parts(self, rows: int) -> list[Part]:
        """This core's share of the *rows* of a tile, in sub-tiles; the last core may have none of a few rows."""
        each = math.ceil(rows / self.subs)
        begin = min(self.sub * each, rows)
        spans = asc.tiles(min(each, rows - begin), self.step)
        return [Part(r, slice(r0, r0 + r), slice(begin + r0, begin + r0 + r)) for r0, r in spans]

    def softmax(self, s: GlobalTensor, p: GlobalTensor, turn: Turn) -> None:
        """[P] P = exp(scale (S - m)), for as many sub-tiles in step as there are buffers."""
        keys, columns, parts = s.columns, asc.padded_columns(s.columns), self.parts(s.rows)
        asc.cross_core_wait_flag(S_READY)
        if turn.waits:
            asc.cross_core_wait_flag(P_FREE)
        for first, count in asc.tiles(len(parts), self.buffers):
            in_step = parts[first : first + count]
            for part in in_step:
                with self.s.fill() as buffer:
                    asc.data_copy(buffer.tile((part.rows, columns), fp32)[:, :keys], s[part.there, :])
            self.softmax_of(in_step, p, turn)
        asc.cross_core_set_flag(P_READY, Pipe.MTE3)
        if turn.frees:
            asc.cross_core_set_flag(S_FREE, Pipe.MTE2)

    def softmax_of(self, parts: list[Part], p: GlobalTensor, turn: Turn) -> None:
        """m_j = max(m_{j-1}, rowmax S_j), P_j, decay_j and l_j = l_{j-1} decay_j + rowsum P_j, for *parts* in step."""
        keys, columns = p.columns, asc.padded_columns(p.columns)
        rows = slice(parts[0].here.start, parts[-1].here.stop)
        m, new_m, total, new_sum = (vector[rows] for vector in (self.m, self.new_m, self.l, self.new_sum))
        decay = self.of_slot(self.decay, turn.slot)[rows]
        eighth = self.eighth.buffer.tile((self.rows, columns // 8), fp32)
        chains: list[tuple[Part, LocalTensor]] = []
        if turn.first:
            asc.duplicate(m, -math.inf)
            asc.duplicate(total, 0.0)
        for part in parts:
            x = self.s.deque().tile((part.rows, columns), fp32)
            asc.fill_columns_from(keys, x, -math.inf)  # what is no key weighs nothing
            asc.block_reduce_max(eighth[part.here, :], x)
            chains.append((part, x))
        asc.row_max(new_m, eighth[rows, :], self.scratch)
        asc.max(new_m, new_m, m)
        asc.sub(decay, m, new_m)
        asc.copy(m, new_m)
        self.to_blocks(self.new_m, rows)
        asc.muls(decay, decay, self.scale)
        for part, x in chains:
            asc.sub(x, x, self.blocks[part.here, :])
        asc.exp(decay, decay)
        for _, x in chains:
            asc.muls(x, x, self.scale)
        asc.mul(total, total, decay)
        for _, x in chains:
            asc.exp(x, x)
        for part, x in chains:
            with self.result.fill() as out:
                asc.cast(out.tile(x.shape, self.dtype), x, RoundMode.CAST_RINT)
                asc.block_reduce_sum(eighth[part.here, :], x)
            self.s.free()
            with self.result.take() as out:
                asc.data_copy(p[part.there, :], out.tile(x.shape, self.dtype)[:, :keys])
        asc.row_sum(new_sum, eighth[rows, :], self.scratch)
        asc.add(total, total, new_sum)
        if turn.last:
            asc.copy(self.of_slot(self.divisor, turn.slot)[rows], total)

    def update_output(self, t: GlobalTensor, out: GlobalTensor, turn: Turn) -> None:
        """[GU] O = O decay + T; after the last keys O / l is the output."""
        parts = self.parts(t.rows)
        rows = slice(0, parts[-1].here.stop if parts else 0)
        if parts and not turn.first:
            self.to_blocks(self.of_slot(self.decay, turn.slot), rows)
            asc.mul(self.o[rows, :], self.o[rows, :], self.blocks[rows, :])
        asc.cross_core_wait_flag(T_READY)
        for part in parts:
            o = self.o[part.here, :]
            with self.t.fill() as buffer:
                asc.data_copy(buffer.tile(o.shape, fp32), t[part.there, :])
            with self.t.take() as buffer:
                if turn.first:
                    asc.copy(o, buffer.tile(o.shape, fp32))
                else:
                    asc.add(o, o, buffer.tile(o.shape, fp32))
        if parts and turn.last:
            self.to_blocks(self.of_slot(self.divisor, turn.slot), rows)
            asc.div(self.o[rows, :], self.o[rows, :], self.blocks[rows, :])
        for part in parts if turn.last else []:
            o = self.o[part.here, :]
            with self.result.fill() as result:
                asc.cast(result.tile(o.shape, self.dtype), o, RoundMode.CAST_RINT)
            with self.result.take() as result:
                asc.data_copy(out[part.there, :], result.tile(o.shape, self.dtype))
        if turn.frees:
            asc.cross_core_set_flag(T_FREE, Pipe.MTE2)

    def of_slot(self, vector: LocalTensor, slot: int) -> LocalTensor:
        """What *vector* holds for the rows of the tile in *slot*."""
        return vector[slot * self.rows : (slot + 1) * self.rows]

    def to_blocks(self, vector: LocalTensor, rows: slice) -> None:
        """Fill a block a row with the elements of *vector* for *rows*, to be applied to the whole row."""
        filled = slice(rows.start, math.ceil(rows.stop / 8) * 8)  # brcb fills eight rows at a time
        asc.brcb(self.blocks[filled, :], vector[filled])


@asc.kernel(cores="mix", parameters=Parameters, tensors=tensors, flops=flops)
def flash_attention(core: asc.Core, gm: asc.GlobalMemory, p: Parameters) -> None:
    """FlashAttention forward (MHA, GQA): cube and vector cores in a pipeline through FIFOs in global memory."""
    cube, vector = CubeCore(core, p), VectorCore(core, p)
    qk, pv = core.stage(AIC)(cube.qk), core.stage(AIC)(cube.pv)
    softmax, update_output = core.stage(AIV)(vector.softmax), core.stage(AIV)(vector.update_output)

    def slot(fifo: GlobalTensor, tile: Tile) -> GlobalTensor:
        """The rows of *tile* in its slot of this core's part of *fifo*."""
        begin = (core.index * p.schedule.fifo + tile.turn.slot) * p.tiling.rows
        return fifo[begin : begin + tile.queries.stop - tile.queries.start, :]

    def scores(fifo: GlobalTensor, tile: Tile) -> GlobalTensor:
        """The rows and keys of *tile* in its slot."""
        return slot(fifo, tile)[:, : tile.keys.stop - tile.keys.start]

    # In each round QK and P are `preload` tiles before PV and GU, also across blocks.
    tiles, preload = tiles_of(core.share(row_blocks(p)), p), p.schedule.preload
    for this_round in range(len(tiles) + preload):
        if this_round < len(tiles):
            tile = tiles[this_round]
            if core.is_cube and tile.turn.first:
                cube.begin_block(gm.q[tile.queries, :])
            qk(gm.k[tile.keys, :], scores(gm.s, tile), tile.turn)
            if core.is_cube and tile.turn.last:
                cube.end_block()
            softmax(scores(gm.s, tile), scores(gm.p, tile), tile.turn)

        if this_round >= preload:
            tile = tiles[this_round - preload]
            pv(scores(gm.p, tile), gm.v[tile.keys, :], slot(gm.t, tile), tile.turn)
            update_output(slot(gm.t, tile), gm.out[tile.queries, :], tile.turn)
