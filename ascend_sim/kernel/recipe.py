"""What the recording of a stage depends on: its code and the values that it closes over."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

from pydantic import BaseModel

from ascend_sim.errors import Diagnostic, KernelError
from ascend_sim.isa.operands import Buffer, GlobalTensor, LocalTensor
from ascend_sim.isa.source import refusal
from ascend_sim.kernel.ring import Ring
from ascend_sim.numerics import DType

_MISSING = object()
_MOST_STAGES = 100
"""Stages that are watched at most: a kernel that defines one in a loop makes a new one each time."""
_VALUES = (int, float, str, bool, bytes, type(None), Enum, DType, Buffer, LocalTensor, GlobalTensor)


@dataclass(eq=False, slots=True)
class _Seen:
    """All that a recipe was made of, in one list, to see quickly that nothing has changed since.

    *names* are values of globals and of attributes, in their dictionaries; *sizes* are those of the dictionaries of
    attributes; *parts* are the cells and defaults of functions. It is *steady* if no value can change inside.
    """

    names: list[tuple[Mapping[str, object], str, object]] = field(default_factory=list)
    sizes: list[tuple[Mapping[str, object], int]] = field(default_factory=list)
    parts: list[tuple[object, str, object]] = field(default_factory=list)
    steady: bool = True

    def add(self, function: FunctionType, names: Iterable[str]) -> None:
        """Keep what *function* closes over, its defaults, and the values of *names* in its module."""
        scope = function.__globals__
        self.names += [(scope, name, scope.get(name, _MISSING)) for name in names]
        self.parts += [(function, name, getattr(function, name)) for name in ("__defaults__", "__kwdefaults__")]
        self.parts += [(cell, "cell_contents", cell.cell_contents) for cell in function.__closure__ or ()]

    def add_attributes(self, attributes: Mapping[str, object]) -> None:
        """Keep the *attributes* of an object."""
        self.names += [(attributes, *one) for one in attributes.items()]
        self.sizes.append((attributes, len(attributes)))

    def still_holds(self) -> bool:
        """Whether every value is the same object as when it was seen."""
        for scope, name, value in self.names:
            if scope.get(name, _MISSING) is not value:
                return False
        try:
            for owner, name, value in self.parts:
                if getattr(owner, name) is not value:
                    return False
        except ValueError:  # a variable that has no value any more
            return False
        return all(len(attributes) == size for attributes, size in self.sizes)


class Recipes:
    """Computes recipes for the stages of one core.

    A recipe is a hashable value, equal for functions that would emit equal instructions from equal arguments. *number*
    gives equal values one number. What a function or an object holds is looked into once, and again when it holds
    something else, or what may have changed inside.
    """

    def __init__(self, number: Callable[[object], int]) -> None:
        self._number = number
        self._functions: dict[CodeType, tuple[tuple[str, ...], list[object], list[tuple[FunctionType, int]], int]] = {}
        self._objects: dict[int, tuple[list[object], int]] = {}
        self._models: dict[int, tuple[BaseModel, Hashable]] = {}
        self._globals: dict[CodeType, tuple[str, ...]] = {}
        self._stages: dict[int, tuple[Callable[..., Any], _Seen, Hashable]] = {}
        self._seen = _Seen()

    def of_stage(self, body: Callable[..., Any]) -> Hashable:
        """The recipe of the *body* of a stage, which is asked for at each of its calls.

        Raise a KernelError for a value whose changes could not be seen, such as a list.
        """
        known = self._stages.get(id(body))
        if known is not None and known[0] is body and known[1].still_holds():
            return known[2]
        seen = self._seen = _Seen()
        recipe = self.of(body)
        if seen.steady and len(self._stages) < _MOST_STAGES:
            self._stages[id(body)] = body, seen, recipe
        return recipe

    def of(self, function: Callable[..., Any]) -> Hashable:
        """The recipe of *function*; raise what `of_stage` raises."""
        if isinstance(function, MethodType):
            return self.of(function.__func__), self._of_object(function.__self__, function.__func__)
        function = getattr(function, "__wrapped__", function)
        return self._of_function(function) if isinstance(function, FunctionType) else function

    def _of_function(self, function: FunctionType) -> int:
        code = function.__code__
        known = self._functions.get(code)
        if known is not None and _same(known[1], _read_by(function, known[0])):
            for helper, recipe in known[2]:
                if self._of_function(helper) != recipe:
                    break
            else:
                self._seen.add(function, known[0])
                return known[3]
        names = self._globals.get(code)
        if names is None:
            scope = function.__globals__
            names = tuple([name for name in code.co_names if name in scope and _may_change(scope[name])])
            self._globals[code] = names
        values = _read_by(function, names)
        self._seen.add(function, names)
        closed = tuple([self._of_value(*one, function) for one in zip(code.co_freevars, values, strict=False)])
        defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
        fixed = tuple([self._of_value("a default", value, function) for value in defaults])
        recipe = self._number((code, closed, fixed, self._of_globals(function, names)))
        helpers = [value for value in values if isinstance(value, FunctionType)]
        steady = all(isinstance(value, (*_VALUES, Ring, FunctionType)) for value in values)
        if steady and all(map(self._is_leaf, helpers)):
            self._functions[code] = names, values, [(one, self._of_function(one)) for one in helpers], recipe
        self._seen.steady = self._seen.steady and steady
        return recipe

    def _is_leaf(self, function: FunctionType) -> bool:
        """Whether *function* is known, and calls no other function whose values could change in turn."""
        known = self._functions.get(function.__code__)
        return known is not None and not known[2]

    def _of_globals(self, function: FunctionType, names: tuple[str, ...]) -> Hashable:
        """The values of the module that the function reads: constants, tables of constants and helper functions."""
        if not names:
            return ()
        self._globals[function.__code__] = ()  # a function that calls itself is looked into once
        found: list[Hashable] = []
        for name in names:
            value = function.__globals__.get(name)
            if isinstance(value, dict):
                value = tuple(value.items())
            elif isinstance(value, list | set):
                value = tuple(value)
            found.append((name, self._of_value(name, value, function)))
        self._globals[function.__code__] = names
        return tuple(found)

    def _of_object(self, owner: object, function: Callable[..., Any]) -> int:
        attributes = vars(owner)
        self._seen.add_attributes(attributes)
        values = [owner, *attributes.values()]
        known = self._objects.get(id(owner))
        if known is None or not _same(known[0], values):
            parts = tuple([(name, self._of_value(name, value, function)) for name, value in attributes.items()])
            known = self._objects[id(owner)] = values, self._number(parts)
        return known[1]

    def _of_value(self, name: str, value: object, function: Any) -> Hashable:
        if isinstance(value, _VALUES):
            return value
        if isinstance(value, Ring):
            return "ring", value.recipe
        if isinstance(value, tuple):
            return tuple([self._of_value(name, part, function) for part in value])
        if isinstance(value, (FunctionType, MethodType)):
            return self.of(value)
        recipe: Hashable = getattr(value, "recipe_key", None)
        if recipe is not None:
            return recipe
        if isinstance(value, BaseModel) and value.model_config.get("frozen"):
            model = self._models.get(id(value))
            if model is None or model[0] is not value:
                model = self._models[id(value)] = value, (type(value), value.model_dump_json())
            return model[1]
        raise KernelError(
            Diagnostic(
                f"stage '{function.__name__}' uses '{name}', a {type(value).__name__} of the kernel: a stage is "
                f"recorded once and would not see it change; pass it as an argument, or make it a tuple or a number",
                function.__code__.co_filename,
                function.__code__.co_firstlineno,
            )
        )


def _may_change(value: object) -> bool:
    """Whether a global of the user's module is worth watching: modules, classes and the DSL itself are not."""
    if isinstance(value, FunctionType):
        return not value.__module__.startswith("ascend_sim.")
    return isinstance(value, (*_VALUES, dict, list, set, tuple, BaseModel))


def _read_by(function: FunctionType, names: tuple[str, ...]) -> list[object]:
    """What *function* closes over, its defaults, and the values of *names* in its module."""
    values = list(map(function.__globals__.get, names))
    if function.__defaults__ or function.__kwdefaults__:
        values = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(), *values]
    if function.__closure__:
        values = [*map(partial(_content, function), function.__code__.co_freevars, function.__closure__), *values]
    return values


def _content(function: FunctionType, name: str, cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        raise refusal(
            f"stage '{function.__name__}' uses '{name}', which has no value yet; assign it before the stage is called"
        ) from None


def _same(one: list[object], other: list[object]) -> bool:
    """Whether two lists hold the same objects."""
    return len(one) == len(other) and all(map(operator.is_, one, other))
