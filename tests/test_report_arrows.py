"""Flag arrows: which set releases which wait, within a core and between cores, and which lie in a window."""

from __future__ import annotations

from tiny import Body, chip, simulate, store, work

from ascend_sim import kernel as asc
from ascend_sim.isa.words import Pipe
from ascend_sim.kernel.build import Cores
from ascend_sim.observe.timeline import Recording, Timelines
from ascend_sim.report.arrows import Arrow, arrows_of


def recorded(body: Body, cores: Cores = "vector", blocks: int = 1) -> Recording:
    """The recording of *body* on the tiny chip."""
    on = chip()
    return Timelines(simulate(body, on, cores, blocks), on)


def arrows(recording: Recording, begin: int = 0, end: int = 1 << 40) -> list[Arrow]:
    """The arrows between all cores."""
    return sorted(arrows_of(recording, list(recording.cores), begin, end))


def two_flags(core: asc.Core, gm: asc.GlobalMemory) -> None:
    """MTE3 sets two flags for V, one of them twice; V finds some of them raised."""
    store(core, gm, 640)  # 0: until 70
    asc.set_flag(Pipe.MTE3, Pipe.V, 0)  # 1: until 80
    asc.set_flag(Pipe.MTE3, Pipe.V, 1)  # 2: until 90
    work(core, 30)  # 3: until 300
    asc.wait_flag(Pipe.MTE3, Pipe.V, 1)  # 4: finds it raised, until 305
    asc.wait_flag(Pipe.MTE3, Pipe.V, 0)  # 5: finds it raised, until 310
    asc.set_flag(Pipe.V, Pipe.MTE3, 0)  # 6: visible at 340, until 350
    asc.wait_flag(Pipe.V, Pipe.MTE3, 0)  # 7: waits until 355
    asc.set_flag(Pipe.MTE3, Pipe.V, 0)  # 8: until 365
    asc.wait_flag(Pipe.MTE3, Pipe.V, 0)  # 9: waits until 370


def test_the_nth_wait_takes_the_nth_set_of_its_flag() -> None:
    """Flags are told apart by pipes and id, and by turn; waits that were held up and those that were not alike."""
    assert arrows(recorded(two_flags)) == [(0, 1, 0, 5), (0, 2, 0, 4), (0, 6, 0, 7), (0, 8, 0, 9)]


def test_both_ends_lie_in_the_window() -> None:
    """An arrow of which one end is outside is left out; the turns are counted from the beginning all the same."""
    recording = recorded(two_flags)

    assert arrows(recording, 81, 305) == [(0, 2, 0, 4)]
    assert arrows(recording, 350, 370) == [(0, 6, 0, 7), (0, 8, 0, 9)]
    assert arrows(recording, 350, 369) == [(0, 6, 0, 7)]


def test_arrows_between_cores_come_from_the_latest_set() -> None:
    """Held up or not, a wait for both vector cores is released by the later; unshown cores have no arrows."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_cube:
            asc.cross_core_wait_flag(0)  # held up until 560
            asc.fixpipe(gm.result[0:16, 0:16], core.tensor("c", asc.Space.L0C, (16, 16), asc.fp32))
            asc.pipe_barrier(Pipe.ALL)
            asc.cross_core_wait_flag(1)  # both have set it long ago
        else:
            asc.cross_core_set_flag(1, Pipe.V)  # 0
            store(core, gm, 3200 * (1 + core.sub))
            asc.cross_core_set_flag(0, Pipe.MTE3)  # 2

    recording = recorded(body, "mix")

    assert 3 not in recording.core(0).links
    assert arrows(recording) == [(2, 0, 0, 3), (2, 2, 0, 0)]
    assert arrows_of(recording, [recording.core(0), recording.core(1)], 0, 1 << 40) == []


def test_mode_0_has_an_arrow_only_where_a_core_was_held_up() -> None:
    """The slowest core of all groups releases the others; it finds its own flag raised, by whom is not looked for."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 10 * (1 + core.index))
        asc.cross_core_set_flag(2, Pipe.V, mode=0)
        work(core, 100)
        asc.pipe_barrier(Pipe.ALL)
        asc.cross_core_wait_flag(2, mode=0)

    assert arrows(recorded(body, blocks=3)) == []
    late = recorded(lambda core, gm: (work(core, 200 * core.index + 1), *_ring(core))[0], blocks=3)
    assert {(one.source, one.target) for one in arrows(late)} == {(2, 0), (2, 1), (2, 2)}


def _ring(core: asc.Core) -> tuple[None, None]:
    return asc.cross_core_set_flag(2, Pipe.V, mode=0), asc.cross_core_wait_flag(2, mode=0)


def test_mode_1_joins_vector_cores() -> None:
    """A wait for the vector cores of a group that was not held up belongs to the one that set the flag last."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 1 + core.sub)
        asc.cross_core_set_flag(1, Pipe.V, mode=1)  # 1
        store(core, gm, 32000)
        asc.pipe_barrier(Pipe.ALL)
        asc.cross_core_wait_flag(1, mode=1)  # 4

    assert arrows(recorded(body, blocks=2)) == [(1, 1, 0, 4), (1, 1, 1, 4)]
