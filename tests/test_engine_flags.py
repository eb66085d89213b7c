"""Unit flags and flags between cores against arithmetic by hand, and the misuse of flags that is reported.

The figures of the chip are those of tiny.py unless a test overrides them.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tiny import Body, chip, core_of, line_of, load, simulate, store, times, work

from ascend_sim import kernel as asc
from ascend_sim.errors import FlagError
from ascend_sim.isa.operands import LocalTensor
from ascend_sim.kernel import Pipe, Space
from ascend_sim.kernel.build import Cores

CUBE = "die0.core0.cubecore0"
VECTOR = ("die0.core0.veccore0", "die0.core0.veccore1")


def l0c_tile(core: asc.Core, name: str) -> LocalTensor:
    """A tile of one fractal in L0C under unit_flag."""
    return core.buffer(name, Space.L0C, 1024, unit_flag=True).tile((16, 16), asc.fp32)


def operands(core: asc.Core) -> tuple[LocalTensor, LocalTensor]:
    """Left and right operands of an MMAD of one fractal: 110 cycles on the pipe, visible 150 after its start."""
    left = core.tensor("left", Space.L0A, (16, 16), asc.fp16)
    return left, core.tensor("right", Space.L0B, (16, 16), asc.fp16)


def test_unit_flag_lets_fixpipe_overlap_the_last_mmad() -> None:
    """FIXPIPE starts with the last MMAD and ends head cycles after the MMAD's last fractal is visible."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        tile, (left, right) = l0c_tile(core, "tile"), operands(core)
        asc.mmad(tile, left, right, init=True)  # 0, visible at 150
        asc.mmad(tile, left, right, init=False, last=True)  # 110, visible at 260
        asc.fixpipe(gm.result[0:16, 0:16], tile)  # 110; alone until 110 + 28 = 138, but not before 260 + 20

    schedule = simulate(body, cores="cube")

    assert times(schedule, CUBE) == [("mmad", 0, 150), ("mmad", 110, 260), ("fixpipe", 110, 280)]
    assert core_of(schedule, CUBE).links == {2: (0, 1)}


def test_unit_flag_fixpipe_that_is_slower_than_the_mmad() -> None:
    """A FIXPIPE of 1 B/cycle ends when its own bytes are through: 20 + 1024 after the start of the last MMAD."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        tile, (left, right) = l0c_tile(core, "tile"), operands(core)
        asc.mmad(tile, left, right, init=True, last=True)  # 0, visible at 150
        asc.fixpipe(gm.result[0:16, 0:16], tile)

    schedule = simulate(body, chip("paths.l0c_to_gm.bytes_per_cycle=1"), cores="cube")

    assert times(schedule, CUBE) == [("mmad", 0, 150), ("fixpipe", 0, 1044)]


def test_unit_flag_holds_the_next_tile_back_until_it_is_drained() -> None:
    """An MMAD with init waits for the last byte out of the tile, not for it to be visible in GM 40 cycles later."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        tile, (left, right) = l0c_tile(core, "tile"), operands(core)
        asc.mmad(tile, left, right, init=True, last=True)  # 0, visible at 150
        asc.fixpipe(gm.result[0:16, 0:16], tile)  # 0 .. 150 + 20
        asc.mmad(tile, left, right, init=True)  # free at 110, drained at 170; visible at 170 + 150
        asc.mmad(tile, left, right, init=False, last=True)  # 280, visible at 430
        asc.fixpipe(gm.result[16:32, 0:16], tile)  # 280 .. 430 + 20

    schedule = simulate(body, chip("paths.l0c_to_gm.latency_cycles=40"), cores="cube")

    assert times(schedule, CUBE) == [
        ("mmad", 0, 150), ("fixpipe", 0, 210), ("mmad", 170, 320), ("mmad", 280, 430), ("fixpipe", 280, 490),
    ]  # fmt: skip
    assert core_of(schedule, CUBE).links == {2: (0, 1), 4: (0, 3)}


