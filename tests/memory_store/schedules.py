"""Schedules."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime

from celeriac.domain.records import Replay, Schedule, ScheduleEdit, SliceDue
from celeriac.store.dues import all_dues, slice_key
from celeriac.store.refusals import another_replay, unknown_schedule
from celeriac.store.sanitize import plain_text
from tests.memory_store.rows import Tables, atomic, plain


class Schedules(Tables):
    """Verbs on schedules."""

    @atomic
    def put_schedule(
        self, schedule: Schedule, dues: Sequence[SliceDue] = (), *, edit: ScheduleEdit | None = None
    ) -> Schedule:
        known = self._rows.schedules.get(schedule.name)
        kept = replace(
            schedule,
            spec=plain(schedule.spec),
            slices=tuple(plain(each) for each in schedule.slices),
            created_at=known.created_at if known else schedule.created_at,
        )
        self._rows.schedules[schedule.name] = kept
        rows = [
            replace(each, schedule=kept.name, slice=plain(each.slice), note=plain_text(each.note))
            for each in all_dues(kept, dues)
        ]
        self._rows.slice_dues[schedule.name] = {slice_key(each.slice): each for each in rows}
        self._keep(edit)
        return self._named(schedule.name)

    @atomic
    def schedule(self, name: str) -> Schedule:
        return self._named(name)

    @atomic
    def schedules(self) -> list[Schedule]:
        return [self._named(name) for name in sorted(self._rows.schedules)]

    @atomic
    def drop_schedule(self, name: str, *, edit: ScheduleEdit | None = None) -> None:
        del self._rows.schedules[self._named(name).name]
        del self._rows.slice_dues[name]
        self._keep(edit)

    @atomic
    def pause_schedule(self, name: str, paused: bool, *, edit: ScheduleEdit | None = None) -> Schedule:
        self._rows.schedules[name] = replace(self._named(name), paused=paused)
        self._keep(edit)
        return self._named(name)

    @atomic
    def schedule_edits(self, schedule: str, *, limit: int = 50) -> list[ScheduleEdit]:
        found = [each for each in self._rows.schedule_edits if each.schedule == schedule]
        return found[::-1][:limit]

    @atomic
    def ask_replay(self, schedule: str, first_day: date, last_day: date, who: str) -> Replay:
        for each in self.open_replays():
            if each.schedule == schedule:
                if (each.first_day, each.last_day) != (first_day, last_day):
                    raise another_replay(each)
                return each
        made = Replay(self._rows.next_id("replay"), schedule, first_day, last_day, who, self._rows.clock())
        self._rows.replays[made.id] = made
        return made

    @atomic
    def replays(self, schedule: str, *, limit: int = 10) -> list[Replay]:
        return [each for each in self._rows.replays.values() if each.schedule == schedule][::-1][:limit]

    @atomic
    def open_replays(self) -> list[Replay]:
        return [each for each in self._rows.replays.values() if each.is_open]

    @atomic
    def end_replay(self, replay_id: int, reason: str) -> bool:
        found = self._rows.replays.get(replay_id)
        if found is None or not found.is_open:
            return False
        self._rows.replays[replay_id] = replace(found, ended_at=self._rows.clock(), reason=plain_text(reason))
        return True

    @atomic
    def due_schedules(self) -> list[Schedule]:
        now = self._rows.clock()
        due = [each for each in self.schedules() if not each.paused and each.next_due_at <= now]
        return sorted(due, key=lambda each: (each.next_due_at, each.name))

    @atomic
    def slice_dues(self, schedule: str) -> list[SliceDue]:
        found = self._rows.slice_dues.get(schedule, {})
        return sorted(found.values(), key=lambda each: each.next_due_at)

    @atomic
    def advance_slice(self, due: SliceDue, next_due_at: datetime, *, note: str = "") -> bool:
        rows, key = self._rows.slice_dues.get(due.schedule, {}), slice_key(plain(due.slice))
        if key not in rows or rows[key].next_due_at != due.next_due_at:
            return False
        rows[key] = replace(rows[key], next_due_at=next_due_at, note=plain_text(note))
        return True

    def _named(self, name: str) -> Schedule:
        if name not in self._rows.schedules:
            raise unknown_schedule(name, self._rows.schedules)
        first = min(each.next_due_at for each in self._rows.slice_dues[name].values())
        return replace(self._rows.schedules[name], next_due_at=first)

    def _keep(self, edit: ScheduleEdit | None) -> None:
        if edit is not None:
            kept = replace(edit, reason=plain_text(edit.reason), at=self._rows.clock())
            self._rows.schedule_edits.append(kept)
