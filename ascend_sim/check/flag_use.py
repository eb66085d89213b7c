"""Flags that some order of events would misuse: set while set, counted past the end, never waited for.

A set_flag is safe if the wait for the set before it is certain to have passed; a cross-core set if so few are certain
to be outstanding that its counter holds them. As with races, it does not matter what happened in one run.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator

from ascend_sim.check.finding import Finding, Findings
from ascend_sim.check.order import Clock, Signal
from ascend_sim.config import Chip
from ascend_sim.engine.lowering import CROSS_WAIT, PIPES, flag_name
from ascend_sim.engine.untimed import Core, Step, Untimed
from ascend_sim.isa.source import SourceLine
from ascend_sim.isa.words import CoreKind
from ascend_sim.kernel.ring import RingWaitFlag

Route = tuple[int, int, int, int]
"""A cross-core flag from one core to another: (sender, receiver, flag, mode)."""


class FlagUse:
    """Follows the flags of all cores; *places* has for each core and pipe its place in the clocks."""

    def __init__(self, machine: Untimed, chip: Chip, places: list[list[int]]) -> None:
        self.findings = Findings()
        self._machine = machine
        self._limit = chip.sync.cross_core_counter_max.value
        self._places = places
        self._last_wait: dict[tuple[int, int], tuple[int, Step]] = {}
        self._sent: dict[Route, int] = defaultdict(int)
        self._taken: dict[Route, list[int]] = defaultdict(list)
        self._waits: dict[SourceLine, list[int]] = defaultdict(lambda: [0, 0])
        self._last_cross: dict[tuple[int, int], tuple[int, int, Step]] = {}
        self._setters: dict[SourceLine, SourceLine] = {}

    def set(self, core: Core, step: Step, clock: Clock) -> None:
        """A set_flag with what its pipe knows when it is carried out."""
        number = step.operation[2]
        last = self._last_wait.get((core.number, number))
        waiting = core.flag(number)
        if not waiting:
            if last is None or clock[self._places[core.number][number % len(PIPES)]] >= last[0]:
                return
            instead = f"the wait at {last[1].instruction.where} for the set before it may not have passed"
        else:
            instead = f"nobody has waited for the set at {waiting[-1].step.instruction.where}"
        source, destination, flag = flag_name(number)
        where = step.instruction.where
        key = "set", where, number
        if not self.findings.again(key):
            message = (
                f"set_flag {source.value}->{destination.value}, id {flag}, can come while the flag is still set: "
                f"{instead}. The flag is one bit, so one set would be lost and its wait hang: let {source.value} wait "
                f"for a flag of {destination.value} first, or use another id (first on {core.id})"
            )
            self.findings.add(key, Finding("set-twice", message, where))

    def waited(self, core: Core, step: Step, number: int, signal: Signal, known: Clock) -> None:
        """A wait_flag, the instruction *number* of its pipe, takes *signal*; its pipe knew *known* before."""
        self._last_wait[core.number, step.operation[2]] = number, step
        if isinstance(step.instruction, RingWaitFlag):
            return  # a ring is written by its buffers; that one of its flags tells nothing new is nobody's mistake
        seen = self._waits[step.instruction.where]
        seen[0] += 1
        seen[1] += all(a <= b for a, b in zip(signal.clock, known, strict=True))
        self._setters[step.instruction.where] = signal.step.instruction.where

    def cross_set(self, core: Core, pipe: int, step: Step, clock: Clock) -> None:
        """A cross_core_set_flag with what its pipe knows when it is carried out."""
        _, _, flag, mode, _ = step.operation
        self._expect_one_order(core, pipe, step, clock)
        for receiver in self._machine.peers(core, mode):
            route = core.number, receiver.number, flag, mode
            self._sent[route] += 1
            passed = bisect_right(self._taken[route], clock[self._places[receiver.number][0]])
            outstanding = self._sent[route] - passed
            where = step.instruction.where
            key = "count", where, flag, mode
            if outstanding > self._limit and not self.findings.again(key):
                message = (
                    f"cross_core_set_flag {flag}, mode {mode}: {outstanding} sets can be outstanding at {receiver.id} "
                    f"when this one comes, for all that {core.id} knows; the counter holds {self._limit}: let this "
                    f"core wait for a flag of the other one at least every {self._limit} sets"
                )
                self.findings.add(key, Finding("flag-counter", message, where))

    def _expect_one_order(self, core: Core, pipe: int, step: Step, clock: Clock) -> None:
        """Report a cross-core flag that two pipes of a core set in no order: a wait could take either set."""
        _, _, flag, mode, _ = step.operation
        last = self._last_cross.get((core.number, flag))
        place = self._places[core.number][pipe]
        self._last_cross[core.number, flag] = pipe, clock[place], step
        if last is None or last[0] == pipe or clock[self._places[core.number][last[0]]] >= last[1]:
            return
        where, other = step.instruction.where, last[2].instruction
        key = "pipes", where, other.where
        if not self.findings.again(key):
            message = (
                f"cross_core_set_flag {flag}, mode {mode}, on {step.instruction.pipe.value} and on {other.pipe.value} "
                f"({other.where}) come in no fixed order: whoever waits cannot know which of them it has seen; use "
                f"another id for one of them, or let {step.instruction.pipe.value} wait for {other.pipe.value} first "
                f"(first on {core.id})"
            )
            self.findings.add(key, Finding("flag-pipes", message, where))

    def cross_waited(self, core: Core, step: Step, number: int, signals: list[Signal]) -> None:
        """A cross_core_wait_flag, the instruction *number* of the front end, takes *signals*."""
        _, _, flag, mode, _ = step.operation
        for signal in signals:
            self._taken[signal.core.number, core.number, flag, mode].append(number)

    def finish(self) -> None:
        """Look at what is left when everything has been carried out."""
        for core in self._machine.cores:
            for number, waiting in core.flags.items():
                if waiting:
                    self._never_waited(core, number, waiting[-1])
            for tile in core.tiles.values():
                if tile.finished:
                    self._never_drained(core, tile.finished[-1])
            self._disagreeing(core)
        self._one_flag_two_modes()

    def _never_waited(self, core: Core, number: int, signal: Signal) -> None:
        source, destination, flag = flag_name(number)
        where = signal.step.instruction.where
        key = "left", where, number
        if not self.findings.again(key):
            message = (
                f"set_flag {source.value}->{destination.value}, id {flag}, is never waited for; the next kernel would "
                f"find it set: add wait_flag(Pipe.{source.name}, Pipe.{destination.name}, {flag}), or remove the set "
                f"(first on {core.id})"
            )
            self.findings.add(key, Finding("never-waited-for", message, where))

    def _never_drained(self, core: Core, signal: Signal) -> None:
        """A tile of L0C that the hardware hands over has been finished, and nobody has taken it."""
        where = signal.step.instruction.where
        key = "tile", where
        if not self.findings.again(key):
            message = (
                f"mmad finishes a tile of a unit_flag buffer that no fixpipe drains; the next kernel would find it "
                f"full: write one fixpipe for each mmad with last=True (first on {core.id})"
            )
            self.findings.add(key, Finding("never-waited-for", message, where))

    def _disagreeing(self, core: Core) -> None:
        """Cross-core sets left over at *core*: of all senders, or of some that set the flag more often than others."""
        for (flag, mode), channels in core.channels.items():
            peers = self._machine.peers(core, mode)
            left = [(peer, channel) for peer, channel in zip(peers, channels, strict=True) if channel]
            if not left:
                continue
            peer, channel = left[0]
            where = channel[-1].step.instruction.where
            counts = [self._sent[one.number, core.number, flag, mode] for one in peers]
            key = "cross", where, flag, mode
            if self.findings.again(key):
                continue
            if len(set(counts)) > 1:
                each = ", ".join(f"{one.id} {_times(count)}" for one, count in zip(peers, counts, strict=True))
                role = "the cube core waits" if core.id.kind is CoreKind.AIC else "a wait counts"
                message = (
                    f"cross_core_set_flag {flag}, mode {mode}, is set by {each}; {role} until every one of them has "
                    f"set it: let all of them set it equally often"
                )
                self.findings.add(key, Finding("vector-cores-disagree", message, where))
            else:
                message = (
                    f"cross_core_set_flag {flag}, mode {mode}, of {peer.id} is set more often than {core.id} waits for "
                    f"it ({len(channel)} left); the next kernel would find it set: wait once for each set"
                )
                self.findings.add(key, Finding("never-waited-for", message, where))

    def _one_flag_two_modes(self) -> None:
        """A flag id has one counter whatever the mode, so two modes on a core mix their counts."""
        used: dict[tuple[int, int], dict[int, SourceLine]] = defaultdict(dict)
        for core in self._machine.cores:
            for flag, mode, where in _cross_waits(core):
                used[core.number, flag].setdefault(mode, where)
        for (_, flag), modes in used.items():
            if len(modes) > 1:
                (one, _), (other, where) = sorted(modes.items())[:2]
                key = "modes", where, flag
                if not self.findings.again(key):
                    message = (
                        f"cross-core flag {flag} is waited for in mode {one} and in mode {other} on one core, but each "
                        f"id has one counter: use another id for one of them"
                    )
                    self.findings.add(key, Finding("flag-modes", message, where))

    def redundant(self) -> Iterator[Finding]:
        """Hints: waits that have never told their pipe anything new."""
        for where, (count, useless) in self._waits.items():
            setter = self._setters[where]
            if count == useless and setter != where:
                message = (
                    f"this wait never adds anything: what the set at {setter} says is known already when it comes; the "
                    f"pair can go"
                )
                yield Finding("redundant-flag", message, where, error=False, places=count)


def _times(count: int) -> str:
    return {0: "never", 1: "once"}.get(count, f"{count} times")


def _cross_waits(core: Core) -> Iterator[tuple[int, int, SourceLine]]:
    """(flag, mode, line) of the cross-core waits in the templates of *core*."""
    pairs = zip(core.stream.calls, core.calls, strict=True)
    for template, lowered in {id(call.template): (call.template, lowered) for call, (lowered, _) in pairs}.values():
        for operation, instruction in zip(lowered.operations, template.instructions, strict=True):
            if operation[0] == CROSS_WAIT:
                yield operation[2], operation[3], instruction.where
