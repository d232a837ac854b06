"""Trials that are placed: their tickets, their turns beside others, and what becomes of a place that is gone."""

from dataclasses import replace
from typing import Any

import pytest

from celeriac.cli.waiting import told_of_place
from celeriac.client.waiting import place_of
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.messages import RunTrial
from celeriac.domain.records import Device, Fault, Lease, StudyRecord, TrialState
from celeriac.runtime.broker import CPU_QUEUE, GPU_QUEUE, device_queue
from celeriac.store.api import AttemptEnd
from coordinator.reaper import resend
from coordinator.turn import drive, drive_all
from tests.coordinator.house import House, open_study

GIB = 2**30


def with_cards(house: House, *names: str, slots: int = 4, cpus: int = 0, **labels: str) -> None:
    """A host of such GPUs of 80 GiB, and CPU slots beside them."""
    now = house.store.now()
    cards = [
        Device(name, "box", "H100", 80 * GIB, labels, tuple(f"{name}.s{k}" for k in range(slots)), "", "ok", now)
        for name in names
    ]
    if cpus:
        cards.append(Device("cpu-box", "box", "cpu", 0, labels, tuple(f"c{k}" for k in range(cpus)), "", "ok", now))
    house.store.put_devices("box", cards)


def empty(**changes: Any) -> House:
    return House(slots=0, **changes)


def waiting(house: House, device: str) -> int:
    return house.mailbox.waiting(device_queue(device))


def run(house: House, device: str, *, worker: str = "w") -> Lease:
    """The device's oldest ticket becomes a lease."""
    ticket = house.take(device_queue(device))
    found = house.store.lease(
        ticket.study, ticket.trial, ticket.attempt, worker=worker, device=device, device_kind="H100", lease_s=30.0
    )
    assert isinstance(found, Lease)
    return found


def score(house: House, lease: Lease, *, peak: int = 0) -> None:
    end = AttemptEnd(AttemptEvent.SCORE, TrialEvent.SCORE, score=1.0, device_s=10.0, gpu_peak_bytes=peak)
    house.store.finish_attempt(lease.token, end)


def test_shares_of_known_memory_fill_a_device() -> None:
    house = empty()
    with_cards(house, "a", "b")
    study = open_study(house.store, resources={"gpus": 0.5, "gpu_memory": "20GiB"})
    drive(house.coordinator, study.id)
    assert (waiting(house, "a"), waiting(house, "b")) == (2, 2)
    assert house.store.study(study.id).counts.queued == 4
    leases = [run(house, "a") for _ in range(2)]
    drive_all(house.coordinator)
    assert waiting(house, "a") == 0  # it is full
    score(house, leases[0])
    drive(house.coordinator, study.id)
    assert waiting(house, "a") == 1
    assert leases[1].placed is not None
    assert leases[1].placed.memory_bytes == 20 * GIB


def test_packs_are_placed_as_one_trial_each() -> None:
    house = empty()
    with_cards(house, "a", gpu="h100")
    asked = {"gpus": 0.5, "gpu_memory": "20GiB", "labels": {"gpu": "h100"}}
    study = open_study(house.store, resources=asked, pack=3, sampler="random", budget={"trials": 12})
    drive(house.coordinator, study.id)
    assert waiting(house, "a") == 2
    for lead in (run(house, "a") for _ in range(2)):
        first = lead.number + 1
        along = house.store.lease_along(lead.token, [first, first + 1])
        assert [each.placed for each in along] == [lead.placed] * 2
    drive(house.coordinator, study.id)
    assert waiting(house, "a") == 0, "two packs of half a GPU fill it"
    assert house.store.device_spent(study.id).study_holds == 1.0
    assert house.store.study(study.id).counts.running == 6


def test_the_first_trial_of_a_study_is_alone_and_the_others_follow_its_measure() -> None:
    house = empty()
    with_cards(house, "a")
    study = open_study(house.store, resources={"gpus": 0.25})
    drive(house.coordinator, study.id)
    assert waiting(house, "a") == 1
    first = run(house, "a")
    drive_all(house.coordinator)
    assert waiting(house, "a") == 0
    score(house, first, peak=10 * GIB)
    house.clock.advance(6.0)
    with_cards(house, "a")
    drive_all(house.coordinator)
    assert waiting(house, "a") == 4
    held = run(house, "a").placed
    assert held is not None
    assert held.share == 0.25
    assert 11 * GIB < held.memory_bytes < 13 * GIB


