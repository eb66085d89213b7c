"""partial.json: how far a run came that was ended before its result."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ascend_sim.config import Chip
from ascend_sim.engine.budget import Reached
from ascend_sim.engine.core import CoreModel
from ascend_sim.isa.timing import Move, Run, drained
from ascend_sim.isa.words import PIPES_OF, CoreKind, Pipe
from ascend_sim.kernel.program import Template
from ascend_sim.observe.facts import PIPES
from ascend_sim.observe.timeline import metric_name
from ascend_sim.report.files import write_files

SCHEMA = "ascend-sim/partial/1"

NAME = "partial.json"
RUN_FILES = (
    "result.json", "PipeUtilization.csv", "Memory.csv", "ResourceConflictRatio.csv", "trace.json", "recording.npz",
    "report.html", "timeline.png", "overview.png", NAME,
)  # fmt: skip
"""All files that a run, and a look into it, may leave in its folder: they are of one run, and go with the next."""

_RUN, _MOVE = 1, 2


def stale_files(folder: Path, written: Iterable[str]) -> list[Path]:
    """The files of *folder* that are not of a run that has *written* those with these names."""
    return [folder / name for name in RUN_FILES if name not in set(written)]


def write_partial(folder: Path, reached: Reached, chip: str, stopped: str) -> Path:
    """Write partial.json into *folder* instead of all files of an earlier run; see `partial_text`.

    Raise an ArgumentError, and leave all as it was, if that is impossible.
    """
    path = folder / NAME
    write_files({path: [partial_text(reached, chip, stopped)]}, stale_files(folder, [NAME]))
    return path


def partial_text(reached: Reached, chip: str, stopped: str) -> str:
    """The text of partial.json for a run on the chip with the file name *chip*; *stopped* says why it ended."""
    machine = reached.machine
    columns = _Columns(machine.chip)
    content = {
        "schema": SCHEMA,
        "program": machine.program.name,
        "chip": chip,
        "stopped": stopped,
        "die": reached.die,
        "cycles": reached.cycles,
        "time_us": reached.cycles / machine.chip.cycles_per_second * 1e6,
        "instructions_executed": reached.executed,
        "instructions_total": reached.total,
        "pipes": _shares(reached, columns),
        "memory": _memory(reached),
        "standing": {kind.value: found for kind in CoreKind if (found := _standing(reached, kind, columns))},
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


class _Columns:
    """Per instruction of a core: its pipe as an index into PIPES, whether it is a run or a move, its busy cycles."""

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self._known: dict[Template, NDArray[np.int64]] = {}

    def of(self, templates: Iterator[Template]) -> NDArray[np.int64]:
        """An array of shape (3, instructions) for the calls of *templates* one after the other."""
        parts = [self._of(template) for template in templates]
        return np.concatenate(parts, axis=1) if parts else np.zeros((3, 0), dtype=np.int64)

    def _of(self, template: Template) -> NDArray[np.int64]:
        found = self._known.get(template)
        if found is None:
            rows = []
            instructions = template.instructions
            for instruction, timing in zip(
                instructions, drained([(one.pipe, one.timing(self._chip)) for one in instructions]), strict=True
            ):
                kind = _RUN if isinstance(timing, Run) else _MOVE if isinstance(timing, Move) else 0
                rows.append((PIPES.index(instruction.pipe), kind, timing.busy if isinstance(timing, Run) else 0))
            found = self._known[template] = np.array(rows, dtype=np.int64).reshape(-1, 3).T
        return found


def _columns_of(reached: Reached, core: CoreModel, columns: _Columns) -> NDArray[np.int64]:
    return columns.of(call.template for call in reached.machine.streams[core.number].calls)


def _shares(reached: Reached, columns: _Columns) -> dict[str, float]:
    """Share of the time so far for which each pipe was busy, over the cores of a kind that had work by then."""
    machine = reached.machine
    shares: dict[str, float] = {}
    for kind in CoreKind:
        busy, whole = dict.fromkeys(PIPES_OF[kind], 0), 0
        for core in machine.cores:
            if core.core.kind is not kind:
                continue
            members = len(machine.members[core.number])
            own = _busy(reached, core, _columns_of(reached, core, columns))
            if any(cycles for pipe, cycles in own.items() if pipe is not Pipe.S):
                whole += reached.until(core.core.die) * members
                for pipe, cycles in own.items():
                    busy[pipe] += cycles * members
        shares |= {f"{metric_name(kind, pipe)}_ratio": busy[pipe] / whole if whole else 0.0 for pipe in busy}
    return shares


def _busy(reached: Reached, core: CoreModel, columns: NDArray[np.int64]) -> dict[Pipe, int]:
    """Busy cycles of each pipe, as in the result of a whole run, of the instructions that are done."""
    done, (pipes, kinds, cycles) = reached.done(core), columns
    starts, ends = (np.array(times, dtype=np.int64) for times in (core.starts, core.ends))
    busy: dict[Pipe, int] = {}
    for pipe in PIPES_OF[core.core.kind]:
        at = np.flatnonzero(done & (pipes == PIPES.index(pipe)) & (kinds > 0))
        # A move keeps its pipe busy from the moment when the results before it are visible, at the earliest.
        before = np.concatenate([[0], np.maximum.accumulate(ends[at])[:-1]]) if at.size else ends[at]
        moves = kinds[at] == _MOVE
        busy[pipe] = int(cycles[at].sum() + (ends[at] - np.maximum(starts[at], before))[moves].sum())
    busy[Pipe.S] = _issued(reached, core) * reached.machine.chip.scalar.issue_cycles.value
    return busy


def _issued(reached: Reached, core: CoreModel) -> int:
    """How many instructions the scalar unit had issued."""
    times = np.array(core.dispatched, dtype=np.int64)[: core.front[0]]
    return int(np.count_nonzero(times <= reached.until(core.core.die)))


def _memory(reached: Reached) -> dict[str, int]:
    """Bytes so far, of all dies of the chip."""
    names = ("hbm_read_bytes", "hbm_write_bytes", "l2_read_bytes", "l2_write_bytes")
    totals = dict.fromkeys(names, 0)
    for die, weight in reached.machine.die_weights.items():
        found = reached.machine.memory(reached.machine.cores_of(die)[0]).statistics()
        for name in names:
            totals[name] += getattr(found, name) * weight
    return totals


def _standing(reached: Reached, kind: CoreKind, columns: _Columns) -> dict[str, Any] | None:
    """Where each pipe stands on the core of *kind* with the least of its instructions done; None without such cores.

    The scalar unit stands at what it issues next, another pipe at its oldest instruction that is not done.
    """
    cores = [core for core in reached.machine.cores_of(reached.die) if core.core.kind is kind and len(core.ends)]
    if not cores:
        return None
    core = min(cores, key=lambda one: np.count_nonzero(reached.done(one)) / len(one.ends))
    done, pipes = reached.done(core), _columns_of(reached, core, columns)[0]
    found: dict[str, dict[str, Any] | None] = {}
    for pipe in PIPES_OF[kind]:
        own = np.ones_like(done) if pipe is Pipe.S else ~done & (pipes == PIPES.index(pipe))
        open_ = np.flatnonzero(own)[_issued(reached, core) if pipe is Pipe.S else 0 :]
        found[pipe.value] = None
        if open_.size:
            index = int(open_[0])
            instruction = reached.machine.instruction(core.number, index)
            found[pipe.value] = {
                "line": str(instruction.where), "instruction": instruction.mnemonic, "number": index
            }
    return {"core": str(core.core), "executed": int(np.count_nonzero(done)), "of": int(done.size), "pipes": found}
