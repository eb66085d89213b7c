"""What `ascend-sim why` says: the text, line by line, the JSON, and what it refuses."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from kernels import RIGHT, write_run
from outcomes import outcome
from rich.console import Console
from test_cli import Command, ascend_sim
from test_observe_stalls import between, handed_on, recorded
from tiny import Body, build, chip, load

from ascend_sim import kernel as asc
from ascend_sim.errors import ArgumentError
from ascend_sim.kernel.build import Cores
from ascend_sim.observe.stalls import BUSY
from ascend_sim.observe.timeline import Timelines
from ascend_sim.report.result import RunResult
from ascend_sim.report.whatif import WhatIf
from ascend_sim.report.why import Why, explain, print_why, to_json, with_gains

__all__ = ["ascend_sim"]


def result_of(recording: Timelines) -> RunResult:
    """A result that has the time of *recording* at 1 GHz, and round figures beside it."""
    bound_by = "a pipe (a reason): 60 % of the critical path"
    return replace(
        outcome("vector_add").result, program="kernel", chip="tiny", cycles=recording.cycles,
        time_us=recording.cycles / 1e3, peak_tflops=100.0, flops_utilization=0.25, bound_by=bound_by,
    )  # fmt: skip


def why_of(body: Body, cores: Cores = "vector", core: str | None = None, kind: str | None = None) -> Why:
    """The explanation of *body* on the tiny chip."""
    on = chip()
    recording = recorded(build(body, on, cores), on)
    return explain(result_of(recording), recording, core, kind)


def text(why: Why, *, width: int = 80, stages: bool = False) -> str:
    """What is printed into a file."""
    stream = io.StringIO()
    print_why(why, Console(file=stream, highlight=False, width=width), stages=stages)
    return stream.getvalue()


# --- The text ---


def test_one_screen_says_it_all() -> None:
    """Headline, critical path, a row for each pipe with its longest waits, and the flags between stages."""
    assert text(why_of(between, "mix")) == """\
kernel on tiny
time      0.568 us  (568 cycles)
rate      25.0 % of 100.0 TFLOPS
bound by  a pipe (a reason): 60 % of the critical path
aiv_mte3  busy 26.4 %, waiting 1.8 %, not launched yet 0.0 %, done 71.8 %
          longest wait: flags, 1.8 %

critical path     share       us  stage
cross_core       52.8 %    0.300
aiv_mte3         28.2 %    0.160  produce
aic_mte2         19.0 %    0.108  consume

1 cube core        busy    waits     idle  longest waits
aic_mte2         19.0 %   81.0 %    0.0 %  flag from vector cores 81.0 %
aic_mte1          0.0 %    0.0 %  100.0 %
aic_cube          0.0 %    0.0 %  100.0 %
aic_fixpipe       0.0 %    0.0 %  100.0 %
aic_scalar        0.0 %   81.0 %   19.0 %  flag from vector cores 81.0 %
flags from other cores: consume waits for produce 81.0 %

2 vector cores     busy    waits     idle  longest waits
aiv_mte2          0.0 %    0.0 %  100.0 %
aiv_vec           0.0 %    0.0 %  100.0 %
aiv_mte3         26.4 %    1.8 %   71.8 %  flags 1.8 %
aiv_scalar        0.0 %    0.0 %  100.0 %

idle: not launched yet, or nothing left to do
"""


def test_the_headline_names_the_stages_that_a_flag_is_between() -> None:
    """Of the pipe with most of the critical path among those shown, the longest wait is said in words."""
    lines = text(why_of(between, "mix", kind="aic"), width=100).splitlines()

    assert lines[4:6] == [
        "aic_mte2  busy 19.0 %, waiting 81.0 %, not launched yet 0.0 %, done 0.0 %",
        "          longest wait: flag from vector cores, 81.0 % (consume waits for produce)",
    ]


def test_stages_have_rows_of_their_own() -> None:
    """With stages, each pipe is followed by the stages that it works or waits for."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        @core.stage(asc.AIV)
        def c1() -> None:
            load(core, gm, 6400)

        c1()
        load(core, gm, 6400)

    lines = text(why_of(body), stages=True).splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("1 vector core"))

    assert lines[begin + 1 : begin + 4] == [
        "aiv_mte2             100.0 %    0.0 %    0.0 %",
        "  [C1]                50.0 %    0.0 %",
        "  outside of stages   50.0 %    0.0 %",
    ]


