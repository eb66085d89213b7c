"""PASA (arXiv 2503.01873): attention all in fp16, whose scores are shifted so that they cannot overflow.

Keys are taken in blocks of n = 128. First the cube cores shift the keys of every block, once for each KV head:

    K'_j = M K_j,  M = (I - beta/n 1 1^T) / sqrt(d)      so that S'_j = Q K'_j^T = (S_j - beta rowmean S_j) / sqrt(d)

The shift differs from block to block. It is known from what is left of the mean, the pseudo-average a_j = rowmean S'_j:
(S_j / sqrt(d)) - S'_j = inv a_j with inv = beta / (1 - beta). Then, as in FlashAttention, a block of query rows meets
the keys of its head block by block, in four stages that hand on tiles through FIFOs in global memory:

    [QK]  S'_j = Q K'_j^T                                  cube core      -> FIFO s
    [P]   a_j = rowmean S'_j                               vector cores
          m_j = rowmax S'_j, P_j = exp(S'_j - m_j), l_j = rowsum P_j      -> FIFO p
          A_j = A_{j-1} + (a_j - A_{j-1}) / (j + 1)        global recovering: the mean of the pseudo-averages
          D_j = inv (a_j - A_j), D'_j = inv (A_{j-1} - A_j)
          M_j = max(m_j + D_j, M_{j-1} + D'_j)
          alpha = exp(M_{j-1} + D'_j - M_j), gamma = exp(m_j + D_j - M_j)
          L_j = alpha L_{j-1} + gamma l_j
    [PV]  T_j = P_j V_j                                    cube core      -> FIFO t
    [GU]  O_j = alpha O_{j-1} + gamma T_j                  vector cores, where O stays; O / L in the end

Products are summed in fp32 and rounded to fp16 on their way out of L0C. All else is fp16, rounded after each operation,
in the order of the formulas. In the first block A, M, L and O are a, m, l and T.

inv multiplies every error of a_j by 64 or so, and fp16 is coarse where a_j is large: 1/8 at 158, which is what values
around 30 leave of it. Only differences of pseudo-averages matter, so a_j is counted from a_0 of its row: scores i and
i + 64 are added, neighbours of these 64 sums then, 4 a_0 is taken off each of the 32 sums, and the differences are
added up pairwise, scaled by 1 / n when there are 16. (4 a_0 is what the first block gives in the same way, scaled by
4 / n.) l_j is the sum of P_j in the same order, without scale.

inv is taken of the matrix as it is stored, M = a I - b 1 1^T in fp16, which shifts by a little more or less than beta.

The last block of keys is filled up with copies of the last key, whose scores are in the mean, and weigh nothing then.
With problem.causal, blocks above the diagonal are left out; scores that a query does not see are in the mean, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from ascend_sim import kernel as asc
from ascend_sim.kernel import AIC, AIV, GlobalTensor, LocalTensor, Pipe, Space, fp16, fp32
from attention import forward
from attention.forward import Extent, Fifo, Pairs, Turn, blocks_of, of_die, tiles_in, tiles_of
from attention.forward_cube import CubeCore
from attention.forward_vector import Part, VectorCore
from attention.matmul import multiply
from attention.rounds import in_rounds

Scores = list[tuple[Part, LocalTensor]]
BLOCK = 128
"""Keys that are shifted together: n of the paper."""
HIDDEN = -60000.0
"""The score of a key that is not seen. -inf would make NaN of a block of which a row sees nothing: -inf - -inf."""

# Cross-core flags, beside those of the FIFOs
MATRIX_READY, SHIFTED = 6, 7


class Problem(forward.Problem):
    """q and out hold *query_tokens* rows for each head, request by request; k and v *kv_tokens* for each KV head.

    Query heads share KV heads in groups of heads / kv_heads. The queries are the last tokens: if *causal*, query i
    sees the keys 0 to kv_tokens - query_tokens + i. *beta* is the share of the mean that is taken from the scores; see
    `optimal_beta`.
    """

    beta: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9844970703125


class Tiling(forward.Tiling):
    """Sizes in elements, and how many buffers there are of each.

    A tile is *rows* of Q (256, or 128 if head_dim is above 128) against a block of keys. The cube core takes *sub_rows*
    of Q and P, *sub_columns* of V and *l0_depth* of the common dimension to L0; a vector core has *ub_buffers* times
    *vector_rows* (64, or 32) of a tile in UB. With *unit_flag* tiles of L0C are handed on fractal by fractal.
    """

    rows: Pairs | None = None
    keys: Literal[128] = 128
    sub_keys: Literal[128] = 128
    vector_rows: Pairs | None = None
    unit_flag: bool = True


class Schedule(forward.Schedule):
    """QK and P run *preload* tiles ahead of PV and GU; *sync_period* slots of a FIFO are given back at a time."""

    preload: Annotated[int, Field(ge=1)] = 3
    fifo: Annotated[int, Field(ge=1, le=15)] = 5
    sync_period: Extent = 2


class Parameters(asc.Parameters):
    problem: Problem
    tiling: Tiling = Tiling()
    schedule: Schedule = Schedule()

    @model_validator(mode="after")
    def _products_fit(self) -> Parameters:
        self.tiling.expect_products_fit(self.rows, self.problem.head_dim)
        return self

    @property
    def rows(self) -> int:
        return self.tiling.rows or (256 if self.problem.head_dim <= 128 else 128)

    @property
    def vector_rows(self) -> int:
        return self.tiling.vector_rows or (64 if self.problem.head_dim <= 128 else 32)

    @property
    def padded_tokens(self) -> int:
        """Rows of K' of a KV head: whole blocks."""
        return math.ceil(self.problem.kv_tokens / BLOCK) * BLOCK


