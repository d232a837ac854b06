"""Tools on studies: submit, status, why, add points, stop."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from celeriac.client import Client
from celeriac.client.client import SpecLike
from celeriac.client.preview import preview
from celeriac.client.progress import Progress, why_waiting
from celeriac.client.study import Study
from celeriac.domain.errors import CallerError, StudyPaused
from celeriac.domain.records import CLOSED, StudyState, TrialState
from celeriac.mcp.answers import MOST_WAIT_S, study_answer, trial_answer
from celeriac.report.explain.why import explained

How = Literal["stop", "pause", "resume", "cancel", "retry", "extend", "reopen"]


def submit(client: Client, file: str, spec: dict[str, Any] | None, name: str, dry_run: bool) -> dict[str, Any]:
    """Open a study, or say what it would cost and try first."""
    if bool(file) == bool(spec):
        raise CallerError("give either `file`, the path of a study file, or `spec`, the same as an object")
    given: SpecLike = Path(file) if file else spec or {}
    if dry_run:
        return {"dry_run": True, **preview(client, given, name=name or None)}
    made = client.open(given, name=name or None)
    return {**study_answer(made.study.record), "attached": made.attached or None, "notes": made.notes}


def status(client: Client, study: str, wait_s: float, limit: int) -> dict[str, Any]:
    """All that is there, or one study; waits for its end if asked to."""
    if not study:
        return _status_of_all(client, limit)
    handle = client.study(study)
    if wait_s > 0:
        _wait(handle, min(wait_s, MOST_WAIT_S))
    progress = client.progress(handle)
    best, (_, limits, _) = handle.best, handle.waiting()
    running = [trial_answer(each, study) for each in progress.running[:limit]]
    return {
        **study_answer(progress.study),
        "best_params": None if best is None else best.params,
        "running": running,
        "waiting_because": why_waiting(progress),
        "left_s": progress.left_s,
        "sampler": progress.sampler.name,
        "device_budgets": [{"name": b.name, "hours": b.hours, "spent_s": b.spent_s} for b in limits.budgets],
        "deadline_at": limits.deadline_at,
        "next": _next_step(progress),
    }


_START = "`celeriac up --detach` starts some on this machine"
_ASK = "ask whoever keeps the service; studies that are submitted wait"


def _status_of_all(client: Client, limit: int) -> dict[str, Any]:
    records, devices = client.records(limit + 1), client.devices()
    here = not client.settings.url
    return {
        "studies": [{key: v for key, v in study_answer(each).items() if key != "counts"} for each in records[:limit]],
        "more": len(records) > limit or None,
        "slots": sum(len(each.slots) for each in devices),
        "hosts": sorted({each.host for each in devices}),
        "schedules": [each.name for each in client.schedules()],
        "next": None if devices else f"no worker is alive: {_START if here else _ASK}",
    }


def _wait(study: Study, wait_s: float) -> None:
    """Until it is closed, paused, or the time is over: `status` then says which."""
    try:
        study.wait(wait_s)
    except (TimeoutError, StudyPaused):
        return


def _next_step(progress: Progress) -> str:
    study = progress.study
    if study.state is StudyState.PAUSED:
        return "mend what the reason says, then stop(study, how='resume')"
    if study.state in CLOSED:
        return "trials(study, sort='best') shows its best; stop(study, how='extend', trials=N) lets it go on"
    return "status(study, wait_s=300) waits for its end"


def why(client: Client, study: str, trial: int | None) -> dict[str, Any]:
    """Why a study waits, or how a trial's parameters were found."""
    handle = client.study(study)
    record = handle.record
    if trial is not None:
        row = handle.trial(trial)
        found = explained(row, record.goal)
        told = found.provenance
        return {
            **trial_answer(row, study),
            "how": found.how,
            "who": told.more.get("who"),
            "sampler": told.sampler,
            "knew": told.observed,
            "expected": told.expected,
            "outcome": found.outcome,
        }
    waits, _, _ = handle.waiting()
    held = client.store.trials(handle.id, states=[TrialState.WAITING], limit=5)
    return {
        "study": study,
        "state": record.state,
        "state_reason": record.reason,
        **asdict(waits),
        "waiting_trials": {each.number: each.detail for each in held if each.detail},
        "proposers": handle.proposers(),
    }


def add_points(client: Client, study: str, points: list[dict[str, Any]], reason: str, by: str) -> dict[str, Any]:
    """Have points tried."""
    # Over the API the token says who proposes, and nobody else.
    by = "" if client.settings.url else by
    added = client.study(study).add_points(points, reason=reason, by=by)
    return {"study": study, "trials": [each.number for each in added], "next": "status(study, wait_s=60)"}


def stop(client: Client, study: str, how: How, trial: int | None, trials: str, reason: str) -> dict[str, Any]:
    """Stop, pause, resume, extend or reopen a study; cancel or retry a trial."""
    handle, said = client.study(study), f"{reason or f'{how} by an agent'}"
    if how == "cancel":
        if trial is None:
            raise CallerError("cancel needs `trial`, the number of the trial to end; how='stop' ends the whole study")
        return trial_answer(handle.cancel(trial, said), study)
    if how == "retry":
        again = handle.retry(None if trial is None else [trial], said)
        return {**study_answer(handle.record), "retried": [each.number for each in again]}
    if how == "extend":
        if not trials:
            raise CallerError("extend needs `trials`, such as '+20' for twenty more")
        handle.extend(trials if trials.startswith("+") else int(trials), reason=said)
    else:
        {"stop": handle.stop, "pause": handle.pause, "resume": handle.resume, "reopen": handle.reopen}[how](said)
    return study_answer(handle.record)
