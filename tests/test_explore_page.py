"""The page of an exploration and the files beside it: complete, self-contained, and without an error in a browser."""

from __future__ import annotations

import json
import re
import shutil
import time
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from browser import watched_page
from studies import L1, RATE, TIME, done, explored, infeasible, large, study, without

from ascend_sim.config import load_run
from ascend_sim.errors import ArgumentError
from ascend_sim.explore.analysis import Study
from ascend_sim.explore.page import Gallery, PointFile, exploration_page
from ascend_sim.explore.point import Evaluation
from ascend_sim.explore.report import open_exploration, summary, write_report
from ascend_sim.explore.sections import base_sentence, sections_of
from ascend_sim.explore.table import read_table

_OUTSIDE = re.compile(r"""(?:src|href|xlink:href|action)=["'](?!#|data:)""")
TILINGS = """\
description: tilings of <a> small product
run: gemm_small
set: {data: {enabled: false}, problem.m: 300, problem.n: 256, problem.k: 256}
space:
  tiling.m: [64, 128, 4096]
  tiling.unit_flag: [true, false]
  tiling.l1_k: [128, 256]
objectives: {time_us: minimize, l1_bytes: minimize}
constraints: ["l1_bytes <= 300000"]
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an exploration of 12 points, 4 of which do not fit."""
    return explored(tmp_path_factory.mktemp("explored"), TILINGS)


@pytest.fixture(scope="module")
def files(found: Path) -> list[Path]:
    """Its report."""
    return write_report(found, found / "report", 3, "png")


def page_of(of: Study, top: int = 5) -> str:
    """The page of a made-up exploration, without files."""
    best = of.best(top)
    return exploration_page(of, {}, sections_of(of, best, Gallery("svg")), [], [], "ascend-sim explore report x")


def headings(page: str) -> list[str]:
    """Titles of its sections."""
    return re.findall(r"<h2 id=[^>]*>([^<]*)</h2>", page)


def rows(page: str, after: str) -> list[list[str]]:
    """The cells of the first table after the words *after*."""
    body = page[page.index(after) :].partition("<tbody>")[2].partition("</tbody>")[0]
    return [re.findall(r"<td[^>]*>(.*?)</td>", line) for line in body.split("</tr>") if "<td" in line]


def test_what_is_written(files: list[Path], found: Path) -> None:
    """The page, figures in the format that was asked for, and each best point with its difference, all not empty."""
    names = [path.name for path in files]

    assert names[0] == "report.html"
    assert {"trade-offs.png", "effects.png", "effects-l1_bytes.png", "importance.png", "importance-l1_bytes.png",
            "heat-map.png", "heat-map-l1_bytes.png", "parallel.png", "history.png"} < set(names)  # fmt: skip
    best = range(1, len(open_exploration(found).study.best(3)) + 1)
    assert [one for one in names if "best" in one] == [f"best-{n}.{end}" for n in best for end in ("yaml", "diff")]
    assert all(path.stat().st_size for path in files)
    assert sorted(path.name for path in (found / "report").iterdir()) == sorted(names)


def test_the_page_shows_the_table(files: list[Path], found: Path) -> None:
    """Best points, counts and all points are on the page as they are in the table."""
    page = files[0].read_text(encoding="utf-8")
    info, table = read_table(found)
    study = open_exploration(found).study
    best = study.best(3)

    assert len(rows(page, '<h2 id="points"')) == len(table.rows) == 12
    shown = rows(page, '<h2 id="best-points"')
    assert [line[1] for line in shown[: len(best)]] == [str(row.number) for row in best]
    assert [line[2] for line in shown[: len(best)]] == [f"{row.evaluation.metrics['time_us']:,.3f}" for row in best]
    assert "8 simulated, 4 infeasible" in page
    assert "tilings of &lt;a&gt; small product" in page
    assert "Constraints: l1_bytes &lt;= 300000." in page
    config = re.search(r'<pre id="config">(.*?)</pre>', page, re.DOTALL)
    assert config is not None
    assert json.loads(unescape(config[1])) == info.config


def test_reasons_are_counted(files: list[Path]) -> None:
    """Each kind of reason has its number of points; of the values only one leads to infeasible points, always."""
    page = files[0].read_text(encoding="utf-8")

    kinds = rows(page, '<h2 id="infeasible-points"')
    assert sum(int(line[1]) for line in kinds) == 4
    values = {(line[0], line[1]): line[4] for line in rows(page, "Which values lead to infeasible points")}
    assert values["tiling.m", "4096"] == "100.0 %"
    assert values["tiling.m", "64"] == values["tiling.m", "128"] == "0.0 %"
    assert values["tiling.unit_flag", "true"] == "33.3 %"


def test_nothing_comes_from_outside(files: list[Path]) -> None:
    """No address of the page leads out of it."""
    assert _OUTSIDE.search(files[0].read_text(encoding="utf-8")) is None


