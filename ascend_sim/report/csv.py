"""PipeUtilization.csv, Memory.csv and ResourceConflictRatio.csv with the columns of the vendor's `msprof op`.

One row for each core, lumped cores written out. Columns of the other kind of core hold NA, as the vendor's do.
Columns that need what is not modelled (instruction cache, scalar waits by event id, main memory by core) are left
out. Times are of one core, from its first dispatch to its last result, and ratios are shares of that time; "KB" is
1024 bytes and "GB/s" 1e9 bytes per second.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence

from ascend_sim.config import Chip
from ascend_sim.isa.words import CoreKind, Pipe, Space
from ascend_sim.kernel.program import CoreId
from ascend_sim.observe.banks import BankConflicts
from ascend_sim.observe.facts import Path
from ascend_sim.observe.statistics import CoreStatistics
from ascend_sim.observe.timeline import metric_name, path_of

NOT_APPLICABLE = "NA"
GM_TO_L1, L0C_TO_GM = (Space.GM, Space.L1), (Space.L0C, Space.GM)
GM_TO_UB, UB_TO_GM = (Space.GM, Space.UB), (Space.UB, Space.GM)
L1_TO_L0 = ((Space.L1, Space.L0A), (Space.L1, Space.L0B))

_Cell = Callable[[CoreStatistics, Chip], str]
_Column = tuple[str, CoreKind | None, _Cell]
"""Name, the kind of core that it is about (None: both), and how to work it out."""


def pipe_utilization(statistics: Sequence[CoreStatistics], chip: Chip) -> str:
    """The text of PipeUtilization.csv."""
    return _table(statistics, chip, [*_prefix(), *_utilization()])


def memory(statistics: Sequence[CoreStatistics], chip: Chip) -> str:
    """The text of Memory.csv."""
    return _table(statistics, chip, [*_prefix(), *_memory()])


def resource_conflict_ratio(
    statistics: Sequence[CoreStatistics], conflicts: Mapping[CoreId, BankConflicts], chip: Chip
) -> str:
    """The text of ResourceConflictRatio.csv; *conflicts* are those of the banks of UB by core.

    aiv_vec_bankgroup_cflt_ratio is the share of the core's time in which accesses wait for their bank group.
    aiv_vec_bank_cflt_ratio is that which reads and writes in one bank would take if every repeat wrote while it reads:
    a bound that is not in the time.
    """
    return _table(statistics, chip, [*_prefix(), *_conflicts(conflicts)])


def block_ids(statistics: Sequence[CoreStatistics], chip: Chip) -> dict[CoreId, int]:
    """The block of each core: a cube core with its vector cores, or, without cube cores, each for itself."""
    subs = 1 if any(one.kind is CoreKind.AIC for one in statistics) else chip.cores.aiv_per_aic.value
    groups = chip.cores.aic_per_die.value
    return {
        core: (core.die * groups + core.group) * subs + (core.sub if subs > 1 else 0)
        for one in statistics
        for core in one.members
    }


def _table(statistics: Sequence[CoreStatistics], chip: Chip, columns: Sequence[_Column]) -> str:
    blocks = block_ids(statistics, chip)
    rows = sorted(
        ((blocks[core], core.kind is not CoreKind.AIC, core.sub, one) for one in statistics for core in one.members),
        key=lambda row: row[:3],
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["block_id", "sub_block_id", *(name for name, _, _ in columns)])
    for block, is_vector, sub, one in rows:
        cells = [
            cell(one, chip) if kind in (None, one.kind) else NOT_APPLICABLE for _, kind, cell in columns
        ]
        writer.writerow([block, f"vector{sub}" if is_vector else "cube0", *cells])
    return text.getvalue()


def _prefix() -> Iterable[_Column]:
    for kind in CoreKind:
        yield f"{kind.value}_time(us)", kind, lambda one, chip: _us(one.total, chip)
        yield f"{kind.value}_total_cycles", kind, lambda one, chip: str(one.total)


def _utilization() -> Iterable[_Column]:
    aic, aiv = CoreKind.AIC, CoreKind.AIV
    yield from _busy(aiv, Pipe.V)
    yield from _busy(aic, Pipe.M)
    for kind in CoreKind:
        yield from _busy(kind, Pipe.S)
        yield f"{kind.value}_scalar_wait_time(us)", kind, lambda one, chip: _us(one.scalar_wait, chip)
    yield _stall(aic, Pipe.MTE1)
    yield _stall(aic, Pipe.MTE2)
    yield _stall(aiv, Pipe.MTE2)
    yield _stall(aiv, Pipe.MTE3)
    yield _stall(aic, Pipe.M)
    yield from _busy(aic, Pipe.FIX)
    yield from _busy(aic, Pipe.MTE1)
    yield from _busy(aic, Pipe.MTE2)
    yield from _busy(aiv, Pipe.MTE2)
    yield from _busy(aiv, Pipe.MTE3)
    yield _active(aic, Pipe.MTE1, *L1_TO_L0)
    yield _active(aic, Pipe.MTE2, GM_TO_L1)
    yield _active(aiv, Pipe.MTE2, GM_TO_UB)
    yield _active(aiv, Pipe.MTE3, UB_TO_GM)
    yield _active(aic, Pipe.FIX, L0C_TO_GM)


def _memory() -> Iterable[_Column]:
    aic, aiv = CoreKind.AIC, CoreKind.AIV
    yield _rate("aiv_ub_to_gm_bw(GB/s)", aiv, UB_TO_GM)
    yield _rate("aiv_gm_to_ub_bw(GB/s)", aiv, GM_TO_UB)
    yield _rate("aic_l1_read_bw(GB/s)", aic, *L1_TO_L0)
    yield _rate("aic_l1_write_bw(GB/s)", aic, GM_TO_L1)
    for kind, pipe in ((aic, Pipe.MTE1), (aic, Pipe.MTE2), (aiv, Pipe.MTE2), (aiv, Pipe.MTE3)):
        yield _issued(kind, pipe)
        yield _ratio(kind, pipe)
    paths = (
        ("GM_to_L1", aic, GM_TO_L1),
        ("L0C_to_GM", aic, L0C_TO_GM),
        ("GM_to_UB", aiv, GM_TO_UB),
        ("UB_to_GM", aiv, UB_TO_GM),
    )
    for name, kind, path in paths:
        yield _moved(f"{name}_datas(KB)", kind, path)
    for name, kind, path in paths:
        yield _usage(f"{name}_bw_usage_rate(%)", kind, path)


def _conflicts(conflicts: Mapping[CoreId, BankConflicts]) -> Iterable[_Column]:
    """The cores that one row of statistics stands for are alike, so the first of them tells."""
    aiv = CoreKind.AIV
    yield (
        "aiv_vec_bankgroup_cflt_ratio", aiv,
        lambda one, chip: _share(conflicts[one.members[0]].group_cycles, one.total),
    )  # fmt: skip
    yield (
        "aiv_vec_bank_cflt_ratio", aiv,
        lambda one, chip: _share(conflicts[one.members[0]].clash_cycles, one.total),
    )  # fmt: skip


def _busy(kind: CoreKind, pipe: Pipe) -> Iterable[_Column]:
    yield f"{metric_name(kind, pipe)}_time(us)", kind, lambda one, chip: _us(one.busy[pipe], chip)
    yield _ratio(kind, pipe)


def _ratio(kind: CoreKind, pipe: Pipe) -> _Column:
    return f"{metric_name(kind, pipe)}_ratio", kind, lambda one, chip: _share(one.busy[pipe], one.total)


def _issued(kind: CoreKind, pipe: Pipe) -> _Column:
    return f"{metric_name(kind, pipe)}_instructions", kind, lambda one, chip: str(one.issued.get(pipe, 0))


def _moved(name: str, kind: CoreKind, path: Path) -> _Column:
    return name, kind, lambda one, chip: _number(one.moved.get(path, 0) / 1024)


def _usage(name: str, kind: CoreKind, path: Path) -> _Column:
    """Share of what the path could have carried in the core's time."""

    def cell(one: CoreStatistics, chip: Chip) -> str:
        most = one.total * path_of(chip, path).bytes_per_cycle.value
        return _number(100 * one.moved.get(path, 0) / most if most else 0.0)

    return name, kind, cell


