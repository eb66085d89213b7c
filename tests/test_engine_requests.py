"""How moves are split into requests, and what misses and long stores cost, worked out by hand on the tiny chip."""

from __future__ import annotations

import pytest
from tiny import chip, simulate, times

from ascend_sim import kernel as asc
from ascend_sim.config import load_chip
from ascend_sim.isa.timing import Requests
from ascend_sim.kernel import Pipe, Space
from ascend_sim.validation.data import bundled_tables, read_table

LINE = 512


@pytest.mark.parametrize(
    ("requests", "base", "cycles"),
    [
        # One run of 4 lines at 64 B/cycle: 8 cycles each, more than the 3 that a request takes.
        (Requests(0, 1, 2048, 2048, LINE, 3.0), 0, 32.0),
        # The same 32 B further on: 480 B, three lines, and 32 B that cost a whole request.
        (Requests(0, 1, 2048, 2048, LINE, 3.0), 32, 480 / 64 + 3 * 8 + 3),
        # The offset counts from the base: 480 + 32 begins on a line again.
        (Requests(32, 1, 2048, 2048, LINE, 3.0), 480, 32.0),
        # Ten rows of 128 B, each in a line of its own: 2 cycles of bytes, 3 of request.
        (Requests(0, 10, 128, LINE, LINE, 3.0), 0, 30.0),
        # Rows of 384 B without gaps lie 0, 384, 256, 128 bytes into a line: the second and third are cut in two.
        (Requests(0, 8, 384, 384, LINE, 3.0), 0, 2 * (6 + (3 + 4) + (4 + 3) + 6)),
        # Six of them: one round of four, and the first two again.
        (Requests(0, 6, 384, 384, LINE, 3.0), 0, 26 + 6 + 7),
        # Without lines a row is one request, wherever it begins.
        (Requests(0, 5, 128, 4096, 0, 3.0), 32, 15.0),
        (Requests(0, 5, 6400, 6400, 0, 3.0), 0, 500.0),
    ],
)
def test_requests_by_hand(requests: Requests, base: int, cycles: float) -> None:
    """Each row is cut at lines, and a piece takes the larger of its bytes' cycles and those of a request."""
    assert requests.flow_cycles(base, 64.0) == cycles


def test_short_rows_take_a_request_each() -> None:
    """Into L1, 64 rows of 32 B are 64 requests of 4 cycles, although they have no gaps; into UB they are one run."""
    on = chip("paths.gm_to_l1_nz.request_cycles=4.0", "paths.gm_to_ub.request_cycles=4.0")

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        rows = gm.x[0:512].reshape(64, 8)
        if core.is_cube:
            asc.data_copy(core.tensor("a", Space.L1, (64, 8), asc.fp32), rows)
        elif core.sub == 0:
            asc.data_copy(core.tensor("u", Space.UB, (64, 8), asc.fp32), gm.x[512:1024].reshape(64, 8))

    schedule = simulate(body, on, cores="mix")

    assert times(schedule, "die0.core0.cubecore0") == [("data_copy", 0, 100 + 64 * 4)]
    assert times(schedule, "die0.core0.veccore0") == [("data_copy", 0, 100 + 4 * 8)]


def test_a_window_that_begins_inside_a_line_costs_a_request_more() -> None:
    """2048 B from byte 32 on touch five lines: 480, 3 x 512 and 32 B, the last of which takes 20 cycles."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.data_copy(core.tensor("u", Space.UB, 512, asc.fp32), gm.x[8:520])

    schedule = simulate(body, chip("paths.gm_to_ub.request_cycles=5.0"))

    assert times(schedule) == [("data_copy", 0, 100 + 8 + 24 + 5)]  # 7.5 + 24 + 5 cycles of bytes, rounded up


def test_misses_flow_slowly_from_the_start_of_the_move() -> None:
    """6400 B that miss take 6400/16 = 400 cycles in all, head included; the second time they take 100 + 100."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        u = core.tensor("u", Space.UB, 1600, asc.fp32)
        asc.data_copy(u, gm.x[0:1600])
        asc.data_copy(u, gm.x[0:1600])

    schedule = simulate(body, chip("paths.gm_to_ub.miss_bytes_per_cycle=16.0"))

    assert times(schedule) == [("data_copy", 0, 400), ("data_copy", 400, 600)]


