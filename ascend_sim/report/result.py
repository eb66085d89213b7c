"""The result of a run, and result.json: the file that other programs read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ascend_sim.errors import ArgumentError, Diagnostic

SCHEMA = "ascend-sim/run/1"


@dataclass(frozen=True)
class RunResult:
    """Everything that a run found out.

    Apart from *simulation* (what the run cost on the host) equal inputs give equal results. *cycles* counts from
    the launch to the last visible result, *time_us* is the same at the chip's clock, *flops* the useful operations
    of the problem, *flops_utilization* the share of the chip's peak for the format of the matrices. *depends_on* are
    the figures of the chip that the time depends on most, *expected_error* the errors of the times of measured kernels
    of this kind. *vector_elements* counts the elements that vector instructions worked on, by format (see
    `observe.roofline.vector_elements`), *ub_banks* the bank conflicts of vector instructions on all cores. *numerics*
    is None for a run that computed no numbers or had no reference.
    """

    program: str
    chip: str
    config: dict[str, Any]
    cycles: int
    time_us: float
    flops: int
    tflops: float
    peak_tflops: float
    flops_utilization: float
    vector_elements: dict[str, int]
    pipes: dict[str, float]
    memory: dict[str, int | float]
    ub_banks: dict[str, int]
    bound_by: str
    critical_path: list[dict[str, str | float | int]]
    depends_on: list[dict[str, Any]]
    expected_error: dict[str, Any]
    numerics: dict[str, str | float | None] | None
    simulation: dict[str, int | float]
    warnings: list[str]

    def to_dict(self) -> dict[str, Any]:
        """The content of result.json; keys may be added in later versions, none is removed or renamed."""
        return {"schema": SCHEMA} | {name: getattr(self, name) for name in self.__dataclass_fields__}

    def to_json(self) -> str:
        """The text of result.json."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"


def read_result(path: Path) -> RunResult:
    """Read a result.json; raise an ArgumentError if it is none, or if fields are missing that are known here."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        message = "there is no result of a run; write it with `ascend-sim run CONFIG --out DIR`"
        raise ArgumentError(Diagnostic(message, str(path))) from None
    except (OSError, ValueError) as error:
        raise ArgumentError(Diagnostic(f"cannot be read as a result: {error}; run again", str(path))) from None
    fields = RunResult.__dataclass_fields__
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ArgumentError(Diagnostic(f"is no result of schema {SCHEMA!r}; run again", str(path)))
    missing = [name for name in fields if name not in content]
    if missing:
        message = f"lacks {', '.join(missing)}: an earlier version has written it; run again"
        raise ArgumentError(Diagnostic(message, str(path)))
    wrong = next((name for name in fields if not _fits(name, content[name])), None)
    if wrong is not None:
        raise ArgumentError(Diagnostic(f"'{wrong}' is not what a run writes there; run again", str(path)))
    return RunResult(**{name: content[name] for name in fields})


_COUNTED = ("pipes", "memory", "ub_banks", "vector_elements", "simulation")
_LISTS = ("critical_path", "depends_on", "warnings")
_TEXTS = ("program", "chip", "bound_by")
_OBJECTS = ("config", "expected_error")


def _fits(name: str, value: object) -> bool:
    """Whether *value* is of the kind that the field *name* has: a number, unless one of the tables says otherwise."""
    if name in _COUNTED:
        return isinstance(value, dict) and all(map(_is_number, value.values()))
    if name == "critical_path":
        parts = value if isinstance(value, list) else [None]
        return all(isinstance(one, dict) and {"pipe", "share", "cycles"} <= set(one) for one in parts)
    if name in _LISTS:
        return isinstance(value, list)
    if name in _TEXTS:
        return isinstance(value, str)
    if name in _OBJECTS or (name == "numerics" and value is not None):
        return isinstance(value, dict)
    return name == "numerics" or _is_number(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
