"""The search: nothing is simulated twice, resuming goes on, and the table is the same whatever the order of results."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from explorations import POINTS, SPACE, write_exploration

from ascend_sim.errors import ArgumentError, ConfigError
from ascend_sim.explore import search as search_module
from ascend_sim.explore.config import load_exploration
from ascend_sim.explore.point import Assignment, Base, Evaluation, Limits
from ascend_sim.explore.pool import WorkerDied
from ascend_sim.explore.resolve import base_of
from ascend_sim.explore.search import Session, point_key, search, session
from ascend_sim.explore.store import HOST, Store
from ascend_sim.explore.table import Row, Table, read_table
from ascend_sim.explore.worker import work

RESULTS: dict[str, Evaluation] = {}
"""The simulated points of all searches here, so that each is simulated once."""


class Here(Executor):
    """Works at once, in this process; *calls* are the points, *before* each is a chance to fail."""

    def __init__(self, before: Callable[[Assignment], None] = lambda _: None) -> None:
        self.calls: list[Assignment] = []
        self._before = before

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call *fn* now."""
        future: Future[Any] = Future()
        self.calls.append(args[2])
        try:
            self._before(args[2])
            future.set_result(evaluated(fn, *args))
        except Exception as error:
            future.set_exception(error)
        return future


class Shuffled(Executor):
    """Two threads that take their time: results come out of order."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(4)
        self._random = random.Random(7)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call *fn* some time."""
        delay = self._random.choice([0.0, 0.0, 0.05])
        return self._pool.submit(lambda: (threading.Event().wait(delay), evaluated(fn, *args))[1])


def evaluated(fn: object, version: str, base: Base, assignment: Assignment, *rest: Any) -> Evaluation:
    """What `work` makes of a point, looked up if it was asked before."""
    assert fn is work
    key = f"{base.config} {assignment} {rest}"
    if key not in RESULTS:
        RESULTS[key] = work(version, base, assignment, *rest)
    return RESULTS[key]


class Crew:
    """Workers that are an executor."""

    def __init__(self, executor: Executor, at_once: int = 6) -> None:
        self.executor, self.at_once = executor, at_once

    def check(self) -> None:
        """They are never lost."""


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.rows: list[tuple[Row, bool]] = []

    def begin(self, total: int | None) -> None:
        """Remember the total."""
        self.total = total

    def found(self, row: Row, fresh: bool) -> None:
        """Remember the row."""
        self.rows.append((row, fresh))

    def tick(self) -> None:
        """Time means nothing here."""


@contextmanager
def begun(file: Path, folder: str = "out", store: Path | None = None, resume: bool = False) -> Iterator[Session]:
    """The exploration of *file* in a *folder* beside it."""
    with session(load_exploration(file), file.parent / folder, store, resume) as at:
        yield at


def searched(
    file: Path, folder: str = "out", executor: Executor | None = None, store: Path | None = None, resume: bool = False
) -> Table:
    """What a search comes to."""
    with begun(file, folder, store, resume) as at:
        return search(at, Crew(executor or Here()), Heard())


def refusal(file: Path, resume: bool = False, store: Path | None = None) -> str:
    """Why the exploration of *file* cannot begin or go on."""
    with pytest.raises(ArgumentError) as error, begun(file, store=store, resume=resume):
        pass
    return str(error.value)


def rows(table: Table) -> list[tuple[Any, ...]]:
    """The rows without the time that the host took."""
    return [
        (row.number, row.key, row.assignment, row.status, row.eligible, row.evaluation.metrics, row.evaluation.reason,
         row.evaluation.bound_cycles)
        for row in table.rows
    ]  # fmt: skip


