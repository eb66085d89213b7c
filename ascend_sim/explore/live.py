"""What a search shows while it goes on, on stderr: a live view on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress
from rich.text import Text

from ascend_sim.explore.config import Objective
from ascend_sim.explore.point import Assignment
from ascend_sim.explore.search import Listener
from ascend_sim.explore.table import Row
from ascend_sim.explore.wording import measure, shortest, shown

_FIRST, _NEXT = 10.0, 30.0
"""Seconds until the first line without a terminal, and between lines."""

_REDRAW = 0.25
_RECENT = 64
"""Points worked on of whose pace the rest is estimated."""


@dataclass
class Tally:
    """What is to be told of a search: how many points of which status, how quick, which is the best so far.

    *clock* returns seconds; *done* counts all finished points, *fresh* those that were worked on now.
    """

    objectives: Sequence[Objective]
    clock: Callable[[], float] = time.monotonic
    total: int | None = None
    fresh: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    best: Row | None = None
    _began: float = 0.0
    _recent: list[float] = field(default_factory=list)

    def begin(self, total: int | None) -> None:
        """The search begins now, with *total* points."""
        self.total, self._began = total, self.clock()
        self._recent = [self._began]

    def add(self, row: Row, fresh: bool) -> None:
        """One more point is finished."""
        self.counts[row.status] += 1
        if fresh:
            self.fresh += 1
            self._recent = [*self._recent[-_RECENT:], self.clock()]
        loss = self.objectives[0].loss
        if row.eligible and (self.best is None or _rank(row, loss) < _rank(self.best, loss)):
            self.best = row

    @property
    def done(self) -> int:
        """How many points are finished."""
        return sum(self.counts.values())

    @property
    def seconds(self) -> float:
        """For how long the search goes on."""
        return self.clock() - self._began

    @property
    def rate(self) -> float:
        """Points worked on per second, since the search began."""
        return self.fresh / self.seconds if self.seconds > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds that the rest takes at the pace of the last points; None if that is not known."""
        if self.total is None or len(self._recent) < 2:
            return None
        recent = (len(self._recent) - 1) / max(self.clock() - self._recent[0], 1e-9)
        return (self.total - self.done) / recent

    def others(self) -> str:
        """How many points came to nothing, in words."""
        parts = [f"{self.counts[name]:,} {name}" for name in ("infeasible", "failed", "pruned") if self.counts[name]]
        return ", ".join(parts)

    def best_text(self) -> str:
        """The best point so far: its objectives and its values."""
        if self.best is None:
            return "none yet"
        metrics = self.best.evaluation.metrics
        values = ", ".join(f"{measure(one.metric).name} {_amount(one, metrics)}" for one in self.objectives)
        by = f" (by {measure(self.objectives[0].metric).name})" if len(self.objectives) > 1 else ""
        return f"{values}{by}: {in_brief(self.best.assignment)}"


def in_brief(assignment: Assignment) -> str:
    """The values of a point, with the last parts of their names."""
    names = shortest(list(assignment))
    return " ".join(f"{names[name]}={shown(value)}" for name, value in assignment.items())


@contextmanager
def watching(objectives: Sequence[Objective], *, quiet: bool) -> Iterator[tuple[Listener, Tally]]:
    """A listener for a search, which shows what it should, and the tally that it keeps."""
    tally = Tally(objectives)
    if quiet:
        yield _Silent(tally), tally
    elif sys.stderr.isatty():
        with _OnTerminal(tally) as listener:
            yield listener, tally
    else:
        yield InLines(tally, _say), tally


class _Silent:
    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    def begin(self, total: int | None) -> None:
        self.tally.begin(total)

    def found(self, row: Row, fresh: bool) -> None:
        self.tally.add(row, fresh)

    def tick(self) -> None:
        """Nothing is shown."""


class InLines(_Silent):
    """*say*s how far the search is: the first time after 10 seconds, and then every 30."""

    def __init__(self, tally: Tally, say: Callable[[str], None]) -> None:
        super().__init__(tally)
        self._say = say
        self._due = _FIRST

    def tick(self) -> None:
        """Say it, if it is time."""
        if self.tally.seconds >= self._due:
            self._due = self.tally.seconds + _NEXT
            self._say(self.line())

    def line(self) -> str:
        """How far the search is, in one line."""
        tally = self.tally
        of = "" if tally.total is None else f" of {tally.total:,}"
        parts = [f"{tally.done:,}{of} points", f"{tally.rate:.3g} points/s", f"best so far {tally.best_text()}"]
        if others := tally.others():
            parts.insert(1, others)
        if tally.left is not None:
            parts.insert(-1, f"about {duration(tally.left)} left")
        return "; ".join(parts)


class _OnTerminal(_Silent):
    """A bar and the best point so far, which go when the search ends."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally)
        columns = (BarColumn(bar_width=30), MofNCompleteColumn())
        self._bar = Progress("exploring", *columns)
        self._task = self._bar.add_task("", total=None)
        self._live = Live(console=Console(stderr=True), transient=True, auto_refresh=False)
        self._due = 0.0

    def __enter__(self) -> _OnTerminal:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def found(self, row: Row, fresh: bool) -> None:
        super().found(row, fresh)
        if self.tally.seconds >= self._due:
            self.tick()

    def tick(self) -> None:
        """Draw it anew, but not too often."""
        tally = self.tally
        if tally.seconds < self._due:
            return
        self._due = tally.seconds + _REDRAW
        self._bar.update(self._task, completed=tally.done, total=tally.total)
        pace = [f"{tally.rate:.3g} points/s", *([] if tally.left is None else [f"about {duration(tally.left)} left"])]
        lines = [f"  {', '.join(pace)}", f"  best so far: {tally.best_text()}"]
        if others := tally.others():
            lines.insert(1, f"  {others}")
        self._live.update(Group(self._bar, *[Text(line, overflow="ellipsis", no_wrap=True) for line in lines]))
        self._live.refresh()


def duration(seconds: float) -> str:
    """*seconds* for people."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 6000:
        return f"{round(whole / 60)} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _rank(row: Row, loss: Callable[[dict[str, float]], float]) -> tuple[float, int]:
    return loss(row.evaluation.metrics), row.number


def _amount(objective: Objective, metrics: dict[str, float]) -> str:
    return measure(objective.metric).text(metrics[objective.metric])


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
