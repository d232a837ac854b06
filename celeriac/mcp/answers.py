"""What the tools answer: small by default, and every name and number usable in the next call.

Rule: an answer is one JSON object; lists are cut to what was asked for, with the count of all beside them (`of`);
what is empty or unknown is left out; numbers have six digits.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from celeriac.domain.records import Attempt, Champion, Firing, Schedule, StudyRecord, TrialRecord
from celeriac.domain.study_file import slice_name
from celeriac.report.advice import advice
from celeriac.report.plain import plain

_DIGITS = 6
#: So much of a fault's detail; the trial by itself tells all of it.
_SHORT = 300
#: So long one call waits for the end of a study or of a night, at most.
MOST_WAIT_S = 300.0
_MOST_POINTS = 20


def small(value: Any) -> Any:
    """JSON values with numbers of six digits, and without what is empty."""
    value = plain(value)
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, Mapping):
        parts = {key: small(each) for key, each in value.items()}
        return {key: each for key, each in parts.items() if each not in (None, "", [], {})}
    return [small(each) for each in value] if isinstance(value, list) else value


def study_answer(study: StudyRecord) -> dict[str, Any]:
    """One study on a line."""
    best = None if study.best_number is None else {"trial": study.best_number, study.metric: study.best_score}
    counts = study.counts
    return {
        "study": study.name,
        "state": study.state,
        "reason": study.reason,
        "finished": counts.finished,
        "budget": study.budget,
        "goal": f"{study.goal} {study.metric}",
        "best": best,
        "counts": {name: count for name, count in plain(counts).items() if count},
        "schedule": study.schedule,
        "slice": slice_name(study.slice),
    }


def trial_answer(trial: TrialRecord, study: str) -> dict[str, Any]:
    """One trial on a line."""
    return {
        "trial": trial.number,
        "state": trial.state,
        "score": trial.score,
        "last": None if trial.score is not None or trial.last_step is None else [trial.last_step, trial.last_value],
        "params": trial.params,
        "source": None if trial.source == "suggested" else trial.source,
        "fault": trial.fault,
        "detail": trial.detail[:_SHORT],
        "advice": advice(trial, study),
    }


def attempt_answer(attempt: Attempt) -> dict[str, Any]:
    """One attempt: where it ran, how long, how it ended."""
    told = ("number", "worker", "outcome", "fault", "detail", "device_s", "peak_memory_bytes")
    return {name: getattr(attempt, name) for name in told}


def thinned(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """A curve with its first and last point, and of those between every so many-th."""
    if len(points) <= _MOST_POINTS:
        return list(points)
    every = (len(points) - 1) / (_MOST_POINTS - 1)
    return [points[round(k * every)] for k in range(_MOST_POINTS)]


def schedule_answer(schedule: Schedule) -> dict[str, Any]:
    """One schedule on a line."""
    return {
        "schedule": schedule.name,
        "cron": f"{schedule.cron} {schedule.timezone}",
        "paused": schedule.paused or None,
        "next_due_at": None if schedule.paused else schedule.next_due_at,
        "slices": [slice_name(each) for each in schedule.slices if each],
    }


def firing_answer(firing: Firing, studies: Sequence[StudyRecord]) -> dict[str, Any]:
    """One firing, with the studies of its stages by name."""
    return {
        "firing": firing.name,
        "slice": slice_name(firing.slice),
        "state": firing.state,
        "reason": firing.reason,
        "studies": {str(each.stage): each.name for each in studies if each.firing_id == firing.id},
    }


def champion_answer(champion: Champion) -> dict[str, Any]:
    """One verdict; a champion's parameters."""
    gate = (champion.evidence.get("gate") or {}).get("said") or {}
    return {
        "id": champion.id,
        "schedule": champion.schedule,
        "slice": slice_name(champion.slice),
        "promoted": champion.promoted,
        "waits_for_approval": champion.awaits or None,
        "study": champion.study,
        "trial": champion.trial,
        "score": champion.score,
        "params": champion.params,
        "by": champion.who or champion.kind,
        "at": champion.decided_at,
        "reason": champion.reason,
        "gain": gate.get("gain"),
        "interval": gate.get("interval"),
        "p": gate.get("p"),
    }
