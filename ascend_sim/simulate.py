"""One run from its configuration to its result: build the kernel, time it, compute its numbers, report."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ascend_sim.config import RunConfig, bundled
from ascend_sim.engine.adversary import execute_adversarially
from ascend_sim.engine.functional import execute, generated_inputs
from ascend_sim.engine.machine import Schedule, simulate_timing
from ascend_sim.engine.observer import Observer
from ascend_sim.errors import ArgumentError, ConfigError, Diagnostic, FlagError, NumericsError, ProgramError
from ascend_sim.isa.source import named, place_in
from ascend_sim.kernel import Parameters, Program, build
from ascend_sim.kernel.load import LoadedProgram, load_program
from ascend_sim.observe.accuracy import Accuracy, compare
from ascend_sim.observe.banks import bank_conflicts, total_of
from ascend_sim.observe.bound import bound_by
from ascend_sim.observe.dependence import critical_path_and_dependence
from ascend_sim.observe.recorder import Recorder
from ascend_sim.observe.roofline import vector_elements
from ascend_sim.observe.statistics import CoreStatistics, core_statistics, pipe_ratios
from ascend_sim.observe.timeline import Timelines
from ascend_sim.report.expected import expected_error
from ascend_sim.report.result import RunResult


@dataclass(frozen=True)
class Outcome:
    """What a run gives: the *result* for people and files, the *schedule* and *program* for closer looks.

    *fault* is the error of a run whose numbers are wrong. It is kept here and not raised, so that its result can
    be written and looked into; `check` raises it.
    """

    result: RunResult
    schedule: Schedule
    program: Program
    timelines: Timelines
    statistics: tuple[CoreStatistics, ...]
    fault: NumericsError | None

    def check(self) -> None:
        """Raise the NumericsError if the numbers are wrong."""
        if self.fault is not None:
            raise self.fault


def prepare(run: RunConfig) -> tuple[LoadedProgram, Parameters, Program]:
    """Load the program of *run* and trace its kernel.

    Raise a ProgramError, ConfigError or ArgumentError for wrong input, a KernelError for what the hardware refuses.
    """
    loaded = load_program(run.program_file())
    parameters = run.parameters(loaded.kernel.parameters)
    try:
        return loaded, parameters, build(loaded.kernel, parameters, run.chip, run.launch.blocks)
    except ArgumentError as error:
        # The kernel has fewer blocks than the run asks for.
        place = run.document.place(("launch", "blocks"))
        raise ArgumentError([place.diagnostic(found.message) for found in error.diagnostics]) from None


def simulate(
    run: RunConfig, *, data: bool | None = None, observers: Sequence[Observer] = (), adversarial: Sequence[int] = (),
    record: bool = False,
) -> Outcome:
    """Simulate *run*.

    *data* says whether to compute numbers as well and compare them with the reference; None means what the run file
    says. A run with data simulates every core. Under each of the *adversarial* seeds the numbers are computed once
    more, in another order that the flags allow; they must have the same bits. With *record*, what shared
    bandwidth cost each move is kept in the timelines. Raise what `prepare` raises, and a
    DeadlockError or FlagError for a kernel that cannot run to its end; wrong numbers are `Outcome.fault`.
    """
    begin = time.perf_counter()
    with_data = bool(adversarial) or (run.data.enabled if data is None else data)
    loaded, parameters, program = prepare(run)
    recorder = Recorder() if record else None
    listeners = observers if recorder is None else (*observers, recorder)
    schedule = simulate_timing(program, run.chip, symmetry=run.symmetry and not with_data, observers=listeners)
    accuracy, warnings = None, list(schedule.warnings)
    disorder: list[Diagnostic] = []
    if with_data:
        inputs = inputs_of(run, program)
        outputs = execute(program, schedule, run.chip, inputs)
        accuracy, more = accuracy_of(run, loaded, parameters, program, inputs, outputs)
        warnings += more
        disorder = _disorder(run, loaded, program, inputs, outputs, adversarial)
    fault = fault_of(accuracy, loaded, disorder)
    if fault is not None:
        warnings += [one.message for one in fault.diagnostics]
    config = {
        **run.resolved(),
        "data": {**run.data.model_dump(mode="json"), "enabled": with_data},
        "parameters": parameters.model_dump(mode="json"),
        "program_file": None if loaded.path.parent == bundled("programs") else str(loaded.path.absolute()),
    }
    peak = run.chip.peak_flops(matrix_format(program))
    limited = None if recorder is None else recorder.limits(len(schedule.cores))
    timelines = Timelines(schedule, run.chip, limited)
    statistics = tuple(core_statistics(timelines))
    measured = _measured(timelines, statistics, peak)
    warnings += _idle_blocks(schedule, statistics)
    if measured["flops_utilization"] > 1.0:
        warnings.append(
            f"flops() of kernel '{program.name}' counts {program.flops:,} operations, more than the chip's peak allows "
            f"in the time; the rate and the utilization mean nothing until it is right"
        )
    result = RunResult(
        program.name,
        run.chip_name,
        config,
        **measured,
        expected_error=expected_error(run, schedule, measured["critical_path"]),
        numerics=None if accuracy is None else accuracy.to_json(),
        simulation=_simulation(schedule, time.perf_counter() - begin),
        warnings=warnings,
    )
    return Outcome(result, schedule, program, timelines, statistics, fault)


def inputs_of(run: RunConfig, program: Program) -> dict[str, NDArray[Any]]:
    """The inputs of *program* that *run* asks for; raise a ConfigError for numbers beyond their format."""
    try:
        return generated_inputs(program, run.data.seed, run.data.distribution, run.data.scale)
    except ArgumentError as error:
        place = run.document.place(("data", "scale"))
        raise ConfigError([place.diagnostic(f"data.{found.message}") for found in error.diagnostics]) from None


def _idle_blocks(schedule: Schedule, statistics: Sequence[CoreStatistics]) -> list[str]:
    """A warning if the kernel ends with the launch of blocks that have no work."""
    members = {one for core in statistics for one in core.members}
    worked = {(one.die, one.group) for core in statistics if core.worked for one in core.members}
    launched = {(one.die, one.group) for one in members}
    ends = [core.end for core, one in zip(schedule.cores, statistics, strict=True) if one.worked]
    if not ends or max(ends) == schedule.cycles:
        return []
    return [
        f"{len(launched) - len(worked)} of {len(launched)} blocks have no work, and the kernel ends with the launch "
        f"of the last of them; write launch.blocks: {len(worked)}"
    ]


def _measured(timelines: Timelines, statistics: Sequence[CoreStatistics], peak: float) -> dict[str, Any]:
    """The fields of a RunResult that follow from the schedule; *peak* in FLOP/s."""
    schedule, chip = timelines.schedule, timelines.chip
    seconds = schedule.cycles / chip.cycles_per_second
    rate = schedule.program.flops / seconds if seconds else 0.0
    path, dependence = critical_path_and_dependence(timelines)
    return {
        "cycles": schedule.cycles,
        "time_us": seconds * 1e6,
        "flops": schedule.program.flops,
        "tflops": rate / 1e12,
        "peak_tflops": peak / 1e12,
        "flops_utilization": rate / peak,
        "vector_elements": vector_elements(schedule.program),
        "pipes": pipe_ratios(statistics, schedule.cycles),
        "memory": _memory(schedule),
        "ub_banks": total_of(bank_conflicts(schedule.program, chip).values()).to_json(),
        "bound_by": bound_by(path, statistics, schedule, chip),
        "critical_path": path.to_json(),
        "depends_on": [one.to_json() for one in dependence],
    }


def accuracy_of(
    run: RunConfig,
    loaded: LoadedProgram,
    parameters: Parameters,
    program: Program,
    inputs: Mapping[str, NDArray[Any]],
    outputs: Mapping[str, NDArray[Any]],
) -> tuple[Accuracy | None, list[str]]:
    """Compare the *outputs* of *inputs* with the reference; the second part is warnings."""
    if loaded.reference is None:
        beside = f"{loaded.path.stem}_reference.py"
        broken = sum(int(np.count_nonzero(~np.isfinite(one.astype(np.float64)))) for one in outputs.values())
        found = f"; they hold {broken} values that are NaN or infinite" if broken else ""
        return None, [f"the outputs were computed but not checked{found}: write a {beside} beside the program"]
    reference = loaded.path.with_name(f"{loaded.path.stem}_reference.py")
    returned = _reference(loaded, parameters, inputs, str(reference))
    expected: dict[str, NDArray[np.float64]] = {}
    for name, output in outputs.items():
        wanted = f"reference() must return finite values for '{name}' in shape {list(output.shape)}"
        values = _real(returned[name]) if name in returned else None
        if values is None or values.shape != output.shape:
            found = "nothing" if name not in returned else "no array of real numbers"
            found = found if values is None else f"shape {list(values.shape)}"
            raise ProgramError(Diagnostic(f"{wanted}, but it returned {found}", str(reference)))
        if not np.all(np.isfinite(values)):
            raise ProgramError(Diagnostic(f"{wanted}, but some are NaN or infinite", str(reference)))
        expected[name] = values
    formats = {tensor.name: tensor.dtype for tensor in program.tensors}
    return compare(outputs, expected, formats, reference.name, _tolerance(loaded, parameters, str(reference))), []


def _tolerance(loaded: LoadedProgram, parameters: Parameters, file: str) -> float | None:
    """The relative error that the algorithm may have with these *parameters*, as its reference *file* says."""
    if loaded.tolerance is None:
        return None
    try:
        found: object = loaded.tolerance(parameters)
    except (Exception, SystemExit) as error:
        place = place_in(file, error)
        at = (file, None) if place is None else (place.file, place.line)
        raise ProgramError(Diagnostic(f"tolerance() failed with {named(error)}", *at)) from error
    if found is not None and not (isinstance(found, float) and 0.0 < found < 1.0):
        message = f"tolerance(parameters) returned {found!r}; return a relative error between 0 and 1, or None"
        raise ProgramError(Diagnostic(message, file))
    return found


def _reference(
    loaded: LoadedProgram, parameters: Parameters, inputs: Mapping[str, NDArray[Any]], file: str
) -> Mapping[str, object]:
    """Call the user's reference in float64; turn what it raises into a message that names its line."""
    assert loaded.reference is not None
    try:
        returned: object = loaded.reference(
            {name: one.astype(np.float64) for name, one in inputs.items()}, parameters
        )
    except (Exception, SystemExit) as error:
        message = f"reference() failed with {named(error)}"
        place = place_in(file, error)
        at = (file, None) if place is None else (place.file, place.line)
        raise ProgramError(Diagnostic(message, *at)) from error
    if not isinstance(returned, Mapping):
        found = type(returned).__name__
        message = f"reference() must return a dict of arrays by output name, but it returned a value of type {found}"
        raise ProgramError(Diagnostic(message, file))
    return returned


