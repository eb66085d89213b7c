"""What the checks find: one line each, with its kind, where it is, and the way out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ascend_sim.errors import Diagnostic
from ascend_sim.isa.source import SourceLine

Kind = Literal[
    "race", "deadlock", "set-twice", "never-waited-for", "flag-counter", "flag-modes", "flag-pipes",
    "vector-cores-disagree", "uninitialised", "wrong-numbers", "not-a-number", "overflow", "exponent-add",
    "hardware-rule", "barrier", "redundant-flag", "atomic-order", "small-transfer", "misaligned-transfer",
    "single-buffer", "bank-conflict",
]  # fmt: skip
"""What a finding can be; docs/errors has a page for each."""


@dataclass(frozen=True)
class Finding:
    """A *message* of a *kind* at a line; an *error* makes the program wrong, anything else is a hint.

    *places* counts the instructions of all cores for which the same holds.
    """

    kind: Kind
    message: str
    where: SourceLine | None
    error: bool = True
    places: int = 1

    def diagnostic(self) -> Diagnostic:
        """The finding as a line of output."""
        more = f" ({self.places:,} times)" if self.places > 1 else ""
        text = f"{self.message}{more} [{self.kind}]"
        return Diagnostic(text, self.where.file, self.where.line) if self.where else Diagnostic(text)


class Findings:
    """Findings by key: the first of each key is kept, further ones are counted."""

    def __init__(self) -> None:
        self._found: dict[object, Finding] = {}

    def again(self, key: object) -> bool:
        """Count one more of *key*; return False if there is none yet, and so a message is needed."""
        known = self._found.get(key)
        if known is None:
            return False
        self._found[key] = replace(known, places=known.places + 1)
        return True

    def add(self, key: object, finding: Finding) -> None:
        """Keep the first *finding* of a new *key*."""
        self._found[key] = finding

    def all(self) -> list[Finding]:
        """Everything found, in the order in which it was found."""
        return list(self._found.values())
