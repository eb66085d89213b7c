"""Measured against simulated, and the errors, as a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ascend_sim.errors import ArgumentError, Diagnostic
from ascend_sim.report.files import write_bytes
from ascend_sim.validation.csv_file import counted
from ascend_sim.validation.data import Role
from ascend_sim.validation.run import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

BAND = 0.15
"""Relative error that the grey band of the picture allows."""
COLUMNS = 3
"""Units that are drawn side by side at most."""
CELL = (3.5, 5.0)
"""Inches for the two panels of a unit: width and height."""
PANELS = ((0.7, 2.5, 2.65, 2.2), (0.7, 0.45, 2.65, 1.5))
"""Left, bottom, width and height of the panels in their cell, in inches: of the values, of the errors."""
CAPTION = f"""Simulated against measured values, and the errors below
Grey: within {BAND:.0%}. Hollow: the chip was fitted on these rows
Ringed, named: the worst row, if outside the band
Errors at the edge of a panel are beyond it"""
CAPTION_INCHES, KEY_INCHES = 0.75, 0.2
"""Inches of the caption, and of a line of the key of symbols."""
# The colours of Okabe and Ito, which differ for colour-blind eyes too, and markers that differ besides.
STYLES = (
    ("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "D"), ("#CC79A7", "^"), ("#56B4E9", "v"), ("#E69F00", "p"),
)  # fmt: skip
BEYOND = 1.25
"""How much longer the axis of errors is than the error that nine tenths of the rows do not exceed."""
NAME = 36
"""Characters of a name that fit above a panel."""
Styles = Mapping[tuple[str, Role], tuple[str, str, str]]
"""Colour of the edge, colour of the face, and marker of a suite and role."""


def write_figure(path: Path, comparisons: Sequence[Comparison]) -> None:
    """Draw *comparisons* to *path*: for each unit simulated against measured values, log-log, and the errors below.

    Calibration rows are hollow, and an error beyond its axis is drawn at the end of it. Raise an ArgumentError if the
    file cannot be written or there is nothing to draw.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    done = [one for one in comparisons if one.simulated is not None]
    units = list(dict.fromkeys(one.row.unit for one in done))
    if not units:
        message = "there is nothing to draw: no row could be simulated; choose other rows, or drop --out"
        raise ArgumentError(Diagnostic(message, str(path)))
    styles = _styles(done)
    columns = min(COLUMNS, len(units))
    rows = math.ceil(len(units) / columns)
    key = KEY_INCHES * (math.ceil(len(styles) / columns) + 1)
    width, height = CELL[0] * columns, CELL[1] * rows + CAPTION_INCHES + key
    with mpl.rc_context({"font.size": 8, "axes.titlesize": 8}):
        figure = Figure(figsize=(width, height))
        for number, unit in enumerate(units):
            x, y = number % columns * CELL[0], key + (rows - 1 - number // columns) * CELL[1]
            values, errors = (
                figure.add_axes(((x + left) / width, (y + bottom) / height, wide / width, high / height))
                for left, bottom, wide, high in PANELS
            )
            own = [one for one in done if one.row.unit == unit]
            _draw_values(values, unit, own, styles)
            _name_worst(values, errors, own, _draw_errors(errors, unit, own, styles))
        figure.text(0.5, 1 - 0.1 / height, CAPTION, ha="center", va="top")
        _draw_key(figure, styles, done, columns)
        image = BytesIO()
        figure.savefig(image, dpi=150, format="png", metadata={"Software": None})
    write_bytes(path, image.getvalue())


def _styles(comparisons: Sequence[Comparison]) -> Styles:
    """How the rows of each suite and role look: alike in a suite, but hollow if they are for calibration."""
    suites = list(dict.fromkeys(one.row.suite for one in comparisons))
    found = {}
    for suite, role in dict.fromkeys((one.row.suite, one.row.role) for one in comparisons):
        colour, marker = STYLES[suites.index(suite) % len(STYLES)]
        found[suite, role] = colour, "none" if role is Role.CALIBRATION else colour, marker
    return found


def _draw_key(figure: Figure, styles: Styles, comparisons: Sequence[Comparison], columns: int) -> None:
    """What the symbols mean, below the panels."""
    from matplotlib.lines import Line2D

    handles = []
    for (suite, role), (colour, face, marker) in styles.items():
        count = sum((one.row.suite, one.row.role) == (suite, role) for one in comparisons)
        look = Line2D([], [], linestyle="", marker=marker, markersize=5, color=colour, markerfacecolor=face)
        look.set_label(f"{role.value}: {_short(suite)} ({counted(count, 'row')})")
        handles.append(look)
    for text in figure.legend(handles=handles, frameon=False, loc="lower center", ncols=columns).get_texts():
        text.set_parse_math(False)


def _draw_values(panel: Axes, unit: str, comparisons: Sequence[Comparison], styles: Styles) -> None:
    """Simulated against measured values."""
    ends = [value for one in comparisons for value in (one.row.measured, one.simulated) if value]
    line = [min(ends) / 1.6, max(ends) * 1.6]
    low, high = ([end * (1 + sign * BAND) for end in line] for sign in (-1, 1))
    panel.fill_between(line, low, high, color="0.88", linewidth=0)
    panel.plot(line, line, color="0.5", linewidth=0.8)
    _scatter(panel, comparisons, styles, [one.simulated or line[0] for one in comparisons])
    panel.set(xscale="log", yscale="log", xlim=line, ylim=line, ylabel=f"simulated ({unit})")
    for axis in (panel.xaxis, panel.yaxis):
        _tick(axis, line[1] / line[0])
    median = np.median([abs(one.error or 0.0) for one in comparisons])
    panel.set_title(f"{unit}: {counted(len(comparisons), 'row')}, median error {median:.1%}")


def _draw_errors(panel: Axes, unit: str, comparisons: Sequence[Comparison], styles: Styles) -> list[float]:
    """Errors in percent over the measured values; return at which heights they were drawn."""
    errors = 100 * np.array([one.error or 0.0 for one in comparisons])
    end = BEYOND * max(100 * BAND, float(np.percentile(np.abs(errors), 90)))
    measured = [one.row.measured for one in comparisons]
    values = [*measured, *(one.simulated for one in comparisons if one.simulated)]
    panel.axhspan(-100 * BAND, 100 * BAND, color="0.88", linewidth=0)
    panel.axhline(0, color="0.5", linewidth=0.8)
    heights: list[float] = np.clip(errors, -end, end).tolist()
    _scatter(panel, comparisons, styles, heights)
    limits = (min(values) / 1.6, max(values) * 1.6)
    panel.set(xscale="log", xlim=limits, ylim=(-end, end), xlabel=f"measured ({unit})", ylabel="error (%)")
    _tick(panel.xaxis, limits[1] / limits[0])
    return heights


def _name_worst(values: Axes, errors: Axes, comparisons: Sequence[Comparison], heights: Sequence[float]) -> None:
    """Ring the row with the largest error in both panels and name it between them, if it is outside the band.

    *heights* are those of the rows in the panel of errors.
    """
    worst, height = max(zip(comparisons, heights), key=lambda one: abs(one[0].error or 0.0))
    error = worst.error or 0.0
    if abs(error) <= BAND:
        return
    for panel, y in ((values, worst.simulated or values.get_ylim()[0]), (errors, height)):
        panel.scatter([worst.row.measured], [y], s=90, facecolors="none", edgecolors="black", clip_on=False)
    errors.set_title(f"{_short(worst.row.name)}: {error:+.0%}", pad=9).set_parse_math(False)


def _scatter(panel: Axes, comparisons: Sequence[Comparison], styles: Styles, heights: Sequence[float]) -> None:
    """The points of *comparisons*, in their styles, at *heights*."""
    for key, (colour, face, marker) in styles.items():
        chosen = [(one.row.suite, one.row.role) == key for one in comparisons]
        x = [one.row.measured for one in compress(comparisons, chosen)]
        y = list(compress(heights, chosen))
        panel.scatter(x, y, s=16, marker=marker, facecolors=face, edgecolors=colour, linewidths=0.8, clip_on=False)


def _tick(axis: Axis, ratio: float) -> None:
    """Plain numbers on a logarithmic axis: powers of ten, and 2 and 5 times these if its *ratio* of ends is small."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if ratio < 200 else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _short(name: str) -> str:
    return name if len(name) <= NAME else name[: NAME - 3] + "..."
