"""The critical path: the chain of instructions that the kernel's end had to wait for.

The walk begins at the instruction whose result came last and asks of each instruction what decided when it started:
the flag it waited for, the instruction before it on its pipe, the scalar unit that dispatched it, or the full queue
that held the scalar unit up. Every cycle between launch and end belongs to exactly one step, so the cycles add up to
the kernel's. Where two causes ended in the same cycle, a flag goes before the pipe and the pipe before the dispatch.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from ascend_sim.errors import InternalError
from ascend_sim.isa.words import Pipe
from ascend_sim.observe.facts import BARRIER, CROSS_SET, CROSS_WAIT, MOVE, PIPES, RUN, SET, WAIT
from ascend_sim.observe.timeline import METRIC_NAMES, CoreTimeline, Recording, metric_name

CROSS_CORE, LAUNCH = "cross_core", "launch"
_SCALAR = PIPES.index(Pipe.S)


@dataclass(frozen=True)
class CriticalPath:
    """Cycles of the path by what they were spent on: a pipe ("aic_cube" ...), "cross_core" or "launch".

    *by_stage* has the same cycles by that and by the stage of the instruction that was waited for. It is "" where no
    stage can be named: on the way between cores, and before the first instruction.
    """

    cycles: dict[str, int]
    by_stage: dict[tuple[str, str], int]

    @property
    def total(self) -> int:
        """All cycles of the path, which are those of the kernel."""
        return sum(self.cycles.values())

    @property
    def ranking(self) -> list[tuple[str, int]]:
        """What the path consists of, the largest part first."""
        return sorted(((k, v) for k, v in self.cycles.items() if v), key=lambda part: (-part[1], part[0]))

    @property
    def stage_ranking(self) -> list[tuple[str, str, int]]:
        """What the path consists of by pipe and stage, the largest part first."""
        parts = ((name, stage, cycles) for (name, stage), cycles in self.by_stage.items())
        return sorted(parts, key=lambda part: (-part[2], part[:2]))

    def to_json(self) -> list[dict[str, str | float | int]]:
        """The ranking with shares of the whole, for result.json."""
        return [
            {"pipe": name, "share": cycles / self.total, "cycles": cycles} for name, cycles in self.ranking
        ]


def critical_path(timelines: Recording) -> CriticalPath:
    """Walk back from the last result of the schedule to cycle 0."""
    return Walk(timelines).run()


class Core:
    """A core's arrays as views whose items are Python integers, which are quick to read one by one."""

    def __init__(self, timeline: CoreTimeline) -> None:
        self.timeline = timeline
        self.dispatched = timeline.dispatched.data
        self.starts = timeline.starts.data
        self.ends = timeline.ends.data
        self.frees = timeline.frees.data
        self.heads = timeline.heads.data
        self.kinds = timeline.kinds.data
        self.pipes = timeline.pipes.data
        self.previous = timeline.previous.data
        self.links = timeline.links
        self.finishers = timeline.finishers
        self.stages = timeline.stage_of_each.data
        self.stage_names = timeline.stages
        self.names = [metric_name(timeline.kind, pipe) for pipe in PIPES]
        self._positions: dict[int, memoryview] = {}

    def left_queue(self, index: int, depth: int) -> int:
        """The instruction that had to leave the queue for instruction *index* to enter it."""
        pipe = self.pipes[index]
        positions = self._positions.get(pipe)
        if positions is None:
            positions = self._positions[pipe] = self.timeline.positions(PIPES[pipe]).data
        return positions[bisect_left(positions, index) - depth]

    def visible_at(self, index: int, time: int) -> int:
        """The instruction before *index* on its pipe whose result became visible at *time*."""
        before = self.previous[index]
        while before >= 0 and self.ends[before] != time:
            before = self.previous[before]
        return before

    def settled_at(self, index: int, time: int) -> int:
        """The instruction before *index*, on any pipe, that was over at *time*."""
        high, width = index, 64
        while high > 0:
            low = max(high - width, 0)
            over = (self.timeline.ends[low:high] == time) | (self.timeline.frees[low:high] == time)
            found = np.flatnonzero(over)
            if found.size:
                return low + int(found[-1])
            high, width = low, 4 * width
        return -1


