"""Trials of a study: lists, one, its attempts, logs and reports, and what a person may say to it."""

from collections.abc import Callable
from dataclasses import fields as fields_of
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from celeriac.client import Client, Study
from celeriac.client.lineage import Part
from celeriac.domain.records import Checkpoint, Fault, Report, Source, TrialRecord, TrialState
from celeriac.report.advice import advice
from celeriac.report.explain.why import explained
from celeriac.report.forms import attempt_form, trial_form, why_form
from celeriac.store.api_web import TrialFilter
from celeriac.web.answers import answer
from celeriac.web.api.arguments import AttemptNumber, Number, OneStudy, Points, Why
from celeriac.web.auth.principal import Reader, Submitter
from celeriac.web.dependencies import ClientDep, StoreDep
from celeriac.web.paging import Cursor, Limit, cursor_of, place_of, whole
from celeriac.web.problems import Refused
from celeriac.web.schema import page_of, says
from celeriac.web.shapes import ATTEMPT, ATTEMPTS, CURVES, LISTED_TRIAL, OWN_REPORT, REPORT, TRIAL, WHOLE_TRIAL, WHY

router = APIRouter(prefix="/studies/{study:path}", tags=["trials"])
_ONE = "/trials/{number}"
#: Curves of so many trials are given at once; attempts and reports of so many may be named.
_MOST_CURVES, _MOST_NAMED = 200, 500
_MOST_POINTS = 100_000
_Number = Annotated[int, Query(ge=0, le=2**31 - 1)]
EndedNo = Annotated[int, Query(ge=0, le=2**31 - 1, description="A trial's `ended_no`.")]
Trials = Annotated[list[_Number] | None, Query(max_length=_MOST_NAMED, description="Of these trials; else of all.")]


