"""The vectorised algorithms compute to the bit what their programs compute on the simulator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from program_runs import chip, computed, traced

from ascend_sim.numerics import DTYPES, DType
from ascend_sim.study.algorithms import ALGORITHMS
from ascend_sim.study.arithmetic import Operands, as_on_chip, rounded
from ascend_sim.study.exact import attention
from ascend_sim.study.inputs import DISTRIBUTIONS
from ascend_sim.study.mla import amla
from ascend_sim.study.pasa import BETAS, pasa

PACKAGE, B2 = chip("ascend910c"), chip("ascend910b2")

NORMAL = {"distribution": "normal", "std": 1.0}
WIDE = {"distribution": "normal", "std": 5.0}
UNIFORM = {"distribution": "uniform", "amplitude": 10.0}
RISING = {"distribution": "rising", "rise": 4.0}
FAR = {"distribution": "rising", "rise": 60.0}
BIASED = {"distribution": "uniform", "x0": 30.0, "amplitude": 0.5}


def drawn(spec: dict[str, Any], dtype: DType, rows: int, keys: int, columns: int, values: int | None) -> Operands:
    """Inputs of the distribution *spec* in the format *dtype*; without *values* columns of their own they are K's."""
    (one,) = DISTRIBUTIONS[spec["distribution"]].model_validate(spec).inputs()
    generator = np.random.default_rng(7)
    q, k = one.draw(generator, (rows, columns)), one.draw_keys(generator, (keys, columns))
    v = k if values is None else one.draw(generator, (keys, values))
    return Operands(*(rounded(x, dtype) for x in (q, k, v)))


