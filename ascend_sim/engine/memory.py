"""The memory system of one die: L2 in front of HBM, shared by the moves of all cores.

A move first spends its head (the request travels), then its bytes flow at the least of what its path and its requests
allow and of its fair shares of L2 bandwidth (every byte) and HBM bandwidth (bytes that miss). A core has only so many
bytes from HBM under way: those flow at the path's miss rate, counted from the start of the move, so that the head
is hidden in a long one. An atomic add reads and writes L2.
Who asks for bytes that are already on their way from HBM waits for them, at no further cost to HBM.
Dirty sectors that leave the cache take HBM bandwidth with precedence over the fills that pushed them out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import simpy

from ascend_sim.config import Chip
from ascend_sim.engine.bandwidth import SCALE, Account, SharedBandwidth, Shares
from ascend_sim.engine.cache import L2Cache
from ascend_sim.isa.timing import Move, Traffic

_WRITE_BACK: Shares = (0, 0, 0, SCALE)
_HBM = 3
"""Position of HBM among the shared resources; before it come L2 reads, writes and both together."""


@dataclass(frozen=True)
class Limited:
    """Cycles of a move that shared bandwidth has cost it: what it would have saved with L2, with HBM, to itself.

    Waiting for bytes that another move already fetches from HBM counts for HBM. *tile* is what a FIXPIPE under
    unit_flag, once begun, waited for the MMADs of its tile. What lasts no longer than the least time of the move costs
    nothing, nor does sharing that lasts no longer than the tile.
    """

    l2: int
    hbm: int
    tile: int


@dataclass(frozen=True)
class MemoryStatistics:
    """Bytes on the buses of one die."""

    hbm_read_bytes: int
    hbm_write_bytes: int
    l2_read_bytes: int
    l2_write_bytes: int
    l2_hit_bytes: int


class DieMemory:
    """L2 and HBM of one die of *chip*, over *span* bytes of global memory."""

    def __init__(self, env: simpy.Environment, chip: Chip, span: int, accounted: bool = False) -> None:
        self._env = env
        self._cache = L2Cache(chip.l2.bytes.value, chip.l2.sector_bytes.value, span)
        self._miss_extra = chip.l2.miss_extra_cycles.value
        l2 = chip.l2.read_bytes_per_cycle, chip.l2.write_bytes_per_cycle, chip.l2.total_bytes_per_cycle
        rates = tuple(units(figure.value) for figure in l2)
        self._hbm, mixed = (units(chip.hbm_bytes_per_cycle(mixed=mixed)) for mixed in (False, True))
        self._waiting: dict[int, list[Callable[[int], None]]] = {}
        self._bandwidth = SharedBandwidth(env, (*rates, self._hbm), (*rates, mixed), accounted)

    def move(
        self, move: Move, base: int, start: int, weight: int, done: Callable[[int], None],
        account: Account | None = None,
    ) -> None:
        """Carry out *move* from cycle *start* on; call *done* with the cycle of its last byte, at that cycle.

        An *account* from `open_account` is filled by then; `limited` reads it.
        """
        arrival = simpy.Timeout(self._env, start + move.head - int(self._env.now))
        arrival.callbacks.append(lambda _: self._arrive(move, base, weight, done, account))

    @staticmethod
    def open_account() -> Account:
        """The account of a move: what it loses to each shared resource, and when its own bytes have arrived."""
        return [0] * (_HBM + 2)

    @staticmethod
    def limited(account: Account, done: int, least: int, tile: int) -> Limited:
        """What a move with *account* has lost whose last byte was *done* at that cycle.

        Its pipe is held until *least* in any case, and until *tile* (not before *least*) for the sake of its tile.
        """
        *of_l2, of_hbm, own = account
        l2, hbm = sum(of_l2) // SCALE, of_hbm // SCALE + done - own
        alone = done - l2 - hbm
        felt = max(done, tile) - max(alone, tile)
        if felt < l2 + hbm:
            hbm = hbm * felt // (l2 + hbm)
            l2 = felt - hbm
        return Limited(l2, hbm, max(alone, tile) - max(alone, least))

    def statistics(self) -> MemoryStatistics:
        """Bytes moved so far."""
        cache = self._cache.statistics()
        return MemoryStatistics(
            cache.missed_read_bytes, cache.written_back_bytes, cache.read_bytes, cache.write_bytes, cache.hit_bytes
        )

    def _arrive(
        self, move: Move, base: int, weight: int, done: Callable[[int], None], account: Account | None
    ) -> None:
        now = int(self._env.now)
        written_back = self._cache.evict(now)
        if written_back:
            self._bandwidth.start(written_back, self._hbm, _WRITE_BACK, 1, _ignore, reserved=True)
        access = move.access
        offset = base if access.parameter is not None else 0
        missed, fills = self._cache.access(access, offset, move.traffic, weight, now)
        cycles = move.flow_cycles(offset)
        if missed:
            cycles = max(cycles, missed / move.miss_bytes_per_cycle - move.head - self._miss_extra)
        limit = max(int(access.bytes * SCALE / cycles), 1)
        shares = (
            0 if move.traffic is Traffic.WRITE else SCALE,
            0 if move.traffic is Traffic.READ else SCALE,
            2 * SCALE if move.traffic is Traffic.ATOMIC else SCALE,
            SCALE * missed // access.bytes,
        )
        if fills:
            done = self._after(fills, done)
        if account is not None:
            done = _noted(account, done)
        if not missed:
            self._bandwidth.start(access.bytes, limit, shares, weight, done, account=account)
            return
        done = self._filling(self._cache.last_fill, done)
        late = simpy.Timeout(self._env, self._miss_extra)
        late.callbacks.append(
            lambda _: self._bandwidth.start(access.bytes, limit, shares, weight, done, account=account)
        )

    def _filling(self, fill: int, done: Callable[[int], None]) -> Callable[[int], None]:
        """Let those who found sectors of *fill* go on when its last byte has arrived."""

        def arrived(now: int) -> None:
            self._cache.filled(fill)
            done(now)
            for waiting in self._waiting.pop(fill, ()):
                waiting(now)

        return arrived

    def _after(self, fills: tuple[int, ...], done: Callable[[int], None]) -> Callable[[int], None]:
        """Call *done* when its own bytes and all of *fills* are there."""
        missing = len(fills) + 1

        def one_more(now: int) -> None:
            nonlocal missing
            missing -= 1
            if not missing:
                done(now)

        for fill in fills:
            self._waiting.setdefault(fill, []).append(one_more)
        return one_more


def _noted(account: Account, done: Callable[[int], None]) -> Callable[[int], None]:
    """*done*, after the cycle at which the move's own bytes have arrived has been put into *account*."""

    def noted(now: int) -> None:
        account[-1] = now
        done(now)

    return noted


def units(bytes_per_cycle: float) -> int:
    """A rate in the units in which the bandwidth of a die is shared out."""
    return int(bytes_per_cycle * SCALE)


def _ignore(_: int) -> None:
    """Nobody waits for a write-back."""
