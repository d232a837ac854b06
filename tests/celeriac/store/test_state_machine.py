"""The lifecycle, driven at random on both stores at once: they answer alike, and after every step the books balance.

One machine plays coordinator, workers, reaper, node and user. It keeps the coordinator's rule (open + finished never
exceeds the budget) and otherwise does what the real programs do, at any moment and in any order: tickets doubled, lost
or stale, leases that run out, workers that come back as zombies, cancels and pauses in between.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
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
from celeriac.domain.errors import CeleriacError
from celeriac.domain.lifecycle import TRIAL_TRANSITIONS, AttemptEvent, StudyEvent, TrialEvent, sources
from celeriac.domain.records import (
    CLOSED,
    ENDED,
    Attempt,
    Counts,
    EndedTrial,
    Fault,
    Lease,
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
from celeriac.store.api import AttemptEnd
from tests.celeriac.store.conftest import Subject, memory_subject, postgres_subject
from tests.celeriac.store.scenes import crossing, new_study, report, scored, suggestion

BUDGET = 5
RUNGS = (1, 3)
KINDS = ("H200", "", "A100")
PARALLEL = 2
LAPSED_S = 0.01
LONG_S = 10_000.0
MOVES = (StudyEvent.RESUME, StudyEvent.PAUSE, StudyEvent.RESUME, StudyEvent.START, StudyEvent.REOPEN)
LEASABLE = sources(TRIAL_TRANSITIONS, TrialEvent.LEASE)

places = st.sampled_from([0, 0, 0, 1, 1, 2, 3, 5, 8])  # mostly the newest leases, sometimes a zombie's
leases = st.sampled_from([LONG_S, LAPSED_S])


class Lifecycle(RuleBasedStateMachine):
    """Both stores side by side; `self.tokens` pairs the tokens of the same lease, for ever, so that zombies can
    speak.
    """

    subjects: tuple[Subject, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        new = new_study(parallel=PARALLEL, spec={"study": "digits", "budget": {"trials": BUDGET}})
        self.studies = {subject.store: subject.store.create_study(new).id for subject in self.subjects}
        self.tokens: list[dict[Store, str]] = []
        self.leased: dict[int, Any] = {}
        self.turn, self.budget = 0, BUDGET

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

    # -- the programs and the user -------------------------------------------------------------------------------------
    # Few rules with many cases: hypothesis switches whole rules off in an example, and a life needs all of them.
    @initialize(lease_s=leases, parked=st.booleans())
    def begin(self, lease_s: float, parked: bool) -> None:
        """A study with two running trials, perhaps one handed back with its checkpoint: from here on anything may
        happen.
        """
        self.both(lambda store, study: store.move_study(study, StudyEvent.START, "first turn"))
        self.both(whole_turn)
        self.a_worker_takes_a_ticket(place=0, lease_s=LONG_S, stale=0, kind="H200")
        if parked:
            self.a_worker_speaks(place=0, step=0, checkpoint=True, lease_s=LONG_S, tail=None)
            self.a_worker_finishes(place=0, how=Fault.PREEMPTED, twice=False)
        self.a_worker_takes_a_ticket(place=0, lease_s=lease_s, stale=0, kind="A100")

    def teardown(self) -> None:
        """However it stands: the study is closed, and the books still balance."""
        self.both(lambda store, study: store.move_study(study, StudyEvent.STOP, "closed"))
        self.both_tell_one_story_and_its_books_balance()

    @rule(
        count=st.integers(0, 3),
        replaced=st.sampled_from([0, 0, 1, 1, 2, 3]),
        wanted=st.lists(st.integers(0, 2 * BUDGET), max_size=4),
        late=st.booleans(),
    )
    def a_coordinator_writes(self, count: int, replaced: int, wanted: list[int], late: bool) -> None:
        """Adds some trials, replaces the newest suggestions and queues some; `late`: by a turn that is over."""

        def add(store: Store, study: int) -> Any:
            seen = store.snapshot(study).study
            room = seen.spec["budget"]["trials"] - seen.counts.open - seen.counts.finished
            return store.add_trials(study, seen.turn - late, [suggestion(lr=0.2)] * min(count, room))

        def replace(store: Store, study: int) -> Any:
            seen = store.study(study)
            better = [suggestion(lr=0.3 + 0.001 * seen.turn)] * replaced
            return store.replace_waiting(study, seen.turn - late, seen.next_number - replaced, better)

        self.both(add)
        if replaced:
            self.both(replace)
        self.both(lambda store, study: store.queue_trials(study, store.study(study).turn - late, wanted))

    @rule(place=places, lease_s=leases, stale=st.sampled_from([0, 0, 0, -1, 1]), kind=st.sampled_from(KINDS))
    def a_worker_takes_a_ticket(self, place: int, lease_s: float, stale: int, kind: str) -> None:
        if self.nothing_is_queued():
            self.both(whole_turn)

        def ask(store: Store, study: int) -> Any:
            known = [trial for trial in store.trials(study) if trial.state in LEASABLE] or store.trials(study)
            trial = known[place % len(known)] if known else store.trial(study, place)
            attempt = trial.attempts + 1 + stale
            return store.lease(
                study, trial.number, attempt, worker="w", device="one", device_kind=kind, lease_s=lease_s
            )

        answers = self.both(ask)
        if all(isinstance(answer, Lease) for answer in answers.values()):
            self.tokens.append({store: answer.token for store, answer in answers.items()})
            lease = next(iter(answers.values()))
            assert self.leased.setdefault(lease.number, lease.params) == lease.params

    @precondition(lambda self: bool(self.tokens))
    @rule(
        place=places,
        step=st.integers(0, 3),
        checkpoint=st.booleans(),
        lease_s=leases,
        tail=st.none() | st.text(max_size=3),
    )
    def a_worker_speaks(self, place: int, step: int, checkpoint: bool, lease_s: float, tail: str | None) -> None:
        def ask(store: Store, token: str) -> Any:
            lease = lease_of(store, self.studies[store], token)
            value = 0.1 * step
            landed = store.report(
                token,
                [report(lease, step, value, checkpoint=checkpoint)],
                [crossing(rung, value * (1 - 2 * (lease.number % 2))) for rung in RUNGS if rung <= step],
            )
            return [(each.attempt, each.step) for each in landed.checkpoints], landed.rungs

        self.by_token(place, ask)
        self.by_token(place, lambda store, token: store.renew(token, lease_s, log_tail=tail))

    @precondition(lambda self: bool(self.tokens))
    @rule(place=places, how=st.sampled_from([0.1, 0.9, *Fault, Fault.PREEMPTED, math.nan, None]), twice=st.booleans())
    def a_worker_finishes(self, place: int, how: float | Fault | None, twice: bool) -> None:
        """With a score, a fault, or pruned (None)."""

        def ask(store: Store, token: str) -> Any:
            if how is None:
                pruned = AttemptEnd(AttemptEvent.PRUNE, TrialEvent.PRUNE, score=0.2, step=1)
                return store.finish_attempt(token, pruned)
            if not isinstance(how, Fault):
                return store.finish_attempt(token, scored(how))
            lease = lease_of(store, self.studies[store], token)
            trial = store.trial(lease.study_id, lease.number)
            return store.finish_attempt(token, faulted(how, trial, bool(store.checkpoints(*key(trial)))))

        for _ in range(1 + twice):
            self.by_token(place, ask)

    @rule(
        what=st.sampled_from(["reap", "reap", "resend", "cancel", "close", "extend", "retry", *MOVES]),
        place=places,
        end=st.sampled_from([StudyEvent.STOP, StudyEvent.FINISH, StudyEvent.FAIL]),
    )
    def now_and_then(self, what: str, place: int, end: StudyEvent) -> None:
        if what == "reap":
            self.reap()
        elif what == "resend":
            self.both(lambda store, study: [store.touch_queued([key(trial)]) for trial in store.unclaimed([study], 0)])
        elif what == "cancel":
            self.both(lambda store, study: store.cancel_trial(study, place, "not wanted"))
        elif what == "extend":
            self.budget += place % 2
            more = {"trials": self.budget}
            self.both(lambda store, study: store.extend_study(study, more, "more"))
            self.both(lambda store, study: store.extend_study(study, {"trials": BUDGET - 1}, "less"))
        elif what == "retry":
            numbers = None if place > 2 else [place]
            self.both(lambda store, study: store.retry_trials(study, numbers, "once more"))
        elif what in MOVES:
            self.both(lambda store, study: store.move_study(study, StudyEvent(what), what))
        elif len(self.tokens) > 5:  # or most lives would end young
            self.both(lambda store, study: store.move_study(study, end, "closed"))

    def reap(self) -> None:
        for subject in self.subjects:
            subject.pass_time(1)

        def ask(store: Store, _: int) -> Any:
            reaped = []
            for lapsed in sorted(store.expired(), key=lambda each: each.number):
                trial = store.trial(lapsed.study_id, lapsed.number)
                end = faulted(
                    Fault.INFRASTRUCTURE,
                    trial,
                    lapsed.has_checkpoint,
                    lapsed=True,
                    has_progressed=lapsed.has_progressed,
                )
                reaped.append(comparable(store.finish_attempt(lapsed.token, end, only_expired=True)))
            return reaped

        self.both(ask)

    def nothing_is_queued(self) -> bool:
        store, study = next(iter(self.studies.items()))
        return store.study(study).counts.queued == 0

    # -- what always holds --------------------------------------------------------------------------------------------
    @invariant()
    def both_tell_one_story_and_its_books_balance(self) -> None:
        stories = self.both(story)
        for told in stories.values():
            check_books(told)
            check_ends(told)
            check_attempts(told)
            check_rungs(told)
            assert all(told.trials[number].params == params for number, params in self.leased.items())
        turn = min(told.study.turn for told in stories.values())
        assert turn >= self.turn
        self.turn = turn


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


def whole_turn(store: Store, study: int) -> Any:
    """Fill the budget and queue all that can be."""
    seen = store.snapshot(study).study
    room = seen.spec["budget"]["trials"] - seen.counts.open - seen.counts.finished
    store.add_trials(study, seen.turn, [suggestion(lr=0.3)] * room)
    return store.queue_trials(study, seen.turn + 1, range(seen.next_number + room))


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
        assert trial.oom_device_kinds == tuple(
            sorted({each.device_kind for each in attempts if each.fault is Fault.OUT_OF_MEMORY})
        )
    used_s = sum(attempt.device_s for attempts in told.attempts for attempt in attempts)
    assert told.study.device_s == pytest.approx(used_s)


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


def outcome(ask: Callable[[Store, int], Any], store: Store, study_id: int) -> Any:
    """The answer, or the error as an answer."""
    try:
        return ask(store, study_id)
    except CeleriacError as error:
        return error


def comparable(answer: Any) -> Any:
    """An answer without what two stores may tell differently: tokens, ids, times, and device time measured by the
    clock.
    """
    if isinstance(answer, CeleriacError):
        return type(answer)
    if isinstance(answer, (list, tuple)):
        return [comparable(each) for each in answer]
    if hasattr(answer, "__dataclass_fields__"):
        skipped = {"id", "study_id", "token", "device_s", "path"}
        values = {name: getattr(answer, name) for name in answer.__dataclass_fields__ if name not in skipped}
        return {
            name: (
                value is None
                if name.endswith(("_at", "_until")) or name in ("at", "now", "not_before")
                else (
                    value > 0  # by each store's own clock, as device time is
                    if name == "paused_s"
                    else comparable(value)
                )
            )
            for name, value in values.items()
        }
    return answer


def faulted(
    fault: Fault, trial: TrialRecord, has_checkpoint: bool, *, lapsed: bool = False, has_progressed: bool = False
) -> AttemptEnd:
    """The end that the retry decision gives."""
    decided = after_fault(
        fault,
        faults=trial.faults,
        retry_attempts=3,
        has_checkpoint=has_checkpoint,
        has_progressed=has_progressed,
        lease_lapsed=lapsed,
    )
    return AttemptEnd(
        decided.attempt_event,
        decided.trial_event,
        fault=fault,
        detail=decided.reason,
        device_s=1.0,
        forgives=decided.forgives,
        wait_s=decided.wait_s,
    )


def lease_of(store: Store, study_id: int, token: str) -> Lease:
    """A lease's ids, found again by its token; enough to make a report."""
    for trial in store.trials(study_id):
        for attempt in store.attempts(study_id, trial.number):
            if attempt.token == token:
                return Lease(
                    token, study_id, "", trial.number, attempt.number, {}, {}, "", {}, None, {}, (), attempt.lease_until
                )
    raise AssertionError(f"no attempt has the token {token}")


def key(trial: TrialRecord) -> tuple[int, int]:
    """What names a trial."""
    return trial.study_id, trial.number


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_both_stores_live_the_same_lives(store: Store, database: str) -> None:
    with postgres_subject(store, database) as on_postgres:

        class Both(Lifecycle):
            subjects = (memory_subject(), on_postgres)

        run_state_machine_as_test(Both)


def test_the_memory_store_lives_alone() -> None:
    class Alone(Lifecycle):
        subjects = (memory_subject(),)

    run_state_machine_as_test(Alone)
