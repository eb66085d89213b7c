"""Figures of a study: errors by input, errors over the number of keys, and grids of inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from ascend_sim.report.style import PALETTE, figure_bytes, text_width
from ascend_sim.study.config import Output
from ascend_sim.study.grid_figure import grid_figure
from ascend_sim.study.report import output_name
from ascend_sim.study.summary import Place, Results

Floats = NDArray[np.float64]

FONT = 8.0
"""Points of all text."""
LABEL = "relative error (Frobenius)"
_MARKERS = "osD^vPX"
_WIDTH = 6.4
"""Inches of a figure."""
_LINE = 0.075
"""Inches between the marks of two algorithms."""
_LEFT = 0.72
"""Inches left of panels."""
_COLUMNS = 3
"""Panels side by side at most."""


def figures(results: Results) -> Iterator[tuple[str, bytes]]:
    """File names and contents of all figures of *results*: equal results give equal bytes."""
    for output in results.study.outputs:
        name = output_name(results.study, output).replace("/", "-")
        yield f"errors-{name}.png", figure_bytes(input_figure(results, output), "png")
        if len(results.study.shape.keys) > 1:
            yield f"lengths-{name}.png", figure_bytes(length_figure(results, output), "png")
        for number, family in enumerate(results.study.families):
            if len(family.axes) == 2:
                content = figure_bytes(grid_figure(results, output, family), "png")
                yield f"grid-{number}-{family.distribution}-{name}.png", content


def input_figure(results: Results, output: Output) -> Figure:
    """A line for each input, at the greatest number of keys, with a mark for each algorithm; NaN is apart."""
    keys = max(results.study.shape.keys)
    places = [(one.name, keys) for one in results.study.inputs]
    algorithms = results.algorithms
    step = _LINE * (len(algorithms) + 1.5)
    errors = _errors(results, output, places)
    handles = _handles(results, "")
    left = 0.25 + max(text_width(name, FONT) for name, _ in places) / 72
    below, height = 0.5 + _legend_inches(handles), step * len(places)
    figure = Figure(figsize=(_WIDTH, below + height + (0.1 if np.all(np.isfinite(errors)) else 0.25)))
    axes = _axes(figure, (left, below, _WIDTH - left - 0.15, height))
    low, high = _range(errors)
    end = _room_for_broken(axes, errors, low, high)
    for row in range(1, len(places), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="0.96", linewidth=0, zorder=0)
    offsets = (np.arange(len(algorithms)) - (len(algorithms) - 1) / 2) * _LINE / step
    for own, line, offset in zip(errors, handles, offsets, strict=True):
        _draw_marks(axes, np.maximum(own, low), line, np.arange(len(places)) + offset, np.sqrt(high * end))
    axes.set(xscale="log", xlim=(low, end), ylim=(len(places) - 0.5, -0.5))
    axes.set_yticks(range(len(places)), [name for name, _ in places], fontsize=FONT)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    _error_scale(axes.xaxis, low, high)
    axes.set_xlabel(f"{LABEL}; output {output_name(results.study, output)}, {keys:,} keys", fontsize=FONT)
    _legend(figure, handles)
    return figure


def _draw_marks(axes: Axes, x: Floats, line: Line2D, y: Floats, beyond: float) -> None:
    """The marks of an algorithm; hollow ones at *beyond* for what is not finite."""
    finite = np.isfinite(x)
    for chosen, face in ((finite, line.get_color()), (~finite, "none")):
        axes.plot(
            np.where(finite, x, beyond)[chosen], y[chosen], linestyle="", marker=line.get_marker(), markersize=4.5,
            color=line.get_color(), markerfacecolor=face, clip_on=False, zorder=3,
        )  # fmt: skip


def length_figure(results: Results, output: Output) -> Figure:
    """A panel for each input: the error of each algorithm over the number of keys."""
    names = [one.name for one in results.study.inputs]
    keys = sorted(results.study.shape.keys)
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    handles = _handles(results, "-")
    below, cell = 0.55 + _legend_inches(handles), ((_WIDTH - _LEFT) / columns, 1.9)
    figure = Figure(figsize=(_WIDTH, below + cell[1] * rows + 0.05))
    errors = [_errors(results, output, [(name, count) for count in keys]) for name in names]
    low, high = _range(np.array(errors))
    for number, (name, own) in enumerate(zip(names, errors, strict=True)):
        row, column = divmod(number, columns)
        corner = (_LEFT + column * cell[0], below + (rows - 1 - row) * cell[1])
        axes = _axes(figure, (*corner, cell[0] - 0.12, cell[1] - 0.3))
        for line, values in zip(handles, own, strict=True):
            axes.plot(keys, values, color=line.get_color(), marker=line.get_marker(), markersize=4, linewidth=1.0)
        axes.set(xscale="log", yscale="log", xlim=(keys[0] / 1.25, keys[-1] * 1.25), ylim=(low, high))
        axes.set_title(name, fontsize=FONT, loc="left")
        _error_scale(axes.yaxis, low, high)
        _key_scale(axes.xaxis, keys, 72 * (cell[0] - 0.12))
        axes.tick_params(labelleft=column == 0, labelbottom=number + columns >= len(names))
    x, y = figure.get_figwidth(), figure.get_figheight()
    figure.text(0.12 / x, (below + cell[1] * rows / 2) / y, LABEL, rotation=90, va="center", ha="center", fontsize=FONT)
    title = f"number of keys; output {output_name(results.study, output)}"
    figure.text((_LEFT + cell[0] * columns / 2) / x, (below - 0.42) / y, title, ha="center", fontsize=FONT)
    _legend(figure, handles)
    return figure


def _errors(results: Results, output: Output, places: Sequence[Place]) -> Floats:
    """Mean errors by algorithm and place; NaN where one is not finite, or nothing to be relative to."""
    means = [[results.cell(output, name, place).mean for place in places] for name in results.algorithms]
    return np.array([[np.nan if mean is None else mean for mean in row] for row in means])


def _range(errors: Floats) -> tuple[float, float]:
    """The ends of a logarithmic scale for *errors*."""
    positive = errors[errors > 0]
    if not positive.size:
        return 1e-4, 1e-2
    return float(positive.min()) / 1.25, float(positive.max()) * 1.25


def _room_for_broken(axes: Axes, errors: Floats, low: float, high: float) -> float:
    """The right end of the scale: behind a grey band for what is not finite, if there is such."""
    if np.all(np.isfinite(errors)):
        return high
    end = float(high * (high / low) ** 0.12)
    axes.axvspan(high, end, color="0.88", linewidth=0, zorder=1)
    axes.annotate(
        "NaN", (np.sqrt(high * end), 1.0), xycoords=("data", "axes fraction"), xytext=(0, 2),
        textcoords="offset points", ha="center", va="bottom", fontsize=FONT,
    )  # fmt: skip
    return end


def _handles(results: Results, style: Literal["-", ""]) -> list[Line2D]:
    """How each algorithm looks, as entries of a legend, with lines of a *style*."""
    looks = zip(results.algorithms, cycle(PALETTE), cycle(_MARKERS))
    return [
        Line2D(
            [], [], color=colour, marker=marker, markersize=4.5, linewidth=1.0, linestyle=style,
            label=name.replace("$", r"\$"),
        )
        for name, colour, marker in looks
    ]


def _legend_columns(handles: Sequence[Line2D]) -> int:
    """Entries of the legend side by side."""
    widest = max(text_width(str(line.get_label()), FONT) for line in handles) + 5 * FONT
    return max(1, min(len(handles), int(72 * (_WIDTH - 0.2) / widest)))


def _legend_inches(handles: Sequence[Line2D]) -> float:
    return 0.17 * -(-len(handles) // _legend_columns(handles))


def _legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """The legend below everything."""
    figure.legend(
        handles=list(handles), loc="lower center", bbox_to_anchor=(0.5, 0.04 / figure.get_figheight()),
        ncols=_legend_columns(handles), fontsize=FONT, frameon=False, handlelength=1.8, columnspacing=1.4,
        borderaxespad=0.0, borderpad=0.0, labelspacing=0.25,
    )  # fmt: skip


def _axes(figure: Figure, box: tuple[float, float, float, float]) -> Axes:
    """Axes in a *box* of inches from the lower left corner, with a light grid."""
    width, height = figure.get_figwidth(), figure.get_figheight()
    axes = figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height))
    axes.tick_params(which="both", labelsize=FONT, length=3)
    axes.grid(color="0.9", linewidth=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return axes


def _error_scale(scale: Axis, low: float, high: float) -> None:
    """Plain numbers on a logarithmic scale of errors: powers of ten, and 2 and 5 times these on a short one."""
    ticks = LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 300 else (1.0,), numticks=12).tick_values(low, high)
    scale.set_major_locator(FixedLocator([value for value in ticks if low <= value <= high]))
    scale.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0e}"))
    scale.set_minor_formatter(NullFormatter())
    scale.set_minor_locator(NullLocator())


def _key_scale(scale: Axis, keys: Sequence[int], points: float) -> None:
    """The numbers of keys that were computed, in ascending order, as many as have room on so many *points*."""
    each = text_width("1024k", FONT)
    low, high = np.log(scale.get_view_interval())
    shown = [keys[0]]
    for one in keys[1:]:
        if points * np.log(one / shown[-1]) / (high - low) > each:
            shown.append(one)
    scale.set_major_locator(FixedLocator([float(one) for one in shown]))
    scale.set_major_formatter(FuncFormatter(lambda value, _: short_count(round(value))))
    scale.set_minor_locator(NullLocator())


def short_count(keys: int) -> str:
    """A number of keys in few letters, such as 64k."""
    return f"{keys // 1024}k" if keys >= 1024 and keys % 1024 == 0 else f"{keys}"
