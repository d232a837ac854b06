"""Why a study waits, and for how long."""

from datetime import UTC, datetime

from celeriac.decide.share import Slots
from celeriac.decide.waiting import why_it_waits
from tests.celeriac.decide.test_share import claim

NOW = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)


def test_a_waiting_study_has_a_place_and_an_expected_start() -> None:
    busy = [claim(k, running=1, finished=4, ran_s=240.0) for k in range(4)]
    waiting = [claim(4), claim(5)]
    first, second = (why_it_waits(k, [*busy, *waiting], Slots(cpu=4), NOW) for k in (4, 5))
    assert (first.place, second.place) == (1, 2)
    assert (first.starts_s, second.starts_s) == (15.0, 30.0)  # four trials of a minute end every quarter of it
    assert second.reason == "4 of 4 slots are busy, and it is number 2 in the line"
    assert (first.slots, first.of, first.ends_s) == (1, 4, None)


def test_what_does_not_wait_for_its_turn_says_so() -> None:
    assert why_it_waits(9, [], Slots(cpu=1), NOW).reason == "it is over"
    assert why_it_waits(0, [claim(0, may_run=False)], Slots(cpu=1), NOW).reason == "it is paused"
    assert why_it_waits(0, [claim(0)], Slots(), NOW).reason == "no live slot can run it"
    alone = why_it_waits(0, [claim(0)], Slots(cpu=2), NOW)
    assert (alone.place, alone.starts_s) == (1, 0.0)
    last = claim(0, running=2, ready=0, left=0, finished=8, ran_s=80.0)
    done = why_it_waits(0, [last], Slots(cpu=2), NOW)
    assert (done.reason, done.place, done.ends_s) == ("all that it may run at once runs", None, 5.0)


def test_a_deadline_that_will_be_missed_is_told_here_too() -> None:
    late = claim(0, ready=0, left=60, finished=2, ran_s=120.0, deadline_s=600.0)
    assert "will be missed" in why_it_waits(0, [late], Slots(cpu=2), NOW).late
