"""Studies: lists, one, and what a person may say to it."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import FileResponse, Response

from celeriac.client.progress import gain, why_waiting
from celeriac.client.proposing import proposers_of
from celeriac.client.waiting import place_of, time_limits_of, waiting_of
from celeriac.domain.errors import UnknownTrial
from celeriac.domain.records import StudyRecord, StudyState
from celeriac.report.forms import limits_form, place_form, progress_form, study_form, trial_form
from celeriac.web import paging
from celeriac.web.answers import answer
from celeriac.web.api.asking import Body, OneStudy, Why, Words
from celeriac.web.api.models import sent
from celeriac.web.asked import Doing, Reading
from celeriac.web.auth.principal import Reader, Submitter
from celeriac.web.paging import Cursor, Limit, cursor_of, whole

router = APIRouter(tags=["studies"])
_PATH = "/studies/{study:path}"


class Pause(Why):
    """How to pause."""

    hand_back: bool = Field(False, description="Running trials that have a checkpoint stop too, and go on from it.")


class Budget(Why):
    """A larger budget."""

    trials: int | Annotated[str, Field(max_length=40)] | None = Field(None, description='In all, or "+20" more.')
    wall: float | Annotated[str, Field(max_length=40)] | None = None
    device_hours: float | Annotated[str, Field(max_length=40)] | None = None


class Retry(Why):
    """Which failed trials; without numbers all."""

    trials: list[Annotated[int, Field(ge=0, le=2**31 - 1)]] | None = Field(None, min_length=1, max_length=1000)


class PointsFrom(Body):
    """Points from outside."""

    points: list[dict[str, Any]] = Field(min_length=1, max_length=1000)
    reason: Words = ""


@router.get("/studies")
def studies(
    store: Reading,
    _: Reader,
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
        [study_form(each) if spec else brief(each) for each in found], limit, lambda last: cursor_of(last["id"])
    )


def brief(study: StudyRecord) -> dict[str, Any]:
    """A study in a list."""
    form = study_form(study)
    del form["spec"]
    return form


@router.get(_PATH + "/progress")
def progress(client: Doing, study: OneStudy, _: Reader) -> Response:
    """How far it is: what runs, why nothing does, what is left, which codes its trials ran."""
    found = client.progress(study)
    form = progress_form(found, why_waiting(found), client.store.savings(study.id))
    limits = limits_form(time_limits_of(client.store, found.study))
    return answer(
        {
            **form,
            **limits,
            "devices": found.devices,
            "gangs": found.gangs,
            "now": found.now,
            "codes": client.store.codes(study.id),
        }
    )


@router.get(_PATH + "/waiting")
def waiting(store: Reading, study: OneStudy, _: Reader) -> Response:
    """What it waits for, its place in the line, when it is expected to go on and to end; who proposes points to it."""
    limits = limits_form(time_limits_of(store, study.record))
    placement = place_form(place_of(store, study.id))
    proposers = proposers_of(store, study.id)
    waits = asdict(waiting_of(store, study.id))
    return answer({"study": study.name, **waits, **limits, "placement": placement, "proposers": proposers})


@router.get(_PATH + "/best")
def best(study: OneStudy, _: Reader) -> Response:
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


@router.get(_PATH + "/model", response_class=FileResponse)
def model(client: Doing, study: OneStudy, _: Reader) -> Response:
    """The model of its best trial, where the study keeps it."""
    return sent(lambda path: study.best_model(path), f"{study.name}.model")


@router.get(_PATH + "/importance")
def importance(
    study: OneStudy, _: Reader, method: Annotated[Literal["ped-anova", "fanova"], Query()] = "ped-anova"
) -> Response:
    """Which parameters mattered."""
    return answer(study.importance(method))


@router.get(_PATH + "/rungs")
def rungs(store: Reading, study: OneStudy, _: Reader, cursor: Cursor = None, limit: Limit = 100) -> Response:
    """What each trial had at each rung of early stopping, by bracket, rung and place."""
    place = paging.place_of(cursor, int, int, int)
    after = (-1, -1, 0) if place is None else (place[0], place[1], place[2])
    found = store.rung_records(study.id, after=after, limit=limit + 1)
    return whole(found, limit, lambda last: cursor_of(last.bracket, last.rung, last.place))


@router.post(_PATH + "/pause")
def pause(study: OneStudy, principal: Submitter, body: Pause) -> Response:
    """Start no more trials; those that run go on to their end."""
    return answer(study_form(study.pause(body.said("paused", principal), hand_back=body.hand_back)))


@router.post(_PATH + "/resume")
def resume(study: OneStudy, principal: Submitter, body: Why) -> Response:
    """Go on after a pause, with the code as it is now (`took_code`: it is another)."""
    record = study.resume(body.said("resumed", principal))
    return answer({**study_form(record), "took_code": study.took_code})


@router.post(_PATH + "/stop")
def stop(study: OneStudy, principal: Submitter, body: Why) -> Response:
    """End it now: what runs is killed, what waits is cancelled."""
    return answer(study_form(study.stop(body.said("stopped", principal))))


@router.post(_PATH + "/reopen")
def reopen(study: OneStudy, principal: Submitter, body: Why) -> Response:
    """Go on after it was stopped, failed, or ended before its budget."""
    record = study.reopen(body.said("reopened", principal))
    return answer({**study_form(record), "took_code": study.took_code})


@router.post(_PATH + "/extend")
def extend(study: OneStudy, principal: Submitter, body: Budget) -> Response:
    """Give it a larger budget; a closed study goes on."""
    record = study.extend(
        body.trials, wall=body.wall, device_hours=body.device_hours, reason=body.said("extended", principal)
    )
    return answer({**study_form(record), "took_code": study.took_code})


@router.post(_PATH + "/retry")
def retry(study: OneStudy, principal: Submitter, body: Retry) -> Response:
    """Run failed trials once more; a closed study goes on."""
    trials = study.retry(body.trials, body.said("run once more", principal))
    return answer({"trials": [trial_form(each) for each in trials], "took_code": study.took_code})


@router.post(_PATH + "/points", status_code=201)
def add_points(study: OneStudy, principal: Submitter, body: PointsFrom) -> Response:
    """Have points of your own tried: they run next, and the model learns from them. All are taken, or none."""
    added = study.add_points(body.points, reason=body.reason, by=principal.name)
    return answer({"trials": [trial_form(each) for each in added]}, 201)


# A night's study has slashes in its name, so this path fits all of the others: it comes last.
@router.get(_PATH)
def study(study: OneStudy, _: Reader) -> Response:
    """One study."""
    return answer(study_form(study.record))
