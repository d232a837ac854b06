"""Plain records for tests of decisions: every field set, those named changed."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from celeriac.domain.records import (
    Counts,
    EndedTrial,
    Snapshot,
    Source,
    StudyRecord,
    StudyState,
    TrialRecord,
    TrialState,
)

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


def study(state: StudyState = StudyState.RUNNING, counts: Counts | None = None, **changes: Any) -> StudyRecord:
    return StudyRecord(
        **{
            "id": 1,
            "name": "digits",
            "spec": {},
            "goal": "maximize",
            "parallel": None,
            "code_root": "",
            "fingerprint": "",
            "state": state,
            "reason": "",
            "turn": 5,
            "next_number": 0,
            "counts": counts or Counts(),
            "best_number": None,
            "best_score": None,
            "device_s": 0.0,
            "schedule": None,
            "slice": {},
            "due_at": None,
            "created_at": NOW,
            "started_at": NOW,
            "ended_at": None,
            "first_leased_at": NOW,
            **changes,
        }
    )


def trial(number: int, state: TrialState, **changes: Any) -> TrialRecord:
    return TrialRecord(
        **{
            "study_id": 1,
            "number": number,
            "params": {},
            "state": state,
            "source": Source.SUGGESTED,
            "why": {},
            "score": None,
            "metrics": {},
            "step": None,
            "attempts": 0,
            "faults": {},
            "fault": None,
            "detail": "",
            "signature": "",
            "last_step": None,
            "last_value": None,
            "worker": "",
            "ended_no": None,
            "created_at": NOW,
            "queued_at": None,
            "started_at": None,
            "ended_at": None,
            **changes,
        }
    )


def snapshot(
    record: StudyRecord,
    open_trials: Sequence[TrialRecord] = (),
    last_ended: Sequence[TrialRecord] = (),
    now: datetime = NOW,
) -> Snapshot:
    """What the store would give of these trials, all that wait in its tail."""

    def numbers(state: TrialState) -> tuple[int, ...]:
        there = (each for each in open_trials if each.state is state)
        return tuple(sorted(each.number for each in there if each.not_before is None or each.not_before <= now))

    ends = (EndedTrial(t.number, t.fault, t.signature, t.detail, t.ended_at or NOW) for t in last_ended)
    waiting = (each for each in open_trials if each.state is TrialState.WAITING and not each.attempts)
    return Snapshot(record, numbers(TrialState.PAUSED), numbers(TrialState.WAITING), tuple(ends), now, tuple(waiting))
