"""What a run would gain without its bounds: times worked out by hand, and that anybody can simulate them again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from kernels import DEADLOCK, write_run
from outcomes import SMALL
from tiny import figures

from ascend_sim.cli import main
from ascend_sim.config import load_run
from ascend_sim.errors import ArgumentError, DeadlockError
from ascend_sim.report.whatif import WhatIf, lines, to_json
from ascend_sim.simulate import simulate
from ascend_sim.whatif import MOST, what_if

LOADS = """\
u = core.tensor("u", Space.UB, 256, asc.fp32)
v = core.tensor("v", Space.UB, 256, asc.fp32)
asc.data_copy(u, gm.x)
asc.set_flag(Pipe.MTE2, Pipe.V, 0)
asc.data_copy(v, gm.x)
asc.set_flag(Pipe.MTE2, Pipe.V, 1)
asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
asc.adds(u, u, 1.0)
asc.wait_flag(Pipe.MTE2, Pipe.V, 1)
asc.adds(v, v, 1.0)
"""
"""Two loads of 1 KiB, the second from L2, and an adds of four repeats on each.

On the tiny chip MTE2 loads from 0 to 116, sets until 126, loads until 242 and sets until 252. V waits until 131, adds
until 171, waits until 257, and its result is there at 337.
"""


@pytest.fixture(scope="module")
def loads(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The run of LOADS on one core."""
    return str(write_run(tmp_path_factory.mktemp("loads"), LOADS, None))


def cycles(row: WhatIf) -> int:
    """Cycles that would remain on the tiny chip, at 1 GHz."""
    assert row.time_us is not None
    return round(1000 * row.time_us)


def by_resource(rows: list[WhatIf]) -> dict[str, WhatIf]:
    """*rows* by the resource."""
    return {row.resource: row for row in rows}


# --- Worked out by hand ---


def test_without_the_vector_unit_the_loads_remain(loads: str) -> None:
    """V takes its flag five cycles after the second set_flag ends, at 257, and is done; 85 of 337 cycles were V's."""
    mte2, vec = what_if(loads, figures())

    assert (vec.resource, vec.share, vec.base_us) == ("aiv_vec", pytest.approx(85 / 337), pytest.approx(0.337))
    assert cycles(vec) == 257
    assert vec.bound_by == (
        "aiv_mte2 (memory: latency, 78 % of the time in the heads of moves): 98 % of the critical path"
    )
    assert vec.overrides == ()
    assert vec.speedup == pytest.approx(337 / 257)
    assert (mte2.resource, mte2.share) == ("aiv_mte2", pytest.approx(252 / 337))


def test_without_the_path_l2_remains(loads: str) -> None:
    """1024 B at 1024 B a cycle: loads of one cycle, V waits until 16, adds until 56, waits until 61, done at 141."""
    mte2, _ = what_if(loads, figures())

    assert cycles(mte2) == 141
    assert mte2.bound_by is not None
    assert mte2.bound_by.startswith("aiv_vec (compute)")
    (change,) = mte2.overrides
    assert change.startswith("chip.paths.gm_to_ub={head_cycles: 0, bytes_per_cycle: 1e+18, ")


def test_what_hbm_costs(loads: str) -> None:
    """At 8 B a cycle the first load flows for 128 instead of 16 cycles; these 112 of 449 are HBM's, and go with it."""
    rows = by_resource(what_if(loads, figures(hbm=8)))

    assert rows["hbm"].share == pytest.approx(112 / 449)
    assert cycles(rows["hbm"]) == 337
    assert rows["aiv_mte2"].share == pytest.approx(252 / 449)


def test_what_l2_costs(loads: str) -> None:
    """A die that reads 8 B a cycle holds up both loads by 112 cycles; reads, writes and both are one resource."""
    rows = by_resource(what_if(loads, figures("l2.read_bytes_per_cycle=8")))

    assert rows["l2"].share == pytest.approx(224 / 561)
    assert cycles(rows["l2"]) == 337
    assert [change.partition("=")[0] for change in rows["l2"].overrides] == [
        "chip.l2.read_bytes_per_cycle", "chip.l2.write_bytes_per_cycle", "chip.l2.total_bytes_per_cycle",
    ]  # fmt: skip


def test_misses_come_no_later_without_hbm(loads: str) -> None:
    """A miss that waits 500 cycles for its first byte waits for HBM, though not for its bandwidth."""
    rows = by_resource(what_if(loads, figures("l2.miss_extra_cycles=500", hbm=8)))

    assert cycles(rows["hbm"]) == 337


