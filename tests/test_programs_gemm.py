"""The layouts and schedules of gemm: who computes what, the bytes it takes, and that the product stays right."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
import pytest
from program_runs import Numbers, chip, computed, run, traced, without
from pydantic import ValidationError

from ascend_sim.config import load_run
from ascend_sim.engine.functional import generated_inputs
from ascend_sim.engine.machine import simulate_timing
from ascend_sim.errors import ProgramError
from ascend_sim.isa.cube import Fixpipe, Mmad
from ascend_sim.isa.sync import CrossCoreSetFlag, CrossCoreWaitFlag
from ascend_sim.isa.timing import Move, Traffic
from ascend_sim.kernel import Call, GlobalTensor, Pipe, Program, Stream

Tile = tuple[int, int, int, int]
"""A tile of C: its first row and column, and its numbers of rows and columns."""

B2 = chip("ascend910b2")
PACKAGE = chip("ascend910c")
SMALL_TILES = {"m": 64, "n": 64, "l1_k": 128, "l0_k": 64}
HALF_ULP_FP32 = 2.0**-24
BOUND = 25 * HALF_ULP_FP32
"""Products of fp16 are exact in fp32; at most 600 additions of random sign stay below sqrt(600) half units."""


def sections(m: int, n: int, k: int, tiling: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A gemm in tiles of 64 x 64 unless told otherwise; *more* are keys of the schedule and of the problem."""
    schedule = {key: more.pop(key) for key in ("grid", "swizzle", "split_k") if key in more}
    problem = {"m": m, "n": n, "k": k, **more}
    return {"problem": problem, "tiling": {**SMALL_TILES, **(tiling or {})}, "schedule": schedule}


def right(numbers: Numbers) -> bool:
    """Whether integers are exact and the error of floating-point sums is within the bound."""
    if numbers.outputs["c"].dtype == np.int32:
        return np.array_equal(numbers.outputs["c"], numbers.expected["c"])
    return numbers.error() < BOUND


def in_formats(dtype: str) -> dict[str, str]:
    """The formats of a gemm of *dtype* with the accumulator's format as its output."""
    return {"dtype": dtype, "output": "int32" if dtype == "int8" else "fp32"}


def tiles_by_core(program: Program) -> list[list[Tile]]:
    """The tiles of C that each core writes, in order."""
    c = program.tensor("c")

    def tile(call: Call, target: GlobalTensor) -> Tile:
        base = 0 if target.parameter is None else call.bases[target.parameter]
        place = (base + target.offset - c.address) // c.dtype.bytes
        return (*divmod(place, c.shape[1]), *target.shape)  # type: ignore[return-value]

    return [
        [tile(call, one.destination) for call, one in stream if isinstance(one, Fixpipe)] for stream in program.streams
    ]


def moved(program: Program, pipe: Pipe, *kinds: Traffic) -> list[int]:
    """Bytes that each core moves on *pipe*, of the *kinds* of traffic."""

    def of_stream(stream: Stream) -> int:
        timings = [one.timing(B2) for _, one in stream if one.pipe is pipe]
        return sum(one.access.bytes for one in timings if isinstance(one, Move) and one.traffic in kinds)

    return [of_stream(stream) for stream in program.streams]


def products(program: Program) -> int:
    """Operations of all matrix multiplications."""
    return sum(one.flops() for stream in program.streams for _, one in stream if isinstance(one, Mmad))


# --- Layouts ---

TRANSPOSED = [("column", "row"), ("row", "column"), ("column", "column")]


@pytest.mark.parametrize(("a_layout", "b_layout"), TRANSPOSED)
@pytest.mark.parametrize("dtype", ["fp16", "fp32", "int8"])
@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (70, 33, 200), (64, 128, 256), (129, 65, 300)])
def test_a_layout_changes_no_bit(m: int, n: int, k: int, dtype: str, a_layout: str, b_layout: str) -> None:
    """The transposes of the same A and B, stored in layout "column", give the same C: the same MMADs are made."""
    usual = run("gemm", sections(m, n, k, **in_formats(dtype)), B2, blocks=2)
    inputs = {
        "a": usual.inputs["a"].T if a_layout == "column" else usual.inputs["a"],
        "b": usual.inputs["b"].T if b_layout == "column" else usual.inputs["b"],
    }
    layouts = {"a_layout": a_layout, "b_layout": b_layout}
    other = run("gemm", sections(m, n, k, **in_formats(dtype), **layouts), B2, blocks=2, inputs=inputs)

    assert other.inputs["a"].shape == ((k, m) if a_layout == "column" else (m, k))
    assert np.array_equal(other.outputs["c"], usual.outputs["c"])
    assert np.array_equal(other.expected["c"], usual.expected["c"])


