"""The roofline: hand-worked places and peaks, laws that every kernel obeys, and element operations counted by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from outcomes import SMALL, outcome
from tiny import build, chip, work

from ascend_sim import kernel as asc
from ascend_sim.config import Chip, load_run
from ascend_sim.errors import ArgumentError
from ascend_sim.isa.words import Space
from ascend_sim.observe.roofline import Place, place, vector_elements, vector_peak
from ascend_sim.simulate import Outcome, simulate

ROWS = ("problem.rows=480",)
PEAK = (
    "chip.launch.vector_seconds=0", "chip.launch.skew_cycles=0", "chip.cores.aiv_per_aic=1", "launch.blocks=20",
    "problem.path=null", "problem.repeats=255", "problem.count=200",
)  # fmt: skip
"""The bundled run microbench with nothing but one vector instruction, again and again, on all vector cores."""


def result(**changes: Any) -> dict[str, Any]:
    """A result.json in which a kernel of 1e6 FLOPs takes 10 us, reads 1 kB of HBM and moves 4 kB through L2."""
    memory = {"hbm_read_bytes": 1000, "hbm_write_bytes": 0, "l2_read_bytes": 3000, "l2_write_bytes": 1000}
    numbers = {
        "program": "kernel", "chip": "tiny", "time_us": 10.0, "flops": 1_000_000, "peak_tflops": 0.5,
        "pipes": {"aic_cube_ratio": 0.5}, "memory": memory, "vector_elements": {},
    }  # fmt: skip
    return numbers | changes


def placed(found: Outcome, on: Chip) -> Place:
    """The place of a run."""
    return place(found.result.program, found.result.to_dict(), on)


def of(name: str, *overrides: str) -> Place:
    """The place of a bundled run, made quick."""
    changes = [*SMALL.get(name, ()), *overrides]
    run = load_run(name, changes)
    return placed(outcome(name) if name in SMALL and not overrides else simulate(run, data=False), run.chip)


# --- Worked out by hand ---


def test_a_cube_kernel_by_hand() -> None:
    """1e6 FLOPs in 10 us are 1e11 a second; 1000 FLOP/B of HBM at 1.024e12 B/s allow 1.024e15, so 1 / 10240 is used."""
    found = place("by hand", result(), chip())
    cube, l2, hbm = found.roofs

    assert (found.unit, found.operations, found.rate) == ("FLOP", 1_000_000, pytest.approx(1e11))
    assert (cube.limit, cube.intensity, cube.bound, cube.share) == pytest.approx((5e11, 1, 5e11, 0.2))
    assert (hbm.limit, hbm.used, hbm.intensity) == pytest.approx((1.024e12, 1e8, 1000))
    assert (hbm.bound, hbm.share) == pytest.approx((1.024e15, 1 / 10240))
    assert (l2.limit, l2.used, l2.intensity, l2.share) == pytest.approx((2.048e12, 4e8, 250, 1 / 5120))
    assert (found.ridge(hbm), found.ridge(l2)) == pytest.approx((5e11 / 1.024e12, 5e11 / 2.048e12))
    assert found.binding is cube


def test_a_vector_kernel_counts_its_elements() -> None:
    """Without work of the cube, elements count and flops do not: 51200 in 10 us are 1 % of 8 cores x 64 a cycle."""
    found = place("", result(pipes={"aic_cube_ratio": 0.0}, vector_elements={"fp32": 51200}), chip())
    vector, _, hbm = found.roofs

    assert (found.unit, found.operations, found.rate) == ("element", 51200, pytest.approx(5.12e9))
    assert (vector.name, vector.detail, vector.limit) == ("vector", "fp32", pytest.approx(8 * 64 * 1e9))
    assert (vector.share, hbm.intensity) == pytest.approx((0.01, 51.2))
    assert found.compute is vector


def test_a_kernel_of_both_kinds_of_cores_has_four_roofs() -> None:
    """FLOPs count, and the vector units allow 1e6 / 51200 of them for each element operation."""
    found = place("", result(vector_elements={"fp32": 51200}), chip())

    assert [roof.name for roof in found.roofs] == ["cube", "vector", "L2", "HBM"]
    vector = found.roofs[1]
    assert (vector.share, vector.intensity) == pytest.approx((0.01, 1e6 / 51200))
    assert vector.bound == pytest.approx(found.rate / 0.01)
    assert [roof.name for roof in found.memories] == ["L2", "HBM"]


def test_the_vector_peak_is_that_of_the_mix_of_formats() -> None:
    """A repeat of 256 B is 64 fp32 or 128 fp16; half of each takes 1/64 + 1/128 cycles for two elements."""
    assert vector_peak(chip(), {"fp32": 7}) == pytest.approx(8 * 64e9)
    assert vector_peak(chip(), {"fp16": 7}) == pytest.approx(8 * 128e9)
    assert vector_peak(chip(), {"int64": 7}) == pytest.approx(8 * 32e9)
    assert vector_peak(chip(), {"fp16": 5, "fp32": 5}) == pytest.approx(8e9 * 2 / (1 / 64 + 1 / 128))
    assert vector_peak(chip(), {}) == vector_peak(chip(), {"fp32": 1})


def test_the_vector_peak_is_that_of_the_fastest_row_of_the_format() -> None:
    """The table has 0.6 cycles a repeat for shifts of uint16, 1 for all of fp16; casts count for the wider format."""
    assert vector_peak(chip(), {"uint16": 1}) == pytest.approx(8 * 128e9 / 0.6)
    faster = chip("vector.ops.vconv.fp16_fp32={first_cycles: 1, further_cycles: 0.25, latency_cycles: 20}")
    assert vector_peak(faster, {"fp32": 1}) == pytest.approx(4 * vector_peak(chip(), {"fp32": 1}))
    assert vector_peak(faster, {"fp16": 1}) == vector_peak(chip(), {"fp16": 1})


def test_short_instructions_count_too() -> None:
    """Where the first repeat is quicker than further ones, instructions of one repeat reach more than long ones."""
    row = "{first_cycles: 2, further_cycles: 3.0, latency_cycles: 20}"
    odd = chip(*(f"vector.ops.vconv.{key}={row}" for key in ("fp32_int64", "int64_fp32")))

    assert vector_peak(odd, {"int64": 1}) == pytest.approx(8 * 32e9 / 2)


def test_a_format_without_a_row_has_the_rows_of_its_width() -> None:
    """Whoever only copies bf16 may leave its rows out of the chip file; those of the integers of its width count."""
    rows = {op: {key: row for key, row in rows.items() if key != "bf16"} for op, rows in chip().vector.ops.items()}
    without = chip().model_copy(update={"vector": chip().vector.model_copy(update={"ops": rows})})

    assert vector_peak(without, {"bf16": 1}) == vector_peak(chip(), {"uint16": 1})


def test_what_is_not_used_is_no_bound() -> None:
    """A kernel that reads nothing from HBM has an infinite intensity there, and null in JSON."""
    idle = {"hbm_read_bytes": 0, "hbm_write_bytes": 0, "l2_read_bytes": 0, "l2_write_bytes": 512}
    found = place("", result(memory=idle), chip())
    hbm = found.roofs[-1]

    assert (hbm.intensity, hbm.bound, hbm.share) == (math.inf, math.inf, 0.0)
    listed = found.to_json()
    assert listed["roofs"][-1]["intensity"] is None
    assert listed["roofs"][-1]["ridge"] == pytest.approx(5e11 / 1.024e12)
    assert listed["roofs"][0]["ridge"] is None
    assert listed["binding"] == "cube"
    json.dumps(listed, allow_nan=False)


# --- Element operations ---


def several(core: asc.Core, gm: asc.GlobalMemory) -> None:
    """Vector instructions of all sorts, and a copy within UB that is none."""
    wide = core.tensor("wide", Space.UB, (16, 64), asc.fp32)
    narrow = core.tensor("narrow", Space.UB, (16, 64), asc.fp16)
    line = core.tensor("line", Space.UB, 16, asc.fp32)
    blocks = core.tensor("blocks", Space.UB, (16, 8), asc.fp32)
    flags = core.tensor("flags", Space.UB, 128, asc.uint8)
    asc.adds(wide, wide, 1.0)
    asc.duplicate(wide, 0.0, mask=(40, 64))
    asc.whole_reduce_max(line, wide)
    asc.brcb(blocks, line)
    asc.cast(narrow, wide, asc.RoundMode.CAST_RINT)
    asc.adds(narrow, narrow, 1.0)
    asc.compare(flags, wide, wide, "LT")
    asc.data_copy(blocks[:8, :], blocks[8:, :])


def test_elements_are_counted_by_the_widest_format() -> None:
    """1024 each for adds, reduction, cast and comparison, 16 rows of 24 columns, 16 blocks of 8; and 1024 in fp16."""
    program = build(several, chip(), blocks=2)

    cores = len(program.streams)
    assert vector_elements(program) == {"fp16": cores * 1024, "fp32": cores * (4 * 1024 + 16 * 24 + 16 * 8)}


def test_padding_is_no_work() -> None:
    """100 elements are two repeats of 64, and 100 element operations."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        short = core.tensor("u", Space.UB, 100, asc.fp32)
        asc.adds(short, short, 1.0)

    program = build(body, chip())
    assert vector_elements(program) == {"fp32": 100 * len(program.streams)}


