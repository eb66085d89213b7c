"""A schedule as flat arrays: for each instruction of a core what kind it is, and when it held its pipe.

Most analyses ask the same of every instruction, and a stream repeats few templates many times; so the facts are
worked out once for each template and laid end to end for the stream.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ascend_sim.config import Chip, MovePath
from ascend_sim.engine.machine import CoreSchedule, Schedule
from ascend_sim.isa.instruction import Instruction, space_of
from ascend_sim.isa.operands import LocalTensor
from ascend_sim.isa.timing import Barrier, CrossCoreSet, CrossCoreWait, Move, Run, SetFlag, WaitFlag, drained
from ascend_sim.isa.words import PIPES_OF, CoreKind, Pipe, Space
from ascend_sim.kernel.program import Template

Key = TypeVar("Key")
Sum = TypeVar("Sum", int, float)

RUN, MOVE, SET, WAIT, BARRIER, CROSS_SET, CROSS_WAIT = range(7)
_KINDS = {
    Run: RUN, Move: MOVE, SetFlag: SET, WaitFlag: WAIT, Barrier: BARRIER, CrossCoreSet: CROSS_SET,
    CrossCoreWait: CROSS_WAIT,
}  # fmt: skip

PIPES = (Pipe.S, Pipe.MTE2, Pipe.MTE1, Pipe.M, Pipe.V, Pipe.MTE3, Pipe.FIX)
_NUMBER = {pipe: number for number, pipe in enumerate(PIPES)}
_LABELS = {
    Pipe.S: "scalar", Pipe.MTE2: "mte2", Pipe.MTE1: "mte1", Pipe.M: "cube", Pipe.V: "vec", Pipe.MTE3: "mte3",
    Pipe.FIX: "fixpipe",
}  # fmt: skip

Path = tuple[Space, Space]
"""Memory spaces that a move connects, source first."""


def metric_name(kind: CoreKind, pipe: Pipe) -> str:
    """The vendor profiler's name of a pipe: "aic_cube", "aiv_mte2" ..."""
    return f"{kind.value}_{_LABELS[pipe]}"


METRIC_NAMES = tuple(metric_name(kind, pipe) for kind, pipes in PIPES_OF.items() for pipe in pipes)
"""All pipes of both kinds of cores."""


@dataclass(frozen=True, eq=False)
class TemplateFacts:
    """Per instruction of a template: kind, pipe number, and what its timing says.

    *hold* is the occupancy of a RUN, *latency* what a MOVE takes after it has left its pipe, *head* its head cycles,
    *tile* the L0C address of a unit_flag handshake (-1 without), *release* whether the tile is handed on.
    *moved* counts the bytes on each path, *issued* the instructions of each pipe, *moves* those that move to or from
    global memory, *heads* their head cycles, *flows* the cycles that their bytes would flow if nothing else moved.
    """

    kinds: NDArray[np.int8]
    pipes: NDArray[np.int8]
    hold: NDArray[np.int64]
    latency: NDArray[np.int64]
    head: NDArray[np.int64]
    tile: NDArray[np.int64]
    release: NDArray[np.bool_]
    moved: dict[Path, int]
    issued: dict[Pipe, int]
    moves: dict[Pipe, int]
    heads: dict[Pipe, int]
    flows: dict[Pipe, float]


def process_bytes(instruction: Instruction, chip: Chip) -> int:
    """Bytes that a moving instruction carries, whole fractals in L0; 0 for one that computes or synchronises."""
    timing = instruction.timing(chip)
    if isinstance(timing, Move):
        return timing.access.bytes
    if instruction.pipe is Pipe.MTE1:
        return sum(one.tile_bytes for one in instruction.destinations() if isinstance(one, LocalTensor))
    return 0


