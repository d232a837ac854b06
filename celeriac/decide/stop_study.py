"""Has a study nothing more to win, so that it ends before its budget? Its target is reached, or its newest suggestions
promise too little.

What a suggestion promises is what its sampler wrote beside it, in units of the score: its `expected_gain`, and how far
from the optimum the best may be. That is `regret_bound`, where the sampler knows one, in the sense of Makarova et al.
(Automatic termination for hyperparameter optimization, 2022); else the favourable end of the interval at the suggested
point (`high` or `low`) over the `incumbent`: the point was chosen as the most promising one. A suggestion that
promises nothing which can be read breaks the row.
"""

from collections.abc import Callable, Sequence

from celeriac.domain.provenance import Provenance
from celeriac.domain.records import Goal, Source, StudyRecord, TrialRecord
from celeriac.domain.stop_rules import StopStudy


def newest_needed(stop: StopStudy | None) -> int:
    """How many of the study's newest trials `reason_to_end` looks at."""
    asks = stop is not None and (stop.min_gain is not None or stop.max_regret is not None)
    return stop.suggestions if asks and stop is not None else 0


def reason_to_end(stop: StopStudy, study: StudyRecord, newest: Sequence[TrialRecord]) -> str:
    """Why the study ends, or "". `newest` are its trials with the highest numbers, as many as `newest_needed` says, in
    any order.
    """
    return _target(stop, study) or _plateau(stop, newest) or _regret(stop, study.goal, newest)


def _target(stop: StopStudy, study: StudyRecord) -> str:
    best = study.best_score
    if stop.target is None or best is None:
        return ""
    reached = best >= stop.target if study.goal == "maximize" else best <= stop.target
    return f"trial {study.best_number} with {best:.6g} reached the target {stop.target:.6g}" if reached else ""


def _plateau(stop: StopStudy, newest: Sequence[TrialRecord]) -> str:
    gains = _row(stop, newest, lambda found: found.gain)
    if stop.min_gain is None or gains is None or max(gains) >= stop.min_gain:
        return ""
    return f"plateau: {_numbers(newest)} expected to gain less than {stop.min_gain:.6g} (the most: {max(gains):.3g})"


def _regret(stop: StopStudy, goal: Goal, newest: Sequence[TrialRecord]) -> str:
    bounds = _row(stop, newest, lambda found: found.regret_bound(goal))
    if stop.max_regret is None or bounds is None or max(bounds) > stop.max_regret:
        return ""
    return (
        f"when {_numbers(newest)} suggested, the best was at most {stop.max_regret:.6g} from the optimum "
        f"(bounded by {max(bounds):.3g})"
    )


def _row(
    stop: StopStudy, newest: Sequence[TrialRecord], promise: Callable[[Provenance], float | None]
) -> list[float] | None:
    """What the newest suggestions promise; None where one of them does not say, or there are not enough."""
    said = [promise(trial.provenance) for trial in newest if trial.source is Source.SUGGESTED]
    found = [each for each in said if each is not None]
    return found if len(found) == len(newest) == stop.suggestions else None


def _numbers(newest: Sequence[TrialRecord]) -> str:
    numbers = sorted(trial.number for trial in newest)
    return f"trials {numbers[0]} to {numbers[-1]} were" if len(numbers) > 1 else f"trial {numbers[0]} was"
