"""What a run may take: cycles of the chip, instructions, memory of the host. Every run ends, or is ended here.

The clock is looked at in every step, so that a run goes on to its end exactly if it takes no more cycles than it may;
instructions are counted exactly while the kernel is traced. Memory is looked at once in so many steps.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ascend_sim.engine.observer import Observer
from ascend_sim.errors import ArgumentError, BudgetError, Diagnostic
from ascend_sim.isa.source import SourceLine
from ascend_sim.kernel.program import CoreId
from ascend_sim.kernel.trace import watched

if TYPE_CHECKING:
    from ascend_sim.engine.core import CoreModel
    from ascend_sim.engine.machine import Machine

GIB = 1 << 30
MEMORY_SHARE = 0.9
"""The share of the host's memory that a run may take when nothing else is said."""

_TRACED = 1 << 15
"""Instructions between two looks at the memory while a kernel is traced."""
_STEPS = 256
"""Steps of the clock between two looks at the memory and at the instructions."""
_UNLIMITED = 1 << 62


class Reached:
    """How far *machine* has come when the clock of the die that it simulates stands at cycle *now*."""

    def __init__(self, machine: Machine, now: int) -> None:
        self.machine = machine
        self._dies = list(machine.die_weights)
        ended = {die: all(core.finished for core in machine.cores_of(die)) for die in self._dies}
        self.die = next((die for die in self._dies if not ended[die]), self._dies[-1])
        self.cycles = self._end(self.die) if ended[self.die] else now

    def until(self, die: int) -> int:
        """The cycle up to which *die* has been simulated; dies are simulated one after the other."""
        if die == self.die:
            return self.cycles
        return self._end(die) if self._dies.index(die) < self._dies.index(self.die) else 0

    def done(self, core: CoreModel) -> NDArray[np.bool_]:
        """For each instruction of *core*, in program order, whether its result was visible by then.

        A core runs ahead of the clock for as long as it waits for nothing; what it does there does not count yet.
        """
        ends = np.array(core.ends, dtype=np.int64)
        return (ends >= 0) & (ends <= self.until(core.core.die))

    @property
    def executed(self) -> int:
        """Instructions executed by then on all cores of the chip: each simulated core counts for all it stands for."""
        members = self.machine.members
        return sum(int(np.count_nonzero(self.done(core))) * len(members[core.number]) for core in self.machine.cores)

    @property
    def total(self) -> int:
        """Instructions of all cores of the chip."""
        return self.machine.program.instructions

    def standing(self) -> tuple[CoreModel, int] | None:
        """The first core that is not at its end and its oldest instruction that is not done.

        Where all are at their ends, the core that ended last and its last instruction; None for an empty program.
        """
        cores = [core for core in self.machine.cores_of(self.die) if len(core.ends)]
        for core in cores:
            open_ = np.flatnonzero(~self.done(core))
            if open_.size:
                return core, int(open_[0])
        last = max(cores, key=lambda core: core.end, default=None)
        return None if last is None else (last, len(last.ends) - 1)

    def _end(self, die: int) -> int:
        return max((core.end for core in self.machine.cores_of(die) if core.lowered_calls), default=0)


