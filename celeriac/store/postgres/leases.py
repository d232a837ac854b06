"""The worker's verbs: lease, begin, renew, report, finish, cancel. Rule: the open attempt's row, found by its token, is the fence.

These are the hot statements. Each is one round trip and one commit: a chain of common table expressions in which every step
reads from the one before, so that Postgres runs, and locks, in the order written: study, trial, attempt. A step whose row was changed by
somebody in between checks its WHERE again on the new row (READ COMMITTED), so each is a compare-and-set. A chain that breaks
returns no row; why, is asked after.
"""
# ruff: noqa: S608 (statements are put together from constants of this room; values are always bound)

import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, TextClause

from celeriac.errors import LeaseLost
from celeriac.lifecycle import (
    ATTEMPT_TRANSITIONS,
    TRIAL_TRANSITIONS,
    AttemptEvent,
    TrialEvent,
    moved,
    sources,
)
from celeriac.records import (
    ENDED,
    Attempt,
    Checkpoint,
    Crossing,
    Lease,
    Refusal,
    Report,
    RungRecord,
    Source,
    StudyState,
    TrialRecord,
    TrialState,
)
from celeriac.store.api import AttemptEnd, Landed
from celeriac.store.connection import Database, Row, fetch, sql
from celeriac.store.postgres.rows import (
    ATTEMPT,
    CHECKPOINT,
    COUNTERS,
    NEWEST_ATTEMPT,
    RUNG,
    TRIAL,
    TRIAL_ALONE,
    TRIALS,
    attempt_record,
    checkpoint_record,
    rung_record,
    trial_record,
)
from celeriac.store.postgres.studies import locked
from celeriac.store.values import (
    checked,
    digest,
    first_at_each,
    json_text,
    late_evidence,
    lease_lost,
    plain_report,
    plain_text,
    stale_ticket,
    study_waits,
    too_many,
    unknown_trial,
)

# The counters are taken from `s`, the row as it was locked: a CHECK is tested on what an UPDATE makes of the older row that the
# statement began with, and a trial that was queued since then would make that less than none.
#
# A lease is the one commit that does not wait for the disk: should Postgres crash before it is written, nobody holds that lease, its
# token is refused, and the trial is queued again. Whatever is written under it waits, and brings it to disk too (decision 8).
LEASE = sql(
    """
    WITH s AS (
        SELECT id, name, spec, code_root, slice, due_at, waiting, queued, running FROM study
        WHERE id = :study AND state = 'RUNNING' AND (parallel IS NULL OR running < parallel)
        FOR NO KEY UPDATE
    ), o AS (
        SELECT trial.state FROM trial JOIN s ON trial.study_id = s.id
        WHERE trial.number = :number AND trial.attempts = :attempt - 1
            AND trial.state = ANY(CAST(:from_states AS text[]))
        FOR NO KEY UPDATE OF trial
    ), t AS (
        UPDATE trial SET state = :running, attempts = trial.attempts + 1, worker = :worker, queued_at = NULL,
            started_at = coalesce(trial.started_at, clock_timestamp())
        FROM o WHERE trial.study_id = :study AND trial.number = :number
        RETURNING trial.params, trial.faults, trial.source
    ), a AS (
        INSERT INTO attempt (study_id, trial, number, token, worker, device, device_kind, leased_at, lease_s, lease_until)
        SELECT :study, :number, :attempt, :token, :worker, :device, :device_kind, clock_timestamp(), :lease_s,
            clock_timestamp() + make_interval(secs => :lease_s)
        FROM t RETURNING token, lease_until
    ), c AS (
        UPDATE study SET running = s.running + 1,
            waiting = s.waiting - CAST(o.state = 'WAITING' AS int),
            queued = s.queued - CAST(o.state = 'QUEUED' AS int)
        FROM s, o WHERE study.id = s.id
    )
    SELECT a.token, s.id AS study_id, s.name AS study, t.params, s.spec, s.code_root, s.slice, s.due_at, t.faults,
        t.source, a.lease_until
    FROM s, t, a WHERE set_config('synchronous_commit', 'off', true) = 'off'
    """
)

