"""The results of a study for people, and as JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from typing import Any

from ascend_sim.study.config import Output, Study
from ascend_sim.study.metrics import Errors
from ascend_sim.study.run import Measured
from ascend_sim.study.summary import ALIKE, Place, Results, Verdict, percent, summarise, verdicts

SCHEMA = "ascend-sim/study/1"


def lines(results: Results, width: int) -> Iterator[str]:
    """For each output a table of errors; then which scores are beyond fp16, and what the comparisons say.

    Sentences are wrapped to *width* columns; tables are as wide as they must be.
    """
    study = results.study
    yield from _wrapped(f"{study.name}: {study.description}".removesuffix(": "), width)
    yield from _wrapped(_scope(study), width)
    for output in study.outputs:
        yield ""
        yield from _table(results, output)
    sections = [_overflow(results), *(_sentences(results, verdict) for verdict in verdicts(results))]
    for section in sections:
        said = list(section)
        yield from [""] if said else []
        for line in said:
            yield from _wrapped(line, width)


def study_json(study: Study, measured: Sequence[Measured]) -> str:
    """The text of study.json: the study, every draw, and what they come to over the seeds."""
    results = summarise(study, measured)
    content = {
        "schema": SCHEMA,
        "study": study.resolved(),
        "draws": [_flat(one) for one in measured],
        "summary": [
            {"algorithm": algorithm, "output": output, "input": place[0], "keys": place[1], **asdict(cell)}
            for (output, algorithm, place), cell in results.cells.items()
        ],
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def errors_csv(measured: Sequence[Measured]) -> str:
    """A line for every algorithm, output and draw; what is not finite is left empty."""
    text = io.StringIO()
    columns = ["algorithm", "output", "input", "keys", "seed", *(field.name for field in fields(Errors))]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_flat(one) for one in measured)
    return text.getvalue()


def _flat(one: Measured) -> dict[str, Any]:
    place = {"algorithm": one.algorithm, "output": one.output, "input": one.input, "keys": one.keys, "seed": one.seed}
    return place | asdict(one.errors)


def _scope(study: Study) -> str:
    """Shape, seeds, and what the errors are of."""
    keys = f", {study.shape.keys[0]:,} keys" if len(study.shape.keys) == 1 else ""
    seeds = f"mean of {len(study.seeds)} seeds" if len(study.seeds) > 1 else f"seed {study.seeds[0]}"
    return f"{study.shape.text}{keys}; {seeds}; relative Frobenius error against softmax attention in float64"


def _table(results: Results, output: Output) -> Iterator[str]:
    """A line for each input and number of keys, a column for each algorithm; labels are broken at blanks."""
    several = len(results.study.shape.keys) > 1
    rows = [_row(results, output, place, several) for place in results.places]
    heads = [f"output {output_name(results.study, output)}", *(["keys"] if several else []), *results.algorithms]
    needed = [max(map(len, column)) for column in zip(*rows, strict=True)]
    broken = [textwrap.wrap(head, width, break_long_words=False) for head, width in zip(heads, needed, strict=True)]
    broken[0] = heads[:1]
    widths = [max(width, *map(len, head)) for width, head in zip(needed, broken, strict=True)]
    most = max(map(len, broken))
    upright = [[""] * (most - len(head)) + head for head in broken]
    for row in (*zip(*upright, strict=True), *rows):
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join((row[0].ljust(widths[0]), *cells[1:])).rstrip()


def _row(results: Results, output: Output, place: Place, several: bool) -> list[str]:
    name, keys = place
    cells = [results.cell(output, algorithm, place).text for algorithm in results.algorithms]
    return [name, *([f"{keys:,}"] if several else []), *cells]


def output_name(study: Study, output: Output) -> str:
    """The format of *output*; several if those of the algorithms differ."""
    return "fp32" if output == "fp32" else "/".join(dict.fromkeys(one.dtype for one in study.algorithms))


def _overflow(results: Results) -> Iterator[str]:
    """Which share of the scores is beyond fp16, where there are any."""
    output, algorithm = results.study.outputs[0], results.algorithms[0]
    shares = {place: results.cell(output, algorithm, place).overflow for place in results.places}
    beyond = {place: share for place, share in shares.items() if share}
    if beyond:
        yield "scores Q K^T beyond fp16 (magnitude above 65504):"
        named = [f"{place_name(results.study, place)} {percent(share)}" for place, share in beyond.items()]
        yield f"  {'; '.join(named)}"


def _sentences(results: Results, verdict: Verdict) -> Iterator[str]:
    """What *verdict* says, a line for each kind of outcome."""
    study, own, other = results.study, verdict.comparison.algorithm, verdict.comparison.with_
    output = f", output {output_name(study, verdict.output)}" if len(study.outputs) > 1 else ""
    count = len(results.places)
    yield f"{own} compared with {other}{output}:"
    ways: list[tuple[str, Iterable[Place], dict[Place, float]]] = [
        (f"finite where {other} is not", verdict.only_finite, {}),
        (f"not finite where {other} is", verdict.only_broken, {}),
        ("neither is finite", verdict.both_broken, {}),
        ("more accurate", verdict.better, verdict.better),
        ("less accurate", verdict.worse, verdict.worse),
        (f"as accurate, within {percent(ALIKE - 1)}", verdict.alike, {}),
    ]
    for words, places, ratios in ways:
        names = [place_name(study, one) + (f" {ratios[one]:.3g}x" if one in ratios else "") for one in places]
        if names:
            everywhere = len(names) == count and not ratios
            where = "everywhere" if everywhere else f"{len(names)} of {count}: {'; '.join(names)}"
            yield f"  {words}: {where}"


def place_name(study: Study, place: Place) -> str:
    """The input, with the number of keys if there are several."""
    name, keys = place
    return f"{name}, {keys:,} keys" if len(study.shape.keys) > 1 else name


def _wrapped(line: str, width: int) -> list[str]:
    """*line* in pieces of *width*, all of them indented as the first one."""
    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )  # fmt: skip