class Budget(Observer):
    """Ends a run that takes more than it may; None stands for no limit, or for 90 % of the memory of the host.

    *max_cycles* counts from the launch on. *max_instructions* holds for the traced program of all cores, and for what
    is carried out of a program that was traced without a budget. *max_memory* is the most that the process may ever
    have held, in GiB. Raise an ArgumentError for a limit that nothing can keep.
    """

    def __init__(
        self, max_cycles: int | None = None, max_instructions: int | None = None, max_memory: float | None = None
    ) -> None:
        for name, limit in (("cycles", max_cycles), ("instructions", max_instructions), ("memory", max_memory)):
            if limit is not None and not limit > 0:
                raise ArgumentError(f"--max-{name} {limit}: no run can keep this; write more than 0, or leave it out")
        self._cycles = _UNLIMITED if max_cycles is None else max_cycles
        self._instructions = _UNLIMITED if max_instructions is None else max_instructions
        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        self._memory = physical * MEMORY_SHARE if max_memory is None else max_memory * GIB
        share = f" ({MEMORY_SHARE:.0%} of the memory of this machine)" if max_memory is None else ""
        self._memory_name = f"--max-memory {self._memory / GIB:.4g}{share}"
        self._steps = 0
        self._now = 0
        self._machine: Machine | None = None

    @property
    def max_cycles(self) -> int | None:
        """The cycles that a run may take, if there is a limit."""
        return None if self._cycles == _UNLIMITED else self._cycles

    @property
    def reached(self) -> Reached | None:
        """How far the timing has come; None before it."""
        return None if self._machine is None else Reached(self._machine, self._now)

    @contextmanager
    def tracing(self) -> Iterator[None]:
        """Watch over the kernels that are traced meanwhile; raise a BudgetError if one takes too much."""
        with watched(self._traced):
            yield

    def _traced(self, traced: int, core: CoreId, where: SourceLine) -> int:
        what = f"{traced:,} instructions have been traced so far, and {core} is here and goes on"
        if traced > self._instructions:
            remedy = "raise the limit, make the problem smaller, or look for a loop of the kernel that never ends"
            message = f"stopped by --max-instructions {self._instructions}: {what}; {remedy}"
            raise BudgetError(Diagnostic(message, where.file, where.line))
        if (found := self._memory_exceeded()) is not None:
            raise BudgetError(Diagnostic(f"{found}; {what}; {_MEMORY_REMEDY}", where.file, where.line))
        return min(_TRACED, self._instructions - traced)

    def advanced(self, now: int, machine: Machine) -> None:
        """Raise a BudgetError if the run takes too much."""
        self._machine, self._now = machine, now
        if now > self._cycles:
            raise self._stop(f"stopped by --max-cycles {self._cycles}", "raise the limit, or make the problem smaller")
        self._steps += 1
        if self._steps % _STEPS != 1:
            return
        if sum(core.front[0] for core in machine.cores) > self._instructions:
            name = f"stopped by --max-instructions {self._instructions}"
            raise self._stop(name, "raise the limit, or make the problem smaller")
        if (found := self._memory_exceeded()) is not None:
            raise self._stop(found, _MEMORY_REMEDY)

    def _memory_exceeded(self) -> str | None:
        """What to say if the process has held more memory than it may."""
        peak = peak_bytes()
        if peak <= self._memory:
            return None
        return f"stopped by {self._memory_name}: the process has held {peak / GIB:.4g} GiB"

    def _stop(self, found: str, remedy: str) -> BudgetError:
        reached = self.reached
        assert reached is not None
        machine = reached.machine
        time_us = reached.cycles / machine.chip.cycles_per_second * 1e6
        message = (
            f"{found}: the clock stands at {reached.cycles:,} cycles ({time_us:.4g} us), {reached.executed:,} of "
            f"{reached.total:,} instructions have been executed"
        )
        standing = reached.standing()
        if standing is None:
            return BudgetError(f"{message}; {remedy}")
        core, index = standing
        instruction = machine.instruction(core.number, index)
        verb = "ended" if core.finished and reached.done(core).all() else "stands"
        message += f"; {core.core} {verb} here, at {instruction.mnemonic} on {instruction.pipe.value}; {remedy}"
        return BudgetError(Diagnostic(message, instruction.where.file, instruction.where.line))


_MEMORY_REMEDY = "raise the limit, or make the problem smaller"


def peak_bytes() -> int:
    """The most memory that this process has held so far, in bytes.

    Linux hands the peak that getrusage knows from a process on to those that it starts, so that a small process of
    a large parent seems large; the peak in /proc begins anew with the program.
    """
    with_peak = Path("/proc/self/status")
    if with_peak.exists():
        for line in with_peak.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
