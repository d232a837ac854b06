"""What the client does with schedules: puts one into force with its edit noted, and fires one now."""

import os
import pwd
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from celeriac.client.objective import moved_code
from celeriac.decide.calendar import calendar_of, dues_of, plan_of
from celeriac.decide.due import due_slice
from celeriac.decide.firing import firing_of, next_by_hand
from celeriac.decide.replay import MOST_DAYS
from celeriac.domain.errors import CallerError, DuplicateStudy, UnknownSchedule
from celeriac.domain.records import Firing, NewStudy, Replay, Schedule, ScheduleEdit, SliceDue
from celeriac.domain.study_file import ScheduleSpec, StudySpec, difference, parse
from celeriac.store import Store
from celeriac.store.dues import slice_key
from celeriac.store.firing import fire

#: A due time further away is a slip, and beyond these years not every zone and every database has one.
YEARS = range(1970, 2201)
#: Firings among which those by hand are counted; behind more, a number that is taken is passed over.
_RECENT_FIRINGS = 2000


def who() -> str:
    """Whom an edit is put down to: the user of this process, at this host."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def put(
    store: Store, new: NewStudy, read: StudySpec, plan: ScheduleSpec, *, replace_it: bool, by: str, reason: str = ""
) -> Schedule:
    """Put a schedule into force, with its edit, or note that its code is another. What is due already is still made.

    Raises DuplicateStudy when another of that name exists and `replace_it` is not given.
    """
    now = store.now()
    try:
        old: Schedule | None = store.schedule(plan.name)
    except UnknownSchedule:
        old = None
    row = Schedule(
        name=plan.name,
        spec=new.spec,
        cron=plan.cron,
        timezone=plan.timezone,
        slices=tuple(plan.combinations()),
        code_root=new.code_root,
        fingerprint=new.fingerprint,
        paused=old is not None and old.paused,
        next_due_at=now,
        created_at=now,
    )
    if old is None:
        return store.put_schedule(row, dues_of(row, now), edit=ScheduleEdit(row.name, by, "added", (), reason))
    differs = difference(parse(old.spec), read) + moved_code(old.code_root, row.code_root)
    if differs and not replace_it:
        raise DuplicateStudy(
            f"schedule {old.name} exists with another spec: give `--replace` to put this one in its place",
            difference=differs,
        )
    if old.fingerprint != row.fingerprint:
        differs.append(f"code: {old.fingerprint} -> {row.fingerprint}")
    if not differs:
        return old
    dues = dues_of(row, now, old, store.slice_dues(old.name))
    return store.put_schedule(row, dues, edit=ScheduleEdit(row.name, by, "replaced", tuple(differs), reason))


def fire_now(
    store: Store,
    name: str,
    due_at: datetime | date | None,
    *,
    slice_: Mapping[str, Any] | None = None,
    again: bool = False,
    reason: str = "",
    by: str,
) -> list[Firing]:
    """Make one firing of each slice, or of one, as if `due_at` had come; a date is each slice's own first time on it.

    Of slices with times of their own, those have their own firing for a past time that are due at it; where none is,
    all are fired by hand. `again`: by hand also where the slice had its own firing for that time. What is fired by hand
    or for a reason notes who asked for it (`by`). Raises UnknownSchedule.
    """
    row, now = store.schedule(name), store.now()
    calendar, next_at = calendar_of(row), {slice_key(each.slice): each.next_due_at for each in store.slice_dues(name)}
    moments, own = {}, set()
    slices = (row.slices or ({},)) if slice_ is None else (slice_,)
    for each in slices:
        plan, key = plan_of(calendar, each), slice_key(each)
        if due_at is None:
            moments[key] = now.replace(microsecond=0)
        elif isinstance(due_at, datetime):
            moments[key] = due_at.astimezone(UTC)
        else:
            moments[key] = plan.first_on(datetime(due_at.year, due_at.month, due_at.day, tzinfo=UTC)).astimezone(UTC)
        if due_at is not None and not again and plan.is_past_due_time(moments[key], now, next_at.get(key, now)):
            own.add(key)
    made = []
    recent = [] if own else store.firings(name, limit=_RECENT_FIRINGS)
    note = "" if own and not reason else _asked_by(by, reason)
    for each in slices:
        at, key = moments[slice_key(each)], slice_key(each)
        if own and key not in own:
            continue
        by_hand = 0 if own else next_by_hand(row, at, recent)
        made.append(fire(store, at, firing_of(row, plan_of(calendar, each), each, at, by_hand=by_hand, note=note)))
    return [each for each in made if each is not None]


def _asked_by(who: str, reason: str) -> str:
    """What a firing keeps of who asked for it, and why; when, its row says."""
    return f"asked for by {who}" + (f": {reason}" if reason else "")


def ask_replay(store: Store, name: str, first_day: date, last_day: date, *, by: str) -> Replay:
    """Have the past nights of these days run, both included, those that had no firing: the coordinator begins them one
    after the other, whoever looks on.

    Raises UnknownSchedule, CallerError for days in the wrong order or too many, and IllegalTransition while other
    nights of that schedule are asked for.
    """
    if first_day > last_day:
        raise CallerError(f"{last_day} lies before {first_day}: name the first day first")
    if (last_day - first_day).days >= MOST_DAYS or first_day.year not in YEARS:
        raise CallerError(f"{first_day} to {last_day} are more than {MOST_DAYS} days, or before {YEARS[0]}")
    return store.ask_replay(store.schedule(name).name, first_day, last_day, by)


def waiting_of(
    store: Store, row: Schedule, dues: Sequence[SliceDue], now: datetime
) -> list[tuple[Mapping[str, Any], str]]:
    """The slices whose due time has come and that have not begun, each with the reason: for what they wait."""
    calendar, late = calendar_of(row), [each for each in dues if each.next_due_at <= now]
    minded = store.firings_to_mind(row.name, late[0].next_due_at) if late else []
    return [(each.slice, due_slice(plan_of(calendar, each.slice), each, now, minded).reason) for each in late]
