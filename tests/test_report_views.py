"""Stages, tasks and named windows: which cycles each view shows, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from outcomes import outcome
from tiny import chip, simulate, work

from ascend_sim import kernel as asc
from ascend_sim.errors import ArgumentError
from ascend_sim.observe.timeline import CoreTimeline, Recording, Timelines
from ascend_sim.report.stages import INLINE, Tasks, display_name, numbered_stages, stage_names, tasks_of
from ascend_sim.report.views import View, chosen_window, default_view, named_view

# Tasks begin every 100 cycles and take 250 each, so that three are under way at a time; the run takes 2000 cycles.
PIPELINE = Tasks(100 + 100 * np.arange(10), 350 + 100 * np.arange(10), 1300)
NO_TASKS = Tasks(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), 1300)


def first_group(recording: Recording) -> list[CoreTimeline]:
    """The cores of group 0 of die 0."""
    return [core for core in recording.cores if (core.id.die, core.id.group) == (0, 0)]


@pytest.mark.parametrize(
    ("name", "begin", "end"),
    [
        ("all", 0, 2000),
        ("head", 0, 550),  # task 0 is over at 350; tasks 1 and 2 had begun by then, and 2 is over at 550
        ("steady", 500, 950),  # tasks 4, 5 and 6
        ("tail", 800, 1300),  # task 9 begins at 1000; task 7, of 800 .. 1050, is the first that was not over
        ("task:0", 88, 362),  # 100 .. 350 and 5 % of 250
        ("task:9", 988, 1262),
    ],
)
def test_views_of_a_pipeline(name: str, begin: int, end: int) -> None:
    """Each view begins and ends where its definition says, to the cycle."""
    assert named_view(name, PIPELINE, 2000) == View(name, begin, end)


def test_a_task_at_the_end_of_the_run_has_no_margin_beyond_it() -> None:
    """The margin stops at the ends of the run."""
    assert named_view("task:0", Tasks(np.array([3]), np.array([203]), 203), 203) == View("task:0", 0, 203)


def test_tasks_one_after_the_other_have_a_head_of_two() -> None:
    """A task that begins in the cycle in which another one is over touches it."""
    sequence = Tasks(np.array([0, 100, 200]), np.array([100, 200, 300]), 300)

    assert named_view("head", sequence, 400) == View("head", 0, 200)
    assert named_view("tail", sequence, 400) == View("tail", 100, 300)


@pytest.mark.parametrize(("count", "shown"), [(1, (100, 350)), (2, (100, 450)), (3, (100, 550))])
def test_steady_with_few_tasks_shows_them_all(count: int, shown: tuple[int, int]) -> None:
    """Three tasks or fewer have no middle."""
    few = Tasks(PIPELINE.begins[:count], PIPELINE.ends[:count], 1300)

    assert named_view("steady", few, 2000) == View("steady", *shown)


def test_views_without_stages_are_tenths() -> None:
    """Without tasks head, steady and tail are the first, the middle and the last tenth; short runs have a cycle."""
    found = [named_view(name, NO_TASKS, 2000) for name in ("head", "steady", "tail")]

    assert [(view.begin, view.end) for view in found] == [(0, 200), (900, 1100), (1800, 2000)]
    assert named_view("tail", NO_TASKS, 5) == View("tail", 4, 5)


def test_long_runs_are_shown_steady_and_short_ones_whole() -> None:
    """Long is more than 8 tasks, or more than 100 us without tasks."""
    eight = Tasks(PIPELINE.begins[:8], PIPELINE.ends[:8], 1300)

    assert [default_view(tasks, 10**9, 1000.0) for tasks in (eight, PIPELINE)] == ["all", "steady"]
    assert [default_view(NO_TASKS, cycles, 1000.0) for cycles in (100_000, 100_001)] == ["all", "steady"]


@pytest.mark.parametrize(
    ("name", "tasks", "message"),
    [
        ("middle", PIPELINE, "--view middle: is no view; write one of head, steady, tail, task:N, all"),
        ("task", PIPELINE, "--view task: is no view; write one of head, steady, tail, task:N, all"),
        ("task:10", PIPELINE, "--view task:10: there is no such task; these cores have task:0 to task:9"),
        ("task:-1", PIPELINE, "--view task:-1: there is no such task; these cores have task:0 to task:9"),
        ("task:two", PIPELINE, "--view task:two: there is no such task; these cores have task:0 to task:9"),
        (
            "task:0", NO_TASKS,
            "--view task:0: this kernel calls no stages, so it has no tasks; give --from and --to",
        ),
    ],
)  # fmt: skip
def test_unknown_views_are_refused(name: str, tasks: Tasks, message: str) -> None:
    """A name that is no view, or a task that there is not, is refused with what could be written."""
    with pytest.raises(ArgumentError) as caught:
        named_view(name, tasks, 2000)
    assert str(caught.value) == message


def test_windows_by_time() -> None:
    """Either end may be left out; cycles that are touched are shown; the window stops at the end of the run."""
    found = [chosen_window(*ends, 2000, 1000.0) for ends in ((0.5, 1.0), (0.2504, None), (None, 0.2504), (1.5, 9.0))]

    assert [(view.begin, view.end) for view in found] == [(500, 1000), (250, 2000), (0, 251), (1500, 2000)]
    assert found[0].name == ""


@pytest.mark.parametrize(
    ("begin", "end", "message"),
    [
        (
            5.0, 5.0,
            "--from 5 --to 5: this window is empty; the run lasts from 0 to 2 us, so give a beginning of 0 or more and "
            "a later end",
        ),
        (
            -1.0, None,
            "--from -1: this window is empty; the run lasts from 0 to 2 us, so give a beginning of 0 or more and a "
            "later end",
        ),
        (
            float("nan"), 1.0,
            "--from nan --to 1: this window is empty; the run lasts from 0 to 2 us, so give a beginning of 0 or more "
            "and a later end",
        ),
        (3.0, 4.0, "--from 3 --to 4: nothing happens in this window; the run lasts from 0 to 2 us"),
    ],
)  # fmt: skip
def test_empty_windows_are_refused(begin: float, end: float | None, message: str) -> None:
    """A window without time, or after the end, is refused with how long the run is."""
    with pytest.raises(ArgumentError) as caught:
        chosen_window(begin, end, 2000, 1000.0)
    assert str(caught.value) == message


@pytest.mark.parametrize("end", [float("inf"), 1e308, 2.0])
def test_a_window_stops_at_the_end_of_the_run(end: float) -> None:
    """However far the user's end lies behind it."""
    assert chosen_window(None, end, 2000, 1000.0) == View("", 0, 2000)


