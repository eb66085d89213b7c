"""What to write so that one instruction waits for another."""

from __future__ import annotations

from ascend_sim.isa.instruction import Instruction
from ascend_sim.isa.words import CoreKind
from ascend_sim.kernel.program import CoreId


def order_between(first_core: CoreId, first: Instruction, second_core: CoreId, second: Instruction) -> str:
    """The flag or barrier that makes *second* wait for *first*."""
    source, destination = f"Pipe.{first.pipe.name}", f"Pipe.{second.pipe.name}"
    if first_core == second_core and first_core.kind is second_core.kind:
        if first.pipe is second.pipe:
            return f"write pipe_barrier({source}) between them"
        return (
            f"write set_flag({source}, {destination}, id) after line {first.where.line} and wait_flag({source}, "
            f"{destination}, id) before line {second.where.line}"
        )
    if first_core.die != second_core.die:
        return "dies share neither memory nor flags: give each die data of its own"
    if first.where == second.where:
        return "both cores come to this line: give each of them a part of its own, or add with atomic_add"
    mode = _mode(first_core, second_core)
    if mode is None:
        return (
            "no flag joins a cube core with vector cores of another group: join the groups with mode=0 flags on one "
            "kind of core, and go on inside the group with mode=2"
        )
    after, before = f"after line {first.where.line}", f"before line {second.where.line}"
    if mode == 2:
        return (
            f"write cross_core_set_flag(id, {source}) {after} on the {_role(first_core)} core and "
            f"cross_core_wait_flag(id) {before} on the {_role(second_core)} core"
        )
    everyone = "every vector core" if first_core.kind is CoreKind.AIV else "every cube core"
    if mode == 1:
        everyone = "both vector cores of a group"
    return (
        f"let {everyone} run cross_core_set_flag(id, {source}, mode={mode}) {after} and cross_core_wait_flag(id, "
        f"mode={mode}) {before}, those that have nothing to do there as well"
    )


def _mode(first: CoreId, second: CoreId) -> int | None:
    """The mode of cross-core flags that joins the two cores; None if there is none."""
    if first.kind is second.kind:
        return 1 if first.group == second.group and first.kind is CoreKind.AIV else 0
    return 2 if first.group == second.group else None


def _role(core: CoreId) -> str:
    return "cube" if core.kind is CoreKind.AIC else "vector"
