"""Draw AMLA's utilisation over the keys in the cache, beside the roofline: `python plots/amla_utilization.py`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from ascend_sim.config import Chip, load_run
from ascend_sim.report.style import PALETTE, write_figure
from ascend_sim.simulate import simulate

KEYS = (1024, 2048, 4096, 8192, 16384)
STYLES = {2: (PALETTE[0], "o", "-"), 1: (PALETTE[1], "s", "--")}  # told apart without colour, too
AMLA = 614.0, 86.8
"""TFLOPS on silicon and share of the peak in percent, of the best shape; which one is not said (arXiv 2509.25224)."""
FLASH_MLA = 660.0, 66.7
"""TFLOPS of FlashMLA on an H800, and its share of that chip's peak in percent (quoted in arXiv 2509.25224)."""


@dataclass(frozen=True)
class Point:
    """One run: *intensity* in FLOP for each byte of HBM, *tflops* reached."""

    query_tokens: int
    keys: int
    intensity: float
    tflops: float


def simulated(query_tokens: int, keys: int) -> tuple[Point, Chip]:
    """AMLA at the flagship's batch with *query_tokens* and *keys*, and the chip it ran on."""
    run = load_run("amla_decode", [f"problem.query_tokens={query_tokens}", f"problem.kv_tokens={keys}"])
    result = simulate(run, data=False).result
    moved = result.memory["hbm_read_bytes"] + result.memory["hbm_write_bytes"]
    return Point(query_tokens, keys, result.flops / moved, result.tflops), run.chip


def curve(axes: Axes, points: list[Point], peak: float) -> None:
    """Utilisation over the keys in the cache."""
    for query_tokens, (colour, marker, line) in STYLES.items():
        own = [point for point in points if point.query_tokens == query_tokens]
        axes.plot(
            [point.keys for point in own], [100 * point.tflops / peak for point in own],
            color=colour, marker=marker, linestyle=line, label=f"simulated, S_q = {query_tokens}",
        )  # fmt: skip
    (measured, share), (other, other_share) = AMLA, FLASH_MLA
    amla = f"published: AMLA on a 910C, {measured:.0f} TFLOPS, {share:.1f} %"
    axes.axhline(share, color="0.25", linestyle=":", label=amla)
    flash = f"published: FlashMLA on an H800, {other:.0f} TFLOPS, {other_share:.1f} %"
    axes.axhline(other_share, color="0.55", linestyle="-.", label=flash)
    axes.set_xscale("log", base=2)
    axes.set_xticks(KEYS, [f"{keys // 1024}k" for keys in KEYS])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel="keys in the cache of each request (S_k)", ylabel="utilisation of the peak in %", ylim=(0, 100))
    axes.legend(loc="lower left", frameon=False, fontsize=8.5)


def roofline(axes: Axes, points: list[Point], peak: float, bandwidth: float) -> None:
    """The same runs below the roofs of HBM, *bandwidth* in TB/s, and of the cube, *peak* in TFLOPS."""
    left, ridge, right = 100.0, peak / bandwidth, 1000.0
    axes.plot([left, ridge, right], [left * bandwidth, peak, peak], color="black")
    axes.annotate(f"HBM {bandwidth:g} TB/s", (140, 140 * bandwidth), rotation=35, ha="center", va="bottom")
    axes.annotate(f"cube {peak:.1f} TFLOPS", (right, peak), ha="right", va="bottom")
    for query_tokens, (colour, marker, _) in STYLES.items():
        own = [point for point in points if point.query_tokens == query_tokens]
        axes.scatter([point.intensity for point in own], [point.tflops for point in own], color=colour, marker=marker)
        last = own[-1]
        axes.annotate(
            f"S_q = {query_tokens}\nS_k {KEYS[0] // 1024}k to {KEYS[-1] // 1024}k", (last.intensity, last.tflops),
            xytext=(8, -4), textcoords="offset points", va="top",
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlim=(left, right), ylim=(200, 1000))
    for axis, ticks in ((axes.xaxis, (100, 200, 500, 1000)), (axes.yaxis, (200, 300, 400, 600, 800, 1000))):
        axis.set_ticks(ticks)
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="FLOP for each byte of HBM", ylabel="TFLOPS")


def draw(
    out: Annotated[Path, typer.Option("--out", help="The image to write.")] = Path("amla_utilization.png"),
) -> None:
    """Simulate AMLA for S_q 1 and 2 and S_k 1k to 16k on a 910C, print the table and draw it."""
    points: list[Point] = []
    for query_tokens in STYLES:
        for keys in KEYS:
            point, chip = simulated(query_tokens, keys)
            points.append(point)
            typer.echo(f"S_q {query_tokens}  S_k {keys:>5}  {point.tflops:6.1f} TFLOPS  {point.intensity:5.1f} FLOP/B")
    peak, bandwidth = chip.peak_flops("bf16") / 1e12, chip.dies.value * chip.hbm.bytes_per_second.value / 1e12
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    curve(left, points, peak)
    roofline(right, points, peak, bandwidth)
    figure.suptitle("AMLA decode, 96 requests, 128 heads, on ascend910c")
    write_figure(out, figure, dpi=110)
    typer.echo(f"written: {out}")


if __name__ == "__main__":
    typer.run(draw)
