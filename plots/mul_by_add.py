"""Draw the error of one rescale of AMLA: `python plots/mul_by_add.py [--out FILE]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ascend_sim.report.style import NEUTRAL, PALETTE, write_figure
from ascend_sim.study.rescaling import LARGEST_DELTA, relative_errors, worst_and_rms

DELTA = LARGEST_DELTA["bf16"]
FACTORS = {0.0: ("none", ":"), 1.0: ("1", "--"), 1.5: ("1.5 (AMLA)", "-"), 2.0: ("2", "-.")}


def draw(
    out: Annotated[Path, typer.Option("--out", help="The image to write.")] = Path("mul_by_add.png"),
) -> None:
    """Compute the errors of rescales by 2^-1 (1 + delta), for the largest delta of a bf16 cache, and draw them."""
    figure = Figure(figsize=(7.2, 3.0))
    left, right = (figure.add_axes((x, 0.17, 0.38, 0.72)) for x in (0.09, 0.59))
    significands = np.linspace(1.0, 2.0 - 2.0 * DELTA, 512)  # those that no addition takes beyond 2
    for (factor, (label, style)), colour in zip(FACTORS.items(), PALETTE):
        errors = relative_errors(significands, DELTA, factor) / DELTA
        left.plot(significands, errors, style, color=colour, linewidth=1.5, label=label)
    left.set(xlabel="significand f", ylabel="error / delta", xlim=(1, 2))
    left.legend(title="factor of delta", fontsize=8, title_fontsize=8, frameon=False, loc="upper right",
                borderaxespad=0, labelspacing=0.25)  # fmt: skip
    factors = np.linspace(0, 2.5, 101)
    worst, rms = zip(*(worst_and_rms(float(factor), DELTA) for factor in factors), strict=True)
    right.plot(factors, worst, "-", color=PALETTE[0], linewidth=1.5, label="largest")
    right.plot(factors, rms, "--", color=PALETTE[5], linewidth=1.5, label="root mean square")
    right.axvline(1.5, color=NEUTRAL, linewidth=1.0)
    right.annotate("1.5", (1.5, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 2), textcoords="offset points",
                   ha="center", fontsize=8)  # fmt: skip
    right.set(xlabel="factor of delta", ylabel="error / delta", xlim=(0, 2.5), ylim=(0, 1.6))
    right.legend(fontsize=8, frameon=False, loc="upper left", borderaxespad=0)
    for axes in (left, right):
        _frame(axes)
    write_figure(out, figure, dpi=150)
    typer.echo(f"written: {out}")


def _frame(axes: Axes) -> None:
    axes.grid(color="0.92", linewidth=0.5)
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_fontsize(8)
    axes.yaxis.label.set_fontsize(8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


if __name__ == "__main__":
    typer.run(draw)
