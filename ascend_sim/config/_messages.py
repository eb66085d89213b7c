"""The sentences in which a refused value or key is explained."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of 'key: value' lines",
    "model_type": "a mapping of 'key: value' lines",
    "model_attributes_type": "a mapping of 'key: value' lines",
}

_LIMITS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
    "multiple_of": ("multiple_of", "a multiple of"),
}

# Longer endings first: bytes_per_second ends neither in bytes nor, for a reader, in seconds.
_UNITS = {
    "bytes_per_second": "bytes per second",
    "bytes_per_cycle": "bytes per cycle",
    "cycles": "cycles",
    "bytes": "bytes",
    "seconds": "seconds",
    "hz": "Hz",
}

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the one of *known* that looks most like *word*, or None when nothing is near."""
    found = get_close_matches(word, list(known), n=1)
    return found[0] if found else None


def choices(word: str, known: Sequence[str], what: str) -> str:
    """Return "; did you mean 'x'? (WHAT: x, y, z)" for a *word* that is none of *known*."""
    near = nearest(word, known)
    listed = f"({what}: {', '.join(known)})" if known else f"({what}: none)"
    return f"; did you mean '{near}'? {listed}" if near else f" {listed}"


def section(loc: Sequence[str | int]) -> str:
    """Return where the keys of the mapping at *loc* stand."""
    return f"in section '{dotted(loc)}'" if loc else "at the top level"


def dotted(loc: Sequence[str | int]) -> str:
    """Return *loc* as the user would write it."""
    return ".".join(str(part) for part in loc)


def unit(loc: Sequence[str | int]) -> str:
    """Return the unit that the last key of *loc* carries in its name, with a space before it, or nothing."""
    keys = [part for part in loc if isinstance(part, str)]
    key = keys[-1] if keys else ""
    for ending, words in _UNITS.items():
        if key == ending or key.endswith("_" + ending):
            return " " + words
    return ""


def unknown_key(key: str, loc: Sequence[str | int], known: Sequence[str]) -> str:
    """Return the refusal of *key* in the mapping at *loc*, whose keys are *known*."""
    return f"unknown key '{key}' {section(loc)}" + choices(key, known, "known keys")


def wrong_value(error: Any, loc: Sequence[str | int]) -> str:
    """Return the refusal of the value at *loc* for a pydantic *error* other than a missing or an unknown
    key.
    """
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    name = f"{dotted(loc)}: " if loc else ""
    if kind in _LIMITS:
        key, words = _LIMITS[kind]
        return f"{name}must be {words} {context[key]:.15g}{unit(loc)}, but it is {shown(value)}"
    if kind in _EXPECTED:
        return f"{name}expected {_EXPECTED[kind]}, but {_found(value)}{_way_out(kind, value)}"
    if kind == "literal_error":
        ending = _near_literal(value, context)
        return f"{name}must be one of {context['expected']}, but it is {shown(value)}{ending}"
    if kind == "too_short":
        return f"{name}must have at least {context['min_length']} item(s), but it is {shown(value)}"
    if kind == "value_error":
        return f"{name}{context['error']}"
    return f"{name}{error['msg'][:1].lower()}{error['msg'][1:]}, but it is {shown(value)}"


def shown(value: Any) -> str:
    """Return *value* as it would be written in YAML, shortened when long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def is_type_error(error: Any) -> bool:
    """Say whether a pydantic *error* means that the value is of another type."""
    return error["type"] in _EXPECTED


def wrong_types(errors: Sequence[Any], loc: Sequence[str | int]) -> str:
    """Return the refusal of the value at *loc* for the *errors* of a union, each of which expects another
    type.
    """
    value = errors[0]["input"]
    expected = list(dict.fromkeys(_EXPECTED[error["type"]] for error in errors))
    ways_out = dict.fromkeys(_way_out(error["type"], value) for error in errors)
    name = f"{dotted(loc)}: " if loc else ""
    return f"{name}expected {' or '.join(expected)}, but {_found(value)}{next(filter(None, ways_out), '')}"


def _found(value: Any) -> str:
    if value is None:
        return "nothing is written there (null)"
    if isinstance(value, dict):
        return f"{shown(value)} is a mapping"
    if isinstance(value, list):
        return f"{shown(value)} is a list"
    return f"{shown(value)} is {'text' if isinstance(value, str) else _number_kind(value)}"


def _number_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "a truth value"
    return "a whole number" if isinstance(value, int) else "a number with a fraction or an exponent"


def _way_out(kind: str, value: Any) -> str:
    if kind == "bool_type":
        return "; write true or false instead"
    if kind in ("int_type", "int_from_float") and isinstance(value, float) and value.is_integer():
        return f"; write {int(value)} instead"
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f'; write "{shown(value)}" in quotes instead'
    if kind in ("int_type", "float_type") and isinstance(value, str):
        if _NUMBER.fullmatch(value):
            return f"; write {value} without quotes"
        return "; write a plain number, the unit is in the name of the key"
    return ""


def _near_literal(value: Any, context: Any) -> str:
    words = [word.strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(", ")]
    near = nearest(value, words) if isinstance(value, str) else None
    return f"; did you mean '{near}'?" if near else ""
