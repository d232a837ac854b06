"""The lifecycle, driven at random on both stores at once: they answer alike, and after every step the books balance.

One machine plays coordinator, workers, reaper, node and user. It keeps the coordinator's rule (open + finished never exceeds the
budget) and otherwise does what the real programs do, at any moment and in any order: tickets doubled, lost or stale, leases that run
out, workers that come back as zombies, cancels and pauses in between.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from celeriac.decide.retry import after_fault
from celeriac.errors import CeleriacError
from celeriac.lifecycle import TRIAL_TRANSITIONS, AttemptEvent, StudyEvent, TrialEvent, sources
from celeriac.records import (
    CLOSED,
    ENDED,
    Counts,
    Fault,
    Lease,
    StudyState,
    TrialRecord,
    TrialState,
)
from celeriac.store import Store
from celeriac.store.api import AttemptEnd
from tests.store.conftest import Subject, memory_subject, postgres_subject
from tests.store.scenes import new_study, report, scored, suggestion

BUDGET = 5
PARALLEL = 2
LAPSED_S = 0.01
LONG_S = 10_000.0
LEASABLE = sources(TRIAL_TRANSITIONS, TrialEvent.LEASE)

numbers = st.integers(0, BUDGET)
places = st.sampled_from([0, 0, 0, 1, 1, 2, 3, 5, 8])  # mostly the newest leases, sometimes a zombie's


class Lifecycle(RuleBasedStateMachine):
    """Both stores side by side; `self.tokens` pairs the tokens of the same lease, for ever, so that zombies can speak."""

    subjects: tuple[Subject, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        new = new_study(parallel=PARALLEL)
        self.studies = {subject.store: subject.store.create_study(new).id for subject in self.subjects}
        self.tokens: list[dict[Store, str]] = []
        self.turn = 0

    # -- asking both ------------------------------------------------------------------------------------------------
    def both(self, ask: Callable[[Store, int], Any]) -> dict[Store, Any]:
        """Ask every store; answers, errors included, must be alike."""
        answers = {store: outcome(ask, store, study_id) for store, study_id in self.studies.items()}
        alike = [comparable(answer) for answer in answers.values()]
        assert all(each == alike[0] for each in alike), alike
        return answers

    def by_token(self, place: int, ask: Callable[[Store, str], Any]) -> None:
        """Let the holder of some lease, living or dead, speak."""
        tokens = self.tokens[-1 - place % len(self.tokens)]
        self.both(lambda store, _: ask(store, tokens[store]))

    # -- the coordinator ----------------------------------------------------------------------------------------------
    @initialize(count=st.integers(0, BUDGET))
    def begin(self, count: int) -> None:
        self.both(lambda store, study: store.move_study(study, StudyEvent.START, "first turn"))
        self.both(
            lambda store, study: store.add_trials(study, 1, [suggestion(lr=0.1 * k) for k in range(count)])
        )

    @rule(event=st.sampled_from([StudyEvent.RESUME, StudyEvent.PAUSE, StudyEvent.START]))
    def move(self, event: StudyEvent) -> None:
        self.both(lambda store, study: store.move_study(study, event, f"to {event}"))

    @precondition(lambda self: bool(self.tokens))
    @rule(
        event=st.sampled_from([StudyEvent.FINISH, StudyEvent.STOP, StudyEvent.FAIL]), wanted=st.integers(0, 5)
    )
    def close(self, event: StudyEvent, wanted: int) -> None:
        if wanted == 0:  # seldom, or most runs would end early
            self.both(lambda store, study: store.move_study(study, event, "closed"))

    @rule(count=st.integers(1, 3), late=st.booleans())
    def add(self, count: int, late: bool) -> None:
        def ask(store: Store, study: int) -> Any:
            seen = store.snapshot(study).study
            room = BUDGET - seen.counts.open - seen.counts.finished
            turn = seen.turn - 1 if late else seen.turn
            return store.add_trials(study, turn, [suggestion(lr=0.1 * k) for k in range(min(count, room))])

        self.both(ask)

    @rule(wanted=st.lists(numbers, max_size=4), late=st.booleans())
    def queue(self, wanted: list[int], late: bool) -> None:
        def ask(store: Store, study: int) -> Any:
            turn = store.study(study).turn - int(late)
            return store.queue_trials(study, turn, wanted)

        self.both(ask)

    @rule()
    def turn_over(self) -> None:
        """A whole turn: fill the budget, queue all that can be."""

        def ask(store: Store, study: int) -> Any:
            seen = store.snapshot(study).study
            room = BUDGET - seen.counts.open - seen.counts.finished
            store.add_trials(study, seen.turn, [suggestion(lr=0.3)] * room)
            return store.queue_trials(study, seen.turn + 1, range(seen.next_number + room))

        self.both(ask)

    # -- the workers --------------------------------------------------------------------------------------------------
    @rule(number=numbers, ahead=st.sampled_from([1, 0, 2]), lease_s=st.sampled_from([LAPSED_S, LONG_S]))
    def take_any_ticket(self, number: int, ahead: int, lease_s: float) -> None:
        self._lease(lambda store, study: number, ahead, lease_s)

    @rule(place=places, lease_s=st.sampled_from([LAPSED_S, LONG_S]))
    def take_a_ticket(self, place: int, lease_s: float) -> None:
        store, study = next(iter(self.studies.items()))
        if store.study(study).counts.queued == 0:
            self.turn_over()

        def pick(store: Store, study: int) -> int:
            waiting = [trial.number for trial in store.trials(study) if trial.state in LEASABLE]
            return waiting[place % len(waiting)] if waiting else 0

        self._lease(pick, 1, lease_s)

    def _lease(self, pick: Callable[[Store, int], int], ahead: int, lease_s: float) -> None:
        def ask(store: Store, study: int) -> Any:
            trial = store.trial(study, pick(store, study))
            return store.lease(
                study, trial.number, trial.attempts + ahead, worker="w", device="cpu", lease_s=lease_s
            )

        answers = self.both(ask)
        if all(isinstance(answer, Lease) for answer in answers.values()):
            self.tokens.append({store: answer.token for store, answer in answers.items()})

    @precondition(lambda self: bool(self.tokens))
    @rule(lease_s=st.sampled_from([LAPSED_S, LONG_S]))
    def score_and_take_the_next(self, lease_s: float) -> None:
        """What a slot does most of the time."""
        self.by_token(0, lambda store, token: store.finish_attempt(token, scored(0.4)))
        self.take_a_ticket(place=0, lease_s=lease_s)

    @precondition(lambda self: bool(self.tokens))
    @rule(
        place=places,
        lease_s=st.sampled_from([LAPSED_S, LONG_S]),
        tail=st.none() | st.text(max_size=5),
    )
    def renew(self, place: int, lease_s: float, tail: str | None) -> None:
        self.by_token(place, lambda store, token: store.renew(token, lease_s, log_tail=tail))

    @precondition(lambda self: bool(self.tokens))
    @rule(place=places, step=st.integers(0, 4), checkpoint=st.booleans())
    def report(self, place: int, step: int, checkpoint: bool) -> None:
        def ask(store: Store, token: str) -> Any:
            lease = lease_of(store, self.studies[store], token)
            kept = store.report(token, [report(lease, step, 0.1 * step, checkpoint=checkpoint)])
            return [(each.attempt, each.step) for each in kept]

        self.by_token(place, ask)

    @precondition(lambda self: bool(self.tokens))
    @rule(place=places, score=st.sampled_from([0.1, 0.5, 0.9, float("nan")]), twice=st.booleans())
    def score(self, place: int, score: float, twice: bool) -> None:
        for _ in range(1 + twice):
            self.by_token(place, lambda store, token: store.finish_attempt(token, scored(score)))

    @precondition(lambda self: bool(self.tokens))
    @rule(place=places, fault=st.sampled_from(list(Fault)))
    def fault(self, place: int, fault: Fault) -> None:
        def ask(store: Store, token: str) -> Any:
            lease = lease_of(store, self.studies[store], token)
            trial = store.trial(lease.study_id, lease.number)
            return store.finish_attempt(token, faulted(fault, trial, bool(store.checkpoints(*key(trial)))))

        self.by_token(place, ask)

    @precondition(lambda self: bool(self.tokens))
    @rule(place=places, step=st.integers(0, 4))
    def prune(self, place: int, step: int) -> None:
        end = AttemptEnd(AttemptEvent.PRUNE, TrialEvent.PRUNE, score=0.2, step=step)
        self.by_token(place, lambda store, token: store.finish_attempt(token, end))

    # -- the reaper and the user --------------------------------------------------------------------------------------
    @rule()
    def reap(self) -> None:
        for subject in self.subjects:
            subject.pass_time(1)

        def ask(store: Store, _: int) -> Any:
            reaped = []
            for lapsed in sorted(store.expired(), key=lambda each: each.number):
                trial = store.trial(lapsed.study_id, lapsed.number)
                end = faulted(Fault.INFRASTRUCTURE, trial, lapsed.has_checkpoint, lapsed=True)
                reaped.append(comparable(store.finish_attempt(lapsed.token, end, only_expired=True)))
            return reaped

        self.both(ask)

    @rule()
    def resend(self) -> None:
        self.both(lambda store, study: [store.touch_queued([key(trial)]) for trial in store.unclaimed(0)])

    @rule(number=numbers, wanted=st.integers(0, 2))
    def cancel(self, number: int, wanted: int) -> None:
        if wanted == 0:
            self.both(lambda store, study: store.cancel_trial(study, number, "not wanted"))

    # -- what always holds --------------------------------------------------------------------------------------------
    @invariant()
    def both_tell_the_same_story(self) -> None:
        self.both(lambda store, study: store.snapshot(study))
        self.both(lambda store, study: store.trials(study))
        self.both(lambda store, study: [store.attempts(study, trial.number) for trial in store.trials(study)])
        self.both(lambda store, study: [store.reports(study, trial.number) for trial in store.trials(study)])

    @invariant()
    def the_books_balance(self) -> None:
        for store, study_id in self.studies.items():
            check_books(store, study_id)

    @invariant()
    def the_turn_only_grows(self) -> None:
        turns = {store.study(study).turn for store, study in self.studies.items()}
        assert len(turns) == 1
        assert min(turns) >= self.turn
        self.turn = min(turns)


def check_books(store: Store, study_id: int) -> None:
    """Everything that must hold of one study whatever has happened to it."""
    study, trials = store.study(study_id), store.trials(study_id)
    states = Counter(trial.state for trial in trials)
    assert study.counts == Counts(**{state.lower(): states[state] for state in TrialState})
    assert study.counts.finished <= BUDGET
    assert study.counts.open + study.counts.finished <= BUDGET
    assert study.counts.running <= PARALLEL
    assert [trial.number for trial in trials] == list(range(study.next_number))
    if study.state in CLOSED:
        assert study.counts.open == 0
    if study.state is StudyState.PAUSED:
        assert study.counts.queued == 0
    check_ends(store, study_id, trials)
    check_attempts(store, study_id, trials)
    best = [trial for trial in trials if trial.state is TrialState.SCORED]
    assert study.best_score == max((trial.score or 0 for trial in best), default=None)


def check_ends(store: Store, study_id: int, trials: list[TrialRecord]) -> None:
    """Ends are numbered from 1 without a gap, and only ended trials have a number."""
    ended = sorted((trial for trial in trials if trial.state in ENDED), key=lambda trial: trial.ended_no or 0)
    assert [trial.ended_no for trial in ended] == list(range(1, len(ended) + 1))
    assert store.ended_since(study_id, 0) == ended
    assert all(trial.ended_no is None for trial in trials if trial.state not in ENDED)


def check_attempts(store: Store, study_id: int, trials: list[TrialRecord]) -> None:
    """A RUNNING trial has one open attempt, its newest; no other trial has any; the study's device time is theirs."""
    used_s = 0.0
    for trial in trials:
        attempts = store.attempts(study_id, trial.number)
        assert [attempt.number for attempt in attempts] == list(range(1, trial.attempts + 1))
        open_ones = [attempt for attempt in attempts if attempt.outcome is None]
        assert open_ones == (attempts[-1:] if trial.state is TrialState.RUNNING else [])
        assert sum(trial.faults.values()) == sum(attempt.fault is not None for attempt in attempts)
        used_s += sum(attempt.device_s for attempt in attempts)
    assert store.study(study_id).device_s == pytest.approx(used_s)


