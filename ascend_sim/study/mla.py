"""Decode attention of multi-head latent attention: Base FlashAttention, and AMLA (arXiv 2509.25224).

Both are to the bit what the programs `mla_base` and `amla` compute; the difference between the two functions is that
of the papers. The letters are theirs: m the running maximum, n the power of two, C the ratio of roundings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ascend_sim.kernel.library import tiles
from ascend_sim.numerics import DType, RoundMode, cast, fp32, rescale_increment
from ascend_sim.study.arithmetic import (
    Array,
    Operands,
    Outcome,
    Single,
    Steps,
    multiply,
    padded,
    rounded,
    row_max,
    row_sum,
    transposed,
)

LN2 = math.log(2.0)
_GARBAGE = np.float32(1e10)


@dataclass(frozen=True)
class Blocks:
    """How the programs cut the keys and the common dimensions of their products.

    A task has *keys* keys. What is common to the operands is cut in *parts* for L1, and those into depths for L0.
    """

    keys: int = 512
    parts: int = 2
    score_depth: int = 96
    value_depth: int = 128


def mla_base(operands: Operands, dtype: DType, blocks: Blocks = Blocks()) -> Outcome:
    """Base FlashAttention: O is multiplied by e^(m_(i-1) - m_i) for every block of keys."""
    m = total = o = np.zeros(0, np.float32)
    for first, s, v in _blocks(operands, blocks):
        m_i = row_max(s) if first else np.maximum(row_max(s), m)
        p = np.exp(s - m_i[:, None])
        t = multiply(_weights(p, dtype, v), v, _value_steps(len(v), blocks))
        if first:
            total, o = row_sum(p), t
        else:
            decay = np.exp(m - m_i)
            total, o = total * decay + row_sum(p), t + o * decay[:, None]
        m = m_i
    return Outcome(o / total[:, None])


def amla(operands: Operands, dtype: DType, blocks: Blocks = Blocks(), *, compensation: bool = True) -> Outcome:
    """AMLA: O keeps a scale of powers of two, and is rescaled by integer additions to the bits of its elements."""
    m = total = o = n = c = s16 = np.zeros(0, np.float32)
    for first, s, v in _blocks(operands, blocks):
        m_i = row_max(s) if first else np.maximum(row_max(s), m)
        p = np.exp(s - m_i[:, None])
        total = row_sum(p) if first else total * np.exp(m - m_i) + row_sum(p)
        n_i, s32 = _power_of_two(m_i)
        s16 = rounded(s32, dtype).astype(np.float32)
        c_i = s32 / s16
        t = multiply(_weights(p * s16[:, None], dtype, v), v, _value_steps(len(v), blocks))
        if first:
            o = t
        else:
            epsilon = np.float32(1.5) * (c / c_i + np.float32(-1.0)) if compensation else 0.0
            o = add_to_bits(o, rescale_increment(n_i - n, epsilon)) + t
        m, n, c = m_i, n_i, c_i
    o = np.where(o < _GARBAGE, o, np.float32(0))
    o = np.where(o > -_GARBAGE, o, np.float32(0))
    return Outcome(o / (total * s16)[:, None])


def _blocks(operands: Operands, blocks: Blocks) -> Iterator[tuple[bool, Single, Single]]:
    """For each block of keys: whether it is the first, its scaled scores padded with -inf, and its values."""
    latent, steps = operands.v.shape[1], _score_steps(operands, blocks)
    order = _by_parts(latent, operands.q.shape[1] - latent, blocks.parts)
    q = operands.q[:, order].astype(np.float32)
    for begin, count in tiles(len(operands.k), blocks.keys):
        here = slice(begin, begin + count)
        s = padded(multiply(q, transposed(operands.k[here][:, order]), steps))
        yield begin == 0, s * np.float32(operands.scale), operands.v[here].astype(np.float32)


def _by_parts(latent: int, rope: int, parts: int) -> Array:
    """The columns of Q and K in the order in which L1 holds them: each part has its share of latent and rope."""
    latent_columns, rope_columns = np.arange(latent).reshape(parts, -1), np.arange(rope).reshape(parts, -1)
    return np.concatenate((latent_columns, latent + rope_columns), axis=1).ravel()


def _score_steps(operands: Operands, blocks: Blocks) -> Steps:
    part = operands.q.shape[1] // blocks.parts
    return [(p * part + k0, k) for p in range(blocks.parts) for k0, k in tiles(part, blocks.score_depth)]


def _value_steps(keys: int, blocks: Blocks) -> Steps:
    parts = tiles(keys, blocks.keys // blocks.parts)
    return [(begin + k0, k) for begin, count in parts for k0, k in tiles(count, blocks.value_depth)]


def _weights(p: Single, dtype: DType, v: Single) -> Single:
    """P in the format of the values, without the columns that are no keys."""
    return rounded(p[:, : len(v)], dtype).astype(np.float32)


def _power_of_two(m: Single) -> tuple[Single, Single]:
    """n = round(-m / ln 2), and the residual factor S32 = exp(ln 2 (n + m / ln 2)), so that e^-m = 2^n / S32."""
    n = cast(m * np.float32(-1.0 / LN2), fp32, RoundMode.CAST_ROUND)
    return n, np.exp((m * np.float32(1.0 / LN2) + n) * np.float32(LN2))


def add_to_bits(o: Single, increment: Array) -> Single:
    """AS_FP32(AS_INT32(O) + N), N being one number a row; the addition wraps around."""
    return np.asarray(o.view(np.int32) + increment[:, None]).view(np.float32)
