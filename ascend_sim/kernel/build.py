"""From a kernel definition and its parameters to a Program."""

from __future__ import annotations

import inspect
from bisect import insort
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict

from ascend_sim.config import Chip
from ascend_sim.errors import ArgumentError, BudgetError, Diagnostic, KernelError, ProgramError
from ascend_sim.isa.operands import GlobalTensor, expect_shape, round_up
from ascend_sim.isa.source import named, place_in, refusal, user_line
from ascend_sim.isa.words import CoreKind, Space
from ascend_sim.kernel.arguments import shown
from ascend_sim.kernel.collector import collector_paused
from ascend_sim.kernel.core import Core, capacity
from ascend_sim.kernel.placement import Reservation, expect_address, overlap_message
from ascend_sim.kernel.program import BufferUse, CoreId, Program, Stream, TensorDeclaration
from ascend_sim.kernel.reuse import Kept, Reads, Shared, Tracked, structure_of
from ascend_sim.kernel.trace import MAX_DIAGNOSTICS, Recordings, Tracer
from ascend_sim.numerics import DType

Cores = Literal["mix", "cube", "vector"]

GM_ALIGNMENT = 32
"""Bytes that the address of a placed tensor is a multiple of: the block of DataCopy (Ascend C)."""


class Parameters(BaseModel):
    """Base of a kernel's parameters: strict, frozen, unknown keys refused."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class GlobalMemory:
    """The tensors of a kernel in global memory; a declared tensor is an attribute under its name.

    *blocks* is the number of blocks that will run, and *dies* that of the dies they run on, for workspaces with a part
    for each. A tensor lies behind all that were declared before it, at a multiple of *alignment* bytes, or at the byte
    address *at*, a multiple of 32 B. Raise a KernelError if it overlaps another one, or if a tensor, once one has been
    placed, reaches beyond *limit* bytes. *declarations* are in order of address, and all lie below byte *size*.
    """

    recipe_key = "gm"
    """Tensors are declared before any stage is recorded, so a stage may use them freely."""

    def __init__(self, alignment: int, blocks: int, limit: int, dies: int = 1) -> None:
        self.blocks = blocks
        self.dies = dies
        self._alignment = alignment
        self._limit = limit
        self._windows: dict[str, GlobalTensor] = {}
        self._reservations: list[Reservation] = []
        self._placed = False
        self.declarations: list[TensorDeclaration] = []
        self.size = 0

    def input(
        self, name: str, shape: tuple[int, ...] | int, dtype: DType, at: int | None = None
    ) -> GlobalTensor:
        """Declare a tensor that the run fills with data."""
        return self._declare("input", name, shape, dtype, at)

    def output(
        self, name: str, shape: tuple[int, ...] | int, dtype: DType, at: int | None = None
    ) -> GlobalTensor:
        """Declare a tensor that is compared with the reference."""
        return self._declare("output", name, shape, dtype, at)

    def workspace(
        self, name: str, shape: tuple[int, ...] | int, dtype: DType, at: int | None = None
    ) -> GlobalTensor:
        """Declare scratch memory; it holds NaN (all bits set) at the start."""
        return self._declare("workspace", name, shape, dtype, at)

    def __getattr__(self, name: str) -> GlobalTensor:
        try:
            window: GlobalTensor = self.__dict__["_windows"][name]
        except KeyError:
            known = ", ".join(self.__dict__.get("_windows", {})) or "none"
            raise AttributeError(f"no tensor '{name}' was declared (declared: {known})") from None
        self.__dict__[name] = window  # what no attribute is called is found at once from now on
        return window

    def _declare(
        self, role: str, name: str, shape: tuple[int, ...] | int, dtype: DType, at: int | None
    ) -> GlobalTensor:
        shape = (shape,) if isinstance(shape, int) else shape
        expect_shape(f"tensor '{name}'", shape, dtype)
        if name in self._windows:
            raise refusal(f"tensor '{name}' is declared twice; give each tensor a name of its own")
        if at is not None:
            expect_address(f"tensor '{name}'", at, GM_ALIGNMENT, "GM")
            self._placed = True
        shape = tuple(map(int, shape))
        declaration = TensorDeclaration(name, role, shape, dtype, self.size if at is None else int(at))
        self._reserve(declaration)
        insort(self.declarations, declaration, key=lambda one: one.address)
        self._windows[name] = GlobalTensor(name, dtype, shape, shape[-1], declaration.address)
        return self._windows[name]

    def _reserve(self, tensor: TensorDeclaration) -> None:
        """Reserve the bytes of *tensor*; raise a KernelError if they are not free, or not there."""
        new = Reservation(tensor.name, tensor.address, tensor.address + tensor.bytes, user_line())
        other = new.overlapped(self._reservations)
        if other is not None:
            way_out = "or leave out at= to have it behind all others"
            raise refusal(overlap_message("tensor", new, other, GM_ALIGNMENT, way_out))
        # Without a tensor at an address of its own, it is the sum that does not fit: _expect_memory reports it.
        if self._placed and new.end > self._limit:
            last = (self._limit - tensor.bytes) // GM_ALIGNMENT * GM_ALIGNMENT
            way_out = f"place it at {last} or below" if last >= 0 else "shrink the problem"
            raise refusal(
                f"tensor '{tensor.name}' (bytes {new.begin} to {new.end}) reaches beyond the {self._limit} B of "
                f"memory; {way_out}"
            )
        self._reservations.append(new)
        self.size = max(self.size, round_up(new.end, self._alignment))


@dataclass(frozen=True)
class Kernel:
    """A kernel: its function, what cores run it, its parameter model, its tensors and its operation count."""

    function: Callable[[Core, GlobalMemory, Any], None]
    name: str
    file: str
    cores: Cores
    parameters: type[Parameters]
    tensors: Callable[[GlobalMemory, Any], None]
    flops: Callable[[Any], int]
    auto_barrier: bool

    @property
    def line(self) -> int:
        """The line of the file in which the kernel begins."""
        return self.function.__code__.co_firstlineno

    @property
    def summary(self) -> str:
        """The first line of the kernel's docstring."""
        return (self.function.__doc__ or "").strip().split("\n")[0]


