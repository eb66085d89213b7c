"""A hardware figure: a value together with where it comes from."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

T = TypeVar("T")

Standing = Literal["vendor_file", "measured", "calibrated", "estimated", "derived", "override"]
"""How much a figure may be trusted; "override" is a value that a run file or ``--set`` put in its place."""


def _whole(value: Any) -> Any:
    """Return a float such as 1e9 as the whole number it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        below = 1 << (value.bit_length() - 1)
        raise ValueError(f"must be a power of two, but it is {value}; write {below} or {2 * below} instead")
    return value


# The limits are far beyond any chip; within them no time overflows, and what a run allocates stays in bounds.
Count = Annotated[int, BeforeValidator(_whole), Field(gt=0, le=10**15)]
SmallCount = Annotated[int, BeforeValidator(_whole), Field(gt=0, le=1000)]
BankBytes = Annotated[int, BeforeValidator(_whole), Field(ge=1024, le=2**24)]
BufferBytes = Annotated[int, BeforeValidator(_whole), Field(gt=0, le=2**24)]
Cycles = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=10**9)]
Depth = Annotated[int, BeforeValidator(_whole), Field(gt=0, le=10**6)]
PowerOfTwo = Annotated[int, BeforeValidator(_whole), Field(gt=0, le=2**24), AfterValidator(_power_of_two)]
StepCycles = Annotated[int, BeforeValidator(_whole), Field(gt=0, le=10**6)]
Hertz = Annotated[float, Field(ge=1, le=10**12)]
Positive = Annotated[float, Field(ge=1e-6, le=10**18)]
NotNegative = Annotated[float, Field(ge=0, le=10**6)]


_UNITS = {
    "bytes_per_second": "B/s", "bytes_per_cycle": "B/cycle", "per_fractal": "cycles", "cycles": "cycles",
    "seconds": "s", "hz": "Hz", "depth": "instructions",
}  # fmt: skip


def unit_of(key: str) -> str:
    """The symbol of the unit of the figure with the dotted *key*, which its name ends in; vector costs are cycles."""
    parts = key.split(".")
    return next((unit for ending, unit in _UNITS.items() if any(one.endswith(ending) for one in parts)), "cycles")


class Strict(BaseModel):
    """Base of the models of this package: frozen, no conversions, no unknown keys, no infinities."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class Figure(Strict, Generic[T]):
    """A *value* in the unit that its key names, the *source* (a key of the file's legend) and its
    *standing*.
    """

    value: T
    source: str
    standing: Standing
    note: str = ""

    @model_validator(mode="before")
    @classmethod
    def _refuse_bare_value(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            shown = "..." if data is None or isinstance(data, list) else data
            form = f"{{value: {shown}, source: KEY, standing: measured}}"
            raise ValueError(f"a chip figure needs its source; write {form} with a KEY of 'sources' instead")
        return data
