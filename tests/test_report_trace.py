"""trace.json: that it says what the schedule says, in the vendor's form, and that viewers can show it."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

from browser import watched_page
from outcomes import outcome
from tiny import chip, load, ub, work
from traces import arrows, at, bundled, counted, events, every, lanes, recorded, slices, spans

from ascend_sim import kernel as asc
from ascend_sim.kernel import Pipe
from ascend_sim.observe.timeline import Recording
from ascend_sim.report.operands import OperandText
from ascend_sim.report.trace import LANE_ORDER, Trace, Window, gzipped, process_name, trace_text
from ascend_sim.report.viewer import served

__all__ = ["bundled"]


def hand_over(core: asc.Core, gm: asc.GlobalMemory) -> None:
    """A load, a flag to V, work there, a barrier, and a flag that nobody waits for."""
    load(core, gm, 6400)
    asc.set_flag(Pipe.MTE2, Pipe.V, 0)
    asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
    work(core, 1)
    asc.pipe_barrier(Pipe.V)
    asc.set_flag(Pipe.V, Pipe.MTE3, 0)


def test_a_hand_over_by_hand() -> None:
    """A flag and a barrier are a cycle at their end, a wait is its blocked span; the arrow joins flag and wait."""
    found = events(recorded(hand_over))

    # The load takes 100 + 6400/64 cycles, the flag 10, the wait 5; adds holds V for 10 and is visible 50 after its
    # start, for which the barrier waits; the last flag takes 10 more.
    assert [(one.lane, one.name, one.begin, one.end) for one in slices(found)] == [
        ("MTE2", "MOV_OUT_TO_UB", 0, 200),
        ("MTE2", "SET_FLAG.MTE2.V", 209, 210),
        ("VECTOR", "WAIT_FLAG.MTE2.V", 0, 215),
        ("VECTOR", "VADDS", 215, 225),
        ("VECTOR", "BAR.V", 264, 265),
        ("VECTOR", "SET_FLAG.V.MTE3", 274, 275),
    ]
    ((begin, end),) = arrows(found)
    assert (begin["tid"], begin["cat"], begin["ts"]) == ("MTE2", "MTE2ToVECTOR", 0.20925)
    assert (end["tid"], end["cat"], end["ts"]) == ("VECTOR", "MTE2ToVECTOR", 0.21425)


def test_what_a_slice_says_of_itself() -> None:
    """Name, colour, place, operands, bytes, stage and number of the task are those of the instruction."""
    found = events(recorded(hand_over))
    move = next(event for event in found if event["ph"] == "X")
    flag = next(event for event in found if event["ph"] == "B")
    end = next(event for event in found if event["ph"] == "E")

    code = move["args"].pop("code")
    assert Path(code.rpartition(":")[0]).name == "tiny.py"
    assert move == {
        "ph": "X", "name": "MOV_OUT_TO_UB", "cname": "thread_state_iowait", "pid": "core0.veccore0", "tid": "MTE2",
        "ts": 0.0, "dur": 0.2,
        "args": {"detail": "loaded[0:1600]:fp32, x[0:1600]:fp32", "process_bytes": 6400, "stage": "inline", "task": 0},
    }  # fmt: skip
    assert Path(flag["args"].pop("code").rpartition(":")[0]).name == "test_report_trace.py"
    detail = "PIPE_MTE2->PIPE_V, id 0"
    assert flag == {
        "ph": "B", "name": "SET_FLAG.MTE2.V", "cname": "black", "pid": "core0.veccore0", "tid": "MTE2", "id": 1,
        "ts": 0.209, "args": {"detail": detail, "process_bytes": 0, "stage": "inline", "task": 0},
    }  # fmt: skip
    assert end == {
        "ph": "E", "name": "SET_FLAG.MTE2.V", "pid": "core0.veccore0", "tid": "MTE2", "id": 1, "ts": 0.21,
    }  # fmt: skip


def test_a_slice_has_a_nanosecond_where_a_cycle_is_shorter() -> None:
    """At 2 GHz a row of flags of 1 cycle is drawn 1 ns each; the move behind them makes up for it, and none is lost."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        for number in range(6):
            asc.set_flag(Pipe.MTE2, Pipe.V, number)
        load(core, gm, 6400)
        for number in range(6):
            asc.wait_flag(Pipe.MTE2, Pipe.V, number)

    on = chip("clock_hz=2e9", "sync.set_flag_cycles=1", "sync.wait_flag_cycles=1")
    found = events(recorded(body, on))
    drawn = lanes(slices(found))
    *flags, move = drawn["core0.veccore0", "MTE2"]

    assert [(one.begin, one.end) for one in flags] == [(number, number + 1) for number in range(6)]
    assert (move.begin, move.end) == (6, 103)  # of cycles 6 to 206
    waits = drawn["core0.veccore0", "VECTOR"]
    assert [one.end for one in waits] == [1, 2, 3, 4, 5, 6]
    for begin, end in arrows(found):
        setter, wait = at(slices(found), begin), at(slices(found), end)
        assert setter.args["detail"] == wait.args["detail"]
        assert begin["ts"] <= end["ts"]


