"""`celeriac why STUDY [N]`: what a study or a trial waits for, its place in the line, and its expected start."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from celeriac.cli import text
from celeriac.cli.json_output import limits_form, place_form, print_json
from celeriac.cli.screen import say
from celeriac.cli.service import AsJson, Home, StudyName, reached
from celeriac.report.words import part_of

if TYPE_CHECKING:
    from celeriac.client.proposing import Proposer
    from celeriac.client.waiting import PlaceWait, TimeLimits

#: Of so many waiting trials it is told what became of them before.
MOST_TOLD = 20
OneTrial = Annotated[int | None, typer.Argument(metavar="[N]", min=0, help="One trial of it.", show_default=False)]


def why(study: StudyName, number: OneTrial = None, home: Home = None, as_json: AsJson = False) -> None:
    """Say why a study waits: its part of the fleet, its place in the line, when it is expected to go on and to end.

    With a trial's number: how its parameters were found, and what it waits for.
    """
    from celeriac.cli.why import tell_why
    from celeriac.domain.records import CLOSED, TrialState

    with reached(home) as client:
        handle = client.study(study)
        if number is not None:
            trial = handle.trial(number)
            code = tell_why(client, handle, number, as_json=as_json, replay=False)
            if as_json or trial.state not in (TrialState.WAITING, TrialState.QUEUED, TrialState.PAUSED):
                raise typer.Exit(code)
            say("")
        record = handle.record
        found, limits, place = handle.waiting()
        proposers = handle.proposers()
        waiting = list(islice(handle.each_trial([TrialState.WAITING]), MOST_TOLD))
    if as_json:
        form = {"study": handle.name, **asdict(found), **limits_form(limits), "placement": place_form(place)}
        print_json({**form, "proposers": proposers})
        return
    say(f"{handle.name}: {found.reason}" + (f": {record.reason}" if record.state in CLOSED else ""))
    for trial in waiting:
        if trial.detail:
            say(f"  trial {trial.number}: {text.one_line(trial.detail)}")
    if found.of:
        say(f"  its part of the fleet: {part_of(found.slots, found.of, record.resources)}")
    if found.place is not None:
        when = "nobody knows yet" if found.starts_s is None else f"in about {text.span(found.starts_s)}"
        say(f"  its next trial is expected to start: {when if found.starts_s != 0 else 'now'}")
    if found.ends_s is not None:
        say(f"  its last trial is expected to end in about {text.span(found.ends_s)}")
    for line in (
        *told_of_place(place, found.place is not None or not found.of),
        *told_of_limits(limits),
        *told_of_proposers(proposers),
    ):
        say(f"  {line}")
    if found.late and not limits.announced:
        say(f"  {found.late}", "yellow")


def told_of_place(place: "PlaceWait | None", has_next: bool = True) -> "Iterator[str]":
    """Why a study whose devices are chosen has none for its next trial, and what each of them lacks."""
    if place is None:
        return
    for number, reason in place.barred[:MOST_TOLD]:
        yield f"trial {number}: {reason}"
    if not has_next or (not place.devices and not place.reason):
        return
    yield f"its next trial's place: {place.reason or 'there is one now'}"
    for host, device, lacks in place.devices[:MOST_TOLD]:
        yield f"  {device} on {host}: {lacks or 'has room'}"
    if len(place.devices) > MOST_TOLD:
        yield f"  and {len(place.devices) - MOST_TOLD} more"


def told_of_proposers(proposers: "Sequence[Proposer]") -> "Iterator[str]":
    """A line for each who has proposed points, with how many more are taken now and why."""
    for each in proposers:
        yield f"proposer {each.who}: {text.counted(each.given, 'point')} taken, {each.most} more now: {each.reason}"


def told_of_limits(limits: "TimeLimits") -> "Iterator[str]":
    """A line for each budget of device time, and for a deadline."""
    for each in limits.budgets:
        yield f"{each.name}: {each.told_spent} of {each.hours:g} h used{each.told_kept}"
    if limits.deadline_at is not None:
        yield f"deadline: {text.moment(limits.deadline_at)}" + (f"; {limits.announced}" if limits.announced else "")
