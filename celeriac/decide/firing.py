"""What does a firing open? One study a slice, named after schedule, slice and due time, so that the name alone says which night it was."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from celeriac.records import NewStudy, Schedule
from celeriac.spec import parse


def studies_of(schedule: Schedule, due_at: datetime) -> list[NewStudy]:
    """The studies of one firing, one a slice. Raises SpecInvalid when this version cannot read the schedule's spec."""
    return [new_study(schedule, each, due_at) for each in schedule.slices or ({},)]


def new_study(schedule: Schedule, slice_: Mapping[str, Any], due_at: datetime) -> NewStudy:
    """The study of one slice's firing. Raises SpecInvalid when this version cannot read the schedule's spec."""
    spec = parse(schedule.spec, f"schedule {schedule.name}")
    return NewStudy(
        name=firing_name(schedule, slice_, due_at),
        spec=schedule.spec,
        goal=spec.metric.goal,
        parallel=spec.parallel,
        code_root=schedule.code_root,
        fingerprint=schedule.fingerprint,
        schedule=schedule.name,
        slice=slice_,
        due_at=due_at,
    )


def firing_name(schedule: Schedule, slice_: Mapping[str, Any], due_at: datetime) -> str:
    """`flights/airport=JFK/2026-11-24`: the local date, with the time where the schedule may fire more than once a day."""
    parts = [schedule.name]
    if slice_:
        parts.append(",".join(f"{key}={value}" for key, value in slice_.items()))
    local = due_at.astimezone(ZoneInfo(schedule.timezone))
    minute, hour = schedule.cron.split()[:2]
    once_a_day = minute.isdigit() and hour.isdigit()
    parts.append(f"{local:%Y-%m-%d}" if once_a_day else f"{local:%Y-%m-%dT%H:%M}{_which_pass(local)}")
    return "/".join(parts)


def _which_pass(local: datetime) -> str:
    """Of an hour that the clocks repeat, the second pass is named apart."""
    return "-again" if local.fold and local.replace(fold=0).utcoffset() != local.utcoffset() else ""
