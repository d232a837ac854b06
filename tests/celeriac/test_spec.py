"""Study and schedule files: everything that a file may say, and how each mistake is told."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac.errors import SpecInvalid
from celeriac.space import Choice, Float, Int, Space
from celeriac.spec import (
    Budget,
    Metric,
    ScheduleSpec,
    StudySpec,
    difference,
    is_study_name,
    load,
    parse,
    plain_scalar,
    seed_of,
    stop_rule,
)
from celeriac.stop_rules import Asha, Hyperband, Median, Patience, StopRule, StopStudy, Threshold

STUDY = """\
study: digits
objective: train:objective
code: .
metric: {name: accuracy, goal: maximize}
space:
  lr:        {float: [1e-4, 1e-1], log: true}
  width:     {int: [16, 256], log: true}
  optimizer: {choice: [sgd, adam]}
  momentum:  {float: [0.5, 0.99], when: {optimizer: sgd}}
default: {lr: 0.01, width: 64, optimizer: adam}
sampler: random
seed: 7
budget: {trials: 60, wall: 30m}
parallel: 4
resources: {gpus: 1}
timeout: 10m
retry: {attempts: 2}
labels: {team: vision, year: 2026}
"""
SCHEDULE = """\
objective: train:objective
metric: {name: loss, goal: minimize}
space: {lr: {float: [1e-4, 1e-1]}}
budget: {trials: 12}
schedule:
  name: flights
  cron: "0  2 * * *"
  timezone: America/New_York
  slices: {region: [eu, us], day: [1, 2, 3]}
