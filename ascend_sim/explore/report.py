"""The report of an exploration: its page, its figures, and its best points as run files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ascend_sim.config import varied
from ascend_sim.errors import UserError
from ascend_sim.explore.analysis import Row, Study
from ascend_sim.explore.best import RunFiles, commented
from ascend_sim.explore.effects import effects
from ascend_sim.explore.evaluation import evaluate
from ascend_sim.explore.page import Gallery, PointFile, exploration_page
from ascend_sim.explore.point import Base, Evaluation, Limits, digest_of, override
from ascend_sim.explore.refusals import reasons
from ascend_sim.explore.resolve import base_of, simulator
from ascend_sim.explore.sections import base_sentence, changes_of, sections_of
from ascend_sim.explore.table import ExplorationInfo, read_table
from ascend_sim.explore.wording import measure
from ascend_sim.kernel.load import load_program
from ascend_sim.report.files import make_folder, write_files

PAGE = "report.html"
_FIGURES = ("trade-offs", "effects", "importance", "heat-map", "parallel", "history")
_OWN = re.compile(rf"best-\d+\.(yaml|diff)|({'|'.join(_FIGURES)})(-[a-z0-9_]+)?\.(png|svg)|chip-.*\.yaml")
"""Names of files that a report writes."""
_LISTED = 3
"""Parameters and reasons that the summary names."""


@dataclass(frozen=True)
class Opened:
    """An exploration read from its folder: what it is, what it found, and what to be wary of."""

    info: ExplorationInfo
    study: Study
    warnings: tuple[str, ...]


def write_report(folder: Path, out: Path, top: int, suffix: str) -> list[Path]:
    """Write the report of the exploration in *folder* to the folder *out*; return the files, the page first.

    Besides the page these are the figures as *suffix* (png or svg), and for each of the *top* best points a run file
    and its difference to that of the base run. Files of an earlier report that this one has not are removed. Raise an
    ArgumentError if there is no exploration, or *out* cannot be written to.
    """
    opened = open_exploration(folder)
    info, study = opened.info, opened.study
    best = study.best(top)
    texts, differences = _run_files(info, study, best)
    gallery = Gallery(suffix)
    sections = sections_of(study, best, gallery)
    command = f"ascend-sim explore report {folder}"
    page = exploration_page(study, info.config, sections, differences, opened.warnings, command)
    make_folder(out)
    files: dict[Path, bytes] = {out / PAGE: page.encode()}
    files |= {out / name: content for name, content in gallery.files.items()}
    files |= {out / name: text.encode() for name, text in texts.items()}
    write_files(files, [path for path in sorted(out.iterdir()) if _OWN.fullmatch(path.name) and path not in files])
    return list(files)


def summary(folder: Path, top: int) -> Iterator[str]:
    """What the exploration in *folder* has found, in a few lines for a terminal."""
    opened = open_exploration(folder)
    study = opened.study
    counts = [f"{count:,} {name}" for name, count in study.counts.items() if count]
    yield f"{study.name}: {len(study.rows):,} points{': ' if counts else ''}{', '.join(counts)}"
    yield from opened.warnings
    best = study.best(top)
    if best:
        yield base_sentence(study)
        if len(study.objectives) > 1:
            yield f"Pareto front: {len(study.front):,} of {len(study.eligible):,} eligible points"
        yield ""
        yield from _listing(study, best)
        yield ""
    elif study.rows:
        broken = "break a constraint" if len(study.done) else "cannot be simulated"
        yield f"no point is eligible: all of them {broken}"
    yield from _findings(study)


def open_exploration(folder: Path) -> Opened:
    """Read the exploration in *folder*; raise an ArgumentError if there is none."""
    info, table = read_table(folder)
    warnings = [] if table.complete else ["The search is not complete; `ascend-sim explore CONFIG --resume` goes on."]
    study = Study(
        info.name, info.description, info.objectives, info.constraints, info.space, table.rows, info.base
    )  # fmt: skip
    changed = _changes_since(info)
    if changed:
        what = " and ".join(changed)
        warnings.append(f"Since these points were simulated {what} changed: run again, they may take another time.")
    elif study.base_row is None and study.rows:
        study = Study(
            info.name, info.description, info.objectives, info.constraints, info.space, table.rows, info.base,
            _evaluated(base_of(info.run), Limits(**info.config["limits"])),
        )  # fmt: skip
    return Opened(info, study, tuple(warnings))


def _changes_since(info: ExplorationInfo) -> list[str]:
    """What is no longer as it was when the points were simulated."""
    changed = ["the simulator"] if info.simulator != simulator() else []
    try:
        same = digest_of(load_program(Path(info.program_file)).sources.items()) == info.program_sha256
    except UserError:
        same = False
    return changed if same else [*changed, f"the program {info.program_file}"]


@lru_cache(maxsize=1)
def _evaluated(base: Base, limits: Limits) -> Evaluation:
    """What the base run itself comes to; once for the page and the summary."""
    return evaluate(base, {}, limits)


def _run_files(info: ExplorationInfo, study: Study, best: Sequence[Row]) -> tuple[dict[str, str], list[PointFile]]:
    """The files of *best* and of the chips that they need, by name; and what each changes in the base run."""
    writer = RunFiles(info.run)
    metrics = dict.fromkeys([*(one.metric for one in study.objectives), "cycles"])
    texts, differences = {}, []
    for place, row in enumerate(best, start=1):
        run = varied(info.run, [override(name, value) for name, value in row.assignment.items()])
        name = f"best-{place}"
        found = ", ".join(f"{measure(one).name} {measure(one).text(row.evaluation.metrics[one])}" for one in metrics)
        head = f"Point {row.number} of the exploration {study.name}: {found}"
        texts[f"{name}.yaml"] = commented([head], writer.text(run))
        texts[f"{name}.diff"] = writer.difference(run, f"{name}.yaml")
        differences.append(PointFile(name, row.number, texts[f"{name}.diff"] or "nothing\n"))
    return {**texts, **writer.chips}, differences


def _listing(study: Study, best: Sequence[Row]) -> Iterator[str]:
    heads = (
        "",
        "point",
        *(measure(one.metric).label for one in study.objectives),
        "differs from the base run in (its own)",
    )
    cells = [heads]
    for place, row in enumerate(best, start=1):
        values = (measure(one.metric).number(row.evaluation.metrics[one.metric]) for one in study.objectives)
        cells.append((str(place), str(row.number), *values, changes_of(study, row)))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for *numbers, last in cells:
        yield "  ".join([*(cell.rjust(width) for cell, width in zip(numbers, widths, strict=False)), last])


def _findings(study: Study) -> Iterator[str]:
    """What matters most, and why points are infeasible or failed."""
    if len(study.done) > 1 and study.axes:
        found = effects(study, study.first.metric)
        shares = [f"{found.axes[n].name} {100 * found.main[n]:.0f} %" for n in found.order if found.main[n] >= 0.005]
        if shares:
            yield f"variance of {measure(study.first.metric).name} explained by: {', '.join(shares[:_LISTED])}"
    for status in ("infeasible", "failed"):
        kinds = reasons(study, status)
        for one in kinds[:_LISTED]:
            yield f"{status}: {len(one.rows):,} points ({one.category}): {one.pattern}"
        if len(kinds) > _LISTED:
            rest = sum(len(one.rows) for one in kinds[_LISTED:])
            yield f"{status}: {rest:,} points for {len(kinds) - _LISTED} other reasons"
