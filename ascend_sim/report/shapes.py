"""Geometry of lanes: boxes, stepped areas and texts that fit. Horizontal places are in cycles, vertical ones in points.

However many instructions a lane has, its shapes are few: slices that are wide enough are boxes, and all others are
summed up in columns of a point's width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

NARROW = 3.0
"""Slices of fewer points are not drawn one by one."""
COLUMN = 1.0
"""Points of a column in which narrow slices are summed up."""
MAX_BOXES = 3000
"""So many slices of a figure are drawn one by one at most, the widest ones."""


def narrowest(lengths: Integers, cycles_per_point: float) -> int:
    """The fewest cycles of a slice that is drawn by itself, for slices of these *lengths*."""
    least = int(np.ceil(NARROW * cycles_per_point))
    if np.count_nonzero(lengths >= least) <= MAX_BOXES:
        return least
    return int(np.partition(lengths, -MAX_BOXES - 1)[-MAX_BOXES - 1]) + 1


def column_edges(begin: int, end: int, points: float) -> Integers:
    """The edges of the columns between two cycles that are *points* apart, whole cycles, none of them empty."""
    count = max(min(int(points / COLUMN), end - begin), 1)
    return begin + (end - begin) * np.arange(count + 1, dtype=np.int64) // count


def boxes(begins: Integers | Floats, ends: Integers | Floats, low: float, high: float) -> Floats:
    """The corners of rectangles from *low* to *high*: shape (slices, 4, 2)."""
    corners = np.empty((begins.size, 4, 2))
    corners[:, :2, 0], corners[:, 2:, 0] = begins[:, None], ends[:, None]
    corners[:, (0, 3), 1], corners[:, 1:3, 1] = low, high
    return corners


def steps(edges: Integers, low: Floats, high: Floats) -> list[Floats]:
    """The outlines of the areas from *low* to *high*, which have a value for each column, where these differ."""
    found = []
    shown = np.concatenate([[False], low != high, [False]])
    turns = np.flatnonzero(shown[1:] != shown[:-1])
    for first, last in turns.reshape(-1, 2).tolist():
        across = np.repeat(edges[first : last + 1], 2)[1:-1]
        there = np.column_stack([across, np.repeat(high[first:last], 2)])
        back = np.column_stack([across, np.repeat(low[first:last], 2)])[::-1]
        found.append(np.concatenate([_without_repeats(there), _without_repeats(back)]))
    return found


def _without_repeats(line: Floats) -> Floats:
    """*line* without the points between others at the same height."""
    level = line[:, 1]
    inner = (level[1:-1] == level[:-2]) & (level[1:-1] == level[2:])
    kept: Floats = line[np.concatenate([[True], ~inner, [True]])]
    return kept


def fitting(texts: Sequence[str], room: float, width: Callable[[str], float]) -> str:
    """The first of *texts* whose *width* is at most *room*, or "" if there is none."""
    return next((text for text in texts if text and width(text) <= room), "")
