"""Which figures of the chip a run depends on: its time with each of them a little smaller and a little larger.

The kernel is traced once in each process.
"""

from __future__ import annotations

import math
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace

from pydantic import BaseModel

from ascend_sim.bench import Bench, instructions, microseconds
from ascend_sim.config import Chip, Figure, RunConfig, load_run, unit_of
from ascend_sim.errors import ArgumentError, SimulatedProgramError
from ascend_sim.isa.vector import VectorInstruction
from ascend_sim.kernel import Program
from ascend_sim.kernel.reuse import STRUCTURE
from ascend_sim.report.sensitivity import Elasticity

_HBM = ("hbm.bytes_per_second", "hbm.mixed_bytes_per_second")


@dataclass(frozen=True)
class Sensitivity:
    """What `sensitivity` found: the time of the run as it is, and an Elasticity for each figure, largest first."""

    program: str
    chip: str
    time_us: float
    rows: tuple[Elasticity, ...]


def sensitivity(
    config: str,
    overrides: Sequence[str] = (),
    *,
    step: float = 0.1,
    jobs: int = 1,
    advance: Callable[[int], None] = lambda total: None,
) -> Sensitivity:
    """Vary each figure of the chip of the run *config* by the share *step* in *jobs* processes.

    `advance(total)` is called after each of *total* timing runs. Whole numbers change by at least one and not to
    zero. Raise what `load_run` and `prepare` raise, a DeadlockError or FlagError of the run as it is, and an
    ArgumentError for a *step* outside 0..0.5, *jobs* below 1, a run that takes no time, or a process that ended early.
    """
    if not 0.0 < step <= 0.5:
        raise ArgumentError(f"--step {100 * step:g}: must be above 0 and at most 50 percent; write --step 10 instead")
    if jobs < 1:
        raise ArgumentError(f"--jobs {jobs}: there is nobody to work; write --jobs 1 or more")
    bench = _Bench(load_run(config, overrides))
    if not bench.time_us:
        raise ArgumentError(f"{config}: the run takes no time, so nothing can change it; give its cores some work")
    rows = [replace(row, base_us=bench.time_us) for row in figures(bench.run.chip, bench.program)]
    varied = [(row, *_changes(row.values, step)) for row in rows if row.reason is None]
    changes = [_overrides(row.values, change) for row, *both in varied for change in both]
    times = []
    for time in _times(bench, config, overrides, changes, jobs):
        times.append(time)
        advance(len(changes))
    found = [row for row in rows if row.reason is not None]
    for (row, below, above), low, high in zip(varied, times[::2], times[1::2], strict=True):
        found.append(_elasticity(row, (below, above), low, high))
    found.sort(key=lambda row: (row.reason is not None, -abs(row.elasticity or 0.0), row.figure))
    return Sensitivity(bench.program.name, bench.run.chip_name, bench.time_us, tuple(found))


def figures(chip: Chip, program: Program) -> Iterator[Elasticity]:
    """Yield the figures of *chip* to vary for *program*, without an elasticity; those of 0 have a reason.

    The rates of HBM are varied together, since the mixed one must not exceed the other, and so are the rows of a
    vector operation; of these there are only those that the program uses.
    """
    for key, figure in _numbers(chip):
        if key == _HBM[0]:
            mixed = chip.hbm.mixed_bytes_per_second
            values = dict(zip(_HBM, (figure.value, mixed.value), strict=True))
            yield _row(key, values, [figure.standing, mixed.standing], [figure.source, mixed.source])
        elif key != _HBM[1]:
            row = _row(key, {key: figure.value}, [figure.standing], [figure.source])
            yield row if figure.value else replace(row, reason="not varied (0)")
    used = _used_rows(chip, program)
    for op in sorted(used):
        rows = {dtype: chip.vector.ops[op][dtype] for dtype in sorted(used[op])}
        values = {
            f"vector.ops.{op}.{dtype}.{name}": getattr(row, name)
            for dtype, row in rows.items()
            for name in ("first_cycles", "further_cycles", "latency_cycles")
            if getattr(row, name)
        }
        several = rows.values()
        yield _row(f"vector.ops.{op}", values, [row.standing for row in several], [row.source for row in several])


def _numbers(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, Figure[int] | Figure[float]]]:
    """The figures below *model* by their key, except those of STRUCTURE."""
    for name in type(model).model_fields:
        inner, key = getattr(model, name), f"{prefix}{name}"
        if key in STRUCTURE or key == "vector.ops":
            continue
        members = inner.items() if isinstance(inner, dict) else [("", inner)]
        for part, member in members:
            if isinstance(member, Figure):
                yield f"{key}.{part}" if part else key, member
            elif isinstance(member, BaseModel):
                yield from _numbers(member, f"{key}.")


