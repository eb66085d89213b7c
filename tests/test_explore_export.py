"""The table as a file: the vendor tuner's columns, values to the last bit, one type for each column of Parquet."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pyarrow.parquet
import pytest

from ascend_sim.errors import ArgumentError
from ascend_sim.explore.export import columns, csv_text, export
from ascend_sim.explore.point import METRICS, Assignment, Evaluation
from ascend_sim.explore.table import ExplorationInfo, Row, Table

DONE = Evaluation("done", {**dict.fromkeys(METRICS, 1.0), "time_us": 0.1 + 0.2, "cycles": 540}, 500, seconds=2.0)
REFUSED = Evaluation("infeasible", category="capacity", reason='L1 overflows, "here"\nand there')


def info(**space: list[object]) -> ExplorationInfo:
    """An exploration of *space* on a product of 100 x 200 x 300."""
    config = {
        "name": "e", "description": "", "space": {name.replace("__", "."): values for name, values in space.items()},
        "run": {"sections": {"problem": {"m": 100, "n": 200, "k": 300, "dtype": "bf16"}, "tiling": {}}},
        "objectives": {"time_us": "minimize"}, "constraints": [],
    }  # fmt: skip
    return ExplorationInfo(Path(), "e.yaml", Path("s"), 1, "v", "/there/gemm.py", "", {}, config, "run.yaml")


def table(*points: tuple[Assignment, Evaluation]) -> Table:
    """A complete table."""
    rows = [Row(n, f"k{n}", point, one, one.status, one.status == "done") for n, (point, one) in enumerate(points)]
    return Table(tuple(rows), True)


def written(about: ExplorationInfo, found: Table) -> list[dict[str, str]]:
    """The rows of the CSV file."""
    return list(csv.DictReader(io.StringIO(csv_text(about, found))))


def test_the_columns_are_those_of_the_tuner_and_then_ours() -> None:
    """The first columns in the vendor's order and spelling, then what the status is, metrics, parameters, reasons."""
    about = info(tiling__m=[1, 2])
    head = ["case_id", "task_duration(us)", "device_id", "operation", "description", "m", "n", "k"]
    head += ["status", "eligible"]
    tail = ["bound_cycles", "tiling.m", "category", "reason", "host_seconds"]
    assert columns(about) == [*head, *METRICS, *tail]
    text = csv_text(about, table(({"tiling.m": 1}, DONE)))
    assert text.splitlines()[0].split(",") == columns(about)


def test_a_row_says_what_became_of_a_point() -> None:
    """Numbers to the last bit; what is not known is empty; the description is what --set takes."""
    first, second = written(info(tiling__m=[16, 32]), table(({"tiling.m": 16}, DONE), ({"tiling.m": 32}, REFUSED)))
    assert (first["case_id"], first["operation"], first["description"]) == ("0", "gemm", "tiling.m=16")
    assert float(first["task_duration(us)"]) == float(first["time_us"]) == 0.1 + 0.2
    assert (first["cycles"], first["bound_cycles"], first["eligible"], first["category"]) == ("540", "500", "true", "")
    assert (second["status"], second["time_us"], second["eligible"]) == ("infeasible", "", "false")
    assert (second["category"], second["reason"]) == ("capacity", REFUSED.reason)


def test_the_shape_is_that_of_the_point() -> None:
    """m, n and k are those of the base run, or of the point where they are parameters, alone or as a section."""
    [row] = written(info(problem__m=[7]), table(({"problem.m": 7}, DONE)))
    assert (row["m"], row["n"], row["k"]) == ("7", "200", "300")
    [row] = written(info(problem=[{"m": 1, "k": 2}]), table(({"problem": {"m": 1, "k": 2}}, DONE)))
    assert (row["m"], row["n"], row["k"]) == ("1", "200", "2")
    assert json.loads(row["problem"]) == {"m": 1, "k": 2}


def test_parquet_has_one_type_for_each_column(tmp_path: Path) -> None:
    """Whole numbers, numbers, truth values and texts stay what they are; mixed ones are numbers or JSON."""
    about = info(
        tiling__whole=[1, 2], tiling__mixed=[1, 2.5], tiling__any=[1, "x"], tiling__flag=[True, False],
        tiling__list=[[1], [2]], tiling__big=[1 << 70, 1], tiling__none=[None, 3],
    )  # fmt: skip
    points = [{name: values[n] for name, values in about.space.items()} for n in range(2)]
    export(about, table((points[0], DONE), (points[1], REFUSED)), tmp_path / "t.parquet")
    found = pyarrow.parquet.read_table(tmp_path / "t.parquet").to_pydict()
    assert list(found) == columns(about)
    assert found["time_us"] == [0.1 + 0.2, None]
    assert found["tiling.whole"] == [1, 2]
    assert found["tiling.mixed"] == [1.0, 2.5]
    assert found["tiling.any"] == ["1", "x"]
    assert found["tiling.flag"] == [True, False]
    assert found["tiling.list"] == ["[1]", "[2]"]
    assert found["tiling.big"] == [str(1 << 70), "1"]
    assert found["tiling.none"] == [None, 3]
    assert found["reason"] == [None, REFUSED.reason]


def test_an_empty_table_is_a_table(tmp_path: Path) -> None:
    """Before the first point is finished there are columns and no rows."""
    about = info(tiling__m=[1])
    assert csv_text(about, table()).splitlines() == [",".join(columns(about))]
    export(about, table(), tmp_path / "t.parquet")
    assert pyarrow.parquet.read_table(tmp_path / "t.parquet").num_rows == 0


def test_what_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another ending, a folder that is not there, and Parquet without the package that writes it."""
    about = info(tiling__m=[1])
    with pytest.raises(ArgumentError) as error:
        export(about, table(), tmp_path / "t.xlsx")
    message = "is written as CSV or Parquet; end its name with .csv or .parquet"
    assert str(error.value) == f"{tmp_path / 't.xlsx'}: {message}"
    with pytest.raises(ArgumentError, match=r"no/t\.csv: cannot be written: No such file or directory; choose another"):
        export(about, table(), tmp_path / "no" / "t.csv")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ArgumentError, match="Parquet needs the package pyarrow: pip install pyarrow, or write"):
        export(about, table(), tmp_path / "t.parquet")
