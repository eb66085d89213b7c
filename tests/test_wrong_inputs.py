"""Wrong inputs through the command line: each is refused at its place, with a way out, and without a traceback."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from wrong_inputs import arguments, chips, operands, programs, run_files, synchronisation
from wrong_inputs.case import Case

from ascend_sim.cli import main

ROOT = Path(__file__).parent.parent
SECONDS = 5.0
"""What a refusal may take at most, on a slow machine."""

MODULES = (run_files, chips, arguments, programs, operands, synchronisation)
CASES = [case for module in MODULES for case in module.CASES]
AS_PROCESSES = (
    "a tab for indentation",
    "an option that does not exist",
    "a division by 0",
    "a wait without a set",
)
"""Cases that are run as a user runs them, too."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_wrong_input_is_refused(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each input ends soon, with its exit code and with exactly the lines that say where, what and what to do."""
    case.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    begin = time.perf_counter()
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split(case.command))
    seconds = time.perf_counter() - begin
    stdout, stderr = capsys.readouterr()

    assert case.differences(stderr) == []
    assert stopped.value.code == case.code
    assert "Traceback" not in stdout + stderr
    # Only a run that came to its end prints a result beside its error.
    assert stdout == "" or "wrong numbers" in stderr
    assert seconds < SECONDS


@pytest.mark.parametrize(
    "case", [one for one in CASES if one.name in AS_PROCESSES], ids=lambda case: case.name
)
def test_a_process_refuses_a_wrong_input_alike(case: Case, tmp_path: Path) -> None:
    """What the entry point says within the tests is what a shell sees: exit code, stderr, and nothing on stdout."""
    case.write(tmp_path)
    command = [sys.executable, "-m", "ascend_sim.cli", *shlex.split(case.command)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)

    assert case.differences(done.stderr) == []
    assert (done.returncode, done.stdout) == (case.code, "")


def test_the_catalogue_is_complete() -> None:
    """Names are unique, so that each case stands in the report, and the cases run as processes exist."""
    names = [case.name for case in CASES]

    assert len(set(names)) == len(names)
    assert set(AS_PROCESSES) <= set(names)


def test_a_changed_message_would_be_noticed() -> None:
    """The comparison refuses other places, words, missing lines and more lines, and takes what dots stand for."""
    case = Case("example", ("here: no ... so; do ...",), {"kernel.py": "a\nb  # here\n"})

    assert case.differences("kernel.py:2: no number so; do that\n") == []
    for wrong in (
        "kernel.py:1: no x so; do y\n",
        "kernel.py:2: no x\n",
        "",
        "kernel.py:2: no x so; do y\nmore\n",
    ):
        assert case.differences(wrong) != []
