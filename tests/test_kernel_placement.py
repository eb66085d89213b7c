"""Where buffers and tensors lie: addresses that a kernel chooses, what follows them, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tiny import Body, NoParameters, chip, line_of

from ascend_sim import kernel as asc
from ascend_sim.engine.functional import execute, generated_inputs
from ascend_sim.engine.machine import simulate_timing
from ascend_sim.errors import KernelError
from ascend_sim.kernel import Pipe, Space
from ascend_sim.kernel.build import Cores

Tensors = Callable[[asc.GlobalMemory, NoParameters], None]

HBM = 64 << 30
"""Bytes of memory of the tiny chip."""
UB = 192 << 10
"""Bytes of its UB."""


def small(gm: asc.GlobalMemory, _: NoParameters) -> None:
    """One input and one output."""
    gm.input("x", 256, asc.fp32)
    gm.output("y", 256, asc.fp32)


def build(body: Body, tensors: Tensors = small, cores: Cores = "vector", blocks: int = 1) -> asc.Program:
    """Trace *body*(core, gm) with *tensors* on *blocks* blocks."""

    def kernel(core: asc.Core, gm: asc.GlobalMemory, _: NoParameters) -> None:
        body(core, gm)

    declare = asc.kernel(cores=cores, parameters=NoParameters, tensors=tensors, flops=lambda _: 0)
    return asc.build(declare(kernel), NoParameters(), chip(), blocks)


def refused(body: Body, tensors: Tensors = small, cores: Cores = "vector", blocks: int = 1) -> list[str]:
    """The findings that tracing *body* ends with."""
    with pytest.raises(KernelError) as caught:
        build(body, tensors, cores, blocks)
    return [str(finding) for finding in caught.value.diagnostics]


def refused_tensors(tensors: Tensors) -> str:
    """The one finding that declaring *tensors* ends with."""
    (finding,) = refused(lambda core, gm: None, tensors)
    return finding


def place(function: Callable[..., object], text: str) -> str:
    """File and line where *function* says *text*, as errors give it."""
    return f"{__file__}:{line_of(function, text)}"


def offsets(body: Callable[[asc.Core], list[asc.Buffer]], cores: Cores = "vector") -> list[int]:
    """Byte offsets of the buffers that *body* reserves on the first core."""
    found: list[list[asc.Buffer]] = []
    build(lambda core, gm: found.append(body(core)), cores=cores)
    return [buffer.offset for buffer in found[0]]


# --- Buffers ---


def test_a_buffer_lies_where_the_kernel_says() -> None:
    """A placed buffer and a placed tensor begin at their address, whatever was reserved before them."""

    def body(core: asc.Core) -> list[asc.Buffer]:
        return [
            core.buffer("a", Space.UB, 100),
            core.buffer("b", Space.UB, 64, at=4096),
            core.tensor("c", Space.UB, 16, asc.fp32, at=128).buffer,
        ]

    assert offsets(body) == [0, 4096, 128]


def test_buffers_without_an_address_follow_the_highest_byte_in_use() -> None:
    """A gap before a placed buffer is left alone, and the next buffer begins on a multiple of 32 B behind it."""

    def body(core: asc.Core) -> list[asc.Buffer]:
        return [
            core.buffer("high", Space.UB, 100, at=1024),
            core.buffer("low", Space.UB, 32, at=0),
            core.buffer("next", Space.UB, 32),
        ]

    assert offsets(body) == [1024, 0, 1152]


def test_buffers_may_touch() -> None:
    """A buffer that ends where another one begins does not overlap it; the last byte of the space can be used."""

    def body(core: asc.Core) -> list[asc.Buffer]:
        return [
            core.buffer("middle", Space.UB, 64, at=64),
            core.buffer("before", Space.UB, 64, at=0),
            core.buffer("behind", Space.UB, 64, at=128),
            core.buffer("last", Space.UB, 64, at=UB - 64),
        ]

    assert offsets(body) == [64, 0, 128, UB - 64]


@pytest.mark.parametrize(
    ("space", "alignment"), [(Space.L1, 32), (Space.L0A, 512), (Space.L0B, 512), (Space.L0C, 64), (Space.UB, 32)]
)
def test_the_alignment_of_each_space(space: Space, alignment: int) -> None:
    """An address is refused unless it is a multiple of the alignment of its space; both neighbours are named."""
    cores: Cores = "vector" if space is Space.UB else "cube"

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        core.buffer("fits", space, 64, at=2 * alignment)
        core.buffer("b", space, 64, at=3 * alignment + 8)

    wrong = place(body, '"b"')
    assert refused(body, cores=cores) == [
        f"{wrong}: buffer 'b': at={3 * alignment + 8} is not a multiple of "
        f"{alignment} B, the alignment in {space.value}; the nearest addresses are {3 * alignment} and {4 * alignment}"
    ]


@pytest.mark.parametrize("at", [-32, 1.5, "64", True])
def test_an_address_is_a_whole_number(at: object) -> None:
    """Anything but a whole number of bytes from 0 on is refused."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        core.tensor("t", Space.UB, 16, asc.fp32, at=at)  # type: ignore[arg-type]

    (finding,) = refused(body)
    assert finding.endswith(f"buffer 't': at={at!r} is not a whole number of bytes from 0 on; use // to divide")


