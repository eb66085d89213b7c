"""Mutation: each synchronising instruction of each bundled program is removed, or given another id.

A program that lacks one must be reported. What survives is a barrier that the tracer has placed for later instructions
that do not come: without it every order of execution gives the same bits.
"""

from __future__ import annotations

import pytest
from mutants import Mutant, mutants

from ascend_sim.check.finding import Finding, Findings
from ascend_sim.check.safety import Safety
from ascend_sim.config import Chip, load_run
from ascend_sim.engine.adversary import execute_adversarially
from ascend_sim.engine.functional import generated_inputs
from ascend_sim.isa.sync import PipeBarrier
from ascend_sim.kernel import Program
from ascend_sim.simulate import prepare

SMALL = {
    "vector_add": ("problem.length=6000", "problem.tile=1000"),
    "softmax": ("problem.rows=30", "problem.columns=100", "tiling.elements=1024"),
    "gemm_small": ("problem.m=300", "problem.n=300", "problem.k=300"),
    "flash_attention_small": (
        "problem.heads=1", "problem.kv_heads=1", "problem.query_tokens=40", "problem.kv_tokens=300",
    ),
    "amla_small": (
        "problem.batch=1", "problem.kv_tokens=300", "problem.heads=16", "problem.latent_dim=64", "problem.rope_dim=32",
        "tiling.task_rows=128", "tiling.task_keys=128",
    ),
}  # fmt: skip
"""Overrides under which every line of a program is still traced, on one block."""
VARIANTS = [
    *((name, ()) for name in SMALL),
    ("amla_small", ("program=mla_base",)),
    ("gemm_small", ("launch.blocks=2", "schedule.split_k=2", "tiling.unit_flag=false")),
]
CAUGHT = 0.95
SEEDS = range(6)


class _FoundError(Exception):
    """The first error ends the check of a mutant."""


class _FirstError(Findings):
    def add(self, key: object, finding: Finding) -> None:
        super().add(key, finding)
        if finding.error:
            raise _FoundError


def _reported(mutant: Mutant, chip: Chip) -> bool:
    """Whether the order and flags of the mutant are found to be wrong; one that stops is a deadlock."""
    safety = Safety(mutant.program, chip)
    safety.accesses.findings, safety.flags.findings = _FirstError(), _FirstError()
    try:
        safety.run()
    except _FoundError:
        return True
    return not safety.machine.finished or any(one.error for one in safety.found())


def _bits(program: Program, chip: Chip, seed: int) -> list[bytes]:
    inputs = generated_inputs(program, 0, "normal", 1.0)
    return [one.tobytes() for one in execute_adversarially(program, chip, inputs, seed).values()]


@pytest.mark.parametrize(
    ("name", "overrides"), VARIANTS, ids=lambda value: value if isinstance(value, str) else ",".join(value)
)
def test_a_removed_or_renamed_flag_is_reported(name: str, overrides: tuple[str, ...]) -> None:
    """At least 95 % of the mutants are reported; each other one lacks a barrier that orders nothing."""
    run = load_run(name, ["launch.blocks=1", *SMALL[name], *overrides])
    _, _, program = prepare(run)
    every = list(mutants(program, run.chip))
    survivors = [one for one in every if not _reported(one, run.chip)]

    assert len(every) >= 90
    assert len(survivors) <= (1 - CAUGHT) * len(every), "\n".join(map(str, survivors))
    right = _bits(program, run.chip, 0)
    for one in survivors:
        assert isinstance(one.instruction, PipeBarrier), str(one)
        for seed in SEEDS:
            assert _bits(one.program, run.chip, seed) == right, str(one)