def test_a_study_s_labels_choose_its_host() -> None:
    house = empty()
    now = house.store.now()
    for region in ("eu", "us"):
        slots = tuple(f"{region}{k}" for k in range(2))
        house.store.put_devices(
            region, [Device(f"cpu-{region}", region, "cpu", 0, {"region": region}, slots, "", "ok", now)]
        )
    open_study(house.store, resources={"labels": {"region": "eu"}})
    plain = open_study(house.store, study="plain")
    drive_all(house.coordinator)
    assert waiting(house, "cpu-us") == 0
    assert waiting(house, "cpu-eu") == 3  # one more than slots, or the plain study's would always be there first
    assert house.mailbox.waiting(CPU_QUEUE) > 0
    assert {trial.placed is None for trial in house.store.trials(plain.id)} == {True}
    sent = len(house.mailbox.sent)
    house.clock.advance(4.0)
    resend(house.store, house.mailbox)
    assert len(house.mailbox.sent) == sent, "what is placed is not missing in the queue of its class"
    nowhere = open_study(house.store, study="nowhere", resources={"labels": {"region": "asia"}})
    drive(house.coordinator, nowhere.id)
    assert house.store.study(nowhere.id).counts.queued == 0


def test_whole_gpus_use_the_queue_of_their_class_until_somebody_is_placed() -> None:
    house = empty()
    with_cards(house, "a", "b", "c", slots=1)
    plain = open_study(house.store, study="plain", resources={"gpus": 1})
    drive(house.coordinator, plain.id)
    assert house.mailbox.waiting(GPU_QUEUE) >= 3
    house = empty()
    with_cards(house, "a", "b", "c", slots=1)
    plain = open_study(house.store, study="plain", resources={"gpus": 1})
    half = open_study(house.store, study="half", resources={"gpus": 0.5, "gpu_memory": "8GiB"})
    drive_all(house.coordinator)
    assert house.mailbox.waiting(GPU_QUEUE) == 0
    placed = [each.study_id for each in house.store.holdings().placed]
    assert sorted(placed) == sorted([plain.id] * 2 + [half.id]) or sorted(placed) == sorted([plain.id] + [half.id] * 2)


def test_who_waits_on_a_device_that_is_gone_is_placed_elsewhere() -> None:
    house = empty()
    with_cards(house, "a")
    study = open_study(house.store, resources={"gpus": 0.5, "gpu_memory": "8GiB"}, budget={"trials": 2})
    drive(house.coordinator, study.id)
    assert waiting(house, "a") == 2
    with_cards(house, "b")  # the host has another card now
    resend(house.store, house.mailbox)
    assert [trial.state for trial in house.store.trials(study.id)] == [TrialState.WAITING] * 2
    drive_all(house.coordinator)
    assert waiting(house, "b") == 2
    stale = house.take(device_queue("a"))
    found = house.store.lease(stale.study, stale.trial, stale.attempt, worker="w", device="a", lease_s=30.0)
    assert not isinstance(found, Lease)
    assert {run(house, "b").number for _ in range(2)} == {0, 1}


def test_a_lost_ticket_of_a_device_is_sent_again_to_it() -> None:
    house = empty()
    with_cards(house, "a")
    study = open_study(house.store, resources={"gpus": 1, "gpu_memory": "8GiB"})
    drive(house.coordinator, study.id)
    house.mailbox.queues.clear()
    resend(house.store, house.mailbox)
    assert waiting(house, "a") == 0, "it may be on its way"
    house.clock.advance(4.0)
    with_cards(house, "a")
    resend(house.store, house.mailbox)
    (again,) = house.mailbox.queues[device_queue("a")]
    assert again == RunTrial(study.id, 0, 1)
    resend(house.store, house.mailbox)
    assert waiting(house, "a") == 1


def test_of_a_devices_tickets_it_is_the_oldest_that_is_taken_for_lost() -> None:
    house = empty()
    with_cards(house, "a")
    half = {"resources": {"gpus": 0.5, "gpu_memory": "8GiB"}, "budget": {"trials": 1}}
    first, second = open_study(house.store, study="first", **half), open_study(house.store, study="second", **half)
    drive(house.coordinator, first.id)
    house.clock.advance(1.0)
    drive(house.coordinator, second.id)
    assert house.mailbox.queues[device_queue("a")] == [RunTrial(first.id, 0, 1), RunTrial(second.id, 0, 1)]
    house.take(device_queue("a"))
    house.clock.advance(4.0)
    with_cards(house, "a")
    resend(house.store, house.mailbox)
    assert house.mailbox.queues[device_queue("a")] == [RunTrial(second.id, 0, 1), RunTrial(first.id, 0, 1)]


def test_a_trial_that_its_device_does_not_take_is_placed_anew() -> None:
    house = empty()
    with_cards(house, "a")
    study = open_study(house.store, resources={"gpus": 1, "gpu_memory": "8GiB"})
    drive(house.coordinator, study.id)
    house.clock.advance(31.0)
    with_cards(house, "a")
    resend(house.store, house.mailbox)
    assert house.store.trial(study.id, 0).state is TrialState.WAITING


