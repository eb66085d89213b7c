"""result.json: its keys, that equal runs give equal bytes, and that its figures belong together."""

from __future__ import annotations

import json
from typing import Any

import pytest
from outcomes import SMALL, outcome

from ascend_sim.config import load_run
from ascend_sim.simulate import simulate

KEYS = [
    "schema", "program", "chip", "config", "cycles", "time_us", "flops", "tflops", "peak_tflops",
    "flops_utilization", "vector_elements", "pipes", "memory", "ub_banks", "bound_by", "critical_path", "depends_on",
    "expected_error", "numerics", "simulation", "warnings",
]  # fmt: skip
WALL = ("wall_s", "instructions_per_s")


def document(text: str) -> dict[str, Any]:
    """The JSON *text*, without the two figures that depend on the host."""
    data: dict[str, Any] = json.loads(text)
    for key in WALL:
        del data["simulation"][key]
    return data


def test_the_keys_are_the_contract() -> None:
    """Other programs read these keys; they come in this order, and every one is there."""
    data = json.loads(outcome("gemm_small", data=True).result.to_json())

    assert list(data) == KEYS
    assert data["schema"] == "ascend-sim/run/1"
    assert list(data["memory"]) == [
        "hbm_read_bytes", "hbm_write_bytes", "l2_read_bytes", "l2_write_bytes", "l2_hit_ratio",
    ]  # fmt: skip
    assert list(data["pipes"])[:9] == [
        "aic_cube_ratio", "aic_mte1_ratio", "aic_mte2_ratio", "aic_fixpipe_ratio", "aic_scalar_ratio",
        "aiv_vec_ratio", "aiv_mte2_ratio", "aiv_mte3_ratio", "aiv_scalar_ratio",
    ]  # fmt: skip
    assert list(data["numerics"])[:3] == ["reference", "relative_error", "max_abs_error"]
    assert list(data["simulation"])[:4] == ["wall_s", "instructions", "instructions_per_s", "core_classes"]
    assert {"pipe", "share"} <= set(data["critical_path"][0])
    assert list(data["depends_on"][0]) == ["figure", "elasticity", "values", "unit", "standing", "source"]
    assert list(data["expected_error"]) == [
        "kind", "rows", "mape", "max", "bias", "leave_one_out_mape", "leave_one_out_max", "measured", "note",
    ]  # fmt: skip


@pytest.mark.parametrize("name", list(SMALL))
def test_equal_runs_give_equal_bytes(name: str) -> None:
    """Host time apart, the file is the same byte for byte, numbers included."""
    texts = [simulate(load_run(name, SMALL[name]), data=True).result.to_json() for _ in range(2)]
    plain = [json.dumps(document(text)) for text in texts]

    assert plain[0] == plain[1]


def test_the_figures_belong_together() -> None:
    """Rate = operations / time, utilisation = rate / peak, time = cycles / clock, and the peak is the chip's."""
    result = outcome("gemm_small").result

    assert result.flops == 2 * 1000 * 700 * 500
    assert result.time_us == pytest.approx(result.cycles / 1800)
    assert result.tflops == pytest.approx(result.flops / result.time_us / 1e6)
    assert result.peak_tflops == pytest.approx(24 * 8192 * 1.8e9 / 1e12)
    assert result.flops_utilization == pytest.approx(result.tflops / result.peak_tflops)


@pytest.mark.parametrize(("dtype", "factor"), [("fp16", 1.0), ("bf16", 1.0), ("int8", 2.0), ("fp32", 0.25)])
def test_the_peak_is_that_of_the_matrix_format(dtype: str, factor: float) -> None:
    """A cycle of the cube does twice the int8 operations of fp16, and a quarter in fp32 (half as deep, two cycles)."""
    output = "int32" if dtype == "int8" else "fp32"
    changes = (f"problem.dtype={dtype}", f"problem.output={output}", "tiling.l1_k=128", "tiling.l0_k=32")
    result = outcome("gemm_small", *changes).result

    assert result.peak_tflops == pytest.approx(factor * 24 * 8192 * 1.8e9 / 1e12)


def test_a_timed_run_has_no_numbers() -> None:
    """Without data, numerics is null, and the configuration says that there was none although the file asks for it."""
    result = outcome("gemm_small").result

    assert result.numerics is None
    assert result.config["data"]["enabled"] is False


def test_the_configuration_is_complete() -> None:
    """Figures of the chip with their sources, overrides, and parameters that the run file leaves to the program."""
    config = outcome("gemm_small", "chip.scalar.queue_depth=4").result.config

    depth = config["chip"]["scalar"]["queue_depth"]
    assert depth == {"value": 4, "source": "--set", "standing": "override", "note": ""}
    assert config["parameters"]["tiling"]["l1_k"] == 256
    assert "l1_k" not in config["sections"]["tiling"]


def test_data_does_not_change_the_time() -> None:
    """A run with numbers simulates every core, and takes the same cycles."""
    assert outcome("amla_small", data=True).result.cycles == outcome("amla_small").result.cycles
