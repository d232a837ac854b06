"""The worker's verbs: lease, begin, renew, report, finish, cancel. Rule: the open attempt, found by its token, is the fence."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from celeriac.lifecycle import TRIAL_TRANSITIONS, TrialEvent, sources
from celeriac.records import (
    ENDED,
    Attempt,
    Checkpoint,
    Crossing,
    Fault,
    Lease,
    Refusal,
    Report,
    RungRecord,
    StudyRecord,
    StudyState,
    TrialRecord,
    TrialState,
)
from celeriac.store.api import AttemptEnd, Landed
from celeriac.store.memory.rows import Held, Tables, atomic
from celeriac.store.values import (
    checked,
    digest,
    first_at_each,
    late_evidence,
    lease_lost,
    plain_report,
    plain_text,
    stale_ticket,
    study_waits,
    too_many,
)


class Leases(Tables):
    """Verbs of the worker."""

    @atomic
    def lease(
        self,
        study_id: int,
        number: int,
        attempt: int,
        *,
        worker: str,
        device: str,
        device_kind: str = "",
        lease_s: float,
    ) -> Lease | Refusal:
        """See `Store.lease`."""
        study = self._rows.study(study_id)
        trial = self._rows.trial(study_id, number)
        refusal = _refusal(study, trial, attempt)
        if refusal is None:
            return self._leased(study, trial, _Place(worker, device, plain_text(device_kind)), lease_s)
        current = trial.attempts == attempt - 1
        if current and trial.state is TrialState.QUEUED:
            self._rows.move_trial(trial, TrialEvent.UNQUEUE, queued_at=None)
        return refusal

    @atomic
    def begin(self, token: str, *, fingerprint: str, resumed_step: int | None, log_path: str) -> None:
        """See `Store.begin`."""
        held = self._held(token)
        held.attempt = replace(
            held.attempt,
            fingerprint=plain_text(fingerprint),
            resumed_step=resumed_step,
            log_path=plain_text(log_path),
        )

    @atomic
    def renew(self, token: str, lease_s: float, *, log_tail: str | None = None) -> None:
        """See `Store.renew`."""
        held = self._held(token)
        held.lease_s = lease_s
        held.attempt = replace(held.attempt, lease_until=self._until(lease_s))
        self._keep_tail(held.attempt, log_tail)

    @atomic
    def report(self, token: str, reports: Sequence[Report], crossings: Sequence[Crossing] = ()) -> Landed:
        """See `Store.report`."""
        if not reports:
            return Landed()
        held = self._held(token)
        trial = self._rows.trial(held.attempt.study_id, held.attempt.trial)
        for each in reports:
            self._keep_report(held.attempt, plain_report(each))
        last = max(reports, key=lambda each: each.step)
        held.last_step, held.last_value = last.step, float(last.value)
        self._rows.trials[trial.study_id, trial.number] = replace(
            trial, last_step=last.step, last_value=float(last.value)
        )
        rungs = [self._at_rung(held.attempt, each) for each in first_at_each(crossings)]
        if all(each.checkpoint is None for each in reports):
            return Landed(rungs=tuple(rungs))
        return Landed(tuple(self.checkpoints(trial.study_id, trial.number)), tuple(rungs))

    @atomic
    def checkpoints(self, study_id: int, number: int) -> list[Checkpoint]:
        """See `Store.checkpoints`."""
        found = [
            each
            for each in self._rows.checkpoints.values()
            if (each.study_id, each.trial) == (study_id, number)
        ]
        return sorted(found, key=lambda each: (-each.step, -each.attempt))

    @atomic
    def forget_checkpoints(self, study_id: int, number: int, paths: Sequence[str]) -> None:
        """See `Store.forget_checkpoints`."""
        for key, each in list(self._rows.checkpoints.items()):
            if key[:2] == (study_id, number) and each.path in paths:
                del self._rows.checkpoints[key]

    @atomic
    def finish_attempt(self, token: str, end: AttemptEnd, *, only_expired: bool = False) -> TrialRecord:
        """See `Store.finish_attempt`."""
        end, rows = checked(end), self._rows
        held = rows.attempts.get(token)
        if held is None or not held.is_open:
            return self._too_late(token, held, end, only_expired)
        if only_expired and held.attempt.lease_until >= rows.clock():
            raise lease_lost(token, held.attempt)
        trial = rows.trial(held.attempt.study_id, held.attempt.trial)
        after = rows.move_trial(trial, end.trial_event, **_changes(trial, end))
        rows.end_attempt(
            held,
            end.attempt_event,
            fault=end.fault,
            detail=end.detail,
            traceback=end.traceback,
            device_s=float(end.device_s),
            peak_memory_bytes=end.peak_memory_bytes,
        )
        held.digest = digest(end)
        self._keep_tail(held.attempt, end.log_tail)
        self._keep_best(after)
        return after

    @atomic
    def cancel_trial(self, study_id: int, number: int, reason: str) -> TrialRecord:
        """See `Store.cancel_trial`."""
        self._rows.study(study_id)
        return self._rows.cancel(self._rows.trial(study_id, number), plain_text(reason))

    @atomic
    def trial(self, study_id: int, number: int) -> TrialRecord:
        """See `Store.trial`."""
        return self._rows.trial(study_id, number)

    def _leased(self, study: StudyRecord, trial: TrialRecord, place: "_Place", lease_s: float) -> Lease:
        now, number = self._rows.clock(), trial.attempts + 1
        self._rows.move_trial(
            trial,
            TrialEvent.LEASE,
            attempts=number,
            worker=place.worker,
            device_kind=place.device_kind,
            queued_at=None,
            started_at=trial.started_at or now,
            last_step=None,
            last_value=None,
        )
        attempt = _new_attempt(trial, number, place, now, self._until(lease_s))
        self._rows.attempts[attempt.token] = Held(attempt, lease_s)
        return Lease(
            token=attempt.token,
            study_id=study.id,
            study=study.name,
            number=trial.number,
            attempt=number,
            params=trial.params,
            spec=study.spec,
            code_root=study.code_root,
            slice=study.slice,
            due_at=study.due_at,
            faults=trial.faults,
            checkpoints=tuple(self.checkpoints(study.id, trial.number)),
            lease_until=attempt.lease_until,
            source=trial.source,
        )

    def _too_late(self, token: str, held: Held | None, end: AttemptEnd, only_expired: bool) -> TrialRecord:
        if held is None:
            raise lease_lost(token, None)
        if held.digest == digest(end):
            return self._rows.trial(held.attempt.study_id, held.attempt.trial)
        if not only_expired and held.attempt.late is None:  # the reaper knows nothing that would be evidence
            held.attempt = replace(held.attempt, late=late_evidence(end))
        raise lease_lost(token, held.attempt)

    def _held(self, token: str) -> Held:
        held = self._rows.attempts.get(token)
        if held is None or not held.is_open:
            raise lease_lost(token, held.attempt if held else None)
        return held

    def _until(self, lease_s: float) -> datetime:
        return self._rows.clock() + timedelta(seconds=lease_s)

    def _keep_tail(self, attempt: Attempt, tail: str | None) -> None:
        if tail is not None:
            self._rows.logs[attempt.study_id, attempt.trial, attempt.number] = plain_text(tail)

    def _keep_report(self, attempt: Attempt, report: Report) -> None:
        key = (attempt.study_id, attempt.trial, report.step, attempt.number)
        kept = replace(report, at=report.at or self._rows.clock(), checkpoint=None)
        self._rows.reports.setdefault(key, kept)
        if report.checkpoint is not None:
            named = replace(
                report.checkpoint,
                study_id=attempt.study_id,
                trial=attempt.trial,
                attempt=attempt.number,
                step=report.step,
            )
            self._rows.checkpoints.setdefault(key, named)

    def _at_rung(self, attempt: Attempt, crossing: Crossing) -> RungRecord:
        """The trial's record at this rung; a new one is ranked among all that are there."""
        key = (attempt.study_id, attempt.trial, crossing.rung)
        if key not in self._rows.rungs:
            self._rows.rungs[key] = self._ranked(attempt, crossing)
        return self._rows.rungs[key]

    def _ranked(self, attempt: Attempt, crossing: Crossing) -> RungRecord:
        ranking = crossing.ranking
        where = (attempt.study_id, ranking.bracket, crossing.rung)
        there = [
            each for each in self._rows.rungs.values() if (each.study_id, each.bracket, each.rung) == where
        ]
        values = sorted([*(each.value for each in there), crossing.value], reverse=ranking.goal == "maximize")
        return RungRecord(
            study_id=attempt.study_id,
            bracket=ranking.bracket,
            rung=crossing.rung,
            place=len(values),
            trial=attempt.trial,
            attempt=attempt.number,
            step=crossing.step,
            resource=crossing.resource,
            value=crossing.value,
            cutoff=values[ranking.kept(len(values)) - 1],
            at=self._rows.clock(),
        )

    def _keep_best(self, trial: TrialRecord) -> None:
        """The first of equals stays the best."""
        study = self._rows.studies[trial.study_id]
        if trial.state is not TrialState.SCORED or trial.score is None:
            return
        sign = 1 if study.goal == "maximize" else -1
        if study.best_score is None or sign * trial.score > sign * study.best_score:
            self._rows.studies[study.id] = replace(study, best_number=trial.number, best_score=trial.score)


