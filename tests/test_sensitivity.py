"""By how much figures of the chip move the time of a run, checked against what can be worked out by hand."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from kernels import DEADLOCK, RIGHT, write_run
from pydantic import BaseModel

from ascend_sim import sensitivity as module
from ascend_sim.cli import main
from ascend_sim.config import Figure, load_chip
from ascend_sim.kernel.reuse import STRUCTURE
from ascend_sim.report.sensitivity import SMALL, Elasticity, table
from ascend_sim.sensitivity import Sensitivity, sensitivity

CLOCK = 1800.0
"""Cycles per microsecond of the chips used here."""


@cache
def plain(run: str) -> Sensitivity:
    """The sensitivity of *run* with a step of 10 %."""
    return sensitivity(run)


def vector_add() -> Sensitivity:
    """The bundled run vector_add, as it is."""
    return plain("vector_add")


def by_name(found: Sensitivity) -> dict[str, Elasticity]:
    """The rows of *found* by the name of their figure."""
    return {row.figure: row for row in found.rows}


def extra_cycles(row: Elasticity) -> int:
    """By how many cycles the larger figure lengthens the run."""
    assert row.time_us is not None
    return round((row.time_us[1] - row.base_us) * CLOCK)


@pytest.fixture(scope="module")
def one_core(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The run of a kernel that loads, adds and stores 1 KiB on one core."""
    return str(write_run(tmp_path_factory.mktemp("one_core")))


def test_the_launch_counts_by_its_share_of_the_time(one_core: str) -> None:
    """A cost that nothing hides has its share of the time as elasticity."""
    found = plain(one_core)

    share = 1.4 / found.time_us
    assert by_name(found)["launch.vector_seconds"].elasticity == pytest.approx(share, rel=0.01)


def test_whole_numbers_change_by_one(one_core: str) -> None:
    """Two flags are set and two awaited in a chain: a cycle more for each is two cycles more, from 1 upwards only."""
    rows = by_name(plain(one_core))

    for name in ("sync.set_flag_cycles", "sync.wait_flag_cycles"):
        row = rows[name]
        assert row.change == (0.0, 1.0)
        assert extra_cycles(row) == 2
        assert row.elasticity == pytest.approx(2 / (row.base_us * CLOCK))


def test_the_rows_of_a_vector_operation_are_varied_together(one_core: str) -> None:
    """An addition of 4 repeats takes latency + 4 further cycles, which grow by the share that first_cycles needs."""
    rows = by_name(plain(one_core))
    (name,) = [name for name in rows if name.startswith("vector.ops.")]
    row = rows[name]
    latency, further = (row.values[f"{name}.fp32.{part}"] for part in ("latency_cycles", "further_cycles"))

    assert row.change is not None
    assert row.change[1] == pytest.approx(1 / row.values[f"{name}.fp32.first_cycles"])
    assert extra_cycles(row) == pytest.approx((latency + 4 * further) * row.change[1], abs=1.0)


def test_what_the_program_does_not_use_has_no_effect(one_core: str) -> None:
    """Cube, cross-core flags and paths of the cube core move a vector kernel by exactly nothing."""
    unused = ("cube.", "paths.l1_", "paths.gm_to_l1.", "paths.l0c_", "sync.cross_core", "launch.skew")
    rows = [row for row in plain(one_core).rows if row.figure.startswith(unused)]

    assert len(rows) > 10
    assert {row.elasticity for row in rows} <= {0.0, None}
    assert all(row.reason == "not varied (0)" for row in rows if row.elasticity is None)


def test_seconds_scale_the_time() -> None:
    """With clock, HBM rates and launch in other seconds the run takes as many of them: the elasticities add up to 1."""
    rows = by_name(vector_add())
    names = "launch.vector_seconds", "clock_hz", "hbm.bytes_per_second"
    launch, clock, hbm = (rows[name].elasticity for name in names)

    assert launch is not None
    assert clock is not None
    assert hbm is not None
    assert launch - clock - hbm == pytest.approx(1.0, abs=0.02)


def test_more_bandwidth_takes_no_longer() -> None:
    """No rate has a positive elasticity, and HBM matters most to a run that it bounds."""
    found = vector_add()

    rates = [row.elasticity or 0.0 for row in found.rows if row.unit in ("B/s", "B/cycle")]
    assert len(rates) == 21
    assert max(rates) < SMALL
    assert found.rows[0].figure == "hbm.bytes_per_second"


