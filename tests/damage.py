"""Strategies that damage run and chip files, byte by byte and by their structure.

The files are the bundled ones with problems so small that a run of them takes a fraction of a second; a damaged file
may still ask for a gigantic problem.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from hypothesis import strategies as st
from hypothesis.vendor.pretty import RepresentationPrinter
from ruamel.yaml import YAML

from ascend_sim.config.locate import bundled, names

Draw = Callable[[st.SearchStrategy[Any]], Any]

SMALL = {
    "amla_decode": {"batch": "1", "heads": "16", "query_tokens": "1", "kv_tokens": "100"},
    "amla_long": {"heads": "16", "query_tokens": "1", "kv_tokens": "100", "blocks": "2"},
    "amla_ragged": {"heads": "16", "kv_tokens": "[30, 60, 100]", "blocks": "2"},
    "amla_small": {"heads": "16", "query_tokens": "1", "kv_tokens": "[60, 100]"},
    "flash_attention": {"query_tokens": "20", "kv_tokens": "70"},
    "flash_attention_small": {"heads": "2", "kv_heads": "1", "query_tokens": "20", "kv_tokens": "70", "blocks": "2"},
    "gemm": {"m": "100", "n": "90", "k": "80", "grid": "[1, 2]"},
    "gemm_1536": {"m": "100", "n": "90", "k": "80", "grid": "[2, 1]"},
    "gemm_bp0047": {"m": "64", "n": "64", "k": "80"},
    "gemm_catlass_a1": {"m": "64", "n": "80", "k": "96"},
    "gemm_catlass_a2": {"m": "64", "n": "80", "k": "96"},
    "gemm_small": {"m": "70", "n": "50", "k": "40"},
    "microbench": {"bytes": "1024", "count": "3"},
    "mla_base": {"batch": "1", "heads": "16", "query_tokens": "1", "kv_tokens": "100"},
    "pasa": {"heads": "2", "kv_heads": "1", "query_tokens": "20", "kv_tokens": "70"},
    "pasa_small": {"heads": "2", "kv_heads": "1", "query_tokens": "20", "kv_tokens": "70", "blocks": "2"},
    "softmax": {"rows": "16", "columns": "100"},
    "vector_add": {"length": "3000", "tile": "1024"},
}
"""For each bundled run the values that make it small."""

RUN, CHIP, BASE = "run.yaml", "chip.yaml", "base.yaml"


@lru_cache
def intact(run: str, chip: str) -> dict[str, str]:
    """A small version of the bundled *run* on a copy of the bundled *chip*, which extends a copy of its own base."""
    text = (bundled("runs") / f"{run}.yaml").read_text(encoding="utf-8")
    for key, value in SMALL[run].items():
        text, found = re.subn(rf"^( +{key}: )(\[.*?\]|\S+)", rf"\g<1>{value}", text, count=1, flags=re.MULTILINE)
        assert found, f"{run} has no key {key}"
    text = re.sub(r"^chip: \S+", f"chip: ./{CHIP}", text, flags=re.MULTILINE)
    if "launch:" not in text:
        text += "\nlaunch:\n  blocks: 2\n"
    figures = (bundled("chips") / f"{chip}.yaml").read_text(encoding="utf-8")
    base = (bundled("chips") / "dav_c220.yaml").read_text(encoding="utf-8")
    return {RUN: text, CHIP: figures.replace("extends: dav_c220", f"extends: ./{BASE}"), BASE: base}


# --- bytes -----------------------------------------------------------------------------------------------------------

CHUNKS = (
    b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xff\xfe", b"\x85", "\u2028".encode(), b"\x07",
    b"\x7f", b"\t", b"\r", b"\r\n", b"\n", b"  ", b" ", b":", b": ", b"- ", b", ", b"#", b" #", b'"', b"'",
    b"{", b"}", b"[", b"]", b"&a ", b"*a", b"&", b"*", b"!", b"!!float ", b"!!int ", b"!!binary ", b"!!set ",
    b"!!omap ", b"!!timestamp ", b"!!python/object:os.system ", b"---\n", b"...\n", b"%YAML 1.1\n---\n",
    b"%TAG ! tag:x,2002:\n---\n", b"|\n", b">-\n", b"<<: ", b"? ", b"@", b"`", b"9", b"0", b"-",
    b"999999999999", b"0x", b"0o7", b"e999", b".inf", b".nan", b"_", b"~", b"null", b"true", "\u00e9".encode(),
    "\U0001f4a3".encode(), b"\\", b"\\x", b"\\ud800", b"%",
)  # fmt: skip
"""What is inserted into a file: separators, marks of YAML, bytes that are no UTF-8, parts of numbers."""


def _flip(draw: Draw, raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ (1 << draw(st.integers(0, 7)))]) + raw[at + 1 :] if raw else raw


def _insert(draw: Draw, raw: bytes, at: int) -> bytes:
    return raw[:at] + draw(st.sampled_from(CHUNKS)) + raw[at:]


def _replace(draw: Draw, raw: bytes, at: int) -> bytes:
    return raw[:at] + draw(st.sampled_from(CHUNKS)) + raw[at + draw(st.integers(1, 6)) :]


def _delete(draw: Draw, raw: bytes, at: int) -> bytes:
    return raw[:at] + raw[at + draw(st.integers(1, 40)) :]


def _truncate(draw: Draw, raw: bytes, at: int) -> bytes:
    return raw[:at]


def _repeat(draw: Draw, raw: bytes, at: int) -> bytes:
    return raw[: at + draw(st.integers(1, 60))] + raw[at:]


def _digits(draw: Draw, raw: bytes, at: int) -> bytes:
    """Make the number behind *at* huge."""
    number = re.search(rb"\d", raw[at:])
    at += number.end() if number else 0
    return raw[:at] + b"9" * draw(st.sampled_from((1, 3, 8, 20, 310, 5000))) + raw[at:]


def _encode(draw: Draw, raw: bytes, at: int) -> bytes:
    """The text in another encoding, or with other line ends or indents."""
    text = raw.decode("utf-8", "replace")
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: text.encode("utf-16"),
        lambda: text.encode("utf-8-sig"),
        lambda: text.encode("utf-32-le"),
        lambda: text.replace("\n", "\r\n").encode(),
        lambda: text.replace("\n", "\r").encode(),
        lambda: text.replace("  ", "\t").encode(),
        lambda: raw * 2,
        lambda: b"",
        lambda: raw[::-1],
    )
    return draw(st.sampled_from(ways))()


def _nested(draw: Draw, raw: bytes, at: int) -> bytes:
    """Lists or mappings nested deeply, at the end of a line."""
    depth = draw(st.sampled_from((5, 60, 400, 3000)))
    pairs = ((b"[", b"]"), (b"{a: ", b"}"), (b"[{a: ", b"}]"), (b"- ", b""), (b"? ", b""))
    opening, closing = draw(st.sampled_from(pairs))
    line = raw.find(b"\n", at) + 1
    return raw[:line] + b"deep:\n  " + opening * depth + b"1" + closing * depth + b"\n" + raw[line:]


def _aliases(draw: Draw, raw: bytes, at: int) -> bytes:
    """Anchors whose aliases multiply, at the beginning of a line."""
    levels, width = draw(st.integers(1, 30)), draw(st.integers(1, 10))
    lines = ["bomb:", "  a0: &a0 [1]"]
    for level in range(levels):
        lines.append(f"  a{level + 1}: &a{level + 1} [{', '.join([f'*a{level}'] * width)}]")
    line = raw.find(b"\n", at) + 1
    return raw[:line] + "\n".join(lines).encode() + b"\n" + raw[line:]


_BYTE_DAMAGE = (
    _flip, _insert, _replace, _delete, _truncate, _repeat, _digits, _insert, _replace, _digits, _encode,
    _nested, _aliases,
)  # fmt: skip


@st.composite
def damaged_bytes(draw: Draw, raw: bytes) -> bytes:
    """*raw* with one to four places damaged, whatever stands there."""
    for _ in range(draw(st.integers(1, 4))):
        raw = draw(st.sampled_from(_BYTE_DAMAGE))(draw, raw, draw(st.integers(0, max(len(raw) - 1, 0))))
    return raw


# --- structure -------------------------------------------------------------------------------------------------------

Tree: TypeAlias = "str | list[Tree] | Mapping"
"""A document whose scalars and keys are what the file says, so that there may be any."""


@dataclass
class Mapping:
    """Keys and values in order; a key may be there twice."""

    entries: list[tuple[str, Tree]]


VALUES = (
    "0", "1", "2", "3", "7", "16", "100", "-1", "-0.0", "0.5", "1.5", "1e308", "-1e308", "1e-308", "5e-324",
    "1e400", ".nan", ".inf", "-.inf", "2147483648", "9223372036854775808", "18446744073709551616",
    "1" + 30 * "0", "1" + 400 * "0", "0x" + 4000 * "f", "9" * 5000, "0o17", "0b11", "1_000", "1:30", "1e3",
    "1.0", '""', '" "', "é", '"\\0"', '"\\ud800"', '"\\n"', "'" + 3000 * "x" + "'", "💣", "null", "~", "",
    "true", "false", "yes", "[]", "{}", "[1]", "[1, 2]", "[[1]]", "{value: 1}",
    "{value: 1, source: INI, standing: measured}", "{extends: ascend910b1}", '"1"', "2020-01-01", "2026-99-99",
    "!!int x", "!!float 1", "!!binary QUJD", "!!set {a, b}", "!!python/none x", "!!str 1", "&a 1", "*a",
    "&a [*a]", "fp16", "fp32", "int8", "add", "mul", "row", "column", "softmax", "gemm", "amla", "vector_add",
    "./chip.yaml", "./run.yaml", "./base.yaml", "..", "/", "/dev/null", "~/x", "~nobody/x.yaml", "ascend910c",
    "dav_c220", "measured", "INI", "ub_to_gm", "l1_to_l0b",
)  # fmt: skip
"""Values that are extreme, of any type, or right somewhere else."""

KEYS = (
    '""', "1", "1.5", "null", "true", "~", "[1]", "{a: 1}", "é", "<<", "*a", "&a key", "'a.b'", '"\\0"',
    '"\\ud800"', "💣", "? x", "extends", "chip", "program", "problem", "data", "value", "source", "launch",
    "blocks", "enabled", "dies", "name", "symmetry", "dtype", "m", "k", "grid", "schedule", "tiling", "fp16",
    "note", "__class__", "model_config",
)  # fmt: skip
"""Keys of any type, or known somewhere else."""


def tree_of(value: Any) -> Tree:
    """Plain *value* as a tree."""
    if isinstance(value, dict):
        return Mapping([(str(key), tree_of(member)) for key, member in value.items()])
    if isinstance(value, list):
        return [tree_of(item) for item in value]
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return {None: "null", True: "true", False: "false"}.get(value, repr(value)) if value != 1 or value is True else "1"


def text_of(tree: Tree, indent: str = "") -> str:
    """The lines of *tree*: mappings in block style, lists in flow style."""
    if not isinstance(tree, Mapping):
        return flow_of(tree)
    lines = []
    for key, value in tree.entries:
        if isinstance(value, Mapping) and value.entries:
            lines.append(f"{indent}{key}:\n{text_of(value, indent + '  ')}")
        else:
            lines.append(f"{indent}{key}: {flow_of(value)}")
    return "\n".join(lines)


def flow_of(tree: Tree) -> str:
    """*tree* in flow style."""
    if isinstance(tree, str):
        return tree
    if isinstance(tree, list):
        return "[" + ", ".join(map(flow_of, tree)) + "]"
    return "{" + ", ".join(f"{key}: {flow_of(value)}" for key, value in tree.entries) + "}"


@dataclass
class _Slot:
    """A place of a tree: item *index* of *parent*."""

    parent: list[Tree] | Mapping
    index: int

    @property
    def value(self) -> Tree:
        return self.parent.entries[self.index][1] if isinstance(self.parent, Mapping) else self.parent[self.index]

    @value.setter
    def value(self, value: Tree) -> None:
        if isinstance(self.parent, Mapping):
            self.parent.entries[self.index] = self.parent.entries[self.index][0], value
        else:
            self.parent[self.index] = value

    @property
    def items(self) -> list[Any]:
        return self.parent.entries if isinstance(self.parent, Mapping) else self.parent


def _slots(tree: Tree) -> list[_Slot]:
    """Every place of *tree*, from the top down."""
    if isinstance(tree, str):
        return []
    items = [value for _, value in tree.entries] if isinstance(tree, Mapping) else tree
    here = [_Slot(tree, index) for index in range(len(items))]
    return here + [slot for item in items for slot in _slots(item)]


def _drop(draw: Draw, slot: _Slot, others: list[_Slot]) -> None:
    del slot.items[slot.index]


def _set(draw: Draw, slot: _Slot, others: list[_Slot]) -> None:
    slot.value = draw(st.sampled_from(VALUES))


def _add(draw: Draw, slot: _Slot, others: list[_Slot]) -> None:
    value = draw(st.sampled_from(VALUES))
    slot.items.append((draw(st.sampled_from(KEYS)), value) if isinstance(slot.parent, Mapping) else value)


def _rename(draw: Draw, slot: _Slot, others: list[_Slot]) -> None:
    if not isinstance(slot.parent, Mapping):
        return
    key, value = slot.parent.entries[slot.index]
    typo = st.sampled_from((key[::-1], key.upper(), key + "s", key[1:] or "x", f"'{key}'", f"{key} ", f"{key}.{key}"))
    slot.parent.entries[slot.index] = draw(st.one_of(typo, st.sampled_from(KEYS))), value


def _double(draw: Draw, slot: _Slot, others: list[_Slot]) -> None:
    slot.items.insert(draw(st.integers(0, len(slot.items))), copy.deepcopy(slot.items[slot.index]))


def _swap(draw: Draw, slot: _Slot, others: list[_Slot]) -> None:
    other = draw(st.sampled_from(others))
    slot.value, other.value = copy.deepcopy(other.value), copy.deepcopy(slot.value)


def _move(draw: Draw, slot: _Slot, others: list[_Slot]) -> None:
    other, item = draw(st.sampled_from(others)), copy.deepcopy(slot.items[slot.index])
    if isinstance(other.parent, Mapping) == isinstance(slot.parent, Mapping):
        other.items.append(item)
        del slot.items[slot.index]


def _wrap(draw: Draw, slot: _Slot, others: list[_Slot]) -> None:
    value = slot.value
    slot.value = draw(st.sampled_from(([value], [value, value], Mapping([("value", value)]), Mapping([("x", value)]))))


def _unwrap(draw: Draw, slot: _Slot, others: list[_Slot]) -> None:
    inner = _slots(slot.value)
    if inner:
        slot.value = draw(st.sampled_from(inner)).value


def _scale(draw: Draw, slot: _Slot, others: list[_Slot]) -> None:
    """Another number of the same kind."""
    if isinstance(slot.value, str) and re.fullmatch(r"-?\d+", slot.value):
        n = int(slot.value)
        slot.value = str(draw(st.sampled_from((-n, n + 1, n // 2, n * 3, n * 100, n * 10**6))))
    elif isinstance(slot.value, str) and re.fullmatch(r"-?\d+\.?\d*(e[+-]?\d+)?", slot.value):
        slot.value = repr(float(slot.value) * draw(st.sampled_from((-1.0, 0.0, 1e-9, 0.3, 3.0, 1e9, 1e300))))


def _alias(draw: Draw, slot: _Slot, others: list[_Slot]) -> None:
    other = draw(st.sampled_from(others))
    slot.value, other.value = f"&a {flow_of(slot.value)}", draw(st.sampled_from(("*a", "[*a, *a]", "{<<: *a}")))


_TREE_DAMAGE = (_drop, _set, _set, _set, _add, _rename, _double, _swap, _move, _wrap, _unwrap, _scale, _scale, _alias)


@lru_cache
def _tree(text: str) -> Tree:
    return tree_of(YAML(typ="safe", pure=True).load(text))


@st.composite
def damaged_structure(draw: Draw, text: str) -> bytes:
    """The document *text* with one to four keys or values damaged, in a form that is mostly still YAML."""
    tree = copy.deepcopy(_tree(text))
    for _ in range(draw(st.integers(1, 4))):
        slots = _slots(tree)
        if slots:
            draw(st.sampled_from(_TREE_DAMAGE))(draw, draw(st.sampled_from(slots)), slots)
    return (text_of(tree) + "\n").encode()


# --- cases -----------------------------------------------------------------------------------------------------------

BUDGET = ("--max-instructions", "30000", "--max-cycles", "1000000000", "--max-memory", "8")
"""Limits for what a damaged file may ask for; every intact run is far below."""

COMMANDS = tuple(
    ("run", RUN, *options, *BUDGET)
    for options in (("--no-data",), ("--data",), ("--json",), ("--out", "out", "--trace", "--data"))
)


@dataclass(frozen=True)
class Damaged:
    """Files, of which one may be damaged, and a command that reads them; *intact* are the same files undamaged."""

    files: dict[str, bytes]
    command: tuple[str, ...]
    intact: dict[str, str]

    def __repr__(self) -> str:
        """The command and the first damaged lines; the files are too long to be printed."""
        lines = [f"ascend-sim {' '.join(map(repr, self.command))}"]
        for name, content in self.files.items():
            before = {ascii(line) for line in self.intact[name].encode().split(b"\n")}
            damaged = [ascii(line) for line in content.split(b"\n") if ascii(line) not in before]
            missing = len(before - {ascii(line) for line in content.split(b"\n")})
            if damaged or missing:
                lines += [f"{name}: {missing} lines are missing, and there are", *(one[:300] for one in damaged[:30])]
        return "\n".join(lines)

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:
        """What Hypothesis prints, which for dataclasses is not their repr()."""
        printer.text(repr(self))


@st.composite
def damaged_case(draw: Draw, part: str) -> Damaged:
    """A run whose file *part* (RUN, CHIP or BASE) is damaged."""
    run, chip = draw(st.sampled_from(sorted(SMALL))), draw(st.sampled_from(names("chips")))
    texts = intact(run, chip)
    damaged = draw(st.one_of(damaged_bytes(texts[part].encode()), damaged_structure(texts[part])))
    files = {name: text.encode() for name, text in texts.items()}
    return Damaged({**files, part: damaged}, draw(st.sampled_from(COMMANDS)), texts)


NUMBERS = (
    "0", "1", "2", "3", "7", "16", "31", "32", "33", "64", "100", "256", "512", "1000", "4096", "65536", "1000000",
    "1e9", "1e12", "1e18", "1e300", "1e308", "-1", "-1e9", "0.001", "0.5", "1.5", "1e-9", "1e-300", "5e-324",
    "4294967296",
)  # fmt: skip
"""Numbers that some figure of a chip, or some parameter, may have."""


@st.composite
def damaged_override(draw: Draw) -> Damaged:
    """A run of intact files under overrides that are wrong anywhere, or under a chip of extreme figures."""
    run, chip = draw(st.sampled_from(sorted(SMALL))), draw(st.sampled_from(names("chips")))
    texts = intact(run, chip)
    command: list[str] = list(draw(st.sampled_from(COMMANDS)))
    figures = [f"chip.{path}" for path in _paths(_tree(texts[BASE]))]
    if draw(st.booleans()):
        figures = [path.removesuffix(".value") for path in figures if path.endswith((".value", "_cycles"))]
        for _ in range(draw(st.integers(1, 6))):
            command += ["--set", f"{draw(st.sampled_from(figures))}={draw(st.sampled_from(NUMBERS))}"]
    else:
        for _ in range(draw(st.integers(1, 3))):
            command += ["--set", _written(draw, _paths(_tree(texts[RUN])) + figures)]
    return Damaged({name: text.encode() for name, text in texts.items()}, tuple(command), texts)


def _written(draw: Draw, paths: list[str]) -> str:
    """An override of one of *paths*, perhaps damaged."""
    value = draw(st.one_of(st.sampled_from(VALUES), st.sampled_from(NUMBERS)))
    written = f"{draw(st.sampled_from(paths))}={value}"
    if draw(st.booleans()):
        return written
    at = draw(st.integers(0, len(written) - 1))
    damaged: bytes = draw(st.sampled_from(_BYTE_DAMAGE[:7]))(draw, written.encode(), at)
    return damaged.decode("utf-8", "surrogateescape")


def _paths(tree: Tree) -> list[str]:
    """The dotted paths of all keys of *tree*."""
    if not isinstance(tree, Mapping):
        return []
    return [name for key, value in tree.entries for name in (key, *(f"{key}.{path}" for path in _paths(value)))]
