"""Schedules, their firings and their champions. Rule: the unique row is the lock, so a firing happens once however
often it is tried.
"""

# ruff: noqa: S608 (statements are put together from constants of this room; values are always bound)

from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from celeriac.domain.errors import UnknownSchedule
from celeriac.domain.records import Champion, Firing, NewStudy, Schedule, StudyRecord
from celeriac.store.connection import Database, fetch, sql
from celeriac.store.postgres.rows import (
    CHAMPION,
    FIRING,
    NEW_STUDY_COLUMNS,
    NEW_STUDY_VALUES,
    SCHEDULE,
    STUDY,
    champion_record,
    firing_record,
    new_study_values,
    schedule_record,
    study_record,
)
from celeriac.store.values import duplicate_study, json_text, plain_json, plain_text, unknown_schedule, unknown_study

PUT = sql(f"""
    INSERT INTO schedule AS sc
        (name, spec, cron, timezone, slices, code_root, fingerprint, paused, next_due_at, created_at)
    VALUES (:name, CAST(:spec AS json), :cron, :timezone, CAST(:slices AS json), :code_root, :fingerprint, :paused,
        :next_due_at, :created_at)
    ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, cron = excluded.cron, timezone = excluded.timezone,
        slices = excluded.slices, code_root = excluded.code_root, fingerprint = excluded.fingerprint,
        paused = excluded.paused, next_due_at = excluded.next_due_at
    RETURNING {SCHEDULE}
    """)
ALL = sql(f"SELECT {SCHEDULE} FROM schedule sc ORDER BY sc.name")
ONE = sql(f"SELECT {SCHEDULE} FROM schedule sc WHERE sc.name = :name")
DROP = sql("DELETE FROM schedule WHERE name = :name RETURNING name")
PAUSE = sql(f"UPDATE schedule sc SET paused = :paused WHERE name = :name RETURNING {SCHEDULE}")
DUE = sql(f"""SELECT {SCHEDULE} FROM schedule sc WHERE NOT sc.paused AND sc.next_due_at <= clock_timestamp()
    ORDER BY sc.next_due_at, sc.name""")
ADVANCE = sql(
    "UPDATE schedule SET next_due_at = :next_due_at WHERE name = :name AND next_due_at = :due_at RETURNING name"
)

# The firing's row comes first and holds the key; the study takes the id that the firing already names.
FIRE = sql(f"""
    WITH f AS (
        INSERT INTO firing (schedule, slice, due_at, by_hand, note, study_id)
        VALUES (:schedule, CAST(:slice AS jsonb), :due_at, :by_hand, :note,
            nextval(pg_get_serial_sequence('study', 'id')))
        ON CONFLICT (schedule, slice, due_at, by_hand) DO NOTHING RETURNING study_id
    )
    INSERT INTO study AS s (id, {NEW_STUDY_COLUMNS})
    SELECT f.study_id, {NEW_STUDY_VALUES} FROM f RETURNING {STUDY}
    """)
FIRINGS = sql(f"""SELECT {FIRING} FROM firing f WHERE f.schedule = :schedule
    ORDER BY f.due_at DESC, f.study_id DESC LIMIT :limit""")

JUDGE = sql(f"""
    INSERT INTO champion AS ch
        (study_id, schedule, slice, study, trial, params, score, default_score, metrics, promoted, reason)
    VALUES (:study_id, :schedule, CAST(:slice AS jsonb), :study, :trial, CAST(:params AS json), :score, :default_score,
        CAST(:metrics AS json), :promoted, :reason)
    ON CONFLICT (study_id) DO NOTHING RETURNING {CHAMPION}
    """)
JUDGED = sql(f"SELECT {CHAMPION} FROM champion ch WHERE ch.study_id = :study_id")
UNJUDGED = sql("""SELECT s.id FROM study s WHERE s.schedule IS NOT NULL AND s.ended_at IS NOT NULL
        AND s.ended_at > clock_timestamp() - make_interval(secs => :within_s)
        AND NOT EXISTS (SELECT 1 FROM champion ch WHERE ch.study_id = s.id)
    ORDER BY s.id""")
CHAMPIONS = sql(f"""SELECT DISTINCT ON (ch.schedule, ch.slice) {CHAMPION} FROM champion ch
    WHERE ch.promoted AND (CAST(:schedule AS text) IS NULL OR ch.schedule = :schedule)
    ORDER BY ch.schedule, ch.slice, ch.id DESC""")
