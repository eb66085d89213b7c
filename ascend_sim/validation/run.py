"""Simulating what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ascend_sim.bench import metrics_of
from ascend_sim.config import find_program, load_chip, load_run
from ascend_sim.engine.totals import timed
from ascend_sim.errors import ArgumentError, AscendSimError, Diagnostic, SimulatedProgramError, UserError
from ascend_sim.examples import run_of
from ascend_sim.kernel import build
from ascend_sim.kernel.load import load_program
from ascend_sim.simulate import prepare
from ascend_sim.validation.csv_file import counted
from ascend_sim.validation.data import (
    Experiment,
    KernelRun,
    MatrixOperation,
    Movement,
    Role,
    Row,
    VectorOperation,
    operation_of,
)

MICROBENCH = "microbench"
COUNT = 16
"""Instructions of the shorter of the two loops whose difference is measured."""
REPEATS = 129
"""Repeats of the longer of the two vector instructions whose difference is the cost of a further repeat."""
STEP = 7
"""The suite "quick" has every seventh of the rows of one instruction: odd, since vector rows come in pairs."""
QUICK = "quick"
INSTRUCTION_SUITES = ("movement", "vector", "matrix")


@dataclass(frozen=True)
class Comparison:
    """A measurement and what the simulator says; *simulated* is None for a row that is unreproducible."""

    row: Row
    simulated: float | None

    @property
    def error(self) -> float | None:
        """(simulated - measured) / measured."""
        return None if self.simulated is None else (self.simulated - self.row.measured) / self.row.measured


def chosen(rows: Sequence[Row], suites: Sequence[str]) -> list[Row]:
    """The rows of *suites*, all without any; "quick" is every seventh row of instructions and the first kernel.

    Raise an ArgumentError for a suite that no row belongs to.
    """
    known = [*dict.fromkeys(row.suite for row in rows), QUICK]
    unknown = [name for name in suites if name not in known]
    if unknown:
        way_out = f"write one of {', '.join(known)}"
        raise ArgumentError([Diagnostic(f"--suite {name}: there is no such suite; {way_out}") for name in unknown])
    quick = {id(row) for row in _quick(rows)} if QUICK in suites else set()
    return [row for row in rows if not suites or row.suite in suites or id(row) in quick]


def _quick(rows: Sequence[Row]) -> list[Row]:
    found = []
    for suite in dict.fromkeys(row.suite for row in rows):
        own = [row for row in rows if row.suite == suite]
        found += own[::STEP] if suite in INSTRUCTION_SUITES else [row for row in own if row.group == own[0].group]
    return found


def compare(
    rows: Sequence[Row], chip: str | None = None, advance: Callable[[int], None] = lambda total: None
) -> list[Comparison]:
    """Simulate *rows*, on *chip* instead of their own if it is given: one comparison for each, in the same order.

    *advance* is told after each row how many there are. Raise an ArgumentError that names all rows that cannot be
    simulated, and what `load_chip` raises for *chip*.
    """
    bench = _Bench(chip)
    found = []
    failed: dict[str, list[Row]] = {}
    for row in rows:
        simulated = None
        if row.role is not Role.UNREPRODUCIBLE:
            try:
                simulated = _simulated(bench, row.experiment)
            except (UserError, SimulatedProgramError) as error:
                for diagnostic in error.diagnostics:
                    failed.setdefault(str(diagnostic), []).append(row)
        found.append(Comparison(row, simulated))
        advance(len(rows))
    if failed:
        raise ArgumentError([_at(own, message, chip) for message, own in failed.items()])
    return found


def _simulated(bench: _Bench, experiment: Experiment) -> float:
    if isinstance(experiment, Movement):
        move = {"path": experiment.path, "bytes": experiment.kib * 1024, "cold": experiment.data == "hbm"}
        return bench.cycles(experiment.chip, move, experiment.cores)
    if isinstance(experiment, MatrixOperation):
        shape = [experiment.m, experiment.n, experiment.k]
        return bench.cycles(experiment.chip, {"mmad": shape, "isolated": experiment.isolated})
    if isinstance(experiment, VectorOperation):
        return bench.vector(experiment)
    return bench.kernel(experiment)


def _at(rows: Sequence[Row], message: str, chip: str | None) -> Diagnostic:
    """What went wrong as a fault of the *rows* that asked for it, or of the *chip* that was chosen for all rows."""
    first, *others = rows
    them = "the row" if not others else "these rows"
    way_out = f"change {them}, or make {'it' if not others else 'them'} unreproducible with this reason"
    if chip is not None:
        way_out = f"choose other rows with --suite, or another chip than {chip}"
    named = first.name if not others else f"{first.name} and {counted(len(others), 'more row')}"
    return Diagnostic(f"{named}: {message}; {way_out}", first.place.file, first.place.line)


class _Bench:
    """Runs loops of one instruction and whole kernels; equal runs are done once."""

    def __init__(self, chip: str | None) -> None:
        self.chip = chip
        self._microbench = load_program(find_program(MICROBENCH)).kernel
        self._chip_of = cache(load_chip)
        self._metrics_of = cache(self._run)
        if chip is not None:
            self._chip_of(chip)

    def cycles(self, chip: str, problem: dict[str, Any], cores: int = 1) -> float:
        """Cycles of one more instruction in the loop: that of two loops, 2N and N long, the difference by N."""
        short, long = (self._loop(chip, {**problem, "count": count}, cores) for count in (COUNT, 2 * COUNT))
        return (long - short) / COUNT

    def vector(self, experiment: VectorOperation) -> float:
        """Cycles of an instruction of one repeat, or of each of the further repeats of a long one."""
        named = operation_of(experiment.op, experiment.dtype)
        assert named is not None, "the table was read strictly"
        problem = {"op": named[0], "dtype": named[1]}
        one = self.cycles(experiment.chip, {**problem, "repeats": 1})
        if not experiment.further:
            return one
        return (self.cycles(experiment.chip, {**problem, "repeats": REPEATS}) - one) / (REPEATS - 1)

    def kernel(self, experiment: KernelRun) -> float:
        """The metric of a whole kernel."""
        found = self._metrics_of(experiment.config, experiment.overrides)
        if isinstance(found, AscendSimError):
            raise found
        return found[experiment.metric.removeprefix("pipes.")]

    def _loop(self, chip: str, problem: dict[str, Any], cores: int) -> int:
        parameters = self._microbench.parameters.model_validate({"problem": problem})
        on = self._chip_of(self.chip or chip)
        return timed(build(self._microbench, parameters, on, cores), on).cycles

    def _run(self, config: str, overrides: tuple[str, ...]) -> dict[str, float] | AscendSimError:
        """What is known of a run, or why that is nothing, which need not be found out for each of its metrics."""
        changes = list(overrides)
        if self.chip is not None:
            changes = [one for one in changes if not one.startswith("chip=")] + [f"chip={self.chip}"]
        try:
            run = load_run(run_of(config)[0], changes)
            _, _, program = prepare(run)
            return metrics_of(program, run.chip, timed(program, run.chip, symmetry=run.symmetry))
        except (UserError, SimulatedProgramError) as error:
            return error
