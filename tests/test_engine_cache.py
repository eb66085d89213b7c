"""The L2 cache: by hand on whole programs, and against a naive model that keeps every sector for itself.

The figures of the chip are those of tiny.py unless a test overrides them; a sector is 128 B.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import chip, load, simulate, store, times

from ascend_sim import kernel as asc
from ascend_sim.engine.cache import L2Cache
from ascend_sim.isa.timing import GmAccess, Traffic
from ascend_sim.kernel import Pipe

SECTOR = 128


def test_a_second_load_hits() -> None:
    """The first load pays 200 cycles extra and the 16 B/cycle of HBM; the second one its path only."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400)  # 100 + 200 + 6400/16
        load(core, gm, 6400)  # 100 + 6400/64

    schedule = simulate(body, chip("l2.miss_extra_cycles=200", hbm=16))

    assert times(schedule) == [("data_copy", 0, 700), ("data_copy", 700, 900)]
    memory = schedule.memory
    assert (memory.hbm_read_bytes, memory.l2_read_bytes, memory.l2_hit_bytes) == (6400, 12800, 6400)


def test_a_load_that_hits_in_part() -> None:
    """Half of 6400 B is there: each byte takes half a byte of HBM, so 16 B/cycle of HBM carry the move at 32."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 3200)  # 100 + 200 + 3200/16 = 500
        load(core, gm, 6400)  # 100 + 200 + 6400/32 = 500

    schedule = simulate(body, chip("l2.miss_extra_cycles=200", hbm=16))

    assert times(schedule) == [("data_copy", 0, 500), ("data_copy", 500, 1000)]
    assert (schedule.memory.hbm_read_bytes, schedule.memory.l2_hit_bytes) == (6400, 3200)


def test_what_one_core_has_loaded_another_finds() -> None:
    """L2 belongs to the die: block 1 hits what block 0 has brought in."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.index == 0:
            load(core, gm, 6400)  # 100 + 200 + 100
        else:
            store(core, gm, 32 * 400)  # 50 + 400: passes the time until 450
            asc.pipe_barrier(Pipe.ALL)
            load(core, gm, 6400)  # 450 .. 450 + 100 + 100

    schedule = simulate(body, chip("l2.miss_extra_cycles=200"), blocks=2)

    assert times(schedule) == [("data_copy", 0, 400)]
    assert times(schedule, "die0.core0.veccore1")[2] == ("data_copy", 450, 650)


def test_what_was_stored_is_found() -> None:
    """A store leaves its bytes in L2, and a load of them hits."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        store(core, gm, 3200)  # 50 + 100
        asc.pipe_barrier(Pipe.ALL)  # 0 .. 150
        asc.data_copy(core.tensor("u", asc.Space.UB, 800, asc.fp32), gm.y[0:800])  # 150 + 100 + 50

    schedule = simulate(body, chip("l2.miss_extra_cycles=200"))

    assert times(schedule)[2] == ("data_copy", 150, 300)
    assert schedule.memory.hbm_read_bytes == 0


LINES = {"A": 0, "B": 1024, "C": 2048}


@pytest.mark.parametrize(
    ("order", "capacity", "hits"),
    [
        # Room is made when the next move arrives, and before that move is looked up.
        ("ABA", 1024, [0, 0, 0]),  # A is the oldest when it arrives again
        ("ABB", 1024, [0, 0, 1]),  # A leaves, B stays
        ("ABCB", 2048, [0, 0, 0, 1]),  # A leaves
        ("ABCA", 2048, [0, 0, 0, 0]),
        ("ABACA", 2048, [0, 0, 1, 0, 1]),  # A was touched after B, so B leaves
        ("ABACB", 2048, [0, 0, 1, 0, 0]),
    ],
)
def test_the_least_recently_used_leaves(order: str, capacity: int, hits: list[int]) -> None:
    """Moves of 1024 B take 100 + 16 cycles if they hit and 200 more if they miss; clean sectors just vanish."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        for name in order:
            load(core, gm, 1024, LINES[name])

    schedule = simulate(body, chip(f"l2.bytes={capacity}", "l2.miss_extra_cycles=200"))

    assert [end - start for _, start, end in times(schedule)] == [116 if hit else 316 for hit in hits]
    assert schedule.memory.hbm_write_bytes == 0
    assert schedule.memory.hbm_read_bytes == 1024 * hits.count(0)