def test_the_same_again(files: list[Path], found: Path, tmp_path: Path) -> None:
    """A second report is the same, byte for byte; what an earlier one has left goes, what is of no report stays."""
    for name in ("best-9.yaml", "best-9.diff", "heat-map.svg", "chip-x.yaml", "best-of.yaml", "history.txt"):
        (tmp_path / name).write_text("old", encoding="utf-8")
    again = write_report(found, tmp_path, 3, "png")

    assert [path.name for path in again] == [path.name for path in files]
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files]
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in again} | {"best-of.yaml", "history.txt"}


def test_a_best_point_can_be_run(files: list[Path]) -> None:
    """The files of points are runs as they are."""
    run = load_run(files[0].with_name("best-1.yaml"))

    assert run.program == "gemm"
    assert run.sections["problem"]["m"] == 300


def test_the_summary(found: Path) -> None:
    """The terminal hears how points ended, where the base run stands, the best, and why others are infeasible."""
    said = list(summary(found, 2))

    assert said[0] == "tilings: 12 points: 8 done, 4 infeasible"
    assert said[1].startswith("The base run, point 5, which breaks a constraint, comes to ")
    assert said[2].startswith("Pareto front: ")
    head = next(line for line in said if "differs from the base run" in line)
    place = said.index(head)
    assert said[place + 1].startswith("1 ")
    assert any(line.startswith("variance of time explained by: ") for line in said)
    assert said[-1].startswith("infeasible: ")


def test_a_base_run_outside_of_the_space_is_simulated(tmp_path: Path) -> None:
    """A base run whose values are no point of the space is simulated for the comparison, with its `set`."""
    text = (
        "run: vector_add\nset: {data: {enabled: false}, problem.length: 65536}\nspace: {problem.tile: [2048, 4096]}\n"
    )
    opened = open_exploration(explored(tmp_path, text))
    study = opened.study

    assert opened.warnings == ()
    assert study.base_row is None
    assert study.base_metrics is not None
    assert study.base_metrics["time_us"] > 0
    assert "whose values are no point of the search" in base_sentence(study)


