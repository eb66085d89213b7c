"""Executing a Program with real numbers, in the order of its schedule.

Every instruction reads its sources in the cycle in which it starts and writes its destinations in the cycle in which
its result is visible; of two events in one cycle, writes come first. A program that lacks a flag therefore computes
wrong numbers here, as it would on the chip. Memory that nobody has written holds bytes of 0xFF: NaN in the floating
formats, -1 in the signed integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ascend_sim.config import Chip
from ascend_sim.engine.machine import Schedule
from ascend_sim.errors import ArgumentError, InternalError
from ascend_sim.isa.instruction import Instruction, Operand
from ascend_sim.isa.operands import GlobalTensor, LocalTensor
from ascend_sim.isa.words import Space
from ascend_sim.kernel.core import capacity
from ascend_sim.kernel.program import CoreId, Program

POISON = 0xFF


class CoreMemory:
    """What one core sees: its own buffers, and global memory through the base addresses of the running call."""

    def __init__(self, chip: Chip, core: CoreId, gm: NDArray[np.uint8]) -> None:
        self.core = core
        self._gm = gm
        self._spaces = {
            space: np.full(capacity(chip, space), POISON, dtype=np.uint8) for space in Space if space.core is core.kind
        }
        self.bases: tuple[int, ...] = ()

    def read(self, operand: Operand) -> NDArray[Any]:
        """A copy of the operand's values, of its shape."""
        if isinstance(operand, LocalTensor):
            return operand.read(self._spaces[operand.space])
        return self._window(operand).copy()

    def write(self, operand: Operand, values: NDArray[Any]) -> None:
        """Store *values*, of the operand's shape and format."""
        if isinstance(operand, LocalTensor):
            operand.write(self._spaces[operand.space], values)
        else:
            self._window(operand)[...] = values

    def _window(self, tensor: GlobalTensor) -> NDArray[Any]:
        base = self.bases[tensor.parameter] if tensor.parameter is not None else 0
        begin, size = base + tensor.offset, tensor.dtype.bytes
        length = ((tensor.rows - 1) * tensor.pitch + tensor.columns) * size
        flat = self._gm[begin : begin + length].view(tensor.dtype.numpy)
        if len(tensor.shape) == 1:
            return flat
        return np.lib.stride_tricks.as_strided(flat, tensor.shape, (tensor.pitch * size, size))


class Watch:
    """Looks at the numbers as instructions read and write them; override what you want to see."""

    def reads(self, instruction: Instruction, memory: CoreMemory) -> None:
        """*instruction* is about to read its sources."""

    def writes(self, instruction: Instruction, memory: CoreMemory) -> None:
        """*instruction* is about to write its destinations."""

    def written(self, instruction: Instruction, memory: CoreMemory) -> None:
        """*instruction* has written its destinations."""


def execute(
    program: Program,
    schedule: Schedule,
    chip: Chip,
    inputs: Mapping[str, NDArray[Any]],
    watch: Watch | None = None,
) -> dict[str, NDArray[Any]]:
    """Run *program* on *inputs* (arrays by tensor name, of the declared shapes and formats); return its outputs.

    The schedule must be of every core (symmetry off), since each core works on its own numbers. A *watch* looks on.
    """
    gm = filled_memory(program, inputs)
    if any(len(core.members) != 1 for core in schedule.cores):
        raise InternalError("functional execution needs a schedule of every core")
    # One BLAS thread: the order of a sum must not depend on the host, and the tiles are too small to share.
    with np.errstate(all="ignore"), threadpool_limits(limits=1, user_api="blas"):
        _replay(schedule, chip, [CoreMemory(chip, core.stream.core, gm) for core in schedule.cores], watch)
    return outputs_of(program, gm)


