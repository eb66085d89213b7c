"""Figures of explorations: they show what the table says, and no text is cut off or meets another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from studies import L1, RATE, TIME, done, infeasible, large, study, without

from ascend_sim.explore.analysis import Study, trade_offs
from ascend_sim.explore.effect_figures import effects_figure, importance_figure
from ascend_sim.explore.effects import effects
from ascend_sim.explore.figures import (
    BASE,
    BEST,
    FRONT,
    colours,
    history_figure,
    plain,
    reaches_far,
    scale_of,
    thinned,
    trade_off_figure,
)  # fmt: skip
from ascend_sim.explore.heat_map import cells, heat_map_figure
from ascend_sim.explore.parallel import parallel_figure
from ascend_sim.explore.point import Assignment, Evaluation
from ascend_sim.report.style import figure_bytes


def small(objectives: Sequence[object] = (TIME,)) -> Study:
    """A grid of 3 x 2 x 2 with infeasible points: time 100 x + 10 (b is q) + z, and 100 KiB of L1 less for x = 3."""

    def formula(at: Assignment) -> Evaluation:
        if at["a.x"] == 2 and at["a.b"] == "q":
            return infeasible("no")
        time = 100.0 * float(at["a.x"]) + (10 if at["a.b"] == "q" else 0) + float(at["a.z"])  # type: ignore[arg-type]
        return done(time_us=time, l1_bytes=102400.0 * (4 - float(at["a.x"])), tflops=1 / time)  # type: ignore[arg-type]

    return study({"a.x": [1, 2, 3], "a.b": ["p", "q"], "a.z": [4, 8]}, formula, None, objectives)  # type: ignore[arg-type]


def awkward() -> Study:
    """Long values, dollars, 59 values of one parameter, and times over two orders of magnitude."""
    space = {
        "problem.kv_tokens": [[16384] * 96, [1, 2, 3], 8192],
        "tiling.x": list(range(1, 60)),
        "$a$.b_$c$": ["a very long value of text", "another $very$ long value", "short"],
    }

    def formula(at: Assignment) -> Evaluation:
        time = float(at["tiling.x"]) + len(str(at["problem.kv_tokens"])) + len(str(at["$a$.b_$c$"]))  # type: ignore[arg-type]
        return done(time_us=time, l1_bytes=float(len(str(at)))) if float(at["tiling.x"]) % 7 else infeasible("no")  # type: ignore[arg-type]

    return study(space, formula)


STUDIES: dict[str, Callable[[], Study]] = {
    "small": small,
    "several objectives": lambda: small((TIME, L1, RATE)),
    "awkward": awkward,
    "one time": lambda: study({"a": [1, 2], "b": [True, False]}, lambda at: done(time_us=4.0)),
    "large": lambda: large(400, (TIME, L1)),
}


def figures(of: Study) -> Iterator[tuple[str, Figure]]:
    """All figures of an exploration."""
    best, found = of.best(10), effects(of, of.first.metric)
    if pairs := trade_offs(of):
        yield "trade-offs", trade_off_figure(of, pairs, best)
    yield "effects", effects_figure(of, found)
    yield "importance", importance_figure(found)
    for a, b in found.strongest[:3]:
        yield "heat map", heat_map_figure(of, of.first, of.axes[a], of.axes[b])
    yield "parallel", parallel_figure(of, of.first, best)
    yield "history", history_figure(of)


def texts(figure: Figure) -> list[tuple[str, Bbox]]:
    """All texts that are drawn, and where they are in pixels."""
    canvas, drawn = FigureCanvasAgg(figure), []
    draw = Text.draw

    def noted(self: Text, renderer: Any) -> None:
        drawn.append(self)
        draw(self, renderer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", noted)
        canvas.draw()
    renderer = canvas.get_renderer()
    return [(one.get_text(), one.get_window_extent(renderer)) for one in drawn if one.get_text().strip()]


@pytest.mark.parametrize("name", STUDIES)
def test_no_text_is_cut_off_or_meets_another(name: str) -> None:
    """All texts of all figures are inside, and no two of them cover each other."""
    for kind, figure in figures(STUDIES[name]()):
        whole = figure.bbox
        found = texts(figure)
        for text, box in found:
            inside = box.x0 >= whole.x0 - 1 and box.y0 >= -1 and box.x1 <= whole.x1 + 1 and box.y1 <= whole.y1 + 1
            assert inside, f"{kind}: {text!r} is cut off"
        for n, (text, box) in enumerate(found):
            for other, beside in found[n + 1 :]:
                width = min(box.x1, beside.x1) - max(box.x0, beside.x0)
                height = min(box.y1, beside.y1) - max(box.y0, beside.y0)
                turned = kind == "importance" and len(text) > 2 and len(other) > 2  # boxes of oblique texts
                assert turned or width < 1 or height < 2, f"{kind}: {text!r} and {other!r} meet"


def test_equal_explorations_give_equal_figures() -> None:
    """A figure has no date and no random name."""
    first, second = ([figure_bytes(one, "svg") for _, one in figures(small())] for _ in range(2))

    assert first == second


def test_a_front_and_its_stairs() -> None:
    """The front joins its points by the border of what they dominate, and the best points are ringed on it."""
    front = [(1, 4), (2, 2), (4, 1), (4, 4)]
    found = study(
        {"n": [0, 1, 2, 3]},
        lambda at: done(time_us=front[int(at["n"])][0], l1_bytes=1024 * front[int(at["n"])][1]),  # type: ignore[arg-type]
        None, (TIME, L1),
    )  # fmt: skip
    axes = trade_off_figure(found, [("time_us", "l1_bytes")], found.best(9)).axes[0]
    line = next(one for one in axes.lines if one.get_color() == FRONT and one.get_linestyle() == "-")

    assert line.get_xydata().tolist() == [[1, 4], [2, 4], [2, 2], [4, 2], [4, 1]]  # type: ignore[union-attr]
    assert axes.get_xlabel() == "L1 used (KiB)"
    assert axes.get_ylabel() == "time (us)"
    rings = [one for one in axes.lines if one.get_markeredgecolor() == "black"]
    assert sorted(tuple(one.get_xydata()[0]) for one in rings) == [(1, 4), (2, 2), (4, 1)]  # type: ignore[index]


def test_stairs_of_what_is_maximized() -> None:
    """Where more is better the border turns the other way."""
    front = [(1, 1), (2, 3)]
    found = study(
        {"n": [0, 1]},
        lambda at: done(time_us=front[int(at["n"])][0], tflops=front[int(at["n"])][1]),  # type: ignore[arg-type]
        None, (TIME, RATE),
    )  # fmt: skip
    axes = trade_off_figure(found, [("time_us", "tflops")], []).axes[0]
    line = next(one for one in axes.lines if one.get_color() == FRONT and one.get_linestyle() == "-")

    # A time of 2 with a rate of 1 is dominated by both.
    assert line.get_xydata().tolist() == [[1, 1], [1, 2], [3, 2]]  # type: ignore[union-attr]


def test_history_shows_the_best_so_far_and_what_failed() -> None:
    """The line steps down to the best; points without a result have a stroke below at their number."""
    found = study(
        {"n": [0, 1, 2, 3]},
        lambda at: done(time_us=(5.0, 7.0, 3.0)[int(at["n"])]) if at["n"] != 3 else infeasible("no"),
    )  # type: ignore[arg-type]
    figure = history_figure(found)
    best = next(one for one in figure.axes[0].lines if one.get_color() == BEST)
    base = next(one for one in figure.axes[0].lines if one.get_color() == BASE)

    assert best.get_xydata().tolist() == [[0, 5], [2, 3], [3, 3]]  # type: ignore[union-attr]
    assert list(base.get_ydata()) == [5, 5]
    assert [one.get_text() for one in figure.axes[1].get_yticklabels()] == ["infeasible"]
    strokes = figure.axes[1].collections[0]
    assert isinstance(strokes, LineCollection)
    assert [segment[0][0] for segment in strokes.get_segments()] == [3]


def test_effects_panels_are_in_order_of_importance() -> None:
    """The parameter that matters most comes first, with its share; boxes, medians and best values are the table's."""
    found = small()
    panels = effects_figure(found, effects(found, "time_us")).axes

    assert [one.get_title(loc="left").partition(":")[0] for one in panels] == ["x", "b", "z"]
    first = panels[0]
    boxes = [patch for patch in first.patches if isinstance(patch, Rectangle)]
    assert [(box.get_y(), box.get_y() + box.get_height()) for box in boxes] == [(107, 115), (205, 207), (307, 315)]
    best = next(one for one in first.lines if to_rgb(one.get_markerfacecolor()) == to_rgb(BEST))  # type: ignore[arg-type]
    assert list(best.get_ydata()) == [104, 204, 304]


