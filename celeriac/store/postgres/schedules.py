"""Schedules, their firings and their champions. Rule: the unique row is the lock, so a firing happens once however
often it is tried.
"""

from datetime import datetime

import psycopg

from celeriac.domain.errors import UnknownSchedule
from celeriac.domain.records import Champion, Firing, NewStudy, Schedule, StudyRecord
from celeriac.store.postgres.records import record_of, values_of
from celeriac.store.postgres.statements import statement
from celeriac.store.postgres.verbs import Verbs
from celeriac.store.refusals import duplicate_study, unknown_schedule, unknown_study


class Schedules(Verbs):
    """Verbs on schedules, firings and champions."""

    def put_schedule(self, schedule: Schedule) -> Schedule:
        return self._all(Schedule, "put_schedule", **values_of(schedule))[0]

    def schedule(self, name: str) -> Schedule:
        if found := self._one(Schedule, "schedule", name=name):
            return found
        raise self._unknown(name)

    def schedules(self) -> list[Schedule]:
        return self._all(Schedule, "schedules")

    def drop_schedule(self, name: str) -> None:
        if not self._db.once(statement("drop_schedule"), name=name):
            raise self._unknown(name)

    def pause_schedule(self, name: str, paused: bool) -> Schedule:
        if found := self._one(Schedule, "pause_schedule", name=name, paused=paused):
            return found
        raise self._unknown(name)

    def due_schedules(self) -> list[Schedule]:
        return self._all(Schedule, "due_schedules")

    def fire(self, due_at: datetime, new: NewStudy, *, by_hand: int = 0, note: str = "") -> StudyRecord | None:
        given = values_of(new) | {"due_at": due_at, "by_hand": by_hand, "note": note}
        try:
            opened = self._db.once(statement("fire"), **given)
        except psycopg.IntegrityError as error:
            raise duplicate_study(new.name) from error
        return record_of(StudyRecord, opened[0]) if opened else None

    def advance_schedule(self, name: str, due_at: datetime, next_due_at: datetime) -> bool:
        advanced = self._db.once(statement("advance_schedule"), name=name, due_at=due_at, next_due_at=next_due_at)
        return bool(advanced)

    def firings(self, schedule: str, *, limit: int = 50) -> list[Firing]:
        return self._all(Firing, "firings", schedule=schedule, limit=limit)

    def record_champion(self, champion: Champion) -> Champion:
        try:
            made = self._one(Champion, "record_champion", **values_of(champion))
        except psycopg.IntegrityError as error:
            raise unknown_study(champion.study_id, ()) from error
        return made or self._all(Champion, "verdict", study_id=champion.study_id)[0]

    def unjudged(self, within_s: float) -> list[int]:
        return [row["id"] for row in self._rows("unjudged", within_s=within_s)]

    def champions(self, schedule: str | None = None) -> list[Champion]:
        return self._all(Champion, "champions", schedule=schedule)

    def verdicts(self, schedule: str, *, limit: int = 200) -> list[Champion]:
        return self._all(Champion, "verdicts", schedule=schedule, limit=limit)

    def _unknown(self, name: str) -> UnknownSchedule:
        return unknown_schedule(name, (each.name for each in self.schedules()))
