"""The contract on schedules, firings and champions, kept by both stores: a firing happens once, however often it is
tried.
"""

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from celeriac.domain.errors import DuplicateStudy, UnknownSchedule, UnknownStudy
from celeriac.domain.lifecycle import StudyEvent
from celeriac.store import Store
from tests.celeriac.store.scenes import NOON, new_study, schedule, verdict


def firing(name: str, region: str = "eu") -> dict[str, Any]:
    return {"name": name, "schedule": "nightly", "slice": {"region": region, "year": 2026}}


def test_a_schedule_is_replaced_by_name_and_keeps_its_birthday(any_store: Store) -> None:
    assert any_store.put_schedule(schedule()) == schedule()
    later = schedule(cron="0 3 * * *", created_at=NOON + timedelta(days=9))
    assert any_store.put_schedule(later) == replace(later, created_at=NOON) == any_store.schedule("nightly")
    any_store.put_schedule(schedule("hourly"))
    assert [each.name for each in any_store.schedules()] == ["hourly", "nightly"]
    with pytest.raises(UnknownSchedule, match="existing: hourly, nightly"):
        any_store.schedule("weekly")


def test_due_are_those_whose_time_has_come(any_store: Store) -> None:
    far = any_store.now() + timedelta(days=1)
    any_store.put_schedule(schedule("later", next_due_at=NOON + timedelta(hours=1)))
    any_store.put_schedule(schedule("first"))
    any_store.put_schedule(schedule("far", next_due_at=far))
    any_store.put_schedule(schedule("paused"))
    assert any_store.pause_schedule("paused", True).paused
    assert [each.name for each in any_store.due_schedules()] == ["first", "later"]
    assert not any_store.pause_schedule("paused", False).paused
    assert [each.name for each in any_store.due_schedules()] == ["first", "paused", "later"]
    with pytest.raises(UnknownSchedule):
        any_store.pause_schedule("weekly", True)


def test_only_one_tick_advances_a_schedule(any_store: Store) -> None:
    any_store.put_schedule(schedule())
    tomorrow = NOON + timedelta(days=1)
    assert any_store.advance_schedule("nightly", NOON, tomorrow)
    assert not any_store.advance_schedule("nightly", NOON, tomorrow)
    assert not any_store.advance_schedule("weekly", NOON, tomorrow)
    assert any_store.schedule("nightly").next_due_at == tomorrow


def test_a_firing_opens_its_study_once(any_store: Store) -> None:
    study = any_store.fire(NOON, new_study(**firing("nightly-eu-1")))
    assert study is not None
    assert (study.schedule, study.slice, study.due_at) == ("nightly", {"region": "eu", "year": 2026}, NOON)
    reordered: dict[str, Any] = {"name": "other", "schedule": "nightly", "slice": {"year": 2026, "region": "eu"}}
    assert any_store.fire(NOON, new_study(**reordered)) is None
    next_night = any_store.fire(NOON + timedelta(days=1), new_study(**firing("nightly-eu-2")))
    us = any_store.fire(NOON, new_study(**firing("nightly-us-1", "us")))
    assert next_night is not None
    assert us is not None
    assert [each.study_id for each in any_store.firings("nightly")] == [next_night.id, us.id, study.id]
    assert any_store.firings("nightly", limit=1)[0].due_at == NOON + timedelta(days=1)
    assert [each.id for each in any_store.studies(schedule="nightly")] == [us.id, next_night.id, study.id]
    assert sorted(any_store.studies_to_drive()) == sorted([study.id, next_night.id, us.id])


def test_firings_by_hand_and_the_clocks_own_share_a_due_time(any_store: Store) -> None:
    names = [f"nightly-eu-{k}" for k in range(3)]
    opened = [any_store.fire(NOON, new_study(**firing(name)), by_hand=k) for k, name in enumerate(names)]
    assert all(opened)
    assert any_store.fire(NOON, new_study(**firing("again")), by_hand=1) is None
    assert [each.by_hand for each in any_store.firings("nightly")] == [2, 1, 0]
    any_store.fire(NOON, new_study(**firing("noted")), by_hand=3, note="a name was taken\0")
    assert any_store.firings("nightly", limit=1)[0].note == "a name was taken\ufffd"


