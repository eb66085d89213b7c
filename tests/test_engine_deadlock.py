"""Programs that cannot go on: every one ends with a report of what each pipe waits for, and never hangs."""

from __future__ import annotations

import pytest
from tiny import Body, build, chip, line_of, load, simulate, work

from ascend_sim import kernel as asc
from ascend_sim.config import Chip
from ascend_sim.engine.machine import simulate_timing
from ascend_sim.errors import DeadlockError
from ascend_sim.kernel import Pipe, Space
from ascend_sim.kernel.build import Cores

CUBE = "die0.core0.cubecore0"
VECTOR = "die0.core0.veccore0"


def stuck(body: Body, on: Chip | None = None, cores: Cores = "vector", blocks: int = 1) -> list[str]:
    """The findings of the DeadlockError that *body* must end with."""
    with pytest.raises(DeadlockError) as caught:
        simulate(body, on, cores, blocks)
    return [str(finding) for finding in caught.value.diagnostics]


def place(body: Body, text: str) -> str:
    """File and line where *body* says *text*, as errors give it."""
    return f"{__file__}:{line_of(body, text)}"


def behind(body: Body, text: str) -> str:
    """What is said of a set_flag, where *body* says *text*, that stands behind the wait."""
    return (
        f"the next one is at {place(body, text)}, which stands behind this wait in program order: "
        f"move it before the wait, or raise the flag once at the start"
    )


def test_a_wait_without_any_set() -> None:
    """The report names core, pipe, flag and line, and says that there is no such set_flag."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 640)
        asc.wait_flag(Pipe.MTE2, Pipe.V, 3)
        work(core, 1)

    assert stuck(body) == [
        f"{place(body, 'wait_flag')}: deadlock on {VECTOR}: PIPE_V waits for set_flag PIPE_MTE2->PIPE_V, id 3, and no "
        f"such set_flag is left in the program: add one on PIPE_MTE2, or remove this wait"
    ]


def test_a_second_wait_for_one_set() -> None:
    """A set lets one wait pass; for the second one no set is left."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)  # passes
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)  # does not

    (finding,) = stuck(body)

    assert finding.startswith(f"{place(body, 'does not')}: deadlock on {VECTOR}: PIPE_V waits for set_flag")
    assert "no such set_flag is left in the program: add one on PIPE_MTE2" in finding


def test_a_set_of_another_id_or_direction_does_not_help() -> None:
    """Flags are told apart by id and by both pipes."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.set_flag(Pipe.MTE2, Pipe.V, 1)
        asc.set_flag(Pipe.MTE2, Pipe.MTE3, 0)
        asc.set_flag(Pipe.V, Pipe.MTE2, 0)
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)

    (finding,) = stuck(body)

    assert "PIPE_V waits for set_flag PIPE_MTE2->PIPE_V, id 0, and no such set_flag is left" in finding


def test_two_pipes_that_wait_for_each_other() -> None:
    """Both pipes are in the report, each with the set_flag that it waits for and where that one is stuck."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
        asc.set_flag(Pipe.V, Pipe.MTE2, 0)
        asc.wait_flag(Pipe.V, Pipe.MTE2, 0)
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)

    assert sorted(stuck(body)) == [
        f"{place(body, 'wait_flag(Pipe.MTE2')}: deadlock on {VECTOR}: PIPE_V waits for set_flag PIPE_MTE2->PIPE_V, "
        f"id 0; {behind(body, 'set_flag(Pipe.MTE2')}",
        f"{place(body, 'wait_flag(Pipe.V')}: deadlock on {VECTOR}: PIPE_MTE2 waits for set_flag PIPE_V->PIPE_MTE2, "
        f"id 0; the next one is at {place(body, 'set_flag(Pipe.V')}, which its own pipe has not reached: "
        f"move it before the wait, or raise the flag once at the start",
    ]


