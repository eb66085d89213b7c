"""AMLA: MLA decode attention whose rescaling is an integer addition (arXiv 2509.25224).

A task is a block of query rows against a block of keys, in four stages:

    [C1]  S = Q K^T                              cube cores
    [V1]  P = exp(S - max), row statistics       vector cores
    [C2]  O += P V, added up in global memory    cube cores
    [V2]  output = O / sum, after the last keys  vector cores

FlashAttention multiplies O by 2^x whenever the running maximum grows. AMLA keeps O scaled by powers of two, so that
this multiplication is an integer addition to the exponent bits of O, done by an atomic add where O lies.
"""

from __future__ import annotations

import heapq
import math
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from ascend_sim import kernel as asc
from ascend_sim.kernel import AIC, AIV, Pipe, RoundMode, Space, bf16, fp32, int32

LN2 = math.log(2.0)
Extent = Annotated[int, Field(ge=1)]
Pairs = Annotated[int, Field(ge=16, multiple_of=16)]

# Cross-core flags
C1_DONE, V1_DONE, RESCALED, C2_DONE, OUTPUT_READY = 7, 8, 5, 4, 9


class Problem(asc.Parameters):
    """*kv_tokens* is one length for all requests, or one for each."""

    batch: Extent
    heads: Extent = 128
    query_tokens: Extent = 1
    kv_tokens: Extent | Annotated[list[Extent], Field(min_length=1)]
    latent_dim: Pairs = 512
    rope_dim: Pairs = 64

    @model_validator(mode="after")
    def _one_length_each(self) -> Problem:
        if isinstance(self.kv_tokens, list) and len(self.kv_tokens) != self.batch:
            raise ValueError(
                f"kv_tokens lists {len(self.kv_tokens)} lengths for a batch of {self.batch}; give one length, or one for each request"
            )
        return self

    @property
    def lengths(self) -> list[int]:
        return self.kv_tokens if isinstance(self.kv_tokens, list) else [self.kv_tokens] * self.batch

    @property
    def rows(self) -> int:
        return self.heads * self.query_tokens

    @property
    def softmax_scale(self) -> float:
        return 1.0 / math.sqrt(self.latent_dim + self.rope_dim)


class Schedule(asc.Parameters):
    """*preload* C1 stages run ahead of C2. *rescale* is AMLA's "add", or the "mul" of plain FlashAttention."""

    preload: Annotated[int, Field(ge=0, le=2)] = 1
    rescale: Literal["add", "mul"] = "add"
    compensation: bool = True
    output: Literal["bf16", "fp32"] = "bf16"


class Tiling(asc.Parameters):
    """Sizes in elements: a task, the L1 tiles inside it, the L0 tiles inside those; and how many buffers of each."""

    task_rows: Literal[128, 256] = 256
    task_keys: Annotated[int, Field(ge=128, le=512, multiple_of=128)] = 512
    l1_rows: Pairs = 128
    l1_columns: Pairs = 128
    l1_parts: Annotated[int, Field(ge=1, le=4)] = 2
    c1_l0_depth: Pairs = 96
    c2_l0_depth: Pairs = 128
    kv_buffers: Extent = 3
    qp_buffers: Extent = 4
    l0_buffers: Annotated[int, Field(ge=1, le=2)] = 2
    l0c_buffers: Annotated[int, Field(ge=1, le=2)] = 2
    vector_rows: Literal[8, 16] = 16


class Parameters(asc.Parameters):
    problem: Problem
    schedule: Schedule = Schedule()
    tiling: Tiling = Tiling()

    @property
    def slots(self) -> int:
        """How many tasks of a core can be between stages, each with its own S, P and O in global memory."""
        return max(2, self.schedule.preload + 1)


class RowBlock(NamedTuple):
    """Query rows *first* to *first* + *rows* of a request whose *keys* tokens begin at token *token*."""

    first: int
    rows: int
    token: int
    keys: int


