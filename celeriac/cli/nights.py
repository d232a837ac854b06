"""`celeriac schedule show` and `schedule watch`: what became of each firing, step by step, with reasons."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from celeriac.cli import text
from celeriac.cli.exit_codes import FAILED, OK
from celeriac.cli.json_output import print_json, study_form
from celeriac.cli.screen import Grid, say, show
from celeriac.cli.service import AsJson, Home, reached
from celeriac.report.plain import plain

if TYPE_CHECKING:
    from celeriac.domain.records import Firing, StudyRecord

ScheduleName = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.", show_default=False)]
Last = Annotated[int, typer.Option("--last", min=1, help="Of so many firings.")]
OneSlice = Annotated[
    str | None, typer.Option("--slice", metavar="SLICE", help="Only this slice's, such as `airport=JFK`.")
]


_LOOK_S, _REMOTE_S = 0.5, 2.0


def show_one(
    name: ScheduleName, slice_: OneSlice = None, last: Last = 20, home: Home = None, as_json: AsJson = False
) -> None:
    """Show one schedule, its latest firings, and the life of those of the newest night, step by step."""
    from celeriac.cli.deliveries import trouble
    from celeriac.client.nights import newest_night

    with reached(home) as client:
        row = client.schedule(name)
        firings = _of_slice(client.store.firings(name, limit=last if slice_ is None else 1000), slice_)[:last]
        newest = _of_slice(newest_night(client.store, name), slice_)
        studies = client.store.stage_studies([each.id for each in (*firings, *newest)])
        deliveries = client.store.deliveries(name, limit=1000)
    if as_json:
        of = {each.id: [study_form(study) for study in studies if study.firing_id == each.id] for each in firings}
        told = [{**plain(each), "studies": of[each.id]} for each in firings]
        print_json({**plain(row), "firings": told, "deliveries": deliveries})
        return
    say(f"schedule {row.name}: {text.due(row)}; {row.cron} in {row.timezone}")
    for line in trouble(deliveries):
        say(line, "yellow")
    say("slices: " + ("; ".join(text.assigned(each) for each in row.slices if each) or "none"))
    rows = [_firing_row(each, [study for study in studies if study.firing_id == each.id]) for each in firings]
    columns = ("firing", "state", "trials", "best", "for", "since", "why")
    show(Grid(columns, rows, frozenset({"best"}), spare=("since", "trials", "best")), "never fired yet")
    for firing in newest:
        for line in life_of(firing, [study for study in studies if study.firing_id == firing.id]):
            say(line)


def watch(name: ScheduleName, home: Home = None) -> None:
    """Follow the newest night, a line a step, until each firing is at its end or waits for a person; ends with 1 when
    one FAILED or waits.
    """
    from celeriac.client.nights import follow, newest_night, waiting
    from celeriac.domain.records import FiringState

    with reached(home, serving=True) as client:
        client.schedule(name)
        newest = newest_night(client.store, name)
        if not newest:
            say(f"schedule {name} was never fired yet")
        failed, ids = False, [each.id for each in newest]
        every_s = _REMOTE_S if client.settings.url else _LOOK_S

        def wait(left: "Sequence[int]") -> bool:
            return {study.firing_id for study in waiting(client.store, left)} == set(left)

        for firing in follow(client.firings_now, ids, every_s=every_s, wait=wait):
            say(f"{firing.name}: {firing.state}" + (f": {firing.reason}" if firing.reason else ""))
            failed = failed or firing.state is FiringState.FAILED
        for study in waiting(client.store, ids):
            say(f"{study.name} waits for a person: {study.reason}")
            failed = True
    raise typer.Exit(FAILED if failed else OK)


def life_of(firing: "Firing", studies: "Sequence[StudyRecord]") -> Iterator[str]:
    """A firing's life, a line a step, with the study of each stage."""
    found = {str(study.stage): study for study in studies}
    yield f"\n{firing.name}: {firing.state}"
    stage_of = {"LOOKING": "look", "SEARCHING": "search", "CONFIRMING": "confirm"}
    told: set[str] = set()
    for step in firing.steps:
        at = datetime.fromisoformat(step["at"]).astimezone()
        yield f"  {at:%H:%M:%S}  {step['state']:<10}  {step['reason'] or 'it is due'}"
        stage = stage_of.get(step["state"], "")
        study = found.get(stage)
        if study is not None and stage not in told:
            told.add(stage)
            best = f", best {text.number(study.best_score)}" if study.best_score is not None else ""
            device = f", {text.span(study.device_s)} of device time" if study.device_s else ""
            yield f"  {'':<20}  {study.name}: {study.state}, {text.finished(study)} trials{best}{device}"
            if study.state == "PAUSED":
                yield f"  {'':<20}  it waits for a person: {study.reason}"


def _of_slice(firings: "list[Firing]", slice_: str | None) -> "list[Firing]":
    from celeriac.domain.study_file import slice_name

    return [each for each in firings if slice_ in (None, slice_name(each.slice))]


def _firing_row(firing: "Firing", studies: "list[StudyRecord]") -> tuple[str, ...]:
    notes = [f"by hand, number {firing.by_hand}" if firing.by_hand else "", firing.note, firing.reason]
    notes += [f"{study.stage} is paused: {study.reason}" for study in studies if study.state == "PAUSED"]
    found = {str(study.stage): study for study in studies}
    search = found.get("search")
    return (
        firing.name,
        str(firing.state),
        ", ".join(f"{stage} {text.finished(study)}" for stage, study in found.items()),
        text.number(None if search is None else search.best_score),
        text.moment(firing.due_at),
        text.moment(firing.entered_at),
        "; ".join(dict.fromkeys(filter(None, notes))),
    )
