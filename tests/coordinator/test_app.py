"""A task meets a silent store, a ticket of nothing, and a program that was not wired."""

import logging

import pytest

from celeriac.domain.errors import BrokerUnavailable, StoreUnavailable
from celeriac.domain.messages import DriveStudy, Tick, encode
from celeriac.domain.records import StudyState
from celeriac.runtime.broker import DRIVE_QUEUE
from coordinator.app import current, forgiving, wire
from coordinator.tasks import drive_study, fire_schedules, reap_leases
from tests.coordinator.house import House, open_study


def test_an_outage_is_said_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outcomes = iter([StoreUnavailable("Postgres is away"), StoreUnavailable("Postgres is away"), None, None])

    @forgiving
    def task() -> None:
        if (error := next(outcomes)) is not None:
            raise error

    for _ in range(4):
        task()
    assert [record.message for record in caplog.records] == [
        "Postgres is away",
        "the store and the broker answer again",
    ]


def test_what_no_rule_foresees_is_not_swallowed() -> None:
    @forgiving
    def task() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        task()


def test_the_tasks_do_what_their_tickets_say(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    study, other = open_study(house.store), open_study(house.store, study="other")
    with pytest.raises(RuntimeError, match="not wired"):
        current()
    wire(house.coordinator)
    try:
        drive_study(encode(DriveStudy(study.id)))
        assert house.store.study(study.id).state is StudyState.RUNNING
        assert house.store.study(other.id).state is StudyState.OPEN
        drive_study(encode(Tick()))
        assert house.store.study(other.id).state is StudyState.RUNNING
        drive_study(encode(DriveStudy(99)))
        drive_study({"kind": "drive_study", "v": 99, "study": 1})
        assert "ticket dropped" in caplog.text
        assert "version 99" in caplog.text
        house.mailbox.queues.clear()
        house.wait(5)
        reap_leases(encode(Tick()))
        fire_schedules(encode(Tick()))
        assert sum(map(len, house.mailbox.queues.values())) == 3  # two slots and one ahead
        assert not house.mailbox.queues[DRIVE_QUEUE]
    finally:
        wire(None)


def test_a_silent_broker_leaves_the_work_to_the_next_tick(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    open_study(house.store)
    wire(house.coordinator)
    try:
        house.mailbox.silent = True
        drive_study(encode(Tick()))
        reap_leases(encode(Tick()))
        with pytest.raises(BrokerUnavailable):
            house.mailbox.waiting("trials.cpu")
        house.mailbox.silent = False
        house.wait(5)
        reap_leases(encode(Tick()))
        assert house.mailbox.waiting("trials.cpu") == 3
    finally:
        wire(None)


def test_ticks_that_waited_together_are_one_and_none_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    house, driven = House(), []
    monkeypatch.setattr("coordinator.tasks.drive_all", lambda coordinator: driven.append(coordinator))
    wire(house.coordinator)
    try:
        for _ in range(700):  # an hour without a coordinator
            drive_study(encode(Tick()))
        assert len(driven) == 1
        house.wait(4.5)  # beat is not exact
        drive_study(encode(Tick()))
        assert len(driven) == 2
    finally:
        wire(None)
