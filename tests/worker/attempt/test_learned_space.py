"""What an objective asked for stands in its trial's row and in the study's space, when the trial has ended."""

from typing import Any

from celeriac.domain.records import Fault, TrialState
from celeriac.domain.study_file import parse
from tests.worker.conftest import Bench

LEARNS: dict[str, Any] = {"api": "optuna", "learn_space": True, "space": None}
LR = {"float": [1e-05, 0.1], "log": True}


def test_each_trial_adds_what_it_asked_for_and_keeps_no_more(bench: Bench) -> None:
    study = bench.study("asking:conditional", **LEARNS)
    for params in ({}, {"kind": "a", "lr": 0.5, "depth": 3}, {"kind": "b", "lr": 0.01, "depth": 3}):
        bench.attempt(bench.ticket(study, params or {"unknown": 1}))
    first, second, third = bench.store.trials(study.id)
    assert [each.detail for each in (first, second, third)] == [""] * 3
    assert set(first.params) in ({"kind", "lr"}, {"kind", "depth"})
    assert second.params["kind"] == "a"
    assert second.params["lr"] == second.score != 0.5  # that is outside the range it asked for
    assert third.params == {"kind": "b", "depth": 3}
    space = parse(bench.store.study(study.id).spec).space
    assert space.to_dict() == {"kind": {"choice": ["a", "b"]}, "lr": LR, "depth": {"int": [2, 8]}}


def test_a_trial_that_dies_has_told_what_it_asked_for(bench: Bench) -> None:
    trial = bench.run("asking:dies", {"other": 1}, **LEARNS)
    assert (trial.state, trial.fault) == (TrialState.FAILED, Fault.USER_BUG)
    assert trial.params["other"] == 1
    assert bench.store.study(trial.study_id).spec["space"] == {"depth": {"int": [2, 8]}}
    assert 2 <= trial.params["depth"] <= 8


def test_a_given_space_stays_as_it_is(bench: Bench) -> None:
    given = {"kind": {"choice": ["a", "b"]}, "lr": {"float": [0.0, 1.0], "when": {"kind": "a"}}}
    trial = bench.run("asking:conditional", {"kind": "a", "lr": 0.75}, api="optuna", space=given)
    assert (trial.state, trial.score, trial.params) == (TrialState.SCORED, 0.75, {"kind": "a", "lr": 0.75})
    assert bench.store.study(trial.study_id).spec["space"] == given
