"""How long the exploration of AMLA's tilings takes on two cores: all of it, and a search; against single runs.

    python benchmarks/exploration.py [--points 3] [--grid FILE.csv]

Prints what searches in the space of `amla_tiling` find and when, how long single `ascend-sim run` processes take for
some of the same points, how long the whole grid takes, the ratio of its points per second to those of a loop of single
runs, and how near the searches came to the best of all.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMAND = [sys.executable, "-m", "ascend_sim.cli"]
NAME = "amla_tiling"
SEARCHES = {
    "TPE": ["strategy.name=tpe", "strategy.points=200"],
    "TPE, pruned": ["strategy.name=tpe", "strategy.points=400", "strategy.prune=true", "strategy.seed=1"],
}


def explore(folder: Path, *settings: str) -> float:
    """Run the exploration with *settings* on two processes; return the seconds."""
    begin = time.perf_counter()
    words = [word for text in settings for word in ("--set", text)]
    command = [*COMMAND, "explore", NAME, "--jobs", "2", "--quiet", "--out", str(folder), *words]
    subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return time.perf_counter() - begin


def rows(folder: Path) -> list[dict[str, str]]:
    """The points of a finished exploration."""
    with (folder / "points.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def best(points: list[dict[str, str]]) -> float:
    """Microseconds of the fastest point."""
    return min(float(point["time_us"]) for point in points if point["status"] == "done")


def single(point: dict[str, str]) -> float:
    """Seconds of an `ascend-sim run` of *point*, whose time must be the one that was found."""
    keys = [key for key in point if key.startswith(("tiling.", "schedule."))]
    settings = [word for key in keys for word in ("--set", f"{key}={point[key]}")]
    begin = time.perf_counter()
    done = subprocess.run([*COMMAND, "run", "amla_decode", "--json", *settings], check=True, stdout=subprocess.PIPE)
    seconds = time.perf_counter() - begin
    found = json.loads(done.stdout)["time_us"]
    if abs(found - float(point["time_us"])) > 1e-6 * found:
        sys.exit(f"run says {found} us, the exploration {point['time_us']} us for {settings}")
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=3, help="points that are run one by one")
    count = parser.parse_args().points
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        explore(folder / "warm", "strategy.name=random", "strategy.points=4")  # compiles the engine where it is not yet
        found = {}
        for title, settings in SEARCHES.items():
            seconds = explore(folder / title, *settings)
            found[title] = best(rows(folder / title)), seconds
            print(f"{title}: {found[title][0]:.2f} us in {seconds:.0f} s", flush=True)
        some = [point for point in rows(folder / next(iter(SEARCHES))) if point["status"] == "done"]
        singles = [single(point) for point in some[:: max(len(some) // count, 1)][:count]]
        alone = sum(singles) / len(singles)
        print(f"single runs: {alone:.1f} s each (mean of {len(singles)}), {1 / alone:.3f} points/s", flush=True)
        seconds = explore(folder / "grid")
        points = rows(folder / "grid")
        done = [point for point in points if point["status"] == "done"]
        rate = len(done) / seconds
        print(f"grid: {len(points)} points, {len(done)} of them feasible, in {seconds / 60:.1f} min")
        print(f"      {len(points) / seconds:.2f} points/s, {rate:.2f} feasible points/s")
        print(f"ratio: {rate * alone:.0f} feasible points of the grid in the time of one run")
        optimum = best(points)
        print(f"best of the grid: {optimum:.2f} us")
        for title, (time_us, seconds) in found.items():
            print(f"{title}: +{100 * (time_us / optimum - 1):.2f} % in {seconds:.0f} s")


if __name__ == "__main__":
    main()
