"""A point of an exploration: the values of its parameters, and what became of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from ascend_sim.config import Override

Scalar = bool | int | float | str
Value = Scalar | list[Any] | dict[str, Any] | None
Assignment = Mapping[str, Value]
"""The value of each parameter by its dotted key, such as {"tiling.task_rows": 256}."""

Status = Literal["done", "infeasible", "failed", "pruned"]

METRICS: dict[str, str] = {
    "time_us": "simulated time in microseconds",
    "cycles": "simulated time in cycles of the chip",
    "tflops": "useful operations per second, in 10^12",
    "flops_utilization": "share of the chip's peak, 0 to 1",
    "hbm_bytes": "bytes read from and written to HBM",
    "hbm_read_bytes": "bytes read from HBM",
    "hbm_write_bytes": "bytes written to HBM",
    "l2_bytes": "bytes read from and written to L2",
    "l2_hit_ratio": "share of the bytes asked of L2 that it held, 0 to 1",
    "l1_bytes": "L1 that the buffers of a cube core take",
    "l0a_bytes": "L0A that the buffers of a cube core take",
    "l0b_bytes": "L0B that the buffers of a cube core take",
    "l0c_bytes": "L0C that the buffers of a cube core take",
    "ub_bytes": "UB that the buffers of a vector core take",
    "gm_bytes": "global memory that the tensors and workspaces take",
    "instructions": "instructions of all cores",
    "aic_cube_ratio": "share of the time that the cube computes fractals, 0 to 1",
    "aic_mte1_ratio": "the same of MTE1, averaged over the cube cores that had work",
    "aic_mte2_ratio": "the same of MTE2 of the cube cores",
    "aic_fixpipe_ratio": "the same of FIXPIPE",
    "aiv_vec_ratio": "the same of the vector units",
    "aiv_mte2_ratio": "the same of MTE2 of the vector cores",
    "aiv_mte3_ratio": "the same of MTE3 of the vector cores",
}
"""What is known of a simulated point, and what it means."""


@dataclass(frozen=True)
class Limits:
    """What one point may take; None is no limit. With *check*, a point is searched for races before it is timed."""

    max_instructions: int | None = None
    max_cycles: int | None = None
    check: bool = False


@dataclass(frozen=True)
class Base:
    """What all points of an exploration share, as plain data that can be sent to a worker on any machine.

    *config* is the resolved run as JSON, *path* its file, *program* the path of the program, and *sources* are the
    files that it is loaded from, by path: the program first, then what it imports from its folder.
    """

    config: str
    path: str
    program: str
    sources: tuple[tuple[str, bytes], ...]

    @cached_property
    def digest(self) -> str:
        """What `digest_of` says of the sources."""
        return digest_of(self.sources)


def digest_of(sources: Iterable[tuple[str, bytes]]) -> str:
    """A digest of *sources*, of which the first is the program, and of how they lie to it, wherever that is."""
    digest, folder = hashlib.sha256(), None
    for path, source in sources:
        name = "" if folder is None else os.path.relpath(path, folder)
        folder = os.path.dirname(path) if folder is None else folder
        digest.update(f"{name}:{len(source)}:".encode() + source)
    return digest.hexdigest()


@dataclass(frozen=True)
class Evaluation:
    """What became of a point.

    done        *metrics* has all of METRICS
    infeasible  refused before the simulation: *reason* is the message, *category* its kind
    failed      the kernel deadlocks, races, misuses flags or exceeds a limit, or cannot be built: *reason*
    pruned      it takes at least *bound_cycles*, more than it might, and was not simulated

    *bound_cycles* is the exact lower bound of its time, where it could be built. *seconds* is the host's time.
    """

    status: Status
    metrics: dict[str, float] = field(default_factory=dict)
    bound_cycles: int | None = None
    category: str = ""
    reason: str = ""
    seconds: float = 0.0


def override(name: str, value: Value) -> Override:
    """The override that gives the parameter *name* a *value*."""
    return Override(tuple(name.split(".")), value, f"{name}={value}")
