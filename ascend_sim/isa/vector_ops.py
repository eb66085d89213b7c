"""The table of vector operations: names, operands, formats, cost rows and meaning, one row each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from ascend_sim.isa import vector_compute as calc
from ascend_sim.numerics import (
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


class Pattern(Enum):
    """How the elements of the destination belong to those of the sources."""

    ELEMENTWISE = "one destination element for each source element"
    COMPARE = "one bit of the destination for each source element, lowest bit first"
    MASK = "one bit of the destination for each element of the last repeat, lowest bit first"
    SELECT = "as elementwise; the first source holds a bit for each element, lowest bit first"
    ROW_BLOCKS = "each source element fills one block of the destination"
    WHOLE = "one destination element for each row, a row being one repeat"
    BLOCK = "one destination element for each block of the source"
    PAIR = "one destination element for two neighbours of the source"
    HALF_BLOCKS = "each block of the source fills one half of a block of the destination"
    GATHER = "one destination element for each byte offset in the second source"
    GATHER_BLOCKS = "one destination block for each byte offset in the second source"


@dataclass(frozen=True)
class VectorOp:
    """One vector operation.

    *name* is the Ascend C name in snake case, *cost* the vendor's instruction whose row of the chip file
    applies. *formats* are the allowed pairs of source and destination formats. With *by_width* the operation
    moves bits only and costs what the integer of the same width costs. With *accumulates* the destination is
    read, too, and is the last input of *compute*. With *deq* it takes the parameters of CastDeq.
    """

    name: str
    cost: str
    sources: int
    formats: tuple[tuple[DType, DType], ...]
    compute: calc.Compute
    pattern: Pattern = Pattern.ELEMENTWISE
    scalar: bool = False
    accumulates: bool = False
    by_width: bool = False
    deq: bool = False

    @property
    def spelling(self) -> str:
        """The name that the vendor's tools print: that of the instruction whose cost applies, such as "VADD"."""
        return self.cost.upper()

    def cost_keys(self, source: DType, destination: DType) -> tuple[str, ...]:
        """The data types under which the chip file may hold the cost, best first."""
        if source == destination or self.pattern in (Pattern.COMPARE, Pattern.MASK):
            bits = source.bytes * 8
            if self.by_width:
                return source.name, f"uint{bits}", f"int{bits}"
            if self.cost == "vconv":
                # Rounding to whole numbers has no published row; the conversion to an integer does that work.
                return source.name, f"{source}_int{bits}"
            return (source.name,)
        return (f"{source.number}_{destination.number}",)


def _same(*dtypes: DType) -> tuple[tuple[DType, DType], ...]:
    return tuple((dtype, dtype) for dtype in dtypes)


_FLOATS = _same(fp16, fp32)
_NUMBERS = _same(fp16, fp32, int16, int32)
_INTEGERS = _same(int16, int32, uint16, uint32)
_BITS = _same(int16, uint16)
_ANY = _same(fp16, bf16, fp32, int16, int32, uint16, uint32)
_MIXED = (*_FLOATS, (fp16, fp32))
_CONVERSIONS = (
    (fp32, fp32), (fp32, fp16), (fp32, bf16), (fp32, int32), (bf16, fp32), (fp16, fp32), (fp16, int32),
    (fp16, int16), (fp16, int8), (fp16, uint8), (int32, fp32), (int16, fp32), (int16, fp16), (int8, fp16),
    (uint8, fp16), (fp16, int4x2), (int4x2, fp16), (fp32, int64), (int64, fp32),
)  # fmt: skip
_FUSED = _same(fp16, fp32, int16)
_FUSED_CONVERSIONS = ((fp32, fp16), (int16, int8), (fp16, int8))
_FLAGS = ((fp16, uint8), (fp32, uint8))

