"""YAML text as a tree in which every key and every value knows where it was written."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import NoneType
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.scanner import Scanner

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
_INT_TAG = "tag:yaml.org,2002:int"
_LARGEST = int(sys.float_info.max)
_MOST_BRACKETS = 50
_MOST_VALUES = 100_000
"""Values that a document may have however short it is; without aliases, there are never more than characters."""


class _NestingError(MarkedYAMLError):
    """Too many brackets are open."""


class _Scanner(Scanner):
    """The scanner of YAML, whose time grows with the square of the brackets that are open, so that few may be."""

    def fetch_flow_collection_start(self, TokenClass: Any, to_push: str) -> None:  # noqa: N803  # as the base says
        if self.flow_level >= _MOST_BRACKETS:
            raise _NestingError(problem_mark=self.reader.get_mark())
        super().fetch_flow_collection_start(TokenClass, to_push)


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
    yaml.Scanner = _Scanner
    # YAML lets a later anchor take over the name of an earlier one.
    yaml.composer.warn_double_anchors = False
    try:
        composed = yaml.compose(text)
        if composed is None:
            message = "the file is empty; write at least one 'key: value' line"
            raise ConfigError(Diagnostic(message, file, 1, 1))
        if _values(composed, {}) > max(_MOST_VALUES, len(text)):
            message = f"the aliases repeat their anchors to more than {_MOST_VALUES} values; write fewer of them"
            raise ConfigError(_place(composed, file).diagnostic(message))
        data = yaml.constructor.construct_document(composed)
        return _converted(composed, data, file, None, frozenset())
    except _NestingError as error:
        message = f"lists or mappings are nested more than {_MOST_BRACKETS} deep; flatten them"
        mark = error.problem_mark
        raise ConfigError(Diagnostic(message, file, mark.line + 1, mark.column + 1)) from None
    except MarkedYAMLError as error:
        raise ConfigError(_marked(error, file)) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        code = error.character if isinstance(error.character, int) else ord(error.character)
        message = f"character U+{code:04X} is not allowed in YAML; remove it"
        raise ConfigError(Diagnostic(message, file, line, column)) from None
    except _CONSTRUCTION_ERRORS as error:
        scalar = _unreadable_scalar(composed)
        # Python refuses to read integers of thousands of digits, and the message for them is not meant for users.
        huge = scalar.tag == _INT_TAG and len(scalar.value) > sys.float_info.max_10_exp
        message = _too_large(scalar) if huge else f"this value cannot be read: {error}"
        raise ConfigError(_place(scalar, file).diagnostic(message)) from None
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


def _values(composed: Any, known: dict[int, int]) -> int:
    """Return how many values *composed* has, what an alias repeats included; *known* are those of its nodes."""
    if id(composed) not in known:
        known[id(composed)] = 1  # What an anchor with an alias to itself counts as; it is refused later.
        parts: Iterable[Any] = () if isinstance(composed, ScalarNode) else composed.value
        if isinstance(composed, MappingNode):
            parts = (part for pair in composed.value for part in pair)
        known[id(composed)] = 1 + sum(_values(part, known) for part in parts)
    return known[id(composed)]


def _unreadable_scalar(composed: Any) -> Any:
    """Return the first scalar that cannot be constructed, or *composed* if it is none of its scalars."""
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
                return node
        elif isinstance(node, SequenceNode):
            parts = node.value
        else:
            parts = [part for pair in node.value for part in pair]
        # An anchor may hold an alias to itself, so a node must not be visited twice.
        fresh = [part for part in parts if id(part) not in seen]
        seen |= {id(part) for part in fresh}
        waiting += reversed(fresh)
    return composed


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
    if isinstance(data, int) and abs(data) > _LARGEST:
        raise ConfigError(place.diagnostic(_too_large(composed)))
    return Node(data, place, key)


def _too_large(scalar: Any) -> str:
    written = scalar.value if len(scalar.value) <= 60 else scalar.value[:57] + "..."
    return f"the whole number {written} is too large, as it is beyond {_LARGEST:.3g}; write a smaller one"


def _key_message(key_node: Any) -> str:
    if isinstance(key_node, ScalarNode):
        return f'the key {key_node.value} is not text; write "{key_node.value}" in quotes instead'
    return "a list or mapping cannot be a key; write a text instead"
