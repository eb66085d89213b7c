"""Runs side by side: what came out, by how much it differs, and what was changed in the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ascend_sim.report.result import RunResult

Value = float | int | str

_UNCOUNTED = ("description", "program_file", "chip.description", "chip.sources.")
"""Keys (or what they begin with) that differ between configurations without a difference in what is simulated."""


@dataclass(frozen=True)
class Row:
    """A measure of several runs: its *name*, its *values* in *unit* (None where a run has none).

    *decimals* is how many to print. *less* says whether less is better; None for what is neither.
    """

    name: str
    unit: str
    values: tuple[float | None, ...]
    decimals: int = 1
    less: bool | None = None

    def change(self, number: int) -> float | None:
        """The relative change of run *number* against the first; None where it says nothing."""
        first, here = self.values[0], self.values[number]
        if not first or here is None:
            return None
        return here / first - 1.0


@dataclass(frozen=True)
class Difference:
    """A *key* of the configuration in which the runs differ, and its value in each; None where a run lacks it."""

    key: str
    values: tuple[Value | None, ...]


def compared(results: Sequence[RunResult]) -> list[Row]:
    """The measures of *results*, as far as any of them has something to say there."""
    rows = [
        Row("time", "us", tuple(one.time_us for one in results), 1, True),
        Row("cycles", "", tuple(one.cycles for one in results), 0, True),
        Row("rate", "TFLOPS", tuple(one.tflops for one in results), 1, False),
        Row("utilization", "%", tuple(100 * one.flops_utilization for one in results), 1, False),
    ]
    for name in results[0].pipes:
        rows.append(Row(name.removesuffix("_ratio"), "%", tuple(100 * one.pipes[name] for one in results)))
    for name in ("hbm_read", "hbm_write", "l2_read", "l2_write"):
        values = tuple(one.memory[f"{name}_bytes"] / 1e6 for one in results)
        rows.append(Row(name.replace("_", " ").replace("hbm", "HBM").replace("l2", "L2"), "MB", values, 2, True))
    rows.append(Row("L2 hits", "%", tuple(100 * one.memory["l2_hit_ratio"] for one in results), 1, False))
    names = dict.fromkeys(str(part["pipe"]) for one in results for part in one.critical_path)
    for name in names:
        rows.append(Row(f"path: {name}", "us", tuple(_path_us(one, name) for one in results), 1, True))
    errors = tuple(_error(one) for one in results)
    rows.append(Row("relative error", "", errors, 9, True))
    return [row for row in rows if any(row.values)]


def _path_us(result: RunResult, name: str) -> float:
    cycles = sum(int(part["cycles"]) for part in result.critical_path if part["pipe"] == name)
    return cycles / result.cycles * result.time_us if result.cycles else 0.0


def _error(result: RunResult) -> float | None:
    error = None if result.numerics is None else result.numerics["relative_error"]
    return None if error is None else float(error)


def differences(results: Sequence[RunResult]) -> list[Difference]:
    """The keys of the configurations in which *results* differ; of a chip's figure its value only."""
    flat = [dict(_flat(one.config)) for one in results]
    keys = dict.fromkeys(key for one in flat for key in one)
    return [
        Difference(key, values)
        for key in keys
        if not key.startswith(_UNCOUNTED) and len({repr(one.get(key)) for one in flat}) > 1
        for values in [tuple(one.get(key) for one in flat)]
    ]


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Value | None]]:
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            if {"value", "source"} <= set(value):
                yield name, value["value"]
            elif name != "sections":  # the parameters say the same, with defaults
                yield from _flat(value, f"{name}.")
        elif isinstance(value, list):
            yield name, str(value) if len(value) <= 8 else f"[{len(value)} values, sum {_sum(value)}]"
        else:
            yield name, value


def _sum(values: Sequence[Any]) -> str:
    numbers = all(isinstance(value, int | float) for value in values)
    return f"{sum(values):g}" if numbers else "of no numbers"


def to_json(names: Sequence[str], rows: Sequence[Row], changed: Sequence[Difference]) -> dict[str, Any]:
    """Everything as plain data, for --json."""
    return {
        "runs": list(names),
        "measures": [
            {"name": row.name, "unit": row.unit, "values": list(row.values), "changes": [
                row.change(number) for number in range(len(names))
            ]}
            for row in rows
        ],
        "config": [{"key": one.key, "values": list(one.values)} for one in changed],
    }  # fmt: skip


def lines(names: Sequence[str], rows: Sequence[Row], changed: Sequence[Difference]) -> Iterator[str]:
    """The comparison as text: what was changed, then a line for each measure, with its change against the first run."""
    short = shortened(names)
    table: list[tuple[str, ...]] = [("", *short)]
    table += [(one.key, *(_shown(value) for value in one.values)) for one in changed]
    if not changed:
        yield "the configurations are equal"
    else:
        yield from _aligned(table)
    yield ""
    table = [("", *short)]
    for row in rows:
        table.append((row.name, *(cell(row, number) for number in range(len(names)))))
    yield from _aligned(table)


def cell(row: Row, number: int) -> str:
    """The value of run *number* with its unit, and with its change against the first run."""
    value, change = row.values[number], row.change(number) if number else None
    if value is None:
        return "-"
    beside = "" if change is None else f" ({100 * change:+.1f} %)"
    return f"{_number(value, row.decimals)} {row.unit}".rstrip() + beside


def shortened(names: Sequence[str]) -> list[str]:
    """*names* of runs without the folders that all of them share."""
    parts = [name.rstrip("/").split("/") for name in names]
    while all(len(one) > 1 for one in parts) and len({one[0] for one in parts}) == 1:
        parts = [one[1:] for one in parts]
    return ["/".join(one) for one in parts]


def _number(value: float, decimals: int) -> str:
    if decimals > 3:
        return f"{value:.2e}"
    return f"{value:,.{decimals}f}" if decimals == 0 or abs(value) >= 10 else f"{value:.3g}"


def _shown(value: Value | None) -> str:
    return "-" if value is None else str(value)


def _aligned(table: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        yield "  ".join(cells).rstrip()
