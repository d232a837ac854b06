"""The keys of early ends: every rule with its own, reasons to end a study, and how each mistake in them is told."""

import json
import math
from typing import Any

import pytest

from celeriac.domain.errors import SpecInvalid
from celeriac.domain.stop_rules import Asha, Hyperband, Median, Patience, Pbt, StopRule, StopStudy, Threshold
from celeriac.domain.study_file import parse, stop_rule
from tests.celeriac.domain.study_file.files import SMALL, refused

EARLY: list[tuple[dict[str, Any], StopRule]] = [
    ({"rule": "asha", "max": 27}, Asha(3, 27, 3, "step")),
    ({"rule": "asha", "max": 20}, Asha(3, 20)),
    ({"rule": "asha", "max": 30, "eta": 4}, Asha(2, 30, 4)),
    ({"rule": "asha", "max": 2}, Asha(1, 2)),
    ({"rule": "asha", "min": 2, "max": 9e3, "eta": 4, "resource": "samples"}, Asha(2, 9000, 4, "samples")),
    ({"rule": "asha", "min": "10s", "max": "1h", "resource": "seconds"}, Asha(10, 3600, 3, "seconds")),
    ({"rule": "hyperband", "max": 81}, Hyperband(9, 81)),
    ({"rule": "median"}, Median(1, 1, 5)),
    ({"rule": "median", "min": 0, "every": 5, "trials": 9}, Median(0, 5, 9)),
    ({"rule": "patience", "reports": 4}, Patience(4)),
    ({"rule": "patience", "reports": 4, "min_delta": 1e-3, "min": 7}, Patience(4, 0.001, 7)),
    ({"rule": "threshold", "at": 3, "bound": -0.5}, Threshold(3, -0.5)),
    ({"rule": "pbt", "every": 5, "max": 40}, Pbt(5, 40, 8, 0.25, 1.2, 0.25, ())),
    (
        {"rule": "pbt", "every": 1, "max": 2, "population": 20, "quantile": 0.05, "perturb": 2, "resample": 0}
        | {"change": ["width"]},
        Pbt(1, 2, 20, 0.05, 2.0, 0.0, ("width",)),
    ),
]


@pytest.mark.parametrize(("given", "rule"), EARLY)
def test_each_rule_of_early_stopping_is_read_and_written(given: dict[str, Any], rule: StopRule) -> None:
    spec = parse({**SMALL, "stop_early": given})
    assert spec.stop_early == rule
    assert parse(spec.to_dict()) == spec
    assert stop_rule(json.loads(json.dumps(spec.to_dict()))) == rule


def test_without_a_rule_nothing_is_stopped() -> None:
    spec = parse(SMALL)
    assert (spec.stop_early, spec.stop_study) == (None, None)
    assert stop_rule(spec.to_dict()) is None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("asha", ": must be a mapping, such as {rule: asha, max: 27}, not 'asha'"),
        ({}, ".rule: is missing; write it, such as `rule: asha`"),
        ({"rule": "ahsa", "max": 9}, ".rule: cannot be 'ahsa'; did you mean 'asha'?"),
        ({"rule": ["asha"]}, ".rule: cannot be ['asha']"),
        ({"rule": "asha"}, ".max: is missing; write it, such as `max: 27`"),
        ({"rule": "asha", "max": 27, "maxx": 3}, ".maxx: is not known here; did you mean 'max'?"),
        ({"rule": "asha", "max": 27, "reports": 3}, ".reports: is not known here; known: eta, max, min"),
        ({"rule": "asha", "min": 9, "max": 9}, ".max: must be above min (9), or there is no rung below it"),
        ({"rule": "asha", "min": 0, "max": 9}, ".min: must be from 1"),
        ({"rule": "asha", "max": 27, "eta": 1}, ".eta: must be from 2 to 100"),
        ({"rule": "asha", "max": 27.5}, ".max: must be a whole number, not 27.5"),
        ({"rule": "asha", "max": "27s"}, ".max: must be a whole number, not '27s'"),
        ({"rule": "asha", "max": "1.5s", "resource": "seconds"}, ".max: must be a whole number"),
        ({"rule": "hyperband", "max": 27, "resource": 3}, ".resource: must be text"),
        ({"rule": "median", "every": 0}, ".every: must be from 1"),
        ({"rule": "median", "trials": 0}, ".trials: must be from 1"),
        ({"rule": "pbt", "max": 40}, ".every: is missing; write it, such as `every: 5`"),
        ({"rule": "pbt", "every": 5}, ".max: is missing; write it, such as `max: 40`"),
        ({"rule": "pbt", "every": 5, "max": 5}, ".max: must be above every (5), or no trial is ready before its end"),
        ({"rule": "pbt", "every": 5, "max": 9, "population": 3}, ".population: of 3 has no last 0.25: write 4 or more"),
        ({"rule": "pbt", "every": 5, "max": 9, "quantile": 0.6}, ".quantile: must be 0.5 or less, not 0.6"),
        ({"rule": "pbt", "every": 5, "max": 9, "perturb": 1}, ".perturb: must be 1.001 or more, not 1"),
        ({"rule": "pbt", "every": 5, "max": 9, "change": "lr"}, ".change: must be a list of parameters, such as [lr]"),
        ({"rule": "pbt", "every": 5, "max": 9, "resource": "seconds"}, ".resource: is not known here"),
        ({"rule": "patience"}, ".reports: is missing; write it, such as `reports: 5`"),
        ({"rule": "patience", "reports": 5, "min_delta": -1}, ".min_delta: must be 0 or more, not -1"),
        ({"rule": "threshold", "bound": 1}, ".at: is missing"),
        ({"rule": "threshold", "at": 5}, ".bound: is missing"),
        ({"rule": "threshold", "at": 5, "bound": math.nan}, ".bound: must be a number, not nan"),
        ({"rule": "threshold", "at": 5, "bound": 10**400}, ".bound: must be a number, not 1000"),
    ],
)
def test_a_mistake_in_a_rule_of_early_stopping(given: Any, says: str) -> None:
    (problem,) = refused({"stop_early": given})
    assert problem.startswith(f"file.yaml: stop_early{says}")


