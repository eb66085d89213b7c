"""The space of an exploration: its points in order, its conditions, and how values are written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest

from ascend_sim.config import load_run
from ascend_sim.config._nodes import Place
from ascend_sim.errors import ConfigError
from ascend_sim.explore.expressions import Expression, Names, parse
from ascend_sim.explore.space import Parameter, Space, label, overrides_of

HERE = Place("search.yaml", 3, 5)


def expression(text: str, fixed: Mapping[str, Any] | None = None, **varying: Any) -> Expression:
    """*text*, which may name what is *fixed* and, with "_" for ".", what is *varying*."""
    return parse(text, Names(fixed or {}, {name.replace("_", ".", 1): value for name, value in varying.items()}), HERE)


def space(*conditions: str, **values: list[Any]) -> Space:
    """A space of parameters with *values*, such as t_a=[1, 2] for "t.a"."""
    parameters = tuple(Parameter(name.replace("_", ".", 1), tuple(some)) for name, some in values.items())
    known = Names({}, {parameter.name: None for parameter in parameters})
    return Space(parameters, tuple(parse(text, known, HERE) for text in conditions))


def test_the_last_parameter_varies_fastest() -> None:
    """The grid has all combinations, in the order in which nested loops have them."""
    found = space(t_a=[1, 2], t_b=["x", "y", "z"])

    assert (found.size, found.count(), found.sizes) == (6, 6, (2, 3))
    assert [(one["t.a"], one["t.b"]) for one in found.grid()] == [(a, b) for a in (1, 2) for b in "xyz"]
    assert found.at((1, 2)) == {"t.a": 2, "t.b": "z"}


@pytest.mark.parametrize(
    "conditions",
    [
        ["t.a * t.c <= 6"],
        ["t.b > 1"],
        ["t.a == 2", "t.b + t.c > 3"],
        ["t.c > 1", "t.a < t.b"],
        ["1 < 2"],
        ["t.a + t.b + t.c == 6"],
        ["t.a > 9"],
    ],
)
def test_conditions_select_points(conditions: list[str]) -> None:
    """The grid, the count and the two tests of a point agree with the conditions evaluated for every combination."""
    found = space(*conditions, t_a=[1, 2, 3], t_b=[1, 2], t_c=[1, 2, 3, 4])
    every = [(a, b, c) for a in (1, 2, 3) for b in (1, 2) for c in (1, 2, 3, 4)]
    texts = [text.replace("t.", "") for text in conditions]
    right = [(a, b, c) for a, b, c in every if all(eval(text, {"a": a, "b": b, "c": c}) for text in texts)]

    assert [tuple(point.values()) for point in found.grid()] == right
    assert found.count() == len(right)
    points = [((a - 1, b - 1, c - 1), {"t.a": a, "t.b": b, "t.c": c}) for a, b, c in every]
    assert [tuple(point.values()) for indices, point in points if found.admits(indices)] == right
    assert [tuple(point.values()) for _, point in points if found.holds(point)] == right


def test_a_large_grid_is_filtered_in_seconds() -> None:
    """Conditions are not evaluated again for each of hundreds of thousands of points."""
    ten = list(range(1, 11))
    found = space("t.a * t.e <= 50", "t.b > t.c or t.d == 1", t_a=ten, t_b=ten, t_c=ten, t_d=ten, t_e=ten)
    begin = time.process_time()

    assert sum(1 for _ in found.grid()) == found.count() == 81 * (45 * 10 + 55)
    assert time.process_time() - begin < 5


def test_names_are_found_in_mappings() -> None:
    """A condition sees into a mapping, past it where it has no such key, and compares it with null as a whole."""
    known = Names({"t.a": 3}, {"p": None, "p.m": 7, "p.n": 8, "p.deep.x": None})
    test = parse("p.m + p.n + t.a", known, HERE)

    assert test.names == ("p.m", "p.n")
    assert parse("p.m == 1 and p.n == 8", known, HERE).holds({"p": {"m": 1}})
    assert parse("p.deep.x == 5", known, HERE).holds({"p": {"deep": {"x": 5}}})
    assert parse("p == null or p.m > 1", known, HERE).holds({"p": None})
    assert not parse("p == null or p.m > 1", known, HERE).holds({"p": {"m": 1}})


def test_a_name_may_stand_for_a_section() -> None:
    """The figures of a chip are found by its name."""
    known = Names({}, {"chip": None, "chip.n": 20}, {"small": {"n": 1}, "large": {"n": 50}})
    test = parse("chip.n > 10", known, HERE)

    assert [test.holds({"chip": name}) for name in ("small", "large")] == [False, True]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("t.a == 3", True), ("t.a / 2 == 1.5 and t.a // 2 == 1 and t.a % 2 == 1", True), ("2 < t.a < 4", True),
        ("t.a in [1, 3]", True), ("t.a not in (1, -3)", True), ("t.s in ['x', 'y']", False), ("t.s == 'z'", True),
        ("min(t.a, 2) == 2 and max(t.a, 2) == 3", True), ("ceil(t.a / 2) == 2 and floor(t.a / 2) == 1", True),
        ("abs(-t.a) == 3", True), ("not t.b or t.a > 3", False), ("t.b == true", True), ("t.n == null", True),
        ("t.n != null and t.n > 1", False), ("(1 if t.b else 2) == 1", True), ("t.a ** 2 == 9", True),
    ],
)  # fmt: skip
def test_what_expressions_compute(text: str, value: bool) -> None:
    """Arithmetic, comparisons, logic, membership and five functions, with names that vary or are fixed."""
    names = {"t.a": 3, "t.s": "z", "t.b": True, "t.n": None}

    assert parse(text, Names({}, dict.fromkeys(names)), HERE).holds(names) is value
    assert parse(text, Names(names, {}), HERE).holds({}) is value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("t.aa > 1", "unknown name 't.aa'; did you mean 't.a'? (known names: t.a, t.b)"),
        ("tt.a > 1", "unknown name 'tt.a'; did you mean 't.a'? (known names begin with: t, u)"),
        ("zzzz > 1", "unknown name 'zzzz' (known names begin with: t, u)"),
        ("t > 1", "'t' is a section; write one of its keys, such as t.a"),
        ("t.a.real > 1", "'t.a' is a value, and has no 'real'"),
        ("(t.a + 1).real > 1", "'.real' follows something else than a name"),
        ("sqrt(t.a) > 1", "there is no function 'sqrt' (functions: min, max, abs, ceil, floor)"),
        ("t.a.bit_length() > 1", "there is no function 't.a.bit_length' (functions: "),
        ("max(t.a, key=1) > 1", "max() takes no named arguments"),
        ("t.a in [t.b]", "a list can hold plain values only"),
        ("[x for x in t.a]", "is more than arithmetic and comparisons; write a comparison such as"),
        ("t.a[0] > 1", "'t.a[0]' is more than arithmetic and comparisons"),
        ("t.a = 1", "is not an expression: invalid syntax; '==' compares, '=' does not"),
        ("t.a > 1 && t.b > 1", "is not an expression: invalid syntax; write 'and' instead of '&&'"),
        ("", "'' is not an expression: invalid syntax; write a comparison such as"),
        ("(" * 300 + "1" + ")" * 300, "is not an expression: too many nested parentheses"),
        ("-" * 500 + "1", "is nested too deeply; split it in two"),
        ("-" * 5000 + "1", "is nested too deeply; split it in two"),
    ],
)
def test_wrong_expressions_are_refused(text: str, expected: str) -> None:
    """What is no expression of known names is refused at its place when it is read."""
    with pytest.raises(ConfigError) as caught:
        expression(text, {"u.c": 1}, t_a=None, t_b=None)

    assert str(caught.value).startswith("search.yaml:3:5: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 / t.a > 1", "'1 / t.a > 1' has no value where t.a = 0: division by zero; put 'X != 0 and'"),
        ("t.b > 1", "'t.b > 1' has no value where t.b = null: '>' not supported between"),
        ("max(t.a) > 1", "'max(t.a) > 1' has no value where t.a = 0: 'int' object is not iterable"),
        ("10 ** 10 ** 10 > t.a", "has no value where t.a = 0: Sorry! I don't want to evaluate"),
    ],
)
def test_an_expression_without_a_value_is_refused(text: str, expected: str) -> None:
    """A division by zero, or a comparison with nothing, is reported with the values that cause it."""
    with pytest.raises(ConfigError) as caught:
        expression(text, t_a=None, t_b=None).holds({"t.a": 0, "t.b": None})

    assert str(caught.value).startswith("search.yaml:3:5: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("values", "order"),
    [
        ([64, 256, 128], (0, 2, 1)),
        ([0.5, 0.25], (1, 0)),
        (["b", "a"], None),
        ([True, False], None),
        ([None, 4], None),
        ([[1], [2]], None),
        ([{"m": 2, "n": 1.0}, {"n": 0.5, "m": 1}], (1, 0)),
        ([{"m": 1, "n": 4}, {"m": 3, "n": 1}, {"m": 2, "n": 2}], (0, 2, 1)),
        ([{"m": 1, "n": 2}, {"m": 2, "n": 1}, {"m": 3, "n": 3}], None),
        ([{"m": 1}, {"n": 1}], None),
        ([{"m": 1}, 1], None),
    ],
)
def test_the_order_of_values(values: list[Any], order: tuple[int, ...] | None) -> None:
    """Numbers have an order, and mappings whose numbers grow or shrink together; nothing else has."""
    assert Parameter("t.a", tuple(values)).order == order


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (128, "128"), (1.6e12, "1.6e+12"), (0.1, "0.1"), (1234567.5, "1234567.5"), (True, "true"), (None, "null"),
        ("add", "add"), ([3, 8], "[3, 8]"), ({"m": 1024, "n": 576}, "m=1024 n=576"), ({"a": {"b": 1}}, "a=b=1"),
    ],
)  # fmt: skip
def test_labels(value: Any, text: str) -> None:
    """A value is written as short as it can be without loss."""
    assert label(value) == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("tiling.m", 64, "tiling.m=64"),
        ("tiling.unit_flag", True, "tiling.unit_flag=true"),
        ("launch.blocks", None, "launch.blocks=null"),
        ("problem.dtype", "fp32", "problem.dtype=fp32"),
        ("chip.hbm.bytes_per_second", 1.5e12, "chip.hbm.bytes_per_second=1500000000000.0"),
        ("chip.launch.cube_seconds", 1e-06, "chip.launch.cube_seconds=1e-06"),
        ("schedule.grid", [4, 6], "schedule.grid=[4, 6]"),
        ("tiling", {"m": 64, "n": 128}, "tiling={m: 64, n: 128}"),
        ("schedule.swizzle", {"offset": 3, "direction": 0}, "schedule.swizzle={offset: 3, direction: 0}"),
    ],
)
def test_a_point_can_be_run(name: str, value: Any, text: str) -> None:
    """A point as overrides is what `run --set` takes, and means the same value."""
    (written,) = overrides_of({name: value})

    assert written == text
    run = load_run("gemm", [written])
    data: Any = {"chip": run.chip.model_dump(), "launch": run.launch.model_dump(), **run.sections}
    for key in name.split("."):
        data = data[key]
    if isinstance(value, dict):
        assert {key: data[key] for key in value} == value
    else:
        assert (data["value"] if isinstance(data, dict) else data) == value


@pytest.mark.parametrize("value", ["null", "1", "true", "a, b", "x: y", "", "a]", "#c", "'q'", 1e300, 1e22, "é"])
def test_texts_are_quoted_where_they_must_be(value: Any) -> None:
    """A text that looks like something else is still a text when it is read."""
    from ascend_sim.config import parse_override

    assert parse_override(overrides_of({"t.a": value})[0]).value == value
    assert parse_override(overrides_of({"t.a": [value]})[0]).value == [value]