def test_a_template_counts_for_each_of_its_calls() -> None:
    """All streams of two blocks of a kernel count, though they share their templates."""
    one, two = (vector_elements(build(lambda core, gm: work(core, 3), chip(), blocks=blocks)) for blocks in (1, 2))

    assert two["fp32"] == 2 * one["fp32"]


def test_the_elements_of_softmax() -> None:
    """A row of 1000 columns in 1024: five passes over 1024, twice a block of 8 to apply a statistic, and 24 masked."""
    rows = 480
    found = simulate(load_run("softmax", ROWS), data=False).result

    assert found.vector_elements == {"fp32": rows * (5 * 1024 + 2 * 8 + 24)}


def test_the_elements_of_an_addition() -> None:
    """z = x + y is an element operation for each element."""
    assert outcome("vector_add").result.vector_elements == {"fp32": 20000}
    assert outcome("gemm_small").result.vector_elements == {}


# --- Laws ---


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("vector_add", ()),
        ("vector_add", ("problem.tile=4096",)),
        ("gemm_small", ()),
        ("amla_small", ()),
        ("softmax", ROWS),
    ],
)
def test_no_kernel_is_above_a_roof(name: str, overrides: tuple[str, ...]) -> None:
    """What is used is within the limit of each roof, and the rate within each bound, which says the same."""
    found = of(name, *overrides)

    assert all(0 < roof.share <= 1 for roof in found.roofs)
    for roof in found.roofs:
        assert roof.share == pytest.approx(found.rate / roof.bound)
    assert found.binding.bound == min(roof.bound for roof in found.roofs)


