"""The ways in which an exploration file writes the values of a parameter."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

from ascend_sim.config import Document, _messages
from ascend_sim.config._nodes import Loc, Node
from ascend_sim.config.figure import Strict
from ascend_sim.errors import ConfigError
from ascend_sim.explore.point import Value

MOST_VALUES = 10_000_000
"""Points that a grid may have, and values that a parameter may have."""

_FORMS = "[..., ...], {from: A, to: B, step: S}, {powers_of_two: [A, B]} or {times: [..., ...]}"
Number = int | float


class _Range(Strict):
    first: Annotated[Number, Field(alias="from")]
    to: Number
    step: Number


class _Powers(Strict):
    powers_of_two: Annotated[list[int], Field(min_length=2, max_length=2)]


class _Times(Strict):
    times: Annotated[list[Number], Field(min_length=1)]
    keys: Annotated[list[str], Field(min_length=1)] | None = None


def values_at(document: Document, name: str, base: Any) -> tuple[Value, ...]:
    """The values that *document* gives the parameter *name*, whose value in the run as it is, is *base*.

    Raise a ConfigError for anything that is not a list of different values, or one of the forms of one.
    """
    loc: Loc = ("space", name)
    node = document.root.at(loc)
    assert node is not None
    values: Sequence[Value]
    if isinstance(node.content, list):
        values = node.plain()
    elif "from" in node.members or "to" in node.members or "step" in node.members:
        values = _range(document, loc)
    elif "powers_of_two" in node.members:
        values = _powers(document, loc)
    elif "times" in node.members:
        values = _times(document, loc, name, base)
    else:
        raise ConfigError(node.place.diagnostic(_no_form(name, node)))
    _expect_distinct(name, node, values)
    return tuple(values)


def _no_form(name: str, node: Node) -> str:
    shown = _messages.shown(node.plain())
    if not isinstance(node.content, dict):
        way_out = f"write [{shown}], or move it to 'set' to fix it for all points" if node.content is not None else ""
        return f"space.{name}: {shown} is not a list of values; {way_out or f'write {_FORMS}'}"
    section = next((key for key in node.members), None)
    way_out = f"; for keys of a section write '{name}.{section}: ...'" if section else ""
    return f"space.{name}: {shown} is none of the forms {_FORMS}{way_out}"


def _range(document: Document, loc: Loc) -> list[Value]:
    form = document.parse(_Range, loc)
    name = _messages.dotted(loc)
    if form.step <= 0:
        raise ConfigError(document.diagnostic((*loc, "step"), f"{name}.step: must be above 0, but it is {form.step}"))
    if form.to < form.first:
        message = f"{name}: from = {form.first} is above to = {form.to}; exchange the two"
        raise ConfigError(document.diagnostic((*loc, "from"), message))
    # What is written in decimals is added in decimals: 0.1, 0.2, 0.3, not 0.30000000000000004.
    first, to, step = (Decimal(str(one)) for one in (form.first, form.to, form.step))
    steps = int((to - first) / step)
    if steps >= MOST_VALUES:
        message = f"{name}: {steps + 1} values are more than {MOST_VALUES}; take a larger step"
        raise ConfigError(document.diagnostic((*loc, "step"), message))
    whole = isinstance(form.first, int) and isinstance(form.step, int)
    return [int(one) if whole else float(one) for one in (first + step * index for index in range(steps + 1))]


def _powers(document: Document, loc: Loc) -> list[Value]:
    first, last = document.parse(_Powers, loc).powers_of_two
    name = f"{_messages.dotted(loc)}.powers_of_two"
    for index, value in enumerate((first, last)):
        if value < 1 or value & (value - 1):
            below = 1 << max(value.bit_length() - 1, 0) if value > 0 else 1
            way_out = f"write {below} or {2 * below} instead" if value > 0 else "write 1 or above"
            message = f"{name}: {value} is not a power of two; {way_out}"
            raise ConfigError(document.diagnostic((*loc, "powers_of_two", index), message))
    if last < first:
        message = f"{name}: the first, {first}, is above the last, {last}; exchange the two"
        raise ConfigError(document.diagnostic((*loc, "powers_of_two"), message))
    return [1 << power for power in range(first.bit_length() - 1, last.bit_length())]


def _times(document: Document, loc: Loc, name: str, base: Any) -> list[Value]:
    form = document.parse(_Times, loc)
    if not isinstance(base, Mapping):
        if form.keys is not None:
            message = f"'{name}' is a value, and has no keys; leave out 'keys'"
            raise ConfigError(document.diagnostic((*loc, "keys"), message, at_key=True))
        return [_multiple(document, loc, index, name, base) for index in range(len(form.times))]
    for index, key in enumerate(form.keys or ()):
        if key not in base:
            message = _messages.unknown_key(key, name.split("."), list(base))
            raise ConfigError(document.diagnostic((*loc, "keys", index), message))
    keys = list(form.keys or base)
    return [
        {key: _multiple(document, loc, index, f"{name}.{key}", base[key]) for key in keys}
        for index in range(len(form.times))
    ]


def _multiple(document: Document, loc: Loc, index: int, name: str, base: Any) -> Value:
    """The product of a factor and *base*, which stays a whole number if it is one."""
    at = (*loc, "times", index)
    node = document.root.at(at)
    assert node is not None
    if isinstance(base, bool) or not isinstance(base, int | float):
        message = f"'{name}' is {_messages.shown(base)} in the run, which is no number; write a list of values"
        raise ConfigError(document.diagnostic(at, message))
    product = Decimal(str(base)) * Decimal(str(node.content))
    if isinstance(base, float):
        return float(product)
    if product != product.to_integral_value():
        way_out = "take another factor, or write a list of values"
        message = f"{node.content} times {name} = {base} is {product}, which is no whole number; {way_out}"
        raise ConfigError(document.diagnostic(at, message))
    return int(product)


def _expect_distinct(name: str, node: Node, values: Sequence[Value]) -> None:
    if not values:
        message = f"space.{name}: the list is empty; write at least one value, or remove the key"
        raise ConfigError(node.place.diagnostic(message))
    seen: dict[str, int] = {}
    for index, value in enumerate(values):
        text = json.dumps(_same(value), sort_keys=True)
        if text in seen:
            item = node.child(index) or node
            message = f"space.{name}: {_messages.shown(value)} is there twice; remove one of the two"
            raise ConfigError(item.place.diagnostic(message))
        seen[text] = index


def _same(value: Any) -> Any:
    """*value* with whole numbers written as such, since 128 and 128.0 are one."""
    if isinstance(value, dict):
        return {key: _same(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_same(inner) for inner in value]
    return int(value) if isinstance(value, float) and math.isfinite(value) and value.is_integer() else value
