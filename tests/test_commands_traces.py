"""The commands trace and view: which file they write or show, of which run, and what they refuse."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from kernels import write_run
from test_cli import Command, ascend_sim
from traces import arrows, slices

__all__ = ["ascend_sim"]


@pytest.fixture
def folder(ascend_sim: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run, and as current folder the one with its run file."""
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    assert ascend_sim("run", write_run(tmp_path).name, "--out", out).code == 0
    return out


def read(path: Path) -> dict[str, Any]:
    """The trace in *path*."""
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def test_trace_of_a_folder_lies_in_it(ascend_sim: Command, folder: Path) -> None:
    """The recorded run is drawn into trace.json beside its result; the command says its size and what opens it."""
    said = ascend_sim("trace", folder)
    path = folder / "trace.json"
    size = path.stat().st_size / 1e6

    assert (said.code, said.err) == (0, "")
    assert said.out == (
        f"written: out/trace.json, {size:,.1f} MB: 8 instructions of 1 core, 2 arrows\n"
        f"open it with: ascend-sim view out/trace.json\n"
        f"or load it at ui.perfetto.dev, in chrome://tracing or in MindStudio Insight\n"
    )
    assert len(slices(read(path)["traceEvents"])) == 8


def test_trace_of_a_run_file_is_the_same_trace(ascend_sim: Command, folder: Path) -> None:
    """Simulated anew, the run has the same trace, in the current folder; --set changes it."""
    assert ascend_sim("trace", folder).code == 0
    assert ascend_sim("trace", "run.yaml").code == 0
    first = Path("trace.json").read_bytes()
    assert first == (folder / "trace.json").read_bytes()
    assert ascend_sim("trace", "run.yaml", "--set", "chip.sync.set_flag_cycles=9").code == 0
    assert Path("trace.json").read_bytes() != first


def test_names_ending_in_gz_are_compressed(ascend_sim: Command, folder: Path) -> None:
    """The compressed file holds the same text."""
    assert ascend_sim("trace", folder, "-o", "t.json").code == ascend_sim("trace", folder, "-o", "t.json.gz").code == 0
    assert gzip.decompress(Path("t.json.gz").read_bytes()) == Path("t.json").read_bytes()


def test_options_choose_what_is_drawn(ascend_sim: Command, folder: Path) -> None:
    """A window, and traces without arrows and counters."""
    said = ascend_sim("trace", folder, "--no-arrows", "--no-counters")
    found = read(folder / "trace.json")
    assert said.out.startswith("written: out/trace.json, 0.0 MB: 8 instructions of 1 core\n")
    assert arrows(found["traceEvents"]) == []
    assert {event["ph"] for event in found["traceEvents"]} == {"M", "X", "B", "E"}
    whole = slices(found["traceEvents"])

    middle = max(one.begin for one in whole) / 1e3
    assert ascend_sim("trace", folder, "--from", middle).code == 0
    assert len(slices(read(folder / "trace.json")["traceEvents"])) == sum(one.end > 1e3 * middle for one in whole)
    assert ascend_sim("trace", folder, "--to", middle).code == 0
    assert len(slices(read(folder / "trace.json")["traceEvents"])) == sum(one.begin < 1e3 * middle for one in whole)


