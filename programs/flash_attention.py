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

With problem.causal, tiles above the diagonal are left out, and in those on it S is -inf where a query does not see a
key. The first tile of a block has a key that every query sees, so m_j is finite.

problem.softmax says in which formats S travels and the vector cores calculate:

    fp32       S, T, O and all arithmetic in fp32; P rounded to the format of the inputs
    fp16_fp32  S rounded to fp16 on its way out of L0C, where it overflows beyond 65504; the rest as fp32
    fp16       all in fp16, rounded after each operation; a row sum is that of `asc.fold_sum` and `asc.row_sum`
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import model_validator

from ascend_sim import kernel as asc
from ascend_sim.kernel import AIC, AIV, GlobalTensor, LocalTensor, RoundMode, Space, fp16, fp32
from attention import forward
from attention.forward import Fifo, Pairs, Schedule, Turn, blocks_of, tiles_in, tiles_of
from attention.forward_cube import CubeCore
from attention.forward_vector import Part, VectorCore
from attention.rounds import in_rounds

FORMATS = {"fp16": asc.fp16, "bf16": asc.bf16}


class Problem(forward.Problem):
    """q and out hold *query_tokens* rows for each head, request by request; k and v *kv_tokens* for each KV head.

    Query heads share KV heads in groups of heads / kv_heads. The queries are the last tokens: if *causal*, query i
    sees the keys 0 to kv_tokens - query_tokens + i. *softmax* names the formats of S and of what is made of it.
    """

    dtype: Literal["fp16", "bf16"] = "fp16"
    softmax: Literal["fp32", "fp16_fp32", "fp16"] = "fp32"

    @model_validator(mode="after")
    def _half_precision(self) -> Problem:
        if self.softmax != "fp32" and self.dtype != "fp16":
            raise ValueError(
                f"softmax = {self.softmax} is for dtype = fp16, not for {self.dtype}; write softmax: fp32, or "
                f"dtype: fp16"
            )
        return self


class Tiling(forward.Tiling):
    """Sizes in elements, and how many buffers there are of each.

    A tile is *rows* of Q against *keys*. The cube core takes *sub_keys* of it at a time to L1, *sub_rows* of Q and P,
    *sub_columns* of V and *l0_depth* of the common dimension to L0; a vector core has *ub_buffers* times *vector_rows*
    of it in UB; without *vector_rows*, 32, 16 or 8, as UB allows. With *unit_flag* tiles of L0C are handed on fractal
    by fractal.
    """

    rows: Pairs = 128
    keys: Pairs = 256


class Parameters(asc.Parameters):
    problem: Problem
    tiling: Tiling = Tiling()
    schedule: Schedule = Schedule()

    @model_validator(mode="after")
    def _products_fit(self) -> Parameters:
        self.tiling.expect_products_fit(self.tiling.rows, self.problem.head_dim)
        return self

    @model_validator(mode="after")
    def _whole_blocks_of_halves(self) -> Parameters:
        rows = self.tiling.vector_rows
        if self.problem.softmax == "fp16" and rows is not None and rows % 16:
            raise ValueError(
                f"vector_rows = {rows} with softmax = fp16: numbers of rows begin inside a block of 32 B; write a "
                f"multiple of 16"
            )
        return self

    @property
    def vector_rows(self) -> int:
        """Rows of a sub-tile: as many as UB holds beside O in fp32, and beside S in both formats."""
        softmax, wide_output = self.problem.softmax, self.problem.head_dim > 128 and self.problem.softmax != "fp16"
        return self.tiling.vector_rows or 32 // (2 if wide_output else 1) // (2 if softmax == "fp16_fp32" else 1)


def flops(p: Parameters) -> int:
    """Q K^T and P V, two operations a multiply-add."""
    return p.problem.flops()


def tensors(gm: asc.GlobalMemory, p: Parameters) -> None:
    problem, dtype = p.problem, FORMATS[p.problem.dtype]
    rows, tokens = problem.batch * problem.heads * problem.query_tokens, problem.all_kv_heads * problem.kv_tokens
    gm.input("q", (rows, problem.head_dim), dtype)
    gm.input("k", (tokens, problem.head_dim), dtype)
    gm.input("v", (tokens, problem.head_dim), dtype)
    gm.output("out", (rows, problem.head_dim), dtype)
    slot_rows = gm.blocks * p.schedule.fifo * p.tiling.rows
    gm.workspace("s", (slot_rows, p.tiling.keys), fp32 if problem.softmax == "fp32" else fp16)
    gm.workspace("p", (slot_rows, p.tiling.keys), dtype)
    gm.workspace("t", (slot_rows, problem.head_dim), fp16 if problem.softmax == "fp16" else fp32)


