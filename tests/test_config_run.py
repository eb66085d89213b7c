"""Run files: what they hold, how overrides reach them, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from ascend_sim.config import DataConfig, LaunchConfig, load_chip, load_run, rerun
from ascend_sim.errors import ArgumentError, ConfigError, Diagnostic, ProgramError

RUN = "program: gemm\nchip: ascend910b3\nproblem:\n  m: 256\n"


class Problem(BaseModel):
    """The section of a program."""

    m: int = Field(gt=0)
    n: int = 1


class Parameters(BaseModel):
    """The sections of a program."""

    problem: Problem


def write(folder: Path, text: str = RUN, name: str = "run.yaml") -> Path:
    """Write *text* as a run file and return its path."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusals(path: Path, *overrides: str) -> list[Diagnostic]:
    """Return the findings with which the run at *path* is refused."""
    with pytest.raises(ConfigError) as caught:
        load_run(path, overrides)
    return caught.value.diagnostics


def test_defaults_are_a_timed_run_on_all_cores(tmp_path: Path) -> None:
    """A run file needs a program and a chip; everything else has a default."""
    run = load_run(write(tmp_path))

    assert (run.program, run.chip_name, run.symmetry, run.description) == ("gemm", "ascend910b3", True, "")
    assert run.data == DataConfig(enabled=False, seed=0, distribution="normal", scale=1.0)
    assert run.launch == LaunchConfig(blocks=None)
    assert run.chip == load_chip("ascend910b3")
    assert run.sections == {"problem": {"m": 256}}
    assert run.parameters(Parameters) == Parameters(problem=Problem(m=256))


def test_overrides_reach_the_run_and_the_chip(tmp_path: Path) -> None:
    """Overrides with the prefix "chip." change the chip, the others the file, also unwritten keys."""
    run = load_run(
        write(tmp_path),
        ["launch.blocks=4", "data.enabled=true", "problem.n=8", "chip.clock_hz=1e9", "data.seed=7"],
    )

    assert run.launch.blocks == 4
    assert run.data == DataConfig(enabled=True, seed=7)
    assert run.parameters(Parameters).problem == Problem(m=256, n=8)
    assert (run.chip.clock_hz.value, run.chip.clock_hz.standing) == (1e9, "override")


def test_run_file_may_change_figures_of_its_chip(tmp_path: Path) -> None:
    """A bare value in the chip section of a run becomes a figure sourced by the run file; --set wins."""
    text = "program: gemm\nchip:\n  extends: ascend910b3\n  dies: 2\n  hbm:\n    bytes_per_second: 1.5e12\n"

    run = load_run(write(tmp_path, text), ["chip.dies=3"])

    assert (run.chip_name, run.chip.name) == ("ascend910b3", "Ascend910B3")
    assert (run.chip.hbm.bytes_per_second.value, run.chip.hbm.bytes_per_second.source) == (1.5e12, "run.yaml")
    assert run.chip.hbm.bytes_per_second.standing == "override"
    assert (run.chip.dies.value, run.chip.dies.source) == (3, "--set")
    assert run.chip.sources["run.yaml"] == "value given in the run file run.yaml"


def test_chip_path_counts_from_the_run_file(tmp_path: Path) -> None:
    """A chip beside the run file is found from any folder."""
    write(tmp_path, "name: Mine\nextends: ascend910c\n", "mine.yaml")

    assert load_run(write(tmp_path, "program: p\nchip: mine.yaml\n")).chip.name == "Mine"