def test_a_ring_of_waits_whose_flag_nobody_raised_first() -> None:
    """A hand-made double buffer without the set at the start: the fill pipe waits for the drain behind it."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        for turn in range(3):
            asc.wait_flag(Pipe.V, Pipe.MTE2, turn % 2)
            load(core, gm, 640)
            asc.set_flag(Pipe.MTE2, Pipe.V, turn % 2)
            asc.wait_flag(Pipe.MTE2, Pipe.V, turn % 2)
            work(core, 1)
            asc.set_flag(Pipe.V, Pipe.MTE2, turn % 2)

    assert f"deadlock on {VECTOR}: PIPE_MTE2 waits for set_flag PIPE_V->PIPE_MTE2, id 0; " + behind(
        body, "set_flag(Pipe.V"
    ) in " ".join(stuck(body))


def test_a_full_queue_keeps_the_set_away() -> None:
    """The queue of V is full behind its wait, so the scalar unit never comes to the set that would release it."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
        for _ in range(4):
            work(core, 1)
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)

    assert stuck(body, chip("scalar.queue_depth=4")) == [
        f"{place(body, 'wait_flag')}: deadlock on {VECTOR}: PIPE_V waits for set_flag PIPE_MTE2->PIPE_V, id 0; "
        f"{behind(body, 'set_flag')}"
    ]
    # One entry more, and the same program runs.
    assert simulate(body, chip("scalar.queue_depth=5")).cycles > 0


def test_a_barrier_behind_a_blocked_pipe() -> None:
    """The scalar unit waits at the barrier for V, and V for a set that stands behind the barrier."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
        asc.pipe_barrier(Pipe.ALL)
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)

    assert stuck(body) == [
        f"{place(body, 'pipe_barrier')}: deadlock on {VECTOR}: PIPE_S (barrier) waits for all pipes to finish, and one "
        f"of them is blocked itself",
        f"{place(body, 'wait_flag')}: deadlock on {VECTOR}: PIPE_V waits for set_flag PIPE_MTE2->PIPE_V, id 0; "
        f"{behind(body, 'set_flag')}",
    ]


def test_the_scalar_unit_waits_for_a_flag_behind_it() -> None:
    """A wait on the scalar unit blocks everything behind it, its own set included."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.wait_flag(Pipe.V, Pipe.S, 0)
        asc.set_flag(Pipe.V, Pipe.S, 0)

    assert stuck(body) == [
        f"{place(body, 'wait_flag')}: deadlock on {VECTOR}: PIPE_S waits for set_flag PIPE_V->PIPE_S, id 0; "
        f"{behind(body, 'set_flag')}"
    ]


UNIT_FLAG = (
    "the unit_flag handshake of its L0C tile: an mmad with last=True must finish a tile before its fixpipe, and a "
    "fixpipe must drain it before the next mmad with init=True"
)


def test_unit_flag_without_a_last_mmad() -> None:
    """A FIXPIPE waits for an MMAD that says last; the MMAD of the next tile waits for the FIXPIPE."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        tile = core.buffer("tile", Space.L0C, 1024, unit_flag=True).tile((16, 16), asc.fp32)
        left = core.tensor("left", Space.L0A, (16, 16), asc.fp16)
        right = core.tensor("right", Space.L0B, (16, 16), asc.fp16)
        asc.mmad(tile, left, right, init=True)
        asc.fixpipe(gm.result[0:16, 0:16], tile)
        asc.mmad(tile, left, right, init=True)  # the next tile

    # The first MMAD took the tile, and nobody gives it back.
    assert sorted(stuck(body, cores="cube")) == [
        f"{place(body, 'fixpipe')}: deadlock on {CUBE}: PIPE_FIX waits for {UNIT_FLAG}",
        f"{place(body, 'the next tile')}: deadlock on {CUBE}: PIPE_M waits for {UNIT_FLAG}",
    ]


def test_a_cube_core_and_its_vector_cores_wait_for_each_other() -> None:
    """Each side waits before it sets: the report names the cores that should have set the flag."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_cube:
            asc.cross_core_wait_flag(1)  # cube
            asc.cross_core_set_flag(0, Pipe.FIX)
        else:
            asc.cross_core_wait_flag(0)  # vector
            asc.cross_core_set_flag(1, Pipe.MTE3)

    assert stuck(body, cores="mix") == [
        f"{place(body, '# cube')}: deadlock on {CUBE}: PIPE_S waits for cross_core_set_flag 1, mode 2, from "
        f"its vector core 0, its vector core 1: set it on the vector core once for each wait",
        f"{place(body, '# vector')}: deadlock on die0.core0.veccore0 and 1 more: PIPE_S waits for "
        f"cross_core_set_flag 0, mode 2, from its cube core: set it on the cube core once for each wait",
    ]


