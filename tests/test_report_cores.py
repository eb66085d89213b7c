"""Which cores a figure shows: how they are named, and what is said of names that mean none."""

from __future__ import annotations

import pytest
from tiny import build, chip, work

from ascend_sim import kernel as asc
from ascend_sim.engine.machine import simulate_timing
from ascend_sim.errors import ArgumentError
from ascend_sim.observe.timeline import Recording, Timelines
from ascend_sim.report.cores import shown_cores, working_cores

GROUP = ("cubecore0", "veccore0", "veccore1")


@pytest.fixture(scope="module")
def recording() -> Recording:
    """A run on two dies of three groups: group 1 has nothing to do, group 5 is not launched, 4 is simulated as 3."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        if core.index == 1:
            return
        if core.is_vector:
            work(core, 1 + min(core.index, 3))
        else:
            asc.cross_core_set_flag(0, asc.Pipe.FIX)

    on = chip("dies=2", "cores.aic_per_die=3")
    return Timelines(simulate_timing(build(body, on, "mix", 5), on), on)


def names(recording: Recording, spec: str | None) -> list[str]:
    """The names of the cores that *spec* shows."""
    return [one.name for one in shown_cores(recording, spec)]


def group(*numbers: int) -> list[str]:
    """The names of the cores of these groups."""
    return [f"core{number}.{core}" for number in numbers for core in GROUP]


def test_specs_name_groups_cores_and_ranges(recording: Recording) -> None:
    """Groups, single cores, groups of a die, ranges, and lists of these, each core once and in the order written."""
    assert names(recording, None) == group(0)
    assert names(recording, "core2") == group(2)
    assert names(recording, "core2.veccore1") == ["core2.veccore1"]
    assert names(recording, "die1.core0.cubecore0") == ["core3.cubecore0"]
    assert names(recording, "core0-core2") == group(0, 2)
    assert names(recording, "die0.core2-die1.core1") == group(2, 3, 4)
    assert names(recording, "core2.cubecore0, core0, core2") == ["core2.cubecore0", *group(0), *group(2)[1:]]


def test_cores_of_a_class_are_shown_by_the_one_that_was_simulated(recording: Recording) -> None:
    """A core that was not simulated has its own name and the timeline of its class; idle cores work nowhere."""
    third, fourth = shown_cores(recording, "core3.cubecore0,core4.cubecore0")

    assert third.timeline is fourth.timeline
    assert (str(fourth.id), str(fourth.timeline.id)) == ("die1.core1.cubecore0", "die1.core0.cubecore0")
    assert [one.name for one in working_cores(recording)] == group(0, 2, 3, 4)


EXISTING = "there are core0, core2 to core4, with cubecore0, veccore0, veccore1"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("core9", f"--cores core9: no such cores worked in this run; {EXISTING}"),
        ("core1", f"--cores core1: no such cores worked in this run; {EXISTING}"),
        ("core0.veccore2", f"--cores core0.veccore2: no such cores worked in this run; {EXISTING}"),
        ("core0, die2.core0", f"--cores die2.core0: no such cores worked in this run; {EXISTING}"),
        ("core2-core9", f"--cores core2-core9: no such cores worked in this run; {EXISTING}"),
        ("die0.core9", "--cores die0.core9: a die has core0 to core2; leave the die out to count on"),
        ("core2-core0", f"--cores core2-core0: no such cores worked in this run; {EXISTING}"),
    ],
)
def test_cores_that_did_not_work_are_refused(recording: Recording, spec: str, message: str) -> None:
    """Cores that do not exist or had nothing to do are refused, with those that there are."""
    with pytest.raises(ArgumentError) as caught:
        shown_cores(recording, spec)
    assert str(caught.value) == message


@pytest.mark.parametrize("spec", ["", "core", "core0,", "0", "cubecore0", "core0.cubecore1", "core0.veccore0-core1"])
def test_what_is_no_name_is_refused(recording: Recording, spec: str) -> None:
    """Text that is no name is refused with names as they could be."""
    with pytest.raises(ArgumentError, match="is no name of cores; write core0, core0"):
        shown_cores(recording, spec)


def test_too_many_cores_are_refused(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure of more cores than fit is refused with what shows all of them."""
    monkeypatch.setattr("ascend_sim.report.cores.MAX_CORES", 8)

    assert len(shown_cores(recording, "core0,core2,core3.cubecore0,core4.cubecore0")) == 8
    with pytest.raises(ArgumentError) as caught:
        shown_cores(recording, "core0-core3")
    assert str(caught.value) == (
        "--cores core0-core3: these are 9 cores, and 8 have room in a figure; name fewer, or see all with --overview"
    )
