"""What an exploration has found: order, fronts, the base run, effects, reasons; on tables worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from studies import L1, RATE, TIME, done, grid, infeasible, large, study, without

from ascend_sim.explore.analysis import Study, best_so_far, nondominated, pair_front, trade_offs
from ascend_sim.explore.effects import effects
from ascend_sim.explore.point import Assignment, Evaluation
from ascend_sim.explore.refusals import pattern_of, reasons, refused
from ascend_sim.explore.wording import identity, measure, shortest, shown, told_apart


def by_time(*times: float) -> Study:
    """One parameter a.n = 0, 1, ... with these times."""
    return study({"a.n": list(range(len(times)))}, lambda at: done(time_us=times[int(at["a.n"])]))  # type: ignore[arg-type]


def two(times: dict[tuple[int, int], float]) -> Study:
    """Parameters a.x and a.y with the time of each pair of values; pairs that are not given are infeasible."""
    space = {"a.x": sorted({x for x, _ in times}), "a.y": sorted({y for _, y in times})}

    def formula(at: Assignment) -> Evaluation:
        time = times.get((at["a.x"], at["a.y"]))  # type: ignore[arg-type]
        return infeasible("does not fit") if time is None else done(time_us=time)

    return study(space, formula)


def test_mappings_are_shown_by_what_tells_them_apart() -> None:
    """Of several keys that change together one is enough, and its name where there is room; else all are shown."""
    rates = [{"bytes_per_second": 8e11, "mixed_bytes_per_second": 7e11}, {"bytes_per_second": 1.6e12, "mixed": 1.0}]

    assert told_apart(rates) == ("8e+11", "1.6e+12")  # type: ignore[arg-type]
    assert told_apart([{"m": 64, "n": 32}, {"m": 64, "n": 48}]) == ("n=32", "n=48")
    assert told_apart([{"m": 1, "n": 1}, {"m": 1, "n": 2}, {"m": 2, "n": 2}]) == ("m=1 n=1", "m=1 n=2", "m=2 n=2")
    assert told_apart([{"m": 64}, 5]) == ("m=64", "5")


def test_the_best_come_first() -> None:
    """Points are in the order of the objective, less or more of it first as it says, equal ones as they were found."""
    minimized = by_time(5, 3, 9, 3)
    assert [row.number for row in minimized.best(3)] == [1, 3, 0]

    maximized = study({"a.n": [0, 1, 2]}, lambda at: done(tflops=float(at["a.n"])), None, (RATE,))  # type: ignore[arg-type]
    assert [row.number for row in maximized.best(9)] == [2, 1, 0]


def test_points_that_break_a_constraint_are_not_the_best() -> None:
    """A point that is not eligible is neither best nor on the front, nor is it counted before the base run."""
    found = replace(without(by_time(5, 3, 9), 1), base={"a.n": 2})

    assert [row.number for row in found.best(3)] == [0, 2]
    assert found.base_place == 2
    assert found.front.tolist() == [0]


def test_the_place_of_the_base_run() -> None:
    """The base run is found among the points by its values, 64 and 64.0 alike, or takes the place of its own time."""
    found = by_time(5, 3, 9)
    inside = replace(found, base={"a.n": 0.0})
    assert inside.base_row is found.rows[0]
    assert inside.base_place == 2

    outside = replace(found, base={"a.n": 7}, base_evaluation=done(time_us=6.0))
    assert outside.base_row is None
    assert outside.base_place == 3
    assert replace(outside, base_evaluation=None).base_place is None
    assert replace(outside, base_evaluation=infeasible("no")).base_metrics is None


def test_what_differs_from_the_base_run() -> None:
    """Only values that are not the base run's own are changes, each with both; true is not 1."""
    found = study({"a.n": [1, 2], "a.flag": [True, False]}, lambda at: done(), base={"a.n": 1.0, "a.flag": 1})

    assert found.changes(found.rows[0]) == [("a.flag", 1, True)]
    assert found.changes(found.rows[3]) == [("a.n", 1.0, 2), ("a.flag", 1, False)]


def test_the_front_by_hand() -> None:
    """Of five points three are on the front; of two equal ones both; the best by each objective are its ends."""
    points = np.array([[1, 9], [2, 5], [2, 5], [3, 6], [4, 1.0]])
    assert nondominated(points).tolist() == [True, True, True, False, True]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=30))
def test_the_front_is_what_nothing_dominates(points: list[tuple[int, ...]]) -> None:
    """The front agrees with its definition, compared pair by pair."""
    expected = [not any(all(a <= b for a, b in zip(other, one)) and other != one for other in points) for one in points]

    assert nondominated(np.array(points, dtype=float)).tolist() == expected


