"""Recording what a kernel does on one core.

A kernel is plain Python; running it once per core with a recording `Core` gives the instruction streams. A
*stage* is a function that is recorded once for each distinct set of arguments and ring positions and replayed
as a call with other addresses, so that a long kernel is traced in the time of a short one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace

from ascend_sim.config import Chip
from ascend_sim.errors import Diagnostic, KernelError
from ascend_sim.isa.instruction import Instruction
from ascend_sim.isa.operands import GlobalTensor, LocalTensor
from ascend_sim.isa.source import SourceLine, refusal, user_line
from ascend_sim.isa.sync import PipeBarrier, SetFlag, WaitFlag
from ascend_sim.isa.words import CoreKind, Pipe
from ascend_sim.kernel.program import Call, CoreId, Template

MAX_DIAGNOSTICS = 20
"""A kernel with this many faults is not traced any further."""

Watch = Callable[[int, CoreId, SourceLine], int]
"""Told how many instructions have been traced, on which core it is and at which line; returns after how many more it
wants to be told again. What it raises ends the tracing."""

_current: ContextVar[Tracer] = ContextVar("tracer")
_watch: ContextVar[Watch] = ContextVar("watch")


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Let *watch* follow how many instructions are traced meanwhile, by whoever builds a program."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def _unwatched(traced: int, core: CoreId, where: SourceLine) -> int:
    return 1 << 60


class Recordings:
    """What the cores of one program share while they are traced: templates by key, and the faults found.

    *traced* counts the instructions of all calls so far, *watch* follows it. With *most_faults* the tracing ends.
    """

    def __init__(self, most_faults: int = MAX_DIAGNOSTICS) -> None:
        self._most_faults = most_faults
        self.traced = 0
        self.watch = _watch.get(_unwatched)
        self.stages: dict[CoreKind, dict[object, tuple[Template, tuple[tuple[int, int, int, int], ...]]]] = {
            kind: {} for kind in CoreKind
        }
        """The template of each stage that was recorded, and where it left the rings, by kind of core and key."""
        self.flags: dict[Template, tuple[SetFlag | WaitFlag, ...]] = {}
        """The flags in each template that the kernel wrote itself."""
        self.sound: set[Hashable] = set()
        """The forms of instructions that break no rule, and "whole" with those of vector operations not yet split."""
        self._inline: dict[tuple[Instruction, ...], Template] = {}
        self._faults: dict[Diagnostic, None] = {}
        self._numbers: dict[object, int] = {}

    def number(self, value: object) -> int:
        """A small number that stands for *value*: equal values have equal numbers."""
        return self._numbers.setdefault(value, len(self._numbers) + 1)

    def fault(self, message: str, where: SourceLine) -> None:
        """Keep a fault; the same one on another core counts once."""
        self.add(Diagnostic(message, where.file, where.line))

    def add(self, fault: Diagnostic) -> None:
        """Keep a fault that is already placed."""
        self._faults[fault] = None
        if len(self._faults) >= self._most_faults:
            self.raise_faults()

    def raise_faults(self) -> None:
        """Raise a KernelError with everything found so far, if anything was."""
        if self._faults:
            raise KernelError(list(self._faults))

    def intern(self, name: str, instructions: tuple[Instruction, ...]) -> Template:
        """The one template with these *instructions*."""
        template = self._inline.get(instructions)
        if template is None:
            template = self._inline[instructions] = Template(name, instructions)
        return template


@dataclass
class _Pending:
    """Vector and cube results that are not yet visible to a later instruction of the same pipe."""

    written: list[LocalTensor] = field(default_factory=list)

    def touched_by(self, instruction: Instruction) -> bool:
        if not self.written:
            return False
        for operand in (*instruction.sources(), *instruction.destinations()):
            if isinstance(operand, LocalTensor):
                for other in self.written:
                    if operand.overlaps(other):
                        return True
        return False


class Tracer:
    """Records one core. *auto_barrier* places `pipe_barrier` between dependent instructions of PIPE_V and PIPE_M."""

    def __init__(self, core: CoreId, chip: Chip, recordings: Recordings, auto_barrier: bool) -> None:
        self.core = core
        self.chip = chip
        self.recordings = recordings
        self.calls: list[Call] = []
        self.in_stage = False
        self._auto_barrier = auto_barrier
        self._pending = {Pipe.V: _Pending(), Pipe.M: _Pending()}
        self._recorded: list[Instruction] = []
        self._bases: list[int] = []
        # What has been emitted counts at once, refused or not, and is counted again as calls once it is part of some:
        # a stage for each call, with the barriers between. The watch looks when *emitted* comes to *room*.
        self._emitted = 0
        self._room = 0
        self._counted = 0

    def emit(self, instruction: Instruction) -> None:
        """Check and record *instruction*; faults are collected. Raise what a watch raises."""
        self._emitted += 1
        if self._emitted > self._room:
            self._look(instruction.where)
        if self.core.kind not in instruction.cores:
            kinds = " or ".join(sorted(kind.value for kind in instruction.cores))
            fault = (
                f"belongs to {kinds} cores, this is an {self.core.kind.value} core; write it in a stage of the right "
                f"kind"
                if kinds
                else "joins pipes that no core has together; use cross_core_set_flag from one core to another"
            )
            self.recordings.fault(f"{instruction.mnemonic} ({instruction.operands()}) {fault}", instruction.where)
            return
        form = instruction.form(self.chip)
        if form not in self.recordings.sound:
            faults = list(instruction.check(self.chip))
            for message in faults:
                self.recordings.fault(f"{instruction.mnemonic}: {message}", instruction.where)
            if faults:
                return
            if form is not None:
                self.recordings.sound.add(form)
        if self._auto_barrier:
            self._order(instruction)
        self._recorded.append(instruction if self.in_stage else self._bind(instruction))

    def _order(self, instruction: Instruction) -> None:
        """Put a barrier before an instruction that needs a result its own pipe has not made visible."""
        pending = self._pending.get(instruction.pipe)
        if pending is None:
            return
        if pending.touched_by(instruction):
            self._recorded.append(PipeBarrier(where=instruction.where, target=instruction.pipe))
            pending.written.clear()
        if isinstance(instruction, PipeBarrier):
            pending.written.clear()
        elif not instruction.forwards:
            pending.written.extend(d for d in instruction.destinations() if isinstance(d, LocalTensor))

    def _bind(self, instruction: Instruction) -> Instruction:
        """Turn absolute windows of *instruction* into parameters of the inline template being recorded."""
        changes: dict[str, GlobalTensor] = {}
        for entry in fields(instruction):
            value = getattr(instruction, entry.name)
            if isinstance(value, GlobalTensor):
                changes[entry.name] = replace(value, parameter=len(self._bases), offset=0)
                self._bases.append(value.offset)
        return replace(instruction, **changes) if changes else instruction  # type: ignore[arg-type]

    def _settle(self) -> None:
        """Make pending results visible: what follows was recorded without knowing of them."""
        for pipe, pending in self._pending.items():
            if pending.written:
                self._recorded.append(PipeBarrier(where=self._recorded[-1].where, target=pipe))
                pending.written.clear()

    def _look(self, where: SourceLine) -> None:
        """Tell the watch how far the tracing is."""
        recordings = self.recordings
        self._room = self._emitted + recordings.watch(recordings.traced + self._emitted, self.core, where)

    def _count(self) -> None:
        """Count the instructions of the calls that were added since the last time."""
        for call in self.calls[self._counted :]:
            length = len(call.template.instructions)
            self.recordings.traced += length
            self._room -= length or 1  # the call of an empty stage takes memory too
        self._emitted, self._counted = 0, len(self.calls)
        if self._room < 0:
            last = self.calls[-1].template.instructions if self.calls else ()
            self._look(last[-1].where if last else user_line())

    def flush(self) -> None:
        """Close the run of instructions recorded outside of stages. Raise what a watch raises."""
        if self._recorded:
            self._settle()
            template = self.recordings.intern("inline", tuple(self._recorded))
            self.calls.append(Call(template, tuple(self._bases)))
            self._recorded, self._bases = [], []
        self._count()

    def record_stage(self, name: str, body: Callable[[], None]) -> Template:
        """Run *body* and return what it emitted as a template."""
        self.in_stage = True
        try:
            body()
            self._settle()
            return Template(name, tuple(self._recorded))
        finally:
            self.in_stage = False
            self._recorded = []

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make this the tracer that DSL functions emit to."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)


def current() -> Tracer:
    """The active tracer; raise a KernelError outside of a kernel."""
    tracer = _current.get(None)
    if tracer is None:
        raise refusal("instructions can be issued only while a kernel is traced; call this from a kernel")
    return tracer


def emit(instruction: Instruction) -> None:
    """Record *instruction* on the core being traced."""
    current().emit(instruction)
