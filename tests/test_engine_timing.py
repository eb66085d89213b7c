"""When the instructions of one core start and end, against arithmetic by hand.

The figures of the chip are those of tiny.py unless a test overrides them.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from fuzzing import cases
from hypothesis import example, given
from hypothesis import strategies as st
from tiny import by_hand, chip, core_of, load, simulate, store, times, ub, work

from ascend_sim import kernel as asc
from ascend_sim.kernel import Pipe, Space


def test_pipes_overlap() -> None:
    """Without flags, three pipes work at once: each instruction starts at 0."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400)  # 100 + 6400/64 = 200
        work(core, 5)  # visible after 40 + 5 x 10 = 90
        store(core, gm, 3200)  # 50 + 3200/32 = 150

    schedule = simulate(body)

    assert times(schedule) == [("data_copy", 0, 200), ("adds", 0, 90), ("data_copy", 0, 150)]
    assert schedule.cycles == 200


def test_a_pipe_works_in_order() -> None:
    """An instruction starts when the pipe is done with the one before it, and not earlier."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400)  # 0 .. 100 + 100
        load(core, gm, 640)  # 200 .. 200 + 100 + 10
        load(core, gm, 64)  # 310 .. 310 + 100 + 1

    assert times(simulate(body)) == [("data_copy", 0, 200), ("data_copy", 200, 310), ("data_copy", 310, 411)]


def test_occupancy_back_to_back_and_latency_at_a_flag() -> None:
    """The next instruction starts after the occupancy; a set_flag waits until the results are visible."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 5)  # holds the pipe 0 .. 50, visible at 90
        work(core, 2)  # starts at 50, holds it until 70, visible at 50 + 40 + 20 = 110
        asc.set_flag(Pipe.V, Pipe.MTE3, 0)  # 110 .. 120, though the pipe was free at 70
        work(core, 1)  # the pipe is free at 120; visible at 120 + 50
        asc.wait_flag(Pipe.V, Pipe.MTE3, 0)  # raised at 120, 5 to pass

    assert times(simulate(body)) == [
        ("adds", 0, 90), ("adds", 50, 110), ("set_flag", 110, 120), ("adds", 120, 170), ("wait_flag", 0, 125),
    ]  # fmt: skip


def test_set_flag_waits_for_all_earlier_work_of_its_pipe() -> None:
    """A slow result followed by a quick one: the flag is raised when the slow one is visible."""
    on = chip("vector.ops.vmuls.fp32={first_cycles: 10, further_cycles: 10.0, latency_cycles: 200}")

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        values = ub(core)
        asc.muls(values, values, 2.0)  # visible at 200 + 10 = 210
        work(core, 1)  # starts at 10, visible at 60
        asc.set_flag(Pipe.V, Pipe.MTE3, 0)
        asc.wait_flag(Pipe.V, Pipe.MTE3, 0)

    assert times(simulate(body, on)) == [
        ("muls", 0, 210), ("adds", 10, 60), ("set_flag", 210, 220), ("wait_flag", 0, 225),
    ]  # fmt: skip


def test_load_compute_store_handed_on_by_flags() -> None:
    """Each stage starts when the flag of the one before it has passed; links name what held a wait up."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400)  # 0 .. 200
        asc.set_flag(Pipe.MTE2, Pipe.V, 3)  # 200 .. 210
        asc.wait_flag(Pipe.MTE2, Pipe.V, 3)  # 0 .. 210 + 5
        work(core, 5)  # 215, free at 265, visible at 305
        asc.set_flag(Pipe.V, Pipe.MTE3, 3)  # 305 .. 315
        asc.wait_flag(Pipe.V, Pipe.MTE3, 3)  # 0 .. 320
        store(core, gm, 3200)  # 320 .. 320 + 50 + 100

    schedule = simulate(body)

    assert times(schedule) == [
        ("data_copy", 0, 200), ("set_flag", 200, 210), ("wait_flag", 0, 215), ("adds", 215, 305),
        ("set_flag", 305, 315), ("wait_flag", 0, 320), ("data_copy", 320, 470),
    ]  # fmt: skip
    assert core_of(schedule).links == {2: (0, 1), 5: (0, 4)}
    assert schedule.cycles == 470


def test_a_flag_that_is_already_raised_costs_its_wait_only() -> None:
    """A wait that comes after the flag was raised takes wait_flag_cycles and was held up by nobody."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)  # 0 .. 10
        work(core, 5)  # free at 50
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)  # 50 .. 55
        work(core, 1)  # 55 .. 105

    schedule = simulate(body)

    assert times(schedule) == [("set_flag", 0, 10), ("adds", 0, 90), ("wait_flag", 50, 55), ("adds", 55, 105)]
    assert core_of(schedule).links == {}


