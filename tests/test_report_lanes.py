"""The lanes of a timeline: every slice of programs worked out by hand, and sums that must come out exactly."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from outcomes import outcome
from tiny import Body, chip, load, simulate, store, ub, work

from ascend_sim import kernel as asc
from ascend_sim.config import Chip
from ascend_sim.engine.machine import Schedule
from ascend_sim.isa.words import Pipe, Space
from ascend_sim.kernel.build import Cores
from ascend_sim.observe.timeline import LANES, Recording, Timelines
from ascend_sim.report.lanes import UNKNOWN, WAITS, Doing, Lane, cycles_per_column, lanes_of, spans_of, wordings

WORK, SET, FOR_PIPE, FOR_CORE, FOR_RESULTS, FOR_QUEUE, LAUNCH = Doing
Slices = list[tuple[int, int, Doing, tuple[str, ...]]]


def ten_instructions(core: asc.Core, gm: asc.GlobalMemory) -> None:
    """Load, add and store in three stages, and wait for all of it."""

    @core.stage(asc.AIV)
    def read() -> None:
        load(core, gm, 6400)  # MTE2 0 .. 200
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)  # 200 .. 210

    @core.stage(asc.AIV)
    def add() -> None:
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)  # V 0 .. 215
        work(core, 4)  # 215 .. 255, visible at 295
        asc.pipe_barrier(Pipe.V)  # 255 .. 295
        work(core, 2)  # 295 .. 315, visible at 355
        asc.set_flag(Pipe.V, Pipe.MTE3, 3)  # 355 .. 365

    @core.stage(asc.AIV)
    def write() -> None:
        asc.wait_flag(Pipe.V, Pipe.MTE3, 3)  # MTE3 0 .. 370
        store(core, gm, 3200)  # 370 .. 520

    read()
    add()
    write()
    asc.pipe_barrier(Pipe.ALL)  # S 0 .. 520


def recorded(body: Body, on: Chip | None = None, cores: Cores = "vector") -> tuple[Schedule, Recording]:
    """The schedule and the recording of *body* on one block of a tiny chip."""
    on = chip() if on is None else on
    schedule = simulate(body, on, cores)
    return schedule, Timelines(schedule, on)


def slices(recording: Recording, number: int = 0) -> dict[str, Slices]:
    """All slices of the simulated core with *number* by lane, with what would be written on them."""
    return {
        LANES[lane.pipe]: [
            (begin, end, Doing(doing), wordings(recording, lane, position))
            for position, (begin, end, doing) in enumerate(
                zip(lane.begins.tolist(), lane.ends.tolist(), lane.doings.tolist(), strict=True)
            )
        ]
        for lane in lanes_of(recording.core(number), recording.chip.scalar.issue_cycles.value)
    }


def every_lane(recording: Recording) -> Iterator[Lane]:
    """The lanes of all cores."""
    for core in recording.cores:
        yield from lanes_of(core, recording.chip.scalar.issue_cycles.value)


def test_ten_instructions_slice_by_slice() -> None:
    """Lanes stand in the vendor's order; each slice has its cycles, its kind, and what a wait waits for."""
    found = slices(recorded(ten_instructions)[1])

    assert list(found) == ["SCALAR", "VECTOR", "MTE2", "MTE3"]
    assert found == {
        "SCALAR": [(0, 520, FOR_RESULTS, ("waits all pipes", "all pipes"))],
        "VECTOR": [
            (0, 215, FOR_PIPE, ("waits MTE2", "MTE2")),
            (215, 255, WORK, ("adds",)),
            (255, 295, FOR_RESULTS, ("waits results", "results")),
            (295, 315, WORK, ("adds",)),
            (315, 355, FOR_RESULTS, ("waits results", "results")),
            (355, 365, SET, ("sets MTE3", "sets")),
        ],
        "MTE2": [(0, 200, WORK, ("data_copy",)), (200, 210, SET, ("sets VECTOR", "sets"))],
        "MTE3": [(0, 370, FOR_PIPE, ("waits VECTOR", "VECTOR")), (370, 520, WORK, ("data_copy",))],
    }


