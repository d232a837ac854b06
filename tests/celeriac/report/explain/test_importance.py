"""Importances by Optuna over our records: the parameter that decides is found, conditions are minded, few trials are
refused.
"""

import random
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import optuna
import pytest

from celeriac.domain.errors import ExtraMissing
from celeriac.domain.records import Goal, TrialRecord, TrialState
from celeriac.domain.space import Space
from celeriac.report.explain.importance import FEWEST, QUESTIONS, Importance, Method, importances
from tests.celeriac.report.explain.rows import trial

SPACE = Space.from_dict(
    {
        "lr": {"float": [1e-5, 1e-1], "log": True},
        "dropout": {"float": [0.0, 0.5], "step": 0.05},
        "width": {"int": [16, 256], "log": True},
        "layers": {"int": [1, 9], "step": 2},
        "optimizer": {"choice": ["sgd", "adam"]},
        "momentum": {"float": [0.5, 0.99], "when": {"optimizer": "sgd"}},
        "odd": {"choice": [1, True, None, "1"]},
    }
)


def by_width(params: Mapping[str, Any]) -> float:
    return -abs(float(params["width"]) - 100) / 100


def by_momentum(params: Mapping[str, Any]) -> float:
    """What counts is to have momentum at all, and its value."""
    return float(params.get("momentum", 0.0)) * 2


def played(count: int, score: Callable[[Mapping[str, Any]], float], space: Space = SPACE) -> list[TrialRecord]:
    """Random trials of a function with a little noise."""
    rng = random.Random(3)
    drawn = [space.sample(rng) for _ in range(count)]
    return [trial(k, params, score(params) + rng.gauss(0, 0.01)) for k, params in enumerate(drawn)]


def shares(trials: list[TrialRecord], method: Method, goal: Goal = "maximize") -> dict[str, Importance]:
    return {each.name: each for each in importances(SPACE, goal, trials, method).parameters}


@pytest.mark.parametrize("method", QUESTIONS)
def test_the_parameter_that_decides_is_found(method: Method) -> None:
    found = importances(SPACE, "maximize", played(80, by_width), method)
    first, *others = found.parameters
    assert first.name == "width"
    assert first.share is not None
    assert first.share > 0.6
    assert {each.name for each in others} == set(SPACE.names) - {"width"}
    assert (found.trials, found.used, found.caution, found.reason) == (80, 80, "", "")


def test_the_shares_of_the_best_add_up_to_one_conditions_included() -> None:
    found = shares(played(80, by_momentum), "ped-anova")
    assert sum(each.share or 0.0 for each in found.values()) == pytest.approx(1.0)
    # Among the best are only trials with a large momentum, and all of these use sgd.
    assert sorted(found, key=lambda name: -(found[name].share or 0.0))[:2] == ["momentum", "optimizer"]
    momentum = found["momentum"]
    assert momentum.condition == "only when optimizer is 'sgd'"
    assert FEWEST < momentum.trials < 80


def test_the_goal_is_minded() -> None:
    trials = played(80, lambda params: -by_width(params))
    (first, *_) = importances(SPACE, "minimize", trials).parameters
    assert first.name == "width"
    assert shares(trials, "ped-anova", "minimize") != shares(trials, "ped-anova", "maximize")


def test_fanova_judges_a_conditional_parameter_within_the_trials_that_have_it() -> None:
    trials = played(80, by_momentum)
    found = shares(trials, "fanova")
    assert sum(each.share or 0.0 for each in found.values() if not each.condition) == pytest.approx(1.0)
    assert found["momentum"].share is not None
    assert found["momentum"].share > 0.8
    assert found["momentum"].trials == sum("momentum" in each.params for each in trials)
    few = [each for each in trials if "momentum" not in each.params]
    few += [each for each in trials if "momentum" in each.params][: FEWEST - 1]
    assert shares(few, "fanova")["momentum"] == Importance(
        "momentum", None, trials=FEWEST - 1, condition="only when optimizer is 'sgd'"
    )


@pytest.mark.parametrize("method", QUESTIONS)
def test_too_few_trials_are_refused_with_the_reason(method: Method) -> None:
    found = importances(SPACE, "maximize", played(FEWEST - 1, by_width), method)
    assert found.parameters == ()
    assert f"{FEWEST - 1} are scored" in found.reason
    same = [replace(each, score=0.5) for each in played(20, by_width)]
    assert "all 20 scores are the same" in importances(SPACE, "maximize", same, method).reason


def test_only_scored_trials_count() -> None:
    trials = played(30, by_width)
    pruned = [replace(each, state=TrialState.PRUNED, number=each.number + 30) for each in trials]
    failed = [trial(60 + k, each.params, None) for k, each in enumerate(trials)]
    assert importances(SPACE, "maximize", trials + pruned + failed) == importances(SPACE, "maximize", trials)


def test_few_trials_are_told_with_a_range_that_holds_the_share() -> None:
    found = importances(SPACE, "maximize", played(30, by_width))
    assert "only 30 scored trials" in found.caution
    for each in found.parameters:
        assert each.low is not None
        assert each.high is not None
        assert 0.0 <= each.low <= each.high <= 1.0
    for number in (12, 16, 30):
        for each in importances(SPACE, "maximize", played(number, by_width)).parameters:
            assert (each.low or 0.0) <= (each.share or 0.0) <= (each.high or 0.0)
    widths = {each.name: (each.high or 0.0) - (each.low or 0.0) for each in found.parameters}
    many = importances(SPACE, "maximize", played(290, by_width))
    assert all((each.high or 0.0) - (each.low or 0.0) < widths["width"] for each in many.parameters)


@pytest.mark.parametrize("method", QUESTIONS)
def test_the_same_trials_give_the_same_shares(method: Method) -> None:
    trials = played(40, by_width)
    assert importances(SPACE, "maximize", trials, method) == importances(SPACE, "maximize", trials, method)


def test_of_very_many_trials_a_part_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    from celeriac.report.explain import importance

    monkeypatch.setitem(importance._MOST, "fanova", 40)
    found = importances(SPACE, "maximize", played(60, by_width), "fanova")
    assert (found.trials, found.used, found.parameters[0].name) == (60, 40, "width")


def test_optuna_says_nothing_and_is_left_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importances(SPACE, "maximize", played(FEWEST, by_width))
    assert capsys.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == before


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ExtraMissing, match=r"pip install 'celeriac\[plots\]'"):
        importances(SPACE, "maximize", played(20, by_width))


@pytest.mark.parametrize("method", QUESTIONS)
def test_a_choice_whose_trials_were_all_pruned_matters(method: Method) -> None:
    def stopped(each: TrialRecord) -> TrialRecord:
        return replace(each, state=TrialState.PRUNED, score=None, last_value=-5.0 + 0.01 * each.number)

    trials = [stopped(each) if each.params["optimizer"] == "sgd" else each for each in played(120, lambda params: 0.0)]
    found = importances(SPACE, "maximize", trials, method)
    assert found.parameters[0].name in ("optimizer", "momentum")
    assert found.pruned == sum(each.state is TrialState.PRUNED for each in trials) > 20
    assert found.trials == 120
