"""The documentation does what it says: its commands print what stands below them, its lists are complete.

Pages are followed from top to bottom in an empty folder. Blocks that name a file in their title are written into it,
`diff` blocks change such a file, and each "$ ascend-sim ..." line of a `console` block is run and compared with the
lines below it, in which "..." stands for any text and a line of nothing else for any lines. `exit=3` after
"console" is the exit code of the last command of the block.

Where a change of the model moves the numbers, `python tests/test_docs.py` writes what the commands print now into the
pages. It changes neither exit codes nor sentences, so read its diff.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import json
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest
import typer
from pydantic import BaseModel

from ascend_sim import cli
from ascend_sim import kernel as asc
from ascend_sim.check.finding import Kind
from ascend_sim.config.chip import Chip, VectorRow
from ascend_sim.config.figure import Figure
from ascend_sim.config.run import DataConfig, LaunchConfig
from ascend_sim.isa.instruction import Instruction
from ascend_sim.isa.vector_ops import VECTOR_OPS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PARTS = ("how-to", "reference", "errors")
FILED = sorted(str(page.relative_to(DOCS)) for page in DOCS.glob("*/*.md") if page.parts[-2] in PARTS)
PAGES = ["tutorial.md", "algorithms.md", *FILED]
FENCE = re.compile(r"^```(?P<language>\w+)(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    place: str
    language: str
    info: dict[str, str]
    body: str


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of *page*, in order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        info = dict(part.split("=", 1) for part in shlex.split(match["info"]))
        yield Block(f"docs/{page}:{line}", match["language"], info, match["body"])


def run(command: str) -> tuple[int, str]:
    """The exit code of an ascend-sim command line, and what it prints."""
    program, *arguments = shlex.split(command)
    assert program == cli.NAME, f"'{command}' is not a command of {cli.NAME}"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert isinstance(exit_.value.code, int)
    return exit_.value.code, printed.getvalue()


def same(expected: str, printed: str) -> bool:
    """Whether *printed* is what *expected* shows, with "..." standing for what is left out."""
    pattern = ""
    for line in expected.splitlines():
        pattern += r".*\n(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*?") + r"\n"
    return re.fullmatch(pattern, printed) is not None


def steps(block: Block) -> list[tuple[str, str, int]]:
    """The commands of a console block, what stands below each, and the exit code that it shall have."""
    assert block.body.startswith("$ "), f"{block.place}: a console block begins with '$ {cli.NAME} ...'"
    parts = [part.split("\n", 1) for part in re.split(r"^\$ ", block.body, flags=re.MULTILINE)[1:]]
    codes = [0] * (len(parts) - 1) + [int(block.info.get("exit", 0))]
    return [(command, expected, code) for (command, expected), code in zip(parts, codes, strict=True)]


def check(block: Block) -> None:
    """Run the commands of a console block and compare what they print."""
    for command, expected, wanted in steps(block):
        code, printed = run(command)
        assert same(expected, printed), f"{block.place}: '{command}' now prints:\n{printed}"
        assert code == wanted, f"{block.place}: '{command}' exits with {code}, not {wanted}; it prints:\n{printed}"


def prepare(block: Block) -> None:
    """Do what a block other than a console block says: write a file, or change one."""
    if block.language == "diff":
        apply(block)
        return
    assert "title" in block.info, f"{block.place}: code must be followed; name its file with title=..."
    path = Path(block.info["title"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.body, encoding="utf-8")


def apply(block: Block) -> None:
    """Change the file in the title of a diff block: its lines with "-" and " " become those with "+" and " "."""
    path = Path(block.info["title"])
    lines = [(line[:1] or " ", line[1:]) for line in block.body.splitlines()]
    old = "".join(f"{text}\n" for sign, text in lines if sign in "- ")
    new = "".join(f"{text}\n" for sign, text in lines if sign in "+ ")
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{block.place}: {path} holds the old lines {text.count(old)} times:\n{text}"
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_following_a_page_gives_what_it_shows(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader who types in what a page says sees what the page shows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for block in blocks(page):
        (check if block.language == "console" else prepare)(block)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """No page links to a file that does not exist."""
    text = FENCE.sub("", (DOCS / page).read_text(encoding="utf-8"))
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    missing = [target for target in targets if target and not (DOCS / page).parent.joinpath(target).exists()]
    assert not missing


def rows(page: str, heading: str) -> dict[str, list[str]]:
    """The tables under *heading* of a reference page: the word in the first column, and the other columns."""
    text = (DOCS / "reference" / page).read_text(encoding="utf-8")
    section = re.split(r"^## ", text, flags=re.MULTILINE)
    [chosen] = [part for part in section if part.startswith(heading)]
    table = [line.strip("|").split("|") for line in chosen.splitlines() if line.startswith("| `")]
    lines = [[cell.strip() for cell in line] for line in table]
    found = {line[0].replace("`", ""): line[1:] for line in lines}
    assert len(found) == len(lines), f"{page}: a word stands twice under '{heading}'"
    return found


@pytest.mark.parametrize(
    ("page", "column"), [("how-to/debug-a-kernel.md", r"^\| (`.*?`) \|"), ("errors/hardware-rule.md", r"\| (`.*`) \|$")]
)
def test_messages_of_a_table_exist(page: str, column: str) -> None:
    """Every message that the tables of these pages explain is one that the simulator gives."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "ascend_sim").rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # a message that is written over several lines
    cells = re.findall(column, (DOCS / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    messages = [message for cell in cells for message in re.findall(r"`([^`]+)`", cell)]
    parts = [part.strip(" ':") for message in messages for part in message.split("...")]
    assert messages
    assert [part for part in parts if part and part not in source] == []


def test_every_kind_of_finding_has_a_page() -> None:
    """docs/errors has a page for each kind that `check` reports and no other, and its index lists each once."""
    index = (DOCS / "errors" / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[([\w-]+)\]\(\1\.md\) \| (?:error|hint|error or hint) \| \S", index, flags=re.MULTILINE)
    assert sorted(listed) == sorted(get_args(Kind))
    assert {page.stem for page in (DOCS / "errors").glob("*.md")} == {"README", *get_args(Kind)}


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_page_of_a_kind_shows_it_and_then_its_fix(kind: str) -> None:
    """The first command of a page finds what the page is about and nothing else; the last one finds nothing."""
    shown = [block.body for block in blocks(f"errors/{kind}.md") if block.language == "console"]
    assert set(re.findall(r"\[([a-z-]+)\]$", shown[0], flags=re.MULTILINE)) == {kind}
    assert ": no errors, " in shown[-1]
    assert f"[{kind}]" not in shown[-1]


def test_what_the_readme_says_of_check_is_what_a_page_shows() -> None:
    """The report in README.md is that of docs/errors/race.md, whose command is executed."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [shown] = [match["body"] for match in FENCE.finditer(readme) if match["body"].startswith("$ ascend-sim check")]
    assert shown in [block.body for block in blocks("errors/race.md")]


def test_every_kernel_name_is_documented() -> None:
    """kernel-api.md lists exactly the public names of ascend_sim.kernel."""
    headings = ("Kernels", "The core", "Data", "Instructions", "Vector functions", "Helpers", "Traced programs")
    documented = {name for heading in headings for name in rows("kernel-api.md", heading) if "." not in name}
    assert documented == set(asc.__all__)


@pytest.mark.parametrize("owner", [asc.Core, asc.Ring, asc.LocalTensor, asc.GlobalTensor, asc.GlobalMemory, asc.Buffer])
def test_documented_methods_exist(owner: type) -> None:
    """A method that kernel-api.md names can be called, or read from an instance."""
    known = {*dir(owner), *getattr(owner, "__dataclass_fields__", {})}
    known |= set(vars(owner)["__init__"].__code__.co_names)  # attributes that the constructor assigns
    text = (DOCS / "reference" / "kernel-api.md").read_text(encoding="utf-8")
    named = set(re.findall(rf"^\| `{owner.__name__}\.(\w+)", text, flags=re.MULTILINE))
    assert named
    assert named <= known


def leaves(kind: type[Instruction]) -> Iterator[type[Instruction]]:
    """The instruction classes below *kind* that a program can hold."""
    if not kind.__subclasses__():
        yield kind
    for child in kind.__subclasses__():
        yield from leaves(child)


def test_every_instruction_is_documented() -> None:
    """instructions.md has a row for the mnemonic of every instruction class."""
    mnemonics = {kind.mnemonic for kind in leaves(Instruction) if isinstance(kind.mnemonic, str)}
    sections = [rows("instructions.md", heading) for heading in ("Moves", "Matrix", "Synchronisation")]
    assert {name.split()[0] for section in sections for name in section} == mnemonics


def test_every_vector_operation_is_documented_with_its_cost_and_formats() -> None:
    """The rows of instructions.md agree with the table of vector operations."""
    expected = {}
    for op in VECTOR_OPS.values():
        pairs = [str(a) if a == b else f"{a}→{b}" for a, b in op.formats]
        expected[op.name] = [op.cost, ", ".join(pairs)]
    documented = {name: cells[:2] for name, cells in rows("instructions.md", "Vector operations").items()}
    assert documented == expected


def chip_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted keys of a chip file; mappings with free keys count as one."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        section = isinstance(inner, type) and issubclass(inner, BaseModel) and not issubclass(inner, Figure)
        if section:
            assert isinstance(inner, type)
            yield from chip_keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_every_chip_key_is_documented() -> None:
    """config.md lists exactly the keys of a chip file, and the fields of a row of vector costs."""
    documented = set(rows("config.md", "Chip files"))
    paths = [key for key in documented if key.startswith("paths.PATH.")]
    named = {key for key in documented if not key.startswith(("paths.", "vector.ops.OP.DTYPE."))}
    assert named == {key for key in chip_keys(Chip) if not key.startswith("paths.")}
    assert {key.removeprefix("paths.PATH.") for key in paths} == {
        key.rsplit(".", 1)[1] for key in chip_keys(Chip) if key.startswith("paths.")
    }
    fields = {key.rsplit(".", 1)[1] for key in documented if key.startswith("vector.ops.OP.DTYPE.")}
    assert fields == set(VectorRow.model_fields)


def test_every_path_of_a_chip_is_named() -> None:
    """config.md names each of the data paths that a chip file describes."""
    text = (DOCS / "reference" / "config.md").read_text(encoding="utf-8")
    names = {key.split(".")[1] for key in chip_keys(Chip) if key.startswith("paths.")}
    assert {name for name in names if f"`{name}`" not in text} == set()


def test_every_run_key_is_documented() -> None:
    """config.md lists exactly the keys of a run file that are the same for all programs."""
    expected = {"program", "chip", "description", "symmetry"}
    expected |= {f"data.{name}" for name in DataConfig.model_fields}
    expected |= {f"launch.{name}" for name in LaunchConfig.model_fields}
    assert set(rows("config.md", "Run files")) == expected


def test_every_command_and_option_is_documented() -> None:
    """cli.md has a section for each command, and a row for each of its options."""
    group = typer.main.get_command(cli.app)
    commands = group.commands  # type: ignore[attr-defined]
    text = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    assert set(re.findall(rf"^## {cli.NAME} (\w+)", text, flags=re.MULTILINE)) == set(commands)
    for name, command in {**commands, "": group}.items():
        inner = getattr(command, "commands", {}).values() if name else ()  # such as `explore report`
        params = [param for one in (command, *inner) for param in one.params]
        options = {o for p in params for o in (*p.opts, *p.secondary_opts) if o.startswith("--")}
        documented = rows("cli.md", f"{cli.NAME} {name}".strip() if name else "Exit codes and general options")
        named = {word for key in documented for word in re.findall(r"--[\w-]+", key)}
        assert named - {"--help"} == options - {"--help"}, name


def test_every_result_key_and_column_is_documented(tmp_path: Path) -> None:
    """result-files.md names all keys of result.json and all columns of the CSV files, and no others."""
    code, printed = run(f"ascend-sim run gemm_small --no-data --out {tmp_path} --trace")
    assert code == 0, printed
    result = json.loads((tmp_path / "result.json").read_text())
    keys = set()
    for name, value in result.items():
        inner = value if isinstance(value, dict) and name != "config" else {}
        keys |= {f"{name}.{key}" for key in inner} or {name}
    documented = {key for key in rows("result-files.md", "result.json") if not key.startswith("config.")}
    assert {key for key in documented if not key.startswith("numerics")} == keys - {"numerics"}
    for name in ("PipeUtilization.csv", "Memory.csv", "ResourceConflictRatio.csv"):
        columns = (tmp_path / name).read_text().splitlines()[0].split(",")
        assert list(rows("result-files.md", name)) == columns
    assert {path.name for path in tmp_path.iterdir()} == {
        "result.json", "PipeUtilization.csv", "Memory.csv", "ResourceConflictRatio.csv", "recording.npz", "trace.json"
    }  # fmt: skip


def updated(expected: str, printed: str) -> str:
    """*expected* with each line that it shows replaced by the one of *printed* that it resembles most, in order."""
    shown = expected.splitlines()
    if "..." not in shown:
        return printed
    lines, begin, result = printed.splitlines(), 0, []
    for line in shown:
        if line != "..." and begin < len(lines):
            alike = [difflib.SequenceMatcher(None, line, other).ratio() for other in lines[begin:]]
            begin += alike.index(max(alike)) + 1
            line = line if same(line, lines[begin - 1] + "\n") else lines[begin - 1]
        result.append(line)
    return "".join(f"{line}\n" for line in result)


def refresh(page: str) -> None:
    """Follow *page* in the current folder and write what its commands print now into it."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for block in blocks(page):
        if block.language != "console":
            prepare(block)
            continue
        body = ""
        for command, expected, wanted in steps(block):
            code, printed = run(command)
            new = expected if same(expected, printed) else updated(expected, printed)
            if code != wanted or not same(new, printed):
                print(f"{block.place}: see to '{command}' by hand; it exits with {code} and prints:\n{printed}")
                new = expected
            body += f"$ {command}\n{new}"
        text = text.replace(block.body, body, 1) if body != block.body else text
    (DOCS / page).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    os.environ["COLUMNS"] = "80"
    for name in PAGES:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            refresh(name)
