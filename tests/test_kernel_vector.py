"""How the vector functions split their tensors into hardware instructions, and what they refuse."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from vector_operands import UnifiedBuffer, ascend910b3, tile

from ascend_sim.errors import KernelError
from ascend_sim.isa.operands import GlobalTensor, LocalTensor
from ascend_sim.isa.vector import VectorInstruction
from ascend_sim.isa.vector_compute import Dequantization
from ascend_sim.isa.vector_ops import VECTOR_OPS
from ascend_sim.isa.words import Space
from ascend_sim.kernel import vector
from ascend_sim.kernel.trace import Recordings
from ascend_sim.numerics import RoundMode, bf16, fp16, fp32, int4x2, int8, int16, int32, uint8, uint32

CHIP = ascend910b3()


class Recording(list[VectorInstruction]):
    """The instructions emitted, in order; each must be legal."""

    def emit(self, instruction: VectorInstruction) -> None:
        """Keep an instruction."""
        assert list(instruction.check(CHIP)) == []
        self.append(instruction)

    @property
    def repeats(self) -> list[int]:
        """Repeats of each instruction."""
        return [instruction.repeats(CHIP) for instruction in self]

    def run(self, **values: Any) -> UnifiedBuffer:
        """Execute everything, the tensors called by their buffer's name holding *values* first."""
        memory = UnifiedBuffer()
        for instruction in self:
            for operand in (*instruction.sources(), instruction.destination):
                if operand.buffer.name in values:
                    memory.write(whole(operand), values.pop(operand.buffer.name))
        for instruction in self:
            instruction.write(memory, instruction.read(memory))
        return memory


def whole(window: LocalTensor) -> LocalTensor:
    """All elements of the tile that *window* shows, as a vector."""
    count = math.prod(window.tile)
    return LocalTensor(window.buffer, window.dtype, window.order, (count,), (0,), (count,), window.start)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recording:
    """Everything that vector functions emit during the test."""
    recording = Recording()
    monkeypatch.setattr(vector, "emit", recording.emit)
    monkeypatch.setattr(vector, "current", lambda: SimpleNamespace(chip=CHIP, recordings=Recordings()))
    return recording


def test_every_operation_has_a_function() -> None:
    """The functions are the table of operations, with Python's keywords escaped; two have several forms."""
    names = {name.rstrip("_") for name in vector.__all__} - {"Comparison"}

    assert names == set(VECTOR_OPS) - {"select_scalar", "cast_deq_fp16", "cast_deq_vector"}


def test_tensors_without_gaps_are_runs(recorded: Recording) -> None:
    """16 x 512 fp32 are 8192 elements, 128 repeats of 64, one instruction."""
    vector.exp(tile("y", (16, 512), fp32, 65536), tile("x", (16, 512), fp32))

    assert recorded.repeats == [128]
    assert recorded[0].destination.shape == (8192,)


def test_runs_are_split_at_255_repeats(recorded: Recording) -> None:
    """300 repeats are 255 and 45; the second instruction begins 255 x 256 B further."""
    vector.exp(tile("y", (300, 64), fp32, 131072), tile("x", (300, 64), fp32))

    assert recorded.repeats == [255, 45]
    assert recorded[1].destination.address - recorded[0].destination.address == 255 * 256


def test_a_rest_stays_in_the_last_instruction(recorded: Recording) -> None:
    """255 x 64 + 10 elements are 255 repeats, 3 + 254 x 2 cycles of vexp, and a masked one of 3."""
    vector.exp(tile("y", (16330,), fp32, 131072), tile("x", (16330,), fp32))

    assert recorded.repeats == [255, 1]
    assert [instruction.timing(CHIP).occupancy for instruction in recorded] == [3 + 254 * 2, 3]  # type: ignore