def test_unit_flag_of_another_tile_does_not_wait() -> None:
    """With two tiles in turn MMADs follow back to back, and the second FIXPIPE follows the second MMAD."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        ping, pong, (left, right) = l0c_tile(core, "ping"), l0c_tile(core, "pong"), operands(core)
        asc.mmad(ping, left, right, init=True, last=True)  # 0, visible at 150
        asc.fixpipe(gm.result[0:16, 0:16], ping)  # 0 .. 170
        asc.mmad(pong, left, right, init=True, last=True)  # 110, visible at 260
        asc.fixpipe(gm.result[16:32, 0:16], pong)  # the pipe is free at 170; 170 .. 260 + 20

    schedule = simulate(body, cores="cube")

    assert times(schedule, CUBE) == [("mmad", 0, 150), ("fixpipe", 0, 170), ("mmad", 110, 260), ("fixpipe", 170, 280)]


def test_mode_2_from_the_cube_core_to_its_vector_cores() -> None:
    """A set takes 10 cycles after the bytes are visible, and both vector cores see it 300 cycles later."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_cube:
            asc.fixpipe(gm.result[0:16, 0:16], core.tensor("c", Space.L0C, (16, 16), asc.fp32))  # 28, visible at 68
            asc.cross_core_set_flag(4, Pipe.FIX)  # 68 .. 78, arrives at 378
        else:
            asc.cross_core_wait_flag(4)  # 0 .. 378
            work(core, 1)  # 378 .. 428

    schedule = simulate(body, chip("paths.l0c_to_gm.latency_cycles=40"), cores="mix")

    assert times(schedule, CUBE) == [("fixpipe", 0, 68), ("cross_core_set_flag", 68, 78)]
    for core in VECTOR:
        assert times(schedule, core) == [("cross_core_wait_flag", 0, 378), ("adds", 378, 428)]
        assert core_of(schedule, core).links == {0: (0, 1)}


def test_mode_2_from_both_vector_cores_to_the_cube_core() -> None:
    """The cube core goes on when the later of its two vector cores has set the flag."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_cube:
            asc.cross_core_wait_flag(0)  # until the later arrival, at 560
            left, l1 = operands(core)[0], core.tensor("l1", Space.L1, (16, 16), asc.fp16)
            asc.load_data(left, l1)  # 14 on the pipe, visible at 54
        else:
            store(core, gm, 3200 * (1 + core.sub))  # 50 + 100 = 150 on one, 50 + 200 = 250 on the other
            asc.cross_core_set_flag(0, Pipe.MTE3)  # arrives at 160 + 300 and at 260 + 300

    schedule = simulate(body, cores="mix")

    assert times(schedule, CUBE) == [("cross_core_wait_flag", 0, 560), ("load_data", 560, 614)]
    assert times(schedule, VECTOR[1]) == [("data_copy", 0, 250), ("cross_core_set_flag", 250, 260)]
    assert core_of(schedule, CUBE).links == {0: (2, 1)}


def test_mode_1_joins_the_vector_cores_of_a_group() -> None:
    """Each of the two waits for both; the other group, which is slower, does not matter."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        group, sub = divmod(core.index, 2)
        work(core, 10 * (1 + sub) + 100 * group)  # visible at 140 and 240; 1140 and 1240 in group 1
        asc.cross_core_set_flag(1, Pipe.V, mode=1)  # arrives 310 later
        asc.cross_core_wait_flag(1, mode=1)

    schedule = simulate(body, blocks=4)

    for group, arrival in ((0, 240 + 310), (1, 1240 + 310)):
        for sub in (0, 1):
            visible = arrival - 310 - 100 * (1 - sub)
            assert times(schedule, f"die0.core{group}.veccore{sub}") == [
                ("adds", 0, visible),
                ("cross_core_set_flag", visible, visible + 10),
                ("cross_core_wait_flag", 0, arrival),
            ]  # fmt: skip


