"""Moves inside a core: L1 to L0A and L0B (pipe MTE1), and UB to UB (pipe V)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray

from ascend_sim.config import Chip
from ascend_sim.isa.data_movement import UB_BLOCK, expect_row_blocks, expect_same_format
from ascend_sim.isa.instruction import (
    Memory,
    Transfer,
    expect_alignment,
    expect_fractals,
    expect_same_shape,
    expect_space,
)
from ascend_sim.isa.operands import LocalTensor, fractal_shape, padded
from ascend_sim.isa.timing import Run
from ascend_sim.isa.words import CoreKind, MemoryOrder, Pipe, Space


@dataclass(frozen=True, kw_only=True)
class LoadData(Transfer):
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

    @property
    def spelling(self) -> str:
        return f"LOAD_L1_TO_{self.destination.space.value}_2D"

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
        """One hardware instruction moves a row or a column of fractals, as the two sides order them differently."""
        target = self.destination
        path = chip.paths.l1_to_l0a if target.space is Space.L0A else chip.paths.l1_to_l0b
        extents = padded(target.shape, target.dtype, target.order, target.space)
        fractal = fractal_shape(target.dtype, target.order, target.space)
        instructions = min(extent // one for extent, one in zip(extents, fractal, strict=True))
        flow = math.ceil(math.prod(extents) * target.dtype.bytes / path.bytes_per_cycle.value)
        occupancy = max(instructions * path.head_cycles.value + flow, path.min_cycles.value)
        return Run(occupancy, occupancy + path.latency_cycles.value, occupancy, stream=target.space.value)

    def read(self, memory: Memory) -> NDArray[Any]:
        values = memory.read(self.source)
        return values.T if self.transpose else values

    def operands(self) -> str:
        text = f"{self.destination}, {self.source}"
        return f"{text}, transpose" if self.transpose else text


@dataclass(frozen=True, kw_only=True)
class CopyUb(Transfer):
    """Copy a UB tile to another place of UB (Ascend C: DataCopy between VECIN, VECCALC and VECOUT)."""

    mnemonic: ClassVar[str] = "data_copy"
    destination: LocalTensor
    source: LocalTensor

    @property
    def pipe(self) -> Pipe:
        return Pipe.V

    @property
    def cores(self) -> frozenset[CoreKind]:
        return frozenset((CoreKind.AIV,))

    @property
    def spelling(self) -> str:
        return "MOV_UB_TO_UB"

    def check(self, chip: Chip) -> Iterator[str]:
        for role, tensor in (("source", self.source), ("destination", self.destination)):
            yield from expect_space(role, tensor, Space.UB)
            yield from expect_alignment(role, tensor, UB_BLOCK)
            yield from expect_row_blocks(role, tensor)
        yield from expect_same_shape(("source", self.source), ("destination", self.destination))
        yield from expect_same_format("source", self.source, "destination", self.destination)

    def timing(self, chip: Chip) -> Run:
        path = chip.paths.ub_to_ub
        size = self.destination.elements * self.destination.dtype.bytes
        occupancy = path.head_cycles.value + math.ceil(size / path.bytes_per_cycle.value)
        occupancy = max(occupancy, path.min_cycles.value)
        return Run(occupancy, occupancy + path.latency_cycles.value, occupancy)
