"""A reproducible study's trials are the same on a second run: with other slots, other speeds, another order of ends."""

import random
from typing import Any

from celeriac.domain.records import Lease
from celeriac.domain.study_file import parse
from coordinator.schedules import fire_due
from coordinator.turn import drive_all
from tests.coordinator.house import House
from tests.coordinator.test_schedules import AIRPORTS, SPEC, put_schedule

TRIALS = 8


def two_nights(seed: int, slots: int, **changes: Any) -> dict[str, list[dict[str, Any]]]:
    """What each study of two airports' two nights tried; slots take and end trials as `seed` has it."""
    house, rng = House(slots=slots), random.Random(seed)
    plan = {"name": "flights", "cron": "0 3 * * *", "slices": {"airport": ["JFK", "LGA"]}, "always": True}
    spec = parse({**SPEC, "study": "flights", "budget": {"trials": TRIALS}, "schedule": plan, **changes})
    put_schedule(house, slices=AIRPORTS, spec=spec.to_dict())
    for _ in range(2):
        fire_due(house.store, house.mailbox)
        drive_all(house.coordinator)
        _run(house, rng, slots)
        house.wait(86_400)
    return {each.name: [dict(trial.params) for trial in house.store.trials(each.id)] for each in house.store.studies()}


def _run(house: House, rng: random.Random, slots: int) -> None:
    """Until nothing is left to run."""
    held: list[Lease] = []
    while True:
        house.clock.advance(rng.random())
        tickets = [ticket for queue, waiting in house.mailbox.queues.items() if "trial" in queue for ticket in waiting]
        if tickets and len(held) < slots and (not held or rng.random() < 0.5):
            lease = house.lease(house.take())
            held += [lease] if lease is not None else []
        elif held:
            lease = held.pop(rng.randrange(len(held)))
            params = lease.params
            score = abs(params["lr"] - 0.03) + abs(params["width"] - 99) / 1000
            house.finish(lease, score, device_s=10 ** rng.uniform(-2, 2))
        else:
            return
        drive_all(house.coordinator)


def test_a_second_run_makes_the_same_trials_whatever_the_slots_and_their_speed() -> None:
    runs = [two_nights(seed, slots, reproducible=True) for seed, slots in ((1, 1), (2, 2), (3, 5))]
    assert [len(trials) for name, trials in runs[0].items() if "confirm" not in name] == [TRIALS] * 4
    assert any("confirm" in name for name in runs[0])
    assert runs[0] == runs[1] == runs[2]


def test_else_they_depend_on_what_has_ended() -> None:
    assert two_nights(2, 2) != two_nights(3, 5)