def test_a_rate_is_varied_in_logarithms() -> None:
    """The elasticity of a rate is the quotient of differences of logarithms of the two runs that it reports."""
    row = by_name(vector_add())["hbm.bytes_per_second"]

    assert row.values == {"hbm.bytes_per_second": 1.6e12, "hbm.mixed_bytes_per_second": 1.267e12}
    assert row.time_us is not None
    low, high = row.time_us
    assert row.elasticity == pytest.approx(math.log(high / low) / math.log(1.1 / 0.9))


def test_rows_are_sorted_by_magnitude() -> None:
    """The largest elasticity comes first whatever its sign, what was not varied last."""
    rows = vector_add().rows
    varied = [abs(row.elasticity) for row in rows if row.elasticity is not None]

    assert varied == sorted(varied, reverse=True)
    assert all(row.reason is not None for row in rows[len(varied) :])
    assert any(row.elasticity is not None and row.elasticity < 0 for row in rows[:3])


def test_several_processes_find_the_same(one_core: str) -> None:
    """--jobs changes neither a number nor the order, and every run is counted."""
    counted: list[int] = []
    alone = plain(one_core)

    assert sensitivity(one_core, jobs=2, advance=counted.append) == alone
    assert counted == [2 * sum(row.reason is None for row in alone.rows)] * len(counted)
    assert len(counted) == counted[0]


def test_overrides_are_what_is_varied(one_core: str) -> None:
    """A figure that is set on the command line is varied around the value set, and its standing says so."""
    rows = by_name(sensitivity(one_core, ["chip.launch.vector_seconds=2e-6", "chip.l2.miss_extra_cycles=0"], step=0.2))

    launch = rows["launch.vector_seconds"]
    assert (launch.values, launch.standing, launch.source) == ({"launch.vector_seconds": 2e-6}, "override", "--set")
    assert launch.time_us == pytest.approx((launch.base_us - 0.4, launch.base_us + 0.4), abs=2 / CLOCK)
    assert rows["l2.miss_extra_cycles"].reason == "not varied (0)"


def figure_keys(model: BaseModel, prefix: str = "") -> Iterator[str]:
    """The keys of all figures below *model*."""
    for name in type(model).model_fields:
        inner: Any = getattr(model, name)
        if isinstance(inner, Figure):
            yield f"{prefix}{name}"
        elif isinstance(inner, BaseModel):
            yield from figure_keys(inner, f"{prefix}{name}.")
        elif name == "cycles_per_fractal":
            yield from (f"{prefix}{name}.{dtype}" for dtype in inner)


def test_every_figure_is_varied_or_left_out_on_purpose() -> None:
    """Each figure of a chip stands in a row or below one of the keys of STRUCTURE, and each of these keys exists."""
    keys = set(figure_keys(load_chip("ascend910b2")))
    kept = {key for key in keys if any(key == name or key.startswith(f"{name}.") for name in STRUCTURE)}
    varied = {key for row in vector_add().rows for key in row.values if not key.startswith("vector.ops.")}

    assert varied == keys - kept
    assert all(any(key == name or key.startswith(f"{name}.") for key in kept) for name in STRUCTURE)


def test_a_value_with_which_the_program_fails_is_said(tmp_path: Path) -> None:
    """A wait, 19 additions and 18 barriers need a queue of 38, and deadlock with 34: the reason says so."""
    body = RIGHT.replace("asc.set_flag(Pipe.MTE2, Pipe.V, 0)\n", "", 1)
    adds = "asc.adds(u, u, 1.0)\n" * 19
    body = body.replace("asc.adds(u, u, 1.0)\n", f"{adds}asc.set_flag(Pipe.MTE2, Pipe.V, 0)\n")
    run = str(write_run(tmp_path, body))
    found = sensitivity(run, ["chip.scalar.queue_depth=38"])

    row = by_name(found)["scalar.queue_depth"]
    assert row.elasticity is None
    assert row.reason is not None
    assert row.reason.startswith("not varied (the run fails with scalar.queue_depth=34: deadlock on die0.core0")
    assert any(line.startswith("not varied (the run fails") for line in table("", found.rows))


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `ascend-sim sensitivity`."""
    with pytest.raises(SystemExit) as stop:
        main(["sensitivity", *map(str, arguments)])
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


def test_the_table_shows_what_matters(one_core: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures below the limit are counted and not shown, zeros are named, and what is left out is said once."""
    code, out, err = said(capsys, one_core, "--jobs", 1)

    assert (code, err) == (0, "")
    rows = plain(one_core).rows
    large = [row.figure for row in rows if abs(row.elasticity or 0.0) >= SMALL]
    small = [row for row in rows if row.elasticity is not None and abs(row.elasticity) < SMALL]
    title, _, heads, *lines = out.splitlines()
    assert title.startswith("kernel on ascend910b3: ")
    assert heads.split() == ["elasticity", "figure", "value", "varied", "by", "standing", "source"]
    assert [line.split()[1] for line in lines[: len(large)]] == large
    assert lines[len(large) : len(large) + 2] == ["", f"below 0.005: {len(small)} figures (--json lists them)"]
    assert any(line.startswith("not varied (0): paths.gm_to_l0a.latency_cycles, ") for line in lines)
    assert [line for line in lines if line.startswith("left out: dies, ")] == lines[-1:]


