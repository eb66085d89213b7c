"""Banks of UB: the documented rule, what its conflicts cost, and what blocks apart may look like."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import build, chip, simulate, times
from vector_operands import ascend910b3, execute, instruction, tile

from ascend_sim import kernel as asc
from ascend_sim.config import Chip
from ascend_sim.errors import ConfigError, KernelError
from ascend_sim.isa.banks import Load, bank_use, banks_of
from ascend_sim.isa.operands import LocalTensor
from ascend_sim.isa.timing import Run
from ascend_sim.isa.vector import VectorInstruction
from ascend_sim.isa.words import Space
from ascend_sim.numerics import fp16, fp32, uint8

CHIP = ascend910b3()
ROW = 64 * 1024
"""Bytes of UB after which every group has its next bank."""


def rows(name: str, count: int, stride: int, offset: int = 0) -> LocalTensor:
    """*count* rows of one block of fp32, *stride* blocks apart."""
    return tile(name, (count, 8 * stride), fp32, offset)[:, 0:8]


def muls(source: int, destination: int, repeats: int = 4) -> VectorInstruction:
    """A muls of blocks that lie *source* and *destination* blocks apart, in different rows of banks."""
    count = 8 * repeats
    return instruction("muls", rows("y", count, destination, 2 * ROW), rows("x", count, source), blocks=True)


@pytest.mark.parametrize(
    ("address", "group", "bank"),
    [(0x0, 0, 0), (0x20, 1, 1), (0x1FF, 15, 15), (0x200, 0, 0), (0x10000, 0, 16), (0x10020, 1, 17), (0x20020, 1, 33)],
)
def test_addresses(address: int, group: int, bank: int) -> None:
    """Group (a / 32) mod 16 and bank group + 16 (a >> 16), with the addresses of the book's examples."""
    banks = banks_of(CHIP)

    assert (banks.group(address), banks.bank(address)) == (group, bank)


@pytest.mark.parametrize(
    ("stride", "cycles"), [(1, 1), (2, 1), (3, 1), (4, 2), (8, 4), (9, 1), (16, 8), (17, 1), (32, 8)]
)
def test_cycles_of_a_stride(stride: int, cycles: int) -> None:
    """Blocks 8 apart take 4 cycles a repeat and 16 apart 8, read or written; vmuls takes 4 and 1 a further repeat.

    The result is visible 26 + r cycles after the start, measured alone, and 7 cycles earlier for what waits.
    """
    repeats, longer = 4, 4 * (cycles - 1)
    for vector in (muls(stride, 1), muls(1, stride), muls(stride, stride)):
        assert list(vector.check(CHIP)) == []
        assert vector.repeats(CHIP) == repeats
        assert vector.timing(CHIP) == Run(7 + longer, 26 - 7 + repeats + longer, 7 + longer)


@pytest.mark.parametrize(("stride", "extra"), [(1, 0), (4, 0), (8, 1), (16, 4)])
def test_a_slow_operation_hides_its_conflicts(stride: int, extra: int) -> None:
    """What the banks need is a lower bound, no surcharge: of vdiv's 4 cycles a repeat 3, 5 or 8 reads of a group."""
    x, y = rows("x", 8, stride), rows("y", 8, 1, 2 * ROW)
    vector = instruction("div", y, x, rows("z", 8, 1, ROW + 256), blocks=True)

    assert vector.timing(CHIP).occupancy == 4 + extra


def test_kinds_of_conflicts_are_counted() -> None:
    """In a group of r accesses of one kind r - 1 wait; 16 apart all 8 blocks of a repeat meet, 8 apart 4 and 4."""
    for stride, waiting in ((1, 0), (8, 2 * 3), (16, 7)):
        read, written = bank_use(muls(stride, 1), CHIP), bank_use(muls(1, stride), CHIP)

        assert (read.read_read, read.write_write) == (4 * waiting, 0)
        assert (written.read_read, written.write_write) == (0, 4 * waiting)
    assert muls(16, 1).bank_stalls(CHIP) == (4 * 7, 0)
    assert muls(1, 16).bank_stalls(CHIP) == (0, 4 * 7)


