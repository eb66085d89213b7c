"""What a worker does with a point: build its kernel, bound its time, simulate it."""

from __future__ import annotations

import re
import time
from dataclasses import replace

from ascend_sim.bench import metrics_of
from ascend_sim.check.run import check
from ascend_sim.config import Chip, RunConfig
from ascend_sim.engine.budget import Budget
from ascend_sim.engine.symmetry import classify, every_core
from ascend_sim.engine.totals import Totals, simulate_totals
from ascend_sim.errors import KernelError, ProgramError, SimulatedProgramError, UserError
from ascend_sim.explore.bound import lower_bound, lower_bound_of_cores
from ascend_sim.explore.point import METRICS, Assignment, Base, Evaluation, Limits
from ascend_sim.explore.resolve import Opened, opened
from ascend_sim.kernel import Program
from ascend_sim.kernel.build import Building

_CATEGORIES = (
    ("capacity", r"overflow|reaches beyond|do not fit|does not fit|too few"),
    ("event ids", r"event id"),
    ("alignment", r"multiple of|aligned|alignment"),
    ("divisibility", r"divi"),
)
"""Kinds of reasons why a point is infeasible, by the words of the message; the first that fits counts."""


def evaluate(base: Base, assignment: Assignment, limits: Limits, at_most: int | None = None) -> Evaluation:
    """Build, bound and simulate the point with *assignment*; with a bound above *at_most* cycles it is pruned.

    What the point is guilty of is in the Evaluation; only errors of the host and of this project are raised.
    """
    begin = time.perf_counter()
    evaluation = _evaluate(opened(base), assignment, limits, at_most)
    return replace(evaluation, seconds=time.perf_counter() - begin)


def _evaluate(at: Opened, assignment: Assignment, limits: Limits, at_most: int | None) -> Evaluation:
    budget = Budget(limits.max_cycles, limits.max_instructions)
    try:
        run = at.run_of(assignment)
        with budget.tracing():
            program = _program(at, run, at_most)
    except _Pruned as pruned:
        return Evaluation("pruned", bound_cycles=pruned.bound)
    except (UserError, KernelError) as error:
        broken = isinstance(error, ProgramError) and not isinstance(error.__cause__, ValueError)
        return _failed(error) if broken else _infeasible(error)
    except SimulatedProgramError as error:
        return _failed(error)
    if limits.max_instructions is not None and program.instructions > limits.max_instructions:
        return Evaluation("failed", category="budget", reason=_too_many(program.instructions, limits.max_instructions))
    classes = classify(program, run.chip) if run.symmetry else every_core(program)
    bound = lower_bound(program, run.chip, classes)
    if at_most is not None and bound > at_most:
        return Evaluation("pruned", bound_cycles=bound)
    try:
        if limits.check and (errors := check(run, data=False).errors):
            return Evaluation("failed", bound_cycles=bound, category=errors[0].kind, reason=str(errors[0].diagnostic()))
        totals = simulate_totals(program, run.chip, classes, budget)
    except SimulatedProgramError as error:
        return replace(_failed(error), bound_cycles=bound)
    return Evaluation("done", _metrics(program, run.chip, totals), bound)


def _too_many(instructions: int, limit: int) -> str:
    return f"stopped by limits.max_instructions = {limit}: the program has {instructions:,} instructions"


class _Pruned(Exception):  # noqa: N818  # no error
    """The first block alone takes longer than the point may."""

    def __init__(self, bound: int) -> None:
        super().__init__()
        self.bound = bound


def _program(at: Opened, run: RunConfig, at_most: int | None) -> Program:
    """The program of *run*: traced, but for the streams that it shares with earlier points.

    Tracing ends at the first fault, since nobody will mend it. Raise _Pruned if the first block takes more than
    *at_most* cycles.
    """
    parameters = run.parameters(at.loaded.kernel.parameters)
    building = Building(at.loaded.kernel, parameters, run.chip, run.launch.blocks, 1, at.shared)
    building.trace(1)
    if at_most is not None and (bound := lower_bound_of_cores(building.program(), run.chip)) > at_most:
        raise _Pruned(bound)
    building.trace()
    return building.program()


def _metrics(program: Program, chip: Chip, totals: Totals) -> dict[str, float]:
    found = metrics_of(program, chip, totals)
    return {name: found[name] for name in METRICS}


def _infeasible(error: UserError | KernelError) -> Evaluation:
    message = _reason(error)
    return Evaluation("infeasible", category=category_of(message), reason=message)


def _failed(error: UserError | SimulatedProgramError) -> Evaluation:
    kind = type(error).__name__.removesuffix("Error").lower()
    return Evaluation("failed", category=kind, reason=_reason(error))


def _reason(error: UserError | SimulatedProgramError) -> str:
    first, more = error.diagnostics[0], len(error.diagnostics) - 1
    return f"{first.message} (and {more} more)" if more else first.message


def category_of(message: str) -> str:
    """The kind of reason for which a point with this *message* is infeasible."""
    return next((name for name, words in _CATEGORIES if re.search(words, message)), "parameters")
