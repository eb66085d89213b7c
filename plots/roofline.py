"""Draw bundled kernels below the roofs of a 910C: `python plots/roofline.py [--out FILE]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ascend_sim.config import load_run
from ascend_sim.observe.roofline import place
from ascend_sim.report.roofline import lines, roofline_figure
from ascend_sim.report.style import write_figure
from ascend_sim.simulate import simulate

CHIP = "ascend910c"
KERNELS = {
    "AMLA decode, 96 x 16k": ("amla_decode", ()),
    "GEMM 6144": ("gemm", ()),
    "FlashAttention 4k": ("flash_attention", ()),
}


def draw(
    out: Annotated[Path, typer.Option("--out", help="The image to write.")] = Path("roofline.png"),
) -> None:
    """Simulate the kernels, print how near each comes to its roofs, and draw them."""
    places = []
    for label, (name, overrides) in KERNELS.items():
        run = load_run(name, [f"chip={CHIP}", *overrides])
        places.append(place(label, simulate(run, data=False).result.to_dict(), run.chip))
        for line in lines(places[-1]):
            typer.echo(line)
    write_figure(out, roofline_figure(places), dpi=180)
    typer.echo(f"written: {out}")


if __name__ == "__main__":
    typer.run(draw)
