"""What vector instructions cost, against the published tables."""

from __future__ import annotations

import csv
import math
from functools import cache
from pathlib import Path

import pytest
from vector_operands import ascend910b3, instruction, tile

from ascend_sim.config import Chip
from ascend_sim.isa.timing import Run
from ascend_sim.isa.vector import VectorInstruction
from ascend_sim.isa.vector_ops import VECTOR_OPS, Pattern, VectorOp
from ascend_sim.numerics import DType, fp16, fp32, int4x2, int8, int16, int64, uint8, uint32

CSV = Path(__file__).parent / "data" / "vector_throughput.csv"


@pytest.fixture
def chip() -> Chip:
    """The 910B3, on whose silicon most latencies were measured."""
    return ascend910b3()


@cache
def published() -> dict[tuple[str, str], tuple[int, float]]:
    """The table of back-to-back cycles: by instruction and data types, cost of one and of each further repeat."""
    table = {}
    with CSV.open() as lines:
        for row in csv.DictReader(lines):
            for dtypes in row["dtypes"].split(";"):
                cost = int(row["cycles_one_repeat"]), float(row["cycles_per_further_repeat"])
                table[row["op"], dtypes] = cost
    return table


def table_cost(operation: VectorOp, source: DType, destination: DType) -> tuple[int, float]:
    """The published row of an operation; moves of bits take the row of the integer of the same width."""
    names = [source.number]
    if operation.by_width:
        names += [f"uint{source.bytes * 8}", f"int{source.bytes * 8}"]
    for name in names:
        bits = operation.pattern in (Pattern.COMPARE, Pattern.MASK)
        result = name if source == destination or bits else destination.number
        for sources in (1, 2):
            found = published().get((operation.cost, "_".join([name] * sources + [result])))
            if found:
                return found
    raise KeyError(operation.name)


NOT_IN_TABLE = {
    # The chip file follows the slower of two conflicting measurements (7 cycles a row of TROWSUM).
    ("whole_reduce_sum", "fp32"): (7, 7.0),
    # No published row: the maximum of the same kind, and the conversion to an integer of the same width.
    ("block_reduce_min", "fp32"): (3, 1.0),
    ("cast", "fp32"): (3, 1.0),
}
FORMS = [(operation.name, *formats) for operation in VECTOR_OPS.values() for formats in operation.formats]


