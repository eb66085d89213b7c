"""Casts against a slow reference in exact rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ascend_sim.errors import UserError
from ascend_sim.numerics import DTYPES, DType, RoundMode, bf16, cast, fp16, fp32, int8, int16, int32, int64, uint8

MANTISSA_BITS_AND_EXPONENTS = {fp32: (23, -126, 127), fp16: (10, -14, 15), bf16: (7, -126, 127)}
MODES = [mode for mode in RoundMode if mode is not RoundMode.CAST_NONE]
NEAREST = (RoundMode.CAST_RINT, RoundMode.CAST_ROUND)

# Ties of fp16 and bf16, neighbours of ties, the edges of subnormals and of the range, zeros.
EDGES = [
    0.0, 0.5, 1.5, 2.5, 0.49999997, 1 / 3, 1.0 + 2**-11, 1.0 + 3 * 2**-11, 1.0 + 2**-11 + 2**-23, 1.0 + 2**-8,
    1.0 + 3 * 2**-8, 2.0**-14, 2.0**-14 - 2.0**-25, 2.0**-24, 2.0**-25, 3 * 2.0**-25, 2.0**-26, 65504.0, 65519.0,
    65520.0, 65536.0, 1e-45, 2.0**-126, 2.0**-134, 3.0e38, 3.3895314e38, 3.3961775e38, 3.4028235e38,
]  # fmt: skip


def round_whole(value: Fraction, mode: RoundMode) -> int:
    """Round an exact number to a whole one, by definition."""
    low = math.floor(value)
    rest = value - low
    if rest == 0:
        return low
    if mode is RoundMode.CAST_FLOOR:
        return low
    if mode is RoundMode.CAST_CEIL:
        return low + 1
    if mode is RoundMode.CAST_TRUNC:
        return low if value > 0 else low + 1
    if rest != Fraction(1, 2):
        return low + (rest > Fraction(1, 2))
    if mode is RoundMode.CAST_RINT:
        return low + low % 2
    return low + 1 if value > 0 else low


def round_float(value: float, to: DType, mode: RoundMode) -> float:
    """Round a finite number to a format, by definition; the result is exact in float64."""
    bits, lowest, highest = MANTISSA_BITS_AND_EXPONENTS[to]
    exact = Fraction(value)
    exponent = lowest
    while exponent < 128 and abs(exact) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    unit = Fraction(2) ** (exponent - bits)
    result = round_whole(exact / unit, mode) * unit
    largest = (2 - Fraction(1, 2**bits)) * 2**highest
    if abs(result) <= largest:
        return float(result)
    outward = RoundMode.CAST_CEIL if exact > 0 else RoundMode.CAST_FLOOR
    return math.copysign(math.inf if mode in (*NEAREST, outward) else float(largest), value)


def assert_narrowed(values: list[float], to: DType, mode: RoundMode) -> None:
    """Compare a cast from fp32 with the reference, number by number, zeros with their sign."""
    source = np.array(values, np.float32)

    actual = cast(source, to, mode)

    expected = [round_float(float(value), to, mode) for value in source]
    assert actual.dtype == to.numpy
    assert [repr(float(number)) for number in actual] == [
        repr(math.copysign(number, value)) for number, value in zip(expected, source, strict=True)
    ]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("to", [fp16, bf16])
def test_narrowing_edges(to: DType, mode: RoundMode) -> None:
    """Ties, subnormals and the ends of the range are rounded as the definition says, on both signs."""
    assert_narrowed([*EDGES, *(-value for value in EDGES)], to, mode)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1), st.sampled_from(MODES))
def test_narrowing_any_fp32_number(values: list[float], mode: RoundMode) -> None:
    """Any fp32 number becomes the bf16 and fp16 number that exact arithmetic gives."""
    assert_narrowed(values, bf16, mode)
    assert_narrowed(values, fp16, mode)


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1), st.sampled_from(MODES))
def test_int32_to_fp32_rounds_once(values: list[int], mode: RoundMode) -> None:
    """An int32 of more than 24 bits is rounded by the mode."""
    actual = cast(np.array(values, np.int32), fp32, mode)

    assert [float(number) for number in actual] == [round_float(value, fp32, mode) for value in values]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1), st.sampled_from(MODES))
def test_int64_to_floats_rounds_once(values: list[int], mode: RoundMode) -> None:
    """An int64 of more than 53 bits is rounded to the format itself, not to float64 first."""
    for to in (fp32, bf16):
        actual = cast(np.array(values, np.int64), to, mode)

        assert [float(number) for number in actual] == [exactly(value, to, mode) for value in values]


@pytest.mark.parametrize("mode", MODES)
def test_int64_beside_a_tie_of_fp32(mode: RoundMode) -> None:
    """2^62 + 2^38 is a tie of fp32 and one more is not, which float64 (steps of 2^10 there) cannot tell."""
    tie = 2**62 + 2**38
    values = [tie, tie + 1, tie - 1, -tie, -tie - 1, -tie + 1, 2**63 - 1, -(2**63), 2**53 + 1]

    actual = cast(np.array(values, np.int64), fp32, mode)

    assert [float(number) for number in actual] == [exactly(value, fp32, mode) for value in values]


def exactly(value: int, to: DType, mode: RoundMode) -> float:
    """Round a whole number to the significant bits of *to*, by definition."""
    unit = Fraction(2) ** max(abs(value).bit_length() - 1 - MANTISSA_BITS_AND_EXPONENTS[to][0], 0)
    return float(round_whole(Fraction(value) / unit, mode) * unit)


def test_int32_ties_to_fp32() -> None:
    """Above 2^24 fp32 holds even numbers only: the odd ones are ties, which go to the even multiple of 2 or away."""
    ties = np.array([2**24 + 1, 2**24 + 3, -(2**24) - 1], np.int32)

    even, away = cast(ties, fp32, RoundMode.CAST_RINT), cast(ties, fp32, RoundMode.CAST_ROUND)

    assert even.tolist() == [2**24, 2**24 + 4, -(2**24)]
    assert away.tolist() == [2**24 + 2, 2**24 + 4, -(2**24) - 2]


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1), st.sampled_from(MODES))
def test_fp32_to_integers_rounds_and_saturates(values: list[float], mode: RoundMode) -> None:
    """A float beyond the range of an integer becomes the nearest end of it, infinities included."""
    for to in (int8, uint8, int16, int32, int64):
        limits = np.iinfo(to.numpy)
        expected = [
            min(max(round_whole(Fraction(value), mode), limits.min), limits.max)
            if math.isfinite(value)
            else (limits.max if value > 0 else limits.min)
            for value in values
        ]

        actual = cast(np.array(values, np.float32), to, mode)

        assert actual.dtype == to.numpy
        assert actual.tolist() == expected


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [fp32, fp16, bf16])
def test_same_format_rounds_to_whole_numbers(dtype: DType, mode: RoundMode) -> None:
    """A float cast to its own format becomes a whole number, ties by the mode, the sign of zero kept."""
    values = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -0.25, 0.75, 100.0, -7.5], dtype.numpy)

    actual = cast(values, dtype, mode)

    expected = [round_whole(Fraction(float(value)), mode) for value in values]
    assert actual.dtype == dtype.numpy
    assert actual.astype(np.float64).tolist() == expected
    assert np.signbit(actual[5])


def test_largest_fp32_below_a_half_is_not_rounded_up() -> None:
    """Half away from zero looks at the exact fraction; adding 0.5 first would give 1 here."""
    assert cast(np.array([np.nextafter(np.float32(0.5), np.float32(0))]), fp32, RoundMode.CAST_ROUND)[0] == 0


@pytest.mark.parametrize("mode", list(RoundMode))
@pytest.mark.parametrize("to", [fp16, bf16])
def test_nan_and_infinities_survive_narrowing(to: DType, mode: RoundMode) -> None:
    """NaN stays NaN and an infinity stays itself, whatever the direction of rounding."""
    payload_in_low_bits = np.array([0x7F800001], np.uint32).view(np.float32)

    actual = cast(np.array([payload_in_low_bits[0], np.nan, np.inf, -np.inf], np.float32), to, mode)

    assert np.isnan(actual.astype(np.float32)).tolist() == [True, True, False, False]
    assert actual.astype(np.float32)[2:].tolist() == [math.inf, -math.inf]


@pytest.mark.parametrize("to", [int8, int16, int32, uint8])
def test_nan_becomes_zero_in_integers(to: DType) -> None:
    """An integer cannot hold a NaN; the conversion writes 0."""
    assert cast(np.array([np.nan], np.float32), to, RoundMode.CAST_RINT).tolist() == [0]


def test_integers_saturate() -> None:
    """An integer too large for the new format becomes its end, also across the sign."""
    assert cast(np.array([300, -300, -1], np.int32), uint8, RoundMode.CAST_NONE).tolist() == [255, 0, 0]
    assert cast(np.array([40000], DTYPES["uint32"].numpy), int16, RoundMode.CAST_NONE).tolist() == [32767]


def test_widening_is_exact() -> None:
    """All bf16 and fp16 numbers come back unchanged from fp32."""
    patterns = np.arange(65536, dtype=np.uint16)
    for dtype in (fp16, bf16):
        numbers = patterns.view(dtype.numpy)
        finite = numbers[np.isfinite(numbers.astype(np.float32))]

        there_and_back = cast(cast(finite, fp32, RoundMode.CAST_NONE), dtype, RoundMode.CAST_TRUNC)

        assert there_and_back.tobytes() == finite.tobytes()


def test_cast_none() -> None:
    """CAST_NONE rounds to nearest even between floats, truncates to integers, and copies within a format."""
    assert float(cast(np.array([1 + 3 * 2**-8], np.float32), bf16, RoundMode.CAST_NONE)[0]) == 1 + 2**-6
    assert cast(np.array([-1.75], np.float32), int32, RoundMode.CAST_NONE).tolist() == [-1]
    assert cast(np.array([1.75], np.float32), fp32, RoundMode.CAST_NONE).tolist() == [1.75]


def test_shapes_are_kept() -> None:
    """Scalars, matrices and strided views keep their shape through the bit path."""
    matrix = np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2]

    assert cast(matrix, bf16, RoundMode.CAST_FLOOR).astype(np.float32).tolist() == matrix.tolist()
    assert cast(np.float32(2.0), fp16, RoundMode.CAST_CEIL).shape == ()


def test_unknown_numpy_type_is_refused() -> None:
    """A NumPy type that the chip does not have is named, with the types that can be cast."""
    with pytest.raises(UserError, match="cast cannot read values of NumPy type uint64; convert them first to float64"):
        cast(np.array([1], np.uint64), fp32, RoundMode.CAST_RINT)
