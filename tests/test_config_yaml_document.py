"""Documents: what YAML is accepted, and that every error names the place where the fault was written."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, Field, model_validator

from ascend_sim.config import Document
from ascend_sim.errors import ConfigError


class Tile(BaseModel):
    """A nested section, neither strict nor closed by itself."""

    m: int = Field(gt=0)
    shape: tuple[int, int] = (1, 1)


class Parameters(BaseModel):
    """A model as the author of a program would write it."""

    s_k: int = Field(ge=16, multiple_of=16)
    scale: float = 1.0
    causal: bool = False
    order: Literal["forward", "zigzag"] = "forward"
    cache_bytes: int = Field(default=1024, le=4096)
    name: str = Field(default="", max_length=1)
    tile: Tile | None = None
    stages: list[Tile] = []

    @model_validator(mode="after")
    def _tile_fits(self) -> Parameters:
        if self.tile is not None and self.tile.m > self.s_k:
            raise ValueError(
                f"tile.m = {self.tile.m} exceeds s_k = {self.s_k}; write a smaller tile.m instead"
            )
        return self


def write(folder: Path, text: str | bytes, name: str = "doc.yaml") -> Path:
    """Write *text* into a file and return its path."""
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def findings(folder: Path, text: str | bytes) -> list[tuple[int | None, int | None, str]]:
    """Return line, column and message of everything wrong with *text* as Parameters."""
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        Document.load(path).parse(Parameters)
    assert {diagnostic.file for diagnostic in caught.value.diagnostics} == {str(path)}
    return [(found.line, found.column, found.message) for found in caught.value.diagnostics]


def test_valid_document_becomes_the_model(tmp_path: Path) -> None:
    """A correct file gives the model, with a list standing for a tuple and a whole number for a float."""
    text = "s_k: 32\nscale: 2\ncausal: true\ntile:\n  m: 16\n  shape: [2, 3]\n"

    parsed = Document.load(write(tmp_path, text)).parse(Parameters)

    assert parsed == Parameters(s_k=32, scale=2.0, causal=True, tile=Tile(m=16, shape=(2, 3)))


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, "the file is empty"),
        ("# only a comment\n", 1, 1, "the file is empty"),
        ("- 1\n- 2\n", 1, 1, "expected 'key: value' lines at the top level, but found [1, 2]"),
        ("a: 1\nb: 2\na: 3\n", 3, 1, "found duplicate key"),
        ("a: [1, 2\nb: 3\n", 2, 2, "not valid YAML"),
        ("a: 1\n\tb: 2\n", 2, 1, "not valid YAML"),
        ("a: !size 3\n", 1, 4, "could not determine a constructor for the tag '!size'"),
        ("a: *base\n", 1, 4, "undefined alias"),
        ("a: 1\n---\nb: 2\n", 2, 1, "but found another document"),
        ("a: 1\n2: b\n", 2, 1, 'the key 2 is not text; write "2" in quotes instead'),
        ("a:\n  ? [x]\n  : 1\n", 2, 5, "a list or mapping cannot be a key"),
        ("a: 2026-01-31\n", 1, 4, "a date is not used here; write it as text in quotes"),
        ("a: 1\nb: 2026-99-99\n", 2, 4, "this value cannot be read: month must be in 1..12"),
        ("a: &x {b: *x, c: 2026-99-99}\n", 1, 18, "month must be in 1..12"),
        ("a: !!omap [b: 1]\n", 1, 4, "is not used here"),
        ("a: !!set {b}\n", 1, 4, "a set is not used here; write it as text in quotes, a list or a mapping"),
        ('a: !!int ""\n', 1, 4, "this value cannot be read"),
        ("a: .inf\n", 1, 4, "'.inf' is not a finite number"),
        ("a: 1e999\n", 1, 4, "'1e999' is not a finite number"),
        ("a: &x {b: *x}\n", 1, 4, "an alias to itself"),
        ("a: 1\nb: c\x01\n", 2, 5, "character U+0001 is not allowed in YAML"),
        (b"a: 1\nb: caf\xe9\n", 2, 7, "byte 0xE9 is not UTF-8 text; save the file as UTF-8"),
    ],
)
def test_unreadable_text_is_refused_at_its_place(
    tmp_path: Path, text: str | bytes, line: int, column: int, message: str
) -> None:
    """Text that is not a plain YAML mapping is refused with the exact position, never with a traceback."""
    path = write(tmp_path, text)

    with pytest.raises(ConfigError) as caught:
        Document.load(path)

    (found,) = caught.value.diagnostics
    assert message in found.message
    assert (found.file, found.line, found.column) == (str(path), line, column)


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    """A file nested deeper than the parser can follow is a user error, not a RecursionError."""
    with pytest.raises(ConfigError, match="nested too deeply"):
        Document.load(write(tmp_path, "- " * 2000))


def test_an_anchor_may_be_named_again(tmp_path: Path) -> None:
    """The last anchor of a name before an alias counts, and nobody is warned of it on stderr."""
    assert Document.load(write(tmp_path, "a: &x 1\nb: &x 2\nc: *x\n")).data == {"a": 1, "b": 2, "c": 2}


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    """A path that is no file is refused with the path and what it is."""
    with pytest.raises(ConfigError, match=r"nothing\.yaml: there is no such file"):
        Document.load(tmp_path / "nothing.yaml")
    with pytest.raises(ConfigError, match="the file cannot be read: embedded null byte"):
        Document.load(tmp_path / "a\0b")
    with pytest.raises(ConfigError, match="this is a folder; name a YAML file in it instead"):
        Document.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        (
            "s_k: 32\nscal: 2.0\n",
            2,
            1,
            "unknown key 'scal' at the top level; did you mean 'scale'? (known keys: s_k,",
        ),
        (
            "s_k: 32\ntile:\n  m: 1\n  shap: [1, 1]\n",
            4,
            3,
            "unknown key 'shap' in section 'tile'; did you mean 'shape'?",
        ),
        (
            "s_k: 32\nstages:\n  - m: 1\n  - m: 2\n    n: 3\n",
            5,
            5,
            "unknown key 'n' in section 'stages.1' (known keys: m, shape)",
        ),
        ("# first\n\nscale: 2.0\n", 3, 1, "missing key 's_k' at the top level; write 's_k: ...' there"),
        ("s_k: 32\ntile:\n  shape: [1, 1]\n", 3, 3, "missing key 'm' in section 'tile'"),
        ("s_k: many\n", 1, 6, 's_k: expected a whole number, but "many" is text'),
        (
            "s_k: 32.0\n",
            1,
            6,
            "expected a whole number, but 32.0 is a number with a fraction or an exponent; write 32 instead",
        ),
        ("s_k: 0\n", 1, 6, "s_k: must be at least 16, but it is 0"),
        ("s_k: 32\nname: xy\n", 2, 7, 'name: string should have at most 1 character, but it is "xy"'),
        ("s_k: 40\n", 1, 6, "s_k: must be a multiple of 16, but it is 40"),
        ("s_k: 32\ncache_bytes: 8192\n", 2, 14, "cache_bytes: must be at most 4096 bytes, but it is 8192"),
        ("s_k: 32\ntile: {m: 0}\n", 2, 11, "tile.m: must be greater than 0, but it is 0"),
        (
            "s_k: 32\ntile: {m: 1, shape: [1, x]}\n",
            2,
            25,
            'tile.shape.1: expected a whole number, but "x" is text',
        ),
        (
            "s_k: 32\ncausal: no\n",
            2,
            9,
            'causal: expected true or false, but "no" is text; write true or false instead',
        ),
        (
            "s_k: 32\norder: zig-zag\n",
            2,
            8,
            "order: must be one of 'forward' or 'zigzag', but it is \"zig-zag\"; did you mean 'zigzag'?",
        ),
        ("s_k:\n", 1, 1, "s_k: expected a whole number, but nothing is written there (null)"),
        (
            "s_k: 32\ntile: 3\n",
            2,
            7,
            "tile: expected a mapping of 'key: value' lines, but 3 is a whole number",
        ),
        ("s_k: 32\nstages: {m: 1}\n", 2, 9, 'stages: expected a list, but {"m": 1} is a mapping'),
        ("s_k: 32\ntile: {m: 64}\n", 1, 1, "tile.m = 64 exceeds s_k = 32; write a smaller tile.m instead"),
    ],
)
def test_wrong_content_is_refused_at_its_place(
    tmp_path: Path, text: str, line: int, column: int, message: str
) -> None:
    """Each kind of wrong key or value is reported at its exact position with value, limit and way out."""
    ((found_line, found_column, found),) = findings(tmp_path, text)

    assert message in found
    assert (line, column) == (found_line, found_column)


def test_all_errors_are_reported_at_once_in_reading_order(tmp_path: Path) -> None:
    """Independent faults are collected and sorted by position."""
    text = "causal: maybe\ns_k: 8\ntile:\n  m: -1\nscal: 1\n"

    assert [line for line, _, _ in findings(tmp_path, text)] == [1, 2, 4, 5]


def test_mistyped_required_key_is_one_error(tmp_path: Path) -> None:
    """A mistyped required key is reported as unknown, and not a second time as missing."""
    ((line, _, message),) = findings(tmp_path, "sk: 32\n")

    assert line == 1
    assert "did you mean 's_k'?" in message


def test_merge_keys_and_anchors_report_the_original(tmp_path: Path) -> None:
    """A wrong value that comes in by an anchor is reported where the anchor stands."""
    text = "s_k: 32\nstages:\n  - &first {m: 0}\n  - {<<: *first, shape: [1, 1]}\n"

    assert [(line, column) for line, column, _ in findings(tmp_path, text)] == [(3, 16), (3, 16)]


def test_section_is_parsed_by_its_place(tmp_path: Path) -> None:
    """A section alone can be validated, an absent one as empty, with positions of the whole file."""
    document = Document.load(write(tmp_path, "x: 1\ntile:\n  m: 5\nbad:\n  m: 0\n"))

    assert document.parse(Tile, ("tile",)) == Tile(m=5)
    with pytest.raises(ConfigError, match=r"doc\.yaml:5:6: bad\.m: must be greater than 0"):
        document.parse(Tile, ("bad",))
    with pytest.raises(ConfigError, match=r"doc\.yaml:1:1: missing key 'm'"):
        document.parse(Tile, ("absent",))


def test_position_is_that_of_the_deepest_node(tmp_path: Path) -> None:
    """A path that leaves the document is placed at the last node that exists."""
    document = Document.load(write(tmp_path, "a:\n  b: [10, 20]\n"))

    assert document.position(("a", "b", 1)) == (2, 11)
    assert document.position(("a", "b", 7)) == (2, 6)
    assert document.position(("a", "c")) == (2, 3)
    assert document.position(()) == (1, 1)


def test_words_of_yaml_1_1_are_text(tmp_path: Path) -> None:
    """The words no, on and 12:30 stay text and 1e9 is a number, so that no figure changes by accident."""
    document = Document.load(write(tmp_path, "a: no\nb: on\nc: 12:30\nd: 1e9\n"))

    assert document.data == {"a": "no", "b": "on", "c": "12:30", "d": 1e9}
