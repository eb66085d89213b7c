"""Figures of studies: they show what the tables say, and no text is cut off or meets another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from test_explore_figures import texts

from ascend_sim.study.config import Study, load_study
from ascend_sim.study.figures import figures, input_figure, length_figure, short_count
from ascend_sim.study.grid_figure import grid_figure
from ascend_sim.study.metrics import Errors
from ascend_sim.study.run import Measured
from ascend_sim.study.summary import Results, summarise

LABELS = ("FA", "a label of $many$ words", "PASA 0.9", "d", "e", "f", "g", "h")


def study(folder: Path, inputs: str, keys: str, labels: int = 3) -> Study:
    """A study of some algorithms on *inputs*, a YAML list."""
    algorithms = ", ".join(f'{{algorithm: flash_attention, label: "{label}"}}' for label in LABELS[:labels])
    path = folder / "mine.yaml"
    path.write_text(f"algorithms: [{algorithms}]\ninputs: {inputs}\nshape: {{query_tokens: 4, keys: {keys}}}\n")
    return load_study(path)


def results(of: Study, error: Callable[[int, str, int], float | None]) -> Results:
    """Results made up by a function of the number of the algorithm, the input and the keys; None makes NaN of half."""
    found = []
    for number, algorithm in enumerate(of.algorithms):
        for one in of.inputs:
            for keys in of.shape.keys:
                value = error(number, one.name, keys)
                errors = Errors(value, value, value, value, 0.0, None, 0.5 if value is None else 0.0)
                found.append(Measured(algorithm.name, "input", one.name, keys, 0, errors))
    return summarise(of, found)


GRID = "[{distribution: uniform, x0: [0, 30], amplitude: [0.5, 5, 20]}]"
MANY = "[{distribution: uniform, x0: [0, 10, 20, 30], amplitude: [0.5, 5, 10, 20]}, {distribution: normal}]"


def grid_error(number: int, name: str, keys: int) -> float | None:
    """1e-4 for the first algorithm, ten times as much for each further one; NaN for the second one at x0 = 30."""
    return None if number == 1 and "x0=30" in name else 1e-4 * 10.0**number * keys / 100


def everything(folder: Path) -> list[tuple[str, Figure]]:
    """Figures of studies of all kinds: small and large, with NaN and without, with errors that are all the same."""
    small = results(study(folder, GRID, "[100]"), grid_error)
    many = results(study(folder, MANY, "[100]", 8), grid_error)
    long = results(study(folder, MANY, "[128, 1000, 1024, 65536]", 2), lambda n, name, keys: 1e-3 / keys)
    same = results(study(folder, "[{distribution: normal}]", "[64, 128]", 1), lambda n, name, keys: 1e-3)
    broken = results(study(folder, GRID, "[100]"), lambda n, name, keys: None)
    zero = results(study(folder, "[{distribution: normal}]", "[1]"), lambda n, name, keys: 0.0)
    every = (small, many, long, same, broken, zero)
    drawn = [(f"inputs {n}", input_figure(one, "input")) for n, one in enumerate(every)]
    drawn += [(f"lengths {n}", length_figure(one, "input")) for n, one in enumerate((long, same))]
    return drawn + [
        (f"grid {n}", grid_figure(one, "input", one.study.families[0])) for n, one in enumerate((small, many, broken))
    ]


def test_no_text_is_cut_off_or_meets_another(tmp_path: Path) -> None:
    """All texts of all figures are inside, and no two of them cover each other."""
    for kind, figure in everything(tmp_path):
        whole, found = figure.bbox, texts(figure)
        for text, box in found:
            inside = box.x0 >= whole.x0 - 1 and box.y0 >= -1 and box.x1 <= whole.x1 + 1 and box.y1 <= whole.y1 + 1
            assert inside, f"{kind}: {text!r} is cut off"
        for n, (text, box) in enumerate(found):
            for other, beside in found[n + 1 :]:
                width = min(box.x1, beside.x1) - max(box.x0, beside.x0)
                height = min(box.y1, beside.y1) - max(box.y0, beside.y0)
                assert width < 1 or height < 2, f"{kind}: {text!r} and {other!r} meet"


def marks(figure: Figure, hollow: bool) -> list[tuple[float, float]]:
    """Where the full or the hollow marks of the first axes are."""
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata())]  # type: ignore[arg-type]
    chosen = [line for line in lines if (line.get_markerfacecolor() == "none") == hollow]
    return [(float(x), float(y)) for line in chosen for x, y in zip(line.get_xdata(), line.get_ydata())]  # type: ignore[arg-type]


def test_marks_stand_at_errors_on_the_lines_of_their_inputs(tmp_path: Path) -> None:
    """A full mark for each error, in the order of the table from above; a hollow one beyond the scale for each NaN."""
    figure = input_figure(results(study(tmp_path, GRID, "[100]"), grid_error), "input")
    full, hollow = marks(figure, False), marks(figure, True)

    assert sorted(x for x, _ in full) == pytest.approx([1e-4] * 6 + [1e-3] * 3 + [1e-2] * 6)
    assert sorted(round(y) for x, y in full if x < 2e-4) == [0, 1, 2, 3, 4, 5]
    assert sorted(round(y) for _, y in hollow) == [3, 4, 5]
    assert min(x for x, _ in hollow) > 1e-2
    low, high = figure.axes[0].get_ylim()
    assert low > high  # the first input is on top


def test_lines_run_over_all_numbers_of_keys(tmp_path: Path) -> None:
    """Each panel has a line for each algorithm with a point for each number of keys, and one scale for all."""
    inputs = "[{distribution: normal}, {distribution: uniform, amplitude: 1}]"
    figure = length_figure(results(study(tmp_path, inputs, "[64, 4096]"), grid_error), "input")

    assert [panel.get_title(loc="left") for panel in figure.axes] == ["N(0,1)", "U(-1,1)"]
    for panel in figure.axes:
        assert [np.asarray(line.get_xdata()).tolist() for line in panel.lines] == [[64, 4096]] * 3
        assert np.asarray(panel.lines[2].get_ydata()) == pytest.approx([6.4e-3, 0.4096])
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert [short_count(keys) for keys in (64, 1000, 1024, 65536)] == ["64", "1000", "1k", "64k"]


def test_cells_are_darker_for_smaller_errors_and_hatched_for_nan(tmp_path: Path) -> None:
    """Of three algorithms the first is darkest; cells of the second with NaN are hatched and hold their share."""
    one = results(study(tmp_path, GRID, "[100]"), grid_error)
    figure = grid_figure(one, "input", one.study.families[0])
    panels = figure.axes[:3]

    def light(panel: Any) -> float:
        cell = next(patch for patch in panel.patches if isinstance(patch, Rectangle))
        return float(np.mean(to_rgb(cell.get_facecolor())))

    assert light(panels[0]) < light(panels[1]) < light(panels[2])
    assert [text.get_text() for text in panels[1].texts] == ["1.0e-3"] * 3 + ["NaN\n50%"] * 3
    assert [bool(patch.get_hatch()) for patch in panels[1].patches] == [False] * 3 + [True] * 3
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["0", "30"]
    assert [label.get_text() for label in panels[2].get_xticklabels()] == ["0.5", "5", "20"]


def test_files_are_named_for_what_they_show_and_are_the_same_each_time(tmp_path: Path) -> None:
    """One figure of inputs for each output, one of lengths if there are several, one for each grid of two keys."""
    one = results(study(tmp_path, GRID, "[64, 128]"), grid_error)
    drawn = dict(figures(one))

    assert list(drawn) == ["errors-fp16.png", "lengths-fp16.png", "grid-0-uniform-fp16.png"]
    assert drawn == dict(figures(one))
    assert list(dict(figures(results(study(tmp_path, "[{distribution: normal}]", "[64]"), grid_error)))) == [
        "errors-fp16.png"
    ]
