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
from celeriac.domain.records import ScheduleEdit, SliceDue
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


def test_only_one_tick_advances_a_slice(any_store: Store) -> None:
    regions = ({"region": "eu", "year": 2026}, {"region": "us", "year": 2026})
    any_store.put_schedule(schedule(slices=regions))
    tomorrow = any_store.now() + timedelta(days=1)
    eu, us = (SliceDue("nightly", {"year": 2026, "region": region}, NOON) for region in ("eu", "us"))
    assert any_store.advance_slice(eu, tomorrow, note="passed over\0")
    assert not any_store.advance_slice(eu, tomorrow)
    assert not any_store.advance_slice(replace(eu, schedule="weekly"), tomorrow)
    assert not any_store.advance_slice(replace(eu, slice={"region": "apac"}), tomorrow)
    assert any_store.schedule("nightly").next_due_at == NOON
    assert any_store.slice_dues("nightly") == [us, replace(eu, next_due_at=tomorrow, note="passed over\ufffd")]
    assert any_store.advance_slice(us, tomorrow)
    assert any_store.schedule("nightly").next_due_at == tomorrow
    assert any_store.due_schedules() == []


def test_many_ticks_advance_a_slice_once(any_store: Store) -> None:
    any_store.put_schedule(schedule(slices=()))
    [due] = any_store.slice_dues("nightly")
    won: list[bool] = []
    threads = [
        threading.Thread(target=lambda: won.append(any_store.advance_slice(due, NOON + timedelta(days=1))))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 5 + [True]


def test_each_slice_is_due_at_a_time_of_its_own(any_store: Store) -> None:
    one, two, three = ({"region": region} for region in ("eu", "us", "apac"))
    given = [SliceDue("nightly", two, NOON + timedelta(hours=1), "held")]
    assert any_store.put_schedule(schedule(slices=(one, two)), given).next_due_at == NOON
    assert any_store.slice_dues("nightly") == [SliceDue("nightly", one, NOON), *given]
    later = schedule(slices=(two, three), next_due_at=NOON + timedelta(hours=2))
    assert any_store.put_schedule(later, given).next_due_at == NOON + timedelta(hours=1)
    assert any_store.slice_dues("nightly") == [*given, SliceDue("nightly", three, NOON + timedelta(hours=2))]
    any_store.drop_schedule("nightly")
    assert any_store.slice_dues("nightly") == []


def test_edits_are_kept_newest_first_and_outlive_the_schedule(any_store: Store) -> None:
    added = ScheduleEdit("nightly", "ada@here", "added")
    replaced = ScheduleEdit("nightly", "bob@here", "replaced", ("budget.trials: 60 -> 80",), "more\0")
    any_store.put_schedule(schedule(), edit=added)
    any_store.put_schedule(schedule(), edit=replaced)
    any_store.put_schedule(schedule("weekly"), edit=replace(added, schedule="weekly"))
    any_store.pause_schedule("nightly", True, edit=replace(added, what="paused"))
    any_store.drop_schedule("nightly", edit=replace(added, what="removed"))
    with pytest.raises(UnknownSchedule):
        any_store.drop_schedule("nightly", edit=replace(added, what="removed"))
    edits = any_store.schedule_edits("nightly")
    assert [each.what for each in edits] == ["removed", "paused", "replaced", "added"]
    assert edits[2] == replace(replaced, reason="more\ufffd", at=edits[2].at)
    assert sorted((each.at for each in edits if each.at), reverse=True) == [each.at for each in edits]
    assert [each.what for each in any_store.schedule_edits("nightly", limit=1)] == ["removed"]


def test_the_calendar_minds_the_clocks_own_firings_that_are_open_or_recent(any_store: Store) -> None:
    day = timedelta(days=1)
    old, ended, recent, by_hand = (
        any_store.fire(NOON + k * day, new_study(**firing(f"nightly-{k}-{hand}")), by_hand=hand)
        for k, hand in ((0, 0), (1, 0), (2, 0), (2, 1))
    )
    assert old
    assert ended
    assert recent
    assert by_hand
    for study in (ended, recent):
        any_store.move_study(study.id, StudyEvent.STOP, "enough")
    minded = any_store.firings_to_mind("nightly", NOON + 2 * day)
    assert [(each.study, each.due_at, each.is_open) for each in minded] == [
        (old.name, NOON, True),
        (recent.name, NOON + 2 * day, False),
    ]
    assert minded[0].slice == {"region": "eu", "year": 2026}
    assert minded[0].study_id == old.id
    assert any_store.firings_to_mind("weekly", NOON) == []


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
