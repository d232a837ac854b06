"""Schedules on the memory store: each slice is fired once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac.decide.calendar import SlicePlan
from celeriac.decide.due import due
from celeriac.decide.firing import firing_name, firing_of, next_by_hand
from celeriac.domain.errors import StoreUnavailable
from celeriac.domain.records import Firing, NewStudy, Schedule, StudyState
from celeriac.domain.study_file import is_study_name
from celeriac.store.firing import fire as fire_free
from coordinator.schedules import fire, fire_due
from coordinator.turn import drive_all
from tests.coordinator.house import SPEC as WRITTEN
from tests.coordinator.house import House, drive_tickets

DUE = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
SPEC = {**WRITTEN, "retry": {"attempts": 3}}  # a schedule keeps the canonical form
AIRPORTS = ({"airport": "JFK"}, {"airport": "LGA"})


def put_schedule(house: House, **changes: Any) -> Schedule:
    schedule = Schedule(
        name="flights",
        spec={**SPEC, "study": "flights", "budget": {"trials": 2}, "sampler": "random"},
        cron="0 3 * * *",
        timezone="UTC",
        slices=AIRPORTS,
        code_root="/code",
        fingerprint="abc",
        paused=False,
        next_due_at=DUE,
        created_at=DUE,
    )
    return house.store.put_schedule(replace(schedule, **changes))


def test_a_firing_opens_one_study_a_slice_and_wakes_them() -> None:
    house = House()
    put_schedule(house)
    fire_due(house.store, house.mailbox)
    names = {study.name: study for study in house.store.studies()}
    assert sorted(names) == ["flights/airport=JFK/2026-11-24", "flights/airport=LGA/2026-11-24"]
    study = names["flights/airport=JFK/2026-11-24"]
    assert (study.schedule, study.slice, study.due_at) == ("flights", {"airport": "JFK"}, DUE)
    assert (study.code_root, study.fingerprint, study.goal) == ("/code", "abc", "minimize")
    assert house.store.schedule("flights").next_due_at == DUE + timedelta(days=1)
    assert drive_tickets(house.mailbox) == 2


def test_looking_again_fires_nothing() -> None:
    house = House()
    put_schedule(house)
    fire_due(house.store, house.mailbox)
    fire_due(house.store, house.mailbox)
    assert len(house.store.studies()) == 2
    house.wait(86_400)
    fire_due(house.store, house.mailbox)
    assert len(house.store.studies()) == 4


def test_a_firing_that_was_interrupted_is_finished_although_its_successor_is_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()
    put_schedule(house)
    fire_one = house.store.fire

    def breaks_at_the_second(due_at: datetime, new: NewStudy, **more: Any) -> Firing | None:
        if new.slice == AIRPORTS[1]:
            raise StoreUnavailable("Postgres does not answer")
        return fire_one(due_at, new, **more)

    monkeypatch.setattr(house.store, "fire", breaks_at_the_second)
    with pytest.raises(StoreUnavailable):
        fire_due(house.store, house.mailbox)
    monkeypatch.undo()
    house.wait(2 * 86_400)
    for _ in range(2):
        fire_due(house.store, house.mailbox)
    opened = {(each.slice["airport"], each.due_at) for each in house.store.firings("flights")}
    latest = DUE + timedelta(days=2)
    assert opened == {(each["airport"], at) for each in AIRPORTS for at in (DUE, latest)}
    assert house.store.schedule("flights").next_due_at == DUE + timedelta(days=3)


def test_two_clocks_at_the_same_firing_open_each_study_once() -> None:
    house = House()
    schedule = put_schedule(house)
    plan = SlicePlan("0 3 * * *", "UTC")
    looked = house.store.slice_dues("flights")
    for each in looked:
        assert fire(house.store, house.mailbox, schedule, plan, each, due(plan, DUE, DUE))
    for each in looked:  # by what the other clock read before
        assert not fire(house.store, house.mailbox, schedule, plan, each, due(plan, DUE, DUE))
    assert len(house.store.studies()) == 2
    assert house.store.schedule("flights").next_due_at == DUE + timedelta(days=1)


def test_a_crash_between_two_slices_is_made_good_by_the_next_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    put_schedule(house)
    whole = house.store.fire

    def dies_at_the_second(due_at: datetime, new: NewStudy, **how: Any) -> Firing | None:
        if new.slice == {"airport": "LGA"}:
            raise StoreUnavailable("gone")
        return whole(due_at, new, **how)

    with monkeypatch.context() as patch:
        patch.setattr(house.store, "fire", dies_at_the_second)
        with pytest.raises(StoreUnavailable):
            fire_due(house.store, house.mailbox)
    assert len(house.store.firings("flights")) == 1
    fire_due(house.store, house.mailbox)
    assert len(house.store.firings("flights")) == 2
    drive_all(house.coordinator)  # the first one was only made, and nobody was woken: the tick finds it
    drive_all(house.coordinator)
    assert {study.state for study in house.store.studies()} == {StudyState.RUNNING}


def test_after_an_outage_one_firing_is_made() -> None:
    house = House()
    put_schedule(house)
    house.wait(4 * 86_400 + 3600)
    fire_due(house.store, house.mailbox)
    assert {study.due_at for study in house.store.studies()} == {DUE + timedelta(days=4)}


def test_a_broken_or_paused_schedule_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    put_schedule(house, name="broken", spec={"study": "broken"})
    put_schedule(house, name="nowhere", timezone="Europe/Atlantis")
    put_schedule(house, name="paused", paused=True)
    put_schedule(house)
    fire_due(house.store, house.mailbox)
    assert {study.schedule for study in house.store.studies()} == {"flights"}
    assert "schedule broken: its firing failed" in caplog.text
    assert "Atlantis" in caplog.text


def test_a_firing_whose_name_is_taken_finds_another_and_its_history_says_so() -> None:
    house = House()
    put_schedule(house)
    for taken in ("flights/airport=JFK/2026-11-24", "flights/airport=JFK/2026-11-24-2"):
        house.store.create_study(NewStudy(taken, {}, "minimize"))
    fire_due(house.store, house.mailbox)
    assert [study.name for study in house.store.studies(schedule="flights")] == [
        "flights/airport=LGA/2026-11-24",
        "flights/airport=JFK/2026-11-24-3",
    ]
    notes = {each.slice["airport"]: each.note for each in house.store.firings("flights")}
    assert notes["LGA"] == ""
    assert notes["JFK"].startswith("another study has the name flights/airport=JFK/2026-11-24: ")
    assert notes["JFK"].endswith("flights/airport=JFK/2026-11-24-3")


def test_a_firing_by_hand_leaves_the_clocks_own_alone() -> None:
    house = House()
    schedule = put_schedule(house, next_due_at=DUE + timedelta(days=1))
    for k, due_at in enumerate((DUE + timedelta(hours=1), DUE + timedelta(hours=1), DUE + timedelta(days=1)), 1):
        number = next_by_hand(schedule, due_at, house.store.firings("flights"))
        for slice_ in AIRPORTS:
            firing = fire_free(
                house.store, due_at, firing_of(schedule, SlicePlan("0 3 * * *", "UTC"), slice_, due_at, by_hand=number)
            )
            assert firing is not None
            assert firing.name.endswith(("2026-11-24-by-hand-1", "2026-11-24-by-hand-2", "2026-11-25-by-hand-1"))
        assert len(house.store.firings("flights")) == 2 * k
    house.wait(86_400)
    fire_due(house.store, house.mailbox)
    assert {each.name for each in house.store.firings("flights") if not each.by_hand} == {
        "flights/airport=JFK/2026-11-25",
        "flights/airport=LGA/2026-11-25",
    }


def test_an_outages_skipped_firings_are_told_in_the_history() -> None:
    house = House()
    put_schedule(house)
    house.wait(4 * 86_400 + 3600)
    fire_due(house.store, house.mailbox)
    assert {each.note for each in house.store.firings("flights")} == {"due; 4 earlier firings were missed and skipped"}


@pytest.mark.parametrize(
    ("cron", "slice_", "due_at", "name"),
    [
        ("0 3 * * *", {"airport": "JFK"}, DUE, "flights/airport=JFK/2026-11-24"),
        ("0 3 * * *", {}, DUE, "flights/2026-11-24"),
        ("0 3 * * *", {"a": "x", "b": 2}, DUE, "flights/a=x,b=2/2026-11-24"),
        ("*/15 * * * *", {}, DUE + timedelta(minutes=15), "flights/2026-11-24T04:15"),
        ("0 * * * *", {}, datetime(2026, 10, 25, 0, 0, tzinfo=UTC), "flights/2026-10-25T02:00"),
        ("0 * * * *", {}, datetime(2026, 10, 25, 1, 0, tzinfo=UTC), "flights/2026-10-25T02:00-again"),
    ],
)
def test_a_firings_name_is_local_short_and_unique(
    cron: str, slice_: dict[str, Any], due_at: datetime, name: str
) -> None:
    assert firing_name("flights", SlicePlan(cron, "Europe/Berlin"), slice_, due_at) == name
    assert is_study_name(name)
