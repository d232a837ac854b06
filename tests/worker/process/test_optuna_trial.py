"""An objective written for Optuna, as Optuna's own pages have them, on a trial of ours."""

import inspect
import math
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import optuna
import pytest

from celeriac.result import Result
from celeriac.trial import Trial, TrialStopped
from worker.process.optuna_trial import OptunaTrial, called_as_by_optuna


class Wire:
    """Keeps what is sent, and asks the trial to stop from the n-th report on."""

    def __init__(self, stop_at: int = 10**9) -> None:
        self.sent: list[dict[str, Any]] = []
        self.stop_at = stop_at

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def poll(self) -> str | None:
        return "stop" if sum(each["kind"] == "report" for each in self.sent) >= self.stop_at else None


def trial(wire: Wire, tmp_path: Path, params: dict[str, Any] | None = None, **more: Any) -> Trial:
    return Trial(params or {}, channel=wire, root=tmp_path, directory=tmp_path, seed=7, **more)


def from_the_docs(method: Any) -> Any:
    """The objective in the page of one of Optuna's methods, word for word."""
    page = inspect.getdoc(method) or ""
    code = textwrap.dedent(page.partition(".. testcode::")[2].partition("study = optuna.create_study")[0])
    names: dict[str, Any] = {}
    exec(code, names)
    assert "def objective(trial)" in code
    return names["objective"]


def test_the_objective_of_optunas_page_on_choices(tmp_path: Path) -> None:
    objective, wire = from_the_docs(optuna.Trial.suggest_categorical), Wire()
    score = called_as_by_optuna(objective)(trial(wire, tmp_path, learns_space=True))
    assert 0.0 <= score <= 1.0
    (asked,) = wire.sent
    assert (asked["name"], asked["form"]) == ("kernel", {"choice": ["linear", "poly", "rbf"]})


def test_the_objective_of_optunas_page_on_reports_is_pruned(tmp_path: Path) -> None:
    objective, wire = from_the_docs(optuna.Trial.report), Wire(stop_at=3)
    ours = trial(wire, tmp_path)
    with pytest.raises(TrialStopped):
        called_as_by_optuna(objective)(ours)
    assert [each["step"] for each in wire.sent] == [0, 1, 2]
    assert ours.heeded == "stop"


def test_a_given_space_answers_what_it_was_given(tmp_path: Path) -> None:
    wire = Wire()
    asking = OptunaTrial(trial(wire, tmp_path, {"lr": 0.5, "kind": "b"}))
    assert asking.suggest_float("lr", 1.0, 2.0) == 0.5  # the study file's range holds
    assert asking.suggest_categorical("kind", ["a", "b"]) == "b"
    with pytest.raises(ValueError, match=r"asks for 'width', which is not active .*\(given: lr, kind\)"):
        asking.suggest_int("width", 1, 9)
    assert wire.sent == []
    assert asking.params == {"lr": 0.5, "kind": "b"}


def test_a_learned_space_takes_what_fits_and_draws_the_rest(tmp_path: Path) -> None:
    wire = Wire()
    given = {"lr": 0.5, "width": 64, "kind": "gone"}
    asking = OptunaTrial(trial(wire, tmp_path, given, learns_space=True))
    assert asking.suggest_float("lr", 0.1, 1.0, log=True) == 0.5
    width = asking.suggest_int("width", 1, 9)
    assert 1 <= width <= 9
    assert asking.suggest_categorical("kind", ["a", None, 3]) in ("a", None, 3)
    assert asking.suggest_float("step", 0.0, 1.05, step=0.25) in (0.0, 0.25, 0.5, 0.75, 1.0)
    assert asking.suggest_int("width", 50, 60) == width  # asked again: it stays
    assert asking.suggest_float("one", 3.0, 3.0) == 3.0  # nothing to search
    assert {each["name"]: each["form"] for each in wire.sent} == {
        "lr": {"float": [0.1, 1.0], "log": True},
        "width": {"int": [1, 9]},
        "kind": {"choice": ["a", None, 3]},
        "step": {"float": [0.0, 1.0], "step": 0.25},
    }
    again = OptunaTrial(trial(Wire(), tmp_path, learns_space=True, attempt=2))
    assert again.suggest_int("width", 1, 9) == width  # every attempt draws the same
    assert asking.distributions["step"] == optuna.distributions.FloatDistribution(0.0, 1.0, step=0.25)


