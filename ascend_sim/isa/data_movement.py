"""Moves between global memory, L1, L0A, L0B and UB (pipes MTE1, MTE2, MTE3)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ascend_sim.config import Chip
from ascend_sim.isa.instruction import (
    Instruction,
    Memory,
    Operand,
    expect_alignment,
    expect_fractals,
    expect_same_shape,
    expect_space,
)
from ascend_sim.isa.operands import GlobalTensor, LocalTensor, fractal_shape, padded
from ascend_sim.isa.timing import GmAccess, Move, Run, Traffic
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


def expect_same_format(role: str, operand: Operand, other_role: str, other: Operand) -> Iterator[str]:
    """Yield a message if the two operands differ in number format."""
    if operand.dtype != other.dtype:
        yield (
            f"{role} is {operand.dtype}, {other_role} is {other.dtype}; a move does not convert: "
            f"declare both in one format (fixpipe and cast convert)"
        )


@dataclass(frozen=True, kw_only=True)
class LoadGm(Instruction):
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

    def check(self, chip: Chip) -> Iterator[str]:
        yield from expect_space("destination", self.destination, Space.L1, Space.UB)
        yield from expect_same_shape(("source", self.source), ("destination", self.destination))
        yield from expect_same_format("source", self.source, "destination", self.destination)
        yield from expect_alignment("destination", self.destination, UB_BLOCK)
        yield from _expect_row_blocks("destination", self.destination)

    def timing(self, chip: Chip) -> Move:
        path = chip.paths.gm_to_l1 if self.destination.space is Space.L1 else chip.paths.gm_to_ub
        return Move(
            head=path.head_cycles.value,
            bytes_per_cycle=path.bytes_per_cycle.value,
            minimum=path.min_cycles.value,
            latency=path.latency_cycles.value,
            traffic=Traffic.READ,
            access=gm_access(self.source),
        )

    def sources(self) -> tuple[Operand, ...]:
        return (self.source,)

    def destinations(self) -> tuple[Operand, ...]:
        return (self.destination,)

    def read(self, memory: Memory) -> NDArray[Any]:
        return memory.read(self.source)

    def write(self, memory: Memory, result: NDArray[Any]) -> None:
        memory.write(self.destination, result)


@dataclass(frozen=True, kw_only=True)
class StoreGm(Instruction):
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

    def check(self, chip: Chip) -> Iterator[str]:
        yield from expect_space("source", self.source, Space.UB)
        yield from expect_same_shape(("source", self.source), ("destination", self.destination))
        yield from expect_same_format("source", self.source, "destination", self.destination)
        yield from expect_alignment("source", self.source, UB_BLOCK)
        yield from _expect_row_blocks("source", self.source)
        if self.atomic:
            yield from expect_atomic_format(self.source.dtype)

    def timing(self, chip: Chip) -> Move:
        path = chip.paths.ub_to_gm
        return Move(
            head=path.head_cycles.value,
            bytes_per_cycle=path.bytes_per_cycle.value,
            minimum=path.min_cycles.value,
            latency=path.latency_cycles.value,
            traffic=Traffic.ATOMIC if self.atomic else Traffic.WRITE,
            access=gm_access(self.destination),
        )

    def sources(self) -> tuple[Operand, ...]:
        return (self.source, self.destination) if self.atomic else (self.source,)

    def destinations(self) -> tuple[Operand, ...]:
        return (self.destination,)

    def read(self, memory: Memory) -> NDArray[Any]:
        return memory.read(self.source)

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
class LoadData(Instruction):
    """Copy whole fractals from an L1 tile into L0A (left operand) or L0B (right operand).

    *transpose* turns the tile on the way, so that an L1 tile of shape (n, k) can be loaded as the (k, n) right
    operand, and one of shape (k, m) as the (m, k) left operand.
    """

    mnemonic: ClassVar[str] = "load_data"
    destination: LocalTensor
    source: LocalTensor
    transpose: bool = False

    @property
    def pipe(self) -> Pipe:
        return Pipe.MTE1

    @property
    def cores(self) -> frozenset[CoreKind]:
        return frozenset((CoreKind.AIC,))

    def check(self, chip: Chip) -> Iterator[str]:
        yield from expect_space("destination", self.destination, Space.L0A, Space.L0B)
        yield from expect_space("source", self.source, Space.L1)
        yield from expect_same_format("source", self.source, "destination", self.destination)
        yield from expect_alignment("destination", self.destination, 512)
        yield from expect_fractals("destination", self.destination)
        shape = self.source.shape[::-1] if self.transpose else self.source.shape
        if shape != self.destination.shape:
            hint = "with" if self.transpose else "without"
            yield (
                f"source '{self.source.buffer.name}' {list(self.source.shape)} ({hint} transpose) does not make the "
                f"destination '{self.destination.buffer.name}' {list(self.destination.shape)}"
            )
        if self.source.order is not MemoryOrder.NZ or len(self.source.shape) != 2:
            yield (
                f"source '{self.source.buffer.name}' must be a tile of NZ fractals (two dimensions); it is "
                f"{self.source.order.value} with {len(self.source.shape)} dimension(s)"
            )
            return
        rows, columns = fractal_shape(self.source.dtype, self.source.order, Space.L1)
        if self.source.origin[0] % rows or self.source.origin[1] % columns:
            yield (
                f"source '{self.source.buffer.name}' begins at element {list(self.source.origin)}, inside a fractal "
                f"of {rows}x{columns} {self.source.dtype}; slice L1 tiles at multiples of {rows} and {columns}"
            )

    def timing(self, chip: Chip) -> Run:
        target = self.destination
        path = chip.paths.l1_to_l0a if target.space is Space.L0A else chip.paths.l1_to_l0b
        fractals = math.prod(padded(target.shape, target.dtype, target.order, target.space)) * target.dtype.bytes
        occupancy = path.head_cycles.value + math.ceil(fractals / path.bytes_per_cycle.value)
        occupancy = max(occupancy, path.min_cycles.value)
        return Run(occupancy, occupancy + path.latency_cycles.value, occupancy)

    def sources(self) -> tuple[Operand, ...]:
        return (self.source,)

    def destinations(self) -> tuple[Operand, ...]:
        return (self.destination,)

    def read(self, memory: Memory) -> NDArray[Any]:
        values = memory.read(self.source)
        return values.T if self.transpose else values

    def write(self, memory: Memory, result: NDArray[Any]) -> None:
        memory.write(self.destination, result)

    def operands(self) -> str:
        text = f"{self.destination}, {self.source}"
        return f"{text}, transpose" if self.transpose else text


def _expect_row_blocks(role: str, tensor: LocalTensor) -> Iterator[str]:
    """Rows of a strided UB tile must begin on 32 B blocks, as the strides of a DMA count blocks."""
    if tensor.order is MemoryOrder.ND and len(tensor.shape) == 2 and tensor.rows > 1:
        pitch = tensor.pitch * tensor.dtype.bytes
        if pitch % UB_BLOCK:
            yield (
                f"{role} '{tensor.buffer.name}' has rows {pitch} B apart, which is not a multiple of {UB_BLOCK} B; "
                f"pad the tile to {math.ceil(pitch / UB_BLOCK) * UB_BLOCK // tensor.dtype.bytes} columns"
            )
