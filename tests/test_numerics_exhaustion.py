"""The identity behind AMLA by exhaustion: AS_FP32(AS_INT32(x) + n 2^23) is x 2^n where x and x 2^n are normal.

The sweeps compare all 2^23 fractions of 6 exponents and both signs at 4 values of n, and 1,027 fractions of all 256
exponents and both signs at 83 values of n: 446,296,576 sums with as many products.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ascend_sim.numerics import exponent_add

FRACTIONS = 1 << 23
SIGN = 1 << 31
INFINITY = 255

SWEPT = (0, 1, 31, 127, 254, INFINITY)
"""Exponent fields of which every fraction is tried: the ends of the normal ones and beyond, 30 from an end, middle."""
STEPS = (-30, -1, 1, 30)
BEYOND = (31, 60, 100, 126, 127, 128, 200, 253, 254, 255, 256)
"""Steps of either sign beyond those of AMLA, which lead out of the range of most exponents."""
ALL_STEPS = (*range(-30, 31), *BEYOND, *(-n for n in BEYOND))

Bits = NDArray[np.uint32]


def sums_and_products(bits: Bits, n: int) -> tuple[Bits, Bits]:
    """Bits of AS_FP32(AS_INT32(x) + n 2^23), and of x 2^n rounded once, by way of float64, which holds x 2^n."""
    x = bits.view(np.float32)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        product = np.ldexp(x.astype(np.float64), n).astype(np.float32)
    return exponent_add(x, n).view(np.uint32), product.view(np.uint32)


def expect_identity_where_normal(bits: Bits, exponent: int, n: int) -> None:
    """Compare sums and products of numbers with one *exponent* field.

    They agree where both are normal, and for n = 0. Anywhere else the sum is another number, with one exception:
    a power of two whose exponent reaches 255 becomes infinite, as its product does.
    """
    found, product = sums_and_products(bits, n)
    same = found == product
    if n == 0:
        assert same[~np.isnan(bits.view(np.float32))].all()
    elif 1 <= exponent < INFINITY and 1 <= exponent + n < INFINITY:
        assert same.all(), f"exponent field {exponent}, n {n}"
    else:
        lucky = (bits % FRACTIONS == 0) & (1 <= exponent < INFINITY) & (exponent + n == INFINITY)
        assert np.array_equal(same, lucky), f"exponent field {exponent}, n {n}"


@pytest.mark.parametrize("sign", [0, SIGN], ids=["positive", "negative"])
@pytest.mark.parametrize("exponent", SWEPT)
def test_every_fraction(exponent: int, sign: int) -> None:
    """All numbers of an exponent field are multiplied exactly where theory says, and nowhere else."""
    bits = np.arange(FRACTIONS, dtype=np.uint32) + np.uint32(sign + exponent * FRACTIONS)

    for n in STEPS:
        expect_identity_where_normal(bits, exponent, n)


def test_every_exponent() -> None:
    """The same for all exponent fields and all steps, with fractions 8,191 apart and those at both ends."""
    fractions = np.append(np.arange(0, FRACTIONS, 8191), (1, FRACTIONS - 1)).astype(np.uint32)
    for exponent in range(256):
        positive = fractions + np.uint32(exponent * FRACTIONS)
        bits = np.append(positive, positive | np.uint32(SIGN))
        for n in ALL_STEPS:
            expect_identity_where_normal(bits, exponent, n)


def test_the_count_that_the_module_states() -> None:
    """The number of comparisons in the first lines of this file is that of the sweeps."""
    fractions = len(range(0, FRACTIONS, 8191)) + 2
    swept, strided = len(SWEPT) * 2 * FRACTIONS * len(STEPS), 256 * 2 * fractions * len(ALL_STEPS)

    assert __doc__ is not None
    assert f"{swept + strided:,} sums" in __doc__
    assert f"{fractions:,} fractions" in __doc__
