"""Server-sent events: a study, or all, whenever something has changed."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import APIRouter, Request
from sse_starlette.sse import EventSourceResponse
from starlette.concurrency import run_in_threadpool

from celeriac.domain.records import CLOSED, StudyRecord
from celeriac.report.forms import brief_form
from celeriac.store import WebStore
from celeriac.web.api.arguments import StudyName
from celeriac.web.auth.admission import AGAIN_S, Admission
from celeriac.web.auth.principal import Reader, principal_of
from celeriac.web.events import Hub, next_changes

router = APIRouter(tags=["events"])
_SAID: dict[int | str, dict[str, Any]] = {
    200: {"description": "A stream of events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}


@router.get("/events", response_class=EventSourceResponse, responses=_SAID)
async def events(request: Request, _: Reader) -> EventSourceResponse:
    """Each study that has changed, as it is now: events `study`."""
    return _stream(request, None, lambda study: False)


@router.get("/studies/{study:path}/events", response_class=EventSourceResponse, responses=_SAID)
async def study_events(request: Request, _: Reader, study: StudyName) -> EventSourceResponse:
    """The study as it is now, and again whenever it has changed: events `study`; the stream ends when it is closed."""
    record = await run_in_threadpool(request.app.state.store.study_named, study)
    return _stream(request, record, lambda each: each.state in CLOSED)


def _stream(request: Request, first: StudyRecord | None, is_over: Callable[[StudyRecord], bool]) -> EventSourceResponse:
    hub: Hub = request.app.state.hub
    hub.admit(principal_of(request).name)
    return EventSourceResponse(_told(hub, request, first, is_over), ping=int(AGAIN_S))


async def _told(
    hub: Hub, request: Request, first: StudyRecord | None, is_over: Callable[[StudyRecord], bool]
) -> AsyncIterator[dict[str, str]]:
    store: WebStore = request.app.state.store
    async with hub.viewing(principal_of(request).name, None if first is None else first.id) as viewer:
        if first is not None:
            yield _event(first)
            if is_over(first):
                return
        admission = Admission(store, request)
        while await admission.holds():
            for study in await next_changes(viewer, admission.left_s):
                yield _event(study)
                if is_over(study):
                    return


def _event(study: StudyRecord) -> dict[str, str]:
    return {"event": "study", "data": json.dumps(brief_form(study), ensure_ascii=False, separators=(",", ":"))}