def test_a_wait_may_stand_before_its_set_in_program_order() -> None:
    """Order between pipes comes from flags alone: V waits for a set that the scalar unit issues later."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)  # 0 .. 215
        work(core, 1)  # 215 .. 265
        load(core, gm, 6400)  # 0 .. 200
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)  # 200 .. 210

    assert times(simulate(body)) == [
        ("wait_flag", 0, 215), ("adds", 215, 265), ("data_copy", 0, 200), ("set_flag", 200, 210),
    ]  # fmt: skip


def test_issue_costs_time_in_program_order() -> None:
    """With 7 cycles of issue, instructions of three idle pipes start at 0, 7 and 14."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 1)  # visible 50 after its start
        load(core, gm, 64)  # 101 after its start
        store(core, gm, 32)  # 51 after its start

    schedule = simulate(body, chip("scalar.issue_cycles=7"))

    assert times(schedule) == [("adds", 0, 50), ("data_copy", 7, 108), ("data_copy", 14, 65)]
    assert list(core_of(schedule).dispatched) == [0, 7, 14]
    assert core_of(schedule).scalar_cycles == 21


def test_a_full_queue_stalls_the_scalar_unit() -> None:
    """Two entries may wait: the fourth adds is issued when the second starts, and the load stands behind it."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 10)  # issued at 0, leaves the queue at once; holds the pipe 0 .. 100
        work(core, 10)  # issued at 1, starts at 100
        work(core, 10)  # issued at 2, starts at 200
        work(core, 10)  # ready at 3, but two entries wait until the second starts at 100; starts at 300
        load(core, gm, 64)  # issued at 101

    schedule = simulate(body, chip("scalar.issue_cycles=1", "scalar.queue_depth=2"))

    assert times(schedule) == [
        ("adds", 0, 140), ("adds", 100, 240), ("adds", 200, 340), ("adds", 300, 440), ("data_copy", 101, 202),
    ]  # fmt: skip
    assert list(core_of(schedule).dispatched) == [0, 1, 2, 100, 101]
    assert core_of(schedule).queue_full_cycles == 97


def test_a_full_queue_behind_a_move_stalls_the_scalar_unit() -> None:
    """The same behind moves, whose end the memory system decides: the third waits for the second to start."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400)  # 0 .. 200
        load(core, gm, 640)  # 200 .. 310
        load(core, gm, 64)  # issued at 200; 310 .. 411
        work(core, 1)  # behind it: 200 .. 250

    schedule = simulate(body, chip("scalar.queue_depth=1"))

    assert times(schedule) == [
        ("data_copy", 0, 200), ("data_copy", 200, 310), ("data_copy", 310, 411), ("adds", 200, 250),
    ]  # fmt: skip
    assert list(core_of(schedule).dispatched) == [0, 0, 200, 200]
    assert core_of(schedule).queue_full_cycles == 200


