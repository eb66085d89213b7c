"""Attention over whole sequences, the vector cores: how they share rows, and the stages around a softmax."""

from __future__ import annotations

import math
from typing import NamedTuple

from ascend_sim import kernel as asc
from ascend_sim.isa.operands import round_up
from ascend_sim.kernel import DType, GlobalTensor, LocalTensor, Pipe, RoundMode, Space, fp16
from attention.forward import P_FREE, P_READY, S_FREE, S_READY, T_FREE, T_READY, Tiling, Turn


class Part(NamedTuple):
    """Some *rows* of a tile: *here* among those of a vector core, *there* among those of the tile."""

    rows: int
    here: slice
    there: slice


class VectorCore:
    """[P] and [GU] for its share of the rows; O and the statistics of the rows stay in UB, in the format *wide*.

    S arrives in the format *scores*, P and the output leave in that of *out*. How P is made of S, and what becomes of
    T, is up to `softmax_of`, `rescale` and `accumulate` of an algorithm.

    An instruction that needs the result of the one before it leaves the vector unit idle until that is visible. So
    the sub-tiles in UB are walked in step, operation by operation, with the statistics of their rows in between.
    """

    def __init__(
        self, core: asc.Core, t: Tiling, rows: int, step: int, head_dim: int, slots: int,
        *, scores: DType, wide: DType, out: DType,
    ) -> None:  # fmt: skip
        buffers, block = t.ub_buffers, 32 // wide.bytes
        self.sub, self.subs, self.step = core.sub, core.subs, step
        self.rows = round_up(math.ceil(rows / core.subs), block)
        self.in_step = buffers if scores == wide else math.ceil(self.rows / step)
        self.scores, self.wide, self.out = scores, wide, out
        self.columns = asc.padded_columns(t.keys)
        columns, folded = self.pitch(self.columns), asc.folded_columns(self.columns, wide)
        widest = max(columns, head_dim)
        s, product = (Space.UB, scores.bytes * step * columns), (Space.UB, wide.bytes * step * head_dim)
        self.s = core.ring("s", s, buffers=buffers, fill=Pipe.MTE2, drain=Pipe.V)
        self.t = core.ring("t", product, buffers=buffers, fill=Pipe.MTE2, drain=Pipe.V)
        self.result = core.ring(
            "result", (Space.UB, out.bytes * step * widest), buffers=buffers, fill=Pipe.V, drain=Pipe.MTE3
        )  # fmt: skip
        self.o = core.tensor("o", Space.UB, (self.rows, head_dim), wide)
        # Rows after the first step of a reduction, and what the further steps take
        self.folded = core.buffer("folded", Space.UB, wide.bytes * self.rows * folded)
        self.scratch = core.tensor("scratch", Space.UB, self.rows * (block if wide == fp16 else 3 * folded // 4), wide)
        self.blocks = core.tensor("blocks", Space.UB, (self.rows, block), wide)
        self.divisor = self.vector(core, "divisor", slots)

    def vector(self, core: asc.Core, name: str, slots: int = 1) -> LocalTensor:
        """A number for each row; with *slots*, for those of so many tiles, from one stage to another one."""
        return core.tensor(name, Space.UB, slots * self.rows, self.wide)

    def pitch(self, columns: int) -> int:
        """Columns of a tile for *columns* of S or P: fp16 rows are staggered, since blocks of them are combined."""
        return asc.staggered_columns(columns, fp16) if self.wide == fp16 else columns

    def tile(self, buffer: asc.Buffer, rows: int, columns: int, dtype: DType) -> LocalTensor:
        """(rows, columns) over *buffer*."""
        return buffer.tile((rows, self.pitch(columns)), dtype)[:, :columns]

    def parts(self, rows: int) -> list[Part]:
        """This core's share of the *rows* of a tile, in sub-tiles; the last core may have none of a few rows."""
        each = math.ceil(rows / self.subs)
        begin = min(self.sub * each, rows)
        spans = asc.tiles(min(each, rows - begin), self.step)
        return [Part(r, slice(r0, r0 + r), slice(begin + r0, begin + r0 + r)) for r0, r in spans]

    def load_scores(self, s: GlobalTensor, turn: Turn) -> None:
        """[P] Begin to load S once it is there, and a slot for P is free."""
        asc.cross_core_wait_flag(S_READY)
        if turn.waits:
            asc.cross_core_wait_flag(P_FREE)
        self.load_in_step(s, self.parts(s.rows)[: self.in_step])

    def weigh(self, s: GlobalTensor, p: GlobalTensor, turn: Turn) -> None:
        """[P] P of S, which is on its way, for as many sub-tiles in step as UB holds."""
        parts = self.parts(s.rows)
        for first, count in asc.tiles(len(parts), self.in_step):
            in_step = parts[first : first + count]
            if first > 0:
                self.load_in_step(s, in_step)
            self.softmax_of(in_step, s, p, turn)
        asc.cross_core_set_flag(P_READY, Pipe.MTE3)
        if turn.frees:
            asc.cross_core_set_flag(S_FREE, Pipe.MTE2)

    def load_in_step(self, s: GlobalTensor, parts: list[Part]) -> None:
        """Load S of *parts*; what has to be cast is loaded sub-tile by sub-tile, in turn with the casts."""
        for part in parts if self.scores == self.wide else []:
            self.load(s[part.there, :])

    def load(self, s: GlobalTensor) -> None:
        """Fetch S of a sub-tile."""
        with self.s.fill() as buffer:
            x = self.tile(buffer, s.rows, asc.padded_columns(s.columns), self.scores)
            asc.data_copy(x[:, : s.columns], s)

    def softmax_of(self, parts: list[Part], s: GlobalTensor, p: GlobalTensor, turn: Turn) -> None:
        """P of *parts* in step; leave what `rescale` and `accumulate` need.

        S of the parts is loaded, unless it has to be cast, which makes room for that of the next part.
        """
        raise NotImplementedError

    def rescale(self, o: LocalTensor, turn: Turn) -> None:
        """O of all rows before T is added."""
        raise NotImplementedError

    def accumulate(self, o: LocalTensor, t: LocalTensor, part: Part) -> None:
        """Add T of a part to O."""
        raise NotImplementedError

    def hide(self, x: LocalTensor, keys: int, part: Part, turn: Turn, value: float) -> None:
        """Write *value* over what is no key, or a key that its row does not see."""
        if turn.sees is not None:
            asc.fill_above_diagonal(turn.sees + part.there.start, x, value)
        asc.fill_columns_from(keys, x, value)

    def exponential(self, x: LocalTensor) -> LocalTensor:
        """exp(x): in place if it is to be rounded to the format of P, else in the buffer that P leaves from."""
        y = x if self.wide != self.out else self.tile(self.result.alloc(), x.rows, x.columns, self.out)
        asc.exp(y, x)
        return y

    def sum_and_round(self, sums: LocalTensor, x: LocalTensor) -> None:
        """The first step of the row sums of exp(x), which goes to the buffer that P leaves from."""
        if self.wide != self.out:
            asc.cast(self.tile(self.result.alloc(), x.rows, x.columns, self.out), x, RoundMode.CAST_RINT)
        asc.fold_sum(sums, x)
        self.result.enque()

    def store(self, p: GlobalTensor, columns: int) -> None:
        """P of the next sub-tile of *columns* leaves, without the columns that are no keys."""
        with self.result.take() as buffer:
            asc.data_copy(p, self.tile(buffer, p.rows, columns, self.out)[:, : p.columns])

    def load_product(self, t: GlobalTensor) -> None:
        """[GU] Begin to load T once it is there: as many sub-tiles as there are buffers."""
        asc.cross_core_wait_flag(T_READY)
        for part in self.parts(t.rows)[: self.t.depth]:
            self.load_part_of_product(t[part.there, :])

    def load_part_of_product(self, t: GlobalTensor) -> None:
        """Fetch T of a sub-tile."""
        with self.t.fill() as buffer:
            asc.data_copy(buffer.tile(t.shape, self.wide), t)

    def rescale_output(self, t: GlobalTensor, turn: Turn) -> None:
        """[GU] O of the rows of T, before T is added."""
        parts = self.parts(t.rows)
        if parts and not turn.first:
            self.rescale(self.o[: parts[-1].here.stop, :], turn)

    def add_product(self, t: GlobalTensor, out: GlobalTensor, turn: Turn) -> None:
        """[GU] Add T, which is on its way, to O; after the last keys O / l is the output."""
        parts = self.parts(t.rows)
        for number, part in enumerate(parts):
            o = self.o[part.here, :]
            with self.t.take() as buffer:
                product = buffer.tile(o.shape, self.wide)
                if turn.first:
                    asc.copy(o, product)
                else:
                    self.accumulate(o, product, part)
            for later in parts[number + self.t.depth :][:1]:
                self.load_part_of_product(t[later.there, :])
        if turn.last:
            self.write_output(out, parts, turn.slot)
        if turn.frees:
            asc.cross_core_set_flag(T_FREE, Pipe.MTE2)

    def write_output(self, out: GlobalTensor, parts: list[Part], slot: int) -> None:
        """O / l, rounded to the format of the output."""
        if parts:
            rows = slice(0, parts[-1].here.stop)
            self.to_blocks(self.of_slot(self.divisor, slot), rows)
            asc.div(self.o[rows, :], self.o[rows, :], self.blocks[rows, :])
        for part in parts:
            o = self.o[part.here, :]
            with self.result.fill() as buffer:
                if self.wide == self.out:
                    asc.copy(buffer.tile(o.shape, self.out), o)
                else:
                    asc.cast(buffer.tile(o.shape, self.out), o, RoundMode.CAST_RINT)
            with self.result.take() as buffer:
                asc.data_copy(out[part.there, :], buffer.tile(o.shape, self.out))

    def of_slot(self, vector: LocalTensor, slot: int) -> LocalTensor:
        """What *vector* holds for the rows of the tile in *slot*."""
        return vector[slot * self.rows : (slot + 1) * self.rows]

    def to_blocks(self, vector: LocalTensor, rows: slice, blocks: LocalTensor | None = None) -> None:
        """Fill a block a row with the elements of *vector* for *rows*, to be applied to the whole row."""
        filled = slice(rows.start, math.ceil(rows.stop / 8) * 8)  # brcb fills eight rows at a time
        asc.brcb((self.blocks if blocks is None else blocks)[filled, :], vector[filled])
