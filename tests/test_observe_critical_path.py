"""The critical path, against paths worked out by hand on the chip of tiny.py, and its sum on any program."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outcomes import SMALL, outcome
from tiny import Body, build, chip, load, simulate, store, work

from ascend_sim import kernel as asc
from ascend_sim.config import Chip
from ascend_sim.engine.machine import simulate_timing
from ascend_sim.kernel import Pipe, Space
from ascend_sim.kernel.build import Cores
from ascend_sim.observe.critical_path import critical_path
from ascend_sim.observe.timeline import Timelines


def path_of(body: Body, *overrides: str, cores: Cores = "vector", blocks: int = 1) -> dict[str, int]:
    """Cycles of the critical path of *body* by what they were spent on, nothing else."""
    on = chip(*overrides)
    return dict(critical_path(Timelines(simulate(body, on, cores, blocks), on)).ranking)


def test_a_load_handed_to_a_computation() -> None:
    """Of five instructions four are on the path: load 140, set 10, wait 5, adds 140; the store is over at 58."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        store(core, gm, 256)  # 0 .. 50 + 256/32
        load(core, gm, 2560)  # 0 .. 100 + 2560/64
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)  # 140 .. 150
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)  # 0 .. 150 + 5
        work(core, 10)  # 155 .. 155 + 40 + 100

    assert path_of(body) == {"aiv_mte2": 150, "aiv_vec": 145}


def test_the_first_cycles_are_the_launch() -> None:
    """Launch and skew come before the first dispatch: 1000 cycles, and 30 for the group of the second block."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 64)  # 101 cycles

    path = path_of(body, "launch.vector_seconds=1e-6", "launch.skew_cycles=30", cores="vector", blocks=3)

    assert path == {"launch": 1030, "aiv_mte2": 101}


def test_instructions_on_one_pipe() -> None:
    """The second adds waits for the pipe, not for the result of the first: 50 of the first, 40 + 10 of the second."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 5)
        work(core, 1)

    assert path_of(body) == {"aiv_vec": 50 + 50}


def test_a_set_flag_waits_for_the_slowest_result_before_it() -> None:
    """The set waits for the first adds, visible at 240, though the second is the last on its pipe (visible at 210)."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        values = core.tensor("values", Space.UB, 64 * 20, asc.fp32)
        asc.adds(values, values, 1.0)  # 0 .. 200 on the pipe, visible at 240
        asc.muls(values[:64], values[:64], 1.0)  # 200 .. 210, visible at 210
        asc.set_flag(Pipe.V, Pipe.MTE3, 0)  # 240 .. 250
        asc.wait_flag(Pipe.V, Pipe.MTE3, 0)  # 0 .. 255
        store(core, gm, 32)  # 255 .. 306

    row = "{first_cycles: 10, further_cycles: 10.0, latency_cycles: 0}"
    path = path_of(body, f"vector.ops.vmuls.fp32={row}")

    assert path == {"aiv_vec": 250, "aiv_mte3": 56}


def test_issue_is_on_the_path_where_it_is_slow() -> None:
    """With 100 cycles an instruction, the third adds is dispatched at 200, long after the pipe was free."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 1)
        work(core, 1)
        work(core, 20)  # 200 .. 200 + 40 + 200

    assert path_of(body, "scalar.issue_cycles=100") == {"aiv_scalar": 200, "aiv_vec": 240}


def test_the_scalar_unit_may_end_last() -> None:
    """The issue of an instruction that is quicker than its issue is the end of the kernel: 100 against 50."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 1)

    assert path_of(body, "scalar.issue_cycles=100") == {"aiv_scalar": 50, "aiv_vec": 50}


def test_a_full_queue_leads_to_what_made_room() -> None:
    """The load is dispatched at 100, when the second adds left the queue, because the first held the pipe so long."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 10)  # 0 .. 100 on the pipe
        work(core, 1)  # in the queue until 100
        work(core, 1)  # dispatched at 100
        load(core, gm, 64000)  # dispatched at 100: 100 .. 100 + 100 + 1000

    assert path_of(body, "scalar.queue_depth=1") == {"aiv_mte2": 1100, "aiv_vec": 100}


