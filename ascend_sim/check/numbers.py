"""Where numbers break: overflows to infinity, births of NaN, poison of unwritten memory, additions to exponents.

Looks on while a program is executed with data. An infinite or NaN value has an *origin*: the instruction that made it
out of finite numbers, or that read it from memory nobody had written. Origins are passed on from instruction to
instruction, so that a broken output is traced back to the first line. An origin that reaches no output is a hint:
masked rows and padding may hold anything.

What is approximated: an instruction passes on one origin, that of its first broken source; poison in integer formats
reads as -1 and is not noticed.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ascend_sim.check.finding import Finding, Kind
from ascend_sim.engine.functional import CoreMemory, Watch
from ascend_sim.isa.instruction import Instruction, Operand, name_of, space_of
from ascend_sim.isa.operands import GlobalTensor
from ascend_sim.isa.regions import Region, region_of
from ascend_sim.isa.source import SourceLine
from ascend_sim.isa.words import Space
from ascend_sim.kernel.program import CoreId, Program, TensorDeclaration
from ascend_sim.numerics import fp32, int32

_EXPONENT = 0x7F800000
"""Exponent bits of an fp32 number."""


@dataclass(eq=False)
class Origin:
    """What made numbers infinite or NaN for the first time, and at how many places."""

    kind: Kind
    message: str
    instruction: Instruction
    core: CoreId
    places: int = 1


@dataclass(frozen=True)
class _Source:
    """What an instruction read: whether it held NaN or infinities, and where those came from."""

    operand: Operand
    nan: bool
    infinite: bool
    largest: float
    origin: Origin | None


class NumberWatch(Watch):
    """Looks at every number that is read or written; `findings` has what came out."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._formats = {tensor.name: tensor.dtype for tensor in program.tensors}
        self._inputs = {tensor.name for tensor in program.tensors if tensor.role == "input"}
        self._pending: dict[tuple[int, int], deque[list[_Source]]] = defaultdict(deque)
        self._before: NDArray[np.int32] | None = None
        self._broken: dict[tuple[CoreId | None, Space], dict[Region, Origin]] = defaultdict(dict)
        self._origins: dict[object, Origin] = {}
        self._exponents: dict[object, Origin] = {}

    def reads(self, instruction: Instruction, memory: CoreMemory) -> None:
        sources = [self._look(one, memory) for one in instruction.sources() if one.dtype.is_float]
        self._pending[id(memory), id(instruction)].append(sources)

    def writes(self, instruction: Instruction, memory: CoreMemory) -> None:
        self._before = None
        if instruction.adds_to == int32:
            (destination,) = instruction.destinations()
            if self._formats.get(name_of(destination)) == fp32:
                self._before = memory.read(destination)

    def written(self, instruction: Instruction, memory: CoreMemory) -> None:
        sources = self._pending[id(memory), id(instruction)].popleft()
        for destination in instruction.destinations():
            if self._before is not None:
                self._exponent_add(instruction, memory, self._before, memory.read(destination))
            elif destination.dtype.is_float:
                self._result(instruction, memory, destination, sources)

    def _look(self, operand: Operand, memory: CoreMemory) -> _Source:
        values = memory.read(operand).astype(np.float32)
        finite = np.isfinite(values)
        if finite.all():
            return _Source(operand, False, False, 0.0, None)
        nan = bool(np.isnan(values).any())
        largest = float(np.max(np.abs(values), where=finite, initial=0.0))
        return _Source(operand, nan, bool(np.isinf(values).any()), largest, self._origin(operand, memory))

    def _origin(self, operand: Operand, memory: CoreMemory) -> Origin | None:
        region = region_of(operand, _base(operand, memory))
        known = self._broken[_where(operand, memory)]
        return next((known[one] for one in reversed(known) if one.overlaps(region)), None)

    def _result(
        self, instruction: Instruction, memory: CoreMemory, destination: Operand, sources: list[_Source]
    ) -> None:
        values = memory.read(destination).astype(np.float32)
        region, known = region_of(destination, _base(destination, memory)), self._broken[_where(destination, memory)]
        for one in [one for one in known if region.covers(one)]:
            del known[one]
        if np.isfinite(values).all():
            return
        nan = bool(np.isnan(values).any())
        origin = self._cause(instruction, memory.core, destination, sources, nan)
        if origin is not None:
            known[region] = origin

    def _cause(
        self, instruction: Instruction, core: CoreId, destination: Operand, sources: list[_Source], nan: bool
    ) -> Origin | None:
        """Where the broken numbers of *destination* come from."""
        broken = [one for one in sources if (one.nan if nan else one.infinite or one.nan)]
        if nan and not broken:
            # inf - inf and its like are a consequence of what made the infinity, unless that was meant.
            broken = [one for one in sources if one.infinite and one.origin is not None]
        if broken:
            source = broken[0]
            if source.origin is not None:
                return source.origin
            if name_of(source.operand) in self._inputs:
                return None
            if source.nan:
                return self._uninitialised(instruction, core, source.operand)
            return None
        scalar = getattr(instruction, "scalar", None)
        if scalar is not None and not np.isfinite(scalar) and not nan:
            return None
        return self._born(instruction, core, destination, sources, nan)

    def _uninitialised(self, instruction: Instruction, core: CoreId, operand: Operand) -> Origin:
        text = f"{instruction.mnemonic} reads {space_of(operand).value} '{name_of(operand)}', which nobody has written"
        return self._known("uninitialised", f"{text} (all of it, or in part): it holds poison (NaN); write it first",
                           instruction, core, operand)

    def _born(
        self, instruction: Instruction, core: CoreId, destination: Operand, sources: list[_Source], nan: bool
    ) -> Origin:
        where = f"{space_of(destination).value} '{name_of(destination)}' ({destination.dtype})"
        if nan:
            infinite = [name_of(one.operand) for one in sources if one.infinite]
            from_what = f"infinities in '{infinite[0]}'" if infinite else "finite numbers"
            message = (
                f"{instruction.mnemonic} makes NaN in {where} out of {from_what}; look for 0/0, inf - inf, 0 x inf, or "
                f"the root or logarithm of a negative number"
            )
            return self._known("not-a-number", message, instruction, core, destination)
        message = (
            f"{instruction.mnemonic} makes infinity in {where} out of finite numbers; scale before it (subtract the "
            f"maximum before an exponential, keep 0 out of quotients and logarithms), or keep the value in fp32"
        )
        return self._known("overflow", message, instruction, core, destination)

    def _known(
        self, kind: Kind, message: str, instruction: Instruction, core: CoreId, operand: Operand
    ) -> Origin:
        key = kind, instruction.where, name_of(operand)
        origin = self._origins.get(key)
        if origin is None:
            origin = self._origins[key] = Origin(kind, message, instruction, core, 0)
        origin.places += 1
        return origin

    def _exponent_add(
        self, instruction: Instruction, memory: CoreMemory, before: NDArray[np.int32], after: NDArray[np.int32]
    ) -> None:
        """Adding to the exponent of fp32 bits is a multiplication only from normal numbers to normal numbers."""
        (destination,) = instruction.destinations()
        old, new = before & _EXPONENT, after & _EXPONENT
        changed = before != after
        zero = changed & (old == 0)
        left = changed & (old != 0) & ((new == 0) | (new == _EXPONENT) | ((before ^ after) < 0))
        poison = changed & (old == _EXPONENT)
        for wrong, what in (
            (poison, "is no number"),
            (zero, "is zero or subnormal, whose exponent cannot be changed by an addition"),
            (left & ~poison, "would leave the range of fp32"),
        ):
            count = int(np.count_nonzero(wrong))
            if not count:
                continue
            first = int(np.flatnonzero(wrong.ravel())[0])
            was, becomes = (float(bits.ravel()[first : first + 1].view(np.float32)[0]) for bits in (before, after))
            key = instruction.where, what
            origin = self._exponents.get(key)
            if origin is None:
                message = (
                    f"atomic addition of int32 to fp32 numbers of GM '{name_of(destination)}': {was:.4g}, which is to "
                    f"be multiplied by a power of two, {what}, and becomes {becomes:.4g}; clip the exponent "
                    f"difference, and keep such numbers out"
                )
                origin = self._exponents[key] = Origin("exponent-add", message, instruction, memory.core, 0)
            origin.places += count

    def findings(self, outputs: Mapping[str, NDArray[Any]]) -> list[Finding]:
        """What broke, with the origins that reach *outputs* as errors."""
        reached: dict[Origin, list[str]] = defaultdict(list)
        for tensor, broken in self._broken_outputs(outputs):
            for origin in self._origins_of(tensor, broken):
                reached[origin].append(tensor.name)
        return [
            *(self._finding(one, reached.get(one, [])) for one in self._origins.values()),
            *(self._finding(one, ["the numbers that are rescaled"]) for one in self._exponents.values()),
        ]

    def unexplained(self, outputs: Mapping[str, NDArray[Any]], kernel: SourceLine) -> Iterator[Finding]:
        """Broken outputs without an origin, at the line of the *kernel*: most likely nobody has written them."""
        for tensor, broken in self._broken_outputs(outputs):
            if not self._origins_of(tensor, broken):
                yield _unknown(tensor.name, broken, kernel)

    def _broken_outputs(
        self, outputs: Mapping[str, NDArray[Any]]
    ) -> Iterator[tuple[TensorDeclaration, NDArray[np.bool_]]]:
        """Each output that holds NaN or infinities, and which of its elements do."""
        for tensor in self._program.tensors:
            values = outputs.get(tensor.name)
            if values is not None and tensor.dtype.is_float:
                broken = ~np.isfinite(values.astype(np.float32).ravel())
                if broken.any():
                    yield tensor, broken

    def _origins_of(self, tensor: TensorDeclaration, broken: NDArray[np.bool_]) -> list[Origin]:
        """The origins whose regions hold *broken* elements of *tensor*."""
        found: dict[Origin, None] = {}
        for region, origin in self._broken[None, Space.GM].items():
            for run in range(region.runs):
                begin = region.begin + run * region.pitch - tensor.address
                first, last = max(begin, 0) // tensor.dtype.bytes, (begin + region.length) // tensor.dtype.bytes
                if last > first and broken[first:last].any():
                    found[origin] = None
                    break
        return list(found)

    @staticmethod
    def _finding(origin: Origin, outputs: list[str]) -> Finding:
        message = origin.message
        if origin.kind != "exponent-add":
            names = ", ".join(f"'{name}'" for name in outputs)
            message += f"; it reaches output {names}" if outputs else "; it reaches no output here"
        message += f" (first on {origin.core})"
        return Finding(origin.kind, message, origin.instruction.where, bool(outputs), origin.places)


def _unknown(name: str, broken: NDArray[np.bool_], kernel: SourceLine) -> Finding:
    """An output with broken numbers that no instruction was seen to make: most likely nobody has written them."""
    first = int(np.flatnonzero(broken)[0])
    message = (
        f"output '{name}' holds {int(np.count_nonzero(broken)):,} values that are NaN or infinite, the first of them "
        f"element {first}, which no instruction was seen to break: write every element of it, and cast integers "
        f"instead of reinterpreting them"
    )
    return Finding("uninitialised", message, kernel)


def _where(operand: Operand, memory: CoreMemory) -> tuple[CoreId | None, Space]:
    space = space_of(operand)
    return (None if space is Space.GM else memory.core), space


def _base(operand: Operand, memory: CoreMemory) -> int:
    if isinstance(operand, GlobalTensor) and operand.parameter is not None:
        return memory.bases[operand.parameter]
    return 0
