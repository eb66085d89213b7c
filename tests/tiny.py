"""A chip with round figures, and programs of a few instructions on it, for timing worked out by hand.

Times on it, when nothing else is in the way (n bytes, r repeats of 64 fp32, f fractals):

    data_copy GM -> UB or L1    100 + n/64        adds        10 r on the pipe, visible 40 + 10 r after the start
    data_copy UB -> GM           50 + n/32        mmad fp16   10 + 100 f on the pipe, visible 50 + 100 f after it
    fixpipe fp32                 20 + n/128       load_data   10 + n/128 (L0A) or n/64 (L0B), visible 40 later
    set_flag, wait_flag          10, 5            cross-core  1 to set, seen 300 later; 0 to issue anything

A miss in L2 costs nothing extra, and HBM and L2 are too wide to be felt, until a test says otherwise.
"""

from __future__ import annotations

import inspect
import math
from collections import defaultdict
from collections.abc import Callable

from ascend_sim import kernel as asc
from ascend_sim.config import Chip, load_chip
from ascend_sim.engine.machine import CoreSchedule, Schedule, simulate_timing
from ascend_sim.isa.operands import LocalTensor
from ascend_sim.isa.timing import Barrier, Move, Run, SetFlag, WaitFlag
from ascend_sim.isa.words import Pipe, Space
from ascend_sim.kernel.build import Cores

_PATHS = {
    # path: head, bytes per cycle, latency
    "gm_to_l1": (100, 64, 0),
    "gm_to_l1_nz": (100, 64, 0),
    "gm_to_ub": (100, 64, 0),
    "ub_to_gm": (50, 32, 0),
    "l0c_to_gm": (20, 128, 0),
    "l1_to_l0a": (10, 128, 40),
    "l1_to_l0b": (10, 64, 40),
}
_FIGURES = {
    "dies": 1,
    "clock_hz": 1e9,
    "cores.aic_per_die": 4,
    "cores.aiv_per_aic": 2,
    "launch.vector_seconds": 0.0,
    "launch.cube_seconds": 0.0,
    "launch.skew_cycles": 0,
    "launch.mix_skew_cycles": 0,
    "scalar.queue_depth": 32,
    "scalar.issue_cycles": 0,
    "sync.set_flag_cycles": 10,
    "sync.wait_flag_cycles": 5,
    "sync.cross_core_latency_cycles": 300,
    "l2.bytes": 1 << 20,
    "l2.line_bytes": 512,
    "l2.sector_bytes": 128,
    "l2.read_bytes_per_cycle": 1024,
    "l2.write_bytes_per_cycle": 1024,
    "l2.total_bytes_per_cycle": 2048,
    "l2.miss_extra_cycles": 0,
    "cube.cycles_per_fractal.fp16": 100,
    "cube.issue_cycles": 10,
    "cube.latency_cycles": 50,
    "cube.min_latency_cycles": 0,
    "cube.accumulate_fractals": 1,
    "vector.isolated_cycles": 0,
    "vector.ops.vadds.fp32": "{first_cycles: 10, further_cycles: 10.0, latency_cycles: 40}",
    **{f"paths.{path}.head_cycles": head for path, (head, _, _) in _PATHS.items()},
    **{f"paths.{path}.bytes_per_cycle": rate for path, (_, rate, _) in _PATHS.items()},
    **{f"paths.{path}.min_cycles": 0 for path in _PATHS},
    **{f"paths.{path}.latency_cycles": latency for path, (_, _, latency) in _PATHS.items()},
    **{f"paths.{path}.request_cycles": 0.0 for path in _PATHS if "gm" in path},
    "paths.l0c_to_gm.odd_fractal_cycles": 0.0,
    **{f"paths.{path}.miss_bytes_per_cycle": 1e9 for path in _PATHS if path.startswith("gm_")},
    **{f"paths.{path}.sustained_bytes_per_cycle": 1e9 for path in _PATHS if path.endswith("_gm")},
}

Body = Callable[[asc.Core, asc.GlobalMemory], None]
Times = list[tuple[str, int, int]]


def chip(*overrides: str, hbm: float = 1024, mixed: float | None = None) -> Chip:
    """The tiny chip, changed by *overrides* such as "l2.bytes=1024".

    *hbm* and *mixed* are the bytes a cycle of HBM, the second (the same by default) for both directions at once.
    """
    return load_chip("ascend910c", figures(*overrides, hbm=hbm, mixed=mixed))


def figures(*overrides: str, hbm: float = 1024, mixed: float | None = None) -> list[str]:
    """The overrides that make the tiny chip out of a bundled one, see `chip`."""
    tiny = [f"chip.{name}={value}" for name, value in _FIGURES.items()]
    rates = [
        f"chip.hbm.bytes_per_second={hbm * 1e9}",
        f"chip.hbm.mixed_bytes_per_second={(hbm if mixed is None else mixed) * 1e9}",
    ]
    return [*tiny, *rates, *(f"chip.{text}" for text in overrides)]


class NoParameters(asc.Parameters):
    """A tiny kernel has none."""


def _tensors(gm: asc.GlobalMemory, _: NoParameters) -> None:
    """Two inputs, of 256 KiB each, and two outputs; every one begins on a sector of its own."""
    gm.input("x", (65536,), asc.fp32)
    gm.input("tile", (256, 256), asc.fp16)
    gm.output("y", (65536,), asc.fp32)
    gm.output("result", (256, 256), asc.fp32)


