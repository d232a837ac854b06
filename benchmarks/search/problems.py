"""The problems: a space, a value to observe, the value that it truly has, and the least of those. Less is better
everywhere.

Five functions without noise, and five tables of real trainings (`benchmarks.search.tables`) whose repeats are the
noise. Where several sets of bounds are in use, those are taken that do not put the optimum into the middle of the
space, where some methods look first. Raise VERSION with any change of a value: runs of another version are not
compared.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from random import Random
from statistics import median
from typing import Any

from celeriac.domain.space import Choice, Float, Int, Space

VERSION = 1
#: The yardstick: random search's median regret after so many evaluations, over so many seeds of its own.
YARD_EVALUATIONS = 40
YARD_SEEDS = 501

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """`observe(params, seed, number)` is what trial `number` of a study sees; `truth(params)` is its mean."""

    name: str
    space: Space
    optimum: float
    truth: Callable[[Params], float]
    observe: Callable[[Params, int, int], float]

    def regret(self, params: Params) -> float:
        """How far a point truly is from the optimum; at least 0."""
        return max(self.truth(params) - self.optimum, 0.0)

    def yard(self) -> float:
        """Random search's median regret at YARD_EVALUATIONS: the unit of normalised regret."""
        return _yard(self.name)


def _function(name: str, space: Space, optimum: float, value: Callable[[Params], float]) -> Problem:
    return Problem(name, space, optimum, value, lambda params, seed, number: value(params))


def _branin(params: Params) -> float:
    x, y = params["x"], params["y"]
    bowl = (y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6) ** 2
    return float(bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


_HARTMANN_A = (
    (10, 3, 17, 3.5, 1.7, 8),
    (0.05, 10, 17, 0.1, 8, 14),
    (3, 3.5, 1.7, 10, 17, 8),
    (17, 8, 0.05, 10, 0.1, 14),
)
_HARTMANN_P = (
    (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
    (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
    (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
    (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
)
_HARTMANN_WEIGHTS = (1.0, 1.2, 3.0, 3.2)


def _hartmann(params: Params) -> float:
    x = _reals(params, 6)
    return -sum(
        weight * math.exp(-sum(a * (v - p) ** 2 for a, v, p in zip(row, x, centre, strict=True)))
        for weight, row, centre in zip(_HARTMANN_WEIGHTS, _HARTMANN_A, _HARTMANN_P, strict=True)
    )


def _ackley(params: Params) -> float:
    x = _reals(params, 5)
    spread = math.sqrt(sum(v * v for v in x) / len(x))
    waves = sum(math.cos(2 * math.pi * v) for v in x) / len(x)
    return -20 * math.exp(-0.2 * spread) - math.exp(waves) + 20 + math.e


#: A choice whose options carry no order: neighbours in the list are far apart on the axis.
_ROSENBROCK_OPTIONS = {"a": -1.5, "b": 1.0, "c": 3.0, "d": 0.0, "e": 2.0}


def _rosenbrock(params: Params) -> float:
    x: list[float] = [params["x0"], params["x1"], float(params["k"]), _ROSENBROCK_OPTIONS[params["c"]]]
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in pairwise(x))


def _levy(params: Params) -> float:
    w = [1 + (v - 1) / 4 for v in _reals(params, 10)]
    middle = sum((v - 1) ** 2 * (1 + 10 * math.sin(math.pi * v + 1) ** 2) for v in w[:-1])
    last = (w[-1] - 1) ** 2 * (1 + math.sin(2 * math.pi * w[-1]) ** 2)
    return math.sin(math.pi * w[0]) ** 2 + middle + last


def _reals(params: Params, count: int) -> list[float]:
    return [params[f"x{column}"] for column in range(count)]


def _cube(count: int, low: float, high: float) -> Space:
    return Space({f"x{column}": Float(low, high) for column in range(count)})


FUNCTIONS: Mapping[str, Problem] = {
    problem.name: problem
    for problem in (
        _function("branin", Space({"x": Float(-5, 10), "y": Float(0, 15)}), 0.39788735772973816, _branin),
        _function("hartmann6", _cube(6, 0, 1), -3.3223680114155147, _hartmann),
        _function("ackley5", _cube(5, -5, 10), 0.0, _ackley),
        _function(
            "rosenbrock4m",
            Space(
                {"x0": Float(-5, 10), "x1": Float(-5, 10), "k": Int(-5, 10), "c": Choice(tuple(_ROSENBROCK_OPTIONS))}
            ),
            0.0,
            _rosenbrock,
        ),
        _function("levy10", _cube(10, -10, 10), 0.0, _levy),
    )
}
TABLES = (
    "hpobench-credit_g",
    "hpobench-segment",
    "hpolib-protein_structure",
    "hpolib-slice_localization",
    "nasbench201-cifar10",
)
NAMES = (*FUNCTIONS, *TABLES)


@cache
def problem(name: str) -> Problem:
    """The problem of that name. Raises ValueError naming the known ones; a table needs the peers' environment."""
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    if name not in TABLES:
        raise ValueError(f"no problem is called {name!r} (known: {', '.join(NAMES)})")
    from benchmarks.search.tables import table

    return table(name)


@cache
def _yard(name: str) -> float:
    return median(_random_regret(problem(name), seed) for seed in range(YARD_SEEDS))


def _random_regret(of: Problem, seed: int) -> float:
    rng = Random(f"yard/{of.name}/{seed}")
    tried = [of.space.sample(rng) for _ in range(YARD_EVALUATIONS)]
    # Seeds of no study, so that no study's noise is also its own yardstick.
    losses = [of.observe(params, -1 - seed, number) for number, params in enumerate(tried)]
    return of.regret(tried[losses.index(min(losses))])
