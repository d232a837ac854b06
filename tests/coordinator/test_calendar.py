"""The calendar on the store in memory: each slice at its own times, what overlaps, waits, is passed over; and crashes
at every verb.
"""

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.decide.calendar import calendar_of, coming, dues_of, plan_of
from celeriac.domain.errors import StoreUnavailable
from celeriac.domain.firing_moves import FiringMove
from celeriac.domain.lifecycle import FiringEvent
from celeriac.domain.records import Firing, FiringState, Schedule, Stage, StudyState
from celeriac.domain.study_file import parse
from celeriac.store import Store
from coordinator.nights import step_all
from coordinator.schedules import fire_due
from tests.coordinator.house import SPEC, House

DUE = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
DAY_S = 86_400


def put_schedule(house: House, **plan: Any) -> Schedule:
    slices = {"airport": ["JFK", "LGA"]}
    given = {"name": "flights", "cron": "0 3 * * *", "slices": slices, "always": True} | plan
    spec = parse({**SPEC, "study": "flights", "schedule": given}, is_new=True)
    assert spec.schedule is not None
    row = Schedule(
        name="flights",
        spec=spec.to_dict(),
        cron=spec.schedule.cron,
        timezone=spec.schedule.timezone,
        slices=tuple(spec.schedule.combinations()),
        code_root="/code",
        fingerprint="abc",
        paused=False,
        next_due_at=DUE,
        created_at=DUE,
    )
    return house.store.put_schedule(row, dues_of(row, DUE - timedelta(seconds=1)))


def look(house: House, after_s: float = 0.0) -> None:
    house.wait(after_s)
    fire_due(house.store, house.mailbox)


def end(house: House, firing: Firing) -> None:
    """The firing at its end, and its studies with it."""
    now = house.store.firing(firing.id)
    house.store.move_firing(now.id, now.turn, FiringMove(FiringEvent.FAIL, "enough"))


def look_first(house: House, **plan: Any) -> datetime:
    """A schedule whose nights begin with a look, since its first one ended by keeping the default; when the second is
    due, which is now.
    """
    put_schedule(house, **{"always": False, **plan})
    look(house)
    for firing in house.store.firings("flights"):
        house.store.move_firing(firing.id, firing.turn, FiringMove(FiringEvent.KEEP, "the default is best"))
    house.wait(DAY_S)
    return DUE + timedelta(days=1)


def newest(house: House, airport: str = "JFK") -> Firing:
    """The slice's newest firing."""
    return house.store.firings("flights", slice_={"airport": airport})[0]


def made(house: House) -> list[tuple[str, datetime]]:
    return sorted((each.slice["airport"], each.due_at) for each in house.store.firings("flights", limit=1000))


def test_each_slice_fires_by_its_own_clock_with_its_own_values() -> None:
    house = House()
    slices = [
        {"airport": "LHR", "timezone": "Europe/London", "context": {"rows": 5}, "budget": {"trials": 2}},
        {"airport": "JFK", "timezone": "America/New_York", "labels": {"team": "us"}},
        {"airport": "SYD", "cron": "30 3 * * *"},
    ]
    put_schedule(house, slices=slices)
    look(house)
    assert made(house) == [("LHR", DUE)]
    look(house, 1800)
    assert made(house) == [("LHR", DUE), ("SYD", DUE + timedelta(minutes=30))]
    look(house, 5 * 3600)
    assert ("JFK", datetime(2026, 11, 24, 8, 0, tzinfo=UTC)) in made(house)
    studies = {study.slice["airport"]: study for study in house.store.studies()}
    assert studies["JFK"].name == "flights/airport=JFK/2026-11-24"
    assert (studies["LHR"].spec["budget"], studies["LHR"].spec["context"]) == ({"trials": 2}, {"rows": 5})
    assert studies["JFK"].spec["labels"] == {"team": "us"}
    assert studies["JFK"].spec["schedule"]["timezone"] == "America/New_York"
    assert "context" not in studies["JFK"].spec