def test_overlapping_buffers_name_each_other() -> None:
    """Both byte ranges and both lines are given, and the first address behind the other buffer."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        core.buffer("a", Space.UB, 1000)
        core.buffer("b", Space.UB, 1024, at=512)

    a, b = place(body, '"a"'), place(body, '"b"')
    assert refused(body) == [
        f"{b}: buffer 'b' (bytes 512 to 1536, {b}) overlaps buffer 'a' (bytes 0 to 1000, {a}): place it at 1024 or "
        f"behind, or lay tiles of both over one buffer with buffer.tile(..., start=)"
    ]


def test_all_overlaps_are_reported() -> None:
    """Each buffer that lies on others is a finding, which names the one with the lowest address."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        core.buffer("high", Space.UB, 64, at=64)
        core.buffer("low", Space.UB, 64, at=0)
        core.buffer("over both", Space.UB, 128, at=0)
        core.buffer("over all", Space.UB, 64, at=96)

    first, second = refused(body)
    assert "buffer 'over both' (bytes 0 to 128, " in first
    assert " overlaps buffer 'low' (bytes 0 to 64, " in first
    assert "buffer 'over all' (bytes 96 to 160, " in second
    assert " overlaps buffer 'over both' (bytes 0 to 128, " in second


def test_spaces_do_not_overlap_each_other() -> None:
    """L0A and L0B have addresses of their own, and a buffer of the other kind of core holds no bytes."""

    def body(core: asc.Core) -> list[asc.Buffer]:
        return [
            core.buffer("a", Space.L0A, 512, at=0),
            core.buffer("b", Space.L0B, 512, at=0),
            core.buffer("u", Space.UB, 512, at=0),
            core.buffer("v", Space.UB, 512, at=0),
        ]

    assert offsets(body, "cube") == [0, 0, 0, 0]


# --- Capacity ---


def test_an_overflow_is_one_line_with_the_buffers_by_address() -> None:
    """The first buffer that does not fit is reported with who holds what; those behind it add no lines."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        core.buffer("top", Space.UB, 4096, at=UB - 4096)
        core.buffer("low", Space.UB, 4096, at=0)
        for number in range(30):
            core.buffer(f"b{number}", Space.UB, 4096)

    top, low, more = (place(body, text) for text in ('"top"', '"low"', 'f"b{'))
    assert refused(body) == [
        f"{more}: UB overflows at buffer 'b0': it needs bytes 196608 to 200704, the memory has 196608 B (in use: top "
        f"4096, low 4096, b0 4096); make tiles smaller or rings shallower; by address: 0 to 4096 low ({low}); "
        f"192512 to 196608 top ({top}); 196608 to 200704 b0 ({more})"
    ]


def test_each_space_overflows_for_itself() -> None:
    """L1 and L0C overflow on a cube core: one line each."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        for number in range(3):
            core.buffer(f"l1 {number}", Space.L1, 300 << 10)
            core.buffer(f"l0c {number}", Space.L0C, 100 << 10)

    first, second = refused(body, cores="cube")
    assert "L1 overflows at buffer 'l1 1'" in first
    assert "L0C overflows at buffer 'l0c 1'" in second


