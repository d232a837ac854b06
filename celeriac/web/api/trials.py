"""Trials of a study: lists, one, its attempts, logs and reports, and what a person may say to it."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from celeriac.client import Client, Study
from celeriac.domain.records import Fault, Source, TrialRecord, TrialState
from celeriac.report.advice import advice
from celeriac.report.explain.why import explained
from celeriac.report.forms import attempt_form, trial_form, why_form
from celeriac.store.api_web import TrialFilter
from celeriac.web.answers import answer
from celeriac.web.api.asking import AttemptNumber, Number, OneStudy, Points, Why
from celeriac.web.asked import Doing, Reading
from celeriac.web.auth.principal import Reader, Submitter
from celeriac.web.paging import Cursor, Limit, cursor_of, place_of, whole

router = APIRouter(prefix="/studies/{study:path}", tags=["trials"])
_ONE = "/trials/{number}"
#: Curves of so many trials are given at once.
_MOST_CURVES = 200


@router.get("/trials")
def trials(
    store: Reading,
    client: Doing,
    study: OneStudy,
    _: Reader,
    state: Annotated[list[TrialState] | None, Query()] = None,
    source: Annotated[list[Source] | None, Query()] = None,
    fault: Annotated[list[Fault] | None, Query()] = None,
    min_score: Annotated[float | None, Query(allow_inf_nan=False)] = None,
    max_score: Annotated[float | None, Query(allow_inf_nan=False)] = None,
    order: Annotated[Literal["number", "-number", "score"], Query(description="`score`: the best first.")] = "number",
    runs: Annotated[bool, Query(description="With the attempts of each, and advice on its fault.")] = False,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Response:
    """A study's trials."""
    wanted = TrialFilter(state or (), source or (), fault or (), min_score, max_score)
    if order == "score":
        place = place_of(cursor, float, int)
        after = None if place is None else (place[0], place[1])
        goal = study.record.goal
        found = store.trials_by_score(study.id, wanted, goal=goal, after=after, limit=limit + 1)
        forms = _forms(client, study, found[:limit], runs=runs) + found[limit:]
        return whole(forms, limit, lambda last: cursor_of(float(last["score"]), last["number"]))
    at = place_of(cursor, int)
    found = store.trials_page(study.id, wanted, after=at[0] if at else None, down=order == "-number", limit=limit + 1)
    forms = _forms(client, study, found[:limit], runs=runs) + found[limit:]
    return whole(forms, limit, lambda last: cursor_of(last["number"]))


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


@router.get(_ONE)
def trial(client: Doing, study: OneStudy, _: Reader, number: Number) -> Response:
    """One trial with its attempts, and advice on its fault."""
    return answer(_forms(client, study, [study.trial(number)], runs=True)[0])


@router.get(_ONE + "/why")
def why(store: Reading, study: OneStudy, _: Reader, number: Number) -> Response:
    """Why it was run: how its parameters were found, what was expected, and how it turned out."""
    record, found = study.record, study.trial(number)
    then = found.provenance.known_then(number)
    pending = [] if then is None else store.pending(study.id, observed=then[0], below=then[1])
    return answer(why_form(record, found, explained(found, record.goal, [each.number for each in pending]), None))


@router.get(_ONE + "/lineage")
def lineage(study: OneStudy, _: Reader, number: Number) -> Response:
    """The parts of its training where it went on from other trials' checkpoints; else one part."""
    return answer(study.lineage(number))


@router.get(_ONE + "/reports")
def reports(
    store: Reading,
    study: OneStudy,
    _: Reader,
    number: Number,
    attempt: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    points: Points = 1000,
) -> Response:
    """What it reported, by step: thinned evenly to about so many points."""
    study.trial(number)
    found = store.sampled_reports(study.id, [number], points=points, attempt=attempt)[number]
    return answer([{"step": each.step, "value": each.value, "metrics": each.metrics, "at": each.at} for each in found])


@router.get("/curves")
def curves(
    store: Reading,
    study: OneStudy,
    _: Reader,
    trial: Annotated[list[Annotated[int, Query(ge=0, le=2**31 - 1)]], Query(max_length=_MOST_CURVES)],
    points: Points = 100,
) -> Response:
    """What these trials reported, each thinned evenly to about so many points, as steps and values."""
    found = store.sampled_reports(study.id, trial, points=points)
    form = {n: {"step": [each.step for each in r], "value": [each.value for each in r]} for n, r in found.items()}
    return answer(form)


@router.get(_ONE + "/attempts")
def attempts(store: Reading, study: OneStudy, _: Reader, number: Number) -> Response:
    """Its attempts, first to last."""
    study.trial(number)
    return answer([attempt_form(each) for each in store.attempts(study.id, number)])


@router.get(_ONE + "/attempts/{attempt}/log")
def log(store: Reading, study: OneStudy, _: Reader, number: Number, attempt: AttemptNumber) -> Response:
    """What the attempt printed last."""
    study.trial(number)
    return answer({"log": store.log_tail(study.id, number, attempt)})


@router.get(_ONE + "/checkpoints")
def checkpoints(store: Reading, study: OneStudy, _: Reader, number: Number) -> Response:
    """Its checkpoints, newest first."""
    study.trial(number)
    return answer(store.checkpoints(study.id, number))


@router.post(_ONE + "/retry")
def retry(study: OneStudy, principal: Submitter, number: Number, body: Why) -> Response:
    """Run it once more, if it FAILED: same number and parameters, a new attempt."""
    study.trial(number)
    return answer(trial_form(study.retry([number], body.said("run once more", principal))[0]))


@router.post(_ONE + "/cancel")
def cancel(study: OneStudy, principal: Submitter, number: Number, body: Why) -> Response:
    """End it CANCELLED: it is not retried and uses no budget."""
    return answer(trial_form(study.cancel(number, body.said("cancelled", principal))))
