"""A stage is recorded anew when what it reads would make it do something else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tiny import NoParameters, chip

from ascend_sim import kernel as asc
from ascend_sim.isa.words import Space

STEP, FAR_STEP = 1.0, 1.0


def near(x: asc.LocalTensor) -> None:
    """Add STEP."""
    asc.adds(x, x, STEP)


def with_default(x: asc.LocalTensor, step: float = 1.0, *, more: float = 0.0) -> None:
    """Add *step* and *more*."""
    asc.adds(x, x, step + more)


def far(x: asc.LocalTensor) -> None:
    """Add FAR_STEP, by way of another helper."""
    further(x)


def further(x: asc.LocalTensor) -> None:
    """Add FAR_STEP."""
    asc.adds(x, x, FAR_STEP)


@pytest.mark.parametrize(("helper", "name"), [("near", "STEP"), ("far", "FAR_STEP")])
def test_a_changed_constant_of_a_helper_is_seen(helper: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Called again unchanged the recording serves again; with another constant in the helper's module it does not."""

    @asc.kernel(cores="vector", parameters=NoParameters, tensors=lambda gm, _: None, flops=lambda _: 0)
    def kernel(core: asc.Core, gm: asc.GlobalMemory, _: NoParameters) -> None:
        x = core.tensor("x", Space.UB, 64, asc.fp32)

        @core.stage(asc.AIV)
        def with_near() -> None:
            near(x)

        @core.stage(asc.AIV)
        def with_far() -> None:
            far(x)

        stage = with_near if helper == "near" else with_far
        for value in (1.0, 1.0, 2.0):
            monkeypatch.setitem(globals(), name, value)
            stage()

    program = asc.build(kernel, NoParameters(), chip(), blocks=1)
    scalars = [getattr(one, "scalar") for _, one in program.streams[0] if one.mnemonic == "adds"]  # noqa: B009

    assert scalars == [1.0, 1.0, 2.0]
    assert len({call.template for call in program.streams[0].calls if call.template.name == f"with_{helper}"}) == 2


def test_each_of_two_stages_sees_what_changes_in_a_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    """A helper that is known from one stage is watched for another one, too."""

    @asc.kernel(cores="vector", parameters=NoParameters, tensors=lambda gm, _: None, flops=lambda _: 0)
    def kernel(core: asc.Core, gm: asc.GlobalMemory, _: NoParameters) -> None:
        x = core.tensor("x", Space.UB, 64, asc.fp32)

        @core.stage(asc.AIV)
        def one() -> None:
            near(x)

        @core.stage(asc.AIV)
        def other() -> None:
            near(x)

        for value in (1.0, 2.0):
            monkeypatch.setitem(globals(), "STEP", value)
            one()
            other()

    program = asc.build(kernel, NoParameters(), chip(), blocks=1)

    assert [getattr(one, "scalar") for _, one in program.streams[0] if one.mnemonic == "adds"] == [1.0, 1.0, 2.0, 2.0]  # noqa: B009


class Adder:
    """A stage of an object, which adds its step."""

    def __init__(self, x: asc.LocalTensor) -> None:
        self.x, self.step = x, 1.0

    def add(self) -> None:
        """Add the step, and one more for whoever is in a hurry."""
        asc.adds(self.x, self.x, self.step + getattr(self, "hurry", 0.0))

    def add_by_default(self) -> None:
        """Add what the defaults of the helper say."""
        with_default(self.x)


def steps_of(change: Callable[[Adder, Callable[[float], None]], None], name: str) -> list[float]:
    """What the stage called *name* adds in two calls, before and after *change*."""

    @asc.kernel(cores="vector", parameters=NoParameters, tensors=lambda gm, _: None, flops=lambda _: 0)
    def kernel(core: asc.Core, gm: asc.GlobalMemory, _: NoParameters) -> None:
        x, step = core.tensor("x", Space.UB, 64, asc.fp32), 1.0
        adder = Adder(x)

        def assign(value: float) -> None:
            nonlocal step
            step = value

        @core.stage(asc.AIV)
        def closing_over() -> None:
            asc.adds(x, x, step)

        stages = {"method": adder.add, "by default": adder.add_by_default}
        stage = closing_over if name == "closure" else core.stage(asc.AIV)(stages[name])
        stage()
        stage()
        change(adder, assign)
        stage()

    program = asc.build(kernel, NoParameters(), chip(), blocks=1)
    return [getattr(one, "scalar") for _, one in program.streams[0] if one.mnemonic == "adds"]  # noqa: B009


def test_a_changed_attribute_is_seen() -> None:
    """A stage that is a method is recorded anew once its object holds something else."""
    assert steps_of(lambda adder, _: setattr(adder, "step", 2.0), "method") == [1.0, 1.0, 2.0]


def test_a_new_attribute_is_seen() -> None:
    """The same if its object holds something more."""
    assert steps_of(lambda adder, _: setattr(adder, "hurry", 1.0), "method") == [1.0, 1.0, 2.0]


def test_a_variable_that_is_assigned_anew_is_seen() -> None:
    """A stage that is a function is recorded anew once a variable of the kernel has another value."""
    assert steps_of(lambda _, assign: assign(2.0), "closure") == [1.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("name", "value"), [("__defaults__", (2.0,)), ("__kwdefaults__", {"more": 1.0})], ids=["by place", "by name"]
)
def test_a_changed_default_of_a_helper_is_seen(
    name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage is recorded anew once a helper that it calls has another default."""
    assert steps_of(lambda *_: monkeypatch.setattr(with_default, name, value), "by default") == [1.0, 1.0, 2.0]
