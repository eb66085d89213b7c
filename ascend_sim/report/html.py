"""Self-contained pages: a run, or several side by side, without anything from the network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from json import dumps
from typing import Any, Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from ascend_sim.observe.timeline import Recording
from ascend_sim.report.compare import Difference, Row, cell, shortened
from ascend_sim.report.result import RunResult
from ascend_sim.report.style import figure_bytes

WIDE, NARROW = "zoom", "narrow"
"""Figures as wide as the page, which can be zoomed, and small ones."""


class Run(Protocol):
    """A finished run: its *name*, its result and its recording."""

    @property
    def name(self) -> str:
        """What the user calls it."""

    @property
    def result(self) -> RunResult:
        """What came out."""

    @property
    def recording(self) -> Recording:
        """Its schedule."""


@dataclass(frozen=True)
class Picture:
    """A figure as SVG, with a *caption*; *kind* is WIDE or NARROW."""

    svg: Markup
    caption: str
    kind: str = WIDE


@dataclass(frozen=True)
class Table:
    """A table: *head* names the columns, of which those with the numbers *text* hold words."""

    rows: Sequence[Sequence[str]]
    head: Sequence[str]
    text: Sequence[int] = ()
    title: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading."""

    title: str
    texts: Sequence[str] = ()
    figures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()

    @property
    def anchor(self) -> str:
        """What a link to the section ends with."""
        return self.title.lower().replace(" ", "-")


@dataclass(frozen=True)
class Card:
    """A number that stands at the top: *key* is its field of result.json."""

    name: str
    key: str
    value: str
    beside: str


def picture(figure: Figure, caption: str, kind: str = WIDE) -> Picture:
    """*figure* as a part of a page."""
    svg = figure_bytes(figure, "svg").decode()
    return Picture(Markup(svg[svg.index("<svg") :]), caption, kind)  # our own drawing, with its texts escaped


def run_page(run: Run, sections: Sequence[Section]) -> str:
    """The page of *run*: its numbers, *sections*, the configuration, and the whole result."""
    result = run.result
    return _environment().get_template("run.html.j2").render(
        title=f"{result.program} on {result.chip}",
        subtitle=result.config["description"],
        cards=list(_cards(result)),
        warnings=result.warnings,
        sections=sections,
        parameters=[(key, str(value)) for key, value in _leaves(result.config["parameters"])],
        configuration=dumps(result.config, indent=2),
        result=dumps({key: value for key, value in result.to_dict().items() if key != "config"}, indent=2),
        footer=footer(f"ascend-sim report {run.name}"),
    )  # fmt: skip


def comparison_page(
    runs: Sequence[Run], rows: Sequence[Row], changed: Sequence[Difference], figures: Sequence[Picture]
) -> str:
    """The page that puts *runs* side by side; *figures* are their timelines."""
    names = shortened([run.name for run in runs])
    return _environment().get_template("comparison.html.j2").render(
        title=" against ".join(names),
        subtitle=", ".join(dict.fromkeys(f"{run.result.program} on {run.result.chip}" for run in runs)),
        names=names,
        changed=[(one.key, *("-" if value is None else str(value) for value in one.values)) for one in changed],
        rows=[(row.name, *(cell(row, number) for number in range(len(runs)))) for row in rows],
        figures=figures,
        footer=footer(f"ascend-sim compare {' '.join(run.name for run in runs)}"),
    )  # fmt: skip


def _cards(result: RunResult) -> Iterator[Card]:
    yield Card("time", "time_us", f"{result.time_us:,.1f} us", f"{result.cycles:,} cycles")
    if result.flops:
        yield Card("rate", "tflops", f"{result.tflops:,.1f} TFLOPS", f"of {result.peak_tflops:,.1f}")
        share = f"{100 * result.flops_utilization:.1f} %"
        yield Card("utilization", "flops_utilization", share, "useful FLOPs over the chip's peak")
    bound, _, share = result.bound_by.partition(": ")
    yield Card("bound by", "bound_by", bound.partition(" (")[0], share)
    expected = result.expected_error["leave_one_out_mape"]
    if expected is not None:
        yield Card("expected error", "expected_error", f"\u00b1{100 * expected:.0f} %", "of the time")


def _leaves(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def footer(command: str) -> str:
    """What stands below everything: which version has written the page, and the *command* that writes it again."""
    try:
        by = f"ascend-sim {version('ascend-sim')}"
    except PackageNotFoundError:
        by = "ascend-sim"
    return f"Written by {by}: {command}"


def _environment() -> Environment:
    loader = PackageLoader("ascend_sim.report")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