def template_facts(template: Template, chip: Chip) -> TemplateFacts:
    """Ask every instruction of *template* what it costs on *chip*."""
    rows: list[tuple[int, ...]] = []
    moved: dict[Path, int] = {}
    issued: dict[Pipe, int] = {}
    moves: dict[Pipe, int] = {}
    heads: dict[Pipe, int] = {}
    flows: dict[Pipe, float] = {}
    instructions = template.instructions
    timings = drained([(instruction.pipe, instruction.timing(chip)) for instruction in instructions])
    for instruction, timing in zip(instructions, timings, strict=True):
        pipe = instruction.pipe
        hold = timing.occupancy if isinstance(timing, Run) else 0
        latency, head = 0, 0
        if isinstance(timing, Move):
            latency, head = timing.latency, timing.head
            moves[pipe] = moves.get(pipe, 0) + 1
            heads[pipe] = heads.get(pipe, 0) + head
            flows[pipe] = flows.get(pipe, 0.0) + timing.flow_cycles(0)
        flag = timing.unit_flag if isinstance(timing, Run | Move) else None
        tile, release = (-1, False) if flag is None else (flag.slot, flag.release)
        rows.append((_KINDS[type(timing)], _NUMBER[pipe], hold, latency, head, tile, release))
        issued[pipe] = issued.get(pipe, 0) + 1
        size = process_bytes(instruction, chip)
        if size:
            path = space_of(instruction.sources()[0]), space_of(instruction.destinations()[0])
            moved[path] = moved.get(path, 0) + size
    columns = np.array(rows, dtype=np.int64).reshape(-1, 7).T
    return TemplateFacts(
        kinds=columns[0].astype(np.int8),
        pipes=columns[1].astype(np.int8),
        hold=columns[2],
        latency=columns[3],
        head=columns[4],
        tile=columns[5],
        release=columns[6].astype(np.bool_),
        moved=moved,
        issued=issued,
        moves=moves,
        heads=heads,
        flows=flows,
    )


def path_of(chip: Chip, path: Path) -> MovePath:
    """The figures of the data path between two memory spaces; for GM to L1, of moves that leave the order as it is."""
    paths = chip.paths
    return {
        (Space.GM, Space.L1): paths.gm_to_l1,
        (Space.GM, Space.L0A): paths.gm_to_l0a,
        (Space.GM, Space.L0B): paths.gm_to_l0b,
        (Space.GM, Space.UB): paths.gm_to_ub,
        (Space.UB, Space.GM): paths.ub_to_gm,
        (Space.L0C, Space.GM): paths.l0c_to_gm,
        (Space.L1, Space.L0A): paths.l1_to_l0a,
        (Space.L1, Space.L0B): paths.l1_to_l0b,
        (Space.UB, Space.UB): paths.ub_to_ub,
    }[path]


