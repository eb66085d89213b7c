"""MLA decode: which core works on which rows and keys, and in which order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from ascend_sim import kernel as asc
from attention.mla import Parameters

COMBINING = 0.5
"""What putting parts together is worth, in tasks of a core: 22 parts of 256 rows take 18,000 cycles, a task 37,000."""


class Span(NamedTuple):
    """*rows* query rows of a *request* from *first* on, against its keys *begin* to *behind*.

    *part* numbers the part of a block of rows whose keys are split, over all of them; None if they are not.
    """

    request: int
    first: int
    rows: int
    begin: int
    behind: int
    part: int | None = None

    @property
    def cost(self) -> int:
        return self.rows * (self.behind - self.begin)


class Split(NamedTuple):
    """A block of query rows, and the *parts* of its keys from number *part* on, to be put together."""

    rows: Span
    part: int
    parts: int


class Work(NamedTuple):
    """The spans of each core, and the blocks of rows that each die has to put together."""

    spans: tuple[tuple[Span, ...], ...]
    splits: tuple[tuple[Split, ...], ...]


class Turn(NamedTuple):
    """What the stages of a task must know of it: its slots, and whether it has the first or last keys of its span.

    Whatever is handed from stage to stage lies in one of a few slots, in turn: *slot* by task, *row_slot* by span.
    *whole* says that the span has all keys of its rows.
    """

    slot: int
    row_slot: int
    first: bool
    last: bool
    whole: bool


class Task(NamedTuple):
    """A block of query rows against the keys *begin* to *behind* of its request."""

    span: Span
    begin: int
    behind: int
    turn: Turn

    @property
    def keys(self) -> int:
        return self.behind - self.begin


def tasks_of(core: asc.Core, p: Parameters) -> list[Task]:
    """The tasks of one core in order: the stream runs on across spans and requests."""
    tasks: list[Task] = []
    for number, span in enumerate(work_of(core, p).spans[core.index]):
        for offset, keys in asc.tiles(span.behind - span.begin, p.tiling.task_keys):
            begin, behind = span.begin + offset, span.begin + offset + keys
            turn = Turn(
                len(tasks) % p.slots, number % p.slots, offset == 0, behind == span.behind, span.part is None
            )  # fmt: skip
            tasks.append(Task(span, begin, behind, turn))
    return tasks


def work_of(core: asc.Core, p: Parameters) -> Work:
    """The work of all cores. Raise a ValueError if the vector cores of a group cannot share a block of rows."""
    problem, t = p.problem, p.tiling
    work = _work_of(
        tuple(problem.lengths), problem.rows, t.task_rows, t.task_keys, problem.query_tokens if problem.causal else 1,
        p.schedule.split_kv, core.count, core.die_blocks,
    )  # fmt: skip
    uneven = [span.rows for spans in work.spans for span in spans if span.rows % (8 * core.subs)]
    if uneven and core.is_vector:
        raise ValueError(
            f"a block of {uneven[0]} query rows cannot be dealt out to {core.subs} vector cores in eights, the rows of "
            f"a repeat; change heads, query_tokens or task_rows"
        )
    return work


@lru_cache(maxsize=8)
def _work_of(
    lengths: tuple[int, ...], rows: int, task_rows: int, task_keys: int, visible: int,
    split_kv: int | str, cores: int, die_cores: int,
) -> Work:  # fmt: skip
    """Deal the blocks of rows out to *cores*; a part of split keys has at least *visible* ones of the last tokens."""
    whole = [
        Span(request, request * rows + first, count, 0, length)
        for request, length in enumerate(lengths)
        for first, count in asc.tiles(rows, task_rows)
    ]
    unsplit = Work(tuple(map(tuple, asc.deal_by_cost(whole, lambda span: span.cost, cores))), ())
    if split_kv == 1:
        return unsplit
    # Parts of a block meet in the memory of one die, so blocks are dealt to dies first
    sizes = [min(die_cores, cores - first) for first in range(0, cores, die_cores)]
    loads, dies = [0.0] * len(sizes), [[] for _ in sizes]  # type: list[float], list[list[Span]]
    for span in sorted(whole, key=lambda one: one.cost, reverse=True):
        die = min(range(len(sizes)), key=lambda number: loads[number] + span.cost / sizes[number])
        loads[die] += span.cost / sizes[die]
        dies[die].append(span)
    spans: list[tuple[Span, ...]] = []
    splits, number = [], 0
    for blocks, size in zip(dies, sizes, strict=True):
        counts = _parts(blocks, task_keys, visible, split_kv, size)
        pieces, split = [], []
        for block, count in zip(blocks, counts, strict=True):
            if count == 1:
                pieces.append(block)
                continue
            split.append(Split(block, number, count))
            pieces += _cut(block, task_keys, visible, count, number)
            number += count
        spans += map(tuple, asc.deal_by_cost(pieces, lambda span: span.cost, size))
        splits.append(tuple(split))
    return Work(tuple(spans), tuple(splits)) if number else unsplit


def _units(block: Span, task_keys: int, visible: int) -> int:
    """Into how many parts of whole tasks the keys of *block* can be cut at most."""
    return (block.behind - visible) // task_keys + 1


def _cut(block: Span, task_keys: int, visible: int, count: int, first: int) -> list[Span]:
    """Cut the keys of *block* into *count* parts, with numbers from *first* on."""
    units = _units(block, task_keys, visible)
    bounds = [units * i // count * task_keys for i in range(count)] + [block.behind]
    return [
        block._replace(begin=bounds[i], behind=bounds[i + 1], part=first + i) for i in range(count)
    ]  # fmt: skip


def _parts(blocks: Sequence[Span], task_keys: int, visible: int, split_kv: int | str, cores: int) -> list[int]:
    """The number of parts of each of the *blocks* of a die: as asked for, or so that the last core is done soonest."""
    units = [_units(block, task_keys, visible) for block in blocks]
    if split_kv != "auto":
        return [min(int(split_kv), one) for one in units]
    best, least = [1] * len(blocks), math.inf
    for pieces in range(1, cores + 1):
        size = math.ceil(max(units, default=1) / pieces)
        counts = [math.ceil(one / size) for one in units]
        split = sum(count for count in counts if count > 1)
        if split > 2 * cores:
            break
        cut = [span for block, count in zip(blocks, counts) for span in _cut(block, task_keys, visible, count, 0)]
        shares = asc.deal_by_cost(cut, lambda span: span.cost, cores)
        longest = max(sum(span.cost for span in share) for share in shares)
        longest += int(COMBINING * task_keys * blocks[0].rows) if split else 0
        if longest < least:
            best, least = counts, longest
    return best
