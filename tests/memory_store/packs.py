"""Packs: several leases for one process. Rule: each trial's own token opens its attempt, and nothing else does."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from celeriac.domain.lifecycle import TRIAL_TRANSITIONS, TrialEvent, sources
from celeriac.domain.records import (
    Attempt,
    Fault,
    Lease,
    PackCandidate,
    PackChoices,
    PackLimit,
    StudyState,
    TrialRecord,
    TrialState,
)
from tests.memory_store.leases import Leases, Place
from tests.memory_store.rows import atomic, process_of


class Packs(Leases):
    """Verbs of a worker whose process runs several trials, and of the coordinator that counts such processes."""

    @atomic
    def pack_choices(self, token: str, most: int) -> PackChoices:
        lead = self._rows.held(token).attempt
        waiting = [trial for trial in self._rows.trials_of(lead.study_id) if self._may_come_along(trial)]
        limits: dict[tuple[int, Fault | None], int] = {}
        for each in (held.attempt for held in self._rows.attempts.values()):
            short = each.split_by is Fault.OUT_OF_MEMORY
            here = each.study_id == lead.study_id and (not short or each.device_kind == lead.device_kind)
            if here and each.pack_most is not None:
                known = limits.get((each.trial, each.split_by), each.pack_most)
                limits[each.trial, each.split_by] = min(known, each.pack_most)
        return PackChoices(
            self._candidate(self._rows.trial(lead.study_id, lead.trial)),
            tuple(map(self._candidate, waiting[:most])),
            tuple(
                PackLimit(n, self._rows.trial(lead.study_id, n).params, left, fault is Fault.OUT_OF_MEMORY)
                for (n, fault), left in limits.items()
            ),
        )

    @atomic
    def lease_along(self, token: str, numbers: Sequence[int]) -> list[Lease]:
        held = self._rows.attempts.get(token)
        if held is None or not held.is_open:
            return []
        lead = held.attempt
        study = self._rows.study(lead.study_id)
        left = 1000 if study.parallel is None else study.parallel - study.counts.running
        found = [self._rows.trial(study.id, number) for number in sorted(numbers)]
        along = [each for each in found if self._is_there(each)][: max(left, 0)]
        if not along or study.state is not StudyState.RUNNING:
            return []
        leases = [self._along(study.id, each.number, lead, held.lease_s) for each in along]
        for each in (token, *(lease.token for lease in leases)):
            mine = self._rows.attempts[each]
            mine.attempt = replace(
                mine.attempt, pack=f"{lead.trial}.{lead.number}", packed=len(leases) + 1, width=lead.width
            )
        return leases

    @atomic
    def renew_pack(self, tokens: Sequence[str], lease_s: float) -> Mapping[str, str]:
        found = {}
        for token in tokens:
            held = self._rows.attempts.get(token)
            if held is not None and held.is_open:
                held.lease_s = lease_s
                held.attempt = replace(held.attempt, lease_until=self._until(lease_s))
                found[token] = held.attempt.preempt_reason
        return found

    @atomic
    def running_packs(self, studies: Sequence[int]) -> Mapping[int, int]:
        packs: dict[int, set[str]] = {}
        for held in self._rows.attempts.values():
            if held.is_open and held.attempt.study_id in studies:
                packs.setdefault(held.attempt.study_id, set()).add(process_of(held.attempt))
        return {study: len(found) for study, found in packs.items()}

    def _along(self, study_id: int, number: int, lead: Attempt, lease_s: float) -> Lease:
        trial = self._rows.trial(study_id, number)
        if trial.state is not TrialState.QUEUED:
            trial = self._rows.move_trial(trial, TrialEvent.QUEUE)
        placed = self._rows.trial(study_id, lead.trial).placed
        self._rows.trials[study_id, number] = trial = replace(trial, placed=placed)
        place = Place(lead.worker, lead.device, lead.device_kind)
        return self._leased(self._rows.study(study_id), trial, place, lease_s)

    def _is_there(self, trial: TrialRecord) -> bool:
        may = sources(TRIAL_TRANSITIONS, TrialEvent.QUEUE) + sources(TRIAL_TRANSITIONS, TrialEvent.LEASE)
        return trial.state in may and (trial.placed is None or trial.state is not TrialState.QUEUED)

    def _may_come_along(self, trial: TrialRecord) -> bool:
        return self._is_there(trial) and (trial.not_before is None or trial.not_before <= self._rows.clock())

    def _candidate(self, trial: TrialRecord) -> PackCandidate:
        kept = self._rows.checkpoints_of(trial.study_id, trial.number)
        short = Fault.OUT_OF_MEMORY in trial.faults
        return PackCandidate(trial.number, trial.params, kept[0].step if kept else -1, short=short)
