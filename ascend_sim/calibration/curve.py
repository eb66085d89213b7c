"""Least squares for laws that are the largest of a constant and straight lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

EVIDENCE = 2.0
"""By how much BIC has to fall for one more part of a law ("positive evidence", Kass and Raftery 1995)."""
ROUNDING = 1 / 12
"""Variance of a count of cycles that was rounded to whole ones: no fit is better than that."""


CANDIDATES = 200
"""Divisions of the sizes that are compared by the whole curve: those with the least squares of their parts."""


@dataclass(frozen=True)
class Shape:
    """The parts that a law may have beside its line.

    *flat*: a constant that the smallest sizes show. *ceiling*: a line through the origin that the largest show.
    *slope*: that of the line, if it is known.
    """

    flat: bool = False
    ceiling: bool = False
    slope: float | None = None


@dataclass(frozen=True)
class Curve:
    """max(minimum, head + slope * x, ceiling * x) cycles; 0 for a part that is not seen."""

    head: float
    slope: float
    minimum: float = 0.0
    ceiling: float = 0.0

    def __call__(self, x: Vector) -> Vector:
        """The cycles for each of the sizes *x*."""
        return np.maximum(np.maximum(self.minimum, self.head + self.slope * x), self.ceiling * x)


def relative_squares(predicted: Vector, cycles: Vector) -> float:
    """The sum of the squared relative errors."""
    return float((((predicted - cycles) / cycles) ** 2).sum())


def criterion(squares: float, cycles: Vector, parameters: int) -> float:
    """Bayes' information criterion of a fit with so many *parameters*: less is better."""
    noise = ROUNDING * float((cycles**-2.0).sum())
    return len(cycles) * math.log(squares + noise) + parameters * math.log(len(cycles))


def fit_curve(x: Vector, cycles: Vector, shape: Shape, rounded: Callable[[float], float]) -> Curve | None:
    """The curve with the least squares of relative errors, or None if the cycles do not grow with *x*.

    The ways to divide the sizes among the parts are compared. A part beside the line needs two sizes and a criterion
    that is lower by EVIDENCE. *rounded* is applied to the slopes before the head is fitted with them.
    """
    order = np.lexsort((cycles, x))
    x, cycles = x[order], cycles[order]
    best: tuple[float, int, int] | None = None
    for flat, ceiling in ((False, False), (True, False), (False, True), (True, True)):
        if (flat and not shape.flat) or (ceiling and not shape.ceiling):
            continue
        found = _best_division(x, cycles, shape, flat, ceiling)
        if found is not None and (best is None or found[0] < best[0] - EVIDENCE):
            best = found
    if best is None:
        return None
    _, low, high = best
    slope = rounded(_slope(x[low:high], cycles[low:high])) if shape.slope is None else shape.slope
    return Curve(
        head=weighted_mean(cycles[low:high] - slope * x[low:high], cycles[low:high]),
        slope=slope,
        minimum=weighted_mean(cycles[:low], cycles[:low]) if low else 0.0,
        ceiling=rounded(origin_slope(x[high:], cycles[high:], cycles[high:])) if high < len(x) else 0.0,
    )


def origin_slope(x: Vector, cycles: Vector, y: Vector) -> float:
    """The slope of the line through the origin that fits *y*, weighted with 1 / *cycles*."""
    weights = cycles**-2.0
    return float((weights * x * y).sum() / (weights * x * x).sum())


def weighted_mean(y: Vector, cycles: Vector) -> float:
    """The mean of *y*, weighted as relative errors of *cycles* are."""
    weights = cycles**-2.0
    return float((weights * y).sum() / weights.sum())


def _slope(x: Vector, cycles: Vector) -> float:
    """The slope of the line that fits *cycles*."""
    away = x - weighted_mean(x, cycles)
    weights = cycles**-2.0
    return float((weights * away * cycles).sum() / (weights * away**2).sum())


def _divisions(x: Vector, shape: Shape, flat: bool, ceiling: bool) -> NDArray[np.intp]:
    """The ways to divide the sorted sizes *x*, as rows of two places; equal sizes stay together.

    The constant holds for the sizes before the first place, the ceiling from the second on, the line between them.
    Each part has sizes enough.
    """
    n = len(x)
    starts = [0, *(i for i in range(1, n) if x[i] != x[i - 1]), n]
    sizes = {start: number for number, start in enumerate(starts)}  # different sizes before each start
    line = 1 if shape.slope is not None else 2
    lows = [low for low in starts if sizes[low] >= 2] if flat else [0]
    highs = [high for high in starts if sizes[n] - sizes[high] >= 2] if ceiling else [n]
    pairs = [(low, high) for high in highs for low in lows if sizes[high] - sizes[low] >= line]
    return np.array(pairs, dtype=np.intp).reshape(-1, 2)


def _best_division(
    x: Vector, cycles: Vector, shape: Shape, flat: bool, ceiling: bool
) -> tuple[float, int, int] | None:
    """The least criterion of a division of the sorted sizes, and its two places; None if no line rises as it must.

    Sums over the first sizes give the squares of every part of every division at once. For the CANDIDATES with the
    least of them the squares of the whole curve are compared, which differ where another part is the largest.
    """
    places = _divisions(x, shape, flat, ceiling)
    low, high, end = places[:, 0], places[:, 1], np.full(len(places), len(x))
    along, weights = x / x.max(), cycles**-2.0
    terms = (weights, weights * along, weights * along**2, weights * cycles, weights * along * cycles)
    before = [np.concatenate(([0.0], np.cumsum(term))) for term in terms]

    def between(first: NDArray[np.intp], last: NDArray[np.intp]) -> list[Vector]:
        return [sums[last] - sums[first] for sums in before]

    with np.errstate(invalid="ignore", divide="ignore"):  # parts without a size
        w, wx, wxx, wy, wxy = between(low, high)
        slope = (w * wxy - wx * wy) / (w * wxx - wx**2)
        slope = slope if shape.slope is None else np.full(len(places), shape.slope * x.max())
        head = (wy - slope * wx) / w
        squares = slope**2 * wxx + 2 * slope * (head * wx - wxy) + head**2 * w - 2 * head * wy
        w, _, _, wy, _ = between(0 * low, low)
        minimum = np.where(low > 0, wy / w, 0.0)
        squares += minimum**2 * w - 2 * minimum * wy
        _, _, wxx, _, wxy = between(high, end)
        top = np.where(high < end, wxy / wxx, 0.0)
        squares += top**2 * wxx - 2 * top * wxy
    rising = np.flatnonzero((slope > 0) & ((high == end) | (top > slope)))
    chosen = np.sort(rising[np.argsort(squares[rising], kind="stable")[:CANDIDATES]])
    if not len(chosen):
        return None
    line = head[chosen, None] + slope[chosen, None] * along
    predicted = np.maximum(np.maximum(minimum[chosen, None], line), top[chosen, None] * along)
    errors = (((predicted - cycles) / cycles) ** 2).sum(axis=1)
    least = int(errors.argmin())
    parameters = (1 if shape.slope is not None else 2) + flat + ceiling
    return criterion(float(errors[least]), cycles, parameters), int(low[chosen[least]]), int(high[chosen[least]])


def as_vectors(pairs: Sequence[tuple[float, float]]) -> tuple[Vector, Vector]:
    """Sizes and cycles as two arrays."""
    both = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return both[:, 0], both[:, 1]
