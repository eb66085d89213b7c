"""What an instruction asks of the timing engine.

The engine switches on these few kinds of actions and on nothing else: it never sees a mnemonic. All times are
whole core cycles.
"""

from __future__ import annotations

from dataclasses import dataclass
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

    *busy* is what the vendor's profiler counts as work of the unit (fractal cycles on the cube).
    """

    occupancy: int
    latency: int
    busy: int
    unit_flag: UnitFlag | None = None


@dataclass(frozen=True)
class Move:
    """Move bytes between a core and global memory.

    The pipe is held for *head* cycles, then until the bytes have flowed at no more than *bytes_per_cycle* and at
    the share the memory system grants, and for no less than *minimum* cycles in all; the result is visible
    *latency* cycles later.
    """

    head: int
    bytes_per_cycle: float
    minimum: int
    latency: int
    traffic: Traffic
    access: GmAccess
    unit_flag: UnitFlag | None = None


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
