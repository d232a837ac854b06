"""A long study with early stops and faults, on the memory store: exact budget, and everything that was decided is decided again from the rows."""

import random
from collections.abc import Callable

import pytest

from celeriac.broker import CPU_QUEUE
from celeriac.decide.stop_early import Course, Judged, at_rung, followed, judged
from celeriac.lifecycle import AttemptEvent, TrialEvent
from celeriac.records import Fault, Lease, Report, StudyRecord, StudyState, TrialState
from celeriac.spec import stop_rule
from celeriac.store.api import AttemptEnd
from coordinator.drive import drive
from coordinator.reap import reap, resend
from coordinator.replay import replayed
from tests.coordinator.house import LEASE_S, House, open_study

EPOCHS = 27


def who_is(study: StudyRecord, lease: Lease) -> Judged:
    rule = stop_rule(study.spec)
    assert rule is not None
    return judged(rule, study.goal, lease.number, lease.source)


def curve(lease: Lease) -> Callable[[int], float]:
    """A loss that falls toward a floor which the parameters set, slower or faster, with noise of its own."""
    rng = random.Random(lease.number)
    lr, width = float(lease.params["lr"]), float(lease.params["width"])
    floor, speed = abs(lr - 0.01) * 5 + abs(width - 100) / 300, rng.uniform(0.5, 2.0)
    return lambda step: floor + 1.0 / (1.0 + speed * step) + rng.gauss(0.0, 0.01)


def train(house: House, study: StudyRecord, lease: Lease) -> None:
    """Report epoch by epoch until the verdict or the end, as the worker does."""
    who, course, value = who_is(study, lease), Course(), curve(lease)
    for step in range(EPOCHS):
        report = Report(step, value(step))
        now = followed(who, course, report)
        course = now.course
        landed = house.store.report(lease.token, [report], [now.crossing] if now.crossing else [])
        for decision in (at_rung(who, record) for record in landed.rungs):
            if decision.stop:
                end = AttemptEnd(
                    AttemptEvent.PRUNE, TrialEvent.PRUNE, step=step, detail=decision.reason, device_s=1.0
                )
                house.store.finish_attempt(lease.token, end)
                return
    house.finish(lease, report.value)


def fall(house: House, study: StudyRecord, lease: Lease, rng: random.Random) -> None:
    """What else may come of an attempt: it dies, before or after a rung, or it fails by itself."""
    how = rng.choice(["dies", "dies late", Fault.NOT_FINITE, Fault.TIMEOUT, Fault.INFRASTRUCTURE])
    if how == "dies late":
        report = Report(3, curve(lease)(3))
        crossing = followed(who_is(study, lease), Course(), report).crossing
        house.store.report(lease.token, [report], [crossing] if crossing else [])
    elif isinstance(how, Fault):
        house.fail(lease, how)


def lived(house: House, seed: int, **more: object) -> StudyRecord:
    """A whole study on three slots in bad weather."""
    rng = random.Random(seed)
    study = open_study(house.store, stop_early={"rule": "asha", "max": EPOCHS}, **more)
    while house.store.study(study.id).state in (StudyState.OPEN, StudyState.RUNNING):
        drive(house.coordinator, study.id)
        while house.mailbox.queues[CPU_QUEUE]:
            lease = house.lease(house.take())
            if lease is None or rng.random() < 0.05:
                continue  # the ticket was stale, or the worker dies at once
            if rng.random() < 0.85:
                train(house, study, lease)
            else:
                fall(house, study, lease, rng)
        house.wait(LEASE_S + 1)
        reap(house.store, house.mailbox)
        resend(house.store, house.mailbox)
    return house.store.study(study.id)


def verdicts_hold(house: House, study: StudyRecord) -> int:
    """Every pruned trial is stopped again by its records, for the same reason, and no exempt one is; how many were pruned."""
    rule = stop_rule(study.spec)
    assert rule is not None
    records, pruned = house.store.rung_records(study.id, limit=10_000), 0
    for trial in house.store.trials(study.id, limit=10_000):
        who = judged(rule, study.goal, trial.number, trial.source)
        told = [at_rung(who, each) for each in records if each.trial == trial.number]
        stops = [each.reason for each in told if each.stop]
        if trial.state is TrialState.PRUNED:
            assert trial.detail == stops[0]
            pruned += 1
        elif trial.state is TrialState.SCORED:
            assert stops == []
    return pruned


@pytest.mark.parametrize("seed", [1, 2])
def test_a_budget_is_exact_and_verdicts_are_made_again_from_the_rows(seed: int) -> None:
    house = House(slots=3)
    study = lived(house, seed, sampler="random", budget={"trials": 120})
    assert (study.state, study.reason) == (StudyState.DONE, "all 120 trials are finished")
    assert (study.counts.finished, study.counts.open) == (120, 0)
    assert verdicts_hold(house, study) == study.counts.pruned > 40
    assert study.counts.failed > 5
    assert house.store.trial(study.id, 0).state is not TrialState.PRUNED
    best = house.store.trial(study.id, study.best_number or 0)
    assert best.state is TrialState.SCORED


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_suggestion_and_verdict_of_two_hundred_trials_is_made_again_from_the_rows() -> None:
    house = House(slots=3)
    study = lived(house, seed=3, budget={"trials": 200})
    assert study.counts.finished == 200
    assert verdicts_hold(house, study) == study.counts.pruned > 60
    for trial in house.store.trials(study.id, after=0, limit=1000):
        assert replayed(house.store, study.id, trial.number) == trial.params
