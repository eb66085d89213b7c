"""How far the computed outputs are from the reference, and how far they may be.

The tolerances are relative errors (Frobenius norm) by the format of an output. They are a few times what rounding
to that format costs, so that correct kernels pass with any sensible order of summation and a missing flag or an
uninitialised buffer does not: bf16 has 8 significant bits (a rounding error of at most 2^-9 = 2e-3), fp16 has 11
(2^-12 = 2.4e-4), fp32 outputs usually come from 16-bit operands of a matrix product. Integers are exact.

A norm over millions of elements does not notice a few that are wrong, such as a last row. So no single element may
differ by more than 20 tolerances of its own magnitude, or of the typical magnitude (RMS) where it is small itself.
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

_ELEMENT = 20.0
"""An element may differ by this many tolerances: rounding errors of five sigma stay below it."""


@dataclass(frozen=True)
class OutputError:
    """One output: squared differences *error* and squared reference *scale*, summed; the *largest* difference.

    All three leave out the *non_finite* elements, which are NaN or infinite. *worst* is the position of the element
    that differs most for its magnitude, *worst_relative* by how much of it.
    """

    name: str
    tolerance: float
    error: float
    scale: float
    largest: float
    non_finite: int
    worst: tuple[int, ...] = ()
    worst_relative: float = 0.0

    @property
    def relative(self) -> float:
        """|out - ref| / |ref|; against an all-zero reference |out|."""
        return math.sqrt(self.error / self.scale) if self.scale else math.sqrt(self.error)

    @property
    def passed(self) -> bool:
        """Whether the output is finite and within its tolerance, as a whole and element by element."""
        return not self.non_finite and self.relative <= self.tolerance and not self.element_wrong

    @property
    def element_wrong(self) -> bool:
        """Whether a single element is too far off."""
        return self.worst_relative > _ELEMENT * self.tolerance


@dataclass(frozen=True)
class Accuracy:
    """All outputs of a run against the *reference* (its file name)."""

    reference: str
    outputs: tuple[OutputError, ...]

    @property
    def wrong(self) -> tuple[OutputError, ...]:
        """The outputs that are not finite or beyond their tolerance."""
        return tuple(output for output in self.outputs if not output.passed)

    def to_json(self) -> dict[str, str | float | bool | None]:
        """The entry "numerics" of result.json; the errors are null if an output is not finite.

        The relative error and its tolerance are those of the output that is worst for its tolerance.
        """
        finite = not any(output.non_finite for output in self.outputs)
        worst = max(self.outputs, key=lambda output: (output.relative / (output.tolerance or 1e-300)), default=None)
        return {
            "reference": self.reference,
            "relative_error": worst.relative if finite and worst else None,
            "max_abs_error": max((output.largest for output in self.outputs), default=0.0) if finite else None,
            "tolerance": worst.tolerance if worst else 0.0,
            "passed": not self.wrong,
        }


def compare(
    outputs: Mapping[str, NDArray[Any]],
    expected: Mapping[str, NDArray[np.float64]],
    formats: Mapping[str, DType],
    reference: str,
    tolerance: float | None = None,
) -> Accuracy:
    """Compare *outputs* with what the *reference* file *expected*: arrays of equal shapes by tensor name.

    *tolerance* is the relative error that outputs in floating formats may have; without, it is that of their format.
    """
    found = []
    for name, output in outputs.items():
        values = output.astype(np.float64)
        finite = np.isfinite(values)
        whole = np.asarray(expected[name], dtype=np.float64)
        wanted = whole[finite]
        error = values[finite] - wanted
        worst, worst_relative = _worst(values, whole)
        found.append(
            OutputError(
                name=name,
                tolerance=(tolerance if formats[name].is_float else None) or TOLERANCE.get(formats[name].name, 0.0),
                error=float(np.sum(error**2)),
                scale=float(np.sum(wanted**2)),
                largest=float(np.max(np.abs(error), initial=0.0)),
                non_finite=int(values.size - np.count_nonzero(finite)),
                worst=worst,
                worst_relative=worst_relative,
            )
        )
    return Accuracy(reference, tuple(found))


def _worst(values: NDArray[np.float64], wanted: NDArray[np.float64]) -> tuple[tuple[int, ...], float]:
    """The element that differs most for its magnitude (at least the RMS of all), and by how much of it."""
    if not values.size:
        return (), 0.0
    magnitude = np.maximum(np.abs(wanted), math.sqrt(float(np.mean(wanted**2))))
    difference = np.abs(np.where(np.isfinite(values), values, wanted) - wanted)
    relative = np.divide(difference, magnitude, out=difference.copy(), where=magnitude > 0)
    flat = int(np.argmax(relative))
    return tuple(int(i) for i in np.unravel_index(flat, relative.shape)), float(relative.flat[flat])
