"""Matrix product in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def reference(inputs: Mapping[str, NDArray[np.float64]], parameters: Any) -> dict[str, NDArray[np.float64]]:
    """C = A B; int8 products are exact here too, as float64 holds every integer up to 2^53."""
    a, b, problem = inputs["a"], inputs["b"], parameters.problem
    return {"c": (a if problem.a_layout == "row" else a.T) @ (b if problem.b_layout == "row" else b.T)}
