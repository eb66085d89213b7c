"""The command that calibrates a chip: its table, its file, and our own values as its output."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel

from ascend_sim.calibration.chip_file import chip_text
from ascend_sim.calibration.fit import Calibration, calibrate
from ascend_sim.calibration.laws import Figures
from ascend_sim.calibration.report import lines
from ascend_sim.cli import main
from ascend_sim.config import Chip, Figure, load_chip
from ascend_sim.validation.data import bundled_tables, read_table
from ascend_sim.validation.run import compare

CHIP = "ascend910b1"
MOVES = "path,device,cores,data,kib,cycles,role,source,note\n"
VECTORS = "op,device,dtype,cycles_one_repeat,cycles_per_further_repeat,role,source,note\n"
KERNELS = "id,suite,program_or_config,overrides,metric,measured,unit,role,source,note\n"


@pytest.fixture(scope="module")
def ours() -> Calibration:
    """The calibration on the bundled tables."""
    return calibrate(load_chip(CHIP), [one for table in bundled_tables()[:3] for one in read_table(table)])


# --- The command and its file ---


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """The exit code of the command line, and what it prints to either stream."""
    with pytest.raises(SystemExit) as stop:
        main([str(one) for one in arguments])
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out + said.err


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The arguments that name two tables in the current folder."""
    monkeypatch.chdir(tmp_path)
    sizes = (1, 2, 4, 8, 16, 32, 64)
    rows = [f"gm_to_ub,910b1,1,l2,{kib},{200 + 8 * kib},calibration,ours: our board,\n" for kib in sizes]
    Path("moves.csv").write_text(MOVES + "".join(rows))
    Path("ops.csv").write_text(VECTORS + 'vadd,910b1,fp16_fp16_fp16,8,2.5,calibration,"INI: a ""b"" board",\n')
    return ["--data", "moves.csv", "--data", "ops.csv"]


