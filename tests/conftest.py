"""What several acceptance tests look at and what takes long: the measurements, each simulated once."""

from __future__ import annotations

import pytest
from fuzzing import LONG, make_repeatable

from ascend_sim.validation.data import bundled_tables, read_table
from ascend_sim.validation.run import Comparison, compare

_SHARED = {"kernel_comparisons", "instruction_comparisons"}

if not LONG:
    make_repeatable()


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests that look at the measurements to one process, at once: it simulates them once, the longest job."""
    for item in items:
        if _SHARED & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group("measurements"))
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


def _compared(*suites: str) -> list[Comparison]:
    rows = [row for table in bundled_tables() for row in read_table(table)]
    return compare([row for row in rows if row.suite in suites])


@pytest.fixture(scope="session")
def kernel_comparisons() -> list[Comparison]:
    """All rows of the suite "kernels" and what the simulator says about them."""
    return _compared("kernels")


@pytest.fixture(scope="session")
def instruction_comparisons() -> list[Comparison]:
    """The same of the suites of single moves, vector and matrix operations."""
    return _compared("movement", "vector", "matrix")
