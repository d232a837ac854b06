"""From rows to records. Rule: a column is named like the field it fills, so that a row says what it becomes."""

# ruff: noqa: S608 (statements are put together from constants of this room; values are always bound)

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from celeriac.domain.records import (
    Attempt,
    Champion,
    Checkpoint,
    Counts,
    Device,
    EndedTrial,
    Fault,
    Firing,
    NewStudy,
    OpenAttempt,
    Outcome,
    PendingTrial,
    PutAside,
    Report,
    RungRecord,
    Schedule,
    Source,
    StudyRecord,
    StudyState,
    TrialRecord,
    TrialState,
)
from celeriac.store.connection import Row
from celeriac.store.values import json_text, plain_text

COUNTERS = tuple(field.name for field in fields(Counts))


def _columns(record: type[Any], alias: str, *, without: tuple[str, ...] = ()) -> str:
    return ", ".join(f"{alias}.{field.name}" for field in fields(record) if field.name not in without)


STUDY = _columns(StudyRecord, "s", without=("counts",)) + "".join(f", s.{name}" for name in COUNTERS)
TRIAL_ALONE = _columns(
    TrialRecord, "t", without=("last_step", "last_value", "device_kind", "rungs", "oom_device_kinds")
)
#: A trial's row does not hold what its running attempt last reported: that would rewrite it with each report.
TRIAL = f"{TRIAL_ALONE}, a.last_step, a.last_value, coalesce(a.device_kind, '') AS device_kind"
#: A trial that has had no attempt.
TRIAL_UNTRIED = (
    f"{TRIAL_ALONE}, CAST(NULL AS bigint) AS last_step, CAST(NULL AS float8) AS last_value, '' AS device_kind"
)
#: The newest attempt of `t`, one look by key for each trial: joined plainly, Postgres may merge a page with all
#: attempts before it.
NEWEST_ATTEMPT = (
    "LEFT JOIN LATERAL (SELECT last_step, last_value, device_kind FROM attempt WHERE attempt.study_id = t.study_id AND"
    " attempt.trial = t.number AND attempt.number = t.attempts LIMIT 1) a ON true"
)
TRIALS = f"SELECT {TRIAL} FROM trial t {NEWEST_ATTEMPT}"
#: A page of trials with their rungs, likewise by key, and for those few that ran out of memory where they did.
TRIALS_WITH_PAST = f"""
    SELECT {TRIAL}, g.rungs, m.oom_device_kinds FROM trial t {NEWEST_ATTEMPT}
    LEFT JOIN LATERAL (
        SELECT json_agg(json_build_array(rung.rung, rung.value) ORDER BY rung.rung) AS rungs FROM rung
        WHERE rung.study_id = t.study_id AND rung.trial = t.number
    ) g ON true
    LEFT JOIN LATERAL (
        SELECT json_agg(DISTINCT attempt.device_kind) AS oom_device_kinds FROM attempt
        WHERE jsonb_exists(t.faults, '{Fault.OUT_OF_MEMORY}') AND attempt.fault = '{Fault.OUT_OF_MEMORY}'
            AND attempt.study_id = t.study_id AND attempt.trial = t.number
    ) m ON true
"""
ATTEMPT = _columns(Attempt, "a")
RUNG = _columns(RungRecord, "r")
CHECKPOINT = _columns(Checkpoint, "c")
DEVICE = _columns(Device, "d")
PUT_ASIDE_COLUMNS = _columns(PutAside, "p")
OPEN_ATTEMPTS = """
    SELECT a.token, a.study_id, s.name AS study, a.trial AS number, a.number AS attempt, a.worker, s.spec, t.faults,
        EXISTS (SELECT 1 FROM checkpoint c WHERE c.study_id = a.study_id AND c.trial = a.trial) AS has_checkpoint,
        coalesce((SELECT max(c.step) FILTER (WHERE c.attempt = a.number)
                > coalesce(max(c.step) FILTER (WHERE c.attempt < a.number), -1)
            FROM checkpoint c WHERE c.study_id = a.study_id AND c.trial = a.trial), false) AS has_progressed,
        a.leased_at, a.lease_s, a.lease_until
    FROM attempt a JOIN study s ON s.id = a.study_id JOIN trial t ON t.study_id = a.study_id AND t.number = a.trial
    WHERE a.ended_at IS NULL
"""
SCHEDULE = _columns(Schedule, "sc")
FIRING = _columns(Firing, "f")
CHAMPION = _columns(Champion, "ch")


