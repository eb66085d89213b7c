"""`ascend-sim explore` as its users meet it: what it prints and writes, its exit codes, its errors."""

from __future__ import annotations

import csv
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from explorations import POINTS, SPACE, stable, write_exploration

from ascend_sim.cli import main
from ascend_sim.explore import pool, search, store


class Command:
    """Calls the entry point as a shell would."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of `ascend-sim explore` with *arguments*."""
        with pytest.raises(SystemExit) as stop:
            main(["explore", *map(str, arguments)])
        said = self._capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return int(stop.value.code or 0), said.out, said.err


@pytest.fixture
def explore(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Command(capsys)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an exploration that is finished, beside its file e.yaml."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.raises(SystemExit) as stop:
        main(["explore", str(write_exploration(folder)), "--out", str(folder / "out"), "--quiet"])
    assert stop.value.code == 0
    return folder / "out"


def test_a_search_prints_the_best_points_and_the_reasons(explore: Command, tmp_path: Path) -> None:
    """Counts, the ten best in order, reasons without their numbers with an example, files and the next step."""
    write_exploration(tmp_path)
    code, out, err = explore("e.yaml", "--jobs", 1, "--quiet")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "e: 20 points: 11 done, 8 infeasible, 1 failed"
    assert re.fullmatch(r"this search    20 worked on in \d+ s, [\d.]+ points/s", lines[1])
    assert lines[3] == "Top 10 of 11"
    assert lines[4].split() == ["rank", "case_id", "time", "(us)", "a", "b"]
    ranked = [line.split() for line in lines[5:15]]
    assert [line[0] for line in ranked] == [str(rank) for rank in range(1, 11)]
    assert [float(line[2]) for line in ranked] == sorted(float(line[2]) for line in ranked)
    assert ranked[0][1:] == ["0", "1.557", "1", "1"]
    assert "infeasible: 8 points" in lines
    kind, example = lines[lines.index("infeasible: 8 points") + 1 :][:2]
    assert re.fullmatch(r"  8  capacity: UB overflows at buffer 'u.': it needs bytes N to N, the memory has N B", kind)
    said = "UB overflows at buffer 'u3': it needs bytes 196608 to 262144, the memory has 196608 B"
    assert example.startswith(f"     such as case 12: {said}")
    assert "failed: 1 point" in lines
    assert any(line.startswith("  1  deadlock: deadlock on die0.core0.veccore0") for line in lines)
    place = "explorations/e"
    assert lines[-2] == f"written: {place}/exploration.json, {place}/points.sqlite, {place}/points.csv"
    assert lines[-1] == f"next: ascend-sim explore report {place}"
    assert sorted(os.listdir(place)) == ["exploration.json", "points.csv", "points.sqlite"]
    with open(f"{place}/points.csv", encoding="utf-8", newline="") as file:
        eligible = [row for row in csv.DictReader(file) if row["eligible"] == "true"]
    best = min(eligible, key=lambda row: float(row["time_us"]))
    assert (best["case_id"], best["description"]) == ("0", "tiling.a=1 tiling.b=1")


def test_several_objectives_print_the_front(explore: Command, finished: Path, tmp_path: Path) -> None:
    """Of two objectives the points are listed that no other beats in both."""
    rest = "objectives: {time_us: minimize, instructions: maximize}\nconstraints: [ub_bytes < 196608]\n"
    file = write_exploration(tmp_path, SPACE + rest)
    code, out, err = explore(file, "--store", finished / "points.sqlite", "--quiet")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[1:3] == ["constraints    3 of the points that are done break one", "this search    20 known before"]
    assert lines[4] == "Pareto front"
    assert lines[5].split()[:5] == ["rank", "case_id", "time", "(us)", "instructions"]
    assert not Path("explorations/e/points.sqlite").exists()


def test_points_without_a_best_one_are_told(explore: Command, tmp_path: Path) -> None:
    """Where nothing can be simulated, or everything breaks a constraint, that is said, with exit code 0."""
    file = write_exploration(tmp_path, "space:\n  tiling.a: [4, 5]\n", name="a")
    code, out, _ = explore(file, "--quiet", "--jobs", 1)
    assert (code, out.splitlines()[3]) == (0, "no best point: none could be simulated")
    rest = "space:\n  tiling.a: [1, 2]\nconstraints: [ub_bytes < 5]\n"
    code, out, _ = explore(write_exploration(tmp_path, rest, name="b"), "--quiet", "--jobs", 1)
    assert (code, out.splitlines()[4]) == (0, "no best point: all that are done break a constraint")


def test_the_same_command_with_resume_shows_it_again(explore: Command, finished: Path) -> None:
    """A finished search is not done again: without --resume it is refused, with it nothing is worked on."""
    file = finished.parent / "e.yaml"
    code, out, err = explore(file, "--out", finished)
    message = "holds an exploration already; write --resume to go on with it, or write --out with another folder for a"
    assert (code, out, err) == (2, "", f"{finished}: {message} new one\n")
    before = stable(finished / "points.csv")
    code, out, err = explore(file, "--out", finished, "--resume", "--quiet")
    assert (code, err) == (0, "")
    assert out.splitlines()[1] == "this search    20 known before"
    assert stable(finished / "points.csv") == before


def test_a_key_of_the_file_can_be_set(explore: Command, finished: Path) -> None:
    """--set changes the exploration; a changed one is not gone on with."""
    file = finished.parent / "e.yaml"
    code, _, err = explore(file, "--out", finished, "--resume", "--set", "limits.max_cycles=5")
    assert code == 2
    assert f"{finished}: holds an exploration that differs from this one in limits.max_cycles (nothing there" in err
    code, _, err = explore(file, "--set", "limits.max_cycels=5")
    assert (code, "did you mean 'max_cycles'?" in err) == (2, True)


def test_a_table_is_exported_whole_or_as_far_as_it_is(explore: Command, finished: Path, tmp_path: Path) -> None:
    """CSV is points.csv byte for byte, Parquet has the same rows; of a search under way it is what is finished."""
    code, out, _ = explore("export", finished, "t.csv")
    assert (code, out) == (0, f"written: t.csv ({POINTS} points)\n")
    assert (tmp_path / "t.csv").read_bytes() == (finished / "points.csv").read_bytes()
    code, _, _ = explore("export", finished, "t.parquet")
    assert (code, pyarrow.parquet.read_table("t.parquet").num_rows) == (0, POINTS)
    with search.session(search_of(write_exploration(tmp_path)), tmp_path / "begun", None, False):
        code, out, _ = explore("export", "begun", "begun.csv")
    assert (code, out) == (0, "written: begun.csv (0 points; the search is not complete)\n")
    code, _, err = explore("export", "nowhere", "t.csv")
    message = "nowhere: there is no exploration; write one with `ascend-sim explore CONFIG --out DIR`\n"
    assert (code, err) == (2, message)


def search_of(file: Path) -> Any:
    """The exploration of *file*."""
    from ascend_sim.explore.config import load_exploration

    return load_exploration(file)


def test_help_is_that_of_the_search_and_names_the_others(explore: Command) -> None:
    """`explore --help` has the options of the search and the other commands; so has what follows a wrong option."""
    code, out, _ = explore("--help")
    assert code == 0
    assert out.startswith("Usage: ascend-sim explore [OPTIONS] {CONFIG}\n")
    options = ("--set", "--out", "--resume", "--store", "--jobs", "--scheduler", "--quiet")
    assert [word for word in (*options, "  report  ", "  export  ") if word not in out] == []
    assert "  search" not in out
    code, out, _ = explore("export", "--help")
    assert (code, out.splitlines()[0]) == (0, "Usage: ascend-sim explore export [OPTIONS] {DIR} {FILE}")
    assert explore()[::2] == (2, "ascend-sim explore: Missing argument 'CONFIG' (see ascend-sim explore --help)\n")
    code, _, err = explore("e.yaml", "--resum")
    assert code == 2
    assert err.startswith("ascend-sim explore: No such option: --resum (Possible options: --resume")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("e.yaml", "--jobs", "0"), "--jobs 0: there would be nobody to work; write 1 or more"),
        (
            ("e.yaml", "--jobs", "2", "--scheduler", "tcp://h:1"),
            "--jobs 2: the cluster at tcp://h:1 has workers of its own; leave --jobs out",
        ),
        (("steps.py",), "steps.py: is a program; write a run file with"),
        (("e.yaml", "--out", "e.yaml"), "e.yaml: cannot be written to: File exists; choose another folder"),
        (("e.yaml", "--store", "steps.py"), "steps.py: is no store of points; name another file with --store"),
        (("e.yaml", "--store", "no/p.sqlite"), "no/p.sqlite: cannot be opened; see that its folder exists"),
        (("report", "no"), "no: there is no exploration; write one with `ascend-sim explore CONFIG --out DIR`"),
        (("report", "no", "--top", "0"), "--top 0: there is nothing to write; write 1 or more"),
    ],
)
def test_wrong_arguments_are_told_and_nothing_is_begun(
    explore: Command, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    """One line with the way out, exit code 2, and no exploration in the folder."""
    write_exploration(tmp_path)
    code, out, err = explore(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert err.count("\n") == 1
    assert not list(tmp_path.glob("explorations/*/exploration.json"))


def test_a_store_that_is_locked_meanwhile_ends_the_search(
    explore: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program keeps the store to itself: exit code 2, what is finished, and how to go on; which then works."""
    file = write_exploration(tmp_path)
    monkeypatch.setattr(store, "_PATIENCE", 0.2)
    kept = store.Store.keep
    with closing(sqlite3.connect("p.sqlite", isolation_level=None, check_same_thread=False)) as other:

        def keep(self: store.Store, *arguments: Any) -> None:
            if arguments[1].number == 5:
                other.execute("BEGIN IMMEDIATE")
            kept(self, *arguments)

        monkeypatch.setattr(store.Store, "keep", keep)
        code, out, err = explore(file, "--store", "p.sqlite", "--jobs", 1, "--quiet")
        other.execute("ROLLBACK")
    assert (code, out) == (2, "")
    told = "p.sqlite: is locked by another program for more than 0.2 s; end that one "
    way_on = "(5 points are finished and kept; the same command with --resume goes on in explorations/e)\n"
    assert err == told + way_on
    monkeypatch.setattr(store.Store, "keep", kept)
    code, out, _ = explore(file, "--resume", "--jobs", 1, "--quiet")
    assert (code, out.splitlines()[0]) == (0, "e: 20 points: 11 done, 8 infeasible, 1 failed")
    assert out.splitlines()[1].startswith("this search    5 known before, 15 worked on in ")


def test_a_deadly_point_does_not_end_the_search(explore: Command, tmp_path: Path) -> None:
    """A kernel that kills its process, always: its points fail, with the reason, and the others are simulated."""
    rest = "space:\n  tiling.a: [1, 2]\n"
    code, out, err = explore(write_exploration(tmp_path, rest, deadly="always"), "--jobs", 1, "--quiet")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "e: 2 points: 1 done, 1 failed"
    assert "  1  host: its process was killed by SIGKILL" in out
    assert pool._TRIES == 3
