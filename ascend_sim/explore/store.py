"""Where finished points are kept: a SQLite file, which any number of explorations and processes may share.

Each result is committed before anything else happens, so that a killed process loses none. A result is kept once, under
the key of its point; that an exploration has it is a row of `members`. Results that are not of the point alone do not
stay: a bound is replaced by the result of a simulation, and what the host did (a killed worker) by what comes of it
later.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ascend_sim.errors import ArgumentError, Diagnostic
from ascend_sim.explore.point import Assignment, Evaluation, Status

HOST = "host"
"""The category of failures that are the host's and not the point's: they are tried again."""

_FORMAT = 1
_MARK = 0x41534358
"""Version of the tables (user_version), and what says that a SQLite file is ours (application_id)."""

_PATIENCE = 30.0
"""Seconds for which another process may lock the file."""

_TABLES = """
CREATE TABLE points (
    key TEXT PRIMARY KEY, evaluation TEXT NOT NULL, settled INTEGER NOT NULL, simulator TEXT NOT NULL,
    seconds REAL NOT NULL, finished TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE explorations (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, config TEXT NOT NULL, hash TEXT NOT NULL, created TEXT NOT NULL,
    points INTEGER
);
CREATE TABLE members (
    exploration INTEGER NOT NULL REFERENCES explorations(id), number INTEGER NOT NULL, key TEXT NOT NULL,
    assignment TEXT NOT NULL, status TEXT NOT NULL, eligible INTEGER NOT NULL, PRIMARY KEY (exploration, number)
) WITHOUT ROWID;
"""

_KEEP_POINT = """
INSERT INTO points VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET evaluation = excluded.evaluation,
    settled = excluded.settled, simulator = excluded.simulator, seconds = excluded.seconds, finished = excluded.finished
    WHERE NOT settled
"""

_REASONS = {
    "SQLITE_BUSY": "is locked by another program for more than {patience:g} s; end that one",
    "SQLITE_LOCKED": "is locked by another program for more than {patience:g} s; end that one",
    "SQLITE_FULL": "cannot grow, since the disk is full; make room there",
    "SQLITE_IOERR": "cannot be written or read ({error}); see whether there is room, and whether the disk works",
    "SQLITE_NOTADB": "is no store of points; name another file with --store, or another folder with --out",
    "SQLITE_CORRUPT": "is damaged ({error}); rescue what is left with `sqlite3 FILE .recover`, or name another file",
    "SQLITE_READONLY": "cannot be written to; change its permissions, or name another file with --store",
    "SQLITE_PERM": "cannot be written to; change its permissions, or name another file with --store",
    "SQLITE_CANTOPEN": "cannot be opened; see that its folder exists and can be written to, or name another file",
}
"""What SQLite says by the beginning of its error codes, and the way out."""


@dataclass(frozen=True)
class Member:
    """The *number*-th point of an exploration, as that exploration sees it."""

    number: int
    key: str
    assignment: Assignment
    status: Status
    eligible: bool


class Store:
    """The store at *path*, made if there is none; with *readonly* it must exist and is never written to.

    All methods raise an ArgumentError that names the file if it is locked, damaged, full or not to be written to.
    """

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self.path = path
        with self._told():
            self._connection = _opened_to_read(path) if readonly else _connected(path)
        try:
            with self._told():
                self._expect_ours(readonly)
                if not readonly:
                    self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file; what was kept stays."""
        with self._told():
            self._connection.close()

    def begin(self, name: str, config: str, digest: str) -> int:
        """Note an exploration with its resolved *config*; return its id."""
        with self._writing():
            row = self._connection.execute(
                "INSERT INTO explorations (name, config, hash, created) VALUES (?, ?, ?, ?) RETURNING id",
                (name, config, digest, _now()),
            ).fetchone()
        return int(row[0])

    def digest(self, exploration: int) -> str | None:
        """The digest with which an exploration began, or None if the store knows none of this id."""
        row = self._read("SELECT hash FROM explorations WHERE id = ?", exploration).fetchone()
        return None if row is None else str(row[0])

    def finish(self, exploration: int, points: int) -> None:
        """Note that an exploration is complete, with so many *points*."""
        with self._writing():
            self._connection.execute("UPDATE explorations SET points = ? WHERE id = ?", (points, exploration))

    def points(self, exploration: int) -> int | None:
        """How many points a complete exploration has; None if it is not complete."""
        row = self._read("SELECT points FROM explorations WHERE id = ?", exploration).fetchone()
        return None if row is None or row[0] is None else int(row[0])

    def find(self, key: str) -> Evaluation | None:
        """What is known of the point with this *key*."""
        row = self._read("SELECT evaluation, seconds FROM points WHERE key = ?", key).fetchone()
        return None if row is None else self._evaluation(*row)

    def keep(self, exploration: int, member: Member, evaluation: Evaluation, simulator: str) -> None:
        """Keep what became of a point, and that it is a *member* of an exploration: both or neither."""
        known = json.dumps(
            {
                "status": evaluation.status, "metrics": evaluation.metrics, "bound_cycles": evaluation.bound_cycles,
                "category": evaluation.category, "reason": evaluation.reason,
            }
        )  # fmt: skip
        settled = is_settled(evaluation)
        point = (member.key, known, settled, simulator, evaluation.seconds, _now())
        with self._writing():
            self._connection.execute(_KEEP_POINT, point)
            self._join(exploration, member)

    def join(self, exploration: int, member: Member) -> None:
        """Keep that a point whose result is known is a *member* of an exploration as well."""
        with self._writing():
            self._join(exploration, member)

    def members(self, exploration: int) -> dict[int, Member]:
        """The finished points of an exploration by their number, in order."""
        rows = self._read(
            "SELECT number, key, assignment, status, eligible FROM members WHERE exploration = ? ORDER BY number",
            exploration,
        )
        return {row[0]: self._member(*row) for row in self._rows(rows)}

    def count(self, exploration: int) -> int:
        """How many points of an exploration are finished."""
        return int(self._read("SELECT count(*) FROM members WHERE exploration = ?", exploration).fetchone()[0])

    def table(self, exploration: int) -> Iterator[tuple[Member, Evaluation]]:
        """The finished points of an exploration in order of their number, and what is known of each."""
        rows = self._read(
            "SELECT number, key, assignment, status, eligible, evaluation, seconds FROM members JOIN points USING (key)"
            " WHERE exploration = ? ORDER BY number",
            exploration,
        )
        for row in self._rows(rows):
            yield self._member(*row[:5]), self._evaluation(*row[5:])

    def _expect_ours(self, readonly: bool) -> None:
        """Refuse a file of another program, before anything is changed in it, and one of a later version."""
        [(tables,)] = self._connection.execute("SELECT count(*) FROM sqlite_schema")
        [(mark,)] = self._connection.execute("PRAGMA application_id")
        [(version,)] = self._connection.execute("PRAGMA user_version")
        if mark != _MARK and (tables or readonly):
            message = "is a database of another program; name another file with --store, or another folder with --out"
            raise ArgumentError(Diagnostic(message, str(self.path)))
        if version > _FORMAT:
            message = f"was written by a later version (format {version}, known is {_FORMAT}); install that version"
            raise ArgumentError(Diagnostic(message, str(self.path)))

    def _prepare(self) -> None:
        """Turn to a mode in which readers and a writer do not wait for each other, and make the tables if need be."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                # SQLite does not wait by itself for others when it changes the mode
                self._connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:
                if not _code(error).startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        # A result outlives any process that is killed; a loss of power may take the last few
        self._connection.execute("PRAGMA synchronous = NORMAL")
        with self._writing():
            [(tables,)] = self._connection.execute("SELECT count(*) FROM sqlite_schema")
            if not tables:
                for statement in _TABLES.split(";")[:-1]:
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {_FORMAT}")
                self._connection.execute(f"PRAGMA application_id = {_MARK}")

    def _join(self, exploration: int, member: Member) -> None:
        assignment = json.dumps(dict(member.assignment))
        row = (exploration, member.number, member.key, assignment, member.status, member.eligible)
        self._connection.execute("INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?, ?)", row)

    def _read(self, statement: str, *values: object) -> sqlite3.Cursor:
        with self._told():
            return self._connection.execute(statement, values)

    def _rows(self, cursor: sqlite3.Cursor) -> Iterator[Any]:
        with self._told():
            yield from cursor

    def _member(self, number: int, key: str, assignment: str, status: Status, eligible: int) -> Member:
        return Member(number, key, self._parsed(assignment), status, bool(eligible))

    def _evaluation(self, text: str, seconds: float) -> Evaluation:
        return Evaluation(**self._parsed(text), seconds=seconds)

    def _parsed(self, text: str) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(text)
        except ValueError as error:
            reason = _REASONS["SQLITE_CORRUPT"].format(error=error)
            raise ArgumentError(Diagnostic(reason, str(self.path))) from None
        return content

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction: all of what is written in it, or, after an error or an interrupt, nothing."""
        with self._told():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell errors of SQLite as the user's, with the file and the way out."""
        try:
            yield
        except sqlite3.Error as error:
            code = _code(error)
            reason = next((text for begin, text in _REASONS.items() if code.startswith(begin)), "{error} ({code})")
            message = reason.format(patience=_PATIENCE, error=error, code=code)
            raise ArgumentError(Diagnostic(message, str(self.path))) from None


def is_settled(evaluation: Evaluation) -> bool:
    """Whether an evaluation is the point's for good, and neither a bound nor a failure of the host."""
    return evaluation.status != "pruned" and evaluation.category != HOST


def _connected(path: Path, query: str = "") -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}{query}"
    return sqlite3.connect(address, uri=True, timeout=_PATIENCE, isolation_level=None)


def _opened_to_read(path: Path) -> sqlite3.Connection:
    """The file, opened to be read, also where nothing can be written."""
    connection = _connected(path, "?mode=ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        # Without the right to write SQLite cannot make the index of a journal; where there is none, none is needed
        if not _code(error).startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")) or not path.is_file():
            raise
        return _connected(path, "?immutable=1")
    except BaseException:
        connection.close()
        raise
    return connection


def _code(error: sqlite3.Error) -> str:
    """The name of the error of SQLite, such as SQLITE_BUSY; the module itself knows none for its own errors."""
    return getattr(error, "sqlite_errorname", "") or type(error).__name__


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