def test_slices_follow_each_other(bundled: Recording) -> None:
    """In each lane a slice has some length and begins when the one before it is over; the last ends with the run."""
    drawn = lanes(slices(events(bundled, every(bundled))))
    run_ns = bundled.cycles * 1e9 / bundled.chip.cycles_per_second

    for lane in drawn.values():
        assert lane[0].begin >= 0
        assert max(one.end for one in lane) <= run_ns + 5
        assert all(one.end > one.begin for one in lane)
        assert all(later.begin >= earlier.end for earlier, later in pairwise(lane))


def test_every_instruction_is_drawn_once_and_where_it_was(bundled: Recording) -> None:
    """With every core there are as many slices as instructions, in program order, within some ns of their cycles."""
    trace = Trace(bundled, every(bundled))
    drawn = lanes(slices(json.loads("".join(trace.text()))["traceEvents"]))
    assert trace.slices == sum(len(core) for core in bundled.cores) == sum(len(lane) for lane in drawn.values())

    text = OperandText(bundled.tensors)
    per_ns = bundled.chip.cycles_per_second / 1e9
    for core in bundled.cores:
        name = process_name(core.id, bundled.chip)
        words = [words for facts in core.calls for words in facts.words]
        details = [
            text.of(words.operands, bases)
            for facts, bases in zip(core.calls, core.bases, strict=True)
            for words in facts.words
        ]
        mine = [one for (process, _), lane in drawn.items() if process == name for one in lane]
        spelled = [one.spelling for one in words]
        assert sorted((one.name, one.args["detail"]) for one in mine) == sorted(zip(spelled, details, strict=True))
        assert sum(one.args["process_bytes"] for one in mine) == sum(one.moved for one in words)
        for pipe in (Pipe.MTE2, Pipe.V, Pipe.M):
            lane = drawn[name, {Pipe.MTE2: "MTE2", Pipe.V: "VECTOR", Pipe.M: "CUBE"}[pipe]]
            positions = core.positions(pipe).tolist()
            assert [one.name for one in lane] == [spelled[index] for index in positions]
            assert all(
                abs(one.end - core.frees[index] / per_ns) <= 8 for one, index in zip(lane, positions, strict=True)
            )


def test_lanes_and_processes_are_declared_in_the_vendors_order(bundled: Recording) -> None:
    """Whatever has events has a name before them, and the vendor's sort index; lanes come in its order."""
    found = events(bundled, every(bundled))
    named = {(event["pid"], event.get("tid")) for event in found if event["name"] in ("process_name", "thread_name")}
    order = {event["tid"]: event["args"]["sort_index"] for event in found if event["name"] == "thread_sort_index"}
    expected = {"SCALAR": 10, "VECTOR": 30, "CUBE": 40, "MTE1": 50, "MTE2": 60, "MTE3": 70, "FIXP": 80}

    assert {(event["pid"], event.get("tid")) for event in found if event["ph"] != "M"} <= named
    assert order == {lane: number for lane, number in expected.items() if lane in order}
    assert sorted(LANE_ORDER.values()) == sorted(expected.values())
    declared = list(dict.fromkeys(event["tid"] for event in found if event["name"] == "thread_name"))
    assert declared == sorted(declared, key=lambda lane: order[lane])
    for event in found:
        if event["name"] == "process_sort_index" and event["pid"] != "MTE Throughput":
            core, kind = event["pid"].split(".")
            within = {"cubecore0": 1, "veccore0": 2, "veccore1": 3}[kind]
            assert event["args"]["sort_index"] == 3 * int(core.removeprefix("core")) + within


def test_names_and_colours_are_the_vendors() -> None:
    """Processes, instructions and colours are those of msopprof."""
    found = events(outcome("amla_small").timelines)

    pids = {event["pid"] for event in found}
    assert pids == {"core0.cubecore0", "core0.veccore0", "core0.veccore1", "MTE Throughput"}
    colours = {
        (event["tid"], event["name"].split(".")[0]): event["cname"] for event in found if event["ph"] in ("X", "B")
    }
    assert colours["CUBE", "MMAD bf16_2_f32"] == "background_memory_dump"
    assert colours["MTE1", "LOAD_L1_TO_L0A_2D"] == "thread_state_running"
    assert colours["MTE2", "MOV_OUT_TO_L1_MULTI_ND2NZ"] == "thread_state_iowait"
    assert colours["MTE3", "MOV_UB_TO_OUT"] == "rail_response"
    assert colours["FIXP", "FIX_L0C_TO_OUT"] == "thread_state_unknown"
    assert colours["VECTOR", "VMULS"] == "cq_build_failed"
    assert colours["CUBE", "SET_FLAG"] == "black"
    assert colours["CUBE", "WAIT_FLAG"] == "yellow"
    stages = {(one.args["stage"], one.args["task"]) for one in slices(found)}
    assert {("c1", 0), ("v1", 0), ("c2", 0), ("v2", 0), ("c1", 1)} <= stages


