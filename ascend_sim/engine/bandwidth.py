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

import simpy

SCALE = 1 << 20
_TOLERANCE = SCALE >> 8
"""Rates are rounded down to a unit; up to 1/256 byte of the resulting deficit does not cost another cycle."""

Shares = tuple[int, ...]
"""How much of each resource one byte of a move takes, in units of 1/SCALE."""


@dataclass(order=True)
class _Flow:
    finish: int
    sequence: int
    weight: int = field(compare=False)
    done: Callable[[int], None] = field(compare=False)


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
        self._time = 0
        self._sequence = 0
        self._generation = 0

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
            group = self._groups[key] = _Group(limit, shares, reserved)
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
        soonest = min(
            (-(-max(group.flows[0].finish - group.served - _TOLERANCE, 0) // group.rate) for group in self._groups.values()),
            default=None,
        )
        self._generation += 1
        if soonest is not None:
            generation = self._generation
            event = self._env.timeout(soonest)
            event.callbacks.append(lambda _: self._complete(generation))

    def _complete(self, generation: int) -> None:
        if generation != self._generation:
            return
        self._advance()
        finished: list[_Flow] = []
        for key, group in list(self._groups.items()):
            while group.flows and group.flows[0].finish - group.served <= _TOLERANCE:
                flow = heapq.heappop(group.flows)
                group.weight -= flow.weight
                finished.append(flow)
            if not group.flows:
                del self._groups[key]
        self._reschedule()
        finished.sort(key=lambda flow: flow.sequence)
        now = self._time
        for flow in finished:
            flow.done(now)

    def _fill(self) -> None:
        """Progressive filling: raise all rates together; freeze a group at its limit or at a full resource."""
        groups = [self._groups[key] for key in sorted(self._groups)]
        left = list(self._capacities([group.shares for group in groups]))
        active = [group for group in groups if not group.reserved]
        for group in groups:
            if group.reserved:
                self._reserve(group, active, left)
        while active:
            level = min(group.limit for group in active)
            bottleneck = -1
            for resource, capacity in enumerate(left):
                demand = sum(group.weight * group.shares[resource] for group in active)
                if demand and capacity * SCALE < level * demand:
                    level = capacity * SCALE // demand
                    bottleneck = resource
            rest = []
            for group in active:
                if group.shares[bottleneck] if bottleneck >= 0 else group.limit == level:
                    group.rate = max(level, 1)
                    for resource, share in enumerate(group.shares):
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
