"""Comparing outputs with a reference: the errors, the tolerances and what counts as wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ascend_sim.numerics import DType, bf16, fp16, fp32, int32
from ascend_sim.observe.accuracy import Accuracy, compare

FORMATS: dict[str, DType] = {"c": fp32, "d": int32, "h": fp16, "b": bf16}


def compared(expected: dict[str, list[float]], **outputs: list[float]) -> Accuracy:
    """The accuracy of *outputs*, rounded to the formats of their names, against *expected*."""
    arrays = {name: np.array(values).astype(FORMATS[name].numpy) for name, values in outputs.items()}
    return compare(arrays, {name: np.array(values) for name, values in expected.items()}, FORMATS, "ref.py")


def test_the_worst_output_is_what_counts() -> None:
    """Of two outputs the one that is wrong is shown: |(0, 1)| / |(3, 4)| = 1/5, and the largest difference is 1."""
    found = compared({"c": [3, 4], "d": [12]}, c=[3, 5], d=[12])

    assert found.to_json() == {
        "reference": "ref.py", "relative_error": pytest.approx(1 / 5), "max_abs_error": 1.0, "tolerance": 2e-3,
        "passed": False,
    }  # fmt: skip


@pytest.mark.parametrize(("name", "tolerance"), [("c", 2e-3), ("h", 2e-3), ("b", 5e-3)])
def test_tolerances_by_format(name: str, tolerance: float) -> None:
    """An error below the tolerance of the format passes, one above does not (in steps that bf16 can hold)."""
    size = 4096
    exact = np.ones(size)

    def changed(error: float) -> Accuracy:
        """As many elements of *size* are off by 1/32 as make the relative error *error*."""
        values = exact.copy()
        values[: round(size * (error * 32) ** 2)] += 1 / 32
        return compare({name: values.astype(FORMATS[name].numpy)}, {name: exact}, FORMATS, "ref.py")

    assert not changed(0.8 * tolerance).wrong
    assert [one.name for one in changed(1.2 * tolerance).wrong] == [name]


def test_integers_must_be_exact() -> None:
    """One count too many in a million is wrong."""
    assert not compared({"d": [1e6, 5]}, d=[1e6, 5]).wrong
    assert [one.name for one in compared({"d": [1e6, 5]}, d=[1e6, 6]).wrong] == ["d"]


def test_nan_and_infinity_are_wrong_and_leave_no_error() -> None:
    """A JSON file has no NaN: the errors are null, and the outputs that hold it are counted."""
    found = compared({"c": [1, 2, 3], "h": [1]}, c=[1, math.nan, math.inf], h=[1])

    assert [(one.name, one.non_finite) for one in found.wrong] == [("c", 2)]
    assert found.to_json()["relative_error"] is None
    assert found.to_json()["max_abs_error"] is None


def test_each_output_has_its_own_tolerance() -> None:
    """A small output that is all wrong is not hidden by a large one that is right."""
    found = compared({"c": [1e6] * 100, "h": [1.0]}, c=[1e6] * 100, h=[2.0])

    assert found.to_json()["relative_error"] == 1.0
    assert [(one.name, one.relative) for one in found.wrong] == [("h", 1.0)]


def test_an_all_zero_reference_gives_the_error_itself() -> None:
    """Nothing is divided by zero: 0 against 0 is right, 3 and 4 against 0 are an error of 5."""
    assert not compared({"c": [0, 0]}, c=[0, 0]).wrong
    assert compared({"c": [0, 0]}, c=[3, 4]).to_json()["relative_error"] == 5.0


def test_a_single_wrong_element_is_wrong() -> None:
    """One flipped sign among a million is nothing to the norm (2e-3 x sqrt 1) and is found with its place."""
    exact = np.ones((1000, 1000))
    values = exact.astype(np.float32)
    values[17, 3] = -1.0

    (output,) = compare({"c": values}, {"c": exact}, FORMATS, "ref.py").outputs

    assert output.relative <= output.tolerance
    assert (output.worst, output.worst_relative, output.passed) == ((17, 3), 2.0, False)