def study_record(row: Row) -> StudyRecord:
    """A study, its counters gathered."""
    values = {name: value for name, value in row.items() if name not in COUNTERS}
    values["state"] = StudyState(row["state"])
    return StudyRecord(**values, counts=Counts(**{name: row[name] for name in COUNTERS}))


def trial_record(row: Row) -> TrialRecord:
    """A trial, with what its newest attempt last reported and ran on, and its rungs and shortages where they were
    read.
    """
    values = dict(row)
    values["state"] = TrialState(row["state"])
    values["source"] = Source(row["source"])
    values["fault"] = Fault(row["fault"]) if row["fault"] else None
    if "rungs" in row:
        values["rungs"] = tuple((int(rung), float(value)) for rung, value in row["rungs"] or ())
        values["oom_device_kinds"] = tuple(sorted(row["oom_device_kinds"] or ()))
    return TrialRecord(**values)


def ended_trial(values: Sequence[Any]) -> EndedTrial:
    """A trial's end, from the values of its fields as JSON gives them."""
    number, fault, signature, detail, ended_at = values
    return EndedTrial(number, Fault(fault) if fault else None, signature, detail, datetime.fromisoformat(ended_at))


def pending_trial(row: Row) -> PendingTrial:
    """A trial as a sampler sees it before its end."""
    return PendingTrial(**{**row, "source": Source(row["source"])})


def attempt_record(row: Row) -> Attempt:
    """An attempt."""
    values = dict(row)
    values["outcome"] = Outcome(row["outcome"]) if row["outcome"] else None
    values["fault"] = Fault(row["fault"]) if row["fault"] else None
    return Attempt(**values)


def open_attempt(row: Row) -> OpenAttempt:
    """An attempt that has not ended."""
    return OpenAttempt(**row)


def rung_record(row: Row) -> RungRecord:
    """A trial's record at a rung."""
    return RungRecord(**row)


def checkpoint_record(row: Row) -> Checkpoint:
    """A checkpoint."""
    return Checkpoint(**row)


def report_record(row: Row) -> Report:
    """A report, with its checkpoint if the row carries one."""
    checkpoint = None
    if row["path"] is not None:
        names = ("study_id", "trial", "attempt", "step", "path", "sha256", "size_bytes")
        checkpoint = Checkpoint(**{name: row[name] for name in names})
    return Report(step=row["step"], value=row["value"], metrics=row["metrics"], checkpoint=checkpoint, at=row["at"])


def device_record(row: Row) -> Device:
    """A device."""
    return Device(**{**row, "slots": tuple(row["slots"])})


def schedule_record(row: Row) -> Schedule:
    """A schedule."""
    return Schedule(**{**row, "slices": tuple(row["slices"])})


def firing_record(row: Row) -> Firing:
    """A firing."""
    return Firing(**row)


def champion_record(row: Row) -> Champion:
    """A verdict."""
    return Champion(**row)


NEW_STUDY_COLUMNS = "name, spec, goal, parallel, code_root, fingerprint, schedule, slice, due_at"
NEW_STUDY_VALUES = (
    ":name, CAST(:spec AS json), :goal, :parallel, :code_root, :fingerprint, :schedule, CAST(:slice AS jsonb), :due_at"
)


def new_study_values(new: NewStudy) -> dict[str, Any]:
    """The parameters of `NEW_STUDY_VALUES`."""
    return {
        "name": plain_text(new.name),
        "spec": json_text(new.spec),
        "goal": new.goal,
        "parallel": new.parallel,
        "code_root": plain_text(new.code_root),
        "fingerprint": plain_text(new.fingerprint),
        "schedule": new.schedule,
        "slice": json_text(new.slice),
        "due_at": new.due_at,
    }
