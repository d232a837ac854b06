"""The contract on nights that are to be told of, kept by both stores: each is once, when its last firing is over."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from celeriac.domain.firing_moves import FiringMove
from celeriac.domain.lifecycle import FiringEvent
from celeriac.domain.records import Firing
from celeriac.store import Store
from tests.celeriac.store.conftest import Subject
from tests.celeriac.store.conftest import subject as subject
from tests.celeriac.store.scenes import new_study, schedule
from tests.celeriac.store.test_deliveries import promoted

DUE = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)


def put(store: Store, **keys: Any) -> None:
    store.put_schedule(schedule(spec={"schedule": {"name": "nightly", "cron": "0 2 * * *", **keys}}))


def fired(store: Store, region: str, night: str = "2026-11-24", *, due_at: datetime = DUE, by_hand: int = 0) -> Firing:
    new = replace(new_study(), name=f"nightly/region={region}/{night}", schedule="nightly", slice={"region": region})
    made = store.fire(due_at, new, by_hand=by_hand)
    assert made is not None
    return made


def over(store: Store, firing: Firing) -> None:
    store.move_firing(firing.id, firing.turn, FiringMove(FiringEvent.MISS, "the service slept"))


def due(store: Store) -> list[tuple[str, str]]:
    return [(each.schedule, each.night) for each in store.due_deliveries()]


def test_a_night_is_due_once_its_last_firing_is_over(any_store: Store) -> None:
    put(any_store, morning={"url": "http://x/"})
    first, second = fired(any_store, "eu"), fired(any_store, "us", "2026-11-24-2")
    over(any_store, first)
    assert due(any_store) == []
    over(any_store, second)
    assert due(any_store) == due(any_store) == [("nightly", "2026-11-24")]


def test_only_a_schedule_s_own_nights_are_told_and_only_where_it_says_so(any_store: Store) -> None:
    put(any_store)
    over(any_store, fired(any_store, "eu"))
    assert due(any_store) == []
    put(any_store, morning={"url": "http://x/"})
    over(any_store, fired(any_store, "eu", "2026-11-25-by-hand-1", by_hand=1, due_at=DUE + timedelta(days=1)))
    over(any_store, fired(any_store, "eu", "2026-11-25T02:30", due_at=DUE + timedelta(days=1)))
    assert due(any_store) == [("nightly", "2026-11-24"), ("nightly", "2026-11-25T02:30")]


def test_a_night_is_told_of_once_and_after_the_promotions_that_are_due(subject: Subject) -> None:
    store = subject.store
    put(store, morning={"url": "http://x/"})
    over(store, fired(store, "eu"))
    champion = promoted(store)
    publish, morning = store.due_deliveries()
    assert (publish.promotion, publish.night) == (champion.id, "")
    assert (morning.promotion, morning.night, morning.slice) == (None, "2026-11-24", {})
    assert store.claim_delivery(morning.id, 60) == 1
    store.end_delivery(morning.id, 1, "no answer", 100.0)
    assert [each.id for each in store.due_deliveries()] == [publish.id]
    subject.pass_time(101)
    assert store.claim_delivery(morning.id, 60) == 2
    store.end_delivery(morning.id, 2, "sent")
    subject.pass_time(101)
    assert [each.id for each in store.due_deliveries()] == [publish.id]
    told = {each.id: each for each in store.deliveries("nightly")}
    assert (told[morning.id].detail, told[morning.id].done_at is not None) == ("sent", True)