def test_two_sources_in_the_same_groups() -> None:
    """Both sources from group 0 on take two cycles a repeat, which vadd's table holds; 256 B apart they do not meet."""
    y, x = tile("y", (256,), fp32, 2 * ROW), tile("x", (256,), fp32)
    together = instruction("add", y, x, tile("z", (256,), fp32, ROW))
    shifted = instruction("add", y, x, tile("z", (256,), fp32, ROW + 256))

    assert (bank_use(together, CHIP).read_read, bank_use(together, CHIP).group_cycles) == (4 * 8, 4)
    assert (bank_use(shifted, CHIP).read_read, bank_use(shifted, CHIP).group_cycles) == (0, 0)
    assert together.timing(CHIP).occupancy == shifted.timing(CHIP).occupancy == 3 + 3 * 2


def test_two_strided_sources_add_up() -> None:
    """Two sources 8 apart in the same two groups take 8 cycles a repeat; one block aside they take 4."""
    y, x = rows("y", 8, 1, 2 * ROW), rows("x", 8, 8)
    together = instruction("add", y, x, rows("z", 8, 8, ROW), blocks=True)
    aside = instruction("add", y, x, rows("z", 8, 8, ROW + 32), blocks=True)

    assert together.timing(CHIP).occupancy == 3 + 8 - 2
    assert aside.timing(CHIP).occupancy == 3 + 4 - 2


def test_an_accumulator_is_read_as_well() -> None:
    """axpy reads its destination: with both 16 apart in one group 16 reads meet, which is 14 more than 2 cycles."""
    vector = instruction("axpy", rows("y", 8, 16, 2 * ROW), rows("x", 8, 16), blocks=True)

    assert bank_use(vector, CHIP).loads == (Load(16, 8, 1),)
    assert vector.timing(CHIP).occupancy == 3 + 16 - 2


def test_reads_and_writes_in_one_bank_are_counted_and_not_charged() -> None:
    """In place every block clashes, 64 KiB away none does; the time is that of the table for both."""
    x = tile("x", (256,), fp32)
    in_place, away = instruction("muls", x, x), instruction("muls", tile("y", (256,), fp32, ROW), x)

    assert (bank_use(in_place, CHIP).read_write, bank_use(in_place, CHIP).clash_cycles) == (4 * 8, 4)
    assert (bank_use(away, CHIP).read_write, bank_use(away, CHIP).clash_cycles) == (0, 0)
    assert in_place.timing(CHIP) == away.timing(CHIP)


def test_the_block_of_a_row_broadcast_is_read_once() -> None:
    """(rows, 8) against (rows, 64): the repeat reads eight blocks and one, of which two can meet."""
    wide, narrow = tile("x", (4, 64), fp32), tile("b", (4, 8), fp32, ROW)
    vector = instruction("mul", tile("y", (4, 64), fp32, 2 * ROW), wide, narrow)

    # Block n of b lies in group n, and row n of x in groups 0-7 or 8-15: rows 0 and 2 meet it, 1 and 3 do not.
    assert bank_use(vector, CHIP).loads == (Load(1, 1, 2), Load(2, 1, 2))
    assert vector.timing(CHIP).occupancy == 3 + 3 * 2


def test_registers_and_gathered_sources_are_left_out() -> None:
    """The mask of select, the result of compare_mask and a source read at offsets meet nothing."""
    x, y, z = (tile(name, (128,), fp32, ROW * index) for index, name in enumerate("xyz"))
    select = instruction("select", z, tile("m", (16,), uint8, 1024), x, y)
    mask = instruction("compare_mask", tile("m", (8,), uint8, 1024), x, y)
    gather = instruction("gather", z, x, tile("o", (128,), asc.uint32, ROW))

    assert bank_use(select, CHIP).loads == (Load(2, 1, 2),)
    assert bank_use(mask, CHIP).loads == (Load(2, 0, 2),)
    assert bank_use(gather, CHIP).loads == (Load(1, 1, 2),)


def test_masks_and_reductions_touch_parts_of_blocks() -> None:
    """100 elements against a scalar write 8 B and 5 B of bits; a row of a reduction writes 4 B: one block each."""
    bits = instruction("compare_scalar", tile("m", (13,), uint8, ROW), tile("x", (100,), fp32))
    sums = instruction("whole_reduce_sum", tile("s", (9,), fp32, ROW), tile("x", (9, 64), fp32))

    for vector, repeats in ((bits, 2), (sums, 9)):
        assert bank_use(vector, CHIP).loads == (Load(1, 1, repeats),)
        assert bank_use(vector, CHIP).write_write == 0


