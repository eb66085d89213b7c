"""What error to expect of the time of a run: that of measured kernels of its kind, as a shipped table has it.

The table is derived by `ascend_sim.validation.expected`; reading it costs nothing, so every result carries its errors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ascend_sim.config import Chip, Figure, RunConfig, VectorRow, bundled
from ascend_sim.config.figure import Strict
from ascend_sim.engine.machine import Schedule
from ascend_sim.errors import ConfigError, Diagnostic
from ascend_sim.isa.words import CoreKind
from ascend_sim.kernel.build import Cores
from ascend_sim.observe.critical_path import LAUNCH

KINDS: dict[Cores, str] = {
    "cube": "cube kernels",
    "mix": "kernels of cube and vector cores",
    "vector": "single instructions of vector cores",
}
"""What was measured that is nearest to a kernel, by the cores that run the kernel."""

_NO_VECTOR_KERNEL = "a whole kernel may be further off"
_MOSTLY_LAUNCH = 0.5
"""Share of the critical path from which on a time says more about the launch than about the kernel."""
_LISTED = 3
"""Changed figures that a note names one by one."""


class ExpectedError(Strict):
    """Relative errors (simulated - measured) / measured of the times of *rows* measurements of one *kind*.

    *mape* is the mean of their magnitudes, *max* the largest, *bias* the mean with signs: negative if the simulator is
    too fast. Figures of the chip files may have been fitted on some of the rows, so these errors are in-sample. The
    leave-one-out errors are those with figures that were fitted without the row; they are None unless that is known of
    every row. *measured* names the kernels, or the suites of single instructions.
    """

    kind: str
    rows: int
    mape: float
    max: float
    bias: float
    leave_one_out_mape: float | None
    leave_one_out_max: float | None
    measured: list[str]


class ExpectedErrors(Strict):
    """The content of expected_errors.json.

    *leave_one_out* gives, by its name, what the simulator says about a row of role calibration (in the row's unit) with
    figures that were fitted without it; *kinds* the errors by the cores of a kernel.
    """

    leave_one_out: dict[str, float]
    kinds: dict[Cores, ExpectedError]


def shipped_path() -> Path:
    """The file of the shipped table."""
    return bundled("runs").parent / "validation" / "expected_errors.json"


def read_expected_errors(path: Path) -> ExpectedErrors:
    """Read the table at *path*; raise a ConfigError if it is not there or not complete."""
    way_out = "restore the file; `make errors` brings it up to date"
    try:
        table = ExpectedErrors.model_validate_json(path.read_bytes())
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}; {way_out}"
        raise ConfigError(Diagnostic(message, str(path))) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(Diagnostic(f"{place}: {first['msg']}; {way_out}", str(path))) from None
    missing = [cores for cores in KINDS if cores not in table.kinds]
    if missing:
        raise ConfigError(Diagnostic(f"kinds: there is no '{missing[0]}'; {way_out}", str(path)))
    return table


def expected_error(run: RunConfig, schedule: Schedule, path: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The field of result.json of a *run*: an ExpectedError for the kinds of cores that had work, and a note.

    The note says where the errors may not hold. *path* is the critical path as result.json has it.
    """
    cores = _cores(schedule)
    notes = [_NO_VECTOR_KERNEL] if cores == "vector" else []
    launch = sum(float(one["share"]) for one in path if one["pipe"] == LAUNCH)
    if launch > _MOSTLY_LAUNCH and cores != "vector":
        notes.append(f"{100 * launch:.0f} % of this time is launch, in the measured kernels it was less")
    changed = _changed(run)
    if changed:
        notes.append(f"the errors were measured on the bundled chips, but {changed}")
    return {**_shipped(shipped_path()).kinds[cores].model_dump(), "note": "; ".join(notes) or None}


def _cores(schedule: Schedule) -> Cores:
    """The kinds of cores that had instructions."""
    kinds = {core.stream.core.kind for core in schedule.cores if core.stream.calls}
    if len(kinds) == 2:
        return "mix"
    return "cube" if CoreKind.AIC in kinds else "vector"


_shipped = cache(read_expected_errors)


def _changed(run: RunConfig) -> str:
    """How the chip of *run* differs from the bundled ones, as the end of a sentence; empty if it does not."""
    if not (bundled("chips") / f"{run.chip_name}.yaml").is_file():
        return f"{run.chip_name} is not one of them"
    figures = list(_overridden(run.chip))
    if not figures:
        return ""
    named = ", ".join(figures) if len(figures) <= _LISTED else f"{len(figures)} figures"
    return f"this run changes {named}"


def _overridden(chip: Chip) -> Iterator[str]:
    """The keys of the figures that a run file or ``--set`` put in the place of the chip's own."""
    waiting: list[tuple[str, Any]] = [("", chip)]
    while waiting:
        key, value = waiting.pop(0)
        if isinstance(value, Figure | VectorRow):
            if value.standing == "override":
                yield key
        elif isinstance(value, BaseModel):
            waiting += [(f"{key}.{name}".lstrip("."), getattr(value, name)) for name in type(value).model_fields]
        elif isinstance(value, dict):
            waiting += [(f"{key}.{name}", member) for name, member in value.items()]
