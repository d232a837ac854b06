"""Past nights that somebody asked for: which begin when, and that a coordinator which is new forgets nothing."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from celeriac.decide.replay import ReplayDecision, replay
from celeriac.domain.records import FiringOpen, Replay, Schedule, SliceDue
from coordinator.replays import step_all
from coordinator.turn import drive_all
from tests.coordinator.house import House
from tests.coordinator.nightlife import DUE, JFK, SPEC, by_lr, put_schedule, work

LGA = {"airport": "LGA"}
A_DAY = timedelta(days=1)
OCTOBER = datetime(2026, 10, 1, 3, 0, tzinfo=UTC)
ASKED = Replay(1, "flights", date(2026, 10, 1), date(2026, 10, 3), "ada", DUE)


def decided(*minded: FiringOpen, asked: Replay = ASKED, **spec: Any) -> ReplayDecision:
    row = Schedule("flights", {**SPEC, **spec}, "0 3 * * *", "UTC", (JFK, LGA), "/code", "abc", False, DUE, DUE)
    return replay(row, asked, [SliceDue("flights", each, DUE) for each in (JFK, LGA)], minded, DUE)


def night(day: int, slice_: dict[str, str], *, is_open: bool) -> FiringOpen:
    at = OCTOBER + (day - 1) * A_DAY
    return FiringOpen(day, f"flights/{day}", slice_, at, None if is_open else at + A_DAY)


def begun(decision: ReplayDecision) -> list[tuple[str, int]]:
    return [(each.slice["airport"], each.due_at.day) for each in decision.begin]


def test_each_slice_s_next_night_begins_when_the_one_before_has_ended() -> None:
    assert begun(decided()) == [("JFK", 1), ("LGA", 1)]
    found = decided(night(1, JFK, is_open=False), night(1, LGA, is_open=True))
    assert begun(found) == [("JFK", 2)]
    assert (found.ended, len(found.working), found.left, found.nights) == (1, 1, 4, 6)
    assert found.reason == "1 of 6 nights have ended"


def test_a_night_that_had_its_firing_is_passed_over_and_one_at_work_waited_for() -> None:
    found = decided(night(2, JFK, is_open=True), night(1, LGA, is_open=False), night(2, LGA, is_open=False))
    assert begun(found) == [("JFK", 1), ("LGA", 3)], "a later night that runs already holds up none before it"
    found = decided(night(1, JFK, is_open=False), night(2, JFK, is_open=True))
    assert begun(found) == [("LGA", 1)]


def test_of_a_reproducible_study_all_slices_are_at_the_same_night() -> None:
    found = decided(night(1, JFK, is_open=False), night(1, LGA, is_open=True), reproducible=True)
    assert begun(found) == []
    found = decided(night(1, JFK, is_open=False), night(1, LGA, is_open=False), reproducible=True)
    assert begun(found) == [("JFK", 2), ("LGA", 2)]


def test_it_is_over_when_all_have_ended_and_of_days_to_come_none_is_wanted() -> None:
    every = [night(day, slice_, is_open=False) for day in (1, 2, 3) for slice_ in (JFK, LGA)]
    assert decided(*every).is_over
    assert not decided(*every[:-1]).is_over
    future = replace(ASKED, first_day=date(2027, 1, 1), last_day=date(2027, 1, 3))
    found = decided(asked=future)
    assert (found.is_over, found.reason) == (True, "no night of these days is past")


def test_nights_that_were_asked_for_run_one_after_the_other_whoever_coordinates() -> None:
    house = House(slots=2)
    put_schedule(house)
    asked = house.store.ask_replay("flights", date(2026, 11, 20), date(2026, 11, 22), "ada")
    seen = []
    for _ in range(4):
        step_all(house.store, house.mailbox)
        step_all(house.store, house.mailbox)  # a second clock makes nothing more
        seen.append([f"{each.due_at:%d}" for each in house.store.firings("flights") if each.entered_at])
        house.restart()
        work(house, by_lr(0.1))
    assert seen == [["20"], ["21", "20"], ["22", "21", "20"], ["22", "21", "20"]]
    [firing, *_] = house.store.firings("flights")
    assert firing.note == "a past night, as ada asked"
    [ended] = house.store.replays("flights")
    assert (ended.id, ended.is_open, ended.reason) == (asked.id, False, "3 of 3 nights have ended")
    assert house.store.open_replays() == []
    assert house.store.schedule("flights").next_due_at == DUE, "the clock's own next night is as it was"


def test_one_whose_schedule_is_gone_or_cannot_be_read_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    house = House(slots=2)
    put_schedule(house)
    row = house.store.schedule("flights")
    for name in ("gone", "broken"):
        house.store.put_schedule(replace(row, name=name))
        house.store.ask_replay(name, date(2026, 11, 20), date(2026, 11, 20), "ada")
    house.store.drop_schedule("gone")
    house.store.put_schedule(replace(row, name="broken", spec={**SPEC, "space": 3}))
    house.store.ask_replay("flights", date(2026, 11, 20), date(2026, 11, 20), "ada")
    step_all(house.store, house.mailbox)
    [gone] = house.store.replays("gone")
    assert gone.reason == "the schedule was removed"
    assert [each.schedule for each in house.store.open_replays()] == ["broken", "flights"]
    assert "schedule broken: its past nights do not begin" in caplog.text
    assert len(house.store.firings("flights")) == 1
    drive_all(house.coordinator)
