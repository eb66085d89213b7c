"""YAML text as a tree in which every key and every value knows where it was written."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import NoneType
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from ascend_sim.errors import ConfigError, Diagnostic

Scalar = str | int | float | bool | None
Loc = tuple[str | int, ...]

# What the parser's own conversions let through: a date such as 2026-99-99, or an empty text tagged !!int.
_CONSTRUCTION_ERRORS = (ValueError, LookupError, TypeError, AttributeError)
_PLAIN_TYPES: dict[type, Any] = {
    ScalarNode: (str, int, float, bool, NoneType),
    SequenceNode: (list,),
    MappingNode: (dict,),
}
_YAML_WAYS_OUT = {
    "duplicate key": "keep one of them",
    "'\\t'": "indent with spaces instead of tabs",
    "cannot start any token": "put the text in quotes",
    "stream end": "close the bracket or quote that is open",
    "expected ',' or": "close the bracket, or put a comma between the items",
    "could not find expected ':'": "write 'key: value' with a space after the colon",
    "mapping values are not allowed": "put a text that holds ': ' in quotes, and indent keys of one mapping alike",
    "expected <block end>": "indent keys of one mapping alike",
    "another document": "keep one of the documents, without '---' between",
    "undefined alias": "define it with '&' first, or put the text in quotes",
    "end of stream": "close the quote that is open",
}
_TEXT_TAG = "tag:yaml.org,2002:str"


@dataclass(frozen=True)
class Place:
    """Where something was written: a file with line and column from 1, or an override, which has neither."""

    file: str
    line: int | None = None
    column: int | None = None

    def diagnostic(self, message: str) -> Diagnostic:
        """Return *message* as a finding at this place."""
        return Diagnostic(message, self.file, self.line, self.column)


@dataclass(frozen=True)
class Node:
    """A value with its place, and the place of its key when it is a member of a mapping."""

    content: Scalar | dict[str, Node] | list[Node]
    place: Place
    key_place: Place | None = None

    @property
    def members(self) -> dict[str, Node]:
        """The members of a mapping; empty for anything else."""
        return self.content if isinstance(self.content, dict) else {}

    def child(self, key: str | int) -> Node | None:
        """Return the member or item *key*, or None when there is none."""
        if isinstance(self.content, dict):
            return self.content.get(key) if isinstance(key, str) else None
        if isinstance(self.content, list) and isinstance(key, int) and key < len(self.content):
            return self.content[key]
        return None

    def at(self, loc: Sequence[str | int]) -> Node | None:
        """Return the node at *loc*, or None when the path leaves the tree."""
        node: Node | None = self
        for key in loc:
            node = node.child(key) if node is not None else None
        return node

    def with_members(self, members: dict[str, Node]) -> Node:
        """Return a mapping of *members* that stands where this node stands."""
        return Node(members, self.place, self.key_place)

    def plain(self) -> Any:
        """Return the value as dicts, lists and scalars."""
        if isinstance(self.content, dict):
            return {key: member.plain() for key, member in self.content.items()}
        if isinstance(self.content, list):
            return [item.plain() for item in self.content]
        return self.content


def node_of(value: Any, place: Place, key_place: Place | None = None) -> Node:
    """Return plain *value* as a tree in which everything was written at *place*."""
    if isinstance(value, dict):
        return Node({key: node_of(member, place, place) for key, member in value.items()}, place, key_place)
    if isinstance(value, list):
        return Node([node_of(item, place) for item in value], place, key_place)
    return Node(value, place, key_place)


def merge(base: Node, top: Node, is_whole: Callable[[Node], bool] = lambda node: False) -> Node:
    """Return *base* with the members of *top* laid over it, each keeping the place where it was written.

    A mapping of *top* for which *is_whole* holds replaces its counterpart instead of being merged into it.
    """
    if not isinstance(base.content, dict) or not isinstance(top.content, dict) or is_whole(top):
        return top
    members = dict(base.content)
    for key, member in top.content.items():
        members[key] = merge(members[key], member, is_whole) if key in members else member
    return top.with_members(members)


# An exploration loads the same chip file thousands of times, and parsing is the slow part of it.
@lru_cache(maxsize=64)
def read_yaml(text: str, file: str) -> Node:
    """Return the YAML 1.2 document *text*; *file* is the name that its places carry.

    Raise a ConfigError with the position for anything that is not one plain document of mappings, lists,
    texts, finite numbers, true/false and null.
    """
    yaml = YAML(typ="safe", pure=True)
    try:
        composed = yaml.compose(text)
        if composed is None:
            message = "the file is empty; write at least one 'key: value' line"
            raise ConfigError(Diagnostic(message, file, 1, 1))
        data = yaml.constructor.construct_document(composed)
        return _converted(composed, data, file, None, frozenset())
    except MarkedYAMLError as error:
        raise ConfigError(_marked(error, file)) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        code = error.character if isinstance(error.character, int) else ord(error.character)
        message = f"character U+{code:04X} is not allowed in YAML; remove it"
        raise ConfigError(Diagnostic(message, file, line, column)) from None
    except _CONSTRUCTION_ERRORS as error:
        place = _unreadable_scalar(composed, file)
        raise ConfigError(place.diagnostic(f"this value cannot be read: {error}")) from None
    except RecursionError:
        message = "lists or mappings are nested too deeply to be read; flatten them"
        raise ConfigError(Diagnostic(message, file)) from None


def _place(composed: Any, file: str) -> Place:
    return Place(file, composed.start_mark.line + 1, composed.start_mark.column + 1)


def _marked(error: MarkedYAMLError, file: str) -> Diagnostic:
    mark = error.problem_mark or error.context_mark
    problem = str(error.problem or error.context)
    ways_out = [way_out for part, way_out in _YAML_WAYS_OUT.items() if part in problem]
    message = f"not valid YAML: {'; '.join([problem, *ways_out[:1]])}"
    return Diagnostic(message, file, mark.line + 1, mark.column + 1) if mark else Diagnostic(message, file)


def _unreadable_scalar(composed: Any, file: str) -> Place:
    """Return the place of the first scalar that cannot be constructed."""
    # A new constructor, because one that has failed takes the node for an alias to itself.
    constructor = YAML(typ="safe", pure=True).constructor
    waiting, seen = [composed], {id(composed)}
    while waiting:
        node = waiting.pop()
        parts: list[Any] = []
        if isinstance(node, ScalarNode):
            try:
                constructor.construct_object(node)
            except _CONSTRUCTION_ERRORS:
                return _place(node, file)
        elif isinstance(node, SequenceNode):
            parts = node.value
        else:
            parts = [part for pair in node.value for part in pair]
        # An anchor may hold an alias to itself, so a node must not be visited twice.
        fresh = [part for part in parts if id(part) not in seen]
        seen |= {id(part) for part in fresh}
        waiting += reversed(fresh)
    return _place(composed, file)


def _converted(composed: Any, data: Any, file: str, key: Place | None, above: frozenset[int]) -> Node:
    """Return *composed* with its constructed *data*; *above* holds the ids of the nodes that enclose it."""
    # The parser places an empty value at the next token, which may be lines below its key.
    empty = isinstance(composed, ScalarNode) and composed.start_mark.index == composed.end_mark.index
    place = key if empty and key is not None else _place(composed, file)
    if id(composed) in above:
        message = "this anchor contains an alias to itself; write the value out instead"
        raise ConfigError(place.diagnostic(message))
    above = above | {id(composed)}
    if not isinstance(data, _PLAIN_TYPES[type(composed)]):
        message = f"a {type(data).__name__} is not used here; write it as text in quotes, a list or a mapping"
        raise ConfigError(place.diagnostic(message))
    if isinstance(data, dict):
        members: dict[str, Node] = {}
        for key_node, value_node in composed.value:
            key_place = _place(key_node, file)
            if key_node.tag != _TEXT_TAG:
                raise ConfigError(key_place.diagnostic(_key_message(key_node)))
            name = key_node.value
            members[name] = _converted(value_node, data[name], file, key_place, above)
        return Node(members, place, key)
    if isinstance(data, list):
        items = zip(composed.value, data, strict=True)
        return Node([_converted(node, item, file, None, above) for node, item in items], place, key)
    if isinstance(data, float) and not math.isfinite(data):
        message = f"'{composed.value}' is not a finite number; write a finite number instead"
        raise ConfigError(place.diagnostic(message))
    return Node(data, place, key)


def _key_message(key_node: Any) -> str:
    if isinstance(key_node, ScalarNode):
        return f'the key {key_node.value} is not text; write "{key_node.value}" in quotes instead'
    return "a list or mapping cannot be a key; write a text instead"
