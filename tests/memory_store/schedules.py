"""Schedules, their firings and their champions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from celeriac.domain.records import (
    Champion,
    Firing,
    FiringOpen,
    NewStudy,
    Schedule,
    ScheduleEdit,
    SliceDue,
    StudyRecord,
)
from celeriac.store.dues import all_dues, slice_key
from celeriac.store.refusals import unknown_schedule
from celeriac.store.sanitize import plain_text
from tests.memory_store.rows import Tables, atomic, plain
from tests.memory_store.studies import opened


class Schedules(Tables):
    """Verbs on schedules, firings and champions."""

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
    def due_schedules(self) -> list[Schedule]:
        now = self._rows.clock()
        due = [each for each in self.schedules() if not each.paused and each.next_due_at <= now]
        return sorted(due, key=lambda each: (each.next_due_at, each.name))

    @atomic
    def slice_dues(self, schedule: str) -> list[SliceDue]:
        found = self._rows.slice_dues.get(schedule, {})
        return sorted(found.values(), key=lambda each: each.next_due_at)

    @atomic
    def fire(self, due_at: datetime, new: NewStudy, *, by_hand: int = 0, note: str = "") -> StudyRecord | None:
        fired = (new.schedule, _key(new.slice), due_at, by_hand)
        for each in self._rows.firings:
            if (each.schedule, _key(each.slice), each.due_at, each.by_hand) == fired:
                return None
        study = opened(self._rows, replace(new, due_at=due_at))
        self._rows.firings.append(
            Firing(
                schedule=new.schedule or "",
                slice=study.slice,
                due_at=due_at,
                study_id=study.id,
                fired_at=self._rows.clock(),
                by_hand=by_hand,
                note=plain_text(note),
            )
        )
        return study

    @atomic
    def advance_slice(self, due: SliceDue, next_due_at: datetime, *, note: str = "") -> bool:
        rows, key = self._rows.slice_dues.get(due.schedule, {}), slice_key(plain(due.slice))
        if key not in rows or rows[key].next_due_at != due.next_due_at:
            return False
        rows[key] = replace(rows[key], next_due_at=next_due_at, note=plain_text(note))
        return True

    @atomic
    def firings_to_mind(self, schedule: str, since: datetime) -> list[FiringOpen]:
        own = [each for each in self._rows.firings if each.schedule == schedule and not each.by_hand]
        found = []
        for each in sorted(own, key=lambda each: (each.due_at, each.study_id)):
            study = self._rows.studies[each.study_id]
            if each.due_at >= since or study.ended_at is None:
                found.append(FiringOpen(each.slice, each.due_at, study.id, study.name, study.ended_at is None))
        return found

    @atomic
    def firings(self, schedule: str, *, limit: int = 50) -> list[Firing]:
        found = [each for each in self._rows.firings if each.schedule == schedule]
        return sorted(found, key=lambda each: (each.due_at, each.study_id), reverse=True)[:limit]

    @atomic
    def record_champion(self, champion: Champion) -> Champion:
        self._rows.study(champion.study_id)
        kept = replace(
            champion,
            slice=plain(champion.slice),
            params=plain(champion.params),
            metrics=plain(champion.metrics),
            reason=plain_text(champion.reason),
            decided_at=self._rows.clock(),
        )
        return self._rows.verdicts.setdefault(champion.study_id, kept)

    @atomic
    def unjudged(self, within_s: float) -> list[int]:
        since = self._rows.clock() - timedelta(seconds=within_s)
        return sorted(
            study.id
            for study in self._rows.studies.values()
            if study.schedule is not None
            and study.ended_at is not None
            and study.ended_at > since
            and study.id not in self._rows.verdicts
        )

    @atomic
    def champions(self, schedule: str | None = None) -> list[Champion]:
        newest: dict[tuple[str, str], Champion] = {}
        for each in self._rows.verdicts.values():
            if each.promoted and schedule in (None, each.schedule):
                newest[each.schedule, _key(each.slice)] = each
        return [each for _, each in sorted(newest.items())]

    @atomic
    def verdicts(self, schedule: str, *, limit: int = 200) -> list[Champion]:
        found = [each for each in self._rows.verdicts.values() if each.schedule == schedule]
        return found[::-1][:limit]

    def _named(self, name: str) -> Schedule:
        if name not in self._rows.schedules:
            raise unknown_schedule(name, self._rows.schedules)
        first = min(each.next_due_at for each in self._rows.slice_dues[name].values())
        return replace(self._rows.schedules[name], next_due_at=first)

    def _keep(self, edit: ScheduleEdit | None) -> None:
        if edit is not None:
            kept = replace(edit, reason=plain_text(edit.reason), at=self._rows.clock())
            self._rows.schedule_edits.append(kept)


def _key(slice_: Mapping[str, Any]) -> str:
    """A slice as something that can be compared, whatever the order of its keys."""
    return json.dumps(plain(slice_), sort_keys=True)
