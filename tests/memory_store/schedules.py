"""Schedules, their firings and their champions."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from celeriac.domain.records import Champion, Firing, NewStudy, Schedule, StudyRecord
from celeriac.store.refusals import unknown_schedule
from celeriac.store.sanitize import plain_text
from tests.memory_store.rows import Tables, atomic, plain
from tests.memory_store.studies import opened


class Schedules(Tables):
    """Verbs on schedules, firings and champions."""

    @atomic
    def put_schedule(self, schedule: Schedule) -> Schedule:
        known = self._rows.schedules.get(schedule.name)
        kept = replace(
            schedule,
            spec=plain(schedule.spec),
            slices=tuple(plain(each) for each in schedule.slices),
            created_at=known.created_at if known else schedule.created_at,
        )
        self._rows.schedules[schedule.name] = kept
        return kept

    @atomic
    def schedule(self, name: str) -> Schedule:
        return self._named(name)

    @atomic
    def schedules(self) -> list[Schedule]:
        return [each for _, each in sorted(self._rows.schedules.items())]

    @atomic
    def drop_schedule(self, name: str) -> None:
        del self._rows.schedules[self._named(name).name]

    @atomic
    def pause_schedule(self, name: str, paused: bool) -> Schedule:
        self._rows.schedules[name] = replace(self._named(name), paused=paused)
        return self._rows.schedules[name]

    @atomic
    def due_schedules(self) -> list[Schedule]:
        now = self._rows.clock()
        due = [each for each in self._rows.schedules.values() if not each.paused and each.next_due_at <= now]
        return sorted(due, key=lambda each: (each.next_due_at, each.name))

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
    def advance_schedule(self, name: str, due_at: datetime, next_due_at: datetime) -> bool:
        known = self._rows.schedules.get(name)
        if known is None or known.next_due_at != due_at:
            return False
        self._rows.schedules[name] = replace(known, next_due_at=next_due_at)
        return True

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
        return self._rows.schedules[name]


def _key(slice_: Mapping[str, Any]) -> str:
    """A slice as something that can be compared, whatever the order of its keys."""
    return json.dumps(plain(slice_), sort_keys=True)
