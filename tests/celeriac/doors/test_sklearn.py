"""`CeleriacSearchCV`, its candidates scored in this process; `make test-doors` runs it on the service."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import loguniform, randint, uniform

pytest.importorskip("sklearn")
pytest.importorskip("cloudpickle")

from sklearn.base import clone, is_classifier
from sklearn.datasets import load_iris
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.svm import SVC

from celeriac.client import run
from celeriac.domain.space import Space
from celeriac.doors.sklearn import CeleriacSearchCV
from celeriac.trial import Trial

CANDIDATES = (
    {"C": 0.01, "kernel": "linear"},
    {"C": 1.0, "kernel": "rbf", "gamma": 0.1},
    {"C": 1e-3, "kernel": "linear"},
)
SPACE = {
    "C": {"float": [1e-3, 1e3], "log": True},
    "kernel": {"choice": ["linear", "rbf"]},
    "gamma": {"float": [0.01, 1.0], "when": {"kernel": "rbf"}},
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is asked of the service; it scores CANDIDATES."""
    specs: list[dict[str, Any]] = []

    def ran(spec: dict[str, Any], **how: Any) -> Any:
        specs.append(spec)
        module = importlib.util.spec_from_file_location("job", Path(spec["code"], "celeriac_search_cv.py"))
        assert module is not None
        assert module.loader is not None
        loaded = importlib.util.module_from_spec(module)
        module.loader.exec_module(loaded)
        trials = []
        for params in CANDIDATES if "gamma" in spec["space"] else [{"C": 1.0}]:
            result = loaded.objective(Trial.offline(params))
            trials.append(SimpleNamespace(params=params, score=result.score, metrics=result.metrics))
        failed = SimpleNamespace(params={"C": 5.0}, score=None, metrics={})
        return SimpleNamespace(name="s", each_trial=lambda: iter([*trials, failed]))

    monkeypatch.setattr(run, "ran", ran)
    return specs


def test_it_searches_as_scikit_learns_searches_do(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    X, y = load_iris(return_X_y=True)  # noqa: N806
    search = CeleriacSearchCV(
        SVC(), SPACE, n_iter=3, cv=4, random_state=5, home=str(tmp_path), study={"labels": {"a": "b"}}
    )
    assert is_classifier(search)
    assert clone(search).get_params()["estimator__C"] == 1.0
    assert search.fit(X, y) is search
    (spec,) = asked
    assert (spec["budget"], spec["seed"], spec["labels"]) == ({"trials": 3}, 5, {"a": "b"})
    assert not Path(spec["code"]).exists()
    right = [cross_val_score(SVC(**params), X, y, cv=4) for params in CANDIDATES]
    found = search.cv_results_
    assert np.allclose(found["mean_test_score"], [each.mean() for each in right])
    assert np.allclose(found["std_test_score"], [each.std() for each in right])
    assert np.allclose([found[f"split{k}_test_score"][1] for k in range(4)], right[1])
    best = int(np.argmax(found["mean_test_score"]))
    assert (search.best_index_, search.best_params_) == (best, CANDIDATES[best])
    assert found["rank_test_score"][best] == 1
    assert found["param_gamma"].mask.tolist() == [True, False, True]
    again = SVC(**search.best_params_).fit(X, y)
    assert (search.predict(X) == again.predict(X)).all()
    assert search.score(X, y) == again.score(X, y)
    assert search.classes_.tolist() == [0, 1, 2]
    assert (search.n_features_in_, search.n_splits_) == (4, 4)


def test_without_a_refit_there_is_no_estimator(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    X, y = load_iris(return_X_y=True)  # noqa: N806
    search = CeleriacSearchCV(SVC(), SPACE, refit=False, home=str(tmp_path)).fit(X, y)
    for asked_for in (search.predict, lambda X: search.score(X, y)):
        with pytest.raises(AttributeError, match=r"refit=False.* keeps no estimator"):
            asked_for(X)
    assert not hasattr(CeleriacSearchCV(Ridge(), SPACE), "predict_proba")


def test_weights_are_cut_with_the_examples(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    X, y = load_iris(return_X_y=True)  # noqa: N806
    weights = np.where(y == 0, 0.0, 1.0) + 1e-9
    search = CeleriacSearchCV(SVC(), SPACE, home=str(tmp_path)).fit(X, y, sample_weight=weights)
    assert search.best_score_ < 0.7  # one class in three counts for nothing


def test_it_takes_the_distributions_of_scikit_learns_own_search(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    X, y = load_iris(return_X_y=True)  # noqa: N806
    space = {
        "C": loguniform(1e-3, 1e3),
        "degree": randint(2, 5),
        "tol": uniform(0.1, 0.4),
        "kernel": ["rbf", "linear"],
        "gamma": np.logspace(-2, 0, 3),
        "coef0": {"float": [0.0, 1.0]},
    }
    CeleriacSearchCV(SVC(), space, refit=False, home=str(tmp_path)).fit(X, y)
    assert Space.from_dict(asked[0]["space"]).to_dict() == {
        "C": {"float": [1e-3, 1e3], "log": True},
        "degree": {"int": [2, 4]},
        "tol": {"float": [0.1, 0.5]},
        "kernel": {"choice": ["rbf", "linear"]},
        "gamma": {"choice": [0.01, 0.1, 1.0]},
        "coef0": {"float": [0.0, 1.0]},
    }


def test_groups_stay_together(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    X, y = load_iris(return_X_y=True)  # noqa: N806
    groups = np.arange(len(y)) % 5
    search = CeleriacSearchCV(SVC(), SPACE, cv=GroupKFold(5), home=str(tmp_path)).fit(X, y, groups=groups)
    right = [cross_val_score(SVC(**params), X, y, groups=groups, cv=GroupKFold(5)).mean() for params in CANDIDATES]
    assert np.allclose(search.cv_results_["mean_test_score"], right)


def test_a_search_that_is_interrupted_stops_its_study(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    X, y = load_iris(return_X_y=True)  # noqa: N806
    stopped: list[str] = []

    def ran(spec: dict[str, Any], *, changed: Any, **how: Any) -> Any:
        changed(SimpleNamespace(stop=stopped.append), "s RUNNING")
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "ran", ran)
    with pytest.raises(KeyboardInterrupt):
        CeleriacSearchCV(SVC(), SPACE, home=str(tmp_path), verbose=1).fit(X, y)
    assert len(stopped) == 1
    assert capsys.readouterr().err == "s RUNNING\n"
    assert list((tmp_path / "searches").iterdir()) == []
