"""Least squares for laws that are the largest of a constant and straight lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

EVIDENCE = 2.0
"""By how much BIC has to fall for one more part of a law ("positive evidence", Kass and Raftery 1995)."""
ROUNDING = 1 / 12
"""Variance of a count of cycles that was rounded to whole ones: no fit is better than that."""


@dataclass(frozen=True)
class Shape:
    """The parts that a law may have beside its line.

    *flat*: a constant that the smallest sizes show. *ceiling*: a line through the origin that the largest show.
    *floor*: the cycles that the line without its head takes at least. *slope*: that of the line, if it is known.
    """

    flat: bool = False
    ceiling: bool = False
    floor: float = 0.0
    slope: float | None = None


@dataclass(frozen=True)
class Curve:
    """max(minimum, head + max(slope * x, floor), ceiling * x) cycles; 0 for a part that is not seen."""

    head: float
    slope: float
    minimum: float = 0.0
    ceiling: float = 0.0
    floor: float = 0.0

    def __call__(self, x: Vector) -> Vector:
        """The cycles for each of the sizes *x*."""
        line = self.head + np.maximum(self.slope * x, self.floor)
        return np.maximum(np.maximum(self.minimum, line), self.ceiling * x)


@dataclass(frozen=True)
class _Parts:
    """Which part is the largest: flat for the sizes before *low*, the ceiling from *high* on, the line between them.

    With *floored* it is head + floor instead of a constant before *low*.
    """

    low: int
    high: int
    floored: bool = False


def relative_squares(predicted: Vector, cycles: Vector) -> float:
    """The sum of the squared relative errors."""
    return float((((predicted - cycles) / cycles) ** 2).sum())


def criterion(squares: float, cycles: Vector, parameters: int) -> float:
    """Bayes' information criterion of a fit with so many *parameters*: less is better."""
    noise = ROUNDING * float((cycles**-2.0).sum())
    return len(cycles) * math.log(squares + noise) + parameters * math.log(len(cycles))


def fit_curve(x: Vector, cycles: Vector, shape: Shape, rounded: Callable[[float], float]) -> Curve | None:
    """The curve with the least squares of relative errors, or None if the cycles do not grow with *x*.

    Every way to divide the sizes among the parts is tried. A part beside the line needs two sizes and a criterion that
    is lower by EVIDENCE. *rounded* is applied to the slopes before the head is fitted with them.
    """
    order = np.argsort(x, kind="stable")
    x, cycles = x[order], cycles[order]
    best: tuple[float, Curve, _Parts] | None = None
    for flat, ceiling in ((False, False), (True, False), (False, True), (True, True)):
        if (flat and not shape.flat) or (ceiling and not shape.ceiling):
            continue
        found: tuple[float, Curve, _Parts] | None = None
        for parts in _divisions(x, shape, flat, ceiling):
            curve = _solved(x, cycles, shape, parts)
            if curve is None:
                continue
            parameters = (1 if shape.slope is not None else 2) + flat + ceiling
            score = criterion(relative_squares(curve(x), cycles), cycles, parameters)
            if found is None or score < found[0]:
                found = score, curve, parts
        if found is not None and (best is None or found[0] < best[0] - EVIDENCE):
            best = found
    if best is None:
        return None
    _, curve, parts = best
    slope = rounded(curve.slope) if shape.slope is None else shape.slope
    final = _solved(x, cycles, replace(shape, slope=slope), parts)
    assert final is not None, "the slope of a curve that was found is above 0"
    return replace(final, ceiling=rounded(curve.ceiling)) if curve.ceiling else final


def origin_slope(x: Vector, cycles: Vector, y: Vector) -> float:
    """The slope of the line through the origin that fits *y*, weighted with 1 / *cycles*."""
    weights = cycles**-2.0
    return float((weights * x * y).sum() / (weights * x * x).sum())


def weighted_mean(y: Vector, cycles: Vector) -> float:
    """The mean of *y*, weighted as relative errors of *cycles* are."""
    weights = cycles**-2.0
    return float((weights * y).sum() / weights.sum())


def _divisions(x: Vector, shape: Shape, flat: bool, ceiling: bool) -> Iterator[_Parts]:
    """The ways to divide the sorted sizes *x*; equal sizes stay together, and each part has sizes enough."""
    n = len(x)
    starts = [0, *(i for i in range(1, n) if x[i] != x[i - 1]), n]
    sizes = {start: number for number, start in enumerate(starts)}  # different sizes before each start
    line = 1 if shape.slope is not None else 2
    for high in [one for one in starts if sizes[n] - sizes[one] >= 2] if ceiling else [n]:
        if flat:
            lows = [low for low in starts if sizes[low] >= 2]
            yield from (_Parts(low, high) for low in lows if sizes[high] - sizes[low] >= line)
            continue
        if sizes[high] >= line:
            yield _Parts(0, high)
        if shape.floor:
            yield from (_Parts(low, high, floored=True) for low in starts if 0 < low < high and sizes[high] >= line)


def _solved(x: Vector, cycles: Vector, shape: Shape, parts: _Parts) -> Curve | None:
    """The curve whose parts lie as *parts* say, or None if its line or its ceiling does not rise as it must."""
    low, high = parts.low, parts.high
    begin = 0 if parts.floored else low
    on_floor = np.arange(begin, high) < (low if parts.floored else 0)
    along = np.where(on_floor, 0.0, x[begin:high])
    y = cycles[begin:high] - np.where(on_floor, shape.floor, 0.0)
    weights = cycles[begin:high] ** -2.0
    slope = shape.slope
    if slope is None:
        total, mean = weights.sum(), (weights * along).sum() / weights.sum()
        spread = (weights * (along - mean) ** 2).sum() / total
        if spread == 0:
            return None
        slope = float((weights * (along - mean) * y).sum() / total / spread)
    if slope <= 0:
        return None
    head = weighted_mean(y - slope * along, cycles[begin:high])
    minimum = weighted_mean(cycles[:low], cycles[:low]) if low and not parts.floored else 0.0
    ceiling = origin_slope(x[high:], cycles[high:], cycles[high:]) if high < len(x) else 0.0
    if ceiling and ceiling <= slope:
        return None
    return Curve(head, slope, minimum, ceiling, shape.floor)


def as_vectors(pairs: Sequence[tuple[float, float]]) -> tuple[Vector, Vector]:
    """Sizes and cycles as two arrays."""
    both = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return both[:, 0], both[:, 1]
