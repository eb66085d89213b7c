"""How values of parameters and metrics are written in tables and figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ascend_sim.explore.point import Assignment, Value
from ascend_sim.explore.space import label

_ON_CHIP = ("l1_bytes", "l0a_bytes", "l0b_bytes", "l0c_bytes", "ub_bytes")
_LONGEST = 40
"""Letters of a list or a mapping that are shown."""


@dataclass(frozen=True)
class Measure:
    """How a metric is shown: its *name* for people and its *unit*, of which it has value / *scale*."""

    name: str
    unit: str
    scale: float
    decimals: int

    @property
    def label(self) -> str:
        """The name with its unit, for an axis."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def number(self, value: float) -> str:
        """*value* without its unit."""
        scaled = value / self.scale
        decimals = self.decimals if abs(scaled) >= 10 or not self.decimals else self.decimals + 1
        return f"{scaled:,.{decimals}f}"

    def text(self, value: float) -> str:
        """*value* with its unit."""
        return f"{self.number(value)} {self.unit}".rstrip()


def measure(metric: str) -> Measure:
    """How *metric*, one of METRICS, is shown."""
    if metric == "time_us":
        return Measure("time", "us", 1.0, 2)
    if metric == "tflops":
        return Measure("rate", "TFLOPS", 1.0, 1)
    if metric in _ON_CHIP:
        return Measure(f"{metric.removesuffix('_bytes').upper()} used", "KiB", 1024.0, 0)
    if metric.endswith("_bytes"):
        name = metric.removesuffix("_bytes").replace("_", " ")
        return Measure(name.replace("hbm", "HBM").replace("l2", "L2").replace("gm", "GM"), "MB", 1e6, 2)
    if metric.endswith("_ratio") or metric == "flops_utilization":
        return Measure(metric.removesuffix("_ratio").replace("flops_", ""), "%", 0.01, 1)
    return Measure(metric, "", 1.0, 0)


def identity(value: Value) -> str:
    """A text that two values share if they are the same: 128 and 128.0 are, 1 and true are not."""
    return repr(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else json.dumps(value)


def shown(value: Value) -> str:
    """*value* in few letters: `label` of it, shortened where it is long."""
    text = label(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def told_apart(values: Sequence[Value]) -> tuple[str, ...]:
    """*values* as they are shown side by side: of mappings only the first key that tells them apart, if one does."""
    if len(values) > 1 and all(isinstance(value, dict) for value in values):
        mappings = [value for value in values if isinstance(value, dict)]
        for key in mappings[0]:
            inner = [label(one.get(key)) for one in mappings]
            if len(set(inner)) == len(inner):
                named = [f"{key}={text}" for text in inner]
                return tuple(named if max(map(len, named)) < _LONGEST // 2 else inner)
    return tuple(shown(value) for value in values)


def listed(assignment: Assignment) -> str:
    """All values of *assignment* in one line."""
    return ", ".join(f"{name}={shown(value)}" for name, value in assignment.items())


def shortest(names: Sequence[str]) -> dict[str, str]:
    """For each dotted name its last part, or as many parts as tell it from the others."""
    found = {}
    for name in names:
        parts = name.split(".")
        ends = [".".join(parts[begin:]) for begin in range(len(parts) - 1, -1, -1)]
        alone = (end for end in ends if sum(f".{other}".endswith(f".{end}") for other in names) == 1)
        found[name] = next(alone, name)
    return found
