"""Reading tables of measurements: what is wrong is refused at its line, what is right is not lost."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ascend_sim.errors import ArgumentError
from ascend_sim.isa.vector_ops import VECTOR_OPS
from ascend_sim.validation.data import (
    KernelRun,
    Movement,
    Role,
    VectorOperation,
    bundled_tables,
    operation_of,
    read_table,
    read_tables,
)

MOVES = "path,device,cores,data,kib,cycles,role,source,note\n"
MATRIX = "m,n,k,device,mode,cycles,role,source,note\n"
VECTORS = "op,device,dtype,cycles_one_repeat,cycles_per_further_repeat,role,source,note\n"
KERNELS = "id,suite,program_or_config,overrides,metric,measured,unit,role,source,note\n"
MOVE = "gm_to_ub,910b3,1,l2,16,300,check,us,\n"


def table(folder: Path, text: str) -> Path:
    """A CSV file in *folder* that holds *text*."""
    path = folder / "measured.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_move_is_one_row(tmp_path: Path) -> None:
    """Path, size and chip of a move are those of its line."""
    [row] = read_table(table(tmp_path, MOVES + "gm_to_l1,910b1,1,l2,32,373,calibration,us,\n"))

    assert row.experiment == Movement("gm_to_l1", 32, "ascend910b1")
    assert (row.measured, row.unit, row.role, row.place.line) == (373.0, "cycles", Role.CALIBRATION, 2)


def test_a_vector_operation_is_two_rows(tmp_path: Path) -> None:
    """A line of an operation holds two measurements, of the first repeat and of the others."""
    rows = read_table(table(tmp_path, VECTORS + "vadd,910b1,fp16_fp16_fp16,6,2.0,check,us,\n"))

    assert [(row.measured, row.unit) for row in rows] == [(6.0, "cycles"), (2.0, "cycles/repeat")]
    assert [row.experiment for row in rows] == [
        VectorOperation("vadd", "fp16_fp16_fp16", further, "ascend910b1") for further in (False, True)
    ]


def test_a_kernel_is_a_run_with_overrides(tmp_path: Path) -> None:
    """Overrides are separated by semicolons, and a path counts from the folder of the table."""
    line = "mine,ours,runs/a.yaml,problem.m=8; launch.blocks=2,time_us,80.5,us,check,us,\n"
    [row] = read_table(table(tmp_path, KERNELS + line))

    config = str(tmp_path / "runs" / "a.yaml")
    assert row.experiment == KernelRun(config, ("problem.m=8", "launch.blocks=2"), "time_us")
    assert (row.suite, row.name) == ("ours", "mine time_us")


def test_columns_may_come_in_any_order_and_after_a_byte_order_mark(tmp_path: Path) -> None:
    """Tables that a spreadsheet has written are read as well."""
    text = "\ufeffnote,path,cycles,device,kib,data,source,cores,role\n,gm_to_ub,300,910b3,16,hbm,us,2,check\n"

    [row] = read_table(table(tmp_path, text))
    assert row.experiment == Movement("gm_to_ub", 16, "ascend910b3", cores=2, data="hbm")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "is empty; the first line names the columns", id="empty"),
        pytest.param("a,b\n", ":1: the columns 'a, b' are those of no table: 'path' begins", id="no table"),
        pytest.param("path,op\n", "are those of no table", id="two tables"),
        pytest.param(
            MOVES.replace("cycles", "cycle") + MOVE, ":1: unknown column 'cycle'; did you mean 'cycles'?", id="column"
        ),
        pytest.param(MOVES.replace(",note", "") + MOVE, ":1: missing column 'note'; the columns are path,", id="few"),
        pytest.param(MOVES.replace("note", "role") + MOVE, ":1: column 'role' stands there 2 times", id="twice"),
        pytest.param(MOVES, ":1: there is no row below the columns; add one", id="no row"),
        pytest.param(MOVES + "gm_to_ub,910b3,16\n", ":2: has 3 values for 9 columns; quote values", id="short line"),
        pytest.param(
            MOVES + MOVE + "gm_to_l2,910b3,1,l2,16,300,check,us,\n",
            ":3: path: there is no 'gm_to_l2'; did you mean 'gm_to_l1'?", id="path",
        ),
        pytest.param(MOVES + "gm_to_ub,910b9,1,l2,16,300,check,us,\n", "device: there is no '910b9'; did you",
            id="device",
        ),
        pytest.param(MOVES + "gm_to_ub,910b3,1,l2,1.5,300,check,us,\n", "kib: 1.5 is no whole number", id="size"),
        pytest.param(MOVES + "gm_to_ub,910b3,1,l2,16,fast,check,us,\n", "cycles: 'fast' is no number above 0",
            id="word",
        ),
        pytest.param(MOVES + "gm_to_ub,910b3,1,l2,16,-3,check,us,\n", "cycles: '-3' is no number above 0",
            id="negative",
        ),
        pytest.param(MOVES + "gm_to_ub,910b3,1,l2,16,nan,check,us,\n", "cycles: 'nan' is no number above 0", id="nan"),
        pytest.param(
            MOVES + "gm_to_ub,910b3,1,l2,16,300,checked,us,\n", "role: there is no 'checked'; did you mean 'check'?",
            id="role",
        ),
        pytest.param(MOVES + "gm_to_ub,910b3,1,l2,16,300,check,,\n", "source: nothing is written there", id="source"),
        pytest.param(
            MOVES + "gm_to_ub,910b3,1,l2,16,300,unreproducible,us,\n", "note: nothing is written there; say why",
            id="note",
        ),
        pytest.param(MOVES + MOVE + MOVE, ":3: gm_to_ub 910b3 16 KiB was measured in line 2 already", id="again"),
        pytest.param(
            MOVES + "gm_to_ub,910b3,1,core,16,300,check,us,\n",
            "data: 'core' does not say where the bytes of gm_to_ub lie; write l2 or hbm", id="not in the core",
        ),
        pytest.param(
            MOVES + "ub_to_ub,910b3,1,l2,16,300,check,us,\n",
            "data: 'l2' does not say where the bytes of ub_to_ub lie; write core", id="in the core",
        ),
        pytest.param(
            MOVES + "ub_to_gm,910b3,1,hbm,16,300,check,us,\n",
            "data: only moves along gm_to_l1, gm_to_l1_nz, gm_to_ub can find their data in hbm; write l2",
            id="cold write",
        ),
        pytest.param(MOVES + "gm_to_ub,910b3,0,l2,16,300,check,us,\n", "cores: '0' is no number above 0", id="cores"),
        pytest.param(
            MATRIX + "16,16,16,910b3,alone,25,check,us,\n", "mode: there is no 'alone'; write one of these", id="mode"
        ),
        pytest.param(MATRIX + "16,1.5,16,910b3,isolated,25,check,us,\n", "n: 1.5 is no whole number", id="extent"),
        pytest.param(MATRIX + "16,17,8,910b3,isolated,25,check,us,\n",
            ":2: n: 17 is not a multiple of 16; only whole fractals are measured: write 16 or 32, or make",
            id="fractal",
        ),
        pytest.param(MATRIX + "16,17,8,910b3,isolated,25,check,us,\n",
            ":2: k: 8 is not a multiple of 16; only whole fractals are measured: write 16, or make", id="small fractal",
        ),
        pytest.param((MOVES + MOVE).replace(",", ";"), ":1: semicolons separate the values, but commas must; save",
            id="semicolons",
        ),
        pytest.param((MOVES + MOVE).replace(",", "\t"), ":1: tabs separate the values, but commas must", id="tabs"),
        pytest.param(MOVES + MOVE.replace(",", ";"), ":2: semicolons separate the values, but", id="one semicolons"),
        pytest.param(MOVES + "a\n", ":2: has 1 value for 9 columns; quote values", id="one value"),
        pytest.param(MOVES.replace("path", "Path") + MOVE, ":1: unknown column 'Path'; did you mean 'path'?",
            id="column in another case",
        ),
        pytest.param(
            MOVES + MOVE.replace("gm_to_ub", "GM_TO_UB"), "path: there is no 'GM_TO_UB'; did you mean 'gm_to_ub'",
            id="path in another case",
        ),
        pytest.param(MOVES + "gm_to_ub,910b3,1,l2,16,1e400,check,us,\n",
            "cycles: 1e400 is too large; the largest number is 1e+15", id="large",
        ),
        pytest.param(MOVES + "gm_to_ub,910b3,1,l2,16,1e-300,check,us,\n",
            "cycles: 1e-300 is too small; the smallest number is 1e-15", id="small",
        ),
        pytest.param(
            MOVES + "gm_to_ub,910b3,1,l2,16,1_000,check,us,\n", "cycles: '1_000' is no number above 0; write one",
            id="underscore",
        ),
        pytest.param(MOVES + MOVE.replace("us", "u" * 140000),
            ":2: a value has more than 131072 characters; a quote that is opened", id="huge",
        ),
        pytest.param(MOVES + MOVE.replace("us", '"us'), ": the file ends within a value; a quote that is", id="quote"),
        pytest.param(MOVES + MOVE.replace("us", '"us"x'), ":2: is no line of a CSV file: ", id="after a quote"),
        pytest.param(
            VECTORS + "vaddz,910b1,fp16_fp16_fp16,6,2,check,us,\n", "op: there is no 'vaddz'; did you mean 'vadd",
            id="op",
        ),
        pytest.param(
            VECTORS + "vadd,910b1,int8_int8,6,2,check,us,\n", "dtype: there is no 'int8_int8'; did you mean", id="dtype"
        ),
        pytest.param(
            KERNELS + "a,ours,gemm,,time,3,us,check,us,\n", "metric: there is no 'time'; did you mean 'time_us'?",
            id="metric",
        ),
        pytest.param(
            KERNELS + "a,ours,gemm,,time_us,3,ms,check,us,\n",
            "unit: 'ms' is not the unit of time_us; convert it to us", id="unit",
        ),
        pytest.param(KERNELS + "a,ours,,,time_us,3,us,check,us,\n", "program_or_config: nothing is", id="program"),
        pytest.param(KERNELS + "a,,gemm,,time_us,3,us,check,us,\n", ":2: suite: nothing is written there", id="suite"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_at_its_line(tmp_path: Path, text: str, message: str) -> None:
    """The message begins with file and line, and says what is there and what to write."""
    path = table(tmp_path, text)

    with pytest.raises(ArgumentError) as raised:
        read_table(path)
    found = [str(one) for one in raised.value.diagnostics]
    assert any(message in one for one in found)
    assert all(one.startswith(str(path)) for one in found)


def test_all_faults_are_reported_together(tmp_path: Path) -> None:
    """Two wrong lines give two messages."""
    text = MOVES + "gm_to_ub,910b3,1,l2,0,300,check,us,\n" + MOVE + "gm_to_ub,910b3,1,l2,8,300,check,,\n"

    with pytest.raises(ArgumentError) as raised:
        read_table(table(tmp_path, text))
    assert [found.line for found in raised.value.diagnostics] == [2, 4]


def test_a_fault_that_lines_share_is_said_once(tmp_path: Path) -> None:
    """A mistyped device is one message, with the number of its rows, and none says that they were measured already."""
    wrong = "gm_to_ub,ascend910b3,1,l2,{},300,check,us,\n"
    text = MOVES + wrong.format(16) + wrong.format(16) + MOVE + wrong.format(32)

    with pytest.raises(ArgumentError) as raised:
        read_table(table(tmp_path, text))
    [found] = raised.value.diagnostics
    assert found.message.startswith("device: there is no 'ascend910b3'; did you mean '910b3'? (")
    assert found.message.endswith(") [in 3 rows, the last in line 5]")
    assert found.line == 2


def test_a_mistyped_column_is_not_missing_too(tmp_path: Path) -> None:
    """One slip of the pen is one message."""
    with pytest.raises(ArgumentError) as raised:
        read_table(table(tmp_path, MOVES.replace("kib", "KiB") + MOVE))
    assert [found.message.partition(";")[0] for found in raised.value.diagnostics] == ["unknown column 'KiB'"]


def test_an_unreproducible_operation_may_have_any_shape(tmp_path: Path) -> None:
    """What is not simulated need not be of whole fractals."""
    [row] = read_table(table(tmp_path, MATRIX + "17,16,16,910b3,isolated,25,unreproducible,us,padded\n"))
    assert row.role is Role.UNREPRODUCIBLE


def test_several_tables_are_one(tmp_path: Path) -> None:
    """Rows come in the order of the files; what two of them hold, and what is wrong in any, is refused together."""
    texts = (MOVE, MOVE.replace("16", "32"), MOVE.replace("check", "chk"), MOVE.replace("300", "301"))
    first, second, wrong, again = paths = [tmp_path / f"{number}.csv" for number in range(4)]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(MOVES + text, encoding="utf-8")

    assert [row.name for row in read_tables([second, first])] == ["gm_to_ub 910b3 32 KiB", "gm_to_ub 910b3 16 KiB"]
    with pytest.raises(ArgumentError) as raised:
        read_tables([first, wrong, again, tmp_path / "." / first.name])
    assert [str(found).partition("; ")[0] for found in raised.value.diagnostics] == [
        f"{wrong}:2: role: there is no 'chk'",
        f"{first}: is given twice",
        f"{again}:2: gm_to_ub 910b3 16 KiB was measured in {first}:2 already",
    ]


def test_a_missing_file_and_one_that_is_no_text(tmp_path: Path) -> None:
    """What cannot be read is refused by its name."""
    with pytest.raises(ArgumentError, match=r"gone\.csv: cannot be read: No such file or directory; write the path"):
        read_table(tmp_path / "gone.csv")
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\xff\n")
    with pytest.raises(ArgumentError, match=r"picture\.csv: is no CSV file in UTF-8"):
        read_table(tmp_path / "picture.csv")


def test_no_bundled_line_is_lost() -> None:
    """Every line of the tables is a row, a line of a vector operation two, each with a source."""
    for path in bundled_tables():
        with path.open(encoding="utf-8", newline="") as file:
            lines = len(list(csv.DictReader(file)))
        rows = read_table(path)
        assert len(rows) == lines * (2 if path.name == "vector_throughput.csv" else 1)
        assert {row.place.line for row in rows} == set(range(2, lines + 2))


def test_vector_operations_are_unreproducible_only_while_they_are_missing() -> None:
    """A row whose operation has come into the instruction set since must be compared."""
    rows = read_table(bundled_tables()[1])
    for row in rows:
        assert isinstance(row.experiment, VectorOperation)
        named = operation_of(row.experiment.op, row.experiment.dtype)
        assert (named is None) == (row.role is Role.UNREPRODUCIBLE), row.name
        assert named is None or VECTOR_OPS[named[0]].cost == row.experiment.op


def test_every_measured_kernel_is_compared() -> None:
    """No measured kernel is left out: the programs for all of them are bundled."""
    rows = read_table(bundled_tables()[3])

    assert {row.group for row in rows} == {
        "gemm-1536", "gemm-6144", "bp0047-base64-4c", "bp0047-base64-20c", "catlass-a1", "catlass-a2", "fa-4096",
        "fa-16384", "fa-128x1024", "fa-128x2048", "fa-128x4096", "fa-128x8192", "fa-512x8192", "fa-2048x8192",
        "amla-headline",
    }  # fmt: skip
    assert {row.group for row in rows if row.role is not Role.CHECK} == {"fa-512x8192"}
