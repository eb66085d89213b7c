"""What can go wrong, as one tree.

AscendSimError
    UserError (exit code 2: the input is wrong)
        ConfigError       a YAML file, an override or a chip figure
        ArgumentError     a command-line argument
        ProgramError      a program file that cannot be loaded or refuses its parameters
    SimulatedProgramError (exit code 3: the simulated program is wrong)
        KernelError       an instruction or buffer that the hardware would not accept, found while the kernel is built
        DeadlockError     every pipe waits for something that never comes
        FlagError         flags set twice, or more cross-core flags outstanding than the counter holds
        CheckError        what `check` found: races, misused flags, memory that nobody has written, broken numbers
        NumericsError     the output differs from the reference by more than the tolerance
        BudgetError       the run takes more cycles, instructions or memory than it may
    InternalError (exit code 1: a bug of this project)

Errors carry a list of diagnostics, so that one run reports everything it found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Diagnostic:
    """One finding: a *message* and, where known, the place in the user's files (lines and columns from 1)."""

    message: str
    file: str | None = None
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        place = [str(part) for part in (self.file, self.line, self.column) if part is not None]
        return ":".join([*place, " " + self.message]) if place else self.message


class AscendSimError(Exception):
    """Base of every error that this project raises on purpose."""

    exit_code = 1


class _DiagnosedError(AscendSimError):
    def __init__(self, diagnostics: Sequence[Diagnostic] | Diagnostic | str) -> None:
        if isinstance(diagnostics, str):
            diagnostics = [Diagnostic(diagnostics)]
        elif isinstance(diagnostics, Diagnostic):
            diagnostics = [diagnostics]
        self.diagnostics = list(diagnostics)
        super().__init__("\n".join(str(diagnostic) for diagnostic in self.diagnostics))


class UserError(_DiagnosedError):
    """The user's input is wrong; exit code 2."""

    exit_code = 2


class ConfigError(UserError):
    """A YAML file, an override or a chip figure is wrong."""


class ArgumentError(UserError):
    """A command-line argument is wrong."""


class ProgramError(UserError):
    """A program file cannot be loaded, or refuses its parameters."""


class SimulatedProgramError(_DiagnosedError):
    """The simulated program is wrong; exit code 3."""

    exit_code = 3


class KernelError(SimulatedProgramError):
    """An instruction or buffer that the hardware would not accept, found while the kernel is built."""


class DeadlockError(SimulatedProgramError):
    """The simulated program cannot go on: every pipe waits for something that never comes."""


class FlagError(SimulatedProgramError):
    """A flag was set twice without a wait, or a cross-core counter ran over."""


class CheckError(SimulatedProgramError):
    """What `check` found to be wrong."""


class NumericsError(SimulatedProgramError):
    """The output differs from the reference by more than the tolerance."""


class BudgetError(SimulatedProgramError):
    """A run has been ended because it takes more cycles, instructions or memory than it may."""


class InternalError(AscendSimError):
    """This should never happen; please report it with the command that led here."""
