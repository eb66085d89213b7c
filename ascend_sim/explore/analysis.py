"""What an exploration has found: the best points, the place of the base run, trade-offs, the course of a search.

How much each parameter matters is in `effects`, why points are infeasible in `refusals`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from ascend_sim.explore.point import Assignment, Evaluation, Status, Value
from ascend_sim.explore.space import Parameter
from ascend_sim.explore.wording import identity, told_apart

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FOOTPRINTS = ("l1_bytes", "ub_bytes")
"""What the time is set against even where it is the only objective."""


class Row(Protocol):
    """A point of the table: the *number* at which it was asked for, its values and what became of it.

    *status* is how this exploration took it. It is *eligible* if it is done and breaks no constraint.
    """

    @property
    def number(self) -> int:
        """Its place in the order of the search, from 0."""

    @property
    def assignment(self) -> Assignment:
        """The values of the parameters."""

    @property
    def evaluation(self) -> Evaluation:
        """What came out."""

    @property
    def status(self) -> Status:
        """As what this exploration counts it."""

    @property
    def eligible(self) -> bool:
        """Whether it may be the best."""


class Objective(Protocol):
    """A *metric* and whether less or more of it is better."""

    @property
    def metric(self) -> str:
        """One of METRICS."""

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """Which way is better."""


@dataclass(frozen=True)
class Axis:
    """A parameter: its *name*, its *values* (rising if they are *ordered*, else as given), and which each point has.

    *levels* has an index into *values* for each point of the table.
    """

    name: str
    values: tuple[Value, ...]
    ordered: bool
    levels: Ints

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The values as they are shown."""
        return told_apart(self.values)


@dataclass(frozen=True)
class Study:
    """An exploration to look into: its *objectives*, the values of its *space* by parameter, its *rows* in order.

    *base* are the base run's own values of the parameters and *base_evaluation* what the base run itself comes to,
    None if that is not known. *constraints* are texts.
    """

    name: str
    description: str
    objectives: Sequence[Objective]
    constraints: Sequence[str]
    space: Mapping[str, Sequence[Value]]
    rows: Sequence[Row]
    base: Assignment
    base_evaluation: Evaluation | None = None

    @property
    def first(self) -> Objective:
        """The objective by which points are put in order."""
        return self.objectives[0]

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The parameters that have more than one value, in the order of the file."""
        return tuple(axis for axis in map(self._axis, self.space) if len(axis.values) > 1)

    def _axis(self, name: str) -> Axis:
        values = tuple(self.space[name])
        order = Parameter(name, values).order
        values = values if order is None else tuple(values[n] for n in order)
        place = {identity(value): number for number, value in enumerate(values)}
        levels = np.array([place[identity(row.assignment[name])] for row in self.rows], dtype=np.int64)
        return Axis(name, values, order is not None, levels)

    @cached_property
    def done(self) -> Ints:
        """Which rows were simulated to their end, eligible or not."""
        return np.array([n for n, row in enumerate(self.rows) if row.status == "done"], dtype=np.int64)

    @cached_property
    def eligible(self) -> Ints:
        """Which rows may be the best."""
        return np.array([n for n, row in enumerate(self.rows) if row.eligible], dtype=np.int64)

    def values(self, metric: str, among: Ints | None = None) -> Floats:
        """*metric* of the rows *among* (all rows that are done, by default)."""
        chosen = self.done if among is None else among
        return np.array([self.rows[n].evaluation.metrics[metric] for n in chosen], dtype=np.float64)

    @cached_property
    def ranking(self) -> Ints:
        """The eligible rows, the best one by the first objective first; of equal ones the one found first."""
        order = losses(self.first, self.values(self.first.metric, self.eligible))
        return self.eligible[np.argsort(order, kind="stable")]

    @cached_property
    def front(self) -> Ints:
        """The eligible rows that no other is better than in one objective without being worse in another."""
        columns = [losses(one, self.values(one.metric, self.ranking)) for one in self.objectives]
        return self.ranking[nondominated(np.column_stack(columns))] if len(self.ranking) else self.ranking

    @cached_property
    def distinct_front(self) -> list[Row]:
        """The rows of the front, of those that are equal in all objectives the one found first."""
        found: dict[tuple[float, ...], Row] = {}
        for n in self.front:
            metrics = self.rows[n].evaluation.metrics
            found.setdefault(tuple(metrics[one.metric] for one in self.objectives), self.rows[n])
        return list(found.values())

    def best_of(self, objective: Objective) -> Row | None:
        """The eligible row that is best by *objective*, of equal ones the first; None if no row is eligible."""
        if not len(self.eligible):
            return None
        place = int(np.argmin(losses(objective, self.values(objective.metric, self.eligible))))
        return self.rows[int(self.eligible[place])]

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many rows have each status; those that break a constraint are among the done ones."""
        found = dict.fromkeys(get_args(Status), 0)
        for row in self.rows:
            found[row.status] += 1
        return found

    def best(self, top: int) -> list[Row]:
        """The *top* best rows: by the one objective; of several, rows of the Pareto front.

        Of a front with more rows than *top* those are taken that divide it evenly, in the order of the first objective;
        of rows that are equal in all objectives the one found first.
        """
        if len(self.objectives) == 1:
            return [self.rows[n] for n in self.ranking[:top]]
        found = self.distinct_front
        if len(found) <= top:
            return found
        places = np.linspace(0, len(found) - 1, top).round().astype(int)
        return [found[place] for place in places]

    def changes(self, row: Row) -> list[tuple[str, Value, Value]]:
        """The parameters in which *row* differs from the base run: name, the base run's value, its own."""
        return [
            (name, self.base.get(name), value)
            for name, value in row.assignment.items()
            if identity(value) != identity(self.base.get(name))
        ]

    @cached_property
    def base_row(self) -> Row | None:
        """The point with the base run's own values, if it is one of the table."""
        wanted = {name: identity(self.base.get(name)) for name in self.space}
        for row in self.rows:
            if all(identity(row.assignment[name]) == one for name, one in wanted.items()):
                return row
        return None

    @property
    def base_metrics(self) -> Mapping[str, float] | None:
        """What the base run comes to, None if it could not be simulated or was not."""
        found = self.base_row.evaluation if self.base_row is not None else self.base_evaluation
        return found.metrics if found is not None and found.status == "done" else None

    @property
    def base_place(self) -> int | None:
        """How many eligible points are better than the base run by the first objective, plus 1."""
        metrics = self.base_metrics
        if metrics is None:
            return None
        all_losses = losses(self.first, self.values(self.first.metric, self.eligible))
        own = losses(self.first, np.array([metrics[self.first.metric]]))[0]
        return int(np.count_nonzero(all_losses < own)) + 1


