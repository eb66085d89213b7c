"""How long and how often fuzzing tests try, and what ends a case that does not end itself."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

from hypothesis import HealthCheck, Phase, settings
from hypothesis.internal.conjecture import providers

LONG = os.environ.get("ASCEND_SIM_FUZZ") == "long"
"""Whether to try new cases for a long time, as `make fuzz` does, instead of a few that are always the same."""


def make_repeatable() -> None:
    """Let Hypothesis try the same cases every time, in whichever order and process the tests run."""
    settings.register_profile("repeatable", derandomize=True, database=None)
    settings.load_profile("repeatable")
    # It also draws numbers that it finds in the modules that are loaded, and which these are depends on the tests
    # that ran before in the same process. There is no setting against it.
    if hasattr(providers, "is_local_module_file"):
        setattr(providers, "is_local_module_file", lambda path: False)  # noqa: B010


def cases(short: int, long: int) -> settings:
    """The settings of a test that tries *short* cases, or *long* ones in a long run."""
    return settings(
        max_examples=long if LONG else short,
        derandomize=not LONG,
        database=None,
        deadline=None,
        print_blob=True,
        # A short run says what it found at once; a long one has the time to make it small.
        phases=list(Phase) if LONG else [Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )


class TooSlow(BaseException):
    """A case takes too long; not an Exception, so that nothing on the way takes it for one of the program's."""


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise TooSlow in what takes longer than *seconds*; kill the process if even that does not end it."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(3 * seconds, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)
