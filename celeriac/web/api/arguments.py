"""What many routes of the API share: the kinds of their arguments and bodies, and the study that a path names."""

from typing import Annotated

from fastapi import Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from celeriac.client import Study
from celeriac.web.auth.principal import Principal
from celeriac.web.dependencies import ClientDep

StudyName = Annotated[str, Path(min_length=1, max_length=300, description="The study's name.")]
ScheduleName = Annotated[str, Path(min_length=1, max_length=200, description="The schedule's name.")]
Number = Annotated[int, Path(ge=0, le=2**31 - 1, description="The trial's number.")]
AttemptNumber = Annotated[int, Path(ge=1, le=2**31 - 1, description="The attempt's number.")]
SliceName = Annotated[str | None, Query(max_length=500, alias="slice", description="The slice, such as `airport=JFK`.")]
Points = Annotated[int, Query(ge=2, le=5000, description="At most about so many reports of a trial.")]
Words = Annotated[str, Field(max_length=1000)]


class Body(BaseModel):
    """A request's body; what it does not know is refused."""

    model_config = ConfigDict(extra="forbid")


class Why(Body):
    """Why it is done."""

    reason: Words = ""

    def said(self, done: str, principal: Principal) -> str:
        """The reason that was given, or that this token did so."""
        return self.reason or f"{done} by {principal.name}"


def study_of(client: ClientDep, study: StudyName) -> Study:
    """The study that the path names."""
    return client.study(study)


OneStudy = Annotated[Study, Depends(study_of)]
