"""The first page: nights as a heat map of slices, what waits for a person, what the newest night changed, what runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import floor, log10

from celeriac.decide.calendar import calendar_of, plan_of
from celeriac.decide.firing import night_name
from celeriac.domain.records import WORKING, Device, FiringState, Schedule, StudyState
from celeriac.report.morning.night import slice_text
from celeriac.store import WebStore
from celeriac.store.api_board import NightCell, StudyFilter, StudyLine, VerdictLine
from celeriac.store.dues import slice_key
from celeriac.web.dependencies import StoreDep
from celeriac.web.pages.drawing import page, pages
from celeriac.web.pages.filters import night_url

router = pages()
#: A schedule's newest nights that the map shows, and so many days are looked through for them.
NIGHTS, DAYS = 14, 60
_MOST_CELLS = 1500
#: So many cells are drawn, of all schedules together: of many slices fewer nights, of very many those with news first.
_MOST_DRAWN, _FEWEST_NIGHTS = 560, 4
_MOST_STUDIES, _MOST_PAUSED, _MOST_TOLD = 8, 5, 20
_LEVELS = 3
_SILENT_H = 48
_WORDS = {
    FiringState.SKIPPED: "skipped",
    FiringState.FAILED: "failed",
    FiringState.MISSED: "missed",
    FiringState.DUE: "due",
    FiringState.LOOKING: "looks",
    FiringState.SEARCHING: "searches",
    FiringState.CONFIRMING: "confirms",
}


@dataclass(frozen=True, slots=True)
class HeatCell:
    """One slice's night: its end in a word or its gain as text, how strong that gain is (-3 to 3), and why."""

    night: str
    url: str
    state: FiringState
    text: str
    level: int
    gain: float | None
    reason: str
    awaits: bool

    @property
    def look(self) -> str:
        """The classes of its cell."""
        if self.state in WORKING:
            return "working"
        shade = f"up{self.level}" if self.level > 0 else f"down{-self.level}" if self.level < 0 else ""
        end = str(self.state).lower()
        return " ".join(filter(None, (shade, end, "waits" if self.awaits else "")))


