"""Having a lease: lease, begin, renew. Rule: a ticket becomes one lease or a refusal, and a lease lives on by its token only."""
# ruff: noqa: S608 (statements are put together from constants of this room; values are always bound)

import secrets

from sqlalchemy import Connection

from celeriac.lifecycle import TRIAL_TRANSITIONS, TrialEvent, moved, sources
from celeriac.records import Lease, Refusal, Source, StudyState, TrialState
from celeriac.store.connection import Database, fetch, sql
from celeriac.store.postgres.fence import KEEP_TAIL, locked_trial, lost
from celeriac.store.postgres.reading import checkpoints_of
from celeriac.store.postgres.studies import locked, unqueueing
from celeriac.store.values import plain_text, stale_ticket, study_waits, too_many

_GIVEN = """a.token, s.id AS study_id, s.name AS study, t.params, s.spec, s.code_root, s.fingerprint, s.slice, s.due_at,
        t.faults, t.source, a.lease_until"""

# The counters are taken from `s`, the row as it was locked: a CHECK is tested on what an UPDATE makes of the older row that the
# statement began with, and a trial that was queued since then would make that less than none.
#
# A lease is the one commit that does not wait for the disk: should Postgres crash before it is written, nobody holds that lease, its
# token is refused, and the trial is queued again. Whatever is written under it waits, and brings it to disk too (decision 8).
LEASE = sql(
    f"""
    WITH s AS (
        SELECT id, name, spec, code_root, fingerprint, slice, due_at, waiting, queued, running FROM study
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
            paused_s = CASE WHEN study.first_leased_at IS NULL THEN 0 ELSE study.paused_s END,
            first_leased_at = coalesce(study.first_leased_at, clock_timestamp()),
            waiting = s.waiting - CAST(o.state = 'WAITING' AS int),
            queued = s.queued - CAST(o.state = 'QUEUED' AS int)
        FROM s, o WHERE study.id = s.id
    )
    SELECT {_GIVEN}
    FROM s, t, a WHERE set_config('synchronous_commit', 'off', true) = 'off'
    """
)

# What a lease was given with, for a worker whose connection broke after the commit and before the answer.
LEASED = sql(
    f"""
    SELECT {_GIVEN}
    FROM attempt a JOIN trial t ON t.study_id = a.study_id AND t.number = a.trial JOIN study s ON s.id = a.study_id
    WHERE a.token = :token AND a.ended_at IS NULL
    """
)
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
RENEW = sql(_RENEWED)
RENEW_WITH_LOG = sql(
    f"""
    WITH e AS ({_RENEWED}), l AS (
        INSERT INTO attempt_log (study_id, trial, attempt, tail)
        SELECT study_id, trial, number, :log_tail FROM e {KEEP_TAIL}
    )
    SELECT * FROM e
    """
)


class Leases:
    """Verbs of the worker before its trial ends, but for reports."""

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
            from_states=[str(state) for state in sources(TRIAL_TRANSITIONS, TrialEvent.LEASE)],
            running=str(moved(TRIAL_TRANSITIONS, TrialState.QUEUED, TrialEvent.LEASE, thing="trial")),
        ) or self._db.row(LEASED, token=token)
        if row is None:
            return self._db.transaction(lambda connection: _refuse(connection, study_id, number, attempt))
        checkpoints = tuple(checkpoints_of(self._db, study_id, number)) if attempt > 1 else ()
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
            raise lost(self._db, token)

    def renew(self, token: str, lease_s: float, *, log_tail: str | None = None) -> None:
        """See `Store.renew`."""
        if log_tail is None:
            renewed = self._db.rows(RENEW, token=token, lease_s=float(lease_s))
        else:
            renewed = self._db.rows(
                RENEW_WITH_LOG, token=token, lease_s=float(lease_s), log_tail=plain_text(log_tail)
            )
        if not renewed:
            raise lost(self._db, token)


def _refuse(connection: Connection, study_id: int, number: int, attempt: int) -> Refusal:
    """Why this ticket became no lease; a ticket that is right but early or late for its study goes back to the buffer."""
    study = locked(connection, study_id)
    trial = locked_trial(connection, study_id, number)
    if trial.attempts != attempt - 1 or trial.state not in sources(TRIAL_TRANSITIONS, TrialEvent.LEASE):
        return stale_ticket(study["name"], trial)
    if trial.state is TrialState.QUEUED:
        fetch(connection, UNQUEUE, study=study_id, number=number, **unqueueing())
    if study["state"] != StudyState.RUNNING:
        return study_waits(study["name"], study["state"])
    return too_many(study["name"], study["running"])
