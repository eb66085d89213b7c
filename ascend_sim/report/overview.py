"""The whole chip at a glance: a row for each core, time from left to right, colour for how busy its main pipe was.

Rows are grouped by die and kind of core. A core that was simulated for others has its colours in their rows, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ascend_sim.config import Chip
from ascend_sim.isa.words import CoreKind, Pipe
from ascend_sim.kernel.program import CoreId
from ascend_sim.observe.timeline import LANES, Recording
from ascend_sim.report.cores import working_cores
from ascend_sim.report.lanes import Doing, cycles_per_column, pipe_lane
from ascend_sim.report.page import (
    EDGE,
    LEFT,
    PLOT,
    RIGHT,
    SMALL,
    TEXT,
    WIDTH,
    Entry,
    Page,
    cycles_per_us,
    percent,
    title_lines,
)
from ascend_sim.report.result import RunResult
from ascend_sim.report.shapes import column_edges
from ascend_sim.report.trace import process_name
from ascend_sim.report.views import View

MAIN = {CoreKind.AIC: Pipe.M, CoreKind.AIV: Pipe.V}
"""The pipe of each kind of core that does the work it is made for."""

ROW, HEADING, BETWEEN = 3.6, 13.0, 5.0
"""Points of a row, of the line above a group, and below it."""
_COLOURS = "viridis"
_UNUSED = "0.93"
_BAR = 150.0


@dataclass(frozen=True, eq=False)
class Group:
    """The cores of one *kind* on one *die*, in order, and for each the share of every column that its main pipe works.

    *shares* has shape (cores, columns), NaN for cores without instructions, and *busy* the share of the whole window.
    """

    die: int
    kind: CoreKind
    cores: tuple[CoreId, ...]
    shares: NDArray[np.float64]
    busy: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """The mean busy share of the cores that had work."""
        return float(np.nanmean(self.busy))


def groups_of(recording: Recording, view: View, edges: NDArray[np.int64]) -> list[Group]:
    """All cores of the chip by die and kind, without kinds that the run does not use."""
    cycles: dict[int, NDArray[np.int64]] = {}
    found: dict[str, NDArray[np.int64]] = {}
    kinds = set()
    for core in working_cores(recording):
        if not core.timeline.worked:
            continue
        number = core.timeline.number
        if number not in cycles:
            work = pipe_lane(core.timeline, MAIN[core.id.kind]).doing(Doing.WORK)
            cycles[number] = cycles_per_column(work.begins, work.ends, edges)
        found[core.name] = cycles[number]
        kinds.add((core.id.die, core.id.kind))
    groups = []
    width, unused = np.diff(edges), np.full(edges.size - 1, np.nan)
    for die, kind in sorted(kinds, key=lambda one: (one[0], one[1].value)):
        cores = _cores_of(recording.chip, die, kind)
        known = [found.get(process_name(core, recording.chip)) for core in cores]
        shares = np.array([unused if one is None else one / width for one in known])
        busy = np.array([np.nan if one is None else one.sum() / view.cycles for one in known])
        groups.append(Group(die, kind, cores, shares, busy))
    return groups


def _cores_of(chip: Chip, die: int, kind: CoreKind) -> tuple[CoreId, ...]:
    subs = 1 if kind is CoreKind.AIC else chip.cores.aiv_per_aic.value
    groups = range(chip.cores.aic_per_die.value)
    return tuple(CoreId(die, group, kind, sub) for group in groups for sub in range(subs))


def overview_figure(recording: Recording, result: RunResult, view: View, *, command: str | None = None) -> Figure:
    """Draw how busy the main pipe of every core of the chip is, over the window of *view*."""
    edges = column_edges(view.begin, view.end, PLOT)
    groups = groups_of(recording, view, edges)
    heights = [HEADING + ROW * len(group.cores) + BETWEEN for group in groups]
    per_us = cycles_per_us(recording.chip)
    title = title_lines(result, view, per_us)
    entries = []
    if any(np.isnan(group.busy).any() for group in groups):
        entries.append(Entry("core without work", {"facecolor": _UNUSED, "edgecolor": "0.7", "linewidth": 0.5}))
    page = Page(sum(heights), view, per_us, title, entries, (), command, legend_height=26.0)
    page.write(WIDTH - EDGE, page.top - 5.0, "busy", ha="right", va="bottom")
    top = 0.0
    for group, height in zip(groups, heights, strict=True):
        _draw_group(page, group, top, edges, recording.chip)
        top += height
    _draw_colour_bar(page)
    return page.figure


def _draw_group(page: Page, group: Group, top: float, edges: NDArray[np.int64], chip: Chip) -> None:
    first, last = top + HEADING, top + HEADING + ROW * len(group.cores)
    colours = mpl.colormaps[_COLOURS].with_extremes(bad=_UNUSED)
    extent = (float(edges[0]), float(edges[-1]), last, first)
    page.axes.imshow(
        group.shares, cmap=colours, vmin=0.0, vmax=1.0, extent=extent, aspect="auto", interpolation="nearest",
    )  # fmt: skip
    kind = "cube cores" if group.kind is CoreKind.AIC else "vector cores"
    used = int(np.isfinite(group.busy).sum())
    about = f"die {group.die}, {kind}: {LANES[MAIN[group.kind]]} of {used} cores"
    page.write(EDGE, page.top + first - 4.0, about, TEXT, weight="bold", va="baseline")
    mean = percent(group.mean)
    page.write(WIDTH - EDGE, page.top + first - 4.0, mean, ha="right", va="baseline", weight="bold")
    named = [row for row, core in enumerate(group.cores) if core.group % 8 == 0 and core.sub == 0]
    for row in named:
        name = process_name(group.cores[row], chip).partition(".")[0]
        page.write(LEFT - 6.0, page.top + first + ROW * (row + 0.5), name, SMALL, ha="right", va="center_baseline")
    _draw_busy(page, group, page.top + first)


def _draw_busy(page: Page, group: Group, top: float) -> None:
    """A bar for each core: the share of the window in which its main pipe works."""
    left, room = WIDTH - RIGHT + 8.0, RIGHT - 8.0 - EDGE
    page.patch(left, top, room, ROW * len(group.cores), facecolor="0.95", linewidth=0.0)
    for row, share in enumerate(group.busy.tolist()):
        if share > 0:
            page.patch(left, top + ROW * row + 0.4, room * share, ROW - 0.8, facecolor="0.35", linewidth=0.0)


def _draw_colour_bar(page: Page) -> None:
    """What the colours mean, below the axes at the right."""
    left, top = WIDTH - RIGHT - _BAR, page.legend_top
    steps: Sequence[int] = range(100)
    colours = mpl.colormaps[_COLOURS]
    for step in steps:
        x = left + _BAR * step / len(steps)
        page.patch(x, top, _BAR / len(steps) + 0.3, 8.0, facecolor=colours((step + 0.5) / len(steps)), linewidth=0.0)
    for share in (0, 50, 100):
        page.write(left + _BAR * share / 100, top + 11.0, f"{share} %", ha="center", va="top")
    page.write(left - 6.0, top + 4.0, "share of the time that the pipe works", ha="right", va="center_baseline")
