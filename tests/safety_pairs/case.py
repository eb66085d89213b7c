"""One pair: a kernel that is right, its twin with one deliberate mistake, and what `check` says about the twin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent, indent

from wrong_inputs.case import Case

from ascend_sim.check.finding import Kind

HINTS: tuple[Kind, ...] = (
    "barrier", "redundant-flag", "atomic-order", "small-transfer", "misaligned-transfer", "single-buffer",
    "bank-conflict",
)  # fmt: skip
"""Kinds that make a program slow, not wrong."""

VECTOR = """\
gm.input("v", (8192,), fp32)
gm.output("z", (8192,), fp32)
"""
CUBE = """\
gm.input("a", (64, 64), fp16)
gm.input("b", (64, 64), fp16)
gm.output("c", (64, 64), fp32)
"""
MIX = """\
gm.input("a", (64, 64), fp16)
gm.input("b", (64, 64), fp16)
gm.workspace("w", (64, 64), fp32)
gm.output("y", (64, 64), fp32)
"""
MATRICES = """
left = core.tensor("left", Space.L1, (64, 64), fp16)
right = core.tensor("right", Space.L1, (64, 64), fp16)
l0a = core.tensor("l0a", Space.L0A, (64, 64), fp16)
l0b = core.tensor("l0b", Space.L0B, (64, 64), fp16)
l0c = core.tensor("l0c", Space.L0C, (64, 64), fp32)
"""
IN_L0 = (
    MATRICES
    + """
asc.data_copy(left, gm.a)
asc.data_copy(right, gm.b)
order(Pipe.MTE2, Pipe.MTE1)
asc.load_data(l0a, left)
asc.load_data(l0b, right)
order(Pipe.MTE1, Pipe.M)
"""
)
"""Both operands in L0, and a tile of L0C."""
HANDED_OVER = IN_L0.replace(
    'core.tensor("l0c", Space.L0C, (64, 64), fp32)',
    'core.buffer("l0c", Space.L0C, 16384, unit_flag=True).tile((64, 64), fp32)',
)
"""The same with a tile that mmad and fixpipe hand over by unit_flag."""
PROGRAM = """\
from __future__ import annotations

from ascend_sim import kernel as asc
from ascend_sim.kernel import AIC, AIV, Pipe, RoundMode, Space, bf16, fp16, fp32, int32


class Parameters(asc.Parameters):
    pass


def tensors(gm, p):
    {tensors}


def order(source, destination, event=0):
    asc.set_flag(source, destination, event)
    asc.wait_flag(source, destination, event)


@asc.kernel(cores="{cores}", parameters=Parameters, tensors=tensors, flops=lambda p: 0, auto_barrier={auto_barrier})
def example(core, gm, p):
    {body}
"""
REFERENCE = """\
import numpy as np


def reference(inputs, p):
    return {outputs}
"""


@dataclass(frozen=True)
class Pair:
    """A right kernel and its twin in one text: lines behind "- " are those of the right kernel alone, lines behind
    "+ " those of its twin alone.

    *says* is what `check` reports of the twin, line by line, as in `Case`: stderr for a mistake, and for a hint the
    lines with the tag of its *kind*. *tensors* may hold marked lines as well. With *outputs*, an expression in *inputs*
    (float64 arrays by name), the right kernel computes and is compared with it; with *data* the twin computes as well.
    *changes* says that the twin computes other bits in some order of events, *hidden* that its numbers are right in the
    order that the model's times give.
    """

    name: str
    kind: Kind
    body: str
    says: tuple[str, ...]
    cores: str = "vector"
    tensors: str = VECTOR
    outputs: str | None = None
    data: bool = False
    changes: bool = False
    hidden: bool = False
    blocks: int = 1
    chip: str = "ascend910b2"
    auto_barrier: bool = True

    @property
    def is_hint(self) -> bool:
        """Whether the twin is slow, not wrong."""
        return self.kind in HINTS

    def right(self) -> Case:
        """The kernel without the mistake, of which `check` reports nothing."""
        return self._case((), self._text("- ", "+ "), 0, self.outputs is not None)

    def twin(self) -> Case:
        """The kernel with the mistake."""
        return self._case(self.says, self._text("+ ", "- "), 0 if self.is_hint else 3, self.data)

    def changed(self) -> list[tuple[str, str]]:
        """The marked lines in order: mark ("-" or "+") and code."""
        lines = [line.strip() for line in f"{self.tensors}\n{self.body}".splitlines()]
        return [(line[0], line[2:]) for line in lines if line.startswith(("- ", "+ "))]

    def _text(self, own: str, other: str) -> str:
        parts = {"tensors": self.tensors, "body": self.body}
        chosen = {
            name: indent("\n".join(_chosen(dedent(text).strip("\n"), own, other)), "    ").lstrip()
            for name, text in parts.items()
        }
        return PROGRAM.format(cores=self.cores, auto_barrier=self.auto_barrier, **chosen)

    def _case(self, says: tuple[str, ...], text: str, code: int, data: bool) -> Case:
        launch = f"program: ./kernel.py\nchip: {self.chip}\nlaunch: {{blocks: {self.blocks}}}\n"
        files = {"run.yaml": launch, "kernel.py": text}
        if self.outputs is not None:
            files["kernel_reference.py"] = REFERENCE.format(outputs=self.outputs)
        return Case(self.name, says, files, f"check run.yaml {'--data' if data else '--no-data'}", code)


def _chosen(text: str, own: str, other: str) -> Iterator[str]:
    """The lines of *text*, those marked with *own* without their mark, those marked with *other* left out."""
    for line in text.splitlines():
        code = line.lstrip()
        if code.startswith(own):
            yield line[: len(line) - len(code)] + code[len(own) :]
        elif not code.startswith(other):
            yield line
