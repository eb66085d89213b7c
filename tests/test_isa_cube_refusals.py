"""Matrix operands that the cube cannot take are refused, with what to write instead."""

from __future__ import annotations

from typing import Any

import pytest

from ascend_sim import kernel as asc
from ascend_sim.config import load_chip
from ascend_sim.errors import KernelError
from ascend_sim.kernel import MemoryOrder, Space

CHIP = load_chip("ascend910b3")


def build(body: Any) -> None:
    """Build a cube kernel of one block from *body*(core)."""

    @asc.kernel(
        cores="cube", parameters=asc.Parameters, tensors=lambda gm, p: None, flops=lambda p: 0
    )
    def kernel(core: asc.Core, gm: asc.GlobalMemory, p: Any) -> None:
        body(core)

    asc.build(kernel, asc.Parameters(), CHIP, blocks=1)


def test_an_operand_in_another_memory_order() -> None:
    """L0A holds ZZ fractals; a left operand laid out as ZN would be multiplied transposed on the chip."""

    def body(core: asc.Core) -> None:
        left = core.buffer("left", Space.L0A, 2048).tile((32, 32), asc.fp16, MemoryOrder.ZN)
        right = core.tensor("right", Space.L0B, (32, 32), asc.fp16)
        asc.mmad(core.tensor("c", Space.L0C, (32, 32), asc.fp32), left, right, init=True)

    with pytest.raises(KernelError, match=r"left 'left' is laid out as ZN; L0A holds ZZ fractals: leave the order out"):
        build(body)


def test_a_window_that_begins_inside_a_fractal() -> None:
    """An L0C window must begin on 16 x 16 elements."""

    def body(core: asc.Core) -> None:
        left = core.tensor("left", Space.L0A, (16, 16), asc.fp16)
        right = core.tensor("right", Space.L0B, (16, 16), asc.fp16)
        tile = core.tensor("c", Space.L0C, (64, 64), asc.fp32)
        asc.mmad(tile[3:19, 16:32], left, right, init=True)

    with pytest.raises(KernelError, match=r"destination 'c' begins at element \[3, 16\], inside a fractal of 16x16"):
        build(body)
