"""`celeriac mcp`: the door for agents; `celeriac compare`: trials or studies beside each other."""

from typing import TYPE_CHECKING, Annotated

import typer

from celeriac.cli import text
from celeriac.cli.json_output import print_json
from celeriac.cli.screen import Grid, say, show
from celeriac.cli.service import AsJson, Home, become, reached

if TYPE_CHECKING:
    from celeriac.report.compare import Comparison

Things = Annotated[
    list[str],
    typer.Argument(metavar="STUDY N N... | STUDY STUDY...", help="Trials of a study, or studies.", show_default=False),
]


def mcp(home: Home = None) -> None:
    """Serve agents by the Model Context Protocol, on stdin and stdout; needs `celeriac[mcp]`."""
    become("celeriac.mcp", home=home)


def compare(things: Things, home: Home = None, as_json: AsJson = False) -> None:
    """Put trials of a study, or studies, beside each other: which values differ, which are the same, which is best."""
    from celeriac.report.compare import compare_studies, compare_trials

    name, *others = things
    if not others:
        raise typer.BadParameter("name two trials of the study, or a second study")
    with reached(home) as client:
        if all(each.isdigit() for each in others):
            if len(others) < 2:
                raise typer.BadParameter("name two trials of the study at least")
            handle = client.study(name)
            found = compare_trials([handle.trial(int(each)) for each in others], handle.record.goal)
        else:
            studies = [client.study(each) for each in things]
            found = compare_studies([each.record for each in studies], [each.best for each in studies])
    if as_json:
        print_json(found)
        return
    show(Grid(("", *found.names), _rows(found)))
    if found.same:
        say("the same in all: " + ", ".join(f"{key} {text.value_text(value)}" for key, value in found.same.items()))
    if found.best is not None:
        say(f"best: {found.best}", "bold")


def _rows(found: "Comparison") -> list[tuple[str, ...]]:
    scores = ("score", *(text.number(found.scores[each]) for each in found.names))
    return [scores, *((key, *map(text.value_text, values)) for key, values in found.differ.items())]
