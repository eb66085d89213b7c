"""Exploration files: what they hold, how overrides reach them, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ascend_sim.config import load_run, varied
from ascend_sim.errors import ArgumentError, ConfigError
from ascend_sim.explore import packages
from ascend_sim.explore.config import Exploration, Objective, load_exploration
from ascend_sim.explore.keys import base_assignment
from ascend_sim.explore.point import METRICS, Limits, override
from ascend_sim.explore.space import Space

HEAD = "run: gemm_small\n"
SPACE = "space: {tiling.m: [64, 128]}\n"


def write(folder: Path, text: str, name: str = "search.yaml") -> Path:
    """Write *text* as an exploration file and return its path."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def load(folder: Path, text: str, *overrides: str) -> Exploration:
    """The exploration of *text*."""
    return load_exploration(write(folder, text), overrides)


def values(folder: Path, form: str, key: str = "tiling.m") -> tuple[Any, ...]:
    """The values of the parameter *key* that is written as *form*."""
    return load(folder, f"{HEAD}space:\n  {key}: {form}\n").space.parameters[0].values


def refusal(folder: Path, text: str, *overrides: str) -> str:
    """What is said of the exploration *text*: a line for each finding, without the folder."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text, *overrides)
    return "\n".join(str(found).replace(f"{folder}/", "") for found in caught.value.diagnostics)


def refused(folder: Path, form: str, key: str = "tiling.m") -> str:
    """What is said of a space with the parameter *key* that is written as *form*."""
    return refusal(folder, f"{HEAD}space:\n  {key}: {form}\n")


def test_defaults_are_the_shortest_time_of_a_grid(tmp_path: Path) -> None:
    """A file needs a run and a space; everything else has a default."""
    found = load(tmp_path, HEAD + SPACE)

    assert (found.name, found.description, found.path) == ("search", "", tmp_path / "search.yaml")
    assert found.run.resolved() == load_run("gemm_small").resolved()
    assert found.objectives == (Objective("time_us", "minimize"),)
    assert (found.space.conditions, found.constraints, found.limits) == ((), (), Limits())
    assert found.strategy.model_dump() == {"name": "grid", "points": None, "seed": 0, "prune": False, "window": 16}
    assert list(found.space.grid()) == [{"tiling.m": 64}, {"tiling.m": 128}]


def test_everything_that_is_written_is_read(tmp_path: Path) -> None:
    """Each key reaches its place."""
    text = """
        description: tiles of C
        run: gemm_small
        set: {problem.m: 512, launch.blocks: 4, chip.hbm.bytes: 1000000}
        space: {tiling.m: [64, 128], tiling.n: [64, 256]}
        conditions: [tiling.m <= tiling.n]
        objectives: {tflops: maximize, l1_bytes: minimize}
        constraints: [l1_bytes <= 1000 * tiling.m]
        strategy: {name: tpe, points: 3, seed: 7, window: 2}
        limits: {check: true, max_instructions: 1000, max_cycles: 2000}
    """
    found = load(tmp_path, text)

    assert found.description == "tiles of C"
    run = found.run
    assert (run.sections["problem"]["m"], run.launch.blocks, run.chip.hbm.bytes.value) == (512, 4, 10**6)
    assert found.space.count() == 3
    assert found.objectives == (Objective("tflops", "maximize"), Objective("l1_bytes", "minimize"))
    assert [one.loss({"tflops": 3.0, "l1_bytes": 5.0}) for one in found.objectives] == [-3.0, 5.0]
    assert [one.text for one in found.constraints] == ["l1_bytes <= 1000 * tiling.m"]
    assert found.eligible({"tiling.m": 128}, {"l1_bytes": 70_000})
    assert not found.eligible({"tiling.m": 64}, {"l1_bytes": 70_000})
    assert found.strategy.model_dump() == {"name": "tpe", "points": 3, "seed": 7, "prune": False, "window": 2}
    assert found.limits == Limits(1000, 2000, check=True)


def test_resolved_is_plain_data_and_the_same_every_time(tmp_path: Path) -> None:
    """What is kept of an exploration can be written as JSON, and names no folder of this machine."""
    text = f"{HEAD}space: {{tiling.m: {{times: [1, 2]}}}}\nconditions: [tiling.m > 1]\nconstraints: [cycles > 0]\n"
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (json.dumps(load(tmp_path / folder, text).resolved()) for folder in ("a", "b"))

    assert first == second
    assert str(tmp_path) not in first
    data = json.loads(first)
    assert data["space"] == {"tiling.m": [128, 256]}
    assert (data["conditions"], data["constraints"]) == (["tiling.m > 1"], ["cycles > 0"])
    assert data["run"] == load_run("gemm_small").resolved()


def test_a_run_is_found_beside_its_exploration(tmp_path: Path) -> None:
    """A path of a run counts from the exploration file, and a chip that is set too."""
    write(tmp_path, "program: vector_add\nchip: ascend910b2\nproblem: {length: 100}\n", "mine.yaml")

    write(tmp_path, "name: Mine\nextends: ascend910b4\n", "chip.yaml")

    found = load(tmp_path, "run: ./mine.yaml\nspace: {problem.tile: [64]}\nset: {chip: ./chip.yaml}\n")

    assert (found.run.path, found.run.chip.name, found.run.chip_name) == (tmp_path / "mine.yaml", "Mine", "chip")
    said = refusal(tmp_path, "run: ./mine.yaml\nspace: {problem.tile: [64]}\nset: {chip: ./chips.yaml}\n")
    assert "3:13: there is no chip file" in said


def test_overrides_reach_the_file(tmp_path: Path) -> None:
    """--set changes keys of the exploration; what follows "space." and "set." is one key, dots included."""
    changes = ["strategy.name=random", "strategy.points=5", "set.problem.m=64", "objectives.cycles=minimize"]
    changes += ["space.tiling.m={powers_of_two: [16, 32]}", "space.tiling.n=[64]"]
    found = load(tmp_path, HEAD + SPACE, *changes)

    assert (found.strategy.name, found.strategy.points, found.run.sections["problem"]["m"]) == ("random", 5, 64)
    assert [(one.name, one.values) for one in found.space.parameters] == [("tiling.m", (16, 32)), ("tiling.n", (64,))]
    assert [one.metric for one in found.objectives] == ["cycles"]


def test_a_section_as_a_whole_replaces_that_of_the_file(tmp_path: Path) -> None:
    """One can take an objective or a parameter away on the command line."""
    text = f"{HEAD}{SPACE}objectives: {{time_us: minimize, l1_bytes: minimize}}\n"
    found = load(tmp_path, text, "objectives={cycles: minimize}", "space={tiling.n: [64]}", "set={launch.blocks: 2}")

    assert [one.metric for one in found.objectives] == ["cycles"]
    assert [one.name for one in found.space.parameters] == ["tiling.n"]
    assert found.run.launch.blocks == 2


def test_a_form_replaces_another(tmp_path: Path) -> None:
    """Of two forms of the values of one key the one of the command line counts, and no mixture of both."""
    text = f"{HEAD}space: {{tiling.m: {{from: 16, to: 48, step: 16}}}}\n"
    found = load(tmp_path, text, "space.tiling.m={times: [2]}")

    assert found.space.parameters[0].values == (256,)


def test_an_override_of_the_run_says_what_to_write(tmp_path: Path) -> None:
    """Who overrides a key of the run as for `run` is told where it belongs."""
    said = refusal(tmp_path, HEAD + SPACE, "launch.blocks=24")

    assert "for a key of the run, write --set set.launch.blocks=24" in said


def test_forms_of_values(tmp_path: Path) -> None:
    """Ranges include both ends, decimals stay what they are, multiples of whole numbers stay whole."""
    assert values(tmp_path, "{from: 128, to: 500, step: 128}") == (128, 256, 384)
    assert values(tmp_path, "{from: 64, to: 64, step: 1}") == (64,)
    assert values(tmp_path, "{from: 0.1, to: 0.4, step: 0.1}", "chip.launch.cube_seconds") == (0.1, 0.2, 0.3, 0.4)
    assert values(tmp_path, "{powers_of_two: [16, 128]}") == (16, 32, 64, 128)
    assert values(tmp_path, "{powers_of_two: [1, 1]}", "tiling.l0_buffers") == (1,)
    halves = values(tmp_path, "{times: [0.5, 1, 3]}", "chip.buffers.l1_bytes")
    assert halves == (262144, 524288, 1572864)
    assert all(isinstance(value, int) for value in halves)
    rate = load_run("gemm_small").chip.hbm.bytes_per_second.value
    assert values(tmp_path, "{times: [0.1, 2]}", "chip.hbm.bytes_per_second") == (rate / 10, 2 * rate)
    assert values(tmp_path, "[null, 4]", "launch.blocks") == (None, 4)


def test_multiples_of_a_section(tmp_path: Path) -> None:
    """A section can be scaled as a whole or in some of its keys; the points take it for a change of both."""
    key = "chip.hbm"
    rates = values(tmp_path, "{times: [0.5, 2], keys: [bytes_per_second, mixed_bytes_per_second]}", key)
    chip = load_run("gemm_small").chip
    pure, mixed = chip.hbm.bytes_per_second.value, chip.hbm.mixed_bytes_per_second.value

    assert rates == tuple({"bytes_per_second": x * pure, "mixed_bytes_per_second": x * mixed} for x in (0.5, 2))
    changed = varied(load_run("gemm_small"), [override(key, rates[0])]).chip.hbm
    assert (changed.bytes_per_second.value, changed.mixed_bytes_per_second.value) == (pure / 2, mixed / 2)
    assert changed.bytes == chip.hbm.bytes
    (whole,) = values(tmp_path, "{times: [1]}", key)
    assert whole == {"bytes": chip.hbm.bytes.value, "bytes_per_second": pure, "mixed_bytes_per_second": mixed}


def test_defaults_of_the_program_can_be_varied(tmp_path: Path) -> None:
    """A key that the run file does not write is known, multiplied and compared by the program's default."""
    text = f"{HEAD}space: {{tiling.l1_k: {{times: [0.5, 1]}}}}\nconditions: [tiling.l1_k < tiling.n]\n"

    assert [one["tiling.l1_k"] for one in load(tmp_path, text).space.grid()] == [128]


