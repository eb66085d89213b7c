"""recording.npz: a run in a file, so that it can be drawn and explained later, without its program.

The archive holds the times of every instruction of every simulated core, what held it up, what shared bandwidth cost
its moves, and for each template of instructions what they are called and what they ask for. Times are kept as
differences, which are small and compress well.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ascend_sim.config import Chip
from ascend_sim.errors import ArgumentError, Diagnostic
from ascend_sim.isa.words import CoreKind, Pipe, Space
from ascend_sim.kernel.program import CoreId, TensorDeclaration
from ascend_sim.numerics import DTYPES
from ascend_sim.observe.facts import Operands, TemplateFacts, Window, Words
from ascend_sim.observe.timeline import CoreTimeline, CoreTotals, MoveLimits, Recording

NAME = "recording.npz"
SCHEMA = "ascend-sim/recording/1"

_ARRAYS = ("kinds", "pipes", "hold", "latency", "head", "tile", "release", "peer", "flag")
_DAMAGED = (
    OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, NotImplementedError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip
"""What reading a file can end with if its bytes are not those that were written."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of all members of the archive: equal runs give equal files."""


def recording_bytes(recording: Recording) -> bytes:
    """The content of recording.npz for *recording*."""
    templates: dict[TemplateFacts, int] = {}
    arrays: dict[str, NDArray[Any]] = {}
    cores = []
    for core in recording.cores:
        calls = [templates.setdefault(facts, len(templates)) for facts in core.calls]
        arrays |= {f"core{core.number}.{name}": array for name, array in _core_arrays(core, calls).items()}
        cores.append(
            {"id": _id(core.id), "members": [_id(one) for one in core.members], "totals": asdict(core.totals)}
        )
    for number, limits in enumerate(recording.limited or ()):
        arrays[f"core{number}.limits"] = _small(np.stack([limits.index, limits.l2, limits.hbm, limits.tile]))
    arrays["lengths"] = np.array([facts.kinds.size for facts in templates], dtype=np.int32)
    for name in _ARRAYS:
        parts = [getattr(facts, name) for facts in templates]
        arrays[f"templates.{name}"] = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
    content = {
        "schema": SCHEMA,
        "program": recording.program,
        "chip": recording.chip.model_dump(mode="json"),
        "cycles": recording.cycles,
        "launch_cycles": recording.launch_cycles,
        "limited": recording.limited is not None,
        "tensors": [asdict(one) | {"dtype": one.dtype.name} for one in recording.tensors],
        "cores": cores,
        "templates": [_template_json(facts) for facts in templates],
    }
    return _archive(json.dumps(content, separators=(",", ":")), arrays)


def read_recording(path: Path) -> Recording:
    """Read a recording.npz; raise an ArgumentError if it is none, or of a version that is not known here."""
    try:
        archive = np.load(_zip_of(path), allow_pickle=False)
        content = json.loads(bytes(archive["content"]))
        if content.get("schema") != SCHEMA:
            message = f"is a recording of schema {content.get('schema')!r}, and {SCHEMA!r} is known here; run again"
            raise ArgumentError(Diagnostic(message, str(path)))
        return _FromFile(path, archive, content)
    except FileNotFoundError:
        message = "there is no recording; write it with `ascend-sim run CONFIG --out DIR`"
        raise ArgumentError(Diagnostic(message, str(path))) from None
    except _DAMAGED as error:
        message = f"cannot be read as a recording ({_first_line(error)}); run again with --out"
        raise ArgumentError(Diagnostic(message, str(path))) from None


class _FromFile(Recording):
    """A recording whose cores are read from *archive* when they are asked for."""

    def __init__(self, path: Path, archive: Any, content: dict[str, Any]) -> None:
        tensors = [
            TensorDeclaration(one["name"], one["role"], tuple(one["shape"]), DTYPES[one["dtype"]], one["address"])
            for one in content["tensors"]
        ]
        self._path, self._archive, self._entries = path, archive, content["cores"]
        limited = [self._limits(number) for number in range(len(self))] if content["limited"] else None
        chip = Chip.model_validate(content["chip"])
        super().__init__(content["program"], chip, content["cycles"], content["launch_cycles"], tensors, limited)
        self._templates = _templates(content["templates"], archive)

    def __len__(self) -> int:
        return len(self._entries)

    def _limits(self, number: int) -> MoveLimits:
        return MoveLimits(*self._archive[f"core{number}.limits"].astype(np.int64))

    def _open(self, number: int) -> CoreTimeline:
        entry = self._entries[number]
        try:
            part = {name: self._archive[f"core{number}.{name}"] for name in _CORE_ARRAYS}
        except _DAMAGED as error:
            message = f"core {number} cannot be read ({_first_line(error)}); run again with --out"
            raise ArgumentError(Diagnostic(message, str(self._path))) from None
        dispatched = np.cumsum(part["dispatched"], dtype=np.int64)
        starts = dispatched + part["starts"]
        links = part["links"].tolist()
        calls = [self._templates[template] for template in part["calls"].tolist()]
        bases, used = part["bases"].tolist(), 0
        of_calls = []
        for count in part["base_counts"].tolist():
            of_calls.append(tuple(bases[used : used + count]))
            used += count
        return CoreTimeline(
            number,
            _core_id(entry["id"]),
            tuple(_core_id(one) for one in entry["members"]),
            (dispatched, starts, starts + part["ends"]),
            {index: (core, setter) for index, core, setter in links},
            calls,
            of_calls,
            CoreTotals(**entry["totals"]),
        )


