"""The listing of a traced kernel: what each core executes, line by line, as a person would check it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from ascend_sim.isa.instruction import Instruction
from ascend_sim.isa.words import CoreKind
from ascend_sim.kernel.program import Program, Stream
from ascend_sim.observe.facts import operands_of
from ascend_sim.report.operands import OperandText

_KINDS = {CoreKind.AIC: "cube core", CoreKind.AIV: "vector core"}


def listing(program: Program, kinds: tuple[CoreKind, ...], limit: int) -> Iterator[str]:
    """The lines of the listing: tensors, buffers, then the first core of each of *kinds*, *limit* instructions each."""
    yield from _tensors(program)
    yield from _buffers(program, kinds)
    for kind in kinds:
        streams = [stream for stream in program.streams if stream.core.kind is kind]
        if streams:
            yield ""
            yield from _stream(program, streams[0], len(streams), limit)


def _tensors(program: Program) -> Iterator[str]:
    yield f"tensors in global memory ({program.gm_bytes:,} B)"
    width = max((len(tensor.name) for tensor in program.tensors), default=0)
    for tensor in program.tensors:
        shape = " x ".join(f"{extent:,}" for extent in tensor.shape)
        place = f"{tensor.address:#012x}"
        yield f"  {tensor.name:<{width}}  {tensor.role:<9}  {place}  {tensor.bytes:>15,} B  {tensor.dtype}  {shape}"


def _buffers(program: Program, kinds: tuple[CoreKind, ...]) -> Iterator[str]:
    uses = [use for use in program.buffers if use.kind in kinds]
    if not uses:
        return
    yield "buffers of a core"
    for use in uses:
        used = sum(size for _, size in use.buffers)
        share = f"{used:>9,} of {use.capacity:>9,} B ({100 * used / use.capacity:3.0f} %)"
        parts = ", ".join(f"{name} {size:,}" for name, size in use.buffers)
        yield f"  {use.kind.value} {use.space:<3}  {share}  {parts}"


def _stream(program: Program, stream: Stream, alike: int, limit: int) -> Iterator[str]:
    others = f"; the first of {alike} such cores" if alike > 1 else ""
    yield f"{_KINDS[stream.core.kind]} {stream.core}: {stream.length:,} instructions{others}"
    text, index = OperandText(program.tensors), 0
    for number, call in enumerate(stream.calls):
        if index >= limit:
            break
        shown = call.template.instructions[: limit - index]
        yield f"  call {number}: {call.template.name}"
        for instruction in shown:
            yield _line(index, instruction, text.of(operands_of(instruction), call.bases))
            index += 1
    if index < stream.length:
        yield f"  ... {stream.length - index:,} more instructions; --limit {stream.length} shows all"


def _line(index: int, instruction: Instruction, operands: str) -> str:
    place = f"{PurePath(instruction.where.file).name}:{instruction.where.line}"
    pipe = instruction.pipe.value.removeprefix("PIPE_")
    return f"  {index:>7}  {pipe:<4}  {instruction.mnemonic:<20}  {operands}  ({place})"
