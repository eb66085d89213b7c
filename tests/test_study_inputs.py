"""Inputs of studies: distributions and grids of them are what their names say, and the same for the same seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ascend_sim.study.inputs import DISTRIBUTIONS, Distribution, Input

SHAPE = (2000, 50)


def family(distribution: str, **keys: Any) -> Distribution:
    """A distribution by name."""
    return DISTRIBUTIONS[distribution].model_validate({"distribution": distribution, **keys})


def only(distribution: str, **keys: Any) -> Input:
    """The one input of a distribution that is no grid."""
    (one,) = family(distribution, **keys).inputs()
    return one


def draw(one: Input, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Numbers of SHAPE."""
    return one.draw(np.random.default_rng(seed), SHAPE)


def test_uniform_fills_its_range_evenly() -> None:
    """(rand - 0.5) 2 Am + x0 lies within x0 - Am and x0 + Am, with the mean x0 and the deviation Am / sqrt(3)."""
    one = only("uniform", x0=30.0, amplitude=0.5)
    drawn = draw(one)

    assert one.name == "U(29.5,30.5)"
    assert drawn.dtype == np.float32
    assert 29.5 <= drawn.min() < 29.501 < 30.499 < drawn.max() <= 30.5
    assert drawn.mean() == pytest.approx(30.0, abs=0.005)
    assert drawn.std() == pytest.approx(0.5 / np.sqrt(3), rel=0.01)


def test_normal_has_its_mean_and_deviation() -> None:
    """*std* is the standard deviation; the name holds the variance, as papers write it."""
    one = only("normal", mean=1.0, std=2.0)
    drawn = draw(one)

    assert one.name == "N(1,4)"
    assert drawn.mean() == pytest.approx(1.0, abs=0.03)
    assert drawn.std() == pytest.approx(2.0, rel=0.01)


def test_hybrid_has_outliers_of_their_share() -> None:
    """Of numbers with deviation 1 about x0, one in a thousand has an outlier of deviation Am added."""
    one = only("hybrid", x0=10.0, amplitude=1000.0)
    far = np.abs(draw(one) - 10.0) > 6.0

    assert one.name == "hybrid x0=10 Am=1000"
    assert 60 < np.count_nonzero(far) < 140  # of 100,000 numbers; a few outliers are small


def test_rising_raises_the_maximum_of_every_row_in_every_block() -> None:
    """At a rise of 4 each block of keys has a larger score than all before it, for every query: the adversary."""
    one, generator = only("rising", rise=4.0, keys_per_block=64), np.random.default_rng(1)
    q, k = one.draw(generator, (32, 576)), one.draw_keys(generator, (1024, 576))
    scores = (q.astype(np.float64) @ k.T.astype(np.float64)) / np.sqrt(576)
    largest = scores.reshape(32, 16, 64).max(axis=2)

    assert (np.diff(largest, axis=1) > 0).all()
    assert np.diff(largest, axis=1).mean() == pytest.approx(4.0, rel=0.05)


def test_a_grid_has_every_combination_in_order() -> None:
    """The last key varies fastest, and names hold what varies."""
    found = list(family("uniform", x0=(0, 10), amplitude=(1, 2, 3)).inputs())

    assert [one.name for one in found[:4]] == ["U x0=0 Am=1", "U x0=0 Am=2", "U x0=0 Am=3", "U x0=10 Am=1"]
    assert [tuple(one.at.values()) for one in found] == [(x, a) for x in (0, 10) for a in (1, 2, 3)]
    assert family("uniform", x0=(0, 10), amplitude=1).axes == {"x0": (0, 10)}


def test_equal_seeds_give_equal_numbers() -> None:
    """A draw depends on its seed and on nothing else."""
    one = only("hybrid", amplitude=5.0)

    assert draw(one, 3).tobytes() == draw(one, 3).tobytes()
    assert draw(one, 3).tobytes() != draw(one, 4).tobytes()
