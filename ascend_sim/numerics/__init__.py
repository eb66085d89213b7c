"""Number formats of the chip, conversions between them, and arithmetic on their bits."""

from __future__ import annotations

from ascend_sim.numerics.bits import exponent_add, rescale_increment
from ascend_sim.numerics.casts import RoundMode, cast
from ascend_sim.numerics.formats import (
    DTYPES,
    DType,
    bf16,
    fp16,
    fp32,
    int8,
    int16,
    int32,
    uint8,
    uint16,
    uint32,
)

__all__ = [
    "DTYPES",
    "DType",
    "RoundMode",
    "bf16",
    "cast",
    "exponent_add",
    "fp16",
    "fp32",
    "int8",
    "int16",
    "int32",
    "rescale_increment",
    "uint8",
    "uint16",
    "uint32",
]
