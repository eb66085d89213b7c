"""Conversions between number formats with the rounding modes of the vector unit's Cast."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ascend_sim.errors import UserError
from ascend_sim.numerics.formats import DTYPES, DType, bf16, fp16, fp32, int64


class RoundMode(Enum):
    """How a conversion rounds a value that the new format cannot hold (Ascend C: RoundMode).

    CAST_RINT is to nearest, ties to even; CAST_ROUND to nearest, ties away from zero; CAST_FLOOR is towards
    minus infinity, CAST_CEIL towards plus infinity, CAST_TRUNC towards zero. CAST_NONE is meant for exact
    conversions; see `cast` for what it does elsewhere.
    """

    CAST_NONE = "CAST_NONE"
    CAST_RINT = "CAST_RINT"
    CAST_FLOOR = "CAST_FLOOR"
    CAST_CEIL = "CAST_CEIL"
    CAST_ROUND = "CAST_ROUND"
    CAST_TRUNC = "CAST_TRUNC"


_MANTISSA_BITS_AND_BIAS = {fp32: (23, 127), fp16: (10, 15), bf16: (7, 127)}

_FORMAT_OF = {dtype.numpy: dtype for dtype in DTYPES.values() if dtype.numbers == 1}


def cast(values: NDArray[Any], to: DType, mode: RoundMode) -> NDArray[Any]:
    """Convert *values* of any shape to the format *to*, rounding by *mode*.

    - float to float of another format: rounded once by *mode*, subnormals included. Beyond the largest finite
      number IEEE 754-2019 (section 7.4) applies: the nearest modes give infinity, the directed modes give it
      only in their own direction. A NaN stays a (quiet) NaN.
    - float to the same float format: rounded to a whole number, as Cast fp32 -> fp32 does; CAST_NONE copies.
    - float to integer: rounded to a whole number, then saturated; NaN becomes 0.
    - integer to float: rounded once by *mode*; integer to integer: saturated.

    Where CAST_NONE meets a conversion that needs rounding, it acts as CAST_RINT for a float result and as
    CAST_TRUNC for an integer one. That is an assumption (no source found): state a mode where it matters.

    Raise a UserError if the values are in none of the chip's formats, or float64 for references. Packed formats
    (int4x2) are not cast but packed, see `pack_int4`.
    """
    values = np.asarray(values)
    source = _FORMAT_OF.get(values.dtype)
    if source is None and values.dtype != np.float64:
        raise UserError(
            f"cast cannot read values of NumPy type {values.dtype}; convert them first to float64 or to one "
            f"of {', '.join(map(str, _FORMAT_OF.values()))}"
        )
    from_float = source is None or source.is_float
    with np.errstate(all="ignore"):
        if to.is_float:
            if source == to:
                return values.copy() if mode is RoundMode.CAST_NONE else _to_whole(values, mode)
            return _to_float(values, source, to, RoundMode.CAST_RINT if mode is RoundMode.CAST_NONE else mode)
        if from_float:
            whole = _to_whole(values.astype(np.float64), RoundMode.CAST_TRUNC if mode is RoundMode.CAST_NONE else mode)
            return _saturate(np.where(np.isnan(whole), 0.0, whole), to)
        return _saturate(values.astype(np.int64), to)


def _saturate(values: NDArray[Any], to: DType) -> NDArray[Any]:
    limits = np.iinfo(to.numpy)
    if values.dtype == np.int64:
        return np.asarray(np.clip(values, limits.min, limits.max), dtype=to.numpy)
    # As a float64, the end of int64 is 2^63, which is beyond it: so the end is put in as an integer.
    above = values >= float(limits.max)
    inside = np.where(above, 0.0, np.maximum(values, float(limits.min))).astype(np.int64)
    return np.asarray(np.where(above, limits.max, inside), dtype=to.numpy)


def _to_whole(values: NDArray[Any], mode: RoundMode) -> NDArray[Any]:
    """Round to whole numbers, in the format of *values*; x - trunc(x) is exact, so the half-way test is."""
    wide = values.astype(np.float32) if values.dtype == bf16.numpy else values
    if mode is RoundMode.CAST_RINT:
        whole = np.rint(wide)
    elif mode is RoundMode.CAST_FLOOR:
        whole = np.floor(wide)
    elif mode is RoundMode.CAST_CEIL:
        whole = np.ceil(wide)
    else:
        whole = np.trunc(wide)
        if mode is RoundMode.CAST_ROUND:
            away = (np.abs(wide - whole) >= 0.5).astype(wide.dtype)
            whole = whole + np.copysign(away, wide)
    return np.asarray(whole).astype(values.dtype)


def _to_float(values: NDArray[Any], source: DType | None, to: DType, mode: RoundMode) -> NDArray[Any]:
    if mode is RoundMode.CAST_RINT and source is not None and source.is_float:
        # The libraries round fp32 to nearest even in one step, several times faster than the bit path.
        return values.astype(np.float32).astype(to.numpy)
    if source == int64:
        values = _shortened(values)
    return _round_bits(values.astype(np.float64), to, mode)


def _shortened(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """*values* with at most 53 bits, so that float64 holds them, which round to every shorter format as they do.

    Of numbers from 2^53 on the last 11 bits are dropped, and the last one kept is set if any of them was (rounding
    to odd): the result is on the same side of every number, and of every tie, of a format of up to 51 bits.
    """
    dropped = np.int64((1 << 11) - 1)
    odd = (values & ~dropped) | np.where(values & dropped, dropped + 1, 0)
    return np.where((values >= 1 << 53) | (values <= -(1 << 53)), odd, values)


def _round_bits(values: NDArray[np.float64], to: DType, mode: RoundMode) -> NDArray[Any]:
    """Round float64 *values* to *to* on their bits; float64 holds every value of the chip's formats exactly.

    The significand is shifted right until its last bit is worth one unit of the result; the bits shifted out
    decide about an increment of the packed result, which carries into the exponent by itself.
    """
    mantissa_bits, bias = _MANTISSA_BITS_AND_BIAS[to]
    bits = np.ascontiguousarray(values).view(np.uint64).reshape(values.shape)
    negative = (bits >> np.uint64(63)).astype(bool)
    biased = ((bits >> np.uint64(52)) & np.uint64(0x7FF)).astype(np.int64)
    fraction = (bits & np.uint64((1 << 52) - 1)).astype(np.int64)
    significand = np.where(biased > 0, fraction | (1 << 52), fraction)
    exponent = biased - 1023 + bias
    subnormal_shift = np.maximum(1 - exponent, 0)
    shift = np.minimum(52 - mantissa_bits + subnormal_shift, 62)
    kept = significand >> shift
    lost = significand - (kept << shift)
    packed = ((np.maximum(exponent, 1) - 1) << mantissa_bits) + kept
    packed += _increments(packed, lost, np.int64(1) << (shift - 1), negative, mode)
    infinity = ((1 << (to.bytes * 8 - 1 - mantissa_bits)) - 1) << mantissa_bits
    largest = np.full_like(packed, infinity) - _stays_finite(negative, mode)
    packed = np.minimum(packed, largest)
    packed = np.where(np.isinf(values), infinity, packed)
    packed = np.where(np.isnan(values), infinity | (1 << (mantissa_bits - 1)), packed)
    packed |= negative.astype(np.int64) << (to.bytes * 8 - 1)
    return np.asarray(packed.astype(np.uint16 if to.bytes == 2 else np.uint32)).view(to.numpy)


def _stays_finite(negative: NDArray[np.bool_], mode: RoundMode) -> NDArray[np.bool_]:
    """Where a value beyond the largest finite number becomes that number and not infinity."""
    if mode is RoundMode.CAST_TRUNC:
        return np.ones_like(negative)
    if mode in (RoundMode.CAST_FLOOR, RoundMode.CAST_CEIL):
        return np.asarray(negative == (mode is RoundMode.CAST_CEIL))
    return np.zeros_like(negative)


def _increments(
    packed: NDArray[Any], lost: NDArray[Any], half: NDArray[Any], negative: NDArray[np.bool_], mode: RoundMode
) -> NDArray[np.int64]:
    """1 where the magnitude *packed* must grow by one unit because of the bits *lost*, else 0."""
    if mode is RoundMode.CAST_RINT:
        up = (lost > half) | ((lost == half) & (packed % 2 == 1))
    elif mode is RoundMode.CAST_ROUND:
        up = lost >= half
    elif mode is RoundMode.CAST_TRUNC:
        up = np.zeros_like(negative)
    else:
        up = (lost > 0) & (negative == (mode is RoundMode.CAST_FLOOR))
    return np.asarray(up, dtype=np.int64)
