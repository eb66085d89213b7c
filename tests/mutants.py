"""Programs with one synchronising instruction removed, or with another id."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ascend_sim.config import Chip
from ascend_sim.isa.instruction import Instruction
from ascend_sim.isa.sync import CrossCoreSetFlag, CrossCoreWaitFlag, PipeBarrier, SetFlag, WaitFlag
from ascend_sim.kernel import Program, Template
from ascend_sim.kernel.program import Stream

SYNCHRONISING = (SetFlag, WaitFlag, PipeBarrier, CrossCoreSetFlag, CrossCoreWaitFlag)


@dataclass(frozen=True)
class Mutant:
    """*program* with *instruction* of *template* (at *position*) removed or, with *change*, replaced."""

    template: Template
    position: int
    instruction: Instruction
    change: str
    program: Program

    def __str__(self) -> str:
        text = f"{self.instruction.mnemonic} {self.instruction.operands()}"
        return f"{self.instruction.where}: {text} {self.change} in {self.template.name}"


def mutants(program: Program, chip: Chip) -> Iterator[Mutant]:
    """Each synchronising instruction of each recorded run of instructions: removed, and with the next id."""
    for template in dict.fromkeys(call.template for stream in program.streams for call in stream.calls):
        for position, instruction in enumerate(template.instructions):
            if not isinstance(instruction, SYNCHRONISING):
                continue
            rest = template.instructions[:position], template.instructions[position + 1 :]
            without = Template(template.name, rest[0] + rest[1])
            yield Mutant(template, position, instruction, "removed", _with(program, template, without))
            other = _other_id(instruction, chip)
            if other is not None:
                changed = Template(template.name, (*rest[0], other, *rest[1]))
                yield Mutant(template, position, instruction, "with another id", _with(program, template, changed))


def _other_id(instruction: Instruction, chip: Chip) -> Instruction | None:
    if isinstance(instruction, SetFlag | WaitFlag):
        return replace(instruction, flag=(instruction.flag + 1) % chip.sync.event_ids.value)
    if isinstance(instruction, CrossCoreSetFlag | CrossCoreWaitFlag):
        return replace(instruction, flag=(instruction.flag + 1) % chip.sync.cross_core_flag_ids.value)
    return None


def _with(program: Program, old: Template, new: Template) -> Program:
    streams = tuple(
        Stream(
            stream.core,
            tuple(replace(call, template=new) if call.template is old else call for call in stream.calls),
        )
        for stream in program.streams
    )
    return replace(program, streams=streams)
