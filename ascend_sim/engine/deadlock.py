"""Why a program cannot go on: every blocked pipe, what it waits for, who should have acted and why it has not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ascend_sim.engine.lowering import (
    BARRIER_ALL,
    CROSS_SET,
    CROSS_WAIT,
    PIPES,
    RUN_UNIT,
    SCALAR,
    SET,
    WAIT,
    flag_name,
)
from ascend_sim.engine.waits import Blocker, Wait, WaitGraph
from ascend_sim.errors import DeadlockError, Diagnostic
from ascend_sim.isa.source import SourceLine
from ascend_sim.isa.words import CoreKind

if TYPE_CHECKING:
    from ascend_sim.engine.core import CoreModel
    from ascend_sim.engine.machine import Machine


def deadlock_report(machine: Machine) -> DeadlockError:
    """The error for a machine that has stopped before its end: a line for each blocked pipe and each cycle of waits.

    A flag that nobody raises any more is a cause, and comes first; the other waits may be its consequences. What
    several cores say alike is one finding.
    """
    graph = WaitGraph(machine)
    told = _Told(machine, graph)
    # Where a queue is full, the line of its pipe and the cycle say so.
    waits = [wait for wait in graph.waits.values() if wait.full is None]
    findings = [told.wait(wait) for wait in waits]
    findings.sort(key=lambda finding: not finding.cause)
    findings += [told.chain(cycle) for cycle in graph.cycles()]
    alike: dict[tuple[object, ...], list[_Finding]] = defaultdict(list)
    for finding in findings:
        alike[finding.core.core.kind, finding.title, finding.where, finding.message].append(finding)
    diagnostics = []
    for (first, *others) in alike.values():
        count = sum(len(machine.members[finding.core.number]) for finding in (first, *others))
        more = f" and {count - 1} more" if count > 1 else ""
        message = f"{first.title} {first.core.core}{more}: {first.message}"
        diagnostics.append(Diagnostic(message, first.where.file, first.where.line))
    return DeadlockError(diagnostics)


@dataclass(frozen=True)
class _Finding:
    """A *message* that *title* and *core* stand before; a *cause* if nobody will bring about what is awaited."""

    core: CoreModel
    title: str
    message: str
    where: SourceLine
    cause: bool


def _flag(number: int) -> str:
    source, destination, flag = flag_name(number)
    return f"{source.value}->{destination.value}, id {flag}"


def _role(peer: CoreModel, core: CoreModel, mode: int) -> str:
    """What to call *peer*: within a group by its role, so that equal groups read alike and are one finding."""
    if mode == 0:
        return str(peer.core)
    if peer.core.kind is CoreKind.AIC:
        return "its cube core"
    sub = f"vector core {peer.core.sub}"
    return f"its {sub}" if core.core.kind is CoreKind.AIC else f"{sub} of its group"


def _named(roles: list[str]) -> str:
    """Both of two cores, or the first of many: the beginning of the message names them all."""
    return ", ".join(roles) if len(roles) <= 2 else f"{roles[0]} and {len(roles) - 1} more"


def _alike(wanted: int, other: int) -> int | None:
    """How likely a set of flag *other* was meant to be one of *wanted*, 0 before 1 and so on; None if it is not."""
    source, destination, flag = flag_name(wanted)
    its_source, its_destination, its_flag = flag_name(other)
    if (its_source, its_destination) == (source, destination):
        return 0
    if its_flag != flag:
        return None
    if (its_source, its_destination) == (destination, source):
        return 1
    return 2 if its_source is source or its_destination is destination else 3


class _Told:
    """Waits and cycles of *graph* in words."""

    def __init__(self, machine: Machine, graph: WaitGraph) -> None:
        self._machine = machine
        self._graph = graph

    def wait(self, wait: Wait) -> _Finding:
        """What a blocked node waits for, and why that does not come."""
        kind = wait.operation[0]
        node = PIPES[wait.node[1]].value + (" (barrier)" if kind == BARRIER_ALL else "")
        wanted, reasons = {
            WAIT: self._flag_wait, CROSS_WAIT: self._cross_wait, BARRIER_ALL: self._barrier
        }.get(kind, self._tile)(wait)
        message = "; ".join([f"{node} waits for {wanted}", *reasons])
        cause = not wait.blockers or any(blocker.node is None for blocker in wait.blockers)
        return _Finding(wait.core, "deadlock on", message, self._where(wait.core, wait.index), cause)

    def chain(self, cycle: list[Wait]) -> _Finding:
        """A cycle of waits, each by the node that waits, its line and the node that it waits for."""
        first = cycle[0].core
        names = []
        for one in cycle:
            near = (one.core.core.die, one.core.core.group) == (first.core.die, first.core.group)
            of = "" if one.core is first else f" of {_role(one.core, first, 2 if near else 0)}"
            names.append(f"{PIPES[one.node[1]].value}{of}")
        links = []
        for one, name, following in zip(cycle, names, [*names[1:], names[0]], strict=True):
            full = f", full queue of {PIPES[one.full.index].value}" if one.full is not None else ""
            links.append(f"{name} ({self._where(one.core, one.index)}{full}) waits for {following}")
        return _Finding(first, "deadlock chain on", ", ".join(links), self._where(first, cycle[0].index), False)

    def _flag_wait(self, wait: Wait) -> tuple[str, list[str]]:
        number = wait.operation[2]
        source, _, _ = flag_name(number)
        (blocker,) = wait.blockers
        if blocker.index is None:
            wanted = (
                f"set_flag {_flag(number)}, and no such set_flag is left in the program: add one on {source.value}, or "
                f"remove this wait"
            )
            return wanted, list(self._other_flag(wait.core, number))
        blocked = (
            "which stands behind this wait in program order" if blocker.index > wait.index
            else "which its own pipe has not reached"
        )
        wanted = (
            f"set_flag {_flag(number)}; the next one is at {self._where(wait.core, blocker.index)}, {blocked}: move it "
            f"before the wait, or raise the flag once at the start"
        )
        return wanted, [self._kept_back(wait, blocker)]

    def _cross_wait(self, wait: Wait) -> tuple[str, list[str]]:
        core, (_, _, flag, mode, _) = wait.core, wait.operation
        if not wait.blockers:
            return (
                f"cross_core_set_flag {flag}, mode {mode}, but no core that this mode joins takes part in the kernel: "
                f"write cores=\"mix\" for cube cores with their vector cores, or another mode"
            ), []
        missing = [_role(blocker.core, core, mode) for blocker in wait.blockers]
        kinds = "cube" if wait.blockers[0].core.core.kind is CoreKind.AIC else "vector"
        wanted = (
            f"cross_core_set_flag {flag}, mode {mode}, from {', '.join(missing)}: set it on the {kinds} core "
            f"once for each wait"
        )
        reasons: dict[str, list[str]] = defaultdict(list)
        for blocker, role in zip(wait.blockers, missing, strict=True):
            if blocker.index is None:
                text = "; ".join(["no such set is left on {}", *self._other_cross_flag(blocker.core, flag, mode)])
            else:
                where = self._where(blocker.core, blocker.index)
                text = f"the next one of {{}} is at {where}: {self._kept_back(wait, blocker)}"
            reasons[text].append(role)
        told = [text.replace("{}", _named(roles)) for text, roles in reasons.items()]
        return wanted, [*told, *self._disagreement(core, flag, mode)]

    def _barrier(self, wait: Wait) -> tuple[str, list[str]]:
        return "all pipes to finish, and one of them is blocked itself", [
            self._kept_back(wait, blocker) for blocker in wait.blockers
        ]

    def _tile(self, wait: Wait) -> tuple[str, list[str]]:
        wanted = (
            "the unit_flag handshake of its L0C tile: an mmad with last=True must finish a tile before its fixpipe, "
            "and a fixpipe must drain it before the next mmad with init=True"
        )
        (blocker,) = wait.blockers
        expected = "fixpipe" if wait.operation[0] == RUN_UNIT else "mmad with last=True"
        if blocker.index is None:
            return wanted, [f"no {expected} on this tile is left in the program"]
        where = self._where(wait.core, blocker.index)
        return wanted, [f"the next {expected} on this tile is at {where}: {self._kept_back(wait, blocker)}"]

    def _kept_back(self, wait: Wait, blocker: Blocker) -> str:
        """Why what *blocker* stands for, which *wait* needs, has not happened: where its node stands."""
        assert blocker.node is not None
        other = self._graph.waits[blocker.node]
        crosses = wait.operation[0] == CROSS_WAIT
        if other is wait and not crosses:
            return "it has not been issued, since this wait holds the scalar unit"
        # A core may wait for itself among others: it is told as they are, so that all of them say the same.
        where, there = self._where(other.core, other.index), " there" if crosses else ""
        if other.node[1] == SCALAR:
            return f"it has not been issued, since the scalar unit{there} is held at {where} by {_holder(other)}"
        awaited = f"set_flag {_flag(other.operation[2])}" if other.operation[0] == WAIT else "the unit_flag handshake"
        return f"{PIPES[other.node[1]].value}{there} waits at {where} for {awaited}"

    def _other_flag(self, core: CoreModel, wanted: int) -> Iterator[str]:
        """A set that no wait takes, of another flag that looks as if *wanted* was meant."""
        signals = self._graph.signals(core)
        found = []
        for number, _, sets in signals.sets(SET):
            waits = len(signals.of(WAIT, number))
            rank = _alike(wanted, number)
            if len(sets) > waits and rank is not None:
                found.append((rank, sets[waits], number))
        if found:
            rank, index, number = min(found)
            yield (
                f"{self._where(core, index)} sets {_flag(number)}, which nobody waits for: is one of the "
                f"{'pipes' if rank else 'ids'} wrong?"
            )

    def _other_cross_flag(self, setter: CoreModel, wanted: int, mode: int) -> Iterator[str]:
        """A set of *setter* that no wait takes, of another flag in *mode* or of the flag *wanted* in another mode."""
        found = []
        for flag, its_mode, sets in self._graph.signals(setter).sets(CROSS_SET):
            receivers = self._machine.peers(setter, its_mode)
            waits = max((len(self._graph.signals(one).of(CROSS_WAIT, flag, its_mode)) for one in receivers), default=0)
            if len(sets) > waits and (flag == wanted) != (its_mode == mode):
                found.append((flag != wanted, sets[waits], flag, its_mode))
        if found:
            other, index, flag, its_mode = min(found)
            yield (
                f"{self._where(setter, index)} sets cross-core flag {flag}, mode {its_mode}, which nobody waits for: "
                f"is one of the {'flags' if other else 'modes'} wrong?"
            )

    def _disagreement(self, core: CoreModel, flag: int, mode: int) -> Iterator[str]:
        """How often each vector core of the group sets the flag, if they differ."""
        peers = [peer for peer in self._machine.peers(core, mode) if mode and peer.core.kind is CoreKind.AIV]
        counts = [len(self._graph.signals(peer).of(CROSS_SET, flag, mode)) for peer in peers]
        if len(set(counts)) > 1:
            told = [f"{count} time{'' if count == 1 else 's'}" for count in counts]
            others = [f"vector core {peer.core.sub} {text}" for peer, text in zip(peers[1:], told[1:], strict=True)]
            yield ", ".join([f"vector core {peers[0].core.sub} sets it {told[0]}", *others])

    def _where(self, core: CoreModel, index: int) -> SourceLine:
        return self._machine.instruction(core.number, index).where


def _holder(wait: Wait) -> str:
    """What holds the scalar unit at *wait*."""
    if wait.full is not None:
        return f"a full queue of {PIPES[wait.full.index].value} (depth {wait.core.depth})"
    kind, _, a, b, _ = wait.operation
    if kind == BARRIER_ALL:
        return "a PIPE_ALL barrier"
    return f"cross_core_wait_flag {a}, mode {b}" if kind == CROSS_WAIT else f"wait_flag {_flag(a)}"
