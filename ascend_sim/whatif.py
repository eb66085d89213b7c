"""What a run would gain if a resource that bounds it were infinitely fast: simulated, for the first few bounds.

The bounds are the largest parts of the critical path, by the resource that they were spent on:

* a pipe, such as `aic_cube`; the scalar units of both kinds of cores are one, `scalar`, since one figure says how fast
  they issue;
* `hbm` and `l2`: what moves on the path took longer than they would have with that bandwidth to themselves, on
  whatever pipe; the rest of their time counts for the pipe;
* `cross_core`: flags between cores on their way;
* `launch`: the time before the first block begins, and `launch_skew`: that until the block on the path begins.

Infinitely fast is exactly this, all else being equal:

* `aic_cube`, `aiv_vec`: their instructions take no time, from start to result. No figure of a chip can say that.
* `aic_mte1`, `aic_mte2`, `aic_fixpipe`, `aiv_mte2`, `aiv_mte3`: the data paths that the pipe uses have the largest
  rates that a chip may have and no costs in cycles, so that loads into L0 take a cycle, and moves of global memory
  what L2 and HBM need for them.
* `hbm`, `l2`: the bandwidths are the largest that a chip may have, with `hbm` what misses L2 comes no later. A core
  still moves no faster than its paths, and what misses L2 no faster than their miss rates.
* `scalar`, `cross_core`, `launch`, `launch_skew`: these take no time.

A schedule is discrete: cores that were out of step may fall into step, so that less of one cost can take more time.

The kernel is traced once, see `ascend_sim.bench`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ascend_sim.bench import Bench, instructions, microseconds
from ascend_sim.config import Chip, MovePath
from ascend_sim.engine.launch import launch_of
from ascend_sim.errors import ArgumentError, SimulatedProgramError
from ascend_sim.isa.instruction import Instruction, Operand
from ascend_sim.isa.timing import Run, Timing
from ascend_sim.isa.words import PIPES_OF, CoreKind, Pipe
from ascend_sim.kernel import Program
from ascend_sim.observe.bound import bound_by
from ascend_sim.observe.critical_path import CROSS_CORE, LAUNCH, critical_path
from ascend_sim.observe.dependence import RecordedWalk, Step, figures_asked
from ascend_sim.observe.facts import MOVE
from ascend_sim.observe.recorder import Recorder
from ascend_sim.observe.statistics import core_statistics
from ascend_sim.observe.timeline import MoveLimits, Timelines, metric_name
from ascend_sim.opened import run_config
from ascend_sim.report.whatif import WhatIf

MOST = 3
"""Bounds that are looked into."""
HBM, L2, SCALAR, LAUNCH_SKEW = "hbm", "l2", "scalar", "launch_skew"
_UNLIMITED = 1e18
"""The largest rate that a chip file takes, in bytes per cycle or per second."""
_UNITS = {"aic_cube": Pipe.M, "aiv_vec": Pipe.V}
"""Resources that no figure makes infinitely fast, and the pipe whose instructions are carried out in no time."""
_PIPES = {metric_name(kind, pipe): (kind, pipe) for kind, pipes in PIPES_OF.items() for pipe in pipes}
_FIGURES: dict[str, dict[str, float]] = {
    SCALAR: {"scalar.issue_cycles": 0},
    CROSS_CORE: {"sync.cross_core_latency_cycles": 0},
    HBM: {"hbm.bytes_per_second": _UNLIMITED, "hbm.mixed_bytes_per_second": _UNLIMITED, "l2.miss_extra_cycles": 0},
    L2: {f"l2.{which}_bytes_per_cycle": _UNLIMITED for which in ("read", "write", "total")},
}


def what_if(
    config: str, overrides: Sequence[str] = (), *, advance: Callable[[int], None] = lambda total: None
) -> list[WhatIf]:
    """Simulate the run *config* with each of its first MOST bounds infinitely fast, the largest bound first.

    *config* is what `run_config` takes, also the folder of a finished run.
    `advance(total)` is called after each of *total* timing runs. Raise what `run_config` and `prepare` raise, a
    DeadlockError or FlagError of the run as it is, and an ArgumentError for a run that takes no time.
    """
    bench = Bench(run_config(config, overrides))
    chip = bench.run.chip
    cycles, bounds = _bounds(bench)
    if not cycles:
        raise ArgumentError(f"{config}: the run takes no time, so nothing bounds it; give its cores some work")
    base_us = microseconds(cycles, chip)
    largest = bounds.most_common(MOST)
    rows = []
    for resource, part in largest:
        changes = tuple(f"chip.{key}={value}" for key, value in _figures(resource, bench.program, chip).items())
        row = WhatIf(resource, part / cycles, base_us, None, None, changes)
        rows.append(_simulated(row, bench, run_config(config, [*overrides, *changes]).chip))
        advance(len(largest))
    return rows


def _bounds(bench: Bench) -> tuple[int, Counter[str]]:
    """The cycles of the run as it is, and those of its critical path by the resource that they were spent on."""
    chip, recorder = bench.run.chip, Recorder()
    schedule = bench.schedule(chip, observers=(recorder,))
    limited = recorder.limits(len(schedule.cores))
    walk = RecordedWalk(Timelines(schedule, chip, limited))
    found = Counter(walk.run().cycles)
    for step in walk.steps:
        if step.core.kinds[step.at] == MOVE and step.name == step.core.names[step.core.pipes[step.at]]:
            lost = _lost(limited[step.core.timeline.number], step)
            found[step.name] -= sum(lost.values())
            found.update(lost)
    launch = min(found[LAUNCH], launch_of(bench.program, chip).cycles)
    found[LAUNCH_SKEW] = found[LAUNCH] - launch
    found[LAUNCH] = launch
    for name in [name for name in found if name.endswith("_scalar")]:
        found[SCALAR] += found.pop(name)
    return schedule.cycles, +found


def _lost(limits: MoveLimits, step: Step) -> Counter[str]:
    """Which of the cycles of *step*, a move, went to waiting for shares of HBM and of L2."""
    number = bisect_left(limits.index, step.at)
    if number == len(limits.index) or limits.index[number] != step.at:
        return Counter()
    cycles = step.until - step.since
    hbm = min(int(limits.hbm[number]), cycles)
    return Counter({HBM: hbm, L2: min(int(limits.l2[number]), cycles - hbm)})


def _simulated(row: WhatIf, bench: Bench, chip: Chip) -> WhatIf:
    """*row* with what the run takes on *chip*; the instructions of a unit that *row* names take no time."""
    pipe = _UNITS.get(row.resource)
    program = bench.program if pipe is None else _instant(bench.program, pipe, chip)
    try:
        schedule = bench.schedule(chip, program)
    except SimulatedProgramError as error:
        # Cores that are ahead of others may count a flag up beyond what its counter holds, for example.
        return replace(row, reason=f"the run fails then ({error.diagnostics[0].message})")
    timelines = Timelines(schedule, chip)
    then = bound_by(critical_path(timelines), core_statistics(timelines), schedule, chip)
    return replace(row, time_us=microseconds(schedule.cycles, chip), bound_by=then)


def _figures(resource: str, program: Program, chip: Chip) -> dict[str, float | str]:
    """The figures of *chip*, as overrides write them, that make *resource* infinitely fast; none if no figure can."""
    if resource in _UNITS:
        return {}
    if resource == LAUNCH:
        return {launch_of(program, chip).cycles_figure: 0}
    if resource == LAUNCH_SKEW:
        return {launch_of(program, chip).skew_figure: 0}
    if resource in _FIGURES:
        return {**_FIGURES[resource]}
    return {f"paths.{name}": _free(getattr(chip.paths, name)) for name in _paths(program, chip, *_PIPES[resource])}


def _paths(program: Program, chip: Chip, kind: CoreKind, pipe: Pipe) -> list[str]:
    """The names of the data paths that *pipe* of the cores of *kind* uses."""
    own = replace(program, streams=tuple(stream for stream in program.streams if stream.core.kind is kind))
    asked = {key for one in instructions(own) if one.pipe is pipe for key in figures_asked(one, chip)}
    return sorted({key.split(".")[1] for key in asked if key.startswith("paths.")})


def _free(path: MovePath) -> str:
    """The figures of a data path that costs nothing, as an override writes them."""
    rates = {name: name.endswith("bytes_per_cycle") for name in type(path).model_fields}
    return f"{{{', '.join(f'{name}: {_UNLIMITED if rate else 0}' for name, rate in rates.items())}}}"


def _instant(program: Program, pipe: Pipe, chip: Chip) -> Program:
    """*program* with all that occupies *pipe* carried out in no time; its flags and barriers stay."""
    templates = {}
    for template in dict.fromkeys(call.template for stream in program.streams for call in stream.calls):
        changed = (
            _Instant(where=one.where, carried_out=one)
            if one.pipe is pipe and isinstance(one.timing(chip), Run)
            else one
            for one in template.instructions
        )
        templates[template] = replace(template, instructions=tuple(changed))
    streams = (
        replace(stream, calls=tuple(replace(call, template=templates[call.template]) for call in stream.calls))
        for stream in program.streams
    )
    return replace(program, streams=tuple(streams))


@dataclass(frozen=True, kw_only=True)
class _Instant(Instruction):
    """The instruction *carried_out*, which occupies its pipe, in no time."""

    carried_out: Instruction

    @property
    def mnemonic(self) -> str:  # type: ignore[override]  # that of another instruction
        return self.carried_out.mnemonic

    @property
    def pipe(self) -> Pipe:
        return self.carried_out.pipe

    @property
    def cores(self) -> frozenset[CoreKind]:
        return self.carried_out.cores

    def timing(self, chip: Chip) -> Timing:
        timing = self.carried_out.timing(chip)
        assert isinstance(timing, Run), "only what occupies its pipe is made instant"
        return replace(timing, occupancy=0, latency=0, busy=0, stream=None)

    def sources(self) -> tuple[Operand, ...]:
        return self.carried_out.sources()

    def destinations(self) -> tuple[Operand, ...]:
        return self.carried_out.destinations()

    def operands(self) -> str:
        return self.carried_out.operands()
