"""Templates as flat tuples of integers: what the timing engine executes.

Each instruction becomes (kind, pipe, a, b, extra):

    RUN       a = occupancy, b = latency
    RUN_UNIT  the same, extra = UnitFlag; an MMAD in the middle of a tile is a plain RUN
    MOVE      extra = Move
    SET       a = flag number, b = cycles
    WAIT      a = flag number, b = cycles
    BARRIER   of one pipe; BARRIER_ALL of all
    CROSS_SET, CROSS_WAIT   a = flag, b = mode

A *burst* is a run of RUN and BARRIER operations of one pipe that follow each other in the program. Nothing outside the
pipe can come between them, so their times are fixed distances from the start of the first and from the moment when
the pipe's earlier results are visible: a burst is worked out in one step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ascend_sim.config import Chip
from ascend_sim.isa.timing import Barrier, CrossCoreSet, CrossCoreWait, Move, Run, SetFlag, WaitFlag, drained
from ascend_sim.isa.words import Pipe
from ascend_sim.kernel.program import Program, Template

RUN, RUN_UNIT, MOVE, SET, WAIT, BARRIER, BARRIER_ALL, CROSS_SET, CROSS_WAIT, BURST = range(10)

SHORTEST_BURST = 8
"""Shorter bursts are quicker worked out one operation at a time."""

NEVER = -(1 << 62)

PIPES = (Pipe.S, Pipe.MTE2, Pipe.MTE1, Pipe.M, Pipe.V, Pipe.MTE3, Pipe.FIX)
PIPE_INDEX = {pipe: index for index, pipe in enumerate(PIPES)}
SCALAR = PIPE_INDEX[Pipe.S]

Operation = tuple[int, int, int, int, Any]


@dataclass(frozen=True, eq=False)
class Burst:
    """Times of *length* operations as max(first + a, visible + b) cycles.

    *first* is the start of the first operation, *visible* when the pipe's earlier results are. The b of what no
    barrier delays is NEVER; *barrier* is the position of the first barrier (or *length*).
    """

    length: int
    barrier: int
    starts_a: NDArray[np.int64]
    starts_b: NDArray[np.int64]
    ends_a: NDArray[np.int64]
    ends_b: NDArray[np.int64]
    free: tuple[int, int]
    visible: tuple[int, int]


@dataclass(frozen=True, eq=False)
class LoweredTemplate:
    """A template for the engine: its *operations*, and the cycles that its RUNs count as *busy* by pipe index.

    *runs* has, for each operation that can begin a burst, how many operations the burst can have (0 elsewhere).
    """

    operations: tuple[Operation, ...]
    busy: tuple[int, ...]
    runs: tuple[int, ...]
    _bursts: dict[tuple[int, int], Burst] = field(default_factory=dict)

    def burst(self, position: int, length: int) -> Burst:
        """The burst of *length* operations from *position* on."""
        burst = self._bursts.get((position, length))
        if burst is None:
            burst = self._bursts[position, length] = _burst(self.operations[position : position + length])
        return burst


def _burst(operations: tuple[Operation, ...]) -> Burst:
    starts, ends = [], []
    free, visible, barrier = (0, NEVER), (NEVER, 0), len(operations)
    for position, (kind, _, occupancy, latency, _) in enumerate(operations):
        starts.append(free)
        if kind == BARRIER:
            barrier = min(barrier, position)
            free = max(free[0], visible[0]), max(free[1], visible[1])
            ends.append(free)
        else:
            end = free[0] + latency, free[1] + latency
            ends.append(end)
            visible = max(visible[0], end[0]), max(visible[1], end[1])
            free = free[0] + occupancy, free[1] + occupancy
    (starts_a, starts_b), (ends_a, ends_b) = (np.array(times, dtype=np.int64).T.copy() for times in (starts, ends))
    return Burst(len(operations), barrier, starts_a, starts_b, ends_a, ends_b, free, visible)


def _runs(operations: list[Operation], issue: int) -> tuple[int, ...]:
    """Length of the longest burst from each operation on.

    The front end must not be what delays an operation inside a burst: each RUN takes at least an issue interval, and
    each barrier follows a RUN whose result comes at least an issue interval after its slot.
    """
    runs = [0] * len(operations)
    for position in range(len(operations) - 1, -1, -1):
        kind, pipe, occupancy, latency, _ = operations[position]
        following = operations[position + 1] if position + 1 < len(operations) else None
        if kind != RUN or occupancy < issue:
            continue
        runs[position] = 1
        if following is None or following[1] != pipe:
            continue
        if following[0] == RUN:
            runs[position] += runs[position + 1]
        elif following[0] == BARRIER and latency >= occupancy + issue:
            runs[position] += 1
            after = position + 2
            if after < len(operations) and operations[after][:2] == (RUN, pipe):
                runs[position] += runs[after]
    return tuple(runs)


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
    flag = timing.unit_flag
    kind = RUN_UNIT if flag is not None and (flag.acquire or flag.release) else RUN
    return kind, PIPE_INDEX[pipe], timing.occupancy, timing.latency, flag


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


_known: WeakKeyDictionary[Template, tuple[Chip, LoweredTemplate]] = WeakKeyDictionary()
"""What a template was lowered to last; timing, checks and mutants of a program share their templates."""


def lower_template(template: Template, chip: Chip) -> LoweredTemplate:
    """Lower one template for *chip*."""
    known = _known.get(template)
    if known is None or known[0] is not chip:
        known = _known[template] = chip, _lowered(template, chip)
    return known[1]


def _lowered(template: Template, chip: Chip) -> LoweredTemplate:
    operations = []
    busy = [0] * len(PIPES)
    instructions = template.instructions
    timings = drained([(instruction.pipe, instruction.timing(chip)) for instruction in instructions])
    for instruction, timing in zip(instructions, timings, strict=True):
        operation = _lower(timing, instruction.pipe, chip)
        if isinstance(timing, Run):
            busy[operation[1]] += timing.busy
        operations.append(operation)
    runs = _runs(operations, chip.scalar.issue_cycles.value)
    return LoweredTemplate(tuple(operations), tuple(busy), runs)


def lower(program: Program, chip: Chip) -> dict[Template, LoweredTemplate]:
    """Every template of *program*, lowered once."""
    lowered: dict[Template, LoweredTemplate] = {}
    for stream in program.streams:
        for call in stream.calls:
            if call.template not in lowered:
                lowered[call.template] = lower_template(call.template, chip)
    return lowered
