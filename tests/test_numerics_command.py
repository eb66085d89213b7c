"""The command that compares algorithms in accuracy: what it prints and writes, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ascend_sim.cli import main

STUDY = """\
description: Small
algorithms:
  - {algorithm: mla_base, label: Base}
  - {algorithm: amla}
inputs:
  - {distribution: normal, std: [1, 2], mean: [0, 1]}
shape: {rows: 16, keys: [64, 600], latent_dim: 64, rope_dim: 32}
outputs: [fp32, input]
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of a study in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    Path("mine.yaml").write_text(STUDY)
    return "mine.yaml"


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code of `numerics`, and what it prints to either stream."""
    with pytest.raises(SystemExit) as stop:
        main(["numerics", *arguments])
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out + said.err


def test_tables_and_files(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A table for each output, and with --out the files that the last line names, all of them and no others."""
    code, printed = command(capsys, study, "--out", "results")

    assert code == 0
    assert "\noutput fp32     keys      Base      amla\nN mean=0 std=1    64  " in printed
    assert "\noutput bf16     keys      Base      amla\n" in printed
    named = printed.splitlines()[-1].removeprefix("written: ").split(", ")
    assert sorted(named) == sorted(str(path) for path in Path("results").iterdir())
    assert named[:2] == ["results/study.json", "results/errors.csv"]
    assert {Path(name).suffix for name in named[2:]} == {".png"}


def test_json_is_what_study_json_holds(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints study.json and nothing else, without a folder or with one."""
    code, printed = command(capsys, study, "--json", "--out", "results")

    assert code == 0
    assert printed == Path("results/study.json").read_text()
    assert json.loads(printed)["schema"] == "ascend-sim/study/1"
    assert command(capsys, study, "--json") == (0, printed)


def test_set_changes_the_study(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--set reaches the keys of the file."""
    _, printed = command(capsys, study, "--json", "--set", "shape.keys=[32]", "--set", "outputs=[fp32]")
    content = json.loads(printed)

    assert {(draw["keys"], draw["output"]) for draw in content["draws"]} == {(32, "fp32")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mine.yaml", "--set", "shape.rows=0"), "--set shape.rows=0: shape.rows: must be at least 1, but it is 0\n"),
        (("amla",), "there is no study named 'amla' (bundled studies: amla_accuracy, length, pasa_accuracy); for a "
         "file of your own, write its path\n"),
        (("amla.py",), "amla.py: is a program; "),
        (("mine.yaml", "--out", "mine.yaml"), "mine.yaml: cannot be written to: File exists; choose another folder\n"),
    ],
)  # fmt: skip
def test_what_is_refused(
    study: str, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    """Wrong input ends with code 2 and a line that says what to do."""
    code, printed = command(capsys, *arguments)

    assert code == 2
    assert printed.startswith(message)


def test_an_interrupt_leaves_nothing_behind(
    study: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while computing ends with the shell's code for it, and no file is half written."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ascend_sim.study.run.measure", interrupted)

    assert command(capsys, study, "--out", "results")[0] == 130
    assert list(Path("results").iterdir()) == []
