"""Putting parts of keys together (split-KV, flash decoding): the last step of MLA decode where requests are few.

Part j of the keys of a row leaves its sum O_j, its maximum m_j, its sum of exponentials l_j, and the divisor d_j that
makes O_j / d_j the output over its own keys. With w_j = l_j exp(m_j - max m) the output over all keys is

    out = sum_j (w_j / d_j) O_j / sum_j w_j
"""

from __future__ import annotations

from collections.abc import Callable

from ascend_sim import kernel as asc
from ascend_sim.kernel import AIV, GlobalTensor, LocalTensor, Pipe, Space, fp32
from attention.mla import PARTS_DONE, Parameters
from attention.mla_vector import VectorCore
from attention.mla_work import Task, Turn, work_of

ROWS = 8
"""Rows that a vector core puts together at a time; a statistic of them is a block of 32 B."""


class PartCore(VectorCore):
    """A vector core that can also keep what belongs to a part of the keys, and put parts together."""

    def __init__(self, core: asc.Core, p: Parameters, wide: bool = False) -> None:
        most = max((split.parts for splits in work_of(core, p).splits for split in splits), default=1)
        self.in_parts = most > 1
        # UB has no room for what parts need beside two tiles of fp32 on their way out, unless that is all there is
        super().__init__(core, p, wide, out_buffers=1 if self.in_parts and p.output is fp32 and not wide else 2)
        if self.in_parts:
            self.part_m, self.part_l = (
                core.tensor(name, Space.UB, p.slots * self.rows, fp32) for name in ("part_m", "part_l")
            )
            self.factors, self.folded = (
                core.tensor(name, Space.UB, most * ROWS, fp32) for name in ("factors", "folded")
            )
            self.sum = core.tensor("sum", Space.UB, (ROWS, p.problem.latent_dim), fp32)

    def keep_part(self, here: slice, turn: Turn) -> None:
        """Keep m and l of a span that has not all keys of its rows until its O is there."""
        asc.copy(self.of_slot(self.part_m, turn.row_slot, here), self.m[here])
        asc.copy(self.of_slot(self.part_l, turn.row_slot, here), self.l[here])

    def store_part(self, turn: Turn, m: GlobalTensor, l: GlobalTensor, divisor: GlobalTensor) -> None:  # noqa: E741
        """Store what it takes to put a part together with the others of its rows."""
        here = slice(0, m.columns)
        for vector, target in ((self.part_m, m), (self.part_l, l), (self.divisor, divisor)):
            with self.tile_out.fill() as buffer:
                asc.copy(buffer.tile(target.columns, fp32), self.of_slot(vector, turn.row_slot, here))
            with self.tile_out.take() as buffer:
                asc.data_copy(target, buffer.tile((1, target.columns), fp32))

    def await_parts(self) -> None:
        """Tell the other vector cores of the die that the parts of this one are there, and wait for theirs."""
        asc.cross_core_set_flag(PARTS_DONE, Pipe.MTE3, mode=0)
        asc.cross_core_wait_flag(PARTS_DONE, mode=0)

    def mend(self, o: LocalTensor) -> None:
        """What is to be done to a tile of O before it is used."""

    def combine(
        self, out: GlobalTensor, m: GlobalTensor, l: GlobalTensor, divisor: GlobalTensor, *o: GlobalTensor  # noqa: E741
    ) -> None:
        """[Combine] out = sum_j (w_j / d_j) O_j / sum_j w_j, with w_j = l_j exp(m_j - max m)."""
        count, size = m.elements, 4 * m.elements
        w, folded = self.factors[:count], self.folded[:count]
        with self.tile_in.fill() as buffer:
            for number, statistic in enumerate((m, l, divisor)):
                asc.data_copy(buffer.tile(m.shape, fp32, start=number * size), statistic)
        with self.tile_in.take() as buffer:
            m_j, l_j, d_j = (buffer.tile(count, fp32, start=number * size) for number in range(3))
            fold(asc.max, folded, m_j)
            unfold(folded)
            asc.sub(w, m_j, folded)
            asc.exp(w, w)
            asc.mul(w, w, l_j)
            fold(asc.add, folded, w)
            asc.div(w, w, d_j)
        for number, part in enumerate(o):
            with self.tile_in.fill() as buffer:
                asc.data_copy(buffer.tile(part.shape, fp32), part)
            with self.tile_in.take() as buffer:
                x = buffer.tile(part.shape, fp32)
                self.mend(x)
                asc.by_rows(asc.mul, x, w[number * ROWS : (number + 1) * ROWS], self.blocks)
                if number:
                    asc.add(self.sum, self.sum, x)
                else:
                    asc.copy(self.sum, x)
        self.write_output(self.sum, out, folded[:ROWS])


def fold(combine: Callable[..., None], result: LocalTensor, x: LocalTensor) -> None:
    """The first ROWS elements of *result* = those of x and every ROWS elements behind them, combined in halves."""
    asc.copy(result, x)
    count = x.elements // ROWS
    while count > 1:
        half = count // 2
        combine(result[: half * ROWS], result[: half * ROWS], result[(count - half) * ROWS : count * ROWS])
        count -= half


def unfold(x: LocalTensor) -> None:
    """Repeat the first ROWS elements of x to its end."""
    done = ROWS
    while done < x.elements:
        more = min(done, x.elements - done)
        asc.copy(x[done : done + more], x[:more])
        done += more


def parts_of(gm: asc.GlobalMemory, task: Task, rows: slice) -> list[GlobalTensor]:
    """Where m, l and the divisor of *rows* of the part that *task* belongs to are kept."""
    assert task.span.part is not None
    here = slice(task.span.part, task.span.part + 1)
    return [getattr(gm, name)[here, rows] for name in ("m_parts", "l_parts", "divisor_parts")]


def combine_parts(core: asc.Core, gm: asc.GlobalMemory, p: Parameters, vector: PartCore) -> None:
    """Wait until all parts of this die are there, and put this vector core's share of the rows together."""
    await_parts, combine = core.stage(AIV)(vector.await_parts), core.stage(AIV)(vector.combine)
    await_parts()
    task_rows = p.tiling.task_rows
    die, group = divmod(core.index, core.die_blocks)
    groups = min(core.die_blocks, core.count - die * core.die_blocks)
    tiles = [(split, r0) for split in work_of(core, p).splits[die] for r0, _ in asc.tiles(split.rows.rows, ROWS)]
    for split, r0 in tiles[group * core.subs + core.sub :: groups * core.subs]:
        first, rows = split.rows.first + r0, slice(r0, r0 + ROWS)
        numbers = range(split.part, split.part + split.parts)
        statistics = [
            getattr(gm, name)[numbers.start : numbers.stop, rows] for name in ("m_parts", "l_parts", "divisor_parts")
        ]
        o = [gm.o_parts[number * task_rows + r0 : number * task_rows + r0 + ROWS, :] for number in numbers]
        combine(gm.out[first : first + ROWS, :], *statistics, *o)
