"""Reading traces: their events as slices, lanes, arrows and counters."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any, NamedTuple

import pytest
from outcomes import outcome
from tiny import Body, build, chip

from ascend_sim.config import Chip
from ascend_sim.engine.machine import simulate_timing
from ascend_sim.kernel.build import Cores
from ascend_sim.observe.timeline import Recording, Timelines
from ascend_sim.report.trace import Window, trace_text

Events = list[dict[str, Any]]


class Slice(NamedTuple):
    """An instruction as it is drawn: whole nanoseconds."""

    process: str
    lane: str
    name: str
    begin: int
    end: int
    args: dict[str, Any]


def every(recording: Recording) -> list[int]:
    """The numbers of all simulated cores."""
    return list(range(len(recording)))


def events(recording: Recording, cores: list[int] | None = None, window: Window | None = None) -> Events:
    """The events of trace.json."""
    loaded: Events = json.loads("".join(trace_text(recording, cores, window)))["traceEvents"]
    return loaded


def ns(time: float) -> int:
    """Microseconds of a slice as nanoseconds, of which they are a whole number."""
    found = round(time * 1e3)
    assert time * 1e3 == pytest.approx(found, abs=1e-6)
    return found


def slices(found: Events) -> list[Slice]:
    """All instructions, flags put together from their two events."""
    drawn, open_flags = [], {}
    for event in found:
        if event["ph"] == "X":
            begin = ns(event["ts"])
            end = begin + ns(event["dur"])
            drawn.append(Slice(event["pid"], event["tid"], event["name"], begin, end, event["args"]))
        elif event["ph"] == "B":
            open_flags[event["pid"], event["id"]] = event
        elif event["ph"] == "E":
            first = open_flags.pop((event["pid"], event["id"]))
            assert (first["tid"], first["name"]) == (event["tid"], event["name"])
            drawn.append(
                Slice(event["pid"], event["tid"], event["name"], ns(first["ts"]), ns(event["ts"]), first["args"])
            )
    assert not open_flags
    return drawn


def lanes(found: list[Slice]) -> dict[tuple[str, str], list[Slice]]:
    """The slices of each lane, in the order of the file."""
    by_lane = defaultdict(list)
    for one in found:
        by_lane[one.process, one.lane].append(one)
    return by_lane


def arrows(found: Events) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Begin and end of each arrow."""
    ends: dict[int, dict[str, dict[str, Any]]] = defaultdict(dict)
    for event in found:
        if event["ph"] in ("s", "t"):
            assert event["name"] == "flow"
            assert event["ph"] not in ends[event["id"]]
            ends[event["id"]][event["ph"]] = event
    return [(one["s"], one["t"]) for one in ends.values()]


def at(found: list[Slice], end: dict[str, Any]) -> Slice:
    """The slice in which an end of an arrow lies."""
    (one,) = [
        one for one in found
        if (one.process, one.lane) == (end["pid"], end["tid"]) and one.begin < end["ts"] * 1e3 < one.end
    ]  # fmt: skip
    return one


def recorded(body: Body, on: Chip | None = None, cores: Cores = "vector", blocks: int = 1) -> Recording:
    """The recording of *body* on the tiny chip, whose cycles are nanoseconds."""
    on = chip() if on is None else on
    return Timelines(simulate_timing(build(body, on, cores, blocks), on), on)


def spans(recording: Recording, **options: Any) -> list[tuple[str, str, int, int]]:
    """Lane, name, begin and end of all slices."""
    return [(one.lane, one.name, one.begin, one.end) for one in slices(events(recording, **options))]


def counted(found: Events) -> dict[str, list[tuple[float, float]]]:
    """For each counter its times in us and its values in GB/s."""
    values = defaultdict(list)
    for event in found:
        if event["ph"] == "C":
            assert event["pid"] == "MTE Throughput"
            values[event["name"]].append((event["ts"], event["args"]["GB/s"]))
    return dict(values)


BUNDLED = ("gemm_small", "amla_small", "vector_add")


@pytest.fixture(scope="module", params=BUNDLED)
def bundled(request: pytest.FixtureRequest) -> Recording:
    """The recording of a bundled run."""
    return outcome(request.param).timelines
