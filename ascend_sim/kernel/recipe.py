"""What the recording of a stage depends on: its code and the values that it closes over."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from enum import Enum
from types import FunctionType
from typing import Any

from pydantic import BaseModel

from ascend_sim.errors import Diagnostic, KernelError
from ascend_sim.isa.operands import Buffer, GlobalTensor, LocalTensor
from ascend_sim.kernel.ring import Ring
from ascend_sim.numerics import DType

_VALUES = (int, float, str, bool, bytes, type(None), Enum, DType, Buffer, LocalTensor, GlobalTensor)


def recipe_of(function: Callable[..., Any]) -> Hashable:
    """A hashable value, equal for functions that would emit equal instructions from equal arguments.

    Raise a KernelError for a closed-over object whose changes could not be seen, such as a list.
    """
    function = getattr(function, "__wrapped__", function)
    if not isinstance(function, FunctionType):
        return function
    names = function.__code__.co_freevars
    cells = function.__closure__ or ()
    parts = tuple(
        (name, _value(name, cell.cell_contents, function)) for name, cell in zip(names, cells, strict=True)
    )
    defaults = tuple(_value("a default", value, function) for value in function.__defaults__ or ())
    return function.__code__, parts, defaults


def _value(name: str, value: object, function: FunctionType) -> Hashable:
    if isinstance(value, _VALUES):
        return value
    if isinstance(value, Ring):
        return "ring", value.recipe
    if isinstance(value, tuple):
        return tuple(_value(name, part, function) for part in value)
    if isinstance(value, FunctionType):
        return recipe_of(value)
    if isinstance(value, BaseModel) and value.model_config.get("frozen"):
        return id(value)
    recipe = getattr(value, "recipe_key", None)
    if recipe is not None:
        return recipe  # type: ignore[no-any-return]
    raise KernelError(
        Diagnostic(
            f"stage '{function.__name__}' uses '{name}', a {type(value).__name__} of the kernel: a stage is recorded once "
            f"and would not see it change; pass it as an argument, or make it a tuple or a number",
            function.__code__.co_filename,
            function.__code__.co_firstlineno,
        )
    )
