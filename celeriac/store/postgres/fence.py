"""The fence: the open attempt's row, found by its token, is what gives a worker's write its right.

The statements of a worker (`sql/*.sql`) are hot: each is one round trip and one commit, a chain of common table
expressions in which every step reads from the one before, so that Postgres runs, and locks, in the order written:
study, trial, attempt. A step whose row was changed by somebody in between checks its WHERE again on the new row (READ
COMMITTED), so each is a compare-and-set. A chain that breaks returns no row; why, is asked after, here.
"""

from sqlalchemy import Connection

from celeriac.domain.errors import LeaseLost
from celeriac.domain.records import Attempt, TrialRecord
from celeriac.store.connection import Database, fetch, sql
from celeriac.store.postgres.functions import call
from celeriac.store.postgres.rows import TRIALS, attempt_record, trial_record
from celeriac.store.values import lease_lost, unknown_trial

BY_TOKEN = call("attempt")
LOCK_TRIAL = sql(f"{TRIALS} WHERE t.study_id = :study AND t.number = :number FOR NO KEY UPDATE OF t")


def attempt_of(database: Database, token: str) -> Attempt | None:
    """The attempt of a token, open or ended; None for a token that no lease ever had."""
    row = database.row(BY_TOKEN, token=token)
    return None if row is None else attempt_record(row)


def lost(database: Database, token: str) -> LeaseLost:
    """The error of a write whose token opened nothing: who ended its attempt, and why."""
    return lease_lost(token, attempt_of(database, token))


def locked_trial(connection: Connection, study_id: int, number: int) -> TrialRecord:
    """The trial, its row locked after its study's, which the caller has locked; raises UnknownTrial."""
    found = fetch(connection, LOCK_TRIAL, study=study_id, number=number)
    if not found:
        raise unknown_trial(study_id, number)
    return trial_record(found[0])
