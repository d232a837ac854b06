"""Studies: lists, one, and what a person may say to it."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import FileResponse, Response

from celeriac.client.progress import gain, why_waiting
from celeriac.client.waiting import time_limits_of
from celeriac.domain.errors import UnknownTrial
from celeriac.domain.records import RungRecord, StudyState
from celeriac.report.explain.importance import Importances
from celeriac.report.forms import (
    brief_form,
    goes_on_form,
    limits_form,
    place_form,
    progress_form,
    study_form,
    trial_form,
)
from celeriac.web import paging
from celeriac.web.answers import answer
from celeriac.web.api.arguments import Body, OneStudy, Why, Words
from celeriac.web.api.models import A_FILE, sent
from celeriac.web.auth.principal import Operator, Reader, Submitter
from celeriac.web.dependencies import ClientDep, StoreDep
from celeriac.web.judging import judged
from celeriac.web.paging import Cursor, Limit, cursor_of, whole
from celeriac.web.schema import page_of, says
from celeriac.web.shapes import ADDED, ADVICE, BEST, DELETED, GOES_ON, LISTED_STUDY, PROGRESS, RETRIED, STUDY, WAITING

router = APIRouter(tags=["studies"])
_PATH = "/studies/{study:path}"
_STUDY, _GOES_ON = says(STUDY), says(GOES_ON)
#: Together less than a client waits for an answer.
_JUDGED_S, _PATIENCE_S = 40.0, 5.0


class Pause(Why):
    """How to pause."""

    hand_back: bool = Field(False, description="Running trials that have a checkpoint stop too, and go on from it.")


class Budget(Why):
    """A larger budget."""

    trials: int | Annotated[str, Field(max_length=40)] | None = Field(None, description='In all, or "+20" more.')
    wall: float | Annotated[str, Field(max_length=40)] | None = None
    device_hours: float | Annotated[str, Field(max_length=40)] | None = None


class Delete(Body):
    """Whether to delete it, or only to say what that would delete."""

    dry_run: bool = False


class Retry(Why):
    """Which failed trials; without numbers all."""

    trials: list[Annotated[int, Field(ge=0, le=2**31 - 1)]] | None = Field(None, min_length=1, max_length=1000)


class PointsFrom(Body):
    """Points from outside."""

    points: list[dict[str, Any]] = Field(min_length=1, max_length=1000)
    reason: Words = ""


@router.get("/studies", responses=says(page_of(LISTED_STUDY)))
def studies(
    _: Reader,
    store: StoreDep,
    state: Annotated[list[StudyState] | None, Query()] = None,
    schedule: Annotated[str | None, Query(max_length=200)] = None,
    q: Annotated[str | None, Query(max_length=200, description="A part of the name.")] = None,
    spec: Annotated[bool, Query(description="With their specs.")] = False,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Response:
    """The newest studies, newest first, without their specs."""
    before = paging.place_of(cursor, int)
    found = store.studies(
        states=state, schedule=schedule, named=q, before_id=before[0] if before else None, limit=limit + 1
    )
    return whole(
        [study_form(each) if spec else brief_form(each) for each in found], limit, lambda last: cursor_of(last["id"])
    )


@router.get(_PATH + "/progress", responses=says(PROGRESS))
def progress(_: Reader, client: ClientDep, study: OneStudy) -> Response:
    """How far it is: what runs, why nothing does, what is left, which codes its trials ran."""
    found = client.progress(study)
    form = progress_form(found, why_waiting(found), study.savings())
    limits = limits_form(time_limits_of(client.store, found.study))
    return answer(
        {
            **form,
            **limits,
            "devices": found.devices,
            "gangs": found.gangs,
            "no_place": found.no_place,
            "now": found.now,
            "codes": study.codes(),
        }
    )


@router.get(_PATH + "/waiting", responses=says(WAITING))
def waiting(_: Reader, study: OneStudy) -> Response:
    """What it waits for, its place in the line, when it is expected to go on and to end; who proposes points to it."""
    waits, limits, place = study.waiting()
    form = {"study": study.name, **asdict(waits), **limits_form(limits), "placement": place_form(place)}
    return answer({**form, "proposers": study.proposers()})


@router.get(_PATH + "/best", responses=says(BEST))
def best(_: Reader, study: OneStudy) -> Response:
    """Its best trial, what that gained over trial 0, and trial 0."""
    winner, record = study.best, study.record
    if winner is None:
        raise UnknownTrial(f"study {study.name} is {record.state} and has no scored trial")
    first = study.trial(0)
    form = {
        "study": study.name,
        **trial_form(winner),
        "gain": gain(record, winner, first),
        "default": trial_form(first),
    }
    return answer(form)


@router.get(_PATH + "/model", response_class=FileResponse, responses=A_FILE)
def model(_: Reader, client: ClientDep, study: OneStudy) -> Response:
    """The model of its best trial, where the study keeps it."""
    return sent(lambda path: study.best_model(path), f"{study.name}.model")


@router.get(_PATH + "/importance", responses=says(Importances))
def importance(
    _: Reader,
    client: ClientDep,
    study: OneStudy,
    method: Annotated[Literal["ped-anova", "fanova"], Query()] = "ped-anova",
) -> Response:
    """Which parameters mattered."""
    return answer(judged(client.settings, study.name, method, within_s=_JUDGED_S, patience_s=_PATIENCE_S))


@router.get(_PATH + "/rungs", responses=says(page_of(RungRecord)))
def rungs(_: Reader, store: StoreDep, study: OneStudy, cursor: Cursor = None, limit: Limit = 100) -> Response:
    """What each trial had at each rung of early stopping, by bracket, rung and place."""
    place = paging.place_of(cursor, int, int, int)
    after = (-1, -1, 0) if place is None else (place[0], place[1], place[2])
    found = store.rung_records(study.id, after=after, limit=limit + 1)
    return whole(found, limit, lambda last: cursor_of(last.bracket, last.rung, last.place))


@router.post(_PATH + "/pause", responses=_STUDY)
def pause(principal: Submitter, study: OneStudy, body: Pause) -> Response:
    """Start no more trials; those that run go on to their end."""
    return answer(study_form(study.pause(body.said("paused", principal), hand_back=body.hand_back)))


@router.post(_PATH + "/resume", responses=_GOES_ON)
def resume(principal: Submitter, study: OneStudy, body: Why) -> Response:
    """Go on after a pause, with the code as it is now (`took_code`: it is another)."""
    record = study.resume(body.said("resumed", principal))
    return answer(goes_on_form(record, took_code=study.took_code))


@router.post(_PATH + "/stop", responses=_STUDY)
def stop(principal: Submitter, study: OneStudy, body: Why) -> Response:
    """End it now: what runs is killed, what waits is cancelled."""
    return answer(study_form(study.stop(body.said("stopped", principal))))


@router.post(_PATH + "/reopen", responses=_GOES_ON)
def reopen(principal: Submitter, study: OneStudy, body: Why) -> Response:
    """Go on after it was stopped, failed, or ended before its budget."""
    record = study.reopen(body.said("reopened", principal))
    return answer(goes_on_form(record, took_code=study.took_code))


@router.post(_PATH + "/extend", responses=_GOES_ON)
def extend(principal: Submitter, study: OneStudy, body: Budget) -> Response:
    """Give it a larger budget; a closed study goes on."""
    record = study.extend(
        body.trials, wall=body.wall, device_hours=body.device_hours, reason=body.said("extended", principal)
    )
    return answer(goes_on_form(record, took_code=study.took_code))


@router.post(_PATH + "/retry", responses=says(RETRIED))
def retry(principal: Submitter, study: OneStudy, body: Retry) -> Response:
    """Run failed trials once more; a closed study goes on."""
    trials = study.retry(body.trials, body.said("run once more", principal))
    return answer({"trials": [trial_form(each) for each in trials], "took_code": study.took_code})


@router.post(_PATH + "/points", status_code=201, responses=says(ADDED, 201))
def add_points(principal: Submitter, study: OneStudy, body: PointsFrom) -> Response:
    """Have points of your own tried: they run next, and the model learns from them. All are taken, or none."""
    added = study.add_points(body.points, reason=body.reason, by=principal.name)
    return answer({"trials": [trial_form(each) for each in added]}, 201)


@router.get(_PATH + "/advice", responses=says(ADVICE))
def advice(_: Reader, study: OneStudy) -> Response:
    """Which share of a GPU its trials should have, by what they took."""
    return answer({"study": study.name, **asdict(study.advice())})


@router.post(_PATH + "/delete", responses=says(DELETED))
def delete(_: Operator, study: OneStudy, body: Delete) -> Response:
    """Delete it once it has ended: its rows, and its checkpoints and logs on the service's host. There is no way back.
    `files`: how many, of `size_bytes` together; `refused`: why a file stays.
    """
    doomed = study.doomed()
    form = {"study": study.name, "dry_run": body.dry_run, **asdict(doomed), "refused": []}
    if not body.dry_run:
        form["refused"] = study.delete().refused
    return answer(form)


# A night's study has slashes in its name, so this path fits all of the others: it comes last.
@router.get(_PATH, responses=_STUDY)
def study(_: Reader, study: OneStudy) -> Response:
    """One study."""
    return answer(study_form(study.record))
