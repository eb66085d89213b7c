"""Moves between global memory and L1, L0A, L0B or UB (pipes MTE2 and MTE3)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ascend_sim.config import Chip, GmPath, GmReadPath
from ascend_sim.isa.instruction import (
    Memory,
    Operand,
    Transfer,
    expect_alignment,
    expect_fractals,
    expect_same_shape,
    expect_space,
)
from ascend_sim.isa.operands import GlobalTensor, LocalTensor
from ascend_sim.isa.timing import GmAccess, Move, Requests, Traffic
from ascend_sim.isa.words import CoreKind, MemoryOrder, Pipe, Space
from ascend_sim.numerics import DType, fp32, int32

UB_BLOCK = 32
"""Granule of UB and L1 addresses in bytes (Ascend C: a DataBlock)."""


def gm_access(tensor: GlobalTensor) -> GmAccess:
    """The bytes of global memory that *tensor* covers, gap-free rows merged into one run."""
    row_bytes = tensor.columns * tensor.dtype.bytes
    if tensor.rows == 1 or tensor.pitch == tensor.columns:
        return GmAccess(tensor.parameter, tensor.offset, 1, row_bytes * tensor.rows, row_bytes * tensor.rows)
    return GmAccess(tensor.parameter, tensor.offset, tensor.rows, row_bytes, tensor.pitch * tensor.dtype.bytes)


def requests(tensor: GlobalTensor, path: GmPath, line: int, *, by_row: bool = False) -> Requests:
    """The requests of a move of *tensor*: one run if its rows lie without gaps, unless the move works *by_row*."""
    access = gm_access(tensor)
    rows, row_bytes, pitch = access.rows, access.row_bytes, access.pitch
    if by_row and tensor.rows > rows:
        rows, row_bytes = tensor.rows, tensor.columns * tensor.dtype.bytes
        pitch = row_bytes
    return Requests(tensor.offset, rows, row_bytes, pitch, line, path.request_cycles.value)


def read_move(source: GlobalTensor, path: GmReadPath, line: int, *, by_row: bool = False) -> Move:
    """The move of *source* along *path*."""
    return Move(
        head=path.head_cycles.value,
        bytes_per_cycle=path.bytes_per_cycle.value,
        minimum=path.min_cycles.value,
        latency=path.latency_cycles.value,
        traffic=Traffic.READ,
        access=gm_access(source),
        requests=requests(source, path, line, by_row=by_row),
        miss_bytes_per_cycle=path.miss_bytes_per_cycle.value,
    )


def mte_spelling(name: str, tensor: GlobalTensor) -> str:
    """The vendor's *name* of a move between UB and the window *tensor*, of its byte-wise form if blocks do not fit."""
    access = gm_access(tensor)
    blocks = not access.row_bytes % UB_BLOCK and (access.rows == 1 or not access.pitch % UB_BLOCK)
    return name if blocks else f"{name}_ALIGN"


def expect_same_format(role: str, operand: Operand, other_role: str, other: Operand) -> Iterator[str]:
    """Yield a message if the two operands differ in number format."""
    if operand.dtype != other.dtype:
        yield (
            f"{role} is {operand.dtype}, {other_role} is {other.dtype}; a move does not convert: "
            f"declare both in one format (fixpipe and cast convert)"
        )


@dataclass(frozen=True, kw_only=True)
class LoadGm(Transfer):
    """Copy a window of global memory into L1 or UB.

    Into L1 the rows are rearranged to NZ fractals on the way (ND2NZ) unless the tile there is row-major.
    """

    mnemonic: ClassVar[str] = "data_copy"
    destination: LocalTensor
    source: GlobalTensor

    @property
    def pipe(self) -> Pipe:
        return Pipe.MTE2

    @property
    def cores(self) -> frozenset[CoreKind]:
        kind = self.destination.space.core
        return frozenset((kind,)) if kind else frozenset()

    @property
    def spelling(self) -> str:
        if self.destination.space is Space.UB:
            return mte_spelling("MOV_OUT_TO_UB", self.source)
        return "MOV_OUT_TO_L1_MULTI_ND2NZ" if self.destination.order is MemoryOrder.NZ else "MOV_OUT_TO_L1"

    def check(self, chip: Chip) -> Iterator[str]:
        yield from expect_space("destination", self.destination, Space.L1, Space.UB)
        yield from expect_same_shape(("source", self.source), ("destination", self.destination))
        yield from expect_same_format("source", self.source, "destination", self.destination)
        yield from expect_alignment("destination", self.destination, UB_BLOCK)
        yield from expect_row_blocks("destination", self.destination)

    def timing(self, chip: Chip) -> Move:
        paths, to_fractals = chip.paths, self.destination.order is MemoryOrder.NZ
        to_l1 = paths.gm_to_l1_nz if to_fractals else paths.gm_to_l1
        path = to_l1 if self.destination.space is Space.L1 else paths.gm_to_ub
        return read_move(self.source, path, chip.l2.line_bytes.value, by_row=to_fractals)