def test_windows_are_worked_on_in_chunks_of_columns(recorded: Recording) -> None:
    """100 columns of a wider tile are 64 and 36, with a repeat for each of the 20 rows."""
    x, y = tile("x", (20, 128), fp32), tile("y", (20, 256), fp32, 65536)

    vector.exp(y[:, 8:108], x[:, 0:100])

    assert recorded.repeats == [20, 20]
    assert [instruction.destination.origin for instruction in recorded] == [(0, 8), (0, 72)]
    assert [instruction.destination.shape for instruction in recorded] == [(20, 64), (20, 36)]


def test_windows_of_many_rows_are_split_at_255(recorded: Recording) -> None:
    """300 rows of two chunks are 2 x (255 + 45) repeats."""
    vector.exp(tile("y", (300, 96), fp32, 131072)[:, 0:80], tile("x", (300, 96), fp32)[:, 0:80])

    assert recorded.repeats == [255, 255, 45, 45]


def test_the_widest_operand_sets_the_lanes(recorded: Recording) -> None:
    """A cast of 4096 numbers fp32 -> bf16 is 64 repeats of 64, fp16 -> fp16 arithmetic 32 of 128."""
    vector.cast(tile("y", (4096,), bf16, 65536), tile("x", (4096,), fp32), RoundMode.CAST_RINT)
    vector.adds(tile("y", (4096,), fp16, 65536), tile("x", (4096,), fp16), 1)

    assert recorded.repeats == [64, 32]


def test_narrow_casts_of_windows_chunk_both_sides_alike(recorded: Recording) -> None:
    """96 columns fp32 -> bf16 are chunks of 64 and 32 in either tile."""
    x, y = tile("x", (4, 128), fp32), tile("y", (4, 128), bf16, 65536)

    vector.cast(y[:, 0:96], x[:, 0:96], RoundMode.CAST_RINT)

    assert [instruction.inputs[0].shape for instruction in recorded] == [(4, 64), (4, 32)]
    assert [instruction.destination.shape for instruction in recorded] == [(4, 64), (4, 32)]


def test_row_broadcast_goes_with_every_chunk(recorded: Recording) -> None:
    """16 x 512 times one block a row: 8 chunks of 16 repeats, each with the same blocks."""
    x, y = tile("x", (16, 512), fp32), tile("y", (16, 512), fp32, 65536)
    block = tile("b", (16, 8), fp32, 131072)
    values = np.arange(16 * 512, dtype=np.float32)
    factors = np.repeat(np.arange(16, dtype=np.float32), 8)

    vector.mul(y, x, block)

    assert recorded.repeats == [16] * 8
    assert {instruction.inputs[1] for instruction in recorded} == {block}
    actual = recorded.run(x=values, b=factors).read(y)
    np.testing.assert_array_equal(actual, values.reshape(16, 512) * np.arange(16, dtype=np.float32)[:, np.newaxis])


@pytest.mark.parametrize(
    ("dtype", "first", "rest"), [(fp32, 248, 300 - 248), (fp16, 240, 300 - 240)], ids=["fp32", "fp16"]
)
def test_row_results_stay_on_blocks(recorded: Recording, dtype: Any, first: int, rest: int) -> None:
    """300 row maxima: at most 255 repeats whose results fill whole blocks, 248 = 31 x 8 fp32 or 240 = 15 x 16 fp16."""
    columns = 256 // dtype.bytes
    values = np.random.default_rng(0).integers(-99, 99, (300, columns)).astype(dtype.numpy)

    vector.whole_reduce_max(tile("m", (300,), dtype, 131072), tile("x", (300, columns), dtype))

    assert recorded.repeats == [first, rest]
    memory = recorded.run(x=values.ravel())
    assert memory.read(tile("m", (300,), dtype, 131072)).tolist() == values.max(axis=1).tolist()


