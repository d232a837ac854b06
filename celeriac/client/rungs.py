"""What happened at each rung of a study: how many came and were stopped there, and what it takes now. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from celeriac.decide.stop_early import at_rung, judged
from celeriac.domain.records import RungRecord, StudyRecord, TrialRecord, TrialState
from celeriac.domain.study_file import stop_rule


@dataclass(frozen=True, slots=True)
class RungSummary:
    """One rung: how many `came` and were `stopped`, the best value and whose, the newest cutoff."""

    bracket: int
    rung: int
    came: int
    stopped: int
    best: float
    best_trial: int
    cutoff: float


def summaries(study: StudyRecord, trials: Iterable[TrialRecord], records: Iterable[RungRecord]) -> list[RungSummary]:
    """By bracket and rung. Raises SpecInvalid when this version cannot read the study's rule."""
    by_number = {trial.number: trial for trial in trials}
    there: dict[tuple[int, int], list[RungRecord]] = {}
    for record in sorted(records, key=lambda each: (each.bracket, each.rung, each.place)):
        there.setdefault((record.bracket, record.rung), []).append(record)
    ended = _stopped_at(study, by_number, there)
    return [_summary(study, found, ended.get(where, 0)) for where, found in there.items()]


def _stopped_at(
    study: StudyRecord, trials: Mapping[int, TrialRecord], there: Mapping[tuple[int, int], list[RungRecord]]
) -> dict[tuple[int, int], int]:
    """How many pruned trials each rung ended: the first that a trial fell behind at."""
    rule = stop_rule(study.spec)
    if rule is None:
        return {}
    first: dict[int, tuple[int, int]] = {}
    for where in sorted(there):
        for record in there[where]:
            trial = trials.get(record.trial)
            if trial is None or trial.state is not TrialState.PRUNED or trial.number in first:
                continue
            if at_rung(judged(rule, study.goal, trial.number, trial.source), record).stop:
                first[trial.number] = where
    counts: dict[tuple[int, int], int] = {}
    for where in first.values():
        counts[where] = counts.get(where, 0) + 1
    return counts


def _summary(study: StudyRecord, there: list[RungRecord], stopped: int) -> RungSummary:
    sign = 1.0 if study.goal == "maximize" else -1.0
    best = max(there, key=lambda each: (sign * each.value, -each.place))
    newest = there[-1]
    return RungSummary(newest.bracket, newest.rung, len(there), stopped, best.value, best.trial, newest.cutoff)
