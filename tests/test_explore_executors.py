"""Workers: processes that are replaced when they die, with the blame on the right point, and clusters that are lost."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from explorations import write_exploration

from ascend_sim.errors import ArgumentError
from ascend_sim.explore import executors
from ascend_sim.explore.config import load_exploration
from ascend_sim.explore.executors import workers
from ascend_sim.explore.point import Limits
from ascend_sim.explore.pool import LocalPool, WorkerDied
from ascend_sim.explore.resolve import base_of, simulator
from ascend_sim.explore.store import HOST
from ascend_sim.explore.worker import work


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    """Two processes."""
    pool = LocalPool(2)
    yield pool
    pool.shutdown(cancel_futures=True)


def test_calls_are_answered_by_at_most_so_many_processes(pool: LocalPool) -> None:
    """Each call gets its own answer; there are two processes, neither of which is this one."""
    roots = [pool.submit(math.sqrt, number) for number in range(50)]
    assert [future.result() for future in roots] == [math.sqrt(number) for number in range(50)]
    ids = {future.result() for future in [pool.submit(os.getpid) for _ in range(20)]}
    assert len(ids) <= 2
    assert os.getpid() not in ids


def test_an_error_of_a_call_is_that_of_its_future(pool: LocalPool) -> None:
    """What a call raises is raised by its result, and the process goes on."""
    before = pool.submit(os.getpid).result()
    with pytest.raises(ValueError, match="math domain error"):
        pool.submit(math.sqrt, -1).result()
    assert before in {pool.submit(os.getpid).result() for _ in range(20)}


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ((os._exit, 5), "it ended its process with exit code 5"),
        ((signal.raise_signal, signal.SIGKILL), "its process was killed by SIGKILL (as for want of memory)"),
    ],
)
def test_a_point_that_kills_three_processes_is_given_up(pool: LocalPool, call: tuple[Any, ...], reason: str) -> None:
    """The deadly call fails and says how; calls before and after it, in other processes, are answered."""
    others = [pool.submit(math.sqrt, 4) for _ in range(5)]
    deadly = pool.submit(*call)
    others += [pool.submit(math.sqrt, 4) for _ in range(5)]
    with pytest.raises(WorkerDied) as error:
        deadly.result()
    assert str(error.value) == reason
    assert [future.result() for future in others] == [2.0] * 10


def test_a_point_that_dies_once_is_tried_again(pool: LocalPool, tmp_path: Path) -> None:
    """A kernel that kills its process the first time is evaluated by the next one."""
    base = base_of(load_exploration(write_exploration(tmp_path, deadly=str(tmp_path / "dead"))).run)
    future = pool.submit(work, simulator(), base, {"tiling.a": 1}, Limits(), None)
    assert future.result().status == "done"
    assert (tmp_path / "dead").exists()


def test_a_process_that_dies_idle_is_replaced(pool: LocalPool) -> None:
    """Somebody kills a process that has nothing to do: the next call is answered."""
    for pid in {future.result() for future in [pool.submit(os.getpid) for _ in range(20)]}:
        os.kill(pid, signal.SIGKILL)
    assert [pool.submit(math.sqrt, 9).result() for _ in range(4)] == [3.0] * 4


def test_the_end_of_a_search_does_not_wait_for_points() -> None:
    """What is under way is given up at once, and no process is left."""
    pool = LocalPool(1)
    ids = [pool.submit(os.getpid).result()]
    futures = [pool.submit(time.sleep, 60.0) for _ in range(3)]
    begin = time.monotonic()
    pool.shutdown(cancel_futures=True)
    assert time.monotonic() - begin < 10.0
    assert not any(psutil.pid_exists(pid) for pid in ids)
    assert not any(future.done() and not future.cancelled() for future in futures)


def test_processes_that_cannot_be_started_are_told() -> None:
    """An interpreter that ends with an error: one message, and not a failure of every point."""
    multiprocessing.set_executable("/bin/false")
    try:
        with pytest.raises(ArgumentError, match="a worker process cannot be started, see above; mend the installation"):
            LocalPool(1)
    finally:
        multiprocessing.set_executable(sys.executable)


def test_a_slow_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for the first process hears of it, once."""
    monkeypatch.setattr("ascend_sim.explore.pool._PATIENCE", 0.0)
    heard: list[str] = []
    pool = LocalPool(1, lambda: heard.append("slow"))
    pool.shutdown()
    assert heard == ["slow"]


