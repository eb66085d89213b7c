"""Figures as files: equal every time, in a format that the name says."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ascend_sim.errors import ArgumentError
from ascend_sim.report.style import FORMATS, PALETTE, figure_bytes, ink_on, look, text_width, tint, write_figure


def a_figure() -> Figure:
    """A figure with a clip path and a marker, which SVG gives names of their own."""
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 2], [2, 1], marker="o", label="line")
    return figure


@pytest.mark.parametrize("form", FORMATS)
def test_equal_figures_give_equal_files(form: str) -> None:
    """Neither a date nor a random name gets into a file."""
    assert figure_bytes(a_figure(), form) == figure_bytes(a_figure(), form)


def test_the_suffix_says_the_format(tmp_path: Path) -> None:
    """A file is written in the format of its suffix, in capitals or not."""
    write_figure(tmp_path / "a.SVG", a_figure())

    assert (tmp_path / "a.SVG").read_text(encoding="utf-8").startswith("<?xml")


def test_another_format_is_refused(tmp_path: Path) -> None:
    """The error names the file and the formats, and nothing is written."""
    path = tmp_path / "a.gif"
    with pytest.raises(ArgumentError) as caught:
        write_figure(path, a_figure())

    message = "has no format that figures can be written in; end it with one of .png, .svg, .pdf"
    assert str(caught.value) == f"{path}: {message}"
    assert not path.exists()


def test_neighbours_in_the_palette_differ_in_grey() -> None:
    """In grey print the first colours, which most figures need, differ in lightness from one to the next."""
    greys = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in map(to_rgb, PALETTE)]

    assert all(abs(one - other) > 0.08 for one, other in pairwise(greys))


def test_no_two_series_look_alike() -> None:
    """Colours come again with other hatches; the first ones are those of the palette."""
    assert len({look(number) for number in range(49)}) == 49
    assert [look(number)[0] for number in range(len(PALETTE))] == [to_rgb(colour) for colour in PALETTE]


def test_tints_and_inks() -> None:
    """A tint is the colour thinned with white; dark colours are written on in white, light ones in black."""
    assert tint("#0072B2", 1.0) == pytest.approx(to_rgb("#0072B2"))
    assert tint("black", 0.25) == (0.75, 0.75, 0.75)
    inks = [ink_on(colour) for colour in ("#0072B2", "#E69F00", "white", "black")]
    assert inks == ["white", "black", "black", "white"]


@pytest.mark.parametrize(("size", "weight"), [(5.5, "normal"), (10.0, "bold")])
def test_texts_are_as_wide_as_they_are_measured(size: float, weight: str) -> None:
    """The measured width is that of the drawn text, within a fiftieth, blanks included."""
    figure = Figure(figsize=(6, 1), dpi=720)
    renderer = RendererAgg(6 * 720, 720, 720)
    for text in ("waits veccore1", "[C1] 3", "a  b"):
        drawn = figure.text(0.1, 0.5, text, fontsize=size, weight=weight).get_window_extent(renderer).width / 10
        assert text_width(text, size, weight) == pytest.approx(drawn, rel=0.02)
