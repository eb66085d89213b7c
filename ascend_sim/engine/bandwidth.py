"""Max-min fair sharing of a die's bandwidths by concurrent moves, in exact integer arithmetic.

Moves that want the same (their own limit, and so much of each shared resource per byte) progress alike, so they
form one group that keeps a single account of bytes served per move. Rates change only when a move starts or ends.
Bytes are counted in units of 2**-20 byte: sums and divisions of integers do not depend on how many cores stand
behind one entry, which is what makes a lumped run equal to a run of every core.
"""

from __future__ import annotations

import heapq
import operator
from collections.abc import Callable
from dataclasses import dataclass, field

import simpy

SCALE = 1 << 20
TOLERANCE = SCALE >> 8
"""Rates are rounded down to a unit; up to 1/256 byte of the resulting deficit does not cost another cycle."""

Shares = tuple[int, ...]
"""How much of each resource one byte of a move takes, in units of 1/SCALE."""

Account = list[int]
"""What a move lost while it flowed, by resource: unit-cycles (cycles x SCALE) that its own limit would have saved."""

_Flow = tuple[int, int, int, Callable[[int], None]]
"""(bytes served to the group when it ends, sequence number, weight, what to call then)."""


@dataclass(eq=False)
class _Group:
    limit: int
    shares: Shares
    reserved: bool
    rate: int
    uses: tuple[tuple[int, int], ...]
    bottleneck: int = -1
    """The resource that holds the rate below the limit; -1 if none does."""
    served: int = 0
    lost: Account = field(default_factory=list)
    """What each of the moves has lost since the group began; empty unless moves are accounted for."""
    weight: int = 0
    flows: list[_Flow] = field(default_factory=list)


