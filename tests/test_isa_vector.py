"""What vector instructions compute, against NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from vector_operands import UnifiedBuffer, ascend910b3, execute, instruction, tile

from ascend_sim.config import Chip
from ascend_sim.isa.vector_compute import Comparison
from ascend_sim.isa.vector_ops import VECTOR_OPS
from ascend_sim.numerics import DType, RoundMode, bf16, fp16, fp32, int16, uint8


@pytest.fixture
def chip() -> Chip:
    """The 910B3, on whose silicon most latencies were measured."""
    return ascend910b3()


def numbers(dtype: DType, shape: tuple[int, ...], seed: int) -> Any:
    """Numbers between 0.5 and 4 in floats, small whole numbers of both signs in integers."""
    random = np.random.default_rng(seed)
    if dtype.is_float:
        return random.uniform(0.5, 4, shape).astype(dtype.numpy)
    return random.integers(0 if dtype.name.startswith("u") else -50, 50, shape).astype(dtype.numpy)


# What each elementwise operation means, written down a second time.
MEANING: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "max": lambda a, b: np.where(a > b, a, b),
    "min": lambda a, b: np.where(a < b, a, b),
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "not": lambda a: ~a,
    "adds": lambda a, s: a + s,
    "muls": lambda a, s: a * s,
    "maxs": lambda a, s: np.where(a > s, a, s),
    "mins": lambda a, s: np.where(a < s, a, s),
    "leaky_relu": lambda a, s: np.where(a > 0, a, a * s),
    "shift_left": lambda a, s: a << s,
    "shift_right": lambda a, s: a >> s,
    "exp": np.exp,
    "ln": np.log,
    "sqrt": np.sqrt,
    "rsqrt": lambda a: a.dtype.type(1) / np.sqrt(a),
    "reciprocal": lambda a: a.dtype.type(1) / a,
    "abs": lambda a: np.where(a < 0, -a, a),
    "relu": lambda a: np.where(a > 0, a, np.zeros_like(a)),
    "copy": lambda a: a,
}
ELEMENTWISE = [(name, dtype) for name in MEANING for dtype, _ in VECTOR_OPS[name].formats]


@pytest.mark.parametrize(("name", "dtype"), ELEMENTWISE, ids=lambda value: str(value))
def test_elementwise_meaning(name: str, dtype: DType, chip: Chip) -> None:
    """Each elementwise operation computes in the format of its operands what its name says."""
    operation, shape = VECTOR_OPS[name], (256 // dtype.bytes,)
    inputs = [tile(f"x{i}", shape, dtype, (i + 1) * 256) for i in range(operation.sources)]
    values = [numbers(dtype, shape, seed) for seed in range(operation.sources)]
    if dtype.is_float and name in ("abs", "relu", "leaky_relu"):
        values[0][::2] *= dtype.numpy.type(-1)
    vector = instruction(name, tile("y", shape, dtype), *inputs, **({"scalar": 3} if operation.scalar else {}))

    actual = execute(vector, *values)

    assert list(vector.check(chip)) == []
    arguments = [*values, dtype.numpy.type(3)] if operation.scalar else values
    expected = MEANING[name](*arguments)
    assert actual.dtype == expected.dtype == dtype.numpy
    np.testing.assert_array_equal(actual, expected)


def test_fp16_is_rounded_after_each_operation() -> None:
    """2048 + 1 is a tie in fp16 and stays 2048; a sum in fp32 would keep the 1."""
    x, y = tile("x", (16,), fp16), tile("y", (16,), fp16, 32)

    assert execute(instruction("adds", y, x), np.full(16, 2048, np.float16)).tolist() == [2048.0] * 16


def test_integers_wrap_around() -> None:
    """An int16 sum beyond the range wraps without a NumPy warning."""
    x, y = tile("x", (16,), int16), tile("y", (16,), int16, 32)

    assert execute(instruction("adds", y, x), np.full(16, 32767, np.int16)).tolist() == [-32768] * 16


def test_division_by_zero_and_nan_do_not_warn() -> None:
    """Infinities and NaN arise silently, as on the chip; max keeps a NaN so that unwritten memory shows."""
    a, b, c = (tile(name, (8,), fp32, 32 * i) for i, name in enumerate("abc"))

    assert np.isinf(execute(instruction("div", c, a, b), np.ones(8, np.float32), np.zeros(8, np.float32))).all()
    assert np.isnan(execute(instruction("max", c, a, b), np.full(8, np.nan, np.float32), np.ones(8, np.float32))).all()


@pytest.mark.parametrize(("source", "destination"), VECTOR_OPS["axpy"].formats)
def test_accumulating_operations_read_the_destination(source: DType, destination: DType, chip: Chip) -> None:
    """axpy adds scalar x source, mul_add_dst the product of two sources, in the format of the destination."""
    x, z = tile("x", (64,), source, 0), tile("z", (64,), source, 1024)
    y = tile("y", (64,), destination, 2048)
    a, b, before = numbers(source, (64,), 0), numbers(source, (64,), 1), numbers(destination, (64,), 2)
    wide = destination.numpy.type
    scaled, fused = instruction("axpy", y, x, scalar=0.5), instruction("mul_add_dst", y, x, z)

    np.testing.assert_array_equal(execute(scaled, a, before=before), a.astype(wide) * wide(0.5) + before)
    np.testing.assert_array_equal(execute(fused, a, b, before=before), a.astype(wide) * b.astype(wide) + before)
    assert y in scaled.sources()
    assert y in fused.sources()
    assert list(fused.check(chip)) == []


def test_sources_are_read_at_the_start_and_written_at_completion() -> None:
    """What another pipe writes into a source after the start does not change the result."""
    memory, x, y = UnifiedBuffer(), tile("x", (8,), fp32), tile("y", (8,), fp32, 32)
    memory.write(x, np.ones(8, np.float32))
    vector = instruction("adds", y, x)

    result = vector.read(memory)
    memory.write(x, np.zeros(8, np.float32))

    assert memory.read(y).tolist() == [0.0] * 8
    vector.write(memory, result)
    assert memory.read(y).tolist() == [2.0] * 8


def test_row_broadcast_applies_a_block_along_each_row(chip: Chip) -> None:
    """A second source of one block a row meets every block of the row, as after brcb."""
    x, y = tile("x", (4, 64), fp32), tile("y", (4, 64), fp32, 1024)
    scale = tile("scale", (4, 8), fp32, 2048)
    values, block = numbers(fp32, (4, 64), 0), numbers(fp32, (4, 8), 1)
    vector = instruction("mul", y, x, scale)

    assert list(vector.check(chip)) == []
    np.testing.assert_array_equal(execute(vector, values, block), values * np.tile(block, 8))
    assert vector.repeats(chip) == 4


def test_brcb_fills_blocks(chip: Chip) -> None:
    """Each element fills its 32 B block; eight elements are one repeat."""
    source, destination = tile("m", (16,), fp32), tile("b", (16, 8), fp32, 1024)
    values = np.arange(16, dtype=np.float32)
    vector = instruction("brcb", destination, source)

    assert list(vector.check(chip)) == []
    assert execute(vector, values).tolist() == [[value] * 8 for value in values]
    assert vector.repeats(chip) == 2


@pytest.mark.parametrize("dtype", [fp16, fp32])
@pytest.mark.parametrize(("name", "fold"), [("max", np.max), ("min", np.min), ("sum", np.sum)])
def test_reductions(name: str, fold: Callable[..., Any], dtype: DType, chip: Chip) -> None:
    """Whole reductions give one number a row, block reductions one for each 32 B."""
    lanes, block = 256 // dtype.bytes, 32 // dtype.bytes
    whole = np.random.default_rng(1).integers(-8, 8, (5, lanes)).astype(dtype.numpy)
    rows = instruction(f"whole_reduce_{name}", tile("y", (5,), dtype), tile("x", (5, lanes), dtype, 8192))
    blocks = instruction(
        f"block_reduce_{name}", tile("y", (5 * lanes // block,), dtype), tile("x", (5 * lanes,), dtype, 8192)
    )

    assert list(rows.check(chip)) == list(blocks.check(chip)) == []
    assert execute(rows, whole).tolist() == fold(whole, axis=1).tolist()
    assert execute(blocks, whole.ravel()).tolist() == fold(whole.reshape(-1, block), axis=1).tolist()


def test_reduce_of_a_narrow_row_ignores_the_other_lanes() -> None:
    """A row of five columns is reduced as five numbers: 1 + 2 + 3 + 4 + 5."""
    source = tile("x", (2, 8), fp32, 64)[:, 0:5]
    vector = instruction("whole_reduce_sum", tile("y", (2,), fp32), source)

    assert execute(vector, np.tile(np.arange(1, 6, dtype=np.float32), (2, 1))).tolist() == [15.0, 15.0]


def test_sums_are_a_tree_of_neighbours() -> None:
    """(1e8 + 1) + (-1e8 + 1) is 0 in fp32 as both ones are lost; summing from the left would give 1."""
    source = tile("x", (1, 4), fp32, 64)
    vector = instruction("whole_reduce_sum", tile("y", (1,), fp32), source)

    assert execute(vector, np.array([[1e8, 1, -1e8, 1]], np.float32)).tolist() == [0.0]


def test_pair_reduce_sum_adds_neighbours(chip: Chip) -> None:
    """Elements 0 and 1, 2 and 3 and so on are added."""
    vector = instruction("pair_reduce_sum", tile("y", (32,), fp32), tile("x", (64,), fp32, 1024))
    values = np.arange(64, dtype=np.float32)

    assert list(vector.check(chip)) == []
    assert execute(vector, values).tolist() == (values[::2] + values[1::2]).tolist()


def test_the_mask_register_holds_the_last_repeat(chip: Chip) -> None:
    """Of three repeats of 64 numbers the bits of the last remain, lowest first."""
    a, b = (np.random.default_rng(seed).integers(0, 3, 192).astype(np.float32) for seed in (0, 1))
    x, z = (tile(name, (192,), fp32, 1024 * i) for i, name in enumerate("xz"))
    vector = instruction("compare_mask", tile("mask", (8,), uint8, 4096), x, z, comparison=Comparison.LT)

    assert list(vector.check(chip)) == []
    assert execute(vector, a, b).tolist() == np.packbits(a[128:] < b[128:], bitorder="little").tolist()


@pytest.mark.parametrize("comparison", list(Comparison))
def test_compare_and_select_agree_with_numpy(comparison: Comparison, chip: Chip) -> None:
    """compare writes bits, lowest first, and select reads them; the scalar forms do the same."""
    oracle = {"LT": np.less, "GT": np.greater, "EQ": np.equal, "LE": np.less_equal, "GE": np.greater_equal}
    oracle["NE"] = np.not_equal
    a, b = (np.random.default_rng(seed).integers(0, 3, 100).astype(np.float32) for seed in (0, 1))
    x, z, y = (tile(name, (100,), fp32, 512 * i) for i, name in enumerate("xzy"))
    mask = tile("mask", (13,), uint8, 2048)
    flags, flags_1 = oracle[comparison.value](a, b), oracle[comparison.value](a, 1)
    tensor = instruction("compare", mask, x, z, comparison=comparison)
    scalar = instruction("compare_scalar", mask, x, comparison=comparison)
    chosen = instruction("select", y, mask, x, z)
    chosen_1 = instruction("select_scalar", y, mask, x, scalar=-7)

    bits = execute(tensor, a, b)

    assert all(list(vector.check(chip)) == [] for vector in (tensor, scalar, chosen, chosen_1))
    assert bits.tolist() == np.packbits(flags, bitorder="little").tolist()
    assert execute(scalar, a).tolist() == np.packbits(flags_1, bitorder="little").tolist()
    assert execute(chosen, bits, a, b).tolist() == np.where(flags, a, b).tolist()
    assert execute(chosen_1, bits, a).tolist() == np.where(flags, a, -7).tolist()


def test_duplicate_fills_the_lanes_of_its_mask(chip: Chip) -> None:
    """Only the columns of the mask are written, and only they count as destination."""
    destination = tile("y", (3, 64), fp32)
    vector = instruction("duplicate", destination, scalar=-math.inf, mask=(41, 64))

    actual = execute(vector, before=np.ones((3, 64), np.float32))

    assert list(vector.check(chip)) == []
    assert actual[:, :41].tolist() == [[1.0] * 41] * 3
    assert np.isneginf(actual[:, 41:]).all()
    assert vector.destinations() == (destination[:, 41:64],)


def test_cast_uses_its_round_mode(chip: Chip) -> None:
    """A cast instruction rounds as its mode says: 1 + 2^-8 is a tie of bf16."""
    source, destination = tile("x", (64,), fp32, 1024), tile("y", (64,), bf16)
    values = np.full(64, 1 + 2.0**-8, np.float32)
    even = instruction("cast", destination, source, round_mode=RoundMode.CAST_RINT)
    away = instruction("cast", destination, source, round_mode=RoundMode.CAST_ROUND)

    assert list(even.check(chip)) == []
    assert execute(even, values)[0] == 1.0
    assert execute(away, values)[0] == 1.0 + 2.0**-7
