"""Where the time of each pipe went, by hand on the chip of tiny.py; test_observe_stalls_any.py has whole programs."""

from __future__ import annotations

import pytest
from test_observe_critical_path import cube_body
from tiny import Body, build, chip, load, store, work

from ascend_sim import kernel as asc
from ascend_sim.config import Chip
from ascend_sim.engine.machine import simulate_timing
from ascend_sim.isa.words import PIPES_OF, CoreKind
from ascend_sim.kernel import AIC, AIV, Pipe, Program, Space
from ascend_sim.kernel.build import Cores
from ascend_sim.observe.recorder import Recorder
from ascend_sim.observe.stalls import BUSY, Category, Kind, Stalls, core_stalls, kind_stalls
from ascend_sim.observe.timeline import Timelines

Split = dict[str, dict[str, int]]


def recorded(program: Program, on: Chip, *, symmetry: bool = False, record: bool = True) -> Timelines:
    """The recording of *program*, with what its moves lost if somebody is to *record* it."""
    recorder = Recorder()
    schedule = simulate_timing(program, on, symmetry=symmetry, observers=[recorder] if record else [])
    return Timelines(schedule, on, recorder.limits(len(schedule.cores)) if record else None)


def in_words(stalls: Stalls) -> Split:
    """The cycles of each pipe by the text of the category."""
    return {
        pipe.name: {str(category): cycles for category, cycles in one.cycles.items()}
        for pipe, one in stalls.pipes.items()
    }


def split(
    body: Body, *overrides: str, cores: Cores = "vector", blocks: int = 1, core: str = "die0.core0.veccore0",
    hbm: float = 1024, record: bool = True,
) -> Split:
    """What the pipes of one core of *body* do, all sums checked."""
    on = chip(*overrides, hbm=hbm)
    recording = recorded(build(body, on, cores, blocks), on, record=record)
    number = next(one.number for one in recording.cores if str(one.id) == core)
    found = in_words(core_stalls(recording, number))
    assert {sum(one.values()) for one in found.values()} == {recording.cycles}
    return found


# --- By hand ---


def handed_on(core: asc.Core, gm: asc.GlobalMemory) -> None:
    """A load, a computation and a store, with the flags between them: 460 cycles."""
    load(core, gm, 2560)  # 0 .. 140
    asc.set_flag(Pipe.MTE2, Pipe.V, 0)  # 140 .. 150
    asc.wait_flag(Pipe.MTE2, Pipe.V, 0)  # 0 .. 155
    work(core, 10)  # 155 .. 255 on the pipe, visible at 295
    asc.set_flag(Pipe.V, Pipe.MTE3, 0)  # 295 .. 305
    asc.wait_flag(Pipe.V, Pipe.MTE3, 0)  # 0 .. 310
    store(core, gm, 3200)  # 310 .. 460


def test_data_comes_from_upstream() -> None:
    """Of a wait_flag 5 cycles are the flag's; before it there is no data. A set_flag waits for its pipe's results."""
    assert split(handed_on) == {
        "S": {"done": 460},
        "MTE2": {"done": 310, "busy": 140, "flags": 10},
        "V": {"done": 155, "data from MTE2": 150, "busy": 100, "own results": 40, "flags": 15},
        "MTE3": {"data from VECTOR": 305, "busy": 150, "flags": 5},
    }


def test_buffers_come_from_downstream() -> None:
    """The second load waits from 150 on until V, which works until 295, has given the buffer back at 305."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 2560)
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
        work(core, 10)  # 155 .. 255 on the pipe, visible at 295
        asc.set_flag(Pipe.V, Pipe.MTE2, 0)  # 295 .. 305
        asc.wait_flag(Pipe.V, Pipe.MTE2, 0)  # 150 .. 310
        load(core, gm, 2560)  # 310 .. 450

    assert split(body)["MTE2"] == {"busy": 280, "buffer from VECTOR": 155, "flags": 15}


def test_a_wait_that_finds_its_flag_costs_itself_alone() -> None:
    """The flag is raised at 10, and MTE3 comes to it at 150: 5 cycles."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.set_flag(Pipe.V, Pipe.MTE3, 0)  # 0 .. 10
        store(core, gm, 3200)  # 0 .. 150
        asc.wait_flag(Pipe.V, Pipe.MTE3, 0)  # 150 .. 155
        store(core, gm, 32)  # 155 .. 206

    assert split(body)["MTE3"] == {"busy": 201, "flags": 5}


