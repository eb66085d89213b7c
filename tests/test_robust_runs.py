"""Every run ends, says where it stood, and leaves whole files or the ones that were there."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernels import RIGHT, line_of, write_run
from program_runs import chip, traced
from test_cli import Command, Said, ascend_sim

from ascend_sim.config import load_run
from ascend_sim.engine.budget import GIB, Budget, peak_bytes
from ascend_sim.engine.machine import simulate_timing
from ascend_sim.errors import ArgumentError, BudgetError
from ascend_sim.kernel.trace import watched
from ascend_sim.report.files import write_bytes, write_files, write_text
from ascend_sim.report.partial import partial_text
from ascend_sim.simulate import prepare, simulate

__all__ = ["ascend_sim"]  # the fixture of the command line

ROOT = Path(__file__).parent.parent
RUN_FILES = ["Memory.csv", "PipeUtilization.csv", "ResourceConflictRatio.csv", "recording.npz", "result.json"]

TENSOR = 'u = core.tensor("u", Space.UB, 256, asc.fp32)\n'
STAGE = "@core.stage(asc.AIV)\ndef work(n):\n"
ENDLESS = {
    "instructions": f"{TENSOR}while True:\n    asc.adds(u, u, 1.0)\n",
    "calls of a stage": f"{TENSOR}{STAGE}    asc.adds(u, u, 1.0)\nwhile True:\n    work(0)\n",
    "new stages": f"{TENSOR}{STAGE}    asc.adds(u, u, n)\nn = 0.0\nwhile True:\n    work(n := n + 1.0)\n",
    "one stage": f"{TENSOR}{STAGE}    while True:\n        asc.adds(u, u, 1.0)\nwork(0)\n",
    "refusals": f"{TENSOR}while True:\n    asc.set_flag(Pipe.MTE2, Pipe.V, 99)\n",
}
"""Kernels whose loops never stop, by what they emit."""

VECTORS = f"{TENSOR}for _ in range(100):\n    asc.adds(u, u, 1.0)\n"
"""A kernel without a move, so without a single event of the memory system."""

CHILD = """
import os, resource, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from ascend_sim import cli
from ascend_sim.engine.budget import Budget

def stand(*_):
    print("here", flush=True)
    time.sleep(60)

