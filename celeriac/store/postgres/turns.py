"""The coordinator's turn: look at one study, add trials, queue them. Rule: every write takes the study's turn, or is
refused whole.

Each write is one statement in autocommit: it locks the study's row at the turn it was decided on, does its work and
counts the turn on, so that a coordinator which stands still leaves no transaction open. Repeated after a dropped
connection, it finds its turn taken and is refused. Where it changed nothing, a second look tells why.
"""

# ruff: noqa: S608 (statements are put together from constants of this room; values are always bound)

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from celeriac.domain.errors import CeleriacError
from celeriac.domain.lifecycle import TRIAL_TRANSITIONS, TrialEvent, moved, sources
from celeriac.domain.records import (
    MOST_READY,
    PendingTrial,
    Snapshot,
    Source,
    StudyState,
    Suggestion,
    TrialRecord,
    TrialState,
)
from celeriac.store.connection import Database, Row, fetch, sql
from celeriac.store.postgres.rows import (
    NEWEST_ATTEMPT,
    STUDY,
    TRIAL,
    TRIAL_UNTRIED,
    TRIALS_WITH_PAST,
    ended_trial,
    pending_trial,
    study_record,
    trial_record,
)
from celeriac.store.postgres.studies import locked
from celeriac.store.values import json_text, moved_meanwhile, not_running, plain_json, unknown_study


def _ready(state: str) -> str:
    """The lowest numbers of a study's trials in this state for which a ticket may be sent now, as an array."""
    return (
        "ARRAY(SELECT t.number FROM trial t WHERE t.study_id = s.id "
        f"AND t.state = '{state}' AND t.state IN ('PAUSED', 'WAITING') "
        "AND (t.not_before IS NULL OR t.not_before <= clock_timestamp()) ORDER BY t.number LIMIT :most_ready)"
    )


#: The upper half of the advisory lock's key; the lower half is the study's id.
DRIVING = 0x63656C << 40
TRY_LOCK = sql("SELECT pg_try_advisory_lock(:key) AS mine")
UNLOCK = sql("SELECT pg_advisory_unlock(:key)")

SNAPSHOT = sql(f"""
    SELECT {STUDY}, clock_timestamp() AS now, {_ready("PAUSED")} AS paused_numbers,
        {_ready("WAITING")} AS waiting_numbers, (
        SELECT json_agg(json_build_array(e.number, e.fault, e.signature, e.detail, e.ended_at)) FROM (
            SELECT t.number, t.fault, t.signature, t.detail, t.ended_at FROM trial t
            WHERE t.study_id = s.id AND t.ended_no IS NOT NULL ORDER BY t.ended_no DESC LIMIT 3
        ) e
    ) AS last_ended
    FROM study s WHERE s.id = :study
    """)
NEWEST_WAITING = sql(
    f"SELECT {TRIAL_UNTRIED} FROM trial t WHERE t.study_id = :study AND t.state = 'WAITING' AND t.attempts = 0 "
    "ORDER BY t.number DESC LIMIT :limit"
)
# Two looks by index: the open trials, and the ends that came after. The limit is none, but makes the planner take the
# second index.
PENDING = sql("""
    SELECT number, params, source, CAST(why ->> 'observed' AS int) AS observed FROM (
        SELECT * FROM trial WHERE study_id = :study AND number >= :since AND number < :below AND ended_no IS NULL
        UNION ALL
        SELECT * FROM (
            SELECT * FROM trial WHERE study_id = :study AND ended_no > :observed ORDER BY ended_no LIMIT :most
        ) later WHERE number >= :since AND number < :below
    ) t ORDER BY number
    """)
ENDED_SINCE = sql(
    f"{TRIALS_WITH_PAST} WHERE t.study_id = :study AND t.ended_no > :ended_no ORDER BY t.ended_no LIMIT :limit"
)