def test_the_second_die_counts_on() -> None:
    """A core of the second die of a 910C is core 24 and up, so that no two processes have one name."""
    recording = outcome("amla_small", "problem.batch=30", "problem.kv_tokens=64", "launch.blocks=30").timelines
    pids = {event["pid"] for event in events(recording, every(recording))} - {"MTE Throughput"}

    assert "core29.cubecore0" in pids
    assert len(pids) == 3 * 30


def test_arrows_lead_from_each_flag_to_its_wait(bundled: Recording) -> None:
    """Each wait for a pipe has one arrow, out of a flag of the same pipes and id, which is no later."""
    found = events(bundled, every(bundled))
    drawn = slices(found)
    lane_of = lanes(drawn)
    waits = [one for one in drawn if one.name.startswith("WAIT_FLAG")]
    pipe_arrows = [(begin, end) for begin, end in arrows(found) if begin["pid"] == end["pid"]]

    assert len(pipe_arrows) == len(waits)
    by_time = {(key, one.begin): one for key, lane in lane_of.items() for one in lane}
    by_end = {(key, one.end): one for key, lane in lane_of.items() for one in lane}
    for begin, end in pipe_arrows:
        setter = by_time[(begin["pid"], begin["tid"]), int(begin["ts"] * 1e3)]
        wait = by_end[(end["pid"], end["tid"]), int(end["ts"] * 1e3) + 1]
        assert setter.name.removeprefix("SET") == wait.name.removeprefix("WAIT")
        assert setter.args["detail"] == wait.args["detail"]
        assert begin["cat"] == end["cat"] == f"{begin['tid']}To{end['tid']}"
        assert begin["ts"] <= end["ts"]


def test_cross_core_arrows_join_cores() -> None:
    """Arrows from core to core lead from a flag to a wait, and only between cores that are drawn."""
    recording = outcome("amla_small").timelines
    found = events(recording)
    drawn = slices(found)
    across = [(begin, end) for begin, end in arrows(found) if begin["pid"] != end["pid"]]

    assert ("core0.cubecore0", "core0.veccore1") in {(begin["pid"], end["pid"]) for begin, end in across}
    for begin, end in across:
        assert at(drawn, begin).name.startswith("SET_CROSS_CORE.")
        assert at(drawn, end).name == "WAIT_CROSS_CORE"
        assert begin["ts"] < end["ts"]
    alone = arrows(events(recording, [1]))
    assert alone
    assert {begin["pid"] for begin, _ in alone} == {end["pid"] for _, end in alone} == {"core0.veccore0"}


