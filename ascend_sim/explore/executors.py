"""Who works on points: processes of this machine, or a Dask cluster. Both look like a `concurrent.futures.Executor`."""

from __future__ import annotations

import logging
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from ascend_sim.errors import ArgumentError
from ascend_sim.explore.packages import package
from ascend_sim.explore.pool import LocalPool

_FOR_EACH = 8
"""Points under way for each process: enough that none waits while a result is being stored."""

_CONNECT = 10.0
_STARVED = 60.0
"""Seconds in which a scheduler must answer, and for which a cluster may be without workers."""


class Workers(Protocol):
    """Workers for points: an *executor*, and how many points it should have *at_once*."""

    executor: Executor
    at_once: int

    def check(self) -> None:
        """Raise an ArgumentError if points can no longer be worked on. To be called from time to time."""


@contextmanager
def workers(
    jobs: int, scheduler: str | None = None, slow: Callable[[], None] = lambda: None
) -> Iterator[Workers]:
    """Workers: *jobs* processes of this machine, or those of a Dask *scheduler*.

    *slow* is called if those of this machine take long to start.

    *scheduler* is an address such as "tcp://127.0.0.1:8786", or "local" for a cluster of *jobs* processes that is made
    for this search. What is under way when the context ends is given up.
    """
    if jobs < 1:
        raise ArgumentError(f"--jobs {jobs}: there would be nobody to work; write 1 or more")
    if scheduler is not None:
        with _cluster(scheduler, jobs) as client:
            yield _Dask(client, jobs if scheduler == "local" else None)
        return
    pool = LocalPool(jobs, slow)
    try:
        yield _Local(pool, _FOR_EACH * jobs)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class _Local:
    def __init__(self, pool: LocalPool, at_once: int) -> None:
        self.executor: Executor = pool
        self.at_once = at_once

    def check(self) -> None:
        """Processes of this machine are replaced as they die."""


class _Dask:
    def __init__(self, client: Any, jobs: int | None) -> None:
        self._client = client
        self._jobs = jobs
        self._seen = time.monotonic()
        self.executor: Executor = client.get_executor(pure=False)
        self.at_once = _FOR_EACH * max(self._threads(), jobs or 1)

    def check(self) -> None:
        if self._client.status != "running":
            raise lost_scheduler()
        if threads := self._threads():
            self._seen = time.monotonic()
            self.at_once = _FOR_EACH * threads
        elif time.monotonic() - self._seen > _STARVED:
            address = self._client.scheduler.address
            message = f"the Dask cluster at {address} has had no workers for {_STARVED:g} s"
            raise ArgumentError(f"{message}; start some with `dask worker {address}`")

    def _threads(self) -> int:
        try:
            found = self._client.scheduler_info(n_workers=-1)["workers"]
        except OSError:
            raise lost_scheduler() from None
        return sum(worker["nthreads"] for worker in found.values())


def lost_scheduler() -> ArgumentError:
    """What to say when the scheduler of a cluster has gone."""
    return ArgumentError("the connection to the Dask scheduler is lost; start the scheduler and its workers again")


@contextmanager
def _cluster(scheduler: str, jobs: int) -> Iterator[Any]:
    """A Dask client of the cluster at *scheduler*, or of one that is made here and ends with the context."""
    way_out = "start one with `dask scheduler` and write its address, such as tcp://127.0.0.1:8786, or 'local'"
    if scheduler != "local" and not re.fullmatch(r"\w+://.+:\d+", scheduler):
        raise ArgumentError(f"--scheduler {scheduler}: this is no address of a Dask scheduler; {way_out}")
    distributed = package("distributed")
    # Dask logs at length that a connection is lost, or that workers are gone; it is told here in one line
    for name in [one for one in logging.root.manager.loggerDict if one.partition(".")[0] == "distributed"]:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with _interrupts_for_this_process_alone():
        try:
            client = distributed.Client(
                _local_cluster(distributed, jobs) if scheduler == "local" else scheduler,
                timeout=_CONNECT, set_as_default=False,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            what = "no Dask scheduler answers" if isinstance(error, OSError) else str(error)
            raise ArgumentError(f"--scheduler {scheduler}: {what}; {way_out}") from None
    try:
        yield client
    finally:
        with suppress(Exception):  # nothing is lost with a cluster that is lost
            client.close(timeout=2)
            if scheduler == "local":
                client.cluster.close(timeout=5)


def _local_cluster(distributed: Any, jobs: int) -> Any:
    return distributed.LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None)


@contextmanager
def _interrupts_for_this_process_alone() -> Iterator[None]:
    """Threads and processes that are started here do not hear of Ctrl-C."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
