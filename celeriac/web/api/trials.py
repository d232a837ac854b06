"""Trials of a study."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from celeriac.client.forms import trial_form
from celeriac.domain.records import TrialState
from celeriac.store import WebStore
from celeriac.web.auth.principal import Reader
from celeriac.web.paging import Cursor, Limit, cursor_of, place_of

router = APIRouter(prefix="/studies/{study}", tags=["trials"])
Number = Annotated[int, Path(ge=0, le=2**31 - 1, description="The trial's number.")]


@router.get("/trials")
def trials(
    request: Request,
    _: Reader,
    study: str,
    state: Annotated[list[TrialState] | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """A study's trials by number."""
    store: WebStore = request.app.state.store
    after = place_of(cursor, int)
    record = store.study_named(study)
    found = store.trials(record.id, states=state, after=after[0] if after else -1, limit=limit)
    more = cursor_of(found[-1].number) if len(found) == limit else None
    return {"items": [trial_form(each) for each in found], "next": more}


@router.get("/trials/{number}")
def trial(request: Request, _: Reader, study: str, number: Number) -> dict[str, Any]:
    """One trial with its attempts."""
    store: WebStore = request.app.state.store
    record = store.study_named(study)
    return trial_form(store.trial(record.id, number), store.attempts(record.id, number))
