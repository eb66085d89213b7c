"""Moves that share a die's bandwidths: by hand on whole programs, and against an exact model of max-min fairness.

The figures of the chip are those of tiny.py unless a test overrides them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import chip, load, simulate, store, times

from ascend_sim import kernel as asc
from ascend_sim.engine.bandwidth import SCALE, SharedBandwidth
from ascend_sim.engine.machine import Schedule
from ascend_sim.kernel import Space


def vector_ends(schedule: Schedule, count: int) -> list[list[int]]:
    """Ends of the instructions of the first *count* vector cores."""
    cores = [f"die0.core{block // 2}.veccore{block % 2}" for block in range(count)]
    return [[end for _, _, end in times(schedule, core)] for core in cores]


def test_two_cores_share_hbm_until_one_is_done() -> None:
    """At 64 B/cycle of HBM, two cores get 32 each; when the shorter move is done, the other gets all 64."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        # Heads until 100. Block 0: 6400 B at 32 until 300. Block 1: 6400 B until 300, the other 6400 at 64 until 400.
        load(core, gm, (6400, 12800)[core.index], offset=65536 * core.index)

    schedule = simulate(body, chip(hbm=64), blocks=2)

    assert times(schedule, "die0.core0.veccore0") == [("data_copy", 0, 300)]
    assert times(schedule, "die0.core0.veccore1") == [("data_copy", 0, 400)]
    assert schedule.memory.hbm_read_bytes == 6400 + 12800


def test_a_move_that_comes_later_slows_the_first_down() -> None:
    """Block 0 moves alone for 100 cycles, shares until block 1 is done, and finishes alone."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.index:
            store(core, gm, 3200)  # stays in L2; 0 .. 150
            asc.pipe_barrier(asc.Pipe.ALL)
            load(core, gm, 3200, offset=131072)  # bytes from 150 + 100 on, at 32 until 350
        else:
            load(core, gm, 19200)  # bytes from 100 on: 150 cycles at 64, 100 at 32, and 6400 B at 64 until 450

    schedule = simulate(body, chip(hbm=64), blocks=2)

    assert vector_ends(schedule, 2) == [[450], [150, 150, 350]]


def test_what_a_slow_path_leaves_goes_to_the_others() -> None:
    """Of 96 B/cycle of HBM the cube core can take only 16, so that a vector core gets 80, and 96 afterwards."""
    on = chip("paths.gm_to_l1_nz.bytes_per_cycle=16", "paths.gm_to_ub.bytes_per_cycle=128", hbm=96)

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_cube:
            asc.data_copy(core.tensor("a", Space.L1, (16, 256), asc.fp16)[:, 0:256], gm.tile[0:16, :])  # 8192 B
        elif core.sub == 0:
            load(core, gm, 80 * 512 + 96 * 52)  # 80 a cycle for 512 cycles, then 96 for 52

    schedule = simulate(body, on, cores="mix")

    assert times(schedule, "die0.core0.cubecore0") == [("data_copy", 0, 100 + 512)]
    assert times(schedule, "die0.core0.veccore0") == [("data_copy", 0, 100 + 512 + 52)]


def test_many_cores_share_the_bandwidth_of_l2() -> None:
    """Eight paths of 64 B/cycle want 512 of L2's 256, and get 32 each: 6400 B in 200 cycles."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400, offset=6400 * core.index)

    schedule = simulate(body, chip("l2.read_bytes_per_cycle=256"), blocks=8)

    assert vector_ends(schedule, 8) == [[300]] * 8
    assert schedule.memory.l2_read_bytes == 8 * 6400


