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


def unissued(held: str, by: str) -> str:
    """What is said of something that has not been issued, while the scalar unit is *held* somewhere *by* something."""
    return f"it has not been issued, since the scalar unit is held at {held} by {by}"


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
    """Flags are told apart by id and by both pipes; the set that is most like the missing one is named."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.set_flag(Pipe.MTE2, Pipe.V, 1)
        asc.set_flag(Pipe.MTE2, Pipe.MTE3, 0)
        asc.set_flag(Pipe.V, Pipe.MTE2, 0)
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)

    (finding,) = stuck(body)

    assert "PIPE_V waits for set_flag PIPE_MTE2->PIPE_V, id 0, and no such set_flag is left" in finding
    assert finding.endswith(
        f"or remove this wait; {place(body, 'Pipe.V, 1)')} sets PIPE_MTE2->PIPE_V, id 1, which nobody waits for: is "
        f"one of the ids wrong?"
    )


def test_two_pipes_that_wait_for_each_other() -> None:
    """Both pipes are in the report, each with the set_flag that it waits for and where that one is stuck; so is the
    cycle.
    """

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
        asc.set_flag(Pipe.V, Pipe.MTE2, 0)
        asc.wait_flag(Pipe.V, Pipe.MTE2, 0)
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)

    first, second = place(body, "wait_flag(Pipe.MTE2"), place(body, "wait_flag(Pipe.V")
    assert stuck(body) == [
        f"{second}: deadlock on {VECTOR}: PIPE_MTE2 waits for set_flag PIPE_V->PIPE_MTE2, "
        f"id 0; the next one is at {place(body, 'set_flag(Pipe.V')}, which its own pipe has not reached: "
        f"move it before the wait, or raise the flag once at the start; "
        f"PIPE_V waits at {first} for set_flag PIPE_MTE2->PIPE_V, id 0",
        f"{first}: deadlock on {VECTOR}: PIPE_V waits for set_flag PIPE_MTE2->PIPE_V, "
        f"id 0; {behind(body, 'set_flag(Pipe.MTE2')}; PIPE_MTE2 waits at {second} for set_flag PIPE_V->PIPE_MTE2, id 0",
        f"{first}: deadlock chain on {VECTOR}: PIPE_V ({first}) waits for PIPE_MTE2, PIPE_MTE2 ({second}) waits for "
        f"PIPE_V",
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
        values = core.tensor("v", Space.UB, 64, asc.fp32)
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
        for _ in range(4):
            asc.adds(values, values, 1.0)
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)

    wait, no_room = place(body, "wait_flag"), place(body, "adds")
    assert stuck(body, chip("scalar.queue_depth=4")) == [
        f"{wait}: deadlock on {VECTOR}: PIPE_V waits for set_flag PIPE_MTE2->PIPE_V, id 0; "
        f"{behind(body, 'set_flag')}; {unissued(no_room, 'a full queue of PIPE_V (depth 4)')}",
        f"{wait}: deadlock chain on {VECTOR}: PIPE_V ({wait}) waits for PIPE_S, "
        f"PIPE_S ({no_room}, full queue of PIPE_V) waits for PIPE_V",
    ]
    # One entry more, and the same program runs.
    assert simulate(body, chip("scalar.queue_depth=5")).cycles > 0


def test_a_barrier_behind_a_blocked_pipe() -> None:
    """The scalar unit waits at the barrier for V, and V for a set that stands behind the barrier."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
        asc.pipe_barrier(Pipe.ALL)
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)

    barrier, wait = place(body, "pipe_barrier"), place(body, "wait_flag")
    assert stuck(body) == [
        f"{barrier}: deadlock on {VECTOR}: PIPE_S (barrier) waits for all pipes to finish, and one "
        f"of them is blocked itself; PIPE_V waits at {wait} for set_flag PIPE_MTE2->PIPE_V, id 0",
        f"{wait}: deadlock on {VECTOR}: PIPE_V waits for set_flag PIPE_MTE2->PIPE_V, id 0; "
        f"{behind(body, 'set_flag')}; {unissued(barrier, 'a PIPE_ALL barrier')}",
        f"{wait}: deadlock chain on {VECTOR}: PIPE_V ({wait}) waits for PIPE_S, PIPE_S ({barrier}) waits for PIPE_V",
    ]


