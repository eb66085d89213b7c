"""Opening a run: a folder that a run has written, or a run file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kernels import write_run
from test_cli import Command, ascend_sim

from ascend_sim.errors import ArgumentError
from ascend_sim.opened import open_run

__all__ = ["ascend_sim"]


@pytest.fixture
def folder(ascend_sim: Command, tmp_path: Path) -> Path:
    """The folder of a run."""
    out = tmp_path / "out"
    assert ascend_sim("run", write_run(tmp_path), "--out", out).code == 0
    return out


def test_a_folder_and_its_run_file_are_the_same_run(folder: Path) -> None:
    """Opened from the folder, or simulated anew, a run has the same result, host times and numbers apart."""
    there, here = open_run(str(folder)), open_run(str(folder.parent / "run.yaml"))

    assert (there.result.cycles, there.result.critical_path) == (here.result.cycles, here.result.critical_path)
    assert there.recording.cycles == here.recording.cycles == there.result.cycles
    assert there.recording.limited is not None
    assert here.recording.limited is not None


def refusal(run: Path, *overrides: str) -> str:
    """Why *run* cannot be opened."""
    with pytest.raises(ArgumentError) as caught:
        open_run(str(run), overrides)
    return str(caught.value)


def test_a_finished_run_takes_no_changes(folder: Path) -> None:
    """--set with a folder would be ignored, so it is refused."""
    assert refusal(folder, "problem.rows=2") == (
        f"--set problem.rows=2: {folder} holds a finished run, which nothing can change; name its run file instead"
    )


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    """A folder that no run has written is refused with the command that writes one."""
    assert refusal(tmp_path) == (
        f"{tmp_path}/result.json: there is no result of a run; write it with `ascend-sim run CONFIG --out DIR`"
    )


def test_a_run_without_a_recording(folder: Path) -> None:
    """A run with --no-record has its sums only."""
    (folder / "recording.npz").unlink()

    assert refusal(folder) == (
        f"{folder}: has no recording.npz, so only its sums are known; run it again with --out {folder} (without "
        f"--no-record)"
    )


def test_a_result_of_an_earlier_version(folder: Path) -> None:
    """A result that lacks a field is named with the field, and one of another schema with the schema."""
    path = folder / "result.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in content.items() if key != "ub_banks"}))
    assert refusal(folder) == f"{path}: lacks ub_banks: an earlier version has written it; run again"

    path.write_text(json.dumps(content | {"schema": "else"}))
    assert refusal(folder) == f"{path}: is no result of schema 'ascend-sim/run/1'; run again"

    path.write_text("{")
    assert refusal(folder).startswith(f"{path}: cannot be read as a result: ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("time_us", None), ("peak_tflops", "x"), ("pipes", {"aic_cube_ratio": None}), ("critical_path", "x"),
        ("memory", {"hbm_read_bytes": None}), ("warnings", 3), ("numerics", 1.0),
    ],
)  # fmt: skip
def test_a_result_with_a_wrong_value(folder: Path, key: str, value: object) -> None:
    """A field of the wrong kind is named, instead of failing where it is used."""
    path = folder / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))

    assert refusal(folder) == f"{path}: '{key}' is not what a run writes there; run again"


def test_a_recording_of_another_run(folder: Path, ascend_sim: Command, tmp_path: Path) -> None:
    """A recording and a result that are not of one run are not mixed."""
    other = tmp_path / "other"
    assert ascend_sim("run", "microbench", "--no-data", "--out", other).code == 0
    (folder / "recording.npz").write_bytes((other / "recording.npz").read_bytes())

    message = refusal(folder)
    assert message.startswith(f"{folder}/recording.npz: is of a run of microbench with ")
    assert message.endswith(f"; run it again with --out {folder}")