def test_a_wait_makes_room_when_it_is_over() -> None:
    """The wait leaves its queue at 215; the path goes through it to the load, whose pipe raises the flag."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400)  # 0 .. 200
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)  # 200 .. 210
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)  # 0 .. 215
        work(core, 1)  # dispatched at 215
        store(core, gm, 3200)  # behind it: 215 .. 215 + 50 + 100

    assert path_of(body, "scalar.queue_depth=1") == {"aiv_mte2": 210, "aiv_vec": 5, "aiv_mte3": 150}


def test_barriers_lead_to_what_they_waited_for() -> None:
    """pipe_barrier(V) waits for V's result at 90, pipe_barrier(ALL) for the store's end at 90 + 10 + 40 + 251."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 5)  # visible at 90
        asc.pipe_barrier(Pipe.V)  # 50 .. 90
        work(core, 1)  # 90 .. 100 on the pipe, visible at 140
        asc.pipe_barrier(Pipe.ALL)  # 0 .. 140
        load(core, gm, 64)  # 140 .. 241

    assert path_of(body) == {"aiv_vec": 140, "aiv_mte2": 101}


def test_a_flag_to_the_scalar_unit() -> None:
    """The scalar unit waits for the load: 200 and 10 of the flag on MTE2, 5 of the wait, 50 of the adds behind it."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400)  # 0 .. 200
        asc.set_flag(Pipe.MTE2, Pipe.S, 0)  # 200 .. 210
        asc.wait_flag(Pipe.MTE2, Pipe.S, 0)  # 0 .. 215
        work(core, 1)  # 215 .. 265

    assert path_of(body) == {"aiv_mte2": 210, "aiv_scalar": 5, "aiv_vec": 50}


def test_a_cross_core_flag_takes_its_latency() -> None:
    """The cube core waits for its vector core: store 150, flag 10, 300 on the way, then the cube core's own load."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_vector:
            store(core, gm, 3200 if core.sub == 0 else 32)  # 0 .. 50 + 100
            asc.cross_core_set_flag(3, Pipe.MTE3)  # 150 .. 160
        else:
            asc.cross_core_wait_flag(3)  # 0 .. 460
            tile = core.tensor("tile", Space.L1, (16, 16), asc.fp16)
            asc.data_copy(tile, gm.tile[0:16, 0:16])  # 460 .. 460 + 100 + 8

    path = path_of(body, cores="mix")

    assert path == {"aiv_mte3": 160, "cross_core": 300, "aic_mte2": 108}