def test_best_of_several_objectives() -> None:
    """The best are spread over the front from one end to the other; equal results count once."""
    front = [(1, 9), (2, 8), (3, 7), (4, 6), (4, 6), (5, 5), (9, 9)]
    found = study(
        {"a.n": list(range(7))},
        lambda at: done(time_us=front[int(at["a.n"])][0], l1_bytes=front[int(at["a.n"])][1]),  # type: ignore[arg-type]
        None, (TIME, L1),
    )  # fmt: skip

    assert found.front.tolist() == [0, 1, 2, 3, 4, 5]
    assert [row.number for row in found.distinct_front] == [0, 1, 2, 3, 5]
    assert [row.number for row in found.best(3)] == [0, 2, 5]
    assert [row.number for row in found.best(9)] == [0, 1, 2, 3, 5]


def test_trade_offs_of_one_objective_are_against_footprints() -> None:
    """Time is set against L1 and UB unless all points take the same of it; pairs of objectives come first."""

    def formula(at: Assignment) -> Evaluation:
        return done(time_us=10.0 - float(at["a.n"]), l1_bytes=float(at["a.n"]), ub_bytes=7.0)  # type: ignore[arg-type]

    one = study({"a.n": [1, 2]}, formula)
    assert trade_offs(one) == [("time_us", "l1_bytes")]
    assert [one.rows[n].number for n in pair_front(one, ("time_us", "l1_bytes"))] == [1, 0]

    several = study({"a.n": [1, 2]}, formula, None, (TIME, RATE))
    assert trade_offs(several) == [("time_us", "tflops"), ("time_us", "l1_bytes")]


def test_the_best_so_far() -> None:
    """The course has a step where a point is better than all before it, and no other."""
    numbers, values = best_so_far(by_time(5, 7, 3, 3, 1), TIME)

    assert numbers.tolist() == [0, 2, 4]
    assert values.tolist() == [5, 3, 1]


def test_analysis_of_variance_by_hand() -> None:
    """On a 2 x 2 grid with logarithms 0, 1, 2, 5 the shares are 9/14, 4/14 and, together, 1/14."""
    # mean 2; x: 0.5, 3.5 -> SS 9; y: 1, 3 -> SS 4; total 4 + 1 + 0 + 9 = 14
    found = effects(two({(1, 1): 1.0, (1, 2): math.e, (2, 1): math.e**2, (2, 2): math.e**5}), "time_us")

    assert found.exact
    assert found.logarithmic
    assert found.main == pytest.approx([9 / 14, 4 / 14])
    assert found.pairs[0, 1] == found.pairs[1, 0] == pytest.approx(1 / 14)
    assert found.rest == pytest.approx(0.0, abs=1e-12)
    assert found.joint(0, 1) == pytest.approx(1.0)


def test_three_parameters_together() -> None:
    """A parity of three parameters is explained by none of them and by no two: all of it is the rest."""
    space = {"a": [0, 1], "b": [0, 1], "c": [0, 1]}
    found = effects(study(space, lambda at: done(time_us=1.0 + sum(at.values()) % 2)), "time_us")  # type: ignore[arg-type]

    assert found.main == pytest.approx([0, 0, 0], abs=1e-12)
    assert found.pairs == pytest.approx(np.zeros((3, 3)), abs=1e-12)
    assert found.rest == pytest.approx(1.0)


def test_a_metric_with_zeros_is_taken_as_it_is() -> None:
    """Where some point has none of a metric there is no logarithm: 0, 2 by x and 0, 1 by y give 16/20 and 4/20."""
    space = {"x": [0, 2], "y": [0, 1]}
    found = effects(study(space, lambda at: done(ub_bytes=float(at["x"] + at["y"]))), "ub_bytes")  # type: ignore[operator]

    assert not found.logarithmic
    assert found.main == pytest.approx([0.8, 0.2])


def test_levels_by_hand() -> None:
    """Each value has the number, the best, the quartiles and the median of its points that were simulated."""
    found = effects(two({(1, 1): 4, (1, 2): 8, (1, 3): 6, (2, 1): 2, (2, 3): 3}), "time_us")
    x = found.levels[0]

    assert not found.exact
    assert (x[0].points, x[0].best, x[0].quartiles) == (3, 4, (5, 6, 7))
    assert (x[1].points, x[1].best, x[1].quartiles) == (2, 2, (2.25, 2.5, 2.75))


