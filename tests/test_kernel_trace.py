"""What spares work while a kernel is traced must not spare a finding: forms of instructions, and plain windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tiny import NoParameters, chip

from ascend_sim import kernel as asc
from ascend_sim.errors import KernelError
from ascend_sim.isa.operands import Buffer, GlobalTensor, LocalTensor
from ascend_sim.isa.source import SourceLine
from ascend_sim.isa.words import Space

Tiles = dict[str, LocalTensor]


def _traced(body: Callable[[Tiles], None]) -> asc.Program:
    """The program of a kernel that first adds `b` to `a`, 64 numbers of fp32, and then does *body*."""

    @asc.kernel(cores="vector", parameters=NoParameters, tensors=lambda gm, _: None, flops=lambda _: 0)
    def kernel(core: asc.Core, gm: asc.GlobalMemory, _: NoParameters) -> None:
        tiles = {name: core.tensor(name, Space.UB, 128, asc.fp32) for name in "ab"}
        asc.add(tiles["a"][:64], tiles["a"][:64], tiles["b"][:64])
        asc.adds(tiles["a"][:64], tiles["b"][:64], 1)
        body(tiles)

    return asc.build(kernel, NoParameters(), chip(), blocks=1)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (lambda t: asc.add(t["a"][4:68], t["a"][4:68], t["b"][4:68]), "not a multiple of 32 B"),
        (lambda t: asc.add(t["a"][:64], t["a"][8:72], t["b"][:64]), "overlap, the destination beginning 32 B before"),
        (lambda t: asc.add(t["a"][:64], t["a"][:64], t["b"][:56]), "must have the shape"),
        (lambda t: asc.adds(t["a"][:64], t["b"][:64], True), "scalar True is not a number"),
        (lambda t: asc.add(t["a"][:64], t["a"][:64], t["b"][:64].reinterpret(asc.int32)), "cast one of them first"),
    ],
)
def test_what_resembles_a_sound_instruction_is_checked(body: Callable[[Tiles], None], found: str) -> None:
    """A fault is found behind an instruction that differs in its place, its shape, a format or a scalar only."""
    with pytest.raises(KernelError, match=found):
        _traced(body)


def test_the_same_elsewhere_is_sound() -> None:
    """An instruction whose operands all lie 32 B further on breaks no rule either, and is recorded with its place."""
    program = _traced(lambda t: asc.add(t["a"][8:72], t["a"][8:72], t["b"][8:72]))
    adds: list[Any] = [one for _, one in program.streams[0] if one.mnemonic == "add"]
    assert [one.destination.address for one in adds] == [0, 32]


@pytest.mark.parametrize("number", [int, np.int64, np.int32])
def test_windows_are_equal_whatever_the_whole_numbers(number: type) -> None:
    """Slices by NumPy's whole numbers, or of fewer axes, give the windows that plain slices give, of plain numbers."""
    tensor = GlobalTensor("x", asc.fp16, (8, 32), 64, 100)
    tile = Buffer("y", Space.UB, 64, 1024, SourceLine("kernel.py", 1)).tile((8, 32), asc.fp16)
    rows, columns = slice(number(2), number(5)), slice(number(16), None)
    window, part = tensor[rows, columns], tile[rows, columns]
    assert window == GlobalTensor("x", asc.fp16, (3, 16), 64, 100 + (2 * 64 + 16) * 2)
    assert (part.origin, part.shape, part.address) == ((2, 16), (3, 16), 64 + (2 * 32 + 16) * 2)
    assert {type(one) for one in (*window.shape, window.offset, *part.origin, *part.shape)} == {int}
    assert tensor[rows] == tensor[rows, :]
    assert tile[rows] == tile[rows, :]
