"""The bundled programs compute what their float64 references say, and programs with forgotten flags do not."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from program_runs import PROGRAMS, Numbers, chip, computed, loaded, run, traced, without
from pydantic import ValidationError

from ascend_sim import kernel as asc
from ascend_sim.config import load_run
from ascend_sim.engine.functional import generated_inputs
from ascend_sim.errors import KernelError, ProgramError
from ascend_sim.isa.instruction import Instruction
from ascend_sim.isa.sync import (
    CrossCoreSetFlag,
    CrossCoreWaitFlag,
    PipeBarrier,
    SetFlag,
    WaitFlag,
)
from ascend_sim.kernel import Pipe, Space, fp32

B2 = chip("ascend910b2")
PACKAGE = chip("ascend910c")
VECTOR_CORES = 48
HALF_ULP_FP32 = 2.0**-24


# --- vector_add ---


@pytest.mark.parametrize(
    ("length", "tile", "blocks"),
    [
        pytest.param(1, 8192, None, id="one element"),
        pytest.param(8, 8, None, id="one whole tile"),
        pytest.param(8193, 8192, None, id="a tail of one element"),
        pytest.param(100_003, 1000, None, id="more tiles than cores"),
        pytest.param(5000, 37, 2, id="tiles that are no blocks of 32 B"),
        pytest.param(VECTOR_CORES * 64, 64, None, id="one tile a core"),
        pytest.param(70_000, 8192, 1, id="all on one core"),
    ],
)
def test_vector_add_is_the_rounded_sum(length: int, tile: int, blocks: int | None) -> None:
    """An fp32 addition rounds once, so the result is NumPy's float32 sum to the last bit, for any length."""
    numbers = run("vector_add", {"problem": {"length": length, "tile": tile}}, B2, blocks=blocks)

    assert np.array_equal(numbers.outputs["z"], numbers.inputs["x"] + numbers.inputs["y"])
    assert numbers.error() < HALF_ULP_FP32


def test_vector_add_gives_every_core_its_share() -> None:
    """Three tiles for each of 48 cores: every stream has the same number of instructions."""
    program = traced("vector_add", {"problem": {"length": 3 * VECTOR_CORES * 100, "tile": 100}}, B2)

    assert len(program.streams) == VECTOR_CORES
    assert len({stream.length for stream in program.streams}) == 1


def test_vector_add_refuses_a_tile_beyond_the_buffer() -> None:
    """Six buffers of 8200 fp32 do not fit into 192 KB; the message says which buffer overflows and the way out."""
    with pytest.raises(KernelError, match=r"UB overflows at buffer 'z\[1\]'.*make tiles smaller"):
        traced("vector_add", {"problem": {"length": 10_000, "tile": 8200}}, B2)


# --- softmax ---


@pytest.mark.parametrize(
    ("rows", "columns", "blocks"),
    [
        pytest.param(1, 64, None, id="one row"),
        pytest.param(300, 7, None, id="fewer columns than a repeat"),
        pytest.param(77, 65, None, id="a repeat and one column"),
        pytest.param(500, 200, 3, id="four chunks with a tail"),
        pytest.param(40, 448, 1, id="seven chunks, so that folding leaves one over twice"),
        pytest.param(13, 1025, 2, id="seventeen chunks"),
        pytest.param(6, 4095, 2, id="one column short of the most"),
        pytest.param(5, 4096, 2, id="the most columns"),
    ],
)
def test_softmax_agrees_with_float64(rows: int, columns: int, blocks: int | None) -> None:
    """Every probability is within its rounding errors of the reference, and no row misses a column.

    x - max has magnitude at most 10 for these inputs and is rounded once, which moves exp by 10 half units in the
    last place; exp, at most 12 additions of the sum and the division add less than 20 more.
    """
    numbers = run("softmax", {"problem": {"rows": rows, "columns": columns}}, B2, blocks=blocks)

    assert np.ptp(numbers.inputs["x"].astype(np.float64), axis=1).max() < 10
    np.testing.assert_allclose(numbers.outputs["y"], numbers.expected["y"], rtol=30 * HALF_ULP_FP32)