def test_a_value_without_a_result_is_marked() -> None:
    """Where all points of a value are infeasible the panel says so."""
    found = study({"n": [1, 2, 3]}, lambda at: infeasible("no") if at["n"] == 2 else done(time_us=float(at["n"])))  # type: ignore[arg-type]
    panel = effects_figure(found, effects(found, "time_us")).axes[0]

    assert [(one.get_text(), one.get_position()[0]) for one in panel.texts] == [("no result", 1)]


def test_importance_has_parameters_on_the_diagonal() -> None:
    """The matrix has the shares in percent: parameters on its diagonal, pairs below it; a dot is next to nothing."""
    x = {"x": [0, 1], "y": [0, 1]}
    found = study(x, lambda at: done(time_us=float(np.exp([[0, 1], [2, 5]][int(at["x"])][int(at["y"])]))))  # type: ignore[arg-type]
    matrix = importance_figure(effects(found, "time_us")).axes[0]

    assert {one.get_position(): one.get_text() for one in matrix.texts} == {
        (0.5, 0.5): "64", (0.5, 1.5): "7", (1.5, 1.5): "29"
    }  # fmt: skip


def test_heat_map_cells() -> None:
    """A cell has the best over all other parameters, hatched without an eligible point, empty if it was not tried."""
    whole = small()
    found = without(
        replace(whole, rows=whole.rows[:-2]), 0, 1
    )  # x = 3 with b = q is not tried, x = 1 with b = p not eligible
    down, across, _ = found.axes
    values = cells(found, TIME, down, across)

    assert values.tried.tolist() == [[2, 2], [2, 2], [2, 0]]
    assert np.array_equal(values.best, [[np.nan, 114], [204, np.nan], [304, np.nan]], equal_nan=True)
    figure = heat_map_figure(found, TIME, down, across)
    hatched = [one.get_xy() for one in figure.axes[0].patches if one.get_hatch() == "////"]  # type: ignore[attr-defined]
    assert hatched == [(0, 0), (1, 1)]
    assert {text.get_text() for text in figure.axes[0].texts} == {"114.0", "204.0", "304.0"}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "no eligible point", "not tried", "best", "values of the base run"
    ]  # fmt: skip