# What a lease was given with, for a worker whose connection broke after the commit and before the answer.
LEASED = sql(
    """
    SELECT a.token, s.id AS study_id, s.name AS study, t.params, s.spec, s.code_root, s.slice, s.due_at, t.faults,
        t.source, a.lease_until
    FROM attempt a JOIN trial t ON t.study_id = a.study_id AND t.number = a.trial JOIN study s ON s.id = a.study_id
    WHERE a.token = :token AND a.ended_at IS NULL
    """
)
LOCK_TRIAL = sql(f"{TRIALS} WHERE t.study_id = :study AND t.number = :number FOR NO KEY UPDATE OF t")
UNQUEUE = sql(
    """
    WITH t AS (
        UPDATE trial SET state = :waiting, queued_at = NULL
        WHERE study_id = :study AND number = :number AND state = ANY(CAST(:from_states AS text[])) RETURNING 1
    )
    UPDATE study SET queued = queued - (SELECT count(*) FROM t), waiting = waiting + (SELECT count(*) FROM t)
    WHERE id = :study
    """
)

CHECKPOINTS = sql(
    f"SELECT {CHECKPOINT} FROM checkpoint c WHERE c.study_id = :study AND c.trial = :number "
    "ORDER BY c.step DESC, c.attempt DESC"
)
FORGET = sql(
    "DELETE FROM checkpoint WHERE study_id = :study AND trial = :number AND path = ANY(CAST(:paths AS text[]))"
)

BEGIN = sql(
    """
    UPDATE attempt SET fingerprint = :fingerprint, resumed_step = :resumed_step, log_path = :log_path
    WHERE token = :token AND ended_at IS NULL RETURNING 1
    """
)

_RENEWED = """
    UPDATE attempt SET lease_s = :lease_s, lease_until = clock_timestamp() + make_interval(secs => :lease_s)
    WHERE token = :token AND ended_at IS NULL RETURNING study_id, trial, number
"""
_KEEP_TAIL = "ON CONFLICT (study_id, trial, attempt) DO UPDATE SET tail = excluded.tail"
RENEW = sql(_RENEWED)
RENEW_WITH_LOG = sql(
    f"""
    WITH e AS ({_RENEWED}), l AS (
        INSERT INTO attempt_log (study_id, trial, attempt, tail)
        SELECT study_id, trial, number, :log_tail FROM e {_KEEP_TAIL}
    )
    SELECT * FROM e
    """
)

_REPORTED = """
    WITH e AS (
        UPDATE attempt SET last_step = :last_step, last_value = :last_value
        WHERE token = :token AND ended_at IS NULL RETURNING study_id, trial, number
    ), x AS (
        SELECT e.study_id, e.trial, e.number AS attempt, r.* FROM e, json_to_recordset(CAST(:reports AS json))
            AS r(step bigint, value float8, metrics json, at timestamptz, path text, sha256 text, size_bytes bigint)
    ), r AS (
        INSERT INTO report (study_id, trial, attempt, step, value, metrics, at)
        SELECT study_id, trial, attempt, step, value, metrics, coalesce(at, clock_timestamp()) FROM x
        ON CONFLICT DO NOTHING
    ), k AS (
        INSERT INTO checkpoint (study_id, trial, attempt, step, path, sha256, size_bytes)
        SELECT study_id, trial, attempt, step, path, sha256, size_bytes FROM x WHERE path IS NOT NULL
        ON CONFLICT DO NOTHING
    )
"""
REPORT = sql(f"{_REPORTED} SELECT study_id, trial FROM e")

