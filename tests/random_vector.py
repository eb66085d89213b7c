"""What the vector cores of random programs do: moves to and from UB, and every vector operation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from program_order import Place, RingOrder
from program_writer import BUFFERS, Core, Region, Window, Writer

from ascend_sim import kernel as asc
from ascend_sim.config import load_chip
from ascend_sim.isa.operands import LocalTensor
from ascend_sim.isa.vector_ops import VECTOR_OPS, Pattern, VectorOp
from ascend_sim.kernel import (
    AIV,
    Comparison,
    CoreKind,
    DType,
    GlobalTensor,
    Pipe,
    RoundMode,
    Space,
    bf16,
    fp16,
    fp32,
    int8,
    int32,
    uint8,
    uint32,
)

BLOCK, REPEAT = 32, 256
"""Bytes of a block and of a repeat of the vector unit."""

UB = tuple(BUFFERS[AIV])
UB_BYTES = 8192
NAMES = {
    "and": "and_", "or": "or_", "not": "not_", "select_scalar": "select", "cast_deq_fp16": "cast_deq",
    "cast_deq_vector": "cast_deq",
}  # fmt: skip
"""The functions of the DSL whose names are not those of the operations."""


@dataclass(frozen=True)
class Local:
    """An operand in UB: columns 0 to the last of *shape* of a tile whose rows are *pitch* elements apart."""

    buffer: str
    dtype: DType
    shape: tuple[int, ...]
    pitch: int

    def at(self, core: Core) -> LocalTensor:
        """The operand on *core*."""
        buffer = core.buffers[self.buffer]
        if len(self.shape) == 1:
            return buffer.tile(self.shape, self.dtype)
        return buffer.tile((self.shape[0], self.pitch), self.dtype)[:, 0 : self.shape[1]]

    @property
    def bytes(self) -> int:
        """Bytes from the first to the last of the tile."""
        return math.prod((*self.shape[:-1], self.pitch)) * self.dtype.bytes

    @property
    def contiguous(self) -> bool:
        """Whether all bytes of the tile belong to the operand."""
        return self.pitch == self.shape[-1]


# --- moves --------------------------------------------------------------------------------------------------------


def source(writer: Writer, kind: CoreKind, dtype: DType, rows: int, columns: int) -> tuple[tuple[str, ...], Window]:
    """Something of global memory that cores of *kind* may read: its resources and its window."""
    fitting = [
        one for one in writer.sources[kind] if one.dtype == dtype and one.rows >= rows and one.columns >= columns
    ]
    if fitting and writer.flip():
        chosen = writer.choose(fitting)
        return chosen.resources[:rows], lambda core: chosen.window(core)[0:rows, 0:columns]
    tensor = writer.shared(f"input_{dtype}", dtype, 128, 256)
    row, column = writer.number(0, 128 - rows), writer.number(0, 256 - columns)
    return (), lambda core: getattr(core.gm, tensor.name)[row : row + rows, column : column + columns]


def store(
    writer: Writer, place: Place, dtype: DType, rows: int, columns: int, local: str | None,
    run: Callable[[Core, GlobalTensor, bool], None],
) -> None:  # fmt: skip
    """Let *place* store from buffer *local* to its part of a region, or add to it."""
    mine = [
        one for one in writer.owned[place]
        if not one.published and (one.tensor.dtype, one.rows, one.columns) == (dtype, rows, columns)
    ]  # fmt: skip
    reads = [] if local is None else [("read", local)]
    if dtype == int32 and writer.number(0, 3) == 0:
        # Sums of integers are the same in whatever order the cores add.
        writer.shared("sums", int32, 64, 256)
        text = f"add {rows}x{columns} of {local} to sums"
        touches = [*reads, ("add", "sums")]
        writer.emit(*place, touches, text, lambda core: run(core, core.gm.sums[0:rows, 0:columns], True))
        return
    region = writer.choose(mine) if mine and writer.flip() else writer.region(place, dtype, rows, columns)
    atomic = dtype in (fp32, int32) and region.number > 0 and not region.added and writer.flip()
    touches = reads + [("add" if atomic else "write", one) for one in region.resources]
    text = f"{'add' if atomic else 'store'} {dtype} {rows}x{columns} of {local} in {region.tensor.name}"
    writer.emit(*place, touches, text, lambda core: run(core, region.at(core, core.number), atomic))
    writer.stored(place, region, atomic)


def load_ub(writer: Writer) -> None:
    """Load a window into UB."""
    dtype = writer.choose((fp32, fp16, bf16, int8, int32, uint8))
    rows, columns, pitch = rectangle(writer, UB_BYTES // dtype.bytes)
    resources, window = source(writer, AIV, dtype, rows, columns)
    local = Local(writer.choose(UB), dtype, (rows, columns), pitch)
    load_window(writer, local, resources, window)


def load_window(writer: Writer, local: Local, resources: tuple[str, ...], window: Window) -> None:
    """Load *window* of global memory into *local*."""
    touches = [*(("read", one) for one in resources), ("write", local.buffer)]
    text = f"load {local.buffer} {local.dtype} {local.shape}"
    writer.emit(AIV, Pipe.MTE2, touches, text, lambda core: asc.data_copy(local.at(core), window(core)))
    wrote(writer, local)


def store_ub(writer: Writer) -> None:
    """Store a window of UB, or add it to what is there."""
    dtype = writer.choose((fp32, fp16, bf16, int8, int32))
    rows, columns, pitch = rectangle(writer, 512)
    local = operand(writer, dtype, (rows, columns), pitch, filled=True)

    def run(core: Core, window: GlobalTensor, atomic: bool) -> None:
        asc.data_copy(window, local.at(core), atomic_add=atomic)

    store(writer, (AIV, Pipe.MTE3), dtype, rows, columns, local.buffer, run)


def copy_ub(writer: Writer) -> None:
    """Copy from UB to UB."""
    dtype = writer.choose((fp32, fp16, int8))
    rows, columns, pitch = rectangle(writer, 2048)
    from_ = operand(writer, dtype, (rows, columns), pitch, filled=True)
    to = operand(writer, dtype, (rows, columns), pitch, filled=False, avoid=(from_.buffer,))
    touches = [("read", from_.buffer), ("write", to.buffer)]
    text = f"copy {to.buffer} {from_.buffer} {dtype} {to.shape}"
    writer.emit(AIV, Pipe.V, touches, text, lambda core: asc.data_copy(to.at(core), from_.at(core)))
    wrote(writer, to)


def rectangle(writer: Writer, most: int) -> tuple[int, int, int]:
    """Rows, columns and pitch of up to *most* elements: one row of any length, or several that begin on blocks."""
    if writer.flip():
        columns = writer.number(1, min(most, 256))
        return 1, columns, columns
    pitch = BLOCK * writer.number(1, 4)
    rows = writer.number(1, min(most // pitch, 8))
    return rows, pitch if writer.flip() else writer.number(1, pitch), pitch


# --- operands -----------------------------------------------------------------------------------------------------


def operand(
    writer: Writer, dtype: DType, shape: tuple[int, ...], pitch: int | None = None, *, filled: bool,
    avoid: tuple[str, ...] = (),
) -> Local:  # fmt: skip
    """An operand in a buffer that is none of those to *avoid*; *filled* ones have been written before."""
    buffer = writer.choose([name for name in UB if name not in avoid])
    local = Local(buffer, dtype, shape, pitch or shape[-1])
    if filled and writer.written[buffer] < local.bytes:
        if writer.flip():
            elements = math.ceil(local.bytes / int32.bytes)
            fill(writer, Local(buffer, int32, (elements,), elements), writer.number(0, 9))
        else:
            rows = math.ceil(local.bytes / 1024)
            load_window(writer, Local(buffer, fp32, (rows, 256), 256), *source(writer, AIV, fp32, rows, 256))
    return local


def fill(writer: Writer, local: Local, value: int) -> None:
    """Fill *local* with a value."""
    text = f"duplicate {local.buffer} {local.dtype} {local.shape} {value}"
    writer.emit(AIV, Pipe.V, [("write", local.buffer)], text, lambda core: asc.duplicate(local.at(core), value))
    wrote(writer, local)


def wrote(writer: Writer, local: Local) -> None:
    """Remember what has been written."""
    if local.contiguous:
        writer.written[local.buffer] = max(writer.written[local.buffer], local.bytes)


# --- operations ---------------------------------------------------------------------------------------------------


@lru_cache
def forms() -> tuple[tuple[VectorOp, DType, DType], ...]:
    """The operations with the formats of source and destination for which chips have a cost."""
    rows = load_chip("ascend910b1").vector.ops
    return tuple(
        (operation, source, destination)
        for operation in VECTOR_OPS.values()
        for source, destination in operation.formats
        if any(key in rows.get(operation.cost, ()) for key in operation.cost_keys(source, destination))
    )


def vector_operation(writer: Writer) -> None:
    """Write one vector operation of any pattern."""
    # Most operations are elementwise, and some have many formats; the others must come as often.
    patterns = tuple(Pattern) if writer.flip() else (Pattern.ELEMENTWISE,)
    pattern = writer.choose(patterns)
    name = writer.choose([name for name, one in VECTOR_OPS.items() if one.pattern is pattern])
    operation, source_format, to_format = writer.choose([one for one in forms() if one[0].name == name])
    shapes = _shapes(writer, operation, source_format, to_format)
    inputs: list[Local] = []
    for dtype, shape, pitch in shapes[1:]:
        inputs.append(operand(writer, dtype, shape, pitch, filled=True))
    dtype, shape, pitch = shapes[0]
    first = inputs[0] if inputs else None
    in_place = first is not None and operation.pattern is Pattern.ELEMENTWISE and shapes[0] == shapes[1]
    if in_place and writer.flip():
        to = first
        inputs[1:] = [one if one.buffer != to.buffer or one == to else to for one in inputs[1:]]
    else:
        to = operand(
            writer, dtype, shape, pitch, filled=operation.accumulates, avoid=tuple(one.buffer for one in inputs)
        )
    if operation.pattern in (Pattern.GATHER, Pattern.GATHER_BLOCKS):
        size = BLOCK if operation.pattern is Pattern.GATHER_BLOCKS else dtype.bytes
        fill(writer, inputs[1], size * writer.number(0, inputs[0].bytes // size - 1))
    _write(writer, operation, to, inputs)


def _write(writer: Writer, operation: VectorOp, to: Local, inputs: list[Local]) -> None:
    arguments, keywords = _arguments(writer, operation, inputs[0].dtype if inputs else to.dtype, to)
    name = NAMES.get(operation.name, operation.name)
    reads = [("read", one.buffer) for one in (*inputs, *([to] if operation.accumulates else []))]
    text = f"{name} {to.buffer} {', '.join(one.buffer for one in inputs)} {to.dtype} {to.shape} {arguments} {keywords}"

    def run(core: Core) -> None:
        getattr(asc, name)(to.at(core), *(one.at(core) for one in inputs), *arguments, **keywords)

    writer.emit(AIV, Pipe.V, [*reads, ("write", to.buffer)], text, run)
    if not keywords:
        wrote(writer, to)


Shape = tuple[DType, tuple[int, ...], int | None]


def _shapes(writer: Writer, operation: VectorOp, source: DType, to: DType) -> list[Shape]:
    """Format, shape and pitch of the destination and of each source."""
    lanes, block, pattern = REPEAT // source.bytes, BLOCK // source.bytes, operation.pattern
    n, rows, count = writer.number(1, 1000), writer.number(1, 8), operation.sources
    match pattern:
        case Pattern.COMPARE:
            return [(to, (math.ceil(n / 8),), None), *[(source, (n,), None)] * count]
        case Pattern.MASK:
            return [(to, (lanes // 8,), None), *[(source, (lanes * rows,), None)] * count]
        case Pattern.SELECT:
            return [(to, (n,), None), (uint8, (math.ceil(n / 8),), None), *[(source, (n,), None)] * (count - 1)]
        case Pattern.ROW_BLOCKS:
            return [(to, (8 * rows, block), None), (source, (8 * rows,), None)]
        case Pattern.WHOLE:
            return [(to, (rows,), None), (source, (rows, writer.number(1, lanes)), lanes)]
        case Pattern.BLOCK:
            return [(to, (rows * 8,), None), (source, (rows * 8 * block,), None)]
        case Pattern.PAIR:
            return [(to, (n,), None), (source, (2 * n,), None)]
        case Pattern.HALF_BLOCKS:
            return [(to, (2 * block * rows,), None), (source, (block * rows,), None)]
        case Pattern.GATHER:
            return [(to, (n,), None), (source, (64,), None), (uint32, (n,), None)]
        case Pattern.GATHER_BLOCKS:
            return [(to, (block * rows,), None), (source, (8 * block,), None), (uint32, (rows,), None)]
    return _elementwise(writer, operation, source, to)


def _elementwise(writer: Writer, operation: VectorOp, source: DType, to: DType) -> list[Shape]:
    """A run of elements, rows with or without gaps, or rows of which each has a block as second source."""
    n, count = writer.number(1, 1000), operation.sources
    if source.numbers > 1 or to.numbers > 1:
        return [(to, (2 * n // to.numbers,), None), (source, (2 * n // source.numbers,), None)]
    rows, pitch = writer.number(1, 8), BLOCK * writer.number(1, 4)
    columns = writer.number(1, pitch)
    form = writer.choose(("run", "rows", "window", "blocks"))
    if form == "run":
        return [(to, (n,), None), *[(source, (n,), None)] * count]
    if form == "rows":
        columns = pitch
    shapes: list[Shape] = [(to, (rows, columns), pitch), *[(source, (rows, columns), pitch)] * count]
    if form == "blocks" and count == 2:
        shapes[2] = source, (rows, BLOCK // source.bytes), None
    return shapes


def _arguments(writer: Writer, operation: VectorOp, source: DType, to: Local) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a call has behind its tensors."""
    arguments: tuple[Any, ...] = ()
    if operation.scalar:
        # The first source of a select is its mask, which says nothing of its numbers.
        dtype = to.dtype if operation.accumulates or operation.pattern is Pattern.SELECT else source
        arguments = (writer.choose((0.5, -1.0, 3.0)) if dtype.is_float else writer.number(0, 7),)
    if operation.name == "cast":
        return (writer.choose(tuple(RoundMode)),), {}
    if operation.pattern in (Pattern.COMPARE, Pattern.MASK):
        return (*arguments, writer.choose(tuple(Comparison))), {}
    if operation.name == "cast_deq_fp16":
        return (0.5,), {}
    if operation.name == "cast_deq":
        return (0.5, writer.number(-9, 9)), {"upper": writer.flip()}
    if operation.name == "cast_deq_vector":
        return ((0.5,) * 16, (1,) * 16), {"upper": writer.flip()}
    one_repeat = len(to.shape) == 2 and to.shape[1] * to.dtype.bytes <= REPEAT
    if operation.name == "duplicate" and one_repeat and writer.flip():
        return arguments, {"mask": (0, writer.number(1, to.shape[1]))}
    return arguments, {}


