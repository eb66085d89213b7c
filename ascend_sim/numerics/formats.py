"""Number formats of the chip, one frozen instance each."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import ml_dtypes
import numpy as np


@dataclass(frozen=True)
class DType:
    """A number format: its *name* in the field's spelling, its NumPy representation and its size in bytes.

    *numbers* is how many numbers one element of a tensor holds: 1, but for formats smaller than a byte.
    """

    name: str
    numpy: np.dtype[Any] = field(compare=False, repr=False)
    numbers: int = 1

    @cached_property
    def bytes(self) -> int:
        """Size of one element in bytes."""
        return int(self.numpy.itemsize)

    @property
    def number(self) -> str:
        """The name of the format of one number, such as int4 of the packed int4x2."""
        return self.name.removesuffix(f"x{self.numbers}")

    @property
    def is_float(self) -> bool:
        """Whether the format holds an exponent (fp32, fp16, bf16)."""
        return self.name in ("fp32", "fp16", "bf16")

    def __str__(self) -> str:
        return self.name


fp32 = DType("fp32", np.dtype(np.float32))
fp16 = DType("fp16", np.dtype(np.float16))
bf16 = DType("bf16", np.dtype(ml_dtypes.bfloat16))
int64 = DType("int64", np.dtype(np.int64))
int32 = DType("int32", np.dtype(np.int32))
int16 = DType("int16", np.dtype(np.int16))
int8 = DType("int8", np.dtype(np.int8))
uint32 = DType("uint32", np.dtype(np.uint32))
uint16 = DType("uint16", np.dtype(np.uint16))
uint8 = DType("uint8", np.dtype(np.uint8))
int4x2 = DType("int4x2", np.dtype(np.uint8), numbers=2)
"""Two int4 numbers in a byte, the first in the lower four bits; see `pack_int4`."""

DTYPES: dict[str, DType] = {
    dtype.name: dtype
    for dtype in (fp32, fp16, bf16, int64, int32, int16, int8, uint32, uint16, uint8, int4x2)
}
