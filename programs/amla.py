"""AMLA: MLA decode attention whose rescaling is an integer addition (arXiv 2509.25224).

A task is a block of query rows against a block of keys, in four stages:

    [C1]  S_i = Q K_i^T                                cube cores
    [V1]  P_i = exp(S_i - m_i) S16_i, row statistics;  vector cores
          O := AS_FP32(AS_INT32(O) + N_i)              vector cores, integer addition in global memory
    [C2]  O += P_i V_i                                 cube cores, addition in global memory
    [V2]  output = O / (l S16), after the last keys    vector cores

FlashAttention multiplies O by exp(m_{i-1} - m_i) whenever the running maximum grows. AMLA keeps O scaled by powers of
two, so that this multiplication is an integer addition to the exponent bits of O, done by an atomic add where O lies.
`mla_base` is the same kernel with the multiplication. Stages and tiling are those of `attention/`.
"""

from __future__ import annotations

import math

from ascend_sim import kernel as asc
from ascend_sim.kernel import AIC, AIV, GlobalTensor, LocalTensor, Pipe, RoundMode, Space, fp32, int32, uint8
from attention import mla
from attention.combine import PartCore, combine_parts, parts_of
from attention.mla import C1_DONE, V1_DONE, flops, tensors
from attention.mla_cube import CubeCore
from attention.mla_windows import Windows
from attention.mla_work import Turn, tasks_of
from attention.rounds import in_rounds

LN2 = math.log(2.0)
# Flags between a cube core and its vector cores, beside those of C1 and V1
C2_DONE, RESCALED, O_COMPLETE = 4, 5, 9


class Schedule(mla.Schedule):
    """Without *compensation*, the rounding of the scales S32 to S16 shows in the output."""

    compensation: bool = True


class Parameters(mla.Parameters):
    schedule: Schedule = Schedule()


