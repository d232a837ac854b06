"""What all groups of verbs stand on: their database, and how they run a statement by its name."""

from collections.abc import Sequence
from typing import Any, TypeVar

from celeriac.domain.errors import LeaseLost
from celeriac.domain.records import Attempt, StudyRecord
from celeriac.store.connection import Database, Row, Session, fetch
from celeriac.store.postgres.records import record_of
from celeriac.store.postgres.statements import statement
from celeriac.store.refusals import lease_lost, stale_turn, unknown_study

R = TypeVar("R")


class Verbs:
    """What a group of verbs shares with all others."""

    def __init__(self, database: Database, key: str) -> None:
        self._db, self._key = database, key

    def _rows(self, name: str, /, **values: Any) -> Sequence[Row]:
        """The rows of one statement that may happen twice."""
        return self._db.rows(statement(name), **values)

    def _all(self, record: type[R], name: str, /, **values: Any) -> list[R]:
        """Its rows, as records."""
        return [record_of(record, row) for row in self._rows(name, **values)]

    def _one(self, record: type[R], name: str, /, **values: Any) -> R | None:
        """Its first row, as a record; None if there is none."""
        return next(iter(self._all(record, name, **values)), None)

    def _attempt_of(self, token: str) -> Attempt | None:
        """The attempt of a token, open or ended; None for a token that no lease ever had."""
        return self._one(Attempt, "attempt", token=token)

    def _lost(self, token: str) -> LeaseLost:
        """The error of a write whose token opened nothing: who ended its attempt, and why."""
        return lease_lost(token, self._attempt_of(token))


def ask(connection: Session, name: str, /, **values: Any) -> Sequence[Row]:
    """The rows of one statement of a transaction."""
    return fetch(connection, statement(name), **values)


def locked(connection: Session, study_id: int, turn: int | None = None) -> StudyRecord:
    """The study, its row locked; raises UnknownStudy, and StaleTurn when it is at another turn than the one given."""
    found = ask(connection, "lock_study", study=study_id)
    if not found:
        raise unknown_study(study_id, ())
    study = record_of(StudyRecord, found[0])
    if turn is not None and study.turn != turn:
        raise stale_turn(study.name, study.turn, turn)
    return study
