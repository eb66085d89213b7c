"""Where the time of every pipe went: each cycle of the kernel is work of the pipe or a wait with a name.

A pipe carries out its instructions one after the other. Between letting go of one and of the next it first has nothing
to do until the scalar unit issues the next one, then may have to wait for results or for a tile, then works or stands
in a flag. The first part is explained by what the scalar unit did meanwhile, cycle by cycle; the others by the
instruction itself. So the cycles of a pipe add up to those of the kernel, exactly. `docs/explain/stalls.md` says what
each part means on the chip.

What sharing L2 and HBM cost a move, and how long a FIXPIPE under unit_flag waited for its MMADs once it had begun, is
known only of runs with somebody who listened (`Recording.limited`). Where it is None these cycles count as busy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from ascend_sim.config import Chip
from ascend_sim.isa.words import PIPES_OF, CoreKind, Pipe
from ascend_sim.observe.facts import BARRIER, CROSS_SET, CROSS_WAIT, MOVE, NUMBER, PIPES, RUN, SET, WAIT
from ascend_sim.observe.timeline import LANES, CoreTimeline, MoveLimits, Recording

Cycles = NDArray[np.int64]
Codes = NDArray[np.uint8]


class Kind(Enum):
    """What a cycle of a pipe can be: work, or a wait of some kind."""

    BUSY = "busy"
    DATA = "data"
    BUFFER = "buffer"
    CORE = "core"
    L2 = "l2"
    HBM = "hbm"
    QUEUE = "queue"
    ISSUE = "issue"
    RESULTS = "results"
    FLAGS = "flags"
    LAUNCH = "launch"
    DONE = "done"


_TEXTS = {
    Kind.BUSY: "busy", Kind.DATA: "data from {}", Kind.BUFFER: "buffer from {}", Kind.CORE: "flag from {} cores",
    Kind.L2: "L2 bandwidth", Kind.HBM: "HBM bandwidth", Kind.QUEUE: "{} queue full", Kind.ISSUE: "issue",
    Kind.FLAGS: "flags", Kind.LAUNCH: "launch", Kind.DONE: "done",
}  # fmt: skip
_KINDS = tuple(Kind)
_CORE_KINDS = tuple(CoreKind)
_CORES = {CoreKind.AIC: "cube", CoreKind.AIV: "vector"}
_OTHERS = len(PIPES)
"""A category is coded as the number of its kind times this, plus the number of the pipe or kind of core behind it."""
_CODES = len(_KINDS) * _OTHERS


@dataclass(frozen=True)
class Category:
    """What a cycle was: its *kind*, and the *other* pipe or kind of core that is behind it, if there is one.

    That is the pipe whose data, buffer, full queue or results were waited for; None for the pipe's own results.
    """

    kind: Kind
    other: Pipe | CoreKind | None = None

    def __str__(self) -> str:
        if self.kind is Kind.RESULTS:
            return "own results" if self.other is None else f"results of {self.name_of_other}"
        return _TEXTS[self.kind].format(self.name_of_other)

    @property
    def name_of_other(self) -> str | None:
        """The vendor's lane of the other pipe, such as "MTE2"; "cube" or "vector" for cores."""
        return _CORES[self.other] if isinstance(self.other, CoreKind) else LANES[self.other] if self.other else None

    @property
    def is_wait(self) -> bool:
        """Whether the pipe had something to do, now or later, and did not do it."""
        return self.kind not in (Kind.BUSY, Kind.LAUNCH, Kind.DONE)


BUSY, LAUNCH, DONE = Category(Kind.BUSY), Category(Kind.LAUNCH), Category(Kind.DONE)


@dataclass(frozen=True)
class PipeStalls:
    """The *cycles* of a pipe by category, the largest part first, without empty ones; their sum is the kernel's time.

    *by_stage* has the same cycles by the stage of the instruction that worked or waited; launch and end have none.
    """

    cycles: dict[Category, int]
    by_stage: dict[str, dict[Category, int]]

    @property
    def waits(self) -> dict[Category, int]:
        """The cycles of all waits between launch and end, the largest first."""
        return {category: cycles for category, cycles in self.cycles.items() if category.is_wait}


@dataclass(frozen=True)
class Stalls:
    """The pipes of one core, or of several of one *kind* with their cycles added up.

    *cycles* is the time of the kernel, so each pipe has *cores* x *cycles* of them. *between* has the cycles for
    which the scalar units stood in cross-core flags, by the stage that waited and the stage that set the flag.
    """

    kind: CoreKind
    cores: int
    cycles: int
    pipes: dict[Pipe, PipeStalls]
    between: dict[tuple[str, str], int]

    def share(self, cycles: int) -> float:
        """*cycles* as a share of all cycles of a pipe, 0 to 1."""
        whole = self.cores * self.cycles
        return cycles / whole if whole else 0.0


