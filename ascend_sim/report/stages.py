"""Stages and tasks: what a stage is called in a figure, and which of its calls make up a task.

A kernel calls the same stages again and again, once for each piece of its work. On each core the *leading stage* is
the first that is called more than once (or the first of all, if none is). The stages that are called as often as the
leading stage go through the tasks with it: their n-th calls belong to task n, counted from 0. Other stages, which are
called for some tasks only, have no number.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ascend_sim.observe.facts import MOVE, RUN
from ascend_sim.observe.timeline import CoreTimeline

INLINE = "inline"
"""The name under which the tracer records instructions that are in no stage."""

_NEVER = int(np.iinfo(np.int64).max)
_LETTERED = re.compile(r"[cv]\d+")


def display_name(stage: str) -> str:
    """What figures call *stage*: c1, v1, c2 ... as the literature does, "[C1]", others by their function's name."""
    if stage == INLINE:
        return "outside of stages"
    return f"[{stage.upper()}]" if _LETTERED.fullmatch(stage) else stage


def stage_names(cores: Sequence[CoreTimeline]) -> list[str]:
    """The stages of *cores* in the order in which they begin to work, instructions outside of stages last."""
    first: dict[str, int] = {}
    for core in cores:
        work = _work(core)
        calls, where = np.unique(core.call_of_each[work], return_index=True)
        for call, start in zip(calls.tolist(), core.starts[work[where]].tolist(), strict=True):
            name = core.calls[call].name
            first[name] = min(start, first.get(name, start))
        for facts in core.calls:
            first.setdefault(facts.name, _NEVER)  # flags alone
    return sorted(first, key=lambda name: (name == INLINE, first[name]))


@dataclass(frozen=True, eq=False)
class Tasks:
    """The tasks of a group of cores by number: *begins* has when each begins to work, *ends* its last result (cycles).

    Flags and barriers are no work. *over* is when the cores are done.
    """

    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    over: int

    def __len__(self) -> int:
        return int(self.begins.size)


def numbered_stages(core: CoreTimeline) -> frozenset[str]:
    """The stages of *core* that are called once for each task."""
    count = Counter(facts.name for facts in core.calls if facts.name != INLINE)
    if not count:
        return frozenset()
    repeated = [name for name in count if count[name] > 1]
    leading = next(iter(repeated or count))  # a Counter keeps the order in which it met its keys
    return frozenset(name for name in count if count[name] == count[leading])


def tasks_of(cores: Sequence[CoreTimeline]) -> Tasks:
    """The tasks of *cores*, which work on them together; none if they call no stages.

    Cores that have fewer tasks than others (a vector kernel deals its tiles out one by one) are left out.
    """
    found = [_tasks_of_core(core) for core in cores]
    most = max(map(len, found), default=0)
    longest = [one for one in found if len(one) == most]
    over = max((core.totals.end for core in cores), default=0)
    if not most:
        return Tasks(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), over)
    begins = np.minimum.reduce([one.begins for one in longest])
    ends = np.maximum.reduce([one.ends for one in longest])
    # A task without work takes no time, where the tasks before it end.
    before = np.concatenate([[0], np.maximum.accumulate(ends)[:-1]])
    return Tasks(np.where(begins == _NEVER, before, begins), np.where(begins == _NEVER, before, ends), over)


def _tasks_of_core(core: CoreTimeline) -> Tasks:
    """The tasks of one core; one in which it does not work begins at _NEVER and ends at 0."""
    stages = numbered_stages(core)
    numbered = np.array([facts.name in stages for facts in core.calls], dtype=np.bool_)
    count = int(core.turns[numbered].max()) + 1 if stages else 0
    begins, ends = np.full(count, _NEVER), np.zeros(count, dtype=np.int64)
    work = _work(core)
    calls = core.call_of_each[work]
    work, calls = work[numbered[calls]], calls[numbered[calls]]
    np.minimum.at(begins, core.turns[calls], core.starts[work])
    np.maximum.at(ends, core.turns[calls], core.ends[work])
    return Tasks(begins, ends, core.totals.end)


def _work(core: CoreTimeline) -> NDArray[np.int64]:
    """Indices of the instructions of *core* that run or move bytes."""
    return np.flatnonzero((core.kinds == RUN) | (core.kinds == MOVE))
