"""Submitting: a study or schedule file as text, checked line by line before anything is opened."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import Form, Request
from starlette.responses import Response

from celeriac.client import Client
from celeriac.client.preview import cost_of, first_points
from celeriac.domain.errors import CeleriacError, DuplicateStudy, SpecInvalid
from celeriac.domain.space import condition_of
from celeriac.domain.study_file import StudySpec, loads
from celeriac.report.words import counted, span
from celeriac.web.auth.code import may_run
from celeriac.web.auth.principal import Principal, Reader, Submitter
from celeriac.web.dependencies import ClientDep
from celeriac.web.pages.drawing import back, drawn, pages
from celeriac.web.pages.filters import schedule_url, study_url
from celeriac.web.problems import Refused

router = pages()
FileText = Annotated[str, Form(max_length=400_000)]
_SOURCE, _POINTS = "file", 10
_LINE = re.compile(r" \(line (\d+)\)$")
EXAMPLE = """study: digits
objective: train:objective        # module:function below `code`
code: .                           # a directory below the service's code root
metric: {name: accuracy, goal: maximize}
space:
  lr:        {float: [1e-4, 1e-1], log: true}
  width:     {int: [16, 256], log: true}
  optimizer: {choice: [sgd, adam]}
default: {lr: 0.01, width: 64, optimizer: adam}
budget: {trials: 60}
"""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a file, and the line that it is on; None where it is on none."""

    text: str
    line: int | None


@dataclass(frozen=True, slots=True)
class Range:
    """A parameter of the space, in words."""

    name: str
    what: str
    default: object
    condition: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What a file comes to. `is_sound` where nothing is wrong with it; `notes` is what its submitter should know."""

    problems: tuple[Problem, ...] = ()
    spec: StudySpec | None = None
    ranges: tuple[Range, ...] = ()
    points: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether it may be submitted."""
        return self.spec is not None and not self.problems


@router.get("/submit")
def form(request: Request, principal: Reader) -> Response:
    """The empty form."""
    return _page(request, principal, EXAMPLE, Checked(), "")


@router.post("/submit/check", response_model=None)
def check(
    request: Request, client: ClientDep, principal: Submitter, text: FileText = "", name: str = Form("")
) -> Response:
    """What the file comes to; nothing is opened."""
    found = checked(client, principal, text, name.strip() or None)
    return drawn(request, "submit_check.html", {"found": found, "principal": principal})


@router.post("/submit", response_model=None)
def submit(
    request: Request, client: ClientDep, principal: Submitter, text: FileText = "", name: str = Form("")
) -> Response:
    """Open the study, or put the schedule into force."""
    named = name.strip() or None
    found = checked(client, principal, text, named, points=False)
    if found.spec is None or not found.is_sound:
        return _page(request, principal, text, found, name, 422)
    try:
        if found.spec.schedule is not None:
            row = client.add_schedule(found.spec, reason=f"submitted on the board by {principal.name}")
            return back(schedule_url(row.name))
        return back(study_url(client.open(found.spec).study.name))
    except (SpecInvalid, DuplicateStudy) as error:
        return _page(request, principal, text, replace(found, problems=tuple(_problems(error))), name, 409)


def checked(client: Client, principal: Principal, text: str, name: str | None, *, points: bool = True) -> Checked:
    """Read the file, look for its code, and ask for its first points, which takes a second or two."""
    try:
        spec = loads(text, _SOURCE, name=name)
        client.new_study(spec, client.settings.code_root)
        may_run(principal, spec)
    except SpecInvalid as error:
        return Checked(tuple(_problems(error)))
    except Refused as error:
        return Checked((Problem(error.detail, None),))
    told, notes = _first_points(client, spec) if points else ((), ())
    return Checked((), spec, tuple(_ranges(spec)), told, notes)


def _problems(error: CeleriacError) -> list[Problem]:
    lines: Sequence[str] = error.problems if isinstance(error, SpecInvalid) else [str(error)]
    if isinstance(error, DuplicateStudy):
        lines = [str(error), *error.difference]
    found = []
    for each in lines:
        match = _LINE.search(each)
        told = each[: match.start()] if match else each
        found.append(Problem(told.removeprefix(f"{_SOURCE}: "), int(match[1]) if match else None))
    return found


def _ranges(spec: StudySpec) -> list[Range]:
    default = spec.default or {}
    return [
        Range(name, _told(spec.to_dict()["space"][name]), default.get(name), condition_of(each))
        for name, each in spec.space.parameters.items()
    ]


def _told(given: Mapping[str, Any]) -> str:
    """`float 0.0001 to 0.1, log`, `choice of sgd, adam`."""
    kind, what = next((kind, given[kind]) for kind in ("float", "int", "choice") if kind in given)
    if kind == "choice":
        return f"choice of {', '.join(map(str, what))}"
    more = [", log"] if given.get("log") else []
    more += [f", step {given['step']}"] if given.get("step") else []
    return f"{kind} {what[0]} to {what[1]}{''.join(more)}"


def _first_points(client: Client, spec: StudySpec) -> tuple[tuple[dict[str, Any], ...], tuple[str, ...]]:
    """The first ten points, as the study would get them, and what it would cost; a note where nobody here can tell."""
    try:
        points = tuple(first_points(client, spec, _POINTS))
    except CeleriacError as error:
        return (), (f"Its first points cannot be told here: {error}",)
    cost = cost_of(client, spec)
    if "unknown" in cost:
        return points, (str(cost["unknown"]),)
    told = (
        f"{cost['device_hours']:.3g} device-hours, {span(cost['wall_s'])} on {counted(cost['at_once'], 'slot')} at once"
    )
    return points, (f"Expected by earlier studies of this objective: {told}.",)


def _page(request: Request, principal: Principal, text: str, found: Checked, name: str, status: int = 200) -> Response:
    values = {"principal": principal, "text": text, "found": found, "name": name}
    return drawn(request, "submit.html", values, status)
