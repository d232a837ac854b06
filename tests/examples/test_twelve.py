"""The twelve-parameter example: the space is as wide as it says, no day is in two parts, the network learns from the
timetable.
"""

import math
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from celeriac import Result, Trial
from celeriac.domain.space import Int
from celeriac.domain.study_file import StudySpec, load
from tests.examples.conftest import EXAMPLES


@pytest.fixture(scope="module")
def spec() -> StudySpec:
    return load(EXAMPLES / "twelve" / "study.yaml")


@pytest.fixture
def small(twelve: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example on a twentieth of its flights."""
    parts = {name: {key: v[::20].copy() for key, v in part.items()} for name, part in twelve.DATA.items()}
    monkeypatch.setattr(twelve, "DATA", parts)
    return twelve


def run(module: ModuleType, params: Mapping[str, Any]) -> tuple[Result, list[float]]:
    trial = Trial.offline(params, seed=5)
    result = module.objective(trial)
    assert isinstance(result, Result)
    return result, [message["value"] for message in trial.reports]


def test_the_space_is_as_wide_as_it_says(spec: StudySpec) -> None:
    whole = [each for each in spec.space.parameters.values() if isinstance(each, Int)]
    assert (len(spec.space.names), len(whole)) == (12, 7)
    assert math.prod(each.count for each in whole) == 451_584
    assert spec.default is not None


def test_no_day_is_in_two_parts_and_every_flight_in_one(twelve: ModuleType) -> None:
    days = {name: {round(float(a), 6) for a in np.unique(part["angle"])} for name, part in twelve.DATA.items()}
    assert {name: len(found) for name, found in days.items()} == twelve.DAYS
    assert len(set.union(*days.values())) == 365
    counts = {name: len(part["minutes"]) for name, part in twelve.DATA.items()}
    assert counts["validation"] + counts["test"] + counts["train"] * twelve.EVERY == pytest.approx(
        327_346, abs=twelve.EVERY
    )


def test_it_learns_and_the_score_is_the_last_report(small: ModuleType, spec: StudySpec) -> None:
    assert spec.default is not None
    result, reported = run(small, {**spec.default, "batch_power": 6})
    assert result.score == reported[-1] < reported[0]
    # Better than taking the mean of all flights for each of them.
    truth = small.DATA["validation"]["minutes"]
    assert result.score < 0.5 * np.abs(truth - small.MEAN).mean()
    assert result.metrics["test"] > 0


def test_the_same_seed_gives_the_same_result(small: ModuleType, spec: StudySpec) -> None:
    assert spec.default is not None
    assert run(small, {**spec.default, "epochs": 3}) == run(small, {**spec.default, "epochs": 3})


def test_every_corner_of_the_space_trains(small: ModuleType, spec: StudySpec) -> None:
    for place in (0.0, 1.0):
        params = spec.space.from_unit([place] * len(spec.space.names))
        result, reported = run(small, params)
        assert len(reported) == params["epochs"]
        assert math.isfinite(result.score)
