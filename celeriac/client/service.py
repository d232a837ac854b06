"""What a person may ask of the service, wherever it is: the words that the local client and the remote one share.

`Client` answers from Postgres, `celeriac.client.remote` over the API. A command that is written against `Service` does
its work by either; one that needs the database itself takes a `Client`, and says so where there is only an address.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from celeriac.client.dropped import Doomed, Dropped
from celeriac.domain.records import (
    Attempt,
    Champion,
    CodeRun,
    Delivery,
    Device,
    Firing,
    GangPlace,
    Report,
    RungRecord,
    Savings,
    Schedule,
    ScheduleEdit,
    StudyRecord,
    StudyState,
    TrialRecord,
    TrialState,
)
from celeriac.domain.study_file import StudySpec

if TYPE_CHECKING:
    from celeriac.client.fleet import Fleet
    from celeriac.client.lineage import Part
    from celeriac.client.progress import Progress
    from celeriac.client.proposing import Proposer
    from celeriac.client.waiting import PlaceWait, TimeLimits
    from celeriac.decide.advise import AdviceDecision
    from celeriac.decide.calendar import Coming
    from celeriac.decide.waiting import WaitDecision
    from celeriac.report.explain.importance import Importances, Method
    from celeriac.report.morning import Morning
    from celeriac.report.plots import Scene
    from celeriac.runtime.settings import Settings
    from celeriac.store import Store

SpecLike = StudySpec | Mapping[str, Any] | str | Path


class StudyHandle(Protocol):
    """One study: fresh facts at each look, and what a person may say to it. Errors are those of `Study`."""

    id: int
    name: str
    took_code: bool

    @property
    def record(self) -> StudyRecord:
        """Its row as it is now."""

    @property
    def state(self) -> StudyState:
        """OPEN, RUNNING, PAUSED, DONE, STOPPED or FAILED."""

    @property
    def best(self) -> TrialRecord | None:
        """The best trial so far."""

    def trial(self, number: int) -> TrialRecord:
        """One trial."""

    def each_trial(self, states: Sequence[TrialState] | None = None) -> Iterator[TrialRecord]:
        """All trials by number."""

    def newest_trials(self, most: int, states: Sequence[TrialState] | None = None) -> list[TrialRecord]:
        """The newest so many, by number."""

    def attempts_of(self, numbers: Sequence[int]) -> dict[int, list[Attempt]]:
        """The attempts of each of these trials, first to last."""

    def reports_of(self, numbers: Sequence[int]) -> dict[int, list[Report]]:
        """What each of these trials reported, by step."""

    def log_tail(self, number: int, attempt: int) -> str:
        """What an attempt printed last."""

    def pending_then(self, trial: TrialRecord) -> list[int]:
        """The numbers of the trials that were pending when this one was suggested."""

    def last_failure(self) -> TrialRecord | None:
        """The newest failure among its newest ends, else any failed trial."""

    def lineage(self, number: int | None = None) -> "list[Part]":
        """With which parameters each part of a trial's training, or the best one's, was trained."""

    def each_report(self) -> Iterator[dict[str, Any]]:
        """All reports as flat rows."""

    def each_rung_record(self) -> Iterator[RungRecord]:
        """What each trial had at each rung."""

    def pages(self) -> Iterator[list[TrialRecord]]:
        """All trials by number, page by page."""

    def importance(self, method: "Method" = ...) -> "Importances":
        """Which parameters mattered."""

    def scene(self, kinds: Iterable[str] = ...) -> "Scene":
        """What pictures are drawn from."""

    def export(self, tool: str, out: str | Path = "") -> int:
        """Write it for another tool."""

    def advice(self) -> "AdviceDecision":
        """Which share of a GPU fits it."""

    def doomed(self) -> Doomed:
        """What `delete` would delete."""

    def delete(self) -> Dropped:
        """Delete it for good."""

    def savings(self) -> Savings:
        """What early stopping has spared."""

    def codes(self) -> list[CodeRun]:
        """Which code its ended trials ran."""

    def gang_places(self, trials: Sequence[TrialRecord]) -> list[GangPlace]:
        """Where the members of these trials' gangs are."""

    def waiting(self) -> "tuple[WaitDecision, TimeLimits, PlaceWait | None]":
        """What it waits for, what its time is limited by, and what its next trial's place lacks."""

    def proposers(self) -> "list[Proposer]":
        """Who has proposed points to it, how those went, and how many more it takes now."""

    def aside(self, slots: Sequence[str]) -> list[tuple[str, str]]:
        """Those of these slots that take no trial of it now, with the reason."""

    def pause(self, reason: str = ..., *, hand_back: bool = False) -> StudyRecord:
        """Start no more trials."""

    def resume(self, reason: str = ...) -> StudyRecord:
        """Go on after a pause."""

    def stop(self, reason: str = ...) -> StudyRecord:
        """End it now."""

    def reopen(self, reason: str = ...) -> StudyRecord:
        """Go on after its end."""

    def cancel(self, number: int, reason: str = ...) -> TrialRecord:
        """End one trial."""

    def retry(self, numbers: Sequence[int] | None = None, reason: str = ...) -> list[TrialRecord]:
        """Run failed trials once more."""

    def extend(
        self,
        trials: int | str | None = None,
        *,
        wall: str | float | None = None,
        device_hours: str | float | None = None,
        reason: str = ...,
    ) -> StudyRecord:
        """Give it a larger budget."""

    def add_points(self, points: Sequence[Mapping[str, Any]], *, reason: str = "", by: str = "") -> list[TrialRecord]:
        """Have points from outside tried."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One slice's champion, what waits for approval, and what became of the promotion."""

    slice: Mapping[str, Any]
    champion: Champion | None
    awaiting: Champion | None
    deliveries: Sequence[Delivery] = ()


