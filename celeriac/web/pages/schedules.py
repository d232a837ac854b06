"""Schedules: when they are due, what became of their firings, their champions, and what a person may do about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import Form
from starlette.responses import Response

from celeriac.client.champions import find_slice
from celeriac.client.schedules import ask_replay, waiting_of
from celeriac.decide.calendar import Coming, calendar_of, coming, plan_of
from celeriac.decide.firing import night_name
from celeriac.decide.replay import ReplayDecision, since
from celeriac.decide.replay import replay as decide_replay
from celeriac.domain.records import Replay, Schedule, ScheduleEdit
from celeriac.domain.study_file import ScheduleSpec, slice_name
from celeriac.store import WebStore
from celeriac.store.api_board import NightCell, VerdictLine
from celeriac.store.dues import slice_key
from celeriac.web.auth.principal import Operator
from celeriac.web.dependencies import ClientDep, StoreDep
from celeriac.web.pages.drawing import ScheduleName, Text, back, page, pages
from celeriac.web.pages.filters import night_url, schedule_url

router = pages()
_COMING, _FIRINGS, _EDITS, _DAYS, _REPLAYS = 5, 40, 20, 400, 5
_MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class ScheduleLine:
    """A schedule in the list, with its newest firing."""

    schedule: Schedule
    newest: NightCell | None
    waits: int


@dataclass(frozen=True, slots=True)
class SchedulesPage:
    """All schedules."""

    now: datetime
    lines: tuple[ScheduleLine, ...]


@page(router, "/schedules", "schedules.html")
def schedules(store: StoreDep) -> SchedulesPage:
    """The list."""
    now, waits = store.now(), store.unanswered()
    since = now - timedelta(days=_DAYS)
    lines = [
        ScheduleLine(
            each,
            next(iter(store.night_cells(each.name, since, 1)), None),
            sum(verdict.schedule == each.name for verdict in waits),
        )
        for each in store.schedules()
    ]
    return SchedulesPage(now, tuple(lines))


@dataclass(frozen=True, slots=True)
class ComingRow:
    """Slices that are due at one time and have the same to be told."""

    due_at: datetime
    slices: str
    done_by: datetime | None
    why_not: str
    is_late: bool


@dataclass(frozen=True, slots=True)
class FiringRow:
    """A firing, and its night's page."""

    cell: NightCell
    slice: str
    night: str
    url: str


@dataclass(frozen=True, slots=True)
class SliceChampion:
    """A slice's champion, and what waits to take its place."""

    slice: str
    champion: VerdictLine | None
    waits: VerdictLine | None


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """Past nights that somebody asked for; `now`: how far they are, None once they are over."""

    asked: Replay
    now: ReplayDecision | None


@dataclass(frozen=True, slots=True)
class SchedulePage:
    """A schedule. `yesterday`: the last day whose nights may be run again."""

    now: datetime
    schedule: Schedule
    metric: str
    coming: tuple[ComingRow, ...]
    waiting: tuple[tuple[str, str], ...]
    seats: tuple[SliceChampion, ...]
    firings: tuple[FiringRow, ...]
    edits: tuple[ScheduleEdit, ...]
    replays: tuple[ReplayRow, ...]
    yesterday: date

    @property
    def slices(self) -> list[str]:
        """Its slices, as people write them; none where it has none."""
        return [slice_name(each) for each in self.schedule.slices if each]


@page(router, "/schedules/{name}", "schedule.html")
def schedule(store: StoreDep, name: ScheduleName) -> SchedulePage:
    """The page of a schedule."""
    row, now, dues = store.schedule(name), store.now(), store.slice_dues(name)
    calendar = calendar_of(row)
    cells = store.night_cells(name, now - timedelta(days=_DAYS), _FIRINGS)
    return SchedulePage(
        now=now,
        schedule=row,
        metric=str(row.spec["metric"]["name"]),
        coming=tuple(_coming(group_, now) for group in coming(row, dues, _COMING) for group_ in _alike(group)),
        waiting=tuple((slice_name(each) or name, why) for each, why in waiting_of(store, row, dues, now)),
        seats=tuple(_slice_champions(store, row)),
        firings=tuple(_firing(calendar, each) for each in cells),
        edits=tuple(store.schedule_edits(name, limit=_EDITS)),
        replays=tuple(_replay_row(store, row, each, now) for each in store.replays(name, limit=_REPLAYS)),
        yesterday=(now - timedelta(days=1)).astimezone(ZoneInfo(row.timezone)).date(),
    )