def test_a_grid_is_searched_whole_and_read_back(tmp_path: Path) -> None:
    """Each point of the grid is in the table in order, with what became of it; the folder gives the same table."""
    file = write_exploration(tmp_path)
    with begun(file) as at:
        heard = Heard()
        table = search(at, Crew(Here()), heard)
    assert table.complete
    expected = [{"tiling.a": a, "tiling.b": b} for a in range(1, 6) for b in range(1, 5)]
    assert [row.assignment for row in table.rows] == expected
    assert [row.number for row in table.rows] == list(range(POINTS))
    kinds = {"done": 11, "failed": 1, "infeasible": 8}
    assert {status: sum(row.status == status for row in table.rows) for status in kinds} == kinds
    assert [row.eligible for row in table.rows] == [row.status == "done" for row in table.rows]
    assert (heard.total, len(heard.rows)) == (POINTS, POINTS)
    info, again = read_table(tmp_path / "out")
    assert again == table
    assert (info.name, info.description, info.space["tiling.a"]) == ("e", "loads and additions", [1, 2, 3, 4, 5])
    assert info.base == {"tiling.a": 1, "tiling.b": 1}
    resolved = load_exploration(file).run.resolved()
    assert info.run.resolved() == {**resolved, "program": str(tmp_path / "steps.py")}


@pytest.mark.parametrize(
    "strategy",
    [
        "strategy: {name: tpe, points: 12, seed: 1, window: 3}",
        "strategy: {name: tpe, points: 12, seed: 1, window: 3, prune: true}",
        "strategy: {prune: true, window: 2}",
        "strategy: {name: random, points: 12, seed: 1}",
    ],
)
def test_the_order_of_results_changes_nothing(tmp_path: Path, strategy: str) -> None:
    """A search whose results come late and out of order gives the same table as one with a single worker."""
    file = write_exploration(tmp_path, SPACE + strategy)
    orderly = searched(file, "orderly")
    assert rows(searched(file, "shuffled", Shuffled())) == rows(orderly)
    assert len(orderly.rows) == (20 if "points" not in strategy else 12)


