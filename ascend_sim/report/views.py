"""Named windows of a run, defined by its tasks (see `report.stages`).

all     from the launch to the end.
head    the pipeline fills: from the launch until all tasks are over that had begun when the first one was over.
steady  three tasks in the middle: from the beginning of task M - 1 until task M + 1 is over, M being half their number.
tail    the pipeline drains: from the beginning of the first task that was not over when the last one began, until the
        cores are done.
task:N  task N alone, counted from 0, and a margin of 5 % of its time before and after.

A run without stages has no tasks: its head, steady and tail are the first tenth of its cycles, the middle one and the
last. Without a view, a run of at most eight tasks (or 100 us, without stages) is shown whole, and a longer one steady.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ascend_sim.errors import ArgumentError
from ascend_sim.report.stages import Tasks

VIEWS = ("head", "steady", "tail", "task:N", "all")
SHORT_TASKS = 8
SHORT_US = 100.0
_MARGIN = 0.05


@dataclass(frozen=True)
class View:
    """The cycles from *begin* to *end*; *name* is the view, or "" for a window that the user gave by its ends."""

    name: str
    begin: int
    end: int

    @property
    def cycles(self) -> int:
        """How long the window is."""
        return self.end - self.begin


def default_view(tasks: Tasks, cycles: int, per_us: float) -> str:
    """The name of the view of a run of *cycles* when the user names none."""
    short = len(tasks) <= SHORT_TASKS if len(tasks) else cycles <= SHORT_US * per_us
    return "all" if short else "steady"


def named_view(name: str, tasks: Tasks, cycles: int) -> View:
    """The view called *name* of a run of *cycles*; raise an ArgumentError if there is none."""
    kind, colon, number = name.partition(":")
    if kind == "task" and colon:
        return _one_task(name, number, tasks, cycles)
    if name == "all":
        return View(name, 0, cycles)
    if name not in ("head", "steady", "tail"):
        raise ArgumentError(f"--view {name}: is no view; write one of {', '.join(VIEWS)}")
    begin, end = _of_tasks(name, tasks) if len(tasks) else _tenth(name, cycles)
    return View(name, max(begin, 0), min(end, cycles))


def chosen_window(begin_us: float | None, end_us: float | None, cycles: int, per_us: float) -> View:
    """The window between the times that the user gave, either of which may be None; it stops at the end of the run.

    Raise an ArgumentError if nothing of the run lies in it.
    """
    begin, end = begin_us or 0.0, cycles / per_us if end_us is None else end_us
    given = " ".join(f"{name} {us:g}" for name, us in (("--from", begin_us), ("--to", end_us)) if us is not None)
    last = f"the run lasts from 0 to {cycles / per_us:.6g} us"
    if not 0.0 <= begin < end:
        raise ArgumentError(f"{given}: this window is empty; {last}, so give a beginning of 0 or more and a later end")
    reach = cycles / per_us
    view = View("", int(np.floor(min(begin, reach) * per_us)), min(int(np.ceil(min(end, reach) * per_us)), cycles))
    if view.cycles <= 0:
        raise ArgumentError(f"{given}: nothing happens in this window; {last}")
    return view


def _one_task(name: str, number: str, tasks: Tasks, cycles: int) -> View:
    if not len(tasks):
        raise ArgumentError(f"--view {name}: this kernel calls no stages, so it has no tasks; give --from and --to")
    if not (number.isascii() and number.isdigit() and int(number) < len(tasks)):
        raise ArgumentError(f"--view {name}: there is no such task; these cores have task:0 to task:{len(tasks) - 1}")
    begin, end = int(tasks.begins[int(number)]), int(tasks.ends[int(number)])
    margin = round(_MARGIN * (end - begin))
    return View(name, max(begin - margin, 0), min(end + margin, cycles))


def _of_tasks(name: str, tasks: Tasks) -> tuple[int, int]:
    begins, ends, last = tasks.begins, tasks.ends, len(tasks) - 1
    if name == "head":
        return 0, int(ends[begins <= ends[0]].max())
    if name == "tail":
        return int(begins[ends >= begins[last]].min()), tasks.over
    middle = len(tasks) // 2
    shown = slice(max(middle - 1, 0), middle + 2)
    return int(begins[shown].min()), int(ends[shown].max())


def _tenth(name: str, cycles: int) -> tuple[int, int]:
    tenth = max(cycles // 10, 1)
    begin = {"head": 0, "steady": (cycles - tenth) // 2, "tail": cycles - tenth}[name]
    return begin, begin + tenth
