"""C = A B on the cube cores, double buffered at every level."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ascend_sim import kernel as asc
from ascend_sim.kernel import AIC, Pipe, Space

Extent = Annotated[int, Field(ge=1)]
FORMATS = {"fp16": asc.fp16, "bf16": asc.bf16, "fp32": asc.fp32, "int8": asc.int8}
OUTPUTS = {"fp32": asc.fp32, "fp16": asc.fp16, "bf16": asc.bf16, "int32": asc.int32}


class Problem(asc.Parameters):
    """C (m, n) = A (m, k) B (k, n), all row-major."""

    m: Extent
    n: Extent
    k: Extent
    dtype: Literal["fp16", "bf16", "fp32", "int8"] = "fp16"
    output: Literal["fp32", "fp16", "bf16", "int32"] = "fp32"


class Tiling(asc.Parameters):
    """A base tile of C is m x n; one GM -> L1 move carries l1_k, one MMAD takes l0_k of the common dimension."""

    m: Extent = 128
    n: Extent = 256
    l1_k: Extent = 256
    l0_k: Extent = 64
    l1_buffers: Extent = 2
    l0_buffers: Extent = 2
    l0c_buffers: Extent = 1
    unit_flag: bool = False


class Parameters(asc.Parameters):
    problem: Problem
    tiling: Tiling = Tiling()


def flops(p: Parameters) -> int:
    """Two operations for each multiply-add."""
    return 2 * p.problem.m * p.problem.n * p.problem.k


def tensors(gm: asc.GlobalMemory, p: Parameters) -> None:
    dtype = FORMATS[p.problem.dtype]
    gm.input("a", (p.problem.m, p.problem.k), dtype)
    gm.input("b", (p.problem.k, p.problem.n), dtype)
    gm.output("c", (p.problem.m, p.problem.n), OUTPUTS[p.problem.output])


@asc.kernel(cores="cube", parameters=Parameters, tensors=tensors, flops=flops)
def gemm(core: asc.Core, gm: asc.GlobalMemory, p: Parameters) -> None:
    """C = A B on the cube cores; the tiles of C are dealt out in turn."""
    problem, tiling = p.problem, p.tiling
    dtype = FORMATS[problem.dtype]
    accumulator = asc.int32 if dtype is asc.int8 else asc.fp32
    m_tile, n_tile = min(tiling.m, problem.m), min(tiling.n, problem.n)
    l1_k = min(tiling.l1_k, problem.k)
    l0_k = min(tiling.l0_k, l1_k)

    a_part, b_part = (Space.L1, (m_tile, l1_k), dtype), (Space.L1, (l1_k, n_tile), dtype)
    a_l1 = core.ring("a_l1", a_part, buffers=tiling.l1_buffers, fill=Pipe.MTE2, drain=Pipe.MTE1)
    b_l1 = core.ring("b_l1", b_part, buffers=tiling.l1_buffers, fill=Pipe.MTE2, drain=Pipe.MTE1)
    l0 = core.ring(
        "l0", (Space.L0A, (m_tile, l0_k), dtype), (Space.L0B, (l0_k, n_tile), dtype),
        buffers=tiling.l0_buffers, fill=Pipe.MTE1, drain=Pipe.M,
    )
    l0c = core.ring(
        "l0c", (Space.L0C, (m_tile, n_tile), accumulator),
        buffers=tiling.l0c_buffers, fill=Pipe.M, drain=Pipe.FIX, unit_flag=tiling.unit_flag,
    )

    @core.stage(AIC)
    def tile_of_c(a: asc.GlobalTensor, b: asc.GlobalTensor, c: asc.GlobalTensor) -> None:
        """One tile of C: the row panel of A times the column panel of B."""
        m, n = c.shape
        depth = a.columns
        with l0c.fill() as accumulate:
            for k1, k1_extent in asc.tiles(depth, l1_k):
                with a_l1.fill() as a_tile:
                    asc.data_copy(a_tile[:m, :k1_extent], a[:, k1 : k1 + k1_extent])
                with b_l1.fill() as b_tile:
                    asc.data_copy(b_tile[:k1_extent, :n], b[k1 : k1 + k1_extent, :])
                with a_l1.take() as a_tile, b_l1.take() as b_tile:
                    for k0, k in asc.tiles(k1_extent, l0_k):
                        with l0.fill() as (left, right):
                            asc.load_data(left[:m, :k], a_tile[:m, k0 : k0 + k])
                            asc.load_data(right[:k, :n], b_tile[k0 : k0 + k, :n])
                        with l0.take() as (left, right):
                            asc.mmad(
                                accumulate[:m, :n], left[:m, :k], right[:k, :n],
                                init=k1 + k0 == 0, last=k1 + k0 + k == depth,
                            )
        with l0c.take() as result:
            asc.fixpipe(c, result[:m, :n])

    c_tiles = [(m, n) for m in asc.tiles(problem.m, m_tile) for n in asc.tiles(problem.n, n_tile)]
    for (m0, m), (n0, n) in core.share(c_tiles):
        tile_of_c(gm.a[m0 : m0 + m, :], gm.b[:, n0 : n0 + n], gm.c[m0 : m0 + m, n0 : n0 + n])
