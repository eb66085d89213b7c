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


_COLLECT_EVERY = 10
"""Points after which garbage is collected in a process that does not do it by itself; each leaves up to 50 MB."""

_REFUSED = 0.02
"""What a point that is refused counts for: it leaves little, there may be five of them for one that is simulated, and
looking through all that a worker keeps takes as long as simulating half a point."""

_points = 0.0


def _tidy(refused: bool) -> None:
    """Collect garbage now and then, where Python's collector has been turned off."""
    global _points
    _points += _REFUSED if refused else 1.0
    if not gc.isenabled() and _points >= _COLLECT_EVERY:
        _points = 0.0
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
        with _alone, open(os.devnull, "w", encoding="utf-8") as nothing, redirect_stdout(nothing):
            evaluation = evaluate(base, assignment, limits, at_most)
        _tidy(evaluation.status == "infeasible")
        return evaluation
    except Exception as error:
        return Evaluation("failed", category=HOST, reason=f"{type(error).__name__}: {error}".rstrip(": "))
