"""The search itself: asks the sampler for points, has them worked on, and keeps what becomes of them at once.

Nothing is simulated twice: what the store knows is taken from there, and a point that is under way is waited for. The
table does not depend on how many workers there are, nor on which of them is quicker: where the choice of a point
depends on results, it depends on those of the points before it, but for a window of fixed length.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from ascend_sim.errors import ArgumentError, ConfigError, Diagnostic, UserError
from ascend_sim.explore.config import Exploration
from ascend_sim.explore.executors import Workers, lost_scheduler
from ascend_sim.explore.keys import base_assignment
from ascend_sim.explore.point import Assignment, Base, Evaluation, Limits
from ascend_sim.explore.pool import WorkerDied
from ascend_sim.explore.resolve import base_of, key_of, opened, simulator
from ascend_sim.explore.samplers import Sampler, sampler_of
from ascend_sim.explore.store import HOST, Member, Store, is_settled
from ascend_sim.explore.table import (
    FILE,
    STORE,
    ExplorationInfo,
    Row,
    Table,
    digest_of,
    holds_exploration,
    open_store,
    read_info,
    read_table,
    row_of,
    table_of,
)
from ascend_sim.explore.worker import work
from ascend_sim.report.files import make_folder, write_text

_LEARNING = ("tpe", "nsga2")
"""Strategies whose points depend on results."""

_WORDS = ("name", "description", "run.description")
"""Keys of a resolved exploration that change no point."""

_TICK = 0.25
"""Seconds after which the listener hears that time has passed."""


class Listener(Protocol):
    """Whoever looks on while a search goes on."""

    def begin(self, total: int | None) -> None:
        """There will be *total* points, if that is known."""

    def found(self, row: Row, fresh: bool) -> None:
        """A point is finished; *fresh* if it was worked on now, and not known before."""

    def tick(self) -> None:
        """Time has passed."""


@dataclass(frozen=True)
class Session:
    """An exploration that goes on in a folder: what it is, its *base* and its open *store*."""

    exploration: Exploration
    info: ExplorationInfo
    base: Base
    store: Store

    @property
    def finished(self) -> int:
        """How many points are finished."""
        return self.store.count(self.info.id)


@contextmanager
def session(exploration: Exploration, folder: Path, store: Path | None, resume: bool) -> Iterator[Session]:
    """Begin an exploration in *folder*, or go on with it; its points are kept in *store*, or in the folder.

    Raise an ArgumentError if the folder or the store cannot be written to, if the folder holds an exploration that is
    not to be resumed, or one that differs from this one.
    """
    base = base_of(exploration.run)
    if holds_exploration(folder) and (resume or _has_points(folder)):
        info = read_info(folder)
        _expect_resumable(info, exploration, base, store, resume)
        opened_store = open_store(info)
    else:
        make_folder(folder)
        place = folder / STORE if store is None else store
        opened_store = Store(place)
        info = _begun(exploration, folder, base, opened_store)
    try:
        yield Session(exploration, info, base, opened_store)
    finally:
        opened_store.close()


def search(at: Session, workers: Workers, listener: Listener) -> Table:
    """Work on all points of an exploration that are not finished yet; return all of them.

    Raise an ArgumentError if the store cannot be written to or the workers are lost. What is finished is kept then, and
    after a KeyboardInterrupt too.
    """
    going = _Search(at, workers, listener)
    try:
        going.run()
    except BaseException:
        going.salvage()
        raise
    at.store.finish(at.info.id, going.asked)
    return table_of(at.store, at.info.id)


def point_key(base: Base, assignment: Assignment, limits: Limits) -> str:
    """The key under which the result of a point is kept: limits may turn a result into a failure."""
    key = key_of(base, assignment)
    if limits == Limits():
        return key
    return hashlib.sha256(f"{key} {json.dumps(asdict(limits), sort_keys=True)}".encode()).hexdigest()


@dataclass(frozen=True)
class _Asked:
    """A point that the sampler has asked for, to be pruned if it takes more than *at_most* cycles."""

    number: int
    key: str
    assignment: Assignment
    at_most: int | None


class _Search:
    def __init__(self, at: Session, workers: Workers, listener: Listener) -> None:
        self._at, self._workers, self._listener = at, workers, listener
        self._exploration, self._store = at.exploration, at.store
        self._sampler: Sampler = sampler_of(at.exploration)
        strategy = at.exploration.strategy
        self._window = strategy.window if strategy.prune or strategy.name in _LEARNING else None
        self._known = at.store.members(at.info.id)
        self._futures: dict[Future[Evaluation], str] = {}
        self._waiting: dict[str, list[_Asked]] = {}
        """The points under way by their key; those of one key wait for one result."""
        self._untold: dict[int, Row] = {}
        self._told = 0
        self._best: tuple[tuple[float, ...], Row] | None = None
        """The best point of those that the sampler was told of, the first one of equals."""
        self._bounds = _Bounds(at.base, at.exploration)
        self.asked = 0

    def run(self) -> None:
        """Ask and gather until there are no more points."""
        self._listener.begin(self._sampler.total)
        more = True
        while more or self._futures:
            while more and len(self._futures) < self._workers.at_once and self._may_ask():
                more = self._ask()
            if self._futures:
                self._gather(_TICK)

    def salvage(self) -> None:
        """Keep what has come in since, when the search is being ended."""
        for future in [one for one in self._futures if one.done() and not one.cancelled()]:
            key = self._futures.pop(future)
            if future.exception() is None:
                try:
                    self._settle(key, future.result(), again=False)
                except ConfigError:  # a constraint has no value for this point
                    continue
                except UserError:  # the store takes no more
                    return

    def _may_ask(self) -> bool:
        """Tell the sampler what it shall know before the next point; return whether that is known."""
        due = self.asked if self._window is None else self.asked - self._window + 1
        while self._told < due and self._told in self._untold:
            row = self._untold.pop(self._told)
            losses = self._losses(row)
            self._sampler.tell(self._told, losses)
            if losses is not None and (self._best is None or losses < self._best[0]):
                self._best = losses, row
            self._told += 1
        return self._window is None or self._told >= due

    def _losses(self, row: Row) -> tuple[float, ...] | None:
        metrics = row.evaluation.metrics
        return tuple(one.loss(metrics) for one in self._exploration.objectives) if row.eligible else None

    def _ask(self) -> bool:
        """Ask for the next point and see to it; return whether there was one."""
        assignment = self._sampler.ask()
        if assignment is None:
            return False
        known = self._known.get(self.asked)
        if known is not None and known.assignment == assignment:
            key = known.key
        else:
            key = point_key(self._at.base, assignment, self._exploration.limits)
        best = None if self._best is None else self._best[1]
        asked = _Asked(self.asked, key, assignment, self._bounds.at_most(assignment, best))
        self.asked += 1
        if key in self._waiting:
            self._waiting[key].append(asked)
            return True
        found = self._store.find(key)
        verdict = None if found is None else _verdict(found, asked.at_most)
        if verdict is None:
            self._submit(asked)
        else:
            self._finish(asked, verdict, fresh=False)
        return True

    def _submit(self, *asked: _Asked) -> None:
        """Have the point worked on, which all of *asked* are."""
        first = asked[0]
        arguments = (simulator(), self._at.base, first.assignment, self._exploration.limits, first.at_most)
        try:
            future = self._workers.executor.submit(work, *arguments)
        except Exception as error:  # a client that is closed has errors of its own
            self._workers.check()
            raise lost_scheduler() from error
        self._futures[future] = first.key
        self._waiting[first.key] = list(asked)

    def _gather(self, patience: float) -> None:
        """Take what is done, or wait for it, but not for long."""
        done, _ = wait(self._futures, patience, FIRST_COMPLETED)
        for future in done:
            evaluation = _result(future)
            self._settle(self._futures.pop(future), evaluation, again=True)
        if not done:
            self._workers.check()
        self._listener.tick()

    def _settle(self, key: str, evaluation: Evaluation, *, again: bool) -> None:
        """Finish all points of this *key*, but for those for which more must be known: work on it *again*."""
        left = []
        for asked in self._waiting.pop(key):
            verdict = _verdict(evaluation, asked.at_most, anew=True)
            if verdict is None:
                left.append(asked)
            else:
                self._finish(asked, verdict, fresh=True, known=evaluation)
        if left and again:
            self._submit(*left)

    def _finish(self, asked: _Asked, verdict: Evaluation, *, fresh: bool, known: Evaluation | None = None) -> None:
        """Keep what became of a point and pass it on; *known* is what a worker found, if one did now."""
        done = verdict.status == "done"
        eligible = done and self._exploration.eligible(asked.assignment, verdict.metrics)
        member = Member(asked.number, asked.key, asked.assignment, verdict.status, eligible)
        if known is not None:
            self._store.keep(self._at.info.id, member, known, simulator())
        elif self._known.get(asked.number) != member:
            self._store.join(self._at.info.id, member)
        row = row_of(member, verdict)
        self._untold[asked.number] = row
        self._listener.found(row, fresh)


class _Bounds:
    """Which points of an exploration that prunes can no longer be the best."""

    def __init__(self, base: Base, exploration: Exploration) -> None:
        metric = exploration.objectives[0].metric
        names = [parameter.name for parameter in exploration.space.parameters]
        of_chip = any(name == "chip" or name.startswith("chip.") for name in names)
        self._base, self._prunes = base, exploration.strategy.prune
        self._by_clock = metric == "time_us" and of_chip

    def at_most(self, assignment: Assignment, best: Row | None) -> int | None:
        """Cycles that a point may take to be as good as the *best* one; None if that is not known."""
        if not self._prunes or best is None:
            return None
        if not self._by_clock:
            return int(best.evaluation.metrics["cycles"])
        try:
            clock = opened(self._base).run_of(assignment).chip.cycles_per_second
        except UserError:
            return None
        # The time was rounded when it was divided by a clock; a cycle more prunes no point wrongly
        return int(best.evaluation.metrics["time_us"] * 1e-6 * clock) + 1


def _verdict(known: Evaluation, at_most: int | None, *, anew: bool = False) -> Evaluation | None:
    """What a point is that may take *at_most* cycles, of which *known* is known; None if more must be known.

    It is the same whether the point has been simulated before, by another exploration, or not. What the host has done
    to it counts only if it did so *anew*.
    """
    if known.bound_cycles is not None and at_most is not None and known.bound_cycles > at_most:
        return Evaluation("pruned", bound_cycles=known.bound_cycles, seconds=known.seconds)
    return known if is_settled(known) or (anew and known.category == HOST) else None


def _result(future: Future[Evaluation]) -> Evaluation:
    """What a worker says of a point."""
    try:
        return future.result()
    except CancelledError:
        raise lost_scheduler() from None
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, WorkerDied):
            return Evaluation("failed", category=HOST, reason=f"{error}; those who tried it again were, too")
        if type(error).__name__ == "KilledWorker":  # Dask's word for the same
            return Evaluation("failed", category=HOST, reason="every worker that tried it was killed")
        message = f"a worker cannot work on points: {type(error).__name__}: {error}"
        raise ArgumentError(f"{message}; install the same version of ascend-sim for all workers") from None


def _has_points(folder: Path) -> bool:
    """Whether the exploration in *folder* has come to any result; if not, another one may take its place."""
    _, table = read_table(folder)
    return bool(table.rows)


def _begun(exploration: Exploration, folder: Path, base: Base, store: Store) -> ExplorationInfo:
    """Note a new exploration, in the store and then in its folder."""
    try:
        config: dict[str, Any] = json.loads(json.dumps(exploration.resolved()))
        info = ExplorationInfo(
            folder=folder,
            file=str(exploration.path),
            store=store.path,
            id=store.begin(exploration.name, json.dumps(config), digest_of(config)),
            simulator=simulator(),
            program_file=base.program,
            program_sha256=base.digest,
            base=base_assignment(exploration.run, exploration.space.parameters),
            config=config,
            run_file=base.path,
        )
        write_text(folder / FILE, info.to_json())
    except BaseException:
        store.close()
        raise
    return info


def _expect_resumable(
    info: ExplorationInfo, exploration: Exploration, base: Base, store: Path | None, resume: bool
) -> None:
    """Raise an ArgumentError unless *exploration* is the one in the folder, and shall be gone on with."""
    another = "or write --out with another folder"
    if not resume:
        message = f"holds an exploration already; write --resume to go on with it, {another} for a new one"
        raise ArgumentError(Diagnostic(message, str(info.folder)))
    if store is not None and store.absolute().resolve() != info.store.absolute().resolve():
        message = f"keeps its points in {info.store}; leave --store out, {another} for a new exploration"
        raise ArgumentError(Diagnostic(message, str(info.folder)))
    before = {**_flat(info.config), "the program": info.program_sha256[:12], "the simulator": info.simulator}
    now = {**_flat(json.loads(json.dumps(exploration.resolved()))), "the program": base.digest[:12]}
    now["the simulator"] = simulator()
    differing = [key for key in {**before, **now} if before.get(key) != now.get(key) and key not in _WORDS]
    if differing:
        shown = [f"{key} ({_brief(before.get(key))} there, {_brief(now.get(key))} now)" for key in differing[:5]]
        more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
        message = f"holds an exploration that differs from this one in {', '.join(shown)}{more}; undo that, or begin a "
        way_out = f"new one with --out OTHER --store {info.store}, which takes over the points that are the same"
        raise ArgumentError(Diagnostic(message + way_out, str(info.folder)))


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted key; lists, and the values of a parameter, stay whole."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _brief(value: object) -> str:
    text = "nothing" if value is None else json.dumps(value) if not isinstance(value, str) else value
    return text if len(text) <= 40 else f"{text[:37]}..."
