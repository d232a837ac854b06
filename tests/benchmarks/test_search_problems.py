"""The problems of `benchmarks.search`: where their optima lie, their noise, and the yardstick."""

from random import Random
from typing import Any

import pytest

from benchmarks.search import problems
from benchmarks.search.problems import FUNCTIONS, VERSION, YARD_EVALUATIONS, YARD_SEEDS
from benchmarks.search.tables import from_rows
from celeriac.domain.space import Choice, Int

MINIMA: dict[str, list[dict[str, Any]]] = {
    "branin": [{"x": -3.14159265, "y": 12.275}, {"x": 3.14159265, "y": 2.275}, {"x": 9.42477796, "y": 2.475}],
    "hartmann6": [{"x0": 0.20169, "x1": 0.150011, "x2": 0.476874, "x3": 0.275332, "x4": 0.311652, "x5": 0.6573}],
    "ackley5": [{f"x{column}": 0.0 for column in range(5)}],
    "rosenbrock4m": [{"x0": 1.0, "x1": 1.0, "k": 1, "c": "b"}],
    "levy10": [{f"x{column}": 1.0 for column in range(10)}],
}
# Runs of one VERSION are compared with one another: who changes a value raises it.
VALUES = {
    "branin": (32.7527962, 0.885875047),
    "hartmann6": (-0.716877274, 1.75431233),
    "ackley5": (6.14226617, 8.57154891),
    "rosenbrock4m": (1461.78125, 2113.27722),
    "levy10": (82.6151328, 36.1773031),
}
GRID: dict[str, list[Any]] = {"width": [16, 64, 256], "optimizer": ["sgd", "adam"]}
ROWS = {"00": [3.0, 3.0], "01": [1.0, 2.0], "10": [2.5, 2.5], "11": [0.5, 4.5], "20": [9.0, 9.0], "21": [4.0, 4.0]}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_point_lies_below_the_optimum_and_the_known_ones_lie_at_it(name: str) -> None:
    problem = FUNCTIONS[name]
    for params in MINIMA[name]:
        assert problem.truth(problem.space.validate(params)) == pytest.approx(problem.optimum, abs=1e-5)
    rng = Random(1)
    assert all(problem.truth(problem.space.sample(rng)) > problem.optimum for _ in range(2000))
    near = problem.space.to_unit(MINIMA[name][0])
    for _ in range(500):
        params = problem.space.from_unit([unit + rng.gauss(0, 0.01) for unit in near])
        assert problem.truth(params) >= problem.optimum - 1e-9


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_change_only_with_the_version(name: str) -> None:
    problem = FUNCTIONS[name]
    quarter = problem.space.from_unit([0.25] * len(problem.space.names))
    assert VERSION == 1
    assert (problem.truth(quarter), problem.yard()) == pytest.approx(VALUES[name], rel=1e-6)


def test_a_table_sees_repeats_and_knows_means() -> None:
    table = from_rows("made", GRID, ROWS)
    assert table.space.parameters == {"width": Int(0, 2), "optimizer": Choice(("sgd", "adam"))}
    assert table.optimum == 1.5  # of (64 wide, adam) one repeat is better, its mean is not
    best, lucky = {"width": 0, "optimizer": "adam"}, {"width": 1, "optimizer": "adam"}
    assert table.truth(best) == 1.5
    assert (table.regret(best), table.regret(lucky)) == (0.0, 1.0)
    seen = [table.observe(lucky, 3, number) for number in range(50)]
    assert set(seen) == {0.5, 4.5}
    assert seen == [table.observe(lucky, 3, number) for number in range(50)]
    assert seen != [table.observe(lucky, 4, number) for number in range(50)]


def test_the_yardstick_is_the_median_of_random_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a table of one parameter, 40 draws find the best of 100 in a third of the seeds: the median is the second or
    third.
    """
    line = from_rows("line", {"x": list(range(10)), "y": list(range(10))}, _square())
    monkeypatch.setattr(problems, "problem", lambda name: line)
    problems._yard.cache_clear()
    regrets = sorted(problems._random_regret(line, seed) for seed in range(YARD_SEEDS))
    assert line.yard() == regrets[YARD_SEEDS // 2]
    chance_of_best = 1 - 0.99**YARD_EVALUATIONS
    assert regrets.count(0.0) / YARD_SEEDS == pytest.approx(chance_of_best, abs=0.07)


def _square() -> dict[str, list[float]]:
    return {f"{x}{y}": [10.0 * x + y] for x in range(10) for y in range(10)}


def test_an_unknown_problem_is_told_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no problem is called 'brannin' \(known: branin, "):
        problems.problem("brannin")


def test_a_table_with_a_hole_is_refused() -> None:
    with pytest.raises(ValueError, match="made has 5 rows, and its grid 6 points"):
        from_rows("made", GRID, {key: losses for key, losses in ROWS.items() if key != "20"})
