"""Attention in float64, head by head as the textbook has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def reference(inputs: Mapping[str, NDArray[np.float64]], parameters: Any) -> dict[str, NDArray[np.float64]]:
    """softmax(Q K^T / sqrt(head_dim)) V for each head of each request; groups of heads share K and V.

    If causal, the last query sees all keys, and each query before it one key less.
    """
    problem = parameters.problem
    queries = inputs["q"].reshape(problem.batch, problem.heads, problem.query_tokens, problem.head_dim)
    keys, values = (
        inputs[name].reshape(problem.batch, problem.kv_heads, problem.kv_tokens, problem.head_dim) for name in "kv"
    )
    output = np.empty_like(queries)
    for request, head in np.ndindex(problem.batch, problem.heads):
        shared = head * problem.kv_heads // problem.heads
        scores = queries[request, head] @ keys[request, shared].T / np.sqrt(problem.head_dim)
        if problem.causal:
            hidden = np.triu(np.ones(scores.shape, bool), problem.kv_tokens - problem.query_tokens + 1)
            scores = np.where(hidden, -np.inf, scores)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        output[request, head] = (weights / weights.sum(axis=1, keepdims=True)) @ values[request, shared]
    return {"out": output.reshape(-1, problem.head_dim)}


def tolerance(parameters: Any) -> float | None:
    """Scores of fp16 are rounded before the exponential, which makes an error of 2^-11 of their magnitude relative."""
    return None if parameters.problem.softmax == "fp32" else 0.05
