"""Number formats of the chip, conversions between them, and arithmetic on their bits."""

from __future__ import annotations

from ascend_sim.numerics.bits import exponent_add, pack_int4, rescale_increment, unpack_int4
from ascend_sim.numerics.casts import RoundMode, cast
from ascend_sim.numerics.formats import (
    DTYPES,
    DType,
    bf16,
    fp16,
    fp32,
    int4x2,
    int8,
    int16,
    int32,
    int64,
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
    "int4x2",
    "int8",
    "int16",
    "int32",
    "int64",
    "pack_int4",
    "rescale_increment",
    "uint8",
    "uint16",
    "uint32",
    "unpack_int4",
]
