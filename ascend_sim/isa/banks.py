"""Banks of UB: which accesses of a vector instruction meet in one, and the cycles that takes.

The rule is that of the Ascend C best-practice book (0025). Blocks of 32 B that follow each other lie in neighbouring
bank groups; a group has a bank for every 64 KiB. In one cycle a group carries out one read and one write, and a bank
one of both. So a repeat takes as many cycles as it reads blocks of one group, or writes to one.

What the rule does not say is read as follows. A block that one operand uses several times in a repeat, such as that of
a row broadcast, is read once. The bit mask of `select` and the mask of `compare_mask` are in registers. Where a gather
reads is known only when it runs; its source is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ascend_sim.config import Chip
from ascend_sim.isa.vector_ops import Pattern

if TYPE_CHECKING:
    from ascend_sim.isa.operands import LocalTensor
    from ascend_sim.isa.vector import VectorInstruction


class Banks(NamedTuple):
    """How UB is divided: bytes of a block, number of groups, bytes of a bank."""

    block_bytes: int
    groups: int
    bank_bytes: int

    def group(self, address: int) -> int:
        """The group in which the byte at *address* of UB lies."""
        return address // self.block_bytes % self.groups

    def bank(self, address: int) -> int:
        """The number of the bank of the byte at *address* of UB."""
        return self.group(address) + self.groups * (address // (self.groups * self.bank_bytes))


def banks_of(chip: Chip) -> Banks:
    """The banks of UB of *chip*."""
    vector = chip.vector
    return Banks(vector.block_bytes.value, vector.bank_groups.value, vector.bank_bytes.value)


class Access(NamedTuple):
    """What an instruction touches of one operand, in bytes of UB.

    *runs* runs of *size* bytes, *pitch* apart, from *address* on; *per_repeat* runs belong to one repeat. A last
    repeat may have fewer runs, and the last run ends before *end*.
    """

    address: int
    runs: int
    size: int
    pitch: int
    per_repeat: int
    end: int


class Load(NamedTuple):
    """What some repeats ask of the banks: the *reads* and *writes* of the group with most of them, and *repeats*."""

    reads: int
    writes: int
    repeats: int


@dataclass(frozen=True)
class BankUse:
    """What an instruction asks of the banks.

    *loads* are its repeats, equal ones together, and *operands* the number of operands that are read. *read_read* and
    *write_write* count the accesses that find their group taken by another one of the same repeat, *read_write* those
    that find their bank read and written by the same repeat. *clash_cycles* are the cycles by which reads and writes
    in one bank would lengthen the repeats if every repeat wrote while it reads.
    """

    loads: tuple[Load, ...]
    operands: int
    read_read: int
    write_write: int
    read_write: int
    clash_cycles: int

    @property
    def cycles(self) -> int:
        """Cycles that the groups take for all repeats: at least one each."""
        return sum(max(load.reads, load.writes, 1) * load.repeats for load in self.loads)

    @property
    def group_cycles(self) -> int:
        """Of these, the cycles in which accesses wait for others to their group."""
        return self.cycles - sum(load.repeats for load in self.loads)

    def stalls(self, cycles: float) -> tuple[float, float]:
        """Cycles that the groups take beyond *cycles* a repeat, for reads and for writes.

        Repeats whose operands lie without gaps are not charged: they read at most one block of each operand from a
        group, and *cycles* were measured on such operands, at addresses that are not published.
        """
        reads = writes = 0.0
        for load in self.loads:
            read = load.reads if load.reads > self.operands else 0
            write = load.writes if load.writes > 1 else 0
            stall = max(max(read, write) - cycles, 0.0) * load.repeats
            if write > read:
                writes += stall
            else:
                reads += stall
        return reads, writes


def bank_use(vector: VectorInstruction, chip: Chip) -> BankUse:
    """What *vector*, which the hardware would not refuse, asks of the banks of UB of *chip*."""
    read = vector.data
    if vector.gathers:
        read = vector.inputs[1:]
    if vector.operation.accumulates and vector.operation.pattern is Pattern.ELEMENTWISE:
        read = (*read, vector.destination)
    written = () if vector.operation.pattern is Pattern.MASK else (vector.written,)
    reads = tuple(_access(operand, vector, chip) for operand in read)
    writes = tuple(_access(operand, vector, chip) for operand in written)
    return _use(reads, writes, vector.repeats(chip), banks_of(chip))


def _access(operand: LocalTensor, vector: VectorInstruction, chip: Chip) -> Access:
    body, repeats, item = vector.body, vector.repeats(chip), operand.dtype.bytes
    if len(body.shape) == len(operand.shape) == 2 and operand.rows == body.rows:
        size, pitch = operand.columns * item, operand.pitch * item
        last = operand.address + (operand.rows - 1) * pitch
        return Access(operand.address, operand.rows, size, pitch, vector.rows_per_repeat(chip), last + size)
    total = operand.elements * item
    size = math.ceil(total / repeats)
    if len(body.shape) == 1:
        # Elements of a full repeat; masks have whole bytes, so that of a rest is rounded up.
        narrower = round(body.elements / operand.elements) or 1
        wider = round(operand.elements / body.elements) or 1
        size = vector.lanes(chip) * wider // narrower * item
    return Access(operand.address, repeats, size, size, 1, operand.address + total)


@lru_cache(maxsize=4096)
def _use(reads: tuple[Access, ...], writes: tuple[Access, ...], repeats: int, banks: Banks) -> BankUse:
    reads_of_group, reads_of_bank = _counts(reads, repeats, banks)
    writes_of_group, writes_of_bank = _counts(writes, repeats, banks)
    reads_most, writes_most = reads_of_group.max(axis=1), writes_of_group.max(axis=1)
    number = min(reads_of_bank.shape[1], writes_of_bank.shape[1])
    left, right = reads_of_bank[:, :number], writes_of_bank[:, :number]
    both = (left + right).max(axis=1)
    clashes = np.maximum(both - np.maximum(reads_most, writes_most), 0)
    loads, counts = np.unique(np.stack((reads_most, writes_most), axis=1), axis=0, return_counts=True)
    return BankUse(
        loads=tuple(Load(int(r), int(w), int(n)) for (r, w), n in zip(loads, counts, strict=True)),
        operands=len(reads),
        read_read=int(np.maximum(reads_of_group - 1, 0).sum()),
        write_write=int(np.maximum(writes_of_group - 1, 0).sum()),
        read_write=int(np.minimum(left, right).sum()),
        clash_cycles=int(clashes.sum()),
    )


def _counts(accesses: tuple[Access, ...], repeats: int, banks: Banks) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Blocks that each repeat touches, by group (repeats, groups) and by bank (repeats, banks up to the last)."""
    parts = [_blocks(access, banks.block_bytes) for access in accesses]
    repeat = np.concatenate([np.zeros(0, np.int64), *(one for one, _ in parts)])
    block = np.concatenate([np.zeros(0, np.int64), *(one for _, one in parts)])
    group = block % banks.groups
    bank = group + banks.groups * (block * banks.block_bytes // (banks.groups * banks.bank_bytes))
    return _table(repeat, group, repeats, banks.groups), _table(repeat, bank, repeats, int(bank.max(initial=0)) + 1)


def _table(rows: NDArray[np.int64], columns: NDArray[np.int64], height: int, width: int) -> NDArray[np.int64]:
    return np.bincount(rows * width + columns, minlength=height * width).reshape(height, width)


def _blocks(access: Access, block_bytes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The repeat and the number of each block that *access* touches."""
    runs = np.arange(access.runs)
    begins = access.address + runs * access.pitch
    first = begins // block_bytes
    last = (np.minimum(begins + access.size, access.end) - 1) // block_bytes
    blocks = first[:, np.newaxis] + np.arange(int((last - first).max(initial=0)) + 1)
    touched = blocks <= last[:, np.newaxis]
    repeat = np.broadcast_to(runs[:, np.newaxis] // access.per_repeat, blocks.shape)
    return repeat[touched], blocks[touched]