def kernel(
    *,
    cores: Cores,
    parameters: type[Parameters],
    tensors: Callable[[GlobalMemory, Any], None],
    flops: Callable[[Any], int],
    auto_barrier: bool = True,
) -> Callable[[Callable[[Core, GlobalMemory, Any], None]], Kernel]:
    """Declare the decorated function as a kernel.

    It is called as function(core, gm, parameters) once for each core: *cores* is "vector", "cube" or "mix" (cube
    cores with their vector cores). *tensors*(gm, parameters) declares what lies in global memory, *flops*
    (parameters) counts the useful operations. With *auto_barrier* a dependent instruction on PIPE_V or PIPE_M gets
    the pipe_barrier it needs; without, the kernel writes its own.
    """

    def decorate(function: Callable[[Core, GlobalMemory, Any], None]) -> Kernel:
        file = function.__code__.co_filename
        declared = Kernel(function, function.__name__, file, cores, parameters, tensors, flops, auto_barrier)
        faults = [Diagnostic(message, file, declared.line) for message in _declaration_faults(declared)]
        if faults:
            raise ProgramError(faults)
        return declared

    return decorate


def _declaration_faults(declared: Kernel) -> Iterator[str]:
    what = f"kernel '{declared.name}'"
    if declared.cores not in get_args(Cores):
        yield f"{what}: cores={declared.cores!r} is none of {', '.join(map(repr, get_args(Cores)))}; write one of these"
    if not (isinstance(declared.parameters, type) and issubclass(declared.parameters, Parameters)):
        yield (
            f"{what}: parameters={shown(declared.parameters)} is not a class of parameters; write a "
            f"'class NAME(asc.Parameters)' and hand over NAME"
        )
    calls: tuple[tuple[str, object, tuple[str, ...]], ...] = (
        ("the kernel", declared.function, ("core", "gm", "parameters")),
        ("tensors", declared.tensors, ("gm", "parameters")),
        ("flops", declared.flops, ("parameters",)),
    )
    for role, function, arguments in calls:
        call = f"{role} is called with ({', '.join(arguments)})"
        if not callable(function):
            yield f"{what}: {call}, but {shown(function)} is no function; write 'lambda {', '.join(arguments)}: ...'"
            continue
        try:
            inspect.signature(function).bind(*arguments)
        except ValueError:
            continue  # a built-in function that does not say what it takes
        except TypeError as error:
            yield f"{what}: {call}, but its parameters do not fit: {error}; declare it with these"