@pytest.mark.parametrize(
    ("given", "stop"),
    [
        ({"target": 0.99}, StopStudy(0.99)),
        ({"min_gain": 1e-3}, StopStudy(min_gain=0.001)),
        ({"max_regret": 0.01, "suggestions": 5}, StopStudy(max_regret=0.01, suggestions=5)),
        ({"target": -1, "min_gain": 0, "max_regret": 0}, StopStudy(-1.0, 0.0, 0.0)),
    ],
)
def test_each_reason_to_stop_a_study_is_read_and_written(given: dict[str, Any], stop: StopStudy) -> None:
    spec = parse({**SMALL, "stop_study": given})
    assert spec.stop_study == stop
    assert parse(spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (0.99, ": must be a mapping with max_regret, min_gain, suggestions, target"),
        ({"suggestions": 3}, ": names no reason; write target, min_gain or max_regret"),
        ({"traget": 0.9}, ".traget: is not known here; did you mean 'target'?"),
        ({"target": "high"}, ".target: must be a number, not 'high'"),
        ({"target": 10**400}, ".target: must be a number, not 1000"),
        ({"target": True}, ".target: must be a number, not True"),
        ({"min_gain": -0.1}, ".min_gain: must be 0 or more, not -0.1"),
        ({"min_gain": 0.1, "suggestions": 0}, ".suggestions: must be from 1"),
    ],
)
def test_a_mistake_in_stopping_a_study(given: Any, says: str) -> None:
    assert any(problem.startswith(f"file.yaml: stop_study{says}") for problem in refused({"stop_study": given}))


@pytest.mark.parametrize("key", ["min_gain", "max_regret"])
@pytest.mark.parametrize("sampler", ["random", "grid"])
def test_a_sampler_that_expects_nothing_cannot_end_a_study_by_it(key: str, sampler: str) -> None:
    (problem,) = refused({"stop_study": {key: 0.1}, "sampler": sampler})
    assert problem.startswith(f"file.yaml: stop_study.{key}: the {sampler} sampler expects nothing")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            {"sampler": "bayesian"},
            "sampler: cannot be bayesian beside `rule: pbt`, whose members learn from each other",
        ),
        (
            {"stop_early": {"rule": "pbt", "every": 5, "max": 9, "change": ["rl"]}},
            "stop_early.change: 'rl' is no parameter",
        ),
        ({"parallel": 9}, "parallel: cannot be more than the population of 8"),
        (
            {"schedule": {"name": "nightly", "cron": "0 2 * * *"}, "study": None},
            "stop_early.rule: cannot be pbt in a schedule",
        ),
    ],
)
def test_what_a_population_cannot_be_beside(more: dict[str, Any], says: str) -> None:
    form = {**SMALL, "stop_early": {"rule": "pbt", "every": 5, "max": 40}, **more}
    with pytest.raises(SpecInvalid) as caught:
        parse({key: value for key, value in form.items() if value is not None}, "file.yaml", is_new=True)
    assert caught.value.problems[0].startswith(f"file.yaml: {says}")


def test_a_population_has_as_many_trials_at_once_as_members() -> None:
    form = {**SMALL, "stop_early": {"rule": "pbt", "every": 5, "max": 40}}
    assert parse(form).parallel == 8
    assert parse({**form, "parallel": 2}).parallel == 2
