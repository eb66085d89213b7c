"""How fast traces are written: slices, seconds and peak memory, in a process of its own for each case.

    python benchmarks/trace.py [CONFIG] [--set KEY=VALUE ...]

CONFIG is the flagship by default; its 72 simulated cores have 3.5 million instructions.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

CASES = (("first", "trace.json"), ("all", "trace.json"), ("all", "trace.json.gz"))
"""The cores that are drawn, and the file."""


def measure(folder: str, cores: str, name: str) -> dict[str, float]:
    """Write a trace of the run in *folder*: slices, wall and CPU seconds, MB of the file, peak MB of the process."""
    from ascend_sim.opened import open_run
    from ascend_sim.report.cores import chosen_cores
    from ascend_sim.report.files import write_files
    from ascend_sim.report.trace import Trace, gzipped

    recording = open_run(folder).recording
    wall, cpu = time.perf_counter(), time.process_time()
    trace, path = Trace(recording, chosen_cores(recording, cores)), Path(folder, name)
    write_files({path: gzipped(trace.text()) if name.endswith(".gz") else trace.text()})
    return {
        "slices": trace.slices,
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "file_mb": path.stat().st_size / 1e6,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }


def in_own_process(folder: str, cores: str, name: str) -> dict[str, float]:
    """`measure` in a fresh interpreter."""
    command = [sys.executable, __file__, "--measure", folder, cores, name]
    result: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result


def main() -> None:
    """Record the run once, and print one line a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default="amla_decode")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    options = ["--no-data", *(f"--set={one}" for one in arguments.set)]
    print(
        f"{'cores':6} {'file':13} {'slices':>9} {'wall s':>6} {'CPU s':>6} {'per s':>8} {'file MB':>8} {'peak MB':>8}"
    )
    with TemporaryDirectory() as folder:
        # Not here: the peak memory of a process counts what the one that started it held.
        command = [sys.executable, "-m", "ascend_sim.cli", "run", arguments.config, "--out", folder, *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for cores, name in CASES:
            found = in_own_process(folder, cores, name)
            print(
                f"{cores:6} {name:13} {found['slices']:9,.0f} {found['wall_s']:6.1f} {found['cpu_s']:6.1f} "
                f"{found['slices'] / found['cpu_s']:8,.0f} {found['file_mb']:8,.1f} {found['peak_mb']:8.0f}",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(*sys.argv[2:])))
    else:
        main()
