"""Explorations for tests of their analysis: made up by a formula without a simulation, or searched in this process."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from ascend_sim.explore.analysis import Study
from ascend_sim.explore.config import Objective, load_exploration
from ascend_sim.explore.point import METRICS, Assignment, Evaluation, Value
from ascend_sim.explore.search import search, session
from ascend_sim.explore.table import Row

Formula = Callable[[Assignment], Evaluation]
TIME = Objective("time_us", "minimize")
L1 = Objective("l1_bytes", "minimize")
RATE = Objective("tflops", "maximize")


def done(**metrics: float) -> Evaluation:
    """A point that was simulated; metrics that are not given are 0."""
    return Evaluation("done", {**dict.fromkeys(METRICS, 0.0), **metrics}, seconds=0.1)


def infeasible(reason: str, category: str = "capacity") -> Evaluation:
    """A point that was refused."""
    return Evaluation("infeasible", category=category, reason=reason)


def rows_of(points: Iterable[tuple[Assignment, Evaluation]]) -> tuple[Row, ...]:
    """The table of *points*; all that are done are eligible."""
    return tuple(
        Row(n, f"key{n}", assignment, evaluation, evaluation.status, evaluation.status == "done")
        for n, (assignment, evaluation) in enumerate(points)
    )


def grid(space: Mapping[str, Sequence[Value]]) -> list[dict[str, Value]]:
    """All points of *space*, the last parameter varying fastest."""
    return [dict(zip(space, values, strict=True)) for values in product(*space.values())]


def study(
    space: Mapping[str, Sequence[Value]],
    formula: Formula,
    points: Iterable[Assignment] | None = None,
    objectives: Sequence[Objective] = (TIME,),
    base: Assignment | None = None,
) -> Study:
    """The exploration in which *formula* says what becomes of *points*, by default all of *space*."""
    chosen = grid(space) if points is None else list(points)
    own = {name: values[0] for name, values in space.items()} if base is None else base
    rows = rows_of((one, formula(one)) for one in chosen)
    return Study("made_up", "Made up", objectives, (), space, rows, own)


def without(of: Study, *numbers: int) -> Study:
    """*of* with the points *numbers* breaking a constraint."""
    return replace(of, rows=tuple(replace(row, eligible=row.eligible and row.number not in numbers) for row in of.rows))


LARGE: dict[str, Sequence[Value]] = {
    "tiling.task_rows": [64, 128, 256, 512],
    "tiling.task_keys": [128, 256, 384, 512, 640, 768],
    "tiling.l1_rows": [32, 64, 128, 256],
    "tiling.l1_parts": [1, 2, 3, 4],
    "tiling.c1_l0_depth": [64, 96, 128, 192, 288],
    "schedule.preload": [0, 1, 2, 3],
    "schedule.rescale": ["add", "mul"],
    "schedule.unit_flag": [False, True],
    "launch.blocks": [8, 12, 16, 20, 24],
    "chip.hbm.bytes_per_second": [8e11, 1.6e12, 3.2e12],
}
"""Ten parameters, with 921,600 points."""


def large_formula(at: Assignment) -> Evaluation:
    """Times and footprints that depend on all of LARGE, with points that do not fit and some that deadlock."""
    number = {name: float(value) for name, value in at.items() if isinstance(value, int | float)}
    rows, keys, parts = number["tiling.task_rows"], number["tiling.task_keys"], number["tiling.l1_parts"]
    l1 = 2 * number["tiling.l1_rows"] * 576 * parts + 64 * keys
    if l1 > 400000:
        return infeasible(f"L1 overflows at buffer 'k[1]': it needs bytes {l1:.0f}, the memory has 524288 B; use less")
    if rows * keys > 200000:
        return infeasible(f"UB overflows at buffer 's': it needs {rows * keys:.0f} B; make tiles smaller")
    if number["schedule.preload"] == 3 and parts == 1:
        reason = "aic0 waits for flag 3 of aiv0, which never comes"
        return Evaluation("failed", category="deadlock", reason=reason)
    time = (
        3e6 / number["launch.blocks"] / rows**0.4 * (1 + 200 / keys) * (1.3 if at["schedule.rescale"] == "mul" else 1)
    )
    time *= 1 + 0.4 / (1 + number["schedule.preload"]) + 40 / number["tiling.c1_l0_depth"] * (1 + (parts == 1))
    time += 2e15 / number["chip.hbm.bytes_per_second"] * (1 + 0.3 / parts)
    return done(time_us=time, cycles=round(1800 * time), l1_bytes=l1, ub_bytes=rows * keys, tflops=1e6 / time)


def large(points: int, objectives: Sequence[Objective] = (TIME,), seed: int = 0) -> Study:
    """So many random points of LARGE."""
    draw = random.Random(seed)
    chosen = {tuple(draw.choice(values) for values in LARGE.values()): None for _ in range(2 * points)}
    assignments = [dict(zip(LARGE, one, strict=True)) for one in list(chosen)[:points]]
    base = {
        "tiling.task_rows": 128, "tiling.task_keys": 256, "tiling.l1_rows": 64, "tiling.l1_parts": 2,
        "tiling.c1_l0_depth": 128, "schedule.preload": 1, "schedule.rescale": "add", "schedule.unit_flag": False,
        "launch.blocks": 24, "chip.hbm.bytes_per_second": 1.6e12,
    }  # fmt: skip
    return replace(study(LARGE, large_formula, assignments, objectives, base), base_evaluation=large_formula(base))


class _Here(Executor):
    """Works on each point at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class _Workers:
    executor: Executor = _Here()
    at_once = 1

    def check(self) -> None:
        """Nothing can be lost."""


class _Nobody:
    def begin(self, total: int | None) -> None:
        """Not of interest."""

    def found(self, row: Row, fresh: bool) -> None:
        """Not of interest."""

    def tick(self) -> None:
        """Not of interest."""


def explored(folder: Path, text: str) -> Path:
    """Search the exploration file *text* below *folder*, in this process; return the folder of the exploration."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "tilings.yaml"
    file.write_text(text, encoding="utf-8")
    with session(load_exploration(file), folder / "found", None, False) as at:
        search(at, _Workers(), _Nobody())
    return folder / "found"
