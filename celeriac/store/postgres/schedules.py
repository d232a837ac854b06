"""Schedules."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from celeriac.domain.errors import UnknownSchedule
from celeriac.domain.records import Replay, Schedule, ScheduleEdit, SliceDue
from celeriac.store.connection import Row, Session
from celeriac.store.dues import all_dues
from celeriac.store.postgres.records import record_of, values_of
from celeriac.store.postgres.statements import statement
from celeriac.store.postgres.verbs import Verbs, ask
from celeriac.store.refusals import another_replay, unknown_schedule


class Schedules(Verbs):
    """Verbs on schedules."""

    def put_schedule(
        self, schedule: Schedule, dues: Sequence[SliceDue] = (), *, edit: ScheduleEdit | None = None
    ) -> Schedule:
        rows = tuple(
            {"slice": each.slice, "next_due_at": each.next_due_at.isoformat(), "note": each.note}
            for each in all_dues(schedule, dues)
        )

        def put(connection: Session) -> Schedule:
            ask(connection, "put_schedule", **values_of(schedule))
            ask(connection, "put_slices", name=schedule.name, dues=rows)
            _keep(connection, edit)
            return record_of(Schedule, ask(connection, "schedule", name=schedule.name)[0])

        return self._db.transaction(put)

    def schedule(self, name: str) -> Schedule:
        if found := self._one(Schedule, "schedule", name=name):
            return found
        raise self._unknown(name)

    def schedules(self) -> list[Schedule]:
        return self._all(Schedule, "schedules")

    def drop_schedule(self, name: str, *, edit: ScheduleEdit | None = None) -> None:
        self._edited("drop_schedule", edit, name=name)

    def pause_schedule(self, name: str, paused: bool, *, edit: ScheduleEdit | None = None) -> Schedule:
        return record_of(Schedule, self._edited("pause_schedule", edit, name=name, paused=paused))

    def _edited(self, change: str, edit: ScheduleEdit | None, /, **given: Any) -> Row:
        """What the change of one schedule returns, its edit kept in the same transaction."""

        def make(connection: Session) -> Row | None:
            changed = ask(connection, change, **given)
            if changed:
                _keep(connection, edit)
            return changed[0] if changed else None

        made = self._db.transaction(make)
        if made is None:
            raise self._unknown(given["name"])
        return made

    def schedule_edits(self, schedule: str, *, limit: int = 50) -> list[ScheduleEdit]:
        return self._all(ScheduleEdit, "schedule_edits", schedule=schedule, limit=limit)

    def ask_replay(self, schedule: str, first_day: date, last_day: date, who: str) -> Replay:
        days = {"first_day": first_day, "last_day": last_day}
        while True:
            if made := self._one(Replay, "ask_replay", schedule=schedule, **days, who=who):
                return made
            if found := next((each for each in self.open_replays() if each.schedule == schedule), None):
                if (found.first_day, found.last_day) == (first_day, last_day):
                    return found
                raise another_replay(found)

    def replays(self, schedule: str, *, limit: int = 10) -> list[Replay]:
        return self._all(Replay, "replays", schedule=schedule, limit=limit)

    def open_replays(self) -> list[Replay]:
        return self._all(Replay, "open_replays")

    def end_replay(self, replay_id: int, reason: str) -> bool:
        return bool(self._db.once(statement("end_replay"), replay=replay_id, reason=reason))

    def due_schedules(self) -> list[Schedule]:
        return self._all(Schedule, "due_schedules")

    def slice_dues(self, schedule: str) -> list[SliceDue]:
        return self._all(SliceDue, "slice_dues", schedule=schedule)

    def advance_slice(self, due: SliceDue, next_due_at: datetime, *, note: str = "") -> bool:
        given = {"schedule": due.schedule, "slice": due.slice, "due_at": due.next_due_at, "next_due_at": next_due_at}
        return bool(self._db.once(statement("advance_slice"), **given, note=note))

    def _unknown(self, name: str) -> UnknownSchedule:
        return unknown_schedule(name, (each.name for each in self.schedules()))


def _keep(connection: Session, edit: ScheduleEdit | None) -> None:
    if edit is not None:
        ask(connection, "note_edit", **{name: value for name, value in values_of(edit).items() if name != "at"})
