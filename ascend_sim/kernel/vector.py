"""The vector functions a kernel calls, with the names of Ascend C in snake case.

Destinations come first. Operands are tensors in UB of one shape, of one or two dimensions, unless a function says
otherwise; every function splits them into hardware instructions and issues these:

- Operands without gaps are taken as runs of elements, up to 255 repeats of 256 B an instruction.
- Windows of wider tiles are worked on in chunks of as many columns as a repeat holds, one row a repeat.

The second source of an operation on two may hold one 32 B block a row, as `brcb` makes it, while the other
operands are (rows, columns): the block is applied along the row.

Elementwise functions take `blocks=True` for operands whose rows are one block of 32 B each: a repeat then works on
eight rows, which may lie up to 255 blocks apart (dataBlockStride of Ascend C). An even distance in blocks meets the
same banks of UB again and can cost cycles; an odd one never does.

All functions raise a KernelError with the user's line for operands that do not fit together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ascend_sim.errors import Diagnostic, KernelError
from ascend_sim.isa.operands import Buffer, GlobalTensor, LocalTensor
from ascend_sim.isa.source import SourceLine, user_line
from ascend_sim.isa.vector import VectorInstruction
from ascend_sim.isa.vector_compute import Comparison, Dequantization
from ascend_sim.kernel.split import split
from ascend_sim.kernel.trace import current, emit
from ascend_sim.numerics import RoundMode, fp16

__all__ = [
    "Comparison",
    "abs",
    "add",
    "add_relu",
    "add_relu_cast",
    "adds",
    "and_",
    "axpy",
    "block_reduce_max",
    "block_reduce_min",
    "block_reduce_sum",
    "brcb",
    "cast",
    "cast_deq",
    "compare",
    "compare_mask",
    "compare_scalar",
    "copy",
    "div",
    "duplicate",
    "exp",
    "fused_mul_add",
    "fused_mul_add_relu",
    "gather",
    "gatherb",
    "leaky_relu",
    "ln",
    "max",
    "maxs",
    "min",
    "mins",
    "mul",
    "mul_add_dst",
    "mul_cast",
    "muls",
    "not_",
    "or_",
    "pair_reduce_sum",
    "reciprocal",
    "relu",
    "rsqrt",
    "select",
    "shift_left",
    "shift_right",
    "sqrt",
    "sub",
    "sub_relu",
    "sub_relu_cast",
    "whole_reduce_max",
    "whole_reduce_min",
    "whole_reduce_sum",
]

Scalar = float | int


def add(dst: LocalTensor, src0: LocalTensor, src1: LocalTensor, *, blocks: bool = False) -> None:
    """dst = src0 + src1."""
    _issue("add", dst, src0, src1, blocks=blocks)


def sub(dst: LocalTensor, src0: LocalTensor, src1: LocalTensor, *, blocks: bool = False) -> None:
    """dst = src0 - src1."""
    _issue("sub", dst, src0, src1, blocks=blocks)


def mul(dst: LocalTensor, src0: LocalTensor, src1: LocalTensor, *, blocks: bool = False) -> None:
    """dst = src0 * src1."""
    _issue("mul", dst, src0, src1, blocks=blocks)


def div(dst: LocalTensor, src0: LocalTensor, src1: LocalTensor, *, blocks: bool = False) -> None:
    """dst = src0 / src1."""
    _issue("div", dst, src0, src1, blocks=blocks)


def max(dst: LocalTensor, src0: LocalTensor, src1: LocalTensor, *, blocks: bool = False) -> None:
    """dst = the larger of src0 and src1."""
    _issue("max", dst, src0, src1, blocks=blocks)


def min(dst: LocalTensor, src0: LocalTensor, src1: LocalTensor, *, blocks: bool = False) -> None:
    """dst = the smaller of src0 and src1."""
    _issue("min", dst, src0, src1, blocks=blocks)


def and_(dst: LocalTensor, src0: LocalTensor, src1: LocalTensor, *, blocks: bool = False) -> None:
    """dst = src0 & src1, bit by bit, on 16-bit integers."""
    _issue("and", dst, src0, src1, blocks=blocks)


def or_(dst: LocalTensor, src0: LocalTensor, src1: LocalTensor, *, blocks: bool = False) -> None:
    """dst = src0 | src1, bit by bit, on 16-bit integers."""
    _issue("or", dst, src0, src1, blocks=blocks)


def not_(dst: LocalTensor, src: LocalTensor, *, blocks: bool = False) -> None:
    """dst = ~src, bit by bit, on 16-bit integers."""
    _issue("not", dst, src, blocks=blocks)


def mul_add_dst(dst: LocalTensor, src0: LocalTensor, src1: LocalTensor, *, blocks: bool = False) -> None:
    """dst = src0 * src1 + dst; fp16 sources may be summed in fp32."""
    _issue("mul_add_dst", dst, src0, src1, blocks=blocks)


def add_relu(dst: LocalTensor, src0: LocalTensor, src1: LocalTensor, *, blocks: bool = False) -> None:
    """dst = the larger of src0 + src1 and 0."""
    _issue("add_relu", dst, src0, src1, blocks=blocks)


def sub_relu(dst: LocalTensor, src0: LocalTensor, src1: LocalTensor, *, blocks: bool = False) -> None:
    """dst = the larger of src0 - src1 and 0."""
    _issue("sub_relu", dst, src0, src1, blocks=blocks)


def add_relu_cast(dst: LocalTensor, src0: LocalTensor, src1: LocalTensor, *, blocks: bool = False) -> None:
    """dst = the larger of src0 + src1 and 0, in the format of dst; rounded to nearest even, integers saturated."""
    _issue("add_relu_cast", dst, src0, src1, blocks=blocks)


def sub_relu_cast(dst: LocalTensor, src0: LocalTensor, src1: LocalTensor, *, blocks: bool = False) -> None:
    """dst = the larger of src0 - src1 and 0, in the format of dst; rounded to nearest even, integers saturated."""
    _issue("sub_relu_cast", dst, src0, src1, blocks=blocks)


def mul_cast(dst: LocalTensor, src0: LocalTensor, src1: LocalTensor, *, blocks: bool = False) -> None:
    """dst = src0 * src1 in the format of dst; rounded to nearest even and saturated."""
    _issue("mul_cast", dst, src0, src1, blocks=blocks)


def fused_mul_add(dst: LocalTensor, src0: LocalTensor, src1: LocalTensor, *, blocks: bool = False) -> None:
    """dst = src0 * dst + src1."""
    _issue("fused_mul_add", dst, src0, src1, blocks=blocks)


def fused_mul_add_relu(dst: LocalTensor, src0: LocalTensor, src1: LocalTensor, *, blocks: bool = False) -> None:
    """dst = the larger of src0 * dst + src1 and 0."""
    _issue("fused_mul_add_relu", dst, src0, src1, blocks=blocks)


def axpy(dst: LocalTensor, src: LocalTensor, scalar: Scalar, *, blocks: bool = False) -> None:
    """dst = scalar * src + dst; an fp16 source may be summed in fp32."""
    _issue("axpy", dst, src, scalar=scalar, blocks=blocks)


def adds(dst: LocalTensor, src: LocalTensor, scalar: Scalar, *, blocks: bool = False) -> None:
    """dst = src + scalar."""
    _issue("adds", dst, src, scalar=scalar, blocks=blocks)


def muls(dst: LocalTensor, src: LocalTensor, scalar: Scalar, *, blocks: bool = False) -> None:
    """dst = src * scalar."""
    _issue("muls", dst, src, scalar=scalar, blocks=blocks)


def maxs(dst: LocalTensor, src: LocalTensor, scalar: Scalar, *, blocks: bool = False) -> None:
    """dst = the larger of src and scalar."""
    _issue("maxs", dst, src, scalar=scalar, blocks=blocks)


def mins(dst: LocalTensor, src: LocalTensor, scalar: Scalar, *, blocks: bool = False) -> None:
    """dst = the smaller of src and scalar."""
    _issue("mins", dst, src, scalar=scalar, blocks=blocks)


def leaky_relu(dst: LocalTensor, src: LocalTensor, scalar: Scalar, *, blocks: bool = False) -> None:
    """dst = src where src >= 0, else src * scalar."""
    _issue("leaky_relu", dst, src, scalar=scalar, blocks=blocks)


def shift_left(dst: LocalTensor, src: LocalTensor, scalar: int, *, blocks: bool = False) -> None:
    """dst = src << scalar, on integers."""
    _issue("shift_left", dst, src, scalar=scalar, blocks=blocks)


def shift_right(dst: LocalTensor, src: LocalTensor, scalar: int, *, blocks: bool = False) -> None:
    """dst = src >> scalar, keeping the sign of signed integers."""
    _issue("shift_right", dst, src, scalar=scalar, blocks=blocks)


def exp(dst: LocalTensor, src: LocalTensor, *, blocks: bool = False) -> None:
    """dst = e to the power of src."""
    _issue("exp", dst, src, blocks=blocks)


def ln(dst: LocalTensor, src: LocalTensor, *, blocks: bool = False) -> None:
    """dst = natural logarithm of src."""
    _issue("ln", dst, src, blocks=blocks)


def sqrt(dst: LocalTensor, src: LocalTensor, *, blocks: bool = False) -> None:
    """dst = square root of src."""
    _issue("sqrt", dst, src, blocks=blocks)


def rsqrt(dst: LocalTensor, src: LocalTensor, *, blocks: bool = False) -> None:
    """dst = 1 / square root of src."""
    _issue("rsqrt", dst, src, blocks=blocks)


def reciprocal(dst: LocalTensor, src: LocalTensor, *, blocks: bool = False) -> None:
    """dst = 1 / src."""
    _issue("reciprocal", dst, src, blocks=blocks)


def abs(dst: LocalTensor, src: LocalTensor, *, blocks: bool = False) -> None:
    """dst = magnitude of src."""
    _issue("abs", dst, src, blocks=blocks)


def relu(dst: LocalTensor, src: LocalTensor, *, blocks: bool = False) -> None:
    """dst = the larger of src and 0."""
    _issue("relu", dst, src, blocks=blocks)


def copy(dst: LocalTensor, src: LocalTensor, *, blocks: bool = False) -> None:
    """dst = src, UB to UB, on formats of 2 or 4 bytes."""
    _issue("copy", dst, src, blocks=blocks)


def duplicate(dst: LocalTensor, value: Scalar, mask: tuple[int, int] | None = None, *, blocks: bool = False) -> None:
    """Fill dst with *value*.

    With *mask* (first, last + 1) fill only these columns of a dst (rows, columns) of at most one repeat a row, so
    that columns which do not begin on a 32 B block can be filled.
    """
    _issue("duplicate", dst, scalar=value, mask=mask, blocks=blocks)


def cast(dst: LocalTensor, src: LocalTensor, round_mode: RoundMode, *, blocks: bool = False) -> None:
    """dst = src in the format of dst; fp32 to fp32 rounds to whole numbers."""
    _issue("cast", dst, src, round_mode=round_mode, blocks=blocks)


def cast_deq(
    dst: LocalTensor,
    src: LocalTensor,
    scale: Scalar | Sequence[Scalar],
    offset: int | Sequence[int] = 0,
    *,
    upper: bool = False,
) -> None:
    """dst = src * scale + offset in the format of dst; int32 to fp16 (without offset) or int16 to int8.

    From int16 to int8, dst has twice the elements of src: each block of 16 numbers fills the lower half of a 32 B block
    of dst, or the *upper* one, and the other half stays as it is. There may be 16 scales, and an offset or 16, one for
    each number of a block.
    """
    scales, offsets = _numbers(scale), _numbers(offset)
    name = "cast_deq_vector" if len(scales) > 1 else "cast_deq"
    if isinstance(dst, LocalTensor) and dst.dtype == fp16:
        name = "cast_deq_fp16"
    if name == "cast_deq_vector" and len(offsets) == 1:
        offsets *= len(scales)
    size = src.dtype.bytes if isinstance(src, LocalTensor) else 1
    block = current().chip.vector.block_bytes.value // size
    _issue(name, dst, src, dequantization=Dequantization(scales, offsets, block, upper))


def gather(dst: LocalTensor, src: LocalTensor, offsets: LocalTensor) -> None:
    """dst = the elements of src at the byte *offsets* (uint32, one for each element of dst)."""
    _issue("gather", dst, src, offsets)


def gatherb(dst: LocalTensor, src: LocalTensor, offsets: LocalTensor) -> None:
    """dst = the 32 B blocks of src at the byte *offsets* (uint32, one for each block of dst), one after the other."""
    _issue("gatherb", dst, src, offsets)


def compare(dst: LocalTensor, src0: LocalTensor, src1: LocalTensor, mode: Comparison | str) -> None:
    """Set the bits of dst (uint8, an eighth of the elements) where src0 < src1, for *mode* "LT", and so on."""
    _issue("compare", dst, src0, src1, comparison=mode)


def compare_mask(dst: LocalTensor, src0: LocalTensor, src1: LocalTensor, mode: Comparison | str) -> None:
    """Set the bits of dst (uint8, as many as a repeat has elements) where src0 < src1 in the last repeat, for "LT".

    Ascend C's CompareMask and GetCmpMask in one: dst stands for the mask register, which every repeat replaces.
    """
    _issue("compare_mask", dst, src0, src1, comparison=mode)


def compare_scalar(dst: LocalTensor, src: LocalTensor, scalar: Scalar, mode: Comparison | str) -> None:
    """Set the bits of dst (uint8, an eighth of the elements) where src < scalar, for *mode* "LT", and so on."""
    _issue("compare_scalar", dst, src, scalar=scalar, comparison=mode)


def select(dst: LocalTensor, mask: LocalTensor, src0: LocalTensor, src1: LocalTensor | Scalar) -> None:
    """dst = src0 where the bit of *mask* (uint8, as `compare` makes it) is set, else src1 (tensor or scalar)."""
    if isinstance(src1, LocalTensor):
        _issue("select", dst, mask, src0, src1)
    else:
        _issue("select_scalar", dst, mask, src0, scalar=src1)


def brcb(dst: LocalTensor, src: LocalTensor) -> None:
    """Fill each row of dst (rows, 32 B worth of columns) with one element of src (rows,); 8 rows a repeat."""
    _issue("brcb", dst, src)


def whole_reduce_max(dst: LocalTensor, src: LocalTensor) -> None:
    """dst (rows,) = the largest of each row of src (rows, columns), of at most one repeat a row."""
    _issue("whole_reduce_max", dst, src)


def whole_reduce_min(dst: LocalTensor, src: LocalTensor) -> None:
    """dst (rows,) = the smallest of each row of src (rows, columns), of at most one repeat a row."""
    _issue("whole_reduce_min", dst, src)


def whole_reduce_sum(dst: LocalTensor, src: LocalTensor) -> None:
    """dst (rows,) = the sum of each row of src (rows, columns), of at most one repeat a row."""
    _issue("whole_reduce_sum", dst, src)


def block_reduce_max(dst: LocalTensor, src: LocalTensor) -> None:
    """dst = the largest of each 32 B block of src; the last dimension shrinks by the elements of a block."""
    _issue("block_reduce_max", dst, src)


def block_reduce_min(dst: LocalTensor, src: LocalTensor) -> None:
    """dst = the smallest of each 32 B block of src; the last dimension shrinks by the elements of a block."""
    _issue("block_reduce_min", dst, src)


def block_reduce_sum(dst: LocalTensor, src: LocalTensor) -> None:
    """dst = the sum of each 32 B block of src; the last dimension shrinks by the elements of a block."""
    _issue("block_reduce_sum", dst, src)


def pair_reduce_sum(dst: LocalTensor, src: LocalTensor) -> None:
    """dst = the sums of neighbours (0 and 1, 2 and 3, ...) of src; the last dimension is halved."""
    _issue("pair_reduce_sum", dst, src)


def _issue(
    name: str,
    dst: LocalTensor,
    *inputs: LocalTensor,
    scalar: Scalar | None = None,
    round_mode: RoundMode | None = None,
    comparison: Comparison | str | None = None,
    mask: tuple[int, int] | None = None,
    dequantization: Dequantization | None = None,
    blocks: bool = False,
) -> None:
    where = user_line()
    faults = [
        f"operand {_named(operand)} is not a tensor in UB; lay a buffer out with tile(shape, dtype), fetch what is in "
        f"GM with data_copy, and write numbers with the function for scalars"
        for operand in (dst, *inputs)
        if not isinstance(operand, LocalTensor)
    ]
    if isinstance(comparison, str):
        known = [member.value for member in Comparison]
        if comparison not in known:
            faults.append(f"comparison {comparison!r} does not exist; write one of {', '.join(known)}")
        else:
            comparison = Comparison(comparison)
    if faults or isinstance(comparison, str):
        raise _refuse(name, faults, where)
    tracer = current()
    chip, sound = tracer.chip, tracer.recordings.sound
    whole = VectorInstruction(
        where=where,
        name=name,
        destination=dst,
        inputs=inputs,
        scalar=_plain(scalar),
        round_mode=round_mode,
        comparison=comparison,
        mask=mask,
        dequantization=dequantization,
        blocks=blocks,
    )
    form = "whole", whole.form(chip)
    if form not in sound:
        faults = list(whole.operand_faults(chip))
        if faults:
            raise _refuse(name, faults, where)
        sound.add(form)
    for part in split(whole, chip):
        emit(part)


def _plain(number: Scalar | None) -> Scalar | None:
    """A number computed with NumPy as one of Python; anything else as it is."""
    return number.item() if isinstance(number, np.generic) else number


def _numbers(values: Any) -> tuple[Any, ...]:
    """One number, or those of a sequence, as a tuple."""
    several = isinstance(values, list | tuple | np.ndarray)
    return tuple(map(_plain, values)) if several else (_plain(values),)


def _named(operand: object) -> str:
    if isinstance(operand, Buffer | GlobalTensor):
        return f"'{operand.name}'"
    return repr(operand)


def _refuse(name: str, faults: list[str], where: SourceLine) -> KernelError:
    return KernelError([Diagnostic(f"{name}: {fault}", where.file, where.line) for fault in faults])
