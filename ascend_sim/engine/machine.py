"""The whole chip executing a Program: cores, dies, cross-core flags, and the schedule that comes out."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import simpy

from ascend_sim.config import Chip
from ascend_sim.engine.core import CoreModel
from ascend_sim.engine.deadlock import deadlock_report
from ascend_sim.engine.flags import Channel
from ascend_sim.engine.launch import launch_of
from ascend_sim.engine.lowering import PIPES, flag_name, lower
from ascend_sim.engine.memory import DieMemory, MemoryStatistics
from ascend_sim.engine.observer import Observer, Observers
from ascend_sim.engine.symmetry import CoreClass, classify, every_core
from ascend_sim.errors import Diagnostic, FlagError
from ascend_sim.isa.instruction import Instruction
from ascend_sim.isa.source import SourceLine
from ascend_sim.isa.words import CoreKind
from ascend_sim.kernel.collector import collector_paused
from ascend_sim.kernel.program import CoreId, Program, Stream


@dataclass(frozen=True)
class CoreSchedule:
    """When each instruction of a simulated core was dispatched, started and ended, in cycles, by program order.

    *members* are the cores that it stands for. *links* gives, for an instruction that was held up by another one
    (a flag, a tile), the core number and index of that one. *busy* is the busy cycles by pipe name.
    """

    stream: Stream
    members: tuple[CoreId, ...]
    dispatched: array[int]
    starts: array[int]
    ends: array[int]
    links: dict[int, tuple[int, int]]
    busy: dict[str, int]
    scalar_cycles: int
    queue_full_cycles: int
    end: int


@dataclass(frozen=True)
class Schedule:
    """The outcome of a timing simulation: *cycles* from launch to the last visible result, and every core's times."""

    program: Program
    cycles: int
    launch_cycles: int
    cores: tuple[CoreSchedule, ...]
    memory: MemoryStatistics
    warnings: tuple[str, ...]

    @property
    def simulated_instructions(self) -> int:
        """Instructions that the engine carried out, lumped cores counted once."""
        return sum(len(core.starts) for core in self.cores)


