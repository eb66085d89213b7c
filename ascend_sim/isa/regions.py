"""Which bytes an operand covers, and whether two operands share some.

The bytes of a window are runs of one length at one pitch: rows of a row-major tile or of a tensor in global memory,
columns of fractals in L1 and L0C, rows of fractals in L0A and L0B.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ascend_sim.isa.instruction import Operand
from ascend_sim.isa.operands import GlobalTensor, LocalTensor, fractal_shape, round_up
from ascend_sim.isa.words import MemoryOrder


class Region(NamedTuple):
    """*runs* runs of *length* bytes, *pitch* bytes apart, from byte *begin* on. A single run has its length as "
    "pitch."""

    begin: int
    runs: int
    length: int
    pitch: int

    @property
    def end(self) -> int:
        """Last byte + 1."""
        return self.begin + (self.runs - 1) * self.pitch + self.length

    @property
    def bytes(self) -> int:
        """Bytes covered, gaps left out."""
        return self.runs * self.length

    def __str__(self) -> str:
        text = f"bytes {self.begin:#x} to {self.end:#x}"
        return text if self.runs == 1 else f"{text} ({self.runs} runs of {self.length} B, {self.pitch} B apart)"

    def overlaps(self, other: Region) -> bool:
        """Whether the two share a byte."""
        if self.begin >= other.end or other.begin >= self.end:
            return False
        if self.runs == 1 and other.runs == 1:
            return True
        if self.pitch == other.pitch or self.runs == 1 or other.runs == 1:
            few, many = (self, other) if self.runs <= other.runs else (other, self)
            if few.runs == 1:
                return _run_meets(few.begin, few.end, many)
            return _same_pitch_overlap(self, other)
        return bool(np.any(_mask(self, min(self.begin, other.begin), other)))

    def covers(self, other: Region) -> bool:
        """Whether every byte of *other* is in this region, as far as a quick look can tell."""
        if other.begin < self.begin or other.end > self.end:
            return False
        if self.runs == 1:
            return True
        rows, shift = divmod(other.begin - self.begin, self.pitch)
        if shift + other.length > self.length:
            return False
        return other.runs == 1 or (other.pitch == self.pitch and rows + other.runs <= self.runs)


def region_of(operand: Operand, base: int = 0) -> Region:
    """The bytes of *operand* in its memory space; *base* is the address that its parameter is bound to.

    A window that begins or ends inside a fractal counts as whole columns of fractals in L1 and L0C, and as whole
    fractals in L0A and L0B: the region may then be larger than what is touched, never smaller.
    """
    if isinstance(operand, GlobalTensor):
        size = operand.dtype.bytes
        return _region(base + operand.offset, operand.rows, operand.columns * size, operand.pitch * size)
    size = operand.dtype.bytes
    if operand.order is MemoryOrder.ND or len(operand.tile) == 1:
        return _region(operand.address, operand.rows, operand.columns * size, operand.pitch * size)
    return _fractal_region(operand)


def _fractal_region(tensor: LocalTensor) -> Region:
    (row, column), (rows, columns), (tile_rows, tile_columns) = tensor.origin, tensor.shape, tensor.tile
    inner_rows, inner_columns = fractal_shape(tensor.dtype, tensor.order, tensor.space)
    size, begin = tensor.dtype.bytes, tensor.buffer.offset + tensor.start
    first, last = column // inner_columns, round_up(column + columns, inner_columns) // inner_columns
    if tensor.order is MemoryOrder.NZ:
        strip = inner_columns * size
        return _region(begin + first * tile_rows * strip + row * strip, last - first, rows * strip, tile_rows * strip)
    fractal = inner_rows * inner_columns * size
    top, bottom = row // inner_rows, round_up(row + rows, inner_rows) // inner_rows
    pitch = tile_columns // inner_columns * fractal
    return _region(begin + top * pitch + first * fractal, bottom - top, (last - first) * fractal, pitch)


def _region(begin: int, count: int, length: int, pitch: int) -> Region:
    """The region, with runs that touch each other made one."""
    if count == 1 or pitch == length:
        return Region(begin, 1, count * length, count * length)
    return Region(begin, count, length, pitch)


def _run_meets(begin: int, end: int, many: Region) -> bool:
    """Whether bytes *begin* to *end* meet a run of *many*."""
    row = max(0, (begin - many.begin) // many.pitch)
    start = many.begin + row * many.pitch
    if start + many.length <= begin:
        row, start = row + 1, start + many.pitch
    return row < many.runs and start < end


def _same_pitch_overlap(one: Region, other: Region) -> bool:
    rows, shift = divmod(other.begin - one.begin, one.pitch)
    if shift < one.length and max(0, rows) < min(one.runs, rows + other.runs):
        return True
    # The runs of *other* reach into the next runs of *one*.
    wraps = shift + other.length > one.pitch
    return wraps and max(0, rows + 1) < min(one.runs, rows + 1 + other.runs)


def _mask(region: Region, base: int, within: Region) -> NDArray[np.bool_]:
    """For each byte of the runs of *within*, one row a run, whether *region* has it; *base* is below both."""
    size = max(region.end, within.begin + within.runs * within.pitch) - base
    line = np.zeros(size, dtype=np.bool_)
    for run in range(region.runs):
        start = region.begin - base + run * region.pitch
        line[start : start + region.length] = True
    start = within.begin - base
    window = line[start : start + within.runs * within.pitch]
    padded = np.zeros(within.runs * within.pitch, dtype=np.bool_)
    padded[: window.size] = window
    return padded.reshape(within.runs, within.pitch)[:, : within.length]


def uncovered(region: Region, others: list[Region]) -> int | None:
    """The first byte of *region* that none of *others* has; None if together they have all of it."""
    have = np.zeros((region.runs, region.length), dtype=np.bool_)
    for other in others:
        if other.begin < region.end and region.begin < other.end:
            clipped = _clipped(other, region)
            have |= _mask(clipped, min(clipped.begin, region.begin), region)
    missing = np.flatnonzero(~have.ravel())
    if not missing.size:
        return None
    run, byte = divmod(int(missing[0]), region.length)
    return region.begin + run * region.pitch + byte


def _clipped(region: Region, window: Region) -> Region:
    """The runs of *region* that can meet *window*."""
    if region.runs == 1:
        begin, end = max(region.begin, window.begin), min(region.end, window.end)
        return Region(begin, 1, end - begin, end - begin)
    first = max(0, (window.begin - region.begin - region.length) // region.pitch + 1)
    last = min(region.runs, (window.end - region.begin - 1) // region.pitch + 1)
    return Region(region.begin + first * region.pitch, last - first, region.length, region.pitch)
