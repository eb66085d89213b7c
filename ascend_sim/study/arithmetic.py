"""What the instructions of attention kernels compute, for all rows at once and to the same bits.

A model keeps the order of the roundings of its kernel, and the shapes of its matrix products, since the order in
which a BLAS library adds up depends on them. It leaves out where numbers lie and when they come there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ascend_sim.kernel.library import padded_columns, tiles
from ascend_sim.numerics import DType, RoundMode, cast

Array = NDArray[Any]
Single = NDArray[np.float32]
Steps = Sequence[tuple[int, int]]

TILE = 128
"""Rows and columns of a tile of L0C, hence of one product."""
_BLOCK = 16
"""Numbers of fp16 in a block of UB."""


@dataclass(frozen=True)
class Operands:
    """One head: *q* (rows, d), *k* (keys, d) and *v* (keys, dv), in a format of the chip.

    Of multi-head latent attention *k* is the latent followed by the rope part, and *v* the latent.
    """

    q: Array
    k: Array
    v: Array

    @property
    def scale(self) -> float:
        """What softmax multiplies scores with, 1 / sqrt(d)."""
        return 1.0 / math.sqrt(self.q.shape[1])


@dataclass(frozen=True)
class Outcome:
    """What an algorithm computes: the *output* (rows, dv) before it is rounded to the format of the inputs.

    *broken_scores* is the share of the scores that are NaN or infinite where they are kept in fp16, else None.
    """

    output: Array
    broken_scores: float | None = None


@contextmanager
def as_on_chip() -> Iterator[None]:
    """No warnings about overflow, which the chip does not give, and sums in an order that is the same on each host."""
    with np.errstate(all="ignore"), threadpool_limits(limits=1, user_api="blas"):
        yield


def multiply(left: Single, right: Single, steps: Steps) -> Single:
    """The product of *left* (m, k) and *right* (k, n) as MMAD adds it up in fp32.

    *steps* are (begin, length) of the parts of k that pass through L0 one after the other.
    """
    result = np.empty((left.shape[0], right.shape[1]), np.float32)
    for r0, rows in tiles(result.shape[0], TILE):
        lefts = [np.ascontiguousarray(left[r0 : r0 + rows, k0 : k0 + k]) for k0, k in steps]
        for c0, columns in tiles(result.shape[1], TILE):
            sums: Single | None = None
            for part, (k0, k) in zip(lefts, steps, strict=True):
                product = part @ np.ascontiguousarray(right[k0 : k0 + k, c0 : c0 + columns])
                sums = product if sums is None else product + sums
            result[r0 : r0 + rows, c0 : c0 + columns] = sums
    return result


def transposed(k: Array) -> Single:
    """*k* (keys, d) as the right operand (d, keys) of a product."""
    return np.ascontiguousarray(k.T, dtype=np.float32)


def padded(x: Array) -> Array:
    """*x* (rows, keys) with columns of -inf, which weigh nothing, up to a width that can be folded in halves."""
    missing = padded_columns(x.shape[1]) - x.shape[1]
    return np.pad(x, ((0, 0), (0, missing)), constant_values=-np.inf) if missing else x


def row_sum(x: Array) -> Array:
    """The sum of each row of *x* (rows, 64 x 2^i), in its format; rows of fp16 are halved before."""
    return sum_of_neighbours(halved(x) if x.dtype == np.float16 else x)


def halved(x: Array) -> Array:
    """The left half of *x* plus the right one, as `asc.fold_sum` halves fp16."""
    half = x.shape[1] // 2
    return x[:, :half] + x[:, half:]


def sum_of_neighbours(x: Array, scale: float = 1.0) -> Array:
    """The sum of each row of *x* (rows, 2^i) times *scale*, as `asc.row_sum` adds them up: neighbours pairwise.

    They are scaled when a block is left of each row, so that the sum of all is formed of parts of it.
    """
    while x.shape[1] > 1:
        if scale != 1.0 and x.shape[1] == _BLOCK:
            x = x * x.dtype.type(scale)
        x = x[:, 0::2] + x[:, 1::2]
    return x[:, 0]


def row_max(x: Array) -> Array:
    """The largest of each row of *x*; NaN if there is one, as the unit is modelled."""
    return np.asarray(np.max(x, axis=1))


def broken_share(x: Array) -> float:
    """The share of *x* that is NaN or infinite."""
    return float(np.count_nonzero(~np.isfinite(x)) / x.size)


def rounded(x: Array, dtype: DType) -> Array:
    """*x* to the nearest number of *dtype*, ties to even, as FIXPIPE and Cast with CAST_RINT do; or as it is in it."""
    return x if x.dtype == dtype.numpy else cast(x, dtype, RoundMode.CAST_RINT)
