"""Overrides: how --set texts are read, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ascend_sim.config import Override, parse_override
from ascend_sim.config.overrides import parse_overrides
from ascend_sim.errors import ArgumentError


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("launch.blocks=24", ("launch", "blocks"), 24),
        ("chip.hbm.bytes_per_second=1.2e12", ("chip", "hbm", "bytes_per_second"), 1.2e12),
        ("symmetry=false", ("symmetry",), False),
        ("launch.blocks=null", ("launch", "blocks"), None),
        ("problem.name=no", ("problem", "name"), "no"),
        ('problem.name="24"', ("problem", "name"), "24"),
        ("problem.text=a=b", ("problem", "text"), "a=b"),
        ("tiling.shape=[128, 256]", ("tiling", "shape"), [128, 256]),
        ("tiling={m: 1, n: {k: 2}}", ("tiling",), {"m": 1, "n": {"k": 2}}),
    ],
)
def test_override_is_read(text: str, path: tuple[str, ...], value: Any) -> None:
    """Scalars, flow lists and flow mappings are read by the rules of YAML 1.2."""
    assert parse_override(text) == Override(path, value, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("launch.blocks", "there is no '=' in it; write --set section.key=VALUE"),
        ("=24", "'' is not a key such as section.key"),
        ("launch..blocks=24", "'launch..blocks' is not a key"),
        ("launch blocks=24", "'launch blocks' is not a key"),
        ("launch.blocks=", "there is no value after '='; write launch.blocks=null for none"),
        ("tiling.shape=[128", "VALUE '[128' cannot be read: not valid YAML"),
        ("tiling.shape=128, 256", "VALUE '128, 256' is not one value; write [128, 256] for a list"),
        ("tiling=m: 1", "VALUE 'm: 1' is not one value; write {m: 1} for a mapping"),
        ("x=# nothing", "is not one value"),
        ("x=.nan", "'.nan' is not a finite number"),
        ("x=1] [2", "cannot be read"),
    ],
)
def test_malformed_override_is_refused(text: str, message: str) -> None:
    """A malformed override is refused with its text and the expected form."""
    with pytest.raises(ArgumentError) as caught:
        parse_override(text)

    assert message in str(caught.value)
    assert str(caught.value).startswith(f"--set {text}: ")


def test_all_malformed_overrides_are_reported_together() -> None:
    """Several wrong overrides give one error with one finding each; the correct one between gives none."""
    with pytest.raises(ArgumentError) as caught:
        parse_overrides(["a", "b=1", "c="])

    assert [found.file for found in caught.value.diagnostics] == ["--set a", "--set c="]
