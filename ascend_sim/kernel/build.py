"""From a kernel definition and its parameters to a Program."""

from __future__ import annotations

import inspect
from bisect import insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

from ascend_sim.config import Chip
from ascend_sim.errors import ArgumentError, BudgetError, Diagnostic, KernelError, ProgramError
from ascend_sim.isa.operands import GlobalTensor, expect_shape, round_up
from ascend_sim.isa.source import line_in, named, refusal, user_line
from ascend_sim.isa.words import CoreKind, Space
from ascend_sim.kernel.arguments import shown
from ascend_sim.kernel.collector import collector_paused
from ascend_sim.kernel.core import Core, capacity
from ascend_sim.kernel.placement import Reservation, expect_address, overlap_message
from ascend_sim.kernel.program import BufferUse, CoreId, Program, Stream, TensorDeclaration
from ascend_sim.kernel.trace import Recordings, Tracer
from ascend_sim.numerics import DType

Cores = Literal["mix", "cube", "vector"]

GM_ALIGNMENT = 32
"""Bytes that the address of a placed tensor is a multiple of: the block of DataCopy (Ascend C)."""


class Parameters(BaseModel):
    """Base of a kernel's parameters: strict, frozen, unknown keys refused."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class GlobalMemory:
    """The tensors of a kernel in global memory; a declared tensor is an attribute under its name.

    *blocks* is the number of blocks that will run, for workspaces with a part for each. A tensor lies behind all that
    were declared before it, at a multiple of *alignment* bytes, or at the byte address *at*, a multiple of 32 B. Raise
    a KernelError if it overlaps another one, or if a tensor, once one has been placed, reaches beyond *limit* bytes.
    *declarations* are in order of address, and all lie below byte *size*.
    """

    recipe_key = "gm"
    """Tensors are declared before any stage is recorded, so a stage may use them freely."""

    def __init__(self, alignment: int, blocks: int, limit: int) -> None:
        self.blocks = blocks
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
            return self.__dict__["_windows"][name]  # type: ignore[no-any-return]
        except KeyError:
            known = ", ".join(self.__dict__.get("_windows", {})) or "none"
            raise AttributeError(f"no tensor '{name}' was declared (declared: {known})") from None

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
        declaration = TensorDeclaration(name, role, tuple(shape), dtype, self.size if at is None else int(at))
        self._reserve(declaration)
        insort(self.declarations, declaration, key=lambda one: one.address)
        self._windows[name] = GlobalTensor(name, dtype, tuple(shape), shape[-1], declaration.address)
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


@collector_paused()
def build(definition: Kernel, parameters: Parameters, chip: Chip, blocks: int | None = None) -> Program:
    """Trace the kernel for every core.

    Raise a KernelError with everything the hardware would refuse, a ProgramError if the kernel itself fails, and what a
    watch of the tracing raises.
    """
    count = block_count(definition, chip, blocks)
    per_group = chip.cores.aiv_per_aic.value
    die_blocks = chip.cores.aic_per_die.value * (per_group if definition.cores == "vector" else 1)
    subs = per_group if definition.cores == "mix" else 1
    gm = GlobalMemory(chip.l2.line_bytes.value, count, chip.dies.value * chip.hbm.bytes.value)
    recordings = Recordings()
    streams: list[Stream] = []
    uses: dict[tuple[CoreKind, Space], BufferUse] = {}
    _guarded(definition, lambda: definition.tensors(gm, parameters))
    _expect_memory(definition, gm, chip)
    for index in range(count):
        for core_id in _cores_of(definition, chip, index):
            tracer = Tracer(core_id, chip, recordings, definition.auto_barrier)
            core = Core(tracer, index, count, die_blocks, subs)

            def trace(core: Core = core, tracer: Tracer = tracer) -> None:
                with tracer.active():
                    definition.function(core, gm, parameters)
                    core.finish()

            _guarded(definition, trace, recordings)
            streams.append(Stream(core_id, tuple(tracer.calls)))
            for space, buffers in core.buffer_use().items():
                named = tuple((buffer.name, buffer.size) for buffer in buffers)
                if named:
                    uses.setdefault((core.kind, space), BufferUse(core.kind, space.value, named, capacity(chip, space)))
    recordings.raise_faults()
    return Program(
        definition.name, tuple(gm.declarations), tuple(streams), tuple(uses.values()),
        _flops(definition, parameters), gm.size,
    )


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
        line = line_in(definition.file, error)
        raise ProgramError(Diagnostic(message, definition.file, definition.line if line is None else line)) from error
