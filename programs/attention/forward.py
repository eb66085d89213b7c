"""Attention over whole sequences: the problem, the tiles of each core in order, and the FIFOs between stages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import Field, model_validator

from ascend_sim import kernel as asc
from ascend_sim.kernel import GlobalTensor

Extent = Annotated[int, Field(ge=1)]
Pairs = Annotated[int, Field(ge=16, multiple_of=16)]
Eights = Annotated[int, Field(ge=8, multiple_of=8)]

# Cross-core flags: a slot of a FIFO holds a new tile, or slots of it may be overwritten
S_READY, P_READY, T_READY, S_FREE, P_FREE, T_FREE = range(6)


class Problem(asc.Parameters):
    """q and out hold *query_tokens* rows for each head, request by request; k and v *kv_tokens* for each KV head.

    Query heads share KV heads in groups of heads / kv_heads. The queries are the last tokens: if *causal*, query i
    sees the keys 0 to kv_tokens - query_tokens + i.
    """

    batch: Extent = 1
    heads: Extent = 1
    kv_heads: Extent = 1
    query_tokens: Extent
    kv_tokens: Extent
    head_dim: Pairs = 128
    causal: bool = False

    @model_validator(mode="after")
    def _groups_of_heads(self) -> Problem:
        if self.heads % self.kv_heads:
            raise ValueError(
                f"kv_heads = {self.kv_heads} does not divide heads = {self.heads}, so the heads cannot share them "
                f"evenly; write a divisor of {self.heads}"
            )
        return self

    @model_validator(mode="after")
    def _every_query_sees_a_key(self) -> Problem:
        if self.causal and self.kv_tokens < self.query_tokens:
            raise ValueError(
                f"kv_tokens = {self.kv_tokens} is less than query_tokens = {self.query_tokens}, so with causal the "
                f"first queries see no key; write kv_tokens = {self.query_tokens} or more, or causal: false"
            )
        return self

    @property
    def softmax_scale(self) -> float:
        return 1.0 / math.sqrt(self.head_dim)

    @property
    def all_kv_heads(self) -> int:
        """KV heads of all requests."""
        return self.batch * self.kv_heads

    def visible(self, query: int) -> int:
        """How many keys the query token number *query* sees."""
        return self.kv_tokens - self.query_tokens + query + 1 if self.causal else self.kv_tokens

    def flops(self) -> int:
        """Q K^T and P V over what the queries see, two operations a multiply-add."""
        first, last = self.visible(0), self.visible(self.query_tokens - 1)
        seen = self.query_tokens * (first + last) // 2
        return 4 * self.batch * self.heads * seen * self.head_dim


class Tiling(asc.Parameters):
    """Sizes in elements, and how many buffers there are of each.

    A tile is some rows of Q against *keys*. The cube core takes *sub_keys* of it at a time to L1, *sub_rows* of Q and
    P, *sub_columns* of V and *l0_depth* of the common dimension to L0; a vector core has *ub_buffers* times
    *vector_rows* of it in UB. With *unit_flag* tiles of L0C are handed on fractal by fractal.
    """

    keys: Pairs
    sub_rows: Pairs = 128
    sub_keys: Pairs = 128
    sub_columns: Pairs = 128
    l0_depth: Pairs = 128
    vector_rows: Eights | None = None
    l1_buffers: Extent = 2
    l0_buffers: Extent = 2
    l0c_buffers: Extent = 2
    ub_buffers: Extent = 2
    unit_flag: bool = False

    def expect_products_fit(self, rows: int, head_dim: int) -> None:
        """Raise a ValueError if L0C has fewer tiles than a product P V of *rows* and *head_dim* columns takes."""
        row_tiles, columns = math.ceil(rows / self.sub_rows), math.ceil(head_dim / self.sub_columns)
        if self.l0c_buffers < row_tiles * columns:
            tiles = f"{rows} rows in tiles of {self.sub_rows} sub_rows and " if row_tiles > 1 else ""
            raise ValueError(
                f"l0c_buffers = {self.l0c_buffers} is too few: {tiles}head_dim = {head_dim} in tiles of "
                f"{self.sub_columns} sub_columns needs {row_tiles * columns} at a time; raise it, or take larger "
                f"sub_columns{' or fewer rows' if row_tiles > 1 else ''}"
            )


class Schedule(asc.Parameters):
    """QK and P run *preload* tiles ahead of PV and GU; *sync_period* slots of a FIFO are given back at a time."""

    preload: Annotated[int, Field(ge=0)] = 4
    fifo: Annotated[int, Field(ge=1, le=15)] = 8
    sync_period: Extent = 4

    @model_validator(mode="after")
    def _enough_slots(self) -> Schedule:
        need = self.preload + self.sync_period
        if self.fifo < need:
            raise ValueError(
                f"fifo = {self.fifo} slots are too few: {self.preload} (preload) hold tiles in flight while "
                f"{self.sync_period} (sync_period) are given back together, and without {need} the stages wait for "
                f"each other for ever; raise fifo (to 15 at most), or lower preload or sync_period"
            )
        return self

    def waits(self, number: int) -> bool:
        """Whether tile *number* is the first to need slots that must have been given back."""
        return number >= self.fifo and (number - self.fifo) % self.sync_period == 0


class Block(NamedTuple):
    """Query rows of one head: rows of q and out, the KV head, and how many keys the first and the last row see."""

    queries: slice
    kv_head: int
    first_sees: int
    last_sees: int


class Turn(NamedTuple):
    """What the stages of a tile must know of it: its *slot* in the FIFOs, and its place among the keys of its block.

    It *waits* until slots were given back before it goes into a FIFO, and *frees* slots once it is out of it. On the
    diagonal of a causal problem the first row *sees* so many keys of the tile, and each further row one more; None if
    all rows see all of it.
    """

    slot: int
    first: bool
    last: bool
    waits: bool
    frees: bool
    sees: int | None


class Tile(NamedTuple):
    """Rows of q and out, a KV head and which of its keys, and the turn on its core."""

    queries: slice
    kv_head: int
    keys: slice
    turn: Turn

    @property
    def rows(self) -> int:
        return len(range(self.queries.start, self.queries.stop))

    @property
    def size(self) -> int:
        """How many keys the tile has."""
        return len(range(self.keys.start, self.keys.stop))

    def of_head(self, tensor: GlobalTensor, tokens: int) -> GlobalTensor:
        """The rows of the keys of this tile in *tensor*, which has *tokens* rows for each KV head."""
        begin = self.kv_head * tokens
        return tensor[begin + self.keys.start : begin + self.keys.stop, :]


def blocks_of(problem: Problem, rows: int) -> list[Block]:
    """The blocks of *rows* query rows of all heads and requests."""
    blocks = []
    for head in range(problem.batch * problem.heads):
        for begin, size in asc.tiles(problem.query_tokens, rows):
            first, last = begin, begin + size - 1
            queries = slice(head * problem.query_tokens + first, head * problem.query_tokens + last + 1)
            kv_head = head // (problem.heads // problem.kv_heads)
            blocks.append(Block(queries, kv_head, problem.visible(first), problem.visible(last)))
    return blocks


def tiles_of(blocks: Sequence[Block], keys: int, schedule: Schedule) -> list[Tile]:
    """The tiles of one core in order: the stream runs on across blocks, heads and requests.

    A block has tiles of *keys* up to the last one that any of its rows sees.
    """
    count = sum(tiles_in(block, keys) for block in blocks)
    tiles: list[Tile] = []
    for queries, kv_head, first_sees, last_sees in blocks:
        for begin, size in asc.tiles(last_sees, keys):
            number = len(tiles)
            # Slots are given back together, after the last tile in them, if there is a tile that waits for them.
            waiting = number + 1 - schedule.sync_period + schedule.fifo
            frees = schedule.waits(waiting) and waiting < count
            sees = first_sees - begin if first_sees < begin + size else None
            turn = Turn(
                number % schedule.fifo, begin == 0, begin + size == last_sees, schedule.waits(number), frees, sees
            )  # fmt: skip
            tiles.append(Tile(queries, kv_head, slice(begin, begin + size), turn))
    return tiles


def tiles_in(block: Block, keys: int) -> int:
    """How many tiles of *keys* a block has: what it costs a core."""
    return math.ceil(block.last_sees / keys)


def of_die(blocks: Sequence[Block], keys: int, core: asc.Core) -> list[Block]:
    """The blocks of one die, which follow each other, so that dies meet few KV heads in common.

    Dies share the tiles of *keys* in proportion to the cores that run on them.
    """
    first = core.index // core.die_blocks * core.die_blocks
    behind = min(first + core.die_blocks, core.count)
    costs = [tiles_in(block, keys) for block in blocks]
    total, before, mine = sum(costs), 0, []
    for block, cost in zip(blocks, costs, strict=True):
        middle = 2 * before + cost
        if 2 * total * first <= middle * core.count < 2 * total * behind:
            mine.append(block)
        before += cost
    return mine


class Fifo:
    """The part of a workspace that is this core's FIFO: slots of *rows* rows."""

    def __init__(self, core: asc.Core, workspace: GlobalTensor, schedule: Schedule, rows: int) -> None:
        self.workspace, self.rows = workspace, rows
        self.begin = core.index * schedule.fifo * rows

    def slot(self, tile: Tile, columns: int | None = None) -> GlobalTensor:
        """The rows of *tile* in its slot, or some *columns* of them."""
        begin = self.begin + tile.turn.slot * self.rows
        return self.workspace[begin : begin + tile.rows, : self.workspace.columns if columns is None else columns]
