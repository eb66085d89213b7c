"""A traced kernel: the one immutable description that every interpreter reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from ascend_sim.isa.instruction import Instruction
from ascend_sim.isa.words import CoreKind
from ascend_sim.numerics import DType


@dataclass(frozen=True)
class CoreId:
    """Which core: *die*, *group* on the die (one cube core and its vector cores), kind, *sub* within the group."""

    die: int
    group: int
    kind: CoreKind
    sub: int

    def __lt__(self, other: CoreId) -> bool:
        """The cores of a group follow each other, the cube core first."""
        return self._order < other._order

    @property
    def _order(self) -> tuple[int, int, str, int]:
        return self.die, self.group, self.kind.value, self.sub

    def __str__(self) -> str:
        kind = "cubecore0" if self.kind is CoreKind.AIC else f"veccore{self.sub}"
        return f"die{self.die}.core{self.group}.{kind}"


@dataclass(frozen=True, eq=False)
class Template:
    """A run of instructions whose global-memory windows count from base addresses that each call binds.

    Templates are compared by identity: the tracer makes equal runs one template.
    """

    name: str
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True)
class Call:
    """One execution of *template* with the byte addresses *bases* of its global-memory parameters."""

    template: Template
    bases: tuple[int, ...]


@dataclass(frozen=True)
class Stream:
    """What one core executes, in program order."""

    core: CoreId
    calls: tuple[Call, ...]

    def __iter__(self) -> Iterator[tuple[Call, Instruction]]:
        for call in self.calls:
            for instruction in call.template.instructions:
                yield call, instruction

    @cached_property
    def length(self) -> int:
        """Number of instructions."""
        return sum(len(call.template.instructions) for call in self.calls)


@dataclass(frozen=True)
class TensorDeclaration:
    """A tensor in global memory: *role* is input, output or workspace, *address* its first byte."""

    name: str
    role: str
    shape: tuple[int, ...]
    dtype: DType
    address: int

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        size = self.dtype.bytes
        for extent in self.shape:
            size *= extent
        return size


@dataclass(frozen=True)
class BufferUse:
    """How a kind of core uses one of its memories: (name, bytes) of each buffer, in order, and the capacity."""

    kind: CoreKind
    space: str
    buffers: tuple[tuple[str, int], ...]
    capacity: int


@dataclass(frozen=True)
class Program:
    """A kernel traced for all cores of a chip.

    *flops* counts the useful operations of the problem, without padding.
    """

    name: str
    tensors: tuple[TensorDeclaration, ...]
    streams: tuple[Stream, ...]
    buffers: tuple[BufferUse, ...]
    flops: int
    gm_bytes: int

    @cached_property
    def instructions(self) -> int:
        """Number of instructions of all cores."""
        return sum(stream.length for stream in self.streams)

    def tensor(self, name: str) -> TensorDeclaration:
        """The declaration of the tensor called *name*; raise a KeyError if there is none."""
        for tensor in self.tensors:
            if tensor.name == name:
                return tensor
        raise KeyError(name)
