"""Random programs: they end, always alike, and what they move is what the memory has seen.

ASCEND_SIM_FUZZ=long, as `make fuzz` sets it, tries thousands of new programs instead of a few that are always the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tiny
from fuzzing import cases, deadline
from hypothesis import given
from program_writer import RandomProgram
from random_programs import program_of, random_program

from ascend_sim import kernel as asc
from ascend_sim.engine.functional import execute, generated_inputs
from ascend_sim.engine.machine import Schedule, simulate_timing
from ascend_sim.errors import DeadlockError, Diagnostic, FlagError, NumericsError
from ascend_sim.isa.data_movement import LoadGm
from ascend_sim.isa.instruction import Instruction, Transfer, space_of
from ascend_sim.isa.sync import CrossCoreSetFlag, PipeBarrier
from ascend_sim.isa.timing import Move, Traffic
from ascend_sim.isa.vector import VectorInstruction
from ascend_sim.isa.vector_ops import VECTOR_OPS, Pattern
from ascend_sim.kernel import MemoryOrder, Pipe, Program, Space
from ascend_sim.observe.dependence import critical_path_and_dependence
from ascend_sim.observe.statistics import core_statistics
from ascend_sim.observe.timeline import Timelines

SECONDS = 20.0
"""What a program may take at most, on a slow machine."""


def seen(schedule: Schedule) -> list[object]:
    """All that a schedule says of the times of each core that it stands for, in order of the cores."""
    found = [
        (member, list(core.dispatched), list(core.starts), list(core.ends), core.busy, core.end)
        for core in schedule.cores
        for member in core.members
    ]
    return [schedule.cycles, schedule.memory, sorted(found, key=lambda one: (str(one[0]),))]


def computed(program: Program, random: RandomProgram, schedule: Schedule) -> dict[str, bytes]:
    """The bits of all outputs of a functional run."""
    inputs = generated_inputs(program, 0, "normal", 1.0)
    return {name: values.tobytes() for name, values in execute(program, schedule, random.chip, inputs).items()}


def instructions(program: Program) -> Iterator[Instruction]:
    """Every instruction of every core."""
    for stream in program.streams:
        for _, instruction in stream:
            yield instruction


@cases(45, 2500)
@given(random_program())
def test_a_program_ends_always_alike(random: RandomProgram) -> None:
    """Times are those of one core of each class as of all cores, of a program traced again, and of its numbers."""
    with deadline(SECONDS):
        program = random.build()
        every = simulate_timing(program, random.chip, symmetry=False)
        numbers = computed(program, random, every)
        again = random.build()
        lumped = simulate_timing(again, random.chip, symmetry=True)
        repeated = simulate_timing(again, random.chip, symmetry=False)

        assert seen(lumped) == seen(every) == seen(repeated)
        assert computed(again, random, repeated) == numbers


@cases(40, 1000)
@given(random_program())
def test_the_memory_sees_what_is_moved(random: RandomProgram) -> None:
    """L2 reads and writes the bytes of all moves, an atomic one both ways, and HBM no more sectors than these touch."""
    with deadline(SECONDS):
        program = random.build()
        memory = simulate_timing(program, random.chip).memory
        moved = dict.fromkeys(Traffic, 0)
        for instruction in instructions(program):
            timing = instruction.timing(random.chip)
            if isinstance(timing, Move):
                moved[timing.traffic] += timing.access.bytes

        assert memory.l2_read_bytes == moved[Traffic.READ] + moved[Traffic.ATOMIC]
        assert memory.l2_write_bytes == moved[Traffic.WRITE] + moved[Traffic.ATOMIC]
        assert 0 <= memory.l2_hit_bytes <= memory.l2_read_bytes + memory.l2_write_bytes


@cases(30, 500)
@given(random_program())
def test_the_critical_path_has_the_time_of_a_program(random: RandomProgram) -> None:
    """Whatever a program does, the walk back from its end explains every cycle, and no pipe is busy for longer."""
    with deadline(SECONDS):
        schedule = simulate_timing(random.build(), random.chip)
        timelines = Timelines(schedule, random.chip)
        path, _ = critical_path_and_dependence(timelines)

        assert path.total == schedule.cycles
        for core in core_statistics(timelines):
            assert all(0 <= cycles <= core.total for cycles in core.busy.values())


@cases(90, 3000)
@given(random_program(drop=True))
def test_a_program_that_lacks_a_synchronisation_ends(random: RandomProgram) -> None:
    """A program without one of its flags or barriers comes to its end, or is reported as what it is."""
    with deadline(SECONDS):
        program = random.build()
        found: list[Diagnostic] = []
        try:
            schedule = simulate_timing(program, random.chip, symmetry=False)
            computed(program, random, schedule)
        except (DeadlockError, FlagError, NumericsError) as error:
            found = error.diagnostics

    assert all(one.file is not None and one.line is not None for one in found)
    assert random.dropped is not None or not found


def test_a_fixpipe_that_reads_in_the_cycle_in_which_it_ends() -> None:
    """On a chip whose FIXPIPE has no latency, a tile under unit_flag is read when it is written to memory."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        staged = core.tensor("staged", Space.L1, (16, 16), asc.fp16)
        left = core.tensor("left", Space.L0A, (16, 16), asc.fp16)
        right = core.tensor("right", Space.L0B, (16, 16), asc.fp16)
        tile = core.buffer("tile", Space.L0C, 1024, unit_flag=True).tile((16, 16), asc.fp32)
        asc.data_copy(staged, gm.tile[0:16, 0:16])
        asc.pipe_barrier(Pipe.ALL)
        asc.load_data(left, staged)
        asc.load_data(right, staged)
        asc.pipe_barrier(Pipe.ALL)
        asc.mmad(tile, left, right, init=True, last=True)
        asc.fixpipe(gm.result[0:16, 0:16], tile)

    chip = tiny.chip("paths.l0c_to_gm.latency_cycles=0")
    program = tiny.build(body, chip, cores="cube")
    inputs = generated_inputs(program, 0, "normal", 1.0)
    outputs = execute(program, simulate_timing(program, chip, symmetry=False), chip, inputs)

    square = inputs["tile"][0:16, 0:16].astype(np.float32)
    np.testing.assert_allclose(outputs["result"][0:16, 0:16], square @ square, rtol=1e-3, atol=1e-3)