def test_a_sampler_is_told_as_much_as_the_window_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a window of 3, point i is asked for when exactly 0 to i - 3 are told of, however many are known."""
    events: list[tuple[str, int]] = []

    class Recorder:
        total = 6

        def ask(self) -> dict[str, int] | None:
            number = sum(kind == "ask" for kind, _ in events)
            events.append(("ask", number))
            return {"tiling.a": number + 1} if number < self.total else None

        def tell(self, number: int, losses: tuple[float, ...] | None) -> None:
            assert (losses is not None) == (number < 3)  # a = 4 does not fit
            events.append(("tell", number))

    monkeypatch.setattr(search_module, "sampler_of", lambda _: Recorder())
    space = "space:\n  tiling.a: [1, 2, 3, 4, 5, 6]\nstrategy: {name: tpe, points: 6, window: 3}\n"
    searched(write_exploration(tmp_path, space))
    asked = [("ask", number) for number in range(7)]
    told = [("tell", number) for number in range(4)]
    assert events == [*asked[:3], told[0], asked[3], told[1], asked[4], told[2], asked[5], told[3], asked[6]]


def test_a_search_that_was_ended_goes_on(tmp_path: Path) -> None:
    """After an interrupt the finished points are there; --resume works on the others alone, and the table is whole."""
    file = write_exploration(tmp_path, SPACE + "strategy: {name: tpe, points: 12, seed: 1, window: 3}")
    whole = searched(file, "whole")

    def interrupt(assignment: Assignment) -> None:
        if len(first.calls) == 6:
            raise KeyboardInterrupt

    first, second = Here(interrupt), Here()
    with pytest.raises(KeyboardInterrupt):
        searched(file, executor=first)
    table = read_table(tmp_path / "out")[1]
    assert not table.complete
    assert rows(table) == rows(whole)[:5]
    assert rows(searched(file, executor=second, resume=True)) == rows(whole)
    assert len(second.calls) == 7
    assert rows(searched(file, executor=Here(pytest.fail), resume=True)) == rows(whole)


def test_explorations_that_share_a_store_simulate_a_point_once(tmp_path: Path) -> None:
    """A second search of other parameters, with the same points under other numbers, simulates the new ones alone."""
    store = tmp_path / "shared.sqlite"
    searched(write_exploration(tmp_path, name="first"), "first", store=store)
    more = "space:\n  tiling.b: [9, 2]\n  tiling.a: [2]\n  host.delay: [0.0]\n"
    executor = Here()
    table = searched(write_exploration(tmp_path, more, name="second"), "second", executor, store)
    assert executor.calls == [{"tiling.b": 9, "tiling.a": 2, "host.delay": 0.0}]
    assert table.rows[1].evaluation == read_table(tmp_path / "first")[1].rows[5].evaluation
    assert (tmp_path / "first" / "points.sqlite").exists() is False


def test_searches_at_the_same_time_share_a_store(tmp_path: Path) -> None:
    """Two searches of the same points that go on at once each have all of them, and the store has each once."""
    store = tmp_path / "shared.sqlite"
    file = write_exploration(tmp_path)
    expected = rows(searched(file, "alone"))
    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(searched, file, name, Shuffled(), store) for name in ("a", "b")]
        assert [rows(one.result()) for one in both] == [expected, expected]
    with closing(sqlite3.connect(store)) as connection:
        counts = "SELECT (SELECT count(*) FROM points), (SELECT count(*) FROM members)"
        assert connection.execute(counts).fetchone() == (POINTS, 2 * POINTS)


def test_limits_are_part_of_what_is_kept(tmp_path: Path) -> None:
    """A point that fails for a limit is not taken for that of a search without, and the other way round."""
    store = tmp_path / "shared.sqlite"
    space = "space:\n  tiling.a: [1]\n  tiling.b: [1]\n"
    limited = searched(write_exploration(tmp_path, space + "limits: {max_cycles: 2500}\n", name="l"), "l", store=store)
    free = searched(write_exploration(tmp_path, space, name="f"), "f", store=store)
    assert [row.status for row in (*limited.rows, *free.rows)] == ["failed", "done"]


def test_one_key_that_is_asked_for_twice_is_worked_on_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Assignments that mean the same point wait for one result, also while it is under way."""
    base = base_of(load_exploration(write_exploration(tmp_path)).run)
    monkeypatch.setattr(search_module, "point_key", lambda *_: point_key(base, {}, Limits()))
    pool = ThreadPoolExecutor(1)
    calls = []

    class Slow(Here):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            calls.append(args[2])
            return pool.submit(lambda: (threading.Event().wait(0.2), evaluated(fn, *args))[1])

    table = searched(tmp_path / "e.yaml", executor=Slow())
    assert len(calls) == 1
    assert len(table.rows) == POINTS
    assert len({row.key for row in table.rows}) == 1


def test_pruning_leaves_out_what_cannot_win_and_not_the_best(tmp_path: Path) -> None:
    """Every pruned point is slower than the best one, its bound says so, and the best one is that of the whole grid."""
    grid = searched(write_exploration(tmp_path, name="grid"), "grid")
    executor = Here()
    file = write_exploration(tmp_path, SPACE + "strategy: {prune: true, window: 1}", name="pruned")
    pruned = searched(file, "pruned", executor)
    best = min(row.evaluation.metrics["cycles"] for row in grid.rows if row.eligible)
    assert best == min(row.evaluation.metrics["cycles"] for row in pruned.rows if row.eligible)
    left_out = [row.number for row in pruned.rows if row.status == "pruned"]
    assert len(left_out) >= 5
    for number in left_out:
        assert best < pruned.rows[number].evaluation.bound_cycles
        truth = grid.rows[number].evaluation
        assert truth.status == "failed" or truth.metrics["cycles"] >= pruned.rows[number].evaluation.bound_cycles


