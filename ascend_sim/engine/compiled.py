"""The timing engine, compiled by numba: the same cycles as `machine`, `core`, `memory`, `cache` and `bandwidth`.

Those are the readable definition; this is a translation of them to loops over integers, function by function and in
the same order of events, without bursts (which change no cycle). It keeps sums, and times if they are wanted, and
reports none of the faults that a program may have: whatever is not a plain run to the end makes it return another code
than DONE, and the caller turns to the definition.

All there is lies in one array *m* of integers, which numba passes on at no cost: first the entries that are named below
as "header", then records. A reference to a record is its address in *m*, and 0 is none: `m[pipe + FREE]` is when the
pipe at *pipe* is free. `tables` lays it all out. The only other array, *f*, has what moves need in floating point.
numba keeps what it has compiled beside this file, and looks at the date of this file alone; so everything compiled is
here, and the names of the entries too (docs/decisions/015).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Reals = NDArray[np.float64]
_Function = TypeVar("_Function", bound=Callable[..., Any])

DONE, FAULT, FULL, TOO_LONG = range(4)
"""How a run ends: well; with a fault or a deadlock; with one of the fixed sizes below exceeded; past MAX_CYCLES."""

NPIPES, SLOTS, WOKEN_SLOTS, READY_SLOTS = 7, 8, 64, 1 << 16
"""Pipes of a core (PIPES of `lowering`, the scalar unit first); sets of a flag, or hand-overs of a tile, that may be
known before they are taken; pipes and cores that may be about to go on."""

# Header: figures of the chip and sizes
(
    ISSUE, DEPTH, SET_FLAG, CROSS_LATENCY, MISS_EXTRA, RESIDENT, COUNTER_MAX, MAX_CYCLES,
    L2_READ, L2_WRITE, L2_TOTAL, HBM, HBM_MIXED, CORE_COUNT, FLAG_COUNT, CHANNEL_COUNT, FLOW_LIMIT, NODE_LIMIT, TIMED,
) = range(19)  # fmt: skip
FIGURES = 19
# Header: addresses of the first record of a kind, and of other areas
(
    CORES, PIPES, FLAGS, CHANNELS, FLOWS, GROUPS, IN_ORDER, ACTIVE, NODES, FILLS, AGES, HEAP, READY, STAMPS,
    SECTOR_FILLS, PAGES, STARTS, ENDS,
) = range(FIGURES, FIGURES + 18)  # fmt: skip
# Header: what changes
(
    CODE, NOW, EID, HEAP_SIZE, READY_HEAD, READY_COUNT, EVICTED_AT, LAST_FILL, OPEN_FILLS, IN_L2, AGE_HEAD, AGE_COUNT,
    FREE_NODE, NEW_NODE, LOOKUP, BW_TIME, BW_SEQUENCE, BW_DUE, BW_EVENT, BW_LIMITED, BW_RESERVED, GROUP_COUNT,
    FREE_GROUP, NEW_GROUP, FREE_FLOW, NEW_FLOW, READ_BYTES, WRITTEN_BYTES, HIT_BYTES, MISSED_BYTES, WRITTEN_BACK,
) = range(FIGURES + 18, FIGURES + 49)  # fmt: skip
# Header: four entries each, by resource: L2 reads, L2 writes, both, HBM
DEMAND, WANTED, ASKED, LEFT_OVER = range(FIGURES + 49, FIGURES + 65, 4)
HEADER = FIGURES + 65

# Records
KIND, PIPE, A, B, X = range(5)
"""An operation, as in `lowering`. A: of a flag, its place behind the FLAGS of a core; of a cross-core flag, that of its
pair. X: of a MOVE, its move; of a RUN_UNIT, 4 x the place of its tile + 2 if it acquires it + 1 if it releases it.
"""
OP = 5
RUN, RUN_UNIT, MOVE, SET, WAIT, BARRIER, BARRIER_ALL, CROSS_SET, CROSS_WAIT = range(9)
FIRST_OP, BEHIND_OP = 0, 1
TEMPLATE = 2
CALLED, BASES = 0, 1
CALL = 2
BASE, PHASE, TENSOR = range(3)
"""An address that a call binds: in bytes; the place of its phase in the flow cycles of a move; the tensor it is in."""
BINDING = 3
ORIGIN, GRANULE_BITS, GRANULE_SECTORS, PLACE, TENSOR_PITCH, TOGETHER = range(6)
"""A tensor, in bytes from its first byte on. Whatever moves of it is a multiple of its granule, in place and size, so
that the sectors of a granule, of 2**GRANULE_BITS bytes, are always alike: there is one stamp for them. PLACE is that of
the first one. Of a tensor whose rows, TENSOR_PITCH bytes apart, always move TOGETHER, one row stands for so many: where
its granules are is told by `_place_of`, and how many a move touches by `_extent`. GRANULE_SECTORS counts all rows."""
TENSOR_SIZE = 6
(
    MOVE_HEAD, MINIMUM, LATENCY, TRAFFIC, PARAMETER, OFFSET, ROWS, ROW_BYTES, PITCH, TILE, FLOW_CYCLES, MOVE_TENSOR
) = range(12)  # fmt: skip
"""PARAMETER is -1 for none, TILE a place behind the TILES of a core or -1. f[FLOW_CYCLES] is the rate of misses; behind
it come cycles by phase. Only a move without PARAMETER has a MOVE_TENSOR."""
MOVE_SIZE = 12
READ, WRITE, ATOMIC = range(3)
(
    NEXT_CALL, BEHIND_CALLS, POSITION, INDEX, TIME, WEIGHT, ITS_PIPES, ITS_FLAGS, ITS_TILES, ITS_PAIRS, ITS_TIMES,
    WOKEN_COUNT, WOKEN
) = range(13)  # fmt: skip
CORE = 12 + WOKEN_SLOTS
(
    ITS_CORE, FREE, VISIBLE, TAIL, HEAD, WAITING, MOVING, BUSY, AT_MOVE, AT_INDEX, AT_BASE, AT_PHASE, AT_TENSOR,
    AT_START, AT_EARLIEST, AT_FILL, AT_MISSING, AT_LIMIT, AT_SHARE, AT_STAGE, LEFT
) = range(21)  # fmt: skip
"""A pipe: the slots of its queue that the next entry takes and that the oldest one waiting has, the move under way
(AT_...), and for each slot when it was left, and the operation, call, time and index that wait there: 5 x DEPTH entries
from LEFT on."""
PIPE_SIZE = 20
LOWERED, WAITER, RAISED_HEAD, RAISED_COUNT, RAISED = range(5)
FLAG = 4 + SLOTS
FINISHED_HEAD, FINISHED_COUNT, DRAINED_HEAD, DRAINED_COUNT, CUBE_WAITS, DRAIN_WAITS, FINISHED = range(7)
DRAINED = FINISHED + 2 * SLOTS
TILE_SIZE = DRAINED + SLOTS
SETS, SETS_BEHIND, WAITS, WAITS_BEHIND = range(4)
"""What a (cross-core flag, mode) is to a core: whom a set tells, as pairs of channel and core; what a wait hears."""
PAIR = 4
ARRIVED, TAKEN, ARRIVALS, WAITED_AT = range(4)
CHANNEL = 4
END, SEQUENCE, FLOW_WEIGHT, FLOW_PIPE, NEXT = range(5)
FLOW = 5
LIMIT, SHARES, RESERVED, RATE, SERVED, GROUP_WEIGHT, FIRST = 0, 1, 5, 6, 7, 8, 9
GROUP = 10
NODE_PIPE, NODE_NEXT = range(2)
NODE = 2
OPEN, FIRST_PAGE, BEHIND_PAGE, SEEN, FIRST_WAITER, LAST_WAITER = range(6)
FILL = 6
AGE_STAMP, AGE_BEGIN, AGE_WEIGHT, AGE_MOVE, AGE_TENSOR = range(5)
AGE = 5
EVENT_TIME, EVENT_ID, EVENT_PIPE = range(3)
EVENT = 3

SCALE = 1 << 20
TOLERANCE = SCALE >> 8
PAGE_BITS = 9
FAR = 1 << 62
"""SCALE and TOLERANCE of `bandwidth`, pages of `cache`."""


def compiled(function: _Function) -> _Function:
    """Compile *function* when it is first called, or take what was compiled before."""
    return cast(_Function, njit(cache=True, error_model="numpy")(function))


@compiled
def run_die(m: Integers, f: Reals) -> int:
    """Simulate the die until every core is done (DONE), or return why it did not come to that."""
    first, behind = m[CORES], m[CORES] + m[CORE_COUNT] * CORE
    for core in range(first, behind, CORE):
        _wake(m, core)
    _settle(m)
    while m[CODE] == DONE:
        arrives, planned = m[HEAP_SIZE] > 0, m[BW_EVENT] > 0
        if not arrives and not planned:
            break
        if arrives and planned:
            time, event = m[m[HEAP] + EVENT_TIME], m[m[HEAP] + EVENT_ID]
            arrives = time < m[BW_DUE] or (time == m[BW_DUE] and event < m[BW_EVENT])
        if arrives:
            m[NOW] = m[m[HEAP] + EVENT_TIME]
            pipe = _pop(m)
            if m[pipe + AT_STAGE]:
                _flow(m, pipe)
            else:
                _arrive(m, f, pipe)
        else:
            m[NOW] = m[BW_DUE]
            _complete(m)
        if m[NOW] > m[MAX_CYCLES]:
            return TOO_LONG
        _settle(m)
    if m[CODE] != DONE:
        return int(m[CODE])
    for core in range(first, behind, CORE):
        if m[core + NEXT_CALL] < m[core + BEHIND_CALLS] or _held(m, core):
            return FAULT
    return _flags_left(m)


@compiled
def _held(m: Integers, core: int) -> bool:
    """Whether any pipe of *core* has something to do."""
    size = PIPE_SIZE + 5 * m[DEPTH]
    for pipe in range(m[core + ITS_PIPES], m[core + ITS_PIPES] + NPIPES * size, size):
        if m[pipe + WAITING] or m[pipe + MOVING]:
            return True
    return False


@compiled
def _flags_left(m: Integers) -> int:
    """FAULT if a flag was left raised twice, or a cross-core counter ran over (`Channel.overflows`)."""
    for flag in range(m[FLAGS], m[FLAGS] + m[FLAG_COUNT] * FLAG, FLAG):
        if m[flag + RAISED_COUNT] > 1:
            return FAULT
    limit = m[COUNTER_MAX]
    for channel in range(m[CHANNELS], m[CHANNELS] + m[CHANNEL_COUNT] * CHANNEL, CHANNEL):
        arrived, taken, seen = m[channel + ARRIVED], m[channel + TAKEN], 0
        for wait in range(taken):
            while seen < arrived and m[m[channel + ARRIVALS] + seen] <= m[m[channel + WAITED_AT] + wait]:
                seen += 1
            if seen - wait > limit:
                return FAULT
        if arrived - taken > limit:
            return FAULT
    return DONE


# --- cores (core.py) ---


@compiled
def _wake(m: Integers, core: int) -> None:
    """Let *core* go on once the current event has been dealt with."""
    if m[READY_COUNT] == READY_SLOTS:
        m[CODE] = FULL
        return
    m[m[READY] + (m[READY_HEAD] + m[READY_COUNT]) % READY_SLOTS] = core
    m[READY_COUNT] += 1


@compiled
def _settle(m: Integers) -> None:
    """Let the cores that are ready work out everything that can be known at this moment."""
    while m[READY_COUNT]:
        core = m[m[READY] + m[READY_HEAD]]
        m[READY_HEAD] = (m[READY_HEAD] + 1) % READY_SLOTS
        m[READY_COUNT] -= 1
        going = True
        while going:
            while m[core + WOKEN_COUNT]:
                m[core + WOKEN_COUNT] -= 1
                _resume(m, core, m[core + WOKEN + m[core + WOKEN_COUNT]])
            going = _dispatch(m, core)


@compiled
def _rouse(m: Integers, core: int, pipe: int) -> None:
    """Let *pipe* go on with what is queued at it."""
    if m[core + WOKEN_COUNT] == WOKEN_SLOTS:
        m[CODE] = FULL
        return
    m[core + WOKEN + m[core + WOKEN_COUNT]] = pipe
    m[core + WOKEN_COUNT] += 1


@compiled
def _dispatch(m: Integers, core: int) -> bool:
    """Issue instructions in program order; return whether a pipe was woken on the way."""
    issue, depth = m[ISSUE], m[DEPTH]
    index, time, position = m[core + INDEX], m[core + TIME], m[core + POSITION]
    while m[core + NEXT_CALL] < m[core + BEHIND_CALLS]:
        call = m[core + NEXT_CALL]
        op = m[m[call + CALLED] + FIRST_OP] + position * OP
        behind = m[m[call + CALLED] + BEHIND_OP]
        while op < behind:
            if m[op + PIPE] == 0:
                done = _scalar(m, core, op, index, time)
                if done < 0:
                    _stand(m, core, index, time, position)
                    return bool(m[core + WOKEN_COUNT] > 0)
                time = done
            else:
                pipe = m[core + ITS_PIPES] + m[op + PIPE] * (PIPE_SIZE + 5 * depth)
                if m[pipe + WAITING] >= depth:
                    _stand(m, core, index, time, position)
                    return bool(m[core + WOKEN_COUNT] > 0)
                slot = m[pipe + TAIL]
                time = max(time, m[pipe + LEFT + slot])
                m[pipe + TAIL] = slot + 1 if slot + 1 < depth else 0
                if m[pipe + WAITING] or m[pipe + MOVING]:
                    _queue(m, pipe, slot, op, call, time, index)
                elif m[op + KIND] == RUN:
                    _run(m, core, pipe, op, index, time, slot)
                elif not _execute(m, core, pipe, op, call, index, time, slot):
                    _queue(m, pipe, slot, op, call, time, index)
                time += issue
            index += 1
            position += 1
            op += OP
            if m[core + WOKEN_COUNT]:
                _stand(m, core, index, time, position)
                return True
        m[core + NEXT_CALL] += CALL
        position = 0
    _stand(m, core, index, time, position)
    return bool(m[core + WOKEN_COUNT] > 0)


@compiled
def _stand(m: Integers, core: int, index: int, time: int, position: int) -> None:
    """Keep where the scalar front end stands."""
    m[core + INDEX], m[core + TIME], m[core + POSITION] = index, time, position


@compiled
def _note(m: Integers, core: int, index: int, start: int, end: int) -> None:
    """Keep when an instruction started and ended, if that is wanted."""
    if m[TIMED]:
        at = m[core + ITS_TIMES] + index
        m[m[STARTS] + at], m[m[ENDS] + at] = start, end


@compiled
def _queue(m: Integers, pipe: int, slot: int, op: int, call: int, time: int, index: int) -> None:
    """Let an instruction wait in its *slot* of the queue of *pipe*."""
    if not m[pipe + WAITING]:
        m[pipe + HEAD] = slot
    at = pipe + LEFT + m[DEPTH] + 4 * slot
    m[at], m[at + 1], m[at + 2], m[at + 3] = op, call, time, index
    m[pipe + WAITING] += 1


@compiled
def _resume(m: Integers, core: int, pipe: int) -> None:
    """Carry on with what is queued at *pipe*."""
    depth = m[DEPTH]
    while m[pipe + WAITING] and not m[pipe + MOVING]:
        slot = m[pipe + HEAD]
        at = pipe + LEFT + depth + 4 * slot
        op, call, time, index = m[at], m[at + 1], m[at + 2], m[at + 3]
        if m[op + KIND] == RUN:
            _run(m, core, pipe, op, index, time, slot)
        elif not _execute(m, core, pipe, op, call, index, time, slot):
            return
        m[pipe + WAITING] -= 1
        m[pipe + HEAD] = slot + 1 if slot + 1 < depth else 0


@compiled
def _run(m: Integers, core: int, pipe: int, op: int, index: int, time: int, slot: int) -> None:
    start = max(m[pipe + FREE], time)
    end = start + m[op + B]
    m[pipe + FREE] = start + m[op + A]
    m[pipe + VISIBLE] = max(m[pipe + VISIBLE], end)
    m[pipe + LEFT + slot] = start
    _note(m, core, index, start, end)


@compiled
def _execute(m: Integers, core: int, pipe: int, op: int, call: int, index: int, time: int, slot: int) -> bool:
    """Carry out one instruction of a pipe; return False if it must wait for something not known yet."""
    kind, a, b = m[op + KIND], m[op + A], m[op + B]
    start = max(m[pipe + FREE], time)
    if kind == MOVE:
        return _start_move(m, core, pipe, op, call, index, start, slot)
    if kind == RUN_UNIT:
        return _run_on_tile(m, core, pipe, op, index, start, slot)
    if kind == WAIT:
        flag = m[core + ITS_FLAGS] + a
        if not m[flag + RAISED_COUNT]:
            m[flag + WAITER] = pipe
            return False
        end = _take_flag(m, flag, start, b)
        m[pipe + LEFT + slot] = end
    else:
        start = max(start, m[pipe + VISIBLE]) if kind != BARRIER else start
        if kind == SET:
            end = start + b
            _raise_flag(m, core, a, end)
        elif kind == BARRIER:
            end = max(start, m[pipe + VISIBLE])
        else:  # CROSS_SET
            end = start + m[SET_FLAG]
            _cross_set(m, core, a, end + m[CROSS_LATENCY])
        m[pipe + LEFT + slot] = start
    m[pipe + FREE] = end
    _note(m, core, index, start, end)
    return True


@compiled
def _scalar(m: Integers, core: int, op: int, index: int, time: int) -> int:
    """Carry out an instruction of the scalar unit; return when it is done, or -1 if that is not known yet."""
    kind, a, b = m[op + KIND], m[op + A], m[op + B]
    end = time + m[ISSUE]
    if kind == BARRIER_ALL:
        if _held(m, core):
            return -1
        size = PIPE_SIZE + 5 * m[DEPTH]
        for pipe in range(m[core + ITS_PIPES], m[core + ITS_PIPES] + NPIPES * size, size):
            end = max(end, m[pipe + FREE], m[pipe + VISIBLE])
    elif kind == CROSS_WAIT:
        pair = m[core + ITS_PAIRS] + a
        if m[pair + WAITS] == m[pair + WAITS_BEHIND]:
            return -1
        for heard in range(m[pair + WAITS], m[pair + WAITS_BEHIND]):
            if m[m[heard] + ARRIVED] <= m[m[heard] + TAKEN]:
                return -1
        for heard in range(m[pair + WAITS], m[pair + WAITS_BEHIND]):
            channel = m[heard]
            taken = m[channel + TAKEN]
            m[m[channel + WAITED_AT] + taken] = time
            m[channel + TAKEN] = taken + 1
            end = max(end, m[m[channel + ARRIVALS] + taken])
    elif kind == SET:
        end = max(end, time + b)
        _raise_flag(m, core, a, time + b)
    elif kind == WAIT:
        flag = m[core + ITS_FLAGS] + a
        if not m[flag + RAISED_COUNT]:
            m[flag + WAITER] = m[core + ITS_PIPES]
            return -1
        end = max(end, _take_flag(m, flag, time, b))
    _note(m, core, index, time, end)
    return int(end)


# --- flags, tiles and channels (flags.py) ---


@compiled
def _raise_flag(m: Integers, core: int, place: int, time: int) -> None:
    flag = m[core + ITS_FLAGS] + place
    count = m[flag + RAISED_COUNT]
    if time < m[flag + LOWERED] and not count:
        m[CODE] = FAULT
    if count == SLOTS:
        m[CODE] = FULL
        return
    m[flag + RAISED + (m[flag + RAISED_HEAD] + count) % SLOTS] = time
    m[flag + RAISED_COUNT] = count + 1
    if m[flag + WAITER]:
        _rouse(m, core, m[flag + WAITER])
        m[flag + WAITER] = 0


@compiled
def _take_flag(m: Integers, flag: int, start: int, cycles: int) -> int:
    """Take the oldest set from *start* on; return when the wait is done."""
    head = m[flag + RAISED_HEAD]
    end = max(start, m[flag + RAISED + head]) + cycles
    head = (head + 1) % SLOTS
    m[flag + RAISED_HEAD] = head
    m[flag + RAISED_COUNT] -= 1
    m[flag + LOWERED] = end
    if m[flag + RAISED_COUNT] and m[flag + RAISED + head] < end:
        m[CODE] = FAULT
    return int(end)


@compiled
def _cross_set(m: Integers, core: int, place: int, arrival: int) -> None:
    """Tell every core that the set reaches."""
    pair = m[core + ITS_PAIRS] + place
    for told in range(m[pair + SETS], m[pair + SETS_BEHIND], 2):
        channel = m[told]
        m[m[channel + ARRIVALS] + m[channel + ARRIVED]] = arrival
        m[channel + ARRIVED] += 1
        _wake(m, m[told + 1])


@compiled
def _run_on_tile(m: Integers, core: int, pipe: int, op: int, index: int, start: int, slot: int) -> bool:
    """An MMAD that begins or ends a tile under unit_flag."""
    x = m[op + X]
    tile = m[core + ITS_TILES] + (x >> 2)
    if x & 2:
        if not m[tile + DRAINED_COUNT]:
            m[tile + CUBE_WAITS] = pipe
            return False
        start = max(start, m[tile + DRAINED + m[tile + DRAINED_HEAD]])
        m[tile + DRAINED_HEAD] = (m[tile + DRAINED_HEAD] + 1) % SLOTS
        m[tile + DRAINED_COUNT] -= 1
    _run(m, core, pipe, op, index, start, slot)
    if x & 1:
        if m[tile + FINISHED_COUNT] == SLOTS:
            m[CODE] = FULL
            return True
        at = tile + FINISHED + 2 * ((m[tile + FINISHED_HEAD] + m[tile + FINISHED_COUNT]) % SLOTS)
        m[at], m[at + 1] = start, start + m[op + B]
        m[tile + FINISHED_COUNT] += 1
        if m[tile + DRAIN_WAITS]:
            _rouse(m, core, m[tile + DRAIN_WAITS])
            m[tile + DRAIN_WAITS] = 0
    return True


# --- moves (core.py, memory.py) ---


@compiled
def _start_move(m: Integers, core: int, pipe: int, op: int, call: int, index: int, start: int, slot: int) -> bool:
    move = m[op + X]
    earliest = start + m[move + MINIMUM]
    if m[move + TILE] >= 0:
        tile = m[core + ITS_TILES] + m[move + TILE]
        if not m[tile + FINISHED_COUNT]:
            m[tile + DRAIN_WAITS] = pipe
            return False
        at = tile + FINISHED + 2 * m[tile + FINISHED_HEAD]
        m[tile + FINISHED_HEAD] = (m[tile + FINISHED_HEAD] + 1) % SLOTS
        m[tile + FINISHED_COUNT] -= 1
        start = max(start, m[at])
        earliest = max(start + m[move + MINIMUM], m[at + 1] + m[move + MOVE_HEAD])
    m[pipe + LEFT + slot] = start
    m[pipe + MOVING] = 1
    m[pipe + AT_MOVE], m[pipe + AT_INDEX], m[pipe + AT_START], m[pipe + AT_EARLIEST] = move, index, start, earliest
    m[pipe + AT_BASE], m[pipe + AT_PHASE], m[pipe + AT_TENSOR], m[pipe + AT_STAGE] = 0, 0, m[move + MOVE_TENSOR], 0
    if m[move + PARAMETER] >= 0:
        at = m[call + BASES] + BINDING * m[move + PARAMETER]
        m[pipe + AT_BASE], m[pipe + AT_PHASE], m[pipe + AT_TENSOR] = m[at + BASE], m[at + PHASE], m[at + TENSOR]
    _push(m, start + m[move + MOVE_HEAD], pipe)
    return True


@compiled
def _arrive(m: Integers, f: Reals, pipe: int) -> None:
    """The request of a move reaches L2."""
    move, weight = m[pipe + AT_MOVE], m[m[pipe + ITS_CORE] + WEIGHT]
    if m[NOW] != m[EVICTED_AT]:
        m[EVICTED_AT] = m[NOW]
        written_back = _evict(m)
        if written_back:
            _begin(m, written_back, m[HBM], READ, 0, SCALE, 1, 0)
    size = m[move + ROWS] * m[move + ROW_BYTES]
    missed = _access(m, pipe, weight)
    cycles = f[m[move + FLOW_CYCLES] + 1 + m[pipe + AT_PHASE]]
    if missed:
        cycles = max(cycles, missed / f[m[move + FLOW_CYCLES]] - m[move + MOVE_HEAD] - m[MISS_EXTRA])
    m[pipe + AT_LIMIT] = max(int(size * SCALE / cycles), 1)
    m[pipe + AT_SHARE] = SCALE * missed // size
    if missed:
        m[pipe + AT_STAGE] = 1
        _push(m, m[NOW] + m[MISS_EXTRA], pipe)
    else:
        _flow(m, pipe)


@compiled
def _flow(m: Integers, pipe: int) -> None:
    """The bytes of a move begin to flow."""
    move, weight = m[pipe + AT_MOVE], m[m[pipe + ITS_CORE] + WEIGHT]
    size = m[move + ROWS] * m[move + ROW_BYTES]
    _begin(m, size, m[pipe + AT_LIMIT], m[move + TRAFFIC], SCALE, m[pipe + AT_SHARE], weight, pipe)


@compiled
def _arrived(m: Integers, pipe: int) -> None:
    """The last of its own bytes has come for a move: it may be done, and those that waited for its fill."""
    fill = m[pipe + AT_FILL]
    if fill:
        m[fill + OPEN] = 0
        m[OPEN_FILLS] -= 1
        for page in range(m[fill + FIRST_PAGE], m[fill + BEHIND_PAGE]):
            m[page] -= 1
    _one_more(m, pipe)
    node = m[fill + FIRST_WAITER] if fill else 0
    while node:
        _one_more(m, m[node + NODE_PIPE])
        following = m[node + NODE_NEXT]
        m[node + NODE_NEXT] = m[FREE_NODE]
        m[FREE_NODE] = node
        node = following


@compiled
def _one_more(m: Integers, pipe: int) -> None:
    """One of the things has come that a move waits for; with the last of them it is done."""
    m[pipe + AT_MISSING] -= 1
    if m[pipe + AT_MISSING]:
        return
    core, move = m[pipe + ITS_CORE], m[pipe + AT_MOVE]
    end = max(m[NOW], m[pipe + AT_EARLIEST])
    visible = end + m[move + LATENCY]
    m[pipe + MOVING] = 0
    m[pipe + FREE] = end
    m[pipe + BUSY] += visible - max(m[pipe + AT_START], m[pipe + VISIBLE])
    m[pipe + VISIBLE] = visible
    _note(m, core, m[pipe + AT_INDEX], m[pipe + AT_START], visible)
    if m[move + TILE] >= 0:
        tile = m[core + ITS_TILES] + m[move + TILE]
        if m[tile + DRAINED_COUNT] == SLOTS:
            m[CODE] = FULL
            return
        m[tile + DRAINED + (m[tile + DRAINED_HEAD] + m[tile + DRAINED_COUNT]) % SLOTS] = end
        m[tile + DRAINED_COUNT] += 1
        if m[tile + CUBE_WAITS]:
            _rouse(m, core, m[tile + CUBE_WAITS])
            m[tile + CUBE_WAITS] = 0
    _rouse(m, core, pipe)
    _wake(m, core)


@compiled
def _push(m: Integers, time: int, pipe: int) -> None:
    """Plan an event of the move of *pipe*: a binary heap by time and number."""
    m[EID] += 1
    heap, at, number = m[HEAP], m[HEAP_SIZE], m[EID]
    m[HEAP_SIZE] += 1
    while at:
        above, here = heap + EVENT * ((at - 1) // 2), heap + EVENT * at
        if m[above + EVENT_TIME] < time or (m[above + EVENT_TIME] == time and m[above + EVENT_ID] < number):
            break
        m[here], m[here + 1], m[here + 2] = m[above], m[above + 1], m[above + 2]
        at = (at - 1) // 2
    here = heap + EVENT * at
    m[here], m[here + 1], m[here + 2] = time, number, pipe


@compiled
def _pop(m: Integers) -> int:
    """The pipe of the first event, which is taken out."""
    heap = m[HEAP]
    first = m[heap + EVENT_PIPE]
    m[HEAP_SIZE] -= 1
    size = m[HEAP_SIZE]
    last = heap + EVENT * size
    time, number, pipe = m[last], m[last + 1], m[last + 2]
    at = 0
    while 2 * at + 1 < size:
        below = 2 * at + 1
        there = heap + EVENT * below
        other = there + EVENT
        if below + 1 < size and (m[other] < m[there] or (m[other] == m[there] and m[other + 1] < m[there + 1])):
            below, there = below + 1, other
        if time < m[there] or (time == m[there] and number < m[there + 1]):
            break
        here = heap + EVENT * at
        m[here], m[here + 1], m[here + 2] = m[there], m[there + 1], m[there + 2]
        at = below
    here = heap + EVENT * at
    m[here], m[here + 1], m[here + 2] = time, number, pipe
    return int(first)


# --- cache (cache.py): the entry of a granule is 2 x stamp + dirty, 0 if it is absent ---


@compiled
def _place_of(m: Integers, tensor: int, begin: int) -> int:
    """Where the byte at *begin* of *tensor* is once rows that move together are one."""
    together, pitch = m[tensor + TOGETHER], m[tensor + TENSOR_PITCH]
    if together == 1:
        return begin
    row = begin // pitch
    return int(begin + (row // together - row) * pitch)


@compiled
def _extent(m: Integers, move: int, tensor: int) -> tuple[int, int, int]:
    """Rows, bytes of a row and pitch of what *move* touches of *tensor*, once rows that move together are one."""
    rows, row_bytes, pitch, together = m[move + ROWS], m[move + ROW_BYTES], m[move + PITCH], m[tensor + TOGETHER]
    if together > 1:
        if rows > 1:
            rows //= together
        else:  # whole rows one behind the other
            row_bytes //= together
            pitch = row_bytes
    return rows, row_bytes, pitch


@compiled
def _access(m: Integers, pipe: int, weight: int) -> int:
    """Touch the bytes of the move of *pipe*; return the bytes that are missed and come from HBM."""
    move, tensor = m[pipe + AT_MOVE], m[pipe + AT_TENSOR]
    bits, first_place, traffic = m[tensor + GRANULE_BITS], m[tensor + PLACE], m[move + TRAFFIC]
    begin = _place_of(m, tensor, m[pipe + AT_BASE] + m[move + OFFSET] - m[tensor + ORIGIN])
    rows, row_bytes, pitch = _extent(m, move, tensor)
    first_page = m[PAGES] + (first_place + (begin >> bits) >> PAGE_BITS)
    last_byte = begin + (rows - 1) * pitch + row_bytes - 1
    behind_page = m[PAGES] + (first_place + (last_byte >> bits) >> PAGE_BITS) + 1
    m[pipe + AT_FILL], m[pipe + AT_MISSING] = 0, 1
    if traffic != WRITE and m[OPEN_FILLS]:
        for page in range(first_page, behind_page):
            if m[page]:
                _wait_for_fills(m, pipe, begin)
                break
    fresh = m[LAST_FILL] + FILL
    absent = _touch(m, move, begin, tensor, 2 * (m[NOW] + 1), fresh)
    if traffic != WRITE and absent:
        m[LAST_FILL] = fresh
        m[OPEN_FILLS] += 1
        m[pipe + AT_FILL] = fresh
        m[fresh + OPEN], m[fresh + FIRST_PAGE], m[fresh + BEHIND_PAGE] = 1, first_page, behind_page
        for page in range(first_page, behind_page):
            m[page] += 1
    m[IN_L2] += absent * weight * m[tensor + GRANULE_SECTORS]
    age = m[AGES] + AGE * (m[AGE_HEAD] + m[AGE_COUNT])
    m[age + AGE_STAMP], m[age + AGE_BEGIN], m[age + AGE_WEIGHT] = m[NOW] + 1, begin, weight
    m[age + AGE_MOVE], m[age + AGE_TENSOR] = move, tensor
    m[AGE_COUNT] += 1
    size, missed = m[move + ROWS] * m[move + ROW_BYTES], (absent << bits) * m[tensor + TOGETHER]
    if traffic != READ:
        m[WRITTEN_BYTES] += size * weight
    if traffic != WRITE:
        m[READ_BYTES] += size * weight
        m[MISSED_BYTES] += missed * weight
    m[HIT_BYTES] += (max(size - missed, 0) + (size if traffic == ATOMIC else 0)) * weight
    return 0 if traffic == WRITE else int(missed)


@compiled
def _touch(m: Integers, move: int, begin: int, tensor: int, new: int, fresh: int) -> int:
    """Stamp the granules of a move as *new*, those that it fetches with the fill *fresh*; return how many it misses."""
    bits, stamps, fills = m[tensor + GRANULE_BITS], m[STAMPS] + m[tensor + PLACE], m[SECTOR_FILLS] + m[tensor + PLACE]
    (rows, row_bytes, pitch), traffic = _extent(m, move, tensor), m[move + TRAFFIC]
    dirty = 0 if traffic == READ else 1
    absent, behind, last = 0, 0, row_bytes + (1 << bits) - 1
    for low in range(begin, begin + rows * pitch, pitch):
        high = low + last >> bits
        for place in range(max(low >> bits, behind), high):
            known = m[stamps + place]
            if not known:
                absent += 1
                if traffic != WRITE:
                    m[fills + place] = fresh
            m[stamps + place] = new | known & 1 | dirty
        behind = high
    return int(absent)


@compiled
def _wait_for_fills(m: Integers, pipe: int, begin: int) -> None:
    """Let the move of *pipe* wait for the fills under way of sectors that it touches, if any of them is resident."""
    move, tensor = m[pipe + AT_MOVE], m[pipe + AT_TENSOR]
    bits, place = m[tensor + GRANULE_BITS], m[tensor + PLACE]
    rows, row_bytes, pitch = _extent(m, move, tensor)
    last, behind = row_bytes + (1 << bits) - 1, begin + rows * pitch
    found = False
    for low in range(begin, behind, pitch):
        for at in range(low >> bits, low + last >> bits):
            found = found or m[m[STAMPS] + place + at] != 0
    m[LOOKUP] += 1
    for low in range(begin, behind if found else begin, pitch):
        for at in range(low >> bits, low + last >> bits):
            fill = m[m[SECTOR_FILLS] + place + at]
            if fill and m[fill + OPEN] and m[fill + SEEN] != m[LOOKUP]:
                m[fill + SEEN] = m[LOOKUP]
                _wait_for(m, pipe, fill)


@compiled
def _wait_for(m: Integers, pipe: int, fill: int) -> None:
    node = m[FREE_NODE]
    if node:
        m[FREE_NODE] = m[node + NODE_NEXT]
    elif m[NEW_NODE] == m[NODE_LIMIT]:
        m[CODE] = FULL
        return
    else:
        node = m[NODES] + NODE * m[NEW_NODE]
        m[NEW_NODE] += 1
    m[node + NODE_PIPE], m[node + NODE_NEXT] = pipe, 0
    if m[fill + FIRST_WAITER]:
        m[m[fill + LAST_WAITER] + NODE_NEXT] = node
    else:
        m[fill + FIRST_WAITER] = node
    m[fill + LAST_WAITER] = node
    m[pipe + AT_MISSING] += 1


@compiled
def _evict(m: Integers) -> int:
    """Make room; return the dirty bytes that go back to HBM."""
    written_back = 0
    while m[IN_L2] > m[RESIDENT] and m[AGE_COUNT] and m[m[AGES] + AGE * m[AGE_HEAD]] <= m[NOW]:
        oldest = m[m[AGES] + AGE * m[AGE_HEAD]]
        while m[AGE_COUNT] and m[m[AGES] + AGE * m[AGE_HEAD]] == oldest:
            age = m[AGES] + AGE * m[AGE_HEAD]
            move, tensor, weight = m[age + AGE_MOVE], m[age + AGE_TENSOR], m[age + AGE_WEIGHT]
            bits, stamps = m[tensor + GRANULE_BITS], m[STAMPS] + m[tensor + PLACE]
            rows, row_bytes, pitch = _extent(m, move, tensor)
            last = row_bytes + (1 << bits) - 1
            m[AGE_HEAD] += 1
            m[AGE_COUNT] -= 1
            begin = m[age + AGE_BEGIN]
            for low in range(begin, begin + rows * pitch, pitch):
                for place in range(low >> bits, low + last >> bits):
                    known = m[stamps + place]
                    if known >> 1 == oldest:
                        m[IN_L2] -= weight * m[tensor + GRANULE_SECTORS]
                        m[stamps + place] = 0
                        if known & 1:
                            written_back += (weight << bits) * m[tensor + TOGETHER]
    m[WRITTEN_BACK] += written_back
    return int(written_back)


# --- bandwidth (bandwidth.py) ---


@compiled
def _begin(m: Integers, size: int, limit: int, traffic: int, own: int, hbm: int, weight: int, pipe: int) -> None:
    """Begin to move *size* bytes; a write-back takes 0 of L2 as its *own* and has no *pipe*, and is served first."""
    _advance(m)
    group = _group(m, limit, 0 if traffic == WRITE else own, 0 if traffic == READ else own,
                   2 * own if traffic == ATOMIC else own, hbm, 0 if pipe else 1)  # fmt: skip
    flow = m[FREE_FLOW]
    if flow:
        m[FREE_FLOW] = m[flow + NEXT]
    elif m[NEW_FLOW] == m[FLOW_LIMIT] or not group:
        m[CODE] = FULL
        return
    else:
        flow = m[FLOWS] + FLOW * m[NEW_FLOW]
        m[NEW_FLOW] += 1
    m[BW_SEQUENCE] += 1
    end = m[group + SERVED] + size * SCALE
    m[flow + END], m[flow + SEQUENCE], m[flow + FLOW_WEIGHT], m[flow + FLOW_PIPE] = end, m[BW_SEQUENCE], weight, pipe
    before, after = 0, m[group + FIRST]
    while after and m[after + END] <= end:
        before, after = after, m[after + NEXT]
    m[flow + NEXT] = after
    m[before + NEXT if before else group + FIRST] = flow
    _add(m, group, weight)
    _reschedule(m)


@compiled
def _group(m: Integers, limit: int, read: int, written: int, both: int, hbm: int, reserved: int) -> int:
    """The group of moves that want the same, made if there is none, in its place by (limit, shares, reserved)."""
    order, count = m[IN_ORDER], m[GROUP_COUNT]
    place = count
    for at in range(count):
        known = m[order + at]
        difference = limit - m[known + LIMIT]
        for number, share in enumerate((read, written, both, hbm, reserved)):
            if not difference:
                difference = share - m[known + SHARES + number]
        if not difference:
            return int(known)
        if difference < 0:
            place = at
            break
    group = m[FREE_GROUP]
    if group:
        m[FREE_GROUP] = m[group + FIRST]
    elif m[NEW_GROUP] == m[FLOW_LIMIT]:
        return 0
    else:
        group = m[GROUPS] + GROUP * m[NEW_GROUP]
        m[NEW_GROUP] += 1
    for at in range(count, place, -1):
        m[order + at] = m[order + at - 1]
    m[order + place] = group
    m[GROUP_COUNT] = count + 1
    m[group + LIMIT], m[group + RATE] = limit, limit
    for number, share in enumerate((read, written, both, hbm, reserved)):
        m[group + SHARES + number] = share
    m[group + SERVED], m[group + GROUP_WEIGHT], m[group + FIRST] = 0, 0, 0
    return int(group)


@compiled
def _add(m: Integers, group: int, weight: int) -> None:
    """Account for *weight* more moves of *group* (fewer, if negative)."""
    m[group + GROUP_WEIGHT] += weight
    if m[group + RESERVED]:
        m[BW_RESERVED] += weight
        return
    for resource in range(4):
        share = m[group + SHARES + resource]
        m[DEMAND + resource] += weight * share
        m[WANTED + resource] += weight * share * m[group + LIMIT]


@compiled
def _advance(m: Integers) -> None:
    elapsed = m[NOW] - m[BW_TIME]
    if elapsed:
        for at in range(m[IN_ORDER], m[IN_ORDER] + m[GROUP_COUNT]):
            m[m[at] + SERVED] += m[m[at] + RATE] * elapsed
        m[BW_TIME] = m[NOW]


@compiled
def _reschedule(m: Integers) -> None:
    """Recompute the rates and plan the next completion."""
    if not m[GROUP_COUNT]:
        m[BW_EVENT] = 0
        return
    _fill(m)
    soonest = FAR
    for at in range(m[IN_ORDER], m[IN_ORDER] + m[GROUP_COUNT]):
        group = m[at]
        soonest = min(soonest, -((m[group + SERVED] + TOLERANCE - m[m[group + FIRST] + END]) // m[group + RATE]))
    due = m[BW_TIME] + max(soonest, 0)
    if m[BW_EVENT] and due == m[BW_DUE]:
        return
    m[EID] += 1
    m[BW_DUE], m[BW_EVENT] = due, m[EID]


@compiled
def _complete(m: Integers) -> None:
    """The moves that are due have all their bytes."""
    m[BW_EVENT] = 0
    _advance(m)
    finished, kept, order = 0, 0, m[IN_ORDER]
    for at in range(m[GROUP_COUNT]):
        group = m[order + at]
        reached = m[group + SERVED] + TOLERANCE
        while m[group + FIRST] and m[m[group + FIRST] + END] <= reached:
            flow = m[group + FIRST]
            m[group + FIRST] = m[flow + NEXT]
            _add(m, group, -m[flow + FLOW_WEIGHT])
            before, after = 0, finished
            while after and m[after + SEQUENCE] < m[flow + SEQUENCE]:
                before, after = after, m[after + NEXT]
            m[flow + NEXT] = after
            if before:
                m[before + NEXT] = flow
            else:
                finished = flow
        if m[group + FIRST]:
            m[order + kept] = group
            kept += 1
        else:
            m[group + FIRST] = m[FREE_GROUP]
            m[FREE_GROUP] = group
    m[GROUP_COUNT] = kept
    _reschedule(m)
    while finished:
        flow, pipe = finished, m[finished + FLOW_PIPE]
        finished = m[flow + NEXT]
        m[flow + NEXT] = m[FREE_FLOW]
        m[FREE_FLOW] = flow
        if pipe:
            _arrived(m, pipe)


@compiled
def _fill(m: Integers) -> None:
    """Set the rate of every group: its limit where nothing is short, else what progressive filling gives."""
    enough = m[BW_RESERVED] == 0
    for resource in range(4):
        m[LEFT_OVER + resource] = m[L2_READ + resource]
        enough = enough and m[WANTED + resource] <= m[L2_READ + resource] * SCALE
    first, behind = m[IN_ORDER], m[IN_ORDER] + m[GROUP_COUNT]
    if enough:
        if m[BW_LIMITED]:
            for at in range(first, behind):
                m[m[at] + RATE] = m[m[at] + LIMIT]
            m[BW_LIMITED] = 0
        return
    m[BW_LIMITED] = 1
    active = m[ACTIVE]
    for at in range(first, behind):
        if m[m[at] + RESERVED]:
            _reserve(m, m[at])
        else:
            m[active] = m[at]
            active += 1
    _share_out(m, active)


@compiled
def _reserve(m: Integers, group: int) -> None:
    """Serve a reserved group first, with half of what others want too."""
    weight = m[group + GROUP_WEIGHT]
    contended = False
    for resource in range(4):
        contended = contended or (m[group + SHARES + resource] > 0 and m[DEMAND + resource] > 0)
    if contended:
        m[LEFT_OVER + 3] = min(m[LEFT_OVER + 3], m[HBM_MIXED])
    rate = m[group + LIMIT]
    for resource in range(4):
        share = m[group + SHARES + resource]
        if share:
            fair = m[LEFT_OVER + resource] * SCALE // (share * weight)
            rate = min(rate, fair // 2 if m[DEMAND + resource] > 0 else fair)
    m[group + RATE] = max(rate, 1)
    for resource in range(4):
        used = rate * weight * m[group + SHARES + resource] // SCALE
        m[LEFT_OVER + resource] -= min(used, m[LEFT_OVER + resource])


@compiled
def _share_out(m: Integers, behind: int) -> None:
    """Progressive filling: raise the rates of the groups from ACTIVE on together; freeze each at its limit or a full
    resource."""
    scarce = 0
    for resource in range(4):
        m[ASKED + resource] = m[DEMAND + resource]
        if m[WANTED + resource] > m[LEFT_OVER + resource] * SCALE:
            scarce |= 1 << resource
    while behind > m[ACTIVE]:
        level, bottleneck = m[m[m[ACTIVE]] + LIMIT], -1
        for resource in range(4):
            if scarce >> resource & 1 and m[ASKED + resource]:
                fair = m[LEFT_OVER + resource] * SCALE // m[ASKED + resource]
                if fair < level:
                    level, bottleneck = fair, resource
        rest = m[ACTIVE]
        for at in range(m[ACTIVE], behind):
            group = m[at]
            if m[group + SHARES + bottleneck] == 0 if bottleneck >= 0 else m[group + LIMIT] != level:
                m[rest] = group
                rest += 1
                continue
            m[group + RATE] = max(level, 1)
            for resource in range(4):
                if scarce >> resource & 1:
                    used = m[group + GROUP_WEIGHT] * m[group + SHARES + resource]
                    m[ASKED + resource] -= used
                    m[LEFT_OVER + resource] = max(m[LEFT_OVER + resource] - level * used // SCALE, 0)
        behind = rest
