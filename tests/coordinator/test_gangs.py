"""Gangs as the coordinator sees them: tickets for all members at once, lost ones again, and rounds that make room."""

from typing import Any

import pytest

from celeriac.domain.messages import JoinGang, RunTrial
from celeriac.domain.records import Lease, Refusal, Seat, StudyRecord, TrialState
from celeriac.runtime.broker import CPU_QUEUE
from coordinator.reaper import resend
from coordinator.turn import drive, drive_all
from tests.coordinator.house import House, open_study

SLOTS = {"resources": {"slots": 3}, "sampler": "random"}


def opened(house: House, **changes: Any) -> StudyRecord:
    return open_study(house.store, **{**SLOTS, **changes})


def tickets(house: House) -> list[Any]:
    taken, house.mailbox.queues[CPU_QUEUE] = house.mailbox.queues[CPU_QUEUE], []
    return taken


def come(house: House, ticket: JoinGang, *workers: str) -> list[Seat]:
    """These slots come to the gang, and it begins."""
    place = {"host": "host", "device": "cpu0", "device_kind": "cpu", "address": "127.0.0.1", "port": 1}
    seats = []
    for worker in workers:
        seat = house.store.join_gang(
            ticket.study,
            ticket.trial,
            ticket.attempt,
            worker=worker,
            lease_s=10.0,
            **place,  # type: ignore[arg-type]
        )
        assert isinstance(seat, Seat)
        seats.append(seat)
    assert house.store.close_round(seats[0].token, seats[0].least, seats[0].most)
    return seats


def test_all_members_get_their_tickets_at_once_and_only_when_their_slots_are_idle() -> None:
    house = House(slots=5)
    study = opened(house)
    drive(house.coordinator, study.id)
    first = tickets(house)
    assert first == [JoinGang(study.id, 0, 1)] * 3
    come(house, first[0], "w1", "w2", "w3")
    drive(house.coordinator, study.id)
    assert tickets(house) == [], "two idle slots are no three"


def test_two_gangs_never_get_each_others_half() -> None:
    house = House(slots=5)
    one, two = opened(house), opened(house, study="other")
    drive(house.coordinator, one.id)
    drive(house.coordinator, two.id)
    assert {each.study for each in tickets(house)} == {one.id}


def test_a_fleet_that_is_too_small_for_a_gang_works_for_the_others() -> None:
    house = House(slots=2)
    wide, narrow = opened(house), opened(house, study="narrow", resources={"gpus": 0})
    drive(house.coordinator, wide.id)
    drive(house.coordinator, narrow.id)
    assert [type(each) for each in tickets(house)][:2] == [RunTrial, RunTrial]


def test_lost_tickets_of_a_gang_are_sent_again() -> None:
    house = House(slots=3)
    study = opened(house)
    drive(house.coordinator, study.id)
    house.wait(11)
    resend(house.store, house.mailbox)
    assert len(tickets(house)) == 3, "none of them is lost yet"
    house.store.touch_queued([(study.id, 0)])
    house.wait(9)
    resend(house.store, house.mailbox)
    assert tickets(house) == [], "its slots may be gathering"
    house.wait(2)
    resend(house.store, house.mailbox)
    assert tickets(house) == [JoinGang(study.id, 0, 1)] * 3
    assert house.store.trial(study.id, 0).state is TrialState.QUEUED


def test_a_round_is_asked_to_make_room_where_slots_are_free_that_nobody_waits_for() -> None:
    house = House(slots=2)
    study = opened(house, resources={"slots": {"min": 2, "max": 4}}, parallel=1)
    drive_all(house.coordinator)
    seats = come(house, tickets(house)[0], "w1", "w2")
    house.wait(20)
    drive_all(house.coordinator)
    assert house.store.gang_beat(seats[0].token, 10.0).grow == "", "there is no room"
    house.slots = 4
    house.wait(5)
    house.store.gang_beat(seats[0].token, 10.0)
    drive_all(house.coordinator)
    assert house.store.gang_beat(seats[0].token, 10.0).grow == "2 more slots are free for its 2"
    assert study.id == house.store.running_gangs()[0].study_id


@pytest.mark.parametrize("state", ["gathering", "begun"])
def test_a_plain_ticket_for_a_gangs_trial_is_stale_once_it_began(state: str) -> None:
    house = House(slots=3)
    study = opened(house)
    drive(house.coordinator, study.id)
    ticket = tickets(house)[0]
    if state == "begun":
        come(house, ticket, "w1", "w2", "w3")
    found = house.store.lease(study.id, 0, 1, worker="w4", device="cpu0", lease_s=10.0)
    assert isinstance(found, Refusal if state == "begun" else Lease)
