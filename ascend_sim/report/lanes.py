"""What each pipe did, as slices in flat arrays: work, flags, and waits with what they were for. Nothing is drawn here.

A lane covers every cycle of its pipe that the schedule explains:

* an instruction that runs or moves bytes works while it holds its pipe;
* a set_flag holds it too, and before that the pipe waits until its own results are visible;
* a wait_flag waits for the pipe that sets the flag, a pipe_barrier for the pipe's own results;
* an MMAD or FIXPIPE under unit_flag may wait for the other one to hand the tile over, before it begins.

The scalar unit works for a few cycles on every instruction of the core, which it issues. In between it waits for other
cores (cross_core_wait_flag), for all pipes (pipe_barrier of PIPE_ALL), or for a place in the queue of a pipe.
What remains is idle: the pipe has been given nothing to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ascend_sim.isa.words import PIPES_OF, Pipe
from ascend_sim.observe.facts import BARRIER, CROSS_SET, CROSS_WAIT, NUMBER, PIPES, SET, WAIT
from ascend_sim.observe.timeline import LANES, CoreTimeline, Recording
from ascend_sim.report.trace import process_name


class Doing(IntEnum):
    """What a pipe does in a slice."""

    WORK = 0
    SET_FLAG = 1
    WAIT_PIPE = 2
    WAIT_CORE = 3
    WAIT_RESULTS = 4
    WAIT_QUEUE = 5
    LAUNCH = 6


WAITS = (Doing.WAIT_PIPE, Doing.WAIT_CORE, Doing.WAIT_RESULTS, Doing.WAIT_QUEUE)
UNKNOWN = -1

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Lane:
    """The slices of *pipe* on *core*, in order of time and without overlaps: cycles from *begins* to *ends*.

    *doings* are members of Doing. *partners* say whom a slice is about, or are UNKNOWN: of WAIT_PIPE and SET_FLAG the
    number of the other pipe, of WAIT_QUEUE that of the pipe whose queue is full, of WAIT_CORE the number of the
    simulated core that set the flag last. *indices* are the instructions.
    """

    core: CoreTimeline
    pipe: Pipe
    begins: Integers
    ends: Integers
    doings: Integers
    partners: Integers
    indices: Integers

    def __len__(self) -> int:
        return int(self.begins.size)

    @property
    def calls(self) -> Integers:
        """The number of the call that each slice belongs to."""
        return self.core.call_of_each[self.indices]

    def only(self, chosen: NDArray[np.bool_]) -> Lane:
        """The *chosen* slices."""
        parts = (self.begins, self.ends, self.doings, self.partners, self.indices)
        return Lane(self.core, self.pipe, *(part[chosen] for part in parts))

    def doing(self, *doings: Doing) -> Lane:
        """The slices of these kinds."""
        return self.only(np.isin(self.doings, doings))

    def within(self, begin: int, end: int) -> Lane:
        """What lies between two cycles, slices cut where they reach beyond."""
        inside = self.only((self.begins < end) & (self.ends > begin))
        begins, ends = np.maximum(inside.begins, begin), np.minimum(inside.ends, end)
        return Lane(self.core, self.pipe, begins, ends, inside.doings, inside.partners, inside.indices)

    def cycles(self, *doings: Doing) -> int:
        """How many cycles the slices of these kinds take."""
        chosen = self.doing(*doings)
        return int((chosen.ends - chosen.begins).sum())


def lanes_of(core: CoreTimeline, issue_cycles: int) -> Iterator[Lane]:
    """A lane for each pipe of *core*, in the vendor's order; an instruction takes *issue_cycles* to issue."""
    for pipe in LANES:
        if pipe in PIPES_OF[core.kind]:
            yield _scalar_lane(core, issue_cycles) if pipe is Pipe.S else pipe_lane(core, pipe)


def _lane(core: CoreTimeline, pipe: Pipe, parts: Sequence[Sequence[Integers]], indices: Integers) -> Lane:
    """Put *parts*, which are (begins, ends, doings, partners) by instruction, one after the other for each."""
    begins, ends, doings, partners = (np.stack(one, axis=1).ravel() for one in zip(*parts, strict=True))
    lane = Lane(core, pipe, begins, ends, doings, partners, np.repeat(indices, len(parts)))
    return lane.only(ends > begins)


def pipe_lane(core: CoreTimeline, pipe: Pipe) -> Lane:
    """The lane of a *pipe* other than the scalar unit."""
    at = core.positions(pipe)
    starts, frees, kinds = core.starts[at], core.frees[at], core.kinds[at]
    free_before = np.concatenate([frees[:1] * 0, frees[:-1]])
    ready = np.maximum(core.dispatched[at], free_before)
    sets = (kinds == SET) | (kinds == CROSS_SET)
    doings = np.select(
        [sets, kinds == WAIT, kinds == BARRIER], [Doing.SET_FLAG, Doing.WAIT_PIPE, Doing.WAIT_RESULTS], Doing.WORK
    )
    partners = np.where((kinds == SET) | (kinds == WAIT), core.peers[at], UNKNOWN).astype(np.int64)
    held = np.where(sets, Doing.WAIT_RESULTS, Doing.WAIT_PIPE)
    holders = np.full(at.size, UNKNOWN)
    for position in np.flatnonzero((starts > ready) & ~sets).tolist():
        link = core.links.get(int(at[position]))
        if link is not None:
            holders[position] = core.pipes[link[1]]
    return _lane(core, pipe, [(ready, starts, held, holders), (starts, frees, doings, partners)], at)


