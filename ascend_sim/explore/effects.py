"""How much each parameter of an exploration matters, alone and together with another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod

import numpy as np

from ascend_sim.explore.analysis import Axis, Floats, Ints, Study, losses

_GROUPS = 8
"""Into so many groups of neighbouring values a parameter is divided where the points are no full grid."""
_NEGLIGIBLE = 1e-9
"""What of a sum of squares is taken for a rounding error, as a share of the number of points."""


@dataclass(frozen=True)
class Level:
    """The points that are done with one value of a parameter: how many, and their best value, quartiles and median.

    All are in the unit of the metric; without points they are NaN.
    """

    points: int
    best: float
    quartiles: tuple[float, float, float]


@dataclass(frozen=True)
class Effects:
    """How a *metric* depends on the parameters *axes*, as far as the points that are done tell.

    *levels* has for each parameter what its values lead to. *main* is the share of the variance that each parameter
    explains alone, *pairs* (symmetric, zeros on its diagonal) the share that two explain together beyond that; NaN
    where there are too few points to tell. With *logarithmic* it is the variance of the logarithm. *exact*: the points
    that are done are a full grid, and the shares are those of the analysis of variance, see `effects`. Without
    *varies* the metric is the same for all points, and all shares are 0.
    """

    metric: str
    axes: tuple[Axis, ...]
    levels: tuple[tuple[Level, ...], ...]
    main: Floats
    pairs: Floats
    points: int
    exact: bool
    logarithmic: bool
    varies: bool

    @property
    def order(self) -> list[int]:
        """The parameters, the one that matters most first; of equal ones in the order of the file."""
        return sorted(range(len(self.axes)), key=lambda n: -np.nan_to_num(self.main[n]))

    def joint(self, a: int, b: int) -> float:
        """The share that the parameters *a* and *b* explain alone and together; NaN counts as nothing."""
        return float(np.nan_to_num(self.main[a]) + np.nan_to_num(self.main[b]) + np.nan_to_num(self.pairs[a, b]))

    @property
    def strongest(self) -> list[tuple[int, int]]:
        """All pairs of parameters, the one with the largest joint share first."""
        return sorted(combinations(range(len(self.axes)), 2), key=lambda pair: -self.joint(*pair))

    @property
    def rest(self) -> float:
        """The share that takes three parameters or more to explain; of a sample, also what is not explained."""
        known = np.nansum(self.main) + np.nansum(np.triu(self.pairs))
        return float(max(0.0, 1.0 - known)) if np.isfinite(self.main).any() else float("nan")


def effects(study: Study, metric: str) -> Effects:
    """Decompose the variance of *metric* over the points that are done.

    Let y be the logarithm of the metric (the metric itself if some point has none), SS the sum of its squared
    deviations from the mean. If the points that are done are a full grid of the values that occur, this is the analysis
    of variance of a factorial design: a parameter explains SS(A) = sum over its values of n (mean with the value -
    mean)^2, two of them beyond that SS(AB) = sum over their cells of n (mean of the cell - mean)^2 - SS(A) - SS(B); all
    shares together with those of three and more parameters are 1.

    Otherwise (a sample, conditions, infeasible or pruned points) the values of different parameters do not occur
    equally often with each other. Then models with an additive effect of each value are fitted by least squares: SS(A)
    is what the fit loses without A (type II), SS(AB) what it gains from the cells of A and B, each less what as many
    columns of random numbers would give. Ordered parameters are cut into 8 groups of neighbours for that. Limits: what
    two parameters can explain equally well counts for none of them, so that shares need not add up to 1; a sampler that
    seeks good points shows little of the bad ones, and so less of what makes points bad; infeasible and pruned points
    are missing altogether.
    """
    values = study.values(metric)
    logarithmic = bool(len(values)) and bool(np.all(values > 0))
    y = np.log(values) if logarithmic else values.copy()
    y -= y.mean() if len(y) else 0.0
    levels = [axis.levels[study.done] for axis in study.axes]
    exact = _is_full(levels, len(y))
    main, pairs = _full_shares(levels, y) if exact else _sample_shares(study.axes, levels, y)
    objective = next((one for one in study.objectives if one.metric == metric), study.first)
    order = losses(objective, values)
    kept = tuple(
        tuple(_level(values[chosen == n], order[chosen == n]) for n in range(len(axis.values)))
        for axis, chosen in zip(study.axes, levels, strict=True)
    )
    return Effects(metric, study.axes, kept, main, pairs, len(y), exact, logarithmic, _varies(y))


def _varies(y: Floats) -> bool:
    return float(y @ y) > _NEGLIGIBLE * len(y)


def _level(values: Floats, order: Floats) -> Level:
    if not len(values):
        return Level(0, np.nan, (np.nan, np.nan, np.nan))
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
    return Level(len(values), float(values[np.argmin(order)]), (float(low), float(median), float(high)))


def _is_full(levels: Sequence[Ints], points: int) -> bool:
    """Whether each combination of the values that occur occurs once."""
    counts = [len(np.unique(one)) for one in levels]
    distinct = len(np.unique(np.column_stack(levels), axis=0)) if levels and points else 0
    return points > 0 and prod(counts) == points == distinct


def _full_shares(levels: Sequence[Ints], y: Floats) -> tuple[Floats, Floats]:
    total, count = float(y @ y), len(levels)
    main, pairs = np.zeros(count), np.zeros((count, count))
    if not _varies(y):
        return main, pairs
    for a in range(count):
        main[a] = _between(levels[a], y)
    for a, b in combinations(range(count), 2):
        cells = levels[a] * (levels[b].max() + 1) + levels[b]
        pairs[a, b] = pairs[b, a] = max(0.0, _between(cells, y) - main[a] - main[b])
    return main / total, pairs / total


def _between(groups: Ints, y: Floats) -> float:
    """The sum of squares between *groups*, of *y* with mean 0."""
    counts = np.bincount(groups)
    sums = np.bincount(groups, weights=y)
    return float(np.sum(sums[counts > 0] ** 2 / counts[counts > 0]))


def _sample_shares(axes: Sequence[Axis], levels: Sequence[Ints], y: Floats) -> tuple[Floats, Floats]:
    count, points, total = len(axes), len(y), float(y @ y)
    main, pairs = np.full(count, np.nan), np.full((count, count), np.nan)
    np.fill_diagonal(pairs, 0.0)
    if not _varies(y):
        return np.zeros(count), np.zeros((count, count))
    parts = [np.zeros(points, dtype=np.int64), *map(_grouped, axes, levels)]  # the mean is a parameter of one value
    crossed = np.block([[_crossed(one, other) for other in parts] for one in parts])
    sums = np.concatenate([np.bincount(one, weights=y) for one in parts])
    fitted, rank = _fitted(crossed, sums, points)
    if points <= rank:
        return main, pairs
    of_part = np.repeat(np.arange(count + 1), [one.max() + 1 for one in parts])
    noise = (total - fitted) / (points - rank)
    for a in range(count):
        others = of_part != a + 1
        left, fewer = _fitted(crossed[np.ix_(others, others)], sums[others], points)
        main[a] = max(0.0, fitted - left - noise * (rank - fewer)) / total
    inverse = np.linalg.pinv(crossed, rcond=_NEGLIGIBLE, hermitian=True)
    for a, b in combinations(range(count), 2):
        _, cells = np.unique(parts[a + 1] * (parts[b + 1].max() + 1) + parts[b + 1], return_inverse=True)
        with_parts = np.hstack([_crossed(cells, one) for one in parts])
        beyond = np.diag(np.bincount(cells)) - with_parts @ inverse @ with_parts.T
        gain, more = _fitted(beyond, np.bincount(cells, weights=y) - with_parts @ inverse @ sums, points)
        if points > rank + more:
            chance = (total - fitted - gain) / (points - rank - more) * more
            pairs[a, b] = pairs[b, a] = max(0.0, gain - chance) / total
    return main, pairs


def _grouped(axis: Axis, levels: Ints) -> Ints:
    """*levels*, those of an ordered parameter cut into groups of about as many points each if they are many."""
    _, dense = np.unique(levels, return_inverse=True)
    if not axis.ordered or dense.max() < _GROUPS:
        return dense.astype(np.int64)
    before = np.cumsum(np.bincount(dense)) - np.bincount(dense)
    return np.asarray((before * _GROUPS // len(dense))[dense], dtype=np.int64)


def _crossed(one: Ints, other: Ints) -> Floats:
    """How many points are in each group of *one* and each of *other*: the products of columns of zeros and ones."""
    shape = int(one.max()) + 1, int(other.max()) + 1
    counts = np.bincount(one * shape[1] + other, minlength=shape[0] * shape[1])
    return np.asarray(counts.reshape(shape), dtype=np.float64)


def _fitted(products: Floats, sums: Floats, points: int) -> tuple[float, int]:
    """The sum of squares that columns explain, and their rank, from their *products* with each other and with y."""
    squares, directions = np.linalg.eigh(products)
    kept = squares > _NEGLIGIBLE * points
    along = directions[:, kept].T @ sums
    return float(np.sum(along**2 / squares[kept])), int(np.count_nonzero(kept))
