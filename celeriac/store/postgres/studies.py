"""Studies: opening, finding and moving them. Rule: the study's row is locked first, then its trials by number, then
attempts.
"""

# ruff: noqa: S608 (statements are put together from constants of this room; values are always bound)

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from celeriac.domain.lifecycle import (
    ATTEMPT_TRANSITIONS,
    STUDY_TRANSITIONS,
    TRIAL_TRANSITIONS,
    AttemptEvent,
    StudyEvent,
    TrialEvent,
    moved,
    sources,
)
from celeriac.domain.records import CLOSED, Claim, NewStudy, StudyRecord, StudyState, TrialState
from celeriac.store.connection import Database, Row, fetch, sql
from celeriac.store.postgres.rows import NEW_STUDY_COLUMNS, NEW_STUDY_VALUES, STUDY, new_study_values, study_record
from celeriac.store.values import duplicate_study, plain_text, stale_turn, unknown_study

CREATE = sql(
    f"INSERT INTO study AS s ({NEW_STUDY_COLUMNS}) VALUES ({NEW_STUDY_VALUES}) "
    f"ON CONFLICT (name) DO NOTHING RETURNING {STUDY}"
)
BY_ID = sql(f"SELECT {STUDY} FROM study s WHERE s.id = :study")
BY_NAME = sql(f"SELECT {STUDY} FROM study s WHERE s.name = :name")
NAMES = sql("SELECT name FROM study ORDER BY id DESC LIMIT 1000")
LOCK = sql(f"SELECT {STUDY} FROM study s WHERE s.id = :study FOR NO KEY UPDATE")
TO_DRIVE = sql("SELECT id FROM study WHERE state IN ('OPEN', 'RUNNING') ORDER BY id")
CLAIMS = sql("""
    SELECT id AS study_id, coalesce(CAST(spec #>> '{resources,gpus}' AS int), 0) AS gpus, parallel,
        state <> 'PAUSED' AS may_run, running, queued, waiting + paused AS ready,
        greatest(coalesce(CAST(spec #>> '{budget,trials}' AS int), 0) - scored - pruned - failed
            - waiting - queued - running - paused, 0) AS left,
        scored + pruned + failed AS finished, device_s,
        greatest(coalesce(extract(epoch FROM
            coalesce(paused_at, clock_timestamp()) - coalesce(first_leased_at, started_at)) - paused_s, 0), 0) AS age_s
    FROM study WHERE state IN ('OPEN', 'RUNNING', 'PAUSED') ORDER BY id
    """)

TAKE_CODE = sql(f"""
    WITH p AS (DELETE FROM put_aside WHERE study_id = :study)
    UPDATE study s SET fingerprint = :fingerprint WHERE s.id = :study RETURNING {STUDY}
    """)

UNQUEUE_ALL = sql("""
    WITH t AS (
        UPDATE trial SET state = :waiting, queued_at = NULL
        WHERE study_id = :study AND ended_no IS NULL AND state = ANY(:from_states) RETURNING 1
    )
    UPDATE study SET queued = queued - (SELECT count(*) FROM t), waiting = waiting + (SELECT count(*) FROM t)
    WHERE id = :study
    """)

# Open trials end in the order of their numbers; an open attempt's device time runs until now by the database's clock.
CANCEL_OPEN = sql("""
    WITH o AS (
        SELECT number, state, row_number() OVER (ORDER BY number) AS place FROM trial
        WHERE study_id = :study AND ended_no IS NULL
    ), t AS (
        UPDATE trial SET state = :cancelled, ended_no = :ended + o.place, ended_at = clock_timestamp(),
            detail = :reason, queued_at = NULL
        FROM o WHERE trial.study_id = :study AND trial.number = o.number
    ), e AS (
        UPDATE attempt SET ended_at = clock_timestamp(), outcome = :outcome, detail = :reason,
            device_s = greatest(0, extract(epoch FROM clock_timestamp() - leased_at))
        WHERE study_id = :study AND ended_at IS NULL RETURNING device_s
    )
    UPDATE study SET waiting = 0, queued = 0, running = 0, paused = 0,
        cancelled = cancelled + (SELECT count(*) FROM o),
        device_s = device_s + (SELECT coalesce(sum(e.device_s), 0) FROM e)
    WHERE id = :study
    """)
LOCK_OPEN = sql(
    "SELECT number FROM trial WHERE study_id = :study AND ended_no IS NULL ORDER BY number FOR NO KEY UPDATE"
)

MOVE = sql(f"""
    UPDATE study s SET state = :state, reason = :reason, turn = turn + 1,
        started_at = CASE WHEN :state = 'RUNNING' THEN coalesce(started_at, clock_timestamp()) ELSE started_at END,
        paused_s = paused_s + coalesce(extract(epoch FROM clock_timestamp() - coalesce(paused_at, ended_at)), 0),
        paused_at = CASE WHEN :state = 'PAUSED' THEN clock_timestamp() END,
        resumed_at = CASE WHEN :resumed THEN clock_timestamp() ELSE resumed_at END,
        reopened_at = CASE WHEN :reopened THEN clock_timestamp() ELSE reopened_at END,
        ended_at = CASE WHEN :closed THEN clock_timestamp() END
    WHERE id = :study RETURNING {STUDY}
    """)
