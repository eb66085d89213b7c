"""Operands and instructions for the tests of the vector unit."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from ascend_sim.config import Chip, load_chip
from ascend_sim.isa.instruction import Operand
from ascend_sim.isa.operands import Buffer, LocalTensor
from ascend_sim.isa.source import SourceLine
from ascend_sim.isa.vector import VectorInstruction
from ascend_sim.isa.vector_compute import Comparison, Dequantization
from ascend_sim.isa.vector_ops import VECTOR_OPS, Pattern
from ascend_sim.isa.words import MemoryOrder, Space
from ascend_sim.numerics import DType, RoundMode

HERE = SourceLine("kernel.py", 7)
UB_BYTES = 256 * 1024


@cache
def ascend910b3() -> Chip:
    """The chip on whose silicon most latencies were measured."""
    return load_chip("ascend910b3")


class UnifiedBuffer:
    """The UB of one vector core as instructions see it."""

    def __init__(self) -> None:
        self.bytes = np.zeros(UB_BYTES, np.uint8)

    def read(self, operand: Operand) -> Any:
        """A copy of the operand's values."""
        assert isinstance(operand, LocalTensor)
        return operand.read(self.bytes)

    def write(self, operand: Operand, values: Any) -> None:
        """Store values of the operand's shape."""
        assert isinstance(operand, LocalTensor)
        assert values.shape == operand.shape
        operand.write(self.bytes, values)


def tile(
    name: str, shape: tuple[int, ...], dtype: DType, offset: int = 0, space: Space = Space.UB, start: int = 0
) -> LocalTensor:
    """A tensor over a buffer of its own, at byte *offset*."""
    return Buffer(name, space, offset, UB_BYTES - offset, HERE).tile(shape, dtype, MemoryOrder.ND, start)


def instruction(name: str, dst: LocalTensor, *inputs: LocalTensor, **more: Any) -> VectorInstruction:
    """A vector instruction with the defaults that its operation needs."""
    operation = VECTOR_OPS[name]
    if operation.scalar:
        more.setdefault("scalar", 1)
    if name == "cast":
        more.setdefault("round_mode", RoundMode.CAST_RINT)
    if operation.pattern in (Pattern.COMPARE, Pattern.MASK):
        more.setdefault("comparison", Comparison.LT)
    if operation.deq:
        count = 16 if name == "cast_deq_vector" else 1
        more.setdefault("dequantization", Dequantization((0.5,) * count, (0,) * count, 16))
    return VectorInstruction(where=HERE, name=name, destination=dst, inputs=inputs, **more)


def execute(vector: VectorInstruction, *values: Any, before: Any = None) -> Any:
    """Run one instruction on *values* of its inputs and *before* in its destination; return the destination."""
    memory = UnifiedBuffer()
    if before is not None:
        memory.write(vector.destination, before)
    for operand, value in zip(vector.inputs, values, strict=True):
        memory.write(operand, value)
    vector.write(memory, vector.read(memory))
    return memory.read(vector.destination)
