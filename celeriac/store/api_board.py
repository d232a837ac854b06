"""What the board's pages read: a contract of its own beside `celeriac.store.api.Store`, kept by the store on Postgres.

Rule: a verb's cost is a page's, whatever a study's length. What is shown is chosen, thinned and counted in the
database, and rows hold what a page shows of them rather than all that they have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from celeriac.domain.records import (
    Counts,
    Fault,
    FiringState,
    Goal,
    Outcome,
    Params,
    RungRecord,
    Source,
    Stage,
    StudyState,
    TrialRecord,
    TrialState,
    VerdictKind,
)


@dataclass(frozen=True, slots=True)
class StudyLine:
    """A study in a list."""

    id: int
    name: str
    state: StudyState
    reason: str
    goal: Goal
    metric: str
    budget: int
    counts: Counts
    best_number: int | None
    best_score: float | None
    device_s: float
    schedule: str | None
    stage: Stage | None
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Condition:
    """What a trial of a table must hold: `name` is a column's or a parameter's, `op` one of <, <=, >, >=, =, !=;
    `word` in lower case, and `figure` where that is a number.
    """

    name: str
    op: str
    word: str
    figure: float | None = None


@dataclass(frozen=True, slots=True)
class TrialOrder:
    """How a table's trials are sorted, and which of them are on the page. `by` is a name as in `Condition`."""

    by: str = "number"
    down: bool = False
    skip: int = 0
    limit: int = 50


@dataclass(frozen=True, slots=True)
class TrialLine:
    """A trial in a table; `last_step` and `last_value` are its newest attempt's last report."""

    number: int
    state: TrialState
    source: Source
    score: float | None
    params: Params
    fault: Fault | None
    detail: str
    attempts: int
    started_at: datetime | None
    ended_at: datetime | None
    last_step: int | None
    last_value: float | None

    @property
    def seconds(self) -> float | None:
        """From its first start to its end."""
        return None if None in (self.started_at, self.ended_at) else (self.ended_at - self.started_at).total_seconds()  # type: ignore[operator]


@dataclass(frozen=True, slots=True)
class BestStep:
    """A trial that was better than all that had ended before it: the how many-th to finish it was, and how long after
    its study's start.
    """

    study_id: int
    place: int
    number: int
    score: float
    after_s: float


@dataclass(frozen=True, slots=True)
class RungLine:
    """A rung of a study: its newest record, whose `place` is how many came, and how many were stopped there."""

    newest: RungRecord
    stopped: int


@dataclass(frozen=True, slots=True)
class RunLine:
    """An attempt as a bar in time."""

    trial: int
    attempt: int
    worker: str
    device_kind: str
    leased_at: datetime
    ended_at: datetime | None
    outcome: Outcome | None
    fault: Fault | None


@dataclass(frozen=True, slots=True)
class RunNow:
    """An attempt that runs, and what it last reported."""

    study: str
    study_id: int
    trial: int
    attempt: int
    worker: str
    leased_at: datetime
    last_step: int | None
    last_value: float | None


@dataclass(frozen=True, slots=True)
class Drain:
    """A device that somebody took out; "" for all of its host's."""

    host: str
    device: str
    who: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SlotFaults:
    """How many attempts on a slot ended with a fault of one class, and when the last of them did."""

    worker: str
    fault: Fault
    faults: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class NightCell:
    """A firing, and what its own test said: gain with its interval, where there was one; `awaits` as it was judged."""

    id: int
    name: str
    schedule: str
    slice: Mapping[str, Any]
    due_at: datetime
    by_hand: int
    state: FiringState
    reason: str
    entered_at: datetime
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    trial: int | None = None
    study: str | None = None
    awaits: bool = False


@dataclass(frozen=True, slots=True)
class VerdictLine:
    """A verdict without its evidence."""

    id: int
    schedule: str
    slice: Mapping[str, Any]
    study: str
    trial: int | None
    score: float | None
    params: Params
    decided_at: datetime
    kind: VerdictKind
    who: str
    before_id: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TrialPage:
    """A page of a table, and how many trials hold its conditions."""

    lines: tuple[TrialLine, ...] = ()
    of: int = 0


@dataclass(frozen=True, slots=True)
class StudyFilter:
    """Which studies a list has: in these states (none: in any), of this schedule, with these letters in the name, with
    this goal and this metric.
    """

    search: str = ""
    states: tuple[StudyState, ...] = ()
    schedule: str | None = None
    before_id: int | None = field(default=None)
    goal: Goal | None = None
    metric: str | None = None


class BoardStore(Protocol):
    """Verbs that read for pages."""

    def study_lines(self, wanted: StudyFilter, limit: int = 50) -> list[StudyLine]:
        """Newest first; the next page starts before the last one's id."""

    def study_states(self) -> dict[StudyState, int]:
        """How many studies are in each state."""

    def trial_lines(self, study_id: int, order: TrialOrder, conditions: Sequence[Condition] = ()) -> TrialPage:
        """A page of the trials that hold all conditions. Of equals the lower number comes first; those without a value
        to sort by are last.
        """

    def best_steps(self, study_ids: Sequence[int]) -> list[BestStep]:
        """How the best of each of these studies came about, in the order of ends."""

    def drawn_trials(self, study_id: int, limit: int = 600) -> list[TrialRecord]:
        """The finished trials that a study's pictures show, by number: all, or of more than `limit` about so many: each
        that was better than all before it, the default, the best third, and an even sample of the others.
        """

    def drawn_curves(self, study_id: int, limit: int = 60) -> dict[int, TrialState]:
        """About `limit` trials whose reports are worth a curve, with their states: those that run, the best third, and
        a sample.
        """

    def thinned_reports(self, study_id: int, numbers: Sequence[int], most: int) -> dict[int, list[tuple[int, float]]]:
        """(step, value) of these trials by step, at most about `most` points each, the first and the last among
        them.
        """

    def rung_lines(self, study_id: int) -> list[RungLine]:
        """By bracket and rung."""

    def newest_runs(self, study_id: int, limit: int = 400) -> list[RunLine]:
        """The study's newest attempts, newest first."""

    def runs_now(self, study_id: int | None = None, limit: int = 500) -> list[RunNow]:
        """Attempts that have not ended, of one study or of all, the longest first."""

    def drains(self) -> list[Drain]:
        """What is taken out of the fleet, by host and device."""

    def faults_on_slots(self, since: datetime) -> list[SlotFaults]:
        """Faults of attempts that ended since then, of studies that were open since then; by slot and class."""

    def night_cells(self, schedule: str, since: datetime, limit: int = 2000) -> list[NightCell]:
        """The firings of a schedule that were due since then, newest first."""

    def nights_version(self, schedule: str) -> str:
        """What changes whenever a firing of the schedule moves, or somebody decides on its champions."""

    def champion_lines(self, schedule: str | None = None) -> list[VerdictLine]:
        """The champion of each slice, by schedule and slice."""

    def unanswered(self) -> list[VerdictLine]:
        """What waits for a person to approve or reject it, newest first."""
