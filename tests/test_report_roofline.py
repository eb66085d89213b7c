"""The roofline in words and as a figure: what is drawn where, that no label covers another, and equal bytes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation

from ascend_sim.errors import ArgumentError
from ascend_sim.observe.roofline import BYTES, ELEMENTS, FLOPS, Place, Roof
from ascend_sim.report.roofline import lines, roofline_figure
from ascend_sim.report.style import figure_bytes


def cube(label: str, rate: float, l2: float, hbm: float, chip: str = "one", scale: float = 1.0) -> Place:
    """A kernel of *rate* FLOP/s with *l2* and *hbm* FLOP/B, on a chip of 400 TFLOPS, 8 and 2 TB/s times *scale*."""
    roofs = (
        Roof("cube", FLOPS, 4e14 * scale, rate, 1.0, "fp16/bf16"),
        Roof("L2", BYTES, 8e12 * scale, rate / l2, l2),
        Roof("HBM", BYTES, 2e12 * scale, rate / hbm if hbm < math.inf else 0.0, hbm),
    )
    return Place(label, "kernel", chip, FLOPS, 1000, rate, roofs)


def vector(label: str, rate: float, l2: float, hbm: float) -> Place:
    """A kernel of *rate* element operations a second, on the same chip with 5 TOPS."""
    roofs = (
        Roof("vector", ELEMENTS, 5e12, rate, 1.0, "fp32"),
        Roof("L2", BYTES, 8e12, rate / l2, l2),
        Roof("HBM", BYTES, 2e12, rate / hbm, hbm),
    )
    return Place(label, "kernel", "one", ELEMENTS, 1000, rate, roofs)


GEMM = cube("gemm", 1e14, 60.0, 400.0)
DECODE = cube("decode", 4e13, 30.0, 40.0)
SOFTMAX = vector("softmax", 1.2e12, 0.6, 1.25)
ADD = vector("vector_add", 1.4e11, 1 / 12, 1 / 8)
OTHER = cube("gemm on two", 1.5e14, 60.0, 400.0, "two", 2.0)


def axes_of(figure: Figure) -> Axes:
    """The only axes of *figure*, drawn."""
    (axes,) = figure.axes
    return axes


def drawn(axes: Axes, **wanted: object) -> list[Line2D]:
    """The lines with the properties *wanted*."""
    return [line for line in axes.get_lines() if all(getattr(line, f"get_{k}")() == v for k, v in wanted.items())]


def ends(line: Line2D) -> list[tuple[float, float]]:
    """The points of a line."""
    return [(float(x), float(y)) for x, y in zip(*line.get_data(), strict=True)]


# --- In words ---


def test_a_place_in_words() -> None:
    """Limits, intensities, what each roof allows, how much of it is reached, and the ridges."""
    assert list(lines(replace(GEMM, program="gemm"))) == [
        "gemm (gemm on one): 100 TFLOPS, counting useful FLOPs",
        "roof                 limit   intensity      allows  reached       ridge",
        "cube fp16/bf16  400 TFLOPS              400 TFLOPS     25 %",
        "L2                  8 TB/s   60 FLOP/B  480 TFLOPS   20.8 %   50 FLOP/B",
        "HBM                 2 TB/s  400 FLOP/B  800 TFLOPS   12.5 %  200 FLOP/B",
        "nearest roof: cube fp16/bf16, 25 % of it reached",
    ]


def test_a_vector_kernel_in_words() -> None:
    """Its operations are of elements, and its rates TOPS."""
    first, _, unit, _, hbm, last = lines(SOFTMAX)

    assert first.endswith("1.2 TOPS, counting element operations")
    assert unit.split() == ["vector", "fp32", "5", "TOPS", "5", "TOPS", "24", "%"]
    assert hbm.split() == ["HBM", "2", "TB/s", "1.25", "element/B", "2.5", "TOPS", "48", "%", "2.5", "element/B"]
    assert last == "nearest roof: HBM, 48 % of it reached"


def test_what_is_not_used_allows_anything() -> None:
    """An infinite intensity is said in words."""
    hbm = list(lines(cube("", 1e14, 60.0, math.inf)))[-2]

    assert hbm.split() == ["HBM", "2", "TB/s", "unused", "0", "%", "200", "FLOP/B"]


# --- The figure ---


def test_the_roofs_are_where_the_chip_puts_them() -> None:
    """Memories rise with their bandwidth up to their ridge, and the cube goes on level from the first ridge."""
    axes = axes_of(roofline_figure([GEMM]))
    left, right = axes.get_xlim()
    found = [ends(line) for line in axes.get_lines() if line.get_color() == "0.1"]

    assert found[0] == [(left, pytest.approx(8 * left)), (50.0, 400.0)]
    assert found[1] == [(left, pytest.approx(2 * left)), (200.0, 400.0)]
    assert found[2] == [(50.0, 400.0), (right, 400.0)]


def test_the_markers_and_the_drop_line() -> None:
    """Hollow at the bytes of L2, filled at those of HBM; a dotted line to the roof that binds, here the cube."""
    axes = axes_of(roofline_figure([GEMM]))
    (hollow,) = drawn(axes, marker="o", markerfacecolor="white")
    (filled,) = drawn(axes, marker="o", markerfacecolor="#0072B2")
    (dotted,) = drawn(axes, linestyle=":")

    assert ends(hollow) == [(60.0, 100.0)]
    assert ends(filled) == [(400.0, 100.0)]
    assert ends(dotted) == [(400.0, 100.0), (400.0, 400.0)]


@pytest.mark.parametrize(("place", "x", "height"), [(DECODE, 40.0, 80.0), (cube("", 1e14, 15.0, 400.0), 15.0, 120.0)])
def test_the_drop_line_goes_to_the_roof_that_binds(place: Place, x: float, height: float) -> None:
    """From the marker of HBM to its roof, or from that of L2, whichever is nearer."""
    (dotted,) = drawn(axes_of(roofline_figure([place])), linestyle=":")

    assert ends(dotted) == [(x, pytest.approx(place.rate / 1e12)), (x, pytest.approx(height))]


def test_without_hbm_there_is_one_marker() -> None:
    """A kernel that finds everything in L2 has no intensity of HBM to be drawn at."""
    axes = axes_of(roofline_figure([cube("", 1e14, 60.0, math.inf)]))

    assert [ends(line) for line in drawn(axes, marker="o")] == [[(60.0, 100.0)]]


def texts(figure: Figure) -> list[Annotation]:
    """The labels of the axes."""
    return [one for one in axes_of(figure).texts if isinstance(one, Annotation)]


def test_lines_and_kernels_are_named_with_their_values() -> None:
    """There is no list to look colours up in: each roof has its limit, each kernel its rate and share."""
    found = {one.get_text() for one in texts(roofline_figure([GEMM, SOFTMAX]))}

    assert found == {
        "L2 8 TB/s", "HBM 2 TB/s", "cube fp16/bf16 400 TFLOPS", "vector fp32 5 TOPS",
        "gemm\n100 TFLOPS, 25 % of cube", "softmax\n1.2 TOPS, 48 % of HBM",
    }  # fmt: skip


def test_two_chips_have_roofs_of_their_own() -> None:
    """Their names stand on the roofs, which differ in grey; with one chip the title has its name."""
    figure = roofline_figure([GEMM, OTHER])
    found = {one.get_text() for one in texts(figure)}

    assert {"HBM 2 TB/s (one)", "HBM 4 TB/s (two)", "cube fp16/bf16 800 TFLOPS (two)"} < found
    assert axes_of(figure).get_title(loc="left") == ""
    assert {line.get_color() for line in axes_of(figure).get_lines()} >= {"0.1", "0.45"}
    assert axes_of(roofline_figure([GEMM])).get_title(loc="left") == "one"


def test_kernels_and_roofs_differ_without_colours() -> None:
    """Every kernel has a marker of its own, L2 is dashed, and the vector roof is not drawn like the cube's."""
    axes = axes_of(roofline_figure([GEMM, DECODE, SOFTMAX, ADD]))
    markers = {line.get_marker() for line in axes.get_lines()} - {"None", "_", ""}
    roofs = [line for line in axes.get_lines() if line.get_color() == "0.1"]

    assert len(markers) == 4
    assert len({(line.get_linewidth(), line.get_linestyle(), str(line._dash_pattern)) for line in roofs}) == 4