def test_waits_are_cut_into_lines_at_their_commas() -> None:
    """In a narrow window no line is longer than it, and no wait is torn apart; small ones are left out."""
    lines = text(why_of(handed_on), width=70).splitlines()
    begin = lines.index(next(line for line in lines if line.startswith("aiv_vec ") and "data from" in line))

    assert max(map(len, lines)) <= 70
    assert [line.split("  ")[-1] for line in lines[begin - 1 : begin + 4]] == [
        "flags 2.2 %", "data from MTE2 32.6 %,", "own results 8.7 %,", "flags 3.3 %", "data from VECTOR 66.3 %,"
    ]  # fmt: skip


def test_a_run_without_work_is_explained_too() -> None:
    """A kernel of one barrier has a time and no busy pipe."""
    printed = text(why_of(lambda core, gm: asc.pipe_barrier(asc.Pipe.ALL)))

    assert printed.startswith("kernel on tiny\ntime      0 us  (0 cycles)\n")


def test_what_would_help_is_printed_last() -> None:
    """What the run would gain, by how much, what bounds it then, or why it cannot be said."""
    why = why_of(handed_on)
    gains = [
        WhatIf("aiv_vec", 0.6, 0.46, 0.345, "aiv_mte2 (memory): 50 % of the critical path", ()),
        WhatIf("hbm", 0.2, 0.46, None, None, (), "the run fails then (a flag)"),
    ]

    assert text(with_gains(why, gains, "run")).splitlines()[-3:] == [
        "if instant          us   change  then bound by, share of the critical path",
        "aiv_vec          0.345  -25.0 %  aiv_mte2 (memory): 50 %",
        "hbm                              the run fails then (a flag)",
    ]


# --- The JSON ---


def test_the_json_adds_up() -> None:
    """Each pipe has the cycles of the kernel on all its cores, shares of 1 and the time in microseconds."""
    why = why_of(between, "mix")
    found = json.loads(json.dumps(to_json(why), allow_nan=False))

    assert (found["schema"], found["cycles"], found["time_us"]) == ("ascend-sim/why/1", 568, 0.568)
    assert sum(part["cycles"] for part in found["critical_path"]) == 568
    assert [(part["kind"], part["cores"]) for part in found["cores"]] == [("aic", 1), ("aiv", 2)]
    for part in found["cores"]:
        for pipe in part["pipes"]:
            assert sum(one["cycles"] for one in pipe["parts"]) == 568 * part["cores"]
            assert sum(one["share"] for one in pipe["parts"]) == pytest.approx(1.0)
            assert sum(one["us"] for one in pipe["parts"]) == pytest.approx(0.568)
    mte2 = next(pipe for pipe in found["cores"][0]["pipes"] if pipe["pipe"] == "aic_mte2")
    wait = {"kind": "core", "other": "vector", "text": "flag from vector cores"}
    amount = {"cycles": 460, "share": pytest.approx(460 / 568), "us": pytest.approx(0.46)}
    assert mte2["parts"][0] == wait | amount
    assert mte2["stages"][0]["stage"] == "consume"
    assert found["cores"][0]["between"] == [{"waits": "consume", "sets": "produce"} | amount]
    assert found["what_if"] is None


# --- Which cores ---


def test_one_core_by_either_name() -> None:
    """A core is found with its die in front or as traces call it; it stands for itself alone."""
    for name in ("die0.core0.veccore1", "core0.veccore1"):
        why = why_of(between, "mix", core=name)
        ((title, stalls),) = why.cores
        assert (title, stalls.cores) == ("die0.core0.veccore1", 1)


