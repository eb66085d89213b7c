"""Splitting vector operations into hardware instructions.

- Operands without gaps are taken as runs of elements, up to 255 repeats of 256 B an instruction.
- Windows of wider tiles are worked on in chunks of as many columns as a repeat holds, one row a repeat.
- Rows that are blocks of a repeat, eight rows a repeat, up to 255 repeats an instruction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from operator import is_

from ascend_sim.config import Chip
from ascend_sim.isa.operands import LocalTensor
from ascend_sim.isa.vector import VectorInstruction
from ascend_sim.isa.vector_ops import Pattern
from ascend_sim.numerics import uint8


def split(whole: VectorInstruction, chip: Chip) -> Iterator[VectorInstruction]:
    """Yield the hardware instructions of *chip* that together do what *whole* says, in order of address."""
    if whole.operation.pattern is Pattern.MASK:
        yield whole  # a further instruction would replace the mask
        return
    if not whole.by_rows:
        yield from _split_runs(whole, chip)
        return
    lanes, body = whole.lanes(chip), whole.body
    rows_per_repeat = whole.rows_per_repeat(chip)
    runs = [operand for operand in (whole.destination, *whole.inputs) if len(operand.shape) == 1]
    sizes = [rows_per_repeat * run.dtype.bytes for run in runs]
    step = rows_per_repeat * _repeats_of_one(chip, whole.repeats(chip), sizes)
    for row in range(0, body.rows, step):
        rows = slice(row, min(row + step, body.rows))
        for column in range(0, body.columns, lanes):
            yield _window(whole, rows, slice(column, min(column + lanes, body.columns)))


def _window(whole: VectorInstruction, rows: slice, columns: slice) -> VectorInstruction:
    """*whole* on some rows, and on some columns of the operands that are as wide as its body."""

    def window(operand: LocalTensor) -> LocalTensor:
        if len(operand.shape) == 1 or operand.columns != whole.body.columns:
            return operand[rows]
        return operand[rows, columns]

    return _with_operands(whole, [window(operand) for operand in (whole.destination, *whole.inputs)])


def _split_runs(whole: VectorInstruction, chip: Chip) -> Iterator[VectorInstruction]:
    operands = (whole.destination, *whole.inputs)
    lanes, total = whole.lanes(chip), whole.body.elements
    if math.ceil(total / lanes) <= chip.vector.max_repeats.value:
        runs = [_run(operand, 0, operand.elements) for operand in operands]
        yield whole if all(map(is_, runs, operands)) else _with_operands(whole, runs)
        return
    # How many elements of the body belong to one element of each operand: 8 for a mask, a group for a reduction, 1/2
    # for half blocks; none for a source that is gathered from, of which every instruction gets all.
    bits = whole.operation.pattern in (Pattern.COMPARE, Pattern.SELECT)
    shares: list[Fraction | None] = [
        Fraction(8) if bits and operand.dtype == uint8 else Fraction(total, operand.elements) for operand in operands
    ]
    if whole.gathers:
        shares[1] = None
    pairs = list(zip(shares, operands, strict=True))
    sizes = [int(lanes / share) * operand.dtype.bytes for share, operand in pairs if share is not None]
    step = lanes * _repeats_of_one(chip, math.ceil(total / lanes), sizes)
    for begin in range(0, total, step):
        end = min(begin + step, total)
        runs = [
            _run(operand, 0, operand.elements)
            if share is None
            else _run(operand, math.floor(begin / share), math.ceil(end / share))
            for share, operand in pairs
        ]
        yield _with_operands(whole, runs)


def _with_operands(whole: VectorInstruction, operands: list[LocalTensor]) -> VectorInstruction:
    """*whole* on other *operands*, destination first."""
    return VectorInstruction(
        where=whole.where, name=whole.name, destination=operands[0], inputs=tuple(operands[1:]), scalar=whole.scalar,
        round_mode=whole.round_mode, comparison=whole.comparison, mask=whole.mask,
        dequantization=whole.dequantization, blocks=whole.blocks,
    )  # fmt: skip


def _run(tensor: LocalTensor, begin: int, end: int) -> LocalTensor:
    """Elements *begin* to *end* of a tensor without gaps, as a vector."""
    if len(tensor.shape) == 2:
        (row, column), pitch = tensor.origin, tensor.pitch
        tile, origin = (math.prod(tensor.tile),), (row * pitch + column,)
        tensor = replace(tensor, tile=tile, origin=origin, shape=(tensor.elements,))
    return tensor if (begin, end) == (0, tensor.elements) else tensor[begin:end]


def _repeats_of_one(chip: Chip, wanted: int, bytes_per_repeat: list[int]) -> int:
    """Repeats of one instruction, such that the next one begins on a block in every operand without gaps."""
    limit, block = chip.vector.max_repeats.value, chip.vector.block_bytes.value
    if wanted <= limit:
        return wanted
    multiple = math.lcm(*(block // math.gcd(block, size) for size in bytes_per_repeat))
    return limit // multiple * multiple
