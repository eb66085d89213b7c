"""docs/algorithms.md says what the attention programs do: its methods exist, its bytes and operations are counted."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from ascend_sim.config import load_run
from ascend_sim.simulate import simulate

PAGE = Path(__file__).parent.parent / "docs" / "algorithms.md"
ROW = re.compile(r"^\|.*\| `(?P<name>[\w.]+)` \| \[[\w.]+\]\((?P<file>[\w./]+)\) \|$", re.MULTILINE)
MLA = ("problem.batch=1", "launch.blocks=1")


def defined(path: Path) -> set[str]:
    """Functions and classes of a file, and methods as Class.method."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
    return names


def test_methods_beside_formulas_exist() -> None:
    """Every method that stands beside a formula is defined in the file that the row links to."""
    rows = [(match["name"], PAGE.parent / match["file"]) for match in ROW.finditer(PAGE.read_text(encoding="utf-8"))]
    assert len(rows) > 30
    assert [name for name, path in rows if name not in defined(path)] == []


def test_names_in_the_text_exist() -> None:
    """What "How work is dealt" names is defined in the files that it links to, and so is every bundled program."""
    text = PAGE.read_text(encoding="utf-8")
    section = text.split("## How work is dealt")[1].split("\n## ")[0]
    known = set.union(*(defined(PAGE.parent / file) for file in re.findall(r"\]\((\.\./programs/[\w./]+)\)", section)))
    named = set(re.findall(r"`([A-Z]\w+\.\w+|[a-z]+_\w+)`", section)) - {"flash_attention"}
    assert named
    assert named <= known


def moved(run: str, *settings: str) -> tuple[int, int, int]:
    """FLOPs, bytes read from and written to L2."""
    result = simulate(load_run(run, settings), data=False).result
    return result.flops, result.memory["l2_read_bytes"], result.memory["l2_write_bytes"]


def one_more(run: str, keys: tuple[int, int], *settings: str) -> tuple[int, ...]:
    """What *run* does more with the second number of keys than with the first."""
    few, many = (moved(run, *settings, f"problem.kv_tokens={count}") for count in keys)
    return tuple(more - less for less, more in zip(few, many, strict=True))


@pytest.mark.parametrize("program", ["amla", "mla_base"])
def test_operations_and_bytes_of_a_task(program: str) -> None:
    """One more task of 512 keys costs, with either program, the FLOPs and bytes of the row "all" of the page."""
    text = PAGE.read_text(encoding="utf-8")
    assert "| all | 285.2 M | 3,244,032 B | 1,835,008 B |" in text

    found = one_more("amla_decode", (1536, 2048), f"program={program}", *MLA)

    assert found == (2 * 256 * 512 * (2 * 512 + 64), 3_244_032, 1_835_008)
    assert f"{found[0] / 1e6:.1f}" == "285.2"


@pytest.mark.parametrize(("softmax", "rows", "keys"), [("fp32", 128, 256), ("fp16_fp32", 128, 128), ("fp16", 256, 128)])
def test_operations_and_bytes_of_a_tile(softmax: str, rows: int, keys: int) -> None:
    """One more tile of FlashAttention costs the formulas of the page: K, V and P once, S and T in their formats."""
    settings = (
        f"problem.softmax={softmax}", f"problem.query_tokens={rows}", f"tiling.rows={rows}", f"tiling.keys={keys}",
        "tiling.vector_rows=null", "launch.blocks=1",
    )  # fmt: skip
    flops, read, written = one_more("flash_attention", (4 * keys, 5 * keys), *settings)

    s, t = {"fp32": (4, 4), "fp16_fp32": (2, 4), "fp16": (2, 2)}[softmax]
    handed_on = s * rows * keys + t * rows * 128
    assert flops == 4 * rows * keys * 128
    assert read == 4 * keys * 128 + 2 * rows * keys + handed_on
    assert written == 2 * rows * keys + handed_on
    if softmax != "fp16_fp32":
        assert f"{flops / (read + written):.1f}" == {"fp32": "25.6", "fp16": "36.6"}[softmax]
