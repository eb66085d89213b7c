"""FlashAttention (arXiv 2307.08691), to the bit what the program `flash_attention` computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ascend_sim.kernel.library import tiles
from ascend_sim.numerics import DType
from ascend_sim.study.arithmetic import (
    Array,
    Operands,
    Outcome,
    broken_share,
    multiply,
    padded,
    rounded,
    row_max,
    row_sum,
    transposed,
)

Softmax = Literal["fp32", "fp16_fp32", "fp16"]
"""In which formats S is kept and the vector cores calculate: S of fp16_fp32 in fp16, all else in fp32."""


@dataclass(frozen=True)
class Tiles:
    """A tile has *keys* keys, of which *sub_keys* are multiplied at a time; *depth* of the common dimension in L0."""

    keys: int = 256
    sub_keys: int = 128
    depth: int = 128

    def value_steps(self, keys: int) -> list[tuple[int, int]]:
        """The parts of the *keys* of a tile that pass through L0 one after the other."""
        return [
            (begin + k0, k) for begin, count in tiles(keys, self.sub_keys) for k0, k in tiles(count, self.depth)
        ]  # fmt: skip


def flash_attention(operands: Operands, dtype: DType, softmax: Softmax = "fp32", t: Tiles = Tiles()) -> Outcome:
    """The online softmax in the precision *softmax*, with P in the format of the inputs, *dtype*."""
    scores: Any = np.float32 if softmax == "fp32" else np.float16
    wide: Any = np.float16 if softmax == "fp16" else np.float32
    q, rows, keys = operands.q.astype(np.float32), len(operands.q), len(operands.k)
    steps, scale, broken = tiles(q.shape[1], t.depth), wide(operands.scale), 0.0
    m, total, o = np.full(rows, -np.inf, wide), np.zeros(rows, wide), np.zeros((rows, 0), wide)
    for begin, count in tiles(keys, t.keys):
        here = slice(begin, begin + count)
        s = multiply(q, transposed(operands.k[here]), steps).astype(scores)
        broken += broken_share(s) * count / keys
        x = padded(s.astype(wide))
        m_j = np.maximum(row_max(x), m)
        decay = np.exp((m - m_j) * scale)
        p = np.exp((x - m_j[:, None]) * scale)
        total = total * decay + row_sum(p)
        product = _weighted(p[:, :count], operands.v[here], dtype, t).astype(wide)
        o = product if begin == 0 else o * decay[:, None] + product
        m = m_j
    return Outcome(o / total[:, None], None if softmax == "fp32" else broken)


def _weighted(p: Array, v: Array, dtype: DType, t: Tiles) -> Array:
    """P V of a tile, in fp32."""
    return multiply(rounded(p, dtype).astype(np.float32), v.astype(np.float32), t.value_steps(len(v)))
