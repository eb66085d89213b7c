"""The page of a run and the page of a comparison: complete, self-contained, and without an error in a browser."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from browser import watched_page
from kernels import write_run
from test_cli import Command, ascend_sim

from ascend_sim.opened import OpenedRun, open_run
from ascend_sim.report.html import run_page
from ascend_sim.report.sections import sections_of
from ascend_sim.report.whatif import WhatIf

__all__ = ["ascend_sim"]

_OUTSIDE = re.compile(r"""(?:src|href|xlink:href|action)=["'](?!#|data:)""")
_NAMESPACES = ("http://www.w3.org/", "http://creativecommons.org/", "http://purl.org/", "https://matplotlib.org/")
ONLY_MOVES = """\
t = core.tensor("t", Space.UB, 256, asc.fp32)
asc.data_copy(t, gm.x)
asc.set_flag(Pipe.MTE2, Pipe.MTE3, 0)
asc.wait_flag(Pipe.MTE2, Pipe.MTE3, 0)
asc.data_copy(gm.y, t)
"""


@pytest.fixture(scope="module")
def opened() -> OpenedRun:
    """A run of all kinds of pipes."""
    return open_run("amla_small", ["problem.batch=2", "problem.kv_tokens=[100,600]", "launch.blocks=2"])


@pytest.fixture(scope="module")
def page(opened: OpenedRun) -> str:
    """Its page, with a made-up gain."""
    gain = WhatIf("aic_cube", 0.5, opened.result.time_us, 1.0, "aic_mte2 (<memory>): 50 %", ())
    return run_page(opened, sections_of(opened, [gain]))


