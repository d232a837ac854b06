"""Submitting: a study, or a schedule, as YAML text or as JSON. Code is named, never sent: it lies below the directories
that are open to the token.
"""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field, model_validator
from starlette.responses import Response

from celeriac.client.preview import preview
from celeriac.domain.records import Schedule
from celeriac.domain.study_file import StudySpec, loads, parse
from celeriac.report.forms import study_form
from celeriac.web.answers import answer
from celeriac.web.api.arguments import Body, Words
from celeriac.web.auth.code import may_run
from celeriac.web.auth.principal import Submitter
from celeriac.web.dependencies import ClientDep
from celeriac.web.schema import says
from celeriac.web.shapes import CHECKED, SUBMITTED

router = APIRouter(tags=["submitting"])
_MOST_POINTS = 20


class File(Body):
    """A study file: its text, or the mapping that it is; `name` replaces the study's name in it."""

    yaml: str | None = Field(None, max_length=1_000_000)
    spec: dict[str, Any] | None = None
    name: Annotated[str, Field(max_length=200)] | None = None

    @model_validator(mode="after")
    def _one(self) -> "File":
        if (self.yaml is None) == (self.spec is None):
            raise ValueError("give `yaml`, the text of a study file, or `spec`, a mapping like one: one of them")
        return self

    def read(self) -> StudySpec:
        """The spec. Raises SpecInvalid, one line for each thing that is wrong."""
        if self.yaml is not None:
            return loads(self.yaml, name=self.name)
        return parse(self.spec or {}, name=self.name, is_new=True)


class StudyFile(File):
    """A study to be opened; `dry_run`: only say what is wrong with it, and with `points` its cost and so many of its
    first points.
    """

    dry_run: bool = False
    points: int = Field(0, ge=0, le=_MOST_POINTS)


class ScheduleFile(File):
    """A schedule to be put into force; `replace`: in the place of another of that name."""

    replace: bool = False
    reason: Words = ""


_THERE = "It was there already, or is not opened."


@router.post("/studies", status_code=201, responses={**says(SUBMITTED, 201), **says((SUBMITTED, CHECKED), 200, _THERE)})
def submit(principal: Submitter, client: ClientDep, body: StudyFile) -> Response:
    """Open a study, or attach to the one of the same name and spec."""
    read = body.read()
    may_run(principal, read)
    if body.dry_run:
        new = client.checked(read)
        form = {"study": new.name, "spec": new.spec, "code_root": new.code_root, "dry_run": True}
        return answer({**form, **preview(client, read, first=body.points)} if body.points else form)
    made = client.open(read)
    form = {"study": study_form(made.study.record), "attached": made.attached, "notes": made.notes}
    return answer(form, 200 if made.attached else 201)


@router.post("/schedules", status_code=201, responses=says(Schedule, 201))
def add_schedule(principal: Submitter, client: ClientDep, body: ScheduleFile) -> Response:
    """Put a schedule into force; its history keeps who changed what."""
    read = body.read()
    may_run(principal, read)
    return answer(client.add_schedule(read, replace_it=body.replace, reason=body.reason), 201)
