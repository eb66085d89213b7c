"""Simulating what was measured: loops by hand, statistics by hand, and the command."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from ascend_sim.cli import main
from ascend_sim.config import load_chip, load_run
from ascend_sim.errors import ArgumentError, ConfigError, Diagnostic
from ascend_sim.kernel.load import load_program
from ascend_sim.validation.data import (
    PATHS,
    KernelRun,
    Movement,
    Role,
    Row,
    VectorOperation,
    bundled_tables,
    read_table,
)
from ascend_sim.validation.figure import write_figure
from ascend_sim.validation.report import lines
from ascend_sim.validation.run import Comparison, chosen, compare
from ascend_sim.validation.summary import rank_correlation, summarise

UB = Movement("gm_to_ub", 1, "ascend910b3")


def row(experiment: Movement | VectorOperation | KernelRun, measured: float = 1.0, role: Role = Role.CHECK) -> Row:
    """A row of a suite of its own."""
    place = Diagnostic("here", "measured.csv", 7)
    return Row(place, "ours", "group", "name", measured, "cycles", role, "us", "no reason", experiment)


def simulated(experiment: Movement | VectorOperation | KernelRun, chip: str | None = None) -> float:
    """What the simulator says about *experiment*."""
    [found] = compare([row(experiment)], chip)
    assert found.simulated is not None
    return found.simulated


def compared(pairs: Sequence[tuple[float, float | None]], role: Role = Role.CHECK) -> list[Comparison]:
    """Comparisons of (measured, simulated)."""
    return [Comparison(row(Movement("gm_to_ub", 1, "ascend910b3"), a, role), b) for a, b in pairs]


# --- Loops of one instruction ---


@pytest.mark.parametrize("path", sorted(set(PATHS) - {"gm_to_l1_nz", "l0c_to_gm_nd"}))
@pytest.mark.parametrize("kib", [1, 7, 64])
def test_a_move_costs_what_its_path_says(path: str, kib: int) -> None:
    """Back to back on one core and from L2, a move takes head + bytes / rate, or the least that its path allows.

    The end of a move through the memory system may fall within a cycle, hence up to a cycle more.
    """
    figures = getattr(load_chip("ascend910b1").paths, path)
    law = figures.head_cycles.value + kib * 1024 / figures.bytes_per_cycle.value
    sustained = kib * 1024 / getattr(figures, "sustained_bytes_per_cycle", figures.bytes_per_cycle).value
    expected = max(math.ceil(law), figures.min_cycles.value, math.ceil(sustained))

    assert simulated(Movement(path, kib, "ascend910b1")) == pytest.approx(expected, abs=1.0)


@pytest.mark.parametrize(("op", "dtype"), [("vadd", "fp16_fp16_fp16"), ("vexp", "fp32_fp32"), ("vconv", "fp16_fp32")])
def test_a_vector_instruction_costs_its_row(op: str, dtype: str) -> None:
    """One repeat takes the first cycles of its row, 128 more take as many times the further ones."""
    formats = dict.fromkeys(dtype.split("_"))
    figures = load_chip("ascend910b1").vector.ops[op]["_".join(formats)]

    assert simulated(VectorOperation(op, dtype, False, "ascend910b1")) == figures.first_cycles
    assert simulated(VectorOperation(op, dtype, True, "ascend910b1")) == pytest.approx(
        figures.further_cycles, abs=1 / 128
    )


def test_every_operation_can_be_measured() -> None:
    """The program builds every operation that the bundled table asks for: none of its rows is refused."""
    rows = [one for one in read_table(bundled_tables()[1])[::2] if one.role is not Role.UNREPRODUCIBLE]

    assert all(one.simulated for one in compare(rows))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("problem.op=add", "path and op are given; write one of the three, and null for the others"),
        ("problem.path=null", "none of path, op and mmad is given"),
        ("problem.mmad=[16,16,16]", "path and mmad are given"),
        ("problem.mmad=[16,16]", "problem.mmad: [16, 16] is not the shape [m, n, k] of a matrix multiplication; write"),
        ("problem.isolated=true", "isolated: has no effect on path, only on mmad; leave that out, or write path: null"),
        ("problem.repeats=2", "repeats: has no effect on path, only on op; leave that out, or write path: null"),
        ("problem.dtype=fp16", "dtype: has no effect on path, only on op"),
        ("problem.bytes=1000", "problem.bytes: must be "),
    ],
)
def test_microbench_refuses_what_it_cannot_measure(override: str, message: str) -> None:
    """The program says which of its keys do not fit together."""
    run = load_run("microbench", [override])
    with pytest.raises(ConfigError) as raised:
        run.parameters(load_program(run.program_file()).kernel.parameters)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["problem.op=fma"], "op: there is no operation 'fma'; write one of add, sub"),
        (["problem.op=add", "problem.bytes=1024"], "bytes: has no effect on op, only on path; leave that out, or"),
        (
            ["problem.mmad=[16,16,16]", "problem.bytes=1024", "problem.repeats=3"],
            "bytes, repeats: have no effect on mmad, only on path and op; leave that out, or write mmad: null",
        ),
        (["problem.op=add", "problem.dtype=fp64"], "dtype: 'fp64' is no format; write one of fp16, bf16"),
    ],
)
def test_microbench_refuses_unknown_operations(overrides: list[str], message: str) -> None:
    """An operation or a format that does not exist is refused with those that do."""
    run = load_run("microbench", ["problem.path=null", *overrides])
    with pytest.raises(ConfigError) as raised:
        run.parameters(load_program(run.program_file()).kernel.parameters)
    assert message in str(raised.value)


# --- Kernels ---


def test_a_chip_can_be_exchanged() -> None:
    """--chip replaces the chip of a run, of its overrides and of a loop: half the clock, twice the time."""
    slow = ("problem.length=4096", "chip=ascend910b2", "chip.clock_hz=0.9e9", "chip.launch.vector_seconds=0")
    there = simulated(KernelRun("vector_add", slow, "cycles"))

    assert simulated(KernelRun("vector_add", slow, "cycles"), "ascend910b2") == there
    assert simulated(KernelRun("vector_add", slow, "time_us"), "ascend910b2") == pytest.approx(there / 900)


@pytest.mark.parametrize(
    ("experiment", "chip", "message"),
    [
        (KernelRun("gem", (), "cycles"), None, "measured.csv:7: name: there is no program or run named 'gem'"),
        (KernelRun("vector_add", ("problem.tiles=1",), "cycles"), None, "make it unreproducible with this reason"),
        (Movement("gm_to_ub", 500, "ascend910b3"), "ascend910b1", "choose other rows with --suite, or another chip"),
        (Movement("gm_to_ub", 500, "ascend910b3"), None, "UB overflows at buffer 'ub': it needs bytes 0 to 512000"),
    ],
)
def test_a_row_that_cannot_be_simulated_is_named(experiment: KernelRun, chip: str | None, message: str) -> None:
    """What a row asks for in vain is reported at its line, with a way out."""
    with pytest.raises(ArgumentError) as raised:
        compare([row(experiment)], chip)
    assert message in str(raised.value)


def test_all_rows_that_cannot_be_simulated_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first does not hide the others, and rows that fail alike are one message, found out once."""
    runs = []
    monkeypatch.setattr("ascend_sim.validation.run.load_run", lambda *given: runs.append(given) or load_run(*given))
    wrong = KernelRun("vector_add", ("problem.tiles=1",), "cycles")
    asked = [Movement("gm_to_ub", 500, "ascend910b3"), wrong, Movement("gm_to_ub", 1, "ascend910b3")]
    steps: list[int] = []

    with pytest.raises(ArgumentError) as raised:
        compare([row(one) for one in (*asked, replace(wrong, metric="time_us"))], advance=steps.append)
    overflow, unknown = map(str, raised.value.diagnostics)
    assert overflow.startswith("measured.csv:7: name: ")
    assert "UB overflows" in overflow
    assert unknown.startswith("measured.csv:7: name and 1 more row: ")
    assert "tiles" in unknown
    assert unknown.endswith("; change these rows, or make them unreproducible with this reason")
    assert (len(runs), steps) == (1, [4, 4, 4, 4])