def test_softmax_of_one_column_is_one() -> None:
    """A single value has all the weight, exactly."""
    numbers = run("softmax", {"problem": {"rows": 100, "columns": 1}}, B2)

    assert np.all(numbers.outputs["y"] == 1.0)


@pytest.mark.parametrize("scale", [1e4, 3e37])
def test_softmax_of_large_values_does_not_overflow(scale: float) -> None:
    """exp of values up to 1e38 would overflow; exp of differences from the maximum does not.

    A weight counts if it is above 1e-30, so that x - max is above -70 and its rounding moves exp by 70 half units.
    """
    numbers = run("softmax", {"problem": {"rows": 100, "columns": 300}}, B2, blocks=4, scale=scale)
    expected = numbers.expected["y"]

    np.testing.assert_allclose(numbers.outputs["y"], expected, rtol=90 * HALF_ULP_FP32, atol=1e-30)
    assert np.all(numbers.outputs["y"].sum(axis=1) > 0.999)


@pytest.mark.parametrize("tiling", [{"elements": 1}, {"elements": 1000}, {"buffers": 1}])
def test_softmax_does_not_depend_on_the_tiling(tiling: dict[str, int]) -> None:
    """However many rows are handled at a time, a row goes through the same operations: equal bits."""
    problem = {"rows": 50, "columns": 130}
    usual = run("softmax", {"problem": problem}, B2, blocks=2)
    other = run("softmax", {"problem": problem, "tiling": tiling}, B2, blocks=2)

    assert np.array_equal(other.outputs["y"], usual.outputs["y"])


# --- gemm ---

SMALL_TILES = {"m": 64, "n": 64, "l1_k": 128, "l0_k": 64}


def gemm(m: int, n: int, k: int, blocks: int = 3, tiling: dict[str, Any] | None = None, **problem: str) -> Numbers:
    """Run gemm on a few cores, with tiles of 64 x 64 unless told otherwise."""
    sections = {"problem": {"m": m, "n": n, "k": k, **problem}, "tiling": {**SMALL_TILES, **(tiling or {})}}
    return run("gemm", sections, B2, blocks=blocks)


@pytest.mark.parametrize("dtype", ["fp16", "bf16", "fp32"])
def test_gemm_rounds_like_fp32_sums(dtype: str) -> None:
    """Products of 2-byte formats are exact in fp32, so the error is that of 200 fp32 additions of random sign.

    They stay below sqrt(200) half units in the last place of the sum; fp32 products add one each.
    """
    assert gemm(130, 150, 200, dtype=dtype).error() < 15 * HALF_ULP_FP32


def test_gemm_of_int8_is_exact() -> None:
    """Products of integers up to 8 are summed in int32 without error."""
    numbers = gemm(100, 90, 200, dtype="int8", output="int32")

    assert np.array_equal(numbers.outputs["c"], numbers.expected["c"])


@pytest.mark.parametrize(("output", "numpy_type"), [("fp16", np.float16), ("bf16", ml_dtypes.bfloat16)])
def test_gemm_output_formats_are_the_rounded_fp32_output(output: str, numpy_type: Any) -> None:
    """FIXPIPE converts once, to nearest even: the narrow output is the fp32 output cast by NumPy."""
    wide, narrow = (gemm(70, 80, 150, output=one) for one in ("fp32", output))

    assert narrow.outputs["c"].dtype == numpy_type
    assert np.array_equal(narrow.outputs["c"], wide.outputs["c"].astype(numpy_type))