def test_jitter_spreads_the_slices_and_keeps_the_due_time() -> None:
    house = House()
    row = put_schedule(house, jitter="30m", slices={"airport": [f"A{k}" for k in range(8)]})
    offsets = {each["airport"]: plan_of(calendar_of(row), each).offset_s for each in row.slices}
    for _ in range(61):
        late = (house.store.now() - DUE).total_seconds()
        look(house)
        assert {name for name, _ in made(house)} == {name for name, offset in offsets.items() if offset <= late}
        house.wait(30)
    assert made(house) == [(f"A{k}", DUE) for k in range(8)]


def test_what_was_passed_over_is_told_by_the_next_firing() -> None:
    house = House()
    put_schedule(
        house, slices={"airport": ["JFK"]}, overlap="skip", blackout=[{"from": "2026-11-26", "to": "2026-11-26"}]
    )
    for _ in range(4):
        look(house)
        house.wait(DAY_S)
    [first] = house.store.firings("flights")
    end(house, first)
    look(house)
    assert [each.due_at for each in house.store.firings("flights")] == [DUE + timedelta(days=4), DUE]
    note = house.store.firings("flights")[0].note
    assert "the firing of 2026-11-25 03:00 was skipped: flights/airport=JFK/2026-11-24 was still open" in note
    assert "1 fell in a blackout (2026-11-26 to 2026-11-26)" in note
    assert house.store.slice_dues("flights")[0].note == ""


def test_a_queued_firing_begins_when_the_one_before_has_ended() -> None:
    house = House()
    put_schedule(house, overlap="queue", catch_up="all")
    look(house)
    look(house, 2 * DAY_S)
    assert made(house) == [("JFK", DUE), ("LGA", DUE)]
    for firing in house.store.firings("flights"):
        if firing.slice["airport"] == "JFK":
            end(house, firing)
    look(house)
    look(house)
    assert made(house) == [("JFK", DUE), ("JFK", DUE + timedelta(days=1)), ("LGA", DUE)]


def test_a_slice_that_had_to_wait_catches_up_by_its_rule_although_its_sister_went_on() -> None:
    house = House()
    put_schedule(house, overlap="queue")
    look(house)
    for night in range(1, 4):
        house.wait(DAY_S)
        for firing in house.store.firings("flights"):
            if firing.slice["airport"] == "JFK" and firing.state is FiringState.SEARCHING:
                end(house, firing)
        look(house)
        assert ("JFK", DUE + timedelta(days=night)) in made(house)
    [waiting] = [each for each in house.store.firings("flights") if each.slice["airport"] == "LGA"]
    end(house, waiting)
    look(house)
    assert [at for name, at in made(house) if name == "LGA"] == [DUE, DUE + timedelta(days=3)]


def test_a_firing_takes_the_place_of_the_old_one_also_when_the_clock_crashes_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()
    put_schedule(house, overlap="cancel", slices={"airport": ["JFK"]})
    look(house)
    [old] = house.store.firings("flights")
    house.wait(DAY_S)
    with monkeypatch.context() as patch:
        patch.setattr(house.store, "move_study", gone)
        with pytest.raises(StoreUnavailable):
            look(house)
    assert house.store.firing(old.id).state is FiringState.MISSED
    assert {study.state for study in house.store.studies()} == {StudyState.OPEN}
    look(house)
    new, _ = house.store.firings("flights")
    assert (new.due_at, new.state) == (DUE + timedelta(days=1), FiringState.SEARCHING)
    assert [study.state for study in house.store.stage_studies([old.id])] == [StudyState.STOPPED]
    assert [study.state for study in house.store.stage_studies([new.id])] == [StudyState.OPEN]
    look(house)
    assert len(house.store.firings("flights")) == 2


def test_a_queued_firing_waits_for_a_look_too() -> None:
    house = House()
    due = look_first(house, overlap="queue", slices={"airport": ["JFK"]})
    look(house)
    first = newest(house)
    assert (first.due_at, first.state) == (due, FiringState.LOOKING)
    look(house, DAY_S)
    assert newest(house).id == first.id
    end(house, first)
    look(house)
    assert (newest(house).due_at, newest(house).state) == (due + timedelta(days=1), FiringState.LOOKING)


