"""Schedules by the Python API."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from celeriac.client import Client
from celeriac.client.replay import replay
from celeriac.client.schedules import waiting_of, who
from celeriac.domain.errors import DuplicateStudy, SpecInvalid, StudyPaused, UnknownSchedule
from celeriac.domain.firing_moves import FiringMove
from celeriac.domain.lifecycle import FiringEvent, StudyEvent
from celeriac.domain.records import WORKING, Firing, FiringState, StudyState
from celeriac.runtime.broker import DRIVE_QUEUE
from tests.celeriac.cli.played import NEW_YEAR, PLAN, SPEC


def test_a_schedule_file_is_no_study_and_a_study_file_no_schedule(client: Client) -> None:
    with pytest.raises(SpecInvalid, match="celeriac schedule add"):
        client.submit({**SPEC, **PLAN})
    with pytest.raises(SpecInvalid, match="has no `schedule:`"):
        client.add_schedule(SPEC)
    assert client.studies() == []


def test_a_schedule_is_replaced_only_when_asked_to_and_stays_paused(client: Client) -> None:
    row = client.add_schedule({**SPEC, **PLAN})
    assert row.slices == ({"r": "eu"}, {"r": "us"})
    assert row.next_due_at.astimezone(UTC) > client.store.now()
    client.store.pause_schedule("nightly", True)
    assert client.add_schedule({**SPEC, **PLAN}).next_due_at == row.next_due_at
    other = {**SPEC, **PLAN, "budget": {"trials": 5}}
    with pytest.raises(DuplicateStudy, match="--replace") as caught:
        client.add_schedule(other)
    assert caught.value.difference == ["budget.trials: 3 -> 5"]
    replaced = client.add_schedule(other, replace_it=True)
    assert (replaced.paused, replaced.spec["budget"]["trials"]) == (True, 5)


def test_what_waits_says_for_what(client: Client) -> None:
    row = client.add_schedule({**SPEC, **PLAN, "schedule": {**PLAN["schedule"], "overlap": "queue"}})  # type: ignore[dict-item]
    client.fire("nightly", date(2013, 10, 1))
    dues = [replace(each, next_due_at=NEW_YEAR) for each in client.store.slice_dues("nightly")]
    assert waiting_of(client.store, row, dues, NEW_YEAR - timedelta(seconds=1)) == []
    assert waiting_of(client.store, row, dues, NEW_YEAR) == [
        ({"r": part}, f"waits until nightly/r={part}/2013-10-01 has ended") for part in ("eu", "us")
    ]


@pytest.mark.parametrize("always", [True, False])
def test_past_nights_are_replayed_one_after_the_other(
    client: Client, monkeypatch: pytest.MonkeyPatch, always: bool
) -> None:
    blackout = [{"from": "2013-10-02", "to": "2013-10-02"}]
    plan = {**PLAN["schedule"], "always": always, "blackout": blackout}  # type: ignore[dict-item]
    client.add_schedule({**SPEC, **PLAN, "schedule": plan})
    client.fire("nightly", date(2013, 10, 3))
    seen: list[list[str]] = []
    states: set[FiringState] = set()

    def play(_: float) -> None:
        """The oldest night comes to its end while the replay waits."""
        open_now = [each for each in client.store.firings("nightly") if each.state in WORKING]
        states.update(each.state for each in open_now)
        seen.append(sorted(each.name for each in open_now))
        for each in [each for each in open_now if each.due_at == min(other.due_at for other in open_now)]:
            over = FiringEvent.SKIP if each.state is FiringState.LOOKING else FiringEvent.KEEP
            client.store.move_firing(each.id, each.turn, FiringMove(over, "the default is best"))

    monkeypatch.setattr("celeriac.client.replay.time.sleep", play)
    told: list[Firing] = []
    nights = replay(client, "nightly", date(2013, 9, 30), date(2013, 10, 4), told=told.append)
    assert told == nights
    for part in ("eu", "us"):
        names = [each.name for each in nights if each.slice == {"r": part}]
        assert names == [f"nightly/r={part}/2013-{day}" for day in ("09-30", "10-01", "10-03", "10-04")]
    kept, later = FiringState.KEPT, FiringState.KEPT if always else FiringState.SKIPPED
    states_by_day = [each.state for each in sorted(nights, key=lambda each: each.due_at)]
    assert states_by_day == [kept, kept, later, later, kept, kept, later, later], "the third night had begun before"
    assert states == {FiringState.SEARCHING} | (set() if always else {FiringState.LOOKING})
    assert [len(each) for each in seen] == [4, 4, 2, 2, 0], "of both slices one night, and the one that ran before"
    assert replay(client, "nightly", date(2013, 9, 30), date(2013, 10, 4)) == []
    with pytest.raises(UnknownSchedule):
        replay(client, "weekly", date(2013, 9, 30), date(2013, 10, 4))


def test_nights_of_a_reproducible_study_are_replayed_in_step(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.add_schedule({**SPEC, **PLAN, "sampler": "sobol", "reproducible": True})
    seen: list[list[str]] = []

    def play(_: float) -> None:
        """One slice comes to its end while the replay waits."""
        open_now = [each for each in client.store.firings("nightly") if each.state is FiringState.SEARCHING]
        seen.append(sorted(each.name[8:] for each in open_now))
        for each in open_now[:1]:
            client.store.move_firing(each.id, each.turn, FiringMove(FiringEvent.KEEP, "the default is best"))

    def searches(firing: Firing) -> None:
        client.store.move_firing(firing.id, firing.turn, FiringMove(FiringEvent.SEARCH, "first"))

    monkeypatch.setattr("celeriac.client.replay.time.sleep", play)
    monkeypatch.setattr(client, "begin", searches)
    replay(client, "nightly", date(2013, 10, 1), date(2013, 10, 2))
    assert [len(each) for each in seen] == [2, 1, 2, 1, 0]
    assert all(len({name[-10:] for name in each}) <= 1 for each in seen), "one night at a time"


def test_a_replay_stops_where_a_night_waits_for_a_person(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.add_schedule({**SPEC, **PLAN})

    def pause_all(_: float) -> None:
        for study in client.store.studies():
            if study.state is StudyState.OPEN:
                client.store.move_study(study.id, StudyEvent.START, "started")
                client.store.move_study(study.id, StudyEvent.PAUSE, "three bugs in a row")

    monkeypatch.setattr("celeriac.client.replay.time.sleep", pause_all)
    with pytest.raises(StudyPaused, match="three bugs in a row"):
        replay(client, "nightly", date(2013, 10, 1), date(2013, 10, 2))
    assert len(client.store.firings("nightly")) == 2


def test_fire_opens_each_slice_once_for_a_due_time(client: Client) -> None:
    client.add_schedule({**SPEC, **PLAN})
    studies = client.fire("nightly", date(2013, 10, 1))
    due_at = datetime(2013, 10, 1, 0, 0, tzinfo=UTC)
    assert [study.record.due_at for study in studies] == [due_at, due_at]
    assert [study.name for study in studies] == ["nightly/r=eu/2013-10-01", "nightly/r=us/2013-10-01"]
    assert studies[0].record.slice == {"r": "eu"}
    assert client.fire("nightly", due_at) == []
    assert client.tickets.waiting(DRIVE_QUEUE) == 2


def test_a_past_night_is_run_again_at_its_own_due_time_and_says_who_wanted_it(client: Client) -> None:
    client.add_schedule({**SPEC, **PLAN})
    day, eu = date(2013, 10, 1), {"r": "eu"}
    [first] = client.fire("nightly", day, slice_=eu)
    assert client.fire("nightly", day, slice_=eu) == []
    again = [client.fire("nightly", day, slice_=eu, again=True, reason="its data were late") for _ in range(2)]
    assert [[study.name for study in each] for each in again] == [
        [f"nightly/r=eu/2013-10-01-by-hand-{k}"] for k in (1, 2)
    ]
    assert {study.record.due_at for each in again for study in each} == {first.record.due_at}
    notes = [each.note for each in client.store.firings("nightly")]
    assert notes[-1] == ""
    assert all(note == f"asked for by {who()}: its data were late" for note in notes[:2])
    assert [each.name for each in client.fire("nightly", day)] == ["nightly/r=us/2013-10-01"], "the other's own is free"
    assert client.fire("nightly", day, reason="all of it") == []