@pytest.mark.parametrize(
    ("mixed", "cycles"),
    [
        (32, 64),  # half of 32 B/cycle for 1024 B
        (16, 128),  # half of 16, the rate of HBM while it serves both directions
    ],
)
def test_dirty_sectors_are_written_back(mixed: float, cycles: int) -> None:
    """The load that pushes 1024 dirty bytes out shares HBM with their write-back, at the mixed rate."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        store(core, gm, 1024)  # 50 + 32 = 82; fills the cache
        asc.pipe_barrier(Pipe.ALL)
        load(core, gm, 1024)  # bytes from 182 on; the cache is full, but room is made only for the next: 1024/32 = 32
        load(core, gm, 1024, 1024)  # 214; what was stored leaves at 314

    schedule = simulate(body, chip("l2.bytes=1024", hbm=32, mixed=mixed))

    assert times(schedule) == [
        ("data_copy", 0, 82), ("pipe_barrier", 0, 82), ("data_copy", 82, 214), ("data_copy", 214, 314 + cycles),
    ]  # fmt: skip
    assert (schedule.memory.hbm_read_bytes, schedule.memory.hbm_write_bytes) == (2048, 1024)


def test_a_write_back_alone_has_all_of_hbm() -> None:
    """A write-back that only hits are beside runs at the full rate, and is over when the next miss comes."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 1024)  # bytes from 100 on; 1024/16 = 64: 164
        store(core, gm, 2048, 4096)  # bytes from 50 on: 114
        asc.pipe_barrier(Pipe.ALL)  # 164
        load(core, gm, 1024)  # arrives at 264: 24 sectors in 16, the 16 dirty ones leave; a hit: 264 + 16 = 280
        load(core, gm, 1024, 1024)  # arrives at 380, when 116 cycles of the write-back's 2048/16 = 128 are over

    schedule = simulate(body, chip("l2.bytes=2048", hbm=16))

    # 12 x 16 B of the write-back are left: at 8 beside the load 24 cycles. The load: 24 x 8, then 832 B at 16.
    assert times(schedule)[3:] == [("data_copy", 164, 280), ("data_copy", 280, 380 + 24 + 52)]
    assert schedule.memory.hbm_write_bytes == 2048


def test_equal_cores_lose_equal_sectors() -> None:
    """Two cores that come in the same cycle find the same, though the first of them overfills the cache."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.index % 2 == 0:  # the first vector core of each of two groups
            load(core, gm, 256, offset=8192 * core.index)  # 2 sectors each: 4 of 8. 100 + 200 + 4 = 304
            load(core, gm, 896, offset=8192 * core.index)  # the same and 5 more: 14 of 8. 304 + 100 + 200 + 14

    schedule = simulate(body, chip("l2.bytes=1024", "l2.miss_extra_cycles=200"), blocks=4)

    for core in ("die0.core0.veccore0", "die0.core1.veccore0"):
        assert times(schedule, core) == [("data_copy", 0, 304), ("data_copy", 304, 618)]
    assert schedule.memory.l2_hit_bytes == 2 * 256


class Naive:
    """Every resident sector with the cycle of its last use; room is made once, before the first access of a cycle."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used: dict[int, int] = {}
        self.dirty: set[int] = set()

    def evict(self, now: int) -> int:
        """Let the oldest go, all of one cycle together, until the rest fits; return the dirty sectors among them."""
        written = 0
        while len(self.used) > self.capacity:
            oldest = min(self.used.values())
            if oldest >= now:
                break
            for sector in [sector for sector, cycle in self.used.items() if cycle == oldest]:
                del self.used[sector]
                written += sector in self.dirty
                self.dirty.discard(sector)
        return written

    def access(self, sectors: set[int], traffic: Traffic, now: int) -> int:
        """Touch *sectors*; return how many were absent."""
        absent = len(sectors - self.used.keys())
        self.used.update(dict.fromkeys(sectors, now))
        if traffic is not Traffic.READ:
            self.dirty |= sectors
        return absent


