"""A schedule as flat arrays: for each instruction of a core what kind it is, and when it held its pipe.

Most analyses ask the same of every instruction, and a stream repeats few templates many times; so the facts are
worked out once for each template and laid end to end for the stream.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ascend_sim.config import Chip, MovePath
from ascend_sim.engine.machine import Schedule
from ascend_sim.isa.words import PIPES_OF, CoreKind, Pipe, Space
from ascend_sim.kernel.program import CoreId, Template, TensorDeclaration
from ascend_sim.observe.facts import MOVE, NUMBER, PIPES, RUN, Path, TemplateFacts, Words, template_facts

Key = TypeVar("Key")
Sum = TypeVar("Sum", int, float)

_LABELS = {
    Pipe.S: "scalar", Pipe.MTE2: "mte2", Pipe.MTE1: "mte1", Pipe.M: "cube", Pipe.V: "vec", Pipe.MTE3: "mte3",
    Pipe.FIX: "fixpipe",
}  # fmt: skip


LANES = {
    Pipe.S: "SCALAR", Pipe.V: "VECTOR", Pipe.M: "CUBE", Pipe.MTE1: "MTE1", Pipe.MTE2: "MTE2", Pipe.MTE3: "MTE3",
    Pipe.FIX: "FIXP",
}  # fmt: skip
"""Vendor names of the pipes in traces, in the vendor's order."""


def metric_name(kind: CoreKind, pipe: Pipe) -> str:
    """The vendor profiler's name of a pipe: "aic_cube", "aiv_mte2" ..."""
    return f"{kind.value}_{_LABELS[pipe]}"


METRIC_NAMES = tuple(metric_name(kind, pipe) for kind, pipes in PIPES_OF.items() for pipe in pipes)
"""All pipes of both kinds of cores."""


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


@dataclass(frozen=True)
class CoreTotals:
    """Sums that the engine keeps of a core: busy cycles by pipe name, cycles of the scalar unit, its last result."""

    busy: dict[str, int]
    scalar_cycles: int
    end: int


@dataclass(frozen=True, eq=False)
class MoveLimits:
    """Moves of a core by *index*, ascending, and the cycles that waiting for a share of *l2* and *hbm* cost each.

    *tile* is what a FIXPIPE under unit_flag, once begun, waited for its MMADs. Moves that lost nothing are left out.
    """

    index: NDArray[np.int64]
    l2: NDArray[np.int64]
    hbm: NDArray[np.int64]
    tile: NDArray[np.int64]


class CoreTimeline:
    """One simulated core: arrays by program order, and the sums over its stream.

    It is core *id* and stands for *members*, itself among them. *dispatched*, *starts* and *ends* are in cycles;
    *frees* is when an instruction let go of its pipe, which for RUN and MOVE may be before its result is visible.
    *links* gives, for an instruction that was held up by another one (a flag, a tile), the core number and index of
    that one. *calls* are the facts of the template of each call, in order, *bases* the addresses that the windows of
    the call count from.
    """

    def __init__(
        self,
        number: int,
        core: CoreId,
        members: tuple[CoreId, ...],
        times: Sequence[object],
        links: Mapping[int, tuple[int, int]],
        calls: Sequence[TemplateFacts],
        bases: Sequence[tuple[int, ...]],
        own: CoreTotals,
    ) -> None:
        self.number = number
        self.id = core
        self.members = members
        self.kind = self.id.kind
        self.dispatched, self.starts, self.ends = (np.asarray(one, dtype=np.int64) for one in times)
        self.links = links
        self.calls = calls
        self.bases = bases
        self.totals = own
        self._counts = Counter(calls)

    def __len__(self) -> int:
        return int(self.starts.size)

    @cached_property
    def call_starts(self) -> NDArray[np.int64]:
        """Index of the first instruction of each call, and the number of instructions at the end."""
        return np.cumsum([0, *(facts.kinds.size for facts in self.calls)], dtype=np.int64)

    @cached_property
    def call_of_each(self) -> NDArray[np.int64]:
        """For each instruction the number of its call."""
        return np.repeat(np.arange(len(self.calls), dtype=np.int64), np.diff(self.call_starts))

    @cached_property
    def turns(self) -> NDArray[np.int64]:
        """For each call how many calls of the same stage came before it on this core: the number of its task."""
        seen: Counter[str] = Counter()
        turns = []
        for facts in self.calls:
            turns.append(seen[facts.name])
            seen[facts.name] += 1
        return np.array(turns, dtype=np.int64)

    @cached_property
    def stages(self) -> list[str]:
        """Names of the stages of the core, in order of first use."""
        return list(dict.fromkeys(facts.name for facts in self.calls))

    @cached_property
    def stage_of_each(self) -> NDArray[np.int16]:
        """For each instruction the number of its stage among `stages`."""
        numbers = {name: number for number, name in enumerate(self.stages)}
        of_calls = np.array([numbers[facts.name] for facts in self.calls], dtype=np.int16)
        return np.repeat(of_calls, np.diff(self.call_starts))

    def stage(self, index: int) -> str:
        """The stage of the instruction with *index*."""
        return self.stages[int(self.stage_of_each[index])]

    @property
    def worked(self) -> bool:
        """Whether any pipe beside the scalar unit did more than synchronise."""
        return any(cycles for pipe, cycles in self.totals.busy.items() if pipe != Pipe.S.name)

    def words(self, index: int) -> Words:
        """The instruction with *index* in words."""
        call = int(self.call_of_each[index])
        return self.calls[call].words[index - int(self.call_starts[call])]

    @cached_property
    def kinds(self) -> NDArray[np.int8]:
        """RUN, MOVE, SET ... of each instruction."""
        return self._laid("kinds", np.int8)

    @cached_property
    def pipes(self) -> NDArray[np.int8]:
        """Index into PIPES of each instruction."""
        return self._laid("pipes", np.int8)

    @cached_property
    def peers(self) -> NDArray[np.int8]:
        """Index into PIPES of the other pipe of each flag, or the mode of a cross-core flag; -1 elsewhere."""
        return self._laid("peer", np.int8)

    @cached_property
    def flags(self) -> NDArray[np.int8]:
        """Id of each flag; -1 elsewhere."""
        return self._laid("flag", np.int8)

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
        return np.flatnonzero(self.pipes == NUMBER[pipe])

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
        parts = [getattr(facts, name) for facts in self.calls]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=dtype)


