"""Searching for the best tiling, schedule or chip: explore, explore report, explore export."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from ascend_sim.commands.shared import NAME, complain, refuse_program, short
from ascend_sim.errors import ArgumentError, UserError

if TYPE_CHECKING:
    from ascend_sim.explore.search import Session

_SEARCH = "search"
"""The name under which the group keeps the command that is meant when no other is; it is never written."""


class _Group(TyperGroup):
    """`explore report` and `explore export` are commands; whatever else follows `explore` is for the search."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put in the name of the search where it is meant."""
        others = [name for name in self.commands if name != _SEARCH]
        return super().parse_args(ctx, args if args and args[0] in others else [_SEARCH, *args])


class _Search(TyperCommand):
    """The search calls itself as its group, and its help names the other commands."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Take the place of the group."""
        self._group = parent
        return super().make_context(parent.info_name, args, parent=parent.parent, **extra)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Options, and then the other commands."""
        super().format_help(ctx, formatter)
        self._group.command.format_commands(self._group, formatter)


app = typer.Typer(
    cls=_Group, rich_markup_mode=None, add_completion=False, help="Search for the best tiling, schedule or chip."
)


@app.command(_SEARCH, cls=_Search, hidden=True)
def search(
    config: Annotated[
        str, typer.Argument(help="A bundled exploration or the path of an exploration file.", metavar="CONFIG")
    ],
    overrides: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the exploration file, as strategy.seed=1."),
    ] = [],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for results; explorations/NAME by default.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what DIR holds; finished points are not simulated again.")
    ] = False,
    store: Annotated[
        Path | None,
        typer.Option("--store", metavar="FILE", help="Keep points in FILE, which explorations can share, not in DIR."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", metavar="N", help="Processes; as many as cores by default.")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler", metavar="ADDRESS", help="Use the Dask cluster there (tcp://HOST:PORT), or 'local' for one."
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not show how far the search is.")] = False,
) -> None:
    """Search the space of a run: simulate its points, and keep and rank what comes out.

    The same file gives the same table, however many processes work on it. Every finished point is kept at once: after
    Ctrl-C, a crash or a full disk the same command with --resume goes on.
    """
    from ascend_sim.explore.config import load_exploration
    from ascend_sim.explore.executors import workers
    from ascend_sim.explore.export import export
    from ascend_sim.explore.live import watching
    from ascend_sim.explore.search import search as search_space
    from ascend_sim.explore.search import session
    from ascend_sim.explore.summary import lines, study_of
    from ascend_sim.explore.table import FILE

    refuse_program(config)
    if jobs is not None and scheduler not in (None, "local"):
        raise ArgumentError(f"--jobs {jobs}: the cluster at {scheduler} has workers of its own; leave --jobs out")
    exploration = load_exploration(config, overrides)
    folder = out or Path("explorations") / exploration.name
    with (
        workers((os.cpu_count() or 1) if jobs is None else jobs, scheduler, _nothing if quiet else _compiling) as pool,
        session(exploration, folder, store, resume) as at,
        _stoppable(at, folder),
    ):
        with watching(exploration.objectives, quiet=quiet) as (listener, tally):
            table = search_space(at, pool, listener)
            seconds = tally.seconds
        export(at.info, table, folder / "points.csv")
    for line in lines(study_of(at.info, table), tally.fresh, seconds):
        typer.echo(short(line))
    typer.echo("")
    typer.echo(f"written: {', '.join(short(path) for path in (folder / FILE, at.store.path, folder / 'points.csv'))}")
    typer.echo(f"next: {NAME} explore report {short(folder)}")


def _nothing() -> None:
    """Say nothing."""


def _compiling() -> None:
    """Say what the first search of an installation waits for."""
    complain("the workers are still starting; the first ones of an installation compile the engine, in half a minute")


@app.command("report")
def report(
    folder: Annotated[Path, typer.Argument(help="A folder that `explore` has written.", metavar="DIR")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for the report; report in DIR by default.")
    ] = None,
    top: Annotated[int, typer.Option("--top", metavar="N", help="How many of the best points get a run file.")] = 5,
    svg: Annotated[bool, typer.Option("--svg", help="Write figures as SVG instead of PNG.")] = False,
) -> None:
    """Write a page with figures, and run files of the best points."""
    from ascend_sim.explore.report import summary, write_report

    if top < 1:
        raise ArgumentError(f"--top {top}: there is nothing to write; write 1 or more")
    written = write_report(folder, folder / "report" if out is None else out, top, "svg" if svg else "png")
    for line in summary(folder, top):
        typer.echo(line)
    typer.echo(f"written: {short(written[0])} and {len(written) - 1} files beside it")


@app.command("export")
def export_(
    folder: Annotated[Path, typer.Argument(help="A folder that `explore` has written.", metavar="DIR")],
    file: Annotated[Path, typer.Argument(help="The table, as .csv or .parquet.", metavar="FILE")],
) -> None:
    """Write the table of all finished points as CSV or Parquet."""
    from ascend_sim.explore.export import export
    from ascend_sim.explore.table import read_table

    info, table = read_table(folder)
    export(info, table, file)
    rest = "" if table.complete else "; the search is not complete"
    typer.echo(f"written: {short(file)} ({len(table.rows):,} points{rest})")


@contextmanager
def _stoppable(at: Session, folder: Path) -> Iterator[None]:
    """Say what is finished, and how to go on, when the search is ended by Ctrl-C or an error."""
    try:
        yield
    except KeyboardInterrupt:
        complain(f"interrupted: {_kept(at, folder)}")
        raise
    except UserError as error:
        first, *others = error.diagnostics
        raise type(error)([replace(first, message=f"{first.message} ({_kept(at, folder)})"), *others]) from None


def _kept(at: Session, folder: Path) -> str:
    try:
        count = at.finished
    except ArgumentError:
        return "finished points are kept"
    points = f"{count:,} point{'s are' if count != 1 else ' is'} finished and kept"
    return f"{points}; the same command with --resume goes on in {short(folder)}"