ADD = sql(f"""
    WITH s AS (
        UPDATE study SET turn = turn + 1, next_number = next_number + :count, waiting = waiting + :count
        WHERE id = :study AND turn = :turn AND state = 'RUNNING'
        RETURNING id, next_number - :count AS first
    ), t AS (
        INSERT INTO trial (study_id, number, params, source, why)
        SELECT s.id, s.first + x.place, x.params, x.source, x.why
        FROM s, json_to_recordset(CAST(:suggestions AS json)) AS x(place int, params json, source text, why json)
        RETURNING *
    )
    SELECT s.id AS taken, {TRIAL_UNTRIED}
    FROM s LEFT JOIN t ON true ORDER BY t.number
    """)

# The newest trials give way together, or none does: `o` are those that may, `w` is the study if that is all of them.
REPLACE = sql(f"""
    WITH s AS (
        SELECT id FROM study
        WHERE id = :study AND turn = :turn AND state = 'RUNNING' AND next_number = :first + :count
        FOR NO KEY UPDATE
    ), o AS (
        SELECT trial.number FROM trial JOIN s ON trial.study_id = s.id
        WHERE trial.number >= :first AND trial.ended_no IS NULL AND trial.state = ANY(CAST(:from_states AS text[]))
            AND trial.attempts = 0 AND trial.source = :source
        ORDER BY trial.number FOR NO KEY UPDATE OF trial
    ), w AS (
        SELECT s.id FROM s WHERE (SELECT count(*) FROM o) = :count
    ), t AS (
        UPDATE trial SET params = x.params, why = x.why
        FROM w, o JOIN json_to_recordset(CAST(:suggestions AS json)) AS x(place int, params json, why json)
            ON x.place = o.number - :first
        WHERE trial.study_id = :study AND trial.number = o.number AND trial.ended_no IS NULL
        RETURNING trial.*
    ), c AS (
        UPDATE study SET turn = turn + 1 FROM w WHERE study.id = w.id
    )
    SELECT w.id AS taken, {TRIAL_UNTRIED}
    FROM w LEFT JOIN t ON true ORDER BY t.number
    """)

QUEUE = sql(f"""
    WITH s AS (
        SELECT id, clock_timestamp() AS now FROM study
        WHERE id = :study AND turn = :turn AND state = 'RUNNING' FOR NO KEY UPDATE
    ), o AS (
        SELECT trial.number, trial.state FROM trial JOIN s ON trial.study_id = s.id
        WHERE trial.number = ANY(CAST(:numbers AS int[])) AND trial.state = ANY(CAST(:from_states AS text[]))
        ORDER BY trial.number FOR NO KEY UPDATE OF trial
    ), t AS (
        UPDATE trial SET state = :queued, queued_at = s.now
        FROM s, o WHERE trial.study_id = :study AND trial.number = o.number
        RETURNING trial.*
    ), c AS (
        UPDATE study SET turn = turn + 1,
            waiting = waiting - (SELECT count(*) FROM o WHERE o.state = 'WAITING'),
            paused = paused - (SELECT count(*) FROM o WHERE o.state = 'PAUSED'),
            queued = queued + (SELECT count(*) FROM t)
        FROM s WHERE study.id = s.id
    )
    SELECT s.id AS taken, {TRIAL}
    FROM s LEFT JOIN t ON true
    {NEWEST_ATTEMPT}
    ORDER BY t.number
    """)


