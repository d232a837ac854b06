"""A study: how far it is, its best, why it waits, its trials; pictures come by themselves (`pictures`)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Form, Query, Request
from starlette.responses import Response

from celeriac.client import Client
from celeriac.client.progress import gain, why_waiting
from celeriac.client.proposing import Proposer, proposers_of
from celeriac.client.study import Study
from celeriac.client.waiting import waiting_of
from celeriac.decide.waiting import WaitDecision
from celeriac.domain.errors import CallerError
from celeriac.domain.records import CLOSED, StudyRecord, StudyState, TrialRecord, TrialState
from celeriac.report.advice import advice_by_class
from celeriac.store import WebStore
from celeriac.store.api_board import RunNow
from celeriac.web.auth.principal import Operator, Reader
from celeriac.web.dependencies import ClientDep, StoreDep
from celeriac.web.pages.drawing import StudyName, Text, back, page, pages, part, reason_of, sent, tagged
from celeriac.web.pages.filters import study_url
from celeriac.web.pages.memory import Kept
from celeriac.web.pages.tables import TrialTable, table_of

router = pages()
#: What viewers of one study see is made once in so many seconds, however many they are.
_NOW, _LIVE = Kept(1.5), Kept(1.5)
#: Advice on its newest faults stands until another trial fails.
_ADVICE = Kept(600.0)
_MOST_RUNNING, _MOST_COMPARED, _MOST_FAILED = 12, 8, 20


@dataclass(frozen=True, slots=True)
class StudyNow:
    """A study as it is now: what the live part of its page shows."""

    now: datetime
    study: StudyRecord
    best: TrialRecord | None
    default: TrialRecord | None
    gain: float | None
    elapsed_s: float
    left_s: float | None
    running: tuple[RunNow, ...]
    waits: str
    line: WaitDecision | None
    advice: tuple[str, ...]

    @property
    def is_over(self) -> bool:
        """Whether it will not change by itself any more."""
        return self.study.state in CLOSED

    @property
    def version(self) -> str:
        """What changes whenever its pictures may: how many trials have ended, and what runs."""
        counts = self.study.counts
        return f"{self.study.state}-{counts.ended}-{counts.running}-{self.study.best_number}"


@dataclass(frozen=True, slots=True)
class StudyPage:
    """The page of a study."""

    now: StudyNow
    sampler: str
    sampler_why: str
    objective: str
    has_rungs: bool
    table: TrialTable
    proposers: tuple[Proposer, ...] = ()


@dataclass(frozen=True, slots=True)
class Compared:
    """Trials of one study side by side; `differing`: the parameters that are not the same in all."""

    study: StudyRecord
    trials: tuple[TrialRecord, ...]
    parameters: tuple[str, ...]
    differing: frozenset[str]


def now_of(client: Client, name: str) -> StudyNow:
    """What the live part shows, at most two seconds old."""
    return _NOW.get((client.store, name), lambda: look(client, name))


def look(client: Client, name: str) -> StudyNow:
    """The same as it is in this moment."""
    study = client.study(name)
    progress, store = client.progress(study), client.store
    record = progress.study
    best = study.best
    first = next(iter(store.trials(record.id, limit=1)), None)
    is_open = record.state in (StudyState.OPEN, StudyState.RUNNING)
    web: WebStore = store  # type: ignore[assignment]
    return StudyNow(
        now=progress.now,
        study=record,
        best=best,
        default=first,
        gain=gain(record, best, first),
        elapsed_s=progress.elapsed_s,
        left_s=progress.left_s,
        running=tuple(web.runs_now(record.id, _MOST_RUNNING)),
        waits=why_waiting(progress),
        line=waiting_of(store, record.id, progress.no_place) if is_open else None,
        advice=_ADVICE.get((store, record.id, record.counts.failed), lambda: tuple(_advice(study, record))),
    )


def _advice(study: Study, record: StudyRecord) -> list[str]:
    """What to do about its newest faults, a line for each class."""
    if not record.counts.failed:
        return []
    return advice_by_class(study.newest_trials(_MOST_FAILED, [TrialState.FAILED]), record.name)


@router.get("/studies/{name:path}/live", response_model=None)
def live(request: Request, client: ClientDep, _: Reader, name: StudyName) -> Response:
    """The live part of a study's page."""
    made = _LIVE.get((client.store, name), lambda: part(request, "study_live.html", {"now": now_of(client, name)}))
    return sent(request, made)


