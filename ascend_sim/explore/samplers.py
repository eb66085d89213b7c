"""Ways through a space: which point is tried next, given what has become of those before it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

from ascend_sim.explore.config import Exploration
from ascend_sim.explore.forms import MOST_VALUES
from ascend_sim.explore.keys import base_assignment
from ascend_sim.explore.packages import package
from ascend_sim.explore.point import Assignment, Value
from ascend_sim.explore.space import Indices, Space

_OUTSIDE = 10
"""Proposals in a row that may be outside the conditions, of which optuna knows nothing."""

_NEIGHBOURS = 100
"""Neighbours of a point that are looked at before a point is drawn at random."""

_DRAWS = 10_000
"""Draws in a row that may be known, after which the points that are left are counted out instead."""

_COUNTED = 1_000_000
"""Combinations of values up to which the points of a space are counted."""

_POPULATION = 20
"""Points of a generation of nsga2."""

_CHUNK = 64
"""Points of a Sobol sequence that are made at once: a power of two, of which they are balanced."""


class Sampler(Protocol):
    """Chooses points; all of them are different, and the same for the same calls of ask() and tell()."""

    @property
    def total(self) -> int | None:
        """How many points there will be, or None if that is not known."""

    def ask(self) -> dict[str, Value] | None:
        """The next point, or None if there are no more."""

    def tell(self, number: int, losses: tuple[float, ...] | None) -> None:
        """Say how bad the *number*-th point was, for each objective.

        Points are told in order. *losses* is None for one that cannot be chosen: infeasible, failed, pruned, or with a
        constraint that it breaks.
        """


def sampler_of(exploration: Exploration) -> Sampler:
    """The sampler of the strategy of *exploration*. Raise an ArgumentError if a package is missing."""
    space, strategy = exploration.space, exploration.strategy
    if strategy.name == "grid":
        return _Listed(space, space.walk(len(space.parameters)), space.count())
    assert strategy.points is not None
    total = _total(space, strategy.points)
    if strategy.name in ("tpe", "nsga2"):
        own = _place(space, base_assignment(exploration.run, space.parameters))
        return _Optuna(space, strategy.name, strategy.seed, total, len(exploration.objectives), own)
    proposals: dict[str, Callable[[], Iterator[Indices]]] = {
        "random": lambda: iter(()),
        "latin_hypercube": lambda: _latin_hypercube(space, strategy.seed, total),
        "sobol": lambda: _sobol(space, strategy.seed),
    }
    return _Listed(space, _filled(space, proposals[strategy.name](), strategy.seed, total), total)


class _Listed:
    """A sampler whose points do not depend on results."""

    def __init__(self, space: Space, points: Iterator[Indices], total: int) -> None:
        self.total: int | None = total
        self._space = space
        self._points = points

    def ask(self) -> dict[str, Value] | None:
        indices = next(self._points, None)
        return None if indices is None else self._space.at(indices)

    def tell(self, number: int, losses: tuple[float, ...] | None) -> None:
        """Nothing is learnt."""


class _Optuna:
    """A sampler of optuna, which learns from results.

    It begins with the *own* point of the run, if the space has it: what somebody has worked out is a better start than
    chance. Values are chosen by their place in ascending order, as whole numbers, so that a value tells something of
    its neighbours whatever lies between them; those without an order are categories.
    """

    def __init__(
        self, space: Space, name: str, seed: int, total: int, objectives: int, own: Indices | None = None
    ) -> None:
        self.total: int | None = total
        self._space = space
        self._optuna = package("optuna")
        self._optuna.logging.set_verbosity(self._optuna.logging.ERROR)
        self._study = self._optuna.create_study(
            storage=self._optuna.storages.InMemoryStorage(),
            sampler=self._sampler(name, seed, objectives),
            directions=["minimize"] * objectives,
        )
        self._orders = [parameter.order for parameter in space.parameters]
        self._distributions = {
            parameter.name: self._distribution(size, order)
            for parameter, size, order in zip(space.parameters, space.sizes, self._orders, strict=True)
        }
        self._trials: list[Any] = []
        self._known: set[Indices] = set()
        self._generator = random.Random(seed)
        self._unseen = _unseen(space, self._known, self._generator)
        self._last: Indices = ()
        self._own = own

    def ask(self) -> dict[str, Value] | None:
        if len(self._trials) == self.total:
            return None
        trial = self._begun() or self._proposed() or self._placed()
        if trial is None:
            return None
        self._known.add(self._indices(trial))
        self._trials.append(trial)
        return self._space.at(self._indices(trial))

    def tell(self, number: int, losses: tuple[float, ...] | None) -> None:
        if losses is None:
            self._forget(self._trials[number])
        else:
            self._study.tell(self._trials[number], losses)

    def _begun(self) -> Any:
        """A trial with the own point of the run, once, if the space has it."""
        own, self._own = self._own, None
        return None if own is None or not self._is_new(own) else self._at(own)

    def _proposed(self) -> Any:
        """A trial with a new point of the space that optuna chooses, or None if it comes up with a known one."""
        for _ in range(_OUTSIDE):
            trial = self._study.ask(self._distributions)
            self._last = self._indices(trial)
            if self._is_new(self._last):
                return trial
            self._forget(trial)
            if self._last in self._known:
                break  # Asked again, it would mostly say the same.
        return None

    def _placed(self) -> Any:
        """A trial with a new point next to what was proposed last, or else anywhere; None if there is none left."""
        near = (self._neighbour(self._last, 1 + tries // 40) for tries in range(_NEIGHBOURS))
        indices = next(filter(self._is_new, near), None) or next(self._unseen, None)
        return None if indices is None else self._at(indices)

    def _at(self, indices: Indices) -> Any:
        """A trial with the point at *indices*."""
        ranks = (order.index(at) if order else at for at, order in zip(indices, self._orders, strict=True))
        self._study.enqueue_trial(dict(zip(self._distributions, ranks, strict=True)))
        return self._study.ask(self._distributions)

    def _neighbour(self, indices: Indices, steps: int) -> Indices:
        """A point of which so many values are the next ones in order, or others where there is no order."""
        found = list(indices)
        for at in self._generator.sample(range(len(found)), min(steps, len(found))):
            order, index = self._orders[at], found[at]
            if order is None:
                others = [one for one in range(self._space.sizes[at]) if one != index]
            else:
                rank = order.index(index)
                others = [order[one] for one in (rank - 1, rank + 1) if 0 <= one < len(order)]
            found[at] = self._generator.choice(others or [index])
        return tuple(found)

    def _is_new(self, indices: Indices) -> bool:
        return indices not in self._known and self._space.admits(indices)

    def _forget(self, trial: Any) -> None:
        """Let optuna learn nothing from a point: one that is known would count twice.

        Nor from one that cannot be chosen. The best points often lie next to those that no longer fit, and what is
        taken for bad keeps TPE away from its neighbours too.
        """
        self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)

    def _indices(self, trial: Any) -> Indices:
        chosen = trial.params
        ranks = [chosen[parameter.name] for parameter in self._space.parameters]
        return tuple(rank if order is None else order[rank] for rank, order in zip(ranks, self._orders, strict=True))

    def _sampler(self, name: str, seed: int, objectives: int) -> Any:
        if name == "nsga2":
            return self._optuna.samplers.NSGAIISampler(seed=seed, population_size=_POPULATION)
        # One objective is modelled over all parameters together; of several, a front would shrink to a cluster.
        # What is under way counts as bad, so that the next point is not beside it.
        return self._optuna.samplers.TPESampler(seed=seed, multivariate=objectives == 1, constant_liar=True)

    def _distribution(self, size: int, order: tuple[int, ...] | None) -> Any:
        if order is None:
            return self._optuna.distributions.CategoricalDistribution(list(range(size)))
        return self._optuna.distributions.IntDistribution(0, size - 1)


def _place(space: Space, assignment: Assignment) -> Indices | None:
    """Where *assignment* lies in *space*, or None if it does not."""
    found = []
    for parameter in space.parameters:
        if assignment[parameter.name] not in parameter.values:
            return None
        found.append(parameter.values.index(assignment[parameter.name]))
    return tuple(found)


def _total(space: Space, points: int) -> int:
    """*points*, or how many the space has if those are fewer; of a space too large to count, *points*."""
    return min(points, space.count()) if space.size <= _COUNTED else points


def _filled(space: Space, proposals: Iterator[Indices], seed: int, total: int) -> Iterator[Indices]:
    """*total* points: the *proposals*, and others drawn at random for those that the space does not have."""
    known: set[Indices] = set()
    misses = 0
    for indices in proposals:
        if len(known) == total or misses == _DRAWS:
            break
        if indices in known or not space.admits(indices):
            misses += 1
            continue
        misses = 0
        known.add(indices)
        yield indices
    for indices in islice(_unseen(space, known, random.Random(seed)), total - len(known)):
        known.add(indices)
        yield indices


def _unseen(space: Space, known: set[Indices], generator: random.Random) -> Iterator[Indices]:
    """Points of *space* that are not *known* when they are asked for, drawn at random."""
    misses = 0
    while misses < _DRAWS:
        indices = tuple(generator.randrange(size) for size in space.sizes)
        if indices in known or not space.admits(indices):
            misses += 1
        else:
            misses = 0
            yield indices
    if space.size <= MOST_VALUES:
        left = [indices for indices in space.walk(len(space.parameters)) if indices not in known]
        generator.shuffle(left)
        yield from (indices for indices in left if indices not in known)


def _latin_hypercube(space: Space, seed: int, points: int) -> Iterator[Indices]:
    """*points* proposals in which all values of a parameter occur equally often, but for one more or less."""
    sampler = package("scipy.stats.qmc").LatinHypercube(d=len(space.sizes), rng=seed)
    return _cells(space, sampler.random(points))


def _sobol(space: Space, seed: int) -> Iterator[Indices]:
    """Proposals along a scrambled Sobol sequence, which fills the space evenly at any length."""
    sampler = package("scipy.stats.qmc").Sobol(d=len(space.sizes), rng=seed)
    while True:
        yield from _cells(space, sampler.random(_CHUNK))


def _cells(space: Space, rows: Sequence[Sequence[float]]) -> Iterator[Indices]:
    """The points at *rows* of coordinates in [0, 1)."""
    for row in rows:
        yield tuple(int(part * size) for part, size in zip(row, space.sizes, strict=True))
