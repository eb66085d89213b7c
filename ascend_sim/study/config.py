"""Study files: which algorithms are compared, on which inputs, of which shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import is_
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from ascend_sim.config import Document, _messages, find_study
from ascend_sim.config.figure import Strict
from ascend_sim.config.overrides import parse_overrides
from ascend_sim.errors import ConfigError, Diagnostic
from ascend_sim.study.algorithms import ALGORITHMS, Algorithm, HeadShape, LatentShape
from ascend_sim.study.inputs import DISTRIBUTIONS, Distribution, Input

Output = Literal["input", "fp32"]
Item = TypeVar("Item", Algorithm, Distribution)

MOST_SCORES = 2**26
"""Scores of a head; the reference holds all of them in float64."""
MOST_NUMBERS = 2**29
"""Numbers of the keys of a head; the reference holds all of them in float64, 4 GiB."""


class Comparison(Strict):
    """Two labels of algorithms: what is said of *algorithm* is said in comparison *with* the other one."""

    algorithm: str
    with_: Annotated[str, Field(alias="with")]


class File(Strict):
    """The keys of a study file; algorithms, inputs and shape are read again, as what they say they are."""

    description: str = ""
    algorithms: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)]
    inputs: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)]
    shape: dict[str, Any]
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], Field(min_length=1)] = (0,)
    outputs: Annotated[tuple[Output, ...], Field(min_length=1)] = ("input",)
    compare: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class Study:
    """A study, complete: the file at *path*, and all that determines its results."""

    path: Path
    description: str
    algorithms: tuple[Algorithm, ...]
    families: tuple[Distribution, ...]
    shape: LatentShape | HeadShape
    seeds: tuple[int, ...]
    outputs: tuple[Output, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def name(self) -> str:
        """The name of the file without its ending."""
        return self.path.stem

    @property
    def inputs(self) -> list[Input]:
        """All distributions, those of a grid one by one."""
        return [one for family in self.families for one in family.inputs()]

    def resolved(self) -> dict[str, Any]:
        """Return everything that determines the results as plain data for JSON, equal for equal studies."""
        return {
            "name": self.name,
            "description": self.description,
            "algorithms": [one.model_dump(mode="json") | {"label": one.name} for one in self.algorithms],
            "inputs": [one.model_dump(mode="json") for one in self.families],
            "shape": self.shape.model_dump(mode="json"),
            "seeds": list(self.seeds),
            "outputs": list(self.outputs),
            "compare": [one.model_dump(mode="json", by_alias=True) for one in self.comparisons],
        }


def load_study(path_or_name: str | Path, overrides: Sequence[str] = ()) -> Study:
    """Return the study of a file or of a bundled name, with *overrides* of its keys ("shape.rows=64").

    Raise an ArgumentError for malformed overrides, and a ConfigError with everything that is wrong in the file.
    """
    path = path_or_name if isinstance(path_or_name, Path) else find_study(path_or_name)
    document = _overridden(Document.load(path), overrides)
    file = document.parse(File)
    wrong: list[Diagnostic] = []
    algorithms = _items(document, "algorithms", "algorithm", file.algorithms, ALGORITHMS, wrong)
    families = _items(document, "inputs", "distribution", file.inputs, DISTRIBUTIONS, wrong)
    _raise(wrong)
    shape = document.parse(algorithms[0].SHAPE, ("shape",))
    _raise([
        *_other_shapes(document, algorithms),
        *_twice(document, "algorithms", [[one.name] for one in algorithms], "give one of them another 'label'"),
        *_twice(document, "inputs", [[i.name for i in one.inputs()] for one in families], "remove one of them"),
        *(found for key in ("seeds", "outputs") for found in _repeated(document, key, getattr(file, key))),
        *_repeated(document, "keys", shape.keys, ("shape", "keys")),
        *_too_large(document, shape),
        *_unknown_labels(document, file, algorithms),
    ])  # fmt: skip
    return Study(
        path, file.description, algorithms, families, shape, file.seeds, file.outputs, file.compare
    )  # fmt: skip


def _overridden(document: Document, overrides: Sequence[str]) -> Document:
    """Return *document* with *overrides*, which replace what stands there."""
    wrong = []
    for change in parse_overrides(overrides):
        if change.path[0] not in File.model_fields:
            message = _messages.unknown_key(change.path[0], (), list(File.model_fields))
            wrong.append(Diagnostic(message, change.origin))
            continue
        top = change.node()
        document = document.merged(top, partial(is_, top.at(change.path)))
    _raise(wrong)
    return document


def _items(
    document: Document, section: str, tag: str, written: Sequence[Mapping[str, Any]],
    known: Mapping[str, type[Item]], wrong: list[Diagnostic],
) -> tuple[Item, ...]:
    """The items of *section* as what the key *tag* of each says it is; what is wrong is added to *wrong*."""
    found: list[Item] = []
    for index, item in enumerate(written):
        loc: tuple[str | int, ...] = (section, index)
        name = item.get(tag)
        if tag not in item:
            choices = _messages.choices("", list(known), "known")
            wrong.append(document.diagnostic(loc, f"missing key '{tag}'; write '{tag}: ...' there{choices}"))
        elif not isinstance(name, str) or name not in known:
            choices = _messages.choices(str(name), list(known), f"known {tag}s")
            wrong.append(document.diagnostic((*loc, tag), f"there is no {tag} {_messages.shown(name)}{choices}"))
        else:
            try:
                found.append(document.parse(known[name], loc))
            except ConfigError as error:
                wrong += error.diagnostics
    return tuple(found)


def _raise(wrong: Sequence[Diagnostic]) -> None:
    """Raise a ConfigError with all that is *wrong*, in the order of the file, if anything is."""
    if wrong:
        raise ConfigError(sorted(wrong, key=lambda one: (one.file or "", one.line or 0, one.column or 0)))


def _other_shapes(document: Document, algorithms: Sequence[Algorithm]) -> Iterator[Diagnostic]:
    """Algorithms that are for another kind of attention than the first one."""
    first = algorithms[0]
    for index, one in enumerate(algorithms):
        if one.SHAPE is not first.SHAPE:
            kinds = {LatentShape: "latent attention", HeadShape: "attention by heads"}
            message = (
                f"{one.algorithm} is for {kinds[one.SHAPE]}, but {first.algorithm} above it for "
                f"{kinds[first.SHAPE]}, and no inputs are for both; make two studies of them"
            )
            yield document.diagnostic(("algorithms", index, "algorithm"), message)


def _twice(document: Document, section: str, names: Sequence[Sequence[str]], way_out: str) -> Iterator[Diagnostic]:
    """Items of *section* one of whose *names* an earlier item has, too."""
    seen: set[str] = set()
    for index, own in enumerate(names):
        again = next((name for name in own if name in seen), None)
        if again is not None or len(set(own)) < len(own):
            shown = again if again is not None else next(name for name in own if own.count(name) > 1)
            message = f"'{shown}' is there twice, and tables could not tell them apart; {way_out}"
            yield document.diagnostic((section, index), message)
        seen.update(own)


def _repeated(
    document: Document, key: str, values: Sequence[int | str], loc: tuple[str, ...] | None = None
) -> Iterator[Diagnostic]:
    """A value that a list holds twice."""
    for index, value in enumerate(values):
        if value in values[:index]:
            message = f"{key}: {value} is there twice; remove one of them"
            yield document.diagnostic((*(loc or (key,)), index), message)


def _too_large(document: Document, shape: LatentShape | HeadShape) -> Iterator[Diagnostic]:
    rows, columns = shape.queries
    for index, keys in enumerate(shape.keys):
        if rows * keys > MOST_SCORES:
            message = (
                f"{rows:,} rows x {keys:,} keys are {rows * keys:,} scores of a head, which the reference holds at "
                f"once; the most are {MOST_SCORES:,}, so write {MOST_SCORES // rows:,} keys or fewer, or less rows"
            )
            yield document.diagnostic(("shape", "keys", index), message)
        elif keys * columns > MOST_NUMBERS:
            message = (
                f"{keys:,} keys x {columns:,} columns are {keys * columns:,} numbers, which the reference holds at "
                f"once; the most are {MOST_NUMBERS:,}, so write {MOST_NUMBERS // columns:,} keys or fewer"
            )
            yield document.diagnostic(("shape", "keys", index), message)


def _unknown_labels(document: Document, file: File, algorithms: Sequence[Algorithm]) -> Iterator[Diagnostic]:
    names = [one.name for one in algorithms]
    for index, comparison in enumerate(file.compare):
        for key, label in (("algorithm", comparison.algorithm), ("with", comparison.with_)):
            if label not in names:
                choices = _messages.choices(label, names, "labels of this study")
                yield document.diagnostic(("compare", index, key), f"no algorithm is called '{label}'{choices}")