def test_a_core_that_was_lumped_is_found() -> None:
    """A core that was not simulated itself is explained by the one that was."""
    on = chip()
    program = build(lambda core, gm: load(core, gm, 64, offset=512 * core.index), on, blocks=4)
    recording = recorded(program, on, symmetry=True)
    why = explain(result_of(recording), recording, core="die0.core1.veccore0")

    ((title, stalls),) = why.cores
    assert title == "die0.core1.veccore0"
    assert title not in [str(one.id) for one in recording.cores]
    assert stalls.pipes[asc.Pipe.MTE2].cycles[BUSY] == 101


@pytest.mark.parametrize(
    ("core", "kind", "message"),
    [
        (
            "die0.core9.cubecore0", None,
            "--core die0.core9.cubecore0: there is no such core in this run; write die0.core0.cubecore0 or "
            "die0.core0.veccore0, or so",
        ),
        (None, "cube", "--kind cube: there is no such kind of core; write aic (cube) or aiv (vector)"),
        ("core0.veccore0", "aiv", "--core core0.veccore0: is of one kind already; drop --kind aiv, or --core"),
    ],
)  # fmt: skip
def test_cores_that_there_are_not_are_refused(core: str | None, kind: str | None, message: str) -> None:
    """The message names what was written, and what may be."""
    with pytest.raises(ArgumentError) as caught:
        why_of(between, "mix", core=core, kind=kind)
    assert str(caught.value) == message


def test_a_kind_without_work_is_refused() -> None:
    """A vector kernel has nothing to say of cube cores."""
    with pytest.raises(ArgumentError) as caught:
        why_of(handed_on, kind="aic")
    assert str(caught.value) == "--kind aic: no cube core had work in this run; write aiv"


# --- The command ---


def test_a_folder_and_its_run_file_say_the_same(ascend_sim: Command, tmp_path: Path) -> None:
    """The explanation of a folder needs no program; that of its run file is simulated on the spot."""
    run, out = write_run(tmp_path), tmp_path / "out"
    assert ascend_sim("run", run, "--no-data", "--out", out).code == 0
    here = ascend_sim("why", run)
    (tmp_path / "kernel.py").unlink()
    there = ascend_sim("why", out)

    assert (there.code, there.err) == (0, "")
    assert there.out == here.out
    assert there.out.startswith("kernel on ascend910b3\n")
    assert "aiv_mte2" in there.out


def test_json_is_all_that_is_printed(ascend_sim: Command, tmp_path: Path) -> None:
    """--json prints one JSON object; --set reaches the run."""
    said = ascend_sim("why", write_run(tmp_path), "--json", "--set", "chip.clock_hz=1e9")

    assert said.code == 0
    found = json.loads(said.out)
    assert found["time_us"] == pytest.approx(found["cycles"] / 1e3)


def test_what_if_simulates_a_folder_again(ascend_sim: Command, tmp_path: Path) -> None:
    """The run of a folder is made again from its result; its program must be there and be what it was."""
    run, out = write_run(tmp_path), tmp_path / "out"
    assert ascend_sim("run", run, "--no-data", "--out", out).code == 0
    said = ascend_sim("why", out, "--what-if")
    assert (said.code, said.err) == (0, "")
    assert "\nif instant " in said.out

    write_run(tmp_path, RIGHT + "asc.pipe_barrier(Pipe.ALL)\nasc.data_copy(gm.y, u)\n")
    said = ascend_sim("why", out, "--what-if")
    assert said.code == 2
    assert said.err.startswith(f"{out}: takes ")
    assert said.err.endswith("the program has been changed since; run it again with --out, or leave --what-if out\n")

    (tmp_path / "kernel.py").unlink()
    said = ascend_sim("why", out, "--what-if")
    assert said.code == 2
    assert said.err.startswith(f"{out}/result.json: there is no program file '{tmp_path}/kernel.py'")


def test_a_folder_without_a_recording_is_refused(ascend_sim: Command, tmp_path: Path) -> None:
    """A run with --no-record cannot be explained; the message says how to write it again."""
    out = tmp_path / "out"
    assert ascend_sim("run", write_run(tmp_path), "--no-data", "--no-record", "--out", out).code == 0
    said = ascend_sim("why", out)

    assert (said.code, said.out) == (2, "")
    way_out = f"run it again with --out {out} (without --no-record)"
    assert said.err == f"{out}: has no recording.npz, so only its sums are known; {way_out}\n"
