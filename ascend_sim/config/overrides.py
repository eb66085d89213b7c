"""Overrides from the command line: ``--set section.key=VALUE``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ascend_sim.config._nodes import Node, Place, node_of, read_yaml
from ascend_sim.errors import ArgumentError, ConfigError, Diagnostic

_KEY = re.compile(r"[A-Za-z0-9_-]+")
_FORM = "write --set section.key=VALUE, such as --set launch.blocks=24"


@dataclass(frozen=True)
class Override:
    """One override: *path* of keys from the top level, plain *value*, and the *text* that the user wrote."""

    path: tuple[str, ...]
    value: Any
    text: str

    @property
    def origin(self) -> str:
        """The name under which errors in this override are reported."""
        return f"--set {self.text}"

    def node(self, skip: int = 0) -> Node:
        """Return the override as a document of nested mappings, without the first *skip* keys of the path."""
        value = self.value
        for key in reversed(self.path[skip:]):
            value = {key: value}
        place = Place(self.origin)
        return node_of(value, place, place)


def parse_override(text: str) -> Override:
    """Return the override written as *text*, "a.b.c=VALUE"; VALUE is a YAML scalar, [list] or {mapping}.

    Raise an ArgumentError that names *text* and the expected form when it is anything else.
    """
    name, equals, written = text.partition("=")
    path = tuple(name.strip().split("."))
    origin = f"--set {text}"
    if not equals:
        raise ArgumentError(Diagnostic(f"there is no '=' in it; {_FORM}", origin))
    if not all(_KEY.fullmatch(key) for key in path):
        raise ArgumentError(Diagnostic(f"'{name}' is not a key such as section.key; {_FORM}", origin))
    if not written.strip():
        message = f"there is no value after '='; write {name}=null for none"
        raise ArgumentError(Diagnostic(message, origin))
    return Override(path, _value(written, origin), text)


def parse_overrides(texts: Sequence[str]) -> list[Override]:
    """Return all of *texts* parsed, in order; raise one ArgumentError with everything that is malformed."""
    parsed, wrong = [], []
    for text in texts:
        try:
            parsed.append(parse_override(text))
        except ArgumentError as error:
            wrong += error.diagnostics
    if wrong:
        raise ArgumentError(wrong)
    return parsed


def _value(written: str, origin: str) -> Any:
    try:
        items = read_yaml(f"[{written}\n]", origin).plain()
    except ConfigError as error:
        reason = error.diagnostics[0].message
        message = f"VALUE '{written}' cannot be read: {reason}; {_FORM}"
        raise ArgumentError(Diagnostic(message, origin)) from None
    if not isinstance(items, list) or len(items) != 1:
        form = f"write [{written}] for a list" if isinstance(items, list) else _FORM
        raise ArgumentError(Diagnostic(f"VALUE '{written}' is not one value; {form}", origin))
    # A flow list reads "b: c" as a mapping, which nobody means who writes "a=b: c".
    if isinstance(items[0], dict) and not written.lstrip().startswith("{"):
        form = f"write {{{written}}} for a mapping, or quotes around a text"
        raise ArgumentError(Diagnostic(f"VALUE '{written}' is not one value; {form}", origin))
    return items[0]
