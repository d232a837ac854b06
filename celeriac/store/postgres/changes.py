"""What a person may change in a study that is there: a larger budget, failed trials once more, its end. Rule: as for
all studies' rows, the study's is locked first, then its trials'.
"""
# ruff: noqa: S608 (statements are put together from constants of this room; values are always bound)

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from celeriac.domain.lifecycle import STUDY_TRANSITIONS, TRIAL_TRANSITIONS, StudyEvent, TrialEvent, moved
from celeriac.domain.records import CLOSED, StudyRecord, TrialRecord, TrialState
from celeriac.store.connection import Database, fetch, sql
from celeriac.store.postgres.rows import NEWEST_ATTEMPT, TRIAL, study_record, trial_record
from celeriac.store.postgres.studies import locked, moved_row
from celeriac.store.values import checked_budget, json_text, not_deletable, plain_text, unknown_trial

EXTEND = sql("UPDATE study SET spec = CAST(:spec AS json) WHERE id = :study")

TO_RERUN = sql(
    """SELECT number, state FROM trial WHERE study_id = :study
        AND (number = ANY(CAST(:numbers AS int[])) OR (CAST(:numbers AS int[]) IS NULL AND state = 'FAILED'))
    ORDER BY number FOR NO KEY UPDATE"""
)
RERUN = sql(
    f"""
    WITH t AS (
        UPDATE trial SET state = :waiting, score = NULL, metrics = '{{}}', step = NULL, fault = NULL, detail = '',
            signature = '', worker = '', ended_no = NULL, ended_at = NULL, queued_at = NULL
        WHERE study_id = :study AND number = ANY(CAST(:numbers AS int[])) RETURNING trial.*
    ), s AS (
        UPDATE study SET failed = failed - (SELECT count(*) FROM t), waiting = waiting + (SELECT count(*) FROM t)
        WHERE id = :study
    )
    SELECT {TRIAL} FROM t {NEWEST_ATTEMPT} ORDER BY t.number
    """
)
# Ends stay numbered without a gap. First below 0, since no two may have one number at any moment.
RENUMBER = sql(
    """
    UPDATE trial SET ended_no = -n.place FROM (
        SELECT number, row_number() OVER (ORDER BY ended_no) AS place FROM trial
        WHERE study_id = :study AND ended_no IS NOT NULL
    ) n WHERE trial.study_id = :study AND trial.number = n.number AND trial.ended_no <> n.place
    """
)
RENUMBERED = sql("UPDATE trial SET ended_no = -ended_no WHERE study_id = :study AND ended_no < 0")

PROMOTED = sql("SELECT trial FROM champion WHERE study_id = :study AND promoted")
#: What hangs on attempts: any number of rows, so it goes portion by portion; a study that lost only these is whole.
_LEAVES = ("report", "attempt_log", "rung", "checkpoint")
_PORTION = 5000
DROP_LEAVES = tuple(
    sql(
        f"""WITH x AS (DELETE FROM {table} WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM {table} WHERE study_id = :study LIMIT {_PORTION})) RETURNING 1)
        SELECT count(*) AS gone FROM x"""
    )
    for table in _LEAVES
)
DROP = tuple(
    sql(f"DELETE FROM {table} WHERE {column} = :study")
    for table, column in (
        ("attempt", "study_id"),
        ("trial", "study_id"),
        ("firing", "study_id"),
        ("champion", "study_id"),
        ("study", "id"),
    )
)


class Changes:
    """Verbs of a person who wants more of a study, or no more of it."""

    _db: Database

    def extend_study(self, study_id: int, budget: Mapping[str, Any], reason: str) -> StudyRecord:
        """See `Store.extend_study`."""

        def extend(connection: Connection) -> StudyRecord:
            before = study_record(locked(connection, study_id))
            state = moved(STUDY_TRANSITIONS, before.state, StudyEvent.EXTEND, thing=f"study {before.name}")
            spec = checked_budget(before, budget)
            fetch(connection, EXTEND, study=study_id, spec=json_text(spec))
            said = plain_text(reason) if before.state in CLOSED else before.reason
            return moved_row(connection, before, state, StudyEvent.EXTEND, said)

        return self._db.transaction(extend)

    def retry_trials(self, study_id: int, numbers: Sequence[int] | None, reason: str) -> list[TrialRecord]:
        """See `Store.retry_trials`."""

        def rerun(connection: Connection) -> list[TrialRecord]:
            before = study_record(locked(connection, study_id))
            wanted = None if numbers is None else sorted(set(numbers))
            found = fetch(connection, TO_RERUN, study=study_id, numbers=wanted)
            known = {row["number"]: TrialState(row["state"]) for row in found}
            for number in wanted or ():
                if number not in known:
                    raise unknown_trial(study_id, number)
            for number, state in known.items():
                thing = f"trial {number} of study {before.name}"
                waiting = moved(TRIAL_TRANSITIONS, state, TrialEvent.RERUN, thing=thing)
            if not known:
                return []
            rows = fetch(connection, RERUN, study=study_id, numbers=list(known), waiting=str(waiting))
            fetch(connection, RENUMBER, study=study_id)
            fetch(connection, RENUMBERED, study=study_id)
            after = STUDY_TRANSITIONS[before.state].get(StudyEvent.REOPEN, before.state)
            said = plain_text(reason) if before.state in CLOSED else before.reason
            moved_row(connection, before, after, StudyEvent.REOPEN, said)
            return [trial_record(row) for row in rows]

        return self._db.transaction(rerun)

    def delete_study(self, study_id: int) -> None:
        """See `Store.delete_study`."""

        def check(connection: Connection) -> None:
            study = study_record(locked(connection, study_id))
            promoted = fetch(connection, PROMOTED, study=study_id)
            if error := not_deletable(study, promoted[0]["trial"] if promoted else None):
                raise error

        def drop(connection: Connection) -> None:
            check(connection)
            for statement in (*DROP_LEAVES, *DROP):
                fetch(connection, statement, study=study_id)

        self._db.transaction(check)
        for statement in DROP_LEAVES:
            while self._db.rows(statement, study=study_id)[0]["gone"]:
                pass
        self._db.transaction(drop)
