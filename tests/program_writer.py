"""Writing a kernel step by step, with the flags that it needs and no others.

A program is a list of steps for each kind of core, every core of a kind executing the same ones on its own part of
global memory. While it is drawn, `Order` follows what each pipe knows of the others, and a synchronisation is written
exactly where two accesses to one buffer or tensor would otherwise be in no order. So each of them is needed: a program
without one has a race, a deadlock or a misused flag. All operands of a buffer begin at its first byte, so that two
accesses to it always share bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from program_order import PIPES, Access, Knowledge, Order, Place, RingOrder
from tiny import NoParameters

from ascend_sim import kernel as asc
from ascend_sim.config import Chip
from ascend_sim.isa.operands import LocalTensor
from ascend_sim.kernel import AIC, AIV, Buffer, CoreKind, DType, GlobalTensor, Pipe, Space
from ascend_sim.kernel.build import Cores

Number = Callable[[int, int], int]
"""Chooses a number from the first to the second."""

Part = Literal["set", "wait", "both"]

BUFFERS = {
    AIC: {
        **{f"l1_{i}": (Space.L1, 16384, False) for i in range(4)},
        **{f"l0a_{i}": (Space.L0A, 16384, False) for i in range(2)},
        **{f"l0b_{i}": (Space.L0B, 16384, False) for i in range(2)},
        **{f"l0c_{i}": (Space.L0C, 16384, False) for i in range(2)},
        "unit": (Space.L0C, 16384, True),
    },
    AIV: {f"ub_{i}": (Space.UB, 8192, False) for i in range(6)},
}
"""The buffers of a core, by name: memory, bytes, unit_flag."""


# --- what a program is -----------------------------------------------------------------------------------------------


class Tensor(NamedTuple):
    """A tensor of global memory: *rows* for each core of *kind*, or in all if that is None, of *pitch* elements."""

    name: str
    role: str
    dtype: DType
    rows: int
    pitch: int
    kind: CoreKind | None


@dataclass
class Core:
    """A core that executes its steps: what they can refer to."""

    core: asc.Core
    gm: asc.GlobalMemory
    buffers: dict[str, Buffer]
    rings: dict[str, asc.Ring]
    held: dict[str, LocalTensor] = field(default_factory=dict)
    """Slots of rings that are held over several steps."""

    @property
    def number(self) -> int:
        """The number of this core among those of its kind."""
        core = self.core
        return core.index * core.subs + core.sub if core.is_vector and core.subs > 1 else core.index

    def vector(self, sub: int) -> int:
        """The number of vector core *sub* of the group."""
        return self.core.index * self.core.subs + sub

    def sibling(self) -> int:
        """The number of the other vector core of the group, or of this one if there is no other."""
        other = self.number ^ 1
        return other if self.core.subs > 1 or other < self.core.count else self.number

    def neighbour(self) -> int:
        """The number of the same core of the next block of the die."""
        first = self.core.index // self.core.die_blocks * self.core.die_blocks
        blocks = min(self.core.die_blocks, self.core.count - first)
        other = first + (self.core.index - first + 1) % blocks
        several = self.core.is_vector and self.core.subs > 1
        return other * self.core.subs + self.core.sub if several else other


@dataclass(eq=False)
class Step:
    """One call of the kernel API. *sync* is the number of the synchronisation that it is a *half* of, if any."""

    text: str
    run: Callable[[Core], object]
    sync: int | None = None
    half: Part = "both"
    then: list[Step] = field(default_factory=list)


class Sync(NamedTuple):
    """A synchronisation: "flag" and "barrier" order two accesses of a core, "cross" those of several cores."""

    number: int
    kind: Literal["flag", "barrier", "cross"]
    text: str


@dataclass(frozen=True)
class RandomProgram:
    """A program for a *chip*: build() traces it, without what *dropped* names."""

    chip: Chip
    cores: Cores
    blocks: int
    auto_barrier: bool
    steps: dict[CoreKind, tuple[Step, ...]]
    tensors: tuple[Tensor, ...]
    rings: tuple[tuple[CoreKind, str, dict[str, Any]], ...]
    syncs: tuple[Sync, ...]
    dropped: tuple[Sync, Part] | None = None

    def without(self, sync: Sync, part: Part = "both") -> RandomProgram:
        """This program without *sync*, or without its set or its wait alone."""
        return replace(self, dropped=(sync, part))

    def kernel(self) -> asc.Kernel:
        """The kernel, without what was dropped."""

        def random_kernel(core: asc.Core, gm: asc.GlobalMemory, _: NoParameters) -> None:
            rings = {
                name: core.ring(name, *arguments["parts"], **{k: v for k, v in arguments.items() if k != "parts"})
                for kind, name, arguments in self.rings if kind is core.kind
            }  # fmt: skip
            buffers = {
                name: core.buffer(name, space, size, unit_flag=unit_flag)
                for name, (space, size, unit_flag) in BUFFERS[core.kind].items()
            }
            here = Core(core, gm, buffers, rings)
            for step in self.kept(core.kind):
                step.run(here)

        def tensors(gm: asc.GlobalMemory, _: NoParameters) -> None:
            subs = self.chip.cores.aiv_per_aic.value if self.cores == "mix" else 1
            for one in self.tensors:
                cores = {None: 1, AIC: gm.blocks, AIV: gm.blocks * subs}[one.kind]
                getattr(gm, one.role)(one.name, (one.rows * cores, one.pitch), one.dtype)

        declare = asc.kernel(
            cores=self.cores, parameters=NoParameters, tensors=tensors, flops=lambda _: 0,
            auto_barrier=self.auto_barrier,
        )  # fmt: skip
        return declare(random_kernel)

    def build(self) -> asc.Program:
        """Trace the program."""
        return asc.build(self.kernel(), NoParameters(), self.chip, self.blocks)

    def kept(self, kind: CoreKind) -> Iterator[Step]:
        """The steps of a core of *kind*, in order."""
        for step in self.steps[kind]:
            for one in (step, *step.then):
                if not (self.dropped and self.dropped[0].number == one.sync and self.dropped[1] in ("both", one.half)):
                    yield one

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What a failing test prints: the steps, not the fields of a dataclass."""
        printer.text(repr(self))

    def __repr__(self) -> str:
        lines = [f"{self.cores} x {self.blocks} on {self.chip.name}, auto_barrier={self.auto_barrier}"]
        lines += [f"dropped {self.dropped}"] if self.dropped else []
        for kind in self.steps:
            lines += [f"{kind.value}:", *(f"  {step.text}" for step in self.kept(kind))]
        return "\n".join(lines)


