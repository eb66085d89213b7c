"""Max-min fair sharing of a die's bandwidths by concurrent moves, in exact integer arithmetic.

Moves that want the same (their own limit, and so much of each shared resource per byte) progress alike, so they
form one group that keeps a single account of bytes served per move. Rates change only when a move starts or ends.
Bytes are counted in units of 2**-20 byte: sums and divisions of integers do not depend on how many cores stand
behind one entry, which is what makes a lumped run equal to a run of every core.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import simpy

SCALE = 1 << 20
_TOLERANCE = SCALE >> 8
"""Rates are rounded down to a unit; up to 1/256 byte of the resulting deficit does not cost another cycle."""

Shares = tuple[int, ...]
"""How much of each resource one byte of a move takes, in units of 1/SCALE."""


class _Flow(NamedTuple):
    finish: int
    sequence: int
    weight: int
    done: Callable[[int], None]


@dataclass(eq=False)
class _Group:
    limit: int
    shares: Shares
    reserved: bool
    rate: int = 0
    served: int = 0
    weight: int = 0
    flows: list[_Flow] = field(default_factory=list)


class SharedBandwidth:
    """Resources shared by moves, max-min fair.

    *capacities* returns the units per cycle of each resource, given the shares of the moves in progress (what a
    memory delivers depends on the mix of directions). A *reserved* move is served first, with half of each
    resource it uses while others want it too, and with all of it otherwise.
    """

    def __init__(self, env: simpy.Environment, capacities: Callable[[list[Shares]], tuple[int, ...]]) -> None:
        self._env = env
        self._capacities = capacities
        self._groups: dict[tuple[int, Shares, bool], _Group] = {}
        self._in_order: list[_Group] = []
        self._time = 0
        self._sequence = 0
        self._next: simpy.Event | None = None

    def start(
        self, size: int, limit: int, shares: Shares, weight: int, done: Callable[[int], None], reserved: bool = False
    ) -> None:
        """Begin to move *size* bytes now, at no more than *limit* units a cycle, for *weight* equal cores at once.

        *done* is called with the simulated time of the last byte, at that time.
        """
        self._advance()
        key = limit, shares, reserved
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(*key)
            self._in_order = [self._groups[known] for known in sorted(self._groups)]
        self._sequence += 1
        heapq.heappush(group.flows, _Flow(group.served + size * SCALE, self._sequence, weight, done))
        group.weight += weight
        self._reschedule()

    def _advance(self) -> None:
        now = int(self._env.now)
        elapsed = now - self._time
        if elapsed:
            for group in self._groups.values():
                group.served += group.rate * elapsed
            self._time = now

    def _reschedule(self) -> None:
        """Recompute all rates and plan the next completion."""
        self._fill()
        if not self._in_order:
            self._next = None
            return
        soonest = min(
            [-((group.served + _TOLERANCE - group.flows[0].finish) // group.rate) for group in self._in_order]
        )
        event = self._next = simpy.Timeout(self._env, max(soonest, 0))
        event.callbacks = [self._complete]

    def _complete(self, event: simpy.Event) -> None:
        if event is not self._next:
            return  # a later start or end has changed the rates and planned anew
        self._advance()
        finished: list[_Flow] = []
        for key, group in list(self._groups.items()):
            while group.flows and group.flows[0].finish - group.served <= _TOLERANCE:
                flow = heapq.heappop(group.flows)
                group.weight -= flow.weight
                finished.append(flow)
            if not group.flows:
                del self._groups[key]
                self._in_order.remove(group)
        self._reschedule()
        finished.sort(key=lambda flow: flow.sequence)
        now = self._time
        for flow in finished:
            flow.done(now)

    def _fill(self) -> None:
        """Progressive filling: raise all rates together; freeze a group at its limit or at a full resource."""
        groups = self._in_order
        left = list(self._capacities([group.shares for group in groups]))
        active = [group for group in groups if not group.reserved]
        if len(active) < len(groups):
            for group in groups:
                if group.reserved:
                    self._reserve(group, active, left)
        resources = range(len(left))
        demand = [0] * len(left)
        wanted = [0] * len(left)
        for group in active:
            weight, limit = group.weight, group.limit
            for resource, share in enumerate(group.shares):
                if share:
                    demand[resource] += weight * share
                    wanted[resource] += weight * share * limit
        if all(wanted[resource] <= left[resource] * SCALE for resource in resources):
            for group in active:
                group.rate = group.limit
            return
        while active:
            level, bottleneck = active[0].limit, -1
            for resource in resources:
                if demand[resource]:
                    share_of_all = left[resource] * SCALE // demand[resource]
                    if share_of_all < level:
                        level, bottleneck = share_of_all, resource
            rest = []
            for group in active:
                if group.shares[bottleneck] if bottleneck >= 0 else group.limit == level:
                    group.rate = level or 1
                    for resource, share in enumerate(group.shares):
                        if share:
                            demand[resource] -= group.weight * share
                            left[resource] -= min(level * group.weight * share // SCALE, left[resource])
                else:
                    rest.append(group)
            active = rest

    @staticmethod
    def _reserve(group: _Group, others: list[_Group], left: list[int]) -> None:
        rate = group.limit
        for resource, share in enumerate(group.shares):
            if share:
                contended = any(other.shares[resource] for other in others)
                rate = min(rate, left[resource] * SCALE // share // (2 if contended else 1))
        group.rate = max(rate, 1)
        for resource, share in enumerate(group.shares):
            left[resource] -= min(rate * share // SCALE, left[resource])
