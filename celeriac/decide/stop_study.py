"""Has a study nothing more to win, so that it ends before its budget? Its target is reached, or its newest suggestions promise too little.

What a suggestion promises is what its sampler wrote beside it, in units of the score: `expected_gain`, and `regret_bound`, an upper
bound of what the optimum is better than the best so far. One that promises nothing that can be read breaks the row.
"""

import math
from collections.abc import Sequence

from celeriac.records import Source, StudyRecord, TrialRecord
from celeriac.stop_rules import StopStudy

EXPECTED_GAIN, REGRET_BOUND = "expected_gain", "regret_bound"


def newest_needed(stop: StopStudy | None) -> int:
    """How many of the study's newest trials `reason_to_end` looks at."""
    asks = stop is not None and (stop.min_gain is not None or stop.max_regret is not None)
    return stop.suggestions if asks and stop is not None else 0


def reason_to_end(stop: StopStudy, study: StudyRecord, newest: Sequence[TrialRecord]) -> str:
    """Why the study ends, or "". `newest` are its trials with the highest numbers, as many as `newest_needed` says, in any order."""
    return _target(stop, study) or _plateau(stop, newest) or _regret(stop, newest)


def _target(stop: StopStudy, study: StudyRecord) -> str:
    best = study.best_score
    if stop.target is None or best is None:
        return ""
    reached = best >= stop.target if study.goal == "maximize" else best <= stop.target
    return (
        f"trial {study.best_number} with {best:.6g} reached the target {stop.target:.6g}" if reached else ""
    )


def _plateau(stop: StopStudy, newest: Sequence[TrialRecord]) -> str:
    gains = _promised(EXPECTED_GAIN, stop.suggestions, newest)
    if stop.min_gain is None or gains is None or max(gains) >= stop.min_gain:
        return ""
    return (
        f"plateau: {_numbers(newest)} expected to gain less than {stop.min_gain:.6g} "
        f"(the most: {max(gains):.3g})"
    )


def _regret(stop: StopStudy, newest: Sequence[TrialRecord]) -> str:
    bounds = _promised(REGRET_BOUND, stop.suggestions, newest)
    if stop.max_regret is None or bounds is None or max(bounds) > stop.max_regret:
        return ""
    return (
        f"when {_numbers(newest)} suggested, the best was at most {stop.max_regret:.6g} from the optimum "
        f"(bounded by {max(bounds):.3g})"
    )


def _promised(key: str, count: int, newest: Sequence[TrialRecord]) -> list[float] | None:
    """What the newest `count` suggestions promise; None where one of them does not say."""
    said = [trial.why.get(key) for trial in newest if trial.source is Source.SUGGESTED]
    found = [float(each) for each in said if isinstance(each, (int, float)) and _is_number(each)]
    return found if len(found) == len(newest) == count else None


def _is_number(value: float) -> bool:
    return not isinstance(value, bool) and math.isfinite(value)


def _numbers(newest: Sequence[TrialRecord]) -> str:
    numbers = sorted(trial.number for trial in newest)
    return f"trials {numbers[0]} to {numbers[-1]} were" if len(numbers) > 1 else f"trial {numbers[0]} was"
