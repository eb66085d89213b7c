"""YAML files whose errors name file, line and column of the offending key or value."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ascend_sim.config import _messages
from ascend_sim.config._annotations import annotations_at, known_keys
from ascend_sim.config._nodes import Loc, Node, Place, merge, read_yaml
from ascend_sim.errors import ConfigError, Diagnostic

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Document:
    """A mapping read from *path*, possibly laid over other files and under overrides.

    Every value keeps the place where it was written, so that a wrong figure inherited from a base file is
    reported in the base file, and one given on the command line as "--set KEY=VALUE".
    """

    path: Path
    root: Node

    @classmethod
    def load(cls, path: Path) -> Document:
        """Read the YAML 1.2 file at *path*.

        Raise a ConfigError with the position when the file cannot be read, is not UTF-8, is empty, is not
        valid YAML, has a key twice, or holds something else than a mapping.
        """
        root = read_yaml(_text(path), str(path))
        if not isinstance(root.content, dict):
            found = _messages.shown(root.plain())
            message = f"expected 'key: value' lines at the top level, but found {found}"
            raise ConfigError(root.place.diagnostic(message))
        return cls(path, root)

    @property
    def data(self) -> dict[str, Any]:
        """The whole mapping as dicts, lists and scalars."""
        data: dict[str, Any] = self.root.plain()
        return data

    def place(self, loc: Sequence[str | int], at_key: bool = False) -> Place:
        """Return where the deepest existing node on the way to *loc* was written (its key, if *at_key*).

        Parts of *loc* that are no keys of the document, such as the tag of a union, are skipped.
        """
        node = self.root
        for key in loc:
            node = node.child(key) or node
        return (node.key_place or node.place) if at_key else node.place

    def position(self, loc: Sequence[str | int]) -> tuple[int | None, int | None]:
        """Return line and column, from 1, of the deepest node on the way to *loc*; None each for an
        override.
        """
        place = self.place(loc)
        return place.line, place.column

    def diagnostic(self, loc: Sequence[str | int], message: str, at_key: bool = False) -> Diagnostic:
        """Return *message* as a finding about the value at *loc*, or about its key."""
        return self.place(loc, at_key).diagnostic(message)

    def merged(self, top: Node, is_whole: Callable[[Node], bool] = lambda node: False) -> Document:
        """Return this document with *top* laid over it; mappings for which *is_whole* holds are replaced."""
        return Document(self.path, merge(self.root, top, is_whole))

    def select(self, wanted: Callable[[str], bool]) -> Document:
        """Return this document with only those top-level keys for which *wanted* holds."""
        members = {key: node for key, node in self.root.members.items() if wanted(key)}
        return Document(self.path, self.root.with_members(members))

    def parse(
        self, model: type[Model], loc: Sequence[str | int] = (), also_known: Collection[str] = ()
    ) -> Model:
        """Return the mapping at *loc*, or an empty one when it is not written, as an instance of *model*.

        Validation is strict and refuses unknown keys whatever the model says; a list may stand for a tuple.
        The keys *also_known* are offered too when a key is mistyped. Raise one ConfigError with every error
        found.
        """
        loc = tuple(loc)
        node = self.root.at(loc)
        text = json.dumps(node.plain() if node is not None else {})
        try:
            return model.model_validate_json(text, strict=True, extra="forbid")
        except ValidationError as error:
            raise ConfigError(self._findings(error, model, loc, also_known)) from None

    def _findings(
        self, error: ValidationError, model: type[BaseModel], at: Loc, also_known: Collection[str]
    ) -> list[Diagnostic]:
        details = error.errors(include_url=False)
        # A mistyped required key gives two errors, an unknown and a missing key, for one fault.
        meant: set[Loc] = set()
        found = []
        for detail in details:
            if detail["type"] == "extra_forbidden":
                *inside, key = detail["loc"]
                known = known_keys(annotations_at(model, inside)) + (list(also_known) if not inside else [])
                near = _messages.nearest(str(key), known)
                meant |= {(*inside, near)} if near else set()
                message = _messages.unknown_key(str(key), self._written((*at, *inside)), known)
                found.append(self.diagnostic((*at, *detail["loc"]), message, at_key=True))
        for detail in details:
            full = (*at, *detail["loc"])
            if detail["type"] == "missing" and detail["loc"] not in meant:
                *inside, key = full
                where = _messages.section(self._written(inside))
                message = f"missing key '{key}' {where}; write '{key}: ...' there"
                found.append(self.diagnostic(inside, message))
        wrong = [detail for detail in details if detail["type"] not in ("missing", "extra_forbidden")]
        found += self._wrong_values(wrong, at)
        return sorted(found, key=_reading_order)

    def _wrong_values(self, details: Sequence[Any], at: Loc) -> Iterator[Diagnostic]:
        """Yield one finding for each wrong value, although every type of a union refuses it in its own way."""
        places: dict[Loc, list[Any]] = {}
        for detail in details:
            places.setdefault(self._written((*at, *detail["loc"])), []).append(detail)
        for written, here in places.items():
            # Where one type of a union took the value, what it says of the value or of a part of it is the fault.
            inside = any(other[: len(written)] == written != other for other in places)
            # An item that is refused does not count for pydantic, and so its list may be said to be too short, too.
            here = [detail for detail in here if not (inside and detail["type"] == "too_short")]
            limits = [detail for detail in here if not _messages.is_type_error(detail)]
            if limits:
                yield from (self._wrong_value(detail, (*at, *detail["loc"])) for detail in limits)
            elif len(here) == 1 and not inside:
                yield self._wrong_value(here[0], (*at, *here[0]["loc"]))
            elif not inside:
                yield self.diagnostic(written, _messages.wrong_types(here, written))

    def _wrong_value(self, detail: Any, full: Loc) -> Diagnostic:
        if full and full[-1] == "[key]":
            return self.diagnostic(full[:-1], _messages.wrong_value(detail, full[:-2]), at_key=True)
        written = self._written(full)
        # The value of a chip figure is named by the figure, whose key carries the unit.
        name = written[:-1] if written[-1:] == ("value",) and len(written) > 1 else written
        return self.diagnostic(full, _messages.wrong_value(detail, name))

    def _written(self, loc: Sequence[str | int]) -> Loc:
        """Return the parts of *loc* that are keys or items of the document."""
        node, written = self.root, []
        for key in loc:
            child = node.child(key)
            if child is not None:
                node = child
                written.append(key)
        return tuple(written)


def _reading_order(diagnostic: Diagnostic) -> tuple[str, int, int]:
    return diagnostic.file or "", diagnostic.line or 0, diagnostic.column or 0


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(Diagnostic("there is no such file", str(path))) from None
    except IsADirectoryError:
        raise ConfigError(Diagnostic("this is a folder; name a YAML file in it instead", str(path))) from None
    except (OSError, ValueError) as error:
        raise ConfigError(Diagnostic(f"the file cannot be read: {error}", str(path))) from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        message = f"byte 0x{raw[error.start]:02X} is not UTF-8 text; save the file as UTF-8"
        raise ConfigError(Diagnostic(message, str(path), line, column)) from None
