"""Schedules on the memory store: each slice's study once, and one verdict on it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac.decide.due import due
from celeriac.decide.firing import firing_name, firings_of, next_by_hand
from celeriac.domain.errors import StoreUnavailable
from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import NewStudy, Schedule, StudyRecord, StudyState
from celeriac.domain.study_file import is_study_name
from celeriac.runtime.broker import CPU_QUEUE
from celeriac.store.firing import fire as fire_free
from coordinator.schedules import UNJUDGED_WITHIN_S, fire, fire_due, judge_study
from coordinator.turn import drive, drive_all
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


def run_to_end(house: House, study: StudyRecord, scores: list[float]) -> None:
    """Two trials: the default's score, then the other's."""
    for score in scores:
        drive(house.coordinator, study.id)
        lease = house.lease(house.take())
        assert lease is not None
        house.finish(lease, score)


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

    def breaks_at_the_second(due_at: datetime, new: NewStudy, **more: Any) -> StudyRecord | None:
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
    opened = {(study.slice["airport"], study.due_at) for study in house.store.studies()}
    latest = DUE + timedelta(days=2)
    assert opened == {(each["airport"], at) for each in AIRPORTS for at in (DUE, latest)}
    assert house.store.schedule("flights").next_due_at == DUE + timedelta(days=3)


def test_two_clocks_at_the_same_firing_open_each_study_once() -> None:
    house = House()
    schedule = put_schedule(house)
    decision = due(schedule, DUE)
    assert len(fire(house.store, house.mailbox, schedule, decision)) == 2
    assert fire(house.store, house.mailbox, schedule, decision) == []
    assert len(house.store.studies()) == 2


def test_a_crash_between_two_slices_is_made_good_by_the_next_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    put_schedule(house)
    whole = house.store.fire

    def dies_at_the_second(due_at: datetime, new: NewStudy, **how: Any) -> StudyRecord | None:
        if new.slice == {"airport": "LGA"}:
            raise StoreUnavailable("gone")
        return whole(due_at, new, **how)

    with monkeypatch.context() as patch:
        patch.setattr(house.store, "fire", dies_at_the_second)
        with pytest.raises(StoreUnavailable):
            fire_due(house.store, house.mailbox)
    assert len(house.store.studies()) == 1
    fire_due(house.store, house.mailbox)
    assert len(house.store.studies()) == 2
    drive_all(house.coordinator)  # no ticket was sent for the first one: the tick finds it
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
        for candidates in firings_of(schedule, due_at, by_hand=number):
            study = fire_free(house.store, due_at, candidates)
            assert study is not None
            assert study.name.endswith(("2026-11-24-by-hand-1", "2026-11-24-by-hand-2", "2026-11-25-by-hand-1"))
        assert len(house.store.studies()) == 2 * k
    house.wait(86_400)
    fire_due(house.store, house.mailbox)
    own = {each.study_id for each in house.store.firings("flights") if not each.by_hand}
    assert {house.store.study(each).name for each in own} == {
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
    schedule = put_schedule(House(), cron=cron, timezone="Europe/Berlin")
    assert firing_name(schedule, slice_, due_at) == name
    assert is_study_name(name)


def test_a_better_trial_becomes_champion_and_a_worse_night_leaves_it() -> None:
    house = House(slots=1)
    put_schedule(house, slices=AIRPORTS[:1])
    fire_due(house.store, house.mailbox)
    [first] = house.store.studies()
    run_to_end(house, first, [0.9, 0.5])
    drive(house.coordinator, first.id)
    assert house.store.study(first.id).state is StudyState.DONE
    [champion] = house.store.champions("flights")
    assert (champion.trial, champion.score, champion.default_score) == (1, 0.5, 0.9)
    house.wait(86_400)
    fire_due(house.store, house.mailbox)
    second = house.store.studies()[0]
    house.mailbox.queues[CPU_QUEUE].clear()
    run_to_end(house, second, [0.3, 0.4])
    drive(house.coordinator, second.id)
    [verdict, _] = house.store.verdicts("flights")
    assert not verdict.promoted
    assert "the champion stays trial 1 of flights/airport=JFK/2026-11-24" in verdict.reason
    assert house.store.champions("flights") == [champion]


def test_the_verdict_is_written_after_the_close_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(slots=1)
    put_schedule(house, slices=AIRPORTS[:1])
    fire_due(house.store, house.mailbox)
    [study] = house.store.studies()
    run_to_end(house, study, [0.9, 0.5])
    with monkeypatch.context() as patch:

        def dies(*_: Any, **__: Any) -> None:
            raise StoreUnavailable("gone")

        patch.setattr(house.store, "record_champion", dies)
        with pytest.raises(StoreUnavailable):
            drive(house.coordinator, study.id)
    assert house.store.study(study.id).state is StudyState.DONE
    assert house.store.verdicts("flights") == []
    drive_all(house.coordinator)
    drive(house.coordinator, study.id)
    assert [verdict.trial for verdict in house.store.verdicts("flights")] == [1]


def test_a_trial_that_ends_while_its_study_is_being_closed_is_judged_too(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(slots=2)
    spec = {**SPEC, "study": "flights", "budget": {"trials": 9, "wall": "30m"}, "sampler": "random"}
    put_schedule(house, slices=AIRPORTS[:1], spec=spec)
    fire_due(house.store, house.mailbox)
    [study] = house.store.studies()
    drive(house.coordinator, study.id)
    leases = [house.lease(house.take()), house.lease(house.take())]
    assert leases[0] is not None
    house.finish(leases[0], 0.5)
    move_study = house.store.move_study

    def another_ends_first(*args: Any, **kwargs: Any) -> StudyRecord:
        assert leases[1] is not None
        house.finish(leases[1], 0.1)
        return move_study(*args, **kwargs)

    house.wait(1800)
    monkeypatch.setattr(house.store, "move_study", another_ends_first)
    drive(house.coordinator, study.id)
    [verdict] = house.store.verdicts("flights")
    assert house.store.study(study.id).state is StudyState.DONE
    assert (verdict.trial, verdict.score) == (house.store.study(study.id).best_number, 0.1) == (1, 0.1)


def test_a_night_that_was_stopped_without_a_word_gets_its_verdict_with_the_next_tick() -> None:
    house = House(slots=1)
    put_schedule(house, slices=AIRPORTS[:1])
    fire_due(house.store, house.mailbox)
    [study] = house.store.studies()
    run_to_end(house, study, [0.9])
    house.store.move_study(study.id, StudyEvent.STOP, "a person said so")  # Redis is away: nobody is woken
    drive_all(house.coordinator)
    [verdict] = house.store.verdicts("flights")
    assert verdict.trial == 0
    assert house.store.unjudged(UNJUDGED_WITHIN_S) == []


def test_a_study_that_a_person_stopped_gets_its_verdict_too() -> None:
    house = House(slots=1)
    put_schedule(house, slices=AIRPORTS[:1])
    fire_due(house.store, house.mailbox)
    [study] = house.store.studies()
    drive(house.coordinator, study.id)
    house.store.move_study(study.id, StudyEvent.STOP, "enough")
    drive(house.coordinator, study.id)
    [verdict] = house.store.verdicts("flights")
    assert "no trial was scored" in verdict.reason
    assert not verdict.promoted


def test_a_study_of_no_schedule_has_no_verdict() -> None:
    house = House()
    study = house.store.create_study(NewStudy("alone", {}, "minimize"))
    assert judge_study(house.store, study) is None