@dataclass(frozen=True, slots=True)
class NextFirings:
    """What a schedule runs next: its row, the slices of each due time together, the slices that are due and wait, with
    the reason, and the service's time.
    """

    schedule: Schedule
    groups: "Sequence[Sequence[Coming]]"
    waiting: Sequence[tuple[Mapping[str, Any], str]]
    now: datetime


class Opened(Protocol):
    """What a submit came to."""

    @property
    def study(self) -> StudyHandle:
        """The study."""

    @property
    def attached(self) -> bool:
        """Whether it was there already."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the submitter should know."""


class Service(Protocol):
    """The service."""

    settings: "Settings"

    @property
    def store(self) -> "Store":
        """The rows: over the API to be read only, as far as it goes."""

    @property
    def who(self) -> str:
        """Whom what it does is put down to."""

    @property
    def serves(self) -> bool:
        """Whether somebody runs what is submitted."""

    def close(self) -> None:
        """Give what it holds back."""

    def open(self, spec: SpecLike, *, name: str | None = None) -> Opened:
        """Open a study, or attach to it."""

    def study(self, name: str) -> StudyHandle:
        """The study of that name."""

    def study_of(self, record: StudyRecord) -> StudyHandle:
        """The study of that row."""

    def records(self, limit: int) -> list[StudyRecord]:
        """The newest studies, newest first."""

    def progress(self, study: StudyHandle) -> "Progress":
        """How far a study is."""

    def devices(self) -> list[Device]:
        """The devices whose nodes spoke lately."""

    def fleet(self) -> "Fleet":
        """All devices with what they run."""

    def drain(self, host: str, devices: Sequence[str]) -> list[str]:
        """Take devices out; the hosts that are known."""

    def undrain(self, host: str, devices: Sequence[str]) -> int:
        """Give them back; how many drains are over."""

    def schedules(self) -> list[Schedule]:
        """All schedules, by name."""

    def schedule(self, name: str) -> Schedule:
        """One schedule."""

    def schedule_edits(self, name: str) -> list[ScheduleEdit]:
        """Who changed it, when, and what."""

    def coming(self, name: str, count: int) -> NextFirings:
        """What is due next."""

    def firings_now(self, ids: Sequence[int]) -> list[Firing]:
        """These firings as they are now."""

    def add_schedule(self, spec: SpecLike, *, replace_it: bool = False, reason: str = "") -> Schedule:
        """Put a schedule into force."""

    def edit_schedule(self, name: str, what: Literal["paused", "resumed", "removed"], reason: str = "") -> None:
        """Pause a schedule, let it go on, or remove it."""

    def fired(
        self, schedule: str, due_at: datetime | date | None, slice_: str | None, *, again: bool, reason: str
    ) -> list[str]:
        """Open one firing's studies now; their names."""

    def champions(self, schedule: str | None = None) -> list[Champion]:
        """The champion of each slice."""

    def verdicts(self, schedule: str) -> list[Champion]:
        """Every verdict, newest first."""

    def standing(self, schedule: str, slice_: str | None) -> Standing:
        """One slice's champion and what waits there."""

    def approve(self, schedule: str, slice_: str | None, reason: str) -> Champion:
        """Make what waits the champion."""

    def reject(self, schedule: str, slice_: str | None, reason: str) -> Champion:
        """Say no to what waits."""

    def promote(self, study: str, trial: int, slice_: str | None, reason: str) -> Champion:
        """Make a scored trial champion by hand."""

    def roll_back(self, schedule: str, slice_: str | None, reason: str, to: int | None = None) -> Champion:
        """Put an earlier champion in its place again."""

    def mornings(self, schedule: str | None, night: str | None, last: int | None) -> "list[list[Morning]]":
        """Of each schedule the newest night, or one by name, or the newest few, the oldest first."""

    def best_model(self, name: str, slice_: str | None, to: Path) -> tuple[int, str]:
        """Copy the model of a study's best trial, or of a slice's champion, to a file; its size and hash."""
