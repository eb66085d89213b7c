"""The expected errors: the table by hand, the shipped table, and what a result quotes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from outcomes import outcome
from rich.console import Console

from ascend_sim.config import load_run
from ascend_sim.errors import ArgumentError, ConfigError, Diagnostic
from ascend_sim.report.expected import KINDS, expected_error, read_expected_errors, shipped_path
from ascend_sim.report.summary import summary
from ascend_sim.simulate import simulate
from ascend_sim.validation import expected as module
from ascend_sim.validation.data import Experiment, KernelRun, Movement, Role, Row, VectorOperation
from ascend_sim.validation.expected import expected_errors, nearest_rows, to_json, write_table
from ascend_sim.validation.run import Comparison

CUBE, MIX = "gemm_small", "amla_small"
UB = Movement("gm_to_ub", 1, "ascend910b3")


def row(name: str, experiment: Experiment, measured: float = 100.0, role: Role = Role.CHECK) -> Row:
    """A row called *name*; the word before its first blank is its group, as in the tables."""
    suite = "kernels" if isinstance(experiment, KernelRun) else "movement"
    return Row(Diagnostic("", "m.csv"), suite, name.split()[0], name, measured, "us", role, "us", "", experiment)


def run(config: str, metric: str = "time_us") -> KernelRun:
    """A kernel that was measured."""
    return KernelRun(config, (), metric)


def others() -> list[Comparison]:
    """A row without an error of each kind but the cube's."""
    return [Comparison(row("mix time_us", run(MIX)), 100.0), Comparison(row("move", UB), 100.0)]


def test_the_table_by_hand() -> None:
    """Errors of +10 and -30 %: mean magnitude 20, largest 30, bias -10; rows of role check were left out of fits."""
    pairs = [("a time_us", 110.0), ("b time_us", 70.0)]
    table = expected_errors([*(Comparison(row(name, run(CUBE)), b) for name, b in pairs), *others()], {})
    cube = table.kinds["cube"]

    assert (cube.kind, cube.rows, cube.measured) == ("cube kernels", 2, ["a", "b"])
    assert [cube.mape, cube.max, cube.bias] == pytest.approx([0.2, 0.3, -0.1])
    assert [cube.leave_one_out_mape, cube.leave_one_out_max] == pytest.approx([0.2, 0.3])
    assert (table.kinds["mix"].measured, table.kinds["vector"].measured) == (["mix"], ["movement"])


def test_leave_one_out_values_are_those_of_the_file() -> None:
    """A fitted row is in-sample; left out it gets the value of the mapping, and none of its kind without it."""
    found = [
        Comparison(row("a time_us", run(CUBE)), 110.0),
        Comparison(row("b time_us", run(CUBE), role=Role.CALIBRATION), 101.0),
        *others(),
    ]
    without, with_value = (expected_errors(found, values).kinds["cube"] for values in ({}, {"b time_us": 130.0}))

    assert [without.mape, without.max] == pytest.approx([0.055, 0.1])
    assert (without.leave_one_out_mape, without.leave_one_out_max) == (None, None)
    assert [with_value.mape, with_value.max] == [without.mape, without.max]
    assert [with_value.leave_one_out_mape, with_value.leave_one_out_max] == pytest.approx([0.2, 0.3])


def test_a_rate_is_a_time_upside_down() -> None:
    """Where only TFLOPS were measured, twice the rate is half the time: -50 %."""
    found = [Comparison(row("a tflops", run(CUBE, "tflops")), 200.0), *others()]

    assert expected_errors(found, {}).kinds["cube"].bias == -0.5


def test_what_is_nearest() -> None:
    """A kernel counts once, by its time; ratios, unreproducible rows and what cube cores do alone are left out."""
    rows = [
        row("a tflops", run(CUBE, "tflops")),
        row("a time_us", run(CUBE)),
        row("a pipes.aic_cube_ratio", run(CUBE, "pipes.aic_cube_ratio")),
        row("b tflops", run(MIX, "tflops")),
        row("c time_us", run(CUBE), role=Role.UNREPRODUCIBLE),
        row("move", UB),
        row("other move", Movement("gm_to_l1", 1, "ascend910b3")),
        row("add", VectorOperation("vadd", "fp32_fp32", False, "ascend910b1")),
    ]

    assert [one.name for one in nearest_rows(rows)] == ["a time_us", "b tflops", "move", "add"]


def test_a_kind_without_rows_is_refused() -> None:
    """A table that says nothing about some kernels is not written."""
    with pytest.raises(ArgumentError, match="there is no row of cube kernels; add one to the tables, or compare all"):
        expected_errors(others(), {})


def test_the_shipped_table_is_up_to_date(
    kernel_comparisons: list[Comparison], instruction_comparisons: list[Comparison]
) -> None:
    """Every result quotes these errors, so they must be those of this model: if they moved, run `make errors`."""
    shipped = read_expected_errors(shipped_path())
    now = expected_errors([*kernel_comparisons, *instruction_comparisons], shipped.leave_one_out)

    assert list(now.kinds) == list(shipped.kinds)
    for cores, table in now.kinds.items():
        old = shipped.kinds[cores]
        assert (table.kind, table.rows, table.measured) == (old.kind, old.rows, old.measured)
        for name in ("mape", "max", "bias", "leave_one_out_mape", "leave_one_out_max"):
            assert getattr(table, name) == pytest.approx(getattr(old, name), abs=2e-4), f"{cores} {name}: make errors"


