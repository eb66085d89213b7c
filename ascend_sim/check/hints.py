"""What makes a program slow without making it wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from ascend_sim.check.finding import Finding
from ascend_sim.config import Chip
from ascend_sim.isa.instruction import name_of
from ascend_sim.isa.operands import LocalTensor
from ascend_sim.isa.source import SourceLine
from ascend_sim.isa.sync import PipeBarrier
from ascend_sim.isa.timing import Move
from ascend_sim.isa.words import Pipe
from ascend_sim.kernel.program import Program, Template
from ascend_sim.observe.banks import bank_conflict_lines


@dataclass
class _Moves:
    """The moves of one line: how many, how many of them small or misaligned, and the least bytes of one."""

    mnemonic: str
    pipe: Pipe
    count: int = 0
    small: int = 0
    misaligned: int = 0
    least: int = 1 << 62


def hints(program: Program, chip: Chip) -> Iterator[Finding]:
    """Hints that can be read off *program* as it is."""
    calls: dict[Template, list[tuple[int, ...]]] = defaultdict(list)
    for stream in program.streams:
        for call in stream.calls:
            calls[call.template].append(call.bases)
    yield from _barriers(calls)
    yield from _transfers(calls, chip)
    yield from _single_buffers(program, calls)
    for where, mnemonic, cycles, explanation in bank_conflict_lines(program, chip):
        message = f"{mnemonic} loses {cycles:,} cycles to bank conflicts in UB: {explanation}"
        yield Finding("bank-conflict", message, where, error=False)


Calls = dict[Template, list[tuple[int, ...]]]


def _barriers(calls: Calls) -> Iterator[Finding]:
    """A barrier on all pipes where a flag between two of them would do."""
    found: dict[SourceLine, int] = defaultdict(int)
    for template, bases in calls.items():
        for instruction in template.instructions:
            if isinstance(instruction, PipeBarrier) and instruction.target is Pipe.ALL:
                found[instruction.where] += len(bases)
    for where, count in found.items():
        message = (
            "pipe_barrier(Pipe.ALL) empties every pipe; set_flag and wait_flag between the two pipes that share the "
            "buffer let the others go on"
        )
        yield Finding("barrier", message, where, error=False, places=count)


def _transfers(calls: Calls, chip: Chip) -> Iterator[Finding]:
    """Lines of which most moves are too small, or begin at an address that makes them slow."""
    enough, line = chip.advice.move_bytes.value, chip.advice.move_alignment_bytes.value
    lines: dict[SourceLine, _Moves] = {}
    for template, bases in calls.items():
        for instruction in template.instructions:
            timing = instruction.timing(chip)
            if not isinstance(timing, Move):
                continue
            access = timing.access
            seen = lines.setdefault(instruction.where, _Moves(instruction.mnemonic, instruction.pipe))
            seen.count += len(bases)
            seen.least = min(seen.least, access.bytes)
            if access.bytes < enough:
                seen.small += len(bases)
            for one in bases:
                begin = access.offset + (one[access.parameter] if access.parameter is not None else 0)
                seen.misaligned += begin % line != 0
    for where, seen in lines.items():
        if 2 * seen.small >= seen.count:
            message = (
                f"{seen.mnemonic} on {seen.pipe.value} moves {seen.least:,} B at a time ({seen.small:,} of "
                f"{seen.count:,} moves are below {enough:,} B): the head of each move weighs more than its bytes; move "
                f"larger tiles"
            )
            yield Finding("small-transfer", message, where, error=False)
        if 2 * seen.misaligned >= seen.count:
            message = (
                f"{seen.mnemonic} on {seen.pipe.value} begins {seen.misaligned:,} of {seen.count:,} moves at addresses "
                f"of GM that are no multiple of {line} B, which costs a line more each; pad the tensor or the tile"
            )
            yield Finding("misaligned-transfer", message, where, error=False)


def _single_buffers(program: Program, calls: Calls) -> Iterator[Finding]:
    """Rings of one buffer: the two pipes take turns."""
    names = {name for use in program.buffers for name, _ in use.buffers}
    single = {name for name in names if name.endswith("[0]") and f"{name[:-3]}[1]" not in names}
    places: dict[str, SourceLine] = {}
    for template in calls:
        for instruction in template.instructions:
            for operand in (*instruction.sources(), *instruction.destinations()):
                if isinstance(operand, LocalTensor) and name_of(operand) in single:
                    places.setdefault(name_of(operand), operand.buffer.where)
    for name, where in places.items():
        message = (
            f"ring '{name[:-3]}' has a single buffer: its fill pipe waits while it is drained, and the other way "
            f"round; give it buffers=2 if the memory allows"
        )
        yield Finding("single-buffer", message, where, error=False)
