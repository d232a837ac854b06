"""Studies."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from celeriac.client.forms import study_form
from celeriac.domain.records import StudyState
from celeriac.store import WebStore
from celeriac.web.auth.principal import Reader
from celeriac.web.paging import Cursor, Limit, cursor_of, place_of

router = APIRouter(tags=["studies"])


@router.get("/studies")
def studies(
    request: Request,
    _: Reader,
    state: Annotated[list[StudyState] | None, Query()] = None,
    schedule: str | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """The newest studies, newest first."""
    store: WebStore = request.app.state.store
    before = place_of(cursor, int)
    found = store.studies(states=state, schedule=schedule, before_id=before[0] if before else None, limit=limit)
    more = cursor_of(found[-1].id) if len(found) == limit else None
    return {"items": [study_form(each) for each in found], "next": more}


@router.get("/studies/{study}")
def study(request: Request, _: Reader, study: str) -> dict[str, Any]:
    """One study."""
    store: WebStore = request.app.state.store
    return study_form(store.study_named(study))
