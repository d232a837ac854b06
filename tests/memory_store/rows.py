"""The rows of the memory store, its one lock, and the only two functions that move a trial or a study.

`atomic` is the transaction: one verb at a time, and what goes in or out is copied, so that nobody holds a piece of the
store. Verbs look first and change after, so a verb that raises has changed nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import wraps
from threading import RLock
from typing import Any, Concatenate, ParamSpec, TypeVar

from celeriac.domain.lifecycle import ATTEMPT_TRANSITIONS, TRIAL_TRANSITIONS, AttemptEvent, TrialEvent, moved
from celeriac.domain.records import (
    ENDED,
    Attempt,
    Champion,
    Checkpoint,
    Counts,
    Delivery,
    Device,
    Fault,
    Firing,
    FiringState,
    Member,
    MemoryFault,
    NewStudy,
    Peer,
    Placed,
    PutAside,
    ReaperLook,
    Replay,
    Report,
    RungRecord,
    Schedule,
    ScheduleEdit,
    SliceDue,
    StudyRecord,
    TrialRecord,
    TrialState,
)
from celeriac.store.refusals import lease_lost, stale_turn, unknown_study, unknown_trial
from celeriac.store.sanitize import plain_json, plain_text
from tests.memory_store.copies import copied

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(slots=True)
class Held:
    """An attempt with what its record does not show."""

    attempt: Attempt
    lease_s: float
    digest: str = ""
    last_step: int | None = None
    last_value: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.attempt.ended_at is None


@dataclass(slots=True)
class HeldMember:
    """A slot that came to the gang of an attempt, with what its record does not show."""

    study_id: int
    trial: int
    attempt: int
    member: Member
    peer: Peer
    device: str
    device_kind: str
    joined_at: datetime
    lease_s: float
    lease_until: datetime
    grow: str = ""

    @property
    def gang(self) -> tuple[int, int, int]:
        """Whose it is."""
        return self.study_id, self.trial, self.attempt


@dataclass
class Rows:
    """Everything kept."""

    clock: Callable[[], datetime]
    lock: RLock = field(default_factory=RLock)
    studies: dict[int, StudyRecord] = field(default_factory=dict)
    trials: dict[tuple[int, int], TrialRecord] = field(default_factory=dict)
    attempts: dict[str, Held] = field(default_factory=dict)
    reports: dict[tuple[int, int, int, int], Report] = field(default_factory=dict)
    rungs: dict[tuple[int, int, int], RungRecord] = field(default_factory=dict)
    checkpoints: dict[tuple[int, int, int, int], Checkpoint] = field(default_factory=dict)
    logs: dict[tuple[int, int, int], str] = field(default_factory=dict)
    devices: dict[tuple[str, str], Device] = field(default_factory=dict)
    put_asides: dict[tuple[str, int], PutAside] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)
    slice_dues: dict[str, dict[str, SliceDue]] = field(default_factory=dict)
    schedule_edits: list[ScheduleEdit] = field(default_factory=list)
    replays: dict[int, Replay] = field(default_factory=dict)
    firings: dict[int, Firing] = field(default_factory=dict)
    plans: dict[int, NewStudy] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    verdicts: dict[int, Champion] = field(default_factory=dict)
    rerun_after: dict[tuple[int, int], int] = field(default_factory=dict)
    driven: set[int] = field(default_factory=set)
    drains: set[tuple[str, str]] = field(default_factory=set)
    look: ReaperLook | None = None
    logs_pruned_at: dict[int, datetime] = field(default_factory=dict)
    duties: dict[str, tuple[float, datetime]] = field(default_factory=dict)
    deliveries: dict[int, Delivery] = field(default_factory=dict)
    noted: set[tuple[Any, ...]] = field(default_factory=set)
    members: dict[str, HeldMember] = field(default_factory=dict)

    def study(self, study_id: int, turn: int | None = None) -> StudyRecord:
        """The study; raises UnknownStudy, and StaleTurn when it is at another turn than the one given."""
        found = self.studies.get(study_id)
        if found is None:
            raise unknown_study(study_id, ())
        if turn is not None and found.turn != turn:
            raise stale_turn(found.name, found.turn, turn)
        return found

    def gathering(self) -> Iterator[tuple[str, Placed]]:
        """The members of placed gangs that wait for the others: where each is, and what it holds there."""
        for each in self.members.values():
            trial = self.trials[each.study_id, each.trial]
            waits = each.member.rank is None and not each.member.ended and each.lease_until > self.clock()
            is_current = trial.state is TrialState.QUEUED and trial.attempts == each.attempt - 1
            if waits and is_current and trial.placed is not None:
                yield each.device, trial.placed

    def behind_leaders(self) -> set[tuple[int, int]]:
        """The running trials whose process is another one's already: a pack holds its part once."""
        seen: set[tuple[int, str]] = set()
        found = set()
        for each in sorted((held.attempt for held in self.attempts.values() if held.is_open), key=lambda a: a.trial):
            process = (each.study_id, process_of(each))
            if process in seen:
                found.add((each.study_id, each.trial))
            seen.add(process)
        return found

    def next_id(self, table: str) -> int:
        """The next id of a table; one that was deleted does not come back."""
        self.ids[table] = self.ids.get(table, 0) + 1
        return self.ids[table]

    def enter(self, firing: Firing, state: FiringState, reason: str, evidence: Mapping[str, Any]) -> Firing:
        """A firing in its next state, with the step that led there."""
        now, said = self.clock(), plain_text(reason)
        step = {**plain(evidence), "state": str(state), "at": now.isoformat(), "reason": said}
        after = replace(
            firing, state=state, reason=said, turn=firing.turn + 1, entered_at=now, steps=(*firing.steps, step)
        )
        self.firings[firing.id] = after
        return after

    def is_champion(self, study_id: int, number: int) -> bool:
        """Whether that trial is, or was, a champion."""
        found = ((each.study_id, each.trial) for each in self.verdicts.values() if each.promoted)
        return (study_id, number) in found

    def trial(self, study_id: int, number: int) -> TrialRecord:
        """The trial; raises UnknownTrial."""
        found = self.trials.get((study_id, number))
        if found is None:
            raise unknown_trial(study_id, number)
        return found

    def trials_of(self, study_id: int) -> list[TrialRecord]:
        """All of a study's trials, by number."""
        return [trial for (owner, _), trial in sorted(self.trials.items()) if owner == study_id]

    def with_past(self, page: Sequence[TrialRecord]) -> list[TrialRecord]:
        """The trials of a page with their rungs, and with the kinds of devices whose memory was too small."""
        short: dict[tuple[int, int], set[str]] = {}
        for each in (held.attempt for held in self.attempts.values()):
            ended_well = self.trials[each.study_id, each.trial].state in (TrialState.SCORED, TrialState.PRUNED)
            if each.fault is Fault.OUT_OF_MEMORY and not (ended_well and (each.micro_batch or 1) > 1):
                short.setdefault((each.study_id, each.trial), set()).add(each.short_kind or each.device_kind)
        found: dict[tuple[int, int], list[tuple[int, float]]] = {}
        for (study_id, number, rung), record in sorted(self.rungs.items()):
            found.setdefault((study_id, number), []).append((rung, record.value))
        return [
            replace(
                t,
                rungs=tuple(found.get((t.study_id, t.number), ())),
                oom_device_kinds=tuple(sorted(short.get((t.study_id, t.number), ()))),
            )
            for t in page
        ]

    def memory_faults(self, study_id: int, number: int) -> tuple[MemoryFault, ...]:
        """The trial's attempts that ran out of memory since a person had it run once more, in order."""
        mine = [each.attempt for each in self.attempts.values() if each.attempt.study_id == study_id]
        after = self.rerun_after.get((study_id, number), 0)
        here = [each for each in mine if each.trial == number and each.number > after]
        short = [each for each in here if each.fault is Fault.OUT_OF_MEMORY]
        return tuple(
            MemoryFault(each.short_kind or each.device_kind, each.micro_batch)
            for each in sorted(short, key=lambda each: each.number)
        )

    def checkpoints_of(self, study_id: int, number: int) -> list[Checkpoint]:
        """The trial's checkpoints, newest first."""
        found = [each for each in self.checkpoints.values() if (each.study_id, each.trial) == (study_id, number)]
        return sorted(found, key=lambda each: (-each.step, -each.attempt))

    def reports_of(self, study_id: int, number: int, attempt: int | None = None) -> list[Report]:
        """The trial's reports by step, or those of one attempt; a later attempt's value wins at the same step."""
        newest: dict[int, Report] = {}
        for key in sorted(self.reports):
            if key[:2] == (study_id, number) and attempt in (None, key[3]):
                newest[key[2]] = replace(self.reports[key], checkpoint=self.checkpoints.get(key))
        return list(newest.values())

    def held(self, token: str) -> Held:
        """The open attempt of a token, which is the fence; raises LeaseLost, saying who ended it."""
        held = self.attempts.get(token)
        if held is None or not held.is_open:
            raise lease_lost(token, held.attempt if held else None)
        return held

    def keep_tail(self, attempt: Attempt, tail: str | None) -> None:
        """Keep what an attempt printed last in place of what was kept; None keeps that."""
        if tail is not None:
            self.logs[attempt.study_id, attempt.trial, attempt.number] = plain_text(tail)

    def open_attempt(self, study_id: int, number: int) -> Held | None:
        """The attempt that runs this trial now."""
        for held in self.attempts.values():
            if held.is_open and (held.attempt.study_id, held.attempt.trial) == (study_id, number):
                return held
        return None

    def move_trial(self, trial: TrialRecord, event: TrialEvent, **changes: Any) -> TrialRecord:
        """Move a trial by its table and keep its study's counters; `changes` are its other new values."""
        study = self.studies[trial.study_id]
        state = moved(TRIAL_TRANSITIONS, trial.state, event, thing=f"trial {trial.number} of study {study.name}")
        counts = recounted(study, trial.state, state)
        if state in ENDED:
            changes |= {"ended_no": study.counts.ended + 1, "ended_at": self.clock()}
        after = replace(trial, state=state, **changes)
        self.trials[trial.study_id, trial.number] = after
        self.studies[study.id] = replace(study, counts=counts)
        return after

    def end_attempt(self, held: Held, event: AttemptEvent, **changes: Any) -> None:
        """End an open attempt, or better its end, and keep the study's device time."""
        outcome = moved(ATTEMPT_TRANSITIONS, held.attempt.outcome, event, thing="attempt")
        before_s, width = held.attempt.device_s, held.attempt.width
        held.attempt = replace(held.attempt, ended_at=self.clock(), outcome=outcome, **changes)
        study = self.studies[held.attempt.study_id]
        more_s = held.attempt.device_s - before_s
        self.studies[study.id] = replace(study, device_s=study.device_s + more_s, ran_s=study.ran_s + more_s / width)

    def cancel(self, trial: TrialRecord, reason: str) -> TrialRecord:
        """Cancel an open trial; its open attempt is released, its device time running until now."""
        held = self.open_attempt(trial.study_id, trial.number)
        after = self.move_trial(trial, TrialEvent.CANCEL, detail=reason, queued_at=None)
        if held is not None:
            used_s = max(0.0, (self.clock() - held.attempt.leased_at) / timedelta(seconds=1)) / held.attempt.packed
            self.end_attempt(held, AttemptEvent.RELEASE, detail=reason, device_s=used_s * held.attempt.width)
        return after


def recounted(study: StudyRecord, before: TrialState, after: TrialState) -> Counts:
    """The study's counters when one trial goes from one state to another."""
    counts = replace(study.counts, **{before.lower(): getattr(study.counts, before.lower()) - 1})
    return replace(counts, **{after.lower(): getattr(counts, after.lower()) + 1})


class Tables:
    """What the groups of verbs share: the rows."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows


def atomic(verb: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """One verb at a time; arguments and results are copies."""

    @wraps(verb)
    def alone(self: Tables, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._rows.lock:
            return copied(verb(self, *copied(args), **copied(kwargs)))

    return alone


def process_of(attempt: Attempt) -> str:
    """What the attempts of one process have in common, within a study."""
    return attempt.pack or f"{attempt.trial}.{attempt.number}."


def system_clock() -> datetime:
    """Aware UTC now."""
    return datetime.now(UTC)


def plain(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping as JSON gives it back."""
    kept: dict[str, Any] = plain_json(mapping)
    return kept