def test_a_window_shows_whatever_is_under_way() -> None:
    """What overlaps with the window is drawn whole, what is over before or begins later is not, nor half an arrow."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        hand_over(core, gm)
        load(core, gm, 6400)

    recording = recorded(body)
    assert spans(recording, window=Window(0.2, 0.22)) == [
        ("MTE2", "SET_FLAG.MTE2.V", 209, 210),
        ("VECTOR", "WAIT_FLAG.MTE2.V", 0, 215),
        ("VECTOR", "VADDS", 215, 225),
        ("MTE2", "MOV_OUT_TO_UB", 210, 410),
    ]
    assert len(arrows(events(recording, window=Window(0.2, 0.22)))) == 1
    assert arrows(events(recording, window=Window(0.21, 0.22))) == []
    assert spans(recording, window=Window(0.3)) == [("MTE2", "MOV_OUT_TO_UB", 210, 410)]
    assert spans(recording, window=Window(5.0)) == []


def test_the_file_says_what_it_is() -> None:
    """Schema, program, chip and the width of the bins stand before the events, and no path or time of the machine."""
    about = json.loads("".join(trace_text(outcome("gemm_small").timelines)))["otherData"]

    assert about == {
        "schema": "ascend-sim/trace/1", "program": "gemm", "chip": "Ascend910B2", "counter_bin_us": 0.1
    }  # fmt: skip


def test_an_event_is_a_line_and_the_text_the_same_each_time() -> None:
    """Tools that read line by line can; equal runs give equal files."""
    recording = outcome("gemm_small").timelines
    trace = Trace(recording, every(recording))
    text = "".join(trace.text())
    first, *lines, last, end = text.split("\n")

    assert (first[-1], last, end) == ("[", "]}", "")
    assert [json.loads(line.rstrip(",")) for line in lines] == json.loads(text)["traceEvents"]
    counts = trace.slices, trace.arrows_drawn
    assert "".join(trace.text()) == text
    found = json.loads(text)["traceEvents"]
    assert (trace.slices, trace.arrows_drawn) == counts == (len(slices(found)), len(arrows(found)))


def test_arrows_and_counters_can_be_left_out() -> None:
    """Without them the slices are the same, and nothing else is there."""
    recording = outcome("gemm_small").timelines
    bare = json.loads("".join(Trace(recording, [0], arrows=False, counters=False).text()))

    assert {event["ph"] for event in bare["traceEvents"]} == {"M", "X", "B", "E"}
    assert slices(bare["traceEvents"]) == slices(events(recording, [0]))
    assert "counter_bin_us" not in bare["otherData"]


def test_a_compressed_trace_is_the_same_trace() -> None:
    """The content is equal, and so is the file each time: it holds no date."""
    recording = outcome("gemm_small").timelines
    packed = b"".join(gzipped(trace_text(recording)))

    assert gzip.decompress(packed) == "".join(trace_text(recording)).encode()
    assert packed[4:8] == bytes(4)
    assert packed == b"".join(gzipped(trace_text(recording)))


def test_odd_names_of_files_and_buffers_are_quoted() -> None:
    """Percent signs, quotes and backslashes in a path or a name reach the reader as they are."""
    path = '100% "my"\\kernel.py'
    names: dict[str, Any] = {}
    source = "def body(core, gm):\n    asc.data_copy(core.tensor('50%s', asc.Space.UB, 64, asc.fp32), gm.x[0:64])\n"
    exec(compile(source, path, "exec"), {"asc": asc}, names)
    (one,) = slices(events(recorded(names["body"])))

    assert one.args["code"] == f"{path}:2"
    assert one.args["detail"].startswith("50%s[0:64]")


def test_memory_does_not_grow_with_the_text() -> None:
    """The text comes in small parts, and reading it takes a small share of its length in memory."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        values = ub(core, 64)

        @core.stage(asc.AIV)
        def adds() -> None:
            for _ in range(100):
                asc.adds(values, values, 1.0)

        for _ in range(500):
            adds()

    recording = recorded(body)
    length = sum(map(len, trace_text(recording)))  # what is worked out once for the recording is there now
    tracemalloc.start()
    try:
        longest = max(map(len, trace_text(recording)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert length > 10_000_000
    assert longest < length / 100
    assert peak < length / 2


_QUERY = """async (query) => {
    const result = await app.trace.engine.query(query);
    const rows = [];
    for (const row = result.iter({}); row.valid(); row.next()) rows.push(result.columns().map((name) => row.get(name)));
    return rows;
}"""
_FLOWS = """
    select source.name, target.name
    from flow join slice source on slice_out = source.id join slice target on slice_in = target.id
"""


def test_perfetto_shows_every_slice_by_itself_and_every_arrow_at_its_ends(tmp_path: Path) -> None:
    """In the viewer no slice lies within another one or has no length, and each arrow is between a flag and a wait."""
    recording = outcome("amla_small").timelines
    path = tmp_path / "trace.json"
    path.write_text("".join(trace_text(recording)), encoding="utf-8")
    found = events(recording)
    with served(path) as url, watched_page(url.partition("#")[0]) as watched:
        watched.page.goto(url)
        watched.page.wait_for_function("() => window.app?.trace && !app.isLoadingTrace")
        drawn = watched.ask(_QUERY, "select count(*), sum(depth > 0), sum(dur < 1) from slice")
        joined = watched.ask(_QUERY, _FLOWS)
        values = watched.ask(_QUERY, "select count(*) from counter")

    assert drawn == [[len(slices(found)), 0, 0]]
    assert values == [[sum(map(len, counted(found).values()))]]
    # Perfetto turns an arrow around whose wait began before the flag was set.
    ends = [sorted((source, target)) for source, target in joined]
    assert len(ends) == len(arrows(found))
    assert all(setter.removeprefix("SET") == wait.removeprefix("WAIT") for setter, wait in ends if "FLAG" in setter)
    assert {(setter.split(".")[0], wait.split(".")[0]) for setter, wait in ends} == {
        ("SET_FLAG", "WAIT_FLAG"), ("SET_CROSS_CORE", "WAIT_CROSS_CORE")
    }  # fmt: skip
