"""Names and paths of chips, runs and programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ascend_sim.config import bundled, find_chip, find_program, find_run, locate, names
from ascend_sim.errors import ConfigError, ProgramError

CHIPS = ["ascend910b1", "ascend910b2", "ascend910b3", "ascend910b4", "ascend910c"]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package whose bundled files are in the folder that is returned."""
    monkeypatch.setattr(locate, "_PACKAGE", tmp_path / "ascend_sim")
    folder = tmp_path / "ascend_sim" / "_bundled"
    for inside in ("configs/chips", "configs/runs", "programs"):
        (folder / inside).mkdir(parents=True)
    return folder


def test_chips_are_listed_without_the_abstract_base() -> None:
    """The list of chips offers what can be loaded: every product, not the base file."""
    assert names("chips") == CHIPS
    assert find_chip("ascend910c") == bundled("chips") / "ascend910c.yaml"


def test_programs_are_listed_without_references_and_private_files(package: Path) -> None:
    """The list of programs leaves out NumPy references and private files."""
    for name in ("amla.py", "amla_reference.py", "_common.py", "notes.md"):
        (package / "programs" / name).touch()

    assert names("programs") == ["amla"]
    assert find_program("amla") == package / "programs" / "amla.py"


def test_runs_are_found_in_an_installed_package(package: Path) -> None:
    """An installed package finds its files inside itself."""
    (package / "configs" / "runs" / "gemm.yaml").touch()

    assert names("runs") == ["gemm"]
    assert find_run("gemm") == package / "configs" / "runs" / "gemm.yaml"


def test_relative_path_counts_from_the_file_that_names_it(tmp_path: Path) -> None:
    """A path with a slash or a suffix is relative to the naming file, or to a folder given instead."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mine.yaml").touch()
    (tmp_path / "run.yaml").touch()

    assert find_chip("sub/mine.yaml", tmp_path / "run.yaml") == tmp_path / "sub" / "mine.yaml"
    assert find_chip("mine.yaml", tmp_path / "sub") == tmp_path / "sub" / "mine.yaml"
    assert find_chip(str(tmp_path / "sub" / "mine.yaml")) == tmp_path / "sub" / "mine.yaml"


def test_unknown_chip_name_lists_the_nearest_and_all() -> None:
    """A mistyped name is answered with the nearest one and the list."""
    with pytest.raises(ConfigError) as caught:
        find_chip("ascend910d")

    message = str(caught.value)
    assert "there is no chip named 'ascend910d'; did you mean 'ascend910" in message
    assert f"(bundled chips: {', '.join(CHIPS)}); for a file of your own, write its path" in message


def test_missing_path_names_the_file_that_was_looked_for(tmp_path: Path) -> None:
    """A path that leads nowhere is answered with the path as it was resolved."""
    with pytest.raises(ConfigError) as caught:
        find_run("runs/none.yaml", tmp_path)

    assert f"there is no run file '{tmp_path / 'runs/none.yaml'}'" in str(caught.value)


@pytest.mark.parametrize("wanted", ["aml", "my/aml.py", ""])
def test_missing_program_is_a_program_error(package: Path, wanted: str) -> None:
    """Programs have their own error, which lists the bundled ones."""
    (package / "programs" / "amla.py").touch()

    with pytest.raises(ProgramError, match=r"there is no program .*bundled programs.*: amla\)"):
        find_program(wanted)