@pytest.mark.parametrize("name", ["bytes_per_cycle", "miss_bytes_per_cycle"])
def test_the_lowest_rate_is_the_finest(name: str) -> None:
    """Rates are counted in 2**-20 B/cycle, the lowest that a chip may have: 64 B end after 64 x 2**20 cycles."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.data_copy(core.tensor("u", Space.UB, 16, asc.fp32), gm.x[0:16])

    [(_, _, end)] = times(simulate(body, chip(f"paths.gm_to_ub.{name}=1e-6")))

    assert end == pytest.approx(64 * 2**20, rel=0.01)


def test_the_head_of_a_short_miss_is_not_hidden() -> None:
    """640 B that miss need 40 cycles at 16 B/cycle, less than head 100 + extra 30 + 10 at the path's own rate."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.data_copy(core.tensor("u", Space.UB, 160, asc.fp32), gm.x[0:160])

    schedule = simulate(body, chip("paths.gm_to_ub.miss_bytes_per_cycle=16.0", "l2.miss_extra_cycles=30"))

    assert times(schedule) == [("data_copy", 0, 140)]


def test_long_stores_are_held_to_the_sustained_rate() -> None:
    """At 16 B/cycle in the long run 640 B take 50 + 20 = 70 cycles, and 6400 B take 400 instead of 50 + 200."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        u = core.tensor("u", Space.UB, 1600, asc.fp32)
        asc.data_copy(gm.y[0:160], u[0:160])
        asc.data_copy(gm.y[0:1600], u)

    schedule = simulate(body, chip("paths.ub_to_gm.sustained_bytes_per_cycle=16.0"))

    assert times(schedule) == [("data_copy", 0, 70), ("data_copy", 70, 470)]


def test_loads_of_one_kind_stream_and_others_wait() -> None:
    """Two loads into L0A follow each other, 10 + 4 each; one into L0B waits until both are visible at 14 + 54."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        a_l1 = core.tensor("a_l1", Space.L1, (16, 16), asc.fp16)
        left = [core.tensor(f"left{i}", Space.L0A, (16, 16), asc.fp16) for i in range(2)]
        right = core.tensor("right", Space.L0B, (16, 16), asc.fp16)
        asc.load_data(left[0], a_l1)
        asc.load_data(left[1], a_l1)
        asc.load_data(right, a_l1)

    schedule = simulate(body, cores="cube")

    assert times(schedule, "die0.core0.cubecore0") == [
        ("load_data", 0, 54), ("load_data", 14, 68), ("load_data", 68, 126),
    ]  # fmt: skip
    (cube,) = [core for core in schedule.cores if core.stream.core.kind.value == "aic"]
    assert cube.busy["MTE1"] == 14 + 54 + 58  # the time in which something was under way


def test_a_tile_of_several_rows_of_fractals_takes_several_instructions() -> None:
    """A 32 x 64 tile of fp16 is 2 x 4 fractals, which take two instructions of 10 cycles besides 4096 B / 128."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        tile = core.tensor("tile", Space.L1, (32, 64), asc.fp16)
        asc.load_data(core.tensor("left", Space.L0A, (32, 64), asc.fp16), tile)

    schedule = simulate(body, cores="cube")

    assert times(schedule, "die0.core0.cubecore0") == [("load_data", 0, 2 * 10 + 32 + 40)]


def test_a_drain_is_busy_until_its_data_is_visible() -> None:
    """Two drains of 1024 B, 20 + 8 each and visible 40 later: the pipe works for 28 + 28 + 40 cycles."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        result = core.tensor("result", Space.L0C, (16, 16), asc.fp32)
        asc.fixpipe(gm.result[0:16, 0:16], result)
        asc.fixpipe(gm.result[16:32, 0:16], result)

    schedule = simulate(body, chip("paths.l0c_to_gm.latency_cycles=40"), cores="cube")

    (cube,) = [core for core in schedule.cores if core.stream.core.kind.value == "aic"]
    assert cube.busy["FIX"] == 96


def test_narrow_tiles_drain_row_by_row() -> None:
    """16 rows of 64 B take a request of 5 cycles each, not 8 cycles for all."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.fixpipe(gm.result[0:16, 0:16], core.tensor("result", Space.L0C, (16, 16), asc.fp32))

    schedule = simulate(body, chip("paths.l0c_to_gm.request_cycles=5.0"), cores="cube")

    assert times(schedule, "die0.core0.cubecore0") == [("fixpipe", 0, 20 + 16 * 5)]


@pytest.mark.parametrize(("columns", "extra"), [(16, 0), (32, 0), (48, 2), (80, 4), (100, 6), (112, 6), (116, 0)])
def test_odd_widths_drain_slowly(columns: int, extra: int) -> None:
    """A row of 48 columns is three fractals, so each of 16 rows takes 10 x (3 - 1) cycles more; 116 are eight."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        tile = core.tensor("result", Space.L0C, (16, 128), asc.fp32)
        asc.fixpipe(gm.result[0:16, 0:columns], tile[:, 0:columns])

    schedule = simulate(body, chip("paths.l0c_to_gm.odd_fractal_cycles=10.0"), cores="cube")

    flow = 16 * columns * 4 / 128
    assert times(schedule, "die0.core0.cubecore0") == [("fixpipe", 0, 20 + flow + 16 * 10 * extra)]  # all whole


