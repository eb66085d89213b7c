"""MLA decode attention: the problem, its cut into tasks, and who does which.

All heads of a request share one cache: K is its latent and rope columns, V the latent ones. So the query rows of a
request, heads times tokens, are one matrix. A task is a block of these rows against a block of keys.
"""

from __future__ import annotations

import math
import random
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ascend_sim import kernel as asc
from ascend_sim.kernel import bf16, fp16, fp32

Extent = Annotated[int, Field(ge=1)]
Pairs = Annotated[int, Field(ge=16, multiple_of=16)]
FORMATS = {"bf16": bf16, "fp16": fp16, "fp32": fp32}

# Flags between a cube core and its vector cores, and between all vector cores of a die
C1_DONE, V1_DONE, PARTS_DONE = 7, 8, 10


class Paging(asc.Parameters):
    """The cache lies in pages of *tokens*, in an order that is drawn with *seed*."""

    tokens: Pairs = 128
    seed: Annotated[int, Field(ge=0)] = 0


class Problem(asc.Parameters):
    """*kv_tokens* is one length for all requests, or one for each; query rows are ordered token by token.

    With *causal*, the last of *query_tokens* sees all keys, the one before it all but the last, and so on.
    """

    batch: Extent
    heads: Extent = 128
    query_tokens: Extent = 1
    kv_tokens: Extent | Annotated[list[Extent], Field(min_length=1)]
    latent_dim: Pairs = 512
    rope_dim: Pairs = 64
    dtype: Literal["bf16", "fp16"] = "bf16"
    output: Literal["bf16", "fp16", "fp32"] | None = None
    causal: bool = False
    paged: Paging | None = None

    @model_validator(mode="after")
    def _one_length_each(self) -> Problem:
        if isinstance(self.kv_tokens, list) and len(self.kv_tokens) != self.batch:
            raise ValueError(
                f"kv_tokens lists {len(self.kv_tokens)} lengths for a batch of {self.batch}; "
                f"give one length, or one for each request"
            )
        if self.causal and min(self.lengths) < self.query_tokens:
            raise ValueError(
                f"with causal, the first of {self.query_tokens} query_tokens sees none of {min(self.lengths)} "
                f"kv_tokens; the keys of the query tokens are part of the cache: raise kv_tokens"
            )
        return self

    @model_validator(mode="after")
    def _whole_blocks_of_rows(self) -> Problem:
        if self.rows % 16:
            raise ValueError(
                f"heads x query_tokens = {self.rows} rows is not a multiple of 16, the rows of a fractal; pad the heads"
            )
        return self

    @property
    def lengths(self) -> list[int]:
        return self.kv_tokens if isinstance(self.kv_tokens, list) else [self.kv_tokens] * self.batch

    @property
    def rows(self) -> int:
        return self.heads * self.query_tokens

    @property
    def softmax_scale(self) -> float:
        return 1.0 / math.sqrt(self.latent_dim + self.rope_dim)

    @property
    def cache_rows(self) -> int:
        """Rows of the tensors of the cache."""
        if self.paged is None:
            return sum(self.lengths)
        return sum(map(len, self.block_table)) * self.paged.tokens

    @cached_property
    def block_table(self) -> list[list[int]]:
        """The pages of each request in the order of its tokens."""
        assert self.paged is not None
        counts = [math.ceil(length / self.paged.tokens) for length in self.lengths]
        pages = random.Random(self.paged.seed).sample(range(sum(counts)), sum(counts))
        return [[pages.pop() for _ in range(count)] for count in counts]


class Schedule(asc.Parameters):
    """*preload* C1 stages run ahead of C2. The keys of a block of rows are split into *split_kv* parts, on a core each.

    "auto" splits if the longest share of work becomes shorter by it, as where there are fewer requests than cores.
    """

    preload: Annotated[int, Field(ge=0, le=2)] = 1
    split_kv: Extent | Literal["auto"] = 1


class Tiling(asc.Parameters):
    """Sizes in elements: a task, the L1 tiles inside it, the L0 tiles inside those; and how many buffers of each."""

    task_rows: Literal[128, 256] = 256
    task_keys: Annotated[int, Field(ge=128, le=512, multiple_of=128)] = 512
    l1_rows: Pairs = 128
    l1_columns: Pairs = 128
    l1_parts: Annotated[int, Field(ge=1, le=4)] = 2
    c1_l0_depth: Pairs = 96
    c2_l0_depth: Pairs = 128
    kv_buffers: Extent = 3
    qp_buffers: Extent = 4
    l0_buffers: Annotated[int, Field(ge=1, le=2)] = 2
    l0c_buffers: Annotated[int, Field(ge=1, le=2)] = 2
    vector_rows: Literal[8, 16] = 16