def with_kinds(house: House, **kinds: int) -> None:
    """A host for each kind, with so many GPUs of one slot each; 16 GiB of memory, an H200's 141."""
    for kind, count in kinds.items():
        size, now = (141 if kind == "H200" else 16) * GIB, house.store.now()
        names = [f"{kind}-{k}" for k in range(count)]
        house.store.put_devices(kind, [Device(n, kind, kind, size, {}, (f"{n}.s0",), "", "ok", now) for n in names])


def ran_out_on_a_t4(trials: int = 9, **asked: Any) -> tuple[House, StudyRecord]:
    """A study whose trial 0 ran out of memory on one of two T4, beside which there is an H200."""
    house = empty()
    with_kinds(house, T4=2, H200=1)
    study = open_study(house.store, resources={"gpus": 1, **asked}, sampler="random", budget={"trials": trials})
    drive(house.coordinator, study.id)
    place = house.store.trial(study.id, 0).placed
    device = place.devices[0] if place else "T4-0"
    lease = house.store.lease(study.id, 0, 1, worker="w", device=device, device_kind="T4", lease_s=30.0)
    assert isinstance(lease, Lease)
    fault = AttemptEnd(AttemptEvent.FAULT, TrialEvent.RETRY, fault=Fault.OUT_OF_MEMORY, detail="too much")
    house.store.finish_attempt(lease.token, fault)
    house.mailbox.queues.clear()
    for each in house.store.holdings().placed:
        house.store.unplace(each.study_id, each.number, each.attempts + 1)
    return house, study


@pytest.mark.parametrize("asked", [{}, {"gpu_memory": "8GiB"}])
def test_a_trial_is_not_placed_where_it_ran_out_of_memory(asked: dict[str, Any]) -> None:
    """Also one that any GPU could run, by the queue of its class."""
    house, study = ran_out_on_a_t4(**asked)
    drive(house.coordinator, study.id)
    assert house.take(device_queue("H200-0")) == RunTrial(study.id, 0, 2)
    assert waiting(house, "T4-0") + waiting(house, "T4-1") == 2, "the others of the study go on"


def test_it_waits_for_its_kind_alone_and_says_so() -> None:
    house, study = ran_out_on_a_t4(gpu_memory="8GiB")
    other = open_study(house.store, study="other", resources={"gpus": 1, "labels": {}, "gpu_memory": "100GiB"})
    drive(house.coordinator, other.id)
    assert waiting(house, "H200-0") == 1
    said = drive(house.coordinator, study.id)
    assert "trial 0: it ran out of memory on T4, and waits for a GPU other than T4: all 1 GPUs" in said
    assert house.store.trial(study.id, 0).state is TrialState.WAITING
    assert waiting(house, "T4-0") + waiting(house, "T4-1") == 2, "the others of the study go on"
    run(house, "H200-0")
    place = place_of(house.store, study.id)
    assert place is not None
    (told,) = place.barred
    assert told[0] == 0
    assert next(told_of_place(place)).startswith("trial 0: it ran out of memory on T4, and waits for a GPU other")


def test_a_kind_that_is_taken_out_for_a_while_is_waited_for() -> None:
    house, study = ran_out_on_a_t4(trials=1)
    (large,) = [each for each in house.store.devices() if each.kind == "H200"]
    house.clock.advance(2.0)
    with_kinds(house, T4=2)
    house.store.put_devices("H200", [replace(large, slots=(), health="drained")])
    said = drive(house.coordinator, study.id)
    assert "GPU other than T4: no live GPU that is healthy and not taken out has a slot for it" in said
    place = place_of(house.store, study.id)
    assert place is not None
    assert ("H200", "H200-0", "it takes no trials now: drained") in place.devices
    assert ("T4", "T4-0", "trial 0 does not fit into the memory of a T4") in place.devices
    house.clock.advance(2.0)
    with_kinds(house, T4=2, H200=1)
    drive(house.coordinator, study.id)
    assert house.take(device_queue("H200-0")) == RunTrial(study.id, 0, 2)


def test_where_no_other_kind_is_left_any_slot_may_take_it_to_end_it() -> None:
    house, study = ran_out_on_a_t4(trials=1)
    house.store.put_devices("H200", [])
    house.clock.advance(2.0)
    with_kinds(house, T4=2)
    place = place_of(house.store, study.id)
    assert place is not None
    assert "no GPU of another kind that suits it is there: the next slot that takes it ends it" in place.barred[0][1]
    drive(house.coordinator, study.id)
    trial = house.store.trial(study.id, 0)
    assert (trial.state, trial.placed) == (TrialState.QUEUED, None)
