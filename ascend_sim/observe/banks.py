"""Conflicts in the banks of UB: how many a program meets, the cycles charged for them, and the lines that do it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import NamedTuple

from ascend_sim.config import Chip
from ascend_sim.isa.banks import bank_use, banks_of
from ascend_sim.isa.operands import LocalTensor
from ascend_sim.isa.source import SourceLine
from ascend_sim.isa.vector import VectorInstruction
from ascend_sim.kernel.program import CoreId, Program, Stream, Template


@dataclass(frozen=True)
class BankConflicts:
    """The conflicts of some vector instructions, each execution counted.

    *instructions* are those that take longer for conflicts, *extra_cycles* what they take beyond the table of costs, of
    which *read_read_cycles* where reads of one group wait for each other and *write_write_cycles* where writes do.
    *read_read*, *write_write* and *read_write* count accesses, also those that the table holds already. *group_cycles*
    are all cycles in which accesses wait for their group, the table's too; *clash_cycles* those that reads and writes
    in one bank would take if every repeat wrote while it reads, which are not in any time.
    """

    instructions: int = 0
    extra_cycles: int = 0
    read_read_cycles: int = 0
    write_write_cycles: int = 0
    read_read: int = 0
    write_write: int = 0
    read_write: int = 0
    group_cycles: int = 0
    clash_cycles: int = 0

    def __add__(self, other: BankConflicts) -> BankConflicts:
        return BankConflicts(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def times(self, count: int) -> BankConflicts:
        """The same *count* times."""
        return BankConflicts(*(count * getattr(self, one.name) for one in fields(self)))

    def to_json(self) -> dict[str, int]:
        """The fields as plain data, for result.json."""
        return asdict(self)


class ConflictLine(NamedTuple):
    """A line of the user's kernel whose vector instruction takes *extra_cycles*, over all cores, for bank conflicts.

    *explanation* says which operands cause them, and the way out.
    """

    where: SourceLine
    mnemonic: str
    extra_cycles: int
    explanation: str


def bank_conflicts(program: Program, chip: Chip) -> dict[CoreId, BankConflicts]:
    """The conflicts of each core of *program* on *chip*."""
    known: dict[Template, BankConflicts] = {}
    found: dict[CoreId, BankConflicts] = {}
    for stream in program.streams:
        total = BankConflicts()
        for template, count in _templates((stream,)).items():
            if template not in known:
                known[template] = total_of(_of(one, chip) for one in _vectors(template))
            total += known[template].times(count)
        found[stream.core] = total
    return found


def total_of(conflicts: Iterable[BankConflicts]) -> BankConflicts:
    """The sum of *conflicts*."""
    return sum(conflicts, BankConflicts())


def bank_conflict_lines(program: Program, chip: Chip) -> list[ConflictLine]:
    """The lines of *program* that bank conflicts cost cycles on *chip*, those with most extra cycles first."""
    cycles: Counter[tuple[SourceLine, str]] = Counter()
    reasons: dict[tuple[SourceLine, str], dict[str, None]] = {}
    for template, count in _templates(program.streams).items():
        for vector in _vectors(template):
            extra = sum(vector.bank_stalls(chip))
            if extra:
                key = vector.where, vector.mnemonic
                cycles[key] += extra * count
                reasons.setdefault(key, {}).update(dict.fromkeys(_reasons(vector, chip)))
    lines = [ConflictLine(*key, extra, "; ".join(reasons[key])) for key, extra in cycles.items()]
    return sorted(lines, key=lambda one: (-one.extra_cycles, one.where.file, one.where.line, one.mnemonic))


def _templates(streams: Iterable[Stream]) -> Counter[Template]:
    """How often each template is called."""
    return Counter(call.template for stream in streams for call in stream.calls)


def _vectors(template: Template) -> Iterator[VectorInstruction]:
    return (one for one in template.instructions if isinstance(one, VectorInstruction))


def _of(vector: VectorInstruction, chip: Chip) -> BankConflicts:
    use = bank_use(vector, chip)
    reads, writes = vector.bank_stalls(chip)
    return BankConflicts(
        instructions=int(reads + writes > 0),
        extra_cycles=reads + writes,
        read_read_cycles=reads,
        write_write_cycles=writes,
        read_read=use.read_read,
        write_write=use.write_write,
        read_write=use.read_write,
        group_cycles=use.group_cycles,
        clash_cycles=use.clash_cycles,
    )


def _reasons(vector: VectorInstruction, chip: Chip) -> Iterator[str]:
    """For each operand of *vector* whose blocks meet in a group: where they lie, and a pitch without conflicts."""
    banks = banks_of(chip)
    for role, operands in (("written", (vector.destination,)), ("read", vector.inputs)):
        for operand in operands:
            if isinstance(operand, LocalTensor) and len(operand.shape) == 2:
                stride = operand.pitch * operand.dtype.bytes // banks.block_bytes
                together = min(operand.rows, vector.rows_per_repeat(chip))
                reached = min(banks.groups // math.gcd(stride, banks.groups), together)
                if reached < together:
                    odd = stride + 1 - stride % 2
                    wider = odd * banks.block_bytes // operand.dtype.bytes
                    yield (
                        f"the {together} blocks of a repeat of '{operand.buffer.name}' are {role} in {reached} of "
                        f"{banks.groups} bank groups, since rows are {stride} blocks apart; pad the tile from "
                        f"{operand.pitch} to {wider} columns, an odd number of blocks"
                    )
