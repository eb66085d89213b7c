"""How far an output is from softmax attention in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ascend_sim.study.arithmetic import Outcome
from ascend_sim.study.exact import Exact


@dataclass(frozen=True)
class Errors:
    """The error of an output x of a reference g; None for what is not finite.

    *relative* is the norm of x - g as a part of the norm of g, equal to RMSE / RMS(g). *rmse* is the root of the mean
    square, *rmse_of_values* that as a part of the root mean square of V, *largest* the largest magnitude. *overflow* is
    the share of the unscaled scores Q K^T beyond fp16, *broken_scores* that of NaN and infinite ones where an algorithm
    keeps them in fp16 (else None), and *broken_outputs* that of NaN and infinite outputs.
    """

    relative: float | None
    rmse: float | None
    rmse_of_values: float | None
    largest: float | None
    overflow: float
    broken_scores: float | None
    broken_outputs: float


class Tally:
    """Adds up over heads what `Errors` are made of."""

    def __init__(self) -> None:
        self._heads = 0
        self._elements = self._broken = 0
        self._squares = self._reference = self._values = self._largest = 0.0
        self._overflow = 0.0
        self._broken_scores: float | None = None

    def add(self, output: NDArray[Any], outcome: Outcome, exact: Exact, mean_square_of_values: float) -> None:
        """Compare the *output* of a head, rounded from that of *outcome*, with the *exact* one."""
        difference = output.astype(np.float64) - exact.output
        self._heads += 1
        self._elements += difference.size
        self._broken += int(np.count_nonzero(~np.isfinite(difference)))
        self._squares += float(np.sum(difference**2))
        self._reference += float(np.sum(exact.output**2))
        self._values += mean_square_of_values
        self._largest = max(self._largest, float(np.max(np.abs(difference))))
        self._overflow += exact.overflow
        if outcome.broken_scores is not None:
            self._broken_scores = (self._broken_scores or 0.0) + outcome.broken_scores

    @property
    def errors(self) -> Errors:
        """The errors over all heads, which have equal shapes."""
        finite = self._broken == 0
        rmse = math.sqrt(self._squares / self._elements) if finite else None
        return Errors(
            relative=_part(self._squares, self._reference) if finite else None,
            rmse=rmse,
            rmse_of_values=_part(self._squares / self._elements, self._values / self._heads) if finite else None,
            largest=self._largest if finite else None,
            overflow=self._overflow / self._heads,
            broken_scores=None if self._broken_scores is None else self._broken_scores / self._heads,
            broken_outputs=self._broken / self._elements,
        )


def _part(square: float, of: float) -> float | None:
    """The root of *square* as a part of that of another square; None of nothing."""
    return math.sqrt(square / of) if of > 0 else None