# --- Statistics ---


def test_the_summary_by_hand() -> None:
    """Errors of 10, -20, 30 and 0 %: median 15, mean 15, largest 30; the 90th percentile is 0.7 of the way 20 -> 30."""
    pairs: list[tuple[float, float | None]] = [(100, 110), (100, 80), (100, 130), (100, 100), (100, None)]
    [found] = summarise(compared(pairs))

    assert (found.suite, found.role, found.unit, found.n) == ("ours", "check", "cycles", 4)
    assert [found.median, found.mean, found.p90, found.max] == pytest.approx([0.15, 0.15, 0.27, 0.3])
    assert found.rank is None  # all were measured alike


def test_calibration_and_check_are_kept_apart() -> None:
    """The error of a fit does not dilute that of a prediction."""
    both = compared([(1, 1.0)], Role.CALIBRATION) + compared([(1, 2.0)])

    assert [(one.role, one.max) for one in summarise(both)] == [("calibration", 0.0), ("check", 1.0)]


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ([1, 2, 3], [10, 20, 3000], 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0),
        ([1, 2, 3, 4], [1, 3, 2, 4], 0.8),  # 1 - 6 * (0 + 1 + 1 + 0) / (4 * 15)
        ([1, 2, 2, 4], [1, 2, 3, 4], 4.5 / math.sqrt(4.5 * 5)),  # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4
        ([1, 2], [1, 2], None),
        ([5, 5, 5], [1, 2, 3], None),
    ],
)
def test_rank_correlation_by_hand(left: list[float], right: list[float], expected: float | None) -> None:
    """Spearman's coefficient of a few values, with ties sharing their ranks."""
    assert rank_correlation(left, right) == (None if expected is None else pytest.approx(expected))


