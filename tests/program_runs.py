"""Running the bundled programs, and programs from which instructions were taken out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ascend_sim.config import Chip, load_chip
from ascend_sim.engine.functional import execute, generated_inputs
from ascend_sim.engine.machine import simulate_timing
from ascend_sim.isa.instruction import Instruction
from ascend_sim.kernel import Program, build
from ascend_sim.kernel.load import LoadedProgram, load_program

PROGRAMS = Path(__file__).parent.parent / "programs"

Arrays = Mapping[str, NDArray[Any]]


@cache
def chip(name: str, *overrides: str) -> Chip:
    """A bundled chip, changed by *overrides* such as "launch.skew_cycles=0"."""
    return load_chip(name, [f"chip.{override}" for override in overrides])


@cache
def loaded(name: str) -> LoadedProgram:
    """The bundled program called *name*."""
    return load_program(PROGRAMS / f"{name}.py")


def traced(name: str, sections: Mapping[str, Any], on: Chip, blocks: int | None = None) -> Program:
    """The bundled program called *name*, traced with the *sections* of a run file."""
    kernel = loaded(name).kernel
    return build(kernel, kernel.parameters.model_validate(sections), on, blocks)


@dataclass(frozen=True)
class Numbers:
    """Inputs and outputs of a functional run by tensor name, and what the reference *expected*."""

    inputs: Arrays
    outputs: Arrays
    expected: Arrays

    def error(self, rows: slice = slice(None)) -> float:
        """Relative Frobenius error of the only output, or of some of its *rows*."""
        (name,) = self.expected
        expected, output = self.expected[name][rows], self.outputs[name][rows].astype(np.float64)
        return float(np.linalg.norm(output - expected) / np.linalg.norm(expected))


def computed(program: Program, on: Chip, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """The outputs of *program*, every core simulated."""
    return execute(program, simulate_timing(program, on, symmetry=False), on, inputs)


def run(
    name: str, sections: Mapping[str, Any], on: Chip, *,
    blocks: int | None = None, inputs: Arrays | None = None, distribution: str = "normal", scale: float = 1.0,
) -> Numbers:
    """Execute a bundled program with numbers, generated ones unless *inputs* are given, beside its reference."""
    program = traced(name, sections, on, blocks)
    if inputs is None:
        inputs = generated_inputs(program, 0, distribution, scale)
    reference = loaded(name).reference
    assert reference is not None
    wide = {key: values.astype(np.float64) for key, values in inputs.items()}
    expected = reference(wide, loaded(name).kernel.parameters.model_validate(sections))
    return Numbers(inputs, computed(program, on, inputs), expected)


def without(program: Program, dropped: Callable[[Instruction], bool]) -> Program:
    """*program* as written by somebody who forgot the *dropped* instructions."""
    templates: dict[Any, Any] = {}
    for stream in program.streams:
        for call in stream.calls:
            if call.template not in templates:
                kept = tuple(one for one in call.template.instructions if not dropped(one))
                templates[call.template] = replace(call.template, instructions=kept)
    streams = tuple(
        replace(stream, calls=tuple(replace(call, template=templates[call.template]) for call in stream.calls))
        for stream in program.streams
    )
    return replace(program, streams=streams)
