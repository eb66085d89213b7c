"""The counters of traces: no byte is lost, and each is where it flows."""

from __future__ import annotations

from itertools import pairwise

import pytest
from tiny import load, store
from traces import bundled, counted, events, every, recorded

from ascend_sim import kernel as asc
from ascend_sim.isa.words import Space
from ascend_sim.kernel import Pipe
from ascend_sim.observe.timeline import Recording
from ascend_sim.report.trace import Window
from ascend_sim.report.trace_throughput import COUNTERS, Throughput

__all__ = ["bundled"]


def carried(values: list[tuple[float, float]]) -> float:
    """The bytes under a counter, which is 0 at its end."""
    assert values[-1][1] == 0
    return sum(1e3 * (later - time) * rate for (time, rate), (later, _) in pairwise(values))


def test_throughput_by_hand() -> None:
    """12,800 B in 300 cycles of 1 ns are 42.7 GB/s in each bin of 100 ns; a store comes after it."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 12800)
        asc.set_flag(Pipe.MTE2, Pipe.MTE3, 0)
        asc.wait_flag(Pipe.MTE2, Pipe.MTE3, 0)
        store(core, gm, 3200)  # from 315 for 50 + 100 cycles

    values = counted(events(recorded(body)))
    rate = 3200 / 150

    assert set(values) == {"GM_TO_UB", "GM_TO_TOTAL", "UB_TO_GM", "TOTAL_TO_GM"}
    times = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert [time for time, _ in values["GM_TO_UB"]] == times
    assert [value for _, value in values["GM_TO_UB"]] == pytest.approx([12800 / 300] * 3 + [0, 0, 0])
    assert [value for _, value in values["UB_TO_GM"]] == pytest.approx([0, 0, 0, 0.85 * rate, 0.65 * rate, 0])
    assert values["GM_TO_TOTAL"] == values["GM_TO_UB"]
    assert values["TOTAL_TO_GM"] == values["UB_TO_GM"]


def test_throughput_conserves_bytes(bundled: Recording) -> None:
    """The areas under the counters are the bytes that the cores moved on these paths, and totals are sums."""
    values = counted(events(bundled, every(bundled)))
    moved: dict[str, float] = dict.fromkeys(COUNTERS, 0)
    for core in bundled.cores:
        for (source, target), size in core.moved.items():
            if Space.GM in (source, target):
                moved[f"{source.value}_TO_{target.value}"] += size
                moved["GM_TO_TOTAL" if source is Space.GM else "TOTAL_TO_GM"] += size

    assert {name: carried(one) for name, one in values.items()} == pytest.approx(
        {name: size for name, size in moved.items() if size}
    )


def test_loads_into_l0_count_in_the_total_alone() -> None:
    """The vendor has no counter for fractals that go from global memory straight to L0A."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        asc.load_data(core.tensor("left", Space.L0A, (32, 32), asc.fp16), gm.tile[0:4, 0:256])

    values = counted(events(recorded(body, cores="cube")))
    assert {name: carried(one) for name, one in values.items()} == {"GM_TO_TOTAL": pytest.approx(2048)}


def test_throughput_of_a_window_is_what_flows_within() -> None:
    """Of a move that is under way when the window begins and ends, the bytes in between are counted."""
    values = counted(events(recorded(lambda core, gm: load(core, gm, 12800)), window=Window(0.1, 0.2)))

    assert values["GM_TO_UB"] == [(0.1, pytest.approx(12800 / 300)), (0.2, 0.0)]


@pytest.mark.parametrize(
    ("span_us", "bin_us"), [(0, 0.1), (200, 0.1), (200.01, 0.2), (1000, 0.5), (2000, 1), (2001, 2), (70000, 50)]
)
def test_bins_are_round_and_no_more_than_2000(span_us: float, bin_us: float) -> None:
    """Bins grow with the span in steps of 1, 2 and 5; the file says how wide they are."""
    assert Throughput(0, 1e3 * span_us, 1.0).bin_us == bin_us