class Recording(ABC):
    """What is known of a run's schedule without its program: enough to draw it and to say why it took so long.

    *program* is its name, *cycles* count from the launch to the last visible result, of which the launch took
    *launch_cycles*. *limited* has, for each simulated core, what shared bandwidth cost its moves; it is None if nobody
    listened during the run. *tensors* are those in global memory, by address.
    """

    def __init__(
        self,
        program: str,
        chip: Chip,
        cycles: int,
        launch_cycles: int,
        tensors: Sequence[TensorDeclaration],
        limited: Sequence[MoveLimits] | None,
    ) -> None:
        self.program = program
        self.chip = chip
        self.cycles = cycles
        self.launch_cycles = launch_cycles
        self.tensors = tensors
        self.limited = limited
        self._cores: dict[int, CoreTimeline] = {}

    @abstractmethod
    def __len__(self) -> int:
        """Number of simulated cores."""

    @abstractmethod
    def _open(self, number: int) -> CoreTimeline:
        """Lay the timeline of the simulated core with *number* out."""

    def core(self, number: int) -> CoreTimeline:
        """The timeline of the simulated core with *number*; each is laid out when first asked for."""
        found = self._cores.get(number)
        if found is None:
            found = self._cores[number] = self._open(number)
        return found

    @property
    def cores(self) -> Iterator[CoreTimeline]:
        """All simulated cores."""
        return (self.core(number) for number in range(len(self)))


class Timelines(Recording):
    """The recording of *schedule*, made while its program is at hand."""

    def __init__(self, schedule: Schedule, chip: Chip, limited: Sequence[MoveLimits] | None = None) -> None:
        program = schedule.program
        super().__init__(program.name, chip, schedule.cycles, schedule.launch_cycles, program.tensors, limited)
        self.schedule = schedule
        self._facts: dict[Template, TemplateFacts] = {}

    def __len__(self) -> int:
        return len(self.schedule.cores)

    def _open(self, number: int) -> CoreTimeline:
        core = self.schedule.cores[number]
        calls = core.stream.calls
        return CoreTimeline(
            number,
            core.stream.core,
            core.members,
            (core.dispatched, core.starts, core.ends),
            core.links,
            [self._facts_of(call.template) for call in calls],
            [call.bases for call in calls],
            CoreTotals(core.busy, core.scalar_cycles, core.end),
        )

    def _facts_of(self, template: Template) -> TemplateFacts:
        facts = self._facts.get(template)
        if facts is None:
            facts = self._facts[template] = template_facts(template, self.chip)
        return facts


def _summed(parts: Counter[TemplateFacts], one: Callable[[TemplateFacts], dict[Key, Sum]]) -> dict[Key, Sum]:
    total: dict[Key, Sum] = {}
    for facts, times in parts.items():
        for key, value in one(facts).items():
            more: Any = value * times
            total[key] = total[key] + more if key in total else more
    return total
