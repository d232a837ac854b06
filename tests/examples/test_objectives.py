"""The examples, run without any service: they learn, they resume exactly where they stopped, and a server may fork
them.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from celeriac import Result, Trial
from celeriac.domain.study_file import StudySpec, load

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = {"digits": "study.yaml", "flights": "nightly.yaml"}
EVERY = [*FILES, "twelve", "forest"]


@dataclass
class Example:
    """One example and a quick configuration of it."""

    name: str
    module: ModuleType
    quick: Mapping[str, Any]
    context: Mapping[str, Any] = field(default_factory=dict)

    @property
    def spec(self) -> StudySpec:
        return load(EXAMPLES / self.name / FILES[self.name])

    def params(self) -> dict[str, Any]:
        assert self.spec.default is not None
        return {**self.spec.default, **self.quick}

    def trial(self, **given: Any) -> Trial:
        return Trial.offline(self.params(), context=self.context, seed=5, **given)

    def run(self, trial: Trial) -> Result:
        result = self.module.objective(trial)
        assert isinstance(result, Result)
        return replace(result, model=None)  # a function of its own for each run


@pytest.fixture(params=["digits", "flights"])
def example(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Example:
    module = request.getfixturevalue(request.param)
    monkeypatch.setattr(module, "EPOCHS", 3)
    if request.param == "digits":
        return Example("digits", module, {})
    context = {"airport": "LGA", "due_at": "2013-12-10T07:00:00+00:00"}
    return Example("flights", module, {"batch": 1024, "days": 60, "lr": 0.003, "dropout": 0.2}, context)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_study_file_is_sound(path: Path) -> None:
    spec = load(path)
    assert spec.default is not None
    assert (path.parent / f"{spec.objective.partition(':')[0]}.py").is_file()


def values(trial: Trial) -> list[float]:
    return [message["value"] for message in trial.reports]


def test_the_file_is_sound_and_its_default_fits_the_space(example: Example) -> None:
    assert example.spec.objective == "train:objective"
    assert (EXAMPLES / example.name / example.spec.code / "train.py").is_file()
    assert example.spec.default is not None
    example.spec.space.validate(example.params())


def test_it_learns_and_scores_its_best_epoch(example: Example) -> None:
    trial = example.trial()
    result = example.run(trial)
    reported = values(trial)
    best = max if example.spec.metric.goal == "maximize" else min
    assert result.score == best(reported) == reported[result.step or 0]
    assert best(reported[0], reported[-1]) == reported[-1] != reported[0]
    assert all(isinstance(value, float) for value in result.metrics.values())


def test_the_same_seed_gives_the_same_result(example: Example) -> None:
    assert example.run(example.trial()) == example.run(example.trial())


def test_a_resumed_trial_ends_like_one_that_never_stopped(
    example: Example, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = example.trial()
    expected = example.run(whole)
    monkeypatch.setattr(example.module, "EPOCHS", 2)
    first = example.trial(directory=tmp_path)
    example.run(first)
    saved = tmp_path / first.reports[-1]["checkpoint"]["path"]
    monkeypatch.setattr(example.module, "EPOCHS", 3)
    second = example.trial(checkpoint=str(saved), start=2)
    assert example.run(second) == expected
    assert [message["step"] for message in second.reports] == [2]
    assert values(first) + values(second) == values(whole)


def test_every_corner_of_the_space_trains(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example.module, "EPOCHS", 1)
    space = example.spec.space
    for place in (0.0, 1.0):
        trial = Trial.offline(space.from_unit([place] * len(space.names)), context=example.context)
        example.run(trial)
        assert len(trial.reports) == 1


@pytest.mark.parametrize("name", EVERY)
def test_the_service_may_fork_it(name: str) -> None:
    """As the fork server judges it, in a process of its own: no threads, no CUDA, the objective where the file says."""
    code = (
        "from worker.process import objective as preload\n"
        "before = preload.native_threads()\n"
        f"objective = preload.load({str(EXAMPLES / name)!r}, 'train:objective')\n"
        "print(objective.__name__, repr(preload.why_not_fork(before)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "objective ''"


@pytest.mark.parametrize("name", EVERY)
def test_the_script_runs_on_its_own(name: str) -> None:
    done = subprocess.run([sys.executable, "train.py"], capture_output=True, text=True, check=True, cwd=EXAMPLES / name)
    lines = done.stdout.splitlines()
    assert re.match(r"step [01]: ", lines[0])
    assert re.match(r"Result\(score=[0-9]+\.", lines[-1])


def test_an_airport_without_flights_is_named(flights: ModuleType) -> None:
    trial = Trial.offline({}, context={"airport": "LHR", "due_at": "2013-06-01T06:00:00+00:00"})
    with pytest.raises(ValueError, match="no flights from 'LHR': the airports are EWR, JFK, LGA"):
        flights.objective(trial)


Judge = Callable[..., float]


def test_the_area_under_the_curve_counts_ties_half(departures: ModuleType) -> None:
    import numpy as np

    auc: Judge = departures.auc
    late = np.array([0.0, 1.0, 0.0, 1.0])
    assert auc(late, np.array([0.1, 0.9, 0.2, 0.8])) == 1.0
    assert auc(late, np.array([0.9, 0.1, 0.8, 0.2])) == 0.0
    assert auc(late, np.array([0.5, 0.5, 0.5, 0.5])) == 0.5
    assert auc(late, np.array([0.1, 0.9, 0.8, 0.2])) == 0.75


def test_a_nights_network_brings_a_loss_for_each_hold_out_day_and_its_best_epochs_model(
    flights: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(flights, "EPOCHS", 2)
    params = {**(load(EXAMPLES / "flights" / "nightly.yaml").default or {}), "days": 30, "batch": 1024}
    trial = Trial.offline(params, context={"airport": "JFK", "due_at": "2013-10-01T06:00:00+00:00"})
    result = flights.objective(trial)
    assert len(result.holdout) == 21
    assert min(result.holdout) < result.metrics["holdout"] < max(result.holdout)
    result.model(str(tmp_path / "model"))
    network = flights.Network(params)
    network.load_state_dict(flights.torch.load(tmp_path / "model"))
