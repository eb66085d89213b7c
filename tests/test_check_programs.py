"""The bundled programs under `check` and under adversarial execution."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_check_mutation import SMALL

from ascend_sim.check.run import check
from ascend_sim.config import load_run, names
from ascend_sim.engine.adversary import execute_adversarially
from ascend_sim.engine.functional import execute, generated_inputs
from ascend_sim.engine.machine import simulate_timing
from ascend_sim.simulate import prepare

ROOT = Path(__file__).parent.parent
SHORTER = {
    "amla_decode": ("problem.batch=4", "problem.kv_tokens=1100", "launch.blocks=4"),
    "amla_long": ("problem.kv_tokens=4000", "launch.blocks=4"),
    "mla_base": ("problem.batch=4", "problem.kv_tokens=1100", "launch.blocks=4"),
    "flash_attention": ("problem.query_tokens=512", "problem.kv_tokens=1024", "launch.blocks=4"),
    "gemm": ("problem.m=512", "problem.n=512", "problem.k=512", "launch.blocks=4", "schedule.grid=[2,2]"),
    "gemm_bp0047": ("problem.m=1024", "problem.n=1280", "problem.k=512"),
    "pasa": (
        "problem.heads=4", "problem.kv_heads=2", "problem.query_tokens=512", "problem.kv_tokens=384", "launch.blocks=4",
    ),
    "softmax": ("problem.rows=300",),
}
"""Runs whose check takes long, with fewer repetitions of the same."""
ADVERSARIAL = {
    **SMALL,
    "vector_add": ("problem.length=6000", "problem.tile=1000", "launch.blocks=2"),
    "softmax": ("problem.rows=30", "problem.columns=100", "tiling.elements=1024", "launch.blocks=2"),
    "gemm_small": ("problem.m=140", "problem.n=280", "problem.k=150", "launch.blocks=2"),
    "microbench": ("launch.blocks=2",),
}


@pytest.mark.parametrize("name", names("runs"))
def test_every_bundled_run_is_clean(name: str) -> None:
    """No bundled program has a race, a misused flag, unwritten memory or broken numbers."""
    checked = check(load_run(name, SHORTER.get(name, ())))

    assert [str(one.diagnostic()) for one in checked.errors] == []
    assert checked.instructions > 0


@pytest.mark.parametrize("program", ["amla", "mla_base"])
@pytest.mark.parametrize("preload", [0, 1, 2])
def test_every_schedule_of_mla_is_clean(program: str, preload: int) -> None:
    """The order holds for each choice that the run file offers, with single buffers as well."""
    for buffers in (1, 2):
        overrides = [f"program={program}", f"schedule.preload={preload}", f"tiling.l0_buffers={buffers}"]
        more = [f"tiling.kv_buffers={buffers}", "problem.batch=2", "problem.kv_tokens=[300,70]", "launch.blocks=1"]
        checked = check(load_run("amla_small", [*SMALL["amla_small"], *overrides, *more]))

        assert [str(one.diagnostic()) for one in checked.errors] == []


@pytest.mark.parametrize("name", sorted(ADVERSARIAL))
def test_a_hundred_orders_give_the_same_bits(name: str) -> None:
    """Whatever order the flags allow, a bundled program computes the same bits: nothing depends on times."""
    run = load_run(name, ["launch.blocks=1", *ADVERSARIAL[name]])
    _, _, program = prepare(run)
    inputs = generated_inputs(program, 1, "normal", 1.0)
    scheduled = execute(program, simulate_timing(program, run.chip, symmetry=False), run.chip, inputs)

    for seed in range(100):
        found = execute_adversarially(program, run.chip, inputs, seed)
        assert all(found[key].tobytes() == scheduled[key].tobytes() for key in scheduled), f"seed {seed}"


def test_the_flagship_is_checked_in_a_minute() -> None:
    """A check of AMLA with more than 200,000 instructions takes less than 60 s and 2 GiB of one core."""
    arguments = ["amla_decode", "--set", "problem.batch=12", "--set", "problem.kv_tokens=4096", "--no-hints"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "ascend_sim.cli", "check", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    elapsed = time.perf_counter() - begin
    used = resource.getrusage(resource.RUSAGE_CHILDREN)

    assert done.returncode == 0, done.stderr
    instructions = int(done.stdout.split(" instructions")[0].split()[-1].replace(",", ""))
    assert instructions >= 200_000
    assert used.ru_utime - before < 60.0, f"{elapsed:.0f} s elapsed"
    assert used.ru_maxrss < 2 << 20