def same_bits(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two arrays hold the same numbers of the same format, bit for bit; all NaN are one."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    whole = {2: np.uint16, 4: np.uint32}[one.dtype.itemsize]
    broken = np.isnan(one) & np.isnan(other)
    return bool(np.all((one.view(whole) == other.view(whole)) | broken))


def latent_program(
    program: str, operands: Operands, dtype: str, output: str | None, schedule: dict[str, Any], tiling: dict[str, Any]
) -> NDArray[Any]:
    """What *program* makes of *operands*, on the first core of a 910C."""
    (rows, columns), latent = operands.q.shape, operands.v.shape[1]
    problem = {
        "batch": 1, "heads": rows, "kv_tokens": len(operands.k), "dtype": dtype, "output": output,
        "latent_dim": latent, "rope_dim": columns - latent,
    }  # fmt: skip
    inputs = {
        "q": operands.q[:, :latent], "q_rope": operands.q[:, latent:],
        "kv": operands.k[:, :latent], "k_rope": operands.k[:, latent:],
    }  # fmt: skip
    built = traced(program, {"problem": problem, "schedule": schedule, "tiling": tiling}, PACKAGE, 1)
    return computed(built, PACKAGE, inputs)["out"]


@pytest.mark.parametrize(
    ("spec", "keys", "dtype", "output", "latent", "options"),
    [
        pytest.param(NORMAL, 700, "bf16", "fp32", 512, {}, id="a tail that is no power of two"),
        pytest.param(NORMAL, 1500, "bf16", None, 128, {}, id="three blocks, rounded output"),
        pytest.param(WIDE, 1100, "fp16", "fp32", 128, {}, id="fp16 cache"),
        pytest.param(UNIFORM, 1025, "bf16", "fp32", 64, {}, id="a last block of one key"),
        pytest.param(UNIFORM, 513, "fp16", None, 64, {}, id="fp16 output"),
        pytest.param(RISING, 2048, "bf16", "fp32", 128, {}, id="every block rescales"),
        pytest.param(FAR, 2048, "bf16", "fp32", 64, {}, id="what is clipped at -30"),
        pytest.param(NORMAL, 1, "bf16", "fp32", 64, {}, id="one key"),
        pytest.param(NORMAL, 900, "bf16", "fp32", 64, {"keys_per_block": 256}, id="smaller blocks"),
    ],
)
@pytest.mark.parametrize("program", ["mla_base", "amla"])
def test_latent_attention_equals_its_programs(
    program: str, spec: dict[str, Any], keys: int, dtype: str, output: str | None, latent: int, options: dict[str, Any]
) -> None:
    """Base and AMLA agree with `mla_base` and `amla` in every bit, over formats, tails, rescaling and clipping."""
    operands = drawn(spec, DTYPES[dtype], 16, keys, latent + 32, None)
    operands = Operands(operands.q, operands.k, operands.k[:, :latent])
    algorithm = ALGORITHMS[program].model_validate({"algorithm": program, "dtype": dtype, **options})
    tiling = {"task_keys": options["keys_per_block"]} if options else {}

    expected = latent_program(program, operands, dtype, output, {}, tiling)
    with as_on_chip():
        found = algorithm.compute(operands).output

    assert same_bits(found if output == "fp32" else rounded(found, DTYPES[dtype]), expected)


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_uncompensated_amla_equals_its_program(dtype: str) -> None:
    """Without compensation AMLA agrees with `amla` in every bit as well, and differs from that with it."""
    operands = drawn(NORMAL, DTYPES[dtype], 16, 1500, 160, None)
    operands = Operands(operands.q, operands.k, operands.k[:, :128])

    expected = latent_program("amla", operands, dtype, "fp32", {"compensation": False}, {})
    with as_on_chip():
        bare, whole = (amla(operands, DTYPES[dtype], compensation=one).output for one in (False, True))

    assert same_bits(bare, expected)
    assert not same_bits(whole, expected)


@pytest.mark.parametrize("keys", [1024, 2048, 2560, 5120])
def test_what_amla_makes_of_zeros_equals_its_program(keys: int) -> None:
    """A column of zeros is garbage after a rescale: what the guard sets to zero, and what escapes it, in every bit."""
    operands = drawn(FAR, DTYPES["bf16"], 16, keys, 96, None)
    operands.k[:, 0] = 0
    operands = Operands(operands.q, operands.k, operands.k[:, :64])

    expected = latent_program("amla", operands, "bf16", "fp32", {}, {})
    with as_on_chip():
        found = ALGORITHMS["amla"].model_validate({"algorithm": "amla"}).compute(operands).output

    assert same_bits(found, expected)
    assert found[:, 0].any() == (keys == 2560)  # garbage is large again, and positive, after ten blocks


def head_program(program: str, operands: Operands, sections: dict[str, Any]) -> NDArray[Any]:
    """What *program* makes of *operands*, one head, on two cores of a 910B2."""
    (rows, head_dim), keys = operands.q.shape, len(operands.k)
    problem = {"query_tokens": rows, "kv_tokens": keys, "head_dim": head_dim, **sections.pop("problem", {})}
    built = traced(program, {"problem": problem, "schedule": {}, "tiling": {}, **sections}, B2, 2)
    return computed(built, B2, {"q": operands.q, "k": operands.k, "v": operands.v})["out"]


@pytest.mark.parametrize(
    ("spec", "rows", "keys", "head_dim"),
    [
        pytest.param(NORMAL, 150, 600, 64, id="tails of rows and keys"),
        pytest.param(WIDE, 33, 257, 128, id="a last tile of one key"),
        pytest.param(RISING | {"keys_per_block": 128}, 16, 700, 64, id="every tile rescales"),
        pytest.param(BIASED, 20, 300, 128, id="scores beyond fp16"),
        pytest.param(NORMAL, 1, 1, 64, id="one key"),
        pytest.param(NORMAL, 40, 400, 256, id="two steps of the common dimension"),
    ],
)
@pytest.mark.parametrize("softmax", ["fp32", "fp16_fp32", "fp16", "bf16 inputs"])
def test_flash_attention_equals_its_program(
    softmax: str, spec: dict[str, Any], rows: int, keys: int, head_dim: int
) -> None:
    """FlashAttention agrees with `flash_attention` in every bit, in all precisions of the softmax, NaN included."""
    options = {"dtype": "bf16"} if softmax == "bf16 inputs" else {"dtype": "fp16", "softmax": softmax}
    dtype = DTYPES[options["dtype"]]
    operands = drawn(spec, dtype, rows, keys, head_dim, head_dim)
    algorithm = ALGORITHMS["flash_attention"].model_validate({"algorithm": "flash_attention", **options})

    expected = head_program("flash_attention", operands, {"problem": options})
    with as_on_chip():
        outcome = algorithm.compute(operands)

    assert same_bits(rounded(outcome.output, dtype), expected)
    if spec is BIASED and softmax.startswith("fp16"):
        assert outcome.broken_scores == 1.0
        assert np.isnan(expected.astype(np.float32)).all()


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize(
    ("spec", "rows", "keys", "head_dim"),
    [
        pytest.param(NORMAL, 70, 300, 64, id="a tail of the last block"),
        pytest.param(BIASED, 40, 512, 128, id="scores beyond fp16"),
        pytest.param(RISING | {"keys_per_block": 128}, 16, 700, 128, id="every block is recovered"),
        pytest.param(UNIFORM, 17, 129, 64, id="a last block of one key"),
        pytest.param(NORMAL, 1, 1, 64, id="one key"),
    ],
)
def test_pasa_equals_its_program(beta: float, spec: dict[str, Any], rows: int, keys: int, head_dim: int) -> None:
    """PASA agrees with `pasa` in every bit, for the three betas, and is finite where scores are beyond fp16."""
    operands = drawn(spec, DTYPES["fp16"], rows, keys, head_dim, head_dim)

    expected = head_program("pasa", operands, {"problem": {"beta": beta}})
    with as_on_chip():
        outcome = pasa(operands, beta)

    assert same_bits(outcome.output, expected)
    assert np.isfinite(expected).all()
    assert outcome.broken_scores == 0.0


@pytest.mark.parametrize("beta", BETAS)
def test_pasa_is_softmax_attention_in_float64(beta: float) -> None:
    """Without roundings, shifting the keys and recovering changes nothing: to 1e-13 for a ragged, biased input."""
    operands = drawn({"distribution": "uniform", "x0": 3.0, "amplitude": 2.0}, DTYPES["fp16"], 64, 700, 128, 128)
    exact = attention(operands).output

    found = pasa(operands, beta, np.float64).output

    assert found.dtype == np.float64
    assert np.linalg.norm(found - exact) <= 1e-13 * np.linalg.norm(exact)
