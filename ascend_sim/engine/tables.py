"""A program for one die laid out in one array of integers, as the compiled engine executes it (see `compiled`)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ascend_sim.config import Chip
from ascend_sim.engine import compiled as c
from ascend_sim.engine.bandwidth import SCALE
from ascend_sim.engine.lowering import CROSS_SET, CROSS_WAIT, MOVE, RUN_UNIT, SET, WAIT, LoweredTemplate
from ascend_sim.engine.memory import units
from ascend_sim.isa.timing import GmAccess, Move, Traffic
from ascend_sim.isa.words import CoreKind
from ascend_sim.kernel.program import CoreId, Program, Stream

_TRAFFIC = {Traffic.READ: c.READ, Traffic.WRITE: c.WRITE, Traffic.ATOMIC: c.ATOMIC}
_MOST_FLOW_CYCLES = 1 << 22
_WRITE_BACKS, _NODES = 4096, 1 << 18
"""Write-backs that may be under way at once, and moves that may wait for the fill of another one."""


class Unsupported(Exception):  # noqa: N818  # the other engine takes over, and nobody sees it
    """The numbers of this program or chip are too large for the integers of the compiled engine."""


@dataclass(frozen=True)
class DieCore:
    """A simulated core of the die: its stream, weight, first cycle and lowered calls."""

    stream: Stream
    weight: int
    start: int
    calls: Sequence[tuple[LoweredTemplate, tuple[int, ...]]]


@dataclass(frozen=True)
class Layout:
    """The arrays that `compiled.run_die` takes, and where the cores lie in the first."""

    m: c.Integers
    f: c.Reals
    cores: tuple[int, ...]

    def end(self, core: int) -> int:
        """When the last result of the *core* at that address is visible."""
        pipes = self._pipes(core)
        return max(int(self.m[core + c.TIME]), int(self.m[pipes + c.FREE].max()), int(self.m[pipes + c.VISIBLE].max()))

    def busy(self, core: int) -> list[int]:
        """Cycles of the moves of each pipe of the *core* at that address."""
        return [int(cycles) for cycles in self.m[self._pipes(core) + c.BUSY]]

    def bytes(self) -> list[int]:
        """Bytes read and written in L2, found there, read from HBM, written back to it."""
        entries = c.READ_BYTES, c.WRITTEN_BYTES, c.HIT_BYTES, c.MISSED_BYTES, c.WRITTEN_BACK
        return [int(self.m[entry]) for entry in entries]

    def times(self, core: int, length: int) -> tuple[c.Integers, c.Integers]:
        """Start and end of the *length* instructions of the *core* at that address."""
        first = int(self.m[core + c.ITS_TIMES])
        starts, ends = (int(self.m[entry]) + first for entry in (c.STARTS, c.ENDS))
        return self.m[starts : starts + length], self.m[ends : ends + length]

    def _pipes(self, core: int) -> c.Integers:
        size = c.PIPE_SIZE + 5 * int(self.m[c.DEPTH])
        return int(self.m[core + c.ITS_PIPES]) + size * np.arange(c.NPIPES)


def layout(
    cores: Sequence[DieCore], chip: Chip, program: Program, max_cycles: int | None = None, timed: bool = False
) -> Layout:
    """Lay out the *cores* of one die for the timing of *program*.

    With *timed*, the start and end of each instruction are kept. Raise Unsupported.
    """
    return _Builder(cores, chip, program).build(c.FAR if max_cycles is None else max_cycles, timed)


class Tensors:
    """The tensors in global memory, and in which granules they are touched: whole sectors that always move together.

    Where moves take whole rows at regular places, the same holds for several rows.
    """

    def __init__(self, program: Program, sector: int) -> None:
        self.sector = sector
        tensors = program.tensors
        ends = [tensor.address + tensor.bytes for tensor in tensors]
        following = [tensor.address for tensor in tensors[1:]]
        apart = all(tensor.address % sector == 0 for tensor in tensors) and all(
            -(-end // sector) * sector <= begin for end, begin in zip(ends, following, strict=False)
        )
        # Tensors that share a sector count as one.
        self.origins = _integers(tensor.address for tensor in tensors) if apart and tensors else _integers([0])
        self.sizes = [max(t.bytes, 1) for t in tensors] if apart and tensors else [max(program.gm_bytes, 1)]
        self.steps = [0] * len(self.origins)
        self.touches: list[list[tuple[GmAccess, c.Integers]]] = [[] for _ in self.origins]
        self.places = 0

    def of(self, addresses: c.Integers) -> c.Integers:
        """The numbers of the tensors that *addresses* lie in."""
        return np.maximum(np.searchsorted(self.origins, addresses, side="right") - 1, 0)

    def touched(self, access: GmAccess, bases: c.Integers | None) -> None:
        """Take down that *access* happens, at all of the *bases* or, without any, at its absolute address."""
        begins = access.offset + (np.zeros(1, dtype=np.int64) if bases is None else np.unique(bases))
        owners = self.of(begins)
        for number in np.unique(owners).tolist():
            here = begins[owners == number] - self.origins[number]
            step = math.gcd(int(np.gcd.reduce(here)), access.row_bytes, access.pitch if access.rows > 1 else 0)
            self.steps[number] = math.gcd(self.steps[number], step)
            self.touches[number].append((access, here))

    def records(self) -> Iterator[tuple[int, ...]]:
        """The entries of each tensor; *places* counts the granules of all then."""
        for number, (origin, size, step) in enumerate(zip(self.origins.tolist(), self.sizes, self.steps, strict=True)):
            granule = max(step & -step, self.sector)  # the largest power of two in it
            pitch, together = self.together(number) if step % granule == 0 else (0, 1)
            sectors = granule // self.sector * together
            yield origin, granule.bit_length() - 1, sectors, self.places, pitch, together
            rows = -(-size // pitch) if together > 1 else 0
            self.places += -(-(-(-rows // together) * pitch if rows else size) // granule) + 1

    def together(self, number: int) -> tuple[int, int]:
        """The bytes from row to row of a tensor, and how many rows always move together: 1 if that is not regular.

        It is if the rows of all moves are as far apart, each is touched by a move in one piece, and what moves as one
        long row is a number of whole ones.
        """
        pitches = {access.pitch for access, _ in self.touches[number] if access.rows > 1}
        if len(pitches) != 1:
            return 0, 1
        pitch, together = pitches.pop(), 0
        for access, begins in self.touches[number]:
            rows, row_bytes = (access.rows, access.row_bytes)
            if rows == 1 and row_bytes % pitch == 0:
                rows, row_bytes = row_bytes // pitch, pitch
            if np.any(begins % pitch + row_bytes > pitch):
                return 0, 1
            together = math.gcd(together, rows, int(np.gcd.reduce(begins // pitch)))
        return pitch, together


class _Builder:
    """Areas are taken one after the other; what is put into them is written into the array when its size is known."""

    def __init__(self, cores: Sequence[DieCore], chip: Chip, program: Program) -> None:
        self.cores, self.chip = cores, chip
        self.tensors = Tensors(program, chip.l2.sector_bytes.value)
        self.size = c.HEADER
        self.contents: list[tuple[int, c.Integers]] = []
        self.header: dict[int, int] = {}
        self.flags: dict[int, int] = {}
        self.tiles: dict[int, int] = {}
        self.pairs: dict[tuple[int, int], int] = {}
        self.moves: list[Move] = []
        self.templates: dict[LoweredTemplate, int] = {}
        self.ops: list[tuple[int, int, int, int, int]] = []
        self.begins: list[tuple[int, int]] = []
        """First operation and first move of each template."""

    def build(self, max_cycles: int, timed: bool) -> Layout:
        called = [self.template(template) for core in self.cores for template, _ in core.calls]
        bases = [base for core in self.cores for _, addresses in core.calls for base in addresses]
        lengths = [len(addresses) for core in self.cores for _, addresses in core.calls]
        self.limits()
        calls, flow = self.calls(_integers(called), _integers(bases), _integers(lengths))
        self.records(calls, timed)
        self.areas(np.bincount(_integers(called), minlength=len(self.templates)), timed)
        self.figures(max_cycles, timed)
        m = np.zeros(self.size, dtype=np.int64)
        for place, values in self.contents:
            m[place : place + len(values)] = values
        for entry, value in self.header.items():
            m[entry] = value
        first = self.header[c.CORES]
        return Layout(m, flow, tuple(first + number * c.CORE for number in range(len(self.cores))))

    def take(self, entries: int) -> int:
        """The address of *entries* new entries."""
        self.size += entries
        return self.size - entries

    def put(self, values: Iterable[int] | c.Integers) -> int:
        """The address of new entries with *values*."""
        array = values.reshape(-1) if isinstance(values, np.ndarray) else _integers(values)
        place = self.take(len(array))
        self.contents.append((place, array))
        return place

    def template(self, template: LoweredTemplate) -> int:
        """The number of *template*, whose operations are taken down at its first call."""
        number = self.templates.get(template)
        if number is not None:
            return number
        self.begins.append((len(self.ops), len(self.moves)))
        for kind, pipe, a, b, extra in template.operations:
            x = 0
            if kind in (SET, WAIT):
                a = self.flags.setdefault(a, len(self.flags) * c.FLAG)
            elif kind in (CROSS_SET, CROSS_WAIT):
                a = self.pairs.setdefault((a, b), len(self.pairs) * c.PAIR)
            elif kind == RUN_UNIT:
                x = 4 * self.tile(extra.slot) + 2 * extra.acquire + extra.release
            elif kind == MOVE:
                x = len(self.moves)
                self.moves.append(extra)
            self.ops.append((kind, pipe, a, b, x))
        return self.templates.setdefault(template, len(self.templates))

    def tile(self, slot: int) -> int:
        return self.tiles.setdefault(slot, len(self.tiles) * c.TILE_SIZE)

    def calls(self, called: c.Integers, bases: c.Integers, lengths: c.Integers) -> tuple[int, c.Reals]:
        """Put down operations, moves, templates, bindings and calls; the address of the calls, and the flow cycles."""
        line = self.chip.l2.line_bytes.value
        firsts = np.cumsum(lengths) - lengths
        known, phases = np.unique(bases % line, return_inverse=True)
        width = 1 + max(len(known), 1)
        if len(self.moves) * width > _MOST_FLOW_CYCLES:
            raise Unsupported
        flow = np.full((len(self.moves), width), np.nan)
        for template, (_, first) in enumerate(self.begins):
            behind = self.begins[template + 1][1] if template + 1 < len(self.begins) else len(self.moves)
            starts = firsts[called == template]
            self.flow_cycles(flow, first, behind, bases, starts, known)
            for move in self.moves[first:behind]:
                parameter = move.access.parameter
                self.tensors.touched(move.access, None if parameter is None else bases[starts + parameter])
        tensors = self.put(_integers(value for record in self.tensors.records() for value in record))
        lies_in = tensors + c.TENSOR_SIZE * self.tensors.of(bases)
        self.first_tensor = tensors
        moves = self.put(_integers(value for n, move in enumerate(self.moves) for value in self.move(move, n * width)))
        ops = np.array(self.ops, dtype=np.int64).reshape(-1, c.OP)
        is_move = ops[:, c.KIND] == c.MOVE
        ops[is_move, c.X] = moves + c.MOVE_SIZE * ops[is_move, c.X]
        first_op = self.put(ops)
        starts = first_op + c.OP * _integers([*(begin for begin, _ in self.begins), len(self.ops)])
        templates = self.put(np.stack([starts[:-1], starts[1:]], axis=1))
        bindings = self.put(np.stack([bases, phases.reshape(-1), lies_in], axis=1))
        pairs = [templates + c.TEMPLATE * called, bindings + c.BINDING * firsts]
        return self.put(np.stack(pairs, axis=1)), flow.reshape(-1)

    def flow_cycles(
        self, flow: c.Reals, first: int, behind: int, bases: c.Integers, starts: c.Integers, known: c.Integers
    ) -> None:
        """Fill the rows of the moves of a template, called with the bases at *starts*, for all phases that occur."""
        line = self.chip.l2.line_bytes.value
        phases: dict[int, list[int]] = {}
        for number in range(first, behind):
            move, parameter = self.moves[number], self.moves[number].access.parameter
            flow[number, 0] = move.miss_bytes_per_cycle
            if parameter is None:
                flow[number, 1] = move.flow_cycles(0)
                continue
            if parameter not in phases:
                phases[parameter] = np.unique(bases[starts + parameter] % line).tolist()
            for phase in phases[parameter]:
                flow[number, 1 + int(np.searchsorted(known, phase))] = move.flow_cycles(phase)

    def move(self, move: Move, flow: int) -> tuple[int, ...]:
        access = move.access
        return (
            move.head, move.minimum, move.latency, _TRAFFIC[move.traffic],
            -1 if access.parameter is None else access.parameter,
            access.offset, access.rows, access.row_bytes, access.pitch if access.rows > 1 else access.row_bytes,
            -1 if move.unit_flag is None else self.tile(move.unit_flag.slot), flow,
            0 if access.parameter is not None
            else self.first_tensor + c.TENSOR_SIZE * int(self.tensors.of(_integers([access.offset]))[0]),
        )  # fmt: skip

    def records(self, calls: int, timed: bool) -> None:
        """Put down the cores with their pipes, flags, tiles and pairs, and the channels between them."""
        count = len(self.cores)
        pipe_size = c.PIPE_SIZE + 5 * self.chip.scalar.queue_depth.value
        cores = self.header[c.CORES] = self.take(count * c.CORE)
        flags = self.header[c.FLAGS] = self.take(count * len(self.flags) * c.FLAG)
        pipes = np.zeros((count * c.NPIPES, pipe_size), dtype=np.int64)
        pipes[:, c.ITS_CORE] = cores + c.CORE * np.repeat(np.arange(count), c.NPIPES)
        first_pipe = self.header[c.PIPES] = self.put(pipes)
        tiles = np.zeros((count * len(self.tiles), c.TILE_SIZE), dtype=np.int64)
        tiles[:, c.DRAINED_COUNT] = 1  # a tile is free at the start
        first_tile = self.put(tiles)
        first_pair = self.channels(cores)
        records = np.zeros((count, c.CORE), dtype=np.int64)
        begin, instructions = calls, 0
        for number, core in enumerate(self.cores):
            values = {
                c.NEXT_CALL: begin,
                c.BEHIND_CALLS: begin + c.CALL * len(core.calls),
                c.TIME: core.start,
                c.WEIGHT: core.weight,
                c.ITS_PIPES: first_pipe + number * c.NPIPES * pipe_size,
                c.ITS_FLAGS: flags + number * len(self.flags) * c.FLAG,
                c.ITS_TILES: first_tile + number * len(self.tiles) * c.TILE_SIZE,
                c.ITS_PAIRS: first_pair + number * len(self.pairs) * c.PAIR,
                c.ITS_TIMES: instructions,
            }
            for entry, value in values.items():
                records[number, entry] = value
            begin += c.CALL * len(core.calls)
            instructions += core.stream.length if timed else 0
        self.contents.append((cores, records.reshape(-1)))
        self.header |= {c.CORE_COUNT: count, c.FLAG_COUNT: count * len(self.flags)}

    def channels(self, cores: int) -> int:
        """Put down channels, and who sets and hears which; the address of the pairs of the first core."""
        ids = [core.stream.core for core in self.cores]
        peers = {mode: [_peers(ids, core, mode) for core in ids] for mode in {mode for _, mode in self.pairs}}
        sets = self.sets()
        channels: dict[tuple[int, int, int], int] = {}
        records: list[int] = []
        first = self.header[c.CHANNELS] = self.take(
            c.CHANNEL * sum(map(len, (joined for _, mode in self.pairs for joined in peers[mode])))
        )
        for number, pair in enumerate(self.pairs):
            for receiver, joined in enumerate(peers[pair[1]]):
                for sender in joined:
                    channels[receiver, number, sender] = first + len(records)
                    room = sets[sender].get(pair, 0)
                    records += [0, 0, self.take(room), self.take(room)]
        self.contents.append((first, _integers(records)))
        self.header[c.CHANNEL_COUNT] = len(records) // c.CHANNEL
        pairs: list[int] = []
        for number in range(len(ids)):
            for which, (_, mode) in enumerate(self.pairs):
                joined = peers[mode][number]
                # Mode 1 joins vector cores, and a cube core neither sets it nor waits for it.
                hearing = [peer for peer in joined if (peer, which, number) in channels]
                told = [value for p in hearing for value in (channels[p, which, number], cores + c.CORE * p)]
                heard = [channels[number, which, peer] for peer in joined]
                sets_at, waits_at = self.put(told), self.put(heard)
                pairs += [sets_at, sets_at + len(told), waits_at, waits_at + len(heard)]
        return self.put(pairs)

    def sets(self) -> list[dict[tuple[int, int], int]]:
        """How often each core sets each (cross-core flag, mode)."""
        by_template: dict[LoweredTemplate, list[tuple[int, int]]] = {}
        found: list[dict[tuple[int, int], int]] = []
        for core in self.cores:
            counts: dict[tuple[int, int], int] = {}
            for template, _ in core.calls:
                if template not in by_template:
                    by_template[template] = [(op[2], op[3]) for op in template.operations if op[0] == CROSS_SET]
                for pair in by_template[template]:
                    counts[pair] = counts.get(pair, 0) + 1
            found.append(counts)
        return found

    def areas(self, counts: c.Integers, timed: bool) -> None:
        """Take what the memory system needs, and room for the times of instructions."""
        places = self.tensors.places
        behind = [first for _, first in self.begins[1:]] + [len(self.moves)]
        moves = sum(
            int(count) * (last - first) for count, (_, first), last in zip(counts, self.begins, behind, strict=True)
        )
        flows = len(self.cores) * c.NPIPES + _WRITE_BACKS
        instructions = sum(core.stream.length for core in self.cores) if timed else 0
        sizes = {
            c.FLOWS: flows * c.FLOW, c.GROUPS: flows * c.GROUP, c.IN_ORDER: flows, c.ACTIVE: flows,
            c.NODES: _NODES * c.NODE, c.FILLS: (moves + 2) * c.FILL, c.AGES: (moves + 1) * c.AGE,
            c.HEAP: (len(self.cores) * c.NPIPES + 1) * c.EVENT, c.READY: c.READY_SLOTS,
            c.PAGES: (places >> c.PAGE_BITS) + 2, c.STAMPS: places, c.SECTOR_FILLS: places,
            c.STARTS: instructions, c.ENDS: instructions,
        }  # fmt: skip
        for entry, size in sizes.items():
            self.header[entry] = self.take(size)
        self.header |= {c.LAST_FILL: self.header[c.FILLS], c.FLOW_LIMIT: flows, c.NODE_LIMIT: _NODES}

    def limits(self) -> None:
        """Raise Unsupported if a product of the engine could reach 2**63."""
        fastest = max((int(move.bytes_per_cycle) + 1 for move in self.moves), default=1)
        longest = max((move.access.bytes for move in self.moves), default=0)
        wanted = 2 * sum(core.weight for core in self.cores) * fastest * SCALE
        steps = min((move.access.pitch for move in self.moves if move.access.rows > 1), default=1)
        if max(*self.rates(), wanted, longest) * SCALE >= 1 << 62 or steps < 1:
            raise Unsupported

    def rates(self) -> list[int]:
        """L2_READ, L2_WRITE, L2_TOTAL, HBM, HBM_MIXED."""
        l2 = self.chip.l2
        figures = l2.read_bytes_per_cycle, l2.write_bytes_per_cycle, l2.total_bytes_per_cycle
        mixed = [self.chip.hbm_bytes_per_cycle(mixed=mixed) for mixed in (False, True)]
        return [units(rate) for rate in [*(figure.value for figure in figures), *mixed]]

    def figures(self, max_cycles: int, timed: bool) -> None:
        chip = self.chip
        self.header |= {
            c.ISSUE: chip.scalar.issue_cycles.value,
            c.DEPTH: chip.scalar.queue_depth.value,
            c.SET_FLAG: chip.sync.set_flag_cycles.value,
            c.CROSS_LATENCY: chip.sync.cross_core_latency_cycles.value,
            c.MISS_EXTRA: chip.l2.miss_extra_cycles.value,
            c.RESIDENT: chip.l2.bytes.value // chip.l2.sector_bytes.value,
            c.COUNTER_MAX: chip.sync.cross_core_counter_max.value,
            c.MAX_CYCLES: max_cycles,
            c.TIMED: int(timed),
            **dict(zip((c.L2_READ, c.L2_WRITE, c.L2_TOTAL, c.HBM, c.HBM_MIXED), self.rates(), strict=True)),
        }


def _peers(cores: Sequence[CoreId], here: CoreId, mode: int) -> list[int]:
    """The cores that *mode* joins with *here*, as `Machine.peers` has them."""
    if mode == 0:
        return [number for number, other in enumerate(cores) if other.kind is here.kind]
    group = [(number, other) for number, other in enumerate(cores) if other.group == here.group]
    if mode == 1:
        return [number for number, other in group if other.kind is CoreKind.AIV]
    return [number for number, other in group if other.kind is not here.kind]


def _integers(values: Iterable[int]) -> c.Integers:
    return np.array(list(values), dtype=np.int64)
