"""The bayesian sampler: clearly better than random, undisturbed by failures and odd scores, and fast."""

import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac.domain.provenance import Provenance
from celeriac.domain.records import Fault
from celeriac.domain.space import Choice, Float, Int, Space
from coordinator.samplers import bayesian, gp, model
from coordinator.samplers import random as random_search
from coordinator.samplers.api import Kind, Observation, Point, proposed
from coordinator.samplers.bayesian import suggest
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


def test_hyperparameters_are_fitted_ahead_and_when_a_tenth_more_is_there() -> None:
    rungs = [model._fitted_on(n) for n in range(2, 200)]
    assert all(rung < n for n, rung in enumerate(rungs, start=2))
    assert rungs == sorted(rungs)
    assert len({rung for rung in rungs if rung > 10}) < 30
    known = observations(MIXED_SPACE, mixed, 100)
    gp._fitted.cache_clear()
    for count in range(90, 101):
        model.fit_ahead(MIXED_SPACE, known[: count - 1], 7)
        fits = gp._fitted.cache_info().misses
        model.Improvement(MIXED_SPACE, known[:count], [], 7)
        assert gp._fitted.cache_info().misses == fits  # the suggestion itself fits nothing
    assert gp._fitted.cache_info().misses == len({model._fitted_on(n) for n in range(90, 101)})


def test_a_suggestion_has_the_next_fit_made_aside() -> None:
    known = observations(MIXED_SPACE, mixed, 40)
    suggest(MIXED_SPACE, known[:39], [], 1, 11)
    bayesian._aside().submit(int).result(timeout=30)  # what was handed over before this is done
    fits = gp._fitted.cache_info().misses
    suggest(MIXED_SPACE, known, [], 1, 11)
    assert gp._fitted.cache_info().misses == fits


def test_failed_trials_push_the_search_away_and_never_stop_it() -> None:
    def crashes(params: Mapping[str, Any]) -> bool:
        return float(params["lr"]) > 0.01

    known = [
        Observation(o.point, Kind.INFEASIBLE, fault=Fault.USER_BUG) if crashes(o.point.params) else o
        for o in observations(MIXED_SPACE, mixed, 40)
    ]
    assert sum(o.kind is Kind.INFEASIBLE for o in known) > 5
    made = suggest(MIXED_SPACE, known, [], 8, 7)
    assert all(p.how["by"] == "log expected improvement" for p in made)
    assert sum(crashes(p.params) for p in made) <= 1
    assert all(0.5 < p.how["feasible"] <= 1.0 for p in made)


def test_a_study_in_which_all_trials_fail_goes_on_at_random() -> None:
    known = [Observation(o.point, Kind.INFEASIBLE, fault=Fault.USER_BUG) for o in observations(MIXED_SPACE, mixed, 15)]
    [proposal] = suggest(MIXED_SPACE, known, [], 1, 7)
    assert proposal.how == {"by": "random", "reason": "no trial is scored"}


def test_priors_shorten_the_design_and_their_points_may_be_tried_again() -> None:
    far = [replace(o, kind=Kind.PRIOR, noise=0.01, weight=0.5) for o in observations(MIXED_SPACE, mixed, 30)]
    made = suggest(MIXED_SPACE, far, [], 4, 7)
    assert [p.how["by"] for p in made] == ["latin hypercube"] * 2 + ["log expected improvement"] * 2
    assert min(mixed(p.params) for p in made[2:]) < sorted(o.loss or 0.0 for o in far)[3]
    small = Space({"n": Int(1, 3)})
    known = [Observation(proposed(small, {"n": n}, n), Kind.PRIOR, float(n)) for n in (1, 2, 3)]
    assert len(suggest(small, known, [], 5, 7)) == 3


def test_a_pruned_trial_counts_as_what_it_would_have_come_to() -> None:
    """The optimum's neighbours were stopped at a rung where they looked bad only because they had not gone on."""
    rng = random.Random(3)
    line = Space({"x": Float(0, 1)})
    known = []
    for number in range(60):
        x = rng.random()
        final = (x - 0.3) ** 2
        rungs = ((0, final + 1.0),)
        point = proposed(line, {"x": x}, number)
        pruned = number > 10 and 0.2 < x < 0.4
        kind, loss = (Kind.PRUNED, final + 1.0) if pruned else (Kind.FINISHED, final)
        known.append(Observation(point, kind, loss, rungs=rungs))
    assert sum(o.kind is Kind.PRUNED for o in known) > 3
    [proposal] = suggest(line, known, [], 1, 7)
    assert abs(proposal.params["x"] - 0.3) < 0.05


