"""What recording costs: the time of a run with and without it, and of writing the file, in one process.

    python benchmarks/recording.py [CONFIG] [--set KEY=VALUE ...]

Times are CPU seconds of this process, which other work on the machine changes less than it does those of the clock.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ascend_sim.config import load_run
from ascend_sim.report.recording import recording_bytes
from ascend_sim.simulate import simulate

ROUNDS = 3
Value = TypeVar("Value")


def timed(work: Callable[[], Value]) -> tuple[float, Value]:
    """CPU seconds of *work*, and what it returned."""
    begin = time.process_time()
    value = work()
    return time.process_time() - begin, value


def main() -> None:
    """Print a line for each of ROUNDS rounds, and the median ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default="amla_decode")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    run = load_run(arguments.config, arguments.set)
    simulate(run, data=False)  # imports and caches are not part of either
    ratios = []
    for _ in range(ROUNDS):
        plain, _ = timed(lambda: simulate(run, data=False))
        watched, outcome = timed(lambda: simulate(run, data=False, record=True))
        written, content = timed(partial(recording_bytes, outcome.timelines))
        ratios.append((watched + written) / plain)
        print(
            f"run {plain:.2f} s, recorded {watched:.2f} s, file {written:.2f} s and {len(content) / 1e6:.1f} MB for "
            f"{outcome.schedule.simulated_instructions:,} instructions: {ratios[-1]:.2f} x",
            flush=True,
        )
    print(f"recording costs {sorted(ratios)[ROUNDS // 2]:.2f} x the run time without it (median of {ROUNDS})")


if __name__ == "__main__":
    main()
