"""What becomes of a point: the same metrics as a run's, infeasible and failed points with their reasons, and keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ascend_sim.config import load_run
from ascend_sim.explore.evaluation import category_of, evaluate
from ascend_sim.explore.point import METRICS, Assignment, Base, Limits
from ascend_sim.explore.resolve import base_of, key_of
from ascend_sim.simulate import simulate

NONE = Limits()

PROGRAM = """from ascend_sim import kernel as asc
from ascend_sim.kernel import Pipe, Space


class Tiling(asc.Parameters):
    repeats: int = 1
    fault: str = "none"


class Parameters(asc.Parameters):
    tiling: Tiling = Tiling()


def tensors(gm, p):
    gm.input("x", (64,), asc.fp32)


@asc.kernel(cores="vector", parameters=Parameters, tensors=tensors, flops=lambda p: 64)
def adds(core, gm, p):
    u = core.tensor("u", Space.UB, 64, asc.fp32)
    asc.data_copy(u, gm.x)
    if p.tiling.fault == "deadlock":
        asc.wait_flag(Pipe.MTE2, Pipe.S, 0)
    if p.tiling.fault == "value":
        raise ValueError("tiling.fault = value is refused; write none")
    if p.tiling.fault == "crash":
        [][0]
    if p.tiling.fault != "race":
        asc.pipe_barrier(Pipe.ALL)
    for _ in range(p.tiling.repeats):
        asc.adds(u, u, 1.0)
"""


@pytest.fixture
def base(tmp_path: Path) -> Base:
    """A kernel of one core that can be made to fail."""
    return written(tmp_path, PROGRAM)


def written(folder: Path, program: str) -> Base:
    """The base of a run of *program* in *folder*."""
    (folder / "adds.py").write_text(program, encoding="utf-8")
    run = folder / "run.yaml"
    run.write_text("program: adds.py\nchip: ascend910b3\nlaunch: {blocks: 1}\n", encoding="utf-8")
    return base_of(load_run(run))


@pytest.mark.parametrize(
    ("run", "assignment"),
    [
        ("gemm_small", {}),
        ("gemm_small", {"tiling.l0_k": 32, "chip.l2.read_bytes_per_cycle": 900.0}),
        ("softmax", {"launch.blocks": 3}),
        ("amla_small", {"schedule.preload": 0}),
    ],
)
def test_metrics_are_those_of_the_run(run: str, assignment: dict[str, Any]) -> None:
    """Whatever result.json says too is the same in a point, and the bound is no more than the cycles."""
    found = evaluate(base_of(load_run(run)), assignment, NONE)
    outcome = simulate(load_run(run, [f"{name}={value}" for name, value in assignment.items()]), data=False)
    result = outcome.result
    memory = result.memory
    used = {use.space: sum(size for _, size in use.buffers) for use in outcome.program.buffers}

    assert found.status == "done"
    assert set(found.metrics) == set(METRICS)
    assert found.bound_cycles is not None
    assert found.bound_cycles <= found.metrics["cycles"]
    for name in ("cycles", "time_us", "tflops", "flops_utilization"):
        assert found.metrics[name] == pytest.approx(getattr(result, name), rel=1e-12)
    for name in (name for name in METRICS if name.endswith("_ratio") and name[:2] == "ai"):
        assert found.metrics[name] == pytest.approx(result.pipes[name], rel=1e-12)
    for name in ("hbm_read_bytes", "hbm_write_bytes", "l2_hit_ratio"):
        assert found.metrics[name] == memory[name]
    assert found.metrics["hbm_bytes"] == memory["hbm_read_bytes"] + memory["hbm_write_bytes"]
    assert found.metrics["l2_bytes"] == memory["l2_read_bytes"] + memory["l2_write_bytes"]
    assert all(found.metrics[f"{space.lower()}_bytes"] == used.get(space, 0) for space in ("L1", "L0C", "UB"))


@pytest.mark.parametrize(
    ("assignment", "limits", "status", "category", "reason"),
    [
        ({"tiling.fault": "deadlock"}, NONE, "failed", "deadlock", "no such set_flag is left"),
        ({"tiling.fault": "race"}, NONE, "done", "", ""),
        ({"tiling.fault": "race"}, Limits(check=True), "failed", "race", "nothing orders the two"),
        ({"tiling.fault": "none"}, Limits(check=True), "done", "", ""),
        ({"tiling.fault": "value"}, NONE, "infeasible", "parameters", "tiling.fault = value is refused; write none"),
        ({"tiling.fault": "crash"}, NONE, "failed", "program", "IndexError"),
        ({"tiling.repeats": "many"}, NONE, "infeasible", "parameters", "repeats"),
        ({"launch.blocks": 99}, NONE, "infeasible", "parameters", "launch.blocks = 99 is outside 1..40"),
        ({"chip.l2.sector_bytes": 100}, NONE, "infeasible", "parameters", "power of two"),
        ({"tiling.repeats": 500}, Limits(max_instructions=400), "failed", "budget", "max-instructions 400"),
        ({"tiling.repeats": 500}, Limits(max_cycles=3000), "failed", "budget", "max-cycles 3000"),
    ],
)
def test_points_that_do_not_come_to_a_time(
    base: Base, assignment: Assignment, limits: Limits, status: str, category: str, reason: str
) -> None:
    """The kernel's refusals make a point infeasible, what it does wrong makes it fail, and both say why."""
    found = evaluate(base, assignment, limits)

    assert (found.status, found.category) == (status, category)
    assert reason in found.reason
    assert bool(found.metrics) == (status == "done")