def test_one_vector_core_that_does_not_set() -> None:
    """Of two vector cores only the one that has not set the flag is named."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_cube:
            asc.cross_core_wait_flag(1)
        else:
            work(core, 1)
            if core.sub == 0:
                asc.cross_core_set_flag(1, Pipe.V)

    assert stuck(body, cores="mix") == [
        f"{place(body, 'wait_flag')}: deadlock on {CUBE}: PIPE_S waits for cross_core_set_flag 1, mode 2, from "
        f"its vector core 1: set it on the vector core once for each wait"
    ]


def test_one_core_that_stays_away_from_a_barrier_of_all() -> None:
    """In mode 0 every core waits for all; the cores that are stuck alike are one finding."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 1)
        if core.index != 2:
            asc.cross_core_set_flag(7, Pipe.V, mode=0)
            asc.cross_core_wait_flag(7, mode=0)

    assert stuck(body, blocks=4) == [
        f"{place(body, 'wait_flag')}: deadlock on {VECTOR} and 2 more: PIPE_S waits for cross_core_set_flag 7, mode 0, "
        f"from die0.core1.veccore0: set it on the vector core once for each wait"
    ]


def test_a_set_in_another_mode_does_not_help() -> None:
    """Sets reach only waits of their own mode."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.cross_core_set_flag(3, Pipe.V, mode=0)
        asc.cross_core_wait_flag(3, mode=1)

    assert stuck(body) == [
        f"{place(body, 'wait_flag')}: deadlock on {VECTOR}: PIPE_S waits for cross_core_set_flag 3, mode 1, "
        f"from vector core 0 of its group: set it on the vector core once for each wait"
    ]


def test_a_wait_for_cores_that_run_nothing() -> None:
    """A cube core whose vector cores have no instructions waits for ever, and is told so."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_cube:
            asc.cross_core_wait_flag(1)

    (finding,) = stuck(body, cores="mix")

    assert finding.startswith(
        f"{place(body, 'wait_flag')}: deadlock on {CUBE}: PIPE_S waits for cross_core_set_flag 1, mode 2, from "
    )


def test_a_wait_for_one_core_that_runs_nothing() -> None:
    """A vector core without any instruction does not set the flag either: the other one alone is not enough."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_cube:
            asc.cross_core_wait_flag(1)
        elif core.sub == 0:
            asc.cross_core_set_flag(1, Pipe.V)

    (finding,) = stuck(body, cores="mix")

    assert "waits for cross_core_set_flag 1, mode 2, from its vector core 1" in finding


def test_a_simulated_core_speaks_for_all_of_its_class() -> None:
    """The report counts the cores that one core was simulated for, as if each had been simulated."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)

    on = chip()
    program = build(body, on, blocks=8)
    with pytest.raises(DeadlockError) as caught:
        simulate_timing(program, on, symmetry=True)

    assert f"deadlock on {VECTOR} and 7 more: " in str(caught.value)


def test_cores_that_are_stuck_do_not_stop_the_others() -> None:
    """One core waits for ever while another works on; only the first is reported."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.index == 0:
            asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
        else:
            for _ in range(4):
                load(core, gm, 6400)

    (finding,) = stuck(body, blocks=2)

    assert f"deadlock on {VECTOR}: PIPE_V waits for" in finding


def test_a_long_program_that_deadlocks_in_the_middle() -> None:
    """The report names the line of the wait, however much has been carried out before and stands behind."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        values = core.tensor("v", Space.UB, 64, asc.fp32)
        for turn in range(200):
            asc.adds(values, values, 1.0)
            asc.set_flag(Pipe.V, Pipe.MTE3, 0)
            asc.wait_flag(Pipe.V, Pipe.MTE3, 0)
            if turn == 100:
                asc.wait_flag(Pipe.MTE2, Pipe.MTE3, 1)  # nobody sets this one

    findings = stuck(body)

    assert findings == [
        f"{place(body, 'nobody')}: deadlock on {VECTOR}: PIPE_MTE3 waits for set_flag PIPE_MTE2->PIPE_MTE3, id 1, and "
        f"no such set_flag is left in the program: add one on PIPE_MTE2, or remove this wait"
    ]
