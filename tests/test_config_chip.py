"""Chips: the bundled figures, and the refusal of wrong chip files and overrides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ascend_sim.config import Chip, Figure, VectorRow, load_chip, names
from ascend_sim.errors import ArgumentError, ConfigError, Diagnostic

# MSK's UB_TO_GM table of a 910B1, back to back: KB per instruction, and cycles.
UB_TO_GM = {
    1: 151, 2: 155, 3: 170, 4: 181, 5: 191, 6: 201, 8: 237, 10: 257, 12: 272, 16: 316, 20: 361, 24: 385,
    28: 442, 32: 507, 48: 750, 64: 993, 76: 1184,
}  # fmt: skip


def entries(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every figure and vector row below *value* with its dotted place."""
    if isinstance(value, Figure | VectorRow):
        yield at, value
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from entries(member, f"{at}.{key}".lstrip("."))
    elif hasattr(type(value), "model_fields"):
        for key in type(value).model_fields:
            yield from entries(getattr(value, key), f"{at}.{key}".lstrip("."))


def write(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    """Write *text* as a chip file and return its path."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusals(path: Path | str, *overrides: str) -> list[Diagnostic]:
    """Return the findings with which the chip at *path* is refused."""
    with pytest.raises(ConfigError) as caught:
        load_chip(str(path), overrides)
    return caught.value.diagnostics


@pytest.mark.parametrize("name", names("chips"))
def test_every_figure_of_a_bundled_chip_has_a_source(name: str) -> None:
    """Every bundled chip loads, and each of its figures names a source of the legend."""
    chip = load_chip(name)

    found = list(entries(chip))
    assert len(found) > 200
    assert [at for at, entry in found if entry.source not in chip.sources] == []
    assert [at for at, entry in found if entry.standing == "override"] == []


@pytest.mark.parametrize(
    ("name", "fp16_tflops"),
    [
        ("ascend910b1", 363.7248),  # 24 cores x 8192 FLOP/cycle x 1.85 GHz
        ("ascend910b2", 353.8944),  # 24 cores x 8192 FLOP/cycle x 1.8 GHz
        ("ascend910b3", 294.912),  # 20 cores x 8192 FLOP/cycle x 1.8 GHz
        ("ascend910b4", 245.76),  # 20 cores x 8192 FLOP/cycle x 1.5 GHz
        ("ascend910c", 707.7888),  # 2 dies x 24 cores x 8192 FLOP/cycle x 1.8 GHz
    ],
)
def test_peak_is_cores_times_fractals_times_clock(name: str, fp16_tflops: float) -> None:
    """The peak is that of the vendor's figures; int8 doubles it and fp32 quarters it."""
    chip = load_chip(name)

    assert chip.peak_flops("fp16") == pytest.approx(fp16_tflops * 1e12, rel=1e-12)
    assert chip.peak_flops("bf16") == chip.peak_flops("fp16")
    assert chip.peak_flops("int8") == pytest.approx(2 * fp16_tflops * 1e12)
    assert chip.peak_flops("fp32") == pytest.approx(fp16_tflops * 1e12 / 4)


def test_peak_of_a_type_that_the_cube_does_not_take_is_refused() -> None:
    """A type without a cube rate is refused with the list of those that have one."""
    with pytest.raises(
        ConfigError, match=r"Ascend910C does not take 'fp64'.*\(it takes: fp16, bf16, int8, fp32\)"
    ):
        load_chip("ascend910c").peak_flops("fp64")


def test_hbm_rate_is_per_core_cycle() -> None:
    """The HBM rate in bytes per cycle is the rate per second over the clock of the chip."""
    chip = load_chip("ascend910b4")

    assert chip.hbm_bytes_per_cycle(mixed=False) == pytest.approx(0.8e12 / 1.5e9)
    assert chip.hbm_bytes_per_cycle(mixed=True) == pytest.approx(0.8e12 * (1.267 / 1.6) / 1.5e9)


@pytest.mark.parametrize("name", names("chips"))
def test_l2_rates_are_those_of_the_cores(name: str) -> None:
    """The derived L2 rates of a die are 110 and 86 bytes per cycle and cube core, as its note says."""
    chip = load_chip(name)

    assert chip.l2.read_bytes_per_cycle.value == 110 * chip.cores.aic_per_die.value
    assert chip.l2.write_bytes_per_cycle.value == 86 * chip.cores.aic_per_die.value


def test_ub_to_gm_law_is_within_the_error_of_its_note() -> None:
    """Two ranges, head + bytes / rate for short moves and bytes / sustained rate for long ones, fit every point."""
    path = load_chip("ascend910b1").paths.ub_to_gm

    for kib, cycles in UB_TO_GM.items():
        law = path.head_cycles.value + kib * 1024 / path.bytes_per_cycle.value
        sustained = kib * 1024 / path.sustained_bytes_per_cycle.value
        assert max(path.min_cycles.value, law, sustained) == pytest.approx(cycles, rel=0.06)


def test_vector_rows_are_keyed_by_the_types_of_their_operands() -> None:
    """One type when the operands agree, else source and destination; bf16 arithmetic does not exist."""
    ops = load_chip("ascend910c").vector.ops

    assert (ops["vadd"]["fp32"].first_cycles, ops["vadd"]["fp32"].further_cycles) == (3, 2.0)
    assert ops["vconv"]["fp32_bf16"].further_cycles == 1.0
    assert ops["vaxpy"]["fp16_fp32"].first_cycles == 4
    assert "bf16" not in ops["vadd"]


def test_conflicting_row_says_which_source_it_follows() -> None:
    """The cost of vcadd fp32 follows PTO, and the note names the other measurement."""
    row = load_chip("ascend910c").vector.ops["vcadd"]["fp32"]

    assert (row.further_cycles, row.source) == (7.0, "PTO")
    assert "MSK measured 3" in row.note


@pytest.mark.parametrize(
    ("override", "place"),
    [
        ("chip.hbm.bytes_per_second=1.7e12", "hbm.bytes_per_second"),
        ("chip.hbm={bytes_per_second: 1.7e12}", "hbm.bytes_per_second"),
        ("chip.cube.cycles_per_fractal.fp32=4", "cube.cycles_per_fractal.fp32"),
        ("chip.vector.ops.vcadd.fp32.first_cycles=5", "vector.ops.vcadd.fp32"),
    ],
)
def test_override_changes_exactly_one_figure(override: str, place: str) -> None:
    """An override changes the figure that it names, which then says so, and no other."""
    before, after = dict(entries(load_chip("ascend910c"))), dict(entries(load_chip("ascend910c", [override])))

    assert [at for at in before if before[at] != after[at]] == [place]
    assert (after[place].source, after[place].standing, after[place].note) == ("--set", "override", "")


def test_later_override_wins() -> None:
    """Of two overrides of one figure the later holds, and a whole number may be written as 1e9."""
    chip = load_chip("ascend910c", ["chip.hbm.bytes=1024", "chip.hbm.bytes=1e9", "chip.l2.bytes=1024"])

    assert chip.hbm.bytes.value == 1_000_000_000
    assert isinstance(chip.hbm.bytes.value, int)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "chip.hbm.bytes_per_secnd=1",
            "unknown key 'bytes_per_secnd' in section 'hbm'; did you mean 'bytes_per_second'?",
        ),
        ("chip.hbn.bytes=1", "unknown key 'hbn' at the top level; did you mean 'hbm'?"),
        ("chip.clock_mhz=1800", "unknown key 'clock_mhz' at the top level; did you mean 'clock_hz'?"),
        (
            "chip.vector.ops.vexpp.fp32.first_cycles=1",
            "unknown key 'vexpp' in section 'vector.ops'; did you mean 'vexp'?",
        ),
        ("chip.cube.cycles_per_fractal.fp64=1", "unknown key 'fp64' in section 'cube.cycles_per_fractal'"),
        (
            "chip.hbm.bytes_per_second=-1",
            "hbm.bytes_per_second: must be at least 1e-06 bytes per second, but it is -1",
        ),
        ("chip.hbm.bytes_per_second=fast", 'hbm.bytes_per_second: expected a number, but "fast" is text'),
        ("chip.cores.aic_per_die=0", "cores.aic_per_die: must be greater than 0, but it is 0"),
        ("chip.cores.aiv_per_aic=0", "cores.aiv_per_aic: must be greater than 0, but it is 0"),
        ("chip.dies=1.5", "dies: expected a whole number, but 1.5 is a number with a fraction"),
        ("chip.dies=true", "dies: expected a whole number, but true is a truth value"),
        (
            "chip.l2.line_bytes=500",
            "l2.line_bytes: must be a power of two, but it is 500; write 256 or 512 instead",
        ),
        (
            "chip.l2.sector_bytes=1024",
            "l2.line_bytes: must be a multiple of l2.sector_bytes = 1024 bytes, but it is 512",
        ),
        (
            "chip.l2.bytes=1000",
            "l2.bytes: must be a multiple of l2.line_bytes = 512 bytes, but it is 1000; write 512 or 1024",
        ),
        (
            "chip.buffers.ub_bytes=100",
            "buffers.ub_bytes: must be a multiple of vector.block_bytes = 32 bytes, but it is 100",
        ),
        (
            "chip.hbm.bytes_per_second=1e12",
            "hbm.mixed_bytes_per_second: must be at most hbm.bytes_per_second = 1e+12",
        ),
        ("chip.hbm=5", "hbm: expected a mapping of 'key: value' lines, but 5 is a whole number"),
        (
            "chip.extends=ascend910b1",
            "'extends' cannot be overridden; choose another chip with --set chip=NAME instead",
        ),
    ],
)
def test_wrong_override_is_refused_under_its_own_text(text: str, message: str) -> None:
    """A wrong key or value on the command line is reported as the --set that the user wrote."""
    (found,) = refusals("ascend910b3", text)

    assert message in found.message
    assert (found.file, found.line, found.column) == (f"--set {text}", None, None)