@dataclass(frozen=True, slots=True)
class HeatRow:
    """A slice: its champion, and its nights under the map's columns (None: it had none)."""

    slice: str
    champion: VerdictLine | None
    cells: tuple[HeatCell | None, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What the newest night did to one slice."""

    slice: str
    state: FiringState
    gain: float | None
    low: float | None
    high: float | None
    reason: str
    url: str


@dataclass(frozen=True, slots=True)
class Heat:
    """A schedule's newest nights, the oldest first; `changes`: what the newest one promoted, failed or missed. `more`:
    slices that are not shown.
    """

    schedule: str
    metric: str
    is_paused: bool
    next_due_at: datetime
    nights: tuple[str, ...]
    rows: tuple[HeatRow, ...]
    changes: tuple[Change, ...]
    states: Mapping[str, int]
    more: int = 0

    @property
    def more_changes(self) -> int:
        """How many changes of the newest night are not told here."""
        return sum(self.states.get(str(each).lower(), 0) for each in _TOLD) - len(self.changes)

    @property
    def newest(self) -> str:
        """The newest night's page."""
        return night_url(self.schedule, self.nights[-1])


@dataclass(frozen=True, slots=True)
class MorningPage:
    """What there is to see. `waiting`: how many verdicts wait for a person, of which the newest are `waits`. `silent`:
    hosts that have not spoken for a while, and when they did.
    """

    now: datetime
    heats: tuple[Heat, ...]
    waits: tuple[VerdictLine, ...]
    waiting: int
    paused: tuple[StudyLine, ...]
    running: tuple[StudyLine, ...]
    ended: tuple[StudyLine, ...]
    states: Mapping[StudyState, int]
    running_trials: int
    devices: int
    sick: tuple[Device, ...]
    silent: Mapping[str, datetime]


@page(router, "/", "morning.html")
def morning(store: StoreDep) -> MorningPage:
    """The first page."""
    now, waits, schedules = store.now(), store.unanswered(), store.schedules()
    slices = sum(len(each.slices) or 1 for each in schedules)
    nights = max(_FEWEST_NIGHTS, min(NIGHTS, _MOST_DRAWN // max(slices, 1)))
    drawn = min(1.0, _MOST_DRAWN / nights / max(slices, 1))
    devices = store.devices()
    opened = store.study_lines(StudyFilter(states=(StudyState.RUNNING, StudyState.OPEN)), _MOST_STUDIES)
    closed = StudyFilter(states=(StudyState.DONE, StudyState.STOPPED, StudyState.FAILED))
    return MorningPage(
        now=now,
        heats=tuple(filter(None, (heat_of(store, each, now, waits, nights, drawn) for each in schedules))),
        waits=tuple(waits[:_MOST_TOLD]),
        waiting=len(waits),
        paused=tuple(store.study_lines(StudyFilter(states=(StudyState.PAUSED,)), _MOST_PAUSED)),
        running=tuple(opened),
        ended=tuple(store.study_lines(closed, _MOST_STUDIES)),
        states=store.study_states(),
        running_trials=len(store.runs_now()),
        devices=sum(each.is_alive(now) for each in devices),
        sick=tuple(each for each in devices if each.is_alive(now) and each.health not in ("", "ok")),
        silent=_silent(devices, now),
    )


def _silent(devices: Sequence[Device], now: datetime) -> dict[str, datetime]:
    """Hosts of which nothing is heard any more; who is away for longer than that was taken away by somebody."""
    heard: dict[str, datetime] = {}
    for each in devices:
        heard[each.host] = max(heard.get(each.host, each.heartbeat_at), each.heartbeat_at)
    alive = {each.host for each in devices if each.is_alive(now)}
    since = now - timedelta(hours=_SILENT_H)
    return {host: at for host, at in sorted(heard.items()) if host not in alive and at > since}


def heat_of(
    store: WebStore, row: Schedule, now: datetime, waits: Sequence[VerdictLine], most_nights: int, drawn: float
) -> Heat | None:
    """The map of one schedule, with that share of its slices; None before its first night."""
    cells = store.night_cells(row.name, now - timedelta(days=DAYS), _MOST_CELLS)
    calendar = calendar_of(row)
    named = [(night_name(plan_of(calendar, each.slice), each.due_at, by_hand=each.by_hand), each) for each in cells]
    nights = list(dict.fromkeys(name for name, _ in named))[:most_nights][::-1]
    if not nights:
        return None
    shown = [(name, each) for name, each in named if name in nights]
    most = max((abs(each.gain) for _, each in shown if each.gain is not None), default=0.0)
    open_ones = {(each.schedule, slice_key(each.slice)): each.study for each in waits}
    champions = {slice_key(each.slice): each for each in store.champion_lines(row.name)}
    by_place = {
        (slice_key(each.slice), name): _cell(name, each, most, open_ones.get((row.name, slice_key(each.slice))))
        for name, each in reversed(shown)
    }
    slices = {slice_key(each): each for each in [*row.slices, *(each.slice for _, each in shown)]} or {"": {}}
    rows = [
        HeatRow(slice_text(each), champions.get(key), tuple(by_place.get((key, night)) for night in nights))
        for key, each in sorted(slices.items(), key=lambda item: slice_text(item[1]))
    ]
    kept = sorted(rows, key=_has_no_news)[: max(1, round(drawn * len(rows)))]
    newest = [each for name, each in named if name == nights[-1]]
    return Heat(
        schedule=row.name,
        metric=str(row.spec["metric"]["name"]),
        is_paused=row.paused,
        next_due_at=row.next_due_at,
        nights=tuple(nights),
        rows=tuple(sorted(kept, key=lambda each: each.slice)),
        changes=tuple(_change(each, nights[-1]) for each in reversed(newest) if each.state in _TOLD)[:_MOST_TOLD],
        states=_counted(newest),
        more=len(rows) - len(kept),
    )


_TOLD = (FiringState.PROMOTED, FiringState.FAILED, FiringState.MISSED)


def _has_no_news(row: HeatRow) -> bool:
    newest = row.cells[-1]
    return newest is None or not (newest.awaits or newest.state in _TOLD)


def _cell(night: str, each: NightCell, most: float, waiting_study: str | None) -> HeatCell:
    gain = each.gain
    level = 0
    if gain is not None and most > 0:
        level = max(-_LEVELS, min(_LEVELS, round(_LEVELS * gain / most + (0.5 if gain > 0 else -0.5))))
    text = _WORDS.get(each.state) or (f"{gain:+.{_decimals(most)}f}" if gain is not None else str(each.state).lower())
    awaits = each.awaits and waiting_study is not None and waiting_study == each.study
    return HeatCell(night, night_url(each.schedule, night), each.state, text, level, gain, each.reason, awaits)


def _decimals(most: float) -> int:
    """So many that the largest gain of a map has three digits, and all are alike."""
    return max(0, min(8, 2 - floor(log10(most)))) if most > 0 else 0


def _change(each: NightCell, night: str) -> Change:
    where = f"{night_url(each.schedule, night)}#{slice_text(each.slice)}"
    return Change(slice_text(each.slice), each.state, each.gain, each.low, each.high, each.reason, where)


def _counted(cells: Sequence[NightCell]) -> dict[str, int]:
    found: dict[str, int] = {}
    for state in FiringState:
        if count := sum(each.state is state for each in cells):
            found[str(state).lower()] = count
    return found