def core_stalls(recording: Recording, number: int) -> Stalls:
    """The pipes of the simulated core with *number*."""
    core = recording.core(number)
    limits = None if recording.limited is None else recording.limited[number]
    pipes = _Core(core, recording.chip, limits, recording.cycles).pipes()
    return Stalls(core.kind, 1, recording.cycles, pipes, _between(recording, core))


def kind_stalls(recording: Recording, kind: CoreKind) -> Stalls | None:
    """The pipes of all cores of *kind* that had work, a lumped core once for each of its members; None if none had."""
    cores = [core for core in recording.cores if core.kind is kind and core.worked]
    if not cores:
        return None
    weights = [len(core.members) for core in cores]
    parts = [core_stalls(recording, core.number) for core in cores]
    pipes = {pipe: _added([part.pipes[pipe] for part in parts], weights) for pipe in PIPES_OF[kind]}
    between: Counter[tuple[str, str]] = Counter()
    for part, weight in zip(parts, weights, strict=True):
        between.update({stages: cycles * weight for stages, cycles in part.between.items()})
    return Stalls(kind, sum(weights), recording.cycles, pipes, dict(between.most_common()))


def _added(parts: Iterable[PipeStalls], weights: Iterable[int]) -> PipeStalls:
    cycles: Counter[Category] = Counter()
    stages: dict[str, Counter[Category]] = {}
    for part, weight in zip(parts, weights, strict=True):
        cycles.update({category: weight * count for category, count in part.cycles.items()})
        for stage, counts in part.by_stage.items():
            stages.setdefault(stage, Counter()).update({one: weight * count for one, count in counts.items()})
    return PipeStalls(_sorted(cycles), {stage: _sorted(counts) for stage, counts in stages.items()})


def _sorted(cycles: dict[Category, int]) -> dict[Category, int]:
    parts = ((category, count) for category, count in cycles.items() if count)
    return dict(sorted(parts, key=lambda part: (-part[1], str(part[0]))))


def _between(recording: Recording, core: CoreTimeline) -> dict[tuple[str, str], int]:
    """Cycles in which *core* stood in cross-core flags, by the stage that waited and the one that set the flag."""
    issue = recording.chip.scalar.issue_cycles.value
    waited = core.ends - core.starts - issue
    found: Counter[tuple[str, str]] = Counter()
    for index in np.flatnonzero((core.kinds == CROSS_WAIT) & (waited > 0)).tolist():
        number, setter = core.links[index]
        other = recording.core(number)
        found[core.stage(index), other.stage(setter)] += int(waited[index])
    return dict(found.most_common())


class _Ledger:
    """Cycles of one pipe, by stage of an instruction and code of a category."""

    def __init__(self, core: CoreTimeline) -> None:
        self._stages, self._names = core.stage_of_each, core.stages
        self._cycles = np.zeros((len(self._names), _CODES), dtype=np.int64)

    def add(self, indices: Cycles, code: int | Codes, cycles: Cycles) -> None:
        """Put down *cycles* of the instructions with *indices* for *code*, one for all or one for each."""
        keys = self._stages[indices].astype(np.int64) * _CODES + code
        # Sums of whole numbers below 2**53 are exact in float64, which is what bincount adds up.
        sums = np.bincount(keys, weights=cycles, minlength=self._cycles.size)
        self._cycles += sums.astype(np.int64).reshape(self._cycles.shape)

    def close(self, pipe: Pipe, launch: int, done: int) -> PipeStalls:
        """The account of *pipe*, with the cycles before the first and after the last instruction."""
        stages = {
            name: _sorted({_category(code, pipe): int(row[code]) for code in np.flatnonzero(row).tolist()})
            for name, row in zip(self._names, self._cycles, strict=True)
            if row.any()
        }
        cycles = Counter({LAUNCH: launch, DONE: done})
        for counts in stages.values():
            cycles.update(counts)
        return PipeStalls(_sorted(cycles), stages)


def _code(kind: Kind, other: int = 0) -> int:
    return _KINDS.index(kind) * _OTHERS + other


