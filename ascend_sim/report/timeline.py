"""The pipeline timeline: a lane for each pipe, with what it worked on, and what it waited for when it did not work.

A stage has a colour and a hatch. Above the slices of a lane stands which call of which stage they belong to. Waits hang
from the upper edge of a lane at half its height. Slices too narrow to be drawn by themselves are summed up: the height
of the area is then the share of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, PathPatch
from matplotlib.path import Path
from numpy.typing import NDArray

from ascend_sim.observe.facts import PIPES
from ascend_sim.observe.timeline import LANES, CoreTimeline, Recording
from ascend_sim.report.arrows import Arrow
from ascend_sim.report.cores import ShownCore
from ascend_sim.report.lanes import Doing, Lane, Spans, cycles_per_column, lanes_of, spans_of, wordings
from ascend_sim.report.page import (
    EDGE,
    LEFT,
    PLOT,
    RIGHT,
    TEXT,
    WIDTH,
    Entry,
    Page,
    cycles_per_us,
    percent,
    title_lines,
)
from ascend_sim.report.result import RunResult
from ascend_sim.report.shapes import NARROW, boxes, column_edges, fitting, narrowest, steps
from ascend_sim.report.stages import INLINE, display_name, numbered_stages, stage_names
from ascend_sim.report.style import NEUTRAL, SLACK, Colour, ink_on, look, text_width, tint
from ascend_sim.report.trace import process_name
from ascend_sim.report.views import View

HEADING, PITCH = 14.0, 25.0
"""Points of the line that names a core, and from one of its lanes to the next."""
STAGES, BAND = 8.5, 13.0
"""Points of the row of stages in a lane, and of the slices below it."""
HANGING = 0.5
"""Share of the height of a lane that waits take."""
LABEL, WORD = 6.5, 5.5
"""Sizes of the labels of stages and of slices in points."""
_GAUGE = 24.0
"""Points of a busy share of 100 %."""
_INK = "0.15"
_SUMMED = (
    "Instructions too narrow to be drawn by themselves are summed up: the height of the area is the share of the time."
)
_ARROWS = "Arrows lead from the end of a set_flag to the end of the wait that it releases."

_LOOKS: dict[Doing, tuple[str, dict[str, Any]]] = {
    Doing.WAIT_PIPE: ("waits for another pipe", {"facecolor": "0.84", "edgecolor": "0.4"}),
    Doing.WAIT_CORE: ("waits for another core", {"facecolor": "white", "edgecolor": "0.3", "hatch": "xxxxxx"}),
    Doing.WAIT_RESULTS: ("waits for own results", {"facecolor": "white", "edgecolor": "0.45", "hatch": "||||||"}),
    Doing.WAIT_QUEUE: ("waits for a full queue", {"facecolor": "0.94", "edgecolor": "0.75"}),
    Doing.SET_FLAG: ("sets a flag", {"facecolor": "0.2", "edgecolor": "0.2"}),
    Doing.LAUNCH: ("launch", {"facecolor": "white", "edgecolor": "0.6", "hatch": "//////"}),
}


@dataclass(frozen=True, eq=False)
class _Row:
    """A lane to draw: *top* points below the upper edge of the axes, *lane* cut to the window, *spans* of its calls."""

    top: float
    lane: Lane
    spans: Spans

    @property
    def high(self) -> float:
        """Where waits hang from."""
        return self.top + STAGES

    @property
    def low(self) -> float:
        """Where work stands."""
        return self.top + STAGES + BAND

    @property
    def middle(self) -> float:
        """Half way between."""
        return self.top + STAGES + BAND / 2


def timeline_figure(
    recording: Recording, result: RunResult, cores: Sequence[ShownCore], view: View, *,
    arrows: Sequence[Arrow] = (), notes: Sequence[str] = (), command: str | None = None,
) -> Figure:  # fmt: skip
    """Draw what the pipes of *cores* did in the window of *view*, with *arrows* from flags to the waits they release.

    *notes* and the *command* that draws the figure stand at its foot. At the right of each lane is the share of the
    window in which the pipe works; neither waits nor flags are work.
    """
    with mpl.rc_context({"hatch.linewidth": 0.5}):
        return _Timeline(recording, result, cores, view, arrows, notes, command).page.figure


class _Timeline:
    """A timeline while it is drawn."""

    def __init__(
        self, recording: Recording, result: RunResult, cores: Sequence[ShownCore], view: View,
        arrows: Sequence[Arrow], notes: Sequence[str], command: str | None,
    ) -> None:  # fmt: skip
        self.recording, self.view = recording, view
        self.points = PLOT / view.cycles
        self.rows, self.headings, height = self._layout(cores)
        lengths = np.concatenate([row.lane.ends - row.lane.begins for row in self.rows])
        self.least = narrowest(lengths, 1 / self.points)
        self.edges = column_edges(view.begin, view.end, PLOT)
        self.stages = stage_names(_groups(recording, cores))
        self.simulated = {core.timeline.number: core.timeline for core in cores}
        self.of_calls = {number: self._stages_of_calls(core) for number, core in self.simulated.items()}
        per_us = cycles_per_us(recording.chip)
        notes = [*notes, *([_SUMMED] if (lengths < self.least).any() else []), *([_ARROWS] if arrows else [])]
        title = title_lines(result, view, per_us)
        self.page = Page(height, view, per_us, title, self._legend(), notes, command)
        self._draw_headings()
        for row in self.rows:
            self._draw_frame(row)
            self._draw_spans(row)
            self._draw_slices(row)
        self._draw_arrows(arrows)

    def _layout(self, cores: Sequence[ShownCore]) -> tuple[list[_Row], list[tuple[float, ShownCore]], float]:
        issue = self.recording.chip.scalar.issue_cycles.value
        rows, headings, top = [], [], 2.0
        for core in cores:
            headings.append((top, core))
            top += HEADING
            for lane in lanes_of(core.timeline, issue):
                window = self.view.begin, self.view.end
                rows.append(_Row(top, lane.within(*window), spans_of(lane).within(*window)))
                top += PITCH
        return rows, headings, top

    def _look(self, stage: int) -> dict[str, Any]:
        """How the work of a stage is drawn. Edges are lighter than faces: they part slices, and hatches are theirs."""
        neutral = self.stages[stage] == INLINE and len(self.stages) > 1
        colour, hatch = (to_rgb(NEUTRAL), "") if neutral else look(stage)
        return {"facecolor": colour, "edgecolor": tint(colour, 0.4), "hatch": hatch}

    def _legend(self) -> list[Entry]:
        """The stages in the window, then what else happens in it."""
        stages: set[int] = set()
        others: set[int] = set()
        for row in self.rows:
            stages |= set(np.unique(self.of_calls[row.lane.core.number][row.spans.calls]).tolist())
            others |= set(np.unique(row.lane.doings).tolist())
        staged = self.stages != [INLINE]
        entries = [
            Entry(display_name(self.stages[stage]) if staged else "works", {**self._look(stage), "linewidth": 0.0})
            for stage in sorted(stages)
        ]
        entries += [
            Entry(label, {"linewidth": 0.5, **style}) for doing, (label, style) in _LOOKS.items() if doing in others
        ]
        return entries

    def _stages_of_calls(self, core: CoreTimeline) -> NDArray[np.int64]:
        """The number of the stage of each call of *core*."""
        number = {name: number for number, name in enumerate(self.stages)}
        return np.array([number[facts.name] for facts in core.calls], dtype=np.int64)

    def _stages_of(self, lane: Lane) -> NDArray[np.int64]:
        """The number of the stage of each slice."""
        return self.of_calls[lane.core.number][lane.calls]

    def _draw_headings(self) -> None:
        page = self.page
        page.write(WIDTH - EDGE, page.top - 5.0, "busy", ha="right", va="bottom")
        for top, core in self.headings:
            y = page.top + top + HEADING - 3.5
            page.write(EDGE, y, core.name, TEXT, weight="bold", va="baseline")
            if len(core.timeline.members) > 1:
                x = EDGE + text_width(core.name, TEXT, "bold") + 6.0
                page.write(x, y, self._alike(core), LABEL, color="0.35", va="baseline")

    def _alike(self, core: ShownCore) -> str:
        """For which other cores *core* was simulated, or which one for it."""
        simulated, chip = core.timeline, self.recording.chip
        if simulated.id != core.id:
            return f"behaves as {process_name(simulated.id, chip)}, which was simulated"
        others = [process_name(one, chip) for one in simulated.members if one != core.id]
        return f"{others[0]} behaves alike" if len(others) == 1 else f"{len(others)} other cores behave alike"

    def _draw_frame(self, row: _Row) -> None:
        """The name of a lane, its base line, and the share of the window in which it works."""
        page, y = self.page, self.page.top + row.middle
        page.write(LEFT - 6.0, y, LANES[row.lane.pipe], ha="right", va="center_baseline")
        page.axes.axhline(row.low, color="0.75", linewidth=0.4, zorder=0.5)
        busy = row.lane.cycles(Doing.WORK) / self.view.cycles
        page.patch(WIDTH - RIGHT + 8.0, y - 2.5, _GAUGE, 5.0, facecolor="0.92", linewidth=0.0)
        page.patch(WIDTH - RIGHT + 8.0, y - 2.5, _GAUGE * busy, 5.0, facecolor="0.35", linewidth=0.0)
        page.write(WIDTH - EDGE, y, percent(busy), ha="right", va="center_baseline")

    def _draw_spans(self, row: _Row) -> None:
        """The row of stages: what each call is, where there is room. Instructions outside of stages need no name."""
        core, spans = row.lane.core, row.spans
        stages = self.of_calls[core.number][spans.calls]
        named = (spans.ends - spans.begins) * self.points >= NARROW
        named &= np.array([name != INLINE for name in self.stages], dtype=np.bool_)[stages]
        for stage in np.unique(stages[named]).tolist():
            own = named & (stages == stage)
            corners = boxes(spans.begins[own], spans.ends[own], row.top, row.low)
            face = tint(self._look(stage)["facecolor"], 0.22)
            self._add(list(corners), facecolor=face, edgecolor="white", linewidth=0.4, zorder=1.0)
        numbered, turns = numbered_stages(core), core.turns[spans.calls]
        for position in np.flatnonzero(named).tolist():
            name, turn = self.stages[int(stages[position])], int(turns[position])
            label = display_name(name)
            texts = [f"{label} {turn}", str(turn)] if name in numbered else [label]
            across = int(spans.begins[position]), int(spans.ends[position])
            self._write(texts, across, (row.top - 0.5, row.high - 0.5), LABEL, "black")

    def _draw_slices(self, row: _Row) -> None:
        wide = row.lane.ends - row.lane.begins >= self.least
        self._draw_boxes(row, row.lane.only(wide))
        self._draw_columns(row, row.lane.only(~wide))

    def _draw_boxes(self, row: _Row, lane: Lane) -> None:
        """Slices that are wide enough, one by one, with what they are where there is room."""
        stages, work = self._stages_of(lane), lane.doings == Doing.WORK
        hanging = row.high + HANGING * BAND
        for stage in np.unique(stages[work]).tolist():
            chosen = work & (stages == stage)
            corners = boxes(lane.begins[chosen], lane.ends[chosen], row.low, row.high)
            self._add(list(corners), **self._look(stage), linewidth=0.4, zorder=2.0)
        for doing, (_, style) in _LOOKS.items():
            chosen = lane.doings == doing
            corners = boxes(lane.begins[chosen], lane.ends[chosen], hanging, row.high)
            self._add(list(corners), **style, linewidth=0.4, zorder=2.0)
        for position in np.flatnonzero((lane.ends - lane.begins) * self.points > 2 * WORD).tolist():
            working = bool(work[position])
            style = self._look(int(stages[position])) if working else _LOOKS[Doing(int(lane.doings[position]))][1]
            face = to_rgb(style["facecolor"])
            across = int(lane.begins[position]), int(lane.ends[position])
            down = row.high, row.low if working else hanging
            texts = wordings(self.recording, lane, position)
            self._write(texts, across, down, WORD, ink_on(face), face if style.get("hatch") else None)

    def _draw_columns(self, row: _Row, lane: Lane) -> None:
        """All other slices, summed up in columns: work from the lower edge up, waits from the upper edge down."""
        stages, width = self._stages_of(lane), np.diff(self.edges)
        work = lane.doings == Doing.WORK
        filled = np.zeros(width.size, dtype=np.int64)
        for stage in np.unique(stages[work]).tolist():
            more = filled + self._columns(lane.only(work & (stages == stage)))
            low, high = (row.low - BAND * one / width for one in (filled, more))
            self._add(steps(self.edges, low, high), **self._look(stage), linewidth=0.0, zorder=2.0)
            filled = more
        hanging = np.zeros(width.size, dtype=np.int64)
        for doing, (_, style) in _LOOKS.items():
            more = hanging + self._columns(lane.doing(doing))
            high, low = (row.high + HANGING * BAND * one / width for one in (hanging, more))
            self._add(steps(self.edges, low, high), **style, linewidth=0.0, zorder=2.0)
            hanging = more

    def _columns(self, lane: Lane) -> NDArray[np.int64]:
        return cycles_per_column(lane.begins, lane.ends, self.edges)

    def _draw_arrows(self, arrows: Sequence[Arrow]) -> None:
        # Where several of the shown cores were simulated as one, the arrows are those of the first.
        middles = {(row.lane.core.number, row.lane.pipe): row.middle for row in reversed(self.rows)}
        for source, setter, target, wait in arrows:
            ends = []
            for number, index in ((source, setter), (target, wait)):
                core = self.simulated[number]
                ends.append((int(core.frees[index]), middles[number, PIPES[core.pipes[index]]]))
            bend = 0.0 if source == target else 0.1
            self.page.axes.add_patch(
                FancyArrowPatch(
                    *ends, arrowstyle="-|>", mutation_scale=5.0, shrinkA=0.0, shrinkB=0.0, linewidth=0.6, color=_INK,
                    connectionstyle=f"arc3,rad={bend}", zorder=4.0,
                )
            )  # fmt: skip

    def _add(self, outlines: Sequence[NDArray[np.float64]], **style: Any) -> None:
        """Draw all *outlines* as one shape."""
        if not outlines:
            return
        codes = [
            np.concatenate([[Path.MOVETO], np.full(one.shape[0] - 1, Path.LINETO), [Path.CLOSEPOLY]])
            for one in outlines
        ]
        corners = [np.concatenate([one, one[:1]]) for one in outlines]
        self.page.axes.add_artist(PathPatch(Path(np.concatenate(corners), np.concatenate(codes)), **style))

    def _write(
        self, texts: Sequence[str], across: tuple[int, int], down: tuple[float, float], size: float, color: str,
        backdrop: Colour | None = None,
    ) -> None:  # fmt: skip
        """Write the first of *texts* that fits into the middle of a box, on a *backdrop* where the box is hatched."""
        (begin, end), (high, low) = across, down
        text = fitting(texts, (end - begin) * self.points - 2.0, lambda one: SLACK * text_width(one, size))
        if not text:
            return
        middle = (begin + end) / 2
        if backdrop is not None:
            half = (text_width(text, size) / 2 + 1.0) / self.points
            corners = boxes(np.array([middle - half]), np.array([middle + half]), low - 0.5, high + 0.5)
            self._add(list(corners), facecolor=backdrop, linewidth=0.0, zorder=3.0)
        self.page.axes.text(
            middle, (high + low) / 2, text, fontsize=size, ha="center", va="center_baseline", color=color,
            parse_math=False, clip_on=True, zorder=5.0,
        )  # fmt: skip


def _groups(recording: Recording, cores: Sequence[ShownCore]) -> list[CoreTimeline]:
    """The whole groups of *cores*: a stage has one colour, whichever cores of its group are shown."""
    shown = {core.timeline.number: core.timeline for core in cores}
    for number, core in list(shown.items()):
        # The cores of a group follow each other; to open all cores only to look for it would take long.
        for near in (number - 2, number - 1, number + 1, number + 2):
            if 0 <= near < len(recording):
                other = recording.core(near)
                if (other.id.die, other.id.group) == (core.id.die, core.id.group):
                    shown[near] = other
    return [shown[number] for number in sorted(shown)]
