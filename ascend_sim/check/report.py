"""What a check prints."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from ascend_sim.check.run import Checked
from ascend_sim.errors import CheckError, Diagnostic

MOST = 25
"""Findings that are printed one by one."""


def summary(checked: Checked) -> str:
    """One line: what was checked, and how many findings there are."""
    if checked.refused:
        found = _count(len(checked.errors), "error")
        return f"checked {checked.program} on {checked.chip}: the hardware would not take it: {found}"
    looked = "order, flags, memory" + (", numbers" if checked.with_numbers else "")
    found = f"{_count(len(checked.errors), 'error')}, {_count(len(checked.hints), 'hint')}"
    return f"checked {checked.program} on {checked.chip}: {checked.instructions:,} instructions ({looked}): {found}"


def pages(checked: Checked) -> Iterator[str]:
    """For each kind of error its number and where it is explained."""
    for kind, count in Counter(one.kind for one in checked.errors).items():
        yield f"  {count} x {kind}: docs/errors/{kind}.md"


def hint_lines(checked: Checked) -> Iterator[str]:
    """The hints as lines, no more than can be read."""
    for one in checked.hints[:MOST]:
        found = one.diagnostic()
        place = f"{found.file}:{found.line}: " if found.file else ""
        yield f"{place}hint: {found.message}"
    if len(checked.hints) > MOST:
        yield f"and {len(checked.hints) - MOST} more hints (--json has all)"


def expect_clean(checked: Checked) -> None:
    """Raise a CheckError with the errors, if there are any."""
    found = [one.diagnostic() for one in checked.errors]
    if len(found) > MOST:
        found = [*found[:MOST], Diagnostic(f"and {len(found) - MOST} more errors (--json has all)")]
    if found:
        raise CheckError(found)


def to_json(checked: Checked) -> str:
    """Everything found, for programs."""
    findings = [
        {
            "kind": one.kind,
            "severity": "error" if one.error else "hint",
            "file": one.where.file if one.where else None,
            "line": one.where.line if one.where else None,
            "message": one.message,
            "places": one.places,
        }
        for one in checked.findings
    ]
    content = {
        "schema": "ascend-sim/check/1",
        "program": checked.program,
        "chip": checked.chip,
        "instructions": checked.instructions,
        "numbers": checked.with_numbers,
        "findings": findings,
    }
    return json.dumps(content, indent=2) + "\n"


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
