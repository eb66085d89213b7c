"""The best value of a metric over two parameters, whatever the others are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from ascend_sim.explore.analysis import Axis, Floats, Objective, Study, losses
from ascend_sim.explore.figures import (
    BASE,
    FONT,
    NARROWEST,
    colours,
    frame,
    is_turned,
    label_values,
    legend_below,
    metric_scale,
    plain,
    reaches_far,
    scale_of,
    thinned,
    ticks,
    widest,
)  # fmt: skip
from ascend_sim.explore.wording import identity, measure
from ascend_sim.report.style import ink_on, text_width

_LARGEST = (8.0, 6.5)
"""Inches that the cells may take."""
_HATCHED = {"none": ("////", "no eligible point"), "pruned": ("....", "pruned: too slow")}


@dataclass(frozen=True)
class Cells:
    """*best* is the best value by row (of the first parameter) and column, NaN where there is none.

    *tried* counts the points of a cell and *pruned* those that were pruned.
    """

    best: Floats
    tried: Floats
    pruned: Floats


def cells(study: Study, objective: Objective, down: Axis, across: Axis) -> Cells:
    """The best eligible value of *objective* for each pair of values of *down* and *across*."""
    shape = len(down.values), len(across.values)
    lowest, tried, pruned = np.full(shape, np.inf), np.zeros(shape), np.zeros(shape)
    np.add.at(tried, (down.levels, across.levels), 1)
    stopped = np.array([row.status == "pruned" for row in study.rows], dtype=np.float64)
    np.add.at(pruned, (down.levels, across.levels), stopped)
    chosen = study.eligible
    values = losses(objective, study.values(objective.metric, chosen))
    np.minimum.at(lowest, (down.levels[chosen], across.levels[chosen]), values)
    best = losses(objective, np.where(np.isfinite(lowest), lowest, np.nan))
    return Cells(best, tried, pruned)


def heat_map_figure(study: Study, objective: Objective, down: Axis, across: Axis) -> Figure:
    """A cell for each pair of values: the best value of *objective* over all other parameters.

    A cell without an eligible point is hatched, one that was not tried is empty. The best cell has a solid frame, the
    cell of the base run a dashed one.
    """
    found = cells(study, objective, down, across)
    how = measure(objective.metric)
    best = found.best / how.scale
    size = (_side(_LARGEST[0], len(across.values), 0.62), _side(_LARGEST[1], len(down.values), 0.36))
    left = widest(down) / 72 + 0.5
    below = 0.8 + (widest(across) / 72 if is_turned(across, size[0]) else 0.0)
    whole = (max(left + size[0] + 1.25, NARROWEST), below + size[1] + 0.15)
    left += (whole[0] - left - size[0] - 1.25) / 2
    figure = Figure(figsize=whole)
    axes = figure.add_axes((left / whole[0], below / whole[1], size[0] / whole[0], size[1] / whole[1]))
    norm, palette = scale_of(best[np.isfinite(best)]), colours(objective.direction)
    axes.pcolormesh(best, cmap=palette, norm=norm, edgecolors="face", linewidth=0.2, rasterized=best.size > 2500)
    used = _hatch(axes, found)
    _write(axes, best, norm, palette, (size[0] / best.shape[1], size[1] / best.shape[0]), how.decimals)
    handles = used + _frames(axes, study, objective, best, down, across)
    axes.set_ylim(0, len(down.values))
    _label(axes, down, across, size)
    bar = figure.add_axes(((left + size[0] + 0.15) / whole[0], below / whole[1], 0.14 / whole[0], size[1] / whole[1]))
    figure.colorbar(ScalarMappable(norm, palette), cax=bar)
    metric_scale(bar.yaxis, objective.metric, reaches_far(best[np.isfinite(best)]))
    bar.tick_params(labelsize=FONT)
    legend_below(figure, handles)  # type: ignore[arg-type]  # a legend takes patches as well
    return figure


def _side(most: float, count: int, one: float) -> float:
    return min(most, max(1.2, count * one))


def _label(axes: Axes, down: Axis, across: Axis, size: tuple[float, float]) -> None:
    frame(axes)
    axes.grid(False)
    label_values(axes, across, size[0])
    axes.set_xticks([place + 0.5 for place in axes.get_xticks()], [text.get_text() for text in axes.get_xticklabels()])
    shown = thinned(down, 72 * size[1], 1.3 * FONT)
    axes.set_yticks([n + 0.5 for n in shown], [ticks(down)[n] for n in shown], fontsize=FONT)
    axes.set_xlabel(plain(across.name), fontsize=FONT)
    axes.set_ylabel(plain(down.name), fontsize=FONT)


def _hatch(axes: Axes, found: Cells) -> list[Patch]:
    """Hatch the cells without a value; return entries of a legend for what occurs."""
    kinds: list[str] = []
    for row, column in zip(*np.nonzero(np.isnan(found.best) & (found.tried > 0)), strict=True):
        kind = "pruned" if found.pruned[row, column] else "none"
        kinds.append(kind)
        axes.add_patch(
            Rectangle((column, row), 1, 1, facecolor="0.95", edgecolor="0.6", hatch=_HATCHED[kind][0], linewidth=0)
        )
    handles = [
        Patch(facecolor="0.95", edgecolor="0.6", hatch=hatch, linewidth=0, label=text)
        for kind, (hatch, text) in _HATCHED.items()
        if kind in kinds
    ]
    if np.any(found.tried == 0):
        handles.append(Patch(facecolor="white", edgecolor="0.8", linewidth=0.6, label="not tried"))
    return handles


def _write(
    axes: Axes, best: Floats, norm: Normalize, palette: Colormap, cell: tuple[float, float], decimals: int
) -> None:
    """Write the values into the cells if they have the room (*cell* is in inches)."""
    known = best[np.isfinite(best)]
    digits = 0 if not decimals or known.min() >= 1000 else 1 if known.min() >= 100 else 2
    longest = max(text_width(f"{value:.{digits}f}", FONT - 1) for value in known)
    if longest + 4 > 72 * cell[0] or 72 * cell[1] < FONT + 3:
        return
    for row, column in zip(*np.nonzero(np.isfinite(best)), strict=True):
        value = best[row, column]
        colour = ink_on(palette(norm(value))[:3])
        axes.text(
            column + 0.5, row + 0.5, f"{value:.{digits}f}", ha="center", va="center", fontsize=FONT - 1, color=colour
        )


def _frames(axes: Axes, study: Study, objective: Objective, best: Floats, down: Axis, across: Axis) -> list[Patch]:
    """Frame the best cell and that of the base run."""
    row, column = np.unravel_index(int(np.nanargmin(losses(objective, best))), best.shape)
    frames: list[tuple[int, int, str, Literal["solid", "dashed"], str]] = [
        (int(row), int(column), "black", "solid", "best")
    ]
    places = [_place(study, axis) for axis in (down, across)]
    if None not in places:
        frames.append((places[0] or 0, places[1] or 0, BASE, "dashed", "values of the base run"))
    handles = []
    for at, (y, x, colour, style, label) in enumerate(frames):
        inset = 0.03 + 0.05 * at
        axes.add_patch(Rectangle(
            (x + inset, y + inset), 1 - 2 * inset, 1 - 2 * inset, fill=False, edgecolor=colour, linestyle=style,
            linewidth=1.8, zorder=5,
        ))  # fmt: skip
        handles.append(Patch(fill=False, edgecolor=colour, linestyle=style, linewidth=1.5, label=label))
    return handles


def _place(study: Study, axis: Axis) -> int | None:
    """Where the base run's own value is on *axis*."""
    own = identity(study.base.get(axis.name))
    return next((n for n, value in enumerate(axis.values) if identity(value) == own), None)
