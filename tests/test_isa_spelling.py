"""The vendor's names of instructions, which traces and its own tools show."""

from __future__ import annotations

from collections.abc import Iterator

from tiny import build, chip, ub

from ascend_sim import kernel as asc
from ascend_sim.isa.instruction import Instruction
from ascend_sim.isa.vector_ops import VECTOR_OPS
from ascend_sim.kernel import MemoryOrder, Pipe, Space


def spelled(program: asc.Program) -> list[tuple[Instruction, str]]:
    """The instructions of the first core, each with its spelling."""
    return [(instruction, instruction.spelling) for _, instruction in program.streams[0]]


def cube(core: asc.Core, gm: asc.GlobalMemory) -> None:
    """Every instruction of a cube core."""
    tile = core.tensor("tile", Space.L1, (32, 32), asc.fp16)
    flat = core.buffer("flat", Space.L1, 2048).tile((32, 32), asc.fp16, MemoryOrder.ND)
    asc.data_copy(tile, gm.tile[0:32, 0:32])
    asc.data_copy(flat, gm.tile[0:32, 0:32])
    left = core.tensor("left", Space.L0A, (32, 32), asc.fp16)
    right = core.tensor("right", Space.L0B, (32, 32), asc.fp16)
    asc.load_data(left, gm.tile[0:4, 0:256])
    asc.load_data(right, gm.tile[0:4, 0:256])
    asc.load_data(left, tile)
    asc.load_data(right, tile, transpose=True)
    for name, dtype, sums in (
        ("h", asc.fp16, asc.fp32), ("b", asc.bf16, asc.fp32), ("f", asc.fp32, asc.fp32), ("i", asc.int8, asc.int32)
    ):  # fmt: skip
        a, b = core.tensor(f"a{name}", Space.L0A, (32, 32), dtype), core.tensor(f"b{name}", Space.L0B, (32, 32), dtype)
        asc.mmad(core.tensor(f"c{name}", Space.L0C, (32, 32), sums), a, b, init=True)
    asc.fixpipe(gm.result[0:32, 0:32], core.tensor("c", Space.L0C, (32, 32), asc.fp32))
    asc.set_flag(Pipe.M, Pipe.FIX, 0)
    asc.wait_flag(Pipe.M, Pipe.FIX, 0)
    asc.pipe_barrier(Pipe.MTE1)
    asc.cross_core_set_flag(0, Pipe.FIX)
    asc.cross_core_wait_flag(1)


def vector(core: asc.Core, gm: asc.GlobalMemory) -> None:
    """Every instruction of a vector core, moves with rows of whole blocks and without."""
    whole, part = ub(core, 64, "whole"), core.buffer("part", Space.UB, 256).tile((2, 24), asc.fp32)[:, 0:20]
    window = gm.x.reshape(256, 256)
    asc.data_copy(whole, gm.x[0:64])
    asc.data_copy(part, window[0:2, 0:20])
    asc.data_copy(gm.y[0:64], whole)
    asc.data_copy(gm.y[0:20], whole[0:20])
    asc.data_copy(gm.y[64:128], whole, atomic_add=True)
    asc.data_copy(ub(core, 64, "copy"), whole)
    asc.adds(whole, whole, 1.0)
    asc.pipe_barrier(Pipe.ALL)
    asc.set_flag(Pipe.MTE2, Pipe.V, 3)
    asc.wait_flag(Pipe.MTE2, Pipe.V, 3)


CUBE = [
    "MOV_OUT_TO_L1_MULTI_ND2NZ", "MOV_OUT_TO_L1", "LOAD_OUT_TO_L0A_2D", "LOAD_OUT_TO_L0B_2D", "LOAD_L1_TO_L0A_2D",
    "LOAD_L1_TO_L0B_2D", "MMAD f16_to_f32", "MMAD bf16_2_f32", "MMAD f32", "MMAD s8", "FIX_L0C_TO_OUT",
    "SET_FLAG.M.FIX", "WAIT_FLAG.M.FIX", "BAR.MTE1", "SET_CROSS_CORE.FIX", "WAIT_CROSS_CORE",
]  # fmt: skip
VECTOR = [
    "MOV_OUT_TO_UB", "MOV_OUT_TO_UB_ALIGN", "MOV_UB_TO_OUT", "MOV_UB_TO_OUT_ALIGN", "MOV_UB_TO_OUT", "MOV_UB_TO_UB",
    "VADDS", "BAR.ALL", "SET_FLAG.MTE2.V", "WAIT_FLAG.MTE2.V",
]  # fmt: skip


def leaves(kind: type[Instruction]) -> Iterator[type[Instruction]]:
    """The instruction classes below *kind* that a program can hold, without those that other tests declare."""
    if not kind.__subclasses__() and kind.__module__.startswith("ascend_sim.isa."):
        yield kind
    for child in kind.__subclasses__():
        yield from leaves(child)


def test_every_instruction_has_the_vendors_name() -> None:
    """Each class of instructions is spelled in upper case, formats apart, and as nothing in Ascend C is."""
    on = chip("paths.ub_to_ub.head_cycles=1")
    found = [*spelled(build(cube, on, "cube")), *spelled(build(vector, on))]

    assert [spelling for _, spelling in found] == [*CUBE, *VECTOR]
    kinds = tuple({type(instruction) for instruction, _ in found})
    assert all(issubclass(leaf, kinds) for leaf in leaves(Instruction))
    for instruction, spelling in found:
        assert spelling.split()[0].isupper()
        assert spelling != instruction.mnemonic


def test_every_vector_operation_has_the_vendors_name() -> None:
    """The names of the vendor's tables of costs, such as VADD, are those of its traces."""
    names = {name: operation.spelling for name, operation in VECTOR_OPS.items()}

    assert all(spelling.isupper() and spelling.startswith("V") for spelling in names.values())
    assert (names["add"], names["exp"], names["cast"], names["whole_reduce_max"]) == ("VADD", "VEXP", "VCONV", "VCMAX")
