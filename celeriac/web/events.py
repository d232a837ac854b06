"""Changes as they happen: Postgres announces that a study has changed (LISTEN, NOTIFY), one thread hears it, each
change is read once, and every viewer is told.

Changes are announced only while somebody looks on (`web_viewer`): so they cost a fleet nothing at night. A study is
told of at most once in `EVERY_S`, whatever happens in it. Who comes, or comes back, is first told how things stand, so
that a notice that was lost does no harm.
"""

import asyncio
import contextlib
import logging
import secrets
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from celeriac.domain.errors import CeleriacError, UnknownStudy
from celeriac.domain.records import StudyRecord
from celeriac.store import WebStore
from celeriac.web.problems import Refused

log = logging.getLogger(__name__)

EVERY_S = 0.5
#: For how long one look at the changes is asked for; renewed before that.
LOOK_S = 60.0
_LATER = {"Retry-After": "30"}
_RENEW_S = 20.0
_AGAIN_S = 1.0
#: Of all tokens together, and of one: so that one cannot keep the others from looking on.
MOST_VIEWERS, MOST_OF_ONE = 200, 100


@dataclass(eq=False, slots=True)
class Viewer:
    """Somebody, by a token's name, who looks at one study, or at all (None)."""

    who: str
    study_id: int | None
    changed: dict[int, StudyRecord] = field(default_factory=dict)
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class Hub:
    """All viewers of this process, and the thread that hears for them; it runs while there are any."""

    def __init__(self, store: WebStore) -> None:
        self._store, self._name = store, secrets.token_hex(8)
        self._viewers: set[Viewer] = set()
        self._told: dict[int, int] = {}
        self._hearing: asyncio.Task[None] | None = None
        self._enough = threading.Event()

    def admit(self, who: str) -> None:
        """Raises Refused where it takes no more viewers, or no more of this token."""
        if len(self._viewers) >= MOST_VIEWERS:
            raise Refused(503, "too many look on at once: ask again later", headers=_LATER)
        if sum(each.who == who for each in self._viewers) >= MOST_OF_ONE:
            own = f"the token {who} looks on {MOST_OF_ONE} times already: end some of its streams, or close pages"
            raise Refused(429, own, kind="too-many-streams", headers=_LATER)

    @contextlib.asynccontextmanager
    async def viewing(self, who: str, study_id: int | None) -> AsyncIterator[Viewer]:
        """A viewer, for as long as it looks."""
        viewer = Viewer(who, study_id)
        self._viewers.add(viewer)
        if self._hearing is None or self._hearing.done():
            self._enough = threading.Event()
            self._hearing = asyncio.create_task(self._hear(asyncio.get_running_loop(), self._enough))
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)
            if study_id is not None and not self.is_followed(study_id):
                self._told.pop(study_id, None)
            if not self._viewers:
                self._enough.set()

    def is_followed(self, study_id: int) -> bool:
        """Whether anybody looks at this study."""
        return any(each.study_id == study_id for each in self._viewers)

    def moves(self, study_id: int) -> int:
        """How many changes of a study its viewers were told: what was made of it before the last is old."""
        return self._told.get(study_id, 0)

    async def _hear(self, loop: asyncio.AbstractEventLoop, enough: threading.Event) -> None:
        """Have a thread of its own listen: one that waits must not take one of those that answer requests."""
        done = asyncio.Event()
        thread = threading.Thread(
            target=self._listen, args=(loop, enough, done), name="listener to changes", daemon=True
        )
        thread.start()
        await done.wait()

    def _listen(self, loop: asyncio.AbstractEventLoop, enough: threading.Event, done: asyncio.Event) -> None:
        while not enough.is_set():
            try:
                self._listen_once(loop, enough)
            except CeleriacError as error:
                log.warning("changes are not heard for a moment: %s", error)
                enough.wait(_AGAIN_S)
            except Exception:
                log.exception("changes are not heard for a moment")
                enough.wait(_AGAIN_S)
        with contextlib.suppress(CeleriacError):
            self._store.look_away(self._name)
        with contextlib.suppress(RuntimeError):  # the loop has ended with the program
            loop.call_soon_threadsafe(done.set)

    def _listen_once(self, loop: asyncio.AbstractEventLoop, enough: threading.Event) -> None:
        heard, looked_s = self._store.changes(EVERY_S), _RENEW_S
        with contextlib.closing(heard):  # type: ignore[type-var]
            for ids in heard:
                if enough.is_set():
                    return
                looked_s += EVERY_S
                if looked_s >= _RENEW_S:
                    self._store.look_on(self._name, LOOK_S)
                    looked_s = 0.0
                    ids |= {each.study_id for each in list(self._viewers) if each.study_id is not None}
                for study in self._read(ids):
                    loop.call_soon_threadsafe(self._tell, study)

    def _read(self, ids: set[int]) -> list[StudyRecord]:
        """The rows of those that somebody looks at, each read once for all."""
        viewers = list(self._viewers)
        to_all = any(each.study_id is None for each in viewers)
        wanted = ids if to_all else ids & {each.study_id for each in viewers}
        found = []
        for each in sorted(wanted):
            with contextlib.suppress(UnknownStudy):  # it was deleted
                found.append(self._store.study(each))
        return found

    def _tell(self, study: StudyRecord) -> None:
        self._told[study.id] = self._told.get(study.id, 0) + 1
        for viewer in self._viewers:
            if viewer.study_id in (None, study.id):
                viewer.changed[study.id] = study
                viewer.woken.set()


async def next_changes(viewer: Viewer, within_s: float) -> list[StudyRecord]:
    """What has changed since the last call, as soon as something has; nothing after so many seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await viewer.woken.wait()
    viewer.woken.clear()
    found, viewer.changed = list(viewer.changed.values()), {}
    return found