@router.get("/studies/{name:path}/compare", response_model=None)
def compare(request: Request, store: StoreDep, principal: Reader, name: StudyName, trials: str = "") -> Response:
    """Trials side by side."""
    view = compared(store, name, trials)
    return tagged(request, "compare.html", {"view": view, "principal": principal})


def compared(store: WebStore, name: str, trials: str) -> Compared:
    """The trials of that list of numbers. Raises CallerError for a list that is none."""
    record = store.study_named(name)
    numbers = [int(each) for each in trials.split(",") if each.strip().isdigit() and len(each.strip()) < 10]
    if not 2 <= len(numbers) <= _MOST_COMPARED:
        raise CallerError(f"compare: name 2 to {_MOST_COMPARED} trials, such as ?trials=3,17")
    found = tuple(store.trial(record.id, each) for each in dict.fromkeys(numbers))
    names = tuple(record.spec.get("space", {}))
    values: dict[str, set[str]] = {each: {repr(trial.params.get(each)) for trial in found} for each in names}
    return Compared(record, found, names, frozenset(each for each in names if len(values[each]) > 1))


@router.post("/studies/{name:path}/pause", response_model=None)
def pause(client: ClientDep, who: Operator, name: StudyName, reason: Text = "") -> Response:
    """Start no more trials."""
    client.study(name).pause(reason_of(who, reason))
    return _changed(name)


@router.post("/studies/{name:path}/resume", response_model=None)
def resume(client: ClientDep, who: Operator, name: StudyName, reason: Text = "") -> Response:
    """Go on after a pause."""
    client.study(name).resume(reason_of(who, reason))
    return _changed(name)


@router.post("/studies/{name:path}/stop", response_model=None)
def stop(client: ClientDep, who: Operator, name: StudyName, reason: Text = "") -> Response:
    """Close it now."""
    client.study(name).stop(reason_of(who, reason))
    return _changed(name)


@router.post("/studies/{name:path}/retry", response_model=None)
def retry(
    client: ClientDep, who: Operator, name: StudyName, trial: Annotated[int | None, Form(ge=0)] = None
) -> Response:
    """Run failed trials once more: one, or all."""
    client.study(name).retry(None if trial is None else [trial], reason_of(who, "failed trials are run once more"))
    return _changed(name)


def _changed(name: str) -> Response:
    _NOW.forget()
    _LIVE.forget()
    return back(study_url(name))


@page(router, "/studies/{name:path}", "study.html")
def study_page(
    client: ClientDep,
    store: StoreDep,
    name: StudyName,
    where: Annotated[str, Query(max_length=400)] = "",
    state: Annotated[str, Query(max_length=20)] = "",
    sort: Annotated[str, Query(max_length=200)] = "number",
    down: Annotated[str, Query(max_length=5)] = "",
    skip: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> StudyPage:
    """The page of a study."""
    now = now_of(client, name)
    record = now.study
    in_state = TrialState(state) if state in TrialState.__members__ else None
    progress = client.progress(client.study(name)) if record.state not in CLOSED else None
    sampler = progress.sampler if progress else None
    return StudyPage(
        now=now,
        sampler=sampler.name if sampler else str(record.spec.get("sampler", "auto")),
        sampler_why=sampler.reason if sampler else "",
        objective=str(record.spec.get("objective", "")),
        has_rungs=bool(record.spec.get("stop_early")),
        table=table_of(store, record, where.strip(), in_state, sort, down=bool(down), skip=skip),
        proposers=tuple(proposers_of(store, record.id)),
    )