def test_names_of_stages() -> None:
    """Stages named as in the literature are written so; others keep the name of their function."""
    shown = [display_name(name) for name in ("c1", "v2", "rescale", "c1x", "v", INLINE)]

    assert shown == ["[C1]", "[V2]", "rescale", "c1x", "v", "outside of stages"]


def test_stages_come_in_the_order_of_their_work() -> None:
    """[V1] is called before [C1] is done, and works later; what is outside of stages comes last."""
    assert stage_names(first_group(outcome("amla_small").timelines)) == ["c1", "v1", "c2", "rescale", "v2", "inline"]


def test_only_stages_called_for_each_task_are_numbered() -> None:
    """The rescaling, which the first keys of a row do not need, and [V2], after the last keys, have no number."""
    cube, vector, _ = first_group(outcome("amla_small", "problem.kv_tokens=[1100,600]").timelines)

    assert numbered_stages(cube) == {"c1", "c2"}
    assert numbered_stages(vector) == {"v1"}
    assert numbered_stages(first_group(outcome("vector_add").timelines)[0]) == set()


def test_a_stage_that_is_called_once_does_not_lead() -> None:
    """A prologue before the loop leaves the stages of the loop numbered; alone, stages called once are task 0."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        @core.stage(asc.AIV)
        def prologue() -> None:
            work(core, 1)

        @core.stage(asc.AIV)
        def step() -> None:
            work(core, 2)

        prologue()
        for _ in range(2 if core.sub else 1):
            step()

    on = chip()
    once, twice = Timelines(simulate(body, on, blocks=2), on).cores

    assert (numbered_stages(once), numbered_stages(twice)) == ({"prologue", "step"}, {"step"})
    # Each 10 cycles a repeat, visible 40 after its start and 10 for each repeat
    tasks = tasks_of([once])
    assert (tasks.begins.tolist(), tasks.ends.tolist()) == ([0], [10 + 40 + 20])
    tasks = tasks_of([once, twice])
    assert (tasks.begins.tolist(), tasks.ends.tolist(), tasks.over) == ([10, 30], [70, 90], 90)


def test_tasks_without_work_take_no_time() -> None:
    """A call that issues nothing but flags is a task, at the place where the one before it is over."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        @core.stage(asc.AIV)
        def step(repeats: int) -> None:
            if repeats:
                work(core, repeats)
            else:
                asc.pipe_barrier(asc.Pipe.V)

        for repeats in (1, 0, 3):
            step(repeats)

    on = chip()
    tasks = tasks_of(list(Timelines(simulate(body, on), on).cores))

    assert (tasks.begins.tolist(), tasks.ends.tolist()) == ([0, 50, 50], [50, 50, 120])
    assert len(tasks_of([])) == 0
