"""Rules of vector instructions: numbers given with them, and which operands may lie over each other in UB."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ascend_sim.config import Chip
from ascend_sim.isa.operands import LocalTensor
from ascend_sim.isa.vector_compute import Dequantization
from ascend_sim.numerics import DType, RoundMode, cast, fp16, fp32

_ALL_FLOATS_HOLD = 65504
"""The largest fp16 number: every format of floating-point numbers reaches that far."""
_OFFSETS = (-256, 255)
"""The offset of CastDeq has nine bits of the register that SetDeqScale writes."""


def scalar_faults(scalar: object, dtype: DType, *, shift: bool = False, what: str = "scalar") -> Iterator[str]:
    """Yield a message if *scalar* is no number that *dtype* holds, or no distance to *shift* it by."""
    if isinstance(scalar, bool) or not isinstance(scalar, int | float):
        given = f"'{scalar.buffer.name}'" if isinstance(scalar, LocalTensor) else repr(scalar)
        yield f"{what} {given} is not a number; write an int or a float"
        return
    if dtype.is_float:
        if abs(scalar) <= _ALL_FLOATS_HOLD or not math.isfinite(scalar):
            return
        with np.errstate(all="ignore"):
            stored = cast(np.asarray(scalar, np.float64), dtype, RoundMode.CAST_RINT)
        if not np.isfinite(stored.astype(np.float32)):
            yield f"{what} {scalar!r} is above the largest {dtype} number; use a wider format"
        return
    limits = np.iinfo(dtype.numpy)
    low, high = (0, dtype.bytes * 8 - 1) if shift else (int(limits.min), int(limits.max))
    if scalar != scalar or scalar != int(scalar) or not low <= scalar <= high:
        yield f"{what} {scalar!r} must be a whole number in {low}..{high} for {dtype}"


def dequantization_faults(
    given: Dequantization | None, source: DType, destination: DType, *, vector: bool
) -> Iterator[str]:
    """Yield what is wrong with the parameters of a CastDeq, in *vector* form or with one scale for all numbers."""
    if given is None:
        yield "no scale is given; write 0.5, for example"
        return
    for scale in given.scale:
        yield from scalar_faults(scale, fp16 if destination == fp16 else fp32, what="scale")
    for offset in given.offset:
        yield from _offset_faults(offset)
    if destination == fp16:
        if any(given.offset) or given.upper or len(given.scale) != 1:
            yield f"{source} to {destination} has one scale, and neither an offset nor an upper half; leave these out"
        return
    wanted = given.block if vector else 1
    if (len(given.scale), len(given.offset)) != (wanted, wanted):
        yield (
            f"{len(given.scale)} scales and {len(given.offset)} offsets are given; write one of each, or {given.block} "
            f"of each, one for each number of a block"
        )


def _offset_faults(offset: object) -> Iterator[str]:
    if isinstance(offset, bool) or not isinstance(offset, int) or not _OFFSETS[0] <= offset <= _OFFSETS[1]:
        yield f"offset {offset!r} must be a whole number in {_OFFSETS[0]}..{_OFFSETS[1]}"


def block_row_faults(operands: tuple[LocalTensor, ...], chip: Chip) -> Iterator[str]:
    """Yield a message for each of *operands*, destination first, that is not as many rows of one block as the first."""
    block, rows = chip.vector.block_bytes.value, operands[0].rows
    for operand in operands:
        columns = block // operand.dtype.bytes
        if len(operand.shape) != 2 or operand.columns * operand.dtype.bytes != block:
            yield (
                f"with blocks, {shown(operand)} {operand.dtype} must be rows of one block of {block} B; slice "
                f"{columns} columns of a tile of two dimensions, or leave blocks out"
            )
        elif operand.rows != rows:
            yield f"{shown(operand)} must have the {rows} rows of {shown(operands[0])}"
        elif operand.dtype.bytes != operands[0].dtype.bytes:
            yield (
                f"with blocks, {shown(operand)} {operand.dtype} and {shown(operands[0])} {operands[0].dtype} must have "
                f"elements of one size; leave blocks out"
            )


def stride_faults(operands: tuple[LocalTensor, ...], chip: Chip) -> Iterator[str]:
    """Yield a message for each of *operands* whose rows, blocks of one repeat, are too far apart."""
    block, limit = chip.vector.block_bytes.value, chip.vector.max_block_stride.value
    for operand in operands:
        stride = operand.pitch * operand.dtype.bytes // block
        if len(operand.shape) == 2 and operand.rows > 1 and stride > limit:
            yield (
                f"{shown(operand)} has rows {stride} blocks of {block} B apart; the blocks of a repeat are at most "
                f"{limit} apart: lay the tile out with at most {limit * block // operand.dtype.bytes} columns"
            )


def overlap_faults(destination: LocalTensor, source: LocalTensor, repeats: int) -> Iterator[str]:
    """Refuse a destination that would overwrite what a later repeat of the same instruction reads.

    With the same start each repeat writes where it has read, if the destination does not advance faster.
    """
    if destination.space is not source.space or not share_bytes(destination, source):
        return
    names = f"destination '{destination.buffer.name}' and source '{source.buffer.name}'"
    distance = destination.address - source.address
    if distance:
        side = "behind" if distance > 0 else "before"
        yield (
            f"{names} overlap, the destination beginning {abs(distance)} B {side} the source; let both begin "
            f"at the same element or use windows that share no byte"
        )
    elif repeats > 1 and _advance(destination) > _advance(source):
        yield (
            f"{names} begin at the same byte, but the destination advances faster ({_advance(destination)} B "
            f"in all against {_advance(source)} B), so it overwrites what later repeats read; use another buffer"
        )


def _advance(tensor: LocalTensor) -> int:
    elements = tensor.rows * tensor.pitch if len(tensor.shape) == 2 else tensor.elements
    return elements * tensor.dtype.bytes


def share_bytes(one: LocalTensor, other: LocalTensor) -> bool:
    """Whether two row-major views have a byte in common, looked at row by row."""
    (begin, end), (other_begin, other_end) = one.span(), other.span()
    if begin >= other_end or other_begin >= end:
        return False
    if begin == other_begin or (one.contiguous and other.contiguous):
        return True
    starts, size = _row_runs(one)
    other_starts, other_size = _row_runs(other)
    before = np.searchsorted(other_starts, starts + size) - 1
    return bool(np.any((before >= 0) & (other_starts[before] + other_size > starts)))


def _row_runs(tensor: LocalTensor) -> tuple[NDArray[np.int64], int]:
    """First byte of each gap-free run of elements, ascending, and the bytes of a run."""
    if tensor.contiguous:
        return np.array([tensor.address]), tensor.elements * tensor.dtype.bytes
    return (
        tensor.address + np.arange(tensor.rows) * tensor.pitch * tensor.dtype.bytes,
        tensor.columns * tensor.dtype.bytes,
    )


def shown(tensor: LocalTensor) -> str:
    """Name and shape of *tensor*, for a message."""
    return f"'{tensor.buffer.name}' {list(tensor.shape)}"
