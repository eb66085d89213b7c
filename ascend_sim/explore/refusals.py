"""Why points of an exploration could not be simulated: kinds of reasons, and the values that lead to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ascend_sim.explore.analysis import Row, Study
from ascend_sim.explore.point import Status

_NUMBER = re.compile(r"(?:(?<=\baic)|(?<=\baiv)|(?<![A-Za-z_\d]))\d(?:[\d,.]*\d)?")
"""A number, or that of a core, but not the digit of a name such as L1."""
_FOLDER = re.compile(r"(?:/[^\s/:()']+)+/(?=[^\s/:()']+)")
_ASIDE = re.compile(r" \([^()]*\)")


@dataclass(frozen=True)
class Reason:
    """A kind of reason: its *category*, the *pattern* of its message, and the points that it holds for."""

    category: str
    pattern: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Refused:
    """Of *points* with the value number *level* of parameter *name*, so many are infeasible and so many failed."""

    name: str
    level: int
    points: int
    infeasible: int
    failed: int


def pattern_of(reason: str) -> str:
    """What messages of one kind share: the first clause, without folders and asides, with N for numbers."""
    lines = reason.splitlines()
    first = _FOLDER.sub("", lines[0] if lines else "").partition("; ")[0]
    return _NUMBER.sub("N", _ASIDE.sub("", first))


def reasons(study: Study, status: Status) -> list[Reason]:
    """Why points have *status*: kinds of reasons, the most frequent first."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in study.rows:
        if row.status == status:
            found.setdefault((row.evaluation.category, pattern_of(row.evaluation.reason)), []).append(row)
    ordered = sorted(found.items(), key=lambda one: -len(one[1]))
    return [Reason(category, pattern, tuple(rows)) for (category, pattern), rows in ordered]


def refused(study: Study) -> Iterator[Refused]:
    """For each value of each parameter that was tried, how many of its points could not be simulated."""
    status = np.array([row.status for row in study.rows])
    for axis in study.axes:
        for level in range(len(axis.values)):
            here = axis.levels == level
            points, infeasible, failed = (
                int(np.count_nonzero(chosen))
                for chosen in (here, here & (status == "infeasible"), here & (status == "failed"))
            )
            if points:
                yield Refused(axis.name, level, points, infeasible, failed)