Window = Callable[[Core], GlobalTensor]


# --- writing a program -----------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Region:
    """A part of global memory that one pipe of each core of a kind writes: rows x columns of *tensor*.

    *added* says that it was added to since it was last stored to. *number* counts the accesses of the pipe up to the
    last one, 0 if there was none. Once it is *published*, other cores may read it, and nobody may write it.
    """

    tensor: Tensor
    rows: int
    columns: int
    added: bool = False
    number: int = 0
    published: bool = False

    def at(self, core: Core, number: int) -> GlobalTensor:
        """The part of core *number*."""
        whole: GlobalTensor = getattr(core.gm, self.tensor.name)
        return whole[number * self.tensor.rows : number * self.tensor.rows + self.rows, 0 : self.columns]

    @property
    def resources(self) -> tuple[str, ...]:
        """Its rows, each of which may be written by itself."""
        return tuple(f"{self.tensor.name}.{row}" for row in range(self.rows))


class Source(NamedTuple):
    """What cores may read: rows x columns of a format, in *window*, which holds *resources*."""

    dtype: DType
    rows: int
    columns: int
    resources: tuple[str, ...]
    window: Window


class PlannedFlag(NamedTuple):
    """A flag of *source* with an event *id*, which tells of its access *number* all that *knowledge* says."""

    source: Place
    id: int
    number: int
    knowledge: Knowledge
    early: Step | None


