"""Runs side by side: the measures, their changes, and what was changed in the configuration."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from kernels import write_run
from outcomes import outcome
from test_cli import Command, ascend_sim

from ascend_sim.report.compare import Difference, Row, compared, differences, lines, shortened
from ascend_sim.report.result import RunResult

__all__ = ["ascend_sim"]


@pytest.fixture(scope="module")
def results() -> list[RunResult]:
    """AMLA with and without preload."""
    return [outcome("amla_small").result, outcome("amla_small", "schedule.preload=0").result]


def row(rows: list[Row], name: str) -> Row:
    """The measure called *name*."""
    return next(one for one in rows if one.name == name)


def test_the_measures_are_those_of_the_results(results: list[RunResult]) -> None:
    """Time, shares of pipes, bytes and parts of the path are taken over, in the units that the row names."""
    rows = compared(results)

    assert row(rows, "time").values == tuple(one.time_us for one in results)
    assert row(rows, "aic_cube").values == tuple(100 * one.pipes["aic_cube_ratio"] for one in results)
    assert row(rows, "HBM read").values == tuple(one.memory["hbm_read_bytes"] / 1e6 for one in results)
    path = [one for one in rows if one.name.startswith("path: ")]
    for number, one in enumerate(results):
        assert sum(part.values[number] or 0.0 for part in path) == pytest.approx(one.time_us)


def test_a_change_is_relative_to_the_first_run() -> None:
    """Ten percent more is +0.1; where the first run has nothing, there is no change to speak of."""
    assert Row("time", "us", (200.0, 220.0)).change(1) == pytest.approx(0.1)
    assert Row("time", "us", (0.0, 220.0)).change(1) is None
    assert Row("time", "us", (None, 220.0)).change(1) is None
    assert Row("time", "us", (200.0, None)).change(1) is None


def test_what_was_changed_in_the_configuration(results: list[RunResult]) -> None:
    """A changed parameter is found once, by its key in the run file; equal configurations have no difference."""
    assert differences(results) == [Difference("parameters.schedule.preload", (1, 0))]
    assert differences([results[0], results[0]]) == []


def test_a_changed_figure_of_the_chip_is_its_value(results: list[RunResult]) -> None:
    """Of a figure the value is compared, and neither source nor standing."""
    slower = outcome("amla_small", "chip.hbm.bytes_per_second=8e11", "chip.hbm.mixed_bytes_per_second=8e11").result
    keys = [one.key for one in differences([results[0], slower])]

    assert keys == ["chip.hbm.bytes_per_second", "chip.hbm.mixed_bytes_per_second"]


def test_long_lists_are_summed_up(results: list[RunResult]) -> None:
    """The lengths of a hundred requests are no line of a table."""
    first = results[0]
    parameters = first.config["parameters"]
    many = {**first.config, "parameters": {**parameters, "problem": {**parameters["problem"], "kv_tokens": [5] * 100}}}
    found = differences([first, replace(first, config=many)])

    assert found == [Difference("parameters.problem.kv_tokens", ("[100, 600]", "[100 values, sum 500]"))]


def test_the_text(results: list[RunResult]) -> None:
    """First what was changed, then a line for each measure with the change against the first run."""
    text = list(lines(["runs/a", "runs/b"], compared(results), differences(results)))

    assert text[0].split() == ["a", "b"]
    assert text[1].split() == ["parameters.schedule.preload", "1", "0"]
    time = next(line for line in text if line.startswith("time"))
    change = results[1].time_us / results[0].time_us - 1
    assert time.split() == [
        "time", f"{results[0].time_us:,.1f}", "us", f"{results[1].time_us:,.1f}", "us", f"({100 * change:+.1f}", "%)"
    ]  # fmt: skip
    assert next(iter(lines(["a", "b"], [], []))) == "the configurations are equal"


def test_names_are_shortened_by_what_they_share() -> None:
    """Folders beside each other go by their own names; nothing of a name is lost if that is all there is."""
    assert shortened(["all/runs/a/", "all/runs/b"]) == ["a", "b"]
    assert shortened(["x/a", "y/a"]) == ["x/a", "y/a"]
    assert shortened(["a", "a"]) == ["a", "a"]


def test_the_command(ascend_sim: Command, tmp_path: Path) -> None:
    """Folders and run files can be mixed; --json has the same values."""
    run, out = write_run(tmp_path), tmp_path / "out"
    assert ascend_sim("run", run, "--no-data", "--out", out).code == 0
    said = ascend_sim("compare", out, run)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("the configurations are equal\n")

    found = json.loads(ascend_sim("compare", out, run, "--json").out)
    assert found["runs"] == [str(out), str(run)]
    assert found["config"] == []
    assert {change for one in found["measures"] for change in one["changes"][1:]} <= {0.0, None}


def test_one_run_alone(ascend_sim: Command, tmp_path: Path) -> None:
    """There is nothing to compare."""
    said = ascend_sim("compare", tmp_path)

    assert (said.code, said.err) == (
        2, f"{tmp_path}: there is nothing to compare one run with; name two runs or more\n"
    )  # fmt: skip
