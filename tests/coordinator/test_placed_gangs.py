"""Gangs on chosen GPUs: a host of eight with several slots each beside a smaller one, one host preferred, and what
becomes of a gang whose device is gone.
"""

from typing import Any

from celeriac.domain.messages import JoinGang
from celeriac.domain.records import Device, Lease, Seat, TrialState
from celeriac.runtime.broker import GPU_QUEUE, device_queue
from coordinator.reaper import resend
from coordinator.turn import drive, drive_all
from tests.coordinator.house import House, open_study

GIB = 2**30


def host(house: House, name: str, count: int, *, slots: int = 4, **labels: str) -> list[str]:
    """A host of so many GPUs of 80 GiB, each with so many slots; their names."""
    names, now = [f"{name}-{k}" for k in range(count)], house.store.now()
    cards = [
        Device(each, name, "H100", 80 * GIB, labels, tuple(f"{each}.s{k}" for k in range(slots)), "", "ok", now)
        for each in names
    ]
    house.store.put_devices(name, cards)
    return names


def empty() -> House:
    return House(slots=0)


def tickets(house: House) -> dict[str, list[Any]]:
    """What waits for each device; nothing may wait for the class."""
    assert house.mailbox.waiting(GPU_QUEUE) == 0
    found = {key: list(each) for key, each in house.mailbox.queues.items() if key.startswith(device_queue("")) and each}
    return {key.removeprefix(device_queue("")): each for key, each in found.items()}


def begin(house: House, *devices: str) -> list[Lease]:
    """The oldest tickets of these devices become members, and their round begins."""
    seats = []
    for each in devices:
        ticket = house.mailbox.queues[device_queue(each)].pop(0)
        assert isinstance(ticket, JoinGang)
        place = {"host": each.partition("-")[0], "device": each, "device_kind": "H100", "address": "h", "port": 1}
        seat = house.store.join_gang(
            ticket.study,
            ticket.trial,
            ticket.attempt,
            worker=f"{each}.s0",
            lease_s=60.0,
            **place,  # type: ignore[arg-type]
        )
        assert isinstance(seat, Seat), seat
        seats.append(seat)
    assert house.store.close_round(seats[0].token, seats[0].least, seats[0].most)
    return [house.store.gang_lease(each.token) for each in seats]


def test_a_gang_goes_to_one_host_that_has_its_memory_and_labels_and_shares_fill_the_rest() -> None:
    house = empty()
    small, box = host(house, "small", 3, gpu="a100"), host(house, "box", 8, gpu="h100")
    asked = {"gpus": 4, "gpu_memory": "60GiB", "labels": {"gpu": "h100"}}
    gang = open_study(house.store, resources=asked, budget={"trials": 1})
    shares = open_study(house.store, study="shares", resources={"gpus": 0.5, "gpu_memory": "30GiB"}, sampler="random")
    drive_all(house.coordinator)
    given = tickets(house)
    of_gang = {each: queue for each, queue in given.items() if any(ticket.study == gang.id for ticket in queue)}
    assert len(of_gang) == 4
    assert set(of_gang) <= set(box), "one host, that with the labels"
    assert all(queue == [JoinGang(gang.id, 0, 1)] for queue in of_gang.values()), "and nobody beside it on its GPUs"
    assert {ticket.study for each in small for ticket in given[each]} == {shares.id}
    leases = begin(house, *of_gang)
    assert all(each.placed and each.placed.memory_bytes == 60 * GIB for each in leases)
    assert len({each.place.hosts for each in leases if each.place}) == 1
    drive_all(house.coordinator)
    again = [queue for each, queue in tickets(house).items() if each in of_gang]
    assert again == [], "its GPUs are taken as long as it runs"


def test_a_gang_that_no_host_has_room_for_goes_to_two() -> None:
    house = empty()
    host(house, "one", 3, slots=1)
    host(house, "two", 2, slots=1)
    open_study(house.store, resources={"gpus": 4}, budget={"trials": 1})
    drive_all(house.coordinator)
    assert sorted(tickets(house)) == ["one-0", "one-1", "one-2", "two-0"]


def test_a_gang_one_of_whose_devices_is_gone_is_placed_anew_and_lost_tickets_come_again() -> None:
    house = empty()
    host(house, "box", 3, slots=1)
    study = open_study(house.store, resources={"gpus": 2}, budget={"trials": 1})
    drive(house.coordinator, study.id)
    first = set(tickets(house))
    assert len(first) == 2
    for each in first:
        house.mailbox.queues[device_queue(each)].clear()
    house.clock.advance(11.0)
    host(house, "box", 3, slots=1)
    resend(house.store, house.mailbox)
    assert set(tickets(house)) == first
    house.store.put_devices("box", [each for each in house.store.devices(alive=True) if each.uuid != max(first)])
    resend(house.store, house.mailbox)
    assert house.store.trial(study.id, 0).state is TrialState.WAITING
    for each in first:
        house.mailbox.queues[device_queue(each)].clear()
    house.clock.advance(2.0)
    drive_all(house.coordinator)
    assert max(first) not in tickets(house)
    assert len(tickets(house)) == 2


def test_a_round_on_fewer_gpus_makes_room_when_others_are_free_and_nobody_waits() -> None:
    house = empty()
    host(house, "box", 2)
    elastic = {"gpus": {"min": 2, "max": 4}, "gpu_memory": "8GiB"}
    study = open_study(house.store, resources=elastic, budget={"trials": 1}, parallel=1)
    drive_all(house.coordinator)
    assert tickets(house) == {}, "for a while it waits for all four"
    for _ in range(2):
        house.clock.advance(4.0)
        host(house, "box", 2)
        drive_all(house.coordinator)
    lead, _ = begin(house, "box-0", "box-1")
    assert lead.placed is not None
    assert lead.placed.devices == ("box-0", "box-1")
    house.clock.advance(20.0)
    host(house, "box", 4)
    drive_all(house.coordinator)
    assert house.store.gang_beat(lead.token, 60.0).grow == "2 more slots are free for its 2"
    assert study.id == lead.study_id
