"""What a study's next turn does, decided on plain records."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.decide.buffer import Sampling
from celeriac.decide.turn import MOST_WANTED, Limits, duration, what_next
from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import Counts, Fault, Snapshot, StudyState, TrialRecord, TrialState
from celeriac.domain.stop_rules import StopStudy
from tests.celeriac.decide.records import NOW, snapshot, study, trial


def in_states(**counts: int) -> Snapshot:
    """A running study whose open trials agree with its counts."""
    made: list[TrialRecord] = []
    for name in ("running", "queued", "waiting", "paused"):
        state = TrialState(name.upper())
        made += [trial(len(made) + at, state) for at in range(counts.get(name, 0))]
    return snapshot(study(counts=Counts(**counts)), tuple(made))


def test_an_open_study_is_started() -> None:
    assert what_next(snapshot(study(StudyState.OPEN)), Limits(10), 2).event is StudyEvent.START


@pytest.mark.parametrize("state", [StudyState.DONE, StudyState.STOPPED, StudyState.FAILED])
def test_a_closed_study_is_left_alone(state: StudyState) -> None:
    decision = what_next(snapshot(study(state, reason="told to")), Limits(1), 2)
    assert (decision.event, decision.queue, decision.add) == (None, (), 0)
    assert "told to" in decision.reason


def test_a_paused_study_gets_nothing_but_its_end() -> None:
    paused = study(StudyState.PAUSED, Counts(waiting=1, scored=1), reason="a bug")
    assert what_next(snapshot(paused), Limits(2), 2).event is None
    done = study(StudyState.PAUSED, Counts(scored=2))
    assert what_next(snapshot(done), Limits(2), 2).event is StudyEvent.FINISH
    assert what_next(snapshot(done), Limits(2), 2).reason == "all 2 trials are finished"
    one = study(StudyState.RUNNING, Counts(scored=1))
    assert what_next(snapshot(one), Limits(1), 2).reason == "its one trial is finished"


def test_the_first_suggestions_do_not_wait_for_slots() -> None:
    assert what_next(in_states(), Limits(10), 0).add == 1
    assert what_next(in_states(waiting=1), Limits(10), 0).queue == (0,)
    four = replace(in_states(), study=study(parallel=4))
    assert what_next(four, Limits(10), 0).add == 2


def test_in_order_the_next_is_suggested_when_the_one_before_has_ended() -> None:
    limits = Limits(10, in_order=True)
    assert what_next(in_states(), limits, 3).add == 1
    assert what_next(in_states(waiting=1), limits, 3).queue == (0,)
    for under_way in ({"queued": 1}, {"running": 1}, {"running": 1, "scored": 4}):
        decision = what_next(in_states(**under_way), limits, 3)
        assert (decision.add, decision.queue, decision.replace) == (0, (), ())
    assert what_next(in_states(scored=4), limits, 3).add == 1
    assert what_next(in_states(scored=4), limits, 0).add == 1


def test_what_a_slot_could_take_at_once_comes_before_the_buffer() -> None:
    assert what_next(in_states(), Limits(100), 3).add == 3
    short = in_states(queued=3, running=3, scored=1)
    assert what_next(short, Limits(100), 3).add == 3
    assert what_next(in_states(queued=3, running=3, waiting=3, scored=1), Limits(100), 3).add == 0


def test_a_portion_for_waiting_slots_is_small_and_one_for_the_buffer_is_not() -> None:
    assert what_next(in_states(), Limits(1000), 100).add == MOST_WANTED
    assert what_next(in_states(queued=20, running=20, scored=1), Limits(1000), 20).add == 20


def test_waiting_suggestions_that_grew_stale_are_replaced_before_they_are_queued() -> None:
    trials = (
        trial(6, TrialState.RUNNING),
        trial(7, TrialState.WAITING, why={"observed": 4, "best": 2}),
        trial(8, TrialState.WAITING, why={"observed": 4, "best": 2}),
    )
    counts = Counts(running=1, waiting=2, scored=6)
    seen = snapshot(study(counts=counts, next_number=9, best_number=5, ran_s=6 * 60.0), trials)
    decision = what_next(seen, Limits(100), 1)
    assert decision.replace == (7, 8)
    assert decision.reason == "trial 7 was suggested before the best, trial 5, ended"
    assert what_next(seen, Limits(100), 2).queue == (7,)  # a slot waits: better now than best
    assert what_next(seen, Limits(100), 1, Sampling(learns=False)).queue == (7,)


def test_a_retry_does_not_wait_for_better_suggestions() -> None:
    trials = (
        trial(3, TrialState.WAITING, attempts=1),
        trial(6, TrialState.RUNNING),
        trial(7, TrialState.WAITING, why={"observed": 4}),
    )
    counts = Counts(running=1, waiting=2, scored=5)
    seen = snapshot(study(counts=counts, next_number=8, ran_s=5 * 60.0), trials)
    assert what_next(seen, Limits(100), 1).queue == (3,)


def test_retries_and_handed_back_trials_are_queued_first() -> None:
    trials = (
        trial(3, TrialState.WAITING, attempts=1),
        trial(7, TrialState.PAUSED),
        trial(9, TrialState.WAITING),
        trial(8, TrialState.WAITING),
    )
    seen = snapshot(study(counts=Counts(waiting=3, paused=1)), trials)
    assert what_next(seen, Limits(100), 3).queue == (7, 3, 8)


def test_a_retry_gets_no_ticket_before_its_wait_is_over() -> None:
    later = trial(0, TrialState.WAITING, attempts=2, not_before=NOW + timedelta(seconds=2))
    trials = (later, trial(1, TrialState.WAITING))
    assert what_next(snapshot(study(counts=Counts(waiting=2)), trials), Limits(2), 2).queue == (1,)
    look = snapshot(study(counts=Counts(waiting=2)), trials, now=NOW + timedelta(seconds=2))
    assert what_next(look, Limits(2), 2).queue == (0, 1)


def test_parallel_below_the_slots_limits_tickets_and_runs_together() -> None:
    limited = in_states(running=1, waiting=3)
    limited = replace(limited, study=replace(limited.study, parallel=2))
    assert what_next(limited, Limits(100), 4).queue == (1,)
    full = in_states(running=1, queued=1, waiting=2)
    full = replace(full, study=replace(full.study, parallel=2))
    assert what_next(full, Limits(100), 4) == what_next(full, Limits(100), 4)
    assert what_next(full, Limits(100), 4).queue == ()


def test_the_budget_is_the_end_and_the_limit() -> None:
    assert what_next(in_states(scored=8, pruned=1, failed=1), Limits(10), 2).event is StudyEvent.FINISH
    last = in_states(scored=8, running=1, queued=1)
    assert what_next(last, Limits(10), 2).add == 0
    assert what_next(in_states(scored=9, cancelled=5), Limits(10), 2).add == 1


def test_a_wall_budget_counts_from_the_first_lease_without_pauses() -> None:
    seen = in_states(scored=3, running=2)
    limits, late = Limits(10, 1800.0), NOW + timedelta(seconds=4000)
    for changes in (
        {"first_leased_at": None},
        {"first_leased_at": late - timedelta(seconds=1799)},
        {"paused_s": 2201.0},
    ):
        assert what_next(replace(seen, now=late, study=replace(seen.study, **changes)), limits, 2).event is None
    used_up = replace(seen.study, paused_s=2200.0)
    assert what_next(replace(seen, now=late, study=used_up), limits, 2).event is StudyEvent.FINISH


def test_a_wall_budget_that_is_used_up_ends_the_study() -> None:
    seen = in_states(scored=3, running=2)
    assert what_next(replace(seen, now=NOW + timedelta(seconds=1799)), Limits(10, 1800.0), 2).event is None
    decision = what_next(replace(seen, now=NOW + timedelta(seconds=1800)), Limits(10, 1800.0), 2)
    assert decision.event is StudyEvent.FINISH
    assert decision.reason == "wall budget of 30m is used up"


def test_a_reopened_studys_target_does_not_end_it_again() -> None:
    seen = in_states(scored=3, running=2)
    limits = Limits(10, stop=StopStudy(target=0.5))
    best = replace(seen.study, best_number=0, best_score=0.6)
    assert what_next(replace(seen, study=best), limits, 2).event is StudyEvent.FINISH
    reopened = replace(best, reopened_at=NOW + timedelta(seconds=1000))
    assert what_next(replace(seen, study=reopened), limits, 2).event is None


def bugs(*signatures: str, fault: Fault = Fault.USER_BUG, ended_at: datetime = NOW) -> tuple[TrialRecord, ...]:
    return tuple(
        trial(
            9 - at,
            TrialState.FAILED,
            fault=fault,
            signature=signature,
            detail="ZeroDivisionError: division by zero",
            ended_at=ended_at,
        )
        for at, signature in enumerate(signatures)
    )


def test_three_times_the_same_bug_pauses_and_says_what_to_do() -> None:
    seen = snapshot(study(counts=Counts(failed=3)), (), bugs("a", "a", "a"))
    decision = what_next(seen, Limits(10), 2)
    assert decision.event is StudyEvent.PAUSE
    assert "trials 7, 8, 9" in decision.reason
    assert "ZeroDivisionError" in decision.reason
    assert "celeriac resume digits" in decision.reason


@pytest.mark.parametrize(
    "ended",
    [
        bugs("a", "a"),
        bugs("a", "b", "a"),
        bugs("", "", ""),
        bugs("a", "a", "a", fault=Fault.TIMEOUT),
        (*bugs("a", "a"), trial(2, TrialState.SCORED, score=1.0)),
    ],
)
def test_other_failures_pause_nothing(ended: tuple[TrialRecord, ...]) -> None:
    seen = snapshot(study(counts=Counts(failed=3)), (), ended)
    assert what_next(seen, Limits(10), 2).event is None


def test_a_resumed_study_is_not_paused_again_for_old_bugs() -> None:
    resumed = study(counts=Counts(failed=3), resumed_at=NOW + timedelta(minutes=1))
    assert what_next(snapshot(resumed, (), bugs("a", "a", "a")), Limits(10), 2).event is None
    again = bugs("a", "a", "a", ended_at=NOW + timedelta(minutes=2))
    assert what_next(snapshot(resumed, (), again), Limits(10), 2).event is StudyEvent.PAUSE


def test_an_exhausted_space_ends_the_study_once_nothing_is_open() -> None:
    waits = what_next(in_states(running=1, scored=3), Limits(10), 2, exhausted="no point is left")
    assert (waits.event, waits.add) == (None, 0)
    ends = what_next(in_states(scored=4), Limits(10), 2, exhausted="no point is left")
    assert ends.event is StudyEvent.FINISH
    assert ends.reason == "no point is left: 4 of 10 trials finished"


@given(
    st.integers(0, 6), st.integers(0, 6), st.integers(0, 6), st.integers(0, 12), st.integers(0, 8), st.integers(1, 20)
)
def test_open_and_finished_never_exceed_the_budget(
    running: int, queued: int, waiting: int, scored: int, slots: int, budget: int
) -> None:
    seen = in_states(running=running, queued=queued, waiting=waiting, scored=scored)
    decision = what_next(seen, Limits(budget), slots)
    assert decision.reason
    steps = (decision.event, decision.queue, decision.replace, decision.add)
    assert [bool(step) for step in steps].count(True) <= 1
    if decision.add:
        assert running + queued + waiting + scored + decision.add <= budget
    if decision.queue:
        assert len(decision.queue) <= waiting


@pytest.mark.parametrize(
    ("seconds", "text"), [(90.0, "90s"), (1800.0, "30m"), (7200.0, "2h"), (86400.0, "1d"), (0.5, "0.5s")]
)
def test_durations_read_like_the_file(seconds: float, text: str) -> None:
    assert duration(seconds) == text
