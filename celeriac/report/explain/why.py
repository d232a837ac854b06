"""Why this trial: how its parameters were found, what was expected of it then, and how it turned out.

`why` is written once, by whoever added the trial, and kept small: numbers and places, never copies of rows. Its keys
are listed in docs/reference/samplers.md; any of them may be absent, since samplers know different things, and one that
is not known here is handed on. Which trials were pending then follows from two of them (`pending_then`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from celeriac.domain.records import Goal, Source, TrialRecord

_FOUND = {"sampler", "seed", "observed", "pending", "index", "best", "by", "reason"}
_EXPECTED = {"mean", "low", "high", "incumbent", "incumbent_number", "expected_gain", "feasible"}
_UNASKED = {
    Source.DEFAULT: "the default that the study file gives: no sampler was asked",
    Source.PRIOR: "a prior: parameters known from elsewhere, tried before any suggestion",
    Source.CHAMPION: "the slice's champion, run again to compare with",
}


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the model said of the point before it was tried. All but `feasible` are in units of the score.

    `low` to `high` is the interval that should hold nine scores in ten; `expected_gain` is by how much the score was
    expected to beat `incumbent`, the best score then; `feasible` is the probability that the trial does not fail.
    """

    mean: float | None = None
    low: float | None = None
    high: float | None = None
    incumbent: float | None = None
    incumbent_number: int | None = None
    expected_gain: float | None = None
    feasible: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the score compares: `error` is score minus mean, `gain` by how much it beat the best score then (negative:
    it did not).

    None where that cannot be said.
    """

    error: float | None
    inside: bool | None
    gain: float | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A trial's `why`, read: `how` in one phrase, `expected` None where no model was asked, `more` what only its
    sampler knows.
    """

    how: str
    sampler: str | None
    seed: int | None
    observed: int | None
    pending: tuple[int, ...]
    expected: Expectation | None
    outcome: Outcome | None
    more: Mapping[str, Any]

    @property
    def replayable(self) -> bool:
        """Whether the row holds what is needed to ask the sampler again."""
        return None not in (self.sampler, self.seed, self.observed)


def pending_then(trial: TrialRecord) -> tuple[int, int] | None:
    """The `observed` and `below` that `Store.pending` takes to tell which trials were pending when this one was
    suggested.

    None where no sampler suggested it. Its question began `index` numbers before it.
    """
    observed, index = trial.why.get("observed"), trial.why.get("index")
    return None if observed is None or index is None else (observed, trial.number - index)


def explained(trial: TrialRecord, goal: Goal, pending: Sequence[int] = ()) -> Explanation:
    """The trial's explanation; `goal` is the study's, `pending` are the trials that were pending when it was
    suggested.
    """
    why = trial.why
    known = {key: why[key] for key in _EXPECTED if why.get(key) is not None}
    expected = Expectation(**known) if known else None
    return Explanation(
        how=_how(trial.source, why),
        sampler=why.get("sampler"),
        seed=why.get("seed"),
        observed=why.get("observed"),
        pending=tuple(pending),
        expected=expected,
        outcome=None if expected is None or trial.score is None else _outcome(expected, trial.score, goal),
        more={key: value for key, value in why.items() if key not in _FOUND | _EXPECTED},
    )


def _how(source: Source, why: Mapping[str, Any]) -> str:
    if source is not Source.SUGGESTED:
        return _UNASKED[source]
    by, reason = str(why.get("by", "")), why.get("reason")
    if not by:
        return "suggested by a sampler that did not say how"
    if "improvement" in by or "entropy" in by or "probability" in by:
        phrase = f"the point with the largest {by} that the model found"
    else:
        phrase = _PHRASES.get(by, by)
    return f"{phrase}, because {reason}" if reason else phrase


_PHRASES = {
    "latin hypercube": "a point of the first design (a Latin hypercube): no model was asked yet",
    "sobol": "the next point of a Sobol sequence: no model was asked",
    "random": "drawn at random from the space",
    "grid": "the next point of the grid",
    "lower confidence bound": "the point that may be the best by the model's lower confidence bound",
    "Optuna": "what Optuna's sampler of that name answered",
    "scikit-optimize": "what scikit-optimize's Optimizer answered (gp_hedge)",
    "BoTorch": "the point with the largest log expected improvement that BoTorch's model found",
}


def _outcome(expected: Expectation, score: float, goal: Goal) -> Outcome:
    inside = None
    if expected.low is not None and expected.high is not None:
        inside = expected.low <= score <= expected.high
    gain = None
    if expected.incumbent is not None:
        gain = score - expected.incumbent if goal == "maximize" else expected.incumbent - score
    return Outcome(None if expected.mean is None else score - expected.mean, inside, gain)
