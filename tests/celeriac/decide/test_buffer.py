"""How deep a study's buffer is, and when its waiting suggestions are stale."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.decide.buffer import Depth, Sampling, learns, lone, stale
from celeriac.decide.buffer import depth as depth_of
from celeriac.decide.share import AHEAD_S
from celeriac.domain.records import Counts, Snapshot, Source, StudyRecord, TrialRecord, TrialState
from tests.celeriac.decide.records import snapshot, study, trial


def at_pace(mean_s: float, *, running: int = 0, queued: int = 0, parallel: int | None = None) -> StudyRecord:
    """A study with ten finished trials of that length."""
    counts = Counts(running=running, queued=queued, scored=10)
    return study(counts=counts, ran_s=10 * mean_s, parallel=parallel)


def depth(record: StudyRecord, slots: int) -> Depth:
    """The depth of a study that has all slots to itself."""
    return depth_of(record, slots, lone(record, slots))


def test_before_anything_ended_every_slot_has_a_ticket_and_one_lies_ahead() -> None:
    assert depth(study(), 4) == Depth(now=4, tickets=5, waiting=3)
    assert depth(study(counts=Counts(running=4)), 4) == Depth(now=0, tickets=1, waiting=3)
    assert depth(study(), 1) == Depth(now=1, tickets=2, waiting=1)


def test_short_trials_have_a_ticket_and_a_suggestion_for_each_slot() -> None:
    assert depth(at_pace(0.1, running=4), 4) == Depth(now=0, tickets=4, waiting=4)
    assert depth(at_pace(AHEAD_S, running=4, queued=1), 4) == Depth(now=0, tickets=4, waiting=4)


@pytest.mark.parametrize(
    ("slots", "mean_s", "tickets", "waiting"),
    [(1, 60.0, 1, 0), (4, 10.0, 2, 2), (4, 60.0, 1, 3), (30, 60.0, 3, 27), (30, 6000.0, 1, 29)],
)
def test_of_long_trials_few_are_bound_and_all_slots_may_end_at_once(
    slots: int, mean_s: float, tickets: int, waiting: int
) -> None:
    assert depth(at_pace(mean_s, running=slots), slots) == Depth(0, tickets, waiting)


def test_free_slots_get_their_tickets_at_once_however_long_the_trials_are() -> None:
    assert depth(at_pace(600.0, running=1, queued=1), 4) == Depth(now=2, tickets=4, waiting=3)
    assert depth(at_pace(1.0, running=1, queued=1), 4) == Depth(now=2, tickets=5, waiting=6)
    assert depth(at_pace(600.0, running=4, queued=1), 4) == Depth(now=0, tickets=1, waiting=3)


def test_parallel_below_the_slots_leaves_no_ticket_that_may_not_run() -> None:
    assert depth(at_pace(60.0, running=1, queued=1, parallel=3), 8) == Depth(now=1, tickets=2, waiting=3)
    assert depth(at_pace(60.0, running=3, parallel=3), 8) == Depth(now=0, tickets=0, waiting=3)


def test_without_slots_the_first_trials_are_made_ready() -> None:
    assert depth(study(parallel=4), 0) == Depth(now=2, tickets=2, waiting=4)
    assert depth(study(), 0) == Depth(now=1, tickets=1, waiting=1)


def waiting(*numbers: int, observed: int = 20, best: int | None = 7, **changes: object) -> list[TrialRecord]:
    """Suggestions that wait and knew so much."""
    why = {"observed": observed, "best": best}
    return [trial(number, TrialState.WAITING, why=why, **changes) for number in numbers]


def seen(*open_trials: TrialRecord, ended: int = 20, best: int | None = 7, mean_s: float = 60.0) -> Snapshot:
    """A study whose newest trial is the last of these."""
    record = study(
        counts=Counts(scored=ended),
        ran_s=ended * mean_s,
        best_number=best,
        next_number=1 + max((trial.number for trial in open_trials), default=ended),
    )
    return snapshot(record, open_trials)


def test_a_new_best_trial_makes_them_stale() -> None:
    found = stale(seen(*waiting(21, 22), ended=21, best=20), 2, Sampling())
    assert found.numbers == (21, 22)
    assert found.reason == "trial 21 was suggested before the best, trial 20, ended"


def test_a_tenth_more_results_make_them_stale() -> None:
    assert stale(seen(*waiting(21, 22), ended=21), 2, Sampling()).numbers == ()
    found = stale(seen(*waiting(22, 23), ended=22), 2, Sampling())
    assert found.numbers == (22, 23)
    assert found.reason == "trial 22 was suggested on 20 results, now there are 22"


def test_a_sampler_that_learns_nothing_and_trials_that_are_over_at_once_keep_theirs() -> None:
    changed = seen(*waiting(40, 41), ended=40)
    assert stale(changed, 2, Sampling()).numbers
    assert not stale(changed, 2, Sampling(learns=learns("random"))).numbers
    assert not stale(seen(*waiting(40, 41), ended=40, mean_s=0.1), 2, Sampling()).numbers
    assert not stale(changed, 2, Sampling(suggest_s=10.0)).numbers  # the next end comes before the answer
    assert not stale(changed, 0, Sampling()).numbers


def test_a_large_fleet_waits_until_there_is_enough_news_for_the_cost() -> None:
    tail = waiting(*range(60, 88), observed=50)
    sampling = Sampling(suggest_s=0.025)
    assert not stale(seen(*tail, ended=60, mean_s=60.0), 200, sampling).numbers
    few = [replace(each, why={"observed": 57, "best": 3}) for each in tail]
    assert not stale(seen(*few, ended=60, mean_s=60.0), 30, sampling).numbers
    enough = [replace(each, why={"observed": 56, "best": 3}) for each in tail]
    assert stale(seen(*enough, ended=60, mean_s=60.0), 30, sampling).numbers == tuple(range(60, 88))


@pytest.mark.parametrize(
    ("open_trials", "numbers"),
    [
        ([*waiting(60, 61, 62)], (60, 61, 62)),
        ([trial(60, TrialState.RUNNING), *waiting(61, 62)], (61, 62)),
        ([*waiting(60), trial(61, TrialState.QUEUED), *waiting(62)], (62,)),
        ([*waiting(60), *waiting(61, attempts=1), *waiting(62)], (62,)),
        ([*waiting(60, 61), *waiting(62, source=Source.DEFAULT)], ()),
        ([*waiting(60, 61), trial(62, TrialState.PAUSED)], ()),
        ([*waiting(59, 61, 62)], (61, 62)),
        ([trial(61, TrialState.WAITING, why={"by": "latin hypercube"}), *waiting(62)], (62,)),
        ([], ()),
    ],
)
def test_only_the_newest_that_nobody_has_had_give_way(open_trials: list[TrialRecord], numbers: tuple[int, ...]) -> None:
    assert stale(seen(*open_trials, ended=60), 2, Sampling()).numbers == numbers


@given(st.integers(1, 40), st.integers(0, 40), st.integers(0, 40), st.floats(0, 1e6), st.integers(1, 50))
def test_the_fleet_is_served_and_never_more_than_twice(
    slots: int, running: int, queued: int, mean_s: float, parallel: int
) -> None:
    for limit in (None, parallel):
        wants = depth(at_pace(mean_s, running=running, queued=queued, parallel=limit), slots)
        capacity = min(slots, limit or slots)
        free = max(capacity - running, 0)
        assert wants.now == max(free - queued, 0)
        assert free <= wants.tickets <= free + capacity
        assert free + capacity <= wants.tickets + wants.waiting <= free + 2 * capacity
        assert capacity < slots or wants.tickets > free
