"""Work on bits: int4 numbers in bytes, and multiplying floats by powers of two with integer additions (AMLA).

An fp32 number with sign S, exponent field E and fraction field M, read as an int32, is
I = M + 2^23 E - 2^31 S. Adding n 2^23 to I adds n to the exponent field and leaves sign and fraction alone.
So it multiplies the number by 2^n, exactly, as long as the exponent field stays between 1 and 254. Global
memory can add integers atomically but cannot multiply, which is why attention kernels rescale their
accumulator this way (AMLA, arXiv 2509.25224).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ascend_sim.numerics.casts import RoundMode, cast
from ascend_sim.numerics.formats import int32

EXPONENT_UNIT = 1 << 23
"""One step of the exponent field of an fp32 number, read as an integer."""

LOWEST_DIFFERENCE = -30
"""AMLA clips the exponent difference here: a smaller factor than 2^-30 is lost in an fp32 sum anyway."""

INCREMENT_BIAS = 1e-6
"""AMLA adds this to every increment; it is worth 1e-6 x 2^23 = 8.4 units in the last place."""


def exponent_add(values: NDArray[np.float32], n: ArrayLike) -> NDArray[np.float32]:
    """Return AS_FP32(AS_INT32(values) + n 2^23), which is values 2^n while the exponent stays in range.

    *values* is fp32, *n* whole numbers that broadcast to its shape. Outside the range, and for an exact zero,
    the result is what a wrapping integer addition leaves: a number, but not the product.
    """
    steps = np.asarray(n, dtype=np.int64) * EXPONENT_UNIT
    sums = np.asarray(values, dtype=np.float32).view(np.int32).astype(np.int64) + steps
    return np.asarray(sums.astype(np.int32)).view(np.float32)


def rescale_increment(n_difference: ArrayLike, epsilon: ArrayLike) -> NDArray[np.int32]:
    """Return N = INT32((max(n_difference, -30) + epsilon + 1e-6) 2^23), the rescale of an accumulator row.

    Adding N to the bits of an fp32 accumulator multiplies it by about 2^n_difference (1 + delta). Here
    *n_difference* = n_i - n_(i-1) <= 0 is the change of the power-of-two exponent of the row and *epsilon* =
    1.5 delta its compensation, where 1 + delta = C_(i-1) / C_i is the change of the ratio between the
    residual factor of the row and the bf16 number it is rounded to.

    Why 1.5: adding k delta 2^23 moves the significand f in [1, 2) of a number by k delta, so it multiplies
    the number by 1 + k delta / f. One increment serves numbers of every f; k = 1.5 is the middle of their
    range and keeps the error of each within delta / 2.

    Shapes broadcast. All steps are fp32 in the order of the published kernels (clip, epsilon plus bias, sum,
    product, Cast with CAST_ROUND), so for |n_difference| >= 4 the small terms lose bits as they do there.
    """
    clipped = np.maximum(np.asarray(n_difference, dtype=np.float32), np.float32(LOWEST_DIFFERENCE))
    correction = np.asarray(epsilon, dtype=np.float32) + np.float32(INCREMENT_BIAS)
    increment: NDArray[Any] = np.asarray((clipped + correction) * np.float32(EXPONENT_UNIT))
    return cast(increment, int32, RoundMode.CAST_ROUND)


def pack_int4(values: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Return *values* of shape (..., 2 n) as bytes of shape (..., n), neighbours sharing one, the first in bits 0 to 3.

    Numbers beyond -8..7 are saturated. That the first number is the lower half is how the vendor's int4b_t is
    understood here; no document was found that says so.
    """
    halves = np.clip(values, -8, 7).astype(np.uint8) & np.uint8(0xF)
    return np.asarray(halves[..., ::2] | (halves[..., 1::2] << np.uint8(4)))


def unpack_int4(values: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Return the numbers of shape (..., 2 n) that `pack_int4` has put into bytes of shape (..., n)."""
    pairs = np.stack((values << np.uint8(4), values), axis=-1).view(np.int8)
    return np.asarray(pairs >> np.int8(4)).reshape(*values.shape[:-1], -1)
