"""Running a study: every algorithm on every input, length and seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ascend_sim.study.algorithms import Algorithm
from ascend_sim.study.arithmetic import Operands, Outcome, as_on_chip, rounded
from ascend_sim.study.config import Output, Study
from ascend_sim.study.exact import attention
from ascend_sim.study.inputs import Input, Single
from ascend_sim.study.metrics import Errors, Tally

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Measured:
    """The *errors* of the algorithm called *algorithm*, with an *output* format, on one draw of an input."""

    algorithm: str
    output: Output
    input: str
    keys: int
    seed: int
    errors: Errors


def measure(study: Study, advance: Advance = lambda total: None) -> tuple[Measured, ...]:
    """Everything that *study* asks for; *advance* is told the number of draws after each of them.

    Equal studies give equal results on one kind of host. On another one the last bits may differ where the library
    for matrix products adds up in another order.
    """
    draws = [(one, keys, seed) for one in study.inputs for keys in study.shape.keys for seed in study.seeds]
    found: list[Measured] = []
    with as_on_chip():
        for one, keys, seed in draws:
            found += _measured(study, one, keys, seed)
            advance(len(draws))
    return tuple(found)


def _measured(study: Study, one: Input, keys: int, seed: int) -> Iterator[Measured]:
    """All algorithms and outputs on one draw, which depends on the input, the shape and the seed only."""
    tallies = {(algorithm.name, output): Tally() for algorithm in study.algorithms for output in study.outputs}
    generator = np.random.default_rng(seed)
    for _ in range(study.shape.heads):
        drawn = _drawn(study, one, generator, keys)
        for dtype in dict.fromkeys(algorithm.dtype for algorithm in study.algorithms):
            alike = [algorithm for algorithm in study.algorithms if algorithm.dtype == dtype]
            operands = _in_format(drawn, alike[0], study)
            exact, mean_square = attention(operands), _mean_square(operands.v)
            for algorithm in alike:
                outcome = algorithm.compute(operands)
                for output in study.outputs:
                    final = _final(outcome, algorithm, output)
                    tallies[algorithm.name, output].add(final, outcome, exact, mean_square)
    for (name, output), tally in tallies.items():
        yield Measured(name, output, one.name, keys, seed, tally.errors)


def _drawn(study: Study, one: Input, generator: np.random.Generator, keys: int) -> list[Single]:
    """Queries, keys and values of a head; no values where they are part of the keys."""
    rows, columns = study.shape.queries
    drawn = [one.draw(generator, (rows, columns)), one.draw_keys(generator, (keys, columns))]
    return drawn if study.shape.SHARED else [*drawn, one.draw(generator, (keys, study.shape.value_dim))]


def _in_format(drawn: Sequence[Single], algorithm: Algorithm, study: Study) -> Operands:
    """The numbers *drawn* in the format of *algorithm*."""
    q, k, *v = (rounded(one, algorithm.format) for one in drawn)
    return Operands(q, k, v[0] if v else k[:, : study.shape.value_dim])


def _final(outcome: Outcome, algorithm: Algorithm, output: Output) -> NDArray[Any]:
    return outcome.output if output == "fp32" else rounded(outcome.output, algorithm.format)


def _mean_square(v: NDArray[Any]) -> float:
    return float(np.mean(np.square(v.astype(np.float32)), dtype=np.float64))