def test_data_types_of_different_cost_are_only_counted() -> None:
    """Equal costs are shown once; of different ones the table says how many there are."""
    values = {"vector.ops.o.a.first_cycles": 3, "vector.ops.o.b.first_cycles": 3}
    shared = {"unit": "cycles", "standing": "measured", "source": "S", "base_us": 1.0}
    rows = [
        Elasticity("equal", values, **shared, change=(0.0, 1.0), elasticity=0.5),
        Elasticity("other", values | {"vector.ops.o.b.first_cycles": 4}, **shared, change=(-0.1, 0.1), elasticity=-0.2),
    ]
    _, _, _, equal, other, *_ = table("", rows)

    assert equal.split() == ["+0.500", "equal", "3", "cycles", "+100", "%", "measured", "S"]
    assert other.split() == ["-0.200", "other", "2", "data", "types", "+-10", "%", "measured", "S"]


def test_json_lists_every_figure(one_core: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints a list with the rows that the table leaves out, and nothing else."""
    code, out, err = said(capsys, one_core, "--jobs", 1, "--json", "--step", 5)

    assert (code, err) == (0, "")
    listed = json.loads(out)
    assert [one["figure"] for one in listed] == [row.figure for row in sensitivity(one_core, step=0.05).rows]
    (launch,) = [one for one in listed if one["figure"] == "launch.vector_seconds"]
    assert launch["change"] == [-0.05, 0.05]
    assert launch["source"] == "HCPRE"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--step", 0), "--step 0: must be above 0 and at most 50 percent; write --step 10 instead"),
        (("--step", 51), "--step 51: must be above 0 and at most 50 percent; write --step 10 instead"),
        (("--step", "nan"), "--step nan: must be above 0 and at most 50 percent; write --step 10 instead"),
        (("--jobs", 0), "--jobs 0: there is nobody to work; write --jobs 1 or more"),
        (("--set", "chip.nothing=1"), "unknown key 'nothing'"),
    ],
)
def test_wrong_options(
    one_core: str, arguments: tuple[object, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong option is refused in one line with the value and the way out."""
    code, out, err = said(capsys, one_core, *arguments)

    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_program_is_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    """The path of a program gets the same answer as from `run`."""
    code, _, err = said(capsys, "kernel.py")

    assert code == 2
    assert err.startswith("kernel.py: is a program; write a run file")


def test_a_run_that_fails_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A deadlock of the run itself is reported as by `run`."""
    code, out, err = said(capsys, write_run(tmp_path, DEADLOCK))

    assert (code, out) == (3, "")
    assert "deadlock on die0.core0.veccore0" in err


def test_a_run_without_time_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the run takes no time there is nothing to divide by."""
    run = write_run(tmp_path, "pass", None)
    code, out, err = said(capsys, run, "--set", "chip.launch.vector_seconds=0")

    assert (code, out) == (2, "")
    assert err.endswith("run.yaml: the run takes no time, so nothing can change it; give its cores some work\n")


def _dies(config: str, overrides: tuple[str, ...]) -> None:
    os._exit(1)


def test_a_process_that_ends_early_is_no_bug(
    one_core: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """When a process of the pool dies, the message says what to write instead."""
    monkeypatch.setattr(module, "_start", _dies)
    code, out, err = said(capsys, one_core, "--jobs", 2)

    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == (
        "--jobs 2: one of the processes ended early, as for want of memory; write --jobs 1 instead"
    )
