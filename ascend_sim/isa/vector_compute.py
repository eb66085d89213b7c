"""What vector operations compute, in NumPy.

Arithmetic is done in the format of the operands and rounded after every step: fp32 in fp32, fp16 in fp16. The
results of `exp`, `ln`, `reciprocal`, `rsqrt` and `sqrt` are NumPy's, within an ulp or two; the unit's own
approximations are not published, so its results may be less accurate. Integer arithmetic wraps around. A NaN
operand gives a NaN in `max`, `min` and `relu`, so that memory nobody has written stays visible. Fused operations
round after each of their steps, too; whether the unit rounds the product of a fused multiply-add is not published.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ascend_sim.numerics import DType, RoundMode, cast, fp16, fp32, int4x2, int8, pack_int4, unpack_int4

Array = NDArray[Any]


class Comparison(Enum):
    """What Compare tests (Ascend C: CMPMODE)."""

    LT = "LT"
    GT = "GT"
    EQ = "EQ"
    LE = "LE"
    GE = "GE"
    NE = "NE"


@dataclass(frozen=True)
class Dequantization:
    """The parameters of CastDeq: one *scale* and *offset*, or one for each of the numbers in a *block* of sources.

    Where the results fill half of a block, it is the *upper* half or the lower one.
    """

    scale: tuple[float, ...]
    offset: tuple[int, ...]
    block: int
    upper: bool = False

    def __str__(self) -> str:
        scales, offsets = ("/".join(map(str, values)) for values in (self.scale, self.offset))
        return f"scale {scales}, offset {offsets}{', upper half' if self.upper else ''}"


@dataclass(frozen=True)
class Arguments:
    """What an operation knows besides its sources: shape and format of the result, and its parameters.

    *source* is the format of the sources, which an array does not tell of packed formats.
    """

    shape: tuple[int, ...]
    dtype: DType
    source: DType
    scalar: float | int | None = None
    round_mode: RoundMode | None = None
    comparison: Comparison | None = None
    dequantization: Dequantization | None = None


Compute = Callable[[tuple[Array, ...], Arguments], Array]


def on_sources(function: Callable[..., Array]) -> Compute:
    """The function of the sources alone, without parameters."""
    return lambda inputs, arguments: function(*inputs)


def with_scalar(function: Callable[[Array, Any], Array]) -> Compute:
    """The function of the first source and the scalar, in the format of the source."""
    return lambda inputs, arguments: function(inputs[0], inputs[0].dtype.type(arguments.scalar))


def reciprocal(values: Array) -> Array:
    """1 / values, in their format."""
    return np.asarray(values.dtype.type(1) / values)


def rsqrt(values: Array) -> Array:
    """1 / square root, rounded twice."""
    return reciprocal(np.sqrt(values))


def relu(values: Array) -> Array:
    """The larger of values and 0."""
    return np.asarray(np.maximum(values, values.dtype.type(0)))


def leaky_relu(values: Array, slope: Any) -> Array:
    """Values, those below 0 times the slope."""
    return np.where(values >= 0, values, values * slope)


def mul_add(left: Array, right: Array, destination: Array) -> Array:
    """left * right + destination, in the format of the destination (MulAddDst)."""
    wide = destination.dtype
    return np.asarray(left.astype(wide) * right.astype(wide) + destination)


def axpy(inputs: tuple[Array, ...], arguments: Arguments) -> Array:
    """scalar * source + destination, in the format of the destination."""
    source, destination = inputs
    wide = destination.dtype
    return np.asarray(source.astype(wide) * wide.type(arguments.scalar) + destination)


def duplicate(inputs: tuple[Array, ...], arguments: Arguments) -> Array:
    """The scalar in every element."""
    return np.full(arguments.shape, arguments.scalar, arguments.dtype.numpy)


def convert(inputs: tuple[Array, ...], arguments: Arguments) -> Array:
    """The numbers of the source in the format of the result, packed if this is so."""
    values = unpack_int4(inputs[0]) if arguments.source == int4x2 else inputs[0]
    mode = arguments.round_mode or RoundMode.CAST_NONE
    if arguments.dtype == int4x2:
        # Saturated to int8 first and to int4 then is saturated to int4.
        return pack_int4(cast(values, int8, mode))
    return cast(values, arguments.dtype, mode)


_COMPARISONS: dict[Comparison, Callable[[Array, Any], Array]] = {
    Comparison.LT: np.less,
    Comparison.GT: np.greater,
    Comparison.EQ: np.equal,
    Comparison.LE: np.less_equal,
    Comparison.GE: np.greater_equal,
    Comparison.NE: np.not_equal,
}


def compare(inputs: tuple[Array, ...], arguments: Arguments) -> Array:
    """One bit for each comparison, the first in the lowest bit."""
    left = inputs[0]
    right = inputs[1] if len(inputs) == 2 else left.dtype.type(arguments.scalar)
    flags = _COMPARISONS[arguments.comparison or Comparison.EQ](left, right)
    return np.packbits(flags.ravel(), bitorder="little").reshape(arguments.shape)


def compare_mask(inputs: tuple[Array, ...], arguments: Arguments) -> Array:
    """The bits of the last repeat: each repeat replaces those of the one before in the mask register."""
    lanes = 8 * arguments.shape[0]
    return compare(tuple(one.ravel()[-lanes:] for one in inputs), arguments)


def select(inputs: tuple[Array, ...], arguments: Arguments) -> Array:
    """The elements of one source where the bit of the mask is set, else of the other or the scalar."""
    mask, left = inputs[:2]
    right = inputs[2] if len(inputs) == 3 else left.dtype.type(arguments.scalar)
    flags = np.unpackbits(mask.ravel(), count=left.size, bitorder="little").reshape(left.shape)
    return np.where(flags, left, right)


def brcb(inputs: tuple[Array, ...], arguments: Arguments) -> Array:
    """Each element in every column of its row."""
    return np.broadcast_to(inputs[0][:, np.newaxis], arguments.shape)


def reduce(function: Callable[[Array, Array], Array]) -> Compute:
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


def then_cast(function: Callable[..., Array]) -> Compute:
    """The function in the format of the sources, rounded; its result then to nearest even in that of the destination.

    Integers are saturated. The instructions have no rounding mode; that they round to nearest even, as CAST_RINT, is
    an assumption, since no source was found. int16 to int8 needs no rounding.
    """
    return lambda inputs, arguments: cast(function(*inputs), arguments.dtype, RoundMode.CAST_RINT)


def relu_of(function: Callable[..., Array]) -> Callable[..., Array]:
    """The function, followed by relu."""
    return lambda *inputs: relu(function(*inputs))


def fused_mul_add(left: Array, right: Array, destination: Array) -> Array:
    """left * destination + right, in their format (FusedMulAdd)."""
    return np.asarray(left * destination + right)


def cast_deq_to_half(inputs: tuple[Array, ...], arguments: Arguments) -> Array:
    """fp16(source * scale) of int32 sources, the scale being an fp16 number.

    The product is taken in fp32 and then rounded to nearest even: an assumption, since the format of the intermediate
    result is not published.
    """
    assert arguments.dequantization is not None
    scale = cast(np.array(arguments.dequantization.scale), fp16, RoundMode.CAST_RINT).astype(np.float32)
    return cast(cast(inputs[0], fp32, RoundMode.CAST_RINT) * scale, fp16, RoundMode.CAST_RINT)


def cast_deq_to_int8(inputs: tuple[Array, ...], arguments: Arguments) -> Array:
    """int8(source * scale + offset) of int16 sources: each of their blocks fills one half of a block of results.

    The other half keeps what it held. The product and the sum are rounded to fp32, and the sum to the nearest whole
    number, ties to even, then saturated: an assumption, since the intermediate format is not published.
    """
    source, destination = inputs
    parameters = arguments.dequantization
    assert parameters is not None
    scale = cast(np.array(parameters.scale), fp32, RoundMode.CAST_RINT)
    offset = np.array(parameters.offset, np.float32)
    columns = np.arange(source.size)
    scaled = source.ravel().astype(np.float32) * scale[columns % scale.size] + offset[columns % offset.size]
    result = destination.copy()
    halves = result.reshape(-1, 2, parameters.block)
    halves[:, int(parameters.upper)] = cast(scaled, int8, RoundMode.CAST_RINT).reshape(-1, parameters.block)
    return result


def gather(inputs: tuple[Array, ...], arguments: Arguments) -> Array:
    """The elements of the first source at the byte offsets of the second."""
    values, offsets = inputs
    return np.asarray(values.ravel()[offsets.ravel() // values.itemsize].reshape(arguments.shape))


def gather_blocks(inputs: tuple[Array, ...], arguments: Arguments) -> Array:
    """The blocks of the first source at the byte offsets of the second, one after the other."""
    values, offsets = inputs
    count = np.prod(arguments.shape, dtype=int) // offsets.size
    first = offsets.reshape(-1, 1) // values.itemsize
    return np.asarray(values.ravel()[first + np.arange(count)].reshape(arguments.shape))
