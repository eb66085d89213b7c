"""What fused, converting and gathering vector instructions compute, against NumPy and Python's own arithmetic."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from vector_operands import ascend910b3, execute, instruction, tile

from ascend_sim.config import Chip
from ascend_sim.errors import NumericsError
from ascend_sim.isa.vector_compute import Dequantization
from ascend_sim.isa.vector_ops import VECTOR_OPS
from ascend_sim.numerics import DType, RoundMode, fp16, fp32, int4x2, int8, int16, int32, int64, uint8, uint32

PLUS_MINUS = [("add", operator.add), ("sub", operator.sub)]


@pytest.fixture
def chip() -> Chip:
    """The 910B3, on whose silicon most latencies were measured."""
    return ascend910b3()


def binary(
    name: str, source: DType, destination: DType, left: Any, right: Any, before: Any = None
) -> list[float | int]:
    """The result of an operation on two lists of numbers, which the chip accepts; *before* is in the destination."""
    values = [np.array(one, source.numpy) for one in (left, right)]
    inputs = [tile(f"x{i}", one.shape, source, 1024 * i) for i, one in enumerate(values)]
    vector = instruction(name, tile("y", values[0].shape, destination, 4096), *inputs)
    assert list(vector.check(ascend910b3())) == []
    old = None if before is None else np.array(before, destination.numpy)
    actual = execute(vector, *values, before=old)
    assert actual.dtype == destination.numpy
    return list(actual.tolist())


@pytest.mark.parametrize(("name", "combine"), PLUS_MINUS)
@pytest.mark.parametrize("dtype", [fp16, fp32, int16])
def test_relu_of_sums(name: str, combine: Callable[..., Any], dtype: DType) -> None:
    """A sum or difference below 0 becomes 0, any other stays."""
    left, right = [5, -5, 5, -5, 0, 100], [3, 3, -7, -7, 0, -100]

    expected = [max(combine(a, b), 0) for a, b in zip(left, right, strict=True)]

    assert binary(f"{name}_relu", dtype, dtype, left, right) == expected


@pytest.mark.parametrize("name", ["add_relu", "sub_relu", "fused_mul_add_relu"])
def test_relu_keeps_nan(name: str) -> None:
    """A NaN stays visible behind relu; infinity stays, minus infinity becomes 0."""
    before = [1.0] * 3 if name.startswith("fused") else None
    left, right = [math.nan, math.inf, -math.inf], [1.0, 1.0, 1.0]

    actual = binary(name, fp32, fp32, left, right, before)

    assert math.isnan(actual[0])
    assert actual[1:] == [math.inf, 0.0]


def test_int16_sums_wrap_before_relu() -> None:
    """32767 + 1 wraps to -32768, which relu makes 0."""
    assert binary("add_relu", int16, int16, [32767, 32766], [1, 1]) == [0, 32767]


@pytest.mark.parametrize(("name", "combine"), PLUS_MINUS)
def test_converting_sums_round_ties_to_even_and_saturate(name: str, combine: Callable[..., Any]) -> None:
    """fp16 to int8: halves go to the even number, negative sums become 0 before, large ones 127, a NaN 0."""
    left = [0.5, 1.5, 2.5, 126.5, 200.0, -3.5, math.nan, math.inf]

    actual = binary(f"{name}_relu_cast", fp16, int8, left, [0.0] * 8)

    assert actual == [0, 2, 2, 126, 127, 0, 0, 127]
    assert binary(f"{name}_relu_cast", fp16, int8, [10.0], [4.0]) == [combine(10, 4)]


@pytest.mark.parametrize(("name", "combine"), PLUS_MINUS)
def test_converting_int16_sums_saturate(name: str, combine: Callable[..., Any]) -> None:
    """int16 to int8 clips to 0..127 behind relu."""
    left, right = [100, 100, -100, 5, 127], [27, 28, -30, 6, 0]

    expected = [min(max(combine(a, b), 0), 127) for a, b in zip(left, right, strict=True)]

    assert binary(f"{name}_relu_cast", int16, int8, left, right) == expected


def test_converting_fp32_sums_round_once_to_fp32_and_once_to_fp16() -> None:
    """1 + 2^-11 is a tie of fp16 and goes to the even 1; 1 + 3 x 2^-11 goes to 1 + 2^-9; beyond 65504 is infinity."""
    left, right = [1.0, 1.0, 65504.0, -1.0, 1.0], [2.0**-11, 3 * 2.0**-11, 65504.0, 0.5, 2.0**-11 + 2.0**-22]

    actual = binary("add_relu_cast", fp32, fp16, left, right)

    assert actual == [1.0, 1 + 2.0**-9, math.inf, 0.0, 1 + 2.0**-10]


def test_sums_are_rounded_in_the_format_of_the_sources_first() -> None:
    """64 + 0.53125 is 64.5 in fp16 (steps of 1/16), which goes to the even 64; rounded only once it would be 65."""
    assert binary("add_relu_cast", fp16, int8, [64.0], [0.53125]) == [64]


@pytest.mark.parametrize(("destination", "low", "high"), [(int8, -128, 127), (uint8, 0, 255)])
def test_mul_cast(destination: DType, low: int, high: int) -> None:
    """An fp16 product is rounded to the nearest whole number, ties to even, and saturated; there is no relu."""
    left, right = [0.5, 1.5, -1.5, 20.0, -20.0, math.nan], [1.0, 1.0, 1.0, 20.0, 20.0, 1.0]

    expected = [min(max(value, low), high) for value in (0, 2, -2, 400, -400, 0)]

    assert binary("mul_cast", fp16, destination, left, right) == expected


@pytest.mark.parametrize("dtype", [fp16, fp32])
def test_fused_mul_add_multiplies_by_the_destination(dtype: DType) -> None:
    """dst = src0 x dst + src1, which is not mul_add_dst (src0 x src1 + dst); relu clips the negative ones."""
    left, right, before = [2, -3, 4, 0.5], [1, 1, -9, 0], [3, 5, 2, -8]

    assert binary("fused_mul_add", dtype, dtype, left, right, before) == [7, -14, -1, -4]
    assert binary("fused_mul_add_relu", dtype, dtype, left, right, before) == [7, 0, 0, 0]
    assert binary("mul_add_dst", dtype, dtype, left, right, before) == [5, 2, -34, -8]


def test_fused_mul_add_rounds_the_product() -> None:
    """(1 + 2^-10)^2 - (1 + 2^-9) is 2^-20 exactly, but 0 after the product was rounded to fp16."""
    x = 1 + 2.0**-10

    assert binary("fused_mul_add", fp16, fp16, [x], [-(1 + 2.0**-9)], [x]) == [0.0]


@pytest.mark.parametrize("name", ["fused_mul_add", "fused_mul_add_relu"])
def test_fused_mul_add_reads_its_destination(name: str) -> None:
    """The destination is a source, so that a barrier is placed before it."""
    x, z, y = (tile(one, (64,), fp32, 256 * i) for i, one in enumerate("xzy"))

    assert y in instruction(name, y, x, z).sources()


def test_row_broadcast_works_with_fused_operations(chip: Chip) -> None:
    """One block a row is added along the row, then relu."""
    x, y, block = tile("x", (4, 64), fp32), tile("y", (4, 64), fp32, 1024), tile("b", (4, 8), fp32, 2048)
    values = np.arange(-128, 128, dtype=np.float32).reshape(4, 64)
    row = np.array([[1.0], [-100], [0], [5]], np.float32)
    vector = instruction("add_relu", y, x, block)

    assert list(vector.check(chip)) == []
    expected = np.where(values + row > 0, values + row, 0)
    assert execute(vector, values, np.repeat(row, 8, axis=1)).tolist() == expected.tolist()


def cast(source: DType, destination: DType, values: Any, mode: RoundMode) -> Any:
    """The result of a cast instruction that the chip accepts."""
    count = values.size * source.numbers
    x, y = tile("x", values.shape, source, 4096), tile("y", (count // destination.numbers,), destination)
    vector = instruction("cast", y, x, round_mode=mode)
    assert list(vector.check(ascend910b3())) == []
    return execute(vector, values)


def test_cast_to_int4_rounds_saturates_and_packs() -> None:
    """Halves go to even, numbers beyond -8..7 to the nearest of these, NaN to 0; two numbers share a byte."""
    values = np.array([0.5, 1.5, -2.5, 7.5, 100, -100, math.nan, -math.inf], np.float16)
    numbers = [0, 2, -2, 7, 7, -8, 0, -8]

    expected = [(low & 15) | (high & 15) << 4 for low, high in zip(numbers[::2], numbers[1::2], strict=True)]

    assert cast(fp16, int4x2, values, RoundMode.CAST_RINT).tolist() == expected
    assert cast(fp16, int4x2, np.array([1.9, -1.9], np.float16), RoundMode.CAST_TRUNC).tolist() == [0xF1]


def test_cast_from_int4_is_exact() -> None:
    """All 16 numbers come out of their bytes, the lower half first."""
    packed = np.array([(low & 15) | ((low + 1) & 15) << 4 for low in range(-8, 8, 2)], np.uint8)

    assert cast(int4x2, fp16, packed, RoundMode.CAST_NONE).tolist() == list(range(-8, 8))


def test_cast_to_and_from_int64() -> None:
    """fp32 saturates at the ends of int64, NaN is 0; int64 is rounded to fp32 once: 2^62 + 2^38 + 1 is above a tie."""
    floats = np.array([2.5, -2.5, 2.0**62, 1e30, -1e30, math.nan, math.inf], np.float32)
    wholes = np.array([3, -(2**63), 2**62 + 2**38, 2**62 + 2**38 + 1], np.int64)

    ends = [2**63 - 1, -(2**63)]
    assert cast(fp32, int64, floats, RoundMode.CAST_RINT).tolist() == [2, -2, 2**62, *ends, 0, ends[0]]
    assert cast(int64, fp32, wholes, RoundMode.CAST_RINT).tolist() == [3, -(2.0**63), 2.0**62, 2.0**62 + 2.0**39]


def dequantized(name: str, values: Any, destination: DType, parameters: Dequantization, before: Any = None) -> Any:
    """The result of a CastDeq that the chip accepts."""
    source = int32 if name == "cast_deq_fp16" else int16
    count = values.size if destination == fp16 else 2 * values.size
    vector = instruction(
        name, tile("y", (count,), destination), tile("x", values.shape, source, 4096), dequantization=parameters
    )
    assert list(vector.check(ascend910b3())) == []
    return execute(vector, values, before=before)


def test_cast_deq_to_fp16_scales_by_an_fp16_number() -> None:
    """0.1 is 0.0999755859375 in fp16; 1000 of it, 99.9755859375, become 100; beyond 65504 is infinity."""
    values = np.array([0, 1, -2, 1000, 2**31 - 1, -(2**31), 16777217], np.int32)
    scale = float(np.float16(0.1))

    actual = dequantized("cast_deq_fp16", values, fp16, Dequantization((0.1,), (0,), 8))

    assert actual.tolist() == [0, scale, -2 * scale, 100.0, math.inf, -math.inf, math.inf]
    # fp16 is the only rounding of small products: 3 x 683 / 2048 is 1.00048828125, a tie that goes to 1.
    tie = dequantized("cast_deq_fp16", np.array([3], np.int32), fp16, Dequantization((683 / 2048,), (0,), 8))
    assert tie.tolist() == [1.0]


@pytest.mark.parametrize("upper", [False, True])
def test_cast_deq_to_int8_fills_halves_of_blocks(upper: bool) -> None:
    """16 numbers of a source block become half a block; the other half keeps what it held; ties go to even."""
    values = np.arange(-16, 16, dtype=np.int16)
    before = np.full(64, 99, np.int8)

    actual = dequantized("cast_deq", values, int8, Dequantization((0.5,), (3,), 16, upper), before).reshape(2, 2, 16)

    expected = [round(value / 2 + 3) for value in range(-16, 16)]  # Python rounds halves to even
    assert actual[:, int(upper)].ravel().tolist() == expected
    assert (actual[:, 1 - int(upper)] == 99).all()


def test_cast_deq_to_int8_saturates() -> None:
    """Numbers beyond -128..127 become the nearest of these."""
    values = np.array([32767, -32768, 254, 256, -257, 0, *[0] * 10], np.int16)

    actual = dequantized("cast_deq", values, int8, Dequantization((0.5,), (0,), 16), np.zeros(32, np.int8))

    assert actual[:6].tolist() == [127, -128, 127, 127, -128, 0]


def test_cast_deq_vector_has_a_scale_and_an_offset_for_each_number_of_a_block() -> None:
    """Number i of every block is multiplied by scale i and gets offset i."""
    values = np.arange(32, dtype=np.int16)
    scales, offsets = tuple(float(2**i) / 64 for i in range(16)), tuple(range(-8, 8))

    actual = dequantized("cast_deq_vector", values, int8, Dequantization(scales, offsets, 16), np.zeros(64, np.int8))

    exact = [round(value * scales[value % 16] + offsets[value % 16]) for value in range(32)]
    assert actual.reshape(2, 2, 16)[:, 0].ravel().tolist() == [min(max(one, -128), 127) for one in exact]
    assert not actual.reshape(2, 2, 16)[:, 1].any()


@pytest.mark.parametrize("dtype", [dtype for dtype, _ in VECTOR_OPS["gather"].formats])
def test_gather_reads_at_byte_offsets(dtype: DType, chip: Chip) -> None:
    """Element i is the one at offset i, in bytes; offsets may repeat, and the source need not be as long."""
    values = np.arange(20).astype(dtype.numpy)
    wanted = np.random.default_rng(0).integers(0, 20, 48)
    x, y, offsets = tile("x", (20,), dtype), tile("y", (48,), dtype, 1024), tile("o", (48,), uint32, 2048)
    vector = instruction("gather", y, x, offsets)

    actual = execute(vector, values, (wanted * dtype.bytes).astype(np.uint32))

    assert list(vector.check(chip)) == []
    assert actual.dtype == dtype.numpy
    assert actual.tolist() == wanted.tolist()


@pytest.mark.parametrize("dtype", [fp16, fp32])
def test_gatherb_reads_blocks(dtype: DType, chip: Chip) -> None:
    """Each offset fetches 32 B."""
    block = 32 // dtype.bytes
    values = np.arange(4 * block).astype(dtype.numpy)
    x, y, offsets = tile("x", (4 * block,), dtype), tile("y", (3 * block,), dtype, 1024), tile("o", (3,), uint32, 2048)
    vector = instruction("gatherb", y, x, offsets)

    actual = execute(vector, values, np.array([64, 0, 96], np.uint32))

    assert list(vector.check(chip)) == []
    assert actual.tolist() == [*range(2 * block, 3 * block), *range(block), *range(3 * block, 4 * block)]


@pytest.mark.parametrize(
    ("name", "shape", "offsets", "message"),
    [
        ("gather", (8,), [0, 4, 60, 64, *[0] * 4], "offset 3 of 'o' is 64; source 'x' [16] is read at multiples of 4"),
        ("gather", (8,), [0, 4, 6, *[0] * 5], "offset 2 of 'o' is 6; source 'x' [16] is read at multiples of 4 B"),
        ("gatherb", (16,), [32, 64], "offset 1 of 'o' is 64; source 'x' [16] is read at multiples of 32 B from 0 to"),
        ("gatherb", (16,), [0, 16], "offset 1 of 'o' is 16; source 'x' [16] is read at multiples of 32 B from 0 to 32"),
    ],
)
def test_offsets_outside_of_the_source_are_refused(
    name: str, shape: tuple[int, ...], offsets: list[int], message: str
) -> None:
    """What the unit would fetch from beside the source, or cannot address, stops the run at the line of the kernel."""
    inputs = tile("x", (16,), fp32), tile("o", (len(offsets),), uint32, 2048)
    vector = instruction(name, tile("y", shape, fp32, 1024), *inputs)

    with pytest.raises(NumericsError) as caught:
        execute(vector, np.zeros(16, np.float32), np.array(offsets, np.uint32))

    [diagnostic] = caught.value.diagnostics
    assert f"{name}: {message}" in diagnostic.message
    assert (diagnostic.file, diagnostic.line) == ("kernel.py", 7)
