"""A long study with early stops and faults on two kinds of device: exact budget, and everything that was decided is
decided again from the rows.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from celeriac.decide.stop_early import Judged, Progress, at_rung, followed, judged
from celeriac.domain.errors import LeaseLost
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.records import Fault, Lease, Report, StudyRecord, StudyState, TrialRecord, TrialState
from celeriac.domain.study_file import stop_rule
from celeriac.runtime.broker import CPU_QUEUE
from celeriac.store.api import AttemptEnd
from coordinator.reaper import resend
from coordinator.samplers.api import Kind
from coordinator.suggest.history import Histories
from coordinator.suggest.replay import replayed
from coordinator.turn import drive
from tests.coordinator.house import LEASE_S, House, open_study

EPOCHS = 27


KINDS = {"gpu0.s0@host": "T4", "gpu1.s0@host": "T4", "gpu2.s0@host": "H200", "gpu3.s0@host": "H200"}
FAULTS = (Fault.NOT_FINITE, Fault.TIMEOUT, Fault.USER_BUG, Fault.INFRASTRUCTURE, Fault.PREEMPTED)


def curve(lease: Lease) -> Callable[[int], float]:
    """A loss that falls toward a floor which the parameters set, slower or faster, with noise of its own."""
    rng = random.Random(lease.number)
    lr, width = float(lease.params["lr"]), float(lease.params["width"])
    floor, speed = abs(lr - 0.01) * 5 + abs(width - 100) / 300, rng.uniform(0.5, 2.0)
    return lambda step: floor + 1.0 / (1.0 + speed * step) + rng.gauss(0.0, 0.01)


@dataclass
class Training:
    """An attempt on a slot, some epochs on."""

    lease: Lease
    who: Judged
    value: Callable[[int], float]
    course: Progress = field(default_factory=Progress)
    step: int = 0


@dataclass
class Fleet:
    """Slots of two kinds of device that train side by side, an epoch at a time; all that may happen to them is
    drawn.
    """

    house: House
    study: StudyRecord
    rng: random.Random
    on_slot: dict[str, Training] = field(default_factory=dict)

    def act(self) -> None:
        """One slot takes a ticket or trains an epoch."""
        slot = self.rng.choice(list(KINDS))
        try:
            if slot not in self.on_slot:
                self._take(slot)
            elif self.rng.random() < 0.02:
                self._fall(slot)
            else:
                self._train(slot, self.on_slot[slot])
        except LeaseLost:  # it was taken for dead
            del self.on_slot[slot]

    def _take(self, slot: str) -> None:
        queue = self.house.mailbox.queues[CPU_QUEUE]
        if not queue:
            return
        ticket, luck = self.house.take(), self.rng.random()
        if luck < 0.03:
            return  # lost on the way
        if luck < 0.2:
            queue.append(ticket)  # delivered twice, the second time late
        lease = self.house.lease(ticket, slot, device_kind=KINDS[slot])
        if lease is not None:
            rule = stop_rule(self.study.spec)
            assert rule is not None
            who = judged(rule, self.study.goal, lease.number, lease.source)
            self.on_slot[slot] = Training(lease, who, curve(lease))

    def _train(self, slot: str, now: Training) -> None:
        """Report one epoch; end at the verdict or at the last, as the worker does."""
        store, lease = self.house.store, now.lease
        if KINDS[slot] == "T4" and lease.params["width"] > 90:
            self.house.fail(lease, Fault.OUT_OF_MEMORY)
            del self.on_slot[slot]
            return
        report = Report(now.step, now.value(now.step))
        step = followed(now.who, now.course, report)
        landed = store.report(lease.token, [report], [step.crossing] if step.crossing else [])
        stop = next((each for each in (at_rung(now.who, one) for one in landed.rungs) if each.stop), None)
        if stop is not None:
            end = AttemptEnd(AttemptEvent.PRUNE, TrialEvent.PRUNE, step=now.step, detail=stop.reason, device_s=1.0)
            store.finish_attempt(lease.token, end)
        elif now.step + 1 == EPOCHS:
            self.house.finish(lease, report.value)
        else:
            store.renew(lease.token, LEASE_S)
            now.step, now.course = now.step + 1, step.course
            return
        del self.on_slot[slot]

    def _fall(self, slot: str) -> None:
        """What else may come of an attempt: it fails, or it dies, before a rung or after one, and only its lease
        tells.
        """
        fallen, fault = self.on_slot.pop(slot), self.rng.choice((*FAULTS, None, None))
        if fault is not None:
            self.house.fail(fallen.lease, fault, signature=str(fallen.lease.number))


def lived(house: House, seed: int, **more: object) -> StudyRecord:
    """A whole study on four slots in bad weather: several trials train at once, and coordinators come and go."""
    rng = random.Random(seed)
    study = open_study(house.store, stop_early={"rule": "asha", "max": EPOCHS}, **more)
    drive(house.coordinator, study.id)
    fleet = Fleet(house, house.store.study(study.id), rng)
    while house.store.study(study.id).state is StudyState.RUNNING:
        luck = rng.random()
        if luck < 0.9:
            fleet.act()
        elif luck < 0.97:
            drive(house.coordinator, study.id)
        elif luck < 0.999:
            house.ticks(rng.choice([1, 2, 5]))
            resend(house.store, house.mailbox)
        else:
            house.restart()
    return house.store.study(study.id)


def verdicts_hold(house: House, study: StudyRecord) -> int:
    """Every pruned trial is stopped again by its records, for the same reason, and no exempt one is; how many were
    pruned.
    """
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
    house = House(slots=4)
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
    house = House(slots=4)
    study = lived(house, seed=4, budget={"trials": 200})
    assert (study.counts.finished, study.counts.open) == (200, 0)
    assert verdicts_hold(house, study) == study.counts.pruned > 60
    trials = house.store.trials(study.id, limit=1000)
    the_weather_was_bad(house, trials)
    the_sampler_learned_of_it(house, study)
    house.store.put_devices("host", [])  # a device's row comes and goes; nothing that was learned hangs on it
    for trial in trials[1:]:
        assert replayed(house.store, study.id, trial.number) == trial.params
    assert len({str(trial.params) for trial in trials}) == len(trials)


def the_weather_was_bad(house: House, trials: Sequence[TrialRecord]) -> None:
    """Every class of fault happened, tickets came twice, and trials were suggested while several others were open."""
    assert {trial.fault for trial in trials if trial.state is TrialState.FAILED} >= set(FAULTS[:3])
    assert {Fault(each) for trial in trials for each in trial.faults} == set(Fault)
    pending = [
        house.store.pending(t.study_id, observed=t.why["observed"], below=t.number - t.why["index"]) for t in trials[1:]
    ]
    assert max(map(len, pending)) >= 5
    assert sum(trial.why.get("by") == "log expected improvement" for trial in trials) > 150


def the_sampler_learned_of_it(house: House, study: StudyRecord) -> None:
    """What reached it says how far trials came, on what, and where memory was short."""
    history = Histories().of(study)
    history.read_on(house.store, study, until=study.counts.ended)
    seen = history.observations
    assert len(seen) == study.counts.ended
    pruned = [each for each in seen if each.kind is Kind.PRUNED]
    assert all(each.rungs and each.rungs[-1][1] == each.loss for each in pruned)
    assert len({rung for each in seen for rung, _ in each.rungs}) > 1
    assert {each.device for each in seen if each.kind is not Kind.VOID} == {"T4", "H200"}
    short = [each for each in seen if each.oom_device_kinds]
    assert {each.oom_device_kinds for each in short} == {("T4",)}
    assert {each.kind for each in short} >= {Kind.FINISHED, Kind.PRUNED}
    assert all(each.point.params["width"] > 90 for each in short)
