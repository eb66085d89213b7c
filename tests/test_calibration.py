"""Fitting figures to measurements: made-up laws come back, and what cannot be fitted is refused."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ascend_sim.calibration import curve
from ascend_sim.calibration.fit import calibrate
from ascend_sim.calibration.laws import Figures, cycles, fractals
from ascend_sim.calibration.report import lines
from ascend_sim.config import load_chip
from ascend_sim.errors import ArgumentError, Diagnostic
from ascend_sim.validation.data import (
    Experiment,
    KernelRun,
    MatrixOperation,
    Movement,
    Role,
    Row,
    VectorOperation,
    bundled_tables,
    read_table,
)
from ascend_sim.validation.run import compare

CHIP = "ascend910b1"
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
LINE = itertools.count(2)

rates = st.integers(200, 2500).map(lambda tenths: float(f"{tenths / 10:.3g}"))
heads = st.integers(20, 400)


def row(experiment: Experiment, measured: float, role: Role = Role.CALIBRATION) -> Row:
    """A measurement in a made-up table."""
    place = Diagnostic("", "mine.csv", next(LINE))
    return Row(place, "ours", "ours", "ours", measured, "cycles", role, "our board", "", experiment)


def moves(
    path: str, law: Callable[[int], float], sizes: Sequence[int] = SIZES, data: str = "l2", cores: int = 1
) -> list[Row]:
    """Moves along *path* that take what *law* says of their bytes."""
    data = data if "gm" in path else "core"
    return [row(Movement(path, kib, CHIP, cores, data), law(kib * 1024)) for kib in sizes]


def warm() -> list[Row]:
    """Moves that find their data in L2: a head of 200 cycles and 125 bytes in each."""
    return moves("gm_to_ub", lambda size: 200 + size / 125)


def fitted(rows: Sequence[Row], chip: str = CHIP) -> dict[str, float]:
    """The figures that follow from *rows*."""
    return {one.key: one.after for one in calibrate(load_chip(chip), rows).figures}


def refusal(rows: Sequence[Row]) -> str:
    """Why nothing follows from *rows*."""
    with pytest.raises(ArgumentError) as raised:
        calibrate(load_chip(CHIP), rows)
    return str(raised.value)


# --- Made-up laws come back ---


@settings(max_examples=25, deadline=None)
@given(head=heads, rate=rates)
def test_a_line_comes_back(head: int, rate: float) -> None:
    """Head and rate of a table without noise are found exactly, and no other part of a law is seen in it."""
    found = fitted(moves("ub_to_gm", lambda size: head + size / rate))

    assert found == {
        "paths.ub_to_gm.head_cycles": head,
        "paths.ub_to_gm.bytes_per_cycle": rate,
        "paths.ub_to_gm.min_cycles": 0,
        "paths.ub_to_gm.sustained_bytes_per_cycle": rate,
    }


@settings(max_examples=25, deadline=None)
@given(head=heads, rate=rates)
def test_a_least_comes_back(head: int, rate: float) -> None:
    """Moves of 1 to 4 KiB that all take the same show the least that a move takes; the line is that of the others."""
    least = math.ceil(head + 6 * 1024 / rate)
    found = fitted(moves("gm_to_l0a", lambda size: max(least, head + size / rate)))

    assert found["paths.gm_to_l0a.min_cycles"] == least
    assert (found["paths.gm_to_l0a.head_cycles"], found["paths.gm_to_l0a.bytes_per_cycle"]) == (head, rate)


@settings(max_examples=25, deadline=None)
@given(head=st.integers(100, 300), rate=st.integers(60, 140))
def test_a_sustained_rate_comes_back(head: int, rate: int) -> None:
    """Large writes that take bytes / rate without a head show a sustained rate."""
    sustained = float(f"{rate * 0.6:.3g}")
    found = fitted(moves("ub_to_gm", lambda size: max(head + size / rate, size / sustained)))

    assert found["paths.ub_to_gm.sustained_bytes_per_cycle"] == sustained
    assert (found["paths.ub_to_gm.head_cycles"], found["paths.ub_to_gm.bytes_per_cycle"]) == (head, rate)


@pytest.mark.parametrize("least", [0, 150])
def test_the_rows_of_a_tile_are_known(least: int) -> None:
    """FIXPIPE takes 4.45 cycles for each of the 16 rows of a tile at least: flat moves are due to those, or to a least.

    With a head of 20 the rows make up 91.2 cycles, so that 150 cycles are more than they explain.
    """
    found = fitted(moves("l0c_to_gm", lambda size: max(least, 20 + max(size / 110, 16 * 4.45))))

    assert found["paths.l0c_to_gm.head_cycles"] == 20
    assert found["paths.l0c_to_gm.bytes_per_cycle"] == 110
    assert found["paths.l0c_to_gm.min_cycles"] == least


@settings(max_examples=25, deadline=None)
@given(extra=st.integers(20, 200), rate=st.integers(25, 45))
def test_misses_come_back(extra: int, rate: int) -> None:
    """The cycles of a miss and its rate follow from moves from hbm, given head and rate of those from l2."""
    cold = moves("gm_to_ub", lambda size: max(200 + extra + size / 125, size / rate), data="hbm")
    found = fitted([*warm(), *cold])

    assert found["l2.miss_extra_cycles"] == extra
    assert found["paths.gm_to_ub.miss_bytes_per_cycle"] == rate


def test_paths_share_the_cycles_of_a_miss() -> None:
    """Two paths have one number of extra cycles and a rate of misses each."""

    def two(path: str, rate: int, miss: int) -> list[Row]:
        cold = moves(path, lambda size: max(290 + size / rate, size / miss), data="hbm")
        return [*moves(path, lambda size: 200 + size / rate), *cold]

    found = fitted([*two("gm_to_ub", 125, 40), *two("gm_to_l1", 170, 60)])

    assert found["l2.miss_extra_cycles"] == 90
    assert [found[f"paths.{path}.miss_bytes_per_cycle"] for path in ("gm_to_ub", "gm_to_l1")] == [40, 60]


def test_other_paths_miss_as_the_measured_one() -> None:
    """A path without rows from hbm is slowed by the factor of the measured one, 125 / 50; ND2NZ is as its path."""
    other = moves("gm_to_l1", lambda size: 210 + size / 175)
    cold = moves("gm_to_ub", lambda size: max(280 + size / 125, size / 50), data="hbm")
    found = calibrate(load_chip(CHIP), [*warm(), *other, *cold])
    after = {one.key: (one.after, one.standing) for one in found.figures}

    assert after["paths.gm_to_l1.miss_bytes_per_cycle"] == (70, "derived")
    assert after["paths.gm_to_l1_nz.miss_bytes_per_cycle"] == (70, "derived")
    assert after["paths.gm_to_l1_nz.head_cycles"] == (210, "derived")
    before = load_chip(CHIP).paths.gm_to_l0b.bytes_per_cycle.value
    assert after["paths.gm_to_l0b.miss_bytes_per_cycle"] == (float(f"{before / 2.5:.3g}"), "derived")


@pytest.mark.parametrize(
    ("path", "figure"), [("gm_to_ub", "l2.read_bytes_per_cycle"), ("ub_to_gm", "l2.write_bytes_per_cycle")]
)
def test_the_rate_of_the_die_comes_back(path: str, figure: str) -> None:
    """Many cores that take longer than one alone show the rate that they share: 24 times the bytes by the cycles."""
    chip = load_chip(CHIP)
    alone = Figures(chip)

    def law(size: int) -> float:
        return max(cycles(alone, Movement(path, size // 1024, CHIP)), 24 * size / 1000)

    assert fitted(moves(path, law, (4, 8, 16, 32, 64), cores=24)) == {figure: 1000}


def test_cores_that_do_not_disturb_each_other_show_no_rate() -> None:
    """Where several cores take what one takes, nothing is fitted, and it is said."""
    alone = Figures(load_chip(CHIP))
    rows = moves("gm_to_ub", lambda size: cycles(alone, Movement("gm_to_ub", size // 1024, CHIP)), (8, 32, 64), cores=4)
    found = calibrate(load_chip(CHIP), rows)

    assert found.figures == ()
    assert found.remarks == (
        "l2.read_bytes_per_cycle: not fitted, several cores are as fast as the paths alone (rows: 3), so that nothing "
        "binds; measure more cores or larger moves",
    )


def test_moves_that_determine_nothing_are_said() -> None:
    """Several cores that read from HBM at once show no figure that is fitted here; their rows are compared only."""
    found = calibrate(load_chip(CHIP), [*warm(), *moves("gm_to_ub", lambda size: 500, (8,), data="hbm", cores=24)])

    assert found.remarks == (
        "moves of several cores from hbm or inside the cores determine no figure: 1 only compared",
    )
    assert list(found.checks) == ["ours"]


def test_the_matrix_unit_comes_back() -> None:
    """Issue, latency and the least of isolated MMADs follow from their cycles less their fractals."""
    figures = Figures(load_chip(CHIP))
    rows = []
    for n in (16, 32, 48, 64, 256, 1024):
        loop, alone = (MatrixOperation(16, n, 16, isolated, CHIP) for isolated in (False, True))
        rows += [row(loop, 5 + fractals(figures, loop)), row(alone, max(40, 37 + fractals(figures, alone)))]

    assert fitted(rows) == {"cube.issue_cycles": 5, "cube.latency_cycles": 37, "cube.min_latency_cycles": 40}


def test_only_vector_rows_that_differ_are_written() -> None:
    """A row as measured already is left out; another keeps its latency."""
    rows = [
        row(VectorOperation("vadd", dtype, further, CHIP), value)
        for dtype, values in (("fp32_fp32_fp32", (3, 2.0)), ("fp16_fp16_fp16", (8, 2.5)))
        for further, value in zip((False, True), values, strict=True)
    ]
    found = calibrate(load_chip(CHIP), rows)

    assert {one.key: one.after for one in found.figures} == {
        "vector.ops.vadd.fp16.first_cycles": 8,
        "vector.ops.vadd.fp16.further_cycles": 2.5,
    }
    assert found.remarks == ("vector.ops: 1 as measured already, not written",)


def test_laws_are_those_of_the_engine() -> None:
    """The closed forms give what simulating the loop gives, for every bundled row of moves and matrix operations.

    The end of a move through the memory system may fall within a cycle, hence up to a cycle more.
    """
    tables = bundled_tables()
    rows = [one for table in (tables[0], tables[2]) for one in read_table(table) if one.role is not Role.UNREPRODUCIBLE]
    figures = Figures(load_chip(CHIP))
    for one in compare(rows, CHIP):
        assert one.simulated == pytest.approx(cycles(figures, one.row.experiment), abs=1.0), one.row.name


def test_what_the_engine_does_comes_back() -> None:
    """Measurements that the simulator itself made give the figures that it was given, moves of 24 cores included."""
    own = [Movement("gm_to_l1", kib, CHIP) for kib in SIZES]
    shared = [Movement("gm_to_l1", kib, CHIP, cores=24) for kib in (128, 256)]
    simulated = compare([row(one, 1.0) for one in (*own, *shared)])
    found = fitted([row(one.row.experiment, one.simulated or 0.0) for one in simulated])
    chip = load_chip(CHIP)
    path = chip.paths.gm_to_l1

    assert found["paths.gm_to_l1.head_cycles"] == pytest.approx(path.head_cycles.value, abs=1)
    assert found["paths.gm_to_l1.bytes_per_cycle"] == pytest.approx(path.bytes_per_cycle.value, rel=0.005)
    assert found["l2.read_bytes_per_cycle"] == pytest.approx(chip.l2.read_bytes_per_cycle.value, rel=0.02)


# --- What the errors are ---


def test_leave_one_out_by_hand() -> None:
    """Of 1, 2 and 3 KiB in 108, 116 and 125 cycles each is predicted by the line through the other two.

    1 KiB: 116 - 9 = 107. 2 KiB: 99 cycles and 2048 / 120, as rate and head are rounded: 117. 3 KiB: 116 + 8 = 124.
    """
    measured = {1: 108.0, 2: 116.0, 3: 125.0}
    found = calibrate(load_chip(CHIP), moves("l1_to_l0a", lambda size: measured[size // 1024], (1, 2, 3)))

    evidence = found.figures[0].evidence
    assert evidence.left_out == pytest.approx([1 / 108, 1 / 116, 1 / 125], abs=1e-9)
    assert evidence.note().endswith("; leave-one-out 0.9 %")


def test_leave_one_out_needs_what_the_fit_needs() -> None:
    """Two sizes make a fit, and without either of them there is none: nothing is said about it."""
    found = calibrate(load_chip(CHIP), moves("gm_to_ub", lambda size: 200 + size / 128, (4, 8)))

    assert found.figures[0].note() == "fit of 4..8 KiB on 910b1, 2 rows; median error 0.0 %, at most 0.0 %"


def test_checks_are_compared_only() -> None:
    """A row of role check changes no figure; its error is that of the calibrated chip."""
    own = moves("gm_to_ub", lambda size: 200 + size / 128)
    check = row(Movement("gm_to_ub", 16, CHIP), 656.0, Role.CHECK)
    skipped = row(Movement("gm_to_ub", 32, CHIP), 1.0, Role.UNREPRODUCIBLE)
    found = calibrate(load_chip(CHIP), [*own, check, skipped])

    assert found.checks == {"ours": (0.5,)}  # 200 + 16384 / 128 = 328
    assert fitted(own) == {one.key: one.after for one in found.figures}
    assert list(lines(found))[-1] == "3 figures fitted to 10 rows; 1 only compared, 1 unreproducible"


def test_one_more_part_needs_evidence() -> None:
    """Noise of one cycle in the smallest moves is not taken for a least, though a least would fit it better."""
    noise = {1: 0.5, 2: -0.5}
    x, y = curve.as_vectors([(kib, 200 + 8 * kib + noise.get(kib, 0)) for kib in SIZES])
    found = curve.fit_curve(x, y, curve.Shape(flat=True), lambda slope: slope)

    assert found is not None
    assert found.minimum == 0
    assert found(np.array([1.0]))[0] == pytest.approx(208, abs=0.5)


# --- What is refused ---


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            lambda: moves("gm_to_ub", lambda size: 300, (16,)),
            r"mine.csv:\d+: paths.gm_to_ub \(line \d+\): 16 KiB is the only size, and a head and a rate are two "
            r"figures; measure another size",
        ),
        (
            lambda: moves("gm_to_ub", lambda size: 300 - size / 1024, (1, 2, 4)),
            r"paths.gm_to_ub \(lines \d+, \d+, \d+\): the cycles do not grow with the size, so there is no rate; "
            r"check the table, or measure larger moves",
        ),
        (
            lambda: moves("gm_to_ub", lambda size: size / 100 - 30, (16, 32, 64)),
            r"paths.gm_to_ub .*: head_cycles would be -30.0 cycles, below 0; measure more sizes, small and large",
        ),
        (
            lambda: moves("gm_to_ub", lambda size: 200 + size / 500),
            r"paths.gm_to_ub .*: bytes_per_cycle would be 500, but a request of 512 bytes takes at least 1.4 cycles "
            r"\(paths.gm_to_ub.request_cycles\), which allows 366; check the table, or calibrate a chip file",
        ),
        (
            lambda: moves("gm_to_ub", lambda size: 400, (16,), data="hbm"),
            r"moves from hbm \(line \d+\): 16 KiB is the only size, and the extra cycles of a miss and its rate along "
            r"gm_to_ub are two figures; measure another size",
        ),
        (
            lambda: [*warm(), *moves("gm_to_ub", lambda size: 300 + size / 125, data="hbm")],
            r"no move along gm_to_ub is slower than its extra cycles explain, so there is no rate of misses; add "
            r"larger moves",
        ),
        (
            lambda: [*warm(), *moves("gm_to_ub", lambda size: size / 40, (256, 512), data="hbm")],
            r"moves from hbm .*: the rate of misses binds even the smallest moves, so that the extra cycles are not "
            r"seen; add smaller ones",
        ),
        (
            lambda: [*warm(), *moves("gm_to_ub", lambda size: max(100 + size / 125, size / 40), data="hbm")],
            r"moves from hbm .*: l2.miss_extra_cycles would be -\d.* cycles, below 0; check that these moves miss L2",
        ),
        (
            lambda: [row(MatrixOperation(16, 64, 16, False, CHIP), 1)],
            r"cube.issue_cycles would be -3.0 cycles, below 0; check m, n, k and that the rows are of fp16",
        ),
        (
            lambda: [row(MatrixOperation(16, 64, 16, True, CHIP), 30)],
            r"4 fractals is the only size, and the latency and the least of it are two figures; measure another size",
        ),
        (
            lambda: [
                row(VectorOperation("vadd", "fp32_fp32", further, CHIP), value)
                for further, value in ((False, 0.3), (True, 1))
            ],
            r"vector.ops.vadd.fp32 .*: one repeat takes 0.3 cycles, less than one; check cycles_one_repeat",
        ),
        (
            lambda: [row(Movement("gm_to_ub", 1, CHIP), 300, Role.CHECK)],
            r"no row has the role calibration, so there is nothing to fit; write it in the column 'role'",
        ),
        (
            lambda: [row(KernelRun("gemm", (), "time_us"), 300)],
            r"mine.csv:\d+: whole kernels determine no single figure; compare with them by `ascend-sim validate "
            r"--data` instead",
        ),
    ],
)  # fmt: skip
def test_what_does_not_follow_is_refused(rows: Callable[[], list[Row]], message: str) -> None:
    """Too few rows and impossible figures are errors that name path, lines and the way out."""
    assert re.search(message, refusal(rows()))


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Two paths that cannot be fitted are two messages."""
    said = refusal([*moves("gm_to_ub", lambda size: 300, (16,)), *moves("gm_to_l1", lambda size: 300, (16,))])

    assert [one.split(" (")[0].split(": ")[1] for one in said.splitlines()] == ["paths.gm_to_ub", "paths.gm_to_l1"]


def test_a_row_without_a_latency_is_refused() -> None:
    """An operation that the chip has no row for cannot be fitted, since its latency is not measured."""
    chip = load_chip(CHIP)
    ops = {name: rows for name, rows in chip.vector.ops.items() if name != "vadd"}
    chip = chip.model_copy(update={"vector": chip.vector.model_copy(update={"ops": ops})})
    rows = [row(VectorOperation("vadd", "fp32_fp32", further, CHIP), 3) for further in (False, True)]
    with pytest.raises(ArgumentError) as raised:
        calibrate(chip, rows)

    said = str(raised.value)
    assert "vector.ops.vadd.fp32 (" in said
    assert f"{chip.name} has no row for it, and such a loop does not see its latency_cycles; write a row" in said