{patch}
cli.main(sys.argv[1:])
"""
"""A process of its own that stands at a known place until it is interrupted."""


def names(folder: Path) -> list[str]:
    """The names of all files of *folder*, hidden ones too."""
    return sorted(one.name for one in folder.iterdir())


def child(patch: str, *arguments: object) -> subprocess.Popen[str]:
    """`ascend-sim` with *arguments* in a process whose modules *patch* has changed."""
    command = [sys.executable, "-c", CHILD.replace("{patch}", patch), *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)


def interrupted(patch: str, *arguments: object) -> Said:
    """What is left of such a process that gets SIGINT where it says that it is."""
    with child(patch, *arguments) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=50)
    return Said(process.returncode, out, err)


@pytest.mark.parametrize("body", ENDLESS.values(), ids=ENDLESS)
def test_a_kernel_that_never_stops_is_ended_while_it_is_traced(ascend_sim: Command, tmp_path: Path, body: str) -> None:
    """Whatever an endless loop emits, --max-instructions ends it, at the line of the loop."""
    run = write_run(tmp_path, body)
    said = ascend_sim("run", run, "--max-instructions", 5000, "--out", tmp_path / "out")

    line = line_of(body, "set_flag" if "set_flag" in body else "asc.adds")
    assert (said.code, len(said.err.splitlines())) == (3, 1)
    assert f"kernel.py:{line}: stopped by --max-instructions 5000: 5,00" in said.err
    assert "die0.core0.veccore0 is here" in said.err
    assert "loop of the kernel that never ends; nothing was saved" in said.err
    assert names(tmp_path / "out") == []


def test_a_checked_run_is_limited_too(ascend_sim: Command, tmp_path: Path) -> None:
    """The check before a run traces the kernel as well, and must not run for ever either."""
    run = write_run(tmp_path, ENDLESS["instructions"])
    said = ascend_sim("run", run, "--check", "--max-instructions", 5000)

    assert (said.code, "stopped by --max-instructions 5000" in said.err) == (3, True)


def test_the_limit_of_instructions_is_exact(tmp_path: Path) -> None:
    """A program of exactly the limit passes, barriers and repeated stages counted; one less ends the tracing."""
    stage = f"{STAGE}    asc.adds(u, u, n)\n    asc.muls(u, u, n)\n"
    body = f"{VECTORS}{stage}for n in (1.0, 2.0, 1.0, 2.0):\n    work(n)\n"
    run = load_run(write_run(tmp_path, body))
    total = prepare(run)[2].instructions

    with Budget(max_instructions=total).tracing():
        assert prepare(run)[2].instructions == total
    with Budget(max_instructions=total - 1).tracing(), pytest.raises(BudgetError, match=f": {total:,} instructions"):
        prepare(run)


def test_the_tracing_is_watched_to_its_end(tmp_path: Path) -> None:
    """A watch that wants to be told of every instruction hears of all of them, and of none after it has gone."""
    run, heard = load_run(write_run(tmp_path, VECTORS)), []
    with watched(lambda traced, *_: heard.append(traced) or 0):
        total = prepare(run)[2].instructions
    count = len(heard)
    prepare(run)

    assert (heard, count) == (sorted(heard), len(heard))
    assert heard[0] == 1
    assert heard[-1] == total


def test_executed_instructions_are_limited(tmp_path: Path) -> None:
    """A program that was traced without a budget is ended when it has executed too many instructions."""
    program = traced("vector_add", {"problem": {"length": 1 << 22}}, chip("ascend910b3"))

    with pytest.raises(BudgetError, match=r"by --max-instructions 50: .* of [\d,]+ instructions have been exec"):
        simulate_timing(program, chip("ascend910b3"), symmetry=False, observers=[Budget(max_instructions=50)])


@pytest.mark.parametrize("body", [RIGHT, VECTORS], ids=["moves", "no moves"])
def test_the_limit_of_cycles_is_exact(tmp_path: Path, body: str) -> None:
    """A run of exactly the limit passes, one cycle less ends it: also one that never waits for the memory system."""
    run = load_run(write_run(tmp_path, body))
    cycles = simulate(run, data=False).result.cycles

    assert simulate(run, data=False, observers=[Budget(max_cycles=cycles)]).result.cycles == cycles
    with pytest.raises(BudgetError, match=f"stopped by --max-cycles {cycles - 1}: the clock stands at {cycles:,} cyc"):
        simulate(run, data=False, observers=[Budget(max_cycles=cycles - 1)])


@pytest.mark.parametrize("body", [RIGHT, ENDLESS["calls of a stage"]], ids=["timing or tracing", "endless"])
def test_memory_is_limited(ascend_sim: Command, tmp_path: Path, body: str) -> None:
    """A process that holds more than --max-memory ends with what it holds and where it stands."""
    said = ascend_sim("run", write_run(tmp_path, body), "--max-memory", 0.01)

    assert said.code == 3
    assert "stopped by --max-memory 0.01: the process has held 0." in said.err
    assert f"{tmp_path / 'kernel.py'}:" in said.err


def test_memory_is_limited_in_the_timing() -> None:
    """The memory is looked at while the clock runs, also of a program that was traced without a budget."""
    program = traced("vector_add", {"problem": {"length": 1 << 20}}, chip("ascend910b3"))

    with pytest.raises(BudgetError, match=r"--max-memory 0\.01: .*; die0\.core0\.\w+ stands here, at \w+ on PIPE_"):
        simulate_timing(program, chip("ascend910b3"), observers=[Budget(max_memory=0.01)])


def test_the_peak_is_of_this_process() -> None:
    """The peak counts what was held and is free again, and is not that of the process that started this one."""
    held = bytearray(peak_bytes() + (64 << 20))
    held[:: 4096] = b"x" * len(held[:: 4096])
    size = len(held)
    del held
    code = "from ascend_sim.engine.budget import peak_bytes; print(peak_bytes())"
    small = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert size <= peak_bytes() < size + GIB
    assert int(small.stdout) < size


@pytest.mark.parametrize(
    ("option", "value"), [("--max-cycles", 0), ("--max-instructions", -1), ("--max-memory", 0), ("--max-memory", "nan")]
)
def test_limits_that_nothing_keeps_are_refused(ascend_sim: Command, tmp_path: Path, option: str, value: object) -> None:
    """A limit of nothing is a mistake of the user, not of the program."""
    said = ascend_sim("run", write_run(tmp_path), option, value)

    assert said.code == 2
    assert said.err.startswith(f"{option} ")
    assert "write more than 0" in said.err


def test_partial_json(ascend_sim: Command, tmp_path: Path) -> None:
    """A run that a limit ends in its timing leaves partial.json with all its keys, in place of an earlier result."""
    run, out = write_run(tmp_path), tmp_path / "out"
    assert ascend_sim("run", run, "--out", out, "--trace").code == 0
    said = ascend_sim("run", run, "--out", out, "--no-data", "--max-cycles", 2600)
    found = json.loads((out / "partial.json").read_text(encoding="utf-8"))

    assert said.code == 3
    assert said.err.endswith(f"saved {out / 'partial.json'}, and there is no result\n")
    assert names(out) == ["partial.json"]
    assert list(found) == [
        "schema", "program", "chip", "stopped", "die", "cycles", "time_us", "instructions_executed",
        "instructions_total", "pipes", "memory", "standing",
    ]  # fmt: skip
    assert (found["schema"], found["program"], found["chip"]) == ("ascend-sim/partial/1", "kernel", "ascend910b3")
    assert found["stopped"].startswith(f"{tmp_path / 'kernel.py'}:{line_of(RIGHT, 'set_flag')}: stopped by --max-cyc")
    assert found["cycles"] > 2600
    assert found["time_us"] == pytest.approx(found["cycles"] / 1800)
    assert (found["instructions_executed"], found["instructions_total"]) == (1, 8)
    assert 0 < found["pipes"]["aiv_mte2_ratio"] < 1
    assert found["pipes"]["aiv_vec_ratio"] == 0
    assert found["memory"] == {
        "hbm_read_bytes": 1024, "hbm_write_bytes": 0, "l2_read_bytes": 1024, "l2_write_bytes": 0
    }
    standing = found["standing"]["aiv"]
    lines = {pipe: at and (int(at["line"].split(":")[-1]), at["instruction"]) for pipe, at in standing["pipes"].items()}
    assert (standing["core"], standing["executed"], standing["of"]) == ("die0.core0.veccore0", 1, 8)
    assert lines == {
        "PIPE_S": None,
        "PIPE_MTE2": (line_of(RIGHT, "set_flag"), "set_flag"),
        "PIPE_V": (line_of(RIGHT, "wait_flag"), "wait_flag"),
        "PIPE_MTE3": (line_of(RIGHT, "wait_flag(Pipe.V"), "wait_flag"),
    }


@pytest.mark.parametrize("symmetry", [True, False])
def test_partial_shares_grow_into_those_of_the_result(symmetry: bool) -> None:
    """At its last cycle a partial run has executed everything, with the shares and bytes of the whole run."""
    run = load_run("flash_attention_small", [f"symmetry={str(symmetry).lower()}"])
    budget = Budget()
    result = simulate(run, data=False, observers=[budget]).result
    assert budget.reached is not None
    found = json.loads(partial_text(budget.reached, run.chip_name, "interrupted"))

    assert found["cycles"] == result.cycles
    assert found["instructions_executed"] == found["instructions_total"] == result.simulation["program_instructions"]
    assert found["pipes"] == {name: pytest.approx(result.pipes[name]) for name in found["pipes"]}
    assert found["memory"] == {name: result.memory[name] for name in found["memory"]}
    assert all(at is None for core in found["standing"].values() for at in core["pipes"].values())


def test_a_die_that_is_done_counts_with_all_it_did() -> None:
    """A run that is ended on its second die has executed all of the first and a part of the second."""
    on = chip("ascend910c")
    program = traced("vector_add", {"problem": {"length": 1 << 20}}, on)
    first, second = (sum(one.length for one in program.streams if one.core.die == die) for die in (0, 1))

    class SecondDie(Budget):
        """Ends the run as soon as the second die has executed some instructions."""

        def advanced(self, now, machine):
            super().advanced(now, machine)
            if self.reached.die == 1 and self.reached.executed > first + 20:
                raise KeyboardInterrupt

    budget = SecondDie()
    with pytest.raises(KeyboardInterrupt):
        simulate_timing(program, on, symmetry=False, observers=[budget])

    assert budget.reached.until(0) > budget.reached.until(1) > 0
    assert first < budget.reached.executed < first + second


def test_a_result_takes_the_place_of_a_partial_one(ascend_sim: Command, tmp_path: Path) -> None:
    """The files of a folder are of one run: what an earlier one left and a later one does not write is gone."""
    run, out = write_run(tmp_path), tmp_path / "out"
    ascend_sim("run", run, "--out", out, "--max-cycles", 1)
    (out / "mine.txt").write_text("kept", encoding="utf-8")
    assert ascend_sim("run", run, "--out", out, "--trace").code == 0
    with_trace = names(out)
    assert ascend_sim("run", run, "--out", out).code == 0

    assert with_trace == sorted([*RUN_FILES, "trace.json", "mine.txt"])
    assert names(out) == sorted([*RUN_FILES, "mine.txt"])


def test_a_look_into_a_run_goes_with_it(ascend_sim: Command, tmp_path: Path) -> None:
    """A page and a picture of an earlier run do not stand beside the result of a later one."""
    run, out = write_run(tmp_path), tmp_path / "out"
    assert ascend_sim("run", run, "--out", out).code == 0
    assert ascend_sim("report", out).code == 0
    assert ascend_sim("timeline", out).code == 0
    assert names(out) == sorted([*RUN_FILES, "report.html", "timeline.png"])

    assert ascend_sim("run", run, "--out", out).code == 0
    assert names(out) == RUN_FILES


def test_without_a_folder_a_limit_says_how_to_save(ascend_sim: Command, tmp_path: Path) -> None:
    """Without --out nothing is written, and the message names the option that would have saved something."""
    said = ascend_sim("run", write_run(tmp_path), "--max-cycles", 1)

    assert (said.code, said.err.endswith("nothing was saved (--out DIR saves how far a run came)\n")) == (3, True)


def test_an_interrupt_in_tracing(tmp_path: Path) -> None:
    """Ctrl-C in an endless Python loop of a kernel, which no limit sees, ends the run and keeps the old files."""
    body = "import time\nprint('here', flush=True)\ntime.sleep(60)\n"
    out = tmp_path / "out"
    out.mkdir()
    (out / "result.json").write_text("old", encoding="utf-8")
    said = interrupted("", "run", write_run(tmp_path, body), "--out", out)

    assert said == Said(130, "", "interrupted: nothing was saved, since the timing had not begun\n")
    assert names(out) == ["result.json"]


def test_an_interrupt_in_the_timing(tmp_path: Path) -> None:
    """Ctrl-C in the timing leaves partial.json, and one line that names it."""
    out = tmp_path / "out"
    patch = (
        "advanced = Budget.advanced\n"
        "Budget.advanced = lambda self, now, machine: (advanced(self, now, machine), now > 2600 and stand())"
    )
    said = interrupted(patch, "run", write_run(tmp_path), "--out", out)
    found = json.loads((out / "partial.json").read_text(encoding="utf-8"))

    assert said == Said(130, "", f"interrupted: saved {out / 'partial.json'}, and there is no result\n")
    assert names(out) == ["partial.json"]
    assert (found["stopped"], found["instructions_executed"]) == ("interrupted", 1)


def test_an_interrupt_while_files_are_written(tmp_path: Path) -> None:
    """Ctrl-C while the result goes to the disk leaves the files of the earlier run, whole and alone."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "result.json").write_text("old", encoding="utf-8")
    said = interrupted("os.fsync = stand", "run", write_run(tmp_path), "--out", out)

    assert (said.code, said.out) == (130, "")
    assert said.err.startswith("interrupted: nothing was saved, since the result was being written")
    assert len(said.err.splitlines()) == 1
    assert names(out) == ["result.json"]
    assert (out / "result.json").read_text(encoding="utf-8") == "old"


