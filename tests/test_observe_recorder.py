"""What shared bandwidth cost each move: by hand on tiny chips."""

from __future__ import annotations

import pytest
from tiny import Body, build, chip, load, store

from ascend_sim import kernel as asc
from ascend_sim.config import Chip
from ascend_sim.engine.machine import simulate_timing
from ascend_sim.observe.recorder import Recorder

Lost = list[list[tuple[int, int, int]]]


def lost(body: Body, on: Chip, blocks: int = 2, *, symmetry: bool = False) -> Lost:
    """For each simulated core its moves that lost anything: (index, cycles to L2, cycles to HBM)."""
    recorder = Recorder()
    schedule = simulate_timing(build(body, on, blocks=blocks), on, symmetry=symmetry, observers=[recorder])
    limits = recorder.limits(len(schedule.cores))
    return [list(zip(*(column.tolist() for column in (one.index, one.l2, one.hbm)), strict=True)) for one in limits]


def test_sharing_hbm_costs_each_what_it_would_have_saved_alone() -> None:
    """Two moves share 64 B/cycle, which each could use: half of the 200 cycles that they share are lost."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, (6400, 12800)[core.index], offset=65536 * core.index)  # 32 B/cycle until 300, then 64

    assert lost(body, chip(hbm=64)) == [[(0, 0, 100)], [(0, 0, 100)]]


def test_what_is_lost_to_l2_is_counted_for_l2() -> None:
    """Eight paths of 64 B/cycle share 256 of L2's reads: 6400 B take 200 cycles instead of 100."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400, offset=6400 * core.index)

    assert lost(body, chip("l2.read_bytes_per_cycle=256"), 8) == [[(0, 100, 0)]] * 8


def test_a_lumped_core_loses_what_each_of_its_members_does() -> None:
    """One core is simulated for each place within a group, and says the same of itself as all of them do."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400, offset=6400 * core.index)

    assert lost(body, chip("l2.read_bytes_per_cycle=256"), 8, symmetry=True) == [[(0, 100, 0)]] * 2


def test_waiting_for_bytes_that_another_move_fetches_counts_for_hbm() -> None:
    """The first move fetches 6400 B at 16 B/cycle until 500; the second has its own share at 200 and waits for them."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400)

    assert lost(body, chip(hbm=16)) == [[(0, 0, 300)], [(0, 0, 300)]]


@pytest.mark.parametrize("hbm", [64, 1024])
def test_a_move_alone_at_its_own_limit_loses_nothing(hbm: float) -> None:
    """Neither a path as slow as HBM nor a store, which needs no HBM, waits for anybody."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400)
        store(core, gm, 3200)

    assert lost(body, chip(hbm=hbm), 1) == [[]]


def test_listening_changes_no_cycle() -> None:
    """With and without a recorder, the schedule is the same."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400, offset=65536 * core.index)
        asc.pipe_barrier(asc.Pipe.ALL)
        store(core, gm, 3200, offset=3200 * core.index, atomic=True)
        load(core, gm, 12800)

    on = chip("l2.read_bytes_per_cycle=96", "l2.bytes=4096", hbm=48, mixed=40)
    program = build(body, on, blocks=3)
    plain = simulate_timing(program, on, symmetry=False)
    watched = simulate_timing(program, on, symmetry=False, observers=[Recorder()])

    assert [core.ends for core in watched.cores] == [core.ends for core in plain.cores]
    assert watched.memory == plain.memory