def filled_memory(program: Program, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    """Global memory before the start: the *inputs*, and poison everywhere else."""
    gm = np.full(program.gm_bytes, POISON, dtype=np.uint8)
    for tensor in program.tensors:
        if tensor.role == "input":
            values = np.ascontiguousarray(inputs[tensor.name], dtype=tensor.dtype.numpy)
            gm[tensor.address : tensor.address + tensor.bytes] = values.view(np.uint8).reshape(-1)
    return gm


def outputs_of(program: Program, gm: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """The output tensors as they lie in global memory *gm*."""
    return {
        tensor.name: gm[tensor.address : tensor.address + tensor.bytes]
        .view(tensor.dtype.numpy)
        .reshape(tensor.shape)
        .copy()
        for tensor in program.tensors
        if tensor.role == "output"
    }


def _replay(schedule: Schedule, chip: Chip, memories: list[CoreMemory], watch: Watch | None) -> None:
    """Carry out all reads and writes in order of time; equal times: writes first, then in order of core and program."""
    steps: list[tuple[Instruction, tuple[int, ...], CoreMemory]] = []
    reads: list[int] = []
    ends: list[int] = []
    for core, memory in zip(schedule.cores, memories, strict=True):
        for index, (call, instruction) in enumerate(core.stream):
            if instruction.destinations():
                steps.append((instruction, call.bases, memory))
                late = instruction.late_read(chip)
                reads.append(core.starts[index] if late is None else core.ends[index] - late)
                ends.append(core.ends[index])
    count = len(steps)
    times = np.array(ends + reads, dtype=np.int64)
    kinds = np.repeat(np.array([0, 1], dtype=np.int8), count)
    order = np.lexsort((np.tile(np.arange(count), 2), kinds, times))
    pending: dict[int, Any] = {}
    for event in order.tolist():
        position = event % count
        instruction, bases, memory = steps[position]
        memory.bases = bases
        # What reads in the cycle in which it ends does both when its turn to write has come.
        at_once = reads[position] >= ends[position]
        if (event < count) is at_once:
            if watch is not None:
                watch.reads(instruction, memory)
            pending[position] = instruction.read(memory)
        if event < count:
            if watch is not None:
                watch.writes(instruction, memory)
            instruction.write(memory, pending.pop(position))
            if watch is not None:
                watch.written(instruction, memory)


def generated_inputs(program: Program, seed: int, distribution: str, scale: float) -> dict[str, NDArray[Any]]:
    """Random inputs for every input tensor, in its format.

    "normal" draws from N(0, 1), "uniform" from U(-1, 1), "rising" from U(0.5, 1) growing along the first axis from
    0 to that value, so that later rows have larger products; all are multiplied by *scale*. Integers are drawn
    from -8 to 7. Raise an ArgumentError if a number is beyond its format.
    """
    generator = np.random.default_rng(seed)
    values: dict[str, NDArray[Any]] = {}
    for tensor in program.tensors:
        if tensor.role != "input":
            continue
        if not tensor.dtype.is_float:
            values[tensor.name] = generator.integers(-8, 8, tensor.shape).astype(tensor.dtype.numpy)
            continue
        if distribution == "normal":
            drawn = generator.standard_normal(tensor.shape)
        elif distribution == "uniform":
            drawn = generator.uniform(-1.0, 1.0, tensor.shape)
        else:
            ramp = (np.arange(tensor.shape[0]) + 1) / tensor.shape[0]
            drawn = generator.uniform(0.5, 1.0, tensor.shape) * ramp.reshape(-1, *(1,) * (len(tensor.shape) - 1))
        with np.errstate(over="ignore"):
            values[tensor.name] = (drawn * scale).astype(tensor.dtype.numpy)
        if not np.all(np.isfinite(values[tensor.name])):
            limit = float(ml_dtypes.finfo(tensor.dtype.numpy).max)  # type: ignore[no-untyped-call]
            # A tenth less, since another input may have drawn a larger number.
            raise ArgumentError(
                f"scale {scale:g} makes numbers of input '{tensor.name}' that {tensor.dtype} cannot hold: its largest "
                f"is {limit:g}; use a scale of {0.9 * limit / np.abs(drawn).max():.2g} or less"
            )
    return values
