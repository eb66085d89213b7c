"""What a kernel pays before its first instruction, which depends on the kinds of cores that it uses."""

from __future__ import annotations

from dataclasses import dataclass

from ascend_sim.config import Chip
from ascend_sim.isa.words import CoreKind
from ascend_sim.kernel.program import Program


@dataclass(frozen=True)
class Launch:
    """*cycles* before the first block begins, *skew* from the beginning of a block to that of the next one of its die.

    The names are those of the chip figures that they come from.
    """

    cycles: int
    skew: int
    cycles_figure: str
    skew_figure: str


def launch_of(program: Program, chip: Chip) -> Launch:
    """The launch of *program* on *chip*; a kind of core without instructions does not count."""
    kinds = {stream.core.kind for stream in program.streams if stream.calls}
    cube = CoreKind.AIC in kinds
    seconds = chip.launch.cube_seconds if cube else chip.launch.vector_seconds
    skew = chip.launch.mix_skew_cycles if len(kinds) == 2 else chip.launch.skew_cycles
    return Launch(
        round(seconds.value * chip.clock_hz.value),
        skew.value,
        "launch.cube_seconds" if cube else "launch.vector_seconds",
        "launch.mix_skew_cycles" if len(kinds) == 2 else "launch.skew_cycles",
    )
