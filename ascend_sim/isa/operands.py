"""What instructions work on: views of on-chip buffers and windows of global memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral
from operator import index as whole
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ascend_sim.isa.source import SourceLine, refusal
from ascend_sim.isa.words import MemoryOrder, Space
from ascend_sim.numerics import DType

Value = TypeVar("Value")

FRACTAL_ROWS = 16
"""Rows of a fractal; the innermost dimension is 32 B (16 elements for 4-byte accumulators in L0C)."""


class kept(cached_property[Value]):  # noqa: N801  # a decorator
    """A property that is computed once: functools.cached_property without its lock, which costs more than the rest."""

    def __get__(self, instance: object, owner: type[Any] | None = None) -> Any:
        value = instance.__dict__[self.func.__name__] = self.func(instance)
        return value


def round_up(value: int, multiple: int) -> int:
    """Return the smallest multiple of *multiple* that is not below *value*."""
    return -(-value // multiple) * multiple


@dataclass(frozen=True)
class Buffer:
    """A named byte range of an on-chip memory: *offset* and *size* in bytes from the start of the space.

    *unit_flag* marks an L0C buffer that MMAD and FIXPIPE hand over fractal by fractal, without set_flag.
    """

    name: str
    space: Space
    offset: int
    size: int
    where: SourceLine
    unit_flag: bool = False

    def tile(
        self, shape: tuple[int, ...] | int, dtype: DType, order: MemoryOrder | None = None, start: int = 0
    ) -> LocalTensor:
        """Lay a tensor of *shape* (one or two dimensions) and *dtype* over the buffer, *start* bytes into it.

        The memory order defaults to what the hardware uses in the space: NZ in L1 and L0C, ZZ in L0A, ZN in L0B,
        row-major in UB. Raise a KernelError if the tensor does not fit.
        """
        shape = (shape,) if isinstance(shape, int) else shape
        expect_shape(f"tile of '{self.name}'", shape, dtype)
        shape = tuple(map(int, shape))
        if not isinstance(start, (int, Integral)) or isinstance(start, bool) or start < 0:
            raise refusal(f"tile of '{self.name}': start {start!r} is not a whole number of bytes from 0 on")
        order = DEFAULT_ORDER[self.space] if order is None else order
        if len(shape) == 1:
            order = MemoryOrder.ND
        laid_out = padded(shape, dtype, order, self.space)
        tensor = LocalTensor(self, dtype, order, laid_out, (0,) * len(shape), shape, start)
        need = start + tensor.tile_bytes
        if need > self.size:
            raise refusal(
                f"tile {list(shape)} {dtype} does not fit into buffer '{self.name}' in {self.space.value}: needs "
                f"{need} B, the buffer has {self.size} B; make the tile smaller or the buffer larger"
            )
        return tensor


def expect_shape(what: str, shape: object, dtype: object) -> None:
    """Raise a KernelError unless *shape* is one or two positive whole numbers and *dtype* a number format."""
    extents = shape if isinstance(shape, tuple | list) else (shape,)
    if len(extents) not in (1, 2) or not all(isinstance(one, (int, Integral)) and int(one) >= 1 for one in extents):
        shown = list(extents) if isinstance(shape, tuple | list) else shape
        raise refusal(
            f"{what}: shape {shown} is not one or two positive whole numbers; write (rows, columns) or "
            f"(elements,), and // to divide"
        )
    if not isinstance(dtype, DType):
        raise refusal(f"{what}: {dtype!r} is not a number format; write asc.fp32, for example")


DEFAULT_ORDER = {
    Space.L1: MemoryOrder.NZ,
    Space.L0A: MemoryOrder.ZZ,
    Space.L0B: MemoryOrder.ZN,
    Space.L0C: MemoryOrder.NZ,
    Space.UB: MemoryOrder.ND,
}


def fractal_shape(dtype: DType, order: MemoryOrder, space: Space) -> tuple[int, int]:
    """Rows and columns of one fractal of *dtype* in *order*; (1, 1) for row-major tensors."""
    if order is MemoryOrder.ND:
        return 1, 1
    if space is Space.L0C:
        return FRACTAL_ROWS, FRACTAL_ROWS
    inner = 32 // dtype.bytes
    return (inner, FRACTAL_ROWS) if order is MemoryOrder.ZN else (FRACTAL_ROWS, inner)


def padded(shape: tuple[int, ...], dtype: DType, order: MemoryOrder, space: Space) -> tuple[int, ...]:
    """*shape* rounded up to whole fractals."""
    if order is MemoryOrder.ND:
        return shape
    rows, columns = fractal_shape(dtype, order, space)
    return round_up(shape[0], rows), round_up(shape[1], columns)


@dataclass(frozen=True)
class LocalTensor:
    """A view of an on-chip buffer.

    *tile* is the shape as laid out in memory (padded to whole fractals), *origin* and *shape* the window of it
    that the view shows, *start* the byte offset of the tile inside the buffer. Index it with slices to get a
    smaller window: `tensor[0:16, 64:128]`.
    """

    buffer: Buffer
    dtype: DType
    order: MemoryOrder
    tile: tuple[int, ...]
    origin: tuple[int, ...]
    shape: tuple[int, ...]
    start: int = 0

    @property
    def space(self) -> Space:
        """The memory space that the view lies in."""
        return self.buffer.space

    @property
    def tile_bytes(self) -> int:
        """Bytes of the whole tile, padding included."""
        return math.prod(self.tile) * self.dtype.bytes

    @property
    def elements(self) -> int:
        """Number of elements of the view."""
        return math.prod(self.shape)

    @property
    def rows(self) -> int:
        """Rows of the view; 1 for a vector."""
        return self.shape[0] if len(self.shape) == 2 else 1

    @property
    def columns(self) -> int:
        """Columns of the view."""
        return self.shape[-1]

    @property
    def pitch(self) -> int:
        """Elements from one row to the next of a row-major view."""
        return self.tile[-1]

    @property
    def contiguous(self) -> bool:
        """Whether a row-major view is one unbroken run of elements."""
        return len(self.shape) == 1 or self.shape[0] == 1 or self.shape[1] == self.tile[1]

    @kept
    def address(self) -> int:
        """Byte address of the first element in the memory space (row-major views and fractal-aligned windows)."""
        return self.buffer.offset + self.start + self._element_offset() * self.dtype.bytes

    def _element_offset(self) -> int:
        if len(self.tile) == 1:
            return self.origin[0]
        (row, column), (rows, columns) = self.origin, self.tile
        if self.order is MemoryOrder.ND:
            return row * columns + column
        inner_rows, inner_columns = fractal_shape(self.dtype, self.order, self.space)
        if self.order is MemoryOrder.NZ:
            return (column // inner_columns) * rows * inner_columns + row * inner_columns + column % inner_columns
        fractal = (row // inner_rows) * (columns // inner_columns) + column // inner_columns
        inner = (row % inner_rows, column % inner_columns)
        if self.order is MemoryOrder.ZN:
            within = inner[1] * inner_rows + inner[0]
        else:
            within = inner[0] * inner_columns + inner[1]
        return fractal * inner_rows * inner_columns + within

    def span(self) -> tuple[int, int]:
        """First and last+1 byte address that the view may touch: a bound, gaps included."""
        bounds: tuple[int, int] = self._span
        return bounds

    @kept
    def _span(self) -> tuple[int, int]:
        if self.order is MemoryOrder.ND:
            last = (self.rows - 1) * self.pitch + self.columns if len(self.shape) == 2 else self.columns
            return self.address, self.address + last * self.dtype.bytes
        begin = self.buffer.offset + self.start
        return begin, begin + self.tile_bytes

    def __getitem__(self, index: slice | tuple[slice, ...]) -> LocalTensor:
        origin, shape, name = self.origin, self.shape, self.buffer.name
        windows = _windows(index, shape, name)
        begin, end = _bounds(windows[0], shape[0], name, 0)
        if len(shape) == 1:
            origin, shape = (origin[0] + begin,), (end - begin,)
        else:
            left, right = _bounds(windows[1], shape[1], name, 1)
            origin, shape = (origin[0] + begin, origin[1] + left), (end - begin, right - left)
        return LocalTensor(self.buffer, self.dtype, self.order, self.tile, origin, shape, self.start)

    def reinterpret(self, dtype: DType) -> LocalTensor:
        """The same bytes read as another format of the same size (Ascend C: ReinterpretCast)."""
        if dtype.bytes != self.dtype.bytes:
            raise refusal(
                f"'{self.buffer.name}' is {self.dtype} ({self.dtype.bytes} B an element), {dtype} has {dtype.bytes} B; "
                f"reinterpret keeps the element size, use cast to convert values"
            )
        return replace(self, dtype=dtype)

    def view(self, memory: NDArray[np.uint8]) -> NDArray[Any]:
        """The window as a writable NumPy array of *shape*, over the bytes *memory* of its space.

        Fractal orders come back as an array of shape (rows, columns) as well, through strides where the window
        lies on whole fractals.
        """
        begin = self.buffer.offset + self.start
        flat = memory[begin : begin + self.tile_bytes].view(self.dtype.numpy)
        if len(self.tile) == 1:
            return flat[self.origin[0] : self.origin[0] + self.shape[0]]
        (row, column), (rows, columns) = self.origin, self.shape
        if self.order is MemoryOrder.ND:
            return flat.reshape(self.tile)[row : row + rows, column : column + columns]
        return _FractalView(flat, self)  # type: ignore[return-value]

    def read(self, memory: NDArray[np.uint8]) -> NDArray[Any]:
        """A copy of the window as an array of *shape*."""
        view = self.view(memory)
        return view.gather() if isinstance(view, _FractalView) else view.copy()

    def write(self, memory: NDArray[np.uint8], values: NDArray[Any]) -> None:
        """Store *values* (of *shape*) into the window."""
        view = self.view(memory)
        if isinstance(view, _FractalView):
            view.scatter(values)
        else:
            view[...] = values

    def overlaps(self, other: LocalTensor) -> bool:
        """Whether the two views share a byte; exact for windows of one row-major tile, else by their spans."""
        (begin, end), (other_begin, other_end) = self._span, other._span
        if begin >= other_end or other_begin >= end or self.space is not other.space:
            return False
        if self.order is not MemoryOrder.ND or len(self.tile) != 2 or self.tile != other.tile:
            return True
        if (self.buffer, self.start, self.dtype) != (other.buffer, other.start, other.dtype):
            return True
        return all(
            a < b + n and b < a + m
            for a, m, b, n in zip(self.origin, self.shape, other.origin, other.shape, strict=True)
        )

    def __str__(self) -> str:
        window = ",".join(
            f"{begin}:{begin + extent}" for begin, extent in zip(self.origin, self.shape, strict=True)
        )
        return f"{self.buffer.name}[{window}]:{self.dtype}"


class _FractalView:
    """Whole-tile access to a fractal layout: gather to (rows, columns), scatter back."""

    def __init__(self, flat: NDArray[Any], tensor: LocalTensor) -> None:
        inner_rows, inner_columns = fractal_shape(tensor.dtype, tensor.order, tensor.space)
        rows, columns = tensor.tile
        outer = rows // inner_rows, columns // inner_columns
        if tensor.order is MemoryOrder.NZ:
            axes = flat.reshape(outer[1], outer[0], inner_rows, inner_columns).transpose(1, 2, 0, 3)
        elif tensor.order is MemoryOrder.ZZ:
            axes = flat.reshape(outer[0], outer[1], inner_rows, inner_columns).transpose(0, 2, 1, 3)
        else:
            axes = flat.reshape(outer[0], outer[1], inner_columns, inner_rows).transpose(0, 3, 1, 2)
        self._axes = axes
        self._inner = inner_rows, inner_columns
        self._origin, self._shape, self._tile = tensor.origin, tensor.shape, tensor.tile

    def gather(self) -> NDArray[Any]:
        (row, column), (rows, columns) = self._origin, self._shape
        whole = self._axes.reshape(self._tile)
        return np.array(whole[row : row + rows, column : column + columns])

    def scatter(self, values: NDArray[Any]) -> None:
        (row, column), (rows, columns) = self._origin, self._shape
        whole = self._axes.reshape(self._tile)
        whole[row : row + rows, column : column + columns] = values
        self._axes[...] = whole.reshape(self._axes.shape)


def _windows(index: slice | tuple[slice, ...], shape: tuple[int, ...], name: str) -> tuple[slice, ...]:
    """The slices of *index*, one for each dimension of *shape*; *name* is for messages."""
    if type(index) is tuple and len(index) == len(shape):
        return index
    slices = index if isinstance(index, tuple) else (index,)
    if len(slices) > len(shape):
        raise refusal(f"'{name}' has {len(shape)} dimensions, {len(slices)} slices were given")
    return *slices, *[slice(None)] * (len(shape) - len(slices))


def _bounds(part: slice, extent: int, name: str, axis: int) -> tuple[int, int]:
    """Begin and end of the window *part* of *extent* elements; raise a KernelError if it is none."""
    # Kernels make windows in their innermost loops: what is plain and right is seen at once.
    if type(part) is slice and part.step is None:
        begin, end = part.start or 0, extent if part.stop is None else part.stop
        if type(begin) is type(end) is int and 0 <= begin < end <= extent:
            return begin, end
    name = f"'{name}'"
    try:
        begin, end = whole(part.start or 0), extent if part.stop is None else whole(part.stop)
        step = whole(part.step or 1)
    except (AttributeError, TypeError):
        ends = [part] if not isinstance(part, slice) else [part.start, part.stop, *([part.step] if part.step else [])]
        text = ":".join("" if end is None else str(end) for end in ends)
        raise refusal(
            f"[{text}] is no window of {name} axis {axis}; write begin:end with whole numbers (3:4 for item 3, and "
            f"// to divide)"
        ) from None
    if step != 1 or begin < 0 or end > extent or begin >= end:
        raise refusal(
            f"slice {begin}:{end}{'' if step == 1 else f':{step}'} of {name} axis {axis} is not inside 0:{extent}; "
            f"slices must be non-empty, ascending and of step 1"
        )
    return begin, end


@dataclass(frozen=True, init=False)
class GlobalTensor:
    """A window of a tensor in global memory, of one or two dimensions and row-major.

    *parameter* says against which base address of the running call the byte *offset* counts; None means the
    absolute address 0. *pitch* is the distance in elements from one row to the next.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    pitch: int
    offset: int
    parameter: int | None = None

    def __init__(
        self, name: str, dtype: DType, shape: tuple[int, ...], pitch: int, offset: int, parameter: int | None = None
    ) -> None:
        # Kernels make windows in their innermost loops, and this takes half the time of what a dataclass does.
        fields = self.__dict__
        fields["name"], fields["dtype"], fields["shape"] = name, dtype, shape
        fields["pitch"], fields["offset"], fields["parameter"] = pitch, offset, parameter

    @property
    def rows(self) -> int:
        """Rows of the window; 1 for a vector."""
        return self.shape[0] if len(self.shape) == 2 else 1

    @property
    def columns(self) -> int:
        """Columns of the window."""
        return self.shape[-1]

    @property
    def elements(self) -> int:
        """Number of elements of the window."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of the window, without the gaps between rows."""
        return self.elements * self.dtype.bytes

    def __getitem__(self, index: slice | tuple[slice, ...]) -> GlobalTensor:
        shape, name, pitch, dtype = self.shape, self.name, self.pitch, self.dtype
        windows = _windows(index, shape, name)
        begin, end = _bounds(windows[0], shape[0], name, 0)
        if len(shape) == 1:
            return GlobalTensor(name, dtype, (end - begin,), pitch, self.offset + begin * dtype.bytes, self.parameter)
        left, right = _bounds(windows[1], shape[1], name, 1)
        offset = self.offset + (begin * pitch + left) * dtype.bytes
        return GlobalTensor(name, dtype, (end - begin, right - left), pitch, offset, self.parameter)

    def reinterpret(self, dtype: DType) -> GlobalTensor:
        """The same bytes read as another format of the same size."""
        if dtype.bytes != self.dtype.bytes:
            raise refusal(f"'{self.name}' is {self.dtype}; {dtype} has another element size and cannot view its bytes")
        return replace(self, dtype=dtype)

    def reshape(self, rows: int, columns: int) -> GlobalTensor:
        """The same elements as *rows* x *columns*; the window must be contiguous."""
        if rows * columns != self.elements or (len(self.shape) == 2 and self.pitch != self.columns and self.rows > 1):
            raise refusal(
                f"'{self.name}' {list(self.shape)} cannot become {rows} x {columns}: the element counts must "
                f"agree and the rows must lie without gaps"
            )
        return replace(self, shape=(rows, columns), pitch=columns)

    def __str__(self) -> str:
        base = f"@{self.offset:#x}" if self.parameter is None else f"+{self.offset:#x}"
        return f"{self.name}{list(self.shape)}{base}:{self.dtype}"
