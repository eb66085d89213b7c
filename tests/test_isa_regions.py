from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ascend_sim.isa.operands import Buffer, GlobalTensor, LocalTensor
from ascend_sim.isa.regions import Region, region_of, uncovered
from ascend_sim.isa.source import SourceLine
from ascend_sim.isa.words import MemoryOrder, Space
from ascend_sim.numerics import DTYPES, bf16, fp16, fp32, int8

HERE = SourceLine("kernel.py", 1)


def bytes_of(region: Region) -> set[int]:
    """Every byte of *region*, one by one."""
    return {region.begin + run * region.pitch + byte for run in range(region.runs) for byte in range(region.length)}


@st.composite
def regions(draw: st.DrawFn) -> Region:
    """Regions of a few bytes, many of equal pitch."""
    length, begin = draw(st.integers(1, 8)), draw(st.integers(0, 40))
    pitch = draw(st.one_of(st.just(12), st.integers(length + 1, 20)))
    runs = draw(st.integers(1, 5)) if pitch > length else 1
    return Region(begin, runs, length, pitch if runs > 1 else length)


@given(regions(), regions())
def test_overlap_is_a_shared_byte(one: Region, other: Region) -> None:
    """Two regions overlap exactly if their sets of bytes meet: a race must be neither missed nor invented by "
    "arithmetic."""
    assert one.overlaps(other) == bool(bytes_of(one) & bytes_of(other))


@given(regions(), regions())
def test_what_covers_has_every_byte(one: Region, other: Region) -> None:
    """A region that is said to cover another has all its bytes, since the other's history is dropped then."""
    assert not one.covers(other) or bytes_of(other) <= bytes_of(one)


@given(regions(), st.lists(regions(), max_size=4))
def test_the_first_uncovered_byte(region: Region, others: list[Region]) -> None:
    """The first byte that nobody wrote is found whatever the pitches are."""
    missing = sorted(bytes_of(region).difference(*map(bytes_of, others)))

    assert uncovered(region, others) == (missing[0] if missing else None)


def test_a_region_covers_itself_and_a_part_of_it() -> None:
    """A buffer written whole supersedes what was written to its rows."""
    rows = Region(0, 4, 64, 256)

    assert rows.covers(rows)
    assert rows.covers(Region(256, 2, 32, 256))
    assert Region(0, 1, 1024, 1024).covers(rows)
    assert not rows.covers(Region(0, 1, 1024, 1024))


TILES = {
    Space.UB: (MemoryOrder.ND, (fp32, fp16, int8)),
    Space.L1: (MemoryOrder.NZ, (bf16, fp32, int8)),
    Space.L0A: (MemoryOrder.ZZ, (bf16, int8)),
    Space.L0B: (MemoryOrder.ZN, (bf16, int8)),
    Space.L0C: (MemoryOrder.NZ, (fp32,)),
}


@st.composite
def windows(draw: st.DrawFn) -> tuple[LocalTensor, bool]:
    """A window of a tile in any space, and whether it begins and ends on whole fractals."""
    space = draw(st.sampled_from(sorted(TILES, key=lambda one: one.value)))
    _, dtypes = TILES[space]
    dtype = draw(st.sampled_from(dtypes))
    whole = draw(st.booleans())
    unit = 64 if whole else 1
    tile = 64 * draw(st.integers(1, 2)), 64 * draw(st.integers(1, 2))
    tensor = Buffer("b", space, 512, 1 << 16, HERE).tile(tile, dtype)

    def edges(extent: int) -> tuple[int, int]:
        first, last = sorted(draw(st.lists(st.integers(0, extent // unit), min_size=2, max_size=2, unique=True)))
        return unit * first, unit * last

    (top, bottom), (left, right) = edges(tile[0]), edges(tile[1])
    return tensor[top:bottom, left:right], whole


@settings(deadline=None)
@given(windows())
def test_a_local_region_has_the_bytes_that_a_write_changes(window: tuple[LocalTensor, bool]) -> None:
    """The region of a window is what writing it touches: exactly on whole fractals and in UB, at least that "
    "elsewhere."""
    tensor, whole = window
    memory = np.zeros(1 << 17, dtype=np.uint8)
    ones = np.full(tensor.shape, -1).astype(np.int8 if tensor.dtype == int8 else np.int32)
    values = ones if tensor.dtype == int8 else np.full(tensor.shape, np.nan, dtype=np.float32)
    tensor.write(memory, values.astype(tensor.dtype.numpy))
    changed = set(np.flatnonzero(memory).tolist())
    region = bytes_of(region_of(tensor))

    # A NaN has zero bytes in some formats, so a whole element is found by its last byte.
    size = tensor.dtype.bytes
    elements = {byte // size for byte in changed}
    assert elements <= {byte // size for byte in region}
    if whole or tensor.order is MemoryOrder.ND:
        assert elements == {byte // size for byte in region}


def test_a_global_region_counts_from_the_base_of_its_call() -> None:
    """A window with gaps is rows of its pitch behind the base address; without gaps it is one run."""
    window = GlobalTensor("x", DTYPES["fp32"], (4, 8), 32, 64, parameter=0)
    gapless = GlobalTensor("x", DTYPES["fp32"], (4, 8), 8, 64, parameter=0)

    assert region_of(window, 1000) == Region(1064, 4, 32, 128)
    assert region_of(gapless, 1000) == Region(1064, 1, 128, 128)
