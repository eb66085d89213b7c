"""Flag arrows: which set_flag releases which wait_flag, also from core to core."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ascend_sim.isa.words import CoreKind
from ascend_sim.observe.facts import CROSS_SET, CROSS_WAIT, SET, WAIT
from ascend_sim.observe.timeline import CoreTimeline, Recording

MAX_ARROWS = 120
"""More of them cannot be told apart in one figure."""


class Arrow(NamedTuple):
    """From the instruction *setter* of the simulated core *source* to the *wait* of the simulated core *target*."""

    source: int
    setter: int
    target: int
    wait: int


def arrows_of(recording: Recording, cores: Sequence[CoreTimeline], begin: int, end: int) -> list[Arrow]:
    """The arrows between *cores* of which both ends lie between the cycles *begin* and *end*.

    A wait that was held up knows what released it. Any other one belongs to the set of its number: the n-th wait for a
    flag takes its n-th set, of several cores the latest; for a flag of all cores of a die that is not looked for.
    """
    shown = {core.number: core for core in cores}
    found = []
    for core in shown.values():
        inside = (core.frees >= begin) & (core.frees <= end)
        for arrow in arrows_to(recording, core, inside):
            if arrow.source in shown and begin <= shown[arrow.source].frees[arrow.setter] <= end:
                found.append(arrow)
    return found


def arrows_to(recording: Recording, core: CoreTimeline, inside: NDArray[np.bool_] | None = None) -> Iterator[Arrow]:
    """The arrows, also from other cores, that end on *core*: on all of its instructions or those that are *inside*."""
    inside = np.ones(len(core), dtype=np.bool_) if inside is None else inside
    for source, setter, wait in (*_pipe_flags(core, inside), *_core_flags(recording, core, inside)):
        yield Arrow(source, setter, core.number, wait)


def _pipe_flags(core: CoreTimeline, inside: NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
    """Core, set_flag and wait_flag of each wait for another pipe."""
    sets, waits = np.flatnonzero(core.kinds == SET), np.flatnonzero(core.kinds == WAIT)
    pipes, peers, flags = (part.astype(np.int64) for part in (core.pipes, core.peers, core.flags))
    set_keys = np.column_stack([pipes[sets], peers[sets], flags[sets]])
    wait_keys = np.column_stack([peers[waits], pipes[waits], flags[waits]])
    for key in np.unique(wait_keys, axis=0):
        setters = sets[(set_keys == key).all(axis=1)]
        own = waits[(wait_keys == key).all(axis=1)]
        pairs = np.stack([setters[: own.size], own])[:, inside[own]]
        yield from ((core.number, setter, wait) for setter, wait in pairs.T.tolist())


def _core_flags(recording: Recording, core: CoreTimeline, inside: NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
    """Core, cross_core_set_flag and cross_core_wait_flag of each wait for other cores."""
    waits = np.flatnonzero(core.kinds == CROSS_WAIT)
    for mode, flag in sorted(set(zip(core.peers[waits].tolist(), core.flags[waits].tolist(), strict=True))):
        own = waits[(core.peers[waits] == mode) & (core.flags[waits] == flag)]
        setters = {peer.number: _cross_sets(peer, mode, flag) for peer in _peers(recording, core, mode)}
        for turn, wait in enumerate(own.tolist()):
            if not inside[wait]:
                continue
            if wait in core.links:
                source, setter = core.links[wait]
                yield source, setter, wait
            elif setters:
                last = [(peer, int(sets[turn])) for peer, sets in setters.items()]
                source, setter = max(last, key=lambda one: (int(recording.core(one[0]).frees[one[1]]), *one))
                yield source, setter, wait


def _cross_sets(core: CoreTimeline, mode: int, flag: int) -> NDArray[np.int64]:
    return np.flatnonzero((core.kinds == CROSS_SET) & (core.peers == mode) & (core.flags == flag))


def _peers(recording: Recording, core: CoreTimeline, mode: int) -> list[CoreTimeline]:
    """The cores whose sets a wait of *core* counts; none for mode 0, which joins cores of all groups."""
    group = [one for one in recording.cores if (one.id.die, one.id.group) == (core.id.die, core.id.group)]
    if mode == 1:
        return [one for one in group if one.kind is CoreKind.AIV]
    return [one for one in group if one.kind is not core.kind] if mode == 2 else []