WAYS = {
    "vector", "cube", "mix", "auto_barrier True", "auto_barrier False", "flag", "barrier", "cross",
    "GM->L1", "GM->UB", "GM->L0A", "GM->L0B", "UB->GM", "UB->UB", "L1->L0A", "L1->L0B", "L0C->GM", "transpose",
    "by rows", "to fractals", "atomic", "converting", "mmad", "mmad unit_flag", "fixpipe unit_flag",
    "RingSetFlag", "RingWaitFlag", "SetFlag", "WaitFlag", "barrier PIPE_ALL", "mode 0", "mode 1", "mode 2",
    "row_broadcast", "in place", *Pattern, *VECTOR_OPS,
}  # fmt: skip


def test_random_programs_have_everything() -> None:
    """Within some hundred programs every class of instructions is used in every way, so that nothing goes untried."""
    missing: set[object] = set(WAYS)
    for number in range(600):
        random = program_of(number, tasks=12)
        missing -= {random.cores, f"auto_barrier {random.auto_barrier}", *(one.kind for one in random.syncs)}
        for instruction in instructions(random.build()):
            missing -= set(_ways(instruction))
        if not missing:
            break

    assert missing == set()


def _ways(instruction: Instruction) -> Iterator[object]:
    """Names for what *instruction* does."""
    name = type(instruction).__name__
    yield name
    if isinstance(instruction, Transfer):
        yield "->".join(space_of(one).value for one in (instruction.source, instruction.destination))
        if instruction.source.dtype != instruction.destination.dtype:
            yield "converting"
    if isinstance(instruction, LoadGm) and instruction.destination.space is Space.L1:
        yield "by rows" if instruction.destination.order is MemoryOrder.ND else "to fractals"
    if isinstance(instruction, VectorInstruction):
        yield from (instruction.name, instruction.operation.pattern)
        if instruction.row_broadcast:
            yield "row_broadcast"
        if instruction.destination in instruction.inputs:
            yield "in place"
    if isinstance(instruction, PipeBarrier):
        yield f"barrier {instruction.target.value}"
    for word in ("atomic", "transpose", "unit_flag"):
        if getattr(instruction, word, False):
            yield from (word, f"{instruction.mnemonic} {word}")
    if isinstance(instruction, CrossCoreSetFlag):
        yield f"mode {instruction.mode}"
    yield instruction.mnemonic
