"""How far the simulator is off, in a few numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ascend_sim.validation.data import Role
from ascend_sim.validation.run import Comparison


@dataclass(frozen=True)
class Summary:
    """The errors of *n* rows of a suite that are of one role and one unit.

    *median*, *mean*, *p90* (linear between ranks) and *max* are of the absolute relative errors. *rank* is Spearman's
    rank correlation of measured and simulated values; None for fewer than three rows, or if either are all equal.
    """

    suite: str
    role: str
    unit: str
    n: int
    median: float
    mean: float
    p90: float
    max: float
    rank: float | None

    def to_json(self) -> dict[str, Any]:
        """The summary as plain data."""
        return asdict(self)


def summarise(comparisons: Sequence[Comparison]) -> Iterator[Summary]:
    """A summary of each suite, role and unit, in order of appearance; rows without a simulated value are left out."""
    done = [one for one in comparisons if one.simulated is not None]
    for key in dict.fromkeys(_key(one) for one in done):
        yield _summary(key, [one for one in done if _key(one) == key])


def rank_correlation(left: Sequence[float], right: Sequence[float]) -> float | None:
    """Spearman's rank correlation, equal values sharing the mean of their ranks; None if it is not defined.

    It is the correlation (Pearson's) of the ranks.
    """
    if len(left) < 3:
        return None
    x, y = _ranks(left), _ranks(right)
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale else None


def _key(comparison: Comparison) -> tuple[str, Role, str]:
    row = comparison.row
    return row.suite, row.role, row.unit


def _summary(key: tuple[str, Role, str], comparisons: Sequence[Comparison]) -> Summary:
    errors = np.abs([one.error for one in comparisons if one.error is not None])
    suite, role, unit = key
    measured = [one.row.measured for one in comparisons]
    simulated = [one.simulated for one in comparisons if one.simulated is not None]
    return Summary(
        suite, role.value, unit, len(errors), median=float(np.median(errors)), mean=float(errors.mean()),
        p90=float(np.percentile(errors, 90)), max=float(errors.max()), rank=rank_correlation(measured, simulated),
    )  # fmt: skip


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[inverse]
    return ranks
