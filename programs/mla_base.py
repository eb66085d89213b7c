"""Base MLA: MLA decode attention as FlashAttention has it (arXiv 2307.08691), with rescaling by multiplication.

A task is a block of query rows against a block of keys, in four stages:

    [C1]  S_i = Q K_i^T                            cube cores
    [V1]  P_i = exp(S_i - m_i), row statistics     vector cores
    [C2]  T_i = P_i V_i                            cube cores
    [V2]  O = O exp(m_{i-1} - m_i) + T_i           vector cores, O from global memory and back
          output = O / l, after the last keys

`amla` is the same kernel with an integer addition in the place of V2. Stages and tiling are those of `attention/`.
"""

from __future__ import annotations

from ascend_sim import kernel as asc
from ascend_sim.kernel import AIC, AIV, GlobalTensor, Pipe, Space, fp32
from attention import mla
from attention.combine import PartCore, combine_parts, parts_of
from attention.mla import C1_DONE, V1_DONE, Parameters, flops
from attention.mla_cube import CubeCore
from attention.mla_windows import Windows
from attention.mla_work import Turn, tasks_of
from attention.rounds import in_rounds

T_STORED = 9  # flag between a cube core and its vector cores, beside those of C1 and V1
O_STORED = 0  # event within a vector core


def tensors(gm: asc.GlobalMemory, p: Parameters) -> None:
    mla.tensors(gm, p)
    gm.workspace("t", (gm.blocks * p.slots * p.tiling.task_rows, p.problem.latent_dim), fp32)


class BaseVectorCore(PartCore):
    """[V1] and [V2] of FlashAttention."""

    def __init__(self, core: asc.Core, p: Parameters) -> None:
        super().__init__(core, p, wide=True)
        self.shrink = core.tensor("shrink", Space.UB, p.slots * self.rows, fp32)

    def v1(self, s: GlobalTensor, p: GlobalTensor, turn: Turn, visible: tuple[tuple[int, int], ...]) -> None:
        """[V1] P_i = exp(S_i - m_i)."""
        asc.cross_core_wait_flag(C1_DONE)
        for here, x in self.score_tiles(s, p, visible):
            self.new_maximum(x, here, turn.first)
            self.exponentials(x)
            self.new_sum(x, here, self.of_slot(self.shrink, turn.slot, here), turn.first)
            if turn.last:
                asc.copy(self.of_slot(self.divisor, turn.row_slot, here), self.l[here])
                if not turn.whole:
                    self.keep_part(here, turn)
        asc.cross_core_set_flag(V1_DONE, Pipe.MTE3)

    def v2(self, t: GlobalTensor, o: GlobalTensor, out: GlobalTensor, turn: Turn) -> None:
        """[V2] O = O exp(m_{i-1} - m_i) + T; O / l is the output after the last keys, if these are all."""
        asc.cross_core_wait_flag(T_STORED)
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
                if turn.last and turn.whole:
                    self.write_output(x, out[here, :], self.of_slot(self.divisor, turn.row_slot, here))
                else:
                    with self.tile_out.fill() as buffer:
                        asc.copy(buffer.tile(shape, fp32), x)
                    with self.tile_out.take() as buffer:
                        asc.data_copy(o[here, :], buffer.tile(shape, fp32))
        if not turn.last:
            asc.set_flag(Pipe.MTE3, Pipe.MTE2, O_STORED)


@asc.kernel(cores="mix", parameters=Parameters, tensors=tensors, flops=flops)
def mla_base(core: asc.Core, gm: asc.GlobalMemory, p: Parameters) -> None:
    """MLA decode attention with rescaling by multiplication, as FlashAttention has it."""
    # The cube core computes C1 for `ahead` tasks more than C2, so that it never waits for the vector cores.
    tasks, at, ahead = tasks_of(core, p), Windows(core, gm, p), p.schedule.preload
    if core.is_cube:
        cube = CubeCore(core, p)
        c1, c2 = core.stage(AIC)(cube.c1), core.stage(AIC)(cube.c2)
        for new, old in in_rounds(tasks, 0, ahead):
            if new:
                c1(*at.q(new), at.s(new), *at.tokens(new, "kv", "k_rope"))
            if old:
                c2(at.probabilities(old), at.t(old), False, None, T_STORED, *at.tokens(old, "kv"))
        return

    vector = BaseVectorCore(core, p)
    v1, v2, store_part = core.stage(AIV)(vector.v1), core.stage(AIV)(vector.v2), core.stage(AIV)(vector.store_part)
    for new, old in in_rounds(tasks, 0, ahead):
        if new:
            v1(at.s(new), at.probabilities(new), new.turn, at.visible(new))
        if old:
            v2(at.t(old), at.o(old), at.out(old), old.turn)
        if old and old.turn.last and not old.turn.whole:
            store_part(old.turn, *parts_of(gm, old, at.rows(old)))
    if vector.in_parts:
        combine_parts(core, gm, p, vector)
