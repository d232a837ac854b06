"""How an attempt ends, and what becomes of its trial. Rule: an end happens once; what comes after it is kept as evidence only."""
# ruff: noqa: S608 (statements are put together from constants of this room; values are always bound)

from typing import Any

from sqlalchemy import Connection, TextClause

from celeriac.lifecycle import (
    ATTEMPT_TRANSITIONS,
    TRIAL_TRANSITIONS,
    AttemptEvent,
    TrialEvent,
    moved,
    sources,
)
from celeriac.records import ENDED, TrialRecord, TrialState
from celeriac.store.api import AttemptEnd
from celeriac.store.connection import Database, fetch, sql
from celeriac.store.postgres.fence import KEEP_TAIL, attempt_of, locked_trial
from celeriac.store.postgres.reading import one_trial
from celeriac.store.postgres.rows import COUNTERS, NEWEST_ATTEMPT, TRIAL, TRIAL_ALONE, trial_record
from celeriac.store.postgres.studies import locked
from celeriac.store.values import checked, digest, json_text, late_evidence, lease_lost, plain_text

# The first of equals stays the best.
_BETTER = ":scored AND (best_score IS NULL OR CASE goal WHEN 'maximize' THEN t.score > best_score ELSE t.score < best_score END)"


def _finish(guard: str) -> str:
    changes = ", ".join(
        f"{name} = {name} + CAST(:to_{name} AS int)" for name in COUNTERS if name != "running"
    )
    return f"""
    WITH a AS (
        SELECT study_id, trial FROM attempt WHERE token = :token
    ), s AS (
        SELECT id, scored + pruned + failed + cancelled AS ended FROM study
        WHERE id = (SELECT study_id FROM a) FOR NO KEY UPDATE
    ), o AS (
        SELECT trial.study_id, trial.number FROM trial JOIN s ON trial.study_id = s.id
        WHERE trial.number = (SELECT trial FROM a) AND trial.state = 'RUNNING' FOR NO KEY UPDATE OF trial
    ), e AS (
        UPDATE attempt SET ended_at = clock_timestamp(), outcome = :outcome, fault = :fault, detail = :detail,
            traceback = :traceback, device_s = :device_s, peak_memory_bytes = :peak_memory_bytes, digest = :digest
        FROM o WHERE token = :token AND ended_at IS NULL {guard}
        RETURNING attempt.study_id, attempt.trial, attempt.number, last_step, last_value, device_kind
    ), l AS (
        INSERT INTO attempt_log (study_id, trial, attempt, tail)
        SELECT study_id, trial, number, CAST(:log_tail AS text) FROM e WHERE CAST(:log_tail AS text) IS NOT NULL
        {KEEP_TAIL}
    ), t AS (
        UPDATE trial SET state = :state, fault = :fault, detail = :detail, signature = :signature,
            faults = CASE WHEN CAST(:fault AS text) IS NULL THEN faults ELSE jsonb_set(faults, ARRAY[CAST(:fault AS text)],
                to_jsonb(CASE WHEN :forgives THEN 1
                    ELSE coalesce(CAST(faults ->> CAST(:fault AS text) AS int), 0) + 1 END)) END,
            worker = CASE WHEN :ends THEN worker ELSE '' END,
            not_before = CASE WHEN :wait_s > 0 THEN clock_timestamp() + make_interval(secs => :wait_s) END,
            score = CASE WHEN :ends THEN CAST(:score AS float8) END,
            metrics = CASE WHEN :ends THEN CAST(:metrics AS json) ELSE metrics END,
            step = CASE WHEN :ends THEN CAST(:step AS bigint) END,
            ended_no = CASE WHEN :ends THEN s.ended + 1 END,
            ended_at = CASE WHEN :ends THEN clock_timestamp() END
        FROM s, e WHERE trial.study_id = e.study_id AND trial.number = e.trial
        RETURNING trial.*, e.last_step, e.last_value, e.device_kind
    ), c AS (
        UPDATE study SET running = running - 1, {changes}, device_s = device_s + :device_s,
            best_number = CASE WHEN {_BETTER} THEN t.number ELSE best_number END,
            best_score = CASE WHEN {_BETTER} THEN t.score ELSE best_score END
        FROM t WHERE study.id = t.study_id
    )
    SELECT {TRIAL_ALONE}, t.last_step, t.last_value, t.device_kind FROM t
    """


FINISH = sql(_finish(""))
FINISH_EXPIRED = sql(_finish("AND lease_until < clock_timestamp()"))

SAME_END = sql("SELECT token FROM attempt WHERE token = :token AND digest = :digest")
LATE = sql("UPDATE attempt SET late = CAST(:late AS json) WHERE token = :token AND late IS NULL")


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

    def finish_attempt(self, token: str, end: AttemptEnd, *, only_expired: bool = False) -> TrialRecord:
        """See `Store.finish_attempt`."""
        end = checked(end)
        row = self._db.row(FINISH_EXPIRED if only_expired else FINISH, **_finishing(token, end))
        return trial_record(row) if row is not None else self._unfinished(token, end, only_expired)

    def _unfinished(self, token: str, end: AttemptEnd, only_expired: bool) -> TrialRecord:
        """What a finish that changed nothing means: done before, or too late."""
        found = attempt_of(self._db, token)
        if found is not None and found.outcome is not None:
            if self._db.row(SAME_END, token=token, digest=digest(end)):
                return one_trial(self._db, found.study_id, found.trial)
            if not only_expired:  # the reaper knows nothing that would be evidence
                self._db.rows(LATE, token=token, late=json_text(late_evidence(end)))
        raise lease_lost(token, found)

    def cancel_trial(self, study_id: int, number: int, reason: str) -> TrialRecord:
        """See `Store.cancel_trial`."""

        def cancel(connection: Connection) -> TrialRecord:
            study = locked(connection, study_id)
            before = locked_trial(connection, study_id, number)
            state = moved(
                TRIAL_TRANSITIONS,
                before.state,
                TrialEvent.CANCEL,
                thing=f"trial {number} of study {study['name']}",
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
    """The parameters of `FINISH`: where trial and attempt go, by the tables, and what is noted."""
    state = moved(TRIAL_TRANSITIONS, TrialState.RUNNING, end.trial_event, thing="trial")
    outcome = moved(ATTEMPT_TRANSITIONS, None, end.attempt_event, thing="attempt")
    return {
        "token": token,
        "state": str(state),
        "outcome": str(outcome),
        "ends": state in ENDED,
        "scored": state is TrialState.SCORED,
        **{f"to_{name}": name == state.lower() for name in COUNTERS if name != "running"},
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
        "wait_s": float(end.wait_s),
        "forgives": end.forgives,
        "digest": digest(end),
    }
