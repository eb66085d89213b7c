"""Loading programs: what a program imports from its own folder is its own, read anew, and part of what it is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from kernels import HEAD, RIGHT, write_run

from ascend_sim.config import RunConfig, load_run
from ascend_sim.errors import ProgramError
from ascend_sim.explore.resolve import base_of, key_of, opened
from ascend_sim.kernel import build
from ascend_sim.kernel.load import load_program
from ascend_sim.simulate import simulate

ADD = "from ascend_sim import kernel as asc\n\n\ndef add(y, x):\n    asc.adds(y, x, NUMBER)\n\n\nNUMBER = 1.0\n"
"""A file beside a program, with a function for it."""


def write_pair(folder: Path, beside: str = ADD, module: str = "adding") -> Path:
    """Write a kernel that adds with the function of a file beside it, and a run; return the run file."""
    body = RIGHT.replace("asc.adds(u, u, 1.0)", "add(u, u)")
    run = write_run(folder, body)
    text = (folder / "kernel.py").read_text(encoding="utf-8")
    (folder / "kernel.py").write_text(f"from {module} import add\n{text}", encoding="utf-8")
    file = folder.joinpath(*module.split(".")).with_suffix(".py")
    file.parent.mkdir(exist_ok=True)
    file.write_text(beside, encoding="utf-8")
    return run


def test_a_program_uses_a_file_beside_it(tmp_path: Path) -> None:
    """A function of another file of the folder is part of the kernel, and its lines are named as the user's."""
    found = simulate(load_run(write_pair(tmp_path)))

    assert found.fault is None
    lines = {one.where.file for stream in found.program.streams for call in stream.calls
             for one in call.template.instructions}  # fmt: skip
    assert lines == {str(tmp_path / "kernel.py"), str(tmp_path / "adding.py")}


def test_files_beside_are_read_for_each_program(tmp_path: Path) -> None:
    """Two folders each have an `adding.py`, one edited later: every program gets its own, and its latest text."""
    runs = [load_run(write_pair(tmp_path / name)) for name in ("one", "two")]
    assert simulate(runs[0]).fault is None

    (tmp_path / "two" / "adding.py").write_text(ADD.replace("1.0", "2.0"), encoding="utf-8")
    assert simulate(runs[1]).fault is not None, "adds two, while the reference adds one"
    (tmp_path / "two" / "adding.py").write_text(ADD, encoding="utf-8")
    assert simulate(runs[1]).fault is None


def test_names_of_files_beside_are_left_to_others(tmp_path: Path) -> None:
    """Nothing of a program's folder stays importable by other code under its name."""
    before = list(sys.meta_path)
    load_program(load_run(write_pair(tmp_path)).program_file())

    assert "adding" not in sys.modules
    assert sys.meta_path == before
    with pytest.raises(ModuleNotFoundError):
        __import__("adding")


def test_a_package_beside_a_program(tmp_path: Path) -> None:
    """A folder with an `__init__.py` is a package, whose modules import each other relatively."""
    run = write_pair(tmp_path, ADD.replace("NUMBER = 1.0", "from .numbers_of_it import NUMBER"), "parts.adding")
    (tmp_path / "parts" / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "parts" / "numbers_of_it.py").write_text("NUMBER = 1.0\n", encoding="utf-8")

    assert simulate(load_run(run)).fault is None
    sources = load_program(load_run(run).program_file()).sources
    assert [Path(path).relative_to(tmp_path).as_posix() for path in sources] == [
        "kernel.py", "parts/__init__.py", "parts/adding.py", "parts/numbers_of_it.py",
    ]  # fmt: skip


def test_python_comes_before_files_beside(tmp_path: Path) -> None:
    """A file called like a module of Python does not replace it, for the program or for anybody else."""
    run = write_pair(tmp_path, "raise RuntimeError\n", "queue")
    (tmp_path / "kernel.py").write_text(f"import queue\nqueue.Queue\n{HEAD}    pass\n", encoding="utf-8")

    assert list(load_program(load_run(run).program_file()).sources) == [str(tmp_path / "kernel.py")]


def build_of(run: RunConfig) -> None:
    """Load the program of *run* and trace it."""
    loaded = load_program(run.program_file())
    build(loaded.kernel, loaded.kernel.parameters(), run.chip, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("def add(y, x)\n", "adding.py:1:14: syntax error", id="syntax error"),
        pytest.param("\n\n1 / 0\n", "adding.py:3: cannot be imported: ZeroDivisionError", id="exception"),
        pytest.param("import no_such\n", "adding.py:1: cannot be imported: ModuleNotFoundError", id="missing module"),
        pytest.param("add = 1\n", "kernel 'kernel' failed with TypeError", id="no function"),
        pytest.param(
            "def add(y, x):\n    return [][0]\n", "adding.py:2: kernel 'kernel' failed with IndexError", id="tracing"
        ),
    ],
)
def test_faults_name_the_file_they_are_in(tmp_path: Path, text: str, message: str) -> None:
    """What goes wrong in a file beside the program is reported at its line."""
    run = load_run(write_pair(tmp_path, text))

    with pytest.raises(ProgramError) as caught:
        build_of(run)
    assert message in str(caught.value)


def test_a_point_depends_on_the_files_beside_its_program(tmp_path: Path) -> None:
    """An edited file makes other points of an exploration; the same files in another folder do not."""
    bases = {name: base_of(load_run(write_pair(tmp_path / name))) for name in ("one", "copy")}
    (tmp_path / "one" / "adding.py").write_text(ADD.replace("1.0", "2.0"), encoding="utf-8")
    edited = base_of(load_run(tmp_path / "one" / "run.yaml"))

    assert bases["one"].digest == bases["copy"].digest
    assert key_of(bases["one"], {}) != key_of(edited, {})


def test_a_worker_needs_none_of_the_files(tmp_path: Path) -> None:
    """A base carries the texts of all files, so that it opens where there is no such folder."""
    run = write_pair(tmp_path / "here")
    base = base_of(load_run(run))
    for file in (tmp_path / "here").iterdir():
        file.unlink()

    assert opened(base).loaded.kernel.name == "kernel"
    assert list(opened(base).loaded.sources) == [path for path, _ in base.sources]
