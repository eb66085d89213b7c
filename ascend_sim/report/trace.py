"""trace.json: the schedule in Chrome's trace format, with the lanes and colours of the vendor's msopprof.

Open it in Perfetto (ui.perfetto.dev), chrome://tracing or MindStudio Insight. One process for each core
("core0.cubecore0"), one lane for each pipe; times in microseconds at the chip's clock. An instruction is drawn while
it holds its pipe, a wait_flag while it blocks it. Arrows lead from a set_flag to the wait_flag that it releases.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from ascend_sim.config import Chip
from ascend_sim.isa.instruction import Instruction
from ascend_sim.isa.timing import SetFlag, WaitFlag
from ascend_sim.isa.words import PIPES_OF, CoreKind, Pipe
from ascend_sim.kernel.program import Call, CoreId
from ascend_sim.observe.timeline import CROSS_SET, CROSS_WAIT, PIPES, SET, WAIT, CoreTimeline, Timelines, process_bytes
from ascend_sim.report.operands import OperandText

LANES = {
    Pipe.S: "SCALAR", Pipe.V: "VECTOR", Pipe.M: "CUBE", Pipe.MTE1: "MTE1", Pipe.MTE2: "MTE2", Pipe.MTE3: "MTE3",
    Pipe.FIX: "FIXP",
}  # fmt: skip
"""Vendor names of the pipes, in the vendor's order."""

_COLOURS = {
    Pipe.S: "startup", Pipe.V: "cq_build_failed", Pipe.M: "background_memory_dump", Pipe.MTE1: "thread_state_running",
    Pipe.MTE2: "thread_state_iowait", Pipe.MTE3: "rail_response", Pipe.FIX: "thread_state_unknown",
}  # fmt: skip
_SYNC_COLOURS = {SET: "black", WAIT: "yellow", CROSS_SET: "black", CROSS_WAIT: "yellow"}

_DIGITS = 6
"""Decimals of a time in microseconds: far below a cycle, and short in the file."""

Event = dict[str, Any]
FlagKey = tuple[Pipe, Pipe, int]


@dataclass(frozen=True)
class Window:
    """The part of the run to draw: microseconds from *begin* to *end* since the launch."""

    begin: float = 0.0
    end: float = float("inf")


def trace_events(timelines: Timelines, *, every_core: bool = False, window: Window | None = None) -> Iterator[Event]:
    """The events of trace.json: of the first group of cores, or of *every_core* that was simulated.

    Only instructions that begin and end within *window* are drawn.
    """
    groups = [_group(core.stream.core) for core in timelines.schedule.cores]
    drawn = {
        number: timelines.core(number) for number, group in enumerate(groups) if every_core or group == groups[0]
    }
    shown = window or Window()
    per_us = timelines.chip.cycles_per_second / 1e6
    flows, text = count(1), OperandText(timelines.schedule.program)
    for number in drawn:
        yield from _names(drawn[number].schedule.stream.core, timelines.chip)
        core = _CoreEvents(drawn, number, timelines.chip, flows, text)
        yield from core.events(shown.begin * per_us, shown.end * per_us)


def trace_text(timelines: Timelines, *, every_core: bool = False, window: Window | None = None) -> Iterator[str]:
    """The text of trace.json in parts, one event a line."""
    yield '{"displayTimeUnit":"ns","traceEvents":['
    separator = "\n"
    for event in trace_events(timelines, every_core=every_core, window=window):
        yield separator + json.dumps(event, separators=(",", ":"))
        separator = ",\n"
    yield "\n]}\n"


def process_name(core: CoreId, chip: Chip) -> str:
    """The vendor's name of a core; the cores of a second die count on."""
    kind = "cubecore0" if core.kind is CoreKind.AIC else f"veccore{core.sub}"
    return f"core{core.die * chip.cores.aic_per_die.value + core.group}.{kind}"


def _group(core: CoreId) -> tuple[int, int]:
    return core.die, core.group


