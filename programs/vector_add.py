"""z = x + y on the vector cores: the smallest complete kernel."""

from __future__ import annotations

from pydantic import PositiveInt

from ascend_sim import kernel as asc


class Problem(asc.Parameters):
    length: PositiveInt
    tile: PositiveInt = 8192


class Parameters(asc.Parameters):
    problem: Problem


def tensors(gm: asc.GlobalMemory, p: Parameters) -> None:
    gm.input("x", (p.problem.length,), asc.fp32)
    gm.input("y", (p.problem.length,), asc.fp32)
    gm.output("z", (p.problem.length,), asc.fp32)


@asc.kernel(cores="vector", parameters=Parameters, tensors=tensors, flops=lambda p: p.problem.length)
def vector_add(core: asc.Core, gm: asc.GlobalMemory, p: Parameters) -> None:
    """z = x + y; the tiles are dealt out to the vector cores in turn."""
    slot = (asc.Space.UB, p.problem.tile, asc.fp32)
    xy = core.ring("xy", slot, slot, fill=asc.Pipe.MTE2, drain=asc.Pipe.V)
    z = core.ring("z", slot, fill=asc.Pipe.V, drain=asc.Pipe.MTE3)
    for begin in core.share(range(0, p.problem.length, p.problem.tile)):
        n = min(p.problem.tile, p.problem.length - begin)
        with xy.fill() as (left, right):
            asc.data_copy(left[:n], gm.x[begin : begin + n])
            asc.data_copy(right[:n], gm.y[begin : begin + n])
        with xy.take() as (left, right), z.fill() as total:
            asc.add(total[:n], left[:n], right[:n])
        with z.take() as total:
            asc.data_copy(gm.z[begin : begin + n], total[:n])
