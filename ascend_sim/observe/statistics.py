"""How busy the pipes were, how much they moved, and how long the scalar units stood still."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ascend_sim.isa.words import PIPES_OF, CoreKind, Pipe
from ascend_sim.kernel.program import CoreId
from ascend_sim.observe.facts import CROSS_WAIT, PIPES, WAIT, Path
from ascend_sim.observe.timeline import CoreTimeline, Recording, metric_name


@dataclass(frozen=True)
class CoreStatistics:
    """One simulated core, standing for *members*.

    All times in cycles: *total* from its first dispatch to its last visible result, *busy* by pipe (fractal cycles
    on PIPE_M), *stalls* of the scalar unit before the full queue of a pipe, *scalar_wait* for flags. *moved* counts
    bytes by (source space, destination space), *moves* the moves to or from global memory, *heads* the cycles that they
    spent before their bytes flowed, *flows* those that the bytes would flow if nothing else moved.
    """

    kind: CoreKind
    members: tuple[CoreId, ...]
    total: int
    busy: dict[Pipe, int]
    stalls: dict[Pipe, int]
    scalar_wait: int
    issued: dict[Pipe, int]
    moved: dict[Path, int]
    moves: dict[Pipe, int]
    heads: dict[Pipe, int]
    flows: dict[Pipe, float]

    @property
    def worked(self) -> bool:
        """Whether any pipe beside the scalar unit did more than synchronise."""
        return has_worked(self.busy)


def core_statistics(timelines: Recording) -> list[CoreStatistics]:
    """The statistics of every simulated core."""
    issue = timelines.chip.scalar.issue_cycles.value
    return [_of_core(timelines.core(number), issue) for number in range(len(timelines))]


def pipe_ratios(statistics: Sequence[CoreStatistics], cycles: int) -> dict[str, float]:
    """Share of the kernel's *cycles* for which each pipe was busy, averaged over the cores that had work.

    Keys are the vendor profiler's ("aic_cube_ratio" ...), then the share that the scalar units stood before full
    queues ("aic_scalar_stall_ratio" ...). A lumped core counts once for each of its members. Kinds of cores that
    had no work have 0.0 everywhere.
    """
    ratios = busy_ratios(((one.kind, len(one.members), one.busy) for one in statistics), cycles)
    stalled: dict[str, float] = {}
    for kind in CoreKind:
        cores = [one for one in statistics if one.kind is kind and one.worked]
        whole = cycles * sum(len(one.members) for one in cores)
        stall = sum(sum(one.stalls.values()) * len(one.members) for one in cores)
        stalled[f"{kind.value}_scalar_stall_ratio"] = stall / whole if whole else 0.0
    return {name: ratios[name] for name in _ORDER} | stalled


def busy_ratios(cores: Iterable[tuple[CoreKind, int, Mapping[Pipe, int]]], cycles: int) -> dict[str, float]:
    """The first part of `pipe_ratios`, from the kind of each core, its number of members and its busy cycles."""
    worked = [one for one in cores if has_worked(one[2])]
    ratios: dict[str, float] = {}
    for kind in CoreKind:
        of_kind = [(members, busy) for its, members, busy in worked if its is kind]
        whole = cycles * sum(members for members, _ in of_kind)
        for pipe in PIPES_OF[kind]:
            total = sum(busy[pipe] * members for members, busy in of_kind)
            ratios[f"{metric_name(kind, pipe)}_ratio"] = total / whole if whole else 0.0
    return ratios


def has_worked(busy: Mapping[Pipe, int]) -> bool:
    """Whether any pipe beside the scalar unit did more than synchronise."""
    return any(cycles for pipe, cycles in busy.items() if pipe is not Pipe.S)


_ORDER = tuple(
    f"{metric_name(kind, pipe)}_ratio"
    for kind, pipes in (
        (CoreKind.AIC, (Pipe.M, Pipe.MTE1, Pipe.MTE2, Pipe.FIX, Pipe.S)),
        (CoreKind.AIV, (Pipe.V, Pipe.MTE2, Pipe.MTE3, Pipe.S)),
    )
    for pipe in pipes
)


def _of_core(core: CoreTimeline, issue: int) -> CoreStatistics:
    totals = core.totals
    busy: dict[Pipe, int] = {pipe: totals.busy[pipe.name] for pipe in PIPES_OF[core.kind]}
    busy[Pipe.S] = totals.scalar_cycles
    scalar = core.pipes == PIPES.index(Pipe.S)
    waits = scalar & ((core.kinds == WAIT) | (core.kinds == CROSS_WAIT))
    total = totals.end - int(core.dispatched[0]) if core.dispatched.size else 0
    return CoreStatistics(
        kind=core.kind,
        members=core.members,
        total=total,
        busy=busy,
        stalls=_stalls(core, scalar, issue),
        scalar_wait=int(np.maximum(core.ends - core.starts - issue, 0)[waits].sum()),
        issued=core.issued,
        moved=core.moved,
        moves=core.moves,
        heads=core.head_cycles,
        flows=core.flow_cycles,
    )


def _stalls(core: CoreTimeline, scalar: NDArray[np.bool_], issue: int) -> dict[Pipe, int]:
    """Cycles between the moment the scalar unit was ready to issue and the moment the pipe's queue had room."""
    ready = np.where(scalar, core.ends, core.dispatched + issue)[:-1]
    late = core.dispatched[1:] - ready
    return {
        pipe: int(late[core.pipes[1:] == number].sum())
        for number, pipe in enumerate(PIPES)
        if pipe in PIPES_OF[core.kind]
    }
