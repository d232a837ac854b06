"""A trial: its parameters beside the best's and the default's, its curve, its attempts, its log, and why it was run."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Request
from starlette.responses import Response

from celeriac.client.waiting import pending_then
from celeriac.domain.errors import UnknownTrial
from celeriac.domain.records import ENDED, Attempt, StudyRecord, TrialRecord, TrialState
from celeriac.report.advice import advice
from celeriac.report.explain.sentences import lines_of, sentences_of
from celeriac.report.explain.why import explained
from celeriac.store import WebStore
from celeriac.web.auth.principal import Reader
from celeriac.web.dependencies import StoreDep
from celeriac.web.pages.drawing import StudyName, page, pages, tagged

router = pages()
Number = Annotated[int, Path(ge=0, le=2**31 - 1)]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter's values: the trial's, the best trial's and the default's (None: it has none)."""

    name: str
    value: Any
    best: Any
    default: Any


@dataclass(frozen=True, slots=True)
class TrialPage:
    """The page of a trial. `how`: sentences; `why`: what the model said of it, (what, told) each."""

    now: datetime
    study: StudyRecord
    trial: TrialRecord
    parameters: tuple[Parameter, ...]
    attempts: tuple[Attempt, ...]
    how: str
    why: tuple[tuple[str, str], ...]
    advice: str
    has_curve: bool
    before: int | None
    after: int | None

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.trial.state in ENDED

    @property
    def seconds(self) -> float | None:
        """From its first start to its end, or until now."""
        if self.trial.started_at is None:
            return None
        return ((self.trial.ended_at or self.now) - self.trial.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class Log:
    """What an attempt printed last."""

    attempt: Attempt | None
    tail: str
    is_over: bool


def _trial(store: WebStore, study: StudyRecord, number: int) -> TrialRecord:
    try:
        return store.trial(study.id, number)
    except UnknownTrial:
        raise UnknownTrial(f"study {study.name} has no trial {number}; it has {study.next_number}") from None


@router.get("/studies/{name:path}/trials/{number}/log", response_model=None)
def log(request: Request, store: StoreDep, _: Reader, name: StudyName, number: Number, attempt: int = 0) -> Response:
    """The end of a log, for a page that follows it."""
    study = store.study_named(name)
    trial = _trial(store, study, number)
    found = store.attempts(study.id, trial.number)
    shown = next((each for each in found if each.number == attempt), found[-1] if found else None)
    tail = "" if shown is None else store.log_tail(study.id, number, shown.number)
    view = Log(shown, tail, trial.state in ENDED or bool(attempt))
    return tagged(request, "log.html", {"log": view})


@page(router, "/studies/{name:path}/trials/{number}", "trial.html")
def trial_page(store: StoreDep, name: StudyName, number: Number) -> TrialPage:
    """The page of a trial."""
    study = store.study_named(name)
    trial = _trial(store, study, number)
    best = trial if study.best_number == number else _of(store, study, study.best_number)
    default = trial if number == 0 else _of(store, study, 0)
    explanation = explained(trial, study.goal, pending_then(store, trial))
    names = [each for each in study.spec.get("space", {}) if each in trial.params or (best and each in best.params)]
    return TrialPage(
        now=store.now(),
        study=study,
        trial=trial,
        parameters=tuple(
            Parameter(each, *(None if row is None else row.params.get(each) for row in (trial, best, default)))
            for each in names
        ),
        attempts=tuple(store.attempts(study.id, number)),
        how=sentences_of(trial, explanation),
        why=tuple(lines_of(study.metric, trial, explanation)),
        advice=advice(trial, study.name),
        has_curve=trial.last_step is not None,
        before=number - 1 if number else None,
        after=number + 1 if number + 1 < study.next_number else None,
    )


def _of(store: WebStore, study: StudyRecord, number: int | None) -> TrialRecord | None:
    if number is None or not study.next_number:
        return None
    found = store.trial(study.id, number)
    return found if found.state is not TrialState.WAITING else None
