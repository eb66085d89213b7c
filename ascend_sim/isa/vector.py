"""The vector unit: one hardware instruction, which is up to 255 repeats of 256 B on UB operands."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ascend_sim.config import Chip, VectorRow
from ascend_sim.errors import Diagnostic, NumericsError
from ascend_sim.isa.banks import bank_use
from ascend_sim.isa.instruction import Instruction, Memory, Operand, expect_alignment, expect_space
from ascend_sim.isa.operands import LocalTensor, round_up
from ascend_sim.isa.timing import Run
from ascend_sim.isa.vector_compute import Arguments, Comparison, Dequantization
from ascend_sim.isa.vector_ops import VECTOR_OPS, Pattern, VectorOp
from ascend_sim.isa.vector_rules import (
    block_row_faults,
    dequantization_faults,
    overlap_faults,
    scalar_faults,
    share_bytes,
    shown,
    stride_faults,
)
from ascend_sim.isa.words import CoreKind, MemoryOrder, Pipe, Space
from ascend_sim.numerics import DType, RoundMode, bf16, uint8, uint32

_BY_DESTINATION = (
    Pattern.ELEMENTWISE, Pattern.SELECT, Pattern.ROW_BLOCKS, Pattern.GATHER, Pattern.GATHER_BLOCKS,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class VectorInstruction(Instruction):
    """One vector instruction: the operation *name* on *inputs* into *destination*, all in UB.

    Operands of one dimension are runs of elements, worked on in repeats of 256 B of the widest format; a rest
    at the end needs counter mode. In operands of two dimensions each row is one repeat, of at most that many
    columns. *mask* (first, last + 1) restricts `duplicate` to some columns of each row. The second source of
    an operation on two may be one block (32 B) a row, which is then applied along the whole row. With *blocks*
    each row is one block, and a repeat takes eight rows (Ascend C: dataBlockStride).
    """

    name: str
    destination: LocalTensor
    inputs: tuple[LocalTensor, ...] = ()
    scalar: float | int | None = None
    round_mode: RoundMode | None = None
    comparison: Comparison | None = None
    mask: tuple[int, int] | None = None
    dequantization: Dequantization | None = None
    blocks: bool = False

    @property
    def mnemonic(self) -> str:  # type: ignore[override]  # one class serves the whole table
        """The name of the operation."""
        return self.name

    @property
    def spelling(self) -> str:
        """The vendor's name of the operation."""
        return self.operation.spelling

    @property
    def operation(self) -> VectorOp:
        """The row of the table of operations."""
        return VECTOR_OPS[self.name]

    @property
    def pipe(self) -> Pipe:
        """The vector pipe."""
        return Pipe.V

    @property
    def cores(self) -> frozenset[CoreKind]:
        """Vector cores only."""
        return frozenset((CoreKind.AIV,))

    @property
    def body(self) -> LocalTensor:
        """The operand whose elements or rows are counted in repeats."""
        if self.operation.pattern is Pattern.ELEMENTWISE and self.destination.dtype.numbers > 1:
            return self.inputs[0]
        return self.destination if self.operation.pattern in _BY_DESTINATION else self.inputs[0]

    @property
    def data(self) -> tuple[LocalTensor, ...]:
        """The sources that hold values, without the bit mask of select and the offsets of gathers."""
        if self.gathers:
            return self.inputs[:1]
        return self.inputs[1:] if self.operation.pattern is Pattern.SELECT else self.inputs

    @property
    def gathers(self) -> bool:
        """Whether the first source is read at the byte offsets in the second, and so never split."""
        return self.operation.pattern in (Pattern.GATHER, Pattern.GATHER_BLOCKS)

    @property
    def row_broadcast(self) -> bool:
        """Whether the second source holds one block a row."""
        elementwise = self.operation.pattern is Pattern.ELEMENTWISE and len(self.inputs) == 2
        return elementwise and self.inputs[1].shape != self.destination.shape

    @property
    def by_rows(self) -> bool:
        """Whether the operands cannot be taken as runs of elements, so that rows must be told apart."""
        if self.operation.pattern in (Pattern.WHOLE, Pattern.ROW_BLOCKS) or self.row_broadcast or self.mask:
            return True
        if self.blocks:
            return True
        return not all(operand.contiguous for operand in (self.destination, *self.inputs))

    @property
    def widest(self) -> DType:
        """The format of the widest operand that holds values, which sets the elements of a repeat."""
        return max((self.destination.dtype, *(one.dtype for one in self.data)), key=lambda dtype: dtype.bytes)

    @property
    def element_operations(self) -> int:
        """Elements that the operation is applied to, once each, without padding and columns that a mask hides."""
        return self.body.elements if self.mask is None else self.written.elements

    def lanes(self, chip: Chip) -> int:
        """Elements of a full repeat, set by the widest operand that holds values."""
        return chip.vector.repeat_bytes.value // self.widest.bytes

    def repeats(self, chip: Chip) -> int:
        """Repeats that the instruction counts."""
        if len(self.body.shape) == 1:
            return math.ceil(self.body.elements / self.lanes(chip))
        return math.ceil(self.body.rows / self.rows_per_repeat(chip))

    def rows_per_repeat(self, chip: Chip) -> int:
        """Rows of the body in a repeat, if it has two dimensions."""
        return _blocks_per_repeat(chip) if self.blocks or self.operation.pattern is Pattern.ROW_BLOCKS else 1

    def check(self, chip: Chip) -> Iterator[str]:
        """Yield what is wrong with the operands, or with their size for a single instruction."""
        faults = [*self.operand_faults(chip)]
        if not faults and not self.by_rows:
            faults += self._pitch_faults(chip)
        yield from faults
        if faults:
            return
        lanes, repeats, limit = self.lanes(chip), self.repeats(chip), chip.vector.max_repeats.value
        if len(self.body.shape) == 2 and self.body.columns > lanes:
            yield (
                f"'{self.body.buffer.name}' has {self.body.columns} columns; a repeat holds {lanes} of them: "
                f"split the columns into instructions of {lanes}"
            )
        if repeats > limit:
            yield f"{repeats} repeats are above the limit of {limit} of one instruction; split the operands"
        for source in self.inputs:
            yield from overlap_faults(self.destination, source, repeats)
        if self.gathers and share_bytes(self.destination, self.inputs[0]):
            yield (
                f"destination '{self.destination.buffer.name}' and source '{self.inputs[0].buffer.name}' overlap, but "
                f"every repeat may read all of the source; use another buffer"
            )
        if self._cost(chip) is None:
            keys = " or ".join(self.operation.cost_keys(*self._formats))
            yield (
                f"chip '{chip.name}' has no cost for {self.operation.cost} on {keys}; add a row under "
                f"vector.ops.{self.operation.cost} of its file"
            )

    def form(self, chip: Chip) -> Hashable:
        """The operation, how the operands are laid out, and where they lie in UB, blocks from the destination on."""
        begin = self.destination.address
        operands = [
            (one.buffer.space, one.dtype.name, one.order, one.tile, one.shape, one.address - begin)
            for one in (self.destination, *self.inputs)
        ]
        parameters = self.name, type(self.scalar), self.scalar, self.round_mode, self.comparison, self.dequantization
        return parameters, self.mask, type(self.blocks), self.blocks, begin % chip.vector.block_bytes.value, *operands

    def operand_faults(self, chip: Chip) -> Iterator[str]:
        """Yield what is wrong with the operands whatever their size: spaces, formats, shapes, alignment."""
        roles = [("destination", self.destination), *(("source", source) for source in self.inputs)]
        for role, operand in roles:
            yield from expect_space(role, operand, Space.UB)
            yield from expect_alignment(role, operand, chip.vector.block_bytes.value)
            if operand.order is not MemoryOrder.ND:
                yield (
                    f"{role} '{operand.buffer.name}' is laid out as {operand.order.value}; vector operations "
                    f"work on row-major tiles: lay it out with tile(shape, dtype)"
                )
        yield from self._format_faults()
        yield from self._parameter_faults()
        shapes = list(self._shape_faults(chip))
        yield from shapes
        if not shapes and self.by_rows:
            pitches = list(self._pitch_faults(chip))
            yield from pitches
            if not pitches and self.rows_per_repeat(chip) > 1:
                yield from stride_faults((self.destination, *self.inputs), chip)

    @property
    def _formats(self) -> tuple[DType, DType]:
        return (self.data[0] if self.data else self.destination).dtype, self.destination.dtype

    def _format_faults(self) -> Iterator[str]:
        operation, (source, destination) = self.operation, self._formats
        for other in self.data[1:]:
            if other.dtype != source:
                yield (
                    f"sources '{self.data[0].buffer.name}' and '{other.buffer.name}' are {source} and "
                    f"{other.dtype}; cast one of them first"
                )
        if operation.pattern is Pattern.SELECT and self.inputs[0].dtype != uint8:
            yield f"mask '{self.inputs[0].buffer.name}' is {self.inputs[0].dtype}; declare its tile as uint8"
        if (source, destination) in operation.formats:
            return
        known = list(dict.fromkeys(pair[0].name for pair in operation.formats))
        results = [pair[1].name for pair in operation.formats if pair[0] == source]
        if results:
            yield f"{source} sources give {' or '.join(results)}, not {destination}; change the destination"
        elif source == bf16:
            yield f"there is no bf16 form, only {', '.join(known)}; cast to fp32 first and back afterwards"
        else:
            yield f"there is no {source} form, only {', '.join(known)}; cast first"

    def _parameter_faults(self) -> Iterator[str]:
        if self.operation.scalar:
            dtype = self.destination.dtype if self.operation.accumulates else self._formats[0]
            yield from scalar_faults(self.scalar, dtype, shift=self.name.startswith("shift"))
        if self.name == "cast" and not isinstance(self.round_mode, RoundMode):
            yield f"round mode {self.round_mode!r} is not a RoundMode; write RoundMode.CAST_RINT, for example"
        if self.operation.pattern in (Pattern.COMPARE, Pattern.MASK) and self.comparison is None:
            yield "no comparison is given; write 'LT', for example"
        if not isinstance(self.blocks, bool):
            yield f"blocks {self.blocks!r} is neither True nor False; leave it out where a row is no single block"
        if self.operation.deq:
            yield from dequantization_faults(self.dequantization, *self._formats, vector=self.name == "cast_deq_vector")

    def _shape_faults(self, chip: Chip) -> Iterator[str]:
        pattern = self.operation.pattern
        if self.blocks:
            if pattern is not Pattern.ELEMENTWISE or self.mask is not None:
                yield "only elementwise operations without a mask of columns take blocks; leave blocks out"
            yield from block_row_faults((self.destination, *self.inputs), chip)
        elif pattern is Pattern.ROW_BLOCKS:
            yield from self._row_block_faults(chip)
        elif pattern is Pattern.WHOLE:
            yield from self._whole_faults(chip)
        elif pattern in (Pattern.BLOCK, Pattern.PAIR):
            yield from self._group_faults(chip)
        elif pattern is Pattern.MASK:
            yield from self._mask_register_faults(chip)
        elif pattern is Pattern.HALF_BLOCKS:
            yield from self._half_block_faults(chip)
        elif self.gathers:
            yield from self._gather_faults(chip)
        elif any(operand.dtype.numbers > 1 for operand in (self.destination, *self.inputs)):
            yield from self._packed_faults()
        else:
            yield from self._elementwise_faults(chip)

    def _group_faults(self, chip: Chip) -> Iterator[str]:
        source = self.inputs[0]
        block = chip.vector.block_bytes.value // source.dtype.bytes
        group = block if self.operation.pattern is Pattern.BLOCK else 2
        expected = (*source.shape[:-1], source.columns // group)
        if source.columns % group:
            yield (
                f"{shown(source)} has {source.columns} columns, but {group} neighbours make one element; pad to "
                f"{round_up(source.columns, group)} columns"
            )
        elif self.destination.shape != expected:
            yield f"{shown(source)} reduces to {list(expected)}, not to {shown(self.destination)}"
        yield from self._run_faults()

    def _mask_register_faults(self, chip: Chip) -> Iterator[str]:
        left, right = self.inputs
        lanes = self.lanes(chip)
        if left.shape != right.shape or len(left.shape) != 1 or left.elements % lanes:
            yield f"{shown(left)} and {shown(right)} must be vectors of the same whole repeats of {lanes} elements"
        elif self.destination.shape != (lanes // 8,):
            yield f"mask {shown(self.destination)} must be the {lanes // 8} bytes that hold the bits of one repeat"
        yield from self._run_faults()

    def _half_block_faults(self, chip: Chip) -> Iterator[str]:
        source, block = self.inputs[0], chip.vector.block_bytes.value // self.inputs[0].dtype.bytes
        expected = (*source.shape[:-1], 2 * source.columns)
        if source.columns % block:
            yield (
                f"{shown(source)} has {source.columns} columns, which are no whole blocks of {block}; pad to "
                f"{round_up(source.columns, block)} columns"
            )
        elif self.destination.shape != expected:
            yield (
                f"{shown(source)} fills halves of the blocks of {list(expected)}, not of {shown(self.destination)}: "
                f"{block} numbers in one half of each block, and the other half stays"
            )
        yield from self._run_faults()

    def _packed_faults(self) -> Iterator[str]:
        source = self.inputs[0]
        numbers = [one.columns * one.dtype.numbers for one in (source, self.destination)]
        if source.shape[:-1] != self.destination.shape[:-1] or numbers[0] != numbers[1]:
            yield (
                f"{shown(source)} {source.dtype} holds {numbers[0]} numbers in a row, {shown(self.destination)} "
                f"{self.destination.dtype} {numbers[1]}; an int4x2 element holds two: write the same number of both"
            )
        yield from self._run_faults()

    def _gather_faults(self, chip: Chip) -> Iterator[str]:
        offsets, destination = self.inputs[1], self.destination
        group = 1
        if self.operation.pattern is Pattern.GATHER_BLOCKS:
            group = chip.vector.block_bytes.value // destination.dtype.bytes
        if offsets.dtype != uint32:
            yield f"offsets '{offsets.buffer.name}' are {offsets.dtype}; declare their tile as uint32, in bytes"
        expected = (*destination.shape[:-1], destination.columns // group)
        if offsets.shape != expected or destination.columns % group:
            each = "element" if group == 1 else f"whole block of {group} elements"
            yield f"offsets {shown(offsets)} do not fill {shown(destination)}; write one for each {each}"
        yield from self._run_faults()

    def _elementwise_faults(self, chip: Chip) -> Iterator[str]:
        first = self.body
        block = chip.vector.block_bytes.value // (self.inputs[-1] if self.inputs else first).dtype.bytes
        for index, source in enumerate(self.data):
            blocks = self.row_broadcast and index == 1 and first.shape[:-1] == source.shape[:-1]
            if source.shape == first.shape or (blocks and len(first.shape) == 2 and source.columns == block):
                continue
            hint = f" or, for the second source, be ({first.rows}, {block})" if len(self.inputs) == 2 else ""
            yield f"{shown(source)} must have the shape of {shown(first)}{hint}"
        bits = {Pattern.COMPARE: self.destination, Pattern.SELECT: self.inputs[0] if self.inputs else None}
        mask = bits.get(self.operation.pattern)
        if mask is not None:
            if mask.elements != math.ceil(first.elements / 8):
                yield (
                    f"mask {shown(mask)} must hold one bit for each of the {first.elements} elements of "
                    f"{shown(first)}: {math.ceil(first.elements / 8)} uint8 elements"
                )
            yield from self._run_faults()
        if self.mask is not None:
            yield from self._mask_faults(chip)

    def _mask_faults(self, chip: Chip) -> Iterator[str]:
        assert self.mask is not None
        first, last = self.mask
        lanes = self.lanes(chip)
        if len(self.destination.shape) != 2 or self.destination.columns > lanes:
            yield (
                f"with a mask, {shown(self.destination)} must be (rows, columns) of at most {lanes} columns, "
                f"one repeat a row; slice the columns"
            )
        elif not 0 <= first < last <= self.destination.columns:
            yield (
                f"mask ({first}, {last}) does not name columns of {shown(self.destination)}; write (first, "
                f"last + 1) within 0..{self.destination.columns}"
            )

    def _row_block_faults(self, chip: Chip) -> Iterator[str]:
        source, block = self.inputs[0], chip.vector.block_bytes.value // self.destination.dtype.bytes
        rows = _blocks_per_repeat(chip)
        if len(source.shape) != 1 or self.destination.shape != (source.columns, block):
            yield (
                f"{shown(source)} does not fill {shown(self.destination)}; write (rows,) -> (rows, {block}), "
                f"one block of {chip.vector.block_bytes.value} B for each element"
            )
        elif source.columns % rows:
            yield (
                f"{shown(source)} has {source.columns} rows, but a repeat fills {rows} at once; pad to "
                f"{round_up(source.columns, rows)} rows"
            )

    def _whole_faults(self, chip: Chip) -> Iterator[str]:
        source, lanes = self.inputs[0], self.lanes(chip)
        if len(source.shape) != 2 or self.destination.shape != source.shape[:1]:
            shapes = f"{shown(source)} does not reduce to {shown(self.destination)}"
            yield f"{shapes}; write (rows, columns) -> (rows,)"
        elif source.columns > lanes:
            yield (
                f"{shown(source)} has {source.columns} columns, but a repeat reduces at most {lanes}; fold "
                f"the columns with max, min or add to {lanes} first"
            )

    def _run_faults(self) -> Iterator[str]:
        for operand in (self.destination, *self.inputs):
            if not operand.contiguous:
                yield (
                    f"{shown(operand)} has gaps between its rows (they begin {operand.pitch} elements apart), "
                    f"which this operation cannot step over; copy the window to a tile of its own first"
                )

    def _pitch_faults(self, chip: Chip) -> Iterator[str]:
        block = chip.vector.block_bytes.value
        for operand in (self.destination, *self.inputs):
            pitch = operand.pitch * operand.dtype.bytes
            if len(operand.shape) == 2 and operand.rows > 1 and pitch % block:
                yield (
                    f"'{operand.buffer.name}' has rows {pitch} B apart, which is not a multiple of {block} B; "
                    f"pad the tile to {round_up(pitch, block) // operand.dtype.bytes} columns"
                )

    def _cost(self, chip: Chip) -> VectorRow | None:
        rows = chip.vector.ops.get(self.operation.cost, {})
        keys = self.operation.cost_keys(*self._formats)
        return next((rows[key] for key in keys if key in rows), None)

    def timing(self, chip: Chip) -> Run:
        """Back-to-back cycles from the mskpp tables, time to the result from isolated and dependent measurements.

        Counter mode, for a run of several repeats whose last is not full, costs extra (pto-isa cost model); a
        single repeat is cut to length by the bit mask, which is free. Blocks apart take what the banks of UB need.
        """
        row = self._cost(chip)
        assert row is not None, "check() refuses operations without a cost"
        repeats = self.repeats(chip)
        occupancy = _whole_cycles(row.first_cycles + row.further_cycles * (repeats - 1))
        alone = _whole_cycles(row.latency_cycles + row.further_cycles * repeats)
        latency = max(alone - chip.vector.isolated_cycles.value, occupancy)
        extra = sum(self.bank_stalls(chip))
        runs = len(self.body.shape) == 1 or self.blocks
        if runs and repeats > 1 and self.body.elements % self.lanes(chip):
            extra += chip.vector.count_mode_cycles.value
        return Run(occupancy + extra, latency + extra, occupancy + extra)

    def bank_stalls(self, chip: Chip) -> tuple[int, int]:
        """Cycles that conflicts in bank groups of UB add to the table: of reads, or of writes if those wait longer."""
        if self.rows_per_repeat(chip) == 1:
            return 0, 0  # no block of a repeat is apart from the others, see BankUse.stalls
        row = self._cost(chip)
        assert row is not None, "check() refuses operations without a cost"
        reads, writes = bank_use(self, chip).stalls(row.further_cycles)
        table = row.first_cycles + row.further_cycles * (self.repeats(chip) - 1)
        stalls = _whole_cycles(table + reads + writes) - _whole_cycles(table)
        return (stalls, 0) if reads >= writes else (0, stalls)

    def sources(self) -> tuple[Operand, ...]:
        """The inputs, and the destination of an operation that accumulates."""
        return (*self.inputs, self.destination) if self.operation.accumulates else self.inputs

    def destinations(self) -> tuple[Operand, ...]:
        """The destination, of which a mask leaves only some columns."""
        return (self.written,)

    @property
    def written(self) -> LocalTensor:
        """The destination, or those of its columns that a mask names."""
        return self.destination if self.mask is None else self.destination[:, self.mask[0] : self.mask[1]]

    def read(self, memory: Memory) -> NDArray[Any]:
        """Compute the result from the sources as they are now."""
        values = [memory.read(source) for source in self.inputs]
        if self.row_broadcast:
            columns = np.arange(self.destination.columns) % self.inputs[1].columns
            values[1] = values[1][:, columns]
        written = self.written
        if self.operation.accumulates:
            values.append(memory.read(written))
        if self.gathers:
            self._expect_offsets(values[1])
        arguments = Arguments(
            written.shape, written.dtype, self._formats[0], self.scalar, self.round_mode, self.comparison,
            self.dequantization,
        )  # fmt: skip
        with np.errstate(all="ignore"):
            return self.operation.compute(tuple(values), arguments)

    def _expect_offsets(self, offsets: NDArray[Any]) -> None:
        """Raise a NumericsError for an offset that the unit cannot read at, or outside of the source."""
        source = self.inputs[0]
        group = self.destination.elements // offsets.size
        size = group * source.dtype.bytes
        last = source.elements * source.dtype.bytes - size
        wrong = (offsets > last) | (offsets % size != 0)
        if not wrong.any():
            return
        index = int(np.flatnonzero(wrong.ravel())[0])
        message = (
            f"{self.name}: offset {index} of '{self.inputs[1].buffer.name}' is {int(offsets.ravel()[index])}; source "
            f"{shown(source)} is read at multiples of {size} B from 0 to {last}: write byte offsets into the source"
        )
        raise NumericsError(Diagnostic(message, self.where.file, self.where.line))

    def write(self, memory: Memory, result: NDArray[Any]) -> None:
        """Store the result."""
        memory.write(self.written, result)

    def operands(self) -> str:
        """Destination, sources, then scalar, modes and mask."""
        parts: list[object] = [self.destination, *self.inputs]
        parts += [] if self.scalar is None else [self.scalar]
        parts += [choice.value for choice in (self.round_mode, self.comparison) if choice is not None]
        parts += [] if self.dequantization is None else [self.dequantization]
        parts += [] if self.mask is None else [f"mask {self.mask[0]}:{self.mask[1]}"]
        parts += ["blocks"] if self.blocks else []
        return ", ".join(str(part) for part in parts)


def _blocks_per_repeat(chip: Chip) -> int:
    return chip.vector.repeat_bytes.value // chip.vector.block_bytes.value


def _whole_cycles(cycles: float) -> int:
    """Round up; the tables have one decimal, whose binary error must not become a cycle."""
    return math.ceil(round(cycles, 6))
