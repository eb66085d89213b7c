"""Figures of what an exploration found: trade-offs between metrics, and the course of the search.

What the figures of this package share is here as well: scales, marks and labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis as Scale
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from ascend_sim.explore.analysis import Axis, Floats, Ints, Row, Study, best_so_far, direction_of, pair_front
from ascend_sim.explore.wording import measure
from ascend_sim.report.style import NEUTRAL, PALETTE, text_width

FONT = 8.0
"""Points of all text."""
FRONT, BASE, BEST = PALETTE[0], PALETTE[5], PALETTE[1]
"""Colours of a Pareto front, of the base run and of the best so far."""
POINT = "#8FA3B0"
"""The colour of points that nothing distinguishes."""
NARROWEST = 5.6
"""Inches that the longest legends take."""
MANY = 400
"""Marks of so many points are drawn as pixels even in vector graphics."""
_LONG = 20
"""Letters of a value that a figure shows."""
_WIDE_RANGE = 8.0
"""From this ratio of the largest to the smallest value on a scale is logarithmic."""
_STATUS = (("infeasible", PALETTE[3]), ("failed", PALETTE[5]), ("pruned", NEUTRAL))


def plain(text: str) -> str:
    """*text* for a figure, in which dollars begin no formula."""
    return text.replace("$", r"\$")


def colours(direction: str) -> Colormap:
    """A map of colours, even in grey and for the colour-blind, in which the better values are the darker ones."""
    return mpl.colormaps["viridis" if direction == "minimize" else "viridis_r"]


def scale_of(values: Floats) -> Normalize:
    """What maps *values* (not empty) to colours, by their logarithms where they reach far."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return Normalize(low - 0.5, high + 0.5)
    return LogNorm(low, high) if reaches_far(values) else Normalize(low, high)


def reaches_far(values: Floats) -> bool:
    """Whether a logarithmic scale shows *values* better."""
    return len(values) > 0 and bool(values.min() > 0) and bool(values.max() / values.min() > _WIDE_RANGE)


def metric_scale(scale: Scale, metric: str, logarithmic: bool) -> None:
    """Label the axis *scale*, whose values are in the unit of `measure`, with *metric*."""
    scale.set_label_text(measure(metric).label, fontsize=FONT)
    low, high = sorted(scale.get_view_interval())
    if logarithmic:
        near = high / low < 300
        scale.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if near else (1.0,), numticks=12))
        scale.set_minor_locator(NullLocator())
    else:
        scale.set_major_locator(MaxNLocator(6))
    scale.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    scale.set_minor_formatter(NullFormatter())