VERDICTS = sql(f"SELECT {CHAMPION} FROM champion ch WHERE ch.schedule = :schedule ORDER BY ch.id DESC LIMIT :limit")


class Schedules:
    """Verbs on schedules, firings and champions."""

    _db: Database

    def put_schedule(self, schedule: Schedule) -> Schedule:
        """See `Store.put_schedule`."""
        values = {
            "name": plain_text(schedule.name),
            "spec": json_text(schedule.spec),
            "cron": schedule.cron,
            "timezone": schedule.timezone,
            "slices": json_text(schedule.slices),
            "code_root": plain_text(schedule.code_root),
            "fingerprint": plain_text(schedule.fingerprint),
            "paused": schedule.paused,
            "next_due_at": schedule.next_due_at,
            "created_at": schedule.created_at,
        }
        return schedule_record(self._db.rows(PUT, **values)[0])

    def schedule(self, name: str) -> Schedule:
        """See `Store.schedule`."""
        row = self._db.row(ONE, name=name)
        if row is None:
            raise self._unknown(name)
        return schedule_record(row)

    def schedules(self) -> list[Schedule]:
        """See `Store.schedules`."""
        return [schedule_record(row) for row in self._db.rows(ALL)]

    def drop_schedule(self, name: str) -> None:
        """See `Store.drop_schedule`."""
        if not self._db.once(DROP, name=name):
            raise self._unknown(name)

    def pause_schedule(self, name: str, paused: bool) -> Schedule:
        """See `Store.pause_schedule`."""
        row = self._db.row(PAUSE, name=name, paused=paused)
        if row is None:
            raise self._unknown(name)
        return schedule_record(row)

    def due_schedules(self) -> list[Schedule]:
        """See `Store.due_schedules`."""
        return [schedule_record(row) for row in self._db.rows(DUE)]

    def fire(self, due_at: datetime, new: NewStudy, *, by_hand: int = 0, note: str = "") -> StudyRecord | None:
        """See `Store.fire`."""
        given = {"due_at": due_at, "by_hand": by_hand, "note": plain_text(note)}
        values = {**new_study_values(new), **given}

        def open_study(connection: Connection) -> StudyRecord | None:
            try:
                opened = fetch(connection, FIRE, **values)
            except IntegrityError as error:
                raise duplicate_study(new.name) from error
            return study_record(opened[0]) if opened else None

        return self._db.transaction(open_study)

    def advance_schedule(self, name: str, due_at: datetime, next_due_at: datetime) -> bool:
        """See `Store.advance_schedule`."""
        return bool(self._db.once(ADVANCE, name=name, due_at=due_at, next_due_at=next_due_at))

    def firings(self, schedule: str, *, limit: int = 50) -> list[Firing]:
        """See `Store.firings`."""
        return [firing_record(row) for row in self._db.rows(FIRINGS, schedule=schedule, limit=limit)]

    def record_champion(self, champion: Champion) -> Champion:
        """See `Store.record_champion`."""
        try:
            made = self._db.rows(JUDGE, **_verdict(champion))
        except IntegrityError as error:
            raise unknown_study(champion.study_id, ()) from error
        return champion_record(made[0] if made else self._db.rows(JUDGED, study_id=champion.study_id)[0])

    def unjudged(self, within_s: float) -> list[int]:
        """See `Store.unjudged`."""
        return [row["id"] for row in self._db.rows(UNJUDGED, within_s=float(within_s))]

    def champions(self, schedule: str | None = None) -> list[Champion]:
        """See `Store.champions`."""
        return [champion_record(row) for row in self._db.rows(CHAMPIONS, schedule=schedule)]

    def verdicts(self, schedule: str, *, limit: int = 200) -> list[Champion]:
        """See `Store.verdicts`."""
        return [champion_record(row) for row in self._db.rows(VERDICTS, schedule=schedule, limit=limit)]

    def _unknown(self, name: str) -> UnknownSchedule:
        return unknown_schedule(name, (each.name for each in self.schedules()))


def _verdict(champion: Champion) -> dict[str, Any]:
    return {
        "study_id": champion.study_id,
        "schedule": champion.schedule,
        "slice": json_text(champion.slice),
        "study": champion.study,
        "trial": champion.trial,
        "params": json_text(plain_json(champion.params)),
        "score": champion.score,
        "default_score": champion.default_score,
        "metrics": json_text(champion.metrics),
        "promoted": champion.promoted,
        "reason": plain_text(champion.reason),
    }