# --- The command ---


def validate(*arguments: object) -> int:
    """The exit code of `ascend-sim validate` with *arguments*."""
    with pytest.raises(SystemExit) as stop:
        main(["validate", *map(str, arguments)])
    return int(stop.value.code or 0)


def test_the_quick_suite_holds_its_tolerances(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Errors stay where they are: fits within what the chip files say, the first GEMM within 12 %.

    Nothing is dropped: every row of the suite is in the file, the unreproducible ones without an error.
    """
    assert validate("--suite", "quick", "--json", "--out", tmp_path) == 0
    found = json.loads(capsys.readouterr().out)
    every = [one for path in bundled_tables() for one in read_table(path)]
    wanted = chosen(every, ["quick"])

    assert [one["name"] for one in found["rows"]] == [one.name for one in wanted]
    assert {one["name"] for one in found["rows"] if one["error"] is None} == {
        one.name for one in wanted if one.role is Role.UNREPRODUCIBLE
    }
    largest = {(one["suite"], one["role"], one["unit"]): one["max"] for one in found["summary"]}
    assert largest["movement", "calibration", "cycles"] <= 0.115  # the largest error of a fit
    assert largest["vector", "calibration", "cycles"] == 0.0
    assert largest["vector", "calibration", "cycles/repeat"] <= 0.01  # cycles are whole, 129 repeats round up once
    assert largest["matrix", "calibration", "cycles"] == 0.0
    assert largest["kernels", "check", "us"] <= 0.12
    assert largest["kernels", "check", "ratio"] <= 0.08
    assert json.loads((tmp_path / "validation.json").read_text(encoding="utf-8")) == found
    assert (tmp_path / "validation.png").read_bytes().startswith(b"\x89PNG")


def test_every_row_is_printed_or_counted() -> None:
    """With --rows each simulated row has a line, and each unreproducible one is counted beside its reason."""
    every = [one for path in bundled_tables() for one in read_table(path)]
    comparisons = [Comparison(one, None if one.role is Role.UNREPRODUCIBLE else one.measured) for one in every]
    printed = list(lines(comparisons, every_row=True))
    missing = [one for one in every if one.role is Role.UNREPRODUCIBLE]

    for one in comparisons:
        assert one.simulated is None or any(line.startswith(f"{one.row.name}  ") for line in printed), one.row.name
    assert all(any(line.endswith(one.note) for line in printed) for one in missing)
    assert printed[-1] == f"{len(every)} rows: {len(every) - len(missing)} simulated, {len(missing)} unreproducible"


def test_own_measurements_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table of one's own replaces the bundled ones: 222 cycles against 444 measured are -50 %."""
    path = tmp_path / "mine.csv"
    line = "gm_to_ub,910b3,1,l2,1,444,check,me,\n"
    path.write_text(f"path,device,cores,data,kib,cycles,role,source,note\n{line}", encoding="utf-8")

    assert validate("--data", path, "--rows") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].split() == ["gm_to_ub", "910b3", "1", "KiB", "444", "222", "cycles", "-50.0%", "check", "me"]
    assert printed[-1] == "1 row: 1 simulated, 0 unreproducible"


