"""What a run would gain if something that bounds it were infinitely fast: lines for people and a list for programs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

_INSTANT = dict.fromkeys(("cross_core", "launch", "launch_skew"), "took no time")
"""What is said of resources that are no units."""


@dataclass(frozen=True)
class WhatIf:
    """A run of *base_us* microseconds, and the same if *resource* were infinitely fast: *time_us*.

    *share* is how much of the critical path of the run went to the resource, *bound_by* what the run without it is
    bound by then. *overrides* are the changes of the chip that say the same to `ascend-sim run --set`; where there are
    none, no figure can say it, and the instructions of the pipe took no time. *time_us* and *bound_by* are None where
    *reason* says how the run fails.
    """

    resource: str
    share: float
    base_us: float
    time_us: float | None
    bound_by: str | None
    overrides: tuple[str, ...]
    reason: str | None = None

    @property
    def speedup(self) -> float | None:
        """How many times faster the run would be; None if it fails, or if no time is left."""
        return self.base_us / self.time_us if self.time_us else None


def to_json(rows: Sequence[WhatIf]) -> str:
    """All *rows* as a JSON list."""
    listed = [asdict(row) | {"speedup": row.speedup} for row in rows]
    return json.dumps(listed, indent=2, allow_nan=False) + "\n"


def lines(rows: Sequence[WhatIf]) -> Iterator[str]:
    """For each of *rows* what would remain, and below it its share now and how to simulate that again."""
    cells = [(f"if {row.resource} {_INSTANT.get(row.resource, 'were infinitely fast')}", *_times(row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row, (name, time, change) in zip(rows, cells, strict=True):
        then = row.reason or f"then bound by {row.bound_by}"
        yield f"{name.ljust(widths[0])}   {time.rjust(widths[1])} {change.ljust(widths[2])}   {then}"
        settings = " ".join(f"--set {shlex.quote(one)}" for one in row.overrides)
        how = settings or "no --set says that: its instructions take no time"
        yield f"    {100 * row.share:.0f} % of the critical path   {how}"


def _times(row: WhatIf) -> tuple[str, str]:
    """The time that would remain, and how it compares."""
    if row.time_us is None:
        return "unknown", ""
    change = 100 * (row.time_us - row.base_us) / row.base_us
    return f"{row.time_us:.5g} us", f"instead of {row.base_us:.5g} us ({change:+.1f} %)"
