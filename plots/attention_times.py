"""The attention programs against each other in time: AMLA and Base MLA, split keys, FlashAttention and PASA.

    python plots/attention_times.py [--out FILE]

prints three Markdown tables and draws them. The points are simulated by the compiled engine of `ascend-sim explore`,
whose figures equal those of `ascend-sim run` to the cycle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ascend_sim.config import load_run
from ascend_sim.explore.evaluation import evaluate
from ascend_sim.explore.point import Assignment, Base, Limits, Value
from ascend_sim.explore.resolve import base_of
from ascend_sim.report.style import HATCHES, PALETTE, write_figure

MLA = {"amla": "AMLA", "mla_base": "Base MLA"}
KEYS = (1024, 2048, 4096, 8192, 16384)
QUERY_TOKENS = (1, 2, 4)
BATCHES = {1: 24, 4: None, 16: None}
"""Requests, and blocks where not the whole package can work: the parts of one request meet on one die."""
LONG = 65536
SEQUENCES = (1024, 2048, 4096, 8192)
PUBLISHED = 170.0
"""TFLOPS of PASA at its best shape, which is not said, on an Atlas 800I A2 (arXiv 2503.01873, OpenReview version)."""
HEADS = {"problem.heads": 28, "problem.kv_heads": 4}
PIPES = ("aic_cube", "aic_mte1", "aic_mte2", "aic_fixpipe", "aiv_vec", "aiv_mte2", "aiv_mte3")


@dataclass(frozen=True)
class Forward:
    """A program over whole sequences: the run it starts from, and what it is given."""

    run: str
    settings: Mapping[str, Value]


def tiles(rows: int, keys: int, vector_rows: int) -> dict[str, Value]:
    """The best tiling at 2048 tokens of those with 128 or 256 rows and keys, 8 to 64 vector_rows, unit_flag or not."""
    sizes = {"rows": rows, "keys": keys, "vector_rows": vector_rows, "unit_flag": True}
    return {f"tiling.{name}": size for name, size in sizes.items()}


FORWARD = {
    "FlashAttention, softmax fp32": Forward("flash_attention", tiles(128, 256, 32) | {"problem.softmax": "fp32"}),
    "FlashAttention, softmax fp16_fp32": Forward(
        "flash_attention", tiles(128, 128, 32) | {"problem.softmax": "fp16_fp32"}
    ),
    "FlashAttention, softmax fp16": Forward("flash_attention", tiles(256, 128, 64) | {"problem.softmax": "fp16"}),
    "PASA": Forward("pasa", {}),
}


@dataclass(frozen=True)
class Point:
    """What a run takes: *us* microseconds at *tflops*, *share* of the peak, and how busy each of its pipes is."""

    us: float
    tflops: float
    share: float
    pipes: Mapping[str, float]

    @property
    def busiest(self) -> str:
        """The busiest pipe and its share of the time."""
        pipe = max(self.pipes, key=lambda name: self.pipes[name])
        return f"{pipe} {self.pipes[pipe]:.0%}"

    @property
    def cells(self) -> str:
        """Its columns in a table."""
        return f"{self.us:.1f} | {self.tflops:.1f} | {self.share:.1%} | {self.busiest}"


def simulated(base: Base, assignment: Assignment) -> Point:
    """Simulate the run of *base* with the settings of *assignment*; raise a RuntimeError if it is refused."""
    found = evaluate(base, assignment, Limits())
    if found.status != "done":
        raise RuntimeError(f"{dict(assignment)} of {base.path} is {found.status}: {found.reason}")
    metrics = found.metrics
    pipes = {pipe: metrics[f"{pipe}_ratio"] for pipe in PIPES}
    return Point(metrics["time_us"], metrics["tflops"], metrics["flops_utilization"], pipes)


def decode() -> dict[tuple[str, int, int], Point]:
    """AMLA and Base MLA by program, S_q and S_k; prints the table."""
    columns = " | ".join(f"{label}: us | TFLOPS | of the peak | busiest pipe" for label in MLA.values())
    typer.echo(f"| S_q | S_k | {columns} |\n|---:|---:|---:|---:|---:|---|---:|---:|---:|---|")
    bases = {program: base_of(load_run("amla_decode", [f"program={program}"])) for program in MLA}
    points = {}
    for tokens in QUERY_TOKENS:
        for keys in KEYS:
            for program, base in bases.items():
                settings = {"problem.query_tokens": tokens, "problem.kv_tokens": keys}
                points[program, tokens, keys] = simulated(base, settings)
            row = " | ".join(points[program, tokens, keys].cells for program in MLA)
            typer.echo(f"| {tokens} | {keys} | {row} |")
    return points


def split() -> dict[tuple[int, bool], Point]:
    """AMLA by batch, and whether keys are split; prints the table."""
    typer.echo("\n| batch | cube cores | whole us | TFLOPS | split us | TFLOPS | of the peak | times faster |")
    typer.echo("|---:|---:|---:|---:|---:|---:|---:|---:|")
    base, points = base_of(load_run("amla_long")), {}
    for batch, blocks in BATCHES.items():
        settings = {"problem.batch": batch, "problem.kv_tokens": LONG, "launch.blocks": blocks}
        for parted in (False, True):
            parts = "auto" if parted else 1
            points[batch, parted] = simulated(base, {**settings, "schedule.split_kv": parts})
        whole, split = points[batch, False], points[batch, True]
        typer.echo(
            f"| {batch} | {blocks or 48} | {whole.us:.0f} | {whole.tflops:.1f} | {split.us:.0f} | {split.tflops:.1f} "
            f"| {split.share:.1%} | {whole.us / split.us:.1f} |"
        )
    return points


def forward() -> dict[tuple[str, int], Point]:
    """The programs over whole sequences by name and S; prints the table."""
    typer.echo("\n| S | program | us | TFLOPS | of the peak | busiest pipe |")
    typer.echo("|---:|---|---:|---:|---:|---|")
    points = {}
    for tokens in SEQUENCES:
        length = {"problem.query_tokens": tokens, "problem.kv_tokens": tokens}
        for name, one in FORWARD.items():
            points[name, tokens] = simulated(base_of(load_run(one.run)), {**HEADS, **length, **one.settings})
            typer.echo(f"| {tokens} | {name} | {points[name, tokens].cells} |")
    return points


def over_keys(left: Axes, right: Axes, points: Mapping[tuple[str, int, int], Point]) -> None:
    """Utilisation of both MLA programs, and by how much the one is faster than the other."""
    for number, tokens in enumerate(QUERY_TOKENS):
        colour, marker = PALETTE[number], "os^"[number]
        for program, label in MLA.items():
            filled = program == "amla"
            left.plot(
                KEYS, [100 * points[program, tokens, keys].share for keys in KEYS], color=colour, marker=marker,
                linestyle="-" if filled else "--", fillstyle="full" if filled else "none",
                markersize=5 if filled else 9, label=f"{label}, S_q = {tokens}",
            )  # fmt: skip
        gains = [100 * (points["mla_base", tokens, keys].us / points["amla", tokens, keys].us - 1) for keys in KEYS]
        right.plot(KEYS, gains, color=colour, marker=marker, label=f"S_q = {tokens}")
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xticks(KEYS, [f"{keys // 1024}k" for keys in KEYS])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set(xlabel="keys in the cache of each request (S_k)")
        axes.legend(frameon=False, fontsize=8.5, ncols=1 if axes is right else 2, loc="lower right")
    left.set(ylabel="utilisation of the peak in %", ylim=(0, 100))
    right.axhline(0, color="0.4", linewidth=0.8)
    right.set(ylabel="how much longer Base MLA takes than AMLA, in %", ylim=(-6, 6))
    left.set_title("(a) AMLA and Base MLA decode, 96 requests, 128 heads, 910C", fontsize=10)
    right.set_title("(b) the same: what multiplying costs against adding", fontsize=10)


def of_splits(axes: Axes, points: Mapping[tuple[int, bool], Point]) -> None:
    """Times of whole and of split keys, side by side."""
    for parted, label in ((False, "a request on one core"), (True, "split_kv: auto, and how many times faster")):
        times, number = [points[batch, parted].us for batch in BATCHES], int(parted)
        drawn = axes.bar(
            [place + (number - 0.5) * 0.38 for place in range(len(BATCHES))], times, 0.36, color=PALETTE[number],
            hatch=HATCHES[number], edgecolor="white", label=label,
        )  # fmt: skip
        gains = [points[batch, False].us / points[batch, True].us for batch in BATCHES]
        texts = [f"{time:.0f}" + (f"\n{gain:.1f}x" if parted else "") for time, gain in zip(times, gains)]
        axes.bar_label(drawn, texts, padding=2, fontsize=8.5)
    names = [f"batch {batch}\n{blocks or 48} cube cores" for batch, blocks in BATCHES.items()]
    axes.set_xticks(range(len(BATCHES)), names)
    axes.set(ylabel="time in us", ylim=(0, 3300))
    axes.legend(frameon=False, fontsize=8.5, ncols=2, loc="upper center")
    axes.set_title("(c) AMLA decode, S_k = 64k, S_q = 2, 910C: keys split or not", fontsize=10)


def over_sequences(axes: Axes, points: Mapping[tuple[str, int], Point]) -> None:
    """Rates of the programs over whole sequences."""
    lines = ("-", "-.", "--", (0, (5, 1)))
    for name, colour, marker, line in zip(FORWARD, PALETTE, "os^D", lines, strict=False):
        rates = [points[name, tokens].tflops for tokens in SEQUENCES]
        axes.plot(SEQUENCES, rates, color=colour, marker=marker, linestyle=line, label=name)
    axes.axhline(PUBLISHED, color="0.3", linestyle=":", linewidth=1, label="published: PASA, up to 170 TFLOPS")
    axes.set_xscale("log", base=2)
    axes.set_xticks(SEQUENCES, [f"{tokens // 1024}k" for tokens in SEQUENCES])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel="query tokens and keys (S)", ylabel="TFLOPS", ylim=(0, None))
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    axes.set_title("(d) forward, 28 heads, 4 KV heads, head_dim 128, 910B2 (peak 353.9)", fontsize=10)


def draw(
    out: Annotated[Path, typer.Option("--out", help="The image to write.")] = Path("attention_times.png"),
) -> None:
    """Simulate everything, print the tables and draw them; a few minutes."""
    figure = Figure(figsize=(12, 8.4), layout="constrained")
    (top_left, top_right), (bottom_left, bottom_right) = figure.subplots(2, 2)
    over_keys(top_left, top_right, decode())
    of_splits(bottom_left, split())
    over_sequences(bottom_right, forward())
    for axes in (top_left, top_right, bottom_left, bottom_right):
        axes.spines[["top", "right"]].set_visible(False)
    write_figure(out, figure, dpi=110)
    typer.echo(f"written: {out}")


if __name__ == "__main__":
    typer.run(draw)
