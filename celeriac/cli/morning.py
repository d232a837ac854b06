"""`celeriac morning`: what the last night changed, why, how sure that is, what it cost, and what to look at."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from celeriac.cli.exit_codes import FAILED
from celeriac.cli.json_output import print_json
from celeriac.cli.screen import Grid, remark, say, show
from celeriac.cli.service import AsJson, Home, reached

if TYPE_CHECKING:
    from celeriac.report.morning import Morning

OneSchedule = Annotated[
    str | None, typer.Argument(metavar="[SCHEDULE]", help="One schedule; else all.", show_default=False)
]
Night = Annotated[
    str | None, typer.Option("--night", metavar="DATE", help="This night, such as 2026-11-24; else the newest.")
]
Last = Annotated[
    int | None, typer.Option("--last", min=1, max=1000, help="The newest N nights as a table, a row for each slice.")
]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write one page with plots, which opens offline.")
]


def morning(
    schedule: OneSchedule = None,
    night: Night = None,
    last: Last = None,
    html: Html = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Say what the last night changed, why, how sure that is, what it cost, and what a person should look at."""
    from celeriac.report.morning.lines import lines

    if last is not None and (html is not None or night is not None):
        raise typer.BadParameter("--last shows many nights as a table: leave out --night and --html")
    if html is not None and schedule is None:
        raise typer.BadParameter("--html shows one schedule's night: name the schedule")
    with reached(home) as client:
        many = client.mornings(schedule, night, last)
    found = [each for nights in many for each in nights]
    if html is not None and found:
        _write(html, found[0])
    if as_json:
        print_json(found)
    elif html is not None and found:
        print(html)
    elif last is not None:
        _tables([nights for nights in many if nights])
    else:
        for place, each in enumerate(found):
            for line in ("\n" if place else "", *lines(each)):
                if line:
                    say(line)
    if not found:
        remark(f"celeriac: no night yet{f': schedule {schedule} was never fired' if schedule else ''}")
        raise typer.Exit(FAILED)


def _tables(many: "list[list[Morning]]") -> None:
    from celeriac.report.morning.table import COST, HEAD, NUMERIC, table_lines, table_rows

    for nights in many:
        if len(many) > 1:
            say(f"schedule {nights[0].schedule}")
        grid = Grid((*HEAD, *COST), table_rows(nights), NUMERIC, frozenset({"slice"}), ("pairs", "trials", "saved"))
        show(grid)
        for line in table_lines(nights):
            say(line)


def _write(path: Path, found: "Morning") -> None:
    from celeriac.report.morning.page import page

    text = page(found)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"--html {path}: {error.strerror}") from None
