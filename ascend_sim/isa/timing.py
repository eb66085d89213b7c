"""What an instruction asks of the timing engine.

The engine switches on these few kinds of actions and on nothing else: it never sees a mnemonic. All times are
whole core cycles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from ascend_sim.isa.words import Pipe


class Traffic(Enum):
    """What a move does to the cache: an atomic is a read-modify-write of its destination."""

    READ = "read"
    WRITE = "write"
    ATOMIC = "atomic"


@dataclass(frozen=True)
class GmAccess:
    """The bytes of global memory a move touches: *rows* runs of *row_bytes*, *pitch* bytes apart.

    *offset* counts from the base address bound to *parameter* (absolute when that is None).
    """

    parameter: int | None
    offset: int
    rows: int
    row_bytes: int
    pitch: int

    @property
    def bytes(self) -> int:
        """Bytes touched."""
        return self.rows * self.row_bytes


@dataclass(frozen=True)
class UnitFlag:
    """The hardware handshake between MMAD and FIXPIPE on the L0C tile at byte *slot*.

    *acquire*: an MMAD starts a new tile and waits until the FIXPIPE of the previous one has drained it.
    *release*: an MMAD is the last on its tile, so a FIXPIPE may follow fractal by fractal; on the FIXPIPE
    itself: it takes the tile over and frees it when done.
    """

    slot: int
    acquire: bool
    release: bool


@dataclass(frozen=True)
class Run:
    """Occupy the pipe for *occupancy* cycles; results are visible *latency* >= occupancy cycles after the start.

    *busy* is what the vendor's profiler counts as work of the unit (fractal cycles on the cube). Runs of one *stream*
    follow each other without a gap; before a run of another stream the pipe lets its results become visible.
    """

    occupancy: int
    latency: int
    busy: int
    unit_flag: UnitFlag | None = None
    stream: str | None = None


@dataclass(frozen=True)
class Requests:
    """How a move asks for its bytes: row by row, each cut at multiples of *line* bytes (not at all if that is 0).

    *rows* runs of *row_bytes*, *pitch* bytes apart, from *offset* on, which counts from the base address. Each request
    takes at least *cycles*, and each row *row_cycles* more.
    """

    offset: int
    rows: int
    row_bytes: int
    pitch: int
    line: int
    cycles: float
    row_cycles: float = 0.0

    def flow_cycles(self, base: int, bytes_per_cycle: float) -> float:
        """Cycles in which the requests of the move can be made: the sum of max(bytes / bytes_per_cycle, cycles)."""

        def cost(size: int) -> float:
            return max(size / bytes_per_cycle, self.cycles) if size else 0.0

        if not self.line:
            return self.rows * (cost(self.row_bytes) + self.row_cycles)

        def row(phase: int) -> float:
            first = min(self.line - phase, self.row_bytes)
            lines, rest = divmod(self.row_bytes - first, self.line)
            return cost(first) + lines * cost(self.line) + cost(rest) + self.row_cycles

        begin = base + self.offset
        repeats = self.line // math.gcd(self.pitch, self.line)  # rows after which the phases come again
        phases = [row((begin + number * self.pitch) % self.line) for number in range(min(repeats, self.rows))]
        rounds, rest = divmod(self.rows, len(phases))
        return rounds * sum(phases) + sum(phases[:rest])


@dataclass(frozen=True)
class Move:
    """Move bytes between a core and global memory.

    The pipe is held for *head* cycles, then until the bytes have flowed at no more than *bytes_per_cycle*, at no more
    than its *requests* allow and at the share the memory system grants, and for no less than *minimum* cycles in all;
    the result is visible *latency* cycles later. Bytes that miss the cache come at no more than
    *miss_bytes_per_cycle*, counted from the start of the move.
    """

    head: int
    bytes_per_cycle: float
    minimum: int
    latency: int
    traffic: Traffic
    access: GmAccess
    requests: Requests
    miss_bytes_per_cycle: float = math.inf
    unit_flag: UnitFlag | None = None
    _flows: dict[int, float] = field(default_factory=dict, repr=False, compare=False)

    def flow_cycles(self, base: int) -> float:
        """Cycles from the first byte to the last if nothing else is in the way, for a *base* address in bytes."""
        phase = base % self.requests.line if self.requests.line else 0
        found = self._flows.get(phase)
        if found is None:
            found = self._flows[phase] = self.requests.flow_cycles(phase, self.bytes_per_cycle)
        return found


@dataclass(frozen=True)
class SetFlag:
    """Raise the flag (source pipe, *destination* pipe, *flag*) once all earlier work of the source pipe is visible."""

    destination: Pipe
    flag: int


@dataclass(frozen=True)
class WaitFlag:
    """Hold the pipe until the flag (*source* pipe, this pipe, *flag*) is raised, then lower it."""

    source: Pipe
    flag: int


@dataclass(frozen=True)
class Barrier:
    """Hold *pipe* (or, for ALL, the scalar front end) until its earlier work is visible."""

    pipe: Pipe


@dataclass(frozen=True)
class CrossCoreSet:
    """Once earlier work of the pipe is visible, count *flag* up at the cores that *mode* names."""

    flag: int
    mode: int


@dataclass(frozen=True)
class CrossCoreWait:
    """Hold the scalar front end until every core that *mode* names has set *flag* once more."""

    flag: int
    mode: int


Timing = Run | Move | SetFlag | WaitFlag | Barrier | CrossCoreSet | CrossCoreWait


def drained(timings: Sequence[tuple[Pipe, Timing]]) -> list[Timing]:
    """The timings of instructions in program order, with the last Run of each stream holding its pipe to the end.

    Loads into one buffer stream through their pipe; whatever else comes next on the pipe finds it drained.
    """
    result = [timing for _, timing in timings]
    following: dict[Pipe, str | None] = {}
    for position in range(len(timings) - 1, -1, -1):
        pipe, timing = timings[position]
        stream = timing.stream if isinstance(timing, Run) else None
        if isinstance(timing, Run) and stream is not None and following.get(pipe) != stream:
            more = timing.latency - timing.occupancy
            result[position] = replace(timing, occupancy=timing.latency, busy=timing.busy + more)
        following[pipe] = stream
    return result
