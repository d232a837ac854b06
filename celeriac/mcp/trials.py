"""Tools on trials: list them, compare them, read what they printed."""

from typing import Any, Literal

from celeriac.client import Client
from celeriac.client.study import Study
from celeriac.domain.errors import CallerError
from celeriac.domain.records import TrialRecord, TrialState
from celeriac.mcp.answers import attempt_answer, study_answer, thinned, trial_answer
from celeriac.report.compare import Comparison, compare_studies, compare_trials

Sort = Literal["newest", "best"]
#: So many lines of a log, and characters of those and of a traceback: one line may hold all of a log.
_MOST_LINES, _MOST_CHARACTERS = 400, 6000


def trials(client: Client, study: str, trial: int | None, state: str, sort: Sort, limit: int) -> dict[str, Any]:
    """A study's trials, or one of them with its attempts and its curve."""
    handle = client.study(study)
    if trial is not None:
        return _one(client, handle, trial)
    states = [_state(state)] if state else None
    record = handle.record
    if sort == "best" and states not in (None, [TrialState.SCORED]):
        raise CallerError(f"sort='best' lists SCORED trials: leave `state` {state!r} out, or sort='newest'")
    if sort == "best":
        listed, of = handle.best_trials(limit), record.counts.scored
    else:
        listed = handle.newest_trials(limit, states)
        of = sum(getattr(record.counts, each.lower()) for each in states or TrialState)
    return {"study": study, "of": of, "trials": [trial_answer(each, study) for each in listed]}


def _one(client: Client, study: Study, number: int) -> dict[str, Any]:
    row = study.trial(number)
    curve = [(each.step, each.value) for each in client.store.reports(study.id, number)]
    return {
        "study": study.name,
        **trial_answer(row, study.name),
        "detail": row.detail,
        "metrics": row.metrics,
        "attempts": [attempt_answer(each) for each in study.attempts_of([number])[number]],
        "curve": thinned(curve),
        "reports": len(curve),
    }


def _state(word: str) -> TrialState:
    try:
        return TrialState(word.upper())
    except ValueError:
        raise CallerError(f"{word!r} is no state of a trial; known: {', '.join(TrialState)}") from None


def compare(client: Client, study: str, trials: list[int], studies: list[str]) -> dict[str, Any]:
    """Some trials of a study beside each other, or some studies."""
    if studies:
        names = [*([study] if study else []), *studies]
        records = [client.study(each).record for each in names]
        best = [client.study(each).best for each in names]
        return {"studies": [study_answer(each) for each in records], **_compared(compare_studies(records, best))}
    if not study or len(trials) < 2:
        raise CallerError("give `study` with two or more `trials` of it, or two or more `studies`")
    handle = client.study(study)
    rows: list[TrialRecord] = [handle.trial(number) for number in trials]
    return {"study": study, **_compared(compare_trials(rows, handle.record.goal))}


def _compared(found: Comparison) -> dict[str, Any]:
    return {"best": found.best, "scores": found.scores, "differ": found.differ, "same": found.same}


def logs(client: Client, study: str, trial: int, attempt: int | None, lines: int) -> dict[str, Any]:
    """The end of what an attempt printed, and its traceback."""
    handle = client.study(study)
    row, attempts = handle.trial(trial), handle.attempts_of([trial])[trial]
    if not attempts:
        raise CallerError(f"trial {trial} of {study} is {row.state}: it has not run yet, so it printed nothing")
    chosen = attempts[-1] if attempt is None else next((a for a in attempts if a.number == attempt), None)
    if chosen is None:
        raise CallerError(f"trial {trial} of {study} has no attempt {attempt}; it has had {len(attempts)}")
    printed = handle.log_tail(trial, chosen.number).splitlines()
    text = "\n".join(printed[-min(lines, _MOST_LINES) :])
    return {
        "study": study,
        "trial": trial,
        "attempt": chosen.number,
        "attempts": len(attempts),
        "state": row.state,
        "lines": text[-_MOST_CHARACTERS:],
        "of": len(printed),
        "cut": f"only the last {_MOST_CHARACTERS} characters of these lines" if len(text) > _MOST_CHARACTERS else "",
        "traceback": "" if chosen.traceback.strip() in text else chosen.traceback[-_MOST_CHARACTERS:],
    }
