"""What keeps the service going: leases that ran out, tickets that got lost, devices, and what may be thrown away."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from celeriac.domain.lifecycle import TrialEvent
from celeriac.domain.records import (
    CLOSED,
    Attempt,
    Checkpoint,
    Device,
    Duty,
    Holding,
    Holdings,
    LetGo,
    LiveGpu,
    OpenAttempt,
    PutAside,
    ReaperLook,
    ShareFigures,
    ShortTrial,
    SlotRun,
    TrialRecord,
    TrialState,
)
from celeriac.store.api import Pruned
from celeriac.store.sanitize import plain_text
from tests.memory_store.rows import Held, Tables, atomic, plain, process_of


class Maintenance(Tables):
    """Verbs of the reaper, the node and the housekeeping."""

    @atomic
    def expired(self, limit: int = 1000) -> list[OpenAttempt]:
        now = self._rows.clock()
        lapsed = [held for held in self._open() if held.attempt.lease_until < now]
        return [self._opened(held) for held in sorted(lapsed, key=lambda held: held.attempt.lease_until)[:limit]]

    @atomic
    def reaper_look(self) -> tuple[datetime, ReaperLook | None]:
        return self._rows.clock(), self._rows.look

    @atomic
    def keep_look(self, look: ReaperLook, last: ReaperLook | None) -> bool:
        kept = self._rows.look
        if kept is not None and (last is None or kept.looked_at != last.looked_at):
            return False
        self._rows.look = look
        return True

    @atomic
    def did(self, duty: str, every_s: float) -> None:
        self._rows.duties[duty] = (float(every_s), self._rows.clock())

    @atomic
    def duties(self) -> list[Duty]:
        now = self._rows.clock()
        done = sorted(self._rows.duties.items())
        return [Duty(name, every_s, (now - at).total_seconds()) for name, (every_s, at) in done]

    @atomic
    def open_attempts_of(self, worker: str) -> list[OpenAttempt]:
        return [self._opened(held) for held in self._open() if held.attempt.worker == worker]

    @atomic
    def own_attempts(self, worker: str) -> list[OpenAttempt]:
        """See `Store.own_attempts`. Whoever has this store has leased all that it knows."""
        return [self._opened(held) for held in self._open() if held.attempt.worker == worker]

    @atomic
    def unclaimed(self, studies: Sequence[int], older_than_s: float, limit: int = 1000) -> list[TrialRecord]:
        latest = self._rows.clock() - timedelta(seconds=older_than_s)
        found = [
            (trial.queued_at, key)
            for key, trial in self._rows.trials.items()
            if key[0] in studies
            and trial.state is TrialState.QUEUED
            and trial.queued_at is not None
            and trial.queued_at < latest
        ]
        return [self._rows.trials[key] for _, key in sorted(found)[:limit]]

    @atomic
    def touch_queued(self, trials: Sequence[tuple[int, int]]) -> list[TrialRecord]:
        touched = []
        for key in sorted(set(trials)):
            trial = self._rows.trials.get(key)
            if trial is not None and trial.state is TrialState.QUEUED:
                self._rows.trials[key] = replace(trial, queued_at=self._rows.clock())
                touched.append(self._rows.trials[key])
        return touched

    @atomic
    def holdings(self) -> Holdings:
        now, found = self._rows.clock(), []
        behind = self._rows.behind_leaders()
        for (study_id, number), trial in sorted(self._rows.trials.items()):
            if (study_id, number) in behind:
                continue
            if trial.placed is not None and trial.state in (TrialState.QUEUED, TrialState.RUNNING):
                queued_s = (now - trial.queued_at).total_seconds() if trial.queued_at else 0.0
                is_running = trial.state is TrialState.RUNNING
                found.append(Holding(study_id, number, trial.attempts, is_running, queued_s, trial.placed))
        of_gangs = [
            each.device for each in self._rows.members.values() if not each.member.ended and each.lease_until > now
        ]
        alone = [
            each.attempt.device
            for each in self._open()
            if each.attempt.token not in self._rows.members
            and (each.attempt.study_id, each.attempt.trial) not in behind
        ]
        gathering = Counter(device for device, _ in self._rows.gathering())
        return Holdings(tuple(found), Counter(alone) + Counter(of_gangs) - gathering)

    @atomic
    def peak_memory(self, studies: Sequence[int]) -> dict[int, int]:
        found: dict[int, int] = {}
        for each in (held.attempt for held in self._rows.attempts.values()):
            newest = self._rows.studies[each.study_id].next_number
            if each.study_id in studies and each.trial >= newest - 256:
                found[each.study_id] = max(found.get(each.study_id, 0), each.gpu_peak_bytes)
        return {study_id: peak for study_id, peak in found.items() if peak}

    @atomic
    def share_figures(self, study_id: int) -> list[ShareFigures]:
        found: dict[float, list[Attempt]] = {}
        for each in (held.attempt for held in self._rows.attempts.values()):
            trial = self._rows.trials[each.study_id, each.trial]
            is_last = trial.state is TrialState.SCORED and trial.attempts == each.number
            if each.study_id == study_id and is_last and each.device_kind not in ("", "cpu"):
                found.setdefault(trial.placed.share if trial.placed else 1.0, []).append(each)
        return [
            ShareFigures(share, len(some), sum(map(_ran_s, some)) / len(some), max(x.gpu_peak_bytes for x in some))
            for share, some in sorted(found.items())
        ]

    @atomic
    def short_trials(self, studies: Sequence[int]) -> list[ShortTrial]:
        found, now = [], self._rows.clock()
        for study_id in sorted(set(studies)):
            for trial in self._rows.trials_of(study_id):
                faults = self._rows.memory_faults(study_id, trial.number)
                if trial.ended_no is None and faults:
                    is_ready = trial.state in (TrialState.PAUSED, TrialState.WAITING)
                    is_ready = is_ready and (trial.not_before is None or trial.not_before <= now)
                    found.append(ShortTrial(study_id, trial.number, is_ready, faults))
        return found

    @atomic
    def live_gpus(self, least_bytes: int) -> list[LiveGpu]:
        found = [each for each in self.devices(alive=True) if each.is_gpu]
        found = sorted(found, key=lambda each: (each.kind, each.memory_bytes))
        return [LiveGpu(e.kind, e.memory_bytes, e.labels) for e in found if e.memory_bytes >= least_bytes]

    @atomic
    def unplace(self, study_id: int, number: int, attempt: int) -> bool:
        trial = self._rows.trials.get((study_id, number))
        if trial is None or trial.placed is None or trial.attempts != attempt - 1:
            return False
        if trial.state is not TrialState.QUEUED:
            return False
        self._rows.move_trial(trial, TrialEvent.UNQUEUE, queued_at=None)
        return True

    @atomic
    def put_devices(self, host: str, devices: Sequence[Device]) -> None:
        now = self._rows.clock()
        others = {key: each for key, each in self._rows.devices.items() if key[0] != host}
        said = {
            (host, each.uuid): replace(each, host=host, heartbeat_at=now, labels=plain(each.labels)) for each in devices
        }
        self._rows.devices = others | said

    @atomic
    def devices(self, *, alive: bool = False) -> list[Device]:
        found = [each for _, each in sorted(self._rows.devices.items())]
        now = self._rows.clock()
        return [each for each in found if not alive or each.is_alive(now)]

    @atomic
    def drain(self, host: str, devices: Sequence[str], who: str) -> None:
        self._rows.drains |= {(host, each) for each in devices or ("",)}

    @atomic
    def undrain(self, host: str, devices: Sequence[str]) -> int:
        over = {(at, each) for at, each in self._rows.drains if at == host and (not devices or each in devices)}
        self._rows.drains -= over
        return len(over)

    @atomic
    def drained(self, host: str) -> list[str]:
        return sorted(each for at, each in self._rows.drains if at == host)

    @atomic
    def let_go(self, study_id: int, numbers: Sequence[int], older_than_s: float) -> list[LetGo]:
        rows, found = self._rows, []
        latest, pruned_at = rows.clock() - timedelta(seconds=older_than_s), rows.logs_pruned_at.get(study_id)
        for number in sorted(set(numbers)):
            trial = rows.trials.get((study_id, number))
            if trial is None or trial.ended_at is None or trial.ended_at >= latest:
                continue
            checkpoints = not any(key[:2] == (study_id, number) for key in rows.checkpoints)
            logs = pruned_at is not None and trial.ended_at < pruned_at
            if rows.is_champion(study_id, number):
                logs = False
            if checkpoints or logs:
                found.append(LetGo(number, checkpoints, logs))
        return found

    @atomic
    def put_aside(self, token: str, reason: str, for_s: float, *, study_only: bool) -> None:
        held, member = self._rows.attempts.get(token), self._rows.members.get(token)
        if held is not None or member is not None:
            worker = held.attempt.worker if held is not None else member.member.worker if member is not None else ""
            of_study = held.attempt.study_id if held is not None else member.study_id if member is not None else 0
            now, study_id = self._rows.clock(), of_study if study_only else 0
            row = PutAside(worker, study_id, plain_text(reason), now, now + timedelta(seconds=for_s))
            self._rows.put_asides[row.worker, study_id] = row

    @atomic
    def has_other_slots(self, worker: str, gpus: float) -> bool:
        alive = self.devices(alive=True)
        return any(slot != worker for each in alive if each.is_gpu or not gpus for slot in each.slots)

    @atomic
    def slot_runs(self, since: datetime) -> list[SlotRun]:
        rows, found = self._rows, dict[tuple[int, str, str], SlotRun]()
        ended = {(e.study_id, e.trial, e.number): e.ended_at for e in (held.attempt for held in rows.attempts.values())}
        for a in (held.attempt for held in rows.attempts.values()):
            study, trial = rows.studies[a.study_id], rows.trials[a.study_id, a.trial]
            if any(at is not None and at <= since for at in (study.ended_at, a.ended_at)):
                continue
            opened_at = max(filter(None, (study.created_at, study.resumed_at, study.reopened_at)))
            ready_at = ended.get((a.study_id, a.trial, a.number - 1)) or trial.created_at
            placed = (trial.placed.share, trial.placed.memory_bytes) if trial.placed else (0.0, 0)
            of_gang = [each for each in rows.members.values() if each.gang == (a.study_id, a.trial, a.number)]
            places = [(a.worker, a.device)]
            places += [(each.member.worker, each.device) for each in of_gang if each.member.rank]
            for worker, device in places:
                key = (a.study_id, worker, process_of(a))
                run = SlotRun(worker, a.leased_at, a.ended_at, _ran_s(a), opened_at, ready_at, device, *placed)
                found[key] = run if key not in found else _as_one(found[key], run)
        return sorted(found.values(), key=lambda each: (each.leased_at, each.worker))

    @atomic
    def put_asides(self) -> list[PutAside]:
        now = self._rows.clock()
        return [each for _, each in sorted(self._rows.put_asides.items()) if each.until > now]

    @atomic
    def prune(self, study_id: int, before: datetime, *, reports: bool, logs: bool, limit: int = 5000) -> Pruned:
        rows, study = self._rows, self._rows.studies.get(study_id)
        if logs and study is not None and study.ended_at is not None and study.ended_at < before:
            rows.logs_pruned_at[study_id] = rows.clock()
        old_reports = [key for key in sorted(rows.reports) if reports and self._old(study_id, key, before)]
        old_logs = [key for key in sorted(rows.logs) if logs and self._old(study_id, key, before)]
        for key in old_reports[:limit]:
            del rows.reports[key]
        for log in old_logs[:limit]:
            del rows.logs[log]
        return Pruned(reports=len(old_reports[:limit]), logs=len(old_logs[:limit]))

    @atomic
    def old_checkpoints(
        self, study_id: int, before: datetime, *, after: tuple[int, int, int] = (-1, -1, -1), limit: int = 500
    ) -> list[Checkpoint]:
        kept = self._rows.checkpoints.items()
        found = {(each.trial, each.step, each.attempt): each for key, each in kept if self._old(study_id, key, before)}
        return [found[place] for place in sorted(found) if place > after][:limit]

    @atomic
    def forget_models(self, study_id: int, kept: Sequence[str]) -> int:
        rows = self._rows
        gone = [t for t in rows.trials_of(study_id) if t.model is not None and t.model.path not in kept]
        for trial in gone:
            rows.trials[study_id, trial.number] = replace(trial, model=None)
        return len(gone)

    @atomic
    def prune_checkpoints(self, study_id: int, before: datetime, checkpoints: Sequence[Checkpoint]) -> int:
        paths = {each.path for each in checkpoints}
        gone = [
            key
            for key, each in self._rows.checkpoints.items()
            if each.path in paths and self._old(study_id, key, before)
        ]
        for key in gone:
            del self._rows.checkpoints[key]
        return len(gone)

    def _open(self) -> list[Held]:
        held = (each for each in self._rows.attempts.values() if each.is_open)
        return sorted(held, key=lambda each: each.attempt.leased_at)

    def _opened(self, held: Held) -> OpenAttempt:
        attempt = held.attempt
        study = self._rows.studies[attempt.study_id]
        trial = self._rows.trials[attempt.study_id, attempt.trial]
        return OpenAttempt(
            token=attempt.token,
            study_id=study.id,
            study=study.name,
            number=trial.number,
            attempt=attempt.number,
            worker=attempt.worker,
            faults=trial.faults,
            has_checkpoint=any(key[:2] == (study.id, trial.number) for key in self._rows.checkpoints),
            has_progressed=self._progressed(attempt),
            leased_at=attempt.leased_at,
            lease_s=held.lease_s,
            lease_until=attempt.lease_until,
            packed=attempt.packed,
        )

    def _progressed(self, attempt: Attempt) -> bool:
        kept = [
            each
            for each in self._rows.checkpoints.values()
            if (each.study_id, each.trial) == (attempt.study_id, attempt.trial)
        ]
        before = max((each.step for each in kept if each.attempt < attempt.number), default=-1)
        return any(each.attempt == attempt.number and each.step > before for each in kept)

    def _old(self, study_id: int, key: tuple[int, ...], before: datetime) -> bool:
        """Whether a row of that key is of this study, which ended before then, and not of a champion."""
        owner, number, *_ = key
        if owner != study_id:
            return False
        study = self._rows.studies[study_id]
        if study.state not in CLOSED or study.ended_at is None or study.ended_at >= before:
            return False
        return not self._rows.is_champion(study_id, number)


def _ran_s(attempt: Attempt) -> float:
    return attempt.device_s / attempt.width


def _as_one(one: SlotRun, other: SlotRun) -> SlotRun:
    """Two attempts of one process."""
    ends = [each.ended_at for each in (one, other) if each.ended_at is not None]
    return replace(
        one,
        leased_at=min(one.leased_at, other.leased_at),
        ended_at=max(ends) if len(ends) == 2 else None,
        ran_s=one.ran_s + other.ran_s,
        ready_at=min(one.ready_at, other.ready_at),
    )