def test_masks_stay_on_blocks(recorded: Recording) -> None:
    """A repeat of 64 fp32 makes 8 B of mask, so instructions hold 252 = 63 x 4 repeats; select reads them back."""
    count = 300 * 64 - 7
    a = np.random.default_rng(0).integers(0, 5, count).astype(np.float32)
    x, y, mask = tile("x", (count,), fp32), tile("y", (count,), fp32, 77056), tile("m", (2400,), uint8, 153920)

    vector.compare_scalar(mask, x, 2, "GE")
    vector.select(y, mask, x, -1.0)

    assert recorded.repeats == [252, 48, 252, 48]
    assert recorded.run(x=a).read(y).tolist() == np.where(a >= 2, a, -1).tolist()


@pytest.mark.parametrize(("dtype", "expected"), [(fp32, [255, 1]), (fp16, [254, 2])], ids=["fp32", "fp16"])
def test_brcb_takes_eight_rows_a_repeat(recorded: Recording, dtype: Any, expected: list[int]) -> None:
    """2048 rows are 256 repeats; 8 fp16 sources are half a block, so instructions then hold an even number."""
    block = 32 // dtype.bytes
    source, destination = tile("m", (2048,), dtype), tile("b", (2048, block), dtype, 65536)
    values = (np.arange(2048) % 100).astype(dtype.numpy)

    vector.brcb(destination, source)

    assert recorded.repeats == expected
    assert recorded.run(m=values).read(destination).tolist() == [[value] * block for value in values.tolist()]


def test_block_and_pair_reductions_split(recorded: Recording) -> None:
    """Eight fp16 maxima a repeat are half a block: 254 + 46 repeats; 64 pair sums are 4 blocks: 255 + 45."""
    values = np.random.default_rng(0).integers(-9, 9, 300 * 128).astype(np.float16)
    x = tile("x", (300, 128), fp16)
    maxima, sums = tile("m", (300, 8), fp16, 131072), tile("s", (300, 64), fp16, 163840)

    vector.block_reduce_max(maxima, x)
    vector.pair_reduce_sum(sums, x)

    assert recorded.repeats == [254, 46, 255, 45]
    memory = recorded.run(x=values)
    assert memory.read(maxima).ravel().tolist() == values.reshape(-1, 16).max(axis=1).tolist()
    assert memory.read(sums).ravel().tolist() == values.reshape(-1, 2).sum(axis=1).tolist()


def test_duplicate_with_a_mask_fills_a_tail(recorded: Recording) -> None:
    """Columns 41 to 63 of each row begin inside a block, which only a mask can reach."""
    tail = tile("x", (300, 128), fp32)[:, 64:128]

    vector.duplicate(tail, -math.inf, mask=(41, 64))

    assert recorded.repeats == [255, 45]
    actual = recorded.run(x=np.zeros(300 * 128, np.float32)).read(tile("x", (300, 128), fp32))
    assert np.isneginf(actual[:, 105:]).all()
    assert not actual[:, :105].any()


def test_row_major_windows_of_whole_rows_are_runs(recorded: Recording) -> None:
    """Rows 2 to 6 of a tile have no gaps: one run that begins at row 2."""
    x = tile("x", (8, 48), fp32)
    values = np.arange(8 * 48, dtype=np.float32)

    vector.muls(x[2:6], x[2:6], 2.0)

    assert recorded.repeats == [3]
    expected = values.reshape(8, 48).copy()
    expected[2:6] *= 2
    assert recorded.run(x=values).read(x).tolist() == expected.tolist()


def test_part_of_a_single_row_is_a_run(recorded: Recording) -> None:
    """64 columns of one row have no gaps: one full repeat that begins inside the row."""
    row = tile("x", (4, 128), fp32)[2:3, 8:72]

    vector.exp(row, row)

    assert recorded.repeats == [1]
    assert recorded[0].destination.address == row.address == (2 * 128 + 8) * 4


def test_numpy_scalars_are_taken(recorded: Recording) -> None:
    """A scalar computed with NumPy is a number like any other."""
    vector.adds(tile("y", (64,), fp32, 256), tile("x", (64,), fp32), np.float32(0.5))
    vector.adds(tile("y", (64,), int32, 256), tile("x", (64,), int32), np.int64(5))

    assert [instruction.scalar for instruction in recorded] == [0.5, 5]


