"""All that a study's rows say, and what must hold of it whatever has happened: used by the state machine."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import pytest

from celeriac.domain.records import (
    CLOSED,
    ENDED,
    Attempt,
    Counts,
    EndedTrial,
    Fault,
    PendingTrial,
    Report,
    RungRecord,
    Savings,
    StudyRecord,
    StudyState,
    TrialRecord,
    TrialState,
)
from celeriac.store import Store

RUNGS = (1, 3)
PARALLEL = 2


@dataclass(frozen=True)
class Story:
    """All that one study's rows say."""

    study: StudyRecord
    now: datetime
    paused: tuple[int, ...]
    waiting: tuple[int, ...]
    last_ended: tuple[EndedTrial, ...]
    tail: list[TrialRecord]
    pending: list[PendingTrial]
    trials: list[TrialRecord]
    ended: list[TrialRecord]
    attempts: list[list[Attempt]]
    reports: list[list[Report]]
    rungs: list[RungRecord]
    savings: Savings


def story(store: Store, study_id: int) -> Story:
    """Read everything; attempts and reports only of trials that ever ran."""
    seen, trials = store.snapshot(study_id), store.trials(study_id)
    ran = [trial.number for trial in trials if trial.attempts]
    return Story(
        study=seen.study,
        now=seen.now,
        paused=seen.paused,
        waiting=seen.waiting,
        last_ended=seen.last_ended,
        tail=store.newest_waiting(study_id, 3),
        pending=store.pending(study_id, observed=seen.study.counts.ended // 2, below=1000),
        trials=trials,
        ended=store.ended_since(study_id, 0),
        attempts=[store.attempts(study_id, number) for number in ran],
        reports=[store.reports(study_id, number) for number in ran],
        rungs=store.rung_records(study_id),
        savings=store.savings(study_id),
    )


def check_books(told: Story) -> None:
    """Everything that must hold of one study whatever has happened to it."""
    study, trials = told.study, told.trials
    states = Counter(trial.state for trial in trials)
    assert study.counts == Counts(**{state.lower(): states[state] for state in TrialState})
    assert study.counts.open + study.counts.finished <= study.spec["budget"]["trials"]
    assert study.counts.running <= PARALLEL
    assert [trial.number for trial in trials] == list(range(study.next_number))
    assert study.state not in CLOSED or study.counts.open == 0
    assert study.state is not StudyState.PAUSED or study.counts.queued == 0
    scores = [trial.score for trial in trials if trial.state is TrialState.SCORED and trial.score is not None]
    assert study.best_score == max(scores, default=None)


def check_ends(told: Story) -> None:
    """Ends are numbered from 1 without a gap, and only ended trials have a number."""
    ended = [trial for trial in told.trials if trial.state in ENDED]
    assert told.ended == sorted(ended, key=lambda trial: trial.ended_no or 0)
    assert [trial.ended_no for trial in told.ended] == list(range(1, len(ended) + 1))
    assert [each.number for each in told.last_ended] == [trial.number for trial in told.ended[:-4:-1]]
    due = [t for t in told.trials if t.not_before is None or t.not_before <= told.now]
    numbers = {state: tuple(t.number for t in due if t.state is state) for state in TrialState}
    assert (told.paused, told.waiting) == (numbers[TrialState.PAUSED], numbers[TrialState.WAITING])
    untried = [t.number for t in told.trials if t.state is TrialState.WAITING and not t.attempts]
    assert [trial.number for trial in told.tail] == untried[-3:]
    half = len(ended) // 2
    assert [trial.number for trial in told.pending] == [
        t.number for t in told.trials if t.ended_no is None or t.ended_no > half
    ]


def check_attempts(told: Story) -> None:
    """A RUNNING trial has one open attempt, its newest; no other trial has any; the study's device time is theirs."""
    for attempts in told.attempts:
        trial = told.trials[attempts[0].trial]
        assert [attempt.number for attempt in attempts] == list(range(1, trial.attempts + 1))
        open_ones = [attempt for attempt in attempts if attempt.outcome is None]
        assert open_ones == (attempts[-1:] if trial.state is TrialState.RUNNING else [])
        assert sum(trial.faults.values()) == sum(attempt.fault is not None for attempt in attempts)
        assert trial.device_kind == attempts[-1].device_kind
        enough = trial.state in (TrialState.SCORED, TrialState.PRUNED)
        short = [each for each in attempts if each.fault is Fault.OUT_OF_MEMORY]
        kinds = {each.device_kind for each in short if not enough or (each.micro_batch or 1) == 1}
        assert trial.oom_device_kinds == tuple(sorted(kinds))
    used_s = sum(attempt.device_s for attempts in told.attempts for attempt in attempts)
    assert told.study.device_s == pytest.approx(used_s)
    ran_s = sum(attempt.device_s / attempt.width for attempts in told.attempts for attempt in attempts)
    assert told.study.ran_s == pytest.approx(ran_s)


def check_rungs(told: Story) -> None:
    """Each trial counts once in a rung; places have no gap; each cutoff is that of the records up to it; ended trials
    carry theirs.
    """
    for rung in RUNGS:
        there = [record for record in told.rungs if record.rung == rung]
        assert [record.place for record in there] == list(range(1, len(there) + 1))
        assert len({record.trial for record in there}) == len(there)
        for record in there:
            seen = sorted((other.value for other in there[: record.place]), reverse=True)
            assert record.cutoff == seen[max(1, record.place // 3) - 1]
            assert record.attempt <= told.trials[record.trial].attempts
    for trial in told.trials:
        own = sorted((each.rung, each.value) for each in told.rungs if each.trial == trial.number)
        assert list(trial.rungs) == own
