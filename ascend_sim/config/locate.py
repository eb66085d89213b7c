"""Where the bundled chips, runs and programs are, and how a name or a path becomes a file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from ascend_sim.config import _messages
from ascend_sim.errors import ConfigError, Diagnostic, ProgramError

Kind = Literal["chips", "runs", "programs", "explorations", "studies"]

_PACKAGE = Path(__file__).resolve().parents[1]
_SUFFIX = {"chips": ".yaml", "runs": ".yaml", "programs": ".py", "explorations": ".yaml", "studies": ".yaml"}
_FOLDER = {
    "chips": "configs/chips", "runs": "configs/runs", "programs": "programs", "explorations": "configs/explore",
    "studies": "configs/studies",
}  # fmt: skip
_ONE = {"studies": "study"}
# Looking for the line is enough for the files of this project, and spares parsing every chip to list them.
_ABSTRACT = re.compile(r"^abstract:\s*true\b", re.MULTILINE)


def bundled(kind: Kind) -> Path:
    """Return the folder with the bundled files of *kind*, in an installed package or in a source checkout."""
    installed = _PACKAGE / "_bundled" / _FOLDER[kind]
    return installed if installed.is_dir() else _PACKAGE.parent / _FOLDER[kind]


def names(kind: Kind) -> list[str]:
    """Return the bundled names of *kind*, sorted; abstract chips, references and private files are left
    out.
    """
    return sorted(path.stem for path in bundled(kind).glob("*" + _SUFFIX[kind]) if _is_offered(kind, path))


def is_installed(file: str) -> bool:
    """Whether code in *file* is of this package or another installed one, and not the user's; nor a bundled program."""
    if Path(file).is_relative_to(_PACKAGE / "_bundled"):
        return False
    return Path(file).is_relative_to(_PACKAGE) or "site-packages" in file


def find_chip(name_or_path: str, relative_to: Path | None = None) -> Path:
    """Return the file of a chip, given the name of a bundled one or a path.

    A relative path counts from the folder of *relative_to*, the file that names it (or from that folder
    itself), and from the current folder when that is None. Raise a ConfigError that lists what exists.
    """
    return _find("chips", name_or_path, relative_to, ConfigError)


def find_run(name_or_path: str, relative_to: Path | None = None) -> Path:
    """Return the run file of a bundled name or a path, as find_chip() does; raise a ConfigError."""
    return _find("runs", name_or_path, relative_to, ConfigError)


def find_exploration(name_or_path: str) -> Path:
    """Return the file of an exploration of a bundled name or a path; raise a ConfigError."""
    return _find("explorations", name_or_path, None, ConfigError)


def find_study(name_or_path: str) -> Path:
    """Return the file of a study of a bundled name or a path; raise a ConfigError."""
    return _find("studies", name_or_path, None, ConfigError)


def find_program(name_or_path: str, relative_to: Path | None = None) -> Path:
    """Return the program file of a bundled name or a path, as find_chip() does; raise a ProgramError."""
    return _find("programs", name_or_path, relative_to, ProgramError)


def _find(
    kind: Kind, wanted: str, relative_to: Path | None, error: type[ConfigError] | type[ProgramError]
) -> Path:
    what = _ONE.get(kind, kind.removesuffix("s"))
    known = names(kind)
    if Path(wanted).suffix in (".yaml", ".yml", ".py") or "/" in wanted:
        folder = relative_to or Path()
        path = (folder if folder.is_dir() else folder.parent) / _without_tilde(wanted)
        if _is(Path.is_file, path):
            return path
        if _is(Path.is_dir, path):
            message = f"'{path}' is a folder; write the path of a {_SUFFIX[kind]} file in it instead"
            raise error(Diagnostic(message))
        ending = _messages.choices(Path(wanted).stem, known, f"bundled {kind}, named without path and ending")
        raise error(Diagnostic(f"there is no {what} file '{path}'{ending}"))
    path = bundled(kind) / (wanted + _SUFFIX[kind])
    if wanted and _is(Path.is_file, path):
        return path
    ending = _messages.choices(wanted, known, f"bundled {kind}")
    message = f"there is no {what} named '{wanted}'{ending}; for a file of your own, write its path"
    raise error(Diagnostic(message))


def _without_tilde(wanted: str) -> Path:
    """Return *wanted* as a path; "~name" of a user that does not exist stays as it is."""
    try:
        return Path(wanted).expanduser()
    except RuntimeError:
        return Path(wanted)


def _is(test: Callable[[Path], bool], path: Path) -> bool:
    """Say whether *test* holds for *path*; no file has a path that the system refuses as too long."""
    try:
        return test(path)
    except OSError:
        return False


def _is_offered(kind: Kind, path: Path) -> bool:
    if kind == "chips":
        return not _ABSTRACT.search(path.read_text(encoding="utf-8"))
    return not (path.stem.startswith("_") or (kind == "programs" and path.stem.endswith("_reference")))
