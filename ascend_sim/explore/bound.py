"""A lower bound of the time of a program, from sums alone: no simulation is ever below it.

It is the largest of

* for each core, when it begins plus the cycles for which one of its pipes is held: each instruction for no less than if
  nothing else were in its way, a move for no less than its bytes take alone;
* for each core, when it begins plus what its scalar unit takes to issue its instructions;
* for each die, when its first core begins plus what all bytes of its moves take at the rates of L2, and what those that
  are read and never written take at the rate of HBM, each sector once (the roofline of memory).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ascend_sim.config import Chip
from ascend_sim.engine.bandwidth import SCALE, TOLERANCE
from ascend_sim.engine.launch import Launch, launch_of
from ascend_sim.engine.lowering import CROSS_SET, MOVE, PIPES, RUN, RUN_UNIT, SCALAR, SET, WAIT, lower_template
from ascend_sim.engine.symmetry import CoreClass, classify
from ascend_sim.isa.timing import GmAccess, Move, Traffic
from ascend_sim.kernel import Program, Template
from ascend_sim.kernel.program import CoreId, Stream

_MOST_RUNS = 1 << 21
"""With more runs of bytes than this the roofline of HBM is left out, which would take longer than it saves."""

Intervals = NDArray[np.int64]
"""Shape (n, 2): first sector and the one behind the last."""


def lower_bound(program: Program, chip: Chip, classes: Sequence[CoreClass] | None = None) -> int:
    """Cycles that *program*, with these *classes* of cores, takes on *chip* at least, launch included."""
    launch = launch_of(program, chip)
    sums = _Sums(chip, program.gm_bytes)
    # Of dies that do the same, one will do
    dies = {one.streams[0].core.die for one in (classify(program, chip) if classes is None else classes)}
    streams: dict[int, list[Stream]] = defaultdict(list)
    for stream in program.streams:
        if stream.calls and stream.core.die in dies:
            streams[stream.core.die].append(stream)
    bound = max((_of_core(sums, stream, launch) for several in streams.values() for stream in several), default=0)
    for die in streams.values():
        begin = launch.cycles + launch.skew * min(stream.core.group for stream in die)
        bound = max(bound, begin + sums.of_die(die, bound - begin))
    return max(bound, launch.cycles)


def lower_bound_of_cores(program: Program, chip: Chip) -> int:
    """The same of a *program* that is not traced for all its cores, and so says little of what its dies do."""
    sums = _Sums(chip, program.gm_bytes)
    # What the launch costs depends on the kinds of all cores; without the skew, the quicker one is no more than that
    launch = round(min(chip.launch.cube_seconds.value, chip.launch.vector_seconds.value) * chip.clock_hz.value)
    return launch + max((sums.of_core(stream) for stream in program.streams if stream.calls), default=0)


def _of_core(sums: _Sums, stream: Stream, launch: Launch) -> int:
    return launch.cycles + launch.skew * stream.core.group + sums.of_core(stream)


@dataclass(eq=False)
class _Part:
    """What one call of a template costs at least: cycles by pipe, bytes read and written, moves."""

    held: NDArray[np.int64]
    read: int = 0
    written: int = 0
    moves: int = 0


@dataclass
class _Sums:
    """Sums over the calls of templates, which are worked out once for each phase of their addresses."""

    chip: Chip
    gm_bytes: int
    _parts: dict[tuple[Template, tuple[int, ...]], _Part] = field(default_factory=dict)
    _counts: dict[CoreId, dict[_Part, int]] = field(default_factory=dict)
    _rows: dict[Template, list[tuple[int, bool, bool, Intervals]]] = field(default_factory=dict)

    def of_core(self, stream: Stream) -> int:
        """Cycles for which the busiest unit of the core is held."""
        held = np.zeros(len(PIPES), dtype=np.int64)
        for part, count in self._of(stream).items():
            held += count * part.held
        issued = self.chip.scalar.issue_cycles.value * stream.length
        return int(max(held.max(initial=0), issued))

    def of_die(self, streams: list[Stream], above: int) -> int:
        """Cycles that the memory system takes for all moves of *streams*; what is no more than *above* may be less."""
        read = written = moves = 0
        for stream in streams:
            for part, count in self._of(stream).items():
                read += count * part.read
                written += count * part.written
                moves += count * part.moves
        l2, hbm = self.chip.l2, self.chip.hbm_bytes_per_cycle(mixed=False)
        rates = [
            (read, l2.read_bytes_per_cycle.value),
            (written, l2.write_bytes_per_cycle.value),
            (read + written, l2.total_bytes_per_cycle.value),
        ]
        if min(read, self.gm_bytes) / hbm > above:  # what must come from HBM takes long to find out
            rates.append((self._fetched(streams), hbm))
        # The shares of a move are rounded down to 2**-20 of its bytes
        lost = 2 * moves * TOLERANCE / SCALE + (read + written) / SCALE
        return max(int(max(size - lost, 0.0) / rate) for size, rate in rates)

    def _of(self, stream: Stream) -> dict[_Part, int]:
        """How often the core does what."""
        counts = self._counts.get(stream.core)
        if counts is None:
            line = self.chip.l2.line_bytes.value
            calls = Counter((call.template, tuple([base % line for base in call.bases])) for call in stream.calls)
            counts = self._counts[stream.core] = {self._known(*key): count for key, count in calls.items()}
        return counts

    def _known(self, template: Template, phases: tuple[int, ...]) -> _Part:
        part = self._parts.get((template, phases))
        if part is None:
            part = self._parts[template, phases] = self._part(template, phases)
        return part

    def _part(self, template: Template, bases: tuple[int, ...]) -> _Part:
        part = _Part(np.zeros(len(PIPES), dtype=np.int64))
        set_flag = self.chip.sync.set_flag_cycles.value
        for kind, pipe, a, b, extra in lower_template(template, self.chip).operations:
            if pipe == SCALAR:
                continue
            if kind in (RUN, RUN_UNIT):
                part.held[pipe] += a
            elif kind in (SET, WAIT):
                part.held[pipe] += b
            elif kind == CROSS_SET:
                part.held[pipe] += set_flag
            elif kind == MOVE:
                part.held[pipe] += _alone(extra, bases)
                size, traffic = extra.access.bytes, extra.traffic
                part.read += size if traffic is not Traffic.WRITE else 0
                part.written += size if traffic is not Traffic.READ else 0
                part.moves += 1
        return part

    def _fetched(self, streams: list[Stream]) -> int:
        """Bytes that must come from HBM: of the sectors that *streams* read and none of them ever writes."""
        reads, writes = self._runs(streams, "read"), self._runs(streams, "write")
        if reads is None or writes is None:
            return 0
        return _only(_merged(reads), _merged(writes)) * self.chip.l2.sector_bytes.value

    def _runs(self, streams: list[Stream], direction: str) -> Intervals | None:
        """The sectors that *streams* touch in a *direction*, unmerged; None if that would be too many runs."""
        bases: dict[tuple[Template, int], set[int]] = defaultdict(set)
        for stream in streams:
            for call in stream.calls:
                for parameter, reads, writes, _ in self._rows_of(call.template):
                    if reads if direction == "read" else writes:
                        bases[call.template, parameter].add(call.bases[parameter] if parameter >= 0 else 0)
        found, total = [np.zeros((0, 2), dtype=np.int64)], 0
        for (template, parameter), addresses in bases.items():
            for known, reads, writes, rows in self._rows_of(template):
                if known == parameter and (reads if direction == "read" else writes):
                    total += len(addresses) * len(rows)
                    if total > _MOST_RUNS:
                        return None
                    starts = np.fromiter(addresses, dtype=np.int64, count=len(addresses))
                    found.append((starts[:, None, None] + rows[None, :, :]).reshape(-1, 2))
        runs = np.concatenate(found)
        sector = self.chip.l2.sector_bytes.value
        return np.stack([runs[:, 0] // sector, -(-runs[:, 1] // sector)], axis=1)

    def _rows_of(self, template: Template) -> list[tuple[int, bool, bool, Intervals]]:
        """(parameter, or -1 for absolute; read?; written?; rows in bytes from its base, merged)."""
        rows = self._rows.get(template)
        if rows is None:
            accesses: dict[tuple[int, bool, bool], list[GmAccess]] = defaultdict(list)
            for kind, _, _, _, extra in lower_template(template, self.chip).operations:
                if kind == MOVE:
                    parameter = -1 if extra.access.parameter is None else extra.access.parameter
                    reads, writes = extra.traffic is not Traffic.WRITE, extra.traffic is not Traffic.READ
                    accesses[parameter, reads, writes].append(extra.access)
            rows = self._rows[template] = [
                (*key, _merged(np.concatenate([_rows(one) for one in dict.fromkeys(several)])))
                for key, several in accesses.items()
            ]
        return rows


def _alone(move: Move, bases: Iterable[int]) -> int:
    """Cycles for which *move* holds its pipe if nothing else moves and all its bytes are in L2."""
    access = move.access
    base = tuple(bases)[access.parameter] if access.parameter is not None else 0
    limit = max(int(access.bytes * SCALE / move.flow_cycles(base)), 1)
    flow = -((TOLERANCE - access.bytes * SCALE) // limit)
    return max(move.minimum, move.head + max(flow, 0))


def _rows(access: GmAccess) -> Intervals:
    begins = access.offset + np.arange(access.rows, dtype=np.int64) * access.pitch
    return np.stack([begins, begins + access.row_bytes], axis=1)


def _merged(runs: Intervals) -> Intervals:
    """The union of *runs*, in order, with gaps between any two."""
    if not len(runs):
        return runs
    runs = runs[np.argsort(runs[:, 0], kind="stable")]
    reach = np.maximum.accumulate(runs[:, 1])
    first = np.concatenate([[True], runs[1:, 0] > reach[:-1]])
    last = np.concatenate([first[1:], [True]])
    return np.stack([runs[first, 0], reach[last]], axis=1)


def _only(these: Intervals, not_those: Intervals) -> int:
    """How many numbers lie in *these* and not in *not_those*, both merged."""
    inside = int((these[:, 1] - these[:, 0]).sum())
    both = _merged(np.concatenate([these, not_those]))
    union = int((both[:, 1] - both[:, 0]).sum())
    others = int((not_those[:, 1] - not_those[:, 0]).sum())
    return min(inside, union - others)
