"""How fast the simulator is, as ratios within one run.

    python benchmarks/speed.py

Each case runs in a process of its own, so that its peak memory is its own. The rate of bare SimPy timeouts (one process
that does nothing but wait) is measured in between, on the same machine at the same time.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Generator
from typing import Any

import simpy

FLAGSHIP: dict[str, Any] = {"batch": 96, "kv_tokens": 16384}
RAGGED: dict[str, Any] = {"batch": 96, "kv_tokens": [16384 + 37 * (request - 48) for request in range(96)]}


def bare_timeouts_per_second(count: int = 1_000_000) -> float:
    """Timeouts per second of CPU time of a SimPy process that does nothing else; the best of three."""

    def wait(env: simpy.Environment) -> Generator[simpy.Event, Any, None]:
        for _ in range(count):
            yield env.timeout(1)

    best = 0.0
    for _ in range(3):
        env = simpy.Environment()
        env.process(wait(env))
        begin = time.process_time()
        env.run()
        best = max(best, count / (time.process_time() - begin))
    return best


def measure(problem: dict[str, Any]) -> dict[str, float]:
    """Trace and simulate AMLA with *problem*, timing only: seconds of CPU and wall time, instructions, peak MiB."""
    from ascend_sim.config import load_run
    from ascend_sim.engine.machine import simulate_timing
    from ascend_sim.kernel import build
    from ascend_sim.kernel.load import load_program

    run = load_run("amla_decode", [f"problem.{key}={value}" for key, value in problem.items()])
    program = load_program(run.program_file())
    wall = time.perf_counter()
    traced = build(program.kernel, run.parameters(program.kernel.parameters), run.chip)
    begin = time.process_time()
    schedule = simulate_timing(traced, run.chip)
    return {
        "engine_s": time.process_time() - begin,
        "wall_s": time.perf_counter() - wall,
        "instructions": schedule.simulated_instructions,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def in_own_process(problem: dict[str, Any]) -> dict[str, float]:
    """`measure` in a fresh interpreter."""
    command = [sys.executable, __file__, json.dumps(problem)]
    result: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result


def main() -> None:
    """Print one line a case."""
    print(f"{'case':34} {'instr':>10} {'wall s':>7} {'MiB':>6} {'instr/s':>9} {'/ bare timeouts':>16}")
    cases = [(f"AMLA batch 96, S_k {keys}", FLAGSHIP | {"kv_tokens": keys}) for keys in (4096, 8192, 16384)]
    per_instruction = []
    for name, problem in [*cases, ("AMLA 96 different lengths", RAGGED)]:
        bare, result = bare_timeouts_per_second(), in_own_process(problem)
        rate = result["instructions"] / result["engine_s"]
        per_instruction.append(result["engine_s"] / result["instructions"])
        print(
            f"{name:34} {result['instructions']:10.0f} {result['wall_s']:7.2f} {result['peak_mib']:6.0f} "
            f"{rate:9.0f} {rate / bare:16.2f}"
        )
    linear = per_instruction[2] / per_instruction[0]
    print(f"engine time per instruction, S_k 16384 over S_k 4096: {linear:.2f} (1 is linear)")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(json.loads(sys.argv[1]))))
    else:
        main()
