"""Why a program cannot go on: every blocked pipe, what it waits for, and who should have acted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ascend_sim.engine.lowering import BARRIER_ALL, CROSS_WAIT, PIPES, SET, WAIT, Operation, flag_name
from ascend_sim.errors import DeadlockError, Diagnostic
from ascend_sim.isa.words import CoreKind

if TYPE_CHECKING:
    from ascend_sim.engine.core import CoreModel
    from ascend_sim.engine.machine import Machine


def deadlock_report(machine: Machine) -> DeadlockError:
    """The error for a machine that has stopped before its end: one line for each blocked pipe."""
    found: dict[tuple[object, ...], list[CoreModel]] = {}
    places: dict[tuple[object, ...], Diagnostic] = {}
    for core in machine.cores:
        for pipe, index, operation in _blocked(core):
            where = machine.instruction(core.number, index).where
            message = f"{pipe} waits for {_wanted(machine, core, operation, index)}"
            key: tuple[object, ...] = (core.core.kind, str(where), message)
            found.setdefault(key, []).append(core)
            places[key] = Diagnostic(message, where.file, where.line)
    diagnostics = []
    # A flag that nobody raises any more is a cause; the other waits may be its consequences.
    for found_key, cores in sorted(found.items(), key=lambda item: _NO_SETTER not in places[item[0]].message):
        count = sum(len(machine.members[core.number]) for core in cores)
        more = f" and {count - 1} more" if count > 1 else ""
        place = places[found_key]
        diagnostics.append(Diagnostic(f"deadlock on {cores[0].core}{more}: {place.message}", place.file, place.line))
    return DeadlockError(diagnostics)


_NO_SETTER = "and no such set_flag is left in the program"


def _role(peer: CoreModel, core: CoreModel, mode: int) -> str:
    """What to call *peer*: within a group by its role, so that equal groups read alike and are one finding."""
    if mode == 0:
        return str(peer.core)
    if peer.core.kind is CoreKind.AIC:
        return "its cube core"
    sub = f"vector core {peer.core.sub}"
    return f"its {sub}" if core.core.kind is CoreKind.AIC else f"{sub} of its group"


def _blocked(core: CoreModel) -> list[tuple[str, int, Operation]]:
    """(pipe, index, operation) of each instruction at the head of a queue that cannot go on."""
    blocked = []
    index, _ = core.front
    if not core.issued_all:
        operation = core.operation(index)
        if operation[0] in (CROSS_WAIT, WAIT) and PIPES[operation[1]].name == "S":
            blocked.append(("PIPE_S", index, operation))
        elif operation[0] == BARRIER_ALL:
            blocked.append(("PIPE_S (barrier)", index, operation))
    for pipe in core.pipes:
        if pipe.queued and not pipe.moving:
            at, operation, _, _ = pipe.queued[0]
            blocked.append((PIPES[pipe.index].value, at, operation))
    return blocked


def _wanted(machine: Machine, core: CoreModel, operation: Operation, index: int) -> str:
    kind, _, a, b, _ = operation
    if kind == WAIT:
        source, destination, flag = flag_name(a)
        name = f"set_flag {source.value}->{destination.value}, id {flag}"
        setter = core.next_operation(SET, a)
        if setter is None:
            return (
                f"{name}, {_NO_SETTER}: add one on {source.value}, or remove this wait"
            )
        line = machine.instruction(core.number, setter).where
        blocked = (
            "which stands behind this wait in program order" if setter > index else "which its own pipe has not reached"
        )
        return (
            f"{name}; the next one is at {line}, {blocked}: move it before the wait, or raise the flag once at the "
            f"start"
        )
    if kind == CROSS_WAIT:
        peers = machine.peers(core, b)
        missing = [
            _role(peer, core, b)
            for peer, channel in zip(peers, machine.channels(core, a, b), strict=True)
            if not channel.ready
        ]
        kinds = "cube" if peers and peers[0].core.kind is CoreKind.AIC else "vector"
        return (
            f"cross_core_set_flag {a}, mode {b}, from {', '.join(missing)}: set it on the {kinds} core "
            f"once for each wait"
        )
    if kind == BARRIER_ALL:
        return "all pipes to finish, and one of them is blocked itself"
    return (
        "the unit_flag handshake of its L0C tile: an mmad with last=True must finish a tile before its fixpipe, and a "
        "fixpipe must drain it before the next mmad with init=True"
    )
