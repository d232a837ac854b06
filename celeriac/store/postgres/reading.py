"""Reading trials, attempts, reports and logs, in pages."""
# ruff: noqa: S608 (statements are put together from constants of this room; values are always bound)

from collections.abc import Sequence
from typing import Any

from celeriac.domain.records import Attempt, Checkpoint, CodeRun, Report, RungRecord, Savings, TrialRecord, TrialState
from celeriac.store.connection import Database, sql
from celeriac.store.postgres.rows import (
    ATTEMPT,
    CHECKPOINT,
    RUNG,
    TRIALS,
    TRIALS_WITH_PAST,
    attempt_record,
    checkpoint_record,
    report_record,
    rung_record,
    trial_record,
)
from celeriac.store.values import unknown_trial

ONE_TRIAL = sql(f"{TRIALS} WHERE t.study_id = :study AND t.number = :number")
PAGE = sql(f"{TRIALS_WITH_PAST} WHERE t.study_id = :study AND t.number > :after ORDER BY t.number LIMIT :limit")
PAGE_OF_STATES = sql(
    f"""{TRIALS_WITH_PAST} WHERE t.study_id = :study AND t.number > :after AND t.state = ANY(CAST(:states AS text[]))
    ORDER BY t.number LIMIT :limit"""
)
ATTEMPTS = sql(f"SELECT {ATTEMPT} FROM attempt a WHERE a.study_id = :study AND a.trial = :number ORDER BY a.number")
ATTEMPTS_OF = sql(
    f"""SELECT {ATTEMPT} FROM attempt a WHERE a.study_id = :study AND a.trial = ANY(CAST(:numbers AS int[]))
    ORDER BY a.trial, a.number"""
)
_REPORTS = """
    SELECT DISTINCT ON (r.trial, r.step) r.study_id, r.trial, r.attempt, r.step, r.value, r.metrics, r.at,
        c.path, c.sha256, c.size_bytes
    FROM report r LEFT JOIN checkpoint c
        ON c.study_id = r.study_id AND c.trial = r.trial AND c.attempt = r.attempt AND c.step = r.step
    WHERE r.study_id = :study
"""
REPORTS = sql(f"{_REPORTS} AND r.trial = :number ORDER BY r.trial, r.step, r.attempt DESC")
REPORTS_OF = sql(f"{_REPORTS} AND r.trial = ANY(CAST(:numbers AS int[])) ORDER BY r.trial, r.step, r.attempt DESC")
REPORTS_OF_ATTEMPT = sql(f"{_REPORTS} AND r.trial = :number AND r.attempt = :attempt ORDER BY r.trial, r.step")
CHECKPOINTS = sql(
    f"SELECT {CHECKPOINT} FROM checkpoint c WHERE c.study_id = :study AND c.trial = :number "
    "ORDER BY c.step DESC, c.attempt DESC"
)
RUNGS = sql(
    f"""SELECT {RUNG} FROM rung r WHERE r.study_id = :study
        AND (r.bracket, r.rung, r.place) > (CAST(:bracket AS int), CAST(:rung AS bigint), CAST(:place AS int))
    ORDER BY r.bracket, r.rung, r.place LIMIT :limit"""
)
# A step is counted from 0, or from where the attempt was resumed.
SAVINGS = sql(
    """
    WITH e AS (
        SELECT t.state, a.last_step, a.last_step - coalesce(a.resumed_step, -1) AS steps, a.device_s
        FROM trial t JOIN attempt a ON a.study_id = t.study_id AND a.trial = t.number AND a.number = t.attempts
        WHERE t.study_id = :study AND t.state IN ('SCORED', 'PRUNED')
    ), s AS (
        SELECT e.*, greatest(0, (SELECT max(last_step) FROM e WHERE state = 'SCORED') - last_step) AS spared
        FROM e WHERE state = 'PRUNED'
    )
    SELECT count(*) AS trials, CAST(coalesce(sum(spared), 0) AS bigint) AS steps,
        coalesce(sum(spared * device_s / greatest(1, steps)), 0) AS device_s FROM s
    """
)
LOG_TAIL = sql(
    """
    SELECT coalesce(l.tail, '') AS tail FROM attempt a LEFT JOIN attempt_log l
        ON l.study_id = a.study_id AND l.trial = a.trial AND l.attempt = a.number
    WHERE a.study_id = :study AND a.trial = :number AND a.number = :attempt
    """
)

