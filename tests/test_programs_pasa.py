"""PASA: its recurrence is attention, its fp16 kernel is accurate where plain scores overflow, and what it moves."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from program_runs import Arrays, Numbers, chip, computed, loaded, run, traced, without
from pydantic import ValidationError

from ascend_sim.check.run import check
from ascend_sim.config import load_run
from ascend_sim.engine.functional import generated_inputs
from ascend_sim.engine.machine import simulate_timing
from ascend_sim.isa.cube import Fixpipe, Mmad
from ascend_sim.isa.data_movement import LoadGm, StoreGm
from ascend_sim.isa.sync import CrossCoreSetFlag, CrossCoreWaitFlag
from ascend_sim.kernel import AIC, GlobalTensor, Program

B2 = chip("ascend910b2")
TWO_DIES = chip("ascend910c", "cores.aic_per_die=2")
BETA = 0.9844970703125
N = 128
"""Keys of a block."""

Array = NDArray[np.float64]


def of_program(name: str) -> Any:
    """A function of the program file."""
    return loaded("pasa").kernel.function.__globals__[name]


def sections(query_tokens: int, kv_tokens: int, *, tiling: dict[str, Any] | None = None, **problem: Any) -> Any:
    """Sections of a run; *problem* are further keys of the problem."""
    shape = {"query_tokens": query_tokens, "kv_tokens": kv_tokens, "head_dim": 64, **problem}
    return {"problem": shape, "tiling": tiling or {}}


def uniform(x0: float, amplitude: float, **rows: int) -> Arrays:
    """q, k and v of 128 columns with values of (rand - 0.5) 2 amplitude + x0."""
    generator = np.random.default_rng(2024724)
    return {
        name: ((generator.random((count, 128)) - 0.5) * 2 * amplitude + x0).astype(np.float16)
        for name, count in rows.items()
    }


# --- The recurrence, in float64 ---


def recurrence(q: Array, k: Array, v: Array, beta: float, causal: bool = False) -> Array:
    """PASA of one head in float64, with a matrix that is not rounded, and a_j not relative to anything."""
    (rows, head_dim), keys = q.shape, len(k)
    inv = beta / (1 - beta)
    matrix = (np.eye(N) - beta / N) / np.sqrt(head_dim)
    mean = highest = total = out = np.zeros(0)
    for j in range(ceil(keys / N)):
        here = np.arange(j * N, (j + 1) * N)
        padded = np.minimum(here, keys - 1)
        scores = q @ (matrix @ k[padded]).T
        a = scores.mean(axis=1)
        sees = keys - rows + np.arange(rows) + 1 if causal else np.full(rows, keys)
        scores = np.where(here < sees[:, None], scores, -60000.0)
        m = scores.max(axis=1)
        p = np.exp(scores - m[:, None])
        l, t = p.sum(axis=1), p @ v[padded]  # noqa: E741  # l as in the paper
        if j == 0:
            mean, highest, total, out = a, m, l, t
            continue
        new_mean = mean + (a - mean) / (j + 1)
        block, before = m + inv * (a - new_mean), highest + inv * (mean - new_mean)
        mean, highest = new_mean, np.maximum(block, before)
        alpha, gamma = np.exp(before - highest), np.exp(block - highest)
        total, out = alpha * total + gamma * l, alpha[:, None] * out + gamma[:, None] * t
    return out / total[:, None]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("keys", [128, 512, 700])
@pytest.mark.parametrize("beta", [0.0, 0.9375, BETA])
def test_in_float64_the_recurrence_is_attention(beta: float, keys: int, causal: bool) -> None:
    """Whatever beta, with rests of keys and causal or not, only rounding is left: less than 1e-13."""
    generator = np.random.default_rng(1)
    q, k, v = (generator.normal(0.5, 1.0, (rows, 128)) for rows in (100, keys, keys))
    problem = {"query_tokens": 100, "kv_tokens": keys, "head_dim": 128, "causal": causal}
    parameters = loaded("pasa").kernel.parameters.model_validate({"problem": problem})
    reference = loaded("pasa").reference
    assert reference is not None
    expected = reference({"q": q, "k": k, "v": v}, parameters)["out"]

    error = recurrence(q, k, v, beta, causal) - expected
    assert np.linalg.norm(error) / np.linalg.norm(expected) < 1e-13


@pytest.mark.parametrize(
    ("start", "beta", "inv"), [(0.9375, 0.9375, 15.0), (0.96875, 0.968994140625, 31.25), (0.984375, BETA, 63.5)]
)
def test_optimal_beta_from_three_starts(start: float, beta: float, inv: float) -> None:
    """The fixed points of arXiv 2503.01873 for blocks of 128, and the factors that undo their shifts.

    With the betas as fp16 numbers, inv is 31.252 and 63.504; the fixed points themselves are 31.25 / 32.25, and so on.
    """
    found = of_program("optimal_beta")(start)

    assert found == pytest.approx(beta, rel=1e-6)
    assert found / (1 - found) == pytest.approx(inv, rel=1e-4)


def test_the_shift_is_undone_by_the_matrix_as_it_is_rounded() -> None:
    """S M of the fp16 matrix, scaled, plus inv times its mean, is S / sqrt(d) up to the rounding of the scale.

    With beta / (1 - beta) instead it would be wrong by 1.4 % of the shift, for 128 dimensions.
    """
    matrix, recovery = of_program("matrix"), of_program("recovery")
    diagonal, other = matrix(BETA, 128)
    assert (diagonal, other) == tuple(float(np.float16(value / np.sqrt(128))) for value in (1 - BETA / N, -BETA / N))
    whole = np.full((N, N), other) + (diagonal - other) * np.eye(N)
    scores = np.random.default_rng(0).normal(1000.0, 10.0, (50, N))
    shifted, scaled = scores @ whole, scores / np.sqrt(128)
    mean = shifted.mean(axis=1, keepdims=True)
    rounding = abs((diagonal - other) * np.sqrt(128) - 1) * np.abs(scaled - scaled.mean(axis=1, keepdims=True)).max()

    assert np.abs(shifted + recovery(diagonal, other, 128**-0.5) * mean - scaled).max() <= 1.01 * rounding + 1e-9
    assert np.abs(shifted + BETA / (1 - BETA) * mean - scaled).max() > 0.01 * scaled.mean()


# --- Numbers of the kernel ---


def test_values_around_30_keep_their_accuracy() -> None:
    """Uniform values of 30 +- 0.5: finite, with a relative RMSE below 3e-3, where all plain fp16 scores overflow."""
    inputs = uniform(30.0, 0.5, q=128, k=1024, v=1024)
    shape = {"query_tokens": 128, "kv_tokens": 1024}
    assert np.all(np.abs(inputs["q"].astype(np.float64) @ inputs["k"].astype(np.float64).T) > 65504)
    numbers = run("pasa", {"problem": shape}, B2, blocks=1, inputs=inputs)

    assert np.all(np.isfinite(numbers.outputs["out"]))
    assert numbers.error() < 3e-3
    for softmax in ("fp16", "fp16_fp32"):
        plain = run("flash_attention", {"problem": {**shape, "softmax": softmax}}, B2, blocks=1, inputs=inputs)
        assert np.all(np.isnan(plain.outputs["out"]))


NORMAL_LIMIT = 1e-2
"""Largest relative error for N(0, 1).

