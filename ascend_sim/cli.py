"""The command line. Numerical packages are imported inside the commands, so that `--help` is quick."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ascend_sim.commands import accuracy, compare, explore, numerics, report, timeline, traces, why
from ascend_sim.commands.shared import NAME, Overrides, complain, progress, refuse_program, short
from ascend_sim.errors import ArgumentError, AscendSimError, BudgetError, SimulatedProgramError, UserError

if TYPE_CHECKING:
    from ascend_sim.config import RunConfig
    from ascend_sim.engine.budget import Budget
    from ascend_sim.report.trace import Window
    from ascend_sim.simulate import Outcome

INTERRUPTED, BROKEN_PIPE = 130, 141
"""Exit codes that a shell gives to programs ended by SIGINT and SIGPIPE."""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

MaxInstructions = Annotated[
    int | None, typer.Option("--max-instructions", help="End a run of more instructions, also in tracing.")
]
MaxMemory = Annotated[
    float | None,
    typer.Option("--max-memory", metavar="GIB", help="End a run that takes more memory; 90 % of all by default."),
]


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print the traceback of an internal error.")] = False,
) -> None:
    """Simulate kernels of the Huawei Ascend 910B and 910C: time, bounds, numbers."""
    if version:
        from importlib.metadata import PackageNotFoundError
        from importlib.metadata import version as installed

        try:
            typer.echo(f"{NAME} {installed(NAME)}")
        except PackageNotFoundError:
            typer.echo(f"{NAME} (source checkout, not installed)")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run(
    config: Annotated[str, typer.Argument(help="A bundled run (see `list configs`) or the path of a run file.")],
    overrides: Overrides = [],  # noqa: B006  # typer copies defaults
    out: Annotated[Path | None, typer.Option("--out", help="Folder for result.json and the CSV files.")] = None,
    data: Annotated[bool | None, typer.Option("--data/--no-data", help="Compute numbers too, or only time.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print result.json instead of the summary.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Check the program first; do not run a wrong one.")] = False,
    adversarial: Annotated[
        str | None,
        typer.Option("--adversarial", metavar="SEED", help="Compute in the order of SEED (or of FIRST:LAST) as well."),
    ] = None,
    record: Annotated[
        bool | None, typer.Option("--record/--no-record", help="Write recording.npz, for timeline, why, report ...")
    ] = None,
    trace: Annotated[bool, typer.Option("--trace/--no-trace", help="Write trace.json of the first cores.")] = False,
    trace_all: Annotated[bool, typer.Option("--trace-all", help="Write trace.json of all simulated cores.")] = False,
    trace_window: Annotated[
        str | None, typer.Option("--trace-window", metavar="BEGIN:END", help="Microseconds that trace.json shows.")
    ] = None,
    max_cycles: Annotated[int | None, typer.Option("--max-cycles", help="End a run that takes more cycles.")] = None,
    max_instructions: MaxInstructions = None,
    max_memory: MaxMemory = None,
) -> None:
    """Simulate a run and print what came out."""
    from rich.console import Console

    from ascend_sim.config import load_run
    from ascend_sim.engine.adversary import seeds_of
    from ascend_sim.engine.budget import Budget
    from ascend_sim.report.files import make_folder
    from ascend_sim.report.summary import print_summary
    from ascend_sim.simulate import simulate

    window, seeds = _window(trace_window), seeds_of(adversarial)
    if seeds and data is False:
        raise ArgumentError("--adversarial compares numbers, which --no-data leaves out; drop one of them")
    traced = trace or trace_all or trace_window is not None
    if traced and out is None:
        raise ArgumentError("--trace writes trace.json and needs a folder for it: add --out DIR")
    if record and out is None:
        raise ArgumentError("--record writes recording.npz and needs a folder for it: add --out DIR")
    refuse_program(config)
    budget = Budget(max_cycles, max_instructions, max_memory)
    configured = load_run(config, overrides)
    if out is not None:
        make_folder(out)
    with _stoppable(budget, out, configured.chip_name):
        if check:
            _expect_clean(configured, data)
        with progress() as observers:
            outcome = simulate(
                configured, data=data, observers=(*observers, budget), adversarial=seeds,
                record=out is not None and record is not False,
            )
    written = [] if out is None else _write(outcome, out, (trace_all, window) if traced else None)
    if json:
        typer.echo(outcome.result.to_json(), nl=False)
    else:
        print_summary(outcome.result, outcome.statistics, Console(highlight=False))
        if written:
            typer.echo(f"written: {', '.join(map(str, written))}")
    outcome.check()
    if seeds and not json:
        typer.echo(f"adversarial   the same bits under {len(seeds)} seed{'s' if len(seeds) > 1 else ''}")


def check_(
    config: Annotated[str, typer.Argument(help="A program or run: bundled, or its path.", metavar="CONFIG|PROGRAM")],
    overrides: Overrides = [],  # noqa: B006  # typer copies defaults
    data: Annotated[bool | None, typer.Option("--data/--no-data", help="Look at numbers too, or not.")] = None,
    hints: Annotated[bool, typer.Option("--hints/--no-hints", help="Print what makes it slow, or not.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print all findings as JSON.")] = False,
    max_instructions: MaxInstructions = None,
    max_memory: MaxMemory = None,
) -> None:
    """Look for races, deadlocks, misused flags, unwritten memory and broken numbers, whatever the timing."""
    from ascend_sim.check.report import expect_clean, hint_lines, pages, summary, to_json
    from ascend_sim.check.run import check
    from ascend_sim.config import load_run
    from ascend_sim.engine.budget import Budget
    from ascend_sim.examples import run_of

    path, _ = run_of(config)
    budget = Budget(None, max_instructions, max_memory)
    configured = load_run(path, overrides)
    with budget.tracing():
        checked = check(configured, data, observers=(budget,))
    if json:
        typer.echo(to_json(checked), nl=False)
    else:
        for line in hint_lines(checked) if hints else ():
            typer.echo(short(line))
        typer.echo(summary(checked))
        for line in pages(checked):
            typer.echo(line)
    expect_clean(checked)


def list_(
    what: Annotated[str, typer.Argument(help="chips, programs, configs, explorations or studies", metavar="WHAT")],
) -> None:
    """List the bundled chips, programs, configs (runs), explorations or studies."""
    from ascend_sim.examples import described

    rows = list(described(what))
    width = max((len(name) for name, _ in rows), default=0)
    for name, about in rows:
        typer.echo(f"{name:<{width}}  {about}".rstrip())


def show(
    program: Annotated[str, typer.Argument(help="A bundled program or run, or the path of one.")],
    overrides: Overrides = [],  # noqa: B006  # typer copies defaults
    core: Annotated[str | None, typer.Option("--core", help="aic or aiv; both by default.")] = None,
    limit: Annotated[int, typer.Option("--limit", help="Instructions to show of each core.")] = 100,
    chip: Annotated[str | None, typer.Option("--chip", help="The chip to build for, instead of the run's.")] = None,
) -> None:
    """List the instructions that a program executes, without simulating it."""
    from ascend_sim.config import load_run
    from ascend_sim.examples import run_of
    from ascend_sim.isa.words import CoreKind
    from ascend_sim.report.listing import listing
    from ascend_sim.simulate import prepare

    kinds = {kind.value: (kind,) for kind in CoreKind}
    if core is not None and core not in kinds:
        raise ArgumentError(f"--core {core}: there is no such kind of core; write aic (cube) or aiv (vector)")
    if limit < 1:
        raise ArgumentError(f"--limit {limit}: there is nothing to show; write 1 or more")
    path, chosen = run_of(program)
    configured = load_run(path, [*overrides, *([] if chip is None else [f"chip={chip}"])])
    loaded, _, built = prepare(configured)
    named = f"{short(loaded.path)}, {short(path)}" if chosen else short(path)
    typer.echo(f"{built.name} on {configured.chip_name} ({named}): {loaded.kernel.summary}")
    for line in listing(built, tuple(CoreKind) if core is None else kinds[core], limit):
        typer.echo(line)


def init(folder: Annotated[Path, typer.Argument(help="Where to write the example.", metavar="DIR")]) -> None:
    """Write an example to start from: a program, its reference and a run file."""
    from ascend_sim.examples import write_example

    for path in write_example(folder):
        typer.echo(f"written: {short(path)}")
    typer.echo(f"run it with: {NAME} run {short(path)}")


_COMMANDS: dict[str, Callable[..., None]] = {
    "run": run,
    "trace": traces.trace,
    "view": traces.view,
    "timeline": timeline.timeline,
    "why": why.why,
    "report": report.report,
    "compare": compare.compare,
    "check": check_,
    "numerics": numerics.numerics,
    "show": show,
    "list": list_,
    "init": init,
    "sensitivity": accuracy.sensitivity,
    "validate": accuracy.validate,
    "calibrate": accuracy.calibrate,
}
"""All commands, in the order of `--help`."""

for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)
app.add_typer(explore.app, name="explore")


def _expect_clean(configured: RunConfig, data: bool | None) -> None:
    """Check the program of a run; raise a CheckError if it is wrong."""
    from ascend_sim.check.report import expect_clean, summary
    from ascend_sim.check.run import check

    checked = check(configured, data)
    print(summary(checked), file=sys.stderr)
    expect_clean(checked)


@contextmanager
def _stoppable(budget: Budget, folder: Path | None, chip: str) -> Iterator[None]:
    """Keep what a run has found so far if its *budget* or Ctrl-C ends it, and say on stderr what was kept."""
    from dataclasses import replace

    try:
        with budget.tracing():
            yield
    except BudgetError as error:
        saved = _save_partial(budget, folder, chip, str(error))
        raise BudgetError([replace(one, message=f"{one.message}; {saved}") for one in error.diagnostics]) from None
    except MemoryError as error:
        raise BudgetError(f"the machine has no more memory to give ({error}); make the problem smaller") from None
    except KeyboardInterrupt:
        complain(f"interrupted: {_save_partial(budget, folder, chip, 'interrupted')}")
        raise


def _save_partial(budget: Budget, folder: Path | None, chip: str, stopped: str) -> str:
    """Write partial.json if the timing had begun; return what was saved, in words."""
    from ascend_sim.report.partial import write_partial

    reached = budget.reached
    if reached is None:
        return "nothing was saved, since the timing had not begun"
    if folder is None:
        return "nothing was saved (--out DIR saves how far a run came)"
    try:
        return f"saved {write_partial(folder, reached, chip, stopped)}, and there is no result"
    except ArgumentError as error:
        return f"nothing was saved: {error}"


def _write(outcome: Outcome, folder: Path, traced: tuple[bool, Window] | None) -> list[Path]:
    """Write the reports of a run into *folder*, all or none; *traced* is (every core?, window) for trace.json."""
    from ascend_sim.observe.banks import bank_conflicts
    from ascend_sim.report import csv, recording
    from ascend_sim.report.cores import chosen_cores
    from ascend_sim.report.files import COMPLETE, write_files
    from ascend_sim.report.partial import stale_files
    from ascend_sim.report.trace import trace_text

    chip = outcome.timelines.chip
    conflicts = bank_conflicts(outcome.program, chip)
    try:
        texts: dict[str, Iterable[str] | bytes] = {
            "result.json": [outcome.result.to_json()],
            "PipeUtilization.csv": [csv.pipe_utilization(outcome.statistics, chip)],
            "Memory.csv": [csv.memory(outcome.statistics, chip)],
            "ResourceConflictRatio.csv": [csv.resource_conflict_ratio(outcome.statistics, conflicts, chip)],
        }
        if traced is not None:
            every_core, window = traced
            cores = chosen_cores(outcome.timelines, "all" if every_core else "first")
            texts["trace.json"] = trace_text(outcome.timelines, cores, window)
        if outcome.timelines.limited is not None:
            texts[recording.NAME] = recording.recording_bytes(outcome.timelines)
        write_files({folder / name: text for name, text in texts.items()}, stale_files(folder, texts))
    except KeyboardInterrupt as stop:
        unsaved = "nothing was saved, since the result was being written; what was there is as it was"
        complain(f"interrupted: {COMPLETE if COMPLETE in stop.args else unsaved}")
        raise
    return [folder / name for name in texts]


def _window(text: str | None) -> Window:
    """The window written as BEGIN:END in microseconds, either of which may be left out."""
    from ascend_sim.report.trace import Window

    if text is None:
        return Window()
    begin, colon, end = text.partition(":")
    try:
        window = Window(float(begin or 0.0), float(end or "inf"))
    except ValueError:
        window = Window(0.0, 0.0)
    if not colon or not 0.0 <= window.begin < window.end:
        raise ArgumentError(f"--trace-window {text}: write BEGIN:END in microseconds, such as 10:25.5")
    return window


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line with *arguments* (those of the process by default) and exit with its code."""
    sys.exit(_exit_code(list(sys.argv[1:] if arguments is None else arguments)))