def _row(name: str, values: dict[str, int | float], standings: list[str], sources: list[str]) -> Elasticity:
    standing, source = (", ".join(dict.fromkeys(one)) for one in (standings, sources))
    return Elasticity(name, values, unit_of(name), standing, source, 0.0)


def _used_rows(chip: Chip, program: Program) -> dict[str, set[str]]:
    """The data types of each vector operation by its key in the chip, as far as *program* uses them."""
    used: dict[str, set[str]] = {}
    for one in instructions(program):
        if isinstance(one, VectorInstruction):
            source = (one.data[0] if one.data else one.destination).dtype
            rows = chip.vector.ops[one.operation.cost]
            keys = (key for key in one.operation.cost_keys(source, one.destination.dtype) if key in rows)
            used.setdefault(one.operation.cost, set()).add(next(keys))
    return used


def _changes(values: dict[str, int | float], step: float) -> tuple[float, float]:
    """The relative changes below and above: at least one for the smallest whole number, and none to zero."""
    whole = [value for value in values.values() if isinstance(value, int)]
    if not whole:
        return -step, step
    least = min(whole)
    change = max(1, round(least * step)) / least
    return (-change if change < 1 else 0.0), change


def _overrides(values: dict[str, int | float], change: float) -> tuple[str, ...]:
    """The overrides that change *values* by the share *change*."""
    return tuple(
        f"chip.{key}={value + round(value * change) if isinstance(value, int) else value * (1 + change)!r}"
        for key, value in values.items()
    )


def _elasticity(row: Elasticity, change: tuple[float, float], low: float | str, high: float | str) -> Elasticity:
    """*row* with its elasticity from the times *low* and *high*; text in their place is why a run failed.

    d ln(time) / d ln(figure) is the quotient of differences of logarithms for rates and times: that is exact for a
    power law. The steps of whole numbers can be coarse; their quotient is that of relative differences, which is
    exact for a cost in cycles whatever the step.
    """
    if isinstance(low, str) or isinstance(high, str):
        return replace(row, reason=low if isinstance(low, str) else str(high))
    below, above = change
    if any(isinstance(value, int) for value in row.values.values()):
        slope = (high - low) / row.base_us / (above - below)
    else:
        slope = math.log(high / low) / math.log((1 + above) / (1 + below))
    return replace(row, change=change, time_us=(low, high), elasticity=slope)


class _Bench(Bench):
    """The bench of a run whose time, *time_us*, is known."""

    def __init__(self, run: RunConfig) -> None:
        super().__init__(run)
        self._asked = self._asks(run.chip)
        self.time_us = self._simulated(run.chip)

    def timed(self, chip: Chip, changes: Sequence[str]) -> float | str:
        """Microseconds of the run on *chip*, or why it fails there; *changes* is what was changed.

        The engine sees an instruction only through its timing: where no timing and no figure of the engine differs,
        the time is that of the unchanged chip.
        """
        if self._asks(chip) == self._asked:
            return self.time_us
        try:
            return self._simulated(chip)
        except SimulatedProgramError as error:
            written = " ".join(change.removeprefix("chip.") for change in changes)
            return f"not varied (the run fails with {written}: {error.diagnostics[0].message})"

    def _simulated(self, chip: Chip) -> float:
        return microseconds(self.cycles(chip), chip)

    def _asks(self, chip: Chip) -> tuple[object, ...]:
        timings = [one.timing(chip) for one in instructions(self.program)]
        return timings, chip.clock_hz, chip.l2, chip.hbm, chip.scalar, chip.sync, chip.launch


_worker: tuple[_Bench, str, tuple[str, ...]] | None = None
"""What a process of the pool works with."""


def _start(config: str, overrides: tuple[str, ...]) -> None:
    """Begin a process of the pool; an interrupt ends it without a word, the parent says what is to be said."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _worker = _Bench(load_run(config, overrides)), config, overrides


def _timed(changes: tuple[str, ...]) -> float | str:
    assert _worker is not None, "the pool calls _start first"
    bench, config, overrides = _worker
    return bench.timed(load_run(config, [*overrides, *changes]).chip, changes)


def _times(
    bench: _Bench, config: str, overrides: Sequence[str], changes: Sequence[tuple[str, ...]], jobs: int
) -> Iterator[float | str]:
    """The times of all *changes*, in order."""
    if jobs == 1:
        for change in changes:
            yield bench.timed(load_run(config, [*overrides, *change]).chip, change)
        return
    context = multiprocessing.get_context("spawn")
    arguments = (config, tuple(overrides))
    try:
        with ProcessPoolExecutor(min(jobs, len(changes)), context, _start, arguments) as pool:
            futures = [pool.submit(_timed, change) for change in changes]
            try:
                for future in futures:
                    yield future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)  # else an interrupt would wait for all of them
                raise
    except BrokenProcessPool as error:
        message = f"--jobs {jobs}: one of the processes ended early, as for want of memory; write --jobs 1 instead"
        raise ArgumentError(message) from error
