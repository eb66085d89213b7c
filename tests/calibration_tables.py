"""Made-up tables of measurements, and what follows from them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest

from ascend_sim.calibration.fit import calibrate
from ascend_sim.config import load_chip
from ascend_sim.errors import ArgumentError, Diagnostic
from ascend_sim.validation.data import (
    Experiment,
    Movement,
    Role,
    Row,
)

CHIP = "ascend910b1"
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
HOLDS = {"gm_to_l1": 512, "gm_to_l0a": 64}
"""KiB that buffers other than UB and L0C hold."""
LINE = itertools.count(2)


def row(experiment: Experiment, measured: float, role: Role = Role.CALIBRATION) -> Row:
    """A measurement in a made-up table."""
    place = Diagnostic("", "mine.csv", next(LINE))
    return Row(place, "ours", "ours", "ours", measured, "cycles", role, "our board", "", experiment)


def moves(
    path: str, law: Callable[[int], float], sizes: Sequence[int] = SIZES, data: str = "l2", cores: int = 1
) -> list[Row]:
    """Moves along *path* that take what *law* says of their bytes."""
    data = data if "gm" in path else "core"
    most = HOLDS.get(path, 128)
    return [row(Movement(path, kib, CHIP, cores, data), law(kib * 1024)) for kib in sizes if kib <= most]


def warm() -> list[Row]:
    """Moves that find their data in L2: a head of 200 cycles and 125 bytes in each."""
    return moves("gm_to_ub", lambda size: 200 + size / 125)


def fitted(rows: Sequence[Row], chip: str = CHIP) -> dict[str, float]:
    """The figures that follow from *rows*."""
    return {one.key: one.after for one in calibrate(load_chip(chip), rows).figures}


def refusal(rows: Sequence[Row]) -> str:
    """Why nothing follows from *rows*."""
    with pytest.raises(ArgumentError) as raised:
        calibrate(load_chip(CHIP), rows)
    return str(raised.value)
