"""Where buffers and tensors lie in a memory: byte ranges, addresses that a kernel chooses, overlaps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from numbers import Integral

from ascend_sim.isa.operands import round_up
from ascend_sim.isa.source import SourceLine, refusal


@dataclass(frozen=True)
class Reservation:
    """Bytes *begin* to *end* (not included) of a memory, reserved at *where* for *name*, a buffer or a tensor."""

    name: str
    begin: int
    end: int
    where: SourceLine

    def overlapped(self, others: Iterable[Reservation]) -> Reservation | None:
        """The one of *others* with the lowest address that shares a byte with this one."""
        shared = [other for other in others if other.begin < self.end and self.begin < other.end]
        return min(shared, key=lambda other: other.begin, default=None)

    def range_text(self) -> str:
        """The bytes and the line, as messages show them."""
        return f"bytes {self.begin} to {self.end}, {self.where}"


def expect_address(what: str, at: object, alignment: int, memory: str) -> None:
    """Raise a KernelError unless *at* is a byte address from 0 on that is a multiple of *alignment*."""
    if not isinstance(at, Integral) or isinstance(at, bool) or at < 0:
        raise refusal(f"{what}: at={at!r} is not a whole number of bytes from 0 on; use // to divide")
    rest = int(at) % alignment
    if rest:
        below = int(at) - rest
        raise refusal(
            f"{what}: at={at} is not a multiple of {alignment} B, the alignment in {memory}; the nearest addresses are "
            f"{below} and {below + alignment}"
        )


def overlap_message(kind: str, new: Reservation, old: Reservation, alignment: int, way_out: str) -> str:
    """What is wrong with *new*, a buffer or tensor as *kind* says, on bytes of *old*; *way_out* ends the sentence."""
    return (
        f"{kind} '{new.name}' ({new.range_text()}) overlaps {kind} '{old.name}' ({old.range_text()}): place it at "
        f"{round_up(old.end, alignment)} or behind, {way_out}"
    )


def by_address(reservations: Iterable[Reservation]) -> str:
    """Who holds what, in order of address; neighbours from one line are named together."""
    ordered = sorted(reservations, key=lambda one: (one.begin, one.end))
    parts = []
    for where, group in groupby(ordered, key=lambda one: one.where):
        held = ", ".join(f"{one.begin} to {one.end} {one.name}" for one in group)
        parts.append(f"{held} ({where})")
    return "; ".join(parts)