def matrix(beta: float, head_dim: int) -> tuple[float, float]:
    """The numbers on and off the diagonal of M, rounded to fp16."""
    scale = 1.0 / math.sqrt(head_dim)
    return float(np.float16((1.0 - beta / BLOCK) * scale)), float(np.float16(-beta / BLOCK * scale))


def recovery(diagonal: float, other: float, scale: float, keys: int = BLOCK) -> float:
    """inv: what the pseudo-average is multiplied with to undo the shift by a matrix of *keys* rows as it was rounded.

    S M = a S + other sum S with a = diagonal - other, whose mean is (a + keys other) mean S; so that
    scale S = (scale / a) S M + inv mean (S M).
    """
    a = diagonal - other
    return -other * keys * scale / (a * (a + other * keys)) + (scale - a) / a


def optimal_beta(start: float, keys: int = BLOCK) -> float:
    """The beta near *start* whose matrix of *keys* rows, rounded to fp16, is undone by inv = beta / (1 - beta).

    The fixed point of beta = inv / (1 + inv), found by iteration to a relative change of 1e-8. The matrix is taken
    without the scale 1 / sqrt(d).
    """
    beta = start
    while True:
        inv = recovery(float(np.float16(1.0 - beta / keys)), float(np.float16(-beta / keys)), 1.0, keys)
        before, beta = beta, inv / (1.0 + inv)
        if abs(beta - before) <= 1e-8 * before:
            return beta


def flops(p: Parameters) -> int:
    """Q K^T and P V, two operations a multiply-add; shifting the keys is not counted."""
    return p.problem.flops()


def tensors(gm: asc.GlobalMemory, p: Parameters) -> None:
    problem, head_dim = p.problem, p.problem.head_dim
    rows, tokens = problem.batch * problem.heads * problem.query_tokens, problem.all_kv_heads * problem.kv_tokens
    gm.input("q", (rows, head_dim), fp16)
    gm.input("k", (tokens, head_dim), fp16)
    gm.input("v", (tokens, head_dim), fp16)
    gm.output("out", (rows, head_dim), fp16)
    gm.workspace("matrix", (gm.blocks * BLOCK, BLOCK), fp16)
    # Dies share nothing, so each shifts the keys that its rows meet
    gm.workspace("shifted", (gm.dies * problem.all_kv_heads * p.padded_tokens, head_dim), fp16)
    if p.padded_tokens > problem.kv_tokens:
        gm.workspace("padding", (gm.dies * problem.all_kv_heads * BLOCK, head_dim), fp16)
    slot_rows = gm.blocks * p.schedule.fifo * p.rows
    gm.workspace("s", (slot_rows, BLOCK), fp16)
    gm.workspace("p", (slot_rows, BLOCK), fp16)
    gm.workspace("t", (slot_rows, head_dim), fp16)


