"""Errors over a grid of inputs, as a heat map for each algorithm."""

from __future__ import annotations

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, NullFormatter

from ascend_sim.report.style import ink_on
from ascend_sim.study.config import Output
from ascend_sim.study.inputs import Distribution
from ascend_sim.study.summary import Cell, Results, percent

FONT = 8.0
"""Points of all text."""
_CELL = (0.56, 0.3)
"""Inches of a cell."""
_COLUMNS = 3
"""Panels side by side at most."""
_LEFT, _ABOVE, _GAP = 0.5, 0.2, 0.2
"""Inches left of the first panel, above each one for its title, and between them."""
_HATCH = "////"


def grid_figure(results: Results, output: Output, family: Distribution) -> Figure:
    """A heat map for each algorithm over the two keys of *family* that hold several values.

    Cells hold the mean error at the greatest number of keys, dark being small; those with outputs that are NaN or
    infinite are hatched and hold their share.
    """
    (down, rows), (across, columns) = family.axes.items()
    cells = _cells(results, output, family)
    panels = min(_COLUMNS, len(cells))
    lines = -(-len(cells) // panels)
    size = len(columns) * _CELL[0], len(rows) * _CELL[1]
    broken = any(cell.broken for grid in cells.values() for cell in grid)
    below = 0.7 if broken else 0.45
    whole = _LEFT + panels * (size[0] + _GAP) + 0.65, below + lines * (size[1] + _ABOVE) + (lines - 1) * _GAP
    figure = Figure(figsize=whole)
    norm, palette = _norm(cells), mpl.colormaps["viridis"]
    for number, (name, grid) in enumerate(cells.items()):
        line, column = divmod(number, panels)
        bottom = below + (lines - 1 - line) * (size[1] + _ABOVE + _GAP)
        axes = _axes(figure, (_LEFT + column * (size[0] + _GAP), bottom, *size))
        axes.set(xlim=(0, len(columns)), ylim=(len(rows), 0))
        for place, cell in enumerate(grid):
            _draw(axes, cell, divmod(place, len(columns)), norm, palette)
        axes.set_title(name.replace("$", r"\$"), fontsize=FONT, loc="left", pad=3)
        lowest = number + panels >= len(cells)
        _ticks(axes, columns if lowest else None, rows if column == 0 else None)
        axes.set_ylabel(family.SYMBOLS[down] if column == 0 else "", fontsize=FONT)
        axes.set_xlabel(family.SYMBOLS[across] if lowest else "", fontsize=FONT)
    bar = _axes(figure, (whole[0] - 0.65 - 0.1, below, 0.12, whole[1] - below - _ABOVE))
    figure.colorbar(ScalarMappable(norm, palette), cax=bar, format=FuncFormatter(lambda value, _: f"{value:.0e}"))
    bar.yaxis.set_minor_formatter(NullFormatter())
    if norm.vmax is not None and norm.vmin is not None and norm.vmax < 10 * norm.vmin:  # perhaps without a power of ten
        bar.set_yticks([norm.vmin, norm.vmax], [f"{one:.1e}" for one in (norm.vmin, norm.vmax)])
    bar.tick_params(labelsize=FONT)
    bar.set_title("error", fontsize=FONT, pad=3)
    if broken:
        hatched = Patch(facecolor="0.95", edgecolor="0.5", hatch=_HATCH, linewidth=0)
        hatched.set_label("with NaN or infinite outputs, and their share")
        figure.legend(
            handles=[hatched], loc="lower center", bbox_to_anchor=(0.5, 0.05 / whole[1]), fontsize=FONT, frameon=False,
            borderaxespad=0.0,
        )  # fmt: skip
    return figure


def _cells(results: Results, output: Output, family: Distribution) -> dict[str, list[Cell]]:
    """For each algorithm the cells of *family*, line by line."""
    keys = max(results.study.shape.keys)
    inputs = list(family.inputs())
    return {
        name: [results.cell(output, name, (one.name, keys)) for one in inputs] for name in results.algorithms
    }  # fmt: skip


def _norm(cells: dict[str, list[Cell]]) -> LogNorm:
    """One scale of colours for all algorithms."""
    errors = [cell.mean for grid in cells.values() for cell in grid if cell.mean]
    low, high = (min(errors), max(errors)) if errors else (1e-4, 1e-2)
    return LogNorm(low, max(high, 2 * low))


def _axes(figure: Figure, box: tuple[float, float, float, float]) -> Axes:
    """Axes in a *box* of inches from the lower left corner."""
    width, height = figure.get_figwidth(), figure.get_figheight()
    return figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height))


def _draw(axes: Axes, cell: Cell, place: tuple[int, int], norm: LogNorm, palette: Colormap) -> None:
    """A cell at *place*, its line and column, with its error or the share of what is not finite."""
    line, column = place
    if cell.mean is None:
        face, text, ink = "0.95", f"NaN\n{percent(cell.broken)}" if cell.broken else "-", "black"
        hatch = _HATCH if cell.broken else None
        axes.add_patch(Rectangle((column, line), 1, 1, facecolor=face, edgecolor="0.75", hatch=hatch, linewidth=0))
    else:
        colour = palette(norm(max(cell.mean, norm.vmin or 0.0)))[:3]
        axes.add_patch(Rectangle((column, line), 1, 1, facecolor=colour, edgecolor="white", linewidth=0.5))
        text, ink = f"{cell.mean:.1e}".replace("e-0", "e-"), ink_on(colour)
    axes.text(column + 0.5, line + 0.5, text, ha="center", va="center", fontsize=FONT - 1, color=ink, linespacing=1.0)


def _ticks(axes: Axes, columns: tuple[float, ...] | None, rows: tuple[float, ...] | None) -> None:
    """Values below the columns and beside the rows, where there are to be any."""
    axes.set_xticks([n + 0.5 for n in range(len(columns or ()))], [f"{value:g}" for value in columns or ()])
    axes.set_yticks([n + 0.5 for n in range(len(rows or ()))], [f"{value:g}" for value in rows or ()])
    axes.tick_params(labelsize=FONT, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
