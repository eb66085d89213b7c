"""What a study computes and says: errors worked out by hand, reductions, means over seeds, comparisons, files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from ascend_sim.numerics import bf16, fp16
from ascend_sim.study.arithmetic import (
    Operands,
    Outcome,
    as_on_chip,
    multiply,
    padded,
    rounded,
    row_sum,
    sum_of_neighbours,
)
from ascend_sim.study.config import Study, load_study
from ascend_sim.study.exact import Exact, attention
from ascend_sim.study.metrics import Errors, Tally
from ascend_sim.study.report import errors_csv, lines, study_json
from ascend_sim.study.run import Measured, measure
from ascend_sim.study.summary import Results, summarise, verdicts

TEXT = """\
description: Two algorithms
algorithms:
  - {algorithm: flash_attention, label: FA}
  - {algorithm: flash_attention, softmax: fp16, label: FA half}
inputs:
  - {distribution: normal}
  - {distribution: uniform, amplitude: 1}
  - {distribution: uniform, x0: 30, amplitude: 0.5}
shape: {query_tokens: 4, keys: [40], head_dim: 128}
seeds: [0, 1]
compare: [{algorithm: FA half, with: FA}, {algorithm: FA, with: FA half}]
"""


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """The study of TEXT."""
    path = tmp_path / "mine.yaml"
    path.write_text(TEXT)
    return load_study(path)


def errors(relative: float | None, broken: float = 0.0, overflow: float = 0.0) -> Errors:
    """Errors of which only the relative one and the shares matter."""
    return Errors(relative, relative, relative, relative, overflow, None, broken)


def made_up(study: Study, table: dict[tuple[str, str], tuple[float | None, float | None]]) -> Results:
    """Results in which an algorithm has these relative errors on an input, for the two seeds."""
    found = [
        Measured(algorithm, "input", name, 40, seed, errors(value, 0.0 if value is not None else 0.5))
        for (algorithm, name), values in table.items()
        for seed, value in enumerate(values)
    ]
    return summarise(study, found)


# --- Errors ---


def test_errors_by_hand() -> None:
    """Output (4, 0) of reference (3, 2): squares 1 and 4 of the error, 9 and 4 of the reference, 25 of the values."""
    tally, exact = Tally(), Exact(np.array([[3.0, 2.0]]), 0.25)
    tally.add(np.array([[4.0, 0.0]], np.float32), Outcome(np.zeros(1)), exact, 25.0)

    assert tally.errors == Errors(
        relative=pytest.approx(np.sqrt(5 / 13)), rmse=pytest.approx(np.sqrt(2.5)), rmse_of_values=pytest.approx(
            np.sqrt(2.5 / 25)
        ), largest=2.0, overflow=0.25, broken_scores=None, broken_outputs=0.0,
    )  # fmt: skip


def test_heads_are_added_up_before_the_root_is_taken() -> None:
    """Two heads with errors 1 of 1 and 0 of 7: the error is sqrt(1 / 50); shares are means."""
    tally = Tally()
    for output, reference, broken in ((2.0, 1.0, 1.0), (7.0, 7.0, 0.0)):
        tally.add(np.array([[output]]), Outcome(np.zeros(1), broken), Exact(np.array([[reference]]), broken), 1.0)

    assert tally.errors.relative == pytest.approx(np.sqrt(1 / 50))
    assert (tally.errors.overflow, tally.errors.broken_scores) == (0.5, 0.5)


def test_broken_outputs_leave_no_error_but_a_share() -> None:
    """One NaN and one infinity of four outputs are half, and there is no error of such an output."""
    tally = Tally()
    with np.errstate(invalid="ignore"):
        tally.add(np.array([[1.0, np.nan, np.inf, 0.0]]), Outcome(np.zeros(1), 0.0), Exact(np.ones((1, 4)), 0.0), 1.0)

    assert tally.errors == Errors(None, None, None, None, 0.0, 0.0, 0.5)


def test_the_reference_is_softmax_attention_and_counts_what_is_beyond_fp16() -> None:
    """Scores ln 3 and 0 weigh values 3 to 1; 256 x 256 = 65536 is beyond fp16, 255.5 x 256 = 65408 is not."""
    keys = np.array([[np.log(3.0), 0.0, 0.0, 0.0], [0.0] * 4])
    one = Operands(np.array([[2.0, 0.0, 0.0, 0.0]]), keys, np.array([[4.0], [8.0]]))
    large = Operands(np.array([[256.0]]), np.array([[256.0], [255.5]]), np.array([[1.0], [2.0]]))

    assert attention(one).output == pytest.approx(np.array([[5.0]]))
    assert attention(one).overflow == 0.0
    assert attention(large).overflow == 0.5


# --- Arithmetic ---


@pytest.mark.parametrize(
    ("ones", "total"),
    [
        pytest.param((32, 1, 2), 2048, id="each is lost on its own"),
        pytest.param((2, 34), 2050, id="they meet when the row is halved"),
        pytest.param((16, 17), 2050, id="they meet as neighbours"),
        pytest.param((16, 18), 2050, id="and these a step later"),
        pytest.param((1, 16), 2048, id="but these only with 2048 in between"),
    ],
)
def test_rows_of_fp16_are_halved_once_and_then_neighbours_are_added(ones: tuple[int, ...], total: float) -> None:
    """2048 and 1 make 2048 in fp16, so the order shows: ones beside 2048 in column 0 count if they meet each other."""
    row = np.zeros((1, 64), np.float16)
    row[0, [0, *ones]] = 2048, *([1] * len(ones))

    assert row_sum(row).tolist() == [total]


def test_sums_are_scaled_when_a_block_is_left() -> None:
    """64 times 2048 is beyond fp16, and so are four of its sixteen parts of 8192; scaled by 1 / 64 it is 2048."""
    row = np.full((1, 64), 2048, np.float16)

    with as_on_chip():
        assert np.isinf(sum_of_neighbours(row)).all()
    assert sum_of_neighbours(row, 1 / 64).tolist() == [2048]


def test_rows_of_fp32_are_added_by_neighbours() -> None:
    """2^24 and 1 make 2^24 in fp32: two ones that are neighbours count, two that meet 2^24 one by one do not."""
    row = np.zeros((2, 64), np.float32)
    row[0, [0, 2, 3]] = 2**24, 1, 1
    row[1, [0, 1, 2]] = 2**24, 1, 1

    assert row_sum(row).tolist() == [2**24 + 2, 2**24]


def test_products_are_rounded_after_each_step() -> None:
    """2^24 + 1 is 2^24 in fp32, so 1 + 1 after 2^24 is lost in two steps and kept in one step of two."""
    left, right = np.array([[2.0**24, 1.0, 1.0]], np.float32), np.ones((3, 1), np.float32)

    assert multiply(left, right, [(0, 1), (1, 1), (2, 1)]).tolist() == [[2**24]]
    assert multiply(left, right, [(0, 1), (1, 2)]).tolist() == [[2**24 + 2]]


def test_rounding_to_the_format_that_numbers_have_leaves_them_alone() -> None:
    """A cast to the same format would round to whole numbers."""
    half = np.array([0.3], np.float16)

    assert rounded(half, fp16).tobytes() == half.tobytes()
    assert rounded(half, bf16).astype(np.float32) == np.float32(0.30078125)


def test_columns_are_filled_up_with_what_weighs_nothing() -> None:
    """65 keys are filled up to 128 columns of -inf; 64 are left alone."""
    x = padded(np.ones((2, 65), np.float32))

    assert x.shape == (2, 128)
    assert np.isneginf(x[:, 65:]).all()
    assert padded(np.ones((2, 64), np.float32)).shape == (2, 64)


# --- Over seeds, and in words ---


def test_means_and_the_worst_are_over_seeds(study: Study) -> None:
    """Errors 1e-3 and 3e-3 have the mean 2e-3; one NaN leaves no mean, but the mean share of NaN."""
    cells = made_up(study, {("FA", "N(0,1)"): (1e-3, 3e-3), ("FA", "U(-1,1)"): (1e-3, None)})

    one, broken = (cells.cell("input", "FA", (name, 40)) for name in ("N(0,1)", "U(-1,1)"))
    assert (one.mean, one.worst, one.text) == (pytest.approx(2e-3), 3e-3, "2.00e-03")
    assert (broken.mean, broken.worst, broken.broken, broken.text) == (None, None, 0.25, "25% NaN")


def test_comparisons_sort_inputs_by_who_is_better(study: Study) -> None:
    """Errors within 5 % are alike; others are ratios of the larger to the smaller; NaN is told apart."""
    table = {
        ("FA", "N(0,1)"): (1e-3, 1e-3), ("FA half", "N(0,1)"): (1.04e-3, 1.04e-3),
        ("FA", "U(-1,1)"): (1e-3, 1e-3), ("FA half", "U(-1,1)"): (2e-3, 2e-3),
        ("FA", "U(29.5,30.5)"): (1e-3, 1e-3), ("FA half", "U(29.5,30.5)"): (None, None),
    }  # fmt: skip
    half, whole = verdicts(made_up(study, table))

    assert (half.alike, half.worse, half.better) == ([("N(0,1)", 40)], {("U(-1,1)", 40): 2.0}, {})
    assert (half.only_broken, half.only_finite) == ([("U(29.5,30.5)", 40)], [])
    assert (whole.alike, whole.worse, whole.better) == ([("N(0,1)", 40)], {}, {("U(-1,1)", 40): 2.0})
    assert (whole.only_broken, whole.only_finite) == ([], [("U(29.5,30.5)", 40)])


def test_the_report_of_a_study(study: Study) -> None:
    """The table, what is beyond fp16, and the comparisons in words, whatever the errors are."""
    said = list(lines(summarise(study, measure(study)), 80))

    assert said[:3] == [
        "mine: Two algorithms",
        "1 head, 4 query tokens, head_dim 128, 40 keys; mean of 2 seeds; relative",
        "Frobenius error against softmax attention in float64",
    ]
    assert said[4] == "output fp16         FA   FA half"
    assert [line.split()[0] for line in said[5:8]] == ["N(0,1)", "U(-1,1)", "U(29.5,30.5)"]
    assert said[7].endswith("  100% NaN")
    assert said[9:11] == ["scores Q K^T beyond fp16 (magnitude above 65504):", "  U(29.5,30.5) 100%"]
    assert said[12:14] == ["FA half compared with FA:", "  not finite where FA is: 1 of 3: U(29.5,30.5)"]
    assert "  finite where FA half is not: 1 of 3: U(29.5,30.5)" in said
    assert max(map(len, said)) <= 80


def test_long_labels_are_broken_at_blanks_and_tables_never_cut(study: Study) -> None:
    """A label wider than its column stands on two lines; a narrow terminal wraps sentences, not tables."""
    said = list(lines(summarise(study, measure(study)), 40))

    assert "output fp16         FA   FA half" in said
    assert "  not finite where FA is: 1 of 3:" in said


def test_files_hold_every_draw(study: Study) -> None:
    """errors.csv has a line and study.json an object for each algorithm, input and seed, with the same numbers."""
    measured = measure(study)
    rows = list(csv.DictReader(io.StringIO(errors_csv(measured))))
    content = json.loads(study_json(study, measured))

    assert len(rows) == len(content["draws"]) == 2 * 3 * 2
    for row, draw in zip(rows, content["draws"], strict=True):
        assert row == {key: "" if value is None else str(value) for key, value in draw.items()}
    assert content["study"] == study.resolved()
    broken = [one for one in content["summary"] if one["broken"]]
    assert [(one["algorithm"], one["input"], one["mean"]) for one in broken] == [("FA half", "U(29.5,30.5)", None)]


def test_equal_studies_give_equal_files(study: Study) -> None:
    """A study is deterministic, byte for byte."""
    assert study_json(study, measure(study)) == study_json(study, measure(study))


def test_an_input_is_the_same_for_all_algorithms_and_whatever_else_is_asked(study: Study) -> None:
    """Errors on an input do not depend on the other inputs, seeds and algorithms of the study."""
    alone = load_study(study.path, ["inputs=[{distribution: uniform, amplitude: 1}]", "seeds=[1]", "compare=[]"])

    wanted = [one for one in measure(study) if one.input == "U(-1,1)" and one.seed == 1]
    assert list(measure(alone)) == wanted
