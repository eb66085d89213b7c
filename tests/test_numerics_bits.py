"""Packing int4 numbers, and multiplying by powers of two with integer additions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ascend_sim.numerics import exponent_add, pack_int4, rescale_increment, unpack_int4

UNIT = 2**23


@given(
    st.lists(st.floats(2.0**-60, 2.0**60, width=32), min_size=1),
    st.integers(-60, 60),
    st.sampled_from([1.0, -1.0]),
)
def test_exponent_add_multiplies_exactly(values: list[float], n: int, sign: float) -> None:
    """While the exponent stays in range the sum of integers is the product with 2^n, bit for bit."""
    numbers = np.array(values, np.float32) * np.float32(sign)

    assert exponent_add(numbers, n).tobytes() == np.ldexp(numbers, n).tobytes()


def test_exponent_add_broadcasts_rows() -> None:
    """One exponent a row scales a matrix."""
    matrix = np.ones((2, 3), np.float32)

    assert exponent_add(matrix, [[1], [-2]]).tolist() == [[2.0] * 3, [0.25] * 3]


def test_exponent_add_wraps_like_int32() -> None:
    """An exact zero rescaled by 2^-1 wraps below zero: the trap that kernels must guard against."""
    bits = exponent_add(np.zeros(1, np.float32), -1).view(np.int32)

    assert bits.tolist() == [-UNIT]
    assert exponent_add(np.array([np.inf], np.float32), 256).view(np.int32).tolist() == [0x7F800000 - 2**31]


def test_rescale_increment_by_hand() -> None:
    """N follows INT32((max(dn, -30) + eps + 1e-6) 2^23) in fp32 steps.

    dn = 0: 1e-6 x 2^23 = 8.39 -> 8. dn = -30 and eps = 0: fp32 numbers near 30 are 2^-19 apart, so 1e-6 is rounded up
    to one step, 2^-19 x 2^23 = 16. eps = 0.25: steps of 2^-25, so 1e-6 becomes 34 of them, 34 x 2^-25 x 2^23 = 8.5,
    and CAST_ROUND takes the half away from zero: 9.
    """
    assert rescale_increment(0, 0.0) == 8
    assert rescale_increment(-30, 0.0) == -30 * UNIT + 16
    assert rescale_increment(0, 0.25) == UNIT // 4 + 9


def test_rescale_increment_clips_at_minus_30() -> None:
    """A fall of the exponent below -30 rescales by 2^-30, so that the sum cannot leave the exponent's range."""
    assert rescale_increment(-1000, 0.0) == rescale_increment(-30, 0.0)


@pytest.mark.parametrize("delta", [-0.003, -0.001, 0.0, 0.002, 0.004])
def test_rescale_increment_multiplies_within_the_derived_bound(delta: float) -> None:
    """Adding N multiplies any fraction f by 2^dn (1 + 1.5 delta / f): at most |delta| / 2 from 2^dn (1 + delta).

    The bias of 1e-6, the rounding of N (half a unit in the last place at dn = -2) and second order in delta come on
    top.
    """
    fractions = np.linspace(1.01, 1.98, 1000).astype(np.float32)

    increment = rescale_increment(-2, 1.5 * delta)
    rescaled = (fractions.view(np.int32) + increment).view(np.float32).astype(np.float64)

    error = rescaled / (fractions.astype(np.float64) * 2.0**-2 * (1 + delta)) - 1
    assert np.abs(error).max() <= abs(delta) / 2 + 2e-6 + delta**2


def test_int4_numbers_lie_in_the_halves_of_bytes() -> None:
    """The first of two numbers is in bits 0 to 3, in two's complement; numbers beyond the range are saturated."""
    assert pack_int4(np.array([[1, 2, -8, 7], [-1, 0, 100, -100]], np.int8)).tolist() == [[0x21, 0x78], [0x0F, 0x87]]


def test_unpacking_undoes_packing() -> None:
    """Every pair of int4 numbers comes back, in its place."""
    pairs = np.array([[a, b] for a in range(-8, 8) for b in range(-8, 8)], np.int8)

    back = unpack_int4(pack_int4(pairs))

    assert back.dtype == np.int8
    assert back.tolist() == pairs.tolist()