def test_a_wait_holds_its_queue_entry_until_it_is_over() -> None:
    """With one entry, what follows a wait_flag is issued when the wait is over, not when it begins."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400)  # 0 .. 200
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)  # issued at 0; 200 .. 210
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)  # issued at 0; 0 .. 215
        work(core, 1)  # issued at 215
        store(core, gm, 32)  # behind it: 215 .. 266

    schedule = simulate(body, chip("scalar.queue_depth=1"))

    assert times(schedule) == [
        ("data_copy", 0, 200), ("set_flag", 200, 210), ("wait_flag", 0, 215), ("adds", 215, 265),
        ("data_copy", 215, 266),
    ]  # fmt: skip
    assert list(core_of(schedule).dispatched) == [0, 0, 0, 215, 215]
    assert core_of(schedule).queue_full_cycles == 215


def test_pipe_barrier_on_one_pipe() -> None:
    """pipe_barrier(V) holds V until its results are visible, and no other pipe."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 5)  # free at 50, visible at 90
        asc.pipe_barrier(Pipe.V)  # 50 .. 90
        work(core, 1)  # 90 .. 140
        store(core, gm, 32)  # 0 .. 51

    assert times(simulate(body)) == [("adds", 0, 90), ("pipe_barrier", 50, 90), ("adds", 90, 140), ("data_copy", 0, 51)]


def test_pipe_barrier_on_all_pipes() -> None:
    """pipe_barrier(ALL) holds the scalar unit until the results of every pipe are visible."""
    on = chip("paths.gm_to_ub.latency_cycles=30")

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400)  # the pipe is free at 200, the bytes are visible at 230
        work(core, 5)  # visible at 90
        asc.pipe_barrier(Pipe.ALL)  # 0 .. 230
        work(core, 1)  # 230 .. 280
        store(core, gm, 32)  # 230 .. 281

    assert times(simulate(body, on)) == [
        ("data_copy", 0, 230), ("adds", 0, 90), ("pipe_barrier", 0, 230), ("adds", 230, 280), ("data_copy", 230, 281),
    ]  # fmt: skip


def test_the_latency_of_a_move_shows_at_a_flag() -> None:
    """The pipe takes the next move at the last byte; a flag fires when the bytes are visible, 30 later."""
    on = chip("paths.gm_to_ub.latency_cycles=30")

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400)  # last byte at 200, visible at 230
        load(core, gm, 640)  # 200 .. 310, visible at 340
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)  # 340 .. 350
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)

    assert times(simulate(body, on)) == [
        ("data_copy", 0, 230), ("data_copy", 200, 340), ("set_flag", 340, 350), ("wait_flag", 0, 355),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("size", "end"),
    [
        (64, 150),  # 100 + 1, which is less than the minimum
        (3200, 150),  # 100 + 50: exactly the minimum
        (3204, 151),  # 100 + 50.06, rounded up
        (6400, 200),
    ],
)
def test_a_move_takes_whole_cycles_and_no_less_than_the_minimum(size: int, end: int) -> None:
    """A move ends after max(minimum, head + bytes / rate) cycles, rounded up, and frees its pipe then."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, size)
        load(core, gm, 6400, offset=12800)  # 100 + 100 from then on

    schedule = simulate(body, chip("paths.gm_to_ub.min_cycles=150"))

    assert times(schedule) == [("data_copy", 0, end), ("data_copy", end, end + 200)]


def test_rows_with_gaps_move_only_their_bytes() -> None:
    """4 rows of 128 fp16 of a matrix of 256 columns are 1024 B: 100 + 16 cycles."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.data_copy(core.tensor("a", Space.UB, (4, 128), asc.fp16), gm.tile[0:4, 0:128])

    assert times(simulate(body)) == [("data_copy", 0, 116)]


