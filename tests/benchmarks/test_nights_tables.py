"""The benchmark on published sequences: what it looks up, and what its rules are."""

import random

import numpy as np
import pytest

from benchmarks.nights.sequences import NAMES, sequence
from benchmarks.nights.tables import Run, _misled, broken, figures, ruled


def test_the_sequences_are_eleven_and_their_points_score_what_they_scored() -> None:
    assert len(NAMES) == 11
    of = sequence("xgboost_mnist")
    assert of.losses.shape == (6, 1000)
    assert sequence("rbv2_svm_458").losses.shape == (5, 3000)
    params = of.space.sample(random.Random(1))
    assert of.loss(2, params) in of.losses[2]
    assert of.regret(2, float(of.losses[2].min())) == 0.0
    assert of.regret(2, float(np.median(of.losses[2]))) == 1.0


def test_the_rule_runs_the_best_of_each_night_newest_first() -> None:
    space = sequence("xgboost_mnist").space
    points = [space.sample(random.Random(k)) for k in range(6)]
    old = [(points[0], 0.3), (points[1], 0.1), (points[2], 0.2)]
    new = [(points[1], 0.5), (points[3], 0.4), (points[4], 0.9)]
    assert ruled(space, [old, new]) == [points[3], points[1], points[2], points[4], points[0]]


def test_a_misled_past_has_the_same_points() -> None:
    night = [({"k": k}, float(k)) for k in range(9)]
    assert _misled(night, "inverted", random.Random(0))[3] == ({"k": 3}, -3.0)
    shuffled = _misled(night, "shuffled", random.Random(0))
    assert [params for params, _ in shuffled] == [params for params, _ in night]
    assert sorted(loss for _, loss in shuffled) == [loss for _, loss in night] != [loss for _, loss in shuffled]
    assert _misled(night, "ours", random.Random(0)) == night


def test_figures_are_means_over_runs_with_their_standard_error() -> None:
    runs = [Run("ours", "x", seed, "", ((float(seed),) * 25, (float(seed) + 1,) * 25), 0.01) for seed in (0, 2)]
    found = figures(runs)
    assert (found["5"], found["se"]["5"], found["cpu_ms"]) == (1.5, pytest.approx(1.0), 10.0)


def test_a_bar_that_is_missed_is_said() -> None:
    def at(value: float, cpu_ms: float = 9.0) -> dict[str, object]:
        numbers = {str(trials): value for trials in (1, 2, 3, 5, 10, 15, 25)}
        return {**numbers, "se": dict.fromkeys(numbers, 0.01), "cpu_ms": cpu_ms, "runs": 110}

    good = {"ours": at(0.06), "rule": at(0.1), "cold": at(0.2), "inverted": at(0.2), "shuffled": at(0.2), "missing": 0}
    assert broken(good) == []
    assert broken({**good, "missing": 3}) == ["3 runs are missing: call it again"]
    assert len(broken({**good, "ours": at(0.08)})) == 2
    assert len(broken({**good, "ours": at(0.12)})) == 7
    assert broken({**good, "shuffled": at(0.22)})[0].startswith("after 25 trials with a past that was shuffled")
    assert broken({**good, "ours": at(0.06, 15.0)}) == ["a suggestion takes 15.0 CPU-ms, cold 9.0"]
