"""Which cores behave exactly alike, so that one of them can be simulated for all.

Two groups of cores (a cube core with its vector cores) are alike if they execute the same templates with addresses
that differ by a constant for each tensor, a multiple of a cache sector, if neither shares a sector with any other group
of its die, and if they start in the same cycle (their launch has no skew): then every group sees the same hits, misses
and bandwidth shares at the same cycles. Two dies are alike if their groups are pairwise so shifted; dies share nothing.
Whatever is not shown to be alike is simulated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ascend_sim.config import Chip
from ascend_sim.engine.launch import launch_of
from ascend_sim.isa.timing import GmAccess, Move
from ascend_sim.kernel.program import CoreId, Program, Stream, Template

Interval = tuple[int, int]


@dataclass(frozen=True)
class CoreClass:
    """A group of cores to simulate: its *streams*, the cores each stands for, and its *weight* on its die.

    *die_weight* is the number of dies that the simulated die stands for.
    """

    streams: tuple[Stream, ...]
    members: tuple[tuple[CoreId, ...], ...]
    weight: int
    die_weight: int


Group = tuple[Stream, ...]


def every_core(program: Program) -> list[CoreClass]:
    """Each core for itself."""
    return [
        CoreClass(group, tuple((stream.core,) for stream in group), 1, 1)
        for groups in _dies(program).values()
        for group in groups
    ]


def classify(program: Program, chip: Chip) -> list[CoreClass]:
    """The classes of cores of *program*, each with all its members."""
    footprints = _Footprints(program, chip)
    dies = _dies(program)
    alike: list[list[int]] = []
    for die, groups in dies.items():
        for known in alike:
            if footprints.shifted_dies(dies[known[0]], groups):
                known.append(die)
                break
        else:
            alike.append([die])
    classes: list[CoreClass] = []
    for members in alike:
        for lumped in _lump(dies[members[0]], footprints):
            classes.append(_class_of(lumped, members, dies))
    return classes


def _class_of(lumped: list[int], dies_alike: list[int], dies: dict[int, list[Group]]) -> CoreClass:
    first = dies[dies_alike[0]]
    streams = first[lumped[0]]
    members = tuple(
        tuple(dies[die][position][which].core for die in dies_alike for position in lumped)
        for which in range(len(streams))
    )
    return CoreClass(streams, members, len(lumped), len(dies_alike))


def _lump(groups: list[Group], footprints: _Footprints) -> list[list[int]]:
    """Positions of the groups of one die, those of one class together."""
    if footprints.skewed:
        return [[position] for position in range(len(groups))]
    private = footprints.private(groups)
    by_shape: dict[object, list[list[int]]] = defaultdict(list)
    classes: list[list[int]] = []
    for position, group in enumerate(groups):
        if private[position]:
            candidates = by_shape[_shape(group)]
            for members in candidates:
                if footprints.shifted(groups[members[0]], group):
                    members.append(position)
                    break
            else:
                members = [position]
                candidates.append(members)
                classes.append(members)
        else:
            classes.append([position])
    return classes


def _dies(program: Program) -> dict[int, list[Group]]:
    groups: dict[int, dict[int, list[Stream]]] = defaultdict(lambda: defaultdict(list))
    for stream in program.streams:
        groups[stream.core.die][stream.core.group].append(stream)
    return {die: [tuple(streams) for streams in by_group.values()] for die, by_group in groups.items()}


def _shape(group: Group) -> object:
    return tuple(
        (stream.core.kind, stream.core.sub, tuple(id(call.template) for call in stream.calls)) for stream in group
    )


class _Footprints:
    """What templates and groups touch in global memory."""

    def __init__(self, program: Program, chip: Chip) -> None:
        self._chip = chip
        self._sector = chip.l2.sector_bytes.value
        self.skewed = launch_of(program, chip).skew > 0
        self._starts = np.array([tensor.address for tensor in program.tensors], dtype=np.int64)
        self._extents: dict[Template, tuple[tuple[int, int, int], ...]] = {}

    def shifted(self, one: Group, other: Group) -> bool:
        """Whether *other* executes *one* with each tensor's addresses shifted by a constant."""
        return self._agree(one, other, {})

    def shifted_dies(self, one: list[Group], other: list[Group]) -> bool:
        """The same for all groups of two dies, with one shift for each tensor."""
        shifts: dict[int, int] = {}
        return len(one) == len(other) and all(self._agree(a, b, shifts) for a, b in zip(one, other, strict=True))

    def _agree(self, one: Group, other: Group, shifts: dict[int, int]) -> bool:
        if _shape(one) != _shape(other):
            return False
        for stream, its in zip(one, other, strict=True):
            (bases, tensors), (its_bases, its_tensors) = self._bases(stream), self._bases(its)
            if not np.array_equal(tensors, its_tensors):
                return False
            for tensor in np.unique(tensors).tolist():
                moved = (its_bases - bases)[tensors == tensor]
                shift = shifts.setdefault(tensor, int(moved[0]))
                if shift % self._sector or np.any(moved != shift):
                    return False
        return True

    def _bases(self, stream: Stream) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The addresses that all calls of *stream* bind, and the number of the tensor that each lies in."""
        bases = np.array([base for call in stream.calls for base in call.bases], dtype=np.int64)
        return bases, np.searchsorted(self._starts, bases, side="right")

    def private(self, groups: list[Group]) -> list[bool]:
        """For each group, whether no other group touches a sector that it touches."""
        runs = sorted(
            (begin, end, position) for position, group in enumerate(groups) for begin, end in self._touched(group)
        )
        private = [True] * len(groups)
        reach, owner = -1, -1
        for begin, end, position in runs:
            if begin < reach and owner != position:
                private[position] = private[owner] = False
            if end > reach:
                reach, owner = end, position
        return private

    def _touched(self, group: Group) -> list[Interval]:
        """Bounds of what *group* touches, in whole sectors, merged; gaps between strided rows count as touched."""
        runs: set[Interval] = set()
        for stream in group:
            for call in stream.calls:
                for parameter, low, high in self._extent(call.template):
                    base = call.bases[parameter] if parameter >= 0 else 0
                    runs.add((base + low, base + high))
        merged: list[Interval] = []
        for low, high in sorted(runs):
            begin, end = low // self._sector, -(-high // self._sector)
            if merged and begin <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(end, merged[-1][1])
            else:
                merged.append((begin, end))
        return merged

    def _extent(self, template: Template) -> Sequence[tuple[int, int, int]]:
        """(parameter, or -1 for absolute; first byte; last byte + 1) of every access of *template*, merged."""
        extent = self._extents.get(template)
        if extent is None:
            bounds: dict[int, Interval] = {}
            for instruction in template.instructions:
                timing = instruction.timing(self._chip)
                if isinstance(timing, Move):
                    _widen(bounds, timing.access)
            extent = self._extents[template] = tuple((key, low, high) for key, (low, high) in bounds.items())
        return extent


def _widen(bounds: dict[int, Interval], access: GmAccess) -> None:
    key = -1 if access.parameter is None else access.parameter
    low, high = access.offset, access.offset + (access.rows - 1) * access.pitch + access.row_bytes
    known = bounds.get(key, (low, high))
    bounds[key] = min(low, known[0]), max(high, known[1])
