"""How far the computed outputs are from the reference, and how far they may be.

The tolerances are relative errors (Frobenius norm) by the format of an output. They are a few times what rounding
to that format costs, so that correct kernels pass with any sensible order of summation and a missing flag or an
uninitialised buffer does not: bf16 has 8 significant bits (a rounding error of at most 2^-9 = 2e-3), fp16 has 11
(2^-12 = 2.4e-4), fp32 outputs usually come from 16-bit operands of a matrix product. Integers are exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ascend_sim.numerics import DType

TOLERANCE = {"bf16": 5e-3, "fp16": 2e-3, "fp32": 2e-3}
"""Largest relative error by output format; formats that are not listed are integers and must be exact."""


@dataclass(frozen=True)
class Accuracy:
    """Outputs against the *reference* (its file name).

    *relative_error* is |out - ref| / |ref| over all outputs together and *max_abs_error* the largest difference of
    one element; both are None if an output holds NaN or infinities. *worst* names the output nearest to its
    *tolerance* or furthest beyond it, with its own *worst_error*.
    """

    reference: str
    relative_error: float | None
    max_abs_error: float | None
    worst: str
    worst_error: float | None
    tolerance: float
    non_finite: int

    @property
    def passed(self) -> bool:
        """Whether every output is finite and within its tolerance."""
        return self.worst_error is not None and self.worst_error <= self.tolerance

    def to_json(self) -> dict[str, str | float | None]:
        """The entry "numerics" of result.json."""
        return {
            "reference": self.reference,
            "relative_error": self.relative_error,
            "max_abs_error": self.max_abs_error,
            "tolerance": self.tolerance,
        }


def compare(
    outputs: Mapping[str, NDArray[Any]],
    expected: Mapping[str, NDArray[np.float64]],
    formats: Mapping[str, DType],
    reference: str,
) -> Accuracy:
    """Compare *outputs* with what the *reference* file *expected*, in arrays of equal shapes by tensor name."""
    difference = magnitude = 0.0
    largest = 0.0
    non_finite = 0
    worst: tuple[float, float, str, float] = (-1.0, 0.0, "", 0.0)
    for name, output in outputs.items():
        values, wanted = output.astype(np.float64), np.asarray(expected[name], dtype=np.float64)
        broken = int(np.count_nonzero(~np.isfinite(values)))
        if broken:
            non_finite += broken
            continue
        error = values - wanted
        squares, scale = float(np.sum(error**2)), float(np.sum(wanted**2))
        difference, magnitude = difference + squares, magnitude + scale
        largest = max(largest, float(np.max(np.abs(error))))
        tolerance = TOLERANCE.get(formats[name].name, 0.0)
        relative = _ratio(squares, scale)
        excess = relative / tolerance if tolerance else float(relative > 0) * np.inf if relative else 0.0
        worst = max(worst, (float(excess), tolerance, name, relative))
    if non_finite:
        name = next(name for name, output in outputs.items() if not np.all(np.isfinite(output.astype(np.float64))))
        tolerance = TOLERANCE.get(formats[name].name, 0.0)
        return Accuracy(reference, None, None, name, None, tolerance, non_finite)
    _, tolerance, name, relative = worst
    return Accuracy(reference, _ratio(difference, magnitude), largest, name, relative, tolerance, 0)


def _ratio(squares: float, scale: float) -> float:
    """Relative error from sums of squares; against an all-zero reference the error itself."""
    return float(np.sqrt(squares / scale)) if scale else float(np.sqrt(squares))