def test_the_best_value_of_what_is_maximized_is_the_largest() -> None:
    """For an objective to be maximized the best of a value is its largest one."""
    found = effects(study({"x": [1, 2]}, lambda at: done(tflops=float(at["x"])), None, (RATE,)), "tflops")  # type: ignore[arg-type]
    assert [level.best for level in found.levels[0]] == [1, 2]

    both = study({"x": [1, 2], "y": [3, 4]}, lambda at: done(tflops=float(at["x"] * at["y"])), None, (RATE,))  # type: ignore[operator]
    assert [level.best for level in effects(both, "tflops").levels[0]] == [4, 8]


def test_a_value_without_a_result_leaves_a_full_grid() -> None:
    """If all points of a value are infeasible the others are still a full grid, with exact shares."""
    times = {(x, y): float(x * 10**y) for x in (1, 2) for y in (1, 2)}
    whole = effects(two(times), "time_us")
    more = effects(two({**times, (3, 9): 1.0}), "time_us")
    holed = study(
        {"a.x": [1, 2, 3], "a.y": [1, 2]},
        lambda at: infeasible("no") if at["a.x"] == 3 else done(time_us=times[at["a.x"], at["a.y"]]),  # type: ignore[index]
    )

    assert effects(holed, "time_us").exact
    assert effects(holed, "time_us").main == pytest.approx(whole.main)
    assert not more.exact


def sampled(points: int, seed: int = 0) -> Study:
    """Random points of a space of three parameters; the time is additive in two of them, the third does nothing."""
    draw = np.random.default_rng(seed)
    space = {"a": [0, 1, 2, 3], "b": [0, 1, 2], "c": list(range(20)), "d": list(range(1000))}
    chosen = [{name: int(draw.integers(len(values))) for name, values in space.items()} for _ in range(points)]
    return study(space, lambda at: done(time_us=math.exp(2.0 * at["a"] + at["b"])), chosen)  # type: ignore[operator]


def test_a_sample_of_an_additive_law() -> None:
    """From a sample the shares of an additive law come out as those of the whole grid: 4 Var(a) to Var(b), 0 else."""
    found = effects(sampled(600), "time_us")

    assert not found.exact
    assert found.main[:2] == pytest.approx([5 / (5 + 2 / 3), (2 / 3) / (5 + 2 / 3)], abs=0.03)
    assert found.main[2:] == pytest.approx([0, 0], abs=1e-6)
    assert np.max(found.pairs) == pytest.approx(0, abs=1e-6)


def test_chance_explains_nothing() -> None:
    """A time that depends on no parameter is not explained by them, however few points there are for each cell."""
    draw = np.random.default_rng(1)
    space = {name: list(range(8)) for name in "abcdef"}
    chosen = [{name: int(draw.integers(8)) for name in space} for _ in range(300)]
    noise = iter(np.exp(draw.normal(size=300)).tolist())
    found = effects(study(space, lambda at: done(time_us=next(noise)), chosen), "time_us")

    assert np.sum(found.main) < 0.08  # 6 times 7 degrees of freedom in 300 points would be 0.14
    assert np.mean(found.pairs[np.triu_indices(6, 1)]) < 0.05


def test_an_interaction_in_a_sample() -> None:
    """A product of two parameters with mean 0 in a sample is their common share, and nearly nothing of each alone."""
    draw = np.random.default_rng(2)
    space = {"a": [-1, 1], "b": [-1, 1], "c": [0, 1, 2]}
    chosen = [{name: int(draw.choice(values)) for name, values in space.items()} for _ in range(201)]
    found = effects(study(space, lambda at: done(time_us=math.exp(at["a"] * at["b"])), chosen), "time_us")  # type: ignore[operator]

    assert found.pairs[0, 1] == pytest.approx(1, abs=0.03)
    assert np.max(found.main) < 0.03
    assert found.strongest[0] == (0, 1)


def test_confounded_parameters_count_for_none() -> None:
    """What two parameters explain equally well is counted for neither of them."""
    chosen: list[Assignment] = [{"a": n % 2, "b": n % 2, "c": n % 5} for n in range(10)]
    space = {"a": [0, 1], "b": [0, 1], "c": [0, 1, 2, 3, 4]}
    found = effects(study(space, lambda at: done(time_us=1.0 + at["a"]), chosen), "time_us")  # type: ignore[operator]

    assert found.main == pytest.approx([0, 0, 0], abs=1e-9)


