"""The order in which a core goes through its tasks, some stages ahead of others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

Task = TypeVar("Task")


def in_rounds(tasks: Sequence[Task], *lags: int) -> Iterator[tuple[Task | None, ...]]:
    """For every round and each of the *lags*, the task that is so many behind the round's own; None where none is."""
    for this_round in range(len(tasks) + max(lags)):
        numbers = [this_round - lag for lag in lags]
        yield tuple([tasks[number] if 0 <= number < len(tasks) else None for number in numbers])
