"""The sums of a timing simulation, for who runs thousands of them and looks at no single instruction.

With numba, they come from the compiled engine, which is some fifty times faster and gives the same cycles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ascend_sim.config import Chip
from ascend_sim.engine.budget import Budget
from ascend_sim.engine.launch import launch_of
from ascend_sim.engine.lowering import PIPES, SCALAR, LoweredTemplate, lower
from ascend_sim.engine.machine import Machine, Schedule, simulate_timing
from ascend_sim.engine.memory import MemoryStatistics
from ascend_sim.engine.observer import Observers
from ascend_sim.engine.symmetry import CoreClass, classify, every_core
from ascend_sim.isa.words import CoreKind, Pipe
from ascend_sim.kernel.program import Program

WORTH_COMPILING = 100_000
"""Instructions that a program has at least for the compiled engine: SimPy does some 100,000 a second, and numba takes
two seconds to get ready in a process."""

if TYPE_CHECKING:
    from ascend_sim.engine.tables import DieCore, Layout


@dataclass(frozen=True)
class CoreTotals:
    """A simulated core that stands for *members* cores: cycles for which each pipe was *busy*; S is issue."""

    kind: CoreKind
    members: int
    busy: dict[Pipe, int]


@dataclass(frozen=True)
class Totals:
    """*cycles* from launch to the last visible result, bytes on the buses of all dies, and what the pipes did."""

    cycles: int
    memory: MemoryStatistics
    cores: tuple[CoreTotals, ...]


@cache
def is_compiled() -> bool:
    """Whether numba is there, and with it the compiled engine."""
    return find_spec("numba") is not None


def compile_engine() -> None:
    """Compile the engine, or load what was compiled before, so that the first simulation need not wait for it."""
    if is_compiled():
        import numpy as np

        from ascend_sim.engine import compiled

        compiled.run_die(np.zeros(compiled.HEADER, dtype=np.int64), np.zeros(1))


def simulate_totals(
    program: Program, chip: Chip, classes: Sequence[CoreClass] | None = None, budget: Budget | None = None
) -> Totals:
    """Simulate one core of each of the *classes* (found out if None) of *program* on *chip*.

    Raise what a `Machine` and the *budget* raise. Whatever the compiled engine does not bring to its end is simulated
    again, by the engine that can say why.
    """
    classes = classify(program, chip) if classes is None else classes
    if is_compiled():
        limit = None if budget is None else budget.max_cycles
        totals = _compiled(program, chip, classes, limit)
        if totals is not None and (limit is None or totals.cycles <= limit):
            return totals
    observers = () if budget is None else (budget,)
    return totals_of(Machine(program, chip, classes, Observers(observers)).run())


def timed(program: Program, chip: Chip, *, symmetry: bool = True) -> Totals:
    """The sums of what `simulate_timing` finds, and raises, by the engine that is done sooner."""
    if program.instructions < WORTH_COMPILING:
        return totals_of(simulate_timing(program, chip, symmetry=symmetry))
    return simulate_totals(program, chip, classify(program, chip) if symmetry else every_core(program))


def totals_of(schedule: Schedule) -> Totals:
    """The sums of *schedule*."""
    cores = tuple(
        CoreTotals(core.stream.core.kind, len(core.members), _by_pipe(core.busy, core.scalar_cycles))
        for core in schedule.cores
    )
    return Totals(schedule.cycles, schedule.memory, cores)


def _by_pipe(busy: Mapping[str, int], scalar: int) -> dict[Pipe, int]:
    return {Pipe[name]: cycles for name, cycles in busy.items()} | {Pipe.S: scalar}


def die_cores(program: Program, chip: Chip, classes: Sequence[CoreClass]) -> dict[int, list[DieCore]]:
    """The cores to simulate of each die."""
    from ascend_sim.engine.tables import DieCore

    launch, lowered = launch_of(program, chip), lower(program, chip)
    dies: dict[int, list[DieCore]] = {}
    for one in classes:
        for stream in one.streams:
            calls = [(lowered[call.template], call.bases) for call in stream.calls]
            start = launch.cycles + launch.skew * stream.core.group
            dies.setdefault(stream.core.die, []).append(DieCore(stream, one.weight, start, calls))
    return dies


def _compiled(program: Program, chip: Chip, classes: Sequence[CoreClass], max_cycles: int | None) -> Totals | None:
    """What the compiled engine finds; None if the program does not come to its end there."""
    from ascend_sim.engine import compiled
    from ascend_sim.engine.tables import Unsupported, layout

    members = [len(members) for one in classes for members in one.members]
    weights = {one.streams[0].core.die: one.die_weight for one in classes}
    cycles, sums = launch_of(program, chip).cycles, [0] * 5
    cores: list[CoreTotals] = []
    try:
        for die, several in die_cores(program, chip, classes).items():
            laid = layout(several, chip, program, max_cycles)
            if compiled.run_die(laid.m, laid.f) != compiled.DONE:
                return None
            for core, at in zip(several, laid.cores, strict=True):
                cycles = max(cycles, laid.end(at)) if core.calls else cycles
                busy = _busy(core, laid, at, chip.scalar.issue_cycles.value)
                cores.append(CoreTotals(core.stream.core.kind, members[len(cores)], busy))
            for number, size in enumerate(laid.bytes()):
                sums[number] += size * weights[die]
    except Unsupported:
        return None
    read, written, hit, missed, written_back = sums
    return Totals(cycles, MemoryStatistics(missed, written_back, read, written, hit), tuple(cores))


def _busy(core: DieCore, laid: Layout, at: int, issue: int) -> dict[Pipe, int]:
    """Cycles of what is known before, of each call, and of the moves, which the engine has added up."""
    counts: dict[LoweredTemplate, int] = {}
    for template, _ in core.calls:
        counts[template] = counts.get(template, 0) + 1
    busy = laid.busy(at)
    for template, count in counts.items():
        busy = [cycles + count * more for cycles, more in zip(busy, template.busy, strict=True)]
    busy[SCALAR] = issue * core.stream.length
    return dict(zip(PIPES, busy, strict=True))
