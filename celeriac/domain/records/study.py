"""A study: its row, what one turn of the coordinator decides on, and its part of the fleet."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from celeriac.domain.records.resources import Resources
from celeriac.domain.records.trial import EndedTrial, TrialRecord
from celeriac.domain.states import Goal, Stage, StudyState


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
    submitter's. `firing_id` and `stage` where it is a firing's.
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
    firing_id: int | None = None
    stage: Stage | None = None


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study's row. `turn` grows with each write of the coordinator; a write that names an older turn is refused.

    `resumed_at` is when a person last resumed or reopened it, or had trials run once more: what was wrong before then
    is no reason to pause it again. `reopened_at` is when a person last wanted a closed study to go on: its
    `stop_study` does not end it again. `paused_s`: how long it was paused, or closed, since `first_leased_at` (before
    its first lease: since `started_at`), without the pause that `paused_at` began. `stage`: what it is for in the
    firing `firing_id`; None for a study that no schedule opened. `device_s`: device-seconds of its attempts, each
    counted for all that it held (`Attempt.width`); `ran_s`: how long they ran, whatever they held.
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
    firing_id: int | None = None
    stage: Stage | None = None
    ran_s: float = 0.0

    @property
    def budget(self) -> int:
        """How many trials will have finished when it is done."""
        return int(self.spec["budget"]["trials"])

    @property
    def metric(self) -> str:
        """What its score is called."""
        return str(self.spec["metric"]["name"])

    @property
    def resources(self) -> Resources:
        """What one trial of it asks for."""
        return Resources.read(self.spec.get("resources"))

    @property
    def gpus(self) -> float:
        """How many GPUs a trial of it needs: its demand class."""
        return self.resources.gpus

    def worked_s(self, now: datetime) -> float:
        """Seconds since its first lease, but for those that it was paused, until its end or now: what its wall budget
        counts.
        """
        if self.first_leased_at is None:
            return 0.0
        until = self.paused_at or self.ended_at or now
        return max((until - self.first_leased_at).total_seconds() - self.paused_s, 0.0)


@dataclass(frozen=True, slots=True)
class KnownCost:
    """How long the finished trials of the newest studies of an objective ran, in seconds of all their attempts,
    whatever these held.
    """

    studies: int = 0
    trials: int = 0
    ran_s: float = 0.0


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


#: How many paused, and how many waiting numbers a snapshot lists at most.
MOST_READY = 256


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one turn of the coordinator decides on. Its size depends neither on the study's length nor on how many
    trials are open.

    `paused` and `waiting` are the lowest numbers of the trials that a ticket may be sent for now, at most MOST_READY
    of each kind; of those that wait, the ones that were proposed from outside come first. `last_ended` are the newest
    ends, newest first, at most three. `tail` are the newest trials that wait and were never leased, by number: as many
    as may be suggested anew, and read only where that is possible.
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
class DeviceSpent:
    """Device-seconds of attempts, ended ones and those that run, until now: of a study, of all stages of its firing,
    and of all firings of its schedule's night; and how many devices the attempts of each hold now, shares of a GPU
    counted as such. A pack counts once. `firing_kept_s`, `night_kept_s`: what the confirmations to come are expected to
    take.
    """

    study_s: float
    firing_s: float = 0.0
    night_s: float = 0.0
    study_holds: float = 0.0
    firing_holds: float = 0.0
    night_holds: float = 0.0
    firing_kept_s: float = 0.0
    night_kept_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Claim:
    """What one study that is not closed holds of the fleet, and what more it could use, from its row alone.

    `ready`: trials that a ticket may be sent for; `left`: those of its budget that have not been suggested yet;
    `may_run`: whether it is OPEN or RUNNING. `age_s`: seconds since its first lease, but for those that it was paused.
    `resources`: what one trial asks for; `members`: the slots that its running gangs really have (None: a whole width
    each). `weight`: its priority; `deadline_s`: seconds until its firing should be done (None: at any time).
    `ran_s`: how long its attempts ran, whatever they held.
    `is_placed`: its trials go to devices that are chosen for them; `suiting`: then so many devices suit them. `pack`:
    so many of its trials share a slot at most; `in_packs` counts it in packs.
    """

    study_id: int
    resources: Resources
    parallel: int | None
    may_run: bool
    running: int
    queued: int
    ready: int
    left: int
    finished: int
    ran_s: float
    age_s: float
    weight: float = 1.0
    deadline_s: float | None = None
    members: int | None = None
    is_placed: bool = False
    suiting: int = 0
    pack: int = 0

    @classmethod
    def of(
        cls,
        study: StudyRecord,
        *,
        trials: int,
        resources: Resources,
        age_s: float,
        weight: float = 1.0,
        deadline_s: float | None = None,
        members: int | None = None,
        pack: int = 0,
    ) -> "Claim":
        """The claim of a study with a budget of so many trials, by its row."""
        counts = study.counts
        return cls(
            study_id=study.id,
            resources=resources,
            parallel=study.parallel,
            may_run=study.state in (StudyState.OPEN, StudyState.RUNNING),
            running=counts.running,
            queued=counts.queued,
            ready=counts.waiting + counts.paused,
            left=max(trials - counts.finished - counts.open, 0),
            finished=counts.finished,
            ran_s=study.ran_s,
            age_s=age_s,
            weight=weight,
            deadline_s=deadline_s,
            members=members,
            pack=pack,
        )

    def in_packs(self, running: int | None = None) -> "Claim":
        """The claim where a pack is what runs in a slot: a ticket is for one, and all its counts are of packs.
        `running`: how many packs run (None: at least as many as its running trials make).
        """
        size = self.pack
        if size <= 1:
            return self

        def packs(trials: int) -> int:
            return -(-trials // size)

        return replace(
            self,
            parallel=None if self.parallel is None else packs(self.parallel),
            running=packs(self.running) if running is None else running,
            ready=packs(self.ready),
            left=packs(self.left),
            finished=packs(self.finished),
            pack=1,
        )

    @property
    def gpus(self) -> float:
        """How many GPUs one trial needs: its demand class."""
        return self.resources.gpus

    @property
    def width(self) -> float:
        """Slots that one trial holds: 0.25 of one, one, or several. All counts of a claim are in trials."""
        return self.resources.width

    @property
    def slots_held(self) -> float:
        """Slots that its running trials have, and those to which its tickets will go."""
        return self.slots_running + self.queued * self.width

    @property
    def slots_wanted(self) -> float:
        """Slots that it holds; of a placed study, which has no tickets ahead, all that it could use."""
        if not self.is_placed or not self.may_run:
            return self.slots_held
        return max(self.slots_held, min(self.demand * self.width, float(self.suiting)))

    @property
    def slots_running(self) -> float:
        """Slots that its running trials have."""
        return self.running * self.width if self.members is None else float(self.members)

    @property
    def held(self) -> int:
        """Trials that have a slot, and tickets for which one will have one."""
        return self.running + self.queued

    @property
    def begun(self) -> int:
        """Trials that it has finished or runs."""
        return self.finished + self.running

    @property
    def to_come(self) -> float:
        """Trials that are still to run, those that run now as half of one."""
        return self.running / 2 + self.queued + self.ready + self.left

    @property
    def demand(self) -> int:
        """The trials that it could run at once."""
        wanted = self.held + self.ready + self.left
        return wanted if self.parallel is None else min(wanted, self.parallel)

    @property
    def mean_s(self) -> float | None:
        """Seconds of a finished trial, on average, whatever it held; None while none is finished."""
        return self.ran_s / self.finished if self.finished else None