def test_the_launch(loads: str) -> None:
    """A launch of 1 us takes a microsecond, no more and no less."""
    rows = what_if(loads, figures("launch.vector_seconds=1e-6"))

    assert rows[0].resource == "launch"
    assert rows[0].share == pytest.approx(1000 / 1337)
    assert cycles(rows[0]) == 337
    assert rows[0].overrides == ("chip.launch.vector_seconds=0",)


def test_the_turn_of_a_block_is_not_the_launch(loads: str) -> None:
    """The third vector core begins 1000 cycles after the first two, with which it shares the launch of 100."""
    settings = figures("launch.skew_cycles=1000", "launch.vector_seconds=1e-7")
    alone = what_if(loads, settings)
    turns = what_if(loads, [*settings, "launch.blocks=3"])

    assert "launch_skew" not in by_resource(alone)
    assert turns[0].resource == "launch_skew"
    assert turns[0].share == pytest.approx(1000 / 1437)
    assert turns[0].overrides == ("chip.launch.skew_cycles=0",)
    assert cycles(turns[0]) == 437


def test_issue_is_that_of_both_kinds_of_scalar_units(loads: str) -> None:
    """With 200 cycles for each instruction nothing else matters, and without them 337 remain."""
    rows = what_if(loads, figures("scalar.issue_cycles=200"))

    assert rows[0].resource == "scalar"
    assert cycles(rows[0]) == 337
    assert rows[0].overrides == ("chip.scalar.issue_cycles=0",)


def test_only_the_paths_of_the_pipe_are_free() -> None:
    """MTE2 of the cube cores of AMLA loads into L1 alone; the path of the vector cores' MTE2 is not its own."""
    slow = "chip.paths.gm_to_l1_nz.bytes_per_cycle=10"
    row = by_resource(what_if("amla_small", [*SMALL["amla_small"], slow]))["aic_mte2"]

    assert [change.partition("=")[0] for change in row.overrides] == ["chip.paths.gm_to_l1_nz"]


# --- Laws ---

CUBE = ("chip.launch.cube_seconds=0", "chip.cube.cycles_per_fractal.bf16=8")
REPEATED = {
    "hbm": ("vector_add", ("problem.length=400000",)),
    "launch": ("gemm_small", ()),
    "aic_mte2": ("gemm_small", ()),
    "aic_mte1": ("gemm_small", ("chip.paths.l1_to_l0b.bytes_per_cycle=8",)),
    "aic_fixpipe": ("gemm_small", ("chip.paths.l0c_to_gm.bytes_per_cycle=4",)),
    "aiv_mte3": ("vector_add", ("chip.paths.ub_to_gm.bytes_per_cycle=4",)),
    "l2": ("gemm_small", ("chip.l2.read_bytes_per_cycle=200",)),
    "scalar": ("amla_small", (*SMALL["amla_small"], "chip.scalar.issue_cycles=60")),
    "cross_core": ("amla_small", (*SMALL["amla_small"], "chip.sync.cross_core_latency_cycles=20000")),
    "launch_skew": ("amla_small", (*SMALL["amla_small"], "chip.launch.mix_skew_cycles=90000")),
}
"""A run of which the resource is among the first bounds."""