class ShiftingCubeCore(CubeCore):
    """Beside [QK] and [PV]: K' = M K for blocks of keys, with M in L1 meanwhile."""

    def __init__(self, core: asc.Core, p: Parameters) -> None:
        super().__init__(core, p.tiling, p.rows, p.problem.head_dim, fp16)
        m = (Space.L1, (BLOCK, BLOCK), fp16)
        self.m = core.ring("matrix", m, buffers=1, fill=Pipe.MTE2, drain=Pipe.MTE1)

    def load_matrix(self, matrix: GlobalTensor) -> None:
        """Load M once the vector cores of this block have written it, and what keys are filled up with."""
        asc.cross_core_wait_flag(MATRIX_READY)
        with self.m.fill() as buffer:
            asc.data_copy(buffer, matrix)
        self.matrix = self.m.deque()

    def shift(self, k: GlobalTensor, padding: GlobalTensor | None, shifted: GlobalTensor) -> None:
        """K' = M K for the keys of a block, filled up with rows of *padding*."""
        places = [
            (slice(m0, m0 + m), slice(n0, n0 + n))
            for m0, m in asc.tiles(BLOCK, self.l0_rows)
            for n0, n in asc.tiles(k.columns, self.tiling.sub_columns)
        ]
        with self.k.fill() as buffer:
            asc.data_copy(buffer[: k.rows, :], k)
            if padding is not None:
                asc.data_copy(buffer[k.rows :, :], padding)
        keys = self.k.deque()
        for rows, columns in places:
            left, right = self.matrix[rows, :], keys[:, columns]
            with self.l0c.fill() as buffer:
                sums = buffer.tile((left.rows, right.columns), fp32)
                multiply(self.l0, sums, left, right, self.tiling.l0_depth)
            if (rows, columns) == places[-1]:
                self.k.free()
            with self.l0c.take():
                asc.fixpipe(shifted[rows, columns], sums)

    def wait_for_shifted(self) -> None:
        """Wait until all cube cores of the die have shifted their share of the keys."""
        self.m.free()
        asc.cross_core_set_flag(SHIFTED, Pipe.FIX, mode=0)
        asc.cross_core_wait_flag(SHIFTED, mode=0)