class Task(NamedTuple):
    """The *number*-th task of a core: a key block (the *first*, the *last* one) of its *row_block*-th row block."""

    number: int
    row_block: int
    first: bool
    last: bool
    queries: slice
    tokens: slice

    @property
    def rows(self) -> int:
        return int(self.queries.stop - self.queries.start)

    @property
    def keys(self) -> int:
        return int(self.tokens.stop - self.tokens.start)


def flops(p: Parameters) -> int:
    """Q K^T over latent and rope dimensions, P V over the latent dimension; two operations a multiply-add."""
    depth = 2 * p.problem.latent_dim + p.problem.rope_dim
    return 2 * p.problem.rows * depth * sum(p.problem.lengths)


def tensors(gm: asc.GlobalMemory, p: Parameters) -> None:
    problem, rows, tokens = p.problem, p.problem.batch * p.problem.rows, sum(p.problem.lengths)
    gm.input("q", (rows, problem.latent_dim), bf16)
    gm.input("q_rope", (rows, problem.rope_dim), bf16)
    gm.input("kv", (tokens, problem.latent_dim), bf16)
    gm.input("k_rope", (tokens, problem.rope_dim), bf16)
    gm.output("out", (rows, problem.latent_dim), bf16 if p.schedule.output == "bf16" else fp32)
    slot_rows = gm.blocks * p.slots * p.tiling.task_rows
    gm.workspace("s", (slot_rows, p.tiling.task_keys), fp32)
    gm.workspace("p", (slot_rows, p.tiling.task_keys), bf16)
    gm.workspace("o", (slot_rows, problem.latent_dim), fp32)
    if p.schedule.rescale == "mul":
        gm.workspace("t", (slot_rows, problem.latent_dim), fp32)


def row_blocks(p: Parameters) -> list[RowBlock]:
    """All row blocks of all requests."""
    blocks, token = [], 0
    for request, keys in enumerate(p.problem.lengths):
        for first in range(0, p.problem.rows, p.tiling.task_rows):
            rows = min(p.tiling.task_rows, p.problem.rows - first)
            blocks.append(RowBlock(request * p.problem.rows + first, rows, token, keys))
        token += keys
    return blocks


def share_by_cost(blocks: list[RowBlock], p: Parameters, cores: int) -> list[list[RowBlock]]:
    """Deal the row blocks to the cores: the longest first, each to the core with the least work so far."""
    work = [(0, core) for core in range(cores)]
    shares: list[list[RowBlock]] = [[] for _ in range(cores)]
    for block in sorted(blocks, key=lambda block: -block.rows * math.ceil(block.keys / p.tiling.task_keys)):
        cost, core = heapq.heappop(work)
        shares[core].append(block)
        heapq.heappush(work, (cost + block.rows * math.ceil(block.keys / p.tiling.task_keys), core))
    return shares


def tasks_of(blocks: list[RowBlock], task_keys: int) -> list[Task]:
    """The tasks of one core in order: the stream runs on across row blocks and requests."""
    tasks: list[Task] = []
    for number, block in enumerate(blocks):
        queries = slice(block.first, block.first + block.rows)
        for begin, keys in tiles(block.keys, task_keys):
            tokens = slice(block.token + begin, block.token + begin + keys)
            tasks.append(Task(len(tasks), number, begin == 0, begin + keys == block.keys, queries, tokens))
    return tasks


def tiles(extent: int, size: int) -> list[tuple[int, int]]:
    """(begin, length) of the tiles of *size* that cover *extent*."""
    return [(begin, min(size, extent - begin)) for begin in range(0, extent, size)]