def test_the_scalar_unit_waits_for_a_flag_behind_it() -> None:
    """A wait on the scalar unit blocks everything behind it, its own set included; a chain of one is not drawn."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.wait_flag(Pipe.V, Pipe.S, 0)
        asc.set_flag(Pipe.V, Pipe.S, 0)

    assert stuck(body) == [
        f"{place(body, 'wait_flag')}: deadlock on {VECTOR}: PIPE_S waits for set_flag PIPE_V->PIPE_S, id 0; "
        f"{behind(body, 'set_flag')}; it has not been issued, since this wait holds the scalar unit"
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
    drain = place(body, "fixpipe")
    assert stuck(body, cores="cube") == [
        f"{drain}: deadlock on {CUBE}: PIPE_FIX waits for {UNIT_FLAG}; no mmad with last=True on this tile is left in "
        f"the program",
        f"{place(body, 'the next tile')}: deadlock on {CUBE}: PIPE_M waits for {UNIT_FLAG}; the next fixpipe on this "
        f"tile is at {drain}: PIPE_FIX waits at {drain} for the unit_flag handshake",
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

    cube, vector = place(body, "# cube"), place(body, "# vector")
    held = "it has not been issued, since the scalar unit there is held at"
    assert stuck(body, cores="mix") == [
        f"{cube}: deadlock on {CUBE}: PIPE_S waits for cross_core_set_flag 1, mode 2, from "
        f"its vector core 0, its vector core 1: set it on the vector core once for each wait; the next one of its "
        f"vector core 0, its vector core 1 is at {place(body, 'set_flag(1, Pipe.MTE3)')}: {held} {vector} by "
        f"cross_core_wait_flag 0, mode 2",
        f"{vector}: deadlock on {VECTOR} and 1 more: PIPE_S waits for "
        f"cross_core_set_flag 0, mode 2, from its cube core: set it on the cube core once for each wait; the next one "
        f"of its cube core is at {place(body, 'set_flag(0, Pipe.FIX)')}: {held} {cube} by cross_core_wait_flag 1, "
        f"mode 2",
        f"{cube}: deadlock chain on {CUBE}: PIPE_S ({cube}) waits for PIPE_S of its vector core 0, "
        f"PIPE_S of its vector core 0 ({vector}) waits for PIPE_S",
    ]


def test_one_vector_core_that_does_not_set() -> None:
    """Of two vector cores the one that has not set the flag is named, with how often each of them sets it."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_cube:
            asc.cross_core_wait_flag(1)
        else:
            work(core, 1)
            if core.sub == 0:
                asc.cross_core_set_flag(1, Pipe.V)

    assert stuck(body, cores="mix") == [
        f"{place(body, 'wait_flag')}: deadlock on {CUBE}: PIPE_S waits for cross_core_set_flag 1, mode 2, from "
        f"its vector core 1: set it on the vector core once for each wait; no such set is left on its vector core 1; "
        f"vector core 0 sets it 1 time, vector core 1 0 times"
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
        f"from die0.core1.veccore0: set it on the vector core once for each wait; no such set is left on "
        f"die0.core1.veccore0"
    ]