def _names(core: CoreId, chip: Chip) -> Iterator[Event]:
    """Names and order of the process and its lanes."""
    pid = process_name(core, chip)
    number = core.die * chip.cores.aic_per_die.value + core.group
    within = 0 if core.kind is CoreKind.AIC else 1 + core.sub
    order = number * (1 + chip.cores.aiv_per_aic.value) + within
    yield {"ph": "M", "name": "process_name", "pid": pid, "args": {"name": pid}}
    yield {"ph": "M", "name": "process_sort_index", "pid": pid, "args": {"sort_index": order}}
    for position, (pipe, lane) in enumerate(LANES.items()):
        if pipe in PIPES_OF[core.kind]:
            yield {"ph": "M", "name": "thread_name", "pid": pid, "tid": lane, "args": {"name": lane}}
            yield {"ph": "M", "name": "thread_sort_index", "pid": pid, "tid": lane, "args": {"sort_index": position}}


class _CoreEvents:
    """The slices of the core with *number* among those *drawn*, and the arrows that end on it."""

    def __init__(
        self, drawn: Mapping[int, CoreTimeline], number: int, chip: Chip, flows: Iterator[int], text: OperandText
    ) -> None:
        self._drawn = drawn
        self._core = drawn[number]
        self._number = number
        self._chip = chip
        self._per_us = chip.cycles_per_second / 1e6
        self._flows = flows
        self._text = text

    def events(self, begin: float, end: float) -> Iterator[Event]:
        """Everything between the cycles *begin* and *end*."""
        core, links = self._core, self._core.schedule.links
        pid = process_name(core.schedule.stream.core, self._chip)
        starts, frees = core.starts.tolist(), core.frees.tolist()
        kinds, pipes = core.kinds.tolist(), core.pipes.tolist()
        raised: dict[FlagKey, deque[int]] = defaultdict(deque)
        waits: list[tuple[int, FlagKey]] = []
        for index, (call, instruction) in enumerate(core.schedule.stream):
            kind, pipe = kinds[index], PIPES[pipes[index]]
            timing = instruction.timing(self._chip) if kind in (SET, WAIT) else None
            if isinstance(timing, SetFlag):
                raised[pipe, timing.destination, timing.flag].append(index)
            elif isinstance(timing, WaitFlag):
                waits.append((index, (timing.source, pipe, timing.flag)))
            if starts[index] < begin or frees[index] > end:
                continue
            yield {
                "ph": "X",
                "name": instruction.mnemonic,
                "cname": _SYNC_COLOURS.get(kind, _COLOURS[pipe]),
                "pid": pid,
                "tid": LANES[pipe],
                "ts": self._us(starts[index]),
                "dur": round(self._us(frees[index]) - self._us(starts[index]), _DIGITS),
                "args": self._detail(instruction, call),
            }
            if kind == CROSS_WAIT and index in links:
                yield from self._arrow(*links[index], index, begin)
        for index, key in waits:
            if starts[index] >= begin and frees[index] <= end:
                yield from self._arrow(self._number, raised[key].popleft(), index, begin)
            else:
                raised[key].popleft()

    def _arrow(self, number: int, setter: int, wait: int, begin: float) -> Iterator[Event]:
        """From the end of *setter* on core *number* to the end of *wait* here, if both are drawn."""
        source = self._drawn.get(number)
        if source is None or source.starts[setter] < begin:
            return
        flow = next(self._flows)
        ends = [(source, setter), (self._core, wait)]
        lanes = [LANES[PIPES[core.pipes[index]]] for core, index in ends]
        for (core, index), lane, phase in zip(ends, lanes, "st", strict=True):
            yield {
                "ph": phase,
                "name": "flow",
                "cat": f"{lanes[0]}To{lanes[1]}",
                "id": flow,
                "pid": process_name(core.schedule.stream.core, self._chip),
                "tid": lane,
                "ts": self._us(int(core.frees[index])),
            }

    def _detail(self, instruction: Instruction, call: Call) -> Event:
        """What a viewer shows of a slice when it is clicked on."""
        return {
            "stage": call.template.name,
            "code": str(instruction.where),
            "detail": self._text.of(instruction, call),
            "process_bytes": process_bytes(instruction, self._chip),
        }

    def _us(self, cycles: int) -> float:
        return round(cycles / self._per_us, _DIGITS)
