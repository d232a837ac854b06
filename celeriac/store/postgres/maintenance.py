"""What keeps the service going: leases that ran out, tickets that got lost, devices, and what may be thrown away.

Each look touches open rows only, by an index that holds no others; so a tick costs the same after five thousand trials.
"""
# ruff: noqa: S608 (statements are put together from constants of this room; values are always bound)

from collections.abc import Sequence
from datetime import datetime

from celeriac.domain.records import Checkpoint, Device, Duty, LetGo, OpenAttempt, PutAside, ReaperLook, TrialRecord
from celeriac.store.api import Pruned
from celeriac.store.connection import Database, sql
from celeriac.store.postgres.functions import call
from celeriac.store.postgres.rows import (
    CHECKPOINT,
    DEVICE,
    NEWEST_ATTEMPT,
    OPEN_ATTEMPTS,
    PUT_ASIDE_COLUMNS,
    TRIAL,
    TRIALS,
    checkpoint_record,
    device_record,
    open_attempt,
    trial_record,
)
from celeriac.store.values import json_text, plain_json, plain_text

EXPIRED = sql(f"{OPEN_ATTEMPTS} AND a.lease_until < clock_timestamp() ORDER BY a.lease_until LIMIT :limit")
LOOK = sql(
    """SELECT clock_timestamp() AS now, r.looked_at, r.before_at, r.seen_since
    FROM (SELECT 1) AS one LEFT JOIN reaper r ON r.id = 1"""
)
KEEP_LOOK = sql(
    """
    INSERT INTO reaper (id, looked_at, before_at, seen_since) VALUES (1, :looked_at, :before_at, :seen_since)
    ON CONFLICT (id) DO UPDATE SET looked_at = excluded.looked_at, before_at = excluded.before_at,
        seen_since = excluded.seen_since
    WHERE reaper.looked_at = CAST(:last AS timestamptz) RETURNING 1
    """
)
DID = sql(
    """INSERT INTO duty (name, every_s, done_at) VALUES (:name, :every_s, clock_timestamp())
    ON CONFLICT (name) DO UPDATE SET every_s = excluded.every_s, done_at = excluded.done_at RETURNING 1"""
)
DUTIES = sql(
    """SELECT name, every_s, CAST(extract(epoch FROM clock_timestamp() - done_at) AS double precision) AS ago_s
    FROM duty ORDER BY name"""
)
OPEN_ATTEMPTS_OF = sql(f"{OPEN_ATTEMPTS} AND a.worker = :worker ORDER BY a.leased_at")
OWN_ATTEMPTS = call("own_attempts")

UNCLAIMED = sql(
    f"""{TRIALS} WHERE t.state = 'QUEUED' AND t.ended_no IS NULL AND t.study_id = ANY(CAST(:studies AS bigint[]))
        AND t.queued_at < clock_timestamp() - make_interval(secs => :older_than_s)
    ORDER BY t.queued_at, t.study_id, t.number LIMIT :limit"""
)
# Locked rows are skipped: whoever holds one is moving that trial, so its ticket is not lost; and nobody waits, so
# nobody deadlocks.
TOUCH = sql(
    f"""
    WITH o AS (
        SELECT trial.study_id, trial.number FROM trial
        JOIN json_to_recordset(CAST(:trials AS json)) AS x(study_id bigint, number int)
            ON trial.study_id = x.study_id AND trial.number = x.number
        WHERE trial.state = 'QUEUED' FOR NO KEY UPDATE OF trial SKIP LOCKED
    ), t AS (
        UPDATE trial SET queued_at = clock_timestamp() FROM o
        WHERE trial.study_id = o.study_id AND trial.number = o.number RETURNING trial.*
    )
    SELECT {TRIAL} FROM t {NEWEST_ATTEMPT}
    ORDER BY t.study_id, t.number
    """
)

