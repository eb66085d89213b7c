"""Random kernels that the DSL takes, of every class of instructions, synchronised with real flags.

`random_program` is the strategy for tests with Hypothesis, `program_of` writes the program of a seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from hypothesis import strategies as st
from program_writer import Number, RandomProgram, Writer
from random_tasks import write_tasks
from tiny import chip as tiny_chip

from ascend_sim.config import Chip, load_chip
from ascend_sim.kernel.build import Cores

Draw = Callable[[st.SearchStrategy[Any]], Any]


@lru_cache
def chips() -> tuple[Chip, ...]:
    """Chips for random programs: real ones, and small ones on which little fits into L2 and into queues."""
    real = tuple(load_chip(name, ["chip.launch.skew_cycles=7"]) for name in ("ascend910b1", "ascend910c"))
    narrow = tiny_chip("scalar.queue_depth=1", "scalar.issue_cycles=3", "l2.bytes=4096", hbm=16)
    return (*real, tiny_chip(), narrow, tiny_chip("dies=2", "cores.aic_per_die=2", "l2.miss_extra_cycles=40", hbm=64))


@st.composite
def random_program(draw: Draw, *, drop: bool = False, cores: Cores | None = None, tasks: int = 8) -> RandomProgram:
    """A program of up to *tasks* tasks for each kind of core, for *cores* of any kind by default.

    With *drop* it lacks one synchronisation, or its set or its wait alone, if it has any.
    """
    return _written(lambda low, high: draw(st.integers(low, high)), drop, cores, tasks)


def program_of(seed: int, *, drop: bool = False, cores: Cores | None = None, tasks: int = 8) -> RandomProgram:
    """The program of *seed*, with all choices equally likely; see `random_program`."""
    return _written(random.Random(seed).randint, drop, cores, tasks)


def _written(number: Number, drop: bool, cores: Cores | None, tasks: int) -> RandomProgram:
    kinds: tuple[Cores, ...] = ("vector", "cube", "mix")
    chip = chips()[number(0, len(chips()) - 1)]
    chosen = cores or kinds[number(0, 2)]
    blocks = number(1, 4)
    writer = Writer(number, chip, chosen, auto_barrier=number(0, 1) == 1)
    write_tasks(writer, tasks)
    program = RandomProgram(
        chip, chosen, blocks, writer.auto_barrier, {kind: tuple(steps) for kind, steps in writer.steps.items()},
        tuple(writer.tensors.values()), tuple(writer.rings), tuple(writer.syncs),
    )  # fmt: skip
    if not drop or not program.syncs:
        return program
    sync = writer.choose(program.syncs)
    parts = ("both",) if sync.kind == "barrier" else ("both", "both", "set", "wait")
    return program.without(sync, writer.choose(parts))
