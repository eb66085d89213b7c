"""The tables of measurements: what is in them, and reading them strictly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ascend_sim.config import bundled, names
from ascend_sim.errors import ArgumentError, Diagnostic
from ascend_sim.isa.vector_ops import VECTOR_OPS, Pattern
from ascend_sim.validation.csv_file import counted, meant, near, number, read_lines, separated_otherwise

TABLES = ("data_movement.csv", "vector_throughput.csv", "matrix.csv", "kernels.csv")
PATHS = (
    "gm_to_l1", "gm_to_l1_nz", "gm_to_l0a", "gm_to_l0b", "gm_to_ub", "ub_to_gm", "l0c_to_gm", "l0c_to_gm_nd",
    "l1_to_l0a", "l1_to_l0b", "ub_to_ub",
)  # fmt: skip
DATA = ("l2", "hbm", "core")
COLD_PATHS = ("gm_to_l1", "gm_to_l1_nz", "gm_to_ub")
MODES = ("back_to_back", "isolated")
EXTENT = 16
"""What m, n and k of a matrix operation are multiples of: programs/microbench.py measures whole fractals of fp16."""
UNITS = {"cycles": "cycles", "time_us": "us", "tflops": "TFLOPS"}
PIPES = (
    "aic_cube_ratio", "aic_mte1_ratio", "aic_mte2_ratio", "aic_fixpipe_ratio", "aic_scalar_ratio",
    "aiv_vec_ratio", "aiv_mte2_ratio", "aiv_mte3_ratio", "aiv_scalar_ratio",
)  # fmt: skip
METRICS = {**UNITS, **{f"pipes.{pipe}": "ratio" for pipe in PIPES}}
"""Keys of result.json that can be compared, and their units."""


class Role(Enum):
    """What a measurement is to the model."""

    CALIBRATION = "calibration"
    """Figures of the chip files were fitted on it, so that its error is that of the fit."""
    CHECK = "check"
    """No figure was fitted on it."""
    UNREPRODUCIBLE = "unreproducible"
    """It cannot be simulated, for the reason in its note."""


@dataclass(frozen=True)
class Movement:
    """Cycles of one move of *kib* KiB along *path* in a back-to-back loop on each of *cores* cores of *chip*.

    *data* says where the bytes of global memory lie: in "l2" or only in "hbm"; "core" for a path inside the core.
    """

    path: str
    kib: int
    chip: str
    cores: int = 1
    data: str = "l2"


@dataclass(frozen=True)
class MatrixOperation:
    """Cycles of one MMAD of fp16 tiles (m, k) x (k, n), back to back or *isolated*, each after the result before it."""

    m: int
    n: int
    k: int
    isolated: bool
    chip: str


@dataclass(frozen=True)
class VectorOperation:
    """Cycles of one instruction of *op* on *dtype* in a back-to-back loop: of one repeat, or of each *further* one."""

    op: str
    dtype: str
    further: bool
    chip: str


@dataclass(frozen=True)
class KernelRun:
    """The *metric* (a key of result.json) of the run file *config* with *overrides*."""

    config: str
    overrides: tuple[str, ...]
    metric: str


Experiment = Movement | VectorOperation | MatrixOperation | KernelRun


@dataclass(frozen=True)
class Row:
    """A measurement: what was *measured*, in which *unit*, by whom, and the *experiment* that simulates it."""

    place: Diagnostic
    suite: str
    group: str
    name: str
    measured: float
    unit: str
    role: Role
    source: str
    note: str
    experiment: Experiment


def operation_of(cost: str, dtype: str) -> tuple[str, str] | None:
    """The operation and the format for programs/microbench.py of the vendor's instruction *cost*; None without one.

    *dtype* names the formats of all operands, the destination last, as "fp16_fp16_fp32" does.
    """
    formats = dtype.split("_")
    for op in VECTOR_OPS.values():
        target = "uint8" if op.pattern in (Pattern.COMPARE, Pattern.MASK) else formats[-1]
        for a, b in op.formats:
            if op.cost == cost and (formats[0], target) == (a.number, b.number):
                return op.name, f"{a}_{b}"
    return None


def bundled_tables() -> list[Path]:
    """The bundled tables: moves, vector and matrix operations, kernels."""
    return [bundled("runs").parent / "validation" / name for name in TABLES]


def read_table(path: Path) -> list[Row]:
    """Return the measurements of a CSV file, whose columns say which of the four kinds of table it is.

    Raise an ArgumentError with everything that is wrong in it, each at its line.
    """
    lines = read_lines(path)
    return _Reader(path, *lines[0]).rows(lines[1:])


def read_tables(paths: Sequence[Path]) -> list[Row]:
    """Return the measurements of several CSV files, in their order.

    Raise an ArgumentError with everything that is wrong in them, such as a measurement that two of them hold.
    """
    rows: list[Row] = []
    faults: list[Diagnostic] = []
    files = [path.resolve() for path in paths]
    for position, path in enumerate(paths):
        if files[position] in files[:position]:
            faults.append(Diagnostic("is given twice; keep one of them", str(path)))
            continue
        try:
            rows += read_table(path)
        except ArgumentError as error:
            faults += error.diagnostics
    first: dict[object, Diagnostic] = {}
    for row in rows:
        place = first.setdefault((row.name, row.experiment), row.place)
        if place is not row.place:
            message = f"{row.name} was measured in {place.file}:{place.line} already; keep one of them"
            faults.append(Diagnostic(message, row.place.file, row.place.line))
    if faults:
        raise ArgumentError(faults)
    return rows


class _Reader:
    """Reads the rows of one table and collects what is wrong with them."""

    def __init__(self, path: Path, line: int, header: Sequence[str]) -> None:
        self.path, self.line = path, line
        self.header = tuple(column.strip() for column in header)
        self.faults: list[tuple[int, str]] = []
        self.columns, self.parse = self._kind()
        fitting = {column: meant(column, self.columns) for column in self.header}
        for column in self.header:
            if column not in self.columns:
                self._refuse(f"unknown column '{column}'{near(column, self.columns)}")
            elif self.header.count(column) > 1:
                self._refuse(f"column '{column}' stands there {self.header.count(column)} times; keep one of them")
        for column in self.columns:
            if column not in fitting.values():
                self._refuse(f"missing column '{column}'; the columns are {','.join(self.columns)}")
        self._raise_faults()

    def _kind(self) -> _Kind:
        """The kind of table: what its own column says, or what most of the columns belong to if that is mistyped."""
        kinds = [kind for kind in _KINDS if kind in self.header]
        if not kinds:
            folded = {column.casefold() for column in self.header}
            kinds = [kind for kind, (columns, _) in _KINDS.items() if len(folded & {*columns}) > len(columns) / 2]
            kinds = sorted(kinds, key=lambda kind: -len(folded & {*_KINDS[kind][0]}))[:1]
        if len(kinds) != 1:
            found = ", ".join(self.header)
            self._refuse(
                separated_otherwise(self.header)
                or f"the columns '{found}' are those of no table: 'path' begins a table of moves, 'op' one of vector "
                f"operations, 'mode' belongs to one of matrix operations, 'id' to one of kernels; see docs/accuracy.md"
            )
            self._raise_faults()
        return _KINDS[kinds[0]]

    def rows(self, lines: Sequence[tuple[int, Sequence[str]]]) -> list[Row]:
        """The rows of *lines*."""
        found: list[Row] = []
        seen: dict[object, int] = {}
        for self.line, cells in lines:
            if len(cells) != len(self.header):
                values = f"has {counted(len(cells), 'value')} for {counted(len(self.header), 'column')}"
                self._refuse(separated_otherwise(cells) or f"{values}; quote values that hold commas")
                continue
            before = len(self.faults)
            parsed = list(self.parse(self, dict(zip(self.header, (cell.strip() for cell in cells), strict=True))))
            if len(self.faults) > before:
                continue
            for row in parsed:
                first = seen.setdefault((row.name, row.experiment), self.line)
                if first != self.line:
                    self._refuse(f"{row.name} was measured in line {first} already; keep one of them")
            found += parsed
        if not found and not self.faults:
            self._refuse("there is no row below the columns; add one")
        self._raise_faults()
        return found

    def movement(self, values: Mapping[str, str]) -> Iterator[Row]:
        """The row of a table of moves."""
        role, path = self._role(values), values["path"]
        if role is not Role.UNREPRODUCIBLE:
            self._choice("path", path, PATHS)
        kib, cores = self._whole(values, "kib"), self._whole(values, "cores")
        device, data = values["device"], values["data"]
        self._choice("data", data, DATA)
        if path in PATHS and data in DATA and (data == "core") != ("gm" not in path):
            way_out = "write core" if "gm" not in path else "write l2 or hbm"
            self._refuse(f"data: '{data}' does not say where the bytes of {path} lie; {way_out}")
        if data == "hbm" and path in PATHS and path not in COLD_PATHS:
            self._refuse(f"data: only moves along {', '.join(COLD_PATHS)} can find their data in hbm; write l2")
        experiment = Movement(path, kib, self._chip(device), cores, data)
        group = f"{path} {device}" + (" from hbm" if data == "hbm" else "") + (f" {cores} cores" if cores > 1 else "")
        yield self._row(values, "movement", group, f"{group} {kib} KiB", "cycles", "cycles", role, experiment)

    def matrix(self, values: Mapping[str, str]) -> Iterator[Row]:
        """The row of a table of matrix operations."""
        role = self._role(values)
        m, n, k = (self._whole(values, column) for column in ("m", "n", "k"))
        self._choice("mode", values["mode"], MODES)
        isolated = values["mode"] == "isolated"
        for column, extent in zip(("m", "n", "k"), (m, n, k), strict=True):
            if extent % EXTENT and role is not Role.UNREPRODUCIBLE:
                below = extent // EXTENT * EXTENT
                near_by = f"{below} or {below + EXTENT}" if below else str(EXTENT)
                way_out = f"only whole fractals are measured: write {near_by}, or make the row unreproducible"
                self._refuse(f"{column}: {extent} is not a multiple of {EXTENT}; {way_out}")
        experiment = MatrixOperation(m, n, k, isolated, self._chip(values["device"]))
        group = f"mmad {values['device']} {'isolated' if isolated else 'back to back'}"
        yield self._row(values, "matrix", group, f"{group} {m}x{n}x{k}", "cycles", "cycles", role, experiment)

    def vector(self, values: Mapping[str, str]) -> Iterator[Row]:
        """The two rows of a line of a table of vector operations."""
        role, op, dtype = self._role(values), values["op"], values["dtype"]
        if role is not Role.UNREPRODUCIBLE:
            known = sorted({one.cost for one in VECTOR_OPS.values()})
            if self._choice("op", op, known) and operation_of(op, dtype) is None:
                formats = [f"{a}_{b}" for one in VECTOR_OPS.values() if one.cost == op for a, b in one.formats]
                self._choice("dtype", dtype, list(dict.fromkeys(formats)))
        chip = self._chip(values["device"])
        for further, column in ((False, "cycles_one_repeat"), (True, "cycles_per_further_repeat")):
            name = f"{op} {dtype} {'each further repeat' if further else 'one repeat'}"
            unit = "cycles/repeat" if further else "cycles"
            yield self._row(
                values, "vector", op, name, column, unit, role, VectorOperation(op, dtype, further, chip)
            )  # fmt: skip

    def kernel(self, values: Mapping[str, str]) -> Iterator[Row]:
        """The row of a table of kernels."""
        role, metric = self._role(values), values["metric"]
        for column in ("id", "suite"):
            if not values[column]:
                self._refuse(f"{column}: nothing is written there; write a name")
        if self._choice("metric", metric, tuple(METRICS)) and values["unit"] != METRICS[metric]:
            self._refuse(f"unit: '{values['unit']}' is not the unit of {metric}; convert it to {METRICS[metric]}")
        if role is not Role.UNREPRODUCIBLE and not values["program_or_config"]:
            self._refuse("program_or_config: nothing is written there; name a program or a run, or a path to one")
        overrides = tuple(one.strip() for one in values["overrides"].split(";") if one.strip())
        config = values["program_or_config"]
        if "/" in config or Path(config).suffix:
            config = str(self.path.parent / config)
        experiment = KernelRun(config, overrides, metric)
        name = f"{values['id']} {metric}"
        yield self._row(values, values["suite"], values["id"], name, "measured", values["unit"], role, experiment)

    def _row(
        self, values: Mapping[str, str], suite: str, group: str, name: str, column: str, unit: str, role: Role,
        experiment: Experiment,
    ) -> Row:  # fmt: skip
        measured = self._number(values, column) or 0.0
        place = Diagnostic(name, str(self.path), self.line)
        return Row(place, suite, group, name, measured, unit, role, values["source"], values["note"], experiment)

    def _role(self, values: Mapping[str, str]) -> Role:
        if not values["source"]:
            self._refuse("source: nothing is written there; say who published the measurement")
        if not self._choice("role", values["role"], [role.value for role in Role]):
            return Role.CHECK
        role = Role(values["role"])
        if role is Role.UNREPRODUCIBLE and not values["note"]:
            self._refuse("note: nothing is written there; say why the row is unreproducible")
        return role

    def _number(self, values: Mapping[str, str], column: str) -> float | None:
        found = number(values[column])
        if isinstance(found, str):
            self._refuse(f"{column}: {found}")
            return None
        return found

    def _whole(self, values: Mapping[str, str], column: str) -> int:
        found = self._number(values, column)
        if found is not None and found != int(found):
            self._refuse(f"{column}: {values[column]} is no whole number; write one")
            return 0
        return int(found or 0)

    def _chip(self, device: str) -> str:
        known = [name.removeprefix("ascend") for name in names("chips")]
        self._choice("device", device, known)
        return f"ascend{device}"

    def _choice(self, column: str, value: str, known: Sequence[str]) -> bool:
        if value in known:
            return True
        self._refuse(f"{column}: there is no '{value}'{near(value, known)}")
        return False

    def _refuse(self, message: str) -> None:
        self.faults.append((self.line, message))

    def _raise_faults(self) -> None:
        """Raise the faults that were found, if any; one that many lines share is said once, where it is first."""
        lines: dict[str, list[int]] = {}
        for line, message in dict.fromkeys(self.faults):
            lines.setdefault(message, []).append(line)
        if lines:
            found = [(_shared(message, at), at[0]) for message, at in lines.items()]
            raise ArgumentError([Diagnostic(message, str(self.path), line) for message, line in found])


def _shared(message: str, lines: Sequence[int]) -> str:
    """*message* with the number of the *lines* that it is about."""
    return message if len(lines) == 1 else f"{message} [in {counted(len(lines), 'row')}, the last in line {lines[-1]}]"


_MOVEMENT = ("path", "device", "cores", "data", "kib", "cycles", "role", "source", "note")
_MATRIX = ("m", "n", "k", "device", "mode", "cycles", "role", "source", "note")
_VECTOR = ("op", "device", "dtype", "cycles_one_repeat", "cycles_per_further_repeat", "role", "source", "note")
_KERNEL = (
    "id", "suite", "program_or_config", "overrides", "metric", "measured", "unit", "role", "source", "note",
)  # fmt: skip
_Kind = tuple[tuple[str, ...], Callable[[_Reader, Mapping[str, str]], Iterator[Row]]]
_KINDS: dict[str, _Kind] = {
    "path": (_MOVEMENT, _Reader.movement),
    "op": (_VECTOR, _Reader.vector),
    "mode": (_MATRIX, _Reader.matrix),
    "id": (_KERNEL, _Reader.kernel),
}
