"""MLA decode on the vector core: softmax over the keys as they pass by, in tiles of a few rows."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ascend_sim import kernel as asc
from ascend_sim.kernel import GlobalTensor, LocalTensor, Pipe, RoundMode, Space, fp32
from attention.mla import FORMATS, Parameters


class VectorCore:
    """The statistics of all rows stay in UB, scores and outputs pass through; the base of each algorithm's own core.

    *wide* says that tiles leave in fp32 even if the output is narrower; *out_buffers* of them at a time.
    """

    def __init__(self, core: asc.Core, p: Parameters, wide: bool = False, out_buffers: int = 2) -> None:
        step, rows = p.tiling.vector_rows, math.ceil(p.tiling.task_rows / core.subs)
        widest = max(asc.padded_columns(p.tiling.task_keys), p.problem.latent_dim)
        self.p, self.step, self.rows, self.dtype = p, step, rows, FORMATS[p.problem.dtype]
        out_bytes = 4 if wide else p.output.bytes
        self.tile_in = core.ring("in", (Space.UB, 4 * step * widest), fill=Pipe.MTE2, drain=Pipe.V)
        out = (Space.UB, out_bytes * step * widest)
        self.tile_out = core.ring("out", out, buffers=out_buffers, fill=Pipe.V, drain=Pipe.MTE3)
        self.scratch = core.tensor("scratch", Space.UB, (step, widest // 4), fp32)
        self.blocks = core.tensor("blocks", Space.UB, (64, 8), fp32)
        # Statistics of the rows: m and l of the last key block; the divisor of the output, in slots by span
        self.m, self.l = (core.tensor(name, Space.UB, rows, fp32) for name in ("row_m", "row_l"))
        self.divisor = core.tensor("divisor", Space.UB, p.slots * rows, fp32)
        # The same for the rows of the tile at hand
        self.m_i, self.temp = (core.tensor(name, Space.UB, step, fp32) for name in ("m_i", "temp"))

    def score_tiles(
        self, s: GlobalTensor, p: GlobalTensor, visible: tuple[tuple[int, int], ...]
    ) -> Iterator[tuple[slice, LocalTensor]]:
        """Rows and scaled scores of each tile of S in UB; what is made of the scores is stored to P as it is left.

        *visible* holds numbers of rows and how many keys these see, from the first row on.
        """
        columns = asc.padded_columns(s.columns)
        for r0, rows in asc.tiles(s.rows, self.step):
            here = slice(r0, r0 + rows)
            with self.tile_in.fill() as buffer:
                asc.data_copy(buffer.tile((rows, columns), fp32)[:, : s.columns], s[here, :])
            with self.tile_in.take() as buffer, self.tile_out.fill() as out:
                x = buffer.tile((rows, columns), fp32)
                hide_keys(x, r0, visible)
                asc.muls(x, x, self.p.problem.softmax_scale)
                yield here, x
                asc.cast(out.tile((rows, columns), self.dtype), x, RoundMode.CAST_RINT)
            with self.tile_out.take() as out:
                asc.data_copy(p[here, :], out.tile((rows, columns), self.dtype)[:, : s.columns])

    def new_maximum(self, x: LocalTensor, here: slice, first_keys: bool) -> None:
        """m_i = max(m_{i-1}, rowmax S_i)."""
        m_i = self.m_i[: x.rows]
        asc.row_max(m_i, x, self.scratch)
        if not first_keys:
            asc.max(m_i, m_i, self.m[here])

    def exponentials(self, x: LocalTensor) -> None:
        """P_i = exp(S_i - m_i)."""
        asc.by_rows(asc.sub, x, self.m_i[: x.rows], self.blocks)
        asc.exp(x, x)

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

    def write_output(self, x: LocalTensor, out: GlobalTensor, divisor: LocalTensor) -> None:
        """Divide each row and write it out in the format of the output."""
        with self.tile_out.fill() as buffer:
            asc.by_rows(asc.div, x, divisor, self.blocks)
            result = buffer.tile(x.shape, out.dtype)
            if out.dtype is fp32:
                asc.copy(result, x)
            else:
                asc.cast(result, x, RoundMode.CAST_RINT)
        with self.tile_out.take() as buffer:
            asc.data_copy(out, buffer.tile(x.shape, out.dtype))

    def of_slot(self, vector: LocalTensor, slot: int, here: slice) -> LocalTensor:
        """The rows *here* of what *vector* holds for the tasks of *slot*."""
        return vector[slot * self.rows + here.start : slot * self.rows + here.stop]


def hide_keys(x: LocalTensor, first: int, visible: tuple[tuple[int, int], ...]) -> None:
    """Fill what the rows of x, from row *first* of those of *visible* on, do not see with -inf."""
    begin = 0
    for rows, keys in visible:
        here, behind = max(first, begin), min(first + x.rows, begin + rows)
        if here < behind:
            asc.fill_columns_from(keys, x[here - first : behind - first, :], -math.inf)
        begin += rows