class AmlaVectorCore(PartCore):
    """[V1] and [V2] of AMLA."""

    def __init__(self, core: asc.Core, p: Parameters) -> None:
        super().__init__(core, p)
        self.compensation = p.schedule.compensation
        widest = max(asc.padded_columns(p.tiling.task_keys), p.problem.latent_dim)
        self.n_out = core.ring("n_out", (Space.UB, (64, 128), int32), buffers=1, fill=Pipe.V, drain=Pipe.MTE3)
        self.mask = core.tensor("mask", Space.UB, self.step * widest // 8, uint8)
        # n and C of the last key block by row; N, which is added later, in slots by task
        self.n, self.c = (core.tensor(name, Space.UB, self.rows, fp32) for name in ("row_n", "row_c"))
        self.increment = core.tensor("increment", Space.UB, p.slots * self.rows, int32)
        self.n_i, self.c_i, self.s32, self.s16, self.decay = (
            core.tensor(name, Space.UB, self.step, fp32) for name in ("n_i", "c_i", "s32", "s16", "decay")
        )
        self.s16_narrow = core.tensor("s16_narrow", Space.UB, self.step, self.dtype)

    def v1(self, s: GlobalTensor, p: GlobalTensor, turn: Turn, visible: tuple[tuple[int, int], ...]) -> None:
        """[V1] P_i = exp(S_i - m_i) S16_i, and N_i for the rescaling of O."""
        asc.cross_core_wait_flag(C1_DONE)
        for here, x in self.score_tiles(s, p, visible):
            self.new_maximum(x, here, turn.first)
            self.exponentials(x)
            self.new_sum(x, here, self.decay[: x.rows], turn.first)
            self.power_of_two(x.rows)
            asc.by_rows(asc.mul, x, self.s16[: x.rows], self.blocks)  # P_i := P_i S16_i
            self.increment_of_o(here, self.of_slot(self.increment, turn.slot, here), turn.first)
            if turn.last:
                asc.mul(self.of_slot(self.divisor, turn.row_slot, here), self.l[here], self.s16[: x.rows])
                if not turn.whole:
                    self.keep_part(here, turn)
        asc.cross_core_set_flag(V1_DONE, Pipe.MTE3)

    def power_of_two(self, rows: int) -> None:
        """n_i = round(-m_i / ln 2); S32_i = exp(ln 2 (n_i + m_i / ln 2)); S16_i = S32_i in the format of the cache."""
        m_i, n_i, temp, s32 = (vector[:rows] for vector in (self.m_i, self.n_i, self.temp, self.s32))
        asc.muls(n_i, m_i, -1.0 / LN2)
        asc.cast(n_i, n_i, RoundMode.CAST_ROUND)
        asc.muls(temp, m_i, 1.0 / LN2)
        asc.add(temp, temp, n_i)
        asc.muls(temp, temp, LN2)
        asc.exp(s32, temp)
        asc.cast(self.s16_narrow[:rows], s32, RoundMode.CAST_RINT)
        asc.cast(self.s16[:rows], self.s16_narrow[:rows], RoundMode.CAST_NONE)

    def increment_of_o(self, here: slice, n: LocalTensor, first_keys: bool) -> None:
        """N_i = int((max(n_i - n_{i-1}, -30) + eps_i + 1e-6) 2^23), eps_i = 1.5 (C_{i-1} / C_i - 1), C = S32 / S16."""
        rows = here.stop - here.start
        n_i, c_i, s32, s16, eps = (v[:rows] for v in (self.n_i, self.c_i, self.s32, self.s16, self.temp))
        asc.div(c_i, s32, s16)
        if not first_keys:
            difference = self.n[here]
            asc.sub(difference, n_i, difference)
            asc.maxs(difference, difference, -30.0)
            if self.compensation:
                asc.div(eps, self.c[here], c_i)
                asc.adds(eps, eps, -1.0)
                asc.muls(eps, eps, 1.5)
                asc.adds(eps, eps, 1e-6)
                asc.add(difference, difference, eps)
            else:
                asc.adds(difference, difference, 1e-6)
            asc.muls(difference, difference, float(1 << 23))
            asc.cast(n, difference, RoundMode.CAST_ROUND)
        asc.copy(self.n[here], n_i)
        asc.copy(self.c[here], c_i)

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
        asc.cross_core_wait_flag(O_COMPLETE)
        for r0, rows in asc.tiles(o.rows, self.step):
            here = slice(r0, r0 + rows)
            with self.tile_in.fill() as buffer:
                asc.data_copy(buffer.tile((rows, o.columns), fp32), o[here, :])
            with self.tile_in.take() as buffer:
                x = buffer.tile((rows, o.columns), fp32)
                self.mend(x)
                self.write_output(x, out[here, :], self.of_slot(self.divisor, turn.row_slot, here))

    def v2_of_part(self, turn: Turn, m: GlobalTensor, l: GlobalTensor, divisor: GlobalTensor) -> None:  # noqa: E741
        """[V2 of a part of the keys] O stays where it is until all parts of its rows are put together."""
        asc.cross_core_wait_flag(O_COMPLETE)
        self.store_part(turn, m, l, divisor)

    def mend(self, o: LocalTensor) -> None:
        """An integer added to an exact zero makes garbage of it: magnitudes above 1e10, and NaN, become 0 again."""
        mask = self.mask[: o.elements // 8]
        for limit, inside in ((1e10, "LT"), (-1e10, "GT")):
            asc.compare_scalar(mask, o, limit, inside)
            asc.select(o, mask, o, 0.0)


@asc.kernel(cores="mix", parameters=Parameters, tensors=tensors, flops=flops)
def amla(core: asc.Core, gm: asc.GlobalMemory, p: Parameters) -> None:
    """MLA decode attention with rescaling by integer addition."""
    # The cube core computes C1 for `ahead` tasks more than C2, so that it never waits for the vector cores. O is
    # rescaled once the products of the task before are in it: in the round of its own C1, or one before its C2.
    tasks, at, ahead = tasks_of(core, p), Windows(core, gm, p), p.schedule.preload
    if core.is_cube:
        cube = CubeCore(core, p)
        c1, c2 = core.stage(AIC)(cube.c1), core.stage(AIC)(cube.c2)
        for new, old in in_rounds(tasks, 0, ahead):
            if new:
                c1(*at.q(new), at.s(new), *at.tokens(new, "kv", "k_rope"))
            if old:
                add, done = not old.turn.first, O_COMPLETE if old.turn.last else C2_DONE
                c2(at.probabilities(old), at.o(old), add, RESCALED if add else None, done, *at.tokens(old, "kv"))
        return

    vector = AmlaVectorCore(core, p)
    v1, rescale = core.stage(AIV)(vector.v1), core.stage(AIV)(vector.rescale)
    v2, v2_of_part = core.stage(AIV)(vector.v2), core.stage(AIV)(vector.v2_of_part)
    for new, next_to_add, old in in_rounds(tasks, 0, max(ahead - 1, 0), ahead):
        if new:
            v1(at.s(new), at.probabilities(new), new.turn, at.visible(new))
        if next_to_add and not next_to_add.turn.first:
            rescale(at.o(next_to_add), next_to_add.turn)
        if old and old.turn.last and old.turn.whole:
            v2(at.o(old), at.out(old), old.turn)
        elif old and old.turn.last:
            v2_of_part(old.turn, *parts_of(gm, old, at.rows(old)))
    if vector.in_parts:
        combine_parts(core, gm, p, vector)