def frame(axes: Axes) -> None:
    """The frame, the grid and the small letters that all axes have."""
    axes.tick_params(which="both", labelsize=FONT, direction="out", length=3)
    axes.grid(color="0.92", linewidth=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def ticks(axis: Axis) -> list[str]:
    """The values of *axis* as short labels for a figure."""
    return [plain(text if len(text) <= _LONG else f"{text[: _LONG - 3]}...") for text in axis.texts]


def widest(axis: Axis) -> float:
    """Points that the longest label of *axis* takes."""
    return max(text_width(text, FONT) for text in ticks(axis))


def thinned(axis: Axis, room: float, size: float) -> list[int]:
    """Which values of *axis* get a label where *room* points of length are free, labels taking *size* points each."""
    count = len(axis.values)
    return list(range(0, count, -(-count // max(1, int(room / size)))))


def is_turned(axis: Axis, inches: float) -> bool:
    """Whether the labels of a horizontal scale of so many *inches* have to be turned."""
    return (widest(axis) + FONT) * len(axis.values) > 72 * inches


def label_values(axes: Axes, axis: Axis, inches: float) -> None:
    """Label the horizontal scale, on which values have the places 0, 1, ..., along so many *inches*; turned if long."""
    turned = is_turned(axis, inches)
    shown = thinned(axis, 72 * inches, 1.3 * FONT if turned else 1.0)
    axes.set_xticks(shown, [ticks(axis)[n] for n in shown], rotation=90 if turned else 0, fontsize=FONT)


def legend_below(figure: Figure, handles: Sequence[Line2D], inches: float = 0.05) -> None:
    """A legend in one line below everything, *inches* above the lower edge."""
    figure.legend(
        handles=list(handles), loc="lower center", bbox_to_anchor=(0.5, inches / figure.get_figheight()),
        ncols=len(handles), fontsize=FONT, frameon=False, handlelength=1.6, columnspacing=1.6, borderaxespad=0.0,
        handler_map={tuple: HandlerTuple(ndivide=None)},
    )  # fmt: skip


def mark(colour: str, marker: str, label: str, size: float = 5.0, face: str | None = None) -> Line2D:
    """An entry of a legend for a *marker*."""
    return Line2D(
        [], [], linestyle="", marker=marker, markersize=size, markeredgecolor=colour,
        markerfacecolor=colour if face is None else face, label=label,
    )  # fmt: skip


def trade_off_figure(study: Study, pairs: Sequence[tuple[str, str]], best: Sequence[Row]) -> Figure:
    """For each of *pairs* (not empty) the eligible points, their Pareto front, the base run and the *best* points.

    The first metric of a pair is drawn upwards.
    """
    columns = min(len(pairs), 3)
    lines = -(-len(pairs) // columns)
    width, height = (4.6, 3.4) if columns == 1 else (3.5, 3.0)
    below = 0.4
    figure = Figure(figsize=(width * columns, height * lines + below))
    for n, pair in enumerate(pairs):
        line, column = divmod(n, columns)
        left, bottom = width * column + 0.85, below + height * (lines - 1 - line) + 0.5
        box = (left, bottom, width - 1.05, height - 0.7)
        size = (figure.get_figwidth(), figure.get_figheight())
        axes = figure.add_axes((box[0] / size[0], box[1] / size[1], box[2] / size[0], box[3] / size[1]))
        _draw_trade_off(axes, study, pair, best)
    handles = [
        mark(POINT, "o", "eligible point", 3.5),
        Line2D([], [], color=FRONT, marker="o", markersize=4, label="front"),
    ]
    if best:
        handles.append(mark("black", "o", "best points, numbered", 6.5, "none"))
    if study.base_metrics is not None:
        handles.append(mark(BASE, "D", "base run", 5.5))
    legend_below(figure, handles)
    return figure


def _draw_trade_off(axes: Axes, study: Study, pair: tuple[str, str], best: Sequence[Row]) -> None:
    upward, across = pair
    scales = measure(across).scale, measure(upward).scale

    def places(rows: Ints) -> tuple[Floats, Floats]:
        return study.values(across, rows) / scales[0], study.values(upward, rows) / scales[1]

    x, y = places(study.eligible)
    front_x, front_y = places(pair_front(study, pair))
    everything = [x, y]
    if study.base_metrics is not None:
        here = study.base_metrics[across] / scales[0], study.base_metrics[upward] / scales[1]
        axes.plot(*here, "D", color=BASE, markersize=5.5, zorder=6, markeredgecolor="white", markeredgewidth=0.5)
        everything = [np.append(x, here[0]), np.append(y, here[1])]
    axes.plot(x, y, "o", color=POINT, markersize=3, markeredgewidth=0, alpha=0.6, rasterized=len(x) > MANY, zorder=2)
    directions = direction_of(study, across), direction_of(study, upward)
    axes.plot(*_stairs(front_x, front_y, directions), "-", color=FRONT, linewidth=1.2, zorder=3)
    axes.plot(front_x, front_y, "o", color=FRONT, markersize=4, markeredgewidth=0, zorder=4)
    logarithmic = [reaches_far(one) for one in everything]
    axes.set(xscale="log" if logarithmic[0] else "linear", yscale="log" if logarithmic[1] else "linear")
    axes.margins(0.06)
    axes.autoscale_view()
    metric_scale(axes.xaxis, across, logarithmic[0])
    metric_scale(axes.yaxis, upward, logarithmic[1])
    frame(axes)
    _number_best(
        axes, [(one.evaluation.metrics[across] / scales[0], one.evaluation.metrics[upward] / scales[1]) for one in best]
    )


def _stairs(x: Floats, y: Floats, directions: tuple[str, str]) -> tuple[list[float], list[float]]:
    """The border of what the points of a front dominate, without its ends."""
    worse = [max if one == "minimize" else min for one in directions]
    points = sorted(zip(x.tolist(), y.tolist(), strict=True))
    line: list[tuple[float, float]] = points[:1]
    for (x0, y0), (x1, y1) in pairwise(points):
        line += [(worse[0](x0, x1), worse[1](y0, y1)), (x1, y1)]
    return [at[0] for at in line], [at[1] for at in line]


def _number_best(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Ring the best points and number them, as far as the numbers do not meet."""
    taken: list[tuple[float, float]] = []
    for number, at in enumerate(points, start=1):
        here = axes.transData.transform(at) * 72 / axes.figure.dpi
        axes.plot(*at, "o", color="none", markeredgecolor="black", markersize=6.5, markeredgewidth=0.8, zorder=5)
        if all(abs(here[0] - x) > 10 or abs(here[1] - y) > 9 for x, y in taken):
            axes.annotate(
                str(number), at, xytext=(4, 4), textcoords="offset points", fontsize=FONT, zorder=7,
            )  # fmt: skip
            taken.append((float(here[0]), float(here[1])))


def history_figure(study: Study) -> Figure:
    """The objectives of the points in the order in which they were asked for, the best so far, and what had none."""
    panels = len(study.objectives)
    present = [(name, colour) for name, colour in _STATUS if any(row.status == name for row in study.rows)]
    below, high, strip = 0.85, 2.2, 0.17 * len(present)
    figure = Figure(figsize=(7.6, below + strip + panels * high + 0.15))
    size = figure.get_figwidth(), figure.get_figheight()
    shared: Axes | None = None
    for n in range(panels):
        bottom = below + strip + (panels - 1 - n) * high + 0.1
        box = (0.8 / size[0], bottom / size[1], (size[0] - 1.0) / size[0], (high - 0.15) / size[1])
        axes = figure.add_axes(box, sharex=shared)
        shared = shared or axes
        _draw_history(axes, study, n)
        axes.tick_params(labelbottom=False)
        axes.set_xlim(-0.01 * len(study.rows) - 0.5, 1.01 * len(study.rows) - 0.5)
    last = shared
    if present:
        box = (0.8 / size[0], below / size[1], (size[0] - 1.0) / size[0], strip / size[1])
        last = figure.add_axes(box, sharex=shared)
        _draw_strip(last, study, present)
    if last is not None:
        last.tick_params(labelbottom=True, labelsize=FONT)
        last.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        last.set_xlabel("number of the point, in the order of the search", fontsize=FONT)
    handles = [mark(POINT, "o", "eligible", 3.5)]
    if any(row.status == "done" and not row.eligible for row in study.rows):
        handles.append(mark(POINT, "o", "breaks a constraint", 3.5, "none"))
    handles.append(Line2D([], [], color=BEST, linewidth=1.8, label="best so far"))
    if study.base_metrics is not None:
        handles.append(Line2D([], [], color=BASE, linewidth=1.0, linestyle=(0, (5, 2)), label="base run"))
    legend_below(figure, handles)
    return figure


def _draw_history(axes: Axes, study: Study, place: int) -> None:
    objective = study.objectives[place]
    scale = measure(objective.metric).scale
    numbers = np.array([study.rows[n].number for n in study.done])
    values = study.values(objective.metric) / scale
    eligible = np.isin(study.done, study.eligible)
    pixels = len(values) > MANY
    axes.plot(
        numbers[eligible],
        values[eligible],
        "o",
        color=POINT,
        markersize=3,
        markeredgewidth=0,
        rasterized=pixels,
        zorder=5,
    )
    axes.plot(
        numbers[~eligible], values[~eligible], "o", color="none", markeredgecolor=POINT, markersize=3,
        markeredgewidth=0.7, rasterized=pixels,
    )  # fmt: skip
    at, best = best_so_far(study, objective)
    if len(at):
        x = np.append(at, len(study.rows) - 1)
        axes.step(x, np.append(best, best[-1]) / scale, where="post", color=BEST, linewidth=1.8, zorder=4)
    if study.base_metrics is not None:
        own = study.base_metrics[objective.metric] / scale
        axes.axhline(own, color=BASE, linewidth=1.0, linestyle=(0, (5, 2)), zorder=3)
        values = np.append(values, own)
    logarithmic = reaches_far(values)
    axes.set_yscale("log" if logarithmic else "linear")
    axes.margins(y=0.06)
    axes.autoscale_view()
    if len(values) and values.min() == values.max():
        axes.set_ylim(*_around(float(values[0])))
    metric_scale(axes.yaxis, objective.metric, logarithmic)
    frame(axes)


def _around(value: float) -> tuple[float, float]:
    """A range for a scale on which all points have one *value*."""
    return value - (0.1 * abs(value) or 1.0), value + (0.1 * abs(value) or 1.0)


def _draw_strip(axes: Axes, study: Study, present: Sequence[tuple[str, str]]) -> None:
    """A line of strokes for each status without a result."""
    for line, (name, colour) in enumerate(present):
        numbers = [row.number for row in study.rows if row.status == name]
        height = len(present) - 1 - line
        axes.vlines(numbers, height - 0.36, height + 0.36, color=colour, linewidth=0.8, rasterized=len(numbers) > MANY)
    axes.set_ylim(-0.5, len(present) - 0.5)
    axes.set_yticks(range(len(present)), [name for name, _ in reversed(present)], fontsize=FONT)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