def test_writes_share_the_write_bandwidth_of_l2_and_leave_reads_alone() -> None:
    """Two stores of 32 B/cycle share 16 of L2's writes: 3200 B in 400 cycles; a load beside them has its 64."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        store(core, gm, 3200, offset=3200 * core.index)  # 50 + 3200 / 8
        if core.index == 0:
            load(core, gm, 6400)  # 100 + 100

    schedule = simulate(body, chip("l2.write_bytes_per_cycle=16", hbm=64), blocks=2)

    assert vector_ends(schedule, 2) == [[450, 200], [450]]
    assert schedule.memory.l2_write_bytes == 6400


def test_a_store_needs_no_hbm() -> None:
    """A store stays in L2: neither the rate of HBM nor the extra cycles of a miss slow it down."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        store(core, gm, 3200)

    schedule = simulate(body, chip("l2.miss_extra_cycles=200", hbm=1))

    assert times(schedule) == [("data_copy", 0, 150)]
    assert (schedule.memory.hbm_read_bytes, schedule.memory.hbm_write_bytes) == (0, 0)


@pytest.mark.parametrize(
    ("figure", "cycles"),
    [
        ("l2.read_bytes_per_cycle=1024", 100),  # its path: 3200 B at 32
        ("l2.read_bytes_per_cycle=8", 400),  # what it reads in L2
        ("l2.write_bytes_per_cycle=16", 200),  # what it writes there
    ],
)
def test_an_atomic_add_reads_and_writes_l2(figure: str, cycles: int) -> None:
    """An atomic add takes read and write bandwidth of L2 for each byte, and runs at what is scarcer."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        store(core, gm, 3200)  # brings the lines into L2, and is over at 50 + 200 at the latest
        asc.pipe_barrier(asc.Pipe.ALL)
        store(core, gm, 3200, atomic=True)

    schedule = simulate(body, chip(figure))
    _, (_, begin, _), (_, start, end) = times(schedule)

    assert (begin, end - start) == (0, 50 + cycles)
    assert (schedule.memory.l2_read_bytes, schedule.memory.l2_write_bytes) == (3200, 6400)


def test_an_atomic_add_that_misses_fetches_first() -> None:
    """The lines that an atomic add changes come from HBM, at 8 B/cycle and 200 cycles late."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        store(core, gm, 3200, atomic=True)  # 50 + 200 + 3200 / 8

    schedule = simulate(body, chip("l2.miss_extra_cycles=200", hbm=8))

    assert times(schedule) == [("data_copy", 0, 650)]
    assert schedule.memory.hbm_read_bytes == 3200


def test_fixpipe_with_atomic_add_reads_l2_too() -> None:
    """fixpipe of 1024 B at 16 B/cycle of L2 reads takes 20 + 64 cycles; without atomic add it reads nothing."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        result = core.tensor("c", Space.L0C, (16, 16), asc.fp32)
        asc.fixpipe(gm.result[0:16, 0:16], result)  # 0 .. 20 + 8
        asc.fixpipe(gm.result[0:16, 0:16], result, atomic_add=True)  # 28 .. 28 + 20 + 64

    schedule = simulate(body, chip("l2.read_bytes_per_cycle=16"), cores="cube")

    assert times(schedule, "die0.core0.cubecore0") == [("fixpipe", 0, 28), ("fixpipe", 28, 112)]


def test_two_dies_share_nothing() -> None:
    """Two blocks on one die share its HBM; with one block on each of two dies both have one to themselves."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        rows = gm.tile[16 * core.index : 16 * core.index + 16, :]
        asc.data_copy(core.tensor("a", Space.L1, (16, 256), asc.fp16), rows)

    together = simulate(body, chip(hbm=64), cores="cube", blocks=2)
    apart = simulate(body, chip("dies=2", "cores.aic_per_die=1", hbm=64), cores="cube", blocks=2)

    # 8192 B at 32 B/cycle, and at 64.
    assert [times(together, f"die0.core{i}.cubecore0") for i in (0, 1)] == [[("data_copy", 0, 356)]] * 2
    assert [times(apart, f"die{i}.core0.cubecore0") for i in (0, 1)] == [[("data_copy", 0, 228)]] * 2
    assert apart.memory == together.memory


