"""`celeriac add-points STUDY`: points from outside, which run at once and teach the model."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from celeriac.cli import text
from celeriac.cli.json_output import print_json, trial_form
from celeriac.cli.screen import remark, say
from celeriac.cli.service import AsJson, Home, StudyName, reached

OnePoint = Annotated[
    list[str] | None,
    typer.Option("--point", metavar="NAME=VALUE,…", help="One point, such as lr=0.1,width=32; may be given again."),
]
PointsFile = Annotated[
    Path | None, typer.Option("--file", help="A JSON file with a list of points.", show_default=False)
]
Reason = Annotated[str, typer.Option("--reason", help="Why these; each trial keeps it.", show_default=False)]
By = Annotated[str, typer.Option("--by", help="Who proposes them (default: you, at this host).", show_default=False)]


def add_points(
    study: StudyName,
    point: OnePoint = None,
    file: PointsFile = None,
    reason: Reason = "",
    by: By = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Have points of your own tried: they run next, and the model learns from them.

    How many a study takes is in its file (`proposers`), and depends on how well earlier ones went.
    """
    points = [_point(each) for each in point or ()] + ([] if file is None else _points_of(file))
    with reached(home) as client:
        added = client.study(study).add_points(points, reason=reason, by=by)
    if as_json:
        print_json([trial_form(each) for each in added])
        return
    for each in added:
        say(f"trial {each.number}: {text.assigned(each.params, 6)}")
    remark(f"{text.counted(len(added), 'trial')} of {study} will run next")


def _point(written: str) -> dict[str, Any]:
    """`lr=0.1,width=32` with each value as a study file would read it."""
    from celeriac.domain.study_file import plain_scalar

    found: dict[str, Any] = {}
    for part in filter(None, (each.strip() for each in written.split(","))):
        name, equals, value = part.partition("=")
        if not equals:
            raise typer.BadParameter(f"--point {part!r}: write NAME=VALUE, such as lr=0.1,width=32")
        found[name.strip()] = plain_scalar(value.strip())
    return found


def _points_of(path: Path) -> list[Mapping[str, Any]]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"--file {path}: {error}") from None
    points = found if isinstance(found, list) else [found]
    if not all(isinstance(each, dict) for each in points):
        raise typer.BadParameter(f"--file {path}: must hold a list of points such as {{'lr': 0.1}}")
    return points