def outcome(ask: Callable[[Store, int], Any], store: Store, study_id: int) -> Any:
    """The answer, or the error as an answer."""
    try:
        return ask(store, study_id)
    except CeleriacError as error:
        return error


def comparable(answer: Any) -> Any:
    """An answer without what two stores may tell differently: tokens, ids, times, and device time measured by the clock."""
    if isinstance(answer, CeleriacError):
        return type(answer)
    if isinstance(answer, (list, tuple)):
        return [comparable(each) for each in answer]
    if hasattr(answer, "__dataclass_fields__"):
        skipped = {"id", "study_id", "token", "device_s", "path"}
        values = {name: getattr(answer, name) for name in answer.__dataclass_fields__ if name not in skipped}
        return {
            name: value is None
            if name.endswith(("_at", "_until")) or name in ("at", "now")
            else comparable(value)
            for name, value in values.items()
        }
    return answer


def faulted(fault: Fault, trial: TrialRecord, has_checkpoint: bool, *, lapsed: bool = False) -> AttemptEnd:
    """The end that the retry decision gives."""
    decided = after_fault(
        fault, faults=trial.faults, retry_attempts=3, has_checkpoint=has_checkpoint, lease_lapsed=lapsed
    )
    return AttemptEnd(
        decided.attempt_event, decided.trial_event, fault=fault, detail=decided.reason, device_s=1.0
    )


def lease_of(store: Store, study_id: int, token: str) -> Lease:
    """A lease's ids, found again by its token; enough to make a report."""
    for trial in store.trials(study_id):
        for attempt in store.attempts(study_id, trial.number):
            if attempt.token == token:
                return Lease(
                    token,
                    study_id,
                    "",
                    trial.number,
                    attempt.number,
                    {},
                    {},
                    "",
                    {},
                    None,
                    {},
                    (),
                    attempt.lease_until,
                )
    raise AssertionError(f"no attempt has the token {token}")


def key(trial: TrialRecord) -> tuple[int, int]:
    """What names a trial."""
    return trial.study_id, trial.number


def test_both_stores_live_the_same_lives(store: Store, database: str) -> None:
    class Both(Lifecycle):
        subjects = (memory_subject(), postgres_subject(store, database))

    run_state_machine_as_test(Both)


def test_the_memory_store_alone_lives_longer(memory_store: Store) -> None:
    subject = memory_subject()

    class Alone(Lifecycle):
        subjects = (replace(subject),)

    run_state_machine_as_test(Alone)