@pytest.mark.parametrize(("a_layout", "b_layout"), [("row", "row"), *TRANSPOSED])
def test_a_layout_moves_the_same_bytes(a_layout: str, b_layout: str) -> None:
    """Each of 3 x 4 tiles reads a panel of A and one of B, however they are stored: 2 B (4 m k + 3 k n)."""
    m, n, k = 150, 200, 300
    program = traced("gemm", sections(m, n, k, a_layout=a_layout, b_layout=b_layout), B2)

    assert sum(moved(program, Pipe.MTE2, Traffic.READ)) == 2 * (4 * m * k + 3 * k * n)
    assert program.tensor("a").shape == ((k, m) if a_layout == "column" else (m, k))
    assert program.tensor("b").shape == ((n, k) if b_layout == "column" else (k, n))


# --- Grid ---


@pytest.mark.parametrize("dtype", ["fp16", "int8"])
@pytest.mark.parametrize(
    ("m", "n", "k", "grid"),
    [
        pytest.param(256, 256, 128, [2, 2], id="whole tiles"),
        pytest.param(250, 333, 200, [2, 3], id="parts and tiles with rests"),
        pytest.param(90, 200, 100, [4, 1], id="parts smaller than a tile"),
        pytest.param(9, 70, 50, [4, 2], id="more cores than rows suffice for"),
        pytest.param(100, 100, 64, [1, 1], id="one core"),
    ],
)
def test_a_grid_computes_the_product(m: int, n: int, k: int, grid: list[int], dtype: str) -> None:
    """Contiguous parts of C, with rests in parts and tiles and with cores left over, give the right product."""
    assert right(run("gemm", sections(m, n, k, grid=grid, **in_formats(dtype)), B2, blocks=9))


