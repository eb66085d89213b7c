"""Chip files: chains of ``extends:``, changes made by run files and ``--set``, and the checks of the
result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ascend_sim.config import _messages, locate
from ascend_sim.config._annotations import children, is_open_mapping, models
from ascend_sim.config._nodes import Node
from ascend_sim.config.chip import Chip, VectorRow, inconsistencies
from ascend_sim.config.figure import Figure
from ascend_sim.config.overrides import Override, parse_overrides
from ascend_sim.config.yaml_document import Document
from ascend_sim.errors import ArgumentError, ConfigError, Diagnostic

# What a file says about itself; the file that extends it does not inherit it.
_OWN_KEYS = ("name", "description", "abstract", "extends")
_COMMAND_LINE = "--set"
_COMMAND_LINE_MEANING = "value given on the command line"


def load_chip(name_or_path: str, overrides: Sequence[str] = (), relative_to: Path | None = None) -> Chip:
    """Return the chip of a bundled name or a file, with *overrides* such as "chip.hbm.bytes_per_second=1e12".

    A relative path counts from *relative_to*, the file that names the chip. Raise a ConfigError with every
    unknown key, missing key, wrong value and missing source found, each at the file, line and column where it
    was written; raise an ArgumentError for an override that does not begin with "chip.".
    """
    changes = parse_overrides(overrides)
    foreign = [change for change in changes if not targets_chip(change)]
    if foreign:
        message = "a chip takes only overrides that begin with 'chip.', such as chip.dies=1"
        raise ArgumentError([Diagnostic(message, change.origin) for change in foreign])
    return build_chip(overridden(chip_document(locate.find_chip(name_or_path, relative_to)), changes))


def targets_chip(override: Override) -> bool:
    """Say whether *override* changes a figure of the chip."""
    return override.path[0] == "chip" and len(override.path) > 1


def chip_document(path: Path, chain: tuple[Path, ...] = ()) -> Document:
    """Return the chip file at *path* laid over the files that it extends; *chain* holds the files that led
    here.

    Raise a ConfigError when a file is missing or extends itself in the end.
    """
    document = Document.load(path)
    chain = (*chain, path)
    extends = document.root.child("extends")
    if extends is None or extends.content is None:
        return document
    base_path = find_base(extends, path)
    if base_path.resolve() in [known.resolve() for known in chain]:
        names = " -> ".join(known.name for known in (*chain, base_path))
        message = f"the chips extend each other: {names}; remove one 'extends'"
        raise ConfigError(extends.place.diagnostic(message))
    base = chip_document(base_path, chain).select(lambda key: key not in _OWN_KEYS)
    return Document(path, base.merged(document.root, _is_sourced).root)


def find_base(named: Node, relative_to: Path) -> Path:
    """Return the chip file that the value *named* of the file *relative_to* names; raise a ConfigError at the
    value.
    """
    if not isinstance(named.content, str):
        message = f"expected the name or path of a chip, but it is {_messages.shown(named.plain())}"
        raise ConfigError(named.place.diagnostic(message))
    # A path given on the command line counts from the current folder, not from a file.
    origin = None if named.place.line is None else relative_to
    try:
        return locate.find_chip(named.content, origin)
    except ConfigError as error:
        raise ConfigError([named.place.diagnostic(found.message) for found in error.diagnostics]) from None


def overridden(document: Document, overrides: Sequence[Override]) -> Document:
    """Return the chip *document* changed by *overrides*; raise a ConfigError for keys that it does not
    have.
    """
    wrong: list[Diagnostic] = []
    for override in overrides:
        refusal = _refusal(document, override)
        if refusal is None:
            document = changed(document, override.node(skip=1), _COMMAND_LINE, _COMMAND_LINE_MEANING)
        else:
            wrong.append(Diagnostic(refusal, override.origin))
    if wrong:
        raise ConfigError(wrong)
    return document


def changed(document: Document, change: Node, source: str, meaning: str) -> Document:
    """Return the chip *document* with *change* laid over it.

    A bare value of *change* becomes a figure of standing "override" whose source is *source*, which enters
    the legend with its *meaning*.
    """
    legend = Node({source: Node(meaning, change.place)}, change.place)
    with_source = document.merged(Node({"sources": legend}, document.root.place))
    return with_source.merged(_with_sources(change, document.root, [Chip], source), _is_sourced)


def build_chip(document: Document) -> Chip:
    """Return the chip that *document* describes; raise a ConfigError with everything that is wrong."""
    abstract = document.root.child("abstract")
    if abstract is not None and abstract.content is True:
        known = ", ".join(locate.names("chips"))
        message = f"this file is abstract, a base for chips to extend; choose one of: {known}"
        raise ConfigError(abstract.place.diagnostic(message))
    wrong: list[Diagnostic] = []
    try:
        chip = document.parse(Chip)
    except ConfigError as error:
        wrong += error.diagnostics
    wrong += _unknown_sources(document)
    if wrong:
        raise ConfigError(wrong)
    for locs, message in inconsistencies(chip):
        # Of figures that contradict each other the one that the user changed is the one to look at.
        standings = [document.root.at((*loc, "standing")) for loc in locs]
        changes = [n for n, standing in enumerate(standings) if standing and standing.content == "override"]
        loc = locs[changes[0] if changes else 0]
        wrong.append(document.diagnostic((*loc, "value"), message))
    if wrong:
        raise ConfigError(wrong)
    return chip


def _is_sourced(node: Node) -> bool:
    """A figure or a row comes with its source; merged with another, it would take over the wrong one."""
    return "value" in node.members or "source" in node.members


def _unknown_sources(document: Document) -> Iterator[Diagnostic]:
    named = document.root.child("sources")
    legend = list(named.members) if named is not None else []
    waiting = [document.root]
    while waiting:
        node = waiting.pop(0)
        source = node.child("source")
        if source is not None and isinstance(source.content, str) and source.content not in legend:
            ending = _messages.choices(source.content, legend, "known sources")
            yield source.place.diagnostic(f"source '{source.content}' is not in the legend 'sources'{ending}")
        waiting += [member for key, member in node.members.items() if key != "sources"]


def _refusal(document: Document, override: Override) -> str | None:
    """Return why *override* cannot be laid over the chip *document*, or None.

    Keys that the models declare are checked with the figures; those of the open mappings must exist already.
    """
    path = override.path[1:]
    if path[0] in ("extends", "abstract", "sources"):
        return f"'{path[0]}' cannot be overridden; choose another chip with --set chip=NAME instead"
    node: Node | None = document.root
    here: list[Any] = [Chip]
    for depth, key in enumerate(path):
        existing = node.members if node is not None else {}
        if any(map(is_open_mapping, here)) and key not in existing:
            return _messages.unknown_key(key, path[:depth], list(existing))
        node = existing.get(key)
        here = children(here, key)
    return None


def _with_sources(change: Node, base: Node | None, here: Sequence[Any], source: str) -> Node:
    """Return *change* with a source at every figure and row; *here* are the types expected at its place."""
    known = models(here)
    marks = {"source": Node(source, change.place), "standing": Node("override", change.place)}
    if any(issubclass(model, Figure) for model in known):
        bare = not isinstance(change.content, dict)
        if bare or list(change.members) == ["value"]:
            value = Node(change.content, change.place) if bare else change.members["value"]
            return change.with_members({"value": value, **marks})
        return change
    if VectorRow in known and change.members and "source" not in change.members:
        kept = {key: node for key, node in (base.members if base else {}).items() if key != "note"}
        return change.with_members({**kept, **change.members, **marks})
    members = {
        key: _with_sources(member, base.child(key) if base else None, children(here, key), source)
        for key, member in change.members.items()
    }
    return change.with_members(members) if isinstance(change.content, dict) else change