@pytest.mark.parametrize("dtype", ["fp16", "int8"])
@pytest.mark.parametrize(
    ("m", "n", "k"),
    [(1, 1, 1), (1, 65, 64), (65, 1, 129), (17, 33, 15), (64, 64, 128), (128, 128, 256), (129, 127, 257)],
)
def test_gemm_tails(m: int, n: int, k: int, dtype: str) -> None:
    """Rests in m, n and k, single elements, and whole tiles give the right product."""
    output = "int32" if dtype == "int8" else "fp32"

    assert gemm(m, n, k, dtype=dtype, output=output).error() < 17 * HALF_ULP_FP32


@pytest.mark.parametrize("unit_flag", [False, True])
@pytest.mark.parametrize("l0c_buffers", [1, 2])
@pytest.mark.parametrize("buffers", [1, 2])
def test_gemm_does_not_depend_on_buffering(unit_flag: bool, l0c_buffers: int, buffers: int) -> None:
    """Single and double buffers and either hand-over to FIXPIPE run the same MMADs in the same order: equal bits."""
    tiling = {
        "unit_flag": unit_flag, "l0c_buffers": l0c_buffers, "l1_buffers": buffers, "l0_buffers": buffers,
    }
    usual, other = gemm(150, 130, 300, blocks=2), gemm(150, 130, 300, blocks=2, tiling=tiling)

    assert np.array_equal(other.outputs["c"], usual.outputs["c"])


# --- amla ---

FIRST, SECOND = slice(0, 256), slice(256, 512)
"""Output rows of two requests of 128 heads and two query tokens."""


@cache
def amla(
    lengths: tuple[int, ...] = (700, 1500), heads: int = 128, query_tokens: int = 2, blocks: int = 2,
    distribution: str = "normal", schedule: tuple[tuple[str, Any], ...] = (), tiling: tuple[tuple[str, Any], ...] = (),
    output: str = "bf16", program: str = "amla",
) -> Numbers:
    """Run amla, or *program*, on the first cores of a package; kept, since several tests compare with the same run."""
    problem = {
        "batch": len(lengths), "heads": heads, "query_tokens": query_tokens, "kv_tokens": list(lengths),
        "output": output,
    }
    sections = {"problem": problem, "schedule": dict(schedule), "tiling": dict(tiling)}
    return run(program, sections, PACKAGE, blocks=blocks, distribution=distribution)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_amla_meets_its_error_bound(distribution: str) -> None:
    """The relative error in bf16 stays within 2.5e-3 for N(0, 1) and U(-1, 1), for each request."""
    numbers = amla(distribution=distribution)

    assert numbers.error(FIRST) <= 2.5e-3
    assert numbers.error(SECOND) <= 2.5e-3


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_amla_is_as_accurate_as_rescaling_by_multiplication(distribution: str) -> None:
    """Integer addition costs no accuracy: the error is within 10 % of that with plain multiplications."""
    added = amla(distribution=distribution)
    multiplied = amla(distribution=distribution, program="mla_base")

    assert added.error() == pytest.approx(multiplied.error(), rel=0.1)


def test_amla_needs_its_compensation() -> None:
    """Without eps_i the rounding of S to bf16 shows: in an fp32 output of three key blocks by at least 1.3 times."""
    with_it = amla(output="fp32")
    without_it = amla(output="fp32", schedule=(("compensation", False),))

    assert without_it.error(SECOND) >= 1.3 * with_it.error(SECOND)


@pytest.mark.parametrize("program", ["amla", "mla_base"])
@pytest.mark.parametrize("preload", [0, 1, 2])
def test_amla_does_not_depend_on_preload(preload: int, program: str) -> None:
    """Running C1 ahead changes when the sums are made, not what is summed: the same bound for any preload."""
    numbers = amla(heads=32, schedule=(("preload", preload),), program=program)

    assert numbers.error() <= 2.5e-3


