"""trace.json: the schedule in Chrome's trace format, as the vendor's msopprof writes it.

Open it in Perfetto (ui.perfetto.dev), chrome://tracing or MindStudio Insight. One process for each core
("core0.cubecore0"), one lane for each pipe; times in microseconds at the chip's clock. The text is made piece by piece:
what is held in memory are the times of the drawn cores, never the whole trace.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ascend_sim.config import Chip
from ascend_sim.isa.words import PIPES_OF, CoreKind, Pipe
from ascend_sim.kernel.program import CoreId
from ascend_sim.observe.facts import PIPES
from ascend_sim.observe.timeline import LANES, Recording
from ascend_sim.report.arrows import arrows_to
from ascend_sim.report.operands import OperandText
from ascend_sim.report.trace_slices import Placed, SliceText, placed
from ascend_sim.report.trace_throughput import Throughput

SCHEMA = "ascend-sim/trace/1"

LANE_ORDER = {
    Pipe.S: 10, Pipe.V: 30, Pipe.M: 40, Pipe.MTE1: 50, Pipe.MTE2: 60, Pipe.MTE3: 70, Pipe.FIX: 80,
}  # fmt: skip
"""The vendor's sort indices of the lanes; 20 and 90 to 120 belong to lanes of what is not modelled."""

_WITHIN = 0.25
"""Where in a nanosecond an arrow is: Perfetto cuts that off, chrome://tracing sees which of two slices is meant."""


@dataclass(frozen=True)
class Window:
    """The part of the run to draw: microseconds from *begin* to *end* since the launch."""

    begin: float = 0.0
    end: float = float("inf")


def process_name(core: CoreId, chip: Chip) -> str:
    """The vendor's name of a core; the cores of a second die count on."""
    kind = "cubecore0" if core.kind is CoreKind.AIC else f"veccore{core.sub}"
    return f"core{core.die * chip.cores.aic_per_die.value + core.group}.{kind}"


def trace_text(recording: Recording, cores: Sequence[int] | None = None, window: Window | None = None) -> Iterator[str]:
    """The text of trace.json in parts, of the simulated *cores* with these numbers; of the first group by default."""
    return Trace(recording, first_group(recording) if cores is None else cores, window).text()


def first_group(recording: Recording) -> list[int]:
    """The numbers of the simulated cores of the first group (a cube core and its vector cores) that had work."""
    first = recording.core(0).id
    group = [core for core in recording.cores if (core.id.die, core.id.group) == (first.die, first.group)]
    return [core.number for core in group if len(core)]


def gzipped(parts: Iterable[str]) -> Iterator[bytes]:
    """The text *parts* as the content of a .gz file, without name and date: equal texts give equal files."""
    packer = zlib.compressobj(level=4, wbits=16 + zlib.MAX_WBITS)  # level 6 saves a tenth and takes twice the time
    for part in parts:
        yield packer.compress(part.encode())
    yield packer.flush()