_CORE_ARRAYS = ("calls", "base_counts", "bases", "dispatched", "starts", "ends", "links")


def _core_arrays(core: CoreTimeline, calls: Sequence[int]) -> dict[str, NDArray[Any]]:
    links = [(index, *link) for index, link in core.links.items()]
    return {
        "calls": np.array(calls, dtype=np.int32),
        "base_counts": np.array([len(one) for one in core.bases], dtype=np.int32),
        "bases": _small(np.array([base for one in core.bases for base in one], dtype=np.int64)),
        "dispatched": _small(np.diff(core.dispatched, prepend=0)),
        "starts": _small(core.starts - core.dispatched),
        "ends": _small(core.ends - core.starts),
        "links": _small(np.array(links, dtype=np.int64).reshape(-1, 3)),
    }


def _small(array: NDArray[np.int64]) -> NDArray[Any]:
    """*array* in 32 bits where they suffice."""
    limit = np.iinfo(np.int32)
    fits = not array.size or (int(array.min()) >= limit.min and int(array.max()) <= limit.max)
    return array.astype(np.int32) if fits else array


def _archive(content: str, arrays: dict[str, NDArray[Any]]) -> bytes:
    buffer = BytesIO()
    members = {"content": np.frombuffer(content.encode(), dtype=np.uint8), **arrays}
    # The fastest compression: the differences are mostly small numbers, and more effort gains little.
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in members.items():
            member = BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _EPOCH), member.getbuffer(), zipfile.ZIP_DEFLATED, 1)
    return buffer.getvalue()


def _template_json(facts: TemplateFacts) -> dict[str, Any]:
    return {
        "name": facts.name,
        "words": [_words_json(one) for one in facts.words],
        "moved": [[source.value, destination.value, count] for (source, destination), count in facts.moved.items()],
        **{name: {pipe.name: one for pipe, one in getattr(facts, name).items()} for name in _BY_PIPE},
    }


_BY_PIPE = ("issued", "moves", "heads", "flows")


def _words_json(words: Words) -> list[Any]:
    windows = [list(asdict(one).values()) for one in words.operands.windows]
    return [words.mnemonic, words.spelling, words.where, words.operands.text, windows, words.moved]


def _templates(entries: Iterable[dict[str, Any]], archive: Any) -> list[TemplateFacts]:
    columns = {name: archive[f"templates.{name}"] for name in _ARRAYS}
    found, begin = [], 0
    for entry, length in zip(entries, archive["lengths"].tolist(), strict=True):
        part = slice(begin, begin + length)
        begin += length
        issued, moves, heads, flows = (
            {Pipe[pipe]: one for pipe, one in entry[name].items()} for name in _BY_PIPE
        )
        found.append(
            TemplateFacts(
                name=entry["name"],
                describe=partial(_words, entry["words"]),
                **{name: column[part] for name, column in columns.items()},
                moved={(Space(source), Space(target)): count for source, target, count in entry["moved"]},
                issued=issued,
                moves=moves,
                heads=heads,
                flows=flows,
            )
        )
    return found


def _words(entries: Iterable[list[Any]]) -> tuple[Words, ...]:
    return tuple(
        Words(mnemonic, spelling, where, Operands(text, tuple(_window(*one) for one in windows)), moved)
        for mnemonic, spelling, where, text, windows, moved in entries
    )


def _window(
    name: str, dtype: str, element_bytes: int, shape: list[int], pitch: int, offset: int, parameter: int | None
) -> Window:
    return Window(name, dtype, element_bytes, tuple(shape), pitch, offset, parameter)


def _id(core: CoreId) -> list[Any]:
    return [core.die, core.group, core.kind.value, core.sub]


def _core_id(entry: list[Any]) -> CoreId:
    die, group, kind, sub = entry
    return CoreId(die, group, CoreKind(kind), sub)


def _zip_of(path: Path) -> BytesIO:
    content = BytesIO(path.read_bytes())
    if not zipfile.is_zipfile(content):
        raise ValueError("it is no archive, or cut short")
    content.seek(0)
    return content


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
