"""What is known to have happened before what: vector clocks over the pipes of all cores.

An instruction has an *epoch*: its pipe, and its number among the instructions of that pipe. The clock of a pipe says,
for each pipe that flags can join with it, how many instructions are certain to be complete. A set_flag sends the clock
of its pipe, with all earlier instructions of that pipe complete; the wait takes it over. Nothing here depends on times:
what holds only because an instruction happens to be quick is not known.

Taken as certain: a pipe begins its instructions in order, so that it has read before it writes again; what the
documents say of set_flag, wait_flag, barriers, cross-core flags and unit_flag; and that the n-th wait takes the n-th
set of a flag.

Taken as unknown, though a chip may happen to do it: that a full queue holds the front end, that set_flag holds its own
pipe until earlier results are visible, that results of one pipe become visible in order, and that a drain which gives
its tile of L0C back comes after the drains before it: a hand-over under unit_flag tells of its own tile alone. A
program that relies on one of these is reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ascend_sim.config import Chip
from ascend_sim.engine.lowering import CROSS_SET, CROSS_WAIT, MOVE, PIPES, RUN_UNIT, SCALAR, SET, WAIT
from ascend_sim.engine.untimed import Core, Listener, Step, Untimed
from ascend_sim.kernel.program import Program

Clock = list[int]
"""Instructions known to be complete, by position: core within its set of joined cores x pipe."""


class Signal(NamedTuple):
    """What a set knows: its clock, and the core, pipe and step that set it."""

    clock: Clock
    core: Core
    pipe: int
    step: Step


class PipeClock:
    """The clock of one pipe, and how many instructions it has begun."""

    __slots__ = ("begun", "clock", "place", "seen")

    def __init__(self, place: int, size: int) -> None:
        self.place = place
        self.begun = 0
        self.clock: Clock = [0] * size
        self.seen: Clock | None = None

    def join(self, other: Clock) -> None:
        """Take over what *other* knows."""
        self.clock = [a if a > b else b for a, b in zip(self.clock, other, strict=True)]

    def complete(self) -> Clock:
        """The clock once all that the pipe has begun is complete."""
        clock = self.clock.copy()
        clock[self.place] = self.begun
        return clock


class Order(Listener):
    """Follows an untimed execution and keeps the clocks; subclasses look at them as instructions begin."""

    def __init__(self, program: Program, chip: Chip) -> None:
        self.machine = Untimed(program, chip, self)
        self.joined = [0] * len(self.machine.cores)
        """For each core, the set of cores that flags join it with; nothing orders cores of different sets."""
        self.pipes: list[list[PipeClock]] = [[] for _ in self.machine.cores]
        for number, members in enumerate(_joined(self.machine)):
            size = len(members) * len(PIPES)
            for position, core in enumerate(members):
                self.joined[core] = number
                self.pipes[core] = [PipeClock(position * len(PIPES) + pipe, size) for pipe in range(len(PIPES))]

    def run(self) -> None:
        """Execute the program as far as its flags let it."""
        self.machine.run_eagerly()

    def issued(self, core: Core) -> Clock:
        return self.pipes[core.number][SCALAR].clock

    def _enter(self, core: Core, pipe: int, step: Step) -> PipeClock:
        """The clock of *pipe* as *step* begins: it knows what the front end knew, and counts one more."""
        mine = self.pipes[core.number][pipe]
        if step.token is not None and step.token is not mine.seen:
            mine.seen = step.token
            mine.join(step.token)
        mine.begun += 1
        return mine

    def began(self, core: Core, pipe: int, step: Step) -> None:
        self._enter(core, pipe, step)

    def signalled(self, core: Core, pipe: int, step: Step) -> Signal:
        mine = self.pipes[core.number][pipe]
        if step.operation[0] == MOVE:
            # A drain gives its tile of L0C back when it has read it; what it writes to global memory is not there yet.
            return Signal(mine.clock.copy(), core, pipe, step)
        if step.operation[0] == RUN_UNIT:
            # A drain cannot end before the last mmad of its tile, and the matrix unit completes in order.
            return Signal(mine.complete(), core, pipe, step)
        self._enter(core, pipe, step)
        if step.operation[0] == SET:
            mine.begun -= 1  # a set is no work of its own: what says no more than it says nothing new
        return Signal(mine.complete(), core, pipe, step)

    def heard(self, core: Core, pipe: int, step: Step, tokens: Sequence[Signal | None]) -> None:
        mine = self.pipes[core.number][pipe]
        if step.operation[0] in (WAIT, CROSS_WAIT):
            mine = self._enter(core, pipe, step)
        for signal in tokens:
            if signal is not None:
                mine.join(signal.clock)
        if pipe == SCALAR:
            mine.clock[mine.place] = mine.begun

    def drained(self, core: Core, pipe: int, step: Step) -> None:
        mine = self._enter(core, pipe, step)
        if pipe != SCALAR:
            mine.clock[mine.place] = mine.begun
            return
        clock = mine.clock
        for other in self.pipes[core.number]:
            clock = [a if a > b else b for a, b in zip(clock, other.complete(), strict=True)]
        mine.clock = clock


def _joined(machine: Untimed) -> list[list[int]]:
    """Numbers of the cores that flags join, directly or over others: one list for each set of them."""
    leader = list(range(len(machine.cores)))

    def find(number: int) -> int:
        while leader[number] != number:
            number = leader[number]
        return number

    for core in machine.cores:
        for mode in sorted(_modes(core)):
            for peer in machine.peers(core, mode):
                one, other = sorted((find(core.number), find(peer.number)))
                leader[other] = one
    members: dict[int, list[int]] = {}
    for core in machine.cores:
        members.setdefault(find(core.number), []).append(core.number)
    return list(members.values())


def _modes(core: Core) -> set[int]:
    """The modes of the cross-core flags that *core* sets or waits for."""
    templates = {id(lowered): lowered for lowered, _ in core.calls}
    return {
        operation[3]
        for lowered in templates.values()
        for operation in lowered.operations
        if operation[0] in (CROSS_SET, CROSS_WAIT)
    }
