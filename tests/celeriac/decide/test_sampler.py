"""What `sampler: auto` means: by space, budget and trial length, and the same for the whole of a study."""

from typing import Any

import pytest

from celeriac.decide.sampler import SUGGESTION_S, TELLING, choose, chosen_sampler
from celeriac.domain.records import Counts
from celeriac.domain.study_file import StudySpec, parse
from tests.celeriac.decide.records import study

REAL = {"lr": {"float": [1e-4, 1.0], "log": True}, "optimizer": {"choice": ["sgd", "adam", "rms"]}}
NINE = {"n": {"int": [1, 3]}, "kind": {"choice": ["a", "b", "c"]}}
MANY = {f"layer{n}": {"choice": [f"op{k}" for k in range(8)]} for n in range(16)}


def spec(space: dict[str, Any] = REAL, **changes: Any) -> StudySpec:
    return parse(
        {
            "study": "s",
            "objective": "train:objective",
            "metric": {"name": "loss", "goal": "minimize"},
            "space": space,
            "budget": {"trials": 60},
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("of", "name", "reason"),
    [
        (spec(), "bayesian", "its model learns most"),
        (spec(sampler="random"), "random", "the study file says so"),
        (spec(NINE, sampler="optuna:TPESampler"), "optuna:TPESampler", "the study file says so"),
        (spec(NINE), "grid", "the budget covers all 9 points of the space"),
        (spec(NINE, budget={"trials": 9}), "grid", "the budget covers all 9 points"),
        (spec(NINE, budget={"trials": 8}), "bayesian", "its model"),
        # What may end the study earlier makes the order matter.
        (spec(NINE, budget={"trials": 60, "wall": "1h"}), "bayesian", "its model"),
        (spec(NINE, stop_study={"target": 0.1}), "bayesian", "its model"),
        (spec(MANY), "bayesian", "its model learns most"),
    ],
)
def test_the_choice_and_its_reason(of: StudySpec, name: str, reason: str) -> None:
    decision = choose(of)
    assert decision.name == name
    assert decision.reason.startswith(reason)


def test_a_model_gives_way_where_short_trials_would_wait_for_it_too_long() -> None:
    short = {"every_s": SUGGESTION_S / 3}
    assert choose(spec(), **short).name == "bayesian"  # sixty of them: a second
    many = spec(budget={"trials": 60_000})
    assert choose(many, every_s=SUGGESTION_S).name == "bayesian"
    decision = choose(many, **short)
    assert decision.name == "sobol"
    assert decision.reason == "a trial ends every 10 ms: a model would hold 60000 of them up by 20 minutes"
    assert choose(spec(budget={"trials": 60_000}, stop_study={"min_gain": 0.1}), **short).name == "bayesian"
    assert choose(spec(budget={"trials": 60_000}, stop_study={"target": 0.1}), **short).name == "sobol"


def test_a_study_s_trials_tell_their_length_once_there_are_enough() -> None:
    many = spec(budget={"trials": 60_000}, parallel=4)

    def after(finished: int, trial_s: float) -> str:
        row = study(counts=Counts(scored=finished), ran_s=finished * trial_s)
        return chosen_sampler(many, row).name

    assert after(0, 0.0) == "bayesian"
    assert after(TELLING - 1, 0.01) == "bayesian"
    assert after(TELLING, 0.01) == "sobol"
    assert after(TELLING, 0.05) == "sobol"  # four at a time
    assert after(TELLING, 1.0) == "bayesian"