def test_a_firing_takes_the_place_of_a_look_also_when_the_clock_crashes_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()
    due = look_first(house, overlap="cancel", slices={"airport": ["JFK"]})
    look(house)
    old = newest(house)
    house.wait(DAY_S)
    with monkeypatch.context() as patch:
        patch.setattr(house.store, "move_study", gone)
        with pytest.raises(StoreUnavailable):
            look(house)
    look(house)
    assert (old.state, house.store.firing(old.id).state) == (FiringState.LOOKING, FiringState.MISSED)
    assert [study.state for study in house.store.stage_studies([old.id])] == [StudyState.STOPPED]
    assert (newest(house).due_at, newest(house).state) == (due + timedelta(days=1), FiringState.LOOKING)
    [study] = house.store.stage_studies([newest(house).id])
    assert (study.stage, study.state) == (Stage.LOOK, StudyState.OPEN)


def test_a_firing_that_could_only_begin_past_its_deadline_is_missed_and_told() -> None:
    house = House()
    put_schedule(house, deadline="06:00", slices={"airport": ["JFK"]})
    look(house, 4 * 3600)
    assert made(house) == []
    look(house, 20 * 3600)
    [firing] = house.store.firings("flights")
    assert firing.note == "the firing of 2026-11-24 03:00 was missed: its deadline 2026-11-24 06:00 was over"


