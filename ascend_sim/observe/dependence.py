"""Which figures of the chip the time of a run depends on, to first order: from its critical path, without a second run.

Each step of the path is an instruction (or a flag, the scalar unit, the launch) and the cycles it was waited for. The
instruction is asked what it would cost with one figure a little smaller and a little larger; the sum of the changes
over the path is the change of the run's time, as long as the path stays the path. That is what is neglected: a larger
figure may move the path elsewhere, so the estimate of a cost is too small upwards and too large downwards, and cores
that work at the same time are not seen. `ascend-sim sensitivity` simulates the changes instead.

A move that took longer than alone waited for others: that counts for the bandwidth of L2 or of HBM, whichever the run
used more of. The clock is not among the figures: every figure in cycles scales with it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple, cast

from pydantic import BaseModel

from ascend_sim.config import Chip, Figure, VectorRow, unit_of
from ascend_sim.engine.launch import launch_of
from ascend_sim.isa.instruction import Instruction, space_of
from ascend_sim.isa.timing import Move, Requests, Run, Timing, Traffic
from ascend_sim.kernel.collector import collector_paused
from ascend_sim.kernel.program import Template
from ascend_sim.observe.critical_path import CROSS_CORE, LAUNCH, Core, CriticalPath, Walk
from ascend_sim.observe.facts import CROSS_SET, MOVE, RUN, SET
from ascend_sim.observe.timeline import METRIC_NAMES, Timelines

MOST = 5
"""Figures that a result names."""
SMALL = 0.005
"""Figures of a smaller elasticity are not named."""
STEP = 0.1
"""Share by which a figure is varied; more where a vector instruction would round the change away."""

HBM, L2_READ, L2_WRITE = "hbm.bytes_per_second", "l2.read_bytes_per_cycle", "l2.write_bytes_per_cycle"
L2_TOTAL = "l2.total_bytes_per_cycle"
_HBM_MIXED = "hbm.mixed_bytes_per_second"
MISS_EXTRA = "l2.miss_extra_cycles"
VECTOR_OPS = "vector.ops"
_GEOMETRY = (
    "fractal_rows", "fractal_bytes_k", "line_bytes", "repeat_bytes", "block_bytes", "bank_groups", "bank_bytes",
)  # fmt: skip
"""What instructions ask for as well, but what would be another machine with another value."""
_COSTS = ("first_cycles", "further_cycles", "latency_cycles")
_SCALAR = frozenset(name for name in METRIC_NAMES if name.endswith("_scalar"))


@dataclass(frozen=True)
class Dependence:
    """A *figure* of the chip and how the time depends on it: *elasticity* is d ln(time) / d ln(figure), estimated.

    *values* are the figures by their key in the chip, in *unit*; there are several for a vector operation, whose
    costs count together as in `ascend-sim sensitivity`.
    """

    figure: str
    elasticity: float
    values: dict[str, int | float]
    unit: str
    standing: str
    source: str

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data, for result.json."""
        return asdict(self)


@collector_paused()
def critical_path_and_dependence(timelines: Timelines) -> tuple[CriticalPath, list[Dependence]]:
    """Walk the critical path once: return it, and the MOST figures that its length depends on most."""
    walk = RecordedWalk(timelines)
    path = walk.run()
    changes = _Changes(timelines)
    by_figure = changes.of(path, walk.steps) if path.total else {}
    ranked = sorted(by_figure.items(), key=lambda item: (-abs(item[1]), item[0]))
    found = [(figure, change / path.total) for figure, change in ranked[:MOST]]
    keys = changes.keys
    return path, [
        _dependence(timelines.chip, figure, sorted(keys.get(figure, (figure,))), elasticity)
        for figure, elasticity in found
        if abs(elasticity) >= SMALL
    ]


class Step(NamedTuple):
    """Cycles *since* .. *until* of the path, spent on *name* while instruction number *at* of *core* was explained."""

    core: Core
    at: int
    since: int
    until: int
    name: str


