"""What a run depends on: small programs by hand, bundled ones against the simulation of each change, and the cost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from outcomes import SMALL, outcome
from rich.console import Console
from tiny import Body, build, chip, load, store, work

from ascend_sim import kernel as asc
from ascend_sim.config import Chip, load_run
from ascend_sim.engine.machine import simulate_timing
from ascend_sim.isa.words import Pipe, Space
from ascend_sim.kernel.build import Cores
from ascend_sim.observe import dependence as module
from ascend_sim.observe.critical_path import critical_path
from ascend_sim.observe.dependence import critical_path_and_dependence
from ascend_sim.observe.timeline import Timelines
from ascend_sim.report.summary import summary
from ascend_sim.sensitivity import sensitivity
from ascend_sim.simulate import simulate

STEP = 0.1
RATE = (1 / (1 + STEP) - 1 / (1 - STEP)) / (2 * STEP)
"""d(1 / rate) / d ln(rate) as differences of +-10 % have it: about -1."""


def dependence(body: Body, on: Chip | None = None, cores: Cores = "vector", blocks: int = 1) -> dict[str, float]:
    """The elasticities of *body* on the tiny chip."""
    on = chip() if on is None else on
    schedule = simulate_timing(build(body, on, cores, blocks), on)
    _, found = critical_path_and_dependence(Timelines(schedule, on))
    return {one.figure: one.elasticity for one in found}


# --- By hand ---


def test_a_move_depends_on_head_and_rate() -> None:
    """100 cycles of head and 6400 B at 64 B a cycle: half of the 200 cycles each."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400)

    assert dependence(body) == pytest.approx(
        {"paths.gm_to_ub.head_cycles": 0.5, "paths.gm_to_ub.bytes_per_cycle": 0.5 * RATE}
    )


def test_a_vector_operation_counts_as_a_whole() -> None:
    """Twice 20 repeats: 200 cycles on the pipe, then 200 and 40 of latency, all of them costs of one row."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 20)
        work(core, 20)

    on = chip()
    schedule = simulate_timing(build(body, on), on)
    _, [found] = critical_path_and_dependence(Timelines(schedule, on))

    assert (found.figure, found.unit, found.standing) == ("vector.ops.vadds", "cycles", "override")
    assert found.elasticity == pytest.approx(1.0)
    assert found.values == {
        "vector.ops.vadds.fp32.first_cycles": 10,
        "vector.ops.vadds.fp32.further_cycles": 10.0,
        "vector.ops.vadds.fp32.latency_cycles": 40,
    }


def test_flags_and_launch_and_issue_have_their_shares() -> None:
    """Launch 100, load 200, set 10, wait 5, 2 repeats 60: 375 cycles; issue lies behind the load."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400)
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
        work(core, 2)

    found = dependence(body, chip("launch.vector_seconds=1e-7"))

    assert found == pytest.approx(
        {
            "paths.gm_to_ub.head_cycles": 100 / 375,
            "launch.vector_seconds": 100 / 375,
            "paths.gm_to_ub.bytes_per_cycle": 100 / 375 * RATE,
            "vector.ops.vadds": 60 / 375,
            "sync.set_flag_cycles": 10 / 375,
        }
    )


def test_the_time_between_cores_counts_for_their_flags() -> None:
    """A flag from cube to vector cores travels 300 cycles, after the 10 of setting it."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_cube:
            asc.cross_core_set_flag(0, Pipe.FIX)
        else:
            asc.cross_core_wait_flag(0)

    found = dependence(body, cores="mix")

    assert found["sync.cross_core_latency_cycles"] == pytest.approx(300 / 310)
    assert found["sync.set_flag_cycles"] == pytest.approx(10 / 310)


def test_blocks_that_begin_later_depend_on_the_skew() -> None:
    """Of eight vector cores, two a group, the last two begin 3 x 50 cycles after the first, and work for 240."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        work(core, 20)

    found = dependence(body, chip("launch.skew_cycles=50"), blocks=8)

    assert found == pytest.approx({"launch.skew_cycles": 150 / 390, "vector.ops.vadds": 240 / 390})


def test_the_cube_depends_on_its_fractals() -> None:
    """10 + 100 cycles for a fractal, visible 50 + 100 after the start: two thirds are the fractal, a third latency."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        left = core.tensor("left", Space.L0A, (16, 16), asc.fp16)
        right = core.tensor("right", Space.L0B, (16, 16), asc.fp16)
        asc.mmad(core.tensor("tile", Space.L0C, (16, 16), asc.fp32), left, right, init=True)

    found = dependence(body, cores="cube")

    assert found == pytest.approx({"cube.cycles_per_fractal.fp16": 2 / 3, "cube.latency_cycles": 1 / 3})


def test_a_miss_depends_on_the_miss_rate() -> None:
    """6400 B that miss come at 16 B a cycle from the start on: 400 cycles, whatever the head and the path allow."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 6400)

    found = dependence(body, chip("paths.gm_to_ub.miss_bytes_per_cycle=16"))

    assert found == pytest.approx({"paths.gm_to_ub.miss_bytes_per_cycle": RATE})


