"""The store keeps each result once and at once, for several explorations, and says what is wrong with its file."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ascend_sim.errors import ArgumentError
from ascend_sim.explore import store as store_module
from ascend_sim.explore.point import METRICS, Evaluation
from ascend_sim.explore.store import HOST, Member, Store

DONE = Evaluation("done", {**dict.fromkeys(METRICS, 0.0), "time_us": 0.1 + 0.2, "cycles": 7}, 5, seconds=1.5)
BOUND = Evaluation("pruned", bound_cycles=5)
KILLED = Evaluation("failed", category=HOST, reason="killed")


def member(number: int, key: str = "k", status: str = "done") -> Member:
    """The point *number* with a *key*."""
    return Member(number, key, {"tiling.a": number, "tiling.list": [1, "x"]}, status, True)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store may be."""
    return tmp_path / "points.sqlite"


@contextmanager
def opened(path: Path, readonly: bool = False) -> Iterator[Store]:
    """The store at *path*."""
    with closing(Store(path, readonly=readonly)) as store:
        yield store


def refusal(path: Path, readonly: bool = False) -> str:
    """What is said when the store at *path* is opened."""
    with pytest.raises(ArgumentError) as error:
        Store(path, readonly=readonly)
    return str(error.value)


def test_what_is_kept_comes_back_to_the_bit(path: Path) -> None:
    """Evaluations and members are the same after the file was closed and opened again, numbers to the last bit."""
    with opened(path) as store:
        exploration = store.begin("e", "{}", "digest")
        store.keep(exploration, member(3), DONE, "version")
    with opened(path, readonly=True) as store:
        assert store.find("k") == DONE
        assert store.find("other") is None
        assert store.members(exploration) == {3: member(3)}
        assert list(store.table(exploration)) == [(member(3), DONE)]
        assert (store.digest(exploration), store.digest(99), store.points(exploration)) == ("digest", None, None)


def test_a_result_is_committed_before_keep_returns(path: Path) -> None:
    """Another connection sees a point as soon as it is kept: a killed process loses none."""
    with opened(path) as store, opened(path) as other:
        store.keep(store.begin("e", "{}", ""), member(0), DONE, "version")
        assert other.find("k") == DONE


def test_a_result_stays_and_a_bound_or_a_failure_of_the_host_does_not(path: Path) -> None:
    """The first simulation of a point is kept, and takes the place of what was only a bound or an accident."""
    with opened(path) as store:
        exploration = store.begin("e", "{}", "")
        for known in (KILLED, BOUND, KILLED, DONE, BOUND, KILLED, Evaluation("infeasible")):
            store.keep(exploration, member(0), known, "version")
            if known in (KILLED, BOUND):
                assert store.find("k") in (known, DONE)
        assert store.find("k") == DONE


def test_explorations_share_points_and_not_members(path: Path) -> None:
    """A second exploration has the same result as its own number, and its end is its own."""
    with opened(path) as store:
        first, second = store.begin("a", "{}", "1"), store.begin("b", "{}", "2")
        store.keep(first, member(0), DONE, "version")
        store.join(second, member(7))
        store.finish(second, 1)
        assert (list(store.members(first)), list(store.members(second))) == ([0], [7])
        assert (store.points(first), store.points(second)) == (None, 1)
        assert (store.count(first), store.count(second)) == (1, 1)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM points").fetchone() == (1,)


def test_two_writers_at_a_time_lose_nothing(path: Path) -> None:
    """Threads with connections of their own keep overlapping points; each is there once, and each has all members."""
    keys = [f"k{number}" for number in range(40)]
    ids: list[int] = []

    def write() -> None:
        with opened(path) as store:
            exploration = store.begin("e", "{}", "")
            ids.append(exploration)
            for number, key in enumerate(keys):
                store.keep(exploration, member(number, key), DONE, "version")

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with opened(path, readonly=True) as store:
        assert sorted(ids) == [1, 2, 3]
        assert [store.count(one) for one in ids] == [40, 40, 40]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM points").fetchone() == (40,)


def test_a_store_that_another_program_locks_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some patience, an error that names the file; the point can be kept when the lock has gone."""
    monkeypatch.setattr(store_module, "_PATIENCE", 0.2)
    with opened(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        exploration = store.begin("e", "{}", "")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ArgumentError) as error:
            store.keep(exploration, member(0), DONE, "version")
        assert str(error.value) == f"{path}: is locked by another program for more than 0.2 s; end that one"
        other.execute("ROLLBACK")
        store.keep(exploration, member(0), DONE, "version")
        assert store.count(exploration) == 1


def test_a_full_disk_is_told_and_loses_nothing(path: Path) -> None:
    """Where the file cannot grow, the points before are kept, the one under way is not there by halves."""
    with opened(path) as store:
        exploration = store.begin("e", "{}", "")
        store.keep(exploration, member(0), DONE, "version")
        [(pages,)] = store._connection.execute("PRAGMA page_count")
        store._connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        number = 0

        def fill() -> None:
            nonlocal number
            while True:
                number += 1
                store.keep(exploration, member(number, f"k{number}"), DONE, "version")

        with pytest.raises(ArgumentError) as error:
            fill()
        assert str(error.value) == f"{path}: cannot grow, since the disk is full; make room there"
    with opened(path) as store:
        assert number > 1
        assert list(store.members(exploration)) == list(range(number))
        assert len(list(store.table(exploration))) == number


def test_a_file_that_may_not_grow_is_told(path: Path) -> None:
    """The system refuses to write more, as at the end of a quota: an error with the file, and what was kept stays."""
    code = f"""
