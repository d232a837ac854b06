"""The list of studies: filtered and paged in the database."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated

from fastapi import Query

from celeriac.domain.records import StudyRecord, StudyState
from celeriac.store.api_board import StudyFilter, StudyLine
from celeriac.web.dependencies import StoreDep
from celeriac.web.pages.drawing import page, pages

router = pages()
_A_PAGE = 40


@dataclass(frozen=True, slots=True)
class StudiesPage:
    """A page of studies, newest first; `next` is the id to go on before, None at the end. `beside`: the study that
    others are chosen to be compared with, and then the list has those of its goal and metric alone.
    """

    now: datetime
    lines: tuple[StudyLine, ...]
    next: int | None
    states: Mapping[StudyState, int]
    schedules: tuple[str, ...]
    search: str
    state: StudyState | None
    schedule: str | None
    is_first: bool
    beside: StudyRecord | None = None

    @property
    def asked(self) -> dict[str, str | None]:
        """The filter, as its addresses have it."""
        beside = None if self.beside is None else self.beside.name
        return {"q": self.search, "state": self.state, "schedule": self.schedule, "beside": beside}


@page(router, "/studies", "studies.html")
def studies(
    store: StoreDep,
    q: Annotated[str, Query(max_length=200)] = "",
    state: Annotated[str, Query(max_length=20)] = "",
    schedule: Annotated[str | None, Query(max_length=200)] = None,
    before: Annotated[int | None, Query(ge=1)] = None,
    beside: Annotated[str, Query(max_length=300)] = "",
) -> StudiesPage:
    """The studies that fit."""
    in_state = StudyState(state) if state in StudyState.__members__ else None
    other = store.study_named(beside) if beside else None
    wanted = StudyFilter(q.strip(), (in_state,) if in_state else (), schedule or None, before)
    if other is not None:
        wanted = replace(wanted, goal=other.goal, metric=other.metric)
    found = store.study_lines(wanted, _A_PAGE + 1)
    return StudiesPage(
        now=store.now(),
        lines=tuple(found[:_A_PAGE]),
        next=found[_A_PAGE - 1].id if len(found) > _A_PAGE else None,
        states=store.study_states(),
        schedules=tuple(each.name for each in store.schedules()),
        search=q.strip(),
        state=in_state,
        schedule=schedule or None,
        is_first=before is None,
        beside=other,
    )