def test_several_tables_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--data is repeatable; of rows with errors it says how many they are, and their source is not cut."""
    for kib, cycles in ((1, 444), (2, 300)):
        line = f"gm_to_ub,910b3,1,l2,{kib},{cycles},check,LAB: our board,\n"
        text = f"path,device,cores,data,kib,cycles,role,source,note\n{line}"
        (tmp_path / f"{kib}.csv").write_text(text, encoding="utf-8")
    files = [part for kib in (1, 2) for part in ("--data", tmp_path / f"{kib}.csv")]

    assert validate(*files) == 0
    printed = capsys.readouterr().out.splitlines()
    assert any(line.startswith("the 2 worst of these ") for line in printed)
    assert sum(line.endswith("  LAB: our board") for line in printed) == 2
    assert printed[-1] == "2 rows: 2 simulated, 0 unreproducible"
    assert validate(*files[:2]) == 0
    assert any(line.startswith("the worst of these ") for line in capsys.readouterr().out.splitlines())


def test_the_legends_of_bundled_tables_are_short() -> None:
    """Of a source such as "MSK: ..." in a bundled table only the name is printed."""
    [one] = [one for one in read_table(bundled_tables()[0]) if one.name == "gm_to_l1 910b1 1 KiB"]

    assert any(line.endswith("  MSK") for line in lines([Comparison(one, 2 * one.measured)]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--suite", "fast"),
            "--suite fast: there is no such suite; write one of movement, vector, matrix, kernels, quick",
        ),
        (("--data", "gone.csv"), "gone.csv: cannot be read: No such file or directory; write the path of a CSV file"),
        (("--chip", "910b3", "--suite", "quick"), "there is no chip named '910b3'"),
    ],
)
def test_wrong_arguments_leave_with_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    """The command refuses what it does not know, in one line."""
    assert validate(*arguments) == 2
    assert message in capsys.readouterr().err


def test_nothing_to_draw_is_refused(tmp_path: Path) -> None:
    """A picture of rows that cannot be simulated would be empty, and a folder that is missing holds none."""
    with pytest.raises(ArgumentError, match="there is nothing to draw: no row could be simulated; choose other rows"):
        write_figure(tmp_path / "a.png", compared([(1, None)], Role.UNREPRODUCIBLE))
    with pytest.raises(ArgumentError, match="cannot be written: No such file or directory"):
        write_figure(tmp_path / "gone" / "a.png", compared([(1, 1.0)]))


def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comparisons: Sequence[Comparison]) -> Figure:
    """The figure that is written for *comparisons*."""
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    write_figure(tmp_path / "a.png", comparisons)
    return figures[0]


def test_units_are_drawn_in_rows_of_three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five units are two rows of panels, each of values and, below it, of errors in percent."""
    found = [Comparison(replace(row(UB, 100.0), unit=unit), 105.0) for unit in "abcde"]
    figure = drawn(tmp_path, monkeypatch, found)
    places = [panel.get_position().x0 for panel in figure.axes[::2]]

    assert len(figure.axes) == 10
    assert places[:2] == places[3:]
    assert places[0] < places[1] < places[2]
    for values, errors in zip(figure.axes[::2], figure.axes[1::2], strict=True):
        assert errors.get_position().y1 < values.get_position().y0
        [[x, y]] = errors.collections[-1].get_offsets()
        assert (x, y) == (100.0, pytest.approx(5.0))
        assert errors.get_title() == ""  # within the band


def test_the_worst_row_outside_the_band_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ringed in both panels, inside the axis even if its error is beyond, and its name is no formula."""
    pairs: list[tuple[float, float | None]] = [(100.0, 101.0)] * 20 + [(50.0, 200.0), (70.0, 0.0)]
    found = [Comparison(replace(one.row, name="a $b"), one.simulated) for one in compared(pairs)]
    values, errors = drawn(tmp_path, monkeypatch, found).axes

    assert errors.get_title() == "a $b: +300%"
    assert not errors.title.get_parse_math()
    rings = [panel.collections[-1].get_offsets().tolist() for panel in (values, errors)]
    assert rings == [[[50.0, 200.0]], [[50.0, errors.get_ylim()[1]]]]
    assert 15 < errors.get_ylim()[1] < 300