class Softmax(VectorCore):
    """The online softmax: m and l of the keys so far, and what P and O are scaled down by when m has grown."""

    def __init__(self, core: asc.Core, p: Parameters) -> None:
        scores = fp32 if p.problem.softmax == "fp32" else fp16
        wide = fp16 if p.problem.softmax == "fp16" else fp32
        dtype, slots = FORMATS[p.problem.dtype], p.schedule.fifo
        super().__init__(
            core, p.tiling, p.tiling.rows, p.vector_rows, p.problem.head_dim, slots, scores=scores, wide=wide, out=dtype
        )  # fmt: skip
        self.scale = p.problem.softmax_scale
        self.m, self.l, self.new_m, self.new_sum = (
            self.vector(core, name) for name in ("row_max", "row_sum", "new_max", "new_sum")
        )
        self.decay = self.vector(core, "decay", slots)  # what P leaves for GU, some tiles later
        shape = (self.step, self.columns)
        casts = range(self.in_step if scores != wide else 0)
        self.widened = tuple(core.tensor(f"widened[{i}]", Space.UB, shape, wide) for i in casts)

    def softmax(self, s: GlobalTensor, p: GlobalTensor, turn: Turn) -> None:
        """[P] P = exp(scale (S - m))."""
        self.load_scores(s, turn)
        self.weigh(s, p, turn)

    def update_output(self, t: GlobalTensor, out: GlobalTensor, turn: Turn) -> None:
        """[GU] O = O decay + T; after the last keys O / l is the output."""
        self.rescale_output(t, turn)
        self.load_product(t)
        self.add_product(t, out, turn)

    def softmax_of(self, parts: list[Part], s: GlobalTensor, p: GlobalTensor, turn: Turn) -> None:
        """m_j = max(m_{j-1}, rowmax S_j), P_j, decay_j and l_j = l_{j-1} decay_j + rowsum P_j, for *parts* in step."""
        keys, columns = p.columns, asc.padded_columns(p.columns)
        rows = slice(parts[0].here.start, parts[-1].here.stop)
        m, new_m, total, new_sum = (vector[rows] for vector in (self.m, self.new_m, self.l, self.new_sum))
        decay = self.of_slot(self.decay, turn.slot)[rows]
        folded = self.folded.tile((self.rows, asc.folded_columns(columns, self.wide)), self.wide)
        if turn.first:
            asc.duplicate(m, -math.inf)
            asc.duplicate(total, 0.0)
        chains: list[tuple[Part, LocalTensor]] = []
        for number, part in enumerate(parts):
            x = self.scores_of(number, s[part.there, :])
            self.hide(x, keys, part, turn, -math.inf)  # what is no key, or not seen, weighs nothing
            asc.fold_max(folded[part.here, :], x)
            chains.append((part, x))
        asc.row_max(new_m, folded[rows, :], self.scratch)
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
        weights = [(part, self.exponential(x)) for part, x in chains]
        for part, x in weights:
            self.sum_and_round(folded[part.here, :], x)
            if self.scores == self.wide:
                self.s.free()
            self.store(p[part.there, :], columns)
        asc.row_sum(new_sum, folded[rows, :], self.scratch)
        asc.add(total, total, new_sum)
        if turn.last:
            asc.copy(self.of_slot(self.divisor, turn.slot)[rows], total)

    def scores_of(self, number: int, s: GlobalTensor) -> LocalTensor:
        """S of the sub-tile *number* of those in step, in the format of the arithmetic."""
        columns = asc.padded_columns(s.columns)
        if self.scores == self.wide:
            return self.tile(self.s.deque(), s.rows, columns, self.scores)
        self.load(s)
        x = self.widened[number].buffer.tile((s.rows, columns), self.wide)
        with self.s.take() as buffer:
            asc.cast(x, self.tile(buffer, s.rows, columns, self.scores), RoundMode.CAST_NONE)
        return x

    def rescale(self, o: LocalTensor, turn: Turn) -> None:
        """O decay_j."""
        rows = slice(0, o.rows)
        self.to_blocks(self.of_slot(self.decay, turn.slot), rows)
        asc.mul(o, o, self.blocks[rows, :])

    def accumulate(self, o: LocalTensor, t: LocalTensor, part: Part) -> None:
        """O + T_j."""
        asc.add(o, o, t)


@asc.kernel(cores="mix", parameters=Parameters, tensors=tensors, flops=flops)
def flash_attention(core: asc.Core, gm: asc.GlobalMemory, p: Parameters) -> None:
    """FlashAttention forward (MHA, GQA): cube and vector cores in a pipeline through FIFOs in global memory."""
    problem, t, schedule = p.problem, p.tiling, p.schedule
    cube, vector = CubeCore(core, t, t.rows, problem.head_dim, FORMATS[problem.dtype]), Softmax(core, p)
    qk, pv = core.stage(AIC)(cube.qk), core.stage(AIC)(cube.pv)
    softmax, update_output = core.stage(AIV)(vector.softmax), core.stage(AIV)(vector.update_output)
    s, probabilities, product = (Fifo(core, fifo, schedule, t.rows) for fifo in (gm.s, gm.p, gm.t))

    # In each round QK and P are `preload` tiles before PV and GU, also across blocks.
    dealt = asc.deal_by_cost(blocks_of(problem, t.rows), lambda block: tiles_in(block, t.keys), core.count)
    for ahead, tile in in_rounds(tiles_of(dealt[core.index], t.keys, schedule), 0, schedule.preload):
        if ahead is not None:
            if core.is_cube and ahead.turn.first:
                cube.begin_block(gm.q[ahead.queries, :])
            qk(ahead.of_head(gm.k, problem.kv_tokens), s.slot(ahead, ahead.size), ahead.turn)
            if core.is_cube and ahead.turn.last:
                cube.end_block()
            softmax(s.slot(ahead, ahead.size), probabilities.slot(ahead, ahead.size), ahead.turn)

        if tile is not None:
            v = tile.of_head(gm.v, problem.kv_tokens)
            pv(probabilities.slot(tile, v.rows), v, product.slot(tile), tile.turn)
            update_output(product.slot(tile), gm.out[tile.queries, :], tile.turn)
