"""The bundled studies say what is known of their algorithms: AMLA is as accurate as Base, PASA survives overflow."""

from __future__ import annotations

from functools import cache

import pytest

from ascend_sim.study.config import load_study
from ascend_sim.study.report import lines
from ascend_sim.study.run import Measured, measure
from ascend_sim.study.summary import Cell, Results, summarise

pytestmark = pytest.mark.xdist_group("bundled studies")  # one process computes each study once

PUBLISHED = ("N(0,1)", "N(0,4)", "N(0,25)", "U(-1,1)", "U(-10,10)")


@cache
def measured(name: str, *overrides: str) -> tuple[Measured, ...]:
    """Everything a bundled study measures."""
    return measure(load_study(name, overrides))


@cache
def results(name: str, *overrides: str) -> Results:
    """The results of a bundled study."""
    return summarise(load_study(name, overrides), measured(name, *overrides))


def amla_cell(output: str, algorithm: str, one: str) -> Cell:
    """A cell of the study of AMLA, at its 8192 keys."""
    assert output in ("fp32", "input")
    return results("amla_accuracy").cells[output, algorithm, (one, 8192)]  # type: ignore[index]


def error(output: str, algorithm: str, one: str) -> float:
    """A mean error of the study of AMLA."""
    mean = amla_cell(output, algorithm, one).mean
    assert mean is not None
    return mean


@pytest.mark.parametrize("one", PUBLISHED)
def test_amla_is_as_accurate_as_base(one: str) -> None:
    """With fp32 outputs AMLA is within 25 % of Base, or both are below 3e-4; with bf16 outputs within 3 %."""
    base, amla = error("fp32", "Base", one), error("fp32", "AMLA", one)

    assert abs(amla / base - 1) <= 0.25 or max(amla, base) < 3e-4
    assert abs(error("input", "AMLA", one) / error("input", "Base", one) - 1) <= 0.03


@pytest.mark.parametrize("one", ["N(0,1)", "U(-1,1)"])
def test_compensation_matters(one: str) -> None:
    """Without compensation the rounding of the scales shows: the error is at least 1.3 times as large."""
    assert error("fp32", "AMLA uncompensated", one) >= 1.3 * error("fp32", "AMLA", one)


@pytest.mark.parametrize(
    ("one", "base", "amla"),
    [("N(0,1)", 6.42e-4, 7.44e-4), ("N(0,4)", 5.08e-4, 4.74e-4), ("U(-1,1)", 1.077e-3, 1.114e-3)],
)
def test_errors_are_of_the_known_size(one: str, base: float, amla: float) -> None:
    """The errors are within 20 % of those of an independent emulation, in which the 4 of N(0,4) is the variance."""
    assert error("fp32", "Base", one) == pytest.approx(base, rel=0.2)
    assert error("fp32", "AMLA", one) == pytest.approx(amla, rel=0.2)


def test_rescaling_by_addition_costs_most_where_the_maximum_rises_a_little() -> None:
    """Where blocks rescale and still count, AMLA loses to Base in fp32, without compensation twice as much."""
    base, amla, bare = (error("fp32", name, "rising 0.5") for name in ("Base", "AMLA", "AMLA uncompensated"))

    assert 1.25 * base < amla < 2 * base
    assert bare > 2 * amla


PASA = ("PASA 0.9375", "PASA 0.9690", "PASA 0.9845")


def pasa_cell(algorithm: str, x0: float, amplitude: float) -> Cell:
    """A cell of the study of PASA."""
    return results("pasa_accuracy").cells["input", algorithm, (f"U x0={x0:g} Am={amplitude:g}", 1280)]


@pytest.mark.parametrize("beta", PASA)
def test_pasa_survives_scores_that_are_all_beyond_fp16(beta: str) -> None:
    """At x0 = 30, Am = 0.5 all scores of FlashAttention overflow in fp16; PASA is finite, with an error below 3e-3."""
    one, fa = pasa_cell(beta, 30, 0.5), pasa_cell("FA fp16", 30, 0.5)

    assert (fa.mean, fa.broken, fa.overflow) == (None, 1.0, 1.0)
    assert one.broken == 0.0
    assert one.worst is not None
    assert one.worst <= 3e-3
    shares = {m.errors.broken_scores for m in measured("pasa_accuracy") if m.input == "U x0=30 Am=0.5"}
    assert shares == {None, 0.0, 1.0}  # FA fp32, PASA, FA with scores in fp16


def test_pasa_is_finite_on_the_whole_grid() -> None:
    """No output of PASA is NaN or infinite, and no score of it, whatever the bias and the amplitude."""
    own = [m.errors for m in measured("pasa_accuracy") if m.algorithm in PASA]

    assert len(own) == 3 * 16 * 2
    assert {(one.broken_outputs, one.broken_scores) for one in own} == {(0.0, 0.0)}


def test_the_study_says_where_pasa_is_worse() -> None:
    """Without a bias PASA is less accurate than FlashAttention in fp16, the more the larger the amplitude is."""
    said = " ".join(lines(results("pasa_accuracy"), 10_000))
    worse = said.split("PASA 0.9845 compared with FA fp16:")[1].split("less accurate: ")[1].split("   ")[0]

    for amplitude in (0.5, 5, 10, 20):
        assert f"U x0=0 Am={amplitude:g} " in worse
        own, fa = pasa_cell("PASA 0.9845", 0, amplitude).mean, pasa_cell("FA fp16", 0, amplitude).mean
        assert own is not None
        assert fa is not None
        assert own > fa


def test_long_caches_are_studied_in_seconds() -> None:
    """At 65,536 keys AMLA is less accurate than Base, and compensation halves its error at least."""
    overrides = ("shape.keys=[65536]", "inputs=[{distribution: normal}]")
    found = {one.algorithm: one.errors.relative or 0.0 for one in measured("length", *overrides)}

    assert found["Base"] < found["AMLA"] < found["AMLA uncompensated"] / 2
