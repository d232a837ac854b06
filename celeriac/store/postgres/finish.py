"""How an attempt ends, and what becomes of its trial. Rule: an end happens once; what comes after it is kept as
evidence only.
"""
# ruff: noqa: S608 (statements are put together from constants of this room; values are always bound)

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, TextClause

from celeriac.domain.lifecycle import ATTEMPT_TRANSITIONS, TRIAL_TRANSITIONS, AttemptEvent, TrialEvent, moved, sources
from celeriac.domain.records import TrialRecord, TrialState
from celeriac.store.api import AttemptEnd
from celeriac.store.connection import Database, Row, fetch, sql
from celeriac.store.postgres.fence import attempt_of, locked_trial
from celeriac.store.postgres.functions import call
from celeriac.store.postgres.rows import NEWEST_ATTEMPT, TRIAL, trial_record
from celeriac.store.postgres.studies import locked
from celeriac.store.values import (
    can_adopt,
    checked,
    digest,
    json_text,
    late_evidence,
    lease_lost,
    not_cancelled,
    plain_text,
)

FINISH = call("finish")
ADOPT = call("adopt")
SAME_END = call("same_end")
LATE = call("keep_late")
CANCEL_TICKET = call("cancel_ticket")
CANCELLED = call("cancelled")


def _cancel(state: TrialState) -> TextClause:
    """The statement that cancels a trial which is in this state; study and trial are locked."""
    return sql(
        f"""
        WITH e AS (
            UPDATE attempt SET ended_at = clock_timestamp(), outcome = :outcome, detail = :reason,
                device_s = greatest(0, extract(epoch FROM clock_timestamp() - leased_at))
            WHERE study_id = :study AND trial = :number AND ended_at IS NULL RETURNING device_s
        ), s AS (
            UPDATE study SET cancelled = cancelled + 1, {state.lower()} = {state.lower()} - 1,
                device_s = device_s + (SELECT coalesce(sum(e.device_s), 0) FROM e)
            WHERE id = :study RETURNING scored + pruned + failed + cancelled AS ended
        ), t AS (
            UPDATE trial SET state = :state, detail = :reason, queued_at = NULL, ended_no = s.ended,
                ended_at = clock_timestamp()
            FROM s WHERE trial.study_id = :study AND trial.number = :number RETURNING trial.*
        )
        SELECT {TRIAL} FROM t {NEWEST_ATTEMPT}
        """
    )


CANCEL_FROM = {state: _cancel(state) for state in sources(TRIAL_TRANSITIONS, TrialEvent.CANCEL)}


class Ends:
    """Verbs that end an attempt: the worker's, the reaper's and a user's cancel."""

    _db: Database
    _key: str

    def finish_attempt(self, token: str, end: AttemptEnd, *, only_expired: bool = False) -> TrialRecord:
        """See `Store.finish_attempt`."""
        end = checked(end)
        given = _finishing(token, end)
        row = self._db.row(FINISH, **given, only_expired=only_expired)
        return trial_record(row if row is not None else self._unfinished(token, end, given, only_expired))

    def _unfinished(self, token: str, end: AttemptEnd, given: Mapping[str, Any], only_expired: bool) -> Row:
        """What a finish that changed nothing means: done before, to be adopted, or too late."""
        found = attempt_of(self._db, token)
        if found is not None and found.outcome is not None:
            done = self._db.row(SAME_END, token=token, digest=given["digest"])
            if done is None and can_adopt(found.outcome, end):
                done = self._db.row(ADOPT, **given) or self._db.row(SAME_END, token=token, digest=given["digest"])
            if done is not None:
                return done
            if not only_expired:  # the reaper knows nothing that would be evidence
                self._db.rows(LATE, token=token, late=json_text(late_evidence(end)))
        raise lease_lost(token, found)

    def cancel_ticket(self, study_id: int, number: int, attempt: int, reason: str) -> TrialRecord:
        """See `Store.cancel_ticket`."""
        ticket = {"study": study_id, "number": number, "attempt": attempt}
        row = self._db.row(CANCEL_TICKET, **ticket, key=self._key, reason=plain_text(reason)) or self._db.row(
            CANCELLED, **ticket
        )
        if row is None:
            raise not_cancelled(study_id, number, attempt)
        return trial_record(row)

    def cancel_trial(self, study_id: int, number: int, reason: str) -> TrialRecord:
        """See `Store.cancel_trial`."""

        def cancel(connection: Connection) -> TrialRecord:
            study = locked(connection, study_id)
            before = locked_trial(connection, study_id, number)
            state = moved(
                TRIAL_TRANSITIONS, before.state, TrialEvent.CANCEL, thing=f"trial {number} of study {study['name']}"
            )
            after = fetch(
                connection,
                CANCEL_FROM[before.state],
                study=study_id,
                number=number,
                reason=plain_text(reason),
                state=str(state),
                outcome=str(moved(ATTEMPT_TRANSITIONS, None, AttemptEvent.RELEASE, thing="attempt")),
            )
            return trial_record(after[0])

        return self._db.transaction(cancel)


def _finishing(token: str, end: AttemptEnd) -> dict[str, Any]:
    """The arguments of `finish` and of `adopt`."""
    return {
        "token": token,
        "attempt_event": str(end.attempt_event),
        "trial_event": str(end.trial_event),
        "score": end.score,
        "metrics": json_text(end.metrics),
        "step": end.step,
        "fault": str(end.fault) if end.fault else None,
        "detail": end.detail,
        "traceback": end.traceback,
        "signature": end.signature,
        "device_s": float(end.device_s),
        "peak_memory_bytes": end.peak_memory_bytes,
        "log_tail": end.log_tail,
        "forgives": end.forgives,
        "wait_s": float(end.wait_s),
        "digest": digest(end),
    }