def test_chip_given_on_the_command_line_replaces_that_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The override chip=NAME replaces a chip section, and a path in it counts from the current folder."""
    text = "program: p\nchip: {extends: ascend910b1, dies: 2}\n"
    (tmp_path / "here").mkdir()
    write(tmp_path / "here", "name: Mine\nextends: ascend910c\n", "mine.yaml")
    monkeypatch.chdir(tmp_path / "here")

    assert load_run(write(tmp_path, text), ["chip=ascend910c"]).chip == load_chip("ascend910c")
    assert load_run(write(tmp_path, text), ["chip=mine.yaml"]).chip.name == "Mine"


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("chip: ascend910b3\n", 1, 1, "missing key 'program' at the top level; write 'program: ...' there"),
        (
            "program: gemm\n",
            1,
            1,
            "missing key 'chip' at the top level; write 'chip: ascend910b1', for example",
        ),
        ("program: gemm\nchip: ascend910d\n", 2, 7, "there is no chip named 'ascend910d'; did you mean"),
        ("program: gemm\nchip: 910\n", 2, 7, "expected the name or path of a chip, but it is 910"),
        (
            "program: gemm\nchip: {dies: 2}\n",
            2,
            7,
            "missing key 'extends' in section 'chip'; write 'extends: NAME'",
        ),
        (
            "program: gemm\nchip:\n  extends: ascend910c\n  hbm: {byts: 1}\n",
            4,
            9,
            "unknown key 'byts' in section 'hbm'; did you mean 'bytes'?",
        ),
        (
            "program: gemm\nchip:\n  extends: ascend910c\n  dies: none\n",
            4,
            9,
            'dies: expected a whole number, but "none" is text',
        ),
        (
            RUN + "symmetry: off\n",
            5,
            11,
            'symmetry: expected true or false, but "off" is text; write true or false',
        ),
        (RUN + "symetry: false\n", 5, 1, "unknown key 'symetry' at the top level; did you mean 'symmetry'?"),
        (RUN + "launch: {blocks: 0}\n", 5, 18, "launch.blocks: must be at least 1, but it is 0"),
        (
            RUN + "launch: {block: 4}\n",
            5,
            10,
            "unknown key 'block' in section 'launch'; did you mean 'blocks'?",
        ),
        (
            RUN + "data:\n  distribution: gauss\n",
            6,
            17,
            "must be one of 'normal', 'uniform' or 'rising', but it is \"gauss\"",
        ),
        (RUN + "data:\n  scale: 0\n", 6, 10, "data.scale: must be greater than 0, but it is 0"),
        (RUN + "data:\n  seed: -1\n", 6, 9, "data.seed: must be at least 0, but it is -1"),
        (
            "program: 5\nchip: ascend910b3\n",
            1,
            10,
            'program: expected text, but 5 is a whole number; write "5" in quotes',
        ),
    ],
)
def test_wrong_run_file_is_refused_at_its_place(
    tmp_path: Path, text: str, line: int, column: int, message: str
) -> None:
    """Every kind of fault in a run file is reported at its exact line and column."""
    path = write(tmp_path, text)

    (found,) = refusals(path)

    assert message in found.message
    assert (found.file, found.line, found.column) == (str(path), line, column)


def test_errors_of_file_and_chip_are_reported_together(tmp_path: Path) -> None:
    """One attempt shows the faults of the run file, of its chip section and of the overrides."""
    text = "program: gemm\nchip: {extends: ascend910c, dies: 0}\nlaunch: {blocks: 0}\nnote: 1\n"

    found = refusals(write(tmp_path, text), "data.seed=x")

    assert {(diagnostic.line, diagnostic.column) for diagnostic in found} == {
        (2, 35),
        (3, 18),
        (4, 1),
        (None, None),
    }


def test_malformed_overrides_of_a_run_are_refused(tmp_path: Path) -> None:
    """A malformed override is an error of the arguments, before anything is read."""
    with pytest.raises(ArgumentError, match=r"--set launch\.blocks: there is no '='"):
        load_run(write(tmp_path), ["launch.blocks"])


def test_wrong_parameters_are_refused_where_they_were_written(tmp_path: Path) -> None:
    """The program's own model is checked with places: in the file, and in the override."""
    path = write(tmp_path, RUN + "lunch: {blocks: 2}\n")

    with pytest.raises(ConfigError) as caught:
        load_run(path, ["problem.n=many"]).parameters(Parameters)

    override, section = caught.value.diagnostics
    assert str(override).startswith("--set problem.n=many: problem.n: expected a whole number")
    assert (section.file, section.line, section.column) == (str(path), 5, 1)
    assert "unknown key 'lunch' at the top level; did you mean 'launch'?" in section.message