def test_the_file_is_a_chip(tables: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    """What is written is a chip with the fitted figures, each with what it rests on, and the others of the original."""
    code, printed = command(capsys, "calibrate", CHIP, *tables)
    assert (code, printed.splitlines()[-1]) == (0, "written: ascend910b1-calibrated.yaml")
    before, after = load_chip(CHIP), load_chip("ascend910b1-calibrated.yaml")

    path = after.paths.gm_to_ub
    assert (path.head_cycles.value, path.bytes_per_cycle.value, path.min_cycles.value) == (200, 128, 0)
    assert path.head_cycles.standing == "calibrated"
    assert path.head_cycles.note == (
        "fit of 1..64 KiB on 910b1, 7 rows; median error 0.0 %, at most 0.0 %; leave-one-out 0.0 %"
    )
    assert after.sources[path.head_cycles.source] == "ours: our board"
    vadd = after.vector.ops["vadd"]["fp16"]
    assert (vadd.first_cycles, vadd.further_cycles) == (8, 2.5)
    assert vadd.latency_cycles == before.vector.ops["vadd"]["fp16"].latency_cycles
    assert after.sources[vadd.source] == 'INI: a "b" board'
    assert after.sources["INI"] == before.sources["INI"]
    assert after.paths.gm_to_l1 == before.paths.gm_to_l1
    assert after.name == "Ascend910B1-calibrated"


def test_the_file_runs_and_validates(tables: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    """A run and a validation take the file by its path; the moves that it was fitted on come out exactly."""
    command(capsys, "calibrate", CHIP, *tables, "--out", "mine.yaml")

    assert command(capsys, "run", "vector_add", "--no-data", "--set", "chip=mine.yaml")[0] == 0
    code, printed = command(capsys, "validate", "--data", "moves.csv", "--chip", "mine.yaml")
    assert code == 0
    assert re.search(r"movement +gm_to_ub 910b1 +7 +0.0% +0.0%", printed)


def test_a_file_is_not_overwritten(tables: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    """An existing file is replaced only by --force, and never the chip that the new one extends."""
    command(capsys, "calibrate", CHIP, *tables, "--out", "mine.yaml")
    code, printed = command(capsys, "calibrate", CHIP, *tables, "--out", "mine.yaml")
    assert code == 2
    assert printed == (
        "mine.yaml: exists already and is not overwritten; choose another name with --out, or add --force\n"
    )
    assert command(capsys, "calibrate", CHIP, *tables, "--out", "mine.yaml", "--force")[0] == 0
    code, printed = command(capsys, "calibrate", "mine.yaml", *tables, "--out", "mine.yaml", "--force")
    assert code == 2
    assert "mine.yaml: is the chip that the new file extends, and is not overwritten; choose another name" in printed


def test_what_the_chip_extends_is_not_overwritten(tables: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    """A file further up the chain of extends, also by another name for it, is kept even with --force."""
    Path("base.yaml").write_text(f"name: base\nextends: {CHIP}\n")
    Path("mine.yaml").write_text("name: mine\nextends: base.yaml\n")
    Path("link.yaml").symlink_to("base.yaml")
    for name in ("base.yaml", "link.yaml"):
        code, printed = command(capsys, "calibrate", "mine.yaml", *tables, "--out", name, "--force")

        assert (code, printed) == (
            2, f"{name}: is the chip that mine.yaml extends, and is not overwritten; choose another name with --out\n",
        )  # fmt: skip
    assert Path("base.yaml").read_text().startswith("name: base\n")


def test_a_table_in_place_of_the_chip_is_refused(tables: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    """Who forgets the chip learns how its file ends, and where tables go."""
    code, printed = command(capsys, "calibrate", "moves.csv", *tables)

    assert (code, printed) == (
        2,
        "moves.csv: is no chip file, which ends in .yaml or .yml; write the chip first, and the tables after --data\n",
    )


def test_nothing_to_fit_writes_nothing(tables: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    """Rows as in the chip already are no calibration: the command fails, and no file without figures is left."""
    Path("same.csv").write_text(VECTORS + "vadd,910b1,fp32_fp32_fp32,3,2.0,calibration,ours,\n")
    code, printed = command(capsys, "calibrate", CHIP, "--data", "same.csv", "--out", "mine.yaml")

    assert code == 2
    assert printed.startswith("same.csv: no figure follows from these rows: vector.ops: 1 as measured already")
    assert not Path("mine.yaml").exists()


@pytest.mark.parametrize("other", ["moves.csv", "./moves.csv", "copy.csv"])
def test_rows_do_not_count_twice(tables: list[object], capsys: pytest.CaptureFixture[str], other: str) -> None:
    """A table that is given twice, and rows that stand in two tables, are refused."""
    Path("copy.csv").write_text(Path("moves.csv").read_text())
    code, printed = command(capsys, "calibrate", CHIP, *tables, "--data", other)

    assert code == 2
    assert ("moves.csv:2 already; keep one of them" if other == "copy.csv" else "is given twice") in printed


def test_a_file_of_another_kind_is_refused(tables: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    """A name that a run could not take as a chip file is refused before anything is written."""
    code, printed = command(capsys, "calibrate", CHIP, *tables, "--out", "mine.txt")

    assert (code, printed) == (2, "mine.txt: is no name of a chip file; write one that ends in .yaml or .yml\n")


def test_a_calibrated_chip_can_be_calibrated(tables: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    """A chip file of one's own is extended by its path, as seen from the folder of the new file."""
    command(capsys, "calibrate", CHIP, *tables, "--out", "mine.yaml")
    Path("more").mkdir()
    code, printed = command(capsys, "calibrate", "mine.yaml", *tables[:2], "--out", "more/again.yaml")

    assert code == 0, printed
    assert 'extends: "../mine.yaml"' in Path("more/again.yaml").read_text()
    assert load_chip("more/again.yaml").paths == load_chip("mine.yaml").paths


def test_a_kernel_table_is_refused(tables: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    """Whole kernels are for validate, and the message says so at the first of them."""
    Path("kernels.csv").write_text(KERNELS + "mine,ours,gemm,,time_us,80.5,us,calibration,us,\n")
    code, printed = command(capsys, "calibrate", CHIP, "--data", "kernels.csv")

    assert code == 2
    assert printed.startswith("kernels.csv:2: whole kernels determine no single figure; compare with them by ")


def test_the_table_shows_what_changed(ours: Calibration) -> None:
    """The line of a figure has its value before and after, rows, range and errors; checks and counts follow."""
    printed = list(lines(ours))
    [line] = [one for one in printed if one.startswith("paths.gm_to_l1.head_cycles")]
    [figure] = [one for one in ours.figures if one.key == "paths.gm_to_l1.head_cycles"]

    assert line.split()[1:7] == [f"{figure.before:g}", f"{figure.after:g}", "calibrated", "18", "1..512", "KiB"]
    assert any(one.startswith("l0c_to_gm_nd 910b1") for one in printed)
    assert printed[-1].endswith("only compared, 28 unreproducible")


# --- Our own values ---


def test_the_order_of_rows_does_not_matter(ours: Calibration) -> None:
    """The same rows the other way round give the same figures."""
    rows = [one for table in bundled_tables()[:3] for one in read_table(table)]

    other = calibrate(load_chip(CHIP), rows[::-1])
    assert {one.key: one.after for one in other.figures} == {one.key: one.after for one in ours.figures}


def calibrated(chip: Chip) -> Iterator[tuple[str, Figure[float]]]:
    """The keys of the figures of *chip* that are calibrated."""
    waiting: list[tuple[str, object]] = [("", chip)]
    while waiting:
        key, found = waiting.pop()
        if isinstance(found, Figure):
            if found.standing == "calibrated":
                yield key, found
            continue
        members = found if isinstance(found, dict) else dict(found) if isinstance(found, BaseModel) else {}
        waiting += [(f"{key}.{name}".strip("."), member) for name, member in members.items()]


def test_our_values_are_the_output_of_the_command(ours: Calibration) -> None:
    """Every calibrated figure of the bundled chip is what the shipped tables give, with what its note says of it.

    The values that were derived from them are, too; there is no calibrated figure that the command does not fit.
    """
    chip = load_chip(CHIP)
    after = {one.key: one for one in ours.figures}
    own = dict(calibrated(chip))

    assert set(own) == {key for key, one in after.items() if one.standing == "calibrated"}
    assert {key: one.after for key, one in after.items()} == {key: Figures(chip)[key] for key in after}
    for key, figure in own.items():
        note = after[key].note()
        assert figure.note.startswith((note, note.replace(after[key].evidence.note(), "same fit")))


def test_our_file_would_change_nothing(ours: Calibration, tmp_path: Path) -> None:
    """The file that the command writes for the shipped tables has the figures of the bundled chip."""
    path = tmp_path / "again.yaml"
    path.write_text(chip_text(ours, CHIP, path, bundled_tables()[:3]))
    before, after = Figures(load_chip(CHIP)), Figures(load_chip(str(path)))

    assert {one.key: after[one.key] for one in ours.figures} == {one.key: before[one.key] for one in ours.figures}


def test_our_errors_are_small() -> None:
    """Over the rows of each path half of the errors are at most 5 %, and nine in ten at most 15 %."""
    groups: dict[str, list[float]] = {}
    for one in compare(read_table(bundled_tables()[0])):
        if one.error is not None:
            groups.setdefault(one.row.group, []).append(abs(one.error))

    assert len(groups) == 11
    assert {name: errors for name, errors in groups.items() if np.median(errors) > 0.05} == {}
    assert {name: errors for name, errors in groups.items() if np.percentile(errors, 90) > 0.15} == {}
