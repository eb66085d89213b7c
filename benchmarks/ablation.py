"""The ablation of AMLA at the flagship shape: preload, integer rescaling and double buffers, on and off.

    python benchmarks/ablation.py [--set KEY=VALUE ...]

prints a Markdown table, one row a combination.
"""

from __future__ import annotations

import argparse
import itertools

from ascend_sim.config import load_run
from ascend_sim.simulate import simulate

DOUBLE = {True: ("kv_buffers=3", "l0_buffers=2"), False: ("kv_buffers=1", "l0_buffers=1")}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override for every row")
    overrides = parser.parse_args().set
    print("| preload | rescale | L1 and L0 buffers | time (us) | TFLOPS | cube ratio | utilisation |")
    print("|---|---|---|---:|---:|---:|---:|")
    for double, preload, rescale in itertools.product((False, True), (0, 1), ("mul", "add")):
        buffers = [f"tiling.{setting}" for setting in DOUBLE[double]]
        settings = [f"schedule.preload={preload}", f"schedule.rescale={rescale}", *buffers, *overrides]
        result = simulate(load_run("amla_decode", settings)).result
        buffering = "several" if double else "single"
        print(
            f"| {preload} | {rescale} | {buffering} | {result.time_us:.1f} | {result.tflops:.1f} "
            f"| {result.pipes['aic_cube_ratio']:.3f} | {result.flops_utilization:.1%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
