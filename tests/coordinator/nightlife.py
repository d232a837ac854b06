"""Whole nights on the memory store: a fleet that trains by a function, until nothing is left to do."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.records import Fault, Firing, FiringState, Lease, Schedule
from celeriac.store.api import AttemptEnd
from coordinator.schedules import fire_due
from coordinator.turn import drive_all
from tests.coordinator.house import SPEC as WRITTEN
from tests.coordinator.house import House

DUE = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
SPEC = {**WRITTEN, "retry": {"attempts": 3}}  # a schedule keeps the canonical form
JFK = {"airport": "JFK"}
DEFAULT_LR = 0.01
BLOCKS = 24

Train = Callable[[Lease], AttemptEnd]


def put_schedule(house: House, *, slices: tuple[dict[str, str], ...] = (JFK,), **keys: Any) -> Schedule:
    """A nightly schedule of short searches; `keys` are of its `schedule` section."""
    section = {"name": "flights", "cron": "0 3 * * *", **keys}
    spec = {**SPEC, "study": "flights", "budget": {"trials": 4}, "sampler": "random", "schedule": section}
    return house.store.put_schedule(
        Schedule("flights", spec, "0 3 * * *", "UTC", slices, "/code", "abc", False, DUE, DUE)
    )


def scored(score: float, holdout: tuple[float, ...] = (), **more: Any) -> AttemptEnd:
    """The end of a training."""
    return AttemptEnd(AttemptEvent.SCORE, TrialEvent.SCORE, score=score, holdout=holdout, device_s=1.0, **more)


def failed(fault: Fault = Fault.USER_BUG, detail: str = "no such column") -> AttemptEnd:
    """The end of a training that fails by its own fault."""
    return AttemptEnd(AttemptEvent.FAULT, TrialEvent.FAIL, fault=fault, detail=detail, signature=detail)


def by_lr(gain: float, *, noise: float = 0.01, blocks: int = BLOCKS) -> Train:
    """A loss that is `gain` lower for any learning rate but the default's, with noise of the seed and of the day."""

    def train(lease: Lease) -> AttemptEnd:
        seed = lease.number if lease.seed is None else lease.seed
        luck = Random(f"{seed}/{lease.params['lr']}")
        level = 0.5 - (0.0 if lease.params["lr"] == DEFAULT_LR else gain) + luck.gauss(0.0, noise)
        days = Random("days")
        holdout = tuple(level + days.gauss(0.0, 0.02) + luck.gauss(0.0, noise) for _ in range(blocks))
        return scored(level, holdout)

    return train


def fire(house: House) -> Firing:
    """The newest firing, just made."""
    fire_due(house.store, house.mailbox)
    return house.store.firings("flights")[0]


def work(house: House, train: Train, *, rounds: int = 200) -> None:
    """Let the fleet work until no firing has anything left to do."""
    for _ in range(rounds):
        drive_all(house.coordinator)
        tickets = house.mailbox.queues["trials.cpu"]
        while tickets:
            lease = house.lease(house.take())
            if lease is not None:
                house.store.finish_attempt(lease.token, train(lease))
        if not house.store.studies_to_drive() and not house.store.firings_to_move():
            return
    raise AssertionError("the night does not end")


def whole_night(house: House, train: Train) -> Firing:
    """Fire, and work until the firing is at its end; then it is the next day."""
    firing = fire(house)
    work(house, train)
    house.wait(86_400)
    return house.store.firing(firing.id)


def told(firing: Firing) -> list[str]:
    """The states that a firing went through."""
    return [step["state"] for step in firing.steps]


BETTER, NO_BETTER = by_lr(0.1), by_lr(0.0)


def house_with(**keys: Any) -> House:
    """A house with a schedule; `keys` are of its section in the file."""
    house = House(slots=2)
    put_schedule(house, **keys)
    return house


def with_champion(**keys: Any) -> House:
    """A house whose slice has a champion since the first night."""
    house = house_with(**keys)
    assert whole_night(house, BETTER).state is FiringState.PROMOTED
    return house


def another_seed(house: House, seed: int) -> None:
    """Tonight's search looks elsewhere."""
    house.store.put_schedule(with_spec(house.store.schedule("flights"), seed=seed))


def with_spec(schedule: Schedule, **keys: Any) -> Schedule:
    """The schedule with other keys of its spec."""
    return replace(schedule, spec={**schedule.spec, **keys})


def with_slices(schedule: Schedule, **slices: list[str]) -> Schedule:
    """The schedule whose file lists these slices."""
    section = {**schedule.spec["schedule"], "slices": slices}
    return replace(schedule, spec={**schedule.spec, "schedule": section})
