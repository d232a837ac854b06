"""The lifecycle, driven at random on both stores at once: they answer alike, and after every step the books balance.

One machine plays coordinator, workers, reaper, node and user. It keeps the coordinator's rule (open + finished never
exceeds the budget) and otherwise does what the real programs do, at any moment and in any order: tickets doubled, lost
or stale, leases that run out, workers that come back as zombies, cancels and pauses in between.
"""

import math
from collections.abc import Callable
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
from celeriac.domain.records import Fault, Lease, TrialRecord
from celeriac.domain.study_file import run_plan
from celeriac.store import Store
from celeriac.store.api import AttemptEnd
from tests.celeriac.store.books import PARALLEL, RUNGS, check_attempts, check_books, check_ends, check_rungs, story
from tests.celeriac.store.conftest import Subject, memory_subject, postgres_subject
from tests.celeriac.store.scenes import SPEC, crossing, new_study, report, scored, suggestion

BUDGET = 5
KINDS = ("H200", "", "A100")
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
        new = new_study(parallel=PARALLEL, spec={**SPEC, "budget": {"trials": BUDGET}})
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
            self.a_worker_speaks(place=0, step=0, checkpoint=True, lease_s=LONG_S, tail=None, asked_back=False)
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
        asked_back=st.booleans(),
    )
    def a_worker_speaks(
        self, place: int, step: int, checkpoint: bool, lease_s: float, tail: str | None, asked_back: bool
    ) -> None:
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
        if asked_back:
            self.by_token(place, lambda store, token: store.preempt([token], "another waits"))
        self.both(lambda store, study: sorted(store.running_attempts([study]), key=lambda each: each.number))
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
                return store.finish_attempt(token, scored(how, holdout=(how, 1.0), drift=-how))
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


def whole_turn(store: Store, study: int) -> Any:
    """Fill the budget and queue all that can be."""
    seen = store.snapshot(study).study
    room = seen.spec["budget"]["trials"] - seen.counts.open - seen.counts.finished
    store.add_trials(study, seen.turn, [suggestion(lr=0.3)] * room)
    return store.queue_trials(study, seen.turn + 1, range(seen.next_number + room))


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
        skipped = {"id", "study_id", "token", "device_s", "ran_s", "path"}
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
        elsewhere=True,
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
                ids, plan = (token, study_id, "", trial.number, attempt.number), run_plan(SPEC)
                return Lease(*ids, {}, plan, "", {}, None, {}, (), attempt.lease_until)
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