A sum of 128 scores in fp16 is made in 7 steps, of which each adds errors of some 2^-12 of its addends; so a mean is
wrong by sqrt(7 / 128) x 2^-12 of a score, 6e-5, and 64 times that, 4e-3, is the relative error of a block among others.
"""


@settings(max_examples=15, deadline=None)
@given(data=st.data(), causal=st.booleans())
def test_any_shape(data: st.DataObject, causal: bool) -> None:
    """Requests, groups of heads, lengths and head dimensions, causal or not: within the limit."""
    kv_heads, group = data.draw(st.integers(1, 2), "kv_heads"), data.draw(st.integers(1, 2), "group")
    query_tokens = data.draw(st.integers(1, 300), "query_tokens")
    kv_tokens = data.draw(st.integers(query_tokens if causal else 1, 400), "kv_tokens")
    problem = {
        "batch": data.draw(st.integers(1, 2), "batch"), "heads": kv_heads * group, "kv_heads": kv_heads,
        "head_dim": data.draw(st.sampled_from([16, 48, 64, 128, 256]), "head_dim"), "causal": causal,
    }  # fmt: skip

    assert run("pasa", sections(query_tokens, kv_tokens, **problem), B2, blocks=2).error() < NORMAL_LIMIT


def test_without_a_shift_it_is_flash_attention_in_fp16() -> None:
    """With beta 0 there is no mean to recover, and the error is that of a few roundings, 4 x 2^-11."""
    assert run("pasa", sections(130, 500, beta=0.0), B2, blocks=2).error() < 4 * 2.0**-11


def test_one_key_returns_its_value() -> None:
    """One key, and 127 copies of it that weigh nothing: the output is V to the last bit."""
    numbers = run("pasa", sections(50, 1, heads=4, kv_heads=2), B2, blocks=2)

    assert np.array_equal(numbers.outputs["out"], np.repeat(numbers.inputs["v"], 100, axis=0))


def test_each_query_sees_the_keys_up_to_its_own() -> None:
    """With all keys alike a query averages the values that it sees: V of one 1 shows who sees it, to a weight.

    The first 27 queries see nothing of the second block of keys, and most queries nothing of the third.
    """
    queries, keys, seen_from = 200, 300, 250
    inputs = {name: np.ones((rows, 16), np.float16) for name, rows in (("q", queries), ("k", keys), ("v", keys))}
    inputs["v"][:] = 0.0
    inputs["v"][seen_from] = 1.0
    shape = sections(queries, keys, head_dim=16, causal=True)
    out = run("pasa", shape, B2, blocks=1, inputs=inputs).outputs["out"]

    sees = keys - queries + np.arange(queries) + 1
    expected = np.where(sees > seen_from, 1.0 / sees, 0.0)
    assert np.allclose(out.astype(np.float64), expected[:, None], rtol=3e-3, atol=0)


def rising(heads: int) -> Numbers:
    """Keys that grow from block to block, so that each has a larger mean and maximum than all before."""
    generator = np.random.default_rng(5)
    ramp = np.repeat(np.arange(1, 6), N)[:, None] / 5
    inputs = {
        "q": generator.uniform(0.5, 1.5, (heads * 100, 64)).astype(np.float16),
        "k": (generator.uniform(0.9, 1.1, (5 * N, 64)) * ramp).astype(np.float16),
        "v": generator.standard_normal((5 * N, 64)).astype(np.float16),
    }
    return run("pasa", sections(100, 5 * N, heads=heads), B2, blocks=1, inputs=inputs)


def test_it_recovers_the_mean_of_every_block() -> None:
    """Means of blocks that rise by 1.6 each, of which a 64th is left: not recovered, all blocks would weigh alike."""
    assert rising(2).error() < NORMAL_LIMIT


@pytest.mark.parametrize("tiling", [{"vector_rows": 16}, {"rows": 128}, {"unit_flag": False}])
def test_the_tiling_changes_no_bit(tiling: dict[str, Any]) -> None:
    """Rows are independent, and each meets the same operations in the same order, however they are grouped."""
    usual, other = (run("pasa", sections(200, 300, tiling=one), B2, blocks=1) for one in ({}, tiling))

    assert np.array_equal(usual.outputs["out"], other.outputs["out"])


def test_blocks_of_fewer_rows_than_the_matrix_has() -> None:
    """With 64 rows L0 takes the matrix in two tiles: the same limit."""
    assert run("pasa", sections(200, 300, tiling={"rows": 64}), B2, blocks=1).error() < NORMAL_LIMIT


# --- The shifted keys ---


def moves(program: Program, tensor: str, *kinds: type) -> list[list[int]]:
    """For each core, the bytes of each move of *tensor* by instructions of *kinds*."""
    found: list[list[int]] = []
    for stream in program.streams:
        found.append([])
        for _, one in stream:
            if isinstance(one, kinds):
                window: GlobalTensor = one.source if isinstance(one, LoadGm) else one.destination
                found[-1] += [window.bytes] if window.name == tensor else []
    return found


def total(program: Program, tensor: str, *kinds: type) -> int:
    """Bytes of *tensor* that instructions of *kinds* move, on all cores."""
    return sum(map(sum, moves(program, tensor, *kinds)))


def test_keys_are_shifted_once_for_all_query_heads() -> None:
    """Eight query heads share two KV heads of 9 blocks: 18 products M K, dealt over four cores in turn."""
    program = traced("pasa", sections(256, 9 * N, heads=8, kv_heads=2), B2, blocks=4)
    stored = [len(one) for one in moves(program, "shifted", Fixpipe)]

    assert stored[::3] == [5, 5, 4, 4]
    assert total(program, "k", LoadGm) == total(program, "shifted", Fixpipe) == 2 * 2 * 9 * N * 64


def test_a_die_shifts_what_its_own_rows_meet() -> None:
    """Two dies of two cores and two KV heads: each die has the rows of one, and shifts it; nothing crosses dies."""
    program = traced("pasa", sections(256, 2 * N, heads=4, kv_heads=2), TWO_DIES, blocks=4)
    numbers = run("pasa", sections(256, 2 * N, heads=4, kv_heads=2), TWO_DIES, blocks=4)

    assert [len(one) for one in moves(program, "shifted", Fixpipe)][::3] == [1, 1, 1, 1]
    assert numbers.error() < NORMAL_LIMIT


def test_dies_that_share_a_head_shift_it_each() -> None:
    """One KV head for the rows of two dies: each has a copy of K' of its own, and a check finds no race."""
    shape = ["problem.kv_heads=1", "problem.heads=4", "problem.query_tokens=250", "problem.kv_tokens=200"]
    run_file = load_run(
        "pasa_small", ["chip=ascend910c", "chip.cores.aic_per_die=2", "launch.blocks=4", *shape, "data.enabled=false"]
    )
    program = traced("pasa", sections(250, 200, heads=4, kv_heads=1, head_dim=128), TWO_DIES, blocks=4)

    assert [len(one) for one in moves(program, "shifted", Fixpipe)][::3] == [1, 1, 1, 1]
    assert [str(one.diagnostic()) for one in check(run_file).errors] == []


