"""A ring of buffers between two pipes, with its flags (Ascend C's TQue; ping-pong is a ring of two)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ascend_sim.errors import Diagnostic, KernelError
from ascend_sim.isa.instruction import Instruction
from ascend_sim.isa.operands import Buffer, LocalTensor
from ascend_sim.isa.source import SourceLine, user_line
from ascend_sim.isa.sync import SetFlag, WaitFlag
from ascend_sim.isa.words import Pipe
from ascend_sim.kernel.trace import emit

Slot = tuple[Buffer | LocalTensor, ...]


@dataclass(frozen=True, kw_only=True)
class RingSetFlag(SetFlag):
    """A set_flag that a ring has placed."""


@dataclass(frozen=True, kw_only=True)
class RingWaitFlag(WaitFlag):
    """A wait_flag that a ring has placed."""


def written_flags(instructions: Iterable[Instruction]) -> tuple[SetFlag | WaitFlag, ...]:
    """The flags among *instructions* that no ring has placed."""
    return tuple([one for one in instructions if type(one) in (SetFlag, WaitFlag)])  # type: ignore[misc]


class EventIds:
    """Which ring of a core holds which event id of each (source, destination) pair of pipes; a pair has *limit*."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._holders: dict[tuple[Pipe, Pipe], list[tuple[str, SourceLine]]] = defaultdict(list)

    def take(self, ring: str, source: Pipe, destination: Pipe, count: int) -> tuple[tuple[int, ...], str | None]:
        """Give *ring* the next *count* ids of the pair; return them, and what is wrong if there are too few left."""
        holders, limit = self._holders[source, destination], self._limit
        first = len(holders)
        holders.extend([(ring, user_line())] * count)
        fault = None
        if len(holders) > limit:
            names = [name for name, _ in holders]
            counts = ", ".join(f"{name} {names.count(name)}" for name in dict.fromkeys(names))
            fault = (
                f"ring '{ring}' needs {count} event ids {source.value}->{destination.value}, "
                f"{max(limit - first, 0)} of {limit} are left (in use: {counts}); put operands that travel "
                f"together into one ring, or use fewer buffers"
            )
        # Ids beyond the limit are reported; what follows is recorded with ids that exist.
        return tuple(number % limit for number in range(first, first + count)), fault

    def collisions(self, written: Sequence[SetFlag | WaitFlag]) -> Iterator[Diagnostic]:
        """A fault for each flag among *written*, those that the kernel of a core wrote, with an id of a ring."""
        for one in written:
            holders = self._holders.get((one.source, one.destination), [])
            if one.flag >= len(holders):
                continue
            name, where = holders[one.flag]
            pair = one.source, one.destination
            used = {other.flag for other in written if (other.source, other.destination) == pair}
            message = (
                f"{one.mnemonic}: event id {one.flag} {one.source.value}->{one.destination.value} belongs to ring "
                f"'{name}' ({where}); {_free([i for i in range(len(holders), self._limit) if i not in used])}"
            )
            yield Diagnostic(message, one.where.file, one.where.line)


def _free(ids: list[int]) -> str:
    """Which *ids* of a pair of pipes are free, in rising order, and what to do."""
    if not ids:
        return "no id of these pipes is free: give the rings fewer buffers, or let a ring order them here too"
    if len(ids) == 1:
        return f"id {ids[0]} is free: use that one"
    unbroken = ids[-1] - ids[0] + 1 == len(ids)
    named = f"{ids[0]}..{ids[-1]}" if unbroken else ", ".join(map(str, ids))
    return f"ids {named} are free: use one of them"


