"""recording.npz: what is read back is what was recorded, and what is no recording is refused by name."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from outcomes import outcome

from ascend_sim.config import load_run
from ascend_sim.errors import ArgumentError
from ascend_sim.observe.critical_path import critical_path
from ascend_sim.observe.statistics import core_statistics
from ascend_sim.observe.timeline import Recording
from ascend_sim.report.recording import read_recording, recording_bytes
from ascend_sim.report.trace import trace_text
from ascend_sim.simulate import Outcome, simulate

RUNS = ("vector_add", "gemm_small", "flash_attention_small")


@pytest.fixture(scope="module", params=RUNS)
def recorded(request: pytest.FixtureRequest) -> Outcome:
    """A run with what its moves lost."""
    return simulate(load_run(request.param), data=False, record=True)


@pytest.fixture
def back(recorded: Outcome, tmp_path: Path) -> Recording:
    """The run, read from its file."""
    path = tmp_path / "recording.npz"
    path.write_bytes(recording_bytes(recorded.timelines))
    return read_recording(path)


def test_every_time_comes_back(recorded: Outcome, back: Recording) -> None:
    """The times, links, losses and totals of every core are those of the run."""
    assert (back.program, back.chip, back.cycles) == (
        recorded.timelines.program, recorded.timelines.chip, recorded.timelines.cycles
    )  # fmt: skip
    assert len(back) == len(recorded.timelines)
    for there, here in zip(recorded.timelines.cores, back.cores, strict=True):
        for name in ("dispatched", "starts", "ends", "frees", "kinds", "peers", "flags", "turns", "previous"):
            assert np.array_equal(getattr(here, name), getattr(there, name)), name
        assert (here.id, here.members, here.links, here.totals) == (there.id, there.members, there.links, there.totals)
        assert [here.words(index) for index in range(0, len(here), 97)] == [
            there.words(index) for index in range(0, len(there), 97)
        ]
    assert back.limited is not None
    assert recorded.timelines.limited is not None
    for mine, theirs in zip(back.limited, recorded.timelines.limited, strict=True):
        for name in ("index", "l2", "hbm", "tile"):
            assert np.array_equal(getattr(mine, name), getattr(theirs, name)), name


def test_the_analyses_find_the_same(recorded: Outcome, back: Recording) -> None:
    """Statistics, critical path and trace need no program: from the file they come out as from the run."""
    assert core_statistics(back) == list(recorded.statistics)
    assert critical_path(back) == critical_path(recorded.timelines)
    assert "".join(trace_text(back)) == "".join(trace_text(recorded.timelines))


def test_equal_runs_give_equal_files(recorded: Outcome, back: Recording) -> None:
    """No date or order of the host gets into the file, and what was read is written as it was."""
    assert recording_bytes(back) == recording_bytes(recorded.timelines)


def test_a_run_that_nobody_listened_to_has_no_losses(tmp_path: Path) -> None:
    """Without record=True the file says that the losses are not known, not that there were none."""
    path = tmp_path / "recording.npz"
    path.write_bytes(recording_bytes(outcome("vector_add").timelines))

    assert read_recording(path).limited is None


def damaged(kind: str) -> bytes:
    """What is no recording."""
    good = recording_bytes(outcome("vector_add").timelines)
    if kind == "text":
        return b"not a recording\n"
    if kind == "half":
        return good[: len(good) // 2]
    if kind == "empty":
        return b""
    buffer = BytesIO()
    content = {"foreign": {}, "future": {"schema": "ascend-sim/recording/9"}}[kind]
    np.savez(buffer, content=np.frombuffer(json.dumps(content).encode(), dtype=np.uint8))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("text", "cannot be read as a recording ("),
        ("half", "cannot be read as a recording ("),
        ("empty", "cannot be read as a recording ("),
        ("foreign", "is a recording of schema None, and 'ascend-sim/recording/1' is known here; run again"),
        ("future", "is a recording of schema 'ascend-sim/recording/9', and 'ascend-sim/recording/1' is known here"),
    ],
)
def test_what_is_no_recording_is_refused(kind: str, says: str, tmp_path: Path) -> None:
    """The error names the file, what is wrong with it, and the way out."""
    path = tmp_path / "recording.npz"
    path.write_bytes(damaged(kind))

    with pytest.raises(ArgumentError) as caught:
        read_recording(path)
    assert str(caught.value).startswith(f"{path}: {says}")
    assert "run again" in str(caught.value)


def test_any_damaged_byte_is_told_or_harmless(tmp_path: Path) -> None:
    """Whatever byte of the file is changed: it is read, or refused by name, when it is opened or when a core is."""
    good = recording_bytes(outcome("vector_add").timelines)
    path = tmp_path / "recording.npz"
    told = []
    for position in range(0, len(good), max(len(good) // 150, 1)):
        path.write_bytes(good[:position] + bytes([good[position] ^ 0x10]) + good[position + 1 :])
        try:
            list(read_recording(path).cores)
        except ArgumentError as error:
            told.append(str(error))
    assert len(told) > 100
    assert all(message.startswith(f"{path}: ") for message in told)