def test_what_has_changed_since(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another simulator or program than that of the points is said, and the base run is not simulated with it."""
    program = Path(load_run("vector_add").program_file())
    shutil.copy(program, tmp_path / "mine.py")
    (tmp_path / "run.yaml").write_text(
        "program: mine.py\nchip: ascend910b2\nproblem: {length: 65536, tile: 8192}\n", encoding="utf-8"
    )
    found = explored(tmp_path, "run: run.yaml\nspace: {problem.tile: [2048, 4096]}\n")
    (tmp_path / "mine.py").write_text("broken(", encoding="utf-8")
    opened = open_exploration(found)

    assert opened.warnings == (
        f"Since these points were simulated the program {tmp_path / 'mine.py'} changed: run again, they may take "
        "another time.",
    )
    assert opened.study.base_metrics is None
    (tmp_path / "mine.py").unlink()
    assert len(write_report(found, tmp_path / "out", 1, "svg")) > 3
    monkeypatch.setattr("ascend_sim.explore.report.simulator", lambda: "another")
    assert "the simulator and the program" in open_exploration(found).warnings[0]


def test_no_exploration(tmp_path: Path) -> None:
    """A folder without an exploration is refused, with the command that makes one."""
    with pytest.raises(ArgumentError, match="there is no exploration; write one with `ascend-sim explore CONFIG"):
        write_report(tmp_path, tmp_path / "out", 1, "svg")


def seen(path: Path) -> dict[str, Any]:
    """What a browser finds on the page *path*, and what it complains of."""
    with watched_page(path.as_uri()) as watched:
        said: list[str] = []
        watched.page.on("console", lambda message: said.append(message.text))
        watched.page.goto(path.as_uri())
        result: dict[str, Any] = watched.ask(
            """() => ({
                headings: [...document.querySelectorAll("h2")].map(one => one.textContent),
                svgs: document.querySelectorAll("figure svg").length,
                wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
                widest: Math.max(...[...document.querySelectorAll("figure svg")].map(one => one.clientWidth)),
                room: document.querySelector("figure").clientWidth,
            })"""
        )
        watched.page.locator("details summary").first.click()
        result["open"] = watched.ask("() => document.querySelector('details pre').innerText")
        return result | {"said": said, "errors": watched.errors, "outside": watched.outside}


def test_the_page_in_a_browser(files: list[Path]) -> None:
    """Chromium shows all sections and figures without a complaint or a request, and what a point changes."""
    result = seen(files[0])

    assert (result["said"], result["errors"], result["outside"]) == ([], [], [])
    assert result["headings"] == [
        "Best points", "Trade-offs", "Effects of the parameters", "Heat maps", "All parameters at once",
        "Course of the search", "Infeasible points", "Points", "Configuration",
    ]  # fmt: skip
    assert result["svgs"] == 1 + 4 + 4 + 1 + 1
    assert not result["wide"]
    assert result["widest"] <= result["room"]
    assert result["open"].startswith("--- gemm_small.yaml\n+++ best-1.yaml\n")


def test_three_thousand_points() -> None:
    """3,000 points of ten parameters have a page in time, of some megabytes, without a table of all of them."""
    begin = time.process_time()
    page = page_of(large(3000))
    assert time.process_time() - begin < 15

    assert len(page) < 5e6
    assert "There are 3,000 points, too many to be listed here" in page
    assert len(rows(page, '<h2 id="failed-points"')) == 1


EDGES: dict[str, tuple[Study, list[str], str]] = {
    "no point": (
        study({"a": [1, 2]}, lambda at: done(), []), ["Best points", "Points"], "No point is finished yet."
    ),
    "one point": (
        study({"a": [1, 2]}, lambda at: done(time_us=4.0), [{"a": 1}]), ["Best points", "Points"], "4.000 us",
    ),
    "one parameter": (
        study({"a": [1, 2, 3]}, lambda at: done(time_us=float(at["a"]))),  # type: ignore[arg-type]
        ["Best points", "Effects of the parameters", "Course of the search", "Points"], "a: 100 %",
    ),
    "nothing feasible": (
        study({"a": [1, 2], "b": [1, 2]}, lambda at: infeasible("does not fit")),
        ["Best points", "Course of the search", "Infeasible points", "Points"],
        "There is no eligible point: no point could be simulated.",
    ),
    "all break a constraint": (
        without(study({"a": [1, 2], "b": [1, 2]}, lambda at: done(time_us=float(at["a"]))), 0, 1, 2, 3),  # type: ignore[arg-type]
        ["Best points", "Effects of the parameters", "Course of the search", "Points"],
        "There is no eligible point: 4 points were simulated, but break a constraint.",
    ),
    "all failed": (
        study({"a": [1, 2]}, lambda at: Evaluation("failed", category="deadlock", reason="waits for flag 3")),
        ["Best points", "Course of the search", "Failed points", "Points"], "waits for flag N",
    ),
    "all alike": (
        study({"a": [1, 2], "b": [1, 2]}, lambda at: done(time_us=4.0)),
        ["Best points", "Effects of the parameters", "Heat maps", "All parameters at once", "Course of the search",
         "Points"], "come to the same: no parameter matters.",
    ),
    "three objectives": (
        study(
            {"a": [1, 2, 3], "b": [1, 2]},
            lambda at: done(time_us=float(at["a"]), l1_bytes=float(9 - at["a"]), tflops=float(at["b"])),  # type: ignore[arg-type,operator]
            None, (TIME, L1, RATE),
        ),
        ["Best points", "Trade-offs", "Effects of the parameters", "Heat maps", "All parameters at once",
         "Course of the search", "Points"], "The Pareto front has 3 points: ",
    ),
    "one done of many": (
        study({"a": [1, 2], "b": [1, 2]}, lambda at: done(time_us=4.0) if at == {"a": 2, "b": 2} else infeasible("no")),
        ["Best points", "Course of the search", "Infeasible points", "Points"], "4.000 us",
    ),
    "pruned": (
        study(
            {"a": [1, 2, 3], "b": [1, 2]},
            lambda at: Evaluation("pruned") if at["a"] == 3 else done(time_us=float(at["a"] + at["b"])),  # type: ignore[operator]
        ),
        ["Best points", "Effects of the parameters", "Heat maps", "All parameters at once", "Course of the search",
         "Points"], "pruned: too slow",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_edges(name: str) -> None:
    """Explorations with nothing to show here or there have a page with what there is, and it says why."""
    of, titles, says = EDGES[name]
    page = page_of(of)

    assert headings(page) == [*titles, "Configuration"]
    assert says in page


def test_the_base_run_in_words() -> None:
    """The sentence on the base run has its place and what the best gains, or says why there is none."""
    of = study({"a": [1, 2, 3]}, lambda at: done(time_us=float(10 * at["a"])))  # type: ignore[arg-type,operator]

    assert base_sentence(replace(of, base={"a": 3})) == (
        "The base run, point 2, comes to 30.00 us: 2 of 3 eligible points are better; the best has 66.7 % less time."
    )
    assert base_sentence(of).endswith("0 of 3 eligible points are better; the best has as much time.")
    assert base_sentence(replace(of, base={"a": 7})) == "What the base run itself comes to is not known."
    failed = study({"a": [1, 2]}, lambda at: infeasible("too   large"), base={"a": 2})
    assert base_sentence(failed) == "The base run's own values are point 1, which is infeasible: too large"


def test_texts_are_escaped() -> None:
    """Names, values and reasons of the user are text on the page, not markup."""
    of = study({"<b>a</b>": ["<i>", "&"]}, lambda at: infeasible("<script>alert(1)</script>"))
    sections, file = sections_of(of, [], Gallery("svg")), PointFile("best-1", 0, "+<u>\n")
    page = exploration_page(of, {"x": "</pre>"}, sections, [file], ["<s>"], "<q>")

    for text in ("<b>a", "<i>", "<script>alert", '</pre>"', "<u>", "<s>", "<q>"):
        assert text not in page