def test_a_firing_whose_name_is_taken_leaves_no_trace(any_store: Store) -> None:
    any_store.create_study(new_study("nightly-eu-1"))
    with pytest.raises(DuplicateStudy, match="nightly-eu-1"):
        any_store.fire(NOON, new_study(**firing("nightly-eu-1")))
    assert any_store.firings("nightly") == []
    assert any_store.fire(NOON, new_study(**firing("nightly-eu-1b"))) is not None


def test_many_clocks_fire_once(any_store: Store) -> None:
    opened: list[int] = []

    def fire(k: int) -> None:
        study = any_store.fire(NOON, new_study(**firing(f"nightly-{k}")))
        if study is not None:
            opened.append(study.id)

    threads = [threading.Thread(target=fire, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == len(any_store.firings("nightly")) == len(any_store.studies()) == 1


def test_dropping_a_schedule_keeps_what_it_made(any_store: Store) -> None:
    any_store.put_schedule(schedule())
    study = any_store.fire(NOON, new_study(**firing("nightly-eu-1")))
    assert study is not None
    any_store.record_champion(verdict(study, promoted=True))
    any_store.drop_schedule("nightly")
    assert any_store.schedules() == []
    assert len(any_store.firings("nightly")) == len(any_store.champions("nightly")) == 1
    with pytest.raises(UnknownSchedule):
        any_store.drop_schedule("nightly")


def test_a_study_is_judged_once(any_store: Store) -> None:
    study = any_store.create_study(new_study())
    first = any_store.record_champion(verdict(study, promoted=True))
    assert first.decided_at is not None
    assert first == replace(verdict(study, promoted=True), decided_at=first.decided_at)
    assert any_store.record_champion(replace(verdict(study, promoted=False), score=0.1)) == first
    assert any_store.verdicts("nightly") == [first]


def test_closed_studies_of_schedules_without_a_verdict_are_found(any_store: Store) -> None:
    any_store.put_schedule(schedule())
    closed, judged, is_open = (
        any_store.create_study(new_study(schedule="nightly", slice={"region": str(k)})) for k in range(3)
    )
    any_store.move_study(any_store.create_study(new_study()).id, StudyEvent.STOP, "of no schedule")
    assert any_store.unjudged(60.0) == []
    for study in (closed, judged):
        any_store.move_study(study.id, StudyEvent.STOP, "over")
    assert any_store.unjudged(60.0) == [closed.id, judged.id]
    any_store.record_champion(verdict(judged, promoted=False))
    assert any_store.unjudged(60.0) == [closed.id]
    assert any_store.unjudged(0.0) == []
    assert any_store.study(is_open.id).ended_at is None


def test_the_champion_is_the_newest_promoted(any_store: Store) -> None:
    studies = [any_store.create_study(new_study()) for _ in range(5)]
    us = {"region": "us"}
    plan = [(True, None), (True, None), (False, None), (True, us), (False, us)]
    for study, (promoted, slice_) in zip(studies, plan, strict=True):
        any_store.record_champion(verdict(study, promoted=promoted, slice_=slice_))
    assert [(each.slice["region"], each.study_id) for each in any_store.champions("nightly")] == [
        ("eu", studies[1].id),
        ("us", studies[3].id),
    ]
    assert any_store.champions() == any_store.champions("nightly")
    assert any_store.champions("weekly") == []
    assert [each.study_id for each in any_store.verdicts("nightly", limit=2)] == [studies[4].id, studies[3].id]


def test_a_verdict_needs_its_study(any_store: Store) -> None:
    study = any_store.create_study(new_study())
    with pytest.raises(UnknownStudy):
        any_store.record_champion(replace(verdict(study, promoted=True), study_id=12345))