@asc.kernel(cores="mix", parameters=Parameters, tensors=tensors, flops=flops)
def amla(core: asc.Core, gm: asc.GlobalMemory, p: Parameters) -> None:
    """MLA decode attention with rescaling by integer addition (or, for comparison, by multiplication)."""
    problem, schedule, tiling = p.problem, p.schedule, p.tiling
    latent, rope = problem.latent_dim, problem.rope_dim
    add = schedule.rescale == "add"
    part_keys = tiling.task_keys // tiling.l1_parts
    part_latent, part_rope = latent // tiling.l1_parts, rope // tiling.l1_parts

    # Cube core: L1 holds tiles of K and V in rotation, and all of Q or P of a task; L0 and L0C are ping-pong
    l1_bytes = 2 * max(tiling.l1_columns * (part_latent + part_rope), part_keys * tiling.l1_columns)
    kv_l1 = core.ring("kv", (Space.L1, l1_bytes), buffers=tiling.kv_buffers, fill=Pipe.MTE2, drain=Pipe.MTE1)
    l1_bytes = 2 * tiling.l1_rows * max(part_latent + part_rope, part_keys)
    qp_l1 = core.ring("qp", (Space.L1, l1_bytes), buffers=tiling.qp_buffers, fill=Pipe.MTE2, drain=Pipe.MTE1)
    l0_depth = max(tiling.c1_l0_depth, tiling.c2_l0_depth)
    l0 = core.ring(
        "l0", (Space.L0A, 2 * tiling.l1_rows * l0_depth), (Space.L0B, 2 * l0_depth * tiling.l1_columns),
        buffers=tiling.l0_buffers, fill=Pipe.MTE1, drain=Pipe.M,
    )
    l0c = core.ring(
        "l0c", (Space.L0C, 4 * tiling.l1_rows * tiling.l1_columns),
        buffers=tiling.l0c_buffers, fill=Pipe.M, drain=Pipe.FIX, unit_flag=True,
    )

    # Vector core: tiles on their way in and out, and per-row statistics that last from key block to key block
    step, core_rows = tiling.vector_rows, tiling.task_rows // 2
    out_bytes = 2 if add and schedule.output == "bf16" else 4
    tile_in = core.ring("in", (Space.UB, 4 * step * 512), buffers=2, fill=Pipe.MTE2, drain=Pipe.V)
    tile_out = core.ring("out", (Space.UB, out_bytes * step * 512), buffers=2, fill=Pipe.V, drain=Pipe.MTE3)
    n_out = core.ring("n_out", (Space.UB, (64, 128), int32), buffers=1, fill=Pipe.V, drain=Pipe.MTE3)
    fold = core.tensor("fold", Space.UB, (step, 256), fp32)
    blocks = core.tensor("blocks", Space.UB, (64, 8), fp32)
    row_max = core.tensor("row_max", Space.UB, core_rows, fp32)
    row_sum = core.tensor("row_sum", Space.UB, core_rows, fp32)
    exponent = core.tensor("exponent", Space.UB, core_rows, fp32)
    ratio = core.tensor("ratio", Space.UB, core_rows, fp32)
    increment = core.tensor("increment", Space.UB, p.slots * core_rows, int32)
    shrink = core.tensor("shrink", Space.UB, p.slots * core_rows, fp32)
    divisor = core.tensor("divisor", Space.UB, p.slots * core_rows, fp32)
    new_max, new_exponent, new_ratio, s32, s16, temp = (
        core.tensor(name, Space.UB, step, fp32) for name in ("new_max", "new_exponent", "new_ratio", "s32", "s16", "temp")
    )
    s16_bf16 = core.tensor("s16_bf16", Space.UB, step, bf16)
    mask = core.tensor("mask", Space.UB, step * 512 // 8, asc.uint8)

    def multiply(
        accumulator: asc.LocalTensor, left: asc.LocalTensor, right: asc.LocalTensor,
        depth: int, transpose: bool, first: bool, last: bool,
    ) -> None:
        """Accumulate left x right (or left x right^T) from L1 through L0, *depth* columns of left at a time."""
        for k0, k in tiles(left.columns, depth):
            with l0.fill() as (l0a, l0b):
                a, b = l0a.tile((left.rows, k), bf16), l0b.tile((k, accumulator.columns), bf16)
                asc.load_data(a, left[:, k0 : k0 + k])
                asc.load_data(b, right[:, k0 : k0 + k] if transpose else right[k0 : k0 + k, :], transpose=transpose)
            with l0.take() as (l0a, l0b):
                final = last and k0 + k == left.columns
                asc.mmad(accumulator, a, b, init=first and k0 == 0, last=final)

    def of_slot(vector: asc.LocalTensor, slot: int, r0: int, rows: int) -> asc.LocalTensor:
        """Rows *r0* to *r0* + *rows* of what *vector* holds for the tasks of *slot*."""
        return vector[slot * core_rows + r0 : slot * core_rows + r0 + rows]

    @core.stage(AIC)
    def c1(
        q: asc.GlobalTensor, q_rope: asc.GlobalTensor, k: asc.GlobalTensor, k_rope: asc.GlobalTensor, s: asc.GlobalTensor
    ) -> None:
        """[C1] S = Q K^T: K tile by K tile, each against all rows of Q, which stay in L1."""
        row_tiles, key_tiles = tiles(s.rows, tiling.l1_rows), tiles(s.columns, tiling.l1_columns)
        q_tiles = {}
        for n0, n in key_tiles:
            accumulators = [l0c.alloc().tile((m, n), fp32) for _, m in row_tiles]
            for part in range(tiling.l1_parts):
                x, r = part * part_latent, part * part_rope
                with kv_l1.fill() as slot:
                    k_tile = slot.tile((n, part_latent + part_rope), bf16)
                    asc.data_copy(k_tile[:, :part_latent], k[n0 : n0 + n, x : x + part_latent])
                    asc.data_copy(k_tile[:, part_latent:], k_rope[n0 : n0 + n, r : r + part_rope])
                for m0, m in row_tiles if n0 == 0 else []:
                    with qp_l1.fill() as slot:
                        q_tile = q_tiles[m0, part] = slot.tile((m, part_latent + part_rope), bf16)
                        asc.data_copy(q_tile[:, :part_latent], q[m0 : m0 + m, x : x + part_latent])
                        asc.data_copy(q_tile[:, part_latent:], q_rope[m0 : m0 + m, r : r + part_rope])
                with kv_l1.take():
                    for (m0, m), accumulator in zip(row_tiles, accumulators, strict=True):
                        if n0 == 0:
                            qp_l1.deque()
                        last = part == tiling.l1_parts - 1
                        multiply(accumulator, q_tiles[m0, part], k_tile, tiling.c1_l0_depth, True, part == 0, last)
                        if (n0, n) == key_tiles[-1]:
                            qp_l1.free()
                        if last:
                            l0c.enque()
                            with l0c.take():
                                asc.fixpipe(s[m0 : m0 + m, n0 : n0 + n], accumulator)
        asc.cross_core_set_flag(C1_DONE, Pipe.FIX)

    @core.stage(AIV)
    def v1(s: asc.GlobalTensor, p_out: asc.GlobalTensor, slot: int, first: bool, last: bool, divisor_slot: int) -> None:
        """[V1] The new row maximum, P = exp(S - max) scaled for the integer rescaling, the row sums."""
        asc.cross_core_wait_flag(C1_DONE)
        keys = s.columns
        width = 64 << max(0, math.ceil(math.log2(keys / 64)))
        for r0, rows in tiles(s.rows, step):
            old = slice(r0, r0 + rows)
            m_i, n_i, c_i, factor, factor16 = (v[:rows] for v in (new_max, new_exponent, new_ratio, s32, s16))
            row, row_blocks_8 = temp[:rows], blocks[:rows, :]
            with tile_in.fill() as buffer:
                asc.data_copy(buffer.tile((rows, width), fp32)[:, :keys], s[r0 : r0 + rows, :])
            with tile_in.take() as buffer, tile_out.fill() as out:
                x = buffer.tile((rows, width), fp32)
                exclude_columns_from(keys, x)
                asc.muls(x, x, problem.softmax_scale)

                # m_i = max(m_{i-1}, rowmax S_i)
                asc.whole_reduce_max(m_i, fold_columns(asc.max, x))
                if not first:
                    asc.max(m_i, m_i, row_max[old])

                # n_i = round(-m_i / ln 2),  S32_i = exp(ln 2 (n_i + m_i / ln 2)),  S16_i = S32_i rounded to BF16
                asc.muls(n_i, m_i, -1.0 / LN2)
                asc.cast(n_i, n_i, RoundMode.CAST_ROUND)
                asc.muls(row, m_i, 1.0 / LN2)
                asc.add(row, row, n_i)
                asc.muls(row, row, LN2)
                asc.exp(factor, row)
                asc.cast(s16_bf16[:rows], factor, RoundMode.CAST_RINT)
                asc.cast(factor16, s16_bf16[:rows], RoundMode.CAST_NONE)

                # P_i = exp(S_i - m_i)
                asc.brcb(row_blocks_8, m_i)
                asc.sub(x, x, row_blocks_8)
                asc.exp(x, x)

                # l_i = l_{i-1} exp(m_{i-1} - m_i) + rowsum P_i
                asc.whole_reduce_sum(row, fold_columns(asc.add, x))
                if first:
                    asc.copy(row_sum[old], row)
                else:
                    decay = of_slot(shrink, slot, r0, rows)
                    asc.sub(decay, row_max[old], m_i)
                    asc.exp(decay, decay)
                    asc.mul(row_sum[old], row_sum[old], decay)
                    asc.add(row_sum[old], row_sum[old], row)
                asc.copy(row_max[old], m_i)

                if add:
                    # P_i *= S16_i
                    asc.brcb(row_blocks_8, factor16)
                    asc.mul(x, x, row_blocks_8)
                    # C_i = S32_i / S16_i,  eps_i = 1.5 (C_{i-1} / C_i - 1)
                    # N_i = int((max(n_i - n_{i-1}, -30) + eps_i + 1e-6) 2^23)
                    asc.div(c_i, factor, factor16)
                    if not first:
                        asc.sub(row, n_i, exponent[old])
                        asc.maxs(row, row, -30.0)
                        if schedule.compensation:
                            asc.div(factor, ratio[old], c_i)
                            asc.adds(factor, factor, -1.0)
                            asc.muls(factor, factor, 1.5)
                            asc.add(row, row, factor)
                        asc.adds(row, row, 1e-6)
                        asc.muls(row, row, float(1 << 23))
                        asc.cast(of_slot(increment, slot, r0, rows), row, RoundMode.CAST_ROUND)
                    asc.copy(exponent[old], n_i)
                    asc.copy(ratio[old], c_i)
                if last and add:
                    asc.mul(of_slot(divisor, divisor_slot, r0, rows), row_sum[old], factor16)
                elif last:
                    asc.copy(of_slot(divisor, divisor_slot, r0, rows), row_sum[old])
                asc.cast(out.tile((rows, width), bf16), x, RoundMode.CAST_RINT)
            with tile_out.take() as out:
                asc.data_copy(p_out[r0 : r0 + rows, :], out.tile((rows, width), bf16)[:, :keys])
        asc.cross_core_set_flag(V1_DONE, Pipe.MTE3)

    def exclude_columns_from(keys: int, x: asc.LocalTensor) -> None:
        """Fill the columns beyond the last key with -inf, so that they weigh nothing."""
        for c0, _ in tiles(x.columns, 64):
            if c0 + 64 > keys:
                asc.duplicate(x[:, c0 : c0 + 64], -math.inf, mask=(max(keys - c0, 0), 64))

    def fold_columns(combine: object, x: asc.LocalTensor) -> asc.LocalTensor:
        """Combine column j with column j + half until 64 columns are left, one repeat a row."""
        width, source = x.columns, x
        while width > 64:
            width //= 2
            target = fold[: x.rows, :width]
            combine(target, source[:, :width], source[:, width : 2 * width])  # type: ignore[operator]
            source = target
        return source

    @core.stage(AIV)
    def rescale(o: asc.GlobalTensor, slot: int) -> None:
        """[V1, rescaling] O := AS_FP32(AS_INT32(O) + N_i): an atomic integer add, row by row, in global memory."""
        asc.cross_core_wait_flag(C2_DONE)
        for r0, rows in tiles(o.rows, 64):
            with n_out.fill() as n_tile:
                n_blocks = blocks[:rows, :].reinterpret(int32)
                asc.brcb(n_blocks, of_slot(increment, slot, r0, rows))
                asc.copy(n_tile[:rows, :8], n_blocks)
                for columns in (8, 16, 32, 64):
                    asc.copy(n_tile[:rows, columns : 2 * columns], n_tile[:rows, :columns])
            with n_out.take() as n_tile:
                for c0, columns in tiles(o.columns, 128):
                    target = o[r0 : r0 + rows, c0 : c0 + columns].reinterpret(int32)
                    asc.data_copy(target, n_tile[:rows, :columns], atomic_add=True)
        asc.cross_core_set_flag(RESCALED, Pipe.MTE3)

    @core.stage(AIC)
    def c2(p_in: asc.GlobalTensor, v: asc.GlobalTensor, o: asc.GlobalTensor, first: bool, last: bool) -> None:
        """[C2] O += P V by atomic adds: V tile by V tile, each against all rows of P, which stay in L1."""
        asc.cross_core_wait_flag(V1_DONE)
        row_tiles, column_tiles = tiles(p_in.rows, tiling.l1_rows), tiles(latent, tiling.l1_columns)
        key_parts = tiles(p_in.columns, part_keys)
        p_tiles = {}
        for n0, n in column_tiles:
            accumulators = [l0c.alloc().tile((m, n), fp32) for _, m in row_tiles]
            for k0, k in key_parts:
                with kv_l1.fill() as slot:
                    v_tile = slot.tile((k, n), bf16)
                    asc.data_copy(v_tile, v[k0 : k0 + k, n0 : n0 + n])
                for m0, m in row_tiles if n0 == 0 else []:
                    with qp_l1.fill() as slot:
                        p_tile = p_tiles[m0, k0] = slot.tile((m, k), bf16)
                        asc.data_copy(p_tile, p_in[m0 : m0 + m, k0 : k0 + k])
                with kv_l1.take():
                    for (m0, m), accumulator in zip(row_tiles, accumulators, strict=True):
                        if n0 == 0:
                            qp_l1.deque()
                        finished = (k0, k) == key_parts[-1]
                        multiply(accumulator, p_tiles[m0, k0], v_tile, tiling.c2_l0_depth, False, k0 == 0, finished)
                        if (n0, n) == column_tiles[-1]:
                            qp_l1.free()
                        if finished:
                            if add and not first and (n0, m0) == (0, 0):
                                asc.cross_core_wait_flag(RESCALED)
                            l0c.enque()
                            with l0c.take():
                                asc.fixpipe(o[m0 : m0 + m, n0 : n0 + n], accumulator, atomic_add=add and not first)
        if add and not last:
            asc.cross_core_set_flag(C2_DONE, Pipe.FIX)
        if last or not add:
            asc.cross_core_set_flag(OUTPUT_READY, Pipe.FIX)

    @core.stage(AIV)
    def v2(o: asc.GlobalTensor, out: asc.GlobalTensor, divisor_slot: int) -> None:
        """[V2] output = O / (l S16), after the last key block."""
        asc.cross_core_wait_flag(OUTPUT_READY)
        for r0, rows in tiles(o.rows, step):
            with tile_in.fill() as buffer:
                asc.data_copy(buffer.tile((rows, latent), fp32), o[r0 : r0 + rows, :])
            with tile_in.take() as buffer:
                x = buffer.tile((rows, latent), fp32)
                drop_overflow(x)
                write_output(x, out[r0 : r0 + rows, :], of_slot(divisor, divisor_slot, r0, rows))

    @core.stage(AIV)
    def v2_mul(
        t: asc.GlobalTensor, o: asc.GlobalTensor, out: asc.GlobalTensor, slot: int, divisor_slot: int, first: bool, last: bool
    ) -> None:
        """[V2 of FlashAttention] O = O exp(m_{i-1} - m_i) + T after every key block, O and T through the vector core."""
        asc.cross_core_wait_flag(OUTPUT_READY)
        for r0, rows in tiles(t.rows, step):
            with tile_in.fill() as buffer:
                asc.data_copy(buffer.tile((rows, latent), fp32), t[r0 : r0 + rows, :])
            if not first:
                with tile_in.fill() as buffer:
                    asc.data_copy(buffer.tile((rows, latent), fp32), o[r0 : r0 + rows, :])
            with tile_in.take() as buffer:
                x = buffer.tile((rows, latent), fp32)
                if not first:
                    asc.brcb(blocks[:rows, :], of_slot(shrink, slot, r0, rows))
                    with tile_in.take() as previous:
                        y = previous.tile((rows, latent), fp32)
                        asc.mul(y, y, blocks[:rows, :])
                        asc.add(x, x, y)
                if last:
                    write_output(x, out[r0 : r0 + rows, :], of_slot(divisor, divisor_slot, r0, rows))
                else:
                    with tile_out.fill() as buffer:
                        asc.copy(buffer.tile((rows, latent), fp32), x)
                    with tile_out.take() as buffer:
                        asc.data_copy(o[r0 : r0 + rows, :], buffer.tile((rows, latent), fp32))

    def drop_overflow(x: asc.LocalTensor) -> None:
        """An integer added to an exact zero is no multiple of it: such values, above 1e10, become 0 again."""
        bits = mask[: x.elements // 8]
        for limit, side in ((1e10, "LT"), (-1e10, "GT")):
            asc.compare_scalar(bits, x, limit, side)
            asc.select(x, bits, x, 0.0)

    def write_output(x: asc.LocalTensor, out: asc.GlobalTensor, row_divisor: asc.LocalTensor) -> None:
        """Divide each row and write it out in the output format."""
        asc.brcb(blocks[: x.rows, :], row_divisor)
        with tile_out.fill() as buffer:
            asc.div(x, x, blocks[: x.rows, :])
            result = buffer.tile(x.shape, out.dtype)
            if out.dtype is bf16:
                asc.cast(result, x, RoundMode.CAST_RINT)
            else:
                asc.copy(result, x)
        with tile_out.take() as buffer:
            asc.data_copy(out, buffer.tile(x.shape, out.dtype))

    def rows_here(window: asc.GlobalTensor) -> asc.GlobalTensor:
        """The half of the rows that this vector core works on; a cube core works on all of them."""
        half = math.ceil(window.rows / 2)
        return window[core.sub * half : min((core.sub + 1) * half, window.rows), :] if core.is_vector else window

    def slot(tensor: asc.GlobalTensor, number: int, rows: int, columns: int) -> asc.GlobalTensor:
        """This core's slot of a workspace for task or row block *number*."""
        begin = (core.index * p.slots + number % p.slots) * tiling.task_rows
        return tensor[begin : begin + rows, :columns]

    # The task stream of this core, across row blocks and requests alike: in each round C1 is `preload` tasks ahead
    # of C2, so that the vector cores work on one task while the cube core works on others.
    tasks = tasks_of(share_by_cost(row_blocks(p), p, core.count)[core.index], tiling.task_keys)
    ahead = schedule.preload
    for round_ in range(len(tasks) + ahead):
        if round_ < len(tasks):
            task = tasks[round_]
            s, probabilities = (slot(t, task.number, task.rows, task.keys) for t in (gm.s, gm.p))
            c1(gm.q[task.queries, :], gm.q_rope[task.queries, :], gm.kv[task.tokens, :], gm.k_rope[task.tokens, :], s)
            v1(
                rows_here(s), rows_here(probabilities), task.number % p.slots, task.first, task.last,
                task.row_block % p.slots,
            )
        behind = round_ - max(ahead - 1, 0)
        if add and 0 <= behind < len(tasks) and not tasks[behind].first:
            task = tasks[behind]
            rescale(rows_here(slot(gm.o, task.row_block, task.rows, latent)), task.number % p.slots)
        if round_ >= ahead:
            task = tasks[round_ - ahead]
            probabilities = slot(gm.p, task.number, task.rows, task.keys)
            o, out = slot(gm.o, task.row_block, task.rows, latent), gm.out[task.queries, :]
            product = o if add else slot(gm.t, task.number, task.rows, latent)
            c2(probabilities, gm.kv[task.tokens, :], product, task.first, task.last)
            if not add:
                v2_mul(
                    rows_here(product), rows_here(o), rows_here(out), task.number % p.slots, task.row_block % p.slots,
                    task.first, task.last,
                )
            elif task.last:
                v2(rows_here(o), rows_here(out), task.row_block % p.slots)
