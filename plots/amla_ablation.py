"""The ablation of AMLA at the flagship shape: preload, integer rescaling and double buffers, on and off.

    python plots/amla_ablation.py [--set KEY=VALUE ...] [--out FILE]

prints a Markdown table, one row a combination, and draws the utilisations as bars.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from matplotlib.figure import Figure

from ascend_sim.config import load_run
from ascend_sim.report.result import RunResult
from ascend_sim.report.style import HATCHES, PALETTE, write_figure
from ascend_sim.simulate import simulate

BUFFERS = {"single": ("kv_buffers=1", "l0_buffers=1"), "several": ("kv_buffers=3", "l0_buffers=2")}
RESCALINGS = {"mla_base": "multiplied on the vector cores", "amla": "integer atomic add (AMLA)"}
"""The programs, and how they rescale."""
MEASURED = 614.0, 86.8
"""TFLOPS of AMLA on silicon and its share of the peak in percent, at its best shape (arXiv 2509.25224)."""


@dataclass(frozen=True)
class Variant:
    """One combination, and what came of it."""

    buffers: str
    preload: int
    program: str
    result: RunResult

    @property
    def row(self) -> str:
        """Its line of the Markdown table."""
        result = self.result
        return (
            f"| {self.preload} | {self.program} | {self.buffers} | {result.time_us:.1f} | {result.tflops:.1f} "
            f"| {result.pipes['aic_cube_ratio']:.3f} | {result.flops_utilization:.1%} |"
        )


def bars(variants: list[Variant]) -> Figure:
    """Utilisation of each combination, those of one schedule side by side."""
    figure = Figure(figsize=(7.2, 3.8), layout="constrained")
    axes = figure.subplots()
    groups = [(buffers, preload) for buffers in BUFFERS for preload in (0, 1)]
    for number, (program, label) in enumerate(RESCALINGS.items()):
        by_group = {(one.buffers, one.preload): one for one in variants if one.program == program}
        own = [by_group[group] for group in groups]
        places = [position + 0.38 * (number - 0.5) for position in range(len(groups))]
        drawn = axes.bar(
            places, [100 * one.result.flops_utilization for one in own], width=0.36, color=PALETTE[number],
            hatch=HATCHES[number], edgecolor="white", label=f"rescaling {label}",
        )  # fmt: skip
        axes.bar_label(drawn, [f"{100 * one.result.flops_utilization:.1f}" for one in own], padding=2, fontsize=8)
    rate, share = MEASURED
    line = f"published, not simulated: {rate:.0f} TFLOPS on a 910C, {share:.1f} %"
    axes.axhline(share, color="0.3", linestyle=":", label=line)
    names = [f"{buffers} buffers\npreload {preload}" for buffers, preload in groups]
    axes.set_xticks(range(len(groups)), names)
    axes.set(ylabel="utilisation of the peak in %", ylim=(0, 100))
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("AMLA decode on ascend910c, 96 requests of 16k keys, S_q = 2: each idea on and off", fontsize=10)
    return figure


def draw(
    out: Annotated[Path, typer.Option("--out", help="The image to write.")] = Path("amla_ablation.png"),
    overrides: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change every run.")] = [],  # noqa: B006
) -> None:
    """Simulate all combinations, print the table and draw it."""
    typer.echo("| preload | program | L1 and L0 buffers | time (us) | TFLOPS | cube ratio | utilisation |")
    typer.echo("|---|---|---|---:|---:|---:|---:|")
    variants = []
    for buffers, preload, program in itertools.product(BUFFERS, (0, 1), RESCALINGS):
        settings = [f"schedule.preload={preload}", f"program={program}", *overrides]
        settings += [f"tiling.{setting}" for setting in BUFFERS[buffers]]
        variants.append(Variant(buffers, preload, program, simulate(load_run("amla_decode", settings)).result))
        typer.echo(variants[-1].row)
    write_figure(out, bars(variants))
    typer.echo(f"written: {out}")


if __name__ == "__main__":
    typer.run(draw)