def _scalar_lane(core: CoreTimeline, issue_cycles: int) -> Lane:
    """The scalar unit: what it waits for before each instruction, the issue, and what it waits for in it."""
    count = len(core)
    if not count:
        empty = np.zeros(0, dtype=np.int64)
        return Lane(core, Pipe.S, empty, empty, empty, empty, empty)
    at, kinds, pipes = np.arange(count), core.kinds, core.pipes.astype(np.int64)
    own = pipes == NUMBER[Pipe.S]
    begins = core.dispatched
    issued = begins + issue_cycles
    over = np.where(own, core.ends, issued)
    before = np.concatenate([[0], over[:-1]])
    held, full = np.full(count, Doing.WAIT_QUEUE, dtype=np.int64), pipes.copy()
    held[0], full[0] = Doing.LAUNCH, UNKNOWN
    doings = np.select(
        [kinds == SET, kinds == WAIT, kinds == CROSS_WAIT], [Doing.SET_FLAG, Doing.WAIT_PIPE, Doing.WAIT_CORE],
        Doing.WAIT_RESULTS,
    )  # fmt: skip
    partners = np.where((kinds == SET) | (kinds == WAIT), core.peers, UNKNOWN).astype(np.int64)
    for index in np.flatnonzero(kinds == CROSS_WAIT).tolist():
        partners[index] = core.links.get(index, (UNKNOWN, 0))[0]
    work, nobody = np.full(count, Doing.WORK, dtype=np.int64), np.full(count, UNKNOWN)
    parts = [(before, begins, held, full), (begins, issued, work, nobody), (issued, over, doings, partners)]
    return _lane(core, Pipe.S, parts, at)


@dataclass(frozen=True, eq=False)
class Spans:
    """For each call that works on a pipe, the cycles from its first work there to its last; *calls* has its number."""

    begins: Integers
    ends: Integers
    calls: Integers

    def within(self, begin: int, end: int) -> Spans:
        """What lies between two cycles, spans cut where they reach beyond."""
        inside = (self.begins < end) & (self.ends > begin)
        begins, ends = np.maximum(self.begins[inside], begin), np.minimum(self.ends[inside], end)
        return Spans(begins, ends, self.calls[inside])


def spans_of(lane: Lane) -> Spans:
    """The spans of all calls on *lane*; a pipe works in order, so they do not overlap."""
    work = lane.doing(Doing.WORK)
    calls, first = np.unique(work.calls, return_index=True)
    last = np.concatenate([first[1:], [len(work)]]) - 1
    return Spans(work.begins[first], work.ends[last], calls) if calls.size else Spans(calls, calls, calls)


def cycles_per_column(begins: Integers, ends: Integers, edges: Integers) -> Integers:
    """How many cycles between each two *edges*, ascending, lie in slices that do not overlap: nothing is rounded."""
    if not begins.size:
        return np.zeros(edges.size - 1, dtype=np.int64)
    total = np.concatenate([[0], np.cumsum(ends - begins)])
    begun = np.searchsorted(begins, edges, side="left")
    unfinished = np.maximum(ends[np.maximum(begun, 1) - 1] - edges, 0)
    return np.diff(total[begun] - np.where(begun > 0, unfinished, 0))


def wordings(recording: Recording, lane: Lane, position: int) -> tuple[str, ...]:
    """What to write on the slice at *position* of *lane*, the longest wording first."""
    doing, partner = Doing(int(lane.doings[position])), int(lane.partners[position])
    if doing is Doing.WORK:
        return (lane.core.words(int(lane.indices[position])).mnemonic,) if lane.pipe is not Pipe.S else ()
    if doing is Doing.WAIT_CORE:
        named = [] if partner == UNKNOWN else [f"waits {_called(recording, lane.core, partner)}"]
        return (*named, "waits core", "core")
    if doing is Doing.WAIT_RESULTS:
        return ("waits all pipes", "all pipes") if lane.pipe is Pipe.S else ("waits results", "results")
    if doing is Doing.LAUNCH:
        return ("launch",)
    other_pipe = "" if partner == UNKNOWN else LANES[PIPES[partner]]
    if doing is Doing.WAIT_PIPE:
        return (f"waits {other_pipe}".rstrip(), other_pipe or "waits")
    if doing is Doing.WAIT_QUEUE:
        return (f"{other_pipe} queue full", f"{other_pipe} full")
    return (f"sets {other_pipe or 'core flag'}", "sets")


def _called(recording: Recording, core: CoreTimeline, number: int) -> str:
    """What to call the simulated core with *number* beside *core*: without its group if that is the same."""
    other = recording.core(number).id
    name = process_name(other, recording.chip)
    same = (other.die, other.group) == (core.id.die, core.id.group)
    return name.partition(".")[2] if same else name
