"""What bounds a kernel, in one line: the pipe with most of the critical path, and what limits that pipe."""

from __future__ import annotations

from collections.abc import Sequence

from ascend_sim.config import Chip
from ascend_sim.engine.machine import Schedule
from ascend_sim.isa.words import CoreKind, Pipe
from ascend_sim.observe.critical_path import CROSS_CORE, LAUNCH, CriticalPath
from ascend_sim.observe.statistics import CoreStatistics

_PLAIN = {
    "aic_cube": "compute",
    "aiv_vec": "compute",
    "aic_mte1": "on-chip moves L1 -> L0",
    "aic_scalar": "instruction issue",
    "aiv_scalar": "instruction issue",
    CROSS_CORE: "flags between cores",
    LAUNCH: "the launch of the kernel",
}
_GM_PIPES = {
    "aic_mte2": (CoreKind.AIC, Pipe.MTE2),
    "aic_fixpipe": (CoreKind.AIC, Pipe.FIX),
    "aiv_mte2": (CoreKind.AIV, Pipe.MTE2),
    "aiv_mte3": (CoreKind.AIV, Pipe.MTE3),
}


def bound_by(path: CriticalPath, statistics: Sequence[CoreStatistics], schedule: Schedule, chip: Chip) -> str:
    """One line such as "aic_cube (compute): 78 % of the critical path".

    For a pipe that moves to or from global memory it names the limit that takes most of the kernel's time if taken
    alone: the heads of the moves (latency), the path's own rate, the L2 bandwidth, or the HBM bandwidth.
    """
    name, cycles = path.ranking[0] if path.ranking else (LAUNCH, 0)
    share = 100.0 * cycles / path.total if path.total else 0.0
    reason = _PLAIN[name] if name in _PLAIN else _memory_limit(name, statistics, schedule, chip)
    return f"{name} ({reason}): {share:.0f} % of the critical path"


def _memory_limit(name: str, statistics: Sequence[CoreStatistics], schedule: Schedule, chip: Chip) -> str:
    kind, pipe = _GM_PIPES[name]
    reads = pipe is Pipe.MTE2
    cores = [one for one in statistics if one.kind is kind and one.worked]
    memory = schedule.memory
    flows = sum(one.flows.get(pipe, 0.0) * len(one.members) for one in cores)
    heads: float = sum(one.heads.get(pipe, 0) * len(one.members) for one in cores)
    if reads and memory.l2_read_bytes:
        # Moves that miss wait longer; which ones did is not in the schedule, so the share of bytes stands for them.
        missing = min(memory.hbm_read_bytes / memory.l2_read_bytes, 1.0)
        moves = sum(one.moves.get(pipe, 0) * len(one.members) for one in cores)
        heads += moves * missing * chip.l2.miss_extra_cycles.value
    members = sum(len(one.members) for one in cores)
    one_way, rate = (
        (memory.l2_read_bytes, chip.l2.read_bytes_per_cycle.value)
        if reads
        else (memory.l2_write_bytes, chip.l2.write_bytes_per_cycle.value)
    )
    both = memory.l2_read_bytes + memory.l2_write_bytes
    l2_cycles = max(one_way / rate, both / chip.l2.total_bytes_per_cycle.value)
    dies = len({core.die for one in statistics for core in one.members}) * schedule.cycles
    core_cycles = members * schedule.cycles
    uses = {
        "HBM bandwidth, {:.0f} % used": (memory.hbm_read_bytes + memory.hbm_write_bytes)
        / chip.hbm_bytes_per_cycle(mixed=False)
        / dies,
        "L2 bandwidth, {:.0f} % used": l2_cycles / dies,
        "its own path, {:.0f} % used": flows / core_cycles,
        "latency, {:.0f} % of the time in the heads of moves": heads / core_cycles,
    }
    limit = max(uses, key=lambda key: uses[key])
    return f"memory: {limit.format(100 * uses[limit])}"
