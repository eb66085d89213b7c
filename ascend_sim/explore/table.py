"""What an exploration has found so far, and what it searches: read back from its folder."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ascend_sim.config import RunConfig, rerun
from ascend_sim.errors import ArgumentError, Diagnostic
from ascend_sim.explore.config import Objective
from ascend_sim.explore.point import Assignment, Evaluation, Status, Value
from ascend_sim.explore.store import Member, Store

FILE, STORE = "exploration.json", "points.sqlite"
"""Names of the files in the folder of an exploration; the store may be elsewhere."""

SCHEMA = "ascend-sim/exploration/1"


@dataclass(frozen=True)
class Row:
    """The *number*-th point of an exploration.

    *status* is that of the *evaluation*. An *eligible* point is done and breaks no constraint: it may be the best.
    """

    number: int
    key: str
    assignment: Assignment
    evaluation: Evaluation
    status: Status
    eligible: bool


@dataclass(frozen=True)
class Table:
    """The finished points of an exploration in the order of their numbers, all of them if it is *complete*."""

    rows: tuple[Row, ...]
    complete: bool


@dataclass(frozen=True)
class ExplorationInfo:
    """What an exploration searches, as its folder keeps it.

    *file* is the exploration file and *config* what it came to (`Exploration.resolved`), *space* the values of each
    parameter, *base* those of the base run. *id* is the exploration's in the *store*.
    """

    folder: Path
    file: str
    store: Path
    id: int
    simulator: str
    program_file: str
    program_sha256: str
    base: Assignment
    config: dict[str, Any]
    run_file: str

    @property
    def name(self) -> str:
        """The name of the exploration file without its ending."""
        return str(self.config["name"])

    @property
    def description(self) -> str:
        """What the file says of itself."""
        return str(self.config["description"])

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is to be small or large."""
        return tuple(Objective(metric, direction) for metric, direction in self.config["objectives"].items())

    @property
    def constraints(self) -> tuple[str, ...]:
        """What results must fulfil, as it was written."""
        return tuple(self.config["constraints"])

    @property
    def space(self) -> dict[str, list[Value]]:
        """The values of each parameter."""
        return dict(self.config["space"])

    @cached_property
    def run(self) -> RunConfig:
        """The base run, on the chip as it was then."""
        return rerun({**self.config["run"], "program_file": self.program_file}, Path(self.run_file))

    def to_json(self) -> str:
        """The text of exploration.json."""
        content = {
            "schema": SCHEMA, "file": self.file, "store": _relative(self.store, self.folder), "id": self.id,
            "simulator": self.simulator, "program_file": self.program_file, "program_sha256": self.program_sha256,
            "run_file": self.run_file, "base": dict(self.base), "config": self.config,
        }  # fmt: skip
        return json.dumps(content, indent=2) + "\n"


def holds_exploration(folder: Path) -> bool:
    """Whether an exploration has been begun in *folder*."""
    return (folder / FILE).is_file()


def read_info(folder: Path) -> ExplorationInfo:
    """Read exploration.json in *folder*; raise an ArgumentError if there is none, or none of this version."""
    path = folder / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        message = "there is no exploration; write one with `ascend-sim explore CONFIG --out DIR`"
        raise ArgumentError(Diagnostic(message, str(folder))) from None
    except (OSError, ValueError) as error:
        message = f"cannot be read as an exploration: {error}; search again in another folder"
        raise ArgumentError(Diagnostic(message, str(path))) from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        message = f"is no exploration of schema {SCHEMA!r}; search again in another folder"
        raise ArgumentError(Diagnostic(message, str(path)))
    try:
        return ExplorationInfo(
            folder=folder, store=folder / content["store"],
            **{name: content[name] for name in ExplorationInfo.__dataclass_fields__ if name not in ("folder", "store")},
        )  # fmt: skip
    except (KeyError, TypeError) as error:
        message = f"lacks what an exploration has ({error}); search again in another folder"
        raise ArgumentError(Diagnostic(message, str(path))) from None


def open_store(info: ExplorationInfo, *, readonly: bool = False) -> Store:
    """The store of an exploration. Raise an ArgumentError if it has gone, or is that of other explorations."""
    if not info.store.is_file():
        message = f"has gone, with the finished points of {info.folder}; put it back, or search again in another folder"
        raise ArgumentError(Diagnostic(message, str(info.store)))
    store = Store(info.store, readonly=readonly)
    try:
        if store.digest(info.id) != digest_of(info.config):
            message = f"is another store than the one that {info.folder / FILE} was written with; put that one back"
            raise ArgumentError(Diagnostic(message, str(info.store)))
    except BaseException:
        store.close()
        raise
    return store


def read_table(folder: Path) -> tuple[ExplorationInfo, Table]:
    """What the exploration in *folder* searches and has found so far. Raise an ArgumentError if there is none."""
    info = read_info(folder)
    store = open_store(info, readonly=True)
    try:
        return info, table_of(store, info.id)
    finally:
        store.close()


def table_of(store: Store, exploration: int) -> Table:
    """The finished points of an exploration that *store* keeps."""
    rows = tuple(row_of(member, evaluation) for member, evaluation in store.table(exploration))
    return Table(rows, store.points(exploration) is not None)


def row_of(member: Member, evaluation: Evaluation) -> Row:
    """The row of a *member*, of whose point *evaluation* is known.

    Where a search has pruned a point, another one may have simulated it; the table is the same with and without.
    """
    if member.status == "pruned":
        evaluation = Evaluation("pruned", bound_cycles=evaluation.bound_cycles, seconds=evaluation.seconds)
    return Row(member.number, member.key, member.assignment, evaluation, evaluation.status, member.eligible)


def digest_of(config: dict[str, Any]) -> str:
    """What tells one resolved exploration from another."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path.absolute(), folder.absolute())
