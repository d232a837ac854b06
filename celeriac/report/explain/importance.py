"""Which parameters mattered: Optuna's importance evaluators over a study's scored trials.

Two questions, two methods. `ped-anova` (Watanabe et al. 2023, arXiv:2304.10255; conditional parameters:
arXiv:2601.20800) asks what decides whether a trial is among the best; it goes by ranks, so that one absurd score
changes nothing, and all its shares add up to one. `fanova` (Hutter et al. 2014) asks whose variation the scores'
variance comes from, over a random forest. fANOVA knows no conditions: here a conditional parameter is judged within
the trials that have it, and its share is of theirs.

Optuna is imported when asked, since it takes a second to load. The same trials give the same shares.
"""

import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Literal

from celeriac.domain.errors import ExtraMissing
from celeriac.domain.records import Goal, TrialRecord, TrialState
from celeriac.domain.space import Space, condition_of
from celeriac.report.distributions import params_of

if TYPE_CHECKING:
    from optuna.importance import BaseImportanceEvaluator
    from optuna.trial import FrozenTrial

Method = Literal["ped-anova", "fanova"]
#: What each method answers, as a headline.
QUESTIONS: dict[Method, str] = {
    "ped-anova": "What makes a trial one of the best",
    "fanova": "What the scores vary with",
}

#: Fewer scored trials say nothing: the best of them are two or three.
FEWEST = 10
#: PED-ANOVA wants five trials among the best tenth.
ENOUGH = 50
_BEST_SHARE, _BEST_TRIALS = 0.1, 5
#: What is looked at is a random part of more trials than that: fANOVA's time grows faster than their number (250: six
#: seconds).
_MOST = {"ped-anova": 5000, "fanova": 250}
_RESAMPLES, _MOST_RESAMPLED = 20, 300


@dataclass(frozen=True, slots=True)
class Importance:
    """One parameter's share, in [0, 1]; None when too few trials have it.

    `low` to `high` holds the share, and nine in ten of those found when the trials are drawn again with repetition
    (None where that is not done); `trials` had the parameter; `condition` says when it exists, "" for always.
    """

    name: str
    share: float | None
    low: float | None = None
    high: float | None = None
    trials: int = 0
    condition: str = ""


@dataclass(frozen=True, slots=True)
class Importances:
    """All parameters' shares, the largest first; none, with the reason, when there are too few trials.

    `trials` is how many were scored, or `pruned` after a report, which then stands for their score; `used` how many of
    them were looked at; `caution` is what to mind when reading, or "".
    """

    method: Method
    trials: int
    used: int
    parameters: tuple[Importance, ...]
    caution: str = ""
    reason: str = ""
    pruned: int = 0

    @property
    def headline(self) -> str:
        """The question, the method, and what was looked at."""
        of = "" if self.used == self.trials else f" of {self.trials}"
        pruned = f"trials, {self.pruned} of them pruned and judged by their last report"
        what = pruned if self.pruned else "scored trials"
        return f"{QUESTIONS[self.method]} ({self.method}, {self.used}{of} {what})"


def importances(space: Space, goal: Goal, trials: Sequence[TrialRecord], method: Method = "ped-anova") -> Importances:
    """The shares of all parameters of the space. Raises ExtraMissing without Optuna."""
    scored = judged(trials)
    pruned = sum(trial.state is TrialState.PRUNED for trial in scored)
    if reason := _no_answer(scored):
        return Importances(method, len(scored), 0, (), reason=reason)
    used = scored
    if len(scored) > _MOST[method]:
        used = random.Random(0).sample(scored, _MOST[method])
    with _optuna_quiet():
        judge = _Judge(space, goal, method)
        found = judge.of_best(used) if method == "ped-anova" else judge.of_variance(used)
    ordered = sorted(found, key=lambda each: (each.condition != "" and method == "fanova", -(each.share or 0.0)))
    return Importances(method, len(scored), len(used), tuple(ordered), _caution(len(scored), method), pruned=pruned)


