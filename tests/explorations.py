"""A kernel whose points are of every kind and take a set time, with exploration files for it."""

from __future__ import annotations

import csv
from pathlib import Path

PROGRAM = '''import os
import time
from pathlib import Path

from ascend_sim import kernel as asc
from ascend_sim.kernel import Space


class Tiling(asc.Parameters):
    a: int = 1  # buffers of 64 KiB of UB, of which 3 fit
    b: int = 1  # additions in each of them


class Host(asc.Parameters):
    delay: float = 0.0  # seconds that a point takes
    deadly: str = ""  # a=1 dies with its process: always, or if there is no file of this name


class Parameters(asc.Parameters):
    tiling: Tiling = Tiling()
    host: Host = Host()


def tensors(gm, p):
    gm.input("x", (256,), asc.fp32)


@asc.kernel(cores="vector", parameters=Parameters, tensors=tensors, flops=lambda p: 256)
def steps(core, gm, p):
    """Loads and additions."""
    print("kernels may print")
    time.sleep(p.host.delay)
    if p.host.deadly and p.tiling.a == 1:
        if p.host.deadly == "always" or not Path(p.host.deadly).exists():
            Path(p.host.deadly).touch() if p.host.deadly != "always" else None
            os.kill(os.getpid(), 9)
    if p.tiling.a == 3 and p.tiling.b == 2:
        asc.wait_flag(asc.Pipe.MTE2, asc.Pipe.V, 0)
    parts = [core.tensor(f"u{number}", Space.UB, 16384, asc.fp32) for number in range(p.tiling.a)]
    for u in parts:
        asc.data_copy(u[:256], gm.x)
        for _ in range(p.tiling.b):
            asc.adds(u, u, 1.0)
'''

SPACE = """space:
  tiling.a: {from: 1, to: 5, step: 1}
  tiling.b: [1, 2, 3, 4]
"""

POINTS = 20
"""Of SPACE: a = 4 and 5 do not fit into UB, and a = 3 with b = 2 never ends."""


def write_exploration(folder: Path, rest: str = SPACE, delay: float = 0.0, deadly: str = "", name: str = "e") -> Path:
    """Write the kernel, its run and an exploration file with *rest* into *folder*; return the exploration file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "steps.py").write_text(PROGRAM, encoding="utf-8")
    run = f"program: steps.py\nchip: ascend910b3\nlaunch: {{blocks: 1}}\nhost: {{delay: {delay}, deadly: '{deadly}'}}\n"
    (folder / "run.yaml").write_text(run, encoding="utf-8")
    path = folder / f"{name}.yaml"
    path.write_text(f"description: loads and additions\nrun: run.yaml\n{rest}", encoding="utf-8")
    return path


def stable(table: Path) -> list[list[str]]:
    """The rows of a points.csv in a folder beside the program, without what tells one such place from another."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][-1] == "host_seconds"
    return [[cell.replace(str(table.parent.parent), "") for cell in row[:-1]] for row in rows]