"""
SMALL: dict[str, Any] = {
    "study": "s",
    "objective": "train:objective",
    "metric": {"name": "accuracy", "goal": "maximize"},
    "space": {"lr": {"float": [0.0, 1.0]}},
    "budget": {"trials": 5},
}


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def told(tmp_path: Path, text: str) -> list[str]:
    """The problems of a file, without the directory in front."""
    with pytest.raises(SpecInvalid) as caught:
        load(write(tmp_path, text))
    return [problem.removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def refused(changes: dict[Any, Any]) -> list[str]:
    """The problems of the small study with some keys changed; None takes a key away."""
    with pytest.raises(SpecInvalid) as caught:
        parse(SMALL | changes, "file.yaml")
    return caught.value.problems


# What a file says


def test_a_study_file(tmp_path: Path) -> None:
    spec = load(write(tmp_path, STUDY))
    assert spec == StudySpec(
        study="digits",
        objective="train:objective",
        code=".",
        metric=Metric("accuracy", "maximize"),
        space=Space(
            {
                "lr": Float(1e-4, 1e-1, log=True),
                "width": Int(16, 256, log=True),
                "optimizer": Choice(("sgd", "adam")),
                "momentum": Float(0.5, 0.99, when={"optimizer": "sgd"}),
            }
        ),
        default={"lr": 0.01, "width": 64, "optimizer": "adam"},
        sampler="random",
        seed=7,
        budget=Budget(trials=60, wall_s=1800.0),
        parallel=4,
        gpus=1,
        timeout_s=600.0,
        retry_attempts=2,
        labels={"team": "vision", "year": "2026"},
        schedule=None,
    )


def test_what_a_file_need_not_say() -> None:
    spec = parse(SMALL)
    assert (spec.code, spec.default, spec.sampler, spec.seed) == (".", None, "auto", seed_of("s"))
    assert (spec.budget.wall_s, spec.parallel, spec.gpus, spec.timeout_s) == (None, None, 0, None)
    assert (spec.retry_attempts, spec.labels, spec.schedule) == (3, {}, None)
    empty = ("default", "sampler", "seed", "parallel", "resources", "timeout", "retry", "labels", "schedule")
    assert parse(SMALL | dict.fromkeys(empty)) == spec  # a key without a value is one that is not there


def test_a_schedule_file_names_its_study(tmp_path: Path) -> None:
    spec = load(write(tmp_path, SCHEDULE))
    assert spec.study == "flights"
    assert spec.schedule == ScheduleSpec(
        "flights", "0 2 * * *", "America/New_York", {"region": ("eu", "us"), "day": (1, 2, 3)}
    )
    assert spec.schedule.combinations() == [
        {"region": region, "day": day} for region in ("eu", "us") for day in (1, 2, 3)
    ]


def test_a_schedule_without_slices_has_the_one_empty_slice() -> None:
    spec = parse(SMALL | {"schedule": {"cron": "*/5 * * * *"}})
    assert spec.schedule == ScheduleSpec("s", "*/5 * * * *", "UTC", {})
    assert spec.schedule.combinations() == [{}]


def test_python_may_hand_over_a_space_and_another_name(tmp_path: Path) -> None:
    space = Space({"x": Int(0, 3)})
    spec = parse(SMALL | {"space": space}, name="other")
    assert (spec.space, spec.study, spec.seed) == (space, "other", seed_of("other"))
    assert load(write(tmp_path, STUDY), name="again").study == "again"
    with pytest.raises(SpecInvalid, match="study: must be a letter or digit"):
        parse(SMALL, name="a/b")


def test_the_seed_of_a_name_is_the_same_everywhere() -> None:
    assert seed_of("digits") == 0xCC6B6BAD  # the head of sha256("digits")
    assert seed_of("digits") != seed_of("digit")


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30s", 30), ("10m", 600), ("2h", 7200), ("1d", 86400), ("1.5 h", 5400), (45, 45), (0.5, 0.5)],
)
def test_durations(written: Any, seconds: float) -> None:
    assert parse(SMALL | {"timeout": written}).timeout_s == seconds


# What a file must not say


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"study": None}, "study: is missing"),
        ({"study": "a b"}, "study: must be a letter or digit"),
        ({"study": "-x"}, "study: must be a letter or digit"),
        ({"study": "a/b"}, "study: must be a letter or digit"),
        ({"study": ""}, "study: must be a letter or digit"),
        ({"study": "x" * 101}, "study: must be a letter or digit"),
        ({"study": 5}, "study: must be a letter or digit"),
        ({"objective": None}, "objective: is missing; write it, such as `objective: train:objective`"),
        ({"objective": "train"}, "objective: must be module:function"),
        ({"objective": "train:"}, "objective: must be module:function"),
        ({"objective": "a/b.py:f"}, "objective: must be module:function"),
        ({"objective": "train:class"}, "objective: must be module:function"),
        ({"objective": 3}, "objective: must be module:function"),
        ({"objective": "worker.train:f"}, "objective: the module name 'worker' is taken by Celeriac"),
        ({"code": ["."]}, "code: must be text"),
        ({"code": ""}, "code: must be text"),
        ({"metric": None}, "metric: is missing"),
        ({"metric": "accuracy"}, "metric: must be a mapping with goal, name"),
        ({"metric": {"name": "a"}}, "metric.goal: is missing"),
        ({"metric": {"goal": "max"}}, "metric.goal: cannot be 'max'; did you mean 'maximize'?"),
        ({"metric": {"goal": "maximize", "direction": 1}}, "metric.direction: is not known here"),
        ({"space": None}, "space: is missing"),
        ({"space": {}}, "space: holds no parameter"),
        ({"space": []}, "space: must be a mapping"),
        ({"space": {"lr": {"float": [1, 0.1]}}}, "space.lr.float: the range [1, 0.1] is inverted"),
        ({"space": {"lr": {"float": [1, 1]}}}, "space.lr.float: the range [1, 1] is empty"),
        ({"space": {"lr": {"float": [0, 1], "log": True}}}, "space.lr.float: a log range must lie above 0"),
        ({"default": {"lr": 2}}, "default.lr: 2.0 is outside [0.0, 1.0]"),
        ({"default": {}}, "default.lr: is missing"),
        ({"default": "a: b"}, "default: parameters must be a mapping"),
        ({"default": {"lr": 0.5, "rl": 1}}, "default.rl: is no parameter of this space; did you mean 'lr'?"),
        ({"sampler": "baysian"}, "sampler: cannot be 'baysian'; did you mean 'bayesian'?"),
        ({"sampler": "TPESampler"}, "sampler: cannot be 'TPESampler'; did you mean 'optuna:TPESampler'?"),
        (
            {"sampler": "annealing"},
            "sampler: cannot be 'annealing'; known: auto, bayesian, botorch, forest, grid, optuna:TPESampler, random",
        ),
        ({"sampler": "optuna"}, "sampler: cannot be 'optuna'; name a class of optuna.samplers, such as"),
        ({"sampler": "optuna:"}, "sampler: cannot be 'optuna:'; name a class of optuna.samplers"),
        ({"sampler": "optuna:os.system"}, "sampler: cannot be 'optuna:os.system'; name a class"),
        ({"sampler": "grid:3"}, "sampler: cannot be 'grid:3'; did you mean 'grid'?"),
        ({"sampler": ["grid"]}, "sampler: cannot be ['grid']"),
        ({"seed": -1}, "seed: must be from 0 to 4294967295"),
        ({"seed": 1.5}, "seed: must be a whole number"),
        ({"seed": True}, "seed: must be a whole number"),
        ({"budget": None}, "budget: is missing"),
        ({"budget": 60}, "budget: must be a mapping with trials, wall"),
        ({"budget": {"wall": "1h"}}, "budget.trials: is missing"),
        ({"budget": {"trials": 0}}, "budget.trials: must be from 1"),
        ({"budget": {"trials": math.inf}}, "budget.trials: must be a whole number"),
        ({"budget": {"trials": "60"}}, "budget.trials: must be a whole number"),
        ({"budget": {"trials": 5, "gpu_hours": 2}}, "budget.gpu_hours: is not built yet in this version"),
        ({"budget": {"trials": 5, "wall": "1w"}}, "budget.wall: must be a time such as 30s"),
        ({"budget": {"trials": 5, "wall": 0}}, "budget.wall: must be above 0"),
        ({"budget": {"trials": 5, "wall": math.nan}}, "budget.wall: must be a time"),
        ({"budget": {"trials": 5, "wall": "99999d"}}, "budget.wall: must be above 0 and at most 3650d"),
        ({"parallel": 0}, "parallel: must be from 1"),
        ({"resources": {"gpus": 0.5}}, "resources.gpus: 0.5: a share of a GPU is not built yet"),
        ({"resources": {"gpus": 4}}, "resources.gpus: 4: more than one GPU a trial is not built yet"),
        ({"resources": {"gpus": -1}}, "resources.gpus: must be from 0 to 1"),
        ({"resources": {"gpus": True}}, "resources.gpus: must be a whole number"),
        ({"resources": {"gpu": 1}}, "resources.gpu: is not known here; did you mean 'gpus'?"),
        ({"timeout": "soon"}, "timeout: must be a time"),
        ({"timeout": -3}, "timeout: must be above 0"),
        ({"timeout": 10**400}, "timeout: must be above 0 and at most"),
        ({"retry": {"attempts": 0}}, "retry.attempts: must be from 1"),
        ({"retry": 3}, "retry: must be a mapping with attempts"),
        ({"labels": ["a"]}, "labels: must be a mapping"),
        ({"labels": {"a": [1]}}, "labels.a: must be a word with a text"),
        ({"budgte": {}}, "budgte: is not known here; did you mean 'budget'?"),
        ({1: 2}, "1: is not known here"),
    ],
)
def test_a_mistake_is_told_with_file_key_path_and_next_step(changes: Any, says: str) -> None:
    (problem,) = refused(changes)
    assert problem.startswith(f"file.yaml: {says}")


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
        ({"rule": "patience"}, ".reports: is missing; write it, such as `reports: 5`"),
        ({"rule": "patience", "reports": 5, "min_delta": -1}, ".min_delta: must be 0 or more, not -1"),
        ({"rule": "threshold", "bound": 1}, ".at: is missing"),
        ({"rule": "threshold", "at": 5}, ".bound: is missing"),
        ({"rule": "threshold", "at": 5, "bound": math.nan}, ".bound: must be a number, not nan"),
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
        ({"min_gain": -0.1}, ".min_gain: must be 0 or more, not -0.1"),
        ({"min_gain": 0.1, "suggestions": 0}, ".suggestions: must be from 1"),
    ],
)
def test_a_mistake_in_stopping_a_study(given: Any, says: str) -> None:
    assert any(
        problem.startswith(f"file.yaml: stop_study{says}") for problem in refused({"stop_study": given})
    )


@pytest.mark.parametrize("key", ["min_gain", "max_regret"])
@pytest.mark.parametrize("sampler", ["random", "grid"])
def test_a_sampler_that_expects_nothing_cannot_end_a_study_by_it(key: str, sampler: str) -> None:
    (problem,) = refused({"stop_study": {key: 0.1}, "sampler": sampler})
    assert problem.startswith(f"file.yaml: stop_study.{key}: the {sampler} sampler expects nothing")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cron": None}, "schedule.cron: is missing"),
        ({"cron": "0 2 * *"}, "schedule.cron: needs five fields"),
        ({"cron": "0 0 2 * * *"}, "schedule.cron: needs five fields"),
        ({"cron": "61 2 * * *"}, "schedule.cron: '61 2 * * *': bad minute"),
        ({"cron": "0 0 30 2 *"}, "schedule.cron: '0 0 30 2 *': bad day-of-month"),
        (
            {"timezone": "Europe/Berlni"},
            "schedule.timezone: there is no time zone 'Europe/Berlni'; did you mean",
        ),
        ({"timezone": "/etc/passwd"}, "schedule.timezone: there is no time zone"),
        ({"timezone": "Europe"}, "schedule.timezone: there is no time zone"),
        ({"timezone": 2}, "schedule.timezone: must be text"),
        ({"name": "a b"}, "schedule.name: must be a letter or digit"),
        ({"name": ""}, "schedule.name: must be a letter or digit"),
        ({"slices": ["eu"]}, "schedule.slices: must be a mapping of names to lists"),
        ({"slices": {}}, "schedule.slices: must be a mapping of names to lists"),
        ({"slices": {"region": []}}, "schedule.slices.region: needs a list of at least one value"),
        ({"slices": {"region": "eu"}}, "schedule.slices.region: needs a list"),
        ({"slices": {"region": ["eu", "us", "eu"]}}, "schedule.slices.region: 'eu' is there twice"),
        ({"slices": {"region": [None]}}, "schedule.slices.region: None is no text, number or boolean"),
        ({"slices": {"region": [math.nan]}}, "schedule.slices.region: nan is no text"),
        ({"slices": {"region": ["a/b"]}}, "schedule.slices.region: 'a/b': a value's text is letters"),
        ({"slices": {"my region": ["eu"]}}, "schedule.slices.my region: a slice key is letters"),
        ({"slices": {"a": list(range(40)), "b": list(range(40))}}, "schedule.slices: make 1600 studies"),
        ({"slices": {"a": ["x" * 60], "b": ["y" * 60]}}, "schedule.slices: make names of up to"),
        ({"warm_start": True}, "schedule.warm_start: is not built yet in this version"),
        ({"catch_up": 1}, "schedule.catch_up: is not built yet in this version"),
        ({"crno": "x"}, "schedule.crno: is not known here; did you mean 'cron'?"),
    ],
)
def test_a_mistake_in_a_schedule(changes: dict[str, Any], says: str) -> None:
    (problem,) = refused({"schedule": {"name": "nightly", "cron": "0 2 * * *"} | changes})
    assert problem.startswith(f"file.yaml: {says}")


def test_a_schedule_must_be_a_mapping() -> None:
    assert refused({"schedule": "0 2 * * *"}) == [
        "file.yaml: schedule: must be a mapping with cron, name, slices, timezone, not '0 2 * * *'"
    ]


@pytest.mark.parametrize("document", [None, [1], "study"])
def test_a_file_must_be_a_mapping(document: Any) -> None:
    with pytest.raises(SpecInvalid, match="must be a mapping with study"):
        parse(document)


def test_all_mistakes_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    text = (
        STUDY.replace("[1e-4, 1e-1]", "[1, 0.1]")
        .replace("trials: 60", "trails: 60")
        .replace("seed: 7", "seed: x")
    )
    assert told(tmp_path, text) == [
        "study.yaml: space.lr.float: the range [1, 0.1] is inverted: write the lower bound first (line 6)",
        "study.yaml: seed: must be a whole number, not 'x' (line 12)",
        "study.yaml: budget.trails: is not known here; did you mean 'trials'? (line 13)",
        "study.yaml: budget.trials: is missing; write it, such as `trials: 60` (line 13)",
    ]


# YAML


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1e4", 1e4),
        ("1E+3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-3", -3),
        ("+1", 1),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        *[
            (word, word)
            for word in ("on", "off", "no", "yes", "y", "1:30", "1_000", "2026-11-23", "0b1", "e4", ".")
        ],
    ],
)
def test_plain_scalars_are_yaml_1_2(text: str, value: Any) -> None:
    assert plain_scalar(text) == value
    assert type(plain_scalar(text)) is type(value)


def test_nan_is_a_number() -> None:
    found = plain_scalar(".nan")
    assert isinstance(found, float)
    assert math.isnan(found)


def test_quoted_text_stays_text_and_words_stay_words(tmp_path: Path) -> None:
    text = STUDY.replace("[sgd, adam]", "[sgd, adam, on, off, '1e4', \"true\", 1e4, true, null]")
    choice = load(write(tmp_path, f"%YAML 1.1\n---\n{text}")).space.parameters["optimizer"]
    assert isinstance(choice, Choice)
    assert choice.options == ("sgd", "adam", "on", "off", "1e4", "true", 1e4, True, None)


def test_anchors_are_read(tmp_path: Path) -> None:
    text = STUDY.replace("{choice: [sgd, adam]}", "&both {choice: [sgd, adam]}") + "# end\n"
    text = text.replace("default:", "  other: *both\ndefault:").replace(
        "width: 64,", "width: 64, other: adam,"
    )
    spec = load(write(tmp_path, text))
    assert spec.space.parameters["other"] == spec.space.parameters["optimizer"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("study: a\nseed: 1\nstudy: b\n", "study: the key is there twice (first on line 1) (line 3)"),
        ("space:\n  lr: 1\n  lr: 2\n", "space.lr: the key is there twice (first on line 2) (line 3)"),
        ("seed: [1\n", "is no YAML: expected ',' or ']', but got '<stream end>' (line 2)"),
        ("study: a\n  seed: 1\n", "is no YAML: mapping values are not allowed here (line 2)"),
        ("study: \x01\n", "is no YAML: unacceptable character"),
        ("study: !!python/name:os.system x\n", "a tag (!…) has no meaning here"),
        ("study: *a\n", "the alias *a has no anchor &a before it (line 1)"),
        ("study: &a [*a]\n", "the alias *a has no anchor &a before it (line 1)"),
        ("study: a\n---\nstudy: b\n", "a second document begins; a study file holds one (line 2)"),
        ("? [a]\n: 1\n", "a key must be a word (line 1)"),
        ("study: " + "9" * 5000, "'9999"),
        ("study: " + "[" * 5000, "is nested too deeply"),
        ("", "must be a mapping with study, objective, metric, space and budget, not None"),
    ],
)
def test_what_is_no_good_yaml(tmp_path: Path, text: str, says: str) -> None:
    (problem, *_) = told(tmp_path, text)
    assert problem.startswith(f"study.yaml: {says}")


def test_what_is_no_text_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(SpecInvalid, match=r"none\.yaml: cannot be read: No such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(SpecInvalid, match="cannot be read: Is a directory"):
        load(tmp_path)
    path = tmp_path / "model.pt"
    path.write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(SpecInvalid, match=r"is no UTF-8 text \(byte 4\)"):
        load(path)
    path.write_bytes(b"x" * 1_000_001)
    with pytest.raises(SpecInvalid, match="is larger than 1000000 bytes"):
        load(path)


# Names, forms and differences


def test_study_names_of_files_and_of_firings() -> None:
    assert is_study_name("digits-2.final_x")
    assert is_study_name("flights/airport=JFK,carrier=AA/2026-11-23T02:00:00+00:00")
    for bad in ("", "-x", "a b", "x" * 256, "a\n", "ä", 5, None):
        assert not is_study_name(bad)


def test_the_canonical_form_is_json_and_a_study_file() -> None:
    form = parse(SMALL | {"timeout": "1h", "budget": {"trials": 5, "wall": "2m"}}).to_dict()
    assert form == {
        "study": "s",
        "objective": "train:objective",
        "code": ".",
        "metric": {"name": "accuracy", "goal": "maximize"},
        "space": {"lr": {"float": [0.0, 1.0]}},
        "sampler": "auto",
        "seed": seed_of("s"),
        "budget": {"trials": 5, "wall": 120.0},
        "resources": {"gpus": 0},
        "timeout": 3600.0,
        "retry": {"attempts": 3},
    }


def test_the_difference_is_a_line_a_key() -> None:
    a = parse(SMALL)
    changed = {"budget": {"trials": 9}, "timeout": 60, "space": {"lr": {"float": [0, 1], "step": 0.5}}}
    assert difference(a, a) == []
    assert difference(a, parse(SMALL | changed)) == [
        "budget.trials: 5 -> 9",
        "space.lr.step: (not set) -> 0.5",
        "timeout: (not set) -> 60.0",
    ]
    assert difference(parse(SMALL | {"labels": {"a": "x"}}), a) == ['labels.a: "x" -> (not set)']


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
forms = st.fixed_dictionaries(
    {
        "study": names,
        "objective": st.sampled_from(["train:objective", "pkg.mod:run"]),
        "metric": st.fixed_dictionaries({"name": names, "goal": st.sampled_from(["maximize", "minimize"])}),
        "space": st.just({"lr": {"float": [1e-5, 1], "log": True}, "kind": {"choice": ["a", 1, None, True]}}),
        "budget": st.fixed_dictionaries(
            {"trials": st.integers(1, 1000)}, optional={"wall": st.sampled_from(["5m", 7, 0.25, "1.5d"])}
        ),
    },
    optional={
        "code": st.sampled_from([".", "src", "/srv/code"]),
        "default": st.fixed_dictionaries(
            {"lr": st.floats(1e-5, 1), "kind": st.sampled_from(["a", 1, None, True])}
        ),
        "sampler": st.sampled_from(["auto", "bayesian", "random", "grid", "optuna:TPESampler"]),
        "seed": st.integers(0, 2**32 - 1),
        "parallel": st.integers(1, 64),
        "resources": st.sampled_from([{"gpus": 0}, {"gpus": 1}, {}]),
        "timeout": st.one_of(st.integers(1, 10**6), st.floats(0.001, 1e6), st.just("90s")),
        "retry": st.fixed_dictionaries({"attempts": st.integers(1, 9)}),
        "labels": st.dictionaries(
            st.sampled_from(["team", "tier"]), st.one_of(st.text(max_size=5), st.integers())
        ),
        "schedule": st.fixed_dictionaries(
            {"name": names, "cron": st.sampled_from(["0 2 * * *", "*/5 1-3 * * MON"])},
            optional={
                "timezone": st.sampled_from(["UTC", "Europe/Berlin"]),
                "slices": st.just({"region": ["eu", "us"], "level": [1, 2.5, True]}),
            },
        ),
    },
)


@settings(max_examples=100, deadline=None)
@given(forms)
def test_a_spec_is_its_form(form: dict[str, Any]) -> None:
    spec = parse(form)
    stored = json.loads(json.dumps(spec.to_dict(), sort_keys=True))  # a database keeps no order of keys
    again = parse(stored)
    assert again == spec
    assert again.to_dict() == spec.to_dict()
    assert difference(again, spec) == []
