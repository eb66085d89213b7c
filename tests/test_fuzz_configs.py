"""Damaged run files, chip files and overrides: each run ends soon, with an exit code and without a traceback.

ASCEND_SIM_FUZZ=long, as `make fuzz` sets it, tries thousands of new cases instead of a few that are always the same.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path

import pytest
from damage import BASE, CHIP, COMMANDS, RUN, SMALL, Damaged, damaged_case, damaged_override, intact
from fuzzing import cases, deadline
from hypothesis import given

from ascend_sim.cli import _exit_code
from ascend_sim.config.locate import names

SECONDS = 20.0
"""What a case may take at most, on a slow machine."""


def run_case(case: Damaged) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of *case*, within a folder of its own."""
    stdout, stderr = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors) for errors in ("strict", "backslashreplace"))
    with tempfile.TemporaryDirectory(prefix="ascend-sim-fuzz-") as folder, contextlib.chdir(folder):
        for name, content in case.files.items():
            Path(name).write_bytes(content)
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr), deadline(SECONDS):
            code = _exit_code(list(case.command))
    texts = []
    for stream in (stdout, stderr):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode("utf-8"))  # type: ignore[attr-defined]
    return code, *texts


def expect_ending(case: Damaged) -> None:
    """Fail unless *case* ends with a result, or with a refusal that says something."""
    code, stdout, stderr = run_case(case)

    assert code in (0, 2, 3), stderr
    assert "Traceback" not in stdout + stderr
    assert "internal error" not in stderr
    assert (code != 0) == bool(stderr.strip())


@cases(70, 3000)
@given(damaged_case(RUN))
def test_a_damaged_run_file(case: Damaged) -> None:
    """Whatever a run file says, its run ends with a result or with a refusal."""
    expect_ending(case)


@cases(40, 1500)
@given(damaged_case(CHIP))
def test_a_damaged_chip_file(case: Damaged) -> None:
    """Whatever a chip file says, a run on it ends with a result or with a refusal."""
    expect_ending(case)


@cases(12, 500)
@given(damaged_case(BASE))
def test_a_damaged_base_of_a_chip_file(case: Damaged) -> None:
    """Whatever the file says that a chip file extends, a run on the chip ends with a result or with a refusal."""
    expect_ending(case)


@cases(40, 1000)
@given(damaged_override())
def test_a_damaged_override(case: Damaged) -> None:
    """Whatever --set says, the run ends with a result or with a refusal."""
    expect_ending(case)


@pytest.mark.parametrize("run", sorted(SMALL))
def test_intact_files_run(run: str) -> None:
    """Undamaged, every small run comes to its end, so that the damage is what the other tests see."""
    chip = names("chips")[sorted(SMALL).index(run) % len(names("chips"))]
    texts = intact(run, chip)
    files = {name: text.encode() for name, text in texts.items()}

    assert [run_case(Damaged(files, command, texts))[::2] for command in COMMANDS] == [(0, "")] * len(COMMANDS)
