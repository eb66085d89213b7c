"""Run files: which program runs on which chip, with which data and parameters."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field

from ascend_sim.config import _messages, locate
from ascend_sim.config._nodes import Node, Place, node_of
from ascend_sim.config.chip import Chip
from ascend_sim.config.chip_file import (
    build_chip,
    changed,
    chip_document,
    find_base,
    overridden,
    targets_chip,
)
from ascend_sim.config.figure import Strict
from ascend_sim.config.overrides import Override, parse_overrides
from ascend_sim.config.yaml_document import Document
from ascend_sim.errors import ConfigError, Diagnostic, ProgramError

Model = TypeVar("Model", bound=BaseModel)


class DataConfig(Strict):
    """The contents of the input tensors. Without *enabled* the run is timed only and computes no numbers.

    Values are drawn with *seed* from a *distribution* and multiplied by *scale*; "rising" grows along the
    first axis.
    """

    enabled: bool = False
    seed: Annotated[int, Field(ge=0)] = 0
    distribution: Literal["normal", "uniform", "rising"] = "normal"
    scale: Annotated[float, Field(gt=0)] = 1.0


class LaunchConfig(Strict):
    """How the kernel is launched: on *blocks* cores, or on as many as the program asks for when that is
    None.
    """

    blocks: Annotated[int, Field(ge=1)] | None = None


class _Head(Strict):
    """The keys of a run file that are the same for every program, except the chip."""

    program: str
    description: str = ""
    data: DataConfig = DataConfig()
    launch: LaunchConfig = LaunchConfig()
    symmetry: bool = True


_HEAD_KEYS = (*_Head.model_fields, "chip")


@dataclass(frozen=True)
class RunConfig:
    """A run, complete: the run file at *path* with its overrides, and the chip that it names."""

    path: Path
    program: str
    chip: Chip
    chip_name: str
    description: str
    data: DataConfig
    launch: LaunchConfig
    symmetry: bool
    document: Document = field(repr=False)

    @property
    def sections(self) -> dict[str, Any]:
        """The mappings of the file that are the program's own (problem, schedule, tiling ...), as plain
        data.
        """
        return self._own().data

    def parameters(self, model: type[Model]) -> Model:
        """Return the program's sections as an instance of the program's *model*.

        Raise a ConfigError with every unknown key, missing key and wrong value, each at its place, and a
        ProgramError when a validator of the model fails with anything else than a ValueError.
        """
        try:
            return self._own().parse(model, also_known=_HEAD_KEYS)
        except ConfigError:
            raise
        except Exception as error:
            frames = [one for one in traceback.extract_tb(error.__traceback__) if not locate.is_installed(one.filename)]
            message = f"a validator of the parameters failed with {type(error).__name__}: {error}"
            way_out = "raise a ValueError there to refuse a value"
            at = (frames[-1].filename, frames[-1].lineno) if frames else (str(self.program_file()), None)
            raise ProgramError(Diagnostic(f"{message}; {way_out}", *at)) from error

    def program_file(self) -> Path:
        """Return the file of the program; raise a ProgramError at the key 'program' when there is none."""
        place = self.document.place(("program",))
        try:
            return locate.find_program(self.program, None if place.line is None else self.path)
        except ProgramError as error:
            raise ProgramError([place.diagnostic(found.message) for found in error.diagnostics]) from None

    def resolved(self) -> dict[str, Any]:
        """Return everything that determines the run as plain data for JSON, equal for equal runs.

        The sections are sorted by key, since the order in which they are written means nothing.
        """
        return {
            "program": self.program,
            "description": self.description,
            "data": self.data.model_dump(mode="json"),
            "launch": self.launch.model_dump(mode="json"),
            "symmetry": self.symmetry,
            "sections": _sorted(self.sections),
            "chip_name": self.chip_name,
            "chip": self.chip.model_dump(mode="json"),
        }

    def _own(self) -> Document:
        return self.document.select(lambda key: key not in _HEAD_KEYS)


def load_run(path_or_name: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Return the run of a file or of a bundled name, with *overrides* such as "launch.blocks=24".

    Overrides that begin with "chip." change figures of the chip, all others the run file. Raise an
    ArgumentError for malformed overrides and a ConfigError with everything that is wrong in the run file and
    in the chip.
    """
    changes = parse_overrides(overrides)
    path = path_or_name if isinstance(path_or_name, Path) else locate.find_run(path_or_name)
    return _run(Document.load(path), None, changes)


