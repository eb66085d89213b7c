"""The roofline: how near a kernel comes to what the units and memories of its chip allow, from its result alone.

A resource that does at most *limit* things in a second bounds a kernel that does *intensity* useful operations for each
of these things: its rate is at most limit x intensity. The roofs are those of the whole chip, all dies and all cores,
whether the kernel uses them or not:

* The cube: `peak_tflops` of the result, multiply-adds counted twice, in the format of the kernel's matrices.
* The vector units, in element operations: one element of one vector instruction, whatever the instruction does to it.
  A vector core does no more of them than its fastest instruction of that format, by the chip's table: one repeat of
  repeat_bytes / (bytes of an element) in further_cycles. Slower instructions (an fp32 add takes two cycles a repeat)
  and the time that an instruction needs to begin keep kernels well below that roof.
* L2: reads and writes together, l2.total_bytes_per_cycle. Reads alone, and writes alone, reach less than that.
* HBM: hbm.bytes_per_second, which pure reads reach and reads mixed with writes do not. What a kernel leaves dirty in
  L2 is not among its bytes.

The useful operations of a kernel whose cube works are its FLOPs; those of other kernels are their element operations.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ascend_sim.config import Chip
from ascend_sim.errors import ArgumentError
from ascend_sim.isa.vector import VectorInstruction
from ascend_sim.kernel.program import Program
from ascend_sim.numerics import DTYPES

CUBE, VECTOR, L2, HBM = "cube", "vector", "L2", "HBM"
FLOPS, ELEMENTS, BYTES = "FLOP", "element", "B"


@dataclass(frozen=True)
class Roof:
    """What a resource of the chip allows one kernel.

    The resource does *limit* at most in a second, and did *used* for the kernel, both in *unit* a second. *intensity*
    is the useful operations of the kernel for each of these: FLOP/B for a memory, 1 for the unit whose operations are
    counted, infinite for what the kernel leaves alone. *detail* is the formats that the limit holds for, if it is one
    of formats.
    """

    name: str
    unit: str
    limit: float
    used: float
    intensity: float
    detail: str = ""

    @property
    def bound(self) -> float:
        """Useful operations a second that the resource allows at that intensity."""
        return self.limit * self.intensity

    @property
    def share(self) -> float:
        """How much of the limit is reached, which is also how much of the bound; 0 to 1."""
        return self.used / self.limit


@dataclass(frozen=True)
class Place:
    """Where a kernel stands below the roofs of its chip.

    It did *operations* useful ones, in *unit* (FLOP or element), at a *rate* in operations a second. The first of the
    *roofs* is that of the unit that did them, the last two are L2 and HBM; a kernel of both kinds of cores has the
    vector units between them.
    """

    label: str
    program: str
    chip: str
    unit: str
    operations: int
    rate: float
    roofs: tuple[Roof, ...]

    @property
    def compute(self) -> Roof:
        """The roof of the unit whose operations are counted."""
        return self.roofs[0]

    @property
    def memories(self) -> tuple[Roof, ...]:
        """L2 and HBM."""
        return self.roofs[-2:]

    @property
    def binding(self) -> Roof:
        """The lowest roof above the kernel, which is the one that it comes nearest to."""
        return max(self.roofs, key=lambda roof: roof.share)

    def ridge(self, memory: Roof) -> float:
        """Operations for each byte of *memory* from which on the compute roof is the lower one."""
        return self.compute.limit / memory.limit

    def to_json(self) -> dict[str, Any]:
        """All numbers as plain data; null stands for an infinite intensity or bound."""
        roofs = []
        for roof in self.roofs:
            ridge = self.ridge(roof) if roof.unit == BYTES else None
            numbers = asdict(roof) | {"bound": roof.bound, "share": roof.share, "ridge": ridge}
            roofs.append({key: None if value == math.inf else value for key, value in numbers.items()})
        return asdict(self) | {"roofs": roofs, "binding": self.binding.name}


def place(label: str, result: Mapping[str, Any], chip: Chip) -> Place:
    """The place of the run with *result*, the content of its result.json, below the roofs of the *chip* it ran on.

    `Chip.model_validate(result["config"]["chip"])` is that chip. Raise an ArgumentError for a result of an earlier
    version, without vector_elements, and for a run that took no time.
    """
    if "vector_elements" not in result:
        raise ArgumentError(f"{label}: the result has no 'vector_elements'; an earlier version wrote it: run it again")
    seconds = result["time_us"] / 1e6
    if not seconds:
        raise ArgumentError(f"{label}: the run takes no time, so it has no rate; give its cores some work")
    elements: Mapping[str, int] = result["vector_elements"]
    memory, cycles = result["memory"], chip.cycles_per_second * chip.dies.value
    uses = [
        (L2, memory["l2_read_bytes"] + memory["l2_write_bytes"], chip.l2.total_bytes_per_cycle.value * cycles),
        (HBM, memory["hbm_read_bytes"] + memory["hbm_write_bytes"], chip.hbm.bytes_per_second.value * chip.dies.value),
    ]
    cube = result["pipes"]["aic_cube_ratio"] > 0
    operations = result["flops"] if cube else sum(elements.values())

    def roof(name: str, unit: str, limit: float, used: int, detail: str = "") -> Roof:
        return Roof(name, unit, limit, used / seconds, operations / used if used else math.inf, detail)

    peak = result["peak_tflops"] * 1e12
    roofs = [roof(CUBE, FLOPS, peak, operations, _formats_of(chip, peak))] if cube else []
    if elements or not cube:
        roofs.append(roof(VECTOR, ELEMENTS, vector_peak(chip, elements), sum(elements.values()), "+".join(elements)))
    roofs += [roof(name, BYTES, limit, used) for name, used, limit in uses]
    unit = FLOPS if cube else ELEMENTS
    return Place(label, result["program"], result["chip"], unit, operations, operations / seconds, tuple(roofs))


def _formats_of(chip: Chip, peak: float) -> str:
    """The input formats of the cube with that *peak* in FLOP/s."""
    return "/".join(name for name in chip.cube.cycles_per_fractal if math.isclose(chip.peak_flops(name), peak))


def vector_peak(chip: Chip, elements: Mapping[str, int]) -> float:
    """Element operations a second of all vector cores of *chip* at most, in the mix of formats that *elements* counts.

    Of no elements at all: in fp32.
    """
    counts = elements or {"fp32": 1}
    cores = chip.dies.value * chip.cores.aic_per_die.value * chip.cores.aiv_per_aic.value
    cycles = sum(count / _elements_per_cycle(chip, name) for name, count in counts.items())
    return cores * chip.cycles_per_second * sum(counts.values()) / cycles


def vector_elements(program: Program) -> dict[str, int]:
    """Elements that the vector instructions of all cores of *program* are applied to, by format, sorted by its name.

    An instruction counts for the format of its widest operand with values, which sets the elements of its repeats. Each
    element of a source counts once in a reduction, and once in an operation that is fused of several.
    """
    calls = Counter(call.template for stream in program.streams for call in stream.calls)
    found: Counter[str] = Counter()
    for template, times in calls.items():
        for one in template.instructions:
            if isinstance(one, VectorInstruction):
                found[one.widest.name] += one.element_operations * times
    return dict(sorted(found.items()))


def _elements_per_cycle(chip: Chip, name: str) -> float:
    """What a vector core of *chip* works on in a cycle at most in the format *name*: a repeat of its fastest row.

    A format without a row of its own, such as one that is only copied, has the rows of its width.
    """
    size = DTYPES[name].bytes
    own: list[float] = []
    alike: list[float] = []
    for rows in chip.vector.ops.values():
        for key, row in rows.items():
            # Names that are no formats of tensors, such as int4, are of packed numbers and never the widest.
            formats = [DTYPES.get(part, DTYPES["int4x2"]) for part in key.split("_")]
            widest = max(formats, key=lambda one: one.bytes)
            cycles = min(float(row.first_cycles), row.further_cycles)
            if widest.name == name:
                own.append(cycles)
            if widest.bytes == size:
                alike.append(cycles)
    return chip.vector.repeat_bytes.value / size / min(own or alike)
