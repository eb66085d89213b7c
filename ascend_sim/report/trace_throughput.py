"""The throughput counters of a trace: bytes between global memory and the drawn cores, over time.

The bytes of a move are spread evenly over the time for which it holds its pipe. A counter holds, for each bin of equal
width, the bytes that fall into it over its width; so the sum over all bins is the bytes of all moves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ascend_sim.observe.facts import MOVE, PIPES, TemplateFacts
from ascend_sim.observe.timeline import CoreTimeline

PROCESS = "MTE Throughput"
"""The vendor's name of the process that the counters belong to."""

_READ, _WRITTEN = "GM_TO_TOTAL", "TOTAL_TO_GM"
_PATHS = {
    "MOV_OUT_TO_L1": ("GM_TO_L1", _READ), "MOV_OUT_TO_UB": ("GM_TO_UB", _READ), "LOAD_OUT_TO": (None, _READ),
    "FIX_L0C_TO_OUT": ("L0C_TO_GM", _WRITTEN), "MOV_UB_TO_OUT": ("UB_TO_GM", _WRITTEN),
}  # fmt: skip
"""The counters that a move belongs to, by the beginning of its spelling. The vendor's L1_TO_GM is an estimate; what
leaves a cube core comes from L0C."""
COUNTERS = ("GM_TO_L1", "GM_TO_UB", _READ, "L0C_TO_GM", "UB_TO_GM", _WRITTEN)

_MOST_BINS = 2000
_LEAST_NS = 100
"""A narrower bin would show single requests of a move, which is not spread like that."""


class Throughput:
    """The counters of the cores that are added, between *begin* and *end* in ns."""

    def __init__(self, begin: float, end: float, cycle_ns: float) -> None:
        self._cycle_ns = cycle_ns
        self._width = _bin_width(end - begin)
        bins = max(int(np.ceil((end - begin) / self._width)), 1)
        self._edges = begin + self._width * np.arange(bins + 1, dtype=np.float64)
        self._bytes = {counter: np.zeros(bins) for counter in COUNTERS}
        self._carried: dict[TemplateFacts, NDArray[np.int64]] = {}

    @property
    def bin_us(self) -> float:
        """Width of a bin in microseconds."""
        return self._width / 1e3

    def add(self, core: CoreTimeline) -> None:
        """Add the moves of *core*."""
        moves = np.flatnonzero(core.kinds == MOVE)
        if not moves.size:
            return
        paths, sizes = np.concatenate([self._of(facts) for facts in core.calls], axis=1)[:, moves]
        begins, ends = core.starts[moves] * self._cycle_ns, core.frees[moves] * self._cycle_ns
        pipes = core.pipes[moves]
        for pipe in range(len(PIPES)):
            for path, counters in enumerate(_PATHS.values()):
                chosen = (pipes == pipe) & (paths == path)
                if not chosen.any():
                    continue
                # A pipe moves one thing at a time: the bytes so far rise from each begin to its end, and only there.
                times = np.stack([begins[chosen], ends[chosen]], axis=1).ravel()
                total = np.concatenate([[0], np.cumsum(sizes[chosen])])
                so_far = np.stack([total[:-1], total[1:]], axis=1).ravel()
                fallen = np.diff(np.interp(self._edges, times, so_far))
                for counter in filter(None, counters):
                    self._bytes[counter] += fallen

    def events(self) -> Iterator[str]:
        """The events of the counters that are not always 0, a counter at a time."""
        pid = json.dumps(PROCESS)
        yield f'{{"ph":"M","name":"process_name","pid":{pid},"args":{{"name":{pid}}}}}'
        yield f'{{"ph":"M","name":"process_sort_index","pid":{pid},"args":{{"sort_index":0}}}}'
        times = (self._edges / 1e3).tolist()
        for counter, fallen in self._bytes.items():
            if fallen.any():
                rates = [*(fallen / self._width).tolist(), 0.0]  # a counter keeps its last value
                yield ",\n".join(
                    f'{{"ph":"C","name":"{counter}","pid":{pid},"ts":{time},"args":{{"GB/s":{rate}}}}}'
                    for time, rate in zip(times, rates, strict=True)
                )

    def _of(self, facts: TemplateFacts) -> NDArray[np.int64]:
        """For each instruction of a template its path, and its bytes."""
        found = self._carried.get(facts)
        if found is None:
            rows = [(_path(words.spelling), words.moved) for words in facts.words]
            found = self._carried[facts] = np.array(rows, dtype=np.int64).reshape(-1, 2).T
        return found


def _path(spelling: str) -> int:
    """The number of the path of a move, -1 for what moves nothing to or from global memory."""
    return next((number for number, name in enumerate(_PATHS) if spelling.startswith(name)), -1)


def _bin_width(span: float) -> int:
    """The least of 100, 200, 500, 1000 ... ns of which no more than so many bins fill *span* ns."""
    width = _LEAST_NS
    for factor in _factors():
        if span <= _MOST_BINS * width:
            break
        width = int(width * factor)
    return width


def _factors() -> Iterator[float]:
    while True:
        yield from (2, 2.5, 2)