@pytest.mark.parametrize(
    ("options", "blocks"),
    [
        pytest.param({"heads": 128, "query_tokens": 1}, 2, id="one query token"),
        pytest.param({"heads": 16}, 2, id="16 heads"),
        pytest.param({"heads": 16, "query_tokens": 1}, 2, id="one fractal of rows"),
        pytest.param({"heads": 136, "lengths": (600,)}, 2, id="a row block of 16 rows beside one of 256"),
        pytest.param({"heads": 24}, 2, id="48 rows"),
        pytest.param({"heads": 128, "lengths": (600,), "tiling": (("task_rows", 128),)}, 1, id="two row blocks"),
        pytest.param({"tiling": (("kv_buffers", 1), ("l0_buffers", 1))}, 2, id="single buffers"),
        pytest.param({"tiling": (("vector_rows", 8),)}, 2, id="8 rows a vector step"),
        pytest.param({"tiling": (("task_keys", 256),)}, 2, id="tasks of 256 keys"),
        pytest.param({"lengths": (512, 513)}, 2, id="a whole task and one key more"),
        pytest.param({"lengths": (600, 1, 1100, 512, 30)}, 1, id="five requests on one core"),
        pytest.param({"lengths": (600, 1, 1100, 512, 30)}, 2, id="five requests on two cores"),
    ],
)
@pytest.mark.parametrize("program", ["amla", "mla_base"])
def test_amla_shapes(options: dict[str, Any], blocks: int, program: str) -> None:
    """Each shape and tiling stays within the bound; on fewer cores than requests the task stream crosses requests."""
    numbers = amla(**{"heads": 32, **options}, blocks=blocks, program=program)

    assert numbers.error() <= 2.5e-3


@pytest.mark.parametrize("cores", [1, 4])
def test_amla_on_a_chip_with_other_vector_cores(cores: int) -> None:
    """The rows of a task are dealt out to as many vector cores as a cube core has."""
    other = chip("ascend910c", f"cores.aiv_per_aic={cores}")
    problem = {"batch": 1, "heads": 48, "query_tokens": 2, "kv_tokens": 600}
    numbers = run("amla", {"problem": problem}, other, blocks=1)

    assert len(traced("amla", {"problem": problem}, other, 1).streams) == 1 + cores
    assert numbers.error() <= 2.5e-3


def test_amla_refuses_rows_that_vector_cores_cannot_share() -> None:
    """80 rows are no eights for each of four vector cores: the kernel says so, and what to change."""
    problem = {"batch": 1, "heads": 40, "query_tokens": 2, "kv_tokens": 600}
    message = "a block of 80 query rows cannot be dealt out to 4 vector cores in eights, .* change heads"

    with pytest.raises(ProgramError, match=message):
        traced("amla", {"problem": problem}, chip("ascend910c", "cores.aiv_per_aic=4"), 1)


@pytest.mark.parametrize("program", ["amla", "mla_base"])
def test_amla_of_one_key_returns_its_value(program: str) -> None:
    """One key has all the weight: P and its sum are the same power of two, so the output is V to the last bit."""
    numbers = amla(lengths=(1,), heads=32, blocks=1, program=program)

    assert np.array_equal(numbers.outputs["out"], np.repeat(numbers.inputs["kv"], 64, axis=0))


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        ({"batch": 3, "kv_tokens": [700, 1500]}, "kv_tokens lists 2 lengths for a batch of 3; give one length"),
        ({"batch": 1, "heads": 100, "kv_tokens": 700}, "= 100 rows is not a multiple of 16.*pad the heads"),
    ],
)
def test_amla_refuses_shapes_that_do_not_fit(problem: dict[str, Any], message: str) -> None:
    """A list of the wrong length, and rows that do not fill fractals, are refused with the way out."""
    with pytest.raises(ValidationError, match=message):
        traced("amla", {"problem": problem}, PACKAGE)


RISING_KEYS = 2048


