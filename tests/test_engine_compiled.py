"""The compiled engine gives the same cycles as the one that is written to be read, or hands the program over to it."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
from fuzzing import cases, deadline
from hypothesis import given
from program_writer import RandomProgram
from random_programs import random_program

from ascend_sim import kernel as asc
from ascend_sim.config import Chip, load_run
from ascend_sim.engine import compiled, tables, totals
from ascend_sim.engine.budget import Budget
from ascend_sim.engine.machine import Schedule, simulate_timing
from ascend_sim.engine.symmetry import classify, every_core
from ascend_sim.engine.totals import die_cores, simulate_totals, totals_of
from ascend_sim.errors import BudgetError, DeadlockError, FlagError
from ascend_sim.kernel import Pipe, Program, Space
from ascend_sim.simulate import prepare

SLOW_HBM = ["chip.hbm.bytes_per_second=2e11", "chip.hbm.mixed_bytes_per_second=1e11"]


def ends_with(program: Program, chip: Chip, symmetry: bool, schedule: Schedule | None) -> set[int]:
    """How the compiled engine ends on each die; a run to the end has all the times of *schedule*."""
    codes = set()
    expected = iter(() if schedule is None else schedule.cores)
    for cores in die_cores(program, chip, classify(program, chip) if symmetry else every_core(program)).values():
        laid = tables.layout(cores, chip, program, timed=True)
        code = compiled.run_die(laid.m, laid.f)
        codes.add(code)
        for core, at in zip(cores, laid.cores, strict=True) if code == compiled.DONE and schedule else ():
            starts, ends = laid.times(at, core.stream.length)
            reference = next(expected)
            assert reference.stream is core.stream
            assert np.array_equal(starts, reference.starts)
            assert np.array_equal(ends, reference.ends)
    return codes


def same(program: Program, chip: Chip, symmetry: bool = True) -> Schedule:
    """Assert that both engines agree on every start and end, and on all sums; return the schedule."""
    schedule = simulate_timing(program, chip, symmetry=symmetry)
    assert ends_with(program, chip, symmetry, schedule) == {compiled.DONE}
    classes = None if symmetry else every_core(program)
    assert simulate_totals(program, chip, classes) == totals_of(schedule)
    return schedule


@pytest.mark.parametrize(
    ("run", "overrides"),
    [
        ("vector_add", []),
        ("softmax", ["launch.blocks=3", "chip.scalar.queue_depth=4", "chip.scalar.issue_cycles=3"]),
        ("gemm_small", []),
        ("gemm_small", ["launch.blocks=2", "schedule.split_k=2", "tiling.unit_flag=false"]),
        ("gemm_1536", ["chip.l2.bytes=1048576", *SLOW_HBM]),
        ("flash_attention_small", []),
        ("amla_small", []),
        ("amla_small", ["program=mla_base", "schedule.preload=0"]),
        ("amla_small", ["chip.launch.mix_skew_cycles=0", "problem.kv_tokens=1024"]),
        ("amla_small", ["chip.l2.bytes=1048576", "chip.l2.total_bytes_per_cycle=200.0"]),
    ],
)
def test_bundled_programs(run: str, overrides: list[str]) -> None:
    """Every start, end and sum is the same: flags, unit flags, evictions, write-backs, shared misses, scarce rates."""
    config = load_run(run, overrides)
    _, _, program = prepare(config)

    same(program, config.chip)
    same(program, config.chip, symmetry=False)


def test_write_backs_are_met() -> None:
    """The case above with a small L2 does push dirty sectors out, so that their way back to HBM is compared too."""
    config = load_run("gemm_1536", ["chip.l2.bytes=1048576"])
    _, _, program = prepare(config)

    assert same(program, config.chip).memory.hbm_write_bytes > 0


@cases(40, 2500)
@given(random_program())
def test_random_programs(random: RandomProgram) -> None:
    """Whatever instructions a program has, lumped or core by core, the times are the same."""
    with deadline(60.0):
        program = random.build()
        same(program, random.chip)
        same(program, random.chip, symmetry=False)


@cases(60, 2500)
@given(random_program(drop=True))
def test_a_program_that_lacks_a_synchronisation(random: RandomProgram) -> None:
    """What the other engine refuses does not pass here, and all others have the same times."""
    with deadline(60.0):
        program = random.build()
        try:
            schedule = simulate_timing(program, random.chip, symmetry=False)
        except (DeadlockError, FlagError) as error:
            schedule, refused = None, error
        if schedule is not None:
            assert ends_with(program, random.chip, False, schedule) == {compiled.DONE}
        else:
            assert compiled.FAULT in ends_with(program, random.chip, False, None)
            with pytest.raises(type(refused)) as found:
                simulate_totals(program, random.chip, every_core(program))
            assert found.value.diagnostics == refused.diagnostics


def test_more_sets_than_it_keeps() -> None:
    """Nine sets that are known before the first is waited for are left to the engine that keeps any number."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        tiny.store(core, gm, 640)  # holds PIPE_MTE3 until cycle 70, which is not known before
        values = tiny.ub(core, 6400)
        for _ in range(compiled.SLOTS + 1):
            asc.adds(values, values, 1.0)  # 1000 cycles, so that each set is waited for before the next
            asc.set_flag(Pipe.V, Pipe.MTE3, 0)
            asc.wait_flag(Pipe.V, Pipe.MTE3, 0)

    on = tiny.chip()
    program = tiny.build(body, on)
    schedule = simulate_timing(program, on)

    assert ends_with(program, on, True, None) == {compiled.FULL}
    assert simulate_totals(program, on) == totals_of(schedule)


