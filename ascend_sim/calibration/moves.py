"""Fits of the data paths: alone, from HBM, and many at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ascend_sim.calibration import curve
from ascend_sim.calibration.curve import Shape, Vector, as_vectors, fit_curve, origin_slope, weighted_mean
from ascend_sim.calibration.laws import KIB, WRITES, Figures, flow, limit_of, path_of, request_bytes, sharing
from ascend_sim.calibration.laws import cycles as cycles_of
from ascend_sim.validation.data import Movement, Row

GM_READS = ("gm_to_l1", "gm_to_l1_nz", "gm_to_l0a", "gm_to_l0b", "gm_to_ub")
ROUNDS = 50
"""Assignments of rows to the parts of a law that are tried from one start; they settle after a few."""


class UnfitError(Exception):
    """No figures follow from the rows, for the reason in the text, which says what to measure instead."""


def rounded(value: float) -> float:
    """*value* to three significant digits, all that such a measurement can tell."""
    return float(f"{value:.3g}")


def nearest(value: float) -> int:
    """*value* rounded to a whole number, halves upwards."""
    return math.floor(value + 0.5)


def whole(value: float, what: str, way_out: str) -> int:
    """*value* in whole cycles; raise UnfitError if they are less than none."""
    cycles = nearest(value)
    if cycles < 0:
        raise UnfitError(f"{what} would be {value:.1f} cycles, below 0; {way_out}")
    return cycles


def fit_path(figures: Figures, rows: Sequence[Row]) -> Mapping[str, float]:
    """Head, rate, least and (of paths to global memory) sustained rate of the one path of *rows*.

    The law is max(min_cycles, head_cycles + bytes / bytes_per_cycle, bytes / sustained_bytes_per_cycle).
    """
    path = path_of(_move(rows[0]))
    sizes, cycles = as_vectors([(_move(row).kib * KIB, row.measured) for row in rows])
    _expect_sizes(sizes, "a head and a rate")
    shape = Shape(flat=True, ceiling=path in WRITES)
    found = fit_curve(sizes, cycles, shape, lambda slope: 1 / rounded(1 / slope))
    if found is None:
        way_out = "check the table, or measure larger moves"
        raise UnfitError(f"the cycles do not grow with the size, so there is no rate; {way_out}")
    rate = rounded(1 / found.slope)
    way_out = "measure more sizes, small and large, or check those that stand out"
    key = f"paths.{path}."
    result: dict[str, float] = {
        f"{key}head_cycles": whole(found.head, "head_cycles", way_out),
        f"{key}bytes_per_cycle": rate,
        f"{key}min_cycles": nearest(found.minimum),
    }
    if path in WRITES:
        result[f"{key}sustained_bytes_per_cycle"] = rounded(1 / found.ceiling) if found.ceiling else rate
    _expect_reachable(figures, path, rate)
    return result


def _expect_reachable(figures: Figures, path: str, rate: float) -> None:
    """Raise UnfitError if the requests of the path are too slow for *rate*: the engine would not reach it."""
    line = request_bytes(figures, path)
    if line is None:
        return
    name = f"paths.{path}.request_cycles"
    most = line / figures[name] if figures[name] else math.inf
    if rate > most:
        raise UnfitError(
            f"bytes_per_cycle would be {rate:g}, but a request of {line:g} bytes takes at least {figures[name]:g} "
            f"cycles ({name}), which allows {most:.3g}; check the table, or calibrate a chip file with a smaller one"
        )


@dataclass(frozen=True)
class _Cold:
    """Moves from HBM along one path: *line* is what they would take from L2, *minimum* what they take at least."""

    path: str
    sizes: Vector
    cycles: Vector
    line: Vector
    minimum: float
    slopes: Vector
    """The best 1 / miss_bytes_per_cycle for the moves from each size on."""

    def fitted(self, extra: float) -> tuple[float, float]:
        """The least squares for *extra* cycles of a miss, and the 1 / miss_bytes_per_cycle that gives them.

        The rate is that of the largest moves, however many.
        """
        least = np.maximum(self.minimum, self.line + extra)
        predicted = np.maximum(least, self.slopes[:, None] * self.sizes)
        squares = (((predicted - self.cycles) / self.cycles) ** 2).sum(axis=1)
        best = np.lexsort((self.slopes, squares))[0]
        return float(squares[best]), float(self.slopes[best])

    def late(self, extra: float, slope: float) -> NDArray[np.bool_]:
        """Which moves the extra cycles bind, and not the rate of 1 / *slope*."""
        return self.line + extra >= slope * self.sizes


def fit_misses(figures: Figures, rows: Sequence[Row], nearby: bool = False) -> Mapping[str, float]:
    """The extra cycles of a miss and the rate of misses of each path.

    The law is max(head_cycles + miss_extra_cycles + bytes / bytes_per_cycle, bytes / miss_bytes_per_cycle), with head
    and rate of L2 as they are. Each number of small moves that the first part may bind is a start; from there rows and
    figures are fitted in turn until nothing changes. With *nearby* the only start are the cycles of *figures*.
    """
    colds = list(_cold_paths(figures, rows))
    starts = [figures["l2.miss_extra_cycles"]] if nearby else sorted({
        weighted_mean(one.cycles[:count] - one.line[:count], one.cycles[:count])
        for one in colds for count in range(1, len(one.sizes))
    })  # fmt: skip
    _, extra = min((_misses_from(colds, start) for start in starts), default=(0.0, 0.0))
    if not any(one.late(extra, one.fitted(extra)[1]).any() for one in colds):
        raise UnfitError(
            "the rate of misses binds even the smallest moves, so that the extra cycles are not seen; add smaller ones"
        )
    cycles = whole(extra, "l2.miss_extra_cycles", "check that these moves miss L2, and that those with data l2 hit it")
    result: dict[str, float] = {"l2.miss_extra_cycles": cycles}
    for one in colds:
        _, slope = one.fitted(cycles)
        rate = figures[f"paths.{one.path}.bytes_per_cycle"]
        if one.late(cycles, slope).all() or rounded(1 / slope) >= rate:
            raise UnfitError(
                f"no move along {one.path} is slower than its extra cycles explain, so there is no rate of misses; "
                f"add larger moves"
            )
        result[f"paths.{one.path}.miss_bytes_per_cycle"] = rounded(1 / slope)
    return result


def _cold_paths(figures: Figures, rows: Sequence[Row]) -> Iterator[_Cold]:
    for path in dict.fromkeys(path_of(_move(row)) for row in rows):
        own = sorted((_move(row).kib * KIB, row.measured) for row in rows if path_of(_move(row)) == path)
        sizes, cycles = as_vectors(own)
        _expect_sizes(sizes, f"the extra cycles of a miss and its rate along {path}")
        head = figures[f"paths.{path}.head_cycles"]
        line = np.array([head + flow(figures, path, int(size)) for size in sizes])
        starts = [first for first in range(len(sizes)) if not first or sizes[first] != sizes[first - 1]]
        slopes = [origin_slope(sizes[first:], cycles[first:], cycles[first:]) for first in starts]
        yield _Cold(path, sizes, cycles, line, figures[f"paths.{path}.min_cycles"], np.array(slopes))


def _misses_from(colds: Sequence[_Cold], extra: float) -> tuple[float, float]:
    """The least squares, and the extra cycles of a miss, of fitting rows and figures in turn."""
    tried: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        fits = [one.fitted(extra) for one in colds]
        tried.append((sum(squares for squares, _ in fits), extra))
        late = [one.late(extra, slope) for one, (_, slope) in zip(colds, fits, strict=True)]
        if not any(one.any() for one in late):
            break
        seen = [(one.cycles - one.line)[which] for one, which in zip(colds, late, strict=True)]
        cycles = [one.cycles[which] for one, which in zip(colds, late, strict=True)]
        extra = weighted_mean(np.concatenate(seen), np.concatenate(cycles))
        if extra in (before for _, before in tried):
            break
    return min(tried)


def fit_die(figures: Figures, rows: Sequence[Row]) -> Mapping[str, float]:
    """The rate of L2 that moves of several cores share; nothing if no row needs one.

    The law is the larger of what a core alone takes and cores * bytes / rate: in a loop the cores fall out of step, and
    the heads of some are hidden behind the bytes of others. A rate is taken if it lowers the criterion by
    curve.EVIDENCE against none at all.
    """
    key = limit_of(path_of(_move(rows[0])))
    free = figures.updated({key: float("inf")})
    alone = np.array([cycles_of(free, row.experiment) for row in rows], dtype=np.float64)
    loads, cycles = as_vectors([(sharing(figures, _move(row)) * _move(row).kib * KIB, row.measured) for row in rows])
    slopes = np.unique(cycles / loads)
    for _ in range(ROUNDS):
        # Each start with the rows that it binds, and the best rate for those.
        weights = np.where(slopes[:, None] * loads >= alone, cycles**-2.0, 0.0)
        spread = (weights * loads**2).sum(axis=1)
        better = slopes.copy()
        np.divide((weights * loads * cycles).sum(axis=1), spread, out=better, where=spread > 0)
        if (better == slopes).all():
            break
        slopes = better
    squares = [curve.relative_squares(np.maximum(alone, slope * loads), cycles) for slope in (0.0, *slopes)]
    best = int(np.argmin(squares))
    with_it = curve.criterion(squares[best], cycles, 1)
    needed = with_it < curve.criterion(squares[0], cycles, 0) - curve.EVIDENCE
    return {key: rounded(1 / float(slopes[best - 1]))} if best and needed else {}


def _expect_sizes(sizes: Vector, what: str) -> None:
    """Raise UnfitError if there are too few sizes for *what*, which are two figures."""
    if len(set(sizes)) < 2:
        only = f"{sizes[0] / KIB:g} KiB"
        raise UnfitError(f"{only} is the only size, and {what} are two figures; measure another size")


def _move(row: Row) -> Movement:
    assert isinstance(row.experiment, Movement)
    return row.experiment