def test_blocks_of_a_die_start_one_after_the_other() -> None:
    """Block i of each die starts launch + i x skew cycles late, both vector cores of a group together."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 640, offset=640 * core.index)

    on = chip("launch.vector_seconds=1e-6", "launch.skew_cycles=70", "dies=2", "cores.aic_per_die=2")
    schedule = simulate(body, on, blocks=8)

    for core in schedule.cores:
        begin = 1000 + 70 * core.stream.core.group
        assert times(schedule, str(core.stream.core)) == [("data_copy", begin, begin + 110)]


Rates = tuple[Fraction, ...]


@dataclass(frozen=True)
class Flow:
    """A move: *weight* times *size* bytes from cycle *start* on, of each of which *shares* go over the resources."""

    start: int
    size: int
    limit: Fraction
    shares: tuple[Fraction, ...]
    weight: int = 1


def shared(flows: Sequence[Flow], capacities: Sequence[Fraction], reserved: Sequence[int] = ()) -> list[int]:
    """When SharedBandwidth of *capacities* finishes each of *flows*, those with an index in *reserved* first."""
    env = simpy.Environment()
    limits = tuple(int(capacity * SCALE) for capacity in capacities)
    bandwidth = SharedBandwidth(env, limits, limits)
    ends = [-1] * len(flows)
    for number, flow in enumerate(flows):
        shares = tuple(int(share * SCALE) for share in flow.shares)
        begin = partial(
            bandwidth.start, flow.size, int(flow.limit * SCALE), shares, flow.weight,
            partial(ends.__setitem__, number), reserved=number in reserved,
        )  # fmt: skip
        env.process(_after(env, flow.start, begin))
    env.run()
    return ends


def _after(env: simpy.Environment, delay: int, act: Callable[[], None]) -> Generator[simpy.Event, None, None]:
    yield env.timeout(delay)
    act()


def fair_rates(flows: Sequence[Flow], capacities: Sequence[Fraction]) -> list[Fraction]:
    """Max-min fair rates by their definition: all rise together, and stop at a limit or at a full resource."""
    rates = [Fraction(0)] * len(flows)
    rising = set(range(len(flows)))
    while rising:
        room = [flows[i].limit - rates[i] for i in rising]
        for resource, capacity in enumerate(capacities):
            slope = sum(flows[i].weight * flows[i].shares[resource] for i in rising)
            used = sum(rates[i] * flows[i].weight * flows[i].shares[resource] for i in range(len(flows)))
            if slope:
                room.append((capacity - used) / slope)
        step = min(room)
        for i in rising:
            rates[i] += step
        full = [
            sum(rate * flow.weight * flow.shares[resource] for rate, flow in zip(rates, flows)) == capacity
            for resource, capacity in enumerate(capacities)
        ]
        rising = {
            i for i in rising
            if rates[i] < flows[i].limit and not any(is_full and share for is_full, share in zip(full, flows[i].shares))
        }  # fmt: skip
    return rates


def exact(flows: Sequence[Flow], capacities: Sequence[Fraction]) -> list[int]:
    """When each of *flows* ends, in fractions; a flow that ends within a cycle keeps its share until its end."""
    left = [Fraction(flow.size) for flow in flows]
    ends = [-1] * len(flows)
    now = 0
    while -1 in ends:
        moving = [i for i, flow in enumerate(flows) if flow.start <= now and ends[i] < 0]
        rates = fair_rates([flows[i] for i in moving], capacities)
        events = [flow.start for flow in flows if flow.start > now]
        events += [now + math.ceil(left[i] / rate) for i, rate in zip(moving, rates)]
        after = min(events)
        for i, rate in zip(moving, rates):
            left[i] -= rate * (after - now)
            if left[i] <= 0:
                ends[i] = after
        now = after
    return ends


SHARES = st.sampled_from([Fraction(0), Fraction(1, 4), Fraction(1, 2), Fraction(1)])
RATES = st.integers(1, 200).map(Fraction)


def flows_of(start: st.SearchStrategy[int]) -> st.SearchStrategy[list[Flow]]:
    """Up to eight flows over three resources, at least one of which each of them uses."""
    one = st.builds(
        Flow, start, st.integers(32, 20000), RATES, st.tuples(SHARES, SHARES, SHARES).filter(any), st.integers(1, 4)
    )
    return st.lists(one, min_size=1, max_size=8)


CAPACITIES = st.tuples(RATES, RATES, RATES)


def within_a_cycle(found: list[int], expected: list[int]) -> bool:
    """Whether no end differs by more than one cycle."""
    return all(abs(a - b) <= 1 for a, b in zip(found, expected, strict=True))


@settings(max_examples=200, deadline=None)
@given(flows_of(st.just(0)), CAPACITIES)
def test_flows_that_start_together_end_as_in_exact_arithmetic(flows: list[Flow], capacities: Rates) -> None:
    """Max-min fairness, limits and weights: every end is within a cycle of that in fractions."""
    assert within_a_cycle(shared(flows, capacities), exact(flows, capacities))


@settings(max_examples=200, deadline=None)
@given(flows_of(st.integers(0, 300)), CAPACITIES)
def test_flows_that_come_and_go_end_as_in_exact_arithmetic(flows: list[Flow], capacities: Rates) -> None:
    """The same for flows that start at any time, so that rates change with every start and end."""
    assert within_a_cycle(shared(flows, capacities), exact(flows, capacities))


@settings(max_examples=200, deadline=None)
@given(flows_of(st.integers(0, 300)), CAPACITIES)
def test_no_resource_carries_more_than_its_capacity(flows: list[Flow], capacities: Rates) -> None:
    """All bytes that have ended at some time fit into the capacity since the first start, for every resource."""
    ends = shared(flows, capacities)
    first = min(flow.start for flow in flows)

    for end in ends:
        for resource, capacity in enumerate(capacities):
            carried = sum(
                flow.size * flow.weight * flow.shares[resource] for flow, its in zip(flows, ends) if its <= end
            )
            rounding = Fraction(sum(flow.weight for flow in flows), 256)  # a flow may end 1/256 byte early
            assert carried <= capacity * (end - first) + rounding
    for flow, end in zip(flows, ends, strict=True):
        assert (end - flow.start) * flow.limit >= flow.size - Fraction(1, 256)


@settings(max_examples=200, deadline=None)
@given(flows_of(st.integers(0, 300)), RATES, RATES)
def test_more_capacity_is_never_later(flows: list[Flow], capacity: Fraction, more: Fraction) -> None:
    """With one shared resource, every flow ends no later when the resource is wider."""
    flows = [Flow(flow.start, flow.size, flow.limit, (Fraction(1),), flow.weight) for flow in flows]

    narrow, wide = shared(flows, [capacity]), shared(flows, [capacity + more])

    assert all(sooner <= later for sooner, later in zip(wide, narrow, strict=True))


@settings(max_examples=200, deadline=None)
@given(flows_of(st.integers(0, 300)), CAPACITIES)
def test_a_weight_stands_for_equal_flows(flows: list[Flow], capacities: Rates) -> None:
    """A flow of weight n ends exactly when each of n flows of weight 1 would."""
    copies = [(i, Flow(f.start, f.size, f.limit, f.shares)) for i, f in enumerate(flows) for _ in range(f.weight)]

    lumped = shared(flows, capacities)

    assert shared([flow for _, flow in copies], capacities) == [lumped[i] for i, _ in copies]


def plain(size: int, limit: int = 64, start: int = 0) -> Flow:
    """A flow over a single resource."""
    return Flow(start, size, Fraction(limit), (Fraction(1),))


def test_a_reserved_flow_takes_half_while_others_want_it() -> None:
    """Of 64 B/cycle the reserved flow gets 32 against three others, and all of it when it is alone."""
    flows = [plain(6400), plain(640), plain(640), plain(640)]

    # The three share 32 until 640 x 3 / 32 = 60; then 6400 - 60 x 32 = 4480 are left at 64: 70 more cycles.
    assert shared(flows, [Fraction(64)], reserved=[0]) == [130, 60, 60, 60]
    # Without the precedence each has 16, the three until 40; 6400 - 640 are left at 64: 90 more cycles.
    assert shared(flows, [Fraction(64)]) == [130, 40, 40, 40]


def test_two_reserved_flows_share_the_reserve() -> None:
    """Two reserved flows of 6400 B are 12800 B, which 64 B/cycle cannot carry in less than 200 cycles."""
    assert shared([plain(6400), plain(6400)], [Fraction(64)], reserved=[0, 1]) == [200, 200]