class CoreTimeline:
    """One simulated core: arrays by program order, and the sums over its stream.

    *frees* is when an instruction let go of its pipe, which for RUN and MOVE may be before its result is visible.
    """

    def __init__(self, schedule: CoreSchedule, facts: list[TemplateFacts]) -> None:
        self.schedule = schedule
        self.kind = schedule.stream.core.kind
        self.dispatched = _array(schedule.dispatched)
        self.starts = _array(schedule.starts)
        self.ends = _array(schedule.ends)
        self._facts = facts
        self._counts = Counter(facts)

    @cached_property
    def kinds(self) -> NDArray[np.int8]:
        """RUN, MOVE, SET ... of each instruction."""
        return self._laid("kinds", np.int8)

    @cached_property
    def pipes(self) -> NDArray[np.int8]:
        """Index into PIPES of each instruction."""
        return self._laid("pipes", np.int8)

    @cached_property
    def heads(self) -> NDArray[np.int64]:
        """Head cycles of each move, 0 elsewhere."""
        return self._laid("head", np.int64)

    @cached_property
    def frees(self) -> NDArray[np.int64]:
        """When each instruction let go of its pipe, in cycles."""
        ran: NDArray[np.bool_] = self.kinds == RUN
        held: NDArray[np.int64] = self.starts + self._laid("hold", np.int64)
        return np.where(ran, held, self.ends - self._laid("latency", np.int64))

    @cached_property
    def previous(self) -> NDArray[np.int64]:
        """Index of the instruction before on the same pipe, -1 for the first."""
        previous = np.full(self.pipes.size, -1, dtype=np.int64)
        for number in range(len(PIPES)):
            positions = self.positions(PIPES[number])
            previous[positions[1:]] = positions[:-1]
        return previous

    @cached_property
    def finishers(self) -> dict[int, int]:
        """For each FIXPIPE under unit_flag the MMAD that finished its tile: the n-th of a tile belong together."""
        tile, release = self._laid("tile", np.int64), self._laid("release", np.bool_)
        finishers: dict[int, int] = {}
        for slot in np.unique(tile[tile >= 0]).tolist():
            handed_on = (tile == slot) & release
            drains = np.flatnonzero(handed_on & (self.kinds == MOVE)).tolist()
            mmads = np.flatnonzero(handed_on & (self.kinds == RUN)).tolist()
            finishers.update(zip(drains, mmads, strict=False))
        return finishers

    def positions(self, pipe: Pipe) -> NDArray[np.int64]:
        """Indices of the instructions of *pipe*, ascending."""
        return np.flatnonzero(self.pipes == _NUMBER[pipe])

    @cached_property
    def moved(self) -> dict[Path, int]:
        """Bytes moved on each path."""
        return _summed(self._counts, lambda facts: facts.moved)

    @cached_property
    def issued(self) -> dict[Pipe, int]:
        """Number of instructions of each pipe."""
        return _summed(self._counts, lambda facts: facts.issued)

    @cached_property
    def moves(self) -> dict[Pipe, int]:
        """Number of moves to or from global memory of each pipe."""
        return _summed(self._counts, lambda facts: facts.moves)

    @cached_property
    def flow_cycles(self) -> dict[Pipe, float]:
        """Cycles that the bytes of the moves of each pipe would flow if nothing else moved."""
        return _summed(self._counts, lambda facts: facts.flows)

    @cached_property
    def head_cycles(self) -> dict[Pipe, int]:
        """Sum of the head cycles of the moves of each pipe."""
        return _summed(self._counts, lambda facts: facts.heads)

    def _laid(self, name: str, dtype: type[np.generic]) -> NDArray[Any]:
        parts = [getattr(facts, name) for facts in self._facts]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=dtype)


class Timelines:
    """The timelines of all simulated cores of *schedule*; each is laid out when first asked for."""

    def __init__(self, schedule: Schedule, chip: Chip) -> None:
        self.schedule = schedule
        self.chip = chip
        self._facts: dict[Template, TemplateFacts] = {}
        self._cores: dict[int, CoreTimeline] = {}

    def __len__(self) -> int:
        return len(self.schedule.cores)

    def core(self, number: int) -> CoreTimeline:
        """The timeline of the simulated core with *number*."""
        found = self._cores.get(number)
        if found is None:
            core = self.schedule.cores[number]
            facts = [self._facts_of(call.template) for call in core.stream.calls]
            found = self._cores[number] = CoreTimeline(core, facts)
        return found

    def _facts_of(self, template: Template) -> TemplateFacts:
        facts = self._facts.get(template)
        if facts is None:
            facts = self._facts[template] = template_facts(template, self.chip)
        return facts


def _array(values: object) -> NDArray[np.int64]:
    return np.asarray(values, dtype=np.int64)


def _summed(parts: Counter[TemplateFacts], one: Callable[[TemplateFacts], dict[Key, Sum]]) -> dict[Key, Sum]:
    total: dict[Key, Sum] = {}
    for facts, times in parts.items():
        for key, value in one(facts).items():
            more: Any = value * times
            total[key] = total[key] + more if key in total else more
    return total