@pytest.mark.parametrize("barrier", [False, True])
def test_a_pipe_that_only_lowers_flags_is_done(barrier: bool) -> None:
    """MTE2 has no more to load at 150; that it lowers the flag of V, at 310, holds nobody up.

    Nor does a barrier behind that, which finds all results visible.
    """

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 2560)  # 0 .. 140
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)  # 140 .. 150
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)  # 0 .. 155
        work(core, 10)  # 155 .. 255 on the pipe, visible at 295
        asc.set_flag(Pipe.V, Pipe.MTE2, 0)  # 295 .. 305
        asc.wait_flag(Pipe.V, Pipe.MTE2, 0)  # 150 .. 310
        if barrier:
            asc.pipe_barrier(Pipe.MTE2)  # 310

    assert split(body)["MTE2"] == {"done": 160, "busy": 140, "flags": 10}


def test_launch_and_end() -> None:
    """The core of the first block begins at 1000, 60 before the last one, and is done 60 before it."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 64 * 100)

    launch = "launch.vector_seconds=1e-6", "launch.skew_cycles=30"
    first, last = (split(body, *launch, blocks=5, core=f"die0.core{group}.veccore0") for group in (0, 2))

    assert first["MTE2"] == {"launch": 1000, "busy": 200, "done": 60}
    assert last["MTE2"] == {"launch": 1060, "busy": 200}
    assert first["V"] == first["S"] == {"launch": 1000, "done": 260}


def test_a_core_without_instructions_ends_with_its_launch() -> None:
    """A core that does nothing is launched, and then done; if the kernel is over before, it is not even launched."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.index == 0:
            load(core, gm, 64)  # 101 cycles

    assert split(body, "launch.vector_seconds=1e-7", blocks=2, core="die0.core0.veccore1") == {
        pipe.name: {"launch": 100, "done": 101} for pipe in PIPES_OF[CoreKind.AIV]
    }
    late = split(body, "launch.skew_cycles=60", blocks=5, core="die0.core2.veccore0")  # launched at 120
    assert late == {pipe.name: {"launch": 101} for pipe in PIPES_OF[CoreKind.AIV]}


def test_a_barrier_waits_for_the_pipes_own_results() -> None:
    """V lets go of the first adds at 50, its result is visible at 90, and the barrier lasts until then."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 5)
        asc.pipe_barrier(Pipe.V)  # 50 .. 90
        work(core, 1)  # 90 .. 100 on the pipe, visible at 140

    assert split(body)["V"] == {"busy": 60, "own results": 40, "done": 40}


def test_a_barrier_for_all_waits_for_the_pipe_with_the_last_result() -> None:
    """The scalar unit stands until 150 for MTE3; V and MTE2 get nothing to do meanwhile."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 5)  # 0 .. 50 on the pipe, visible at 90
        store(core, gm, 3200)  # 0 .. 150
        asc.pipe_barrier(Pipe.ALL)  # 0 .. 150
        load(core, gm, 64)  # 150 .. 251
        work(core, 1)  # 150 .. 160
        store(core, gm, 32)  # 150 .. 201

    assert split(body) == {
        "S": {"results of MTE3": 150, "done": 101},
        "MTE2": {"results of MTE3": 150, "busy": 101},
        "V": {"results of MTE3": 100, "done": 91, "busy": 60},
        "MTE3": {"busy": 201, "done": 50},
    }


