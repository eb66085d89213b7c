"""Numbers that the moves without a program of their own carry: fractals straight from GM, and copies inside UB."""

from __future__ import annotations

import numpy as np
from tiny import NoParameters, chip

from ascend_sim import kernel as asc
from ascend_sim.engine.functional import execute
from ascend_sim.engine.machine import simulate_timing
from ascend_sim.kernel import Pipe, Space


def test_fractals_of_gm_become_the_operands_of_a_matrix_product() -> None:
    """Left and right operands that GM holds in the order of L0A and L0B give the product of the two matrices.

    In L0A, fractals of 16 x 16 lie row by row, each row-major; in L0B row by row, each column-major.
    """
    generator = np.random.default_rng(3)
    a, b = (generator.integers(-4, 5, shape).astype(np.float16) for shape in ((32, 48), (48, 64)))
    left = a.reshape(2, 16, 3, 16).transpose(0, 2, 1, 3).ravel()
    right = b.reshape(3, 16, 4, 16).transpose(0, 2, 3, 1).ravel()

    def tensors(gm: asc.GlobalMemory, _: NoParameters) -> None:
        gm.input("left", (left.size,), asc.fp16)
        gm.input("right", (right.size,), asc.fp16)
        gm.output("c", (32, 64), asc.fp32)

    @asc.kernel(cores="cube", parameters=NoParameters, tensors=tensors, flops=lambda _: 0)
    def product(core: asc.Core, gm: asc.GlobalMemory, _: NoParameters) -> None:
        left_l0 = core.tensor("left", Space.L0A, (32, 48), asc.fp16)
        right_l0 = core.tensor("right", Space.L0B, (48, 64), asc.fp16)
        c = core.tensor("c", Space.L0C, (32, 64), asc.fp32)
        asc.load_data(left_l0, gm.left)
        asc.load_data(right_l0, gm.right)
        asc.set_flag(Pipe.MTE2, Pipe.M, 0)
        asc.wait_flag(Pipe.MTE2, Pipe.M, 0)
        asc.mmad(c, left_l0, right_l0, init=True)
        asc.set_flag(Pipe.M, Pipe.FIX, 0)
        asc.wait_flag(Pipe.M, Pipe.FIX, 0)
        asc.fixpipe(gm.c, c)

    on = chip()
    program = asc.build(product, NoParameters(), on, 1)
    found = execute(program, simulate_timing(program, on), on, {"left": left, "right": right})

    assert np.array_equal(found["c"], a.astype(np.float32) @ b.astype(np.float32))


def test_a_window_of_ub_is_copied_to_another() -> None:
    """Columns 8 to 16 of eight rows come out where the copy puts them, and nowhere else."""

    def tensors(gm: asc.GlobalMemory, _: NoParameters) -> None:
        gm.input("x", (8, 32), asc.fp32)
        gm.output("y", (8, 32), asc.fp32)

    @asc.kernel(cores="vector", parameters=NoParameters, tensors=tensors, flops=lambda _: 0)
    def moved(core: asc.Core, gm: asc.GlobalMemory, _: NoParameters) -> None:
        x, y = (core.tensor(name, Space.UB, (8, 32), asc.fp32) for name in ("x", "y"))
        asc.data_copy(x, gm.x)
        asc.duplicate(y, 0.0)
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
        asc.data_copy(y[:, 16:24], x[:, 8:16])
        asc.set_flag(Pipe.V, Pipe.MTE3, 0)
        asc.wait_flag(Pipe.V, Pipe.MTE3, 0)
        asc.data_copy(gm.y, y)

    on = chip()
    program = asc.build(moved, NoParameters(), on, 1)
    x = np.arange(256, dtype=np.float32).reshape(8, 32)
    expected = np.zeros((8, 32), dtype=np.float32)
    expected[:, 16:24] = x[:, 8:16]

    assert np.array_equal(execute(program, simulate_timing(program, on), on, {"x": x})["y"], expected)
