"""Bank conflicts of a program: sums over cores, the lines that cause them, and that their advice works."""

from __future__ import annotations

import csv
import io

import pytest
from outcomes import outcome
from tiny import build, chip, line_of

from ascend_sim import kernel as asc
from ascend_sim.config import Chip
from ascend_sim.engine.machine import simulate_timing
from ascend_sim.isa.words import Space
from ascend_sim.observe.banks import BankConflicts, bank_conflict_lines, bank_conflicts, total_of
from ascend_sim.observe.statistics import core_statistics
from ascend_sim.observe.timeline import Timelines
from ascend_sim.report.csv import resource_conflict_ratio


def on() -> Chip:
    """The tiny chip with an adds of 1 and an add of 2 cycles a repeat."""
    return chip(
        "vector.ops.vadds.fp32={first_cycles: 3, further_cycles: 1.0, latency_cycles: 20}",
        "vector.ops.vadd.fp32={first_cycles: 3, further_cycles: 2.0, latency_cycles: 20}",
    )


def strided(core: asc.Core, gm: asc.GlobalMemory, pitch: int = 128) -> None:
    """An adds in place and an add of two repeats of blocks, in tiles of *pitch* columns, and an adds without gaps."""
    x = core.tensor("x", Space.UB, (16, pitch), asc.fp32)[:, 0:8]
    y = core.tensor("y", Space.UB, (16, 72), asc.fp32)[:, 0:8]
    z = core.tensor("z", Space.UB, 128, asc.fp32)
    asc.adds(x, x, 1.0, blocks=True)
    asc.add(y, y, x, blocks=True)
    asc.adds(z, z, 1.0)


def test_the_conflicts_of_a_core_add_up() -> None:
    """A repeat of the adds reads and writes 8 blocks of group 0; the add reads 8 of x there, and once one of y."""
    program = build(strided, on(), blocks=2)
    found = bank_conflicts(program, on())

    assert len(found) == 2
    assert len(set(found.values())) == 1
    one = found[program.streams[0].core]
    assert (one.instructions, one.extra_cycles) == (2, 2 * (8 - 1) + (9 - 2) + (8 - 2))
    assert (one.read_read_cycles, one.write_write_cycles) == (one.extra_cycles, 0)
    assert (one.read_read, one.write_write) == (2 * 7 + 8 + 7, 2 * 7)
    assert one.group_cycles == 2 * (8 - 1) + (9 - 1) + (8 - 1)
    assert total_of(found.values()) == one.times(2)


def test_lines_with_most_cycles_come_first() -> None:
    """Extra cycles are those of all cores, here of two; what lies without gaps is not among the lines."""
    lines = bank_conflict_lines(build(strided, on(), blocks=2), on())

    assert [(one.mnemonic, one.extra_cycles) for one in lines] == [("adds", 2 * 14), ("add", 2 * 13)]
    assert [one.where.file for one in lines] == [__file__] * 2
    assert [one.where.line for one in lines] == [line_of(strided, "blocks=True"), line_of(strided, "blocks=True", 2)]


def test_the_explanation_names_the_way_out() -> None:
    """The operand that meets itself is named with its role and the next odd number of blocks; y at 9 blocks is not."""
    adds, add = bank_conflict_lines(build(strided, on()), on())
    way_out = "since rows are 16 blocks apart; pad the tile from 128 to 136 columns, an odd number of blocks"

    assert adds.explanation == (
        f"the 8 blocks of a repeat of 'x' are written in 1 of 16 bank groups, {way_out}; "
        f"the 8 blocks of a repeat of 'x' are read in 1 of 16 bank groups, {way_out}"
    )
    assert add.explanation == f"the 8 blocks of a repeat of 'x' are read in 1 of 16 bank groups, {way_out}"


def test_the_way_out_works() -> None:
    """Padded as the explanation says, no line costs anything and the kernel is faster by what was said."""
    slow, fast = build(strided, on()), build(lambda core, gm: strided(core, gm, 136), on())
    lost = sum(one.extra_cycles for one in bank_conflict_lines(slow, on()))
    cycles = [simulate_timing(program, on()).cycles for program in (slow, fast)]

    assert bank_conflict_lines(fast, on()) == []
    assert total_of(bank_conflicts(fast, on()).values()).extra_cycles == 0
    assert cycles[0] - cycles[1] == lost == 27


def test_ratios_are_shares_of_the_core() -> None:
    """ResourceConflictRatio.csv has a row for each core with the vendor's columns."""
    program = build(strided, on(), blocks=2)
    timelines = Timelines(simulate_timing(program, on(), symmetry=True), on())
    conflicts = bank_conflicts(program, on())
    text = resource_conflict_ratio(core_statistics(timelines), conflicts, on())
    found = list(csv.DictReader(io.StringIO(text)))

    assert list(found[0])[-2:] == ["aiv_vec_bankgroup_cflt_ratio", "aiv_vec_bank_cflt_ratio"]
    assert len(found) == 2
    for row, one in zip(found, conflicts.values(), strict=True):
        cycles = int(row["aiv_total_cycles"])
        assert float(row["aiv_vec_bankgroup_cflt_ratio"]) == pytest.approx(one.group_cycles / cycles, abs=1e-6)
        assert float(row["aiv_vec_bank_cflt_ratio"]) == pytest.approx(one.clash_cycles / cycles, abs=1e-6)
        assert one.group_cycles > 0
        assert one.clash_cycles > 0


def test_a_result_counts_all_cores() -> None:
    """result.json has the sum over the cores; operands without gaps cost nothing beyond the table of costs."""
    found = outcome("vector_add")
    expected = total_of(bank_conflicts(found.program, found.timelines.chip).values())

    assert found.result.ub_banks == expected.to_json()
    assert expected.extra_cycles == 0
    assert list(found.result.ub_banks) == list(BankConflicts.__dataclass_fields__)


def test_a_cube_core_is_no_vector_core() -> None:
    """Every core of a mixed kernel has conflicts of its own: a cube core none, not those of its vector core."""
    program = outcome("amla_small").program
    conflicts = bank_conflicts(program, outcome("amla_small").timelines.chip)

    assert len(conflicts) == len(program.streams)
    for core, found in conflicts.items():
        assert (found == BankConflicts()) == (core.kind is asc.AIC)
