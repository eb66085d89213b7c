"""All points across all parameters: a line for each point, an axis for each parameter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ascend_sim.explore.analysis import Axis, Floats, Ints, Objective, Row, Study, losses
from ascend_sim.explore.figures import (
    BASE,
    FONT,
    MANY,
    NARROWEST,
    colours,
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
from ascend_sim.report.style import text_width

_HIGH = 3.4
"""Inches of the axes."""
_SPREAD = 0.62
"""Over this share of the distance between two values the lines that meet at one are spread, the best ones lowest."""
_TOGETHER = 0.05
"""The same of the distance between two of the best points that have one value."""
_NAMED = 5
"""Of the best points so many are drawn as lines of their own."""


def parallel_figure(study: Study, objective: Objective, best: Sequence[Row]) -> Figure:
    """A line for each eligible point, coloured by *objective*, with the *best* ones and the base run on top.

    There are two parameters or more, the values of each at equal distances. At each value lines are spread, the better
    the lower.
    """
    axes_of = study.axes
    step = max(0.95, min(1.6, 9.0 / len(axes_of)), *(widest(axis) / 72 + 0.25 for axis in axes_of[1:]))
    names = [_broken(axis.name, 72 * step - 6) for axis in axes_of]
    title = max(text_width(line, FONT, "bold") for line in names[0].split("\n"))
    left = max(widest(axes_of[0]), title / 2) / 72 + 0.35
    above = 0.2 + 0.14 * max(name.count("\n") + 1 for name in names)
    width, height = left + max(step * (len(axes_of) - 1) + 2.0, NARROWEST - left), above + _HIGH + 0.5
    figure = Figure(figsize=(width, height))
    inner = step * (len(axes_of) - 1)
    axes = figure.add_axes((left / width, 0.5 / height, inner / width, _HIGH / height))
    order = study.eligible[
        np.argsort(-losses(objective, study.values(objective.metric, study.eligible)), kind="stable")
    ]
    places = _places(axes_of, len(study.rows), order)
    values = study.values(objective.metric, order) / measure(objective.metric).scale
    norm, palette = scale_of(values), colours(objective.direction)
    x = np.arange(len(axes_of), dtype=np.float64)
    lines = [np.column_stack([x, places[n]]) for n in order]
    alpha = min(0.9, max(0.12, 120 / len(order)))
    axes.add_collection(
        LineCollection(
            lines, array=values, norm=norm, cmap=palette, linewidths=0.8, alpha=alpha, rasterized=len(order) > MANY
        )
    )
    handles = _highlight(axes, study, best, x)
    for number, (axis, name) in enumerate(zip(axes_of, names, strict=True)):
        _draw_axis(axes, axis, number, name)
    axes.set_xlim(0, len(axes_of) - 1)
    axes.set_ylim(-0.03, 1.03)
    axes.set_axis_off()
    bar = figure.add_axes(((left + inner + 1.0) / width, 0.5 / height, 0.14 / width, _HIGH / height))
    figure.colorbar(ScalarMappable(norm, palette), cax=bar)
    metric_scale(bar.yaxis, objective.metric, reaches_far(values))
    bar.tick_params(labelsize=FONT)
    legend_below(figure, handles)
    return figure


def _broken(name: str, width: float) -> str:
    """*name* in lines, broken after points and underscores so that each is at most *width* points wide if possible."""
    lines = [""]
    for part in name.replace(".", ".\0").replace("_", "_\0").split("\0"):
        if lines[-1] and text_width(lines[-1] + part, FONT, "bold") > width:
            lines.append(part)
        else:
            lines[-1] += part
    return "\n".join(lines)


def _slot(count: int, place: Floats) -> Floats:
    """The heights, from 0 to 1, of *place* on an axis with *count* values; each value has a slot of equal height."""
    return np.asarray((place + 0.5) / count, dtype=np.float64)


def _places(axes: Sequence[Axis], rows: int, order: Ints) -> Floats:
    """The heights of each row on each axis. *order* are the rows to be drawn, from the worst to the best."""
    spread = np.zeros(rows)
    spread[order] = _SPREAD * (np.linspace(0.5, -0.5, len(order)) if len(order) > 1 else np.zeros(len(order)))
    return np.column_stack([_slot(len(axis.values), axis.levels + spread) for axis in axes])


def _highlight(axes: Axes, study: Study, best: Sequence[Row], x: Floats) -> list[Line2D]:
    """Draw the best points and the base run; return entries of a legend."""
    place = {id(row): n for n, row in enumerate(study.rows)}
    named = best[:_NAMED]
    for number, row in reversed(list(enumerate(named))):
        first = number == 0
        away = _TOGETHER * (number - (len(named) - 1) / 2)
        heights = np.array([(axis.levels[place[id(row)]] + 0.5 + away) / len(axis.values) for axis in study.axes])
        axes.plot(x, heights, color="white", linewidth=4.2 if first else 2.8, zorder=4)
        axes.plot(x, heights, color="black", linewidth=2.4 if first else 1.1, zorder=4)
    handles = []
    if best:
        handles.append(Line2D([], [], color="black", linewidth=2.4, label="the best point"))
    if len(best) > 1:
        others = min(len(best), _NAMED) - 1
        handles.append(
            Line2D([], [], color="black", linewidth=1.1, label=f"the next {others}" if others > 1 else "the next")
        )
    own = [_own(study, axis) for axis in study.axes]
    if any(one is not None for one in own):
        known = [(number, height) for number, height in enumerate(own) if height is not None]
        line = "-" if len(known) == len(own) else ""
        axes.plot(
            *zip(*known, strict=True),
            marker="D",
            linestyle=line,
            linewidth=1.2,
            color=BASE,
            markersize=5,
            zorder=5,
            clip_on=False,
        )
        handles.append(Line2D([], [], color=BASE, marker="D", markersize=5, linewidth=1.2, label="base run"))
    return handles


def _own(study: Study, axis: Axis) -> float | None:
    """The height of the base run's own value on *axis*, None if it is not there."""
    own = identity(study.base.get(axis.name))
    return next(((n + 0.5) / len(axis.values) for n, one in enumerate(axis.values) if identity(one) == own), None)


def _draw_axis(axes: Axes, axis: Axis, number: int, name: str) -> None:
    axes.plot([number, number], [0, 1], color="0.25", linewidth=0.9, zorder=3, clip_on=False)
    axes.text(number, 1.05, plain(name), fontsize=FONT, ha="center", va="bottom", linespacing=1.1, weight="bold")
    for n in thinned(axis, 72 * _HIGH, 1.6 * FONT):
        height = (n + 0.5) / len(axis.values)
        axes.plot([number - 0.02, number], [height, height], color="0.25", linewidth=0.9, zorder=3, clip_on=False)
        axes.annotate(
            ticks(axis)[n], (number, height), xytext=(-5, 0), textcoords="offset points", fontsize=FONT,
            ha="right", va="center", zorder=6, annotation_clip=False,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip
