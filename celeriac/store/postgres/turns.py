"""The coordinator's turn: look at one study, add trials, queue them. Rule: every write takes the study's turn, or is
refused whole.

Each write is one statement in autocommit: it locks the study's row at the turn it was decided on, does its work and
counts the turn on, so that a coordinator which stands still leaves no transaction open. Repeated after a dropped
connection, it finds its turn taken and is refused. Where it changed nothing, a second look tells why.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from celeriac.domain.errors import CeleriacError
from celeriac.domain.records import MOST_READY, PendingTrial, Placed, Snapshot, StudyState, Suggestion, TrialRecord
from celeriac.store.api import NOWHERE
from celeriac.store.connection import Session
from celeriac.store.postgres.records import record_of, snapshot_of, values_of
from celeriac.store.postgres.statements import statement
from celeriac.store.postgres.verbs import Verbs, ask, locked
from celeriac.store.refusals import moved_meanwhile, not_running, unknown_study

#: The upper half of the advisory lock's key; the lower half is the study's id.
DRIVING = 0x63656C << 40


class Turns(Verbs):
    """Verbs of the coordinator."""

    @contextmanager
    def driving(self, study_id: int) -> Iterator[bool]:
        key = DRIVING | study_id
        with self._db.dedicated(statement("try_lock"), key=key) as (connection, rows):
            mine = bool(rows[0]["mine"])
            try:
                yield mine
            finally:
                if mine:
                    _unlock(connection, key)

    def snapshot(self, study_id: int) -> Snapshot:
        found = self._rows("snapshot", study=study_id, most_ready=MOST_READY)
        if not found:
            raise unknown_study(study_id, ())
        return snapshot_of(found[0])

    def newest_waiting(self, study_id: int, limit: int) -> list[TrialRecord]:
        return self._all(TrialRecord, "newest_waiting", study=study_id, limit=limit)[::-1]

    def pending(self, study_id: int, *, observed: int, below: int, since: int = 0) -> list[PendingTrial]:
        wanted = {"observed": observed, "below": below, "since": since, "most": 2**31 - 1}
        return self._all(PendingTrial, "pending", study=study_id, **wanted)

    def ended_since(self, study_id: int, ended_no: int, limit: int = 1000) -> list[TrialRecord]:
        return self._all(TrialRecord, "ended_since", study=study_id, ended_no=ended_no, limit=limit)

    def add_trials(self, study_id: int, turn: int, suggestions: Sequence[Suggestion]) -> list[TrialRecord]:
        given = {"count": len(suggestions), "suggestions": listed(suggestions)}
        return self._taken("add_trials", study_id, turn, "be given trials", **given)

    def replace_waiting(
        self, study_id: int, turn: int, first: int, suggestions: Sequence[Suggestion]
    ) -> list[TrialRecord]:
        given = {"first": first, "count": len(suggestions), "suggestions": listed(suggestions)}
        return self._taken("replace_waiting", study_id, turn, "have its suggestions replaced", **given)

    def queue_trials(
        self, study_id: int, turn: int, numbers: Sequence[int], places: Mapping[int, Placed] = NOWHERE
    ) -> list[TrialRecord]:
        placed = {str(number): values_of(place) for number, place in places.items()}
        given = {"numbers": list(numbers), "places": placed}
        return self._taken("queue_trials", study_id, turn, "queue trials", **given)

    def _taken(self, name: str, study_id: int, turn: int, verb: str, **values: Any) -> list[TrialRecord]:
        """The trials of a write that took its turn; raises the reason of one that did not."""
        rows = self._rows(name, study=study_id, turn=turn, **values)
        if not rows:
            raise self._db.transaction(lambda connection: _why_refused(connection, study_id, turn, verb))
        found = ({name: value for name, value in row.items() if name != "taken"} for row in rows)
        return [record_of(TrialRecord, row) for row in found if row["number"] is not None]


def listed(suggestions: Sequence[Suggestion]) -> tuple[dict[str, Any], ...]:
    """Suggestions as the statements read them, each with its place."""
    return tuple(
        {"place": place, "params": each.params, "source": each.source, "why": each.why, "seed": each.seed}
        for place, each in enumerate(suggestions)
    )


def _why_refused(connection: Session, study_id: int, turn: int, verb: str) -> CeleriacError:
    study = locked(connection, study_id, turn)
    if study.state is StudyState.RUNNING:
        # Its trials are no longer where the decision saw them: the same as a stale turn.
        return moved_meanwhile(study.name)
    return not_running(study.name, study.state, verb)


def _unlock(connection: Session, key: int) -> None:
    try:
        ask(connection, "unlock", key=key)
    except psycopg.Error:
        # The connection broke, and with it the lock is gone; nobody else may be handed a connection of unknown state.
        connection.close()
