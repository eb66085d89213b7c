"""Kernels of a few lines, written into files as a user would have them."""

from __future__ import annotations

from pathlib import Path

HEAD = '''from ascend_sim import kernel as asc
from ascend_sim.kernel import Pipe, Space


class Parameters(asc.Parameters):
    pass


def tensors(gm, p):
    gm.input("x", (256,), asc.fp32)
    gm.output("y", (256,), asc.fp32)


@asc.kernel(cores="vector", parameters=Parameters, tensors=tensors, flops=lambda p: 256)
def kernel(core, gm, p):
    """y = x + 1 on one core."""
'''

RIGHT = """\
u = core.tensor("u", Space.UB, 256, asc.fp32)
asc.data_copy(u, gm.x)
asc.set_flag(Pipe.MTE2, Pipe.V, 0)
asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
asc.adds(u, u, 1.0)
asc.set_flag(Pipe.V, Pipe.MTE3, 0)
asc.wait_flag(Pipe.V, Pipe.MTE3, 0)
asc.data_copy(gm.y, u)
"""
"""Load, add, store, with a flag at each step."""

WITHOUT_FLAG = "".join(line for line in RIGHT.splitlines(keepends=True) if "MTE2, Pipe.V" not in line)
"""The addition does not wait for the load."""

DEADLOCK = """\
asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
"""
SET_TWICE = """\
asc.set_flag(Pipe.MTE2, Pipe.V, 0)
asc.set_flag(Pipe.MTE2, Pipe.V, 0)
asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
"""
OVERFLOW = """\
u = core.tensor("u", Space.UB, 1 << 20, asc.fp32)
"""


def line_of(body: str, text: str) -> int:
    """The line of the program file in which *body* says *text* first."""
    return HEAD.count("\n") + 1 + next(n for n, line in enumerate(body.splitlines()) if text in line)


def write_run(folder: Path, body: str = RIGHT, reference: str | None = "return {'y': inputs['x'] + 1}") -> Path:
    """Write a kernel with *body*, its *reference* and a run file with data into *folder*; return the run file."""
    folder.mkdir(exist_ok=True)
    (folder / "kernel.py").write_text(HEAD + "".join(f"    {line}\n" for line in body.splitlines()), encoding="utf-8")
    if reference is not None:
        text = f"def reference(inputs, parameters):\n    {reference}\n"
        (folder / "kernel_reference.py").write_text(text, encoding="utf-8")
    run = folder / "run.yaml"
    text = "program: kernel.py\nchip: ascend910b3\nlaunch: {blocks: 1}\ndata: {enabled: true}\n"
    run.write_text(text, encoding="utf-8")
    return run