def test_what_the_model_expected_is_told_and_comes_true() -> None:
    known = observations(MIXED_SPACE, mixed, 60)
    made = suggest(MIXED_SPACE, known, [], 8, 7)
    best = min(known, key=lambda o: o.loss or 0.0)
    for proposal in made:
        how = proposal.how
        assert json.loads(json.dumps(how)) == how
        assert how["low"] <= how["mean"] <= how["high"]
        assert (how["incumbent"], how["incumbent_number"]) == (best.loss, best.point.number)
        assert 0.0 <= how["expected_gain"] <= how["incumbent"] - min(how["low"], 0.0) + 1.0
        assert how["fitted_on"] < how["kept"] == 60
    inside = sum(p.how["low"] <= mixed(p.params) <= p.how["high"] for p in made)
    assert inside >= 6
    found = Provenance.read({"mean": 2.0, "low": 1.0, "high": 3.0, "by": "x"})
    assert found.in_scores("maximize").written() == {"mean": -2.0, "low": -3.0, "high": -1.0, "by": "x"}
    assert found.in_scores("minimize") == found


@pytest.mark.parametrize(
    "space",
    [
        Space({"n": Int(1, 6), "kind": Choice(("a", "b", "c")), "flag": Choice((True, False))}),
        Space({"kind": Choice(("a", "b")), "under": Int(1, 12, when={"kind": "a"}), "n": Int(0, 2)}),
        Space({"x": Float(0, 1), "y": Float(1e-4, 1.0, log=True)}),
        MIXED_SPACE,
    ],
    ids=["discrete", "conditional", "continuous", "mixed"],
)
@given(seed=st.integers(0, 2**31), order=st.randoms(use_true_random=False))
@settings(max_examples=int(os.environ.get("CELERIAC_TEST_EXAMPLES", "8")), deadline=None)
def test_thirty_workers_at_once_never_get_one_point_twice(space: Space, seed: int, order: random.Random) -> None:
    """Each asks alone, ends come in any order, and a finite space is used up to its last point."""
    size = space.cardinality()
    asked = 70 if size is None else size + 1
    known: list[Observation] = []
    pending: list[Point] = []
    keys: set[str] = set()
    for number in range(asked):
        made = suggest(space, known, pending, 1, seed)
        if not made:
            break
        point = proposed(space, made[0].params, number)
        assert point.key not in keys
        keys.add(point.key)
        pending.append(point)
        if len(pending) == 30:
            done = pending.pop(order.randrange(30))
            fails = order.random() < 0.1
            known.append(
                Observation(done, Kind.INFEASIBLE, fault=Fault.NOT_FINITE)
                if fails
                else Observation(done, Kind.FINISHED, sum(done.unit) + order.gauss(0, 0.1))
            )
    assert len(keys) == (asked if size is None else size)


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


def test_a_model_that_cannot_be_built_gives_way_to_chance_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise np.linalg.LinAlgError("not positive definite")

    monkeypatch.setattr(model, "fitted", fails)
    [proposal] = suggest(MIXED_SPACE, observations(MIXED_SPACE, mixed, 20), [], 1, 7)
    assert proposal.how == {"by": "random", "reason": "the model failed: not positive definite"}


def test_five_thousand_trials_build_the_model_of_three_hundred() -> None:
    known = observations(MIXED_SPACE, mixed, 5000)
    [proposal] = suggest(MIXED_SPACE, known, [], 1, 7)
    assert (proposal.how["kept"], proposal.how["fitted_on"] > 4000) == (model.KEPT, True)


def test_the_first_trials_are_suggested_without_loading_the_model() -> None:
    code = """
import sys
from coordinator.samplers import bayesian
from coordinator.samplers.lazy_import import loaded
from tests.coordinator.problems import MIXED_SPACE
bayesian.load_ahead = lambda module: None
assert len(bayesian.suggest(MIXED_SPACE, [], [], 10, 7)) == 10
assert not {"numpy", "scipy", "skopt", "sklearn"} & set(sys.modules)
loaded("coordinator.samplers.model")
assert "scipy" in sys.modules and "skopt" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