@pytest.mark.parametrize("resource", list(REPEATED))
def test_anybody_can_repeat_it(resource: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed below a line, given to `ascend-sim run`, takes the same time to the cycle."""
    config, overrides = REPEATED[resource]
    row = by_resource(what_if(config, overrides))[resource]
    _, printed = lines([row])
    arguments = shlex.split(printed.partition("critical path")[2])
    before = [part for change in overrides for part in ("--set", change)]

    with pytest.raises(SystemExit):
        main(["run", config, "--no-data", "--json", *before, *arguments])
    found = json.loads(capsys.readouterr().out)
    assert arguments[::2] == ["--set"] * len(row.overrides)
    assert found["time_us"] == row.time_us
    assert found["bound_by"] == row.bound_by


@pytest.mark.parametrize(
    ("name", "overrides"),
    [*SMALL.items(), ("softmax", ("problem.rows=480",)), ("gemm_small", CUBE), ("microbench", ())],
)
def test_without_a_bound_no_run_is_slower(name: str, overrides: tuple[str, ...]) -> None:
    """Every time is at most that of the run, the shares are those of the largest parts and fall."""
    rows = what_if(name, overrides)
    base = simulate(load_run(name, overrides), data=False).result

    assert 1 < len(rows) <= MOST
    assert {row.base_us for row in rows} == {base.time_us}
    assert all(row.time_us is not None and row.time_us <= row.base_us for row in rows)
    shares = [row.share for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1 + 1e-9


def test_a_cube_bound_gemm_is_bound_by_something_else_then() -> None:
    """MMADs of no time leave the loads, and the result says so."""
    first = what_if("gemm_small", CUBE)[0]

    assert (first.resource, first.overrides) == ("aic_cube", ())
    assert first.time_us is not None
    assert first.bound_by is not None
    assert first.time_us < first.base_us * 0.7
    assert first.bound_by.startswith("aic_mte2")


def test_every_simulation_is_counted(loads: str) -> None:
    """A progress bar hears of each run, and how many there will be."""
    counted: list[int] = []
    rows = what_if(loads, figures(), advance=counted.append)

    assert counted == [len(rows)] * len(rows)


# --- Runs that fail ---

AHEAD = """\
if core.kind is asc.AIC:
    left = core.tensor("left", Space.L0A, (16, 16), asc.fp16)
    right = core.tensor("right", Space.L0B, (16, 16), asc.fp16)
    sum_ = core.tensor("sum", Space.L0C, (16, 16), asc.fp32)
    for _ in range(20):
        asc.mmad(sum_, left, right, init=True)
        asc.cross_core_set_flag(0, Pipe.M)
else:
    u = core.tensor("u", Space.UB, 512, asc.fp32)
    for _ in range(20):
        asc.cross_core_wait_flag(0)
        asc.adds(u, u, 1.0)
        asc.pipe_barrier(Pipe.ALL)
"""
"""Vector cores take 120 cycles for each flag, and the cube core 150; without the MMADs it is 16 flags ahead."""


def test_a_run_that_fails_then_says_why(tmp_path: Path) -> None:
    """A cube core in no hurry keeps the counters of its flags low; one that takes no time does not."""
    run = write_run(tmp_path, AHEAD, None)
    program = tmp_path / "kernel.py"
    program.write_text(program.read_text().replace('cores="vector"', 'cores="mix"'), encoding="utf-8")
    cube = by_resource(what_if(str(run), figures()))["aic_cube"]

    assert (cube.time_us, cube.bound_by, cube.speedup) == (None, None, None)
    assert cube.reason is not None
    assert "its counter holds 15" in cube.reason
    first, _ = lines([cube])
    assert first == f"if aic_cube were infinitely fast   unknown    {cube.reason}"


def test_a_run_that_deadlocks_as_it_is(tmp_path: Path) -> None:
    """The run itself must come to its end."""
    with pytest.raises(DeadlockError, match=r"deadlock on die0\.core0\.veccore0"):
        what_if(str(write_run(tmp_path, DEADLOCK)))


def test_a_run_without_time(tmp_path: Path) -> None:
    """Nothing bounds a run that takes no time."""
    run = write_run(tmp_path, "pass", None)
    with pytest.raises(ArgumentError) as caught:
        what_if(str(run), ["chip.launch.vector_seconds=0"])

    assert str(caught.value) == f"{run}: the run takes no time, so nothing bounds it; give its cores some work"


# --- In words and as JSON ---

ROWS = [
    WhatIf("aic_cube", 0.41, 650.1, 412.3, "aic_mte2 (memory: latency)", ()),
    WhatIf("hbm", 0.2, 650.1, 600.0, "aic_cube (compute)", ("chip.a=1e+18", "chip.b={c: 0}")),
    WhatIf("launch", 0.1, 650.1, 0.0, "launch (the launch)", ("chip.d=0",)),
]


def test_the_lines() -> None:
    """What would remain in one line, and below it the share and what to type."""
    cube, _, hbm, repeat, launch, _ = lines(ROWS)

    assert cube == (
        "if aic_cube were infinitely fast   412.3 us instead of 650.1 us (-36.6 %)    "
        "then bound by aic_mte2 (memory: latency)"
    )
    assert hbm == (
        "if hbm were infinitely fast          600 us instead of 650.1 us (-7.7 %)     then bound by aic_cube (compute)"
    )
    assert launch == (
        "if launch took no time                 0 us instead of 650.1 us (-100.0 %)   then bound by launch (the launch)"
    )
    assert repeat == "    20 % of the critical path   --set chip.a=1e+18 --set 'chip.b={c: 0}'"


def test_the_json() -> None:
    """A list with all fields and the speedup, which is null where no time is left."""
    listed = json.loads(to_json(ROWS))

    assert [one["speedup"] for one in listed] == [pytest.approx(650.1 / 412.3), pytest.approx(650.1 / 600), None]
    assert listed[1]["overrides"] == ["chip.a=1e+18", "chip.b={c: 0}"]
    assert list(listed[0]) == [
        "resource", "share", "base_us", "time_us", "bound_by", "overrides", "reason", "speedup",
    ]  # fmt: skip