class RecordedWalk(Walk):
    """The walk, keeping the *steps* that it passes, the last one first."""

    def __init__(self, timelines: Timelines) -> None:
        super().__init__(timelines)
        self.steps: list[Step] = []
        self._standing: Core | None = None
        self._index = -1

    def _cause(self, index: int) -> int:
        self._standing, self._index = self._core, index
        return super()._cause(index)

    def _account(self, name: str, since: int) -> None:
        if since < self._time and self._standing is not None:
            self.steps.append(Step(self._standing, self._index, since, self._time, name))
        super()._account(name, since)


class _Uses:
    """How often an instruction is on the path, by the law that its cycles follow (see `_Changes._move`)."""

    __slots__ = ("cold", "heads", "instruction", "latency", "occupancy", "phase", "warm")

    def __init__(self, instruction: Instruction, phase: int) -> None:
        self.instruction, self.phase = instruction, phase
        self.occupancy = self.latency = self.heads = self.warm = self.cold = 0.0

    def cycles(self, timing: Timing, miss_extra: float) -> float:
        """Cycles of the path if the instruction cost what *timing* says."""
        if isinstance(timing, Run):
            return self.occupancy * timing.occupancy + self.latency * timing.latency
        assert isinstance(timing, Move)
        found = self.heads * timing.head + self.latency * timing.latency
        if self.warm or self.cold:
            warm, cold = _alone(timing, self.phase, miss_extra)
            found += self.warm * warm + self.cold * cold
        return found


def _alone(move: Move, phase: int, miss_extra: float) -> tuple[float, float]:
    """Cycles that *move* holds its pipe if nothing else moves: if all its bytes are in L2, and if none is."""
    flow = _flow_cycles(move.requests, move.bytes_per_cycle, phase)
    cold = max(move.head + miss_extra + flow, move.access.bytes / move.miss_bytes_per_cycle)
    return max(move.head + flow, float(move.minimum)), max(cold, float(move.minimum))


@lru_cache(maxsize=1024)
def _flow_cycles(requests: Requests, bytes_per_cycle: float, phase: int) -> float:
    return requests.flow_cycles(phase, bytes_per_cycle)