def test_shared_streams_count_as_instructions(base: Base) -> None:
    """A point that was traced before, and so need not be traced again, is held to a limit of instructions too."""
    count = evaluate(base, {"tiling.repeats": 500}, NONE).metrics["instructions"]
    found = evaluate(base, {"tiling.repeats": 500}, Limits(max_instructions=400))

    assert (found.status, found.category) == ("failed", "budget")
    assert found.reason == f"stopped by limits.max_instructions = 400: the program has {count:,} instructions"


@pytest.mark.parametrize(
    ("run", "assignment", "category"),
    [
        ("amla_small", {"tiling.kv_buffers": 4, "tiling.l1_columns": 256}, "capacity"),
        ("amla_small", {"tiling.kv_buffers": 9}, "event ids"),
        ("amla_small", {"tiling.l1_parts": 3}, "alignment"),
        ("gemm_1536", {"schedule.grid": None, "schedule.split_k": 5, "chip.dies": 2}, "divisibility"),
        ("gemm_small", {"schedule.split_k": 10**6}, "parameters"),
    ],
)  # fmt: skip
def test_reasons_have_a_kind(run: str, assignment: dict[str, Any], category: str) -> None:
    """Real refusals of the bundled kernels fall into the kinds by which they are counted."""
    found = evaluate(base_of(load_run(run)), assignment, NONE)

    assert (found.status, found.category) == ("infeasible", category), found.reason
    assert category_of(found.reason) == category


def test_a_point_that_takes_too_long_is_not_simulated(base: Base) -> None:
    """With a bound above the cycles that it may take it is pruned; with its bound as the limit it is not."""
    bound = evaluate(base, {}, NONE).bound_cycles
    assert bound is not None

    assert evaluate(base, {}, NONE, bound).status == "done"
    pruned = evaluate(base, {}, NONE, bound - 1)
    assert (pruned.status, pruned.metrics) == ("pruned", {})
    assert pruned.bound_cycles is not None
    assert bound >= pruned.bound_cycles > bound - 1


def test_a_program_that_was_changed_is_another_one(tmp_path: Path) -> None:
    """A worker that lives on evaluates the source that it is sent, not the one it was sent before under that path."""
    first = written(tmp_path, PROGRAM)
    second = written(tmp_path, PROGRAM.replace("range(p.tiling.repeats)", "range(100 * p.tiling.repeats)"))
    once, hundred = (evaluate(one, {"tiling.repeats": 2}, NONE).metrics["instructions"] for one in (first, second))

    assert hundred > once + 190


def test_equal_points_have_equal_keys(base: Base, tmp_path: Path) -> None:
    """A key is of what determines the result: a default that is written out changes nothing, a value does."""
    key = key_of(base, {})

    assert key_of(base, {"tiling.repeats": 1}) == key
    assert key_of(base, {"chip.l2.sector_bytes": 128}) == key
    others = [
        key_of(base, {"tiling.repeats": 2}),
        key_of(base, {"tiling.repeats": "many"}),
        key_of(base, {"launch.blocks": 2}),
        key_of(base, {"chip.l2.sector_bytes": 64}),
        key_of(written(tmp_path, PROGRAM + "\n"), {}),
    ]
    assert len({key, *others}) == 6