def test_an_interrupt_while_files_take_their_places(tmp_path: Path) -> None:
    """Ctrl-C between the first and the last new file waits until all are there, and then ends the run."""
    out = tmp_path / "out"
    patch = (
        "replace = os.replace\n"
        "os.replace = lambda *paths: (replace(*paths), os.kill(os.getpid(), signal.SIGINT))"
    )
    with child(patch, "run", write_run(tmp_path), "--out", out) as process:
        printed, complaint = process.communicate(timeout=50)

    assert (process.returncode, printed, complaint) == (130, "", "interrupted: the files are complete\n")
    assert names(out) == RUN_FILES


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """Where the disk takes only a part of a file, the run ends with 2 and names it; the old files stay, alone."""
    run, out = write_run(tmp_path), tmp_path / "out"
    with child("", "run", run, "--out", out) as process:
        process.communicate(timeout=50)
    before = {name: (out / name).read_bytes() for name in RUN_FILES}
    patch = "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))"
    with child(patch, "run", run, "--out", out, "--no-data") as process:
        _, complaint = process.communicate(timeout=50)

    assert process.returncode == 2
    assert complaint.startswith(f"{out / 'result.json'}: cannot be written: File too large; ")
    assert {name: (out / name).read_bytes() for name in names(out)} == before


