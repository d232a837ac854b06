"""Where trials fail is learned; that some fail by chance is not mistaken for a place."""

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from celeriac.domain.records import Fault
from celeriac.domain.space import Float, Int, Space
from coordinator.samplers.api import Kind, Observation, Point, proposed
from coordinator.samplers.encoding import Box
from coordinator.samplers.feasible import Feasibility

SPACE = Space({"batch": Int(8, 512, log=True), "lr": Float(1e-4, 1e-1, log=True)})
Fails = Callable[[Point, int], Fault | None]


def trials(fails: Fails, count: int = 60, device: Callable[[int], str] = lambda _: "") -> list[Observation]:
    rng = random.Random(5)
    found = []
    for number in range(count):
        point = proposed(SPACE, SPACE.sample(rng), number)
        fault = fails(point, number)
        kind = Kind.INFEASIBLE if fault else Kind.FINISHED
        found.append(Observation(point, kind, None if fault else 1.0, fault=fault, device=device(number)))
    return found


def chance(observations: list[Observation], batch: int) -> float:
    """The mean probability to run at this batch size, over learning rates."""
    box = Box(SPACE)
    found = Feasibility(box, observations, np.random.default_rng(0))
    params = [{"batch": batch, "lr": lr} for lr in (3e-4, 1e-3, 1e-2)]
    return float(found(box.encoded(box.units([tuple(SPACE.to_unit(p)) for p in params]))).mean())


def too_large(point: Point, _: int) -> Fault | None:
    return Fault.OUT_OF_MEMORY if point.params["batch"] > 64 else None


def test_a_region_that_fails_is_learned_with_a_sharp_edge() -> None:
    known = trials(too_large)
    assert chance(known, 12) > 0.95
    assert chance(known, 400) < 0.05
    assert chance(known, 30) > 0.75
    assert chance(known, 140) < 0.25


def test_failures_by_chance_are_no_region() -> None:
    known = trials(lambda _, number: Fault.NOT_FINITE if number % 10 == 3 else None)
    assert all(0.8 < chance(known, batch) < 0.97 for batch in (10, 30, 100, 300))


def test_memory_is_learned_for_each_class_of_devices() -> None:
    def device(number: int) -> str:
        return ("small", "large", "large")[number % 3]

    known = trials(
        lambda point, number: too_large(point, number) if device(number) == "small" else None, count=90, device=device
    )
    assert chance(known, 12) > 0.95
    # Two trials of three run on the large device, where nothing ever failed.
    assert 0.6 < chance(known, 400) < 0.75


def test_a_retry_that_came_through_elsewhere_still_tells_where_memory_was_short() -> None:
    """Every third trial begins on the small device; what is too large for it scores on the large one at last."""
    known = []
    for number, o in enumerate(trials(lambda *_: None, count=90)):
        small, large = number % 3 == 0, bool(too_large(o.point, number))
        oom_device_kinds = ("small",) if small and large else ()
        known.append(replace(o, device="small" if small and not large else "large", oom_device_kinds=oom_device_kinds))
    assert all(o.kind is Kind.FINISHED for o in known)
    assert chance(known, 12) > 0.95
    assert 0.6 < chance(known, 400) < 0.85


def test_a_bug_and_memory_are_two_reasons() -> None:
    known = trials(
        lambda point, number: too_large(point, number) or (Fault.USER_BUG if point.params["batch"] < 16 else None),
        count=90,
    )
    assert chance(known, 10) < 0.2
    assert chance(known, 30) > 0.7
    assert chance(known, 400) < 0.1


def test_nothing_failed_nothing_is_feared() -> None:
    known = trials(lambda *_: None)
    assert not Feasibility(Box(SPACE), known, np.random.default_rng(0)).failed
    assert chance(known, 64) == 1.0
