"""The records: what the store's rows are when they travel through the programs.

All are frozen; none knows how it is stored or drawn. Times end in `_at` and are aware UTC, durations in `_s`,
sizes in `_bytes`. Values that came from a user's file (`spec`, `params`, `metrics`) stay plain JSON mappings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from html import escape
from typing import Any, Literal

from celeriac.domain.provenance import Provenance

Goal = Literal["maximize", "minimize"]
Params = Mapping[str, Any]


class StudyState(StrEnum):
    """Where a study is in its life; see `celeriac.domain.lifecycle`."""

    OPEN = "OPEN"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    DONE = "DONE"
    STOPPED = "STOPPED"
    FAILED = "FAILED"


class TrialState(StrEnum):
    """Where a trial is in its life; see `celeriac.domain.lifecycle`."""

    WAITING = "WAITING"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    SCORED = "SCORED"
    PRUNED = "PRUNED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Outcome(StrEnum):
    """How an attempt ended. The set is closed."""

    SCORED = "scored"
    PRUNED = "pruned"
    FAULT = "fault"
    RELEASED = "released"
    SUPERSEDED = "superseded"


class Fault(StrEnum):
    """The class of a fault; each has its own retry (`celeriac.decide.retry`)."""

    INFRASTRUCTURE = "infrastructure"
    OUT_OF_MEMORY = "out_of_memory"
    NOT_FINITE = "not_finite"
    TIMEOUT = "timeout"
    USER_BUG = "user_bug"
    PREEMPTED = "preempted"


class Source(StrEnum):
    """Where a trial's parameters came from."""

    DEFAULT = "default"
    PRIOR = "prior"
    SUGGESTED = "suggested"
    CHAMPION = "champion"


FINISHED = frozenset({TrialState.SCORED, TrialState.PRUNED, TrialState.FAILED})
ENDED = FINISHED | {TrialState.CANCELLED}
CLOSED = frozenset({StudyState.DONE, StudyState.STOPPED, StudyState.FAILED})


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of a study's trials are in each state; kept in the study's row, never counted by reading trials."""

    waiting: int = 0
    queued: int = 0
    running: int = 0
    paused: int = 0
    scored: int = 0
    pruned: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def finished(self) -> int:
        """Trials that used the budget: SCORED, PRUNED and FAILED."""
        return self.scored + self.pruned + self.failed

    @property
    def open(self) -> int:
        """Trials that may still finish: WAITING, QUEUED, RUNNING and PAUSED."""
        return self.waiting + self.queued + self.running + self.paused

    @property
    def ended(self) -> int:
        """Trials that will not change any more: the finished and the CANCELLED."""
        return self.finished + self.cancelled


@dataclass(frozen=True, slots=True)
class NewStudy:
    """What is needed to open a study. `spec` is `StudySpec.to_dict()`; `code_root` and `fingerprint` are the
    submitter's.
    """

    name: str
    spec: Mapping[str, Any]
    goal: Goal
    parallel: int | None = None
    code_root: str = ""
    fingerprint: str = ""
    schedule: str | None = None
    slice: Mapping[str, Any] = field(default_factory=dict)
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study's row. `turn` grows with each write of the coordinator; a write that names an older turn is refused.

    `resumed_at` is when a person last resumed or reopened it, or had trials run once more: what was wrong before then
    is no reason to pause it again. `reopened_at` is when a person last wanted a closed study to go on: its
    `stop_study` does not end it again. `paused_s`: how long it was paused, or closed, since `first_leased_at` (before
    its first lease: since `started_at`), without the pause that `paused_at` began.
    """

    id: int
    name: str
    spec: Mapping[str, Any]
    goal: Goal
    parallel: int | None
    code_root: str
    fingerprint: str
    state: StudyState
    reason: str
    turn: int
    next_number: int
    counts: Counts
    best_number: int | None
    best_score: float | None
    device_s: float
    schedule: str | None
    slice: Mapping[str, Any]
    due_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    resumed_at: datetime | None = None
    reopened_at: datetime | None = None
    first_leased_at: datetime | None = None
    paused_at: datetime | None = None
    paused_s: float = 0.0

    def worked_s(self, now: datetime) -> float:
        """Seconds since its first lease, but for those that it was paused, until its end or now: what its wall budget
        counts.
        """
        if self.first_leased_at is None:
            return 0.0
        until = self.paused_at or self.ended_at or now
        return max((until - self.first_leased_at).total_seconds() - self.paused_s, 0.0)


