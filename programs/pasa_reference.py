"""Attention in float64, one query token at a time: what PASA computes, without its shift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def reference(inputs: Mapping[str, NDArray[np.float64]], parameters: Any) -> dict[str, NDArray[np.float64]]:
    """sum_j w_j V_j / sum_j w_j with w_j = exp(q K_j / sqrt(head_dim)), over the keys that a query sees."""
    problem = parameters.problem
    output = np.empty_like(inputs["q"])
    for row, query in enumerate(inputs["q"]):
        head, token = divmod(row, problem.query_tokens)
        first = head // (problem.heads // problem.kv_heads) * problem.kv_tokens
        seen = problem.kv_tokens - (problem.query_tokens - 1 - token if problem.causal else 0)
        keys, values = (inputs[name][first : first + seen] for name in "kv")
        scores = keys @ query / np.sqrt(problem.head_dim)
        weights = np.exp(scores - scores.max())
        output[row] = weights @ values / weights.sum()
    return {"out": output}


def tolerance(parameters: Any) -> float:
    """All of it is rounded to fp16, and inv multiplies the rounding of the pseudo-averages by 64."""
    return 0.05
