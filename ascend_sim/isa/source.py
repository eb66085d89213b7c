"""Where in the user's kernel an instruction or buffer was written."""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ascend_sim.config.locate import is_installed
from ascend_sim.errors import Diagnostic, KernelError

_PACKAGE = str(Path(__file__).resolve().parent.parent)
_LIBRARY_PARTS = (f"{_PACKAGE}/isa", f"{_PACKAGE}/kernel", "/contextlib.py", "/functools.py", "<string>")


@dataclass(frozen=True)
class SourceLine:
    """A *file* and a *line* in it, from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def user_line() -> SourceLine:
    """The innermost line on the stack that is not part of the DSL itself."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        if not _of_library(frame.f_code.co_filename):
            break
        frame = frame.f_back
    return SourceLine(frame.f_code.co_filename, frame.f_lineno)


@cache
def _of_library(file: str) -> bool:
    """Whether code in *file* is part of the DSL, or runs between it and the user's code."""
    return file.startswith(_LIBRARY_PARTS[:2]) or file.endswith(_LIBRARY_PARTS[2:4]) or file == "<string>"


def refusal(message: str) -> KernelError:
    """The error to raise when the user's current line asks for what there is not."""
    where = user_line()
    return KernelError(Diagnostic(message, where.file, where.line))


def place_in(file: str, error: BaseException) -> SourceLine | None:
    """The innermost line that *error* came through in *file* or another file of its folder; None if in none.

    What is installed, and the DSL itself, may lie in that folder, too, and does not count.
    """
    folder = Path(file).parent
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        own = Path(frame.filename).is_relative_to(folder) and not is_installed(frame.filename)
        if own or frame.filename == file:
            return SourceLine(frame.filename, frame.lineno or 1)
    return None


def named(error: BaseException) -> str:
    """Type and message of what user code raised, in one line."""
    return ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
