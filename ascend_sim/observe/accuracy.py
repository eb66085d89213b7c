"""How far the computed outputs are from the reference, and how far they may be.

The tolerances are relative errors (Frobenius norm) by the format of an output. They are a few times what rounding
to that format costs, so that correct kernels pass with any sensible order of summation and a missing flag or an
uninitialised buffer does not: bf16 has 8 significant bits (a rounding error of at most 2^-9 = 2e-3), fp16 has 11
(2^-12 = 2.4e-4), fp32 outputs usually come from 16-bit operands of a matrix product. Integers are exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ascend_sim.numerics import DType

TOLERANCE = {"bf16": 5e-3, "fp16": 2e-3, "fp32": 2e-3}
"""Largest relative error by output format; formats that are not listed are integers and must be exact."""


@dataclass(frozen=True)
class OutputError:
    """One output: squared differences *error* and squared reference *scale*, summed; the *largest* difference.

    All three leave out the *non_finite* elements, which are NaN or infinite.
    """

    name: str
    tolerance: float
    error: float
    scale: float
    largest: float
    non_finite: int

    @property
    def relative(self) -> float:
        """|out - ref| / |ref|; against an all-zero reference |out|."""
        return math.sqrt(self.error / self.scale) if self.scale else math.sqrt(self.error)

    @property
    def passed(self) -> bool:
        """Whether the output is finite and within its tolerance."""
        return not self.non_finite and self.relative <= self.tolerance


@dataclass(frozen=True)
class Accuracy:
    """All outputs of a run against the *reference* (its file name)."""

    reference: str
    outputs: tuple[OutputError, ...]

    @property
    def wrong(self) -> tuple[OutputError, ...]:
        """The outputs that are not finite or beyond their tolerance."""
        return tuple(output for output in self.outputs if not output.passed)

    def to_json(self) -> dict[str, str | float | None]:
        """The entry "numerics" of result.json; the errors are null if an output is not finite.

        The tolerance is that of the loosest output.
        """
        finite = not any(output.non_finite for output in self.outputs)
        error = sum(output.error for output in self.outputs)
        scale = sum(output.scale for output in self.outputs)
        whole = OutputError("", 0.0, error, scale, 0.0, 0)
        return {
            "reference": self.reference,
            "relative_error": whole.relative if finite else None,
            "max_abs_error": max((output.largest for output in self.outputs), default=0.0) if finite else None,
            "tolerance": max((output.tolerance for output in self.outputs), default=0.0),
        }


def compare(
    outputs: Mapping[str, NDArray[Any]],
    expected: Mapping[str, NDArray[np.float64]],
    formats: Mapping[str, DType],
    reference: str,
) -> Accuracy:
    """Compare *outputs* with what the *reference* file *expected*: arrays of equal shapes by tensor name."""
    found = []
    for name, output in outputs.items():
        values = output.astype(np.float64)
        finite = np.isfinite(values)
        wanted = np.asarray(expected[name], dtype=np.float64)[finite]
        error = values[finite] - wanted
        found.append(
            OutputError(
                name=name,
                tolerance=TOLERANCE.get(formats[name].name, 0.0),
                error=float(np.sum(error**2)),
                scale=float(np.sum(wanted**2)),
                largest=float(np.max(np.abs(error), initial=0.0)),
                non_finite=int(values.size - np.count_nonzero(finite)),
            )
        )
    return Accuracy(reference, tuple(found))
