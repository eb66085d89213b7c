"""What several commands share: arguments, lines on stderr, progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ascend_sim.errors import ArgumentError, Diagnostic

if TYPE_CHECKING:
    from ascend_sim.engine.observer import Observer

NAME = "ascend-sim"

Overrides = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the run, or of the chip (chip.KEY).")
]


def refuse_program(config: str) -> None:
    """Say what to write instead when a run is asked for and *config* names a program."""
    if config.endswith(".py"):
        way_out = "write a run file with 'program: ...' and 'chip: ...', and run that"
        raise ArgumentError(Diagnostic(f"is a program; {way_out} (`{NAME} init DIR` makes an example)", config))


def complain(text: str) -> None:
    """Print one line to stderr."""
    print(short(" ".join(text.splitlines())), file=sys.stderr)


def short(text: str | Path) -> str:
    """*text* with paths below the current folder made relative."""
    here = f"{Path.cwd()}{os.sep}"
    return str(text).replace(here, "") if len(here) > 2 else str(text)


@contextmanager
def progress() -> Iterator[Sequence[Observer]]:
    """The observers of a run: a progress bar on stderr if that is a terminal."""
    if not sys.stderr.isatty():
        yield ()
        return
    from rich.console import Console

    from ascend_sim.report.progress import ProgressBar

    bar = ProgressBar(Console(stderr=True))
    try:
        yield (bar,)
    finally:
        bar.close()


@contextmanager
def counter(what: str) -> Iterator[Callable[[int], None]]:
    """A function to call after each of so many steps: it draws a bar on stderr if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda total: bar.update(task, total=total, advance=1)


def expect_suffix(path: Path, *suffixes: str) -> None:
    """Raise an ArgumentError unless the name of *path* ends with one of *suffixes*."""
    if not str(path).endswith(suffixes):
        message = f"is written as {suffixes[0]}; end its name with {' or '.join(suffixes)}"
        raise ArgumentError(Diagnostic(message, str(path)))
