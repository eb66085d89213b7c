"""Which cores a figure shows: those of the first group, or those that the user names.

A name is that of a group ("core3": a cube core and its vector cores; the groups of a second die count on) or of one of
its cores ("core3.veccore1"). With its die in front, a group counts from the first one of that die ("die1.core3").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

from ascend_sim.errors import ArgumentError
from ascend_sim.kernel.program import CoreId
from ascend_sim.observe.timeline import CoreTimeline, Recording
from ascend_sim.report.trace import first_group, process_name

MAX_CORES = 12
"""No more cores have room in one figure."""

_NAME = re.compile(r"(?:die(?P<die>\d+)\.)?core(?P<group>\d+)(?:\.(?P<core>cubecore0|veccore\d+))?", re.ASCII)
_FORMS = "core0, core0.cubecore0, die0.core3 or core0-core2, several separated by commas"


@dataclass(frozen=True, eq=False)
class ShownCore:
    """A core to show: its *name* as the vendor has it, and the *timeline* of the core that was simulated for it."""

    id: CoreId
    name: str
    timeline: CoreTimeline


def shown_cores(recording: Recording, spec: str | None) -> list[ShownCore]:
    """The cores that *spec* names, or if it is None those of the first group that has work; idle cores are left out.

    Raise an ArgumentError if it is no list of names, if it names cores that had nothing to do, or too many of them.
    """
    if spec is None:
        working_ones = (core for core in recording.cores if len(core))
        first = next(working_ones, None)
        if first is None:
            return []
        same = takewhile(lambda core: (core.id.die, core.id.group) == (first.id.die, first.id.group), working_ones)
        return [ShownCore(one.id, process_name(one.id, recording.chip), one) for one in (first, *same)]
    chosen: dict[str, ShownCore] = {}  # by name: the id of a cube core equals that of its first vector core
    working = working_cores(recording)
    for part in spec.split(","):
        for one in _named(part.strip(), working, recording):
            chosen[one.name] = one
    if len(chosen) > MAX_CORES:
        raise ArgumentError(
            f"--cores {spec}: these are {len(chosen)} cores, and {MAX_CORES} have room in a figure; name fewer, or see "
            f"all with --overview"
        )
    return list(chosen.values())


def chosen_cores(recording: Recording, spec: str) -> list[int]:
    """The numbers of the simulated cores that *spec* names, or that stand for what it names: "all", "first" or names.

    Raise an ArgumentError as `shown_cores` does, but for any number of cores.
    """
    if spec == "all":
        return [core.number for core in recording.cores if len(core)]
    if spec == "first":
        return first_group(recording)
    working = working_cores(recording)
    return sorted({one.timeline.number for part in spec.split(",") for one in _named(part.strip(), working, recording)})


def working_cores(recording: Recording) -> list[ShownCore]:
    """All cores that had instructions, in order."""
    found = [
        ShownCore(member, process_name(member, recording.chip), core)
        for core in recording.cores
        if len(core)
        for member in core.members
    ]
    return sorted(found, key=lambda one: one.id)


def _named(part: str, working: list[ShownCore], recording: Recording) -> Iterator[ShownCore]:
    first, dash, last = part.partition("-")
    ends = [_NAME.fullmatch(first), _NAME.fullmatch(last if dash else first)]
    if not all(ends) or (dash and any(end and end["core"] for end in ends)):
        raise ArgumentError(f"--cores {part}: is no name of cores; write {_FORMS}")
    per_die = recording.chip.cores.aic_per_die.value
    for end in ends:
        if end and end["die"] and int(end["group"]) >= per_die:
            raise ArgumentError(f"--cores {part}: a die has core0 to core{per_die - 1}; leave the die out to count on")
    low, high = (int(end["die"] or 0) * per_die + int(end["group"]) for end in ends if end)
    core = ends[0]["core"] if ends[0] else None
    found = [
        one
        for one in working
        if low <= one.id.die * per_die + one.id.group <= high and core in (None, one.name.partition(".")[2])
    ]
    groups = {one.name.partition(".")[0] for one in found}
    if not found or (dash and not {f"core{low}", f"core{high}"} <= groups):
        raise ArgumentError(f"--cores {part}: no such cores worked in this run; {_existing(working)}")
    yield from found


def _existing(working: list[ShownCore]) -> str:
    """What could be named instead."""
    parts = [one.name.partition(".") for one in working]
    groups, cores = list(dict.fromkeys(part[0] for part in parts)), list(dict.fromkeys(part[2] for part in parts))
    ranges: list[list[int]] = []
    for number in (int(group.removeprefix("core")) for group in groups):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    names = [f"core{low}" if low == high else f"core{low} to core{high}" for low, high in ranges]
    return f"there are {', '.join(names)}, with {', '.join(cores)}"