def test_int4_casts_split(recorded: Recording) -> None:
    """128 numbers a repeat are 64 B of int4x2: 300 repeats are 255 and 45, and come back unchanged."""
    values = np.random.default_rng(0).integers(-8, 8, 300 * 128).astype(np.float16)
    x, y = (tile(name, (300, 128), fp16, 98304 * i) for i, name in enumerate("xy"))
    packed = tile("p", (300, 64), int4x2, 77824)

    vector.cast(packed, x, RoundMode.CAST_RINT)
    vector.cast(y, packed, RoundMode.CAST_NONE)

    assert recorded.repeats == [255, 45, 255, 45]
    assert recorded.run(x=values).read(y).ravel().tolist() == values.tolist()


def test_cast_deq_chooses_its_form(recorded: Recording) -> None:
    """One scale, 16 of them and an fp16 destination are three instructions of the vendor; numbers may be NumPy's."""
    x, y = tile("x", (16,), int16), tile("y", (32,), int8, 1024)

    vector.cast_deq(y, x, np.float32(0.5), 1)
    vector.cast_deq(y, x, np.arange(16, dtype=np.float32), upper=True)
    vector.cast_deq(tile("h", (64,), fp16, 2048), tile("w", (64,), int32, 4096), 2)

    assert [one.operation.name for one in recorded] == ["cast_deq", "cast_deq_vector", "cast_deq_fp16"]
    assert [one.dequantization for one in recorded] == [
        Dequantization((0.5,), (1,), 16),
        Dequantization(tuple(float(one) for one in range(16)), (0,) * 16, 16, upper=True),
        Dequantization((2,), (0,), 8),
    ]


def test_cast_deq_splits_at_half_blocks(recorded: Recording) -> None:
    """300 x 128 int16 become 300 x 256 int8, halves of blocks that two calls fill: 255 and 45 repeats each."""
    values = np.random.default_rng(0).integers(-100, 100, 300 * 128).astype(np.int16)
    x, y = tile("x", (300, 128), int16), tile("y", (300, 256), int8, 131072)

    vector.cast_deq(y, x, 1)
    vector.cast_deq(y, x, 1, upper=True)

    assert recorded.repeats == [255, 45, 255, 45]
    actual = recorded.run(x=values).read(y).reshape(-1, 2, 16)
    assert actual[:, 0].ravel().tolist() == actual[:, 1].ravel().tolist() == values.tolist()


def test_gather_splits_what_is_written_but_not_the_source(recorded: Recording) -> None:
    """Every instruction reads the whole source; 300 repeats of offsets, an element each, are 255 and 45."""
    count = 300 * 64
    values = np.arange(1000, dtype=np.float32)
    wanted = np.random.default_rng(0).integers(0, 1000, count)
    x, y, offsets = tile("x", (1000,), fp32), tile("y", (300, 64), fp32, 8192), tile("o", (300, 64), uint32, 90112)

    vector.gather(y, x, offsets)

    assert recorded.repeats == [255, 45]
    assert {one.inputs[0] for one in recorded} == {x}
    memory = recorded.run(x=values, o=(wanted * 4).astype(np.uint32))
    assert memory.read(y).ravel().tolist() == wanted.tolist()


def test_gatherb_splits_at_eight_offsets_a_repeat(recorded: Recording) -> None:
    """2400 blocks of 32 B are 300 repeats; the second instruction has the offsets from 255 x 8 on."""
    values, wanted = np.arange(800, dtype=np.float32), np.random.default_rng(0).integers(0, 100, 2400)
    x, y, offsets = tile("x", (800,), fp32), tile("y", (19200,), fp32, 8192), tile("o", (2400,), uint32, 90112)

    vector.gatherb(y, x, offsets)

    assert recorded.repeats == [255, 45]
    assert recorded[1].inputs[1].origin == (255 * 8,)
    memory = recorded.run(x=values, o=(wanted * 32).astype(np.uint32))
    assert memory.read(y).tolist() == (wanted[:, np.newaxis] * 8 + np.arange(8)).ravel().tolist()