class Parameters(asc.Parameters):
    problem: Problem
    schedule: Schedule = Schedule()
    tiling: Tiling = Tiling()

    @model_validator(mode="after")
    def _tiles_fit(self) -> Parameters:
        problem, t, row_tiles = self.problem, self.tiling, math.ceil(self.tiling.task_rows / self.tiling.l1_rows)
        for name, extent in (("latent_dim", problem.latent_dim), ("rope_dim", problem.rope_dim)):
            if extent % (16 * t.l1_parts):
                raise ValueError(f"{name} = {extent} is not {t.l1_parts} (l1_parts) times a multiple of 16; change one")
        for name, have in (("l0c_buffers", t.l0c_buffers), ("qp_buffers", t.qp_buffers)):
            need = row_tiles * (t.l1_parts if name == "qp_buffers" else 1)
            if have < need:
                raise ValueError(
                    f"{name} = {have} is too few: {t.task_rows} task_rows in tiles of {t.l1_rows} l1_rows need {need} "
                    f"at a time; raise it, or take larger l1_rows"
                )
        if problem.paged is not None and t.task_keys % problem.paged.tokens:
            raise ValueError(
                f"task_keys = {t.task_keys} are no whole pages of {problem.paged.tokens} tokens (problem.paged.tokens) "
                f"and a task would begin inside a page; change one"
            )
        return self

    @property
    def slots(self) -> int:
        """How many tasks of a core can be between stages, each with its own S, P and O in global memory."""
        return max(2, self.schedule.preload + 1)

    @cached_property
    def first_tokens(self) -> list[int]:
        """The row of the contiguous cache in which each request begins."""
        return [sum(self.problem.lengths[:request]) for request in range(self.problem.batch)]

    @property
    def output(self) -> asc.DType:
        """The format of the output: that of the cache unless it is named."""
        return FORMATS[self.problem.output or self.problem.dtype]

    def most_parts(self, blocks: int) -> int:
        """How many parts of split blocks of rows there can be when *blocks* cores work."""
        split = self.schedule.split_kv
        if split == "auto":
            return 2 * blocks
        if split == 1:
            return 0
        tasks = [math.ceil(length / self.tiling.task_keys) for length in self.problem.lengths]
        return math.ceil(self.problem.rows / self.tiling.task_rows) * sum(min(split, count) for count in tasks)


def flops(p: Parameters) -> int:
    """Q K^T over latent and rope dimensions, P V over the latent dimension; two operations a multiply-add."""
    problem, depth = p.problem, 2 * p.problem.latent_dim + p.problem.rope_dim
    hidden = sum(range(problem.query_tokens)) if problem.causal else 0
    seen = sum(problem.query_tokens * length - hidden for length in problem.lengths)
    return 2 * problem.heads * depth * seen


def tensors(gm: asc.GlobalMemory, p: Parameters) -> None:
    problem, rows, dtype = p.problem, p.problem.batch * p.problem.rows, FORMATS[p.problem.dtype]
    gm.input("q", (rows, problem.latent_dim), dtype)
    gm.input("q_rope", (rows, problem.rope_dim), dtype)
    gm.input("kv", (problem.cache_rows, problem.latent_dim), dtype)
    gm.input("k_rope", (problem.cache_rows, problem.rope_dim), dtype)
    gm.output("out", (rows, problem.latent_dim), p.output)
    slot_rows = gm.blocks * p.slots * p.tiling.task_rows
    gm.workspace("s", (slot_rows, p.tiling.task_keys), fp32)
    gm.workspace("p", (slot_rows, p.tiling.task_keys), dtype)
    gm.workspace("o", (slot_rows, problem.latent_dim), fp32)
    parts = p.most_parts(gm.blocks)
    if parts:
        gm.workspace("o_parts", (parts * p.tiling.task_rows, problem.latent_dim), fp32)
        for name in ("m_parts", "l_parts", "divisor_parts"):
            gm.workspace(name, (parts, p.tiling.task_rows), fp32)
