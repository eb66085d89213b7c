"""What the integer addition of AMLA does to single numbers: at the edges of fp32, with clip, bias, compensation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ascend_sim.numerics import exponent_add, rescale_increment
from ascend_sim.numerics.bits import EXPONENT_UNIT
from ascend_sim.study.mla import add_to_bits

Doubles = NDArray[np.float64]

LARGEST_DELTA = {"bf16": 2.0**-7, "fp16": 2.0**-10}
"""Largest magnitude of C_(i-1) / C_i - 1: two ratios of a number to its rounding, each within half of this of 1."""

_EDGES: tuple[tuple[str, float, int], ...] = (
    ("1.5", 1.5, -1), ("-1.5", -1.5, -30), ("1.5 x 2^-125", 1.5 * 2.0**-125, -1), ("1.5 x 2^-126", 1.5 * 2.0**-126, -1),
    ("2^-126", 2.0**-126, -1), ("1.5 x 2^-100", 1.5 * 2.0**-100, -30), ("0", 0.0, -1), ("0", 0.0, -30),
    ("-0", -0.0, -1), ("0", 0.0, 1), ("2^-130", 2.0**-130, 1), ("2^-130", 2.0**-130, -1), ("2^127", 2.0**127, 1),
    ("1.5 x 2^127", 1.5 * 2.0**127, 1), ("inf", np.inf, -1), ("NaN", np.nan, -1),
)  # fmt: skip


@dataclass(frozen=True)
class Edge:
    """The number called *name*, a step *n*, and both results: the *sum* of integers and the *product* with 2^n."""

    name: str
    n: int
    sum: float
    product: float

    @property
    def same(self) -> bool:
        """Whether both are the same number."""
        return self.sum == self.product


def edges() -> list[Edge]:
    """Numbers in the middle and at the edges of fp32."""
    found = []
    with np.errstate(all="ignore"):
        for name, value, n in _EDGES:
            x = np.array([value], np.float32)
            product = np.ldexp(x.astype(np.float64), n).astype(np.float32)
            found.append(Edge(name, n, float(exponent_add(x, n)[0]), float(product[0])))
    return found


def units_beyond(differences: list[int]) -> list[int]:
    """For each difference of n, what its increment is beyond the multiple of 2^23 it is clipped to: what the bias is.

    A unit is worth 2^-23 / f of the number, f being its significand.
    """
    n = rescale_increment(np.array(differences, np.float32), 0.0).astype(np.int64)
    clipped = np.maximum(np.array(differences), -30)
    return [int(one) for one in n - clipped * EXPONENT_UNIT]


def relative_errors(significands: Doubles, delta: float, factor: float) -> Doubles:
    """Errors of one rescale of numbers with these *significands* (1 to 2) by 2^-1 (1 + *delta*), in float64.

    *factor* times delta is added to the difference of exponents; that of AMLA is 1.5, and 0 leaves it uncompensated.
    """
    x = significands.astype(np.float32)
    epsilon = np.full(x.shape, factor * delta, np.float32)
    rescaled = add_to_bits(x[:, None], rescale_increment(np.full(x.shape, -1.0, np.float32), epsilon))[:, 0]
    return rescaled.astype(np.float64) / (x.astype(np.float64) * 0.5 * (1 + delta)) - 1


def worst_and_rms(factor: float, delta: float) -> tuple[float, float]:
    """Largest error of a rescale over all significands and both signs of *delta*, and its root mean square.

    Both are parts of delta. Significands are spread as those of numbers of all sizes are, evenly by their logarithms.
    """
    significands = 2.0 ** np.linspace(0, 1, 4097)[:-1]
    errors = np.concatenate([relative_errors(significands, sign * delta, factor) for sign in (-1, 1)]) / delta
    return float(np.abs(errors).max()), float(np.sqrt(np.mean(errors**2)))


def left_by_zero(differences: list[int]) -> float:
    """What an exact zero has become after rescales by these *differences* of n."""
    x = np.zeros((1, 1), np.float32)
    for difference in differences:
        x = add_to_bits(x, rescale_increment(np.array([difference], np.float32), 0.0))
    return float(x[0, 0])