class Turns:
    """Verbs of the coordinator."""

    _db: Database

    @contextmanager
    def driving(self, study_id: int) -> Iterator[bool]:
        """See `Store.driving`."""
        with self._db.dedicated(TRY_LOCK, key=DRIVING | study_id) as (connection, rows):
            mine = bool(rows[0]["mine"])
            try:
                yield mine
            finally:
                if mine:
                    _unlock(connection, study_id)

    def snapshot(self, study_id: int) -> Snapshot:
        """See `Store.snapshot`."""
        row = self._db.row(SNAPSHOT, study=study_id, most_ready=MOST_READY)
        if row is None:
            raise unknown_study(study_id, ())
        study = dict(row)
        now, last_ended = study.pop("now"), study.pop("last_ended")
        paused, waiting = study.pop("paused_numbers"), study.pop("waiting_numbers")
        return Snapshot(
            study=study_record(study),
            paused=tuple(paused),
            waiting=tuple(waiting),
            last_ended=tuple(ended_trial(each) for each in last_ended or ()),
            now=now,
        )

    def newest_waiting(self, study_id: int, limit: int) -> list[TrialRecord]:
        """See `Store.newest_waiting`."""
        rows = self._db.rows(NEWEST_WAITING, study=study_id, limit=limit)
        return [trial_record(row) for row in reversed(rows)]

    def pending(self, study_id: int, *, observed: int, below: int, since: int = 0) -> list[PendingTrial]:
        """See `Store.pending`."""
        rows = self._db.rows(PENDING, study=study_id, observed=observed, below=below, since=since, most=2**31 - 1)
        return [pending_trial(row) for row in rows]

    def ended_since(self, study_id: int, ended_no: int, limit: int = 1000) -> list[TrialRecord]:
        """See `Store.ended_since`."""
        rows = self._db.rows(ENDED_SINCE, study=study_id, ended_no=ended_no, limit=limit)
        return [trial_record(row) for row in rows]

    def add_trials(self, study_id: int, turn: int, suggestions: Sequence[Suggestion]) -> list[TrialRecord]:
        """See `Store.add_trials`."""
        rows = self._db.rows(ADD, study=study_id, turn=turn, count=len(suggestions), suggestions=_listed(suggestions))
        return self._taken(rows, study_id, turn, "be given trials")

    def replace_waiting(
        self, study_id: int, turn: int, first: int, suggestions: Sequence[Suggestion]
    ) -> list[TrialRecord]:
        """See `Store.replace_waiting`."""
        rows = self._db.rows(
            REPLACE,
            study=study_id,
            turn=turn,
            first=first,
            count=len(suggestions),
            from_states=[str(state) for state in sources(TRIAL_TRANSITIONS, TrialEvent.REPLACE)],
            source=str(Source.SUGGESTED),
            suggestions=_listed(suggestions),
        )
        return self._taken(rows, study_id, turn, "have its suggestions replaced")

    def queue_trials(self, study_id: int, turn: int, numbers: Sequence[int]) -> list[TrialRecord]:
        """See `Store.queue_trials`."""
        from_states = sources(TRIAL_TRANSITIONS, TrialEvent.QUEUE)
        rows = self._db.rows(
            QUEUE,
            study=study_id,
            turn=turn,
            numbers=list(numbers),
            from_states=[str(state) for state in from_states],
            queued=str(moved(TRIAL_TRANSITIONS, TrialState.WAITING, TrialEvent.QUEUE, thing="trial")),
        )
        return self._taken(rows, study_id, turn, "queue trials")

    def _taken(self, rows: Sequence[Row], study_id: int, turn: int, verb: str) -> list[TrialRecord]:
        """The trials of a write that took its turn; raises the reason of one that did not."""
        if not rows:
            raise self._db.transaction(lambda connection: _why_refused(connection, study_id, turn, verb))
        found = ({name: value for name, value in row.items() if name != "taken"} for row in rows)
        return [trial_record(row) for row in found if row["number"] is not None]


def _listed(suggestions: Sequence[Suggestion]) -> str:
    """Suggestions as the statements read them, each with its place."""
    return json_text(
        [
            {"place": place, "params": plain_json(each.params), "source": str(each.source), "why": plain_json(each.why)}
            for place, each in enumerate(suggestions)
        ]
    )


def _why_refused(connection: Connection, study_id: int, turn: int, verb: str) -> CeleriacError:
    study = locked(connection, study_id, turn)
    if study["state"] == StudyState.RUNNING:
        # Its trials are no longer where the decision saw them: the same as a stale turn.
        return moved_meanwhile(study["name"])
    return not_running(study["name"], study["state"], verb)


def _unlock(connection: Connection, study_id: int) -> None:
    try:
        fetch(connection, UNLOCK, key=DRIVING | study_id)
    except DBAPIError:
        # The connection broke, and with it the lock is gone; nobody else may be handed a connection of unknown state.
        connection.invalidate()
