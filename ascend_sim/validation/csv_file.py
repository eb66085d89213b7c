"""CSV files: their lines, their numbers, and what to say about words that are none of those known."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from ascend_sim.errors import ArgumentError, Diagnostic

Lines = list[tuple[int, list[str]]]
"""The number of a line of the file, from 1, and its values."""
LARGEST = 1e15
"""Numbers above this, or below its reciprocal, are taken for slips of the pen."""
SEPARATORS = {";": "semicolons", "\t": "tabs"}
"""What other programs write instead of commas."""
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def read_lines(path: Path) -> Lines:
    """The lines of a CSV file that are not empty; the first of them names the columns.

    Raise an ArgumentError if it cannot be read, is no text or holds nothing.
    """
    reader = None
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, cells) for cells in reader if cells]
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}; write the path of a CSV file"
        raise ArgumentError(Diagnostic(message, str(path))) from None
    except UnicodeDecodeError as error:
        message = f"is no CSV file in UTF-8: {error}; save it as such"
        raise ArgumentError(Diagnostic(message, str(path))) from None
    except csv.Error as error:
        line = None if reader is None else reader.line_num
        raise ArgumentError(Diagnostic(_malformed(str(error)), str(path), line)) from None
    if not lines:
        message = "is empty; the first line names the columns, see docs/accuracy.md"
        raise ArgumentError(Diagnostic(message, str(path)))
    return lines


def _malformed(error: str) -> str:
    """What is wrong in a line about which the reader of CSV says *error*."""
    unclosed = "a quote that is opened and not closed makes one value of all that follows; close it"
    if "field limit" in error:
        return f"a value has more than {csv.field_size_limit()} characters; {unclosed}, or write less"
    if "unexpected end" in error:
        return f"the file ends within a value; {unclosed}"
    return f"is no line of a CSV file: {error}; save the table as CSV in UTF-8"


def separated_otherwise(cells: Sequence[str]) -> str | None:
    """What to say about a line whose *cells* are one, since something else than commas separates them; None if not."""
    if len(cells) != 1:
        return None
    found = [name for separator, name in SEPARATORS.items() if separator in cells[0]]
    if not found:
        return None
    return f"{found[0]} separate the values, but commas must; save the table with commas, and with points in numbers"


def number(text: str) -> float | str:
    """The number above 0 that *text* is, or what is wrong with it."""
    if not _NUMBER.fullmatch(text) or not (value := float(text)) > 0:
        return f"'{text}' is no number above 0; write one, without its unit and without separators of thousands"
    if not 1 / LARGEST <= value <= LARGEST:
        if value > 1:
            return f"{text} is too large; the largest number is {LARGEST:g}"
        return f"{text} is too small; the smallest number is {1 / LARGEST:g}"
    return value


def meant(word: str, known: Iterable[str]) -> str | None:
    """The one of *known* that looks most like *word*, in whichever case; None if none does."""
    folded = {one.casefold(): one for one in known}
    near = get_close_matches(word.casefold(), folded, n=1)
    return folded[near[0]] if near else None


def near(word: str, known: Sequence[str]) -> str:
    """The end of a sentence about a *word* that is none of *known*."""
    found = meant(word, known)
    hint = f"; did you mean '{found}'?" if found else "; write one of these instead:"
    return f"{hint} ({', '.join(known)})"


def counted(count: int, thing: str) -> str:
    """*count* and *thing*, such as "1 row" and "2 rows"."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
