"""Tools on nights: morning, schedules, champions, approval."""

import time
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from celeriac.client import Client
from celeriac.client.nights import follow, newest_night
from celeriac.domain.errors import CallerError
from celeriac.domain.study_file import slice_name
from celeriac.mcp.answers import MOST_WAIT_S, champion_answer, firing_answer, schedule_answer
from celeriac.report.morning.lines import lines

What = Literal["show", "add", "replace", "fire", "pause", "resume", "remove", "next"]
Answer = Literal["approve", "reject", "promote", "rollback"]


def morning(client: Client, schedule: str, night: str) -> dict[str, Any]:
    """What the last night changed, and what a person should look at."""
    names = [schedule] if schedule else [each.name for each in client.schedules()]
    if not names:
        raise CallerError("there is no schedule yet: schedule(what='add', file=...) makes one")
    told = client.mornings(schedule or None, night or None, None)
    found = [each for of_schedule in told for each in of_schedule]
    if not found:
        raise CallerError(f"no night yet of {', '.join(names)}: schedule(what='fire', name=...) runs one now")
    return {
        "mornings": [
            {
                "schedule": each.schedule,
                "night": each.night,
                "is_over": each.is_over,
                "states": each.states,
                "attention": [{"slice": slice_name(a.slice), "what": a.what, "how": a.command} for a in each.attention],
                "told": "\n".join(lines(each)),
            }
            for each in found
        ]
    }


def schedule(
    client: Client, what: What, name: str, file: str, due: str, slice_: str, reason: str, wait_s: float, limit: int
) -> dict[str, Any]:
    """Schedules: list, show, add, replace, fire, pause, resume, remove, and what comes next."""
    if what in ("add", "replace"):
        if not file:
            raise CallerError(f"{what} needs `file`, the path of a schedule file")
        return schedule_answer(client.add_schedule(Path(file), replace_it=what == "replace", reason=reason))
    if not name:
        if what != "show":
            raise CallerError(f"{what} needs `name`; there are {', '.join(each.name for each in client.schedules())}")
        return {"schedules": [schedule_answer(each) for each in client.schedules()]}
    if what == "fire":
        return {**_fire(client, name, due, slice_, reason), **_waited(client, name, wait_s, limit)}
    if what == "next":
        groups = client.coming(name, limit).groups
        return {
            "schedule": name,
            "next": [
                {"slice": slice_name(each.slice), "due_at": each.due_at, "why_not": each.why_not}
                for group in groups
                for each in group
            ][:limit],
        }
    if what != "show":
        done: Literal["paused", "resumed", "removed"] = "paused"
        done = {"pause": "paused", "resume": "resumed", "remove": "removed"}[what]  # type: ignore[assignment]
        client.edit_schedule(name, done, reason)
        return {"schedule": name, "is": done}
    return _waited(client, name, wait_s, limit) or _show(client, name, limit)


def _fire(client: Client, name: str, due: str, slice_: str, reason: str) -> dict[str, Any]:
    try:
        at = datetime.fromisoformat(due) if due else None
    except ValueError:
        raise CallerError(f"due {due!r} is no ISO time such as 2026-11-29T02:00+01:00") from None
    if at is not None and at.tzinfo is None:
        raise CallerError(f"due {due!r} needs an offset, such as 2026-11-29T02:00+01:00")
    opened = client.fired(name, at, slice_ or None, again=False, reason=reason)
    return {"schedule": name, "studies": opened, "next": "status(study, wait_s=300)"}


def _waited(client: Client, name: str, wait_s: float, limit: int) -> dict[str, Any]:
    """The schedule once its newest night is at its end, or the time is over; empty without a time."""
    if wait_s <= 0:
        return {}
    until = time.monotonic() + min(wait_s, MOST_WAIT_S)
    for _ in follow(client.firings_now, [each.id for each in newest_night(client.store, name)], until=until):
        pass
    return _show(client, name, limit)


def _show(client: Client, name: str, limit: int) -> dict[str, Any]:
    row, newest = client.store.schedule(name), newest_night(client.store, name)
    firings = newest or client.store.firings(name, limit=limit)
    studies = client.store.stage_studies([each.id for each in firings])
    return {
        **schedule_answer(row),
        "newest_night": [firing_answer(each, studies) for each in firings[:limit]],
        "of": len(firings),
    }


def champion(client: Client, schedule: str, slice_: str, history: bool, limit: int) -> dict[str, Any]:
    """The champion of each slice, or of one; with `history` every verdict."""
    names = [schedule] if schedule else [each.name for each in client.schedules()]
    if history:
        found = [verdict for name in names for verdict in client.verdicts(name)]
    else:
        found = [each for name in names for each in client.champions(client.schedule(name).name)]
        waiting = [
            waits
            for name in names
            for each in _slices(client, name)
            if slice_ in ("", each) and (waits := client.standing(name, each).awaiting)
        ]
        found += [each for each in waiting if each.id not in {other.id for other in found}]
    chosen = [each for each in found if not slice_ or slice_name(each.slice) == slice_]
    if not chosen and slice_ and schedule:
        client.standing(schedule, slice_)  # an unknown one is told
    told = [champion_answer(each) for each in chosen[:limit]]
    return {
        "champions": told,
        "of": len(chosen),
        "next": None if told else "no champion yet: a night that surely beats its own trial 0 makes one",
    }


def _slices(client: Client, name: str) -> tuple[str | None, ...]:
    return tuple(map(slice_name, client.schedule(name).slices)) or (None,)


def approve(
    client: Client,
    schedule: str,
    slice_: str,
    answer: Answer,
    reason: str,
    study: str,
    trial: int | None,
    to: int | None,
) -> dict[str, Any]:
    """Answer what waits for approval, promote a trial by hand, or roll a champion back."""
    if answer == "promote":
        if not study or trial is None:
            raise CallerError("promote needs `study` and `trial`: a scored trial of a schedule's study")
        return champion_answer(client.promote(study, trial, slice_ or None, reason or "by an agent"))
    where = slice_ or None
    if answer == "rollback":
        return champion_answer(client.roll_back(schedule, where, reason or "rolled back by an agent", to))
    act = client.approve if answer == "approve" else client.reject
    return champion_answer(act(schedule, where, reason or f"{answer} by an agent"))
