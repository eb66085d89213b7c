"""A stage is recorded once for equal recipes: whatever it reads must be part of its recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tiny import NoParameters, chip

from ascend_sim import kernel as asc
from ascend_sim.config import load_chip
from ascend_sim.engine.functional import execute
from ascend_sim.engine.machine import simulate_timing
from ascend_sim.errors import KernelError
from ascend_sim.kernel import AIV, Pipe, Program, Space, recipe

CHIP = load_chip("ascend910b3")
FACTORS = [1.0]
FACTOR = 1.0
STEP, FAR_STEP = 1.0, 1.0


class Scale(asc.Parameters):
    """A frozen model that a stage may read."""

    value: float


def scaled(stage: Callable[[asc.Core, asc.LocalTensor, int], Callable[..., None]]) -> list[float]:
    """What three calls of the stage that *stage* makes multiply ones with, one block of 64 a call."""

    def tensors(gm: asc.GlobalMemory, p: Any) -> None:
        gm.input("x", (192,), asc.fp32)
        gm.output("y", (192,), asc.fp32)

    @asc.kernel(cores="vector", parameters=asc.Parameters, tensors=tensors, flops=lambda p: 192)
    def kernel(core: asc.Core, gm: asc.GlobalMemory, p: Any) -> None:
        tile = core.tensor("tile", Space.UB, 64, asc.fp32)
        for turn in range(3):
            window = slice(64 * turn, 64 * turn + 64)
            asc.data_copy(tile, gm.x[window])
            asc.set_flag(Pipe.MTE2, Pipe.V, 0)
            asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
            core.stage(AIV)(stage(core, tile, turn))()
            asc.set_flag(Pipe.V, Pipe.MTE3, 0)
            asc.wait_flag(Pipe.V, Pipe.MTE3, 0)
            asc.data_copy(gm.y[window], tile)
            asc.pipe_barrier(Pipe.ALL)

    program = asc.build(kernel, asc.Parameters(), CHIP, blocks=1)
    schedule = simulate_timing(program, CHIP, symmetry=False)
    values = execute(program, schedule, CHIP, {"x": np.ones(192, np.float32)})["y"]
    return [float(values[64 * turn]) for turn in range(3)]


def test_a_keyword_only_default_is_part_of_the_recipe() -> None:
    """Three stages that differ in a keyword-only default only are three recordings."""

    def make(core: asc.Core, tile: asc.LocalTensor, turn: int) -> Callable[..., None]:
        def stage(*, factor: float = float(turn + 2)) -> None:
            asc.muls(tile, tile, factor)

        return stage

    assert scaled(make) == [2.0, 3.0, 4.0]


def test_a_global_is_part_of_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number or a table of the module that changes between calls is seen."""

    def make(core: asc.Core, tile: asc.LocalTensor, turn: int) -> Callable[..., None]:
        monkeypatch.setattr(f"{__name__}.FACTOR", float(turn + 2))
        FACTORS[0] = float(turn + 2)

        def stage() -> None:
            asc.muls(tile, tile, FACTOR * FACTORS[0])

        return stage

    assert scaled(make) == [4.0, 9.0, 16.0]


def test_a_model_that_is_replaced_is_seen() -> None:
    """An attribute that is assigned anew counts, even if the new model lies where the old one lay in memory."""

    class Holder:
        def __init__(self, tile: asc.LocalTensor) -> None:
            self.tile = tile
            self.scale = Scale(value=0.0)

        def stage(self) -> None:
            asc.muls(self.tile, self.tile, self.scale.value)

    holders: list[Holder] = []

    def make(core: asc.Core, tile: asc.LocalTensor, turn: int) -> Callable[..., None]:
        if not holders:
            holders.append(Holder(tile))
        holders[0].scale = Scale(value=float(turn + 2))
        return holders[0].stage

    assert scaled(make) == [2.0, 3.0, 4.0]


def test_a_list_in_a_closure_is_refused() -> None:
    """A list that a stage closes over could change unseen."""

    def make(core: asc.Core, tile: asc.LocalTensor, turn: int) -> Callable[..., None]:
        factors = [2.0]

        def stage() -> None:
            asc.muls(tile, tile, factors[0])

        return stage

    with pytest.raises(KernelError, match=r"stage 'stage' uses 'factors', a list of the kernel"):
        scaled(make)


def test_a_tile_begins_inside_its_buffer() -> None:
    """A negative or broken start would reach into the neighbouring buffer."""

    def make(core: asc.Core, tile: asc.LocalTensor, turn: int) -> Callable[..., None]:
        tile.buffer.tile(8, asc.fp32, start=-32)
        return lambda: None

    with pytest.raises(KernelError, match=r"tile of 'tile': start -32 is not a whole number of bytes from 0 on"):
        scaled(make)


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


def program_of(calls: Callable[[asc.Core, asc.LocalTensor], None]) -> Program:
    """The program of a kernel that makes stages of functions that add to a tensor, and calls them."""

    @asc.kernel(cores="vector", parameters=NoParameters, tensors=lambda gm, _: None, flops=lambda _: 0)
    def kernel(core: asc.Core, gm: asc.GlobalMemory, _: NoParameters) -> None:
        calls(core, core.tensor("x", Space.UB, 64, asc.fp32))

    return asc.build(kernel, NoParameters(), chip(), blocks=1)


def added(program: Program) -> list[float]:
    """What *program* adds, one after the other."""
    return [getattr(one, "scalar") for _, one in program.streams[0] if one.mnemonic == "adds"]  # noqa: B009


@pytest.mark.parametrize(("helper", "name"), [(near, "STEP"), (far, "FAR_STEP")], ids=["near", "far"])
def test_a_changed_constant_of_a_helper_is_seen(
    helper: Callable[[asc.LocalTensor], None], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Called again unchanged the recording serves again; with another constant in the helper's module it does not."""

    def calls(core: asc.Core, x: asc.LocalTensor) -> None:
        @core.stage(asc.AIV)
        def stage() -> None:
            helper(x)

        for value in (1.0, 1.0, 2.0):
            monkeypatch.setitem(globals(), name, value)
            stage()

    program = program_of(calls)

    assert added(program) == [1.0, 1.0, 2.0]
    assert len({call.template for call in program.streams[0].calls if call.template.name == "stage"}) == 2


def test_each_of_two_stages_sees_what_changes_in_a_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    """A helper that is known from one stage is watched for another one, too."""

    def calls(core: asc.Core, x: asc.LocalTensor) -> None:
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

    assert added(program_of(calls)) == [1.0, 1.0, 2.0, 2.0]


def test_stages_that_are_defined_in_a_loop() -> None:
    """More stages than are watched: each is still recorded with what it closes over."""
    steps = [float(step) for step in range(3 * recipe._MOST_STAGES)]

    def calls(core: asc.Core, x: asc.LocalTensor) -> None:
        for step in steps:

            @core.stage(asc.AIV)
            def stage(step: float = step) -> None:
                asc.adds(x, x, step)

            stage()

    assert added(program_of(calls)) == steps


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

    def calls(core: asc.Core, x: asc.LocalTensor) -> None:
        adder, step = Adder(x), 1.0

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

    return added(program_of(calls))


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