def test_brcb_into_a_wide_tile_is_charged() -> None:
    """The eight blocks that a repeat of brcb writes are rows: 16 blocks apart they take 8 cycles, 17 apart one."""
    source = tile("x", (16,), fp32)

    for columns, cycles in ((128, 8), (136, 1)):
        vector = instruction("brcb", tile("y", (16, columns), fp32, ROW)[:, 0:8], source)
        assert vector.timing(CHIP).occupancy == 3 + 1 + 2 * (cycles - 1)


def test_a_rest_of_the_rows_needs_counter_mode() -> None:
    """12 rows are repeats of 8 and 4 blocks: 8 + 4 cycles 16 apart, and 16 of counter mode; 4 rows are one."""
    two = instruction("muls", rows("y", 12, 1, 2 * ROW), rows("x", 12, 16), blocks=True)
    one = instruction("muls", rows("y", 4, 1, 2 * ROW), rows("x", 4, 1), blocks=True)

    assert two.timing(CHIP).occupancy == 4 + 1 + (8 - 1) + (4 - 1) + 16
    assert one.timing(CHIP).occupancy == 4


def by_hand(vector: VectorInstruction) -> list[tuple[int, int]]:
    """Reads and writes of the busiest group in each repeat of blocks, block by block."""
    found = []
    for first in range(0, vector.destination.rows, 8):
        most = []
        for operands in (vector.inputs, (vector.destination,)):
            groups: Counter[int] = Counter()
            for operand in operands:
                for row in range(first, min(first + 8, operand.rows)):
                    groups[(operand.address + row * operand.pitch * 4) // 32 % 16] += 1
            most.append(max(groups.values()))
        found.append((most[0], most[1]))
    return found


STRIDES = st.integers(1, 40)


@given(st.integers(1, 40), STRIDES, STRIDES, STRIDES, st.integers(0, 63))
def test_a_layout_without_conflicts_is_never_slower(count: int, left: int, right: int, result: int, shift: int) -> None:
    """Any layout takes what its busiest groups need, and the one of odd strides beside it at most as much."""
    operands = rows("y", count, result, 128 * 1024), rows("x", count, left), rows("z", count, right, ROW + 32 * shift)
    vector = instruction("add", *operands, blocks=True)
    odd = [rows(one.buffer.name, count, one.pitch // 8 | 1, one.buffer.offset) for one in operands]
    needs = by_hand(vector)
    longer = sum(max(0, max(reads if reads > 2 else 0, writes) - 2) for reads, writes in needs)

    assert Counter({(load.reads, load.writes): load.repeats for load in bank_use(vector, CHIP).loads}) == Counter(needs)
    assert sum(vector.bank_stalls(CHIP)) == longer
    assert instruction("add", *odd, blocks=True).timing(CHIP).occupancy <= vector.timing(CHIP).occupancy
    assert instruction("add", *odd, blocks=True).bank_stalls(CHIP) == (0, 0)


def test_a_program_on_the_tiny_chip() -> None:
    """Two repeats 16 blocks apart hold the pipe 3 + 1 + 14 cycles, 17 apart 3 + 1; results come after 20 + 2 (+ 14)."""
    on = chip("vector.ops.vadds.fp32={first_cycles: 3, further_cycles: 1.0, latency_cycles: 20}")

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        for columns in (128, 136):
            window = core.tensor(f"x{columns}", Space.UB, (16, columns), asc.fp32)[:, 0:8]
            asc.adds(window, window, 1.0, blocks=True)
        asc.adds(window, window, 1.0, blocks=True)

    assert times(simulate(body, on)) == [("adds", 0, 36), ("adds", 18, 40), ("adds", 22, 44)]


def test_numbers_are_those_of_the_rows() -> None:
    """Blocks change the time and the listing only."""
    values = np.arange(12 * 8, dtype=np.float32).reshape(12, 8)
    vector = instruction("muls", rows("y", 12, 5, ROW), rows("x", 12, 3), blocks=True, scalar=2.0)

    np.testing.assert_array_equal(execute(vector, values), 2 * values)
    assert vector.operands().endswith(", blocks")


def emitted(rows_: int, columns: int, on: Chip = CHIP) -> list[VectorInstruction]:
    """What `asc.adds` emits for *rows_* blocks in a tile of *columns*, in place."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        window = core.tensor("x", Space.UB, (rows_, columns), asc.fp32)[:, 0:8]
        asc.adds(window, window, 1.0, blocks=True)

    (stream,) = build(body, on).streams
    return [one for _, one in stream if isinstance(one, VectorInstruction)]


def test_many_rows_become_instructions_of_255_repeats() -> None:
    """2050 rows are 255 repeats of eight and two more, the last of two rows; the second begins at row 2040."""
    first, second = emitted(2050, 16)

    assert (first.repeats(CHIP), second.repeats(CHIP)) == (255, 2)
    assert (first.destination.shape, second.destination.shape) == ((2040, 8), (10, 8))
    assert second.destination.address == 2040 * 64


A, B = rows("A", 8, 2), rows("B", 8, 2, ROW)
REFUSALS = {
    "wide rows": (
        instruction("muls", tile("A", (8, 16), fp32), B, blocks=True),
        "with blocks, 'A' [8, 16] fp32 must be rows of one block of 32 B; slice 8 columns of a tile of two dimensions",
    ),
    "one dimension": (
        instruction("muls", tile("A", (8,), fp32), B, blocks=True),
        "with blocks, 'A' [8] fp32 must be rows of one block of 32 B",
    ),
    "other rows": (
        instruction("muls", A, rows("B", 9, 2), blocks=True),
        "'B' [9, 8] must have the 8 rows of 'A' [8, 8]",
    ),
    "other width": (
        instruction("cast", tile("A", (8, 16), fp16), B, blocks=True),
        "'B' [8, 8] fp32 and 'A' [8, 16] fp16 must have elements of one size; leave blocks out",
    ),
    "too far": (
        instruction("muls", A, rows("B", 8, 256), blocks=True),
        "'B' [8, 8] has rows 256 blocks of 32 B apart; the blocks of a repeat are at most 255 apart: lay the tile out "
        "with at most 2040 columns",
    ),
    "no whole blocks": (
        instruction("muls", tile("A", (8, 12), fp32)[:, 0:8], B, blocks=True),
        "'A' has rows 48 B apart, which is not a multiple of 32 B; pad the tile to 16 columns",
    ),
    "mask": (
        instruction("duplicate", A, blocks=True, mask=(0, 4)),
        "only elementwise operations without a mask of columns take blocks; leave blocks out",
    ),
    "no elementwise operation": (
        instruction("whole_reduce_max", A, B, blocks=True),
        "only elementwise operations without a mask of columns take blocks; leave blocks out",
    ),
    "no truth value": (instruction("muls", A, B, blocks=8), "blocks 8 is neither True nor False; leave it out"),
}


@pytest.mark.parametrize(("vector", "message"), REFUSALS.values(), ids=list(REFUSALS))
def test_refusals(vector: VectorInstruction, message: str) -> None:
    """What no block stride can express is refused with the operand, the value and what to write instead."""
    assert message in "\n".join(vector.check(CHIP))


def test_the_furthest_stride_is_accepted() -> None:
    """255 blocks apart is legal, and odd, so that it takes no longer than 1 apart."""
    vector = muls(255, 1, repeats=1)

    assert list(vector.check(CHIP)) == []
    assert vector.timing(CHIP).occupancy == muls(1, 1, repeats=1).timing(CHIP).occupancy == 4


def test_a_function_refuses_at_the_users_line() -> None:
    """A wrong operand of a function that takes blocks is an error of the kernel, with its file."""
    with pytest.raises(KernelError) as caught:
        emitted(8, 8 * 256)

    (found,) = caught.value.diagnostics
    assert found.file == __file__
    assert found.message.startswith("adds: 'x' [8, 8] has rows 256 blocks of 32 B apart")


def test_a_bank_holds_whole_blocks() -> None:
    """A bank of 1040 B is refused with the sizes that would do."""
    with pytest.raises(ConfigError, match=r"vector.bank_bytes: must be a multiple of vector.block_bytes = 32 bytes"):
        chip("vector.bank_bytes=1040")
