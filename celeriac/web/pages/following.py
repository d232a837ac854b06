"""A study's page as it changes: its live part is pushed, made once for all who look on.

Rule: a viewer costs a write to its connection and nothing else. Changes are heard once for the whole program
(`celeriac.web.events`), the part is made once a change, and sent to a viewer at most once in `EVERY_S` and only where
it is another than the one before.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from time import monotonic

from fastapi import Request
from sse_starlette.sse import EventSourceResponse
from starlette.concurrency import run_in_threadpool

from celeriac.domain.errors import CeleriacError, TryAgain
from celeriac.web.auth.admission import AGAIN_S, Admission
from celeriac.web.auth.principal import Reader, principal_of
from celeriac.web.dependencies import ClientDep
from celeriac.web.events import Hub, next_changes
from celeriac.web.pages.drawing import StudyName, Written, pages, part
from celeriac.web.pages.study import look

log = logging.getLogger(__name__)
router = pages()
EVERY_S = 1.0
#: Without a change a part is made anew so often: what it says of other studies and of the fleet may be another.
_FRESH_S = 10.0
#: While the store is away a viewer keeps what it sees, and is told again after so long.
_AWAY_S = 5.0


@dataclass(frozen=True, slots=True)
class Live:
    """The live part of a study's page, and whether it will change no more."""

    part: Written
    is_over: bool


class Feeds:
    """The newest part of each study that somebody follows. It belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[int, float, asyncio.Task[Live]]] = {}

    async def newest(self, study_id: int, moves: int, make: Callable[[], Live]) -> Live:
        """The part as it is after so many changes; who comes while it is made waits for the same."""
        found = self._made.get(study_id)
        if found is None or found[0] != moves or monotonic() - found[1] > _FRESH_S:
            found = moves, monotonic(), asyncio.create_task(run_in_threadpool(make))
            self._made[study_id] = found
        try:
            return await asyncio.shield(found[2])
        except CeleriacError:
            self._made.pop(study_id, None)
            raise

    def forget(self, study_id: int) -> None:
        """Keep nothing of a study: nobody follows it."""
        self._made.pop(study_id, None)


@router.get("/studies/{name:path}/following", response_model=None)
async def following(request: Request, client: ClientDep, who: Reader, name: StudyName) -> EventSourceResponse:
    """Events `part`: the live part of the study's page, whole, at once and whenever it is another."""
    hub: Hub = request.app.state.hub
    hub.admit(who.name)
    study_id = (await run_in_threadpool(client.study, name)).record.id

    def make() -> Live:
        now = look(client, name)
        return Live(part(request, "study_live.html", {"now": now}), now.is_over)

    return EventSourceResponse(_pushed(hub, request, study_id, make), ping=int(AGAIN_S))


async def _pushed(hub: Hub, request: Request, study_id: int, make: Callable[[], Live]) -> AsyncIterator[dict[str, str]]:
    feeds: Feeds = request.app.state.feeds
    admission = Admission(request.app.state.store, request)
    tag = request.headers.get("last-event-id", "")
    try:
        async with hub.viewing(principal_of(request).name, study_id) as viewer:
            while await admission.holds():
                viewer.woken.clear()
                try:
                    found = await feeds.newest(study_id, hub.moves(study_id), make)
                except TryAgain as error:
                    log.info("study %d is not pushed for a moment: %s", study_id, error)
                    await asyncio.sleep(_AWAY_S)
                    continue
                except CeleriacError:
                    return  # it was deleted
                if found.part.tag != tag:
                    tag = found.part.tag
                    yield {"event": "part", "id": tag, "data": found.part.body.decode()}
                if found.is_over:
                    return
                await asyncio.sleep(EVERY_S)  # so often at most
                await next_changes(viewer, admission.left_s)
    finally:
        if not hub.is_followed(study_id):
            feeds.forget(study_id)