def test_override_of_something_else_than_the_chip_is_refused() -> None:
    """An override without the prefix "chip." is not silently ignored."""
    with pytest.raises(
        ArgumentError, match=r"--set launch\.blocks=2: a chip takes only overrides that begin with 'chip\.'"
    ):
        load_chip("ascend910b3", ["launch.blocks=2"])


@pytest.mark.parametrize(
    ("body", "line", "column", "message"),
    [
        (
            "dies: 2\n",
            3,
            7,
            "a chip figure needs its source; write {value: 2, source: KEY, standing: measured}",
        ),
        (
            "dies: {value: 2, source: MSKK, standing: measured}\n",
            3,
            26,
            "source 'MSKK' is not in the legend 'sources'; did you mean 'MSK'?",
        ),
        ("dies: {value: 2, source: MSK}\n", 3, 7, "missing key 'standing' in section 'dies'"),
        (
            "dies: {value: 2, source: MSK, standing: guessed}\n",
            3,
            41,
            "must be one of 'vendor_file', 'measured'",
        ),
        (
            "dies: {value: 2, source: MSK, standing: measured, unit: x}\n",
            3,
            51,
            "unknown key 'unit' in section 'dies'",
        ),
        (
            "clock_mhz: {value: 1800, source: INI, standing: derived}\n",
            3,
            1,
            "unknown key 'clock_mhz' at the top level; did you mean 'clock_hz'?",
        ),
        (
            "hbm:\n  bytes: {value: big, source: INI, standing: derived}\n",
            4,
            18,
            'hbm.bytes: expected a whole number, but "big" is text',
        ),
        (
            "cube:\n  cycles_per_fractal:\n    fp61: {value: 1, source: INI, standing: derived}\n",
            5,
            5,
            "'fp61' is not an input type of the cube; did you mean 'fp16'?",
        ),
        (
            "vector: {ops: {vnew: {fp32: {first_cycles: 1, source: MSK, standing: measured}}}}\n",
            3,
            29,
            "missing key 'further_cycles'",
        ),
        (
            "abstract: true\n",
            3,
            11,
            "this file is abstract, a base for chips to extend; choose one of: ascend910b1",
        ),
    ],
)
def test_wrong_chip_file_is_refused_at_its_place(
    tmp_path: Path, body: str, line: int, column: int, message: str
) -> None:
    """Every kind of fault in a chip file is reported at its exact line and column."""
    path = write(tmp_path, f"name: Mine\nextends: ascend910b1\n{body}")

    found = refusals(path)[0]

    assert message in found.message
    assert (found.file, found.line, found.column) == (str(path), line, column)


