"""What is bundled (chips, programs, runs, explorations, studies), which run shows a program, and an example to copy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_args

from ascend_sim.config import (
    Document,
    bundled,
    find_chip,
    find_exploration,
    find_program,
    find_run,
    find_study,
    names,
)
from ascend_sim.config.locate import Kind
from ascend_sim.errors import ArgumentError, ConfigError, Diagnostic, InternalError, ProgramError
from ascend_sim.report.files import write_files

Listed = Literal["chips", "programs", "configs", "explorations", "studies"]
EXAMPLE = "vector_add"


def described(what: str) -> Iterator[tuple[str, str]]:
    """(name, one line about it) of everything bundled of a kind; raise an ArgumentError if *what* is no kind."""
    if what not in get_args(Listed):
        raise ArgumentError(f"there is no list of '{what}'{_choices(what, get_args(Listed))}")
    if what == "programs":
        from ascend_sim.kernel.load import load_program

        for name in names("programs"):
            yield name, load_program(find_program(name)).kernel.summary
    else:
        kinds: dict[str, tuple[Callable[[str], Path], Kind]] = {
            "chips": (find_chip, "chips"),
            "configs": (find_run, "runs"),
            "explorations": (find_exploration, "explorations"),
            "studies": (find_study, "studies"),
        }
        find, kind = kinds[what]
        for name in names(kind):
            yield name, str(Document.load(find(name)).data.get("description", ""))


def run_of(name_or_path: str) -> tuple[Path, bool]:
    """The run file that stands for what the user named, and whether it was chosen for a program.

    A run is itself; for a program it is the first (by name) of the runs beside it and the bundled ones that name it.
    Raise a ConfigError or ProgramError if there is none.
    """
    if not _is_program(name_or_path):
        try:
            return find_run(name_or_path), False
        except ConfigError as error:
            if "/" in name_or_path or Path(name_or_path).suffix:
                raise
            message = f"there is no program or run named '{name_or_path}'"
            known = sorted({*names("programs"), *names("runs")})
            raise ConfigError(message + _choices(name_or_path, known)) from error
    program = find_program(name_or_path)
    beside = [] if program.parent == bundled("programs") else sorted(program.parent.glob("*.yaml"))
    for run in (*beside, *(find_run(name) for name in names("runs"))):
        if _program_of(run) == program.resolve():
            return run, True
    message = "no run file beside it names this program, and its parameters are unknown without one"
    way_out = f"write {program.stem}.yaml with 'program: {program.name}' and 'chip: ...' beside it"
    raise ProgramError(Diagnostic(f"{message}; {way_out}, or name a run file instead", str(program)))


def write_example(folder: Path) -> list[Path]:
    """Copy an editable program, its reference and its run file into *folder*, and return what was written.

    Raise an ArgumentError that names every file that exists already.
    """
    sources = [
        bundled("programs") / f"{EXAMPLE}.py",
        bundled("programs") / f"{EXAMPLE}_reference.py",
        bundled("runs") / f"{EXAMPLE}.yaml",
    ]
    targets = [folder / source.name for source in sources]
    taken = [target for target in targets if target.exists()]
    if taken:
        message = "exists already and is not overwritten; choose another folder, or remove it first"
        raise ArgumentError([Diagnostic(message, str(target)) for target in taken])
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"cannot be made a folder: {error.strerror or error}; choose another one"
        raise ArgumentError(Diagnostic(message, str(folder))) from None
    files: dict[Path, list[str]] = {}
    for source, target in zip(sources, targets, strict=True):
        text = source.read_text(encoding="utf-8")
        if source.suffix == ".yaml":
            # The copy runs the copied program, not the bundled one of the same name.
            text, count = re.subn(rf"^program: {EXAMPLE}$", f"program: {EXAMPLE}.py", text, flags=re.MULTILINE)
            if count != 1:
                raise InternalError(f"{source} does not name its program in a line of its own")
        files[target] = [text]
    write_files(files)
    return targets


def _is_program(name_or_path: str) -> bool:
    return Path(name_or_path).suffix == ".py" or name_or_path in names("programs")


def _program_of(run: Path) -> Path | None:
    """The file of the program that *run* names; None for a file that names none (another YAML file)."""
    try:
        named = Document.load(run).data.get("program")
        return find_program(named, run).resolve() if isinstance(named, str) else None
    except (ConfigError, ProgramError):
        return None


def _choices(word: str, known: Sequence[str]) -> str:
    near = get_close_matches(word, known, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else "; write one of these instead:"
    return f"{hint} ({', '.join(known)})"