def test_conditions_see_into_what_may_be_missing(tmp_path: Path) -> None:
    """A section that is null in the run can be compared with null, and its keys where it is there."""
    text = f"""{HEAD}
space: {{schedule.swizzle: [null, {{offset: 1, direction: 0}}, {{offset: 3, direction: 0}}]}}
conditions: [schedule.swizzle == null or schedule.swizzle.offset > 2, launch.blocks == 24]
"""
    found = [one["schedule.swizzle"] for one in load(tmp_path, text).space.grid()]

    assert found == [None, {"offset": 3, "direction": 0}]


def test_a_section_of_which_a_key_varies_is_no_value(tmp_path: Path) -> None:
    """What is null in the run is not null in its points, if they give it keys."""
    text = f"{HEAD}space: {{schedule.swizzle.offset: [1, 3]}}\nconditions: [schedule.swizzle == null]\n"

    assert "'schedule.swizzle' is a section; write one of its keys, such as schedule" in refusal(tmp_path, text)


def test_the_base_point(tmp_path: Path) -> None:
    """The run itself is a point: its own values, those of its program, and of mappings the keys that vary."""
    text = """
        run: gemm_small
        space:
          problem: [{m: 64, n: 64}, {m: 32, n: 32}]
          tiling.n: [64]
          chip: [ascend910b1]
          chip.clock_hz: [1.0e9]
          schedule.swizzle: [{offset: 1, direction: 0}]
          launch.blocks: [4]
    """
    found = load(tmp_path, text)

    assert base_assignment(found.run, found.space.parameters) == {
        "problem": {"m": 1000, "n": 700}, "tiling.n": 256, "chip": "ascend910b2", "chip.clock_hz": 1.8e9,
        "schedule.swizzle": None, "launch.blocks": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("tiling.mm", "3:3: unknown key 'mm' in section 'tiling'; did you mean 'm'? (known keys: m, n, l1_k, "),
        ("tilings.m", "3:3: unknown key 'tilings' at the top level; did you mean 'tiling'? (known keys: problem, "),
        ("chip.hbm.byte", "3:3: unknown key 'byte' in section 'chip.hbm'; did you mean 'bytes'? (known keys: bytes, "),
        ("chip.vector.ops.vaddd.fp32", "3:3: unknown key 'vaddd' in section 'chip.vector.ops'; did you mean 'vadd'?"),
        ("chip.name", "3:3: unknown key 'name' in section 'chip'"),
        ("launch.block", "3:3: unknown key 'block' in section 'launch'; did you mean 'blocks'? (known keys: blocks)"),
        ("tiling.m.x", "3:3: 'tiling.m' is a value, and has no key 'x'"),
        ("data.seed", "3:3: 'data.seed' does not tell one point from another; fix it for all points with 'set: "),
        ("schedule.swizzle.ofset", "3:3: unknown key 'ofset' in section 'schedule.swizzle'; did you mean 'offset'?"),
    ],
)
def test_unknown_keys_are_refused(tmp_path: Path, key: str, expected: str) -> None:
    """A key that the run, its program or its chip does not have is refused at its place, with the nearest one."""
    assert expected in refused(tmp_path, "[1, 2]", key)