class Trace:
    """The trace of the simulated cores with these numbers, or of what lies at least partly in *window*.

    *arrows* and *counters* say whether it has any. *slices* and *arrows_drawn* count what `text` has given so far.
    """

    def __init__(
        self,
        recording: Recording,
        cores: Sequence[int],
        window: Window | None = None,
        *,
        arrows: bool = True,
        counters: bool = True,
    ) -> None:
        shown = window or Window()
        self.cores = [recording.core(number) for number in cores]
        self._recording = recording
        self._cycle_ns = 1e9 / recording.chip.cycles_per_second
        self._window = 1e3 * shown.begin, 1e3 * shown.end
        self._with_arrows = arrows
        self._with_counters = counters
        self.slices = 0
        self.arrows_drawn = 0

    def text(self) -> Iterator[str]:
        """The text in parts; in all of it, an event is a line."""
        self.slices = self.arrows_drawn = 0
        begin, end = self._window
        run_end = self._recording.cycles * self._cycle_ns
        throughput = Throughput(begin, min(end, run_end), self._cycle_ns) if self._with_counters else None
        about: dict[str, str | float] = {
            "schema": SCHEMA,
            "program": self._recording.program,
            "chip": self._recording.chip.name,
        }
        about |= {} if throughput is None else {"counter_bin_us": throughput.bin_us}
        yield f'{{"displayTimeUnit":"ns","otherData":{_json(about)},"traceEvents":['
        separator = "\n"
        for part in self._events(throughput):
            yield separator + part
            separator = ",\n"
        yield "\n]}\n"

    def _events(self, throughput: Throughput | None) -> Iterator[str]:
        recording, chip = self._recording, self._recording.chip
        slices = SliceText(OperandText(recording.tensors))
        drawn: dict[int, Placed] = {}
        arrows: list[NDArray[np.int64]] = []
        yield from _names([core.id for core in self.cores], chip)
        for core in self.cores:
            ends = np.array([*arrows_to(recording, core)], dtype=np.int64).reshape(-1, 4)
            own = ends[ends[:, 0] == core.number]
            at = drawn[core.number] = placed(core, own[:, [1, 3]], self._cycle_ns, *self._window)
            arrows.append(ends)
            self.slices += int(np.count_nonzero(at.shown))
            yield from slices.of(core, process_name(core.id, chip), at)
            if throughput is not None:
                throughput.add(core)
        if self._with_arrows:
            # After all slices: viewers bind an event to the slice before it in the file.
            for ends in arrows:
                yield from self._arrows(ends, drawn)
        if throughput is not None:
            yield from throughput.events()

    def _arrows(self, ends: NDArray[np.int64], drawn: dict[int, Placed]) -> Iterator[str]:
        """Two events for each arrow: within the set_flag, and within the last nanosecond of the wait."""
        cores = {core.number: core for core in self.cores}
        names = {number: process_name(core.id, self._recording.chip) for number, core in cores.items()}
        for source, setter, target, wait in ends.tolist():
            start, over = drawn.get(source), drawn[target]
            if start is None or not (start.shown[setter] and over.shown[wait]):
                continue
            self.arrows_drawn += 1
            lanes = [LANES[PIPES[cores[number].pipes[index]]] for number, index in ((source, setter), (target, wait))]
            times = (int(start.begins[setter]) + _WITHIN, int(over.ends[wait]) - 1 + _WITHIN)
            yield ",\n".join(
                f'{{"ph":"{phase}","name":"flow","cat":"{"To".join(lanes)}","id":{self.arrows_drawn},'
                f'"pid":"{names[number]}","tid":"{lane}","ts":{time / 1e3}}}'
                for phase, number, lane, time in zip("st", (source, target), lanes, times, strict=True)
            )


def _names(cores: Sequence[CoreId], chip: Chip) -> Iterator[str]:
    """Names and order of the processes and their lanes: lane by lane, the order in which Perfetto shows them."""
    names = [process_name(core, chip) for core in cores]
    for core, name in zip(cores, names, strict=True):
        group = core.die * chip.cores.aic_per_die.value + core.group
        within = 1 if core.kind is CoreKind.AIC else 2 + core.sub
        order = group * (1 + chip.cores.aiv_per_aic.value) + within
        yield _json({"ph": "M", "name": "process_name", "pid": name, "args": {"name": name}})
        yield _json({"ph": "M", "name": "process_sort_index", "pid": name, "args": {"sort_index": order}})
    for pipe, lane in LANES.items():
        for core, name in zip(cores, names, strict=True):
            if pipe in PIPES_OF[core.kind]:
                where = {"pid": name, "tid": lane}
                yield _json({"ph": "M", "name": "thread_name", **where, "args": {"name": lane}})
                yield _json({"ph": "M", "name": "thread_sort_index", **where, "args": {"sort_index": LANE_ORDER[pipe]}})


def _json(event: dict[str, Any]) -> str:
    return json.dumps(event, separators=(",", ":"))
