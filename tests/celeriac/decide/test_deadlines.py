"""Deadlines: who is helped, what is announced, and what it says would help."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from celeriac.decide.deadlines import MOST_BOOST, urgent, will_it_be_done
from celeriac.decide.share import Slots, share
from tests.celeriac.decide.test_share import claim

NOW = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)


def late(**changes: Any) -> Any:
    """Sixty trials of a minute are left, two are finished."""
    return claim(0, ready=0, left=60, finished=2, ran_s=120.0, age_s=120.0, deadline_s=3600.0, **changes)


def weight(first: Any, slots: int = 10, others: int = 9) -> float:
    return urgent([first, *(claim(k) for k in range(1, others + 1))], Slots(cpu=slots))[0].weight


def test_a_slice_whose_part_is_too_small_for_its_deadline_gets_a_larger_one() -> None:
    assert weight(late()) == 1.25  # one slot is its part, and an hour of work waits for an hour
    assert weight(replace(late(), deadline_s=7200.0)) == 1.0
    assert weight(replace(late(), deadline_s=1200.0)) == 3.75
    assert weight(replace(late(), deadline_s=500.0)) == MOST_BOOST
    assert weight(replace(late(), deadline_s=300.0)) == 1.0  # twelve slots are not there
    assert weight(replace(late(), deadline_s=-1.0)) == 1.0
    assert weight(replace(late(), finished=0, ran_s=0.0)) == 1.0
    claims = urgent([replace(late(), deadline_s=1200.0), *(claim(k) for k in range(1, 10))], Slots(cpu=10))
    shares = [share(k, claims, Slots(cpu=10)).slots for k in range(10)]
    assert shares == [3] + [1] * 9  # nobody is shut out by it


def test_a_deadline_that_cannot_be_met_is_announced_with_what_would_help() -> None:
    assert not will_it_be_done(late(), 1, 10, NOW).is_late
    found = will_it_be_done(replace(late(), deadline_s=1800.0), 1, 10, NOW)
    assert found.ends_s == 3600.0
    assert found.reason == (
        "its deadline 05:30 UTC will be missed: 60 trials of 60 s on 1 slot take 60 min, and 30 min are left; "
        "3 slots would do, or a budget of 32 trials"
    )
    assert not will_it_be_done(replace(late(), deadline_s=-5.0), 1, 10, NOW).is_late  # it is over: nothing to announce
    assert "on 2 slots take" in will_it_be_done(replace(late(), deadline_s=600.0), 2, 10, NOW).reason


def test_what_nobody_can_estimate_is_announced_at_the_last_moment() -> None:
    unknown = replace(late(), finished=0, ran_s=0.0)
    assert not will_it_be_done(unknown, 1, 10, NOW).is_late
    near = replace(unknown, deadline_s=20.0)
    assert "60 trials are left and none of its trials is finished" in will_it_be_done(near, 1, 10, NOW).reason
    assert "no live slot can run it" in will_it_be_done(unknown, 1, 0, NOW).reason
