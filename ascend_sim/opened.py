"""A run to look into: the folder that `ascend-sim run --out` has written, or a run file that is simulated for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ascend_sim.config import RunConfig, load_run, rerun
from ascend_sim.engine.observer import Observer
from ascend_sim.errors import ArgumentError, Diagnostic
from ascend_sim.observe.timeline import Recording
from ascend_sim.report import recording as file
from ascend_sim.report.result import RunResult, read_result
from ascend_sim.simulate import simulate

RESULT = "result.json"


@dataclass(frozen=True)
class OpenedRun:
    """A finished run: *name* as the user called it, its result, and the recording of its schedule."""

    name: str
    result: RunResult
    recording: Recording


def run_config(run: str, overrides: Sequence[str] = ()) -> RunConfig:
    """The configuration of the folder *run*, as it was simulated, or of the run file or bundled run of that name.

    Raise an ArgumentError if the folder holds no result, and what `load_run` raises.
    """
    folder = Path(run)
    if not folder.is_dir():
        return load_run(run, overrides)
    path = folder / RESULT
    return rerun(read_result(path).config, path, overrides)


def open_run(run: str, overrides: Sequence[str] = (), observers: Sequence[Observer] = ()) -> OpenedRun:
    """Open the folder *run*, or simulate the run file or bundled run of that name, without numbers.

    Raise an ArgumentError if the folder holds no recorded run, or for *overrides* of a run that is finished; what
    `simulate` raises for a run that cannot be simulated.
    """
    folder = Path(run)
    if not folder.is_dir():
        outcome = simulate(load_run(run, overrides), data=False, observers=observers, record=True)
        return OpenedRun(run, outcome.result, outcome.timelines)
    if overrides:
        raise ArgumentError(
            f"--set {overrides[0]}: {run} holds a finished run, which nothing can change; name its run file instead"
        )
    result = read_result(folder / RESULT)
    path = folder / file.NAME
    if not path.exists():
        message = f"has no {file.NAME}, so only its sums are known; run it again with --out {run} (without --no-record)"
        raise ArgumentError(Diagnostic(message, run))
    recording = file.read_recording(path)
    if (recording.program, recording.cycles) != (result.program, result.cycles):
        message = (
            f"is of a run of {recording.program} with {recording.cycles:,} cycles, and {RESULT} beside it of one of "
            f"{result.program} with {result.cycles:,}; run it again with --out {run}"
        )
        raise ArgumentError(Diagnostic(message, str(path)))
    return OpenedRun(run, result, recording)