def test_a_barrier_for_all_may_wait_for_the_pipes_own_results() -> None:
    """V has let go at 50; the scalar unit waits for its result until 90 before it issues the next adds."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 5)
        asc.pipe_barrier(Pipe.ALL)  # 0 .. 90
        work(core, 1)  # 90 .. 100, visible at 140

    found = split(body)

    assert found["V"] == {"busy": 60, "own results": 40, "done": 40}
    assert found["S"] == {"results of VECTOR": 90, "done": 50}


def test_the_scalar_unit_may_wait_for_a_flag() -> None:
    """It stands until 210 for the load, pays 5 for the flag, and V gets its adds at 215."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400)  # 0 .. 200
        asc.set_flag(Pipe.MTE2, Pipe.S, 0)  # 200 .. 210
        asc.wait_flag(Pipe.MTE2, Pipe.S, 0)  # 0 .. 215
        work(core, 1)  # 215 .. 225, visible at 265
        load(core, gm, 64)  # 215 .. 316

    found = split(body)

    assert found["S"] == {"results of MTE2": 210, "flags": 5, "done": 101}
    assert found["V"] == {"results of MTE2": 210, "flags": 5, "busy": 10, "done": 91}
    assert found["MTE2"] == {"busy": 301, "flags": 15}


def test_a_full_queue_starves_the_other_pipes() -> None:
    """V's queue of one is full until its first adds is done at 100; the load behind the third adds is issued then."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 10)  # 0 .. 100 on the pipe
        work(core, 1)  # in the queue until 100
        work(core, 1)  # dispatched at 100, 110 .. 120
        load(core, gm, 64)  # dispatched at 100: 100 .. 201

    found = split(body, "scalar.queue_depth=1")

    assert found["MTE2"] == {"VECTOR queue full": 100, "busy": 101}
    assert found["S"] == {"VECTOR queue full": 100, "done": 101}
    assert found["V"] == {"busy": 120, "done": 81}


def test_slow_issue_starves_all_pipes() -> None:
    """At 100 cycles an instruction V works 10 cycles in each 100; the scalar unit is busy to its end at 300."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 1)  # 0 .. 10
        work(core, 1)  # 100 .. 110
        store(core, gm, 32)  # 200 .. 251

    assert split(body, "scalar.issue_cycles=100") == {
        "S": {"busy": 300},
        "MTE2": {"done": 300},
        "V": {"done": 190, "issue": 90, "busy": 20},
        "MTE3": {"issue": 200, "busy": 51, "done": 49},
    }


def test_flags_of_the_scalar_unit() -> None:
    """Its set takes 70 of which 60 are issue; MTE2 waits for its flag from 70 on, which is raised, and for issue."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.set_flag(Pipe.S, Pipe.MTE2, 0)  # 0 .. 70
        asc.wait_flag(Pipe.S, Pipe.MTE2, 0)  # 70 .. 75
        load(core, gm, 64)  # 130 .. 231

    found = split(body, "scalar.issue_cycles=60", "sync.set_flag_cycles=70")

    assert found["S"] == {"busy": 180, "done": 41, "flags": 10}
    assert found["MTE2"] == {"busy": 101, "issue": 60 + 55, "flags": 10 + 5}


def test_the_scalar_unit_is_upstream_of_all() -> None:
    """V waits from 0 on for a flag that the scalar unit raises 30 cycles after 60."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.wait_flag(Pipe.S, Pipe.V, 0)  # 0 .. 60 + 30 + 5
        asc.set_flag(Pipe.S, Pipe.V, 0)  # 60 .. 90
        work(core, 1)  # issued at 120

    found = split(body, "scalar.issue_cycles=60", "sync.set_flag_cycles=30")

    assert found["V"] == {"data from SCALAR": 90, "flags": 5, "issue": 25, "busy": 10, "done": 50}


