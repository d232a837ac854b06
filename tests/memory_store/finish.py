"""How an attempt ends, and what becomes of its trial. Rule: an end happens once; what comes after it is kept as
evidence only.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from celeriac.domain.lifecycle import TRIAL_TRANSITIONS, AttemptEvent, TrialEvent, sources
from celeriac.domain.records import ENDED, Fault, TrialRecord, TrialState
from celeriac.store.api import AttemptEnd
from celeriac.store.refusals import can_adopt, checked, lease_lost, not_cancelled
from celeriac.store.sanitize import digest, late_evidence, plain_text
from tests.memory_store.rows import Held, Tables, atomic


class Ends(Tables):
    """Verbs that end an attempt: the worker's, the reaper's and a user's cancel."""

    @atomic
    def finish_attempt(self, token: str, end: AttemptEnd, *, only_expired: bool = False) -> TrialRecord:
        end, rows = checked(end), self._rows
        held = rows.attempts.get(token)
        if held is None or not held.is_open:
            return self._too_late(token, held, end, only_expired)
        if only_expired and held.attempt.lease_until >= rows.clock():
            raise lease_lost(token, held.attempt)
        trial = rows.trial(held.attempt.study_id, held.attempt.trial)
        wait = timedelta(seconds=end.wait_s)
        not_before = rows.clock() + wait if wait else None
        after = rows.move_trial(trial, end.trial_event, not_before=not_before, **_changes(trial, end))
        return self._noted(after, held, end, end.attempt_event)

    @atomic
    def overtaken_models(self, token: str) -> list[str]:
        held, rows = self._rows.attempts.get(token), self._rows
        study = None if held is None else rows.studies[held.attempt.study_id]
        if study is None or study.spec.get("keep_model") != "best":
            return []
        overtaken = [t for t in rows.trials_of(study.id) if t.model and t.ended_no and t.number != study.best_number]
        for trial in overtaken:
            rows.trials[study.id, trial.number] = replace(trial, model=None)
        return [trial.model.path for trial in overtaken if trial.model]

    @atomic
    def cancel_trial(self, study_id: int, number: int, reason: str) -> TrialRecord:
        self._rows.study(study_id)
        return self._rows.cancel(self._rows.trial(study_id, number), plain_text(reason))

    @atomic
    def cancel_ticket(self, study_id: int, number: int, attempt: int, reason: str) -> TrialRecord:
        trial = self._rows.trials.get((study_id, number))
        if trial is not None and trial.state is TrialState.CANCELLED and trial.attempts in (attempt - 1, attempt):
            return trial
        waits = sources(TRIAL_TRANSITIONS, TrialEvent.LEASE)
        if trial is None or not (
            (trial.state in waits and trial.attempts == attempt - 1)
            or (trial.state is TrialState.RUNNING and trial.attempts == attempt)
        ):
            raise not_cancelled(study_id, number, attempt)
        return self._rows.cancel(trial, plain_text(reason))

    def _too_late(self, token: str, held: Held | None, end: AttemptEnd, only_expired: bool) -> TrialRecord:
        if held is None:
            raise lease_lost(token, None)
        trial = self._rows.trial(held.attempt.study_id, held.attempt.trial)
        if held.digest == digest(end):
            return trial
        if held.attempt.outcome is not None and can_adopt(held.attempt.outcome, end) and _waits(trial, held):
            changes = _changes(trial, end) | {"faults": _forgiven(trial.faults, held.attempt.fault)}
            after = self._rows.move_trial(
                trial, TrialEvent.ADOPT, **changes, worker=held.attempt.worker, queued_at=None, not_before=None
            )
            return self._noted(after, held, end, AttemptEvent.ADOPT)
        if not only_expired and held.attempt.late is None:  # the reaper knows nothing that would be evidence
            held.attempt = replace(held.attempt, late=late_evidence(end))
        raise lease_lost(token, held.attempt)

    def _noted(self, trial: TrialRecord, held: Held, end: AttemptEnd, event: AttemptEvent) -> TrialRecord:
        """The trial, after what is known of its attempt's end was written down."""
        measured = (
            "device_s",
            "peak_memory_bytes",
            "gpu_peak_bytes",
            "micro_batch",
            "pack_most",
            "split_by",
            "short_kind",
        )
        noted = ("fault", "detail", "traceback", *measured)
        told = {name: getattr(end, name) for name in noted}
        self._rows.end_attempt(held, event, **{**told, "device_s": end.device_s * held.attempt.width})
        held.digest = digest(end)
        self._rows.keep_tail(held.attempt, end.log_tail)
        self._keep_best(trial)
        return trial

    def _keep_best(self, trial: TrialRecord) -> None:
        """The first of equals stays the best."""
        study = self._rows.studies[trial.study_id]
        if trial.state is not TrialState.SCORED or trial.score is None:
            return
        sign = 1 if study.goal == "maximize" else -1
        if study.best_score is None or sign * trial.score > sign * study.best_score:
            self._rows.studies[study.id] = replace(study, best_number=trial.number, best_score=trial.score)


def _waits(trial: TrialRecord, held: Held) -> bool:
    """Whether nobody has leased the trial after this attempt, and nothing else has ended it."""
    return trial.attempts == held.attempt.number and trial.state in sources(TRIAL_TRANSITIONS, TrialEvent.ADOPT)


def _forgiven(faults: Mapping[str, int], fault: Fault | None) -> dict[str, int]:
    """The trial's faults without one of this class."""
    kept = {**faults, **({str(fault): faults.get(fault, 0) - 1} if fault else {})}
    return {name: count for name, count in kept.items() if count > 0}


def _changes(trial: TrialRecord, end: AttemptEnd) -> dict[str, Any]:
    """What an end changes in its trial besides the state."""
    changes: dict[str, Any] = {
        "fault": end.fault,
        "detail": end.detail,
        "signature": end.signature,
        "faults": _counted(trial.faults, end.fault, end.forgives),
    }
    if TRIAL_TRANSITIONS[TrialState.RUNNING][end.trial_event] in ENDED:
        return changes | {
            name: getattr(end, name) for name in ("score", "metrics", "step", "holdout", "drift", "model")
        }
    return changes | {"worker": "", "score": None, "step": None, "drift": None, "model": None}


def _counted(faults: Mapping[str, int], fault: Fault | None, forgives: bool) -> dict[str, int]:
    if fault is None:
        return dict(faults)
    return {**faults, str(fault): 1 if forgives else faults.get(fault, 0) + 1}