def test_pruning_is_the_same_whether_or_not_the_store_knows_more(tmp_path: Path) -> None:
    """A store in which all points are simulated already gives the same table, and a pruned point is simulated later."""
    store = tmp_path / "shared.sqlite"
    grid = write_exploration(tmp_path, name="grid")
    pruning = write_exploration(tmp_path, SPACE + "strategy: {prune: true, window: 1}", name="pruned")
    alone = searched(pruning, "alone", store=store)
    whole = searched(grid, "grid", store=store)
    assert not [row for row in whole.rows if row.status == "pruned"]
    assert rows(searched(pruning, "after", Here(pytest.fail), store)) == rows(alone)
    assert rows(read_table(tmp_path / "alone")[1]) == rows(alone)


def test_pruning_on_several_clocks_is_right(tmp_path: Path) -> None:
    """Where points have different clocks, cycles of one are not those of another: the best point stays the best."""
    space = "space:\n  chip.clock_hz: {times: [1, 0.25, 2]}\n  tiling.b: [4, 3, 2, 1]\n"
    grid = searched(write_exploration(tmp_path, space, name="grid"), "grid")
    pruned = searched(write_exploration(tmp_path, space + "strategy: {prune: true, window: 1}", name="p"), "pruned")
    times = {row.number: row.evaluation.metrics["time_us"] for row in grid.rows}
    best = min(times.values())
    assert best in [row.evaluation.metrics.get("time_us") for row in pruned.rows]
    left_out = [row.number for row in pruned.rows if row.status == "pruned"]
    assert left_out
    assert all(times[number] != best for number in left_out)


def test_constraints_decide_what_is_eligible(tmp_path: Path) -> None:
    """A point that breaks a constraint is done, and is not eligible, also when it is read back."""
    file = write_exploration(tmp_path, SPACE + "constraints: [ub_bytes < 131072]\n")
    searched(file)
    table = read_table(tmp_path / "out")[1]
    assert {row.assignment["tiling.a"] for row in table.rows if row.eligible} == {1}
    assert {row.assignment["tiling.a"] for row in table.rows if row.status == "done"} == {1, 2, 3}


def test_a_constraint_without_a_value_ends_the_search(tmp_path: Path) -> None:
    """It is told at its line; what is finished stays, also what came in together with that point."""
    file = write_exploration(tmp_path, SPACE + "constraints: [ub_bytes / (tiling.b - 3) > 0]\n")
    with begun(file) as at:
        with pytest.raises(ConfigError, match=r"e\.yaml:6:\d+: .* has no value where ub_bytes = 65536, tiling.b = 3"):
            search(at, Crew(Here()), Heard())
        assert sorted(at.store.members(1)) == [0, 1, 3, 4, 5]


def test_what_the_host_did_to_a_point_is_tried_again(tmp_path: Path) -> None:
    """A point whose workers were killed is a failure of the host; --resume tries it again, and the others not."""

    def kill(assignment: Assignment) -> None:
        if assignment["tiling.a"] == 2:
            raise WorkerDied("its process was killed by SIGKILL")

    file = write_exploration(tmp_path)
    table = searched(file, executor=Here(kill))
    killed = [row for row in table.rows if row.evaluation.category == HOST]
    assert [row.assignment["tiling.a"] for row in killed] == [2, 2, 2, 2]
    assert killed[0].status == "failed"
    assert killed[0].evaluation.reason == "its process was killed by SIGKILL; those who tried it again were, too"
    executor = Here()
    again = searched(file, executor=executor, resume=True)
    assert [point["tiling.a"] for point in executor.calls] == [2, 2, 2, 2]
    assert rows(again) == rows(searched(file, "undisturbed"))


def test_a_full_store_ends_the_search_and_keeps_what_is_finished(tmp_path: Path) -> None:
    """The error names the file; with room again, --resume works on what is left."""
    file = write_exploration(tmp_path)
    with begun(file) as at:
        [(pages,)] = at.store._connection.execute("PRAGMA page_count")
        at.store._connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(ArgumentError, match="cannot grow, since the disk is full"):
            search(at, Crew(Here()), Heard())
        finished = at.finished
    assert 0 < finished < POINTS
    executor = Here()
    assert len(searched(file, executor=executor, resume=True).rows) == POINTS
    assert len(executor.calls) == POINTS - finished