PUT_DEVICES = call("put_devices")
DEVICES = sql(f"SELECT {DEVICE} FROM device d ORDER BY d.host, d.uuid")
DEVICES_ALIVE = sql(
    f"""SELECT {DEVICE} FROM device d
    WHERE d.heartbeat_at >= clock_timestamp() - make_interval(secs => greatest(:alive_within_s, 4 * d.heartbeat_s))
    ORDER BY d.host, d.uuid"""
)

LET_GO = call("let_go")
PUT_ASIDE = call("put_aside")
OTHER_SLOTS = call("has_other_slots")
PUT_ASIDES = sql(
    f"SELECT {PUT_ASIDE_COLUMNS} FROM put_aside p WHERE p.until > clock_timestamp() ORDER BY p.worker, p.study_id"
)

# What a closed study left behind, but for champions' trials. Batches by row address: a DELETE has no LIMIT.
_OLD = """
    FROM {table} c JOIN study s ON s.id = c.study_id
    WHERE c.study_id = :study AND s.ended_at < :before AND NOT EXISTS (
        SELECT 1 FROM champion ch WHERE ch.study_id = c.study_id AND ch.trial = c.trial AND ch.promoted)
"""
_DROP = """
    WITH gone AS (
        DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT c.ctid {old} LIMIT :limit)) RETURNING 1
    ) SELECT count(*) AS gone FROM gone
"""
DROP_REPORTS, DROP_LOGS = (
    sql(_DROP.format(table=table, old=_OLD.format(table=table))) for table in ("report", "attempt_log")
)
OLD_CHECKPOINTS = sql(
    f"""SELECT {CHECKPOINT} {_OLD.format(table="checkpoint")}
    AND (c.trial, c.step, c.attempt) > (:trial, :step, :attempt) ORDER BY c.trial, c.step, c.attempt LIMIT :limit"""
)
NOTE_PRUNED = sql(
    "UPDATE study SET logs_pruned_at = clock_timestamp() WHERE id = :study AND ended_at < :before RETURNING 1"
)
DROP_CHECKPOINTS = sql(
    f"""
    WITH gone AS (
        DELETE FROM checkpoint WHERE ctid = ANY(ARRAY(
            SELECT c.ctid {_OLD.format(table="checkpoint")} AND c.path = ANY(CAST(:paths AS text[]))
        )) RETURNING 1
    ) SELECT count(*) AS gone FROM gone
    """
)


