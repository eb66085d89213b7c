"""What a worker does: a point that is sent to it."""

from __future__ import annotations

import gc
import os
import threading
from contextlib import redirect_stdout

from ascend_sim.errors import ArgumentError
from ascend_sim.explore.point import Assignment, Base, Evaluation, Limits
from ascend_sim.explore.resolve import simulator
from ascend_sim.explore.store import HOST

_alone = threading.Lock()
"""A worker of a cluster may have several threads; a kernel is traced with the state of its process."""


_COLLECT_EVERY = 5
"""Points after which garbage is collected in a process that does not do it by itself; each leaves up to 50 MB."""

_points = 0


def _tidy() -> None:
    """Collect garbage now and then, where Python's collector has been turned off."""
    global _points
    _points += 1
    if not gc.isenabled() and _points % _COLLECT_EVERY == 0:
        gc.collect()


def work(version: str, base: Base, assignment: Assignment, limits: Limits, at_most: int | None) -> Evaluation:
    """Evaluate a point for a search by the simulator *version*; raise an ArgumentError if this is another one.

    Errors of the host, such as a lack of memory, become a failure of the category "host".
    """
    from ascend_sim.explore.evaluation import evaluate

    if version != simulator():
        message = f"a worker has ascend-sim {simulator()}, and this is {version}"
        raise ArgumentError(f"{message}; install the same version everywhere, and do not change it meanwhile")
    try:
        # Kernels may print, and a worker of a cluster shares the output of whoever started it
        _tidy()
        with _alone, open(os.devnull, "w", encoding="utf-8") as nothing, redirect_stdout(nothing):
            return evaluate(base, assignment, limits, at_most)
    except Exception as error:
        return Evaluation("failed", category=HOST, reason=f"{type(error).__name__}: {error}".rstrip(": "))
