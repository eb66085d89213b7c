"""The frame of figures over time: title, two time axes, legend, and at the foot the command that draws it again.

Everything is measured in points from the upper left corner, so that texts can be placed where they fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ascend_sim.config import Chip
from ascend_sim.report.result import RunResult
from ascend_sim.report.style import SLACK, text_width
from ascend_sim.report.views import View

WIDTH = 704.0
LEFT, RIGHT = 52.0, 70.0
"""Points of the page, and of its margins beside the axes."""
TITLE, TEXT, SMALL = 10.0, 7.5, 6.5
"""Sizes of texts in points."""
DPI = 180
PLOT = WIDTH - LEFT - RIGHT
EDGE = 8.0
"""Points between the edge of the page and texts."""

_CYCLES, _US = "cycles", "µs"
_TICK, _PAD = 3.0, 5.0
"""Points of a tick, and from an axis to its texts."""
_LEADING = 1.35
_SWATCH, _GAP = 18.0, 14.0


class Entry(NamedTuple):
    """A line of the legend: how its patch looks, and what that means."""

    label: str
    patch: dict[str, Any]


class Page:
    """A figure for axes of *plot_height* points: *title* above, *entries* of a legend and *notes* below.

    *axes* has the window of *view* across, in cycles, and the points from its upper edge down. It begins *top* points
    below the edge of the page, the legend *legend_top*; the legend has *legend_height* points at least.
    """

    def __init__(
        self, plot_height: float, view: View, per_us: float, title: Sequence[str], entries: Iterable[Entry],
        notes: Sequence[str], command: str | None, legend_height: float = 0.0,
    ) -> None:  # fmt: skip
        heads = [line for text in title[1:] for line in wrapped(text, WIDTH - 2 * EDGE, TEXT)]
        rows = _rows(entries)
        feet = [line for text in notes for line in wrapped(text, WIDTH - 2 * EDGE, SMALL)]
        command_lines = wrapped(command, WIDTH - 2 * EDGE, SMALL) if command else []
        top = EDGE + TITLE * _LEADING + len(heads) * TEXT * _LEADING + 20.0
        legend = top + plot_height + 24.0
        foot = legend + max(len(rows) * 13.0, legend_height) + 2.0
        self.height = foot + (len(feet) + len(command_lines)) * SMALL * _LEADING + EDGE
        self.figure = Figure(figsize=(WIDTH / 72, self.height / 72))
        self._paper = self._add_axes(0.0, 0.0, WIDTH, self.height)
        self._paper.set(xlim=(0.0, WIDTH), ylim=(self.height, 0.0))
        self._paper.axis("off")
        self._paper.set_zorder(1)  # texts of the margins may reach into the axes
        self.top, self.legend_top = top, legend
        self.axes = self._add_axes(LEFT, top, PLOT, plot_height)
        self.axes.set(xlim=(view.begin, view.end), ylim=(plot_height, 0.0))
        _time_axes(self.axes, view, per_us)
        self.write(EDGE, top - _PAD, _CYCLES, va="bottom")
        self.write(EDGE, top + plot_height + _PAD, _US, va="top")
        self._write_lines(title[:1], EDGE, TITLE, weight="bold")
        self._write_lines(heads, EDGE + TITLE * _LEADING + 1.0, TEXT)
        self._draw_legend(rows, legend)
        self._write_lines(feet, foot, SMALL, color="0.3")
        self._write_lines(command_lines, foot + len(feet) * SMALL * _LEADING, SMALL, color="0.3")

    def write(self, x: float, y: float, text: str, size: float = TEXT, **style: Any) -> None:
        """Write *text* at a place of the page."""
        self._paper.text(x, y, text, fontsize=size, parse_math=False, **style)

    def patch(self, x: float, y: float, width: float, height: float, **style: Any) -> None:
        """Draw a rectangle with its upper left corner at a place of the page."""
        self._paper.add_patch(Rectangle((x, y), width, height, **style))

    def _add_axes(self, left: float, top: float, width: float, height: float) -> Axes:
        below = self.height - top - height
        return self.figure.add_axes((left / WIDTH, below / self.height, width / WIDTH, height / self.height))

    def _write_lines(self, lines: Sequence[str], top: float, size: float, **style: Any) -> None:
        for number, line in enumerate(lines):
            self.write(EDGE, top + number * size * _LEADING, line, size, va="top", **style)

    def _draw_legend(self, rows: Sequence[Sequence[Entry]], top: float) -> None:
        for number, row in enumerate(rows):
            x, y = EDGE, top + 13.0 * number
            for entry in row:
                self.patch(x, y, _SWATCH, 8.0, **entry.patch)
                self.write(x + _SWATCH + 4.0, y + 4.0, entry.label, va="center_baseline")
                x += _entry_width(entry)


def title_lines(result: RunResult, view: View, per_us: float) -> list[str]:
    """Program, chip, time and rate of a run; then the window and what bounds the run."""
    title = f"{result.program} on {result.chip}: {result.time_us:,.1f} µs"
    if result.tflops > 0:
        title += f", {result.tflops:.4g} TFLOPS"
    if result.flops_utilization > 0:
        title += f", {100 * result.flops_utilization:.3g} % of the peak"
    return [title, f"{described(view, per_us)}   ·   whole run bound by {result.bound_by}"]


def described(view: View, per_us: float) -> str:
    """The window in words."""
    name = f"view {view.name}: " if view.name else ""
    digits = max(2, 1 - math.floor(math.log10(view.cycles / per_us)))  # enough to tell begin and end apart
    return f"{name}{view.begin / per_us:,.{digits}f} to {view.end / per_us:,.{digits}f} µs since the launch"


def wrapped(text: str, room: float, size: float) -> list[str]:
    """*text* in lines of at most *room* points, broken between words."""
    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and SLACK * text_width(longer, size) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def percent(share: float) -> str:
    """*share* in words, with a digit after the point where it is small."""
    return f"{100 * share:.0f} %" if share >= 0.0995 or not share else f"{100 * share:.1f} %"


def cycles_per_us(chip: Chip) -> float:
    """Cycles of a microsecond at the chip's clock."""
    return chip.cycles_per_second / 1e6