@dataclass(frozen=True, kw_only=True)
class StoreGm(Transfer):
    """Copy a UB tile to global memory; with *atomic*, add it to what is there (fp32 and int32)."""

    mnemonic: ClassVar[str] = "data_copy"
    destination: GlobalTensor
    source: LocalTensor
    atomic: bool = False

    @property
    def pipe(self) -> Pipe:
        return Pipe.MTE3

    @property
    def cores(self) -> frozenset[CoreKind]:
        return frozenset((CoreKind.AIV,))

    @property
    def spelling(self) -> str:
        return mte_spelling("MOV_UB_TO_OUT", self.destination)

    def check(self, chip: Chip) -> Iterator[str]:
        yield from expect_space("source", self.source, Space.UB)
        yield from expect_same_shape(("source", self.source), ("destination", self.destination))
        yield from expect_same_format("source", self.source, "destination", self.destination)
        yield from expect_alignment("source", self.source, UB_BLOCK)
        yield from expect_row_blocks("source", self.source)
        if self.atomic:
            yield from expect_atomic_format(self.source.dtype)

    def timing(self, chip: Chip) -> Move:
        path, access = chip.paths.ub_to_gm, gm_access(self.destination)
        sustained = math.ceil(access.bytes / path.sustained_bytes_per_cycle.value)
        return Move(
            head=path.head_cycles.value,
            bytes_per_cycle=path.bytes_per_cycle.value,
            minimum=max(path.min_cycles.value, sustained),
            latency=path.latency_cycles.value,
            traffic=Traffic.ATOMIC if self.atomic else Traffic.WRITE,
            access=access,
            requests=requests(self.destination, path, chip.l2.line_bytes.value),
        )

    @property
    def adds_to(self) -> DType | None:
        return self.destination.dtype if self.atomic else None

    def sources(self) -> tuple[Operand, ...]:
        return (self.source, self.destination) if self.atomic else (self.source,)

    def write(self, memory: Memory, result: NDArray[Any]) -> None:
        write_gm(memory, self.destination, result, self.atomic)

    def operands(self) -> str:
        text = f"{self.destination}, {self.source}"
        return f"{text}, atomic_add" if self.atomic else text


def expect_atomic_format(dtype: DType) -> Iterator[str]:
    """Yield a message if *dtype* has no atomic add in this simulator (fp32 and int32 have)."""
    if dtype not in (fp32, int32):
        yield f"atomic add is available for fp32 and int32, not for {dtype}; cast first"


def write_gm(memory: Memory, destination: GlobalTensor, values: NDArray[Any], atomic: bool) -> None:
    """Store *values*, or add them to what is there at this moment; int32 wraps around as the hardware does."""
    if atomic:
        with np.errstate(over="ignore", invalid="ignore"):
            values = memory.read(destination) + values
    memory.write(destination, values)


@dataclass(frozen=True, kw_only=True)
class LoadFractals(Transfer):
    """Copy fractals from global memory straight into L0A or L0B (Ascend C: LoadData from GM).

    The source is a window without gaps that holds the elements in the order of the destination: fractals row by row,
    those of L0B column-major inside.
    """

    mnemonic: ClassVar[str] = "load_data"
    destination: LocalTensor
    source: GlobalTensor

    @property
    def pipe(self) -> Pipe:
        return Pipe.MTE2

    @property
    def cores(self) -> frozenset[CoreKind]:
        return frozenset((CoreKind.AIC,))

    @property
    def spelling(self) -> str:
        # Ours, after LOAD_L1_TO_L0A_2D: no list of the vendor's that we know has the load from global memory.
        return f"LOAD_OUT_TO_{self.destination.space.value}_2D"

    def check(self, chip: Chip) -> Iterator[str]:
        yield from expect_space("destination", self.destination, Space.L0A, Space.L0B)
        yield from expect_same_format("source", self.source, "destination", self.destination)
        yield from expect_alignment("destination", self.destination, 512)
        yield from expect_fractals("destination", self.destination)
        tile = self.destination
        if tile.tile != tile.shape:
            yield (
                f"destination '{tile.buffer.name}' {list(tile.shape)} is not the whole of its tile of fractals, "
                f"{list(tile.tile)}; fractals of GM fill a whole tile: load {list(tile.tile)} from GM"
            )
        elif gm_access(self.source).rows > 1 or self.source.elements != tile.elements:
            yield (
                f"source '{self.source.name}' {list(self.source.shape)} must be {tile.elements} elements without gaps, "
                f"the fractals of '{tile.buffer.name}' {list(tile.shape)}"
            )

    def timing(self, chip: Chip) -> Move:
        paths = chip.paths
        path = paths.gm_to_l0a if self.destination.space is Space.L0A else paths.gm_to_l0b
        return read_move(self.source, path, chip.l2.line_bytes.value)

    def write(self, memory: Memory, result: NDArray[Any]) -> None:
        tile, elements = self.destination, (self.destination.elements,)
        bytes_in_order = replace(tile, order=MemoryOrder.ND, tile=elements, origin=(0,), shape=elements)
        memory.write(bytes_in_order, result.ravel())


def expect_row_blocks(role: str, tensor: LocalTensor) -> Iterator[str]:
    """Rows of a strided UB tile must begin on 32 B blocks, as the strides of a DMA count blocks."""
    if tensor.order is MemoryOrder.ND and len(tensor.shape) == 2 and tensor.rows > 1:
        pitch = tensor.pitch * tensor.dtype.bytes
        if pitch % UB_BLOCK:
            yield (
                f"{role} '{tensor.buffer.name}' has rows {pitch} B apart, which is not a multiple of {UB_BLOCK} B; "
                f"pad the tile to {math.ceil(pitch / UB_BLOCK) * UB_BLOCK // tensor.dtype.bytes} columns"
            )
