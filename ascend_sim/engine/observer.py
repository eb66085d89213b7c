"""The interface through which progress bars and other listeners watch a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ascend_sim.engine.machine import Machine
    from ascend_sim.engine.memory import Limited


class Observer:
    """Listener with a hook for each kind of happening; override what you want to hear of."""

    def advanced(self, now: int, machine: Machine) -> None:
        """The clock of a die has reached *now* and all its cores have gone on as far as they can; die follows die.

        It is called with 0 before the cores of a die begin, and with their last result if all of them came to an end.
        """

    def moved(self, core: int, index: int, limited: Limited) -> None:
        """The move with *index* in the stream of simulated core number *core* is done; *limited* is what it lost."""


class Observers:
    """Calls only the hooks that some observer overrides."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._advanced = [o.advanced for o in observers if type(o).advanced is not Observer.advanced]
        self._moved = [o.moved for o in observers if type(o).moved is not Observer.moved]

    def advanced(self, now: int, machine: Machine) -> None:
        """Pass on to the observers that listen."""
        for hook in self._advanced:
            hook(now, machine)

    @property
    def watch_moves(self) -> bool:
        """Whether anybody listens to `moved`: what a move loses is only worked out then."""
        return bool(self._moved)

    def moved(self, core: int, index: int, limited: Limited) -> None:
        """Pass on to the observers that listen."""
        for hook in self._moved:
            hook(core, index, limited)
