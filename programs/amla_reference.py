"""MLA decode attention in float64, row by row as the textbook has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def reference(inputs: Mapping[str, NDArray[np.float64]], parameters: Any) -> dict[str, NDArray[np.float64]]:
    """softmax(scale (Q K^T + Q_rope K_rope^T)) V, with V the latent part of K, for each request."""
    problem = parameters.problem
    lengths = problem.kv_tokens if isinstance(problem.kv_tokens, list) else [problem.kv_tokens] * problem.batch
    rows = problem.heads * problem.query_tokens
    scale = 1.0 / np.sqrt(problem.latent_dim + problem.rope_dim)
    output = np.empty((problem.batch * rows, problem.latent_dim))
    begin = 0
    for request, length in enumerate(lengths):
        keys = slice(begin, begin + length)
        queries = slice(request * rows, (request + 1) * rows)
        scores = inputs["q"][queries] @ inputs["kv"][keys].T + inputs["q_rope"][queries] @ inputs["k_rope"][keys].T
        scores = scale * scores
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        output[queries] = (weights / weights.sum(axis=1, keepdims=True)) @ inputs["kv"][keys]
        begin += length
    return {"out": output}
