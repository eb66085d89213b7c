"""What pipes and cores tell each other: flags, unit flags, cross-core channels.

Each keeps the times of events that have been worked out but not yet consumed. The hardware's flags are single bits
and its cross-core flags small counters; a program that would raise a raised bit, or count past the end, is wrong on
the chip, and is reported instead of simulated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ascend_sim.engine.core import CoreModel, PipeState


class Flag:
    """The bit between two pipes of a core."""

    __slots__ = ("lowered_at", "number", "raised", "waiter")

    def __init__(self, number: int) -> None:
        self.number = number
        self.raised: deque[tuple[int, int]] = deque()
        self.waiter: PipeState | None = None
        self.lowered_at = 0

    def set(self, time: int, index: int, core: CoreModel) -> None:
        """The set_flag with instruction number *index* is carried out at *time*."""
        if time < self.lowered_at and not self.raised:
            core.machine.set_twice(core, self.number, index)
        self.raised.append((time, index))
        if self.waiter is not None:
            core.woken.append(self.waiter)
            self.waiter = None

    def wait(self, start: int, cycles: int, index: int, core: CoreModel) -> int:
        """The wait_flag *index* takes the oldest set, which is known, from *start* on; return when it is done."""
        raised, setter = self.raised.popleft()
        if raised > start:
            core.links[index] = core.number, setter
            start = raised
        end = self.lowered_at = start + cycles
        if self.raised and self.raised[0][0] < end:
            core.machine.set_twice(core, self.number, self.raised[0][1])
        return end


class Flags(dict[int, Flag]):
    """The flags of a core by number, made when first used."""

    def __missing__(self, number: int) -> Flag:
        flag = self[number] = Flag(number)
        return flag


class UnitTile:
    """The handshake of MMAD and FIXPIPE on one L0C tile."""

    __slots__ = ("cube_waits", "drain_waits", "drained", "finished")

    def __init__(self) -> None:
        self.finished: deque[tuple[int, int, int]] = deque()
        self.drained: deque[tuple[int, int]] = deque([(0, -1)])
        self.cube_waits: PipeState | None = None
        self.drain_waits: PipeState | None = None


class UnitTiles(dict[int, UnitTile]):
    """The L0C tiles of a core by address, made when first used."""

    def __missing__(self, slot: int) -> UnitTile:
        tile = self[slot] = UnitTile()
        return tile


class Channel:
    """Cross-core sets of one flag from one core to another, in order of arrival, and the waits that took them."""

    __slots__ = ("arrivals", "flag", "waits")

    def __init__(self, flag: int) -> None:
        self.flag = flag
        self.arrivals: list[tuple[int, int, int]] = []
        self.waits: list[tuple[int, int]] = []

    @property
    def ready(self) -> bool:
        """Whether a set is known that no wait has taken."""
        return len(self.arrivals) > len(self.waits)

    def take(self, time: int, index: int) -> tuple[int, int, int]:
        """The wait *index*, which begins at *time*, takes the oldest set: (arrival, core, index of the set)."""
        self.waits.append((time, index))
        return self.arrivals[len(self.waits) - 1]

    def overflows(self, limit: int) -> Iterator[tuple[int, int, bool]]:
        """Yield each place where more than *limit* sets were outstanding.

        An entry is (outstanding, index of the wait that finds them, True) or, for sets that nobody waits for,
        (outstanding, position of the last arrival, False).
        """
        seen = 0
        for taken, (time, index) in enumerate(self.waits):
            while seen < len(self.arrivals) and self.arrivals[seen][0] <= time:
                seen += 1
            if seen - taken > limit:
                yield seen - taken, index, True
        left = len(self.arrivals) - len(self.waits)
        if left > limit:
            yield left, len(self.arrivals) - 1, False
