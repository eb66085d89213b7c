"""Where the time of each pipe of any program went: against a count cycle by cycle, and its sum in bundled runs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from outcomes import SMALL
from random_programs import program_of
from test_observe_stalls import in_words, recorded

from ascend_sim.config import Chip, load_run
from ascend_sim.isa.words import PIPES_OF, CoreKind
from ascend_sim.kernel import Pipe
from ascend_sim.observe.facts import BARRIER, CROSS_SET, CROSS_WAIT, MOVE, PIPES, RUN, SET, WAIT
from ascend_sim.observe.stalls import BUSY, Category, Kind, Stalls, core_stalls, kind_stalls
from ascend_sim.observe.timeline import CoreTimeline, Recording, Timelines
from ascend_sim.report.lanes import Doing, pipe_lane
from ascend_sim.report.recording import read_recording, recording_bytes
from ascend_sim.simulate import simulate

# --- Any program ---


def scalar_cycles(core: CoreTimeline, on: Chip) -> dict[int, Category]:
    """What the scalar unit did in each cycle from its first dispatch on, instruction by instruction."""
    issue, set_flag = on.scalar.issue_cycles.value, on.sync.set_flag_cycles.value
    done: dict[int, Category] = {}
    now = int(core.dispatched[0]) if len(core) else 0

    def until(cycle: int, category: Category) -> None:
        nonlocal now
        done.update(dict.fromkeys(range(now, cycle), category))
        now = max(now, cycle)

    for index, kind in enumerate(core.kinds.tolist()):
        pipe, peer, end = PIPES[core.pipes[index]], int(core.peers[index]), int(core.ends[index])
        until(int(core.dispatched[index]), Category(Kind.QUEUE, pipe))
        until(now + issue, Category(Kind.ISSUE))
        if pipe is not Pipe.S:
            continue
        if kind == CROSS_WAIT:
            other = next(one for one in CoreKind if one is not core.kind)
            until(end, Category(Kind.CORE, other if peer == 2 else core.kind))
        elif kind == BARRIER and now < end:
            over = [(max(core.ends[i], core.frees[i]), -core.pipes[i]) for i in range(index) if core.pipes[i]]
            until(end, Category(Kind.RESULTS, PIPES[-max(over)[1]]))
        elif kind == WAIT and index in core.links:
            raised = int(core.starts[core.links[index][1]]) + set_flag
            until(min(raised, end - on.sync.wait_flag_cycles.value), Category(Kind.RESULTS, PIPES[peer]))
        until(end, Category(Kind.FLAGS))
    return done


def lost_cycles(core: CoreTimeline, recording: Recording) -> dict[int, Counter[Category]]:
    """What each move has lost, by category."""
    assert recording.limited is not None
    limits = recording.limited[core.number]
    rows = zip(limits.index.tolist(), limits.l2.tolist(), limits.hbm.tolist(), limits.tile.tolist(), strict=True)
    categories = Category(Kind.L2), Category(Kind.HBM), Category(Kind.DATA, Pipe.M)
    return {index: Counter(dict(zip(categories, lost, strict=True))) for index, *lost in rows}


def instruction_cycles(
    core: CoreTimeline, index: int, late: int, on: Chip, lost: Counter[Category]
) -> Iterator[tuple[Category, int]]:
    """What an instruction did that began *late* cycles after it could, from then on until it let go of its pipe."""
    kind, number = int(core.kinds[index]), int(core.pipes[index])
    start, held = int(core.starts[index]), int(core.frees[index] - core.starts[index])
    if kind in (RUN, MOVE):
        yield Category(Kind.BUFFER, Pipe.FIX) if kind == RUN else Category(Kind.DATA, Pipe.M), late
        yield from lost.items()
        yield BUSY, held - lost.total()
    elif kind in (SET, CROSS_SET):
        yield Category(Kind.RESULTS), late
        yield Category(Kind.FLAGS), held
    elif kind == BARRIER:
        yield Category(Kind.RESULTS), held
    else:
        raised, peer = start, int(core.peers[index])
        if index in core.links:
            raised = int(core.starts[core.links[index][1]]) + on.sync.set_flag_cycles.value
        yield Category(Kind.DATA if peer < number else Kind.BUFFER, PIPES[peer]), raised - start
        yield Category(Kind.FLAGS), held - (raised - start)


def counted(core: CoreTimeline, recording: Recording) -> dict[Pipe, Counter[Category]]:
    """The categories of each pipe, counted one cycle and one instruction at a time."""
    launch = int(core.dispatched[0]) if len(core) else core.totals.end
    scalar, lost = scalar_cycles(core, recording.chip), lost_cycles(core, recording)
    found: dict[Pipe, Counter[Category]] = {}
    for pipe in PIPES_OF[core.kind]:
        counts, free = Counter({Category(Kind.LAUNCH): launch}), launch
        if pipe is Pipe.S:
            counts.update(BUSY if one == Category(Kind.ISSUE) else one for one in scalar.values())
            free += len(scalar)
        indices = core.positions(pipe).tolist() if pipe is not Pipe.S else []
        while indices and (
            core.kinds[indices[-1]] == WAIT
            or (core.kinds[indices[-1]] == BARRIER and core.frees[indices[-1]] == core.starts[indices[-1]])
        ):
            indices.pop()
        for index in indices:
            begin = max(free, int(core.dispatched[index]))
            own = Category(Kind.RESULTS, pipe)
            counts.update(Category(Kind.RESULTS) if scalar[one] == own else scalar[one] for one in range(free, begin))
            late = int(core.starts[index]) - begin
            for category, cycles in instruction_cycles(core, index, late, recording.chip, lost.get(index, Counter())):
                counts[category] += cycles
            free = int(core.frees[index])
        counts[Category(Kind.DONE)] += recording.cycles - free
        found[pipe] = +counts
    return found


@pytest.mark.parametrize("seed", range(60))
def test_any_program_is_explained_cycle_by_cycle(seed: int) -> None:
    """Whatever the program, every pipe is split as it is when counted cycle by cycle, and has all of the time."""
    random = program_of(seed)
    recording = recorded(random.build(), random.chip, symmetry=True)
    for core in recording.cores:
        found = core_stalls(recording, core.number)
        assert {pipe: one.cycles for pipe, one in found.pipes.items()} == counted(core, recording)
        for one in found.pipes.values():
            assert sum(one.cycles.values()) == recording.cycles
            staged = sum((Counter(cycles) for cycles in one.by_stage.values()), Counter())
            edges = {Kind.LAUNCH, Kind.DONE}
            assert staged == {part: count for part, count in one.cycles.items() if part.kind not in edges}


@pytest.mark.parametrize("seed", range(20))
def test_a_timeline_draws_as_work_what_counts_as_work_and_bandwidth(seed: int) -> None:
    """What a figure draws and what `why` counts come from different code, and agree on when a pipe has work in hand."""
    random = program_of(seed)
    recording = recorded(random.build(), random.chip, symmetry=True)
    assert recording.limited is not None
    for core in recording.cores:
        for pipe, one in core_stalls(recording, core.number).pipes.items():
            if pipe is Pipe.S:
                continue
            counted_as_work = sum(one.cycles.get(Category(kind), 0) for kind in (Kind.BUSY, Kind.L2, Kind.HBM))
            tiles = int(recording.limited[core.number].tile.sum()) if pipe is Pipe.FIX else 0
            assert pipe_lane(core, pipe).cycles(Doing.WORK) == counted_as_work + tiles


# --- Bundled runs ---

RUNS = {
    **SMALL,
    "flash_attention_small": (),
    "softmax": ("problem.rows=400",),
}


@cache
def run(name: str, *overrides: str) -> Timelines:
    """The recording of the bundled run *name*, made small."""
    return simulate(load_run(name, [*RUNS[name], *overrides]), data=False, record=True).timelines


def of_kinds(recording: Recording) -> Iterator[Stalls]:
    """The parts of the kinds of cores that had work."""
    found = [kind_stalls(recording, kind) for kind in CoreKind]
    return (one for one in found if one is not None)


@pytest.mark.parametrize(
    ("name", "overrides"), [*((name, ()) for name in RUNS), ("amla_small", ("schedule.preload=0",))]
)
def test_the_pipes_of_bundled_runs_add_up(name: str, overrides: tuple[str, ...]) -> None:
    """On every core each pipe has all cycles of the kernel, and the kinds have those of their cores that worked."""
    recording = run(name, *overrides)
    for core in recording.cores:
        for pipe, one in core_stalls(recording, core.number).pipes.items():
            assert sum(one.cycles.values()) == recording.cycles, (core.id, pipe)
            assert min(one.cycles.values()) > 0, (core.id, pipe)
    for stalls in of_kinds(recording):
        for one in stalls.pipes.values():
            assert sum(one.cycles.values()) == stalls.cores * stalls.cycles


@pytest.mark.parametrize("name", RUNS)
def test_the_file_of_a_run_says_the_same(name: str, tmp_path: Path) -> None:
    """Read back from its file, a run has the same stalls."""
    recording = run(name)
    path = tmp_path / "recording.npz"
    path.write_bytes(recording_bytes(recording))

    assert list(of_kinds(read_recording(path))) == list(of_kinds(recording))


def test_work_agrees_with_the_statistics() -> None:
    """What V and MTE1 are busy with is their occupancy, whatever they wait for; only M is busy with issue as well."""
    recording = run("flash_attention_small")
    for core in recording.cores:
        pipes = core_stalls(recording, core.number).pipes
        occupied = np.where(core.kinds == RUN, core.frees - core.starts, 0)
        for pipe in set(PIPES_OF[core.kind]) & {Pipe.V, Pipe.MTE1, Pipe.M}:
            assert pipes[pipe].cycles.get(BUSY, 0) == int(occupied[core.positions(pipe)].sum())


def test_less_bandwidth_makes_more_waiting_for_it() -> None:
    """With half of HBM, and again half, softmax waits longer for it, and works as long as before."""
    parts: dict[str, list[float]] = defaultdict(list)
    for rate in (1.6e12, 8e11, 4e11):
        rates = (f"chip.hbm.{name}={rate}" for name in ("bytes_per_second", "mixed_bytes_per_second"))
        (stalls,) = of_kinds(run("softmax", *rates))
        for name in ("HBM bandwidth", "busy"):
            parts[name].append(in_words(stalls)["MTE2"].get(name, 0))

    assert parts["HBM bandwidth"] == sorted(set(parts["HBM bandwidth"]))
    assert max(parts["busy"]) <= min(parts["busy"]) * 1.01


def test_preload_takes_the_cube_out_of_waiting_for_the_vector_cores() -> None:
    """Without preload [C2] waits for [V1] of the same task; with preload there is a [C1] in between."""
    shares = {}
    for preload in (0, 1):
        cube, _ = of_kinds(run("amla_small", f"schedule.preload={preload}", "problem.kv_tokens=[2048,2048]"))
        shares[preload] = cube.share(in_words(cube)["M"].get("flag from vector cores", 0))
        assert preload or max(cube.between, key=cube.between.__getitem__) == ("c2", "v1")

    assert shares[0] > 2 * shares[1]
