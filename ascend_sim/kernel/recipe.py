"""What the recording of a stage depends on: its code and the values that it closes over."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable
from enum import Enum
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

from pydantic import BaseModel

from ascend_sim.errors import Diagnostic, KernelError
from ascend_sim.isa.operands import Buffer, GlobalTensor, LocalTensor
from ascend_sim.isa.source import refusal
from ascend_sim.kernel.ring import Ring
from ascend_sim.numerics import DType

_VALUES = (int, float, str, bool, bytes, type(None), Enum, DType, Buffer, LocalTensor, GlobalTensor)


class Recipes:
    """Computes recipes for the stages of one core.

    A recipe is a hashable value, equal for functions that would emit equal instructions from equal arguments. The
    recipe of a method includes the attributes of its object; it is kept until one of them is assigned anew.
    """

    def __init__(self) -> None:
        self._objects: dict[int, tuple[tuple[object, ...], Hashable]] = {}
        self._models: dict[int, tuple[BaseModel, Hashable]] = {}
        self._globals: dict[CodeType, tuple[str, ...]] = {}

    def of(self, function: Callable[..., Any]) -> Hashable:
        """The recipe of *function*.

        Raise a KernelError for a value whose changes could not be seen, such as a list.
        """
        if isinstance(function, MethodType):
            return self.of(function.__func__), self._of_object(function.__self__, function.__func__)
        function = getattr(function, "__wrapped__", function)
        if not isinstance(function, FunctionType):
            return function
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        parts = tuple([self._of_value(name, _content(name, cell, function), function) for name, cell in cells])
        defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
        fixed = tuple([self._of_value("a default", value, function) for value in defaults])
        return function.__code__, parts, fixed, self._of_globals(function)

    def _of_globals(self, function: FunctionType) -> Hashable:
        """The values of the module that the function reads: constants, tables of constants and helper functions."""
        code, scope = function.__code__, function.__globals__
        names = self._globals.get(code)
        if names is None:
            names = self._globals[code] = tuple(
                name for name in code.co_names if name in scope and _may_change(scope[name])
            )
        if not names:
            return ()
        self._globals[code] = ()  # a function that calls itself is looked into once
        found: list[Hashable] = []
        for name in names:
            value = scope.get(name)
            if isinstance(value, dict):
                value = tuple(value.items())
            elif isinstance(value, list | set):
                value = tuple(value)
            found.append((name, self._of_value(name, value, function)))
        self._globals[code] = names
        return tuple(found)

    def _of_object(self, owner: object, function: Callable[..., Any]) -> Hashable:
        attributes = vars(owner)
        values = (owner, *attributes.values())
        known = self._objects.get(id(owner))
        if known is None or len(known[0]) != len(values) or not all(map(operator.is_, known[0], values)):
            parts = tuple([(name, self._of_value(name, value, function)) for name, value in attributes.items()])
            known = self._objects[id(owner)] = values, _Once(parts)
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
        if isinstance(value, BaseModel) and value.model_config.get("frozen"):
            model = self._models.get(id(value))
            if model is None or model[0] is not value:
                model = self._models[id(value)] = value, (type(value), value.model_dump_json())
            return model[1]
        recipe: Hashable = getattr(value, "recipe_key", None)
        if recipe is not None:
            return recipe
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


def _content(name: str, cell: CellType, function: FunctionType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        raise refusal(
            f"stage '{function.__name__}' uses '{name}', which has no value yet; assign it before the stage is called"
        ) from None


class _Once:
    """A large value whose hash is computed once."""

    def __init__(self, value: Hashable) -> None:
        self._value = value
        self._hash = hash(value)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, _Once) and self._value == other._value)
