"""The matrix unit: MMAD on L0A x L0B -> L0C, and FIXPIPE out of L0C."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ascend_sim.config import Chip, DrainPath
from ascend_sim.isa.data_movement import expect_atomic_format, gm_access, requests, write_gm
from ascend_sim.isa.instruction import (
    Instruction,
    Memory,
    Operand,
    Transfer,
    expect_alignment,
    expect_fractals,
    expect_same_shape,
    expect_space,
)
from ascend_sim.isa.operands import FRACTAL_ROWS, GlobalTensor, LocalTensor
from ascend_sim.isa.timing import Move, Run, Traffic, UnitFlag
from ascend_sim.isa.words import CoreKind, MemoryOrder, Pipe, Space
from ascend_sim.numerics import DType, RoundMode, bf16, cast, fp16, fp32, int8, int32

ACCUMULATOR = {fp16: fp32, bf16: fp32, fp32: fp32, int8: int32}
"""Format of L0C for each input format (Ascend C Mmad: the C,A,B triples of A2)."""

_SPELLINGS = {fp16: "MMAD f16_to_f32", bf16: "MMAD bf16_2_f32", fp32: "MMAD f32", int8: "MMAD s8"}
"""The vendor's names, but for fp32, whose name is ours after that of int8."""

MMAD_LIMIT = 4095
"""Largest m, n and k of one Mmad (Ascend C MmadParams)."""


