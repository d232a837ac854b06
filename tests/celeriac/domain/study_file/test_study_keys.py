"""The study's own keys: what a file says and need not say, and how each mistake is told."""

import math
from pathlib import Path
from typing import Any

import pytest

from celeriac.domain.errors import SpecInvalid
from celeriac.domain.records import IF_GIVEN, Resources
from celeriac.domain.space import Choice, Float, Int, Space
from celeriac.domain.study_file import Budget, Metric, StudySpec, load, parse, run_plan, seed_of
from tests.celeriac.domain.study_file.files import SMALL, STUDY, refused, told, write


def test_each_key_of_a_study_file_is_read(tmp_path: Path) -> None:
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
        resources=Resources(gpus=1),
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


def test_python_may_hand_over_a_space_and_another_name(tmp_path: Path) -> None:
    space = Space({"x": Int(0, 3)})
    spec = parse(SMALL | {"space": space}, name="other")
    assert (spec.space, spec.study, spec.seed) == (space, "other", seed_of("other"))
    assert load(write(tmp_path, STUDY), name="again").study == "again"
    with pytest.raises(SpecInvalid, match="study: must be a letter or digit"):
        parse(SMALL, name="a/b")


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30s", 30), ("10m", 600), ("2h", 7200), ("1d", 86400), ("1.5 h", 5400), (45, 45), (0.5, 0.5)],
)
def test_a_duration_is_read_in_seconds(written: Any, seconds: float) -> None:
    assert parse(SMALL | {"timeout": written}).timeout_s == seconds


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
        ({"space": {"act": {"choice": []}}}, "space.act.choice: needs a list of at least one option, not []"),
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
        ({"budget": 60}, "budget: must be a mapping with device_hours, trials, wall"),
        ({"budget": {"wall": "1h"}}, "budget.trials: is missing"),
        ({"budget": {"trials": 0}}, "budget.trials: must be from 1"),
        ({"budget": {"trials": math.inf}}, "budget.trials: must be a whole number"),
        ({"budget": {"trials": "60"}}, "budget.trials: must be a whole number"),
        (
            {"budget": {"trials": 5, "gpu_hours": 2}},
            "budget.gpu_hours: is not known here; did you mean 'device_hours'?",
        ),
        ({"budget": {"trials": 5, "device_hours": 0}}, "budget.device_hours: must be 0.0003 or more, not 0"),
        ({"priority": 0}, "priority: must be 0.01 or more, not 0"),
        ({"priority": 101}, "priority: must be 100 or less, not 101"),
        ({"priority": "high"}, "priority: must be a number, not 'high'"),
        ({"budget": {"trials": 5, "wall": "1w"}}, "budget.wall: must be a time such as 30s"),
        ({"budget": {"trials": 5, "wall": 0}}, "budget.wall: must be above 0"),
        ({"budget": {"trials": 5, "wall": math.nan}}, "budget.wall: must be a time"),
        ({"budget": {"trials": 5, "wall": "99999d"}}, "budget.wall: must be above 0 and at most 3650d"),
        ({"parallel": 0}, "parallel: must be from 1"),
        ({"reproducible": "yes"}, "reproducible: must be true or false, not 'yes'"),
        ({"reproducible": True, "sampler": "auto"}, "reproducible: needs a sampler by its name"),
        ({"reproducible": True, "sampler": "forest", "parallel": 2}, "reproducible: runs one trial at a time"),
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


@pytest.mark.parametrize("document", [None, [1], "study"])
def test_a_file_must_be_a_mapping(document: Any) -> None:
    with pytest.raises(SpecInvalid, match="must be a mapping with study"):
        parse(document)


def test_all_mistakes_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    text = STUDY.replace("[1e-4, 1e-1]", "[1, 0.1]").replace("trials: 60", "trails: 60").replace("seed: 7", "seed: x")
    assert told(tmp_path, text) == [
        "study.yaml: space.lr.float: the range [1, 0.1] is inverted: write the lower bound first (line 6)",
        "study.yaml: seed: must be a whole number, not 'x' (line 12)",
        "study.yaml: budget.trails: is not known here; did you mean 'trials'? (line 13)",
        "study.yaml: budget.trials: is missing; write it, such as `trials: 60` (line 13)",
    ]


@pytest.mark.parametrize(("given", "kept"), [(True, "best"), ("best", "best"), ("all", "all"), (False, ""), (None, "")])
def test_whose_models_are_kept(given: object, kept: str) -> None:
    spec = parse(SMALL | {"keep_model": given})
    assert spec.keep_model == run_plan(spec.to_dict()).keep_model == kept
    assert parse(spec.to_dict()) == spec
    stages = [run_plan(spec.to_dict(), stage).keep_model for stage in ("look", "search", "confirm")]
    assert stages == ["", "", IF_GIVEN]


@pytest.mark.parametrize("given", [1, "none", "bets", ["best"]])
def test_other_words_for_the_models_kept_are_refused(given: object) -> None:
    (problem,) = refused({"keep_model": given})
    assert problem.startswith("file.yaml: keep_model: cannot be ")
