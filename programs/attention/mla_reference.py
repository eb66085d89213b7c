"""MLA decode attention in float64, row by row as the textbook has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def reference(inputs: Mapping[str, NDArray[np.float64]], parameters: Any) -> dict[str, NDArray[np.float64]]:
    """softmax(scale (Q K^T + Q_rope K_rope^T)) V, with V the latent part of K, for each query token of each request."""
    problem = parameters.problem
    lengths = problem.kv_tokens if isinstance(problem.kv_tokens, list) else [problem.kv_tokens] * problem.batch
    scale = 1.0 / np.sqrt(problem.latent_dim + problem.rope_dim)
    output = np.empty((problem.batch, problem.query_tokens, problem.heads, problem.latent_dim))
    q = inputs["q"].reshape(output.shape)
    q_rope = inputs["q_rope"].reshape(*output.shape[:3], problem.rope_dim)
    for request, length in enumerate(lengths):
        rows = _rows_of_cache(problem, lengths, request)
        kv, k_rope = inputs["kv"][rows], inputs["k_rope"][rows]
        for token in range(problem.query_tokens):
            seen = length - (problem.query_tokens - 1 - token) if problem.causal else length
            scores = scale * (q[request, token] @ kv[:seen].T + q_rope[request, token] @ k_rope[:seen].T)
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            output[request, token] = (weights / weights.sum(axis=1, keepdims=True)) @ kv[:seen]
    return {"out": output.reshape(-1, problem.latent_dim)}


def _rows_of_cache(problem: Any, lengths: list[int], request: int) -> NDArray[np.int64]:
    """Where the tokens of *request* lie in the tensors of the cache."""
    tokens = np.arange(lengths[request])
    if problem.paged is None:
        return tokens + sum(lengths[:request])
    pages = np.array(problem.block_table[request])
    return np.asarray(pages[tokens // problem.paged.tokens] * problem.paged.tokens + tokens % problem.paged.tokens)
