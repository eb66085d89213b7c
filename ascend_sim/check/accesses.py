"""Which bytes were accessed last by whom, and what of that is not ordered: races, and reads of what nobody has written.

For each region of a memory that some instruction names, a `Cell` keeps the last write, the reads since and the atomic
additions since, each with its epoch. An access is compared with the cells of all regions that share a byte with its
own. A write supersedes what the regions inside its own had: whatever is ordered after the write is ordered after those
as well, and if they were not ordered before the write, that has been reported.

What can be missed: of several unordered writes to one region the last one is kept, so that a third access is compared
with that one only (the first race is reported in any case). What can be invented: windows that begin or end inside a
fractal count as whole fractals (`isa/regions.py`), and gathers read all of their source.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from ascend_sim.check.finding import Finding, Findings
from ascend_sim.check.order import Clock
from ascend_sim.check.remedy import order_between
from ascend_sim.engine.untimed import Core, Step
from ascend_sim.isa.instruction import Instruction, Operand, name_of, space_of
from ascend_sim.isa.operands import GlobalTensor
from ascend_sim.isa.regions import Region, region_of, uncovered
from ascend_sim.isa.words import Space
from ascend_sim.kernel.program import Program
from ascend_sim.numerics import DType

READ, WRITE, ADD = range(3)
_BUCKET = 1 << 16
"""Bytes of global memory whose regions are looked through together."""


class Access(NamedTuple):
    """Who accessed a region: its epoch (*joined* set of cores, *place* in its clocks, *number*), and what it was."""

    joined: int
    place: int
    number: int
    core: Core
    pipe: int
    step: Step
    kind: int
    format: DType | None
    operand: Operand


class Wanted(NamedTuple):
    """An operand of an instruction: its *region*, which for global memory counts from the base of *parameter*.

    *memory* is the number of its memory space, *at* that of a region that does not depend on a base.
    """

    memory: int
    region: Region
    parameter: int | None
    at: int
    kind: int
    operand: Operand


_MEMORIES = tuple(Space)
_GM = _MEMORIES.index(Space.GM)


class Cell:
    """What is known of one region of one memory."""

    __slots__ = ("adders", "first", "readers", "region", "whole", "writer", "written")

    def __init__(self, region: Region, whole: bool) -> None:
        self.region = region
        self.writer: Access | None = None
        self.first: Access | None = None
        self.readers: dict[tuple[int, int], Access] = {}
        self.adders: dict[tuple[int, int, DType | None], Access] = {}
        self.written = False
        self.whole = whole


class Layout:
    """The regions of a memory by number, and for each the numbers of those that share a byte with it."""

    def __init__(self) -> None:
        self.regions: list[Region] = []
        self.neighbours: list[list[int]] = []
        self.inside: list[list[int]] = []
        self._numbers: dict[Region, int] = {}
        self._buckets: dict[int, list[int]] = defaultdict(list)

    def number(self, region: Region) -> int:
        """The number of *region*, a new one if it was not there."""
        known = self._numbers.get(region)
        if known is not None:
            return known
        number = self._numbers[region] = len(self.regions)
        buckets = range(region.begin // _BUCKET, (region.end - 1) // _BUCKET + 1)
        candidates = dict.fromkeys(other for bucket in buckets for other in self._buckets[bucket])
        near = [other for other in candidates if region.overlaps(self.regions[other])]
        self.regions.append(region)
        self.neighbours.append([*near, number])
        self.inside.append([number, *(other for other in near if region.covers(self.regions[other]))])
        for other in near:
            self.neighbours[other].append(number)
            if self.regions[other].covers(region):
                self.inside[other].append(number)
        for bucket in buckets:
            self._buckets[bucket].append(number)
        return number


class Accesses:
    """Follows the accesses of all cores of *program*; `look` at each instruction as it begins."""

    def __init__(self, program: Program) -> None:
        self.findings = Findings()
        self._unwritten = Findings()
        self._unordered = Findings()
        self.raced: set[str] = set()
        """Names of the buffers and tensors with races."""
        self._counted: dict[object, tuple[int, int]] = {}
        """For each race the instruction that was found last, by core and position: two operands of one count once."""
        self._layouts = [Layout() for _ in _MEMORIES]
        self._cells: dict[tuple[int, int], dict[int, Cell]] = defaultdict(dict)
        self._wanted: dict[int, tuple[Wanted, ...]] = {}
        self._written_tensors = _written_tensors(program)
        self._inputs = {tensor.name for tensor in program.tensors if tensor.role == "input"}

    def look(self, core: Core, pipe: int, step: Step, joined: int, place: int, number: int, clock: Clock) -> None:
        """*step* begins on *pipe* of *core* as instruction *number* of its pipe; its pipe knows *clock*."""
        instruction = step.instruction
        wanted = self._wanted.get(id(instruction))
        if wanted is None:
            wanted = self._wanted[id(instruction)] = tuple(self._operands(instruction))
        touched = []
        for one in wanted:
            memory, region, parameter, at, kind, operand = one
            layout, cells = self._layouts[memory], self._cells[-1 if memory == _GM else core.number, memory]
            if parameter is not None:
                region = Region(region.begin + step.bases[parameter], *region[1:])
                at = layout.number(region)
            cell = cells.get(at)
            if cell is None:
                cell = cells[at] = Cell(region, memory == _GM and name_of(operand) in self._inputs)
            access = Access(joined, place, number, core, pipe, step, kind, instruction.adds_to, operand)
            near = [cells[other] for other in layout.neighbours[at] if other in cells]
            self._compare(access, region, near, clock)
            if kind != WRITE and not cell.whole:
                self._expect_written(access, cell, near)
            touched.append((access, at, cell, layout, cells))
        for access, at, cell, layout, cells in touched:
            _record(access, at, cell, layout, cells)

    def _operands(self, instruction: Instruction) -> Iterator[Wanted]:
        """The operands that matter: tensors that are only ever read need no order."""
        adds = instruction.adds_to is not None
        reads = [one for one in instruction.sources() if not (adds and one in instruction.destinations())]
        pairs = [(READ, one) for one in reads]
        pairs += [(ADD if adds else WRITE, one) for one in instruction.destinations()]
        for kind, operand in pairs:
            memory, region, parameter = _MEMORIES.index(space_of(operand)), region_of(operand), None
            if isinstance(operand, GlobalTensor):
                if operand.name in self._inputs and operand.name not in self._written_tensors:
                    continue
                parameter = operand.parameter
            at = self._layouts[memory].number(region) if parameter is None else -1
            yield Wanted(memory, region, parameter, at, kind, operand)

    def _compare(self, access: Access, region: Region, near: list[Cell], clock: Clock) -> None:
        joined, kind = access.joined, access.kind
        for cell in near:
            found = False
            if kind != READ:
                early = not (cell.written or cell.whole)
                for before in cell.readers.values():
                    if not (before.joined == joined and clock[before.place] >= before.number):
                        found |= self._clash(before, access, cell.region, early)
            for before in cell.adders.values():
                if before.joined == joined and clock[before.place] >= before.number:
                    continue
                if kind == ADD and before.format == access.format:
                    self._any_order(before, access)
                else:
                    found |= self._clash(before, access, cell.region)
            last = cell.writer
            # What waits for those that read a value or added to it waits for the one that wrote it.
            if not (found or last is None or (last.joined == joined and clock[last.place] >= last.number)):
                first = cell.first
                again = first is not None and (first.joined, first.place) == (last.joined, last.place)
                # A read that waits for an earlier write of the same pipe was to come before the next one.
                overtaken = again and first is not None and last.joined == joined and clock[last.place] >= first.number
                self._clash(last, access, cell.region, kind == READ and overtaken)

    def _clash(self, before: Access, access: Access, region: Region, early: bool = False) -> bool:
        """Report two accesses that nothing orders, unless their own pipe does; return whether they are a race.

        *early* says that the two were meant the other way round, if they are on different cores: a read before anybody
        had written, or a read that was to come before the next write.
        """
        tile, here = access.step.instruction.unit_tile, before.core is access.core
        # Between mmad and fixpipe, that is; what accumulates in a small tile still needs its barrier.
        handed_over = tile is not None and tile == before.step.instruction.unit_tile and here
        handed_over = handed_over and before.pipe != access.pipe
        if handed_over and space_of(access.operand) is Space.L0C:
            return False
        if before.core is access.core and before.pipe == access.pipe:
            if before.kind == READ:
                return False  # a pipe has read when it begins the next instruction
            # The matrix unit writes in order; it adds to what is under way fractal by fractal of the same tile.
            in_order = access.kind == WRITE or _same_tile(before, access)
            if in_order and before.step.instruction.forwards and access.step.instruction.forwards:
                return False
            if _same_again(before, access):
                return False
        first, second = before, access
        if early if first.core is not second.core else first.step.position > second.step.position:
            first, second = second, first
        self.raced.add(name_of(access.operand))
        key = first.step.instruction.where, second.step.instruction.where, space_of(first.operand)
        instruction = access.core.number, access.step.position
        if self._counted.get(key) != instruction:
            self._counted[key] = instruction
            if not self.findings.again(key):
                self.findings.add(key, Finding("race", _race(first, second), second.step.instruction.where))
        return True

    def _any_order(self, before: Access, access: Access) -> None:
        """Hint at floating-point sums whose last bits depend on who comes first; one pipe keeps its order."""
        if access.format is None or not access.format.is_float:
            return
        if before.core is access.core and before.pipe == access.pipe:
            return
        one, other = before.step.instruction, access.step.instruction
        key = "order", one.where, other.where
        if not self._unordered.again(key):
            message = (
                f"{other.mnemonic} adds {access.format} numbers atomically to GM '{name_of(access.operand)}', where "
                f"{one.mnemonic} ({one.where}) on {before.core.id} adds as well, in no fixed order: the last bits of "
                f"the sums differ from run to run; if they must not, let one wait for the other, or add up partial "
                f"sums in order"
            )
            self._unordered.add(key, Finding("atomic-order", message, other.where, error=False))

    def _expect_written(self, access: Access, cell: Cell, near: list[Cell]) -> None:
        """Report a read of bytes that no instruction has written so far."""
        if cell.written or (missing := uncovered(cell.region, [one.region for one in near if one.written])) is None:
            cell.whole = True
            return
        key = (access.step.instruction.where, name_of(access.operand))
        if self._unwritten.again(key):
            return
        nothing = not any(one.written for one in near)
        instruction, space = access.step.instruction, space_of(access.operand).value
        reads = "adds to" if access.kind == ADD else "reads"
        text = f"{instruction.mnemonic} {reads} {space} '{name_of(access.operand)}' at {cell.region}"
        if nothing:
            message = (
                f"{text}, but nobody has written there: it holds poison (NaN); write it first, or mmad with init=True, "
                f"or store the first part without atomic_add (first on {access.core.id})"
            )
        else:
            message = (
                f"{text}, of which byte {missing:#x} and perhaps more were never written; whether the poison reaches "
                f"an output is seen in a run with numbers (--data) (first on {access.core.id})"
            )
        self._unwritten.add(key, Finding("uninitialised", message, instruction.where, error=nothing))

    def found(self) -> list[Finding]:
        """Races, and reads of unwritten memory where no race explains them."""
        return self.findings.all() + self._unordered.all() + [
            one for one in self._unwritten.all() if not any(f"'{name}'" in one.message for name in self.raced)
        ]


def _record(access: Access, at: int, cell: Cell, layout: Layout, cells: dict[int, Cell]) -> None:
    key = access.joined, access.place
    if access.kind == READ:
        cell.readers[key] = access
        return
    if access.kind == ADD:
        cell.adders[*key, access.format] = access
        cell.written = True
        return
    for other in layout.inside[at]:
        inner = cells.get(other)
        if inner is not None:
            inner.writer = None
            inner.written = inner.whole = True
            if inner.readers:
                inner.readers.clear()
            if inner.adders:
                inner.adders.clear()
    cell.writer = access
    cell.first = cell.first or access


def _same_tile(before: Access, access: Access) -> bool:
    """Whether two operands are one tile laid out alike, so that fractal follows fractal."""
    one, other = before.operand, access.operand
    if isinstance(one, GlobalTensor) or isinstance(other, GlobalTensor):
        return False
    return (one.address, one.tile, one.shape) == (other.address, other.tile, other.shape)


def _same_again(before: Access, access: Access) -> bool:
    """Whether one instruction writes the same values twice, as in a loop that measures it: either may come last."""
    one, other = before.step, access.step
    again = one.bases == other.bases and one.instruction == other.instruction
    return again and access.operand not in other.instruction.sources()


def _written_tensors(program: Program) -> set[str]:
    templates = {id(call.template): call.template for stream in program.streams for call in stream.calls}
    return {
        operand.name
        for template in templates.values()
        for instruction in template.instructions
        for operand in instruction.destinations()
        if isinstance(operand, GlobalTensor)
    }


_VERBS = {READ: "reads", WRITE: "writes", ADD: "adds to"}
_BETWEEN = {(WRITE, READ): "read after write", (READ, WRITE): "write after read", (WRITE, WRITE): "write after write"}


def _race(first: Access, second: Access) -> str:
    """Both accesses, the bytes that they share, and what would order them."""
    named = _BETWEEN.get((min(first.kind, WRITE), min(second.kind, WRITE)), "")
    kind = "atomic additions of different formats" if first.kind == second.kind == ADD else named
    before, after = first.step.instruction, second.step.instruction
    there = f" on {first.core.id}" if first.core is not second.core else ""
    region = region_of(second.operand, _base(second))
    way_out = order_between(first.core.id, before, second.core.id, after)
    return (
        f"race in {space_of(second.operand).value} '{name_of(second.operand)}', {region}: {after.pipe.value} "
        f"{after.mnemonic} {_VERBS[second.kind]} what {before.pipe.value} {before.mnemonic} ({before.where}){there} "
        f"{_VERBS[first.kind]} ({kind}), and nothing orders the two; {way_out} "
        f"(first on {second.core.id})"
    )


def _base(access: Access) -> int:
    operand = access.operand
    if isinstance(operand, GlobalTensor) and operand.parameter is not None:
        return access.step.bases[operand.parameter]
    return 0
