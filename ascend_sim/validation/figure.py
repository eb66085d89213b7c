"""Measured against simulated, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ascend_sim.errors import ArgumentError, Diagnostic
from ascend_sim.validation.data import Role
from ascend_sim.validation.run import Comparison

BAND = 0.15
"""Relative error that the grey band of the picture allows."""


def write_figure(path: Path, comparisons: Sequence[Comparison]) -> None:
    """Draw simulated against measured values of *comparisons* to *path*, log-log, one panel for each unit.

    Calibration rows are hollow. Raise an ArgumentError if the file cannot be written or there is nothing to draw.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    done = [(one, one.simulated) for one in comparisons if one.simulated]
    units = list(dict.fromkeys(one.row.unit for one, _ in done))
    if not units:
        message = "there is nothing to draw: no row could be simulated; choose other rows, or drop --out"
        raise ArgumentError(Diagnostic(message, str(path)))
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(3.6 * len(units), 3.6), layout="constrained")
        panels = figure.subplots(1, len(units), squeeze=False)[0]
        for unit, panel in zip(units, panels, strict=True):
            points = [(one.row, value) for one, value in done if one.row.unit == unit]
            ends = [point for row, value in points for point in (row.measured, value)]
            line = [min(ends) / 2.5, max(ends) * 2.5]
            low, high = ([end * (1 + sign * BAND) for end in line] for sign in (-1, 1))
            panel.fill_between(line, low, high, color="0.88", label=f"within {BAND:.0%}")
            panel.plot(line, line, color="0.6", linewidth=0.8)
            for number, (suite, role) in enumerate(dict.fromkeys((row.suite, row.role) for row, _ in points)):
                own = [(row.measured, value) for row, value in points if (row.suite, row.role) == (suite, role)]
                face = "none" if role is Role.CALIBRATION else f"C{number}"
                label = f"{suite}, {role.value} ({len(own)})"
                panel.scatter(*zip(*own, strict=True), s=14, facecolors=face, edgecolors=f"C{number}", label=label)
            panel.set(xscale="log", yscale="log", xlim=line, ylim=line, aspect="equal")
            panel.set(xlabel=f"measured ({unit})", ylabel=f"simulated ({unit})")
            panel.legend(frameon=False, loc="upper left")
        try:
            figure.savefig(path, dpi=150, metadata={"Software": None})
        except OSError as error:
            raise ArgumentError(Diagnostic(f"cannot be written: {error.strerror or error}", str(path))) from None
