"""What is said of a run from its sums alone is what its result says."""

from __future__ import annotations

import pytest

from ascend_sim.bench import Bench, metrics_of
from ascend_sim.config import load_run
from ascend_sim.engine import totals
from ascend_sim.simulate import prepare, simulate
from ascend_sim.validation.data import METRICS

RUNS = ("amla_small", "flash_attention_small", "gemm_small", "softmax")


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("engine", ["compiled", "definition"])
def test_metrics_are_those_of_the_result(run: str, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that measurements are compared with has the same value in result.json, by whichever engine it is found."""
    monkeypatch.setattr(totals, "WORTH_COMPILING", 0 if engine == "compiled" else 10**9)
    config = load_run(run)
    _, _, program = prepare(config)
    found = metrics_of(program, config.chip, totals.timed(program, config.chip, symmetry=config.symmetry))
    result = simulate(config, data=False).result.to_dict()

    for metric in METRICS:
        expected = result
        for key in metric.split("."):
            expected = expected[key]
        assert found[metric.removeprefix("pipes.")] == pytest.approx(expected, rel=1e-12), metric


@pytest.mark.parametrize("worth", [0, 10**9])
def test_cycles_are_those_of_the_schedule(worth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bench that is asked for cycles alone finds those of the schedule, with cores lumped together or not."""
    monkeypatch.setattr(totals, "WORTH_COMPILING", worth)
    for overrides in ((), ("symmetry=false",)):
        bench = Bench(load_run("amla_small", overrides))

        assert bench.cycles(bench.run.chip) == bench.schedule(bench.run.chip).cycles
