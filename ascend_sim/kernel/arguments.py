"""What a kernel may hand to the functions of the DSL: kinds of values, with refusals that say what to write."""

from __future__ import annotations

from enum import Enum
from types import FunctionType

from ascend_sim.isa.operands import Buffer, GlobalTensor, LocalTensor
from ascend_sim.isa.source import refusal
from ascend_sim.isa.words import Pipe


def expect(what: str, value: object, kind: type, way_out: str) -> None:
    """Raise a KernelError at the user's line unless *value* is of *kind*; *way_out* is what to write instead."""
    if not isinstance(value, kind):
        raise refusal(f"{what} is {shown(value)}; write {way_out} instead")


def expect_pipes(what: str, *pipes: object) -> None:
    """Raise a KernelError unless all of *pipes* are pipes."""
    for pipe in pipes:
        expect(f"{what}: the pipe", pipe, Pipe, "Pipe.V, for example,")


def shown(value: object) -> str:
    """*value* as a message names it."""
    if isinstance(value, Buffer):
        return f"the raw buffer '{value.name}'"
    if isinstance(value, LocalTensor):
        return f"'{value.buffer.name}' in {value.space.value}"
    if isinstance(value, GlobalTensor):
        return f"'{value.name}' in GM"
    if isinstance(value, FunctionType | type):
        return f"{'the class' if isinstance(value, type) else 'the function'} {value.__name__}"
    text = str(value) if isinstance(value, Enum) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
