"""The table of vector operations: names, operands, formats, cost rows and meaning, one row each.

Arithmetic is done in the format of the operands and rounded after every step: fp32 in fp32, fp16 in fp16. The
results of `exp`, `ln`, `reciprocal`, `rsqrt` and `sqrt` are NumPy's, within an ulp or two; the unit's own
approximations are not published, so its results may be less accurate. Integer arithmetic wraps around. A NaN
operand gives a NaN in `max` and `min`, so that memory nobody has written stays visible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ascend_sim.numerics import (
    DType,
    RoundMode,
    bf16,
    cast,
    fp16,
    fp32,
    int8,
    int16,
    int32,
    uint8,
    uint16,
    uint32,
)

Array = NDArray[Any]


class Pattern(Enum):
    """How the elements of the destination belong to those of the sources."""

    ELEMENTWISE = "one destination element for each source element"
    COMPARE = "one bit of the destination for each source element, lowest bit first"
    SELECT = "as elementwise; the first source holds a bit for each element, lowest bit first"
    ROW_BLOCKS = "each source element fills one block of the destination"
    WHOLE = "one destination element for each row, a row being one repeat"
    BLOCK = "one destination element for each block of the source"
    PAIR = "one destination element for two neighbours of the source"


class Comparison(Enum):
    """What Compare tests (Ascend C: CMPMODE)."""

    LT = "LT"
    GT = "GT"
    EQ = "EQ"
    LE = "LE"
    GE = "GE"
    NE = "NE"


@dataclass(frozen=True)
class Arguments:
    """What an operation knows besides its sources: shape and format of the result, and its parameters."""

    shape: tuple[int, ...]
    dtype: DType
    scalar: float | int | None = None
    round_mode: RoundMode | None = None
    comparison: Comparison | None = None


Compute = Callable[[tuple[Array, ...], Arguments], Array]


@dataclass(frozen=True)
class VectorOp:
    """One vector operation.

    *name* is the Ascend C name in snake case, *cost* the vendor's instruction whose row of the chip file
    applies. *formats* are the allowed pairs of source and destination formats. With *by_width* the operation
    moves bits only and costs what the integer of the same width costs. With *accumulates* the destination is
    read, too, and is the last input of *compute*.
    """

    name: str
    cost: str
    sources: int
    formats: tuple[tuple[DType, DType], ...]
    compute: Compute
    pattern: Pattern = Pattern.ELEMENTWISE
    scalar: bool = False
    accumulates: bool = False
    by_width: bool = False

    def cost_keys(self, source: DType, destination: DType) -> tuple[str, ...]:
        """The data types under which the chip file may hold the cost, best first."""
        if source == destination or self.pattern is Pattern.COMPARE:
            bits = source.bytes * 8
            if self.by_width:
                return source.name, f"uint{bits}", f"int{bits}"
            if self.cost == "vconv":
                # Rounding to whole numbers has no published row; the conversion to an integer does that work.
                return source.name, f"{source}_int{bits}"
            return (source.name,)
        return (f"{source}_{destination}",)


def _same(*dtypes: DType) -> tuple[tuple[DType, DType], ...]:
    return tuple((dtype, dtype) for dtype in dtypes)


def _on_sources(function: Callable[..., Array]) -> Compute:
    return lambda inputs, arguments: function(*inputs)


def _with_scalar(function: Callable[[Array, Any], Array]) -> Compute:
    return lambda inputs, arguments: function(inputs[0], inputs[0].dtype.type(arguments.scalar))


def _reciprocal(values: Array) -> Array:
    return np.asarray(values.dtype.type(1) / values)


def _rsqrt(values: Array) -> Array:
    return _reciprocal(np.sqrt(values))


def _relu(values: Array) -> Array:
    return np.asarray(np.maximum(values, values.dtype.type(0)))


def _leaky_relu(values: Array, slope: Any) -> Array:
    return np.where(values >= 0, values, values * slope)


def _mul_add(left: Array, right: Array, destination: Array) -> Array:
    wide = destination.dtype
    return np.asarray(left.astype(wide) * right.astype(wide) + destination)


def _axpy(inputs: tuple[Array, ...], arguments: Arguments) -> Array:
    source, destination = inputs
    wide = destination.dtype
    return np.asarray(source.astype(wide) * wide.type(arguments.scalar) + destination)


def _duplicate(inputs: tuple[Array, ...], arguments: Arguments) -> Array:
    return np.full(arguments.shape, arguments.scalar, arguments.dtype.numpy)


def _cast(inputs: tuple[Array, ...], arguments: Arguments) -> Array:
    return cast(inputs[0], arguments.dtype, arguments.round_mode or RoundMode.CAST_NONE)


_COMPARISONS: dict[Comparison, Callable[[Array, Any], Array]] = {
    Comparison.LT: np.less,
    Comparison.GT: np.greater,
    Comparison.EQ: np.equal,
    Comparison.LE: np.less_equal,
    Comparison.GE: np.greater_equal,
    Comparison.NE: np.not_equal,
}


def _compare(inputs: tuple[Array, ...], arguments: Arguments) -> Array:
    left = inputs[0]
    right = inputs[1] if len(inputs) == 2 else left.dtype.type(arguments.scalar)
    flags = _COMPARISONS[arguments.comparison or Comparison.EQ](left, right)
    return np.packbits(flags.ravel(), bitorder="little").reshape(arguments.shape)


def _select(inputs: tuple[Array, ...], arguments: Arguments) -> Array:
    mask, left = inputs[:2]
    right = inputs[2] if len(inputs) == 3 else left.dtype.type(arguments.scalar)
    flags = np.unpackbits(mask.ravel(), count=left.size, bitorder="little").reshape(left.shape)
    return np.where(flags, left, right)


def _brcb(inputs: tuple[Array, ...], arguments: Arguments) -> Array:
    return np.broadcast_to(inputs[0][:, np.newaxis], arguments.shape)


def _reduce(function: Callable[[Array, Array], Array]) -> Compute:
    """Fold neighbours pairwise, as the adder tree of the unit does (Ascend C on WholeReduceSum).

    The order matters for sums only. A group that does not fill the tree has its odd element passed up.
    """

    def compute(inputs: tuple[Array, ...], arguments: Arguments) -> Array:
        values = inputs[0].reshape(*arguments.shape, -1)
        while values.shape[-1] > 1:
            even = values.shape[-1] // 2 * 2
            folded = function(values[..., 0:even:2], values[..., 1:even:2])
            values = np.concatenate((folded, values[..., even:]), axis=-1)
        return np.asarray(values[..., 0])

    return compute


_FLOATS = _same(fp16, fp32)
_NUMBERS = _same(fp16, fp32, int16, int32)
_INTEGERS = _same(int16, int32, uint16, uint32)
_BITS = _same(int16, uint16)
_ANY = _same(fp16, bf16, fp32, int16, int32, uint16, uint32)
_MIXED = (*_FLOATS, (fp16, fp32))
_CONVERSIONS = (
    (fp32, fp32), (fp32, fp16), (fp32, bf16), (fp32, int32), (bf16, fp32), (fp16, fp32), (fp16, int32),
    (fp16, int16), (fp16, int8), (fp16, uint8), (int32, fp32), (int16, fp32), (int16, fp16), (int8, fp16),
    (uint8, fp16),
)  # fmt: skip
_FLAGS = ((fp16, uint8), (fp32, uint8))

_TABLE = (
    VectorOp("add", "vadd", 2, _NUMBERS, _on_sources(np.add)),
    VectorOp("sub", "vsub", 2, _NUMBERS, _on_sources(np.subtract)),
    VectorOp("mul", "vmul", 2, _NUMBERS, _on_sources(np.multiply)),
    VectorOp("div", "vdiv", 2, _FLOATS, _on_sources(np.divide)),
    VectorOp("max", "vmax", 2, _NUMBERS, _on_sources(np.maximum)),
    VectorOp("min", "vmin", 2, _NUMBERS, _on_sources(np.minimum)),
    VectorOp("and", "vand", 2, _BITS, _on_sources(np.bitwise_and)),
    VectorOp("or", "vor", 2, _BITS, _on_sources(np.bitwise_or)),
    VectorOp("mul_add_dst", "vmla", 2, _MIXED, _on_sources(_mul_add), accumulates=True),
    VectorOp("axpy", "vaxpy", 1, _MIXED, _axpy, scalar=True, accumulates=True),
    VectorOp("adds", "vadds", 1, _NUMBERS, _with_scalar(np.add), scalar=True),
    VectorOp("muls", "vmuls", 1, _NUMBERS, _with_scalar(np.multiply), scalar=True),
    VectorOp("maxs", "vmaxs", 1, _NUMBERS, _with_scalar(np.maximum), scalar=True),
    VectorOp("mins", "vmins", 1, _NUMBERS, _with_scalar(np.minimum), scalar=True),
    VectorOp("leaky_relu", "vlrelu", 1, _FLOATS, _with_scalar(_leaky_relu), scalar=True),
    VectorOp("shift_left", "vshl", 1, _INTEGERS, _with_scalar(np.left_shift), scalar=True),
    VectorOp("shift_right", "vshr", 1, _INTEGERS, _with_scalar(np.right_shift), scalar=True),
    VectorOp("exp", "vexp", 1, _FLOATS, _on_sources(np.exp)),
    VectorOp("ln", "vln", 1, _FLOATS, _on_sources(np.log)),
    VectorOp("sqrt", "vsqrt", 1, _FLOATS, _on_sources(np.sqrt)),
    VectorOp("rsqrt", "vrsqrt", 1, _FLOATS, _on_sources(_rsqrt)),
    VectorOp("reciprocal", "vrec", 1, _FLOATS, _on_sources(_reciprocal)),
    VectorOp("abs", "vabs", 1, _FLOATS, _on_sources(np.abs)),
    VectorOp("relu", "vrelu", 1, _same(fp16, fp32, int32), _on_sources(_relu)),
    VectorOp("not", "vnot", 1, _BITS, _on_sources(np.bitwise_not)),
    VectorOp("copy", "vcopy", 1, _ANY, _on_sources(np.copy), by_width=True),
    VectorOp("duplicate", "vectordup", 0, _ANY, _duplicate, scalar=True, by_width=True),
    VectorOp("cast", "vconv", 1, _CONVERSIONS, _cast),
    VectorOp("compare", "vcmpv", 2, _FLAGS, _compare, Pattern.COMPARE),
    VectorOp("compare_scalar", "vcmpvs", 1, _FLAGS, _compare, Pattern.COMPARE, scalar=True),
    VectorOp("select", "vsel", 3, _FLOATS, _select, Pattern.SELECT),
    VectorOp("select_scalar", "vsel", 2, _FLOATS, _select, Pattern.SELECT, scalar=True),
    VectorOp("brcb", "vbrcb", 1, _ANY, _brcb, Pattern.ROW_BLOCKS, by_width=True),
    VectorOp("whole_reduce_max", "vcmax", 1, _FLOATS, _reduce(np.maximum), Pattern.WHOLE),
    VectorOp("whole_reduce_min", "vcmin", 1, _FLOATS, _reduce(np.minimum), Pattern.WHOLE),
    VectorOp("whole_reduce_sum", "vcadd", 1, _FLOATS, _reduce(np.add), Pattern.WHOLE),
    VectorOp("block_reduce_max", "vcgmax", 1, _FLOATS, _reduce(np.maximum), Pattern.BLOCK),
    VectorOp("block_reduce_min", "vcgmin", 1, _FLOATS, _reduce(np.minimum), Pattern.BLOCK),
    VectorOp("block_reduce_sum", "vcgadd", 1, _FLOATS, _reduce(np.add), Pattern.BLOCK),
    VectorOp("pair_reduce_sum", "vcpadd", 1, _FLOATS, _reduce(np.add), Pattern.PAIR),
)

VECTOR_OPS: dict[str, VectorOp] = {op.name: op for op in _TABLE}
"""Every vector operation by its name."""