from pathlib import Path
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_explore_store import DONE, Store, member
store = Store(Path({str(path)!r}))
exploration = store.begin("e", "{{}}", "")
for number in range(10_000):
    store.keep(exploration, member(number, f"k{{number}}"), DONE, "version")
    print(number, flush=True)
"""

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    done = subprocess.run([sys.executable, "-c", code], preexec_fn=limited, capture_output=True, text=True, check=False)
    assert f"ArgumentError: {path}: cannot be written or read (" in done.stderr
    with opened(path) as store:
        assert store.count(1) == len(done.stdout.split()) > 10


def test_files_that_are_no_store_are_refused_and_left_alone(tmp_path: Path) -> None:
    """A text, a damaged store, another program's database and a later version's store: what each is, and a way out."""
    text, foreign, later, damaged = (tmp_path / name for name in ("text", "foreign", "later", "damaged"))
    text.write_text("key,value\n" * 500)
    way_out = "name another file with --store, or another folder with --out"
    assert refusal(text) == f"{text}: is no store of points; {way_out}"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE points (x)")
    before = foreign.read_bytes()
    assert refusal(foreign).startswith(f"{foreign}: is a database of another program; name another file")
    assert foreign.read_bytes() == before
    Store(later).close()
    with closing(sqlite3.connect(later)) as connection:
        connection.execute("PRAGMA user_version = 2")
    for readonly in (False, True):
        expected = f"{later}: was written by a later version (format 2, known is 1); install that version"
        assert refusal(later, readonly=readonly) == expected
    with opened(damaged) as store:
        exploration = store.begin("e", "{}", "")
        for number in range(200):
            store.keep(exploration, member(number, f"k{number}"), DONE, "version")
    content = bytearray(damaged.read_bytes())
    content[4096 * 2 :] = os.urandom(len(content) - 4096 * 2)
    damaged.write_bytes(content)
    said = r"is damaged .*; rescue what is left with `sqlite3 FILE .recover`"
    with opened(damaged) as store, pytest.raises(ArgumentError, match=said):
        store.members(exploration)


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    """A folder that is missing, and a folder in the place of the file."""
    missing = tmp_path / "no" / "points.sqlite"
    assert refusal(missing).startswith(f"{missing}: cannot be opened; see that its folder exists")
    assert refusal(tmp_path).startswith(f"{tmp_path}: cannot be opened; see that its folder exists")
    assert refusal(missing, readonly=True).startswith(f"{missing}: cannot be opened;")


def test_a_store_that_must_not_be_written_is_told(path: Path) -> None:
    """Where SQLite has no right to write, a search cannot begin; what is there can be read all the same."""
    with opened(path) as store:
        store.keep(store.begin("e", "{}", ""), member(0), DONE, "version")
    # Whoever runs this may have all rights: the system refuses where the connection is told that it may not write
    with opened(path, readonly=True) as store:
        with pytest.raises(ArgumentError) as error:
            store.begin("e", "{}", "")
        assert str(error.value).startswith(f"{path}: cannot be written to; change its permissions, or name")
        assert store.find("k") == DONE


def test_a_folder_that_can_only_be_read_can_be_read() -> None:
    """The store of a colleague, in a folder where nobody else has a right to write, can be read."""
    # Root may write everywhere: who is root gives that up, once everything is imported
    code = "import os, sqlite3, sys; from pathlib import Path; from ascend_sim.explore.store import Store; "
    code += "os.geteuid() or (os.setgroups([]), os.setgid(65534), os.setuid(65534)); "
    code += "print(Store(Path(sys.argv[1]), readonly=True).count(1))"
    with TemporaryDirectory() as folder:
        path = Path(folder, "points.sqlite")
        with opened(path) as store:
            store.keep(store.begin("e", "{}", ""), member(0), DONE, "version")
        assert not path.with_name("points.sqlite-wal").exists()
        path.chmod(0o444)
        path.parent.chmod(0o555)
        try:
            done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
            assert done.stdout == "1\n", done.stderr
        finally:
            path.parent.chmod(0o755)
