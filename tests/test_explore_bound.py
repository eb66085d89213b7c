"""The lower bound is never above what is simulated, and is met where one unit does everything."""

from __future__ import annotations

import pytest
import tiny
from fuzzing import cases, deadline
from hypothesis import given
from program_writer import RandomProgram
from random_programs import random_program

from ascend_sim import kernel as asc
from ascend_sim.config import load_run
from ascend_sim.engine.totals import simulate_totals
from ascend_sim.explore.bound import lower_bound
from ascend_sim.simulate import prepare


@cases(60, 3000)
@given(random_program())
def test_no_program_is_faster_than_its_bound(random: RandomProgram) -> None:
    """Whatever a program does, it takes at least the cycles of its bound."""
    with deadline(60.0):
        program = random.build()

        assert lower_bound(program, random.chip) <= simulate_totals(program, random.chip).cycles


@pytest.mark.parametrize(
    ("run", "overrides", "share"),
    [
        ("vector_add", [], 0.9),
        ("vector_add", ["chip.hbm.bytes_per_second=1e11", "chip.hbm.mixed_bytes_per_second=1e11"], 0.95),
        ("softmax", ["launch.blocks=3"], 0.8),
        ("gemm_1536", [], 0.6),
        ("gemm_1536", ["chip.l2.read_bytes_per_cycle=500.0"], 0.9),
        ("gemm_1536", ["chip.hbm.bytes_per_second=1e11", "chip.hbm.mixed_bytes_per_second=5e10"], 0.6),
        ("flash_attention_small", [], 0.4),
        ("amla_small", [], 0.3),
        ("amla_small", ["chip.launch.mix_skew_cycles=0", "chip.l2.bytes=1048576"], 0.3),
    ],
)
def test_bundled_programs(run: str, overrides: list[str], share: float) -> None:
    """The bound holds, and is no less than the given share of the time, whichever resource is the scarce one."""
    config = load_run(run, overrides)
    _, _, program = prepare(config)
    bound, cycles = lower_bound(program, config.chip), simulate_totals(program, config.chip).cycles

    assert share * cycles <= bound <= cycles


def test_a_pipe_that_works_alone_has_the_time_of_its_bound() -> None:
    """Three loads, one after the other, from the launch on: 200 + 110 + 101 cycles, and nothing else counts."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        tiny.load(core, gm, 6400)
        tiny.load(core, gm, 640)
        tiny.load(core, gm, 64)

    on = tiny.chip()
    program = tiny.build(body, on)

    assert lower_bound(program, on) == simulate_totals(program, on).cycles == 411


def test_the_scalar_unit_bounds_tiny_instructions() -> None:
    """Six flags for which the scalar unit takes 50 cycles each end no earlier than 300."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        for _ in range(3):
            asc.set_flag(asc.Pipe.V, asc.Pipe.MTE3, 0)
            asc.wait_flag(asc.Pipe.V, asc.Pipe.MTE3, 0)

    on = tiny.chip("scalar.issue_cycles=50")

    assert lower_bound(tiny.build(body, on), on) == 300


def test_what_two_cores_read_comes_from_hbm_once() -> None:
    """Two cores read the same 64 KiB at 16 bytes a cycle of HBM: 4096 cycles, not 8192."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        for part in range(4):
            tiny.load(core, gm, 16384, 16384 * part)

    on = tiny.chip(hbm=16)
    program = tiny.build(body, on, blocks=2)
    bound = lower_bound(program, on)

    assert 0.99 * 4096 < bound <= 4096
    assert bound <= simulate_totals(program, on).cycles < 1.1 * 4096 + 400


def test_what_the_kernel_wrote_itself_need_not_come_from_hbm() -> None:
    """Bytes that some core writes may be in L2 when they are read, so they do not count for HBM."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        tiny.store(core, gm, 65536)
        asc.pipe_barrier(asc.Pipe.ALL)
        asc.data_copy(tiny.ub(core, 16384, "back"), gm.y[0:16384])

    on = tiny.chip(hbm=16)
    program = tiny.build(body, on)

    assert lower_bound(program, on) < 4096
    assert lower_bound(program, on) <= simulate_totals(program, on).cycles
