"""The keys of a run that can be varied, and what they are worth in the run as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ascend_sim.config import Chip, LaunchConfig, RunConfig, _messages, load_chip
from ascend_sim.config._annotations import children, known_keys
from ascend_sim.errors import ArgumentError
from ascend_sim.explore.expressions import Names, flat
from ascend_sim.explore.point import METRICS, Value
from ascend_sim.explore.resolve import figures_of
from ascend_sim.explore.space import Parameter
from ascend_sim.kernel.build import Kernel, block_count
from ascend_sim.kernel.load import load_program

_TIMELESS = ("program", "description", "data", "symmetry")
"""Keys of a run file in which points cannot differ."""


@dataclass(frozen=True)
class Keys:
    """The keys of a run, its chip and its kernel, with their *values* in the run as it is, defaults included."""

    kernel: Kernel
    values: Mapping[str, Any]

    @classmethod
    def of(cls, run: RunConfig) -> Keys:
        """The keys of *run*; raise a ConfigError or a ProgramError if its program cannot take its parameters."""
        kernel = load_program(run.program_file()).kernel
        sections = run.parameters(kernel.parameters).model_dump(mode="json")
        launch = run.launch.model_dump(mode="json")
        return cls(kernel, {**sections, "launch": launch, "chip": figures_of(run.chip)})

    def value(self, name: str) -> Any:
        """The value of the key *name*, a mapping for a section; None if it is not set or there is none."""
        return found(self.values, name)

    def refusal(self, name: str) -> str | None:
        """Why the key *name* cannot be varied, or None if it can."""
        loc = name.split(".")
        if loc[0] in _TIMELESS:
            way_out = f"fix it for all points with 'set: {{{name}: ...}}'"
            return f"'{name}' does not tell one point from another; {way_out}"
        if loc[0] == "chip":
            return self._refusal_of_figure(loc)
        launch = loc[0] == "launch"
        here: list[Any] = [LaunchConfig if launch else self.kernel.parameters]
        for depth in range(int(launch), len(loc)):
            known = known_keys(here)
            here = children(here, loc[depth])
            if not here:
                return _unknown(loc[depth], loc[:depth], known + ([] if depth else ["launch", "chip"]))
        return None

    def _refusal_of_figure(self, loc: Sequence[str]) -> str | None:
        inner: Any = self.values
        for depth, key in enumerate(loc):
            if not isinstance(inner, Mapping) or key not in inner:
                return _unknown(key, loc[:depth], list(inner) if isinstance(inner, Mapping) else [])
            inner = inner[key]
        return None

    def names(self, run: RunConfig, parameters: Sequence[Parameter]) -> Names:
        """What expressions on points of *parameters* may name."""
        fixed = dict(flat(self.values))
        if "launch.blocks" in fixed and fixed["launch.blocks"] is None:
            fixed["launch.blocks"] = _all_blocks(self.kernel, run.chip)
        varying: dict[str, Any] = {}
        for parameter in parameters:
            inside = {parameter.name, *(name for name in fixed if name.startswith(f"{parameter.name}."))}
            for value in parameter.values:
                inside |= {f"{parameter.name}.{key}" for key, _ in flat(value)} if isinstance(value, dict) else set()
            varying |= {name: fixed.get(name) for name in inside}
        over = {".".join(name.split(".")[:depth]) for name in varying for depth in range(1, name.count(".") + 1)}
        fixed = {name: value for name, value in fixed.items() if name not in varying and name not in over}
        chips = [value for one in parameters if one.name == "chip" for value in one.values]
        return Names(fixed, varying, {str(chip): figures_of(load_chip(str(chip))) for chip in chips})


def with_metrics(names: Names) -> Names:
    """*names*, and those of what is known of a simulated point."""
    return Names(names.fixed, {**names.varying, **dict.fromkeys(METRICS)}, names.sections)


def base_assignment(run: RunConfig, parameters: Sequence[Parameter]) -> dict[str, Value]:
    """The point that *run* is by itself: for each parameter its value there, defaults of the program included.

    A mapping has the keys that the parameter's own mappings have. The point need not lie in the space.
    """
    keys = Keys.of(run)
    return {one.name: _base_value(run, keys, one) for one in parameters}


def _base_value(run: RunConfig, keys: Keys, parameter: Parameter) -> Value:
    if parameter.name == "chip":
        return run.chip_name
    value: Value = keys.value(parameter.name)
    inner = dict.fromkeys(key for one in parameter.values if isinstance(one, dict) for key in one)
    return {key: value.get(key) for key in inner} if isinstance(value, dict) and inner else value


def found(values: Any, name: str) -> Any:
    """The value under the dotted *name* in nested mappings; None if there is none."""
    for key in name.split("."):
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def _unknown(key: str, loc: Sequence[str], known: Sequence[str]) -> str:
    if not known:
        return f"'{_messages.dotted(loc)}' is a value, and has no key '{key}'"
    return _messages.unknown_key(key, loc, known)


def _all_blocks(kernel: Kernel, chip: Chip) -> int | None:
    try:
        return block_count(kernel, chip, None)
    except ArgumentError:
        return None
