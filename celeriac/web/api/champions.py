"""Champions: who they are and on what evidence, and what a person decides about them."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import FileResponse, Response

from celeriac.client.champions import find_slice
from celeriac.client.models import champion_model
from celeriac.domain.errors import CallerError
from celeriac.domain.records import Champion
from celeriac.web.answers import answer
from celeriac.web.api.arguments import ScheduleName, SliceName, Why
from celeriac.web.api.models import A_FILE, sent
from celeriac.web.auth.principal import Operator, Reader
from celeriac.web.dependencies import ClientDep, StoreDep
from celeriac.web.paging import Cursor, Limit, cursor_of, place_of, whole
from celeriac.web.schema import page_of, says
from celeriac.web.shapes import STANDING

router = APIRouter(tags=["champions"])
_PATH = "/schedules/{schedule}"
_VERDICT, _VERDICTS = says(Champion), says(page_of(Champion))
#: The reason of a verdict to which none was given.
_UNSAID = "over the API"


class OfSlice(Why):
    """Which slice; needed where there are several."""

    slice: str | None = Field(None, max_length=500)


class Back(OfSlice):
    """To which earlier champion; without it the one before."""

    to: int | None = Field(None, ge=1, le=2**63 - 1)


class ByHand(OfSlice):
    """A scored trial of a schedule's study."""

    study: str = Field(min_length=1, max_length=200)
    trial: int = Field(ge=0, le=2**31 - 1)


@router.get("/champions", responses=_VERDICTS)
def champions(
    _: Reader,
    store: StoreDep,
    schedule: Annotated[str | None, Query(max_length=200)] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Response:
    """The champion of each slice, by schedule and slice."""
    place = place_of(cursor, int)
    found = store.champions_page(schedule, after_id=place[0] if place else None, limit=limit + 1)
    return whole(found, limit, lambda last: cursor_of(last.id))


@router.get(_PATH + "/verdicts", responses=_VERDICTS)
def verdicts(
    _: Reader,
    store: StoreDep,
    schedule: ScheduleName,
    slice_: SliceName = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Response:
    """Every verdict, a night's and a person's, newest first."""
    where = None if slice_ is None else find_slice(store, schedule, slice_)
    place = place_of(cursor, int)
    if place is None and where is None:
        store.schedule(schedule)
    found = store.verdicts(schedule, slice_=where, before_id=place[0] if place else None, limit=limit + 1)
    return whole(found, limit, lambda last: cursor_of(last.id))


@router.get(_PATH + "/champion", responses=says(STANDING))
def champion(_: Reader, client: ClientDep, schedule: ScheduleName, slice_: SliceName = None) -> Response:
    """One slice's champion (null: none yet), what waits for approval, and what became of its promotion."""
    return answer(client.standing(schedule, slice_))


@router.get(_PATH + "/model", response_class=FileResponse, responses=A_FILE)
def model(_: Reader, client: ClientDep, schedule: ScheduleName, slice_: SliceName = None) -> Response:
    """The published model of one slice's champion."""
    where = find_slice(client.store, schedule, slice_)
    return sent(lambda path: champion_model(client.settings, schedule, where, path), f"{schedule}.model")


@router.post(_PATH + "/approve", responses=_VERDICT)
def approve(_: Operator, client: ClientDep, schedule: ScheduleName, body: OfSlice) -> Response:
    """Make what waits for approval the champion."""
    return answer(client.approve(schedule, body.slice, body.reason or _UNSAID))


@router.post(_PATH + "/reject", responses=_VERDICT)
def reject(_: Operator, client: ClientDep, schedule: ScheduleName, body: OfSlice) -> Response:
    """Say no to what waits for approval; the champion stays."""
    return answer(client.reject(schedule, body.slice, body.reason or _UNSAID))


@router.post(_PATH + "/rollback", responses=_VERDICT)
def rollback(_: Operator, client: ClientDep, schedule: ScheduleName, body: Back) -> Response:
    """Put the champion before this one in its place again, or an earlier one."""
    return answer(client.roll_back(schedule, body.slice, body.reason or _UNSAID, body.to))


@router.post(_PATH + "/promote", responses=_VERDICT)
def promote(_: Operator, client: ClientDep, schedule: ScheduleName, body: ByHand) -> Response:
    """Make a scored trial the champion of its slice, or of another, by hand."""
    found = client.study(body.study).record
    if found.schedule != schedule:
        raise CallerError(f"study {body.study} is of {found.schedule or 'no schedule'}, not of {schedule}")
    return answer(client.promote(body.study, body.trial, body.slice, body.reason or _UNSAID))