def _disorder(
    run: RunConfig,
    loaded: LoadedProgram,
    program: Program,
    inputs: Mapping[str, NDArray[Any]],
    outputs: Mapping[str, NDArray[Any]],
    seeds: Sequence[int],
) -> list[Diagnostic]:
    """Compute under each of *seeds*; what differs by a bit from *outputs* depends on an order that no flag fixes."""
    different: dict[str, list[int]] = {}
    stopped: list[Diagnostic] = []
    for seed in seeds:
        try:
            others = execute_adversarially(program, run.chip, inputs, seed)
        except FlagError as error:
            stopped += error.diagnostics
            continue
        for name, output in outputs.items():
            if others[name].tobytes() != output.tobytes():
                different.setdefault(name, []).append(seed)
    return stopped[:1] + [
        Diagnostic(
            f"output '{name}' depends on the order of execution: its bits differ under {len(wrong)} of {len(seeds)} "
            f"seeds (first {wrong[0]}); `ascend-sim check` names the accesses that no flag orders",
            str(loaded.path),
        )
        for name, wrong in different.items()
    ]


def _real(values: object) -> NDArray[np.float64] | None:
    """*values* as an array of float64; None if they are no array of real numbers."""
    try:
        array = np.asarray(values)
        return None if np.iscomplexobj(array) else array.astype(np.float64)
    except (TypeError, ValueError):
        return None


