"""The page on the bundled programs has every parameter, with its default, and no other."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from program_runs import loaded
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from ascend_sim.config import names

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "programs.md"
LIKE = {"mla_base": "amla", "pasa": "flash_attention"}
"""Programs whose section names what differs from that of another one."""
ROW = re.compile(r"^\| `([a-z0-9_.]+)` \| (.*) \|$", re.MULTILINE)


@cache
def sections() -> dict[str, str]:
    """The sections of the page by the program in their title."""
    parts = re.split(r"^## (\w+)\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def documented(program: str) -> dict[str, str]:
    """Meanings by key: those of the program's own section, over those of the one that it is like."""
    like = LIKE.get(program)
    others = {} if like is None else dict(ROW.findall(sections()[like]))
    shared = {key: text for key, text in others.items() if not text.endswith(f"of `{like}` alone")}
    return shared | dict(ROW.findall(sections()[program]))


def keys(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, object]]:
    """The keys of *model* and of the models in it, with their defaults."""
    for name, field in model.model_fields.items():
        inner = [part for part in options(field.annotation) if isinstance(part, type) and issubclass(part, BaseModel)]
        optional = len(options(field.annotation)) > 1
        if not inner or optional:
            yield path + name, field.default
        for part in inner:
            yield from keys(part, f"{path}{name}.")


def options(annotation: object) -> tuple[object, ...]:
    """What a union is made of; anything else alone."""
    union = isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union
    return typing.get_args(annotation) if union else (annotation,)


def test_every_program_has_a_section() -> None:
    """Nothing bundled is left out, and nothing else is described."""
    assert sorted(sections()) == names("programs")


@pytest.mark.parametrize("program", names("programs"))
def test_every_parameter_is_documented(program: str) -> None:
    """The keys of the page are those that the program takes."""
    assert sorted(documented(program)) == sorted(key for key, _ in keys(loaded(program).kernel.parameters))


@pytest.mark.parametrize("program", [name for name in names("programs") if name not in LIKE])
def test_defaults_are_those_of_the_program(program: str) -> None:
    """A default that is a value of its own stands in brackets at the end of the meaning."""
    for key, default in keys(loaded(program).kernel.parameters):
        if default is None or default is PydanticUndefined or isinstance(default, BaseModel):
            continue
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        meaning = documented(program)[key].partition("; ")[0]
        assert f"({shown})" in documented(program)[key], f"{key}: {meaning}"