@pytest.mark.parametrize(
    ("figures", "hbm", "figure"),
    [
        (("l2.read_bytes_per_cycle=64",), 1024, "l2.read_bytes_per_cycle"),
        ((), 64, "hbm.bytes_per_second"),
    ],
)
def test_moves_that_share_a_bandwidth_depend_on_it(figures: tuple[str, ...], hbm: float, figure: str) -> None:
    """Eight cores that load together get an eighth of a bandwidth of 64 B a cycle: little else matters."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        load(core, gm, 16384, 16384 * core.index)

    found = dependence(body, chip(*figures, hbm=hbm), blocks=8)

    assert found[figure] < -0.9
    assert all(abs(elasticity) < 0.05 for name, elasticity in found.items() if name != figure)


def test_writes_that_share_a_bandwidth_depend_on_it() -> None:
    """The same for stores, and the rate that writes have in L2."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        store(core, gm, 16384, 16384 * core.index)

    found = dependence(body, chip("l2.write_bytes_per_cycle=64"), blocks=8)

    assert found["l2.write_bytes_per_cycle"] < -0.9


def test_a_program_without_work_depends_on_nothing() -> None:
    """Where no time passes, there is nothing to divide by."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        pass

    assert dependence(body) == {}


# --- Bundled programs ---


@pytest.mark.parametrize("name", list(SMALL))
def test_the_walk_is_that_of_the_critical_path(name: str) -> None:
    """The path that comes with the dependence is the one of `critical_path`."""
    timelines = outcome(name).timelines

    assert critical_path_and_dependence(timelines)[0] == critical_path(timelines)


@pytest.mark.parametrize("name", list(SMALL))
def test_the_result_names_a_few_figures(name: str) -> None:
    """At most five, the largest first, none that does not matter, with the value, standing and source of the chip."""
    result = outcome(name).result
    sizes = [abs(one["elasticity"]) for one in result.depends_on]

    assert 0 < len(sizes) <= module.MOST
    assert sizes == sorted(sizes, reverse=True)
    assert min(sizes) >= module.SMALL
    for one in json.loads(result.to_json())["depends_on"]:
        assert list(one) == ["figure", "elasticity", "values", "unit", "standing", "source"]
        assert set(one["source"].split(", ")) <= set(result.config["chip"]["sources"])
        assert one["values"]
        for key, value in one["values"].items():
            assert key.startswith(one["figure"]) or one["figure"].startswith("hbm.")
            assert _at(result.config["chip"], key) == value


def _at(chip_: object, key: str) -> object:
    for name in key.split("."):
        assert isinstance(chip_, dict)
        chip_ = chip_[name]
    return chip_["value"] if isinstance(chip_, dict) else chip_


COMPARED = {
    "gemm_small": (),
    "softmax": ("problem.rows=256",),
    "vector_add": (),
    "amla_small": ("problem.batch=1", "problem.kv_tokens=200", "launch.blocks=1"),
}
NOT_ESTIMATED = ("clock_hz", "scalar.queue_depth")
"""The clock is left out on purpose; a deeper queue has no cost that could be asked for."""
FACTOR = 3.0
"""A figure of one cycle can only be doubled in a simulation, which moves the path; the estimate is for small ones."""


@pytest.mark.parametrize("name", list(COMPARED))
def test_the_estimate_agrees_with_simulating_every_change(name: str) -> None:
    """The figure that matters most in either is among the three that do in the other, within a factor of three."""
    estimated = {
        one["figure"]: one["elasticity"]
        for one in simulate(load_run(name, COMPARED[name]), data=False).result.depends_on
    }
    rows = sensitivity(name, COMPARED[name]).rows
    exact = {row.figure: row.elasticity for row in rows if row.elasticity is not None}
    simulated = {figure: value for figure, value in exact.items() if figure not in NOT_ESTIMATED}

    for left, right in ((estimated, simulated), (simulated, estimated)):
        first = next(iter(left))
        assert first in list(right)[:3]
        assert 1 / FACTOR < estimated[first] / simulated[first] < FACTOR, first


def _shares(name: str) -> Iterator[float]:
    """Time for the dependence beyond that for the critical path, as a share of the run's."""
    for _ in range(3):
        run = load_run(name)
        begin = time.perf_counter()
        timelines = simulate(run, data=False).timelines
        whole = time.perf_counter() - begin
        begin = time.perf_counter()
        critical_path(timelines)
        walk = time.perf_counter() - begin
        begin = time.perf_counter()
        critical_path_and_dependence(timelines)
        yield (time.perf_counter() - begin - walk) / whole


@pytest.mark.parametrize("name", ["gemm_small", "amla_small"])
def test_it_costs_little(name: str) -> None:
    """Less than 5 % of a run's time; the least of a few attempts, since other work on the host only adds to it."""
    assert min(_shares(name)) < 0.05


def test_the_summary_shows_it_at_80_columns() -> None:
    """One line for each figure, with its elasticity in front and its standing behind, none of them folded."""
    found = outcome("gemm_small")
    console = Console(width=80)
    with console.capture() as capture:
        console.print(summary(found.result, found.statistics))
    lines = capture.get().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("depends on"))

    for line, one in zip(lines[first:], found.result.depends_on, strict=False):
        words = line.removeprefix("depends on").split()
        assert words == [f"{one['elasticity']:+.2f}", one["figure"], *one["standing"].split()]
