"""What a pydantic model expects at a place of a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel


def arms(annotation: Any) -> list[Any]:
    """Return the types that *annotation* allows, without Annotated and unions around them."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return arms(get_args(annotation)[0])
    if origin is Union or origin is UnionType:
        return [arm for argument in get_args(annotation) for arm in arms(argument)]
    return [annotation]


def models(annotations: Sequence[Any]) -> list[type[BaseModel]]:
    """Return those of *annotations* that are pydantic models."""
    return [arm for arm in annotations if isinstance(arm, type) and issubclass(arm, BaseModel)]


def is_open_mapping(annotation: Any) -> bool:
    """Say whether *annotation* is a mapping with free keys."""
    origin = get_origin(annotation)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def children(annotations: Sequence[Any], key: str | int) -> list[Any]:
    """Return the types that the member or item *key* may have, or nothing when there is no such member."""
    found: list[Any] = []
    for annotation in annotations:
        if is_open_mapping(annotation):
            found += arms(get_args(annotation)[1])
        elif isinstance(key, int):
            found += _item(annotation, key)
        else:
            for model in models([annotation]):
                found += [arm for name, field in _fields(model).items() if name == key for arm in arms(field)]
    return found


def annotations_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[Any]:
    """Return the types allowed at *loc* in *model*; parts that are no keys (tags of unions) are skipped."""
    here: list[Any] = [model]
    for key in loc:
        here = children(here, key) or here
    return here


def known_keys(annotations: Sequence[Any]) -> list[str]:
    """Return the keys that the models among *annotations* declare, in their order."""
    return list(dict.fromkeys(name for model in models(annotations) for name in _fields(model)))


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _item(annotation: Any, index: int) -> list[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if not (isinstance(origin, type) and issubclass(origin, Sequence) and arguments):
        return []
    fixed = origin is tuple and arguments[-1] is not Ellipsis
    return arms(arguments[min(index, len(arguments) - 1)] if fixed else arguments[0])