X = tile("x", (16, 64), fp32)
REFUSED = {
    "shape": (lambda: vector.add(X, X, X[:, 0:32]), "add: 'x' [16, 32] must have the shape of 'x' [16, 64]"),
    "number for a tensor": (lambda: vector.add(X, X, 1.0), "add: operand 1.0 is not a tensor in UB; lay a buffer out"),
    "tensor for a number": (lambda: vector.adds(X, X, X), "adds: scalar 'x' is not a number; write an int or a float"),
    "buffer": (lambda: vector.exp(X, X.buffer), "exp: operand 'x' is not a tensor in UB; lay a buffer out with tile("),
    "GM": (
        lambda: vector.exp(X, GlobalTensor("g", fp32, (16, 64), 64, 0)),
        "operand 'g' is not a tensor in UB; lay a buffer out with tile(shape, dtype), fetch what is in GM",
    ),
    "L1": (lambda: vector.exp(X, tile("l", (16, 64), fp32, space=Space.L1)), "exp: source 'l' is in L1; it must be"),
    "comparison": (
        lambda: vector.compare(tile("m", (128,), uint8), X, X, "<"),
        "compare: comparison '<' does not exist; write one of LT, GT, EQ, LE, GE, NE",
    ),
    "round mode": (
        lambda: vector.cast(tile("y", (16, 64), bf16, 8192), X, "CAST_RINT"),
        "cast: round mode 'CAST_RINT' is not a RoundMode; write RoundMode.CAST_RINT",
    ),
    "bf16": (
        lambda: vector.exp(tile("y", (64,), bf16, 8192), tile("z", (64,), bf16)),
        "exp: there is no bf16 form, only fp16, fp32; cast to fp32 first",
    ),
    "cast_deq formats": (
        lambda: vector.cast_deq(tile("y", (128,), int8, 8192), tile("z", (64,), int32), 1),
        "cast_deq: there is no int32 form, only int16; cast first",
    ),
    "cast_deq scales": (
        lambda: vector.cast_deq(tile("y", (128,), int8, 8192), tile("z", (64,), int16), [1, 2]),
        "cast_deq_vector: 2 scales and 2 offsets are given; write one of each, or 16 of each, one for each number",
    ),
    "cast_deq of a number": (
        lambda: vector.cast_deq(tile("y", (128,), int8, 8192), 1, 1),
        "cast_deq: operand 1 is not a tensor in UB",
    ),
    "wide reduction": (
        lambda: vector.whole_reduce_sum(tile("m", (2,), fp32), tile("z", (2, 512), fp32, 8192)),
        "a repeat reduces at most 64; fold the columns with max, min or add to 64 first",
    ),
}


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=list(REFUSED))
def test_refusals_name_the_line(call: Any, message: str) -> None:
    """Operands that do not fit are refused before anything is emitted, at the user's file and line."""
    with pytest.raises(KernelError) as caught:
        call()

    diagnostic = caught.value.diagnostics[0]
    assert message in diagnostic.message
    assert diagnostic.file == __file__
    assert diagnostic.line is not None


@pytest.mark.usefixtures("recorded")
def test_all_faults_of_a_call_are_reported_together() -> None:
    """A wrong space and a wrong format of one call make two diagnostics."""
    with pytest.raises(KernelError) as caught:
        vector.exp(tile("y", (64,), bf16, 8192), tile("z", (64,), bf16, space=Space.L1))

    assert len(caught.value.diagnostics) == 2


def test_outside_of_a_kernel() -> None:
    """A vector function called while no kernel is traced says so."""
    with pytest.raises(KernelError, match="only while a kernel is traced"):
        vector.exp(X, X)
