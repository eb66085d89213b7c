"""The chip at a glance: rows for all cores, also for those that others stand for, and exact shares."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.text import Text
from outcomes import outcome
from tiny import build, chip, load, work

from ascend_sim import kernel as asc
from ascend_sim.engine.machine import simulate_timing
from ascend_sim.isa.words import CoreKind
from ascend_sim.observe.timeline import Recording, Timelines
from ascend_sim.report.overview import Group, groups_of, overview_figure
from ascend_sim.report.shapes import column_edges
from ascend_sim.report.style import figure_bytes
from ascend_sim.report.views import View


@pytest.fixture(scope="module")
def recording() -> Recording:
    """A run on two dies of two groups: vector cores of groups 0, 1 and 2 work 100 cycles, 200 with sub 1."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.is_vector:
            work(core, 10 * (1 + core.sub))

    on = chip("dies=2", "cores.aic_per_die=2")
    return Timelines(simulate_timing(build(body, on, "mix", 3), on), on)


def groups(recording: Recording, begin: int, end: int, columns: float) -> dict[tuple[int, CoreKind], Group]:
    """The groups of a window in so many columns."""
    edges = column_edges(begin, end, columns)
    return {(one.die, one.kind): one for one in groups_of(recording, View("", begin, end), edges)}


def test_rows_are_all_cores_of_the_chip(recording: Recording) -> None:
    """A row for each core of a kind that works, also for those without instructions; no rows for unused kinds."""
    found = groups(recording, 0, 240, 4)

    assert list(found) == [(0, CoreKind.AIV), (1, CoreKind.AIV)]
    assert [str(core) for core in found[1, CoreKind.AIV].cores] == [
        f"die1.core{group}.veccore{sub}" for group in (0, 1) for sub in (0, 1)
    ]
    assert found[0, CoreKind.AIV].shares.shape == (4, 4)


def test_shares_are_exact_and_the_same_for_members_of_a_class(recording: Recording) -> None:
    """Columns of 60 cycles hold 60, 40, 0, 0 or 60, 60, 60, 20 cycles of work; group 3 has none to do."""
    assert len(list(recording.cores)) < 9  # some cores stand for others
    found = groups(recording, 0, 240, 4)
    one, two = [60, 40, 0, 0], [60, 60, 60, 20]

    assert (60 * found[0, CoreKind.AIV].shares).tolist() == [one, two, one, two]
    assert (60 * found[1, CoreKind.AIV].shares[:2]).tolist() == [one, two]
    assert np.isnan(found[1, CoreKind.AIV].shares[2:]).all()
    assert (240 * found[1, CoreKind.AIV].busy[:2]).tolist() == [100, 200]
    assert found[1, CoreKind.AIV].mean == 150 / 240


def test_cube_and_vector_cores_are_told_apart() -> None:
    """CUBE of cube cores and VECTOR of vector cores: the shares are those of the lanes."""
    found = outcome("amla_small")
    at = groups(found.timelines, 0, found.timelines.cycles, 100)
    cube, vector = (found.timelines.core(number) for number in (0, 1))

    for core, group in ((cube, at[0, CoreKind.AIC]), (vector, at[0, CoreKind.AIV])):
        pipe = "M" if core.kind is CoreKind.AIC else "V"
        held = (core.frees - core.starts)[(core.kinds == 0) & (core.pipes == (3 if pipe == "M" else 4))].sum()
        assert group.busy[0] == pytest.approx(held / found.timelines.cycles, abs=1e-12)


def test_the_figure_names_groups_and_explains_colours(recording: Recording) -> None:
    """Die, kind, pipe and mean of each group, a colour bar, and a patch for cores without work."""
    view = View("all", 0, 240)
    figure = overview_figure(recording, outcome("vector_add").result, view, command="timeline RUN")
    written = [one.get_text() for one in figure.findobj(Text)]

    for text in (
        "die 0, vector cores: VECTOR of 4 cores", "die 1, vector cores: VECTOR of 2 cores", "62 %", "0 %", "100 %",
        "share of the time that the pipe works", "core without work", "timeline RUN", "core0", "core2",
    ):  # fmt: skip
        assert text in written


def test_equal_overviews_are_equal_files(recording: Recording) -> None:
    """Drawn twice, an overview is the same file."""
    result = outcome("vector_add").result
    figures = [overview_figure(recording, result, View("", 20, 190)) for _ in range(2)]

    for form in ("png", "svg"):
        assert figure_bytes(figures[0], form) == figure_bytes(figures[1], form)


def test_moves_alone_leave_the_main_pipe_idle() -> None:
    """A core that only moves bytes has a row of zeros, not an empty one."""
    on = chip()
    recording = Timelines(simulate_timing(build(lambda core, gm: load(core, gm, 640), on), on), on)
    (group,) = groups(recording, 0, 100, 10).values()

    assert group.shares[0].tolist() == [0.0] * 10
    assert group.mean == 0.0
