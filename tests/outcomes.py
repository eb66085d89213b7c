"""Small runs of bundled programs, each simulated once for all tests that look at it."""

from __future__ import annotations

from functools import cache

from ascend_sim.config import load_run
from ascend_sim.simulate import Outcome, simulate

SMALL = {
    "vector_add": ("problem.length=20000", "problem.tile=1000"),
    "gemm_small": (),
    "amla_small": ("problem.batch=2", "problem.kv_tokens=[100,600]", "launch.blocks=2"),
}
"""Overrides that make a bundled run quick."""


@cache
def outcome(name: str, *overrides: str, data: bool = False) -> Outcome:
    """The outcome of the bundled run *name*, made small and then changed by *overrides*."""
    return simulate(load_run(name, [*SMALL[name], *overrides]), data=data)
