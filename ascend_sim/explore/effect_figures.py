"""Figures of how much parameters matter: what each value leads to, and the shares of the variance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from ascend_sim.explore.analysis import Axis, Study
from ascend_sim.explore.effects import Effects, Level
from ascend_sim.explore.figures import (
    BASE,
    BEST,
    FONT,
    NARROWEST,
    frame,
    is_turned,
    label_values,
    legend_below,
    mark,
    metric_scale,
    plain,
    reaches_far,
    widest,
)
from ascend_sim.explore.wording import identity, measure, shortest
from ascend_sim.report.style import PALETTE, ink_on, text_width, tint

_COLUMNS = 4
_PANEL = (2.35, 1.55)
"""Inches of the axes of a parameter."""
_BOXES = 16
"""Of more values than that a band is drawn instead of boxes."""
_BOX = PALETTE[0]


def effects_figure(study: Study, found: Effects) -> Figure:
    """For each parameter of *found*, the one that matters most first, the best, the quartiles and the median by value.

    All have one scale of the metric. A triangle marks the base run's own value.
    """
    axes = [found.axes[n] for n in found.order]
    columns = min(_COLUMNS, len(axes))
    lines = math.ceil(len(axes) / columns)
    turned = max((_turned(one) for one in axes), default=0.0)
    left, above, below, apart = 0.8, 0.3, 0.45, 0.3
    line = above + _PANEL[1] + 0.25 + turned
    figure = Figure(figsize=(max(left + columns * (_PANEL[0] + apart), NARROWEST), lines * line + below))
    width, height = figure.get_figwidth(), figure.get_figheight()
    left += max(0.0, (NARROWEST - left - columns * (_PANEL[0] + apart)) / 2)
    limits = _limits(found)
    for place, n in enumerate(found.order):
        row, column = divmod(place, columns)
        box = (left + column * (_PANEL[0] + apart), height - (row + 1) * line + 0.25 + turned, *_PANEL)
        panel = figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height))
        _draw(panel, study, found, n)
        panel.set_yscale("log" if limits[2] else "linear")
        panel.set_ylim(limits[0], limits[1])
        metric_scale(panel.yaxis, found.metric, limits[2])
        frame(panel)
        if column:
            panel.tick_params(labelleft=False)
            panel.set_ylabel("")
    handles: list[Line2D | Patch] = [
        mark("black", "o", "best", 4.5, BEST),
        Line2D([], [], color=_BOX, linewidth=2, label="median"),
        Patch(facecolor=tint(_BOX, 0.35), edgecolor=_BOX, linewidth=0.6, label="half of the points"),
        mark(BASE, "^", "value of the base run"),
    ]
    legend_below(figure, handles)  # type: ignore[arg-type]  # a legend takes patches as well
    return figure


def _turned(axis: Axis) -> float:
    """Inches that the labels of *axis* need below the axes beyond one line."""
    return widest(axis) / 72 if is_turned(axis, _PANEL[0]) else 0.0


def _limits(found: Effects) -> tuple[float, float, bool]:
    """The range of the scale that all panels share, in the unit of `measure`, and whether it is logarithmic."""
    known = [level for levels in found.levels for level in levels if level.points]
    values = np.array([one for level in known for one in (level.best, *level.quartiles)]) / measure(found.metric).scale
    logarithmic = reaches_far(values)
    low, high = float(values.min()), float(values.max())
    if logarithmic:
        slack = (high / low) ** 0.07
        return low / slack, high * slack, True
    slack = 0.07 * (high - low) or 0.1 * abs(high) or 1.0
    return low - slack, high + slack, False


def _draw(axes: Axes, study: Study, found: Effects, number: int) -> None:
    axis, levels = found.axes[number], found.levels[number]
    scale = measure(found.metric).scale
    known = [n for n, level in enumerate(levels) if level.points]
    if len(levels) > _BOXES:
        _draw_band(axes, known, levels, scale)
    else:
        for n in known:
            low, median, high = (one / scale for one in levels[n].quartiles)
            axes.bar(n, high - low, 0.62, low, color=tint(_BOX, 0.35), edgecolor=_BOX, linewidth=0.6)
            axes.plot([n - 0.31, n + 0.31], [median, median], color=_BOX, linewidth=2, solid_capstyle="butt")
    axes.plot(
        known,
        [levels[n].best / scale for n in known],
        "o",
        color=BEST,
        markeredgecolor="black",
        markeredgewidth=0.6,
        markersize=4.5,
        zorder=4,
    )
    for n in range(len(levels)) if len(levels) <= _BOXES else ():
        if n not in known:
            axes.text(
                n, 0.5, "no result", transform=axes.get_xaxis_transform(), ha="center", va="center", rotation=90,
                fontsize=FONT - 1, color="0.45",
            )  # fmt: skip
    axes.set_xlim(-0.6, len(levels) - 0.4)
    label_values(axes, axis, _PANEL[0])
    own = [n for n, value in enumerate(axis.values) if identity(value) == identity(study.base.get(axis.name))]
    axes.plot(
        own,
        [0.0] * len(own),
        "^",
        color=BASE,
        markersize=5,
        transform=axes.get_xaxis_transform(),
        clip_on=False,
        zorder=5,
    )
    share = found.main[number]
    name = shortest([one.name for one in found.axes])[axis.name]
    text = name if math.isnan(share) else f"{name}: {100 * share:.0f} %"
    axes.set_title(plain(text), fontsize=FONT + 0.5, loc="left", pad=4)


def _draw_band(axes: Axes, known: Sequence[int], levels: Sequence[Level], scale: float) -> None:
    low, median, high = (np.array([levels[n].quartiles[part] for n in known]) / scale for part in range(3))
    axes.fill_between(known, low, high, color=tint(_BOX, 0.35), linewidth=0)
    axes.plot(known, median, color=_BOX, linewidth=2)


def importance_figure(found: Effects) -> Figure:
    """The shares of the variance: of each parameter on the diagonal, of pairs beyond that below it."""
    order = found.order
    count, cell = len(order), 0.42
    short = shortest([axis.name for axis in found.axes])
    names = [short[found.axes[n].name] for n in order]
    longest = max(text_width(name, FONT) for name in names) / 72
    left, below = longest + 0.25, 0.72 * longest + 0.3
    size = (max(left + count * cell + max(0.3, 0.1 * longest), 3.2), below + count * cell + 0.35)
    figure = Figure(figsize=size)
    axes = figure.add_axes((left / size[0], below / size[1], count * cell / size[0], count * cell / size[1]))
    blues = LinearSegmentedColormap.from_list("shares", ["white", PALETTE[0]])
    shares = np.full((count, count), np.nan)
    for row in range(count):
        for column in range(row + 1):
            a, b = order[row], order[column]
            shares[row, column] = found.main[a] if a == b else found.pairs[a, b]
    most = max(float(np.nanmax(shares)), 0.01) if np.isfinite(shares).any() else 1.0
    for row in range(count):
        for column in range(row + 1):
            share = shares[row, column]
            face = blues(0.0 if math.isnan(share) else share / most)[:3]
            axes.add_patch(
                Rectangle((column, row), 1, 1, facecolor=face, edgecolor="0.85", linewidth=0.5, clip_on=False)
            )
            text = "?" if math.isnan(share) else f"{100 * share:.0f}" if share >= 0.005 else "\u00b7"
            weight = "bold" if row == column else "normal"
            axes.text(
                column + 0.5,
                row + 0.5,
                text,
                ha="center",
                va="center",
                fontsize=FONT,
                color=ink_on(face),
                weight=weight,
            )
    places = np.arange(count) + 0.5
    axes.set_yticks(places, [plain(name) for name in names], fontsize=FONT)
    axes.set_xticks(
        places, [plain(name) for name in names], fontsize=FONT, rotation=45, ha="right", rotation_mode="anchor"
    )
    axes.set(xlim=(0, count), ylim=(count, 0))
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    title = f"share of the variance of {measure(found.metric).name} (%)"
    figure.text(0.08 / size[0], 1 - 0.08 / size[1], title, fontsize=FONT + 0.5, ha="left", va="top")
    return figure