def _refusal(study: StudyRecord, trial: TrialRecord, attempt: int) -> Refusal | None:
    if trial.attempts != attempt - 1 or trial.state not in sources(TRIAL_TRANSITIONS, TrialEvent.LEASE):
        return stale_ticket(study.name, trial)
    if study.state is not StudyState.RUNNING:
        return study_waits(study.name, study.state)
    if study.parallel is not None and study.counts.running >= study.parallel:
        return too_many(study.name, study.counts.running)
    return None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an attempt runs."""

    worker: str
    device: str
    device_kind: str


def _new_attempt(trial: TrialRecord, number: int, place: _Place, now: datetime, until: datetime) -> Attempt:
    return Attempt(
        study_id=trial.study_id,
        trial=trial.number,
        number=number,
        token=secrets.token_hex(16),
        worker=place.worker,
        device=place.device,
        fingerprint="",
        leased_at=now,
        lease_until=until,
        ended_at=None,
        outcome=None,
        fault=None,
        detail="",
        traceback="",
        device_s=0.0,
        peak_memory_bytes=0,
        resumed_step=None,
        log_path="",
        late=None,
        device_kind=place.device_kind,
    )


def _changes(trial: TrialRecord, end: AttemptEnd) -> dict[str, Any]:
    """What an end changes in its trial besides the state."""
    changes: dict[str, Any] = {
        "fault": end.fault,
        "detail": end.detail,
        "signature": end.signature,
        "faults": _counted(trial.faults, end.fault),
    }
    if TRIAL_TRANSITIONS[TrialState.RUNNING][end.trial_event] in ENDED:
        return changes | {"score": end.score, "metrics": end.metrics, "step": end.step}
    return changes | {"worker": "", "score": None, "step": None}


def _counted(faults: Mapping[str, int], fault: Fault | None) -> dict[str, int]:
    if fault is None:
        return dict(faults)
    return {**faults, str(fault): faults.get(fault, 0) + 1}