def test_cores_are_chosen_by_name(ascend_sim: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All simulated cores, one of them, or one that another was simulated for; the first group by default."""
    monkeypatch.chdir(tmp_path)
    run = ("trace", "gemm_small", "--no-counters")

    def drawn(*options: str) -> set[str]:
        assert ascend_sim(*run, *options).code == 0
        return {event["pid"] for event in read(Path("trace.json"))["traceEvents"]}

    assert drawn() == {"core0.cubecore0"}
    simulated = drawn("--cores", "all")
    assert len(simulated) > 1
    assert drawn("--cores", "core1,core0.cubecore0") == {"core0.cubecore0", "core1.cubecore0"}
    assert drawn("--cores", "core0-core2") == {f"core{number}.cubecore0" for number in range(3)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--from", "5", "--to", "2"), "--from 5 --to 2: write 0 or more for --from, and more than that for --to"),
        (("--from", "-1"), "--from -1 --to inf: write 0 or more for --from"),
        (("--from", "nan"), "--from nan --to inf: write 0 or more for --from"),
        (("--from", "5000"), "--from 5000: the run ends after "),
        (("--cores", "core7"), "--cores core7: no such cores worked in this run; there are core0, with veccore0"),
        (("--cores", "cube"), "--cores cube: is no name of cores; write core0, core0.cubecore0"),
        (("--set", "chip=x"), "--set chip=x: {folder} holds a finished run, which nothing can change"),
        (("-o", "missing/t.json"), "missing/t.json: cannot be written: No such file or directory; choose "),
    ],
)
def test_refusals_name_the_value_and_the_way_out(
    ascend_sim: Command, folder: Path, options: tuple[str, ...], message: str
) -> None:
    """What cannot be drawn ends with exit code 2 and one line, and no file is written."""
    said = ascend_sim("trace", folder, *options)

    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(message.format(folder="out"))
    assert not (folder / "trace.json").exists()


def test_programs_are_refused_with_what_to_write(ascend_sim: Command, folder: Path) -> None:
    """A program has no chip, so neither command can draw it."""
    for command in ("trace", "view"):
        said = ascend_sim(command, "kernel.py")
        assert (said.code, said.err.partition(";")[0]) == (2, "kernel.py: is a program")


class Browser:
    """Stands for the server and the browser: keeps what they were asked for."""

    def __init__(self) -> None:
        self.served: list[tuple[str, bytes, int]] = []
        self.opened: list[str] = []

    def serve(self, trace: Path, port: int, opened: Any) -> None:
        """Serve nothing, and say that it can be opened."""
        self.served.append((trace.name, trace.read_bytes(), port))
        opened("http://127.0.0.1:1234/")


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Browser:
    """The server and the browser of `view`."""
    found = Browser()
    monkeypatch.setattr("ascend_sim.report.viewer.serve", found.serve)
    monkeypatch.setattr("webbrowser.open", found.opened.append)
    return found


def test_view_of_a_folder_serves_its_trace(ascend_sim: Command, folder: Path, browser: Browser) -> None:
    """The trace is made for the viewer, and the folder stays as it is; the address is printed and opened."""
    before = sorted(folder.iterdir())
    said = ascend_sim("view", folder, "--port", "1234")
    ((name, content, port),) = browser.served

    assert (said.code, said.err) == (0, "")
    assert said.out == "kernel.trace.json is served at http://127.0.0.1:1234/\nCtrl-C ends it\n"
    assert (name, port, browser.opened) == ("kernel.trace.json", 1234, ["http://127.0.0.1:1234/"])
    assert sorted(folder.iterdir()) == before
    assert ascend_sim("trace", folder).code == 0
    assert content == (folder / "trace.json").read_bytes()


def test_view_of_a_run_file_and_without_a_browser(ascend_sim: Command, folder: Path, browser: Browser) -> None:
    """A run file is simulated, with --set; --no-browser leaves the address to the user."""
    assert ascend_sim("view", "run.yaml", "--set", "chip.sync.set_flag_cycles=9", "--no-browser").code == 0
    assert ascend_sim("trace", folder).code == 0

    assert browser.served[0][1] != (folder / "trace.json").read_bytes()
    assert browser.served[0][2] == 0
    assert browser.opened == []


@pytest.mark.parametrize("name", ["mine.json", "mine.json.gz"])
def test_view_of_a_trace_serves_that_file(ascend_sim: Command, folder: Path, browser: Browser, name: str) -> None:
    """A trace, also a compressed one, is served as it is, and takes no changes."""
    assert ascend_sim("trace", folder, "-o", name).code == 0
    said = ascend_sim("view", name)

    assert said.code == 0
    assert browser.served == [(name, Path(name).read_bytes(), 0)]
    refused = ascend_sim("view", name, "--set", "a=1")
    assert refused.code == 2
    assert refused.err == f"--set a=1: {name} is a trace, which nothing can change; name a run file\n"


def test_view_of_what_is_no_trace(ascend_sim: Command, folder: Path) -> None:
    """Another file of a run is refused by the viewer, with the command that writes a trace."""
    said = ascend_sim("view", folder / "result.json", "--no-browser")

    assert said.code == 2
    assert said.err.startswith("out/result.json: is no trace in Chrome's format; ")
