"""Schedules, their firings, their nights; trigger, pause, resume, remove."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from celeriac.client.champions import find_slice
from celeriac.client.schedules import YEARS, ask_replay
from celeriac.domain.errors import CallerError
from celeriac.domain.records import Delivery, Firing, FiringState, Replay, Schedule, ScheduleEdit
from celeriac.report.forms import study_form
from celeriac.report.morning import Morning, last_mornings, read_morning
from celeriac.web.answers import answer
from celeriac.web.api.arguments import Body, ScheduleName, SliceName, Why
from celeriac.web.auth.principal import Operator, Reader, Submitter
from celeriac.web.dependencies import ClientDep, StoreDep
from celeriac.web.paging import MOST, Cursor, Limit, cursor_of, not_ours, place_of, whole
from celeriac.web.schema import page_of, says
from celeriac.web.shapes import EDITED, FIRED, FIRING, FIRINGS, NEXT, REPLAY_STOPPED, SCHEDULE

router = APIRouter(tags=["schedules"])
_PATH = "/schedules/{schedule}"
_MOST_FIRINGS = 200
_Id = Annotated[int, Field(ge=1, le=2**63 - 1)]


class Fire(Why):
    """Which firing: at once, or as if a time had come. A bare date is each slice's own first time on it."""

    due_at: datetime | date | None = None
    slice: str | None = Field(None, max_length=500)
    again: bool = False


class Days(Body):
    """Past days, both included."""

    first_day: date
    last_day: date


class OneReplay(Body):
    """What was asked for, by its id."""

    replay: _Id


@router.get("/schedules", responses=says([Schedule]))
def schedules(_: Reader, store: StoreDep) -> Response:
    """All schedules, by name."""
    return answer(store.schedules())


@router.get(_PATH, responses=says(SCHEDULE))
def schedule(_: Reader, store: StoreDep, schedule: ScheduleName) -> Response:
    """One schedule, and when each of its slices is due."""
    row = store.schedule(schedule)
    return answer({"schedule": row, "dues": store.slice_dues(schedule)})


@router.get(_PATH + "/next", responses=says(NEXT))
def next_(_: Reader, client: ClientDep, schedule: ScheduleName, n: Annotated[int, Query(ge=1, le=100)] = 7) -> Response:
    """What would run at the next due times, and what is skipped and why; what is due and waits, with the reason."""
    found = client.coming(schedule, n)
    waits = [{"slice": slice_, "reason": why} for slice_, why in found.waiting]
    return answer({"coming": [each for group in found.groups for each in group], "waiting": waits, "now": found.now})


@router.get(_PATH + "/history", responses=says([ScheduleEdit]))
def history(_: Reader, client: ClientDep, schedule: ScheduleName) -> Response:
    """Who changed it, when, and what; also after it was removed."""
    return answer(client.schedule_edits(schedule))