FORGET_VERDICT = sql("DELETE FROM champion WHERE study_id = :study AND NOT promoted")


class Studies:
    """Verbs on studies."""

    _db: Database

    def create_study(self, new: NewStudy) -> StudyRecord:
        """See `Store.create_study`."""
        made = self._db.once(CREATE, **new_study_values(new))
        if not made:
            raise duplicate_study(new.name)
        return study_record(made[0])

    def study(self, study_id: int) -> StudyRecord:
        """See `Store.study`."""
        row = self._db.row(BY_ID, study=study_id)
        if row is None:
            raise unknown_study(study_id, ())
        return study_record(row)

    def study_named(self, name: str) -> StudyRecord:
        """See `Store.study_named`."""
        row = self._db.row(BY_NAME, name=plain_text(name))
        if row is None:
            raise unknown_study(name, (each["name"] for each in self._db.rows(NAMES)))
        return study_record(row)

    def studies(
        self,
        *,
        states: Sequence[StudyState] | None = None,
        schedule: str | None = None,
        before_id: int | None = None,
        limit: int = 50,
    ) -> list[StudyRecord]:
        """See `Store.studies`."""
        wanted: dict[str, Any] = {"limit": limit}
        where = ["true"]
        if states is not None:
            where.append("s.state = ANY(:states)")
            wanted["states"] = [str(state) for state in states]
        if schedule is not None:
            where.append("s.schedule = :schedule")
            wanted["schedule"] = schedule
        if before_id is not None:
            where.append("s.id < :before_id")
            wanted["before_id"] = before_id
        page = sql(f"SELECT {STUDY} FROM study s WHERE {' AND '.join(where)} ORDER BY s.id DESC LIMIT :limit")
        return [study_record(row) for row in self._db.rows(page, **wanted)]

    def move_study(self, study_id: int, event: StudyEvent, reason: str, *, turn: int | None = None) -> StudyRecord:
        """See `Store.move_study`."""

        def move(connection: Connection) -> StudyRecord:
            before = study_record(locked(connection, study_id, turn))
            state = moved(STUDY_TRANSITIONS, before.state, event, thing=f"study {before.name}")
            said = plain_text(reason)
            if state in CLOSED:
                fetch(connection, LOCK_OPEN, study=study_id)
                fetch(connection, CANCEL_OPEN, **_cancelling(before, said))
            elif state is StudyState.PAUSED:
                fetch(connection, LOCK_OPEN, study=study_id)
                fetch(connection, UNQUEUE_ALL, study=study_id, **unqueueing())
            return moved_row(connection, before, state, event, said)

        return self._db.transaction(move)

    def take_code(self, study_id: int, fingerprint: str) -> StudyRecord:
        """See `Store.take_code`."""
        row = self._db.row(TAKE_CODE, study=study_id, fingerprint=plain_text(fingerprint))
        if row is None:
            raise unknown_study(study_id, ())
        return study_record(row)

    def studies_to_drive(self) -> list[int]:
        """See `Store.studies_to_drive`."""
        return [row["id"] for row in self._db.rows(TO_DRIVE)]

    def claims(self) -> list[Claim]:
        """See `Store.claims`."""
        return [Claim(**row) for row in self._db.rows(CLAIMS)]


def locked(connection: Connection, study_id: int, turn: int | None = None) -> Row:
    """The study's row, locked; raises UnknownStudy, and StaleTurn when it is at another turn than the one given."""
    found = fetch(connection, LOCK, study=study_id)
    if not found:
        raise unknown_study(study_id, ())
    if turn is not None and found[0]["turn"] != turn:
        raise stale_turn(found[0]["name"], found[0]["turn"], turn)
    return found[0]


def moved_row(
    connection: Connection, before: StudyRecord, state: StudyState, event: StudyEvent, reason: str
) -> StudyRecord:
    """The study's row in its new state; of one that is opened again, a verdict that promoted nothing is void."""
    reopened = before.state in CLOSED and state not in CLOSED
    if reopened:
        fetch(connection, FORGET_VERDICT, study=before.id)
    after = fetch(
        connection,
        MOVE,
        study=before.id,
        state=str(state),
        reason=reason,
        closed=state in CLOSED,
        resumed=reopened or event in (StudyEvent.RESUME, StudyEvent.REOPEN),
        reopened=reopened,
    )
    return study_record(after[0])


def _cancelling(before: StudyRecord, reason: str) -> dict[str, Any]:
    cancelled = moved(TRIAL_TRANSITIONS, TrialState.RUNNING, TrialEvent.CANCEL, thing="trial")
    released = moved(ATTEMPT_TRANSITIONS, None, AttemptEvent.RELEASE, thing="attempt")
    return {
        "study": before.id,
        "cancelled": str(cancelled),
        "outcome": str(released),
        "reason": reason,
        "ended": before.counts.ended,
    }


def unqueueing() -> dict[str, Any]:
    """The parameters by which a statement sends QUEUED trials back to WAITING."""
    waiting = moved(TRIAL_TRANSITIONS, TrialState.QUEUED, TrialEvent.UNQUEUE, thing="trial")
    from_states = [str(state) for state in sources(TRIAL_TRANSITIONS, TrialEvent.UNQUEUE)]
    return {"waiting": str(waiting), "from_states": from_states}
