"""Executing a Program without times: any order that its flags allow.

What may happen next depends only on queues, flags and barriers here. The happens-before analysis lets everything happen
as soon as it can and follows what is known of what; the adversary picks among all that can happen at random. A
`Listener` hears of each step. What it returns for a set (a *token*) is handed to it again at the wait that takes the
set.

A pipe begins its instructions in order and completes them in order. `set_flag` and barriers wait until the earlier
instructions of their pipe are complete. The front end issues in program order; with a *depth*, no further than that
many instructions ahead of a pipe.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ascend_sim.config import Chip
from ascend_sim.engine.lowering import (
    BARRIER,
    BARRIER_ALL,
    CROSS_SET,
    CROSS_WAIT,
    MOVE,
    PIPE_INDEX,
    PIPES,
    RUN_UNIT,
    SCALAR,
    SET,
    WAIT,
    Operation,
    lower,
)
from ascend_sim.isa.instruction import Instruction
from ascend_sim.isa.words import CoreKind, Pipe
from ascend_sim.kernel.program import CoreId, Program, Stream

_CUBE, _DRAIN = PIPE_INDEX[Pipe.M], PIPE_INDEX[Pipe.FIX]


class Step(NamedTuple):
    """An issued instruction: its *position* in the stream of its core, lowered and as declared, and the bases it counts
    from.

    *token* is what the listener returned when it was issued.
    """

    position: int
    operation: Operation
    instruction: Instruction
    bases: tuple[int, ...]
    token: Any


class Listener:
    """Hears of every step; override what you want to hear of."""

    def issued(self, core: Core) -> Any:
        """The front end of *core* issues an instruction to a pipe; return its token."""

    def began(self, core: Core, pipe: int, step: Step) -> None:
        """An instruction that computes or moves begins: it reads its sources."""

    def completed(self, core: Core, pipe: int, step: Step) -> None:
        """It is complete: its results are visible."""

    def signalled(self, core: Core, pipe: int, step: Step) -> Any:
        """*step* sets a flag or hands a tile of L0C over; return the token for whoever waits for it."""

    def heard(self, core: Core, pipe: int, step: Step, tokens: Sequence[Any]) -> None:
        """*step* has waited for the sets with these *tokens*."""

    def drained(self, core: Core, pipe: int, step: Step) -> None:
        """A barrier: the earlier instructions of *pipe* (SCALAR: of all pipes) are complete."""


class Core:
    """What one core has issued, begun and not completed, and the flags it has seen raised."""

    def __init__(self, number: int, stream: Stream, calls: Sequence[tuple[Any, Any]]) -> None:
        self.number = number
        self.stream = stream
        self.id: CoreId = stream.core
        self.calls = calls
        self.queues: list[deque[Step]] = [deque() for _ in PIPES]
        self.unfinished: list[deque[Step]] = [deque() for _ in PIPES]
        self.flags: dict[int, deque[Any]] = {}
        self.channels: dict[tuple[int, int], list[deque[Any]]] = {}
        self.tiles: dict[int, Tile] = {}
        self.front = _front(stream, calls)
        self.next: tuple[int, Operation, Instruction, tuple[int, ...]] | None = next(self.front, None)

    def flag(self, number: int) -> deque[Any]:
        """The sets of a flag that no wait has taken."""
        found = self.flags.get(number)
        if found is None:
            found = self.flags[number] = deque()
        return found

    def tile(self, slot: int) -> Tile:
        """The L0C tile at byte *slot*."""
        found = self.tiles.get(slot)
        if found is None:
            found = self.tiles[slot] = Tile()
        return found

    @property
    def idle(self) -> bool:
        """Whether all that was issued is complete."""
        return not any(self.queues) and not any(self.unfinished)


class Tile:
    """The handshake of MMAD and FIXPIPE on one L0C tile: it is free at first."""

    __slots__ = ("drained", "finished")

    def __init__(self) -> None:
        self.drained: deque[Any] = deque([None])
        self.finished: deque[Any] = deque()


def _front(
    stream: Stream, calls: Sequence[tuple[Any, Any]]
) -> Iterator[tuple[int, Operation, Instruction, tuple[int, ...]]]:
    """The instructions of *stream* in program order: (index, lowered, declared, bases)."""
    index = 0
    for call, (lowered, bases) in zip(stream.calls, calls, strict=True):
        for operation, instruction in zip(lowered.operations, call.template.instructions, strict=True):
            yield index, operation, instruction, bases
            index += 1


class Untimed:
    """Executes *program*; call `dispatch`, `begin` and `complete` in any order, or `run_eagerly`.

    With *one_bit* a set of a flag that is still set is lost, as on the chip; without, every wait finds its set.
    """

    def __init__(
        self, program: Program, chip: Chip, listener: Listener, depth: int | None = None, one_bit: bool = False
    ) -> None:
        lowered = lower(program, chip)
        self._one_bit = one_bit
        self.listener = listener
        self.depth = depth
        self.cores = [
            Core(number, stream, [(lowered[call.template], call.bases) for call in stream.calls])
            for number, stream in enumerate(program.streams)
        ]
        self._groups: dict[tuple[int, int], list[Core]] = {}
        for core in self.cores:
            self._groups.setdefault((core.id.die, core.id.group), []).append(core)
        self.retry: list[tuple[Core, int]] = []
        """Pipes (SCALAR: the front end) for which something has changed since they were last tried."""

    def peers(self, core: Core, mode: int) -> list[Core]:
        """The cores that *mode* joins with *core*, in order."""
        here = core.id
        if mode == 0:
            return [other for other in self.cores if other.id.kind is here.kind and other.id.die == here.die]
        group = self._groups[here.die, here.group]
        if mode == 1:
            return [other for other in group if other.id.kind is CoreKind.AIV]
        return [other for other in group if other.id.kind is not here.kind]

    def channels(self, core: Core, flag: int, mode: int) -> list[deque[Any]]:
        """For each peer, the sets that a wait of *core* has not taken."""
        found = core.channels.get((flag, mode))
        if found is None:
            found = core.channels[flag, mode] = [deque() for _ in self.peers(core, mode)]
        return found

    def dispatch(self, core: Core) -> int:
        """Issue the next instruction; return its pipe, or -1 if the front end must wait or is done."""
        if core.next is None:
            return -1
        index, operation, instruction, bases = core.next
        pipe = operation[1]
        if pipe == SCALAR:
            if not self._scalar(core, Step(index, operation, instruction, bases, None)):
                return -1
        elif self.depth is not None and len(core.queues[pipe]) >= self.depth:
            return -1
        else:
            token = self.listener.issued(core)
            core.queues[pipe].append(Step(index, operation, instruction, bases, token))
        core.next = next(core.front, None)
        return pipe

    def _scalar(self, core: Core, step: Step) -> bool:
        kind, _, a, b, _ = step.operation
        if kind == BARRIER_ALL:
            if not core.idle:
                return False
            self.listener.drained(core, SCALAR, step)
        elif kind == CROSS_WAIT:
            channels = self.channels(core, a, b)
            if not channels or not all(channels):
                return False
            self.listener.heard(core, SCALAR, step, [channel.popleft() for channel in channels])
        elif kind == SET:
            self._raise(core, SCALAR, step)
        elif kind == WAIT:
            flag = core.flag(a)
            if not flag:
                return False
            self.listener.heard(core, SCALAR, step, [flag.popleft()])
        return True

    def _raise(self, core: Core, pipe: int, step: Step) -> None:
        number = step.operation[2]
        flag, token = core.flag(number), self.listener.signalled(core, pipe, step)
        if not (self._one_bit and flag):
            flag.append(token)
        self.retry.append((core, number % len(PIPES)))

    def begin(self, core: Core, pipe: int) -> bool:
        """Begin the oldest waiting instruction of *pipe*; return False if there is none or it must wait."""
        queue = core.queues[pipe]
        if not queue:
            return False
        step = queue[0]
        kind, _, a, _, extra = step.operation
        if kind in (SET, BARRIER, CROSS_SET):
            if core.unfinished[pipe]:
                return False
            self._signal(core, pipe, step)
        elif kind == WAIT:
            flag = core.flag(a)
            if not flag:
                return False
            self.listener.heard(core, pipe, step, [flag.popleft()])
        else:
            if kind == RUN_UNIT and extra.acquire:
                handed = core.tile(extra.slot).drained
            elif kind == MOVE and extra.unit_flag is not None:
                handed = core.tile(extra.unit_flag.slot).finished
            else:
                handed = None
            if handed is not None:
                if not handed:
                    return False
                self.listener.heard(core, pipe, step, [handed.popleft()])
            self.listener.began(core, pipe, step)
            core.unfinished[pipe].append(step)
            if kind == MOVE and extra.unit_flag is not None:
                # The tile has been read and is free, although what was read is not visible in global memory yet.
                core.tile(extra.unit_flag.slot).drained.append(self.listener.signalled(core, pipe, step))
                self.retry.append((core, _CUBE))
        queue.popleft()
        return True

    def _signal(self, core: Core, pipe: int, step: Step) -> None:
        kind, _, a, b, _ = step.operation
        if kind == SET:
            self._raise(core, pipe, step)
        elif kind == BARRIER:
            self.listener.drained(core, pipe, step)
        else:
            token = self.listener.signalled(core, pipe, step)
            for receiver in self.peers(core, b):
                self.channels(receiver, a, b)[self.peers(receiver, b).index(core)].append(token)
                self.retry.append((receiver, SCALAR))

    def complete(self, core: Core, pipe: int) -> bool:
        """Complete the oldest unfinished instruction of *pipe*; return False if there is none."""
        if not core.unfinished[pipe]:
            return False
        step = core.unfinished[pipe].popleft()
        self.listener.completed(core, pipe, step)
        kind, _, _, _, extra = step.operation
        if kind == RUN_UNIT and extra.release:
            core.tile(extra.slot).finished.append(self.listener.signalled(core, pipe, step))
            self.retry.append((core, _DRAIN))
        return True

    def run_eagerly(self) -> None:
        """Let everything happen as soon as it can, core after core; return when nothing more can happen."""
        for core in self.cores:
            self._advance(core)
            while self.retry:
                other, pipe = self.retry.pop()
                self._drain(other, pipe)
                self._advance(other)

    def _advance(self, core: Core) -> None:
        """Issue as far as possible, each pipe following at once."""
        while True:
            pipe = self.dispatch(core)
            if pipe < 0:
                return
            if pipe != SCALAR and len(core.queues[pipe]) == 1:
                self._drain(core, pipe)
                while self.retry and self.retry[-1][0] is core:
                    _, other = self.retry.pop()
                    self._drain(core, other)

    def _drain(self, core: Core, pipe: int) -> None:
        if pipe != SCALAR:
            while self.begin(core, pipe):
                self.complete(core, pipe)

    @property
    def finished(self) -> bool:
        """Whether every instruction has been carried out."""
        return all(core.next is None and core.idle for core in self.cores)
