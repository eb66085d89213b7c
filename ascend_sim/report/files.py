"""Writing reports: folders and files, with refusals that name the place."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ascend_sim.errors import ArgumentError, Diagnostic


def make_folder(folder: Path) -> None:
    """Create *folder* if need be, and make sure that it can be written to; raise an ArgumentError if not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".ascend-sim-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        message = f"cannot be written to: {error.strerror or error}; choose another folder"
        raise ArgumentError(Diagnostic(message, str(folder))) from None


def write_text(path: Path, text: str) -> None:
    """Write *text* to *path*; raise an ArgumentError if that is impossible."""
    write_lines(path, [text])


def write_lines(path: Path, parts: Iterable[str]) -> None:
    """Write *parts* one after the other to *path*; raise an ArgumentError if that is impossible."""
    try:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(parts)
    except OSError as error:
        raise ArgumentError(Diagnostic(f"cannot be written: {error.strerror or error}", str(path))) from None
