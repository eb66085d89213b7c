"""The space of an exploration: parameters with their values, and the conditions that its points fulfil."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from operator import itemgetter
from typing import Any

from ascend_sim.config import parse_override
from ascend_sim.errors import ArgumentError
from ascend_sim.explore.expressions import Expression
from ascend_sim.explore.point import Assignment, Value

Indices = tuple[int, ...]
"""For each parameter in order, which of its values a point has."""

_KEPT = 1 << 17
"""Answers of a condition that are kept; most conditions have far fewer combinations of values."""


@dataclass(frozen=True)
class Parameter:
    """A dotted key of the run or of its chip, and the values that it takes."""

    name: str
    values: tuple[Value, ...]

    @property
    def order(self) -> tuple[int, ...] | None:
        """The values in ascending order, by their indices; None if no order is meant, as of texts or truth values.

        Mappings are in the order of their first number, if all others only grow or only shrink with it.
        """
        rows = [_numbers(value) for value in self.values]
        if any(row is None or row.keys() != (rows[0] or {}).keys() for row in rows):
            return None
        numbers = [[row[key] for key in sorted(row)] for row in rows if row is not None]
        order = sorted(range(len(numbers)), key=lambda index: numbers[index])
        columns = zip(*(numbers[index] for index in order), strict=True)
        if any(list(column) not in (sorted(column), sorted(column, reverse=True)) for column in columns):
            return None
        return tuple(order)


@dataclass(frozen=True)
class Space:
    """All combinations of the values of *parameters* for which all *conditions* hold."""

    parameters: tuple[Parameter, ...]
    conditions: tuple[Expression, ...] = ()

    @property
    def size(self) -> int:
        """The number of combinations, whether or not conditions hold."""
        return prod(self.sizes)

    @cached_property
    def sizes(self) -> Indices:
        """How many values each parameter has."""
        return tuple(len(parameter.values) for parameter in self.parameters)

    def at(self, indices: Sequence[int]) -> dict[str, Value]:
        """The point in which each parameter has the value with its index."""
        return {one.name: one.values[index] for one, index in zip(self.parameters, indices, strict=True)}

    def holds(self, assignment: Assignment) -> bool:
        """Whether all conditions hold for a point. Raise a ConfigError if one has no value for it."""
        return all(condition.holds(assignment) for condition in self.conditions)

    def admits(self, indices: Sequence[int]) -> bool:
        """The same for the point with these *indices*, quicker."""
        return all(test(indices) for tests in self._tests for test in tests)

    def grid(self) -> Iterator[dict[str, Value]]:
        """The points for which the conditions hold; the last parameter varies fastest."""
        return (self.at(indices) for indices in self.walk(len(self.parameters)))

    def count(self) -> int:
        """How many points there are for which the conditions hold."""
        last = max((depth for depth, tests in enumerate(self._tests) if tests), default=-1) + 1
        return sum(1 for _ in self.walk(last)) * prod(self.sizes[last:])

    def walk(self, depth: int) -> Iterator[Indices]:
        """The indices of the first *depth* parameters, for which those conditions hold that name no others.

        A condition is asked as soon as its parameters have values, so that whole branches are left out at once.
        """
        index, at = [0] * depth, 0
        if not depth:
            yield ()
            return
        while at >= 0:
            if index[at] == self.sizes[at]:
                index[at], at = 0, at - 1
                if at >= 0:
                    index[at] += 1
            elif not all(test(index) for test in self._tests[at]):
                index[at] += 1
            elif at == depth - 1:
                yield tuple(index)
                index[at] += 1
            else:
                at += 1

    @cached_property
    def _tests(self) -> list[list[Callable[[Sequence[int]], bool]]]:
        """The conditions, as tests of indices, by the last parameter that they need."""
        tests: list[list[Callable[[Sequence[int]], bool]]] = [[] for _ in self.parameters]
        for condition in self.conditions:
            needed = [at for at, one in enumerate(self.parameters) if _depends(condition, one.name)]
            tests[max(needed, default=0)].append(self._test(condition, needed or [0]))
        return tests

    def _test(self, condition: Expression, needed: Sequence[int]) -> Callable[[Sequence[int]], bool]:
        parameters = [self.parameters[at] for at in needed]
        pick: Callable[[Sequence[int]], Any] = itemgetter(*needed)

        @lru_cache(maxsize=_KEPT)
        def answer(picked: Any) -> bool:
            indices = picked if isinstance(picked, tuple) else (picked,)
            pairs = zip(parameters, indices, strict=True)
            return condition.holds({one.name: one.values[index] for one, index in pairs})

        return lambda indices: answer(pick(indices))


def overrides_of(assignment: Assignment) -> tuple[str, ...]:
    """The point as overrides of its run, such as "tiling.task_rows=128"."""
    return tuple(f"{name}={_written(name, value)}" for name, value in assignment.items())


def label(value: Value) -> str:
    """*value* in as few letters as a table has room for: 1.6e+12, "true", "m=1024 n=576"."""
    if isinstance(value, dict):
        return " ".join(f"{key}={label(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return f"[{', '.join(map(label, value))}]"
    if isinstance(value, float):
        return short if float(short := f"{value:g}") == value else repr(value)
    return value if isinstance(value, str) else json.dumps(value)


def _depends(condition: Expression, parameter: str) -> bool:
    return any(name == parameter or name.startswith(f"{parameter}.") for name in condition.names)


def _written(name: str, value: Value) -> str:
    """*value* as YAML in one line, in quotes only where it would be read as something else without."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_written(name, inner)}' for key, inner in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(_written(name, inner) for inner in value)}]"
    if isinstance(value, str) and _reads_as(name, value, value):
        return value
    text = json.dumps(value)
    # YAML wants a point in a number with an exponent.
    return repr(value) if isinstance(value, float) and not _reads_as(name, text, value) else text


def _reads_as(name: str, text: str, value: Value) -> bool:
    try:
        # In a list, so that what ends an item there is not taken for plain text.
        return bool(parse_override(f"{name}=[{text}]").value == [value])
    except ArgumentError:
        return False


def _numbers(value: Value) -> dict[str, float] | None:
    """The numbers of *value* by their keys, or None if it holds something else."""
    members: dict[str, Any] = value if isinstance(value, dict) else {"": value}
    plain = all(isinstance(one, int | float) and not isinstance(one, bool) for one in members.values())
    return members if plain else None