class Walk:
    """The walk stands on one core; all cycles after *time* are explained."""

    def __init__(self, timelines: Recording) -> None:
        chip = timelines.chip
        self._timelines = timelines
        self._issue = chip.scalar.issue_cycles.value
        self._set_flag = chip.sync.set_flag_cycles.value
        self._cross_latency = chip.sync.cross_core_latency_cycles.value
        self._depth = chip.scalar.queue_depth.value
        self._spent: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._stage = ""
        self._cores: dict[int, Core] = {}
        self._time = timelines.cycles

    def run(self) -> CriticalPath:
        """Follow the path to its beginning."""
        cores = self._timelines
        # A core without instructions may be launched when all others have ended: the kernel does not wait for it.
        working = [number for number in range(len(cores)) if len(cores.core(number))]
        last = max(working, key=lambda number: (cores.core(number).totals.end, -number), default=None)
        if last is not None:
            self._core = self._open(last)
            index = int(self._core.timeline.ends.argmax())
            # The scalar unit may end after the last result: it spends a cycle on an instruction that takes none.
            self._stage = self._core.stage_names[self._core.stages[-1]]
            self._spend(_SCALAR, self._core.ends[index])
            while index >= 0:
                index = self._cause(index)
        if self._time:
            self._spent[LAUNCH, ""] += self._time
        cycles = dict.fromkeys((*METRIC_NAMES, CROSS_CORE, LAUNCH), 0)
        for (name, _), spent in self._spent.items():
            cycles[name] += spent
        return CriticalPath(cycles, dict(self._spent))

    def _open(self, number: int) -> Core:
        core = self._cores.get(number)
        if core is None:
            core = self._cores[number] = Core(self._timelines.core(number))
        return core

    def _spend(self, pipe: int, since: int) -> None:
        """Put the cycles from *since* on down to the account of *pipe* of this core."""
        self._account(self._core.names[pipe], since)

    def _account(self, name: str, since: int) -> None:
        if since >= self._time:
            if since == self._time:
                return
            raise InternalError(f"critical path: {name} lasts until cycle {since}, but {self._time} is explained")
        self._spent[name, self._stage] += self._time - since
        self._time = since

    def _follow(self, index: int) -> int:
        """Go over to the instruction that held *index* up, wherever it ran."""
        number, setter = self._core.links[index]
        self._core = self._open(number)
        return setter

    def _cause(self, index: int) -> int:
        """Explain why instruction *index* was not over before; return the one to explain next, -1 at the launch."""
        core = self._core
        kind, pipe = core.kinds[index], core.pipes[index]
        self._stage = core.stage_names[core.stages[index]]
        # A scalar instruction whose issue took as long as all that it waited for was held up by nothing.
        held_up = pipe != _SCALAR or core.ends[index] > core.starts[index] + self._issue
        if kind in (WAIT, CROSS_WAIT) and index in core.links and held_up:
            return self._flag(index, kind, pipe)
        if pipe == _SCALAR:
            if kind == BARRIER and held_up:
                return self._known(core.settled_at(index, self._time), index)
            self._spend(pipe, core.starts[index])
            return self._dispatch(index)
        if kind == MOVE and index in core.finishers and self._time > core.starts[index]:
            finisher = core.finishers[index]
            if core.frees[index] == core.ends[finisher] + core.heads[index]:
                self._spend(pipe, core.ends[finisher])
                return finisher
        if kind == BARRIER and self._time > core.starts[index]:
            return self._known(core.visible_at(index, self._time), index)
        start = core.starts[index]
        self._spend(pipe, start)
        if kind in (RUN, MOVE) and index in core.links:
            return self._follow(index)
        before = core.previous[index]
        if before >= 0 and core.frees[before] == start:
            return before
        if kind in (SET, CROSS_SET) and core.dispatched[index] != start:
            return self._known(core.visible_at(index, start), index)
        return self._dispatch(index)

    def _flag(self, index: int, kind: int, pipe: int) -> int:
        """A wait that was held up: what it cost itself, then (between cores) the time that the signal travelled."""
        waiting = self._core.names[pipe]
        setter = self._follow(index)
        raised = self._core.starts[setter] + self._set_flag
        if kind == CROSS_WAIT:
            self._account(waiting, raised + self._cross_latency)
            waiting, self._stage = CROSS_CORE, ""
        self._account(waiting, raised)
        return setter

    def _dispatch(self, index: int) -> int:
        """Follow the scalar unit back from the dispatch of *index* to where it was held up, -1 at its first cycle."""
        core = self._core
        dispatched, pipes, issue = core.dispatched, core.pipes, self._issue
        while index > 0:
            before = index - 1
            scalar = pipes[before] == _SCALAR
            ready = core.ends[before] if scalar else dispatched[before] + issue
            if ready != self._time:
                return self._queue_full(index)
            if scalar:
                return before
            self._stage = core.stage_names[core.stages[before]]
            self._spend(_SCALAR, dispatched[before])
            index = before
        return -1

    def _queue_full(self, index: int) -> int:
        """The queue had room when an earlier instruction started (or, for a wait_flag, was over)."""
        core = self._core
        leaving = core.left_queue(index, self._depth)
        left = -1
        if leaving >= 0:
            left = core.ends[leaving] if core.kinds[leaving] == WAIT else core.starts[leaving]
        return self._known(leaving if left == self._time else -1, index)

    def _known(self, cause: int, index: int) -> int:
        if cause < 0:
            core = self._core.timeline.id
            raise InternalError(f"critical path: nothing explains cycle {self._time} of instruction {index} on {core}")
        return cause
