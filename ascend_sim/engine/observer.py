"""The interface through which progress bars and other listeners watch a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ascend_sim.engine.machine import Machine


class Observer:
    """Listener with a hook for each kind of happening; override what you want to hear of."""

    def advanced(self, now: int, machine: Machine) -> None:
        """The clock of a die has reached *now* and all its cores have gone on as far as they can; die follows die.

        It is called with 0 before the cores of a die begin, and with their last result if all of them came to an end.
        """


class Observers:
    """Calls only the hooks that some observer overrides."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._advanced = [o.advanced for o in observers if type(o).advanced is not Observer.advanced]

    def advanced(self, now: int, machine: Machine) -> None:
        """Pass on to the observers that listen."""
        for hook in self._advanced:
            hook(now, machine)
