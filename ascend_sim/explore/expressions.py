"""Expressions of exploration files: conditions on the parameters of a point, constraints on its results.

They are parsed once. Every dotted name becomes a single one, and a name whose value is the same in all points becomes
that value, so that a wrong name is found when the file is read and evaluation is a few look-ups.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ascend_sim.config import _messages
from ascend_sim.config._nodes import Place
from ascend_sim.errors import ConfigError
from ascend_sim.explore.packages import package
from ascend_sim.explore.point import METRICS

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "min": min, "max": max, "abs": abs, "ceil": math.ceil, "floor": math.floor,
}  # fmt: skip
_WORDS = {"true": True, "false": False, "null": None}
_FORM = "write a comparison such as 'tiling.l1_rows * tiling.l1_parts <= 512'"
_ALLOWED = (
    ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.Constant, ast.expr_context, ast.operator,
    ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip
_HINTS = {"&&": "write 'and' instead of '&&'", "||": "write 'or' instead of '||'", "=": "'==' compares, '=' does not"}


@dataclass(frozen=True)
class Names:
    """What expressions may name.

    *fixed* are the names that have one value in all points. *varying* are those that a point gives a value, by itself
    or in the mapping of a section above it, with the value that they have where a point does not say. A text that a
    point gives a section, such as the name of a chip, stands for the mapping in *sections*.
    """

    fixed: Mapping[str, Any] = field(default_factory=dict)
    varying: Mapping[str, Any] = field(default_factory=dict)
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def refusal(self, name: str) -> str | None:
        """Why there is no such *name*, or None if there is."""
        known = [*self.fixed, *self.varying]
        if name in self.fixed or name in self.varying:
            return None
        inside = [one for one in known if one.startswith(f"{name}.")]
        if inside:
            return f"'{name}' is a section; write one of its keys, such as {inside[0]}"
        if name in METRICS:
            return f"'{name}' is known only of a simulated point; write what depends on it below 'constraints'"
        head, _, key = name.rpartition(".")
        if head in known:
            return f"'{head}' is a value, and has no '{key}'"
        near = [one for one in known if one.rpartition(".")[0] == head]
        if near:
            return f"unknown name '{name}'{_messages.choices(name, near, 'known names')}"
        likely = _messages.nearest(name, known)
        hint = f"; did you mean '{likely}'?" if likely else ""
        sections = sorted({one.partition(".")[0] for one in known})
        return f"unknown name '{name}'{hint} (known names begin with: {', '.join(sections)})"


@dataclass(frozen=True)
class Expression:
    """An expression, parsed. *names* are those of which it needs the value, *place* is where it was written."""

    text: str
    names: tuple[str, ...]
    place: Place
    _known: Names = field(repr=False, compare=False)
    _tree: ast.expr = field(repr=False, compare=False)
    _evaluator: Any = field(repr=False, compare=False)

    def holds(self, names: Mapping[str, Any]) -> bool:
        """Whether the expression is true where *names* have these values; those of an assignment may be mappings.

        Raise a ConfigError if it has no value there, such as for a division by zero.
        """
        values = {name: self._value(name, names) for name in self.names}
        self._evaluator.names = values
        try:
            return bool(self._evaluator.eval(self.text, previously_parsed=self._tree))
        except (ArithmeticError, TypeError, ValueError, package("simpleeval").InvalidExpression) as error:
            where = ", ".join(f"{name} = {_messages.shown(value)}" for name, value in values.items())
            message = f"'{self.text}' has no value{f' where {where}' if where else ''}: {error}"
            way_out = "put 'X != 0 and', 'X == null or' or the like before it, which then decides"
            raise ConfigError(self.place.diagnostic(f"{message}; {way_out}")) from None

    def _value(self, name: str, names: Mapping[str, Any]) -> Any:
        if name in names:
            return names[name]
        keys = name.split(".")
        for depth in range(len(keys) - 1, 0, -1):
            section = names.get(".".join(keys[:depth]))
            inner: Any = self._known.sections.get(section) if isinstance(section, str) else section
            for key in keys[depth:]:
                if not isinstance(inner, Mapping) or key not in inner:
                    break
                inner = inner[key]
            else:
                return inner
        return self._known.varying[name]


def parse(text: str, known: Names, place: Place) -> Expression:
    """Parse *text*, whose names are *known*; raise a ConfigError at *place* with everything that is wrong with it."""
    wrong: list[str] = []
    names: dict[str, None] = {}
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        tree = _Rewriter(known, names, wrong).visit(tree)
    except (SyntaxError, ValueError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        way_out = next((hint for sign, hint in _HINTS.items() if sign in text), _FORM)
        raise ConfigError(place.diagnostic(f"'{text}' is not an expression: {reason}; {way_out}")) from None
    except (RecursionError, MemoryError):
        raise ConfigError(place.diagnostic("the expression is nested too deeply; split it in two")) from None
    if wrong:
        raise ConfigError([place.diagnostic(f"'{text}': {message}") for message in dict.fromkeys(wrong)])
    evaluator = package("simpleeval").SimpleEval(functions=dict(FUNCTIONS), names={})
    return Expression(text, tuple(names), place, known, tree, evaluator)


class _Rewriter(ast.NodeTransformer):
    """Joins dotted names, puts in what is fixed, and collects which names are left and what is not allowed."""

    def __init__(self, known: Names, names: dict[str, None], wrong: list[str]) -> None:
        self.known, self.names, self.wrong = known, names, wrong

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(_WORDS[node.id]) if node.id in _WORDS else self._named(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        name = _dotted(node)
        if name is None:
            self.wrong.append(f"'.{node.attr}' follows something else than a name")
            return node
        return self._named(name)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        name = _dotted(node.func)
        if name not in FUNCTIONS:
            choices = _messages.choices(name or "", list(FUNCTIONS), "functions")
            self.wrong.append(f"there is no function '{ast.unparse(node.func)}'{choices}")
        elif node.keywords:
            self.wrong.append(f"{name}() takes no named arguments")
        else:
            node.args = [self.visit(argument) for argument in node.args]
        return node

    def visit_Tuple(self, node: ast.Tuple | ast.List) -> ast.expr:
        items = [self.visit(item) for item in node.elts]
        values = [item.value if isinstance(item, ast.Constant) else _number(item) for item in items]
        if None in values:
            self.wrong.append("a list can hold plain values only; compare with each of the others")
        return ast.Constant(tuple(values))  # type: ignore[arg-type]

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.List):
            return self.visit_Tuple(node)
        if not isinstance(node, _ALLOWED):
            self.wrong.append(f"'{ast.unparse(node)}' is more than arithmetic and comparisons; {_FORM}")
            return node
        return super().generic_visit(node)

    def _named(self, name: str) -> ast.expr:
        refusal = self.known.refusal(name)
        if refusal is not None:
            self.wrong.append(refusal)
        elif name in self.known.fixed:
            return ast.Constant(self.known.fixed[name])
        else:
            self.names[name] = None
        return ast.Name(name, ast.Load())


def _dotted(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    inner = _dotted(node.value) if isinstance(node, ast.Attribute) else None
    return f"{inner}.{node.attr}" if inner is not None and isinstance(node, ast.Attribute) else None


def _number(node: ast.expr) -> Any:
    """The value of a number with a sign, or None."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values that are no mappings, by their dotted names."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
