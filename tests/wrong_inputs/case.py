"""One wrong input: the files, the command, and what it must end with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent, indent

HEAD = """\
from __future__ import annotations

from ascend_sim import kernel as asc
from ascend_sim.kernel import AIC, AIV, Pipe, RoundMode, Space, bf16, fp16, fp32, int8, int32, uint8


class Parameters(asc.Parameters):
    pass


def tensors(gm, p):
    gm.input("x", (128, 128), fp16)
    gm.input("v", (4096,), fp32)
    gm.output("y", (128, 128), fp32)
    gm.output("z", (4096,), fp32)


"""
KERNEL = """\
@asc.kernel(cores="{cores}", parameters=Parameters, tensors=tensors, flops=lambda p: 0)
def wrong(core, gm, p):
    {body}
"""
KERNEL_RUN = "program: ./kernel.py\nchip: ascend910b2\nlaunch: {blocks: 1}\n"


@dataclass(frozen=True)
class Case:
    """A wrong input.

    *says* has one entry for each line on stderr, in order. Three dots in it stand for any text; "here:" and "there:"
    at its beginning for the file and line that end with the comment of that name.
    """

    name: str
    says: tuple[str, ...]
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    command: str = "run run.yaml"
    code: int = 2

    def write(self, folder: Path) -> None:
        """Write the files below *folder*."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def differences(self, stderr: str) -> list[str]:
        """What is wrong with *stderr*: nothing, or the lines that were expected and those that came."""
        lines = stderr.splitlines()
        expected = [self._placed(text) for text in self.says]
        patterns = [".*".join(map(re.escape, text.split("..."))) for text in expected]
        if len(lines) == len(patterns) and all(map(re.fullmatch, patterns, lines)):
            return []
        return ["expected:", *expected, "but got:", *lines]

    def _placed(self, text: str) -> str:
        mark, colon, rest = text.partition(":")
        return self._place(mark) + colon + rest if mark in ("here", "there") else text

    def _place(self, mark: str) -> str:
        for name, content in self.files.items():
            for number, line in enumerate(content.splitlines() if isinstance(content, str) else [], 1):
                if line.endswith(f"# {mark}"):
                    return f"{name}:{number}"
        raise AssertionError(f"no line of '{self.name}' ends with '# {mark}'")


def program(
    name: str, text: str, *says: str, code: int = 2, command: str = "run run.yaml", **more: str
) -> Case:
    """A run of the program file *text*; *more* are further program files by name without ending."""
    files = {f"{stem}.py": content for stem, content in more.items()}
    return Case(name, says, {"run.yaml": KERNEL_RUN, "kernel.py": text, **files}, command, code)


def kernel(
    name: str,
    body: str,
    *says: str,
    cores: str = "vector",
    code: int = 3,
    command: str = "run run.yaml",
    **more: str,
) -> Case:
    """A run of a kernel with *body* on one block of *cores*."""
    lines = indent(dedent(body).strip("\n"), "    ").lstrip()
    return program(
        name, HEAD + KERNEL.format(cores=cores, body=lines), *says, code=code, command=command, **more
    )
