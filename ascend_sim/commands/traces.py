"""Commands about traces in the vendor's format: trace, view."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ascend_sim.commands.shared import NAME, Overrides, expect_suffix, progress, refuse_program, short
from ascend_sim.errors import ArgumentError

if TYPE_CHECKING:
    from ascend_sim.report.trace import Trace, Window

_FILE = "trace.json"


def trace(
    run: Annotated[
        str, typer.Argument(help="A folder that `run --out` has written, a run file or a bundled run.", metavar="RUN")
    ],
    overrides: Overrides = [],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="trace.json in the folder of the run (else here) by default."),
    ] = None,
    cores: Annotated[
        str,
        typer.Option(
            "--cores", metavar="NAMES", help="first (a group), all, or names: core0, die0.core3, core0-core2 ..."
        ),
    ] = "first",
    begin: Annotated[float, typer.Option("--from", metavar="US", help="Leave out what is over before.")] = 0.0,
    end: Annotated[float | None, typer.Option("--to", metavar="US", help="Leave out what begins later.")] = None,
    arrows: Annotated[bool, typer.Option("--arrows/--no-arrows", help="From flags to the waits for them.")] = True,
    counters: Annotated[bool, typer.Option("--counters/--no-counters", help="Throughput of global memory.")] = True,
) -> None:
    """Write a trace in the format of the vendor's msopprof; compressed if FILE ends in .gz."""
    from ascend_sim.opened import open_run
    from ascend_sim.report.cores import chosen_cores
    from ascend_sim.report.files import write_files
    from ascend_sim.report.trace import Trace, gzipped

    refuse_program(run)
    if out is not None:
        expect_suffix(out, ".json", ".json.gz")
    path = out or (Path(run) / _FILE if Path(run).is_dir() else Path(_FILE))
    window = _window(begin, end)
    with progress() as observers:
        opened = open_run(run, overrides, observers)
    recording, time = opened.recording, opened.result.time_us
    if window.begin >= time:
        raise ArgumentError(f"--from {begin:g}: the run ends after {time:.5g} us; write less")
    drawn = Trace(recording, chosen_cores(recording, cores), window, arrows=arrows, counters=counters)
    write_files({path: gzipped(drawn.text()) if path.suffix == ".gz" else drawn.text()})
    typer.echo(f"written: {short(path)}, {path.stat().st_size / 1e6:,.1f} MB: {_summary(drawn)}")
    typer.echo(f"open it with: {NAME} view {short(path)}")
    typer.echo("or load it at ui.perfetto.dev, in chrome://tracing or in MindStudio Insight")


def view(
    run: Annotated[
        str,
        typer.Argument(help="A folder, run file or bundled run, or a trace (.json or .json.gz).", metavar="RUN|TRACE"),
    ],
    overrides: Overrides = [],
    port: Annotated[int, typer.Option("--port", help="The port of 127.0.0.1; any that is free by default.")] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser, or print the address.")
    ] = True,
) -> None:
    """Show the trace of a run in the Perfetto UI, served from this machine without a network, until Ctrl-C."""
    from tempfile import TemporaryDirectory

    from ascend_sim.opened import open_run
    from ascend_sim.report.files import write_files
    from ascend_sim.report.trace import trace_text

    if run.endswith((".json", ".json.gz")):
        if overrides:
            raise ArgumentError(f"--set {overrides[0]}: {run} is a trace, which nothing can change; name a run file")
        _serve(Path(run), port, browser)
        return
    refuse_program(run)
    with progress() as observers:
        recording = open_run(run, overrides, observers).recording
    with TemporaryDirectory(prefix=f"{NAME}-") as folder:
        path = Path(folder, f"{recording.program}.{_FILE}")
        write_files({path: trace_text(recording)})
        _serve(path, port, browser)


def _serve(path: Path, port: int, browser: bool) -> None:
    import webbrowser

    from ascend_sim.report.viewer import serve

    def opened(address: str) -> None:
        typer.echo(f"{short(path.name)} is served at {address}")
        typer.echo("Ctrl-C ends it")
        if browser:
            webbrowser.open(address)

    serve(path, port, opened)


def _window(begin: float, end: float | None) -> Window:
    """The window from *begin* to *end* in us; raise an ArgumentError if nothing can lie in it."""
    from ascend_sim.report.trace import Window

    if end is None:
        end = float("inf")
    if not 0.0 <= begin < end:
        raise ArgumentError(f"--from {begin:g} --to {end:g}: write 0 or more for --from, and more than that for --to")
    return Window(begin, end)


def _summary(drawn: Trace) -> str:
    """What was written, in words."""
    cores, members = len(drawn.cores), sum(len(core.members) for core in drawn.cores)
    alike = f", which stand for {members} alike" if members > cores else ""
    text = f"{drawn.slices:,} instructions of {cores} core{'s' if cores > 1 else ''}{alike}"
    return f"{text}, {drawn.arrows_drawn:,} arrows" if drawn.arrows_drawn else text
