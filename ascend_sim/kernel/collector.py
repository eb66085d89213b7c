"""Pausing Python's search for cyclic garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Do without the cyclic garbage collector.

    Tracing and timing make millions of small objects that live to the end and no cycles to speak of, so that a tenth
    of their time would go into searching in vain.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