def test_unknown_keys_in_mappings_are_refused(tmp_path: Path) -> None:
    """The keys of mapping values are keys too."""
    said = refused(tmp_path, "[{m: 3}, {m: 4, nn: 4}]", "tiling")

    assert said.startswith("search.yaml:3:27: unknown key 'nn' in section 'tiling'; did you mean 'n'?")


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("64", "3:13: space.tiling.m: 64 is not a list of values; write [64], or move it to 'set'"),
        ("", "3:3: space.tiling.m: null is not a list of values; write [..., ...], {from: A, to: B, step: S}, "),
        ("[]", "3:13: space.tiling.m: the list is empty; write at least one value, or remove the key"),
        ("[64, 128, 64.0]", "3:23: space.tiling.m: 64.0 is there twice; remove one of the two"),
        ("{m: [3]}", "3:13: space.tiling.m: {\"m\": [3]} is none of the forms [..., ...], {from: A, "),
        ("{from: 64, to: 32, step: 16}", "3:20: space.tiling.m: from = 64 is above to = 32; exchange the two"),
        ("{from: 16, to: 32, step: 0}", "3:38: space.tiling.m.step: must be above 0, but it is 0"),
        ("{from: 16, to: 32}", "3:13: missing key 'step' in section 'space.tiling.m'"),
        ("{from: 16, to: x, step: 1}", "space.tiling.m.to: expected a whole number or a number, but \"x\" is text"),
        ("{from: 0, to: 1.0e9, step: 1}", "1000000001 values are more than 10000000; take a larger step"),
        ("{powers_of_two: [16, 48]}", "3:34: space.tiling.m.powers_of_two: 48 is not a power of two; write 32 or 64"),
        ("{powers_of_two: [0, 16]}", "3:30: space.tiling.m.powers_of_two: 0 is not a power of two; write 1 or above"),
        ("{powers_of_two: [64, 16]}", "3:29: space.tiling.m.powers_of_two: the first, 64, is above the last, 16"),
        ("{times: [0.3]}", "3:22: 0.3 times tiling.m = 128 is 38.4, which is no whole number; take another factor"),
        ("{times: [1], keys: [m]}", "3:26: 'tiling.m' is a value, and has no keys; leave out 'keys'"),
        ("[-1, 0]", "3:13: none of the values is possible: tiling.m: must be at least 1, but it is -1"),
    ],
)
def test_wrong_values_are_refused(tmp_path: Path, form: str, expected: str) -> None:
    """What is no list of different values is refused at its place, with what to write instead."""
    assert expected in refused(tmp_path, form)


