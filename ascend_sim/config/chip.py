"""The chip: every hardware figure that the simulator uses, each with its unit in the name and its source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, Field

from ascend_sim.config import _messages
from ascend_sim.config._nodes import Loc
from ascend_sim.config.figure import (
    BankBytes,
    BufferBytes,
    Count,
    Cycles,
    Depth,
    Figure,
    Hertz,
    NotNegative,
    Positive,
    PowerOfTwo,
    SmallCount,
    Standing,
    StepCycles,
    Strict,
)
from ascend_sim.errors import ConfigError
from ascend_sim.numerics.formats import DTYPES

_CUBE_TYPES = ("fp16", "bf16", "int8", "fp32")


def _cube_type(name: str) -> str:
    if name not in _CUBE_TYPES:
        known = _messages.choices(name, _CUBE_TYPES, "known types")
        raise ValueError(f"'{name}' is not an input type of the cube{known}")
    return name


CubeType = Annotated[str, AfterValidator(_cube_type)]


class Cores(Strict):
    """How many cores there are."""

    aic_per_die: Figure[SmallCount]
    aiv_per_aic: Figure[SmallCount]


class Buffers(Strict):
    """Sizes of the on-core memories: UB per vector core, the others per cube core."""

    l1_bytes: Figure[BufferBytes]
    l0a_bytes: Figure[BufferBytes]
    l0b_bytes: Figure[BufferBytes]
    l0c_bytes: Figure[BufferBytes]
    ub_bytes: Figure[BufferBytes]
    bt_bytes: Figure[BufferBytes]
    fb_bytes: Figure[BufferBytes]


class Cube(Strict):
    """The matrix unit. An MMAD of n fractals occupies the pipe for issue_cycles + n * cycles_per_fractal
    cycles.

    Alone it takes latency_cycles + n * cycles_per_fractal from issue to result, at least min_latency_cycles.
    MMADs of fewer than accumulate_fractals output fractals need a PIPE_M barrier before the same tile is
    accumulated on.
    """

    fractal_rows: Figure[Count]
    fractal_bytes_k: Figure[Count]
    cycles_per_fractal: dict[CubeType, Figure[StepCycles]]
    issue_cycles: Figure[Cycles]
    latency_cycles: Figure[Cycles]
    min_latency_cycles: Figure[Cycles]
    accumulate_fractals: Figure[Count]


class MovePath(Strict):
    """A data path. A move holds its pipe for max(min_cycles, head_cycles + bytes / bytes_per_cycle) cycles.

    A flag that follows the move fires latency_cycles later; in a back-to-back loop nobody sees that latency.
    """

    head_cycles: Figure[Cycles]
    bytes_per_cycle: Figure[Positive]
    min_cycles: Figure[Cycles]
    latency_cycles: Figure[Cycles]


class GmPath(MovePath):
    """A data path to or from global memory, where a move is split into requests.

    A request is one row of the move, cut at the lines of L2; it takes at least request_cycles, however short it is.
    """

    request_cycles: Figure[NotNegative]


class GmReadPath(GmPath):
    """A data path from global memory. What misses L2 flows at no more than miss_bytes_per_cycle, counted from the
    start of the move.
    """

    miss_bytes_per_cycle: Figure[Positive]


class GmWritePath(GmPath):
    """A data path to global memory. A move takes no less than its bytes / sustained_bytes_per_cycle, head included."""

    sustained_bytes_per_cycle: Figure[Positive]


class DrainPath(GmWritePath):
    """The path out of L0C. A row of odd x 2^i fractals takes odd_fractal_cycles x (odd - 1) more."""

    odd_fractal_cycles: Figure[NotNegative]


class Paths(Strict):
    """The data paths, for one core that moves alone. gm_to_l1_nz rearranges rows to fractals (ND2NZ)."""

    gm_to_l1: GmReadPath
    gm_to_l1_nz: GmReadPath
    gm_to_l0a: GmReadPath
    gm_to_l0b: GmReadPath
    gm_to_ub: GmReadPath
    ub_to_gm: GmWritePath
    l0c_to_gm: DrainPath
    l1_to_l0a: MovePath
    l1_to_l0b: MovePath
    ub_to_ub: MovePath


class L2(Strict):
    """The cache of one die; its rates are those of the die, in core cycles: of reads, of writes, of both together."""

    bytes: Figure[Count]
    line_bytes: Figure[PowerOfTwo]
    sector_bytes: Figure[PowerOfTwo]
    read_bytes_per_cycle: Figure[Positive]
    write_bytes_per_cycle: Figure[Positive]
    total_bytes_per_cycle: Figure[Positive]
    miss_extra_cycles: Figure[Cycles]


class Hbm(Strict):
    """The memory of one die: pure reads run at bytes_per_second, reads mixed with writes at the mixed
    rate.
    """

    bytes: Figure[Count]
    bytes_per_second: Figure[Positive]
    mixed_bytes_per_second: Figure[Positive]


class ScalarUnit(Strict):
    """The front end: queue_depth instructions may wait in the queue of a pipe."""

    queue_depth: Figure[Depth]
    issue_cycles: Figure[Cycles]


class Sync(Strict):
    """Flags between pipes (event ids per pair of pipes) and between cores."""

    set_flag_cycles: Figure[Cycles]
    wait_flag_cycles: Figure[Cycles]
    event_ids: Figure[Count]
    cross_core_flag_ids: Figure[Count]
    cross_core_counter_max: Figure[Count]
    cross_core_latency_cycles: Figure[Cycles]


class Launch(Strict):
    """Time on the device before the first instruction, in kernels of vector cores alone and in those with cube cores.

    The blocks of a die do not begin in the same cycle: each begins skew_cycles after the one before it, and in a kernel
    of cube and vector cores, whose blocks are groups of both, mix_skew_cycles.
    """

    vector_seconds: Figure[NotNegative]
    cube_seconds: Figure[NotNegative]
    skew_cycles: Figure[Cycles]
    mix_skew_cycles: Figure[Cycles]


class VectorRow(Strict):
    """Cost of a vector instruction of r repeats for one data type.

    Back to back it occupies the pipe for first_cycles + (r - 1) * further_cycles; measured alone it takes
    r * further_cycles + latency_cycles from issue to result.
    """

    first_cycles: Annotated[int, Field(gt=0, le=10**6)]
    further_cycles: Annotated[float, Field(gt=0, le=10**6)]
    latency_cycles: Annotated[int, Field(ge=0, le=10**9)]
    source: str
    standing: Standing
    note: str = ""


class Vector(Strict):
    """The vector unit; ops maps the vendor's instruction name and the data type to its cost.

    The data type is "fp32" when all operands agree, else first source and destination: "fp32_bf16". Whatever
    waits for a result sees it isolated_cycles earlier than the latency of an isolated measurement says.

    Neighbouring blocks of UB lie in neighbouring bank groups, cyclically. A group has one bank of bank_bytes for every
    bank_groups * bank_bytes of UB. Blocks of one repeat are at most max_block_stride blocks apart.
    """

    repeat_bytes: Figure[Count]
    block_bytes: Figure[Count]
    bank_groups: Figure[SmallCount]
    bank_bytes: Figure[BankBytes]
    max_repeats: Figure[Count]
    max_block_stride: Figure[Count]
    count_mode_cycles: Figure[Cycles]
    isolated_cycles: Figure[Cycles]
    ops: dict[str, dict[str, VectorRow]]


class Advice(Strict):
    """What moves between a core and global memory should be like; nothing but hints depends on it."""

    move_bytes: Figure[Count]
    move_alignment_bytes: Figure[PowerOfTwo]


class Chip(Strict):
    """One chip: *dies* equal dies that share nothing. Read it with load_chip()."""

    name: str
    description: str = ""
    abstract: bool = False
    extends: str | None = None
    sources: dict[str, str]
    dies: Figure[SmallCount]
    clock_hz: Figure[Hertz]
    cores: Cores
    buffers: Buffers
    cube: Cube
    paths: Paths
    l2: L2
    hbm: Hbm
    scalar: ScalarUnit
    sync: Sync
    launch: Launch
    vector: Vector
    advice: Advice

    @property
    def cycles_per_second(self) -> float:
        """Clock of all cores in Hz."""
        return self.clock_hz.value

    def peak_flops(self, dtype: str) -> float:
        """Return the peak of all dies in FLOP/s (OP/s for int8) for inputs of *dtype*.

        Each cube core finishes 2 * rows * rows * (fractal_bytes_k / size) operations per fractal. Raise a
        ConfigError when the cube does not take *dtype*.
        """
        rates = {name: figure.value for name, figure in self.cube.cycles_per_fractal.items()}
        if dtype not in rates:
            message = f"the cube of {self.name} does not take '{dtype}'"
            raise ConfigError(message + _messages.choices(dtype, list(rates), "it takes"))
        depth = self.cube.fractal_bytes_k.value / DTYPES[dtype].bytes
        operations = 2 * self.cube.fractal_rows.value**2 * depth
        cube_cores = self.dies.value * self.cores.aic_per_die.value
        return cube_cores * operations / rates[dtype] * self.cycles_per_second

    def hbm_bytes_per_cycle(self, mixed: bool) -> float:
        """Return the HBM rate of one die in bytes per core cycle, for pure reads or reads *mixed* with
        writes.
        """
        rate = self.hbm.mixed_bytes_per_second if mixed else self.hbm.bytes_per_second
        return rate.value / self.cycles_per_second


def inconsistencies(chip: Chip) -> Iterator[tuple[tuple[Loc, ...], str]]:
    """Yield the figures of *chip* that cannot all hold, the most suspect one first, and the explanation."""
    for multiple, unit in _MULTIPLES:
        size, step = _value(chip, multiple), _value(chip, unit)
        if size % step:
            below = size // step * step
            way_out = f"write {below} or {below + step}" if below else f"write {step}"
            relation = f"must be a multiple of {_messages.dotted(unit)} = {step} bytes, but it is {size}"
            message = f"{_messages.dotted(multiple)}: {relation}; {way_out} there, or change the other"
            yield (multiple, unit), message
    cores = chip.dies.value * chip.cores.aic_per_die.value * (1 + chip.cores.aiv_per_aic.value)
    if cores > _MOST_CORES:
        relation = f"all dies would have {cores} cores, and at most {_MOST_CORES} are simulated"
        message = f"cores.aic_per_die: {relation}; lower dies, aic_per_die or aiv_per_aic"
        yield (("cores", "aic_per_die"), ("cores", "aiv_per_aic"), ("dies",)), message
    pure, mixed = chip.hbm.bytes_per_second.value, chip.hbm.mixed_bytes_per_second.value
    if mixed > pure:
        relation = f"must be at most hbm.bytes_per_second = {pure:g} bytes per second, but it is {mixed:g}"
        message = f"hbm.mixed_bytes_per_second: {relation}; change both together"
        yield (("hbm", "mixed_bytes_per_second"), ("hbm", "bytes_per_second")), message
    least = min((row.latency_cycles for rows in chip.vector.ops.values() for row in rows.values()), default=None)
    isolated = chip.vector.isolated_cycles.value
    if least is not None and isolated > least:
        relation = f"must be at most {least} cycles, the least latency_cycles of vector.ops, but it is {isolated}"
        yield (("vector", "isolated_cycles"),), f"vector.isolated_cycles: {relation}; change one of the two"
    for name in _CUBE_TYPES:
        if name not in chip.cube.cycles_per_fractal:
            form = f"{name}: {{value: ..., source: ..., standing: ...}}"
            message = f"missing key '{name}' in section 'cube.cycles_per_fractal'; write '{form}' there"
            yield (("cube", "cycles_per_fractal"),), message


_MOST_CORES = 10_000
_MULTIPLES: tuple[tuple[Loc, Loc], ...] = (
    (("l2", "line_bytes"), ("l2", "sector_bytes")),
    (("l2", "bytes"), ("l2", "line_bytes")),
    (("vector", "repeat_bytes"), ("vector", "block_bytes")),
    (("vector", "bank_bytes"), ("vector", "block_bytes")),
    *((("buffers", name), ("vector", "block_bytes")) for name in Buffers.model_fields),
)


def _value(chip: Chip, loc: Loc) -> int:
    section, name = loc
    value: int = getattr(getattr(chip, str(section)), str(name)).value
    return value
