"""Exploration files: which points of a run are searched, for what, how, and within which limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from operator import is_
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from ascend_sim.config import (
    Document,
    Override,
    RunConfig,
    _messages,
    find_chip,
    find_exploration,
    find_run,
    load_run,
    names,
    varied,
)
from ascend_sim.config.figure import Strict
from ascend_sim.config.overrides import parse_overrides
from ascend_sim.errors import ConfigError, Diagnostic, ProgramError
from ascend_sim.explore import forms
from ascend_sim.explore.expressions import Expression, Names, parse
from ascend_sim.explore.keys import Keys, with_metrics
from ascend_sim.explore.point import METRICS, Assignment, Limits, Value, override
from ascend_sim.explore.space import Parameter, Space

Direction = Literal["minimize", "maximize"]
_BOUNDED: dict[str, Direction] = {
    "time_us": "minimize", "cycles": "minimize", "tflops": "maximize", "flops_utilization": "maximize",
}  # fmt: skip
"""Objectives that are no better than the lower bound of the time allows."""


class Strategy(Strict):
    """How the points are chosen. A grid has all of them, the others *points* different ones.

    At most *window* points are under way; with *prune*, those are left out whose lower bound is worse than the best.
    """

    name: Literal["grid", "random", "latin_hypercube", "sobol", "tpe", "nsga2"] = "grid"
    points: Annotated[int, Field(ge=1, le=10**7)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    prune: bool = False
    window: Annotated[int, Field(ge=1, le=4096)] = 16


class _Limits(Strict):
    check: bool = False
    max_instructions: Annotated[int, Field(ge=1)] | None = None
    max_cycles: Annotated[int, Field(ge=1)] | None = None


def _shortest_time() -> dict[str, Direction]:
    return {"time_us": "minimize"}


class _File(Strict):
    """The keys of an exploration file."""

    description: str = ""
    run: str
    set: dict[str, Any] = Field(default_factory=dict)
    space: dict[str, Any]
    conditions: tuple[str, ...] = ()
    objectives: dict[str, Direction] = Field(default_factory=_shortest_time)
    constraints: tuple[str, ...] = ()
    strategy: Strategy = Strategy()
    limits: _Limits = _Limits()


@dataclass(frozen=True)
class Objective:
    """A metric that is to be as small or as large as possible."""

    metric: str
    direction: Direction

    def loss(self, metrics: Mapping[str, float]) -> float:
        """How bad *metrics* are; lower is better."""
        value = metrics[self.metric]
        return value if self.direction == "minimize" else -value


@dataclass(frozen=True)
class Exploration:
    """An exploration, complete: the file at *path*, and the *run* that its points are variants of."""

    path: Path
    description: str
    run: RunConfig
    space: Space
    objectives: tuple[Objective, ...]
    constraints: tuple[Expression, ...]
    strategy: Strategy
    limits: Limits

    @property
    def name(self) -> str:
        """The name of the file without its ending."""
        return self.path.stem

    def eligible(self, assignment: Assignment, metrics: Mapping[str, float]) -> bool:
        """Whether all constraints hold for a simulated point; only then it can be the best."""
        return all(constraint.holds({**assignment, **metrics}) for constraint in self.constraints)

    def resolved(self) -> dict[str, Any]:
        """Return everything that determines the search as plain data for JSON, equal for equal searches."""
        return {
            "name": self.name,
            "description": self.description,
            "run": self.run.resolved(),
            "space": {parameter.name: list(parameter.values) for parameter in self.space.parameters},
            "conditions": [condition.text for condition in self.space.conditions],
            "objectives": {one.metric: one.direction for one in self.objectives},
            "constraints": [constraint.text for constraint in self.constraints],
            "strategy": self.strategy.model_dump(mode="json"),
            "limits": asdict(self.limits),
        }


def load_exploration(path_or_name: str | Path, overrides: Sequence[str] = ()) -> Exploration:
    """Return the exploration of a file or of a bundled name, with *overrides* of its keys ("strategy.seed=3").

    Raise an ArgumentError for malformed overrides or a missing package, and a ConfigError with what is wrong in the
    file, the run that it names, or that run's program.
    """
    path = path_or_name if isinstance(path_or_name, Path) else find_exploration(path_or_name)
    document = _overridden(Document.load(path), overrides)
    file = document.parse(_File)
    run, keys = _run(document, file)
    space, constraints = _space(document, file, run, keys)
    return Exploration(
        path=path,
        description=file.description,
        run=run,
        space=space,
        objectives=tuple(Objective(metric, direction) for metric, direction in file.objectives.items()),
        constraints=constraints,
        strategy=file.strategy,
        limits=Limits(file.limits.max_instructions, file.limits.max_cycles, file.limits.check),
    )


def _overridden(document: Document, overrides: Sequence[str]) -> Document:
    """Return *document* with *overrides*; what follows "space." or "set." is one key, since it is one in the file.

    A section that is given as a whole, such as "objectives={cycles: minimize}", replaces that of the file.
    """
    wrong = []
    for change in parse_overrides(overrides):
        first, *rest = change.path
        if first not in _File.model_fields:
            unknown = _messages.unknown_key(first, (), list(_File.model_fields))
            message = f"{unknown}; for a key of the run, write --set set.{change.text}"
            wrong.append(Diagnostic(message, change.origin))
        path = (first, ".".join(rest)) if first in ("space", "set") and rest else change.path
        top = Override(path, change.value, change.text).node()
        # Values replace others and do not mix with them, be they a section or a form of those of a parameter.
        document = document.merged(top, partial(is_, top.at(path)))
    if wrong:
        raise ConfigError(wrong)
    return document


def _run(document: Document, file: _File) -> tuple[RunConfig, Keys]:
    """The run that *file* names, with what it sets, and its keys."""
    try:
        path = find_run(file.run, document.path if document.place(("run",)).line is not None else None)
    except ConfigError as error:
        raise ConfigError([document.diagnostic(("run",), one.message) for one in error.diagnostics]) from None
    values = {**file.set, **_set_chip(document, file)}
    with _placed(document, "set", values):
        run = varied(load_run(path), [override(name, value) for name, value in values.items()])
        return run, Keys.of(run)


def _set_chip(document: Document, file: _File) -> dict[str, Value]:
    """The chip that *file* sets, if it does; its path counts from there, where one on the command line does not."""
    chip, place = file.set.get("chip"), document.place(("set", "chip"))
    if not isinstance(chip, str) or place.line is None:
        return {}
    try:
        path = find_chip(chip, document.path)
    except ConfigError as error:
        raise ConfigError([place.diagnostic(one.message) for one in error.diagnostics]) from None
    return {} if chip in names("chips") else {"chip": str(path.absolute())}


@contextmanager
def _placed(document: Document, section: str, values: Mapping[str, Value]) -> Iterator[None]:
    """Raise the ConfigErrors about *values* at their places in a *section* of *document*."""
    origins = {override(name, value).origin: name for name, value in values.items()}
    try:
        yield
    except ConfigError as error:
        found = []
        for one in error.diagnostics:
            if one.file in origins:
                at_key = one.message.startswith("unknown key")
                one = document.diagnostic((section, origins[one.file]), one.message, at_key)
            found.append(one)
        raise ConfigError(found) from None


def _space(document: Document, file: _File, run: RunConfig, keys: Keys) -> tuple[Space, tuple[Expression, ...]]:
    """The space of *file* and the constraints on its results."""
    wrong = [*_empty(document, file), *_wrong_objectives(document, file), *_wrong_strategy(document, file)]
    parameters = []
    for name in file.space:
        try:
            parameters.append(_parameter(document, name, keys))
        except ConfigError as error:
            wrong += error.diagnostics
    wrong += _overlaps(document, [parameter.name for parameter in parameters])
    wrong += [] if wrong else _impossible(document, run, keys.kernel.parameters, parameters)
    _raise(wrong)
    known = keys.names(run, parameters)
    conditions = _expressions(document, "conditions", file.conditions, known, wrong)
    constraints = _expressions(document, "constraints", file.constraints, with_metrics(known), wrong)
    _raise(wrong)
    space = Space(tuple(parameters), conditions)
    _expect_points(document, file, space)
    return space, constraints


def _raise(wrong: Sequence[Diagnostic]) -> None:
    """Raise a ConfigError with all that is *wrong*, in the order of the file, if anything is."""
    if wrong:
        raise ConfigError(sorted(wrong, key=lambda one: (one.file or "", one.line or 0, one.column or 0)))


def _parameter(document: Document, name: str, keys: Keys) -> Parameter:
    refusal = keys.refusal(name)
    if refusal is not None:
        raise ConfigError(document.diagnostic(("space", name), refusal, at_key=True))
    parameter = Parameter(name, forms.values_at(document, name, keys.value(name)))
    wrong = []
    for index, value in enumerate(parameter.values):
        for key in _leaves(value):
            refusal = keys.refusal(f"{name}.{key}")
            if refusal is not None:
                wrong.append(document.diagnostic(("space", name, index, *key.split(".")), refusal, at_key=True))
        if name == "chip":
            wrong += _wrong_chip(document, index, value)
    if wrong:
        raise ConfigError(wrong)
    return parameter


def _leaves(value: Value) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from (f"{key}.{leaf}" for leaf in _leaves(inner))


def _wrong_chip(document: Document, index: int, value: Value) -> Iterator[Diagnostic]:
    known = names("chips")
    if value not in known:
        ending = _messages.choices(str(value), known, "bundled chips")
        message = f"space.chip: {_messages.shown(value)} is no bundled chip{ending}; for your own, vary its figures"
        yield document.diagnostic(("space", "chip", index), message)


def _overlaps(document: Document, known: Sequence[str]) -> Iterator[Diagnostic]:
    """Parameters inside others, of which two would change the same key."""
    for name in known:
        outer = next((one for one in known if name.startswith(f"{one}.") and one != "chip"), None)
        if outer is not None:
            message = f"'{name}' lies in '{outer}', which is a parameter too; write its values in those of '{outer}'"
            yield document.diagnostic(("space", name), message, at_key=True)


def _impossible(
    document: Document, run: RunConfig, model: type[BaseModel], parameters: Sequence[Parameter]
) -> Iterator[Diagnostic]:
    """Parameters of which every single value is refused by the key itself, whatever the others are."""
    for parameter in parameters:
        refusals = (_own_refusal(run, model, parameter.name, value) for value in parameter.values)
        first = next(refusals, None)
        if first is not None and all(refusal is not None for refusal in refusals):
            which = "none of the values is possible" if len(parameter.values) > 1 else "the value is not possible"
            yield document.diagnostic(("space", parameter.name), f"{which}: {first}")


def _own_refusal(run: RunConfig, model: type[BaseModel], name: str, value: Value) -> str | None:
    change = override(name, value)
    try:
        varied(run, [change]).parameters(model)
    except ConfigError as error:
        # What is said of the key itself begins with its name; what else is wrong may be right with other values.
        own = {f"{name}: ", f"{name.removeprefix('chip.')}: "}
        said = [one.message for one in error.diagnostics if one.file == change.origin]
        return next((message for message in said if any(map(message.startswith, own))), None)
    except ProgramError:
        return None
    return None


def _empty(document: Document, file: _File) -> Iterator[Diagnostic]:
    if not file.space:
        message = "there is nothing to vary; write a key of the run with its values, 'tiling.m: [64, 128]' for example"
        yield document.diagnostic(("space",), message)
    if not file.objectives:
        message = "there is nothing to search for; write 'time_us: minimize', for example, or leave the key out"
        yield document.diagnostic(("objectives",), message)


def _wrong_objectives(document: Document, file: _File) -> Iterator[Diagnostic]:
    for metric in file.objectives:
        if metric not in METRICS:
            ending = _messages.choices(metric, list(METRICS), "known metrics")
            yield document.diagnostic(("objectives", metric), f"there is no metric '{metric}'{ending}", at_key=True)


def _wrong_strategy(document: Document, file: _File) -> Iterator[Diagnostic]:
    strategy, loc = file.strategy, ("strategy",)
    if strategy.name == "grid" and strategy.points is not None:
        message = "a grid has all points of the space; remove 'points', or write 'name: random' to draw as many"
        yield document.diagnostic((*loc, "points"), message, at_key=True)
    if strategy.name != "grid" and strategy.points is None:
        message = f"the strategy {strategy.name} must know how many points to choose; write 'points: 200', for example"
        yield document.diagnostic((*loc, "name"), message)
    bounded = all(_BOUNDED.get(metric) == way for metric, way in file.objectives.items())
    if strategy.prune and not (bounded and len(file.objectives) == 1):
        ways = ", ".join(f"{metric}: {way}" for metric, way in _BOUNDED.items())
        message = f"a lower bound of the time says something of one objective only, which must be one of: {ways}"
        yield document.diagnostic((*loc, "prune"), f"{message}; write one of them, or 'prune: false'")
    elif strategy.prune and not {"time_us", "cycles"} & {*file.objectives}:
        # A rate says nothing of the time where the operations, or the peak, are not the same for all points
        varied = next((name for name in file.space if name.partition(".")[0] in ("chip", "problem")), None)
        if varied is not None:
            message = f"the best {next(iter(file.objectives))} is no bound of the time where '{varied}' differs"
            yield document.diagnostic((*loc, "prune"), f"{message}; write 'time_us: minimize', or 'prune: false'")


def _expressions(
    document: Document, section: str, texts: Sequence[str], known: Names, wrong: list[Diagnostic]
) -> tuple[Expression, ...]:
    parsed = []
    for index, text in enumerate(texts):
        try:
            parsed.append(parse(text, known, document.place((section, index))))
        except ConfigError as error:
            wrong += error.diagnostics
    return tuple(parsed)


def _expect_points(document: Document, file: _File, space: Space) -> None:
    """Raise a ConfigError if the grid is too large, or if conditions leave nothing of it."""
    if space.size > forms.MOST_VALUES:
        if file.strategy.name == "grid":
            message = (
                f"a grid of {space.size} points is more than {forms.MOST_VALUES}; take fewer values, or write "
                f"'strategy: {{name: tpe, points: 1000}}', for example"
            )
            raise ConfigError(document.diagnostic(("space",), message, at_key=True))
        return
    if next(space.grid(), None) is None:
        alone = [one for one in space.conditions if next(Space(space.parameters, (one,)).grid(), None) is None]
        which = f"'{alone[0].text}' holds" if alone else "together, the conditions hold"
        place = alone[0].place if alone else document.place(("conditions",), at_key=True)
        raise ConfigError(place.diagnostic(f"{which} for none of the {space.size} points; relax it, or add values"))
