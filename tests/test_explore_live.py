"""What a search shows while it goes on: counts, pace, the best so far and the rest, on a terminal and without one."""

from __future__ import annotations

import re
import sys

import pytest

from ascend_sim.explore.config import Objective
from ascend_sim.explore.live import InLines, Tally, duration, watching
from ascend_sim.explore.point import METRICS, Evaluation, Status
from ascend_sim.explore.table import Row

TIME = Objective("time_us", "minimize")
RATE = Objective("tflops", "maximize")


def row(number: int, time_us: float | None = None, status: Status = "done", rate: float = 1.0) -> Row:
    """A point that takes *time_us*, or has another *status*."""
    metrics = {} if time_us is None else {**dict.fromkeys(METRICS, 0.0), "time_us": time_us, "tflops": rate}
    return Row(number, "", {"tiling.a": number, "tiling.b": "x"}, Evaluation(status, metrics), status, bool(metrics))


class Clock:
    """Time that passes when it is told to."""

    now = 1000.0

    def __call__(self) -> float:
        """The time now."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


def test_a_tally_counts_ranks_and_estimates(clock: Clock) -> None:
    """10 of 100 points, 8 of them worked on in 4 s: 2 a second, 45 s for the rest; the best is the first of equals."""
    tally = Tally([TIME], clock)
    tally.begin(100)
    assert (tally.rate, tally.left, tally.best_text()) == (0.0, None, "none yet")
    tally.add(row(0, 5.0), fresh=False)
    tally.add(row(1, status="infeasible"), fresh=False)
    for number, time_us in enumerate([9.0, 3.25, 4.0, 3.25], start=2):
        clock.now += 0.5
        tally.add(row(number, time_us), fresh=True)
    for number, status in enumerate(("infeasible", "failed", "pruned", "infeasible"), start=6):
        clock.now += 0.5
        tally.add(row(number, status=status), fresh=True)  # type: ignore[arg-type]
    assert (tally.done, tally.fresh, tally.seconds) == (10, 8, 4.0)
    assert tally.rate == 2.0
    assert tally.left == pytest.approx(45.0)
    assert tally.others() == "3 infeasible, 1 failed, 1 pruned"
    assert tally.best_text() == "time 3.250 us: a=3 b=x"


def test_the_best_of_several_objectives_is_by_the_first(clock: Clock) -> None:
    """Of two objectives both are shown, and by which the point was chosen."""
    tally = Tally([RATE, TIME], clock)
    tally.begin(None)
    tally.add(row(0, 5.0, rate=2.0), fresh=True)
    tally.add(row(1, 1.0, rate=1.0), fresh=True)
    assert tally.best_text() == "rate 2.00 TFLOPS, time 5.000 us (by rate): a=0 b=x"
    assert tally.left is None


def test_without_a_terminal_there_is_a_line_now_and_then(clock: Clock) -> None:
    """The first after 10 s, and then every 30 s; each says how far it is."""
    said: list[str] = []
    lines = InLines(Tally([TIME], clock), said.append)
    lines.begin(100)
    for second in range(1, 76):
        clock.now += 1.0
        lines.found(row(second, 5.0 + second), fresh=True)
        lines.tick()
        assert len(said) == (second >= 10) + (second >= 40) + (second >= 70)
    assert said[0] == "10 of 100 points; 1 points/s; about 90 s left; best so far time 6.000 us: a=1 b=x"


def test_a_terminal_shows_a_bar_and_the_best_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The view has the bar, the pace, what came to nothing and the best point; at the end it is taken away."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with watching([TIME], quiet=False) as (listener, tally):
        listener.begin(40)
        listener.found(row(0, 5.0), fresh=True)
        listener.found(row(1, status="failed"), fresh=True)
        tally.clock = lambda: tally._began + 9.0
        listener.tick()
    shown = capsys.readouterr().err
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "2/40" in plain
    assert "0.222 points/s" in plain
    assert "1 failed" in plain
    assert "best so far: time 5.000 us: a=0 b=x" in plain
    assert shown.rstrip().endswith(("\x1b[2K", "\x1b[?25h", "\x1b[1A\x1b[2K"))


def test_quiet_shows_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With --quiet there is no word on stderr, on a terminal or not; the tally is kept all the same."""
    for terminal in (True, False):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal, raising=False)
        with watching([TIME], quiet=True) as (listener, tally):
            listener.begin(2)
            listener.found(row(0, 5.0), fresh=True)
            tally.clock = lambda: 1e9
            listener.tick()
        assert tally.done == 1
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (99.4, "99 s"), (100.0, "2 min"), (5999.0, "100 min"), (7380.0, "2 h 3 min")]
)
def test_durations_are_round(seconds: float, text: str) -> None:
    """Seconds, minutes or hours, whatever can be read at a glance."""
    assert duration(seconds) == text
