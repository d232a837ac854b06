"""The contract on schedules, kept by both stores."""

import threading
from dataclasses import replace
from datetime import date, timedelta

import pytest

from celeriac.domain.errors import IllegalTransition, UnknownSchedule
from celeriac.domain.firing_moves import FiringMove
from celeriac.domain.lifecycle import FiringEvent, StudyEvent
from celeriac.domain.records import ScheduleEdit, SliceDue
from celeriac.store import Store
from tests.celeriac.store.scenes import NOON, due, new_study, schedule, searching, verdict


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


def test_past_nights_are_asked_for_once_at_a_time(any_store: Store) -> None:
    first, last = date(2013, 10, 1), date(2013, 10, 7)
    asked = any_store.ask_replay("nightly", first, last, "ada")
    assert (asked.first_day, asked.last_day, asked.who, asked.is_open) == (first, last, "ada", True)
    assert any_store.ask_replay("nightly", first, last, "bob") == asked, "the same days are asked for once"
    with pytest.raises(IllegalTransition, match="2013-10-01 to 2013-10-07 already, as ada asked"):
        any_store.ask_replay("nightly", first, first, "bob")
    other = any_store.ask_replay("weekly", last, last, "bob")
    assert any_store.open_replays() == [asked, other]
    assert any_store.end_replay(asked.id, "enough\0")
    assert not any_store.end_replay(asked.id, "again")
    again = any_store.ask_replay("nightly", first, first, "bob")
    assert [each.id for each in any_store.replays("nightly")] == [again.id, asked.id]
    assert any_store.replays("nightly", limit=1) == [again]
    ended = any_store.replays("nightly")[1]
    assert (ended.reason, ended.ended_at is not None, ended.is_open) == ("enough\ufffd", True, False)
    assert any_store.replays("hourly") == []


def test_the_calendar_minds_the_clocks_own_firings_that_are_open_or_recent(any_store: Store) -> None:
    day = timedelta(days=1)
    old, ended, recent = (due(any_store, due_at=NOON + k * day) for k in range(3))
    any_store.fire(NOON + 2 * day, new_study(schedule="nightly", slice={"region": "eu"}), by_hand=1)
    for firing in (ended, recent):
        any_store.move_firing(firing.id, 0, FiringMove(FiringEvent.MISS, "enough"))
    minded = any_store.firings_to_mind("nightly", any_store.now() + day)
    assert [(each.name, each.due_at, each.is_open) for each in minded] == [(old.name, NOON, True)]
    minded = any_store.firings_to_mind("nightly", NOON + 2 * day)
    assert [(each.name, each.due_at, each.is_open) for each in minded] == [
        (old.name, NOON, True),
        (ended.name, NOON + day, False),
        (recent.name, NOON + 2 * day, False),
    ]
    assert minded[1].ended_at == any_store.firing(ended.id).entered_at
    assert minded[0].slice == {"region": "eu"}
    assert minded[0].firing_id == old.id
    assert any_store.firings_to_mind("weekly", NOON) == []


def test_a_study_that_its_firing_left_open_is_found_until_it_is_closed(any_store: Store) -> None:
    study, other = searching(any_store), any_store.create_study(new_study())
    assert study.firing_id is not None
    assert any_store.studies_left_open() == []
    now = any_store.firing(study.firing_id)
    any_store.move_firing(now.id, now.turn, FiringMove(FiringEvent.MISS, "its successor took its place"))
    assert [each.id for each in any_store.studies_left_open()] == [study.id]
    for each in (study, other):
        any_store.move_study(each.id, StudyEvent.STOP, "enough")
    assert any_store.studies_left_open() == []


def test_dropping_a_schedule_keeps_what_it_made(any_store: Store) -> None:
    any_store.put_schedule(schedule())
    study = searching(any_store)
    any_store.record_champion(verdict(study, promoted=True))
    any_store.drop_schedule("nightly")
    assert any_store.schedules() == []
    assert len(any_store.firings("nightly")) == len(any_store.champions("nightly")) == 1
    with pytest.raises(UnknownSchedule):
        any_store.drop_schedule("nightly")