# A rung is ranked by (loss, place). Its newest record `n` knows the cutoff: the last record that is kept, of the n.place there are.
# With one record more the cutoff moves by one place at most: to its neighbour `b` before it, `w` behind it, or to the new record `c`.
# Whoever takes the next place first has it: the unique index makes the second wait, and then insert nothing (`Leases.report`).
_OF_ITS_RUNG = "r.study_id = c.study_id AND r.bracket = c.bracket AND r.rung = c.rung"
REPORT_AT_RUNGS = sql(
    f"""{_REPORTED}, c AS (
        SELECT e.study_id, e.trial, e.number AS attempt, c.*, sign * value AS loss
        FROM e, json_to_recordset(CAST(:crossings AS json)) AS
            c(rung bigint, step bigint, resource float8, value float8, sign int, bracket int, divisor int, spare int)
    ), known AS (
        SELECT k.* FROM c CROSS JOIN LATERAL (
            SELECT * FROM rung r WHERE r.study_id = c.study_id AND r.trial = c.trial AND r.rung = c.rung LIMIT 1
        ) k
    ), m AS (
        SELECT c.*, coalesce(n.place, 0) + 1 AS place, n.cutoff, n.cutoff_place, b.loss AS b_loss, b.place AS b_place,
            w.loss AS w_loss, w.place AS w_place, CASE
                WHEN n.place IS NULL THEN 'c'
                WHEN (c.loss < n.cutoff) = (greatest(1, (n.place + 1 + spare) / divisor) > greatest(1, (n.place + spare) / divisor))
                    THEN 'n'
                WHEN c.loss < n.cutoff THEN CASE WHEN b.loss > c.loss THEN 'b' ELSE 'c' END
                WHEN w.loss <= c.loss THEN 'w' ELSE 'c'
            END AS last_kept
        FROM c LEFT JOIN LATERAL (
            SELECT place, sign * cutoff AS cutoff, cutoff_place FROM rung r WHERE {_OF_ITS_RUNG} ORDER BY place DESC LIMIT 1
        ) n ON true LEFT JOIN LATERAL (
            SELECT loss, place FROM rung r WHERE {_OF_ITS_RUNG} AND (loss, place) < (n.cutoff, n.cutoff_place)
            ORDER BY loss DESC, place DESC LIMIT 1
        ) b ON true LEFT JOIN LATERAL (
            SELECT loss, place FROM rung r WHERE {_OF_ITS_RUNG} AND (loss, place) > (n.cutoff, n.cutoff_place)
            ORDER BY loss, place LIMIT 1
        ) w ON true
        WHERE NOT EXISTS (SELECT 1 FROM known WHERE known.rung = c.rung)
    ), new AS (
        INSERT INTO rung (study_id, trial, rung, bracket, place, attempt, step, resource, value, loss, cutoff, cutoff_place)
        SELECT study_id, trial, rung, bracket, place, attempt, step, resource, value, loss,
            sign * CASE last_kept WHEN 'c' THEN loss WHEN 'n' THEN cutoff WHEN 'b' THEN b_loss ELSE w_loss END,
            CASE last_kept WHEN 'c' THEN place WHEN 'n' THEN cutoff_place WHEN 'b' THEN b_place ELSE w_place END
        FROM m ORDER BY rung ON CONFLICT DO NOTHING RETURNING *
    )
    SELECT e.study_id AS of_study, e.trial AS of_trial, {RUNG}
    FROM e LEFT JOIN (SELECT * FROM known UNION ALL SELECT * FROM new) r ON true ORDER BY r.rung
    """
)


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
        {_KEEP_TAIL}
    ), t AS (
        UPDATE trial SET state = :state, fault = :fault, detail = :detail, signature = :signature,
            faults = CASE WHEN CAST(:fault AS text) IS NULL THEN faults ELSE jsonb_set(faults, ARRAY[CAST(:fault AS text)],
                to_jsonb(coalesce(CAST(faults ->> CAST(:fault AS text) AS int), 0) + 1)) END,
            worker = CASE WHEN :ends THEN worker ELSE '' END,
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

BY_TOKEN = sql(f"SELECT {ATTEMPT} FROM attempt a WHERE a.token = :token")
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
ONE_TRIAL = sql(f"{TRIALS} WHERE t.study_id = :study AND t.number = :number")


class Leases:
    """Verbs of the worker."""

    _db: Database

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
        """See `Store.lease`. The token is made here, so that a repeat after a broken connection finds its own lease."""
        token = secrets.token_hex(16)
        row = self._db.row(
            LEASE,
            study=study_id,
            number=number,
            attempt=attempt,
            token=token,
            worker=worker,
            device=device,
            device_kind=plain_text(device_kind),
            lease_s=float(lease_s),
            from_states=_sources(TrialEvent.LEASE),
            running=str(moved(TRIAL_TRANSITIONS, TrialState.QUEUED, TrialEvent.LEASE, thing="trial")),
        ) or self._db.row(LEASED, token=token)
        if row is None:
            return self._db.transaction(lambda connection: _refuse(connection, study_id, number, attempt))
        checkpoints = tuple(self.checkpoints(study_id, number)) if attempt > 1 else ()
        given = {**row, "source": Source(row["source"])}
        return Lease(**given, number=number, attempt=attempt, checkpoints=checkpoints)

    def begin(self, token: str, *, fingerprint: str, resumed_step: int | None, log_path: str) -> None:
        """See `Store.begin`."""
        noted = self._db.rows(
            BEGIN,
            token=token,
            fingerprint=plain_text(fingerprint),
            resumed_step=resumed_step,
            log_path=plain_text(log_path),
        )
        if not noted:
            raise self._lost(token)

    def renew(self, token: str, lease_s: float, *, log_tail: str | None = None) -> None:
        """See `Store.renew`."""
        if log_tail is None:
            renewed = self._db.rows(RENEW, token=token, lease_s=float(lease_s))
        else:
            renewed = self._db.rows(
                RENEW_WITH_LOG, token=token, lease_s=float(lease_s), log_tail=plain_text(log_tail)
            )
        if not renewed:
            raise self._lost(token)

    def report(self, token: str, reports: Sequence[Report], crossings: Sequence[Crossing] = ()) -> Landed:
        """See `Store.report`."""
        if not reports:
            return Landed()
        last = max(reports, key=lambda each: each.step)
        written = {
            "token": token,
            "last_step": last.step,
            "last_value": float(last.value),
            "reports": json_text([_report_row(plain_report(each)) for each in reports]),
        }
        first = first_at_each(crossings)
        if first:
            study_id, number, rungs = self._ranked(written, first)
        else:
            trial = self._db.row(REPORT, **written)
            if trial is None:
                raise self._lost(token)
            study_id, number, rungs = trial["study_id"], trial["trial"], ()
        if all(each.checkpoint is None for each in reports):
            return Landed(rungs=rungs)
        return Landed(tuple(self.checkpoints(study_id, number)), rungs)

    def _ranked(
        self, written: dict[str, Any], crossings: Sequence[Crossing]
    ) -> tuple[int, int, tuple[RungRecord, ...]]:
        """The study, the trial and its records. A place that another took first is asked for again; each time somebody gets one."""
        asked = json_text([_crossing_row(each) for each in crossings])
        while True:
            rows = self._db.rows(REPORT_AT_RUNGS, **written, crossings=asked)
            if not rows:
                raise self._lost(written["token"])
            found = tuple(rung_record(_without_owner(row)) for row in rows if row["rung"] is not None)
            if len(found) == len(crossings):
                return rows[0]["of_study"], rows[0]["of_trial"], found

    def checkpoints(self, study_id: int, number: int) -> list[Checkpoint]:
        """See `Store.checkpoints`."""
        return [checkpoint_record(row) for row in self._db.rows(CHECKPOINTS, study=study_id, number=number)]

    def forget_checkpoints(self, study_id: int, number: int, paths: Sequence[str]) -> None:
        """See `Store.forget_checkpoints`."""
        self._db.rows(FORGET, study=study_id, number=number, paths=list(paths))

    def finish_attempt(self, token: str, end: AttemptEnd, *, only_expired: bool = False) -> TrialRecord:
        """See `Store.finish_attempt`."""
        end = checked(end)
        row = self._db.row(FINISH_EXPIRED if only_expired else FINISH, **_finishing(token, end))
        return trial_record(row) if row is not None else self._unfinished(token, end, only_expired)

    def _unfinished(self, token: str, end: AttemptEnd, only_expired: bool) -> TrialRecord:
        """What a finish that changed nothing means: done before, or too late."""
        found = self._attempt(token)
        if found is not None and found.outcome is not None:
            if self._db.row(SAME_END, token=token, digest=digest(end)):
                return self.trial(found.study_id, found.trial)
            if not only_expired:  # the reaper knows nothing that would be evidence
                self._db.rows(LATE, token=token, late=json_text(late_evidence(end)))
        raise lease_lost(token, found)

    def cancel_trial(self, study_id: int, number: int, reason: str) -> TrialRecord:
        """See `Store.cancel_trial`."""

        def cancel(connection: Connection) -> TrialRecord:
            study = locked(connection, study_id)
            before = _locked_trial(connection, study_id, number)
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

    def trial(self, study_id: int, number: int) -> TrialRecord:
        """See `Store.trial`."""
        row = self._db.row(ONE_TRIAL, study=study_id, number=number)
        if row is None:
            raise unknown_trial(study_id, number)
        return trial_record(row)

    def _attempt(self, token: str) -> Attempt | None:
        row = self._db.row(BY_TOKEN, token=token)
        return None if row is None else attempt_record(row)

    def _lost(self, token: str) -> LeaseLost:
        return lease_lost(token, self._attempt(token))


def _sources(event: TrialEvent) -> list[str]:
    return [str(state) for state in sources(TRIAL_TRANSITIONS, event)]


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
        "digest": digest(end),
    }


