"""What the vector unit refuses, by message."""

from __future__ import annotations

from dataclasses import replace

import pytest
from vector_operands import HERE, ascend910b3, instruction, tile

from ascend_sim.config import Chip
from ascend_sim.isa.operands import Buffer
from ascend_sim.isa.vector import VectorInstruction
from ascend_sim.isa.vector_compute import Dequantization
from ascend_sim.isa.words import CoreKind, MemoryOrder, Pipe, Space
from ascend_sim.numerics import RoundMode, bf16, fp16, fp32, int4x2, int8, int16, int32, uint8, uint16, uint32


@pytest.fixture
def chip() -> Chip:
    """The 910B3, on whose silicon most latencies were measured."""
    return ascend910b3()


def faults(vector: VectorInstruction, chip: Chip) -> str:
    """Everything that check() says."""
    return "\n".join(vector.check(chip))


A, B = tile("A", (16, 64), fp32), tile("B", (16, 64), fp32, 8192)
HALF, WHOLE = tile("h", (64,), fp16), tile("w", (64,), int32, 256)
BYTES, SHORT = tile("b", (32,), int8), tile("s", (16,), int16, 256)
NARROW = tile("A", (16, 12), fp32)
A128 = tile("a", (128,), fp32)
REFUSALS = {
    "space": (instruction("exp", A, tile("L", (16, 64), fp32, 0, Space.L1)), "source 'L' is in L1; it must be in UB"),
    "alignment": (
        instruction("exp", tile("A", (63,), fp32), tile("B", (64,), fp32, 8192)[1:64]),
        "source 'B' begins at byte 0x2004 of UB, which is not a multiple of 32 B; move the slice by 1 elements",
    ),
    "pitch": (
        instruction("exp", NARROW[:, 0:8], tile("B", (16, 8), fp32, 8192)),
        "'A' has rows 48 B apart, which is not a multiple of 32 B; pad the tile to 16 columns",
    ),
    "bf16 arithmetic": (
        instruction("add", *(tile(name, (64,), bf16, 128 * i) for i, name in enumerate("abc"))),
        "there is no bf16 form, only fp16, fp32, int16, int32; cast to fp32 first and back afterwards",
    ),
    "integer exp": (
        instruction("exp", tile("a", (64,), int32), tile("b", (64,), int32, 256)),
        "there is no int32 form, only fp16, fp32; cast first",
    ),
    "destination format": (
        instruction("cast", tile("a", (64,), int8), tile("b", (64,), fp32, 256)),
        "fp32 sources give fp32 or fp16 or bf16 or int32 or int64, not int8; change the destination",
    ),
    "two source formats": (
        instruction("add", A, B, tile("C", (16, 64), int32, 16384)),
        "sources 'B' and 'C' are fp32 and int32; cast one of them first",
    ),
    "mask format": (
        instruction("select", A, tile("m", (128,), uint16, 16384), A, B),
        "mask 'm' is uint16; declare its tile as uint8",
    ),
    "shape": (
        instruction("add", A, B, tile("C", (16, 32), fp32, 16384)),
        "'C' [16, 32] must have the shape of 'A' [16, 64] or, for the second source, be (16, 8)",
    ),
    "mask size": (
        instruction("compare", tile("m", (64,), uint8, 16384), A, B),
        "mask 'm' [64] must hold one bit for each of the 1024 elements of 'A' [16, 64]: 128 uint8 elements",
    ),
    "gaps": (
        instruction("compare", tile("m", (64,), uint8, 16384), A[:, 0:32], B[:, 0:32]),
        "'A' [16, 32] has gaps between its rows (they begin 64 elements apart), which this operation cannot step over",
    ),
    "columns": (
        instruction("exp", tile("A", (2, 128), fp32), tile("B", (2, 128), fp32, 8192)),
        "'A' has 128 columns; a repeat holds 64 of them: split the columns into instructions of 64",
    ),
    "repeats": (
        instruction("exp", tile("A", (256 * 64,), fp32), tile("B", (256 * 64,), fp32, 65536)),
        "256 repeats are above the limit of 255 of one instruction; split the operands",
    ),
    "wide reduce": (
        instruction("whole_reduce_max", tile("m", (2,), fp32), tile("B", (2, 128), fp32, 8192)),
        "'B' [2, 128] has 128 columns, but a repeat reduces at most 64; fold the columns with max, min or add to 64",
    ),
    "reduce shape": (
        instruction("whole_reduce_max", tile("m", (3,), fp32), tile("B", (2, 64), fp32, 8192)),
        "'B' [2, 64] does not reduce to 'm' [3]; write (rows, columns) -> (rows,)",
    ),
    "block shape": (
        instruction("block_reduce_max", tile("m", (7,), fp32), tile("B", (64,), fp32, 8192)),
        "'B' [64] reduces to [8], not to 'm' [7]",
    ),
    "block columns": (
        instruction("block_reduce_max", tile("m", (7,), fp32), tile("B", (60,), fp32, 8192)),
        "'B' [60] has 60 columns, but 8 neighbours make one element; pad to 64 columns",
    ),
    "brcb shape": (
        instruction("brcb", tile("b", (16, 16), fp32), tile("m", (16,), fp32, 8192)),
        "'m' [16] does not fill 'b' [16, 16]; write (rows,) -> (rows, 8), one block of 32 B for each element",
    ),
    "brcb rows": (
        instruction("brcb", tile("b", (12, 8), fp32), tile("m", (12,), fp32, 8192)),
        "'m' [12] has 12 rows, but a repeat fills 8 at once; pad to 16 rows",
    ),
    "mask columns": (
        instruction("duplicate", A, mask=(10, 65)),
        "mask (10, 65) does not name columns of 'A' [16, 64]; write (first, last + 1) within 0..64",
    ),
    "mask shape": (
        instruction("duplicate", tile("A", (64,), fp32), mask=(10, 12)),
        "with a mask, 'A' [64] must be (rows, columns) of at most 64 columns, one repeat a row; slice the columns",
    ),
    "scalar type": (instruction("adds", A, B, scalar="1"), "scalar '1' is not a number; write an int or a float"),
    "scalar fraction": (
        instruction("duplicate", tile("A", (64,), int16), scalar=0.5),
        "scalar 0.5 must be a whole number in -32768..32767 for int16",
    ),
    "scalar range": (
        instruction("muls", tile("A", (64,), fp16), tile("B", (64,), fp16, 128), scalar=1e6),
        "scalar 1000000.0 is above the largest fp16 number; use a wider format",
    ),
    "shift range": (
        instruction("shift_left", tile("A", (64,), int16), tile("B", (64,), int16, 128), scalar=16),
        "scalar 16 must be a whole number in 0..15 for int16",
    ),
    "round mode": (
        instruction("cast", A, B, round_mode="CAST_RINT"),
        "round mode 'CAST_RINT' is not a RoundMode; write RoundMode.CAST_RINT, for example",
    ),
    "comparison": (
        instruction("compare", tile("m", (128,), uint8, 16384), A, B, comparison=None),
        "no comparison is given; write 'LT', for example",
    ),
    "mask register": (
        instruction("compare_mask", tile("m", (16,), uint8, 4096), A128, tile("b", (128,), fp32, 512)),
        "mask 'm' [16] must be the 8 bytes that hold the bits of one repeat",
    ),
    "part of a repeat": (
        instruction("compare_mask", tile("m", (8,), uint8, 4096), A128[0:100], tile("b", (100,), fp32, 512)),
        "'a' [100] and 'b' [100] must be vectors of the same whole repeats of 64 elements",
    ),
    "fractal order": (
        instruction("exp", A, Buffer("N", Space.UB, 8192, 8192, HERE).tile((16, 64), fp32, MemoryOrder.NZ)),
        "source 'N' is laid out as NZ; vector operations work on row-major tiles: lay it out with tile(shape, dtype)",
    ),
    "fused format": (
        instruction("add_relu", *(tile(name, (64,), int32, 256 * i) for i, name in enumerate("abc"))),
        "there is no int32 form, only fp16, fp32, int16; cast first",
    ),
    "fused bf16": (
        instruction("fused_mul_add", *(tile(name, (64,), bf16, 256 * i) for i, name in enumerate("abc"))),
        "there is no bf16 form, only fp16, fp32; cast to fp32 first and back afterwards",
    ),
    "fused result": (
        instruction("mul_cast", *(tile(name, (64,), fp16, 256 * i) for i, name in enumerate("abc"))),
        "fp16 sources give int8 or uint8, not fp16; change the destination",
    ),
    "int4 count": (
        instruction("cast", tile("a", (64,), int4x2), tile("b", (64,), fp16, 256)),
        "'b' [64] fp16 holds 64 numbers in a row, 'a' [64] int4x2 128; an int4x2 element holds two: write the same",
    ),
    "int4 window": (
        instruction("cast", tile("a", (4, 64), int4x2)[:, 0:32], tile("b", (4, 64), fp16, 256)),
        "'a' [4, 32] has gaps between its rows (they begin 64 elements apart), which this operation cannot step over",
    ),
    "int4 source": (
        instruction("cast", tile("a", (64,), fp32), tile("b", (32,), int4x2, 256)),
        "int4x2 sources give fp16, not fp32; change the destination",
    ),
    "half blocks": (
        instruction("cast_deq", tile("a", (64,), int8), tile("b", (64,), int16, 256)),
        "'b' [64] fills halves of the blocks of [128], not of 'a' [64]: 16 numbers in one half of each block, and the",
    ),
    "part of a block": (
        instruction("cast_deq", tile("a", (40,), int8), tile("b", (20,), int16, 256)),
        "'b' [20] has 20 columns, which are no whole blocks of 16; pad to 32 columns",
    ),
    "no scale": (
        instruction("cast_deq", tile("a", (32,), int8), tile("b", (16,), int16, 256), dequantization=None),
        "no scale is given; write 0.5, for example",
    ),
    "scale above fp16": (
        instruction("cast_deq_fp16", HALF, WHOLE, dequantization=Dequantization((1e5,), (0,), 8)),
        "scale 100000.0 is above the largest fp16 number; use a wider format",
    ),
    "scale that is no number": (
        instruction("cast_deq_fp16", HALF, WHOLE, dequantization=Dequantization(("2",), (0,), 8)),  # type: ignore
        "scale '2' is not a number; write an int or a float",
    ),
    "offset of fp16": (
        instruction("cast_deq_fp16", HALF, WHOLE, dequantization=Dequantization((1,), (3,), 8)),
        "int32 to fp16 has one scale, and neither an offset nor an upper half; leave these out",
    ),
    "wide offset": (
        instruction("cast_deq", BYTES, SHORT, dequantization=Dequantization((1,), (256,), 16)),
        "offset 256 must be a whole number in -256..255",
    ),
    "count of scales": (
        instruction("cast_deq_vector", BYTES, SHORT, dequantization=Dequantization((1,) * 8, (0,) * 16, 16)),
        "8 scales and 16 offsets are given; write one of each, or 16 of each, one for each number of a block",
    ),
    "gather offsets format": (
        instruction("gather", tile("a", (64,), fp32), tile("b", (64,), fp32, 256), tile("o", (64,), int32, 512)),
        "offsets 'o' are int32; declare their tile as uint32, in bytes",
    ),
    "gather offsets shape": (
        instruction("gather", tile("a", (64,), fp32), tile("b", (64,), fp32, 256), tile("o", (8,), uint32, 512)),
        "offsets 'o' [8] do not fill 'a' [64]; write one for each element",
    ),
    "gatherb offsets shape": (
        instruction("gatherb", tile("a", (64,), fp32), tile("b", (64,), fp32, 256), tile("o", (64,), uint32, 512)),
        "offsets 'o' [64] do not fill 'a' [64]; write one for each whole block of 8 elements",
    ),
    "gather format": (
        instruction("gather", tile("a", (64,), int8), tile("b", (64,), int8, 256), tile("o", (64,), uint32, 512)),
        "there is no int8 form, only fp16, bf16, fp32, int16, int32, uint16, uint32; cast first",
    ),
    "gather in place": (
        instruction("gather", tile("a", (64,), fp32), tile("b", (64,), fp32), tile("o", (64,), uint32, 512)),
        "destination 'a' and source 'b' overlap, but every repeat may read all of the source; use another buffer",
    ),
    "shifted overlap": (
        instruction("adds", tile("A", (128,), fp32)[8:72], tile("A", (128,), fp32)[0:64]),
        "destination 'A' and source 'A' overlap, the destination beginning 32 B behind the source; let both begin",
    ),
    "overlap of another buffer": (
        instruction("adds", tile("A", (64,), fp32), tile("B", (64,), fp32, 224)),
        "destination 'A' and source 'B' overlap, the destination beginning 224 B before the source",
    ),
    "widening in place": (
        instruction("cast", tile("A", (128,), fp32), tile("B", (128,), bf16)),
        "destination 'A' and source 'B' begin at the same byte, but the destination advances faster (512 B in all "
        "against 256 B), so it overwrites what later repeats read; use another buffer",
    ),
}