@pytest.mark.parametrize("flag", [0, 1, 2, 6, 7], ids=["S", "P", "T", "matrix", "shifted keys"])
def test_a_forgotten_hand_over_gives_wrong_numbers(flag: int) -> None:
    """Without one of the flags that say something is there, it is read before it is written."""
    program = traced("pasa", sections(300, 600, heads=2), B2, blocks=2)
    inputs = generated_inputs(program, 0, "normal", 1.0)
    forgotten = without(program, lambda one: isinstance(one, CrossCoreSetFlag | CrossCoreWaitFlag) and one.flag == flag)
    right, wrong = (computed(one, B2, inputs)["out"].astype(np.float64) for one in (program, forgotten))

    assert np.all(np.isfinite(right))
    assert not np.allclose(wrong, right, rtol=0, atol=0.01)


# --- Closed forms ---


@pytest.mark.parametrize(("query_tokens", "kv_tokens"), [(256, 1024), (300, 1300), (7, 77)])
def test_bytes_of_every_tensor(query_tokens: int, kv_tokens: int) -> None:
    """K is read once; K' once for each block of 256 rows, with its filling; S, P and T are written and read once."""
    heads, head_dim = 2, 64
    program = traced("pasa", sections(query_tokens, kv_tokens, heads=heads, kv_heads=heads), B2, blocks=4)
    rows, row_blocks, blocks = heads * query_tokens, heads * ceil(query_tokens / 256), ceil(kv_tokens / N)
    padding = blocks * N - kv_tokens
    read = {
        "k": 2 * heads * (kv_tokens + (padding > 0)) * head_dim, "padding": 2 * heads * padding * head_dim,
        "shifted": 2 * row_blocks * blocks * N * head_dim, "v": 2 * row_blocks * kv_tokens * head_dim,
        "q": 2 * rows * head_dim, "matrix": 4 * 2 * N * N,
    }  # fmt: skip
    handed_on = {"s": 2 * rows * blocks * N, "p": 2 * rows * kv_tokens, "t": 2 * rows * head_dim * blocks}

    assert {name: total(program, name, LoadGm) for name in read} == read
    for name, size in handed_on.items():
        assert total(program, name, LoadGm) == total(program, name, Fixpipe, StoreGm) == size
    assert total(program, "out", StoreGm) == 2 * rows * head_dim


