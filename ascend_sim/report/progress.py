"""A progress bar for long timing simulations."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ascend_sim.engine.machine import Machine
from ascend_sim.engine.observer import Observer

PATIENCE = 2.0
"""Seconds before the bar appears: quick runs show none."""

_CALLS = 64
"""Clock readings are spared by looking at it once in so many calls."""


class ProgressBar(Observer):
    """Shows on *console* what share of the instructions has been issued, from two seconds on until `close`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begin = time.monotonic()
        self._next = self._begin + PATIENCE
        self._calls = 0
        self._bar: Progress | None = None

    def advanced(self, now: int, machine: Machine) -> None:
        """Draw at most ten times a second."""
        self._calls += 1
        if self._calls % _CALLS or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.1
        issued = sum(core.front[0] for core in machine.cores)
        if self._bar is None:
            columns = (TextColumn("simulating"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.add_task("simulating", total=sum(stream.length for stream in machine.streams))
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=issued)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