class _Elements(HTMLParser):
    """The text of each pre by its id, and the texts of table cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pre: dict[str | None, str] = {}
        self.cells: list[str] = []
        self.open: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("pre", "td"):
            self.open.append((tag, dict(attrs).get("id")))
            if tag == "td":
                self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("pre", "td"):
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1][0] == "pre":
            key = self.open[-1][1]
            self.pre[key] = self.pre.get(key, "") + data
        elif self.open:
            self.cells[-1] += data


def test_the_numbers_are_those_of_the_result(opened: OpenedRun, page: str) -> None:
    """The page carries result.json whole, and shows its time, rate and shares of pipes as they are there."""
    elements, result = _Elements(page), opened.result
    whole = {key: value for key, value in result.to_dict().items() if key != "config"}

    assert json.loads(elements.pre["result"]) == whole
    assert json.loads(elements.pre[None]) == result.config
    assert f'data-name="time_us">{result.time_us:,.1f} us<' in page
    assert f'data-name="tflops">{result.tflops:,.1f} TFLOPS<' in page
    assert f'data-name="flops_utilization">{100 * result.flops_utilization:.1f} %<' in page
    for name, share in result.pipes.items():
        position = elements.cells.index(name.removesuffix("_ratio"), elements.cells.index("aiv_scalar_stall") - 20)
        assert elements.cells[position + 1] == f"{100 * share:.1f} %"


def test_bytes_are_counted_once(opened: OpenedRun, page: str) -> None:
    """What the paths from and to global memory have moved is what L2 was asked for, atomic additions read as well."""
    cells = _Elements(page).cells
    moved = {name: float(cells[cells.index(name) + 1].replace(",", "")) for name in ("L2 read", "L2 written")}

    assert moved["L2 read"] == pytest.approx(opened.result.memory["l2_read_bytes"] / 1e6, abs=0.006)
    written = [float(cells[cells.index(name) + 1].replace(",", "")) for name in ("L0C to GM", "UB to GM")]
    assert sum(written) == pytest.approx(moved["L2 written"], abs=0.02)


def test_nothing_comes_from_outside(page: str) -> None:
    """No address of the page leads out of it, and what is no markup of ours is escaped."""
    assert _OUTSIDE.search(page) is None
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", _without_config(page)))
    assert [one for one in addresses if not one.startswith(_NAMESPACES)] == []
    assert "aic_mte2 (&lt;memory&gt;): 50 %" in page


def _without_config(page: str) -> str:
    """The page without its <pre> parts: they quote the sources of figures."""
    return re.sub(r"<pre.*?</pre>", "", page, flags=re.DOTALL)


def test_equal_runs_give_equal_pages(opened: OpenedRun, page: str) -> None:
    """The page has no date and no random name."""
    gain = WhatIf("aic_cube", 0.5, opened.result.time_us, 1.0, "aic_mte2 (<memory>): 50 %", ())

    assert run_page(opened, sections_of(opened, [gain])) == page


def seen(path: Path) -> dict[str, Any]:
    """What a browser finds on the page *path*: headings, figures, complaints; and the figure after a step closer."""
    with watched_page(path.as_uri()) as watched:
        said: list[str] = []
        watched.page.on("console", lambda message: said.append(message.text))
        watched.page.goto(path.as_uri())
        found: dict[str, Any] = watched.ask(
            """() => ({
                headings: [...document.querySelectorAll("h2")].map(one => one.textContent),
                svgs: document.querySelectorAll("figure svg").length,
                wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
                before: document.querySelector("figure.zoom svg").getAttribute("viewBox"),
            })"""
        )
        watched.page.locator("figure.zoom button").first.click()
        found["after"] = watched.ask("() => document.querySelector('figure.zoom svg').getAttribute('viewBox')")
        return found | {"said": said, "errors": watched.errors, "outside": watched.outside}


def test_the_page_in_a_browser(page: str, tmp_path: Path) -> None:
    """Chromium shows all sections and figures without a complaint or a request, and the figures can be zoomed."""
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    found = seen(path)

    assert (found["said"], found["errors"], found["outside"]) == ([], [], [])
    assert found["headings"] == [
        "Timelines", "Why it takes so long", "Pipes", "Roofline", "Memory", "Numbers", "Depends on", "Configuration"
    ]  # fmt: skip
    assert found["svgs"] == 3
    assert not found["wide"]
    before, after = ([float(one) for one in found[name].split()] for name in ("before", "after"))
    assert after[2] == pytest.approx(0.6 * before[2])
    assert after[3] == pytest.approx(0.6 * before[3])


def test_the_commands(ascend_sim: Command, tmp_path: Path) -> None:
    """`report` writes report.html beside the run, `compare -o` a page of several; both open without a complaint."""
    run, out = write_run(tmp_path), tmp_path / "out"
    assert ascend_sim("run", run, "--out", out).code == 0
    said = ascend_sim("report", out)
    assert (said.code, said.out, said.err) == (0, f"written: {out}/report.html\n", "")
    assert "Relative error" in (out / "report.html").read_text(encoding="utf-8")

    both = tmp_path / "both.html"
    said = ascend_sim("compare", out, run, "-o", both)
    assert said.code == 0
    assert said.out.endswith(f"written: {both}\n")
    found = seen(both)
    assert (found["said"], found["errors"], found["outside"]) == ([], [], [])
    assert found["headings"] == ["What was changed", "What came of it", "Aligned timelines"]
    assert found["svgs"] == 2


def test_a_run_without_operations_has_no_roofline(tmp_path: Path) -> None:
    """A kernel that only moves bytes has no place below the roofs: the page says so instead of a figure."""
    opened = open_run(str(write_run(tmp_path, ONLY_MOVES)))
    page = run_page(opened, sections_of(opened))

    assert "The kernel does no operations that count, or moves no bytes: it has no intensity." in page


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("report", "vector_add", "-o", "page.png"), "page.png: is written as .html; end its name with .html"),
        (("compare", "vector_add", "softmax", "-o", "a.txt"), "a.txt: is written as .html; end its name with .html"),
        (("trace", "vector_add", "-o", "t.gz"), "t.gz: is written as .json; end its name with .json or .json.gz"),
        (("report", "kernel.py"), "kernel.py: is a program; write a run file with "),
        (("why", "kernel.py"), "kernel.py: is a program; write a run file with "),
        (("compare", "kernel.py", "vector_add"), "kernel.py: is a program; write a run file with "),
    ],
)
def test_wrong_names(ascend_sim: Command, arguments: tuple[str, ...], says: str) -> None:
    """A file that is written in one format ends so, and a program is no run; each is refused before anything runs."""
    said = ascend_sim(*arguments)

    assert said.code == 2
    assert said.err.startswith(says)
