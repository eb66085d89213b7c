"""The process pool of this machine: that of `concurrent.futures`, and a new one where a process of it has died.

When a process dies, Python declares its whole pool broken and does not say which call it was at. So all that were in
the pool are tried again, each alone in a new one, where it is plain which of them is deadly.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, InvalidStateError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from ascend_sim.errors import ArgumentError

T = TypeVar("T")

_TRIES = 3
"""How many processes may die of one call that they have to themselves."""

_FOR_EACH = 2
"""Calls in the pool for each process: one that it works on, and the one that it takes next."""

_PATIENCE = 5.0
"""Seconds after which it is told that the first process is not there yet."""


class WorkerDied(Exception):  # noqa: N818  # what happened, not whose fault it is
    """A process died while it worked on a call, and so did those that tried it again."""


class _Call:
    """A call to be answered, and how many processes have died of it alone."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.function, self.arguments = function, arguments
        self.future: Future[Any] = Future()
        self.deaths = 0


class LocalPool(Executor):
    """*jobs* processes of this machine, which end with this one, however that ends, and do not hear of Ctrl-C.

    *slow* is called if they take long to start. Raise an ArgumentError if they cannot be started.
    """

    def __init__(self, jobs: int, slow: Callable[[], None] = lambda: None) -> None:
        self._jobs = jobs
        self._lock = threading.RLock()
        self._waiting: deque[_Call] = deque()
        self._suspects: deque[_Call] = deque()
        self._under_way: set[_Call] = set()
        self._quarantine = False
        self._closed = False
        self._pool = self._new()
        ready = self._pool.submit(_warm)
        try:
            try:
                ready.result(timeout=_PATIENCE)
            except TimeoutError:
                slow()
                ready.result()
        except BrokenProcessPool:
            raise ArgumentError("a worker process cannot be started, see above; mend the installation") from None

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Have a process call *fn*, which it must be able to import, with *args*."""
        call = _Call(partial(fn, **kwargs) if kwargs else fn, args)
        with self._lock:
            self._waiting.append(call)
            self._go_on()
        return call.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all processes: when they have done what they were asked for, or, with *cancel_futures*, now."""
        with self._lock:
            self._closed = cancel_futures
            given_up = [*self._waiting, *self._suspects] if cancel_futures else []
        for call in given_up:
            call.future.cancel()
        if cancel_futures:
            for process in multiprocessing.active_children():
                process.kill()
        self._pool.shutdown(wait=wait or cancel_futures, cancel_futures=cancel_futures)

    def _new(self) -> ProcessPoolExecutor:
        # Not by fork: this process has threads
        return ProcessPoolExecutor(self._jobs, multiprocessing.get_context("spawn"), initializer=_begin)

    def _go_on(self) -> None:
        """Put calls into the pool: as many as it should have, or one suspect and nothing beside it."""
        if self._closed or self._quarantine:
            return
        if self._suspects:
            if not self._under_way:
                self._quarantine = True
                self._put(self._suspects.popleft())
            return
        while self._waiting and len(self._under_way) < _FOR_EACH * self._jobs:
            call = self._waiting.popleft()
            if call.future.set_running_or_notify_cancel():
                self._put(call)

    def _put(self, call: _Call) -> None:
        self._under_way.add(call)
        try:
            answer = self._pool.submit(call.function, *call.arguments)
        except BrokenProcessPool:  # a process has died that had nothing to do
            self._pool = self._new()
            answer = self._pool.submit(call.function, *call.arguments)
        processes = multiprocessing.active_children() if self._quarantine else []
        answer.add_done_callback(partial(self._answered, call, self._pool, processes))

    def _answered(
        self, call: _Call, pool: ProcessPoolExecutor, processes: list[BaseProcess], answer: Future[Any]
    ) -> None:
        with self._lock, suppress(InvalidStateError):  # nobody may want the answer any more
            self._under_way.discard(call)
            alone, self._quarantine = self._quarantine, False
            if answer.cancelled() or self._closed:
                return
            error = answer.exception()
            if isinstance(error, BrokenProcessPool):
                if pool is self._pool:
                    self._pool = self._new()
                self._suspect(call, processes if alone else [])
            elif error is not None:
                call.future.set_exception(error)
            else:
                call.future.set_result(answer.result())
        with self._lock:
            self._go_on()

    def _suspect(self, call: _Call, processes: list[BaseProcess]) -> None:
        """Try *call* alone, unless enough *processes* have died of it so already."""
        call.deaths += bool(processes)
        if call.deaths < _TRIES:
            self._suspects.append(call)
        else:
            call.future.set_exception(WorkerDied(_cause(processes)))


def _cause(processes: list[BaseProcess]) -> str:
    """Of what the one of *processes* died that worked; the pool ends the others by SIGTERM."""
    codes = []
    for process in processes:
        process.join(timeout=5)
        codes.append(process.exitcode)
    code = next((code for code in codes if code not in (None, 0, -signal.SIGTERM)), -signal.SIGTERM)
    if code >= 0:
        return f"it ended its process with exit code {code}"
    hint = " (as for want of memory)" if -code == signal.SIGKILL else ""
    return f"its process was killed by {signal.Signals(-code).name}{hint}"


def _begin() -> None:
    """Make a new process a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    # Kernels may print and read
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    import ascend_sim.explore.evaluation  # noqa: F401  # takes a second, which no point shall wait for

    # A point leaves a million objects and no garbage that could not wait for a few more: `worker` collects it
    gc.collect()
    gc.freeze()
    gc.disable()


def _end_with(sentinel: int) -> None:
    """End this process when the one that started it has ended, whatever it is computing."""
    wait([sentinel])
    os._exit(1)


def _warm() -> None:
    """Compile the engine, or load it; other processes find what this one has compiled."""
    from ascend_sim.engine.totals import compile_engine

    compile_engine()
