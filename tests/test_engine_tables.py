"""The compiled engine's places in global memory: one for all sectors that every move takes together."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
from fuzzing import cases
from hypothesis import given
from hypothesis import strategies as st

from ascend_sim.engine import compiled as c
from ascend_sim.engine.tables import Tensors
from ascend_sim.isa.timing import GmAccess

SECTOR = 32
Touch: TypeAlias = tuple[GmAccess, tuple[int, ...]]


@st.composite
def touches(draw: Callable[[st.SearchStrategy[Any]], Any]) -> list[Touch]:
    """Windows of a matrix, as moves see them: mostly of rows in fours, some in one piece, a few irregular."""
    pitch = draw(st.sampled_from([32, 96, 128, 384, 512, 1000]))
    step = draw(st.sampled_from([1, 2, 4, 4, 12]))
    unit = draw(st.sampled_from([8, 32, 32, 64]))
    found: list[Touch] = []
    for _ in range(draw(st.integers(1, 6))):
        rows = step * draw(st.integers(1, 4))
        columns = draw(st.integers(0, max(pitch // unit - 1, 0))) * unit
        row_bytes = max(min(unit * draw(st.integers(1, 20)), pitch - columns), 1)
        begins = [pitch * step * draw(st.integers(0, 9)) for _ in range(draw(st.integers(1, 3)))]
        kind = draw(st.sampled_from(["window"] * 6 + ["whole rows"] * 3 + ["one row", "any", "shifted", "every other"]))
        if kind == "whole rows":
            access, columns = GmAccess(0, 0, 1, rows * pitch, rows * pitch), 0
        elif kind == "one row":
            access = GmAccess(0, 0, 1, row_bytes, row_bytes)
        elif kind == "shifted":  # each row of it ends in the next one of the matrix
            access, columns = GmAccess(0, 0, rows, pitch, pitch), unit
        elif kind == "every other":
            access = GmAccess(0, 0, rows, row_bytes, 2 * pitch)
        elif kind == "any":
            access = GmAccess(0, 0, rows, row_bytes, row_bytes + draw(st.integers(0, 100)))
        else:
            access = GmAccess(0, 0, rows, row_bytes, pitch)
        found.append((access, tuple(begin + columns for begin in begins)))
    return found


def sectors(access: GmAccess, begin: int) -> set[int]:
    """The sectors in which *access* at *begin* touches a byte."""
    pitch = access.pitch if access.rows > 1 else access.row_bytes
    starts = [begin + row * pitch for row in range(access.rows)]
    return {one for low in starts for one in range(low // SECTOR, -(-(low + access.row_bytes) // SECTOR))}


def places(record: tuple[int, ...], access: GmAccess, begin: int) -> set[int]:
    """The places that the engine gives to *access* at *begin*."""
    m = np.zeros(c.TENSOR_SIZE + c.MOVE_SIZE, dtype=np.int64)
    m[: c.TENSOR_SIZE] = record
    pitch = access.pitch if access.rows > 1 else access.row_bytes
    move, bits = c.TENSOR_SIZE, int(m[c.GRANULE_BITS])
    m[move + c.ROWS], m[move + c.ROW_BYTES], m[move + c.PITCH] = access.rows, access.row_bytes, pitch
    low = c._place_of(m, 0, begin)
    rows, row_bytes, pitch = c._extent(m, move, 0)
    starts = range(low, low + rows * pitch, pitch)
    return {one for at in starts for one in range(at >> bits, (at + row_bytes + (1 << bits) - 1) >> bits)}


@cases(300, 5000)
@given(touches())
def test_places_stand_for_sectors(moves: list[Touch]) -> None:
    """Any two moves have as many sectors in common as the places that they have in common stand for.

    So each place is a set of sectors that all moves take or leave as a whole, and no sector has two places.
    """
    size = max(begin + (one.rows - 1) * one.pitch + one.row_bytes for one, begins in moves for begin in begins)
    tensor = SimpleNamespace(address=0, bytes=size)
    tensors = Tensors(SimpleNamespace(tensors=[tensor], gm_bytes=size), SECTOR)  # type: ignore[arg-type]
    for access, begins in moves:
        tensors.touched(access, np.array(begins, dtype=np.int64))
    (record,) = tensors.records()
    found = [(sectors(one, begin), places(record, one, begin)) for one, begins in moves for begin in begins]

    for (some, at), (others, there) in itertools.product(found, found):
        assert len(some & others) == len(at & there) * record[c.GRANULE_SECTORS]
    assert max(max(at) for _, at in found) < tensors.places


def test_rows_that_move_together_have_one_place() -> None:
    """Tiles of 16 rows stored in one piece and read by 32 in halves of columns: 16 rows of 64 bytes are one place."""
    tensor = SimpleNamespace(address=0, bytes=128 * 64)
    tensors = Tensors(SimpleNamespace(tensors=[tensor], gm_bytes=tensor.bytes), SECTOR)  # type: ignore[arg-type]
    tensors.touched(GmAccess(0, 0, 1, 16 * 128, 16 * 128), np.array([0, 16 * 128, 48 * 128]))
    tensors.touched(GmAccess(0, 0, 32, 64, 128), np.array([0, 64, 32 * 128]))

    assert list(tensors.records()) == [(0, 6, 2 * 16, 0, 128, 16)]
    assert tensors.places == 4 * 2 + 1
