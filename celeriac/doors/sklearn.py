"""`CeleriacSearchCV`: scikit-learn's search over parameters, run by the service.

    search = CeleriacSearchCV(SVC(), {"C": {"float": [1e-3, 1e3], "log": True}}, n_iter=30).fit(X, y)
    search.best_params_, search.predict(X)

As scikit-learn's own searches it clones the estimator, scores each candidate by cross-validation, and fits the best one
again on all data. Estimator and data are pickled into a directory of the study's own, from where its trials read them.
Interface: https://scikit-learn.org/stable/developers/develop.html
"""

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

from celeriac.doors.extras import extra

with extra("sklearn"):
    import numpy as np
    from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
    from sklearn.metrics import check_scoring
    from sklearn.model_selection import check_cv
    from sklearn.utils.metaestimators import available_if
    from sklearn.utils.validation import check_is_fitted, indexable

    from celeriac.doors.pickled import dumped

JOB, PICKLED = "celeriac_search_cv", "search.pkl"
_MODULE = '''"""Written by CeleriacSearchCV: what a worker loads for a trial of this search."""

from celeriac.doors.sklearn_job import Search

objective = Search.load(__file__).score
'''


def _best_has(name: str) -> Callable[["CeleriacSearchCV"], bool]:
    """Whether the best estimator, or before the fit the one that was given, has a method."""

    def check(search: "CeleriacSearchCV") -> bool:
        getattr(search.best_estimator_ if hasattr(search, "best_estimator_") else search.estimator, name)
        return True

    return check


