"""What a person may ask of the service, wherever it is: the words that the local client and the remote one share.

`Client` answers from Postgres, `celeriac.client.remote` over the API. A command that is written against `Service` does
its work by either; one that needs the database itself takes a `Client`, and says so where there is only an address.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from celeriac.domain.errors import UnknownStudy
from celeriac.domain.records import Champion, Delivery, Device, Firing, Schedule, ScheduleEdit, StudyRecord
from celeriac.domain.study_file import StudySpec, load, parse

if TYPE_CHECKING:
    from celeriac.client.fleet import Fleet
    from celeriac.client.progress import Progress
    from celeriac.client.study import Study
    from celeriac.decide.calendar import Coming
    from celeriac.report.morning import Morning
    from celeriac.runtime.settings import Settings
    from celeriac.store import Store

SpecLike = StudySpec | Mapping[str, Any] | str | Path


def read_spec(spec: SpecLike, name: str | None) -> tuple[StudySpec, Path]:
    """The spec, and the directory that its `code` is relative to: its file's, or the current one."""
    if isinstance(spec, StudySpec):
        return (spec if name is None else parse(spec.to_dict(), name=name)), Path.cwd()
    if isinstance(spec, Mapping):
        return parse(spec, name=name, is_new=True), Path.cwd()
    return load(spec, name=name), Path(spec).resolve().parent


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


@dataclass(frozen=True, slots=True)
class Submission:
    """What a submit came to: the study, whether it was there already, and what the submitter should know."""

    study: "Study"
    attached: bool
    notes: tuple[str, ...]


def is_schedule(store: "Store", name: str) -> bool:
    """Whether this names a schedule and no study."""
    try:
        store.study_named(name)
    except UnknownStudy:
        return any(each.name == name for each in store.schedules())
    return False


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

    def open(self, spec: SpecLike, *, name: str | None = None) -> Submission:
        """Open a study, or attach to it."""

    def study(self, name: str) -> "Study":
        """The study of that name."""

    def study_of(self, record: StudyRecord) -> "Study":
        """The study of that row."""

    def records(self, limit: int) -> list[StudyRecord]:
        """The newest studies, newest first."""

    def progress(self, study: "Study") -> "Progress":
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