@pytest.mark.parametrize("name", ["a b", "layers/0", "", "x" * 101])
def test_a_name_that_no_space_can_hold_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a parameter"):
        OptunaTrial(trial(Wire(), tmp_path, learns_space=True)).suggest_int(name, 1, 9)


def test_wrong_ranges_are_refused_by_name(tmp_path: Path) -> None:
    asking = OptunaTrial(trial(Wire(), tmp_path, learns_space=True))
    with pytest.raises(ValueError, match="suggest of 'lr'"):
        asking.suggest_float("lr", 2.0, 1.0)
    with pytest.raises(ValueError, match="suggest of 'lr'"):
        asking.suggest_float("lr", 0.0, 1.0, log=True)


def test_a_step_told_twice_counts_once(tmp_path: Path) -> None:
    wire = Wire()
    asking = OptunaTrial(trial(wire, tmp_path))
    asking.report(0.5, 0)
    with pytest.warns(UserWarning, match="report of step 0 after step 0"):
        asking.report(0.6, 0)
    assert [(each["step"], each["value"]) for each in wire.sent] == [(0, 0.5)]


def test_an_objective_that_prunes_itself_is_scored_by_its_last_report(tmp_path: Path) -> None:
    def objective(asking: Any) -> float:
        asking.set_user_attr("shape", [1, 2])
        if asking.suggest_int("n", 1, 3):
            asking.report(0.25, 0)
            raise optuna.TrialPruned
        return 1.0

    result = called_as_by_optuna(objective)(trial(Wire(), tmp_path, learns_space=True))
    assert (result.score, result.metrics) == (0.25, {"shape": "[1, 2]", "ended_by": "optuna.TrialPruned"})
    silent = called_as_by_optuna(lambda asking: (_ for _ in ()).throw(optuna.TrialPruned()))
    assert math.isnan(silent(trial(Wire(), tmp_path)).score)


def test_what_is_not_offered_is_told(tmp_path: Path) -> None:
    with pytest.raises(AttributeError, match=r"has no trial\.study; it has suggest_float"):
        OptunaTrial(trial(Wire(), tmp_path)).study  # noqa: B018
    with pytest.raises(TypeError, match="one score a study"):
        called_as_by_optuna(lambda asking: (1.0, 2.0))(trial(Wire(), tmp_path))


def test_it_offers_what_optunas_trial_offers() -> None:
    offered = {name for name in dir(optuna.Trial) if not name.startswith("_")}
    ours = {name for name in dir(OptunaTrial) if not name.startswith("_")}
    assert offered - ours == {"constraints", "set_constraint"}
    for name in ("suggest_float", "suggest_int", "suggest_categorical", "report", "set_user_attr"):
        theirs = inspect.signature(getattr(optuna.Trial, name)).parameters
        assert list(inspect.signature(getattr(OptunaTrial, name)).parameters) == list(theirs), name


def test_optuna_is_not_loaded_for_it() -> None:
    source = Path(sys.modules[OptunaTrial.__module__].__file__ or "").read_text()
    assert not re.search(r"^(import|from) optuna", source, flags=re.MULTILINE)


def test_a_result_keeps_its_holdout_beside_the_attributes(tmp_path: Path) -> None:
    def objective(trial: Any) -> Result:
        trial.set_user_attr("rows", 120)
        trial.set_user_attr("loss", 1.0)
        return Result(0.5, metrics={"loss": 2.0}, holdout=[0.4, 0.6])

    found = called_as_by_optuna(objective)(trial(Wire(), tmp_path))
    assert (found.score, found.holdout, found.metrics) == (0.5, [0.4, 0.6], {"rows": 120, "loss": 2.0})
