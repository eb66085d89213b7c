"""The command line as its users meet it: what it prints, what it writes, and its exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from kernels import DEADLOCK, OVERFLOW, RIGHT, SET_TWICE, WITHOUT_FLAG, line_of, write_run

from ascend_sim import simulate as simulate_module
from ascend_sim.cli import main

ROOT = Path(__file__).parent.parent


class Said(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


class Command:
    """Calls the entry point as a shell would."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Said:
        """Run `ascend-sim` with *arguments*."""
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        said = self._capsys.readouterr()
        return Said(int(stop.value.code or 0), said.out, said.err)


@pytest.fixture
def ascend_sim(capsys: pytest.CaptureFixture[str]) -> Command:
    """The command."""
    return Command(capsys)


def test_run_prints_a_summary_and_writes_nothing(
    ascend_sim: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --out there is a summary on stdout, nothing on stderr, and no new file."""
    run = write_run(tmp_path)
    before = sorted(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    said = ascend_sim("run", run.name)

    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("kernel on ascend910b3  1 vector core\n")
    assert "against kernel_reference.py" in said.out
    assert sorted(tmp_path.iterdir()) == before


def test_run_writes_its_files(ascend_sim: Command, tmp_path: Path) -> None:
    """--out gets result.json, the CSV files and the recording, trace.json when asked for; the summary names them."""
    run, out = write_run(tmp_path), tmp_path / "deep" / "out"
    said = ascend_sim("run", run, "--out", out)

    assert said.code == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "Memory.csv", "PipeUtilization.csv", "ResourceConflictRatio.csv", "recording.npz", "result.json"
    ]  # fmt: skip
    names = ("result.json", "PipeUtilization.csv", "Memory.csv", "ResourceConflictRatio.csv", "recording.npz")
    assert said.out.endswith(f"written: {', '.join(f'{out}/{name}' for name in names)}\n")

    assert ascend_sim("run", run, "--out", out, "--trace", "--no-record").code == 0
    assert json.loads((out / "trace.json").read_text())["traceEvents"]
    assert not (out / "recording.npz").exists()  # it was of the run before


def test_json_is_the_file_and_nothing_else(ascend_sim: Command, tmp_path: Path) -> None:
    """--json prints what --out writes, apart from the host's time."""
    run = write_run(tmp_path)
    said = ascend_sim("run", run, "--json", "--out", tmp_path / "out")

    assert said.out == (tmp_path / "out" / "result.json").read_text()
    assert json.loads(said.out)["numerics"]["reference"] == "kernel_reference.py"


def test_data_can_be_switched_off(ascend_sim: Command, tmp_path: Path) -> None:
    """--no-data times a run that has wrong numbers; --set reaches the run."""
    run = write_run(tmp_path, WITHOUT_FLAG)
    said = ascend_sim("run", run, "--no-data", "--json", "--set", "chip.clock_hz=1e9")

    assert said.code == 0
    assert json.loads(said.out)["numerics"] is None
    assert json.loads(said.out)["config"]["chip"]["clock_hz"]["value"] == 1e9


def test_a_trace_window(ascend_sim: Command, tmp_path: Path) -> None:
    """--trace-window asks for a trace and limits it."""
    run = write_run(tmp_path)
    said = ascend_sim("run", run, "--out", tmp_path, "--trace-window", "1.5:1.6", "--trace-all")

    assert said.code == 0
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    moves = [event for event in events if event["ph"] == "X"]
    assert moves
    assert all(event["ts"] < 1.6 and event["ts"] + event["dur"] > 1.5 for event in moves)


def test_wrong_numbers_leave_with_3_and_a_result(ascend_sim: Command, tmp_path: Path) -> None:
    """The result of a run with wrong numbers is written and printed, then the error."""
    run = write_run(tmp_path, WITHOUT_FLAG)
    said = ascend_sim("run", run, "--out", tmp_path / "out")

    assert said.code == 3
    assert "NaN or infinite" in said.out
    assert re.fullmatch(rf"{tmp_path}/kernel.py: wrong numbers: .*\n", said.err)
    assert json.loads((tmp_path / "out" / "result.json").read_text())["numerics"]["relative_error"] is None


@pytest.mark.parametrize(
    ("body", "text", "message"),
    [
        (DEADLOCK, "wait_flag", "deadlock on die0.core0.veccore0: PIPE_V waits for set_flag PIPE_MTE2->PIPE_V, id 0"),
        (SET_TWICE, "set_flag", "set_flag PIPE_MTE2->PIPE_V, id 0, is set again before"),
        (OVERFLOW, "u = ", "UB overflows at buffer 'u'"),
    ],
)
def test_wrong_programs_leave_with_3(ascend_sim: Command, tmp_path: Path, body: str, text: str, message: str) -> None:
    """Deadlock, flag misuse and what the hardware refuses: one line each, with the user's file and line."""
    said = ascend_sim("run", write_run(tmp_path, body))

    assert (said.code, said.out) == (3, "")
    for line in said.err.splitlines():
        assert re.match(rf"{re.escape(str(tmp_path))}/kernel\.py:\d+: ", line)
    assert f"{tmp_path}/kernel.py:{line_of(body, text)}" in said.err or "set again" in message
    assert message in said.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "gem"), "there is no run named 'gem'; did you mean 'gemm'?"),
        (("run", "no/such.yaml"), "there is no run file 'no/such.yaml'"),
        (("run", "kernel.py"), "kernel.py: is a program; write a run file with 'program: ...' and 'chip: ...'"),
        (("run", "run.yaml", "--set", "chip.clock_mhz=1"), "--set chip.clock_mhz=1: unknown key 'clock_mhz'"),
        (("run", "run.yaml", "--set", "nonsense"), "--set nonsense: there is no '=' in it"),
        (("run", "run.yaml", "--set", "launch.blocks=99"), "launch.blocks = 99 is outside 1..40"),
        (("run", "bad.yaml"), "bad.yaml:4:1: not valid YAML"),
        (("run", "run.yaml", "--trace"), "--trace writes trace.json and needs a folder for it: add --out DIR"),
        (("run", "run.yaml", "--out", "run.yaml"), "run.yaml: cannot be written to: File exists"),
        (("run", "run.yaml", "--out", ".", "--trace-window", "5:2"), "--trace-window 5:2: write BEGIN:END"),
        (("run", "broken.yaml"), "broken.py:1:11: syntax error"),
        (("list", "chip"), "there is no list of 'chip'; did you mean 'chips'? (chips, programs, configs, explor"),
        (("show", "gem"), "there is no program or run named 'gem'; did you mean 'gemm'?"),
        (("show", "gemm", "--core", "cube"), "--core cube: there is no such kind of core; write aic (cube) or aiv"),
        (("show", "gemm", "--chip", "ascend910"), "there is no chip named 'ascend910'"),
        (("show", "broken.py"), "broken.py:1:11: syntax error"),
        (("show", "lonely/kernel.py"), "lonely/kernel.py: no run file beside it names this program"),
        (("init", "run.yaml"), "run.yaml: cannot be made a folder"),
        (("run", "run.yaml", "--ot", "x"), "ascend-sim run: No such option: --ot (Possible options: --"),
        (("run",), "ascend-sim run: Missing argument"),
        (("runn",), "ascend-sim: No such command 'runn'. Did you mean 'run'?"),
        (("show", "gemm", "--limit", "0"), "--limit 0: there is nothing to show; write 1 or more"),
    ],
)
def test_wrong_input_leaves_with_2(
    ascend_sim: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    """One line on stderr that says what is wrong and what to do, nothing on stdout, and no traceback."""
    write_run(tmp_path)
    write_run(tmp_path / "lonely").unlink()
    (tmp_path / "bad.yaml").write_text("program: kernel.py\nchip: ascend910b3\nlaunch: [\n")
    (tmp_path / "broken.py").write_text("def broken(\n")
    (tmp_path / "broken.yaml").write_text("program: broken.py\nchip: ascend910b3\n")
    monkeypatch.chdir(tmp_path)
    said = ascend_sim(*arguments)

    assert (said.code, said.out) == (2, "")
    assert message in said.err
    assert len(said.err.splitlines()) == 1


def test_all_mistakes_are_reported_together(ascend_sim: Command, tmp_path: Path) -> None:
    """Two wrong overrides are two lines."""
    said = ascend_sim("run", write_run(tmp_path), "--set", "chip.lunch.seconds=1", "--set", "chip.hbm.byte=1")

    assert said.code == 2
    assert {line.split(": ")[0] for line in said.err.splitlines()} == {
        "--set chip.lunch.seconds=1", "--set chip.hbm.byte=1",
    }  # fmt: skip


def test_places_are_relative_to_the_current_folder(
    ascend_sim: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files below the current folder are named without it, also inside a message."""
    write_run(tmp_path, DEADLOCK)
    monkeypatch.chdir(tmp_path)

    assert ascend_sim("run", tmp_path / "run.yaml").err.startswith(f"kernel.py:{line_of(DEADLOCK, 'wait')}: deadlock")


def test_our_own_bugs_leave_with_1(
    ascend_sim: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected exception is one line that asks for a report; --debug, anywhere, adds the traceback."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug\nof ours")

    monkeypatch.setattr(simulate_module, "simulate", broken)
    run = write_run(tmp_path)
    said = ascend_sim("run", run)

    assert said.code == 1
    assert len(said.err.splitlines()) == 1
    assert re.search(r"test_cli\.py:\d+: internal error: ZeroDivisionError: a bug of ours; this is a bug of", said.err)
    assert "Traceback" in ascend_sim("run", run, "--debug").err


def test_an_interrupt_says_what_was_saved(ascend_sim: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the command with the shell's code for it, and one line says what was saved."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(simulate_module, "simulate", interrupted)

    message = "interrupted: nothing was saved, since the timing had not begun\n"
    assert ascend_sim("run", write_run(tmp_path)) == Said(130, "", message)


def test_a_closed_pipe_is_quiet() -> None:
    """`ascend-sim show ... | head -1` ends without a complaint, with the shell's code for a closed pipe."""
    command = [sys.executable, "-m", "ascend_sim.cli", "show", "softmax", "--limit", "100000"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("softmax on ")
        process.stdout.close()
        complaint = process.stderr.read()

    assert (process.returncode, complaint) == (141, "")


def test_help_and_version(ascend_sim: Command) -> None:
    """Without arguments there is the help; --version names the program."""
    said = ascend_sim()

    assert said.code == 0
    assert all(command in said.out for command in ("run", "list", "show", "init", "--version"))
    assert ascend_sim("--version").out.startswith("ascend-sim ")


@pytest.mark.parametrize(
    ("what", "name", "about"),
    [
        ("chips", "ascend910b3", "A2, 20 cube cores at 1.8 GHz"),
        ("programs", "gemm", "C = A B on the cube cores"),
        ("configs", "vector_add", "z = x + y on all vector cores"),
    ],
)
def test_list(ascend_sim: Command, what: str, name: str, about: str) -> None:
    """Each line is a name and what it is; bases of chips and references are not listed."""
    said = ascend_sim("list", what)

    assert said.code == 0
    assert re.search(rf"^{name} +{re.escape(about)}", said.out, re.MULTILINE)
    assert "dav_c220" not in said.out
    assert "_reference" not in said.out


def test_show_says_which_run_it_took(ascend_sim: Command) -> None:
    """A program is shown as the first run file that names it has it; the header names both files."""
    said = ascend_sim("show", "gemm", "--limit", 3)

    assert said.code == 0
    header = said.out.splitlines()[0]
    assert header.startswith("gemm on ascend910b2 (")
    assert "programs/gemm.py, " in header
    assert "configs/runs/gemm.yaml): C = A B" in header


def test_show_takes_overrides_chips_and_kinds_of_cores(ascend_sim: Command, tmp_path: Path) -> None:
    """--chip and --set change what is built, --core what is listed; a program of one's own finds its run file."""
    write_run(tmp_path)
    options = ("--chip", "ascend910b1", "--core", "aiv", "--set", "launch.blocks=2")
    said = ascend_sim("show", tmp_path / "kernel.py", *options)

    assert said.code == 0
    assert said.out.startswith("kernel on ascend910b1 (")
    assert "vector core die0.core0.veccore0: 8 instructions; the first of 2 such cores" in said.out
    assert f"kernel.py:{line_of(RIGHT, 'adds')})" in said.out
    assert "vector core" not in ascend_sim("show", tmp_path / "kernel.py", "--core", "aic").out


def test_init_gives_a_working_example(ascend_sim: Command, tmp_path: Path) -> None:
    """The copied run file runs the copied program, so that editing it has an effect."""
    folder = tmp_path / "mine"
    said = ascend_sim("init", folder)
    run = folder / "vector_add.yaml"

    assert said.code == 0
    assert {path.name for path in folder.iterdir()} == {"vector_add.py", "vector_add_reference.py", "vector_add.yaml"}
    assert said.out.endswith(f"run it with: ascend-sim run {run}\n")
    program = folder / "vector_add.py"
    program.write_text(program.read_text().replace("def vector_add(", "def my_add("))
    small = ("--set", "problem.length=5000", "--set", "problem.tile=512")
    assert ascend_sim("run", run, *small).out.startswith("my_add on ")


def test_init_overwrites_nothing(ascend_sim: Command, tmp_path: Path) -> None:
    """Files that exist are named, one a line, and stay as they are; nothing else is written."""
    (tmp_path / "vector_add.py").write_text("mine")
    said = ascend_sim("init", tmp_path)

    assert said.code == 2
    assert said.err.startswith(f"{tmp_path}/vector_add.py: exists already and is not overwritten; choose another")
    assert len(said.err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["vector_add.py"]
    assert (tmp_path / "vector_add.py").read_text() == "mine"