def test_cores_that_overflow_differently_are_one_line() -> None:
    """Each block reserves another size; the first one stands for its kind of core."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        core.buffer("b", Space.UB, UB + 32 * (core.index + 1))

    (finding,) = refused(body, blocks=4)
    assert f"it needs bytes 0 to {UB + 32}, " in finding


# --- Global memory ---


def addresses(tensors: Tensors) -> dict[str, int]:
    """The address of each tensor, in the order of the program."""
    return {tensor.name: tensor.address for tensor in build(lambda core, gm: None, tensors).tensors}


def test_a_tensor_lies_where_the_kernel_says() -> None:
    """Tensors are placed at multiples of 32 B; the next one without an address follows the highest byte, on a line."""

    def tensors(gm: asc.GlobalMemory, _: NoParameters) -> None:
        gm.input("x", 256, asc.fp32, at=8192)
        gm.output("y", 8, asc.fp32, at=4128)
        gm.workspace("w", 8, asc.fp32, at=4096)
        gm.workspace("v", 8, asc.fp32)

    assert list(addresses(tensors).items()) == [("w", 4096), ("y", 4128), ("x", 8192), ("v", 9216)]


def test_placed_tensors_keep_their_numbers() -> None:
    """Data declared out of order of address arrives in the right tensors: y = x + 1 while w lies between the two."""

    def tensors(gm: asc.GlobalMemory, _: NoParameters) -> None:
        gm.output("y", 64, asc.fp32, at=0)
        gm.input("x", 64, asc.fp32, at=2048)
        gm.workspace("w", 64, asc.fp32, at=1024)

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        tile = core.tensor("tile", Space.UB, 64, asc.fp32, at=512)
        asc.data_copy(tile, gm.x)
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
        asc.adds(tile, tile, 1.0)
        asc.set_flag(Pipe.V, Pipe.MTE3, 0)
        asc.wait_flag(Pipe.V, Pipe.MTE3, 0)
        asc.data_copy(gm.y, tile)

    program, on = build(body, tensors), chip()
    inputs = generated_inputs(program, 0, "normal", 1.0)
    outputs = execute(program, simulate_timing(program, on, symmetry=False), on, inputs)
    assert (outputs["y"] == inputs["x"] + 1).all()


def test_a_tensor_at_no_multiple_of_32_bytes() -> None:
    """The alignment and the nearest addresses are named."""

    def tensors(gm: asc.GlobalMemory, _: NoParameters) -> None:
        gm.input("x", 256, asc.fp32, at=1000)

    assert refused_tensors(tensors) == (
        f"{place(tensors, 'input')}: tensor 'x': at=1000 is not a multiple of 32 B, the alignment in GM; the nearest "
        f"addresses are 992 and 1024"
    )


def test_overlapping_tensors_name_each_other() -> None:
    """Both byte ranges and both lines are given."""

    def tensors(gm: asc.GlobalMemory, _: NoParameters) -> None:
        gm.input("x", 250, asc.fp32)
        gm.output("y", 256, asc.fp32, at=512)

    x, y = place(tensors, "input"), place(tensors, "output")
    assert refused_tensors(tensors) == (
        f"{y}: tensor 'y' (bytes 512 to 1536, {y}) overlaps tensor 'x' (bytes 0 to 1000, {x}): place it at 1024 or "
        f"behind, or leave out at= to have it behind all others"
    )


def test_a_tensor_beyond_the_memory() -> None:
    """The last tensor that fits is accepted; 32 B further it is refused, and so is one that follows it."""

    def last(gm: asc.GlobalMemory, _: NoParameters) -> None:
        gm.input("x", 8, asc.fp32, at=HBM - 32)

    def beyond(gm: asc.GlobalMemory, _: NoParameters) -> None:
        gm.input("x", 16, asc.fp32, at=HBM - 32)

    def behind(gm: asc.GlobalMemory, _: NoParameters) -> None:
        gm.input("x", 8, asc.fp32, at=HBM - 32)
        gm.output("y", 8, asc.fp32)

    assert addresses(last) == {"x": HBM - 32}
    assert refused_tensors(beyond) == (
        f"{place(beyond, 'input')}: tensor 'x' (bytes {HBM - 32} to {HBM + 32}) reaches beyond the {HBM} B of memory; "
        f"place it at {HBM - 64} or below"
    )
    assert refused_tensors(behind) == (
        f"{place(behind, 'output')}: tensor 'y' (bytes {HBM} to {HBM + 32}) reaches beyond the {HBM} B of memory; "
        f"place it at {HBM - 32} or below"
    )


# --- Event ids of rings ---


def test_a_flag_with_the_id_of_a_ring() -> None:
    """Both directions of a ring hold ids of their pair; other pairs, and ids behind the ring's, are free to use."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        core.ring("in", (Space.UB, 64, asc.fp32), fill=Pipe.MTE2, drain=Pipe.V)
        asc.set_flag(Pipe.MTE2, Pipe.V, 2)
        asc.wait_flag(Pipe.MTE2, Pipe.V, 2)
        asc.set_flag(Pipe.V, Pipe.MTE3, 0)
        asc.wait_flag(Pipe.V, Pipe.MTE3, 0)
        asc.set_flag(Pipe.V, Pipe.MTE2, 1)  # taken

    ring = place(body, "core.ring")
    assert refused(body) == [
        f"{place(body, '# taken')}: set_flag: event id 1 PIPE_V->PIPE_MTE2 belongs to ring 'in' ({ring}); ids 2..7 are "
        f"free: use one of them"
    ]