def test_pruned_cells_are_told_from_infeasible_ones() -> None:
    """A cell in which points were pruned has a hatch and a name of its own."""
    found = study(
        {"x": [1, 2], "y": [1, 2]},
        lambda at: Evaluation("pruned", bound_cycles=9) if at["x"] == 2 else done(time_us=1.0),
    )
    figure = heat_map_figure(found, TIME, *found.axes)

    assert [one.get_hatch() for one in figure.axes[0].patches[:2]] == ["....", "...."]
    assert figure.legends[0].get_texts()[0].get_text() == "pruned: too slow"


def test_parallel_axes() -> None:
    """Numbers rise along their axis, words keep their order; the best point passes its own values."""
    found = small()
    figure = parallel_figure(found, TIME, found.best(1))
    axes = figure.axes[0]
    labels = [one.get_text() for one in axes.texts]

    assert labels == ["a.x", "1", "2", "3", "a.b", "p", "q", "a.z", "4", "8"]
    best = next(one for one in axes.lines if one.get_color() == "black")
    assert best.get_ydata().tolist() == pytest.approx([1 / 6, 1 / 4, 1 / 4])  # type: ignore[union-attr]
    lines = axes.collections[0]
    assert isinstance(lines, LineCollection)
    assert len(lines.get_segments()) == 8 + 2
    assert sorted(lines.get_array().tolist()) == sorted(found.values("time_us", found.eligible).tolist())  # type: ignore[union-attr]


def test_better_is_darker() -> None:
    """The colour of the better end is the darker one for both directions, in grey as well."""
    for direction, better in (("minimize", 0.0), ("maximize", 1.0)):
        grey = [
            float(np.dot(colours(direction)(place)[:3], (0.2126, 0.7152, 0.0722))) for place in (better, 1 - better)
        ]
        assert grey[0] < 0.2 < 0.7 < grey[1]


def test_scales() -> None:
    """Values that reach far have a logarithmic scale; those with a zero, and equal ones, have none."""
    assert reaches_far(np.array([1.0, 9.0]))
    assert not reaches_far(np.array([0.0, 9.0]))
    assert not reaches_far(np.array([2.0, 9.0]))
    assert scale_of(np.array([4.0, 4.0]))(4.0) == 0.5
    assert plain("$x$") == r"\$x\$"


def test_labels_are_thinned_evenly() -> None:
    """Where not all values have room every second or third is labelled, beginning with the first."""
    axis = study({"n": list(range(10))}, lambda at: done()).axes[0]

    assert thinned(axis, 100, 10) == list(range(10))
    assert thinned(axis, 50, 10) == [0, 2, 4, 6, 8]
    assert thinned(axis, 39, 10) == [0, 4, 8]