def test_multiples_of_what_is_no_number_are_refused(tmp_path: Path) -> None:
    """Only numbers can be multiplied, and only keys that a section has."""
    for key, value in (("tiling.unit_flag", "true"), ("schedule.grid", "null")):
        assert f"'{key}' is {value} in the run, which is no number" in refused(tmp_path, "{times: [1]}", key)
    said = refused(tmp_path, "{times: [1], keys: [byte]}", "chip.hbm")
    assert "3:33: unknown key 'byte' in section 'chip.hbm'; did you mean 'bytes'?" in said


def test_values_that_one_point_cannot_have_are_no_errors(tmp_path: Path) -> None:
    """A value that is refused alone, or with the other values of the run, may make points infeasible, and no more."""
    assert values(tmp_path, "[-1, 64]") == (-1, 64)
    assert values(tmp_path, "[1000]", "schedule.split_k") == (1000,)


def test_chips_are_compared_by_name(tmp_path: Path) -> None:
    """The chip itself can be a parameter, of bundled chips; expressions see the figures of each."""
    text = f"{HEAD}space: {{chip: [ascend910b1, ascend910b4]}}\nconditions: [chip.cores.aic_per_die > 20]\n"

    assert [one["chip"] for one in load(tmp_path, text).space.grid()] == ["ascend910b1"]
    said = refused(tmp_path, "[ascend910b1, ascend910b9]", "chip")
    assert '3:23: space.chip: "ascend910b9" is no bundled chip; did you mean' in said


