"""What a calibration says about itself: errors, contradictions, and what cannot be fitted and is refused."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import numpy as np
import pytest
from calibration_tables import CHIP, SIZES, fitted, moves, refusal, row, warm

from ascend_sim.calibration import curve
from ascend_sim.calibration.fit import calibrate
from ascend_sim.calibration.report import lines
from ascend_sim.config import load_chip
from ascend_sim.errors import ArgumentError
from ascend_sim.validation.data import (
    KernelRun,
    MatrixOperation,
    Movement,
    Role,
    Row,
    VectorOperation,
)

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
    check = row(Movement("gm_to_ub", 24, CHIP), 784.0, Role.CHECK)
    skipped = row(Movement("gm_to_ub", 32, CHIP), 1.0, Role.UNREPRODUCIBLE)
    found = calibrate(load_chip(CHIP), [*own, check, skipped])

    assert found.checks == {"ours": (0.5,)}  # 200 + 24576 / 128 = 392
    assert fitted(own) == {one.key: one.after for one in found.figures}
    assert list(lines(found))[-1] == "3 figures fitted to 8 rows; 1 only compared, 1 unreproducible"


def test_contradictions_are_said() -> None:
    """Equal moves whose cycles differ by more than a tenth are named, on the output and in the note of the figures."""
    rows = [row(Movement("gm_to_ub", kib, "ascend910b3"), 200 + 8 * kib) for kib in (8, 16)]
    rows.append(row(Movement("gm_to_ub", 8, CHIP), 396.0))  # 50 % more than 264
    found = calibrate(load_chip(CHIP), rows)

    said = f"measurements of the same differ by 50 % (lines {rows[0].place.line}, {rows[2].place.line} of mine.csv)"
    assert found.remarks == (
        f"warning: paths.gm_to_ub: {said}",
        "warning: rows of several devices (910b1, 910b3) are taken as those of one: paths.gm_to_ub",
    )
    assert all(said in one.note() for one in found.figures)


def test_contradictory_vector_rows_are_said() -> None:
    """Two devices that give 4 and 400 cycles for one operation are averaged with a warning, and with their errors."""
    rows = [
        row(VectorOperation("vexp", "fp32_fp32", further, chip), value)
        for chip, value in ((CHIP, 4.0), ("ascend910b3", 400.0)) for further in (False, True)
    ]  # fmt: skip
    found = calibrate(load_chip(CHIP), rows)

    assert sum("measurements of the same differ by 9900 %" in remark for remark in found.remarks) == 2
    assert "differ by 9900 %" in found.figures[0].note()
    assert max(found.figures[0].evidence.errors) == pytest.approx(202 / 4 - 1)


def test_repetitions_that_agree_are_not_said() -> None:
    """A tenth is the noise of a measurement: the rows are fitted together without a word."""
    rows = [row(Movement("l0c_to_gm", kib, CHIP), 100 + 9 * kib) for kib in (16, 32, 64)]
    rows.append(row(Movement("l0c_to_gm_nd", 32, CHIP), 1.05 * (100 + 9 * 32)))

    assert calibrate(load_chip(CHIP), rows).remarks == ()


@pytest.mark.parametrize("path", ["ub_to_gm", "gm_to_l1"])
def test_many_sizes_are_fitted_quickly(path: str) -> None:
    """Leaving out each of 128 or 200 sizes in turn takes less than 5 s on a slow machine, and the law comes back."""
    begin = time.process_time()
    found = fitted(moves(path, lambda size: max(230, 200 + size / 125), range(1, 201)))

    assert time.process_time() - begin < 5
    assert found[f"paths.{path}.head_cycles"] == 200
    assert found[f"paths.{path}.min_cycles"] == 230


def test_many_misses_are_fitted_quickly() -> None:
    """As for moves from L2, and for moves of several cores."""
    cold = moves("gm_to_l1", lambda size: max(300 + size / 125, size / 40), range(1, 201), data="hbm")
    shared = moves("gm_to_l1", lambda size: 24 * size / 1000, range(8, 201), cores=24)
    begin = time.process_time()
    found = fitted([*moves("gm_to_l1", lambda size: 200 + size / 125, (1, 64)), *cold, *shared])

    assert time.process_time() - begin < 5
    assert found["l2.miss_extra_cycles"] == 100
    assert found["l2.read_bytes_per_cycle"] == 1000


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
            lambda: moves("l0c_to_gm", lambda size: 200 + size / 500),
            r"paths.l0c_to_gm .*: bytes_per_cycle would be 500, but a request of 1024 bytes takes at least 4.45 cycles "
            r"\(paths.l0c_to_gm.request_cycles\), which allows 230; check the table",
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
            lambda: [*warm(), *moves("gm_to_ub", lambda size: size / 40, (64, 128), data="hbm")],
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
            lambda: [
                row(VectorOperation("vadd", "fp32_fp32", further, CHIP), value)
                for further, value in ((False, 3), (True, 2))
            ],
            r"mine.csv: no figure follows from these rows: vector.ops: 1 as measured already, not written; nothing is "
            r"written",
        ),
        (
            lambda: moves("l1_to_l0a", lambda size: 20 + size / 200, (2, 8), cores=24),
            r"mine.csv: no figure follows from these rows: moves of several cores from hbm or inside the cores "
            r"determine no figure: 2 only compared; nothing is written",
        ),
        (
            lambda: [row(Movement("gm_to_ub", kib, CHIP), 300) for kib in (193, 194, 195)],
            r"^mine.csv:\d+: kib: 193 KiB are more than the 192 KiB of UB of Ascend910B1; write what one instruction "
            r"moves \[in 3 rows, the last in line \d+\]$",
        ),
        (
            lambda: [row(Movement("l1_to_l0b", 65, CHIP, data="core"), 300, Role.CHECK), *warm()],
            r"mine.csv:\d+: kib: 65 KiB are more than the 64 KiB of L0B of Ascend910B1",
        ),
        (
            lambda: [row(Movement("ub_to_ub", 97, CHIP, data="core"), 300)],
            r"kib: 97 KiB, from and to, are more than the 192 KiB of UB of Ascend910B1",
        ),
        (
            lambda: [row(Movement("gm_to_ub", 8, CHIP, cores=25), 300)],
            r"mine.csv:\d+: cores: 25 is outside 1..24, the cube cores of Ascend910B1; of each pair of vector cores "
            r"one moves, so count pairs",
        ),
        (
            lambda: [row(MatrixOperation(16, 4096, 16, True, CHIP), 300)],
            r"mine.csv:\d+: m, n, k: the tile of 16 x 4096 x 16 takes 131072 bytes of L0B, and Ascend910B1 has 65536; "
            r"write the tile of one mmad\nmine.csv:\d+: .* takes 262144 bytes of L0C, and Ascend910B1 has 131072",
        ),
        (
            lambda: [row(MatrixOperation(100000, 64, 16, False, CHIP), 7e6)],
            r"the tile of 100000 x 64 x 16 takes 3.2e\+06 bytes of L0A, and Ascend910B1 has 65536",
        ),
        (
            lambda: moves("gm_to_ub", lambda size: 1e200 * size),
            r"mine.csv:\d+: 1.024e\+203 cycles cannot be those of one instruction; write 0.001 to 1e\+07 cycles",
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