def block_count(definition: Kernel, chip: Chip, blocks: int | None) -> int:
    """How many blocks run: all the chip has, or the *blocks* asked for. Raise an ArgumentError if it has fewer."""
    groups = chip.dies.value * chip.cores.aic_per_die.value
    most = groups * chip.cores.aiv_per_aic.value if definition.cores == "vector" else groups
    if blocks is not None and not 1 <= blocks <= most:
        raise ArgumentError(
            f"launch.blocks = {blocks} is outside 1..{most}: {chip.name} has {most} blocks for a {definition.cores} "
            f"kernel"
        )
    return most if blocks is None else blocks


def _die_blocks(definition: Kernel, chip: Chip) -> int:
    """How many blocks a die of *chip* runs."""
    return chip.cores.aic_per_die.value * (chip.cores.aiv_per_aic.value if definition.cores == "vector" else 1)


class Building:
    """A kernel on its way to a Program, traced block by block; no more than *most_faults* are collected.

    Kinds of cores whose streams are *shared* with an earlier program are not traced again. Raise an ArgumentError if
    the chip has fewer *blocks*, a KernelError if its memory does not hold the tensors, and a ProgramError if their
    declaration fails.
    """

    def __init__(
        self, definition: Kernel, parameters: Parameters, chip: Chip, blocks: int | None = None,
        most_faults: int = MAX_DIAGNOSTICS, shared: Shared | None = None,
    ) -> None:
        self._definition, self._parameters, self._chip = definition, parameters, chip
        self.blocks = block_count(definition, chip, blocks)
        dies = -(-self.blocks // _die_blocks(definition, chip))
        self._gm = GlobalMemory(chip.l2.line_bytes.value, self.blocks, chip.dies.value * chip.hbm.bytes.value, dies)
        self._recordings = Recordings(most_faults)
        self._streams: list[Stream] = []
        self._uses: dict[tuple[CoreKind, Space], BufferUse] = {}
        self._traced = 0
        _guarded(definition, lambda: definition.tensors(self._gm, parameters))
        _expect_memory(definition, self._gm, chip)
        self._shared = shared
        self._shared_key: Hashable = None
        self._kept: dict[CoreKind, Kept] = {}
        self._reads: dict[CoreKind, Reads] = {}
        self._seen: dict[CoreKind, Parameters] = dict.fromkeys(CoreKind, parameters)
        if shared is not None:
            self._look_for_shared(shared)

    def _look_for_shared(self, shared: Shared) -> None:
        """Find the streams that are known, and let the kernel see for the others that it is watched what it reads."""
        self._shared_key = self._definition, self.blocks, structure_of(self._chip), tuple(self._gm.declarations)
        for kind in CoreKind:
            kept = shared.find(kind, self._shared_key, self._parameters)
            if kept is not None:
                self._kept[kind] = kept
                self._uses |= {(use.kind, Space(use.space)): use for use in kept.uses}
            else:
                self._reads[kind] = Reads()
                self._seen[kind] = cast(Parameters, Tracked(self._parameters, self._reads[kind]))

    @collector_paused()
    def trace(self, blocks: int | None = None) -> None:
        """Trace so many more *blocks*, or all that are left.

        Raise a KernelError with everything the hardware would refuse, a ProgramError if the kernel itself fails, and
        what a watch of the tracing raises.
        """
        behind = self.blocks if blocks is None else min(self._traced + blocks, self.blocks)
        for index in range(self._traced, behind):
            for core_id in _cores_of(self._definition, self._chip, index):
                kept = self._kept.get(core_id.kind)
                self._streams.append(self._trace(core_id, index) if kept is None else kept.streams[core_id])
        self._traced = behind
        self._recordings.raise_faults()
        if self._shared is not None and behind == self.blocks:
            for kind, reads in self._reads.items():
                streams = {stream.core: stream for stream in self._streams if stream.core.kind is kind}
                uses = tuple(use for use in self._uses.values() if use.kind is kind)
                self._shared.keep(kind, self._shared_key, Kept(reads, streams, uses))

    def program(self) -> Program:
        """What has been traced so far: the Program, once all blocks are. Raise a ProgramError if flops() fails."""
        return Program(
            self._definition.name, tuple(self._gm.declarations), tuple(self._streams), tuple(self._uses.values()),
            _flops(self._definition, self._parameters), self._gm.size,
        )

    def _trace(self, core_id: CoreId, index: int) -> Stream:
        definition, chip, parameters = self._definition, self._chip, self._seen[core_id.kind]
        per_group = chip.cores.aiv_per_aic.value
        tracer = Tracer(core_id, chip, self._recordings, definition.auto_barrier)
        subs = per_group if definition.cores == "mix" else 1
        core = Core(tracer, index, self.blocks, _die_blocks(definition, chip), subs)

        def trace() -> None:
            with tracer.active():
                definition.function(core, self._gm, parameters)
                core.finish()

        _guarded(definition, trace, self._recordings)
        for space, buffers in core.buffer_use().items():
            named = tuple((buffer.name, buffer.size) for buffer in buffers)
            if named:
                use = BufferUse(core.kind, space.value, named, capacity(chip, space))
                self._uses.setdefault((core.kind, space), use)
        return Stream(core_id, tuple(tracer.calls))


def build(definition: Kernel, parameters: Parameters, chip: Chip, blocks: int | None = None) -> Program:
    """Trace the kernel for every core. Raise what `Building` and its methods raise."""
    building = Building(definition, parameters, chip, blocks)
    building.trace()
    return building.program()


def _expect_memory(definition: Kernel, gm: GlobalMemory, chip: Chip) -> None:
    """Raise a KernelError if the tensors do not fit into the chip's memory."""
    limit = chip.dies.value * chip.hbm.bytes.value
    if gm.size > limit:
        parts = ", ".join(f"{one.name} {one.bytes}" for one in gm.declarations)
        message = f"GM overflows: the tensors need {gm.size} B, {chip.name} has {limit} B ({parts}); shrink the problem"
        raise KernelError(Diagnostic(message, definition.file, definition.line))


def _flops(definition: Kernel, parameters: Parameters) -> int:
    """The operation count; raise a ProgramError if it is none."""
    count: list[int] = []
    _guarded(definition, lambda: count.append(definition.flops(parameters)))
    if not isinstance(count[0], Integral) or count[0] < 0:
        message = f"kernel '{definition.name}': flops returned {shown(count[0])}; return a whole number of operations"
        raise ProgramError(Diagnostic(message, definition.file, definition.line))
    return count[0]


def _cores_of(definition: Kernel, chip: Chip, index: int) -> list[CoreId]:
    per_group = chip.cores.aiv_per_aic.value
    group, sub = divmod(index, per_group) if definition.cores == "vector" else (index, 0)
    die, group = divmod(group, chip.cores.aic_per_die.value)
    if definition.cores == "vector":
        return [CoreId(die, group, CoreKind.AIV, sub)]
    cube = [CoreId(die, group, CoreKind.AIC, 0)]
    if definition.cores == "cube":
        return cube
    return cube + [CoreId(die, group, CoreKind.AIV, sub) for sub in range(per_group)]


def _guarded(definition: Kernel, run: Callable[[], None], recordings: Recordings | None = None) -> None:
    """Run user code; turn whatever it raises into a message that names its line."""
    try:
        run()
    except (KernelError, ProgramError, BudgetError) as error:
        if recordings is not None and isinstance(error, KernelError):
            for diagnostic in error.diagnostics:
                recordings.add(diagnostic)
            recordings.raise_faults()
        raise
    except (Exception, SystemExit) as error:
        message = f"kernel '{definition.name}' failed with {named(error)}"
        place = place_in(definition.file, error)
        at = (definition.file, definition.line) if place is None else (place.file, place.line)
        raise ProgramError(Diagnostic(message, *at)) from error