@pytest.mark.parametrize(
    ("op", "dtype", "least"),
    [("muls", "fp32", 0.97), ("muls", "fp16", 0.97), ("shift_left", "uint16", 0.97), ("add", "fp32", 0.48)],
)
def test_the_vector_roof_can_be_reached_and_not_exceeded(op: str, dtype: str, least: float) -> None:
    """Back to back, the fastest instructions of a format come near its roof; an add of two cycles to half of it."""
    found = of("microbench", *PEAK, f"problem.op={op}", f"problem.dtype={dtype}")

    assert least < found.compute.share <= 1


def test_more_bandwidth_moves_the_ridge_to_the_left() -> None:
    """Twice the HBM bandwidth halves its ridge, and leaves that of L2 and the intensities."""
    one, two = (place("", result(), chip(hbm=hbm)) for hbm in (512, 1024))

    assert two.ridge(two.roofs[-1]) == pytest.approx(one.ridge(one.roofs[-1]) / 2)
    assert two.ridge(two.roofs[-2]) == one.ridge(one.roofs[-2])
    assert [roof.intensity for roof in two.roofs] == [roof.intensity for roof in one.roofs]


def test_two_dies_have_twice_the_limits() -> None:
    """All dies count: memories and vector units of two dies allow twice as much."""
    elements = result(pipes={"aic_cube_ratio": 0.0}, vector_elements={"fp32": 64})
    one, two = (place("", elements, chip(f"dies={dies}")) for dies in (1, 2))

    assert [roof.limit for roof in two.roofs] == pytest.approx([2 * roof.limit for roof in one.roofs])


def test_the_place_agrees_with_the_result() -> None:
    """The rate and the share of the cube are those that the result says."""
    found, written = of("gemm_small"), outcome("gemm_small").result

    assert found.rate == pytest.approx(written.tflops * 1e12)
    assert found.compute.share == pytest.approx(written.flops_utilization)
    assert found.compute.detail == "fp16/bf16"


def test_a_file_gives_the_same_place() -> None:
    """What result.json says is enough, the chip with it."""
    text = outcome("vector_add").result.to_json()
    read = json.loads(text)

    assert place("vector_add", read, Chip.model_validate(read["config"]["chip"])) == of("vector_add")


# --- Refusals ---


def test_a_result_of_an_earlier_version() -> None:
    """Without the count of elements there is no vector roof; the message says what to do."""
    old = result()
    del old["vector_elements"]

    with pytest.raises(ArgumentError) as caught:
        place("old", old, chip())

    assert str(caught.value) == "old: the result has no 'vector_elements'; an earlier version wrote it: run it again"


def test_a_run_without_time() -> None:
    """Nothing can be divided by a time of zero."""
    with pytest.raises(ArgumentError) as caught:
        place("idle", result(time_us=0.0), chip())

    assert str(caught.value) == "idle: the run takes no time, so it has no rate; give its cores some work"
