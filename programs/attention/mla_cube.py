"""MLA decode on the cube core: the products Q K^T and P V in tiles (hierarchical tiling)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ascend_sim import kernel as asc
from ascend_sim.kernel import GlobalTensor, LocalTensor, Pipe, Space, fp32
from attention.matmul import multiply
from attention.mla import C1_DONE, FORMATS, V1_DONE, Parameters


class CubeCore:
    """[C1] and [C2]: L1 holds tiles of K or V in rotation and all of Q or P of a task; L0 and L0C are ping-pong."""

    def __init__(self, core: asc.Core, p: Parameters) -> None:
        t = p.tiling
        self.t, self.dtype, self.part_keys = t, FORMATS[p.problem.dtype], t.task_keys // t.l1_parts
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

    def c1(self, q: GlobalTensor, q_rope: GlobalTensor, s: GlobalTensor, *pages: GlobalTensor) -> None:
        """[C1] S = Q K^T: K tile by K tile, each against all rows of Q, which stay in L1.

        The keys lie one after another in the first half of *pages*, and their rope columns in the second.
        """
        t, latent, rope = self.t, self.part_latent, self.part_rope
        k, k_rope = pages[: len(pages) // 2], pages[len(pages) // 2 :]
        row_tiles, key_tiles = asc.tiles(s.rows, t.l1_rows), asc.tiles(s.columns, t.l1_columns)
        q_tiles = {}
        for n0, n in key_tiles:
            accumulators = [self.l0c.alloc().tile((m, n), fp32) for _, m in row_tiles]
            for part in range(t.l1_parts):
                x, r = slice(part * latent, (part + 1) * latent), slice(part * rope, (part + 1) * rope)
                with self.kv.fill() as buffer:
                    k_tile = buffer.tile((n, latent + rope), self.dtype)
                    copy_tokens(k_tile[:, :latent], k, n0, x)
                    copy_tokens(k_tile[:, latent:], k_rope, n0, r)
                for m0, m in row_tiles if n0 == 0 else []:
                    with self.qp.fill() as buffer:
                        q_tile = q_tiles[m0, part] = buffer.tile((m, latent + rope), self.dtype)
                        asc.data_copy(q_tile[:, :latent], q[m0 : m0 + m, x])
                        asc.data_copy(q_tile[:, latent:], q_rope[m0 : m0 + m, r])
                first, last = part == 0, part == t.l1_parts - 1
                with self.kv.take():
                    for (m0, m), accumulator in zip(row_tiles, accumulators, strict=True):
                        with self.resident(first_use=n0 == 0, last_use=(n0, n) == key_tiles[-1]):
                            multiply(
                                self.l0, accumulator, q_tiles[m0, part], k_tile, t.c1_l0_depth,
                                init=first, last=last, transpose=True,
                            )  # fmt: skip
                        if last:
                            self.l0c.enque()
                            with self.l0c.take():
                                asc.fixpipe(s[m0 : m0 + m, n0 : n0 + n], accumulator)
        asc.cross_core_set_flag(C1_DONE, Pipe.FIX)

    def c2(
        self, p: GlobalTensor, o: GlobalTensor, add: bool, wait_for: int | None, done: int, *pages: GlobalTensor
    ) -> None:
        """[C2] O = P V, or O += P V with *add* by atomic adds: V tile by V tile, each against all rows of P in L1.

        Nothing is stored before the flag *wait_for*, if there is one; *done* tells that all is. V lies in *pages*.
        """
        t = self.t
        row_tiles, column_tiles = asc.tiles(p.rows, t.l1_rows), asc.tiles(o.columns, t.l1_columns)
        key_parts = asc.tiles(p.columns, self.part_keys)
        p_tiles = {}
        asc.cross_core_wait_flag(V1_DONE)
        for n0, n in column_tiles:
            accumulators = [self.l0c.alloc().tile((m, n), fp32) for _, m in row_tiles]
            for k0, k in key_parts:
                with self.kv.fill() as buffer:
                    v_tile = buffer.tile((k, n), self.dtype)
                    copy_tokens(v_tile, pages, k0, slice(n0, n0 + n))
                for m0, m in row_tiles if n0 == 0 else []:
                    with self.qp.fill() as buffer:
                        p_tile = p_tiles[m0, k0] = buffer.tile((m, k), self.dtype)
                        asc.data_copy(p_tile, p[m0 : m0 + m, k0 : k0 + k])
                first, last = k0 == 0, (k0, k) == key_parts[-1]
                with self.kv.take():
                    for (m0, m), accumulator in zip(row_tiles, accumulators, strict=True):
                        with self.resident(first_use=n0 == 0, last_use=(n0, n) == column_tiles[-1]):
                            multiply(
                                self.l0, accumulator, p_tiles[m0, k0], v_tile, t.c2_l0_depth, init=first, last=last
                            )
                        if last:
                            if wait_for is not None and (n0, m0) == (0, 0):
                                asc.cross_core_wait_flag(wait_for)
                            self.l0c.enque()
                            with self.l0c.take():
                                asc.fixpipe(o[m0 : m0 + m, n0 : n0 + n], accumulator, atomic_add=add)
        asc.cross_core_set_flag(done, Pipe.FIX)

    @contextmanager
    def resident(self, first_use: bool, last_use: bool) -> Iterator[None]:
        """A tile of Q or P is waited for where it is first used and given back where it is last used."""
        if first_use:
            self.qp.deque()
        yield
        if last_use:
            self.qp.free()


def copy_tokens(tile: LocalTensor, pages: tuple[GlobalTensor, ...], first: int, columns: slice) -> None:
    """Fill *tile* with *columns* of the tokens from *first* on, of the *pages* one after another."""
    begin = 0
    for page in pages:
        here, behind = max(first, begin), min(first + tile.rows, begin + page.rows)
        if here < behind:
            asc.data_copy(tile[here - first : behind - first, :], page[here - begin : behind - begin, columns])
        begin += page.rows
