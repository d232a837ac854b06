"""Studies: opening, finding and moving them. Rule: the study's row is locked first, then its trials by number, then
attempts.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from celeriac.domain.lifecycle import AGAIN, FIRING_TRANSITIONS, STUDY_TRANSITIONS, StudyEvent, moved
from celeriac.domain.records import (
    CLOSED,
    Claim,
    DeviceSpent,
    FiringState,
    NewStudy,
    Resources,
    Stage,
    StudyRecord,
    StudyState,
)
from celeriac.domain.study_file import deadline_of
from celeriac.store.connection import Session
from celeriac.store.postgres.records import record_of, values_of
from celeriac.store.postgres.statements import statement
from celeriac.store.postgres.verbs import Verbs, ask, locked
from celeriac.store.refusals import duplicate_study, unknown_study


class Studies(Verbs):
    """Verbs on studies."""

    def create_study(self, new: NewStudy) -> StudyRecord:
        made = self._db.once(statement("create_study"), **values_of(new))
        if not made:
            raise duplicate_study(new.name)
        return record_of(StudyRecord, made[0])

    def study(self, study_id: int) -> StudyRecord:
        if found := self._one(StudyRecord, "study", study=study_id):
            return found
        raise unknown_study(study_id, ())

    def study_named(self, name: str) -> StudyRecord:
        if found := self._one(StudyRecord, "study_named", name=name):
            return found
        raise unknown_study(name, (each["name"] for each in self._rows("names")))

    def studies(
        self,
        *,
        states: Sequence[StudyState] | None = None,
        schedule: str | None = None,
        named: str | None = None,
        before_id: int | None = None,
        limit: int = 50,
    ) -> list[StudyRecord]:
        among = None if states is None else list(states)
        wanted = {"states": among, "named": named, "before_id": before_id, "limit": limit}
        if schedule is None:
            return self._all(StudyRecord, "studies", **wanted)
        return self._all(StudyRecord, "studies_of_schedule", **wanted, schedule=schedule)

    def move_study(self, study_id: int, event: StudyEvent, reason: str, *, turn: int | None = None) -> StudyRecord:
        def move(connection: Session) -> StudyRecord:
            before = locked(connection, study_id, turn)
            state = moved(STUDY_TRANSITIONS, before.state, event, thing=f"study {before.name}")
            if state in CLOSED:
                ask(connection, "lock_open_trials", study=study_id)
                ask(connection, "cancel_open_trials", study=study_id, reason=reason, ended=before.counts.ended)
                ask(connection, "drop_inheritance", study=study_id)
            elif state is StudyState.PAUSED:
                ask(connection, "lock_open_trials", study=study_id)
                ask(connection, "unqueue_all", study=study_id)
            return moved_row(connection, before, state, event, reason)

        return self._db.transaction(move)

    def take_code(self, study_id: int, fingerprint: str) -> StudyRecord:
        if found := self._one(StudyRecord, "take_code", study=study_id, fingerprint=fingerprint):
            return found
        raise unknown_study(study_id, ())

    def studies_to_drive(self) -> list[int]:
        return [row["id"] for row in self._rows("studies_to_drive")]

    def device_spent(
        self, study_id: int, night: tuple[datetime, datetime] | None = None, *, runs: int = 0
    ) -> DeviceSpent:
        since, until = night or (None, None)
        return self._all(DeviceSpent, "device_spent", study=study_id, since=since, until=until, runs=runs)[0]

    def claims(self) -> list[Claim]:
        return [_claim(dict(row)) for row in self._rows("claims")]


def _claim(row: dict[str, Any]) -> Claim:
    late = deadline_of(row.pop("deadline"), row.pop("timezone"), row.pop("due_at"))
    now, asked = row.pop("now"), Resources.read(row.pop("resources"))
    return Claim(**row, resources=asked, deadline_s=None if late is None else (late - now).total_seconds())


def moved_row(
    connection: Session, before: StudyRecord, state: StudyState, event: StudyEvent, reason: str
) -> StudyRecord:
    """The study's row in its new state."""
    reopened = before.state in CLOSED and state not in CLOSED
    if reopened and before.firing_id is not None and before.stage is not None:
        _firing_again(connection, before.firing_id, before.stage, reason)
    after = ask(
        connection,
        "move_study",
        study=before.id,
        state=state,
        reason=reason,
        closed=state in CLOSED,
        resumed=reopened or event in (StudyEvent.RESUME, StudyEvent.REOPEN),
        reopened=reopened,
    )
    return record_of(StudyRecord, after[0])


def _firing_again(connection: Session, firing_id: int, stage: Stage, reason: str) -> None:
    """A firing that had ended without a promotion goes on, since its stage's study does; its verdict is void."""
    [row] = ask(connection, "lock_firing", firing=firing_id)
    state = FIRING_TRANSITIONS[FiringState(row["state"])].get(AGAIN[stage])
    if state is not None:
        ask(connection, "forget_verdict", firing=firing_id)
        ask(connection, "move_firing", firing=firing_id, state=state, reason=reason, evidence={})
