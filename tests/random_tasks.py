"""What random programs do: tasks of vector cores, tasks of cube cores, and handing over from core to core."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from program_order import RingOrder
from program_writer import Core, Region, Window, Writer
from random_vector import (
    UB,
    Local,
    copy_ub,
    load_ub,
    load_window,
    source,
    store,
    store_ub,
    vector_operation,
    vector_ring,
)

from ascend_sim import kernel as asc
from ascend_sim.isa.cube import ACCUMULATOR, OUTPUTS
from ascend_sim.isa.operands import LocalTensor, fractal_shape
from ascend_sim.kernel import AIC, AIV, CoreKind, DType, GlobalTensor, MemoryOrder, Pipe, Space, bf16, fp16, fp32, int8

FORMATS = (fp16, bf16, int8, fp32)
L1 = tuple(f"l1_{i}" for i in range(4))


def write_tasks(writer: Writer, tasks: int) -> None:
    """Write up to *tasks* tasks for each kind of core of *writer*."""
    for _ in range(writer.number(1, tasks)):
        for kind in writer.kinds:
            writer.choose(VECTOR_TASKS if kind is AIV else CUBE_TASKS)(writer)
        if writer.cross_ids_left > 1 and writer.number(0, 3) == 0:
            writer.choose([task for task, kinds in EXCHANGES if kinds <= set(writer.kinds)])(writer)


# --- cube cores ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tile:
    """A tile of a buffer, from its first byte on."""

    buffer: str
    shape: tuple[int, int]
    dtype: DType

    def at(self, core: Core) -> LocalTensor:
        """The tile on *core*."""
        return core.buffers[self.buffer].tile(self.shape, self.dtype)


def load_l1(writer: Writer) -> None:
    """Load rows into L1 as they are."""
    dtype, rows, columns = writer.choose(FORMATS), writer.number(1, 16), 32 * writer.number(1, 4)
    buffer, (resources, window) = writer.choose(L1), source(writer, AIC, dtype, rows, columns)

    def run(core: Core) -> None:
        asc.data_copy(core.buffers[buffer].tile((rows, columns), dtype, MemoryOrder.ND), window(core))

    touches = [*(("read", one) for one in resources), ("write", buffer)]
    writer.emit(AIC, Pipe.MTE2, touches, f"load {buffer} {dtype} {rows}x{columns} by rows", run)


def matmul(writer: Writer) -> None:
    """Multiply some pairs of tiles and, mostly, drain their sum."""
    dtype, unit_flag = writer.choose(FORMATS), writer.flip()
    m, n, k = (writer.choose((16, 32, 48, 64, writer.number(1, 64))) for _ in range(3))
    buffer = "unit" if unit_flag else writer.choose(("l0c_0", "l0c_1"))
    result, count = Tile(buffer, (m, n), ACCUMULATOR[dtype]), writer.number(1, 3)
    for index in range(count):
        left = _operand(writer, Tile(writer.choose(("l0a_0", "l0a_1")), (m, k), dtype))
        right = _operand(writer, Tile(writer.choose(("l0b_0", "l0b_1")), (k, n), dtype))
        _multiply(writer, result, left, right, init=index == 0, last=index == count - 1)
    if unit_flag or writer.number(0, 3):
        _drain(writer, result)


def _operand(writer: Writer, tile: Tile) -> Tile:
    """Load *tile* of L0A or L0B from L1, turned or not, or straight from global memory."""
    space = Space.L0A if tile.buffer.startswith("l0a") else Space.L0B
    fractal = fractal_shape(tile.dtype, MemoryOrder.ZZ if space is Space.L0A else MemoryOrder.ZN, space)
    if not any(extent % one for extent, one in zip(tile.shape, fractal, strict=True)) and writer.flip():
        flat, elements = writer.shared(f"flat_{tile.dtype}", tile.dtype, 1, 8192), math.prod(tile.shape)
        begin = writer.number(0, 8192 - elements)

        def load_fractals(core: Core) -> None:
            asc.load_data(tile.at(core), getattr(core.gm, flat.name)[0:1, begin : begin + elements])

        writer.emit(AIC, Pipe.MTE2, [("write", tile.buffer)], f"load {tile} from GM", load_fractals)
        return tile
    transpose = writer.flip()
    staged = Tile(writer.choose(L1), tile.shape[::-1] if transpose else tile.shape, tile.dtype)
    load_tile(writer, staged, *source(writer, AIC, tile.dtype, *staged.shape))

    def load_l0(core: Core) -> None:
        asc.load_data(tile.at(core), staged.at(core), transpose=transpose)

    touches = [("read", staged.buffer), ("write", tile.buffer)]
    writer.emit(AIC, Pipe.MTE1, touches, f"load {tile} from {staged.buffer}{' turned' if transpose else ''}", load_l0)
    return tile


def load_tile(writer: Writer, tile: Tile, resources: tuple[str, ...], window: Window) -> None:
    """Load a window into a tile of L1."""
    touches = [*(("read", one) for one in resources), ("write", tile.buffer)]
    writer.emit(AIC, Pipe.MTE2, touches, f"load {tile}", lambda core: asc.data_copy(tile.at(core), window(core)))


def _multiply(writer: Writer, result: Tile, left: Tile, right: Tile, *, init: bool, last: bool) -> None:
    touches = [("read", left.buffer), ("read", right.buffer), ("write", result.buffer)]
    if not init:
        touches.insert(0, ("read", result.buffer))

    def run(core: Core) -> None:
        asc.mmad(result.at(core), left.at(core), right.at(core), init=init, last=last)

    text = f"mmad {result} {left.buffer} {right.buffer}{' init' if init else ''}{' last' if last else ''}"
    unit_flag = result.buffer == writer.unit.name
    if unit_flag and init:
        writer.unit.alloc()
    writer.emit(AIC, Pipe.M, touches, text, run, forwards=in_flight(writer, result.shape))
    if unit_flag and last:
        writer.unit.enque()


def in_flight(writer: Writer, shape: tuple[int, int]) -> bool:
    """Whether a result of *shape* is so large that it can be added to without a barrier."""
    cube = writer.chip.cube
    fractals = math.prod(math.ceil(extent / cube.fractal_rows.value) for extent in shape)
    return fractals >= cube.accumulate_fractals.value


def _drain(writer: Writer, result: Tile) -> None:
    """Store *result*; a tile under unit_flag is handed over by the hardware."""

    def run(core: Core, window: GlobalTensor, atomic: bool) -> None:
        asc.fixpipe(window, result.at(core), atomic_add=atomic)

    unit_flag = result.buffer == writer.unit.name
    if unit_flag:
        writer.unit.deque()
    local = None if unit_flag else result.buffer
    store(writer, (AIC, Pipe.FIX), writer.choose(OUTPUTS[result.dtype]), *result.shape, local, run)
    if unit_flag:
        writer.unit.free()


# --- a matrix multiplication in rings ---


def cube_ring(writer: Writer) -> None:
    """Multiply some pairs of tiles on their way through rings."""
    dtype, turns = writer.choose((fp16, bf16, int8)), writer.number(1, 4)
    m, n, k = (writer.choose((16, 32)) for _ in range(3))
    staged = writer.ring(AIC, Pipe.MTE2, Pipe.MTE1, (Space.L1, (m, k), dtype), (Space.L1, (k, n), dtype))
    loaded = writer.ring(AIC, Pipe.MTE1, Pipe.M, (Space.L0A, (m, k), dtype), (Space.L0B, (k, n), dtype))
    if staged is None or loaded is None:
        return
    result = writer.ring(AIC, Pipe.M, Pipe.FIX, (Space.L0C, (m, n), ACCUMULATOR[dtype]), unit_flag=True)
    assert result is not None
    for turn in range(turns):
        windows = [source(writer, AIC, dtype, *shape) for shape in ((m, k), (k, n))]
        _fill_l1(writer, staged, windows)
        _fill_l0(writer, staged, loaded)
        _multiply_in_ring(writer, loaded, result, (m, n), turn == 0, turn == turns - 1)

    def run(core: Core, window: GlobalTensor, atomic: bool) -> None:
        with core.rings[result.name].take() as tile:
            asc.fixpipe(window, tile, atomic_add=atomic)

    result.deque()
    store(writer, (AIC, Pipe.FIX), writer.choose(OUTPUTS[ACCUMULATOR[dtype]]), m, n, None, run)
    result.free()


def _fill_l1(writer: Writer, ring: RingOrder, windows: list[tuple[tuple[str, ...], Window]]) -> None:
    def run(core: Core) -> None:
        with core.rings[ring.name].fill() as tiles:
            for tile, (_, window) in zip(tiles, windows, strict=True):
                asc.data_copy(tile, window(core))

    touches = [("read", one) for resources, _ in windows for one in resources]
    ring.alloc()
    writer.emit(AIC, Pipe.MTE2, touches, f"fill {ring.name}", run)
    ring.enque()


def _fill_l0(writer: Writer, staged: RingOrder, loaded: RingOrder) -> None:
    def run(core: Core) -> None:
        with core.rings[staged.name].take() as from_, core.rings[loaded.name].fill() as to:
            asc.load_data(to[0], from_[0])
            asc.load_data(to[1], from_[1])

    staged.deque()
    loaded.alloc()
    writer.emit(AIC, Pipe.MTE1, [], f"load {loaded.name} {staged.name}", run)
    loaded.enque()
    staged.free()


def _multiply_in_ring(
    writer: Writer, loaded: RingOrder, result: RingOrder, shape: tuple[int, int], init: bool, last: bool
) -> None:
    def run(core: Core) -> None:
        ring = core.rings[result.name]
        tile = core.held[result.name] = ring.alloc() if init else core.held[result.name]
        with core.rings[loaded.name].take() as (left, right):
            asc.mmad(tile, left, right, init=init, last=last)
        if last:
            ring.enque()

    touches = [("write", result.name)] if init else [("read", result.name), ("write", result.name)]
    loaded.deque()
    if init:
        result.alloc()
    writer.emit(AIC, Pipe.M, touches, f"mmad {result.name} {loaded.name}", run, forwards=in_flight(writer, shape))
    if last:
        result.enque()
    loaded.free()


# --- from core to core -----------------------------------------------------------------------------------------------


def cube_to_vector(writer: Writer) -> None:
    """A vector core reads what the cube core of its group has written."""
    _hand_over(writer, AIC, AIV, 2, (lambda core: core.core.index,))


def vector_to_cube(writer: Writer) -> None:
    """A cube core reads what the vector cores of its group have written."""
    _hand_over(writer, AIV, AIC, 2, (lambda core: core.vector(0), lambda core: core.vector(1)))


def between_vectors(writer: Writer) -> None:
    """A vector core reads what the other one of its group has written."""
    _hand_over(writer, AIV, AIV, 1, (Core.sibling,))


def among_vectors(writer: Writer) -> None:
    """A vector core reads what one of another group has written."""
    _hand_over(writer, AIV, AIV, 0, (Core.neighbour,))


def among_cubes(writer: Writer) -> None:
    """A cube core reads what another one has written."""
    _hand_over(writer, AIC, AIC, 0, (Core.neighbour,))


def _hand_over(
    writer: Writer, sender: CoreKind, receiver: CoreKind, mode: int, numbers: tuple[Callable[[Core], int], ...]
) -> None:
    place = sender, Pipe.FIX if sender is AIC else Pipe.MTE3
    known = max(writer.heard[place, receiver, one] for one in (0, mode))
    fresh = [one for one in writer.owned[place] if one.number > known]
    if not fresh:
        return
    region = writer.choose(fresh)
    region.published = True
    writer.publish(place, receiver, mode, writer.cross_id())
    for number in numbers:
        _read_at_once(writer, receiver, region, writer.readable(receiver, region, number))


def _read_at_once(writer: Writer, kind: CoreKind, region: Region, window: Window) -> None:
    """Read the first elements of *region* of another core."""
    dtype, columns = region.tensor.dtype, min(region.columns, 64)

    def first(core: Core) -> GlobalTensor:
        return window(core)[0:1, 0:columns]

    if kind is AIV:
        load_window(writer, Local(writer.choose(UB), dtype, (1, columns), columns), (), first)
    else:
        load_tile(writer, Tile(writer.choose(L1), (1, columns), dtype), (), first)


def ping_pong(writer: Writer) -> None:
    """The cube core stores some results in one place, each after the vector cores have read the one before."""
    dtype, turns = writer.choose(FORMATS), writer.number(1, 3)
    m, n = 16, writer.choose((16, 32))
    left = _operand(writer, Tile("l0a_0", (m, 32), dtype))
    right = _operand(writer, Tile("l0b_0", (32, n), dtype))
    result = Tile("l0c_0", (m, n), ACCUMULATOR[dtype])
    _multiply(writer, result, left, right, init=True, last=True)
    region = writer.region((AIC, Pipe.FIX), result.dtype, m, n)
    region.published = True
    forth, back = writer.cross_id(), writer.cross_id()

    def window(core: Core) -> GlobalTensor:
        return region.at(core, core.core.index)

    for turn in range(turns):
        touches = [("read", result.buffer), *(("write", one) for one in region.resources)]
        writer.emit(
            AIC, Pipe.FIX, touches, f"store {result} in {region.tensor.name}",
            lambda core: asc.fixpipe(region.at(core, core.number), result.at(core)),
        )  # fmt: skip
        writer.publish((AIC, Pipe.FIX), AIV, 2, forth)
        load_window(writer, Local(writer.choose(UB), result.dtype, (m, n), n), region.resources, window)
        if turn < turns - 1:
            writer.publish((AIV, Pipe.MTE2), AIC, 2, back)
    writer.stored((AIC, Pipe.FIX), region)
    writer.readable(AIV, region, lambda core: core.core.index)


VECTOR_TASKS = (load_ub, store_ub, copy_ub, vector_ring, *[vector_operation] * 8)
CUBE_TASKS = (load_l1, cube_ring, *[matmul] * 4)
EXCHANGES = (
    (cube_to_vector, {AIC, AIV}), (vector_to_cube, {AIC, AIV}), (ping_pong, {AIC, AIV}), (between_vectors, {AIV}),
    (among_vectors, {AIV}), (among_cubes, {AIC}),
)  # fmt: skip
