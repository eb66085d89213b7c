"""Ways through a space: all points or some, each once, the same every time, and better ones sooner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ascend_sim.explore.config import Exploration, load_exploration
from ascend_sim.explore.point import Assignment, Value
from ascend_sim.explore.samplers import sampler_of

SPACE = """
  tiling.m: {from: 16, to: 256, step: 16}
  tiling.n: [256, 16, 128, 64, 32]
  tiling.l0_k: {powers_of_two: [16, 256]}
  problem.dtype: [fp16, bf16, fp32]
  schedule.swizzle: [null, {offset: 3, direction: 0}]
"""
SAMPLERS = ("random", "latin_hypercube", "sobol", "tpe", "nsga2")
Loss = Callable[[Assignment], tuple[float, ...] | None]


def exploration(folder: Path, *overrides: str, space: str = SPACE, conditions: str = "[]") -> Exploration:
    """A search of tiles of C."""
    path = folder / "search.yaml"
    path.write_text(f"run: gemm_small\nspace:{space}conditions: {conditions}\n", encoding="utf-8")
    return load_exploration(path, overrides)


def strategy(name: str, points: int, seed: int = 0) -> tuple[str, ...]:
    """The overrides for it."""
    return f"strategy.name={name}", f"strategy.points={points}", f"strategy.seed={seed}"


def loss_of(point: Assignment) -> tuple[float, ...] | None:
    """A valley in three directions; every fifth point or so cannot be chosen."""
    m, n, k = (int(str(point[f"tiling.{name}"])) for name in ("m", "n", "l0_k"))
    if m * k > 16384:
        return None
    wrong = {"fp16": 0, "bf16": 20, "fp32": 40}[str(point["problem.dtype"])]
    return (abs(m - 112) + abs(n - 128) / 2 + abs(k - 64) + wrong + 10.0 * (point["schedule.swizzle"] is None),)


def searched(of: Exploration, loss: Loss = loss_of, window: int = 16) -> list[dict[str, Value]]:
    """All points in order, with *window* under way."""
    sampler, points, told = sampler_of(of), [], 0
    while (point := sampler.ask()) is not None:
        points.append(point)
        if len(points) - told >= window:
            sampler.tell(told, loss(points[told]))
            told += 1
    assert sampler.total == len(points)
    return points


def frozen(points: list[dict[str, Value]]) -> list[str]:
    """Points that can be compared and counted."""
    return [str(point) for point in points]


def test_a_grid_is_every_point_in_order(tmp_path: Path) -> None:
    """A grid does not depend on a seed or results."""
    of = exploration(tmp_path, conditions="[tiling.m == tiling.n]")

    assert searched(of) == list(of.space.grid())
    assert len(searched(of)) == 5 * 5 * 3 * 2


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_learning_begins_with_the_point_of_the_run(tmp_path: Path, name: str) -> None:
    """What the run does by itself comes first, once, if the space has it."""
    run = {"tiling.m": 64, "tiling.n": 32}
    values = ", ".join(str(32 * number) for number in range(1, 6))
    space = f"\n  tiling.m: [{values}]\n  tiling.n: [{values}]\n"
    tiles = tuple(f"set.{name}={value}" for name, value in run.items())
    narrow = "[tiling.n > 32]"
    with_it = searched(exploration(tmp_path, *strategy(name, 20), *tiles, space=space), lambda _: (1.0,))
    without = searched(
        exploration(tmp_path, *strategy(name, 20), *tiles, space=space, conditions=narrow), lambda _: (1.0,)
    )

    assert with_it[0] == run
    assert with_it.count(run) == 1
    assert run not in without


@pytest.mark.parametrize("name", SAMPLERS)
def test_points_are_different_and_in_the_space(tmp_path: Path, name: str) -> None:
    """As many points as asked for, each once, all of which fulfil the conditions."""
    of = exploration(tmp_path, *strategy(name, 60), conditions="[tiling.m <= tiling.n, tiling.l0_k < 256]")
    points = searched(of)

    assert len(points) == len(set(frozen(points))) == 60
    assert all(of.space.holds(point) for point in points)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_same_points_every_time(tmp_path: Path, name: str) -> None:
    """The sequence depends on the seed and on results, and on nothing else."""
    first, again = (searched(exploration(tmp_path, *strategy(name, 40))) for _ in range(2))

    assert first == again
    assert first != searched(exploration(tmp_path, *strategy(name, 40, seed=1)))


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_small_space_is_found_completely(tmp_path: Path, name: str) -> None:
    """When more points are asked for than there are, every one is found, and then there are no more."""
    space = "\n  tiling.m: [16, 32, 48]\n  tiling.n: [16, 32, 48]\n  tiling.unit_flag: [true, false]\n"
    of = exploration(tmp_path, *strategy(name, 100), space=space, conditions="[tiling.m != tiling.n]")

    assert sorted(frozen(searched(of))) == sorted(frozen(list(of.space.grid())))


@pytest.mark.parametrize("name", SAMPLERS)
def test_points_are_found_where_hardly_any_are(tmp_path: Path, name: str) -> None:
    """Conditions that leave one of thousands of points do not end the search early."""
    space = "\n  tiling.m: {from: 1, to: 100, step: 1}\n  tiling.n: {from: 1, to: 100, step: 1}\n"
    of = exploration(tmp_path, *strategy(name, 5), space=space, conditions="[tiling.m == tiling.n, tiling.m <= 3]")

    assert sorted(str(point["tiling.m"]) for point in searched(of)) == ["1", "2", "3"]


@pytest.mark.parametrize("name", SAMPLERS)
def test_nothing_that_can_be_chosen(tmp_path: Path, name: str) -> None:
    """A search in which every point fails goes on to its end."""
    assert len(searched(exploration(tmp_path, *strategy(name, 30)), lambda _: None)) == 30


def test_a_latin_hypercube_has_each_value_equally_often(tmp_path: Path) -> None:
    """With 64 points, each of 16 values occurs four times, if no two points coincide."""
    ranges = (("m", 16), ("n", 32), ("l0_k", 64))
    space = "".join(f"\n  tiling.{name}: {{from: 1, to: {last}, step: 1}}" for name, last in ranges)
    of = exploration(tmp_path, *strategy("latin_hypercube", 64), space=f"{space}\n")
    points = searched(of, lambda _: None)

    assert set(Counter(point["tiling.m"] for point in points).values()) == {4}
    assert set(Counter(point["tiling.n"] for point in points).values()) == {2}
    assert set(Counter(point["tiling.l0_k"] for point in points).values()) == {1}


def test_a_sobol_sequence_fills_every_part(tmp_path: Path) -> None:
    """The first 16 points have one in each cell of a grid of 4 by 4, which random ones have not."""
    space = "\n  tiling.m: {from: 0, to: 63, step: 1}\n  tiling.n: {from: 0, to: 63, step: 1}\n"

    def cells(name: str) -> int:
        points = searched(exploration(tmp_path, *strategy(name, 16), space=space), lambda _: None)
        return len({tuple(int(str(value)) // 16 for value in point.values()) for point in points})

    assert (cells("sobol"), cells("random") < 16) == (16, True)


def test_random_points_are_uniform(tmp_path: Path) -> None:
    """Every value is drawn about equally often."""
    drawn = searched(exploration(tmp_path, *strategy("random", 1200)))
    counts = Counter(str(point["problem.dtype"]) for point in drawn)

    assert set(counts) == {"fp16", "bf16", "fp32"}
    assert all(abs(count - 400) < 40 for count in counts.values())


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_learning_finds_better_points(tmp_path: Path, name: str) -> None:
    """With the same number of points, a sampler that learns finds better ones than chance does."""

    def best(name: str) -> Iterator[float]:
        for seed in range(2):
            losses = [loss_of(point) for point in searched(exploration(tmp_path, *strategy(name, 120, seed)))]
            yield min(loss[0] for loss in losses if loss is not None)

    assert sum(best(name)) < 0.8 * sum(best("random"))


def test_proposals_that_are_known_become_neighbours(tmp_path: Path) -> None:
    """A sampler that has settled on a point looks at what lies around it, and not just anywhere."""
    space = "".join(f"\n  tiling.{name}: {{from: 1, to: 12, step: 1}}" for name in ("m", "n", "l0_k"))

    def far(point: Assignment) -> tuple[float, ...]:
        return (sum(abs(float(str(value)) - 6) for value in point.values()),)

    points = searched(exploration(tmp_path, *strategy("tpe", 150), space=f"{space}\n"), far)
    late = sorted(far(point)[0] for point in points[75:])

    assert late[0] == 0
    assert late[60] < 7  # drawn anywhere, instead, this is 8


@pytest.mark.parametrize(("name", "points"), [("tpe", 120), ("nsga2", 300)])
def test_two_objectives(tmp_path: Path, name: str, points: int) -> None:
    """With two losses the points gather at their trade-off: small tiles and right ones, seldom neither."""

    def both(point: Assignment) -> tuple[float, ...] | None:
        loss = loss_of(point)
        return None if loss is None else (loss[0], float(str(point["tiling.m"])))

    def share(name: str) -> float:
        ways = ("objectives.time_us=minimize", "objectives.l1_bytes=minimize")
        of = exploration(tmp_path, *strategy(name, points), *ways)
        late = [both(point) for point in searched(of, both)[points // 2 :]]
        good = [one for one in late if one is not None and one[0] + one[1] < 170]
        return len(good) / len(late)

    assert share(name) > share("random") + 0.15


def test_results_are_needed_up_to_the_window_only(tmp_path: Path) -> None:
    """Whatever the last 16 points before a point were worth, it is the same."""
    of = exploration(tmp_path, *strategy("tpe", 60))

    def other(point: Assignment) -> Any:
        return (0.0,) if str(point) in last else loss_of(point)

    last: set[str] = set()
    right = searched(of)
    last = set(frozen(right[24:40]))
    changed = searched(of, other)
    assert changed[:40] == right[:40]
    assert changed[40:] != right[40:]