@router.get(_PATH + "/firings", responses=says(page_of(Firing)))
def firings(
    _: Reader,
    store: StoreDep,
    schedule: ScheduleName,
    slice_: SliceName = None,
    state: Annotated[list[FiringState] | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Response:
    """Its firings, the latest due first."""
    place = place_of(cursor, str, int)
    before = None if place is None else (_moment(place[0]), place[1])
    where = None if slice_ is None else find_slice(store, schedule, slice_)
    if place is None and where is None:
        store.schedule(schedule)
    found = store.firings(schedule, slice_=where, states=state, before=before, limit=limit + 1)
    return whole(found, limit, lambda last: cursor_of(last.due_at.isoformat(), last.id))


def _moment(text: str) -> datetime:
    try:
        at: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise not_ours()
    return at


@router.get("/firings", responses=says(FIRINGS))
def firings_now(
    _: Reader, store: StoreDep, firing: Annotated[list[_Id], Query(min_length=1, max_length=_MOST_FIRINGS)]
) -> Response:
    """These firings as they are now, by id, with their stages' studies; one that is unknown is left out."""
    found = store.firings_by_id(firing)
    return answer({"firings": found, "studies": [study_form(each) for each in store.stage_studies(firing)]})


@router.get("/firings/{firing}", responses=says(FIRING))
def firing(_: Reader, store: StoreDep, firing: _Id) -> Response:
    """One firing with its stages' studies."""
    found = store.firing(firing)
    return answer({"firing": found, "studies": [study_form(each) for each in store.stage_studies([firing])]})


@router.get(_PATH + "/deliveries", responses=says([Delivery]))
def deliveries(_: Reader, store: StoreDep, schedule: ScheduleName, limit: Limit = 50) -> Response:
    """What became of its promotions and nights outside the database, newest first."""
    return answer(store.deliveries(schedule, limit=limit))


@router.get("/mornings", responses=says(page_of(Morning)))
def mornings(
    _: Reader,
    store: StoreDep,
    schedule: Annotated[str | None, Query(max_length=200)] = None,
    night: Annotated[str | None, Query(max_length=40)] = None,
    last: Annotated[int | None, Query(ge=1, le=1000)] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Response:
    """What a night changed, why, and how sure that is: the newest of each schedule, one by name, or the last few, by
    schedule and the oldest first.
    """
    names = [each.name for each in store.schedules()] if schedule is None else [schedule]
    place = place_of(cursor, str, str)
    if place is not None:
        if place[0] not in names:
            raise not_ours()
        names = names[names.index(place[0]) :]

    def found() -> Iterator[Morning]:
        for name in names:
            after = place[1] if place is not None and name == place[0] else None
            if last is not None:
                yield from last_mornings(store, name, last, after=after)
            elif after is None and (newest := read_morning(store, name, night)) is not None:
                yield newest

    return whole(found(), limit, lambda read: cursor_of(read.schedule, read.night))


@router.post(_PATH + "/fire", status_code=201, responses=says(FIRED, 201))
def fire(_: Submitter, client: ClientDep, schedule: ScheduleName, body: Fire) -> Response:
    """Open one firing's studies now; the clock's own firings are made regardless."""
    row = client.store.schedule(schedule)
    where = None if body.slice is None else find_slice(client.store, schedule, body.slice)
    at = body.due_at
    if at is not None and at.year not in YEARS:
        raise CallerError(f"due_at: {at} is not between the years {YEARS[0]} and {YEARS[-1]}")
    if isinstance(at, datetime) and at.tzinfo is None:
        at = at.replace(tzinfo=ZoneInfo(row.timezone))
    made = client.firings_of(schedule, at, slice_=where, again=body.again, reason=body.reason)
    forms = [study_form(each.record) for _, studies in made for each in studies]
    return answer({"firings": [each.id for each, _ in made], "studies": forms}, 201)


@router.get(_PATH + "/replays", responses=says([Replay]))
def replays(_: Reader, store: StoreDep, schedule: ScheduleName, limit: Limit = 50) -> Response:
    """Which past nights were asked for, newest first."""
    return answer(store.replays(schedule, limit=limit))


@router.post(_PATH + "/replays", status_code=201, responses=says(Replay, 201))
def replay(who: Operator, client: ClientDep, schedule: ScheduleName, body: Days) -> Response:
    """Have the nights of past days run that had no firing, one after the other; of the same days once."""
    return answer(ask_replay(client.store, schedule, body.first_day, body.last_day, by=who.name), 201)


@router.post(_PATH + "/replays/stop", responses=says(REPLAY_STOPPED))
def stop_replay(who: Operator, client: ClientDep, schedule: ScheduleName, body: OneReplay) -> Response:
    """Begin no more of its nights; what runs goes on."""
    known = any(each.id == body.replay for each in client.store.replays(schedule, limit=MOST))
    over = known and client.store.end_replay(body.replay, f"stopped by {who.name}")
    return answer({**body.model_dump(), "stopped": over})


def _edit(client: ClientDep, name: str, what: Literal["paused", "resumed", "removed"], reason: str) -> dict[str, Any]:
    client.edit_schedule(name, what, reason)
    return {"schedule": name, "done": what}


@router.post(_PATH + "/pause", responses=says(EDITED))
def pause(_: Submitter, client: ClientDep, schedule: ScheduleName, body: Why) -> Response:
    """Make no more firings until it is resumed."""
    return answer(_edit(client, schedule, "paused", body.reason))


@router.post(_PATH + "/resume", responses=says(EDITED))
def resume(_: Submitter, client: ClientDep, schedule: ScheduleName, body: Why) -> Response:
    """Fire again."""
    return answer(_edit(client, schedule, "resumed", body.reason))


@router.post(_PATH + "/remove", responses=says(EDITED))
def remove(_: Operator, client: ClientDep, schedule: ScheduleName, body: Why) -> Response:
    """Forget a schedule; its studies, champions and history stay."""
    return answer(_edit(client, schedule, "removed", body.reason))
