"""One core: a scalar front end and in-order pipes.

Everything inside a core is a network of queues: a pipe's next start depends on when its instruction was
dispatched, when the pipe became free and when a flag was raised, and each of these is a number known as soon as
its producer has been worked out. So the core runs ahead of the simulated clock, from number to number, until every
pipe waits for something outside: bytes from the memory system or a flag of another core. Only those are events.
The order in which the pipes are worked out cannot change a result.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ascend_sim.config import Chip
from ascend_sim.engine.bandwidth import Account
from ascend_sim.engine.flags import Channel, Flags, UnitTiles
from ascend_sim.engine.lowering import (
    BARRIER,
    BARRIER_ALL,
    BURST,
    CROSS_SET,
    CROSS_WAIT,
    MOVE,
    PIPES,
    RUN,
    RUN_UNIT,
    SCALAR,
    SET,
    SHORTEST_BURST,
    WAIT,
    Burst,
    LoweredTemplate,
    Operation,
)
from ascend_sim.isa.timing import Move
from ascend_sim.kernel.program import CoreId

if TYPE_CHECKING:
    from ascend_sim.engine.machine import Machine


class PipeState:
    """An in-order pipe: when it is *free*, when its results are *visible*, what is *queued* and cannot go on.

    *count* entries have been put into its queue, of which *waiting* are still there; *left* has when each of the
    last ones left its slot, by entry number modulo the depth of the queue.
    """

    __slots__ = ("busy", "count", "free", "index", "left", "moving", "queued", "visible", "waiting")

    def __init__(self, index: int, depth: int) -> None:
        self.index = index
        self.free = 0
        self.visible = 0
        self.queued: deque[tuple[int, Operation, tuple[int, ...], int]] = deque()
        self.left = [0] * depth
        self.count = 0
        self.waiting = 0
        self.moving = False
        self.busy = 0


class CoreModel:
    """Executes the lowered stream of *core*; *weight* equal cores stand behind it."""

    def __init__(
        self,
        machine: Machine,
        number: int,
        core: CoreId,
        weight: int,
        calls: Sequence[tuple[LoweredTemplate, tuple[int, ...]]],
        chip: Chip,
        start: int,
    ) -> None:
        self.machine = machine
        self._watched = machine.observers.watch_moves
        self.number = number
        self.core = core
        self.weight = weight
        self.depth = chip.scalar.queue_depth.value
        self.pipes = [PipeState(index, self.depth) for index in range(len(PIPES))]
        self.flags = Flags()
        self.tiles = UnitTiles()
        self.channels: dict[tuple[int, int], list[Channel]] = {}
        self.routes: dict[tuple[int, int], list[tuple[CoreModel, Channel]]] = {}
        length = sum(len(template.operations) for template, _ in calls)
        self.dispatched = array("q", bytes(8 * length))
        self.starts = array("q", bytes(8 * length))
        self.ends = array("q", b"\xff" * (8 * length))
        self._times = tuple(np.frombuffer(times, dtype=np.int64) for times in (self.dispatched, self.starts, self.ends))
        self.links: dict[int, tuple[int, int]] = {}
        self.woken: list[PipeState] = []
        self.scalar_wait: Operation | PipeState | None = None
        self.queue_full_cycles = 0
        self._issue = chip.scalar.issue_cycles.value
        self._set_flag = chip.sync.set_flag_cycles.value
        self._cross_latency = chip.sync.cross_core_latency_cycles.value
        self.lowered_calls = calls
        self._call = 0
        self._position = 0
        self._index = 0
        self._time = start

    @property
    def finished(self) -> bool:
        """Whether every instruction has been carried out."""
        return self._call == len(self.lowered_calls) and not any(pipe.waiting or pipe.moving for pipe in self.pipes)

    @property
    def issued_all(self) -> bool:
        """Whether the scalar front end has issued its whole stream."""
        return self._call == len(self.lowered_calls)

    @property
    def front(self) -> tuple[int, int]:
        """Index of the instruction that the scalar front end stands at, and its time."""
        return self._index, self._time

    @property
    def end(self) -> int:
        """When the last result is visible."""
        return max(self._time, *(max(pipe.free, pipe.visible) for pipe in self.pipes))

    def operation(self, index: int) -> Operation:
        """The lowered instruction with *index* in program order."""
        for template, _ in self.lowered_calls:
            if index < len(template.operations):
                return template.operations[index]
            index -= len(template.operations)
        raise IndexError(index)

    def next_operation(self, kind: int, a: int) -> int | None:
        """Index of the first instruction of *kind* with operand *a* that has not been carried out, if any."""
        index = 0
        for template, _ in self.lowered_calls:
            for operation in template.operations:
                if operation[0] == kind and operation[2] == a and self.ends[index] < 0:
                    return index
                index += 1
        return None

    def settle(self) -> None:
        """Work out everything that can be known at this moment."""
        woken = self.woken
        while True:
            while woken:
                self._resume(woken.pop())
            if not self._dispatch():
                return

    def _dispatch(self) -> bool:
        """Issue instructions in program order; return whether a pipe was woken on the way."""
        pipes, issue, depth, woken = self.pipes, self._issue, self.depth, self.woken
        dispatched, starts, ends = self.dispatched, self.starts, self.ends
        index, time, position = self._index, self._time, self._position
        self.scalar_wait = None
        while self._call < len(self.lowered_calls):
            template, bases = self.lowered_calls[self._call]
            operations, runs = template.operations, template.runs
            while position < len(operations):
                operation = operations[position]
                kind, number, a, b, _ = operation
                pipe = pipes[number]
                if number == SCALAR:
                    done = self._scalar(operation, index, time)
                    if done < 0:
                        self._index, self._time, self._position = index, time, position
                        return bool(woken)
                    time = done
                elif pipe.waiting >= depth:
                    self.scalar_wait = pipe
                    self._index, self._time, self._position = index, time, position
                    return bool(woken)
                elif runs[position] >= SHORTEST_BURST and (length := self._room(pipe, runs[position])):
                    time = self._issue_burst(pipe, template.burst(position, length), index, time, bases)
                    index += length
                    position += length
                    continue
                else:
                    slot = pipe.count % depth
                    if pipe.left[slot] > time:
                        self.queue_full_cycles += pipe.left[slot] - time
                        time = pipe.left[slot]
                    dispatched[index] = time
                    pipe.count += 1
                    if pipe.waiting or pipe.moving:
                        pipe.queued.append((index, operation, bases, time))
                        pipe.waiting += 1
                    elif kind == RUN:
                        start = pipe.free if pipe.free > time else time
                        pipe.free = start + a
                        end = start + b
                        if end > pipe.visible:
                            pipe.visible = end
                        pipe.left[slot] = starts[index] = start
                        ends[index] = end
                    elif not self._execute(pipe, index, operation, bases, time, slot):
                        pipe.queued.append((index, operation, bases, time))
                        pipe.waiting += 1
                    time += issue
                index += 1
                position += 1
                if woken:
                    self._index, self._time, self._position = index, time, position
                    return True
            self._call += 1
            position = 0
        self._index, self._time, self._position = index, time, position
        return bool(woken)

    def _room(self, pipe: PipeState, wanted: int) -> int:
        """How many operations of a burst can be issued now: all if the pipe goes on, else what fits its queue."""
        if not (pipe.waiting or pipe.moving):
            return wanted
        room = min(self.depth - pipe.waiting, wanted)
        return room if room >= SHORTEST_BURST else 0

    def _issue_burst(self, pipe: PipeState, burst: Burst, index: int, time: int, bases: tuple[int, ...]) -> int:
        """Issue a burst as if one by one; return when the front end is done with it."""
        depth, issue, length = self.depth, self._issue, burst.length
        waits = pipe.waiting or pipe.moving
        first = pipe.count
        pipe.count += length
        slot = first % depth
        held = np.array((pipe.left[slot:] + pipe.left[:slot])[:length], dtype=np.int64)
        if waits:
            pipe.queued.append((index, (BURST, pipe.index, length, 0, burst), bases, max(time, int(held[0]))))
            pipe.waiting += length
        else:
            self._run_burst(pipe, burst, index, max(time, int(held[0])), first)
            if length > depth:
                held = np.concatenate([held, self._times[1][index : index + length - depth]])
        steps = np.arange(length, dtype=np.int64) * issue
        times = held - steps
        times[0] = max(times[0], time)
        times = np.maximum.accumulate(times) + steps
        self._times[0][index : index + length] = times
        done = int(times[-1]) + issue
        self.queue_full_cycles += done - time - length * issue
        return done

    def _run_burst(self, pipe: PipeState, burst: Burst, index: int, time: int, first: int) -> None:
        start = pipe.free if pipe.free > time else time
        visible, length, depth = pipe.visible, burst.length, self.depth
        begins, ends = burst.starts_a + start, burst.ends_a + start
        if burst.barrier < length and visible > ends[burst.barrier]:
            np.maximum(begins, burst.starts_b + visible, out=begins)
            np.maximum(ends, burst.ends_b + visible, out=ends)
        self._times[1][index : index + length] = begins
        self._times[2][index : index + length] = ends
        (free_a, free_b), (visible_a, visible_b) = burst.free, burst.visible
        pipe.free = max(start + free_a, visible + free_b)
        pipe.visible = max(start + visible_a, visible + visible_b)
        kept = min(length, depth)
        slot, tail = (first + length - kept) % depth, begins[length - kept :].tolist()
        to_end = min(kept, depth - slot)
        pipe.left[slot : slot + to_end] = tail[:to_end]
        pipe.left[: kept - to_end] = tail[to_end:]

    def _resume(self, pipe: PipeState) -> None:
        """Carry on with what is queued at *pipe*."""
        queued, depth = pipe.queued, self.depth
        starts, ends = self.starts, self.ends
        while queued and not pipe.moving:
            index, operation, bases, time = queued[0]
            entry = pipe.count - pipe.waiting
            kind = operation[0]
            if kind == RUN:
                start = pipe.free if pipe.free > time else time
                pipe.free = start + operation[2]
                end = start + operation[3]
                if end > pipe.visible:
                    pipe.visible = end
                pipe.left[entry % depth] = starts[index] = start
                ends[index] = end
            elif kind == BURST:
                self._run_burst(pipe, operation[4], index, time, entry)
                pipe.waiting -= operation[2] - 1
            elif not self._execute(pipe, index, operation, bases, time, entry % depth):
                return
            pipe.waiting -= 1
            queued.popleft()

    def _execute(
        self, pipe: PipeState, index: int, operation: Operation, bases: tuple[int, ...], time: int, slot: int
    ) -> bool:
        """Carry out one instruction of a pipe; return False if it must wait for something not known yet."""
        kind, _, a, b, extra = operation
        start = pipe.free if pipe.free > time else time
        if kind == SET:
            if pipe.visible > start:
                start = pipe.visible
            end = pipe.free = start + b
            self.flags[a].set(end, index, self)
        elif kind == WAIT:
            flag = self.flags[a]
            if not flag.raised:
                flag.waiter = pipe
                return False
            pipe.left[slot] = pipe.free = end = flag.wait(start, b, index, self)
            self.starts[index], self.ends[index] = start, end
            return True
        elif kind == MOVE:
            return self._move(pipe, index, extra, bases, start, slot)
        elif kind == BARRIER:
            end = pipe.free = max(start, pipe.visible)
        elif kind == RUN_UNIT:
            return self._run_on_tile(pipe, index, operation, start, slot)
        elif kind == CROSS_SET:
            if pipe.visible > start:
                start = pipe.visible
            end = pipe.free = start + self._set_flag
            self.machine.cross_set(self, a, b, end + self._cross_latency, index)
        else:
            raise AssertionError(f"operation {operation} cannot run on a pipe")
        pipe.left[slot] = start
        self.starts[index], self.ends[index] = start, end
        return True

    def _scalar(self, operation: Operation, index: int, time: int) -> int:
        """Carry out an instruction of the scalar unit; return when it is done, or -1 if that is not known yet."""
        kind, _, a, b, _ = operation
        end = time + self._issue
        if kind == BARRIER_ALL:
            for pipe in self.pipes:
                if pipe.waiting or pipe.moving:
                    self.scalar_wait = pipe
                    return -1
                end = max(end, pipe.free, pipe.visible)
        elif kind == CROSS_WAIT:
            channels = self.machine.channels(self, a, b)
            if not channels or not all(channel.ready for channel in channels):
                self.scalar_wait = operation
                return -1
            arrival, setter_core, setter = max(channel.take(time, index) for channel in channels)
            if arrival > time:
                self.links[index] = setter_core, setter
                end = max(end, arrival)
        elif kind == SET:
            end = max(end, time + b)
            self.flags[a].set(time + b, index, self)
        elif kind == WAIT:
            flag = self.flags[a]
            if not flag.raised:
                self.scalar_wait = operation
                flag.waiter = self.pipes[SCALAR]
                return -1
            end = max(end, flag.wait(time, b, index, self))
        self.dispatched[index] = self.starts[index] = time
        self.ends[index] = end
        return end

    def _run_on_tile(self, pipe: PipeState, index: int, operation: Operation, start: int, slot: int) -> bool:
        _, _, occupancy, latency, unit_flag = operation
        tile = self.tiles[unit_flag.slot]
        if unit_flag.acquire:
            if not tile.drained:
                tile.cube_waits = pipe
                return False
            freed, setter = tile.drained.popleft()
            if freed > start:
                start = freed
                self.links[index] = self.number, setter
        pipe.free = start + occupancy
        end = start + latency
        pipe.visible = max(pipe.visible, end)
        pipe.left[slot] = self.starts[index] = start
        self.ends[index] = end
        if unit_flag.release:
            tile.finished.append((start, end, index))
            if tile.drain_waits is not None:
                self.woken.append(tile.drain_waits)
                tile.drain_waits = None
        return True

    def _move(self, pipe: PipeState, index: int, move: Move, bases: tuple[int, ...], start: int, slot: int) -> bool:
        earliest_end = start + move.minimum
        if move.unit_flag is not None:
            tile = self.tiles[move.unit_flag.slot]
            if not tile.finished:
                tile.drain_waits = pipe
                return False
            begun, ended, setter = tile.finished.popleft()
            if begun > start:
                start = begun
                self.links[index] = self.number, setter
            earliest_end = max(start + move.minimum, ended + move.head)
        pipe.left[slot] = self.starts[index] = start
        pipe.moving = True
        base = bases[move.access.parameter] if move.access.parameter is not None else 0
        memory = self.machine.memory(self)
        account = memory.open_account() if self._watched else None
        done = partial(self._moved, pipe, index, move, earliest_end, account)
        memory.move(move, base, start, self.weight, done, account)
        return True

    def _moved(
        self, pipe: PipeState, index: int, move: Move, earliest_end: int, account: Account | None, now: int
    ) -> None:
        """The last byte of a move has arrived."""
        if account is not None:
            least = self.starts[index] + move.minimum
            limited = self.machine.memory(self).limited(account, now, least, earliest_end)
            self.machine.observers.moved(self.number, index, limited)
        end = max(now, earliest_end)
        pipe.moving = False
        pipe.free = end
        visible = end + move.latency
        pipe.busy += visible - max(self.starts[index], pipe.visible)
        pipe.visible = visible
        self.ends[index] = visible
        if move.unit_flag is not None:
            tile = self.tiles[move.unit_flag.slot]
            tile.drained.append((end, index))
            if tile.cube_waits is not None:
                self.woken.append(tile.cube_waits)
                tile.cube_waits = None
        self.woken.append(pipe)
        self.machine.wake(self)