class SharedBandwidth:
    """Resources shared by moves, max-min fair.

    *capacities* has the units per cycle of each resource. A *reserved* move is served first, with half of each
    resource it uses while others want it too, and with all of it otherwise; while it shares a resource with others,
    *mixed_capacities* hold (a memory delivers less when it serves both directions).
    """

    def __init__(
        self, env: simpy.Environment, capacities: tuple[int, ...], mixed_capacities: tuple[int, ...],
        accounted: bool = False,
    ) -> None:
        self._env = env
        self._accounted = accounted
        self._capacities = capacities
        self._mixed_capacities = mixed_capacities
        self._ceilings = tuple(capacity * SCALE for capacity in capacities)
        self._groups: dict[tuple[int, Shares, bool], _Group] = {}
        self._in_order: list[_Group] = []
        self._demand = [0] * len(capacities)
        self._wanted = [0] * len(capacities)
        self._reserved = 0
        self._at_limits = True
        self._time = 0
        self._sequence = 0
        self._next: simpy.Event | None = None
        self._due = -1

    def start(
        self, size: int, limit: int, shares: Shares, weight: int, done: Callable[[int], None], reserved: bool = False,
        account: Account | None = None,
    ) -> None:
        """Begin to move *size* bytes now, at no more than *limit* units a cycle, for *weight* equal cores at once.

        *done* is called with the simulated time of the last byte, at that time. If moves are *accounted* for, what
        this one has lost to each resource by then is added to its *account*.
        """
        self._advance()
        key = limit, shares, reserved
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(
                limit, shares, reserved, limit, tuple((which, share) for which, share in enumerate(shares) if share)
            )
            self._in_order = [self._groups[known] for known in sorted(self._groups)]
            if self._accounted:
                group.lost = [0] * len(self._capacities)
        if account is not None:
            done = _into(account, group, done)
        self._sequence += 1
        heapq.heappush(group.flows, (group.served + size * SCALE, self._sequence, weight, done))
        self._add(group, weight)
        self._reschedule()

    def _add(self, group: _Group, weight: int) -> None:
        """Account for *weight* more moves of *group* (fewer, if negative)."""
        group.weight += weight
        if group.reserved:
            self._reserved += weight
            return
        for resource, share in group.uses:
            self._demand[resource] += weight * share
            self._wanted[resource] += weight * share * group.limit

    def _advance(self) -> None:
        now = int(self._env.now)
        elapsed = now - self._time
        if elapsed:
            for group in self._in_order:
                group.served += group.rate * elapsed
            if self._accounted and not self._at_limits:
                for group in self._in_order:
                    if group.bottleneck >= 0:
                        group.lost[group.bottleneck] += elapsed * (SCALE - group.rate * SCALE // group.limit)
            self._time = now

    def _reschedule(self) -> None:
        """Recompute the rates and plan the next completion."""
        if not self._in_order:
            self._next = None
            return
        self._fill()
        soonest = min([-((group.served + TOLERANCE - group.flows[0][0]) // group.rate) for group in self._in_order])
        due = self._time + max(soonest, 0)
        if self._next is not None and due == self._due:
            return  # planned already
        self._due = due
        event = self._next = simpy.Timeout(self._env, due - self._time)
        event.callbacks = [self._complete]

    def _complete(self, event: simpy.Event) -> None:
        if event is not self._next:
            return  # a later start or end has changed the rates and planned anew
        self._next = None
        self._advance()
        finished: list[_Flow] = []
        for group in list(self._in_order):
            reached = group.served + TOLERANCE
            while group.flows and group.flows[0][0] <= reached:
                flow = heapq.heappop(group.flows)
                self._add(group, -flow[2])
                finished.append(flow)
            if not group.flows:
                del self._groups[group.limit, group.shares, group.reserved]
                self._in_order.remove(group)
        self._reschedule()
        if len(finished) > 1:
            finished.sort(key=lambda flow: flow[1])
        for _, _, _, done in finished:
            done(self._time)

    def _fill(self) -> None:
        """Set the rate of every group: its limit where nothing is short, else what progressive filling gives."""
        if not self._reserved and self._suffices():
            if not self._at_limits:
                for group in self._in_order:
                    group.rate = group.limit
                    group.bottleneck = -1
                self._at_limits = True
            return
        self._at_limits = False
        active = self._in_order
        left = list(self._capacities)
        if self._reserved:
            active = [group for group in self._in_order if not group.reserved]
            for group in self._in_order:
                if group.reserved:
                    left = self._reserve(group, left)
        self._share_out(active, left)

    def _suffices(self) -> bool:
        """Whether every move can go at its own limit."""
        return all(map(operator.le, self._wanted, self._ceilings))

    def _share_out(self, active: list[_Group], left: list[int]) -> None:
        """Progressive filling: raise all rates together; freeze a group at its limit or at a full resource.

        A resource that suffices for the limits of all groups is never full before one of them is at its limit.
        """
        demand = list(self._demand)
        scarce = [which for which, wanted in enumerate(self._wanted) if wanted > left[which] * SCALE]
        while active:
            level, bottleneck = active[0].limit, -1
            for resource in scarce:
                wanted = demand[resource]
                if wanted:
                    share_of_all = left[resource] * SCALE // wanted
                    if share_of_all < level:
                        level, bottleneck = share_of_all, resource
            rest = []
            for group in active:
                if group.shares[bottleneck] if bottleneck >= 0 else group.limit == level:
                    group.rate = level or 1
                    group.bottleneck = bottleneck
                    for resource in scarce:
                        used = group.weight * group.shares[resource]
                        demand[resource] -= used
                        left[resource] = max(left[resource] - level * used // SCALE, 0)
                else:
                    rest.append(group)
            active = rest

    def _reserve(self, group: _Group, left: list[int]) -> list[int]:
        """Serve a reserved group first; return what is left for the others."""
        contended = [bool(share and wanted) for share, wanted in zip(group.shares, self._demand, strict=True)]
        if any(contended):
            left = [min(one, mixed) for one, mixed in zip(left, self._mixed_capacities, strict=True)]
        rate = group.limit
        for resource, share in enumerate(group.shares):
            if share:
                rate = min(rate, left[resource] * SCALE // (share * group.weight) // (2 if contended[resource] else 1))
        group.rate = rate or 1
        return [
            one - min(rate * group.weight * share // SCALE, one) for one, share in zip(left, group.shares, strict=True)
        ]


def _into(account: Account, group: _Group, done: Callable[[int], None]) -> Callable[[int], None]:
    """*done* for a move that joins *group* now, after what it has lost by then has been added to *account*."""
    before = list(group.lost)

    def accounted(now: int) -> None:
        for resource, (then, first) in enumerate(zip(group.lost, before, strict=True)):
            account[resource] += then - first
        done(now)

    return accounted
