"""A stage is recorded once for equal recipes: whatever it reads must be part of its recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ascend_sim import kernel as asc
from ascend_sim.config import load_chip
from ascend_sim.engine.functional import execute
from ascend_sim.engine.machine import simulate_timing
from ascend_sim.errors import KernelError
from ascend_sim.kernel import AIV, Pipe, Space

CHIP = load_chip("ascend910b3")
FACTORS = [1.0]
FACTOR = 1.0


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