class Machine:
    """Executes one Program on one chip; use `simulate_timing`."""

    def __init__(self, program: Program, chip: Chip, classes: Sequence[CoreClass], observers: Observers) -> None:
        self.program = program
        self.chip = chip
        self.observers = observers
        launch = launch_of(program, chip)
        self.launch_cycles = launch.cycles
        self.die_weights = {one.streams[0].core.die: one.die_weight for one in classes}
        # Dies share nothing, so each has a clock of its own, and they are simulated one after the other.
        self._clocks = {die: simpy.Environment() for die in self.die_weights}
        self._memories = {
            die: DieMemory(clock, chip, program.gm_bytes, observers.watch_moves) for die, clock in self._clocks.items()
        }
        self._ready: deque[CoreModel] = deque()
        self._faults: dict[tuple[SourceLine, object], Diagnostic] = {}
        lowered = lower(program, chip)
        self.cores: list[CoreModel] = []
        self.streams: list[Stream] = []
        self.members: list[tuple[CoreId, ...]] = []
        for one in classes:
            for stream, members in zip(one.streams, one.members, strict=True):
                calls = [(lowered[call.template], call.bases) for call in stream.calls]
                start = launch.cycles + launch.skew * stream.core.group
                core = CoreModel(self, len(self.cores), stream.core, one.weight, calls, chip, start)
                self.cores.append(core)
                self.streams.append(stream)
                self.members.append(members)

    def run(self) -> Schedule:
        """Simulate until every core is done; raise a DeadlockError or a FlagError if the program is wrong."""
        for die, clock in self._clocks.items():
            self._run_die(die, clock)
        finished = all(core.finished for core in self.cores)
        if finished:
            self._check_flags()
        if self._faults:
            raise FlagError(list(self._faults.values()))
        if not finished:
            raise deadlock_report(self)
        return self._schedule()

    def _run_die(self, die: int, clock: simpy.Environment) -> None:
        cores = self.cores_of(die)
        for core in cores:
            self.wake(core)
        self.observers.advanced(0, self)
        self._settle()
        while clock.peek() != float("inf"):
            clock.step()
            if self._ready:
                self._settle()
                self.observers.advanced(int(clock.now), self)
        if all(core.finished for core in cores):
            self.observers.advanced(max((core.end for core in cores if core.lowered_calls), default=0), self)

    def cores_of(self, die: int) -> list[CoreModel]:
        """The simulated cores of *die*."""
        return [core for core in self.cores if core.core.die == die]

    def _settle(self) -> None:
        while self._ready:
            self._ready.popleft().settle()

    def wake(self, core: CoreModel) -> None:
        """Let *core* go on once the current event has been dealt with."""
        self._ready.append(core)

    def memory(self, core: CoreModel) -> DieMemory:
        """The memory system that *core* is attached to."""
        return self._memories[core.core.die]

    def cross_set(self, core: CoreModel, flag: int, mode: int, arrival: int, index: int) -> None:
        """Count *flag* up at every core that *mode* joins with *core*; it is seen there at *arrival*."""
        routes = core.routes.get((flag, mode))
        if routes is None:
            routes = core.routes[flag, mode] = [
                (receiver, self.channels(receiver, flag, mode)[self.peers(receiver, mode).index(core)])
                for receiver in self.peers(core, mode)
            ]
        for receiver, channel in routes:
            channel.arrivals.append((arrival, core.number, index))
            self.wake(receiver)

    def channels(self, core: CoreModel, flag: int, mode: int) -> list[Channel]:
        """The channels that a wait of *core* listens to."""
        key = flag, mode
        channels = core.channels.get(key)
        if channels is None:
            channels = core.channels[key] = [Channel(flag) for _ in self.peers(core, mode)]
        return channels

    def peers(self, core: CoreModel, mode: int) -> list[CoreModel]:
        """The cores that *mode* joins with *core*, in order."""
        here = core.core
        if mode == 0:
            return [other for other in self.cores if other.core.kind is here.kind and other.core.die == here.die]
        group = [other for other in self.cores if (other.core.die, other.core.group) == (here.die, here.group)]
        if mode == 1:
            return [other for other in group if other.core.kind is CoreKind.AIV]
        return [other for other in group if other.core.kind is not here.kind]

    def set_twice(self, core: CoreModel, number: int, index: int) -> None:
        """Report a set_flag on a flag that is still raised."""
        source, destination, flag = flag_name(number)
        self._fault(
            core,
            index,
            number,
            f"set_flag {source.value}->{destination.value}, id {flag}, is set again before the wait_flag for the "
            f"earlier set has passed: the flag is one bit, so one set is lost; wait for it first, or use another id",
        )

    def _check_flags(self) -> None:
        """Report flags that were left raised twice, and cross-core flags that counted past their limit."""
        limit = self.chip.sync.cross_core_counter_max.value
        for core in self.cores:
            for flag in core.flags.values():
                if len(flag.raised) > 1:
                    self.set_twice(core, flag.number, flag.raised[1][1])
            for channels in core.channels.values():
                for channel in channels:
                    for outstanding, place, waited in channel.overflows(limit):
                        self._counter_overflow(core, channel, outstanding, place, waited)

    def _counter_overflow(self, core: CoreModel, channel: Channel, outstanding: int, place: int, waited: bool) -> None:
        limit = self.chip.sync.cross_core_counter_max.value
        if waited:
            self._fault(
                core,
                place,
                channel.flag,
                f"cross-core flag {channel.flag} had been set {outstanding} times ahead of this wait; its counter "
                f"holds {limit}: wait more often, or answer with a flag in the other direction",
            )
            return
        _, sender, index = channel.arrivals[place]
        self._fault(
            self.cores[sender],
            index,
            channel.flag,
            f"cross-core flag {channel.flag} has been set {outstanding} times that {core.core} never waits for; "
            f"its counter holds {limit}: wait once for each set",
        )

    def instruction(self, number: int, index: int) -> Instruction:
        """The instruction with *index* in the stream of core *number*."""
        for call in self.streams[number].calls:
            if index < len(call.template.instructions):
                return call.template.instructions[index]
            index -= len(call.template.instructions)
        raise IndexError(index)

    def _fault(self, core: CoreModel, index: int, flag: object, message: str) -> None:
        """Keep the first fault of each line and flag."""
        where = self.instruction(core.number, index).where
        finding = Diagnostic(f"{message} (first on {core.core})", where.file, where.line)
        self._faults.setdefault((where, flag), finding)

    def _schedule(self) -> Schedule:
        cores = []
        issue = self.chip.scalar.issue_cycles.value
        for core, stream, members in zip(self.cores, self.streams, self.members, strict=True):
            busy = self._busy(core)
            schedule = CoreSchedule(
                stream,
                members,
                core.dispatched,
                core.starts,
                core.ends,
                core.links,
                busy,
                issue * len(core.starts),
                core.queue_full_cycles,
                core.end,
            )
            cores.append(schedule)
        cycles = max((core.end for core in self.cores if core.lowered_calls), default=self.launch_cycles)
        return Schedule(
            self.program, cycles, self.launch_cycles, tuple(cores), self._memory_statistics(), tuple(self._warnings())
        )

    def _busy(self, core: CoreModel) -> dict[str, int]:
        static = [0] * len(PIPES)
        for template, _ in core.lowered_calls:
            for pipe, cycles in enumerate(template.busy):
                static[pipe] += cycles
        return {pipe.name: static[number] + core.pipes[number].busy for number, pipe in enumerate(PIPES)}

    def _memory_statistics(self) -> MemoryStatistics:
        totals = [0] * 5
        for die, memory in self._memories.items():
            one = memory.statistics()
            for position, value in enumerate(
                (one.hbm_read_bytes, one.hbm_write_bytes, one.l2_read_bytes, one.l2_write_bytes, one.l2_hit_bytes)
            ):
                totals[position] += value * self.die_weights[die]
        return MemoryStatistics(*totals)

    def _warnings(self) -> list[str]:
        """Flags that are left raised: the next kernel would find them so."""
        messages: dict[str, None] = {}
        for core in self.cores:
            for flag in core.flags.values():
                if flag.raised:
                    source, destination, number = flag_name(flag.number)
                    where = self.instruction(core.number, flag.raised[-1][1]).where
                    messages[
                        f"{where}: set_flag {source.value}->{destination.value}, id {number}, is never waited for; "
                        f"the next kernel would find it raised"
                    ] = None
            for channel in [channel for channels in core.channels.values() for channel in channels if channel.ready]:
                _, sender, index = channel.arrivals[-1]
                messages[
                    f"{self.instruction(sender, index).where}: cross-core flag {channel.flag} is set more often than "
                    f"it is waited for; the next kernel would find it set"
                ] = None
        return list(messages)


@collector_paused()
def simulate_timing(
    program: Program, chip: Chip, *, symmetry: bool = True, observers: Sequence[Observer] = ()
) -> Schedule:
    """Simulate *program* on *chip*.

    With *symmetry*, one of each class of cores that behave exactly alike is simulated. Raise a DeadlockError if the
    program cannot finish, and a FlagError if it misuses flags.
    """
    classes = classify(program, chip) if symmetry else every_core(program)
    return Machine(program, chip, classes, Observers(observers)).run()