def test_a_folder_is_gone_on_with_only_if_that_is_wanted(tmp_path: Path) -> None:
    """An exploration that has points is not overwritten; one without is; --resume begins where there is nothing."""
    file = write_exploration(tmp_path)
    with begun(file, resume=True):
        pass
    with begun(file):
        pass
    searched(file)
    message = "holds an exploration already; write --resume to go on with it, or write --out with another folder for a"
    assert refusal(file) == f"{tmp_path / 'out'}: {message} new one"


def test_a_changed_exploration_is_not_gone_on_with(tmp_path: Path) -> None:
    """What differs is named, from both sides, with the way out; a new description is no difference."""
    searched(write_exploration(tmp_path))
    folder = tmp_path / "out"

    def refused(text: str) -> str:
        return refusal(write_exploration(tmp_path, text), resume=True)

    begin = f"{folder}: holds an exploration that differs from this one in "
    other = f"--out OTHER --store {folder / 'points.sqlite'}"
    way_out = f"; undo that, or begin a new one with {other}, which takes over the points that are the same"
    assert refused(SPACE + "limits: {max_cycles: 5}\n") == f"{begin}limits.max_cycles (nothing there, 5 now){way_out}"
    space = SPACE.replace("[1, 2, 3, 4]", "[1, 2]")
    assert refused(space) == f"{begin}space.tiling.b ([1, 2, 3, 4] there, [1, 2] now){way_out}"
    program = tmp_path / "steps.py"
    file = write_exploration(tmp_path)
    program.write_text(program.read_text() + "\n# changed\n")
    assert refusal(file, resume=True).startswith(f"{begin}the program (")
    file = write_exploration(tmp_path)
    file.write_text(file.read_text().replace("loads and", "moves and"))
    with begun(file, resume=True) as at:
        assert at.finished == POINTS


def test_another_simulator_does_not_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results of two versions are not mixed in one table."""
    file = write_exploration(tmp_path)
    searched(file)
    monkeypatch.setattr(search_module, "simulator", lambda: "0.2+other")
    said = refusal(file, resume=True)
    assert " differs from this one in the simulator (" in said
    assert " there, 0.2+other now); undo that, or " in said


def test_a_store_that_has_gone_or_is_another_is_named(tmp_path: Path) -> None:
    """A folder without its store, with that of somebody else, and --store with another file than before."""
    file = write_exploration(tmp_path)
    searched(file)
    folder, store = tmp_path / "out", tmp_path / "out" / "points.sqlite"
    said = refusal(file, resume=True, store=tmp_path / "other")
    assert said.startswith(f"{folder}: keeps its points in {store}; leave --store out, or write --out with another")
    store.rename(tmp_path / "aside")
    with pytest.raises(ArgumentError, match=f"{store}: has gone, with the finished points of {folder}; put it back"):
        read_table(folder)
    Store(store).close()
    with pytest.raises(ArgumentError, match=f"{store}: is another store than the one that .* was written with"):
        read_table(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as an exploration: .*; search again in another folder"),
        ('{"schema": "ascend-sim/run/1"}', "is no exploration of schema 'ascend-sim/exploration/1'"),
        ('{"schema": "ascend-sim/exploration/1", "store": "x"}', "lacks what an exploration has .*; search again"),
    ],
)
def test_a_damaged_folder_is_told(tmp_path: Path, text: str, message: str) -> None:
    """An exploration.json that is none of ours gives an error with its name."""
    (tmp_path / "exploration.json").write_text(text)
    with pytest.raises(ArgumentError, match=f"exploration.json: {message}"):
        read_table(tmp_path)
    with pytest.raises(ArgumentError, match=f"{tmp_path / 'none'}: there is no exploration; write one with"):
        read_table(tmp_path / "none")