class Writer:
    """The program while it is drawn: its steps, tensors, rings and synchronisations."""

    def __init__(self, number: Number, chip: Chip, cores: Cores, auto_barrier: bool) -> None:
        self.number = number
        self.chip = chip
        self.kinds = {"mix": (AIC, AIV), "cube": (AIC,), "vector": (AIV,)}[cores]
        self.auto_barrier = auto_barrier
        self.order = Order()
        self.steps: dict[CoreKind, list[Step]] = {kind: [] for kind in self.kinds}
        self.tensors: dict[str, Tensor] = {}
        self.rings: list[tuple[CoreKind, str, dict[str, Any]]] = []
        self.syncs: list[Sync] = []
        self.sources: dict[CoreKind, list[Source]] = {kind: [] for kind in self.kinds}
        """What the cores of a kind may read, besides inputs."""
        self.owned: dict[Place, list[Region]] = defaultdict(list)
        self.written = {name: 0 for kind in self.kinds for name in BUFFERS[kind]}
        """Bytes of each buffer, from its first on, that have been written."""
        self.cross_ids = 0
        self.heard: dict[tuple[Place, CoreKind, int], int] = defaultdict(int)
        """Of how many accesses of a pipe the cores of a kind know by flags of a mode."""
        self.unit = RingOrder("unit", self.order, (AIC, Pipe.M), (AIC, Pipe.FIX), 1, unit_flag=True)
        """What the hardware tells when it hands over the buffer under unit_flag."""
        self._ring_ids: dict[tuple[Place, Place], int] = defaultdict(int)
        self._waits: dict[tuple[Place, Place, int], int] = {}

    def choose(self, options: Sequence[Any]) -> Any:
        """One of *options*."""
        return options[self.number(0, len(options) - 1)]

    def flip(self) -> bool:
        """Either way."""
        return self.number(0, 1) == 1

    def shared(self, name: str, dtype: DType, rows: int, columns: int) -> Tensor:
        """The input called *name*."""
        return self.tensors.setdefault(name, Tensor(name, "input", dtype, rows, columns, None))

    def region(self, place: Place, dtype: DType, rows: int, columns: int) -> Region:
        """A new region of *place*, in a tensor that may be wider."""
        name, role = f"region_{len(self.tensors)}", self.choose(("output", "workspace"))
        tensor = self.tensors[name] = Tensor(name, role, dtype, rows, columns + self.choose((0, 0, 32)), place[0])
        region = Region(tensor, rows, columns)
        self.owned[place].append(region)
        return region

    def stored(self, place: Place, region: Region, added: bool = False) -> None:
        """Remember that *place* has just stored, or *added*, to *region*: its cores may read it from now on."""
        if not region.number:
            self.readable(place[0], region, lambda core: core.number, region.resources)
        region.added, region.number = added, self.order.begun[place]

    def readable(
        self, kind: CoreKind, region: Region, number: Callable[[Core], int], resources: tuple[str, ...] = ()
    ) -> Window:
        """Let cores of *kind* read *region* of core *number* from now on, as the window that is returned."""

        def window(core: Core) -> GlobalTensor:
            return region.at(core, number(core))

        self.sources[kind].append(Source(region.tensor.dtype, region.rows, region.columns, resources, window))
        return window

    def emit(
        self, kind: CoreKind, pipe: Pipe, touches: Sequence[tuple[str, str]], text: str, run: Callable[[Core], object],
        forwards: bool = False,
    ) -> None:
        """Write an instruction behind the synchronisation that it needs."""
        place = kind, pipe
        self._synchronise(place, self.order.unordered(place, touches, forwards))
        step = Step(text, run)
        self.steps[kind].append(step)
        self.order.access(place, touches, forwards, step)

    # Synchronisation within a core

    def _synchronise(self, place: Place, before: dict[Place, Access]) -> None:
        """Order what *place* does next behind the accesses *before*."""
        kind, pipe = place
        assert all(source[0] is kind for source in before), "only cross-core flags order accesses of several cores"
        own = before.pop(place, None)
        if self.auto_barrier and pipe in (Pipe.V, Pipe.M):
            own = None
        planned = [flag for source, access in before.items() if (flag := self._plan(source, place, access))]
        if len(planned) < len(before) or (planned and self.number(0, 9) == 0):
            self.barrier(kind, Pipe.ALL)
            return
        if own is not None and not any(flag.knowledge.get(place, 0) >= own.number for flag in planned):
            self.barrier(kind, pipe)
        for flag in list(planned):
            # What another flag tells as well needs no flag of its own.
            others = [one for one in planned if one is not flag]
            if any(one.knowledge.get(flag.source, 0) >= flag.number for one in others):
                planned.remove(flag)
        for flag in planned:
            self._flag(flag, place)

    def barrier(self, kind: CoreKind, pipe: Pipe) -> None:
        """Write a barrier of one pipe, or of ALL."""
        sync = self._sync("barrier", f"pipe_barrier {pipe.value}")
        self._step(kind, sync, "both", lambda core: asc.pipe_barrier(pipe))
        if pipe is not Pipe.ALL:
            self.order.join((kind, pipe), {(kind, pipe): self.order.begun[kind, pipe]})
            return
        for other in PIPES[kind]:
            self.order.join_all(kind, self.order.snapshot((kind, other)))

    def _plan(self, source: Place, target: Place, access: Access) -> PlannedFlag | None:
        """A flag behind *access* or here, or None if no event id is free for it."""
        early = access.step if self.flip() else None
        knowledge = self.order.after[early] if early is not None else self.order.snapshot(source)
        free = [
            flag for flag in range(self._ring_ids[source, target], self.chip.sync.event_ids.value)
            if knowledge.get(target, 0) >= self._waits.get((source, target, flag), 0)
        ]  # fmt: skip
        return PlannedFlag(source, self.choose(free), access.number, knowledge, early) if free else None

    def _flag(self, flag: PlannedFlag, target: Place) -> None:
        """Write the set_flag and the wait_flag of *flag*."""
        kind, (_, source) = target[0], flag.source
        sync = self._sync("flag", f"{source.value}->{target[1].value} id {flag.id}")
        setting = Step(
            f"set_flag {sync.text}", lambda core: asc.set_flag(source, target[1], flag.id), sync.number, "set"
        )
        (self.steps[kind] if flag.early is None else flag.early.then).append(setting)
        self._step(kind, sync, "wait", lambda core: asc.wait_flag(source, target[1], flag.id))
        self.order.join(target, flag.knowledge)
        self.order.begun[target] += 1
        self._waits[flag.source, target, flag.id] = self.order.begun[target]

    def _sync(self, kind: Literal["flag", "barrier", "cross"], text: str) -> Sync:
        self.syncs.append(Sync(len(self.syncs), kind, text))
        return self.syncs[-1]

    def _step(self, kind: CoreKind, sync: Sync, half: Part, run: Callable[[Core], object]) -> None:
        name = sync.text if half == "both" else f"{half} {sync.text}"
        self.steps[kind].append(Step(name, run, sync.number, half))

    # Synchronisation of cores

    def cross_id(self) -> int:
        """A flag between cores that nobody uses."""
        self.cross_ids += 1
        return self.cross_ids - 1

    def publish(self, sender: Place, receiver: CoreKind, mode: int, flag: int) -> None:
        """Tell the cores of *receiver* that *mode* joins with those of *sender* what its pipe has done so far."""
        sync = self._sync("cross", f"cross-core flag {flag} mode {mode} {sender[1].value}")
        pipe = sender[1]
        self._step(sender[0], sync, "set", lambda core: asc.cross_core_set_flag(flag, pipe, mode=mode))
        self._step(receiver, sync, "wait", lambda core: asc.cross_core_wait_flag(flag, mode=mode))
        self.order.join_all(receiver, self.order.snapshot(sender))
        self.heard[sender, receiver, mode] = self.order.begun[sender]

    @property
    def cross_ids_left(self) -> int:
        """How many flags between cores are free."""
        return self.chip.sync.cross_core_flag_ids.value - self.cross_ids

    # Rings

    def ring(self, kind: CoreKind, fill: Pipe, drain: Pipe, *parts: Any, unit_flag: bool = False) -> RingOrder | None:
        """A new ring of one to three buffers; None if it would leave too few event ids."""
        buffers, ends = self.number(1, 3), ((kind, fill), (kind, drain))
        if not unit_flag:
            if any(self._used(pair) for pair in (ends, ends[::-1])) or self._ring_ids[ends] + buffers > 6:
                return None
            for pair in (ends, ends[::-1]):
                self._ring_ids[pair] += buffers
        name = f"ring_{len(self.rings)}"
        arguments = {"parts": parts, "buffers": buffers, "fill": fill, "drain": drain, "unit_flag": unit_flag}
        self.rings.append((kind, name, arguments))
        return RingOrder(name, self.order, *ends, buffers, unit_flag=unit_flag)

    def _used(self, pair: tuple[Place, Place]) -> bool:
        """Whether flags of *pair* were written by hand already; the ids of rings come first."""
        return any(key[:2] == pair for key in self._waits)
