"""The bayesian sampler: clearly better than random, undisturbed by failures and odd scores, and fast."""

import random
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac.records import Fault
from celeriac.space import INACTIVE, Choice, Float, Int, Space
from coordinator.samplers import gp, model
from coordinator.samplers import random as random_search
from coordinator.samplers.bayesian import suggest
from coordinator.samplers.box import Box
from coordinator.samplers.gp import believing, fitted
from coordinator.samplers.seam import Kind, Observation, proposed
from tests.coordinator.problems import (
    BRANIN_BEST,
    BRANIN_SPACE,
    HARTMANN_BEST,
    HARTMANN_SPACE,
    MIXED_SPACE,
    Objective,
    branin,
    hartmann,
    mixed,
    simulate,
)

SEEDS = 6

EVERYTHING = Space(
    {
        "real": Float(-2, 5),
        "log": Float(1e-5, 1, log=True),
        "step": Float(0, 1, step=0.25),
        "whole": Int(3, 9),
        "logwhole": Int(1, 1000, log=True),
        "kind": Choice(("a", "b", "c")),
        "flag": Choice((True, False)),
        "fixed": Choice(("only",)),
        "under": Float(0, 1, when={"kind": ["a", "c"]}),
        "deeper": Int(1, 4, when={"flag": True, "kind": "c"}),
    }
)


def observations(space: Space, objective: Objective, count: int, seed: int = 1) -> list[Observation]:
    rng = random.Random(seed)
    points = [proposed(space, space.sample(rng), number) for number in range(count)]
    return [Observation(point, Kind.FINISHED, objective(point.params)) for point in points]


def regrets(sampler: Any, space: Space, objective: Objective, best: float, seeds: int) -> list[float]:
    ends = [simulate(sampler, space, objective, 40, seed, behind=2) for seed in range(seeds)]
    return [min(o.loss for o in each if o.loss is not None) - best for each in ends]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "objective", "best", "ratio"),
    [
        (BRANIN_SPACE, branin, BRANIN_BEST, 0.1),
        (HARTMANN_SPACE, hartmann, HARTMANN_BEST, 0.35),
        (MIXED_SPACE, mixed, 0.0, 0.1),
    ],
    ids=["branin", "hartmann", "mixed"],
)
def test_it_clearly_beats_random(space: Space, objective: Objective, best: float, ratio: float) -> None:
    ours = regrets(suggest, space, objective, best, SEEDS)
    chance = regrets(random_search.suggest, space, objective, best, SEEDS)
    assert statistics.median(ours) < ratio * statistics.median(chance)
    assert sum(a < b for a, b in zip(ours, chance, strict=True)) == SEEDS


