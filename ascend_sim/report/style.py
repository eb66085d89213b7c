"""How all figures look: colours that colour-blind readers tell apart, and files that come out the same every time."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from ascend_sim.errors import ArgumentError, Diagnostic
from ascend_sim.report.files import write_bytes

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
"""Okabe and Ito's colours (https://jfly.uni-koeln.de/color/), in an order in which neighbours differ in grey, too."""
NEUTRAL = "#8C8C8C"
"""For what belongs to no series."""
HATCHES = ("", "////", "----", "xxxx", "\\\\\\\\", "||||", "++++")
"""A second mark for each colour of the palette, for grey print, where a figure needs it."""
FORMATS = ("png", "svg", "pdf")

SLACK = 1.05
"""By how much wider than measured a text may become when it is drawn."""
_MEASURED = 100.0
"""Points at which widths are measured: so large that hints for pixels do not matter."""

Colour = tuple[float, float, float]

_UNDATED = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def look(number: int) -> tuple[Colour, str]:
    """The colour and the hatch of series *number*; no two of the first 49 look alike."""
    turn, place = divmod(number, len(PALETTE))
    return to_rgb(PALETTE[place]), HATCHES[(place + turn) % len(HATCHES)]


def tint(colour: str | Colour, share: float) -> Colour:
    """*colour* thinned with white to *share* of itself."""
    red, green, blue = (1 - share * (1 - part) for part in to_rgb(colour))
    return red, green, blue


def ink_on(colour: str | Colour) -> str:
    """Black or white, whichever is easier to read on *colour* (relative luminance as in WCAG 2)."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if luminance > 0.18 else "white"


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Points that *text* is wide in the font of figures at *size* points.

    In pixels letters are moved to whole ones: at 180 dpi texts are up to 4 % wider or narrower than that.
    """
    return size / _MEASURED * _measured_width(text, weight)


@lru_cache(maxsize=4096)
def _measured_width(text: str, weight: str) -> float:
    font = get_font(findfont(FontProperties(weight=weight)))
    font.set_size(_MEASURED, 72)  # each time: the font is shared with whoever draws
    font.set_text(text)
    return float(font.get_width_height()[0] / 64)


def figure_bytes(figure: Figure, form: str, dpi: int = 150) -> bytes:
    """The content of *figure* as a file of format *form*, one of FORMATS: equal figures give equal bytes."""
    buffer = BytesIO()
    with mpl.rc_context({"svg.hashsalt": "ascend-sim", "svg.fonttype": "none", "pdf.fonttype": 42}):
        figure.savefig(buffer, format=form, dpi=dpi, metadata=_UNDATED[form])
    return buffer.getvalue()


def figure_format(path: Path) -> str:
    """The one of FORMATS that *path* ends with; raise an ArgumentError if it is none."""
    form = path.suffix.removeprefix(".").lower()
    if form not in FORMATS:
        known = ", ".join(f".{one}" for one in FORMATS)
        message = f"has no format that figures can be written in; end it with one of {known}"
        raise ArgumentError(Diagnostic(message, str(path)))
    return form


def write_figure(path: Path, figure: Figure, dpi: int = 150) -> None:
    """Write *figure* to *path* in the format of its suffix; raise an ArgumentError if that is none of FORMATS."""
    write_bytes(path, figure_bytes(figure, figure_format(path), dpi))