def test_each_core_of_a_grid_has_its_part_of_c() -> None:
    """C of 200 x 300 on 2 x 3 cores: core i has the part at row 100 (i // 3) and column 100 (i % 3), in tiles of 64."""
    by_core = tiles_by_core(traced("gemm", sections(200, 300, 64, grid=[2, 3]), B2, blocks=7))
    part = [(0, 0, 64, 64), (0, 64, 64, 36), (64, 0, 36, 64), (64, 64, 36, 36)]

    for index in range(6):
        row, column = 100 * (index // 3), 100 * (index % 3)
        assert by_core[index] == [(row + r, column + c, rows, columns) for r, c, rows, columns in part]
    assert by_core[6] == []


def test_bytes_of_a_core_of_a_grid() -> None:
    """A part of 384 x 256 in tiles of 128 x 256 takes 3 panels of A, B three times, and C once (gemm-1536)."""
    program = load("gemm_1536")
    m, n, k = 384, 256, 1536

    assert moved(program, Pipe.MTE2, Traffic.READ) == [2 * (m * k + 3 * k * n)] * 24
    assert moved(program, Pipe.FIX, Traffic.WRITE) == [4 * m * n] * 24


# --- Order of the tiles ---


def places(swizzle: dict[str, int] | None, rows: int, columns: int) -> list[tuple[int, int]]:
    """(row, column) of the tiles of *rows* x *columns* tiles in the order in which one core computes them."""
    program = traced("gemm", sections(64 * rows, 64 * columns, 16, swizzle=swizzle), B2, blocks=1)
    (tiles,) = tiles_by_core(program)
    return [(row // 64, column // 64) for row, column, _, _ in tiles]


def test_tiles_are_dealt_out_in_turn() -> None:
    """Without a grid or a swizzle tile number i, counted row by row, is computed by core i modulo the cores."""
    by_core = tiles_by_core(traced("gemm", sections(64 * 3, 64 * 4, 16), B2, blocks=5))

    for index, tiles in enumerate(by_core):
        assert tiles == [(i // 4 * 64, i % 4 * 64, 64, 64) for i in range(index, 12, 5)]


def test_a_swizzle_walks_bands_back_and_forth() -> None:
    """Bands of two rows: down the columns of the first from left to right, along the rest of one row back again."""
    expected = [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0)]

    assert places({"offset": 2, "direction": 0}, 3, 3) == expected
    assert places({"offset": 2, "direction": 1}, 3, 3) == [(column, row) for row, column in expected]


@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize("offset", [1, 2, 3, 5, 9])
def test_a_swizzle_reaches_every_tile_once(offset: int, direction: int) -> None:
    """Whatever the bands, no tile of 7 x 5 is left out or computed twice, and numbers are right with rests."""
    swizzle = {"offset": offset, "direction": direction}

    assert sorted(places(swizzle, 7, 5)) == [(row, column) for row in range(7) for column in range(5)]
    assert right(run("gemm", sections(150, 200, 70, swizzle=swizzle), B2, blocks=4))


# --- Split of the common dimension ---


@pytest.mark.parametrize("dtype", ["fp16", "int8"])
@pytest.mark.parametrize(
    ("m", "n", "k", "split_k", "blocks"),
    [
        pytest.param(64, 64, 512, 2, 2, id="one tile, one team"),
        pytest.param(64, 64, 600, 5, 7, id="one tile, two cores left over"),
        pytest.param(130, 150, 300, 3, 9, id="nine tiles with rests on three teams"),
        pytest.param(130, 150, 300, 2, 7, id="nine tiles on three teams and a core"),
        pytest.param(200, 130, 500, 4, 8, id="twelve tiles on two teams"),
        pytest.param(320, 64, 300, 2, 4, id="five tiles: the second team is done a round earlier"),
        pytest.param(64, 64, 129, 2, 2, id="a second part of one"),
    ],
)
@pytest.mark.parametrize("tiling", [{}, {"unit_flag": True}, {"l0c_buffers": 2}], ids=["usual", "unit flag", "two L0C"])
def test_split_k_computes_the_product(
    m: int, n: int, k: int, split_k: int, blocks: int, tiling: dict[str, Any], dtype: str
) -> None:
    """The parts of the common dimension add up to the product on any number of teams, over several rounds of tiles."""
    assert right(run("gemm", sections(m, n, k, tiling, split_k=split_k, **in_formats(dtype)), B2, blocks=blocks))


def test_split_k_on_two_dies() -> None:
    """Teams of four fill dies of 24 cores evenly, so each lies on one die: the product is right on a 910C too."""
    one = sections(64 * 4, 64 * 6, 512, split_k=4)

    assert right(run("gemm", one, PACKAGE))


def test_split_k_with_other_layouts_and_orders() -> None:
    """Parts begin at the right depth of transposed operands, and whole teams follow a swizzle."""
    more = {"a_layout": "column", "b_layout": "column", "swizzle": {"offset": 2, "direction": 1}}

    assert right(run("gemm", sections(150, 200, 500, split_k=3, **more), B2, blocks=6))


def test_split_k_stores_once_and_adds_the_rest() -> None:
    """Panels are read as without a split; C is written once and added to split_k - 1 times; the work is the same."""
    m, n, k, split_k = 100, 150, 700, 3
    program = traced("gemm", sections(m, n, k, split_k=split_k), B2)

    assert sum(moved(program, Pipe.MTE2, Traffic.READ)) == 2 * (ceil(n / 64) * m * k + ceil(m / 64) * k * n)
    assert sum(moved(program, Pipe.FIX, Traffic.WRITE)) == 4 * m * n
    assert sum(moved(program, Pipe.FIX, Traffic.ATOMIC)) == 4 * m * n * (split_k - 1)
    assert products(program) == program.flops == 2 * m * n * k


def test_split_k_shares_the_moves_evenly() -> None:
    """Seven moves of K over three cores are 2, 2 and 3, of 128 each but for the last, with the 60 that are left."""
    program = traced("gemm", sections(64, 64, 6 * 128 + 60, split_k=3), B2, blocks=3)

    assert moved(program, Pipe.MTE2, Traffic.READ) == [2 * 128 * depth for depth in (256, 256, 256 + 60)]


def test_split_k_needs_its_barrier() -> None:
    """The second part of K is one deep and done first: without the flags it is added before the first is stored."""
    program = traced("gemm", sections(64, 64, 129, split_k=2), B2, blocks=2)
    inputs = generated_inputs(program, 0, "normal", 1.0)
    hasty = without(program, lambda one: isinstance(one, CrossCoreSetFlag | CrossCoreWaitFlag))
    right_one, wrong_one = (computed(one, B2, inputs)["c"] for one in (program, hasty))

    assert np.all(np.isfinite(right_one))
    assert not np.allclose(wrong_one, right_one, rtol=0, atol=0.01)


def test_split_k_puts_idle_cores_to_work() -> None:
    """One tile of C with a long K: eight cores need a third of the time of one at most, the final adds included."""
    alone, shared = (
        simulate_timing(traced("gemm", sections(64, 64, 16384, split_k=split_k), B2), B2).cycles for split_k in (1, 8)
    )

    assert shared < alone / 3


@pytest.mark.parametrize("skew", [[], ["launch.skew_cycles=0"]], ids=["default skew", "no skew"])
@pytest.mark.parametrize(
    "more", [{"split_k": 4}, {"split_k": 5}, {"grid": [4, 2]}, {"swizzle": {"offset": 2, "direction": 0}}]
)
def test_schedules_take_the_same_time_with_symmetry(more: dict[str, Any], skew: list[str]) -> None:
    """Cores that meet at cross-core flags may stand for each other like all others: equal cycles and bytes."""
    on = chip("ascend910c", "dies=1", "cores.aic_per_die=8", *skew)
    program = traced("gemm", sections(256, 128, 1024, **more), on)
    lumped, each = (simulate_timing(program, on, symmetry=symmetry) for symmetry in (True, False))

    assert lumped.cycles == each.cycles
    assert lumped.memory == each.memory


# --- What is refused ---


@pytest.mark.parametrize(
    ("more", "blocks", "message"),
    [
        ({"grid": [4, 6]}, 20, r"schedule.grid = \[4, 6\] takes 24 cores, but 20 run; write a smaller one"),
        ({"grid": [5, 5]}, None, r"schedule.grid = \[5, 5\] takes 25 cores, but 24 run"),
        ({"split_k": 4}, 3, r"schedule.split_k = 4 takes 4 cores, but 3 run; write a smaller one"),
    ],
)
def test_more_cores_than_run_are_refused(more: dict[str, Any], blocks: int | None, message: str) -> None:
    """A grid or a team that needs more cores than there are is refused with both numbers and the way out."""
    with pytest.raises(ProgramError, match=rf"gemm.py:\d+: .*{message}"):
        traced("gemm", sections(500, 500, 1000, **more), B2, blocks=blocks)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"split_k": 2, "output": "fp16"},
            "split_k = 2 adds to C in global memory, .* not in fp16; write problem.output: fp32, or split_k: 1",
        ),
        (
            {"split_k": 9},
            "split_k = 9 is above 8, the moves of tiling.l1_k = 128 that problem.k = 1000 takes; write split_k: 8",
        ),
        ({"split_k": 2, "grid": [2, 2]}, "a grid says which .* so split_k = 2 has no effect; drop one of the two"),
        (
            {"swizzle": {"offset": 3, "direction": 0}, "grid": [2, 2]},
            "a grid says which .* so a swizzle has no effect; drop one of the two",
        ),
    ],
)
def test_schedules_that_contradict_themselves_are_refused(more: dict[str, Any], message: str) -> None:
    """What cannot be done or would have no effect is refused before anything is traced, with the way out."""
    with pytest.raises(ValidationError, match=message):
        traced("gemm", sections(500, 500, 1000, **more), B2)


