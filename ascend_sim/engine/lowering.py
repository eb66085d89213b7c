"""Templates as flat tuples of integers: what the timing engine executes.

Each instruction becomes (kind, pipe, a, b, extra):

    RUN       a = occupancy, b = latency
    RUN_UNIT  the same, extra = UnitFlag
    MOVE      extra = Move
    SET       a = flag number, b = cycles
    WAIT      a = flag number, b = cycles
    BARRIER   of one pipe; BARRIER_ALL of all
    CROSS_SET, CROSS_WAIT   a = flag, b = mode
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from ascend_sim.config import Chip
from ascend_sim.isa.timing import Barrier, CrossCoreSet, CrossCoreWait, Move, Run, SetFlag, WaitFlag
from ascend_sim.isa.words import Pipe
from ascend_sim.kernel.program import Program, Template

RUN, RUN_UNIT, MOVE, SET, WAIT, BARRIER, BARRIER_ALL, CROSS_SET, CROSS_WAIT = range(9)

PIPES = (Pipe.S, Pipe.MTE2, Pipe.MTE1, Pipe.M, Pipe.V, Pipe.MTE3, Pipe.FIX)
PIPE_INDEX = {pipe: index for index, pipe in enumerate(PIPES)}
SCALAR = PIPE_INDEX[Pipe.S]

Operation = tuple[int, int, int, int, Any]


@dataclass(frozen=True, eq=False)
class LoweredTemplate:
    """A template for the engine: its *operations*, and the cycles that its RUNs count as *busy* by pipe index."""

    operations: tuple[Operation, ...]
    busy: tuple[int, ...]


def flag_number(source: Pipe, destination: Pipe, flag: int) -> int:
    """One number for each (source pipe, destination pipe, event id)."""
    return (flag * len(PIPES) + PIPE_INDEX[source]) * len(PIPES) + PIPE_INDEX[destination]


def flag_name(number: int) -> tuple[Pipe, Pipe, int]:
    """Source pipe, destination pipe and event id of a flag number."""
    rest, destination = divmod(number, len(PIPES))
    flag, source = divmod(rest, len(PIPES))
    return PIPES[source], PIPES[destination], flag


@singledispatch
def _lower(timing: object, pipe: Pipe, chip: Chip) -> Operation:
    raise TypeError(f"no lowering for {timing!r}")


@_lower.register
def _(timing: Run, pipe: Pipe, chip: Chip) -> Operation:
    kind = RUN if timing.unit_flag is None else RUN_UNIT
    return kind, PIPE_INDEX[pipe], timing.occupancy, timing.latency, timing.unit_flag


@_lower.register
def _(timing: Move, pipe: Pipe, chip: Chip) -> Operation:
    return MOVE, PIPE_INDEX[pipe], 0, 0, timing


@_lower.register
def _(timing: SetFlag, pipe: Pipe, chip: Chip) -> Operation:
    number = flag_number(pipe, timing.destination, timing.flag)
    return SET, PIPE_INDEX[pipe], number, chip.sync.set_flag_cycles.value, None


@_lower.register
def _(timing: WaitFlag, pipe: Pipe, chip: Chip) -> Operation:
    number = flag_number(timing.source, pipe, timing.flag)
    return WAIT, PIPE_INDEX[pipe], number, chip.sync.wait_flag_cycles.value, None


@_lower.register
def _(timing: Barrier, pipe: Pipe, chip: Chip) -> Operation:
    if timing.pipe is Pipe.ALL:
        return BARRIER_ALL, SCALAR, 0, 0, None
    return BARRIER, PIPE_INDEX[pipe], 0, 0, None


@_lower.register
def _(timing: CrossCoreSet, pipe: Pipe, chip: Chip) -> Operation:
    return CROSS_SET, PIPE_INDEX[pipe], timing.flag, timing.mode, None


@_lower.register
def _(timing: CrossCoreWait, pipe: Pipe, chip: Chip) -> Operation:
    return CROSS_WAIT, SCALAR, timing.flag, timing.mode, None


def lower_template(template: Template, chip: Chip) -> LoweredTemplate:
    """Lower one template for *chip*."""
    operations = []
    busy = [0] * len(PIPES)
    for instruction in template.instructions:
        timing = instruction.timing(chip)
        operation = _lower(timing, instruction.pipe, chip)
        if isinstance(timing, Run):
            busy[operation[1]] += timing.busy
        operations.append(operation)
    return LoweredTemplate(tuple(operations), tuple(busy))


def lower(program: Program, chip: Chip) -> dict[Template, LoweredTemplate]:
    """Every template of *program*, lowered once."""
    lowered: dict[Template, LoweredTemplate] = {}
    for stream in program.streams:
        for call in stream.calls:
            if call.template not in lowered:
                lowered[call.template] = lower_template(call.template, chip)
    return lowered
