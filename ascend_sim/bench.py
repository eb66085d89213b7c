"""A run traced once and timed on many chips.

That is right because a trace depends on a chip only through numbers of cores, capacities, geometry and numbers of
flags (`STRUCTURE` of `kernel.reuse`): who varies one of these needs another trace.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ascend_sim.config import Chip, RunConfig
from ascend_sim.engine.machine import Schedule, simulate_timing
from ascend_sim.engine.observer import Observer
from ascend_sim.isa.instruction import Instruction
from ascend_sim.kernel import Program
from ascend_sim.simulate import prepare


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


def microseconds(cycles: int, chip: Chip) -> float:
    """Microseconds that *cycles* of *chip* take."""
    return cycles / chip.cycles_per_second * 1e6


def instructions(program: Program) -> Iterator[Instruction]:
    """The instructions of all templates of *program*, each template once."""
    for template in dict.fromkeys(call.template for stream in program.streams for call in stream.calls):
        yield from template.instructions
