"""Commands on schedules, studies that run again by the clock, once for each slice; and their champions."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from celeriac.cli import text
from celeriac.cli.hints import command
from celeriac.cli.json_output import plain, print_json, study_form
from celeriac.cli.screen import Grid, remark, say, show
from celeriac.cli.service import AsJson, Home, SpecFile, connected

if TYPE_CHECKING:
    from celeriac.domain.records import Champion, Firing, Schedule, StudyRecord

app = typer.Typer(
    name="schedule",
    help="Studies that run again by the clock, for each slice.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

#: A due time further away is a slip, and beyond these years not every zone and every database has one.
_FIRST_YEAR, _LAST_YEAR = 1970, 2200

ScheduleName = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.", show_default=False)]
Replace = Annotated[bool, typer.Option("--replace", help="Put this spec in the place of another one of that name.")]
Due = Annotated[
    str | None,
    typer.Option(
        "--due", help="The due time: ISO, `2013-10-01` or `2013-10-01T02:00`, in the schedule's zone (default: now)."
    ),
]
OneSchedule = Annotated[
    str | None, typer.Argument(metavar="[SCHEDULE]", help="One schedule; else all.", show_default=False)
]
History = Annotated[bool, typer.Option("--history", help="All verdicts, also of studies that were not promoted.")]


@app.command("add")
def add(file: SpecFile, replace: Replace = False, home: Home = None) -> None:
    """Put a schedule file into force."""
    with connected(home) as client:
        row = client.add_schedule(file, replace_it=replace)
        say(
            f"schedule {row.name}: {text.counted(len(row.slices), 'slice')}, due {text.moment(row.next_due_at)}"
            f" ({row.cron}, {row.timezone})"
        )
        remark(f"Try it now:  {command('schedule', 'fire', row.name)}")


@app.command("list")
def listed(home: Home = None, as_json: AsJson = False) -> None:
    """List all schedules with their next firing."""
    with connected(home) as client:
        rows = client.schedules()
    if as_json:
        print_json(rows)
        return
    listed_ = [(each.name, text.due(each), each.cron, each.timezone, str(len(each.slices))) for each in rows]
    grid = Grid(("schedule", "next", "cron", "zone", "slices"), listed_, frozenset({"slices"}))
    show(grid, "No schedule yet: `celeriac schedule add FILE`.")


@app.command("show")
def show_one(name: ScheduleName, home: Home = None, as_json: AsJson = False) -> None:
    """Show one schedule, its latest firings and what became of them."""
    with connected(home) as client:
        row = client.store.schedule(name)
        firings = client.store.firings(name, limit=20)
        studies = client.store.stage_studies([each.id for each in firings])
    if as_json:
        of = {each.id: [study_form(study) for study in studies if study.firing_id == each.id] for each in firings}
        print_json({**plain(row), "firings": [{**plain(each), "studies": of[each.id]} for each in firings]})
        return
    say(f"schedule {row.name}: {text.due(row)}; {row.cron} in {row.timezone}")
    say("slices: " + ("; ".join(text.assigned(each) for each in row.slices if each) or "none"))
    rows = [_firing_row(each, [study for study in studies if study.firing_id == each.id]) for each in firings]
    columns = ("firing", "state", "trials", "best", "for", "since", "why")
    show(Grid(columns, rows, frozenset({"best"}), spare=("since", "trials")), "never fired yet")


def _firing_row(firing: "Firing", studies: "list[StudyRecord]") -> tuple[str, ...]:
    notes = [f"by hand, number {firing.by_hand}" if firing.by_hand else "", firing.note, firing.reason]
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


@app.command("pause")
def pause(name: ScheduleName, home: Home = None) -> None:
    """Make no more firings until it is resumed."""
    with connected(home) as client:
        client.store.pause_schedule(name, True)
        say(f"schedule {name} is paused")


@app.command("resume")
def resume(name: ScheduleName, home: Home = None) -> None:
    """Fire again; of the firings that were missed only the latest is made."""
    with connected(home) as client:
        row = client.store.pause_schedule(name, False)
        say(f"schedule {name} is due {text.moment(row.next_due_at)}")


@app.command("remove")
def remove(name: ScheduleName, home: Home = None) -> None:
    """Forget a schedule; its studies and champions stay."""
    with connected(home) as client:
        client.store.drop_schedule(name)
        say(f"schedule {name} is gone; its studies and champions stay")


@app.command("fire")
def fire(name: ScheduleName, due: Due = None, home: Home = None) -> None:
    """Open one firing's studies now; the clock's own firings are made regardless.

    A due time of the schedule's own that has passed is made up for, each slice once. For any other time, and without
    one, it is a firing by hand, any number of times.
    """
    with connected(home, serving=True) as client:
        row = client.store.schedule(name)
        opened = client.fire(name, None if due is None else _due_at(due, row))
        for study in opened:
            print(study.name)
        missing = max(len(row.slices), 1) - len(opened)
        if missing:
            remark(
                f"{text.counted(missing, 'slice')} had its firing for that time already"
                f" (`{command('schedule', 'show', name)}`); once more, by hand:  {command('schedule', 'fire', name)}"
            )


def _due_at(said: str, schedule: "Schedule") -> datetime:
    """That moment; without an offset in the schedule's zone, and a bare date at its own first time on it."""
    from zoneinfo import ZoneInfo

    from celeriac.client.client import first_due_on

    try:
        at = datetime.fromisoformat(said)
    except ValueError:
        raise typer.BadParameter(f"{said!r} is no ISO time such as 2013-10-01 or 2013-10-01T02:00") from None
    if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        raise typer.BadParameter(f"{said!r} is not between the years {_FIRST_YEAR} and {_LAST_YEAR}")
    if at.tzinfo is not None:
        return at
    if len(said) == len("2013-10-01"):
        return first_due_on(schedule, at)
    return at.replace(tzinfo=ZoneInfo(schedule.timezone))


def champions(
    schedule: OneSchedule = None, history: History = False, home: Home = None, as_json: AsJson = False
) -> None:
    """Show the champion of each slice, or with `--history` every verdict on a night's best trial."""
    with connected(home) as client:
        names = (
            [each.name for each in client.schedules()] if schedule is None else [client.store.schedule(schedule).name]
        )
        if history:
            found = [verdict for name in names for verdict in client.store.verdicts(name)]
        else:
            found = client.champions(schedule)
    if as_json:
        print_json(found)
        return
    head = ("schedule", "slice", "promoted", "trial", "score", "trial 0", "study", "parameters", "why")
    numeric, folds = frozenset({"trial", "score", "trial 0"}), frozenset({"slice", "parameters"})
    grid = Grid(head, [_champion_row(each) for each in found], numeric, folds, spare=("study", "schedule", "trial 0"))
    show(grid, "No champion yet: a schedule's first firing that beats its own trial 0 makes one.")


def _champion_row(champion: "Champion") -> tuple[str, ...]:
    return (
        champion.schedule,
        text.assigned(champion.slice) or "-",
        "yes" if champion.promoted else "no",
        "-" if champion.trial is None else str(champion.trial),
        text.number(champion.score),
        text.number(champion.default_score),
        champion.study,
        text.assigned(champion.params, 3),
        champion.reason,
    )
