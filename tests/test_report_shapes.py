"""The geometry of lanes: areas that keep what they stand for, however many slices there are, and texts that fit."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ascend_sim.report.shapes import MAX_BOXES, boxes, column_edges, fitting, narrowest, steps


def area(outline: NDArray[np.float64]) -> float:
    """The area inside of *outline*, positive if it runs clockwise (heights count downwards)."""
    x, y = outline.T
    return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2)


def test_areas_of_steps_are_sums_of_columns() -> None:
    """The outlines of columns hold exactly their heights times their widths; empty columns part them."""
    random = np.random.default_rng(11)
    for _ in range(20):
        edges = np.cumsum(random.integers(1, 9, 31))
        low = random.integers(0, 3, 30).astype(np.float64)
        high = low + random.integers(0, 3, 30)
        outlines = steps(edges, low, high)

        assert sum(abs(area(one)) for one in outlines) == ((high - low) * np.diff(edges)).sum()
        filled = np.concatenate([[False], high > low])
        assert len(outlines) == np.count_nonzero(filled[1:] & ~filled[:-1])


def test_steps_of_one_height_are_a_rectangle() -> None:
    """Columns of equal height need no points between them."""
    (outline,) = steps(np.arange(0, 1001, 10), np.zeros(100), np.full(100, 5.0))

    assert outline.tolist() == [[0, 5], [1000, 5], [1000, 0], [0, 0]]
    assert steps(np.array([0, 10]), np.zeros(1), np.zeros(1)) == []


def test_boxes_have_four_corners() -> None:
    """A box lies between the ends of its slice and between the two heights."""
    assert boxes(np.array([3, 8]), np.array([5, 9]), 10.0, 2.0).tolist() == [
        [[3, 10], [3, 2], [5, 2], [5, 10]], [[8, 10], [8, 2], [9, 2], [9, 10]]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("begin", "end", "points", "count"), [(0, 1000, 100.0, 100), (7, 1006, 100.9, 100), (5, 9, 80.0, 4)]
)
def test_columns_are_whole_cycles(begin: int, end: int, points: float, count: int) -> None:
    """There is a column for each point, but none without a cycle; together they are the window."""
    edges = column_edges(begin, end, points)

    assert (edges[0], edges[-1], edges.size - 1) == (begin, end, count)
    assert np.diff(edges).min() >= 1
    assert np.ptp(np.diff(edges)) <= 1


def test_the_number_of_boxes_is_bounded() -> None:
    """Slices of three points are drawn one by one, unless they are too many: then only the widest."""
    few, many = np.array([1, 29, 30, 500]), np.arange(20 * MAX_BOXES)

    assert narrowest(few, 10.0) == 30
    assert np.count_nonzero(many >= narrowest(many, 10.0)) == MAX_BOXES
    equal = np.full(2 * MAX_BOXES, 700)
    assert np.count_nonzero(equal >= narrowest(equal, 10.0)) == 0


def test_the_longest_text_that_fits_is_chosen() -> None:
    """Of several wordings the first that has room is written, or none."""
    texts = ("waits veccore1", "waits core", "core")
    found = [fitting(texts, room, len) for room in (14.0, 13.9, 9.0, 3.0)]

    assert found == ["waits veccore1", "waits core", "core", ""]
    assert fitting(("",), 5.0, len) == ""