def test_leave_one_out_values_have_rows(kernel_comparisons: list[Comparison]) -> None:
    """A value that is kept for a row that no longer exists, or was never fitted on, would stand for nothing."""
    fitted = {one.row.name for one in kernel_comparisons if one.row.role is Role.CALIBRATION}

    assert set(read_expected_errors(shipped_path()).leave_one_out) <= fitted


def test_writing_keeps_leave_one_out_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is written again from all nearest rows, with the values of the old one; reading it gives the same."""
    path = tmp_path / "expected_errors.json"
    old = read_expected_errors(shipped_path()).model_copy(update={"leave_one_out": {"a": 3.5}})
    path.write_text(to_json(old), encoding="utf-8")
    monkeypatch.setattr(module, "shipped_path", lambda: path)
    monkeypatch.setattr(module, "compare", lambda rows, advance: [Comparison(one, one.measured) for one in rows])
    write_table()
    new = read_expected_errors(path)

    assert new.leave_one_out == {"a": 3.5}
    assert {table.max for table in new.kinds.values()} == {0.0}
    assert [new.kinds[cores].rows for cores in KINDS] == [old.kinds[cores].rows for cores in KINDS]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "cannot be read: No such file or directory; restore the file; `make errors` brings it up to date"),
        ("{", "the file: Invalid JSON"),
        ('{"leave_one_out": {}}', "kinds: Field required; restore the file"),
        ('{"leave_one_out": {}, "kinds": {}}', "kinds: there is no 'cube'; restore the file"),
    ],
)
def test_a_broken_table_is_refused(tmp_path: Path, change: str | None, message: str) -> None:
    """Whoever edits the table by hand hears what is wrong with it."""
    path = tmp_path / "expected_errors.json"
    if change is not None:
        path.write_text(change, encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        read_expected_errors(path)

    assert f"{path}: {message}" in str(raised.value)


@pytest.mark.parametrize(("name", "cores"), [("gemm_small", "cube"), ("amla_small", "mix"), ("vector_add", "vector")])
def test_a_result_quotes_the_errors_of_its_kind(name: str, cores: str) -> None:
    """result.json has the row of the table for the cores that the kernel runs on."""
    table = json.loads(shipped_path().read_text(encoding="utf-8"))["kinds"][cores]
    found = dict(outcome(name).result.expected_error)
    note = found.pop("note")

    assert found == table
    assert ("whole kernel may be further off" in (note or "")) == (cores == "vector")


def test_the_kind_is_that_of_the_cores_that_had_work() -> None:
    """A kernel that is declared for both kinds of cores and works on vector cores alone is a vector kernel."""
    table = json.loads(shipped_path().read_text(encoding="utf-8"))["kinds"]["vector"]

    assert simulate(load_run("microbench")).result.expected_error["kind"] == table["kind"]


def test_a_time_that_is_mostly_launch_is_noted() -> None:
    """Measured kernels spent less on the launch than half of the critical path, so their errors say little here."""
    found = outcome("gemm_small")
    run = load_run("gemm_small")

    def note(share: float) -> str | None:
        path = [{"pipe": "launch", "share": share, "cycles": 1}]
        text: str | None = expected_error(run, found.schedule, path)["note"]
        return text

    assert note(0.5) is None
    assert note(0.66) == "66 % of this time is launch, in the measured kernels it was less"


def test_a_changed_chip_is_noted(tmp_path: Path) -> None:
    """The errors are given for any chip, but a note says when it is not one that they were measured on."""
    changes = ["chip.hbm.bytes_per_second=1.7e12", "chip.cube.issue_cycles=3"]
    bundled = "the errors were measured on the bundled chips, but"
    own = tmp_path / "mine.yaml"
    own.write_text("name: mine\nextends: ascend910b2\n", encoding="utf-8")
    many = [f"chip.paths.gm_to_l1.{name}=300" for name in ("head_cycles", "bytes_per_cycle", "min_cycles")]
    row = "chip.vector.ops.vadd.fp32.first_cycles=4"
    schedule = outcome("gemm_small").schedule

    def note(*overrides: str) -> str | None:
        found: str | None = expected_error(load_run("gemm_small", overrides), schedule, [])["note"]
        return found

    assert note() is None
    assert note(*changes) == f"{bundled} this run changes cube.issue_cycles, hbm.bytes_per_second"
    assert note(*changes, *many) == f"{bundled} this run changes 5 figures"
    assert note(row) == f"{bundled} this run changes vector.ops.vadd.fp32"
    assert note(f"chip={own}") == f"{bundled} mine is not one of them"


def test_the_summary_says_what_to_expect() -> None:
    """One line with mean, number of measured kernels and largest error; without such kernels it is not known."""
    console = Console(width=400, record=True, file=None)
    for name in ("gemm_small", "vector_add"):
        found = outcome(name)
        with console.capture() as capture:
            console.print(summary(found.result, found.statistics))
        [line] = [line.rstrip() for line in capture.get().splitlines() if line.startswith("time error")]
        one = found.result.expected_error
        mean, most = one["leave_one_out_mape"], one["leave_one_out_max"]
        if mean is None:
            expected = f"not known, no such kernel was measured; {one['kind']}: +-{100 * one['mape']:.0f} %"
        else:
            rows = f"{one['kind']}, {one['rows']} measured"
            expected = f"+-{100 * mean:.0f} % expected ({rows}; at most {100 * most:.0f} %)"
        note = "" if one["note"] is None else f"; {one['note']}"
        assert line == f"time error    {expected}{note}"