# --- Run files of measured schedules ---


def load(name: str, *overrides: str) -> Program:
    """The program of a bundled run file, traced."""
    config = load_run(name, overrides)
    return traced(config.program, config.sections, config.chip, config.launch.blocks)


@pytest.mark.parametrize(
    ("name", "cores", "tiles"),
    [
        ("gemm", 24, {48}),  # 12 x 4 tiles of 128 x 256 in a part of 1536 x 1024
        ("gemm_1536", 24, {3}),  # 3 x 1 in a part of 384 x 256
        ("gemm_catlass_a1", 20, {1, 2}),  # 8 x 3 = 24 tiles, as its source says
        ("gemm_catlass_a2", 20, {1}),  # 4 x 5 = 20 tiles, as its source says
        ("gemm_bp0047", 20, {256}),  # 64 x 80 = 5120 tiles
    ],
)
def test_measured_schedules_have_their_tiles(name: str, cores: int, tiles: set[int]) -> None:
    """The run files put as many tiles on each core as follows from their sources."""
    by_core = tiles_by_core(load(name))

    assert len(by_core) == cores
    assert {len(one) for one in by_core} == tiles


def test_a_team_does_not_straddle_two_dies() -> None:
    """No flag reaches from die to die, so a split that does not divide the 24 cores of a die is refused."""
    with pytest.raises(ProgramError, match=r"split_k = 5 does not divide the 24 cores of a die.*launch\.blocks: 24"):
        traced("gemm", sections(256, 256, 1280, split_k=5), PACKAGE)
