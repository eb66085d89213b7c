"""Synchronisation: flags between pipes, barriers, flags between cores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from ascend_sim.config import Chip
from ascend_sim.isa.instruction import Instruction
from ascend_sim.isa.timing import Barrier, CrossCoreSet, CrossCoreWait
from ascend_sim.isa.timing import SetFlag as SetFlagTiming
from ascend_sim.isa.timing import WaitFlag as WaitFlagTiming
from ascend_sim.isa.words import PIPES_OF, CoreKind, Pipe


@cache
def _cores_with(*pipes: Pipe) -> frozenset[CoreKind]:
    wanted = [pipe for pipe in pipes if pipe is not Pipe.ALL]
    return frozenset(kind for kind, has in PIPES_OF.items() if all(pipe in has for pipe in wanted))


@dataclass(frozen=True, kw_only=True)
class _PipeFlag(Instruction):
    source: Pipe
    destination: Pipe
    flag: int

    @property
    def cores(self) -> frozenset[CoreKind]:
        return _cores_with(self.source, self.destination)

    def check(self, chip: Chip) -> Iterator[str]:
        if self.source is self.destination or Pipe.ALL in (self.source, self.destination):
            yield (
                f"connects two different pipes, not {self.source.value} and {self.destination.value}; "
                f"use pipe_barrier to order one pipe"
            )
        ids = chip.sync.event_ids.value
        if not 0 <= self.flag < ids:
            yield (
                f"event id {self.flag} is outside 0..{ids - 1}; each pair of pipes has {ids} event ids, use one of "
                f"them again"
            )

    def operands(self) -> str:
        return f"{self.source.value}->{self.destination.value}, id {self.flag}"


@dataclass(frozen=True, kw_only=True)
class SetFlag(_PipeFlag):
    """On the source pipe: raise a flag for the destination pipe once all earlier work is visible."""

    mnemonic: ClassVar[str] = "set_flag"

    @property
    def pipe(self) -> Pipe:
        return self.source

    @property
    def spelling(self) -> str:
        return f"SET_FLAG.{self.source.name}.{self.destination.name}"

    def timing(self, chip: Chip) -> SetFlagTiming:
        return SetFlagTiming(self.destination, self.flag)


@dataclass(frozen=True, kw_only=True)
class WaitFlag(_PipeFlag):
    """On the destination pipe: wait for a flag of the source pipe and lower it."""

    mnemonic: ClassVar[str] = "wait_flag"

    @property
    def pipe(self) -> Pipe:
        return self.destination

    @property
    def spelling(self) -> str:
        return f"WAIT_FLAG.{self.source.name}.{self.destination.name}"

    def timing(self, chip: Chip) -> WaitFlagTiming:
        return WaitFlagTiming(self.source, self.flag)


@dataclass(frozen=True, kw_only=True)
class PipeBarrier(Instruction):
    """Wait until earlier work of one pipe (or of all) is visible before its next instruction starts."""

    mnemonic: ClassVar[str] = "pipe_barrier"
    target: Pipe

    @property
    def pipe(self) -> Pipe:
        return Pipe.S if self.target is Pipe.ALL else self.target

    @property
    def cores(self) -> frozenset[CoreKind]:
        return _cores_with(self.target)

    @property
    def spelling(self) -> str:
        return f"BAR.{self.target.name}"

    def check(self, chip: Chip) -> Iterator[str]:
        if self.target is Pipe.S:
            yield "PIPE_S has no barrier: the scalar unit works in order; name another pipe or PIPE_ALL"

    def timing(self, chip: Chip) -> Barrier:
        return Barrier(self.target)

    def operands(self) -> str:
        return self.target.value


@dataclass(frozen=True, kw_only=True)
class _CrossCoreFlag(Instruction):
    # The spellings are ours, after SET_FLAG: the lists of the vendor's that we know have no flags between cores.
    flag: int
    mode: int

    def check(self, chip: Chip) -> Iterator[str]:
        ids = chip.sync.cross_core_flag_ids.value
        if not 0 <= self.flag < ids:
            yield f"cross-core flag id {self.flag} is outside 0..{ids - 1}, the ids open to kernels"
        if self.mode not in (0, 1, 2):
            yield (
                f"mode {self.mode} does not exist; 0 joins all cores of one kind, 1 the vector cores of a group, "
                f"2 a cube core and its vector cores"
            )


@dataclass(frozen=True, kw_only=True)
class CrossCoreSetFlag(_CrossCoreFlag):
    """Once earlier work of *on_pipe* is visible, count the flag up at the cores of *mode*."""

    mnemonic: ClassVar[str] = "cross_core_set_flag"
    on_pipe: Pipe

    @property
    def pipe(self) -> Pipe:
        return self.on_pipe

    @property
    def cores(self) -> frozenset[CoreKind]:
        return frozenset((CoreKind.AIV,)) if self.mode == 1 else _cores_with(self.on_pipe)

    @property
    def spelling(self) -> str:
        return f"SET_CROSS_CORE.{self.on_pipe.name}"

    def check(self, chip: Chip) -> Iterator[str]:
        yield from super().check(chip)
        if self.on_pipe in (Pipe.S, Pipe.ALL):
            yield (
                f"cannot run on {self.on_pipe.value}; name the pipe whose results the other core "
                f"reads (PIPE_FIX on a cube core, PIPE_MTE3 on a vector core)"
            )

    def timing(self, chip: Chip) -> CrossCoreSet:
        return CrossCoreSet(self.flag, self.mode)

    def operands(self) -> str:
        return f"flag {self.flag}, mode {self.mode}, {self.on_pipe.value}"


@dataclass(frozen=True, kw_only=True)
class CrossCoreWaitFlag(_CrossCoreFlag):
    """Hold the whole core (its scalar front end) until the cores of *mode* have counted the flag up."""

    mnemonic: ClassVar[str] = "cross_core_wait_flag"

    @property
    def pipe(self) -> Pipe:
        return Pipe.S

    @property
    def cores(self) -> frozenset[CoreKind]:
        return frozenset((CoreKind.AIV,)) if self.mode == 1 else frozenset(CoreKind)

    @property
    def spelling(self) -> str:
        return "WAIT_CROSS_CORE"

    def timing(self, chip: Chip) -> CrossCoreWait:
        return CrossCoreWait(self.flag, self.mode)

    def operands(self) -> str:
        return f"flag {self.flag}, mode {self.mode}"
