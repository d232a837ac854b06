"""Commands on schedules, studies that run again by the clock, once for each slice."""

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, cast
from zoneinfo import ZoneInfo

import typer

from celeriac.cli import nights, text
from celeriac.cli.hints import command
from celeriac.cli.json_output import print_json, tell_change
from celeriac.cli.screen import Grid, remark, say, show
from celeriac.cli.service import AsJson, Home, SpecFile, reached

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celeriac.client import Client
    from celeriac.decide.calendar import Coming
    from celeriac.domain.records import Schedule

app = typer.Typer(
    name="schedule",
    help="Studies that run again by the clock, for each slice.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

#: So many slices of one due time are named, the others counted.
_MOST_NAMED = 12

ScheduleName = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.", show_default=False)]
From = Annotated[str, typer.Option("--from", metavar="DATE", help="The first day, such as 2013-10-01.")]
To = Annotated[str, typer.Option("--to", metavar="DATE", help="The last day.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; its history keeps it.")]
WhyFired = Annotated[str, typer.Option("--reason", help="Why; the firing keeps it, with who asked for it.")]
OneSlice = Annotated[str | None, typer.Option("--slice", metavar="SLICE", help="Only this one, such as `airport=JFK`.")]
Again = Annotated[bool, typer.Option("--again", help="Also a night that had its firing: once more, by hand.")]
Count = Annotated[int, typer.Option("-n", min=1, max=1000, help="How many due times.")]
Replace = Annotated[bool, typer.Option("--replace", help="Put this spec in the place of another one of that name.")]
Due = Annotated[
    str | None,
    typer.Option(
        "--due", help="The due time: ISO, `2013-10-01` or `2013-10-01T02:00`, in the schedule's zone (default: now)."
    ),
]


@app.command("add")
def add(
    file: SpecFile, replace: Replace = False, reason: Reason = "", home: Home = None, as_json: AsJson = False
) -> None:
    """Put a schedule file into force."""
    with reached(home) as client:
        row = client.add_schedule(file, replace_it=replace, reason=reason)
        tell_change(
            as_json,
            row,
            f"schedule {row.name}: {text.counted(len(row.slices), 'slice')}, due {text.moment(row.next_due_at)}"
            f" ({row.cron}, {row.timezone})",
        )
        remark(f"Try it now:  {command('schedule', 'fire', row.name)}")


@app.command("list")
def listed(home: Home = None, as_json: AsJson = False) -> None:
    """List all schedules with their next firing."""
    with reached(home) as client:
        rows = client.schedules()
    if as_json:
        print_json(rows)
        return
    listed_ = [(each.name, text.due(each), each.cron, each.timezone, str(len(each.slices))) for each in rows]
    grid = Grid(("schedule", "next", "cron", "zone", "slices"), listed_, frozenset({"slices"}))
    show(grid, "No schedule yet: `celeriac schedule add FILE`.")


app.command("show")(nights.show_one)
app.command("watch")(nights.watch)


@app.command("pause")
def pause(name: ScheduleName, reason: Reason = "", home: Home = None, as_json: AsJson = False) -> None:
    """Make no more firings until it is resumed."""
    with reached(home) as client:
        client.edit_schedule(name, "paused", reason)
        tell_change(as_json, {"schedule": name, "done": "paused"}, f"schedule {name} is paused")


@app.command("resume")
def resume(name: ScheduleName, reason: Reason = "", home: Home = None, as_json: AsJson = False) -> None:
    """Fire again; of the firings that were missed those are made that its `catch_up` says: only the latest, if none."""
    with reached(home) as client:
        client.edit_schedule(name, "resumed", reason)
        due_at = client.schedule(name).next_due_at
        form = {"schedule": name, "done": "resumed", "next_due_at": due_at}
        tell_change(as_json, form, f"schedule {name} is due {text.moment(due_at)}")


@app.command("remove")
def remove(name: ScheduleName, reason: Reason = "", home: Home = None, as_json: AsJson = False) -> None:
    """Forget a schedule; its studies, champions and history stay."""
    with reached(home) as client:
        client.edit_schedule(name, "removed", reason)
        form = {"schedule": name, "done": "removed"}
        tell_change(as_json, form, f"schedule {name} is gone; its studies and champions stay")


@app.command("history")
def history(name: ScheduleName, home: Home = None, as_json: AsJson = False) -> None:
    """Show who changed a schedule, when, and what."""
    with reached(home) as client:
        edits = client.schedule_edits(name)
    if as_json:
        print_json(edits)
        return
    rows = [
        (text.moment(each.at), each.who, each.what, "; ".join((*each.changes, *filter(None, [each.reason]))))
        for each in edits
    ]
    show(Grid(("when", "who", "did", "what changed, and why"), rows), "No edit is known: it is older than its history.")


@app.command("next")
def next_(name: ScheduleName, count: Count = 7, home: Home = None, as_json: AsJson = False) -> None:
    """Show what would run at the next due times: which slices, when by their own clocks, what is skipped and why."""
    with reached(home) as client:
        found = client.coming(name, count)
    groups, now = found.groups, found.now
    if as_json:
        print_json([each for group in groups for each in group])
        return
    if found.schedule.paused:
        say(f"schedule {name} is paused: nothing of this runs until `{command('schedule', 'resume', name)}`")
    for slice_, why in found.waiting:
        say(f"{text.assigned(slice_) or name}: {why}")
    rows = [_coming_row(alike, now) for group in groups for alike in _alike(group)]
    show(Grid(("due", "slices", "begins", "done by", "then"), rows, folds=frozenset({"slices"})), "")


def _alike(group: "Sequence[Coming]") -> "list[list[Coming]]":
    """Those slices of one due time together that have the same clock and the same to be told."""
    found: dict[object, list[Coming]] = {}
    for each in group:
        found.setdefault((each.timezone, each.deadline_at, each.why_not), []).append(each)
    return list(found.values())


def _coming_row(alike: "list[Coming]", now: datetime) -> tuple[str, ...]:
    first, zone = alike[0], ZoneInfo(alike[0].timezone)
    begins = sorted(each.begins_at for each in alike)
    spread = f"{begins[0].astimezone(zone):%H:%M:%S}" + (
        f" to {begins[-1].astimezone(zone):%H:%M:%S}" if len(set(begins)) > 1 else ""
    )
    names = [text.assigned(each.slice) or "-" for each in alike]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    late = "due since then" if first.due_at <= now else "runs"
    return (
        f"{first.due_at.astimezone(zone):%a %Y-%m-%d %H:%M %Z}",
        ", ".join(names[:_MOST_NAMED]) + more,
        spread,
        "-" if first.deadline_at is None else f"{first.deadline_at.astimezone(zone):%a %H:%M}",
        f"skipped: {first.why_not}" if first.why_not else late,
    )


@app.command("fire")
def fire(
    name: ScheduleName,
    due: Due = None,
    slice_: OneSlice = None,
    again: Again = False,
    reason: WhyFired = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Open one firing's studies now; the clock's own firings are made regardless.

    A due time of the schedule's own that has passed is made up for, each slice once; `--again` runs a night once more
    at its own due time. For any other time, and without one, it is a firing by hand, any number of times.
    """
    if again and due is None:
        raise typer.BadParameter("--again runs a past night once more: say which, `--due 2013-10-01`")
    with reached(home, serving=True) as client:
        row = client.schedule(name)
        at = None if due is None else _due_at(due, row)
        opened = client.fired(name, at, slice_, again=again, reason=reason)
        missing = (1 if slice_ is not None else max(len(row.slices), 1)) - len(opened)
        tell_change(as_json, {"schedule": name, "studies": opened, "missing": missing}, *opened)
        if missing:  # or, of slices with times of their own, was not due then
            more = ("--due", due, *(("--slice", slice_) if slice_ else ()), "--again") if due else ()
            remark(
                f"{text.counted(missing, 'slice')} had its firing for that time already, or was not due then"
                f" (`{command('schedule', 'show', name)}`); once more:  {command('schedule', 'fire', name, *more)}"
            )


@app.command("replay")
def replay(name: ScheduleName, first: From, last: To, home: Home = None) -> None:
    """Run the nights of past days one after the other: each slice's next when the one before has ended.

    A night that had its firing is not run again. Ctrl-C ends the waiting: the night that runs goes on, and the same
    command again makes those that are left.
    """
    from celeriac.client.replay import replay as run

    days = [_day(each) for each in (first, last)]
    if days[0] > days[1]:
        raise typer.BadParameter(f"--to ({last}) lies before --from ({first})")
    with reached(home, serving=True) as client:
        nights = run(
            cast("Client", client), name, *days, told=lambda each: say(f"{each.name} is {each.state}: {each.reason}")
        )
        if not nights:
            remark(
                f"no night of these days is left to run: `{command('schedule', 'show', name)}` shows those that were"
            )


def _day(said: str) -> date:
    try:
        return date.fromisoformat(said)
    except ValueError:
        raise typer.BadParameter(f"{said!r} is no date such as 2013-10-01") from None


def _due_at(said: str, schedule: "Schedule") -> date:
    """That moment; without an offset in the schedule's zone. A bare date stays one: each slice has its time on it."""
    from celeriac.client.schedules import YEARS

    try:
        at = datetime.fromisoformat(said)
    except ValueError:
        raise typer.BadParameter(f"{said!r} is no ISO time such as 2013-10-01 or 2013-10-01T02:00") from None
    if at.year not in YEARS:
        raise typer.BadParameter(f"{said!r} is not between the years {YEARS[0]} and {YEARS[-1]}")
    if at.tzinfo is not None:
        return at
    if len(said) == len("2013-10-01"):
        return at.date()
    return at.replace(tzinfo=ZoneInfo(schedule.timezone))