def _report_row(report: Report) -> dict[str, Any]:
    row: dict[str, Any] = {
        "step": report.step,
        "value": report.value,
        "metrics": report.metrics,
        "at": report.at.isoformat() if report.at else None,
    }
    if report.checkpoint is not None:
        kept = report.checkpoint
        row |= {"path": kept.path, "sha256": kept.sha256, "size_bytes": kept.size_bytes}
    return row


def _crossing_row(crossing: Crossing) -> dict[str, Any]:
    ranking = crossing.ranking
    return {
        "rung": crossing.rung,
        "step": crossing.step,
        "resource": crossing.resource,
        "value": crossing.value,
        "sign": -1 if ranking.goal == "maximize" else 1,
        "bracket": ranking.bracket,
        "divisor": ranking.of,
        "spare": ranking.spare,
    }


def _without_owner(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in ("of_study", "of_trial")}


def _locked_trial(connection: Connection, study_id: int, number: int) -> TrialRecord:
    found = fetch(connection, LOCK_TRIAL, study=study_id, number=number)
    if not found:
        raise unknown_trial(study_id, number)
    return trial_record(found[0])


def _refuse(connection: Connection, study_id: int, number: int, attempt: int) -> Refusal:
    """Why this ticket became no lease; a ticket that is right but early or late for its study goes back to the buffer."""
    study = locked(connection, study_id)
    trial = _locked_trial(connection, study_id, number)
    if trial.attempts != attempt - 1 or trial.state not in sources(TRIAL_TRANSITIONS, TrialEvent.LEASE):
        return stale_ticket(study["name"], trial)
    if trial.state is TrialState.QUEUED:
        waiting = moved(TRIAL_TRANSITIONS, trial.state, TrialEvent.UNQUEUE, thing="trial")
        fetch(
            connection,
            UNQUEUE,
            study=study_id,
            number=number,
            waiting=str(waiting),
            from_states=_sources(TrialEvent.UNQUEUE),
        )
    if study["state"] != StudyState.RUNNING:
        return study_waits(study["name"], study["state"])
    return too_many(study["name"], study["running"])
