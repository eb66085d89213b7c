"""The words of the machine: memory spaces, pipes, kinds of cores."""

from __future__ import annotations

from enum import Enum


class Word(Enum):
    """Base of the words: equal members are one object, so that the hash of an object, which calls no Python, does."""

    __hash__ = object.__hash__


class CoreKind(Word):
    """The two kinds of cores of the split-core generation."""

    AIC = "aic"
    AIV = "aiv"


class Space(Word):
    """A memory space. GM is shared by all cores of a die; every other one belongs to a single core."""

    GM = "GM"
    L1 = "L1"
    L0A = "L0A"
    L0B = "L0B"
    L0C = "L0C"
    UB = "UB"

    @property
    def core(self) -> CoreKind | None:
        """The kind of core that owns the space; None for GM."""
        if self is Space.GM:
            return None
        return CoreKind.AIV if self is Space.UB else CoreKind.AIC


class Pipe(Word):
    """An execution pipe of a core. ALL stands for every pipe of the core in a barrier."""

    S = "PIPE_S"
    MTE2 = "PIPE_MTE2"
    MTE1 = "PIPE_MTE1"
    M = "PIPE_M"
    V = "PIPE_V"
    MTE3 = "PIPE_MTE3"
    FIX = "PIPE_FIX"
    ALL = "PIPE_ALL"


PIPES_OF: dict[CoreKind, tuple[Pipe, ...]] = {
    CoreKind.AIC: (Pipe.S, Pipe.MTE2, Pipe.MTE1, Pipe.M, Pipe.FIX),
    CoreKind.AIV: (Pipe.S, Pipe.MTE2, Pipe.V, Pipe.MTE3),
}


class MemoryOrder(Word):
    """How the elements of a matrix lie in a memory space.

    A fractal is 512 B of 16 rows x 32 B (16x16 elements for the 4-byte accumulators of L0C). The first letter
    of the vendor's two-letter names is the order of the fractals, the second the order inside one.

    ND  row-major, no fractals
    NZ  fractals column by column, elements row-major: L1, and L0C (called zN there)
    ZZ  fractals row by row, elements row-major: the left operand in L0A
    ZN  fractals row by row, elements column-major: the right operand in L0B
    """

    ND = "ND"
    NZ = "NZ"
    ZZ = "ZZ"
    ZN = "ZN"
