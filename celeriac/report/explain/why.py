"""Why this trial: how its parameters were found, what was expected of it then, and how it turned out.

`why` is written once, by whoever added the trial, and kept small: numbers and places, never copies of rows. Its keys
are listed in docs/reference/samplers.md; any of them may be absent, since samplers know different things, and one that
is not known here is handed on. Which trials were pending then follows from two of them (`pending_then`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from celeriac.domain.provenance import By, Expectation, Provenance
from celeriac.domain.records import Goal, Source, TrialRecord

_UNASKED = {
    Source.DEFAULT: "the default that the study file gives: no sampler was asked",
    Source.PRIOR: "a prior: parameters known from elsewhere, tried before any suggestion",
    Source.CHAMPION: "the slice's champion, run again to compare with",
    Source.CHALLENGER: "the night's challenger, run again to compare with the champion",
    Source.PROPOSED: "a point that was proposed from outside: no sampler was asked",
}


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
    """How a trial's parameters came about: `how` in one phrase, and which trials were pending then."""

    how: str
    provenance: Provenance
    pending: tuple[int, ...]
    outcome: Outcome | None


def explained(trial: TrialRecord, goal: Goal, pending: Sequence[int] = ()) -> Explanation:
    """The trial's explanation; `pending` are the trials that were pending when it was suggested."""
    found = trial.provenance
    outcome = None
    if found.expected is not None and trial.score is not None:
        outcome = _outcome(found.expected, trial.score, goal)
    return Explanation(_how(trial.source, found), found, tuple(pending), outcome)


def _how(source: Source, found: Provenance) -> str:
    if source is Source.PBT:
        return f"an heir: {found.reason}"
    if source is not Source.SUGGESTED:
        return _UNASKED[source]
    by, reason = found.by, found.reason
    if not by:
        return "suggested by a sampler that did not say how"
    if "improvement" in by or "entropy" in by or "probability" in by:
        phrase = f"the point with the largest {by} that the model found"
    else:
        phrase = _PHRASES.get(by, by)
    return f"{phrase}, because {reason}" if reason else phrase


_PHRASES: Mapping[str, str] = {
    By.LATIN_HYPERCUBE: "a point of the first design (a Latin hypercube): no model was asked yet",
    By.SOBOL: "the next point of a Sobol sequence: no model was asked",
    By.RANDOM: "drawn at random from the space",
    By.GRID: "the next point of the grid",
    By.CONFIDENCE_BOUND: "the point that may be the best by the model's lower confidence bound",
    By.OPTUNA: "what Optuna's sampler of that name answered",
    By.SKOPT: "what scikit-optimize's Optimizer answered (gp_hedge)",
    By.BOTORCH: "the point with the largest log expected improvement that BoTorch's model found",
}


def _outcome(expected: Expectation, score: float, goal: Goal) -> Outcome:
    inside = None
    if expected.low is not None and expected.high is not None:
        inside = expected.low <= score <= expected.high
    gain = None
    if expected.incumbent is not None:
        gain = score - expected.incumbent if goal == "maximize" else expected.incumbent - score
    return Outcome(None if expected.mean is None else score - expected.mean, inside, gain)