@given(st.lists(st.lists(st.floats(0, 1), min_size=10, max_size=10), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_the_arrays_agree_with_the_space(vectors: list[list[float]]) -> None:
    box = Box(EVERYTHING)
    snapped = box.snapped(np.array(vectors))
    for row, vector in zip(snapped, vectors, strict=True):
        params = EVERYTHING.from_unit(vector)
        assert box.params(row) == pytest.approx(params)
        assert row == pytest.approx(EVERYTHING.to_unit(params), abs=1e-9)


def test_what_the_model_sees() -> None:
    box = Box(Space({"n": Int(0, 1), "flag": Choice((True, False)), "kind": Choice(("a", "b", "c"))}))
    params: list[dict[str, Any]] = [
        {"flag": True, "kind": "a", "n": 0},
        {"flag": False, "kind": "b", "n": 1},
    ]
    encoded = box.encoded(np.array([box.space.to_unit(p) for p in params]))
    # Columns by name: flag, three of kind, n; two options differ by 1.
    assert encoded.tolist() == [
        [0.0, np.sqrt(0.5), 0.0, 0.0, 0.25],
        [1.0, 0.0, np.sqrt(0.5), 0.0, 0.75],
    ]
    under = Box(Space({"kind": Choice(("a", "b")), "x": Float(0, 1, when={"kind": "a"})}))
    assert under.snapped(np.array([[0.9, 0.2]]))[0, 1] == INACTIVE


def test_variations_stay_in_the_space_and_do_vary() -> None:
    box = Box(EVERYTHING)
    centres = box.snapped(np.random.default_rng(0).random((3, box.columns)))
    near = box.around(centres, 50, 0.05, np.random.default_rng(1))
    keys = {EVERYTHING.key(box.params(place)) for place in near}
    assert near.shape == (150, box.columns)
    assert len(keys) > 100
    assert near == pytest.approx(box.snapped(near))


def test_a_believed_point_moves_no_mean_and_shrinks_the_variance_as_a_refit_would() -> None:
    rng = np.random.default_rng(3)
    places, losses, pending, asked = (
        rng.random((30, 2)),
        rng.standard_normal(30),
        rng.random((3, 2)),
        rng.random((50, 2)),
    )
    theta = fitted(places, losses)
    model = believing(theta, places, losses)
    before, _ = model.predict(asked, return_std=True)
    model.believe(pending[:1])
    model.believe(pending[1:])
    mean, deviation = model.predict(asked, return_std=True)
    anew = believing(theta, np.vstack([places, pending]), np.append(losses, model.predict(pending)))
    expected_mean, expected_deviation = anew.predict(asked, return_std=True)
    assert mean == pytest.approx(before)
    assert mean == pytest.approx(expected_mean, abs=1e-5)
    assert deviation == pytest.approx(expected_deviation, abs=1e-5)


def test_hyperparameters_are_refitted_when_a_tenth_more_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    rungs = [model._refit_at(n) for n in range(1, 200)]
    assert all(rung <= n for n, rung in enumerate(rungs, start=1))
    assert rungs == sorted(rungs)
    assert len({rung for rung in rungs if rung > 10}) < 30
    gp._fitted.cache_clear()
    known = observations(MIXED_SPACE, mixed, 100)
    for count in range(95, 100):
        suggest(MIXED_SPACE, known[:count], [], 1, 7)
    assert gp._fitted.cache_info().misses == len({model._refit_at(n) for n in range(95, 100)})


def test_failed_trials_push_the_search_away_and_never_stop_it() -> None:
    def crashes(params: Mapping[str, Any]) -> bool:
        return float(params["lr"]) > 0.01

    known = [
        Observation(o.point, Kind.INFEASIBLE, fault=Fault.USER_BUG) if crashes(o.point.params) else o
        for o in observations(MIXED_SPACE, mixed, 40)
    ]
    assert sum(o.kind is Kind.INFEASIBLE for o in known) > 5
    made = suggest(MIXED_SPACE, known, [], 8, 7)
    assert all(p.how["by"] == "expected improvement" for p in made)
    assert sum(crashes(p.params) for p in made) <= 2


def test_a_study_in_which_all_trials_fail_goes_on_at_random() -> None:
    known = [
        Observation(o.point, Kind.INFEASIBLE, fault=Fault.USER_BUG)
        for o in observations(MIXED_SPACE, mixed, 15)
    ]
    [proposal] = suggest(MIXED_SPACE, known, [], 1, 7)
    assert proposal.how == {"by": "random", "reason": "only 0 trials are scored"}


@pytest.mark.parametrize(
    "losses",
    [
        [1.0] * 30,
        [0.0] * 29 + [1e300],
        [1e-300 * n for n in range(30)],
        [1e15 + n for n in range(30)],
        [-1e308] * 15 + [1e308] * 15,
    ],
    ids=["equal", "outlier", "tiny", "huge offset", "overflowing"],
)
def test_odd_scores_end_in_a_proposal(losses: list[float]) -> None:
    known = [
        Observation(o.point, Kind.FINISHED, loss)
        for o, loss in zip(observations(MIXED_SPACE, mixed, 30), losses, strict=True)
    ]
    [proposal] = suggest(MIXED_SPACE, known, [], 1, 7)
    assert MIXED_SPACE.validate(proposal.params) == proposal.params


def test_a_model_that_cannot_be_built_gives_way_to_chance_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: Any) -> None:
        raise np.linalg.LinAlgError("not positive definite")

    monkeypatch.setattr(model, "fitted", fails)
    [proposal] = suggest(MIXED_SPACE, observations(MIXED_SPACE, mixed, 20), [], 1, 7)
    assert proposal.how == {"by": "random", "reason": "the model failed: not positive definite"}


def test_five_thousand_trials_cost_what_three_hundred_do() -> None:
    known = observations(MIXED_SPACE, mixed, 5000)
    pending = [proposed(MIXED_SPACE, MIXED_SPACE.sample(random.Random(n)), 5000 + n) for n in range(20)]
    suggest(MIXED_SPACE, known, pending, 1, 7)
    started = time.process_time()
    [proposal] = suggest(MIXED_SPACE, known, pending, 1, 7)
    assert proposal.how["kept"] == model.KEPT
    assert time.process_time() - started < 1.0


def test_the_first_trials_are_suggested_without_loading_the_model() -> None:
    code = """
import sys
from coordinator.samplers import bayesian
from tests.coordinator.problems import MIXED_SPACE
bayesian._load_ahead = lambda: None
assert len(bayesian.suggest(MIXED_SPACE, [], [], 10, 7)) == 10
assert not {"numpy", "scipy", "skopt", "sklearn"} & set(sys.modules)
bayesian._model()
assert "skopt" in sys.modules and "pandas" not in sys.modules
import pandas
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