def test_chip_without_base_names_all_that_is_missing(tmp_path: Path) -> None:
    """A chip file without extends must give every section; each missing one is named."""
    found = refusals(write(tmp_path, "name: Mine\nsources: {A: nothing}\n"))

    missing = {diagnostic.message.split("'")[1] for diagnostic in found}
    assert missing == {key for key, field in Chip.model_fields.items() if field.is_required()} - {
        "name",
        "sources",
    }


def test_name_is_not_inherited(tmp_path: Path) -> None:
    """A chip that extends another must say its own name, so that two chips are not called the same."""
    (found,) = refusals(write(tmp_path, "extends: ascend910b1\n"))

    assert "missing key 'name' at the top level" in found.message


def test_cube_type_may_not_be_missing(tmp_path: Path) -> None:
    """All four input types of the cube need a rate: the base without fp32 is refused at its section."""
    base = load_chip("ascend910b1").model_dump(mode="json")
    del base["cube"]["cycles_per_fractal"]["fp32"], base["extends"]

    (found,) = refusals(write(tmp_path, json.dumps(base)))

    assert "missing key 'fp32' in section 'cube.cycles_per_fractal'" in found.message


def test_nearer_file_wins_in_a_chain(tmp_path: Path) -> None:
    """Figures are taken from the file nearest to the chip, whole with source and note, and legends add up."""
    figure = "{value: %d, source: %s, standing: measured%s}"
    write(
        tmp_path,
        "name: A\nextends: ascend910b1\nsources: {A: a}\nlaunch:\n  vector_seconds: "
        + figure % (3, "A", ", note: from A")
        + "\ndies: "
        + figure % (3, "A", ""),
        "a.yaml",
    )
    write(tmp_path, "name: B\nextends: a.yaml\nsources: {B: b}\ndies: " + figure % (4, "B", ""), "b.yaml")
    write(tmp_path, "name: C\nextends: ./b.yaml\nlaunch:\n  vector_seconds: " + figure % (5, "B", ""), "c.yaml")

    chip = load_chip("c.yaml", relative_to=tmp_path)

    assert (chip.name, chip.extends) == ("C", "./b.yaml")
    assert (chip.dies.value, chip.dies.source) == (4, "B")
    assert (chip.launch.vector_seconds.value, chip.launch.vector_seconds.note) == (5.0, "")
    assert (chip.sources["A"], chip.sources["B"]) == ("a", "b")
    assert chip.hbm == load_chip("ascend910b1").hbm


