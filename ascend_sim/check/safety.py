"""The check of a Program that needs no times and no numbers: order of accesses, use of flags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ascend_sim.check.accesses import Accesses
from ascend_sim.check.finding import Finding
from ascend_sim.check.flag_use import FlagUse
from ascend_sim.check.order import Order, Signal
from ascend_sim.config import Chip
from ascend_sim.engine.lowering import CROSS_SET, CROSS_WAIT, SCALAR, SET, WAIT
from ascend_sim.engine.untimed import Core, Step
from ascend_sim.isa.source import SourceLine
from ascend_sim.kernel.collector import collector_paused
from ascend_sim.kernel.program import Program


class Safety(Order):
    """Follows an untimed execution; *accesses* and *flags* have what was found when `run` has returned."""

    def __init__(self, program: Program, chip: Chip) -> None:
        super().__init__(program, chip)
        places = [[clock.place for clock in clocks] for clocks in self.pipes]
        self.accesses = Accesses(program)
        self.flags = FlagUse(self.machine, chip, places)
        self._barriers: dict[SourceLine, list[int]] = {}

    def began(self, core: Core, pipe: int, step: Step) -> None:
        mine = self._enter(core, pipe, step)
        self.accesses.look(core, pipe, step, self.joined[core.number], mine.place, mine.begun, mine.clock)

    def signalled(self, core: Core, pipe: int, step: Step) -> Signal:
        signal = super().signalled(core, pipe, step)
        kind = step.operation[0]
        if kind == SET:
            self.flags.set(core, step, signal.clock)
        elif kind == CROSS_SET:
            self.flags.cross_set(core, pipe, step, signal.clock)
        return signal

    def heard(self, core: Core, pipe: int, step: Step, tokens: Sequence[Signal | None]) -> None:
        mine = self.pipes[core.number][pipe]
        known = mine.clock
        super().heard(core, pipe, step, tokens)
        signals = [token for token in tokens if token is not None]
        kind = step.operation[0]
        if kind == WAIT:
            self.flags.waited(core, step, mine.begun, signals[0], known)
        elif kind == CROSS_WAIT:
            self.flags.cross_waited(core, step, mine.begun, signals)

    @collector_paused()
    def run(self) -> None:
        super().run()
        if self.machine.finished:
            self.flags.finish()

    def drained(self, core: Core, pipe: int, step: Step) -> None:
        mine = self.pipes[core.number][pipe]
        useless = pipe != SCALAR and mine.clock[mine.place] == mine.begun
        super().drained(core, pipe, step)
        seen = self._barriers.setdefault(step.instruction.where, [0, 0])
        seen[0] += 1
        seen[1] += useless

    def hints(self) -> Iterator[Finding]:
        """Synchronisation that never orders anything."""
        yield from self.flags.redundant()
        for where, (count, useless) in self._barriers.items():
            if count == useless:
                message = "this pipe_barrier never orders anything: its pipe is known to be empty; it can go"
                yield Finding("barrier", message, where, error=False, places=count)

    def found(self) -> list[Finding]:
        """Everything that makes the program wrong, or may."""
        return self.accesses.found() + self.flags.findings.all()
