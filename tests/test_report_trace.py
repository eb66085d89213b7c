"""trace.json: that viewers can load it, that it shows what the schedule says, and how it is kept small."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from typing import Any

from outcomes import outcome

from ascend_sim.report.trace import Window, trace_events, trace_text
from ascend_sim.simulate import Outcome

Events = list[dict[str, Any]]


def events(found: Outcome, **options: Any) -> Events:
    """The events of trace.json."""
    loaded: Events = json.loads("".join(trace_text(found.timelines, **options)))["traceEvents"]
    return loaded


def slices(found: Events) -> Events:
    """The instructions among the events."""
    return [event for event in found if event["ph"] == "X"]


def test_slices_lie_within_the_run_and_do_not_overlap() -> None:
    """Every instruction of a lane begins when the one before it has let go, and the last one before the run's end."""
    found = outcome("amla_small")
    lanes = defaultdict(list)
    for event in slices(events(found, every_core=True)):
        lanes[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))

    assert len(lanes) == 2 * (5 + 2 * 4)
    for spans in lanes.values():
        assert spans[0][0] >= 0
        assert max(end for _, end in spans) <= found.result.time_us + 1e-5
        assert all(later[0] >= earlier[1] - 1e-5 for earlier, later in pairwise(spans))


def test_every_instruction_is_drawn_once() -> None:
    """With every core, there are as many slices as instructions, and each says where it comes from."""
    found = outcome("amla_small")
    drawn = slices(events(found, every_core=True))

    assert len(drawn) == found.schedule.simulated_instructions
    assert {tuple(event["args"]) for event in drawn} == {("stage", "code", "detail", "process_bytes")}
    stages = {event["args"]["stage"] for event in drawn}
    assert {"c1", "v1", "c2", "v2"} <= stages
    loads = [event for event in drawn if event["tid"] == "MTE2" and event["name"] == "data_copy"]
    assert sum(event["args"]["process_bytes"] for event in loads) == found.result.memory["l2_read_bytes"] - sum(
        event["args"]["process_bytes"] for event in drawn if "atomic_add" in event["args"]["detail"]
    )


def test_names_and_colours_are_the_vendors() -> None:
    """Processes, lanes and colours are those of msopprof; lanes stand in its order."""
    found = events(outcome("amla_small"))

    assert {event["pid"] for event in found} == {"core0.cubecore0", "core0.veccore0", "core0.veccore1"}
    order = {
        event["tid"]: event["args"]["sort_index"] for event in found if event["name"] == "thread_sort_index"
    }
    assert sorted(order, key=lambda lane: order[lane]) == ["SCALAR", "VECTOR", "CUBE", "MTE1", "MTE2", "MTE3", "FIXP"]
    colours = {(event["tid"], event["name"]): event["cname"] for event in slices(found)}
    assert colours["CUBE", "mmad"] == "background_memory_dump"
    assert colours["MTE2", "data_copy"] == "thread_state_iowait"
    assert colours["MTE3", "data_copy"] == "rail_response"
    assert colours["CUBE", "set_flag"] == "black"
    assert colours["CUBE", "wait_flag"] == "yellow"


def test_the_second_die_counts_on() -> None:
    """A core of the second die of a 910C is core 24 and up, so that no two processes have one name."""
    found = outcome("amla_small", "problem.batch=30", "problem.kv_tokens=64", "launch.blocks=30")
    pids = {event["pid"] for event in events(found, every_core=True)}

    assert "core29.cubecore0" in pids
    assert len(pids) == 3 * 30


def test_arrows_lead_from_set_to_wait() -> None:
    """Each arrow begins at the end of a set_flag and ends at the end of a wait_flag, no earlier than it began."""
    found = events(outcome("gemm_small"))
    ends = defaultdict(set)
    for event in slices(found):
        ends[event["name"]].add((event["pid"], event["tid"], round(event["ts"] + event["dur"], 6)))
    arrows = defaultdict(dict)
    for event in found:
        if event["name"] == "flow":
            arrows[event["id"]][event["ph"]] = event

    assert len(arrows) == sum(event["name"] == "wait_flag" for event in slices(found))
    for arrow in arrows.values():
        begin, end = arrow["s"], arrow["t"]
        assert begin["cat"] == end["cat"] == f"{begin['tid']}To{end['tid']}"
        assert any(abs(begin["ts"] - time) < 1e-5 for _, lane, time in ends["set_flag"] if lane == begin["tid"])
        assert begin["ts"] <= end["ts"]


def test_cross_core_arrows_join_cores() -> None:
    """A vector core that waited for its cube core has an arrow from there."""
    arrows = [event for event in events(outcome("amla_small")) if event["name"] == "flow"]
    begins = {event["id"]: event for event in arrows if event["ph"] == "s"}
    across = [
        (begins[event["id"]]["pid"], event["pid"])
        for event in arrows
        if event["ph"] == "t" and event["pid"] != begins[event["id"]]["pid"]
    ]

    assert ("core0.cubecore0", "core0.veccore1") in across


def test_a_window_keeps_what_lies_inside() -> None:
    """With a window, only instructions that begin and end inside are drawn, and no arrow begins outside."""
    found = outcome("amla_small")
    middle = found.result.time_us / 2
    window = Window(middle - 2, middle + 2)
    kept = events(found, window=window)

    assert 0 < len(slices(kept)) < len(slices(events(found)))
    for event in kept:
        if event["ph"] != "M":
            assert window.begin - 1e-5 <= event["ts"]
            assert event["ts"] + event.get("dur", 0) <= window.end + 1e-5


def test_the_text_is_the_events_one_a_line() -> None:
    """The file can be read line by line, and is the same every time."""
    timelines = outcome("gemm_small").timelines
    text = "".join(trace_text(timelines))

    assert len(text.splitlines()) == 2 + sum(1 for _ in trace_events(timelines))
    assert text == "".join(trace_text(timelines))