def test_fractals_come_straight_from_global_memory() -> None:
    """A load into L0A from GM runs on MTE2 along its own path: 50 + 8192/32."""
    on = chip(
        "paths.gm_to_l0a.head_cycles=50", "paths.gm_to_l0a.bytes_per_cycle=32.0", "paths.gm_to_l0a.min_cycles=0",
        "paths.gm_to_l0a.request_cycles=0.0", "paths.gm_to_l0a.miss_bytes_per_cycle=1e9",
    )  # fmt: skip

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.load_data(core.tensor("left", Space.L0A, (16, 256), asc.fp16), gm.tile[0:16, :])
        asc.pipe_barrier(Pipe.MTE2)

    assert times(simulate(body, on, cores="cube"), "die0.core0.cubecore0")[0] == ("load_data", 0, 50 + 256)


def test_a_copy_inside_ub_is_a_vector_instruction() -> None:
    """UB to UB runs on pipe V: 7 + 512 B / 64, visible 9 later."""
    on = chip(
        "paths.ub_to_ub.head_cycles=7", "paths.ub_to_ub.bytes_per_cycle=64.0", "paths.ub_to_ub.latency_cycles=9",
    )  # fmt: skip

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        u = [core.tensor(f"u{i}", Space.UB, 128, asc.fp32) for i in range(2)]
        asc.data_copy(u[1], u[0])
        asc.data_copy(u[0], u[1])

    assert times(simulate(body, on)) == [("data_copy", 0, 24), ("data_copy", 15, 39)]


def test_kernels_with_cube_cores_take_longer_to_launch() -> None:
    """A kernel of vector cores starts after the vector launch, one that uses a cube core after the cube launch."""
    on = chip("launch.vector_seconds=1e-6", "launch.cube_seconds=5e-6")

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_cube:
            asc.data_copy(core.tensor("a", Space.L1, (16, 256), asc.fp16), gm.tile[0:16, :])
        else:
            asc.data_copy(core.tensor("u", Space.UB, 64, asc.fp32), gm.x[0:64])

    assert simulate(body, on, cores="mix").launch_cycles == 5000
    assert simulate(lambda core, gm: None if core.is_cube else body(core, gm), on, cores="mix").launch_cycles == 1000


def test_groups_of_a_mixed_kernel_begin_later_than_single_cores() -> None:
    """Block i begins 70 i cycles after the launch where cube and vector cores work, 10 i where one kind does."""
    on = chip("launch.skew_cycles=10", "launch.mix_skew_cycles=70")

    def vector(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.data_copy(core.tensor("u", Space.UB, 64, asc.fp32), gm.x[64 * core.index : 64 * core.index + 64])

    def mixed(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_cube:
            rows = gm.tile[16 * core.index : 16 * core.index + 16, :]
            asc.data_copy(core.tensor("a", Space.L1, (16, 256), asc.fp16), rows)
        else:
            vector(core, gm)

    both = simulate(mixed, on, cores="mix", blocks=3)
    alone = simulate(lambda core, gm: None if core.is_cube else vector(core, gm), on, cores="mix", blocks=3)

    for schedule, skew in ((both, 70), (alone, 10)):
        begins = {core.stream.core.group: core.starts[0] for core in schedule.cores if core.starts}
        assert begins == {0: 0, 1: skew, 2: 2 * skew}


def test_the_skew_of_mixed_kernels_is_the_published_one() -> None:
    """Three further blocks of flash attention, each on a core of its own, take three skews: 74.9 - 68.778 us."""
    times = {row.group: row.measured for row in read_table(bundled_tables()[3]) if row.unit == "us"}
    on = load_chip("ascend910b2")
    cycles = (times["fa-512x8192"] - times["fa-128x8192"]) / 3 * 1e-6 * on.clock_hz.value

    assert on.launch.mix_skew_cycles.value == pytest.approx(cycles, abs=5)