def _stall(kind: CoreKind, pipe: Pipe) -> _Column:
    label = metric_name(kind, pipe).removeprefix(f"{kind.value}_")
    return f"{kind.value}_scalar_{label}_stall_time(us)", kind, lambda one, chip: _us(one.stalls[pipe], chip)


def _active(kind: CoreKind, pipe: Pipe, *paths: Path) -> _Column:
    """Bandwidth while the pipe was busy."""
    name = f"{metric_name(kind, pipe)}_active_bw(GB/s)"
    return name, kind, lambda one, chip: _bandwidth(one, chip, paths, one.busy[pipe])


def _rate(name: str, kind: CoreKind, *paths: Path) -> _Column:
    """Bandwidth over the core's whole time."""
    return name, kind, lambda one, chip: _bandwidth(one, chip, paths, one.total)


def _bandwidth(one: CoreStatistics, chip: Chip, paths: Iterable[Path], cycles: int) -> str:
    moved = sum(one.moved.get(path, 0) for path in paths)
    return _number(moved / cycles * chip.cycles_per_second / 1e9 if cycles else 0.0)


def _us(cycles: int, chip: Chip) -> str:
    return _number(cycles / chip.cycles_per_second * 1e6)


def _share(cycles: int, total: int) -> str:
    return _number(cycles / total if total else 0.0)


def _number(value: float) -> str:
    return f"{value:.6f}"
