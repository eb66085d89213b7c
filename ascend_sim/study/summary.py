"""The results of a study over its seeds, and what they say of one algorithm in comparison with another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ascend_sim.study.config import Comparison, Output, Study
from ascend_sim.study.run import Measured

ALIKE = 1.05
"""Errors whose ratio is smaller are called as good as each other."""

Place = tuple[str, int]
"""An input by name, and a number of keys."""


@dataclass(frozen=True)
class Cell:
    """An algorithm on an input over all seeds: *mean* and *worst* relative error, None if one of them is not finite.

    *broken* is the mean share of outputs that are NaN or infinite, *overflow* that of scores beyond fp16.
    """

    mean: float | None
    worst: float | None
    broken: float
    overflow: float

    @property
    def text(self) -> str:
        """The mean error, or the share of outputs that are none, for a table."""
        if self.broken:
            return f"{percent(self.broken)} NaN"
        return "-" if self.mean is None else f"{self.mean:.2e}"


@dataclass(frozen=True)
class Results:
    """The *cells* of a study by output, algorithm, and place."""

    study: Study
    cells: dict[tuple[Output, str, Place], Cell]

    @property
    def algorithms(self) -> list[str]:
        """The names of all algorithms."""
        return [one.name for one in self.study.algorithms]

    @property
    def places(self) -> list[Place]:
        """All inputs, each with all numbers of keys."""
        return [(one.name, keys) for one in self.study.inputs for keys in self.study.shape.keys]

    def cell(self, output: Output, algorithm: str, place: Place) -> Cell:
        """What an algorithm did on an input."""
        return self.cells[output, algorithm, place]


@dataclass(frozen=True)
class Verdict:
    """One algorithm compared with another one for one *output*: where it is better, worse, as good, and finite alone.

    Ratios are of the larger error to the smaller one.
    """

    comparison: Comparison
    output: Output
    better: dict[Place, float]
    worse: dict[Place, float]
    alike: list[Place]
    only_finite: list[Place]
    only_broken: list[Place]
    both_broken: list[Place]


def summarise(study: Study, measured: Sequence[Measured]) -> Results:
    """The mean over the seeds of what was *measured*."""
    draws: dict[tuple[Output, str, Place], list[Measured]] = {}
    for one in measured:
        draws.setdefault((one.output, one.algorithm, (one.input, one.keys)), []).append(one)
    return Results(study, {key: _cell(own) for key, own in draws.items()})


def verdicts(results: Results) -> Iterator[Verdict]:
    """What the study says to each comparison that it asks for, output by output."""
    for comparison in results.study.comparisons:
        for output in results.study.outputs:
            yield _verdict(results, comparison, output)


def percent(share: float) -> str:
    """*share* in percent, three digits of it at most."""
    return f"{100 * share:.3g}%"


def _cell(draws: Sequence[Measured]) -> Cell:
    relative = [one.errors.relative for one in draws]
    finite = [value for value in relative if value is not None]
    whole = len(finite) == len(relative)
    return Cell(
        mean=sum(finite) / len(finite) if whole else None,
        worst=max(finite) if whole else None,
        broken=sum(one.errors.broken_outputs for one in draws) / len(draws),
        overflow=sum(one.errors.overflow for one in draws) / len(draws),
    )


def _verdict(results: Results, comparison: Comparison, output: Output) -> Verdict:
    found = Verdict(comparison, output, {}, {}, [], [], [], [])
    for place in results.places:
        own = results.cell(output, comparison.algorithm, place).mean
        other = results.cell(output, comparison.with_, place).mean
        if own is None or other is None:
            broken = {(True, False): found.only_broken, (False, True): found.only_finite}
            broken.get((own is None, other is None), found.both_broken).append(place)
        elif max(own, other) <= ALIKE * min(own, other):
            found.alike.append(place)
        elif own < other:
            found.better[place] = other / own if own else float("inf")
        else:
            found.worse[place] = own / other if other else float("inf")
    return found