def rising_inputs() -> dict[str, NDArray[Any]]:
    """Queries near 1 and keys that grow with their number, so that every block has a new and larger maximum."""
    generator = np.random.default_rng(5)
    ramp = 0.25 * np.arange(1, RISING_KEYS + 1)[:, None] / RISING_KEYS
    shapes = {"q": (64, 512), "q_rope": (64, 64), "kv": (RISING_KEYS, 512), "k_rope": (RISING_KEYS, 64)}
    drawn = {name: generator.uniform(0.5, 1.5, shape) for name, shape in shapes.items()}
    return {
        name: (values * (1 if name.startswith("q") else ramp)).astype(ml_dtypes.bfloat16)
        for name, values in drawn.items()
    }


def exponents(inputs: dict[str, NDArray[Any]], block: int) -> NDArray[np.float64]:
    """n_i = round(-m_i / ln 2) of each row (second axis) after each block of keys (first axis), by the definition."""
    q, q_rope, kv, k_rope = (inputs[name].astype(np.float64) for name in ("q", "q_rope", "kv", "k_rope"))
    scores = (q @ kv.T + q_rope @ k_rope.T) / np.sqrt(576)
    maxima = [scores[:, :end].max(axis=1) for end in range(block, RISING_KEYS + 1, block)]
    return np.round(-np.array(maxima) / np.log(2.0))


@pytest.mark.parametrize("preload", [0, 1, 2])
def test_amla_rescales_in_every_block(preload: int) -> None:
    """With scores that rise, every row's n_i falls in every block: no integer increment is idle."""
    inputs = rising_inputs()
    assert np.all(np.diff(exponents(inputs, 512), axis=0) <= -1)
    problem = {"batch": 1, "heads": 32, "query_tokens": 2, "kv_tokens": RISING_KEYS}
    sections = {"problem": problem, "schedule": {"preload": preload}}

    assert run("amla", sections, PACKAGE, blocks=1, inputs=inputs).error() <= 2.5e-3


# --- Run files ---

BOUNDS = {
    "amla_ragged": 4e-4, "amla_small": 2.5e-3, "flash_attention_small": 7e-4, "gemm_small": 23 * HALF_ULP_FP32,
    "pasa_small": 2e-4, "softmax": 30 * HALF_ULP_FP32, "vector_add": HALF_ULP_FP32,
}  # fmt: skip
"""Relative errors of the run files that have data; 23 is the root of the 500 additions of gemm_small."""


RUNS = sorted((PROGRAMS.parent / "configs" / "runs").glob("*.yaml"))


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_bundled_run_files(path: Path) -> None:
    """Every run file says what it is, fits its program, and computes right numbers if it has data."""
    config = load_run(path)
    parameters = config.parameters(loaded(config.program).kernel.parameters)
    assert config.description
    assert config.data.enabled == (path.stem in BOUNDS)

    if config.data.enabled:
        numbers = run(
            config.program, parameters.model_dump(), config.chip,
            distribution=config.data.distribution, scale=config.data.scale,
        )
        assert numbers.error() <= BOUNDS[path.stem]


# --- Forgotten synchronisation ---


class NoParameters(asc.Parameters):
    """A kernel without choices."""


def add_one(forget: Pipe | None) -> asc.Kernel:
    """y = x + 1 on one vector core with flags written by hand, but for those into the pipe *forget*."""

    def tensors(gm: asc.GlobalMemory, _: NoParameters) -> None:
        gm.input("x", (4096,), fp32)
        gm.output("y", (4096,), fp32)

    @asc.kernel(cores="vector", parameters=NoParameters, tensors=tensors, flops=lambda _: 4096)
    def kernel(core: asc.Core, gm: asc.GlobalMemory, _: NoParameters) -> None:
        def hand_over(source: Pipe, destination: Pipe) -> None:
            if destination is not forget:
                asc.set_flag(source, destination, 0)
                asc.wait_flag(source, destination, 0)

        x, y = (core.tensor(name, Space.UB, 4096, fp32) for name in ("x", "y"))
        asc.data_copy(x, gm.x)
        hand_over(Pipe.MTE2, Pipe.V)
        asc.adds(y, x, 1.0)
        hand_over(Pipe.V, Pipe.MTE3)
        asc.data_copy(gm.y, y)

    return kernel


