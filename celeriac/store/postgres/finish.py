"""How an attempt ends, and what becomes of its trial. Rule: an end happens once; what comes after it is kept as
evidence only.
"""

from collections.abc import Mapping
from typing import Any

from celeriac.domain.lifecycle import TRIAL_TRANSITIONS, TrialEvent, moved
from celeriac.domain.records import TrialRecord
from celeriac.store.api import AttemptEnd
from celeriac.store.connection import Session
from celeriac.store.postgres.records import record_of, values_of
from celeriac.store.postgres.verbs import Verbs, ask, locked
from celeriac.store.refusals import can_adopt, checked, lease_lost, not_cancelled, unknown_trial
from celeriac.store.sanitize import digest, late_evidence


class Ends(Verbs):
    """Verbs that end an attempt: the worker's, the reaper's and a user's cancel."""

    def finish_attempt(self, token: str, end: AttemptEnd, *, only_expired: bool = False) -> TrialRecord:
        end = checked(end)
        model = None if end.model is None else values_of(end.model)
        given = {**values_of(end), "model": model, "token": token, "digest": digest(end)}
        done = self._one(TrialRecord, "finish", **given, only_expired=only_expired)
        return done or self._unfinished(token, end, given, only_expired)

    def overtaken_models(self, token: str) -> list[str]:
        return [row["path"] for row in self._rows("overtaken_models", token=token)]

    def _unfinished(self, token: str, end: AttemptEnd, given: Mapping[str, Any], only_expired: bool) -> TrialRecord:
        """What a finish that changed nothing means: done before, to be adopted, or too late."""
        found, same = self._attempt_of(token), {"token": token, "digest": given["digest"]}
        if found is not None and found.outcome is not None:
            done = self._one(TrialRecord, "same_end", **same)
            if done is None and can_adopt(found.outcome, end):
                done = self._one(TrialRecord, "adopt", **given) or self._one(TrialRecord, "same_end", **same)
            if done is not None:
                return done
            if not only_expired:  # the reaper knows nothing that would be evidence
                self._rows("keep_late", token=token, late=late_evidence(end))
        raise lease_lost(token, found)

    def cancel_ticket(self, study_id: int, number: int, attempt: int, reason: str) -> TrialRecord:
        ticket = {"study": study_id, "number": number, "attempt": attempt}
        done = self._one(TrialRecord, "cancel_ticket", **ticket, key=self._key, reason=reason)
        if cancelled := done or self._one(TrialRecord, "cancelled", **ticket):
            return cancelled
        raise not_cancelled(study_id, number, attempt)

    def cancel_trial(self, study_id: int, number: int, reason: str) -> TrialRecord:
        trial = {"study": study_id, "number": number}

        def cancel(connection: Session) -> TrialRecord:
            study = locked(connection, study_id)
            found = ask(connection, "trial", **trial)
            if not found:
                raise unknown_trial(study_id, number)
            before = record_of(TrialRecord, found[0])
            moved(TRIAL_TRANSITIONS, before.state, TrialEvent.CANCEL, thing=f"trial {number} of study {study.name}")
            return record_of(TrialRecord, ask(connection, "cancel_trial", **trial, reason=reason)[0])

        return self._db.transaction(cancel)
