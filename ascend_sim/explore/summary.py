"""What a finished search prints: the best points, what became of the others and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ascend_sim.explore.analysis import Row, Study
from ascend_sim.explore.live import duration
from ascend_sim.explore.point import Status
from ascend_sim.explore.refusals import reasons
from ascend_sim.explore.table import ExplorationInfo, Table
from ascend_sim.explore.wording import identity, measure, shortest, shown

TOP = 10
"""Points that are listed."""

_REASONS = 5
"""Kinds of reasons that are listed of each status."""


def study_of(info: ExplorationInfo, table: Table) -> Study:
    """An exploration to look into."""
    return Study(info.name, info.description, info.objectives, info.constraints, info.space, table.rows, info.base)


def lines(study: Study, worked_on: int, seconds: float) -> Iterator[str]:
    """The summary of a search that has just worked on so many points in so many seconds."""
    counts = [f"{count:,} {name}" for name, count in study.counts.items() if count]
    yield f"{study.name}: {len(study.rows):,} points: {', '.join(counts)}"
    broken = len(study.done) - len(study.eligible)
    if broken:
        yield f"constraints    {broken:,} of the points that are done break one"
    known = len(study.rows) - worked_on
    parts = [f"{known:,} known before"] if known else []
    if worked_on:
        parts.append(f"{worked_on:,} worked on in {duration(seconds)}, {worked_on / max(seconds, 1e-9):.3g} points/s")
    yield f"this search    {', '.join(parts)}"
    yield ""
    best = study.best(TOP)
    if best:
        yield from _best(study, best)
    else:
        yield f"no best point: {'all that are done break a constraint' if broken else 'none could be simulated'}"
    for status in ("infeasible", "failed"):
        yield from _reasons(study, status)


def _best(study: Study, best: Sequence[Row]) -> Iterator[str]:
    """A table of the *best* points: objectives, and the parameters that differ among all points that are eligible."""
    if len(study.objectives) == 1:
        yield f"Top {len(best)} of {len(study.eligible):,}" if len(best) > 1 else "Best point"
    else:
        some = "" if len(best) == len(study.front) else f", {len(best)} of {len(study.front):,} points"
        yield f"Pareto front{some}"
    rows = [study.rows[n] for n in study.eligible]
    varying = [name for name in study.space if len({identity(row.assignment[name]) for row in rows}) > 1]
    names = shortest(varying)
    measures = [measure(one.metric) for one in study.objectives]
    cells = [["rank", "case_id", *(one.label for one in measures), *(names[name] for name in varying)]]
    for rank, row in enumerate(best, start=1):
        metrics = row.evaluation.metrics
        values = [how.number(metrics[one.metric]) for how, one in zip(measures, study.objectives, strict=True)]
        cells.append([str(rank), str(row.number), *values, *(shown(row.assignment[name]) for name in varying)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        yield "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
    fixed = [name for name in study.space if name not in varying]
    if len(best) > 1 and fixed:
        yield f"all of them: {', '.join(f'{name}={shown(best[0].assignment[name])}' for name in fixed)}"


def _reasons(study: Study, status: Status) -> Iterator[str]:
    """Why points have *status*: the most frequent kinds of reasons, each with an example."""
    kinds = reasons(study, status)
    if not kinds:
        return
    yield ""
    total = sum(len(one.rows) for one in kinds)
    yield f"{status}: {total:,} point{'s' if total > 1 else ''}"
    width = len(f"{len(kinds[0].rows):,}")
    for one in kinds[:_REASONS]:
        yield f"  {len(one.rows):{width},}  {one.category}: {one.pattern}"
        example = one.rows[0]
        clause = example.evaluation.reason.partition("\n")[0].partition("; ")[0]
        yield f"  {'':{width}}  such as case {example.number}: {clause}"
    if len(kinds) > _REASONS:
        rest = sum(len(one.rows) for one in kinds[_REASONS:])
        yield f"  {rest:{width},}  for {len(kinds) - _REASONS} other reasons"