def rerun(config: Mapping[str, Any], path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Return the run whose `resolved()` was *config*, as the file at *path* keeps it, with *overrides*.

    The chip is the one that was simulated then, whatever has become of its file. A program that is not bundled
    is the file `program_file` of *config*. Raise what load_run() raises.
    """
    place = Place(str(path))
    head = {key: config[key] for key in _Head.model_fields}
    program = config.get("program_file") or config["program"]
    content = {**config["sections"], **head, "program": program, "chip": config["chip_name"]}
    chip = Document(path, node_of(config["chip"], place))
    return _run(Document(path, node_of(content, place)), chip, parse_overrides(overrides))


def varied(run: RunConfig, changes: Sequence[Override]) -> RunConfig:
    """Return *run* with *changes*, as load_run() of its file with these overrides; raise what load_run() raises."""
    if any(targets_chip(change) or change.path == ("chip",) for change in changes):
        chip = Document(run.path, node_of(run.chip.model_dump(mode="json"), Place(run.chip_name)))
        changed = _run(run.document, chip, changes)
        renamed = any(change.path == ("chip",) for change in changes)
        return changed if renamed else replace(changed, chip_name=run.chip_name)
    return _with_chip(run.document, changes, lambda _: (run.chip, run.chip_name))


def _run(document: Document, chip_document: Document | None, changes: Sequence[Override]) -> RunConfig:
    """Return the run of *document* with *changes*, on the chip of *chip_document* if there is one and the
    changes name no other, else on the one that *document* names.
    """
    of_chip = [change for change in changes if targets_chip(change)]

    def chip_of(merged: Document) -> tuple[Chip, str]:
        if chip_document is None or any(change.path == ("chip",) for change in changes):
            return _chip(merged, of_chip)
        return build_chip(overridden(chip_document, of_chip)), merged.data["chip"]

    return _with_chip(document, changes, chip_of)


def _with_chip(
    document: Document, changes: Sequence[Override], chip_of: Callable[[Document], tuple[Chip, str]]
) -> RunConfig:
    """Return the run of *document* with *changes*, on the chip and chip name that *chip_of* makes of the two."""
    wrong: list[Diagnostic] = []
    for change in changes:
        refusal = _refusal(document, change)
        if refusal is not None:
            wrong.append(Diagnostic(refusal, change.origin))
        elif not targets_chip(change):
            document = document.merged(change.node())
    wrong += _stray_values(document)
    head = chip = None
    try:
        head = document.select(lambda key: key in _Head.model_fields).parse(_Head)
    except ConfigError as error:
        wrong += error.diagnostics
    try:
        chip = chip_of(document)
    except ConfigError as error:
        wrong += error.diagnostics
    if wrong or head is None or chip is None:
        raise ConfigError(wrong)
    return RunConfig(
        path=document.path,
        program=head.program,
        chip=chip[0],
        chip_name=chip[1],
        description=head.description,
        data=head.data,
        launch=head.launch,
        symmetry=head.symmetry,
        document=document,
    )


def _sorted(value: Any) -> Any:
    return {key: _sorted(value[key]) for key in sorted(value)} if isinstance(value, dict) else value


def _stray_values(document: Document) -> list[Diagnostic]:
    """Return a refusal of each top-level key that is neither known nor a section."""
    found = []
    for key, node in document.root.members.items():
        if key in _HEAD_KEYS or isinstance(node.content, dict):
            continue
        if node.content is None:
            message = f"section '{key}' is empty; write its 'key: value' lines indented below it, or remove it"
        else:
            unknown = _messages.unknown_key(key, (), _HEAD_KEYS)
            message = f"{unknown}; a section of the program must be a mapping"
        found.append(document.diagnostic((key,), message, at_key=True))
    return found


def _refusal(document: Document, change: Override) -> str | None:
    """Return why *change* cannot be laid over the run *document*: it names an item of a list."""
    for depth in range(1, len(change.path)):
        node = document.root.at(change.path[:depth])
        if node is not None and isinstance(node.content, list):
            name = _messages.dotted(change.path[:depth])
            items = _messages.shown(node.plain())
            return f"'{name}' is a list, whose items have no keys; write the whole list: --set {name}={items}"
    return None


def _chip(document: Document, overrides: Sequence[Override]) -> tuple[Chip, str]:
    """Return the chip that the run *document* names, changed as it says, and the name of its file."""
    named = document.root.child("chip")
    if named is None:
        example = locate.names("chips")[0]
        message = f"missing key 'chip' at the top level; write 'chip: {example}', for example"
        raise ConfigError(document.diagnostic((), message))
    change: Node | None = None
    if isinstance(named.content, dict):
        base = named.child("extends")
        if base is None:
            message = "missing key 'extends' in section 'chip'; write 'extends: NAME' of a chip there"
            raise ConfigError(named.place.diagnostic(message))
        change = named.with_members({key: node for key, node in named.members.items() if key != "extends"})
        named = base
    path = find_base(named, document.path)
    described = chip_document(path)
    if change is not None:
        name = document.path.name
        described = changed(described, change, name, f"value given in the run file {name}")
    return build_chip(overridden(described, overrides)), path.stem
