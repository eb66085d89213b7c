"""Study files: what they hold, how overrides reach them, and what is refused."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from ascend_sim.errors import ConfigError
from ascend_sim.study.algorithms import ALGORITHMS, Amla, HeadShape, LatentShape, MlaBase, Pasa
from ascend_sim.study.config import File, Study, load_study
from ascend_sim.study.inputs import DISTRIBUTIONS
from ascend_sim.study.metrics import Errors

LATENT = """\
algorithms:
  - {algorithm: mla_base, label: Base}
  - {algorithm: amla, compensation: false}
inputs:
  - {distribution: normal, std: 2}
shape: {rows: 16, keys: [100]}
"""
HEADS = LATENT.replace("mla_base", "pasa").replace("amla, compensation: false", "flash_attention").replace(
    "rows: 16", "query_tokens: 8"
)  # fmt: skip


def load(folder: Path, text: str, *overrides: str) -> Study:
    """The study of *text*."""
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return load_study(path, overrides)


def refusal(folder: Path, text: str, *overrides: str) -> str:
    """What is said of the study *text*: a line for each finding, without the folder."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text, *overrides)
    return "\n".join(str(found).replace(f"{folder}/", "") for found in caught.value.diagnostics)


def test_defaults_are_one_seed_and_outputs_in_the_format_of_the_inputs(tmp_path: Path) -> None:
    """A file needs algorithms, inputs and a shape; everything else has a default."""
    study = load(tmp_path, LATENT)

    assert (study.name, study.description, study.seeds, study.outputs) == ("mine", "", (0,), ("input",))
    assert study.algorithms == (
        MlaBase(algorithm="mla_base", label="Base"),
        Amla(algorithm="amla", compensation=False),
    )
    assert [one.name for one in study.algorithms] == ["Base", "amla"]
    assert study.shape == LatentShape(rows=16, keys=(100,), latent_dim=512, rope_dim=64)
    assert study.comparisons == ()


def test_the_kind_of_algorithm_decides_about_the_shape(tmp_path: Path) -> None:
    """Attention by heads has a shape of its own, and PASA the published beta."""
    study = load(tmp_path, HEADS)

    assert study.shape == HeadShape(heads=1, query_tokens=8, keys=(100,), head_dim=128)
    assert study.algorithms[0] == Pasa(algorithm="pasa", label="Base", beta=0.9844970703125)


def test_overrides_replace_values_lists_and_sections(tmp_path: Path) -> None:
    """--set reaches into sections; a list or a section given as a whole replaces that of the file."""
    study = load(tmp_path, LATENT, "shape.rows=32", "seeds=[3, 4]", "inputs=[{distribution: uniform, amplitude: 1}]")

    assert (study.shape.queries[0], study.shape.keys, study.seeds) == (32, (100,), (3, 4))
    assert [one.name for one in study.inputs] == ["U(-1,1)"]