@dataclass(frozen=True, kw_only=True)
class Mmad(Instruction):
    """C = A B (init) or C += A B: A (m, k) in L0A, B (k, n) in L0B, C (m, n) in L0C.

    With *unit_flag* the tile is handed to FIXPIPE fractal by fractal: set it on every MMAD of the tile and *last*
    on the final one. *in_flight* says that the tile has enough output fractals for an accumulating MMAD to find
    each one finished by its predecessor; a smaller tile needs a PIPE_M barrier in between.
    """

    mnemonic: ClassVar[str] = "mmad"
    destination: LocalTensor
    left: LocalTensor
    right: LocalTensor
    init: bool
    unit_flag: bool = False
    last: bool = False
    in_flight: bool = True

    @property
    def pipe(self) -> Pipe:
        return Pipe.M

    @property
    def cores(self) -> frozenset[CoreKind]:
        return frozenset((CoreKind.AIC,))

    @property
    def spelling(self) -> str:
        return _SPELLINGS[self.left.dtype]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows m, columns n and depth k of the product."""
        return self.left.shape[0], self.right.shape[1], self.left.shape[1]

    def check(self, chip: Chip) -> Iterator[str]:
        yield from expect_space("destination", self.destination, Space.L0C)
        yield from expect_space("left operand", self.left, Space.L0A)
        yield from expect_space("right operand", self.right, Space.L0B)
        if {len(t.shape) for t in (self.destination, self.left, self.right)} != {2}:
            yield "works on two-dimensional tiles only; lay the buffers out with tile((rows, columns), dtype)"
            return
        m, n, k = self.shape
        if self.right.shape[0] != k or self.destination.shape != (m, n):
            yield (
                f"shapes do not fit: left '{self.left.buffer.name}' {list(self.left.shape)} x right "
                f"'{self.right.buffer.name}' {list(self.right.shape)} -> '{self.destination.buffer.name}' "
                f"{list(self.destination.shape)}; write (m, k) x (k, n) -> (m, n)"
            )
        for name, extent in (("m", m), ("n", n), ("k", k)):
            if extent > MMAD_LIMIT:
                yield f"{name} = {extent} is above the limit of {MMAD_LIMIT} of one mmad; split the tile"
        yield from self._check_formats()
        for role, tile in (("left", self.left), ("right", self.right), ("destination", self.destination)):
            yield from expect_alignment(role, tile, 64 if tile is self.destination else 512)
            yield from expect_fractals(role, tile)
        if self.last and not self.unit_flag:
            yield "last=True belongs to unit_flag=True; without unit_flag use set_flag M -> FIX"

    def _check_formats(self) -> Iterator[str]:
        if self.left.dtype != self.right.dtype or self.left.dtype not in ACCUMULATOR:
            yield (
                f"left is {self.left.dtype}, right is {self.right.dtype}; both must be the same of "
                f"{', '.join(str(dtype) for dtype in ACCUMULATOR)}"
            )
        elif self.destination.dtype != ACCUMULATOR[self.left.dtype]:
            yield (
                f"destination '{self.destination.buffer.name}' is {self.destination.dtype}; {self.left.dtype} "
                f"products accumulate in {ACCUMULATOR[self.left.dtype]}"
            )

    def fractals(self, chip: Chip) -> tuple[int, int]:
        """Output fractals, and fractal steps in all: ceil(m/16) ceil(n/16) ceil(k/k0)."""
        m, n, k = self.shape
        rows = chip.cube.fractal_rows.value
        output = math.ceil(m / rows) * math.ceil(n / rows)
        return output, output * math.ceil(k * self.left.dtype.bytes / chip.cube.fractal_bytes_k.value)

    def timing(self, chip: Chip) -> Run:
        """Back to back issue + fractals, isolated latency + fractals (mskpp tables of the 910B1 and 910B3)."""
        cube = chip.cube
        _, steps = self.fractals(chip)
        busy = steps * cube.cycles_per_fractal[self.left.dtype.name].value
        flag = None
        if self.unit_flag:
            flag = UnitFlag(self.destination.address, acquire=self.init, release=self.last)
        latency = max(cube.latency_cycles.value + busy, cube.min_latency_cycles.value)
        return Run(cube.issue_cycles.value + busy, latency, busy, flag)

    @property
    def forwards(self) -> bool:
        return self.in_flight

    @property
    def unit_tile(self) -> int | None:
        return self.destination.address if self.unit_flag else None

    @property
    def matrix_format(self) -> str:
        return self.left.dtype.name

    def flops(self) -> int:
        m, n, k = self.shape
        return 2 * m * n * k

    def sources(self) -> tuple[Operand, ...]:
        return (self.left, self.right) if self.init else (self.left, self.right, self.destination)

    def destinations(self) -> tuple[Operand, ...]:
        return (self.destination,)

    def read(self, memory: Memory) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """The product, and the accumulator as it is now if the tile is too small to be accumulated in flight."""
        wide = np.int32 if self.left.dtype == int8 else np.float32
        with np.errstate(invalid="ignore", over="ignore"):
            product = memory.read(self.left).astype(wide) @ memory.read(self.right).astype(wide)
        stale = None if self.init or self.in_flight else memory.read(self.destination)
        return product, stale

    def write(self, memory: Memory, result: tuple[NDArray[Any], NDArray[Any] | None]) -> None:
        product, stale = result
        if not self.init:
            with np.errstate(invalid="ignore", over="ignore"):
                product = product + (memory.read(self.destination) if stale is None else stale)
        memory.write(self.destination, product)

    def operands(self) -> str:
        text = f"{self.destination}, {self.left}, {self.right}"
        text += ", init" if self.init else ""
        return text + (", unit_flag=last" if self.last else ", unit_flag" if self.unit_flag else "")


OUTPUTS = {fp32: (fp32, bf16, fp16), int32: (int32,)}
"""Formats that FIXPIPE can write from each accumulator (quantising modes are not modelled)."""


@dataclass(frozen=True, kw_only=True)
class Fixpipe(Transfer):
    """Write an L0C tile to global memory as rows (NZ -> ND), converting and optionally adding atomically."""

    mnemonic: ClassVar[str] = "fixpipe"
    destination: GlobalTensor
    source: LocalTensor
    atomic: bool = False
    unit_flag: bool = False

    @property
    def pipe(self) -> Pipe:
        return Pipe.FIX

    @property
    def cores(self) -> frozenset[CoreKind]:
        return frozenset((CoreKind.AIC,))

    @property
    def spelling(self) -> str:
        return "FIX_L0C_TO_OUT"

    def check(self, chip: Chip) -> Iterator[str]:
        yield from expect_space("source", self.source, Space.L0C)
        yield from expect_same_shape(("source", self.source), ("destination", self.destination))
        yield from expect_alignment("source", self.source, 64)
        yield from expect_fractals("source", self.source)
        allowed: tuple[DType, ...] = OUTPUTS.get(self.source.dtype, ())
        if self.destination.dtype not in allowed:
            yield (
                f"cannot write {self.source.dtype} of '{self.source.buffer.name}' as "
                f"{self.destination.dtype}; possible: {', '.join(map(str, allowed)) or 'none'}"
            )
        if self.atomic:
            yield from expect_atomic_format(self.destination.dtype)
        if self.source.order is not MemoryOrder.NZ:
            yield f"source '{self.source.buffer.name}' must be a two-dimensional tile of L0C"

    def timing(self, chip: Chip) -> Move:
        """The drain rate counts L0C bytes, so a 2-byte output leaves at half the rate in bytes."""
        path, access = chip.paths.l0c_to_gm, gm_access(self.destination)
        share = self.destination.dtype.bytes / self.source.dtype.bytes
        sustained = math.ceil(access.bytes / (path.sustained_bytes_per_cycle.value * share))
        flag = UnitFlag(self.source.address, acquire=True, release=True) if self.unit_flag else None
        return Move(
            head=path.head_cycles.value,
            bytes_per_cycle=path.bytes_per_cycle.value * share,
            minimum=max(path.min_cycles.value, sustained),
            latency=path.latency_cycles.value,
            traffic=Traffic.ATOMIC if self.atomic else Traffic.WRITE,
            access=access,
            requests=replace(requests(self.destination, path, line=0, by_row=True), row_cycles=self._row_cycles(path)),
            unit_flag=flag,
        )

    def _row_cycles(self, path: DrainPath) -> float:
        """What a row costs beside its bytes: nothing for 2^i fractals (pypto's sweep of fp32 tiles)."""
        fractals = math.ceil(self.source.columns / FRACTAL_ROWS)
        odd = fractals // (fractals & -fractals)
        return path.odd_fractal_cycles.value * (odd - 1)

    @property
    def adds_to(self) -> DType | None:
        return self.destination.dtype if self.atomic else None

    @property
    def unit_tile(self) -> int | None:
        return self.source.address if self.unit_flag else None

    def sources(self) -> tuple[Operand, ...]:
        return (self.source, self.destination) if self.atomic else (self.source,)

    def late_read(self, chip: Chip) -> int | None:
        """Under unit_flag the fractals are read while the MMAD finishes them, the last one when the pipe is done."""
        return chip.paths.l0c_to_gm.latency_cycles.value if self.unit_flag else None

    def write(self, memory: Memory, result: NDArray[Any]) -> None:
        values = result
        if self.destination.dtype != self.source.dtype:
            values = cast(values, self.destination.dtype, RoundMode.CAST_RINT)
        write_gm(memory, self.destination, values, self.atomic)

    def operands(self) -> str:
        text = f"{self.destination}, {self.source}"
        text += ", atomic_add" if self.atomic else ""
        return text + (", unit_flag" if self.unit_flag else "")
