"""What the pipes of a random program know of each other while it is written."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ascend_sim.kernel import AIC, AIV, CoreKind, Pipe

if TYPE_CHECKING:
    from program_writer import Step

Place = tuple[CoreKind, Pipe]
Knowledge = dict[Place, int]
"""How many accesses of each pipe are complete."""

PIPES = {AIC: (Pipe.MTE2, Pipe.MTE1, Pipe.M, Pipe.FIX), AIV: (Pipe.MTE2, Pipe.V, Pipe.MTE3)}


class Access(NamedTuple):
    """An access to a resource: how ("read", "write" or "add"), by which pipe, as its which access, at which step."""

    how: str
    place: Place
    number: int
    forwards: bool
    step: Step | None


class Order:
    """What each pipe knows to be complete, as the writer of a kernel may rely on it.

    A pipe has read before it begins its next instruction; it knows of its own writes only after a barrier, and of those
    of other pipes after a flag.
    """

    def __init__(self) -> None:
        self.begun: Knowledge = defaultdict(int)
        self.known: dict[Place, Knowledge] = defaultdict(lambda: defaultdict(int))
        self.after: dict[Step, Knowledge] = {}
        self._accesses: dict[str, list[Access]] = defaultdict(list)

    def snapshot(self, place: Place) -> Knowledge:
        """What *place* knows once all that it has begun is complete."""
        return {**self.known[place], place: self.begun[place]}

    def join(self, place: Place, knowledge: Knowledge) -> None:
        """*place* learns of *knowledge*."""
        mine = self.known[place]
        for other, number in knowledge.items():
            mine[other] = max(mine[other], number)

    def join_all(self, kind: CoreKind, knowledge: Knowledge) -> None:
        """All pipes of the cores of *kind* learn of *knowledge*."""
        for pipe in PIPES[kind]:
            self.join((kind, pipe), knowledge)

    def unordered(self, place: Place, touches: Sequence[tuple[str, str]], forwards: bool) -> dict[Place, Access]:
        """For each pipe the last access that *touches* (how, resource) of *place* must come after, and may not yet."""
        found: dict[Place, Access] = {}
        for how, resource in touches:
            for one in self._accesses[resource]:
                if (one.how == how and how != "write") or self.known[place][one.place] >= one.number:
                    continue
                if one.place == place and (one.how == "read" or (one.forwards and forwards)):
                    continue
                if one.place not in found or found[one.place].number < one.number:
                    found[one.place] = one
        return found

    def access(self, place: Place, touches: Sequence[tuple[str, str]], forwards: bool, step: Step | None) -> None:
        """*place* accesses what *touches* says."""
        self.begun[place] += 1
        for how, resource in touches:
            # What is ordered before a write orders what comes after it, too.
            if how == "write":
                self._accesses[resource].clear()
            self._accesses[resource].append(Access(how, place, self.begun[place], forwards, step))
        if step is not None:
            self.after[step] = self.snapshot(place)


class RingOrder:
    """What the two pipes of a ring learn of each other as its slots go round; call it in the order of the steps.

    Under unit_flag a drain that gives its tile back says nothing of the drains before it.
    """

    def __init__(
        self, name: str, order: Order, fill: Place, drain: Place, buffers: int, *, unit_flag: bool = False
    ) -> None:
        self.name = name
        self._unit_flag = unit_flag
        self._order, self._fill, self._drain = order, fill, drain
        self._freed: deque[Knowledge] = deque({} for _ in range(buffers))
        self._filled: deque[Knowledge] = deque()

    def alloc(self) -> None:
        """The fill pipe waits for a free slot."""
        self._order.join(self._fill, self._freed.popleft())

    def enque(self) -> None:
        """The fill pipe has written a slot."""
        self._filled.append(self._order.snapshot(self._fill))

    def deque(self) -> None:
        """The drain pipe waits for a full slot."""
        self._order.join(self._drain, self._filled.popleft())

    def free(self) -> None:
        """The drain pipe has read a slot."""
        known = self._order.known[self._drain]
        self._freed.append(dict(known) if self._unit_flag else self._order.snapshot(self._drain))
