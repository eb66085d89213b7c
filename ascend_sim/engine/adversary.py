"""Executing a Program with real numbers in an order chosen by chance, among all that its flags allow.

Completions are delayed, pipes and cores overtake each other: whatever no flag forbids may happen. A program whose
accesses are ordered computes the same bits under every seed; one that relies on times does not.

Half of the seeds choose each step evenly. The other half give each pipe and front end a priority that changes now and
then (probabilistic concurrency testing, Burckhardt et al., ASPLOS 2010), which finds orders in which one of them lags
far behind.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ascend_sim.config import Chip
from ascend_sim.engine.functional import CoreMemory, filled_memory, outputs_of
from ascend_sim.engine.lowering import PIPES, SCALAR
from ascend_sim.engine.untimed import Core, Listener, Step, Untimed
from ascend_sim.errors import ArgumentError, Diagnostic, FlagError
from ascend_sim.kernel.program import Program

_CHANGE_EVERY = 50
"""Steps after which, on average, a priority changes."""

_MOST_SEEDS = 10_000
"""Seeds of one run: each computes everything once more."""

Actor = tuple[int, int, bool]
"""Core, pipe, and whether it is to complete an instruction (or to begin one; SCALAR begins by issuing)."""


class _Numbers(Listener):
    """Reads when an instruction begins, writes when it completes."""

    def __init__(self, memories: list[CoreMemory]) -> None:
        self._memories = memories
        self._results: dict[tuple[int, int], Any] = {}

    def began(self, core: Core, pipe: int, step: Step) -> None:
        memory = self._memories[core.number]
        memory.bases = step.bases
        self._results[core.number, step.position] = step.instruction.read(memory)

    def completed(self, core: Core, pipe: int, step: Step) -> None:
        memory = self._memories[core.number]
        memory.bases = step.bases
        step.instruction.write(memory, self._results.pop((core.number, step.position)))


class _Chance:
    """Chooses among actors: evenly, or by priorities that change now and then."""

    def __init__(self, seed: int, actors: list[Actor]) -> None:
        self._random = random.Random(seed)
        self._priority = {actor: self._random.random() for actor in actors} if seed % 2 else {}
        self._actors = actors

    def pick(self, active: list[Actor]) -> int:
        """Position of the chosen one."""
        if not self._priority:
            return self._random.randrange(len(active))
        if self._random.random() * _CHANGE_EVERY < 1.0:
            self._priority[self._random.choice(self._actors)] = self._random.random()
        return max(range(len(active)), key=lambda position: self._priority[active[position]])


def seeds_of(text: str | None) -> range:
    """The seeds that *text* names: SEED, or FIRST:LAST with both included; none for None.

    Raise an ArgumentError if it is neither, or names too many.
    """
    if text is None:
        return range(0)
    first, colon, last = text.partition(":")
    if not first.isdecimal() or (colon and not last.isdecimal()) or (colon and int(last) < int(first)):
        raise ArgumentError(f"--adversarial {text}: write a seed such as 7, or a range such as 0:99")
    seeds = range(int(first), int(last or first) + 1)
    if len(seeds) > _MOST_SEEDS:
        raise ArgumentError(f"--adversarial {text}: these are {len(seeds):,} seeds; write at most {_MOST_SEEDS:,}")
    return seeds


def execute_adversarially(
    program: Program, chip: Chip, inputs: Mapping[str, NDArray[Any]], seed: int
) -> dict[str, NDArray[Any]]:
    """Run *program* on *inputs* (arrays by tensor name) in an order drawn from *seed*; return its outputs.

    Raise a FlagError if the program comes to a stop in this order before its end.
    """
    gm = filled_memory(program, inputs)
    numbers = _Numbers([CoreMemory(chip, stream.core, gm) for stream in program.streams])
    machine = Untimed(program, chip, numbers, depth=chip.scalar.queue_depth.value, one_bit=True)
    with np.errstate(all="ignore"), threadpool_limits(limits=1, user_api="blas"):
        _run(machine, seed)
    if not machine.finished:
        raise FlagError([_stopped(machine, seed)])
    return outputs_of(program, gm)


def _run(machine: Untimed, seed: int) -> None:
    actors = [
        (core.number, pipe, finishing)
        for core in machine.cores
        for pipe in range(len(PIPES))
        for finishing in ((False,) if pipe == SCALAR else (False, True))
    ]
    of_core: dict[int, list[Actor]] = {core.number: [] for core in machine.cores}
    for actor in actors:
        of_core[actor[0]].append(actor)
    chance = _Chance(seed, actors)
    active = list(actors)
    listed = set(active)
    while active:
        position = chance.pick(active)
        number, pipe, finishing = active[position]
        core = machine.cores[number]
        if _act(machine, core, pipe, finishing):
            awake = of_core[number]
            for other, _ in machine.retry:
                awake = [*awake, *of_core[other.number]] if other is not core else awake
            machine.retry.clear()
            for actor in awake:
                if actor not in listed:
                    listed.add(actor)
                    active.append(actor)
        else:
            # It sleeps until something happens on its core, or another core sets a flag for it.
            listed.remove(active[position])
            active[position] = active[-1]
            active.pop()


def _act(machine: Untimed, core: Core, pipe: int, finishing: bool) -> bool:
    if pipe == SCALAR:
        return machine.dispatch(core) >= 0
    step: Callable[[Core, int], bool] = machine.complete if finishing else machine.begin
    return step(core, pipe)


def _stopped(machine: Untimed, seed: int) -> Diagnostic:
    """Where the first core stands that has not come to its end."""
    for core in machine.cores:
        for queue in core.queues:
            if queue:
                return _waits(core, queue[0].instruction, seed)
        if core.next is not None:
            return _waits(core, core.next[2], seed)
    raise AssertionError("every core has come to its end")


def _waits(core: Core, instruction: Any, seed: int) -> Diagnostic:
    message = (
        f"adversarial execution with seed {seed} stops: {instruction.pipe.value} of {core.id} waits at "
        f"{instruction.mnemonic} ({instruction.operands()}) for ever; `check` says which flag is missing"
    )
    return Diagnostic(message, instruction.where.file, instruction.where.line)
