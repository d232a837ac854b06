"""Many studies on one fleet, and what goes wrong with one of them."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from threading import Event, Lock, Thread, current_thread
from typing import Any

import pytest

from celeriac.decide.share import Share
from celeriac.domain.errors import SamplerFailed
from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import Fault, Resources, StudyRecord
from celeriac.domain.study_file import StudySpec
from coordinator.fleet import Fleet
from coordinator.turn import drive, drive_all
from tests.coordinator.house import House, open_study, with_slots


def queued(house: House, study: StudyRecord) -> int:
    return house.store.study(study.id).counts.queued


def test_studies_that_are_opened_together_share_the_slots() -> None:
    house = House(slots=4)
    studies = [open_study(house.store, study=f"slice-{k}", sampler="random") for k in range(2)]
    drive_all(house.coordinator)
    assert sorted(queued(house, study) for study in studies) == [2, 3]  # four slots, and one ticket ahead


def test_the_end_of_one_studys_trial_gives_the_slot_to_the_study_that_came_later() -> None:
    house = House(slots=2)
    first = open_study(house.store, sampler="random")
    drive(house.coordinator, first.id)
    leases = [house.lease(house.take()) for _ in range(2)]
    drive(house.coordinator, first.id)
    late = open_study(house.store, study="late", sampler="random")
    drive(house.coordinator, late.id)
    assert queued(house, late) == 0  # the fleet has a ticket for the next slot
    for lease in leases:
        assert lease is not None
        house.finish(lease, 0.5, device_s=60.0)
        house.lease(house.take())
        drive(house.coordinator, first.id)  # as the end of its trial asks
    assert house.store.study(late.id).counts.running == 1


def test_a_study_that_cannot_use_its_slots_leaves_them_to_the_others() -> None:
    house = House(slots=4)
    one_point = {"x": {"choice": [1]}}
    small = open_study(house.store, study="small", space=one_point, default=None, sampler="grid")
    large = open_study(house.store, study="large", sampler="random")
    drive_all(house.coordinator)
    assert [queued(house, study) for study in (small, large)] == [1, 4]


def test_devices_are_read_once_a_second_and_at_every_tick() -> None:
    house, fleet = House(slots=4), Fleet()
    fleet.look(house.store, 10.0)
    with_slots(house.store, 6)
    fleet.look(house.store, 10.9)
    assert fleet.slots_of(1, Resources()) == 4
    fleet.look(house.store, 11.0)
    assert fleet.slots_of(1, Resources()) == 6
    with_slots(house.store, 8)
    fleet.tick(())
    fleet.look(house.store, 11.1)
    assert fleet.slots_of(1, Resources()) == 8


def test_a_study_whose_suggestions_take_long_passes_until_they_are_there() -> None:
    house = House(slots=4)
    slow, other = open_study(house.store, study="slow"), open_study(house.store, study="other")
    fleet, spec = Fleet(), house.coordinator.specs.of(other)
    fleet.look(house.store, 0.0)

    def slots() -> int:
        return fleet.share_of(house.store.snapshot(other.id), spec).slots

    for after_s, expected in ((0, 2), (5, 2), (6, 4)):
        fleet.asks(slow.id, house.clock.now + timedelta(seconds=after_s))
        assert slots() == expected
    fleet.waits(slow.id, Share())
    assert slots() == 2


def test_what_goes_wrong_with_one_study_ends_no_tick(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(slots=2)
    broken, sound = open_study(house.store, study="broken"), open_study(house.store, study="sound")
    snapshot = house.store.snapshot

    def breaks(study_id: int) -> Any:
        if study_id == broken.id:
            raise ZeroDivisionError("nobody thought of this")
        return snapshot(study_id)

    monkeypatch.setattr(house.store, "snapshot", breaks)
    drive_all(house.coordinator)
    assert "its turn failed" in caplog.text
    assert queued(house, sound)


def test_a_study_that_is_moved_while_it_is_paused_ends_no_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(slots=2)
    broken, sound = open_study(house.store, study="broken"), open_study(house.store, study="sound")
    spec_of, move = house.coordinator.specs.of, house.store.move_study

    def fails(study: StudyRecord) -> StudySpec:
        if study.id == broken.id:
            raise SamplerFailed("it cannot suggest anything")
        return spec_of(study)

    def moved_by_hand_before(*args: Any, **given: Any) -> StudyRecord:
        if args[0] == broken.id:
            move(broken.id, StudyEvent.STOP, "by hand")
        return move(*args, **given)

    monkeypatch.setattr(house.coordinator.specs, "of", fails)
    monkeypatch.setattr(house.store, "move_study", moved_by_hand_before)
    drive_all(house.coordinator)
    assert house.store.study(broken.id).reason == "by hand"
    assert queued(house, sound)


def put_aside(house: House, study: StudyRecord, *, study_only: bool) -> None:
    """The slot that takes the next ticket says that it takes no more trials, or none of this study."""
    lease = house.lease(house.take(), worker="cpu0.s0")
    assert lease is not None
    house.store.put_aside(lease.token, "a full disk", 60.0, study_only=study_only)
    house.fail(lease, Fault.INFRASTRUCTURE)


def test_a_slot_that_is_put_aside_is_no_part_of_any_share() -> None:
    house = House(slots=4)
    studies = [open_study(house.store, study=f"slice-{k}", sampler="random") for k in range(2)]
    drive_all(house.coordinator)
    put_aside(house, studies[0], study_only=False)
    drive_all(house.coordinator)
    assert house.coordinator.fleet.slots.cpu == 3
    house.wait(61)
    drive_all(house.coordinator)
    assert house.coordinator.fleet.slots.cpu == 4


def test_a_slot_without_a_studys_code_is_a_part_of_the_others_shares_only() -> None:
    house = House(slots=4)
    lacks = open_study(house.store, study="lacks", sampler="random")
    fleet, spec = house.coordinator.fleet, house.coordinator.specs.of(lacks)

    def part() -> Share:
        drive_all(house.coordinator)
        return fleet.share_of(house.store.snapshot(lacks.id), spec)

    assert (part().slots, part().most) == (4, 5)
    put_aside(house, lacks, study_only=True)
    assert (part().slots, part().most) == (3, 3)  # a ticket ahead would be taken by the slot without its code
    assert fleet.slots.cpu == 4
    assert fleet.slots_of(lacks.id, Resources()) == 3
    other = open_study(house.store, study="other", sampler="random")
    assert fleet.slots_of(other.id, Resources()) == 4


class InBetween:
    """A lock behind whose `at`th release by the first thread another thread works, up to its own `until`th; it goes on
    after the first thread's next release.
    """

    def __init__(self, work: Callable[[], Any], *, at: int, until: int) -> None:
        self._lock, self._work, self._at, self._until = Lock(), work, at, until
        self._first, self._released = current_thread(), Counter[Thread]()
        self._stands, self._may_go_on = Event(), Event()
        self.other = Thread(target=self._work, name="other")

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        me = current_thread()
        self._released[me] += 1
        if me is self.other and self._released[me] == self._until:
            self._stands.set()
            assert self._may_go_on.wait(10.0)
        if me is self._first and self._released[me] == self._at:
            self.other.start()
            assert self._stands.wait(10.0)
        elif me is self._first and self._released[me] == self._at + 1:
            self._may_go_on.set()


def test_what_another_threads_turn_has_seen_is_not_passed_by_a_study_whose_turn_was_before() -> None:
    house = House(slots=1)
    two_points = {"x": {"choice": [1, 2]}}
    small = open_study(house.store, study="small", space=two_points, default=None, sampler="grid")
    drive(house.coordinator, small.id)
    lease = house.lease(house.take())
    assert lease is not None
    large = open_study(house.store, study="large", sampler="random")

    def the_slot_takes_the_next_ticket() -> None:
        house.finish(lease, 0.5, device_s=60.0)
        house.lease(house.take())
        drive(house.coordinator, small.id)

    # The large study's turn finds a ticket behind the slot; before it is asked whether it passes, there is none.
    lock = InBetween(the_slot_takes_the_next_ticket, at=2, until=2)
    house.coordinator.lock = lock  # type: ignore[assignment]
    drive(house.coordinator, large.id)
    lock.other.join()
    assert queued(house, small) == 0
    assert queued(house, large) == 1