def test_spans_run_from_the_first_work_of_a_call_to_its_last() -> None:
    """Waits and flags at the ends of a call are not part of its span; cut to a window, it ends with the window."""
    recording = recorded(ten_instructions)[1]
    vector, mte2 = list(lanes_of(recording.core(0), 0))[1:3]
    names = [facts.name for facts in recording.core(0).calls]

    spans = spans_of(vector)
    assert [names[call] for call in spans.calls] == ["add"]
    assert (spans.begins.tolist(), spans.ends.tolist()) == ([215], [315])
    assert spans_of(mte2).ends.tolist() == [200]
    cut = spans.within(220, 300)
    assert (cut.begins.tolist(), cut.ends.tolist()) == ([220], [300])
    assert spans.within(315, 400).calls.size == 0


def test_a_window_cuts_slices_and_leaves_no_others() -> None:
    """What reaches into the window is cut at its ends; what only touches it is not in it."""
    vector = list(lanes_of(recorded(ten_instructions)[1].core(0), 0))[1].within(255, 300)

    assert list(zip(vector.begins.tolist(), vector.ends.tolist(), vector.doings.tolist(), strict=True)) == [
        (255, 295, FOR_RESULTS), (295, 300, WORK)
    ]  # fmt: skip


def test_issue_launch_and_full_queues_on_the_scalar_lane() -> None:
    """The scalar unit is launched, works for each instruction, and stands when a queue of two has no place."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        for _ in range(4):
            work(core, 10)  # each 100 on the pipe: they leave the queue at 1007, 1107, 1207, 1307

    on = chip("scalar.issue_cycles=7", "scalar.queue_depth=2", "launch.vector_seconds=1e-6")
    schedule, recording = recorded(body, on)

    assert slices(recording)["SCALAR"] == [
        (0, 1000, LAUNCH, ("launch",)),
        (1000, 1007, WORK, ()),
        (1007, 1014, WORK, ()),
        (1014, 1021, WORK, ()),
        (1021, 1100, FOR_QUEUE, ("VECTOR queue full", "VECTOR full")),
        (1100, 1107, WORK, ()),
    ]
    assert schedule.cores[0].queue_full_cycles == 79


def test_fixpipe_and_mmad_wait_for_tiles() -> None:
    """Under unit_flag a FIXPIPE waits for the MMAD that finishes its tile, and the next MMAD for the FIXPIPE."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        left = core.tensor("left", Space.L0A, (16, 16), asc.fp16)
        right = core.tensor("right", Space.L0B, (16, 16), asc.fp16)
        tile = core.buffer("tile", Space.L0C, 1024, unit_flag=True).tile((16, 16), asc.fp32)
        asc.load_data(left, core.tensor("l1", Space.L1, (16, 16), asc.fp16))  # MTE1 0 .. 54
        asc.set_flag(Pipe.MTE1, Pipe.M, 0)  # 54 .. 64
        asc.wait_flag(Pipe.MTE1, Pipe.M, 0)  # 0 .. 69
        asc.mmad(tile, left, right, init=True, last=True)  # 69 .. 179, visible at 219
        asc.fixpipe(gm.result[0:16, 0:16], tile)  # from 69 on with the MMAD, until 219 + 20
        asc.mmad(tile, left, right, init=True, last=True)  # 239 .. 349

    found = slices(recorded(body, cores="cube")[1])

    assert found["FIXP"] == [(0, 69, FOR_PIPE, ("waits CUBE", "CUBE")), (69, 239, WORK, ("fixpipe",))]
    assert found["CUBE"] == [
        (0, 69, FOR_PIPE, ("waits MTE1", "MTE1")),
        (69, 179, WORK, ("mmad",)),
        (179, 239, FOR_PIPE, ("waits FIXP", "FIXP")),
        (239, 349, WORK, ("mmad",)),
    ]
    assert found["MTE1"] == [
        (0, 54, WORK, ("load_data",)),  # the last load of a stream holds its pipe until it is visible
        (54, 64, SET, ("sets CUBE", "sets")),
    ]


