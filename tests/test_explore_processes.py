"""Searches by real processes, which are killed on the way: nothing is lost, and the table is the same."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from explorations import POINTS, stable, write_exploration

_PATIENCE = 60.0
"""Seconds that anything here may take on a busy machine."""

_DELAY = 0.08
"""Seconds that each point takes, so that there is time to kill somebody."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """The table of a search by one process that nobody disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    explored(write_exploration(folder, delay=_DELAY), "--jobs", "1")
    table = stable(folder / "out" / "points.csv")
    assert len(table) == 1 + POINTS
    return table


def command(file: Path, *options: str) -> list[str]:
    """The command line of a search into the folder `out` beside its file."""
    out = ["--out", str(file.parent / "out")]
    return [sys.executable, "-m", "ascend_sim.cli", "explore", str(file), "--quiet", *out, *options]


def explored(file: Path, *options: str) -> None:
    """Search to the end."""
    done = subprocess.run(command(file, *options), capture_output=True, text=True, timeout=_PATIENCE, check=False)
    assert done.returncode == 0, done.stderr


@contextmanager
def started(arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A process, in a session of its own as under a terminal of its own."""
    with subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until(condition: Callable[[], bool]) -> None:
    """Wait for *condition*."""
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "this takes too long"
        time.sleep(0.01)


def finished(file: Path) -> int:
    """How many points the search has finished."""
    store = file.parent / "out" / "points.sqlite"
    if not store.exists():
        return 0
    with closing(sqlite3.connect(store)) as connection, suppress(sqlite3.OperationalError):  # no tables yet
        return int(connection.execute("SELECT count(*) FROM members").fetchone()[0])
    return 0


def workers_of(driver: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes of its pool; Python starts one more, which cleans up behind it."""
    children = psutil.Process(driver.pid).children()
    return [one for one in children if any("spawn_main" in word for word in one.cmdline())]


def runs(process: psutil.Process) -> bool:
    """Whether it has not ended."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def expect_each_once(file: Path) -> None:
    """Every point is in the store, and once."""
    with closing(sqlite3.connect(file.parent / "out" / "points.sqlite")) as connection:
        [(members, keys)] = connection.execute("SELECT count(*), count(DISTINCT key) FROM members")
        [(points,)] = connection.execute("SELECT count(*) FROM points")
    assert (members, keys, points) == (POINTS, POINTS, POINTS)


def test_a_killed_driver_leaves_no_process_and_loses_no_point(undisturbed: list[list[str]], tmp_path: Path) -> None:
    """kill -9 of the driver ends its workers; --resume does the rest, and the table is that of one search."""
    file = write_exploration(tmp_path, delay=_DELAY)
    with started(command(file, "--jobs", "2")) as driver:
        until(lambda: finished(file) >= 3)
        others = psutil.Process(driver.pid).children(recursive=True)
        assert len(workers_of(driver)) == 2
        driver.kill()
        driver.wait()
        until(lambda: not any(map(runs, others)))
    before = finished(file)
    assert 3 <= before < POINTS
    explored(file, "--jobs", "1", "--resume")
    expect_each_once(file)
    assert stable(tmp_path / "out" / "points.csv") == undisturbed


def test_a_killed_worker_is_replaced(undisturbed: list[list[str]], tmp_path: Path) -> None:
    """kill -9 of one of two workers costs the point under way a second try, and nothing else."""
    file = write_exploration(tmp_path, delay=_DELAY)
    with started(command(file, "--jobs", "2")) as driver:
        until(lambda: finished(file) >= 3)
        workers_of(driver)[0].kill()
        assert finished(file) < POINTS
        assert driver.wait(_PATIENCE) == 0
    expect_each_once(file)
    assert stable(tmp_path / "out" / "points.csv") == undisturbed


def test_ctrl_c_ends_a_search_at_once_and_says_how_to_go_on(tmp_path: Path) -> None:
    """SIGINT, which a terminal sends to all processes: exit code 130, one line, no workers left."""
    file = write_exploration(tmp_path, delay=1.0)
    with started(command(file, "--jobs", "2")) as driver:
        until(lambda: finished(file) >= 1)
        others = psutil.Process(driver.pid).children(recursive=True)
        begin = time.monotonic()
        os.killpg(driver.pid, signal.SIGINT)
        assert driver.wait(_PATIENCE) == 130
        assert time.monotonic() - begin < 5.0
        until(lambda: not any(map(runs, others)))
        assert driver.stderr is not None
        said = driver.stderr.read()
    count = finished(file)
    points = f"{count} points are" if count > 1 else "1 point is"
    way_on = f"the same command with --resume goes on in {tmp_path / 'out'}"
    assert said == f"interrupted: {points} finished and kept; {way_on}\n"


def test_a_cluster_loses_a_worker_and_then_its_scheduler(undisturbed: list[list[str]], tmp_path: Path) -> None:
    """A Dask cluster finds the same table, also if a worker is killed; without its scheduler what is finished stays."""
    contact = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    scheduler = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(contact)]
    worker = ["worker", "--nthreads", "1", "--no-nanny", "--no-dashboard", "--scheduler-file", str(contact)]
    place = ["--local-directory", str(tmp_path / "dask")]
    first, second = (write_exploration(tmp_path / name, delay=_DELAY) for name in ("first", "second"))
    with (
        started([*dask, *scheduler]) as head,
        started([*dask, *worker, *place]) as left,
        started([*dask, *worker, *place]),
    ):
        until(lambda: contact.exists() and contact.read_text().strip().endswith("}"))
        cluster = ["--scheduler", json.loads(contact.read_text())["address"]]
        with started(command(first, *cluster)) as driver:
            until(lambda: finished(first) >= 3)
            left.kill()
            assert finished(first) < POINTS
            assert driver.wait(_PATIENCE) == 0
        expect_each_once(first)
        assert stable(first.parent / "out" / "points.csv") == undisturbed

        with started(command(second, *cluster)) as driver:
            until(lambda: finished(second) >= 3)
            head.kill()
            assert driver.wait(_PATIENCE) == 2
            assert driver.stderr is not None
            said = driver.stderr.read()
    count = finished(second)
    assert 3 <= count < POINTS
    assert said.startswith("the connection to the Dask scheduler is lost; start the scheduler and its workers again (")
    assert f"({count} points are finished and kept; the same command with --resume goes on in " in said
    assert said.count("\n") == 1
    explored(second, "--jobs", "1", "--resume")
    expect_each_once(second)
    assert stable(second.parent / "out" / "points.csv") == undisturbed