def test_missing_program_is_reported_at_its_key(tmp_path: Path) -> None:
    """A program that does not exist is reported at the value in the run file, or at its override."""
    run = load_run(write(tmp_path, "chip: ascend910b3\nprogram: no/such.py\n"))
    replaced = load_run(run.path, ["program=nothing_like_it"])

    with pytest.raises(ProgramError, match=r"run\.yaml:2:10: there is no program file '.*such\.py'"):
        run.program_file()
    with pytest.raises(ProgramError, match=r"--set program=nothing_like_it: there is no program named"):
        replaced.program_file()


def test_program_path_counts_from_the_run_file_or_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program path in the run file counts from that file, one given with --set from the current folder."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "other.py").touch()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "kernel.py").touch()
    path = write(tmp_path, "program: ./kernel.py\nchip: ascend910c\n")

    assert load_run(path).program_file() == tmp_path / "kernel.py"
    assert load_run(path, ["program=other.py"]).program_file().resolve() == tmp_path / "here" / "other.py"


def test_resolved_run_is_stable_plain_data(tmp_path: Path) -> None:
    """Equal runs in files of another order and name give the same JSON text, and every figure is in it."""
    first = write(tmp_path, RUN + "tiling: {a: 1, b: 2}\n")
    second = write(
        tmp_path, "tiling: {b: 2, a: 1}\nchip: ascend910b3\nproblem: {m: 256}\nprogram: gemm\n", "other.yaml"
    )

    texts = [json.dumps(load_run(path).resolved()) for path in (first, second)]

    assert texts[0] == texts[1]
    assert json.loads(texts[0])["chip"]["cores"]["aic_per_die"]["value"] == 20
    assert json.loads(texts[0])["sections"] == {"problem": {"m": 256}, "tiling": {"a": 1, "b": 2}}


def test_a_run_can_be_made_from_what_it_resolved_to(tmp_path: Path) -> None:
    """Written as JSON and read back, a run resolves to the same, on the chip as it was changed; overrides go on top."""
    text = RUN + "tiling: {a: [1, 2]}\nlaunch: {blocks: 3}\n"
    first = load_run(write(tmp_path, text), ["chip.clock_hz=1.5e9", "problem.m=64"])
    kept = tmp_path / "result.json"
    config = json.loads(json.dumps(first.resolved()))

    assert rerun(config, kept).resolved() == first.resolved()
    assert rerun(config, kept).program_file() == first.program_file()
    changed = rerun(config, kept, ["problem.m=32", "chip.scalar.issue_cycles=7"])
    assert (changed.sections["problem"], changed.chip.scalar.issue_cycles.value) == ({"m": 32}, 7)
    assert changed.chip.clock_hz.value == 1.5e9
    assert rerun(config, kept, ["chip=ascend910b2"]).chip == load_chip("ascend910b2")


def test_the_program_of_a_run_made_from_what_it_resolved_to(tmp_path: Path) -> None:
    """A program of the user's own is the file that is named with the run; if it is gone, its path is said."""
    config = {**load_run(write(tmp_path)).resolved(), "program": "kernel.py"}
    config["program_file"] = str(tmp_path / "kernel.py")
    kept = tmp_path / "out" / "result.json"
    with pytest.raises(ProgramError) as caught:
        rerun(config, kept).program_file()
    assert str(caught.value).startswith(f"{kept}: there is no program file '{tmp_path}/kernel.py'")

    (tmp_path / "kernel.py").touch()
    assert rerun(config, kept).program_file() == tmp_path / "kernel.py"


def test_missing_run_file_is_refused(tmp_path: Path) -> None:
    """A run that does not exist is refused, whether it is named or given as a path."""
    with pytest.raises(ConfigError, match=r"none\.yaml: there is no such file"):
        load_run(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="there is no run named 'nothing_like_it'"):
        load_run("nothing_like_it")