class _Changes:
    """Sums up what the steps of a path would be with other figures."""

    def __init__(self, timelines: Timelines) -> None:
        self._schedule, self._chip = timelines.schedule, timelines.chip
        self._changes: defaultdict[str, float] = defaultdict(float)
        self.keys = {HBM: {HBM, _HBM_MIXED}}
        """The keys in the chip of figures that have several."""
        self._runs: dict[tuple[Template, int], _Uses] = {}
        self._uses: dict[Hashable, _Uses] = {}
        self._starts: dict[Core, list[int]] = {}
        self._miss_extra = self._chip.l2.miss_extra_cycles.value
        self._reads_miss = self._schedule.memory.hbm_read_bytes > 0
        self._limits = _limits(timelines)

    def of(self, path: CriticalPath, steps: Sequence[Step]) -> dict[str, float]:
        """Cycles of *path* that each figure stands for: d(cycles) / d ln(figure)."""
        self._launch(path.cycles[LAUNCH])
        for step in steps:
            kind, cycles = step.core.kinds[step.at], step.until - step.since
            if step.name == CROSS_CORE:
                self._changes["sync.cross_core_latency_cycles"] += cycles
            elif step.name in _SCALAR:
                self._changes["scalar.issue_cycles"] += cycles
            elif kind == RUN:
                self._run(step)
            elif kind == MOVE:
                self._move(step)
            else:
                flag = "set" if kind in (SET, CROSS_SET) else "wait"
                self._changes[f"sync.{flag}_flag_cycles"] += cycles
        for uses in self._uses.values():
            self._vary(uses)
        return self._changes

    def _launch(self, cycles: int) -> None:
        """The *cycles* before the first instruction: the launch itself, and the turn of the block."""
        launch = launch_of(self._schedule.program, self._chip)
        begin = min(cycles, launch.cycles)
        self._changes[launch.cycles_figure] += begin
        self._changes[launch.skew_figure] += cycles - begin

    def _instruction(self, step: Step) -> tuple[Template, int, tuple[int, ...]]:
        """The template of the call that *step* belongs to, the position of its instruction there, and the bases."""
        calls = self._schedule.cores[step.core.timeline.number].stream.calls
        starts = self._starts.get(step.core)
        if starts is None:
            lengths = (len(call.template.instructions) for call in calls)
            starts = self._starts[step.core] = list(accumulate(lengths, initial=0))
        number = bisect_right(starts, step.at) - 1
        return calls[number].template, step.at - starts[number], calls[number].bases

    def _uses_of(self, instruction: Instruction, cost: Hashable, phase: int = 0) -> _Uses:
        """The uses of all instructions that ask for the same figures as *instruction* and *cost* the same."""
        operands = (*instruction.destinations(), *instruction.sources())
        kinds = tuple((space_of(one), one.dtype.name, getattr(one, "order", None)) for one in operands)
        key = type(instruction), instruction.mnemonic, kinds, cost, phase
        uses = self._uses.get(key)
        if uses is None:
            uses = self._uses[key] = _Uses(instruction, phase)
        return uses

    def _run(self, step: Step) -> None:
        template, position, _ = self._instruction(step)
        core, index = step.core, step.at
        uses = self._runs.get((template, position))
        if uses is None:
            start = core.starts[index]
            cost = core.frees[index] - start, core.ends[index] - start
            uses = self._runs[template, position] = self._uses_of(template.instructions[position], cost)
        if step.until == core.ends[index]:
            uses.latency += 1
        else:
            uses.occupancy += 1

    def _move(self, step: Step) -> None:
        """A move follows the law of moves that hit L2 or that miss it, or waits for others on top of that.

        The schedule does not say which moves missed: between the two laws a move counts for both in proportion. What
        it takes longer than both counts for the bandwidth it waited for. A move that took twice as long as alone was in
        the way of others from end to end, and its own path no longer matters: as far as that bandwidth was in use at
        all, all of its cycles count for it.
        """
        template, position, bases = self._instruction(step)
        instruction = template.instructions[position]
        timing = instruction.timing(self._chip)
        assert isinstance(timing, Move)
        parameter, line = timing.access.parameter, timing.requests.line
        phase = bases[parameter] % line if line and parameter is not None else 0
        uses = self._uses_of(instruction, timing, phase)
        cycles = step.until - step.since
        if step.until == step.core.ends[step.at]:
            uses.latency += 1
            cycles -= timing.latency
        if step.since > step.core.starts[step.at]:
            uses.heads += 1  # a FIXPIPE under unit_flag, which follows its MMAD fractal by fractal
            return
        warm, cold = _alone(timing, uses.phase, self._miss_extra)
        missing = self._reads_miss and timing.traffic is Traffic.READ
        share = min(max((cycles - warm) / (cold - warm), 0.0), 1.0) if missing and cold > warm + 1 else 0.0
        waited = cycles - warm - share * (cold - warm)
        held = 0.0
        if waited > 1:
            figure, in_use = self._limits[timing.traffic]
            held = in_use * min(waited / (cycles - waited), 1.0)
            self._changes[figure] -= (1 - held) * waited + held * cycles
        uses.cold += share * (1 - held)
        uses.warm += (1 - share) * (1 - held)

    def _vary(self, uses: _Uses) -> None:
        """Add what the figures of the instruction of *uses* change on the path."""
        instruction, chip = uses.instruction, self._chip
        asked: dict[str, float] = {}
        instruction.timing(_seen(chip, asked))
        if uses.cold:
            asked[MISS_EXTRA] = STEP
        for key, step in asked.items():
            cycles = []
            for factor in (1 - step, 1 + step):
                extra = self._miss_extra * (factor if key == MISS_EXTRA else 1.0)
                cycles.append(uses.cycles(instruction.timing(_seen(chip, {}, key, factor)), extra))
            self._changes[_figure_of(key)] += (cycles[1] - cycles[0]) / (2 * step)
            self.keys.setdefault(_figure_of(key), set()).add(key)