def of_repeats(name: str, source: DType, destination: DType, repeats: int) -> VectorInstruction:
    """An instruction of whole repeats."""
    operation = VECTOR_OPS[name]
    lanes = 256 // max(source.bytes, destination.bytes)
    count = repeats * lanes
    shapes = {
        Pattern.COMPARE: ((count // 8,), (count,)),
        Pattern.MASK: ((lanes // 8,), (count,)),
        Pattern.ROW_BLOCKS: ((repeats * 8, 32 // source.bytes), (repeats * 8,)),
        Pattern.WHOLE: ((repeats,), (repeats, lanes)),
        Pattern.BLOCK: ((count * source.bytes // 32,), (count,)),
        Pattern.PAIR: ((count // 2,), (count,)),
        Pattern.HALF_BLOCKS: ((2 * count,), (count,)),
    }
    packed = ((count // destination.numbers,), (count // source.numbers,))
    result, shape = shapes.get(operation.pattern, packed)
    inputs = [tile(f"x{i}", shape, source, 65536 * i) for i in range(operation.sources)]
    if operation.pattern is Pattern.GATHER:
        # Offsets of fp16 elements are twice as wide; those of 255 repeats take 130560 B.
        inputs = [tile("x0", (64,), source), tile("x1", shape, uint32, 1024)]
    if operation.pattern is Pattern.GATHER_BLOCKS:
        inputs[1] = tile("x1", (8 * repeats,), uint32, 65536)
    if operation.pattern is Pattern.SELECT:
        inputs[0] = tile("mask", (count // 8,), uint8)
    return instruction(name, tile("y", result, destination, 65536 * 3), *inputs)


@pytest.mark.parametrize(("name", "source", "destination"), FORMS, ids=lambda value: str(value))
def test_occupancy_follows_the_published_table(name: str, source: DType, destination: DType, chip: Chip) -> None:
    """r repeats hold the pipe for first + (r - 1) further cycles of the vendor's table, rounded up."""
    first, further = NOT_IN_TABLE.get((name, source.name) if source == destination else ("", "")) or table_cost(
        VECTOR_OPS[name], source, destination
    )

    for repeats in (1, 2, 16, 255):
        vector = of_repeats(name, source, destination, repeats)
        timing = vector.timing(chip)

        assert list(vector.check(chip)) == []
        assert vector.repeats(chip) == repeats
        assert timing.occupancy == timing.busy == math.ceil(round(first + further * (repeats - 1), 3))
        assert timing.latency >= timing.occupancy


def test_latency_is_that_of_the_isolated_measurement(chip: Chip) -> None:
    """Alone, vexp fp32 takes 31 + 2 r cycles and vmuls 26 + r (measured on a 910B3, r = 16); a chain sees 7 less."""
    assert of_repeats("exp", fp32, fp32, 16).timing(chip) == Run(33, 31 - 7 + 2 * 16, 33)
    assert of_repeats("muls", fp32, fp32, 16).timing(chip) == Run(19, 26 - 7 + 16, 19)


def test_a_chain_of_dependent_instructions(chip: Chip) -> None:
    """One repeat of vmax or vadd that waits for the one before takes 17.5 and 19.5 cycles on silicon, 19 here."""
    assert of_repeats("max", fp32, fp32, 1).timing(chip).latency == pytest.approx(17.5, abs=1.5)
    assert of_repeats("add", fp32, fp32, 1).timing(chip).latency == pytest.approx(19.5, abs=0.5)


def test_fractional_cycles_round_up_without_binary_noise(chip: Chip) -> None:
    """vcmpv fp32: 7 + 2.2 x 25 = 62 cycles exactly (62.00000000000001 in binary), 7 + 2.2 x 26 = 64.2 becomes 65."""
    assert of_repeats("compare", fp32, uint8, 26).timing(chip).occupancy == 62
    assert of_repeats("compare", fp32, uint8, 27).timing(chip).occupancy == 65


def test_counter_mode_costs_extra_for_a_run_with_a_rest(chip: Chip) -> None:
    """100 fp32 elements are two repeats of vadd (3 + 2) and 16 cycles of counter mode; a narrow window is free."""
    a, b, c = (tile(name, (2, 128), fp32, 1024 * i) for i, name in enumerate("abc"))
    x, y, z = (tile(name, (100,), fp32, 512 * i) for i, name in enumerate("xyz"))

    assert instruction("add", z, x, y).timing(chip) == Run(3 + 2 + 16, 24 - 7 + 2 * 2 + 16, 3 + 2 + 16)
    assert instruction("add", a[:, 0:40], b[:, 0:40], c[:, 0:40]).timing(chip) == Run(3 + 2, 24 - 7 + 2 * 2, 3 + 2)


@pytest.mark.parametrize(
    ("name", "source", "destination", "lanes"),
    [
        ("cast", fp32, int64, 32),
        ("cast", int64, fp32, 32),
        ("cast", fp16, int4x2, 128),
        ("cast", int4x2, fp16, 128),
        ("cast_deq", int16, int8, 128),
        ("gather", fp16, fp16, 128),
        ("gatherb", fp32, fp32, 64),
    ],
)
def test_numbers_of_a_repeat(name: str, source: DType, destination: DType, lanes: int, chip: Chip) -> None:
    """A repeat is 256 B of the widest format that holds values: packed numbers and offsets do not change it."""
    vector = of_repeats(name, source, destination, 3)

    assert vector.lanes(chip) == lanes
    assert vector.repeats(chip) == 3
