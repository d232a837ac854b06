"""One candidate of a `CeleriacSearchCV`, in a trial's own process on a worker."""

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from time import perf_counter
from typing import Any

from celeriac.doors.extras import extra

with extra("sklearn"):
    from sklearn.base import clone
    from sklearn.utils import _safe_indexing

    from celeriac.doors.pickled import loaded
    from celeriac.doors.sklearn import PICKLED
from celeriac.result import Result
from celeriac.trial import Trial


@dataclass(frozen=True, slots=True)
class Search:
    """What all candidates of a search have in common."""

    estimator: Any
    X: Any
    y: Any
    splits: list[Any]
    scorer: Any
    fit_params: dict[str, Any]

    @classmethod
    def load(cls, module: str) -> "Search":
        """What the search wrote beside this module. Raises RuntimeError for what another Python wrote."""
        return cls(*next(loaded(Path(module).with_name(PICKLED))))

    def score(self, trial: Trial) -> Result:
        """The mean score over the folds; each fold's running mean is a report, so that `stop_early` works. Raises what
        the estimator raises.
        """
        scores: list[float] = []
        fit_s: list[float] = []
        score_s: list[float] = []
        for fold, (train, test) in enumerate(self.splits):
            began = perf_counter()
            candidate = clone(self.estimator).set_params(**trial.params)
            X, y = self._part(train)  # noqa: N806
            candidate.fit(X, y, **{name: self._cut(value, train) for name, value in self.fit_params.items()})
            fitted = perf_counter()
            X, y = self._part(test)  # noqa: N806
            scores.append(float(self.scorer(candidate, X, y)))
            fit_s.append(fitted - began)
            score_s.append(perf_counter() - fitted)
            trial.report(fmean(scores), step=fold)
        splits = {f"split{fold}_test_score": score for fold, score in enumerate(scores)}
        times = {"mean_fit_time": fmean(fit_s), "mean_score_time": fmean(score_s)}
        return Result(fmean(scores), metrics={**splits, **times, "std_test_score": pstdev(scores)})

    def _part(self, rows: Any) -> tuple[Any, Any]:
        pairs = getattr(self.estimator.__sklearn_tags__().input_tags, "pairwise", False)
        if pairs:
            raise ValueError("an estimator on pairwise distances cannot be searched by CeleriacSearchCV")
        return _safe_indexing(self.X, rows), None if self.y is None else _safe_indexing(self.y, rows)

    def _cut(self, value: Any, rows: Any) -> Any:
        """Of what goes to `fit`, such as weights of the examples, those of these rows."""
        is_by_row = hasattr(value, "__len__") and not isinstance(value, str) and len(value) == len(self.y)
        return _safe_indexing(value, rows) if is_by_row else value
