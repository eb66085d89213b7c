"""The CSV files: the vendor's column names, one row for each core, and cells against sums by hand."""

from __future__ import annotations

import csv
import io

import pytest
from outcomes import outcome

from ascend_sim.config import load_chip
from ascend_sim.report.csv import memory, pipe_utilization
from ascend_sim.simulate import Outcome

PREFIX = "block_id,sub_block_id,aic_time(us),aic_total_cycles,aiv_time(us),aiv_total_cycles"
UTILIZATION = (
    "aiv_vec_time(us),aiv_vec_ratio,aic_cube_time(us),aic_cube_ratio,"
    "aic_scalar_time(us),aic_scalar_ratio,aic_scalar_wait_time(us),"
    "aiv_scalar_time(us),aiv_scalar_ratio,aiv_scalar_wait_time(us),"
    "aic_scalar_mte1_stall_time(us),aic_scalar_mte2_stall_time(us),aiv_scalar_mte2_stall_time(us),"
    "aiv_scalar_mte3_stall_time(us),aic_scalar_cube_stall_time(us),"
    "aic_fixpipe_time(us),aic_fixpipe_ratio,aic_mte1_time(us),aic_mte1_ratio,aic_mte2_time(us),aic_mte2_ratio,"
    "aiv_mte2_time(us),aiv_mte2_ratio,aiv_mte3_time(us),aiv_mte3_ratio,"
    "aic_mte1_active_bw(GB/s),aic_mte2_active_bw(GB/s),aiv_mte2_active_bw(GB/s),aiv_mte3_active_bw(GB/s),"
    "aic_fixpipe_active_bw(GB/s)"
)
MEMORY = (
    "aiv_ub_to_gm_bw(GB/s),aiv_gm_to_ub_bw(GB/s),aic_l1_read_bw(GB/s),aic_l1_write_bw(GB/s),"
    "aic_mte1_instructions,aic_mte1_ratio,aic_mte2_instructions,aic_mte2_ratio,"
    "aiv_mte2_instructions,aiv_mte2_ratio,aiv_mte3_instructions,aiv_mte3_ratio,"
    "GM_to_L1_datas(KB),L0C_to_GM_datas(KB),GM_to_UB_datas(KB),UB_to_GM_datas(KB),"
    "GM_to_L1_bw_usage_rate(%),L0C_to_GM_bw_usage_rate(%),GM_to_UB_bw_usage_rate(%),UB_to_GM_bw_usage_rate(%)"
)


def rows(text: str) -> list[dict[str, str]]:
    """The rows of a CSV file by column name."""
    return list(csv.DictReader(io.StringIO(text)))


def texts(found: Outcome) -> tuple[str, str]:
    """PipeUtilization.csv and Memory.csv of a run."""
    chip = found.timelines.chip
    return pipe_utilization(found.statistics, chip), memory(found.statistics, chip)


def test_the_columns_are_the_vendors() -> None:
    """Scripts written for msprof find their columns, in this order."""
    utilization, memory_ = texts(outcome("amla_small"))

    assert utilization.splitlines()[0] == f"{PREFIX},{UTILIZATION}"
    assert memory_.splitlines()[0] == f"{PREFIX},{MEMORY}"


def test_a_block_is_a_cube_core_with_its_vector_cores() -> None:
    """Rows come block by block, the cube core first; the columns of the other kind say NA."""
    utilization, _ = texts(outcome("amla_small"))
    found = rows(utilization)

    names = [(row["block_id"], row["sub_block_id"]) for row in found]
    assert names == [(block, sub) for block in ("0", "1") for sub in ("cube0", "vector0", "vector1")]
    for row in found:
        other = "aiv_" if row["sub_block_id"] == "cube0" else "aic_"
        own = "aic_" if other == "aiv_" else "aiv_"
        assert {value for key, value in row.items() if key.startswith(other)} == {"NA"}
        assert "NA" not in {value for key, value in row.items() if key.startswith(own)}


def test_without_cube_cores_every_vector_core_is_a_block() -> None:
    """48 vector cores are blocks 0 to 47, each once, also where one was simulated for many."""
    found = outcome("vector_add", "chip.launch.skew_cycles=0", "problem.length=98304", "problem.tile=1024")
    utilization, _ = texts(found)

    assert len(found.schedule.cores) < 48
    assert [int(row["block_id"]) for row in rows(utilization)] == list(range(48))


def test_cells_agree_with_the_run() -> None:
    """The only block of a GEMM: fractal cycles, bytes and bandwidths follow from its shape and its time."""
    found = outcome("gemm_small", "problem.m=128", "problem.n=256", "problem.k=512", "launch.blocks=1")
    (utilization,), (moves,) = (rows(text) for text in texts(found))
    cycles = int(utilization["aic_total_cycles"])
    microseconds = cycles / 1800
    fractals = 128 // 16 * 256 // 16 * 512 // 16
    loaded, written = 2 * 512 * (128 + 256), 4 * 128 * 256

    assert float(utilization["aic_time(us)"]) == pytest.approx(microseconds, abs=1e-6)
    assert float(utilization["aic_cube_time(us)"]) == pytest.approx(fractals / 1800, abs=1e-6)
    assert float(utilization["aic_cube_ratio"]) == pytest.approx(fractals / cycles, abs=1e-6)
    assert float(moves["GM_to_L1_datas(KB)"]) == loaded / 1024
    assert float(moves["L0C_to_GM_datas(KB)"]) == written / 1024
    assert float(moves["aic_l1_write_bw(GB/s)"]) == pytest.approx(loaded / microseconds / 1e3, rel=1e-5)
    rate = load_chip("ascend910b2").paths.gm_to_l1.bytes_per_cycle.value
    assert float(moves["GM_to_L1_bw_usage_rate(%)"]) == pytest.approx(100 * loaded / (cycles * rate), rel=1e-4)