def _exit_code(arguments: list[str]) -> int:
    debug = "--debug" in arguments
    try:
        code = app([one for one in arguments if one != "--debug"], prog_name=NAME, standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (UserError, SimulatedProgramError) as error:
        for diagnostic in error.diagnostics:
            complain(str(diagnostic))
        return error.exit_code
    except AscendSimError as error:
        return _internal(error, debug)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else NAME
        complain(f"{command}: {error.format_message().rstrip('.')} (see {command} --help)")
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return _broken_pipe()
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):
            return _broken_pipe()
        raise
    except OSError as error:
        # Files are opened where their errors are told; what has no name is stdout.
        return _internal(error, debug) if error.filename or error.errno != errno.ENOSPC else _unwritable(error)
    except Exception as error:
        return _internal(error, debug)


def _unwritable(error: OSError) -> int:
    """Stdout takes no more; leave nothing that the interpreter would flush at exit."""
    complain(f"the output cannot be written: {error.strerror}; make room where it goes")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 2


def _internal(error: Exception, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exception(error)
    place, trace = "", error.__traceback__
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}: "
        trace = trace.tb_next
    hint = "please report it" if debug else "please report it with what `--debug` prints"
    complain(f"{place}internal error: {type(error).__name__}: {error}; this is a bug of {NAME}, {hint}")
    return 1


def _broken_pipe() -> int:
    """The reader of our output has gone, as `| head` does; leave nothing that the interpreter would flush at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE


if __name__ == "__main__":
    main()
