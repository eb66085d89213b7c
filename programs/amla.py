"""AMLA: MLA decode attention whose rescaling is an integer addition (arXiv 2509.25224).

A task is a block of query rows against a block of keys, in four stages:

    [C1]  S = Q K^T                              cube cores
    [V1]  P = exp(S - max), row statistics;      vector cores
          O rescaled by integer addition
    [C2]  O += P V, added up in global memory    cube cores
    [V2]  output = O / sum, after the last keys  vector cores

FlashAttention multiplies O by 2^x whenever the running maximum grows. AMLA keeps O scaled by powers of two, so that
this multiplication is an integer addition to the exponent bits of O, done by an atomic add where O lies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from ascend_sim import kernel as asc
from ascend_sim.kernel import AIC, AIV, GlobalTensor, LocalTensor, Pipe, RoundMode, Space, bf16, fp32, int32, uint8

LN2 = math.log(2.0)
Extent = Annotated[int, Field(ge=1)]
Pairs = Annotated[int, Field(ge=16, multiple_of=16)]

# Cross-core flags
C1_DONE, V1_DONE, RESCALED, C2_DONE, OUTPUT_READY = 7, 8, 5, 4, 9
O_STORED = 0  # within a vector core, when O is rescaled by multiplication


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
                f"kv_tokens lists {len(self.kv_tokens)} lengths for a batch of {self.batch}; "
                f"give one length, or one for each request"
            )
        return self

    @model_validator(mode="after")
    def _whole_blocks_of_rows(self) -> Problem:
        if self.rows % 16:
            raise ValueError(
                f"heads x query_tokens = {self.rows} rows is not a multiple of 16, the rows of a fractal; pad the heads"
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

    @model_validator(mode="after")
    def _tiles_fit(self) -> Parameters:
        t, row_tiles = self.tiling, math.ceil(self.tiling.task_rows / self.tiling.l1_rows)
        for name, extent in (("latent_dim", self.problem.latent_dim), ("rope_dim", self.problem.rope_dim)):
            if extent % (16 * t.l1_parts):
                raise ValueError(f"{name} = {extent} is not {t.l1_parts} (l1_parts) times a multiple of 16; change one")
        for name, have in (("l0c_buffers", t.l0c_buffers), ("qp_buffers", t.qp_buffers)):
            need = row_tiles * (t.l1_parts if name == "qp_buffers" else 1)
            if have < need:
                raise ValueError(
                    f"{name} = {have} is too few: {t.task_rows} task_rows in tiles of {t.l1_rows} l1_rows need {need} "
                    f"at a time; raise it, or take larger l1_rows"
                )
        return self

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


class Turn(NamedTuple):
    """What the stages of a task must know of it: its slots, and whether it has the first or last keys of its rows.

    Whatever is handed from stage to stage lies in one of a few slots, in turn: *slot* by task, *row_slot* by row block.
    """

    slot: int
    row_slot: int
    first: bool
    last: bool


class Task(NamedTuple):
    """A block of query rows against a block of keys: rows of q, rows of kv, and its turn on its core."""

    queries: slice
    tokens: slice
    turn: Turn


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
    tiles = asc.tiles(p.problem.rows, p.tiling.task_rows)
    for request, keys in enumerate(p.problem.lengths):
        blocks += [RowBlock(request * p.problem.rows + first, rows, token, keys) for first, rows in tiles]
        token += keys
    return blocks


def tasks_of(blocks: list[RowBlock], p: Parameters) -> list[Task]:
    """The tasks of one core in order: the stream runs on across row blocks and requests."""
    slots = p.slots
    tasks: list[Task] = []
    for number, block in enumerate(blocks):
        queries = slice(block.first, block.first + block.rows)
        for begin, keys in asc.tiles(block.keys, p.tiling.task_keys):
            turn = Turn(len(tasks) % slots, number % slots, begin == 0, begin + keys == block.keys)
            tasks.append(Task(queries, slice(block.token + begin, block.token + begin + keys), turn))
    return tasks


class CubeCore:
    """[C1] and [C2]: L1 holds tiles of K or V in rotation and all of Q or P of a task; L0 and L0C are ping-pong."""

    def __init__(self, core: asc.Core, p: Parameters) -> None:
        t = p.tiling
        self.p, self.add = p, p.schedule.rescale == "add"
        self.part_keys = t.task_keys // t.l1_parts
        self.part_latent, self.part_rope = p.problem.latent_dim // t.l1_parts, p.problem.rope_dim // t.l1_parts
        longest = max(self.part_latent + self.part_rope, self.part_keys)
        depth = max(t.c1_l0_depth, t.c2_l0_depth)
        l1_kv, l1_qp = (Space.L1, 2 * t.l1_columns * longest), (Space.L1, 2 * t.l1_rows * longest)
        l0a, l0b = (Space.L0A, 2 * t.l1_rows * depth), (Space.L0B, 2 * t.l1_columns * depth)
        l0c = (Space.L0C, 4 * t.l1_rows * t.l1_columns)
        self.kv = core.ring("kv", l1_kv, buffers=t.kv_buffers, fill=Pipe.MTE2, drain=Pipe.MTE1)
        self.qp = core.ring("qp", l1_qp, buffers=t.qp_buffers, fill=Pipe.MTE2, drain=Pipe.MTE1)
        self.l0 = core.ring("l0", l0a, l0b, buffers=t.l0_buffers, fill=Pipe.MTE1, drain=Pipe.M)
        self.l0c = core.ring("l0c", l0c, buffers=t.l0c_buffers, fill=Pipe.M, drain=Pipe.FIX, unit_flag=True)

    def c1(
        self, q: GlobalTensor, q_rope: GlobalTensor, k: GlobalTensor, k_rope: GlobalTensor, s: GlobalTensor
    ) -> None:
        """[C1] S = Q K^T: K tile by K tile, each against all rows of Q, which stay in L1."""
        t, latent, rope = self.p.tiling, self.part_latent, self.part_rope
        row_tiles, key_tiles = asc.tiles(s.rows, t.l1_rows), asc.tiles(s.columns, t.l1_columns)
        q_tiles = {}
        for n0, n in key_tiles:
            accumulators = [self.l0c.alloc().tile((m, n), fp32) for _, m in row_tiles]
            for part in range(t.l1_parts):
                x, r = slice(part * latent, (part + 1) * latent), slice(part * rope, (part + 1) * rope)
                with self.kv.fill() as buffer:
                    k_tile = buffer.tile((n, latent + rope), bf16)
                    asc.data_copy(k_tile[:, :latent], k[n0 : n0 + n, x])
                    asc.data_copy(k_tile[:, latent:], k_rope[n0 : n0 + n, r])
                for m0, m in row_tiles if n0 == 0 else []:
                    with self.qp.fill() as buffer:
                        q_tile = q_tiles[m0, part] = buffer.tile((m, latent + rope), bf16)
                        asc.data_copy(q_tile[:, :latent], q[m0 : m0 + m, x])
                        asc.data_copy(q_tile[:, latent:], q_rope[m0 : m0 + m, r])
                first, last = part == 0, part == t.l1_parts - 1
                with self.kv.take():
                    for (m0, m), accumulator in zip(row_tiles, accumulators, strict=True):
                        with self.resident(first_use=n0 == 0, last_use=(n0, n) == key_tiles[-1]):
                            self.multiply(accumulator, q_tiles[m0, part], k_tile, t.c1_l0_depth, first, last, True)
                        if last:
                            self.l0c.enque()
                            with self.l0c.take():
                                asc.fixpipe(s[m0 : m0 + m, n0 : n0 + n], accumulator)
        asc.cross_core_set_flag(C1_DONE, Pipe.FIX)

    def c2(self, p: GlobalTensor, v: GlobalTensor, o: GlobalTensor, first_keys: bool, last_keys: bool) -> None:
        """[C2] O += P V by atomic adds: V tile by V tile, each against all rows of P, which stay in L1."""
        t, add_to_o = self.p.tiling, self.add and not first_keys
        row_tiles, column_tiles = asc.tiles(p.rows, t.l1_rows), asc.tiles(v.columns, t.l1_columns)
        key_parts = asc.tiles(p.columns, self.part_keys)
        p_tiles = {}
        asc.cross_core_wait_flag(V1_DONE)
        for n0, n in column_tiles:
            accumulators = [self.l0c.alloc().tile((m, n), fp32) for _, m in row_tiles]
            for k0, k in key_parts:
                with self.kv.fill() as buffer:
                    v_tile = buffer.tile((k, n), bf16)
                    asc.data_copy(v_tile, v[k0 : k0 + k, n0 : n0 + n])
                for m0, m in row_tiles if n0 == 0 else []:
                    with self.qp.fill() as buffer:
                        p_tile = p_tiles[m0, k0] = buffer.tile((m, k), bf16)
                        asc.data_copy(p_tile, p[m0 : m0 + m, k0 : k0 + k])
                first, last = k0 == 0, (k0, k) == key_parts[-1]
                with self.kv.take():
                    for (m0, m), accumulator in zip(row_tiles, accumulators, strict=True):
                        with self.resident(first_use=n0 == 0, last_use=(n0, n) == column_tiles[-1]):
                            self.multiply(accumulator, p_tiles[m0, k0], v_tile, t.c2_l0_depth, first, last, False)
                        if last:
                            if add_to_o and (n0, m0) == (0, 0):
                                asc.cross_core_wait_flag(RESCALED)
                            self.l0c.enque()
                            with self.l0c.take():
                                asc.fixpipe(o[m0 : m0 + m, n0 : n0 + n], accumulator, atomic_add=add_to_o)
        if self.add and not last_keys:
            asc.cross_core_set_flag(C2_DONE, Pipe.FIX)
        else:
            asc.cross_core_set_flag(OUTPUT_READY, Pipe.FIX)

    @contextmanager
    def resident(self, first_use: bool, last_use: bool) -> Iterator[None]:
        """A tile of Q or P is waited for where it is first used and given back where it is last used."""
        if first_use:
            self.qp.deque()
        yield
        if last_use:
            self.qp.free()

    def multiply(
        self, accumulator: LocalTensor, left: LocalTensor, right: LocalTensor, depth: int,
        first: bool, last: bool, transpose: bool,
    ) -> None:
        """Accumulate left x right (x right^T with *transpose*), *depth* columns of left at a time through L0."""
        for k0, k in asc.tiles(left.columns, depth):
            with self.l0.fill() as (l0a, l0b):
                a, b = l0a.tile((left.rows, k), bf16), l0b.tile((k, accumulator.columns), bf16)
                asc.load_data(a, left[:, k0 : k0 + k])
                asc.load_data(b, right[:, k0 : k0 + k] if transpose else right[k0 : k0 + k, :], transpose=transpose)
            with self.l0.take():
                asc.mmad(accumulator, a, b, init=first and k0 == 0, last=last and k0 + k == left.columns)


class VectorCore:
    """[V1] and [V2]: tiles of a few rows pass through UB; the statistics of all rows stay there."""

    def __init__(self, core: asc.Core, p: Parameters) -> None:
        step, rows, slots = p.tiling.vector_rows, math.ceil(p.tiling.task_rows / core.subs), p.slots
        widest = max(asc.padded_columns(p.tiling.task_keys), p.problem.latent_dim)
        self.p, self.add, self.step, self.rows = p, p.schedule.rescale == "add", step, rows
        out_bytes = 2 if self.add and p.schedule.output == "bf16" else 4
        self.tile_in = core.ring("in", (Space.UB, 4 * step * widest), fill=Pipe.MTE2, drain=Pipe.V)
        self.tile_out = core.ring("out", (Space.UB, out_bytes * step * widest), fill=Pipe.V, drain=Pipe.MTE3)
        self.n_out = core.ring("n_out", (Space.UB, (64, 128), int32), buffers=1, fill=Pipe.V, drain=Pipe.MTE3)
        self.scratch = core.tensor("scratch", Space.UB, (step, widest // 4), fp32)
        self.blocks = core.tensor("blocks", Space.UB, (64, 8), fp32)
        self.mask = core.tensor("mask", Space.UB, step * widest // 8, uint8)
        # Statistics of the rows: m, l, n and C of the last key block; what later stages need, in slots by task
        self.m, self.l, self.n, self.c = (core.tensor(f"row_{name}", Space.UB, rows, fp32) for name in "mlnc")
        self.increment = core.tensor("increment", Space.UB, slots * rows, int32)
        self.shrink = core.tensor("shrink", Space.UB, slots * rows, fp32)
        self.divisor = core.tensor("divisor", Space.UB, slots * rows, fp32)
        # The same for the rows of the tile at hand
        self.m_i, self.n_i, self.c_i, self.s32, self.s16, self.temp = (
            core.tensor(name, Space.UB, step, fp32) for name in ("m_i", "n_i", "c_i", "s32", "s16", "temp")
        )
        self.s16_bf16 = core.tensor("s16_bf16", Space.UB, step, bf16)

    def v1(self, s: GlobalTensor, p: GlobalTensor, turn: Turn) -> None:
        """[V1] P = exp(S - max), scaled for the rescaling by powers of two, and the statistics of the rows."""
        keys, columns = s.columns, asc.padded_columns(s.columns)
        asc.cross_core_wait_flag(C1_DONE)
        for r0, rows in asc.tiles(s.rows, self.step):
            here = slice(r0, r0 + rows)
            with self.tile_in.fill() as buffer:
                asc.data_copy(buffer.tile((rows, columns), fp32)[:, :keys], s[here, :])
            with self.tile_in.take() as buffer, self.tile_out.fill() as out:
                x = buffer.tile((rows, columns), fp32)
                asc.fill_columns_from(keys, x, -math.inf)
                asc.muls(x, x, self.p.problem.softmax_scale)
                self.new_maximum(x, here, turn.first)
                asc.by_rows(asc.sub, x, self.m_i[:rows], self.blocks)  # P_i = exp(S_i - m_i)
                asc.exp(x, x)
                self.new_sum(x, here, self.of_slot(self.shrink, turn.slot, here), turn.first)
                if self.add:
                    self.power_of_two(rows)
                    asc.by_rows(asc.mul, x, self.s16[:rows], self.blocks)  # P_i *= S16_i
                    self.increment_of_o(here, self.of_slot(self.increment, turn.slot, here), turn.first)
                if turn.last:
                    self.final_divisor(here, self.of_slot(self.divisor, turn.row_slot, here))
                asc.cast(out.tile((rows, columns), bf16), x, RoundMode.CAST_RINT)
            with self.tile_out.take() as out:
                asc.data_copy(p[here, :], out.tile((rows, columns), bf16)[:, :keys])
        asc.cross_core_set_flag(V1_DONE, Pipe.MTE3)

    def new_maximum(self, x: LocalTensor, here: slice, first_keys: bool) -> None:
        """m_i = max(m_{i-1}, rowmax S_i)."""
        m_i = self.m_i[: x.rows]
        asc.row_max(m_i, x, self.scratch)
        if not first_keys:
            asc.max(m_i, m_i, self.m[here])

    def power_of_two(self, rows: int) -> None:
        """n_i = round(-m_i / ln 2); S32_i = exp(ln 2 (n_i + m_i / ln 2)); S16_i = S32_i rounded to BF16."""
        m_i, n_i, temp, s32 = (vector[:rows] for vector in (self.m_i, self.n_i, self.temp, self.s32))
        asc.muls(n_i, m_i, -1.0 / LN2)
        asc.cast(n_i, n_i, RoundMode.CAST_ROUND)
        asc.muls(temp, m_i, 1.0 / LN2)
        asc.add(temp, temp, n_i)
        asc.muls(temp, temp, LN2)
        asc.exp(s32, temp)
        asc.cast(self.s16_bf16[:rows], s32, RoundMode.CAST_RINT)
        asc.cast(self.s16[:rows], self.s16_bf16[:rows], RoundMode.CAST_NONE)

    def new_sum(self, x: LocalTensor, here: slice, decay: LocalTensor, first_keys: bool) -> None:
        """l_i = l_{i-1} exp(m_{i-1} - m_i) + rowsum P_i; from here on m_i is the maximum."""
        total = self.temp[: x.rows]
        asc.row_sum(total, x, self.scratch)
        if first_keys:
            asc.copy(self.l[here], total)
        else:
            asc.sub(decay, self.m[here], self.m_i[: x.rows])
            asc.exp(decay, decay)
            asc.mul(self.l[here], self.l[here], decay)
            asc.add(self.l[here], self.l[here], total)
        asc.copy(self.m[here], self.m_i[: x.rows])

    def increment_of_o(self, here: slice, n: LocalTensor, first_keys: bool) -> None:
        """N_i = int((max(n_i - n_{i-1}, -30) + eps_i + 1e-6) 2^23), with eps_i = 1.5 (C_{i-1} / C_i - 1)."""
        rows = here.stop - here.start
        n_i, c_i, s32, s16, eps = (v[:rows] for v in (self.n_i, self.c_i, self.s32, self.s16, self.temp))
        asc.div(c_i, s32, s16)
        if not first_keys:
            difference = self.n[here]
            asc.sub(difference, n_i, difference)
            asc.maxs(difference, difference, -30.0)
            if self.p.schedule.compensation:
                asc.div(eps, self.c[here], c_i)
                asc.adds(eps, eps, -1.0)
                asc.muls(eps, eps, 1.5)
                asc.add(difference, difference, eps)
            asc.adds(difference, difference, 1e-6)
            asc.muls(difference, difference, float(1 << 23))
            asc.cast(n, difference, RoundMode.CAST_ROUND)
        asc.copy(self.n[here], n_i)
        asc.copy(self.c[here], c_i)

    def final_divisor(self, here: slice, divisor: LocalTensor) -> None:
        """O is divided by l S16 in the end (by l if it was not scaled)."""
        if self.add:
            asc.mul(divisor, self.l[here], self.s16[: here.stop - here.start])
        else:
            asc.copy(divisor, self.l[here])

    def rescale(self, o: GlobalTensor, turn: Turn) -> None:
        """[V1, rescaling] O := AS_FP32(AS_INT32(O) + N_i), an atomic integer add in global memory."""
        asc.cross_core_wait_flag(C2_DONE)
        for r0, rows in asc.tiles(o.rows, 64):
            with self.n_out.fill() as n:
                increment = self.of_slot(self.increment, turn.slot, slice(r0, r0 + rows))
                asc.spread(n[:rows, :], increment, self.blocks.reinterpret(int32))
            with self.n_out.take() as n:
                for c0, columns in asc.tiles(o.columns, 128):
                    target = o[r0 : r0 + rows, c0 : c0 + columns].reinterpret(int32)
                    asc.data_copy(target, n[:rows, :columns], atomic_add=True)
        asc.cross_core_set_flag(RESCALED, Pipe.MTE3)

    def v2(self, o: GlobalTensor, out: GlobalTensor, turn: Turn) -> None:
        """[V2] output = O / (l S16), after the last key block."""
        asc.cross_core_wait_flag(OUTPUT_READY)
        for r0, rows in asc.tiles(o.rows, self.step):
            here = slice(r0, r0 + rows)
            with self.tile_in.fill() as buffer:
                asc.data_copy(buffer.tile((rows, o.columns), fp32), o[here, :])
            with self.tile_in.take() as buffer:
                x = buffer.tile((rows, o.columns), fp32)
                self.drop_overflow(x)
                self.write_output(x, out[here, :], self.of_slot(self.divisor, turn.row_slot, here))

    def v2_by_multiplication(self, t: GlobalTensor, o: GlobalTensor, out: GlobalTensor, turn: Turn) -> None:
        """[V2 of FlashAttention] O = O exp(m_{i-1} - m_i) + T, after every key block, through the vector core."""
        asc.cross_core_wait_flag(OUTPUT_READY)
        if not turn.first:
            asc.wait_flag(Pipe.MTE3, Pipe.MTE2, O_STORED)
        for r0, rows in asc.tiles(t.rows, self.step):
            here, shape = slice(r0, r0 + rows), (rows, t.columns)
            for tensor in (t,) if turn.first else (t, o):
                with self.tile_in.fill() as buffer:
                    asc.data_copy(buffer.tile(shape, fp32), tensor[here, :])
            with self.tile_in.take() as buffer:
                x = buffer.tile(shape, fp32)
                if not turn.first:
                    with self.tile_in.take() as previous:
                        y = previous.tile(shape, fp32)
                        asc.by_rows(asc.mul, y, self.of_slot(self.shrink, turn.slot, here), self.blocks)
                        asc.add(x, x, y)
                if turn.last:
                    self.write_output(x, out[here, :], self.of_slot(self.divisor, turn.row_slot, here))
                else:
                    with self.tile_out.fill() as buffer:
                        asc.copy(buffer.tile(shape, fp32), x)
                    with self.tile_out.take() as buffer:
                        asc.data_copy(o[here, :], buffer.tile(shape, fp32))
        if not turn.last:
            asc.set_flag(Pipe.MTE3, Pipe.MTE2, O_STORED)

    def drop_overflow(self, x: LocalTensor) -> None:
        """An integer added to an exact zero makes garbage of it: magnitudes above 1e10, and NaN, become 0 again."""
        mask = self.mask[: x.elements // 8]
        for limit, inside in ((1e10, "LT"), (-1e10, "GT")):
            asc.compare_scalar(mask, x, limit, inside)
            asc.select(x, mask, x, 0.0)

    def write_output(self, x: LocalTensor, out: GlobalTensor, divisor: LocalTensor) -> None:
        """Divide each row and write it out in the format of the output."""
        with self.tile_out.fill() as buffer:
            asc.by_rows(asc.div, x, divisor, self.blocks)
            result = buffer.tile(x.shape, out.dtype)
            if out.dtype is bf16:
                asc.cast(result, x, RoundMode.CAST_RINT)
            else:
                asc.copy(result, x)
        with self.tile_out.take() as buffer:
            asc.data_copy(out, buffer.tile(x.shape, out.dtype))

    def of_slot(self, vector: LocalTensor, slot: int, here: slice) -> LocalTensor:
        """The rows *here* of what *vector* holds for the tasks of *slot*."""
        return vector[slot * self.rows + here.start : slot * self.rows + here.stop]


@asc.kernel(cores="mix", parameters=Parameters, tensors=tensors, flops=flops)
def amla(core: asc.Core, gm: asc.GlobalMemory, p: Parameters) -> None:
    """MLA decode attention with rescaling by integer addition (or, for comparison, by multiplication)."""
    if core.is_cube:
        cube = CubeCore(core, p)
        c1, c2 = core.stage(AIC)(cube.c1), core.stage(AIC)(cube.c2)
    else:
        vector = VectorCore(core, p)
        v1, v2, rescale = core.stage(AIV)(vector.v1), core.stage(AIV)(vector.v2), core.stage(AIV)(vector.rescale)
        v2_by_multiplication = core.stage(AIV)(vector.v2_by_multiplication)
    add, ahead = p.schedule.rescale == "add", p.schedule.preload
    first_slot, parts = core.index * p.slots, 1 if core.is_cube else core.subs

    def part(rows: slice) -> slice:
        """The part of *rows* that this core works on: a cube core on all, each of its vector cores on an equal part."""
        share = math.ceil((rows.stop - rows.start) / parts)
        first = rows.start + core.sub * share
        return slice(first, min(first + share, rows.stop))

    # Most windows come again and again: the slots of the workspaces, the queries of all tasks of a row block.
    @cache
    def window(name: str, first: int, behind: int) -> GlobalTensor:
        """Rows of a tensor."""
        return getattr(gm, name)[first:behind, :]  # type: ignore[no-any-return]

    @cache
    def slot_window(name: str, number: int, rows: int, columns: int) -> GlobalTensor:
        begin = (first_slot + number) * p.tiling.task_rows
        return getattr(gm, name)[part(slice(begin, begin + rows)), :columns]  # type: ignore[no-any-return]

    def slot(name: str, number: int, rows: slice, columns: slice = slice(0, p.problem.latent_dim)) -> GlobalTensor:
        """This core's part of slot *number* of a workspace, as many rows and columns of it as are in use."""
        return slot_window(name, number, rows.stop - rows.start, columns.stop - columns.start)

    # The task stream of this core, across row blocks and requests alike. In each round C1 is `ahead` tasks before C2,
    # so that the vector cores work on one task while the cube core works on others.
    blocks = row_blocks(p)
    uneven = [block.rows for block in blocks if block.rows % (8 * core.subs)]
    if uneven:
        raise ValueError(
            f"a block of {uneven[0]} query rows cannot be dealt out to {core.subs} vector cores in eights, the rows of "
            f"a repeat; change heads, query_tokens or task_rows"
        )
    shares = asc.deal_by_cost(blocks, lambda block: block.rows * block.keys, core.count)
    tasks = tasks_of(shares[core.index], p)
    for this_round in range(len(tasks) + ahead):
        if this_round < len(tasks):
            queries, tokens, turn = tasks[this_round]
            s = slot("s", turn.slot, queries, tokens)
            if core.is_cube:
                q, q_rope = (window(name, queries.start, queries.stop) for name in ("q", "q_rope"))
                k, k_rope = (window(name, tokens.start, tokens.stop) for name in ("kv", "k_rope"))
                c1(q, q_rope, k, k_rope, s)
            else:
                v1(s, slot("p", turn.slot, queries, tokens), turn)

        # O is rescaled once the products of the task before are in it: in the round of its own C1, or one before C2's
        behind = this_round - max(ahead - 1, 0)
        if add and core.is_vector and 0 <= behind < len(tasks) and not tasks[behind].turn.first:
            queries, tokens, turn = tasks[behind]
            rescale(slot("o", turn.row_slot, queries), turn)

        if this_round >= ahead:
            queries, tokens, turn = tasks[this_round - ahead]
            o = slot("o", turn.row_slot, queries)
            product = o if add else slot("t", turn.slot, queries)
            if core.is_cube:
                v = window("kv", tokens.start, tokens.stop)
                c2(slot("p", turn.slot, queries, tokens), v, product, turn.first, turn.last)
            elif not add:
                v2_by_multiplication(product, o, gm.out[part(queries), :], turn)
            elif turn.last:
                v2(o, gm.out[part(queries), :], turn)