def test_a_set_in_another_mode_does_not_help() -> None:
    """Sets reach only waits of their own mode."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.cross_core_set_flag(3, Pipe.V, mode=0)
        asc.cross_core_wait_flag(3, mode=1)

    assert stuck(body) == [
        f"{place(body, 'wait_flag')}: deadlock on {VECTOR}: PIPE_S waits for cross_core_set_flag 3, mode 1, "
        f"from vector core 0 of its group: set it on the vector core once for each wait; no such set is left on vector "
        f"core 0 of its group; {place(body, 'set_flag')} sets cross-core flag 3, mode 0, which nobody waits for: is "
        f"one of the modes wrong?"
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


def chains(findings: list[str]) -> list[str]:
    """The cycles of waits among *findings*."""
    return [finding for finding in findings if ": deadlock chain on " in finding]


def test_three_pipes_in_a_circle_are_one_chain() -> None:
    """V waits for MTE2, MTE2 for MTE3 and MTE3 for V: one chain in the order of the waits, from the first line on."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
        asc.wait_flag(Pipe.MTE3, Pipe.MTE2, 0)
        asc.wait_flag(Pipe.V, Pipe.MTE3, 0)
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)
        asc.set_flag(Pipe.MTE3, Pipe.MTE2, 0)
        asc.set_flag(Pipe.V, Pipe.MTE3, 0)

    v, mte2, mte3 = (place(body, f"wait_flag(Pipe.{source}") for source in ("MTE2", "MTE3", "V"))
    assert chains(stuck(body)) == [
        f"{v}: deadlock chain on {VECTOR}: PIPE_V ({v}) waits for PIPE_MTE2, PIPE_MTE2 ({mte2}) waits for PIPE_MTE3, "
        f"PIPE_MTE3 ({mte3}) waits for PIPE_V"
    ]


def test_a_wait_that_leads_to_a_cause_is_no_chain() -> None:
    """MTE3 waits for V, and V for a flag that nobody sets: two lines, the cause first, and no cycle."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.wait_flag(Pipe.V, Pipe.MTE3, 0)
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
        asc.set_flag(Pipe.V, Pipe.MTE3, 0)

    cause, consequence = stuck(body)
    assert "PIPE_V waits for set_flag PIPE_MTE2->PIPE_V, id 0, and no such set_flag is left" in cause
    wait = place(body, "Pipe.MTE2, Pipe.V")
    assert consequence.endswith(f"; PIPE_V waits at {wait} for set_flag PIPE_MTE2->PIPE_V, id 0")


def test_equal_cores_share_a_chain() -> None:
    """The cycle of every block reads alike, and is one finding."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
        asc.wait_flag(Pipe.V, Pipe.MTE2, 0)
        asc.set_flag(Pipe.V, Pipe.MTE2, 0)
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)

    (chain,) = chains(stuck(body, blocks=4))
    assert f"deadlock chain on {VECTOR} and 3 more: PIPE_V" in chain


def test_a_chain_through_another_core_and_a_full_queue() -> None:
    """The cube core waits for a set that its vector cores, with full queues behind a wait, never issue."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_cube:
            asc.cross_core_wait_flag(1)
            asc.cross_core_set_flag(0, Pipe.FIX)
        else:
            values = core.tensor("v", Space.UB, 64, asc.fp32)
            asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
            for _ in range(4):
                asc.adds(values, values, 1.0)
            asc.cross_core_set_flag(1, Pipe.V)
            asc.cross_core_wait_flag(0)
            asc.set_flag(Pipe.MTE2, Pipe.V, 0)

    wait, no_room = place(body, "asc.wait_flag"), place(body, "adds")
    findings = stuck(body, chip("scalar.queue_depth=4"), cores="mix")
    assert chains(findings) == [
        f"{wait}: deadlock chain on {VECTOR} and 1 more: PIPE_V ({wait}) waits for PIPE_S, "
        f"PIPE_S ({no_room}, full queue of PIPE_V) waits for PIPE_V"
    ]
    assert findings[0].endswith(
        f"the next one of its vector core 0, its vector core 1 is at {place(body, 'set_flag(1')}: it has not been "
        f"issued, since the scalar unit there is held at {no_room} by a full queue of PIPE_V (depth 4)"
    )


def test_a_chain_across_cores_through_a_pipe() -> None:
    """The set that the cube core waits for stands in a queue of vector cores, whose pipe waits for the cube core."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_cube:
            asc.cross_core_wait_flag(1)
            asc.cross_core_set_flag(0, Pipe.FIX)
        else:
            asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
            asc.cross_core_set_flag(1, Pipe.V)
            asc.cross_core_wait_flag(0)
            asc.set_flag(Pipe.MTE2, Pipe.V, 0)

    cube, flag, cross = (place(body, text) for text in ("wait_flag(1)", "asc.wait_flag", "wait_flag(0)"))
    findings = stuck(body, cores="mix")
    assert chains(findings) == [
        f"{cube}: deadlock chain on {CUBE}: PIPE_S ({cube}) waits for PIPE_V of its vector core 0, "
        f"PIPE_V of its vector core 0 ({flag}) waits for PIPE_S of its vector core 0, "
        f"PIPE_S of its vector core 0 ({cross}) waits for PIPE_S"
    ]
    assert f": PIPE_V there waits at {flag} for set_flag PIPE_MTE2->PIPE_V, id 0" in findings[0]


