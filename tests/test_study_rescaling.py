"""What docs/explain/mul-by-add.md says of the addition of AMLA is what it does."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from ascend_sim.numerics import bf16
from ascend_sim.study.arithmetic import Operands, as_on_chip, rounded
from ascend_sim.study.mla import amla, mla_base
from ascend_sim.study.rescaling import (
    LARGEST_DELTA,
    edges,
    left_by_zero,
    relative_errors,
    units_beyond,
    worst_and_rms,
)

TEXT = (Path(__file__).parent.parent / "docs" / "explain" / "mul-by-add.md").read_text(encoding="utf-8")


def section(heading: str) -> list[list[str]]:
    """The cells of the table under *heading*, without its first two lines."""
    part = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_edges_of_the_format() -> None:
    """Each line of the table is what the sum and the product are; a sum that is not the product is bold."""
    shown = section("Where it is exact")[2:]

    expected = [[one.name, str(one.n), f"{one.sum:g}", f"{one.product:g}"] for one in edges()]
    assert [[cell.strip("*") for cell in line] for line in shown] == expected
    assert [not line[2].startswith("**") for line in shown] == [one.same for one in edges()]


def test_the_bias_in_units() -> None:
    """The table of units is what the increment has beyond the multiple of 2^23."""
    falls, _, units = section("The bias of 1e-6")

    assert [int(one) for one in units[1:]] == units_beyond([-int(one) for one in falls[1:]])


def test_the_errors_of_compensation() -> None:
    """The table of constants holds largest and mean errors, for both formats, and 4/3 is the best constant."""
    table = section("The compensation, and why 1.5")[2:]
    shown = {line[0].split(" (")[0]: (float(line[1]), float(line[2])) for line in table}
    for text, expected in shown.items():
        factor = 4 / 3 if text == "4/3" else float(text)
        for delta in LARGEST_DELTA.values():
            assert worst_and_rms(factor, delta) == pytest.approx(expected, abs=0.01)
    factors = np.linspace(1.0, 1.6, 61)
    worst, rms = zip(*(worst_and_rms(float(factor), LARGEST_DELTA["bf16"]) for factor in factors), strict=True)

    assert factors[np.argmin(worst)] == pytest.approx(4 / 3, abs=0.02)
    assert factors[np.argmin(rms)] == pytest.approx(4 / 3, abs=0.03)


def test_compensation_is_exact_in_the_middle_of_significands() -> None:
    """With 1.5 the error is that of the bias at f = 1.5, delta / 2 at 1 and -delta / 4 below 2."""
    delta = LARGEST_DELTA["bf16"]
    errors = relative_errors(np.array([1.0, 1.5, 2.0 - 2 * delta]), delta, 1.5)

    assert errors[1] == pytest.approx(0.0, abs=1e-6)
    assert errors[[0, 2]] / delta == pytest.approx([0.5, -0.25], abs=0.01)


def test_the_ratio_is_off_by_no_more_than_the_page_says() -> None:
    """C is within 2^-8 of 1 for every residual factor between 2^-0.5 and 2^0.5, so delta is within 2^-7."""
    s32 = np.linspace(2**-0.5, 2**0.5, 100_001).astype(np.float32)
    ratios = s32 / rounded(s32, bf16).astype(np.float32)

    assert np.abs(ratios - 1).max() == pytest.approx(2.0**-8, rel=0.02)
    assert ratios.max() / ratios.min() - 1 < 1.01 * LARGEST_DELTA["bf16"]


def test_garbage_of_zero_escapes_the_guard_where_the_page_says() -> None:
    """Three rescales by 2^-30 leave what is above 1e10, four do not; in steps of 1 the 96th is the first below."""
    assert f"{left_by_zero([-30] * 3):.2g}" in TEXT
    assert re.search(r"After a fourth time it is (-\d+),", TEXT)[1] == f"{left_by_zero([-30] * 4):.0f}"  # type: ignore[index]
    after = [abs(left_by_zero([-30] * 3 + [-n])) for n in (5, 6)]
    assert "fallen by 96 in all" in TEXT
    assert after[0] > 1e10 > after[1]


def test_a_column_of_zeros_is_the_known_weakness_of_the_guard() -> None:
    """A maximum that grows by 60 in each block leaves garbage in a column of zeros after five blocks, not four."""
    generator = np.random.default_rng(0)
    q = rounded(np.ones((16, 96)), bf16)
    steps = np.repeat(np.arange(5), 512)[:, None] * 60 / np.sqrt(96)
    k = rounded(generator.standard_normal((5 * 512, 96)) * 0.1 + steps, bf16)
    k[:, 0] = 0
    for blocks, garbage in ((4, False), (5, True)):
        operands = Operands(q, k[: 512 * blocks], k[: 512 * blocks, :64])
        with as_on_chip():
            base, found = mla_base(operands, bf16).output, amla(operands, bf16).output
        assert not base[:, 0].any()
        assert found[:, 0].any() == garbage
        assert np.abs(found[:, 1:] / base[:, 1:] - 1).max() < 0.02
