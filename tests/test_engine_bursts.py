"""Bursts are a shortcut: working them out one operation at a time gives the same cycles."""

from __future__ import annotations

import pytest

from ascend_sim.config import load_run
from ascend_sim.engine import core
from ascend_sim.engine.machine import Schedule, simulate_timing
from ascend_sim.kernel import build
from ascend_sim.kernel.load import load_program


def schedule(run: str, overrides: list[str]) -> Schedule:
    """The times of a bundled run with *overrides*."""
    config = load_run(run, overrides)
    program = load_program(config.program_file())
    parameters = config.parameters(program.kernel.parameters)
    return simulate_timing(build(program.kernel, parameters, config.chip, config.launch.blocks), config.chip)


@pytest.mark.parametrize(
    ("run", "overrides"),
    [
        ("amla_small", []),
        ("amla_small", ["program=mla_base", "schedule.preload=0"]),
        ("softmax", ["launch.blocks=3", "chip.scalar.queue_depth=4"]),
        ("softmax", ["launch.blocks=3", "chip.scalar.issue_cycles=3", "chip.scalar.queue_depth=9"]),
        ("softmax", ["launch.blocks=2", "chip.scalar.issue_cycles=40"]),
    ],
)
def test_bursts_change_no_cycle(monkeypatch: pytest.MonkeyPatch, run: str, overrides: list[str]) -> None:
    """Every dispatch, start and end is the same with bursts of any length, and without them."""
    with_bursts = schedule(run, overrides)
    monkeypatch.setattr(core, "SHORTEST_BURST", 1)
    with_short_bursts = schedule(run, overrides)
    monkeypatch.setattr(core, "SHORTEST_BURST", 1 << 30)
    without = schedule(run, overrides)

    for other in (with_bursts, with_short_bursts):
        assert other.cycles == without.cycles
        for one, reference in zip(other.cores, without.cores, strict=True):
            assert one.dispatched == reference.dispatched
            assert one.starts == reference.starts
            assert one.ends == reference.ends
            assert one.queue_full_cycles == reference.queue_full_cycles
