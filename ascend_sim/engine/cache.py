"""The L2 cache of a die: sectored, write-back, least recently used first out.

State is one time stamp for each sector of global memory (0 = not resident). Replacement is exact LRU at the
resolution of the simulated clock: whatever was last touched in the same cycle leaves together, and evictions
happen between cycles, never within one. Equal cores therefore lose equal sectors, whatever their order.
Associativity is not modelled (the published geometry is close to fully associative), which errs towards more hits.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ascend_sim.isa.timing import GmAccess, Traffic


class Lookup(NamedTuple):
    """What an access found: bytes that are *missed* and come from HBM, and the *fills* by others that it waits for."""

    missed: int
    fills: tuple[int, ...]


class Block(NamedTuple):
    """*rows* runs of *width* sectors, *pitch* sectors apart."""

    rows: int
    pitch: int
    width: int


Sectors = Block | NDArray[np.int64]
"""What an access touches, from its first sector on: a block, or a list of sectors if its rows lie unevenly."""


@dataclass(frozen=True)
class CacheStatistics:
    """Bytes asked for by direction, found, fetched from HBM for reads, and written back; of all lumped cores."""

    read_bytes: int
    write_bytes: int
    hit_bytes: int
    missed_read_bytes: int
    written_back_bytes: int


_PAGE = 9
"""Fills in progress are looked for by pages of 2**9 sectors first."""

_MARGIN = 1 << 16
"""Sectors beyond the last tensor, so that the gap behind the last row of a block can be viewed."""


def _length(pattern: Sectors) -> int:
    """Sectors from the first to the last of *pattern*."""
    if isinstance(pattern, Block):
        return (pattern.rows - 1) * pattern.pitch + pattern.width
    return int(pattern[-1]) + 1


class L2Cache:
    """Cache of *capacity* bytes with sectors of *sector* bytes over *span* bytes of global memory."""

    def __init__(self, capacity: int, sector: int, span: int) -> None:
        self._sector = sector
        sectors = -(-span // sector) + _MARGIN
        self._limit = capacity // sector
        self._stamp = np.zeros(sectors, dtype=np.int64)
        self._dirty = np.zeros(sectors, dtype=np.bool_)
        self._fill = np.zeros(sectors, dtype=np.int32)
        self._fills = 0
        self._open_fills: dict[int, range] = {}
        self._filling: dict[int, int] = {}
        self._resident = 0
        self._ages: deque[tuple[int, int, int, Sectors]] = deque()
        self._patterns: dict[tuple[int, int, int, int], Sectors] = {}
        self._evicted_at = 0
        self._read = self._written = self._hit = self._missed = self._written_back = 0

    def access(self, access: GmAccess, base: int, traffic: Traffic, weight: int, now: int) -> Lookup:
        """Touch the bytes of *access*; missing sectors become a fill that is open until `filled`.

        A sector counts as resident from the request for it on, and whoever finds it while its fill is open waits for
        that fill. A write that covers a sector only in part is counted as covering it: no fill is charged for it.
        """
        size = access.bytes
        first, pattern = self._sectors(access, base + access.offset)
        stamps = self._view(self._stamp, first, pattern)
        absent = int(stamps.size - np.count_nonzero(stamps))
        fills: tuple[int, ...] = ()
        if traffic is not Traffic.WRITE:
            pages = range(first >> _PAGE, (first + _length(pattern) >> _PAGE) + 1)
            if absent < stamps.size and not self._filling.keys().isdisjoint(pages):
                fills = self._waits_for(first, pattern)
            if absent:
                self._open(first, pattern, stamps, absent, pages)
        self._store(self._stamp, first, pattern, now + 1)
        self._resident += absent * weight
        self._ages.append((now + 1, first, weight, pattern))
        missed = absent * self._sector
        if traffic is not Traffic.READ:
            self._store(self._dirty, first, pattern, True)
            self._written += size * weight
        if traffic is not Traffic.WRITE:
            self._read += size * weight
            self._missed += missed * weight
        # An atomic add asks twice, to read and to write; by the time it writes, it hits.
        self._hit += (max(size - missed, 0) + (size if traffic is Traffic.ATOMIC else 0)) * weight
        return Lookup(0 if traffic is Traffic.WRITE else missed, fills)

    @property
    def last_fill(self) -> int:
        """The number of the fill that the latest access has opened."""
        return self._fills

    def filled(self, fill: int) -> None:
        """The data of *fill* has arrived."""
        for page in self._open_fills.pop(fill):
            self._filling[page] -= 1
            if not self._filling[page]:
                del self._filling[page]

    def _open(self, first: int, pattern: Sectors, stamps: NDArray[np.int64], absent: int, pages: range) -> None:
        """Make a fill of the sectors without a stamp; remember on which pages one is open."""
        self._fills += 1
        self._open_fills[self._fills] = pages
        for page in pages:
            self._filling[page] = self._filling.get(page, 0) + 1
        fills: Any = self._fills
        if absent < stamps.size:
            fills = np.where(stamps == 0, self._fills, self._view(self._fill, first, pattern))
        self._store(self._fill, first, pattern, fills)

    def _waits_for(self, first: int, pattern: Sectors) -> tuple[int, ...]:
        fills = self._view(self._fill, first, pattern)
        oldest = min(self._open_fills)
        return tuple(fill for fill in np.unique(fills[fills >= oldest]).tolist() if fill in self._open_fills)

    def evict(self, now: int) -> int:
        """Make room, once for each new cycle; return the dirty bytes that go back to HBM."""
        if now == self._evicted_at:
            return 0
        self._evicted_at = now
        written_back = 0
        while self._resident > self._limit and self._ages and self._ages[0][0] <= now:
            age = self._ages[0][0]
            while self._ages and self._ages[0][0] == age:
                _, first, weight, pattern = self._ages.popleft()
                stamps = self._view(self._stamp, first, pattern)
                old = stamps == age
                leaving = int(np.count_nonzero(old))
                if not leaving:
                    continue  # all touched again since
                self._resident -= leaving * weight
                self._store(self._stamp, first, pattern, np.where(old, 0, stamps))
                dirty = self._view(self._dirty, first, pattern)
                if dirty.any():
                    written_back += int(np.count_nonzero(old & dirty)) * weight * self._sector
                    self._store(self._dirty, first, pattern, dirty & ~old)
        self._written_back += written_back
        return written_back

    def statistics(self) -> CacheStatistics:
        """What was asked of the cache so far."""
        return CacheStatistics(self._read, self._written, self._hit, self._missed, self._written_back)

    def _sectors(self, access: GmAccess, begin: int) -> tuple[int, Sectors]:
        """The first sector, and the pattern of sectors from it on."""
        phase = begin % self._sector
        key = phase, access.rows, access.row_bytes, access.pitch
        pattern = self._patterns.get(key)
        if pattern is None:
            pattern = self._patterns[key] = self._pattern(*key)
        return begin // self._sector, pattern

    def _pattern(self, phase: int, rows: int, row_bytes: int, pitch: int) -> Sectors:
        sector = self._sector
        if rows == 1:
            return Block(1, 0, -(-(phase + row_bytes) // sector))
        if pitch % sector == 0:
            width = -(-(phase + row_bytes) // sector)
            if width < pitch // sector < _MARGIN:
                return Block(rows, pitch // sector, width)
        starts = phase + np.arange(rows, dtype=np.int64) * pitch
        lengths = -(-(starts % sector + row_bytes) // sector)
        touched = np.unique(
            np.concatenate([starts[lengths > step] // sector + step for step in range(int(lengths.max()))])
        )
        if touched[-1] - touched[0] + 1 == touched.size:
            return Block(1, 0, int(touched.size))
        return touched

    @staticmethod
    def _view(array: NDArray[Any], first: int, pattern: Sectors) -> NDArray[Any]:
        """The sectors of *pattern*: a view of a block, a copy of a list."""
        if not isinstance(pattern, Block):
            return array[first + pattern]
        rows, pitch, width = pattern
        if rows == 1:
            return array[first : first + width]
        return array[first : first + rows * pitch].reshape(rows, pitch)[:, :width]

    def _store(self, array: NDArray[Any], first: int, pattern: Sectors, values: Any) -> None:
        if isinstance(pattern, Block):
            self._view(array, first, pattern)[...] = values
        else:
            array[first + pattern] = values
