"""Which parameters mattered: judged by a program of its own, one at a time, and kept while no more trials end."""

import threading
from collections import OrderedDict
from dataclasses import dataclass

from fastapi import Request
from starlette.responses import Response

from celeriac.client import Client
from celeriac.domain.errors import CeleriacError
from celeriac.domain.records import CLOSED, StudyRecord
from celeriac.report.explain.importance import Importances
from celeriac.runtime.settings import Settings
from celeriac.web.auth.principal import Reader
from celeriac.web.dependencies import ClientDep
from celeriac.web.judging import judged
from celeriac.web.pages.drawing import StudyName, data, pages, sent, tagged
from celeriac.web.pages.filters import study_url

router = pages()
#: A live study is judged again once so much more of it has ended.
_GROWTH = 1.1
_MOST = 100
_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Judged:
    """What is known: of how many ended trials; `said` while it is judged, or why that failed."""

    found: Importances | None
    ended: int = 0
    said: str = "Judged from the trials that have ended …"
    is_made: bool = False


class Judge:
    """Studies by id, with what was found; whoever asks first has it made, and nobody waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[int, Judged] = OrderedDict()
        self._making: set[int] = set()

    def of(self, settings: Settings, study: StudyRecord) -> Judged:
        """What is known of the study; begins to judge it when that is nothing, or too old."""
        ended = study.counts.ended
        with self._lock:
            known = self._found.get(study.id, Judged(None))
            is_like = (
                ended == known.ended if study.state in CLOSED else known.ended <= ended < _GROWTH * known.ended + 1
            )
            if not (known.is_made and is_like) and study.id not in self._making:
                self._making.add(study.id)
                args = (settings, study.id, study.name, ended)
                threading.Thread(target=self._make, args=args, name=f"judge {study.name}", daemon=True).start()
            return known

    def _make(self, settings: Settings, study_id: int, name: str, ended: int) -> None:
        made = _judged(settings, name, ended)
        with self._lock:
            self._found[study_id] = made
            self._making.discard(study_id)
            while len(self._found) > _MOST:
                self._found.popitem(last=False)


def _judged(settings: Settings, name: str, ended: int) -> Judged:
    try:
        return Judged(judged(settings, name, within_s=_LIMIT_S), ended, is_made=True)
    except CeleriacError as error:
        return Judged(_nothing(f"it cannot be judged here: {error}"), ended, is_made=True)


def _nothing(reason: str) -> Importances:
    return Importances("ped-anova", 0, 0, (), reason=reason)


_JUDGE = Judge()


def _of(client: Client, name: str) -> Judged:
    record = client.study(name).record
    return _JUDGE.of(client.settings, record)


@router.get("/studies/{name:path}/importance.json", response_model=None)
def as_data(request: Request, client: ClientDep, _: Reader, name: StudyName) -> Response:
    """What is known of it, as JSON."""
    return sent(request, data(_of(client, name)))


@router.get("/studies/{name:path}/importance", response_model=None)
def as_part(request: Request, client: ClientDep, _: Reader, name: StudyName) -> Response:
    """What is known of it, as a part of its study's page."""
    known = _of(client, name)
    found = known.found or _nothing("")
    values = {"found": found, "is_made": known.is_made, "said": known.said, "url": study_url(name, "importance")}
    return tagged(request, "importance.html", values)
