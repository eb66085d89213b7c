"""The result of a run, and result.json: the file that other programs read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

SCHEMA = "ascend-sim/run/1"


@dataclass(frozen=True)
class RunResult:
    """Everything that a run found out.

    Apart from *simulation* (what the run cost on the host) equal inputs give equal results. *cycles* counts from
    the launch to the last visible result, *time_us* is the same at the chip's clock, *flops* the useful operations
    of the problem, *flops_utilization* the share of the chip's peak for the format of the matrices. *depends_on* are
    the figures of the chip that the time depends on most, *expected_error* the errors of the times of measured kernels
    of this kind. *ub_banks* counts the bank conflicts of vector instructions on all cores. *numerics* is None for a run
    that computed no numbers or had no reference.
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