class CeleriacSearchCV(MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """Search `space` for the parameters with the best cross-validated score. `space` is one of a study file, a
    `celeriac.Space`, or what `RandomizedSearchCV` takes: a list of options, or scipy's uniform, loguniform and randint.

    `n_iter`: how many candidates; `scoring`, `cv`, `refit`: as `RandomizedSearchCV` has them, one score only;
    `n_jobs`: trials at once (None: as many as there are slots); `random_state`: a whole number that seeds the search;
    `study`: further keys of a study file; `home`, `slots`: for a service that is started here when none answers;
    `verbose`: above 0 its start and how far the search is are told on stderr.
    Over the API (`CELERIAC_URL`) set `CELERIAC_CODE_ROOT` to a directory that the service's hosts see as their code
    root: the estimator and the data are put there.

    After `fit`: `best_params_`, `best_score_`, `best_index_`, `best_estimator_`, `refit_time_`, `cv_results_`,
    `n_splits_`, `scorer_` and `study_name_`, for `Client().study(...)`.
    """

    def __init__(
        self,
        estimator: Any,
        space: Any,
        *,
        n_iter: int = 10,
        scoring: Any = None,
        cv: Any = None,
        refit: bool = True,
        n_jobs: int | None = None,
        random_state: int | None = None,
        study: Mapping[str, Any] | None = None,
        home: str | None = None,
        slots: int = 0,
        verbose: int = 0,
    ) -> None:
        """Nothing is checked here, as scikit-learn asks for it."""
        self.estimator, self.space, self.n_iter, self.scoring, self.cv = estimator, space, n_iter, scoring, cv
        self.refit, self.n_jobs, self.random_state = refit, n_jobs, random_state
        self.study, self.home, self.slots, self.verbose = study, home, slots, verbose

    def fit(
        self,
        X: Any,  # noqa: N803 (scikit-learn's name)
        y: Any = None,
        *,
        groups: Any = None,
        **fit_params: Any,
    ) -> "CeleriacSearchCV":
        """Search, and fit the best candidate again on all of X. `groups` goes to `cv`, `fit_params` reach the
        estimator's `fit`. Where it is interrupted, by Ctrl-C say, its study is stopped.

        Raises what `Client.submit` and `Study.wait` raise, and ValueError where no candidate had a score.
        """
        X, y, groups = indexable(X, y, groups)  # noqa: N806
        folds = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        self.scorer_ = check_scoring(self.estimator, scoring=self.scoring)
        splits = list(folds.split(X, y, groups))
        self.n_splits_ = len(splits)
        with self._written((clone(self.estimator), X, y, splits, self.scorer_, fit_params)) as study:
            done = self._done(study)
        self.study_name_ = done.name
        trials = [each for each in done.each_trial() if each.score is not None]
        if not trials:
            raise ValueError(f"no candidate had a score: `celeriac trials {done.name}` says why")
        self._keep(trials)
        if self.refit:
            began = perf_counter()
            self.best_estimator_ = clone(self.estimator).set_params(**self.best_params_).fit(X, y, **fit_params)
            self.refit_time_ = perf_counter() - began
            for name in ("n_features_in_", "feature_names_in_"):
                if hasattr(self.best_estimator_, name):
                    setattr(self, name, getattr(self.best_estimator_, name))
        return self

    def _done(self, asked: dict[str, Any]) -> Any:
        """The study, closed. One that is left before its end is stopped: its trials' directory goes with the search."""
        from celeriac.client.run import ran

        seen: dict[str, Any] = {}

        def say(line: str) -> None:
            if self.verbose > 0:
                print(line, file=sys.stderr, flush=True)

        def changed(study: Any, line: str) -> None:
            seen["study"] = study
            say(line)

        try:
            return ran(asked, home=self.home, slots=self.slots, say=say, changed=changed)
        except BaseException:
            with suppress(Exception):  # also where none was opened; what ended the search is what is told
                seen["study"].stop("the search that asked for it was left")
            raise

    @contextmanager
    def _written(self, asked: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
        """The study file, while the directory is there that its trials load."""
        from celeriac.runtime.settings import Settings

        settings = Settings.from_env(home=None if self.home is None else Path(self.home))
        # Over the API the trials are elsewhere: they find what lies below the code root, which their hosts see too.
        shared = settings.url and settings.code_root != Path("/")
        searches = (settings.code_root if shared else settings.home) / "searches"
        searches.mkdir(mode=0o755 if shared else 0o700, parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(dir=searches))
        if shared:
            place.chmod(0o755)  # the workers may be another user
        try:
            study = self._study(place)
            dumped(place / PICKLED, asked)
            (place / f"{JOB}.py").write_text(_MODULE)
            yield study
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _study(self, place: Path) -> dict[str, Any]:
        """The study file of a search that is written there."""
        space = self.space
        if isinstance(space, Mapping):
            space = {name: _form(value) for name, value in space.items()}
        study = {
            "study": f"{type(self.estimator).__name__}-{hashlib.sha256(place.name.encode()).hexdigest()[:10]}",
            "objective": f"{JOB}:objective",
            "code": str(place),
            "metric": {"name": "score", "goal": "maximize"},
            "space": space,
            "budget": {"trials": self.n_iter},
            "parallel": self.n_jobs if self.n_jobs and self.n_jobs > 0 else None,
            "seed": None if self.random_state is None else int(self.random_state),
        }
        return {key: value for key, value in study.items() if value is not None} | dict(self.study or {})

    def _keep(self, trials: list[Any]) -> None:
        """`cv_results_` and what follows from it; a candidate without a score is none of its rows."""
        scores = np.array([each.score for each in trials])
        splits = [f"split{k}_test_score" for k in range(self.n_splits_)]
        names = sorted({name for each in trials for name in each.params})
        self.cv_results_ = {
            "params": [dict(each.params) for each in trials],
            **{f"param_{name}": _masked([each.params.get(name) for each in trials]) for name in names},
            **{split: np.array([each.metrics[split] for each in trials]) for split in splits},
            "mean_test_score": scores,
            "std_test_score": np.array([each.metrics["std_test_score"] for each in trials]),
            "mean_fit_time": np.array([each.metrics["mean_fit_time"] for each in trials]),
            "mean_score_time": np.array([each.metrics["mean_score_time"] for each in trials]),
            "rank_test_score": np.array([1 + int((scores > score).sum()) for score in scores], dtype=np.int32),
        }
        self.best_index_ = int(scores.argmax())
        self.best_score_ = float(scores[self.best_index_])
        self.best_params_ = dict(trials[self.best_index_].params)

    # -- as the best estimator does -----------------------------------------------------------------------------------
    def score(self, X: Any, y: Any = None) -> float:  # noqa: N803
        """The best estimator's score on X and y."""
        return float(self.scorer_(self._best(), X, y))

    @available_if(_best_has("predict"))  # type: ignore[untyped-decorator]
    def predict(self, X: Any) -> Any:  # noqa: N803
        """The best estimator's."""
        return self._best().predict(X)

    @available_if(_best_has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        """The best estimator's."""
        return self._best().predict_proba(X)

    @available_if(_best_has("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> Any:  # noqa: N803
        """The best estimator's."""
        return self._best().decision_function(X)

    @available_if(_best_has("transform"))  # type: ignore[untyped-decorator]
    def transform(self, X: Any) -> Any:  # noqa: N803
        """The best estimator's."""
        return self._best().transform(X)

    @property
    def classes_(self) -> Any:
        """The best estimator's."""
        return self._best().classes_

    def _best(self) -> Any:
        check_is_fitted(self)
        if not self.refit:
            raise AttributeError("CeleriacSearchCV(refit=False) keeps no estimator: fit one with best_params_")
        return self.best_estimator_

    def __sklearn_is_fitted__(self) -> bool:
        """Whether `fit` has ended."""
        return hasattr(self, "best_params_")

    def __sklearn_tags__(self) -> Any:
        """Those of the estimator that it searches for."""
        tags = super().__sklearn_tags__()
        inner = self.estimator.__sklearn_tags__() if hasattr(self.estimator, "__sklearn_tags__") else None
        if inner is not None:
            tags.estimator_type = inner.estimator_type
            tags.classifier_tags, tags.regressor_tags = inner.classifier_tags, inner.regressor_tags
            tags.input_tags.pairwise, tags.input_tags.sparse = inner.input_tags.pairwise, inner.input_tags.sparse
            tags.target_tags.required = inner.target_tags.required
        return tags


def _form(value: Any) -> Any:
    """A parameter of scikit-learn's own searches as a study file has it; all else as it is."""
    if isinstance(value, list | tuple | np.ndarray):
        return {"choice": [each.item() if isinstance(each, np.generic) else each for each in value]}
    name = getattr(getattr(value, "dist", None), "name", "")
    if name == "randint":
        return {"int": [int(end) for end in value.support()]}
    if name in ("uniform", "loguniform", "reciprocal"):
        return {"float": [float(end) for end in value.support()], "log": name != "uniform"}
    return value


def _masked(values: list[Any]) -> Any:
    """A column of parameters, as scikit-learn's searches have it: masked where a candidate has none."""
    column = np.ma.array(np.empty(len(values), dtype=object), mask=[value is None for value in values])
    for k, value in enumerate(values):
        if value is not None:
            column[k] = value
    return column