def test_slow_issue_hides_a_flag_that_comes_in_time() -> None:
    """The scalar unit's set is raised after 10 of its 60 cycles, and the wait issued at 60 finds it: 60 + 60 + load."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.set_flag(Pipe.S, Pipe.MTE2, 0)  # 0 .. 10, issued until 60
        asc.wait_flag(Pipe.S, Pipe.MTE2, 0)  # 60 .. 65
        load(core, gm, 64)  # 120 .. 221

    assert path_of(body, "scalar.issue_cycles=60") == {"aiv_scalar": 120, "aiv_mte2": 101}


def test_a_flag_of_the_scalar_unit_is_raised_before_the_unit_goes_on() -> None:
    """V waits from 60 on for a flag that the scalar unit raises 30 cycles after 120, though its issue takes 60."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 1)  # 0 .. 50
        asc.wait_flag(Pipe.S, Pipe.V, 0)  # 60 .. 150 + 5
        asc.set_flag(Pipe.S, Pipe.V, 0)  # 120 .. 150
        work(core, 20)  # issued at 180

    def early(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.wait_flag(Pipe.S, Pipe.V, 0)  # 0 .. 60 + 30 + 500
        asc.set_flag(Pipe.S, Pipe.V, 0)  # 60 .. 90
        work(core, 1)  # issued at 120, starts at 590

    slow = ("scalar.issue_cycles=60", "sync.set_flag_cycles=30")
    assert path_of(body, *slow) == {"aiv_scalar": 180, "aiv_vec": 240}
    assert path_of(early, *slow, "sync.wait_flag_cycles=500") == {"aiv_scalar": 60 + 30, "aiv_vec": 500 + 50}


def cube_body(core: asc.Core, gm: asc.GlobalMemory) -> None:
    """Two products into one L0C tile under unit_flag, each drained by a fixpipe; no load, whatever the numbers."""
    left = core.tensor("left", Space.L0A, (16, 16), asc.fp16)
    right = core.tensor("right", Space.L0B, (16, 16), asc.fp16)
    tile = core.buffer("tile", Space.L0C, 1024, unit_flag=True).tile((16, 16), asc.fp32)
    asc.mmad(tile, left, right, init=True, last=True)  # 0 .. 110 on the pipe, visible at 150
    asc.fixpipe(gm.result[0:16, 0:16], tile)  # starts at 0 with the mmad, ends at 150 + 20
    asc.mmad(tile, left, right, init=True, last=True)  # 170 .. 320
    asc.fixpipe(gm.result[0:16, 0:16], tile)  # 170 .. 340


def test_unit_flag_goes_back_and_forth_between_mmad_and_fixpipe() -> None:
    """Each fixpipe ends 20 cycles after its mmad's result; the second mmad waits for the first tile to be drained."""
    assert path_of(cube_body, cores="cube") == {"aic_cube": 150 + 150, "aic_fixpipe": 20 + 20}


def test_a_slow_fixpipe_under_unit_flag_is_on_the_path_itself() -> None:
    """At 2 B a cycle the 1024 B take 512 cycles from the mmad's start on: each fixpipe lasts 20 + 512."""
    path = path_of(cube_body, "paths.l0c_to_gm.bytes_per_cycle=2", cores="cube")

    assert path == {"aic_fixpipe": 2 * 532}


def test_the_path_by_stage() -> None:
    """Each part belongs to the stage of the instruction that was waited for; the way between cores to none."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        @core.stage(asc.AIV)
        def produce() -> None:
            store(core, gm, 3200)  # 0 .. 150
            asc.cross_core_set_flag(3, Pipe.MTE3)  # 150 .. 160

        @core.stage(asc.AIC)
        def consume() -> None:
            asc.cross_core_wait_flag(3)  # 0 .. 460
            tile = core.tensor("tile", Space.L1, (16, 16), asc.fp16)
            asc.data_copy(tile, gm.tile[0:16, 0:16])  # 460 .. 460 + 100 + 8

        produce()
        consume()

    on = chip("launch.cube_seconds=1e-7", "launch.vector_seconds=1e-7")
    path = critical_path(Timelines(simulate(body, on, "mix"), on))
    launch = path.cycles["launch"]

    assert path.by_stage == {
        ("aiv_mte3", "produce"): 160, ("cross_core", ""): 300, ("aic_mte2", "consume"): 108, ("launch", ""): launch
    }  # fmt: skip
    assert path.stage_ranking[0] == ("cross_core", "", 300)


def test_flags_and_issue_belong_to_the_stage_that_has_them() -> None:
    """A wait_flag is of the stage that waits, and the issue of an instruction of its own stage."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        @core.stage(asc.AIV)
        def first() -> None:
            load(core, gm, 6400)  # issued at 0: 0 .. 200
            asc.set_flag(Pipe.MTE2, Pipe.V, 0)  # 200 .. 210

        @core.stage(asc.AIV)
        def second() -> None:
            asc.wait_flag(Pipe.MTE2, Pipe.V, 0)  # until 215
            work(core, 1)  # issued at 300, 300 .. 350

        first()
        second()

    def path(issue: int) -> dict[tuple[str, str], int]:
        on = chip(f"scalar.issue_cycles={issue}")
        return critical_path(Timelines(simulate(body, on), on)).by_stage

    assert path(10) == {("aiv_mte2", "first"): 210, ("aiv_vec", "second"): 5 + 50}
    assert path(100) == {("aiv_scalar", "first"): 200, ("aiv_scalar", "second"): 100 + 50, ("aiv_vec", "second"): 50}


@pytest.mark.parametrize("overrides", [(), ("chip.scalar.queue_depth=2",), ("chip.scalar.issue_cycles=40",)])
@pytest.mark.parametrize("name", list(SMALL))
def test_the_cycles_of_bundled_programs_add_up(name: str, overrides: tuple[str, ...]) -> None:
    """Every cycle of a run is on the path once, also with a short queue and with slow issue."""
    result = outcome(name, *overrides).result

    assert sum(int(part["cycles"]) for part in result.critical_path) == result.cycles
    assert sum(float(part["share"]) for part in result.critical_path) == pytest.approx(1.0, abs=1e-12)
    shares = [part["share"] for part in result.critical_path]
    assert shares == sorted(shares, reverse=True)
    path = critical_path(outcome(name, *overrides).timelines)
    for part in result.critical_path:
        assert part["cycles"] == sum(cycles for pipe, _, cycles in path.stage_ranking if pipe == part["pipe"])
    assert sum(path.by_stage.values()) == result.cycles


PAIRS = [(Pipe.MTE2, Pipe.V), (Pipe.V, Pipe.MTE3), (Pipe.MTE3, Pipe.MTE2), (Pipe.V, Pipe.S), (Pipe.S, Pipe.MTE2)]
Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(st.sampled_from(["load", "work", "store", "flag", "barrier", "barrier all"]), st.integers(0, 4)),
    min_size=1,
    max_size=25,
)


