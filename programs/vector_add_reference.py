"""Element-wise sum in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def reference(inputs: Mapping[str, NDArray[np.float64]], parameters: Any) -> dict[str, NDArray[np.float64]]:
    """z = x + y."""
    return {"z": inputs["x"] + inputs["y"]}