class Care:
    """Verbs of the reaper, the node and the housekeeping."""

    _db: Database
    _key: str

    def expired(self, limit: int = 1000) -> list[OpenAttempt]:
        """See `Store.expired`."""
        return [open_attempt(row) for row in self._db.rows(EXPIRED, limit=limit)]

    def reaper_look(self) -> tuple[datetime, ReaperLook | None]:
        """See `Store.reaper_look`."""
        row = dict(self._db.rows(LOOK)[0])
        now = row.pop("now")
        return now, ReaperLook(**row) if row["looked_at"] is not None else None

    def keep_look(self, look: ReaperLook, last: ReaperLook | None) -> bool:
        """See `Store.keep_look`."""
        kept = self._db.rows(
            KEEP_LOOK,
            looked_at=look.looked_at,
            before_at=look.before_at,
            seen_since=look.seen_since,
            last=None if last is None else last.looked_at,
        )
        return bool(kept)

    def did(self, duty: str, every_s: float) -> None:
        """See `Store.did`."""
        self._db.rows(DID, name=duty, every_s=float(every_s))

    def duties(self) -> list[Duty]:
        """See `Store.duties`."""
        return [Duty(**row) for row in self._db.rows(DUTIES)]

    def open_attempts_of(self, worker: str) -> list[OpenAttempt]:
        """See `Store.open_attempts_of`."""
        return [open_attempt(row) for row in self._db.rows(OPEN_ATTEMPTS_OF, worker=worker)]

    def own_attempts(self, worker: str) -> list[OpenAttempt]:
        """See `Store.own_attempts`."""
        return [open_attempt(row) for row in self._db.rows(OWN_ATTEMPTS, worker=worker, key=self._key)]

    def unclaimed(self, studies: Sequence[int], older_than_s: float, limit: int = 1000) -> list[TrialRecord]:
        """See `Store.unclaimed`."""
        rows = self._db.rows(UNCLAIMED, studies=list(studies), older_than_s=float(older_than_s), limit=limit)
        return [trial_record(row) for row in rows]

    def touch_queued(self, trials: Sequence[tuple[int, int]]) -> list[TrialRecord]:
        """See `Store.touch_queued`."""
        listed = [{"study_id": study_id, "number": number} for study_id, number in sorted(set(trials))]
        return [trial_record(row) for row in self._db.rows(TOUCH, trials=json_text(listed))]

    def put_devices(self, host: str, devices: Sequence[Device]) -> None:
        """See `Store.put_devices`."""
        listed = [
            {
                "uuid": each.uuid,
                "kind": each.kind,
                "memory_bytes": each.memory_bytes,
                "labels": plain_json(each.labels),
                "slots": list(each.slots),
                "fingerprint": each.fingerprint,
                "health": each.health,
                "heartbeat_s": each.heartbeat_s,
            }
            for each in devices
        ]
        uuids = [each.uuid for each in devices]
        self._db.rows(PUT_DEVICES, host=host, key=self._key, uuids=uuids, devices=json_text(listed))

    def devices(self, *, alive_within_s: float | None = None) -> list[Device]:
        """See `Store.devices`."""
        if alive_within_s is None:
            rows = self._db.rows(DEVICES)
        else:
            rows = self._db.rows(DEVICES_ALIVE, alive_within_s=float(alive_within_s))
        return [device_record(row) for row in rows]

    def let_go(self, study_id: int, numbers: Sequence[int], older_than_s: float) -> list[LetGo]:
        """See `Store.let_go`."""
        rows = self._db.rows(LET_GO, study=study_id, numbers=list(numbers), older_than_s=float(older_than_s))
        return [LetGo(**row) for row in rows]

    def put_aside(self, token: str, reason: str, for_s: float, *, study_only: bool) -> None:
        """See `Store.put_aside`."""
        self._db.rows(PUT_ASIDE, token=token, reason=plain_text(reason), for_s=float(for_s), study_only=study_only)

    def has_other_slots(self, worker: str, gpus: int, within_s: float) -> bool:
        """See `Store.has_other_slots`."""
        (row,) = self._db.rows(OTHER_SLOTS, worker=worker, gpus=gpus, within_s=float(within_s))
        return bool(row["found"])

    def put_asides(self) -> list[PutAside]:
        """See `Store.put_asides`."""
        return [PutAside(**row) for row in self._db.rows(PUT_ASIDES)]

    def prune(self, study_id: int, before: datetime, *, reports: bool, logs: bool, limit: int = 5000) -> Pruned:
        """See `Store.prune`."""
        given = {"study": study_id, "before": before, "limit": limit}
        if logs:
            self._db.rows(NOTE_PRUNED, study=study_id, before=before)
        return Pruned(
            reports=self._db.rows(DROP_REPORTS, **given)[0]["gone"] if reports else 0,
            logs=self._db.rows(DROP_LOGS, **given)[0]["gone"] if logs else 0,
        )

    def old_checkpoints(
        self, study_id: int, before: datetime, *, after: tuple[int, int, int] = (-1, -1, -1), limit: int = 500
    ) -> list[Checkpoint]:
        """See `Store.old_checkpoints`."""
        trial, step, attempt = after
        place = {"trial": trial, "step": step, "attempt": attempt}
        rows = self._db.rows(OLD_CHECKPOINTS, study=study_id, before=before, limit=limit, **place)
        return [checkpoint_record(row) for row in rows]

    def prune_checkpoints(self, study_id: int, before: datetime, checkpoints: Sequence[Checkpoint]) -> int:
        """See `Store.prune_checkpoints`."""
        paths = [each.path for each in checkpoints]
        gone: int = self._db.rows(DROP_CHECKPOINTS, study=study_id, before=before, paths=paths)[0]["gone"]
        return gone
