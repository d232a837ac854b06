"""Having a lease: lease, begin, renew. Rule: a ticket becomes one lease or a refusal, and a lease lives on by its
token only.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from celeriac.domain.lifecycle import TRIAL_TRANSITIONS, TrialEvent, sources
from celeriac.domain.records import (
    Attempt,
    Checkpoint,
    Lease,
    Placed,
    Refusal,
    Source,
    StudyRecord,
    StudyState,
    TrialRecord,
    TrialState,
)
from celeriac.domain.study_file import run_plan
from celeriac.store.refusals import TicketFound, refused
from celeriac.store.sanitize import new_token, plain_text
from tests.memory_store.rows import Held, Tables, atomic


class Leases(Tables):
    """Verbs of the worker before its trial ends, but for reports."""

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
        study = self._rows.study(study_id)
        trial = self._rows.trial(study_id, number)
        current = trial.attempts == attempt - 1
        has_room = study.parallel is None or study.counts.running < study.parallel
        may_run = current and trial.state in sources(TRIAL_TRANSITIONS, TrialEvent.LEASE)
        is_here = trial.placed is not None and trial.placed.devices[0] == device
        if trial.placed is not None:
            may_run = (
                may_run and is_here and trial.state is TrialState.QUEUED and self._device_has_room(trial.placed, device)
            )
        if may_run and has_room and study.state is StudyState.RUNNING:
            return self._leased(study, trial, Place(worker, device, plain_text(device_kind)), lease_s)
        waits = study.state is not StudyState.RUNNING or not has_room or is_here
        if current and trial.state is TrialState.QUEUED and waits:
            self._rows.move_trial(trial, TrialEvent.UNQUEUE, queued_at=None)
        running = study.counts.running
        found = TicketFound(study.name, study.state, running, number, trial.state, trial.attempts, attempt)
        return refused(found)

    @atomic
    def begin(self, token: str, *, fingerprint: str, resumed_step: int | None, log_path: str) -> None:
        held = self._rows.held(token)
        held.attempt = replace(
            held.attempt, fingerprint=plain_text(fingerprint), resumed_step=resumed_step, log_path=plain_text(log_path)
        )

    @atomic
    def renew(self, token: str, lease_s: float, *, log_tail: str | None = None) -> str:
        held = self._rows.held(token)
        held.lease_s = lease_s
        held.attempt = replace(held.attempt, lease_until=self._until(lease_s))
        self._rows.keep_tail(held.attempt, log_tail)
        return held.attempt.preempt_reason

    def _leased(
        self, study: StudyRecord, trial: TrialRecord, place: "Place", lease_s: float, *, token: str = ""
    ) -> Lease:
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
        began = self._rows.studies[study.id]
        if began.first_leased_at is None:
            self._rows.studies[study.id] = replace(began, first_leased_at=now, paused_s=0.0)
        attempt = _new_attempt(trial, number, place, now, self._until(lease_s))
        attempt = replace(attempt, token=token or attempt.token)
        self._rows.attempts[attempt.token] = Held(attempt, lease_s)
        return self._lease_of(study, trial, attempt.token, number, attempt.lease_until)

    def _lease_of(self, study: StudyRecord, trial: TrialRecord, token: str, attempt: int, until: datetime) -> Lease:
        return Lease(
            token=token,
            study_id=study.id,
            study=study.name,
            number=trial.number,
            attempt=attempt,
            params=trial.params,
            plan=run_plan(study.spec, study.stage),
            code_root=study.code_root,
            slice=study.slice,
            due_at=study.due_at,
            faults=trial.faults,
            checkpoints=(*self._rows.checkpoints_of(study.id, trial.number), *self._inherited(trial)),
            lease_until=until,
            source=trial.source,
            seed=trial.seed,
            memory_faults=self._rows.memory_faults(study.id, trial.number),
            fingerprint=study.fingerprint,
            placed=trial.placed,
        )

    def _inherited(self, trial: TrialRecord) -> list[Checkpoint]:
        parent, step = trial.why.get("parent"), trial.why.get("parent_step")
        if trial.source is not Source.PBT or parent is None:
            return []
        found = [each for each in self._rows.checkpoints_of(trial.study_id, parent) if each.step == step]
        return sorted(found, key=lambda each: -each.attempt)[:1]

    def _device_has_room(self, placed: Placed, device: str) -> bool:
        """Whether what a trial was to hold of this device of its is free there; a CPU's slots are not counted."""
        found = next((each for (_, uuid), each in self._rows.devices.items() if uuid == device), None)
        if found is None or not found.is_gpu:
            return True
        behind = self._rows.behind_leaders()
        held = [
            each.placed
            for key, each in self._rows.trials.items()
            if each.placed is not None
            and each.state is TrialState.RUNNING
            and device in each.placed.devices
            and key not in behind
        ]
        held += [placed for at, placed in self._rows.gathering() if at == device]
        share, memory = sum(each.share for each in held), sum(each.memory_bytes for each in held)
        return share + placed.share <= 1.000001 and memory + placed.memory_bytes <= found.memory_bytes

    def _until(self, lease_s: float) -> datetime:
        return self._rows.clock() + timedelta(seconds=lease_s)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an attempt runs."""

    worker: str
    device: str
    device_kind: str


def _new_attempt(trial: TrialRecord, number: int, place: Place, now: datetime, until: datetime) -> Attempt:
    return Attempt(
        study_id=trial.study_id,
        trial=trial.number,
        number=number,
        token=new_token(""),
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
        width=len(trial.placed.devices) * (trial.placed.share or 1.0) if trial.placed else 1.0,
        peak_memory_bytes=0,
        resumed_step=None,
        log_path="",
        late=None,
        device_kind=place.device_kind,
    )