def _rows(entries: Iterable[Entry]) -> list[list[Entry]]:
    """The entries of a legend, as many in a row as fit."""
    rows: list[list[Entry]] = []
    used = 0.0
    for entry in entries:
        width = _entry_width(entry)
        if not rows or used + width - _GAP > WIDTH - 2 * EDGE:
            rows.append([])
            used = 0.0
        rows[-1].append(entry)
        used += width
    return rows


def _entry_width(entry: Entry) -> float:
    return _SWATCH + 4.0 + SLACK * text_width(entry.label, TEXT) + _GAP


def _time_axes(axes: Axes, view: View, per_us: float) -> None:
    """Cycles at the upper edge, microseconds at the lower one."""
    axes.xaxis.tick_top()
    axes.set_yticks([])
    axes.set_axisbelow(True)
    below = axes.secondary_xaxis("bottom", functions=_scaled(per_us))
    for axis, scale, unit in ((axes.xaxis, 1.0, _CYCLES), (below.xaxis, per_us, _US)):
        axis.set_major_locator(MaxNLocator(nbins=9, steps=[1, 2, 5, 10], integer=unit == _CYCLES))
        axis.set_major_formatter(FuncFormatter(_written_beside(unit, view, scale)))
        axis.set_tick_params(labelsize=TEXT, length=_TICK, width=0.6, pad=_PAD - _TICK)
    for spine in (*axes.spines.values(), *below.spines.values()):
        spine.set_linewidth(0.6)
    for side in ("left", "right"):
        axes.spines[side].set_visible(False)


def _scaled(per_us: float) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """From cycles to microseconds, and back."""
    return lambda cycles: cycles / per_us, lambda us: us * per_us


def _written_beside(unit: str, view: View, scale: float) -> Callable[[float, int | None], str]:
    """How a tick of *scale* cycles for each *unit* is written: not at all where it would run into the unit."""
    taken = EDGE + SLACK * text_width(unit, TEXT) + 3.0

    def write(value: float, _: int | None) -> str:
        text = f"{value:,.6f}".rstrip("0").rstrip(".")
        middle = LEFT + PLOT * (value * scale - view.begin) / view.cycles
        return text if middle - SLACK * text_width(text, TEXT) / 2 >= taken else ""

    return write
