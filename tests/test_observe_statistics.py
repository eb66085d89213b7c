"""Pipe ratios, stalls and bytes, against sums by hand; what is said to bound a kernel."""

from __future__ import annotations

import pytest
from outcomes import outcome
from tiny import Body, build, chip, load, store, work

from ascend_sim import kernel as asc
from ascend_sim.engine.machine import simulate_timing
from ascend_sim.isa.words import Pipe, Space
from ascend_sim.observe.statistics import CoreStatistics, core_statistics, pipe_ratios
from ascend_sim.observe.timeline import Timelines
from ascend_sim.simulate import Outcome

RATIOS = [
    "aic_cube_ratio", "aic_mte1_ratio", "aic_mte2_ratio", "aic_fixpipe_ratio", "aic_scalar_ratio",
    "aiv_vec_ratio", "aiv_mte2_ratio", "aiv_mte3_ratio", "aiv_scalar_ratio",
]  # fmt: skip


def test_ratios_are_averages_over_the_cores_that_had_work() -> None:
    """Of three blocks one works 200 cycles on V, one 100, one only sets a flag: 150 of the 240 cycles on average."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.index < 2:
            work(core, 20 - 10 * core.index)  # 200 and 100 on the pipe; the first is visible at 240
        else:
            asc.set_flag(Pipe.V, Pipe.MTE3, 0)
            asc.wait_flag(Pipe.V, Pipe.MTE3, 0)

    on = chip("scalar.issue_cycles=6")
    schedule = simulate_timing(build(body, on, blocks=3), on)
    ratios = pipe_ratios(core_statistics(Timelines(schedule, on)), schedule.cycles)

    assert schedule.cycles == 240
    assert list(ratios) == [*RATIOS, "aic_scalar_stall_ratio", "aiv_scalar_stall_ratio"]
    assert ratios["aiv_vec_ratio"] == 150 / 240
    assert ratios["aiv_scalar_ratio"] == 6 / 240
    assert {name for name, ratio in ratios.items() if ratio} == {"aiv_vec_ratio", "aiv_scalar_ratio"}


def test_the_cube_counts_fractal_cycles_only() -> None:
    """An mmad of two fractals counts 200 cycles, though it holds the pipe for 210 and shows its result after 250."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        left = core.tensor("left", Space.L0A, (16, 32), asc.fp16)
        right = core.tensor("right", Space.L0B, (32, 16), asc.fp16)
        asc.mmad(core.tensor("tile", Space.L0C, (16, 16), asc.fp32), left, right, init=True)

    on = chip()
    schedule = simulate_timing(build(body, on, cores="cube"), on)
    ratios = pipe_ratios(core_statistics(Timelines(schedule, on)), schedule.cycles)

    assert ratios["aic_cube_ratio"] == 200 / 250


def test_stalls_are_charged_to_the_pipe_with_the_full_queue() -> None:
    """The fourth adds is ready at 3 and issued at 100; the second load is ready at 102 and its queue has room."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        for _ in range(4):
            work(core, 10)
        load(core, gm, 64)
        load(core, gm, 64)

    (core,) = statistics_of(body, "scalar.issue_cycles=1", "scalar.queue_depth=2")

    assert core.stalls == {Pipe.S: 0, Pipe.MTE2: 0, Pipe.V: 97, Pipe.MTE3: 0}


def test_waits_of_the_scalar_unit() -> None:
    """The scalar unit waits 210 cycles for the flag behind the load; passing the flag costs 5."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400)
        asc.set_flag(Pipe.MTE2, Pipe.S, 0)
        asc.wait_flag(Pipe.MTE2, Pipe.S, 0)

    (core,) = statistics_of(body)

    assert core.scalar_wait == 215


def test_bytes_and_heads_by_path() -> None:
    """Two loads of 64 and 6400 B and a store of 96 B; every load has a head of 100 cycles, the store one of 50."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 64)
        load(core, gm, 6400)
        store(core, gm, 96)

    (core,) = statistics_of(body)

    assert core.moved == {(Space.GM, Space.UB): 6464, (Space.UB, Space.GM): 96}
    assert core.heads == {Pipe.MTE2: 200, Pipe.MTE3: 50}
    assert core.issued == {Pipe.MTE2: 2, Pipe.MTE3: 1}
    assert core.total == (100 + 1) + (100 + 100)


def statistics_of(body: Body, *overrides: str) -> list[CoreStatistics]:
    """The statistics of every core that executes *body*."""
    on = chip(*overrides)
    return core_statistics(Timelines(simulate_timing(build(body, on), on), on))


def test_lumped_cores_count_once_for_each_member() -> None:
    """Ratios of a run of one core for each class are those of a run of every core."""
    alike = ("chip.launch.skew_cycles=0", "problem.length=98304", "problem.tile=1024")
    lumped, every = outcome("vector_add", *alike), outcome("vector_add", *alike, "symmetry=false")

    assert len(lumped.schedule.cores) < len(every.schedule.cores)
    assert lumped.result.pipes == every.result.pipes


def bound(name: str, *overrides: str) -> str:
    """What is said to bound a run."""
    found: Outcome = outcome(name, *overrides)
    return found.result.bound_by


LARGE = ("problem.length=2000000", "problem.tile=8192")
WIDE_HBM = ("chip.hbm.bytes_per_second=1e14",)
SLOW = "{first_cycles: 9000, further_cycles: 90.0, latency_cycles: 9}"


@pytest.mark.parametrize(
    ("overrides", "start"),
    [
        (LARGE, "aiv_mte2 (memory: HBM bandwidth, "),
        ((*LARGE, *WIDE_HBM, "chip.l2.read_bytes_per_cycle=500"), "aiv_mte2 (memory: L2 bandwidth, "),
        ((*LARGE, *WIDE_HBM, "chip.paths.gm_to_ub.bytes_per_cycle=20"), "aiv_mte2 (memory: its own path, "),
        (("problem.length=100000", "problem.tile=64"), "aiv_mte2 (memory: latency, "),
        ((f"chip.vector.ops.vadd.fp32={SLOW}",), "aiv_vec (compute): "),
        (("chip.launch.vector_seconds=1e-3",), "launch (the launch of the kernel): 100"),
        (("chip.scalar.issue_cycles=2000",), "aiv_scalar (instruction issue): "),
    ],
)
def test_what_bounds_an_elementwise_kernel(overrides: tuple[str, ...], start: str) -> None:
    """The figure that is made scarce is the one that is named."""
    assert bound("vector_add", *overrides).startswith(start)
    assert bound("vector_add", *overrides).endswith(" % of the critical path")


@pytest.mark.parametrize(
    ("overrides", "start"),
    [
        (("chip.cube.cycles_per_fractal.bf16=8",), "aic_cube (compute): "),
        (("chip.paths.l1_to_l0b.bytes_per_cycle=8",), "aic_mte1 (on-chip moves L1 -> L0): "),
        (("chip.paths.l0c_to_gm.bytes_per_cycle=1",), "aic_fixpipe (memory: its own path, "),
    ],
)
def test_what_bounds_a_matrix_product(overrides: tuple[str, ...], start: str) -> None:
    """The pipe that is made slow is the one that is named."""
    assert bound("gemm_small", *overrides).startswith(start)
