"""What people read: the summary at 80 columns, and the listing."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from outcomes import SMALL, outcome
from rich.console import Console

from ascend_sim.config import load_run
from ascend_sim.isa.words import CoreKind
from ascend_sim.report import progress
from ascend_sim.report.listing import listing
from ascend_sim.report.result import RunResult
from ascend_sim.report.summary import print_summary
from ascend_sim.simulate import simulate


def summary(result: RunResult, name: str, *, encoding: str = "utf-8") -> list[str]:
    """The lines of the summary of *result*, a run of the bundled *name*, as a pipe gets them."""
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding=encoding)
    print_summary(result, outcome(name).statistics, Console(file=stream, highlight=False, width=80))
    stream.flush()
    return buffer.getvalue().decode(encoding).splitlines()


def test_the_summary_fits_80_columns_without_colours() -> None:
    """In a pipe no line is longer than 80, none ends with blanks, and there are no control characters."""
    warning = "a warning " * 20
    lines = summary(replace(outcome("amla_small").result, warnings=[warning]), "amla_small")

    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line != line.rstrip()] == []
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", "".join(lines))


def test_the_summary_says_what_the_result_says() -> None:
    """Title with cores, time and cycles, rate, utilisation, pipes of both kinds, memory, bound."""
    result = outcome("amla_small").result
    text = "\n".join(summary(result, "amla_small"))

    assert text.startswith("amla on ascend910c  2 cube and 4 vector cores\n")
    assert f"({result.cycles:,} cycles)" in text
    assert f"{result.tflops:.4g} TFLOPS of 707.8" in text
    assert re.search(rf"^aic_cube .* {100 * result.pipes['aic_cube_ratio']:.1f} %$", text, re.MULTILINE)
    assert re.search(r"^aiv_vec ", text, re.MULTILINE)
    assert f"bound by      {result.bound_by}" in text
    assert re.search(r"^numbers +not computed$", text, re.MULTILINE)


def test_pipes_of_cores_without_work_are_left_out() -> None:
    """A GEMM has no rows for vector cores."""
    lines = summary(outcome("gemm_small").result, "gemm_small")

    assert not [line for line in lines if line.startswith("aiv_")]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (1e-4, "relative error 1.00e-04, within 0.002, against r.py"),
        (0.5, "relative error 5.00e-01, above 0.002, against r.py"),
        (None, "NaN or infinite values; compared with r.py"),
    ],
)
def test_the_summary_judges_the_numbers(error: float | None, words: str) -> None:
    """Right, wrong and not even numbers."""
    numerics = {"reference": "r.py", "relative_error": error, "max_abs_error": error, "tolerance": 2e-3}
    text = "\n".join(summary(replace(outcome("gemm_small").result, numerics=numerics), "gemm_small"))

    assert words in text


def test_the_summary_does_without_unicode() -> None:
    """Bars are drawn in ASCII where the output knows nothing else."""
    lines = summary(outcome("gemm_small").result, "gemm_small", encoding="ascii")

    assert any(re.match(r"aic_cube +#+\.+ ", line) for line in lines)


def test_the_listing_shows_tensors_buffers_and_instructions() -> None:
    """Addresses, sizes against capacities, stages, windows as slices of tensors, and the user's lines."""
    program = outcome("gemm_small", "problem.m=256", "problem.n=512", "problem.k=256", "launch.blocks=1").program
    text = "\n".join(listing(program, (CoreKind.AIC,), 10_000))

    assert re.search(r"^  b +input +0x0000020000 +262,144 B  bf16  256 x 512$", text, re.MULTILINE)
    assert re.search(r"^  aic L0C +131,072 of +131,072 B \(100 %\)", text, re.MULTILINE)
    assert "call 1: tile_of_c" in text
    assert re.search(r"MTE2  data_copy +b_l1\[1\]\[0:256,0:256\]:bf16, b\[0:256,256:512\]:bf16  \(gemm.py:\d+\)", text)
    assert "more instructions" not in text


def test_the_listing_stops_at_the_limit() -> None:
    """The last line says how many instructions are left out, and how to see them."""
    program = outcome("amla_small").program
    lines = list(listing(program, (CoreKind.AIV,), 12))
    length = next(stream.length for stream in program.streams if stream.core.kind is CoreKind.AIV)

    assert sum(bool(re.match(r" +\d+  [A-Z]", line)) for line in lines) == 12
    assert lines[-1] == f"  ... {length - 12:,} more instructions; --limit {length} shows all"
    assert not [line for line in lines if line.startswith("cube core")]


def test_reinterpreted_windows_are_listed_as_bytes() -> None:
    """A window that is no slice of its tensor in the tensor's own format keeps its place and shape."""
    program = outcome("amla_small").program
    text = "\n".join(listing(program, (CoreKind.AIV,), 10_000))

    assert re.search(r"data_copy +o\[\d+:\d+,0:128\]:int32, n_out", text)


@pytest.mark.parametrize(("patience", "shown"), [(0.0, True), (60.0, False)])
def test_only_long_runs_show_their_progress(monkeypatch: pytest.MonkeyPatch, patience: float, shown: bool) -> None:
    """The bar appears once a run has lasted longer than the patience, and is taken away at the end."""
    monkeypatch.setattr(progress, "PATIENCE", patience)
    screen = io.StringIO()
    bar = progress.ProgressBar(Console(file=screen, force_terminal=True, width=80))
    simulate(load_run("amla_small", SMALL["amla_small"]), data=False, observers=[bar])
    bar.close()

    assert ("simulating" in screen.getvalue()) is shown
    assert screen.getvalue().endswith("\x1b[2K") is shown