def test_error_in_a_base_is_reported_in_the_base(tmp_path: Path) -> None:
    """A wrong figure that a chip inherits is reported in the file and line where it was written."""
    base = write(
        tmp_path,
        "name: A\nextends: ascend910b1\ndies:\n  {value: 0, source: INI, standing: derived}\n",
        "a.yaml",
    )
    path = write(tmp_path, "name: B\nextends: a.yaml\n", "b.yaml")

    (found,) = refusals(path)

    assert (found.file, found.line, found.column) == (str(base), 4, 11)
    assert "dies: must be greater than 0, but it is 0" in found.message


def test_files_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    """A cycle of extends is named in full, at the line that closes it."""
    path = write(tmp_path, "name: A\nextends: b.yaml\n", "a.yaml")
    other = write(tmp_path, "name: B\nextends: a.yaml\n", "b.yaml")

    (found,) = refusals(path)

    assert "the chips extend each other: a.yaml -> b.yaml -> a.yaml; remove one 'extends'" in found.message
    assert (found.file, found.line, found.column) == (str(other), 2, 10)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("ascend910d", "there is no chip named 'ascend910d'; did you mean"),
        ("base/none.yaml", "there is no chip file"),
        ("[a, b]", 'expected the name or path of a chip, but it is ["a", "b"]'),
        ("3", "expected the name or path of a chip, but it is 3"),
    ],
)
def test_wrong_extends_is_refused_at_its_value(tmp_path: Path, value: str, message: str) -> None:
    """An extends that leads nowhere is reported at its value."""
    path = write(tmp_path, f"name: A\nextends: {value}\n")

    (found,) = refusals(path)

    assert message in found.message
    assert (found.file, found.line, found.column) == (str(path), 2, 10)


def test_abstract_base_cannot_be_simulated() -> None:
    """The base of the generation is no chip: it is refused with the list of chips."""
    (found,) = refusals("dav_c220")

    assert "this file is abstract" in found.message
    assert "ascend910c" in found.message