CODES = sql(
    """
    SELECT split_part(a.fingerprint, ' ', 1) AS code, count(*) AS trials, min(a.trial) AS first, max(a.trial) AS last
    FROM trial t JOIN attempt a ON a.study_id = t.study_id AND a.trial = t.number AND a.number = t.attempts
    WHERE t.study_id = :study AND t.ended_no IS NOT NULL AND a.fingerprint <> ''
    GROUP BY code ORDER BY first, code
    """
)


class Reading:
    """Verbs that only read."""

    _db: Database

    def trial(self, study_id: int, number: int) -> TrialRecord:
        """See `Store.trial`."""
        return one_trial(self._db, study_id, number)

    def trials(
        self, study_id: int, *, states: Sequence[TrialState] | None = None, after: int = -1, limit: int = 100
    ) -> list[TrialRecord]:
        """See `Store.trials`."""
        wanted: dict[str, Any] = {"study": study_id, "after": after, "limit": limit}
        if states is None:
            rows = self._db.rows(PAGE, **wanted)
        else:
            rows = self._db.rows(PAGE_OF_STATES, **wanted, states=[str(state) for state in states])
        return [trial_record(row) for row in rows]

    def attempts(self, study_id: int, number: int) -> list[Attempt]:
        """See `Store.attempts`."""
        return [attempt_record(row) for row in self._db.rows(ATTEMPTS, study=study_id, number=number)]

    def attempts_of(self, study_id: int, numbers: Sequence[int]) -> dict[int, list[Attempt]]:
        """See `Store.attempts_of`."""
        found: dict[int, list[Attempt]] = {number: [] for number in numbers}
        for row in self._db.rows(ATTEMPTS_OF, study=study_id, numbers=list(found)):
            found[row["trial"]].append(attempt_record(row))
        return found

    def reports_of(self, study_id: int, numbers: Sequence[int]) -> dict[int, list[Report]]:
        """See `Store.reports_of`."""
        found: dict[int, list[Report]] = {number: [] for number in numbers}
        for row in self._db.rows(REPORTS_OF, study=study_id, numbers=list(found)):
            found[row["trial"]].append(report_record(row))
        return found

    def reports(self, study_id: int, number: int, *, attempt: int | None = None) -> list[Report]:
        """See `Store.reports`."""
        if attempt is None:
            rows = self._db.rows(REPORTS, study=study_id, number=number)
        else:
            rows = self._db.rows(REPORTS_OF_ATTEMPT, study=study_id, number=number, attempt=attempt)
        return [report_record(row) for row in rows]

    def rung_records(
        self, study_id: int, *, after: tuple[int, int, int] = (-1, -1, 0), limit: int = 1000
    ) -> list[RungRecord]:
        """See `Store.rung_records`."""
        bracket, rung, place = after
        rows = self._db.rows(RUNGS, study=study_id, bracket=bracket, rung=rung, place=place, limit=limit)
        return [rung_record(row) for row in rows]

    def savings(self, study_id: int) -> Savings:
        """See `Store.savings`."""
        (row,) = self._db.rows(SAVINGS, study=study_id)
        return Savings(**row)

    def codes(self, study_id: int) -> list[CodeRun]:
        """See `Store.codes`."""
        return [CodeRun(**row) for row in self._db.rows(CODES, study=study_id)]

    def checkpoints(self, study_id: int, number: int) -> list[Checkpoint]:
        """See `Store.checkpoints`."""
        return checkpoints_of(self._db, study_id, number)

    def log_tail(self, study_id: int, number: int, attempt: int) -> str:
        """See `Store.log_tail`."""
        row = self._db.row(LOG_TAIL, study=study_id, number=number, attempt=attempt)
        if row is None:
            raise unknown_trial(study_id, number, attempt)
        return str(row["tail"])


def one_trial(database: Database, study_id: int, number: int) -> TrialRecord:
    """The trial as it is now; raises UnknownTrial."""
    row = database.row(ONE_TRIAL, study=study_id, number=number)
    if row is None:
        raise unknown_trial(study_id, number)
    return trial_record(row)


def checkpoints_of(database: Database, study_id: int, number: int) -> list[Checkpoint]:
    """The trial's checkpoints, newest first."""
    return [checkpoint_record(row) for row in database.rows(CHECKPOINTS, study=study_id, number=number)]