def test_waits_for_other_cores_name_the_one_that_came_last() -> None:
    """A cube core that waits for both of its vector cores waits for the slower; a set to other cores is a flag."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_cube:
            asc.cross_core_wait_flag(0)
        else:
            store(core, gm, 3200 * (1 + core.sub))  # 0 .. 150 and 0 .. 250
            asc.cross_core_set_flag(0, Pipe.MTE3)  # seen 300 after its end

    recording = recorded(body, cores="mix")[1]

    assert slices(recording)["SCALAR"] == [(0, 560, FOR_CORE, ("waits veccore1", "waits core", "core"))]
    assert slices(recording, 2)["MTE3"] == [
        (0, 250, WORK, ("data_copy",)), (250, 260, SET, ("sets core flag", "sets"))
    ]  # fmt: skip


def test_a_wait_for_another_group_names_the_group() -> None:
    """Beside a core of another group the short name would be that of a core of its own."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 10 if core.index < 2 else 100)
        asc.cross_core_set_flag(2, Pipe.V, mode=0)
        asc.cross_core_wait_flag(2, mode=0)

    on = chip()
    recording = Timelines(simulate(body, on, blocks=3), on)

    assert [one[3][0] for one in slices(recording)["SCALAR"]] == ["waits core1.veccore0"]


@pytest.mark.parametrize("name", ["amla_small", "gemm_small", "vector_add"])
def test_lanes_explain_every_cycle_once(name: str) -> None:
    """No slices of a lane overlap or are empty, every wait has its partner, and scalar sums are the engine's."""
    found = outcome(name)
    for lane in every_lane(found.timelines):
        assert (lane.ends > lane.begins).all()
        assert (lane.begins[1:] >= lane.ends[:-1]).all()
        assert not ((lane.partners == UNKNOWN) & np.isin(lane.doings, [FOR_PIPE, FOR_CORE, FOR_QUEUE])).any()
        if lane.pipe is Pipe.S:
            assert lane.cycles(WORK) == lane.core.totals.scalar_cycles
            assert lane.cycles(FOR_QUEUE) == found.schedule.cores[lane.core.number].queue_full_cycles
        assert lane.cycles(*WAITS, WORK, SET, LAUNCH) == int((lane.ends - lane.begins).sum())


def test_columns_conserve_every_cycle() -> None:
    """Cycles in columns are those of counting one by one, whatever the slices and edges, and add up to the whole."""
    random = np.random.default_rng(5)
    for _ in range(20):
        cuts = np.unique(random.integers(0, 400, 2 * int(random.integers(1, 40))))
        cuts = cuts[: cuts.size // 2 * 2]
        begins, ends = cuts[::2], cuts[1::2]
        edges = np.unique(np.concatenate([[0, 400], random.integers(0, 400, 12)]))
        working = np.zeros(400, dtype=np.int64)
        for begin, end in zip(begins, ends, strict=True):
            working[begin:end] = 1

        columns = cycles_per_column(begins, ends, edges)
        assert columns.tolist() == [working[low:high].sum() for low, high in pairwise(edges.tolist())]
        assert columns.sum() == (ends - begins).sum()
    assert cycles_per_column(edges[:0], edges[:0], np.array([0, 5])).tolist() == [0]


def test_a_lane_without_instructions_is_empty() -> None:
    """Pipes that a program does not use have lanes, which are empty."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 1)
        asc.adds(ub(core, 64, "other"), ub(core, 64, "more"), 1.0)

    lanes = {lane.pipe: lane for lane in every_lane(recorded(body)[1])}
    assert (len(lanes[Pipe.MTE2]), len(lanes[Pipe.V])) == (0, 2)
    assert spans_of(lanes[Pipe.MTE2]).calls.size == 0
