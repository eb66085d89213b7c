"""The slices of a trace: when each instruction is drawn, and the text of its event.

Perfetto keeps whole nanoseconds, which are longer than a cycle, and shows a slice of no length inside the next one. So
each slice has a nanosecond at least; in a row of instructions of one cycle each those behind are late by as much, until
a longer one makes up for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ascend_sim.isa.words import Pipe
from ascend_sim.observe.facts import BARRIER, CROSS_SET, CROSS_WAIT, PIPES, SET, WAIT, TemplateFacts, Words
from ascend_sim.observe.timeline import LANES, CoreTimeline
from ascend_sim.report.operands import OperandText

_COLOURS = {
    Pipe.S: "startup", Pipe.V: "cq_build_failed", Pipe.M: "background_memory_dump", Pipe.MTE1: "thread_state_running",
    Pipe.MTE2: "thread_state_iowait", Pipe.MTE3: "rail_response", Pipe.FIX: "thread_state_unknown",
}  # fmt: skip
_FLAG_COLOURS = {SET: "black", WAIT: "yellow", CROSS_SET: "black", CROSS_WAIT: "yellow"}
"""Flags have these instead, and are drawn as the vendor does: a begin and an end with an id."""

_PIECE = 1024
"""Instructions whose text is made at once."""


@dataclass(frozen=True, eq=False)
class Placed:
    """Where the instructions of a core are drawn: from *begins* to *ends* in ns, those that are *shown*."""

    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    shown: NDArray[np.bool_]


def placed(core: CoreTimeline, pairs: NDArray[np.int64], cycle_ns: float, begin: float, end: float) -> Placed:
    """Place the instructions of *core*; those that overlap with *begin* to *end* (ns) are shown.

    An instruction is drawn while it holds its pipe, a wait_flag while it blocks it; a set_flag and a barrier are one
    cycle wide at their end. Slices of a pipe do not overlap, and a wait ends no earlier than the set_flag that releases
    it: *pairs* has the indices of both, a row each.
    """
    kinds, frees = core.kinds, core.frees
    marks = (kinds == SET) | (kinds == CROSS_SET) | (kinds == BARRIER)
    starts = np.where(marks, np.maximum(core.starts, frees - 1), core.starts)
    begins = np.rint(starts * cycle_ns).astype(np.int64)
    ends = np.rint(frees * cycle_ns).astype(np.int64)
    setters, waits = pairs.T
    while True:
        for lane in filter(len, map(core.positions, PIPES)):
            # An end is 1 ns or more behind its begin and the end before it; less 1 ns for each before it, a maximum.
            turns = np.arange(lane.size)
            ends[lane] = np.maximum.accumulate(np.maximum(ends[lane], begins[lane] + 1) - turns) + turns
            begins[lane[1:]] = np.maximum(begins[lane[1:]], ends[lane[:-1]])
        early = ends[waits] < ends[setters]
        if not early.any():
            return Placed(begins, ends, (begins < end) & (ends > begin))
        ends[waits[early]] = ends[setters[early]]


class SliceText:
    """Makes the text of slices, with operands as *operands* reads them.

    A template is executed many times, by many cores; all of its text but for a few numbers is made once.
    """

    def __init__(self, operands: OperandText) -> None:
        self._operands = operands
        self._forms = lru_cache(maxsize=64)(_forms)  # a bound on the memory, and room for a large kernel

    def of(self, core: CoreTimeline, process: str, at: Placed) -> Iterator[str]:
        """The events of *core*, called *process*, in program order: some lines at a time, without the last comma."""
        bounds, turns = core.call_starts.tolist(), core.turns.tolist()
        for call, facts in enumerate(core.calls):
            for first in range(bounds[call], bounds[call + 1], _PIECE):
                last = min(first + _PIECE, bounds[call + 1])
                shown = at.shown[first:last]
                if shown.any():
                    offset = first - bounds[call]
                    forms = self._forms(facts, offset, offset + last - first)
                    yield ",\n".join(self._lines(forms, process, turns[call], core.bases[call], at, first, last))

    def _lines(
        self, forms: _Forms, process: str, task: int, bases: tuple[int, ...], at: Placed, first: int, last: int
    ) -> Iterator[str]:
        details = forms.details
        if forms.moving:
            details = details.copy()
            for position, words in forms.moving:
                details[position] = json.dumps(self._operands.of(words.operands, bases))
        begins, ends = at.begins[first:last], at.ends[first:last]
        columns = (begins / 1e3).tolist(), (ends / 1e3).tolist(), ((ends - begins) / 1e3).tolist()
        rows = zip(range(first, last), at.shown[first:last].tolist(), forms.texts, details, *columns, strict=True)
        for index, shown, (flag, text), detail, begin, end, duration in rows:
            if not shown:
                continue
            if flag:
                yield text % (process, index, begin, detail, task, process, index, end)
            else:
                yield text % (process, begin, duration, detail, task)


@dataclass(frozen=True)
class _Forms:
    """The text of a piece of a template: for each instruction whether it is a flag, and its text with blanks.

    *details* are its operands as JSON, but for those *moving* ones that depend on the call.
    """

    texts: list[tuple[bool, str]]
    details: list[str]
    moving: list[tuple[int, Words]]


def _forms(facts: TemplateFacts, first: int, last: int) -> _Forms:
    """The forms of the instructions from *first* to *last* of a template."""
    words = facts.words[first:last]
    kinds, pipes = facts.kinds[first:last].tolist(), facts.pipes[first:last].tolist()
    texts = [_form(facts.name, *one) for one in zip(words, kinds, pipes, strict=True)]
    details = ["" if one.operands.windows else json.dumps(one.operands.text.format()) for one in words]
    return _Forms(texts, details, [(position, one) for position, one in enumerate(words) if one.operands.windows])


def _form(stage: str, words: Words, kind: int, pipe: int) -> tuple[bool, str]:
    """Whether an instruction is a flag, and the text of its event: two of them for a flag."""
    flag, name, lane = kind in _FLAG_COLOURS, _quoted(words.spelling), LANES[PIPES[pipe]]
    colour = _FLAG_COLOURS.get(kind, _COLOURS[PIPES[pipe]])
    where = f'"pid":"%s","tid":"{lane}"'
    about = f'"args":{{"code":{_quoted(words.where)},"detail":%s,"process_bytes":{words.moved},'
    about += f'"stage":{_quoted(stage)},"task":%d}}'
    if not flag:
        return False, f'{{"ph":"X","name":{name},"cname":"{colour}",{where},"ts":%s,"dur":%s,{about}}}'
    begin = f'{{"ph":"B","name":{name},"cname":"{colour}",{where},"id":%d,"ts":%s,{about}}}'
    return True, f'{begin},\n{{"ph":"E","name":{name},{where},"id":%d,"ts":%s}}'


def _quoted(text: Any) -> str:
    """*text* as JSON, to be filled in by the operator %."""
    return json.dumps(text).replace("%", "%%")