def _category(code: int, pipe: Pipe) -> Category:
    """The category of *code* as *pipe* sees it."""
    kind, other = _KINDS[code // _OTHERS], code % _OTHERS
    if kind is Kind.CORE:
        return Category(kind, _CORE_KINDS[other])
    named = kind in (Kind.DATA, Kind.BUFFER, Kind.QUEUE) or (kind is Kind.RESULTS and PIPES[other] is not pipe)
    return Category(kind, PIPES[other] if named else None)


class _Core:
    """One core, explained pipe by pipe, over the *cycles* of the kernel."""

    def __init__(self, core: CoreTimeline, chip: Chip, limits: MoveLimits | None, cycles: int) -> None:
        self._core, self._limits, self._cycles = core, limits, cycles
        self._wait_flag = chip.sync.wait_flag_cycles.value
        # A core without instructions ends with its launch, which may come after the end of the kernel.
        self._launch = int(core.dispatched[0]) if len(core) else min(core.totals.end, cycles)
        self._scalar = _ScalarUnit(core, chip, self._launch)

    def pipes(self) -> dict[Pipe, PipeStalls]:
        """The account of each pipe."""
        found = {}
        for pipe in PIPES_OF[self._core.kind]:
            ledger = _Ledger(self._core)
            end = self._scalar.account(ledger) if pipe is Pipe.S else self._account(pipe, ledger)
            found[pipe] = ledger.close(pipe, self._launch, self._cycles - end)
        return found

    def _account(self, pipe: Pipe, ledger: _Ledger) -> int:
        """Put down everything from the first dispatch until *pipe* has nothing left to do; return that cycle.

        A wait_flag behind its last work, set_flag and barrier is waited for by nobody: it only leaves no flag raised. A
        barrier that finds all results visible does nothing.
        """
        core = self._core
        indices = core.positions(pipe)
        idle_barrier = (core.kinds[indices] == BARRIER) & (core.frees[indices] == core.starts[indices])
        lasting = np.flatnonzero((core.kinds[indices] != WAIT) & ~idle_barrier)
        if not lasting.size:
            return self._launch
        indices = indices[: lasting[-1] + 1]
        dispatched, starts, frees = core.dispatched[indices], core.starts[indices], core.frees[indices]
        free = np.concatenate([[self._launch], frees[:-1]])
        idle = np.flatnonzero(dispatched > free)
        self._scalar.explain(ledger, indices[idle], free[idle], dispatched[idle])
        number = NUMBER[pipe]
        late, held = starts - np.maximum(free, dispatched), frees - starts
        kinds = core.kinds[indices]
        for kind, waits_for in (
            (RUN, _code(Kind.BUFFER, NUMBER[Pipe.FIX])),  # a tile that is not drained yet
            (MOVE, _code(Kind.DATA, NUMBER[Pipe.M])),  # a tile that is not begun yet
            (SET, _code(Kind.RESULTS, number)),
            (CROSS_SET, _code(Kind.RESULTS, number)),
        ):
            chosen = kinds == kind
            ledger.add(indices[chosen], waits_for, late[chosen])
            busy = kind in (RUN, MOVE)
            ledger.add(indices[chosen], _code(Kind.BUSY if busy else Kind.FLAGS), held[chosen])
        chosen = kinds == BARRIER
        ledger.add(indices[chosen], _code(Kind.RESULTS, number), held[chosen])
        chosen = kinds == WAIT
        self._flags(ledger, number, indices[chosen], held[chosen])
        self._lost(ledger, number)
        return int(frees[-1])

    def _flags(self, ledger: _Ledger, number: int, waits: Cycles, held: Cycles) -> None:
        """A wait_flag costs some cycles itself, and what it lasts longer is waiting for the pipe that sets the flag."""
        sources = self._core.peers[waits]
        kinds = np.where(sources < number, _code(Kind.DATA), _code(Kind.BUFFER))  # PIPES is in the order of data
        own = np.minimum(held, self._wait_flag)
        ledger.add(waits, _code(Kind.FLAGS), own)
        ledger.add(waits, (kinds + sources).astype(np.uint8), held - own)

    def _lost(self, ledger: _Ledger, number: int) -> None:
        """Take what the moves of the pipe have lost to others out of its work."""
        if self._limits is None:
            return
        limits = self._limits
        own = self._core.pipes[limits.index] == number
        indices = limits.index[own]
        tile = _code(Kind.DATA, NUMBER[Pipe.M])
        for code, lost in ((_code(Kind.L2), limits.l2), (_code(Kind.HBM), limits.hbm), (tile, limits.tile)):
            ledger.add(indices, code, lost[own])
            ledger.add(indices, _code(Kind.BUSY), -lost[own])


class _ScalarUnit:
    """What the scalar unit of a core did in each cycle, from its first dispatch to its last: spans without gaps.

    A span has its *begins*, the code of what was done, and the instruction that it was done for. The first dispatch
    is at *launch*.
    """

    def __init__(self, core: CoreTimeline, chip: Chip, launch: int) -> None:
        self._core = core
        issue = chip.scalar.issue_cycles.value
        dispatched, scalar = core.dispatched, core.pipes == NUMBER[Pipe.S]
        ready = np.where(scalar, core.ends, dispatched + issue)
        before = np.concatenate([dispatched[:1], ready[:-1]])
        beyond = ready - dispatched - issue
        cost = np.zeros(len(core), dtype=np.int64)
        cost[core.kinds == SET] = chip.sync.set_flag_cycles.value
        cost[core.kinds == WAIT] = chip.sync.wait_flag_cycles.value
        flags = np.minimum(beyond, cost)
        # Each instruction: waits for a queue, is issued, waits for what it synchronises with, and pays for its flag.
        lengths = np.stack([dispatched - before, np.full_like(beyond, issue), beyond - flags, flags], axis=1)
        codes = np.empty(lengths.shape, dtype=np.uint8)
        codes[:, 0] = _code(Kind.QUEUE) + core.pipes
        codes[:, 1] = _code(Kind.ISSUE)
        codes[:, 2] = self._waits(np.flatnonzero(scalar & (beyond > flags)))
        codes[:, 3] = _code(Kind.FLAGS)
        indices, columns = np.nonzero(lengths)
        self._lengths: Cycles = lengths[indices, columns]
        self._codes: Codes = codes[indices, columns]
        self._indices: Cycles = indices
        self._begins: Cycles = launch + np.cumsum(self._lengths) - self._lengths
        self._end = launch + int(self._lengths.sum())

    def _waits(self, indices: Cycles) -> Codes:
        """For each instruction what its wait was for, if it is one of the *indices*."""
        core = self._core
        codes = np.zeros(len(core), dtype=np.uint8)
        kinds, peers = core.kinds[indices], core.peers[indices]
        # Mode 2 joins cube and vector cores, the other modes join cores of one kind.
        own = _CORE_KINDS.index(core.kind)
        between = _code(Kind.CORE) + np.where(peers == 2, 1 - own, own)
        results = _code(Kind.RESULTS) + np.where(kinds == WAIT, peers, 0)
        codes[indices] = np.where(kinds == CROSS_WAIT, between, results)
        barriers = indices[kinds == BARRIER]
        codes[barriers] = _code(Kind.RESULTS) + self._last(barriers)
        return codes

    def _last(self, barriers: Cycles) -> Codes:
        """For each pipe_barrier(ALL) the number of the pipe whose results came last."""
        core = self._core
        over = np.full((len(PIPES), barriers.size), -1, dtype=np.int64)
        for pipe in PIPES_OF[core.kind]:
            positions = core.positions(pipe)
            if pipe is not Pipe.S and positions.size:
                latest = np.maximum.accumulate(np.maximum(core.ends[positions], core.frees[positions]))
                done = np.searchsorted(positions, barriers) - 1
                over[NUMBER[pipe]] = np.where(done >= 0, latest[done], -1)
        last: Codes = over.argmax(axis=0).astype(np.uint8)
        return last

    def account(self, ledger: _Ledger) -> int:
        """Put down what the scalar unit did, for its own sake; return when it was done with its last instruction."""
        codes = np.where(self._codes == _code(Kind.ISSUE), _code(Kind.BUSY), self._codes)
        ledger.add(self._indices, codes.astype(np.uint8), self._lengths)
        return self._end

    def explain(self, ledger: _Ledger, indices: Cycles, begins: Cycles, ends: Cycles) -> None:
        """Put down for each of the instructions with *indices* what the scalar unit did from *begins* to *ends*."""
        if not indices.size:
            return
        first, last = (np.searchsorted(self._begins, times, side="right") - 1 for times in (begins, ends))
        into, out_of = begins - self._begins[first], ends - self._begins[last]
        for code in np.unique(self._codes).tolist():
            doing = self._codes == code
            until = np.concatenate([[0], np.cumsum(np.where(doing, self._lengths, 0))])
            cycles = until[last] + np.where(doing[last], out_of, 0) - until[first] - np.where(doing[first], into, 0)
            ledger.add(indices, code, cycles)
