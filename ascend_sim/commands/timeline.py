"""The picture of a run: timeline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ascend_sim.commands.shared import NAME, Overrides, complain, progress, refuse_program, short
from ascend_sim.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ascend_sim.opened import OpenedRun
    from ascend_sim.report.cores import ShownCore
    from ascend_sim.report.views import View


def timeline(
    run: Annotated[
        str, typer.Argument(help="A folder that `run --out` has written, a run file or a bundled run.", metavar="RUN")
    ],
    overrides: Overrides = [],
    view: Annotated[
        str | None, typer.Option("--view", metavar="NAME", help="head, steady, tail, task:N or all, by the tasks.")
    ] = None,
    begin: Annotated[float | None, typer.Option("--from", metavar="US", help="Show only what is later.")] = None,
    end: Annotated[float | None, typer.Option("--to", metavar="US", help="Show only what is earlier.")] = None,
    cores: Annotated[
        str | None, typer.Option("--cores", metavar="SPEC", help="core0, core0.cubecore0, die0.core3, core0-core2, ...")
    ] = None,
    arrows: Annotated[bool, typer.Option("--arrows", help="Draw arrows from flags to the waits they release.")] = False,
    overview: Annotated[
        bool, typer.Option("--overview", help="Draw how busy all cores of the chip are instead.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="A .png, .svg or .pdf; timeline.png by default.")
    ] = None,
) -> None:
    """Draw what each pipe worked on and waited for."""
    from ascend_sim.opened import open_run
    from ascend_sim.report.page import DPI, cycles_per_us, described
    from ascend_sim.report.style import figure_format, write_figure

    refuse_program(run)
    path = out or (Path(run) if Path(run).is_dir() else Path()) / ("overview.png" if overview else "timeline.png")
    figure_format(path)
    if view is not None and (begin is not None or end is not None):
        raise ArgumentError("--view names a window, and --from and --to give one; drop one of them")
    if overview and (cores is not None or arrows):
        raise ArgumentError("--overview shows all cores, without arrows; drop --cores and --arrows, or --overview")
    with progress() as observers:
        opened = open_run(run, overrides, observers)
    shown = _shown_cores(opened, cores)
    if not shown:
        raise ArgumentError(f"{run}: no core had an instruction, so there is nothing to draw")
    chosen = _chosen_view(opened, shown, "all" if overview and view is None else view, (begin, end))
    command = _command(run, overrides, view, (begin, end), cores, arrows, overview)
    figure = _overview(opened, chosen, command) if overview else _timeline(opened, shown, chosen, arrows, command)
    write_figure(path, figure, DPI)
    window = described(chosen, cycles_per_us(opened.recording.chip)).replace("µs", "us")
    typer.echo(f"written: {short(path)} ({window})")


def _shown_cores(opened: OpenedRun, spec: str | None) -> list[ShownCore]:
    from ascend_sim.report.cores import shown_cores

    return shown_cores(opened.recording, spec)


def _chosen_view(
    opened: OpenedRun, shown: list[ShownCore], name: str | None, ends: tuple[float | None, float | None]
) -> View:
    """The window to draw: as the user says, or what suits the length of the run."""
    from ascend_sim.report.page import cycles_per_us
    from ascend_sim.report.stages import tasks_of
    from ascend_sim.report.views import chosen_window, default_view, named_view

    cycles, per_us = opened.recording.cycles, cycles_per_us(opened.recording.chip)
    if ends != (None, None):
        return chosen_window(*ends, cycles, per_us)
    first = shown[0].id
    tasks = tasks_of([one.timeline for one in shown if (one.id.die, one.id.group) == (first.die, first.group)])
    return named_view(default_view(tasks, cycles, per_us) if name is None else name, tasks, cycles)


def _timeline(opened: OpenedRun, shown: list[ShownCore], view: View, with_arrows: bool, command: str) -> Figure:
    from ascend_sim.report.arrows import MAX_ARROWS, arrows_of
    from ascend_sim.report.page import cycles_per_us
    from ascend_sim.report.timeline import timeline_figure

    timelines = [one.timeline for one in shown]
    arrows = arrows_of(opened.recording, timelines, view.begin, view.end) if with_arrows else []
    notes = []
    if len(arrows) > MAX_ARROWS:
        room = MAX_ARROWS / len(arrows) * view.cycles / cycles_per_us(opened.recording.chip)
        notes.append(
            f"{len(arrows):,} flag arrows are in this window, and no more than {MAX_ARROWS} can be told apart: narrow "
            f"it with --from and --to to about {room:.2g} us, or name fewer cores with --cores"
        )
        complain(f"--arrows: {notes[0]}")
        arrows = []
    return timeline_figure(
        opened.recording, opened.result, shown, view, arrows=arrows, notes=notes, command=command
    )


def _overview(opened: OpenedRun, view: View, command: str) -> Figure:
    from ascend_sim.report.overview import overview_figure

    return overview_figure(opened.recording, opened.result, view, command=command)


def _command(
    run: str, overrides: list[str], view: str | None, ends: tuple[float | None, float | None], cores: str | None,
    arrows: bool, overview: bool,
) -> str:  # fmt: skip
    """The command that draws the figure again, for its foot."""
    import shlex

    words = [NAME, "timeline", run]
    for override in overrides:
        words += ["--set", override]
    for option, value in (("--view", view), ("--from", ends[0]), ("--to", ends[1]), ("--cores", cores)):
        if value is not None:
            words += [option, value if isinstance(value, str) else f"{value:g}"]
    words += ["--arrows"] * arrows + ["--overview"] * overview
    return shlex.join(words)
