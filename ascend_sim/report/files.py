"""Writing reports: folders and files, with refusals that name the place.

A file is written beside its place under a name of its own and takes the place when all of it is on the disk. So a full
disk, an interrupt or a crash leaves what was there before, and never half a file.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ascend_sim.errors import ArgumentError, Diagnostic

COMPLETE = "the files are complete"
"""What the KeyboardInterrupt says that comes while files take their places: it is held back until they have."""


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
    """Write *text* to *path*, all of it or nothing; raise an ArgumentError if that is impossible."""
    write_files({path: [text]})


def write_bytes(path: Path, content: bytes) -> None:
    """Write *content* to *path*, all of it or nothing; raise an ArgumentError if that is impossible."""
    write_files({path: content})


def write_files(files: Mapping[Path, Iterable[str | bytes] | bytes], stale: Iterable[Path] = ()) -> None:
    """Write *files*, each from its parts or its bytes, and remove the *stale* ones: all of it or nothing.

    The first of *files* takes its place last: where it is new, the others are. Raise an ArgumentError that names the
    file if one cannot be written.
    """
    staged: list[tuple[Path, Path]] = []
    try:
        for path, content in files.items():
            target = Path(os.path.realpath(path))  # a link stays, what it points to is replaced
            if target.exists() and not target.is_file():
                raise ArgumentError(Diagnostic("cannot be written: is no regular file; choose another name", str(path)))
            temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
            staged.append((temporary, target))
            try:
                _fill(temporary, content)
            except OSError as error:
                message = f"cannot be written: {error.strerror or error}; choose another folder, or make room there"
                raise ArgumentError(Diagnostic(message, str(path))) from None
        _take_places(staged, stale)
    finally:
        for temporary, _ in staged:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _fill(path: Path, content: Iterable[str | bytes] | bytes) -> None:
    """Write *content* to the new file *path*, down to the disk."""
    with path.open("wb") as file:
        for part in (content,) if isinstance(content, bytes) else content:
            file.write(part.encode() if isinstance(part, str) else part)
        file.flush()
        os.fsync(file.fileno())


def _take_places(staged: list[tuple[Path, Path]], stale: Iterable[Path]) -> None:
    """Move each temporary file to its place, the first one last, and remove what is *stale*."""
    with _interrupts_held_back():
        for temporary, target in reversed(staged):
            try:
                os.replace(temporary, target)
            except OSError as error:
                message = f"cannot be replaced: {error.strerror or error}; files beside it may be new already"
                raise ArgumentError(Diagnostic(message, str(target))) from None
        for path in stale:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                message = f"is of an earlier run and cannot be removed: {error.strerror or error}; remove it"
                raise ArgumentError(Diagnostic(message, str(path))) from None


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Hold Ctrl-C back, and raise the KeyboardInterrupt afterwards; do nothing where Ctrl-C would not raise one."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    pressed: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if pressed:
        raise KeyboardInterrupt(COMPLETE)