def test_cores_that_wait_for_all_before_they_set_are_one_finding() -> None:
    """In mode 0 a core is one of those that it waits for itself; all of them say the same."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.cross_core_wait_flag(7, mode=0)
        asc.cross_core_set_flag(7, Pipe.V, mode=0)

    finding, chain = stuck(body, blocks=3)
    wait = place(body, "wait_flag")
    assert finding.startswith(f"{wait}: deadlock on {VECTOR} and 2 more: PIPE_S waits for cross_core_set_flag 7, mode")
    assert finding.endswith(
        f"; the next one of die0.core0.veccore0 and 2 more is at {place(body, 'set_flag')}: it has not been issued, "
        f"since the scalar unit there is held at {wait} by cross_core_wait_flag 7, mode 0"
    )
    other = "PIPE_S of vector core 1 of its group"
    assert chain == (
        f"{wait}: deadlock chain on {VECTOR}: PIPE_S ({wait}) waits for {other}, {other} ({wait}) waits for PIPE_S"
    )


def test_vector_cores_that_set_a_flag_a_different_number_of_times() -> None:
    """The cube core passes as often as the vector core that sets the flag least; both counts are given."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        for turn in range(3):
            if core.is_cube:
                asc.cross_core_wait_flag(1)
            elif core.sub == 0 or turn < 2:
                asc.cross_core_set_flag(1, Pipe.V)

    (finding,) = stuck(body, cores="mix")
    assert finding.endswith("vector core 0 sets it 3 times, vector core 1 2 times")


def test_a_flag_in_the_wrong_direction_is_pointed_out() -> None:
    """A set with the two pipes exchanged, which nobody waits for, is named as the likely partner."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.set_flag(Pipe.V, Pipe.MTE3, 0)
        asc.set_flag(Pipe.V, Pipe.MTE2, 0)  # reversed
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)

    (finding,) = stuck(body)
    assert finding.endswith(
        f"{place(body, '# reversed')} sets PIPE_V->PIPE_MTE2, id 0, which nobody waits for: is one of the pipes wrong?"
    )


def test_a_set_that_another_wait_takes_is_not_pointed_out() -> None:
    """Of two sets of another id the one that has its wait is left alone; the other one is named."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.set_flag(Pipe.MTE2, Pipe.V, 1)  # paired
        asc.wait_flag(Pipe.MTE2, Pipe.V, 1)
        asc.set_flag(Pipe.MTE2, Pipe.V, 2)  # paired
        asc.wait_flag(Pipe.MTE2, Pipe.V, 2)
        asc.set_flag(Pipe.MTE2, Pipe.V, 1)  # left over
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)

    (finding,) = stuck(body)
    assert f"{place(body, '# left over')} sets PIPE_MTE2->PIPE_V, id 1, which nobody waits for" in finding


def test_a_cross_core_flag_of_another_number_is_pointed_out() -> None:
    """A vector core that sets flag 2 where the cube core waits for flag 1."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_cube:
            asc.cross_core_wait_flag(1)
        else:
            asc.cross_core_set_flag(2, Pipe.V)

    (finding,) = stuck(body, cores="mix")
    assert finding.endswith(
        f"no such set is left on its vector core 0, its vector core 1; {place(body, 'set_flag(2')} sets cross-core "
        f"flag 2, mode 2, which nobody waits for: is one of the flags wrong?"
    )