def _limits(timelines: Timelines) -> dict[Traffic, tuple[str, float]]:
    """The bandwidth that each kind of move waits for if it waits, which is that of which the run used most.

    With it goes the share of the time after the launch for which the bandwidth was in use.
    """
    schedule, chip = timelines.schedule, timelines.chip
    memory = schedule.memory
    dies = len({member.die for core in schedule.cores for member in core.members})
    span = dies * max(schedule.cycles - schedule.launch_cycles, 1)
    hbm = (memory.hbm_read_bytes + memory.hbm_write_bytes) / chip.hbm_bytes_per_cycle(mixed=False) / span, HBM
    reads = memory.l2_read_bytes / chip.l2.read_bytes_per_cycle.value / span, L2_READ
    writes = memory.l2_write_bytes / chip.l2.write_bytes_per_cycle.value / span, L2_WRITE
    both = memory.l2_read_bytes + memory.l2_write_bytes
    total = both / chip.l2.total_bytes_per_cycle.value / span, L2_TOTAL
    of_traffic = {
        Traffic.READ: (hbm, total, reads),
        Traffic.WRITE: (hbm, total, writes),
        Traffic.ATOMIC: (hbm, total, reads, writes),
    }
    most = {traffic: max(uses) for traffic, uses in of_traffic.items()}
    return {traffic: (figure, min(in_use, 1.0)) for traffic, (in_use, figure) in most.items()}


def figures_asked(instruction: Instruction, chip: Chip) -> set[str]:
    """Keys of the figures of *chip*, except zeros and geometry, that say what *instruction* costs."""
    asked: dict[str, float] = {}
    instruction.timing(_seen(chip, asked))
    return set(asked)


class _Seen:
    """A section of the chip as an instruction sees it: what it asks for is noted in *asked*, with the step to vary it.

    *varied* is a figure to multiply by *factor*, or a row of vector costs, which are multiplied together.
    """

    def __init__(self, model: BaseModel, key: str, asked: dict[str, float], varied: str, factor: float) -> None:
        self._model, self._key = model, key
        self._asked, self._varied, self._factor = asked, varied, factor

    def __getattr__(self, name: str) -> Any:
        return self._member(getattr(self._model, name), f"{self._key}.{name}" if self._key else name)

    def _member(self, value: Any, key: str) -> Any:
        if isinstance(value, VectorRow):
            return self._row(value, key)
        if isinstance(value, Figure):
            if value.value and not key.endswith(_GEOMETRY):
                self._asked[key] = STEP
            return value if key != self._varied else _Varied(value.value * self._factor)
        if isinstance(value, BaseModel):
            return _Seen(value, key, self._asked, self._varied, self._factor)
        return _SeenRows(self, key, value) if isinstance(value, dict) else value

    def _row(self, row: VectorRow, key: str) -> VectorRow:
        # An instruction costs whole cycles in the end, so that a step below one cycle would be lost or too large.
        self._asked[key] = max(STEP, 1 / row.first_cycles)
        if key != self._varied:
            return row
        return row.model_copy(update={name: getattr(row, name) * self._factor for name in _COSTS})


class _SeenRows(Mapping[str, Any]):
    """A mapping of the chip as an instruction sees it."""

    def __init__(self, owner: _Seen, key: str, rows: Mapping[str, Any]) -> None:
        self._owner, self._key, self._rows = owner, key, rows

    def __getitem__(self, name: str) -> Any:
        return self._owner._member(self._rows[name], f"{self._key}.{name}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


@dataclass(frozen=True, slots=True)
class _Varied:
    """Stands in the place of a Figure."""

    value: float


def _seen(chip: Chip, asked: dict[str, float], varied: str = "", factor: float = 1.0) -> Chip:
    return cast(Chip, _Seen(chip, "", asked, varied, factor))


def _figure_of(key: str) -> str:
    """The figure that *key* counts for: the operation for a row of vector costs, else the key itself."""
    return key.rpartition(".")[0] if key.startswith(VECTOR_OPS) else key


def _dependence(chip: Chip, figure: str, keys: Iterable[str], elasticity: float) -> Dependence:
    values: dict[str, int | float] = {}
    found: list[Figure[Any] | VectorRow] = []
    for key in keys:
        member: Any = chip
        for name in key.split("."):
            member = member[name] if isinstance(member, dict) else getattr(member, name)
        found.append(member)
        row = {f"{key}.{name}": getattr(member, name) for name in _COSTS} if isinstance(member, VectorRow) else {}
        values |= row or {key: member.value}
    standing = ", ".join(dict.fromkeys(one.standing for one in found))
    source = ", ".join(dict.fromkeys(one.source for one in found))
    return Dependence(figure, elasticity, values, unit_of(figure), standing, source)