def test_flops_are_those_of_attention() -> None:
    """The MMADs do the operations of attention, and 2 n n d more for each block of keys that is shifted."""
    program = traced("pasa", sections(256, 8 * N, heads=4, kv_heads=2), B2, blocks=4)
    made = sum(one.flops() for stream in program.streams for _, one in stream if isinstance(one, Mmad))

    assert program.flops == 4 * 4 * 256 * 8 * N * 64
    assert made == program.flops + 2 * 8 * 2 * N * N * 64


def test_causal_blocks_are_dealt_by_cost() -> None:
    """Eight blocks of 1 to 8 tiles on four cores: the longest with the shortest, nine tiles a core."""
    program = traced("pasa", sections(1024, 1024, causal=True, tiling={"rows": 128}), B2, blocks=4)
    tiles = [len(one) for one in moves(program, "v", LoadGm)][::3]

    assert all(stream.core.kind is AIC for stream in program.streams[::3])
    assert tiles == [9, 9, 9, 9]


def test_it_is_faster_than_scores_in_fp16_with_fp32_arithmetic() -> None:
    """A core takes a fifth less time for its tiles than FlashAttention on fp16 scores that are cast to fp32."""
    pasa, plain = (
        [
            simulate_timing(
                traced(name, {"problem": {"query_tokens": rows, "kv_tokens": 2048, **more}}, B2, blocks=1), B2
            ).cycles
            for rows in (256, 512)
        ]
        for name, more in (("pasa", {}), ("flash_attention", {"softmax": "fp16_fp32"}))
    )

    assert pasa[1] - pasa[0] < 0.8 * (plain[1] - plain[0])


# --- Refusals ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 6, "kv_heads": 4}, r"kv_heads = 4 does not divide heads = 6.*write a divisor of 6"),
        ({"query_tokens": 300, "causal": True}, r"kv_tokens = 256 is less than query_tokens = 300.*causal: false"),
        ({"beta": 1.0}, r"less than 1"),
        ({"tiling": {"keys": 256}}, r"Input should be 128"),
        ({"tiling": {"vector_rows": 24}}, r"multiple of 16"),
        ({"tiling": {"rows": 256}, "head_dim": 256}, r"l0c_buffers = 2 is too few: 256 rows.*or fewer rows"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    """Heads, lengths and tiles that cannot work are refused with the value, the limit and the way out."""
    with pytest.raises(ValidationError, match=message):
        traced("pasa", sections(**{"query_tokens": 128, "kv_tokens": 256, **changes}), B2)


def test_some_preload_is_needed() -> None:
    """GU loads products before P of the next tile, so without a tile ahead P and PV would wait in a circle."""
    with pytest.raises(ValidationError, match=r"schedule.preload\n.*greater than or equal to 1"):
        traced("pasa", {**sections(128, 256), "schedule": {"preload": 0}}, B2)