def test_cube_chain_from_l1_to_gm() -> None:
    """L1 -> L0, MMAD, FIXPIPE: pipes hand on through flags, and latencies show at each of them."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        a_l1 = core.tensor("a_l1", Space.L1, (16, 16), asc.fp16)
        left = core.tensor("left", Space.L0A, (16, 16), asc.fp16)
        right = core.tensor("right", Space.L0B, (16, 16), asc.fp16)
        result = core.tensor("result", Space.L0C, (16, 16), asc.fp32)
        asc.load_data(left, a_l1)  # 512 B: 10 + 4, visible 40 later at 54, when the pipe turns to L0B
        asc.load_data(right, a_l1)  # from 54: 10 + 8, visible at 112
        asc.set_flag(Pipe.MTE1, Pipe.M, 0)  # 112 .. 122
        asc.wait_flag(Pipe.MTE1, Pipe.M, 0)  # 0 .. 127
        asc.mmad(result, left, right, init=True)  # 127, on the pipe for 110, visible at 277
        asc.set_flag(Pipe.M, Pipe.FIX, 0)  # 277 .. 287
        asc.wait_flag(Pipe.M, Pipe.FIX, 0)  # 0 .. 292
        asc.fixpipe(gm.result[0:16, 0:16], result)  # 1024 B: 292 + 20 + 8

    schedule = simulate(body, cores="cube")

    assert times(schedule, "die0.core0.cubecore0") == [
        ("load_data", 0, 54), ("load_data", 54, 112), ("set_flag", 112, 122), ("wait_flag", 0, 127),
        ("mmad", 127, 277), ("set_flag", 277, 287), ("wait_flag", 0, 292), ("fixpipe", 292, 320),
    ]  # fmt: skip


def test_fixpipe_counts_the_bytes_of_l0c() -> None:
    """Converting to fp16 halves the bytes in GM and their rate: 256 elements take 20 + 8 cycles in either format."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        result = core.tensor("result", Space.L0C, (16, 16), asc.fp32)
        asc.fixpipe(gm.result[0:16, 0:16], result)
        asc.fixpipe(gm.tile[0:16, 0:16], result)

    schedule = simulate(body, cores="cube")

    assert times(schedule, "die0.core0.cubecore0") == [("fixpipe", 0, 28), ("fixpipe", 28, 56)]


def test_mmads_back_to_back() -> None:
    """Accumulating MMADs follow at their occupancy of 10 + 100 a fractal; k = 32 is two fractals."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        left = core.tensor("left", Space.L0A, (16, 32), asc.fp16)
        right = core.tensor("right", Space.L0B, (32, 16), asc.fp16)
        result = core.tensor("result", Space.L0C, (16, 16), asc.fp32)
        asc.mmad(result, left, right, init=True)  # on the pipe for 210, visible at 250
        asc.mmad(result, left, right, init=False)  # 210, visible at 460
        asc.pipe_barrier(Pipe.M)  # 420 .. 460
        asc.mmad(result, left[:, 0:16], right[0:16, :], init=False)  # 460, visible at 460 + 150

    schedule = simulate(body, cores="cube")

    assert times(schedule, "die0.core0.cubecore0") == [
        ("mmad", 0, 250), ("mmad", 210, 460), ("pipe_barrier", 420, 460), ("mmad", 460, 610),
    ]  # fmt: skip
    # The profiler counts fractal cycles of the cube: 200 + 200 + 100.
    assert core_of(schedule, "die0.core0.cubecore0").busy["M"] == 500


def test_busy_cycles_by_pipe() -> None:
    """A pipe is busy while it works or moves, and not while it waits for a flag."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 5760)  # 0 .. 190
        load(core, gm, 640)  # 190 .. 300
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
        work(core, 5)  # 50
        work(core, 2)  # 20
        store(core, gm, 3200)  # 150

    busy = core_of(simulate(body)).busy

    assert {pipe: cycles for pipe, cycles in busy.items() if cycles} == {"MTE2": 300, "V": 70, "MTE3": 150}


@pytest.mark.parametrize(("seconds", "launch"), [(1e-6, 1000), (1.0004e-6, 1000), (1.0006e-6, 1001)])
def test_the_launch_comes_first(seconds: float, launch: int) -> None:
    """At 1 GHz a launch of 1 us is 1000 cycles, rounded to whole ones, before the first instruction."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400)
        work(core, 1)

    schedule = simulate(body, chip(f"launch.vector_seconds={seconds}"))

    assert times(schedule) == [("data_copy", launch, launch + 200), ("adds", launch, launch + 50)]
    assert (schedule.launch_cycles, schedule.cycles) == (launch, launch + 200)


def test_the_scalar_unit_waits_for_a_pipe() -> None:
    """A wait_flag on the scalar unit holds back everything that stands behind it in program order."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400)  # 0 .. 200
        asc.set_flag(Pipe.MTE2, Pipe.S, 0)  # 200 .. 210
        asc.wait_flag(Pipe.MTE2, Pipe.S, 0)  # 0 .. 215
        work(core, 1)  # 215 .. 265

    schedule = simulate(body)

    assert times(schedule) == [("data_copy", 0, 200), ("set_flag", 200, 210), ("wait_flag", 0, 215), ("adds", 215, 265)]
    assert core_of(schedule).links == {2: (0, 1)}


