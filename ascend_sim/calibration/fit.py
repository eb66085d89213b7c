"""Which figures of a chip a table of measurements determines, and their values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np

from ascend_sim.calibration.checks import TOLERANCE, contradictions, device, expect_usable, places
from ascend_sim.calibration.instructions import fit_isolated, fit_issue, fit_vector
from ascend_sim.calibration.laws import Figures, cycles, limit_of, path_of, vector_key
from ascend_sim.calibration.moves import GM_READS, UnfitError, fit_die, fit_misses, fit_path, rounded
from ascend_sim.config import Chip
from ascend_sim.config.figure import Standing
from ascend_sim.errors import ArgumentError, Diagnostic
from ascend_sim.validation.data import KernelRun, MatrixOperation, Movement, Role, Row, VectorOperation

Fit = Callable[[Figures, Sequence[Row]], Mapping[str, float]]


@dataclass(frozen=True)
class Evidence:
    """The *rows* that figures were fitted on, and how well the law with these figures gives them.

    *errors* are the magnitudes of the relative errors; *left_out* those of each row for a fit on all others, for the
    rows that can be left out. *doubts* are the contradictions among the rows.
    """

    rows: tuple[Row, ...]
    errors: tuple[float, ...]
    left_out: tuple[float, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def span(self) -> str:
        """The range of the sizes, such as "1..512 KiB"."""
        sizes = sorted({one.experiment.kib for one in self.rows if isinstance(one.experiment, Movement)})
        if not sizes:
            return ""
        return f"{sizes[0]} KiB" if len(sizes) == 1 else f"{sizes[0]}..{sizes[-1]} KiB"

    @property
    def source(self) -> str:
        """Who measured the rows."""
        return "; ".join(dict.fromkeys(row.source for row in self.rows))

    @property
    def devices(self) -> str:
        """The chips that the tables name, such as "910b1"."""
        return ", ".join(dict.fromkeys(map(device, self.rows)))

    def note(self) -> str:
        """The evidence in words."""
        span = f" of {self.span}" if self.span else ""
        count = f"{len(self.rows)} row{'s' if len(self.rows) > 1 else ''}"
        errors = f"median error {median(self.errors):.1%}, at most {max(self.errors):.1%}"
        text = f"fit{span} on {self.devices}, {count}; {errors}"
        text += f"; leave-one-out {median(self.left_out):.1%}" if self.left_out else ""
        return "; ".join([text.replace("%", " %"), *self.doubts])


@dataclass(frozen=True)
class Fitted:
    """The figure *key* of the chip, which was *before* and is *after*; *remark* is what its note says besides."""

    key: str
    before: float
    after: float
    evidence: Evidence
    standing: Standing = "calibrated"
    remark: str = ""

    def note(self) -> str:
        """What the chip file says about the value."""
        if self.standing == "derived":
            return self.remark
        return f"{self.evidence.note()}; {self.remark}" if self.remark else self.evidence.note()


@dataclass(frozen=True)
class Calibration:
    """The *figures* of *chip* that were fitted, the errors of other rows by group, and what there is to say."""

    chip: Chip
    figures: tuple[Fitted, ...]
    checks: Mapping[str, tuple[float, ...]]
    unreproducible: int
    remarks: tuple[str, ...]


def calibrate(chip: Chip, rows: Sequence[Row]) -> Calibration:
    """Fit what *rows* determine of the figures of *chip*; the device that a row names does not matter.

    Raise an ArgumentError with every row that cannot be used, with every part of the tables that no figures follow
    from, at its first line, or if all of them follow from nothing or are as they were.
    """
    kernels = {row.place.file: row for row in rows if isinstance(row.experiment, KernelRun)}
    if kernels:
        message = "whole kernels determine no single figure; compare with them by `ascend-sim validate --data` instead"
        raise ArgumentError([Diagnostic(message, row.place.file, row.place.line) for row in kernels.values()])
    own = [row for row in rows if row.role is Role.CALIBRATION]
    if not own:
        message = "no row has the role calibration, so there is nothing to fit; write it in the column 'role'"
        raise ArgumentError(Diagnostic(message, rows[0].place.file if rows else None))
    expect_usable(chip, rows)
    return _Calibrator(chip).carried_out(own, rows)


class _Calibrator:
    """Fits group after group of rows; later groups build on the figures of earlier ones."""

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self.figures = Figures(chip)
        self.fitted: dict[str, Fitted] = {}
        self.remarks: list[str] = []
        self.faults: list[Diagnostic] = []
        self.failed: set[str] = set()
        self.mixed: dict[str, list[str]] = {}

    def carried_out(self, own: Sequence[Row], rows: Sequence[Row]) -> Calibration:
        """The calibration on the rows *own* out of all *rows*."""
        used = [*self._paths(own), *self._misses(own), *self._dies(own), *self._matrix(own), *self._vector(own)]
        if self.faults:
            raise ArgumentError(self.faults)
        self.remarks += [
            f"warning: rows of several devices ({devices}) are taken as those of one: {', '.join(names)}"
            for devices, names in self.mixed.items()
        ]
        if not self.fitted:
            reasons = "; ".join(remark.removeprefix("warning: ") for remark in self.remarks)
            message = f"no figure follows from these rows: {reasons}; nothing is written"
            raise ArgumentError(Diagnostic(message, own[0].place.file))
        taken = {id(row) for row in used}
        checks: dict[str, tuple[float, ...]] = {}
        for row in rows:
            if row.role is not Role.UNREPRODUCIBLE and id(row) not in taken:
                name = row.group if row.suite != "vector" else row.name
                checks[name] = (*checks.get(name, ()), self._error(self.figures, row))
        left = sum(row.role is Role.UNREPRODUCIBLE for row in rows)
        return Calibration(self.chip, tuple(self.fitted.values()), checks, left, tuple(self.remarks))

    def _paths(self, own: Sequence[Row]) -> Iterator[Row]:
        """Head, rate, least and sustained rate of each path that was measured on one core."""
        groups = _moves(own, lambda one: one.cores == 1 and one.data != "hbm")
        self.failed = {path for path, rows in groups.items() if not self._fit(f"paths.{path}", fit_path, rows)}
        yield from (row for rows in groups.values() for row in rows)
        if "gm_to_l1" in groups.keys() - self.failed and "gm_to_l1_nz" not in groups:
            for name in ("head_cycles", "min_cycles"):
                self._derive(f"paths.gm_to_l1_nz.{name}", f"paths.gm_to_l1.{name}", "as gm_to_l1")

    def _misses(self, own: Sequence[Row]) -> Iterator[Row]:
        """The cost of a miss, and the rate of misses of each path from global memory."""
        groups = self._on_fitted(_moves(own, lambda one: one.cores == 1 and one.data == "hbm"))
        rows = [row for group in groups.values() for row in group]
        found = self._found("moves from hbm", fit_misses, rows) if rows else {}
        if not found:
            return
        self._adopt(found, partial(fit_misses, nearby=True), rows, groups)
        yield from rows
        rates = {path: self.figures[f"paths.{path}.bytes_per_cycle"] for path in GM_READS}
        misses = {path: self.figures[f"paths.{path}.miss_bytes_per_cycle"] for path in groups}
        slowdown = float(np.exp(np.mean([np.log(rates[path] / misses[path]) for path in groups])))
        evidence = self.fitted["l2.miss_extra_cycles"].evidence
        named = " and ".join(groups)
        for path in GM_READS:
            if path not in groups and path != "gm_to_l1_nz":
                remark = f"slower by the factor {slowdown:.3g} of {named}"
                self._set(f"paths.{path}.miss_bytes_per_cycle", rounded(rates[path] / slowdown), evidence, remark)
        if "gm_to_l1_nz" not in groups:
            # What is rearranged behind the memory comes from it as fast as what is not.
            key = "paths.{}.miss_bytes_per_cycle"
            self._derive(key.format("gm_to_l1_nz"), key.format("gm_to_l1"), "as gm_to_l1")

    def _dies(self, own: Sequence[Row]) -> Iterator[Row]:
        """The rates of L2, which several cores share."""
        groups = self._on_fitted(_moves(own, lambda one: one.cores > 1 and one.data == "l2"))
        limits = {path: limit_of(path) for path in groups}
        for limit in dict.fromkeys(limits.values()):
            rows = [row for path, group in groups.items() if limits[path] == limit for row in group]
            free = self.figures.updated({limit: float("inf")})
            if self._fit(limit, fit_die, rows):
                yield from rows
                far = [row for row in rows if self._error(self.figures, row) > TOLERANCE]
                if far:
                    self.remarks.append(
                        f"warning: {limit}: {self.figures[limit]:g} does not explain {len(far)} of {len(rows)} rows "
                        f"({places(far)}); check them, or measure them again"
                    )
                continue
            slow = [row for row in rows if row.measured > (1 + TOLERANCE) * cycles(free, row.experiment)]
            if slow:
                most = max(row.measured / cycles(free, row.experiment) for row in slow)
                self.remarks.append(
                    f"warning: {limit}: not fitted, no single rate explains the rows: {len(slow)} of {len(rows)} "
                    f"take up to {most:.1f} times what the paths alone do ({places(slow)}); check them, or measure "
                    f"them again"
                )
            else:
                self.remarks.append(
                    f"{limit}: not fitted, several cores are as fast as the paths alone (rows: {len(rows)}), so that "
                    f"nothing binds; measure more cores or larger moves"
                )
        useless = sum(
            isinstance(row.experiment, Movement) and row.experiment.cores > 1 and row.experiment.data != "l2"
            for row in own
        )
        if useless:
            self.remarks.append(
                f"moves of several cores from hbm or inside the cores determine no figure: {useless} only compared"
            )

    def _on_fitted(self, groups: dict[str, list[Row]]) -> dict[str, list[Row]]:
        """*groups* without those of paths whose own law was refused, of which one message is enough."""
        return {path: rows for path, rows in groups.items() if path not in self.failed}

    def _matrix(self, own: Sequence[Row]) -> Iterator[Row]:
        """Issue and latency of the matrix unit."""
        for isolated, fit in ((False, fit_issue), (True, fit_isolated)):
            rows = [
                row for row in own
                if isinstance(row.experiment, MatrixOperation) and row.experiment.isolated == isolated
            ]  # fmt: skip
            if rows:
                self._fit(rows[0].group, fit, rows)
                yield from rows

    def _vector(self, own: Sequence[Row]) -> Iterator[Row]:
        """The cycles of vector instructions, where they differ from those of the chip."""
        groups: dict[str, list[Row]] = {}
        for row in own:
            if isinstance(row.experiment, VectorOperation):
                key = vector_key(self.chip, row.experiment.op, row.experiment.dtype)
                groups.setdefault(key, []).append(row)
        same = 0
        for key, rows in groups.items():
            yield from rows
            found = self._found(key, fit_vector, rows)
            if found and all(self.figures[one] == value for one, value in found.items()):
                same += 1
            else:
                self._adopt(found, fit_vector, rows)
        if same:
            self.remarks.append(f"vector.ops: {same} as measured already, not written")

    def _fit(self, name: str, fit: Fit, rows: Sequence[Row]) -> bool:
        """Set the figures that *fit* finds, and say whether it finds any."""
        found = self._found(name, fit, rows)
        self._adopt(found, fit, rows)
        return bool(found)

    def _found(self, name: str, fit: Fit, rows: Sequence[Row]) -> Mapping[str, float]:
        """The figures that *fit* finds, none if it refuses; what is doubtful about the rows is remarked."""
        devices = ", ".join(sorted(set(map(device, rows))))
        if "," in devices:
            self.mixed.setdefault(devices, []).append(name)
        self.remarks += [f"warning: {name}: {doubt}" for doubt in contradictions(self.figures, rows)]
        try:
            return fit(self.figures, rows)
        except UnfitError as fault:
            self._refuse(name, rows, fault)
            return {}

    def _adopt(
        self, found: Mapping[str, float], again: Fit, rows: Sequence[Row],
        groups: Mapping[str, Sequence[Row]] | None = None,
    ) -> None:  # fmt: skip
        """Set the figures *found*; those of a path among *groups* rest on the rows of that path.

        *again* fits all rows but one.
        """
        after = self.figures.updated(found)
        missing = {id(row): self._left_out(after, again, rows, number) for number, row in enumerate(rows) if found}
        for key, value in found.items():
            part = (groups or {}).get(key.split(".")[1], rows)
            left_out = [error for error in (missing[id(row)] for row in part) if error is not None]
            errors = tuple(self._error(after, row) for row in part)
            evidence = Evidence(tuple(part), errors, tuple(left_out), tuple(contradictions(after, part)))
            self._set(key, value, evidence, self._remark(found, key), "calibrated")

    def _left_out(self, figures: Figures, fit: Fit, rows: Sequence[Row], number: int) -> float | None:
        """The error of a row for a fit on the others; None if there are none or nothing follows from them."""
        if len(rows) == 1:
            return None
        try:
            found = fit(figures, [*rows[:number], *rows[number + 1 :]])
        except UnfitError:
            return None
        return self._error(figures.updated(found), rows[number]) if found else None

    def _derive(self, key: str, other: str, remark: str) -> None:
        self._set(key, self.figures[other], self.fitted[other].evidence, remark)

    def _set(
        self, key: str, value: float, evidence: Evidence, remark: str = "", standing: Standing = "derived"
    ) -> None:
        self.fitted[key] = Fitted(key, Figures(self.chip)[key], value, evidence, standing, remark)
        self.figures = self.figures.updated({key: value})

    def _refuse(self, name: str, rows: Sequence[Row], fault: UnfitError) -> None:
        places = [(row.place.file, row.place.line) for row in rows]
        lines = ", ".join(dict.fromkeys(str(line) for file, line in places if file == places[0][0]))
        others = " and other files" if any(file != places[0][0] for file, _ in places) else ""
        many = "lines" if "," in lines else "line"
        self.faults.append(Diagnostic(f"{name} ({many} {lines}{others}): {fault}", *places[0]))

    def _remark(self, found: Mapping[str, float], key: str) -> str:
        """What is to be said about a value that stands for something that was not seen."""
        section, _, name = key.rpartition(".")
        if name in ("min_cycles", "min_latency_cycles") and not found[key]:
            return "the smallest show no constant part"
        if name == "sustained_bytes_per_cycle" and found[key] == found[f"{section}.bytes_per_cycle"]:
            return "large moves are no slower than that"
        return f"latency_cycles as in {self.chip.name}" if section.startswith("vector.ops.") else ""

    @staticmethod
    def _error(figures: Figures, row: Row) -> float:
        return abs(cycles(figures, row.experiment) / row.measured - 1)


def _moves(rows: Sequence[Row], belongs: Callable[[Movement], bool]) -> dict[str, list[Row]]:
    """The rows of moves of which *belongs* is true, by path."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if isinstance(row.experiment, Movement) and belongs(row.experiment):
            groups.setdefault(path_of(row.experiment), []).append(row)
    return groups
