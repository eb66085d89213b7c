"""Attention over whole sequences, the matrix products: Q stays in L1 for its block of rows, all else passes through."""

from __future__ import annotations

from ascend_sim import kernel as asc
from ascend_sim.kernel import DType, GlobalTensor, LocalTensor, Pipe, Space, fp32
from attention.forward import P_FREE, P_READY, S_FREE, S_READY, T_FREE, T_READY, Tiling, Turn
from attention.matmul import multiply


class CubeCore:
    """[QK] and [PV]: Q stays in L1 for its block, sub-tiles of K, P and V pass through; everything is ping-pong."""

    queries: LocalTensor  # the rows of Q of the block at hand

    def __init__(self, core: asc.Core, t: Tiling, rows: int, head_dim: int, dtype: DType) -> None:
        l0_rows, columns = min(rows, t.sub_rows), max(t.sub_keys, t.sub_columns)
        self.l0_rows = l0_rows
        q, k = (Space.L1, (rows, head_dim), dtype), (Space.L1, (t.sub_keys, head_dim), dtype)
        probabilities, v = (Space.L1, (rows, t.sub_keys), dtype), (Space.L1, (t.sub_keys, head_dim), dtype)
        l0a, l0b = (Space.L0A, 2 * l0_rows * t.l0_depth), (Space.L0B, 2 * t.l0_depth * columns)
        l0c = (Space.L0C, 4 * l0_rows * columns)
        self.tiling = t
        self.q = core.ring("q", q, fill=Pipe.MTE2, drain=Pipe.MTE1)
        self.k = core.ring("k", k, buffers=t.l1_buffers, fill=Pipe.MTE2, drain=Pipe.MTE1)
        self.p_and_v = core.ring("p_and_v", probabilities, v, buffers=t.l1_buffers, fill=Pipe.MTE2, drain=Pipe.MTE1)
        self.l0 = core.ring("l0", l0a, l0b, buffers=t.l0_buffers, fill=Pipe.MTE1, drain=Pipe.M)
        self.l0c = core.ring(
            "l0c", l0c, buffers=t.l0c_buffers, fill=Pipe.M, drain=Pipe.FIX, unit_flag=t.unit_flag
        )  # fmt: skip

    def begin_block(self, q: GlobalTensor) -> None:
        """Load the rows of Q of a block; they stay in L1 until its last tile."""
        with self.q.fill() as buffer:
            asc.data_copy(buffer[: q.rows, :], q)
        self.queries = self.q.deque()[: q.rows, :]

    def end_block(self) -> None:
        """Give the rows of Q back."""
        self.q.free()

    def qk(self, k: GlobalTensor, s: GlobalTensor, turn: Turn) -> None:
        """[QK] S = Q K^T, in the format of s."""
        t, q = self.tiling, self.queries
        row_tiles = asc.tiles(q.rows, self.l0_rows)
        if turn.waits:
            asc.cross_core_wait_flag(S_FREE)
        for n0, n in asc.tiles(k.rows, t.sub_keys):
            with self.k.fill() as buffer:
                asc.data_copy(buffer[:n, :], k[n0 : n0 + n, :])
            keys = self.k.deque()[:n, :]
            for m0, m in row_tiles:
                with self.l0c.fill() as buffer:
                    sums = buffer.tile((m, n), fp32)
                    multiply(self.l0, sums, q[m0 : m0 + m, :], keys, t.l0_depth, transpose=True)
                if (m0, m) == row_tiles[-1]:
                    self.k.free()
                with self.l0c.take():
                    asc.fixpipe(s[m0 : m0 + m, n0 : n0 + n], sums)
        asc.cross_core_set_flag(S_READY, Pipe.FIX)

    def pv(self, p: GlobalTensor, v: GlobalTensor, t: GlobalTensor, turn: Turn) -> None:
        """[PV] T = P V, summed over the sub-tiles of keys and written in the format of t."""
        tiling, sub_keys = self.tiling, asc.tiles(v.rows, self.tiling.sub_keys)
        row_tiles, columns = asc.tiles(p.rows, self.l0_rows), asc.tiles(v.columns, tiling.sub_columns)
        places = [(slice(m0, m0 + m), slice(n0, n0 + n)) for m0, m in row_tiles for n0, n in columns]
        products = [self.l0c.alloc().tile((m, n), fp32) for _, m in row_tiles for _, n in columns]
        for k0, k in sub_keys:
            with self.p_and_v.fill() as (left, right):
                asc.data_copy(right[:k, :], v[k0 : k0 + k, :])
                if k0 == 0:
                    asc.cross_core_wait_flag(P_READY)
                asc.data_copy(left[: p.rows, :k], p[:, k0 : k0 + k])
            left, right = self.p_and_v.deque()
            last = (k0, k) == sub_keys[-1]
            for place, product in zip(places, products, strict=True):
                a, b = left[place[0], :k], right[:k, place[1]]
                multiply(self.l0, product, a, b, tiling.l0_depth, init=k0 == 0, last=last)
                if place == places[-1]:
                    self.p_and_v.free()
                    if last and turn.frees:
                        asc.cross_core_set_flag(P_FREE, Pipe.MTE2)
                if last:
                    if turn.waits and place == places[0]:
                        asc.cross_core_wait_flag(T_FREE)
                    self.l0c.enque()
                    with self.l0c.take():
                        asc.fixpipe(t[place], product)
        asc.cross_core_set_flag(T_READY, Pipe.FIX)
