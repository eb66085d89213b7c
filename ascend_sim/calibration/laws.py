"""The laws of single instructions in closed form: what the engine makes of a loop, without simulating it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ascend_sim.config import Chip
from ascend_sim.isa.vector_ops import VECTOR_OPS
from ascend_sim.numerics.formats import DTYPES
from ascend_sim.validation.data import Experiment, KernelRun, MatrixOperation, Movement, operation_of

KIB = 1024
L0C_ROW = 1024
"""Bytes of a row of the tile of L0C that the loop of programs/microbench.py moves."""
WRITES = ("ub_to_gm", "l0c_to_gm")


class Figures:
    """The figures of a *chip* by their dotted key, with those that were *fitted* in their place."""

    def __init__(self, chip: Chip, fitted: Mapping[str, float] | None = None) -> None:
        self.chip = chip
        self._fitted = dict(fitted or {})

    def __getitem__(self, key: str) -> float:
        if key in self._fitted:
            return self._fitted[key]
        found: Any = self.chip
        for name in key.split("."):
            found = found[name] if isinstance(found, dict) else getattr(found, name)
        return float(getattr(found, "value", found))

    def updated(self, fitted: Mapping[str, float]) -> Figures:
        """These figures with *fitted* in their place."""
        return Figures(self.chip, {**self._fitted, **fitted})


def path_of(experiment: Movement) -> str:
    """The path of the chip file that a move takes; FIXPIPE writes both of its layouts along one."""
    return experiment.path.removesuffix("_nd")


def limit_of(path: str) -> str:
    """The key of the die's rate of L2 that moves along *path* share."""
    return f"l2.{'write' if path in WRITES else 'read'}_bytes_per_cycle"


def sharing(figures: Figures, experiment: Movement) -> int:
    """The cores that share one L2 when all of *experiment* move: dies share nothing, and one is filled first."""
    return min(experiment.cores, int(figures["cores.aic_per_die"]))


def request_bytes(figures: Figures, path: str) -> float | None:
    """The most bytes of a request along *path*: a line of L2, or a row of the tile; None inside the core."""
    if path == "l0c_to_gm":
        return L0C_ROW
    return figures["l2.line_bytes"] if "gm" in path else None


def requests(figures: Figures, path: str, size: int) -> float:
    """Cycles that the requests of a move of *size* bytes take at least."""
    most = request_bytes(figures, path)
    return 0.0 if most is None else size / most * figures[f"paths.{path}.request_cycles"]


def flow(figures: Figures, path: str, size: int) -> float:
    """Cycles from the first byte of a move of *size* bytes to the last, alone and from L2."""
    return max(size / figures[f"paths.{path}.bytes_per_cycle"], requests(figures, path, size))


def fractals(figures: Figures, experiment: MatrixOperation) -> int:
    """Cycles in which the matrix unit works: fp16 fractals, each of its cycles."""
    rows, depth = figures["cube.fractal_rows"], figures["cube.fractal_bytes_k"]
    steps = math.ceil(experiment.m / rows) * math.ceil(experiment.n / rows) * math.ceil(experiment.k * 2 / depth)
    return steps * int(figures["cube.cycles_per_fractal.fp16"])


def vector_key(chip: Chip, op: str, dtype: str) -> str:
    """The key of the row of *chip* that holds the cost of *op* on *dtype*, or of the row that it lacks."""
    named = operation_of(op, dtype)
    assert named is not None, "the table was read strictly"
    source, target = (DTYPES[name] for name in named[1].split("_"))
    keys = VECTOR_OPS[named[0]].cost_keys(source, target)
    return f"vector.ops.{op}.{next((key for key in keys if key in chip.vector.ops.get(op, {})), keys[0])}"


def cycles(figures: Figures, experiment: Experiment) -> float:
    """The cycles that the law gives for *experiment*, whole ones as in the engine; per further repeat any number."""
    assert not isinstance(experiment, KernelRun), "whole kernels have no closed form"
    if isinstance(experiment, Movement):
        return _whole(_move(figures, experiment))
    if isinstance(experiment, MatrixOperation):
        busy = fractals(figures, experiment)
        if not experiment.isolated:
            return figures["cube.issue_cycles"] + busy
        return max(figures["cube.latency_cycles"] + busy, figures["cube.min_latency_cycles"])
    key = vector_key(figures.chip, experiment.op, experiment.dtype)
    return figures[f"{key}.{'further' if experiment.further else 'first'}_cycles"]


def _move(figures: Figures, experiment: Movement) -> float:
    path, size = path_of(experiment), experiment.kib * KIB
    found = figures[f"paths.{path}.head_cycles"] + flow(figures, path, size)
    if experiment.data == "hbm":
        missing = size / figures[f"paths.{path}.miss_bytes_per_cycle"]
        found = max(found + figures["l2.miss_extra_cycles"], missing)
    if experiment.cores > 1 and experiment.data == "l2":
        # Cores fall out of step, so that the heads of some are hidden behind the bytes of others.
        found = max(found, sharing(figures, experiment) * size / figures[limit_of(path)])
    if path in WRITES:
        found = max(found, size / figures[f"paths.{path}.sustained_bytes_per_cycle"])
    return max(found, figures[f"paths.{path}.min_cycles"])


def _whole(value: float) -> int:
    """Round up; the binary error of a quotient must not become a cycle."""
    return math.ceil(round(value, 6))
