"""A study that has waited takes its part of the slots from one that matters less; that one's trials go on later."""

from itertools import pairwise

from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.records import Checkpoint, Fault, Lease, Report, StudyRecord, TrialState
from celeriac.store.api import AttemptEnd
from coordinator.turn import drive_all
from tests.coordinator.house import LEASE_S, TICK_S, House, open_study

HANDED_BACK = AttemptEnd(AttemptEvent.RELEASE, TrialEvent.PARK, fault=Fault.PREEMPTED)


class Fleet:
    """Slots that run trials which write a checkpoint at each tick, and hand themselves back when they are asked to."""

    def __init__(self, house: House, *, saves: bool = True) -> None:
        self.house, self.saves = house, saves
        self.held: dict[int, Lease] = {}
        self.asked: list[tuple[int, int]] = []
        self.steps: dict[tuple[int, int], int] = {}

    def tick(self) -> None:
        house = self.house
        house.ticks(TICK_S)
        for slot, lease in list(self.held.items()):
            if reason := house.store.renew(lease.token, LEASE_S):
                assert "has waited" in reason
                house.store.finish_attempt(lease.token, HANDED_BACK)
                self.asked.append((lease.study_id, lease.number))
                del self.held[slot]
            elif self.saves:
                key = (lease.study_id, lease.number)
                step = self.steps[key] = self.steps.get(key, -1) + 1
                kept = Checkpoint(*key, lease.attempt, step, f"{step}", "0" * 64, 1)
                house.store.report(lease.token, [Report(step, 0.5, {}, kept)])
        drive_all(house.coordinator)
        for slot in range(house.slots):
            if slot not in self.held and house.mailbox.queues["trials.cpu"]:
                given = house.lease(house.take(), f"cpu0.s{slot}@host")
                if given is not None:
                    self.held[slot] = given

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds / TICK_S)):
            self.tick()

    def running(self, study: StudyRecord) -> int:
        return sum(lease.study_id == study.id for lease in self.held.values())


def test_a_study_of_higher_priority_gets_its_part_after_two_minutes_and_the_others_go_on_later() -> None:
    house = House(slots=4)
    fleet = Fleet(house)
    light = open_study(house.store, study="light", sampler="random")
    fleet.pass_time(30)
    assert fleet.running(light) == 4
    heavy = open_study(house.store, study="heavy", sampler="random", priority=8)
    fleet.pass_time(115)
    assert (fleet.running(light), fleet.asked) == (4, [])
    fleet.pass_time(30)
    assert (fleet.running(light), fleet.running(heavy)) == (2, 2), "the ticket that lay ahead took one slot"
    fleet.pass_time(150)
    assert (fleet.running(light), fleet.running(heavy), len(fleet.asked)) == (1, 3, 4)
    assert {study_id for study_id, _ in fleet.asked} == {light.id}
    parked = house.store.trials(light.id, states=[TrialState.PAUSED, TrialState.QUEUED])
    assert parked
    assert all(trial.faults == {"preempted": 1} for trial in parked if trial.attempts)
    asked = list(fleet.asked)
    fleet.pass_time(600)
    assert fleet.asked == asked, "once each has its part nobody is asked any more"
    house.store.move_study(heavy.id, "stop", "enough")  # type: ignore[arg-type]
    fleet.held = {slot: lease for slot, lease in fleet.held.items() if lease.study_id == light.id}
    fleet.pass_time(30)
    assert fleet.running(light) == 4
    resumed = [lease for lease in fleet.held.values() if lease.attempt == 2]
    assert len(resumed) == 3
    assert all(lease.checkpoints for lease in resumed)


def test_a_trial_is_asked_back_at_most_once_an_hour() -> None:
    """Studies that are heavy by turns: each would have a slot of the light one's."""
    house = House(slots=2)
    fleet = Fleet(house)
    light = open_study(house.store, study="light", sampler="random")
    fleet.pass_time(30)
    asked: dict[tuple[int, int], list[float]] = {}
    for k in range(6):  # for ten minutes each
        heavy = open_study(house.store, study=f"heavy-{k}", sampler="random", priority=50)
        for _ in range(120):
            before = len(fleet.asked)
            fleet.tick()
            for key in fleet.asked[before:]:
                asked.setdefault(key, []).append(house.clock.now.timestamp())
        house.store.move_study(heavy.id, "stop", "enough")  # type: ignore[arg-type]
        fleet.held = {slot: lease for slot, lease in fleet.held.items() if lease.study_id == light.id}
        fleet.pass_time(60)
    again = [b - a for times in asked.values() for a, b in pairwise(times)]
    assert again, "after the hour it is asked back once more"
    assert min(again) >= 3600


def test_trials_without_checkpoints_run_to_their_end() -> None:
    house = House(slots=2)
    fleet = Fleet(house, saves=False)
    light = open_study(house.store, study="light", sampler="random")
    fleet.pass_time(30)
    open_study(house.store, study="heavy", sampler="random", priority=50)
    fleet.pass_time(600)
    assert (fleet.running(light), fleet.asked) == (2, [])


def test_it_can_be_turned_off() -> None:
    house = House(slots=2)
    house.coordinator.preempt_after_s = 0.0
    fleet = Fleet(house)
    light = open_study(house.store, study="light", sampler="random")
    fleet.pass_time(30)
    open_study(house.store, study="heavy", sampler="random", priority=50)
    fleet.pass_time(600)
    assert (fleet.running(light), fleet.asked) == (2, [])
