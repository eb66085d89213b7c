"""Fitting figures to measurements: made-up laws come back, from rows of every kind."""

from __future__ import annotations

import math

import pytest
from calibration_tables import CHIP, SIZES, fitted, moves, row, warm
from hypothesis import given, settings
from hypothesis import strategies as st

from ascend_sim.calibration.fit import calibrate
from ascend_sim.calibration.laws import Figures, cycles, fractals
from ascend_sim.config import load_chip
from ascend_sim.validation.data import (
    MatrixOperation,
    Movement,
    Role,
    Row,
    VectorOperation,
    bundled_tables,
    read_table,
)
from ascend_sim.validation.run import compare

rates = st.integers(200, 2500).map(lambda tenths: float(f"{tenths / 10:.3g}"))
heads = st.integers(20, 400)


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
def test_tiles_of_l0c_come_back(least: int) -> None:
    """FIXPIPE is a line like the other paths, since the 4.45 cycles for a row of 1 KiB are less than its bytes take."""
    found = fitted(moves("l0c_to_gm", lambda size: max(least, 20 + size / 110)))

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
    """Where several cores take what one takes, nothing is fitted, it is said, and the rows are compared only."""
    alone = Figures(load_chip(CHIP))
    rows = moves("gm_to_l1", lambda size: cycles(alone, Movement("gm_to_l1", size // 1024, CHIP)), (8, 32, 64), cores=4)
    found = calibrate(load_chip(CHIP), [*warm(), *rows])

    assert {one.key.split(".")[1] for one in found.figures} == {"gm_to_ub"}
    assert found.remarks == (
        "l2.read_bytes_per_cycle: not fitted, several cores are as fast as the paths alone (rows: 3), so that nothing "
        "binds; measure more cores or larger moves",
    )
    assert len(found.checks["ours"]) == 3


def test_cores_that_no_rate_explains_are_said() -> None:
    """Rows far slower than the paths that contradict each other are no proof that nothing binds: they are named."""
    measured = {("gm_to_l0a", 32): 845.0, ("gm_to_l0a", 64): 1668.0, ("gm_to_l1", 32): 4845.0, ("gm_to_l1", 64): 9668.0}
    rows = [row(Movement(path, kib, CHIP, 24), value) for (path, kib), value in measured.items()]
    found = calibrate(load_chip(CHIP), [*warm(), *rows])

    numbers = ", ".join(str(one.place.line) for one in rows)
    assert not any(one.key.startswith("l2.") for one in found.figures)
    # The law of the path alone: 185 cycles and 64 KiB at 167 B/cycle are 578, of which 9668 are 16.7 times.
    assert found.remarks == (
        f"warning: l2.read_bytes_per_cycle: not fitted, no single rate explains the rows: 4 of 4 take up to 16.7 times "
        f"what the paths alone do (lines {numbers} of mine.csv); check them, or measure them again",
    )
    assert len(found.checks["ours"]) == 4


def test_rows_that_the_rate_of_the_die_does_not_explain_are_said() -> None:
    """A rate that most rows show is fitted, and the row that is far from it is named."""
    rows = moves("gm_to_l1", lambda size: 24 * size / 1000, (32, 64, 128, 256), cores=24)
    odd = row(Movement("gm_to_l1", 512, CHIP, 24), 24 * 512 * 1024 / 1500)
    found = calibrate(load_chip(CHIP), [*rows, odd])

    assert [one.key for one in found.figures] == ["l2.read_bytes_per_cycle"]
    [remark] = found.remarks
    assert remark.startswith("warning: l2.read_bytes_per_cycle: ")
    assert f"{odd.place.line} of mine.csv); check them, or measure them again" in remark


def test_cores_of_another_die_share_nothing() -> None:
    """48 cores on two dies are 24 on each: the rate of L2 that follows is that of 24."""
    law = [row(Movement("gm_to_l1", kib, "ascend910c", 48), 24 * kib * 1024 / 1000) for kib in (64, 128)]

    assert fitted(law, "ascend910c") == {"l2.read_bytes_per_cycle": 1000}


def test_one_row_of_many_cores_is_fitted() -> None:
    """A single row gives the rate of L2, and there is no other to predict it from."""
    [figure] = calibrate(load_chip(CHIP), [row(Movement("gm_to_ub", 64, CHIP, 24), 24 * 65536 / 1000)]).figures

    assert (figure.key, figure.after, figure.evidence.left_out) == ("l2.read_bytes_per_cycle", 1000, ())


def test_one_row_of_the_matrix_unit_is_fitted() -> None:
    """A single row gives the issue cycles: 4 fractals of 10 cycles leave 6."""
    [figure] = calibrate(load_chip(CHIP), [row(MatrixOperation(16, 64, 16, False, CHIP), 10)]).figures

    assert (figure.key, figure.after, figure.evidence.left_out) == ("cube.issue_cycles", 6, ())


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


def test_vector_figures_have_errors() -> None:
    """4.5 cycles become 5, as cycles are whole, and the error of 0.5 / 4.5 says so; halves go upwards."""
    measured = {False: 4.5, True: 2.5}
    rows = [row(VectorOperation("vexp", "fp32_fp32", further, CHIP), value) for further, value in measured.items()]
    first, further = calibrate(load_chip(CHIP), rows).figures

    assert (first.after, further.after) == (5, 2.5)
    assert first.evidence.errors == pytest.approx((1 / 9, 0))
    assert first.note() == (
        "fit on 910b1, 2 rows; median error 5.6 %, at most 11.1 %; latency_cycles as in Ascend910B1"
    )


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
