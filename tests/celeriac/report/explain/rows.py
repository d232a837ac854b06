"""Rows as the store would return them, for what only reads."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from celeriac.domain.records import Fault, Source, TrialRecord, TrialState

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def trial(
    number: int,
    params: Mapping[str, Any] | None = None,
    score: float | None = 0.5,
    *,
    state: TrialState | None = None,
    source: Source = Source.SUGGESTED,
    why: Mapping[str, Any] | None = None,
    **more: Any,
) -> TrialRecord:
    """A trial that ended: SCORED with a score, FAILED by a bug without one, unless `state` says otherwise."""
    state = state or (TrialState.FAILED if score is None else TrialState.SCORED)
    failed = state is TrialState.FAILED
    given: dict[str, Any] = {
        "study_id": 1,
        "number": number,
        "params": {"lr": 0.01} if params is None else params,
        "state": state,
        "source": source,
        "why": why or {},
        "score": score,
        "metrics": {},
        "step": None,
        "attempts": 1,
        "faults": {},
        "fault": Fault.USER_BUG if failed else None,
        "detail": "ValueError: no good" if failed else "",
        "signature": "",
        "last_step": None,
        "last_value": None,
        "worker": "cpu0.s0@here",
        "ended_no": number + 1,
        "created_at": NOON,
        "queued_at": NOON,
        "started_at": NOON,
        "ended_at": NOON + timedelta(seconds=number + 1),
    }
    return TrialRecord(**given | more)
