"""Points as run files: complete, exact, as the user wrote the base run, and with a diff that makes one of the other."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from kernels import write_run
from studies import explored

from ascend_sim.config import RunConfig, load_run, rerun, varied
from ascend_sim.explore.best import RunFiles, commented
from ascend_sim.explore.point import Value, override
from ascend_sim.explore.report import write_report
from ascend_sim.explore.resolve import base_of, figures_of, opened
from ascend_sim.explore.table import read_table
from ascend_sim.explore.wording import measure
from ascend_sim.simulate import simulate

POINTS: dict[str, dict[str, Value]] = {
    "gemm_small": {
        "tiling.m": 64, "tiling.l1_k": 128, "tiling.unit_flag": False,
        "schedule.swizzle": {"offset": 3, "direction": 1},
        "launch.blocks": 3, "chip.hbm.bytes_per_second": 3.2e12, "chip.cube.cycles_per_fractal.fp16": 2,
    },
    "amla_decode": {"schedule.preload": 2, "problem.kv_tokens": [1, 2, 3], "tiling.task_rows": 256},
    "vector_add": {"problem.tile": 4096, "chip": "ascend910b4"},
}  # fmt: skip


def same(run: RunConfig, other: RunConfig) -> None:
    """Assert that two runs are one: equal figures of the chip, wherever they come from, and all else."""
    one, two = ({key: value for key, value in each.resolved().items() if key != "chip"} for each in (run, other))
    assert one == two
    assert figures_of(run.chip) == figures_of(other.chip)


def point(run: RunConfig, values: Mapping[str, Value]) -> RunConfig:
    """The variant of *run* with *values*."""
    return varied(run, [override(name, value) for name, value in values.items()])


def written(folder: Path, files: RunFiles, run: RunConfig) -> RunConfig:
    """*run*, written to *folder* and read back."""
    path = folder / "best.yaml"
    path.write_text(files.text(run), encoding="utf-8")
    for name, text in files.chips.items():
        (folder / name).write_text(text, encoding="utf-8")
    return load_run(path)


@pytest.mark.parametrize("name", POINTS)
@pytest.mark.parametrize("kept", [True, False], ids=["from its file", "from what is kept of it"])
def test_a_point_is_read_back_as_it_was(name: str, kept: bool, tmp_path: Path) -> None:
    """The file of a point gives its run again, with the file of the base run at hand and without."""
    base = load_run(name)
    if not kept:
        base = opened(base_of(rerun(base.resolved(), Path("/gone/run.yaml")))).run
    run = point(base, POINTS[name])
    back = written(tmp_path, RunFiles(base), run)

    assert back.program == name.partition("_")[0].replace("vector", "vector_add")
    same(back, point(load_run(name), POINTS[name]))


@pytest.mark.parametrize("name", POINTS)
def test_the_base_run_itself_is_unchanged(name: str) -> None:
    """What changes nothing is written as the user has written it, letter for letter."""
    base = load_run(name)
    files = RunFiles(base)

    assert files.text(base) == base.path.read_text(encoding="utf-8")
    assert files.difference(base, "best-1.yaml") == ""


def test_comments_and_order_stay() -> None:
    """Only the lines of changed values differ; new keys come first in their section, new sections last."""
    base = load_run("gemm_small")
    files = RunFiles(base)
    changes = {"tiling.unit_flag": False, "tiling.m": 64, "launch.blocks": 3, "chip.hbm.bytes_per_second": 3.2e12}

    assert files.difference(point(base, changes), "best-1.yaml") == (
        "--- gemm_small.yaml\n"
        "+++ best-1.yaml\n"
        "@@ -1,6 +1,9 @@\n"
        " description: C = A B of a size that leaves a rest in every tile, with numbers\n"
        " program: gemm\n"
        "-chip: ascend910b2\n"
        "+chip:\n"
        "+  extends: ascend910b2\n"
        "+  hbm:\n"
        "+    bytes_per_second: 3.2e12\n"
        " \n"
        " problem:\n"
        "   m: 1000\n"
        "@@ -10,8 +13,12 @@\n"
        "   output: fp32\n"
        " \n"
        " tiling:\n"
        "-  unit_flag: true # a finished part of a tile of C leaves while the rest is still being computed\n"
        "+  m: 64\n"
        "+  unit_flag: false # a finished part of a tile of C leaves while the rest is still being computed\n"
        " \n"
        " # Fill A and B and compare C with the reference.\n"
        " data:\n"
        "   enabled: true\n"
        "+\n"
        "+launch:\n"
        "+  blocks: 3\n"
    )


def test_the_diff_is_a_patch(tmp_path: Path) -> None:
    """`patch` makes the file of the point of that of the base run."""
    base = load_run("gemm_small")
    files = RunFiles(base)
    run = point(base, POINTS["gemm_small"])
    path = tmp_path / "run.yaml"
    path.write_text(files.original, encoding="utf-8")
    (tmp_path / "best.diff").write_text(files.difference(run, "best-1.yaml"), encoding="utf-8")
    subprocess.run(["patch", "-s", path, tmp_path / "best.diff"], check=True)

    assert path.read_text(encoding="utf-8") == files.text(run)


def test_lists_stay_in_one_line() -> None:
    """A list is written as it is read best, beside the comment of the value that it replaces."""
    base = load_run("amla_decode")
    text = RunFiles(base).text(point(base, {"problem.kv_tokens": [1, 2, 3]}))

    assert "  kv_tokens: [1, 2, 3] # tokens in the cache" in text


def test_anchors_do_not_lead_astray(tmp_path: Path) -> None:
    """Where an edit would change more than the point says, the file is written anew, without comments."""
    path = tmp_path / "run.yaml"
    path.write_text(
        "program: vector_add\nchip: ascend910b2\n# shared\nproblem: &both {length: 4096, tile: 1024}\nother: *both\n",
        encoding="utf-8",
    )
    base = load_run(path)
    run = point(base, {"problem.tile": 512})
    back = written(tmp_path, RunFiles(base), run)

    same(back, run)
    assert back.sections["other"]["tile"] == 1024


def test_a_changed_base_file_is_no_source(tmp_path: Path) -> None:
    """If the file of the base run says something else by now, the point is still the point that was simulated."""
    path = write_run(tmp_path)
    base = load_run(path)
    kept = rerun({**base.resolved(), "program_file": str(base.program_file())}, path)
    path.write_text("program: other.py\nchip: ascend910b4\nsurprise: {a: 1}\ndata: {seed: 3}\n", encoding="utf-8")
    run = point(kept, {"launch.blocks": 2})
    back = written(tmp_path, RunFiles(kept), run)

    assert back.program_file() == base.program_file()
    same(back, run)


def test_a_program_of_the_users_own_has_its_whole_path(tmp_path: Path) -> None:
    """The file of a point can be run from any folder: the program of a user is named with its absolute path."""
    base = load_run(write_run(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    back = written(tmp_path / "elsewhere", RunFiles(base), base)

    assert RunFiles(base).difference(base, "best-1.yaml") == ""
    assert Path(back.program).is_absolute()
    assert back.program_file() == base.program_file()


def test_a_chip_that_is_not_bundled_comes_along(tmp_path: Path) -> None:
    """A chip of the user, or one that is no longer what its name says, is written beside the points."""
    l2 = "l2: {bytes: {value: 1048576, source: ESTIMATE, standing: estimated}}"
    (tmp_path / "mine.yaml").write_text(f"name: Mine\nextends: ascend910b2\n{l2}\n", encoding="utf-8")
    path = tmp_path / "run.yaml"
    path.write_text("program: vector_add\nchip: ./mine.yaml\nproblem: {length: 4096, tile: 1024}\n", encoding="utf-8")
    base = load_run(path)
    files = RunFiles(opened(base_of(base)).run)
    run = point(files.base, {"chip.hbm.bytes_per_second": 3.2e12})
    (tmp_path / "out").mkdir()
    back = written(tmp_path / "out", files, run)

    assert list(files.chips) == ["chip-mine.yaml"]
    assert figures_of(back.chip) == figures_of(run.chip)
    assert figures_of(back.chip)["l2"]["bytes"] == 1048576
    assert "extends: ./chip-mine.yaml" in files.text(run)
    added = [line for line in files.difference(run, "best-1.yaml").splitlines() if line.startswith("+")]
    assert added == ["+++ best-1.yaml", "+chip:", "+  extends: ./mine.yaml", "+  hbm:", "+    bytes_per_second: 3.2e12"]


def test_a_bundled_chip_that_has_changed_comes_along(tmp_path: Path) -> None:
    """A chip that is no longer what its name says is written beside the points as it was."""
    now = load_run("vector_add")
    config = now.resolved()
    config["chip"]["vector"]["ops"].pop("vexp")
    base = rerun(config, now.path)
    files = RunFiles(base)
    back = written(tmp_path, files, base)

    assert list(files.chips) == ["chip-ascend910b2.yaml"]
    assert figures_of(back.chip) == figures_of(base.chip) != figures_of(now.chip)


def test_comments_at_the_top() -> None:
    """Lines of comment come before everything else."""
    assert commented(["a", "b"], "c: 1\n") == "# a\n# b\nc: 1\n"


@pytest.mark.parametrize("number", [0.1, 1e-9, 1.6e12, 123456789.125, 1e300, -2.5e-7, 3.0])
def test_numbers_are_exact(number: float, tmp_path: Path) -> None:
    """A number is read back as the same number, whatever its size."""
    base = load_run("vector_add")
    run = varied(base, [override("own.figure", number)])
    back = written(tmp_path, RunFiles(base), run)

    assert back.sections["own"] == {"figure": number}
    assert type(back.sections["own"]["figure"]) is float


def test_running_the_best_points_gives_the_table(tmp_path: Path) -> None:
    """The reported files, run as they are, take exactly the cycles that the exploration has found."""
    text = (
        "run: gemm_small\nset: {data: {enabled: false}, problem.m: 300, problem.n: 256, problem.k: 256}\n"
        "space:\n  tiling.m: [64, 128]\n  chip.clock_hz: {times: [1, 0.5]}\n"
        "  chip.paths.gm_to_l1_nz.head_cycles: [50, 400]\n"
    )
    found = explored(tmp_path, text)
    written_files = write_report(found, tmp_path / "out", 8, "svg")
    _, table = read_table(found)
    cycles = sorted(
        (row.evaluation.metrics["time_us"], row.number, row.evaluation.metrics["cycles"]) for row in table.rows
    )
    files = [path for path in written_files if path.suffix == ".yaml"]

    assert len(files) == len(table.rows) == 8
    assert len({one[2] for one in cycles}) == 8
    for path, (time, number, expected) in zip(files, cycles, strict=True):
        result: Any = simulate(load_run(path))
        assert result.schedule.cycles == expected, path.name
        head = f"# Point {number} of the exploration tilings: time {measure('time_us').text(time)}, cycles {expected:,}"
        assert path.read_text(encoding="utf-8").splitlines()[0] == head