@pytest.mark.parametrize(("vector", "message"), REFUSALS.values(), ids=list(REFUSALS))
def test_refusals(vector: VectorInstruction, message: str, chip: Chip) -> None:
    """Each rule of the hardware is refused with the operand, the value and what to write instead."""
    assert message in faults(vector, chip)


def test_missing_cost_is_refused(chip: Chip) -> None:
    """A chip file without a row for an operation is named, with the key to add."""
    without = {name: rows for name, rows in chip.vector.ops.items() if name != "vexp"}
    poor = chip.model_copy(update={"vector": chip.vector.model_copy(update={"ops": without})})

    assert "has no cost for vexp on fp32; add a row under vector.ops.vexp of its file" in faults(
        instruction("exp", A, B), poor
    )


@pytest.mark.parametrize(
    "vector",
    [
        instruction("exp", A, A),
        instruction("add", A[:, 0:32], A[:, 0:32], A[:, 32:64]),
        instruction("exp", A[0:8], A[8:16]),
        instruction("cast", tile("A", (128,), bf16), tile("B", (128,), fp32)),
        instruction("cast", tile("A", (64,), fp32), tile("B", (64,), bf16)),
        instruction("whole_reduce_max", tile("m", (16,), fp32), A),
    ],
    ids=["in place", "columns of one tile", "rows of one tile", "narrowing", "widening one repeat", "reduction"],
)
def test_harmless_overlaps_are_accepted(vector: VectorInstruction, chip: Chip) -> None:
    """The same start and windows that share no byte are fine, even inside the same rows."""
    assert faults(vector, chip) == ""


def test_place_and_listing() -> None:
    """A vector instruction runs on PIPE_V of vector cores and lists its operands, scalar, mode and mask."""
    cast = instruction("cast", A[0:8], B[8:16], round_mode=RoundMode.CAST_FLOOR)

    assert (cast.pipe, cast.cores, cast.mnemonic) == (Pipe.V, frozenset((CoreKind.AIV,)), "cast")
    assert cast.operands() == "A[0:8,0:64]:fp32, B[8:16,0:64]:fp32, CAST_FLOOR"
    assert instruction("duplicate", A, scalar=0.0, mask=(3, 9)).operands() == "A[0:16,0:64]:fp32, 0.0, mask 3:9"
    assert hash(cast) == hash(replace(cast))
    scaled = instruction("cast_deq", BYTES, SHORT, dequantization=Dequantization((0.5,), (3,), 16, upper=True))
    assert scaled.operands() == "b[0:32]:int8, s[0:16]:int16, scale 0.5, offset 3, upper half"
