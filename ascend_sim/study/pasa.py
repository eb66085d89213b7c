"""PASA (arXiv 2503.01873), to the bit what the program `pasa` computes; and the same recurrence in float64.

The letters are those of the paper: a the pseudo-average of a block, A its running mean, M the running maximum.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ascend_sim.kernel.library import tiles
from ascend_sim.study.arithmetic import (
    Array,
    Operands,
    Outcome,
    broken_share,
    halved,
    multiply,
    row_max,
    row_sum,
    sum_of_neighbours,
)

BLOCK = 128
"""Keys that are shifted together."""
HIDDEN = -60000.0
"""The score of what is no key; in fp16 -inf would make NaN of differences."""
BETAS = (0.9375, 0.968994140625, 0.9844970703125)
"""The betas of the optimal accuracy condition, from the starts 1 - 2^-4, 1 - 2^-5 and 1 - 2^-6."""


def pasa(operands: Operands, beta: float, number: Any = np.float16) -> Outcome:
    """All in fp16, products summed in fp32; or all in float64 where *number* is that."""
    q, rows, keys = operands.q, len(operands.q), len(operands.k)
    matrix, inv = _shifting_matrix(beta, operands.scale, number)
    reference = mean = top = total = np.zeros(rows, number)
    o, broken = np.zeros((rows, 0), number), 0.0
    for j, (begin, count) in enumerate(tiles(keys, BLOCK)):
        k = operands.k[begin : begin + count]
        k = np.concatenate((k, np.repeat(k[-1:], BLOCK - count, axis=0)))  # filled up with copies of the last key
        s = _product(q, _product(matrix, k, number).T, number)
        broken += broken_share(s[:, :count]) * count / keys
        fours = _sums_of_four(s)
        if j == 0:
            reference = sum_of_neighbours(fours, 4.0 / BLOCK)
        a = sum_of_neighbours(fours - reference[:, None], 1.0 / BLOCK)
        s[:, count:] = HIDDEN
        m = row_max(s)
        p = np.exp(s - m[:, None])
        t = _product(p[:, :count], operands.v[begin : begin + count], number)
        if j == 0:
            mean, top, total, o = a, m, row_sum(p), t
            continue
        before, mean = mean, mean + (a - mean) / number(j + 1)
        own, old = m + (a - mean) * inv, top + (before - mean) * inv
        top = np.maximum(own, old)
        alpha, gamma = np.exp(old - top), np.exp(own - top)
        total = total * alpha + row_sum(p) * gamma
        o = o * alpha[:, None] + t * gamma[:, None]
    return Outcome(o / total[:, None], broken)


def _sums_of_four(s: Array) -> Array:
    """Scores i and i + 64, and those of the next i: pseudo-averages are counted from the mean of the first of these."""
    pairs = halved(s)
    return np.asarray(pairs[:, 0::2] + pairs[:, 1::2])


def _shifting_matrix(beta: float, scale: float, number: Any) -> tuple[Array, Any]:
    """M = (I - beta / n 1 1^T) scale, rounded, and what a mean of shifted scores is multiplied with to undo the shift.

    With a = (diagonal - other), S M = a S + other sum S, whose mean is (a + n other) mean S. Without roundings that
    makes inv = beta / (1 - beta).
    """
    diagonal, other = number((1.0 - beta / BLOCK) * scale), number(-beta / BLOCK * scale)
    matrix = np.full((BLOCK, BLOCK), other)
    np.fill_diagonal(matrix, diagonal)
    a, all_others = float(diagonal) - float(other), BLOCK * float(other)
    return matrix, number(-all_others * scale / (a * (a + all_others)) + (scale - a) / a)


def _product(left: Array, right: Array, number: Any) -> Array:
    """The product of two matrices, rounded as FIXPIPE does; in float64 as it is."""
    if number is np.float64:
        return np.asarray(left.astype(number) @ right.astype(number))
    steps = tiles(left.shape[1], BLOCK)
    return multiply(left.astype(np.float32), right.astype(np.float32), steps).astype(number)