def fault_of(
    accuracy: Accuracy | None, loaded: LoadedProgram, disorder: Sequence[Diagnostic] = ()
) -> NumericsError | None:
    """The error that says which outputs are wrong, and what depends on the order (*disorder*), if anything does."""
    remedy = "look for a missing flag or an uninitialised buffer; see docs/how-to/debug-a-kernel.md"
    diagnostics = list(disorder)
    reference = "" if accuracy is None else accuracy.reference
    for output in [] if accuracy is None else accuracy.wrong:
        if output.non_finite:
            found = f"output '{output.name}' holds {output.non_finite:,} values that are NaN or infinite"
        elif output.relative > output.tolerance:
            found = (
                f"output '{output.name}' differs from {reference} by a relative error of "
                f"{output.relative:.3g}; the tolerance is {output.tolerance:g}"
            )
        else:
            found = (
                f"output '{output.name}' is right as a whole, but its element {list(output.worst)} differs from "
                f"{reference} by {output.worst_relative:.3g} of its magnitude"
            )
        diagnostics.append(Diagnostic(f"wrong numbers: {found}; {remedy}", str(loaded.path)))
    return NumericsError(diagnostics) if diagnostics else None


def matrix_format(program: Program) -> str:
    """The format whose peak counts: that of most matrix operations; without any, bf16 (fp16 has the same peak)."""
    operations: Counter[str] = Counter()
    for template, calls in Counter(call.template for stream in program.streams for call in stream.calls).items():
        for instruction in template.instructions:
            operations[instruction.matrix_format] += calls * instruction.flops()
    operations.pop("", None)
    return max(operations, key=lambda name: operations[name], default="bf16")


def _memory(schedule: Schedule) -> dict[str, int | float]:
    memory = schedule.memory
    asked = memory.l2_read_bytes + memory.l2_write_bytes
    return {
        "hbm_read_bytes": memory.hbm_read_bytes,
        "hbm_write_bytes": memory.hbm_write_bytes,
        "l2_read_bytes": memory.l2_read_bytes,
        "l2_write_bytes": memory.l2_write_bytes,
        "l2_hit_ratio": memory.l2_hit_bytes / asked if asked else 0.0,
    }


def _simulation(schedule: Schedule, wall: float) -> dict[str, int | float]:
    """What the run cost on the host; a core class is a group of cores that was simulated for all its equals."""
    carried_out = schedule.simulated_instructions
    return {
        "wall_s": wall,
        "instructions": carried_out,
        "instructions_per_s": carried_out / wall if wall else 0.0,
        "core_classes": len({(core.stream.core.die, core.stream.core.group) for core in schedule.cores}),
        "program_instructions": schedule.program.instructions,
    }