def test_one_slice_that_cannot_be_fired_does_not_stop_its_sisters(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    house = House()
    put_schedule(house)
    whole = house.store.fire

    def refuses_jfk(due_at: datetime, new: Any, **how: Any) -> Firing | None:
        if new.slice == {"airport": "JFK"}:
            raise ValueError("no JFK today")
        return whole(due_at, new, **how)

    monkeypatch.setattr(house.store, "fire", refuses_jfk)
    look(house)
    assert made(house) == [("LGA", DUE)]
    assert "no JFK today" in caplog.text


def test_an_edit_keeps_what_is_due_and_moves_what_is_to_come() -> None:
    house = House()
    old = put_schedule(house)
    before = house.store.slice_dues("flights")
    edited = put_schedule(House(), cron="0 5 * * *", slices={"airport": ["JFK", "LAX"]})
    late = dues_of(edited, DUE + timedelta(minutes=1), old, before)
    assert [each.next_due_at for each in late] == [DUE, DUE + timedelta(hours=2)]
    paused = dues_of(replace(edited, paused=True), DUE + timedelta(minutes=1), old, before)
    assert [each.next_due_at for each in paused] == [DUE + timedelta(hours=2)] * 2, "nothing is due while it is paused"
    early = dues_of(edited, DUE - timedelta(minutes=1), old, before)
    assert [each.next_due_at for each in early] == [DUE + timedelta(hours=2)] * 2
    same = put_schedule(House(), jitter="5m")
    assert dues_of(same, DUE - timedelta(hours=9), old, before) == before


def test_what_is_coming_goes_by_due_time_and_says_what_is_skipped() -> None:
    house = House()
    slices = [{"airport": "LHR"}, {"airport": "JFK", "timezone": "America/New_York"}]
    window = {"days": ["thu"], "why": "backup"}
    row = put_schedule(house, slices=slices, deadline="2h", blackout=[window])
    groups = coming(row, house.store.slice_dues("flights"), 5)
    told = [(each.slice["airport"], each.due_at.day, each.due_at.hour, each.why_not) for g in groups for each in g]
    assert told == [
        ("LHR", 24, 3, ""),
        ("JFK", 24, 8, ""),
        ("LHR", 25, 3, ""),
        ("JFK", 25, 8, ""),
        ("LHR", 26, 3, "blackout thu (backup)"),
    ]
    assert all(each.deadline_at == each.due_at + timedelta(hours=2) for group in groups for each in group)


def gone(*_: Any, **__: Any) -> Any:
    raise StoreUnavailable("gone")


def crashing(house: House, crashes: list[int]) -> Callable[[], None]:
    """The house's store dies at its k-th verb after a look begins, before or after doing it; a negative k never."""
    verbs = ("due_schedules", "slice_dues", "firings_to_mind", "fire", "advance_slice", "move_firing", "move_study")
    whole = {verb: getattr(house.store, verb) for verb in verbs}
    left = [0]

    def wrapped(verb: str) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                gone()
            answer = whole[verb](*args, **more)
            if left[0] == 1:
                left[0] = 0
                gone()
            return answer

        return call

    for verb in verbs:
        setattr(house.store, verb, wrapped(verb))

    def look_once() -> None:
        left[0] = crashes.pop() if crashes else -1
        with suppress(StoreUnavailable):
            fire_due(house.store, house.mailbox)
        left[0] = -1  # what was not reached in this look is no crash of whoever asks next

    return look_once


@given(
    crashes=st.lists(st.integers(-1, 20), max_size=20),
    waits=st.lists(st.sampled_from([0, 5, 3600, DAY_S, 2 * DAY_S]), min_size=20, max_size=20),
    overlap=st.sampled_from(["allow", "skip", "queue", "cancel"]),
    catch_up=st.sampled_from(["one", "skip"]),
    always=st.booleans(),
)
def test_whatever_crashes_each_firing_is_made_once_and_the_last_of_every_slice_is_made(
    crashes: list[int], waits: list[int], overlap: str, catch_up: str, always: bool
) -> None:
    house = House()
    begins = put_schedule if always else look_first
    begins(house, overlap=overlap, catch_up=catch_up, slices={"airport": ["A", "B", "C"]})
    at_work = FiringState.SEARCHING if always else FiringState.LOOKING
    look_once = crashing(house, crashes)
    for wait in waits:
        house.wait(wait)
        look_once()
    crashes.clear()
    last = DUE + timedelta(days=60)
    house.wait((last - house.store.now()).total_seconds())
    step_all(house.store, house.mailbox)
    for _ in range(4):  # what was interrupted comes first, and whoever has to wait for it, waits
        for firing in house.store.firings("flights", limit=1000):
            if firing.state is at_work and firing.due_at < last and overlap in ("queue", "skip"):
                end(house, firing)
        look_once()
        step_all(house.store, house.mailbox)
    found = made(house)
    assert len(found) == len(set(found))
    assert [name for name, at in found if at == last] == ["A", "B", "C"]
    if overlap == "cancel":
        open_now = [each for each in house.store.firings("flights", limit=1000) if each.state is at_work]
        assert sorted(each.slice["airport"] for each in open_now) == ["A", "B", "C"]
        running = [study for study in house.store.studies(limit=1000) if study.state is StudyState.OPEN]
        ended = {each.id for each in house.store.firings("flights", limit=1000) if each.state is FiringState.MISSED}
        assert not [study for study in running if study.firing_id in ended]


class Crashing:
    """A store whose caller may die before or after any verb, by dice."""

    def __init__(self, store: Store, seed: int) -> None:
        self._store, self._dice = store, random.Random(seed)

    def __getattr__(self, verb: str) -> Any:
        whole = getattr(self._store, verb)

        def call(*args: Any, **more: Any) -> Any:
            if self._dice.random() < 0.05:
                gone()
            answer = whole(*args, **more)
            if self._dice.random() < 0.05:
                gone()
            return answer

        return call


def test_many_clocks_that_crash_on_postgres_make_each_firing_once(store: Store) -> None:
    nights, slices = 6, [{"airport": name} for name in ("JFK", "LGA", "EWR")]
    first = store.now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=nights - 1)
    plan = {"name": "flights", "cron": "0 0 * * *", "slices": slices, "catch_up": "all", "overlap": "allow"}
    spec = parse({**SPEC, "study": "flights", "schedule": plan}, is_new=True)
    row = Schedule("flights", spec.to_dict(), "0 0 * * *", "UTC", tuple(slices), "/code", "abc", False, first, first)
    store.put_schedule(row)
    at_once, crashes = threading.Barrier(4), []

    def clock(k: int) -> None:
        crashing, mailbox = Crashing(store, k), House().mailbox
        at_once.wait()
        while store.due_schedules():
            try:
                fire_due(crashing, mailbox)
            except StoreUnavailable:
                crashes.append(k)

    clocks = [threading.Thread(target=clock, args=(k,)) for k in range(4)]
    for each in clocks:
        each.start()
    for each in clocks:
        each.join()
    found = sorted((each.slice["airport"], each.due_at) for each in store.firings("flights", limit=1000))
    days = (store.schedule("flights").next_due_at - first).days
    assert found == sorted((s["airport"], first + timedelta(days=k)) for s in slices for k in range(days))
    step_all(store, House().mailbox)
    assert len(store.studies(limit=1000)) == len(found)
    assert days >= nights
    assert crashes
