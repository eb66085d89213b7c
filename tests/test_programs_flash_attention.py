"""FlashAttention: right numbers for any shape and schedule, the bytes and operations of its stages, its pipeline."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import pairwise
from math import ceil
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from program_runs import Numbers, chip, computed, run, traced, without
from pydantic import ValidationError

from ascend_sim.engine.functional import generated_inputs
from ascend_sim.engine.machine import simulate_timing
from ascend_sim.errors import KernelError
from ascend_sim.isa.cube import Fixpipe, Mmad
from ascend_sim.isa.data_movement import LoadGm, StoreGm
from ascend_sim.isa.instruction import Instruction
from ascend_sim.isa.sync import CrossCoreSetFlag, CrossCoreWaitFlag, PipeBarrier
from ascend_sim.isa.timing import Run
from ascend_sim.isa.vector import VectorInstruction
from ascend_sim.kernel import AIC, CoreKind, GlobalTensor, Program

B2 = chip("ascend910b2")

ROUNDING = {"fp16": 2.0**-11, "bf16": 2.0**-8}
"""Largest relative error of a rounding to nearest."""


def limit(dtype: str) -> float:
    """Largest relative Frobenius error.

    P and the output are rounded once each, to at most one part in 2^11 (fp16) or 2^8 (bf16). With values of V of
    either sign the errors add up like independent ones, to sqrt(2) of that; all else is done in fp32.
    """
    return np.sqrt(2) * ROUNDING[dtype]


def sections(
    query_tokens: int, kv_tokens: int, *, schedule: dict[str, int] | None = None, tiling: dict[str, int] | None = None,
    **problem: Any,
) -> dict[str, Any]:
    """Sections of a run; *problem* are further keys of the problem."""
    shape = {"query_tokens": query_tokens, "kv_tokens": kv_tokens, "head_dim": 64, **problem}
    return {"problem": shape, "schedule": schedule or {}, "tiling": tiling or {}}


def attention(query_tokens: int, kv_tokens: int, *, blocks: int | None = 2, **more: Any) -> Numbers:
    """Run the program with normal inputs on the first cores of a 910B2."""
    return run("flash_attention", sections(query_tokens, kv_tokens, **more), B2, blocks=blocks)


@cache
def cycles(query_tokens: int, kv_tokens: int, blocks: int | None = 1, **schedule: int) -> int:
    """Cycles of one head of 128 dimensions."""
    shape = sections(query_tokens, kv_tokens, schedule=schedule, head_dim=128)
    return simulate_timing(traced("flash_attention", shape, B2, blocks), B2).cycles


# --- Numbers ---


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
@pytest.mark.parametrize("head_dim", [64, 128])
def test_each_format_meets_its_error_limit(head_dim: int, dtype: str) -> None:
    """Two requests with rests in rows and keys are as accurate as their format allows."""
    numbers = attention(150, 600, batch=2, head_dim=head_dim, dtype=dtype)

    assert numbers.outputs["out"].dtype == (np.float16 if dtype == "fp16" else ml_dtypes.bfloat16)
    assert numbers.error() < limit(dtype)


@pytest.mark.parametrize(
    ("heads", "kv_heads"), [(4, 4), (4, 2), (4, 1), (3, 1)], ids=["MHA", "two groups", "MQA", "three heads share"]
)
def test_heads_share_keys_in_groups(heads: int, kv_heads: int) -> None:
    """Each head of each request attends to the keys of its group: every head by itself meets the limit."""
    numbers = attention(70, 300, batch=2, heads=heads, kv_heads=kv_heads, blocks=3)

    for head in range(2 * heads):
        assert numbers.error(slice(head * 70, (head + 1) * 70)) < limit("fp16")


@pytest.mark.parametrize(
    ("query_tokens", "kv_tokens"),
    [
        pytest.param(128, 256, id="one whole tile"),
        pytest.param(1, 300, id="one query, so that the second vector core has none"),
        pytest.param(129, 300, id="a block of one query after a whole one"),
        pytest.param(75, 256, id="an odd number of queries"),
        pytest.param(16, 257, id="one key after a whole tile"),
        pytest.param(40, 30, id="fewer keys than a repeat"),
        pytest.param(40, 200, id="one tile with a rest"),
        pytest.param(256, 129, id="one key after a whole sub-tile"),
        pytest.param(20, 256 * 19, id="more tiles than twice the slots"),
        pytest.param(1000, 300, id="many blocks on each core"),
    ],
)
def test_any_lengths(query_tokens: int, kv_tokens: int) -> None:
    """Rests of rows and keys, blocks shorter than the pipeline and longer than the FIFOs all meet the limit."""
    assert attention(query_tokens, kv_tokens).error() < limit("fp16")


def test_vector_cores_without_rows_keep_the_count_of_the_slots() -> None:
    """Nine blocks of one query on one core: the vector core that has no rows takes part in every hand-over."""
    assert attention(1, 600, heads=9, blocks=1).error() < limit("fp16")


def test_one_key_returns_its_value() -> None:
    """One key has all the weight, so the output is V to the last bit."""
    numbers = attention(50, 1, heads=2, kv_heads=1)

    assert np.array_equal(numbers.outputs["out"], np.repeat(numbers.inputs["v"], 100, axis=0))


def test_the_schedule_changes_no_bit() -> None:
    """However far QK is ahead, and however slots are given back, the same operations are made: equal bits."""
    usual = attention(24, 1600, heads=2, blocks=1)
    assert usual.error() < limit("fp16")

    for preload, sync_period in ((0, 1), (0, 4), (1, 1), (1, 4), (4, 1), (4, 3)):
        schedule = {"preload": preload, "sync_period": sync_period, "fifo": preload + sync_period}
        other = attention(24, 1600, heads=2, blocks=1, schedule=schedule)
        assert np.array_equal(other.outputs["out"], usual.outputs["out"])


@pytest.mark.parametrize(
    ("tiling", "head_dim"),
    [
        pytest.param({"rows": 64, "keys": 128, "sub_keys": 64}, 64, id="small tiles"),
        pytest.param({"rows": 16, "keys": 512, "vector_rows": 8}, 64, id="wide tiles"),
        pytest.param({"keys": 96, "sub_keys": 48}, 64, id="tiles that are not folded in halves"),
        pytest.param({"l0_depth": 32, "sub_columns": 48}, 80, id="rests of the head dimension"),
        pytest.param({"l1_buffers": 1, "l0_buffers": 1, "l0c_buffers": 1, "ub_buffers": 1}, 64, id="single buffers"),
        pytest.param({}, 256, id="256 dimensions"),
    ],
)
def test_any_tiling(tiling: dict[str, int], head_dim: int) -> None:
    """Tiles, sub-tiles and numbers of buffers other than the usual ones meet the limit."""
    assert attention(75, 600, tiling=tiling, head_dim=head_dim).error() < limit("fp16")


TILES = 9


def rising_inputs() -> dict[str, NDArray[Any]]:
    """Positive queries, and keys that grow from tile to tile, so that every tile has a new and larger maximum."""
    generator = np.random.default_rng(5)
    keys = 256 * TILES
    ramp = np.repeat(np.arange(1, TILES + 1), 256)[:, None] / TILES
    drawn = {
        "q": generator.uniform(0.5, 1.5, (100, 64)),
        "k": generator.uniform(0.9, 1.1, (keys, 64)) * ramp,
        "v": generator.standard_normal((keys, 64)),
    }
    return {name: values.astype(np.float16) for name, values in drawn.items()}


@pytest.mark.parametrize("preload", [0, 4])
def test_it_rescales_in_every_tile(preload: int) -> None:
    """Each tile raises the maximum of each row, so that O is scaled down each time, by more than 1.3."""
    inputs = rising_inputs()
    scores = inputs["q"].astype(np.float64) @ inputs["k"].astype(np.float64).T / 8.0
    maxima = scores.reshape(100, TILES, 256).max(axis=2)
    assert np.all(np.diff(maxima, axis=1) > np.log(1.3))

    shape = sections(100, 256 * TILES, schedule={"preload": preload})
    assert run("flash_attention", shape, B2, blocks=1, inputs=inputs).error() < limit("fp16")


def test_large_scores_do_not_overflow() -> None:
    """Scores of thousands would overflow exp; exp of differences from the maximum does not."""
    numbers = run("flash_attention", sections(64, 600), B2, blocks=1, scale=20.0)

    assert np.all(np.isfinite(numbers.outputs["out"].astype(np.float64)))
    assert numbers.error() < limit("fp16")


@pytest.mark.parametrize("number", [0, 1, 2], ids=["S is ready", "P is ready", "T is ready"])
def test_a_forgotten_hand_over_gives_wrong_numbers(number: int) -> None:
    """Without one of the flags that say a tile is there, the next stage reads a slot before it is written."""

    def dropped(one: object) -> bool:
        return isinstance(one, CrossCoreSetFlag | CrossCoreWaitFlag) and one.flag == number

    program = traced("flash_attention", sections(64, 1024), B2, blocks=1)
    inputs = generated_inputs(program, 0, "normal", 1.0)
    right, wrong = (computed(one, B2, inputs)["out"] for one in (program, without(program, dropped)))

    assert np.all(np.isfinite(right.astype(np.float64)))
    assert not np.allclose(wrong.astype(np.float64), right.astype(np.float64), rtol=0, atol=0.01)


# --- Formats of the softmax, and causal problems ---

SOFTMAX_LIMIT = {"fp32": limit("fp16"), "fp16_fp32": 3 * ROUNDING["fp16"], "fp16": 4 * ROUNDING["fp16"]}
"""Largest relative error for N(0, 1).