def losses(objective: Objective, values: Floats) -> Floats:
    """*values* of the metric of *objective*, so that less is better."""
    return values if objective.direction == "minimize" else -values


def nondominated(points: Floats) -> NDArray[np.bool_]:
    """Which rows of *points* (one column for each loss) are on the Pareto front; equal rows are there together."""
    order = np.lexsort(points.T[::-1])
    front: list[int] = []
    for n in order:
        here = points[n]
        known = points[front]
        # In this order a point can only be dominated by one before it.
        if not bool(np.any(np.all(known <= here, axis=1) & np.any(known < here, axis=1))):
            front.append(int(n))
    found = np.zeros(len(points), dtype=np.bool_)
    found[front] = True
    return found


def trade_offs(study: Study) -> list[tuple[str, str]]:
    """Pairs of metrics to be set against each other: all pairs of objectives, and the first against footprints.

    A footprint that is the same for all eligible points is left out.
    """
    metrics = [one.metric for one in study.objectives]
    pairs = [(a, b) for n, a in enumerate(metrics) for b in metrics[n + 1 :]]
    for name in FOOTPRINTS:
        if name not in metrics and len(set(study.values(name, study.eligible).tolist())) > 1:
            pairs.append((metrics[0], name))
    return pairs


def direction_of(study: Study, metric: str) -> Literal["minimize", "maximize"]:
    """Which way of *metric* is better: as the objectives say; a footprint had better be small."""
    return next((one.direction for one in study.objectives if one.metric == metric), "minimize")


def pair_front(study: Study, pair: tuple[str, str]) -> Ints:
    """The eligible rows on the front of two metrics, from the best by the first one on."""
    columns = []
    for metric in pair:
        values = study.values(metric, study.eligible)
        columns.append(values if direction_of(study, metric) == "minimize" else -values)
    points = np.column_stack(columns)
    chosen = np.flatnonzero(nondominated(points))
    return study.eligible[chosen[np.lexsort(points[chosen].T[::-1])]]


def best_so_far(study: Study, objective: Objective) -> tuple[Ints, Floats]:
    """The numbers of the eligible points at which *objective* got better than before, and its value there."""
    values = study.values(objective.metric, study.eligible)
    numbers = np.array([study.rows[n].number for n in study.eligible], dtype=np.int64)
    lowest = np.minimum.accumulate(losses(objective, values)) if len(values) else values
    better = np.flatnonzero(np.diff(lowest, prepend=np.inf) < 0)
    return numbers[better], values[better]