# --- rings --------------------------------------------------------------------------------------------------------


def vector_ring(writer: Writer) -> None:
    """Load, compute and store some tiles through two rings."""
    columns, turns = BLOCK * writer.number(1, 8), writer.number(1, 5)
    part = Space.UB, (1, columns), fp32
    loaded = writer.ring(AIV, Pipe.MTE2, Pipe.V, part)
    stored = writer.ring(AIV, Pipe.V, Pipe.MTE3, part)
    if loaded is None or stored is None:
        return
    region = writer.region((AIV, Pipe.MTE3), fp32, turns, columns)
    for turn in range(turns):
        _fill_ring(writer, loaded, *source(writer, AIV, fp32, 1, columns))
        _compute_in_rings(writer, loaded, stored)
        _store_from_ring(writer, stored, region, turn)
    writer.stored((AIV, Pipe.MTE3), region)


def _fill_ring(writer: Writer, ring: RingOrder, resources: tuple[str, ...], window: Window) -> None:
    def run(core: Core) -> None:
        with core.rings[ring.name].fill() as tile:
            asc.data_copy(tile, window(core))

    ring.alloc()
    writer.emit(AIV, Pipe.MTE2, [("read", one) for one in resources], f"fill {ring.name}", run)
    ring.enque()


def _compute_in_rings(writer: Writer, loaded: RingOrder, stored: RingOrder) -> None:
    def run(core: Core) -> None:
        with core.rings[loaded.name].take() as from_, core.rings[stored.name].fill() as to:
            asc.adds(to, from_, 1.0)

    loaded.deque()
    stored.alloc()
    writer.emit(AIV, Pipe.V, [], f"adds {stored.name} {loaded.name}", run)
    stored.enque()
    loaded.free()


def _store_from_ring(writer: Writer, ring: RingOrder, region: Region, turn: int) -> None:
    def run(core: Core) -> None:
        with core.rings[ring.name].take() as tile:
            asc.data_copy(region.at(core, core.number)[turn : turn + 1], tile)

    ring.deque()
    writer.emit(AIV, Pipe.MTE3, [("write", region.resources[turn])], f"store {region.tensor.name}.{turn}", run)
    ring.free()
