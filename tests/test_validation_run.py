"""Simulating what was measured: loops by hand, statistics by hand, and the command."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest

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
    """Errors stay where they are today: fits within what the chip files say, the first GEMM within 35 %.

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
    assert largest["movement", "calibration", "cycles"] <= 0.23  # the chip file: at most 23 %, at 1 KiB
    assert largest["vector", "calibration", "cycles"] == 0.0
    assert largest["vector", "calibration", "cycles/repeat"] <= 0.01  # cycles are whole, 129 repeats round up once
    assert largest["kernels", "check", "us"] <= 0.35
    assert largest["kernels", "check", "ratio"] <= 0.4
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
    assert printed[-1] == "1 rows: 1 simulated, 0 unreproducible"


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