def _replay_row(store: WebStore, row: Schedule, asked: Replay, now: datetime) -> ReplayRow:
    if not asked.is_open:
        return ReplayRow(asked, None)
    minded = store.firings_to_mind(row.name, since(asked))
    return ReplayRow(asked, decide_replay(row, asked, store.slice_dues(row.name), minded, now))


def _alike(group: Sequence[Coming]) -> list[list[Coming]]:
    found: dict[object, list[Coming]] = {}
    for each in group:
        found.setdefault((each.deadline_at, each.why_not), []).append(each)
    return list(found.values())


def _coming(alike: Sequence[Coming], now: datetime) -> ComingRow:
    first, names = alike[0], [slice_name(each.slice) or "all" for each in alike]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    late = first.due_at <= now
    return ComingRow(first.due_at, ", ".join(names[:_MOST_NAMED]) + more, first.deadline_at, first.why_not, late)


def _slice_champions(store: WebStore, row: Schedule) -> list[SliceChampion]:
    held = {slice_key(each.slice): each for each in store.champion_lines(row.name)}
    waits = {slice_key(each.slice): each for each in store.unanswered() if each.schedule == row.name}
    slices: dict[str, Mapping[str, Any]] = {slice_key(each): each for each in row.slices or ({},)}
    slices |= {key: each.slice for key, each in {**held, **waits}.items()}
    found = [SliceChampion(slice_name(each), held.get(key), waits.get(key)) for key, each in slices.items()]
    return sorted(found, key=lambda each: (each.waits is None, each.slice))


def _firing(calendar: ScheduleSpec, each: NightCell) -> FiringRow:
    night = night_name(plan_of(calendar, each.slice), each.due_at, by_hand=each.by_hand)
    return FiringRow(each, slice_name(each.slice) or "all", night, night_url(each.schedule, night))


@router.post("/schedules/{name}/fire", response_model=None)
def fire(client: ClientDep, _: Operator, name: ScheduleName, slice: Text = "", reason: Text = "") -> Response:
    """Make a firing now, of one slice or of all."""
    where = find_slice(client.store, name, slice) if slice else None
    client.fire(name, slice_=where, reason=reason.strip())
    return _changed(name)


@router.post("/schedules/{name}/pause", response_model=None)
def pause(client: ClientDep, _: Operator, name: ScheduleName, reason: Text = "") -> Response:
    """Make no more firings."""
    client.edit_schedule(name, "paused", reason.strip())
    return _changed(name)


@router.post("/schedules/{name}/resume", response_model=None)
def resume(client: ClientDep, _: Operator, name: ScheduleName, reason: Text = "") -> Response:
    """Fire again."""
    client.edit_schedule(name, "resumed", reason.strip())
    return _changed(name)


@router.post("/schedules/{name}/approve", response_model=None)
def approve(client: ClientDep, _: Operator, name: ScheduleName, slice: Text = "", reason: Text = "") -> Response:
    """Make what waits the champion."""
    client.approve(name, slice, reason.strip() or "approved on the board")
    return _changed(name)


@router.post("/schedules/{name}/reject", response_model=None)
def reject(client: ClientDep, _: Operator, name: ScheduleName, slice: Text = "", reason: Text = "") -> Response:
    """Let the champion stay."""
    client.reject(name, slice, reason.strip() or "rejected on the board")
    return _changed(name)


@router.post("/schedules/{name}/rollback", response_model=None)
def roll_back(client: ClientDep, _: Operator, name: ScheduleName, slice: Text = "", reason: Text = "") -> Response:
    """Put the champion before this one in its place again."""
    client.roll_back(name, slice, reason.strip() or "rolled back on the board")
    return _changed(name)


@router.post("/schedules/{name}/replay", response_model=None)
def replay(
    store: StoreDep, who: Operator, name: ScheduleName, first: Annotated[date, Form()], last: Annotated[date, Form()]
) -> Response:
    """Have the nights of these days run, those that had no firing: the coordinator begins them one after the other."""
    ask_replay(store, name, first, last, by=who.name)
    return _changed(name)


@router.post("/schedules/{name}/replay/stop", response_model=None)
def stop_replay(store: StoreDep, who: Operator, name: ScheduleName, replay: Annotated[int, Form(ge=1)]) -> Response:
    """Begin no more of its nights; what runs goes on."""
    if replay in {each.id for each in store.replays(name, limit=_REPLAYS)}:
        store.end_replay(replay, f"stopped by {who.name}")
    return _changed(name)


def _changed(name: str) -> Response:
    return back(schedule_url(name))
