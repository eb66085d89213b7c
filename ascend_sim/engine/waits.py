"""Who waits for whom in a machine that cannot go on: a graph of queues, and the cycles in it.

A node is a pipe of a core, or its scalar unit, which issues instructions in program order. It waits for the nodes that
keep back what it waits for: the pipe in whose queue a set_flag stands, or the scalar unit that has not issued it yet.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ascend_sim.engine.lowering import (
    BARRIER_ALL,
    CROSS_SET,
    CROSS_WAIT,
    MOVE,
    RUN_UNIT,
    SCALAR,
    SET,
    WAIT,
    LoweredTemplate,
    Operation,
)

if TYPE_CHECKING:
    from ascend_sim.engine.core import CoreModel, PipeState
    from ascend_sim.engine.machine import Machine

Node = tuple[int, int]
"""Core number and pipe index; SCALAR stands for the scalar unit that issues."""

Key = tuple[int, int, int]
"""What signals and waits have in common: (kind, flag number or tile, mode of a cross-core flag)."""


@dataclass(frozen=True)
class Blocker:
    """What keeps back something awaited: *node*, or None if nobody will bring it about.

    Instruction *index* of *core* is what would; it is None where nobody does, and where the node as a whole is awaited:
    by a barrier, or for room in its queue.
    """

    core: CoreModel
    index: int | None
    node: Node | None


@dataclass(frozen=True)
class Wait:
    """*node* of *core* stands at instruction *index* and cannot go on; *blockers* has an entry for each thing awaited.

    *full* is the pipe whose queue has no room for the instruction, if that is what holds the scalar unit.
    """

    node: Node
    core: CoreModel
    index: int
    operation: Operation
    full: PipeState | None
    blockers: tuple[Blocker, ...]


class Signals:
    """Instructions of a core that signal something or wait for a flag, by what they signal or wait for."""

    def __init__(self, core: CoreModel) -> None:
        self._core = core
        self._indices: dict[Key, list[int]] = defaultdict(list)
        marks: dict[LoweredTemplate, list[tuple[Key, int]]] = {}
        begin = 0
        for template, _ in core.lowered_calls:
            if template not in marks:
                marks[template] = list(_marks(template))
            for key, position in marks[template]:
                self._indices[key].append(begin + position)
            begin += len(template.operations)

    def of(self, kind: int, a: int, mode: int = 0) -> list[int]:
        """The instructions of *kind*, in program order."""
        return self._indices.get((kind, a, mode), [])

    def pending(self, kind: int, a: int, mode: int = 0) -> int | None:
        """The first of them that has not been carried out, if any."""
        return next((index for index in self.of(kind, a, mode) if self._core.ends[index] < 0), None)

    def sets(self, kind: int) -> Iterator[tuple[int, int, list[int]]]:
        """(flag, mode, instructions in program order) of each flag that instructions of *kind* set."""
        for (own, a, mode), indices in self._indices.items():
            if own == kind:
                yield a, mode, indices


def _marks(template: LoweredTemplate) -> Iterator[tuple[Key, int]]:
    """What each instruction of *template* signals or waits for, with its position."""
    for position, (kind, _, a, b, extra) in enumerate(template.operations):
        if kind in (SET, WAIT):
            yield (kind, a, 0), position
        elif kind in (CROSS_SET, CROSS_WAIT):
            yield (kind, a, b), position
        elif kind == RUN_UNIT and extra.release:
            yield (kind, extra.slot, 0), position
        elif kind == MOVE and extra.unit_flag is not None:
            yield (kind, extra.unit_flag.slot, 0), position


class WaitGraph:
    """All waits of *machine* by node, in order of cores; `cycles` are those that keep themselves up."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._signals: dict[int, Signals] = {}
        self.waits: dict[Node, Wait] = {}
        for core in machine.cores:
            for wait in self._of_core(core):
                self.waits[wait.node] = wait

    def signals(self, core: CoreModel) -> Signals:
        """The signals of *core*."""
        if core.number not in self._signals:
            self._signals[core.number] = Signals(core)
        return self._signals[core.number]

    def cycles(self) -> list[list[Wait]]:
        """One cycle, the shortest, of each set of two nodes or more that all wait for each other.

        It begins with the instruction that comes first in program order on the first of its cores.
        """
        reached = {node: self._reached(node) for node in self.waits}
        cycles, seen = [], set()
        for node in self.waits:
            together = {other for other in reached[node] if node in reached[other]}
            if node in seen or len(together) < 2:
                continue
            seen |= together
            shortest = min((self._cycle(one) for one in sorted(together)), key=len)
            cycle = [self.waits[one] for one in shortest]
            first = min(range(len(cycle)), key=lambda i: (cycle[i].core.number, cycle[i].index))
            cycles.append(cycle[first:] + cycle[:first])
        return cycles

    def _next(self, node: Node) -> list[Node]:
        """The nodes that *node* waits for, itself left out."""
        nodes = [blocker.node for blocker in self.waits[node].blockers]
        return [other for other in dict.fromkeys(nodes) if other is not None and other != node]

    def _reached(self, start: Node) -> set[Node]:
        """The nodes that *start* waits for, directly or not."""
        reached: set[Node] = set()
        queue = self._next(start)
        while queue:
            node = queue.pop()
            if node not in reached:
                reached.add(node)
                queue += self._next(node)
        return reached

    def _cycle(self, start: Node) -> list[Node]:
        """The shortest way from *start*, a node of a cycle, back to it."""
        paths = deque([[start]])
        seen: set[Node] = set()
        while True:
            path = paths.popleft()
            for node in self._next(path[-1]):
                if node == start:
                    return path
                if node not in seen:
                    seen.add(node)
                    paths.append([*path, node])

    def _of_core(self, core: CoreModel) -> Iterator[Wait]:
        index, _ = core.front
        if not core.issued_all:
            operation = core.operation(index)
            if operation[1] == SCALAR:
                yield Wait((core.number, SCALAR), core, index, operation, None, tuple(self._blockers(core, operation)))
            else:
                blocker = Blocker(core, None, (core.number, operation[1]))
                yield Wait((core.number, SCALAR), core, index, operation, core.pipes[operation[1]], (blocker,))
        for pipe in core.pipes:
            if pipe.queued:
                at, operation, _, _ = pipe.queued[0]
                yield Wait((core.number, pipe.index), core, at, operation, None, tuple(self._blockers(core, operation)))

    def _blockers(self, core: CoreModel, operation: Operation) -> Iterator[Blocker]:
        """What the *operation* waits for that has not happened."""
        kind, _, a, b, extra = operation
        if kind == BARRIER_ALL:
            for pipe in core.pipes:
                if pipe.waiting:
                    yield Blocker(core, None, (core.number, pipe.index))
        elif kind == WAIT:
            yield self._blocker(core, core.next_operation(SET, a))
        elif kind == CROSS_WAIT:
            channels = self._machine.channels(core, a, b)
            for peer, channel in zip(self._machine.peers(core, b), channels, strict=True):
                if not channel.ready:
                    yield self._blocker(peer, self.signals(peer).pending(CROSS_SET, a, b))
        elif kind == RUN_UNIT:
            yield self._blocker(core, self.signals(core).pending(MOVE, extra.slot))
        else:
            yield self._blocker(core, self.signals(core).pending(RUN_UNIT, extra.unit_flag.slot))

    def _blocker(self, core: CoreModel, index: int | None) -> Blocker:
        """What keeps instruction *index* of *core* back: its pipe if it has been issued, else the scalar unit."""
        if index is None:
            return Blocker(core, None, None)
        issued = index < core.front[0]
        return Blocker(core, index, (core.number, core.operation(index)[1] if issued else SCALAR))