class ShiftedSoftmax(VectorCore):
    """[P] and [GU], and before them the matrix M and the filling of the last block of keys."""

    def __init__(self, core: asc.Core, p: Parameters) -> None:
        slots = p.schedule.fifo
        super().__init__(
            core, p.tiling, p.rows, p.vector_rows, p.problem.head_dim, slots, scores=fp16, wide=fp16, out=fp16
        )  # fmt: skip
        self.diagonal, self.other = matrix(p.problem.beta, p.problem.head_dim)
        self.inv = recovery(self.diagonal, self.other, p.problem.softmax_scale)
        # Of the block at hand, and A, M, L of all so far; a block a row for gamma, and the number of the block
        self.a, self.m, self.l = (self.vector(core, name) for name in ("mean", "row_max", "row_sum"))
        self.all_a, self.all_m, self.all_l = (self.vector(core, f"all_{name}") for name in ("mean", "max", "sum"))
        self.new_a, self.new_m, self.step_a, self.count = (
            self.vector(core, name) for name in ("new_mean", "new_max", "step", "count")
        )
        # The halves of the rows combined, for the maximum beside the pseudo-average
        self.halves = core.buffer("halves", Space.UB, fp16.bytes * self.rows * BLOCK // 2)
        self.gammas, self.reference = (
            core.tensor(name, Space.UB, self.blocks.shape, fp16) for name in ("gammas", "reference")
        )
        # What P leaves for GU, some tiles later
        self.alpha, self.gamma = (self.vector(core, name, slots) for name in ("alpha", "gamma"))

    def write_matrix(self, matrix: GlobalTensor) -> None:
        """M, of which this core writes its share of the rows."""
        for _, _, there in self.parts(BLOCK):
            rows = there.stop - there.start
            with self.result.fill() as buffer:
                m = buffer.tile((rows, BLOCK), fp16)
                asc.duplicate(m, self.other)
                for row in range(rows):
                    column = there.start + row
                    asc.duplicate(m[row : row + 1, :], self.diagonal, mask=(column, column + 1))
            with self.result.take():
                asc.data_copy(matrix[there, :], m)

    def write_padding(self, last: GlobalTensor, padding: GlobalTensor) -> None:
        """Rows of *padding* (rows, d) that are all the *last* key (1, d)."""
        with self.t.fill() as buffer:
            asc.data_copy(buffer.tile(last.shape, fp16), last)
        with self.t.take() as buffer, self.result.fill() as copies:
            x, filled = copies.tile((min(padding.rows, self.step), padding.columns), fp16), 1
            asc.copy(x[:1, :], buffer.tile(last.shape, fp16))
            while filled < x.rows:
                rows = min(filled, x.rows - filled)
                asc.copy(x[filled : filled + rows, :], x[:rows, :])
                filled += rows
        with self.result.take():
            for begin, rows in asc.tiles(padding.rows, x.rows):
                asc.data_copy(padding[begin : begin + rows, :], x[:rows, :])

    def matrix_ready(self) -> None:
        """Tell the cube core that M and the padding of this block are written."""
        asc.cross_core_set_flag(MATRIX_READY, Pipe.MTE3)

    def softmax(self, s: GlobalTensor, p: GlobalTensor, turn: Turn) -> None:
        """[P] of an S' that is on its way."""
        self.weigh(s, p, turn)

    def softmax_of(self, parts: list[Part], s: GlobalTensor, p: GlobalTensor, turn: Turn) -> None:
        """a_j, m_j, P_j and l_j for *parts* in step, and what follows for all blocks so far."""
        rows = slice(parts[0].here.start, parts[-1].here.stop)
        scores = [(part, self.tile(self.s.deque(), part.rows, BLOCK, fp16)) for part in parts]
        mean = self.pseudo_average(scores, rows, turn.first)
        if turn.sees is not None or p.columns < BLOCK:
            asc.in_step(mean)  # before scores are hidden
            for part, x in scores:
                self.hide(x, p.columns, part, turn, HIDDEN)
        asc.in_step(mean, self.maximum(scores, rows))
        weights = self.weights(scores, rows, p)
        if turn.first:
            asc.in_step(weights)
            self.begin_recovering(rows)
        else:
            alpha, gamma = (self.of_slot(vector, turn.slot)[rows] for vector in (self.alpha, self.gamma))
            asc.in_step(weights, self.recover(rows, alpha, gamma))
            self.add_sums(rows, alpha, gamma)
        if turn.last:
            asc.copy(self.of_slot(self.divisor, turn.slot)[rows], self.all_l[rows])

    def pseudo_average(self, scores: Scores, rows: slice, first: bool) -> Iterator[None]:
        """a_j, counted from the a_0 of the row that the first block gives without."""
        a, quarters = self.a[rows], self.folded.tile((self.rows, BLOCK // 4), fp16)[rows, :]
        if first:
            yield from self.sums_of_four(scores)
            yield from asc.steps_of_row_sum(a, quarters, self.scratch, scale=4.0 / BLOCK)
            yield
            self.to_blocks(self.a, rows, self.reference)
        yield from self.sums_of_four(scores)
        for begin, columns in asc.tiles(quarters.columns, self.reference.columns):
            block = quarters[:, begin : begin + columns]
            asc.sub(block, block, self.reference[rows, :], blocks=True)
        yield
        yield from asc.steps_of_row_sum(a, quarters, self.scratch, scale=1.0 / BLOCK)

    def sums_of_four(self, scores: Scores) -> Iterator[None]:
        """The scores of a row added up by fours: i, i + 64, and the same of the next i."""
        pairs, quarters = (self.folded.tile((self.rows, BLOCK // n), fp16) for n in (2, 4))
        for part, x in scores:
            asc.fold_sum(pairs[part.here, :], x)
        yield
        for part, _ in scores:
            asc.pair_reduce_sum(quarters[part.here, :], pairs[part.here, :])
        yield

    def maximum(self, scores: Scores, rows: slice) -> Iterator[None]:
        """m_j."""
        halves = self.halves.tile((self.rows, BLOCK // 2), fp16)
        for part, x in scores:
            asc.fold_max(halves[part.here, :], x)
        yield
        yield from asc.steps_of_row_max(self.m[rows], halves[rows, :], self.scratch)

    def weights(self, scores: Scores, rows: slice, p: GlobalTensor) -> Iterator[None]:
        """P_j = exp(S'_j - m_j), which leaves, and l_j."""
        pairs = self.folded.tile((self.rows, BLOCK // 2), fp16)
        self.to_blocks(self.m, rows)
        yield
        for part, x in scores:
            asc.sub(x, x, self.blocks[part.here, :])
        yield
        weights = []
        for part, x in scores:
            weights.append((part, self.exponential(x)))
            self.s.free()
        yield
        for part, x in weights:
            self.sum_and_round(pairs[part.here, :], x)
            self.store(p[part.there, :], BLOCK)
        yield
        yield from asc.steps_of_row_sum(self.l[rows], pairs[rows, :], self.scratch)

    def begin_recovering(self, rows: slice) -> None:
        """A, M and L of the first block."""
        asc.duplicate(self.count[rows], 1.0)
        for total, one in ((self.all_a, self.a), (self.all_m, self.m), (self.all_l, self.l)):
            asc.copy(total[rows], one[rows])

    def recover(self, rows: slice, alpha: LocalTensor, gamma: LocalTensor) -> Iterator[None]:
        """A_j, M_j, alpha and gamma."""
        a, m, all_a, all_m = (vector[rows] for vector in (self.a, self.m, self.all_a, self.all_m))
        new_a, new_m, step, count = (vector[rows] for vector in (self.new_a, self.new_m, self.step_a, self.count))
        asc.adds(count, count, 1.0)
        asc.sub(step, a, all_a)
        yield
        asc.div(step, step, count)
        yield
        asc.add(new_a, all_a, step)
        yield
        asc.sub(a, a, new_a)
        asc.sub(all_a, all_a, new_a)
        yield
        asc.muls(a, a, self.inv)  # D_j
        asc.muls(all_a, all_a, self.inv)  # D'_j
        yield
        asc.add(m, m, a)
        asc.add(all_m, all_m, all_a)
        asc.copy(all_a, new_a)
        yield
        asc.max(new_m, m, all_m)
        yield
        asc.sub(alpha, all_m, new_m)
        asc.sub(gamma, m, new_m)
        asc.copy(all_m, new_m)
        yield
        asc.exp(alpha, alpha)
        asc.exp(gamma, gamma)

    def add_sums(self, rows: slice, alpha: LocalTensor, gamma: LocalTensor) -> None:
        """L_j = alpha L_{j-1} + gamma l_j."""
        asc.mul(self.all_l[rows], self.all_l[rows], alpha)
        asc.mul(self.l[rows], self.l[rows], gamma)
        asc.add(self.all_l[rows], self.all_l[rows], self.l[rows])

    def update_output(self, t: GlobalTensor, out: GlobalTensor, turn: Turn) -> None:
        """[GU] O_j = alpha O_{j-1} + gamma T_j, of a T that is on its way; O / L in the end."""
        self.rescale_output(t, turn)
        self.add_product(t, out, turn)

    def rescale(self, o: LocalTensor, turn: Turn) -> None:
        """alpha O; and gamma is spread over blocks for T."""
        rows = slice(0, o.rows)
        self.to_blocks(self.of_slot(self.alpha, turn.slot), rows)
        self.to_blocks(self.of_slot(self.gamma, turn.slot), rows, self.gammas)
        asc.mul(o, o, self.blocks[rows, :])

    def accumulate(self, o: LocalTensor, t: LocalTensor, part: Part) -> None:
        """O + gamma T."""
        asc.mul_add_dst(o, t, self.gammas[part.here, :])


class Die:
    """What the cores of one die have to do, and where K' of its KV heads lies.

    The blocks of query rows are dealt out to the cores by cost; the blocks of keys of the KV heads that these rows
    meet, which have to be shifted, in turn.
    """

    def __init__(self, core: asc.Core, p: Parameters) -> None:
        self.p, self.number = p, core.index // core.die_blocks
        cores = min(core.die_blocks, core.count - self.number * core.die_blocks)
        mine = core.index - self.number * core.die_blocks
        blocks = of_die(blocks_of(p.problem, p.rows), BLOCK, core)
        heads = sorted({block.kv_head for block in blocks})
        self.rows = asc.deal_by_cost(blocks, lambda block: tiles_in(block, BLOCK), cores)[mine]
        spans = asc.tiles(p.problem.kv_tokens, BLOCK)
        self.keys = [(head, begin, keys) for head in heads for begin, keys in spans][mine::cores]

    def shifted(self, gm: asc.GlobalMemory, kv_head: int, begin: int) -> GlobalTensor:
        """The rows of K' of the block of keys that starts at *begin*."""
        first = (self.number * self.p.problem.all_kv_heads + kv_head) * self.p.padded_tokens + begin
        return gm.shifted[first : first + BLOCK, :]

    def padding(self, gm: asc.GlobalMemory, kv_head: int, keys: int) -> GlobalTensor | None:
        """The rows that fill up a block of *keys*, if it is not whole."""
        first = (self.number * self.p.problem.all_kv_heads + kv_head) * BLOCK
        return gm.padding[first : first + BLOCK - keys, :] if keys < BLOCK else None


def shift_keys(
    core: asc.Core, gm: asc.GlobalMemory, p: Parameters, die: Die, cube: ShiftingCubeCore, vector: ShiftedSoftmax
) -> None:
    """K' of all keys that the rows of this die meet, before any core of the die goes on."""
    write_matrix, write_padding = core.stage(AIV)(vector.write_matrix), core.stage(AIV)(vector.write_padding)
    shift = core.stage(AIC)(cube.shift)
    matrix = gm.matrix[core.index * BLOCK : (core.index + 1) * BLOCK, :]
    if core.is_vector:
        write_matrix(matrix)
    for kv_head, begin, keys in die.keys:
        padding, first = die.padding(gm, kv_head, keys), kv_head * p.problem.kv_tokens + begin
        if padding is not None and core.is_vector and core.sub == 0:
            write_padding(gm.k[first + keys - 1 : first + keys, :], padding)
    if core.is_vector:
        vector.matrix_ready()
        return
    cube.load_matrix(matrix)
    for kv_head, begin, keys in die.keys:
        first = kv_head * p.problem.kv_tokens + begin
        shift(gm.k[first : first + keys, :], die.padding(gm, kv_head, keys), die.shifted(gm, kv_head, begin))
    cube.wait_for_shifted()


@asc.kernel(cores="mix", parameters=Parameters, tensors=tensors, flops=flops)
def pasa(core: asc.Core, gm: asc.GlobalMemory, p: Parameters) -> None:
    """PASA forward (MHA, GQA) in fp16: shifted keys, pseudo-averages, global recovering."""
    problem, schedule, die = p.problem, p.schedule, Die(core, p)
    cube, vector = ShiftingCubeCore(core, p), ShiftedSoftmax(core, p)
    shift_keys(core, gm, p, die, cube, vector)

    qk, pv = core.stage(AIC)(cube.qk), core.stage(AIC)(cube.pv)
    load_scores, load_product = core.stage(AIV)(vector.load_scores), core.stage(AIV)(vector.load_product)
    softmax, update_output = core.stage(AIV)(vector.softmax), core.stage(AIV)(vector.update_output)
    s, probabilities, product = (Fifo(core, fifo, schedule, p.rows) for fifo in (gm.s, gm.p, gm.t))

    # In each round QK and P are `preload` tiles before PV and GU, also across blocks. What GU takes arrives during P.
    for ahead, tile in in_rounds(tiles_of(die.rows, BLOCK, schedule), 0, schedule.preload):
        if ahead is not None:
            if core.is_cube and ahead.turn.first:
                cube.begin_block(gm.q[ahead.queries, :])
            qk(die.shifted(gm, ahead.kv_head, ahead.keys.start), s.slot(ahead), ahead.turn)
            if core.is_cube and ahead.turn.last:
                cube.end_block()
            load_scores(s.slot(ahead), ahead.turn)

        if tile is not None:
            load_product(product.slot(tile))

        if ahead is not None:
            softmax(s.slot(ahead), probabilities.slot(ahead, ahead.size), ahead.turn)

        if tile is not None:
            v = tile.of_head(gm.v, problem.kv_tokens)
            pv(probabilities.slot(tile, v.rows), v, product.slot(tile), tile.turn)
            update_output(product.slot(tile), gm.out[tile.queries, :], tile.turn)