def test_a_ring_made_after_the_flags() -> None:
    """The ring takes ids that the kernel has used before it; ids of other flags of the pair are not called free."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        for number in (3, 0):
            asc.set_flag(Pipe.MTE2, Pipe.V, number)
            asc.wait_flag(Pipe.MTE2, Pipe.V, number)
        core.ring("in", (Space.UB, 64, asc.fp32), fill=Pipe.MTE2, drain=Pipe.V)

    set_, wait = refused(body)
    assert set_.startswith(f"{place(body, 'set_flag')}: set_flag: event id 0 PIPE_MTE2->PIPE_V belongs to ring 'in'")
    assert wait.startswith(f"{place(body, 'wait_flag')}: wait_flag: event id 0 PIPE_MTE2->PIPE_V belongs to ring 'in'")
    assert set_.endswith("; ids 2, 4, 5, 6, 7 are free: use one of them")


@pytest.mark.parametrize(
    ("buffers", "free"),
    [
        (7, "id 7 is free: use that one"),
        (8, "no id of these pipes is free: give the rings fewer buffers, or let a ring order them here too"),
    ],
)
def test_few_ids_are_left(buffers: int, free: str) -> None:
    """A ring of seven buffers leaves one id, a ring of eight none."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        core.ring("in", (Space.UB, 64, asc.fp32), buffers=buffers, fill=Pipe.MTE2, drain=Pipe.V)
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)

    (finding,) = refused(body)
    assert finding.endswith(f"; {free}")


def test_a_flag_in_a_stage_that_another_core_has_recorded() -> None:
    """Only the second block has the ring; the stage with the flag was recorded on the first one."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        @core.stage(asc.AIV)
        def flags() -> None:
            asc.set_flag(Pipe.MTE2, Pipe.V, 0)
            asc.wait_flag(Pipe.MTE2, Pipe.V, 0)

        flags()
        if core.index == 1:
            core.ring("in", (Space.UB, 64, asc.fp32), fill=Pipe.MTE2, drain=Pipe.V)

    assert build(body).streams
    set_, wait = refused(body, blocks=2)
    assert "set_flag: event id 0 PIPE_MTE2->PIPE_V belongs to ring 'in'" in set_
    assert "wait_flag: event id 0 PIPE_MTE2->PIPE_V belongs to ring 'in'" in wait
