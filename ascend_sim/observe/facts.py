"""What the analyses of a schedule need to know of instructions, worked out once for each template.

Facts are plain values: they can be written to a file, so that a run can be looked into without its program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ascend_sim.config import Chip
from ascend_sim.isa.instruction import Instruction, space_of
from ascend_sim.isa.operands import GlobalTensor, LocalTensor
from ascend_sim.isa.timing import Barrier, CrossCoreSet, CrossCoreWait, Move, Run, SetFlag, Timing, WaitFlag, drained
from ascend_sim.isa.words import Pipe, Space
from ascend_sim.kernel.program import Template

RUN, MOVE, SET, WAIT, BARRIER, CROSS_SET, CROSS_WAIT = range(7)
_KINDS = {
    Run: RUN, Move: MOVE, SetFlag: SET, WaitFlag: WAIT, Barrier: BARRIER, CrossCoreSet: CROSS_SET,
    CrossCoreWait: CROSS_WAIT,
}  # fmt: skip

PIPES = (Pipe.S, Pipe.MTE2, Pipe.MTE1, Pipe.M, Pipe.V, Pipe.MTE3, Pipe.FIX)
NUMBER = {pipe: number for number, pipe in enumerate(PIPES)}
Path = tuple[Space, Space]
"""Memory spaces that a move connects, source first."""


@dataclass(frozen=True)
class Window:
    """A window of global memory that an instruction names, as a GlobalTensor has it; *dtype* by name."""

    name: str
    dtype: str
    element_bytes: int
    shape: tuple[int, ...]
    pitch: int
    offset: int
    parameter: int | None


@dataclass(frozen=True)
class Operands:
    """The operands of an instruction: *text* has the local ones in full, "{0}", "{1}" ... stand for the *windows*.

    Where a window lies depends on the call.
    """

    text: str
    windows: tuple[Window, ...]


@dataclass(frozen=True)
class Words:
    """What a person reads of an instruction.

    *spelling* is the vendor's name of it, *where* file and line, *moved* the number of bytes that it carries.
    """

    mnemonic: str
    spelling: str
    where: str
    operands: Operands
    moved: int


@dataclass(frozen=True, eq=False)
class TemplateFacts:
    """The instructions of a template, which belongs to the stage *name*: in arrays their kind, pipe number and timing.

    *hold* is the occupancy of a RUN, *latency* what a MOVE takes after it has left its pipe, *head* its head cycles,
    *tile* the L0C address of a unit_flag handshake (-1 without), *release* whether the tile is handed on. A flag has
    the number of the *peer* pipe (the one that waits for a set_flag, the one that sets for a wait_flag; the mode of a
    cross-core flag) and its *flag* id; both are -1 for other instructions. *describe* says the same to people.
    *moved* counts the bytes on each path, *issued* the instructions of each pipe, *moves* those that move to or from
    global memory, *heads* their head cycles, *flows* the cycles that their bytes would flow if nothing else moved.
    """

    name: str
    describe: Callable[[], tuple[Words, ...]]
    kinds: NDArray[np.int8]
    pipes: NDArray[np.int8]
    hold: NDArray[np.int64]
    latency: NDArray[np.int64]
    head: NDArray[np.int64]
    tile: NDArray[np.int64]
    release: NDArray[np.bool_]
    peer: NDArray[np.int8]
    flag: NDArray[np.int8]
    moved: dict[Path, int]
    issued: dict[Pipe, int]
    moves: dict[Pipe, int]
    heads: dict[Pipe, int]
    flows: dict[Pipe, float]

    @cached_property
    def words(self) -> tuple[Words, ...]:
        """The instructions in words: made when somebody asks for them."""
        return self.describe()


def process_bytes(instruction: Instruction, chip: Chip) -> int:
    """Bytes that a moving instruction carries, whole fractals in L0; 0 for one that computes or synchronises."""
    timing = instruction.timing(chip)
    if isinstance(timing, Move):
        return timing.access.bytes
    if instruction.pipe is Pipe.MTE1:
        return sum(one.tile_bytes for one in instruction.destinations() if isinstance(one, LocalTensor))
    return 0


def template_facts(template: Template, chip: Chip) -> TemplateFacts:
    """Ask every instruction of *template* what it costs on *chip*."""
    rows: list[tuple[int, ...]] = []
    moved: dict[Path, int] = {}
    issued: dict[Pipe, int] = {}
    moves: dict[Pipe, int] = {}
    heads: dict[Pipe, int] = {}
    flows: dict[Pipe, float] = {}
    instructions = template.instructions
    timings = drained([(instruction.pipe, instruction.timing(chip)) for instruction in instructions])
    for instruction, timing in zip(instructions, timings, strict=True):
        pipe = instruction.pipe
        hold = timing.occupancy if isinstance(timing, Run) else 0
        latency, head = 0, 0
        if isinstance(timing, Move):
            latency, head = timing.latency, timing.head
            moves[pipe] = moves.get(pipe, 0) + 1
            heads[pipe] = heads.get(pipe, 0) + head
            flows[pipe] = flows.get(pipe, 0.0) + timing.flow_cycles(0)
        flag = timing.unit_flag if isinstance(timing, Run | Move) else None
        tile, release = (-1, False) if flag is None else (flag.slot, flag.release)
        rows.append((_KINDS[type(timing)], NUMBER[pipe], hold, latency, head, tile, release, *_flag(timing)))
        issued[pipe] = issued.get(pipe, 0) + 1
        size = process_bytes(instruction, chip)
        if size:
            path = space_of(instruction.sources()[0]), space_of(instruction.destinations()[0])
            moved[path] = moved.get(path, 0) + size
    columns = np.array(rows, dtype=np.int64).reshape(-1, 9).T
    return TemplateFacts(
        name=template.name,
        describe=lambda: tuple(_words(instruction, chip) for instruction in instructions),
        kinds=columns[0].astype(np.int8),
        pipes=columns[1].astype(np.int8),
        hold=columns[2],
        latency=columns[3],
        head=columns[4],
        tile=columns[5],
        release=columns[6].astype(np.bool_),
        peer=columns[7].astype(np.int8),
        flag=columns[8].astype(np.int8),
        moved=moved,
        issued=issued,
        moves=moves,
        heads=heads,
        flows=flows,
    )


def _flag(timing: Timing) -> tuple[int, int]:
    """The peer and the id of a flag, -1 and -1 for what is none."""
    if isinstance(timing, SetFlag):
        return NUMBER[timing.destination], timing.flag
    if isinstance(timing, WaitFlag):
        return NUMBER[timing.source], timing.flag
    if isinstance(timing, CrossCoreSet | CrossCoreWait):
        return timing.mode, timing.flag
    return -1, -1


def operands_of(instruction: Instruction) -> Operands:
    """The operands of *instruction* for a person to read."""
    text = instruction.operands().replace("{", "{{").replace("}", "}}")
    windows: list[Window] = []
    operands = (*instruction.destinations(), *instruction.sources())
    for operand in dict.fromkeys(one for one in operands if isinstance(one, GlobalTensor)):
        text = text.replace(str(operand), f"{{{len(windows)}}}")
        windows.append(
            Window(
                operand.name, str(operand.dtype), operand.dtype.bytes, operand.shape, operand.pitch, operand.offset,
                operand.parameter,
            )
        )  # fmt: skip
    return Operands(text, tuple(windows))


def _words(instruction: Instruction, chip: Chip) -> Words:
    where, moved = str(instruction.where), process_bytes(instruction, chip)
    return Words(instruction.mnemonic, instruction.spelling, where, operands_of(instruction), moved)