@pytest.mark.parametrize("forget", [None, Pipe.V, Pipe.MTE3])
def test_a_forgotten_flag_reads_poison(forget: Pipe | None) -> None:
    """With its flags the kernel adds one; without either of them it uses memory before it is written: NaN."""
    program = asc.build(add_one(forget), NoParameters(), B2, blocks=1)
    inputs = generated_inputs(program, 0, "normal", 1.0)
    output = computed(program, B2, inputs)["y"]

    if forget is None:
        assert np.array_equal(output, inputs["x"] + np.float32(1))
    else:
        assert np.all(np.isnan(output))


def forgets_pipes(source: Pipe, destination: Pipe) -> Any:
    """Whether an instruction is a flag from *source* to *destination*."""

    def dropped(instruction: Instruction) -> bool:
        flag = isinstance(instruction, SetFlag | WaitFlag)
        return flag and (instruction.source, instruction.destination) == (source, destination)

    return dropped


def forgets_cross_core(flag: int) -> Any:
    """Whether an instruction sets or waits for the cross-core *flag*."""
    return lambda one: isinstance(one, CrossCoreSetFlag | CrossCoreWaitFlag) and one.flag == flag


GEMM = {"problem": {"m": 256, "n": 512, "k": 512}}
SOFTMAX = {"problem": {"rows": 200, "columns": 300}}
AMLA = {"problem": {"batch": 1, "query_tokens": 2, "kv_tokens": 2000}}


@pytest.mark.parametrize(
    ("name", "sections", "dropped"),
    [
        pytest.param("softmax", SOFTMAX, forgets_pipes(Pipe.MTE2, Pipe.V), id="softmax: V without MTE2"),
        pytest.param("softmax", SOFTMAX, forgets_pipes(Pipe.V, Pipe.MTE3), id="softmax: MTE3 without V"),
        pytest.param("softmax", SOFTMAX, lambda one: isinstance(one, PipeBarrier), id="softmax: no barriers"),
        pytest.param("gemm", GEMM, forgets_pipes(Pipe.MTE2, Pipe.MTE1), id="gemm: MTE1 without MTE2"),
        pytest.param("gemm", GEMM, forgets_pipes(Pipe.MTE1, Pipe.MTE2), id="gemm: MTE2 without MTE1"),
        pytest.param("gemm", GEMM, forgets_pipes(Pipe.M, Pipe.FIX), id="gemm: FIX without M"),
        pytest.param("amla", AMLA, forgets_cross_core(7), id="amla: V1 without C1"),
        pytest.param("amla", AMLA, forgets_cross_core(8), id="amla: C2 without V1"),
        pytest.param("amla", AMLA, forgets_cross_core(9), id="amla: V2 without C2"),
    ],
)
def test_a_program_without_some_flags_is_wrong(name: str, sections: dict[str, Any], dropped: Any) -> None:
    """The same program without one kind of its flags gives other numbers: the model feels synchronisation.

    L1 is filled faster than on the chip, where a GEMM that fills it too early is lucky.
    """
    on = chip("ascend910b2", "paths.gm_to_l1_nz.bytes_per_cycle=1000", "paths.gm_to_l1_nz.miss_bytes_per_cycle=1000")
    program = traced(name, sections, on, blocks=1)
    inputs = generated_inputs(program, 0, "normal", 1.0)
    (right,) = computed(program, on, inputs).values()
    (wrong,) = computed(without(program, dropped), on, inputs).values()
    scale = np.abs(right.astype(np.float64)).max()

    assert np.all(np.isfinite(right.astype(np.float64)))
    assert not np.allclose(wrong.astype(np.float64), right.astype(np.float64), rtol=0, atol=0.01 * scale)
