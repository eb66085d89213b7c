"""A run traced once and timed on many chips.

That is right because a trace depends on a chip only through numbers of cores, capacities, geometry and numbers of
flags (`STRUCTURE` of `kernel.reuse`): who varies one of these needs another trace.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ascend_sim.config import Chip, RunConfig
from ascend_sim.engine.machine import Schedule, simulate_timing
from ascend_sim.engine.observer import Observer
from ascend_sim.engine.totals import Totals, timed
from ascend_sim.isa.instruction import Instruction
from ascend_sim.kernel import Program
from ascend_sim.observe.statistics import busy_ratios
from ascend_sim.simulate import matrix_format, prepare


class Bench:
    """A *run* traced once to its *program*, to be timed on variants of its chip. Raise what `prepare` raises."""

    def __init__(self, run: RunConfig) -> None:
        self.run = run
        _, _, self.program = prepare(run)

    def schedule(self, chip: Chip, program: Program | None = None, observers: Sequence[Observer] = ()) -> Schedule:
        """The schedule on *chip*, of the program or of another *program* in its place.

        Raise a DeadlockError or a FlagError if it fails there.
        """
        return simulate_timing(program or self.program, chip, symmetry=self.run.symmetry, observers=observers)

    def cycles(self, chip: Chip) -> int:
        """The cycles of the schedule on *chip*, for who needs nothing else of it; raise what `schedule` raises."""
        return timed(self.program, chip, symmetry=self.run.symmetry).cycles


def microseconds(cycles: int, chip: Chip) -> float:
    """Microseconds that *cycles* of *chip* take."""
    return cycles / chip.cycles_per_second * 1e6


def metrics_of(program: Program, chip: Chip, totals: Totals) -> dict[str, float]:
    """What can be said of the *totals* of *program* on *chip*; what a result has too is called as there."""
    time_us = microseconds(totals.cycles, chip)
    rate = program.flops / (time_us * 1e-6) if time_us else 0.0
    memory = totals.memory
    asked = memory.l2_read_bytes + memory.l2_write_bytes
    used = dict.fromkeys(("L1", "L0A", "L0B", "L0C", "UB"), 0)
    for use in program.buffers:
        used[use.space] = max(used[use.space], sum(size for _, size in use.buffers))
    return {
        "time_us": time_us,
        "cycles": totals.cycles,
        "tflops": rate / 1e12,
        "flops_utilization": rate / chip.peak_flops(matrix_format(program)),
        "hbm_bytes": memory.hbm_read_bytes + memory.hbm_write_bytes,
        "hbm_read_bytes": memory.hbm_read_bytes,
        "hbm_write_bytes": memory.hbm_write_bytes,
        "l2_bytes": asked,
        "l2_hit_ratio": memory.l2_hit_bytes / asked if asked else 0.0,
        **{f"{space.lower()}_bytes": size for space, size in used.items()},
        "gm_bytes": program.gm_bytes,
        "instructions": program.instructions,
        **busy_ratios(((core.kind, core.members, core.busy) for core in totals.cores), totals.cycles),
    }


def instructions(program: Program) -> Iterator[Instruction]:
    """The instructions of all templates of *program*, each template once."""
    for template in dict.fromkeys(call.template for stream in program.streams for call in stream.calls):
        yield from template.instructions