def build(body: Body, on: Chip, cores: Cores = "vector", blocks: int = 1) -> asc.Program:
    """Trace *body*(core, gm) on *blocks* blocks; it writes its own barriers."""

    def kernel(core: asc.Core, gm: asc.GlobalMemory, _: NoParameters) -> None:
        body(core, gm)

    declare = asc.kernel(cores=cores, parameters=NoParameters, tensors=_tensors, flops=lambda _: 0, auto_barrier=False)
    return asc.build(declare(kernel), NoParameters(), on, blocks)


def simulate(body: Body, on: Chip | None = None, cores: Cores = "vector", blocks: int = 1) -> Schedule:
    """Simulate every core of *blocks* blocks that execute *body*.

    Simulating one core of each class must give the same times; that is checked on the way.
    """
    on = chip() if on is None else on
    program = build(body, on, cores, blocks)
    schedule = simulate_timing(program, on, symmetry=False)
    lumped = simulate_timing(program, on, symmetry=True)
    assert (lumped.cycles, lumped.memory) == (schedule.cycles, schedule.memory)
    for one in lumped.cores:
        for member in one.members:
            assert times_of(one) == times(schedule, str(member))
    return schedule


def core_of(schedule: Schedule, core: str = "die0.core0.veccore0") -> CoreSchedule:
    """The schedule of one core."""
    return next(one for one in schedule.cores if str(one.stream.core) == core)


def times_of(core: CoreSchedule) -> Times:
    """Mnemonic, start and end of each instruction, in program order."""
    names = [instruction.mnemonic for _, instruction in core.stream]
    return list(zip(names, core.starts, core.ends, strict=True))


def times(schedule: Schedule, core: str = "die0.core0.veccore0") -> Times:
    """Mnemonic, start and end of each instruction of one core, in program order."""
    return times_of(core_of(schedule, core))


def ub(core: asc.Core, elements: int = 64, name: str = "u") -> LocalTensor:
    """A tensor of *elements* fp32 in UB."""
    return core.tensor(name, Space.UB, elements, asc.fp32)


def load(core: asc.Core, gm: asc.GlobalMemory, size: int, offset: int = 0) -> None:
    """Load *size* bytes of x, from byte *offset* on, into a buffer of UB of their own."""
    begin, count = offset // 4, size // 4
    asc.data_copy(ub(core, count, "loaded"), gm.x[begin : begin + count])


def store(core: asc.Core, gm: asc.GlobalMemory, size: int, offset: int = 0, *, atomic: bool = False) -> None:
    """Store *size* bytes of a buffer of UB to y, from byte *offset* on."""
    begin, count = offset // 4, size // 4
    asc.data_copy(gm.y[begin : begin + count], ub(core, count, "stored"), atomic_add=atomic)


def work(core: asc.Core, repeats: int) -> None:
    """Occupy PIPE_V with an adds of *repeats* repeats."""
    values = ub(core, 64 * repeats, "worked")
    asc.adds(values, values, 1.0)


def line_of(function: Callable[..., object], text: str, occurrence: int = 1) -> int:
    """The line of this file in which *function* says *text* for the *occurrence*-th time."""
    lines, first = inspect.getsourcelines(function)
    return [first + number for number, line in enumerate(lines) if text in line][occurrence - 1]


def by_hand(program: asc.Program, on: Chip) -> tuple[Times, list[int]]:
    """Times and issue of a program of one core whose waits stand behind their sets, one instruction at a time.

    Moves have their paths to themselves, so that head + bytes / rate is all that they take.
    """
    depth, issue = on.scalar.queue_depth.value, on.scalar.issue_cycles.value
    free: dict[Pipe, int] = defaultdict(int)
    visible: dict[Pipe, int] = defaultdict(int)
    left: dict[Pipe, list[int]] = defaultdict(list)
    raised: dict[tuple[Pipe, Pipe, int], list[int]] = defaultdict(list)
    found, issued, now = [], [], 0
    for _, instruction in program.streams[0]:
        pipe, timing = instruction.pipe, instruction.timing(on)
        if isinstance(timing, Barrier) and timing.pipe is Pipe.ALL:
            end = max(now + issue, *free.values(), *visible.values(), 0)
            found.append((instruction.mnemonic, now, end))
            issued.append(now)
            now = end
            continue
        if len(left[pipe]) >= depth:
            now = max(now, left[pipe][-depth])
        start = leaves = max(now, free[pipe])
        if isinstance(timing, Run):
            free[pipe], end = start + timing.occupancy, start + timing.latency
        elif isinstance(timing, Move):
            free[pipe] = end = start + timing.head + math.ceil(timing.access.bytes / timing.bytes_per_cycle)
        elif isinstance(timing, Barrier):
            free[pipe] = end = max(start, visible[pipe])
        elif isinstance(timing, SetFlag):
            start = leaves = max(start, visible[pipe])
            free[pipe] = end = start + on.sync.set_flag_cycles.value
            raised[pipe, timing.destination, timing.flag].append(end)
        elif isinstance(timing, WaitFlag):
            flag = raised[timing.source, pipe, timing.flag].pop(0)
            free[pipe] = leaves = end = max(start, flag) + on.sync.wait_flag_cycles.value
        if isinstance(timing, Run | Move):
            visible[pipe] = max(visible[pipe], end)
        left[pipe].append(leaves)
        found.append((instruction.mnemonic, start, end))
        issued.append(now)
        now += issue
    return found, issued