def test_a_flag_of_the_scalar_unit_costs_what_a_flag_costs() -> None:
    """set_flag holds the scalar unit for its 10 cycles as it would a pipe: the wait is issued at 10, done at 15."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.set_flag(Pipe.S, Pipe.V, 0)
        asc.wait_flag(Pipe.S, Pipe.V, 0)

    assert times(simulate(body)) == [("set_flag", 0, 10), ("wait_flag", 10, 15)]


def test_a_core_ends_with_its_last_result() -> None:
    """The end of a core is when its last result is visible, not when its pipe is free."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 10)  # free at 100, visible at 140
        load(core, gm, 64)  # 101

    schedule = simulate(body)

    assert core_of(schedule).end == schedule.cycles == 140


@dataclass(frozen=True)
class Step:
    """*times* instructions in a row: adds or muls of *size* repeats, a move of *size* x 64 B, or synchronisation."""

    what: str
    size: int
    times: int


ACTIONS = ("adds", "adds", "muls", "barrier", "all", "load", "store", "to V", "from V")
STEPS = st.lists(st.builds(Step, st.sampled_from(ACTIONS), st.integers(1, 12), st.integers(1, 20)), max_size=20)


def perform(steps: list[Step], core: asc.Core, gm: asc.GlobalMemory) -> None:
    """Issue *steps*; flags are handed over at once, each id once."""
    values, moved = ub(core, 64 * 12), ub(core, 16 * 12, "moved")
    ids = {"to V": 0, "from V": 0}
    for step in steps:
        vector, part = values[: 64 * step.size], slice(0, 16 * step.size)
        for _ in range(step.times if step.what in ("adds", "muls", "load") else 1):
            if step.what == "adds":
                asc.adds(vector, vector, 1.0)
            elif step.what == "muls":
                asc.muls(vector, vector, 2.0)
            elif step.what == "load":
                asc.data_copy(moved[part], gm.x[part])
            elif step.what == "store":
                asc.data_copy(gm.y[part], moved[part])
            elif step.what in ids and ids[step.what] < 8:
                source, destination = (Pipe.MTE2, Pipe.V) if step.what == "to V" else (Pipe.V, Pipe.MTE3)
                asc.set_flag(source, destination, ids[step.what])
                asc.wait_flag(source, destination, ids[step.what])
                ids[step.what] += 1
            else:
                asc.pipe_barrier(Pipe.ALL if step.what == "all" else Pipe.V)


@example(steps=[Step("adds", 1, 20)], depth=32, issue=30)
@example(steps=[Step("adds", 3, 20), Step("to V", 1, 1), Step("adds", 2, 20)], depth=9, issue=1)
@example(steps=[Step("muls", 1, 1), Step("barrier", 1, 1)] * 6, depth=32, issue=10)
@cases(18, 1000)
@given(STEPS, st.sampled_from([1, 2, 3, 7, 8, 9, 32]), st.sampled_from([0, 1, 9, 10, 11, 30]))
def test_any_program_of_one_core_is_worked_out_as_one_by_one(steps: list[Step], depth: int, issue: int) -> None:
    """Long runs on one pipe, full queues and slow issue: the same times as one instruction after the other gives."""
    slow = "vector.ops.vmuls.fp32={first_cycles: 10, further_cycles: 10.0, latency_cycles: 0}"
    on = chip(f"scalar.queue_depth={depth}", f"scalar.issue_cycles={issue}", slow)

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        perform(steps, core, gm)

    schedule = simulate(body, on)

    assert (times(schedule), list(core_of(schedule).dispatched)) == by_hand(schedule.program, on)
