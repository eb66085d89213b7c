"""Laws that simulated times and bytes must obey whatever the program: closed forms, bounds, monotony, symmetry."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from program_runs import chip, traced

from ascend_sim.config import Chip
from ascend_sim.engine.machine import CoreSchedule, Schedule, simulate_timing
from ascend_sim.isa.instruction import Instruction
from ascend_sim.isa.timing import Move, Run, Traffic
from ascend_sim.kernel import AIC, AIV, CoreId, CoreKind, Pipe, Program

B2 = chip("ascend910b2")
DIE = ("dies=1", "cores.aic_per_die=4", "launch.skew_cycles=0", "launch.mix_skew_cycles=0")
SMALL = chip("ascend910c", *DIE)
"""One die of four groups of cores: small enough to simulate every core, with bandwidths as published."""


def instructions(program: Program, kind: CoreKind, pipe: Pipe, sub: int = 0) -> Iterator[Instruction]:
    """What the cores of *kind*, numbered *sub* in their groups, execute on *pipe*."""
    for stream in program.streams:
        if stream.core.kind is kind and stream.core.sub == sub:
            yield from (one for _, one in stream if one.pipe is pipe)


def moved(program: Program, kind: CoreKind, pipe: Pipe, *traffic: Traffic, sub: int = 0) -> int:
    """Bytes that *pipe* moves to or from global memory, of the kinds of *traffic* given (all if none)."""
    timings = [one.timing(B2) for one in instructions(program, kind, pipe, sub)]
    moves = [timing for timing in timings if isinstance(timing, Move)]
    return sum(move.access.bytes for move in moves if not traffic or move.traffic in traffic)


def cube_cycles(program: Program) -> int:
    """Fractal cycles of all cube cores."""
    timings = [one.timing(B2) for one in instructions(program, AIC, Pipe.M)]
    return sum(timing.busy for timing in timings if isinstance(timing, Run))


def timed(name: str, sections: dict[str, Any], on: Chip, blocks: int | None = None, symmetry: bool = True) -> Schedule:
    """Trace and simulate a bundled program."""
    return simulate_timing(traced(name, sections, on, blocks), on, symmetry=symmetry)


def amla(kv_tokens: int | list[int], batch: int = 1, query_tokens: int = 2, **more: Any) -> dict[str, Any]:
    """Sections of an amla run with 128 heads; *more* are the schedule and the tiling."""
    return {"problem": {"batch": batch, "query_tokens": query_tokens, "kv_tokens": kv_tokens}, **more}


def gemm(m: int, n: int, k: int, **tiling: Any) -> dict[str, Any]:
    """Sections of an fp16 gemm run with fp32 output and tiles of 128 x 256 unless told otherwise."""
    return {"problem": {"m": m, "n": n, "k": k}, "tiling": tiling}


# --- Closed forms ---


def per_iteration(measure: Any, query_tokens: int) -> int:
    """What *measure* of a program grows by when a request on one core gets 512 keys more, beyond the first ones."""
    two, three = (traced("amla", amla(keys, query_tokens=query_tokens), B2, blocks=1) for keys in (1024, 1536))
    return int(measure(three) - measure(two))


@pytest.mark.parametrize(
    ("query_tokens", "what", "expected"),
    [
        # M = 256 rows, 512 keys, 576 + 512 dimensions: K 512 x 576 + Q 256 x 576 + V 512 x 512 + P 256 x 512, of 2 B
        (2, lambda one: moved(one, AIC, Pipe.MTE2), 1_671_168),
        # S 256 x 512 and O 256 x 512, of 4 B
        (2, lambda one: moved(one, AIC, Pipe.FIX), 1_048_576),
        # Each vector core reads 128 rows of S and writes 128 rows of P (2 B) and of N (4 B, atomic)
        (2, lambda one: moved(one, AIV, Pipe.MTE2), 262_144),
        (2, lambda one: moved(one, AIV, Pipe.MTE2, sub=1), 262_144),
        (2, lambda one: moved(one, AIV, Pipe.MTE3, Traffic.WRITE), 131_072),
        (2, lambda one: moved(one, AIV, Pipe.MTE3, Traffic.ATOMIC), 262_144),
        # 256 x 512 x (576 + 512) multiply-adds, 4096 a cycle
        (2, cube_cycles, 34_816),
        # M = 128 rows: K and V are as large as before, everything else is half
        (1, lambda one: moved(one, AIC, Pipe.MTE2), 1_392_640),
        (1, lambda one: moved(one, AIC, Pipe.FIX), 524_288),
        (1, lambda one: moved(one, AIV, Pipe.MTE2), 131_072),
        (1, lambda one: moved(one, AIV, Pipe.MTE3, Traffic.WRITE), 65_536),
        (1, lambda one: moved(one, AIV, Pipe.MTE3, Traffic.ATOMIC), 131_072),
        (1, cube_cycles, 17_408),
    ],
)
def test_amla_iteration_moves_and_computes_what_the_paper_says(query_tokens: int, what: Any, expected: int) -> None:
    """One more task of 512 keys adds the bytes and fractal cycles of the published data flow, no more and no less."""
    assert per_iteration(what, query_tokens) == expected


@pytest.mark.parametrize("query_tokens", [1, 2])
def test_amla_flops_are_those_of_its_mmads(query_tokens: int) -> None:
    """2 B heads Sq Sk (576 + 512) useful operations; with whole tiles the MMADs do exactly these."""
    program = traced("amla", amla([512, 1024], batch=2, query_tokens=query_tokens), SMALL)

    assert program.flops == 2 * 128 * query_tokens * 1536 * (576 + 512)
    assert sum(one.flops() for one in instructions(program, AIC, Pipe.M)) == program.flops


def test_gemm_flops_are_those_of_its_mmads() -> None:
    """2 m n k useful operations, also when tiles have rests; fractal cycles count the padding to 16 as well."""
    program = traced("gemm", gemm(300, 500, 200), B2)

    assert program.flops == 2 * 300 * 500 * 200
    assert sum(one.flops() for one in instructions(program, AIC, Pipe.M)) == program.flops
    assert cube_cycles(program) == 19 * 32 * 13  # ceil(300 / 16) ceil(500 / 16) ceil(200 / 16)


def test_gemm_reads_its_panels_once_for_each_tile() -> None:
    """Every tile of C reads a row panel of A and a column panel of B through L2; HBM gives each element once."""
    m, n, k = 512, 1024, 768
    memory = timed("gemm", gemm(m, n, k), SMALL).memory
    tile_rows, tile_columns = m // 128, n // 256

    assert memory.l2_read_bytes == 2 * (tile_columns * m * k + tile_rows * k * n)
    assert memory.l2_write_bytes == 4 * m * n
    assert memory.hbm_read_bytes == 2 * (m * k + k * n)
    assert memory.hbm_write_bytes == 0  # C stays in L2
    assert memory.l2_hit_bytes == memory.l2_read_bytes - memory.hbm_read_bytes


WHOLE_ROWS = {"l1_parts": 1, "kv_buffers": 1, "qp_buffers": 2}
"""K and Q move in whole rows, so that every sector is read in one piece."""


@pytest.mark.parametrize(
    "tiling",
    [
        WHOLE_ROWS,
        {},
    ],
    ids=["whole rows", "halves of rows"],
)
def test_cold_amla_reads_the_cache_and_the_queries_once(tiling: dict[str, int]) -> None:
    """From HBM come KV (576 dimensions a token) and Q, each once; S, P, O and the second reading as V hit L2."""
    lengths, batch, rows = [600, 1100, 513, 64], 4, 256
    memory = timed("amla", amla(lengths, batch=batch, tiling=tiling), SMALL).memory

    assert memory.hbm_read_bytes == 2 * 576 * (sum(lengths) + batch * rows)


@pytest.mark.parametrize("symmetry", [True, False])
@pytest.mark.parametrize(
    ("name", "sections"),
    [
        ("amla", amla(600, batch=8)),
        ("gemm", gemm(512, 1024, 256)),
        ("vector_add", {"problem": {"length": 100_000, "tile": 1000}}),
        ("softmax", {"problem": {"rows": 100, "columns": 300}}),
    ],
)
def test_the_memory_sees_every_byte_that_the_program_moves(name: str, sections: dict[str, Any], symmetry: bool) -> None:
    """L2 traffic is the sum over the program: reads, writes, and atomics as both, lumped cores and dies included."""
    on = chip("ascend910c", "cores.aic_per_die=4")
    program = traced(name, sections, on)
    timings = [one.timing(on) for stream in program.streams for _, one in stream]
    moves = [timing for timing in timings if isinstance(timing, Move)]
    memory = simulate_timing(program, on, symmetry=symmetry).memory

    assert memory.l2_read_bytes == sum(one.access.bytes for one in moves if one.traffic is not Traffic.WRITE)
    assert memory.l2_write_bytes == sum(one.access.bytes for one in moves if one.traffic is not Traffic.READ)


# --- Roofline ---


@pytest.mark.parametrize(
    ("name", "sections", "on"),
    [
        pytest.param("gemm", gemm(1024, 1024, 1024), SMALL, id="gemm"),
        pytest.param("gemm", gemm(256, 256, 8192), SMALL, id="gemm, long k"),
        pytest.param("amla", amla(4096, batch=4), SMALL, id="amla"),
        pytest.param("amla", amla(2048, batch=8, query_tokens=1), SMALL, id="amla, one query token"),
        pytest.param("amla", amla(1024, batch=2), chip("ascend910c"), id="amla on two of 48 cores"),
        pytest.param("vector_add", {"problem": {"length": 8_000_000}}, B2, id="vector_add"),
        pytest.param("softmax", {"problem": {"rows": 3000, "columns": 512}}, B2, id="softmax"),
    ],
)
def test_nothing_beats_the_roofline(name: str, sections: dict[str, Any], on: Chip) -> None:
    """No core is done before its fractal cycles, no die before its bytes have crossed HBM and L2 at full rate."""
    schedule = timed(name, sections, on)
    memory, cycles = schedule.memory, schedule.cycles - schedule.launch_cycles
    hbm_bytes = memory.hbm_read_bytes + memory.hbm_write_bytes

    for core in schedule.cores:
        assert core.end - schedule.launch_cycles >= core.busy["M"]
    assert cycles >= hbm_bytes / on.dies.value / on.hbm_bytes_per_cycle(mixed=False)
    assert cycles >= memory.l2_read_bytes / on.dies.value / on.l2.read_bytes_per_cycle.value
    assert cycles >= memory.l2_write_bytes / on.dies.value / on.l2.write_bytes_per_cycle.value
    assert schedule.program.flops / cycles * on.cycles_per_second <= on.peak_flops("bf16")


# --- Monotony ---

TOLERANCE = 1.01
"""When something gets faster, cores meet each other at other moments: who waits for whom at a shared bandwidth, and who
finds in L2 what the other has fetched, may change for a few moves. 1 % is the largest such effect allowed."""


def never_slower(cycles: list[int]) -> bool:
    """Whether each of *cycles* is at most the one before it, within the tolerance."""
    return all(after <= before * TOLERANCE for before, after in pairwise(cycles))


WORK = {
    "gemm": gemm(512, 1024, 512),
    "amla": amla([600, 1100, 64], batch=3),
    "vector_add": {"problem": {"length": 300_000, "tile": 4096}},
    "softmax": {"problem": {"rows": 500, "columns": 500}},
}


@cache
def work(name: str) -> Program:
    """The program of WORK called *name*."""
    return traced(name, WORK[name], SMALL)


@pytest.mark.parametrize("name", list(WORK))
@pytest.mark.parametrize(
    "overrides",
    [
        [f"hbm.bytes_per_second={rate}e11" for rate in (13, 16, 40)],
        [f"l2.read_bytes_per_cycle={rate}" for rate in (100, 200, 400, 3000)],
        [f"l2.write_bytes_per_cycle={rate}" for rate in (100, 200, 400, 3000)],
        [f"l2.total_bytes_per_cycle={rate}" for rate in (100, 200, 400, 3000)],
        [f"paths.gm_to_l1_nz.bytes_per_cycle={rate}" for rate in (20, 60, 110, 500)],
        [f"paths.gm_to_l1_nz.request_cycles={cycles}" for cycles in (20.0, 5.0, 1.4, 0.0)],
        [f"paths.gm_to_l1_nz.miss_bytes_per_cycle={rate}" for rate in (10, 30, 63.5, 500)],
        [f"paths.gm_to_ub.miss_bytes_per_cycle={rate}" for rate in (10, 30, 46, 500)],
        [f"paths.ub_to_gm.sustained_bytes_per_cycle={rate}" for rate in (5, 20, 65.5, 500)],
        [f"paths.l0c_to_gm.bytes_per_cycle={rate}" for rate in (10, 50, 119, 500)],
        [f"paths.l1_to_l0b.bytes_per_cycle={rate}" for rate in (20, 60, 132, 500)],
        [f"scalar.queue_depth={depth}" for depth in (1, 2, 8, 32, 128)],
    ],
    ids=[
        "hbm", "l2 reads", "l2 writes", "l2 total", "nz rate", "nz requests", "nz misses", "ub misses", "stores",
        "drains", "l0b loads", "queue depth",
    ],
)
def test_more_of_the_chip_is_never_slower(name: str, overrides: list[str]) -> None:
    """More bandwidth and longer queues never cost time."""
    program = work(name)  # the same one for all: none of these figures is seen by a kernel
    cycles = [simulate_timing(program, chip("ascend910c", *DIE, override)).cycles for override in overrides]

    assert never_slower(cycles), dict(zip(overrides, cycles, strict=True))


@pytest.mark.parametrize("name", list(WORK))
def test_scarce_bandwidth_is_felt(name: str) -> None:
    """A model that ignores bandwidth would pass the tests of monotony: with little of it every program is slower."""
    rates = ("hbm.bytes_per_second=1e11", "hbm.mixed_bytes_per_second=1e11", "l2.read_bytes_per_cycle=100")
    usual, scarce = (timed(name, WORK[name], on).cycles for on in (SMALL, chip("ascend910c", *DIE, *rates)))

    assert scarce > 1.2 * usual


@pytest.mark.parametrize(
    ("name", "buffers"),
    [
        ("gemm", [{"l1_buffers": 1, "l0_buffers": 1}, {"l1_buffers": 2, "l0_buffers": 1}, {"l1_buffers": 2}]),
        ("gemm", [{"m": 128, "n": 128, "l0c_buffers": 1}, {"m": 128, "n": 128, "l0c_buffers": 2}]),
        ("amla", [{"kv_buffers": 1}, {"kv_buffers": 2}, {"kv_buffers": 3}]),
        ("amla", [{"l0_buffers": 1}, {"l0_buffers": 2}]),
        ("softmax", [{"elements": 4096, "buffers": 1}, {"elements": 4096, "buffers": 2}]),
    ],
)
def test_more_buffers_are_never_slower(name: str, buffers: list[dict[str, int]]) -> None:
    """A deeper ring lets the filling pipe run further ahead, and the deepest is faster than the shallowest."""
    # Reads into L1 are made wide, so that a GEMM of small tiles is not bound by them whatever its buffers.
    on = chip("ascend910c", *DIE, "paths.gm_to_l1_nz.bytes_per_cycle=1000")
    cycles = [timed(name, {**WORK[name], "tiling": tiling}, on).cycles for tiling in buffers]

    assert never_slower(cycles), cycles
    assert cycles[-1] < cycles[0]


@pytest.mark.parametrize(
    ("name", "sections"),
    [
        ("gemm", [gemm(256, 512, k) for k in (64, 100, 256, 300, 1024)]),
        # Not 129: the cores with a single row run ahead and fetch B for the others, which are then 2 % faster.
        ("gemm", [gemm(m, 512, 256) for m in (1, 16, 100, 128, 300, 600)]),
        ("amla", [amla(keys, batch=4) for keys in (1, 16, 500, 512, 513, 1024, 1100)]),
        ("amla", [amla(600, batch=batch) for batch in (1, 2, 4, 5, 8)]),
        ("vector_add", [{"problem": {"length": length}} for length in (1, 100, 8192, 8193, 200_000)]),
        ("softmax", [{"problem": {"rows": rows, "columns": 200}} for rows in (1, 7, 100, 1000)]),
        ("softmax", [{"problem": {"rows": 50, "columns": columns}} for columns in (1, 64, 65, 500, 4096)]),
    ],
    ids=["k", "m", "keys", "requests", "length", "rows", "columns"],
)
def test_more_work_is_never_faster(name: str, sections: list[dict[str, Any]]) -> None:
    """A larger problem takes at least as long, and the largest longer than the smallest."""
    cycles = [timed(name, one, SMALL).cycles for one in sections]

    assert never_slower(cycles[::-1]), cycles
    assert cycles[-1] > cycles[0]


# --- Symmetry and determinism ---


def times_by_core(schedule: Schedule) -> dict[CoreId, tuple[list[int], list[int]]]:
    """Starts and ends of every core, those that another one stands for included."""

    def times(core: CoreSchedule) -> tuple[list[int], list[int]]:
        return core.starts.tolist(), core.ends.tolist()

    return {member: times(core) for core in schedule.cores for member in core.members}


SYMMETRIC = {
    "amla, equal requests": ("amla", amla(600, batch=16)),
    "amla, one token, one request a core": ("amla", amla(600, batch=8, query_tokens=1)),
    "amla, ragged requests": ("amla", amla([700, 700, 30, 700, 513, 700, 700, 600], batch=8)),
    "gemm, shared panels": ("gemm", gemm(512, 1024, 256)),
    "gemm, an uneven number of tiles": ("gemm", gemm(384, 768, 256)),
    "vector_add, equal shares": ("vector_add", {"problem": {"length": 16 * 4096, "tile": 1024}}),
    "vector_add, unequal shares": ("vector_add", {"problem": {"length": 100_000, "tile": 1000}}),
    "softmax": ("softmax", {"problem": {"rows": 1024, "columns": 128}}),
}


@pytest.mark.parametrize(
    "skew", [(), ("launch.skew_cycles=0", "launch.mix_skew_cycles=0")], ids=["default skew", "no skew"]
)
@pytest.mark.parametrize("what", list(SYMMETRIC))
def test_one_core_of_a_class_stands_for_all(what: str, skew: tuple[str, ...]) -> None:
    """With symmetry every core has the same starts and ends, and the memory the same bytes, as one by one."""
    name, sections = SYMMETRIC[what]
    scarce = ("hbm.bytes_per_second=4e11", "hbm.mixed_bytes_per_second=3e11")
    on = chip("ascend910c", "cores.aic_per_die=4", *scarce, *skew)
    program = traced(name, sections, on)
    lumped, each = (simulate_timing(program, on, symmetry=symmetry) for symmetry in (True, False))

    assert lumped.cycles == each.cycles
    assert lumped.memory == each.memory
    assert times_by_core(lumped) == times_by_core(each)


def test_classes_are_found() -> None:
    """Equal requests without skew are simulated on one group of one die, which stands for eight groups."""
    on = chip("ascend910c", "cores.aic_per_die=4", "launch.skew_cycles=0", "launch.mix_skew_cycles=0")
    schedule = timed("amla", amla(600, batch=8), on)

    assert [len(core.members) for core in schedule.cores] == [8, 8, 8]


@pytest.mark.parametrize("what", ["amla, equal requests", "amla, one token, one request a core", "gemm, shared panels"])
def test_equal_dies_behave_alike(what: str) -> None:
    """Two dies share nothing: with equal work on both, each core of the second does what its twin on the first does."""
    on = chip("ascend910c", "cores.aic_per_die=4")
    name, sections = SYMMETRIC[what]
    times = times_by_core(timed(name, sections, on, symmetry=False))
    twins = {(core.group, core.kind, core.sub): ends for core, ends in times.items() if core.die == 0}

    for core, ends in times.items():
        assert ends == twins[core.group, core.kind, core.sub]


def test_a_second_die_halves_the_work_and_takes_nothing() -> None:
    """Eight requests on two dies take as long as four requests on one."""
    two = timed("amla", amla(600, batch=8), chip("ascend910c", "cores.aic_per_die=4"))
    one = timed("amla", amla(600, batch=4), chip("ascend910c", "cores.aic_per_die=4", "dies=1"))

    assert two.cycles == one.cycles


@pytest.mark.parametrize("what", list(SYMMETRIC))
def test_the_same_run_twice_is_the_same(what: str) -> None:
    """Tracing and simulating again gives equal times everywhere: nothing depends on hashes, ids or the host."""
    on = chip("ascend910c", "cores.aic_per_die=4")
    name, sections = SYMMETRIC[what]
    first, second = (timed(name, sections, on) for _ in range(2))

    assert (first.cycles, first.memory) == (second.cycles, second.memory)
    assert times_by_core(first) == times_by_core(second)