@pytest.mark.parametrize("name", ["amla_accuracy", "pasa_accuracy", "length"])
def test_bundled_studies_are_found_by_name(name: str) -> None:
    """Each bundled study loads, says what it is about, and is the same as plain data each time."""
    study = load_study(name)

    assert study.name == name
    assert study.description
    assert study.resolved() == load_study(name).resolved()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("compensation", "compensaton", "mine.yaml:3:23: unknown key 'compensaton' in section 'algorithms.1'; did you "
         "mean 'compensation'? (known keys: algorithm, label, dtype, keys_per_block, compensation)"),
        ("algorithm: mla_base", "algorithm: mla", "mine.yaml:2:17: there is no algorithm \"mla\"; did you mean 'amla'? "
         "(known algorithms: mla_base, amla, flash_attention, pasa)"),
        ("algorithm: mla_base, ", "", "mine.yaml:2:5: missing key 'algorithm'; write 'algorithm: ...' there "
         "(known: mla_base, amla, flash_attention, pasa)"),
        ("label: Base", "label: amla", "mine.yaml:3:5: 'amla' is there twice, and tables could not tell them apart; "
         "give one of them another 'label'"),
        ("amla, compensation: false", "pasa", "mine.yaml:3:17: pasa is for attention by heads, but mla_base above it "
         "for latent attention, and no inputs are for both; make two studies of them"),
        ("std: 2", "std: -1", "mine.yaml:5:33: inputs.0.std: must be at least 0, but it is -1"),
        ("std: 2", "std: [1, 1]", "mine.yaml:5:5: 'N std=1' is there twice, and tables could not tell them apart; "
         "remove one of them"),
        ("std: 2", "deviation: 2", "mine.yaml:5:28: unknown key 'deviation' in section 'inputs.0' (known keys: "
         "distribution, mean, std)"),
        ("keys: [100]", "keys: [100, 100]", "mine.yaml:6:31: keys: 100 is there twice; remove one of them"),
        ("rows: 16, keys: [100]", "rows: 4096, keys: [100000]", "mine.yaml:6:28: 4,096 rows x 100,000 keys are "
         "409,600,000 scores of a head, which the reference holds at once; the most are 67,108,864, so write 16,384 "
         "keys or fewer, or less rows"),
        ("rows: 16, keys: [100]", "rows: 1, keys: [1000000], latent_dim: 4096", "mine.yaml:6:25: 1,000,000 keys x "
         "4,160 columns are 4,160,000,000 numbers, which the reference holds at once; the most are 536,870,912, so "
         "write 129,055 keys or fewer"),
        ("keys: [100]", "keys: [0]", "mine.yaml:6:26: shape.keys.0: must be at least 1, but it is 0"),
        ("keys: [100]", "keys: []", "mine.yaml:6:25: shape.keys: must have at least 1 item(s), but it is []"),
        ("rows: 16", "query_tokens: 16", "mine.yaml:6:8: missing key 'rows' in section 'shape'; write 'rows: ...' "
         "there"),
        ("shape", "compare: [{algorithm: Base, with: AMLA}]\nshape", "mine.yaml:6:35: no algorithm is called 'AMLA' "
         "(labels of this study: Base, amla)"),
        ("shape", "seeds: [1, 1]\nshape", "mine.yaml:6:12: seeds: 1 is there twice; remove one of them"),
        ("shape", "outputs: [fp8]\nshape", "mine.yaml:6:11: outputs.0: must be one of 'input' or 'fp32', but it is "
         '"fp8"'),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    """A refusal names the place in the file, the value and the way out."""
    assert old in LATENT

    assert message in refusal(tmp_path, LATENT.replace(old, new, 1)).splitlines()


def test_half_precision_needs_fp16_inputs(tmp_path: Path) -> None:
    """A softmax in fp16 of bf16 inputs is refused, as the program refuses it."""
    text = HEADS.replace("flash_attention", "flash_attention, softmax: fp16, dtype: bf16")

    assert refusal(tmp_path, text) == (
        "mine.yaml:3:5: algorithms.1: softmax: fp16 is for fp16 inputs; write softmax: fp32, or dtype: fp16"
    )


def test_wrong_overrides_are_named_as_written(tmp_path: Path) -> None:
    """A mistyped override is reported under what the user wrote, with what was meant."""
    assert refusal(tmp_path, LATENT, "sede=3").startswith("--set sede=3: unknown key 'sede' at the top level; did you ")
    assert refusal(tmp_path, LATENT, "shape.rowz=3").startswith("--set shape.rowz=3: unknown key 'rowz' in section ")


def test_everything_wrong_is_reported_at_once(tmp_path: Path) -> None:
    """Two wrong items give two findings, in the order of the file."""
    text = LATENT.replace("mla_base", "mla").replace("std: 2", "std: -1")

    said = refusal(tmp_path, text).splitlines()

    assert [line.split(": ")[0] for line in said] == ["mine.yaml:2:17", "mine.yaml:5:33"]


def documented(heading: str) -> dict[str, str]:
    """Names in the first column of the table under *heading* of docs/reference/numerics.md, with the second column."""
    text = (Path(__file__).parent.parent / "docs" / "reference" / "numerics.md").read_text(encoding="utf-8")
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return {name: row[1].strip() for row in rows for name in re.findall(r"`(\w+)`", row[0])}


def test_every_key_is_documented() -> None:
    """numerics.md lists exactly the keys of study files, algorithms, shapes and distributions, and the errors."""
    assert set(documented("Keys")) == set(File.model_fields)
    assert set(documented("Algorithms")) == {key for model in ALGORITHMS.values() for key in model.model_fields}
    assert set(documented("Shapes")) == {*LatentShape.model_fields, *HeadShape.model_fields}
    assert set(documented("Errors")) == {field.name for field in fields(Errors)}
    inputs = {name: re.findall(r"`(\w+)`", keys) for name, keys in documented("Inputs").items()}
    assert inputs == {name: list(model.model_fields)[1:] for name, model in DISTRIBUTIONS.items()}
