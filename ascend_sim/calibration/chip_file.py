"""Writing fitted figures as a chip file that extends the chip they belong to."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from ascend_sim.calibration.fit import Calibration, Fitted
from ascend_sim.config import Chip, Document, bundled, find_chip, load_chip
from ascend_sim.errors import ArgumentError, Diagnostic

ENDINGS = (".yaml", ".yml")
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def load(chip: str) -> Chip:
    """The chip of a name or a path; raise an ArgumentError for the ending of another kind of file, as of a table."""
    if Path(chip).suffix and Path(chip).suffix not in ENDINGS:
        way_out = "write the chip first, and the tables after --data"
        raise ArgumentError(Diagnostic(f"is no chip file, which ends in {' or '.join(ENDINGS)}; {way_out}", chip))
    return load_chip(chip)


def target(chip: str, out: Path | None, force: bool) -> Path:
    """The file to write for the chip of a name or a path: *out*, or CHIP-calibrated.yaml in the current folder.

    Raise an ArgumentError if it exists and is not to be replaced by *force*, or could not be read as that chip file.
    """
    base = find_chip(chip)
    path = Path(f"{base.stem}-calibrated.yaml") if out is None else out
    if path.suffix not in ENDINGS:
        message = f"is no name of a chip file; write one that ends in {' or '.join(ENDINGS)}"
        raise ArgumentError(Diagnostic(message, str(path)))
    if path.exists() and path.samefile(base):
        message = "is the chip that the new file extends, and is not overwritten; choose another name with --out"
        raise ArgumentError(Diagnostic(message, str(path)))
    for upper, lower in pairwise(_chain(base)) if path.exists() else ():
        if path.samefile(lower):
            message = f"is the chip that {upper.name} extends, and is not overwritten; choose another name with --out"
            raise ArgumentError(Diagnostic(message, str(path)))
    if path.exists() and not force:
        message = "exists already and is not overwritten; choose another name with --out, or add --force"
        raise ArgumentError(Diagnostic(message, str(path)))
    return path


def _chain(path: Path) -> Iterator[Path]:
    """The chip file at *path*, the one that it extends, and so on."""
    yield path
    extends = Document.load(path).root.child("extends")
    if extends is not None and isinstance(extends.content, str):
        yield from _chain(find_chip(extends.content, path))


def chip_text(calibration: Calibration, chip: str, path: Path, tables: Sequence[Path]) -> str:
    """The text of the chip file at *path* with the figures of *calibration*, fitted to *tables*.

    It extends *chip*, a bundled name or a path.
    """
    sources = _sources(calibration)
    names = ", ".join(table.name for table in tables)
    name = calibration.chip.name
    lines = [
        f"name: {_quoted(f'{name}-calibrated')}",
        f"description: {_quoted(f'{name} with {len(calibration.figures)} figures fitted to {names}')}",
        f"extends: {_quoted(_base(chip, path))}",
        "",
        "sources:",
        *(f"  {key}: {_quoted(text)}" for text, key in sources.items()),
    ]
    opened: list[str] = []
    for figure, key, content in _entries(calibration):
        *sections, last = key
        for depth, section in enumerate(sections):
            if opened[: depth + 1] != sections[: depth + 1]:
                lines += [""] if depth == 0 else []
                lines.append(f"{'  ' * depth}{section}:")
                opened = sections[: depth + 1]
        opened = sections
        note = _quoted(figure.note())
        source = sources[figure.evidence.source]
        lines.append(
            f"{'  ' * len(sections)}{last}: {{{content}, source: {source}, standing: {figure.standing}, note: {note}}}"
        )
    return "\n".join(lines) + "\n"


def _entries(calibration: Calibration) -> Iterator[tuple[Fitted, list[str], str]]:
    """Each figure or vector row with its key and its values, figures of one section together."""
    rows: dict[str, list[Fitted]] = {}
    for figure in calibration.figures:
        vector = figure.key.startswith("vector.ops.")
        rows.setdefault(figure.key.rpartition(".")[0] if vector else figure.key, []).append(figure)
    for key in _grouped(list(rows)):
        own, names = rows[key], key.split(".")
        if names[0] != "vector":
            yield own[0], names, f"value: {_number(own[0].after)}"
            continue
        latency = calibration.chip.vector.ops[names[2]][names[3]].latency_cycles
        cycles = ", ".join(f"{one.key.rpartition('.')[2]}: {_number(one.after)}" for one in own)
        yield own[0], names, f"{cycles}, latency_cycles: {latency}"


def _grouped(keys: Sequence[str]) -> list[str]:
    """*keys* with those of one section together, sections and keys in order of appearance."""
    place: dict[tuple[str, ...], int] = {}

    def prefixes(key: str) -> list[tuple[str, ...]]:
        parts = key.split(".")
        return [tuple(parts[:depth]) for depth in range(1, len(parts) + 1)]

    for key in keys:
        for prefix in prefixes(key):
            place.setdefault(prefix, len(place))
    return sorted(keys, key=lambda key: [place[prefix] for prefix in prefixes(key)])


def _sources(calibration: Calibration) -> dict[str, str]:
    """A key of the legend for each source text, none of which the chip uses already for another text."""
    legend = dict(calibration.chip.sources)
    found: dict[str, str] = {}
    for text in dict.fromkeys(figure.evidence.source for figure in calibration.figures):
        word = _KEY.search(text)
        first = key = word.group().upper() if word else "TABLE"
        number = 2
        while legend.get(key, text) != text:
            key, number = f"{first}_{number}", number + 1
        found[text], legend[key] = key, text
    return found


def _base(chip: str, path: Path) -> str:
    """What the file at *path* calls *chip* in "extends": a path is written as seen from its folder."""
    base = find_chip(chip).resolve()
    if base.parent == bundled("chips").resolve():
        return base.stem
    return os.path.relpath(base, path.resolve().parent)


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _quoted(text: str) -> str:
    """*text* as a YAML scalar; a word stays bare."""
    return text if re.fullmatch(r"[A-Za-z][\w-]*", text) else json.dumps(text, ensure_ascii=False)