def judged(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The trials with a score, by number; a pruned one counts with its last report."""
    pruned = (replace(each, score=each.last_value) for each in trials if each.state is TrialState.PRUNED)
    scored = (each for each in trials if each.state is TrialState.SCORED)
    found = (each for each in (*scored, *pruned) if each.score is not None and isfinite(each.score))
    return sorted(found, key=lambda trial: trial.number)


def _no_answer(scored: Sequence[TrialRecord]) -> str:
    if len(scored) < FEWEST:
        return f"too few trials: {len(scored)} are scored, and fewer than {FEWEST} say nothing about importance"
    if len({trial.score for trial in scored}) == 1:
        return f"all {len(scored)} scores are the same: no parameter made a difference"
    return ""


def _caution(scored: int, method: Method) -> str:
    if scored >= ENOUGH:
        return ""
    read = "the shares are rough" if method == "fanova" else "read the ranges rather than the shares"
    return f"only {scored} scored trials, where {ENOUGH} are better: {read}"


@dataclass(frozen=True, slots=True)
class _Judge:
    """Optuna's evaluators over our records."""

    space: Space
    goal: Goal
    method: Method

    def of_best(self, scored: Sequence[TrialRecord]) -> list[Importance]:
        """PED-ANOVA, with the spread over resampled trials where there are few."""
        frozen = [self._frozen(trial) for trial in scored]
        found = [
            Importance(name, 0.0, trials=sum(name in each.params for each in frozen), condition=condition_of(p))
            for name, p in self.space.parameters.items()
        ]
        shares = self._evaluated(frozen)
        found = [replace(each, share=shares.get(each.name, 0.0)) for each in found]
        if len(frozen) > _MOST_RESAMPLED:
            return found
        rng = random.Random(0)
        spread = [self._evaluated(rng.choices(frozen, k=len(frozen))) for _ in range(_RESAMPLES)]
        return [_with_spread(each, [shares.get(each.name, 0.0) for shares in spread]) for each in found]

    def of_variance(self, scored: Sequence[TrialRecord]) -> list[Importance]:
        """FANOVA within the trials that have the parameter, beside all others that these trials have."""
        holders: dict[tuple[int, ...], list[str]] = {}
        for name in self.space.parameters:
            having = tuple(i for i, trial in enumerate(scored) if name in trial.params)
            holders.setdefault(having, []).append(name)
        found = []
        for having, names in holders.items():
            shares: dict[str, float] = {}
            if len(having) >= FEWEST and len({scored[i].score for i in having}) > 1:
                shared = [n for n in self.space.parameters if all(n in scored[i].params for i in having)]
                shares = self._evaluated([self._frozen(scored[i]) for i in having], shared)
            for name in names:
                condition = condition_of(self.space.parameters[name])
                found.append(Importance(name, shares.get(name), trials=len(having), condition=condition))
        return found

    def _evaluated(self, frozen: Sequence["FrozenTrial"], params: list[str] | None = None) -> dict[str, float]:
        import optuna

        study = optuna.create_study(direction=self.goal)
        study.add_trials(frozen)
        found = optuna.importance.get_param_importances(study, evaluator=self._evaluator(len(frozen)), params=params)
        return {name: float(share) for name, share in found.items()}

    def _evaluator(self, trials: int) -> "BaseImportanceEvaluator":
        from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

        if self.method == "fanova":
            return FanovaImportanceEvaluator(seed=0)
        return PedAnovaImportanceEvaluator(target_quantile=max(_BEST_SHARE, min(_BEST_TRIALS / trials, 0.5)))

    def _frozen(self, trial: TrialRecord) -> "FrozenTrial":
        from optuna.trial import create_trial

        params, kinds = params_of(self.space, trial)
        return create_trial(params=params, distributions=kinds, value=trial.score)


def _with_spread(each: Importance, shares: Sequence[float]) -> Importance:
    """The share with the range of nine in ten resampled ones, and of itself.

    A trial that is drawn twice is a pattern of its own: resamples see more than nothing where all trials show nothing.
    """
    ordered, share = sorted(shares), each.share or 0.0
    tail = len(ordered) // 20
    return replace(each, low=min(ordered[tail], share), high=max(ordered[-1 - tail], share))


@contextmanager
def _optuna_quiet() -> Iterator[None]:
    """Optuna without a word of its own: `caution` says what it would warn of. Raises ExtraMissing."""
    try:
        import optuna
        import sklearn  # noqa: F401 - fANOVA's forest
    except ImportError as error:
        raise ExtraMissing(f"importances need Optuna ({error}): pip install 'celeriac[plots]'") from error
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)