PICTURES = {
    "gemm": [GEMM],
    "cube": [GEMM, DECODE],
    "vector": [SOFTMAX, ADD],
    "mixed": [GEMM, DECODE, SOFTMAX, ADD],
    "chips": [GEMM, OTHER],
}


@pytest.mark.parametrize("name", list(PICTURES))
def test_no_label_covers_another(name: str) -> None:
    """Labels lie inside the axes, and the corners of none lie in another or on a marker."""
    figure = roofline_figure(PICTURES[name])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    frame = axes_of(figure).get_window_extent()
    level = [one for one in texts(figure) if not one.get_rotation()]
    boxes = [one.get_window_extent(canvas.get_renderer()) for one in level]

    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1 for box in boxes)
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number]), level[number].get_text()
    for line in axes_of(figure).get_lines():
        if line.get_marker() not in ("None", "_", ""):
            marker = axes_of(figure).transData.transform(ends(line)[0])
            assert not any(box.contains(*marker) for box in boxes)


def test_equal_places_give_equal_bytes() -> None:
    """The picture depends on nothing but the places."""
    first, second = (figure_bytes(roofline_figure(PICTURES["mixed"]), "png") for _ in range(2))

    assert first == second


def test_names_are_no_formulas() -> None:
    """Dollars in a label are dollars, and a label may be empty."""
    figure = roofline_figure([replace(GEMM, label=r"$\no$"), replace(DECODE, label="")])
    FigureCanvasAgg(figure).draw()

    assert not any(one.get_parse_math() for one in texts(figure))


# --- Refusals ---


def test_nothing_to_draw() -> None:
    """A figure needs a kernel."""
    with pytest.raises(ArgumentError) as caught:
        roofline_figure([])

    assert str(caught.value) == "there is nothing to draw below the roofs; give one result at least"


@pytest.mark.parametrize("place", [cube("copy", 0.0, 1e-300, 1e-300), cube("spin", 1e14, math.inf, math.inf)])
def test_a_kernel_without_an_intensity(place: Place) -> None:
    """A kernel that only moves, or that moves nothing, has no place on logarithmic axes."""
    idle = replace(place, roofs=tuple(replace(roof, intensity=place.rate and roof.intensity) for roof in place.roofs))

    with pytest.raises(ArgumentError) as caught:
        roofline_figure([GEMM, idle])

    assert str(caught.value) == (
        f"{place.label}: does no operations that count, or moves no bytes, so that it has no intensity; "
        f"leave it out of the figure"
    )