class Ring:
    """Buffers that a *fill* pipe writes and a *drain* pipe reads in turn.

    Each slot is one tensor or raw buffer, or a tuple of several that travel together (a left and a right
    operand). `fill` and `take` place the flags: a slot is filled after the drain pipe has given it back, and taken
    after it was filled.

        with ring.fill() as tile:      # on the fill pipe
            data_copy(tile, source)
        with ring.take() as tile:      # on the drain pipe
            load_data(operand, tile)

    `alloc`, `enque`, `deque` and `free` are the four steps one by one, as in Ascend C, for a slot that is held
    over several statements. A ring of *unit_flag* buffers (L0C) needs no flags: the hardware hands tiles over.
    """

    def __init__(
        self, name: str, slots: tuple[Slot, ...], fill: Pipe, drain: Pipe,
        filled_ids: tuple[int, ...], freed_ids: tuple[int, ...], usable: bool,
    ) -> None:
        self.name = name
        self.fill_pipe = fill
        self.drain_pipe = drain
        self.where = user_line()
        self.recipe = 0
        self._slots = slots
        self._filled_ids = filled_ids
        self._freed_ids = freed_ids
        self._usable = usable
        self.position: tuple[int, int, int, int] = 0, 0, 0, 0
        """Where the ring stands: the next slot to be freed, and how many steps alloc, enque and deque are ahead of it.
        Equal positions lead to equal instructions."""

    @property
    def depth(self) -> int:
        """Number of slots."""
        return len(self._slots)

    @property
    def _counts(self) -> list[int]:
        """Steps so far of alloc, enque, deque and free, whole turns of the ring left out."""
        freed, allocated, queued, dequeued = self.position
        return [freed + allocated, freed + queued, freed + dequeued, freed]

    def alloc(self) -> Any:
        """Wait on the fill pipe until the next slot is free, and return it."""
        allocated, _, _, freed = self._counts
        if allocated - freed >= self.depth:
            raise self._misuse(
                f"alloc of a slot number {allocated - freed + 1} while {self.depth} of {self.depth} are in use; "
                f"take and free one first, or give the ring more buffers"
            )
        index = allocated % self.depth
        self._step(0)
        if self._freed_ids:
            flag = self._freed_ids[index]
            emit(RingWaitFlag(where=user_line(), source=self.drain_pipe, destination=self.fill_pipe, flag=flag))
        return self._slot(index)

    def enque(self, turn: int | None = None) -> None:
        """Tell the drain pipe that the oldest allocated slot (or that of *turn*) is filled."""
        allocated, queued, _, _ = self._counts
        if queued >= allocated:
            raise self._misuse("enque without an allocated slot; call alloc (or fill) first")
        self._step(1)
        if self._filled_ids:
            flag = self._filled_ids[(queued if turn is None else turn) % self.depth]
            emit(RingSetFlag(where=user_line(), source=self.fill_pipe, destination=self.drain_pipe, flag=flag))

    def deque(self) -> Any:
        """Wait on the drain pipe until the oldest filled slot is there, and return it."""
        _, queued, dequeued, _ = self._counts
        if dequeued >= queued:
            raise self._misuse("take of a slot that nobody has filled before it in program order; fill the ring first")
        index = dequeued % self.depth
        self._step(2)
        if self._filled_ids:
            flag = self._filled_ids[index]
            emit(RingWaitFlag(where=user_line(), source=self.fill_pipe, destination=self.drain_pipe, flag=flag))
        return self._slot(index)

    def free(self, turn: int | None = None) -> None:
        """Give the oldest taken slot (or that of *turn*) back to the fill pipe."""
        _, _, dequeued, freed = self._counts
        if freed >= dequeued:
            raise self._misuse("free without a taken slot; call deque (or take) first")
        self._step(3)
        if self._freed_ids:
            flag = self._freed_ids[(freed if turn is None else turn) % self.depth]
            emit(RingSetFlag(where=user_line(), source=self.drain_pipe, destination=self.fill_pipe, flag=flag))

    @contextmanager
    def fill(self) -> Iterator[Any]:
        """The next free slot, for the fill pipe to write."""
        turn = self._counts[0]
        yield self.alloc()
        self.enque(turn)

    @contextmanager
    def take(self) -> Iterator[Any]:
        """The oldest filled slot, for the drain pipe to read."""
        turn = self._counts[2]
        yield self.deque()
        self.free(turn)

    def open(self) -> None:
        """Give every slot to the fill pipe, as Ascend C does when a queue is initialised."""
        for flag in self._freed_ids if self._usable else ():
            emit(RingSetFlag(where=self.where, source=self.drain_pipe, destination=self.fill_pipe, flag=flag))

    def close(self) -> Iterator[Diagnostic]:
        """Collect the flags of free slots at the end of the kernel; yield a fault for each slot left in use."""
        allocated, queued, dequeued, freed = self._counts
        for count, state, remedy in (
            (allocated - queued, "allocated but never filled", "enque"),
            (queued - dequeued, "filled but never taken", "take"),
            (dequeued - freed, "taken but never freed", "free"),
        ):
            if count:
                message = f"ring '{self.name}': {count} slot(s) {state} at the end of the kernel; {remedy} them"
                yield Diagnostic(message, self.where.file, self.where.line)
        if self._usable and allocated == freed:
            for flag in self._freed_ids:
                emit(RingWaitFlag(where=self.where, source=self.drain_pipe, destination=self.fill_pipe, flag=flag))

    def _step(self, which: int) -> None:
        if not self._usable:
            raise self._misuse("it belongs to the other kind of core; use it in a stage of that kind")
        counts = self._counts
        counts[which] += 1
        allocated, queued, dequeued, freed = counts
        self.position = freed % self.depth, allocated - freed, queued - freed, dequeued - freed

    def _slot(self, index: int) -> Any:
        slot = self._slots[index]
        return slot[0] if len(slot) == 1 else slot

    def _misuse(self, message: str) -> KernelError:
        where = user_line()
        return KernelError(Diagnostic(f"ring '{self.name}': {message}", where.file, where.line))