@dataclass(frozen=True)
class Use:
    """An access *later* cycles after the one before it, to *rows* runs of *size* bytes, *pitch* bytes apart."""

    later: int
    begin: int
    rows: int
    size: int
    pitch: int
    traffic: Traffic

    @property
    def access(self) -> GmAccess:
        """The access as the cache wants it, half of its place in the offset."""
        return GmAccess(0, self.begin // 2, self.rows, self.size, self.pitch)

    @property
    def base(self) -> int:
        """The other half of its place."""
        return self.begin - self.begin // 2

    @property
    def sectors(self) -> set[int]:
        """The sectors touched."""
        starts = [self.begin + row * self.pitch for row in range(self.rows)]
        return {sector for s in starts for sector in range(s // SECTOR, (s + self.size - 1) // SECTOR + 1)}


SPAN = 1 << 14


def uses(unit: int) -> st.SearchStrategy[list[Use]]:
    """Accesses whose places and sizes are multiples of *unit* bytes."""

    def use(later: int, begin: int, rows: int, size: int, gap: int, traffic: Traffic) -> Use:
        return Use(later, begin * unit, rows, size * unit, (size + gap) * unit, traffic)

    most = 1024 // unit
    one = st.builds(
        use, st.integers(0, 2), st.integers(0, 4096 // unit), st.integers(1, 4), st.integers(1, most),
        st.integers(0, most), st.sampled_from(Traffic),
    )  # fmt: skip
    return st.lists(one, min_size=1, max_size=25)


CAPACITIES = st.integers(1, 40)


def replay(cache: L2Cache, sequence: Sequence[Use], copies: int = 1, weight: int = 1) -> list[tuple[int, int]]:
    """Missed bytes and written-back bytes of each use in *sequence*, *copies* of it side by side."""
    results, now, evicted_at = [], 0, -1
    for use in sequence:
        now += use.later
        written_back = cache.evict(now) if now != evicted_at else 0
        evicted_at = now
        bases = [use.base + SPAN * copy for copy in range(copies)]
        missed = [cache.access(use.access, base, use.traffic, weight, now).missed for base in bases]
        results.append((sum(missed) * weight, written_back))
    return results


@settings(max_examples=200, deadline=None)
@given(uses(SECTOR), CAPACITIES)
def test_whole_sectors_are_kept_as_in_the_naive_model(sequence: list[Use], capacity: int) -> None:
    """Misses, evictions and the totals, access for access, for accesses that cover their sectors."""
    cache, naive = L2Cache(capacity * SECTOR, SECTOR, SPAN), Naive(capacity)
    expected: list[tuple[int, int]] = []
    now = 0
    read = written = missed_read = missed_all = 0
    for use in sequence:
        now += use.later
        written_back = naive.evict(now) * SECTOR if use.later or not expected else 0
        absent = naive.access(use.sectors, use.traffic, now) * SECTOR
        expected.append((0 if use.traffic is Traffic.WRITE else absent, written_back))
        size = use.rows * use.size
        missed_all += absent
        read += size if use.traffic is not Traffic.WRITE else 0
        written += size if use.traffic is not Traffic.READ else 0
        missed_read += expected[-1][0]

    assert replay(cache, sequence) == expected
    found = cache.statistics()
    assert (found.read_bytes, found.write_bytes, found.missed_read_bytes) == (read, written, missed_read)
    assert found.hit_bytes == read + written - missed_all  # an atomic add asks twice, and hits when it writes
    assert found.written_back_bytes == sum(written_back for _, written_back in expected)


@settings(max_examples=200, deadline=None)
@given(uses(32), CAPACITIES)
def test_parts_of_sectors_are_kept_as_in_the_naive_model(sequence: list[Use], capacity: int) -> None:
    """Accesses that begin or end inside a sector touch and fetch all of it."""
    cache, naive, now = L2Cache(capacity * SECTOR, SECTOR, SPAN), Naive(capacity), 0

    for number, (use, (missed, written_back)) in enumerate(zip(sequence, replay(cache, sequence), strict=True)):
        now += use.later
        assert written_back == (naive.evict(now) * SECTOR if use.later or not number else 0)
        absent = naive.access(use.sectors, use.traffic, now)
        assert missed == (0 if use.traffic is Traffic.WRITE else absent * SECTOR)


@settings(max_examples=200, deadline=None)
@given(uses(32), CAPACITIES, st.integers(2, 4))
def test_a_weight_stands_for_disjoint_copies(sequence: list[Use], capacity: int, weight: int) -> None:
    """A weight of n misses, evicts and writes back what n copies with addresses of their own do."""
    lumped, each = (L2Cache(capacity * SECTOR, SECTOR, SPAN * weight) for _ in range(2))

    assert replay(lumped, sequence, weight=weight) == replay(each, sequence, copies=weight)
    assert lumped.statistics() == each.statistics()


def test_nothing_is_evicted_within_a_cycle() -> None:
    """What the first access of a cycle overfills stays until the next cycle, whoever asks for room in between."""
    cache = L2Cache(2 * SECTOR, SECTOR, SPAN)
    two, other = GmAccess(None, 0, 1, 2 * SECTOR, 2 * SECTOR), GmAccess(None, 1024, 1, SECTOR, SECTOR)
    cache.access(two, 0, Traffic.WRITE, 1, now=1)

    assert cache.evict(2) == 0  # two sectors fit
    cache.access(other, 0, Traffic.READ, 1, now=2)  # a third
    assert cache.evict(2) == 0  # the same cycle
    assert cache.evict(3) == 2 * SECTOR  # the next one: both sectors of cycle 1 leave together


def test_a_sector_on_its_way_is_waited_for() -> None:
    """Four cores load the same 6400 B in one cycle: one fetches them, the others hit and wait for the same bytes."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400)  # 100 + 200 for the miss, then 6400 B at 16 B/cycle: 400

    schedule = simulate(body, chip("l2.miss_extra_cycles=200", hbm=16), blocks=4)

    for core in ("die0.core0.veccore0", "die0.core0.veccore1", "die0.core1.veccore0", "die0.core1.veccore1"):
        assert times(schedule, core) == [("data_copy", 0, 100 + 200 + 400)]
    assert schedule.memory.hbm_read_bytes == 6400