def test_rates_that_are_too_large_for_its_integers() -> None:
    """A chip whose rates could overflow 64 bits is simulated, by the other engine."""
    on = tiny.chip("l2.read_bytes_per_cycle=1e9", "l2.total_bytes_per_cycle=1e9")
    program = tiny.build(lambda core, gm: tiny.load(core, gm, 6400), on)

    with pytest.raises(tables.Unsupported):
        tables.layout(die_cores(program, on, every_core(program))[0], on, program)
    assert simulate_totals(program, on).cycles == 200


def test_all_cores_meet() -> None:
    """Cross-core flags of all modes are heard by the same cores at the same cycles."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        @core.stage(asc.AIC)
        def cube() -> None:
            tile = core.tensor("tile", Space.L1, (64, 64), asc.fp16)
            asc.data_copy(tile, gm.tile[0:64, 64 * (core.index % 4) : 64 * (core.index % 4 + 1)])
            asc.cross_core_set_flag(1, Pipe.MTE2, mode=0)
            asc.cross_core_wait_flag(1, mode=0)
            asc.cross_core_set_flag(2, Pipe.MTE2, mode=2)
            asc.cross_core_wait_flag(3, mode=2)

        @core.stage(asc.AIV)
        def vector() -> None:
            asc.cross_core_wait_flag(2, mode=2)
            tiny.load(core, gm, 6400, 6400 * core.sub)
            asc.cross_core_set_flag(4, Pipe.MTE2, mode=1)
            asc.cross_core_wait_flag(4, mode=1)
            tiny.store(core, gm, 640, 640 * (2 * core.index + core.sub))
            asc.cross_core_set_flag(3, Pipe.MTE3, mode=2)

        cube()
        vector()

    on = tiny.chip("launch.mix_skew_cycles=70")
    same(tiny.build(body, on, "mix", 3), on)


def test_a_limit_of_cycles_is_kept() -> None:
    """A run that takes more cycles than it may is ended with the same message, and one that takes as many is not."""
    config = load_run("gemm_small")
    _, _, program = prepare(config)
    cycles = simulate_totals(program, config.chip).cycles

    assert simulate_totals(program, config.chip, budget=Budget(max_cycles=cycles)).cycles == cycles
    with pytest.raises(BudgetError, match=f"stopped by --max-cycles {cycles - 1}"):
        simulate_totals(program, config.chip, budget=Budget(max_cycles=cycles - 1))


def test_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without numba the sums come from the other engine, and are the same."""
    config = load_run("gemm_small")
    _, _, program = prepare(config)
    found = simulate_totals(program, config.chip)
    monkeypatch.setattr(totals, "is_compiled", lambda: False)
    monkeypatch.setattr(compiled, "run_die", lambda m, f: pytest.fail("it is not there"))

    assert simulate_totals(program, config.chip) == found