def between(core: asc.Core, gm: asc.GlobalMemory) -> None:
    """The cube core waits for its vector cores in stages of their own."""

    @core.stage(AIV)
    def produce() -> None:
        store(core, gm, 3200)  # 0 .. 150
        asc.cross_core_set_flag(3, Pipe.MTE3)  # 150 .. 160

    @core.stage(AIC)
    def consume() -> None:
        asc.cross_core_wait_flag(3)  # 0 .. 460
        asc.data_copy(core.tensor("tile", Space.L1, (16, 16), asc.fp16), gm.tile[0:16, 0:16])  # 460 .. 568

    produce()
    consume()


def test_another_core_holds_all_pipes_of_a_core() -> None:
    """Until the flag of the vector cores is seen at 460, the cube core's scalar unit issues nothing."""
    cube = split(between, cores="mix", core="die0.core0.cubecore0")
    vector = split(between, cores="mix")

    assert cube["MTE2"] == {"flag from vector cores": 460, "busy": 108}
    assert cube["S"] == {"flag from vector cores": 460, "done": 108}
    assert cube["M"] == {"done": 568}
    assert vector["MTE3"] == {"done": 408, "busy": 150, "flags": 10}


def test_stages_wait_for_stages() -> None:
    """The wait is put down for the stage that waits, with the stage that sets the flag beside it."""
    on = chip()
    found = kind_stalls(recorded(build(between, on, "mix"), on), CoreKind.AIC)

    assert found is not None
    assert found.between == {("consume", "produce"): 460}
    mte2 = found.pipes[Pipe.MTE2]
    assert mte2.by_stage == {"consume": {Category(Kind.CORE, CoreKind.AIV): 460, BUSY: 108}}


def test_flags_of_cores_of_one_kind_come_from_that_kind() -> None:
    """In mode 0 the cube cores wait for each other, in mode 1 the vector cores of a group."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.index == 0:
            load(core, gm, 6400)  # 0 .. 200
        asc.cross_core_set_flag(0, Pipe.MTE2, mode=0)
        asc.cross_core_wait_flag(0, mode=0)  # until 200 + 10 + 300
        load(core, gm, 64)

    found = split(body, blocks=2, core="die0.core0.veccore1")

    assert found["MTE2"] == {"flag from vector cores": 500, "busy": 101, "flags": 10}


def test_unit_flag_goes_back_and_forth() -> None:
    """A fixpipe of 28 cycles is held for the 170 of its mmad; the second mmad waits from 110 until it has drained."""
    assert split(cube_body, cores="cube", core="die0.core0.cubecore0") == {
        "S": {"done": 340},
        "MTE2": {"done": 340},
        "MTE1": {"done": 340},
        "M": {"busy": 220, "buffer from FIXP": 60, "done": 60},
        "FIX": {"data from CUBE": 2 * 142, "busy": 2 * 28},
    }


def test_a_slow_fixpipe_does_not_wait_for_its_tile() -> None:
    """At 2 B a cycle a fixpipe takes 532 cycles from the start of its mmad on, all of them its own."""
    found = split(cube_body, "paths.l0c_to_gm.bytes_per_cycle=2", cores="cube", core="die0.core0.cubecore0")

    assert found["FIX"] == {"busy": 1064}
    assert found["M"] == {"busy": 220, "buffer from FIXP": 422, "done": 422}


def test_what_a_tile_costs_is_not_known_without_a_recorder() -> None:
    """If nobody listened, a fixpipe that is held by its tile counts as busy."""
    found = split(cube_body, cores="cube", core="die0.core0.cubecore0", record=False)

    assert found["FIX"] == {"busy": 340}


def test_a_fixpipe_waits_for_its_mmad_to_begin() -> None:
    """The mmad begins at 123, behind a load; the fixpipe, issued at 0, begins with it."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.data_copy(core.tensor("tile", Space.L1, (16, 16), asc.fp16), gm.tile[0:16, 0:16])  # 0 .. 108
        asc.set_flag(Pipe.MTE2, Pipe.M, 0)  # 108 .. 118
        asc.wait_flag(Pipe.MTE2, Pipe.M, 0)  # 0 .. 123
        cube_body(core, gm)

    found = split(body, cores="cube", core="die0.core0.cubecore0")

    assert found["FIX"] == {"data from CUBE": 123 + 2 * 142, "busy": 2 * 28}
    assert found["M"] == {"data from MTE2": 118, "flags": 5, "busy": 220, "buffer from FIXP": 60, "done": 60}


