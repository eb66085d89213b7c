"""Listens to a run for what the schedule alone does not tell: what shared bandwidth and tiles cost each move."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from ascend_sim.engine.memory import Limited
from ascend_sim.engine.observer import Observer
from ascend_sim.observe.timeline import MoveLimits


class Recorder(Observer):
    """Collects what the moves of each simulated core lost to L2, to HBM and to the tiles that they drain."""

    def __init__(self) -> None:
        self._lost: defaultdict[int, list[tuple[int, int, int, int]]] = defaultdict(list)

    def moved(self, core: int, index: int, limited: Limited) -> None:
        """Keep what a move has lost, if anything."""
        if limited.l2 or limited.hbm or limited.tile:
            self._lost[core].append((index, limited.l2, limited.hbm, limited.tile))

    def limits(self, cores: int) -> list[MoveLimits]:
        """What the moves of *cores* simulated cores have lost, by core number."""
        found = []
        for number in range(cores):
            rows = np.array(sorted(self._lost[number]), dtype=np.int64).reshape(-1, 4)
            found.append(MoveLimits(*rows.T))
        return found