def test_mode_0_joins_all_cores_of_one_kind_on_a_die() -> None:
    """The cube cores of a die wait for the slowest of them; the other die and the vector cores do not matter."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_vector:
            work(core, 255)
            return
        left = core.tensor("left", Space.L0A, (16, 16 * (1 + core.index)), asc.fp16)
        right = core.tensor("right", Space.L0B, (16 * (1 + core.index), 16), asc.fp16)
        tile = core.tensor("c", Space.L0C, (16, 16), asc.fp32)
        asc.mmad(tile, left, right, init=True)  # block i: 1 + i fractals, visible at 50 + 100 (1 + i)
        asc.cross_core_set_flag(2, Pipe.M, mode=0)
        asc.cross_core_wait_flag(2, mode=0)

    schedule = simulate(body, chip("dies=2", "cores.aic_per_die=2"), cores="mix", blocks=4)

    for block in range(4):
        die, group = divmod(block, 2)
        visible = 150 + 100 * block
        slowest = 250 + 200 * die  # block 1 of die 0 and block 3 of die 1
        assert times(schedule, f"die{die}.core{group}.cubecore0") == [
            ("mmad", 0, visible),
            ("cross_core_set_flag", visible, visible + 10),
            ("cross_core_wait_flag", 0, slowest + 310),
        ]  # fmt: skip


def test_cross_core_flags_are_counted() -> None:
    """Sets pile up in order: waits that come late find them and pass in the 7 cycles of their issue."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_cube:
            asc.cross_core_set_flag(0, Pipe.FIX)  # issued at 0: 0 .. 10, arrives at 310
            asc.cross_core_set_flag(0, Pipe.FIX)  # issued at 7: 10 .. 20, arrives at 320
        else:
            work(core, 40)  # issued at 0; visible at 440
            asc.pipe_barrier(Pipe.ALL)  # issued at 7; 7 .. 440
            asc.cross_core_wait_flag(0)  # 440 .. 447
            asc.cross_core_wait_flag(0)  # 447 .. 454

    schedule = simulate(body, chip("scalar.issue_cycles=7"), cores="mix")

    assert times(schedule, CUBE) == [("cross_core_set_flag", 0, 10), ("cross_core_set_flag", 10, 20)]
    assert times(schedule, VECTOR[0])[2:] == [("cross_core_wait_flag", 440, 447), ("cross_core_wait_flag", 447, 454)]
    assert core_of(schedule, VECTOR[0]).links == {}


def refused(body: Body, cores: Cores = "vector", blocks: int = 1) -> list[str]:
    """The findings of the FlagError that *body* must end with."""
    with pytest.raises(FlagError) as caught:
        simulate(body, cores=cores, blocks=blocks)
    return [str(finding) for finding in caught.value.diagnostics]


def set_twice(place: int, core: str = VECTOR[0]) -> str:
    """The report of a set_flag MTE2 -> V, id 6, in line *place* of this file."""
    return (
        f"{__file__}:{place}: set_flag PIPE_MTE2->PIPE_V, id 6, is set again before the wait_flag for the earlier "
        f"set has passed: the flag is one bit, so one set is lost; wait for it first, or use another id "
        f"(first on {core})"
    )


def test_a_second_set_before_the_wait_is_reported() -> None:
    """V is busy until 50, and both sets come before the wait can lower the flag: at 10 and at 20."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 5)
        asc.set_flag(Pipe.MTE2, Pipe.V, 6)  # the first
        asc.set_flag(Pipe.MTE2, Pipe.V, 6)  # the second
        asc.wait_flag(Pipe.MTE2, Pipe.V, 6)
        asc.wait_flag(Pipe.MTE2, Pipe.V, 6)

    assert refused(body) == [set_twice(line_of(body, "the second"))]


def test_a_set_that_is_worked_out_after_the_wait_is_reported() -> None:
    """The first set is waited for at 140, the second comes at 111 behind a load: known later, yet too early."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.set_flag(Pipe.MTE2, Pipe.V, 6)  # 0 .. 10
        work(core, 14)  # V is free at 140
        asc.wait_flag(Pipe.MTE2, Pipe.V, 6)  # 140 .. 145
        load(core, gm, 64)  # 10 .. 111
        asc.set_flag(Pipe.MTE2, Pipe.V, 6)  # the second: 111 .. 121
        asc.wait_flag(Pipe.MTE2, Pipe.V, 6)

    assert refused(body) == [set_twice(line_of(body, "the second"))]


@pytest.mark.parametrize("order", ["SWSWSW", "SSSWWW"])
def test_sets_and_waits_in_turn_are_not_reported(order: str) -> None:
    """A set that is done in the very cycle in which the wait passes finds the flag lowered: both at 10, both at 15."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        for letter in order:
            (asc.set_flag if letter == "S" else asc.wait_flag)(Pipe.MTE2, Pipe.V, 6)

    schedule = simulate(body, chip("sync.set_flag_cycles=5"))

    assert sorted(times(schedule)) == [
        ("set_flag", 0, 5), ("set_flag", 5, 10), ("set_flag", 10, 15),
        ("wait_flag", 0, 10), ("wait_flag", 10, 15), ("wait_flag", 15, 20),
    ]  # fmt: skip
    assert schedule.warnings == ()


def test_every_lost_set_is_reported_once() -> None:
    """A loop that sets one flag four times before it is waited for is one finding, on its line."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 50)
        for _ in range(4):
            asc.set_flag(Pipe.MTE2, Pipe.V, 6)
        for _ in range(4):
            asc.wait_flag(Pipe.MTE2, Pipe.V, 6)

    assert refused(body) == [set_twice(line_of(body, "set_flag"))]


