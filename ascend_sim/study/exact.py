"""Softmax attention in float64, what all algorithms are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ascend_sim.kernel.library import tiles
from ascend_sim.study.arithmetic import Operands

FP16_MAX = 65504.0
"""The largest finite number of fp16."""

_KEYS = 4096
"""Keys that are widened to float64 at a time."""

Double = NDArray[np.float64]


@dataclass(frozen=True)
class Exact:
    """The *output* (rows, dv), and the share of the unscaled scores Q K^T that are beyond the range of fp16."""

    output: Double
    overflow: float


def attention(operands: Operands) -> Exact:
    """softmax(Q K^T / sqrt(d)) V of the *operands* as they are, in float64."""
    q, keys = _wide(operands.q), len(operands.k)
    scores = np.empty((len(q), keys))
    for begin, count in tiles(keys, _KEYS):
        scores[:, begin : begin + count] = q @ _wide(operands.k[begin : begin + count]).T
    overflow = float(np.count_nonzero(np.abs(scores) > FP16_MAX) / scores.size)
    scores *= operands.scale
    weights = np.exp(scores - scores.max(axis=1, keepdims=True), out=scores)
    weights /= weights.sum(axis=1, keepdims=True)
    output = np.zeros((len(q), operands.v.shape[1]))
    for begin, count in tiles(keys, _KEYS):
        output += weights[:, begin : begin + count] @ _wide(operands.v[begin : begin + count])
    return Exact(output, overflow)


def _wide(values: NDArray[Any]) -> Double:
    return np.asarray(values, dtype=np.float64)