def html_table(rows: Mapping[str, object]) -> str:
    """Names and values as a table for a notebook."""
    cells = (f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in rows.items())
    return f"<table>{''.join(cells)}</table>"


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A trial's row.

    `attempts` counts the leases ever given; `faults` counts its attempts' faults by class. `ended_no` is the place of
    this trial in the study's order of ends (1, 2, …), gap-free and in commit order, so that readers can go on from
    where they were. `device_kind` is its newest attempt's ("": none, or unknown). Where a page of trials was read
    (`Store.trials`, `Store.ended_since`), `rungs` holds its (rung, value) pairs, lowest rung first, and
    `oom_device_kinds` the kinds of the devices on which an attempt ran out of memory, sorted. `not_before`: after a
    fault, no ticket is sent earlier.
    """

    study_id: int
    number: int
    params: Params
    state: TrialState
    source: Source
    why: Mapping[str, Any]
    score: float | None
    metrics: Mapping[str, Any]
    step: int | None
    attempts: int
    faults: Mapping[str, int]
    fault: Fault | None
    detail: str
    signature: str
    last_step: int | None
    last_value: float | None
    worker: str
    ended_no: int | None
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    rungs: tuple[tuple[int, float], ...] = ()
    device_kind: str = ""
    oom_device_kinds: tuple[str, ...] = ()
    not_before: datetime | None = None

    @property
    def provenance(self) -> Provenance:
        """How its parameters came about: its `why`, read."""
        return Provenance.read(self.why)

    def __repr__(self) -> str:
        """What a person wants to see of it, on one line."""
        score = f", score={self.score:.6g}" if self.score is not None else ""
        return f"TrialRecord(number={self.number}, state={self.state}{score}, params={dict(self.params)})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        told = {"trial": self.number, "state": self.state, "score": self.score, "detail": self.detail}
        return html_table({**{name: value for name, value in told.items() if value not in (None, "")}, **self.params})


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Parameters that a sampler proposes, and why: enough to propose them again from the rows."""

    params: Params
    source: Source
    why: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a trial under one lease.

    `late` holds a result that came after the lease was gone; it never counts. `device_kind` is what `Device.kind` was
    when it was leased, "" when unknown.
    """

    study_id: int
    trial: int
    number: int
    token: str
    worker: str
    device: str
    fingerprint: str
    leased_at: datetime
    lease_until: datetime
    ended_at: datetime | None
    outcome: Outcome | None
    fault: Fault | None
    detail: str
    traceback: str
    device_s: float
    peak_memory_bytes: int
    resumed_step: int | None
    log_path: str
    late: Mapping[str, Any] | None
    device_kind: str = ""


@dataclass(frozen=True, slots=True)
class CodeRun:
    """Code by the hash of its files, and which of a study's ended trials ran it: how many, and from which number to
    which.
    """

    code: str
    trials: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file that was complete, synced and hashed before its row was committed. `path` is relative to the checkpoint
    root.
    """

    study_id: int
    trial: int
    attempt: int
    step: int
    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Report:
    """One value of an attempt at one step, with the checkpoint that was written for it, if any."""

    step: int
    value: float
    metrics: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Checkpoint | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """How the records of a rung are ranked: by the study's goal, within a bracket; of n the best max(1, (n + spare) //
    of) are kept, with spare < of.
    """

    goal: Goal
    of: int
    spare: int = 0
    bracket: int = 0

    def kept(self, count: int) -> int:
        """How many of `count` records are kept."""
        return max(1, (count + self.spare) // self.of)


@dataclass(frozen=True, slots=True)
class Crossing:
    """A report that is its attempt's first at a rung: `resource` is what the report had used, at least `rung`. `value`
    is finite.
    """

    rung: int
    step: int
    resource: float
    value: float
    ranking: Ranking


@dataclass(frozen=True, slots=True)
class RungRecord:
    """A trial's value at a rung: written once, never changed, whatever later attempts report there.

    `place` is its place in the rung's order of arrival (1, 2, …), gap-free and in commit order: it was ranked among
    exactly the `place` records up to and with its own. `cutoff` is the value of the last of those that are kept then
    (`Ranking`).
    """

    study_id: int
    bracket: int
    rung: int
    place: int
    trial: int
    attempt: int
    step: int
    resource: float
    value: float
    cutoff: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Savings:
    """What early stopping has spared a study: `steps` that its pruned `trials` did not run, and what these would have
    cost.

    A whole training is as long as the longest of a scored trial: a pruned trial spared the steps from its last one to
    there, each at the device time that a step of its newest attempt took on average.
    """

    trials: int = 0
    steps: int = 0
    device_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run one attempt, and all that the runner needs for it. `checkpoints` come newest first;
    `fingerprint` is the study's.
    """

    token: str
    study_id: int
    study: str
    number: int
    attempt: int
    params: Params
    spec: Mapping[str, Any]
    code_root: str
    slice: Mapping[str, Any]
    due_at: datetime | None
    faults: Mapping[str, int]
    checkpoints: tuple[Checkpoint, ...]
    lease_until: datetime
    source: Source = Source.SUGGESTED
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a ticket did not become a lease. Nothing is wrong: the row, or the study, is elsewhere by now."""

    reason: str


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt that has not ended, with what the retry decision needs: for the reaper and the node.

    `has_progressed`: it has brought a checkpoint of a later step than all attempts before it.
    """

    token: str
    study_id: int
    study: str
    number: int
    attempt: int
    worker: str
    spec: Mapping[str, Any]
    faults: Mapping[str, int]
    has_checkpoint: bool
    has_progressed: bool
    leased_at: datetime
    lease_s: float
    lease_until: datetime


@dataclass(frozen=True, slots=True)
class ReaperLook:
    """When the reaper looked last, and the time before that; `seen_since`: from when on it looked without a gap.

    By the store's clock, and kept in the store: so it holds for a reaper that was restarted, for two of them, and for
    a Postgres that took over from another.
    """

    looked_at: datetime
    before_at: datetime
    seen_since: datetime


@dataclass(frozen=True, slots=True)
class Duty:
    """Something that the coordinator does again and again, every `every_s`, and how long ago it last came through."""

    name: str
    every_s: float
    ago_s: float


@dataclass(frozen=True, slots=True)
class LetGo:
    """Which files of an ended trial nothing refers to any more."""

    number: int
    checkpoints: bool
    logs: bool


@dataclass(frozen=True, slots=True)
class PendingTrial:
    """A trial as a sampler sees it before its end. `observed`: how many ends its suggestion knew, None when no sampler
    suggested it.

    The newest waiting trials may be given other parameters; `observed` then changes with them.
    """

    number: int
    params: Params
    source: Source
    observed: int | None


@dataclass(frozen=True, slots=True)
class EndedTrial:
    """How a trial ended: what the decision to pause a study looks at."""

    number: int
    fault: Fault | None
    signature: str
    detail: str
    ended_at: datetime


#: How many paused, and how many waiting numbers a snapshot lists at most.
MOST_READY = 256


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one turn of the coordinator decides on. Its size depends neither on the study's length nor on how many
    trials are open.

    `paused` and `waiting` are the lowest numbers of the trials that a ticket may be sent for now, at most MOST_READY
    of each. `last_ended` are the newest ends, newest first, at most three. `tail` are the newest trials that wait and
    were never
    leased, by number: as many as may be suggested anew, and read only where that is possible.
    """

    study: StudyRecord
    paused: tuple[int, ...]
    waiting: tuple[int, ...]
    last_ended: tuple[EndedTrial, ...]
    now: datetime
    tail: tuple[TrialRecord, ...] = ()

    @property
    def ready(self) -> tuple[int, ...]:
        """The numbers to send tickets for: handed back with a checkpoint first, then by number, so that retries go
        first.
        """
        return self.paused + self.waiting


@dataclass(frozen=True, slots=True)
class Claim:
    """What one study that is not closed holds of the fleet, and what more it could use, from its row alone.

    `ready`: trials that a ticket may be sent for; `left`: those of its budget that have not been suggested yet;
    `may_run`: whether it is OPEN or RUNNING. `age_s`: seconds since its first lease, but for those that it was paused.
    """

    study_id: int
    gpus: int
    parallel: int | None
    may_run: bool
    running: int
    queued: int
    ready: int
    left: int
    finished: int
    device_s: float
    age_s: float

    @classmethod
    def of(cls, study: StudyRecord, *, trials: int, gpus: int, age_s: float) -> "Claim":
        """The claim of a study with a budget of so many trials, by its row."""
        counts = study.counts
        return cls(
            study_id=study.id,
            gpus=gpus,
            parallel=study.parallel,
            may_run=study.state in (StudyState.OPEN, StudyState.RUNNING),
            running=counts.running,
            queued=counts.queued,
            ready=counts.waiting + counts.paused,
            left=max(trials - counts.finished - counts.open, 0),
            finished=counts.finished,
            device_s=study.device_s,
            age_s=age_s,
        )

    @property
    def held(self) -> int:
        """Slots that it has, and tickets for which it will have one."""
        return self.running + self.queued

    @property
    def begun(self) -> int:
        """Trials that it has finished or runs."""
        return self.finished + self.running

    @property
    def demand(self) -> int:
        """The slots that it could use at once."""
        wanted = self.held + self.ready + self.left
        return wanted if self.parallel is None else min(wanted, self.parallel)

    @property
    def mean_s(self) -> float | None:
        """Device seconds of a finished trial, on average; None while none is finished."""
        return self.device_s / self.finished if self.finished else None


@dataclass(frozen=True, slots=True)
class Device:
    """One device of one host and its slots, as the host's node last said. `kind` is "cpu" or the GPU's name.

    `heartbeat_s`: how often its node speaks.
    """

    uuid: str
    host: str
    kind: str
    memory_bytes: int
    labels: Mapping[str, str]
    slots: tuple[str, ...]
    fingerprint: str
    health: str
    heartbeat_at: datetime
    heartbeat_s: float = 5.0

    def is_alive(self, now: datetime, within_s: float) -> bool:
        """Whether its node spoke within that time, or within four of its own heartbeats."""
        return (now - self.heartbeat_at).total_seconds() <= max(within_s, 4 * self.heartbeat_s)

    @property
    def is_gpu(self) -> bool:
        """Whether this is a GPU (anything that is not "cpu")."""
        return self.kind != "cpu"


@dataclass(frozen=True, slots=True)
class PutAside:
    """A slot that takes no trials until then, or none of one study (`study_id`; 0: of any), and why."""

    worker: str
    study_id: int
    reason: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule's row: the study it opens for each slice, and when next."""

    name: str
    spec: Mapping[str, Any]
    cron: str
    timezone: str
    slices: tuple[Mapping[str, Any], ...]
    code_root: str
    fingerprint: str
    paused: bool
    next_due_at: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewFiring:
    """What is needed to fire one slice: its study, and what `Firing` says of `by_hand` and `note`."""

    study: NewStudy
    by_hand: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Firing:
    """(schedule, slice, due_at, by_hand) is unique: the row itself is the lock that makes a firing happen once.

    `by_hand` is 0 for the clock's own firing, else its number among those that people made on that day. `note` is what
    its schedule's
    history should tell: that its study has another name than usual, or that earlier firings were skipped.
    """

    schedule: str
    slice: Mapping[str, Any]
    due_at: datetime
    study_id: int
    fired_at: datetime
    by_hand: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Champion:
    """The verdict on one closed study of a slice. The slice's champion is the newest row with `promoted`."""

    schedule: str
    slice: Mapping[str, Any]
    study_id: int
    study: str
    trial: int | None
    params: Params
    score: float | None
    default_score: float | None
    metrics: Mapping[str, Any]
    promoted: bool
    reason: str
    decided_at: datetime | None = None
