"""The parts of the page of an exploration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ascend_sim.explore.analysis import Objective, Row, Study, trade_offs
from ascend_sim.explore.effect_figures import effects_figure, importance_figure
from ascend_sim.explore.effects import Effects, effects
from ascend_sim.explore.figures import history_figure, trade_off_figure
from ascend_sim.explore.heat_map import heat_map_figure
from ascend_sim.explore.page import Gallery
from ascend_sim.explore.parallel import parallel_figure
from ascend_sim.explore.point import Status
from ascend_sim.explore.refusals import reasons, refused
from ascend_sim.explore.wording import listed, measure, shortest, shown
from ascend_sim.report.html import Picture, Section, Table

ALL_POINTS = 500
"""Up to so many points the page has a table of all of them."""
_HEAT_MAPS = 4
"""Pairs of parameters whose heat maps are on the page."""
_LEVELS = 60
"""Rows of a table of values of parameters; of more, those are shown that matter most."""
_ROWS = 20
"""Rows of a table of reasons, of failed points, or of a front."""
_LONG = 300
"""Letters of a message that are shown."""


def sections_of(study: Study, best: Sequence[Row], gallery: Gallery) -> list[Section]:
    """All sections for *study* with its *best* points; figures are drawn into *gallery*."""
    sections = [_best(study, best)]
    if len(study.eligible):
        sections += filter(None, [_trade_offs(study, best, gallery)])
    if len(study.done) > 1 and study.axes:
        found = [(one, effects(study, one.metric)) for one in study.objectives]
        sections.append(_effects(study, found, gallery))
        if len(study.eligible):
            sections += [*_maps(study, found, gallery), *_parallel(study, best, gallery)]
    if len(study.rows) > 1:
        sections.append(_search(study, gallery))
    sections += filter(None, [_infeasible(study), _failed(study)])
    sections.append(_points(study))
    return sections


def base_sentence(study: Study) -> str:
    """Where the base run stands among the points, in a sentence."""
    metrics, place, row = study.base_metrics, study.base_place, study.base_row
    how = measure(study.first.metric)
    if metrics is None or place is None:
        if row is None:
            return "What the base run itself comes to is not known."
        return (
            f"The base run's own values are point {row.number}, which is {row.status}: {_short(row.evaluation.reason)}"
        )
    where = "whose values are no point of the search" if row is None else f"point {row.number}"
    where += ", which breaks a constraint" if row is not None and not row.eligible else ""
    if not len(study.eligible):
        return f"The base run, {where}, comes to {how.text(metrics[study.first.metric])}."
    better = place - 1
    text = (
        f"The base run, {where}, comes to {how.text(metrics[study.first.metric])}: {better:,} of "
        f"{len(study.eligible):,} eligible points {'is' if better == 1 else 'are'} better"
    )
    gains = [gain for gain in (gain_of(study, one) for one in study.objectives) if gain]
    who = "the best has" if len(study.objectives) == 1 else "the best ones by each objective have"
    return f"{text}; {who} {' and '.join(gains)}." if gains else f"{text}."


def gain_of(study: Study, objective: Objective) -> str:
    """What the best point has of *objective* against the base run, such as "12.3 % less time"; empty if unknown."""
    best, own = study.best_of(objective), study.base_metrics
    if best is None or own is None or not own[objective.metric]:
        return ""
    change = 100 * (best.evaluation.metrics[objective.metric] / own[objective.metric] - 1)
    word = "more" if change > 0 else "less"
    name = measure(objective.metric).name
    return f"as much {name}" if abs(change) < 0.05 else f"{abs(change):.1f} % {word} {name}"


def changes_of(study: Study, row: Row) -> str:
    """The values of *row* that the base run has otherwise, and those of the base run."""
    changed = [f"{name}={shown(value)} ({shown(own)})" for name, own, value in study.changes(row)]
    return ", ".join(changed) or "nothing: it is the base run"


def _best(study: Study, best: Sequence[Row]) -> Section:
    if not study.rows:
        return Section("Best points", ["No point is finished yet."])
    if not best:
        broken = len(study.done)
        why = f"{broken:,} points were simulated, but break a constraint" if broken else "no point could be simulated"
        texts = [f"There is no eligible point: {why}.", *_constraints(study)]
        return Section("Best points", [*texts, base_sentence(study)] if study.base_metrics else texts)
    texts = [base_sentence(study)]
    if len(study.objectives) > 1:
        front, distinct = len(study.front), len(study.distinct_front)
        points = f"{front:,} points" if front != 1 else "one point"
        results = f" with {distinct:,} different results" if distinct < front else ""
        texts.append(
            f"The Pareto front has {points}{results}: no other point is better in one objective without being worse in "
            f"another. Those listed are in the order of {measure(study.first.metric).name}"
            f"{', evenly spread over the front' if distinct > len(best) else ''}."
        )
    texts += _constraints(study)
    texts.append(
        "Each point is beside this page as a file for ascend-sim run, from best-1.yaml on; best-1.diff says what it "
        "changes in the file of the base run."
    )
    metrics = [one.metric for one in study.objectives]
    metrics += [name for name in ("tflops", "l1_bytes", "ub_bytes") if name not in metrics and _varies(study, name)]
    head = ["", "point", *(measure(name).label for name in metrics), "differs from the base run in (its own value)"]
    rows = [
        (str(place), str(row.number), *_numbers(row, metrics), changes_of(study, row))
        for place, row in enumerate(best, start=1)
    ]
    if study.base_metrics is not None and study.base_row not in best:
        numbers = (measure(name).number(study.base_metrics[name]) for name in metrics)
        place = "-" if study.base_row is None else str(study.base_row.number)
        rows.append(("base", place, *numbers, ""))
    return Section("Best points", texts, (), [Table(rows, head, [len(head) - 1])])


def _constraints(study: Study) -> list[str]:
    if not study.constraints:
        return []
    broken = len(study.done) - len(study.eligible)
    return [
        f"Constraints: {'; '.join(study.constraints)}. {broken:,} of {len(study.done):,} simulated points "
        f"break{'s' if broken == 1 else ''} one."
    ]


def _varies(study: Study, metric: str) -> bool:
    return len(set(study.values(metric, study.eligible).tolist())) > 1


def _numbers(row: Row, metrics: Sequence[str]) -> list[str]:
    return [measure(name).number(row.evaluation.metrics[name]) for name in metrics]


def _trade_offs(study: Study, best: Sequence[Row], gallery: Gallery) -> Section | None:
    pairs = trade_offs(study)
    if not pairs:
        return None
    caption = "What one metric costs in the other: a step line joins the points that no other one beats in both."
    figure = gallery.add(trade_off_figure(study, pairs, best), caption, "trade-offs")
    tables = []
    if len(study.objectives) > 1 and len(study.distinct_front) > len(best):
        metrics = [one.metric for one in study.objectives]
        rows = [
            (str(row.number), *_numbers(row, metrics), listed(row.assignment)) for row in study.distinct_front[:_ROWS]
        ]
        head = ["point", *(measure(name).label for name in metrics), "values"]
        count = len(study.distinct_front)
        more = f", the first {_ROWS} of {count:,} points" if count > _ROWS else ""
        tables.append(Table(rows, head, [len(head) - 1], f"The Pareto front of all objectives{more}"))
    return Section("Trade-offs", [], [figure], tables)


def _effects(study: Study, found: Sequence[tuple[Objective, Effects]], gallery: Gallery) -> Section:
    texts = [_basis(study, found[0][1])]
    figures, tables = [], []
    for place, (objective, one) in enumerate(found):
        ending = f"-{objective.metric}" if place else ""
        name = measure(objective.metric).name
        caption = f"What each value leads to: the best {name}, its median and the half of the points around it."
        figures.append(gallery.add(effects_figure(study, one), caption, f"effects{ending}"))
        if len(one.axes) > 1:
            caption = f"Shares of the variance of {name}: parameters alone on the diagonal, pairs beyond that below it."
            figures.append(gallery.add(importance_figure(one), caption, f"importance{ending}"))
        tables.append(
            Table(
                list(_level_rows(one)),
                ["parameter", "share", "value", "points", *_QUARTILES],
                [2],
                f"Effects on {name}",
            )
        )
    return Section("Effects of the parameters", texts, figures, tables)


_QUARTILES = ("best", "lower quartile", "median", "upper quartile")


def _basis(study: Study, found: Effects) -> str:
    scale = "the logarithm of the metric" if found.logarithmic else "the metric"
    missing = len(study.rows) - found.points
    lost = f" {missing:,} points without a result are missing in it." if missing else ""
    if not found.varies:
        return f"All {found.points:,} points that were simulated come to the same: no parameter matters.{lost}"
    if found.exact:
        rest = f"; {100 * found.rest:.1f} % take three parameters or more" if len(found.axes) > 2 else ""
        return (
            f"The {found.points:,} points that were simulated are a full grid, so that the shares are those of the "
            f"analysis of variance of {scale}{rest}.{lost}"
        )
    if not np.isfinite(found.main).any():
        return f"{found.points:,} simulated points are too few to say how much a parameter matters.{lost}"
    return (
        f"The {found.points:,} points that were simulated are no full grid. Shares are of the variance of {scale}: "
        "what a parameter explains that the others do not, in a least-squares fit with an effect for each value, and "
        "what the cells of two parameters explain beyond that, both less what chance would. What two parameters "
        "explain equally well counts for none of them, so that shares need not add up to 100 %; bad values that were "
        f"hardly tried seem to matter little.{lost}"
    )


def _level_rows(found: Effects) -> Iterator[tuple[str, ...]]:
    how = measure(found.metric)
    rows = []
    for n in found.order:
        axis, share = found.axes[n], found.main[n]
        for level, text in zip(found.levels[n], axis.texts, strict=True):
            numbers = [how.number(one) if level.points else "-" for one in (level.best, *level.quartiles)]
            rows.append(
                (axis.name, "-" if np.isnan(share) else f"{100 * share:.1f} %", text, str(level.points), *numbers)
            )
    yield from rows[:_LEVELS]
    if len(rows) > _LEVELS:
        yield (f"{len(rows) - _LEVELS} more", *[""] * 7)


def _maps(study: Study, found: Sequence[tuple[Objective, Effects]], gallery: Gallery) -> Iterator[Section]:
    if len(study.axes) < 2:
        return
    figures: list[Picture] = []
    for place, (objective, one) in enumerate(found):
        pairs = one.strongest[: _HEAT_MAPS if not place else 1]
        for number, (a, b) in enumerate(pairs):
            down, across = one.axes[a], one.axes[b]
            name = "" if number else f"heat-map-{objective.metric}" if place else "heat-map"
            best = f"The best {measure(objective.metric).name}"
            caption = f"{best} over {down.name} and {across.name}, whatever the others are."
            figures.append(gallery.add(heat_map_figure(study, objective, down, across), caption, name))
    text = "The pairs of parameters that explain most of the variance, alone and together, come first."
    yield Section("Heat maps", [text], figures)


def _parallel(study: Study, best: Sequence[Row], gallery: Gallery) -> Iterator[Section]:
    if len(study.axes) < 2:
        return
    caption = "A line for each eligible point; where lines meet at a value they are spread, the better the lower."
    figure = gallery.add(parallel_figure(study, study.first, best), caption, "parallel")
    yield Section("All parameters at once", [], [figure])


def _search(study: Study, gallery: Gallery) -> Section:
    seconds = sum(row.evaluation.seconds for row in study.rows)
    text = f"{len(study.rows):,} points took {_duration(seconds)} of a processor."
    caption = "The points in the order in which they were asked for, and the best so far."
    figures = [gallery.add(history_figure(study), caption, "history")] if len(study.done) else []
    return Section("Course of the search", [text], figures)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."


def _reason_table(study: Study, status: Status, title: str) -> Table:
    found = reasons(study, status)
    rows = [
        (
            one.category, f"{len(one.rows):,}", one.pattern,
            f"{_short(one.rows[0].evaluation.reason)} [point {one.rows[0].number}: {listed(one.rows[0].assignment)}]",
        )
        for one in found[:_ROWS]
    ]  # fmt: skip
    if len(found) > _ROWS:
        rest = sum(len(one.rows) for one in found[_ROWS:])
        rows.append(("", f"{rest:,}", f"{len(found) - _ROWS} other reasons", ""))
    return Table(rows, ["category", "points", "reason, with N for numbers", "for example"], [2, 3], title)


def _infeasible(study: Study) -> Section | None:
    count = study.counts["infeasible"]
    if not count:
        return None
    share = 100 * count / len(study.rows)
    text = f"{count:,} of {len(study.rows):,} points ({share:.1f} %) are refused before they are simulated."
    values = []
    texts = {axis.name: axis.texts for axis in study.axes}
    for one in refused(study):
        values.append((
            one.name, texts[one.name][one.level], f"{one.points:,}", f"{one.infeasible:,}",
            f"{100 * one.infeasible / one.points:.1f} %", f"{one.failed:,}",
        ))  # fmt: skip
    tables = [_reason_table(study, "infeasible", "Reasons")]
    if values:
        title = "Which values lead to infeasible points"
        if len(values) > _LEVELS:
            values = sorted(values, key=lambda row: -float(row[4].removesuffix(" %")))[:_LEVELS]
            title = f"The {_LEVELS} values with the largest shares of infeasible points"
        head = ["parameter", "value", "points", "infeasible", "share", "failed"]
        tables.append(Table(values, head, [1], title))
    return Section("Infeasible points", [text], (), tables)


def _failed(study: Study) -> Section | None:
    failed = [row for row in study.rows if row.status == "failed"]
    if not failed:
        return None
    text = "These kernels were built, but deadlock, race, misuse flags, exceed a limit or fail otherwise."
    tables = [_reason_table(study, "failed", "Reasons")]
    if len(failed) > 1:
        rows = [(str(row.number), row.evaluation.category, listed(row.assignment)) for row in failed[:_ROWS]]
        title = f"Failed points{f', the first {_ROWS} of {len(failed):,}' if len(failed) > _ROWS else ''}"
        tables.append(Table(rows, ["point", "category", "values"], [1, 2], title))
    return Section("Failed points", [text], (), tables)


def _points(study: Study) -> Section:
    command = "ascend-sim explore export DIR points.csv writes all points with all their metrics."
    if len(study.rows) > ALL_POINTS:
        return Section("Points", [f"There are {len(study.rows):,} points, too many to be listed here; {command}"])
    short = shortest(list(study.space))
    metrics = [one.metric for one in study.objectives]
    head = ["point", "status", *(measure(name).label for name in metrics), *(short[name] for name in study.space)]
    rows = []
    for row in study.rows:
        status = "breaks a constraint" if row.status == "done" and not row.eligible else row.status
        numbers = _numbers(row, metrics) if row.status == "done" else ["-"] * len(metrics)
        rows.append((str(row.number), status, *numbers, *(shown(row.assignment[name]) for name in study.space)))
    return Section("Points", [f"All points; {command}"], (), [Table(rows, head, [1])] if rows else [])
