"""One check from a run to its findings: rules of the hardware, deadlocks, races, flags, numbers, hints."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ascend_sim.check.finding import Finding, Kind
from ascend_sim.check.hints import hints
from ascend_sim.check.numbers import NumberWatch
from ascend_sim.check.safety import Safety
from ascend_sim.config import RunConfig
from ascend_sim.engine.functional import execute
from ascend_sim.engine.machine import Schedule, simulate_timing
from ascend_sim.engine.observer import Observer
from ascend_sim.errors import DeadlockError, FlagError, KernelError, NumericsError, ProgramError, SimulatedProgramError
from ascend_sim.isa.source import SourceLine
from ascend_sim.kernel import Parameters, Program
from ascend_sim.kernel.load import LoadedProgram
from ascend_sim.simulate import accuracy_of, fault_of, inputs_of, prepare


@dataclass(frozen=True)
class Checked:
    """What a check found, and what it looked at: *instructions* of all cores, with numbers or without."""

    program: str
    chip: str
    findings: tuple[Finding, ...]
    instructions: int
    with_numbers: bool
    seconds: float
    refused: bool = False
    """Whether the hardware would not take the program, so that nothing else was looked at."""

    @property
    def errors(self) -> list[Finding]:
        """The findings that make the program wrong."""
        return [one for one in self.findings if one.error]

    @property
    def hints(self) -> list[Finding]:
        """All other findings."""
        return [one for one in self.findings if not one.error]


def check(run: RunConfig, data: bool | None = None, observers: Sequence[Observer] = ()) -> Checked:
    """Check the program of *run*; *data* says whether to look at numbers too, None means what the run file says.

    *observers* watch the timing simulation.

    Raise what `prepare` raises, but for what the hardware refuses, which is a finding.
    """
    begin = time.perf_counter()
    with_data = run.data.enabled if data is None else data
    try:
        loaded, parameters, program = prepare(run)
    except KernelError as error:
        findings = tuple(_as_findings(error, "hardware-rule"))
        return Checked(run.program, run.chip_name, findings, 0, False, time.perf_counter() - begin, refused=True)
    found, schedule = _timed(run, program, with_data, observers)
    safety = Safety(program, run.chip)
    safety.run()
    order = safety.found()
    found = [one for one in found if one.kind != "set-twice" or not safety.flags.findings.all()] + order
    if with_data and schedule is not None:
        # The numbers tell what happens to memory that was read too early; the order of accesses only suspects it.
        found = [one for one in found if one.kind != "uninitialised" or one.error]
        consequences = {"uninitialised"} if safety.accesses.raced else set()
        found += [one for one in _numbers(run, loaded, parameters, program, schedule) if one.kind not in consequences]
    found += [*safety.hints(), *hints(program, run.chip)]
    seconds = time.perf_counter() - begin
    return Checked(program.name, run.chip_name, tuple(found), program.instructions, with_data, seconds)


def _timed(
    run: RunConfig, program: Program, with_data: bool, observers: Sequence[Observer]
) -> tuple[list[Finding], Schedule | None]:
    """What stops the timing simulation (a deadlock, full queues among its causes), and its schedule if nothing does."""
    try:
        return [], simulate_timing(program, run.chip, symmetry=run.symmetry and not with_data, observers=observers)
    except DeadlockError as error:
        return [*_as_findings(error, "deadlock")], None
    except FlagError as error:
        return [*_as_findings(error, "set-twice")], None


def _numbers(
    run: RunConfig, loaded: LoadedProgram, parameters: Parameters, program: Program, schedule: Schedule
) -> Iterator[Finding]:
    """Execute with data, look on, and compare with the reference."""
    inputs = inputs_of(run, program)
    watch = NumberWatch(program)
    try:
        outputs = execute(program, schedule, run.chip, inputs, watch)
    except NumericsError as error:
        yield from _as_findings(error, "wrong-numbers")
        return
    yield from watch.findings(outputs)
    if loaded.reference is None:
        yield from watch.unexplained(outputs, SourceLine(loaded.kernel.file, loaded.kernel.line))
    try:
        accuracy, _ = accuracy_of(run, loaded, parameters, program, inputs, outputs)
    except ProgramError as error:
        # A reference that fails must not hide what was found in the kernel.
        yield from _as_findings(error, "wrong-numbers", loaded.kernel.line)
        return
    fault = fault_of(accuracy, loaded)
    if fault is not None:
        yield from _as_findings(fault, "wrong-numbers", loaded.kernel.line)


def _as_findings(error: SimulatedProgramError | ProgramError, kind: Kind, line: int = 1) -> Iterator[Finding]:
    """The diagnostics of *error* as findings; *line* stands for what is true of a whole file."""
    for one in error.diagnostics:
        where = None if one.file is None else SourceLine(one.file, one.line or line)
        yield Finding(kind, one.message, where)