@pytest.mark.parametrize("stop", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt(), ValueError()])
def test_a_group_of_files_is_written_whole_or_not_at_all(tmp_path: Path, stop: BaseException) -> None:
    """Whatever goes wrong with the second file, the first one and the stale one are as they were, and nothing else."""

    def parts() -> Iterator[str]:
        yield "half"
        raise stop

    first, second, stale = (tmp_path / name for name in ("first", "second", "stale"))
    first.write_text("old", encoding="utf-8")
    stale.write_text("old", encoding="utf-8")
    expected = ArgumentError if isinstance(stop, OSError) else type(stop)
    with pytest.raises(expected) as caught:
        write_files({first: ["new"], second: parts()}, [stale])

    assert names(tmp_path) == ["first", "stale"]
    assert first.read_text(encoding="utf-8") == "old"
    if isinstance(stop, OSError):
        assert str(caught.value).startswith(f"{second}: cannot be written: No space left on device; choose another")


def test_files_are_on_the_disk_before_they_take_their_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All files are synchronised before any takes its place, and the first named takes its place last."""
    calls: list[str] = []
    real = os.replace
    monkeypatch.setattr(os, "fsync", lambda _: calls.append("sync"))
    monkeypatch.setattr(os, "replace", lambda old, new: (calls.append(Path(new).name), real(old, new)))
    write_files({tmp_path / "a": ["1"], tmp_path / "b": b"2"})

    assert calls == ["sync", "sync", "b", "a"]
    assert [(tmp_path / name).read_bytes() for name in names(tmp_path)] == [b"1", b"2"]


def test_places_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in the place of a file, a file in that of a folder and a folder without permission are named."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("old", encoding="utf-8")
    with pytest.raises(ArgumentError, match="folder: cannot be written: is no regular file"):
        write_text(tmp_path / "folder", "new")
    with pytest.raises(ArgumentError, match="inside: cannot be written: Not a directory"):
        write_text(tmp_path / "file" / "inside", "new")

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(ArgumentError, match="file: cannot be written: Permission denied"):
        write_bytes(tmp_path / "file", b"new")
    assert names(tmp_path) == ["file", "folder"]


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    """What is no regular file, such as a pipe or a device, is refused and not replaced by a file."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArgumentError, match="pipe: cannot be written: is no regular file"):
        write_text(tmp_path / "pipe", "new")

    assert (tmp_path / "pipe").is_fifo()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """A file that is a link to another place is written there."""
    (tmp_path / "there").write_text("old", encoding="utf-8")
    (tmp_path / "link").symlink_to("there")
    write_text(tmp_path / "link", "new")

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there").read_text(encoding="utf-8") == "new"


def test_a_partial_result_that_cannot_be_written(ascend_sim: Command, tmp_path: Path) -> None:
    """A run that is ended and cannot save says both, with the code of the limit, and keeps the old result."""
    run, out = write_run(tmp_path), tmp_path / "out"
    assert ascend_sim("run", run, "--out", out).code == 0
    (out / "partial.json").mkdir()
    said = ascend_sim("run", run, "--out", out, "--max-cycles", 1)

    assert said.code == 3
    assert "stopped by --max-cycles 1" in said.err
    assert f"nothing was saved: {out / 'partial.json'}: cannot be written: is no regular file" in said.err
    assert names(out) == sorted([*RUN_FILES, "partial.json"])


def test_the_host_without_memory_is_no_bug(
    ascend_sim: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the host refuses memory, the run ends with 3 and says so, not as a bug of the simulator."""
    from ascend_sim import simulate as module

    def refused(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate 1 TiB")

    monkeypatch.setattr(module, "simulate", refused)
    said = ascend_sim("run", write_run(tmp_path))

    assert said.code == 3
    assert "no more memory to give (Unable to allocate 1 TiB)" in said.err