@router.get("/trials", responses=says(page_of(LISTED_TRIAL)))
def trials(
    _: Reader,
    store: StoreDep,
    client: ClientDep,
    study: OneStudy,
    state: Annotated[list[TrialState] | None, Query()] = None,
    source: Annotated[list[Source] | None, Query()] = None,
    fault: Annotated[list[Fault] | None, Query()] = None,
    min_score: Annotated[float | None, Query(allow_inf_nan=False)] = None,
    max_score: Annotated[float | None, Query(allow_inf_nan=False)] = None,
    order: Annotated[Literal["number", "-number", "score"], Query(description="`score`: the best first.")] = "number",
    after: Annotated[int | None, Query(ge=-1, le=2**31 - 1, description="Only trials of higher numbers.")] = None,
    runs: Annotated[bool, Query(description="With the attempts of each, and advice on its fault.")] = False,
    fields: Annotated[
        str | None, Query(max_length=500, description="Only these of each, with commas, beside `number`.")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Response:
    """A study's trials."""
    wanted, form = TrialFilter(state or (), source or (), fault or (), min_score, max_score), _cut(fields, runs=runs)
    if after is not None and order != "number":
        raise Refused(422, "after: is for order=number; the other orders go on by `cursor`")
    if order == "score":
        place = place_of(cursor, float, int)
        at_score = None if place is None else (place[0], place[1])
        goal = study.record.goal
        found = store.trials_by_score(study.id, wanted, goal=goal, after=at_score, limit=limit + 1)
        forms = _forms(client, study, found[:limit], runs=runs) + found[limit:]
        return whole(forms, limit, lambda last: cursor_of(float(last["score"]), last["number"]), form=form)
    at = place_of(cursor, int)
    found = store.trials_page(study.id, wanted, after=at[0] if at else after, down=order == "-number", limit=limit + 1)
    forms = _forms(client, study, found[:limit], runs=runs) + found[limit:]
    return whole(forms, limit, lambda last: cursor_of(last["number"]), form=form)


_RUNS = ("runs", "members", "advice")
_FIELDS = frozenset(each.name for each in fields_of(TrialRecord))


def _cut(fields: str | None, *, runs: bool) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What of each trial is shown. Raises Refused for a field that a trial has not."""
    if fields is None:
        return lambda form: form
    asked = {each.strip() for each in fields.split(",") if each.strip()}
    known = _FIELDS | set(_RUNS if runs else ())
    if unknown := sorted(asked - known):
        raise Refused(422, f"fields: a trial has no {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    return lambda form: {name: value for name, value in form.items() if name == "number" or name in asked}


@router.get("/ended", responses=says(page_of(TRIAL)))
def ended(
    _: Reader, store: StoreDep, study: OneStudy, after: EndedNo = 0, cursor: Cursor = None, limit: Limit = 100
) -> Response:
    """The trials that have ended, in the order of their ends (`ended_no`), from the one after `after`: for who follows
    a study.
    """
    at = place_of(cursor, int)
    found = store.ended_since(study.id, at[0] if at else after, limit + 1)
    return whole(found, limit, lambda last: cursor_of(last.ended_no))


def _report(each: Report) -> dict[str, Any]:
    return {"step": each.step, "value": each.value, "metrics": each.metrics, "at": each.at}


def _forms(client: Client, study: Study, found: list[TrialRecord], *, runs: bool) -> list[Any]:
    if not runs:
        return [trial_form(each) for each in found]
    attempts = client.store.attempts_of(study.id, [each.number for each in found])
    gangs = study.gang_places(found)
    members = {each.number: [place for place in gangs if place.trial == each.number] for each in found}
    return [
        {**trial_form(each, attempts[each.number], members[each.number]), "advice": advice(each, study.name)}
        for each in found
    ]


@router.get(_ONE, responses=says(WHOLE_TRIAL))
def trial(_: Reader, client: ClientDep, study: OneStudy, number: Number) -> Response:
    """One trial with its attempts, and advice on its fault."""
    return answer(_forms(client, study, [study.trial(number)], runs=True)[0])


@router.get(_ONE + "/why", responses=says(WHY))
def why(_: Reader, study: OneStudy, number: Number) -> Response:
    """Why it was run: how its parameters were found, what was expected, and how it turned out."""
    record, found = study.record, study.trial(number)
    return answer(why_form(record, found, explained(found, record.goal, study.pending_then(found)), None))


@router.get(_ONE + "/lineage", responses=says([Part]))
def lineage(_: Reader, study: OneStudy, number: Number) -> Response:
    """The parts of its training where it went on from other trials' checkpoints; else one part."""
    return answer(study.lineage(number))


@router.get(_ONE + "/reports", responses=says([REPORT]))
def reports(
    _: Reader,
    store: StoreDep,
    study: OneStudy,
    number: Number,
    attempt: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    points: Points = 1000,
) -> Response:
    """What it reported, by step: thinned evenly to about so many points."""
    study.trial(number)
    found = store.sampled_reports(study.id, [number], points=points, attempt=attempt)[number]
    return answer([_report(each) for each in found])


@router.get("/curves", responses=says(CURVES))
def curves(
    _: Reader,
    store: StoreDep,
    study: OneStudy,
    trial: Annotated[list[_Number], Query(max_length=_MOST_CURVES)],
    points: Points = 100,
) -> Response:
    """What these trials reported, each thinned evenly to about so many points, as steps and values."""
    if len(trial) * points > _MOST_POINTS:
        most = f"{len(trial)} trials of {points} points each: {_MOST_POINTS:,} together at most"
        raise Refused(422, f"points: {most}; ask for fewer points, or for some of the trials at a time")
    found = store.sampled_reports(study.id, trial, points=points)
    form = {n: {"step": [each.step for each in r], "value": [each.value for each in r]} for n, r in found.items()}
    return answer(form)


@router.get(_ONE + "/attempts", responses=says([ATTEMPT]))
def attempts(_: Reader, store: StoreDep, study: OneStudy, number: Number) -> Response:
    """Its attempts, first to last."""
    study.trial(number)
    return answer([attempt_form(each) for each in store.attempts(study.id, number)])


@router.get(_ONE + "/attempts/{attempt}/log", responses=says({"log": str}))
def log(_: Reader, store: StoreDep, study: OneStudy, number: Number, attempt: AttemptNumber) -> Response:
    """What the attempt printed last."""
    study.trial(number)
    return answer({"log": store.log_tail(study.id, number, attempt)})


@router.get(_ONE + "/checkpoints", responses=says([Checkpoint]))
def checkpoints(_: Reader, store: StoreDep, study: OneStudy, number: Number) -> Response:
    """Its checkpoints, newest first."""
    study.trial(number)
    return answer(store.checkpoints(study.id, number))


# Names have slashes, so that these fit the paths of one trial above too: they come after those.
@router.get("/attempts", responses=says(ATTEMPTS))
def all_attempts(
    _: Reader, store: StoreDep, study: OneStudy, trial: Trials = None, cursor: Cursor = None, limit: Limit = 100
) -> Response:
    """The attempts of these trials, or of all, by trial and number."""
    place = place_of(cursor, int, int)
    after = None if place is None else (place[0], place[1])
    found = store.attempts_page(study.id, trial, after=after, limit=limit + 1)
    return whole(found, limit, lambda last: cursor_of(last.trial, last.number), form=attempt_form)


@router.get("/reports", responses=says(page_of(OWN_REPORT)))
def all_reports(
    _: Reader, store: StoreDep, study: OneStudy, trial: Trials = None, cursor: Cursor = None, limit: Limit = 500
) -> Response:
    """What these trials reported, or all, by trial and step; the latest attempt's value where a step came twice."""
    place = place_of(cursor, int, int)
    after = None if place is None else (place[0], place[1])
    found = store.reports_page(study.id, trial, after=after, limit=limit + 1)
    forms = [{"trial": number, **_report(each)} for number, each in found]
    return whole(forms, limit, lambda last: cursor_of(last["trial"], last["step"]))


@router.post(_ONE + "/retry", responses=says(TRIAL))
def retry(principal: Submitter, study: OneStudy, number: Number, body: Why) -> Response:
    """Run it once more, if it FAILED: same number and parameters, a new attempt."""
    study.trial(number)
    return answer(trial_form(study.retry([number], body.said("run once more", principal))[0]))


@router.post(_ONE + "/cancel", responses=says(TRIAL))
def cancel(principal: Submitter, study: OneStudy, number: Number, body: Why) -> Response:
    """End it CANCELLED: it is not retried and uses no budget."""
    return answer(trial_form(study.cancel(number, body.said("cancelled", principal))))