An error of a scaled score is a relative one of its weight. Rounded to fp16, a score of 3 is wrong by 3 x 2^-11 at most,
and larger ones are rare; in fp16 the difference from the maximum and the scaled difference are rounded as well.
"""


@settings(max_examples=25, deadline=None)
@given(data=st.data(), softmax=st.sampled_from(sorted(SOFTMAX_LIMIT)), causal=st.booleans())
def test_any_shape_in_each_format(data: st.DataObject, softmax: str, causal: bool) -> None:
    """Requests, groups of heads, lengths and head dimensions, causal or not: within the limit of the format."""
    kv_heads, group = data.draw(st.integers(1, 2), "kv_heads"), data.draw(st.integers(1, 2), "group")
    query_tokens = data.draw(st.integers(1, 140), "query_tokens")
    kv_tokens = data.draw(st.integers(query_tokens if causal else 1, 400), "kv_tokens")
    head_dim = data.draw(st.sampled_from([16, 48, 64, 128, 256]), "head_dim")
    problem = {
        "batch": data.draw(st.integers(1, 2), "batch"), "heads": kv_heads * group, "kv_heads": kv_heads,
        "head_dim": head_dim, "causal": causal, "softmax": softmax,
    }  # fmt: skip

    assert attention(query_tokens, kv_tokens, **problem).error() < SOFTMAX_LIMIT[softmax]


@pytest.mark.parametrize("softmax", sorted(SOFTMAX_LIMIT))
def test_each_query_sees_the_keys_up_to_its_own(softmax: str) -> None:
    """With all keys alike a query averages the values that it sees: V of one 1 shows who sees it, to a weight."""
    queries, keys, seen_from = 70, 300, 250
    inputs = {name: np.ones((rows, 16), np.float16) for name, rows in (("q", queries), ("k", keys), ("v", keys))}
    inputs["v"][:] = 0.0
    inputs["v"][seen_from] = 1.0
    problem = {"head_dim": 16, "causal": True, "softmax": softmax}
    out = run("flash_attention", sections(queries, keys, **problem), B2, blocks=1, inputs=inputs).outputs["out"]

    sees = keys - queries + np.arange(queries) + 1
    expected = np.where(sees > seen_from, 1.0 / sees, 0.0)
    assert np.allclose(out.astype(np.float64), expected[:, None], rtol=2e-3, atol=0)


@pytest.mark.parametrize("softmax", ["fp16_fp32", "fp16"])
def test_scores_beyond_fp16_are_lost(softmax: str) -> None:
    """Values around 30 make scores of 115,200, which no fp16 holds: all outputs are NaN, where fp32 is right."""
    generator = np.random.default_rng(3)
    inputs = {name: generator.uniform(29.5, 30.5, (130, 128)).astype(np.float16) for name in "qkv"}
    right, lost = (
        run("flash_attention", sections(130, 130, head_dim=128, softmax=one), B2, blocks=1, inputs=inputs)
        for one in ("fp32", softmax)
    )

    assert right.error() < limit("fp16")
    assert np.all(np.isnan(lost.outputs["out"]))


@pytest.mark.parametrize("tiling", [{"rows": 256}, {"rows": 256, "unit_flag": True}, {"unit_flag": True}])
def test_blocks_of_several_row_tiles(tiling: dict[str, Any]) -> None:
    """256 rows pass through L0 in two tiles, and tiles of L0C are handed on with or without unit_flag."""
    assert attention(300, 300, tiling={"vector_rows": 16, **tiling}, causal=True).error() < limit("fp16")


def test_tiles_above_the_diagonal_are_left_out() -> None:
    """Blocks of 128 of 512 queries see 128 to 512 keys: tiles of 256 and of what is left, the first row one key more.

    The operations are those of what is seen: 512 x 513 / 2 scores, and the MMADs make whole tiles of them.
    """
    program = traced("flash_attention", sections(512, 512, head_dim=64, causal=True), B2, blocks=1)
    made = sum(one.flops() for stream in program.streams for _, one in stream if isinstance(one, Mmad))

    assert program.flops == 4 * 512 * 513 // 2 * 64
    assert made == 4 * 128 * (128 + 256 + 384 + 512) * 64
    assert bytes_of(program, "k", LoadGm) == 2 * (128 + 256 + 384 + 512) * 64


def test_causal_blocks_are_dealt_by_cost() -> None:
    """Eight blocks of 1 to 8 tiles on four cores: the longest with the shortest, nine tiles a core."""
    shape = sections(512, 512, causal=True, tiling={"rows": 64, "keys": 64, "sub_keys": 64})
    program = traced("flash_attention", shape, B2, blocks=4)
    tiles = [
        sum(isinstance(one, LoadGm) and one.source.name == "k" for _, one in stream)
        for stream in program.streams
        if stream.core.kind is AIC
    ]

    assert tiles == [9, 9, 9, 9]


def test_half_precision_halves_the_bytes_between_the_cores() -> None:
    """S takes 2 bytes in both half-precision formats, T only where all is fp16."""
    programs = {
        one: traced("flash_attention", sections(128, 1024, softmax=one), B2, blocks=1) for one in SOFTMAX_LIMIT
    }
    moved = {one: tuple(bytes_of(program, name, LoadGm) for name in "st") for one, program in programs.items()}
    s, t = 128 * 1024, 128 * 64 * 4

    assert moved == {"fp32": (4 * s, 4 * t), "fp16_fp32": (2 * s, 4 * t), "fp16": (2 * s, 2 * t)}


# --- Closed forms ---


def bytes_of(program: Program, tensor: str, *kinds: type) -> int:
    """Bytes of *tensor* that instructions of *kinds* move, on all cores."""
    total = 0
    for stream in program.streams:
        for _, one in stream:
            if isinstance(one, kinds):
                window: GlobalTensor = one.source if isinstance(one, LoadGm) else one.destination
                total += window.bytes if window.name == tensor else 0
    return total


@pytest.mark.parametrize(("query_tokens", "kv_tokens"), [(256, 1024), (300, 1300), (7, 77)])
def test_bytes_of_every_tensor(query_tokens: int, kv_tokens: int) -> None:
    """S, P and T are written once and read once; Q is read once, K and V once for each block of 128 rows."""
    heads, head_dim = 2, 128
    program = traced("flash_attention", sections(query_tokens, kv_tokens, heads=heads, head_dim=head_dim), B2)
    rows, blocks, tiles = heads * query_tokens, heads * ceil(query_tokens / 128), ceil(kv_tokens / 256)
    expected = {
        "s": 4 * rows * kv_tokens, "p": 2 * rows * kv_tokens, "t": 4 * rows * head_dim * tiles,
        "q": 2 * rows * head_dim, "k": 2 * blocks * kv_tokens * head_dim, "v": 2 * blocks * kv_tokens * head_dim,
    }

    assert {name: bytes_of(program, name, LoadGm) for name in expected} == expected
    for name in ("s", "p", "t"):
        assert bytes_of(program, name, Fixpipe, StoreGm) == expected[name]
    assert bytes_of(program, "out", StoreGm) == 2 * rows * head_dim


@pytest.mark.parametrize("shape", [(256, 1024, 64), (300, 1300, 128), (7, 77, 80)])
def test_flops_are_those_of_its_mmads(shape: tuple[int, int, int]) -> None:
    """4 S0 S1 d operations a head, and the MMADs do exactly these, rests included."""
    query_tokens, kv_tokens, head_dim = shape
    program = traced("flash_attention", sections(query_tokens, kv_tokens, heads=3, head_dim=head_dim), B2)
    made = sum(one.flops() for stream in program.streams for _, one in stream if isinstance(one, Mmad))

    assert program.flops == made == 3 * 4 * query_tokens * kv_tokens * head_dim


def test_fractal_cycles_of_a_tile() -> None:
    """A tile of 128 rows, 256 keys and 128 dimensions takes 2 x 128 x 256 x 128 multiply-adds, 4096 a cycle."""
    program = traced("flash_attention", sections(128, 256 * 5, head_dim=128), B2, blocks=1)
    timings = [one.timing(B2) for stream in program.streams for _, one in stream if isinstance(one, Mmad)]

    assert sum(one.busy for one in timings if isinstance(one, Run)) == 5 * 2048


def test_the_vector_cores_of_a_block_share_its_rows() -> None:
    """Each of two vector cores reads half of S and writes half of P; of 75 rows they have 38 and 37."""
    program = traced("flash_attention", sections(75, 512), B2, blocks=1)
    rows = [
        sum(one.source.rows for _, one in stream if isinstance(one, LoadGm) and one.source.name == "s")
        for stream in program.streams
        if stream.core.kind is CoreKind.AIV
    ]

    assert rows == [2 * 38, 2 * 37]


def test_blocks_are_dealt_in_turn() -> None:
    """Ten blocks on four cores: the first two cores have three, and each loads the rows of Q of its blocks."""
    program = traced("flash_attention", sections(320, 256, heads=2, kv_heads=1, tiling={"rows": 64}), B2, blocks=4)
    loads = [
        sum(isinstance(one, LoadGm) and one.source.name == "q" for _, one in stream)
        for stream in program.streams
        if stream.core.kind is AIC
    ]

    assert loads == [3, 3, 2, 2]


# --- The vector cores ---


def vector_stream(tiles: int, **tiling: int) -> list[Instruction]:
    """The instructions of the first vector core for a block of 128 queries against *tiles* tiles of 256 keys."""
    program = traced("flash_attention", sections(128, 256 * tiles, tiling=tiling), B2, blocks=1)
    (stream,) = (one for one in program.streams if one.core.kind is CoreKind.AIV and one.core.sub == 0)
    return [one for _, one in stream]


def test_passes_over_a_tile_of_scores() -> None:
    """64 rows of 256 scores are 256 repeats, which six operations pass over: the rest works on far smaller tensors.

    The maximum and the sum reduce blocks, an eighth of the elements being left; none reduces a row at a time.
    """
    passes: Counter[str] = Counter()
    for one in vector_stream(5):
        if isinstance(one, VectorInstruction):
            assert not one.name.startswith("whole_reduce")
            if any(source.buffer.name.startswith("s[") for source in one.inputs):
                passes[one.name] += one.repeats(B2)

    names = ("block_reduce_max", "sub", "muls", "exp", "cast", "block_reduce_sum")
    assert passes == dict.fromkeys(names, 5 * 256)


def test_sub_tiles_are_walked_in_step() -> None:
    """Two sub-tiles of 32 rows take as many barriers as one of 64; one after the other they take 12 more in a tile.

    These are the dependent steps of [P], of which the reductions take 4 each.
    """
    barriers = {
        (rows, buffers): sum(
            isinstance(one, PipeBarrier) for one in vector_stream(5, vector_rows=rows, ub_buffers=buffers)
        )
        for rows, buffers in ((64, 1), (32, 2), (32, 1))
    }

    assert barriers[32, 2] == barriers[64, 1]
    assert barriers[32, 1] >= barriers[32, 2] + 5 * 12


def test_walking_in_step_is_faster() -> None:
    """With two sub-tiles in UB at a time the vector unit idles less than with one, and loads the next meanwhile."""
    shape = {"problem": {"query_tokens": 128, "kv_tokens": 2048}}
    one, two = (
        simulate_timing(traced("flash_attention", {**shape, "tiling": {"ub_buffers": buffers}}, B2, 1), B2).cycles
        for buffers in (1, 2)
    )

    assert two < 0.9 * one


# --- The pipeline ---


def flags(program: Program, what: type, kind: CoreKind, sub: int = 0) -> list[int]:
    """How often the core executes *what* for each of the six flags, on the only block of *program*."""
    (stream,) = (one for one in program.streams if one.core.kind is kind and one.core.sub == sub)
    used = [one.flag for _, one in stream if isinstance(one, what)]
    return [used.count(flag) for flag in range(6)]


@pytest.mark.parametrize("query_tokens", [128, 1])
@pytest.mark.parametrize(("tiles", "period", "given_back"), [(8, 4, 0), (9, 4, 1), (12, 4, 1), (13, 4, 2), (21, 3, 5)])
def test_every_flag_that_is_set_is_waited_for(query_tokens: int, tiles: int, period: int, given_back: int) -> None:
    """Each tile is handed over three times; slots are given back once for each *period* of the tiles from the ninth on.

    Both vector cores take part, also when one query leaves the second without rows, and no flag is left raised.
    """
    shape = sections(query_tokens, 256 * tiles, schedule={"sync_period": period})
    program = traced("flash_attention", shape, B2, blocks=1)
    s, p, t = 0, 1, 2  # the flags of the FIFOs; those by which slots are given back are 3 more
    filled_by_cube = {s: tiles, p: 0, t: tiles, s + 3: 0, p + 3: given_back, t + 3: 0}
    filled_by_vector = {s: 0, p: tiles, t: 0, s + 3: given_back, p + 3: 0, t + 3: given_back}

    assert flags(program, CrossCoreSetFlag, AIC) == list(filled_by_cube.values())
    assert flags(program, CrossCoreWaitFlag, AIC) == list(filled_by_vector.values())
    for sub in (0, 1):
        assert flags(program, CrossCoreSetFlag, CoreKind.AIV, sub) == list(filled_by_vector.values())
        assert flags(program, CrossCoreWaitFlag, CoreKind.AIV, sub) == list(filled_by_cube.values())


@pytest.mark.parametrize("tiles", [9, 40])
def test_a_slot_is_written_again_only_after_it_was_given_back(tiles: int) -> None:
    """Counting the slots given back so far, the cube core never writes S into a slot that may still hold a tile."""
    program = traced("flash_attention", sections(128, 256 * tiles), B2, blocks=1)
    (stream,) = (one for one in program.streams if one.core.kind is AIC)
    free, written = 8, 0
    for _, one in stream:
        if isinstance(one, CrossCoreWaitFlag) and one.flag == 3:
            free += 4
        if isinstance(one, CrossCoreSetFlag) and one.flag == 0:
            written += 1
            assert written <= free
    assert written == tiles


def test_preload_is_never_slower_than_none() -> None:
    """With QK and P ahead the two kinds of cores work at the same time: much faster at once, and never slower again.

    1 % is granted between 1 and 4, since a longer prologue is a longer fill of the pipeline.
    """
    times = [cycles(128, 4096, preload=preload) for preload in range(5)]

    assert all(time < 0.8 * times[0] for time in times[1:])
    assert all(later <= 1.01 * earlier for earlier, later in pairwise(times[1:]))


def test_the_pipeline_runs_on_across_blocks() -> None:
    """Two blocks of eight tiles take hardly longer than one of sixteen: no pipeline is drained between them.

    5 % is granted for the rows of Q and the output of the second block.
    """
    assert cycles(256, 2048) < 1.05 * cycles(128, 4096)
    assert cycles(256, 2048) < 1.9 * cycles(128, 2048)


def test_time_grows_by_the_tile() -> None:
    """In steady state every tile costs the same, whether there are 16 of them or 48."""
    first, second, third = (cycles(128, 256 * tiles) for tiles in (16, 32, 48))

    assert third - second == pytest.approx(second - first, rel=0.01)


@pytest.mark.parametrize(("query_tokens", "kv_tokens", "blocks"), [(128, 4096, 1), (2048, 1024, 16), (3072, 512, None)])
def test_utilisation_is_below_the_roofline(query_tokens: int, kv_tokens: int, blocks: int | None) -> None:
    """No run is faster than the cube of its busiest core: 2 x rows x keys x dimensions multiply-adds, 4096 a cycle."""
    cores = blocks or 24
    blocks_of_one = ceil(query_tokens / 128 / cores)

    assert cycles(query_tokens, kv_tokens, blocks) > blocks_of_one * 2 * 128 * kv_tokens * 128 / 4096


@pytest.mark.parametrize("schedule", [(11, 15, 4), (0, 1, 1), (0, 15, 15), (2, 7, 3)])
def test_no_schedule_that_is_accepted_deadlocks(schedule: tuple[int, int, int]) -> None:
    """The longest and the shortest FIFOs run to the end, also with periods that do not divide them."""
    preload, fifo, sync_period = schedule

    assert cycles(256, 256 * 17, preload=preload, fifo=fifo, sync_period=sync_period) > 0


# --- Refusals ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 6, "kv_heads": 4}, r"kv_heads = 4 does not divide heads = 6.*write a divisor of 6"),
        ({"schedule": {"preload": 5}}, r"fifo = 8 slots are too few: 5 \(preload\).* 4 \(sync_period\).*raise fifo"),
        ({"schedule": {"preload": 8, "sync_period": 1}}, r"fifo = 8 slots are too few.*without 9 the stages"),
        ({"schedule": {"fifo": 16}}, r"less than or equal to 15"),
        ({"head_dim": 300}, r"multiple of 16"),
        ({"head_dim": 272}, r"l0c_buffers = 2 is too few: head_dim = 272 in tiles of 128 sub_columns needs 3"),
        ({"tiling": {"vector_rows": 12}}, r"multiple of 8"),
        (
            {"tiling": {"rows": 256}, "head_dim": 256},
            r"l0c_buffers = 2 is too few: 256 rows in tiles of 128 sub_rows and head_dim = 256 .* needs 4 .*fewer rows",
        ),
        (
            {"query_tokens": 300, "causal": True},
            r"kv_tokens = 256 is less than query_tokens = 300, so with causal the first queries see no key; write "
            r"kv_tokens = 300 or more, or causal: false",
        ),
        ({"softmax": "fp16", "dtype": "bf16"}, r"softmax = fp16 is for dtype = fp16, not for bf16; write softmax"),
        ({"softmax": "fp16_fp32", "dtype": "bf16"}, r"softmax = fp16_fp32 is for dtype = fp16, not for bf16"),
        ({"softmax": "fp16", "tiling": {"vector_rows": 24}}, r"vector_rows = 24 with softmax = fp16.*multiple of 16"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    """Heads, schedules and tiles that cannot work are refused with the value, the limit and the way out."""
    with pytest.raises(ValidationError, match=message):
        traced("flash_attention", sections(**{"query_tokens": 128, "kv_tokens": 256, **changes}), B2)


def test_tiles_beyond_the_buffers_are_refused() -> None:
    """256 dimensions at 32 rows a vector step overflow UB; the message names the buffer and the way out."""
    with pytest.raises(KernelError, match=r"UB overflows at buffer 'o'.*make tiles smaller or rings shallower"):
        traced("flash_attention", sections(128, 256, head_dim=256, tiling={"vector_rows": 32}), B2)
