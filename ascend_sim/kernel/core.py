"""The core that a kernel is written for: its buffers, its rings, its share of the work."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from numbers import Integral
from typing import ParamSpec, TypeVar

from ascend_sim.config import Chip
from ascend_sim.errors import Diagnostic, InternalError, KernelError
from ascend_sim.isa.operands import (
    DEFAULT_ORDER,
    Buffer,
    GlobalTensor,
    LocalTensor,
    expect_shape,
    padded,
    round_up,
)
from ascend_sim.isa.source import refusal, user_line
from ascend_sim.isa.sync import SetFlag, WaitFlag
from ascend_sim.isa.words import PIPES_OF, CoreKind, Pipe, Space
from ascend_sim.kernel.arguments import expect, expect_pipes, shown
from ascend_sim.kernel.placement import Reservation, by_address, expect_address, overlap_message
from ascend_sim.kernel.program import Call
from ascend_sim.kernel.recipe import Recipes
from ascend_sim.kernel.ring import EventIds, Ring, written_flags
from ascend_sim.kernel.trace import Tracer
from ascend_sim.numerics import DType

Arguments = ParamSpec("Arguments")
Item = TypeVar("Item")
Part = tuple[Space, int] | tuple[Space, tuple[int, ...] | int, DType]
"""A buffer in a ring: (space, bytes), or (space, shape, format) for a tensor laid over it."""

ALIGNMENT = {Space.L1: 32, Space.L0A: 512, Space.L0B: 512, Space.L0C: 64, Space.UB: 32}
"""Start alignment of buffers in bytes (Ascend C, TPosition alignment of A2)."""


def capacity(chip: Chip, space: Space) -> int:
    """Bytes of *space* on one core of *chip*."""
    buffers = chip.buffers
    return {
        Space.L1: buffers.l1_bytes, Space.L0A: buffers.l0a_bytes, Space.L0B: buffers.l0b_bytes,
        Space.L0C: buffers.l0c_bytes, Space.UB: buffers.ub_bytes,
    }[space].value


class Core:
    """One core while its kernel is traced.

    *index* of *count* is the block the core belongs to (a cube core with its vector cores, or a single core in a
    kernel for one kind); *sub* numbers the vector cores within the block, of which there are *subs*. Blocks
    0 to *die_blocks* - 1 are on the first die, and so on: dies share neither flags nor memory.
    """

    def __init__(self, tracer: Tracer, index: int, count: int, die_blocks: int, subs: int) -> None:
        self.index = index
        self.count = count
        self.die_blocks = die_blocks
        self.sub = tracer.core.sub
        self.subs = subs
        self.kind = tracer.core.kind
        self.is_cube = self.kind is CoreKind.AIC
        """Whether this is a cube core (AIC)."""
        self.is_vector = self.kind is CoreKind.AIV
        """Whether this is a vector core (AIV)."""
        self._tracer = tracer
        self._stages = tracer.recordings.stages[self.kind]
        self._recipes = Recipes(tracer.recordings.number)
        self._rings: list[Ring] = []
        self._buffers: dict[Space, list[Buffer]] = defaultdict(list)
        self._ends: dict[Space, int] = defaultdict(int)
        """The first byte of each space that is beyond all its buffers."""
        self._overflowing: set[Space] = set()
        self._event_ids = EventIds(tracer.chip.sync.event_ids.value)

    @property
    def recipe_key(self) -> tuple[int, int]:
        """A stage that asks the core who it is cannot be shared with other cores."""
        return self.index, self.sub

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Every *count*-th item, beginning with item *index*: the part of *items* that this block works on."""
        return items[self.index :: self.count]

    def buffer(
        self, name: str, space: Space, size: int, *, unit_flag: bool = False, at: int | None = None
    ) -> Buffer:
        """Reserve *size* bytes of *space*, from byte *at* of it on or, without, behind all that is reserved.

        A buffer of the other kind of core is not reserved: it may be named in the kernel, but not used. Collect a
        fault that names both buffers if it overlaps another one, and one that names every buffer of the space so far
        if the capacity does not suffice; of a space only the first buffer that does not fit is reported.
        Raise a KernelError if *at* is not aligned as the space demands.
        """
        where = user_line()
        _expect_space(f"buffer '{name}'", space)
        if not isinstance(size, (int, Integral)) or size < 1:
            raise refusal(f"buffer '{name}': size {size} is not a positive whole number of bytes; use // to divide")
        if at is None:
            offset = round_up(self._ends[space], ALIGNMENT[space])
        else:
            expect_address(f"buffer '{name}'", at, ALIGNMENT[space], space.value)
            offset = int(at)
        buffer = Buffer(name, space, offset, size, where, unit_flag)
        if space.core is not self.kind:
            return buffer
        self._expect_room(buffer)
        self._buffers[space].append(buffer)
        self._ends[space] = max(self._ends[space], offset + size)
        return buffer

    def _expect_room(self, buffer: Buffer) -> None:
        """Collect a fault if *buffer* overlaps one of those before it, or lies beyond its memory."""
        space, faults, limit = buffer.space, self._tracer.recordings, capacity(self._tracer.chip, buffer.space)
        if space in self._overflowing:
            return  # what comes behind the end has been reported with the first that reaches beyond it
        if self._ends[space] <= buffer.offset and buffer.offset + buffer.size <= limit:
            return
        used = self._buffers[space]
        new, held = _reservation(buffer), [_reservation(one) for one in used]
        other = new.overlapped(held)
        if other is not None:
            way_out = "or lay tiles of both over one buffer with buffer.tile(..., start=)"
            faults.fault(overlap_message("buffer", new, other, ALIGNMENT[space], way_out), buffer.where)
        if new.end > limit:
            self._overflowing.add(space)
            parts = ", ".join(f"{one.name} {one.size}" for one in (*used, buffer))
            message = (
                f"{space.value} overflows at buffer '{buffer.name}': it needs bytes {new.begin} to {new.end}, the "
                f"memory has {limit} B (in use: {parts}); make tiles smaller or rings shallower; by address: "
                f"{by_address((*held, new))}"
            )
            faults.add(_Overflow(message, buffer.where.file, buffer.where.line, space=space))

    def tensor(
        self, name: str, space: Space, shape: tuple[int, ...] | int, dtype: DType, *, at: int | None = None
    ) -> LocalTensor:
        """Reserve a buffer, from byte *at* of *space* on if that is given, and lay a tensor over it; see `buffer`."""
        return self._tensor(name, space, shape, dtype, False, at)

    def ring(
        self, name: str, *parts: Part, buffers: int = 2, fill: Pipe, drain: Pipe, unit_flag: bool = False
    ) -> Ring:
        """Reserve a ring of *buffers* slots between the pipes *fill* and *drain*; see `Ring`.

        Collect a fault if the pair of pipes runs out of event ids. Raise a KernelError if no ring can be made of that,
        as with more buffers than there can be on the chip.
        """
        _expect_ring(name, parts, buffers, fill, drain)
        self._expect_depth(name, parts, buffers, None if unit_flag else (fill, drain))
        names = [name]
        if len(parts) > 1:
            spaces = [part[0].value.lower() for part in parts]
            names = [f"{name}.{one}" if spaces.count(one) == 1 else f"{name}.{i}" for i, one in enumerate(spaces)]
        slots = tuple(
            tuple(self._part(f"{label}[{i}]", part, unit_flag) for label, part in zip(names, parts, strict=True))
            for i in range(buffers)
        )
        usable = all(part[0].core is self.kind for part in parts)
        ids: tuple[tuple[int, ...], tuple[int, ...]] = (), ()
        if usable and not unit_flag:
            ids = self._take_ids(name, fill, drain, buffers), self._take_ids(name, drain, fill, buffers)
        ring = Ring(name, slots, fill, drain, *ids, usable)
        ring.recipe = self._tracer.recordings.number((name, slots, fill, drain, *ids))
        ring.open()
        if usable:  # the others never move
            self._rings.append(ring)
        return ring

    def _expect_depth(
        self, name: str, parts: Sequence[Part], buffers: int, pair: tuple[Pipe, Pipe] | None
    ) -> None:
        """Raise a KernelError if a ring has more *buffers* than a *pair* of pipes has ids, or its memory has places.

        It is not collected with other faults: what a thousand buffers would overflow says nothing more.
        """
        if pair is None:
            spaces = [part[0] for part in parts]
            limit, space = min((capacity(self._tracer.chip, one) // ALIGNMENT[one], one.value) for one in spaces)
            why = f"{space} has room for {limit} at most"
        else:
            limit = self._tracer.chip.sync.event_ids.value
            why = f"each takes an event id {pair[0].value}->{pair[1].value} and one back, and there are {limit} of each"
        if buffers > limit:
            raise refusal(f"ring '{name}' has {buffers} buffers: {why}; use fewer buffers")

    def stage(self, kind: CoreKind) -> Callable[[Callable[Arguments, None]], Callable[Arguments, None]]:
        """Make a function or method a stage of the kernel on one kind of core; on the other kind it does nothing.

        A stage is recorded once for each set of arguments and ring positions: windows of global tensors may differ
        from call to call in their place only. It may use arguments, rings, buffers and constants of the kernel or
        of its object; a list or other mutable value there is refused, since its changes would go unseen.
        """

        expect("core.stage: the kind of core", kind, CoreKind, "@core.stage(AIC) or @core.stage(AIV)")

        def decorate(body: Callable[Arguments, None]) -> Callable[Arguments, None]:
            @wraps(body)
            def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
                if kind is self.kind:
                    self._run_stage(body, args, kwargs)

            return run

        return decorate

    def _run_stage(self, body: Callable[..., None], args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        tracer = self._tracer
        if tracer.in_stage:
            body(*args, **kwargs)
            return
        tracer.flush()
        values = (*args, *kwargs.values())
        # Of a window all counts but its place. This runs for every call of a stage, so it makes no objects.
        shapes = tuple([
            (GlobalTensor, one.name, one.dtype.name, one.shape, one.pitch) if isinstance(one, GlobalTensor) else one
            for one in values
        ])  # fmt: skip
        rings = self._rings
        key = self._recipes.of_stage(body), shapes, tuple(kwargs), tuple([ring.position for ring in rings])
        try:
            found = self._stages.get(key)
        except TypeError:
            raise _unhashable(body.__name__, values) from None
        if found is None:
            bound = _bound(values)
            named = dict(zip(kwargs, bound[len(args) :], strict=True))
            template = tracer.record_stage(body.__name__, lambda: body(*bound[: len(args)], **named))
            found = self._stages[key] = template, tuple([ring.position for ring in rings])
        template, positions = found
        for ring, position in zip(rings, positions, strict=True):
            ring.position = position
        bases = tuple([one.offset for one in values if isinstance(one, GlobalTensor)])
        tracer.calls.append(Call(template, bases))

    def finish(self) -> None:
        """Close the rings; collect a fault for every slot left in use and for every flag that belongs to a ring."""
        for ring in self._rings:
            for fault in ring.close():
                self._tracer.recordings.fault(fault.message, ring.where)
        self._tracer.flush()
        recordings = self._tracer.recordings
        written: list[SetFlag | WaitFlag] = []
        for template in dict.fromkeys([call.template for call in self._tracer.calls]):
            if template not in recordings.flags:
                recordings.flags[template] = written_flags(template.instructions)
            written += recordings.flags[template]
        for fault in self._event_ids.collisions(written):
            recordings.add(fault)

    def buffer_use(self) -> dict[Space, list[Buffer]]:
        """The buffers reserved on this core by memory space."""
        return dict(self._buffers)

    def _part(self, name: str, part: Part, unit_flag: bool) -> LocalTensor | Buffer:
        if len(part) == 2:
            return self.buffer(name, part[0], part[1], unit_flag=unit_flag)
        return self._tensor(name, *part, unit_flag, None)

    def _tensor(
        self, name: str, space: Space, shape: tuple[int, ...] | int, dtype: DType, unit_flag: bool, at: int | None
    ) -> LocalTensor:
        _expect_space(f"tensor '{name}'", space)
        shape = (shape,) if isinstance(shape, int) else shape
        expect_shape(f"tensor '{name}'", shape, dtype)
        laid_out = padded(shape, dtype, DEFAULT_ORDER[space], space) if len(shape) == 2 else shape
        size = math.prod(map(int, laid_out)) * dtype.bytes
        return self.buffer(name, space, size, unit_flag=unit_flag, at=at).tile(shape, dtype)

    def _take_ids(self, ring: str, source: Pipe, destination: Pipe, count: int) -> tuple[int, ...]:
        """The event ids of *ring* in one direction; collect a fault if there are too few."""
        ids, fault = self._event_ids.take(ring, source, destination, count)
        if fault:
            self._tracer.recordings.fault(fault, user_line())
        return ids


@dataclass(frozen=True)
class _Overflow(Diagnostic):
    """Buffers that overflow *space*. The first finding of a space, which only one kind of core has, stands for all."""

    message: str = field(compare=False)
    file: str | None = field(default=None, compare=False)
    line: int | None = field(default=None, compare=False)
    column: int | None = field(default=None, compare=False)
    space: Space = field(kw_only=True)


def _reservation(buffer: Buffer) -> Reservation:
    return Reservation(buffer.name, buffer.offset, buffer.offset + buffer.size, buffer.where)


def _expect_space(what: str, space: object) -> None:
    if space is Space.GM:
        raise refusal(f"{what}: tensors in GM are declared by the kernel's tensors function; use UB, L1 or L0 here")
    expect(f"{what}: the memory", space, Space, "Space.UB, for example,")


def _expect_ring(name: str, parts: Sequence[object], buffers: object, fill: Pipe, drain: Pipe) -> None:
    """Raise a KernelError unless a ring can be made of *parts* between the two pipes."""
    what = f"ring '{name}'"
    expect(f"{what}: the number of buffers", buffers, Integral, "a whole number")
    if not parts or buffers < 1:  # type: ignore[operator]  # a number by now
        raise refusal(f"{what} has {len(parts)} parts and {buffers} buffers; it needs at least one of each")
    spaces: list[Space] = []
    for part in parts:
        if not isinstance(part, tuple) or len(part) not in (2, 3):
            raise refusal(f"{what}: part {shown(part)} is no buffer; write (space, bytes) or (space, shape, dtype)")
        _expect_space(what, part[0])
        spaces.append(part[0])
    expect_pipes(what, fill, drain)
    kinds = {space.core for space in spaces}
    if len(kinds) > 1:
        named = ", ".join(space.value for space in spaces)
        raise refusal(f"{what} has parts in {named}, on different kinds of cores; make a ring for each kind")
    allowed = [pipe for kind in kinds if kind for pipe in PIPES_OF[kind]]
    if fill is drain or fill not in allowed or drain not in allowed:
        known = ", ".join(pipe.value for pipe in allowed)
        raise refusal(
            f"{what} goes from {fill.value} to {drain.value}; buffers in {spaces[0].value} go from one pipe to another "
            f"one of {known}"
        )


def _bound(values: Iterable[object]) -> list[object]:
    """*values* with each window of global memory turned into a parameter: the first, the second and so on."""
    bound: list[object] = []
    number = 0
    for value in values:
        if isinstance(value, GlobalTensor):
            value = GlobalTensor(value.name, value.dtype, value.shape, value.pitch, 0, number)
            number += 1
        bound.append(value)
    return bound


def _unhashable(stage: str, values: Iterable[object]) -> KernelError:
    """The error for a stage called with *values* of which one can change."""
    for value in values:
        try:
            hash(value)
        except TypeError as error:
            return refusal(
                f"stage '{stage}' is called with {shown(value)} ({error}): a stage is recorded once for each set of "
                f"arguments, which must not change; pass a tuple or numbers"
            )
    raise InternalError(f"the arguments of stage '{stage}' cannot be hashed together")