def shared(core: asc.Core, gm: asc.GlobalMemory) -> None:
    """Every core loads 6400 B of its own, in 100 + 100 cycles if alone."""
    load(core, gm, 6400, offset=6400 * core.index)


@pytest.mark.parametrize(
    ("overrides", "hbm", "mte2"),
    [
        ((), 1024, {"busy": 200}),
        ((), 128, {"busy": 200, "HBM bandwidth": 300}),
        ((), 64, {"busy": 200, "HBM bandwidth": 700}),
        (("l2.read_bytes_per_cycle=256",), 1024, {"busy": 200, "L2 bandwidth": 100}),
    ],
)
def test_sharing_is_taken_out_of_the_work(overrides: tuple[str, ...], hbm: float, mte2: dict[str, int]) -> None:
    """Eight cores of 64 B a cycle have 512 of L2 or HBM: what is missing there makes each move so much longer."""
    assert split(shared, *overrides, blocks=8, hbm=hbm)["MTE2"] == mte2


def test_sharing_counts_as_work_if_nobody_listened() -> None:
    """Without a recorder the 300 cycles that sharing costs are among the busy ones."""
    assert split(shared, blocks=8, hbm=128, record=False)["MTE2"] == {"busy": 500}


def test_sharing_costs_nothing_that_the_least_time_of_a_move_hides() -> None:
    """Moves that last 450 cycles in any case lose 50 of the 500 that they take; moves of 600 lose nothing."""
    for least, lost in ((450, {"HBM bandwidth": 50}), (600, {})):
        found = split(shared, f"paths.gm_to_ub.min_cycles={least}", blocks=8, hbm=128)
        assert found["MTE2"] == {"busy": least, **lost}


def test_sharing_costs_nothing_that_the_tile_hides() -> None:
    """A fixpipe that writes at 4 B a cycle has 1024 B written at 276, long before its mmad, of 400 cycles, is over."""
    latency = "cube.latency_cycles=400", "l2.write_bytes_per_cycle=4"
    found = split(cube_body, *latency, cores="cube", core="die0.core0.cubecore0")

    assert found["FIX"] == {"data from CUBE": 2 * (500 + 20 - 28), "busy": 2 * 28}


# --- Aggregation ---


def test_a_kind_is_the_sum_of_its_cores_that_worked() -> None:
    """Of three cores the second loads nothing; shares are of the other two."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.index != 1:
            load(core, gm, 6400 * (1 + core.index), offset=65536 * core.index)  # 200, and 100 + 300

    on = chip()
    found = kind_stalls(recorded(build(body, on, blocks=3), on), CoreKind.AIV)

    assert found is not None
    assert (found.cores, found.cycles) == (2, 400)
    assert in_words(found)["MTE2"] == {"busy": 200 + 400, "done": 200}
    assert found.share(600) == 0.75


def test_a_kind_that_had_no_work_has_no_stalls() -> None:
    """Flags alone are no work."""
    on = chip()
    assert kind_stalls(recorded(build(lambda core, gm: asc.pipe_barrier(Pipe.ALL), on), on), CoreKind.AIV) is None


def test_lumped_cores_count_once_for_each_member() -> None:
    """Simulating one core for all that are alike gives the same sums."""
    on = chip(hbm=128)
    program = build(shared, on, blocks=8)
    every, lumped = (kind_stalls(recorded(program, on, symmetry=symmetry), CoreKind.AIV) for symmetry in (False, True))

    assert every == lumped
