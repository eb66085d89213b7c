"""The innermost level of every matrix product: tiles of L1 through L0 into an accumulator in L0C."""

from __future__ import annotations

from ascend_sim import kernel as asc
from ascend_sim.kernel import LocalTensor, Ring


def multiply(
    l0: Ring, accumulator: LocalTensor, left: LocalTensor, right: LocalTensor, depth: int,
    *, init: bool = True, last: bool = True, transpose: bool = False,
) -> None:
    """Accumulate left x right (x right^T with *transpose*), *depth* columns of left at a time.

    *l0* is a ring of raw buffers in L0A and L0B. The accumulator (rows of left, columns of the product) is begun anew
    with *init*; *last* says that nothing more will be added to it.
    """
    for k0, k in asc.tiles(left.columns, depth):
        with l0.fill() as (l0a, l0b):
            a, b = l0a.tile((left.rows, k), left.dtype), l0b.tile((k, accumulator.columns), left.dtype)
            asc.load_data(a, left[:, k0 : k0 + k])
            asc.load_data(b, right[:, k0 : k0 + k] if transpose else right[k0 : k0 + k, :], transpose=transpose)
        with l0.take():
            asc.mmad(accumulator, a, b, init=init and k0 == 0, last=last and k0 + k == left.columns)
