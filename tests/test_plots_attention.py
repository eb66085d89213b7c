"""The figures of the attention programs: what they measure, and that the Preload condition predicts it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ascend_sim.config import load_run
from ascend_sim.explore.resolve import base_of
from ascend_sim.simulate import simulate

ROOT = Path(__file__).parent.parent
PLOTS = ROOT / "plots"


def script(name: str) -> ModuleType:
    """The script plots/*name*.py as a module."""
    spec = importlib.util.spec_from_file_location(name, PLOTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


condition, times = script("preload_condition"), script("attention_times")


@pytest.mark.parametrize(
    ("run", "settings"),
    [
        ("amla_decode", {"problem.batch": 6, "problem.kv_tokens": 1024}),
        ("amla_long", {"problem.kv_tokens": 4096, "launch.blocks": 4}),
        ("pasa", {"problem.heads": 4, "problem.query_tokens": 512, "problem.kv_tokens": 512}),
    ],
)
def test_a_point_equals_a_run(run: str, settings: dict[str, int]) -> None:
    """The compiled engine gives the time and the rate that `ascend-sim run` prints."""
    point = times.simulated(base_of(load_run(run)), settings)

    result = simulate(load_run(run, [f"{key}={value}" for key, value in settings.items()]), data=False).result
    assert point.us == pytest.approx(result.time_us, rel=1e-12)
    assert point.tflops == pytest.approx(result.tflops, rel=1e-12)
    assert point.pipes == pytest.approx({pipe: result.pipes[f"{pipe}_ratio"] for pipe in times.PIPES}, abs=1e-9)


def row(start: str) -> list[float]:
    """The figures of the one row of docs/algorithms.md that begins with *start*, shares of the peak left out."""
    lines = (ROOT / "docs" / "algorithms.md").read_text(encoding="utf-8").splitlines()
    [found] = [line.removeprefix(start) for line in lines if line.startswith(start)]
    return [float(cell.split("(")[0].replace(",", "").rstrip("x% ")) for cell in found.strip("| ").split("|")]


def test_rows_of_the_page_are_what_is_simulated() -> None:
    """A row of each table of times in docs/algorithms.md stands for all: whoever moves the times prints them anew."""
    mla = {"problem.query_tokens": 4, "problem.kv_tokens": 1024}
    amla, base = (times.simulated(base_of(load_run("amla_decode", [f"program={one}"])), mla) for one in times.MLA)
    parts = {parted: {"problem.batch": 4, "schedule.split_kv": parted, "launch.blocks": None} for parted in (1, "auto")}
    whole, split = (times.simulated(base_of(load_run("amla_long")), parts[parted]) for parted in (1, "auto"))
    tokens = {"problem.query_tokens": 1024, "problem.kv_tokens": 1024}
    forward = [
        times.simulated(base_of(load_run(one.run)), {**times.HEADS, **tokens, **one.settings})
        for one in times.FORWARD.values()
    ]

    assert row("| 4 | 1024 |")[:4] == pytest.approx([amla.us, amla.tflops, base.us, base.tflops], abs=0.051)
    assert row("| 4 | 48 |")[:4] == pytest.approx([whole.us, whole.tflops, split.us, split.tflops], abs=0.51)
    figures = [figure for one in forward for figure in (one.us, one.tflops)]
    assert row("| 1024 |")[:8] == pytest.approx(figures, abs=0.051)


def test_a_refused_point_says_why() -> None:
    """A point that does not fit ends the script with the reason, not with a gap in the figure."""
    with pytest.raises(RuntimeError, match="is infeasible: L1 overflows at buffer 'kv\\[0\\]'"):
        times.simulated(base_of(load_run("amla_decode")), {"problem.latent_dim": 4096})


def periods(width: int, *ahead: int) -> list[float]:
    """Measured periods."""
    return [condition.streams_of(width, one).period for one in ahead]


def test_one_ahead_is_enough_where_the_condition_holds() -> None:
    """At the model's width V1 fits, so the period is the cube's, and a second C1 ahead changes nothing at all."""
    without = condition.streams_of(512, 0)
    stages = condition.stages_of(without)
    one, two = periods(512, 1, 2)

    assert stages.v1 + stages.hand_overs < stages.cube
    assert without.period == stages.chain(0)
    assert one == two == pytest.approx(stages.cube, rel=0.005)


def test_the_vector_cores_bound_where_it_fails() -> None:
    """With a narrow cache V1 and the rescaling are the period, however many C1 run ahead."""
    stages = condition.stages_of(condition.streams_of(128, 0))
    one, two = periods(128, 1, 2)

    assert stages.v1 + stages.hand_overs > stages.cube
    assert one == two == pytest.approx(stages.vector, rel=0.005)
    measured = [stages.c1, stages.v1, stages.c2, stages.rescale, stages.hand_overs, stages.chain(0), one]
    assert row("| 128 |")[:7] == pytest.approx(measured, abs=0.51)


def test_in_between_the_chain_bounds_and_a_second_c1_helps() -> None:
    """Where cube and vector cores have as much to do, half of the chain is longest, and a third of it is not."""
    stages = condition.stages_of(condition.streams_of(192, 0))
    one, two = periods(192, 1, 2)

    assert stages.chain(1) > max(stages.cube, stages.vector) > stages.chain(2)
    assert one == pytest.approx(stages.chain(1), rel=0.01)
    assert two == pytest.approx(stages.vector, rel=0.005)
    assert one > 1.05 * two


def test_the_condition_stops_between_the_widths_that_say_so() -> None:
    """The edge that is drawn is where C1 and C2 are as long as V1 with its hand-overs, on a line between widths."""
    stages = {64: condition.Stages(10, 30, 10, 1, 4), 128: condition.Stages(30, 30, 20, 1, 4)}

    assert condition.crossing(stages) == pytest.approx(64 + 64 * 14 / 30)