def test_a_worker_of_another_version_does_not_answer(tmp_path: Path) -> None:
    """A cluster whose workers have other code would mix results of two simulators."""
    base = base_of(load_exploration(write_exploration(tmp_path)).run)
    with pytest.raises(ArgumentError) as error:
        work("0.0+other", base, {}, Limits(), None)
    message = f"a worker has ascend-sim {simulator()}, and this is 0.0+other; install the same version everywhere"
    assert str(error.value) == f"{message}, and do not change it meanwhile"


def test_a_lack_of_memory_is_the_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors that are not of the point fail it in a way that is tried again."""
    base = base_of(load_exploration(write_exploration(tmp_path)).run)

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("ascend_sim.explore.evaluation.evaluate", fail)
    found = work(simulator(), base, {}, Limits(), None)
    assert (found.status, found.category, found.reason) == ("failed", HOST, "MemoryError")


@pytest.mark.parametrize(
    ("jobs", "scheduler", "message"),
    [
        (0, None, "--jobs 0: there would be nobody to work; write 1 or more"),
        (1, "here", "--scheduler here: this is no address of a Dask scheduler; start one with `dask scheduler` and"),
        (1, "tcp://127.0.0.1:1", "--scheduler tcp://127.0.0.1:1: no Dask scheduler answers; start one with"),
    ],
)
def test_workers_that_there_are_not(
    monkeypatch: pytest.MonkeyPatch, jobs: int, scheduler: str | None, message: str
) -> None:
    """Wrong numbers and addresses are refused before anything is begun."""
    monkeypatch.setattr(executors, "_CONNECT", 0.3)
    with pytest.raises(ArgumentError) as error, workers(jobs, scheduler):
        pass
    assert str(error.value).startswith(message)


def test_a_cluster_needs_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package, how to get it."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ArgumentError) as error, workers(1, "local"):
        pass
    assert str(error.value) == "needs the package distributed: pip install 'ascend-sim[explore]'"


class Client:
    """A Dask client as far as it is asked here."""

    def __init__(self) -> None:
        self.status = "running"
        self.workers = {"a": {"nthreads": 1}, "b": {"nthreads": 2}}
        self.scheduler = SimpleNamespace(address="tcp://there:1")

    def get_executor(self, pure: bool) -> str:
        """An equal call is not the same call: a point may be worked on again."""
        assert not pure
        return "executor"

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        """All workers."""
        assert n_workers == -1
        if self.status == "gone":
            raise OSError("closed")
        return {"workers": self.workers}


def test_a_cluster_may_grow_and_must_not_starve(monkeypatch: pytest.MonkeyPatch) -> None:
    """More workers get more points at once; a minute without any, or without a scheduler, is told."""
    now = [100.0]
    monkeypatch.setattr(executors.time, "monotonic", lambda: now[0])
    client = Client()
    cluster = executors._Dask(client, None)
    assert cluster.at_once == 3 * 8
    client.workers["c"] = {"nthreads": 1}
    cluster.check()
    assert cluster.at_once == 4 * 8
    client.workers.clear()
    now[0] += 59.0
    cluster.check()
    now[0] += 2.0
    with pytest.raises(ArgumentError) as error:
        cluster.check()
    message = "the Dask cluster at tcp://there:1 has had no workers for 60 s"
    assert str(error.value) == f"{message}; start some with `dask worker tcp://there:1`"
    for status in ("connecting", "gone"):
        client.status = status
        with pytest.raises(ArgumentError, match="the connection to the Dask scheduler is lost; start"):
            cluster.check()


def test_a_kernel_that_reads_and_prints_does_not_disturb_its_worker(pool: LocalPool) -> None:
    """Standard input and output of a worker are not those of what it calls."""
    futures: list[Future[Any]] = [pool.submit(os.write, 1, b"text" * 10), pool.submit(os.read, 0, 10)]
    futures.append(pool.submit(print, "more text"))
    wait(futures)
    assert [future.result() for future in futures] == [40, b"", None]


def test_garbage_is_looked_for_after_simulated_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that does not collect by itself does so after ten simulated points; five hundred refused ones count
    as much."""
    from ascend_sim.explore import worker

    collected: list[int] = []
    monkeypatch.setattr(worker, "_points", 0.0)
    monkeypatch.setattr("gc.isenabled", lambda: False)
    monkeypatch.setattr("gc.collect", lambda: collected.append(1))

    for refused, count in ((False, 9), (True, 49)):
        for _ in range(count):
            worker._tidy(refused)
        assert collected == []
    worker._tidy(refused=False)
    assert collected == [1]
