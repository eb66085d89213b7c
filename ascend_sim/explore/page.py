"""The page of an exploration: what it found and why, in one file that needs no network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from json import dumps
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from ascend_sim.explore.analysis import Study
from ascend_sim.explore.wording import measure
from ascend_sim.report.html import Card, Picture, Section, footer
from ascend_sim.report.style import figure_bytes

SIZED = "zoom sized"
"""Figures in their own size, at most as wide as the page, which can be zoomed."""
_DPI = 180


@dataclass(frozen=True)
class PointFile:
    """The file of a point: *name* without its ending, *number* of the point, and the *difference* to the base run."""

    name: str
    number: int
    difference: str


@dataclass
class Gallery:
    """Draws figures for the page and, those that have names, as *files* of the format *suffix* (png or svg)."""

    suffix: str
    files: dict[str, bytes] = field(default_factory=dict)

    def add(self, figure: Figure, caption: str, name: str = "") -> Picture:
        """*figure* as a part of the page; with a *name* it becomes a file as well."""
        content = figure_bytes(figure, "svg", _DPI)
        if name:
            self.files[f"{name}.{self.suffix}"] = (
                content if self.suffix == "svg" else figure_bytes(figure, self.suffix, _DPI)
            )
        text = content.decode()
        return Picture(Markup(text[text.index("<svg") :]), caption, SIZED)  # our own drawing, with its texts escaped


def exploration_page(
    study: Study,
    config: Mapping[str, Any],
    sections: Sequence[Section],
    files: Sequence[PointFile],
    warnings: Sequence[str],
    command: str,
) -> str:
    """The page of *study*: its numbers, *sections* (below the first the *files* of points), and its whole *config*.

    *command* is what writes it again.
    """
    return _environment().get_template("exploration.html.j2").render(
        title=f"exploration {study.name}",
        subtitle=study.description,
        cards=list(cards(study)),
        warnings=warnings,
        sections=sections,
        files=files,
        configuration=dumps(config, indent=2),
        footer=footer(command),
    )  # fmt: skip


def cards(study: Study) -> Iterator[Card]:
    """The numbers at the top: the best of each objective, what that gains on the base run, and how points ended."""
    for objective in study.objectives:
        how, own = measure(objective.metric), study.base_metrics
        best = study.best_of(objective)
        if best is None:
            yield Card(f"best {how.name}", objective.metric, "none", "there is no eligible point")
            continue
        value = best.evaluation.metrics[objective.metric]
        beside = f"point {best.number}"
        if own is not None and own[objective.metric]:
            beside += f", {100 * (value / own[objective.metric] - 1):+.1f} % against the base run"
        yield Card(f"best {how.name}", objective.metric, how.text(value), beside)
    if len(study.objectives) > 1:
        yield Card("Pareto front", "front", f"{len(study.front)}", f"of {len(study.eligible)} eligible points")
    counts = study.counts
    parts = [f"{count:,} {name}" for name, count in counts.items() if count and name != "done"]
    yield Card("points", "points", f"{len(study.rows):,}", ", ".join([f"{counts['done']:,} simulated", *parts]))


def _environment() -> Environment:
    loader = ChoiceLoader([PackageLoader("ascend_sim.explore"), PackageLoader("ascend_sim.report")])
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
