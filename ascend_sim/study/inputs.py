"""Distributions that queries, keys and values are drawn from, in fp32.

A key of a distribution that holds several values spans a grid: one input for each combination of its values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ascend_sim.config.figure import Strict

Single = NDArray[np.float32]
Shape = tuple[int, int]
At = Mapping[str, float]
"""One value for each key of a distribution."""

# Within these no product of two numbers is beyond fp32.
_Value = Annotated[float, Field(ge=-1e9, le=1e9)]
_Size = Annotated[float, Field(ge=0, le=1e9)]
_Share = Annotated[float, Field(ge=0, le=1)]
Values = _Value | Annotated[tuple[_Value, ...], Field(min_length=1)]
Sizes = _Size | Annotated[tuple[_Size, ...], Field(min_length=1)]
Shares = _Share | Annotated[tuple[_Share, ...], Field(min_length=1)]


class Distribution(Strict):
    """A distribution, or a grid of distributions where a key holds several values."""

    SYMBOLS: ClassVar[dict[str, str]] = {}
    """The keys that may hold several values, and how papers write them."""
    LETTER: ClassVar[str] = ""
    """What the name of a distribution of a grid begins with."""

    distribution: str

    @property
    def axes(self) -> dict[str, tuple[float, ...]]:
        """The keys that hold several values, with these."""
        values = {key: getattr(self, key) for key in self.SYMBOLS}
        return {key: value for key, value in values.items() if isinstance(value, tuple)}

    def inputs(self) -> Iterator[Input]:
        """Each combination of the values of all keys, the last one varying fastest."""
        axes = self.axes
        for values in product(*axes.values()):
            chosen = dict(zip(axes, values, strict=True))
            at = {key: chosen[key] if key in chosen else float(getattr(self, key)) for key in self.SYMBOLS}
            parts = [f"{self.SYMBOLS[key]}={value:g}" for key, value in chosen.items()]
            yield Input(" ".join((self.LETTER, *parts)) if axes else self.short(at), self, at)

    def short(self, at: At) -> str:
        """What tables call the distribution if it is no grid."""
        raise NotImplementedError

    def draw(self, generator: np.random.Generator, shape: Shape, at: At) -> Single:
        """Queries or values of *shape* (rows, columns)."""
        raise NotImplementedError

    def draw_keys(self, generator: np.random.Generator, shape: Shape, at: At) -> Single:
        """Keys of *shape* (keys, columns), in their order."""
        return self.draw(generator, shape, at)


class Uniform(Distribution):
    """(rand - 0.5) 2 *amplitude* + *x0*, which is from x0 - amplitude to x0 + amplitude."""

    SYMBOLS: ClassVar[dict[str, str]] = {"x0": "x0", "amplitude": "Am"}
    LETTER: ClassVar[str] = "U"
    distribution: Literal["uniform"]
    x0: Values = 0.0
    amplitude: Sizes

    def short(self, at: At) -> str:
        """Its ends."""
        return f"U({at['x0'] - at['amplitude']:g},{at['x0'] + at['amplitude']:g})"

    def draw(self, generator: np.random.Generator, shape: Shape, at: At) -> Single:
        """Numbers of *shape*."""
        drawn = generator.random(shape, dtype=np.float32) - np.float32(0.5)
        return drawn * np.float32(2 * at["amplitude"]) + np.float32(at["x0"])


class Normal(Distribution):
    """Normal, with *mean* and standard deviation *std*."""

    SYMBOLS: ClassVar[dict[str, str]] = {"mean": "mean", "std": "std"}
    LETTER: ClassVar[str] = "N"
    distribution: Literal["normal"]
    mean: Values = 0.0
    std: Sizes = 1.0

    def short(self, at: At) -> str:
        """Its mean and variance, as N(mean, variance)."""
        return f"N({at['mean']:g},{at['std'] ** 2:g})"

    def draw(self, generator: np.random.Generator, shape: Shape, at: At) -> Single:
        """Numbers of *shape*."""
        return _normal(generator, shape, at["mean"], at["std"])


class Hybrid(Distribution):
    """Normal with mean *x0* and deviation 1, and with *probability* an outlier, normal with deviation *amplitude*."""

    SYMBOLS: ClassVar[dict[str, str]] = {"x0": "x0", "amplitude": "Am", "probability": "p"}
    LETTER: ClassVar[str] = "hybrid"
    distribution: Literal["hybrid"]
    x0: Values = 0.0
    amplitude: Sizes
    probability: Shares = 0.001

    def short(self, at: At) -> str:
        """Its keys."""
        return f"hybrid x0={at['x0']:g} Am={at['amplitude']:g}"

    def draw(self, generator: np.random.Generator, shape: Shape, at: At) -> Single:
        """Numbers of *shape*."""
        drawn = _normal(generator, shape, at["x0"], 1.0)
        outliers = _normal(generator, shape, 0.0, at["amplitude"])
        return drawn + outliers * (generator.random(shape, dtype=np.float32) < at["probability"])


class Rising(Distribution):
    """Scores that grow by *rise* from a block of *keys_per_block* keys to the next, in units of the exponent.

    Queries have the mean 1, and keys of block j the mean j rise / sqrt(d): every block rescales what is behind it.
    """

    SYMBOLS: ClassVar[dict[str, str]] = {"rise": "rise"}
    LETTER: ClassVar[str] = "rising"
    distribution: Literal["rising"]
    rise: Sizes
    keys_per_block: Annotated[int, Field(ge=1)] = 512

    def short(self, at: At) -> str:
        """What it grows by."""
        return f"rising {at['rise']:g}"

    def draw(self, generator: np.random.Generator, shape: Shape, at: At) -> Single:
        """Queries or values of *shape*."""
        return _normal(generator, shape, 1.0, 1.0)

    def draw_keys(self, generator: np.random.Generator, shape: Shape, at: At) -> Single:
        """Keys of *shape*; those of latent attention are the values, too."""
        blocks = np.arange(shape[0]) // self.keys_per_block
        means = (blocks * (at["rise"] / math.sqrt(shape[1]))).astype(np.float32)
        return _normal(generator, shape, 0.0, 1.0) + means[:, None]


DISTRIBUTIONS: dict[str, type[Distribution]] = {
    "uniform": Uniform, "normal": Normal, "hybrid": Hybrid, "rising": Rising,
}  # fmt: skip


@dataclass(frozen=True)
class Input:
    """One distribution: its *name* in tables, its *family* in the study file, and its place *at* in this grid."""

    name: str
    family: Distribution
    at: At

    def draw(self, generator: np.random.Generator, shape: Shape) -> Single:
        """Queries or values of *shape* (rows, columns)."""
        return self.family.draw(generator, shape, self.at)

    def draw_keys(self, generator: np.random.Generator, shape: Shape) -> Single:
        """Keys of *shape* (keys, columns), in their order."""
        return self.family.draw_keys(generator, shape, self.at)


def _normal(generator: np.random.Generator, shape: Shape, mean: float, std: float) -> Single:
    return generator.standard_normal(shape, dtype=np.float32) * np.float32(std) + np.float32(mean)