_TABLE = (
    VectorOp("add", "vadd", 2, _NUMBERS, calc.on_sources(np.add)),
    VectorOp("sub", "vsub", 2, _NUMBERS, calc.on_sources(np.subtract)),
    VectorOp("mul", "vmul", 2, _NUMBERS, calc.on_sources(np.multiply)),
    VectorOp("div", "vdiv", 2, _FLOATS, calc.on_sources(np.divide)),
    VectorOp("max", "vmax", 2, _NUMBERS, calc.on_sources(np.maximum)),
    VectorOp("min", "vmin", 2, _NUMBERS, calc.on_sources(np.minimum)),
    VectorOp("and", "vand", 2, _BITS, calc.on_sources(np.bitwise_and)),
    VectorOp("or", "vor", 2, _BITS, calc.on_sources(np.bitwise_or)),
    VectorOp("mul_add_dst", "vmla", 2, _MIXED, calc.on_sources(calc.mul_add), accumulates=True),
    VectorOp("fused_mul_add", "vmadd", 2, _FLOATS, calc.on_sources(calc.fused_mul_add), accumulates=True),
    VectorOp(
        "fused_mul_add_relu", "vmaddrelu", 2, _FLOATS, calc.on_sources(calc.relu_of(calc.fused_mul_add)),
        accumulates=True,
    ),
    VectorOp("add_relu", "vaddrelu", 2, _FUSED, calc.on_sources(calc.relu_of(np.add))),
    VectorOp("sub_relu", "vsubrelu", 2, _FUSED, calc.on_sources(calc.relu_of(np.subtract))),
    VectorOp("add_relu_cast", "vaddreluconv", 2, _FUSED_CONVERSIONS, calc.then_cast(calc.relu_of(np.add))),
    VectorOp("sub_relu_cast", "vsubreluconv", 2, _FUSED_CONVERSIONS, calc.then_cast(calc.relu_of(np.subtract))),
    VectorOp("mul_cast", "vmulconv", 2, ((fp16, int8), (fp16, uint8)), calc.then_cast(np.multiply)),
    VectorOp("axpy", "vaxpy", 1, _MIXED, calc.axpy, scalar=True, accumulates=True),
    VectorOp("adds", "vadds", 1, _NUMBERS, calc.with_scalar(np.add), scalar=True),
    VectorOp("muls", "vmuls", 1, _NUMBERS, calc.with_scalar(np.multiply), scalar=True),
    VectorOp("maxs", "vmaxs", 1, _NUMBERS, calc.with_scalar(np.maximum), scalar=True),
    VectorOp("mins", "vmins", 1, _NUMBERS, calc.with_scalar(np.minimum), scalar=True),
    VectorOp("leaky_relu", "vlrelu", 1, _FLOATS, calc.with_scalar(calc.leaky_relu), scalar=True),
    VectorOp("shift_left", "vshl", 1, _INTEGERS, calc.with_scalar(np.left_shift), scalar=True),
    VectorOp("shift_right", "vshr", 1, _INTEGERS, calc.with_scalar(np.right_shift), scalar=True),
    VectorOp("exp", "vexp", 1, _FLOATS, calc.on_sources(np.exp)),
    VectorOp("ln", "vln", 1, _FLOATS, calc.on_sources(np.log)),
    VectorOp("sqrt", "vsqrt", 1, _FLOATS, calc.on_sources(np.sqrt)),
    VectorOp("rsqrt", "vrsqrt", 1, _FLOATS, calc.on_sources(calc.rsqrt)),
    VectorOp("reciprocal", "vrec", 1, _FLOATS, calc.on_sources(calc.reciprocal)),
    VectorOp("abs", "vabs", 1, _FLOATS, calc.on_sources(np.abs)),
    VectorOp("relu", "vrelu", 1, _same(fp16, fp32, int32), calc.on_sources(calc.relu)),
    VectorOp("not", "vnot", 1, _BITS, calc.on_sources(np.bitwise_not)),
    VectorOp("copy", "vcopy", 1, _ANY, calc.on_sources(np.copy), by_width=True),
    VectorOp("duplicate", "vectordup", 0, _ANY, calc.duplicate, scalar=True, by_width=True),
    VectorOp("cast", "vconv", 1, _CONVERSIONS, calc.convert),
    VectorOp("cast_deq_fp16", "vconvdeq", 1, ((int32, fp16),), calc.cast_deq_to_half, deq=True),
    VectorOp(
        "cast_deq", "vconvdeq", 1, ((int16, int8),), calc.cast_deq_to_int8, Pattern.HALF_BLOCKS, accumulates=True,
        deq=True,
    ),
    VectorOp(
        "cast_deq_vector", "vconvvdeq", 1, ((int16, int8),), calc.cast_deq_to_int8, Pattern.HALF_BLOCKS,
        accumulates=True, deq=True,
    ),
    VectorOp("compare", "vcmpv", 2, _FLAGS, calc.compare, Pattern.COMPARE),
    VectorOp("compare_mask", "vcmp", 2, _FLAGS, calc.compare_mask, Pattern.MASK),
    VectorOp("compare_scalar", "vcmpvs", 1, _FLAGS, calc.compare, Pattern.COMPARE, scalar=True),
    VectorOp("select", "vsel", 3, _FLOATS, calc.select, Pattern.SELECT),
    VectorOp("select_scalar", "vsel", 2, _FLOATS, calc.select, Pattern.SELECT, scalar=True),
    VectorOp("brcb", "vbrcb", 1, _ANY, calc.brcb, Pattern.ROW_BLOCKS, by_width=True),
    VectorOp("gather", "vgather", 2, _ANY, calc.gather, Pattern.GATHER, by_width=True),
    VectorOp("gatherb", "vgatherb", 2, _ANY, calc.gather_blocks, Pattern.GATHER_BLOCKS, by_width=True),
    VectorOp("whole_reduce_max", "vcmax", 1, _FLOATS, calc.reduce(np.maximum), Pattern.WHOLE),
    VectorOp("whole_reduce_min", "vcmin", 1, _FLOATS, calc.reduce(np.minimum), Pattern.WHOLE),
    VectorOp("whole_reduce_sum", "vcadd", 1, _FLOATS, calc.reduce(np.add), Pattern.WHOLE),
    VectorOp("block_reduce_max", "vcgmax", 1, _FLOATS, calc.reduce(np.maximum), Pattern.BLOCK),
    VectorOp("block_reduce_min", "vcgmin", 1, _FLOATS, calc.reduce(np.minimum), Pattern.BLOCK),
    VectorOp("block_reduce_sum", "vcgadd", 1, _FLOATS, calc.reduce(np.add), Pattern.BLOCK),
    VectorOp("pair_reduce_sum", "vcpadd", 1, _FLOATS, calc.reduce(np.add), Pattern.PAIR),
)

VECTOR_OPS: dict[str, VectorOp] = {op.name: op for op in _TABLE}
"""Every vector operation by its name."""