def test_too_few_points_say_nothing() -> None:
    """With fewer points than effects no share is known; with one time for all points no parameter matters."""
    few = effects(
        study(
            {"a": [1, 2, 3], "b": [1, 2]}, lambda at: done(time_us=float(at["a"])), grid({"a": [1, 2, 3], "b": [1]})[:2]
        ),
        "time_us",
    )  # type: ignore[arg-type]
    assert few.exact  # a and b vary no further: two points of a line
    fewer = effects(
        study(
            {"a": [1, 2], "b": [1, 2]}, lambda at: done(time_us=float(at["a"])), [{"a": 1, "b": 1}, {"a": 2, "b": 2}]
        ),
        "time_us",
    )  # type: ignore[arg-type]
    assert np.isnan(fewer.main).all()

    flat = effects(study({"a": [1, 2], "b": [1, 2]}, lambda at: done(time_us=4.0)), "time_us")
    assert not flat.varies
    assert flat.main.tolist() == [0, 0]


def test_kinds_of_reasons() -> None:
    """Reasons that differ in numbers, folders or asides are one; digits of names stay."""
    one = "L1 overflows at buffer 'a_l1[1]': it needs bytes 516,096 to 1.5 (in use: x 3); smaller (/a/b/gemm.py:18)"
    assert pattern_of(one) == "L1 overflows at buffer 'a_l1[N]': it needs bytes N to N"
    assert pattern_of("aic12 waits for flag 3 of aiv0 at /x/y.py:7\nmore") == "aicN waits for flag N of aivN at y.py:N"
    assert pattern_of("") == ""

    found = study({"a": [1, 2, 3]}, lambda at: infeasible(f"needs {at['a']} B" if at["a"] != 2 else "no event id"))
    kinds = reasons(found, "infeasible")
    assert [(one.pattern, [row.number for row in one.rows]) for one in kinds] == [
        ("needs N B", [0, 2]),
        ("no event id", [1]),
    ]
    assert reasons(found, "failed") == []


def test_values_that_lead_to_infeasible_points() -> None:
    """For each value that was tried: its points, and how many of them are infeasible or failed."""

    def formula(at: Assignment) -> Evaluation:
        if at["a"] == 2:
            return infeasible("no")
        return Evaluation("failed", reason="hangs") if at["b"] == 1 else done()

    found = [
        (one.name, one.level, one.points, one.infeasible, one.failed)
        for one in refused(study({"a": [1, 2], "b": [1, 2, 3]}, formula))
    ]
    assert found == [("a", 0, 3, 0, 1), ("a", 1, 3, 3, 0), ("b", 0, 2, 1, 1), ("b", 1, 2, 1, 0), ("b", 2, 2, 1, 0)]


def test_axes_are_in_order() -> None:
    """Numbers rise whatever order they were written in, words keep theirs; a parameter of one value is no axis."""
    space = {"n": [4, 1, 2.5], "word": ["mul", "add"], "fixed": [7]}
    found = study(space, lambda at: done())
    n, word = found.axes

    assert (n.values, n.ordered) == ((1, 2.5, 4), True)
    assert (word.values, word.ordered) == (("mul", "add"), False)
    assert n.levels.tolist() == [2, 2, 0, 0, 1, 1]


def test_lists_are_values() -> None:
    """A parameter whose values are lists is a parameter as any other."""
    found = study({"kv": [[1, 2], 5]}, lambda at: done(time_us=1.0 if at["kv"] == 5 else 2.0))

    assert found.axes[0].texts == ("[1, 2]", "5")
    assert [row.number for row in found.best(1)] == [1]


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("time_us", 1234.567, "1,234.57 us"),
        ("time_us", 4.5, "4.500 us"),
        ("cycles", 1234567, "1,234,567"),
        ("l1_bytes", 393216, "384 KiB"),
        ("hbm_bytes", 12345678, "12.35 MB"),
        ("aic_cube_ratio", 0.1234, "12.3 %"),
        ("flops_utilization", 0.5, "50.0 %"),
        ("tflops", 353.89, "353.9 TFLOPS"),
    ],
)
def test_how_metrics_are_written(metric: str, value: float, text: str) -> None:
    """Each kind of metric has its unit and as many digits as matter."""
    assert measure(metric).text(value) == text


def test_how_values_are_written() -> None:
    """Values are short, names as long as it takes to tell them apart."""
    assert shown("x" * 100) == "x" * 37 + "..."
    assert shown(True) == "true"
    assert identity(128) == identity(128.0) != identity("128")
    assert identity(1) != identity(True)
    assert shortest(["tiling.m", "problem.m", "tiling.n"]) == {
        "tiling.m": "tiling.m", "problem.m": "problem.m", "tiling.n": "n"
    }  # fmt: skip


def test_three_thousand_points_in_time() -> None:
    """Effects and fronts of 3,000 points of ten parameters take a moment."""
    found = large(3000, (TIME, L1))

    assert sum(found.counts.values()) == 3000
    assert len(found.front) > 3
    shares = effects(found, "time_us")
    assert shares.axes[shares.order[0]].name == "launch.blocks"