def _body(steps: list[Step]) -> Body:
    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        values = core.tensor("values", Space.UB, 64 * 5, asc.fp32)
        for what, size in steps:
            if what == "load":
                asc.data_copy(values[: 64 * (size + 1)], gm.x[: 64 * (size + 1)])
            elif what == "work":
                asc.adds(values[: 64 * (size + 1)], values[: 64 * (size + 1)], 1.0)
            elif what == "store":
                asc.data_copy(gm.y[: 64 * (size + 1)], values[: 64 * (size + 1)])
            elif what == "flag":
                source, destination = PAIRS[size]
                asc.set_flag(source, destination, 0)
                asc.wait_flag(source, destination, 0)
                asc.pipe_barrier(Pipe.ALL)  # so that the flag may be set again at once
            else:
                asc.pipe_barrier(Pipe.ALL if what == "barrier all" else (Pipe.MTE2, Pipe.V, Pipe.MTE3)[size % 3])

    return body


CHIPS: dict[tuple[int, int, int], Chip] = {}


@settings(max_examples=120, deadline=None)
@given(STEPS, st.sampled_from([1, 2, 8]), st.sampled_from([0, 1, 60]), st.sampled_from([0, 10]))
def test_the_cycles_of_any_program_add_up(steps: list[Step], depth: int, issue: int, flag: int) -> None:
    """Whatever the program, the walk explains every cycle back to the launch, whatever costs nothing included."""
    key = depth, issue, flag
    if key not in CHIPS:
        figures = (f"scalar.queue_depth={depth}", f"scalar.issue_cycles={issue}", f"sync.set_flag_cycles={flag}")
        CHIPS[key] = chip(*figures, f"sync.wait_flag_cycles={flag}")
    schedule = simulate_timing(build(_body(steps), CHIPS[key]), CHIPS[key])

    path = critical_path(Timelines(schedule, CHIPS[key]))

    assert path.total == schedule.cycles
    assert sum(path.by_stage.values()) == schedule.cycles


def test_a_core_that_is_launched_when_all_is_over() -> None:
    """The kernel does not wait for a core without instructions: the path is that of the one that works."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.index == 0:
            load(core, gm, 2560)  # 0 .. 100 + 2560/64; the other blocks begin at 500, 1000 and 1500

    assert path_of(body, "launch.skew_cycles=500", blocks=7) == {"aiv_mte2": 140}
