"""The roofline of one or several kernels: lines for people, and a figure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ascend_sim.errors import ArgumentError
from ascend_sim.observe.roofline import BYTES, FLOPS, L2, VECTOR, Place, Roof
from ascend_sim.report.style import PALETTE

SIZE = (7.0, 4.6)
"""Inches of the figure: the text width of a page."""
MARGINS = (0.65, 0.15, 0.3, 0.75)
"""Inches to the left, to the right, above and below the axes."""
FONT = 8.0
"""Points of all text."""
LEADING = 1.2
"""Height of a line of text, in sizes of the font."""
MARKERS = ("o", "s", "D", "^", "v", "p")
"""Besides their colours kernels differ in these."""
DASHES = {L2: (6.0, 2.0), VECTOR: (8.0, 1.5, 1.5, 1.5)}
SOLID = (1.0, 0.0)
"""Strokes and gaps of roofs in widths of the line; those of compute units are thicker."""
GREYS = ("0.1", "0.45", "0.65")
"""Greys of the roofs of the first chip, of the second, and of all others."""
_RATES = {FLOPS: "TFLOPS", BYTES: "TB/s"}
_OTHER_RATE = "TOPS"
"""What 1e12 element operations a second are called."""

INK = (0.1, 0.1, 0.1)
Colour = tuple[float, ...]
WORSE = 10.0
"""How much worse it is to write over a marker or a text than over a line."""
OVER_ROOF = 3.0
"""How much worse it is to write over a roof than over the line of a kernel."""
LATER = 4.0
"""Square points of crowding that a place further down the list of choices must be better by."""
Box = tuple[float, float, float, float]
"""Left, bottom, right and top in points from the lower left corner of the axes."""


def lines(place: Place) -> Iterator[str]:
    """The place of a kernel in words: its rate, then for each roof what it allows and how much of it is reached."""
    counted = "useful FLOPs" if place.unit == FLOPS else "element operations"
    yield f"{place.label} ({place.program} on {place.chip}): {_rate(place.rate, place.unit)}, counting {counted}"
    heads = ("roof", "limit", "intensity", "allows", "reached", "ridge")
    cells = [heads, *(_cells(place, roof) for roof in place.roofs)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        parts = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        yield "  ".join(parts).rstrip()
    yield f"nearest roof: {_name(place.binding)}, {_percent(place.binding)} of it reached"


def _cells(place: Place, roof: Roof) -> tuple[str, ...]:
    used = roof.intensity < math.inf
    intensity = f"{roof.intensity:.4g} {place.unit}/{roof.unit}" if used else "unused"
    return (
        _name(roof),
        _rate(roof.limit, roof.unit),
        "" if roof is place.compute else intensity,
        _rate(roof.bound, place.unit) if used else "",
        _percent(roof),
        f"{place.ridge(roof):.4g} {place.unit}/B" if roof.unit == BYTES else "",
    )


def _name(roof: Roof) -> str:
    return f"{roof.name} {roof.detail}".rstrip()


def _rate(value: float, unit: str) -> str:
    return f"{value / 1e12:.4g} {_RATES.get(unit, _OTHER_RATE)}"


def _percent(roof: Roof) -> str:
    return f"{100 * roof.share:.3g} %"


def roofline_figure(places: Sequence[Place]) -> Figure:
    """Draw *places* below the roofs of their chips, on logarithmic axes.

    A kernel has a filled marker at its operations for each byte of HBM and a hollow one at those for each byte of L2,
    and a dotted line to the roof that it comes nearest to. Raise an ArgumentError if there is nothing to draw, or for
    a kernel without operations or without moves, which has no intensity.
    """
    if not places:
        raise ArgumentError("there is nothing to draw below the roofs; give one result at least")
    for place in places:
        if not _points(place):
            message = "does no operations that count, or moves no bytes, so that it has no intensity"
            raise ArgumentError(f"{place.label}: {message}; leave it out of the figure")
    left, right, above, below = MARGINS
    width, height = SIZE
    inner = (width - left - right, height - above - below)
    figure = Figure(figsize=SIZE)
    axes = figure.add_axes((left / width, below / height, inner[0] / width, inner[1] / height))
    _frame(axes, places)
    canvas = _Canvas(axes, inner)
    chips = list(dict.fromkeys(place.chip for place in places))
    for number, chip in enumerate(chips):
        own = [place for place in places if place.chip == chip]
        _draw_roofs(canvas, own, GREYS[min(number, len(GREYS) - 1)])
    looks = list(zip(PALETTE, MARKERS, strict=False))
    styled = [(place, *looks[number % len(looks)]) for number, place in enumerate(places)]
    for place, colour, marker in styled:
        _draw_place(canvas, place, colour, marker)
    for chip in chips:
        _name_roofs(canvas, [place for place in places if place.chip == chip], f" ({chip})" if len(chips) > 1 else "")
    for place, colour, _ in styled:
        _name_place(canvas, place, colour)
    if len(chips) == 1:
        axes.set_title(chips[0], loc="left", fontsize=FONT + 1)
    _draw_key(figure)
    return figure


def _points(place: Place) -> list[tuple[Roof, float]]:
    """The memories that the kernel uses, and its operations for each byte of them."""
    return [(one, one.intensity) for one in place.memories if 0 < one.intensity < math.inf]


def _frame(axes: Axes, places: Sequence[Place]) -> None:
    """Axes that hold all places and ridges, with room for the labels."""
    intensities = [intensity for place in places for _, intensity in _points(place)]
    intensities += [place.ridge(memory) for place in places for memory in place.memories]
    limits = [place.compute.limit / 1e12 for place in places]
    lowest = min(place.rate / 1e12 for place in places)
    axes.set(xscale="log", yscale="log")
    axes.set_xlim(min(intensities) / 3, max(intensities) * 5)
    axes.set_ylim(lowest / 4, max(limits) * 2.5)
    units = dict.fromkeys(place.unit for place in places)
    counted = " or ".join("FLOP" if unit == FLOPS else "element operations" for unit in units)
    rates = "; ".join("TFLOPS" if unit == FLOPS else f"{_OTHER_RATE} of element operations" for unit in units)
    axes.set_xlabel(f"operational intensity ({counted} per byte)", fontsize=FONT)
    axes.set_ylabel(f"performance ({rates})", fontsize=FONT)
    axes.tick_params(which="both", labelsize=FONT, direction="in", top=True, right=True)
    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 300 else (1.0,), numticks=20))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(color="0.92", linewidth=0.5)
    axes.set_axisbelow(True)


class _Spot(NamedTuple):
    """A place for a text of *wide* x *high* points, its lower left corner at (x, y), turned by *angle* degrees."""

    x: float
    y: float
    wide: float
    high: float
    angle: float = 0.0

    def boxes(self) -> list[Box]:
        """Boxes that cover the text."""
        if not self.angle:
            return [(self.x, self.y, self.x + self.wide, self.y + self.high)]
        slope = math.radians(self.angle)
        steps, half = max(1, round(self.wide / self.high)), 0.42 * self.high
        found = []
        for step in range(steps):
            along = self.wide * (step + 0.5) / steps
            x = self.x + along * math.cos(slope) - self.high / 2 * math.sin(slope)
            y = self.y + along * math.sin(slope) + self.high / 2 * math.cos(slope)
            found.append((x - half, y - half, x + half, y + half))
        return found


class _Canvas:
    """The axes, and which parts of them are taken, so that a label finds a free place."""

    def __init__(self, axes: Axes, inches: tuple[float, float]) -> None:
        self.axes = axes
        self._low = axes.get_xlim()[0], axes.get_ylim()[0]
        self._points = tuple(
            72 * size / math.log10(high / low)
            for size, (low, high) in zip(inches, (axes.get_xlim(), axes.get_ylim()), strict=True)
        )
        self.size = 72 * inches[0], 72 * inches[1]
        self._taken: list[tuple[Box, float]] = []

    @property
    def angle(self) -> float:
        """Degrees at which a memory's roof rises."""
        return math.degrees(math.atan2(self._points[1], self._points[0]))

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where (x, y) lies, in points from the lower left corner."""
        across, up = (each * math.log10(v / low) for each, v, low in zip(self._points, (x, y), self._low, strict=True))
        return across, up

    def line(self, begin: tuple[float, float], end: tuple[float, float], weight: float = 1.0) -> None:
        """Take the places along the line from *begin* to *end*; *weight* is how bad it is to write over it."""
        (x0, y0), (x1, y1) = self.at(*begin), self.at(*end)
        steps = max(1, round(math.hypot(x1 - x0, y1 - y0) / 3))
        for step in range(steps + 1):
            x, y = x0 + (x1 - x0) * step / steps, y0 + (y1 - y0) * step / steps
            self._taken.append(((x - 1, y - 1, x + 1, y + 1), weight))

    def marker(self, x: float, y: float) -> None:
        """Take the place of a marker at (x, y)."""
        across, up = self.at(x, y)
        self._taken.append(((across - 5, up - 5, across + 5, up + 5), WORSE))

    def write(self, text: str, spots: Sequence[_Spot], colour: Colour = INK) -> None:
        """Write *text* at the least crowded of *spots*; the first ones are preferred to the last."""
        _, best = min(enumerate(spots), key=lambda one: self._crowding(one[1].boxes()) + LATER * one[0])
        self._taken += [(box, WORSE) for box in best.boxes()]
        label = self.axes.annotate(
            text, (0, 0), xycoords="axes points", xytext=(best.x, best.y), textcoords="axes points", fontsize=FONT,
            color=colour, rotation=best.angle, rotation_mode="anchor", ha="left", va="bottom", zorder=5,
            linespacing=LEADING, bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip
        label.set_parse_math(False)

    def _crowding(self, boxes: Sequence[Box]) -> float:
        """How much of *boxes* is taken or outside of the axes: square points by how bad that is."""
        total = 0.0
        for x0, y0, x1, y1 in boxes:
            width = min(x1, self.size[0] - 2) - max(x0, 2)
            height = min(y1, self.size[1] - 2) - max(y0, 2)
            total += WORSE * ((x1 - x0) * (y1 - y0) - max(width, 0.0) * max(height, 0.0))
            for (left, bottom, right, top), weight in self._taken:
                common = max(min(x1, right) - max(x0, left), 0.0) * max(min(y1, top) - max(y0, bottom), 0.0)
                total += weight * common
        return total


def _roofs(places: Sequence[Place]) -> tuple[list[Roof], list[Roof]]:
    """The roofs of compute units and of memories above *places* on one chip, each once."""
    compute = {(one.compute.name, one.compute.limit): one.compute for one in places}
    memory = {(one.name, one.limit): one for place in places for one in place.memories}
    return list(compute.values()), list(memory.values())


def _draw_roofs(canvas: _Canvas, places: Sequence[Place], grey: str) -> None:
    """The roofs of one chip: rising for memories, up to the highest of the level ones, which are for units."""
    compute, memory = _roofs(places)
    (left, right), highest = canvas.axes.get_xlim(), max(roof.limit for roof in compute)
    for roof in memory:
        ends = [left, highest / roof.limit]
        heights = [x * roof.limit / 1e12 for x in ends]
        canvas.axes.plot(ends, heights, color=grey, linewidth=1.1, dashes=DASHES.get(roof.name, SOLID), zorder=2)
        canvas.line((ends[0], heights[0]), (ends[1], heights[1]), OVER_ROOF)
    for roof in compute:
        ends = [min(roof.limit / one.limit for one in memory), right]
        heights, dashes = [roof.limit / 1e12] * 2, DASHES.get(roof.name, SOLID)
        canvas.axes.plot(ends, heights, color=grey, linewidth=1.8, dashes=dashes, zorder=2)
        canvas.line((ends[0], heights[0]), (ends[1], heights[1]), OVER_ROOF)


def _draw_place(canvas: _Canvas, place: Place, colour: str, marker: str) -> None:
    """The markers of one kernel, and the dotted line from it to what the roof that binds allows."""
    points, rate, height = _points(place), place.rate / 1e12, place.binding.bound / 1e12
    x = next((intensity for memory, intensity in points if memory is place.binding), points[-1][1])
    canvas.axes.plot([x, x], [rate, height], color=colour, linewidth=1.2, linestyle=":", zorder=3)
    canvas.axes.plot([x], [height], color=colour, linestyle="", marker="_", markersize=7, zorder=3)
    canvas.axes.plot([one for _, one in points], [rate] * len(points), color=colour, linewidth=0.8, zorder=3)
    canvas.line((x, rate), (x, height))
    canvas.line((points[0][1], rate), (points[-1][1], rate))
    for memory, intensity in points:
        face = "white" if memory.name == L2 else colour
        canvas.axes.plot(
            [intensity], [rate], color=colour, linestyle="", marker=marker, markersize=5.5, markerfacecolor=face,
            zorder=6,
        )  # fmt: skip
        canvas.marker(intensity, rate)


def _name_roofs(canvas: _Canvas, places: Sequence[Place], ending: str) -> None:
    """The name and the limit of each roof of one chip, on its line."""
    compute, memory = _roofs(places)
    left, right = canvas.axes.get_xlim()
    slope = math.radians(canvas.angle)
    for roof in memory:
        text = f"{roof.name} {_rate(roof.limit, roof.unit)}{ending}"
        wide, high = _extent(text)
        ends = [canvas.at(x, x * roof.limit / 1e12) for x in (left, max(one.limit for one in compute) / roof.limit)]
        first, last = max(ends[0][0], ends[0][0] - ends[0][1] / math.tan(slope)), ends[1][0]
        spots = []
        for lift, share in product((4.0, -4.0 - high), (0.04, 0.1, 0.2, 0.3, 0.45, 0.6)):
            across = first + share * (last - first)
            up = ends[0][1] + (across - ends[0][0]) * math.tan(slope)
            x, y = across - lift * math.sin(slope), up + lift * math.cos(slope)
            spots.append(_Spot(x, y, wide, high, canvas.angle))
        canvas.write(text, spots)
    for roof in compute:
        text = f"{_name(roof)} {_rate(roof.limit, roof.unit)}{ending}"
        wide, high = _extent(text)
        across, up = canvas.at(right, roof.limit / 1e12)
        spots = [
            _Spot(across - wide - back, up + lift, wide, high)
            for lift, back in product((4.0, -4.0 - high), (8.0, 40.0, 80.0, 120.0, 160.0))
        ]
        canvas.write(text, spots)


def _name_place(canvas: _Canvas, place: Place, colour: str) -> None:
    """What the kernel is called, its rate, and how much of which roof that is."""
    text = f"{place.label}\n{_rate(place.rate, place.unit)}, {_percent(place.binding)} of {place.binding.name}"
    wide, high = _extent(text)
    points = [canvas.at(intensity, place.rate / 1e12) for _, intensity in _points(place)]
    (first, up), (last, _) = points[0], points[-1]
    middle = (first + last - wide) / 2
    spots = [
        _Spot(x, y, wide, high)
        for x, y in (
            (last + 7, up - high / 2), (middle, up - high - 7), (first - wide - 7, up - high / 2), (middle, up + 7),
            (last + 7, up - high - 4), (last + 7, up + 4), (first - wide - 7, up - high - 4), (first - wide, up + 4),
            (last + 7, up - 2 * high), (middle, up - 2 * high - 7), (middle, up - 3 * high - 7),
        )
    ]  # fmt: skip
    # Pale colours are hard to read as text.
    canvas.write(text, spots, tuple(0.7 * part for part in to_rgb(colour)))


def _extent(text: str) -> tuple[float, float]:
    """Points that *text* is wide and high."""
    rows = text.replace("$", r"\$").split("\n")
    widths = [TextPath((0, 0), row, size=FONT).get_extents().width for row in rows if row.strip()]
    return max(widths), LEADING * FONT * len(rows)


def _draw_key(figure: Figure) -> None:
    """What the markers and the dotted line mean, below the axes."""
    handles = [
        Line2D([], [], color="0.3", linestyle="", marker="o"),
        Line2D([], [], color="0.3", linestyle="", marker="o", markerfacecolor="white"),
        Line2D([], [], color="0.3", linestyle=":"),
    ]
    labels = ("operations per byte of HBM", "operations per byte of L2", "to the nearest roof, and what it allows")
    figure.legend(handles, labels, loc="lower center", ncols=3, frameon=False, fontsize=FONT)