def test_a_lost_set_on_many_cores_is_one_finding() -> None:
    """The finding names the first of the cores that lose the set on this line, and comes once."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 50)
        asc.set_flag(Pipe.MTE2, Pipe.V, 6)
        asc.set_flag(Pipe.MTE2, Pipe.V, 6)  # the second
        asc.wait_flag(Pipe.MTE2, Pipe.V, 6)
        asc.wait_flag(Pipe.MTE2, Pipe.V, 6)

    assert refused(body, blocks=8) == [set_twice(line_of(body, "the second"))]


def test_two_sets_without_any_wait_are_reported() -> None:
    """Nobody lowers the flag between the two sets, so the second one is lost."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.set_flag(Pipe.MTE2, Pipe.V, 6)
        asc.set_flag(Pipe.MTE2, Pipe.V, 6)  # the second

    assert refused(body) == [set_twice(line_of(body, "the second"))]


def test_a_set_that_nobody_waits_for_is_a_warning() -> None:
    """The simulation goes on, and says where the flag was set that the next kernel would find raised."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.set_flag(Pipe.MTE2, Pipe.V, 6)  # 0 .. 10
        asc.wait_flag(Pipe.MTE2, Pipe.V, 6)  # 0 .. 15
        asc.set_flag(Pipe.V, Pipe.MTE3, 2)  # left over: 15 .. 25

    schedule = simulate(body)

    assert schedule.warnings == (
        f"{__file__}:{line_of(body, 'left over')}: set_flag PIPE_V->PIPE_MTE3, id 2, is never waited for; "
        f"the next kernel would find it raised",
    )
    assert schedule.cycles == 25


def overflowing(sets: int, prepare: Callable[[asc.Core, asc.GlobalMemory], None]) -> Body:
    """The cube core sets a flag *sets* times, each after *prepare*; the vector cores wait from cycle 2590 on."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_cube:
            for _ in range(sets):
                prepare(core, gm)
                asc.cross_core_set_flag(5, Pipe.MTE2)
        else:
            work(core, 255)  # visible at 40 + 2550
            asc.pipe_barrier(Pipe.ALL)
            for _ in range(sets):
                asc.cross_core_wait_flag(5)

    return body


def test_fifteen_sets_ahead_fill_the_counter() -> None:
    """The counter of a cross-core flag holds 15: that many sets may run ahead of the waits."""
    schedule = simulate(overflowing(15, lambda core, gm: None), cores="mix")

    assert [name for name, _, _ in times(schedule, CUBE)] == ["cross_core_set_flag"] * 15


def overflow(body: Body) -> str:
    """The report of 16 sets ahead of the wait in *body*."""
    place = line_of(overflowing, "cross_core_wait_flag")
    return (
        f"{__file__}:{place}: cross-core flag 5 had been set 16 times ahead of this wait; its counter holds 15: wait "
        f"more often, or answer with a flag in the other direction (first on {VECTOR[0]})"
    )


def test_sixteen_sets_ahead_overflow_the_counter() -> None:
    """One more set than the counter holds is reported at the wait that finds it."""
    body = overflowing(16, lambda core, gm: None)

    assert overflow(body) in refused(body, cores="mix")


def l1_load(core: asc.Core, gm: asc.GlobalMemory) -> None:
    """A load on the cube core: 100 + 8 cycles."""
    asc.data_copy(core.tensor("l1", Space.L1, (16, 16), asc.fp16), gm.tile[0:16, 0:16])


def test_an_overflow_behind_moves_is_reported() -> None:
    """Sets that follow loads, whose times the memory system decides, overflow the counter as others do."""
    body = overflowing(16, l1_load)

    assert overflow(body) in refused(body, cores="mix")


def test_an_overflow_that_nobody_waits_for_is_reported() -> None:
    """Sixteen sets and no wait at all overflow the counter too."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_cube:
            for _ in range(16):
                asc.cross_core_set_flag(5, Pipe.FIX)

    findings = refused(body, cores="mix")

    assert any("cross-core flag 5" in finding and f":{line_of(body, 'set_flag')}" in finding for finding in findings)


def test_a_cross_core_set_left_over_is_a_warning() -> None:
    """A set that the receiver never waits for would be found by the next kernel; the warning names its line."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_cube:
            asc.cross_core_set_flag(3, Pipe.FIX)  # left over

    schedule = simulate(body, cores="mix")

    assert schedule.warnings == (
        f"{__file__}:{line_of(body, 'left over')}: cross-core flag 3 is set more often than it is waited for; "
        f"the next kernel would find it set",
    )
