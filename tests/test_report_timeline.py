"""The timeline as a picture: it shows all there is, texts fit, files are equal and small; and its command."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, PathPatch
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from outcomes import outcome
from test_cli import Command, ascend_sim, write_run
from test_report_lanes import recorded, ten_instructions
from tiny import Body, chip, simulate, work

from ascend_sim import kernel as asc
from ascend_sim.observe.timeline import CoreTimeline, Timelines
from ascend_sim.report import arrows as arrows_module
from ascend_sim.report import shapes
from ascend_sim.report.arrows import arrows_of
from ascend_sim.report.cores import shown_cores
from ascend_sim.report.lanes import Doing, lanes_of
from ascend_sim.report.page import DPI, described
from ascend_sim.report.stages import stage_names, tasks_of
from ascend_sim.report.style import figure_bytes, look
from ascend_sim.report.timeline import BAND, timeline_figure
from ascend_sim.report.views import View, named_view
from ascend_sim.simulate import Outcome

__all__ = ["ascend_sim"]


def drawn(found: Outcome, view: str = "all", spec: str | None = None, command: str = "timeline RUN") -> Figure:
    """The figure of a view of a run."""
    cores = shown_cores(found.timelines, spec)
    window = named_view(view, tasks_of([core.timeline for core in cores]), found.timelines.cycles)
    return timeline_figure(found.timelines, found.result, cores, window, command=command)


def texts(figure: Figure) -> list[str]:
    """All that is written on *figure*."""
    return [one.get_text() for one in figure.findobj(Text) if one.get_text() and one.get_visible()]


def work_areas(figure: Figure) -> Counter[tuple[float, ...]]:
    """The areas of the shapes of each colour that stand for work, in cycles times points."""
    areas: Counter[tuple[float, ...]] = Counter()
    for patch in figure.findobj(PathPatch):
        if patch.get_zorder() == 2:
            for polygon in patch.get_path().to_polygons(closed_only=False):
                x, y = np.asarray(polygon)[:-1].T
                areas[tuple(to_rgb(patch.get_facecolor()))] += abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2
    return areas


def work_cycles(cores: list[CoreTimeline], issue: int, view: View) -> dict[tuple[float, ...], int]:
    """The cycles that the pipes of *cores* work in a window, by the colour of the stage."""
    names = stage_names(cores)
    cycles: Counter[tuple[float, ...]] = Counter()
    for core in cores:
        for lane in lanes_of(core, issue):
            working = lane.within(view.begin, view.end).doing(Doing.WORK)
            for call, length in zip(working.calls.tolist(), (working.ends - working.begins).tolist(), strict=True):
                name = core.calls[call].name
                cycles[look(names.index(name))[0] if name != "inline" else to_rgb("#8C8C8C")] += length
    return cycles


@pytest.mark.parametrize("view", ["all", "task:1"])
@pytest.mark.parametrize("least", [0.0, 3.0, 1e9])
def test_every_cycle_of_work_is_drawn_once(monkeypatch: pytest.MonkeyPatch, view: str, least: float) -> None:
    """All slices as boxes, all summed up, or some of each: the areas of a stage are exactly its cycles."""
    found = outcome("amla_small")
    monkeypatch.setattr(shapes, "NARROW", least)
    monkeypatch.setattr(shapes, "MAX_BOXES", 1 << 30)
    areas = work_areas(drawn(found, view))
    cores = [core.timeline for core in shown_cores(found.timelines, None)]
    window = named_view(view, tasks_of(cores), found.timelines.cycles)
    expected = work_cycles(cores, found.timelines.chip.scalar.issue_cycles.value, window)

    assert {colour: areas[colour] for colour in expected} == pytest.approx(
        {colour: cycles * BAND for colour, cycles in expected.items()}, rel=1e-9
    )


class _Places(RendererAgg):
    """A renderer that notes where each text of *figure* is drawn, in the pixels of the file."""

    def __init__(self, figure: Figure) -> None:
        figure.set_dpi(DPI)
        self.figure = figure
        super().__init__(figure.bbox.width, figure.bbox.height, figure.dpi)
        self.places: list[tuple[str, Bbox]] = []

    def draw_text(self, *arguments: Any, mtext: Text, **more: Any) -> None:
        self.places.append((mtext.get_text(), mtext.get_window_extent(self)))
        super().draw_text(*arguments, mtext=mtext, **more)


@pytest.mark.parametrize(
    ("name", "view"),
    [("amla_small", "all"), ("amla_small", "task:1"), ("vector_add", "all"), ("gemm_small", "steady")],
)
def test_no_text_overlaps_another_or_leaves_the_page(name: str, view: str) -> None:
    """Titles, labels, ticks, legend and foot: all have a place of their own."""
    figure = drawn(outcome(name), view, command=" ".join(["ascend-sim timeline RUN", *["--set problem.batch=2"] * 20]))
    renderer = _Places(figure)
    figure.draw(renderer)

    assert len(renderer.places) > 30
    for text, place in renderer.places:
        assert place.x0 >= 0, text
        assert place.y0 >= 0, text
        assert place.x1 <= figure.bbox.x1, text
        assert place.y1 <= figure.bbox.y1, text
    crossing = [
        (one, other)
        for (one, a), (other, b) in combinations(renderer.places, 2)
        if min(a.x1, b.x1) > max(a.x0, b.x0) and min(a.y1, b.y1) - max(a.y0, b.y0) > 4  # descenders may touch
    ]
    assert crossing == []


@pytest.mark.parametrize(("name", "view"), [("amla_small", "task:1"), ("vector_add", "all")])
def test_a_text_is_no_wider_than_what_it_is_written_on(name: str, view: str) -> None:
    """Each label of a stage or a slice lies within one of the shapes below it."""
    figure = drawn(outcome(name), view)
    _, axes = figure.axes
    renderer = _Places(figure)
    figure.draw(renderer)
    shapes_ = [
        polygon for patch in axes.patches for polygon in patch.get_path().to_polygons(axes.transData, closed_only=False)
    ]
    labels = {one.get_text() for one in axes.texts}

    assert labels
    for text, place in renderer.places:
        if text in labels and axes.bbox.y0 < place.y0 < axes.bbox.y1 and place.x0 > axes.bbox.x0:
            middle = (place.y0 + place.y1) / 2
            assert any(
                one[:, 0].min() <= place.x0 and place.x1 <= one[:, 0].max()
                and one[:, 1].min() <= middle <= one[:, 1].max()
                for one in shapes_
            ), text


def test_what_is_written() -> None:
    """Title, window, bound, lanes, stages with the numbers of their tasks, waits, legend, shares and the command."""
    found = outcome("amla_small")
    written = texts(drawn(found))

    assert written.count("MTE2") >= 3
    for lane in ("SCALAR", "VECTOR", "CUBE", "MTE1", "MTE3", "FIXP", "core0.cubecore0", "core0.veccore1"):
        assert lane in written
    for label in ("[C1] 0", "[C1] 1", "[C2] 1", "[V1] 0", "[V2]", "waits cubecore0", "launch"):
        assert label in written
    for entry in ("[C1]", "[V1]", "[C2]", "rescale", "[V2]", "outside of stages", "waits for another pipe"):
        assert entry in written
    us = f"{found.result.time_us:,.1f}"
    share = f"{100 * found.result.flops_utilization:.3g} % of the peak"
    assert f"amla on ascend910c: {us} µs, {found.result.tflops:.4g} TFLOPS, {share}" in written
    assert any(one.endswith(f"whole run bound by {found.result.bound_by}") for one in written)
    assert any(one.startswith("view all: 0.00 to ") for one in written)
    assert "timeline RUN" in written


def test_a_run_without_flops_has_no_rate() -> None:
    """TFLOPS and utilisation are left out where there are none."""
    found = outcome("gemm_small")
    still = replace(found.result, tflops=0.0, flops_utilization=0.0)
    figure = timeline_figure(found.timelines, still, shown_cores(found.timelines, None), View("all", 0, 1000))

    assert f"gemm on ascend910b2: {found.result.time_us:,.1f} µs" in texts(figure)


def test_the_share_of_a_lane_is_its_work_in_the_window() -> None:
    """Of 200 cycles from 100 on, MTE2 works 100, V 40, MTE3 and the scalar unit not at all; flags are no work."""
    recording = recorded(ten_instructions)[1]
    result = outcome("vector_add").result
    figure = timeline_figure(recording, result, shown_cores(recording, None), View("", 100, 300))

    assert [text for text in texts(figure) if re.fullmatch(r"[\d.]+ %", text)] == ["0 %", "22 %", "50 %", "0 %"]


@pytest.mark.parametrize(
    ("begin", "end", "window"),
    [(0, 1000, "0.00 to 1.00"), (999_500, 1_000_700, "999.50 to 1,000.70"), (500, 502, "0.5000 to 0.5020")],
)
def test_the_window_is_told_in_as_many_digits_as_it_needs(begin: int, end: int, window: str) -> None:
    """Begin and end can be told apart, however short the window is."""
    assert described(View("", begin, end), 1000.0) == f"{window} µs since the launch"


def test_ticks_leave_room_for_the_unit() -> None:
    """A long number at the left end, where the unit stands, is not written; a short one is."""
    recording = recorded(ten_instructions)[1]
    result, cores = outcome("vector_add").result, shown_cores(recording, None)
    for begin, written in ((1_000, True), (10**9, False)):
        renderer = _Places(timeline_figure(recording, result, cores, View("", begin, begin + 400)))
        renderer.figure.draw(renderer)

        assert (f"{begin:,}" in [text for text, _ in renderer.places]) is written
        assert f"{begin + 100:,}" in [text for text, _ in renderer.places]


def test_arrows_are_drawn_where_there_are_any() -> None:
    """An arrow for each flag in the window, with a line at the foot that explains them; none without."""
    found = outcome("gemm_small")
    cores = shown_cores(found.timelines, None)
    view = View("", 10_000, 14_000)
    arrows = arrows_of(found.timelines, [core.timeline for core in cores], view.begin, view.end)
    figure = timeline_figure(found.timelines, found.result, cores, view, arrows=arrows)

    assert len(figure.findobj(FancyArrowPatch)) == len(arrows) > 0
    assert any(text.startswith("Arrows lead from") for text in texts(figure))
    assert not drawn(found).findobj(FancyArrowPatch)


@pytest.mark.parametrize("form", ["png", "svg"])
def test_equal_timelines_are_equal_files(form: str) -> None:
    """Drawn twice, a timeline is the same file."""
    found = outcome("amla_small")

    assert figure_bytes(drawn(found, "steady"), form) == figure_bytes(drawn(found, "steady"), form)


def many(count: int) -> Body:
    """A program of *count* vector instructions in *count* stage calls."""

    def body(core: asc.Core, gm: asc.GlobalMemory) -> None:
        @core.stage(asc.AIV)
        def step() -> None:
            work(core, 1)
            asc.pipe_barrier(asc.Pipe.V)

        for _ in range(count):
            step()

    return body


def test_files_of_long_runs_are_small() -> None:
    """Ten times the instructions make the picture no larger: it has as many shapes and nearly as many bytes."""
    on = chip()
    result = outcome("vector_add").result
    sizes = []
    for count in (2_000, 20_000):
        recording = Timelines(simulate(many(count), on), on)
        view = View("all", 0, recording.cycles)
        figure = timeline_figure(recording, result, shown_cores(recording, None), view)
        sizes.append((len(figure.findobj(PathPatch)), len(figure_bytes(figure, "svg"))))

    (few_shapes, few_bytes), (many_shapes, many_bytes) = sizes
    assert many_shapes <= few_shapes < 100
    assert many_bytes < 1.2 * few_bytes < 200_000


@pytest.fixture
def folder(ascend_sim: Command, tmp_path: Path) -> Path:
    """The folder of a recorded run."""
    assert ascend_sim("run", write_run(tmp_path), "--out", tmp_path / "out").code == 0
    return tmp_path / "out"


def test_the_command_draws_into_the_folder_of_the_run(ascend_sim: Command, folder: Path) -> None:
    """By default the picture is timeline.png (or overview.png) beside the result; the window is printed."""
    said = ascend_sim("timeline", folder)
    assert (said.code, said.err) == (0, "")
    assert re.fullmatch(rf"written: {folder}/timeline.png \(view all: 0.00 to [\d.]+ us since the launch\)\n", said.out)
    assert (folder / "timeline.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"

    assert ascend_sim("timeline", folder, "--overview").out.startswith(f"written: {folder}/overview.png (view all: ")
    assert (folder / "overview.png").exists()


def test_the_command_draws_a_run_file(
    ascend_sim: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run file is simulated, and drawn into the current folder; the foot has the command with its options."""
    write_run(tmp_path)
    monkeypatch.chdir(tmp_path)
    options = ("--set", "chip.clock_hz=1e9", "--from", "0.5", "--cores", "core0.veccore0", "--arrows", "-o", "a.svg")
    said = ascend_sim("timeline", "run.yaml", *options)

    assert re.fullmatch(r"written: a.svg \(0.50 to [\d.]+ us since the launch\)\n", said.out)
    foot = "ascend-sim timeline run.yaml --set chip.clock_hz=1e9 --from 0.5 --cores core0.veccore0 --arrows"
    assert foot in (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert ascend_sim("timeline", "run.yaml").out.startswith("written: timeline.png (view all: ")


def test_too_many_arrows_are_not_drawn(ascend_sim: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figure and stderr say how many there are, and how to narrow the window."""
    monkeypatch.setattr(arrows_module, "MAX_ARROWS", 1)
    path = folder / "arrows.svg"
    said = ascend_sim("timeline", folder, "--arrows", "-o", path)

    assert said.code == 0
    found = re.fullmatch(
        r"--arrows: (\d+ flag arrows are in this window, and no more than 1 can be told apart: narrow it with --from "
        r"and --to to about [\d.]+ us, or name fewer cores with --cores)\n", said.err,
    )  # fmt: skip
    assert found
    assert found[1] in " ".join(re.findall(r">([^<]*)</text>", path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("-o", "a.gif"),
            "a.gif: has no format that figures can be written in; end it with one of .png, .svg, .pdf",
        ),
        (
            ("--view", "head", "--from", "1"),
            "--view names a window, and --from and --to give one; drop one of them",
        ),
        (
            ("--overview", "--cores", "core0"),
            "--overview shows all cores, without arrows; drop --cores and --arrows, or --overview",
        ),
        (
            ("--overview", "--arrows"),
            "--overview shows all cores, without arrows; drop --cores and --arrows, or --overview",
        ),
        (("--view", "body"), "--view body: is no view; write one of head, steady, tail, task:N, all"),
        (
            ("--cores", "core7"),
            "--cores core7: no such cores worked in this run; there are core0, with veccore0",
        ),
        (
            ("--from", "9000"),
            "--from 9000: this window is empty; the run lasts from 0 to ",
        ),
    ],
)  # fmt: skip
def test_the_command_refuses(ascend_sim: Command, folder: Path, options: tuple[str, ...], message: str) -> None:
    """Wrong formats, views, cores and windows end with exit code 2, one line, and no picture."""
    before = sorted(folder.iterdir())
    said = ascend_sim("timeline", folder, *options)

    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(message)
    assert said.err.count("\n") == 1
    assert sorted(folder.iterdir()) == before


def test_a_folder_without_a_recording_is_refused(ascend_sim: Command, folder: Path) -> None:
    """A run without recording.npz cannot be drawn."""
    (folder / "recording.npz").unlink()
    said = ascend_sim("timeline", folder)

    assert said.code == 2
    assert "has no recording.npz, so only its sums are known; run it again with --out" in said.err