def test_parameters_do_not_overlap(tmp_path: Path) -> None:
    """A key cannot be varied twice, by itself and in its section."""
    said = refusal(tmp_path, f"{HEAD}space: {{tiling: [{{m: 64}}], tiling.m: [64]}}\n")

    assert said.startswith("search.yaml:2:28: 'tiling.m' lies in 'tiling', which is a parameter too")


def test_what_is_set_is_checked_at_its_place(tmp_path: Path) -> None:
    """Wrong keys and values below 'set' are reported in the exploration file."""
    said = refusal(tmp_path, f"{HEAD}{SPACE}set: {{tiling.n: x, problm.m: 3}}\n")

    assert "search.yaml:3:17: tiling.n: expected a whole number, but \"x\" is text" in said
    assert "search.yaml:3:20: unknown key 'problm' at the top level; did you mean 'problem'?" in said
    said = refusal(tmp_path, f"{HEAD}{SPACE}set: {{launch.blocks: 0}}\n")
    assert "search.yaml:3:22: launch.blocks: must be at least 1, but it is 0" in said


def test_all_faults_are_reported_at_once_in_order(tmp_path: Path) -> None:
    """One reading of the file shows everything that is wrong with the space, the objectives and the strategy."""
    space = "space:\n  tiling.mm: [1]\n  tiling.n: []\n"
    text = f"{HEAD}{space}objectives: {{time: minimize}}\nstrategy: {{name: sobol}}\n"
    lines = refusal(tmp_path, text).splitlines()

    assert [line.split(": ")[0] for line in lines] == [f"search.yaml:{at}" for at in ("3:3", "4:13", "5:14", "6:18")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sapce: {}\n", "2:1: unknown key 'sapce' at the top level; did you mean 'space'?"),
        ("", "missing key 'space' at the top level"),
        ("space: {}\n", "2:8: there is nothing to vary; write a key of the run with its values"),
        (f"{SPACE}objectives: {{}}\n", "3:13: there is nothing to search for; write 'time_us: minimize'"),
        (f"{SPACE}objectives: {{time: minimize}}\n", "3:14: there is no metric 'time'; did you mean 'time_us'?"),
        (f"{SPACE}objectives: {{cycles: least}}\n", "3:22: objectives.cycles: must be one of 'minimize' or 'maximize'"),
        (f"{SPACE}strategy: {{name: bayes}}\n", "3:18: strategy.name: must be one of 'grid', 'random', "),
        (f"{SPACE}strategy: {{name: tpe}}\n", "3:18: the strategy tpe must know how many points to choose"),
        (f"{SPACE}strategy: {{points: 5}}\n", "3:12: a grid has all points of the space; remove 'points'"),
        (f"{SPACE}strategy: {{window: 0}}\n", "3:20: strategy.window: must be at least 1, but it is 0"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    """What is no exploration is refused at its place, with what to write instead."""
    assert expected in refusal(tmp_path, HEAD + text)


@pytest.mark.parametrize(
    ("objectives", "right"),
    [
        ("{time_us: minimize}", True), ("{tflops: maximize}", True), ("{time_us: maximize}", False),
        ("{l1_bytes: minimize}", False), ("{time_us: minimize, l1_bytes: minimize}", False),
    ],
)  # fmt: skip
def test_only_the_time_has_a_bound(tmp_path: Path, objectives: str, right: bool) -> None:
    """Pruning by the lower bound of the time is refused where the bound says nothing of the best point."""
    text = f"{HEAD}{SPACE}objectives: {objectives}\nstrategy: {{prune: true}}\n"

    if right:
        assert load(tmp_path, text).strategy.prune
    else:
        assert "4:19: a lower bound of the time says something of one objective only" in refusal(tmp_path, text)


@pytest.mark.parametrize("varied", ["chip.clock_hz: {times: [1, 2]}", "problem.m: [64, 128]"])
def test_a_rate_has_no_bound_where_its_terms_differ(tmp_path: Path, varied: str) -> None:
    """More operations or a higher peak change a rate without the time: that search is refused, one for the time not."""
    space = f"space:\n  {varied}\n"
    strategy = "strategy: {prune: true}\n"
    name = varied.partition(":")[0]

    said = refusal(tmp_path, f"{HEAD}{space}objectives: {{tflops: maximize}}\n{strategy}")
    assert f"the best tflops is no bound of the time where '{name}' differs; write 'time_us: minimize'" in said
    assert load(tmp_path, f"{HEAD}{space}{strategy}").strategy.prune


def test_a_run_that_is_not_there_is_reported_where_it_is_named(tmp_path: Path) -> None:
    """The name of a run is wrong in the exploration file."""
    said = refusal(tmp_path, f"run: gemm_smal\n{SPACE}")

    assert said.startswith("search.yaml:1:6: there is no run named 'gemm_smal'; did you mean 'gemm_small'?")


def test_a_grid_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """Ten million points are a typing error, or a task for another strategy; which may have them."""
    text = f"{HEAD}space: {{tiling.m: {{from: 1, to: 4000, step: 1}}, tiling.n: {{from: 1, to: 4000, step: 1}}}}\n"

    assert "2:1: a grid of 16000000 points is more than 10000000; take fewer values" in refusal(tmp_path, text)
    assert load(tmp_path, f"{text}strategy: {{name: random, points: 3}}\n").space.size == 16_000_000


def test_conditions_that_leave_nothing_are_refused(tmp_path: Path) -> None:
    """An empty space is an error at the condition that empties it, or at all of them."""
    one = f"{HEAD}{SPACE}conditions: [tiling.m > 0, tiling.m > 128]\n"
    both = f"{HEAD}{SPACE}conditions: [tiling.m > 64, tiling.m < 128]\n"

    assert "3:28: 'tiling.m > 128' holds for none of the 2 points" in refusal(tmp_path, one)
    assert "3:1: together, the conditions hold for none of the 2 points" in refusal(tmp_path, both)


def test_metrics_are_no_conditions(tmp_path: Path) -> None:
    """What is known after the simulation only cannot decide about what is simulated."""
    assert set(METRICS) >= {"l1_bytes"}
    said = refusal(tmp_path, f"{HEAD}{SPACE}conditions: [l1_bytes < 3]\n")
    assert "3:14: 'l1_bytes < 3': 'l1_bytes' is known only of a simulated point; write" in said
    said = refusal(tmp_path, f"{HEAD}{SPACE}constraints: [l1_byte < 3]\n")
    assert "3:15: 'l1_byte < 3': unknown name 'l1_byte'; did you mean 'l1_bytes'?" in said


def test_constraints_see_the_chip(tmp_path: Path) -> None:
    """A constraint may compare a result with a figure of the chip, whether or not it varies."""
    fixed = load(tmp_path, f"{HEAD}{SPACE}constraints: [l1_bytes <= 0.5 * chip.buffers.l1_bytes]\n")
    text = f"{HEAD}space: {{chip.buffers.l1_bytes: [1024, 2048]}}\nconstraints: [l1_bytes <= chip.buffers.l1_bytes]\n"
    free = load(tmp_path, text)

    assert [fixed.eligible({"tiling.m": 64}, {"l1_bytes": n}) for n in (262144, 262145)] == [True, False]
    assert [free.eligible({"chip.buffers.l1_bytes": n}, {"l1_bytes": 1500}) for n in (1024, 2048)] == [False, True]


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has not installed what explorations need is told what to install."""

    def absent(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    monkeypatch.setattr(packages, "import_module", absent)
    with pytest.raises(ArgumentError, match=r"needs the package simpleeval: pip install 'ascend-sim\[explore\]'"):
        load(tmp_path, f"{HEAD}{SPACE}conditions: [tiling.m > 0]\n")
    assert isinstance(load(tmp_path, HEAD + SPACE).space, Space)
