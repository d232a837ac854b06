"""What a person may change in a study that is there: a larger budget, failed trials once more, its end."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from celeriac.domain.lifecycle import STUDY_TRANSITIONS, TRIAL_TRANSITIONS, StudyEvent, TrialEvent, moved
from celeriac.domain.records import CLOSED, FiringState, StudyRecord, TrialRecord, TrialState
from celeriac.store.refusals import checked_budget, not_deletable
from celeriac.store.sanitize import plain_text
from tests.memory_store.rows import Tables, atomic, plain
from tests.memory_store.studies import moved_row


class Changes(Tables):
    """Verbs of a person who wants more of a study, or no more of it."""

    @atomic
    def extend_study(self, study_id: int, budget: Mapping[str, Any], reason: str) -> StudyRecord:
        before = self._rows.study(study_id)
        state = moved(STUDY_TRANSITIONS, before.state, StudyEvent.EXTEND, thing=f"study {before.name}")
        spec = plain(checked_budget(before, budget))
        self._rows.studies[study_id] = replace(before, spec=spec)
        said = plain_text(reason) if before.state in CLOSED else before.reason
        return moved_row(self._rows, before, state, StudyEvent.EXTEND, said)

    @atomic
    def retry_trials(self, study_id: int, numbers: Sequence[int] | None, reason: str) -> list[TrialRecord]:
        rows, before = self._rows, self._rows.study(study_id)
        if numbers is None:
            chosen = [each for each in rows.trials_of(study_id) if each.state is TrialState.FAILED]
        else:
            chosen = [rows.trial(study_id, number) for number in sorted(set(numbers))]
        for each in chosen:
            thing = f"trial {each.number} of study {before.name}"
            moved(TRIAL_TRANSITIONS, each.state, TrialEvent.RERUN, thing=thing)
        if not chosen:
            return []
        blank: dict[str, Any] = {
            "score": None,
            "metrics": {},
            "holdout": (),
            "drift": None,
            "model": None,
            "step": None,
            "fault": None,
            "detail": "",
            "signature": "",
        }
        times = {"worker": "", "ended_no": None, "ended_at": None, "queued_at": None}
        for each in chosen:
            rows.move_trial(each, TrialEvent.RERUN, **blank, **times)
            rows.rerun_after[each.study_id, each.number] = each.attempts
        ended = sorted(
            (each for each in rows.trials_of(study_id) if each.ended_no), key=lambda each: each.ended_no or 0
        )
        for place, each in enumerate(ended, 1):
            rows.trials[study_id, each.number] = replace(each, ended_no=place)
        state = STUDY_TRANSITIONS[before.state].get(StudyEvent.REOPEN, before.state)
        said = plain_text(reason) if before.state in CLOSED else before.reason
        moved_row(rows, before, state, StudyEvent.REOPEN, said)
        return [rows.trial(study_id, each.number) for each in chosen]

    @atomic
    def delete_study(self, study_id: int) -> None:
        rows = self._rows
        study = rows.study(study_id)
        evidence = [
            each.trial or 0
            for each in rows.verdicts.values()
            if each.promoted and (each.study_id == study_id or (each.firing_id and each.firing_id == study.firing_id))
        ]
        if error := not_deletable(study, evidence[0] if evidence else None):
            raise error
        rows.members = {token: each for token, each in rows.members.items() if each.study_id != study_id}
        tables: list[dict[Any, Any]] = [rows.trials, rows.reports, rows.rungs, rows.checkpoints, rows.logs]
        for table in tables:
            for key in [key for key in table if key[0] == study_id]:
                del table[key]
        rows.attempts = {token: held for token, held in rows.attempts.items() if held.attempt.study_id != study_id}
        rows.verdicts = {key: each for key, each in rows.verdicts.items() if each.study_id != study_id}
        del rows.studies[study_id]
        firing = rows.firings.get(study.firing_id or 0)
        others = any(each.firing_id == study.firing_id for each in rows.studies.values())
        if firing and not others and firing.state not in (FiringState.DUE, FiringState.PROMOTED):
            del rows.firings[firing.id], rows.plans[firing.id]
