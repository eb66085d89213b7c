"""What an instruction is: one declaration of operands, legality, cost and meaning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from numpy.typing import NDArray

from ascend_sim.config import Chip
from ascend_sim.isa.operands import DEFAULT_ORDER, GlobalTensor, LocalTensor, fractal_shape
from ascend_sim.isa.source import SourceLine
from ascend_sim.isa.timing import Timing
from ascend_sim.isa.words import CoreKind, Pipe, Space
from ascend_sim.numerics import DType

Operand = LocalTensor | GlobalTensor


class Memory(Protocol):
    """The bytes an executing instruction sees: its core's buffers and global memory through the call's bases."""

    def read(self, operand: Operand) -> NDArray[Any]:
        """A copy of the operand's values, of its shape."""

    def write(self, operand: Operand, values: NDArray[Any]) -> None:
        """Store *values*, of the operand's shape and format."""


@dataclass(frozen=True, kw_only=True)
class Instruction(ABC):
    """Base of all instructions.

    A subclass declares its operands as fields, the `pipe` it runs on, and overrides `check` (what the hardware
    would refuse), `timing` (what it costs on a chip), `read` and `write` (its meaning).
    """

    mnemonic: ClassVar[str]
    where: SourceLine

    @property
    @abstractmethod
    def pipe(self) -> Pipe:
        """The pipe that executes the instruction."""

    @property
    @abstractmethod
    def cores(self) -> frozenset[CoreKind]:
        """The kinds of cores that have the instruction."""

    def check(self, chip: Chip) -> Iterator[str]:
        """Yield a message for each rule of the hardware that the instruction breaks on *chip*."""
        return iter(())

    def form(self, chip: Chip) -> Hashable:
        """All that `check` looks at on *chip*: instructions of one form break the same rules. None: not said."""
        return None

    @abstractmethod
    def timing(self, chip: Chip) -> Timing:
        """What the instruction asks of the engine on *chip*."""

    def sources(self) -> tuple[Operand, ...]:
        """Operands that are read."""
        return ()

    def destinations(self) -> tuple[Operand, ...]:
        """Operands that are written."""
        return ()

    @property
    def spelling(self) -> str:
        """The name that the vendor's tools print, such as "MOV_OUT_TO_UB"."""
        return self.mnemonic

    @property
    def adds_to(self) -> DType | None:
        """The format of an atomic addition to the destination; None for an instruction that overwrites it."""
        return None

    @property
    def forwards(self) -> bool:
        """Whether the pipe itself hands the destination on from the instruction before, without a barrier."""
        return False

    @property
    def unit_tile(self) -> int | None:
        """Byte address in L0C of the tile that unit_flag hands over between MMAD and FIXPIPE; None without."""
        return None

    @property
    def matrix_format(self) -> str:
        """The input format of a matrix operation; empty for other instructions."""
        return ""

    def flops(self) -> int:
        """Floating-point (or integer multiply-add) operations of the matrix unit."""
        return 0

    def late_read(self, chip: Chip) -> int | None:
        """How many cycles before the end the sources are read; None for the rule, which is at the start."""
        return None

    def read(self, memory: Memory) -> Any:
        """Compute what will be written, from the sources as they are when the instruction starts."""
        return None

    def write(self, memory: Memory, result: Any) -> None:
        """Store *result* when the instruction completes; an instruction without destinations stores nothing."""
        return None

    def operands(self) -> str:
        """The operands as a listing shows them."""
        parts = [*self.destinations(), *self.sources()]
        return ", ".join(str(part) for part in parts)


@dataclass(frozen=True, kw_only=True)
class Transfer(Instruction):
    """Base of the instructions that carry one operand to another."""

    destination: Operand
    source: Operand

    def sources(self) -> tuple[Operand, ...]:
        return (self.source,)

    def destinations(self) -> tuple[Operand, ...]:
        return (self.destination,)

    def read(self, memory: Memory) -> NDArray[Any]:
        return memory.read(self.source)

    def write(self, memory: Memory, result: NDArray[Any]) -> None:
        memory.write(self.destination, result)


def space_of(operand: Operand) -> Space:
    """The memory space of *operand*."""
    return operand.space if isinstance(operand, LocalTensor) else Space.GM


def name_of(operand: Operand) -> str:
    """The name the user gave to the buffer or tensor of *operand*."""
    return operand.buffer.name if isinstance(operand, LocalTensor) else operand.name


def expect_space(role: str, operand: Operand, *spaces: Space) -> Iterator[str]:
    """Yield a message if *operand* is in none of *spaces*."""
    if space_of(operand) not in spaces:
        allowed = " or ".join(space.value for space in spaces)
        yield f"{role} '{name_of(operand)}' is in {space_of(operand).value}; it must be in {allowed}"


def expect_alignment(role: str, operand: LocalTensor, alignment: int) -> Iterator[str]:
    """Yield a message if *operand* does not begin on a multiple of *alignment* bytes."""
    if operand.address % alignment:
        elements = operand.address % alignment // operand.dtype.bytes
        yield (
            f"{role} '{name_of(operand)}' begins at byte {operand.address:#x} of {operand.space.value}, which is not "
            f"a multiple of {alignment} B; move the slice by {elements} elements"
        )


def expect_fractals(role: str, operand: LocalTensor) -> Iterator[str]:
    """Yield a message if a matrix operand is not laid out as its memory needs it, or begins inside a fractal."""
    order = DEFAULT_ORDER[operand.space]
    if len(operand.shape) != 2:
        return
    if operand.order is not order:
        yield (
            f"{role} '{name_of(operand)}' is laid out as {operand.order.value}; {operand.space.value} holds "
            f"{order.value} fractals: leave the order out of tile(...)"
        )
        return
    rows, columns = fractal_shape(operand.dtype, order, operand.space)
    if operand.origin[0] % rows or operand.origin[1] % columns:
        yield (
            f"{role} '{name_of(operand)}' begins at element {list(operand.origin)}, inside a fractal of "
            f"{rows}x{columns} {operand.dtype}; slice {operand.space.value} tiles at multiples of {rows} and {columns}"
        )


def expect_same_shape(*operands: tuple[str, Operand]) -> Iterator[str]:
    """Yield a message if the operands do not all have the shape of the first."""
    first_role, first = operands[0]
    for role, operand in operands[1:]:
        if operand.shape != first.shape:
            yield (
                f"{role} '{name_of(operand)}' has shape {list(operand.shape)}, "
                f"{first_role} '{name_of(first)}' has {list(first.shape)}; they must agree"
            )
